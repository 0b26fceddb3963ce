"""Writes batches of document operations over one connection: splits, sends, sorts the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError
from cdc_daemon.ports import Rejection, WriteResult
from connectors.opensearch.bulk import PARAMS, encode, triage
from connectors.opensearch.errors import BAD_REQUEST, TOO_LARGE, RefusedError
from connectors.opensearch.sweep import delete_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import DocumentOperation
    from connectors.opensearch.client import Client

UNACCEPTABLE: Final = "action_request_validation_exception"
"""One operation (an id over 512 bytes, say) makes OpenSearch refuse the whole request."""
_NOTHING: Final = WriteResult()


class OpenSearchWriter:
    """One connection to OpenSearch, for one sender thread."""

    def __init__(self, client: Client, *, max_bytes: int) -> None:
        self._client = client
        self._max_bytes = max_bytes

    def write(self, operations: Sequence[DocumentOperation]) -> WriteResult:
        """Return when every operation is durable, rejected or to be retried.

        Raises RetryError when nobody knows what became of them: send all again. Raises SinkError
        when the index is gone or may not be written.
        """
        if not operations:
            return _NOTHING
        body = encode(operations)
        if len(body) > self._max_bytes:
            return self._divide(operations, "too_large", self._limit())
        try:
            answer = self._client.send(
                "write documents", "POST", "/_bulk", params=PARAMS, body=body
            )
        except RefusedError as refusal:
            if refusal.status == TOO_LARGE:
                return self._divide(operations, "too_large", "the server takes no request so large")
            if refusal.status == BAD_REQUEST and refusal.reason == UNACCEPTABLE:
                return self._divide(operations, refusal.reason, str(refusal))
            raise
        return self._result(operations, answer)

    def delete_before(self, index: str, version: int) -> int:
        """Delete every searchable document with a lower version; return how many."""
        return delete_before(self._client, index, version, self.write)

    def close(self) -> None:
        """Release the connection. Safe to call twice."""
        self._client.close()

    def _result(self, operations: Sequence[DocumentOperation], answer: str) -> WriteResult:
        try:
            return triage(operations, answer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"The answer of {self._client.where} to a bulk request can't be understood."
            raise RetryError(message) from error

    def _divide(
        self, operations: Sequence[DocumentOperation], reason: str, explanation: str
    ) -> WriteResult:
        """Send the halves one after the other, down to the one operation that is to blame."""
        if len(operations) == 1:
            return WriteResult([Rejection(operations[0], reason, explanation)])
        half = len(operations) // 2
        return _together(self.write(operations[:half]), self.write(operations[half:]))

    def _limit(self) -> str:
        return (
            f"larger than the {self._max_bytes} bytes that the server takes in one request"
            " (http.max_content_length)"
        )


def _together(first: WriteResult, second: WriteResult) -> WriteResult:
    return WriteResult(
        [*first.rejected, *second.rejected],
        [*first.retry, *second.retry],
        first.retry_reason or second.retry_reason,
        [*first.stale, *second.stale],
    )
