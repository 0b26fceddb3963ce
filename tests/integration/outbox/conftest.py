"""Outboxes on fresh databases, and the table that their changes add up to."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from connectors.outbox import OutboxSource
from connectors.outbox.config import OutboxConfig
from tests.generators.outboxes import install_outbox
from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

Connection = psycopg.Connection[tuple[Any, ...]]
PIPELINE = "shop"
ITEM = "create table item (id int primary key, note text)"


class MakeOutbox(Protocol):
    """Builds sources that are closed at the end of the test."""

    def __call__(
        self, *tables: str, install: bool = True, dsn: str = "", **settings: Any
    ) -> OutboxSource:
        """For these tables, whose triggers are installed first; `settings` are of `source:`."""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Writes, as the application."""
    with psycopg.connect(database.dsn, autocommit=True) as made:
        yield made


@pytest.fixture
def make_outbox(database: Database) -> Iterator[MakeOutbox]:
    """On the test's database."""
    with ExitStack() as stack:

        def make(
            *tables: str, install: bool = True, dsn: str = "", **settings: Any
        ) -> OutboxSource:
            if install:
                install_outbox(database.dsn, PIPELINE, tables)
            config = OutboxConfig.model_validate(
                {
                    "type": "outbox",
                    "dsn": dsn or database.dsn,
                    "poll_interval": "50ms",
                    "reader_wait": "2s",
                    **settings,
                }
            )
            made = OutboxSource(config, pipeline=PIPELINE)
            stack.callback(made.close)
            return made

        yield make
