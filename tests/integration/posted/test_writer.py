"""The client's writer on real servers: one round trip, whatever the connection, and what fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from cdc_daemon.client import (
    AsyncWriter,
    Changes,
    ClientError,
    NotCommittedError,
    NotPostedError,
    Writer,
    commit_versioned,
)
from cdc_daemon.client import sqlalchemy as for_sqlalchemy
from cdc_daemon.embedded.ports import free_port
from tests.integration.posted.conftest import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.posted.conftest import Shop

INSERT = "insert into hotel (id, name, stars) values (%s, 'Ritz', 4.5) returning *"
TABLE = "public.hotel"
PATIENCE_SECONDS = 60.0


@pytest.fixture
def writer(shop: Shop) -> Iterator[Writer]:
    """As an application has it."""
    made = Writer(shop.daemon.url, KEY, wait="searchable", timeout=PATIENCE_SECONDS)
    yield made
    made.close()


def test_it_commits_and_posts(shop: Shop, writer: Writer, hotel: int) -> None:
    """What was written is searched, and there is a token behind it."""
    with shop.stream_stopped(), shop.connect(row_factory=dict_row) as connection:
        changes = Changes()
        changes.upsert(TABLE, connection.execute(INSERT, [hotel]).fetchone() or {})
        posted = writer.commit(connection, changes)
        assert (posted.outcome, posted.searchable) == ("written", True)
        assert shop.name_shown(hotel) == "Ritz"
        connection.execute("delete from hotel where id = %s", [hotel])
        gone = Changes()
        gone.delete(TABLE, {"id": hotel})
        after = writer.commit(connection, gone)
        assert shop.document(hotel) is None
        assert after.token.lsn > posted.token.lsn
    shop.daemon.catch_up()
    assert shop.document(hotel) is None


def test_it_does_so_with_asyncio(shop: Shop, hotel: int) -> None:
    """The same, awaited."""

    async def write() -> str:
        writer = AsyncWriter(shop.daemon.url, KEY, timeout=PATIENCE_SECONDS)
        connecting: Any = psycopg.AsyncConnection.connect(shop.dsn, row_factory=dict_row)
        async with await connecting as connection:
            changes = Changes()
            cursor = await connection.execute(INSERT, [hotel])
            changes.upsert(TABLE, await cursor.fetchone())
            posted = await writer.commit(connection, changes)
        await writer.close()
        return posted.outcome

    with shop.stream_stopped():
        assert asyncio.run(write()) == "written"
        assert shop.name_shown(hotel) == "Ritz"


def test_it_does_so_with_sqlalchemy(shop: Shop, writer: Writer, hotel: int) -> None:
    """Committed by the session, posted by the writer."""
    engine = create_engine(shop.dsn.replace("postgresql://", "postgresql+psycopg://"))
    with shop.stream_stopped(), Session(engine) as session:
        changes = Changes()
        found = session.execute(text(INSERT % hotel)).mappings().one()
        changes.upsert(TABLE, dict(found))
        posted = writer.post(changes, for_sqlalchemy.commit_versioned(session))
        assert posted.outcome == "written"
    assert shop.name_shown(hotel) == "Ritz"
    engine.dispose()


def test_what_is_not_posted_is_left_to_the_stream(shop: Shop, hotel: int) -> None:
    """Or raises, where that was asked for: committed it is all the same."""
    nobody = f"http://127.0.0.1:{free_port()}"
    for on_failure in ("leave", "raise"):
        writer = Writer(nobody, KEY, timeout=0.5, on_failure=on_failure)
        id_ = hotel if on_failure == "leave" else -hotel
        with shop.connect(row_factory=dict_row) as connection:
            changes = Changes()
            changes.upsert(TABLE, connection.execute(INSERT, [id_]).fetchone() or {})
            if on_failure == "leave":
                posted = writer.commit(connection, changes)
                assert posted.is_left
                assert "no answer" in posted.why
            else:
                with pytest.raises(NotPostedError, match="committed, but not posted"):
                    writer.commit(connection, changes)
        writer.close()
    shop.daemon.catch_up()
    assert (shop.name_shown(hotel), shop.name_shown(-hotel)) == ("Ritz", "Ritz")


def test_nothing_is_posted_that_is_not_committed(shop: Shop, writer: Writer, hotel: int) -> None:
    """A transaction that has failed, and none at all."""
    changes = Changes()
    changes.upsert(TABLE, {"id": hotel, "name": "never", "stars": 1, "draft": False})
    with shop.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select from nowhere")
        with pytest.raises(NotCommittedError):
            writer.commit(connection, changes)
    with shop.connect(autocommit=True) as connection, pytest.raises(ClientError, match="no transa"):
        writer.commit(connection, changes)
    assert shop.document(hotel) is None


def test_what_a_crash_could_lose_is_not_shown(shop: Shop) -> None:
    """A commit that needn't be on disk is on disk, if its version is read."""
    with shop.connect() as connection:
        connection.execute("set local synchronous_commit = off")
        connection.execute("create temporary table t ()")
        committed = commit_versioned(connection)
        row = connection.execute("select pg_current_wal_flush_lsn() - '0/0'").fetchone()
    assert row is not None
    assert committed.version.lsn < committed.token.lsn
    assert row[0] >= committed.version.lsn
