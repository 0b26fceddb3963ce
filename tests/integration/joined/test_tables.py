"""A table that joined read models read is changed while the daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.generators.running_daemon import until
from tests.integration.joined.conftest import HOTELS

if TYPE_CHECKING:
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = (
    "insert into chain select i, 'chain ' || i from generate_series(1, 5) i",
    "insert into hotel select i, 'hotel ' || i, i % 6 from generate_series(1, 100) i",
    "insert into room select i, i % 110, 'kind ' || i % 3, i / 7.0 from generate_series(1, 500) i",
)
WITHOUT_TAGS: dict[str, Any] = {
    "hotels": {
        **HOTELS["hotels"],
        "embed": {k: v for k, v in HOTELS["hotels"]["embed"].items() if k != "tags"},
    }
}


MADE_AGAIN = (
    "alter table room rename to old_room",
    "create table room (like old_room including all)",
    "insert into room select id + 1, hotel_id, kind, price from old_room",
)


@pytest.mark.parametrize(
    ("statements", "reads_again"),
    [
        (("alter table room add column note text default 'nobody reads it'",), ""),
        (("alter table room alter price type numeric(12,3)",), "public.room"),
        (("alter table chain alter name type varchar(50)",), "public.chain"),
        (MADE_AGAIN, "public.room"),
        (("truncate room", "insert into room values (1, 1, 'new', 1)"), ""),
        (
            ("alter table room replica identity full", "delete from room where id < 9"),
            "public.room",
        ),
    ],
)
def test_documents_come_right(
    store: Store,
    start_daemon: StartDaemon,
    statements: tuple[str, ...],
    reads_again: str,
) -> None:
    """By reading that table again where its rows don't say what has changed; no other one is."""
    store.execute(*ROWS)
    daemon = start_daemon(WITHOUT_TAGS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert store.assert_equal(daemon) == 100
    before = len(daemon.events("loading"))
    store.execute("update room set price = 1 where id < 50")
    store.execute("update hotel set name = name || '!' where id % 9 = 0", *statements)
    store.execute("update room set kind = 'after' where id % 4 = 0")
    store.wait_until_equal(daemon)
    if reads_again:  # documents may be right before a look at the catalog has noticed
        until(lambda: len(daemon.events("loading")) > before, 60, "the table is read again")
    daemon.wait_until("streaming")
    daemon.catch_up()
    store.wait_until_equal(daemon)
    again = {event["table"] for event in daemon.events("loading")[before:]}
    assert again == {reads_again} - {""}


def test_a_column_that_is_added_comes_into_documents_that_show_all(
    store: Store, start_daemon: StartDaemon
) -> None:
    """Of the root, and of a table that is embedded: none of their rows has changed."""
    store.execute(*ROWS)
    every: dict[str, Any] = {
        "from": "hotel",
        "fields": "*",
        "embed": {"rooms": {"many": "room", "on": {"hotel_id": "id"}, "fields": "*"}},
    }
    daemon = start_daemon({"hotels": every})
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert store.assert_equal(daemon) == 100
    for table in ("hotel", "room"):
        store.execute(f"alter table {table} add column stars int")
        store.wait_until_equal(daemon)
    store.execute("update room set stars = id % 5", "update hotel set stars = 3 where id < 9")
    store.wait_until_equal(daemon)
    assert len(daemon.events("schema_changed")) == 2


def test_what_a_flat_read_model_shows_beside_is_not_loaded_for_joined_ones(
    store: Store, start_daemon: StartDaemon
) -> None:
    """It reads columns of its own, and more that come: the state keeps what joined ones show."""
    store.execute(*ROWS)
    daemon = start_daemon(WITHOUT_TAGS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    before = len(daemon.events("loading"))
    daemon.terminate()
    beside = {"from": "hotel", "fields": "*"}
    daemon = start_daemon({**WITHOUT_TAGS, "beside": beside})
    daemon.wait_until("streaming")
    store.execute("alter table hotel add column stars int", "update hotel set stars = id % 5")
    store.wait_until_equal(daemon)
    store.execute("update hotel set name = name || '!' where id < 50")
    daemon.catch_up()
    assert store.assert_equal(daemon) == 200
    assert {(*event["projections"],) for event in daemon.events("loading")[before:]} == {
        ("beside",)
    }
    assert len(daemon.events("schema_changed")) == 1
