"""One actor's access: the answers of all rules, found as planning asks for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..errors import ApiError, Forbidden, Unauthorized
from ..schema import Field, Resource, SchemaError, as_attribute, from_text
from ..schema.types import Kind
from .actor import ANONYMOUS, Actor, Nobody
from .condition import Condition, Form, decide
from .policy import Action, FieldRule, Policy, PolicyError

_KEPT_SECONDS = 1.0
_KEPT_ACTORS = 4096


class Access:
    """What one actor may do; rules are asked once.

    Answers are kept by resource and not by name: ``UNLIMITED`` serves every application.
    """

    def __init__(self, who: Actor, policies: Mapping[str, Policy]) -> None:
        self.who = who
        self._policies = policies
        self._rows: dict[tuple[Resource, Action], bool | Condition] = {}
        self._readable: dict[Resource, tuple[Field, ...]] = {}
        self._writable: dict[tuple[Resource, Action], frozenset[Field]] = {}

    def rows(self, resource: Resource, action: Action) -> bool | Condition:
        """All rows, none, or those that fulfil a condition."""
        key = (resource, action)
        if key not in self._rows:
            policy = self._policies.get(resource.name)
            # Without a policy there are only classes that the application never exposed.
            rule = True if policy is None else policy.rule(action)
            self._rows[key] = decide(rule, self.who, resource, action)
        return self._rows[key]

    def readable(self, resource: Resource) -> tuple[Field, ...]:
        """The fields that may be read."""
        if resource not in self._readable:
            policy = self._policies.get(resource.name)
            rules = {} if policy is None else policy.fields
            self._readable[resource] = tuple(
                f for f in resource.fields.values() if f.readable and self._holds(rules, f.name)
            )
        return self._readable[resource]

    def hides(self, resource: Resource, columns: frozenset[Any]) -> bool:
        """Whether one of the columns is a field that the policy keeps from the actor."""
        policy = self._policies.get(resource.name)
        if policy is None or not policy.fields:
            return False
        fields = resource.fields.values()
        return any(f.column in columns for f in fields if self.hides_field(resource, f))

    def hides_field(self, resource: Resource, field: Field) -> bool:
        """Whether the policy keeps a field from the actor that others may read."""
        return field.readable and field not in self.readable(resource)

    def writable(self, resource: Resource, action: Action) -> frozenset[Field]:
        """The fields that a body may hold when it creates or updates a row."""
        key = (resource, action)
        if key not in self._writable:
            policy = self._policies.get(resource.name)
            rules = {} if policy is None else policy.write_fields
            filled = self._filled(resource, action)
            self._writable[key] = frozenset(
                f
                for f in resource.fields.values()
                if f.writable and f.name not in filled and self._holds(rules, f.name)
            )
        return self._writable[key]

    def writes_relation(self, resource: Resource, name: str) -> bool:
        """Whether a body may nest rows under a relation: ``write_fields`` can name those, too."""
        policy = self._policies.get(resource.name)
        return policy is None or self._holds(policy.write_fields, name)

    def visible(self, resource: Resource, field: Field) -> bool:
        """Whether an answer may name the field."""
        return field in self.readable(resource) or any(
            field in self.writable(resource, action) for action in ("create", "update")
        )

    def values(self, resource: Resource, action: Action) -> dict[str, Any]:
        """What the policy fills in, by attribute."""
        fields = resource.fields
        return {
            name: self._filled_value(fields[name], give(self.who))
            for name, give in self._filled(resource, action).items()
        }

    def require(self, resource: Resource, action: Action) -> None:
        """Raise Unauthorized or Forbidden where no row at all may be touched."""
        if self.rows(resource, action) is False:
            raise self.refusal(f"{resource.name!r}: you may not {action} rows here")

    def refusal(self, detail: str) -> ApiError:
        """The error for what may not be done: 401 where it isn't known who asks, else 403."""
        if self.who.is_anonymous:
            challenge = [("WWW-Authenticate", "Bearer")]
            return Unauthorized(f"{detail} without credentials", headers=challenge)
        return Forbidden(detail)

    def _filled(self, resource: Resource, action: Action) -> Mapping[str, Any]:
        policy = self._policies.get(resource.name)
        if policy is None:
            return {}
        return policy.set_on_create if action == "create" else policy.set_on_update

    def _filled_value(self, field: Field, value: Any) -> Any:
        """An id that came as text, as the column has it."""
        if isinstance(value, Nobody):
            raise self.refusal(f"{field.name!r} is set to who asks: it can't be written")
        if not isinstance(value, str) or field.type.kind is Kind.TEXT:
            return value
        try:
            return as_attribute(field, from_text(field.type, value))
        except ValueError as fault:
            if value == self.who.id:
                detail = f"{field.name!r} is set to who asks, and can't hold their id"
                raise self.refusal(detail) from None
            raise PolicyError(f"the policy sets {field.name!r} to {value!r}: {fault}") from None

    def _holds(self, rules: Mapping[str, FieldRule], name: str) -> bool:
        rule = rules.get(name, True)
        verdict = rule(self.who) if callable(rule) else rule
        if not isinstance(verdict, bool):
            raise PolicyError(
                f"the rule for the field {name!r} answered {verdict!r}; "
                "a field's rule answers True or False, the same for all rows"
            )
        return verdict


UNLIMITED = Access(ANONYMOUS, MappingProxyType({}))
"""The application's own code, where it says that policies don't hold."""


class Policies:
    """All resources' policies, and the access of the actors seen last.

    An actor's answers are kept for a second: a busy client's rules aren't asked for each request,
    and a rule that looks at the time is right soon enough.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self.policies = policies
        self._kept: dict[Actor, tuple[float, Access]] = {}

    def access(self, who: Actor) -> Access:
        """The actor's access."""
        now = time.monotonic()
        kept = self._kept.get(who)
        if kept is not None and kept[0] > now:
            return kept[1]
        access = Access(who, self.policies)
        if len(self._kept) >= _KEPT_ACTORS:
            self._kept.clear()
        self._kept[who] = (now + _KEPT_SECONDS, access)
        return access


def check_policy(resource: Resource, policy: Policy) -> None:
    """Refuse a policy that names fields wrongly; raises SchemaError."""
    for option in ("fields", "write_fields", "set_on_create", "set_on_update"):
        relations = resource.relations if option == "write_fields" else ()
        for name in getattr(policy, option):
            if name not in resource.fields and name not in relations:
                known = ", ".join(sorted([*resource.fields, *relations]))
                raise SchemaError(
                    f"resource {resource.name!r}: its policy's {option} names {name!r}, "
                    f"which isn't there; it has {known}"
                )
    for name in policy.fields:
        if not resource.fields[name].readable:
            fix = (
                f"show=({name!r},) makes it readable"
                if resource.fields[name].secret
                else ("a rule for what nobody may read has no effect")
            )
            raise SchemaError(
                f"resource {resource.name!r}: its policy's fields name {name!r}, "
                f"which is hidden; {fix}"
            )
    for field in resource.key:
        if field.name in policy.fields:
            raise SchemaError(
                f"resource {resource.name!r}: its policy's fields can't hide {field.name!r}: "
                "it is the key, which URLs and cursors hold"
            )


def form(decision: bool | Condition) -> bool | Form:
    """What of a decision a statement depends on."""
    return decision.form if isinstance(decision, Condition) else decision
