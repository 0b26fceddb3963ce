"""What a sink keeps beside documents: checkpoints and dead letters. A part of `SinkSuite`."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import TakenOverError
from cdc_daemon.events import (
    Checkpoint,
    Chunk,
    ColumnShape,
    Coverage,
    DeadLetter,
    Generation,
    Load,
    Part,
    Position,
    Shape,
)

if TYPE_CHECKING:
    from cdc_daemon.ports import Sink

SHAPE = Shape(
    "1",
    "its key",
    {"ü.x": ColumnShape(1, "int", "70", plain=False), "y": ColumnShape(2, "text", "71")},
    "16384",
    {"2": Part("16385", empty=True, attached="744"), "3": Part("16386")},
)


class StoresSuite:
    """The contract of `CheckpointStore` and `DeadLetterStore`, sentence by sentence."""

    def test_keeps_the_checkpoint(self, sink: Sink, generation: Generation) -> None:
        """What was stored last is what is loaded, at once."""
        name = f"suite {uuid.uuid4().hex}/ä"
        assert sink.checkpoints.load(name) is None
        for position in (1, 2**62):
            chunk = Chunk('"a"."b"', 2**32 - 1, position % 2**32, (0, 0), (position % 2**32, 3))
            stored = Checkpoint(
                name,
                Position(position),
                "7300/1",
                {generation.projection: generation},
                (
                    Load("a.b", ("one", "two"), (chunk, replace(chunk, end=None)), True, 7, 9),  # noqa: FBT003 - as it is stored
                    Load("a.c", ("one",), since=Position(2**61), joined=True, why="another column"),
                ),
                {"a.b": "16384/0/16390"},
                owner="we",
                written=Position(position) if position > 1 else None,
                shapes={"a.b": SHAPE, "a.c": replace(SHAPE, columns={}, parts={})},
                covered={"a.b": Coverage("1:3:2", Position(2**61), Position(2**62))},
                unseen=(3, 2**32 - 1, 2**62),
            )
            sink.checkpoints.store(stored)
            assert sink.checkpoints.load(name) == stored

    def test_keeps_the_checkpoint_of_one_owner(self, sink: Sink, other_sink: Sink) -> None:
        """Whoever took over last stores; the one before is told, and overwrites nothing."""
        first = Checkpoint(f"suite {uuid.uuid4().hex}", Position(1), "7300/1", owner="first")
        second = replace(first, owner="second")
        name = first.pipeline
        assert sink.checkpoints.load(name) is other_sink.checkpoints.load(name) is None
        sink.checkpoints.store(first)
        with pytest.raises(TakenOverError, match="another daemon"):
            other_sink.checkpoints.store(second)
        assert other_sink.checkpoints.load(name) == first
        sink.checkpoints.store(replace(first, position=Position(2)))
        with pytest.raises(TakenOverError, match="another daemon"):
            other_sink.checkpoints.store(second)
        assert other_sink.checkpoints.load(name) == replace(first, position=Position(2))
        other_sink.checkpoints.store(second)
        for _ in range(2):
            with pytest.raises(TakenOverError, match="another daemon"):
                sink.checkpoints.store(replace(first, position=Position(3)))
        other_sink.checkpoints.store(replace(second, position=Position(4)))
        assert sink.checkpoints.load(name) == replace(second, position=Position(4))

    def test_stores_again_where_the_answer_was_lost(self, sink: Sink, other_sink: Sink) -> None:
        """What an earlier attempt of the same owner has stored is no other's."""
        name = f"suite {uuid.uuid4().hex}"
        first = Checkpoint(name, Position(1), "7300/1", owner="first")
        assert sink.checkpoints.load(name) is other_sink.checkpoints.load(name) is None
        for position in range(2, 5):
            other_sink.checkpoints.store(first)
            sink.checkpoints.store(replace(first, position=Position(position)))
            assert other_sink.checkpoints.load(name) == replace(first, position=Position(position))

    def test_keeps_dead_letters_once(self, sink: Sink) -> None:
        """A dead letter added again by a replay is kept once; others of the row are not lost."""
        name = uuid.uuid4().hex
        letters = [
            dead_letter(name, key="1", position=position, time=1_700_000_000.25 + position)
            for position in (1, 2, 3)
        ]
        assert sink.dead_letters.count(name) == 0
        sink.dead_letters.add(letters)
        sink.dead_letters.add(letters[:2])
        listed = sink.dead_letters.list(name, limit=2)
        assert [letter for _, letter in listed] == [letters[2], letters[1]]
        assert sink.dead_letters.count(name) == 3
        assert sink.dead_letters.get(listed[0][0]) == letters[2]
        assert sink.dead_letters.get("none") is None

    def test_keeps_dead_letters_of_any_content(self, sink: Sink) -> None:
        """What one index rejects must not be rejected as a dead letter as well."""
        name = uuid.uuid4().hex
        huge = b'"' + b"x" * 3_000_000 + b'"'
        letter = dead_letter(name, document=b'{"n": broken \x00', row={"n": b"NaN", "t": huge})
        sink.dead_letters.add([letter])
        ((_, kept),) = sink.dead_letters.list(name, limit=10)
        assert kept.document == letter.document
        assert kept.row is not None
        assert kept.row["n"] == b"NaN"
        assert len(kept.row["t"]) < 1_000_000


def dead_letter(
    pipeline: str,
    *,
    key: str = "1",
    position: int = 1,
    time: float = 1_700_000_000.25,
    document: bytes = b'{"n":"poison"}',
    row: dict[str, bytes] | None = None,
) -> DeadLetter:
    """A dead letter of `pipeline`."""
    return DeadLetter(
        pipeline,
        "rooms",
        key,
        Position(position),
        "mapper_parsing_exception",
        "n is no number",
        document,
        {"n": b'"poison"'} if row is None else row,
        "public.room",
        time,
    )
