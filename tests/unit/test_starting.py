"""A start, where a table changes while it is looked at."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config.loader import load
from cdc_daemon.errors import SchemaChangedError, SourceError
from cdc_daemon.events import ColumnShape, Shape
from cdc_daemon.metrics import Metrics
from cdc_daemon.starting import Start
from tests.generators.fakes import MemorySink, ScriptedSource, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cdc_daemon.events import Relation
    from cdc_daemon.ports import TableRequest

ITEM = table("id", name="item")
SHAPE = Shape("1", "key", {"id": ColumnShape(1, "int", "70")}, "1")
YAML = """
name: pipe
source: {type: postgres, dsn: "postgresql:///"}
sink: {type: opensearch, hosts: ["http://127.0.0.1:1"]}
projections: {items: {from: item, fields: "*"}}
"""


class Catalog:
    """A `ShapeReader` of one table."""

    def __init__(self) -> None:
        self.shape = SHAPE

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:
        """As it is now."""
        assert list(tables) == ["item"]
        return {"public.item": self.shape}

    def close(self) -> None:
        """Nothing to release."""


class Changing(ScriptedSource):
    """The table may become another one before the source has looked at all there is to it."""

    def __init__(self, *, changes: bool) -> None:
        super().__init__()
        self._changes = changes
        self._catalog = Catalog()

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """The one table."""
        assert [one.name for one in tables] == ["item"]
        return [ITEM]

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """What was described of it doesn't fit any more."""
        if self._changes:
            self._catalog.shape = replace(SHAPE, columns={})
        raise SourceError(f"{relations[0].qualified_name} has no column id")

    def shape_reader(self) -> Catalog:
        """Of the one table."""
        return self._catalog


def start(folder: Path, source: Changing) -> Start:
    """Of one projection."""
    (folder / "cdc-daemon.yaml").write_text(YAML)
    loaded = load(folder / "cdc-daemon.yaml", {})
    metrics = Metrics("pipe", 1)
    return Start(loaded, source, MemorySink(), metrics, threading.Event(), lambda: None)


def test_what_is_wrong_because_a_table_has_just_changed_is_tried_again(tmp_path: Path) -> None:
    """Two looks at it don't fit together: that is no reason to stop."""
    with pytest.raises(SchemaChangedError, match=r"public\.item has changed") as caught:
        start(tmp_path, Changing(changes=True)).begin()
    assert caught.value.in_catalog


def test_what_is_wrong_with_a_table_that_stays_as_it_is_stops(tmp_path: Path) -> None:
    """A person must act."""
    with pytest.raises(SourceError, match="has no column id"):
        start(tmp_path, Changing(changes=False)).begin()
