"""Folding: of all contents that a transaction gives to a document, the last one wins."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_daemon.delivery.fold import ENTRY_OVERHEAD_BYTES, Fold
from cdc_daemon.delivery.runs import MOST_MERGED
from cdc_daemon.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPILL: Final = "spill"
TRUNCATE: Final = "truncate"
SAVEPOINT: Final = "savepoint"
RELEASE: Final = "release"
ROLL_BACK: Final = "roll back"

ids = st.one_of(st.sampled_from([b'"a"', b'"b"', b'"c"', b"", b"\x00", b'"\xff\n"']), st.binary())
bodies = st.one_of(st.none(), st.binary(max_size=30))
puts = st.tuples(ids, bodies)
steps = st.one_of(
    puts, puts, puts, st.sampled_from([SPILL, TRUNCATE, SAVEPOINT, SAVEPOINT, RELEASE, ROLL_BACK])
)


class Expected:
    """What a dictionary would hold, and what the source would say of savepoints."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes | None] = {}
        self.truncated = False
        self.subxid = 1
        self._last = 1
        self._open: list[tuple[int, list[int], dict[bytes, bytes | None], bool]] = []
        """Number before, numbers inside, contents and truncated before."""

    def savepoint(self) -> None:
        """One begins inside the one that is open."""
        self._open.append((self.subxid, [], dict(self.contents), self.truncated))
        self._last += 1
        self.subxid = self._last

    def release(self) -> None:
        """It ends, and what it did is the outer one's."""
        if self._open:
            inside = [*self._open[-1][1], self.subxid]
            self.subxid = self._open.pop()[0]
            if self._open:
                self._open[-1][1].extend(inside)

    def roll_back(self) -> list[int]:
        """It never was: the numbers that the source names, those inside first."""
        if not self._open:
            return []
        before, inside, self.contents, self.truncated = self._open.pop()
        named = [*inside, self.subxid]
        self.subxid = before
        return named


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that isn't there yet."""
    return tmp_path / "spill"


def take(step: object, fold: Fold, expected: Expected) -> None:
    """One step of a history, here and there."""
    if isinstance(step, tuple):
        fold.enter(expected.subxid)
        fold.put(*step)
        expected.contents[step[0]] = step[1]
    elif step == SPILL:
        fold.spill()
    elif step == TRUNCATE:
        fold.enter(expected.subxid)
        fold.truncate()
        expected.contents, expected.truncated = {}, True
    elif step == SAVEPOINT:
        expected.savepoint()
    elif step == RELEASE:
        expected.release()
    elif step == ROLL_BACK:
        for subxid in expected.roll_back():
            fold.roll_back(subxid)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(history=st.lists(steps, max_size=60), gathers=st.booleans())
def test_the_last_content_of_each_id_wins(
    folder: Path, history: list[object], *, gathers: bool
) -> None:
    """Whatever is put, spilled, truncated and taken back, as if a dictionary had held it."""
    fold, expected = Fold(folder), Expected()
    for step in history:
        take(step, fold, expected)
    assert fold.truncated == expected.truncated
    assert bool(fold) or not expected.contents
    if gathers:
        fold.gather()
    drained = list(fold.drain())
    assert len(drained) == len(dict(drained)), "an id came twice"
    assert dict(drained) == expected.contents
    assert not fold
    assert (fold.size_bytes, fold.spilled_bytes) == (0, 0)
    assert not any(folder.iterdir() if folder.exists() else ())


def test_more_runs_than_can_be_merged_at_once_are_gathered_first(folder: Path) -> None:
    """A transaction of any size is drained through few buffers, and its last contents win."""
    fold = Fold(folder)
    rounds = MOST_MERGED**2 + 5
    for number in range(rounds):
        assert fold.is_scattered == (number >= MOST_MERGED)
        fold.put(b"every", b"%d" % number)
        fold.put(b"once %d" % number, None if number % 2 else b"x")
        fold.spill()
    fold.gather()
    assert not fold.is_scattered
    drained = dict(fold.drain())
    assert drained.pop(b"every") == b"%d" % (rounds - 1)
    assert drained == {
        b"once %d" % number: None if number % 2 else b"x" for number in range(rounds)
    }


def test_what_is_rolled_back_gives_its_room_back(folder: Path) -> None:
    """In memory and on disk."""
    fold = Fold(folder)
    sizes = []
    for subxid in range(1, 5):
        fold.enter(subxid)
        fold.put(b"%d" % subxid, b"x" * 1000)
        sizes.append((fold.size_bytes, fold.spilled_bytes))
        if subxid == 2:
            fold.spill()
    assert sizes[0] < sizes[1] > sizes[2] < sizes[3]
    fold.roll_back(4)
    assert fold.size_bytes < sizes[3][0]
    fold.roll_back(2)
    assert (fold.size_bytes, fold.spilled_bytes) == (0, sizes[3][1] // 2)
    fold.roll_back(1)
    assert (fold.size_bytes, fold.spilled_bytes, bool(fold)) == (0, 0, False)


def test_truncating_again_and_again_holds_nothing(folder: Path) -> None:
    """Neither what was there before, in memory and on disk, nor each truncate."""
    fold = Fold(folder)
    for number in range(100):
        fold.put(b"a", b"%d" % number)
        fold.spill()
        fold.put(b"b", b"%d" % number)
        fold.truncate()
        assert (fold.size_bytes, fold.spilled_bytes, len(fold._truncates)) == (0, 0, 1)
    fold.put(b"c", b"x")
    assert list(fold.drain()) == [(b"c", b"x")]


def test_savepoints_without_contents_cost_nothing(folder: Path) -> None:
    """Most projections see nothing of most savepoints."""
    fold = Fold(folder)
    for subxid in range(1, 1000):
        fold.enter(subxid)
    assert len(fold._savepoints) == 1
    assert fold.size_bytes == 0


def test_ten_thousand_savepoints_are_cheap(folder: Path) -> None:
    """In memory until it is too much, then in one file however many they are."""
    fold, most = Fold(folder), 0
    for subxid in range(1, 10_001):
        fold.enter(subxid)
        fold.put(b"%d" % subxid, b"x" * 100)
        most = max(most, fold.size_bytes)
        if fold.size_bytes > 1_000_000:
            fold.spill()
    assert most < 1_000_000 + 2 * ENTRY_OVERHEAD_BYTES + 1000
    assert fold.spilled_bytes < 10_000 * 150
    for subxid in range(10_000, 5_000, -1):
        fold.roll_back(subxid)
    fold.gather()
    assert dict(fold.drain()) == {b"%d" % subxid: b"x" * 100 for subxid in range(1, 5_001)}


def test_a_change_of_another_shape_is_taken_back_with_its_savepoint(folder: Path) -> None:
    """However often it comes; one from before the savepoint stays."""
    fold = Fold(folder)
    fold.enter(7)
    fold.enter(8)
    fold.note_misfit("odd")
    fold.note_misfit("odd")
    assert fold.misfit == "odd"
    fold.roll_back(8)
    assert (fold.misfit, bool(fold)) == ("", False)
    fold.note_misfit("odd")
    fold.enter(9)
    fold.note_misfit("odder")
    fold.roll_back(9)
    assert fold.misfit == "odd"
    fold.clear()
    assert not fold.misfit


def test_an_empty_fold_gives_nothing(folder: Path) -> None:
    """Nothing put, nothing drained, no file; spilled or not."""
    fold = Fold(folder)
    assert not fold
    assert list(fold.drain()) == []
    assert not folder.exists()
    fold.spill()
    assert list(fold.drain()) == []


def test_clearing_forgets_spilled_contents_too(folder: Path) -> None:
    """A transaction that comes again starts from nothing."""
    fold = Fold(folder)
    fold.put(b"a", b"1")
    fold.spill()
    fold.put(b"b", b"1")
    fold.truncate()
    fold.put(b"b", b"1")
    fold.clear()
    assert not fold
    fold.put(b"b", b"2")
    assert list(fold.drain()) == [(b"b", b"2")]


def test_a_drain_that_is_given_up_can_be_cleared_and_filled_again(folder: Path) -> None:
    """The connection may be lost in the middle of sending."""
    fold = Fold(folder)
    for number in range(10):
        fold.put(b"%d" % number, b"old")
        fold.spill()
    next(fold.drain())
    fold.clear()
    fold.put(b"5", b"new")
    assert list(fold.drain()) == [(b"5", b"new")]


def test_a_folder_that_can_not_be_written_is_a_stop_that_names_it(tmp_path: Path) -> None:
    """No room or no right on the disk: the message says where, and what to do."""
    (tmp_path / "file").write_text("")
    fold = Fold(tmp_path / "file" / "spill")
    fold.put(b"a", b"1")
    with pytest.raises(StateError, match=r"state\.path"):
        fold.spill()


def test_a_disk_without_room_gives_back_what_it_had(tmp_path: Path) -> None:
    """The message says what to do; clearing up after it is no mistake of its own."""
    folder = tmp_path / "spill"
    folder.mkdir()
    fold = Fold(folder)
    fold.put(b"a", b"1")
    fold.spill()
    with no_room():
        fold.put(b"b", bytes(3_000))
        with pytest.raises(StateError, match="Make room there"):
            fold.spill()
        fold.clear()
    assert fold.spilled_bytes == 0


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow beyond some bytes: as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
