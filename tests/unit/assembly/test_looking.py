"""What people see of a state: who shows a row, and a document by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.assembly import BOUNDS, Look, wanted
from cdc_daemon.errors import StateError
from cdc_daemon.events import UNCHANGED, Change, ChangeKind
from cdc_daemon.projection.identity import compile_id
from cdc_daemon.projection.rejection import read_rejection
from cdc_daemon.state.offline import viewed
from cdc_daemon.values import split_id
from tests.generators.joined_store import CHAIN, TAGS, joined, plans
from tests.generators.states import apply

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.assembly import Document, Shown
    from tests.generators.joined_store import JoinedStore

MAPPINGS: dict[str, Any] = {
    "hotels": {"embed": {"chain": CHAIN, "tags": TAGS}, "where": "name is null"},
    "rooms": {"from": "public.room", "id": "r{id}", "routing": "id"},
    "links": {
        "from": "public.hotel_tag",
        "fields": ["tag_id"],
        "embed": {"hotel": {"one": "public.hotel", "on": {"id": "hotel_id"}, "fields": ["id"]}},
    },
}


def filled(store: JoinedStore) -> None:
    """Some hotels, of which one isn't shown."""
    store.insert("chain", id=3, name="Royal")
    for number, name in ((1, None), (2, None), (9, "hidden")):
        store.insert("hotel", id=number, chain_id=3, name=name)
        store.insert("hotel_tag", hotel_id=number, tag_id=5)
    store.insert("tag", id=5, name="pool")
    store.insert("room", id=7, hotel_id=1)
    store.commit()


def showing(folder: Path, table: str, key: str) -> list[Shown] | None:
    """What shows a row."""
    some = plans(**MAPPINGS)
    relation = next(one for one in wanted(some).relations if one.name == table)
    with viewed(folder / "state", wanted(some)) as view:
        return Look(some, view).showing(relation, key, compile_id(relation.primary_key, relation))


def document(folder: Path, projection: str, document_id: str) -> Document:
    """A document of it."""
    some = plans(**MAPPINGS)
    with viewed(folder / "state", wanted(some)) as view:
        return Look(some, view).document(projection, document_id)


def test_the_documents_that_show_a_row_by_each_way(tmp_path: Path) -> None:
    """Without those that `where` leaves out; of a row that nobody shows none."""
    with joined(tmp_path, **MAPPINGS) as store:
        filled(store)
    assert showing(tmp_path, "chain", "3") == [
        ("hotels", ("public.hotel (chain_id = id)",), 2, ("1", "2"))
    ]
    way = ("public.hotel_tag (tag_id = id)", "public.hotel (id = hotel_id)")
    assert showing(tmp_path, "tag", "5") == [("hotels", way, 2, ("1", "2"))]
    found = showing(tmp_path, "hotel", "9")
    assert found == [("links", ("public.hotel_tag (hotel_id = id)",), 1, ("9|5",))]
    assert showing(tmp_path, "hotel_tag", "9|5") == [("links", (), 1, ("9|5",))]
    assert showing(tmp_path, "hotel_tag", "9") is None
    assert showing(tmp_path, "chain", "4") is None


def test_ways_to_very_many_documents_are_wide(tmp_path: Path) -> None:
    """All are counted, a few named."""
    with joined(tmp_path, **MAPPINGS) as store:
        store.insert("chain", id=3, name="Royal")
        for number in range(BOUNDS.change + 1):
            store.insert("hotel", id=number, chain_id=3)
        store.commit()
    found = showing(tmp_path, "chain", "3")
    assert found is not None
    assert [(one.documents, len(one.ids), one.is_wide) for one in found] == [
        (BOUNDS.change + 1, 5, True)
    ]


def test_a_document_is_found_by_its_id_whatever_that_is_made_of(tmp_path: Path) -> None:
    """A key, several columns, a template; with its shard, and whether it is pending."""
    with joined(tmp_path, **MAPPINGS) as store:
        filled(store)
        store.written()
        store.update("hotel", 2, name="hidden")
        store.commit()
    found = document(tmp_path, "hotels", "1")
    assert found.body is not None
    shown = {"id": 1, "chain": {"name": "Royal"}, "tags": ["pool"]}
    assert (orjson.loads(found.body), found.routing, found.is_pending) == (shown, None, False)
    assert document(tmp_path, "hotels", "2") == (2, None, None, True)
    assert document(tmp_path, "hotels", "x") == (2, None, None, False)
    assert document(tmp_path, "rooms", "r7") == (2, b'{"id":7}', "7", False)
    assert document(tmp_path, "links", "1|5").body == b'{"tag_id":5,"hotel":{"id":1}}'


def test_a_document_that_waits_for_a_value_says_so(tmp_path: Path) -> None:
    """The source has left it out of an update, and nobody has read the row yet."""
    with joined(tmp_path, **MAPPINGS) as store:
        store.insert("hotel", id=1, chain_id=3)
        store.commit()
        (chain,) = (one for one in store.store.tables if one.name == "chain")
        partly = Change(chain, ChangeKind.UPDATE, [b"3", UNCHANGED], has_unchanged=True)
        apply(store.store, tmp_path, 9, partly)
    found = document(tmp_path, "hotels", "1")
    assert found.body is not None
    rejected = read_rejection(found.body)
    assert rejected.explanation == "column name: the source has left its value out"
    assert (rejected.table, rejected.row["id"]) == ("public.hotel", b"1")


def test_a_state_that_lacks_something_can_not_be_asked(tmp_path: Path) -> None:
    """Nor one that isn't there."""
    with pytest.raises(StateError, match="there is no state"):
        showing(tmp_path, "chain", "3")
    with joined(tmp_path, hotels={"embed": {"chain": CHAIN}}) as store:
        store.commit()
    with pytest.raises(StateError, match=r"not all that this .* asks the source in its place"):
        showing(tmp_path, "tag", "5")


@pytest.mark.parametrize(
    ("text", "parts"),
    [("42", ["42"]), ("a|b", ["a", "b"]), (r"x\|y|back\\|", ["x|y", "back\\", ""])],
)
def test_an_id_is_taken_apart_as_it_was_joined(text: str, parts: list[str]) -> None:
    """Bars and backslashes within a part are escaped."""
    assert split_id(text) == parts
