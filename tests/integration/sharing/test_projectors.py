"""Replicas of a pipeline, as processes: they share its documents, and lose none."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

import psycopg

from tests.generators.running_daemon import until
from tests.generators.waits import Asker, committed, wait_path
from tests.integration.sharing.conftest import PROJECTIONS, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.sharing.conftest import Projectors

HOTELS = 60
FILL = [
    "insert into chain select n, 'chain ' || n from generate_series(1, 5) n",
    f"insert into hotel select n, 'hotel ' || n, n % 5 + 1 from generate_series(1, {HOTELS}) n",
    f"insert into room select n, n % {HOTELS} + 1, 'single', n from generate_series(1, 300) n",
]
CHANGES = [
    ["update chain set name = name || '!' where id = 1"],
    ["update hotel set name = name || '!'", "delete from room where id % 3 = 0"],
    [f"delete from hotel where id <= {HOTELS // 4}"],
    ["update room set price = price + 1, hotel_id = hotel_id % 7 + 20"],
]


MIXED = [
    "update chain set name = 'chain {n}' where id = {n} % 5 + 1",
    "update hotel set name = 'hotel {n}', chain_id = {n} % 6 where id = {n} % 70 + 1",
    "delete from hotel where id = {n} % 70 + 1",
    "insert into hotel values ({n} % 70 + 1, 'new {n}', {n} % 5 + 1) on conflict do nothing",
    "update room set hotel_id = {n} % 70 + 1, price = {n} where id = {n} % 300 + 1",
    "delete from room where id = {n} % 300 + 1",
    "insert into room values ({n} % 300 + 1, {n} % 70 + 1, 'double', 1) on conflict do nothing",
    "update room set kind = 'kind {n}' where hotel_id = {n} % 70 + 1",
]
PAUSE_SECONDS = 0.02


@contextmanager
def changing(dsn: str) -> Iterator[None]:
    """Somebody changes the store all the time."""
    stop = threading.Event()
    rng = Random(8)

    def change() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.wait(PAUSE_SECONDS):
                for statement in rng.sample(MIXED, rng.randint(1, 3)):
                    connection.execute(statement.format(n=rng.randrange(1000)).encode())

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_replicas_share_the_documents(projectors: Projectors) -> None:
    """Those that come later write their part; all documents are right, and any knows when."""
    store = projectors.store
    store.execute(*FILL)
    first = projectors.add()
    projectors.wait_shared(first)
    first.wait_until("streaming")
    store.execute(*CHANGES[0])
    projectors.catch_up()
    store.assert_equal(first)
    second, third = projectors.add(), projectors.add()
    projectors.wait_shared(first, second, third)
    for change in CHANGES[1:]:
        store.execute(*change)
        projectors.catch_up()
        store.assert_equal(first)
    assert all(
        one.metrics()['cdc_documents_assembled_total{projection="hotels"}']
        for one in projectors.all
    )
    second.terminate()
    projectors.wait_shared(first, third)
    store.execute("update hotel set name = name || '?'")
    projectors.catch_up()
    store.assert_equal(first)


def test_nothing_is_lost_while_replicas_come_and_go(projectors: Projectors) -> None:
    """Killed, frozen until others have what it had, started again: documents are the source's."""
    store = projectors.store
    store.execute(*FILL)
    with changing(store.dsn):
        first, second, third = (projectors.add() for _ in range(3))
        projectors.wait_shared(first, second, third)
        leader = next(one for one in projectors.all if one.status()["replica"]["leads"])
        others = [one for one in projectors.all if one is not leader]
        leader.kill()
        projectors.wait_shared(*others)
        frozen, left = others
        frozen.signal(signal.SIGSTOP)
        projectors.wait_shared(left)
        frozen.signal(signal.SIGCONT)
        leader.start()
        projectors.wait_shared(leader, *others)
    projectors.catch_up()
    store.assert_equal(first)
    assert all(not one.events("state_lost") for one in projectors.all)


def test_any_replica_can_be_asked_to_wait(projectors: Projectors) -> None:
    """For all documents or one, whosever it is, however seldom its owner shows any; also while the
    others die.
    """  # noqa: D205 - one sentence
    store = projectors.store
    slow = {name: {**one, "freshness": "1h"} for name, one in PROJECTIONS.items()}
    projectors.projections = slow
    store.execute(*FILL)
    members = [projectors.add() for _ in range(3)]
    projectors.wait_shared(*members)
    for one in members:
        one.wait_until("streaming")
    askers = [Asker(one.file) for one in members]
    for number, asker in enumerate(askers):
        token = committed(store.dsn, f"update hotel set name = 'w{number}'")
        for hotel in range(1, 9):
            assert asker.ask(token, timeout=50, projection="hotels", id=hotel).status == 200
            assert store.found(hotel)["name"] == f"w{number}"
        token = committed(store.dsn, f"update room set price = {number}")
        assert asker.ask(token, timeout=50, projection="rooms").status == 200
        assert asker.ask(token, timeout=50).status == 200
        assert store.assert_equal(members[0]) > HOTELS
    for one in members[1:]:
        one.signal(signal.SIGSTOP)
    token = committed(store.dsn, "update hotel set name = 'last'")
    waiting = askers[0].open(wait_path(token, timeout=59))
    for one in members[1:]:
        one.kill()
    assert askers[0].answer(waiting).status == 200
    store.assert_equal(members[0])


def test_a_table_that_changes_has_one_writer_meanwhile(projectors: Projectors) -> None:
    """The leader makes what all go on with; then they share again."""
    store = projectors.store
    store.execute(*FILL)
    first, second = projectors.add(), projectors.add()
    projectors.wait_shared(first, second)
    store.execute("alter table room alter column price type int using price::int")
    store.execute("update room set price = price + 1 where id % 2 = 0")
    store.wait_until_equal(first)
    projectors.wait_shared(first, second)


def test_who_was_away_while_a_table_changed_begins_a_state_anew(projectors: Projectors) -> None:
    """What it has missed is of a shape that the table has no more: it doesn't try that for ever."""
    store = projectors.store
    store.execute(*FILL)
    members = projectors.add(), projectors.add()
    projectors.wait_shared(*members)
    leader, away = sorted(members, key=lambda one: not one.status()["replica"]["leads"])
    away.kill()
    store.execute("update room set price = price + 1")
    store.execute("alter table room alter column price type int using price::int")
    store.execute("update room set price = price + 1 where id % 2 = 0")
    store.wait_until_equal(leader)
    store.execute("update chain set name = name || '!'")
    leader.catch_up(SECONDS)
    end = leader.position("searchable")
    until(lambda: leader.position("checkpoint") >= end, SECONDS, "the leader has passed it")
    away.start()
    projectors.wait_shared(leader, away)
    store.execute("update room set price = price + 1")
    projectors.catch_up()
    store.assert_equal(away)
