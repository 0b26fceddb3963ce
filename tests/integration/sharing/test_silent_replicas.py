"""A replica that is silent for long: others have what it had, and nothing that it held is written.

Five minutes are long for a daemon, and fifteen for OpenSearch, which forgets then what was deleted:
these have seconds, in the same order.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.sharing import membership
from tests.generators.rest import Refused
from tests.generators.running_daemon import until
from tests.integration.sharing.conftest import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.sharing.conftest import Projectors

SILENT_SECONDS = 15.0
"""Kafka misses a replica after 6 s."""
REMEMBERED = "1s"
HOTELS = 60
DELETED = range(1, 41)
FIRST_INDEX = "hotels-000001"
BLOCKED = {"index.blocks.write": True}
PROBE = "/hotels/_doc/probe?version_type=external_gte&refresh=true&version="
RETRIES = "cdc_bulk_retries_total"


def give_up_soon() -> None:
    """In the process of a replica, before it is one."""
    membership.SILENT_SECONDS = SILENT_SECONDS  # type: ignore[misc]


@contextmanager
def blocked(rest: Rest) -> Iterator[None]:
    """OpenSearch takes no documents of hotels, for now."""
    rest.put("/hotels/_settings", BLOCKED)
    try:
        yield
    finally:
        rest.put("/hotels/_settings", {"index.blocks.write": None})


@contextmanager
def first_index_blocked(rest: Rest) -> Iterator[None]:
    """The first index of hotels is made so that it takes no documents."""
    template = {"index_patterns": [FIRST_INDEX], "template": {"settings": BLOCKED}}
    rest.put("/_index_template/blocked", template)
    try:
        yield
    finally:
        rest.delete("/_index_template/blocked")


def forgets(rest: Rest) -> bool:
    """Whether OpenSearch has forgotten what was deleted before a probe was."""
    rest.post("/hotels/_refresh")  # it looks then
    try:
        rest.put(f"{PROBE}1", {})
    except Refused:
        return False
    rest.delete(f"{PROBE}2")
    return True


def there(rest: Rest) -> list[str]:
    """Which of the hotels that were deleted are in the index, searchable or not."""
    ids = [str(one) for one in DELETED]
    found = rest.post("/hotels/_mget?_source=false", {"ids": ids})["docs"]
    return [one["_id"] for one in found if one["found"]]


def delete(rest: Rest, store: Store, left: RunningDaemon) -> None:
    """Hotels are deleted, and OpenSearch has forgotten that."""
    rest.put("/hotels/_settings", {"index.gc_deletes": REMEMBERED})
    store.execute(f"delete from hotel where id <= {DELETED[-1]}")
    left.catch_up(SECONDS)
    assert there(rest) == []
    rest.put(f"{PROBE}1", {})
    rest.delete(f"{PROBE}2")
    until(partial(forgets, rest), SECONDS, "what was deleted is forgotten")


@contextmanager
def frozen(one: RunningDaemon) -> Iterator[None]:
    """It is silent for longer than it may be."""
    one.signal(signal.SIGSTOP)
    until_seconds = time.monotonic() + SILENT_SECONDS
    yield
    time.sleep(max(0.0, until_seconds - time.monotonic()))  # that it is silent is the test
    one.signal(signal.SIGCONT)


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "other"])
def test_what_a_silent_replica_held_is_not_written(
    projectors: Projectors, rest: Rest, *, leads: bool
) -> None:
    """It was frozen for longer than the sink remembers what was deleted meanwhile, with documents
    of that under way: they don't come back. It does, as one who has just come.
    """  # noqa: D205 - one sentence
    store = projectors.store
    store.execute(
        f"insert into hotel select n, 'hotel ' || n, null from generate_series(1, {HOTELS}) n"
    )
    members = [projectors.add(prepare=give_up_soon) for _ in range(2)]
    projectors.wait_shared(*members)
    projectors.catch_up()
    silent, left = sorted(members, key=lambda one: one.status()["replica"]["leads"] is not leads)
    with ExitStack() as stack:
        with blocked(rest):
            store.execute("update hotel set name = name || '!'")
            until(lambda: all(one.total(RETRIES) for one in members), SECONDS, "both hold some")
            stack.enter_context(frozen(silent))
        projectors.wait_shared(left)
        left.catch_up(SECONDS)
        assert store.assert_equal(left) == HOTELS
        delete(rest, store, left)

    def comes_back() -> bool:
        assert there(rest) == []
        return bool(silent.events("seat_given_up")) and projectors.share(*members)

    until(comes_back, SECONDS, "it has documents again")
    store.execute("update hotel set name = name || '?'")
    projectors.catch_up()
    assert there(rest) == []
    assert store.assert_equal(silent) == HOTELS - len(DELETED)
    assert not silent.events("state_lost")


def test_what_a_frozen_leader_held_is_not_in_the_index_of_its_successor(
    projectors: Projectors, rest: Rest
) -> None:
    """That one has another state, and makes another index, in which nobody remembers what was
    deleted before. The leader goes on as one of many.
    """  # noqa: D205 - one sentence
    store = projectors.store
    store.execute(
        f"insert into hotel select n, 'hotel ' || n, null from generate_series(1, {HOTELS}) n"
    )
    with first_index_blocked(rest):
        members = [projectors.add() for _ in range(2)]
        until(lambda: any(map(retries, members)), SECONDS, "the leader writes")
    silent, left = sorted(members, key=retries, reverse=True)
    silent.signal(signal.SIGSTOP)
    store.execute(f"delete from hotel where id <= {DELETED[-1]}")
    projectors.wait_shared(left)
    store.wait_until_equal(left)
    silent.signal(signal.SIGCONT)

    def comes_back() -> bool:
        assert there(rest) == []
        return projectors.share(*members)

    until(comes_back, SECONDS, "it has documents again")
    projectors.catch_up()
    assert store.assert_equal(silent) == HOTELS - len(DELETED)


def retries(one: RunningDaemon) -> float:
    """How often it had to write again; 0 as long as it answers nothing."""
    try:
        return one.total(RETRIES)
    except (OSError, Refused):
        return 0.0
