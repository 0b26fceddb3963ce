"""Dead letters as sinks store them, and documents as OpenSearch does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from cdc_daemon.events import DeadLetter, Position
from cdc_daemon.events.stored import (
    MAX_DOCUMENT_BYTES,
    MAX_VALUE_BYTES,
    letter_key,
    letter_of,
    letter_parts,
)
from connectors.opensearch.documents import document_in

LETTER = DeadLetter(
    "hotel",
    "rooms",
    "1|2",
    Position(2**62),
    "mapper_parsing_exception",
    "no number",
    b'{"n":"x"}',
    {"n": b'"x"', "m": b"null"},
    "public.room",
    1_700_000_000.123456,
)


@pytest.mark.parametrize(
    "letter",
    [LETTER, replace(LETTER, document=None, row=None, table=""), replace(LETTER, row={})],
)
def test_dead_letter_round_trip(letter: DeadLetter) -> None:
    """A dead letter comes back as it was."""
    stored = orjson.loads(orjson.dumps(letter_parts(letter)))
    assert letter_of(stored) == letter


def test_dead_letter_is_cut_with_a_note() -> None:
    """Huge documents and values are cut, and it says so; other values stay whole."""
    row = {"id": b"1", "big": b"x" * (MAX_VALUE_BYTES + 1)}
    letter = replace(LETTER, document=b"x" * (MAX_DOCUMENT_BYTES + 5), row=row)
    kept = letter_of(letter_parts(letter))
    assert kept.document == b"x" * MAX_DOCUMENT_BYTES
    assert kept.explanation == "no number [cut after 1048576 of 1048581 bytes]"
    assert kept.row is not None
    assert kept.row["id"] == b"1"
    assert kept.row["big"].endswith(b"x [cut after 65536 of 65537 bytes]")


@pytest.mark.parametrize(
    "other",
    [
        {"position": Position(1)},
        {"id": "1"},
        {"projection": "hotels"},
        {"pipeline": "other"},
        {"table": "public.hotel"},
    ],
)
def test_dead_letter_key(other: dict[str, Any]) -> None:
    """The key is of what can't be applied, not of when and why: a replay finds the same one."""
    assert letter_key(LETTER) == letter_key(replace(LETTER, time=0.0, explanation="later"))
    assert letter_key(replace(LETTER, **other)) != letter_key(LETTER)


def test_document_is_cut_out_of_the_answer() -> None:
    """The document keeps its digits and spaces, whatever its id and its content look like."""
    source = '{"_source": {"n":1.50, "s":"}\\"_source\\":"}}'
    answer = '{"_index":"i","_id":"a\\"_source\\":{","_version":12,"found":true,"_source":' + source
    assert document_in(answer + "}") == (12, source.encode())


def test_no_document() -> None:
    """Neither a missing document nor a missing index is one."""
    assert document_in('{"_index":"i","_id":"1","found":false}') is None
    assert document_in('{"error":{"type":"index_not_found_exception"},"status":404}') is None
