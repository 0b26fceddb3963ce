"""Special values (NaN, infinity, far dates) and unknown types, through the whole daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.oracle import documents

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

STRANGE = """
create type strange;
create function strange_in(cstring) returns strange language internal immutable strict as 'textin';
create function strange_out(strange) returns cstring language internal immutable strict
  as 'textout';
create type strange (input = strange_in, output = strange_out, like = text);
"""
TABLE = """
create table rate (
  id int primary key, until date, price numeric, place point, valid tstzrange, extra strange
)
"""
RATES: dict[str, Any] = {
    "rates": {
        "from": "rate",
        "fields": {
            "id": None,
            "until": None,
            "until_text": {"column": "until", "type": "keyword"},
            "price": {"default": 0},
            "place": {"type": "geo_point"},
            "valid": {"type": "date_range"},
            "extra": None,
        },
        "freshness": "50ms",
    },
    "strict": {
        "from": "rate",
        "fields": {"id": None, "price": None},
        "unrepresentable": "dead_letter",
        "freshness": "50ms",
    },
}
INSERT = "insert into rate values (%s, %s, %s, %s, %s, 'odd')"
EXPECTED: dict[str, dict[str, Any]] = {
    "1": {
        "id": 1,
        "until": None,
        "until_text": "infinity",
        "price": 0,
        "place": {"lon": 13.4, "lat": 52.5},
        "valid": {"gte": "2024-02-29T00:00:00+00:00"},
        "extra": "odd",
    },
    "2": {
        "id": 2,
        "until": "-0043-03-15",
        "until_text": "0044-03-15 BC",
        "price": 1.5,
        "place": None,
        "valid": None,
        "extra": "odd",
    },
}


def insert_both(connection: psycopg.Connection, first: int = 1) -> None:
    """Rows like those that are expected."""
    values = (first, "infinity", "NaN", "(13.4,52.5)", "[2024-02-29 00:00+00,infinity)")
    connection.execute(INSERT, values)
    connection.execute(INSERT, (first + 1, "0044-03-15 BC", "1.50", "(1,95)", "empty"))


def shown(rest: Rest, projection: str) -> dict[str, Any]:
    """The documents by id, numbers as floats."""
    found = {key: body for key, (_, body) in documents(rest, projection).items()}
    return dict(json.loads(json.dumps(found, default=lambda number: float(number.text))))


def nulled(daemon: RunningDaemon, field: str) -> float:
    """How many values of a field became null."""
    name = f'cdc_unrepresentable_values_total{{field="{field}",projection="rates"}}'
    return daemon.metrics()[name]


def test_special_values_loaded_and_streamed(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Both come alike: null and counted, exact in a text, or a dead letter where that is asked."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(STRANGE.encode())
        connection.execute(TABLE.encode())
        insert_both(connection)
        daemon = start_daemon(RATES)
        daemon.wait_until("streaming")
        assert shown(rest, "rates") == EXPECTED
        insert_both(connection, 3)
        connection.execute("update rate set price = 'Infinity' where id = 2")
        daemon.catch_up()
    found = shown(rest, "rates")
    assert found["2"] == {**EXPECTED["2"], "price": 0}
    assert found["3"] == {**EXPECTED["1"], "id": 3}
    assert found["4"] == {**EXPECTED["2"], "id": 4}
    assert [nulled(daemon, field) for field in ("until", "price", "place")] == [2, 3, 3]
    letters = 'cdc_dead_letters_total{projection="strict",reason="unrepresentable_value"}'
    assert daemon.metrics()[letters] == 3
    # The last version of 2 is a dead letter, and the one before it stays.
    assert shown(rest, "strict") == {"2": {"id": 2, "price": 1.5}, "4": {"id": 4, "price": 1.5}}
    (warning,) = daemon.events("type_unknown")
    assert (warning["table"], warning["column"]) == ("public.rate", "extra")
    assert warning["types"] == ["strange"]
