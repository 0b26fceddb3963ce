"""The commands for a daemon that runs: status, healthcheck, deadletters."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import Shop, running
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.opensearch.tlsproxy import Certificates, Proxy

POISON = "9999999999999999999999999999.50"


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a web server that is not a daemon's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_status_and_health_of_a_daemon_that_runs(shop: Shop) -> None:
    """`status` shows it for people and programs; `healthcheck` is quiet and 0."""
    with running(shop) as daemon:
        daemon.catch_up()
        said = shop.run("status", str(daemon.file))
        assert (said.code, said.stderr) == (0, "")
        lines = dict(line.split(maxsplit=1) for line in said.stdout.splitlines() if line)
        assert lines["pipeline"] == shop.pipeline
        assert lines["state"] == "streaming"
        assert lines["searchable"].split()[1] == "ms"
        assert f"{shop.read_model} -> {shop.read_model}-000001" in said.stdout

        data = shop.run("status", str(daemon.file), "--output", "json").json
        assert data["state"] == "streaming"
        assert data["delay_seconds"]["searchable"] < 60

        for options in ([], ["--ready"]):
            health = shop.run("healthcheck", str(daemon.file), *options)
            assert (health.code, health.stdout, health.stderr) == (0, "", "")


def test_the_address_can_be_given(shop: Shop) -> None:
    """`--url` and CDC_DAEMON_URL say where the daemon is; then no configuration is needed."""
    with running(shop):
        url = f"http://127.0.0.1:{shop.port}"
        shop.file.unlink()
        assert shop.run("healthcheck", "--url", url).code == 0
        assert shop.run("status", CDC_DAEMON_URL=url).code == 0


def test_no_secret_is_needed_to_ask(shop: Shop) -> None:
    """A configuration whose secrets aren't at hand still says where to ask."""
    with running(shop):
        web = {"listen": f"0.0.0.0:${{PORT:-{shop.port}}}"}
        shop.configure(source=shop.source(dsn="${NO_SUCH_SECRET}"), web=web)
        assert shop.run("healthcheck").code == 0
        assert shop.run("status").code == 0


def test_no_daemon_runs(shop: Shop) -> None:
    """Exit code 1 and one line that says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"127.0.0.1:{server.getsockname()[1]}"
    shop.configure(web={"listen": listen})
    for command in ("status", "healthcheck"):
        result = shop.run(command)
        assert (result.code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"error: no daemon answers at http://{listen} (")
        assert result.stderr.count("\n") == 1


def test_somebody_else_answers(shop: Shop, stranger: str) -> None:
    """Another web server is not taken for a healthy daemon."""
    for command in ("status", "healthcheck"):
        result = shop.run(command, "--url", stranger)
        assert result.code == 1
        assert "is not a cdc-daemon" in result.stderr


@pytest.mark.parametrize(
    ("text", "phrase"),
    [("web: [", "is no YAML"), ("web: {listen: '127.0.0.1:0'}", "does not say where")],
)
def test_no_address_to_ask(shop: Shop, text: str, phrase: str) -> None:
    """A configuration that doesn't say where to ask: 1 for a health check, as Docker wants it."""
    shop.file.write_text(text)
    health, status = shop.run("healthcheck"), shop.run("status")
    assert (health.code, status.code) == (1, 2)
    assert phrase in health.stderr
    assert phrase in status.stderr


def test_a_daemon_that_waits_lives_but_is_not_ready(shop: Shop, private_postgres: Any) -> None:
    """While the source is away a restart wouldn't help: alive, but not ready."""
    server = private_postgres()
    shop.dsn = server.dsn
    shop.secrets.add(server.password)
    shop.query("create table hotel (id int primary key, name text, stars int)")
    shop.configure()
    with running(shop) as daemon:
        server.stop()
        daemon.wait_until("waiting")
        assert shop.run("healthcheck", str(daemon.file)).code == 0
        ready = shop.run("healthcheck", "--ready", str(daemon.file))
        assert (ready.code, ready.stderr) == (1, "error: the pipeline is waiting\n")
        server.start()
        daemon.wait_until()


def poisoned(shop: Shop) -> str:
    """A row that the index rejects, its neighbour, and the key of the dead letter."""
    shop.query("alter table hotel add price numeric")
    fields = {"id": None, "name": None, "price": {"type": "integer"}}
    shop.configure(projections=shop.projections(fields=fields))
    with running(shop) as daemon:
        shop.query(f"insert into hotel values (100, e'\\x1b[2J', 1, {POISON}), (101, 'Good', 1, 1)")
        daemon.catch_up()
        until(lambda: daemon.status()["dead_letters"], 10, "a dead letter is stored")
    (letter,) = shop.run("deadletters", "list", "--output", "json").json
    return str(letter["key"])


def test_dead_letters(shop: Shop) -> None:
    """A poison row is listed, and shown with its row, document, reason and what to do."""
    none = shop.run("deadletters", "list")
    assert (none.code, none.stdout, none.message) == (0, "", "no dead letters")
    assert shop.run("deadletters", "list", "-o", "json").json == []

    key = poisoned(shop)
    heading, line = shop.run("deadletters", "list").stdout.splitlines()
    cells = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    assert cells["key"] == key
    assert (cells["projection"], cells["id"]) == (shop.read_model, "100")
    assert "/" in cells["position"], "as the source writes it"
    assert cells["reason"] == "mapper_parsing_exception"

    shown = shop.run("deadletters", "show", key)
    assert shown.code == 0
    assert "What to do: " in shown.stdout
    assert POISON in shown.stdout, "with every digit"
    assert "\x1b" not in shown.stdout, "a row can't steer the terminal"

    whole = shop.run("deadletters", "show", key, "--output", "json").json
    assert whole["table"] == "public.hotel"
    assert whole["document"]["id"] == 100
    assert whole["row"]["id"] == 100


def test_dead_letters_on_a_terminal(shop: Shop) -> None:
    """A table on a terminal, without colours where NO_COLOR is set."""
    key = poisoned(shop)
    shown = on_a_terminal("deadletters", "list", str(shop.file))
    assert key in shown
    assert "\t" not in shown
    assert "\x1b[3" not in shown


def test_a_dead_letter_that_is_not_there(shop: Shop) -> None:
    """Exit code 1 and a line that says so."""
    result = shop.run("deadletters", "show", "no-such-key")
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: pipeline {shop.pipeline} has no dead letter no-such")


def test_dead_letters_of_a_cluster_that_is_away(shop: Shop) -> None:
    """An OpenSearch that can't be reached is the sink's error, in one paragraph."""
    shop.configure(sink=shop.sink(hosts=["http://127.0.0.1:1"]))
    result = shop.run("deadletters", "list")
    assert (result.code, result.stdout) == (4, "")
    assert result.message.startswith("error: OpenSearch at http://127.0.0.1:1 can't be reached")


def test_warnings_never_mix_with_data(shop: Shop, proxy: Proxy, certificates: Certificates) -> None:
    """What is logged while a command runs goes to stderr: stdout is data."""
    assert certificates.ca.exists()
    sink = shop.sink(hosts=[proxy.url], verify=False, api_key="good-key")
    shop.secrets.add("good-key")
    shop.configure(sink=sink)
    result = shop.run("deadletters", "list", "--output", "json")
    assert (result.code, result.json) == (0, [])
    assert "certificates_not_verified" in result.events


def test_no_command_shows_a_secret(shop: Shop) -> None:
    """`validate` of a broken configuration names the keys, and never the values of secrets."""
    key, word = "s3cr3t-key", "s3cr3t-word"
    shop.secrets |= {key, word}
    source = shop.source(dsn=f"postgresql://u:{word}@localhost:x/db", sslpassword=word)
    sink = shop.sink(api_key=key, password=word, hosts=[])
    shop.configure(source=source, sink=sink)
    for command in (["validate"], ["validate", "-o", "json"], ["run"], ["deadletters", "list"]):
        assert shop.run(*command).code == 2
    assert shop.run("status").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["stat"],
        ["status", "--no-such-option"],
        ["deadletters"],
        ["deadletters", "show"],
        ["deadletters", "list", "--limit", "0"],
        ["run", "--output", "xml"],
    ],
    ids=" ".join,
)
def test_errors_of_usage(shop: Shop, arguments: list[str]) -> None:
    """Exit code 2, and help on stderr."""
    result = shop.run(*arguments)
    assert result.code == 2
    assert "Usage" in result.stderr + result.stdout


def on_a_terminal(*arguments: str) -> str:
    """What `cdc-daemon` shows on a terminal."""
    own, its = pty.openpty()
    command = [sys.executable, "-m", "cdc_daemon", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "160"}
    subprocess.run(
        command, stdin=its, stdout=its, stderr=its, env=environment, check=True, timeout=60
    )
    os.close(its)
    shown = b""
    try:
        while piece := os.read(own, 65536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(own)
    return shown.decode()
