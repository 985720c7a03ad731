"""What is asked of each peer."""

from __future__ import annotations

from msgspec import Struct


class Scenario(Struct, frozen=True):
    """A request that every peer answers with the same JSON.

    ``path`` is where a peer answers it unless it says otherwise; ``{key}`` in it stands for a
    user's key, another one in each request. ``rows`` is how many rows its ``data`` must have.
    ``actor`` is the user who asks, by a token, where it isn't anybody.
    """

    name: str
    title: str
    path: str
    rows: int | None = None
    actor: int | None = None


SCENARIOS = (
    Scenario("list", "20 posts with author, category and tags", "/posts", rows=20),
    Scenario("one", "One user by key", "/users/{key}"),
)
POLICY = Scenario("policy", "20 posts under row policies", "/api/posts", rows=20, actor=7)
"""Asked of Carboy alone: with policies, and with the same conditions by hand."""
