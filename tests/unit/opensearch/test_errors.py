"""What OpenSearch and its driver raise, and what the daemon is to do."""

from __future__ import annotations

import ssl
from typing import Any

import opensearchpy
import pytest

from cdc_daemon.errors import CdcError, NotYetError, RetryError, SinkError
from connectors.opensearch.errors import RefusedError, mapped_errors


def raised(error: Exception) -> CdcError:
    """What comes out of the map for `error`."""
    with pytest.raises(CdcError) as caught, mapped_errors("create an index", "http://os:9200"):
        raise error
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)
    return caught.value


def refused(status: int, kind: str = "some_exception") -> opensearchpy.TransportError:
    """An error answer of the server."""
    body: Any = {"error": {"type": kind, "reason": "because\n of this"}, "status": status}
    return opensearchpy.TransportError(status, kind, body)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507, 520])
def test_overload(status: int) -> None:
    """Overload and a server's own troubles heal."""
    error = raised(refused(status))
    assert isinstance(error, RetryError)
    assert error.reason == "overloaded"


def test_what_is_not_ready_is_waited_for_at_the_first_start_too() -> None:
    """It says so itself, so its address is no mistake; what stands before it may be one."""
    for status in (429, 503):
        assert isinstance(
            raised(refused(status, "no_shard_available_action_exception")), NotYetError
        )
    assert isinstance(raised(refused(503, "cluster_block_exception")), NotYetError)
    gateway = opensearchpy.TransportError(503, "Service Unavailable", "<html>no upstream</html>")
    assert not isinstance(raised(gateway), NotYetError)
    assert not isinstance(raised(refused(500)), NotYetError)


def test_block() -> None:
    """So does a write block: the disk gets room, or a person lifts it."""
    error = raised(refused(403, "cluster_block_exception"))
    assert isinstance(error, RetryError)
    assert error.reason == "blocked"


def test_timeout_and_lost_connection() -> None:
    """No answer is a retry, and is counted by its reason."""
    timeout = raised(opensearchpy.ConnectionTimeout("TIMEOUT", "x", OSError("x")))
    lost = raised(opensearchpy.ConnectionError("N/A", "x", OSError("Connection refused")))
    assert isinstance(timeout, RetryError)
    assert isinstance(lost, RetryError)
    assert (timeout.reason, lost.reason) == ("timeout", "unavailable")
    assert "Connection refused" in str(lost)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "sink.password"), (403, "may not create an index"), (400, "because of this")],
)
def test_refusals(status: int, words: str) -> None:
    """A refusal stops, and says what to do."""
    error = raised(refused(status))
    assert isinstance(error, RefusedError)
    assert error.status == status
    assert words in str(error)


def test_untrusted_certificate() -> None:
    """A certificate doesn't become trusted by trying again."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    assert isinstance(raised(opensearchpy.SSLError("N/A", "x", cause)), SinkError)


def test_broken_handshake() -> None:
    """A handshake that was cut off may succeed the next time."""
    cause = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    assert isinstance(raised(opensearchpy.SSLError("N/A", "x", cause)), RetryError)


def test_unintelligible_answer() -> None:
    """What isn't JSON comes from something in between, which may be starting."""
    assert isinstance(raised(ValueError("not json")), RetryError)


def test_own_errors_pass() -> None:
    """Our own errors are not wrapped again."""
    own = RetryError("x")
    with pytest.raises(RetryError) as caught, mapped_errors("read", "x"):
        raise own
    assert caught.value is own
