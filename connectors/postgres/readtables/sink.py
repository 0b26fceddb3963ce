"""Read tables as a sink: puts the parts of this package behind the daemon's port."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from cdc_daemon.values import Form
from connectors.postgres.readtables import generations
from connectors.postgres.readtables.checkpoints import ReadTableCheckpoints
from connectors.postgres.readtables.config import ReadTablesConfig
from connectors.postgres.readtables.deadletters import ReadTableDeadLetters
from connectors.postgres.readtables.doctor import examine
from connectors.postgres.readtables.documents import ReadTableDocuments
from connectors.postgres.readtables.preflight import preflight
from connectors.postgres.readtables.server import Server
from connectors.postgres.readtables.writer import ReadTableWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel

    from cdc_daemon.events import Generation
    from cdc_daemon.ports import FieldSpec, Finding, ReadModel

_IDENTITY: Final = """
select system_identifier, (select oid from pg_database where datname = current_database())
from pg_catalog.pg_control_system()
"""


class ReadTables:
    """Documents into tables. Any thread may use it; each writer belongs to one thread."""

    config_model: ClassVar[type[BaseModel]] = ReadTablesConfig

    def __init__(self, config: ReadTablesConfig, *, pipeline: str) -> None:
        """Connects to nothing yet."""
        self._pipeline = pipeline
        self._server = Server(config, name=f"cdc-daemon-sink:{pipeline}")
        self._checkpoints = ReadTableCheckpoints(self._server)
        self._dead_letters = ReadTableDeadLetters(self._server)
        self._documents = ReadTableDocuments(self._server)

    def identity(self) -> str:
        """Cluster, database and schema; of any history, as `preflight` takes it, which follows."""
        self._server.adopt()
        with self._server.session("ask the server who it is") as connection:
            [(system, database)] = connection.execute(_IDENTITY)
        return f"{system}/{database}/{self._server.schema}"

    def place(self, index: str) -> str:  # noqa: ARG002 - the port has it
        """It is one sink."""
        return ""

    def form(self, field: FieldSpec, projection: str) -> Form:  # noqa: ARG002 - the port has it
        """PostgreSQL's own text: its columns take every value of its types, `infinity` too."""
        return Form.TEXT

    def preflight(self, models: Sequence[ReadModel]) -> None:
        """Check server, rights, names and indexes; touches nothing. Raises SinkError.

        From here on this is the history of the server that is written in.
        """
        self._server.adopt()
        with self._server.session("check the read tables") as connection:
            preflight(connection, self._server.schema, models, pipeline=self._pipeline)

    def examine(self, subjects: Sequence[ReadModel]) -> Iterator[Finding]:
        """Look at everything that could keep the read models from being written."""
        with self._server.session("check the read tables") as connection:
            yield from examine(connection, self._server.schema, subjects, pipeline=self._pipeline)

    def create_generation(self, model: ReadModel) -> Generation:
        """Make a new, empty table for `model`; nobody searches it yet."""
        return generations.create_generation(self._server, model, pipeline=self._pipeline)

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """Let the table have the columns of `model` that it lacks; False where it can't."""
        return generations.extend_generation(self._server, generation, model)

    def publish(self, generation: Generation) -> list[str]:
        """Let the read model's view show `generation`, at once and nothing else.

        Returns the tables of ours that it showed until now.
        """
        return generations.publish(self._server, generation, pipeline=self._pipeline)

    def drop_generation(self, generation: Generation) -> None:
        """Drop a table that no view shows any more. Quiet if it is gone."""
        generations.drop_generation(self._server, generation)

    def find_generation(self, index: str) -> str | None:
        """The UUID of the table, None if there is none: another UUID is another table."""
        return generations.find_uuid(self._server, index)

    def is_searched(self, projection: str) -> bool:
        """Whether the view is there: what one shows is found, also a table that was given up."""
        return generations.is_shown(self._server, projection)

    def shows_at_once(self, index: str) -> bool:  # noqa: ARG002 - the port has it
        """A COMMIT is visible once it is durable."""
        return True

    def writer(self, place: str = "") -> ReadTableWriter:  # noqa: ARG002 - the port has it
        """A new connection for a sender thread."""
        return ReadTableWriter(self._server)

    def refresh(self, indices: Sequence[str]) -> None:
        """Nothing needs it: only sees that the tables are there. Raises SinkError if not."""
        generations.require_tables(self._server, indices)

    @property
    def checkpoints(self) -> ReadTableCheckpoints:
        """Where the checkpoint lives."""
        return self._checkpoints

    @property
    def dead_letters(self) -> ReadTableDeadLetters:
        """Where dead letters live."""
        return self._dead_letters

    @property
    def documents(self) -> ReadTableDocuments:
        """For looking documents up."""
        return self._documents

    def close(self) -> None:
        """Release all connections but the writers'. Safe to call twice."""
        self._server.close()
