"""The relay: changes go out as they are, transaction by transaction; nobody projects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import BaseModel

    from cdc_daemon.events import Begin, Change, Checkpoint, Commit, Position, Relation, Row
    from cdc_daemon.ports.group import Word
    from cdc_daemon.ports.sink import CheckpointStore


@runtime_checkable
class Locates(Protocol):
    """A source that can say of each change where it stands in its log. Not every one does."""

    def locate(self) -> None:
        """From the next `start` on: say where transactions begin, and where changes stand.

        Tables come as the stream describes them, whatever they are by now: a change's relation
        isn't the one that was given, but one with the columns of its time.
        """

    def database_name(self) -> str:
        """What the source is called among those of its server."""


class Loss(NamedTuple):
    """What a relay had written, and hasn't any more."""

    topic: str
    """Where it was, for people."""
    table: str
    """Of which table it was (`Relation.qualified_name`); empty where of none."""
    messages: int | None
    """How many are gone at least; None where all of them are."""


class Relay(Protocol):
    """Where changes go. One thread, the reader, owns it, but for `close`.

    What was written since `settle` last returned True is seen by nobody yet, and is gone if the
    process ends: then it is written again, from the position of the checkpoint.
    """

    @property
    def checkpoints(self) -> CheckpointStore:
        """Where the checkpoint lives: what is stored there is so together with what was written."""

    def preflight(self, relations: Sequence[Relation]) -> None:
        """Check that all of these can be relayed; touches nothing. Raises SinkError."""

    def open(self) -> None:
        """Be the only one that writes from now on: what another process has begun is undone.

        Raises TakenOverError in that process from then on.
        """

    def begin_from(
        self,
        relations: Sequence[Relation],
        checkpoint: Checkpoint,
        database: str,
        *,
        goes_on: bool,
    ) -> Sequence[Loss]:
        """Make what is lacking; what is written from now on comes after that checkpoint.

        `goes_on`: it is the one that was loaded last, and the source has lost nothing since.
        Returns what is gone of what was written before.
        """

    def begin(self, begin: Begin) -> None:
        """A transaction begins."""

    def change(self, change: Change) -> None:
        """Write a change of it; its table may be in a shape that can't be read (`misfit`)."""

    def commit(self, commit: Commit) -> None:
        """The transaction ends."""

    def existing(self, relation: Relation, rows: Sequence[Row], position: Position) -> None:
        """Write rows that were there already, as they are at that position of the stream.

        Between transactions. `rows` is `PartlyUnreadable` where one needs a closer look.
        """

    def passed(self, position: Position) -> None:
        """Everything up to there was written, though no transaction ends there."""

    def settle(self, checkpoint: Checkpoint, meanwhile: Callable[[], None], *, seen: bool) -> None:
        """Return when all that was written is durable, all of it at once, with the checkpoint.

        `seen`: and once readers of it see it, which may be a moment later. What is lost meanwhile
        isn't waited for. Calls `meanwhile` several times a second while it waits (every few seconds
        where nobody answers); what that raises ends the wait.
        Raises RetryError when nobody knows: open it again, and see what the checkpoint says.
        """

    @property
    def idle_seconds(self) -> float:
        """How often it is to be settled though nothing was written."""

    @property
    def is_due(self) -> bool:
        """Whether it has something of its own to write: a sign of life, say."""

    @property
    def held(self) -> int:
        """How many bytes were written since it was settled."""

    def wait_by(self, meanwhile: Callable[[], None]) -> None:
        """What to call several times a second while there is no room for what is to be written."""

    def close(self) -> None:
        """Release the connections; what isn't settled is undone. Safe to call twice."""


class Observer(Protocol):
    """Sees how far searches are of pipelines that read what a relay writes. One thread owns it."""

    def look(self) -> Mapping[str, Word | str]:
        """What the leader of each says; or why there is no such word, for people.

        That nobody can tell is such a reason: of one of them it hides no others. What was said by
        those that are gone, or of before changes were lost, is no word.
        """

    def close(self) -> None:
        """Close the connections. Safe to call twice."""


@runtime_checkable
class Observes(Protocol):
    """A relay that can see how far those are who read what it writes. Not every one does."""

    def observer(self, pipelines: Sequence[str]) -> Observer:
        """Of these, by the names in the configuration; connects to nothing yet. Once changes are
        written (`begin_from`), what is said of what was written before a loss doesn't count.
        """  # noqa: D205 - one sentence


class RelayFactory(Protocol):
    """What an entry point of `cdc_daemon.sinks` may name in place of a `SinkFactory`."""

    config_model: type[BaseModel]
    """The pydantic model of the `sink:` section; `is_relay` of it is true."""

    def __call__(self, config: Any, *, pipeline: str) -> Relay:
        """Build it; connects to nothing yet."""
