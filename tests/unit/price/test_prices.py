"""What a strategy costs, told from a history, as a table and as a picture."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from cdc_daemon.errors import CdcError
from cdc_daemon.outside import extra
from cdc_daemon.outside.percentiles import Percentiles
from cdc_daemon.price.history import NOTHING, History, Search, Write
from cdc_daemon.price.plot import draw
from cdc_daemon.price.prices import SHOWN, Price, Stretch, as_json, price
from cdc_daemon.price.strategies import (
    MONOTONIC_READS,
    NO_MISSED_COMMIT,
    READ_YOUR_WRITES,
    STRATEGIES,
    chosen,
)
from cdc_daemon.price.table import WIDTH, table

if TYPE_CHECKING:
    from pathlib import Path

ONE_WRITE = Write("1", "a", 1, 10.0, 10.25)
OWN = Search("1", "a", NOTHING, 10.5, 10.75, waited=0.5)
ANOTHER_S = Search("2", "a", NOTHING, 11.25, 11.5)
HISTORY = History([ONE_WRITE], [OWN, ANOTHER_S])
MANY = {READ_YOUR_WRITES: 12_345, MONOTONIC_READS: 123, NO_MISSED_COMMIT: 23_456}
WORST = Price(
    strategy="eventual-1s",
    title="eventual, freshness 1s",
    writes_a_second=1234.5,
    commit=Percentiles(0.0012, 0.0345),
    read=Percentiles(0.0123, 12.3456),
    stale=Percentiles(0.0, 1.2345),
    most_stale=12.3456,
    searches=123_456,
    violations=MANY,
    faults=(),
)


def priced(name: str, history: History) -> Price:
    """The price of a strategy in the first 20 seconds."""
    (strategy,) = chosen(name)
    return price(strategy, history, Stretch(0.0, 20.0))


def test_figures_are_those_of_the_history() -> None:
    """COMMITs, own reads with their wait, how stale answers to others were, what was missed."""
    found = priced("eventual-1s", HISTORY)
    assert found.writes_a_second == 1 / 20
    assert found.commit == (0.25, 0.25)
    assert found.read == (0.75, 0.75)
    assert (found.stale, found.most_stale) == ((1.0, 1.0), 1.0)
    assert found.violations == {READ_YOUR_WRITES: 1, MONOTONIC_READS: 0, NO_MISSED_COMMIT: 2}
    assert found.faults == ()


def test_the_warm_up_counts_for_violations_only() -> None:
    """What began before the stretch is in no percentile, but no violation is forgiven."""
    (strategy,) = chosen("strong")
    found = price(strategy, HISTORY, Stretch(11.0, 20.0))
    assert found.commit == (None, None)
    assert found.read == (None, None)
    assert found.stale == (1.0, 1.0)
    assert found.violations[READ_YOUR_WRITES] == 1


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_strategy_is_at_fault_for_what_it_rules_out(strategy: object) -> None:
    """Searches that eventual may answer so are faults of strong, and the first are named."""
    assert isinstance(strategy, type(STRATEGIES[0]))
    late = [replace(OWN, began=11.0 + n, ended=11.5 + n) for n in range(10)]
    found = priced(strategy.name, History([ONE_WRITE], late))
    assert bool(found.faults) == bool(strategy.keeps)
    assert len(found.faults) <= SHOWN
    assert all("found version 0 of a" in fault for fault in found.faults)


def test_the_table_fits_its_width() -> None:
    """The longest figures have room: nothing is cut off."""
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(table([WORST, replace(WORST, strategy="causal-by-id", faults=("wrong",))]))
    shown = console.export_text()
    assert "…" not in shown
    for figure in ("1.2", "12,346", "1,234", "23,456"):
        assert figure in shown


def test_json_has_the_unit_in_each_name() -> None:
    """Flat objects that another program can draw."""
    (found,) = as_json([WORST])
    assert found["commit_p99_seconds"] == 0.0345
    assert found["violations"] == {name.replace(" ", "_"): count for name, count in MANY.items()}


def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    """An SVG that can be kept in a repository: a change of it is a change of figures."""
    one, other = tmp_path / "one.svg", tmp_path / "other.svg"
    draw([WORST, replace(WORST, strategy="strong")], one)
    draw([WORST, replace(WORST, strategy="strong")], other)
    assert one.read_bytes() == other.read_bytes()
    texts = " ".join(ET.fromstring(one.read_text()).itertext())  # noqa: S314 - our own
    for text in ("COMMIT", "eventual-1s", "strong", "12,345 own writes missed"):
        assert re.sub(r"\s+", " ", text) in re.sub(r"\s+", " ", texts)


def test_a_png_is_drawn_where_its_name_asks_for_it(tmp_path: Path) -> None:
    """The suffix chooses."""
    file = tmp_path / "prices.png"
    draw([WORST], file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_strategy_is_refused() -> None:
    """With the name that was meant, and all that there are."""
    with pytest.raises(CdcError, match=r"no strategy 'stron'. Did you mean strong\? There are: "):
        chosen("source,stron")


def test_strategies_are_chosen_by_name() -> None:
    """In their usual order, each once; none named are all."""
    assert [one.name for one in chosen(" strong, source,strong")] == ["source", "strong"]
    assert tuple(chosen("")) == STRATEGIES


def test_a_missing_package_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are missing at once, before any server is started."""
    extra.require_extra("price")
    monkeypatch.setattr(extra, "MODULES", ("no_such_one", "json", "no_such_two"))
    with pytest.raises(CdcError, match=r"no_such_one, no_such_two\. Install them: pip install"):
        extra.require_extra("price")
