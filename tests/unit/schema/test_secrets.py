"""Columns that look like secrets by their names, and what a resource can say about them."""

from __future__ import annotations

import logging
from typing import Any

import flask
import pytest
import sqlalchemy as sa

from carboy import Carboy, Policy, role
from carboy.schema import Registration, SchemaError, build_schema
from carboy.schema.secrets import looks_secret

SECRET = (
    "password", "PASSWORD", "Password", "passwd", "user_password", "userpassword", "passwordHash",
    "password_hash", "hashed_password", "password_digest", "password_hint", "password2", "pwd",
    "pw_hash", "pwhash", "token", "api_token", "apiToken", "APIToken", "access_tokens",
    "reset_token_1", "token_encrypted", "token_digest", "secret", "client_secret",
    "client-secret", "totpSecret", "secrets", "salt", "hash", "Hash", "hashes", "api_key", "apiKey",
    "APIKey", "apikey", "api_keys", "private_key", "secret_key", "passphrase", "credentials",
)  # fmt: skip
HARMLESS = (
    "hashtag", "hashtags", "token_count", "token_name", "secretary", "secret_santa", "basalt",
    "salted", "saltiness", "tokenizer", "hash_algorithm", "key", "sort_key", "keys", "monkey",
    "pass", "passport", "bypass", "compass", "author_id", "value", "text", "_", "name", "1",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_names_of_secrets_are_known(name: str) -> None:
    """However a name is written, its words tell."""
    assert looks_secret(name, sa.Column(name, sa.String))


@pytest.mark.parametrize("name", HARMLESS)
def test_other_names_are_left_alone(name: str) -> None:
    """A word that only contains such a word is another word, and so is what a token has."""
    assert not looks_secret(name, sa.Column(name, sa.String))


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("secret", sa.Boolean, False),
        ("has_password", sa.Boolean, False),
        ("has_password", sa.Integer, False),
        ("password_changed_at", sa.DateTime, False),
        ("token", sa.Date, False),
        ("password_resets", sa.Integer, False),
        ("tokens", sa.Integer, False),
        ("tokens", sa.ARRAY(sa.String), True),
        ("token", sa.Integer, True),
        ("token", sa.Uuid, True),
        ("token", sa.LargeBinary, True),
        ("secrets", sa.JSON, True),
        ("anything", sa.String, False),
    ],
)
def test_a_type_can_deny_it(name: str, type_: Any, expected: bool) -> None:
    """A flag or a moment is about a secret, and a number of tokens counts them."""
    assert looks_secret(name, sa.Column(name, type_)) is expected


def test_a_foreign_key_is_none() -> None:
    """It leads to the row of a secret, and holds none."""
    assert not looks_secret("token", sa.Column("token", sa.ForeignKey("tokens.id")))


def test_the_columns_own_name_counts_as_well() -> None:
    """An attribute by another name is still the column's."""
    assert looks_secret("first", sa.Column("password", sa.String))


def accounts(key: str = "id") -> sa.Table:
    """A table with a secret and more."""
    return sa.Table(
        "accounts",
        sa.MetaData(),
        sa.Column(key, sa.String, primary_key=True),
        sa.Column("name", sa.String),
        sa.Column("password_hash", sa.String),
    )


@pytest.mark.parametrize(
    ("options", "readable"),
    [
        ({}, ["id", "name"]),
        ({"show": ("password_hash",)}, ["id", "name", "password_hash"]),
        ({"readable": ("id", "password_hash")}, ["id", "password_hash"]),
        ({"readable": ("id",)}, ["id"]),
        ({"hidden": ("name",)}, ["id"]),
    ],
)
def test_a_secret_is_readable_only_where_it_is_named(
    options: dict[str, Any], readable: list[str]
) -> None:
    """``readable`` and ``show`` name it; it can be written either way."""
    registration = Registration(subject=accounts(), name="accounts", **options)
    fields = build_schema([registration]).resources["accounts"].fields
    assert [name for name, field in fields.items() if field.readable] == readable
    assert fields["password_hash"].writable
    assert fields["password_hash"].secret is (options in ({}, {"hidden": ("name",)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": ("password_hash",)}, "search='password_hash' looks like a secret"),
        ({"show": ("nope",)}, "show='nope' is no column"),
        ({"show": ("name",), "hidden": ("name",)}, "show='name' is hidden by another option"),
        ({"show": ("name",), "readable": ("id",)}, "show='name' is hidden by another option"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], message: str) -> None:
    """The message names the option."""
    with pytest.raises(SchemaError, match=message):
        Registration(subject=accounts(), name="accounts", **options)


def test_the_log_says_what_is_hidden_and_how_to_show_it(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each column, where the resource is declared; naming the column ends it."""
    api = Carboy()
    with caplog.at_level(logging.WARNING, "carboy"):
        api.resource(accounts(), name="named", hidden=("password_hash",))
        assert caplog.messages == []
        api.resource(accounts())
        api.resource(accounts("token"), name="sessions", show=("password_hash",))
    assert caplog.messages == [
        "resource 'accounts': 'password_hash' looks like a secret and is hidden; "
        "show=('password_hash',) makes it readable, hidden=('password_hash',) ends this message",
        "resource 'sessions': 'token' looks like a secret, but is the key, which can't be hidden; "
        "show=('token',) ends this message",
    ]


def test_a_policy_for_a_hidden_field_is_refused() -> None:
    """A rule that says who may read what nobody may would look like an open door, or a bug."""
    app = flask.Flask("accounts")
    api = Carboy(app, sa.create_engine("sqlite://"))
    policy = Policy(fields={"password_hash": role("admin")})
    api.resource(accounts(), hidden=("name",), policy=policy)
    with app.app_context(), pytest.raises(SchemaError, match=r"show=\('password_hash',\) makes"):
        _ = api.schema
