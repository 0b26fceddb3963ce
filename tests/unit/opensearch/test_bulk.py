"""The NDJSON of bulk requests, and what becomes of their answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from cdc_daemon.errors import SinkError
from cdc_daemon.events import DocumentOperation
from connectors.opensearch.bulk import encode, triage

A = DocumentOperation("rooms-000001", b'"1"', 7, b'{"n":1}')
B = DocumentOperation("rooms-000001", b'"a\\"b"', 8, None)
C = DocumentOperation('we"ird', b'"1"', 9, b'{"n":"\\n"}')


def item(status: int, kind: str = "", action: str = "index", **more: Any) -> dict[str, Any]:
    """One item of an answer."""
    error = {"error": {"type": kind, "reason": "because", **more}} if kind else {}
    return {action: {"status": status, **error}}


def answer(*items: dict[str, Any]) -> str:
    """The answer with these items."""
    return orjson.dumps({"errors": True, "items": items}).decode()


def test_encodes_actions_and_documents() -> None:
    """Each line is JSON; versions are external, and ids and documents go as they are."""
    lines = encode([A, B, C]).splitlines()
    version_type = {"version_type": "external_gte"}
    assert [orjson.loads(line) for line in lines] == [
        {"index": {"_index": "rooms-000001-write", "_id": "1", "version": 7, **version_type}},
        {"n": 1},
        {"delete": {"_index": "rooms-000001-write", "_id": 'a"b', "version": 8, **version_type}},
        {"index": {"_index": 'we"ird-write', "_id": "1", "version": 9, **version_type}},
        {"n": "\n"},
    ]
    assert lines[1] == A.body
    assert encode([A, B]).endswith(b"\n")


def test_encodes_the_routing_with_the_id() -> None:
    """Of what has one, deletes too."""
    routed = [replace(A, routing=b'"7"'), replace(B, routing=b'"\\\\"')]
    index, _, delete = encode(routed).splitlines()
    assert orjson.loads(index)["index"]["routing"] == "7"
    found = orjson.loads(delete)["delete"]
    assert (found["_id"], found["routing"]) == ('a"b', "\\")


def test_encodes_nothing() -> None:
    """No operations, no bytes."""
    assert encode([]) == b""


def test_does_not_read_the_items_of_a_success() -> None:
    """Without errors the rest of the answer isn't even parsed."""
    result = triage([A, B], '{"errors":false,"items":[...')
    assert (list(result.rejected), list(result.retry), list(result.stale)) == ([], [], [])


def test_sorts_by_what_to_do() -> None:
    """Conflicts are fine, overload is to be retried, the rest rejected; each by its position."""
    operations = [A, B, C, A, B, C]
    result = triage(
        operations,
        answer(
            item(409, "version_conflict_engine_exception"),
            item(404, action="delete"),
            item(400, "mapper_parsing_exception", caused_by={"type": "x", "reason": "deep"}),
            item(429, "rejected_execution_exception"),
            item(503, "unavailable_shards_exception", action="delete"),
            item(201),
        ),
    )
    assert list(result.stale) == [A]
    assert result.rejected[0].operation is C
    assert result.rejected[0].reason == "mapper_parsing_exception"
    assert result.rejected[0].explanation == "because (deep)"
    assert [each is other for each, other in zip(result.retry, [A, B], strict=True)] == [True] * 2
    assert result.retry_reason == "overloaded, unavailable"


def test_retries_a_blocked_index() -> None:
    """A full disk makes an index read-only for a while (403): that's no dead letter."""
    result = triage([A], answer(item(403, "cluster_block_exception")))
    assert (list(result.retry), result.retry_reason) == ([A], "blocked")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
        (403, "security_exception"),
    ],
)
def test_stops_where_a_person_must_act(status: int, kind: str) -> None:
    """A missing or closed index, or a missing right, isn't the document's fault."""
    with pytest.raises(SinkError, match="'rooms-000001'"):
        triage([B, A], answer(item(200), item(status, kind)))


def test_keeps_explanations_short() -> None:
    """The server quotes values: an explanation has at most a few hundred characters."""
    (rejection,) = triage([A], answer(item(400, "x", caused_by={"reason": "y" * 9999}))).rejected
    assert len(rejection.explanation) < 700


def test_refuses_an_answer_of_another_length() -> None:
    """An answer that doesn't cover every operation says nothing about any of them."""
    with pytest.raises(ValueError, match="zip"):
        triage([A, B], answer(item(409, "version_conflict_engine_exception")))
