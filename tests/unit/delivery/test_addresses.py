"""Addresses of documents: ids, and what says their shard."""

from __future__ import annotations

import pytest

from cdc_daemon.delivery.addresses import parted


@pytest.mark.parametrize(
    ("document_id", "routing"),
    [
        (b'"1"', None),
        (b'"1"', b'"7"'),
        (b'"a\\"b"', b'"c\\\\"'),
        (b'"\\\\"', b'""'),
        ('"ä|\\\\|"'.encode(), b'"x"'),
    ],
)
def test_an_address_is_parted(document_id: bytes, routing: bytes | None) -> None:
    """Whatever is in the id: quotes and backslashes are escaped there, as JSON has them."""
    assert parted(document_id + (routing or b"")) == (document_id, routing)
