"""Text whose equality isn't that of its bytes is compared nowhere, unless COLLATE says how."""

from __future__ import annotations

import pytest

from cdc_daemon.events import Column, ColumnType, Relation
from cdc_daemon.events.relations import Generated
from cdc_daemon.projection.expressions import ExpressionError, compile_expression

TEXT = ColumnType("text", declared="text")
TEXTS = ColumnType("_text", "array", element=TEXT, declared="text[]")
ITEM = Relation(
    "public",
    "item",
    (
        Column("id", ColumnType("int8", declared="bigint")),
        Column("name", TEXT),
        Column("code", ColumnType("code", "domain", element=TEXT), equal_by_text=False),
        Column("codes", TEXTS, equal_by_text=False),
    ),
    computed=(
        Column("low", TEXT, generated=Generated("lower((code)::text)", ("code",))),
        Column("loud", TEXT, generated=Generated("name", ("name",)), equal_by_text=False),
    ),
)


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ("code = 'a'", 5),
        ("name || code <> 'a'", 13),
        ("'a' in (name, code)", 4),
        ("id in (1, length(nullif(code, 'a')))", 17),
        ("name = any (array['a', code])", 5),
        ("name = any (array['a', code::varchar]::text[])", 5),
        ("name = any (codes)", 5),
        ("codes[1] = name", 9),
        ("replace(name, 'a', code)", 0),
        ("(case when id = 1 then code else 'a' end) > 'b'", 42),
        ("case 'a' when name then 1 when code then 2 end", 0),
        ("code between 'a' collate \"C\" and 'b'", 5),
        ("loud = 'A'", 5),
    ],
)
def test_what_compares_such_text_is_refused(sql: str, at: int) -> None:
    """With its place, and what to write instead."""
    with pytest.raises(ExpressionError, match=r'nondeterministic collation.* COLLATE "C"') as found:
        compile_expression(sql, ITEM)
    assert found.value.offset == at


@pytest.mark.parametrize(
    "sql",
    [
        "code collate \"C\" = 'a'",
        "code = 'a' collate \"C\"",
        "code = 'a' collate pg_catalog.\"C\"",
        'code collate "C" || code = (code || code)',
        "code collate \"POSIX\" between 'a' and code",
        "lower(code) collate \"C\" in ('a', 'b')",
        'name = any (codes collate "C")',
        "code || lower(code) || codes[1]",
        "case when code is null then 1 else length(code) end > 2",
        "cardinality(codes) = 1 and code::int = 1",
        "concat(code, 'a')",
        "low < 'a'",
    ],
)
def test_what_does_not_compare_it_is_not(sql: str) -> None:
    """An explicit collation counts for all that is compared, as in PostgreSQL."""
    assert compile_expression(sql, ITEM).type.name in {"bool", "text"}
