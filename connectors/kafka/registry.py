"""The schema registry that messages of Avro go by: schemas by their ids, asked for once.

It speaks the interface of Confluent's registry, which others have as well.
"""

from __future__ import annotations

import base64
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cdc_daemon.errors import RetryError, SourceError
from connectors.messages.avro import AvroSchema
from connectors.messages.avrobinary import AvroError
from connectors.messages.message import MessageError
from connectors.messages.tls import BrokerTls, tls_context

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TIMEOUT_SECONDS: Final = 10.0
"""A schema is some kilobytes that a registry has in memory."""
_SECTION: Final = "source.schema_registry"
_TYPE: Final = "AVRO"
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 200, 401, 403, 404, 429
_THEIRS: Final = 500
"""From here on it isn't the question that is wrong."""


class RegistryConfig(BaseModel):
    """Where the schemas of messages are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="Its address, `https://registry:8081`; of Apicurio's the one that speaks "
        "Confluent's interface: `http://registry:8080/apis/ccompat/v7`.",
    )
    user: str | None = Field(default=None, description="The user, where it wants one.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    tls: BrokerTls | None = Field(
        default=None,
        description="Which certificates `https://` goes by; without it those that the system "
        "trusts.",
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
        if not usable or parts.query or parts.fragment:
            raise ValueError(
                "expected an address such as https://registry:8081; user and password are keys of "
                "their own"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_whole(self) -> RegistryConfig:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` go together")
        if self.tls is not None and not self.url.startswith("https:"):
            raise ValueError("`tls` needs a `url` that begins with https://")
        return self


class Registry:
    """Of one source. One thread asks; what it knows is read by that one, too."""

    def __init__(self, config: RegistryConfig) -> None:
        self._config = config
        self._known: dict[int, AvroSchema | MessageError] = {}
        self._wanted: set[int] = set()
        """Those that were asked for when it was away."""

    @property
    def schemas(self) -> Mapping[int, AvroSchema | MessageError]:
        """By their ids: those that were learnt, or why one is of no use."""
        return self._known

    def learn(self, ids: Collection[int]) -> None:
        """Ask for those that aren't known yet. Raises RetryError, SourceError.

        One that it hasn't isn't remembered: it may have it later.
        """
        self._wanted.update(number for number in ids if number not in self._known)
        self.reach()

    def reach(self) -> None:
        """Ask once more for what it owes us. Raises RetryError, SourceError."""
        while self._wanted:
            number = next(iter(self._wanted))
            if (said := self._asked(f"/schemas/ids/{number}")) is not None:
                self._known[number] = self._compiled(said)
            self._wanted.discard(number)

    def require(self) -> None:
        """See that it is there, and lets us in. Raises RetryError, SourceError."""
        if self._asked("/schemas/types") is None:
            raise SourceError(
                f"{self._config.url} is no schema registry: there is nothing at /schemas/types. "
                f"Check {_SECTION}.url: that of Apicurio's ends with /apis/ccompat/v7"
            )

    def _compiled(self, said: dict[str, Any]) -> AvroSchema | MessageError:
        kind = said.get("schemaType") or _TYPE
        if kind != _TYPE:
            return MessageError("no_avro", f"it is one of {kind}, and only AVRO is read")
        try:
            return AvroSchema(said["schema"], self._referenced(said))
        except (AvroError, KeyError) as error:
            return MessageError("no_avro", str(error))

    def _referenced(self, said: dict[str, Any]) -> list[str]:
        """The schemas that it names, each after those that it names itself."""
        found: list[str] = []
        for one in said.get("references") or ():
            subject, version = quote(one["subject"], safe=""), one["version"]
            other = self._asked(f"/subjects/{subject}/versions/{version}")
            if other is not None:
                found += [*self._referenced(other), other["schema"]]
        return list(dict.fromkeys(found))

    def _asked(self, path: str) -> Any:
        """What it answers; None where it has no such thing. Raises RetryError, SourceError."""
        url = self._config.url + path
        try:
            status, body = self._answer(url)
            if status == _OK:
                return orjson.loads(body)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                raise SourceError(
                    f"the schema registry at {url} isn't trusted: {error}. "
                    f"{_SECTION}.tls.ca names the certificates to trust"
                ) from error
            reason = "timeout" if isinstance(error, TimeoutError) else "unavailable"
            said = f"the schema registry doesn't answer: {error}, from {url}"
            raise RetryError(said, reason=reason) from error
        return _refused(status, body, url)

    def _answer(self, url: str) -> tuple[int, bytes]:
        connection = self._connection()
        parts = urlsplit(url)
        try:
            connection.request("GET", parts.path, headers=self._headers())
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self._config.url)
        host = str(parts.hostname)
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)
        context = tls_context(self._config.tls or BrokerTls(), f"{_SECTION}.tls")
        return HTTPSConnection(host, parts.port, timeout=TIMEOUT_SECONDS, context=context)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if self._config.user is not None and self._config.password is not None:
            both = f"{self._config.user}:{self._config.password.get_secret_value()}"
            headers["Authorization"] = f"Basic {base64.b64encode(both.encode()).decode()}"
        return headers


def _refused(status: int, body: bytes, url: str) -> None:
    """Nothing, where it hasn't what was asked for. Raises RetryError, SourceError."""
    if status == _NOT_FOUND:
        return
    said = f"the schema registry answers {status} to {url}: {body[:200].decode(errors='replace')}"
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        raise SourceError(
            f"{said}. Set {_SECTION}.user and password of somebody who may read schemas"
        )
    if status == _TOO_MANY or status >= _THEIRS:
        raise RetryError(said, reason="overloaded" if status == _TOO_MANY else "unavailable")
    raise SourceError(f"{said}. Check {_SECTION}.url")
