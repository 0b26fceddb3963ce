"""The OpenSearch sink: puts the parts of this connector behind the daemon's port."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from cdc_daemon.errors import SinkError
from connectors.opensearch import indices
from connectors.opensearch.checkpoints import OpenSearchCheckpoints
from connectors.opensearch.client import Client
from connectors.opensearch.config import OpenSearchConfig
from connectors.opensearch.deadletters import OpenSearchDeadLetters
from connectors.opensearch.doctor import examine
from connectors.opensearch.documents import OpenSearchDocuments
from connectors.opensearch.errors import UNAUTHORIZED, RefusedError
from connectors.opensearch.forms import form_of
from connectors.opensearch.preflight import cluster_id, preflight
from connectors.opensearch.refresh import refresh
from connectors.opensearch.writer import OpenSearchWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel

    from cdc_daemon.events import Generation
    from cdc_daemon.ports import FieldSpec, Finding, ReadModel
    from cdc_daemon.values import Form

log = structlog.get_logger(__name__)

SHARED_CONNECTIONS: Final = 8
"""Kept open for everything but writing: refresher, checkpoint, status, commands."""
CAUTIOUS_REQUEST_BYTES: Final = 10 * 1024 * 1024
"""Where the server doesn't say how much it takes: the least that managed services take."""


class OpenSearchSink:
    """Documents into OpenSearch. Any thread may use it; each writer belongs to one thread."""

    config_model: ClassVar[type[BaseModel]] = OpenSearchConfig

    def __init__(self, config: OpenSearchConfig, *, pipeline: str) -> None:
        """Connects to nothing yet. Raises SinkError if certificates or credentials are missing."""
        self._config = config
        self._pipeline = pipeline
        self._client = Client(config, connections=SHARED_CONNECTIONS)
        self._checkpoints = OpenSearchCheckpoints(self._client)
        self._dead_letters = OpenSearchDeadLetters(self._client)
        self._documents = OpenSearchDocuments(self._client)
        self._max_bytes: int | None = None
        if not config.verify:
            log.warning(
                "certificates_not_verified",
                hosts=config.hosts,
                risk="anybody in between can read and change documents",
            )

    def identity(self) -> str:
        """The cluster's own number."""
        return cluster_id(self._client)

    def place(self, index: str) -> str:  # noqa: ARG002 - the port has it
        """It is one sink."""
        return ""

    def form(self, field: FieldSpec, projection: str) -> Form:  # noqa: ARG002 - as above
        """How the values of `field` are to be written; connects to nothing.

        Raises ConfigurationError where no form fits both the type and what is said of the field.
        """
        return form_of(field)

    def preflight(self, models: Sequence[ReadModel]) -> None:
        """Check server, names, settings and mappings; touches nothing. Raises SinkError."""
        preflight(self._client, models, pipeline=self._pipeline)

    def examine(self, subjects: Sequence[ReadModel]) -> Iterator[Finding]:
        """Look at everything that could keep the read models from being written."""
        return examine(self._client, subjects, pipeline=self._pipeline)

    def create_generation(self, model: ReadModel) -> Generation:
        """Make a new, empty index for `model`; nobody searches it yet."""
        return indices.create_generation(self._client, model, pipeline=self._pipeline)

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """Let the index take the fields of `model` that it lacks; False where it can't."""
        return indices.extend_generation(self._client, generation, model)

    def publish(self, generation: Generation) -> list[str]:
        """Point the read model's alias at `generation`, at once and from nowhere else.

        Returns the indices of ours that had it until now.
        """
        return indices.publish(self._client, generation, pipeline=self._pipeline)

    def drop_generation(self, generation: Generation) -> None:
        """Delete an index that nobody searches any more. Quiet if it is gone."""
        indices.drop_generation(self._client, generation)

    def find_generation(self, index: str) -> str | None:
        """The UUID of the index, None if there is none: another UUID is another index."""
        return indices.find_uuid(self._client, index)

    def is_searched(self, projection: str) -> bool:
        """Whether an index has the alias."""
        return bool(indices.alias_holders(self._client, projection))

    def shows_at_once(self, index: str) -> bool:  # noqa: ARG002 - the port has it
        """Nothing is found before a refresh."""
        return False

    def writer(self, place: str = "") -> OpenSearchWriter:  # noqa: ARG002 - the port has it
        """A new connection for a sender thread."""
        if self._max_bytes is None:
            self._max_bytes = self._request_limit()
        return OpenSearchWriter(Client(self._config), max_bytes=self._max_bytes)

    def refresh(self, indices: Sequence[str]) -> None:
        """Make everything written before searchable. Raises RetryError if a shard failed."""
        refresh(self._client, indices)

    @property
    def checkpoints(self) -> OpenSearchCheckpoints:
        """Where the checkpoint lives."""
        return self._checkpoints

    @property
    def dead_letters(self) -> OpenSearchDeadLetters:
        """Where dead letters live."""
        return self._dead_letters

    @property
    def documents(self) -> OpenSearchDocuments:
        """For looking documents up."""
        return self._documents

    def close(self) -> None:
        """Release all connections but the writers'. Safe to call twice."""
        self._client.close()

    def _request_limit(self) -> int:
        """How many bytes every node takes in one request."""
        try:
            answer = self._client.ask("read the nodes' limits", "GET", "/_nodes/http")
            limits = [
                int(node["http"]["max_content_length_in_bytes"])
                for node in answer["nodes"].values()
                if "http" in node
            ]
        except RefusedError as refusal:
            if refusal.status == UNAUTHORIZED:
                raise
            limits = []
        except (KeyError, TypeError) as error:
            raise SinkError(f"{self._client.where} does not answer like OpenSearch.") from error
        return min(limits, default=CAUTIOUS_REQUEST_BYTES)
