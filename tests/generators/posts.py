"""Posting changes: to a web side that takes none, and by hand to one that does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cdc_daemon.posted.posts import Posts
from tests.generators.by_hand import configuration
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import ScriptedSource

if TYPE_CHECKING:
    from email.message import Message

ANSWER_SECONDS = 120.0
"""The daemon bounds what it waits for; this is for a machine that is busy."""


def nothing_posted() -> Posts:
    """Those of a configuration without `web.changes`."""
    return Posts(configuration(Path()), ScriptedSource(), MemorySink())


class Answer(NamedTuple):
    """What came back."""

    status: int
    content: dict[str, Any]
    headers: Message[str, str]

    @property
    def outcomes(self) -> list[str]:
        """Of each transaction."""
        return [one["outcome"] for one in self.content["transactions"]]

    @property
    def places(self) -> list[str]:
        """Of all mistakes, in the JSON."""
        return [mistake["at"] for mistake in self.content["mistakes"]]


def post(url: str, body: object, key: str | None) -> Answer:
    """The answer to a request that posts changes; raises OSError where nobody answers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}"} if key is not None else {}
    request = urllib.request.Request(f"{url}/api/v1/changes", data, headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - as above
            return Answer(answer.status, json.loads(answer.read()), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, json.loads(error.read()), error.headers)
