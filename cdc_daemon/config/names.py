"""The rules of names in a configuration: each returns the name, or says what is expected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from cdc_daemon.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

PIPELINE_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,39}$"
SINK_PATTERN: Final = PIPELINE_PATTERN
PROJECTION_PATTERN: Final = r"""^(?!.*-[0-9]+$)[^-_+.:A-Z\\/*?"<>| ,#][^:A-Z\\/*?"<>| ,#]*$"""
FIELD_NAME_PATTERN: Final = r"^(?!_)[^.]+(\.[^.]+)*$"

_PROJECTION_BYTES: Final = 240
"""OpenSearch allows 255 bytes for an index, and a generation adds its number."""
_HIGHEST_PORT: Final = 65535
_HTTP: Final = re.compile(r"https?://[^\s/]+(/\S*)?")
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_TABLE: Final = re.compile(r"[^.\"\0]+(\.[^.\"\0]+)?")
_IN_BRACES: Final = re.compile(r"\{([^{}]+)\}")

T = TypeVar("T")


class MistypedKeysError(ValueError):
    """Keys that would be passed through, but look like mistyped keys of our own."""

    def __init__(self, suggestions: dict[str, str]) -> None:
        super().__init__(f"mistyped keys: {', '.join(suggestions)}")
        self.suggestions = suggestions
        """What each was probably meant to be."""


def pipeline_name(value: str) -> str:
    """The name of a pipeline. Raises ValueError."""
    if not re.fullmatch(PIPELINE_PATTERN.strip("^$"), value):
        raise ValueError(
            "expected a name of at most 40 of a-z, 0-9, _ and -, that begins with a letter"
        )
    return value


def sink_name(value: str) -> str:
    """The name of one of several sinks. Raises ValueError."""
    if not re.fullmatch(SINK_PATTERN.strip("^$"), value):
        raise ValueError(
            "expected a name of at most 40 of a-z, 0-9, _ and -, that begins with a letter"
        )
    return value


def projection_name(value: str) -> str:
    """The name of a projection, which is an OpenSearch alias. Raises ValueError."""
    if re.search(r"-[0-9]+\Z", value):
        raise ValueError(
            "expected a name that doesn't end in a dash and digits: the indices behind the alias "
            "are called NAME-000001 and so on"
        )
    usable = re.fullmatch(PROJECTION_PATTERN[:-1], value, re.DOTALL) and value.isprintable()
    if not usable or value != value.lower() or len(value.encode()) > _PROJECTION_BYTES:
        raise ValueError(
            "expected a name that OpenSearch takes for an alias: lower case, not beginning with "
            'any of - _ + . and without spaces or any of \\ / * ? " < > | , # :'
        )
    return value


def field_name(value: str) -> str:
    """The name of a field; dots make an object. Raises ValueError."""
    if not re.fullmatch(FIELD_NAME_PATTERN[:-1], value, re.DOTALL):
        raise ValueError(
            "expected the name of a field: not empty, not beginning with _, and with something "
            "before and after each dot"
        )
    return value


def table_name(value: str) -> str:
    """A table, `schema.name` or `name`. Raises ValueError."""
    if not _TABLE.fullmatch(value):
        raise ValueError("expected a table such as public.hotel, without quotes")
    return value


def id_template(value: str) -> str:
    """The template of a document id, `hotel-{id}`. Raises ValueError."""
    columns = _IN_BRACES.findall(value)
    if not columns or "{" in (rest := _IN_BRACES.sub("", value)) or "}" in rest:
        raise ValueError("expected text with columns in braces, such as hotel-{id}; or [columns]")
    if "}{" in value:
        raise ValueError("expected text between two columns, or two rows could share a document")
    if "\\" in rest:
        raise ValueError(r"expected no \ outside of braces: it escapes values of several columns")
    if len(set(columns)) < len(columns):
        raise ValueError("`id` names a column twice")
    return value


def id_parts(template: str) -> list[str]:
    """What a template consists of: text, column, text, column, ..., text."""
    return _IN_BRACES.split(template)


def listen_address(value: str) -> str:
    """An address to listen on, `host:port`. Raises ValueError."""
    match = _LISTEN.fullmatch(value)
    if match is None or int(match[2]) > _HIGHEST_PORT:
        raise ValueError("expected an address such as 127.0.0.1:9645 or [::1]:9645")
    return value


def http_address(value: str) -> str:
    """The address of an HTTP server. Raises ValueError."""
    if _HTTP.fullmatch(value) is None:
        raise ValueError("expected an address such as http://collector:4318/v1/traces")
    return value


def clashing_fields(fields: dict[str, T]) -> dict[str, T]:
    """All fields. Raises ValueError if one is both a value and the object that holds others."""
    for name in fields:
        parts = name.split(".")
        for length in range(1, len(parts)):
            if (outer := ".".join(parts[:length])) in fields:
                raise ValueError(f'field "{name}" can\'t be within field "{outer}", a value')
    return fields


def listed_fields(names: list[str]) -> list[str]:
    """All names. Raises ValueError if one is there twice, or within another one."""
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise ValueError(f"{twice[0]} is listed twice")
    clashing_fields(dict.fromkeys(names))
    return names


def mistyped_key(key: str, own: Iterable[str]) -> str | None:
    """Which of our own keys a passed-through key was meant to be, if it looks like one.

    No parameter of an OpenSearch mapping is this much like one of our keys.
    """
    return nearest(key, own, cutoff=0.75)
