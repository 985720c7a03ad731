"""An issuer of tokens with a key of each kind, made anew for each run of the tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "a secret of thirty-two bytes or so"
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(private: Any) -> str:
    """The public key of a private one, as a setting has it."""
    public: bytes = private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


def jwk(private: Any, **members: Any) -> dict[str, Any]:
    """The public key of a private one, as a set of keys has it."""
    kinds = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    algorithm: Any = next(each for kind, each in kinds.items() if isinstance(private, kind))
    return {**json.loads(algorithm.to_jwk(private.public_key())), **members}


def claims(**others: Any) -> dict[str, Any]:
    """What a good token says, with ``others`` beside or in place of it; None leaves one out."""
    said = {"sub": "ada", "exp": int(time.time()) + 86_400, **others}
    return {name: value for name, value in said.items() if value is not None}


def token(algorithm: str = "HS256", key: Any = None, **others: Any) -> str:
    """A token by one of the issuer's keys, or by ``key``; ``kid`` is for its header."""
    kid = others.pop("kid", None)
    return jwt.encode(
        claims(**others),
        key or PRIVATE.get(algorithm, SECRET),
        algorithm,
        headers={"kid": kid} if kid else None,
    )


def by_hand(header: Any, payload: Any, secret: str = SECRET) -> str:
    """A token that no library would make: any header, signed by HMAC with any text."""
    parts = ".".join(_encoded(json.dumps(part).encode()) for part in (header, payload))
    return f"{parts}.{_encoded(hmac.digest(secret.encode(), parts.encode(), hashlib.sha256))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
