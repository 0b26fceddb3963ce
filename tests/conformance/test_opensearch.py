"""The OpenSearch sink keeps the contract of every sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import urllib3

from connectors.opensearch import OpenSearchSink
from connectors.opensearch.config import OpenSearchConfig
from tests.conformance.sink_suite import (  # noqa: F401 - fixtures of the suite
    PIPELINE,
    Search,
    SinkSuite,
    generation,
    writer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer


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
