"""Which documents a change touches: those that show the row, before or after it, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdc_daemon.assembly import Bounds
from tests.generators.joined_store import CHAIN, ROOMS, TAGS, THROUGH, joined

if TYPE_CHECKING:
    from pathlib import Path


def test_a_child_that_comes_changes_and_goes_touches_its_parent(tmp_path: Path) -> None:
    """And no other parent."""
    with joined(tmp_path, hotels={"embed": {"rooms": ROOMS}}) as store:
        store.insert("hotel", id=1)
        store.insert("hotel", id=2)
        store.commit()
        store.insert("room", id=7, kind="suite", hotel_id=1)
        assert store.commit() == {"1": {"id": 1, "rooms": [{"id": 7, "kind": "suite"}]}}
        store.update("room", 7, kind="single")
        assert store.commit() == {"1": {"id": 1, "rooms": [{"id": 7, "kind": "single"}]}}
        store.update("room", 7, id=8)
        assert store.commit() == {"1": {"id": 1, "rooms": [{"id": 8, "kind": "single"}]}}
        store.delete("room", 8)
        assert store.commit() == {"1": {"id": 1, "rooms": []}}


def test_a_child_that_moves_touches_both_parents(tmp_path: Path) -> None:
    """The one that it leaves, too."""
    values = {"many": "public.room", "on": {"hotel_id": "id"}, "value": "id"}
    with joined(tmp_path, hotels={"embed": {"rooms": values}}) as store:
        store.insert("hotel", id=1)
        store.insert("hotel", id=2)
        store.insert("room", id=7, hotel_id=1)
        store.commit()
        store.update("room", 7, hotel_id=2)
        assert store.commit() == {"1": {"id": 1, "rooms": []}, "2": {"id": 2, "rooms": [7]}}
        store.update("room", 7, hotel_id=None)
        assert store.commit() == {"2": {"id": 2, "rooms": []}}


def test_a_child_may_come_before_its_parent(tmp_path: Path) -> None:
    """In a transaction of its own, in which there is no document yet."""
    with joined(tmp_path, hotels={"embed": {"rooms": ROOMS}}) as store:
        store.insert("room", id=7, kind="suite", hotel_id=1)
        assert store.commit() == {}
        store.insert("hotel", id=1)
        assert store.commit() == {"1": {"id": 1, "rooms": [{"id": 7, "kind": "suite"}]}}


def test_columns_that_a_projection_does_not_read_touch_nothing_of_it(tmp_path: Path) -> None:
    """Though another one reads them."""
    prices = {**ROOMS, "fields": ["price"]}
    mappings = {"hotels": {"embed": {"rooms": ROOMS}}, "prices": {"embed": {"rooms": prices}}}
    with joined(tmp_path, **mappings) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=7, kind="suite", hotel_id=1, price="1.50")
        store.commit()
        store.update("room", 7, price="2.00")
        assert store.commit() == {"1": {"id": 1, "rooms": [{"price": 2.0}]}}


def test_junctions_and_what_lies_behind_them_touch_every_root(tmp_path: Path) -> None:
    """A link that comes or goes one, a tag that is renamed all that show it."""
    with joined(tmp_path, hotels={"embed": {"tags": TAGS}}) as store:
        for number in (1, 2, 3):
            store.insert("hotel", id=number)
        store.insert("tag", id=5, name="pool")
        store.insert("hotel_tag", hotel_id=1, tag_id=5)
        store.commit()
        store.insert("hotel_tag", hotel_id=2, tag_id=5)
        assert store.commit() == {"2": {"id": 2, "tags": ["pool"]}}
        store.update("tag", 5, name="spa")
        assert store.commit() == {"1": {"id": 1, "tags": ["spa"]}, "2": {"id": 2, "tags": ["spa"]}}
        store.delete("hotel_tag", (1, 5))
        assert store.commit() == {"1": {"id": 1, "tags": []}}


def test_a_row_at_any_depth_of_a_table_that_refers_to_itself(tmp_path: Path) -> None:
    """Touches its ancestors as far as they show it, also those that it leaves."""
    children = {"many": "public.chain", "on": {"parent_id": "id"}, "fields": ["id"], "depth": 2}
    with joined(tmp_path, chains={"from": "public.chain", "embed": {"below": children}}) as store:
        for number, parent in ((1, None), (2, 1), (3, 2), (4, 3), (9, None)):
            store.insert("chain", id=number, parent_id=parent)
        store.commit()
        store.update("chain", 4, parent_id=9)
        assert store.commit() == {
            "2": {"id": 2, "below": [{"id": 3, "below": []}]},
            "3": {"id": 3, "below": []},
            "9": {"id": 9, "below": [{"id": 4, "below": []}]},
        }


def test_a_row_that_where_no_longer_includes_has_no_document(tmp_path: Path) -> None:
    """And none is deleted for a row that never had one."""
    mapping = {"where": "name = 'open'", "embed": {"rooms": ROOMS}}
    with joined(tmp_path, hotels=mapping) as store:
        store.insert("hotel", id=1, name="open")
        store.insert("hotel", id=2, name="shut")
        store.insert("room", id=7, hotel_id=2)
        assert store.commit() == {"1": {"id": 1, "rooms": []}}
        store.update("hotel", 2, name="closed")
        store.update("hotel", 1, name="shut")
        assert store.commit() == {"1": None}
        store.update("hotel", 2, name="open")
        assert store.commit() == {"2": {"id": 2, "rooms": [{"id": 7, "kind": None}]}}


def test_where_may_read_what_another_row_lends(tmp_path: Path) -> None:
    """The row that lends comes, changes and goes: each time the documents are others."""
    mapping = {"where": "chain.name is null", "embed": {"chain": CHAIN}}
    with joined(tmp_path, hotels=mapping) as store:
        store.insert("hotel", id=1, chain_id=3)
        assert store.commit() == {"1": {"id": 1, "chain": None}}
        store.insert("chain", id=3, name="Royal")
        assert store.commit() == {"1": None}
        store.update("chain", 3, name=None)
        assert store.commit() == {"1": {"id": 1, "chain": {"name": None}}}
        store.delete("chain", 3)
        assert store.commit() == {"1": {"id": 1, "chain": None}}


def test_many_changes_of_one_transaction_give_a_document_once(tmp_path: Path) -> None:
    """As it is at the end of it."""
    with joined(tmp_path, hotels={"embed": {"rooms": ROOMS, "tags": TAGS}}) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=7, kind="a", hotel_id=1)
        store.update("room", 7, kind="b")
        store.insert("tag", id=5, name="pool")
        store.insert("hotel_tag", hotel_id=1, tag_id=5)
        assert store.commit() == {
            "1": {"id": 1, "rooms": [{"id": 7, "kind": "b"}], "tags": ["pool"]}
        }


def test_truncate_touches_every_parent(tmp_path: Path) -> None:
    """What comes after it in the same transaction stays."""
    with joined(tmp_path, hotels={"embed": {"rooms": ROOMS}}) as store:
        for number in (1, 2, 3):
            store.insert("hotel", id=number)
        store.insert("room", id=7, hotel_id=1)
        store.insert("room", id=8, hotel_id=2)
        store.commit()
        store.truncate("room")
        store.insert("room", id=9, hotel_id=2, kind="new")
        assert store.commit() == {
            "1": {"id": 1, "rooms": []},
            "2": {"id": 2, "rooms": [{"id": 9, "kind": "new"}]},
        }


def test_ids_and_shards_that_rows_leave_are_deleted(tmp_path: Path) -> None:
    """Also where two rows exchange them within one transaction."""
    mapping = {"id": ["id", "name"], "routing": "id", "embed": {"rooms": ROOMS}}
    with joined(tmp_path, hotels=mapping) as store:
        store.insert("hotel", id=1, name="a")
        store.insert("hotel", id=2, name="b")
        assert set(store.commit()) == {"1|a 1", "2|b 2"}
        store.update("hotel", 1, name="z")
        assert store.commit() == {"1|a 1": None, "1|z 1": {"id": 1, "rooms": []}}
        store.update("hotel", 1, id=3)
        store.update("hotel", 2, id=1)
        store.update("hotel", 3, id=2)
        assert store.commit() == {
            "1|z 1": None,
            "2|b 2": None,
            "1|b 1": {"id": 1, "rooms": []},
            "2|z 2": {"id": 2, "rooms": []},
        }


def test_what_a_count_reads_of_other_rows_touches_its_documents(tmp_path: Path) -> None:
    """A row that lends to `where` of an aggregate."""
    lender = {"one": "public.hotel", "on": {"id": "hotel_id"}}
    count = {
        "count": "public.room",
        "on": {"kind": "name"},
        "where": "hotel.name = 'open'",
        "embed": {"hotel": lender},
    }
    tags = {"count": "public.tag", **THROUGH}
    mapping = {"from": "public.tag", "embed": {"rooms": count}}
    with joined(tmp_path, tags=mapping, hotels={"embed": {"tags": tags}}) as store:
        store.insert("tag", id=5, name="suite")
        store.insert("room", id=7, kind="suite", hotel_id=1)
        assert store.commit() == {"5": {"id": 5, "rooms": 0}}
        store.insert("hotel", id=1, name="open")
        assert store.commit() == {"5": {"id": 5, "rooms": 1}, "1": {"id": 1, "tags": 0}}
        store.update("hotel", 1, name="shut")
        assert store.commit() == {"5": {"id": 5, "rooms": 0}}


def test_a_row_that_refers_to_another_one_shows_that(tmp_path: Path) -> None:
    """Another chain, or none."""
    with joined(tmp_path, hotels={"embed": {"chain": CHAIN}}) as store:
        store.insert("hotel", id=1, chain_id=3)
        store.insert("chain", id=3, name="Royal")
        store.insert("chain", id=4, name="Modest")
        store.commit()
        store.update("hotel", 1, chain_id=4)
        assert store.commit() == {"1": {"id": 1, "chain": {"name": "Modest"}}}
        store.update("hotel", 1, chain_id=None)
        assert store.commit() == {"1": {"id": 1, "chain": None}}


def test_numbers_of_different_types_are_equal_by_their_value(tmp_path: Path) -> None:
    """A numeric 1.0 refers to the integer 1, and 1.5 to nothing."""
    rooms = {**ROOMS, "on": {"price": "id"}, "fields": ["id"]}
    hotel = {"one": "public.hotel", "on": {"id": "price"}, "fields": ["id"]}
    mappings: dict[str, Any] = {
        "hotels": {"embed": {"rooms": rooms}},
        "rooms": {"from": "public.room", "id": "r{id}", "embed": {"hotel": hotel}},
    }
    with joined(tmp_path, **mappings) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=7, price="1.0")
        store.insert("room", id=8, price="1.5")
        assert store.commit() == {
            "1": {"id": 1, "rooms": [{"id": 7}]},
            "r7": {"id": 7, "hotel": {"id": 1}},
            "r8": {"id": 8, "hotel": None},
        }
        store.update("room", 7, price="2")
        assert store.commit() == {
            "1": {"id": 1, "rooms": []},
            "r7": {"id": 7, "hotel": None},
        }


def test_a_way_may_lead_over_the_changed_row_itself(tmp_path: Path) -> None:
    """A row that is its own parent, and grandparent."""
    children = {"many": "public.chain", "on": {"parent_id": "id"}, "fields": ["id"], "depth": 2}
    through = {"table": "public.chain", "on": {"parent_id": "id"}, "to": {"parent_id": "id"}}
    grand = {"count": "public.chain", "through": through}
    mapping = {"from": "public.chain", "embed": {"below": children, "grand": grand}}
    with joined(tmp_path, chains=mapping) as store:
        store.insert("chain", id=1, parent_id=1)
        assert store.commit() == {
            "1": {"id": 1, "below": [{"id": 1, "below": [{"id": 1}]}], "grand": 1}
        }
        store.update("chain", 1, parent_id=None)
        assert store.commit() == {"1": {"id": 1, "below": [], "grand": 0}}


def test_more_than_is_remembered_is_pending_all_the_same(tmp_path: Path) -> None:
    """Also of rows that exchange their keys."""
    with joined(tmp_path, Bounds(held=1), hotels={"embed": {"chain": CHAIN}}) as store:
        for number in (1, 2, 3):
            store.insert("hotel", id=number)
        store.commit()
        assert store.projections.has_more
        one, two, three = ({"id": number, "chain": None} for number in (1, 2, 3))
        assert store.pending() == {"1": one, "2": two, "3": three}
        store.written()
        store.update("hotel", 3, id=4)
        store.update("hotel", 2, id=3, chain_id=5)
        store.commit()
        assert store.pending() == {"2": None, "3": three, "4": {"id": 4, "chain": None}}


def test_wide_changes_are_remembered_no_longer_than_documents(tmp_path: Path) -> None:
    """Each of a million lookup rows may be shown in two documents: ways to them are noted, too."""
    hotels, chains = range(20), range(10)
    with joined(tmp_path, Bounds(change=1, held=4), hotels={"embed": {"chain": CHAIN}}) as store:
        for number in chains:
            store.insert("chain", id=number, name="old")
        for number in hotels:
            store.insert("hotel", id=number, chain_id=number // 2)
        store.commit()
        store.fan_out_all()
        store.written()
        for number in chains:
            store.update("chain", number, name="new")
        assert store.commit() == {}
        assert store.projections.has_more
        shown = {"name": "new"}
        assert store.fan_out_all() == {str(n): {"id": n, "chain": shown} for n in hotels}
