"""What the leader of replicas says of all of them, and where: read by a relay. Pure."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import Position
from cdc_daemon.ports import Word
from connectors.relay.tables import membership_in_log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectors.relay.log import LogHead

MARK_BYTES: Final = 6
"""Of the digest that tells what was before a break of a log from what comes after."""
_WHOLE = "whole"
_LOADING = "loading"


def prefix_of(pipeline: str) -> str:
    """What the names of the groups of a pipeline begin with, and of their topics."""
    return f"cdc-daemon.{pipeline}."


def group_name(pipeline: str, sink: str) -> str:
    """What the topics and groups begin with of those who write into a sink, by its digest."""
    return f"{prefix_of(pipeline)}{sink}"


def leading(group: str) -> str:
    """The topic and group of which the leader has the only partition."""
    return f"{group}.leader"


def groups_of(projectors: str, topics: Iterable[str]) -> list[str]:
    """The groups of a pipeline, or the one of `PIPELINE.SINK`, among the names of topics."""
    pipeline, _, sink = projectors.partition(".")
    wanted = re.compile(rf"(cdc-daemon\.{re.escape(pipeline)}\.{sink or '[0-9a-f]{12}'})\.leader")
    return [found[1] for name in topics if (found := wanted.fullmatch(name))]


class Kept(NamedTuple):
    """What is kept of a word."""

    word: Word
    """Without its table."""
    mark: str
    """Of the log that it is said of."""


def marks_of(head: LogHead) -> frozenset[str]:
    """Of a log as it is: a mark for each table. None of them is one of before a break."""
    return frozenset(_mark(table, membership) for table, membership in head.tables.items())


def written(word: Word) -> str:
    """As it is kept: a history may have spaces in its name, so it comes last."""
    mark = _mark(word.table, membership_in_log(word.membership))
    state = _WHOLE if word.is_whole else _LOADING
    return f"{word.position} {state} {mark} {word.source_id}"


def read(text: str) -> Kept | None:
    """None where nobody who has commits wait has said anything."""
    position, _, rest = text.partition(" ")
    state, _, rest = rest.partition(" ")
    mark, _, source_id = rest.partition(" ")
    if not (position.isdecimal() and state in {_WHOLE, _LOADING} and source_id):
        return None
    return Kept(Word(source_id, Position(int(position)), state == _WHOLE), mark)


def _mark(table: str, membership: str) -> str:
    return blake2b(f"{table} {membership}".encode(), digest_size=MARK_BYTES).hexdigest()
