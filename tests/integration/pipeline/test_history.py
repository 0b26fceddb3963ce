"""Random concurrent histories: documents equal SQL over the source, and only at commits."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.generators.budget import rounds, seeded
from tests.generators.history import EXPECTED, PROJECTIONS, Load, Sampler, fill
from tests.generators.oracle import assert_equal
from tests.integration.pipeline.conftest import stream_early

if TYPE_CHECKING:
    import random

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

KILLS = 20


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_random_history(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
    *,
    streamed: bool,
) -> None:
    """Every document is that of a commit at any time, and equals SQL over the source at the end."""
    seed, _ = seeded()
    fill(database.dsn)
    if streamed:
        stream_early(database.dsn)
    daemon = start_daemon(PROJECTIONS, memory={"transaction": "20kB"})
    daemon.wait_until("streaming")
    compared = stops = 0
    with Sampler(rest) as sampler:
        for _ in rounds(0.5):
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
            f" {sampler.samples} sampled]",
            file=sys.stderr,
        )


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_kills_under_load(
    database: Database, start_daemon: StartDaemon, rest: Rest, *, streamed: bool
) -> None:
    """A daemon that is killed again and again loses nothing and invents nothing."""
    seed, chosen = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(database.dsn)
    if streamed:
        stream_early(database.dsn)
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
    made = [event["projection"] for event in daemon.events("new_generation")]
    assert sorted(made) == sorted(PROJECTIONS), "the slot and the checkpoint were enough"


def _kill_soon(daemon: RunningDaemon, chosen: random.Random) -> None:
    """Kill it while it writes, or (sometimes) while it starts."""
    if chosen.random() < 0.8:
        daemon.wait_until("streaming")
    time.sleep(chosen.uniform(0, 1))
    daemon.kill()
