"""Values of rows, and what stands in the place of those that are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias


class Unchanged:
    """The marker of a value that PostgreSQL did not send because it is stored out of line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a value that can't become JSON (a text that is not UTF-8): its row is rejected by
    every projection that reads it, and the others go on.
    """  # noqa: D205 - one sentence

    reason: str
    """The class of error, to count by."""
    explanation: str
    raw: bytes | None
    """The source's text of the value; None where nobody may see it (`Protection`)."""


class Special(bytes):
    """A value that a number or a date of JSON or of a sink may not hold: NaN, the infinities, years
    before 1 or after 9999, numbers of hundreds of digits. It is its JSON text like any other value
    (where a number is none, `null`): only fields look closer.
    """  # noqa: D205 - one sentence

    exact: bytes
    """The JSON text in which nothing is null for want of a number: `"NaN"`.

    Set by who makes the value: a constructor in Python would take longer than all the rest."""


Value: TypeAlias = bytes | Unchanged | Unreadable
"""One column: its value as JSON text (`b'12'`, `b'"a"'`, `b'null'`), `UNCHANGED`, `Unreadable`.

`Special` is JSON text, too."""


Row: TypeAlias = list[Value]
"""The values of one row, in the order of its relation's `columns`."""


class PartlyUnreadable(list[Row]):
    """A block of existing rows, of which some hold `Unreadable` or `Special`: only such blocks are
    searched.
    """  # noqa: D205 - one sentence
