"""JSON Web Tokens (RFC 7519, RFC 8725): the signature, the claims, and the actor that they name.

The kind of key decides the algorithm, never the token: what verifies RS256 can't be used as the
secret of an HS256.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jwt

from ..access import Actor
from ..errors import Unauthorized
from ..settings import SettingError, Settings
from .key_set import KeySet
from .keys import ASYMMETRIC, Key, UnusableKey, public_key, secret_key

_MAX_LENGTH = 8192


class Keys(Protocol):
    """Where the key of a token comes from."""

    def find(self, kid: str | None, algorithm: str) -> Key:
        """The key that a token names; raises Unauthorized, and Unavailable where none can tell."""


class OneKey:
    """One key for all tokens, whatever name they give it."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def find(self, kid: str | None, algorithm: str) -> Key:
        return self._key


class Tokens:
    """Verifies tokens as the ``CARBOY_JWT_*`` settings say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._algorithms = _algorithms(settings)
        self._keys = _keys(settings, self._algorithms)

    def actor(self, token: str) -> Actor:
        """Whom a token stands for; raises Unauthorized, which says what is wrong with it."""
        if len(token) > _MAX_LENGTH:
            raise Unauthorized.bad_token(f"the token is longer than {_MAX_LENGTH} characters")
        try:
            claims = self._claims(token)
        except jwt.PyJWTError as error:
            raise Unauthorized.bad_token(_fault(error)) from None
        return Actor(self._id(claims), self._roles(claims))

    def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if "crit" in header:
            # RFC 7515, section 4.1.11: what isn't understood must not be passed over.
            raise Unauthorized.bad_token("the token demands extensions (crit); none is known here")
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise Unauthorized.bad_token(
                f"the token's alg must be {' or '.join(self._algorithms)} here"
            )
        key = self._keys.find(header.get("kid"), algorithm)
        return jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=self._settings.jwt_audience or None,
            issuer=self._settings.jwt_issuer or None,
            leeway=self._settings.jwt_leeway,
            options={"require": ["exp"], "enforce_minimum_key_length": True},
        )

    def _id(self, claims: Mapping[str, Any]) -> str | int:
        name = self._settings.jwt_id_claim
        value = _claim(claims, name)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unauthorized.bad_token(f"the token's {name!r} must be text or a whole number")
        if not str(value).strip() or not str(value).isprintable():
            raise Unauthorized.bad_token(f"the token's {name!r} is empty or can't be printed")
        return value

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        name = self._settings.jwt_roles_claim
        value = _claim(claims, name)
        if value is None:
            return frozenset()
        roles = value.split() if isinstance(value, str) else value
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise Unauthorized.bad_token(f"the token's {name!r} must be a list of texts, or a text")
        return frozenset(roles)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, which may have dots in it, or by a path of names with dots between."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _fault(error: jwt.PyJWTError) -> str:
    """What is wrong with a token, in our own words: a library's may change, and tell more."""
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired"
        case jwt.ImmatureSignatureError():
            return "the token isn't valid yet (nbf, iat)"
        case jwt.InvalidAudienceError():
            return "the token is for another audience (aud)"
        case jwt.InvalidIssuerError():
            return "the token is by another issuer (iss)"
        case jwt.MissingRequiredClaimError():
            return f"the token has no {error.claim!r}"
        case jwt.exceptions.InvalidSubjectError():
            return "the token's 'sub' must be text"
        case jwt.InvalidSignatureError():
            return "the token's signature isn't right"
        case _:
            return "the token can't be read, or isn't signed as it should be"


def _algorithms(settings: Settings) -> tuple[str, ...]:
    """What the kind of key can verify, or the part of it that the setting names."""
    possible = ("HS256",) if settings.jwt_secret else ASYMMETRIC
    named = tuple(settings.jwt_algorithms.replace(",", " ").split())
    for name in named:
        if name not in possible:
            key = "secret" if settings.jwt_secret else "public key"
            raise SettingError(
                f"CARBOY_JWT_ALGORITHMS: with a {key} it takes {' '.join(possible)}, not {name!r}"
            )
    return named or possible


def _keys(settings: Settings, algorithms: tuple[str, ...]) -> Keys:
    try:
        if settings.jwt_secret:
            return OneKey(secret_key(settings.jwt_secret))
        if settings.jwt_public_key:
            key = public_key(settings.jwt_public_key)
            if key.algorithm not in algorithms:
                raise UnusableKey(
                    f"it is for {key.algorithm}, which CARBOY_JWT_ALGORITHMS excludes"
                )
            return OneKey(key)
    except UnusableKey as error:
        name = "CARBOY_JWT_SECRET" if settings.jwt_secret else "CARBOY_JWT_PUBLIC_KEY"
        raise SettingError(f"{name}: {error}") from None
    return KeySet(settings.jwt_jwks)
