"""Asks the daemon that runs: finds its address, and fetches a path from its web side.

Health checks run every few seconds: nothing slow is imported here before it is needed, and of the
configuration only `web.listen` is read (and `web.api_key`, to change something), so that no other
secret has to be at hand.
"""

from __future__ import annotations

import http.client
import os
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from cdc_daemon.errors import CdcError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_LISTEN: Final = "127.0.0.1:9645"
"""What `web.listen` is where the configuration doesn't say: the same as in its model."""
TIMEOUT_SECONDS: Final = 4.0
"""Below the 5 s that the image allows its health check."""
CHANGE_SECONDS: Final = 15.0
"""A change waits for the source to move on, and for the reader to come round."""
API_KEY: Final = "CDC_DAEMON_API_KEY"
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - replaced, not bound
_HOW_TO_SAY_WHERE: Final = "give its address: --url http://HOST:PORT, or CDC_DAEMON_URL"


class NotRunningError(CdcError):
    """No daemon answers."""


class RefusedError(CdcError):
    """The daemon did not do what it was asked for."""


class Answer(NamedTuple):
    """What the daemon answered."""

    url: str
    status: int
    content: dict[str, Any]


def ask(file: Path, url: str | None, path: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
    """Fetch the JSON at `path` from the daemon at `url`, or where `file` says that it listens.

    Raises NotRunningError if no daemon answers, ConfigurationError if its address isn't known.
    """
    return _asked(file, url, _Question(path, timeout_seconds=timeout_seconds))


def change(file: Path, url: str | None, path: str, content: dict[str, Any]) -> Answer:
    """Send JSON to `path`, with the API key of the environment or of the configuration.

    Raises RefusedError with what the daemon says; otherwise as `ask` does.
    """
    headers: dict[str, str | bytes] = {"content-type": "application/json"}
    if key := _api_key(file, url).strip():
        headers["authorization"] = f"Bearer {key}".encode()
    answer = _asked(file, url, _Question(path, headers, orjson.dumps(content), CHANGE_SECONDS))
    if answer.status != http.client.OK:
        raise RefusedError(str(answer.content.get("error") or f"HTTP {answer.status}"))
    return answer


class _Question(NamedTuple):
    """What is sent; a body makes it a POST."""

    path: str
    headers: Mapping[str, str | bytes] = {}
    body: bytes | None = None
    timeout_seconds: float = TIMEOUT_SECONDS


def _asked(file: Path, url: str | None, question: _Question) -> Answer:
    base = (url or address(file)).rstrip("/")
    try:
        status, body = _fetch(base, question)
    except (OSError, http.client.HTTPException) as error:
        raise NotRunningError(
            f"no daemon answers at {base} ({_said(error)}). Start it with `cdc-daemon run`; if it "
            f"runs elsewhere, {_HOW_TO_SAY_WHERE}"
        ) from error
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise NotRunningError(
            f"what answers at {base} is not a cdc-daemon (HTTP {status}): {_HOW_TO_SAY_WHERE}"
        )
    return Answer(base, status, content)


def address(file: Path) -> str:
    """`http://host:port` of `web.listen` in the configuration; loopback if it listens everywhere.

    Raises ConfigurationError.
    """
    listen = _listen(file)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or port == "0":
        raise ConfigurationError(
            f"{file}: web.listen is {listen}, which does not say where the daemon can be asked: "
            f"{_HOW_TO_SAY_WHERE}"
        )
    return f"http://{_LOOPBACK.get(host, host)}:{port}"


def _listen(file: Path) -> str:
    return _web_setting(file, "listen") or DEFAULT_LISTEN


def _api_key(file: Path, url: str | None) -> str:
    """The key; empty where there is none. With an address nobody needs a configuration."""
    if key := os.environ.get(API_KEY):
        return key
    if url and not file.exists():
        return ""
    return _web_setting(file, "api_key")


def _web_setting(file: Path, key: str) -> str:
    """`web.KEY` as written, filled in; empty where it isn't there.

    What else is in the file may be as wrong as it likes.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415 - 25 ms, not needed with --url
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415 - as above

    try:
        node = YAML(typ="safe", pure=True).compose(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"{file} can't be read: {error.strerror}. Name the configuration, or "
            f"{_HOW_TO_SAY_WHERE}"
        ) from error
    except (ValueError, YAMLError) as error:
        raise ConfigurationError(f"{file} is no YAML: see `cdc-daemon validate {file}`") from error
    written = _value(_value(node, "web"), key)
    text = str(getattr(written, "value", "") or "")
    return _filled(file, key, text) if "$" in text else text


def _value(node: Any, key: str) -> Any:
    """The node under `key` of a mapping node; None if there is none."""
    pairs = node.value if getattr(node, "id", "") == "mapping" else ()
    return next((value for name, value in pairs if name.value == key), None)


def _filled(file: Path, key: str, text: str) -> str:
    from cdc_daemon.config.interpolation import (  # noqa: PLC0415 - its package takes 0.2 s
        interpolate,
    )

    def read_file(path: str) -> str:
        with open(path, encoding="utf-8") as opened:  # noqa: PTH123 - the path is a plain name
            return opened.read().rstrip("\r\n")

    try:
        return interpolate(text, os.environ, read_file)[0]
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{file}: web.{key}: {error}") from error


def _fetch(base: str, question: _Question) -> tuple[int, bytes]:
    parts = urlsplit(base)
    secure = parts.scheme == "https"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{base} is no address such as http://127.0.0.1:9645")
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=question.timeout_seconds)
    method = "GET" if question.body is None else "POST"
    headers = {"accept": "application/json", **question.headers}
    try:
        connection.request(method, parts.path + question.path, question.body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return "nothing in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
