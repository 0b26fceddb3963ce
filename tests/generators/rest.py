"""Plain HTTP to OpenSearch and to the daemon, without the daemon's own client."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0


class Refused(Exception):  # noqa: N818 - it names what the server did
    """The server answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:500]}")
        self.status = status


class Rest:
    """One HTTP server. A connection for each request: servers come and go in these tests."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80

    def text(
        self, method: str, path: str, body: object = None, timeout: float = TIMEOUT_SECONDS
    ) -> str:
        """The text of the answer; bytes are sent as they are.

        Raises Refused, or OSError if nobody answers.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if data else {}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise Refused(answer.status, text)
        return text

    def get(self, path: str, body: object = None) -> Any:
        """The JSON at `path`."""
        return json.loads(self.text("GET", path, body))

    def post(self, path: str, body: object = None) -> Any:
        """The JSON answer to a POST."""
        return json.loads(self.text("POST", path, body))

    def put(self, path: str, body: object = None) -> Any:
        """The JSON answer to a PUT."""
        return json.loads(self.text("PUT", path, body))

    def delete(self, path: str) -> Any:
        """The JSON answer to a DELETE."""
        return json.loads(self.text("DELETE", path))
