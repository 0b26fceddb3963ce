from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.client import NotReplicatedError, strong
from tests.generators.rest import Rest
from tests.generators.running_daemon import until
from tests.integration.client.conftest import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.client.conftest import Shop

INSERT = "insert into booking (guest) values (%s)"


@pytest.fixture
def strong_shop(shop: Shop) -> Iterator[Shop]:
    """Its commits may wait for the daemon."""
    name = f"cdc-daemon:{shop.daemon.status()['pipeline']}"
    with psycopg.connect(shop.dsn, autocommit=True) as administrator:
        set_names(administrator, f'FIRST 1 ("{name}")')
        until(
            lambda: shop.daemon.metrics().get("cdc_strong_active") == 1,
            PATIENCE_SECONDS,
            "the daemon knows that commits wait for it",
        )
        yield shop
        set_names(administrator, "")


def set_names(administrator: psycopg.Connection, names: str) -> None:
    """Those that commits wait for; this commit itself waits for none."""
    administrator.execute("set synchronous_commit = local")
    administrator.execute(f"alter system set synchronous_standby_names = '{names}'")
    administrator.execute("select pg_reload_conf()")


def test_a_strong_commit_is_searchable_when_it_returns(strong_shop: Shop, guest: str) -> None:
    """A plain search right after it, by anybody, finds it: no token is needed."""
    search = Rest(strong_shop.opensearch_url)
    with psycopg.connect(strong_shop.dsn) as connection:
        for number in range(1, 16):
            with strong(connection, PATIENCE_SECONDS) as confirmation:
                connection.execute(INSERT, [guest])
            assert confirmation.confirmed
            found = search.post("/bookings/_count", {"query": {"term": {"guest": guest}}})
            assert found["count"] == number


def test_a_frozen_daemon_holds_a_strong_commit_no_longer_than_asked(
    strong_shop: Shop, guest: str
) -> None:
    """Then it is committed, and its token can be waited for as soon as the daemon is back."""
    with psycopg.connect(strong_shop.dsn) as connection, strong_shop.models() as models:
        strong_shop.daemon.signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(NotReplicatedError) as raised, strong(connection, 0.5):
            connection.execute(INSERT, [guest])
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert len(strong_shop.from_source(guest)) == 1
        strong_shop.daemon.signal(signal.SIGCONT)
        assert models.wait(raised.value.token, "bookings", timeout=PATIENCE_SECONDS).reached
