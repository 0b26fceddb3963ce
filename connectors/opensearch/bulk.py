"""Document operations to the NDJSON of a bulk request, and its answer to what became of them.

Pure: values in, values out. Answers are read by position: `items` has one entry for each
operation, in their order, so that each failure finds its operation even where ids repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from cdc_daemon.errors import SinkError
from cdc_daemon.ports import Rejection, WriteResult
from connectors.opensearch.errors import BLOCKED, CONFLICT, NOT_FOUND, explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import DocumentOperation

GUARD_SUFFIX: Final = "-write"
"""We write through an alias of each index. If somebody deletes the index, the alias is gone too,
and OpenSearch refuses the write instead of quietly making a new index with guessed types."""

PARAMS: Final = {
    "require_alias": "true",
    "filter_path": "errors,items.*.status,items.*.error",
}
"""26 bytes of answer for a document that went well, instead of 200."""

ALL_WELL: Final = '{"errors":false'
"""How the answer begins when nothing failed: the rest needn't be read."""

_INDEX: Final = b'{"index":{%b%b,"version":%d,"version_type":"external_gte"}}\n%b\n'
_DELETE: Final = b'{"delete":{%b%b,"version":%d,"version_type":"external_gte"}}\n'
_ROUTED: Final = b'%b,"routing":%b'
"""In place of the id."""

_RETRY_STATUS: Final = 429
_SERVER_ERRORS: Final = 500
_STOP: Final = {
    "index_not_found_exception": "the index was deleted or replaced under us; restart the daemon"
    " to build it again",
    "index_closed_exception": "the index was closed; open it again, then restart the daemon",
    "security_exception": "the account we use may not write there; give its role the permissions"
    " listed in docs/reference/opensearch.md",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One item of the answer that isn't a plain success."""

    operation: DocumentOperation
    status: int
    reason: str
    explanation: str


class _Targets(dict[str, bytes]):
    """The beginning of an action, by index: made once for each batch."""

    def __missing__(self, index: str) -> bytes:
        made = b'"_index":%b,"_id":' % orjson.dumps(index + GUARD_SUFFIX)
        self[index] = made
        return made


def encode(operations: Sequence[DocumentOperation]) -> bytes:
    """The body of one bulk request."""
    targets = _Targets()
    return b"".join(
        [
            _INDEX % (targets[operation.index], _name(operation), operation.version, body)
            if (body := operation.body) is not None
            else _DELETE % (targets[operation.index], _name(operation), operation.version)
            for operation in operations
        ]
    )


def _name(operation: DocumentOperation) -> bytes:
    """The id, and the routing if there is one."""
    if operation.routing is None:
        return operation.id
    return _ROUTED % (operation.id, operation.routing)


def triage(operations: Sequence[DocumentOperation], answer: str) -> WriteResult:
    """Say what became of `operations`. Raises SinkError where going on would be wrong."""
    if answer.startswith(ALL_WELL):
        return WriteResult()
    stale: list[DocumentOperation] = []
    rejected: list[Rejection] = []
    retry: list[DocumentOperation] = []
    reasons: set[str] = set()
    for failure in _failures(operations, orjson.loads(answer)):
        if failure.status == CONFLICT:
            stale.append(failure.operation)
        elif reason := _retry_reason(failure):
            retry.append(failure.operation)
            reasons.add(reason)
        elif failure.reason in _STOP:
            raise SinkError(_stop_message(failure))
        else:
            rejected.append(Rejection(failure.operation, failure.reason, failure.explanation))
    return WriteResult(rejected, retry, ", ".join(sorted(reasons)), stale)


def _failures(operations: Sequence[DocumentOperation], answer: Any) -> Iterator[Failure]:
    items = answer["items"]
    for operation, item in zip(operations, items, strict=True):
        (outcome,) = item.values()
        error = outcome.get("error")
        # A delete of what isn't there is 404 without an error: its tombstone is as good.
        if error is not None:
            reason, explanation = explain(error)
            yield Failure(operation, outcome["status"], reason, explanation)


def _retry_reason(failure: Failure) -> str:
    if failure.reason == BLOCKED:
        return "blocked"
    if failure.status == _RETRY_STATUS:
        return "overloaded"
    return "unavailable" if failure.status >= _SERVER_ERRORS else ""


def _stop_message(failure: Failure) -> str:
    index = failure.operation.index
    what = f"OpenSearch takes no documents for index {index!r}: {_STOP[failure.reason]}."
    return what if failure.status == NOT_FOUND else f"{what} ({failure.explanation})"
