"""`cdc-daemon compare` that is interrupted, with techniques that take no time."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import orjson
import pytest
from typer.testing import CliRunner

from cdc_daemon.cli import app
from cdc_daemon.compare import comparing
from cdc_daemon.compare.figures import Figures

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.compare.technique import Technique


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried on them."""
    server = nullcontext(SimpleNamespace(url="", bootstrap_servers=""))
    none = SimpleNamespace(
        postgres=lambda **_: server, opensearch=lambda **_: server, kafka=lambda: server
    )
    monkeypatch.setattr(comparing, "embedded", none)


@pytest.mark.parametrize("done", [0, 2])
def test_what_is_done_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, done: int
) -> None:
    """And drawn; nothing where nothing is done. Each technique takes minutes."""
    began: list[str] = []

    def tried(technique: Technique, *_: object) -> Figures:
        began.append(technique.name)
        if len(began) > done:
            os.kill(os.getpid(), signal.SIGINT)
        return Figures(technique.name, technique.title)

    monkeypatch.setattr(comparing, "tried", tried)
    plot = tmp_path / "techniques.svg"
    result = CliRunner().invoke(app, ["compare", "--output", "json", "--plot", str(plot)])
    assert result.exit_code == 130, result.output
    assert "Interrupted: everything has been stopped." in result.stderr
    printed = orjson.loads(result.stdout or "[]")
    assert [each["technique"] for each in printed] == began[:done]
    assert len(began) == done + 1
    assert plot.exists() is bool(done)
