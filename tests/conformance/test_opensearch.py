"""The OpenSearch sink keeps the contract of every sink."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import urllib3

from cdc_daemon.events import ColumnType, Position
from cdc_daemon.ports import FieldSpec
from connectors.opensearch import OpenSearchSink
from connectors.opensearch.config import OpenSearchConfig
from tests.conformance.sink_suite import (  # noqa: F401 - fixtures of the suite
    PIPELINE,
    Search,
    SinkSuite,
    generation,
    index,
    read_model,
    writer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.events import Generation


@pytest.fixture(scope="module")
def config(opensearch: OpenSearchServer) -> OpenSearchConfig:
    """How to reach the shared server."""
    return OpenSearchConfig(type="opensearch", hosts=[opensearch.url])


@pytest.fixture
def sink(config: OpenSearchConfig) -> Iterator[OpenSearchSink]:
    """The sink on the shared server, closed at the end."""
    made = OpenSearchSink(config, pipeline=PIPELINE)
    yield made
    made.close()


@pytest.fixture
def other_sink(config: OpenSearchConfig) -> Iterator[OpenSearchSink]:
    """The sink of another daemon."""
    made = OpenSearchSink(config, pipeline=PIPELINE)
    yield made
    made.close()


@pytest.fixture
def search(opensearch: OpenSearchServer) -> Iterator[Search]:
    """A search that doesn't go through the sink."""
    with urllib3.PoolManager() as http:

        def find(name: str) -> dict[str, Any]:
            answer = http.request("GET", f"{opensearch.url}/{name}/_search?size=10000").data
            return {hit["_id"]: hit["_source"] for hit in orjson.loads(answer)["hits"]["hits"]}

        yield find


class TestOpenSearch(SinkSuite):
    """OpenSearch, a real one."""

    def test_an_index_refreshes_by_itself_at_an_explicit_interval(
        self, sink: OpenSearchSink, opensearch: OpenSearchServer
    ) -> None:
        """So that it never goes search-idle; also after a field was added to it."""
        model = replace(read_model(), digests={"n": "1", "t": "2"})
        made = sink.create_generation(model)
        more = replace(model, fields=(*model.fields, FieldSpec("m", ColumnType("int4"))))
        for extend in (False, True):
            if extend:
                assert sink.extend_generation(made, more)
            url = f"{opensearch.url}/{made.index}/_settings"
            answer = orjson.loads(urllib3.request("GET", url).data)
            assert answer[made.index]["settings"]["index"]["refresh_interval"] == "30s"
        sink.drop_generation(made)

    def test_what_is_deleted_is_searched_no_longer(
        self,
        sink: OpenSearchSink,
        generation: Generation,  # noqa: F811 - the fixture
    ) -> None:
        """The alias goes with its index."""
        sink.publish(generation)
        sink.drop_generation(generation)
        assert not sink.is_searched(generation.projection)

    def test_deletes_what_is_older_on_every_shard(
        self, sink: OpenSearchSink, search: Search
    ) -> None:
        """Also where the routing has put it on another shard than its id would."""
        model = replace(read_model(), settings={"number_of_shards": 3})
        routed = sink.create_generation(model)
        own_writer = sink.writer()
        own_writer.write(
            [
                replace(index(routed, str(at), 10 + at % 2), routing=b'"%d"' % (at % 7))
                for at in range(100)
            ]
        )
        assert own_writer.delete_before(routed.index, 11) == 50
        sink.refresh([routed.index])
        assert sorted(map(int, search(routed.index))) == list(range(1, 100, 2))
        own_writer.close()
        sink.drop_generation(routed)

    def test_a_document_is_found_by_its_id_on_any_shard(self, sink: OpenSearchSink) -> None:
        """Nobody may know its routing any more; one that is deleted isn't found any longer."""
        routed = sink.create_generation(
            replace(read_model(), settings={"number_of_shards": 3}),
        )
        own_writer = sink.writer()
        written = [replace(index(routed, str(at), 10), routing=b'"of %d"' % at) for at in range(20)]
        own_writer.write(written)
        sink.refresh([routed.index])
        found = [sink.documents.get(routed.index, str(at)) for at in range(20)]
        assert found == [(10, one.body) for one in written]
        own_writer.write([replace(one, version=Position(11), body=None) for one in written[:10]])
        found = [sink.documents.get(routed.index, str(at)) for at in range(20)]
        assert found == [None] * 10 + [(10, one.body) for one in written[10:]]
        assert sink.documents.get(routed.index, "none") is None
        own_writer.close()
        sink.drop_generation(routed)
