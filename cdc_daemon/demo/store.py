"""The hotel store: its tables and rows, its configuration, and what its documents must be."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, LiteralString, NamedTuple

import psycopg

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from cdc_daemon.embedded import PostgresServer

DATABASE = "hotel"
FOLLOWS_POSTGRES = "  type: postgres\n"
FOLLOWS_LOG = "  type: relay\n  bootstrap_servers: ${KAFKA_SERVERS}\n  log: hotel.log\n"


class Counts(NamedTuple):
    """How many rows there are."""

    hotels: int
    rooms: int
    bookings: int


def create(server: PostgresServer) -> Counts:
    """Create the database `hotel` with its tables and existing rows."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create database hotel")
    with psycopg.connect(server.dsn_of(DATABASE)) as connection:
        for script in ("schema.sql", "rows.sql"):
            connection.execute(sql(script))
        row = connection.execute(
            "select (select count(*) from hotel), (select count(*) from room),"
            " (select count(*) from booking)"
        ).fetchone()
    return Counts(*row or (0, 0, 0))


def configuration() -> str:
    """The text of `cdc-daemon.yaml`, the same as in deploy/examples/hotel."""
    return _folder().joinpath("cdc-daemon.yaml").read_text()


def relay_configuration() -> str:
    """The text of `relay.yaml`, the same as in deploy/examples/hotel."""
    return _folder().joinpath("relay.yaml").read_text()


def projector_configuration() -> str:
    """`cdc-daemon.yaml` for those who read the relay's log, whom no commit can wait for."""
    without_strong, _, after = configuration().partition("consistency:")
    _, state, rest = after.partition("state:")
    return (without_strong + state + rest).replace(FOLLOWS_POSTGRES, FOLLOWS_LOG)


def statements(name: str) -> dict[str, LiteralString]:
    """The statements of one of the SQL files, each by the name in the comment above it."""
    parts = re.split(r"^-- (\w+)(?:: .*)?$", sql(name), flags=re.MULTILINE)
    bodies = [part.strip().rstrip(";") for part in parts[2::2]]
    return dict(zip(parts[1::2], bodies, strict=True))


def sql(name: str) -> LiteralString:
    """One of the SQL files: ours, and as fixed as a literal."""
    return _folder().joinpath(name).read_text()


def _folder() -> Traversable:
    return files("cdc_daemon.demo") / "hotel"
