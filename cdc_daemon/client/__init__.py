"""What applications read their own writes with, and may post them by: tokens, waiting, searches.

Imports nothing of the daemon, so that it can be installed alone (cdc-daemon-client).
"""

from __future__ import annotations

from cdc_daemon.client.changes import Changes
from cdc_daemon.client.commits import (
    TOKEN_SQL,
    VERSION_SQL,
    Committed,
    commit,
    commit_async,
    commit_versioned,
    commit_versioned_async,
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
from cdc_daemon.client.posting import NotPostedError, Posted
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
from cdc_daemon.client.writer import AsyncWriter, Writer

__all__ = [
    "TOKEN_SQL",
    "VERSION_SQL",
    "AsyncReadModels",
    "AsyncWriter",
    "Changes",
    "ClientError",
    "Committed",
    "Confirmation",
    "CookieError",
    "NotCommittedError",
    "NotPostedError",
    "NotReplicatedError",
    "Outcome",
    "Policies",
    "Policy",
    "Posted",
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
    "Writer",
    "commit",
    "commit_async",
    "commit_strong",
    "commit_strong_async",
    "commit_versioned",
    "commit_versioned_async",
    "strong",
    "strong_async",
    "token_of",
    "token_of_async",
]
