"""The oracle: it finds what is missed, by kind, accuses nobody else, and can be made to fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.compare.journal import Change, contradiction, final_revisions
from cdc_daemon.compare.judging import (
    DELETES,
    INVENTED,
    KINDS,
    ROWS,
    STALE,
    STATES,
    Missed,
    judge,
)

NOTHING = dict.fromkeys((DELETES, ROWS, STALE, INVENTED), 0)
KEYS = st.integers(1, 8)
DELETED = None


@st.composite
def journals(draw: st.DrawFn) -> list[Change]:
    """Rows that are made, changed and deleted, each row's revisions in their order."""
    journal: list[Change] = []
    for moment, key in enumerate(draw(st.lists(KEYS, max_size=40))):
        before = final_revisions(journal).get(key)
        revision = DELETED if before and draw(st.booleans()) else (before or 0) + 1
        journal.append(Change(key, revision, float(moment)))
    return journal


def rows_of(journal: list[Change]) -> dict[int, int]:
    """What the source holds after it."""
    return {key: revision for key, revision in final_revisions(journal).items() if revision}


@given(journals())
def test_a_read_model_that_equals_the_source_has_missed_nothing(journal: list[Change]) -> None:
    """Whatever happened before: what counts is what is there."""
    rows = rows_of(journal)
    assert judge(journal, rows, dict(rows)) == Missed(len(rows), NOTHING)
    assert contradiction(journal, rows) is None


@given(journals(), st.data())
def test_a_read_model_that_stopped_earlier_misses_all_since(
    journal: list[Change], data: st.DataObject
) -> None:
    """Each row that differs is missed once, and as what it is."""
    seen = journal[: data.draw(st.integers(0, len(journal)))]
    rows, found = rows_of(journal), rows_of(seen)
    counts = judge(journal, rows, found).counts
    assert counts[DELETES] == len(found.keys() - rows.keys())
    assert counts[ROWS] == len(rows.keys() - found.keys())
    different = [key for key in rows.keys() & found.keys() if rows[key] != found[key]]
    # A row that was deleted and made again begins with revision 1: what was found may be newer.
    assert counts[STALE] + counts[INVENTED] == len(different)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({1: 2, 2: 1}, DELETES),
        ({}, ROWS),
        ({1: 1}, STALE),
        ({1: 3}, INVENTED),
        ({1: 2, 9: 1}, INVENTED),
    ],
    ids=["deleted", "missing", "older", "newer", "rolled back"],
)
def test_each_kind_is_told_from_the_others(found: dict[int, int], kind: str) -> None:
    """One row that is wrong counts once, for what is wrong with it."""
    journal = [Change(1, 1, 0.0), Change(2, 1, 1.0), Change(1, 2, 2.0), Change(2, DELETED, 3.0)]
    assert judge(journal, {1: 2}, found).counts == {**NOTHING, kind: 1}


def test_changes_that_never_came_are_counted_at_least() -> None:
    """Fewer were read than committed; where more were read some were read twice: none is missed."""
    missed = Missed(0, NOTHING)
    assert missed.with_states(10, 7).counts[STATES] == 3
    assert missed.with_states(10, 12).counts[STATES] == 0
    assert STATES not in missed.with_states(10, None).counts


def test_what_was_missed_before_isn_t_lost_again() -> None:
    """What is lost while a daemon is away is what is missed more than before."""
    before = Missed(5, {**NOTHING, DELETES: 2, STATES: 9})
    after = Missed(9, {**NOTHING, DELETES: 5, ROWS: 1})
    assert after.since(before).counts == {**NOTHING, DELETES: 3, ROWS: 1}
    assert after.since(None) == after


def test_what_is_not_admitted_is_a_fault() -> None:
    """In words for each kind."""
    missed = Missed(9, dict.fromkeys(KINDS, 1_000))
    assert len(missed.beyond(())) == len(KINDS)
    assert missed.beyond({*KINDS} - {DELETES}) == ["1,000 deleted rows are still found"]
    assert Missed(9, NOTHING).beyond(()) == []


@pytest.mark.parametrize("rows", [{}, {1: 1}, {1: 2, 2: 1}], ids=["none", "older", "not deleted"])
def test_a_journal_that_the_source_contradicts_counts_nothing(rows: dict[int, int]) -> None:
    """An oracle that is wrong says so, and accuses nobody."""
    journal = [Change(1, 1, 0.0), Change(1, 2, 1.0), Change(2, 1, 2.0), Change(2, DELETED, 3.0)]
    assert contradiction(journal, {1: 2}) is None
    assert "the journal has revision" in (contradiction(journal, rows) or "")
