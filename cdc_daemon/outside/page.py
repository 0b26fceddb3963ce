"""Reads a page of the daemon's web side, whatever proxy the environment names."""

from __future__ import annotations

import http.client
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_SECONDS: Final = 5.0


def read_page(url: str) -> str | None:
    """Return the text at `url`; None when nobody answers, or not with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return text if answer.status == http.client.OK else None
