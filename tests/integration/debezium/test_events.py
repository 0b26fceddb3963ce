"""Our relay writes what the real Debezium writes of the same transactions, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.generators.budget import repeatable, seeded
from tests.generators.debezium import WITH_SCHEMAS, WITHOUT_SCHEMAS
from tests.generators.debezium_compared import differences
from tests.generators.debezium_operations import FOLLOWED, STATEMENTS, TABLES
from tests.generators.debezium_types import LEFT_OUT, EveryType, Rows, rows

if TYPE_CHECKING:
    import psycopg

    from tests.integration.debezium.conftest import RunBoth

TRANSACTIONS = {"provide.transaction.metadata": "true"}
OF_CHUNKS = ("snapshot", "txId", "lsn", "sequence", "ts_ms", "ts_us", "ts_ns")
"""What the source block says of a snapshot: ours has a snapshot for each chunk."""


@pytest.mark.parametrize("schemas", [False, True], ids=["plain", "schemas"])
def test_every_operation_is_the_same_event(
    run_both: RunBoth, connection: psycopg.Connection, *, schemas: bool
) -> None:
    """Keys, rows, source and transaction blocks, headers and tombstones, in their order."""
    connection.execute(TABLES)
    settings = {**TRANSACTIONS, **(WITH_SCHEMAS if schemas else WITHOUT_SCHEMAS)}
    ours, theirs = run_both(FOLLOWED, STATEMENTS, settings, schemas=schemas)
    assert len(ours) > len(STATEMENTS)
    assert differences(ours, theirs) == []


def test_existing_rows_are_the_same_events(
    run_both: RunBoth, connection: psycopg.Connection
) -> None:
    """But for what docs/reference/relay.md lists: which row is the last, and when it was read."""
    connection.execute(TABLES)
    connection.execute("insert into plain select i, 'old', i from generate_series(1, 3) i")
    connection.execute("insert into two_keys values ('a', 1, 2)")
    tables, settings = ["public.plain", "public.two_keys"], {**TRANSACTIONS, **WITHOUT_SCHEMAS}
    ours, theirs = (
        sorted(some, key=lambda one: (one["topic"], str(one["key"])))
        for some in run_both(tables, [], settings, existing=True)
    )
    told = [
        [{name: one["value"]["source"].pop(name) for name in OF_CHUNKS} for one in some]
        for some in (ours, theirs)
    ]
    ours_told, theirs_told = ([one["snapshot"] for one in some] for some in told)
    assert ours_told == ["true"] * 4
    assert {"first_in_data_collection", "last_in_data_collection", "last"} <= {*theirs_told}
    assert [one["txId"] is None for some in told for one in some] == [True] * 4 + [False] * 4
    assert [one["value"]["op"] for one in ours] == ["r"] * 4
    assert differences(ours, theirs) == []


def test_values_of_every_type_are_the_same(
    run_both: RunBoth, connection: psycopg.Connection
) -> None:
    """But for those that docs/reference/relay.md lists: Debezium loses or changes them."""
    seed, rng = seeded()
    with repeatable(seed):
        every = EveryType(connection, rng)
        written = run_both(["public.every"], [every.statement], WITHOUT_SCHEMAS)
        _same_values(every, *map(rows, written))


def _same_values(every: EveryType, ours: Rows, theirs: Rows) -> None:
    assert ours.keys() == theirs.keys() == set(range(len(every.values)))
    assert _left_out(every, ours[0], theirs[0]) == []
    assert [
        (value, ours[at][value.column], theirs[at][value.column])
        for at, value in enumerate(every.values)
        if value.column in theirs[at] and not value.is_known
        if differences(ours[at][value.column], theirs[at][value.column])
    ] == []


def _left_out(every: EveryType, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Types that only one of both has, and that aren't known for it."""
    types = {name for column, (name, _) in every.columns.items() if column not in theirs}
    known = {name for name, _ in every.columns.values() if LEFT_OUT.fullmatch(name)}
    assert ours.keys() == {"id", *every.columns}
    return sorted(types ^ known)
