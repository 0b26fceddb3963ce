"""The journal is replicated with the outbox: a promoted standby knows how far the reader was."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psycopg
import pytest
from opensearchpy import OpenSearch

from cdc_daemon.client import Policy, ReadModels, Session, Token, commit
from cdc_daemon.errors import ForeignTokenError
from connectors.postgres.lsn import format_lsn
from tests.generators.outbox_rows import Added
from tests.generators.outboxes import install_outbox
from tests.generators.running_daemon import until
from tests.generators.standby import Pair, dsn_of_both, private_pair, promote, standby_of
from tests.integration.outbox.conftest import ITEM, PIPELINE
from tests.integration.outbox.test_daemon import installed

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from cdc_daemon.events import Position
    from cdc_daemon.ports import Source
    from tests.conftest import StartPostgres
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.outbox.conftest import Connection, MakeOutbox
    from tests.integration.pipeline.conftest import StartDaemon

__all__ = ["private_pair"]

PATIENT = Policy(timeout_seconds=60)


def test_a_promoted_standby_is_followed_on(
    private_postgres: StartPostgres, make_outbox: MakeOutbox
) -> None:
    """What was read is shared, what wasn't confirmed comes again, and what is new comes."""
    primary = private_postgres()
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute(ITEM)
        install_outbox(primary.dsn, PIPELINE, ["item"])
        added = Added(make_outbox(install=False, dsn=primary.dsn), "item")
        place = added.begin()
        before = added.source.identity()
        connection.execute("insert into item values (1, 'a')")
        added.follow()
        with standby_of(primary) as standby:
            connection.execute("insert into item values (2, 'b')")
            added.follow()
            promote(primary, standby)
            with psycopg.connect(standby.dsn, autocommit=True) as writer:
                until(lambda: is_primary(writer), 60, "it is promoted")
            later = Added(make_outbox(install=False, dsn=standby.dsn), "item", ["id"])
            assert later.source.identity() != before
            require_shared(later.source, before, added.commits[-1].position)
            later.source.start(later.relations, place)
            later.follow(2)
            assert set(later.rows) == {1, 2}
            with psycopg.connect(standby.dsn, autocommit=True) as writer:
                writer.execute("insert into item values (3, 'c')")
            later.follow()
            assert set(later.rows) == {1, 2, 3}
            later.source.close()


def require_shared(source: Source, before: str, shared: Position) -> None:
    """So much of an earlier timeline is known to be ours; tokens of it are good as far as that."""
    assert source.shared_until(before) == shared
    tokens = source.token_reader()
    assert tokens.read(f"{before}:{format_lsn(shared)}") == shared
    with pytest.raises(ForeignTokenError, match="may have been lost"):
        tokens.read(f"{before}:{format_lsn(shared + 64)}")


@pytest.fixture
def daemon(private_pair: Pair, start_daemon: StartDaemon) -> RunningDaemon:
    """It follows whichever of the two is the primary, and has loaded all."""
    with psycopg.connect(private_pair.primary.dsn, autocommit=True) as connection:
        connection.execute(ITEM)
        connection.execute("insert into item values (1, 'loaded')")
    items = {"from": "item", "fields": ["id", "note"], "freshness": "30s"}
    dsn = dsn_of_both(private_pair.primary, private_pair.standby)
    source = {"type": "outbox", "dsn": dsn, "poll_interval": "200ms"}
    daemon = start_daemon({"items": items}, start=False, source=source)
    installed(daemon)
    daemon.start()
    daemon.wait_until()
    return daemon


def test_a_session_reads_its_own_writes_over_a_failover(
    private_pair: Pair, daemon: RunningDaemon, opensearch: embedded.OpenSearchServer
) -> None:
    """Also what was committed just before, which nobody had read; what was lost is forgotten."""
    primary, standby = private_pair.primary, private_pair.standby
    search = OpenSearch(opensearch.url)
    with ReadModels(daemon.url, search) as models:
        session = Session([noted(primary.dsn, "first")])
        assert shown(models, session) == "first"
        daemon.signal(signal.SIGSTOP)
        before = noted(primary.dsn, "just before")
        session.note(before)
        promote(primary, standby)
        daemon.signal(signal.SIGCONT)
        with psycopg.connect(standby.dsn, autocommit=True) as writer:
            until(lambda: is_primary(writer), 60, "it is promoted")
        assert shown(models, session) == "just before"
        assert session.tokens == (Token(f"{before.system}/{before.timeline + 1}", before.lsn),)
        lost = Session([Token(before.epoch, before.lsn + 2**30)])
        assert shown(models, lost) == "just before"
        assert lost.tokens == ()
    search.close()


def shown(models: ReadModels, session: Session) -> str:
    """What a search of this user finds."""
    query = {"query": {"term": {"id": 1}}}
    found = models.search("items", query, session=session, policy=PATIENT)
    return str(found.documents[0]["note"])


def noted(dsn: str, note: str) -> Token:
    """Commit a change of one row."""
    with psycopg.connect(dsn) as connection:
        connection.execute("update item set note = %s where id = 1", [note])
        return commit(connection)


def is_primary(connection: Connection) -> bool:
    """Whether the promotion is done."""
    return connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
