"""Keys that verify tokens: each with the one algorithm that it is for."""

from __future__ import annotations

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

ASYMMETRIC = ("RS256", "ES256", "EdDSA")
_SECRET_BYTES = 32
_RSA_BITS = 2048


class UnusableKey(ValueError):
    """A key can't be read, is too weak, or is for no algorithm that is taken; never says more."""


class Key(Struct, frozen=True, eq=False):
    """A key, the algorithm that it is for, and its name in a set."""

    key: Any
    algorithm: str
    kid: str | None = None


def secret_key(secret: str) -> Key:
    """A shared secret, for HS256 (RFC 7518, section 3.2: as long as the hash, or longer)."""
    if len(secret.encode()) < _SECRET_BYTES:
        raise UnusableKey(f"HS256 needs a secret of {_SECRET_BYTES} random bytes or more")
    try:
        key = jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError:
        raise UnusableKey("that is a public key, no secret; see CARBOY_JWT_PUBLIC_KEY") from None
    return Key(key, "HS256")


def public_key(pem: str) -> Key:
    """A public key in PEM; raises UnusableKey."""
    try:
        key = load_pem_public_key(pem.strip().encode())
    except ValueError:
        raise UnusableKey("that is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    return Key(key, _algorithm(key))


def read_key_set(text: bytes) -> tuple[Key, ...]:
    """The usable keys of a JWKS (RFC 7517, section 5); raises UnusableKey where there are none."""
    try:
        found = json.loads(text)["keys"]
        keys = tuple(key for each in found if (key := _from_jwk(each)) is not None)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnusableKey("that is no JSON Web Key Set") from None
    if not keys:
        raise UnusableKey(f"none of its keys is for {', '.join(ASYMMETRIC)}")
    return keys


def _from_jwk(jwk: Any) -> Key | None:
    """One key of a set; None for one that is for something else, as the RFC says."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("kty") == "oct":
        return None
    try:
        # Not ``jwk``'s own alg: what the key is says what it is for.
        key = jwt.PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
        algorithm = _algorithm(key)
    except (jwt.PyJWTError, UnusableKey):
        return None
    kid = jwk.get("kid")
    if jwk.get("alg", algorithm) != algorithm or not isinstance(kid, str | None):
        return None
    return Key(key, algorithm, kid)


def _algorithm(key: Any) -> str:
    match key:
        case RSAPublicKey() if key.key_size >= _RSA_BITS:
            return "RS256"
        case RSAPublicKey():
            raise UnusableKey(f"an RSA key needs {_RSA_BITS} bits or more, not {key.key_size}")
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
        case _:
            raise UnusableKey("a key must be RSA, or on the curve P-256 or Ed25519")
