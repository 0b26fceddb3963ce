"""Looks into a state for people: the document of an id, and the documents that show a row."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from cdc_daemon.assembly.climbing import BOUNDS, Climb
from cdc_daemon.assembly.joined import JoinedProjection
from cdc_daemon.assembly.roles import Reader
from cdc_daemon.assembly.roots import Node
from cdc_daemon.errors import RejectedError
from cdc_daemon.state import identity_of
from cdc_daemon.values import json_encoder, split_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.assembly.lookup import Found
    from cdc_daemon.events import Position, Relation, Row
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Batch, Table, View

FIRST_IDS: Final = 5
"""So many documents are named of each way; all are counted."""


class Shown(NamedTuple):
    """The documents of a projection that show a row, by one way."""

    projection: str
    way: tuple[str, ...]
    """The tables on it, each with the columns that lead there; empty for the row's own document."""
    documents: int
    ids: tuple[str, ...]
    """Of the first of them."""

    @property
    def is_wide(self) -> bool:
        """Whether a change of the row leaves them to a fan-out."""
        return self.documents > BOUNDS.change


class Document(NamedTuple):
    """A document as the state has it."""

    position: Position
    body: bytes | None
    """Or why it is rejected; None where there is none."""
    routing: str | None
    is_pending: bool
    """Whether the sink isn't known to have it as it is."""


class Look:
    """The projections of a configuration over a state that has all that they want."""

    def __init__(self, plans: Sequence[Plan], view: View) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._projections = {plan.name: JoinedProjection(plan, view) for plan in plans}
        self._view = view

    def showing(
        self, relation: Relation, key: str, id_of: Callable[[Row], bytes]
    ) -> list[Shown] | None:
        """What shows the row of `key`; None where there is no such row.

        `id_of` makes the text of a key, as a JSON string.
        """
        return self._view.read(lambda batch: self._showing(relation, key, id_of, batch))

    def _showing(
        self, relation: Relation, key: str, id_of: Callable[[Row], bytes], batch: Batch
    ) -> list[Shown] | None:
        found = self._row(relation, identity_of(relation), key, id_of, batch)
        if found is None:
            return None
        number = self._view.tables[relation].number
        return [
            shown
            for one in self._projections.values()
            for node in one.nodes.of_table.get(number, ())
            if (shown := _shown(one, node, found, batch)).documents
        ]

    def document(self, projection: str, document_id: str) -> Document:
        """The document of that id."""
        return self._view.read(lambda batch: self._document(projection, document_id, batch))

    def _document(self, projection: str, document_id: str, batch: Batch) -> Document:
        plan, one = self._plans[projection], self._projections[projection]
        found = self._row(plan.root.relation, plan.id, document_id, plan.id_of, batch)
        if found is None:
            pending = any(_id(each.id) == document_id for each in batch.pending.of(one.number))
            return Document(batch.position, None, None, pending)
        address = one.documents.address(found[1])
        pending = batch.pending.get(one.number, address) is not None
        body = one.documents.shown_at(batch, address, found[0])
        return Document(batch.position, body, _routing(address), pending)

    def _row(
        self,
        relation: Relation,
        columns: Sequence[str],
        text: str,
        id_of: Callable[[Row], bytes],
        batch: Batch,
    ) -> Found | None:
        """By its key, where that is what the text holds; otherwise all rows are gone through."""
        table, reader = self._view.tables[relation], Reader(relation, columns, self._view)
        wanted = orjson.dumps(text)

        def matches(packed: bytes) -> bool:
            try:
                return id_of(reader.row(packed)) == wanted
            except RejectedError:
                return False

        key = _key(table, columns, text)
        packed = None if key is None else table.row(batch.txn, key)
        if key is not None and packed is not None and matches(packed):
            return key, packed
        return next((one for one in table.after(batch.txn, b"") if matches(one[1])), None)


def _shown(one: JoinedProjection, node: Node, found: Found, batch: Batch) -> Shown:
    counts = node.counts(batch, found[1])
    roots: Iterator[Found] = iter(())
    if counts:
        is_root = node.above is None
        roots = iter([found]) if is_root else Climb(batch, Node.counts).up(node, found[1])
    first = list(islice(roots, FIRST_IDS))
    documents = len(first) + sum(1 for _ in roots)
    ids = tuple(_id(one.documents.address(packed)) for _, packed in first)
    return Shown(one.name, node.path, documents, ids)


def _key(table: Table, columns: Sequence[str], text: str) -> bytes | None:
    """The key of a row of which `text` is an id, if that can be told from it."""
    relation = table.relation
    parts = split_id(text) if len(columns) > 1 else [text]
    if tuple(columns) != identity_of(relation) or len(parts) != len(columns):
        return None
    encoders = [json_encoder(relation.columns[relation.index_of(name)].type) for name in columns]
    raw = [part.encode() for part in parts]
    try:
        return table.key(
            [one if to is None else to(one) for to, one in zip(encoders, raw, strict=True)]
        )
    except (RejectedError, ValueError, ArithmeticError):  # it isn't of that type
        return None


def _id(address: bytes) -> str:
    found, _ = json.JSONDecoder().raw_decode(address.decode())
    return str(found)


def _routing(address: bytes) -> str | None:
    text = address.decode()
    _, end = json.JSONDecoder().raw_decode(text)
    return json.loads(text[end:]) if end < len(text) else None
