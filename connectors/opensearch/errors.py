"""The one map from what OpenSearch and its driver raise to what the daemon should do."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import (
    ConnectionError as DriverConnectionError,
)
from opensearchpy.exceptions import (
    ConnectionTimeout,
    OpenSearchException,
    TransportError,
)

from cdc_daemon.errors import CdcError, NotYetError, RetryError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
TOO_LARGE = 413
REQUEST_TIMEOUT = 408
OVERLOADED = 429
SERVER_ERRORS = 500
UNAVAILABLE = 503

MAX_EXPLANATION = 600
"""Characters of a server's explanation that are kept: it may quote whole field values."""
BLOCKED = "cluster_block_exception"
"""The index is read-only for now: the disk is nearly full, or a person set a block."""


class RefusedError(SinkError):
    """OpenSearch understood a request and refused it; the status says how."""

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def explain(error: Any) -> tuple[str, str]:
    """Return the type of OpenSearch's error object, and its reason with the innermost cause."""
    if not isinstance(error, dict):
        return "error", _short(str(error))
    reasons = [str(error.get("reason") or error.get("type", ""))]
    cause = error.get("caused_by")
    while isinstance(cause, dict):
        reasons.append(str(cause.get("reason") or cause.get("type", "")))
        cause = cause.get("caused_by")
    text = _short(reasons[0])
    if len(reasons) > 1 and reasons[-1] not in text:
        text = f"{text} ({_short(reasons[-1])})"
    return str(error.get("type", "error")), text


@contextmanager
def mapped_errors(action: str, where: str) -> Iterator[None]:
    """Let only our own errors out. `action` completes "may not ..."; `where` is the address."""
    try:
        yield
    except CdcError:
        raise
    except ConnectionTimeout as error:
        message = f"OpenSearch at {where} did not answer in time ({action})."
        raise RetryError(message, reason="timeout") from error
    except DriverConnectionError as error:
        raise _unreachable(error, where) from error
    except TransportError as error:
        raise _refused(error, action, where) from error
    except (OpenSearchException, ValueError) as error:
        # Not JSON: something else than OpenSearch answers, perhaps only while it starts.
        message = f"The answer of {where} can't be understood ({action}): {_short(str(error))}"
        raise RetryError(message) from error


def _unreachable(error: DriverConnectionError, where: str) -> CdcError:
    cause = _tls_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SinkError(
            f"The certificate of OpenSearch at {where} is not trusted:"
            f" {getattr(cause, 'verify_message', cause)}. Set `sink.ca` to a PEM file with the"
            " certificate authority that signed it, and use the host name that it was made for."
        )
    if getattr(cause, "reason", None) in {
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
    }:
        return SinkError(
            f"The server at {where} does not speak TLS: write http:// instead of https:// in"
            " `sink.hosts`, or turn TLS on in OpenSearch."
        )
    return RetryError(
        f"OpenSearch at {where} can't be reached: {_short(str(error.info))}."
        " Check `sink.hosts`, and that the server runs."
    )


def _tls_cause(error: BaseException) -> BaseException | None:
    """The error of the TLS library, under all that was wrapped around it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return seen
        inner = seen.args[-1] if seen.args else None
        wrapped = inner if isinstance(inner, BaseException) else None
        seen = wrapped or seen.__cause__ or seen.__context__
    return None


def _refused(error: TransportError, action: str, where: str) -> CdcError:
    status = error.status_code if isinstance(error.status_code, int) else 0
    body = error.info if isinstance(error.info, dict) else {}
    kind, text = explain(body.get("error", error.error))
    # Who says of itself that it isn't ready has the right address: it is waited for.
    is_there = status in {OVERLOADED, UNAVAILABLE} and "error" in body
    trouble = NotYetError if is_there else RetryError
    if kind == BLOCKED:
        message = f"OpenSearch at {where} takes no writes for now ({action}): {text}"
        return trouble(message, reason="blocked")
    if status in {REQUEST_TIMEOUT, OVERLOADED} or status >= SERVER_ERRORS:
        message = f"OpenSearch at {where} is overloaded or not ready ({action}): {text}"
        return trouble(message, reason="overloaded")
    if status == UNAUTHORIZED:
        return RefusedError(
            f"OpenSearch at {where} does not accept the credentials (HTTP 401). Check `sink.user`"
            " and `sink.password`, `sink.api_key`, `sink.bearer_token` or `sink.aws`, whichever"
            " the cluster expects.",
            status=status,
            reason=kind,
        )
    if status == FORBIDDEN:
        return RefusedError(
            f"The account we use may not {action} in OpenSearch at {where} (HTTP 403): {text}."
            " Give its role the permissions listed in docs/reference/opensearch.md, for the"
            " indices named there.",
            status=status,
            reason=kind,
        )
    message = f"OpenSearch at {where} refused to {action} (HTTP {status}): {kind}: {text}"
    return RefusedError(message, status=status, reason=kind)


def _short(text: str) -> str:
    flat = " ".join(text.split()).rstrip(".")
    return flat if len(flat) <= MAX_EXPLANATION else flat[:MAX_EXPLANATION] + "…"
