"""Who may do what, and by which rule: one question answered, or the table for a reviewer."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.orm import Session

from ..access import ACTIONS, ANONYMOUS, Access, Action, Actor, Condition, Policy
from ..access.policy import HasRole
from ..errors import ApiError, CommandError
from ..execute import Database, execute_read
from ..execute.guard import Guard
from ..pipeline import Api
from ..plan import Context, at_key, plan_item
from ..plan.write import item_key
from ..request import Query, split_key
from ..schema import Field, Resource
from ..sql.expressions import policy_condition
from .rules import rule_text, rules_of

Allowed: TypeAlias = Literal["yes", "no", "some rows", "fault"]

_SAMPLE_ID = 918_273_645
"""An id that stands for any: where it turns up in a condition, ``:id`` is shown."""


class ReviewError(CommandError):
    """What is asked about isn't there, or can't be told; the message says why."""


class Verdict(Struct, frozen=True):
    """What a rule answers one actor; ``condition`` tells the rows as SQL, or what went wrong."""

    allowed: Allowed
    condition: str | None = None


class Answer(Struct, frozen=True):
    """Yes or no, and the rule that says so.

    ``decided_by`` is the action whose rule it is: what may not be read can't be changed either.
    ``row`` says what became of the key.
    """

    allowed: bool
    actor: str
    action: Action
    resource: str
    decided_by: Action
    rule: str
    condition: str | None = None
    key: str | None = None
    row: str | None = None


class Line(Struct, frozen=True):
    """An action on a resource, or on one field of it, and a verdict for each actor."""

    action: Action | Literal["write"]
    rule: str
    verdicts: tuple[Verdict, ...]
    field: str | None = None


class ResourceReview(Struct, frozen=True):
    """All rules of one resource."""

    name: str
    lines: tuple[Line, ...]


class Review(Struct, frozen=True):
    """All rules, asked for the same actors."""

    actors: tuple[str, ...]
    resources: tuple[ResourceReview, ...]


def can(api: Api, who: Actor, action: Action, name: str, key: str | None = None) -> Answer:
    """Whether an actor may do something with a resource, or with the row of a key.

    Without a key, some rows are enough. Raises ReviewError.
    """
    resource = _resource(api, name)
    if action == "create" and key is not None:
        raise ReviewError("create takes no key: the row isn't there yet")
    answer = _asked(api, who, "read" if action in ("update", "delete") else action, resource)
    if answer.allowed and action in ("update", "delete"):
        # A row that may not be read is not found by a write.
        answer = _asked(api, who, action, resource)
    answer = msgspec.structs.replace(answer, action=action, key=key)
    if key is None or not answer.allowed:
        return answer
    try:
        return _about_row(api, who, resource, key, answer)
    except ApiError as error:
        raise ReviewError(error.detail) from error


def _asked(api: Api, who: Actor, action: Action, resource: Resource) -> Answer:
    """The rule of one action, asked."""
    verdict = _verdict(api, Access(who, api.policies.policies), resource, action)
    rule = _rule(_policy(api, resource), resource, action)
    if verdict.allowed == "fault":
        raise ReviewError(f"resource {resource.name!r}: {rule}: {verdict.condition}")
    return Answer(
        allowed=verdict.allowed != "no",
        actor=_actor_text(who),
        action=action,
        resource=resource.name,
        decided_by=action,
        rule=rule,
        condition=verdict.condition,
    )


def _about_row(api: Api, who: Actor, resource: Resource, key: str, answer: Answer) -> Answer:
    """What becomes of the answer for one row, by the very statements that requests use."""
    access = Access(who, api.policies.policies)
    if not _is_there(api, Access(who, {}), resource, key):
        return msgspec.structs.replace(answer, allowed=False, row="there is no such row")
    if not _is_there(api, access, resource, key):
        read = _asked(api, who, "read", resource)
        row = "it doesn't fulfil the condition"
        return msgspec.structs.replace(read, action=answer.action, key=key, allowed=False, row=row)
    if answer.action != "read":
        database = api.databases[resource.bind]
        with Session(database.engine) as session:
            database.tell(session.connection(), who)
            wanted = item_key(resource, split_key(key))
            fulfils = bool(Guard(session, access).within(answer.action, resource, [wanted]))
        if not fulfils:
            row = "it doesn't fulfil the condition"
            return msgspec.structs.replace(answer, allowed=False, row=row)
    row = "it fulfils the condition" if answer.condition else "it is there"
    return msgspec.structs.replace(answer, row=row)


def _is_there(api: Api, access: Access, resource: Resource, key: str) -> bool:
    context = Context(api.schema, api.settings, access)
    planned = at_key(plan_item(context, resource, Query()), resource, split_key(key))
    return execute_read(api.databases[resource.bind], planned, access.who) is not None


def review(api: Api, roles: Sequence[str] = ()) -> Review:
    """Every rule, asked for nobody, for whoever is signed in, and for each role.

    The roles are those that rules name, those that functions ask for, and ``roles``.
    """
    policies = api.policies.policies
    found = sorted({*roles, *_roles(policies)})
    actors = {"anonymous": ANONYMOUS, "signed in": Actor(_SAMPLE_ID)}
    actors |= {f"role {role}": Actor(_SAMPLE_ID, frozenset((role,))) for role in found}
    accesses = [Access(who, policies) for who in actors.values()]
    resources = tuple(
        ResourceReview(
            resource.name,
            (*_action_lines(api, accesses, resource), *_field_lines(api, accesses, resource)),
        )
        for resource in api.schema.exposed()
    )
    return Review(tuple(actors), resources)


def _action_lines(api: Api, accesses: Sequence[Access], resource: Resource) -> Iterator[Line]:
    policy = _policy(api, resource)
    for action in ACTIONS:
        verdicts = tuple(_verdict(api, access, resource, action) for access in accesses)
        yield Line(action, _rule(policy, resource, action), verdicts)


def _field_lines(api: Api, accesses: Sequence[Access], resource: Resource) -> Iterator[Line]:
    """Fields that nobody may read, and those with rules of their own."""
    policy = _policy(api, resource)
    nobody = tuple(Verdict("no") for _ in accesses)

    def asked(rule: Any) -> tuple[Verdict, ...]:
        return tuple(_field_verdict(rule, access.who) for access in accesses)

    for field in resource.fields.values():
        name = field.name
        if not field.readable:
            yield Line("read", _hidden_text(field), nobody, name)
        elif name in policy.fields:
            yield Line("read", rule_text(policy.fields[name]), asked(policy.fields[name]), name)
        if name in policy.set_on_create:
            yield Line("create", "set by the policy", nobody, name)
        if name in policy.set_on_update:
            yield Line("update", "set by the policy", nobody, name)
    for name, rule in policy.write_fields.items():
        yield Line("write", rule_text(rule), asked(rule), name)


def _hidden_text(field: Field) -> str:
    return "hidden: it looks like a secret" if field.secret else "hidden"


def _field_verdict(rule: Any, who: Actor) -> Verdict:
    try:
        return Verdict("yes" if (rule(who) if callable(rule) else rule) else "no")
    except Exception as fault:  # noqa: BLE001  a rule of the application's; the table goes on
        return Verdict("fault", _fault_text(fault))


def _verdict(api: Api, access: Access, resource: Resource, action: Action) -> Verdict:
    if action != "read" and (resource.read_only or not resource.key):
        return Verdict("no")
    try:
        decision = access.rows(resource, action)
        if isinstance(decision, Condition):
            return Verdict("some rows", _condition_sql(api, resource, decision))
    except Exception as fault:  # noqa: BLE001  a rule of the application's; the table goes on
        return Verdict("fault", _fault_text(fault))
    return Verdict("yes" if decision else "no")


def _fault_text(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"


def _condition_sql(api: Api, resource: Resource, condition: Condition) -> str:
    """The condition as the database gets it, with the values in their places."""
    types = condition.form.types.values()
    binds = [_shown(v, type_) for v, type_ in zip(condition.values, types, strict=True)]
    expression = policy_condition(resource, condition.form, binds, resource.source)
    # Within a SELECT, where subqueries find the row that they are about.
    database = api.databases[resource.bind]
    rows: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(resource.source)
    whole, rest = _sql(database, rows.where(expression)), _sql(database, rows)
    return whole.removeprefix(rest).removeprefix(" WHERE ")


def _sql(database: Database, query: sa.Select[Any]) -> str:
    """On one line, with literal values where their types have a way to be written."""
    make: Callable[..., Any] = type(database.engine.dialect)
    # Named parameters leave percent signs alone.
    dialect = make(paramstyle="named")
    try:
        compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    except (sa.exc.CompileError, NotImplementedError):
        compiled = query.compile(dialect=dialect)
    return " ".join(str(compiled).split())


def _shown(value: Any, type_: Any) -> sa.ColumnElement[Any]:
    if value in (_SAMPLE_ID, str(_SAMPLE_ID)):
        return sa.literal_column(":id", type_)
    return sa.literal(value, type_)


class _Asking(Actor, frozen=True):
    """An actor that has no role, and remembers which it was asked for."""

    asked: set[str] = msgspec.field(default_factory=set)

    def has(self, *roles: str) -> bool:
        self.asked.update(roles)
        return False


def _roles(policies: Mapping[str, Policy]) -> set[str]:
    found: set[str] = set()
    for policy in policies.values():
        for rule in rules_of(policy):
            if isinstance(rule, HasRole):
                found.update(rule.names)
            elif callable(rule):
                found |= _roles_asked_for(rule)
    return found


def _roles_asked_for(rule: Callable[[Actor], Any]) -> set[str]:
    asking = _Asking(_SAMPLE_ID)
    try:
        rule(asking)
    except Exception:  # noqa: BLE001  the table itself tells what is wrong
        return asking.asked
    return asking.asked


def _resource(api: Api, name: str) -> Resource:
    resource = api.schema.resources.get(name)
    if resource is None or not resource.exposed:
        known = [r.name for r in api.schema.exposed()]
        near = difflib.get_close_matches(name, known, n=3) or known
        raise ReviewError(f"there is no resource {name!r}; there is {', '.join(near)}")
    return resource


def _policy(api: Api, resource: Resource) -> Policy:
    return api.policies.policies[resource.name]


def _rule(policy: Policy, resource: Resource, action: Action) -> str:
    if action != "read" and resource.read_only:
        return "the resource is read-only"
    if action != "read" and not resource.key:
        return "the resource has no key"
    return rule_text(policy.rule(action))


def _actor_text(who: Actor) -> str:
    if who.is_anonymous:
        return "anonymous"
    return f"{who.id}:{','.join(sorted(who.roles))}" if who.roles else str(who.id)
