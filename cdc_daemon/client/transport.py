"""What both clients do with HTTP: a question as httpx sends it, an answer as it was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx

from cdc_daemon.client.steps import Answer

if TYPE_CHECKING:
    from cdc_daemon.client.steps import Ask

CONNECT_SECONDS: Final = 1.0
"""A daemon that takes longer to accept a connection is away: another one is asked."""
LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=100)
"""A wait holds its connection: as many as there are readers, of which the daemon has a bound."""


def request(question: Ask) -> dict[str, Any]:
    """The arguments of `request`."""
    within = question.within_seconds
    return {
        "method": "GET" if question.body is None else "POST",
        "url": question.url,
        "params": list(question.parameters),
        "content": question.body,
        "headers": {"authorization": f"Bearer {question.key}"} if question.key else {},
        "timeout": httpx.Timeout(within, connect=min(CONNECT_SECONDS, within)),
    }


def answered(response: httpx.Response) -> Answer:
    """What the daemon says; what isn't JSON comes from a proxy in front of none."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return Answer(response.status_code, body)
    return Answer(0, {"error": f"{response.url.host} answers HTTP {response.status_code}"})


def unanswered(question: Ask, error: httpx.TransportError) -> Answer:
    """Nobody has answered, so another one is asked."""
    said = str(error) or type(error).__name__
    return Answer(0, {"error": f"no answer from {question.url}: {said}"})
