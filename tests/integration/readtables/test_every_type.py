"""Columns of every type, with real values from a real server, in columns of read tables."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from connectors.postgres.readtables import ReadTables
from connectors.postgres.readtables.config import ReadTablesConfig
from tests.generators.budget import seeded
from tests.generators.every_type import (
    OTHERS,
    ROWS,
    VALUES_OF_OTHERS,
    VECTORS,
    Table,
    connected,
    generated,
    written,
)

if TYPE_CHECKING:
    from tests.conftest import Database

# An oid is text to `to_jsonb`, and a number here; JSON's null is no value of a column.
DIFFERENT = """
select t.id, t."{name}"::text, r."{name}"::text
from every t join read_models."{index}" r on r.id = t.id,
  lateral (select to_jsonb(t."{name}") as source, to_jsonb(r."{name}") as shown) j
where source is distinct from shown and source is distinct from 'null'
  and replace(source::text, '"', '') is distinct from shown::text
"""


def test_a_column_holds_what_the_source_has(database: Database) -> None:
    """Every value of every type, `NaN`, `infinity` and dates before Christ among them."""
    seed, rng = seeded()
    section = {"type": "postgres", "dsn": database.dsn}
    sink = ReadTables(ReadTablesConfig.model_validate(section), pipeline="types")
    with connected(database) as connection, closing(sink):
        for statement in OTHERS:
            connection.execute(statement.encode())
        types = {n: t for n, t in generated(connection).items() if n not in VECTORS}
        columns = {name: one.sql for name, one in types.items()} | {n: n for n in VALUES_OF_OTHERS}
        table = Table(connection, {name.replace(".", "_"): sql for name, sql in columns.items()})
        for name, one in types.items():
            for _ in range(ROWS // 3):
                table.insert(name, one.text(rng))
        for name, texts in VALUES_OF_OTHERS.items():
            assert all(table.insert(name, text) for text in texts), name
        projection = table.projection(sink, {"fields": "*"})
        with written(sink, table, projection) as (index, refused):
            assert [each for each in refused if "nicode" not in each[0]] == [], seed
            for name in table.columns:
                statement = DIFFERENT.format(name=name, index=index)
                found = connection.execute(statement.encode()).fetchmany(3)
                assert found == [], (name, seed)
        assert table.nulled == []
