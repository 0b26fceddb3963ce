"""Random worlds that a daemon follows while it and its servers are killed, with SQL as the oracle.

Sessions race, so that the same steps may meet in another order.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psycopg

from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.explained import explained
from tests.generators.joined_world import JoinedWorld
from tests.generators.low_bounds import bounded_by, random_bounds
from tests.generators.running_daemon import until
from tests.generators.world_journal import Journal
from tests.generators.world_sampler import WorldSampler
from tests.generators.world_writers import Writers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdc_daemon.embedded import KafkaServer, OpenSearchServer, PostgresServer
    from tests.conftest import Database
    from tests.generators.searched import Searched

SLOW_SECONDS = 2.0
FAST_SECONDS = 0.3
"""Between two transactions of a session, at most. A daemon that starts needs the machine more than
they do: commits before are as good as commits after."""
POLL_SECONDS = 0.05
SETTLED_SECONDS = 90.0
SHOWN = 3


class Follower(Protocol):
    """What follows the worlds: a daemon, or several that share the documents."""

    @property
    def file(self) -> Path:
        """Its configuration."""

    @property
    def prepare(self) -> Callable[[], None] | None:
        """Called in each process of it before each start."""

    @prepare.setter
    def prepare(self, prepare: Callable[[], None] | None) -> None: ...

    def start(self) -> None:
        """Begin to follow."""

    def status(self) -> dict[str, Any]:
        """As `RunningDaemon` has it, as all below."""

    def wait_until(self, state: str, seconds: float) -> None:
        """Wait until it is in a state."""

    def catch_up(self, seconds: float) -> None:
        """Wait until all is searchable."""

    def break_one(self, rng: Random) -> str:
        """Something happens to a process of it, which goes on in the end; says what."""

    def close(self) -> None:
        """Make sure that it has ended."""


class Servers:
    """What may be killed under a daemon."""

    def __init__(self, *servers: PostgresServer | OpenSearchServer | KafkaServer) -> None:
        self._servers = servers

    def kill_one(self, rng: Random) -> str:
        """And start it again."""
        server = rng.choice(self._servers)
        server.kill()
        time.sleep(rng.uniform(0, 0.5))
        server.start()
        return "a server is killed"


class How(NamedTuple):
    """How worlds are followed."""

    together: int = 12
    """That share a daemon, and its state: starts and waits are dear, not worlds."""
    commits: int = 40
    """Of each world, at least, once the daemon follows after all that happened to it."""
    most_kills: int = 10
    proof_share: float = 0.0
    """Of PROOF_SECONDS; else half of PROPERTY_SECONDS."""
    each_commit: bool = True
    """The source tells one transaction from another; else only the end is looked at."""
    install: Callable[[Path], None] = lambda _: None
    """Makes what the configuration of that path needs beside it."""


ORDINARY = How()


class Together:
    """Some worlds, which one daemon follows."""

    def __init__(
        self,
        database: Database,
        daemon: Follower,
        searched: Searched,
        rng: Random,
        how: How,
    ) -> None:
        self._how = how
        self._database, self._daemon, self._searched, self._rng = database, daemon, searched, rng
        self._name = f"w{uuid.uuid4().hex[:8]}"
        self._connection = psycopg.connect(database.dsn, autocommit=True)
        self._worlds = [
            JoinedWorld(rng, f"{self._name}{at}", self._connection) for at in range(how.together)
        ]
        self._journals: list[Journal] = []
        self._sampled: dict[str, Journal] = {}
        self._bounds = random_bounds(rng)
        self.counts: Counter[str] = Counter()

    def make(self) -> None:
        """Tables with rows, and the configuration; nothing follows them yet."""
        self._daemon.prepare = None if self._bounds is None else bounded_by(self._bounds)
        projections: dict[str, Any] = {}
        for each in self._worlds:
            each.make(with_flat=each is self._worlds[0])
            projections |= each.projections
        file = self._daemon.file
        said = json.loads(file.read_text())
        memory = {"transaction": self._rng.choice(("20kB", "64MB"))}
        said |= {"name": self._name, "projections": projections, "memory": memory}
        said["backfill"] = {"chunk": self._rng.choice(("8kB", "1MB"))}
        file.write_text(json.dumps(said))
        self._how.install(file)
        queries = explained(file)
        for each in self._worlds:
            each.leave_out_large(queries)
            own = {name: queries[name] for name in each.projections}
            journal = Journal(self._database.dsn, own)
            self._journals.append(journal)
            self._sampled |= dict.fromkeys(own, journal)
        said = json.loads(file.read_text())
        said["projections"] = {name: projections[name] for name in self._sampled}
        file.write_text(json.dumps(said))

    def described(self) -> str:
        """All that a person needs to see the same."""
        return "\n".join([str(self._bounds), *(each.described() for each in self._worlds)])

    def remove(self) -> None:
        """Leave nothing behind."""
        self._daemon.close()
        self._connection.close()
        with psycopg.connect(self._database.dsn, autocommit=True) as connection:
            until(lambda: self._slot_is_free(connection), 10, "the slot is free")
            connection.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                f" where slot_name = 'cdc_{self._name}'"
            )
            connection.execute(f"drop publication if exists cdc_{self._name}")
            for statement in (line for each in self._worlds for line in each.world.drop):
                connection.execute(statement.encode())
        for journal in self._journals:
            journal.close()
        self._searched.remove(list(self._sampled))

    def _slot_is_free(self, connection: psycopg.Connection[Any]) -> bool:
        query = "select from pg_replication_slots where slot_name = %s and active"
        return connection.execute(query, [f"cdc_{self._name}"]).fetchone() is None

    def follow(self, servers: Servers | None) -> None:
        """Sessions write while a daemon loads and follows, and is killed now and then."""
        sampler = WorldSampler(self._searched, self._sampled)
        with sampler, ExitStack() as stack:
            writers = [
                stack.enter_context(
                    Writers(
                        *(self._database.dsn, each.world, journal, self._rng),
                        pause_seconds=SLOW_SECONDS,
                    )
                )
                for each, journal in zip(self._worlds, self._journals, strict=True)
            ]
            self._daemon.start()
            until(self._has_started, SETTLED_SECONDS, "it has a slot", POLL_SECONDS)
            for journal in self._journals:
                journal.followed.set()
            if servers is not None:
                for _ in range(self._rng.randint(1, self._how.most_kills)):
                    self._break(servers)
            self._daemon.wait_until("streaming", SETTLED_SECONDS)
            for each in writers:
                each.pace(FAST_SECONDS)
            enough = [journal.commits + self._how.commits for journal in self._journals]
            until(
                lambda: self._have_committed(enough),
                *(SETTLED_SECONDS, "enough is committed", POLL_SECONDS),
            )
        self._compare(sampler)

    def _have_committed(self, enough: list[int]) -> bool:
        return all(
            journal.commits >= wanted
            for journal, wanted in zip(self._journals, enough, strict=True)
        )

    def _break(self, servers: Servers) -> None:
        """At any moment, also while it loads; the daemon also while it starts."""
        is_server = self._rng.random() < 0.2
        if is_server:
            until(self._has_started, SETTLED_SECONDS, "it goes by what is reachable", POLL_SECONDS)
        elif self._rng.random() < 0.6:
            self._daemon.wait_until("streaming", SETTLED_SECONDS)
        time.sleep(self._rng.uniform(0, 1))
        if is_server:
            self.counts[servers.kill_one(self._rng)] += 1
        else:
            self.counts[self._daemon.break_one(self._rng)] += 1

    def _has_started(self) -> bool:
        return self._daemon.status().get("state") in {"loading", "streaming"}

    def _compare(self, sampler: WorldSampler) -> None:
        self._settle()
        self.counts["worlds"] += len(self._worlds)
        self.counts["with wide changes"] += len(self._worlds) * (self._bounds is not None)
        self.counts["samples"] += sampler.samples
        for journal in self._journals:
            self.counts["commits"] += journal.commits
            self.counts["models"] += len(journal.judged)
            for name in journal.judged:
                self._compare_one(name, journal)
        wrong = sampler.judge() if self._how.each_commit else []
        assert not wrong, "\n".join(wrong[:SHOWN])
        assert not self._daemon.status()["dead_letters"], self._daemon.status()

    def _settle(self) -> None:
        """Wait until all is searchable and nothing is loaded, which may begin late: what a truncate
        has done to partitions is noticed within a second, and their read models stand still then.
        """  # noqa: D205 - one sentence
        while True:
            self._daemon.wait_until("streaming", SETTLED_SECONDS)
            self._daemon.catch_up(SETTLED_SECONDS)
            if self._daemon.status().get("state") == "streaming":
                return

    def _compare_one(self, name: str, journal: Journal) -> None:
        found = self._searched.hits(name)
        documents = {hit["_id"]: hit["_source"] for hit in found}
        assert len(found) == len(documents), f"{name}: {[hit['_id'] for hit in found]}"
        meant = journal.now(name)
        self.counts["documents"] += len(meant)
        for key in documents.keys() | meant:
            found_one, meant_one = documents.get(key), meant.get(key)
            assert found_one == meant_one, f"{name} {key}: {found_one}\nmeant: {meant_one}"


def played(together: Together, servers: Servers | None) -> Counter[str]:
    """All of it, and what it was."""
    together.make()
    try:
        together.follow(servers)
    except BaseException as error:
        error.add_note(together.described())
        raise
    finally:
        together.remove()
    return together.counts


def play_worlds(
    database: Database,
    daemon: Follower,
    searched: Searched,
    servers: Servers | None,
    how: How = ORDINARY,
) -> None:
    """One round after the other, as long as there is time; says what was done, to replay it."""
    seed, _ = seeded()
    counts: Counter[str] = Counter()
    try:
        for number in rounds(0.5, proof_share=how.proof_share):
            with repeatable(seed + number):
                together = Together(database, daemon, searched, Random(seed + number), how)
                counts += played(together, servers)
    finally:
        print(f"\n[worlds: {dict(counts)}; seed {seed}]", file=sys.stderr)  # noqa: T201 - how much, how to replay
