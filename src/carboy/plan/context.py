"""What planning carries along: the schema, the values taken out so far, and the limits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from ..access import UNLIMITED, Access, Condition
from ..errors import InvalidQuery, LimitExceeded, Problem
from ..request.ast import FieldRef
from ..schema import (
    Field,
    Kind,
    Relation,
    Resource,
    Schema,
    Validate,
    field_type,
    from_text,
)
from ..settings import Settings
from .nodes import Allowed, FieldValue, RelatedValue, Slot

_TEXTUAL = (Kind.TEXT, Kind.OTHER)


class Context:
    """One request's planning, for the actor whose ``access`` it is.

    ``trusted`` requests come from the application's own code: it may name what isn't exposed, and
    may add a ``validate`` to the resource's own. Rows are limited by the access all the same.
    """

    def __init__(
        self,
        schema: Schema,
        settings: Settings,
        access: Access = UNLIMITED,
        *,
        trusted: bool = False,
        validate: Validate | None = None,
    ) -> None:
        self.schema = schema
        self.settings = settings
        self.access = access
        self.trusted = trusted
        self.validate = validate
        self.values: list[Any] = []
        self._counts: dict[str, int] = {}
        self._allowed: dict[str, Allowed] = {}
        self._asked: dict[Resource, None] = {}

    @property
    def asked(self) -> tuple[Resource, ...]:
        """The resources whose policy the plan depends on."""
        return tuple(self._asked)

    def _access_to(self, resource: Resource) -> Access:
        self._asked[resource] = None
        return self.access

    @property
    def allowed(self) -> tuple[Allowed, ...]:
        """Every resource that the plan touches, with the rows of it that may be read."""
        return tuple(self._allowed.values())

    def allow(self, resource: Resource) -> None:
        """Take a resource into the plan: its rows, as far as they may be read."""
        if resource.name in self._allowed:
            return
        self._access_to(resource).require(resource, "read")
        decision = self.access.rows(resource, "read")
        if isinstance(decision, Condition):
            kinds = decision.form.types.values()
            slots = tuple(
                self.slot(value, field_type(type_).kind)
                for value, type_ in zip(decision.values, kinds, strict=True)
            )
            self._allowed[resource.name] = Allowed(resource, decision.form, slots)
        else:
            self._allowed[resource.name] = Allowed(resource)

    def readable(self, resource: Resource) -> tuple[Field, ...]:
        """The fields that ``*`` stands for."""
        return self.access.readable(resource)

    def versioned(self, resource: Resource) -> tuple[Field, ...]:
        """The fields whose change is a new version of a row."""
        return tuple(resource.fields.values()) if self.trusted else self.readable(resource)

    def slot(self, value: object, kind: Kind, field: Field | None = None) -> Slot:
        """Take a value out of the plan."""
        self.values.append(value)
        return Slot(index=len(self.values) - 1, kind=kind, field=field)

    def value_slot(self, target: FieldValue, text: str, parameter: str) -> Slot:
        """Convert a filter's text to what ``target`` holds, and take it out."""
        try:
            value = from_text(target.type, text)
        except ValueError as fault:
            raise InvalidQuery.at(parameter, f"{parameter}: {text!r} {fault}") from None
        return self.slot(value, target.type.kind, None if target.steps else target.field)

    def spend(self, what: str, limit: int, parameter: str, amount: int = 1) -> None:
        """Count against a limit of the request; ``what`` is the setting's last word."""
        used = self._counts[what] = self._counts.get(what, 0) + amount
        if used > limit and not self.trusted:
            detail = f"{parameter}: at most {limit} {what.lower()} a request (CARBOY_MAX_{what})"
            raise LimitExceeded(
                detail, [Problem(detail=detail, code=LimitExceeded.code, parameter=parameter)]
            )

    def field(self, resource: Resource, name: str, parameter: str) -> Field:
        """The field, if it is there and may be read; the same answer for both faults."""
        field = resource.fields.get(name)
        if field is None or not (self.trusted or field in self.readable(resource)):
            known = [f.name for f in self.readable(resource)]
            raise self.unknown("field", name, resource, known, parameter)
        return field

    def may_search(self, resource: Resource, field: Field) -> bool:
        """Whether ``q=`` looks into a search field."""
        return self.trusted or field in self.readable(resource)

    def value(self, resource: Resource, ref: FieldRef, parameter: str) -> FieldValue:
        """A field or a place inside a JSON field."""
        field = self.field(resource, ref.name, parameter)
        if ref.steps and field.type.kind is not Kind.JSON:
            raise InvalidQuery.at(parameter, f"{parameter}: {ref.name!r} is no JSON field")
        for step in ref.steps:
            if isinstance(step, str) and ('"' in step or "\\" in step):
                raise InvalidQuery.at(
                    parameter, f"{parameter}: a JSON key can't hold quotes or backslashes here"
                )
            if isinstance(step, int) and not -(2**31) <= step < 2**31:
                raise InvalidQuery.at(parameter, f"{parameter}: {step} is no array index")
        return FieldValue(field=field, steps=ref.steps, as_text=ref.as_text)

    def related_value(
        self, resource: Resource, path: tuple[str, ...], ref: FieldRef, parameter: str
    ) -> FieldValue | RelatedValue:
        """A value of the resource, or of the one that a path of to-one relations leads to."""
        if not path:
            return self.value(resource, ref, parameter)
        relation, target = self.relation(resource, path[0], None, parameter)
        if relation.many:
            raise InvalidQuery.at(
                parameter, f"{parameter}: {path[0]!r} leads to many rows; order needs one"
            )
        self.spend("EMBEDS", self.settings.max_embeds, parameter)
        inner = self.related_value(target, path[1:], ref, parameter)
        return RelatedValue(relation=relation, resource=target, value=inner)

    def relation(
        self, resource: Resource, name: str, hint: str | None, parameter: str
    ) -> tuple[Relation, Resource]:
        """The one relation that a name and a hint mean, and where it leads."""
        reachable = [
            relation
            for relations in resource.relations.values()
            for relation in relations
            if self.reaches(resource, relation)
        ]
        named = [r for r in reachable if r.name == name]
        if not named:
            known = sorted({r.name for r in reachable})
            raise self.unknown("relation", name, resource, known, parameter)
        meant = [r for r in named if hint is None or hint in r.hints or hint == r.attribute]
        if len(meant) != 1:
            hints = ", ".join(f"{name}!{h}" for h in _telling_hints(named))
            fault = "could mean several relations" if meant else f"has no {hint!r}"
            raise InvalidQuery.at(parameter, f"{parameter}: {name!r} {fault}; write one of {hints}")
        target = self.schema.resources[meant[0].target]
        self.allow(target)
        if meant[0].through is not None:
            self.allow(self.schema.resources[meant[0].through])
        return meant[0], target

    def reaches(self, resource: Resource, relation: Relation) -> bool:
        """Whether the request may know where a relation leads, and which columns tie the rows."""
        names = [name for name in (relation.target, relation.through) if name is not None]
        others = [self.schema.resources[name] for name in names]
        if any(self._access_to(other).rows(other, "read") is False for other in others):
            return False
        if self.trusted:
            return True
        if not others[0].exposed:
            return False
        ends = (resource, *others)
        hidden = any(self._access_to(r).hides(r, relation.columns) for r in ends)
        return not hidden

    def unknown(
        self, what: str, name: str, resource: Resource, known: Iterable[str], parameter: str
    ) -> InvalidQuery:
        """The 400 for a name that isn't there, with the nearest that are."""
        near = difflib.get_close_matches(name, list(known), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return InvalidQuery.at(
            parameter, f"{parameter}: {resource.name!r} has no {what} {name!r}{hint}"
        )


def is_text(value: FieldValue) -> bool:
    """Whether patterns and words can be looked for in it."""
    return value.type.kind in _TEXTUAL


def _telling_hints(relations: list[Relation]) -> list[str]:
    """For each relation the first hint that no other one of them has."""
    hints: list[str] = []
    for relation in relations:
        others = {h for r in relations if r is not relation for h in r.hints}
        own = [h for h in relation.hints if h not in others]
        hints.extend(own[:1] or relation.hints[:1])
    return sorted(set(hints))
