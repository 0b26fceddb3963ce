"""Talks HTTP to OpenSearch through opensearch-py: TLS, authentication, hosts, timeouts."""

from __future__ import annotations

import ssl
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson
import structlog
from opensearchpy import OpenSearch
from opensearchpy.connection import Urllib3HttpConnection
from opensearchpy.connection_pool import ConnectionSelector
from opensearchpy.serializer import Serializer
from urllib3.exceptions import InsecureRequestWarning

from cdc_daemon.errors import SinkError
from connectors.opensearch.errors import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.opensearch.config import AwsConfig, OpenSearchConfig

log = structlog.get_logger(__name__)

DEAD_HOST_SECONDS: Final = 5
"""How long a host that failed is left alone while others answer (doubles up to 32 times)."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Client:
    """One or more connections to a cluster; raises only the daemon's errors."""

    def __init__(self, config: OpenSearchConfig, *, connections: int = 1) -> None:
        self.where = ", ".join(config.hosts)
        self._driver = OpenSearch(
            hosts=[_host(address) for address in config.hosts],
            connection_class=QuietConnection,
            selector_class=FirstHost,
            serializer=PassThrough(),
            ssl_context=_tls(config),
            http_auth=_signature_or_password(config),
            headers=_authorization(config),
            http_compress=config.compression,
            timeout=config.timeout,
            pool_maxsize=connections,
            dead_timeout=DEAD_HOST_SECONDS,
            max_retries=0,  # the pipeline retries; a failed host is only put aside
            retry_on_timeout=True,
        )

    def ask(self, action: str, method: str, path: str, **request: Any) -> Any:
        """Send a request and return its JSON answer. Arguments as for `send`."""
        answer = self.send(action, method, path, **request)
        return orjson.loads(answer) if answer else {}

    def send(
        self,
        action: str,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: object = None,
        ok: Sequence[int] = (),
    ) -> str:
        """Send a request and return the text of its answer.

        `action` completes "may not ..." in messages. `body`: bytes go as they are, anything else
        as JSON. `ok`: error statuses that are an answer too.
        """
        with mapped_errors(action, self.where):
            answer = self._driver.transport.perform_request(
                method, path, params=dict(params or {}), body=body, ignore=tuple(ok)
            )
        return answer if isinstance(answer, str) else ""

    def exists(self, action: str, path: str) -> bool:
        """Whether there is something at `path`."""
        with mapped_errors(action, self.where):
            return bool(self._driver.transport.perform_request("HEAD", path))

    def close(self) -> None:
        """Close all connections, also those put aside. Safe to call twice."""
        connections: list[Any] = self._driver.transport.seed_connections
        for connection in connections:
            connection.close()


class QuietConnection(Urllib3HttpConnection):
    """The driver's connection without its log, which would show documents and stack traces."""

    def log_request_success(self, *_: Any, **__: Any) -> None:
        """Say nothing: metrics count requests."""

    def log_request_fail(self, *_: Any, **__: Any) -> None:
        """Say nothing: the error that follows says it."""

    def _raise_warnings(self, warning_headers: Any) -> None:
        for warning in warning_headers or ():
            log.debug("opensearch_warns", warning=warning)


class FirstHost(ConnectionSelector):
    """Stay with one host while it answers: a writer's requests then follow one another."""

    def select(self, connections: Any) -> Any:
        """The first that is alive; the driver shuffles them once for each client."""
        return connections[0]


class PassThrough(Serializer):
    """Leave bytes and answers as they are: NDJSON is ready, and documents keep their digits."""

    mimetype = "application/json"

    def dumps(self, data: Any) -> Any:
        """Bytes as they are, anything else as JSON."""
        return data if isinstance(data, bytes) else orjson.dumps(data)

    def loads(self, data: Any) -> Any:
        """The text itself."""
        return data


def _host(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    return {
        "host": parts.hostname,
        "port": parts.port or DEFAULT_PORTS[parts.scheme],
        "use_ssl": parts.scheme == "https",
        "url_prefix": parts.path.strip("/"),
    }


def _tls(config: OpenSearchConfig) -> ssl.SSLContext | None:
    if not any(address.startswith("https:") for address in config.hosts):
        return None
    try:
        context = ssl.create_default_context(cafile=str(config.ca) if config.ca else None)
        if config.client_cert:
            context.load_cert_chain(config.client_cert, config.client_key)
    except (OSError, ValueError) as error:
        raise SinkError(
            f"A certificate file of the sink can't be used: {error}. `sink.ca`,"
            " `sink.client_cert` and `sink.client_key` must be readable PEM files."
        ) from error
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # The driver would warn at every request; the sink says it once, in the log.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)
    return context


def _authorization(config: OpenSearchConfig) -> dict[str, str]:
    if config.api_key is not None:
        return {"authorization": f"ApiKey {config.api_key.get_secret_value()}"}
    if config.bearer_token is not None:
        return {"authorization": f"Bearer {config.bearer_token.get_secret_value()}"}
    return {}


def _signature_or_password(config: OpenSearchConfig) -> Any:
    if config.aws is not None:
        return _signer(config.aws)
    if config.user is not None and config.password is not None:
        return (config.user, config.password.get_secret_value())
    return None


def _signer(aws: AwsConfig) -> Any:
    try:
        session = import_module("botocore.session")  # an optional dependency
    except ImportError as error:
        raise SinkError(
            "`sink.aws` needs botocore, which is not installed: pip install 'cdc-daemon[aws]'."
        ) from error
    from opensearchpy import Urllib3AWSV4SignerAuth  # noqa: PLC0415 - imports requests

    credentials = session.Session().get_credentials()
    if credentials is None:
        raise SinkError(
            "`sink.aws` is set, but no AWS credentials were found. Give the daemon a role, or set"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    return Urllib3AWSV4SignerAuth(credentials, aws.region, aws.service)
