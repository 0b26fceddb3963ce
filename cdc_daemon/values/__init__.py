"""The value system: PostgreSQL's text to JSON, document ids and canonical keys, by column type."""

from cdc_daemon.values.canonical import canonical_key
from cdc_daemon.values.encoding import json_encoder
from cdc_daemon.values.identifiers import id_encoder, join_id
from cdc_daemon.values.scalars import Encoder
from cdc_daemon.values.session import SESSION_SETTINGS

__all__ = [
    "SESSION_SETTINGS",
    "Encoder",
    "canonical_key",
    "id_encoder",
    "join_id",
    "json_encoder",
]
