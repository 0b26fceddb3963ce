"""The value system: PostgreSQL's text to JSON, document ids and canonical keys, by column type."""

from cdc_daemon.values.canonical import canonical_key
from cdc_daemon.values.encoding import json_encoder, unknown_types
from cdc_daemon.values.forms import Form
from cdc_daemon.values.given import GivenError, read_json, source_text
from cdc_daemon.values.identifiers import fill_id, id_encoder, join_id, split_id
from cdc_daemon.values.scalars import Encoder
from cdc_daemon.values.session import SESSION_SETTINGS
from cdc_daemon.values.special import SpecialValueError, watched_encoder

__all__ = [
    "SESSION_SETTINGS",
    "Encoder",
    "Form",
    "GivenError",
    "SpecialValueError",
    "canonical_key",
    "fill_id",
    "id_encoder",
    "join_id",
    "json_encoder",
    "read_json",
    "source_text",
    "split_id",
    "unknown_types",
    "watched_encoder",
]
