"""`cdc-daemon compare` as people start it: what techniques miss is counted, nothing left behind."""

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

COMMAND = (sys.executable, "-m", "cdc_daemon", "compare")
TIMEOUT_SECONDS = 500
"""Most of it is for OpenSearch to start, on a machine that does other things as well."""


def compare(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
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
    """Each technique misses what it is known to miss and nothing else; figures, and a picture."""
    plot = tmp_path / "techniques.svg"
    short = ("--seconds", "4s", "--away", "2s", "--rate", "50", "--rows", "500")
    result = compare(
        *(
            "--only",
            "cdc,kafka-log,polling-watermark",
            *short,
            "--plot",
            str(plot),
            "--output",
            "json",
        ),
        TMPDIR=str(temporary),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    none, cdc, kafka, polling = json.loads(result.stdout)
    assert [each["technique"] for each in (none, cdc, kafka, polling)] == [
        *("none", "cdc", "kafka-log", "polling-watermark")
    ]
    assert none["missed"] is none["delay_p50_seconds"] is None
    for exact in (cdc, kafka):
        assert exact["missed"] == dict.fromkeys(exact["missed"], 0)
        assert exact["away"]["lost"] == dict.fromkeys(exact["away"]["lost"], 0)
    assert cdc["away"]["changes"] > 0 < cdc["away"]["kept_bytes"]
    assert {kind for kind, count in polling["missed"].items() if count} == {"deletes", "states"}
    assert polling["rows_read_per_change"] > cdc["rows_read_per_change"]
    for each in (cdc, kafka, polling):
        assert 0 < each["delay_p50_seconds"] <= each["delay_p99_seconds"]
        assert each["changes"] > 0 < each["writer_share"]
        assert f"{each['technique']}: " in result.stderr
    assert "takes about" in result.stderr
    assert plot.read_text().startswith("<?xml")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--only", "cdd"], "Did you mean cdc?"),
        (["--seconds", "1s"], "at least 2 s"),
        (["--away", "soon"], "--away"),
        (["--rate", "0"], "--rate"),
        (["--rows", "0"], "--rows"),
        (["--plot", "techniques.gif"], "ends with .svg or .png"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_said_before_anything_starts(arguments: list[str], why: str) -> None:
    """What is wrong, with the nearest right name; no server is started for it."""
    result = command("compare", *arguments, environment={**os.environ, "COLUMNS": "200"})
    assert result.returncode in {1, 2}, result.stdout + result.stderr
    assert why in result.stderr
    assert "starting on" not in result.stderr
