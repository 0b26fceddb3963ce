"""The folder of a state, taken by this process: what is there, and what a start does about it."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.state.applying import position_in
from cdc_daemon.state.deciding import GoOn, Rebuild, decide, reason_not_to_open
from cdc_daemon.state.environment import DATA, LOCK, DamagedError, Environment
from cdc_daemon.state.mark import FORMAT, Mark, owned, read_mark, write_mark
from cdc_daemon.state.schema import META, TREES
from cdc_daemon.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdc_daemon.events import Position
    from cdc_daemon.state.deciding import Decision, Here

STATE_ID: Final = b"state id"


def folder_of(path: Path, pipeline: str) -> Path:
    """Where the state of a pipeline is, below `state.path`."""
    return path / f"{pipeline}.state"


def file_bytes(folder: Path) -> int:
    """How long the state's file is."""
    file = folder / DATA
    return file.stat().st_size if file.exists() else 0


class Home:
    """The folder, while nobody else may write there."""

    def __init__(self, folder: Path, most_bytes: int | None = None) -> None:
        """Take the folder. Raises StateError where another process has it."""
        self._folder = folder
        self._most = most_bytes
        self._stack = ExitStack()
        self._stack.enter_context(owned(folder))

    def find(self, here: Here, show: Callable[[Position], str]) -> tuple[Store | None, Decision]:
        """Look at what there is; open it if it can be gone on with."""
        mark = read_mark(self._folder)
        reason = reason_not_to_open(mark, here, file_bytes(self._folder))
        if reason is not None or mark is None:
            return None, Rebuild(reason or "")
        with ExitStack() as opened:
            try:
                env = Environment(self._folder, most_bytes=self._most)
                opened.callback(env.close)
                decision = decided(env, mark, here, show)
                if isinstance(decision, GoOn):
                    known = replace(mark, boot_id=here.boot_id, source_id=here.source_id)
                    store = self._store(env, known)
                    opened.pop_all()
                    return store, decision
            except DamagedError as error:
                decision = Rebuild(f"the state is damaged: {error.__cause__}")
        return None, decision

    def create(self, here: Here) -> Store:
        """Begin with nothing, in place of whatever is there."""
        (self._folder / DATA).unlink(missing_ok=True)
        (self._folder / LOCK).unlink(missing_ok=True)
        state_id = uuid.uuid4().hex
        env = Environment(self._folder, most_bytes=self._most)
        with env.writing() as txn:
            # All of them before there is a mark: who looks meanwhile, or after a crash, finds them.
            trees = {name: env.made(name, txn) for name in TREES}
            txn.put(STATE_ID, state_id.encode(), db=trees[META])
        env.sync()
        boot = here.boot_id
        mark = Mark(FORMAT, here.pipeline, state_id, here.source_id, boot, clean=True, file_bytes=0)
        return self._store(env, mark)

    def close(self) -> None:
        """Let the folder go."""
        self._stack.close()

    def _store(self, env: Environment, mark: Mark) -> Store:
        """Before anything is written the mark says that not all of it need be on disk."""
        opened = replace(mark, clean=False, file_bytes=env.file_bytes)
        write_mark(self._folder, opened)
        return Store(self._folder, env, opened)


def decided(env: Environment, mark: Mark, here: Here, show: Callable[[Position], str]) -> Decision:
    """What a start does with a state that could be opened."""
    with env.reading() as txn:
        meta = env.found(META, txn)
        stored = None if meta is None else txn.get(STATE_ID, db=meta)
        position = None if meta is None else position_in(txn, meta)
    if stored != mark.state_id.encode() or position is None:
        return Rebuild("the state's file and its mark don't belong together")
    return decide(mark, position, here, show)
