"""How long somebody is ready to wait, checked before anything is begun. Pure."""

from __future__ import annotations

import threading

from cdc_daemon.client.errors import ClientError


def require_seconds(what: str, seconds: float) -> None:
    """Refuse what no clock can measure: it would be no bound. Raises ClientError."""
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ClientError(f"{what} is a number of seconds, 0 or more, not {seconds}")
