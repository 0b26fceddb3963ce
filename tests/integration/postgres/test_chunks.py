"""Tables are divided into chunks, and the chunks together are the table, each row once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.integration.postgres.conftest import Connection, describe, read_chunks

if TYPE_CHECKING:
    from cdc_daemon.events import Row
    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader


def numbers(rows: list[Row]) -> list[int]:
    """The first column, sorted."""
    return sorted(int(row[0]) for row in rows if isinstance(row[0], bytes))


@pytest.mark.usefixtures("small_chunks")
def test_chunks_make_up_a_table(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """They follow one another without a gap, and hold every row exactly once."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute("insert into item select i, 'name ' || i from generate_series(1, 20000) i")
    (item,) = describe(source, "item")
    planned = source.chunks(item)
    assert len(planned) > 10
    assert planned[0].first == (0, 0)
    assert all(one.end == other.first for one, other in pairwise(planned))
    rows = read_chunks(reader, item, planned)
    assert numbers(rows) == list(range(1, 20001))
    assert [b"7", b'"name 7"'] in rows


def test_an_empty_table_has_no_chunks(source: PostgresSource, connection: Connection) -> None:
    """Rows that come later are streamed."""
    connection.execute("create table item (id int primary key)")
    (item,) = describe(source, "item")
    assert source.chunks(item) == []


def test_one_row_is_one_chunk(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """A table of one block, never analysed; all columns are read, in the relation's order."""
    connection.execute('create table "My ""item" (id int primary key, "the name" text, no int)')
    connection.execute("""insert into "My ""item" values (1, 'a\tb', null)""")
    (item,) = describe(source, 'My "item')
    (chunk,) = source.chunks(item)
    assert (chunk.table, chunk.first, chunk.end) == ('"public"."My ""item"', (0, 0), (1, 0))
    got = reader.read(item, chunk)
    assert (got.chunk, got.rows, got.rest) == (chunk, [[b"1", b'"a\\tb"', b"null"]], None)
    assert got.size_bytes == len("1\ta\\tb\t\\N\t(0,1)\n")


def test_rows_behind_the_plan_are_left_to_the_stream(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """The last chunk ends where the table ended; one without an end reads whatever is there."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute("insert into item values (1, repeat('x', 2000))")
    (item,) = describe(source, "item")
    (chunk,) = source.chunks(item)
    insert = "insert into item select i, repeat('x', 2000) from generate_series(2, 20) i"
    connection.execute(insert)
    read = numbers(list(reader.read(item, chunk).rows))
    assert read == list(range(1, len(read) + 1))
    assert len(read) < 10
    assert numbers(list(reader.read(item, replace(chunk, end=None)).rows)) == list(range(1, 21))
