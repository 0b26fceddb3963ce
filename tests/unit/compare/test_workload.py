"""Clients that write, and the prober: the journal is what was committed, and no key is shared."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import psycopg
import pytest

from cdc_daemon.compare import driving
from cdc_daemon.compare.journal import Change, contradiction, final_revisions
from cdc_daemon.compare.prober import Prober
from cdc_daemon.compare.workload import CLIENTS, KEYS_OF_A_WORKLOAD, Workload
from cdc_daemon.errors import StopError
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Collection

RATE = 2_000.0


class Shelf:
    """Rows in memory that applications write, and a read model that shows some of them."""

    def __init__(self, broken: Exception | None = None, hides_odd: bool = False) -> None:  # noqa: FBT001, FBT002 - a test's
        self.rows: dict[int, int] = {}
        self.given_up: set[int] = set()
        self.open = 0
        self._broken = broken
        self._hides_odd = hides_odd
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with self._lock:
            self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.open -= 1

    def make(self, key: int, open_seconds: float = 0.0) -> Change:
        """A new row; fails like a database where that was asked for."""
        if self._broken is not None:
            raise self._broken
        assert key not in self.rows
        time.sleep(min(open_seconds, 0.01))
        return self._written(key, 1)

    def change(self, key: int) -> Change:
        """One more revision."""
        with self._lock:
            return self._written(key, self.rows[key] + 1)

    def cancel(self, key: int) -> Change:
        """A row is deleted."""
        del self.rows[key]
        return Change(key, None, time.monotonic())

    def give_up(self, key: int) -> None:
        """Rolled back."""
        self.given_up.add(key)

    def found(self, keys: Collection[int]) -> set[int]:
        """Those that the read model shows."""
        return {key for key in keys if key in self.rows and not (self._hides_odd and key % 2)}

    def backlog(self) -> int:
        """Not asked for here."""
        raise NotImplementedError

    def revisions(self) -> dict[int, int]:
        """All rows."""
        return dict(self.rows)

    def _written(self, key: int, revision: int) -> Change:
        self.rows[key] = revision
        return Change(key, revision, time.monotonic())


def worked(shelf: Shelf, changes: int = 500) -> Workload:
    """A workload that has committed so much, and was stopped."""
    workload = Workload(lambda: shelf, RATE, 1)  # type: ignore[arg-type, return-value]  # in memory
    workload.start()
    try:
        until(lambda: len(workload.journal) >= changes, 60, "clients have written")
    finally:
        workload.stop()
    return workload


def test_the_journal_is_what_was_committed() -> None:
    """The source agrees with it; nothing that was rolled back is in it, and nobody stays behind."""
    shelf = Shelf()
    journal = worked(shelf).journal
    assert contradiction(journal, shelf.rows) is None
    assert {key for key, revision in final_revisions(journal).items() if revision} == {*shelf.rows}
    assert shelf.given_up.isdisjoint(final_revisions(journal))
    assert shelf.open == 0


def test_rows_are_made_changed_deleted_and_given_up() -> None:
    """All that a technique can miss happens, by several clients and a late one."""
    shelf = Shelf()
    journal = worked(shelf, 2_000).journal
    revisions = [change.revision for change in journal]
    assert None in revisions
    assert max(revision or 0 for revision in revisions) > 3
    assert shelf.given_up
    clients = {(change.key - 1) // (KEYS_OF_A_WORKLOAD // (CLIENTS + 1)) for change in journal}
    assert clients == {*range(CLIENTS + 1)}


def test_clients_go_on_with_the_rows_that_they_have() -> None:
    """Of what was there before a pause some is changed, and some deleted, by who comes after it."""
    shelf = Shelf()
    workload = worked(shelf)
    known, before = len(workload.journal), {*shelf.rows}
    workload.start()
    until(lambda: len(workload.journal) >= 2 * known, 60, "clients have written more")
    workload.stop()
    later = workload.journal[known:]
    assert any(change.key in before and change.revision for change in later)
    assert any(change.key in before and change.revision is None for change in later)
    assert contradiction(workload.journal, shelf.rows) is None


def test_a_client_that_fails_is_told() -> None:
    """An error of the source ends the workload, which says so."""
    shelf = Shelf(psycopg.OperationalError("away"))
    workload = Workload(lambda: shelf, RATE, 1)  # type: ignore[arg-type, return-value]  # in memory
    workload.start()
    with pytest.raises(StopError, match="a client failed: away"):
        until(workload.raise_failure, 60, "the failure is known")
    with pytest.raises(StopError, match="a client failed: away"):
        workload.stop()


def test_the_delay_is_from_the_commit_to_the_answer_that_finds_it() -> None:
    """Rows that are never found have none, and are waited for no longer than was asked for."""
    shelf = Shelf(hides_odd=True)
    prober = Prober(lambda: shelf, lambda: shelf, first_key=1)  # type: ignore[arg-type, return-value]  # in memory
    prober.start()
    until(lambda: len(prober.delays) >= 2 and prober.missing, 60, "some are found")
    prober.stop(settle_seconds=0.1)
    assert all(key % 2 == 0 and 0 <= delay < 60 for key, delay in prober.delays.items())
    assert {probe.key for probe in prober.missing} == {key for key in shelf.rows if key % 2}
    assert shelf.open == 0


def test_a_prober_that_can_t_ask_is_told() -> None:
    """As a client's failure."""
    prober = Prober(lambda: Shelf(StopError("no answer")), Shelf, first_key=1)  # type: ignore[arg-type, return-value]  # in memory
    prober.start()
    with pytest.raises(StopError, match="a prober failed: no answer"):
        until(prober.raise_failure, 60, "the failure is known")


def test_writers_are_as_fast_as_they_can_or_keep_a_rate() -> None:
    """Each transaction's time is kept; with a rate those that would be faster wait."""
    rows = 20
    shelf = Shelf()
    shelf.rows = dict.fromkeys(range(1, rows + 1), 1)
    steady = driving.write(lambda: shelf, rows, seconds=1, rate=50)  # type: ignore[arg-type, return-value]  # in memory
    full = driving.write(lambda: shelf, rows, seconds=1, rate=None)  # type: ignore[arg-type, return-value]  # in memory
    assert 0 < len(steady.latencies) < 150
    assert len(full.latencies) > len(steady.latencies)
    assert sum(shelf.rows.values()) == rows + len(steady.latencies) + len(full.latencies)
    assert shelf.open == 0
