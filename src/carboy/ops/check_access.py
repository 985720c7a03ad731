"""Checks of policies: what they answer to actors who could come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..access import ACTIONS, ANONYMOUS, Access, Action, Actor
from ..access.policy import HasRole
from ..errors import ApiError
from ..schema import Field, Resource
from ..schema.secrets import looks_secret
from .checked import Checked, Fault, listed
from .rules import rules_of

# As tokens and API keys have it: text.
_SIGNED_IN = Actor("1")


def policy_raises(app: Checked) -> Iterator[Fault]:
    """What a rule raises is a 500 for whoever asks."""
    every_role = Actor("1", frozenset(_roles(app)))
    actors = {"nobody": ANONYMOUS, "a signed-in actor": _SIGNED_IN, "one with roles": every_role}
    for resource in app.schema.exposed():
        seen: set[str] = set()
        for who, actor in actors.items():
            for rule, error in _raised(Access(actor, app.policies), resource):
                if rule not in seen:
                    seen.add(rule)
                    yield Fault(
                        f"resource {resource.name!r}: {rule} raises "
                        f"{type(error).__name__} for {who}: {error}",
                        "let it answer False for actors whom it can't judge",
                    )


def open_writes(app: Checked) -> Iterator[Fault]:
    """Anybody may update or delete every row."""
    for action in ("update", "delete"):
        names = [r.name for r in app.schema.exposed() if _is_open(app, r, action)]
        if names:
            yield Fault(
                f"anybody may {action} every row of {listed(names)}, without credentials",
                _fix(app, f"give them a policy whose {action} asks for a role"),
            )


def open_creates(app: Checked) -> Iterator[Fault]:
    """Anybody may create rows."""
    names = [r.name for r in app.schema.exposed() if _is_open(app, r, "create")]
    if names:
        yield Fault(
            f"anybody may create rows of {listed(names)}, without credentials",
            _fix(app, "give them a policy whose create asks for a role, or limit requests"),
        )


def secret_fields(app: Checked) -> Iterator[Fault]:
    """Something that is named like a secret is read by all, or by whoever has signed in."""
    for resource in app.schema.exposed():
        for who, actor in (("anybody", ANONYMOUS), ("every signed-in actor", _SIGNED_IN)):
            names = [
                f.name for f in _read_by(app, resource, actor) if looks_secret(f.name, f.column)
            ]
            if names:
                yield Fault(
                    f"{who} may read {listed(names)} of {resource.name!r}",
                    _fix(app, f"hide them: hidden={tuple(names)!r}, or rules in policy's fields"),
                )
                break


def open_reads(app: Checked) -> Iterator[Fault]:
    """Anybody may read everything that a resource has."""
    names = [
        r.name
        for r in app.schema.exposed()
        if _rows(app, r, "read", ANONYMOUS) is True
        and len(_read_by(app, r, ANONYMOUS)) == len(r.fields)
    ]
    if names:
        yield Fault(
            f"anybody may read all fields of every row of {listed(names)}, without credentials",
            _fix(app, "give them a policy, or name their public fields with readable="),
        )


def _fix(app: Checked, fix: str) -> str:
    """A database that is served without code has no policies."""
    if app.config is not None:
        return fix
    return "keep it from the network, or serve it from an application, which can have policies"


def _is_open(app: Checked, resource: Resource, action: Action) -> bool:
    return not resource.read_only and _rows(app, resource, action, ANONYMOUS) is True


def _rows(app: Checked, resource: Resource, action: Action, who: Actor) -> object:
    """The decision; what the rule raises, ``policy_raises`` says."""
    return _tried(lambda: Access(who, app.policies).rows(resource, action))


def _read_by(app: Checked, resource: Resource, who: Actor) -> tuple[Field, ...]:
    """The fields that an actor may read, be it in some rows only."""
    if _rows(app, resource, "read", who) is False:
        return ()
    fields = _tried(lambda: Access(who, app.policies).readable(resource))
    return fields if isinstance(fields, tuple) else ()


def _raised(access: Access, resource: Resource) -> Iterator[tuple[str, Exception]]:
    """What the rules of a resource raise for an actor, by what they are for."""
    asked: dict[str, Callable[[], object]] = {}
    for action in ACTIONS:
        asked[f"its rule for {action}"] = lambda a=action: access.rows(resource, a)  # type: ignore[misc]
    asked["a rule in its fields"] = lambda: access.readable(resource)
    asked["a rule in its write_fields"] = lambda: access.writable(resource, "create")
    asked["a rule in its set_on_create"] = lambda: access.values(resource, "create")
    asked["a rule in its set_on_update"] = lambda: access.values(resource, "update")
    for rule, ask in asked.items():
        answer = _tried(ask)
        # An ApiError is an answer, such as that nobody may write here.
        if isinstance(answer, Exception) and not isinstance(answer, ApiError):
            yield rule, answer


def _tried(ask: Callable[[], object]) -> object:
    """The answer, or what was raised."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  a rule is the application's own code
        return error


def _roles(app: Checked) -> Iterator[str]:
    """The roles that rules ask for, as far as they say so."""
    for policy in app.policies.values():
        for rule in rules_of(policy):
            if isinstance(rule, HasRole):
                yield from rule.names
