"""Commits that wait for searches through a relay: whichever projector has the document."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.daemons import daemons
from tests.generators.forked import command
from tests.generators.replicas import shares
from tests.generators.running_daemon import until
from tests.integration.joined.conftest import store  # noqa: F401 - a fixture
from tests.integration.sharing.conftest import PROJECTIONS, TABLES
from tests.integration.strong.conftest import PATIENCE_SECONDS, enable, run_strong, standby_name
from tests.integration.strong.test_away import HANGS_SECONDS, KILLED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.embedded import KafkaServer
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon as StartReadModels
    from tests.integration.strong.conftest import Cluster, StartCommit

COMMITS = 200
SECONDS = 90.0
LAZY = {name: {**one, "freshness": "1h"} for name, one in PROJECTIONS.items()}
"""Nothing is searchable in time unless somebody waits for it."""
SHORT = {"release_after": "5s"}


class Pair:
    """A relay whose commits wait for projectors, and these."""

    def __init__(self, store: Store, make: StartDaemon, start: Any, log: dict[str, Any]) -> None:  # noqa: F811 - a parameter
        self.store = store
        self._make = make
        self._start = start
        self._log = log
        self.name = f"p{uuid.uuid4().hex[:8]}"
        self.projections: dict[str, Any] = LAZY
        self.relay_source: dict[str, Any] = {}
        """What its source has besides."""
        self.relay: RunningDaemon
        self.all: list[RunningDaemon] = []
        self.committers: list[Committer] = []

    def committer(self, level: str = "remote_apply", first: int = 0) -> Committer:
        """Somebody who commits."""
        self.committers.append(Committer(self.store, level, first))
        return self.committers[-1]

    def begin(self, count: int = 2, **strong: Any) -> None:
        """Both, until the projectors share the documents, and commits wait."""
        self.relay = self._make(
            {},
            folder="relay",
            name=f"{self.name}-relay",
            source=self.relay_source,
            sink={"log": self._log["log"], "topic_prefix": self._log["log"]},
            relay={"tables": TABLES, "snapshot": "never"},
            consistency={"strong": {"projectors": [self.name], **strong}},
        )
        self.relay.wait_until()
        for _ in range(count):
            self.add()
        self.wait_shared()
        self.wait_whole()
        until(self._is_let, SECONDS, "commits may wait")
        enable(self.relay)

    def _is_let(self) -> bool:
        """Ask as often as it is too early: who leads starts in place once documents are shared, so
        that all was loaded may be heard of before.
        """  # noqa: D205 - one sentence
        asked = run_strong(self.relay, "enable", "--yes")
        assert asked.returncode == 0 or "a read model is being loaded" in asked.stderr
        return asked.returncode == 0

    def wait_whole(self) -> None:
        """The relay has heard that searches see all read models."""
        until(
            lambda: self.relay.status()["projectors"][self.name]["whole"], SECONDS, "all is loaded"
        )

    def add(self) -> RunningDaemon:
        """One more projector."""
        one: RunningDaemon = self._start(
            self.projections,
            start=False,
            folder=f"replica{len(self.all)}",
            name=self.name,
            source={**self._log, "relay": f"{self.name}-relay"},
            consistency={"strong": {}},
        )
        one.options = ("--role", "projector")
        one.start()
        self.all.append(one)
        return one

    def wait_shared(self) -> None:
        """Those that run write all documents, each some of them."""
        running = [one for one in self.all if one.is_running]
        until(lambda: shares([one.status() for one in running]), SECONDS, "documents are shared")

    def leader(self) -> RunningDaemon:
        """Who leads."""
        return next(one for one in self.all if one.is_running and one.status()["replica"]["leads"])


@pytest.fixture
def pair(
    database: Database,
    cluster: Cluster,  # noqa: ARG001 - nobody is waited for in the end
    kafka: KafkaServer,
    store: Store,  # noqa: F811 - the fixture
    start_daemon: StartReadModels,
    tmp_path: Path,
) -> Iterator[Pair]:
    """None of them is started."""
    at = {"bootstrap_servers": kafka.bootstrap_servers}
    with daemons(database.dsn, {"type": "kafka", **at}, tmp_path) as make:
        log = {"type": "relay", "dsn": database.dsn, "log": f"log-{database.name}", **at}
        made = Pair(store, make, start_daemon, log)
        yield made
        kafka.resume()
        for one in made.all:
            if one.is_running:
                one.signal(signal.SIGCONT)
        for each in made.committers:
            each.close()


class Committer:
    """Makes hotels, one transaction after the other, and looks for each with a search."""

    def __init__(self, store: Store, level: str = "remote_apply", first: int = 0) -> None:  # noqa: F811 - a parameter
        self._store = store
        self._level = level
        self._next = first
        self.warnings: list[str] = []
        self.missed: list[int] = []
        self.seconds: list[float] = []
        self._connection = psycopg.connect(store.dsn, autocommit=True)
        self._connection.add_notice_handler(
            lambda notice: self.warnings.append(notice.message_primary or "")
        )

    def commit(self) -> None:
        """One more."""
        number, self._next = self._next, self._next + 1
        connection = self._connection
        warned = len(self.warnings)
        connection.execute("begin")
        connection.execute(f"set local synchronous_commit = {self._level}")
        connection.execute("insert into hotel values (%s, 'new', 1)", [number])
        connection.execute("insert into room values (%s, %s, 'single', 1)", [number, number])
        began = time.monotonic()
        connection.execute("commit")
        self.seconds.append(time.monotonic() - began)
        found = self._store.found(number)
        if len(self.warnings) == warned and (found is None or found["beds"] != 1):
            self.missed.append(number)

    def many(self, count: int) -> Committer:
        """So many more."""
        for _ in range(count):
            self.commit()
        return self

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def share(self, part: float) -> float:
        """How long so many of them took at most, in milliseconds."""
        return 1000 * sorted(self.seconds)[int(part * (len(self.seconds) - 1))]


@contextmanager
def committing(committer: Committer) -> Iterator[None]:
    """All the time."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.01):
            committer.commit()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(SECONDS)
        assert not thread.is_alive(), "a COMMIT has not returned"


def more(committer: Committer, count: int = 10) -> None:
    """Wait until so many more have returned."""
    goal = len(committer.seconds) + count
    until(lambda: len(committer.seconds) >= goal, SECONDS, "commits return")


def test_what_was_committed_is_found(pair: Pair) -> None:
    """Each, by a search through the alias at once; at `local` some are not."""
    pair.begin()
    assert pair.relay.status()["projectors"][pair.name]["whole"]
    waiting = pair.committer().many(COMMITS)
    assert not waiting.missed
    assert not waiting.warnings
    durable = pair.committer("on", 10_000).many(COMMITS // 2)
    control = pair.committer("local", 20_000).many(COMMITS // 2)
    assert durable.missed
    assert control.missed
    for what, one in (("remote_apply", waiting), ("on", durable), ("local", control)):
        print(f"{what}: p50 {one.share(0.5):.0f} ms, p99 {one.share(0.99):.0f} ms")  # noqa: T201 - for people
    checked = command("check", str(pair.relay.file))
    assert f"projectors {pair.name}: they say how far searches are" in checked.stdout
    said = run_strong(pair.relay, "status").stdout
    assert f"return when searches of {pair.name} find them" in said
    disabled = run_strong(pair.relay, "disable")
    assert disabled.returncode == 0, disabled.stderr
    pair.committer(first=30_000).many(5)


def test_it_holds_while_processes_die(pair: Pair) -> None:
    """Killed with -9, or frozen until others have what it had: commits wait, and are found."""
    pair.begin()
    committer = pair.committer()
    with committing(committer):
        more(committer)
        killed = pair.leader()
        killed.kill()
        pair.wait_shared()
        more(committer)
        killed.start()
        pair.wait_shared()
        more(committer)
        pair.relay.kill()
        pair.relay.start()
        more(committer)
        frozen = next(one for one in pair.all if one is not pair.leader())
        frozen.signal(signal.SIGSTOP)
        more(committer)
        frozen.signal(signal.SIGCONT)
        more(committer)
        pair.wait_shared()
        more(committer)
    assert not committer.missed
    assert not committer.warnings


def test_it_holds_while_a_leader_is_frozen(pair: Pair) -> None:
    """Another leads meanwhile; what the one before has to say when it goes on nobody hears."""
    pair.begin()
    committer = pair.committer()
    with committing(committer):
        more(committer)
        for _ in range(2):
            frozen = pair.leader()
            frozen.signal(signal.SIGSTOP)
            more(committer)
            frozen.signal(signal.SIGCONT)
            more(committer)
            pair.wait_shared()
            assert pair.leader() is not frozen
    assert not committer.missed
    assert not committer.warnings


def test_commits_wait_while_the_broker_is_killed(pair: Pair, kafka: KafkaServer) -> None:
    """Until it is back, and the groups are, with all that was said."""
    pair.begin()
    committer = pair.committer()
    with committing(committer):
        more(committer)
        kafka.kill()
        kafka.start()
        more(committer)
    assert not committer.missed
    assert not committer.warnings
    pair.wait_shared()


def test_a_load_holds_no_commit(pair: Pair) -> None:
    """A new read model is loaded while commits wait: they return, and those of the others wait."""
    pair.begin()
    pair.store.execute("insert into tag select n, 'tag' from generate_series(1, 30000) n")
    committer = pair.committer()
    tags = {"from": "tag", "fields": ["id", "name"]}
    with committing(committer):
        more(committer)
        for one in pair.all:
            one.kill()
        for one in pair.all:
            configuration = json.loads(one.file.read_text())
            configuration["projections"]["tags"] = tags
            one.file.write_text(json.dumps(configuration))
            one.start()
        more(committer)
        pair.wait_shared()
        pair.wait_whole()
        more(committer)
    assert not committer.missed
    assert not committer.warnings
    until(lambda: pair.relay.total("cdc_strong_active") == 1, SECONDS, "it is said")


def test_without_projectors_commits_wait(pair: Pair, commit: StartCommit) -> None:
    """Those at `remote_apply` until one is back; what Kafka has is enough for those at `on`."""
    pair.begin(1)
    configuration = json.loads(pair.relay.file.read_text())
    configuration["consistency"]["strong"]["projectors"].append("nobody")
    other = pair.relay.file.with_name("other.yaml")
    other.write_text(json.dumps(configuration))
    assert "no projector of nobody was ever there" in command("check", str(other)).stdout
    pair.all[0].kill()
    first = commit("insert into hotel values (1, 'new', 1)")
    commit("insert into hotel values (2, 'new', 1)", level="on").returned()
    first.join(HANGS_SECONDS)
    assert first.waits
    pair.all[0].start()
    first.returned(SECONDS)
    assert not first.warnings
    assert pair.store.found(1) is not None


def test_who_is_silent_is_left_out_where_that_is_allowed(
    pair: Pair, commit: StartCommit, start_guard: Any
) -> None:
    """`degrade`: after `release_after`, it is said, and it counts again once it has caught up."""
    pair.begin(1, when_away="strict")
    run_strong(pair.relay, "disable")
    configuration = json.loads(pair.relay.file.read_text())
    configuration["consistency"]["strong"] |= {"when_away": "degrade", **SHORT}
    pair.relay.file.write_text(json.dumps(configuration))
    pair.relay.kill()
    pair.relay.start()
    pair.relay.wait_until("streaming")
    start_guard(pair.relay)
    enable(pair.relay)
    pair.all[0].signal(signal.SIGSTOP)
    began = time.monotonic()
    commit("insert into hotel values (1, 'new', 1)").returned()
    assert time.monotonic() - began >= HANGS_SECONDS
    commit("insert into hotel values (2, 'new', 1)").returned()
    assert not pair.relay.status()["projectors"][pair.name]["waited_for"]
    until(lambda: pair.relay.total("cdc_strong_active") == 0, SECONDS, "it is said")
    pair.all[0].signal(signal.SIGCONT)
    until(lambda: pair.relay.status()["projectors"][pair.name]["waited_for"], SECONDS, "it is back")
    committer = pair.committer(first=100).many(20)
    assert not committer.missed


def test_a_migration_that_waits_is_let_go(pair: Pair, commit: StartCommit) -> None:
    """Projectors must see the new column before they go on, and nobody sees it before."""
    pair.begin()
    migration = commit("alter table room add column floor int", "insert into room values (1, 1)")
    migration.returned(SECONDS)
    assert migration.warnings
    committer = pair.committer(first=100).many(10)
    assert not committer.missed


def test_a_start_goes_on_though_a_commit_holds_a_table(
    pair: Pair, commit: StartCommit, cluster: Cluster
) -> None:
    """A TRUNCATE that waits keeps a projector that starts from looking: that is let go."""
    pair.begin(1)
    pair.all[0].kill()
    until(lambda: cluster.state_of(standby_name(pair.relay)) == "sync", KILLED_SECONDS, "relay")
    waiting = commit("truncate hotel, room, hotel_tag")
    waiting.join(HANGS_SECONDS)
    assert waiting.waits
    pair.all[0].start()
    waiting.returned(PATIENCE_SECONDS)
    committer = pair.committer(first=100).many(10)
    assert not committer.missed
