"""Values that break encoders, loaded and streamed: each arrives as it is, or is a dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

TEXTS = [
    *('"', "'", "\\", "\\\\", "\\N", "\\.", "\t", "\n", "\r\n", "a\tb\\tc", "{}", '{"a": 1}', ""),
    *(
        "".join(map(chr, range(1, 32))),
        "\x7f\x80\x9f",
        "\u2028\u2029\ufeff\ufffe\uffff",
        "\U0010ffff",
    ),
    *("😀👩‍👧", "é e\u0301", "null", "NULL", " ", "?[1]", "%s %(x)s {}", "$$ -- /* ;"),
]
MOST_BYTES = 200_000_000
EXPECTED = {"odd": "select id::text, jsonb_build_object('t', t, 'many', many, 'raw', raw) from odd"}
FIELDS = {"t": None, "many": None, "raw": None}


def test_quotes_backslashes_binary_and_emoji(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """In a text, in an array, and as bytes; by a chunk and by the stream alike."""
    rows = [(text, [text, None, f"{text}{text}"], text.encode()) for text in TEXTS]
    rows.append(("every byte", [], bytes(range(256))))
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "create table odd (id int generated always as identity primary key, t text,"
            " many text[], raw bytea)"
        )
        insert = "insert into odd (t, many, raw) values (%s, %s, %s)"
        connection.cursor().executemany(insert, rows)
        daemon = start_daemon({"odd": {"from": "odd", "fields": FIELDS}})
        daemon.wait_until("streaming")
        connection.cursor().executemany(insert, rows)
        connection.execute("update odd set t = t || t where id % 2 = 0")
        daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 2 * len(rows)
    assert not daemon.status()["dead_letters"]


def test_a_text_of_two_hundred_megabytes_is_a_clear_dead_letter(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Loaded or streamed: it is named with its size, and its neighbours arrive."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table odd (id int primary key, t text, many text[], raw bytea)")
        large = "insert into odd select i, repeat('x', %s) from generate_series(%s::int, %s::int) i"
        connection.execute(large, [MOST_BYTES, 1, 1])
        connection.execute(large, [10, 2, 9])
        daemon = start_daemon({"odd": {"from": "odd", "fields": FIELDS}})
        daemon.wait_until("streaming", 120)
        connection.execute(large, [MOST_BYTES, 11, 11])
        connection.execute(large, [10, 12, 19])
        daemon.catch_up(120)
        until(lambda: daemon.status()["dead_letters"] == 2, 60, "both are dead letters")
    small = {"odd": f"{EXPECTED['odd']} where id not in (1, 11)"}
    assert assert_equal(database.dsn, rest, small) == 16
    rest.post("/cdc-daemon-deadletters/_refresh", {})
    found = rest.post("/cdc-daemon-deadletters/_search", {"query": {"match_all": {}}, "size": 50})
    letters = [hit["_source"] for hit in found["hits"]["hits"]]
    mine = [one for one in letters if one["projection"] == "odd"]
    assert {one["reason"] for one in mine} == {"document_too_large"}
    assert all(f"{MOST_BYTES}"[:3] in one["explanation"] for one in mine)
