"""Real collations of ICU: what takes different texts for equal is refused, or comes out right.

On PostgreSQL 15: the others that the tests run are built without ICU.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.config.loader import load
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.explaining import document_sql
from tests.generators.forked import command
from tests.generators.oracle import assert_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

pytestmark = pytest.mark.parametrize("database", [15], indirect=True)

ICU_VERSION = 15
CREATE = """
create collation any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create collation german (provider = icu, locale = 'de');
create domain code as text collate any_case;
create type span as range (subtype = text, collation = any_case);
create type code_span as range (subtype = code, collation = any_case);
create domain gap as span;
create table hotel (
  id int primary key, name text collate any_case, plain text, code code, span span, gap gap,
  codes code_span, spans span_multirange, tags text[] collate any_case, labels code[],
  short char(5) collate any_case, long varchar(20) collate any_case, sorted text collate german
);
create table room (
  id int primary key, hotel text collate any_case, plain text, code code, span span, gap gap,
  codes code_span, spans span_multirange, kind text collate any_case, sorted text collate german
);
"""
ROWS = """
insert into hotel select i, n, n, n, span(n, n || 'z'), span(n, n || 'z'), code_span(n, n || 'z'),
  span_multirange(span(n, n || 'z')), array[n, 'x'], array[n]::code[], n, n, n
from unnest(array['Grand', 'GRAND', 'grand', 'Äpfel', 'äpfel', 'zoo', 'Zoo', '_x'])
  with ordinality t (n, i);
insert into room select i, n, n, n, span(n, n || 'z'), span(n, n || 'z'), code_span(n, n || 'z'),
  span_multirange(span(n, n || 'z')), k, k
from unnest(array['Grand', 'GRAND', 'grand', 'Äpfel', 'zoo', 'Zoo', 'Grand', 'GRAND'],
  array['Suite', 'suite', 'Ähre', 'aal', 'Zelt', 'zelt', '_', 'SUITE']) with ordinality t (n, k, i);
"""


@pytest.fixture
def source(database: Database) -> Iterator[psycopg.Connection]:
    """Two tables of hotels and rooms, of which nearly every text is under such a collation."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute(ROWS)
        yield connection


def rooms(**embed: Any) -> dict[str, Any]:
    """Hotels with what is said of their rooms."""
    return {"hotels": {"from": "hotel", "fields": ["id"], "embed": {"rooms": embed}}}


MANY: dict[str, Any] = {"many": "room", "on": {"plain": "plain"}, "fields": ["id"]}
JOINED = "its collation is nondeterministic, so which of its values are equal is not known here"
COMPARED = "has a nondeterministic collation, so which of its values are equal is not known here"


@pytest.mark.parametrize("column", ["code", "span", "gap", "codes", "spans"])
def test_no_rows_are_found_by_what_may_be_equal_in_another_way(
    source: psycopg.Connection, start_daemon: StartDaemon, column: str
) -> None:
    """Also where the text is under a domain, or within a range."""
    [(equal,)] = source.execute(
        f"select exists (select from hotel join room using ({column}) "
        "where hotel.plain <> room.plain)"
    )
    assert equal, "the server takes different texts for one"
    refused = refusal(start_daemon, rooms(**MANY | {"on": {column: column}}))
    assert f"public.room.{column}: {JOINED}" in refused
    assert "Join by another column, or give it a deterministic collation" in refused


def test_no_rows_are_found_by_several_columns_one_of_which_is_such(
    source: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """On either side."""
    refused = refusal(start_daemon, rooms(**MANY | {"on": {"id": "id", "plain": "name"}}))
    assert f"public.hotel.name: {JOINED}" in refused
    refused = refusal(start_daemon, rooms(**MANY | {"on": {"id": "id", "hotel": "plain"}}))
    assert f"public.room.hotel: {JOINED}" in refused
    assert source.info.server_version // 10_000 == ICU_VERSION


@pytest.mark.parametrize(
    "condition",
    [
        "kind = 'suite'",
        "code <> 'grand'",
        "kind in ('suite', 'aal')",
        "kind::text = any (array['suite'])",
        "kind between 'a' and 'b'",
        "lower(kind) = 'suite'",
        "coalesce(kind, '') || '' > 'a'",
        "kind is distinct from 'suite'",
        "nullif(kind, 'suite') is null",
        "case kind when 'suite' then true end",
        "greatest(kind, 'x') is null",
        "kind like 's%'",
        "position('s' in kind) > 0",
    ],
)
def test_no_condition_compares_such_text(
    source: psycopg.Connection, start_daemon: StartDaemon, condition: str
) -> None:
    """Our comparison is by bytes; `COLLATE "C"` makes the source's the same."""
    assert source.info.server_version // 10_000 == ICU_VERSION
    refused = refusal(start_daemon, rooms(**MANY | {"where": condition}))
    column = "code" if "code" in condition else "kind"
    assert f"column {column} {COMPARED}" in refused
    assert f'write {column} COLLATE "C"' in refused


@pytest.mark.parametrize("condition", ["'x' = any (tags)", "labels[1] = 'grand'", "short <> 'a'"])
def test_nor_such_text_in_arrays(
    source: psycopg.Connection, start_daemon: StartDaemon, condition: str
) -> None:
    """Whether of text or of a domain over it."""
    assert source.info.server_version // 10_000 == ICU_VERSION
    projection = rooms(**MANY)
    projection["hotels"]["where"] = condition
    assert COMPARED in refusal(start_daemon, projection)


def test_ranges_are_not_told_apart_by_what_they_span(
    source: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """`distinct` compares text by its bytes, as COLLATE says in SQL; for ranges there is none."""
    assert source.info.server_version // 10_000 == ICU_VERSION
    for value in ("span", "codes", {"expression": "coalesce(span, span)"}):
        embed = {"count": "room", "on": {"plain": "plain"}, "value": value, "distinct": True}
        assert "distinct needs values that can be told apart" in refusal(
            start_daemon, rooms(**embed)
        )


ALL_BY_BYTES: dict[str, Any] = {
    "hotels": {
        "from": "hotel",
        "where": "name collate \"C\" <> 'zoo'",
        "fields": ["id", "name", "code", "span", "gap", "tags", "labels", "short", "long"],
        "embed": {
            "rooms": {
                "many": "room",
                "on": {"plain": "plain"},
                "fields": ["id", "kind", "sorted"],
                "order_by": "kind desc, sorted",
            },
            "sorted": {
                "many": "room",
                "on": {"plain": "plain"},
                "value": "sorted",
                "order_by": "sorted",
            },
            "kinds": {
                "many": "room",
                "on": {"plain": "plain"},
                "value": "kind",
                "order_by": "id",
                "distinct": True,
            },
            "different": {
                "count": "room",
                "on": {"plain": "plain"},
                "value": "kind",
                "distinct": True,
            },
            "least": {"min": "room", "on": {"plain": "plain"}, "value": "kind"},
            "last": {"max": "room", "on": {"plain": "plain"}, "value": "sorted"},
            "suites": {
                "count": "room",
                "on": {"plain": "plain"},
                "where": "upper(kind) collate \"C\" = 'SUITE' and 'a' < kind collate \"C\"",
            },
            "first": {
                "first": "room",
                "on": {"plain": "plain"},
                "order_by": "sorted",
                "value": "sorted",
            },
        },
    }
}
HOTELS_THERE = 8


def test_text_is_compared_by_its_bytes_where_that_is_said(
    source: psycopg.Connection, start_daemon: StartDaemon, rest: Rest, database: Database
) -> None:
    """Order, extremes, `distinct` and conditions, loaded and streamed, under ICU's collations."""
    source.execute("update room set plain = 'all'; update hotel set plain = 'all' where id < 8")
    daemon = start_daemon(ALL_BY_BYTES)
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert shown_equal(daemon, rest, database) == HOTELS_THERE - 1
    source.execute("update room set kind = 'sUITE' where id = 2")
    source.execute("update room set kind = 'ZELT', sorted = 'ß' where id = 6")
    source.execute("update hotel set name = upper(name), plain = 'all' where id in (1, 6, 8)")
    source.execute("delete from room where id = 4")
    daemon.catch_up()
    assert shown_equal(daemon, rest, database) == HOTELS_THERE


CONFIGURATION_ERROR = 2


@pytest.mark.parametrize(
    "collation", ["text collate any_case", "code", "varchar(30) collate any_case"]
)
def test_a_collation_that_changes_under_a_running_daemon_is_noticed(
    source: psycopg.Connection,
    start_daemon: StartDaemon,
    rest: Rest,
    database: Database,
    collation: str,
) -> None:
    """The rows stay as they are, and yet others belong together by now."""
    daemon = start_daemon(rooms(**MANY))
    daemon.wait_until("streaming")
    daemon.catch_up()
    shown_equal(daemon, rest, database)
    source.execute(f"alter table room alter plain type {collation}".encode())
    assert daemon.wait(60) == CONFIGURATION_ERROR
    assert f"public.room.plain: {JOINED}" in daemon.said()
    source.execute('alter table room alter plain type text collate "C"')
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    shown_equal(daemon, rest, database)


KEYED = """
create table station (name text collate any_case, line int, note text, primary key (name, line));
create table stop (name text collate any_case primary key, note text);
create table train (id code primary key, stop_id int, at text);
insert into stop select name, name from unnest(array['A', 'b', 'C', 'Ä']) name;
insert into station select name, line, name from unnest(array['A', 'b']) name,
  generate_series(1, 2) line;
insert into train select 'T' || i, i % 3, 'x' from generate_series(1, 9) i;
"""
KEYS: dict[str, Any] = {
    "stops": {"from": "stop", "fields": ["name", "note"]},
    "stations": {"from": "station", "fields": ["name", "line", "note"]},
    "lines": {
        "from": "hotel",
        "fields": ["id"],
        "embed": {
            "trains": {"many": "train", "on": {"stop_id": "id"}, "fields": ["id", "at"]},
            "count": {"count": "train", "on": {"stop_id": "id"}},
        },
    },
    "trains": {
        "from": "train",
        "fields": ["id", "at"],
        "embed": {"hotel": {"one": "hotel", "on": {"id": "stop_id"}, "fields": ["name"]}},
    },
}
FLAT = {
    "stops": "select name, jsonb_build_object('name', name, 'note', note) from stop",
    "stations": "select name || '|' || line, "
    "jsonb_build_object('name', name, 'line', line, 'note', note) from station",
}


def test_a_key_that_stays_equal_is_another_document(
    source: psycopg.Connection, start_daemon: StartDaemon, rest: Rest, database: Database
) -> None:
    """'A' made 'a' is the same key to the server's index, and yet another id: the old one goes."""
    source.execute(KEYED)
    daemon = start_daemon(KEYS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    shown_equal(daemon, rest, database)
    with source.transaction():
        source.execute("update stop set name = lower(name), note = 'now lower'")
        source.execute("update station set name = upper(name) where line = 2")
        source.execute("update train set id = lower(id) where stop_id = 1")
        source.execute("update train set id = lower(id), at = 'y' where id = 'T2'")
        source.execute("update train set id = upper(id), at = 'z' where id = 'T2'")
    with source.transaction():
        source.execute("delete from stop where name = 'C'; insert into stop values ('C', 'anew')")
        source.execute("delete from train where id = 't3'; insert into train values ('t3', 1, 'n')")
        source.execute(
            "insert into stop values ('B', 'other') on conflict (name) do update "
            "set name = excluded.name, note = excluded.note"
        )
    daemon.catch_up()
    shown_equal(daemon, rest, database)
    told = command("preview", "stops", "A", "-o", "json", str(daemon.file))
    assert json.loads(told.stdout)["document"] is None, told.stderr
    assert json.loads(told.stdout)["verdict"] == "equal"
    assert daemon.terminate() == 0
    source.execute("update stop set name = upper(name); update train set id = upper(id)")
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    shown_equal(daemon, rest, database)


def refusal(start_daemon: StartDaemon, projections: dict[str, Any]) -> str:
    """Why these are refused."""
    daemon = start_daemon(projections, start=False)
    with pytest.raises(ConfigurationError) as caught:
        document_sql(load(daemon.file, {}), "hotels", None)
    return str(caught.value)


def shown_equal(daemon: RunningDaemon, rest: Rest, database: Database) -> int:
    """All documents are what SQL makes of them, in the source itself."""
    loaded = load(daemon.file, {})
    names = loaded.configuration.projections
    queries = {name: FLAT.get(name) or document_sql(loaded, name, None) for name in names}
    return assert_equal(database.dsn, rest, queries)
