"""Who asks, told to PostgreSQL for its row-level security, until the transaction ends.

The settings ``carboy.actor_id`` and ``carboy.actor_roles`` (a JSON array) are what policies of
the database compare with; nobody's id is empty. They are local to a transaction, so that no
connection takes them back into the pool.
"""

from __future__ import annotations

import json

from ..access import Actor

TELL = "SELECT set_config('carboy.actor_id', %s, true), set_config('carboy.actor_roles', %s, true)"


def told(who: Actor) -> tuple[str, str]:
    """The parameters of ``TELL``."""
    # ASCII: what PostgreSQL's text can't hold arrives escaped.
    return "" if who.is_anonymous else str(who.id), json.dumps(sorted(who.roles))
