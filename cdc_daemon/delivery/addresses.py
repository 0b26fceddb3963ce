"""Addresses of documents: the id as a JSON string, then the routing if there is one. Pure."""

from __future__ import annotations

import re
from typing import Final

from cdc_daemon.events import DocumentOperation

_ID: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


def parted(address: bytes) -> tuple[bytes, bytes | None]:
    """Id and routing."""
    found = _ID.match(address)
    end = found.end() if found else len(address)
    return address[:end], address[end:] or None


def routed(index: str, address: bytes, version: int, body: bytes | None) -> DocumentOperation:
    """The operation on the document at an address."""
    document_id, routing = parted(address)
    return DocumentOperation(index, document_id, version, body, routing)
