"""Folding: of all contents that a transaction gives to a document, the last one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_daemon.delivery.fold import MOST_RUNS, Fold
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from pathlib import Path

SPILL: Final = "spill"
TRUNCATE: Final = "truncate"

ids = st.one_of(st.sampled_from([b'"a"', b'"b"', b'"c"', b"", b"\x00", b'"\xff\n"']), st.binary())
bodies = st.one_of(st.none(), st.binary(max_size=30))
steps = st.one_of(st.tuples(ids, bodies), st.tuples(ids, bodies), st.just(SPILL), st.just(TRUNCATE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that isn't there yet."""
    return tmp_path / "spill"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(history=st.lists(steps, max_size=60))
def test_the_last_content_of_each_id_wins(folder: Path, history: list[object]) -> None:
    """Whatever is put, spilled and truncated, draining gives what a dictionary would hold."""
    fold, truncated = Fold(folder), False
    expected: dict[bytes, bytes | None] = {}
    for step in history:
        if step == SPILL:
            fold.spill()
        elif step == TRUNCATE:
            fold.truncate()
            expected, truncated = {}, True
        elif isinstance(step, tuple):
            document_id, body = step
            fold.put(document_id, body)
            expected[document_id] = body
    assert fold.truncated == truncated
    fold.truncated = False
    drained = list(fold.drain())
    assert len(drained) == len(dict(drained)), "an id came twice"
    assert dict(drained) == expected
    assert not fold
    assert fold.size_bytes == 0
    assert not any(folder.iterdir() if folder.exists() else ())


def test_more_runs_than_may_be_open_are_merged(folder: Path) -> None:
    """A transaction of any size keeps few files open, and its last contents still win."""
    fold = Fold(folder)
    for round_number in range(3 * MOST_RUNS + 5):
        fold.put(b"every", b"%d" % round_number)
        fold.put(b"once %d" % round_number, None if round_number % 2 else b"x")
        fold.spill()
        assert len(fold._runs) <= MOST_RUNS
    drained = dict(fold.drain())
    assert drained.pop(b"every") == b"%d" % (3 * MOST_RUNS + 4)
    assert drained == {
        b"once %d" % number: None if number % 2 else b"x" for number in range(3 * MOST_RUNS + 5)
    }


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
    fold.truncated = True
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
    with pytest.raises(StopError, match=r"state\.path"):
        fold.spill()
