"""What posted changes make of the documents of flat read models: the last of each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import DocumentOperation
from cdc_daemon.projection.rejection import MARK_BYTE, read_rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdc_daemon.events import Change, Relation
    from cdc_daemon.projection.flat import FlatProjection

TABLES: Final = "its documents are made of rows of several tables, or of kept ones"
PROTECTED: Final = "it shows a column that only the source protects"
KEYED: Final = "its document id isn't made of the primary key"


class Refused(NamedTuple):
    """A document that can't be made, or that the sink refuses: the stream makes a dead letter."""

    projection: str
    id: bytes
    """As a JSON string."""
    reason: str
    explanation: str


class Made(NamedTuple):
    """What a transaction makes."""

    operations: list[DocumentOperation]
    refused: list[Refused]


class _Contents:
    """A `Folding` in memory: a request is small."""

    def __init__(self) -> None:
        self.by_id: dict[bytes, bytes | None] = {}

    def put(self, document_id: bytes, body: bytes | None) -> None:
        self.by_id[document_id] = body

    def truncate(self) -> None:
        raise AssertionError("a truncate is left to the stream")


class Documents:
    """Those of one pipeline's flat read models."""

    def __init__(self, flat: Mapping[str, FlatProjection], joined: Iterable[str]) -> None:
        """`flat`: by index; `joined`: the names of the others."""
        self.left_to_stream = dict.fromkeys(joined, TABLES)
        """Read models that nothing is written to here, and why."""
        self.names = {index: projection.name for index, projection in flat.items()}
        """The read models by their indices."""
        self._of: dict[Relation, list[tuple[str, FlatProjection]]] = {}
        for index, projection in flat.items():
            if why := _why_left(projection):
                self.left_to_stream[projection.name] = why
            else:
                self._of.setdefault(projection.relation, []).append((index, projection))

    def made(self, changes: Sequence[Change], version: int) -> Made:
        """What they make, each document once."""
        contents: dict[str, tuple[FlatProjection, _Contents]] = {}
        for change in changes:
            for index, projection in self._of.get(change.relation, ()):
                _, some = contents.setdefault(index, (projection, _Contents()))
                projection.apply(change, some)
        made = Made([], [])
        for index, (projection, some) in contents.items():
            for document_id, body in some.by_id.items():
                if body is not None and body[0] == MARK_BYTE:
                    made.refused.append(_refused(projection.name, document_id, body))
                else:
                    made.operations.append(DocumentOperation(index, document_id, version, body))
        return made


def _why_left(projection: FlatProjection) -> str:
    relation = projection.relation
    if any(relation.columns[at].protection is not None for at in projection.reads):
        return PROTECTED
    return "" if {*projection.key} <= key_of(relation) else KEYED


def key_of(relation: Relation) -> frozenset[str]:
    """The columns by which a posted change says which row it means, as far as they are read."""
    there = {column.name for column in relation.columns}
    identity = {column.name for column in relation.columns if column.in_identity}
    return frozenset({*relation.primary_key} & there or identity)


def _refused(name: str, document_id: bytes, content: bytes) -> Refused:
    why = read_rejection(content)
    return Refused(name, document_id, why.reason, why.explanation)
