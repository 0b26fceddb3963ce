"""Tables are altered while a relay writes the log, and while its readers follow or are away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg

    from tests.generators.rest import Rest
    from tests.integration.orderedlog.conftest import Relays

ROOMS = {"rooms": {"from": "public.room", "fields": "*"}}
MEANT = "select id::text, to_jsonb(room) from room"
STEPS = (
    "alter table room add column view text default 'sea'",
    "update room set view = 'lake' where id <= 10",
    "alter table room rename column view to outlook",
    "insert into room (id, hotel_id, price, outlook) values (1001, 1, 1.5, 'wood')",
    "alter table room alter column hotel_id type text using 'h' || hotel_id",
    "update room set hotel_id = 'h7' where id = 1001",
    "alter table room drop column outlook",
    "insert into room (id, hotel_id, price) values (1002, 'h1', 2.5)",
    "delete from room where id between 20 and 30",
)


@pytest.mark.parametrize("is_away", [False, True], ids=["running", "away"])
def test_readers_follow_whatever_is_altered(
    relays: Relays, connection: psycopg.Connection[Any], rest: Rest, *, is_away: bool
) -> None:
    """Columns are added, renamed, retyped and dropped between changes of rows."""
    relay = relays.relay()
    relay.wait_until()
    reader = relays.reader(ROOMS)
    reader.wait_until()
    reader.catch_up()
    if is_away:
        assert reader.terminate() == 0
    for step in STEPS:
        connection.execute(step.encode())
    if is_away:
        relay.catch_up()
        reader.start()
    reader.wait_until()
    reader.catch_up()
    reader.wait_until()
    rest.post("/rooms/_refresh")
    hits = rest.post("/rooms/_search", {"size": 1000})["hits"]["hits"]
    assert {hit["_id"]: hit["_source"] for hit in hits} == dict(
        connection.execute(MEANT).fetchall()
    )
    assert not reader.status()["dead_letters"]
    assert not relay.events("change_unreadable")
