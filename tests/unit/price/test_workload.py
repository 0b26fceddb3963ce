"""Clients at a steady rate: what they did is kept, and a failure is told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Self

import psycopg
import pytest

from cdc_daemon.errors import StopError
from cdc_daemon.price.checking import missed_commits, monotonic_reads, read_your_writes
from cdc_daemon.price.clients import Answer, Committed
from cdc_daemon.price.workload import KEYS_OF_A_CLIENT, Workload, keys_of
from tests.generators.running_daemon import until

CLIENTS = 4


class Register:
    """Rows in memory, seen by all at once; `broken` may raise in the place of an answer."""

    def __init__(self, broken: Exception | None = None) -> None:
        self.versions: Counter[int] = Counter()
        self.open = 0
        self._broken = broken
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with self._lock:
            self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.open -= 1

    def write(self, key: int) -> Committed:
        """As a row's lock orders it."""
        began = time.monotonic()
        with self._lock:
            self.versions[key] += 1
            return Committed(self.versions[key], began, time.monotonic())

    def read(self, key: int) -> Answer:
        """What there is."""
        if self._broken is not None:
            raise self._broken
        began = time.monotonic()
        return Answer(self.versions[key], began, time.monotonic())


def worked(register: Register, rate: float = 1000.0, writes: int = 100) -> Workload:
    """A workload that has done so many writes, and was stopped."""
    workload = Workload(lambda: register, CLIENTS, rate)
    workload.start()
    try:
        until(lambda: len(workload.history.writes) >= writes, 60, "clients have written")
    finally:
        workload.stop()
    return workload


def test_each_client_writes_its_own_rows_and_searches_for_any() -> None:
    """After each COMMIT what it wrote, and one of everybody's; nobody else writes its rows."""
    register = Register()
    history = worked(register, writes=500).history
    writers = {write.key: write.client for write in history.writes}
    assert {(write.key, write.client) for write in history.writes} == set(writers.items())
    assert set(writers) == {str(key) for key in range(1, keys_of(CLIENTS) + 1)}
    assert Counter(writers.values()) == dict.fromkeys("0123", KEYS_OF_A_CLIENT)
    assert len(history.searches) == 2 * len(history.writes)
    assert any(writers[search.key] != search.client for search in history.searches)
    assert register.open == 0


def test_what_all_see_at_once_has_no_violation() -> None:
    """The history of a register in memory is right: it is recorded as it happened."""
    history = worked(Register()).history
    assert not read_your_writes(history)
    assert not monotonic_reads(history)
    assert not missed_commits(history)


def test_no_more_is_done_than_the_rate_asks_for() -> None:
    """Clients that would be faster wait."""
    began = time.monotonic()
    workload = worked(Register(), rate=100.0, writes=60)
    # It is random: in a thousand runs less than one does so much more.
    assert len(workload.history.writes) < 100 * (time.monotonic() - began) * 2 + 20


def test_a_search_without_an_answer_is_no_operation() -> None:
    """Why there was none is kept; clients go on."""
    workload = worked(Register(StopError("nobody answers")), writes=8)
    assert workload.history.searches == []
    assert set(workload.unanswered) == {"nobody answers"}


def test_a_client_that_fails_is_told() -> None:
    """An error of the source ends the workload, which says so."""
    workload = Workload(lambda: Register(psycopg.OperationalError("away")), CLIENTS, 100.0)
    workload.start()
    with pytest.raises(StopError, match="a client failed: away"):
        until(workload.raise_failure, 60, "the failure is known")
    with pytest.raises(StopError, match="a client failed: away"):
        workload.stop()
