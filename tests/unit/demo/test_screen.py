"""The live screen of the demo: all of it on a terminal of 80 columns and 24 lines."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from cdc_daemon.demo.measuring import Figures
from cdc_daemon.demo.probe import Found
from cdc_daemon.demo.screen import Addresses, screen
from cdc_daemon.outside.percentiles import Percentiles

COLUMNS, LINES = 80, 24
NOTHING = Percentiles(None, None)
ADDRESSES = Addresses(
    "PostgreSQL → cdc-daemon → OpenSearch",
    {
        "Status": "http://127.0.0.1:29645/api/v1/status",
        "Metrics": "http://127.0.0.1:29645/metrics",
        "Search": "http://127.0.0.1:29200/bookings/_search?pretty",
        "psql": "postgresql://postgres:0123456789abcdef0123456789abcdef@127.0.0.1:25432/hotel",
    },
)
THREE_DAEMONS = ("of projector 1", "of projector 2", "of the relay")
SHARED = Addresses(
    "PostgreSQL → relay → Kafka → 2 projectors → OpenSearch",
    {
        **{f"Status {name}": ADDRESSES.named["Status"] for name in THREE_DAEMONS},
        **{f"Metrics {name}": ADDRESSES.named["Metrics"] for name in THREE_DAEMONS},
        "Search": ADDRESSES.named["Search"],
        "psql": ADDRESSES.named["psql"],
    },
)
FIGURES = Figures(
    elapsed=75.4,
    transactions=7_540,
    documents=12_345_678,
    transactions_rate=100.4,
    documents_rate=1_234.5,
    dead_letters=3,
    delay=0.0041,
    stages={
        "received": Percentiles(0.0008, 0.0031),
        "projected": Percentiles(0.0009, 0.0042),
        "indexed": Percentiles(0.0053, 0.021),
        "searchable": Percentiles(0.012, 12.345),
    },
    probe=Percentiles(0.015, 0.061),
    probes=40,
    last_found=Found(1_234_567, 0.0142, 3),
)
BEFORE_ANY_PROBE = replace(
    FIGURES,
    delay=None,
    dead_letters=0,
    stages=dict.fromkeys(FIGURES.stages, NOTHING),
    probe=NOTHING,
    probes=0,
    last_found=None,
)


def shown(figures: Figures | None, addresses: Addresses = ADDRESSES) -> list[str]:
    """What a terminal of that size has on it, line by line."""
    output = io.StringIO()
    console = Console(file=output, width=COLUMNS, height=LINES, force_terminal=False)
    console.print(screen(figures, addresses, duration_seconds=90))
    return [line.rstrip() for line in output.getvalue().splitlines()]


def cells(lines: list[str], name: str) -> list[str]:
    """The words of the line that begins with that name, after it."""
    (line,) = (line.strip() for line in lines if line.strip().startswith(name))
    return line.removeprefix(name).split()


def test_every_figure_has_its_line() -> None:
    """The delay, a booking that was found, two percentiles of each stage, rates and sums."""
    lines = shown(FIGURES)
    assert cells(lines, ADDRESSES.way)[-3:] == ["1:15", "of", "1:30"]
    assert cells(lines, "Replication delay now")[:2] == ["4.1", "ms"]
    assert cells(lines, "Booking 1234567")[:2] == ["14", "ms"]
    assert cells(lines, "received")[:4] == ["0.8", "ms", "3.1", "ms"]
    assert cells(lines, "projected")[:4] == ["0.9", "ms", "4.2", "ms"]
    assert cells(lines, "indexed")[:4] == ["5.3", "ms", "21", "ms"]
    assert cells(lines, "searchable")[:4] == ["12", "ms", "12,345", "ms"]
    assert cells(lines, "found by a search")[:4] == ["15", "ms", "61", "ms"]
    assert cells(lines, "Transactions")[:2] == ["100/s", "7,540"]
    assert cells(lines, "Documents written")[:2] == ["1,234/s", "12,345,678"]
    assert cells(lines, "Dead letters") == ["3"]
    text = "".join(line.strip() for line in lines)  # a long address goes on in the next line
    for name, address in ADDRESSES.named.items():
        assert re.search(rf"{name} +{re.escape(address)}", text)


@pytest.mark.parametrize("addresses", [ADDRESSES, SHARED], ids=["alone", "through Kafka"])
@pytest.mark.parametrize("figures", [FIGURES, BEFORE_ANY_PROBE], ids=["figures", "few"])
def test_it_fits(figures: Figures, addresses: Addresses) -> None:
    """No line is cut, and the last one, how to stop it, can be seen."""
    lines = shown(figures, addresses)
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert "…" not in "".join(lines)
    assert any("Ctrl-C stops everything." in line for line in lines)


def test_what_has_not_been_measured_is_a_dash() -> None:
    """No figure is made up; no line tells of what there is none of."""
    lines = shown(BEFORE_ANY_PROBE)
    assert cells(lines, "Replication delay now")[0] == "-"
    for stage in (*FIGURES.stages, "found by a search"):
        assert cells(lines, stage)[:2] == ["-", "-"]
    assert not any(line.strip().startswith(("Booking", "Dead letters")) for line in lines)


def test_before_the_first_scrape_it_says_that_it_waits() -> None:
    """There are no figures yet."""
    assert shown(None) == ["Waiting for the first figures ..."]
