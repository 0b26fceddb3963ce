"""The documents of one plan, assembled from the state as it is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly.objects import Objects
from cdc_daemon.assembly.reads import of_root
from cdc_daemon.assembly.roles import LACKING, LevelRows, Reader
from cdc_daemon.errors import RejectedError
from cdc_daemon.projection.rejection import rejection

if TYPE_CHECKING:
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Batch, View


_WITHOUT_ID: Final = b'"row without id '
"""Begins what stands for an address."""


class Documents:
    """Each has an address: its id as a JSON string, and after it what says its shard, if it isn't
    the id.
    """  # noqa: D205 - one sentence

    def __init__(self, plan: Plan, store: View) -> None:
        self._plan = plan
        self._table = store.tables[plan.root.relation]
        self._addressing = Reader(plan.root.relation, {*plan.id, plan.routing or ""}, store)
        self._whole = Reader(plan.root.relation, (), store)
        self._rows = LevelRows(plan.root, of_root(plan), store)
        self._objects = Objects(plan.root, store)

    def address(self, packed: bytes) -> bytes:
        """Where the document of a row is, or what stands for it."""
        try:
            return self._exact_address(packed)
        except RejectedError:
            return b'%b%b"' % (_WITHOUT_ID, hashlib.sha256(packed).hexdigest().encode())

    def _exact_address(self, packed: bytes) -> bytes:
        plan = self._plan
        row = self._addressing.row(packed)
        own = plan.id_of(row)
        return own if plan.routing_of is None else own + plan.routing_of(row)

    def address_of(self, batch: Batch, key: bytes) -> bytes | None:
        """The same of the row of that key; None where it is gone."""
        packed = self._table.row(batch.txn, key)
        return None if packed is None else self.address(packed)

    def at(self, batch: Batch, address: bytes, key: bytes) -> bytes | None:
        """The document at an address, a rejection, or None where there is none.

        `key` is that of the row that was last known to have it: if the row has gone or is somewhere
        else, there is none. Raises RejectedError where a value isn't known yet.
        """
        packed = self._table.row(batch.txn, key)
        if packed is None or self.address(packed) != address:
            return None
        try:
            if address.startswith(_WITHOUT_ID):
                self._exact_address(packed)  # raises, and says why
            return self._assembled(batch, packed)
        except RejectedError as error:
            if error.reason == LACKING:
                raise
            return rejection(error, self._plan.root.relation, self._whole.row(packed))

    def shown_at(self, batch: Batch, address: bytes, key: bytes) -> bytes | None:
        """The same for people: a rejection, too, where a value isn't known yet."""
        try:
            return self.at(batch, address, key)
        except RejectedError as error:
            packed = self._table.row(batch.txn, key) or b""
            return rejection(error, self._plan.root.relation, self._whole.row(packed))

    def _assembled(self, batch: Batch, packed: bytes) -> bytes | None:
        row = self._rows.counted(batch, packed)
        if row is None:
            return None
        body = self._objects.of(batch, packed, row)
        most = self._plan.max_document_bytes
        if len(body) > most:
            raise RejectedError(
                "document_too_large",
                f"the document has {len(body)} bytes, max_document_bytes allows {most}",
            )
        return body
