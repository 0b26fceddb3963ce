"""TLS and authentication, through a proxy that really does both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.errors import SinkError
from cdc_daemon.events import DocumentOperation
from connectors.opensearch import client as client_module

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.ports import ReadModel
    from tests.integration.opensearch.conftest import MakeSink
    from tests.integration.opensearch.tlsproxy import Certificates, Proxy

GOOD = [
    {"user": "daemon", "password": "s3cret"},
    {"bearer_token": "good-token"},
    {"api_key": "good-key"},
]


@pytest.mark.parametrize("credentials", GOOD, ids=["basic", "bearer", "api key"])
@pytest.mark.parametrize("compression", [False, True])
def test_writes_through_tls(
    make_sink: MakeSink,
    proxy: Proxy,
    certificates: Certificates,
    model: ReadModel,
    credentials: dict[str, str],
    *,
    compression: bool,
) -> None:
    """Documents arrive through verified TLS with each kind of credentials, compressed or not."""
    sink = make_sink(proxy.url, ca=certificates.ca, compression=compression, **credentials)
    sink.preflight([model])
    generation = sink.create_generation(model)
    writer = sink.writer()
    body = b'{"n":1,"t":"a"}'
    result = writer.write([DocumentOperation(generation.index, b'"1"', 1, body)])
    assert not result.rejected
    assert sink.documents.get(generation.index, "1") == (1, body)
    assert ("gzip" in proxy.encodings) == compression
    writer.close()
    sink.drop_generation(generation)


def test_unverified_tls_is_quiet(make_sink: MakeSink, proxy: Proxy, model: ReadModel) -> None:
    """`verify: false` works without one warning for each request (a warning fails tests here)."""
    make_sink(proxy.url, verify=False, bearer_token="good-token").preflight([model])  # noqa: S106


BAD: list[dict[str, Any]] = [{}, {"user": "daemon", "password": "wrong"}, {"bearer_token": "old"}]


@pytest.mark.parametrize("credentials", BAD, ids=["none", "password", "token"])
def test_wrong_credentials(
    make_sink: MakeSink,
    proxy: Proxy,
    certificates: Certificates,
    model: ReadModel,
    credentials: dict[str, str],
) -> None:
    """Wrong credentials stop with one paragraph that names the settings, and no secret."""
    sink = make_sink(proxy.url, ca=certificates.ca, **credentials)
    for attempt in (lambda: sink.preflight([model]), sink.writer):
        with pytest.raises(SinkError, match=r"credentials \(HTTP 401\).*sink\.password") as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert "wrong" not in str(caught.value)


def test_missing_right(
    make_sink: MakeSink, proxy: Proxy, certificates: Certificates, model: ReadModel
) -> None:
    """A missing right stops with a paragraph that says what may not be done."""
    sink = make_sink(proxy.url, ca=certificates.ca, bearer_token="read-only")  # noqa: S106
    with pytest.raises(SinkError, match=r"may not create an index.*permissions listed") as caught:
        sink.create_generation(model)
    assert "\n" not in str(caught.value)


def test_untrusted_certificate(
    make_sink: MakeSink, proxy: Proxy, certificates: Certificates, model: ReadModel
) -> None:
    """A certificate by another authority stops with a paragraph that names `sink.ca`."""
    sink = make_sink(proxy.url, ca=certificates.stranger, bearer_token="good-token")  # noqa: S106
    with pytest.raises(SinkError, match=r"certificate of OpenSearch.*sink\.ca") as caught:
        sink.preflight([model])
    assert "\n" not in str(caught.value)
    assert not any(proxy.authorizations), "credentials must not go to a server we don't trust"


def test_certificate_for_another_name(
    make_sink: MakeSink, proxy: Proxy, certificates: Certificates, model: ReadModel
) -> None:
    """A trusted certificate for another host name is refused as well."""
    url = proxy.url.replace("127.0.0.1", "localhost")
    sink = make_sink(url, ca=certificates.ca, bearer_token="good-token")  # noqa: S106
    with pytest.raises(SinkError, match=r"not trusted.*localhost"):
        sink.preflight([model])


def test_https_to_a_plain_server(
    make_sink: MakeSink, opensearch: OpenSearchServer, model: ReadModel
) -> None:
    """https:// to a server without TLS is explained."""
    sink = make_sink(opensearch.url.replace("http:", "https:"))
    with pytest.raises(SinkError, match="does not speak TLS"):
        sink.preflight([model])


def test_missing_ca_file(make_sink: MakeSink, proxy: Proxy, model: ReadModel) -> None:
    """A CA file that isn't there is a paragraph, before anything is sent."""
    with pytest.raises(SinkError, match=r"certificate file .*sink\.ca"):
        make_sink(proxy.url, ca="/nowhere/ca.pem").preflight([model])


def test_signs_for_aws(
    make_sink: MakeSink,
    proxy: Proxy,
    certificates: Certificates,
    model: ReadModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `aws` every request carries a signature (that AWS accepts it is not tested here)."""
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    sink = make_sink(proxy.url, ca=certificates.ca, aws={"region": "eu-central-1"})
    sink.preflight([model])
    assert all("/eu-central-1/es/aws4_request" in who for who in proxy.authorizations)


def test_aws_without_botocore(
    make_sink: MakeSink, opensearch: OpenSearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without botocore the error names the extra to install."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(client_module, "import_module", missing)
    with pytest.raises(SinkError, match=r"pip install 'cdc-daemon\[aws\]'"):
        make_sink(opensearch.url, aws={"region": "eu-central-1"})
