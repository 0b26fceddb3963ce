"""What compiles, what it gives, and what is refused with which words and where."""

from __future__ import annotations

import warnings

import pytest

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.events import Column, ColumnType, Relation, Row
from cdc_daemon.projection.expressions import (
    ExpressionError,
    compile_condition,
    compile_expression,
)

TEXT = ColumnType("text", declared="text")
HOTEL = Relation(
    "public",
    "hotel",
    (
        Column("id", ColumnType("int8", declared="bigint")),
        Column("name", TEXT),
        Column("Stars", ColumnType("int2", declared="smallint")),
        Column("price", ColumnType("numeric", declared="numeric")),
        Column("active", ColumnType("bool", declared="boolean")),
        Column("extra", ColumnType("jsonb", declared="jsonb")),
        Column("tags", ColumnType("_text", "array", element=TEXT)),
        Column("opened", ColumnType("timestamptz", declared="timestamp with time zone")),
        Column("mood", ColumnType("mood", "enum", labels=("sad", "ok", "happy"))),
        Column("area", ColumnType("polygon", declared="polygon")),
    ),
)
ROW: Row = [
    b"12", b'"Gr\\"and"', b"4", b"12.50", b"true", b'{"a": {"b": [1, 2.50]}, "n": null}',
    b'["x", null]',
    b'"2024-02-29T13:00:00.5+00:00"', b'"ok"', b'"((0,0))"',
]  # fmt: skip
NULLS: Row = [b"null"] * len(ROW)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("name || ', ' || id", b'"Gr\\"and, 12"'),
        ('"Stars" + 1', b"5"),
        ("hotel.id", b"12"),
        ("public.hotel.id", b"12"),
        ("price * 2.00", b"25.0000"),
        ("price / 3", b"4.1666666666666667"),
        ("-7 / 2", b"-3"),
        ("-2 ^ 2", b"4"),
        ("extra -> 'a' -> 'b' ->> 1", b'"2.50"'),
        ("extra -> 'n'", b"null"),
        ("(extra -> 'n') is null", b"false"),
        ("(extra ->> 'n') is null", b"true"),
        ("tags[1]", b'"x"'),
        ("'y' = any(tags)", b"null"),
        ("opened + interval '1 year'", b'"2025-02-28T13:00:00.5+00:00"'),
        ("mood > 'sad'", b"true"),
        ("coalesce(nullif(name, name), 'none')", b'"none"'),
        ("case \"Stars\" when 4 then 'four' end", b'"four"'),
        ("'it''s'", b'"it\'s"'),
        (r"E'a\tb'", b'"a\\tb"'),
        ("id -- a comment", b"12"),
        ("case when active then area end", b'"((0,0))"'),
        ("coalesce(area, area)", b'"((0,0))"'),
    ],
)
def test_evaluate_gives_json_text(sql: str, expected: bytes) -> None:
    """The value comes as the JSON text that PostgreSQL's to_jsonb has, every digit included."""
    assert compile_expression(sql, HOTEL).evaluate(ROW) == expected


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("name <> 'draft'", ROW, True),
        ("name <> 'draft'", NULLS, False),
        ("name is distinct from 'draft'", NULLS, True),
        ("not active", ROW, False),
        ("not active", NULLS, False),
        ("active is not true", NULLS, True),
        ("id in (1, 12) and name like 'G%'", ROW, True),
        ("id not in (1, null)", ROW, False),
        ("id in (1, 12) or name = 'x'", NULLS, False),
        ("null", ROW, False),
    ],
)
def test_condition_is_true_only_for_true(sql: str, row: Row, *, expected: bool) -> None:
    """NULL and FALSE both keep a row out of a `where`."""
    assert bool(compile_condition(sql, HOTEL).test(row)) is expected


@pytest.mark.parametrize(
    ("sql", "words", "offset"),
    [
        ("nam", "did you mean name?", 0),
        ("stars", 'did you mean "Stars"?', 0),
        ("id + name", "operator does not exist: bigint + text", 3),
        ("lenght(name)", "did you mean length?", 0),
        ("id = now()", "depends on the session or the moment", 5),
        ("current_user", "depends on the session or the moment", 0),
        ("count(id)", "an expression sees one row", 0),
        ("(select 1)", "subqueries are not supported", 1),
        ("sum(id) over ()", "window functions", 0),
        ("name ~ 'x'", "regular expressions are not supported", 5),
        ("id < 1 < 2", "can't be chained", 7),
        ("id +", "a value is expected", 4),
        ("id id", "the expression should end here", 3),
        ("", "the expression is empty", 0),
        ("'a' = id", "invalid input syntax for type int8", 0),
        ("1 / 0", "division by zero", 2),
        ("round(1.5::float8, 1)", "function round(double precision, integer) does not exist", 0),
        ("coalesce(id, name)", "types bigint and text cannot be matched", 0),
        ("name::money", "casts to money are not supported", 6),
        ("area || 'x'", "cannot cast polygon to text", 0),
        ("mood = 'glad'", "invalid input syntax for type enum mood", 7),
        ("extra || extra", "is not supported", 6),
        ("ifnull(name, 'x')", "did you mean nullif?", 0),
        ('name collate "de"', "COLLATE is not supported", 5),
        ("$1", "parameters can't be used", 0),
        ("(" * 50 + "id" + ")" * 50, "nested more than 40 levels", 40),
        ("id" + " + 1" * 150, "more than 100 operators in a row", 3),
        ("'" + "x" * 20_000 + "'", "longer than 10,000 characters", 10_000),
    ],
)
def test_refusal_says_what_and_where(sql: str, words: str, offset: int) -> None:
    """What can't be compiled is a mistake in the configuration, with its reason and its place."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(sql, HOTEL)
    assert words in str(caught.value)
    assert isinstance(caught.value, ConfigurationError)
    if len(sql) < 60:  # the place in a long chain is not what matters
        assert caught.value.offset == offset


def test_condition_must_be_boolean() -> None:
    """A `where` of another type is refused."""
    with pytest.raises(ExpressionError, match="must be of type boolean, not bigint"):
        compile_condition("id", HOTEL)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("1 / (id - 12)", "division_by_zero"),
        ("id * 9223372036854775807", "numeric_value_out_of_range"),
        ("(1 / (id - 12) is not null) <= (nullif(name, name) = 'a')", "division_by_zero"),
        ("name::int", "invalid_text_representation"),
        ("price::numeric(3,2)", "numeric_value_out_of_range"),
        ("split_part(name, ',', (id - 12)::int)", "invalid_parameter_value"),
    ],
)
def test_failure_in_a_row_rejects_that_row(sql: str, reason: str) -> None:
    """Where PostgreSQL raises an error the row is rejected, under PostgreSQL's name for it."""
    with pytest.raises(RejectedError) as caught:
        compile_expression(sql, HOTEL).evaluate(ROW)
    assert caught.value.reason == reason


def test_damaged_value_rejects_the_row() -> None:
    """A value that is not of its column's type is a rejected row, never a crash."""
    with pytest.raises(RejectedError) as caught:
        compile_expression("id + 1", HOTEL).evaluate([b'"x"', *ROW[1:]])
    assert caught.value.reason == "expression_failed"


def test_columns_are_those_it_reads() -> None:
    """A caller can tell which columns must be there: each once, in the order of first use."""
    compiled = compile_expression("name || price || name || id", HOTEL)
    assert compiled.columns == ("name", "price", "id")


def test_only_needed_columns_are_decoded() -> None:
    """Other columns may hold anything, even what can't be decoded."""
    assert compile_expression("id", HOTEL).evaluate([b"1", *[b"\xff"] * 9]) == b"1"


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("id", "int8"),
        ("1", "int4"),
        ("1.5", "numeric"),
        ("3000000000", "int8"),
        ("'x'", "text"),
        ("null", "text"),
        ('"Stars" + 1', "int4"),
        ("id + 1.5", "numeric"),
        ("ceil(id)", "float8"),
        ("opened::date - 1", "date"),
        ("opened - opened", "interval"),
        ("date_trunc('day', opened::date)", "timestamptz"),
        ("extract(year from opened)", "numeric"),
    ],
)
def test_type_is_the_one_postgresql_infers(sql: str, name: str) -> None:
    """The index mapping is derived from it."""
    assert compile_expression(sql, HOTEL).type.name == name


def test_deep_but_allowed_expression_compiles_without_a_warning() -> None:
    """Python's own limits on nested parentheses don't reach a user."""
    deep = "id"
    for _ in range(35):
        deep = f"coalesce({deep} + 1, 0)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_expression(deep, HOTEL).evaluate(ROW) == b"47"


def test_short_circuit_guards_a_failure() -> None:
    """CASE and AND keep what would fail from running, as in PostgreSQL."""
    guarded = compile_expression("case when id <> 12 then 1 / (id - 12) else 0 end", HOTEL)
    assert guarded.evaluate(ROW) == b"0"
    assert compile_condition("id <> 12 and 1 / (id - 12) > 0", HOTEL).test(ROW) is False


def test_null_does_not_hide_a_failure() -> None:
    """PostgreSQL works out every argument before it looks for NULL among them."""
    row = [b"12", b"null", *ROW[2:]]
    for sql in ("name || (1 / (id - 12))", "name || ((1 / (id - 12)) is null)"):
        with pytest.raises(RejectedError):
            compile_expression(sql, HOTEL).evaluate(row)
    with pytest.raises(RejectedError):
        compile_condition("(name = 'x') = ((1 / (id - 12)) is null)", HOTEL).test(row)


@pytest.mark.parametrize(
    "sql", ["date_trunc('day', '2024-02-29')", "date_part('year', '2024-02-29')", "trunc('1.5')"]
)
def test_a_bare_literal_that_postgresql_finds_ambiguous_is_refused(sql: str) -> None:
    """Forms for types that we don't support still make PostgreSQL refuse an untyped literal."""
    with pytest.raises(ExpressionError, match="is not unique"):
        compile_expression(sql, Relation("public", "t", ()))
