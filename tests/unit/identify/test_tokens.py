"""JSON Web Tokens: what each kind of key takes, and everything that is refused."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from carboy.access import Actor
from carboy.errors import Unauthorized
from carboy.identify import Identify
from carboy.identify.tokens import Tokens
from carboy.settings import SettingError, read_settings

from .issuer import PRIVATE, SECRET, by_hand, claims, pem, token


def tokens(**settings: Any) -> Tokens:
    """What verifies tokens with ``CARBOY_JWT_*`` settings, by the secret unless told otherwise."""
    if not settings.keys() & {"secret", "public_key", "jwks"}:
        settings["secret"] = SECRET
    return Tokens(read_settings({f"CARBOY_JWT_{k.upper()}": v for k, v in settings.items()}))


def refusal(text: str, **settings: Any) -> str:
    """Why a token is refused: the detail of a 401 with the header of RFC 6750."""
    with pytest.raises(Unauthorized) as caught:
        tokens(**settings).actor(text)
    assert caught.value.headers == (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
    return caught.value.detail


UNSIGNED = by_hand({"alg": "none"}, claims()).rpartition(".")[0] + "."


def another(algorithm: str) -> Any:
    """A private key that isn't the issuer's."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def test_a_secret_takes_hs256() -> None:
    """A token by the shared secret names its actor."""
    assert tokens().actor(token()) == Actor("ada")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_takes_its_own_algorithm(algorithm: str) -> None:
    """A key in PEM verifies what its private key signed, and says by itself how."""
    verifier = tokens(public_key=pem(PRIVATE[algorithm]))
    assert verifier.actor(token(algorithm)) == Actor("ada")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_is_never_a_secret(algorithm: str) -> None:
    """An HS256 with the text of the public key as its secret is refused, and so is alg none."""
    public = pem(PRIVATE[algorithm])
    for text in (public, public.strip()):
        forged = by_hand({"alg": "HS256", "typ": "JWT"}, claims(), text)
        assert "alg must be" in refusal(forged, public_key=public)
    assert "alg must be" in refusal(
        by_hand({"alg": "none"}, claims()).rpartition(".")[0] + ".", public_key=public
    )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("other", ["RS256", "ES256", "EdDSA"])
def test_a_key_of_another_kind_is_refused(algorithm: str, other: str) -> None:
    """Each algorithm with each key: only its own is taken."""
    private = another(other) if algorithm == other else PRIVATE[other]
    detail = refusal(token(other, private), public_key=pem(PRIVATE[algorithm]))
    assert detail.startswith("the token's signature" if algorithm == other else "the token can't")


def _tampered() -> str:
    header, _, signature = token().split(".")
    return ".".join((header, token(sub="eve").split(".")[1], signature))


NOW = int(time.time())
REFUSED: list[tuple[Any, str]] = [
    ("", "can't be read"),
    ("a", "can't be read"),
    ("a.b.c", "can't be read"),
    ("….…", "can't be read"),
    (f"{token()}xx", "can't be read"),
    (f"{token()}.x", "can't be read"),
    (token()[:-3], "signature"),
    (token().rsplit(".", 1)[0] + ".", "signature"),
    (_tampered(), "signature"),
    (token(key="another secret of thirty-two bytes"), "signature"),
    (UNSIGNED, "alg must be HS256"),
    (token("HS512", SECRET * 2), "alg must be HS256"),
    (token("RS256"), "alg must be HS256"),
    (by_hand({"typ": "JWT"}, claims()), "alg must be HS256"),
    (by_hand({"alg": ["HS256"]}, claims()), "alg must be HS256"),
    (by_hand({"alg": "hs256"}, claims()), "alg must be HS256"),
    (by_hand({"alg": "HS256", "kid": 1}, claims()), "can't be read"),
    (by_hand({"alg": "HS256", "crit": ["exp"]}, claims()), "can't be read"),
    (by_hand({"alg": "HS256", "crit": []}, claims()), "can't be read"),
    (by_hand({"alg": "HS256", "crit": ["b64"], "b64": True}, claims()), "extensions (crit)"),
    (by_hand(["HS256"], claims()), "can't be read"),
    (by_hand({"alg": "HS256"}, [1]), "can't be read"),
    (by_hand({"alg": "HS256"}, "text"), "can't be read"),
    (token(more="x" * 8192), "longer than 8192"),
    (token(exp=None), "no 'exp'"),
    (token(exp=NOW - 31), "expired"),
    (by_hand({"alg": "HS256"}, claims(exp="soon")), "can't be read"),
    (by_hand({"alg": "HS256"}, claims(exp=float("nan"))), "can't be read"),
    (token(nbf=NOW + 86_400), "isn't valid yet"),
    (token(iat=NOW + 86_400), "isn't valid yet"),
    (by_hand({"alg": "HS256"}, claims(sub=7)), "'sub' must be text"),
    (token(sub=None), "'sub' must be text or a whole number"),
    (token(sub=""), "'sub' is empty"),
    (token(sub="a\0b"), "can't be printed"),
    (token(sub="\ud800"), "can't be printed"),
    (token(aud="shop"), "another audience"),
    (token(roles=7), "'roles' must be a list"),
    (token(roles=["a", 7]), "'roles' must be a list"),
    (token(roles={"a": True}), "'roles' must be a list"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_is_wrong_with_a_token_is_said(text: str, reason: str) -> None:
    """Each fault is a 401 whose detail names it, and tells neither the token nor the secret."""
    detail = refusal(text)
    assert reason in detail
    assert SECRET not in detail


def from_now(said: dict[str, Any]) -> dict[str, Any]:
    """Claims with their times as they are counted, and not from the moment of the test."""
    now = int(time.time())
    return {k: now + v if k in ("exp", "nbf", "iat") else v for k, v in said.items()}


@pytest.mark.parametrize(
    ("said", "settings"),
    [
        ({"exp": -20}, {}),
        ({"nbf": 20}, {}),
        ({"iat": 20}, {}),
        ({"exp": -100}, {"leeway": 3600}),
        ({"iss": "https://id.example.com"}, {"issuer": "https://id.example.com"}),
        ({"aud": "shop"}, {"audience": "shop"}),
        ({"aud": ["blog", "shop"]}, {"audience": "shop"}),
        ({"iss": "anybody"}, {}),
    ],
)
def test_claims_are_taken_within_the_settings(said: Any, settings: Any) -> None:
    """Clocks may differ by the leeway; the issuer and the audience are those that are set."""
    assert tokens(**settings).actor(token(**from_now(said))).id == "ada"


@pytest.mark.parametrize(
    ("said", "settings", "reason"),
    [
        ({"exp": -2}, {"leeway": 0}, "expired"),
        ({"iss": "https://evil.example.com"}, {"issuer": "https://id.example.com"}, "issuer"),
        ({}, {"issuer": "https://id.example.com"}, "no 'iss'"),
        ({"aud": "blog"}, {"audience": "shop"}, "another audience"),
        ({"aud": ["blog"]}, {"audience": "shop"}, "another audience"),
        ({}, {"audience": "shop"}, "no 'aud'"),
    ],
)
def test_claims_outside_the_settings_are_refused(said: Any, settings: Any, reason: str) -> None:
    """What an issuer or an audience is set for, a token has to say."""
    assert reason in refusal(token(**from_now(said)), **settings)


@pytest.mark.parametrize(
    ("said", "settings", "actor"),
    [
        ({"roles": ["editor", "admin"]}, {}, Actor("ada", frozenset(("editor", "admin")))),
        ({"roles": "editor admin"}, {}, Actor("ada", frozenset(("editor", "admin")))),
        ({"roles": []}, {}, Actor("ada")),
        ({"scope": "read write"}, {"roles_claim": "scope"}, Actor("ada", {"read", "write"})),  # type: ignore[arg-type]
        (
            {"realm_access": {"roles": ["admin"]}},
            {"roles_claim": "realm_access.roles"},
            Actor("ada", frozenset(("admin",))),
        ),
        ({"realm_access": "none"}, {"roles_claim": "realm_access.roles"}, Actor("ada")),
        (
            {"https://example.com/roles": ["admin"]},
            {"roles_claim": "https://example.com/roles"},
            Actor("ada", frozenset(("admin",))),
        ),
        ({"user": {"id": 7}}, {"id_claim": "user.id"}, Actor(7)),
    ],
)
def test_the_actor_is_in_the_claims_that_are_set(said: Any, settings: Any, actor: Actor) -> None:
    """The id and the roles come from claims of any name, or from inside them."""
    found = tokens(**settings).actor(token(**said))
    assert (found.id, found.roles) == (actor.id, actor.roles)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"secret": "short"}, "CARBOY_JWT_SECRET: HS256 needs a secret of 32"),
        ({"secret": pem(PRIVATE["RS256"])}, "CARBOY_JWT_SECRET: that is a public key"),
        ({"public_key": "MIIB"}, "CARBOY_JWT_PUBLIC_KEY: that is no public key in PEM"),
        (
            {"public_key": pem(rsa.generate_private_key(65537, 1024))},  # noqa: S505  it is refused
            "CARBOY_JWT_PUBLIC_KEY: an RSA key needs 2048 bits or more, not 1024",
        ),
        (
            {"public_key": pem(ec.generate_private_key(ec.SECP384R1()))},
            "CARBOY_JWT_PUBLIC_KEY: a key must be RSA, or on the curve P-256 or Ed25519",
        ),
        ({"secret": SECRET, "algorithms": "RS256"}, "with a secret it takes HS256, not 'RS256'"),
        ({"secret": SECRET, "algorithms": "none"}, "takes HS256, not 'none'"),
        (
            {"public_key": pem(PRIVATE["RS256"]), "algorithms": "RS256 HS256"},
            "with a public key it takes RS256 ES256 EdDSA, not 'HS256'",
        ),
        (
            {"public_key": pem(PRIVATE["RS256"]), "algorithms": "ES256"},
            "CARBOY_JWT_PUBLIC_KEY: it is for RS256",
        ),
        (
            {"secret": SECRET, "public_key": pem(PRIVATE["RS256"])},
            "set one of CARBOY_JWT_SECRET and CARBOY_JWT_PUBLIC_KEY",
        ),
        ({"audience": "shop"}, "CARBOY_JWT_AUDIENCE needs a key beside it"),
        ({"secret": SECRET, "leeway": -1}, "CARBOY_JWT_LEEWAY, in app.config, must be at least 0"),
        ({"secret": b"bytes"}, "CARBOY_JWT_SECRET, in app.config, must be text, not of type bytes"),
        ({"jwks": "http://id.example.com/keys"}, "CARBOY_JWT_JWKS must be a file or an https://"),
        ({"jwks": "no/such.json"}, "CARBOY_JWT_JWKS: no/such.json can't be used"),
    ],
)
def test_settings_that_would_not_be_safe_are_refused(settings: Any, message: str) -> None:
    """A weak or wrong key, or an algorithm that isn't the key's, is found before any request."""
    with pytest.raises(SettingError) as caught:
        Identify(read_settings({f"CARBOY_JWT_{k.upper()}": v for k, v in settings.items()}), None)
    assert message in str(caught.value)


def test_a_key_without_the_library_is_a_setting_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets a key and hasn't installed PyJWT is told what to install."""
    monkeypatch.delitem(sys.modules, "carboy.identify.tokens")
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(SettingError, match=r"CARBOY_JWT_SECRET needs PyJWT: .*carboy\[jwt\]"):
        Identify(read_settings({"CARBOY_JWT_SECRET": SECRET}), None)
    Identify(read_settings({}), None)


def test_settings_never_show_their_secrets() -> None:
    """A traceback with the settings in it doesn't hold the secret."""
    assert SECRET not in repr(read_settings({"CARBOY_JWT_SECRET": SECRET}))


_ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**70,
    1e400,
    float("nan"),
    "",
    "x",
    "9" * 5000,
    [],
    [[]],
    {},
    {"a": 1},
]
_NAMES = ["alg", "crit", "kid", "b64", "exp", "nbf", "iat", "aud", "iss", "sub", "roles", "jti"]
_FIELDS = st.dictionaries(st.sampled_from(_NAMES), st.sampled_from(_ODD), max_size=3)
_VERIFIER = tokens(issuer="id", audience="shop")


@given(_FIELDS, _FIELDS)
def test_whatever_a_token_holds_it_is_taken_or_refused(header: Any, payload: Any) -> None:
    """No header and no claims of a well-signed token raise anything but a 401."""
    text = by_hand({"alg": "HS256", **header}, {**claims(iss="id", aud="shop"), **payload})
    with suppress(Unauthorized):
        assert isinstance(_VERIFIER.actor(text), Actor)


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_text_at_all_is_refused(text: str) -> None:
    """What isn't a token is a 401, whatever bytes a header holds."""
    with pytest.raises(Unauthorized):
        _VERIFIER.actor(text)
