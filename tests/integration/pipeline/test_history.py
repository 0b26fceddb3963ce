"""Random concurrent histories: documents equal SQL over the source, and only at commits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.generators.budget import rounds, seeded
from tests.generators.history import EXPECTED, PROJECTIONS, Load, Sampler, fill
from tests.generators.oracle import assert_equal

if TYPE_CHECKING:
    import random

    import pytest

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

KILLS = 20
KILLS_WHILE_LOADING = 3


def test_random_history(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every document is that of a commit at any time, and equals SQL over the source at the end."""
    seed, _ = seeded()
    fill(database.dsn)
    daemon = start_daemon(PROJECTIONS, memory={"transaction": "20kB"})
    compared = stops = 0
    with Sampler(rest) as sampler:
        for _ in rounds():
            with Load(database.dsn, seed + stops) as load:
                time.sleep(4)
            assert load.committed > 20
            daemon.catch_up(90)
            compared += assert_equal(database.dsn, rest, EXPECTED)
            stops += 100
    assert not sampler.wrong, sampler.wrong[:5]
    assert sampler.samples
    assert not daemon.status()["dead_letters"]
    with capsys.disabled():
        print(  # noqa: T201 - property tests say what they did
            f"\n[seed {seed}: {load.committed} transactions committed and {load.rolled_back}"
            f" rolled back in the last round, {compared} documents compared,"
            f" {sampler.samples} sampled]"
        )


def test_kills_under_load(database: Database, start_daemon: StartDaemon, rest: Rest) -> None:
    """A daemon that is killed again and again loses nothing and invents nothing."""
    seed, chosen = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(database.dsn)
    daemon = start_daemon(PROJECTIONS)
    daemon.wait_until("streaming")
    with Sampler(rest) as sampler, Load(database.dsn, seed, pause_seconds=0.2):
        for _ in range(KILLS):
            _kill_soon(daemon, chosen)
            daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up(90)
    assert_equal(database.dsn, rest, EXPECTED)
    assert not sampler.wrong, sampler.wrong[:5]
    assert len(daemon.events("loading_everything")) == 1, "the slot and the checkpoint were enough"


def _kill_soon(daemon: RunningDaemon, chosen: random.Random) -> None:
    """Kill it while it writes, or (sometimes) while it starts."""
    if chosen.random() < 0.8:
        daemon.wait_until("streaming")
    time.sleep(chosen.uniform(0, 1))
    daemon.kill()


def test_kills_while_loading(database: Database, start_daemon: StartDaemon, rest: Rest) -> None:
    """A first load that is cut short starts again, and says so; what searches find is whole."""
    seed, chosen = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(database.dsn, rows=12_000)
    daemon = start_daemon(PROJECTIONS, start=False)
    with Load(database.dsn, seed, sessions=1, pause_seconds=0.2, truncates=False):
        for _ in range(KILLS_WHILE_LOADING):
            daemon.start()
            daemon.wait_until("loading")
            time.sleep(chosen.uniform(0, 0.6))
            daemon.kill()
        daemon.start()
        daemon.wait_until("streaming", 120)
    daemon.catch_up(90)
    assert_equal(database.dsn, rest, EXPECTED)
    reasons = [event["reason"] for event in daemon.events("loading_everything")]
    assert reasons.count("the last load was cut short") == KILLS_WHILE_LOADING
    # What the cut loads had begun is gone.
    assert len(rest.get("/accounts-*/_alias")) == 1
