"""Documents of one transaction that have versions of their own. Pure.

A transaction that a source has put together of several topics has messages whose versions are
counted each in its partition: only those of one document can be compared. So the documents go out
at the version of what changed them last, and not at that of the commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.delivery.route import Route


class Numbered:
    """Those of one read model."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.truncated = 0
        """The version of the last TRUNCATE; 0 where there was none."""
        self._contents: dict[bytes, tuple[int, bytes | None]] = {}

    def add(self, version: int) -> None:
        """Take what is in the fold: it has this version."""
        fold = self.route.fold
        if fold.truncated:
            self.truncated = version
            self._contents.clear()
        for document_id, body in fold.drain():
            there = self._contents.get(document_id)
            if there is None or there[0] <= version:
                self._contents[document_id] = (version, body)

    def by_version(self) -> Mapping[int, Iterator[Content]]:
        """Every document once, with the lowest version first."""
        found: dict[int, list[Content]] = {}
        for document_id, (version, body) in self._contents.items():
            found.setdefault(version, []).append((document_id, body))
        return {version: iter(found[version]) for version in sorted(found)}
