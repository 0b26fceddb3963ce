"""What happens when OpenSearch is killed, frozen, blocked, gone or too small."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import urllib3

from cdc_daemon.errors import RetryError, SinkError
from cdc_daemon.events import Checkpoint, DocumentOperation, Position

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.events import Generation
    from cdc_daemon.ports import ReadModel
    from connectors.opensearch import OpenSearchSink
    from tests.conftest import StartOpenSearch
    from tests.integration.opensearch.conftest import MakeSink

TIMEOUT_SECONDS = 5
"""A server that has just been started takes seconds for its first index, on a busy machine."""


def documents(generation: Generation, count: int, size: int = 0) -> list[DocumentOperation]:
    """`count` documents with `size` bytes of text."""
    body = b'{"n":1,"t":"%b"}' % (b"x " * (size // 2))
    return [
        DocumentOperation(generation.index, b'"%d"' % number, 1, body) for number in range(count)
    ]


def test_survives_kill_pause_and_restart(
    opensearch: OpenSearchServer, make_sink: MakeSink, model: ReadModel
) -> None:
    """Acknowledged documents and checkpoint survive kill -9; a frozen server is a retry in time."""
    server = opensearch
    sink = make_sink(server.url, timeout=f"{TIMEOUT_SECONDS}s")
    generation = sink.create_generation(model)
    writer = sink.writer()
    for start in range(0, 5000, 500):
        assert not writer.write(documents(generation, 5000)[start : start + 500]).retry
    checkpoint = Checkpoint("p", Position(7), "s", {model.name: generation})
    sink.checkpoints.store(checkpoint)

    server.kill()
    with pytest.raises(RetryError, match="can't be reached"):
        writer.write(documents(generation, 1))
    server.start()
    _until_answering(sink, generation)
    assert sink.checkpoints.load("p") == checkpoint
    sink.refresh([generation.index])
    assert writer.delete_before(generation.index, 2) == 5000
    assert sink.find_generation(generation.index) == generation.uuid

    server.pause()
    began = time.monotonic()
    with pytest.raises(RetryError) as caught:
        writer.write(documents(generation, 2000, size=2000))
    assert caught.value.reason in {"timeout", "unavailable"}
    assert time.monotonic() - began < 3 * TIMEOUT_SECONDS
    server.resume()
    for _ in range(3):
        writer.write(documents(generation, 10))
    writer.close()


def test_goes_to_the_next_host(
    opensearch: OpenSearchServer, make_sink: MakeSink, model: ReadModel
) -> None:
    """With several hosts a dead one costs at most one retry."""
    sink = make_sink("http://127.0.0.1:9", opensearch.url)
    failures = 0
    for _ in range(10):
        try:
            sink.preflight([model])
        except RetryError:
            failures += 1
    assert failures <= 1


def test_unreachable(make_sink: MakeSink, model: ReadModel) -> None:
    """A server that isn't there is a retry with one paragraph that names the address."""
    with pytest.raises(RetryError, match=r"127\.0\.0\.1:9 can't be reached") as caught:
        make_sink("http://127.0.0.1:9").preflight([model])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_write_block_heals(
    opensearch: OpenSearchServer, sink: OpenSearchSink, model: ReadModel
) -> None:
    """While an index is blocked (disk nearly full) documents are to be retried, not rejected."""
    generation = sink.create_generation(model)
    writer = sink.writer()
    batch = documents(generation, 3)
    _set(opensearch, generation, "index.blocks.read_only_allow_delete", "true")
    result = writer.write(batch)
    assert (list(result.retry), result.retry_reason) == (batch, "blocked")
    _set(opensearch, generation, "index.blocks.read_only_allow_delete", "null")
    assert not writer.write(batch).retry
    writer.close()
    sink.drop_generation(generation)


def test_large_batches_are_divided(
    private_opensearch: StartOpenSearch, make_sink: MakeSink, model: ReadModel
) -> None:
    """What exceeds the server's request limit goes in parts; one document that does is rejected."""
    server = private_opensearch(settings={"http.max_content_length": "1mb"})
    sink = make_sink(server.url)
    generation = sink.create_generation(model)
    writer = sink.writer()
    unaware = sink.writer()
    unaware._max_bytes = 10**9
    for number, each in enumerate((writer, unaware)):
        batch = documents(generation, 30, size=100_000)
        huge = DocumentOperation(generation.index, b'"huge"', 1, b'{"t":"%b"}' % (b"x" * 2_000_000))
        batch.insert(17, huge)
        result = each.write(batch)
        assert [rejection.operation for rejection in result.rejected] == [huge]
        assert result.rejected[0].reason == "too_large"
        assert len(result.rejected[0].explanation) < 1000
        sink.refresh([generation.index])
        assert each.delete_before(generation.index, 2 + number) == 30
        assert len(each.write([]).stale) == 0
        sink.drop_generation(generation)
        generation = sink.create_generation(model)
        each.close()


def _set(server: OpenSearchServer, generation: Generation, name: str, value: str) -> None:
    url = f"{server.url}/{generation.index}/_settings"
    body = f'{{"{name}": {value}}}'
    with urllib3.PoolManager() as http:
        headers = {"content-type": "application/json"}
        assert http.request("PUT", url, body=body, headers=headers).status == 200


def _until_answering(sink: OpenSearchSink, generation: Generation) -> None:
    """The shards of an index come back one after the other."""
    deadline = time.monotonic() + 60
    while True:
        try:
            sink.documents.get(generation.index, "1")
            sink.checkpoints.load("p")
            sink.refresh([generation.index])
        except RetryError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def test_deletes_into_a_lost_index(
    opensearch: OpenSearchServer, sink: OpenSearchSink, model: ReadModel
) -> None:
    """Deletes alone don't notice that the index is gone, but the refresh after them does."""
    generation = sink.create_generation(model)
    sink.drop_generation(generation)
    writer = sink.writer()
    writer.write([DocumentOperation(generation.index, b'"1"', 1, None)])
    with pytest.raises(SinkError, match="deleted under us"):
        sink.refresh([generation.index])
    again = sink.create_generation(model)
    assert again.index == f"{model.name}-000002"
    assert not writer.write(documents(again, 1)).rejected
    writer.close()
    sink.drop_generation(again)
    with urllib3.PoolManager() as http:
        assert http.request("DELETE", f"{opensearch.url}/{generation.index}-write").status == 200


def test_write_after_the_index_was_closed(
    opensearch: OpenSearchServer, sink: OpenSearchSink, model: ReadModel
) -> None:
    """A closed index stops with the advice to open it: no document is to blame."""
    generation = sink.create_generation(model)
    writer = sink.writer()
    with urllib3.PoolManager() as http:
        assert http.request("POST", f"{opensearch.url}/{generation.index}/_close").status == 200
    with pytest.raises(SinkError, match="closed; open it again"):
        writer.write(documents(generation, 1))
    writer.close()
    sink.drop_generation(generation)
