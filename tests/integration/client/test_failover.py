from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from opensearchpy import OpenSearch

from cdc_daemon.client import Policy, ReadModels, Session, Token, commit
from tests.generators.running_daemon import until
from tests.generators.standby import promote
from tests.integration.client.conftest import PATIENCE_SECONDS
from tests.integration.pipeline.test_failover import pair, unread  # noqa: F401 - the fixtures

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from tests.integration.pipeline.test_failover import Pair

PATIENT = Policy(timeout_seconds=PATIENCE_SECONDS)


def written(dsn: str, number: int) -> Token:
    """Commit a change of one row."""
    with psycopg.connect(dsn) as connection:
        connection.execute("update item set n = %s where id = 1", [number])
        return commit(connection)


def test_a_session_reads_its_own_writes_over_a_failover(
    pair: Pair,  # noqa: F811 - the fixture
    opensearch: embedded.OpenSearchServer,
) -> None:
    """What is committed on the new primary before the daemon follows it is waited for; what was
    lost with the old one is forgotten.
    """  # noqa: D205 - one sentence
    search = OpenSearch(opensearch.url)
    with ReadModels(pair.daemon.url, search) as models:

        def shown(session: Session) -> int:
            query = {"query": {"term": {"id": 1}}}
            found = models.search("items", query, session=session, policy=PATIENT)
            number: int = found.documents[0]["n"]
            return number

        session = Session()
        session.note(written(pair.primary.dsn, -1))
        assert shown(session) == -1
        before = session.tokens[0]
        promote(pair.primary, pair.standby)
        until(lambda: takes_writes(pair.dsn), PATIENCE_SECONDS, "there is a new primary")
        session.note(written(pair.dsn, -2))
        assert session.tokens[0].timeline == before.timeline + 1
        assert shown(session) == -2
        lost = Session([Token(before.epoch, session.tokens[0].lsn + 2**30)])
        assert shown(lost) == -2
        assert lost.tokens == ()
        assert shown(Session([before])) == -2
    search.close()


def takes_writes(dsn: str) -> bool:
    """Whether one of the servers is the primary."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
