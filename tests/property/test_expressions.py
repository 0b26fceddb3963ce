"""Random expressions over random rows mean the same here as in a real PostgreSQL.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

# ruff: noqa: E501  the templates and values read best side by side

from __future__ import annotations

import json
import os
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Column, ColumnType, Relation, Row
from cdc_daemon.projection.expressions import (
    CompiledExpression,
    ExpressionError,
    compile_expression,
)
from cdc_daemon.projection.expressions.types import shown
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.random_expressions import COLUMNS, Expressions, Values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

ROWS = 12
BATCH = 150
STATEMENT_SECONDS = 120
"""No statement takes so long on the slowest machine: one that hangs is named, and ends."""

ORACLE = """
create function try(expression text, out kind text, out results text[]) language plpgsql as $$
declare found text; each int;
begin
  begin
    execute format('select pg_typeof(%s)::text from t limit 1', expression) into kind;
  exception when others then
    if sqlstate like '42%' then kind := 'refused ' || sqlerrm; return; end if;
  end;
  begin
    execute format('select array_agg(coalesce(to_jsonb(%s)::text, ''null'') order by id) from t', expression)
      into results;
    return;
  exception when others then
    if sqlstate like '42%' then kind := 'refused ' || sqlerrm; return; end if;
  end;
  for each in select id from t order by id loop
    begin
      execute format('select coalesce(to_jsonb(%s)::text, ''null'') from t where id = $1', expression)
        into found using each;
    exception when others then found := 'error ' || sqlstate || ' ' || sqlerrm;
    end;
    results := results || found;
  end loop;
end $$
"""


@pytest.fixture
def connection(database: Any) -> Iterator[psycopg.Connection]:
    """A database whose text compares bytewise and whose case mapping is Unicode's."""
    with psycopg.connect(database.dsn, autocommit=True) as administrator:
        builtin = administrator.info.server_version >= 170_000
        locale = (
            "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"
            if builtin
            else "locale 'C.UTF-8'"
        )
        name = f"{administrator.info.dbname}_bytewise"
        administrator.execute(
            f"create database {name} template template0 encoding 'UTF8' {locale}".encode()
        )
        try:
            with psycopg.connect(database.dsn, dbname=name, autocommit=True) as found:
                yield _prepared(found)
        finally:
            administrator.execute(f"drop database {name} with (force)".encode())


def _prepared(connection: psycopg.Connection) -> psycopg.Connection:
    for setting in ("timezone = 'UTC'", "datestyle = 'ISO'", "intervalstyle = 'iso_8601'",
                    "extra_float_digits = 3", "bytea_output = 'hex'"):  # fmt: skip
        connection.execute(f"set {setting}".encode())
    connection.execute(f"set statement_timeout = '{STATEMENT_SECONDS}s'".encode())
    connection.execute("create type mood as enum ('sad', 'ok', 'happy')")
    make_table(connection)
    connection.execute(ORACLE)
    return connection


def make_table(connection: psycopg.Connection) -> None:
    """Anew: a table has room for 1600 columns, those that were dropped included."""
    connection.execute("drop table if exists t")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"create table t (id int primary key, {columns})".encode())


def _relation(connection: psycopg.Connection) -> Relation:
    def resolve(oid: int, modifier: int) -> ColumnType:
        question = "select typname, typelem, typcategory from pg_type where oid = %s"
        [(name, element, category)] = connection.execute(question, [oid]).fetchall()
        if category == "A":
            return ColumnType(name, "array", element=resolve(element, modifier))
        question = "select enumlabel from pg_enum where enumtypid = %s order by enumsortorder"
        labels = tuple(label for (label,) in connection.execute(question, [oid]).fetchall())
        return ColumnType(name, "enum" if labels else "base", modifier, labels=labels)

    found = connection.execute(
        "select attname, atttypid, atttypmod from pg_attribute where attrelid = 't'::regclass and attnum > 0"
        " order by attnum"
    ).fetchall()
    return Relation(
        "public", "t", tuple(Column(name, resolve(oid, mod)) for name, oid, mod in found)
    )


def test_random_expressions_mean_the_same_as_in_postgresql(connection: psycopg.Connection) -> None:
    """What compiles gives PostgreSQL's value and type for every row, and fails where it fails."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    relation, expressions = _relation(connection), Expressions(rng)
    with repeatable(seed):
        for _ in rounds(proof_share=1 / 6):
            rows = _new_rows(connection, rng)
            for _ in range(4):
                batch = [expressions.whole() for _ in range(BATCH)]
                _compare(connection, relation, rows, batch, counts)
    print(f"expressions: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["compared"] > counts["refused here"] * 4, "too much is refused to mean anything"


def _new_rows(connection: psycopg.Connection, rng: Random) -> list[Row]:
    values = Values(rng)
    connection.execute("truncate t")
    insert = sql.SQL("insert into t values ({})").format(
        sql.SQL(", ").join(
            [
                sql.Placeholder(),
                *(
                    sql.SQL("%s::" + ("text[]::" if kind.endswith("[]") else "") + kind)
                    for kind in COLUMNS.values()
                ),
            ]
        )
    )
    for number in range(ROWS):
        connection.execute(insert, [number, *(values.of(kind) for kind in COLUMNS.values())])
    names = ["id", *COLUMNS]
    shown_as = {
        "f4": "f4",
        "f8": "f8",
    }  # as text: jsonb would lose the sign of zero, the stream keeps it
    selected = ", ".join(
        f"coalesce({shown_as.get(name, f'to_jsonb({name})')}::text, 'null')" for name in names
    )
    found = connection.execute(f"select {selected} from t order by id".encode()).fetchall()
    return [[text.encode() for text in row] for row in found]


def _compare(
    connection: psycopg.Connection,
    relation: Relation,
    rows: list[Row],
    expressions: list[str],
    counts: Counter[str],
) -> None:
    answers = connection.execute(
        "select (try(x)).* from unnest(%s::text[]) with ordinality as u(x, at) order by at",
        [expressions],
    ).fetchall()
    for expression, (kind, results) in zip(expressions, answers, strict=True):
        counts["expressions"] += 1
        try:
            compiled = compile_expression(expression, relation)
        except ExpressionError as error:
            _check_refusal(expression, error, results, counts)
            continue
        assert results is not None, f"compiles, but PostgreSQL says {kind}: {expression}"
        assert kind in {None, shown(compiled.type)}, (
            f"type {shown(compiled.type)}, not {kind}: {expression}"
        )
        for row, expected in zip(rows, results, strict=True):
            counts["compared"] += 1
            _check_value(expression, compiled, row, expected, counts)


def _check_refusal(
    expression: str,
    error: ExpressionError,
    results: list[str] | None,
    counts: Counter[str],
) -> None:
    always = results is not None and all(text.startswith("error") for text in results)
    counts["refused by both" if results is None or always else "refused here"] += 1
    if os.environ.get("PROPERTY_SHOW") and results is not None and not always:
        print(f"refused here: {error} | {expression}")  # noqa: T201  only when asked


def _check_value(
    expression: str,
    compiled: CompiledExpression,
    row: Row,
    expected: str,
    counts: Counter[str],
) -> None:
    where = f"\n{expression}\nwith {dict(zip(['id', *COLUMNS], row, strict=True))}"
    got = _evaluated(compiled, row)
    if isinstance(got, RejectedError):
        if got.reason == "invalid_datetime_format":  # documented: text is a date in ISO 8601 only
            counts["dates refused"] += 1
            return
        counts["failed by both"] += 1
        assert expected.startswith("error"), f"{got.reason} {got}, not {expected}: {where}"
        assert got.reason != "expression_failed", f"unforeseen {got}: {where}"
        return
    assert not expected.startswith("error"), f"{got}, not {expected}: {where}"
    same = _meaning(got, shown(compiled.type)) == _meaning(expected, shown(compiled.type))
    assert same, f"{got}, not {expected}: {where}"
    if shown(compiled.type) == "boolean":
        assert bool(compiled.test(row)) == (expected == "true"), f"test() is wrong: {where}"


def _evaluated(compiled: CompiledExpression, row: Row) -> str | RejectedError:
    try:
        return compiled.evaluate(row).decode()
    except RejectedError as error:
        return error


def _meaning(text: str, kind: str) -> Any:
    """What must be equal: the digits of numeric, the value of floats, the text of jsonb."""
    if kind in {"real", "double precision"} and text != "null":
        return Decimal(text)
    if kind in {"numeric", "integer", "bigint", "smallint", "jsonb"}:
        return text
    return json.loads(text)
