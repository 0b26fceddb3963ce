"""One of several replicas of a pipeline: what its seat in the group means for the reader."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from cdc_daemon.errors import RetryError, ShareChangedError, SinkError, SourceError
from cdc_daemon.sharing.facts import complete, era_of
from cdc_daemon.sharing.membership import NOTHING_SAID, Membership, elapsed_seconds
from cdc_daemon.sharing.part import Part
from cdc_daemon.sharing.slots import ALL_SLOTS

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Iterator, Mapping

    from cdc_daemon.events import Checkpoint, Position
    from cdc_daemon.ports import Reached, Shareable, Sink
    from cdc_daemon.reaching import Reaching
    from cdc_daemon.sharing.membership import Said

HEARD_SECONDS: Final = 0.5
"""How often a stop is looked for until the group is heard of."""
SETTLED_SECONDS: Final = 1.0
"""After a freeze the client of the group has noticed by then that its seat is lost."""
CHECKPOINT_SECONDS: Final = 1.0
"""How often a replica that doesn't lead looks what the leader has made."""


class Replica:
    """Of one process, through all its starts."""

    def __init__(self, source: Shareable, sink: Sink, pipeline: str) -> None:
        self._sink = sink
        self._place = ""
        """Who writes there is of our group; empty before we are in it."""
        self._pipeline = pipeline
        self._part: Part | None = None
        self._looked_at = 0.0
        self._failure: BaseException | None = None
        self.membership = Membership(
            lambda: source.group(self._place), self._news, self._heard, self._fail, self._said
        )

    def __enter__(self) -> Self:
        """Leave the group at the end, if we are in it then."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the group."""
        self.membership.close()

    @contextmanager
    def joined(self, reaching: Reaching, stopping: threading.Event) -> Iterator[None]:
        """Be in the group while a start goes on. What the sink refuses meanwhile may be because our
        seat is another's by now, who has other indices: raises ShareChangedError then.
        """  # noqa: D205 - one sentence
        self._join(reaching, stopping)
        seat = self.membership.seat
        try:
            yield
        except SinkError as error:
            self.membership.wait_heard_since(elapsed_seconds() + SETTLED_SECONDS, stopping)
            if self.membership.seat == seat:
                raise
            raise ShareChangedError(
                f"the group has given us other documents, and the sink has said: {error}"
            ) from error

    def _join(self, reaching: Reaching, stopping: threading.Event) -> None:
        """Be in the group of those who write where we do, and know what they have told; or a stop
        is asked for. Raises SinkError where we would write into another sink by now.
        """  # noqa: D205 - one sentence
        with reaching.reachable("sink", SinkError):
            place = self._sink.identity()
        if not self._place:
            self._place = place
            self.membership.start()
        if place != self._place:
            raise SinkError(
                f"the sink is another one than when this replica was started ({place}, it was "
                f"{self._place}), and so are those that share its documents. Start it again"
            )
        with reaching.reachable("source", SourceError):
            self._wait_heard(stopping)

    def _wait_heard(self, stopping: threading.Event) -> None:
        """Until the group was heard of nobody knows what is in the sink; or until a stop."""
        while not (self.membership.wait_heard(HEARD_SECONDS) or stopping.is_set()):
            self.raise_failure()
            self.membership.require_reachable()

    def raise_failure(self) -> None:
        """Raise what has ended our part in the group."""
        if self._failure is not None:
            raise self._failure

    @property
    def leads(self) -> bool:
        """Whether it is for us to make what a pipeline needs, and to say how far all are."""
        return self.membership.seat.leads

    def complete(self, checkpoint: Checkpoint) -> Position:
        """Everything up to here is in the indices of a checkpoint."""
        told = self.membership.told
        return complete(told, era_of(checkpoint), checkpoint.position).durable

    def has_all(self) -> bool:
        """Whether all documents are ours."""
        return self.membership.seat.slots == ALL_SLOTS

    def begin(
        self, checkpoint: Checkpoint, joined: Collection[str], known_since: Position | None
    ) -> Part:
        """A start goes on from a checkpoint, with the seat that we have now; the rest as `Part`."""
        self._part = Part(self.membership, checkpoint, joined, known_since)
        return self._part

    def end(self) -> None:
        """That start is over."""
        self._part = None

    def stand_back(self) -> None:
        """There is nothing yet that could be shared."""
        self.membership.take_part(leading=not self.membership.is_led, sharing=False)

    def show(self) -> dict[str, Any]:
        """For the status."""
        membership, part = self.membership, self._part
        return {
            "leads": membership.seat.leads,
            "slots": sorted(part.share.slots if part else ()),
            "members": membership.members,
            "rebalances": membership.rebalances,
        }

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        if self._part is not None:
            self._part.fail(error)

    def _news(self) -> Mapping[int, Reached]:
        part = self._part
        return {} if part is None else part.news()

    def _said(self) -> Said:
        part = self._part
        return NOTHING_SAID if part is None else part.said()

    def _heard(self) -> None:
        part, membership = self._part, self.membership
        if part is None:
            self._be_there()
            return
        part.heard(membership.told)
        if membership.seat != part.seat:
            part.end("the group has given us other documents")
        elif part.seat.leads:
            membership.take_part(leading=True, sharing=True)
        elif self._is_left_behind(part):
            membership.take_part(leading=False, sharing=False)
            part.end("the leader makes other indices, or has made some")
        else:
            self._offer(part)

    def _be_there(self) -> None:
        """Before a start has come to anything: lead where nobody does."""
        membership = self.membership
        if membership.seat.leads:
            membership.take_part(leading=True, sharing=True)
        elif not membership.is_led:
            membership.take_part(leading=True, sharing=False)

    def _offer(self, part: Part) -> None:
        """Lead and share where nothing is unknown here that others may not have written yet."""
        ready = part.is_ready and part.has_caught_up
        sharing = ready or bool(part.share.slots)
        self.membership.take_part(leading=sharing or not self.membership.is_led, sharing=sharing)
        if sharing and part.share.slots != part.seat.slots:
            part.end("all is known here that others have not written yet")

    def _is_left_behind(self, part: Part) -> bool:
        """Whether the leader has begun with other indices than we."""
        now = time.monotonic()
        if now - self._looked_at < CHECKPOINT_SECONDS:
            return False
        self._looked_at = now
        try:
            kept = self._sink.checkpoints.load(self._pipeline)
        except RetryError:
            return False
        return kept is None or bool(kept.loads or kept.building) or era_of(kept) != part.era
