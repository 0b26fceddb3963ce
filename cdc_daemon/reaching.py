"""Who can't be reached: a mistake to report at the first start, and waited for from then on.

What is only not there yet is waited for at any start.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.errors import NotYetError, RetryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.errors import SinkError, SourceError


class Reaching:
    """Of one process."""

    def __init__(self) -> None:
        self.is_first = True
        """Whether nobody has been reached so far."""

    @contextmanager
    def reachable(self, side: str, stop: type[SourceError | SinkError]) -> Iterator[None]:
        """At the first start who can't be reached is a mistake to report, and not to retry."""
        try:
            yield
        except RetryError as error:
            if not self.is_first or isinstance(error, NotYetError):
                raise
            said = str(error)
            if "Check " not in said:  # some connectors know better what to look at
                end = "" if said.endswith((".", "?")) else "."
                said += f"{end} Check that it runs, and the address in the `{side}` section."
            raise stop(said) from error
