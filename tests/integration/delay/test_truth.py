"""The delay against an outside prober, who commits a row and searches until it is found.

A busy machine may make searches late, and the daemon, and the prober. So what is compared is what
must hold on any machine: the daemon never says less than what the prober has seen for certain, nor
more than the age of the oldest commit that it may not have shown yet, and while everything stands
still the delay goes on by a second a second. How close it is on an idle machine is what
benchmarks/delay_truth.py measures.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from math import isnan
from typing import TYPE_CHECKING

import psycopg

from tests.generators.prober import Said, said, watched
from tests.generators.running_daemon import until
from tests.generators.stopped_stream import stream_stopped
from tests.generators.waits import Asker, committed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon import embedded
    from tests.generators.rest import Rest
    from tests.integration.delay.conftest import Probed

TOLERANCE_SECONDS = 0.02
TOLERANCE_SHARE = 0.1
STALL_SECONDS = 4.0
BEFORE_SECONDS = 0.5
"""Nothing was later than this before something happens."""
ROUNDS_KNOWN = 2
"""A round after what was found, the clock has counted that, and something newer since."""
MISSED_SECONDS = 2.0
"""A daemon whose newest reading of the source is older than this says so by its delay."""
LATENCY = 'cdc_end_to_end_latency_seconds_{}{{projection="",stage="searchable"}}'


def tolerated(truth: float) -> float:
    """The least that the daemon may say where the prober has seen so much."""
    return truth - (TOLERANCE_SECONDS + TOLERANCE_SHARE * truth)


def assert_no_later(look: Said, moment: float) -> None:
    """Whatever was committed before this moment the daemon had shown: it is behind by no more.

    Where it could not ask the source for a while it is by no more than its own bound.
    """
    age = look.answered - moment
    most = age + TOLERANCE_SECONDS + TOLERANCE_SHARE * age + look.clock_error
    assert look.delay <= (max(most, look.bound) if look.bound > MISSED_SECONDS else most)


def shown(probed: Probed) -> None:
    """Return once the daemon itself counts all as found that is committed now."""
    token = committed(probed.dsn, "select 1")
    waited = Asker(probed.daemon.file).ask(token, timeout=60)
    assert waited.status == 200, waited


def assert_rises(looks: Sequence[Said]) -> None:
    """Between any two looks by as much as time has passed between them."""
    first = looks[0]
    for later in looks[1:]:
        risen = later.delay - first.delay
        assert risen >= later.asked - first.answered - TOLERANCE_SECONDS
        assert risen <= later.answered - first.asked + TOLERANCE_SECONDS


@contextmanager
def traffic(dsn: str) -> Iterator[None]:
    """Somebody writes rows, a transaction each, as long as the context lasts."""
    ended = threading.Event()

    def write() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            number = 0
            while not ended.wait(0.01):
                number += 1
                connection.execute("insert into item values (%s)", [number])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def test_in_steady_state_no_row_is_later_than_the_daemon_says(probed: Probed) -> None:
    """Among other writers: what the prober had to wait is within the maximum of the minute.

    And what it says is no more than the age of what was committed since the round before the last:
    until then all was found, and it knows what it took for nothing older.
    """
    began = []
    with traffic(probed.dsn):
        for _ in range(15):
            began.append(time.monotonic())
            probe = probed.prober.probe()
            shown(probed)
            look = said(probed.daemon)
            assert look.maximum >= tolerated(probe.at_least)
            if len(began) > ROUNDS_KNOWN:
                assert_no_later(look, began[-1 - ROUNDS_KNOWN])


def counted(probed: Probed) -> tuple[float, float]:
    """How many transactions a search has found so far, and the sum of their latencies."""
    metrics = probed.daemon.metrics()
    return metrics.get(LATENCY.format("count"), 0.0), metrics.get(LATENCY.format("sum"), 0.0)


def test_on_an_idle_source_one_row_is_as_late_as_the_daemon_says(probed: Probed) -> None:
    """Its latency lies between what the prober has seen at least, and at most."""
    for _ in range(5):
        count, total = counted(probed)
        probe = probed.prober.probe()
        until(lambda least=count: counted(probed)[0] > least, 60, "the transaction is counted")  # type: ignore[misc]  # bound at once
        looked = time.monotonic()
        count_after, total_after = counted(probed)
        assert count_after - count == 1
        assert total_after - total >= tolerated(probe.at_least)
        assert total_after - total <= looked - probe.before + TOLERANCE_SECONDS


def test_while_the_sink_is_frozen_the_delay_is_the_age_of_what_waits(
    probed: Probed, opensearch: embedded.OpenSearchServer
) -> None:
    """A row that was committed then can't be found: each look shows its age, and it rises."""
    look = partial(said, probed.daemon)
    until(lambda: look().delay < 0.5, 60, "the delay is small")
    opensearch.pause()
    row, before, returned = probed.prober.commit()
    until(lambda: look().delay > 1, 60, "the row was received")
    looks = watched(look, STALL_SECONDS)
    opensearch.resume()
    assert_rises(looks)
    for each in looks:
        assert each.delay >= tolerated(each.asked - returned)
        assert each.bound >= each.delay - TOLERANCE_SECONDS
    probe = probed.prober.find(row, before, returned)
    assert look().maximum >= tolerated(probe.at_least)
    until(lambda: look().delay < STALL_SECONDS / 2, 60, "the delay falls")


def test_after_an_outage_the_delay_is_as_old_as_what_was_committed_meanwhile(
    probed: Probed,
) -> None:
    """A daemon that was away says how old its searches were, and not how long it has been back."""
    probed.daemon.terminate()
    row, before, returned = probed.prober.commit()
    time.sleep(1)
    probed.prober.commit()
    probed.daemon.start()
    probe = probed.prober.find(row, before, returned)
    assert probe.at_least > 1
    look = partial(_none_later, probed, before)
    until(lambda: look().maximum >= tolerated(probe.at_least), 60, "the maximum is known")
    until(lambda: look().delay < 1, 60, "it has caught up")


def _none_later(probed: Probed, moment: float) -> Said:
    """A look, of which neither the delay nor the maximum is more than the age of that moment."""
    look = said(probed.daemon)
    if not isnan(look.delay):  # there was a sample
        assert_no_later(look, moment)
        assert_no_later(look._replace(delay=look.maximum), moment)
    return look


def test_while_a_large_transaction_is_decoded_what_stands_behind_it_is_late(
    probed: Probed,
) -> None:
    """The row that comes after it is as late as the prober finds it, though it was read late."""
    shown(probed)
    until(lambda: said(probed.daemon).delay < BEFORE_SECONDS, 60, "nothing is late")
    began = time.monotonic()
    with psycopg.connect(probed.dsn) as connection:
        connection.execute(
            "insert into other select i, repeat('x', 100) from generate_series(1, 60000) i"
        )
    probe = probed.prober.probe()
    look = said(probed.daemon)
    assert look.maximum >= tolerated(probe.at_least)
    assert_no_later(look, began - BEFORE_SECONDS)


def test_what_stands_behind_a_large_transaction_is_no_later_than_its_commit(
    probed: Probed, opensearch: embedded.OpenSearchServer
) -> None:
    """However long that was being written: nothing else was committed meanwhile."""
    look = partial(said, probed.daemon)
    until(lambda: look().delay < 0.5, 60, "the delay is small")
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(probed.dsn))
        with stream_stopped(probed.dsn):
            connection.execute(
                "insert into other select i, repeat('x', 100) from generate_series(1, 20000) i"
            )
            until(lambda: look().delay > STALL_SECONDS / 2, 60, "it takes long")
            before = time.monotonic()
            connection.commit()
            opensearch.pause()
            stack.callback(opensearch.resume)
        until(lambda: _is_younger(look(), before), 60, "what it is behind is known")
    until(lambda: look().delay < STALL_SECONDS, 60, "the delay falls")


def _is_younger(looked: Said, moment: float) -> bool:
    """Whether the delay is no more than the age of that moment."""
    return looked.delay <= looked.answered - moment + TOLERANCE_SECONDS


def test_while_the_source_is_away_the_delay_rises(
    probed: Probed, postgres_server: embedded.PostgresServer
) -> None:
    """Nobody knows what was committed: the delay is the age of the newest sample."""
    look = partial(said, probed.daemon)
    until(lambda: look().delay < 1, 60, "the delay is small")
    postgres_server.pause()
    frozen = time.monotonic()
    try:
        until(lambda: look().delay > 2, 60, "samples are missed")
        looks = watched(look, STALL_SECONDS / 2)
    finally:
        postgres_server.resume()
    assert_rises(looks)
    for each in looks:
        assert each.delay >= tolerated(each.asked - frozen)
    until(lambda: look().delay < 1, 60, "the delay falls")
    assert look().maximum >= looks[-1].delay - TOLERANCE_SECONDS


def test_a_daemon_that_was_frozen_remembers_it(probed: Probed) -> None:
    """While it is nobody can ask; then the maximum of the minute has as long as it was."""
    probed.daemon.signal(signal.SIGSTOP)
    frozen = time.monotonic()
    time.sleep(1)
    row, before, returned = probed.prober.commit()
    until(lambda: time.monotonic() > frozen + STALL_SECONDS, 60, "it was frozen for a while")
    thawed = time.monotonic()
    probed.daemon.signal(signal.SIGCONT)
    probe = probed.prober.find(row, before, returned)
    until(lambda: said(probed.daemon).maximum >= tolerated(thawed - frozen), 60, "it is remembered")
    assert said(probed.daemon).maximum >= tolerated(probe.at_least)


def test_a_read_model_whose_index_takes_no_writes_is_late_alone(probed: Probed, rest: Rest) -> None:
    """Its own delay is the age of its row, and so is the pipeline's; the other lacks nothing."""
    blocked, other = partial(said, probed.daemon, "items"), partial(said, probed.daemon, "others")
    until(lambda: blocked().delay < 0.5, 60, "its delay is known and small")
    rest.put("/items-000001/_settings", {"index.blocks.write": True})
    row, before, returned = probed.prober.commit()
    until(lambda: blocked().delay > 1, 60, "the row was received")
    looks = watched(blocked, STALL_SECONDS / 2)
    assert_rises(looks)
    for each in looks:
        assert each.delay >= tolerated(each.asked - returned)
    whole = said(probed.daemon)
    assert whole.delay >= tolerated(whole.asked - returned)
    until(lambda: other().bound < whole.delay, 60, "the other one's watermark goes on")
    assert other().delay < whole.delay
    rest.put("/items-000001/_settings", {"index.blocks.write": False})
    probe = probed.prober.find(row, before, returned)
    assert blocked().maximum >= tolerated(probe.at_least)


def test_after_rows_were_read_again_the_delay_is_small_again(probed: Probed) -> None:
    """A column with a default has them read; what came meanwhile is found when it falls."""
    with psycopg.connect(probed.dsn, autocommit=True) as connection:
        connection.execute("insert into item values (7)")
        connection.execute("alter table item add note text default 'x'")
    row, before, returned = probed.prober.commit()
    until(lambda: probed.daemon.events("repaired"), 60, "they were read again")
    probe = probed.prober.find(row, before, returned)
    until(lambda: said(probed.daemon, "items").delay < 1, 60, "the read model is fresh again")
    until(lambda: said(probed.daemon).delay < 1, 60, "so is the pipeline")
    assert said(probed.daemon).maximum >= tolerated(probe.at_least)
