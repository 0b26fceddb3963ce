"""Addresses of documents: ids, and what says their shard."""

from __future__ import annotations

import pytest

from cdc_daemon.delivery.addresses import parted, routed


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


def test_a_delete_is_one_below_what_is_written() -> None:
    """Where both are on one shard it does nothing to the document that has moved there."""
    written = routed("rooms", b'"1""8"', 20, b"{}")
    gone = routed("rooms", b'"1""7"', 20, None)
    assert (written.id, written.routing, written.version) == (b'"1"', b'"8"', 20)
    assert (gone.id, gone.routing, gone.version) == (b'"1"', b'"7"', 19)
