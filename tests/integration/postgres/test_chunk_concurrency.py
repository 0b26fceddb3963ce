"""Chunks read while writers are at work: with what they haven't seen they are the table."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import psycopg

from cdc_daemon.events import Change, Commit
from tests.generators.budget import rounds, seeded
from tests.generators.existing_rows import planned
from tests.integration.postgres.conftest import Connection, start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Chunk, Relation, Row, Value
    from cdc_daemon.ports import ChunkRows
    from connectors.postgres import PostgresSource
    from tests.conftest import Database

WRITERS = 4
KEYS = 40
PAUSE_SECONDS = 0.02

Table = dict["Value", "Row"]
Transaction = tuple[Commit, list[Change]]


def test_a_chunk_and_what_it_has_not_seen_are_the_table(
    database: Database, source: PostgresSource, connection: Connection
) -> None:
    """Transactions that the snapshot sees are in its rows, and only those.

    They are in the stream up to the position that the chunk says; the others may be anywhere.
    """
    seed, rng = seeded()
    connection.execute("create table item (id int primary key, name text)")
    connection.execute("insert into item values (0, 'the beginning')")
    (item,) = start(source, "item")
    (plan,) = planned(source, item)
    whole = replace(plan, end=None)
    stop = threading.Event()
    reads: list[ChunkRows] = []
    works = [
        reading(source, item, whole, reads, stop),
        *(writing(database, Random(rng.random()), stop) for _ in range(WRITERS)),
    ]
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    transactions: list[Transaction] = []
    changes: list[Change] = []
    for _ in rounds():
        changes = collect(source, transactions, changes)
    stop.set()
    for thread in threads:
        thread.join()
    connection.execute("insert into item values (-1, 'the end')")
    while not is_the_end(transactions):
        changes = collect(source, transactions, changes)
    with closing(source.chunk_reader()) as reader:
        expected = {row[0]: row for row in reader.read(item, whole).rows}
    print(f"{len(reads)} chunks, {len(transactions)} transactions, seed {seed}")  # noqa: T201 - counts
    assert reads
    for chunk in reads:
        assert table_of(chunk, transactions) == expected, f"seed {seed}"


def reading(
    source: PostgresSource,
    relation: Relation,
    chunk: Chunk,
    reads: list[ChunkRows],
    stop: threading.Event,
) -> Callable[[], None]:
    """Reads the chunk again and again."""

    def read() -> None:
        with closing(source.chunk_reader()) as reader:
            while not stop.wait(PAUSE_SECONDS):
                reads.append(reader.read(relation, chunk))

    return read


def collect(
    source: PostgresSource, transactions: list[Transaction], changes: list[Change]
) -> list[Change]:
    """Add what has come; returns the changes of the transaction that has not ended."""
    for event in source.read(0.05):
        if isinstance(event, Change):
            changes.append(event)
        elif isinstance(event, Commit):
            transactions.append((event, changes))
            changes = []
    return changes


def is_the_end(transactions: Sequence[Transaction]) -> bool:
    """Whether the last change of all has come."""
    return any(
        change.new is not None and change.new[0] == b"-1"
        for _, changes in transactions[-1:]
        for change in changes
    )


def table_of(chunk: ChunkRows, transactions: Sequence[Transaction]) -> Table:
    """What the table is in the end, by the chunk and by the stream."""
    table: Table = {row[0]: row for row in chunk.rows}
    for commit, changes in transactions:
        if chunk.seen.sees(commit.xid):
            assert commit.position <= chunk.reached
            continue
        for change in changes:
            if change.old is not None:
                table.pop(change.old[0], None)
            if change.new is not None:
                table[change.new[0]] = change.new
    return table


def writing(database: Database, rng: Random, stop: threading.Event) -> Callable[[], None]:
    """Commits and rolls back transactions of one to five writes, with pauses in between."""

    def write() -> None:
        with psycopg.connect(database.dsn) as connection:
            while not stop.is_set():
                for _ in range(rng.randint(1, 5)):
                    if not write_once(connection, rng):
                        break
                    time.sleep(rng.random() ** 8 * PAUSE_SECONDS)
                if rng.random() < 0.2:
                    connection.rollback()
                connection.commit()

    return write


def write_once(connection: Connection, rng: Random) -> bool:
    """One write, in a savepoint now and then; False where it came into a deadlock."""
    statement = rng.choice(
        [
            "insert into item values (%(key)s, %(name)s) on conflict do nothing",
            "update item set name = %(name)s where id = %(key)s",
            "delete from item where id = %(key)s",
        ]
    )
    values = {"key": rng.randrange(KEYS), "name": str(rng.random())}
    connection.execute("savepoint here")
    try:
        connection.execute(statement.encode(), values)
    except psycopg.errors.DeadlockDetected:
        connection.rollback()
        return False
    if rng.random() < 0.2:
        connection.execute("rollback to here")
    elif rng.random() < 0.5:
        connection.execute("release here")
    return True
