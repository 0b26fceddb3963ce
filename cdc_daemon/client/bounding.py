"""Bounds the wait of a COMMIT for the server's standbys, and hears what the server says of it.

No setting of the server bounds that wait; a cancel request ends it. The server then commits all
the same, and only warns.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Self

    from psycopg import AsyncConnection, Connection
    from psycopg.errors import Diagnostic

CANCEL_SECONDS: Final = 5.0
"""A cancel request is a connection of its own: longer than that, and the network is gone."""
AGAIN_SECONDS: Final = 1.0
"""A request that came before the wait had begun is repeated."""
WAITS: Final = "SyncRepWaitForLSN"
"""The server's function that warns: messages are in any language, its name isn't."""


@contextmanager
def listening(
    connection: Connection[Any] | AsyncConnection[Any],
) -> Iterator[list[str]]:
    """What the server warns of while it waits for its standbys."""
    warnings: list[str] = []

    def hear(said: Diagnostic) -> None:
        if said.source_function == WAITS:
            warnings.append(said.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        yield warnings
    finally:
        connection.remove_notice_handler(hear)


class Bound:
    """Asks the server to end the wait when time is up; nothing of it is left at the end."""

    def __init__(self, connection: Connection[Any], timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._cancel, name="strong", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A request under way would else end the next statement.
        self._thread.join()

    def _cancel(self) -> None:
        seconds = self._timeout
        while not self._over.wait(seconds):
            with suppress(self._connection.Error):
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)
            seconds = AGAIN_SECONDS


@asynccontextmanager
async def bound_async(connection: AsyncConnection[Any], seconds: float) -> AsyncIterator[None]:
    """`Bound` for asyncio."""
    over = asyncio.Event()

    async def cancel() -> None:
        wait = seconds
        while not await _within(over, wait):
            with suppress(connection.Error):
                await connection.cancel_safe(timeout=CANCEL_SECONDS)
            wait = AGAIN_SECONDS

    canceling = asyncio.create_task(cancel())
    try:
        yield
    finally:
        over.set()
        await canceling


async def _within(over: asyncio.Event, seconds: float) -> bool:
    """Whether it comes within that time."""
    with suppress(TimeoutError):
        return await asyncio.wait_for(over.wait(), seconds)
    return False
