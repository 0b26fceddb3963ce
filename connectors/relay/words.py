"""What the leader of replicas says of all of them, and where: read by a relay. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cdc_daemon.events import Position
from cdc_daemon.ports import Word

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def written(word: Word) -> str:
    """As it is kept: a history may have spaces in its name, so it comes last."""
    return f"{word.position} {_WHOLE if word.is_whole else _LOADING} {word.source_id}"


def read(text: str) -> Word | None:
    """None where nobody who has commits wait has said anything."""
    position, _, rest = text.partition(" ")
    state, _, source_id = rest.partition(" ")
    if not (position.isdecimal() and state in {_WHOLE, _LOADING} and source_id):
        return None
    return Word(source_id, Position(int(position)), state == _WHOLE)
