"""Fold a transaction: of all contents that it gives to one document, the last one wins.

Nothing of a transaction is sent before its commit, and then each document once. A fold that
outgrows its bound goes on in sorted runs on disk, which are merged when it is drained, so that
memory stays bounded whatever the size of a transaction.
"""

from __future__ import annotations

import heapq
import itertools
import tempfile
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Content: TypeAlias = tuple[bytes, bytes | None]
"""Document id and document; None where there is none; or why the row was rejected."""

ENTRY_OVERHEAD_BYTES: Final = 250
"""What the dictionary entry and two bytes objects cost beside their contents."""

MOST_RUNS: Final = 64
"""Runs are open files: beyond this many they are merged into one."""

_HEADER: Final = Struct(">Ii")
_NO_DOCUMENT: Final = -1


class Fold:
    """The contents that one transaction gives to the documents of one projection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents: dict[bytes, bytes | None] = {}
        self._runs: list[BinaryIO] = []
        self.size_bytes = 0
        """What is held in memory."""
        self.truncated = False
        """All documents from before the transaction are gone."""
        self.misfit = ""
        """Why changes of it can't be understood: they are of another shape of the table."""

    def __bool__(self) -> bool:
        return bool(self._contents or self._runs or self.truncated or self.misfit)

    def put(self, document_id: bytes, body: bytes | None) -> None:
        """Set the content of one document."""
        self._contents[document_id] = body
        self.size_bytes += ENTRY_OVERHEAD_BYTES + (len(body) if body is not None else 0)

    def truncate(self) -> None:
        """Forget everything before: no document is left."""
        self.clear()
        self.truncated = True

    def spill(self) -> int:
        """Move what is in memory to a run on disk; return its size in bytes."""
        run = self._write(sorted(self._contents.items()))
        self._contents = {}
        self.size_bytes = 0
        self._runs.append(run)
        written = run.tell()
        if len(self._runs) >= MOST_RUNS:
            merged = self._write(self._merged())
            self._close_runs()
            self._runs = [merged]
        return written

    def drain(self) -> Iterator[Content]:
        """Give every document's last content once; the fold is empty then."""
        if not self._runs:
            contents, self._contents, self.size_bytes = self._contents, {}, 0
            yield from contents.items()
            return
        self.spill()
        yield from self._merged()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._contents = {}
        self.size_bytes = 0
        self.truncated = False
        self.misfit = ""
        self._close_runs()

    def _write(self, contents: Iterable[Content]) -> BinaryIO:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            run = tempfile.TemporaryFile(dir=self._folder, prefix="fold-")  # noqa: SIM115 - kept open
            for document_id, body in contents:
                length = _NO_DOCUMENT if body is None else len(body)
                run.write(_HEADER.pack(len(document_id), length))
                run.write(document_id)
                if body is not None:
                    run.write(body)
            run.flush()
        except OSError as error:
            raise StopError(
                f"a transaction larger than memory.transaction can't be folded in {self._folder}: "
                f"{error.strerror}. Make room there, or let state.path name another folder"
            ) from error
        return run

    def _merged(self) -> Iterator[Content]:
        newest_first = [_read(run, age) for age, run in enumerate(reversed(self._runs))]
        ordered = heapq.merge(*newest_first, key=itemgetter(0, 1))
        for _, same_id in itertools.groupby(ordered, key=itemgetter(0)):
            document_id, _, body = next(same_id)
            yield document_id, body

    def _close_runs(self) -> None:
        for run in self._runs:
            run.close()
        self._runs = []


def _read(run: BinaryIO, age: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    run.seek(0)
    while header := run.read(_HEADER.size):
        id_length, length = _HEADER.unpack(header)
        document_id = run.read(id_length)
        yield document_id, age, None if length == _NO_DOCUMENT else run.read(length)
