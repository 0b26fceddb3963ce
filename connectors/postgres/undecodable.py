"""An error by which the server ends the stream, and that comes again however often it is asked."""

from __future__ import annotations

from typing import Final

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import NOWHERE, Position
from connectors.postgres.lsn import format_lsn

MOST_IN_A_ROW: Final = 10
"""With the waits in between that is half a minute: what is going to pass has passed by then."""

_PASSING: Final = ("08", "40", "53", "57", "58030")
"""How SQLSTATEs begin that pass by themselves: connections, conflicts, resources that are short, a
server that is shut down, and a disk that doesn't answer."""


class UndecodableError(RetryError):
    """The server has ended the stream with an error that hardly ever passes by itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="undecodable")


def passes(sqlstate: str | None) -> bool:
    """Whether a stream that was ended so is well once it is started again. None: cut off."""
    return sqlstate is None or sqlstate.startswith(_PASSING)


class Attempts:
    """How often in a row the server has failed to decode what comes after one position."""

    def __init__(self) -> None:
        self._after = NOWHERE
        self._failed = 0

    def began(self, after: Position) -> None:
        """The stream is started there."""
        if after != self._after:
            self._after, self._failed = after, 0

    def failed(self, error: UndecodableError) -> None:
        """The server has ended it. Raises SourceError where another attempt would be of no use."""
        self._failed += 1
        if self._failed < MOST_IN_A_ROW:
            return
        raise SourceError(
            f"PostgreSQL fails to decode its log from {format_lsn(self._after)} on, {self._failed} "
            f"times in a row: {error}. Trying again won't help, and what is searched stays as it "
            "is. Run cdc-daemon slot drop and start again: everything is loaded anew, from the "
            "tables and not from that log. The fault is in the server, or on its disk: keep the "
            "server's log file, and what select version() answers, for who runs it, and for a "
            "report to PostgreSQL"
        ) from error
