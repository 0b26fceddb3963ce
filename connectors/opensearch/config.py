"""The `sink:` section of an OpenSearch sink."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    model_validator,
)

from cdc_daemon.quantities import Duration


def _is_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ValueError("expected an address such as http://localhost:9200")
    if "@" in parts.netloc:
        raise ValueError("credentials don't belong into the address: use `user` and `password`")
    return value.rstrip("/")


class AwsConfig(BaseModel):
    """Sign requests for the Amazon OpenSearch Service (SigV4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str = Field(min_length=1, description="The AWS region, such as `eu-central-1`.")
    service: Literal["es", "aoss"] = Field(
        default="es", description="`es` for managed clusters, `aoss` for OpenSearch Serverless."
    )


class OpenSearchConfig(BaseModel):
    """Write documents into OpenSearch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["opensearch"] = Field(description="The connector: `opensearch`.")
    hosts: list[Annotated[str, AfterValidator(_is_address)]] = Field(
        min_length=1, description="Addresses of the cluster, such as `http://localhost:9200`."
    )
    user: str | None = Field(default=None, description="Basic authentication: the user.")
    password: SecretStr | None = Field(
        default=None, description="Basic authentication: the password."
    )
    api_key: SecretStr | None = Field(default=None, description="Authenticate by this API key.")
    bearer_token: SecretStr | None = Field(
        default=None, description="Authenticate by this bearer token."
    )
    aws: AwsConfig | None = Field(
        default=None, description="Sign requests for the Amazon OpenSearch Service (SigV4)."
    )
    ca: Path | None = Field(
        default=None,
        description="A PEM file with the certificates to trust instead of the system's.",
    )
    client_cert: Path | None = Field(
        default=None, description="A PEM file with our client certificate."
    )
    client_key: Path | None = Field(default=None, description="A PEM file with its private key.")
    verify: StrictBool = Field(
        default=True, description="Verify the server's certificate. `false` is for trials only."
    )
    compression: StrictBool = Field(
        default=False, description="Compress requests (gzip): less network, more CPU."
    )
    timeout: Duration = Field(
        default=60.0, description="How long to wait for the answer to one request."
    )

    @model_validator(mode="after")
    def _authenticates_in_one_way(self) -> OpenSearchConfig:
        basic = self.user if self.user is not None else self.password
        ways = {
            "user": basic,
            "api_key": self.api_key,
            "bearer_token": self.bearer_token,
            "aws": self.aws,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"expected one way to authenticate, found {', '.join(given)}")
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` go together: give both or none")
        return self

    @model_validator(mode="after")
    def _has_usable_tls_settings(self) -> OpenSearchConfig:
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("`client_key` needs `client_cert`")
        if self.timeout <= 0:
            raise ValueError("`timeout` must be above 0")
        return self
