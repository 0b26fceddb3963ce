"""The journal is replicated with the outbox: a promoted standby knows how far the reader was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.generators.outbox_rows import Added
from tests.generators.outboxes import install_outbox
from tests.generators.running_daemon import until
from tests.generators.standby import promote, standby_of
from tests.integration.outbox.conftest import ITEM, PIPELINE

if TYPE_CHECKING:
    from tests.conftest import StartPostgres
    from tests.integration.outbox.conftest import Connection, MakeOutbox


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
            assert later.source.shared_until(before) == added.commits[-1].position
            later.source.start(later.relations, place)
            later.follow(2)
            assert set(later.rows) == {1, 2}
            with psycopg.connect(standby.dsn, autocommit=True) as writer:
                writer.execute("insert into item values (3, 'c')")
            later.follow()
            assert set(later.rows) == {1, 2, 3}
            later.source.close()


def is_primary(connection: Connection) -> bool:
    """Whether the promotion is done."""
    return connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
