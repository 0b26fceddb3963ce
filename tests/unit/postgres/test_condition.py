"""What may be put between parentheses in a statement, and what would leave them."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import ConditionError
from connectors.postgres.condition import require_condition


@pytest.mark.parametrize(
    "condition",
    [
        "id > 5",
        "(id > 5) and (name = 'it''s (' or \"odd)\"\"name\" is null)",
        "name like 'a;--/*$$\\%'",
        "id in (select hotel_id from room where price > 100)",
        "at > timestamptz '2026-01-01'\n  and not deleted",
        "info @> '{\"a\": 1}' and tags && array['x']",
        "price - -1 > 2 * (3 + (4))",
        "''''=name",
    ],
)
def test_an_expression_is_taken(condition: str) -> None:
    """Whatever is in quotes is nobody's syntax."""
    require_condition(condition)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("true) or (true", "don't match"),
        ("true)) to program 'id' ((", "don't match"),
        ("(true", "don't match"),
        ("true; drop table hotel", "has ; at character 5"),
        ("true -- ", "has -- at"),
        ("true /* ", "has /* at"),
        ("name = 'open", "has ' at"),
        ('"open = 1', 'has " at'),
        ("name = $$)$$", "has $ at"),
        ("id = $1", "has $ at"),
        ("name = E'\\') or (true'", "has E' at"),
        ("name like e'\\'", "has e' at"),
        ("name = U&'\\0041'", "has &' at"),
        ("true \\", "has \\ at"),
        ("id = 1\x00", "has \x00 at"),
        ("name = '\x00'", "has ' at"),
    ],
)
def test_what_could_leave_the_parentheses_is_refused(condition: str, said: str) -> None:
    """With its place."""
    with pytest.raises(ConditionError) as raised:
        require_condition(condition)
    assert said in str(raised.value)
