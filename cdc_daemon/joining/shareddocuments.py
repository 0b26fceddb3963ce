"""Joined read models whose documents replicas share: what others have written is let go of.

The state of every replica notes all documents that are touched, so that any of them can take over
any other's. What is noted goes once its owner has told that it is in the sink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.assembly import JoinedProjections
    from cdc_daemon.events import Position
    from cdc_daemon.sharing.slots import Share

PAGE: Final = 10_000
"""Documents that are looked at between two looks at the stream, each second: about 30 ms."""


class Others(Protocol):
    """The replicas beside this one."""

    @property
    def share(self) -> Share:
        """What is ours."""

    @property
    def uuids(self) -> Mapping[str, str]:
        """The index of each projection."""

    def durable(self, address: bytes) -> Position | None:
        """Up to where a document is in the sink; None where it is ours."""

    def knows_since(self, position: Position | None) -> None:
        """All that is touched later is known here; None: rows are lacking still."""


class SharedDocuments:
    """Of one state. The reader calls it."""

    def __init__(self, projections: JoinedProjections, others: Others) -> None:
        self._projections = projections
        self._others = others
        self._turn = 0
        self._after = b""

    def whole(self, projection: str) -> None:
        """All that it shows is in the state: what is touched is noted from now on."""
        self._projections.note_known(projection, self._others.uuids[projection])
        self._tell()

    def written(self, projection: str) -> None:
        """We have written every document: nothing from before is unknown."""
        self._projections.note_known(projection, self._others.uuids[projection], NOWHERE)
        self._tell()

    def forget_some(self) -> None:
        """Look through a page of what is pending, of one projection after the other."""
        names = self._projections.given_out
        if self._others.share.is_all or not names:
            return
        name = names[self._turn % len(names)]
        self._after = self._projections.forget_of_others(
            name, self._after, PAGE, self._others.durable
        )
        if not self._after:
            self._turn += 1

    def _tell(self) -> None:
        uuids = self._others.uuids
        known = [self._projections.known(name) for name in uuids]
        is_known = not self._projections.held and all(
            one is not None and one.uuid == uuid
            for one, uuid in zip(known, uuids.values(), strict=True)
        )
        since = max((one.since for one in known if one is not None), default=NOWHERE)
        self._others.knows_since(since if is_known else None)
