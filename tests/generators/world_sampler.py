"""Looks at documents again and again while they change: each is that of the commit it names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from tests.generators.rest import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.generators.searched import Searched
    from tests.generators.world_journal import Journal

PAUSE_SECONDS = 0.05


class WorldSampler(threading.Thread):
    """Notes every document of every generation, and judges them once all commits are known."""

    def __init__(self, searched: Searched, names: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._searched = searched
        self._names = names
        self._seen: dict[tuple[str, str, int], Any] = {}
        self._last: dict[tuple[str, str], int] = {}
        self._stop_asked = threading.Event()
        self.wrong: list[str] = []

    @property
    def samples(self) -> int:
        """How many different ones."""
        return len(self._seen)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(60)
        assert not self.is_alive()

    def run(self) -> None:
        """Sample until stopped; a server that is away is no matter."""
        while not self._stop_asked.wait(PAUSE_SECONDS):
            for name in self._names:
                try:
                    found = self._searched.everywhere(name)
                except (OSError, Refused, AssertionError):
                    continue
                for hit in found:
                    self._note(name, hit)

    def _note(self, name: str, hit: dict[str, Any]) -> None:
        index, key, version = hit["_index"], hit["_id"], int(hit["_version"].text)
        document = self._seen.setdefault((name, key, version), hit["_source"])
        if document != hit["_source"]:
            self.wrong.append(f"{name} {key} {version}: {document} and {hit['_source']}")
        if version < self._last.get((index, key), 0) and "_routing" not in hit:
            self.wrong.append(f"{index} {key} went back to version {version}")
        self._last[index, key] = version

    def judge(self, journal: Journal) -> list[str]:
        """What is no document of the commit that its version names."""
        judged = journal.judged
        for (name, key, version), document in self._seen.items():
            if name in judged and document not in (meant := journal.meant(name, key, version)):
                self.wrong.append(f"{name} {key} {version}: {document}\nmeant: {meant}")
        return self.wrong
