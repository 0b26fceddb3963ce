"""What was measured of techniques, as tables, JSON and a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from cdc_daemon.compare.figures import Away, Cost, Figures, Writers, as_json
from cdc_daemon.compare.footprint import Footprint, PerChange, per_change
from cdc_daemon.compare.judging import KINDS, Missed
from cdc_daemon.compare.plot import draw
from cdc_daemon.compare.table import WIDTH, tables
from cdc_daemon.compare.techniques import TECHNIQUES, chosen
from cdc_daemon.config import load
from cdc_daemon.errors import CdcError
from cdc_daemon.outside.percentiles import Percentiles

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.compare.technique import Technique

LONGEST = max((technique.name for technique in TECHNIQUES), key=len)
COUNTS = {kind: 10_000 + place for place, kind in enumerate(KINDS)}
WORST = Figures(
    LONGEST,
    "the worst that fits",
    cost=Cost(
        Writers(12_345.6, Percentiles(0.0012, 0.0345)),
        Writers(6_172.8, Percentiles(0.0123, 1.2345)),
    ),
    drained_per_second=123_456.7,
    delay=Percentiles(12.345, 34.567),
    probes=200,
    changes=4_000,
    missed=Missed(50_000, COUNTS),
    per_change=PerChange(10_000.5, 1_234.5),
    table_bytes=123_456_789,
    away=Away(60.0, 12_000, 123_456_789, 123.45, COUNTS),
)
NOTHING = Figures("none", "the writers alone")
FAILED = Figures("cdc", "CDC", failed="OpenSearch did not answer")


def shown(all_figures: list[Figures]) -> str:
    """All tables, as wide as they are printed at least."""
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    for each in tables(all_figures):
        console.print(each)
    return console.export_text()


def test_the_tables_fit_their_width() -> None:
    """The longest figures have room: nothing is cut off."""
    text = shown([WORST, NOTHING, FAILED])
    assert "…" not in text
    for figure in (
        "12,345",
        "6,173",
        "50 %",
        "10,000.5",
        "123.5 MB",
        "10,004",
        "50,010",
        "123,457",
    ):
        assert figure in text
    assert text.count(LONGEST) == 3


def test_what_was_not_measured_is_a_dash() -> None:
    """A technique that failed at once has a line all the same."""
    for line in shown([FAILED]).splitlines():
        if line.strip().startswith("cdc"):
            assert set(line.split()[1:]) <= {"-", "0"}


def test_json_has_the_unit_in_each_name() -> None:
    """Flat objects; null where there is nothing to tell."""
    worst, failed = as_json([WORST, FAILED])
    assert worst["delay_p99_seconds"] == 34.567
    assert worst["writer_share"] == 0.5
    assert worst["missed"] == COUNTS
    assert worst["failed"] is None
    assert failed["failed"] == "OpenSearch did not answer"
    assert failed["missed"] is failed["away"] is failed["writer_share"] is None


def test_a_technique_is_right_if_it_ran_and_missed_only_what_it_admits() -> None:
    """A failure isn't right, and a fault isn't."""
    assert WORST.is_right
    assert not FAILED.is_right
    assert not Figures("cdc", "CDC", faults=["3 rows aren't found, while it ran"]).is_right


def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    """An SVG that can be kept in a repository, with a line for what failed as well."""
    one, other = tmp_path / "one.svg", tmp_path / "other.svg"
    for file in (one, other):
        draw([NOTHING, WORST, FAILED], file)
    assert one.read_bytes() == other.read_bytes()
    text = " ".join(ET.fromstring(one.read_text()).itertext())  # noqa: S314 - our own
    for label in ("none", LONGEST, "40,006 changes missed", "failed", "50 %"):
        assert label in text


def test_a_change_costs_what_was_counted_between_two_moments() -> None:
    """An average; counters that went back (a table is gone) are nothing read."""
    before, after = Footprint(100, 1_000, 0, 0), Footprint(500, 9_000, 7, 8)
    assert per_change(before, after, 4) == PerChange(100.0, 2_000.0)
    assert per_change(after, before, 4).rows_read == 0
    assert after.kept_bytes == 15


def test_techniques_are_chosen_by_name() -> None:
    """In their usual order, each once, the baseline always; none named are all."""
    assert [one.name for one in chosen(" trigger-table,cdc,cdc")] == [
        "none",
        "cdc",
        "trigger-table",
    ]
    assert tuple(chosen("")) == TECHNIQUES
    with pytest.raises(CdcError, match=r"no technique 'cdd'. Did you mean cdc\? There are: none, "):
        chosen("cdd")


@pytest.mark.parametrize(
    "technique", [each for each in TECHNIQUES if each.source], ids=lambda each: each.name
)
def test_every_configuration_is_valid(technique: Technique, tmp_path: Path) -> None:
    """As `cdc-daemon validate` would say."""
    file = tmp_path / "cdc-daemon.yaml"
    variables = {
        "DATABASE_URL": "postgresql://somebody@localhost/compare",
        "OPENSEARCH_URL": "http://localhost:9200",
        "CDC_DAEMON_DATA": str(tmp_path),
        "CDC_DAEMON_LISTEN": "127.0.0.1:0",
        "KAFKA_SERVERS": "localhost:9092",
    }
    file.write_text(technique.configuration())
    assert load(file, variables).configuration.name == f"compare-{technique.name}"
    file.write_text(technique.relay())
    assert load(file, variables).configuration.name == f"compare-{technique.name}-relay"


def test_no_two_techniques_share_a_name() -> None:
    """Nor an index, nor a database."""
    assert len({technique.read_model_name for technique in TECHNIQUES}) == len(TECHNIQUES)
