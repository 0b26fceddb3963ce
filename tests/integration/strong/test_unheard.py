"""Projectors that aren't heard any more, though what they have said is still there."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from cdc_daemon.errors import SourceError
from connectors.kafka.session import KafkaSection
from connectors.kafka.topics import Topics
from connectors.relay.group import Seats
from connectors.relay.words import groups_of, leading
from tests.generators.forked import command
from tests.generators.running_daemon import until
from tests.integration.joined.conftest import store  # noqa: F401 - a fixture
from tests.integration.strong.conftest import run_strong
from tests.integration.strong.test_away import HANGS_SECONDS
from tests.integration.strong.test_projectors import SECONDS, Pair, pair  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from cdc_daemon.embedded import KafkaServer
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.strong.conftest import StartCommit

GONE = "that may lead is there"


def change(daemon: RunningDaemon, **sections: Any) -> None:
    """From its next start on it has these."""
    configuration = json.loads(daemon.file.read_text())
    daemon.file.write_text(json.dumps(configuration | sections))


def wait_trouble(pair: Pair, why: str) -> None:  # noqa: F811 - a parameter
    """The relay says that of its projectors."""

    def is_said() -> bool:
        return why in pair.relay.status()["projectors"][pair.name]["trouble"]

    until(is_said, SECONDS, f"it says {why}")


def test_commits_are_not_let_wait_for_projectors_that_are_gone(pair: Pair) -> None:  # noqa: F811 - the fixture
    """What they have said is kept for days: it says nothing of whether they are there."""
    pair.begin(1)
    pair.all[0].kill()
    wait_trouble(pair, GONE)
    until(lambda: pair.relay.total("cdc_strong_active") == 0, SECONDS, "it is said")
    status = run_strong(pair.relay, "status").stdout
    assert "Not now, though" in status
    assert GONE in status
    assert run_strong(pair.relay, "disable").returncode == 0
    refused = run_strong(pair.relay, "enable", "--yes")
    assert refused.returncode == 3
    assert GONE in refused.stderr
    assert GONE in command("check", str(pair.relay.file)).stdout
    pair.all[0].start()
    pair.wait_whole()
    assert run_strong(pair.relay, "enable", "--yes").returncode == 0


def test_who_leads_without_having_commits_wait_is_said(pair: Pair) -> None:  # noqa: F811 - the fixture
    """The configuration lacks it since a restart: what was said before isn't taken for theirs."""
    pair.begin(1)
    pair.all[0].kill()
    change(pair.all[0], consistency={})
    pair.all[0].start()
    wait_trouble(pair, "say nothing to commits that wait")
    pair.all[0].kill()
    change(pair.all[0], consistency={"strong": {}})
    pair.all[0].start()
    pair.wait_whole()
    assert not pair.committer().many(5).missed


def test_what_was_said_before_a_break_of_the_log_does_not_count(
    pair: Pair,  # noqa: F811 - the fixture
    commit: StartCommit,
    kafka: KafkaServer,
) -> None:
    """Though somebody is there: positions of a server that was restored come again."""
    pair.begin(1)
    assert not pair.committer().many(3).missed
    section = KafkaSection(bootstrap_servers=kafka.bootstrap_servers)
    pair.all[0].kill()
    with closing(Topics(section, "test", SourceError)) as topics:
        [group] = groups_of(pair.name, topics.names())
        leader = Seats(section, leading(group), 1, topics)
        leader.take_part(wanted=True)
        until(lambda: leader.look(0.1), SECONDS, "somebody leads who says nothing")
        pair.relay.kill()
        dropped = command("slot", "drop", str(pair.relay.file), "--yes")
        assert dropped.returncode == 0, dropped.stderr
        configuration = json.loads(pair.relay.file.read_text())
        change(
            pair.relay,
            relay={**configuration["relay"], "snapshot": "initial"},
            backfill={"when_lost": "load"},
        )
        pair.relay.start()
        pair.relay.wait_until("streaming")
        wait_trouble(pair, "break in the log")
        waiting = commit("insert into hotel values (100, 'new', 1)")
        waiting.join(HANGS_SECONDS)
        assert waiting.waits
        leader.take_part(wanted=False)
    pair.all[0].start()
    waiting.returned(SECONDS)
    pair.wait_whole()
    assert not pair.committer(first=200).many(5).missed
