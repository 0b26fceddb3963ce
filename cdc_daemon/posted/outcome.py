"""What became of posted changes, and what is answered of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import orjson

from cdc_daemon.errors import CdcError, RetryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from cdc_daemon.posted.body import Bodies, Post
    from cdc_daemon.posted.documents import Refused

Result: TypeAlias = Literal["given_up", "superseded", "written", "refused", "left_to_stream"]
RESULTS: Final[tuple[Result, ...]] = (
    *("given_up", "superseded", "written", "refused", "left_to_stream"),
)
"""Of what has become of several documents the first one speaks for their transaction."""


class NotServingError(RetryError):
    """Nothing is taken at the moment: it starts, stops, or a table has changed."""


class TooManyPostsError(CdcError):
    """So many wait already that one more would only wait too long."""


class Tally:
    """What became of one transaction's documents."""

    def __init__(self, refused: Sequence[Refused] = ()) -> None:
        self.counts: Counter[Result] = Counter({"refused": len(refused)})
        self.refused = list(refused)

    @property
    def outcome(self) -> Result:
        """Of the transaction."""
        return next((name for name in RESULTS if self.counts[name]), "left_to_stream")

    @property
    def is_brought_by_stream(self) -> bool:
        """Whether the stream has brought some of it, or brings all of it."""
        return bool(self.counts["superseded"]) or self.outcome == "left_to_stream"

    def shown(self) -> dict[str, Any]:
        """As it is answered."""
        shown: dict[str, Any] = {
            "outcome": self.outcome,
            "documents": {name: count for name, count in self.counts.items() if count},
        }
        if self.refused:
            shown["refused"] = [
                {**one._asdict(), "id": orjson.loads(one.id)} for one in self.refused
            ]
        return shown


class Done(NamedTuple):
    """What a request has come to."""

    transactions: Sequence[Mapping[str, Any]]
    """What is answered of each."""
    in_time: bool
    """Whether all of it is as durable, or as searchable, as was asked for."""
    told: Mapping[str, Any]
    """What is answered besides."""


class Taker(Protocol):
    """Who takes what is posted, of one start. Any thread calls it."""

    bodies: Bodies
    """Reads the requests."""
    unknown: str
    """The outcome of a transaction where nothing better is known when time is up."""

    @property
    def epoch(self) -> str:
        """The history that versions and positions are of."""

    def take(self, post: Post, deadline: float) -> Future[Done]:
        """Do it until `deadline` (monotonic seconds).

        Raises TokenError for a version that is none, or of another history, NotServingError, and
        TooManyPostsError.
        """

    def look(self) -> None:
        """A position may have moved."""

    def close(self) -> None:
        """Take nothing more, and answer all who wait."""
