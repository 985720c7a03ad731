"""Every error that a client can see, as one tree.

    ApiError
    ├── BadRequest             400  the request can't be understood
    │   ├── InvalidQuery       400  the query string breaks the grammar or names something unknown
    │   ├── InvalidBody        400  the body is no JSON, or some of its values can't be stored
    │   ├── LimitExceeded      400  a configured limit is passed
    │   └── FilterRequired     400  a bulk write without a filter
    ├── Unauthorized           401  it isn't known who asks, or a credential is not valid
    ├── Forbidden              403  understood, and refused
    ├── NotFound               404  no such resource or row
    ├── MethodNotAllowed       405  the resource doesn't take this method
    ├── NotAcceptable          406  the client accepts nothing that can be sent
    ├── Conflict               409  the database refused the write
    │   ├── Duplicate          409  a unique value is taken
    │   ├── ReferenceMissing   409  a foreign key points nowhere
    │   └── StillReferenced    409  other rows point at this one
    ├── PreconditionFailed     412  If-Match no longer holds
    ├── PayloadTooLarge        413  the body or the number of rows is over the limit
    ├── UnsupportedMediaType   415  the body is not JSON
    ├── IdempotencyMismatch    422  an Idempotency-Key came again with another request
    ├── ImportRejected         422  rows of an import can't be stored
    ├── PreconditionRequired   428  the resource demands If-Match
    ├── TooManyRequests        429  a rate limit is passed; Retry-After says when to come back
    ├── InternalError          500  a bug in Carboy or in the application
    ├── Unavailable            503  the database can't be reached, or has no free connection
    └── DeadlineExceeded       504  the database didn't answer in time

Each is answered as RFC 9457 ``application/problem+json``; docs/reference/errors.md
describes them one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import UNSET, Struct, UnsetType


class CommandError(Exception):
    """What keeps a command from its work: one line with the fault and the fix, and no password."""


class Problem(Struct, frozen=True, omit_defaults=True):
    """One fault in what the client sent.

    ``pointer`` is an RFC 6901 pointer into the body, ``parameter`` the name of a query
    parameter or header, ``row`` the 0-based index in an array body.
    """

    detail: str
    code: str
    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    row: int | UnsetType = UNSET


class ApiError(Exception):
    """An answer other than success: a stable type, a status, a sentence, and the faults."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"

    def __init__(
        self,
        detail: str,
        problems: Sequence[Problem] = (),
        *,
        headers: Sequence[tuple[str, str]] = (),
        instance: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)
        self.headers = tuple(headers)
        self.instance = instance


class BadRequest(ApiError):
    """The request can't be understood."""

    status, code, title = 400, "bad-request", "Bad request"


class InvalidQuery(BadRequest):
    """The query string breaks the grammar, or names something that isn't there."""

    code, title = "invalid-query", "Invalid query"

    @classmethod
    def at(cls, parameter: str, detail: str) -> InvalidQuery:
        """The error for one query parameter, named in ``errors``."""
        return cls(detail, [Problem(detail=detail, code=cls.code, parameter=parameter)])


class InvalidBody(BadRequest):
    """The body is no JSON, or some of its values can't be stored."""

    code, title = "invalid-body", "Invalid body"


class LimitExceeded(BadRequest):
    """A configured limit is passed; the detail names the setting."""

    code, title = "limit-exceeded", "Limit exceeded"


class FilterRequired(BadRequest):
    """A bulk PATCH or DELETE came without a filter."""

    code, title = "filter-required", "Filter required"


class Unauthorized(ApiError):
    """It isn't known who asks, or a credential is not valid; ``WWW-Authenticate`` says what is."""

    status, code, title = 401, "unauthorized", "Credentials needed"

    @classmethod
    def bad_token(cls, detail: str) -> Unauthorized:
        """The error for a key or token that isn't taken, with what RFC 6750, section 3, asks."""
        return cls(detail, headers=[("WWW-Authenticate", 'Bearer error="invalid_token"')])


class Forbidden(ApiError):
    """The request is understood, and refused."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(ApiError):
    """There is no such resource or row."""

    status, code, title = 404, "not-found", "Not found"


class MethodNotAllowed(ApiError):
    """The resource doesn't take this method; ``Allow`` lists those it takes."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"

    @classmethod
    def here(cls, what: str, allowed: Sequence[str]) -> MethodNotAllowed:
        """The error for what takes only the methods of ``allowed``."""
        methods = ", ".join(allowed)
        return cls(f"{what} takes {methods} here", headers=[("Allow", methods)])


class NotAcceptable(ApiError):
    """The client accepts no media type that can be sent."""

    status, code, title = 406, "not-acceptable", "Not acceptable"


class Conflict(ApiError):
    """The database refused the write because of what it already holds."""

    status, code, title = 409, "conflict", "Conflict"


class Duplicate(Conflict):
    """A value that must be unique is taken."""

    code, title = "duplicate", "Already exists"


class ReferenceMissing(Conflict):
    """A foreign key points at a row that isn't there."""

    code, title = "reference-missing", "Referenced row missing"


class StillReferenced(Conflict):
    """Other rows still point at this one."""

    code, title = "still-referenced", "Still referenced"


class PreconditionFailed(ApiError):
    """The row was changed since the version that ``If-Match`` names."""

    status, code, title = 412, "precondition-failed", "Precondition failed"


class PayloadTooLarge(ApiError):
    """The body, or the number of rows in it, is over the limit."""

    status, code, title = 413, "payload-too-large", "Payload too large"


class UnsupportedMediaType(ApiError):
    """The body is not JSON."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class IdempotencyMismatch(ApiError):
    """An ``Idempotency-Key`` came again with another request."""

    status, code, title = 422, "idempotency-mismatch", "Idempotency key reused"


class ImportRejected(ApiError):
    """Some rows of an import can't be stored, so that none is; ``row`` counts from 1."""

    status, code, title = 422, "import-rejected", "Import rejected"


class PreconditionRequired(ApiError):
    """The resource demands ``If-Match``."""

    status, code, title = 428, "precondition-required", "Precondition required"


class TooManyRequests(ApiError):
    """A rate limit is passed; ``Retry-After`` says when to come back."""

    status, code, title = 429, "too-many-requests", "Too many requests"


class InternalError(ApiError):
    """A bug; ``instance`` carries the id that the log has too."""

    status, code, title = 500, "internal-error", "Internal error"


class Unavailable(ApiError):
    """The database can't be reached or has no free connection, or an issuer's keys can't be."""

    status, code, title = 503, "unavailable", "Unavailable"


class DeadlineExceeded(ApiError):
    """The database didn't answer in time; what it was asked to do was ended."""

    status, code, title = 504, "deadline-exceeded", "Took too long"
