"""Dead letters: from what the sink refused, and from rows that can't become documents."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from cdc_daemon.delivery.addresses import parted
from cdc_daemon.events import DeadLetter, Position
from cdc_daemon.projection.rejection import read_rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdc_daemon.events import Relation
    from cdc_daemon.ports import Rejection


class Projection(Protocol):
    """A projection whose documents are written."""

    @property
    def name(self) -> str:
        """The read model."""

    @property
    def relation(self) -> Relation:
        """The table whose rows have a document each."""

    @property
    def columns_shown(self) -> Mapping[str, str]:
        """Field to column, for fields that show a column as it is."""


def letter_of_rejection(pipeline: str, projection: Projection, rejection: Rejection) -> DeadLetter:
    """A dead letter for an operation that the sink refused.

    The row is taken back from the document, as far as the document shows it: it costs nothing to
    the documents that go well.
    """
    operation = rejection.operation
    return DeadLetter(
        pipeline=pipeline,
        projection=projection.name,
        id=_text(operation.id),
        position=Position(operation.version),
        reason=rejection.reason,
        explanation=rejection.explanation,
        document=operation.body,
        row=None if operation.body is None else _row(projection, operation.body),
        table=projection.relation.qualified_name,
        time=time.time(),
    )


def letters_of_rows(
    pipeline: str, projection: str, position: Position, rejected: Sequence[tuple[bytes, bytes]]
) -> list[DeadLetter]:
    """Dead letters for rows that can't become documents, by the addresses of those."""
    now = time.time()
    letters = []
    for address, content in rejected:
        said = read_rejection(content)
        letters.append(
            DeadLetter(
                pipeline=pipeline,
                projection=projection,
                id=_text(parted(address)[0]),
                position=position,
                reason=said.reason,
                explanation=said.explanation,
                row=said.row,
                table=said.table,
                time=now,
            )
        )
    return letters


def _text(document_id: bytes) -> str:
    text: str = orjson.loads(document_id)
    return text


def _digits(number: str) -> orjson.Fragment:
    """A number as it is written: as a float it would lose digits."""
    return orjson.Fragment(number)


def _row(projection: Projection, body: bytes) -> dict[str, bytes] | None:
    """None where the document is JSON for PostgreSQL only: half a surrogate, depth 2000."""
    try:
        document: dict[str, Any] = json.loads(body, parse_float=_digits, parse_int=_digits)
        return {
            column: orjson.dumps(document[field])
            for field, column in projection.columns_shown.items()
            if field in document
        }
    except (ValueError, TypeError, RecursionError):
        return None
