"""A table with a column of every type, and where Debezium's messages are known to be other ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from cdc_daemon.values import SESSION_SETTINGS
from tests.generators.every_type import generated
from tests.generators.pg_values import WITH_MODIFIER, PgType, literal, scalar

if TYPE_CHECKING:
    from random import Random

    from tests.generators.debezium_compared import Event

VALUES: Final = 3
"""Of each type."""
FATAL: Final = re.compile(r"timetz.*[+-]\d\d:\d\d:\d\d\b|interval.*(nfinity|\d{6,})", re.DOTALL)
"""Types and values at which Debezium ends: a zone with seconds, intervals without end."""

LEFT_OUT: Final = re.compile(
    r"(box|circle|line|lseg|path|polygon|cid|xid|xid8|tid|pg_lsn|reg\w+|jsonpath|tsquery|refcursor|cube|seg"
    r"|pg_snapshot|txid_snapshot|\w*multirange)(\[\])?"
    r"|(interval|money|name|point|varbit|refcursor|xml)\[\]"
)
"""Types whose columns Debezium leaves out; our messages have them as text."""

_ENDLESS: Final = "NaN|[Ii]nfinity"
OTHERS: Final = {
    # Debezium has null, or nothing of what was there.
    r"name|(int2|oid)vector(\[\])?|refcursor|bit(\[\])?": "",
    r".*\[\]": r"(\[[^=]*=)?\{\{",
    r"numeric.*\[\]": _ENDLESS,
    r"tsvector\[\]": "NULL",
    r"numeric\(.*\)": "NaN",
    r"interval.*": f"{_ENDLESS}|\\d{{6,}}Y",
    # Debezium has another moment: it reckons with the Julian calendar, or its numbers overflow.
    r"date(\[\])?": f"{_ENDLESS}|BC|58748|{{.*1[0-5]\\d\\d-",
    r"timestamp.*": r"29427\d-",
    r"timestamp(tz)?\[\]": f"{_ENDLESS}|BC|{{.*(0\\d|1[0-5])\\d\\d-",
    r"time(tz)?\[\]": r"\.\d|24:00",
    # Ours have what the value means, Debezium's how it was spelt.
    r"json": "[\r\n]|null",
    r"jsonb": "null",
    r"jsonb?\[\]|hstore": "",
    r"float[48](\[\])?": "1e-45|5e-324",
    r"sparsevec(\[\])?": "",
}
"""Where ours are other ones: types, and what is in PostgreSQL's text of such a value."""


Rows = dict[int, dict[str, Any]]
"""By their ids."""


@dataclass(frozen=True, slots=True)
class Value:
    """One, in a row of its own."""

    column: str
    type: str
    text: str
    """As PostgreSQL prints it."""

    @property
    def is_known(self) -> bool:
        """Whether Debezium is known to write something else."""
        return any(
            re.fullmatch(types, self.type) and re.search(texts, self.text)
            for types, texts in OTHERS.items()
        )


class EveryType:
    """The table `every`: each of its rows has one value."""

    def __init__(self, connection: psycopg.Connection, rng: Random) -> None:
        types = generated(connection) | {
            sql: scalar(name, sql=sql) for sql, name in WITH_MODIFIER.items()
        }
        self.columns = {f"c{at}": (name, type_) for at, (name, type_) in enumerate(types.items())}
        for name, setting in SESSION_SETTINGS.items():
            connection.execute(f"set {name} = {literal(setting)}".encode())
        lines = ", ".join(f"{column} {type_.sql}" for column, (_, type_) in self.columns.items())
        connection.execute(f"create table every (id int primary key, {lines})".encode())
        self.values = [
            Value(column, name, text)
            for column, (name, type_) in self.columns.items()
            for text in _texts(connection, rng, name, type_)
        ]

    @property
    def statement(self) -> str:
        """Adds all rows; the numbers of their ids are those of `values`."""
        inserts = [
            f"insert into every (id, {one.column}) values ({at}, {literal(one.text)})"
            for at, one in enumerate(self.values)
        ]
        return f"begin; {'; '.join(inserts)}; commit"


def _texts(connection: psycopg.Connection, rng: Random, name: str, type_: PgType) -> list[str]:
    """What the server prints of random values; some it refuses."""
    found = []
    for _ in range(VALUES):
        # Twice: PostgreSQL rounds some moments into a year that it refuses.
        once = f"format('%s', cast({literal(type_.text(rng))} as {type_.sql}))"
        query = f"select format('%s', cast({once} as {type_.sql}))"
        try:
            row = connection.execute(query.encode()).fetchone()
        except psycopg.Error:
            continue
        text = str(row[0]) if row else ""
        if not FATAL.match(f"{name} {text}"):
            found.append(text)
    return found


def rows(events: list[Event]) -> Rows:
    """What inserts say, by the row's id."""
    found = (one["value"]["after"] for one in events if one["topic"].endswith(".every"))
    return {row["id"]: row for row in found}
