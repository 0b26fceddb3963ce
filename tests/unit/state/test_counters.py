"""Counters of aggregates, and the pending set."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.events import UNCHANGED, Position
from cdc_daemon.state import counters
from cdc_daemon.state.counters import Counter, counted, counted_only
from cdc_daemon.values.special import special
from tests.generators.states import new_store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from cdc_daemon.state import Batch

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)


@given(st.lists(NUMBERS), st.lists(NUMBERS))
def test_sums_are_exact_whatever_comes_and_goes(stay: list[Decimal], go: list[Decimal]) -> None:
    """Any digits, any order: what has gone leaves no trace but zeros."""
    counter = Counter()
    for value in [*stay, *go]:
        counter = counter.plus(counted(format(value, "f").encode()))
    for value in go:
        counter = counter.plus(counted(format(value, "f").encode()).negated)
    exact = sum((Fraction(value) for value in stay), Fraction(0))
    assert counter.rows == counter.values == len(stay)
    assert counter.total is None if not stay else Fraction(counter.total or 0) == exact


def test_null_counts_as_a_row_only() -> None:
    """The sum of nothing but NULL is unknown."""
    counter = counted(b"null")
    assert (counter.rows, counter.values, counter.total) == (1, 0, None)


def test_values_of_any_type_are_counted() -> None:
    """Texts, floats and NaN are values, NULL is none."""
    values = (b'"a"', b"1e+20", special(b"null", b'"NaN"'), b"null")
    assert [counted_only(value).values for value in values] == [1, 1, 1, 0]


def test_a_sum_with_a_nan_is_asked_of_the_rows() -> None:
    """Until it has gone: then the sum is that of the others."""
    nan = counted(special(b"null", b'"NaN"'))
    counter = counted(b"1.5").plus(nan)
    assert (counter.values, counter.total) == (2, None)
    assert counter.plus(nan.negated).total == Decimal("1.5")
    assert counted(UNCHANGED).total is None


def test_a_counter_of_no_rows_is_no_counter(tmp_path: Path) -> None:
    """Moves of one batch are summed up, seen at once, and leave nothing behind at zero."""
    with new_store(tmp_path) as store:
        one = counted(b"2")
        store.write(lambda batch: batch.counters.move(1, b"g", one))
        assert store.read(lambda batch: batch.counters.get(1, b"g")) == one

        def back_and_forth(batch: Batch) -> Counter:
            batch.counters.move(1, b"g", one)
            batch.counters.move(1, b"g", one.negated)
            batch.counters.move(1, b"g", one.negated)
            return batch.counters.get(1, b"g")

        assert store.write(back_and_forth).rows == 0
        assert store.read(lambda batch: batch.counters.get(1, b"g")) == Counter()


def test_a_document_is_pending_until_its_last_change_is_written(tmp_path: Path) -> None:
    """A write of an older state leaves it pending, from after that state on."""
    with new_store(tmp_path) as store:
        store.write(lambda batch: batch.pending.mark(1, b'"7"', b"k", Position(10)))
        store.write(lambda batch: batch.pending.mark(1, b'"7"', b"k", Position(20)))
        one = store.read(lambda batch: batch.pending.get(1, b'"7"'))
        assert one == (b'"7"', b"k", 10, 20)
        assert store.write(lambda batch: batch.pending.written(1, [b'"7"'], Position(10))) == 0
        one = store.read(lambda batch: batch.pending.get(1, b'"7"'))
        assert one == (b'"7"', b"k", 11, 20)
        assert store.write(lambda batch: batch.pending.written(1, [b'"7"'], Position(20))) == 1
        assert store.read(lambda batch: list(batch.pending.of(1))) == []


def test_long_ids_are_pending_each_by_itself(tmp_path: Path) -> None:
    """Two ids that begin alike, longer than a key of LMDB, of two projections."""
    ids = [b'"%b%b"' % (b"x" * 510, end) for end in (b"a", b"b")]
    with new_store(tmp_path) as store:

        def mark_all(batch: Batch) -> None:
            for projection in (1, 2):
                for one in ids:
                    batch.pending.mark(projection, one, b"k", Position(1))

        store.write(mark_all)
        found = store.read(lambda batch: [one.id for one in batch.pending.of(2)])
        assert sorted(found) == ids


def test_moves_of_very_many_counters_are_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a transaction that changes millions of rows: they are written meanwhile, and go on."""
    monkeypatch.setattr(counters, "MOST_MOVES", 10)
    groups = [b"%d" % number for number in range(25)]

    def move(batch: Batch) -> None:
        for by in (counted(b"2"), counted(b"3"), counted(b"3").negated):
            for group in groups:
                batch.counters.move(1, group, by)
                assert batch.counters.held < 10
        assert {batch.counters.get(1, group) for group in groups} == {counted(b"2")}

    with new_store(tmp_path) as store:
        store.write(move)
        found = store.read(lambda batch: {batch.counters.get(1, group) for group in groups})
        assert found == {counted(b"2")}
