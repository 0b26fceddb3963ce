"""Looks at documents again and again while they change: each is that of the commit it names."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tests.generators.rest import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.generators.searched import Searched
    from tests.generators.world_journal import Journal

PAUSE_SECONDS = 0.05
PAUSE_SHARE = 3
"""So many times as long as a look took: those that are watched need the machine as well."""


class WorldSampler(threading.Thread):
    """Notes every document of every generation, and judges them once all commits are known."""

    def __init__(self, searched: Searched, journals: Mapping[str, Journal]) -> None:
        """`journals`: by read model."""
        super().__init__(daemon=True)
        self._searched = searched
        self._journals = journals
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
        pause_seconds = PAUSE_SECONDS
        names = list(self._journals)
        while not self._stop_asked.wait(pause_seconds):
            began = time.monotonic()
            with suppress(OSError, Refused, AssertionError):
                for name, hit in self._searched.lately(names):
                    self._note(name, hit)
            pause_seconds = max(PAUSE_SECONDS, PAUSE_SHARE * (time.monotonic() - began))

    def _note(self, name: str, hit: dict[str, Any]) -> None:
        index, key, version = hit["_index"], hit["_id"], int(hit["_version"].text)
        document = self._seen.setdefault((name, key, version), hit["_source"])
        if document != hit["_source"]:
            self.wrong.append(f"{name} {key} {version}: {document} and {hit['_source']}")
        if version < self._last.get((index, key), 0) and "_routing" not in hit:
            self.wrong.append(f"{index} {key} went back to version {version}")
        self._last[index, key] = version

    def judge(self) -> list[str]:
        """What is no document of the commit that its version names."""
        judged = {name for name, journal in self._journals.items() if name in journal.judged}
        for (name, key, version), document in self._seen.items():
            if name not in judged:
                continue
            if document not in (meant := self._journals[name].meant(name, key, version)):
                self.wrong.append(f"{name} {key} {version}: {document}\nmeant: {meant}")
        return self.wrong
