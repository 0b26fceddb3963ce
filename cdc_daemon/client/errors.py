"""What the client raises: one tree, so that one `except` is enough where none is special."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdc_daemon.client.outcome import Outcome
    from cdc_daemon.client.tokens import Token


class ClientError(Exception):
    """Anything that this client raises by itself; drivers' own errors pass through."""


class TokenError(ClientError, ValueError):
    """Not a token; or two of histories that can't be compared."""


class RefusedError(ClientError):
    """The daemon refuses the request, and will again: a name that it doesn't know, or a limit."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        """As in HTTP: 400 or 404; of tokens 409 or 422."""


class TokenRefusedError(RefusedError):
    """The token belongs to a history that the daemon doesn't follow, or to a lost commit."""


class UnknownPolicyError(ClientError):
    """No policy is called so, among those that the daemon has or that were given."""


class StaleReadError(ClientError):
    """The read model didn't get there in time, and the policy asks for an error then."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


class NotCommittedError(ClientError):
    """The transaction had failed before: PostgreSQL has rolled back in place of committing."""


class NotReplicatedError(ClientError):
    """Nobody has confirmed that searches show it."""

    def __init__(
        self, reason: str, token: Token | None = None, *, is_committed: bool = False
    ) -> None:
        super().__init__(reason)
        self.token = token
        self.is_committed = is_committed or token is not None
        """For good; else nothing was done."""


class CookieError(ClientError):
    """Not a session that was signed with one of these secrets, or one that is too old."""
