"""What the tests of the OpenSearch sink share: sinks, read models, a proxy with TLS and users."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from cdc_daemon.events import ColumnType
from cdc_daemon.ports import FieldSpec, ReadModel
from connectors.opensearch import OpenSearchSink
from connectors.opensearch.config import OpenSearchConfig
from tests.integration.opensearch.tlsproxy import Certificates, make_certificates, tls_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer
    from tests.integration.opensearch.tlsproxy import Proxy

PIPELINE = "tests"


class MakeSink(Protocol):
    """Makes sinks that are closed at the end of the test."""

    def __call__(self, *hosts: str, **settings: Any) -> OpenSearchSink:
        """A sink on `hosts` with further settings of its YAML section."""


@pytest.fixture
def make_sink() -> Iterator[MakeSink]:
    """Make sinks with any settings."""
    with ExitStack() as stack:

        def make(*hosts: str, **settings: Any) -> OpenSearchSink:
            config = OpenSearchConfig(type="opensearch", hosts=list(hosts), **settings)
            made = OpenSearchSink(config, pipeline=PIPELINE)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def sink(opensearch: OpenSearchServer, make_sink: MakeSink) -> OpenSearchSink:
    """A sink on the shared server."""
    return make_sink(opensearch.url)


@pytest.fixture
def model() -> ReadModel:
    """A read model with one number and one text."""
    fields = (FieldSpec("n", ColumnType("int4")), FieldSpec("t", ColumnType("text")))
    return ReadModel(f"t_{uuid.uuid4().hex[:12]}", fields, "f1")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, a certificate for 127.0.0.1, and an authority that signed nothing."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def proxy(opensearch: OpenSearchServer, certificates: Certificates) -> Iterator[Proxy]:
    """An authenticating proxy with TLS in front of the shared server."""
    with tls_proxy(opensearch.port, certificates) as running:
        yield running
