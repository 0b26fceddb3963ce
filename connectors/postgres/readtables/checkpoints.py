"""Keeps the checkpoint of each pipeline as one row of a table of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

import orjson
from psycopg import errors, sql

from cdc_daemon.errors import SinkError, TakenOverError
from cdc_daemon.events.stored import CHECKPOINT_FORMAT, checkpoint_of
from connectors.postgres.readtables.owntables import CHECKPOINTS

if TYPE_CHECKING:
    from uuid import UUID

    from cdc_daemon.events import Checkpoint
    from connectors.postgres.readtables.server import Server
    from connectors.postgres.session import Connection

_LOAD: Final = "select revision, format, checkpoint from {table} where pipeline = %s"
_STORE: Final = """
insert into {table} as there (pipeline, format, revision, position, stored_at, checkpoint)
select %(pipeline)s, %(format)s, %(revision)s, %(position)s, clock_timestamp(), %(checkpoint)s
where %(replaces)s::uuid is null or exists (select from {table} where pipeline = %(pipeline)s)
on conflict (pipeline) do update
set format = excluded.format, revision = excluded.revision, position = excluded.position,
    stored_at = excluded.stored_at, checkpoint = excluded.checkpoint
where there.revision = %(replaces)s
"""


class There(NamedTuple):
    """What is stored, and what names it for a write that replaces it."""

    checkpoint: Checkpoint | None = None
    revision: UUID | None = None


class ReadTableCheckpoints:
    """The checkpoint store. Any thread may use it, one at a time.

    Each write names the row that it replaces (its revision): of two daemons that each think that
    they run the pipeline, only the one that took over last can store.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._replaces: dict[str, UUID | None] = {}
        """Which revision the next write of a pipeline's checkpoint replaces; None: none at all."""

    def load(self, pipeline: str) -> Checkpoint | None:
        """The last one stored; None on the first start."""
        with self._server.session("read the checkpoint") as connection:
            there = self._there(connection, pipeline)
        self._replaces[pipeline] = there.revision
        return there.checkpoint

    def store(self, checkpoint: Checkpoint) -> None:
        """Return when it is durable. Raises TakenOverError after another owner's."""
        with self._server.session("store the checkpoint") as connection:
            CHECKPOINTS.ensure(connection, self._server.schema)
            if self._stored(connection, checkpoint):
                return
            there = self._there(connection, checkpoint.pipeline)
            if there.checkpoint is None or there.checkpoint.owner == checkpoint.owner:
                # Somebody deleted the row, or the answer to an earlier attempt of ours was lost.
                self._replaces[checkpoint.pipeline] = there.revision
                if self._stored(connection, checkpoint):
                    return
        raise TakenOverError(
            f"another daemon has taken over the pipeline {checkpoint.pipeline}: it has stored its "
            "checkpoint since this one did, which gives way and overwrites nothing. If only one is "
            "to run, stop the other; if one is to wait for the other, set standby: true in both"
        )

    def _there(self, connection: Connection, pipeline: str) -> There:
        try:
            row = connection.execute(self._sql(_LOAD), [pipeline]).fetchone()
        except errors.UndefinedTable:
            return There()
        if row is None:
            return There()
        revision, found, kept = row
        if found != CHECKPOINT_FORMAT:
            raise SinkError(
                f"The checkpoint in table {self._server.schema}.{CHECKPOINTS.name} has format "
                f"{found}, and this version of cdc-daemon reads {CHECKPOINT_FORMAT}: use the "
                "version that wrote it."
            )
        return There(checkpoint_of(kept), revision)

    def _stored(self, connection: Connection, checkpoint: Checkpoint) -> bool:
        """Whether it is; not if another row is there than the one that it was to replace."""
        revision = uuid4()
        stored = connection.execute(
            self._sql(_STORE),
            {
                "pipeline": checkpoint.pipeline,
                "format": CHECKPOINT_FORMAT,
                "revision": revision,
                "replaces": self._replaces.get(checkpoint.pipeline),
                "position": checkpoint.position,
                "checkpoint": orjson.dumps(checkpoint).decode(),
            },
        )
        if stored.rowcount:
            self._replaces[checkpoint.pipeline] = revision
        return bool(stored.rowcount)

    def _sql(self, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(table=CHECKPOINTS.within(self._server.schema))
