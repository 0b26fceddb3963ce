"""Outboxes, installed as the command does it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from cdc_daemon.ports import TableRequest
from connectors.outbox.config import DEFAULT_SCHEMA
from connectors.outbox.installing import find_installed, run_steps, steps
from connectors.outbox.noting import Noting
from connectors.postgres.database import Database

if TYPE_CHECKING:
    from collections.abc import Sequence


def install_outbox(
    dsn: str,
    pipeline: str,
    tables: Sequence[str],
    schema: str = DEFAULT_SCHEMA,
    *,
    notify: bool = True,
) -> None:
    """Make outbox and triggers for these tables."""
    with closing(Database(dsn, "test")) as database:
        relations = database.describe([TableRequest(name) for name in tables])
        candidates, _ = database.candidates(relations)
        installed = find_installed(database.queries(), schema, pipeline)
        run_steps(database.queries(), list(steps(installed, Noting(candidates, ()), notify=notify)))
