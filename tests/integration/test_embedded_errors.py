"""What can go wrong with embedded servers, and what people are told; needs no big download."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import tempfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon import embedded
from cdc_daemon.embedded.account import Account, require_reachable
from cdc_daemon.embedded.cache import CACHE_VARIABLE, cache_folder, cached, require_space
from cdc_daemon.embedded.fetch import Archive, require_extra, unpacked
from cdc_daemon.embedded.memory import require_memory, size_of
from cdc_daemon.embedded.ports import HOST, free_port, is_free
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY_BYTES = 1 << 60
LARGE_BYTES = 9_000_000
"""Worth a line: more than `fetch.QUIET_BYTES`."""
CLOSED_PROXY = "http://127.0.0.1:9"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the servers' account can reach: pytest's own are closed when root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cache(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv(CACHE_VARIABLE, str(open_folder / "cache"))
    monkeypatch.setenv("M2_REPO", str(open_folder / "maven"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, CLOSED_PROXY)
        monkeypatch.setenv(name.lower(), CLOSED_PROXY)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return open_folder / "cache"


@pytest.fixture
def archive(cache: Path) -> Archive:
    """An archive in the user's local Maven repository, where no network is needed."""
    file = cache.parent / "maven/org/example/thing/1.0/thing-1.0.zip"
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("thing-1.0/hello.txt", "hello")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Archive("org.example", "thing", "1.0", digest, 1_000, 1_000)


class Repository(SimpleHTTPRequestHandler):
    """A Maven repository: its files, and not a word of who asks for them."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def remote(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Maven repository that is reached by HTTP, in place of the central one."""
    folder = cache.parent / "remote"
    folder.mkdir()
    with ThreadingHTTPServer((HOST, 0), partial(Repository, directory=str(folder))) as server:
        settings = cache.parent / "home" / ".config" / "jgo.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"[repositories]\ncentral = http://{HOST}:{server.server_port}\n")
        monkeypatch.setenv("HOME", str(cache.parent / "home"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, HOST)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def published(remote: Path, size: int) -> Archive:
    """An archive of so many bytes in that repository."""
    file = remote / "org/example/large/1.0/large-1.0.zip"
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("large", bytes(size))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Archive("org.example", "large", "1.0", digest, file.stat().st_size, size)


def quiet(_: str) -> None:
    """Progress isn't what is tested here."""


def altered(archive: Archive, **changes: str) -> Archive:
    """The same archive with other coordinates or another pin."""
    return Archive(
        archive.group,
        changes.get("artifact", archive.artifact),
        archive.version,
        changes.get("sha256", archive.sha256),
        archive.download_bytes,
        archive.unpacked_bytes,
    )


def test_archive_is_unpacked_once(archive: Archive, cache: Path) -> None:
    """The second run takes what the first one unpacked, and fetches nothing."""
    said: list[str] = []
    first = unpacked(archive, said.append)
    assert (first / "thing-1.0" / "hello.txt").read_text() == "hello"
    assert len(said) == 1
    shutil.rmtree(cache.parent / "maven")
    assert unpacked(archive, said.append) == first
    assert len(said) == 1


def test_a_large_download_is_said_with_its_progress(remote: Path) -> None:
    """What is fetched, how much that is, and five times how far it has come."""
    said: list[str] = []
    folder = unpacked(published(remote, LARGE_BYTES), said.append)
    assert said == [
        "large-1.0: fetching 9 MB, for this once",
        *(f"large-1.0.zip: {done} MB of 9 MB fetched" for done in (2, 4, 5, 7, 9)),
        "large-1.0: unpacking 9 MB",
    ]
    assert (folder / "large").stat().st_size == LARGE_BYTES


def test_a_small_download_is_only_said_to_be_unpacked(remote: Path) -> None:
    """It is over before anybody could read how far it has come."""
    said: list[str] = []
    unpacked(published(remote, 1_000_000), said.append)
    assert said == ["large-1.0: unpacking 1 MB"]


def test_other_checksum_is_refused(archive: Archive, cache: Path) -> None:
    """A file with another checksum is not used, and leaves nothing in the cache."""
    with pytest.raises(embedded.EmbeddedError, match=r"SHA-256 is .*expected is 00"):
        unpacked(altered(archive, sha256="00" * 32), quiet)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_no_network_is_said(archive: Archive, cache: Path) -> None:
    """Without network the message names what was wanted and the proxy settings."""
    with pytest.raises(embedded.EmbeddedError, match=r"other-1.0 can't be fetched .*HTTPS_PROXY"):
        unpacked(altered(archive, artifact="other"), quiet)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_missing_extra_is_named() -> None:
    """Without the demo extra the message has the command that installs it."""
    with pytest.raises(StopError, match=r"pip install 'cdc-daemon\[demo\]'"):
        require_extra("no_such_package")


def test_full_disk_is_found_before_anything_is_fetched(cache: Path) -> None:
    """When there is too little space nothing is started."""
    with pytest.raises(embedded.EmbeddedError, match=r"disk is too full.*are needed"):
        cached("big", MANY_BYTES, lambda _: pytest.fail("must not be called"))
    with pytest.raises(embedded.EmbeddedError, match="TMPDIR"):
        require_space(cache, MANY_BYTES)


def test_disk_that_fills_up_while_unpacking_leaves_nothing(cache: Path) -> None:
    """A write that fails is explained, and the half-filled folder is removed."""

    def fill(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(embedded.EmbeddedError, match=r"No space left on device.*CDC_DAEMON_CACHE"):
        cached("thing", 1, fill)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_cache_that_cannot_be_made_is_said(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder below a file is refused with the variable to set."""
    (open_folder / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(open_folder / "file" / "cache"))
    with pytest.raises(embedded.EmbeddedError, match=CACHE_VARIABLE):
        cache_folder()


def test_too_little_memory_is_found_before_the_start() -> None:
    """A heap larger than the machine is refused, with the figures."""
    with (
        pytest.raises(embedded.EmbeddedError, match=r"MB of memory, and .* are available"),
        embedded.opensearch(heap="90000g", progress=quiet),
    ):
        pytest.fail("must not start")
    require_memory("anything", 1)


@pytest.mark.parametrize("text", ["", "768", "m", "1.5g", "-1g"])
def test_heap_must_be_a_size(text: str) -> None:
    """Sizes are written as Java writes them, and anything else is named."""
    with pytest.raises(embedded.EmbeddedError, match="not '"):
        size_of(text)
    assert size_of("768m") == 768 * 1024 * 1024


def test_taken_port_is_named() -> None:
    """A port on which somebody listens is refused, with how to find out who."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(embedded.EmbeddedError, match=rf"port {port} .*ss -ltnp"),
            embedded.postgres(port=port, progress=quiet),
        ):
            pytest.fail("must not start")


def test_free_ports_are_free_and_never_given_to_clients() -> None:
    """Free ports can be listened on, and lie below those of outgoing connections."""
    ports = {free_port() for _ in range(50)}
    assert len(ports) > 40
    assert all(is_free(port) and port < 32_768 for port in ports)


def test_server_that_dies_shows_the_end_of_its_log() -> None:
    """When a server ends while starting, the reason that it logged is part of the message."""
    settings = {"shared_buffers": "nonsense"}
    with (
        pytest.raises(embedded.EmbeddedError, match=r"(?s)ended with code 1.*shared_buffers"),
        embedded.postgres(settings=settings, fsync=False, progress=quiet),
    ):
        pytest.fail("must not start")


def test_unknown_version_says_what_to_install() -> None:
    """A version that neither the package nor the system has is refused with both ways out."""
    with (
        pytest.raises(embedded.EmbeddedError, match=r"16 and 18 come with.*postgresql-9"),
        embedded.postgres(version=9, progress=quiet),
    ):
        pytest.fail("must not start")


def test_folder_with_other_content_is_left_alone(open_folder: Path) -> None:
    """A data folder that holds something else is refused, and keeps its owner."""
    (open_folder / "letter").touch()
    with (
        pytest.raises(embedded.EmbeddedError, match="is not empty"),
        embedded.postgres(data=open_folder, progress=quiet),
    ):
        pytest.fail("must not start")
    assert open_folder.stat().st_uid == os.getuid()
    assert [path.name for path in open_folder.iterdir()] == ["letter"]


def test_closed_folder_is_named(open_folder: Path) -> None:
    """A folder that the servers' account can't reach is named together with who closes it."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    stranger = Account("stranger", 4_000_000, 4_000_000)
    with pytest.raises(embedded.EmbeddedError, match=f"can't reach.*{closed} is closed"):
        require_reachable(closed / "data", stranger)
    require_reachable(open_folder / "data", stranger)
