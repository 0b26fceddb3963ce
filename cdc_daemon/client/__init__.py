"""What applications use to read their own writes: tokens, waiting, searches by policy.

Imports nothing of the daemon, so that it can be installed alone (cdc-daemon-client).
"""

from __future__ import annotations

from cdc_daemon.client.commits import (
    TOKEN_SQL,
    commit,
    commit_async,
    token_of,
    token_of_async,
)
from cdc_daemon.client.errors import (
    ClientError,
    CookieError,
    NotCommittedError,
    NotReplicatedError,
    RefusedError,
    StaleReadError,
    TokenError,
    TokenRefusedError,
    UnknownPolicyError,
)
from cdc_daemon.client.outcome import Outcome, SearchResult
from cdc_daemon.client.policies import Policies, Policy, Rule
from cdc_daemon.client.readmodels import AsyncReadModels, ReadModels
from cdc_daemon.client.session import Session
from cdc_daemon.client.synchronous import (
    Confirmation,
    commit_strong,
    commit_strong_async,
    strong,
    strong_async,
)
from cdc_daemon.client.tokens import Token

__all__ = [
    "TOKEN_SQL",
    "AsyncReadModels",
    "ClientError",
    "Confirmation",
    "CookieError",
    "NotCommittedError",
    "NotReplicatedError",
    "Outcome",
    "Policies",
    "Policy",
    "ReadModels",
    "RefusedError",
    "Rule",
    "SearchResult",
    "Session",
    "StaleReadError",
    "Token",
    "TokenError",
    "TokenRefusedError",
    "UnknownPolicyError",
    "commit",
    "commit_async",
    "commit_strong",
    "commit_strong_async",
    "strong",
    "strong_async",
    "token_of",
    "token_of_async",
]
