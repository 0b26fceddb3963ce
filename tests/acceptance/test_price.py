"""`cdc-daemon price` as people start it: a table, figures, a plot, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.generators.forked import command

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (sys.executable, "-m", "cdc_daemon", "price")
TIMEOUT_SECONDS = 400
"""Most of it is for OpenSearch to start, on a machine that does other things as well."""


def price(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env={**os.environ, **environment},
    )


def test_it_compares_and_leaves_nothing(temporary: Path, tmp_path: Path) -> None:
    """A line for each strategy, the same as JSON, a picture, exit code 0, no file left."""
    figures, plot = tmp_path / "prices.json", tmp_path / "prices.svg"
    files = ("--json", str(figures), "--plot", str(plot))
    chosen = ("--strategies", "eventual-1s,source", "--duration", "3s", "--rate", "50")
    result = price(*chosen, *files, TMPDIR=str(temporary))
    assert result.returncode == 0, result.stdout + result.stderr
    source, eventual = json.loads(figures.read_text())
    assert (source["strategy"], eventual["strategy"]) == ("source", "eventual-1s")
    assert source["violations"] == dict.fromkeys(source["violations"], 0)
    assert eventual["violations"]["read_your_writes"] > 0
    assert eventual["stale_max_seconds"] > source["stale_max_seconds"] == 0
    for each in (source, eventual):
        assert 0 < each["commit_p50_seconds"] <= each["commit_p99_seconds"]
        assert each["strategy"] in result.stdout
    assert plot.read_text().startswith("<?xml")
    assert list(temporary.iterdir()) == []


def test_strong_is_paid_by_who_writes(tmp_path: Path) -> None:
    """Neither causal nor strong lets anybody miss what it promises; only strong's COMMIT waits."""
    figures = tmp_path / "prices.json"
    chosen = ("--strategies", "causal,strong", "--duration", "3s", "--rate", "50")
    result = price(*chosen, "--json", str(figures))
    assert result.returncode == 0, result.stdout + result.stderr
    causal, strong = json.loads(figures.read_text())
    assert (causal["strategy"], strong["strategy"]) == ("causal", "strong")
    assert causal["faults"] == strong["faults"] == []
    assert causal["violations"]["read_your_writes"] == 0
    assert strong["violations"] == dict.fromkeys(strong["violations"], 0)
    assert strong["commit_p50_seconds"] > causal["commit_p50_seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--strategies", "eventual-1"], "Did you mean eventual-1s?"),
        (["--duration", "1s"], "at least 2 s"),
        (["--duration", "soon"], "--duration"),
        (["--clients", "0"], "--clients"),
        (["--rate", "0"], "--rate"),
        (["--plot", "prices.gif"], "ends with .svg or .png"),
        (["--plot", "no/such/folder.svg"], "a folder that exists"),
        (["--json", "."], "a folder that exists"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_said_before_anything_starts(arguments: list[str], why: str) -> None:
    """What is wrong, with the nearest right name; no server is started for it."""
    result = command("price", *arguments, environment={**os.environ, "COLUMNS": "200"})
    assert result.returncode in {1, 2}, result.stdout + result.stderr
    assert why in result.stderr
    assert "starting on" not in result.stderr
