"""What polls can't do is refused, and what they miss is said, with what mends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from cdc_daemon.errors import SettingError, SourceError
from cdc_daemon.ports import TableRequest

if TYPE_CHECKING:
    from tests.integration.polling.conftest import Poll, Polled

BY_COLUMN = {"column": "updated_at", "overlap": "1h"}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"by": {"column": "updated"}}, "no column updated; did you mean updated_at"),
        ({"by": {"column": "note"}}, "is a text, and can't say what is new"),
        ({"by": {"column": "deleted_at"}}, 'alter column "deleted_at" set not null'),
        ({"by": {"column": "number"}}, "say in `overlap`"),
    ],
)
def test_what_cannot_say_what_is_new_is_refused(poll: Poll, how: dict[str, Any], said: str) -> None:
    """With what would do instead."""
    with pytest.raises(SettingError, match=re.escape(said)):
        poll(**how)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"by": "comparison"}, []),
        ({"by": "xmin"}, ["rows that are deleted aren't noticed"]),
        ({"by": "xmin", "compare": "1d"}, []),
        ({"by": "xmin", "deleted": "deleted_at is not null"}, []),
        (
            {"by": BY_COLUMN},
            [
                "missed for good if it is committed more than 3600 seconds after its updated_at",
                "rows that are deleted aren't noticed",
            ],
        ),
        (
            {"by": BY_COLUMN, "compare": "1d"},
            ["a change is found only when all is compared (source.tables.public.item.compare)"],
        ),
        (
            {"by": {"column": "number", "overlap": 7}, "deleted": "deleted_at is not null"},
            ["more than 7 numbers after its number was set"],
        ),
    ],
)
def test_what_polls_miss_is_said(poll: Poll, how: dict[str, Any], said: list[str]) -> None:
    """At each start in the log, and by `check`; nothing where nothing is missed."""
    polled = poll(**how)
    with capture_logs() as logged:
        polled.source.prepare(polled.relations)
    missed = [line["why"] for line in logged if line["event"] == "polls_miss"]
    findings = polled.upstream.source().examine(polled.relations)
    warned = [each.message for each in findings if each.level == "warning"]
    assert [each for each in warned if "no index" not in each] == missed
    assert len(missed) == len(said), missed
    assert all(part in why for part, why in zip(said, missed, strict=True)), missed


def test_a_column_without_an_index_is_said(poll: Poll) -> None:
    """With the statement that makes one, after which nothing is said of it."""
    polled = poll(by={"column": "number", "overlap": 7}, compare="1d")
    [advice] = slow_polls(polled)
    assert "no index begins with column number" in advice
    polled.upstream.write(advice.partition("Run: ")[2])
    assert slow_polls(polled) == []


def slow_polls(polled: Polled) -> list[str]:
    """What `check` says of polls that search whole tables."""
    found = [each.message for each in polled.upstream.source().examine(polled.relations)]
    return [each for each in found if "every poll searches the whole table" in each]


def test_tables_that_nobody_maps_are_refused(poll: Poll) -> None:
    """They are mistyped more likely."""
    polled = poll()
    polled.upstream.write("create table items (id int primary key)")
    with pytest.raises(SettingError, match=r"no mapping reads a table public\.item; did you mean"):
        polled.source.prepare(polled.source.describe([TableRequest("public.items")]))


def test_what_cannot_be_polled_is_refused_with_what_mends_it(poll: Poll) -> None:
    """Without a primary key rows can't be told apart from one poll to the next."""
    polled = poll()
    polled.upstream.write("create table keyless (id int)")
    source = polled.source
    relations = source.describe([TableRequest("item"), TableRequest("keyless")])
    with pytest.raises(SourceError, match="no primary key"):
        source.prepare(relations)
