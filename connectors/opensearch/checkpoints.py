"""Keeps the checkpoint of each pipeline as one document of an index of our own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from cdc_daemon.errors import SinkError, TakenOverError
from cdc_daemon.events.stored import CHECKPOINT_FORMAT, checkpoint_of
from connectors.opensearch.errors import CONFLICT, NOT_FOUND
from connectors.opensearch.ownindex import OwnIndex

if TYPE_CHECKING:
    from cdc_daemon.events import Checkpoint
    from connectors.opensearch.client import Client

INDEX: Final = OwnIndex(
    "cdc-daemon-checkpoints",
    {
        "format": {"type": "integer"},
        "pipeline": {"type": "keyword"},
        "position": {"type": "long"},
        "stored_at": {"type": "date", "format": "epoch_millis"},
        # Only read back, never searched: any shape fits.
        "checkpoint": {"type": "object", "enabled": False},
    },
)


class There(NamedTuple):
    """What is stored, and the parameters of a write that replaces it."""

    checkpoint: Checkpoint | None
    name: dict[str, str]


class OpenSearchCheckpoints:
    """The checkpoint store. Any thread may use it, one at a time.

    Each write names the document that it replaces (its sequence number): of two daemons that each
    think that they run the pipeline, only the one that took over last can store.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._replaces: dict[str, dict[str, str]] = {}
        """Which document the next write of a pipeline's checkpoint replaces, as parameters."""

    def load(self, pipeline: str) -> Checkpoint | None:
        """The last one stored (a get by id sees it at once); None on the first start."""
        there = self._there(pipeline)
        self._replaces[pipeline] = there.name
        return there.checkpoint

    def store(self, checkpoint: Checkpoint) -> None:
        """Return when it is durable. Raises TakenOverError after another owner's."""
        if self._stored(checkpoint):
            return
        there = self._there(checkpoint.pipeline)
        if there.checkpoint is None or there.checkpoint.owner == checkpoint.owner:
            # Somebody deleted the index, or the answer to an earlier attempt of ours was lost.
            self._replaces[checkpoint.pipeline] = there.name
            if self._stored(checkpoint):
                return
        raise TakenOverError(
            f"another daemon has taken over the pipeline {checkpoint.pipeline}: it has stored its "
            "checkpoint since this one did, which gives way and overwrites nothing. If only one is "
            "to run, stop the other; if one is to wait for the other, set standby: true in both"
        )

    def _there(self, pipeline: str) -> There:
        path = self._path(pipeline)
        found = self._client.ask("read the checkpoint", "GET", path, ok=(NOT_FOUND,))
        if not found.get("found"):
            return There(None, {"op_type": "create"})
        return There(_from_document(found["_source"]), _name_of(found))

    def _stored(self, checkpoint: Checkpoint) -> bool:
        """Whether it is; not if another document is there than the one that it was to replace."""
        INDEX.ensure(self._client)
        body = {
            "format": CHECKPOINT_FORMAT,
            "pipeline": checkpoint.pipeline,
            "position": checkpoint.position,
            "stored_at": int(time.time() * 1000),
            "checkpoint": checkpoint,  # whose dataclasses are JSON to the client: that is fast
        }
        answer = self._client.ask(
            "store the checkpoint",
            "PUT",
            self._path(checkpoint.pipeline),
            params=self._replaces.get(checkpoint.pipeline),
            body=body,
            ok=(CONFLICT,),
        )
        if "error" in answer:
            return False
        self._replaces[checkpoint.pipeline] = _name_of(answer)
        return True

    def _path(self, pipeline: str) -> str:
        return f"/{INDEX.name}/_doc/{quote(pipeline, safe='')}"


def _name_of(answer: dict[str, Any]) -> dict[str, str]:
    """Which document an answer is about, as the parameters of a write that replaces it."""
    return {
        "if_seq_no": str(answer["_seq_no"]),
        "if_primary_term": str(answer["_primary_term"]),
    }


def _from_document(document: dict[str, Any]) -> Checkpoint:
    if document.get("format") != CHECKPOINT_FORMAT:
        raise SinkError(
            f"The checkpoint in index {INDEX.name!r} has format {document.get('format')!r}, and"
            f" this version of cdc-daemon reads {CHECKPOINT_FORMAT}: use the version that wrote it."
        )
    return checkpoint_of(document["checkpoint"])
