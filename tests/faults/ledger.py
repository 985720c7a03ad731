"""The log of writes beside the rows that the database has."""

from __future__ import annotations

import sqlalchemy as sa

from .app import Account, Note, Order, Transfer
from .load import Write


def wrong_rows(engine: sa.Engine, writes: list[Write]) -> dict[str, str]:
    """What the database has and should not, or hasn't and should, by the rows' name."""
    wrong = {}
    with engine.connect() as connection:
        for name, table in (("notes", Note), ("transfers", Transfer), ("orders", Order)):
            text = Note.text if table is Note else sa.null()
            query = sa.select(table.ref, sa.func.count(), sa.func.max(text)).group_by(table.ref)
            stored = {ref: (rows, said) for ref, rows, said in connection.execute(query)}
            possible = _possible([write for write in writes if write.resource == name])
            for ref, states in possible.items():
                rows, said = stored.get(ref, (0, None))
                if not any(_is_as(state, rows, said) for state in states):
                    expected = " or ".join(f"{state.rows} ({state.text})" for state in states)
                    wrong[ref] = f"{name} {ref}: {rows} ({said}), not {expected}"
        moved = _sum_of(Transfer.target_id) - _sum_of(Transfer.source_id)
        query = sa.select(Account.id, Account.balance, moved)
        for key, balance, total in connection.execute(query):
            if balance != total:
                told = f"account {key}: the balance is {balance}, by its transfers {total}"
                wrong[f"account {key}"] = told
    return wrong


def _sum_of(end: sa.orm.InstrumentedAttribute[int]) -> sa.ColumnElement[int]:
    total = sa.select(sa.func.coalesce(sa.func.sum(Transfer.amount), 0))
    return total.where(end == Account.id).correlate(Account).scalar_subquery()


def _possible(writes: list[Write]) -> dict[str, list[Write]]:
    """The states that rows may be in after a client's writes, by the rows' name."""
    possible: dict[str, list[Write]] = {}
    for write in writes:
        if write.acknowledged:
            possible[write.ref] = [write]
        else:
            before = possible.get(write.ref) or [write._replace(rows=0, text=None)]
            possible[write.ref] = [*before, write]
    return possible


def _is_as(write: Write, rows: int, text: str | None) -> bool:
    return rows == write.rows and (write.text is None or text == write.text)
