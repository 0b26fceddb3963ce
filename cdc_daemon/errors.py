"""One tree of errors; the class says what to do.

    CdcError
    ├── RetryError          the outside system will recover: try again, for as long as it takes
    │   └── NotYetError           another process is to bring what lacks: the same, also at first
    ├── StopError           a person must act: stop, and say what to do
    │   ├── ConfigurationError    the YAML is wrong                                   exit code 2
    │   │   └── SettingError      a connector's part of it doesn't fit its system
    │   ├── SourceError           the source can't be used as it is                   exit code 3
    │   ├── SinkError             the sink can't be used as it is                     exit code 4
    │   ├── RetentionLimitError   the source keeps too much for us                    exit code 3
    │   ├── SlotInUseError        another process holds our place in the source       exit code 5
    │   ├── TakenOverError        another daemon of the pipeline has stored its checkpoint  5
    │   └── StateError            the local state can't be used as it is              exit code 6
    ├── StartAgainError     what the start went by holds no longer: start again, in this process
    │   ├── ShareChangedError     a replica has other documents to write, or other indices
    │   └── SchemaChangedError    a table isn't what the mappings were compiled for
    │       └── ManyLeftOutError      nor is what is known of its rows enough: they are read again
    ├── TokenError          what a client waits for isn't understood: say so to them
    │   ├── ForeignTokenError     it was taken in another history than the source's
    │   └── FutureTokenError      the source's log doesn't go so far
    ├── ConditionError      which rows somebody asks for can't be understood: say so to them
    ├── RewrittenError      a table isn't what was planned to be read: plan it anew, and go on
    └── RejectedError       one change can't be projected: dead letter, and go on

A foreign exception never leaves its connector: it is mapped in one place and kept as the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class CdcError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 1


class RetryError(CdcError):
    """An outside system can't be reached or is overloaded: trying again will help."""

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason
        """A short word to count retries by: `unavailable`, `timeout`, `overloaded`."""


class NotYetError(RetryError):
    """It can be reached, but isn't ready, or what another process is to bring isn't there yet: no
    mistake of ours, so it is waited for at the first start as well.
    """  # noqa: D205 - one sentence


class StopError(CdcError):
    """Going on would be wrong until a person has acted; the message says how."""


class ConfigurationError(StopError):
    """The configuration is wrong. The message holds every mistake, each with file and line."""

    exit_code: ClassVar[int] = 2


class SettingError(ConfigurationError):
    """Settings of a connector that its system shows to be wrong; the daemon adds file and line."""

    def __init__(self, mistakes: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("\n".join(message for _, message in mistakes))
        self.mistakes = tuple(mistakes)
        """Each with its place within the connector's section."""


class SourceError(StopError):
    """The source can't be used as it is: rights, settings, tables; with the SQL that mends it."""

    exit_code: ClassVar[int] = 3


class SinkError(StopError):
    """The sink can't be used as it is: credentials, index settings, version."""

    exit_code: ClassVar[int] = 4


class SlotInUseError(SourceError):
    """Another process follows the source in our place and did not let go within `slot_wait`."""

    exit_code: ClassVar[int] = 5


class TakenOverError(StopError):
    """Another daemon of this pipeline has taken over: what we say of it now would be wrong."""

    exit_code: ClassVar[int] = 5


class StateError(StopError):
    """The local state can't be used as it is: rights, room, another process. Nothing is lost."""

    exit_code: ClassVar[int] = 6


class StartAgainError(CdcError):
    """What the start went by holds no longer; a start would do right. The message says what."""


class ShareChangedError(StartAgainError):
    """This replica writes other documents from now on: what it holds of others is let go."""


class ConditionError(CdcError):
    """The condition by which somebody asks for rows is none that the source can run."""


class TokenError(CdcError):
    """A token doesn't say what to wait for."""


class ForeignTokenError(TokenError):
    """It is of another history than the source's, or its commit was lost with a part of that."""


class FutureTokenError(TokenError):
    """It lies beyond the end of the source's log."""


class QueueFullError(CdcError):
    """A source that is given its changes holds as many as it may: give them again, later."""


class RewrittenError(CdcError):
    """A table has another file than when its chunks were planned: they must be planned anew."""


class SchemaChangedError(StartAgainError):
    """A table isn't what the mappings were compiled for: they are compiled anew."""

    def __init__(
        self, table: str, why: str, *, in_catalog: bool = False, shown_by: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(f"table {table} has changed: {why}")
        self.in_catalog = in_catalog
        """Whether the catalog shows it, and not only what was read."""
        self.shown_by = shown_by
        """Position and number of the transaction of the stream that shows it; 0 without one."""
        self.table = table
        """`schema.name`, as `Relation.qualified_name` has it."""
        self.why = why


class ManyLeftOutError(SchemaChangedError):
    """Updates have left out values of more documents than are remembered. Nothing of the table has
    changed, but what a start does about it is what it does about a change.
    """  # noqa: D205 - one sentence

    def __init__(self, table: str, most: int, *, shown_by: tuple[int, int]) -> None:
        why = f"more than {most} documents wait for values that updates left out"
        super().__init__(table, why, shown_by=shown_by)


class RetentionLimitError(SourceError):
    """The source keeps more for us than it is to: our place in it is given up."""


class RejectedError(CdcError):
    """One row can't become a document (an expression failed, say). The others go on."""

    def __init__(self, reason: str, explanation: str, *, concealed: bool = False) -> None:
        super().__init__(explanation)
        self.reason = reason
        self.explanation = explanation
        self.concealed = concealed
        """Whether the value must not be shown: its column is protected."""
