"""A state that other processes look at beside the daemon which writes it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cdc_daemon.events import Change, ChangeKind
from cdc_daemon.state import Wanted, environment
from tests.generators.states import HOTEL, apply, fit_empty, hotels, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

ROOT = Path(__file__).parents[3]


def test_a_state_that_grows_is_looked_at_beside_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much larger its file becomes after it was opened to be read."""
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 20)
    with new_store(tmp_path) as store:
        fit_empty(store, Wanted((HOTEL,)))
        apply(store, tmp_path, 1, *hotels(0, 100))
        with in_another_process(LOOKING, tmp_path) as looking:
            assert looking.said() == "100"
            apply(store, tmp_path, 2, *hotels(100, 20_000))
            looking.ask()
            assert looking.said() == "20100"


def test_who_may_have_little_address_space_looks_at_it_too(tmp_path: Path) -> None:
    """There is no room for a file that grows very large meanwhile, and this one is small."""
    with new_store(tmp_path) as store:
        fit_empty(store, Wanted((HOTEL,)))
        with in_another_process(LITTLE_ROOM + LOOKING, tmp_path) as looking:
            assert looking.said() == "0"


def test_what_has_been_changed_since_it_was_opened_is_not_asked(tmp_path: Path) -> None:
    """A table that is loaded anew is another tree: half of it would be no answer."""
    with new_store(tmp_path) as store:
        fit_empty(store, Wanted((HOTEL,)))
        with in_another_process(LOOKING, tmp_path) as looking:
            assert looking.said() == "0"
            store.fit(Wanted((HOTEL,)), anew=["public.hotel"])
            looking.ask()
            assert "has just been changed by the daemon that uses it. Ask again" in looking.said()


def test_what_a_killed_process_was_reading_is_forgotten(tmp_path: Path) -> None:
    """Or no page that is freed since would be used again, and the file would grow for ever."""
    with new_store(tmp_path) as store:
        fit_empty(store, Wanted((HOTEL,)))
        apply(store, tmp_path, 1, *hotels(0, 2000))
        with in_another_process(READING, tmp_path) as reading:
            assert reading.said() == "reads"
        store.sync()
        sizes = []
        for at in range(2, 32):
            truncate = Change(HOTEL, ChangeKind.TRUNCATE)
            apply(store, tmp_path, at, truncate, *hotels(0, 2000))
            store.sync()
            sizes.append(store.figures.used_bytes)
        assert sizes[-1] == sizes[5]


LOOKING = """
from cdc_daemon.errors import StateError
from cdc_daemon.state import Wanted
from cdc_daemon.state.environment import size_of
from cdc_daemon.state.offline import viewed
from tests.generators.states import HOTEL

with viewed(folder, Wanted((HOTEL,))) as view:
    while True:
        tree = view.tables[HOTEL].database
        try:
            print(view.read(lambda batch: size_of(batch.txn, tree)[0]), flush=True)
        except StateError as error:
            print(error, flush=True)
        sys.stdin.readline()
"""
"""Counts hotels as often as it is asked."""
READING = """
from cdc_daemon.state.environment import Environment

with Environment(folder, most_bytes=None, readonly=True).reading():
    print("reads", flush=True)
    sys.stdin.readline()
"""
"""Doesn't end by itself."""
LITTLE_ROOM = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 36, 1 << 36))
"""
"""64 GiB of address space are all that a process may have."""


class Process:
    """Another process, which says a line each time it is asked."""

    def __init__(self, code: str, folder: Path) -> None:
        first = "import sys; from pathlib import Path; folder = Path(sys.argv[1])\n"
        self._process = subprocess.Popen(
            [sys.executable, "-c", first + code, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self) -> None:
        """Once more."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def said(self) -> str:
        """The next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip()

    def kill(self) -> None:
        """End without a word."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def in_another_process(code: str, folder: Path) -> Iterator[Process]:
    """It is killed at the end."""
    process = Process(code, folder)
    try:
        yield process
    finally:
        process.kill()
