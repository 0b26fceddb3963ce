"""Each change that other tools leave a document stale by: it reaches all that show the row.

Every replica identity is the default one. After each transaction all documents are compared with
SQL; what a test asserts besides is that the change was one of a document at all.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.embedded.ports import free_port
from tests.generators.hotels import PROJECTIONS, Hotels, fill
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer, PostgresServer

MADE = """
insert into chain values (100, 'Royal', 5), (101, 'Plain', 2);
insert into hotel values (100, 'Grand', 100, 'Rome', repeat('about', 700)),
                         (101, 'Small', 101, 'Oslo', 'short');
insert into room values (100, 1, 'suite', 300, repeat('n', 4000)), (100, 2, 'single', 80, 'x'),
                        (101, 1, 'double', 120, null);
insert into amenity values (100, 'pool'), (101, 'sauna');
insert into hotel_amenity values (100, 100), (100, 101), (101, 101);
insert into review values (1000, 100, 5, 'good'), (1001, 100, 2, 'bad'), (1002, 101, 3, '');
insert into answer values (1000, 1001, null, 'sorry'), (1001, null, 1000, 'really'),
                          (1002, null, 1001, 'yes');
"""
CLEARED = """
delete from chain where id >= 100;
delete from hotel where id >= 100;
delete from room where hotel_id >= 100;
delete from amenity where id >= 100;
delete from hotel_amenity where hotel_id >= 100;
delete from review where id >= 1000;
delete from answer where id >= 1000;
"""


@pytest.fixture(scope="module")
def following(
    postgres_server: PostgresServer,
    opensearch: OpenSearchServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Hotels]:
    """A daemon that has loaded hotels, for all tests of a module."""
    name = f"hotels_{uuid.uuid4().hex[:8]}"
    folder, port = tmp_path_factory.mktemp(name), free_port()
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    dsn = postgres_server.dsn_of(name)
    fill(dsn)
    said = {
        "name": name,
        "source": {"type": "postgres", "dsn": dsn},
        "sink": {"type": "opensearch", "hosts": [opensearch.url]},
        "projections": PROJECTIONS,
        "state": {"path": str(folder / "data")},
        "web": {"listen": f"127.0.0.1:{port}"},
    }
    file = folder / "cdc-daemon.yaml"
    file.write_text(json.dumps(said))
    daemon, server = RunningDaemon(file, port, dsn), Rest(opensearch.url)
    daemon.start()
    try:
        yield Hotels(daemon, server, dsn)
    finally:
        daemon.close()
        print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
        for projection in PROJECTIONS:
            server.delete(f"/{projection}-*")
        _drop(postgres_server, name)


def _drop(server: PostgresServer, name: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots"
            " where database = %s and active",
            [name],
        )
        until(lambda: _free(connection, name), 10, "the slot is free")
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            " where database = %s",
            [name],
        )
        connection.execute(f"drop database {name} with (force)")


def _free(connection: psycopg.Connection, name: str) -> bool:
    query = "select from pg_replication_slots where database = %s and active"
    return connection.execute(query, [name]).fetchone() is None


@pytest.fixture
def hotels(following: Hotels) -> Iterator[Hotels]:
    """Two hotels of two chains, with all that belongs to them."""
    following.commit(MADE)
    following.exact()
    yield following
    following.commit(CLEARED)


def grand(hotels: Hotels, statement: str, *further: str) -> tuple[Any, Any]:
    """Hotel 100 before and after a transaction; all documents are right after it."""
    before = hotels.document("hotels", "100")
    hotels.commit(statement, *further)
    hotels.exact()
    return before, hotels.document("hotels", "100")


def numbers(document: Any) -> list[str]:
    """Its rooms."""
    return [room["no"].text for room in document["rooms"]]


def test_a_child_is_inserted(hotels: Hotels) -> None:
    """It is in its place in the order, and what comes after the limit goes."""
    more = "insert into room values (100, 3, 'attic', 90), (100, 4, 'cellar', null)"
    before, after = grand(hotels, more)
    assert numbers(before) == ["1", "2"]
    assert numbers(after) == ["1", "3", "2"]


def test_a_child_is_deleted(hotels: Hotels) -> None:
    """Its key is all that the stream says of it."""
    _, after = grand(hotels, "delete from room where hotel_id = 100 and no = 1")
    assert numbers(after) == ["2"]


def test_a_foreign_key_is_moved(hotels: Hotels) -> None:
    """Both parents change, though the stream says nothing of the old one."""
    _, after = grand(hotels, "update review set hotel_id = 101 where id = 1000")
    assert after["reviews"].text == "1"
    assert hotels.document("hotels", "101")["reviews"].text == "2"


def test_a_parent_changes_its_key(hotels: Hotels) -> None:
    """The document moves to another id, and has the children that name the new key."""
    _, after = grand(hotels, "update hotel set id = 102 where id = 100")
    assert after is None
    assert hotels.document("hotels", "102")["rooms"] == []


def test_a_parent_comes_after_its_children(hotels: Hotels) -> None:
    """They are there at once when it comes."""
    hotels.commit("insert into room values (103, 9, 'tower', 900)")
    hotels.exact()
    assert hotels.document("hotels", "103") is None
    grand(hotels, "insert into hotel values (103, 'Late', 101, 'Rome')")
    assert numbers(hotels.document("hotels", "103")) == ["9"]


def test_children_are_truncated(hotels: Hotels) -> None:
    """All documents lose them, and one that comes in the same transaction is there."""
    more = "insert into hotel_amenity values (100, 100)"
    before, after = grand(hotels, "truncate hotel_amenity", more)
    assert before["amenities"] == ["pool", "sauna"]
    assert after["amenities"] == ["pool"]


def test_a_root_is_deleted_softly(hotels: Hotels) -> None:
    """It has no document, and no other shows it, until it is there again."""
    _, after = grand(hotels, "update hotel set deleted_at = now() where id = 100")
    assert after is None
    assert hotels.document("chains", "100")["hotels"] == []
    _, after = grand(hotels, "update hotel set deleted_at = null where id = 100")
    assert numbers(after) == ["1", "2"]


def test_a_row_shown_in_many_documents_is_renamed(hotels: Hotels) -> None:
    """All of them show it, at each depth."""
    _, after = grand(hotels, "update chain set name = 'Regal' where id = 100")
    assert after["label"] == "Grand by Regal"
    assert hotels.document("rooms", "room-100-1")["hotel"]["chain"]["name"] == "Regal"
    hotels.commit("update chain set name = name || '!'", "update amenity set name = name || '!'")
    assert hotels.exact() > 100


def test_a_value_that_the_stream_leaves_out_stays(hotels: Hotels) -> None:
    """A text stored out of line is the one that it was, also under another key."""
    note = "n" * 4000
    _, after = grand(hotels, "update room set price = 310 where hotel_id = 100 and no = 1")
    assert after["rooms"][0]["note"] == note
    _, after = grand(hotels, "update room set no = 7 where hotel_id = 100 and no = 1")
    assert after["rooms"][0]["note"] == note
    _, after = grand(hotels, "update hotel set name = 'Grand!' where id = 100")
    assert after["about"] == "about" * 700


def test_a_composite_key_is_moved(hotels: Hotels) -> None:
    """A room of another hotel is another document, and belongs to that hotel."""
    _, after = grand(
        hotels, "update room set hotel_id = 101, no = 5 where hotel_id = 100 and no = 2"
    )
    assert numbers(after) == ["1"]
    assert hotels.document("rooms", "room-100-2") is None
    assert hotels.document("rooms", "room-101-5")["hotel"]["name"] == "Small"


def test_rows_exchange_their_keys(hotels: Hotels) -> None:
    """Within one transaction, so that each has the other's children afterwards."""
    before, after = grand(
        hotels,
        "update hotel set id = -1 where id = 100",
        "update hotel set id = 100 where id = 101",
        "update hotel set id = 101 where id = -1",
    )
    assert (before["name"], after["name"]) == ("Grand", "Small")
    assert after["about"] == "short"
    assert hotels.document("hotels", "101")["about"] == "about" * 700


def test_a_document_moves_to_another_shard(hotels: Hotels) -> None:
    """Its routing changes, and it is there once."""
    for hotel in range(101, 109):
        grand(hotels, f"update review set hotel_id = {hotel} where id = 1000")
    assert hotels.document("reviews", "1000")["hotel"] is None


def test_an_aggregate_follows_each_of_its_rows(hotels: Hotels) -> None:
    """The greatest value goes, the average changes, and of nothing it is null."""
    before, after = grand(hotels, "delete from review where id = 1000")
    assert (before["best"].text, after["best"].text) == ("5", "2")
    _, after = grand(hotels, "delete from review where hotel_id = 100")
    assert (after["reviews"].text, after["rating"], after["latest"]) == ("0", None, None)


def test_a_row_below_itself_is_moved(hotels: Hotels) -> None:
    """Answers to answers, four levels below the root."""
    _, after = grand(hotels, "update answer set answer_id = null, review_id = 1001 where id = 1002")
    assert [each["id"].text for each in after["latest"]["answers"]] == ["1000", "1002"]


def test_what_is_taken_back_is_not_there(hotels: Hotels) -> None:
    """A row that comes and goes, and one that changes and changes back, within a transaction."""
    before, after = grand(
        hotels,
        "insert into room values (100, 8, 'ghost', 1000)",
        "delete from room where hotel_id = 100 and no = 8",
        "update chain set name = 'x' where id = 100",
        "update chain set name = 'Royal' where id = 100",
    )
    assert after == before


def test_one_table_feeds_flat_and_joined_read_models(hotels: Hotels) -> None:
    """Both show the change."""
    _, after = grand(hotels, "update amenity set name = 'bath' where id = 100")
    assert after["amenities"] == ["bath", "sauna"]
    assert hotels.document("amenities", "100")["name"] == "bath"
