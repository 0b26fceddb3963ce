"""What can't work is found before anything is created, and said in a paragraph."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import urllib3

from cdc_daemon.errors import SinkError
from cdc_daemon.events import ColumnType
from cdc_daemon.ports import FieldSpec, ReadModel
from connectors.opensearch import OpenSearchSink
from connectors.opensearch.config import OpenSearchConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer
    from tests.integration.opensearch.conftest import MakeSink


def request(server: OpenSearchServer, method: str, path: str, body: object = None) -> Any:
    """Ask the server beside the sink."""
    headers = {"content-type": "application/json"}
    with urllib3.PoolManager() as http:
        data = None if body is None else orjson.dumps(body)
        answer = http.request(method, f"{server.url}/{path}", body=data, headers=headers)
    assert answer.status == 200, answer.data
    return orjson.loads(answer.data)


def with_field(model: ReadModel, **overrides: Any) -> ReadModel:
    """The model with a field whose mapping is overridden."""
    return replace(model, fields=(FieldSpec("x", ColumnType("text"), overrides),))


MISTAKES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"translog": {"durability": "async"}}, {}, "durability.*crash loses"),
    ({"replication.type": "SEGMENT", "number_of_replicas": 1}, {}, "SEGMENT with 1 replicas"),
    ({"number_of_shrds": 1}, {}, "unknown setting.*did you mean.*number_of_shards"),
    ({}, {"type": "txt"}, "No handler for type .txt.*`fields`"),
    ({}, {"analyzer": "englsh"}, "analyzer .englsh. has not been configured"),
]


@pytest.mark.parametrize(("settings", "overrides", "message"), MISTAKES)
def test_mistakes_of_settings_and_fields(
    sink: OpenSearchSink,
    opensearch: OpenSearchServer,
    model: ReadModel,
    settings: dict[str, Any],
    overrides: dict[str, Any],
    message: str,
) -> None:
    """A setting or field that OpenSearch refuses, or that would lose data, stops beforehand."""
    wrong = replace(with_field(model, **overrides), settings=settings)
    with pytest.raises(SinkError, match=message) as caught:
        sink.preflight([wrong])
    assert "\n" not in str(caught.value)
    assert model.name not in request(opensearch, "GET", "_aliases")


@pytest.mark.parametrize("name", ["Hotels", "_hotels", "ho tels", "a,b", "", "x" * 300, "a#b"])
def test_names_that_no_index_can_have(sink: OpenSearchSink, model: ReadModel, name: str) -> None:
    """A projection's name that no index can have is refused with the rule."""
    with pytest.raises(SinkError, match=r"can't be the name of an index.*lower case"):
        sink.preflight([replace(model, name=name)])


def test_alias_name_taken_by_an_index(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """An index where the alias should be is found by preflight and by publishing."""
    request(opensearch, "PUT", model.name)
    with pytest.raises(SinkError, match=f"There is an index named '{model.name}'.*Rename"):
        sink.preflight([model])
    generation = sink.create_generation(model)
    with pytest.raises(SinkError, match=f"DELETE /{model.name}"):
        sink.publish(generation)
    sink.drop_generation(generation)
    request(opensearch, "DELETE", model.name)


def test_read_model_of_another_pipeline(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """One read model belongs to one pipeline: another one is refused."""
    config = OpenSearchConfig(type="opensearch", hosts=[opensearch.url])
    other = OpenSearchSink(config, pipeline="other")
    generation = other.create_generation(model)
    other.publish(generation)
    other.preflight([model])
    with pytest.raises(SinkError, match=r"belongs to pipeline 'other'.*Rename"):
        sink.preflight([model])
    other.drop_generation(generation)
    other.close()


def test_templates_do_not_get_in_the_way(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """A matching index template weakens neither durability nor strictness, and adds no pipeline."""
    settings = {"index": {"translog.durability": "async", "final_pipeline": "none-such"}}
    template = {"settings": settings, "mappings": {"dynamic": True}}
    body = {"index_patterns": [f"{model.name}*"], "template": template, "priority": 500}
    request(opensearch, "PUT", f"_index_template/{model.name}", body)
    sink.preflight([model])
    generation = sink.create_generation(model)
    found = request(opensearch, "GET", generation.index)[generation.index]
    assert found["settings"]["index"]["translog"]["durability"] == "request"
    assert found["settings"]["index"]["final_pipeline"] == "_none"
    assert found["mappings"]["dynamic"] == "strict"
    sink.drop_generation(generation)
    request(opensearch, "DELETE", f"_index_template/{model.name}")


def test_segment_replication_from_a_template(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """A generation that comes out with segment replication and replicas isn't left behind."""
    settings = {"index": {"replication.type": "SEGMENT", "number_of_replicas": 1}}
    body = {"index_patterns": [f"{model.name}*"], "template": {"settings": settings}}
    request(opensearch, "PUT", f"_index_template/{model.name}", body)
    with pytest.raises(SinkError, match=r"SEGMENT with 1 replicas.*number_of_replicas: 0"):
        sink.create_generation(model)
    assert sink.find_generation(f"{model.name}-000001") is None
    request(opensearch, "DELETE", f"_index_template/{model.name}")


ROOTS = [
    (200, {"version": {"number": "8.15.0"}, "tagline": "You Know, for Search"}, "8.15.0"),
    (200, {"version": {"number": "1.3.2", "distribution": "opensearch"}}, "2.0 or later"),
    (404, {}, "HTTP 404"),
]


@pytest.mark.parametrize(("status", "answer", "message"), ROOTS)
def test_other_servers(
    make_sink: MakeSink, model: ReadModel, status: int, answer: dict[str, Any], message: str
) -> None:
    """Elasticsearch, an old OpenSearch, or something else is named before anything is sent."""
    with serving(status, orjson.dumps(answer)) as url, pytest.raises(SinkError, match=message):
        make_sink(url).preflight([model])


@contextmanager
def serving(status: int, body: bytes) -> Iterator[str]:
    """A web server that always gives one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
