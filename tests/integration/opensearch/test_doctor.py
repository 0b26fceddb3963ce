"""What `cdc-daemon check` finds in an OpenSearch sink: with what mends it, and nothing touched."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.errors import RetryError, SinkError
from cdc_daemon.ports import Doctor
from tests.generators.rest import Rest
from tests.integration.opensearch.conftest import PIPELINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.ports import ReadModel
    from connectors.opensearch import OpenSearchSink
    from tests.conftest import StartOpenSearch
    from tests.integration.opensearch.conftest import MakeSink

DISK = "cluster.routing.allocation.disk."
ROOT = {"version": {"number": "3.8.0", "distribution": "opensearch"}}
HEALTH = {"status": "green", "number_of_data_nodes": 2, "unassigned_shards": 0}
SETTINGS: dict[str, Any] = {"persistent": {}, "transient": {}, "defaults": {}}
ROOM = {"total_in_bytes": 100_000_000_000, "available_in_bytes": 50_000_000_000}
NODES = {"nodes": {"a": {"name": "node-1", "fs": {"total": ROOM}}}}
WELL: dict[str, Any] = {
    "/": ROOT,
    "/_cluster/health": HEALTH,
    "/_cluster/settings": SETTINGS,
    "/_nodes/stats/fs": NODES,
}


def alarms(sink: OpenSearchSink, *models: ReadModel) -> dict[str, str]:
    """What is not ok, by check; its level first."""
    found = [each for each in sink.examine(models) if each.level != "ok"]
    return {each.check: f"{each.level}: {each.message}" for each in found}


@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    """A web server that answers what a cluster would; what isn't listed is forbidden."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            forbidden = {"error": {"type": "security_exception", "reason": "no permissions"}}
            body = orjson.dumps(forbidden if answer is None else answer)
            self.send_response(403 if answer is None else 200)
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


def test_nothing_is_wrong_before_the_first_start_nor_after_it(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """Every check is ok, says what it looked at, and makes no index."""
    assert isinstance(sink, Doctor)
    rest = Rest(opensearch.url)
    before = rest.get("/_aliases?expand_wildcards=all")
    found = {each.check: each for each in sink.examine([model])}
    disks = {check for check in found if check.startswith("disk")}
    ours = {"server", "cluster health", "cluster blocks", f"read model {model.name}"}
    assert set(found) - disks == ours
    assert alarms(sink, model).keys() <= disks  # the machine of the tests may be nearly full
    assert rest.get("/_aliases?expand_wildcards=all") == before
    generation = sink.create_generation(model)
    sink.publish(generation)
    assert alarms(sink, model).keys() <= disks
    sink.drop_generation(generation)


def test_the_disk_is_nearly_full(private_opensearch: StartOpenSearch, make_sink: MakeSink) -> None:
    """By the cluster's own watermarks, in percent or in bytes; a real server's disk."""
    server = private_opensearch()
    rest, sink = Rest(server.url), make_sink(server.url)
    for low, flood, level in (
        ("1b", "1b", None),
        ("100000tb", "1b", "warning"),
        ("100000tb", "90000tb", "problem"),
        ("0.1%", "100%", "warning"),
        ("0.1%", "0.1%", "problem"),
    ):
        watermarks = {"low": low, "high": flood if low[-1] == "%" else low, "flood_stage": flood}
        settings = {f"{DISK}watermark.{name}": value for name, value in watermarks.items()}
        settings[f"{DISK}threshold_enabled"] = "true"
        rest.put("/_cluster/settings", {"persistent": settings})
        said = [text for check, text in alarms(sink).items() if check.startswith("disk of ")]
        assert [text.partition(":")[0] for text in said] == ([level] if level else [])
    rest.put("/_cluster/settings", {"persistent": {f"{DISK}threshold_enabled": False}})
    assert alarms(sink) == {}


@pytest.mark.parametrize(
    ("path", "answer", "check", "says"),
    [
        ("/_cluster/health", HEALTH | {"status": "red"}, "cluster health", "problem: red"),
        (
            "/_cluster/health",
            HEALTH | {"status": "yellow", "unassigned_shards": 3},
            "cluster health",
            "warning: yellow, 2 data nodes: 3 copies",
        ),
        (
            "/_cluster/settings",
            SETTINGS | {"persistent": {"cluster.blocks.read_only": "true"}},
            "cluster blocks",
            "problem: cluster.blocks.read_only: the cluster takes no writes. PUT /_cluster/",
        ),
        ("/_cluster/health", None, "cluster health", "warning: it can't be looked at: The account"),
        ("/_nodes/stats/fs", None, "disks", "warning: it can't be looked at: The account"),
    ],
)
def test_the_cluster_is_ill(
    make_sink: MakeSink, path: str, answer: Any, check: str, says: str
) -> None:
    """Health, blocks, and what an account may not look at; the other checks go on."""
    with answering({**WELL, path: answer}) as url:
        said = alarms(make_sink(url))
    assert list(said) == [check]
    assert said[check].startswith(says)


def test_a_single_node_is_allowed_to_be_yellow(make_sink: MakeSink) -> None:
    """Its copies of shards have nowhere to go."""
    alone = HEALTH | {"status": "yellow", "number_of_data_nodes": 1}
    with answering({**WELL, "/_cluster/health": alone}) as url:
        assert alarms(make_sink(url)) == {}


def test_names_that_are_taken_and_mappings_that_are_wrong(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """Each read model on its own: one that is wrong doesn't hide the others."""
    rest = Rest(opensearch.url)
    rest.put(f"/{model.name}")
    asynchronous = replace(model, name=f"{model.name}_b", settings={"translog.durability": "async"})
    well = replace(model, name=f"{model.name}_c")
    said = alarms(sink, model, asynchronous, well)
    assert "There is an index named" in said[f"read model {model.name}"]
    assert "a crash loses" in said[f"read model {asynchronous.name}"]
    assert f"read model {well.name}" not in said
    rest.delete(f"/{model.name}")


def test_an_index_that_was_changed_by_hand(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """Durability and blocks of the index that is searched now."""
    rest = Rest(opensearch.url)
    generation = sink.create_generation(model)
    sink.publish(generation)
    check = f"read model {model.name}"
    rest.put(f"/{generation.index}/_settings", {"index.blocks.write": True})
    assert f"PUT /{generation.index}/_settings" in alarms(sink, model)[check]
    rest.put(f"/{generation.index}/_settings", {"index.blocks.write": None})
    rest.put(f"/{generation.index}/_settings", {"index.translog.durability": "async"})
    assert "a crash loses" in alarms(sink, model)[check]
    sink.drop_generation(generation)


def test_templates_that_interfere(
    sink: OpenSearchSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """Fields and settings of a template don't matter; aliases, _source and _routing do."""
    rest = Rest(opensearch.url)
    check, path = f"read model {model.name}", f"/_index_template/{model.name}"
    for template, says in (
        ({"mappings": {"properties": {"other": {"type": "keyword"}}}}, None),
        ({"settings": {"index.translog.durability": "async"}}, None),
        ({"aliases": {"everything": {}}}, "adds the alias everything"),
        ({"mappings": {"_source": {"excludes": ["t"]}}}, "adds _source"),
        ({"mappings": {"_routing": {"required": True}}}, "adds _routing"),
    ):
        rest.put(path, {"index_patterns": [f"{model.name}*"], "template": template})
        said = alarms(sink, model).get(check)
        assert (said is None) if says is None else (said is not None and says in said)
        rest.delete(path)


def test_a_server_that_is_away_or_another_one(make_sink: MakeSink) -> None:
    """What makes it impossible to go on is raised, as it is at a start."""
    with pytest.raises(RetryError):
        list(make_sink("http://127.0.0.1:1").examine([]))
    with answering({"/": {"version": {"number": "8.15.0"}}}) as url, pytest.raises(SinkError):
        list(make_sink(url).examine([]))


def test_the_pipeline_is_the_one_that_was_given(sink: OpenSearchSink, model: ReadModel) -> None:
    """A read model of the same pipeline is ours, of another one it isn't."""
    assert sink._pipeline == PIPELINE
    generation = sink.create_generation(model)
    sink.publish(generation)
    assert f"read model {model.name}" not in alarms(sink, model)
    sink.drop_generation(generation)
