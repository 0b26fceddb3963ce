"""Aggregates that are kept: what comes and goes leaves exactly what PostgreSQL would say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.assembly import wanted
from cdc_daemon.state import applying
from cdc_daemon.state.schema import COUNTERS
from cdc_daemon.values.special import special
from tests.generators.joined_store import THROUGH, JoinedStore, joined, plans

if TYPE_CHECKING:
    from pathlib import Path

OF_ROOM: dict[str, Any] = {"on": {"hotel_id": "id"}, "value": "price"}


def only(store: JoinedStore) -> Any:
    """The one document that a commit gives out, without its id."""
    (document,) = store.commit().values()
    return document if isinstance(document, str) else list(document.values())[1:]


def test_sums_have_as_many_digits_as_their_longest_value(tmp_path: Path) -> None:
    """Also after that one has gone, as PostgreSQL writes them."""
    embed = {"sum": {"sum": "public.room", **OF_ROOM}, "avg": {"avg": "public.room", **OF_ROOM}}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        assert only(store) == [None, None]
        store.insert("room", id=1, hotel_id=1, price="1.500")
        store.insert("room", id=2, hotel_id=1, price="2")
        store.insert("room", id=3, hotel_id=1)
        store.commit()
        assert body(store) == b'{"id":1,"sum":3.500,"avg":1.7500000000000000}'
        store.delete("room", 1)
        store.commit()
        assert body(store) == b'{"id":1,"sum":2,"avg":2.0000000000000000}'


def body(store: JoinedStore) -> bytes | None:
    """The document that is pending, as it is sent."""
    (document,) = store.projections.assemble(store.projections.pending()).documents
    return document.body


def test_what_is_no_number_is_in_the_sum_until_it_goes(tmp_path: Path) -> None:
    """A sum with NaN is NaN, for which a field has null."""
    embed = {"sum": {"sum": "public.room", **OF_ROOM}, "count": {"count": "public.room", **OF_ROOM}}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=1, hotel_id=1, price="1")
        store.insert("room", id=2, hotel_id=1, price="2")
        assert only(store) == [3, 2]
        store.update("room", 2, price=special(b"null", b'"NaN"'))
        assert only(store) == [None, 2]
        store.update("room", 2, price="4")
        assert only(store) == [5, 2]


def test_null_and_nan_are_two_values_though_both_are_shown_as_null(tmp_path: Path) -> None:
    """Who counts notices that one becomes the other, and so does whoever finds rows by them."""
    rates = {"many": "public.hotel", "on": {"rate": "rate"}, "value": "id"}
    embed = {"counted": {"count": "public.room", **OF_ROOM}, "alike": rates}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=1, hotel_id=1)
        assert only(store) == [0, []]
        store.update("room", 1, price=special(b"null", b'"NaN"'))
        store.update("hotel", 1, rate=special(b"null", b'"NaN"'))
        assert only(store) == [1, [1]]
        store.update("hotel", 1, rate=special(b"null", b'"Infinity"'))
        assert only(store) == [1, [1]]
        store.update("room", 1, price=None)
        store.update("hotel", 1, rate=None)
        assert only(store) == [0, []]


def test_true_and_false_are_kept_as_well(tmp_path: Path) -> None:
    """Of nothing but NULL there is neither."""
    on = {"on": {"hotel_id": "id"}, "value": "free"}
    embed = {"all": {"bool_and": "public.room", **on}, "any": {"bool_or": "public.room", **on}}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=1, hotel_id=1)
        assert only(store) == [None, None]
        store.update("room", 1, free=True)
        assert only(store) == [True, True]
        store.insert("room", id=2, hotel_id=1, free=False)
        assert only(store) == [False, True]


def test_a_count_over_a_junction_counts_paths(tmp_path: Path) -> None:
    """Those over links that go, and those to tags that `where` no longer includes, are gone."""
    count = {"count": "public.tag", **THROUGH, "where": "name <> ''"}
    with joined(tmp_path, hotels={"embed": {"tags": count}}) as store:
        store.insert("hotel", id=1)
        store.insert("hotel", id=2)
        for number in (5, 6):
            store.insert("tag", id=number, name="pool")
            store.insert("hotel_tag", hotel_id=1, tag_id=number)
        store.commit()
        assert store.commit() == {}
        store.delete("hotel_tag", (1, 5))
        assert only(store) == [1]
        store.update("tag", 6, name="")
        assert only(store) == [0]
        store.insert("hotel_tag", hotel_id=2, tag_id=5)
        assert only(store) == [1]


def test_least_and_greatest_follow_the_values(tmp_path: Path) -> None:
    """Of equal ones that of the lowest key is shown."""
    embed = {"min": {"min": "public.room", **OF_ROOM}, "max": {"max": "public.room", **OF_ROOM}}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        for key, price in ((1, None), (2, "2.0"), (3, "2.00"), (4, "1")):
            store.insert("room", id=key, hotel_id=1, price=price)
        store.commit()
        assert body(store) == b'{"id":1,"min":1,"max":2.0}'
        store.delete("room", 4)
        store.delete("room", 2)
        store.commit()
        assert body(store) == b'{"id":1,"min":2.00,"max":2.00}'


def test_a_row_that_fails_rejects_the_document_until_it_is_mended(tmp_path: Path) -> None:
    """As the statement would fail in PostgreSQL."""
    value = {"expression": "1 / price"}
    embed = {"sum": {"sum": "public.room", "on": {"hotel_id": "id"}, "value": value}}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1)
        store.insert("room", id=1, hotel_id=1, price="0")
        assert "division by zero" in only(store)
        store.update("room", 1, price="2")
        assert only(store) == [0.5]


def test_nothing_is_left_of_rows_that_have_gone(tmp_path: Path) -> None:
    """No counter outlives its rows."""
    embed = {"sum": {"sum": "public.room", **OF_ROOM}, "tags": {"count": "public.tag", **THROUGH}}
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("room", id=1, hotel_id=1, price="1.50")
        store.insert("tag", id=5)
        store.insert("hotel_tag", hotel_id=1, tag_id=5)
        store.commit()
        assert counters(store) > 0
        store.truncate("room")
        store.truncate("tag")
        store.commit()
        assert counters(store) == 0


def counters(store: JoinedStore) -> int:
    """How many there are."""

    def count(batch: Any) -> int:
        tree = store.store._trees[COUNTERS]
        return int(batch.txn.stat(tree)["entries"])

    return store.store.read(count)


@pytest.mark.parametrize("kind", ["sum", "avg", "count", "min", "max"])
def test_what_is_kept_comes_out_as_what_is_counted_anew(tmp_path: Path, kind: str) -> None:
    """The same rows through a `where` that borrows, and through one that doesn't."""
    lender = {"hotel": {"one": "public.hotel", "on": {"id": "hotel_id"}}}
    plain = {kind: "public.room", **OF_ROOM, "where": "price > 0"}
    lent = {**plain, "where": "price > 0 and hotel.id = 1", "embed": lender}
    with joined(tmp_path, hotels={"embed": {"plain": plain, "lent": lent}}) as store:
        store.insert("hotel", id=1)
        for key in range(5):
            store.insert("room", id=key, hotel_id=1, price=f"{key}.{key}")
        plain_value, lent_value = only(store)
        assert plain_value == lent_value
        store.update("room", 3, price="0")
        plain_value, lent_value = only(store)
        assert plain_value == lent_value


def test_counters_are_shared_only_where_their_groups_are_of_one_type(tmp_path: Path) -> None:
    """By the same columns: an integer is found by integers, and as a number by numbers."""
    rooms = {"embed": {"rooms": {"count": "public.room", "on": {"hotel_id": "hotel_id"}}}}
    tags = {"from": "public.hotel_tag", "fields": ["tag_id"], **rooms}
    fees = {"from": "public.fee", "fields": ["hotel_id"], **rooms}
    with joined(tmp_path, tags=tags, fees=fees) as store:
        store.insert("hotel_tag", hotel_id=1, tag_id=2)
        store.insert("fee", id=3, hotel_id="1.0")
        store.insert("room", id=4, hotel_id=1)
        store.insert("room", id=5, hotel_id=1)
        assert [one["rooms"] for one in store.commit().values()] == [2, 2]


def test_counters_are_left_alone_by_another_read_model_of_their_table(tmp_path: Path) -> None:
    """It needs an index of its own, which they are not counted over; it shares the counters."""
    of_hotel = {"on": {"hotel_id": "id"}}
    rooms = {"many": "public.room", **of_hotel, "fields": ["id", "price"]}
    count = {"count": "public.room", **of_hotel}
    mapping = {"embed": {"count": count, "rooms": rooms}}
    cheapest = {"embed": {"count": count, "rooms": rooms | {"order_by": "price", "limit": 3}}}
    one, two = plans(one=mapping, two=cheapest)
    with joined(tmp_path, one=mapping) as store:
        fitting = store.store.fitting(wanted([one, two]))
        assert fitting.lacks(wanted([one])) == ""
        assert fitting.lacks(wanted([two])) == "an index of rows"


def test_others_are_heard_while_one_row_moves_very_many_counted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in one transaction, which may take long: what must be answered is meanwhile."""
    monkeypatch.setattr(applying, "BEAT_ROWS", 100)
    hotel = {"one": "public.hotel", "on": {"id": "hotel_id"}}
    embed = {
        "named": {
            "count": "public.room",
            "on": {"hotel_id": "id"},
            "where": "hotel.name <> ''",
            "embed": {"hotel": hotel},
        }
    }
    with joined(tmp_path, hotels={"embed": embed}) as store:
        store.insert("hotel", id=1, name="")
        for number in range(1_000):
            store.insert("room", id=number, hotel_id=1)
        assert only(store) == [0]
        heard: list[bool] = []
        store.projections.meanwhile = lambda: heard.append(True)
        store.update("hotel", 1, name="Grand")
        store.commit()
        # The key of each is found, then each, then taken away as it was, and added as it is.
        assert len(heard) >= 40
        assert store.fan_out_all() == {"1": {"id": 1, "named": 1_000}}


def test_others_are_heard_while_one_counted_row_moves_very_many_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reached by a junction, from very many rows."""
    monkeypatch.setattr(applying, "BEAT_ROWS", 100)
    count = {"count": "public.tag", **THROUGH, "where": "name <> ''"}
    with joined(tmp_path, hotels={"embed": {"tags": count}}) as store:
        store.insert("tag", id=5, name="")
        for number in range(1_000):
            store.insert("hotel_tag", hotel_id=number, tag_id=5)
        store.commit()
        heard: list[bool] = []
        store.projections.meanwhile = lambda: heard.append(True)
        store.update("tag", 5, name="pool")
        store.commit()
        # Each way is gone once to take away what was counted, and once to add what is.
        assert len(heard) >= 20
