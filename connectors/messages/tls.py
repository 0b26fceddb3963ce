"""How brokers of messages are connected to by TLS: a part of a section of the configuration."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from cdc_daemon.errors import SourceError


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


def tls_context(tls: BrokerTls, section: str) -> ssl.SSLContext:
    """What Python connects with. Raises SourceError where a file isn't there, or no such file.

    `section`: where the configuration says it, for people.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.client_cert is not None:
            context.load_cert_chain(tls.client_cert, tls.client_key)
    except OSError as error:
        files = ", ".join(str(file) for file in (tls.ca, tls.client_cert, tls.client_key) if file)
        raise SourceError(f"{section}: {files} can't be used: {error}") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
