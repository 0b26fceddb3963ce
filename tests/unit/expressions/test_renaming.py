"""The SQL of an expression with other names for its columns."""

from __future__ import annotations

import pytest

from cdc_daemon.projection.expressions import ExpressionError, compile_expression
from cdc_daemon.projection.expressions.renaming import with_columns
from tests.generators.by_hand import table

HOTEL = table("id", "name", 'say "x"', "Größe", "chain.name", "chain.country.code")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("name", "<name>"),
        ("NAME || 'name'", "<name> || 'name'"),
        ("hotel.name || public.hotel . name", "<name> || <name>"),
        ('"name" || "say ""x""" || "Größe"', '<name> || <say "x"> || <Größe>'),
        ('chain.name || chain . "country".code', "<chain.name> || <chain.country.code>"),
        ("lower(name)::text || length(name)", "lower(<name>)::text || length(<name>)"),
        (
            "case when id in (1, 2) then name else null end",
            "case when <id> in (1, 2) then <name> else null end",
        ),
        (
            "cast(id as text) /* name */ || name -- name",
            "cast(<id> as text) /* name */ || <name> -- name",
        ),
        (
            "name\n  is not null and not (id between 1 and id)",
            "<name>\n  is not null and not (<id> between 1 and <id>)",
        ),
    ],
)
def test_columns_are_renamed_and_nothing_else(sql: str, expected: str) -> None:
    """However they are qualified, quoted and spaced."""
    compile_expression(sql, HOTEL)
    assert with_columns(sql, HOTEL, lambda name: f"<{name}>") == expected


def test_a_comment_within_a_name_is_refused() -> None:
    """Where the name ends can't be told."""
    with pytest.raises(ExpressionError, match="without comments"):
        with_columns("hotel /* x */ . name", HOTEL, str)
