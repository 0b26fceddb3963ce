"""How long and how often a thing is tried again: jittered and for as long as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import stamina

from cdc_daemon.errors import RetryError

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 5.0
JITTER_SECONDS: Final = 0.5


def retrying() -> Iterator[stamina.Attempt]:
    """Attempts without end, for `for attempt in ...: with attempt: ...`."""
    return iter(
        stamina.retry_context(
            on=RetryError,
            attempts=None,
            timeout=None,
            wait_initial=FIRST_WAIT_SECONDS,
            wait_max=LONGEST_WAIT_SECONDS,
            wait_jitter=JITTER_SECONDS,
        )
    )
