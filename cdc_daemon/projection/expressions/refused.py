"""Functions that people try, and the reason why each can't be had."""

from __future__ import annotations

from typing import Final

_SESSION: Final = (
    "its value depends on the session or the moment, not on the row:"
    " a document could never be made again from its row"
)
_ONE_ROW: Final = (
    "an expression sees one row; use `embed` with count, sum, avg, min or max"
    " for the rows that belong to it"
)
REFUSED: Final = {
    **dict.fromkeys(
        (
            "now",
            "random",
            "clock_timestamp",
            "statement_timestamp",
            "transaction_timestamp",
            "timeofday",
            "age",
            "current_user",
            "session_user",
            "user",
            "current_role",
            "current_schema",
            "current_catalog",
            "current_database",
            "current_date",
            "current_time",
            "current_timestamp",
            "localtime",
            "localtimestamp",
            "current_setting",
            "gen_random_uuid",
            "uuidv4",
            "uuidv7",
            "nextval",
            "currval",
            "lastval",
            "txid_current",
            "pg_backend_pid",
            "inet_client_addr",
            "pg_sleep",
            "version",
            "random_normal",
            "setseed",
            "uuid_generate_v4",
        ),
        _SESSION,
    ),
    **dict.fromkeys(
        (
            "count",
            "sum",
            "avg",
            "min",
            "max",
            "array_agg",
            "string_agg",
            "jsonb_agg",
            "json_agg",
            "bool_and",
            "bool_or",
            "every",
            "row_number",
            "rank",
            "dense_rank",
            "lag",
            "lead",
            "first_value",
            "last_value",
            "stddev",
            "variance",
            "jsonb_object_agg",
            "json_object_agg",
        ),
        _ONE_ROW,
    ),
    **dict.fromkeys(
        (
            "regexp_replace",
            "regexp_match",
            "regexp_matches",
            "regexp_like",
            "regexp_split_to_array",
            "regexp_count",
            "regexp_substr",
        ),
        "PostgreSQL's regular expressions are not Python's; use LIKE, split_part or replace",
    ),
    "to_char": "its formats depend on the locale; use date_trunc, extract and casts to text",
    "initcap": "what a word is depends on the locale; use upper(left(x, 1)) || lower(substr(x, 2))",
    "format": "use || or concat",
    "row": "an expression gives one value",
    "row_to_json": _ONE_ROW,
}
