"""Contents on disk: runs sorted by document id, one after the other in a file without a name.

Of several runs that hold an id the newest wins. Runs are only added and cut off at the end.
"""

from __future__ import annotations

import heapq
import io
import itertools
import os
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, Final

from cdc_daemon.spilling import give_back, spill_file, spilling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cdc_daemon.delivery.fold import Content

MOST_MERGED: Final = 64
"""Runs that are read at the same time, each through a buffer of its own."""

READ_BYTES: Final = 16_384
"""The buffer of one run: a megabyte for all that are merged."""

_HEADER: Final = Struct(">Ii")
_NO_DOCUMENT: Final = -1


class Runs:
    """The runs of one fold, oldest first; the file is there while there is one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def size_bytes(self) -> int:
        """What they take on disk."""
        return self._ends[-1] if self._ends else 0

    def append(self, contents: Iterable[Content]) -> None:
        """Write a run of contents that are sorted, each id once."""
        with spilling(self._folder):
            file = self._open()
            for document_id, body in contents:
                length = _NO_DOCUMENT if body is None else len(body)
                file.write(_HEADER.pack(len(document_id), length))
                file.write(document_id)
                if body is not None:
                    file.write(body)
            file.flush()
            self._ends.append(file.tell())

    def cut(self, count: int) -> None:
        """Keep the first `count` runs, and give the room of the others back."""
        if self._file is None or count >= len(self._ends):
            return
        del self._ends[count:]
        if self._ends:
            self._file.truncate(self.size_bytes)
            self._file.seek(self.size_bytes)
        else:
            give_back(self._file)
            self._file = None

    def merged(self, first: int = 0) -> Iterator[Content]:
        """Of each id in the runs from `first` on the newest content, sorted."""
        return self._merged(first, len(self._ends))

    def gather(self, first: int = 0) -> int:
        """Merge the runs from `first` on into few enough to be merged at once; the first of them.

        Those before it are dropped, unless there is nothing to merge.
        """
        while len(self._ends) - first > MOST_MERGED:
            fewer = Runs(self._folder)
            for start in range(first, len(self._ends), MOST_MERGED):
                fewer.append(self._merged(start, min(start + MOST_MERGED, len(self._ends))))
            self.cut(0)
            self._file, self._ends = fewer._file, fewer._ends
            first = 0
        return first

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = spill_file(self._folder)
        return self._file

    def _merged(self, first: int, end: int) -> Iterator[Content]:
        newest_first = [self._read(at, end - at) for at in range(first, end)]
        ordered = heapq.merge(*newest_first, key=itemgetter(0, 1))
        for _, same_id in itertools.groupby(ordered, key=itemgetter(0)):
            document_id, _, body = next(same_id)
            yield document_id, body

    def _read(self, at: int, age: int) -> Iterator[tuple[bytes, int, bytes | None]]:
        begin, end = self._ends[at - 1] if at else 0, self._ends[at]
        section = _Section(self._open().fileno(), begin, end)
        run = io.BufferedReader(section, min(READ_BYTES, end - begin))
        while header := run.read(_HEADER.size):
            id_length, length = _HEADER.unpack(header)
            document_id = run.read(id_length)
            yield document_id, age, None if length == _NO_DOCUMENT else run.read(length)


class _Section(io.RawIOBase):
    """A part of an open file, read from its own place: many share one file descriptor."""

    def __init__(self, descriptor: int, begin: int, end: int) -> None:
        self._descriptor = descriptor
        self._at = begin
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        room = buffer[: self._end - self._at]
        taken = os.preadv(self._descriptor, [room], self._at) if room else 0
        self._at += taken
        return taken
