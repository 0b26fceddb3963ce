"""Positions that stand for all there is by now, and what goes with those that are given."""

from __future__ import annotations

from cdc_daemon.events import Position
from connectors.messages.journal import Journal
from connectors.messages.marks import ROOM, Marks
from connectors.messages.numbering import BEYOND, Numbering

NOW = 1_700_000_000.0


def test_what_is_there_comes_before_its_mark_and_what_comes_later_behind() -> None:
    """Whatever the clock says meanwhile; a mark is reached once every place is."""
    numbering = Numbering()
    marks: Marks[str] = Marks(numbering)
    begin = marks.next(NOW)
    mark = marks.set({"a": 3, "b": 2}, {"a": 1, "b": 2})
    first = marks.next(NOW + 60)
    assert begin < first < mark
    assert marks.passed({"a": 2, "b": 2}) is None
    assert marks.passed({"a": 3, "b": 2}) == mark
    assert marks.next(NOW) > mark


def test_where_nothing_waits_the_last_position_stands_for_all() -> None:
    """An idle source has been reached already."""
    numbering = Numbering()
    marks: Marks[str] = Marks(numbering)
    last = marks.next(NOW)
    assert marks.set({"a": 1}, {"a": 1}) == last


def test_marks_are_reached_in_their_order() -> None:
    """A later one stands for more; what is reached tells the last one that is."""
    marks: Marks[str] = Marks(Numbering())
    marks.next(NOW)
    first = marks.set({"a": 2}, {"a": 1})
    second = marks.set({"a": 3}, {"a": 1})
    assert first < second
    assert marks.passed({"a": 2}) == first
    assert marks.passed({"a": 9}) == second


def test_what_more_overtakes_than_there_is_room_for_ends_a_mark() -> None:
    """Positions go on growing; the mark counts as reached."""
    numbering = Numbering()
    marks: Marks[str] = Marks(numbering)
    marks.next(NOW)
    mark = marks.set({"a": 2}, {"a": 1})
    given = [marks.next(NOW) for _ in range(ROOM + 2)]
    assert given == sorted({*given})
    assert given[-1] > mark
    assert marks.passed({"a": 2}) is None


def test_what_is_not_ours_to_read_keeps_no_mark_waiting() -> None:
    """A partition that has gone to another member."""
    marks: Marks[str] = Marks(Numbering())
    marks.next(NOW)
    mark = marks.set({"a": 2, "b": 5}, {"a": 1, "b": 1})
    assert marks.passed({"a": 2}) == mark


def test_a_process_goes_on_beyond_the_one_before() -> None:
    """Also where the clock was set back since."""
    numbering = Numbering()
    before = Position(int(NOW * 1_000_000))
    numbering.go_beyond(before, NOW - 7200)
    assert numbering.last >= before + BEYOND
    assert numbering.next(NOW) == numbering.last


def test_a_journal_gives_out_what_is_durable_once() -> None:
    """The rest is what a new connection goes on behind; what came later is forgotten."""
    journal: Journal[str] = Journal()
    for number in range(1, 6):
        journal.add(Position(number), f"offset {number}")
    assert [what for _, what in journal.durable(Position(2))] == ["offset 1", "offset 2"]
    assert list(journal.up_to(Position(4))) == ["offset 3", "offset 4"]
    assert len(journal) == 2
    journal.forget()
    assert list(journal.durable(Position(9))) == []


def test_processes_that_store_no_checkpoint_give_no_position_twice() -> None:
    """Each is killed before it has stored any, and has written documents all the same."""
    checkpoint, highest = Numbering().next(NOW), Position(0)
    for process in range(4):
        numbering = Numbering()
        numbering.go_beyond(checkpoint, NOW + 1 + process)
        first = numbering.step()
        assert first > highest
        if process == 0:  # an hour ahead of the clock, as all that begin soon after a start
            checkpoint = first
        for _ in range(10_000):
            highest = numbering.step()
