"""What a document holds, and until when it is pending."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cdc_daemon.assembly import JoinedProjections, Written, wanted
from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Position, Unreadable
from cdc_daemon.projection.rejection import read_rejection
from cdc_daemon.state import Staged
from tests.generators.joined_store import CHAIN, ROOMS, TABLES, TAGS, joined, plans
from tests.generators.states import fit_empty, found_store, new_store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

IDS: dict[str, Any] = {"many": "public.room", "on": {"hotel_id": "id"}, "value": "id"}


def test_children_are_in_order_and_cut_at_the_limit(tmp_path: Path) -> None:
    """By an index, sorted, or backwards."""
    embed = {
        "cheapest": {**IDS, "order_by": "price", "limit": 2},
        "dearest": {**IDS, "order_by": "price desc nulls last"},
        "last": {"last": "public.room", "on": {"hotel_id": "id"}, "value": "id"},
        "first": {**ROOMS, "first": "public.room", "order_by": "kind desc", "fields": ["id"]},
    }
    del embed["first"]["many"]
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        for key, price in ((1, "3"), (2, None), (3, "1"), (4, "2.5")):
            store.insert("room", id=key, hotel_id=1, price=price, kind=f"k{key}")
        (found,) = store.commit().values()
        assert found == {
            "id": 1,
            "cheapest": [3, 4],
            "dearest": [1, 4, 3, 2],
            "last": 4,
            "first": {"id": 4},
        }


def test_distinct_takes_equal_values_once(tmp_path: Path) -> None:
    """Those that PostgreSQL calls equal; the first stays as it is written."""
    prices = {**IDS, "value": "price", "distinct": True}
    with joined(tmp_path, hotels={"embed": {"prices": prices, "tags": TAGS}}) as store:
        store.insert("hotel", id=1)
        for key, price in ((1, "1.0"), (2, "1.00"), (3, None), (4, None)):
            store.insert("room", id=key, hotel_id=1, price=price)
        (found,) = store.commit().values()
        assert found == {"id": 1, "prices": [1.0, None], "tags": []}


def test_a_document_that_is_too_large_is_rejected(tmp_path: Path) -> None:
    """With the row of the root, for its dead letter."""
    mapping = {"embed": {"rooms": ROOMS}, "max_document_bytes": 1000}
    with joined(tmp_path, hotels=mapping) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=1, hotel_id=1, kind="k" * 1000)
        (found,) = store.commit().values()
        rejected = read_rejection(found.encode())
        assert (rejected.reason, rejected.row["id"]) == ("document_too_large", b"1")
        store.update("room", 1, kind="k")
        assert store.commit() == {"1": {"id": 1, "rooms": [{"id": 1, "kind": "k"}]}}


def test_a_value_that_cannot_be_read_rejects_the_documents_that_show_it(tmp_path: Path) -> None:
    """And no others."""
    names = {"hotels": {"embed": {"chain": CHAIN}}, "ids": {"embed": {"rooms": ROOMS}}}
    with joined(tmp_path, **names) as store:
        store.insert("hotel", id=1, chain_id=3)
        store.commit()
        (chain,) = (one for one in store.store.tables if one.name == "chain")
        bad = Unreadable("not_utf8", "no text", b"\\xff")
        staged = Staged(store.store.tables, tmp_path, 10**6)
        row = [b"3" if column.name == "id" else bad for column in chain.columns]
        staged.put(Change(chain, ChangeKind.INSERT, list(row), has_unchanged=True))
        pending = store.projections.apply([(staged, Position(9))])
        assert [one.projection for one in pending] == ["hotels"]
        (found,) = store.projections.assemble(pending).documents
        assert read_rejection(found.body or b"").reason == "not_utf8"


def test_a_document_that_lacks_a_value_waits(tmp_path: Path) -> None:
    """It is pending until the value is known."""
    with joined(tmp_path, hotels={"fields": ["id", "name"], "embed": {"rooms": ROOMS}}) as store:
        (hotel,) = (one for one in store.store.tables if one.name == "hotel")
        staged = Staged(store.store.tables, tmp_path, 10**6)
        row = [b"1" if column.name == "id" else UNCHANGED for column in hotel.columns]
        staged.put(Change(hotel, ChangeKind.UPDATE, list(row), has_unchanged=True))
        pending = store.projections.apply([(staged, Position(9))])
        assert store.projections.assemble(pending) == (9, [], 1)
        assert store.projections.pending() == pending
        assert store.projections.every("hotels", b"", 10**6)[1:3] == ([], 1)


def test_a_value_that_nobody_can_read_rejects_the_documents_that_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of messages no row can be read: it would be waited for for ever, and in silence."""
    chain = replace(TABLES["public.chain"], has_rows=False)
    monkeypatch.setitem(TABLES, chain.qualified_name, chain)
    with joined(tmp_path, hotels={"embed": {"chain": CHAIN, "rooms": ROOMS}}) as store:
        store.insert("hotel", id=1, chain_id=3)
        store.insert("hotel", id=2)
        store.commit()
        (kept,) = (one for one in store.store.tables if one.name == "chain")
        row = [b"3" if column.name == "id" else UNCHANGED for column in kept.columns]
        staged = Staged(store.store.tables, tmp_path, 10**6)
        staged.put(Change(kept, ChangeKind.UPDATE, list(row), has_unchanged=True))
        pending = store.projections.apply([(staged, Position(9))])
        (found,) = store.projections.assemble(pending).documents
        rejected = read_rejection(found.body or b"")
        assert (rejected.reason, rejected.row["id"]) == ("value_left_out", b"1")
        assert "column name of public.chain" in rejected.explanation
        _, documents, *_ = store.projections.every("hotels", b"", 10**6)
        assert [(one.body or b"")[:1] for one in documents] == [b"!", b"{"]


def test_documents_are_pending_until_the_sink_has_them(tmp_path: Path) -> None:
    """Also after a restart; then they are assembled as the state is by then."""
    some = plans(hotels={"embed": {"rooms": ROOMS}})
    with joined(tmp_path, hotels={"embed": {"rooms": ROOMS}}) as store:
        store.insert("hotel", id=1)
        store.insert("hotel", id=2)
        store.commit()
        store.delete("hotel", 2)
        store.commit()
        written = [Written("hotels", address, Position(1)) for address in (b'"1"', b'"2"')]
        store.projections.reach(Position(1), written)
    with found_store(tmp_path / "state") as found:
        found.fit(wanted(some))
        projections = JoinedProjections(some, found)
        pending = projections.pending()
        assert [one.address for one in pending] == [b'"2"']
        position, (document,), _ = projections.assemble(pending)
        assert (position, document.body) == (2, None)
        projections.reach(position, [Written("hotels", b'"2"', position)])
        assert projections.pending() == []


def test_what_was_applied_before_touches_nothing(tmp_path: Path) -> None:
    """A source that begins again tells of transactions that the state has."""
    some = plans(hotels={"embed": {"rooms": ROOMS}})
    with new_store(tmp_path / "state") as store:
        fit_empty(store, wanted(some))
        projections = JoinedProjections(some, store)
        (hotel,) = (one for one in store.tables if one.name == "hotel")
        staged = Staged(store.tables, tmp_path, 10**6)
        staged.put(Change(hotel, ChangeKind.INSERT, [b"1" for _ in hotel.columns]))
        assert len(projections.apply([(staged, Position(5))])) == 1
        assert projections.apply([(staged, Position(5))]) == []


def test_a_document_outlives_the_delete_where_it_was_routed_before(tmp_path: Path) -> None:
    """Both may be in one shard: the delete has a lower version, also where it comes again later."""
    with joined(tmp_path, tags={"from": "public.tag", "routing": "shelf"}) as store:
        store.insert("tag", id=5, shelf=1)
        store.commit()
        store.written()
        store.update("tag", 5, shelf=2)
        store.commit()
        store.insert("tag", id=6, shelf=1)
        store.commit()
        found = store.projections.assemble(store.projections.pending()).documents
        assert {one.address: (one.version, one.body is None) for one in found} == {
            b'"5""1"': (1, True),
            b'"5""2"': (3, False),
            b'"6""1"': (3, False),
        }
