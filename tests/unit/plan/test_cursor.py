"""Cursors come back unchanged, or not at all."""

from __future__ import annotations

import pytest

from carboy.errors import InvalidQuery
from carboy.plan import Cursor, decode_cursor, encode_cursor

KEY = b"a key of the application"
CURSOR = Cursor("posts,id 00", ("Ünï", 2**62, None, 1.5, True))


def test_a_cursor_comes_back_unchanged() -> None:
    """Text, big numbers and NULL survive the way to the client and back."""
    assert decode_cursor(encode_cursor(CURSOR, KEY), KEY, CURSOR.scope) == CURSOR


def test_no_character_of_a_cursor_can_be_changed() -> None:
    """Each changed character makes it a 400."""
    text = encode_cursor(CURSOR, KEY)
    for position, character in enumerate(text[:-1]):
        forged = text[:position] + ("A" if character != "A" else "B") + text[position + 1 :]
        with pytest.raises(InvalidQuery, match="no cursor of this API"):
            decode_cursor(forged, KEY, CURSOR.scope)


@pytest.mark.parametrize("text", ["", "=", "%", "é", "QUJD", "A" * 64, "not a cursor"])
def test_other_text_is_no_cursor(text: str) -> None:
    """Whatever was made elsewhere is a 400."""
    with pytest.raises(InvalidQuery, match="no cursor of this API"):
        decode_cursor(text, KEY, CURSOR.scope)


def test_a_cursor_belongs_to_one_order() -> None:
    """With another order its values would mean something else."""
    text = encode_cursor(CURSOR, KEY)
    with pytest.raises(InvalidQuery, match="another resource or order"):
        decode_cursor(text, KEY, "posts,title 00,id 00")
