"""A generated column that isn't streamed is computed here: its value is that of PostgreSQL.

Of the catalog's own text of random expressions; what the subset doesn't have is refused by name.
PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import RejectedError
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.expressions import ExpressionError, compile_expression
from cdc_daemon.projection.expressions.types import shown
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.random_expressions import Expressions
from tests.property import test_expressions as oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Column, Relation, Row

connection = oracle.connection
EXPRESSIONS_AT_ONCE = 50
DOCUMENTED = {"invalid_datetime_format", "invalid_escape_sequence"}
"""Why a row may be refused here only: see docs/reference/expressions.md."""


@pytest.fixture
def source(connection: psycopg.Connection) -> Iterator[PostgresSource]:
    """Whose catalog describes the table."""
    dsn = connection.info.dsn + f" password={connection.info.password}"
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": dsn})
    with closing(PostgresSource(config, pipeline="generated")) as made:
        yield made


def test_random_generated_columns_are_computed_as_in_postgresql(
    connection: psycopg.Connection,
    source: PostgresSource,
) -> None:
    """What compiles gives the value that the server has stored, in every row."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    expressions = Expressions(rng)
    with repeatable(seed):
        for _ in rounds():
            oracle.make_table(connection)
            rows = oracle._new_rows(connection, rng)
            _add_columns(connection, expressions, counts)
            (relation,) = source.describe([TableRequest("t")])
            relation = _as_before_18(relation)
            for column in relation.computed:
                _compare(connection, relation, column, rows, counts)
    print(f"generated columns: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["compared"] > counts["refused here"], "too much is refused to mean anything"


def _add_columns(
    connection: psycopg.Connection, expressions: Expressions, counts: Counter[str]
) -> None:
    """Those that the server takes; of what fails for a row, or isn't immutable, it takes none."""
    for number in range(EXPRESSIONS_AT_ONCE):
        expression = expressions.any()
        answer = connection.execute("select kind from try(%s)", [expression]).fetchone()
        kind = None if answer is None else answer[0]
        try:
            connection.execute(
                f"alter table t add column made_{number} {kind} "
                f"generated always as ({expression}) stored".encode()
            )
        except psycopg.Error:
            counts["refused by PostgreSQL"] += 1
        else:
            counts["columns"] += 1


def _as_before_18(relation: Relation) -> Relation:
    """With every generated column computed, whatever the server streams."""
    streamed = tuple(column for column in relation.columns if column.generated is None)
    generated = tuple(column for column in relation.columns if column.generated is not None)
    return replace(relation, columns=streamed, computed=(*relation.computed, *generated))


def _compare(
    connection: psycopg.Connection,
    relation: Relation,
    column: Column,
    rows: list[Row],
    counts: Counter[str],
) -> None:
    assert column.generated is not None
    where = column.generated.expression
    try:
        compiled = compile_expression(column.name, relation)
    except ExpressionError:
        counts["refused here"] += 1
        return
    assert set(compiled.columns) <= set(column.generated.inputs), where
    query = f"select coalesce(to_jsonb({column.name})::text, 'null') from t order by id"
    stored = [text for (text,) in connection.execute(query.encode())]
    kind = shown(column.type)
    assert shown(compiled.type) == kind
    for row, expected in zip(rows, stored, strict=True):
        counts["compared"] += 1
        got = oracle._evaluated(compiled, row)
        if isinstance(got, RejectedError):
            assert got.reason in DOCUMENTED, f"{got}, not {expected}: {where}"
            counts["rows refused"] += 1
            continue
        assert oracle._meaning(got, kind) == oracle._meaning(expected, kind), (
            f"{got}, not {expected}: {where}\n{row}"
        )
