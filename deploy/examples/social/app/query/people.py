"""Accounts in numbers: eventual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deploy.examples.showcase.reading import Reader

SHOWN: Final = 20


def account(reader: Reader, handle: str) -> dict[str, Any] | None:
    """One account; None where none is found, as that of somebody who has just come."""
    body = {"query": {"term": {"handle": handle}}}
    found = reader.read("users", body, function="people").documents
    return found[0] if found else None


def most_followed(reader: Reader) -> list[dict[str, Any]]:
    """Those whom the most people follow."""
    body = {"sort": [{"followers": "desc"}, "id"], "size": SHOWN}
    return reader.read("users", body, function="people").documents
