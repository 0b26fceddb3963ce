"""The thread that looks at the catalog: what it finds ends it, what it can't read doesn't."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from cdc_daemon import schemawatch
from cdc_daemon.errors import RetryError, SchemaChangedError
from cdc_daemon.events import NOWHERE, Checkpoint, ColumnShape, Shape
from cdc_daemon.schemawatch import SchemaWatch
from tests.generators.by_hand import table
from tests.generators.conditions import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence

    from cdc_daemon.events import Relation

ITEM = table("id", name="item")
SHAPE = Shape("1", "key", {"id": ColumnShape(1, "int", "70")}, "1")
LOCKED = "locked"
"""A membership that can't be read."""


class Catalog:
    """A `ShapeReader` of what is set, or that fails."""

    def __init__(self) -> None:
        self.shape: Shape | Exception = SHAPE
        self.away = 0
        """For so many looks there is no table."""
        self.looks = 0
        self.look_seconds = 0.0
        self.member = "1/1/1"

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:
        """The one table."""
        assert list(tables) == ["public.item"]
        self.looks += 1
        time.sleep(self.look_seconds)
        if isinstance(self.shape, Exception):
            raise self.shape
        if self.away:
            self.away -= 1
            return {}
        return {"public.item": self.shape}

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Of the one table, while it is there."""
        if self.member == LOCKED:
            raise RetryError("canceling statement due to statement timeout")
        return {} if self.away else {one.qualified_name: self.member for one in relations}

    def close(self) -> None:
        """Nothing to release."""


@pytest.fixture
def catalog() -> Catalog:
    """As it was."""
    return Catalog()


class Heard:
    """What the watch has said."""

    def __init__(self) -> None:
        self.found: list[BaseException] = []
        self.adopted: list[object] = []


@pytest.fixture
def heard(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """A watch runs."""
    monkeypatch.setattr(schemawatch, "LOOK_SECONDS", 0.005)
    said = Heard()
    before = Checkpoint(
        *("pipe", NOWHERE, "s/1"),
        shapes={"public.item": SHAPE},
        memberships={"public.item": catalog.member},
    )
    watch = SchemaWatch(catalog, [ITEM], before, said.found.append, said.adopted.append)
    watch.start()
    yield said
    watch.stop()
    watch.join(5)
    assert not watch.is_alive()


def test_a_change_is_noticed_where_memberships_can_not_be_read(
    catalog: Catalog, heard: Heard
) -> None:
    """As while somebody has locked the publication: its table may change meanwhile."""
    catalog.member = LOCKED
    looks = catalog.looks
    assert wait_until(lambda: catalog.looks > looks + 2)
    assert not heard.found
    catalog.shape = replace(SHAPE, table="2")
    assert wait_until(lambda: bool(heard.found))
    assert isinstance(heard.found[0], SchemaChangedError)


def test_a_change_ends_it(catalog: Catalog, heard: Heard) -> None:
    """It is said once, with the table and what it is."""
    assert wait_until(lambda: catalog.looks > 2)
    assert not heard.found
    catalog.shape = replace(SHAPE, table="2")
    assert wait_until(lambda: bool(heard.found))
    (change,) = heard.found
    assert isinstance(change, SchemaChangedError)
    assert (change.table, change.in_catalog) == ("public.item", True)


def test_a_table_that_leaves_the_stream_ends_it(catalog: Catalog, heard: Heard) -> None:
    """Also where it has been put back before anybody looks: what was between is missing."""
    assert wait_until(lambda: catalog.looks > 2)
    assert not heard.found
    catalog.member = "1/2/1"
    assert wait_until(lambda: bool(heard.found))
    (change,) = heard.found
    assert isinstance(change, SchemaChangedError)
    assert (change.table, change.in_catalog) == ("public.item", True)
    assert "taken out of what the source streams" in change.why


def test_what_takes_long_is_done_less_often(catalog: Catalog, heard: Heard) -> None:
    """A catalog of thousands of partitions isn't read all the time."""
    catalog.look_seconds = 0.05
    assert wait_until(lambda: catalog.looks > 0)
    looks = catalog.looks
    time.sleep(0.8)
    assert catalog.looks <= looks + 1
    assert heard.found == []


def test_what_waits_hides_changes_for_seconds_at_most() -> None:
    """A look that waited for a lock, or for a processor, is followed by no pause of minutes."""
    assert schemawatch.pause_after(0.01) == schemawatch.LOOK_SECONDS
    assert schemawatch.pause_after(0.2) == pytest.approx(4)
    assert schemawatch.pause_after(5) == schemawatch.LONGEST_PAUSE_SECONDS


def test_a_source_that_is_away_is_no_change(catalog: Catalog, heard: Heard) -> None:
    """It looks again."""
    catalog.shape = RetryError("away")
    looks = catalog.looks
    assert wait_until(lambda: catalog.looks > looks + 2)
    catalog.shape = SHAPE
    assert wait_until(lambda: catalog.looks > looks + 5)
    assert heard.found == heard.adopted == []


def test_that_changes_go_unseen_is_said_once(
    catalog: Catalog, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once: a source is away for a moment now and then. And again when it happens again."""
    with capture_logs() as said:
        catalog.shape = RetryError("canceling statement due to statement timeout")
        looks = catalog.looks
        assert wait_until(lambda: catalog.looks > looks + 5)
        assert warnings(said) == []
        monkeypatch.setattr(schemawatch, "SILENT_SECONDS", 0.0)
        looks = catalog.looks
        assert wait_until(lambda: catalog.looks > looks + 5)
        (first,) = warnings(said)
        assert first["looks"] >= schemawatch.SILENT_LOOKS
        assert "statement timeout" in first["error"]
        catalog.shape = SHAPE
        assert wait_until(lambda: any(one["event"] == "schema_seen_again" for one in said))
        catalog.shape = RetryError("away")
        assert wait_until(lambda: len(warnings(said)) == 2)
        assert warnings(said)[1]["looks"] == schemawatch.SILENT_LOOKS
    assert heard.found == heard.adopted == []


def warnings(said: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """What a person is told."""
    return [one for one in said if one["event"] == "schema_unseen"]


def test_a_table_that_is_made_anew_may_be_away_for_a_moment(catalog: Catalog, heard: Heard) -> None:
    """Dropped and created in two transactions; what is away for longer is gone."""
    catalog.away = 1
    looks = catalog.looks
    assert wait_until(lambda: catalog.looks > looks + 3)
    assert not heard.found
    catalog.away = 2
    assert wait_until(lambda: bool(heard.found))
    assert "it is gone" in str(heard.found[0])


def test_what_alters_nothing_is_adopted(catalog: Catalog, heard: Heard) -> None:
    """So that with something else, months later, it isn't taken for a rewritten column."""
    catalog.shape = vacuumed = replace(SHAPE, file="2")
    assert wait_until(lambda: bool(heard.adopted))
    assert heard.adopted == [{"public.item": vacuumed}]
    catalog.shape = replace(vacuumed, columns={"id": ColumnShape(1, "int", "99")})
    assert wait_until(lambda: len(heard.adopted) == 2)
    assert heard.found == []


def test_a_mistake_of_ours_ends_the_daemon(catalog: Catalog, heard: Heard) -> None:
    """Whatever else is raised is said as well."""
    catalog.shape = ValueError("a bug")
    assert wait_until(lambda: bool(heard.found))
    assert str(heard.found[0]) == "a bug"
