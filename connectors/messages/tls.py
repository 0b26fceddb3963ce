"""How brokers of messages are connected to by TLS: a part of a section of the configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator


class BrokerTls(BaseModel):
    """Which certificates TLS goes by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    @model_validator(mode="after")
    def _has_certificate_of_key(self) -> BrokerTls:
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("`client_key` needs `client_cert`")
        return self
