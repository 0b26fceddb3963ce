"""A standby is followed as exactly as a primary: loads, stream, crashes and promotion."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.conftest import fresh_database
from tests.generators.budget import seeded
from tests.generators.history import EXPECTED, PROJECTIONS, Load, Sampler, fill
from tests.generators.oracle import assert_equal, compare
from tests.generators.running_daemon import until
from tests.generators.standby import (
    PHYSICAL_SLOT,
    Pair,
    dsn_of_both,
    fail_over,
    pair,
    private_pair,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

__all__ = ["pair", "private_pair"]

KILLS = 4
ROWS = 3000
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": {"id": None, "n": None}}}
WANTED = {"items": "select id::text, jsonb_build_object('id', id, 'n', n) from item"}
EVERYTHING: dict[str, Any] = {"items": {"from": "item", "fields": "*"}}
WANTED_EVERYTHING = {"items": "select id::text, to_jsonb(item) from item"}
OTHERS: dict[str, Any] = {"others": {"from": "other", "fields": {"id": None}}}
WANTED_OTHERS = {"others": "select id::text, jsonb_build_object('id', id) from other"}
LATE_SECONDS = 3
"""A standby that is paused for so long shows a delay of that at least."""


class Followed:
    """A database of a primary, and daemons that follow its standby."""

    def __init__(
        self,
        servers: Pair,
        database: Database,
        start_daemon: StartDaemon,
        rest: Rest,
    ) -> None:
        self.servers = servers
        self.dsn = database.dsn
        self.source = servers.source(database.name)
        self._start = start_daemon
        self._rest = rest
        self._daemons: list[RunningDaemon] = []

    def daemon(self, projections: Mapping[str, Any], folder: str = ".") -> RunningDaemon:
        """Start one."""
        self._daemons.append(self._start(projections, source=self.source, folder=folder))
        return self._daemons[-1]

    def close(self) -> None:
        """The standby keeps nothing for anybody afterwards."""
        for daemon in self._daemons:
            daemon.close()
        self.servers.standby.start()
        self.servers.drop_slots()

    def wait_equal(self, daemon: RunningDaemon, wanted: Mapping[str, str]) -> None:
        """Wait until all is streamed that was written, and all is loaded that must be."""
        daemon.wait_until("streaming")
        daemon.catch_up()
        until(lambda: self._is_equal(wanted), 30, "what is searched is what the primary has")
        assert assert_equal(self.dsn, self._rest, wanted) > 0

    def _is_equal(self, wanted: Mapping[str, str]) -> bool:
        return all(each.none for each in compare(self.dsn, self._rest, wanted).values())


@pytest.fixture
def followed(
    pair: Pair,
    start_daemon: StartDaemon,
    rest: Rest,
) -> Iterator[Followed]:
    """A database of its own for each test."""
    with fresh_database(pair.primary) as database:
        made = Followed(pair, database, start_daemon, rest)
        pair.wait_replayed()  # a daemon that comes before its database ends
        yield made
        made.close()


@pytest.fixture
def items(followed: Followed) -> Iterator[psycopg.Connection]:
    """A table with rows, on the primary."""
    with psycopg.connect(followed.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        connection.execute("insert into item select i, i from generate_series(1, %s) i", [ROWS])
        followed.servers.wait_replayed()
        yield connection


def test_kills_of_either_side_under_load(followed: Followed, rest: Rest) -> None:
    """Existing rows and a random history: only commits are shown, and all of them at the end."""
    seed, chosen = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(followed.dsn)
    daemon = followed.daemon(PROJECTIONS)
    daemon.wait_until("streaming")
    with Sampler(rest) as sampler, Load(followed.dsn, seed, pause_seconds=0.1) as load:
        for number in range(KILLS):
            time.sleep(chosen.uniform(0, 1))
            if number % 2:
                daemon.wait_until("streaming")  # at its start a server that is away ends it
                followed.servers.standby.kill()
                followed.servers.standby.start()
            daemon.kill()
            daemon.start()
    assert load.committed > 20
    daemon.wait_until("streaming")
    daemon.catch_up(90)
    assert assert_equal(followed.dsn, rest, EXPECTED) > 0
    assert not sampler.wrong, sampler.wrong[:5]
    made = [event["projection"] for event in daemon.events("new_generation")]
    assert sorted(made) == sorted(PROJECTIONS), "the slot and the checkpoint were enough"


def test_rows_are_loaded_while_others_write(followed: Followed, rest: Rest) -> None:
    """The first load of a random history, with the standby killed amid it."""
    seed, chosen = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(followed.dsn)
    with Sampler(rest) as sampler, Load(followed.dsn, seed, pause_seconds=0.05):
        daemon = followed.daemon(PROJECTIONS)
        until(lambda: daemon.events("creating_slot"), 60, "it begins")
        time.sleep(chosen.uniform(0.5, 2))
        followed.servers.standby.kill()
        followed.servers.standby.start()
        daemon.wait_until("streaming")
    daemon.catch_up(90)
    assert assert_equal(followed.dsn, rest, EXPECTED) > 0
    assert not sampler.wrong, sampler.wrong[:5]


def test_a_table_that_is_altered_is_read_again(
    followed: Followed, items: psycopg.Connection
) -> None:
    """What its catalog says is what the standby has replayed."""
    daemon = followed.daemon(EVERYTHING)
    daemon.wait_until("streaming")
    items.execute("update item set n = n + 1 where id < 100")
    items.execute("alter table item add more int not null default 7")
    items.execute("update item set more = 8 where id < 50")
    until(lambda: daemon.events("schema_changed"), 30, "it is seen")
    items.execute("delete from item where id < 10")
    followed.wait_equal(daemon, WANTED_EVERYTHING)
    items.execute("truncate item")
    items.execute("insert into item select i, i from generate_series(1, 10) i")
    followed.wait_equal(daemon, WANTED_EVERYTHING)


def test_another_table_is_published_on_the_primary(
    followed: Followed, items: psycopg.Connection
) -> None:
    """Those who had written it before are waited for there: the standby doesn't know of them."""
    daemon = followed.daemon(ITEMS)
    daemon.wait_until("streaming")
    assert daemon.terminate() == 0
    items.execute("create table other (id int primary key)")
    items.execute("insert into other select generate_series(1, 100)")
    with psycopg.connect(followed.dsn) as writing:
        writing.execute("insert into other values (-1)")
        daemon = followed.daemon({**ITEMS, **OTHERS}, "later")
        until(lambda: "had written table public.other" in daemon.said(), 60, "it is waited for")
        writing.execute("insert into other values (-2)")
    followed.wait_equal(daemon, {**WANTED, **WANTED_OTHERS})
    assert len(daemon.events("publication_made")) == 1


def test_a_standby_that_is_late_makes_the_delay_rise(
    followed: Followed, items: psycopg.Connection
) -> None:
    """What it has not replayed is not searchable; the daemon says so, and catches up."""
    daemon = followed.daemon(ITEMS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    with psycopg.connect(followed.servers.standby.dsn, autocommit=True) as standby:
        standby.execute("select pg_wal_replay_pause()")
        try:
            items.execute("update item set n = -1")
            until(lambda: daemon.delay() > LATE_SECONDS, 30, "the delay rises")
        finally:
            standby.execute("select pg_wal_replay_resume()")
    followed.wait_equal(daemon, WANTED)
    until(lambda: daemon.delay() < LATE_SECONDS, 30, "the delay falls")


def test_a_primary_that_is_gone_for_a_while_makes_the_delay_rise(
    followed: Followed, items: psycopg.Connection
) -> None:
    """Nobody knows then what the standby lacks; the stream isn't disturbed, and goes on."""
    daemon = followed.daemon(ITEMS)
    daemon.wait_until("streaming")
    items.execute("update item set n = -1 where id < 100")
    followed.wait_equal(daemon, WANTED)
    followed.servers.primary.kill()
    try:
        until(lambda: daemon.delay() > LATE_SECONDS, 30, "the delay rises")
    finally:
        followed.servers.primary.start()
    with psycopg.connect(followed.dsn, autocommit=True) as connection:
        connection.execute("delete from item where id < 50")
    followed.wait_equal(daemon, WANTED)
    until(lambda: daemon.delay() < LATE_SECONDS, 30, "the delay falls")
    assert not daemon.events("source_lost")


def test_a_slot_that_the_standby_has_lost_is_made_anew(
    followed: Followed, items: psycopg.Connection
) -> None:
    """Without hot_standby_feedback VACUUM removes what the slot needs: all is loaded anew."""
    daemon = followed.daemon(ITEMS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    with psycopg.connect(followed.servers.standby.dsn, autocommit=True) as standby:
        give_feedback(followed.servers, standby, on=False)
        try:
            until(lambda: vacuumed(items, daemon), 60, "the slot is lost")
        finally:
            give_feedback(followed.servers, standby, on=True)
    items.execute("delete from item where id < 100")
    followed.wait_equal(daemon, WANTED)


def vacuumed(items: psycopg.Connection, daemon: RunningDaemon) -> bool:
    """Remove rows of catalogs; whether the daemon had to load anew."""
    items.execute("create table gone (id int)")
    items.execute("drop table gone")
    items.execute("vacuum pg_class")
    return len(daemon.events("new_generation")) > 1


def give_feedback(servers: Pair, standby: psycopg.Connection, *, on: bool) -> None:
    """Have the primary keep what queries and slots of the standby need, or not."""
    standby.execute(sql.SQL("alter system set hot_standby_feedback = {}").format(on))
    standby.execute("select pg_reload_conf()")
    kept = "select catalog_xmin is not null from pg_replication_slots where slot_name = %s"
    with psycopg.connect(servers.primary.dsn, autocommit=True) as primary:
        until(
            lambda: primary.execute(kept, [PHYSICAL_SLOT]).fetchone() == (on,),
            30,
            "the primary knows what the standby needs",
        )


def test_the_standby_is_promoted_under_load(
    private_pair: Pair, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Its stream goes on through that: in the same index nothing is loaded, lost or invented."""
    primary, standby = private_pair.primary, private_pair.standby
    fill(primary.dsn)
    source = {"dsn": standby.dsn, "primary_dsn": dsn_of_both(primary, standby)}
    daemon = start_daemon(PROJECTIONS, source=source)
    daemon.wait_until("streaming")
    seed, _ = seeded()
    with Sampler(rest) as sampler:
        with Load(primary.dsn, seed, pause_seconds=0.1) as load:
            time.sleep(2)
        assert load.committed > 20
        fail_over(primary, standby)
        with Load(standby.dsn, seed + 1, pause_seconds=0.1):
            until(lambda: daemon.events("failover_followed"), 60, "it is noticed")
            time.sleep(1)
    daemon.wait_until("streaming")
    daemon.catch_up(90)
    assert assert_equal(standby.dsn, rest, EXPECTED) > 0
    assert not sampler.wrong, sampler.wrong[:5]
    made = [event["projection"] for event in daemon.events("new_generation")]
    assert sorted(made) == sorted(PROJECTIONS), "nothing was loaded again"
