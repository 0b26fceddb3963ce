"""A small authenticating proxy with TLS: what a secured cluster looks like from outside."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALLOWED = {
    f"Basic {base64.b64encode(b'daemon:s3cret').decode()}",
    "Bearer good-token",
    "ApiKey good-key",
}
READ_ONLY = "Bearer read-only"
SIGNED = "AWS4-HMAC-SHA256 Credential="
PASSED_ON = ("content-type", "content-encoding", "accept-encoding")


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files."""

    ca: Path
    stranger: Path
    certificate: Path
    key: Path


@dataclass(slots=True)
class Proxy:
    """A running proxy, and what it saw."""

    url: str
    encodings: set[str | None] = field(default_factory=set)
    authorizations: set[str] = field(default_factory=set)


def make_certificates(folder: Path) -> Certificates:
    """An authority, a certificate for 127.0.0.1, and an authority that signed nothing."""
    _authority(folder, "ca")
    _authority(folder, "stranger")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    _openssl(folder, "req -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem -subj /CN=127.0.0.1")
    _openssl(
        folder,
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san"
        " -out certificate.pem",
    )
    names = ("ca.pem", "stranger.pem", "certificate.pem", "key.pem")
    return Certificates(*(folder / name for name in names))


@contextmanager
def tls_proxy(target_port: int, certificates: Certificates) -> Iterator[Proxy]:
    """Run the proxy on a free port of 127.0.0.1 for as long as the context lasts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    proxy = Proxy(f"https://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = _handler(target_port, proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(target_port: int, proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            who = self.headers.get("authorization", "")
            proxy.encodings.add(self.headers.get("content-encoding"))
            proxy.authorizations.add(who)
            if who == READ_ONLY and self.command in {"PUT", "DELETE"}:
                self.answer(403, _error("security_exception", "no permissions for [indices:admin]"))
            elif who in ALLOWED or who == READ_ONLY or who.startswith(SIGNED):
                self.pass_on(body)
            else:
                self.answer(401, b"Unauthorized", "text/plain")

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815 - http.server's

        def pass_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", target_port, timeout=30)
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            self.answer(
                response.status,
                response.read(),
                response.headers.get("content-type", ""),
                response.headers.get("content-encoding", "identity"),
            )
            connection.close()

        def answer(
            self,
            status: int,
            body: bytes,
            kind: str = "application/json",
            encoding: str = "identity",
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-encoding", encoding)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _error(kind: str, reason: str) -> bytes:
    return json.dumps({"error": {"type": kind, "reason": reason}, "status": 403}).encode()


def _authority(folder: Path, name: str) -> None:
    _openssl(
        folder,
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {name}.key -out {name}.pem"
        f" -subj /CN={name} -addext keyUsage=critical,keyCertSign,cRLSign",
    )


def _openssl(folder: Path, arguments: str) -> None:
    command = ["openssl", *arguments.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
