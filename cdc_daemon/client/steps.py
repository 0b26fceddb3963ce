"""What waiting and searching ask of the world: data, so that both clients share every decision.

A decision is a generator: it yields steps and is sent what came of them. `ReadModels` does the
steps one after the other, `AsyncReadModels` awaits them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar


class Ask(NamedTuple):
    """A GET to a daemon, or a POST where there is a body; answered by an Answer."""

    url: str
    parameters: tuple[tuple[str, str], ...]
    within_seconds: float
    body: bytes | None = None
    key: str = ""
    """What lets it be changed; empty: nothing is."""


class Answer(NamedTuple):
    """What a daemon has said; status 0: nothing that it could have said."""

    status: int
    body: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """What it says of an error."""
        return str(self.body.get("error", ""))


class Pause(NamedTuple):
    """Nothing can be done for a moment; answered by None."""

    seconds: float


class Query(NamedTuple):
    """A search in OpenSearch; answered by its answer."""

    read_model: str
    body: Mapping[str, Any]
    parameters: Mapping[str, Any]


class Fallback(NamedTuple):
    """The caller's own query of the source; answered by what it returns."""

    ask: Callable[[], Any]


Step: TypeAlias = Ask | Pause | Query | Fallback
Done = TypeVar("Done")
Outgoing = TypeVar("Outgoing")
Steps: TypeAlias = Generator[Step, Any, Outgoing]


def done(steps: Generator[Done, Any, Outgoing], do: Callable[[Done], Any]) -> Outgoing:
    """What comes of steps that are done one after the other."""
    came: Any = None
    while True:
        try:
            step = steps.send(came)
        except StopIteration as end:
            result: Outgoing = end.value
            return result
        came = do(step)


async def done_async(
    steps: Generator[Done, Any, Outgoing], do: Callable[[Done], Awaitable[Any]]
) -> Outgoing:
    """`done`, where each is awaited."""
    came: Any = None
    while True:
        try:
            step = steps.send(came)
        except StopIteration as end:
            result: Outgoing = end.value
            return result
        came = await do(step)
