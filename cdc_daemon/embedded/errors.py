"""What goes wrong with an embedded server, as one paragraph that says what to do."""

from __future__ import annotations

from cdc_daemon.errors import StopError


class EmbeddedError(StopError):
    """An embedded server can't be fetched, started or kept running as things are."""
