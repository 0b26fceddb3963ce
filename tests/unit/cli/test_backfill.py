"""`cdc-daemon backfill` against a daemon's web side, as people use it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.cli.progress import _lines, _time
from cdc_daemon.events import Position, Watermark
from tests.generators.conditions import wait_until
from tests.generators.forked import command
from tests.unit.backfill.conftest import HOTELS, make
from tests.unit.web.test_backfill_routes import KEY, Web, web

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.backfill.conftest import Loading

__all__ = ["make", "web"]

TABLE = HOTELS.relation.qualified_name
UNDER_WAY = {
    "table": "public.hotel",
    "projections": ["hotels", "names"],
    "repairs": True,
    "partly": False,
    "phase": "reading",
    "rows": 846_000,
    "share": 0.4231,
    "rows_per_second": 41_200.4,
    "seconds_left": 28.9,
}


def run(
    *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `cdc-daemon`."""
    whole = {**os.environ, "NO_COLOR": "1", **environment}
    return command(*arguments, folder=folder, environment=whole)


def waiting(make: Callable[..., Loading], web: Web) -> Loading:
    """A daemon whose chunks wait for the stream, for as long as the test wants."""
    loading = web.serve(make(load=None))
    loading.source.at = Position(5000)
    return loading


def let_go(loading: Loading) -> None:
    """The stream comes to where the chunks wait for, once who asked for them has been answered."""
    assert wait_until(lambda: bool(loading.delivery.checkpointer.stored_loads), 20)
    time.sleep(1.0)
    loading.source.script.append([Watermark(Position(6000))])
    loading.source.wake()


def test_rows_are_chosen_by_a_condition(make: Callable[..., Loading], web: Web) -> None:
    """What is shown says that it is a part; what the source says against it is the message."""
    loading = waiting(make, web)
    loading.source.refuses_conditions = True
    start = ("backfill", "start", "--table", TABLE, "--where", "7", "--url", web.server.address)
    refused = run(*start, CDC_DAEMON_API_KEY=KEY)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: the source refuses the condition\n"
    loading.source.refuses_conditions = False
    started = run(*start, CDC_DAEMON_API_KEY=KEY)
    assert started.returncode == 0, started.stderr
    assert "repairs a part of hotels: " in started.stdout
    let_go(loading)


def test_the_key_comes_from_the_environment_or_the_configuration(
    make: Callable[..., Loading], web: Web, tmp_path: Path
) -> None:
    """Of the configuration nothing else is read but where the daemon listens."""
    loading = waiting(make, web)
    url = web.server.address
    file = tmp_path / "other.yaml"
    listen = url.removeprefix("http://")
    file.write_text(f'source: {{dsn: "${{NONE}}"}}\nweb: {{listen: "{listen}", api_key: "${{K}}"}}')
    assert "web.api_key: " in run("backfill", "pause", str(file)).stderr
    wrong = run("backfill", "pause", str(file), K="wrong")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: the API key is missing or wrong")
    started = run("backfill", "start", str(file), "--table", TABLE, K=KEY)
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout.startswith(f"{TABLE}  0.0 %  repairs hotels: ")
    paused = run(
        "backfill", "pause", folder=tmp_path / "..", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY
    )
    assert "repairs hotels: paused" in paused.stdout
    assert loading.backfill.is_paused
    assert "Bearer" in run("backfill", "resume", "none.yaml", "--url", url).stderr
    assert run("backfill", "resume", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY).returncode == 0
    cancelled = run(
        "backfill", "cancel", "--projection", "hotels", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY
    )
    assert cancelled.stdout.startswith(f"no rows are being read\n{TABLE}  cancelled hotels  0 rows")


def test_what_cannot_be_done_is_one_message(make: Callable[..., Loading], web: Web) -> None:
    """Exit code 1 where the daemon refuses, 2 where the command line is wrong."""
    waiting(make, web)
    url = web.server.address
    unknown = run("backfill", "start", "--table", "a.b", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == f"error: no table a.b is mapped; there are {TABLE}\n"
    assert run("backfill", "cancel", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY).returncode == 1
    for options in ([], ["--table", TABLE, "--projection", "hotels"]):
        assert (
            run(
                "backfill", "start", *options, CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY
            ).returncode
            == 2
        )


@pytest.mark.parametrize("output", ["text", "json"])
def test_waiting_until_it_is_done(make: Callable[..., Loading], web: Web, output: str) -> None:
    """Progress on stderr, the end on stdout."""
    loading = waiting(make, web)
    url = web.server.address
    threading.Thread(target=let_go, args=[loading]).start()
    done = run(
        "backfill",
        "start",
        "--table",
        TABLE,
        "--wait",
        "-o",
        output,
        CDC_DAEMON_URL=url,
        CDC_DAEMON_API_KEY=KEY,
    )
    assert done.returncode == 0, done.stderr
    assert "repairs hotels: " in done.stderr
    if output == "json":
        assert [one["outcome"] for one in json.loads(done.stdout)["ended"]] == ["repaired"]
    else:
        assert f"{TABLE}  repaired hotels  2,000 rows" in done.stdout
    quiet = run("backfill", "status", "--wait", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_waiting_for_what_somebody_cancels(make: Callable[..., Loading], web: Web) -> None:
    """Exit code 1, and the reason."""
    loading = waiting(make, web)
    url = web.server.address

    def cancel() -> None:
        assert wait_until(lambda: bool(loading.backfill.loads), 20)
        assert web.post("cancel").status == 200

    canceller = threading.Timer(1.0, cancel)
    canceller.start()
    done = run(
        "backfill", "start", "--table", TABLE, "--wait", CDC_DAEMON_URL=url, CDC_DAEMON_API_KEY=KEY
    )
    canceller.join()
    assert done.returncode == 1
    assert "error: somebody cancelled" in done.stderr


def test_a_terminal_has_bars(make: Callable[..., Loading], web: Web) -> None:
    """One for each load."""
    waiting(make, web)
    assert web.post("start", json.dumps({"table": TABLE}).encode()).status == 200
    leader, follower = pty.openpty()
    shown = [sys.executable, "-m", "cdc_daemon", "backfill", "status", "--url"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen([*shown, web.server.address], stdout=follower, env=environment):
        os.close(follower)
        said = b""
        while chunk := read(leader):
            said += chunk
    os.close(leader)
    assert "━━━━" in said.decode()
    assert f"{TABLE}  ".encode() in said


def read(descriptor: int) -> bytes:
    """What has come; nothing once the other end is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_no_daemon_answers(web: Web) -> None:
    """Or one that is still starting: exit code 1."""
    starting = run("backfill", "status", "--url", web.server.address)
    assert (starting.returncode, starting.stdout) == (1, "")
    assert "still starting" in starting.stderr
    web.server.stop()
    gone = run("backfill", "status", "--url", web.server.address)
    assert gone.returncode == 1
    assert "no daemon answers" in gone.stderr


def test_a_load_as_a_line() -> None:
    """What isn't known is left out, and nobody knows when a pause ends."""
    (line,) = _lines({"paused": False, "loads": [UNDER_WAY]})
    assert line.split("  ") == [
        *("public.hotel", "42.3 %", "repairs hotels, names: reading"),
        *("846,000 rows", "41,200 rows/s", "28 s left"),
    ]
    new = {**UNDER_WAY, "repairs": False, "rows_per_second": None, "seconds_left": None}
    (line,) = _lines({"paused": True, "loads": [new]})
    assert line == "public.hotel  42.3 %  loads hotels, names: paused  846,000 rows"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "25 h 0 min")],
)
def test_times_for_people(seconds: float, text: str) -> None:
    """No more than two units."""
    assert _time(seconds) == text
