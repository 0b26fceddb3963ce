"""A small store of tables whose changes are made by hand, and the documents that come of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from cdc_daemon.assembly import BOUNDS, JoinedProjections, Written, wanted
from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Change, ChangeKind, Column, ColumnType, Position, Special
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.state import Staged
from tests.generators.by_hand import INT4, table
from tests.generators.states import fit_empty, found_store, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.assembly import Bounds, Pending
    from cdc_daemon.events import Relation, Value
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Store

NUMERIC = ColumnType("numeric", declared="numeric")
BOOL = ColumnType("bool", declared="boolean")
TABLES = {
    one.qualified_name: replace(one, unique_keys=(one.primary_key,))
    for one in (
        table("id", "name", Column("chain_id", INT4), Column("rate", NUMERIC), name="hotel"),
        table("id", "name", Column("parent_id", INT4), name="chain"),
        table(
            "id",
            "kind",
            *(Column("hotel_id", INT4), Column("price", NUMERIC), Column("free", BOOL)),
            name="room",
        ),
        table("hotel_id", "tag_id", name="hotel_tag", key=("hotel_id", "tag_id")),
        table("id", "name", Column("shelf", INT4, nullable=False), name="tag"),
        table("id", Column("hotel_id", NUMERIC), name="fee"),
    )
}
CHAIN: dict[str, Any] = {"one": "public.chain", "on": {"id": "chain_id"}, "fields": ["name"]}
ROOMS: dict[str, Any] = {"many": "public.room", "on": {"hotel_id": "id"}, "fields": ["id", "kind"]}
THROUGH: dict[str, Any] = {
    "through": {"table": "public.hotel_tag", "on": {"hotel_id": "id"}, "to": {"id": "tag_id"}}
}
TAGS: dict[str, Any] = {"many": "public.tag", **THROUGH, "value": "name"}

Given = dict[str, Any]
"""Documents by id as they were given out; None where there is none, text where one is rejected."""


def plans(**mappings: dict[str, Any]) -> tuple[Plan, ...]:
    """Projections over hotels, unless they say otherwise."""
    configs = {
        name: ProjectionConfig.model_validate({"from": "public.hotel", "fields": ["id"], **one})
        for name, one in mappings.items()
    }
    return compile_projections(configs, TABLES, lambda *_: "").plans


class JoinedStore:
    """The state, its projections, and a transaction that is being made."""

    def __init__(
        self, some: tuple[Plan, ...], store: Store, folder: Path, bounds: Bounds = BOUNDS
    ) -> None:
        need = wanted(some)
        fit_empty(store, need)
        self.store = store
        self.projections = JoinedProjections(some, store, bounds)
        self._folder = folder
        self._relations = {relation.name: relation for relation in need.relations}
        self._position = store.read(lambda batch: batch.position)
        self._changes: list[Change] = []
        self.rows: dict[tuple[str, Any], dict[str, Any]] = {}

    def insert(self, name: str, /, **values: Any) -> None:
        """A new row; columns that aren't named are NULL."""
        self._note(name, values)
        self._change(name, ChangeKind.INSERT, values, None)

    def update(self, name: str, key: Any, /, **values: Any) -> None:
        """Other values for the row of that key (a tuple if it is of several columns)."""
        old = self.rows.pop((name, key))
        new = {**old, **values}
        self._note(name, new)
        moved = None if self._key(name, new) == key else old
        self._change(name, ChangeKind.UPDATE, new, moved)

    def delete(self, name: str, key: Any) -> None:
        """The row of that key goes."""
        self._change(name, ChangeKind.DELETE, None, self.rows.pop((name, key)))

    def truncate(self, name: str) -> None:
        """All rows go."""
        self.rows = {key: row for key, row in self.rows.items() if key[0] != name}
        self._change(name, ChangeKind.TRUNCATE, None, None)

    def commit(self) -> Given:
        """What one transaction of all this gives out."""
        staged = Staged(self.store.tables, self._folder, 10**6)
        for change in self._changes:
            staged.put(change)
        self._changes = []
        self._position = Position(self._position + 1)
        return self._given(self.projections.apply([(staged, self._position)]))

    def fan_out(self) -> Given:
        """What the next piece of a fan-out gives out."""
        return self._given(self.projections.fan_out())

    def fan_out_all(self) -> Given:
        """What all of them give out."""
        found: Given = {}
        while self.projections.wide_open():
            found |= self.fan_out()
        return found

    def pending(self) -> Given:
        """What a start gives out again."""
        return self._given(self.projections.pending())

    def written(self) -> None:
        """The sink has everything."""
        at = self._position
        pending = self.projections.pending()
        self.projections.reach(at, [Written(one.projection, one.address, at) for one in pending])

    def _given(self, pending: list[Pending]) -> Given:
        position, found, _ = self.projections.assemble(pending)
        assert position == self._position
        assert len({one[:2] for one in found}) == len(found)
        return {_text(one.address): _parsed(one.body) for one in found}

    def _change(
        self,
        name: str,
        kind: ChangeKind,
        new: dict[str, Any] | None,
        old: dict[str, Any] | None,
    ) -> None:
        rows = [None if one is None else self._row(name, one) for one in (new, old)]
        odd = any(isinstance(value, Special) for row in rows for value in row or ())
        self._changes.append(Change(self._relation(name), kind, rows[0], rows[1], odd))

    def _relation(self, name: str) -> Relation:
        return self._relations[name]

    def _note(self, name: str, values: dict[str, Any]) -> None:
        self.rows[name, self._key(name, values)] = values

    def _key(self, name: str, values: dict[str, Any]) -> Any:
        key = tuple(values[column] for column in self._relation(name).primary_key)
        return key[0] if len(key) == 1 else key

    def _row(self, name: str, values: dict[str, Any]) -> list[Value]:
        columns = self._relation(name).columns
        return [_json(values.get(column.name), column) for column in columns]


def _json(value: Any, column: Column) -> Value:
    if isinstance(value, bytes):
        return value
    if column.type.name == "numeric" and value is not None:
        return str(value).encode()  # with its zeros
    return orjson.dumps(value)


def _text(address: bytes) -> str:
    return address.decode().replace('""', " ").strip('"')


def _parsed(body: bytes | None) -> Any:
    if body is None:
        return None
    return body.decode() if body.startswith(b"!") else orjson.loads(body)


@contextmanager
def joined(
    folder: Path, bounds: Bounds = BOUNDS, /, **mappings: dict[str, Any]
) -> Iterator[JoinedStore]:
    """A new state with these projections."""
    with new_store(folder / "state") as store:
        yield JoinedStore(plans(**mappings), store, folder, bounds)


@contextmanager
def reopened(
    folder: Path, bounds: Bounds = BOUNDS, /, **mappings: dict[str, Any]
) -> Iterator[JoinedStore]:
    """The state that `joined` has left there, with these projections."""
    with found_store(folder / "state") as store:
        yield JoinedStore(plans(**mappings), store, folder, bounds)
