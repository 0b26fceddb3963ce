"""Random expressions over the columns of one table, and random values for it.

Of every type that expressions know; the awkward values more often than chance would have them.
"""

# ruff: noqa: E501  the templates and values read best side by side

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

COLUMNS = {
    "i2": "int2", "i4": "int4", "k4": "int4", "i8": "int8", "n": "numeric", "n2": "numeric(12,3)",
    "f4": "float4", "f8": "float8", "t": "text", "t2": "text", "v": "varchar(10)", "c": "char(5)",
    "b": "bool", "b2": "bool", "d": "date", "d2": "date", "ts": "timestamp", "tz": "timestamptz",
    "u": "uuid", "j": "jsonb", "by": "bytea", "ia": "int4[]", "ta": "text[]", "e": "mood", "iv": "interval",
}  # fmt: skip


class Values:
    """Random values of each type, the awkward ones more often than chance would."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def integer(self, bits: int) -> str:
        """From zero to the ends of the range."""
        top = (1 << (bits - 1)) - 1
        return str(
            self.rng.choice(
                [
                    0,
                    1,
                    -1,
                    2,
                    -7,
                    10,
                    top,
                    -top - 1,
                    self.rng.randint(-100, 100),
                    self.rng.randint(-top, top),
                ]
            )
        )

    def numeric(self) -> str:
        """Of very different sizes and scales."""
        whole = self.rng.randrange(10 ** self.rng.choice([1, 2, 5, 9, 17, 40]))
        scale = self.rng.choice([0, 0, 1, 2, 4, 9, 20])
        fraction = "." + "".join(self.rng.choices("0123456789", k=scale)) if scale else ""
        return (
            self.rng.choice(["", "", "-"])
            + self.rng.choice([str(whole), str(whole), "0"])
            + fraction
        )

    def real(self) -> str:
        """Halves, tiny and huge values, and any float."""
        simple = [
            "0",
            "-0",
            "0.5",
            "-1.5",
            "2.5",
            "1e-5",
            "1e15",
            "123456789012345678",
            "1e300",
            "1e-300",
            "0.1",
        ]
        return self.rng.choice(
            [
                *simple,
                repr(self.rng.uniform(-1000, 1000)),
                repr(self.rng.random() * 10 ** self.rng.randint(-30, 30)),
            ]
        )

    def text(self) -> str:
        """Empty, padded, numbers in text, escapes, other scripts."""
        some = ["", " ", "a", "A", "ab", "abc", " pad ", "12", "-3.50", "true", "2020-02-30", "2024-02-29", 'q"uote\\', "line\nbreak\ttab",
                "Zürich ÀÉ", "日本語", "😀x", "ßİ", "%_\\", "a,b,,c", "\x01", "Straße", "x" * 30, "'", "a/b"]  # fmt: skip
        return self.rng.choice(
            [*some, "".join(self.rng.choices("ab,% _é😀", k=self.rng.randint(0, 8)))]
        )

    def date(self) -> str:
        """Leap days, month ends, far past and future."""
        some = ["2020-02-29", "2000-01-01", "1999-12-31", "0001-01-01", "0044-03-15 BC", "9999-12-31", "12000-06-30", "2024-12-30", "1900-03-01", "2021-01-03"]  # fmt: skip
        year, month, day = (
            self.rng.randint(1950, 2050),
            self.rng.randint(1, 12),
            self.rng.randint(1, 28),
        )
        return self.rng.choice([*some, f"{year}-{month:02d}-{day:02d}"])

    def timestamp(self) -> str:
        """A date with a time of day."""
        clock = self.rng.choice(["00:00:00", "23:59:59.999999", "12:34:56.5", "01:02:03.000001"])
        day, _, era = self.date().partition(" ")
        return f"{day} {clock} {era}".strip()

    def interval(self) -> str:
        """Months, days, times, mixed signs."""
        return self.rng.choice(
            ["P1D", "PT0S", "P1Y2M3DT4H5M6.7S", "P-1M", "PT-0.5S", "P1M-1D", "P30D", "PT36H"]
        )

    def jsonb(self) -> str:
        """Objects, arrays, scalars, with numbers of many digits."""

        def value(depth: int) -> Any:
            kinds = [1, 1.5, -0.25, 10**25, "x", "12", 'é"', True, False, None, []]
            if depth and self.rng.random() < 0.6:
                if self.rng.random() < 0.5:
                    return {
                        self.rng.choice(["a", "b", "c d", "é"]): value(depth - 1)
                        for _ in range(self.rng.randint(0, 3))
                    }
                return [value(depth - 1) for _ in range(self.rng.randint(0, 3))]
            return self.rng.choice(kinds)

        top = value(3)
        return json.dumps(top if top is not None else {})  # a JSON null in a column counts as NULL

    def array(self, item: Callable[[], str]) -> list[str | None]:
        """Empty, with NULLs, short."""
        return [None if self.rng.random() < 0.2 else item() for _ in range(self.rng.randint(0, 4))]

    def of(self, kind: str) -> Any:
        """A value of a column of that type, as a parameter; NULL one time in six."""
        if self.rng.random() < 1 / 6:
            return None
        makers: dict[str, Callable[[], Any]] = {
            "int2": lambda: self.integer(16), "int4": lambda: self.integer(32), "int8": lambda: self.integer(64),
            "numeric": self.numeric, "numeric(12,3)": lambda: str(Decimal(self.rng.randint(-(10**9), 10**9)).scaleb(-3)),
            "float4": lambda: self.rng.choice(["0", "1.5", "0.1", "-2.5", "1e10", "3.4e38", "1e-40", str(self.rng.uniform(-9, 9))]),
            "float8": self.real, "text": self.text, "varchar(10)": lambda: self.text()[:10], "char(5)": lambda: self.text()[:5],
            "bool": lambda: self.rng.choice(["true", "false"]), "date": self.date, "timestamp": self.timestamp,
            "timestamptz": self.timestamp, "uuid": lambda: f"{self.rng.getrandbits(128):032x}",
            "jsonb": self.jsonb, "bytea": lambda: "\\x" + self.rng.randbytes(self.rng.randint(0, 80)).hex(),
            "int4[]": lambda: self.array(lambda: self.integer(32)), "text[]": lambda: self.array(self.text),
            "mood": lambda: self.rng.choice(["sad", "ok", "happy"]), "interval": self.interval,
        }  # fmt: skip
        return makers[kind]()


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """Random expressions of a wanted type; now and then of another one, which must then be refused alike."""

    NUMBERS = ("int2", "int4", "int8", "numeric", "float4", "float8")
    TYPES = (*NUMBERS, "text", "text", "bool", "bool", "date", "timestamp", "timestamptz", "interval", "uuid", "jsonb", "varchar", "bpchar")  # fmt: skip

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.values = Values(rng)

    def any(self, depth: int = 3) -> str:
        """Of any type."""
        return self.of(self.rng.choice(self.TYPES), depth)

    def whole(self) -> str:
        """Of any type, but no bare literal: such has no type of its own."""
        while (found := self.any(self.rng.randint(1, 4))).startswith("'"):
            pass
        return found

    def of(self, kind: str, depth: int) -> str:
        """Of the wanted type, mostly."""
        if self.rng.random() < 0.02:
            kind = self.rng.choice(self.TYPES)
        if depth <= 0 or self.rng.random() < 0.1:
            return self._leaf(kind)
        name = "number" if kind in self.NUMBERS else kind
        template = self.rng.choice([*TEMPLATES.get(name, ()), *ANY])
        return self._fill(template, kind, depth)

    def _fill(self, template: str, kind: str, depth: int) -> str:
        """Replace `{self}` and `{type}` by expressions, `{'text'}` by a literal of that kind."""
        out, rest = "", template
        while "{" in rest:
            before, _, rest = rest.partition("{")
            slot, _, rest = rest.partition("}")
            out += before + self._slot(slot, kind, depth)
        return f"({out}{rest})"

    def _slot(self, slot: str, kind: str, depth: int) -> str:
        if slot == "self":
            return self.of(kind, depth - 1)
        if slot == "number":
            return self.of(self.rng.choice(self.NUMBERS), depth - 1)
        if slot == "any":
            return self.any(depth - 1)
        if slot in LITERALS:
            return self.rng.choice(LITERALS[slot])
        return self.of(slot, depth - 1)

    def _leaf(self, kind: str) -> str:
        columns = {"int2": "i2", "int4": "i4 k4 id", "int8": "i8", "numeric": "n n2", "float4": "f4", "float8": "f8",
                   "text": "t t2", "varchar": "v", "bpchar": "c", "bool": "b b2", "date": "d d2", "timestamp": "ts",
                   "timestamptz": "tz", "interval": "iv", "uuid": "u", "jsonb": "j", "bytea": "by"}  # fmt: skip
        names = columns[kind].split()
        if self.rng.random() < 0.7 or kind in {"bytea", "jsonb"}:
            return self.rng.choice(names)
        return self._literal(kind)

    def _literal(self, kind: str) -> str:
        if self.rng.random() < 0.1:
            return f"null::{kind}"
        v = self.values
        if kind in {"int2", "int8", "float4", "float8"}:
            return f"{v.rng.randint(-9, 99)}::{kind}"
        makers: dict[str, Callable[[], str]] = {
            "int4": lambda: str(v.rng.choice([0, 1, 2, 3, 10, 2147483647])), "numeric": lambda: v.numeric().lstrip("-"),
            "text": lambda: quoted(v.text()), "varchar": lambda: f"{quoted(v.text())}::varchar", "bpchar": lambda: f"{quoted(v.text())}::char(4)",
            "bool": lambda: v.rng.choice(["true", "false"]), "date": lambda: f"date '{v.date()}'",
            "timestamp": lambda: f"timestamp '{v.timestamp()}'", "timestamptz": lambda: f"timestamptz '{v.timestamp()}'",
            "interval": lambda: v.rng.choice(["interval '1 day'", "interval '-2 mons 3 days'", "interval '1 year 04:05:06.5'", "interval 'P1M'"]),
            "uuid": lambda: f"'{v.rng.getrandbits(128):032x}'::uuid",
        }  # fmt: skip
        return makers[kind]()


LITERALS = {
    "pattern": ["'a%'", "'%b'", "'%é%'", "'a_c'", "'%'", "''", "'_%'", "'A%'", "'%a%b%'", "'ab'", "'a\\%'", "'%\\\\%'", "'x!%' escape '!'", "'%a%' escape ''"],
    "field": ["'year'", "'month'", "'day'", "'quarter'", "'decade'", "'century'", "'millennium'", "'week'", "'isoyear'", "'dow'", "'isodow'", "'doy'", "'epoch'"],
    "clock": ["'hour'", "'minute'", "'second'", "'milliseconds'", "'microseconds'", "'epoch'", "'day'"],
    "unit": ["'microseconds'", "'milliseconds'", "'second'", "'minute'", "'hour'", "'day'", "'week'", "'month'", "'quarter'", "'year'", "'decade'", "'century'", "'millennium'"],
    "compare": ["=", "<>", "<", "<=", ">", ">="],
    "arith": ["+", "-", "*", "/", "%"],
    "small": ["0", "1", "2", "3", "5", "-1", "-2", "12"],
    "key": ["'a'", "'b'", "'c d'", "'é'", "0", "1", "-1"],
    "path": ["'{a}'", "'{a,b}'", "'{0}'", "'{a,0,b}'", "'{}'"],
    "precision": ["numeric(10,2)", "numeric(5)", "numeric(20,10)", "numeric", "numeric(3,5)", "numeric(4,-2)"],
    "intkind": ["int2", "int4", "int8", "int", "smallint"],
    "numkind": ["int2", "int4", "int8", "numeric", "float4", "float8", "numeric(8,2)"],
    "charkind": ["varchar(3)", "char(3)", "varchar", "char", "text", "bpchar"],
    "castkind": ["int4", "int8", "numeric", "float8", "float4", "bool", "date", "timestamp", "uuid", "text", "varchar(2)", "jsonb"],
    "what": ["null", "true", "false", "unknown", "not null", "not true", "not false", "not unknown"],
    "chars": ["' '", "'a'", "'ab '", "''", "'é😀'", "','"],
    "mood": ["e", "'ok'", "'sad'", "e"],
}  # fmt: skip

ANY = ["case when {bool} then {self} else {self} end", "case when {bool} then {self} end", "coalesce({self}, {self})",
       "nullif({self}, {self})", "greatest({self}, {self})", "least({self}, {self}, {self})",
       "case {int4} when {small} then {self} when {int4} then {self} else {self} end"]  # fmt: skip

TEMPLATES = {
    "number": ["{self} {arith} {self}", "{self} {arith} {number}", "{number} {arith} {number}", "- {self}", "abs({self})",
               "{number}::{numkind}", "round({number})", "round({numeric}, {small})", "trunc({numeric}, {small})", "trunc({number})",
               "ceil({number})", "floor({number})", "sign({number})", "mod({int4}, {int8})", "mod({numeric}, {numeric})",
               "div({numeric}, {numeric})", "length({text})", "length({bpchar})", "char_length({varchar})", "octet_length({text})", "octet_length({bpchar})",
               "octet_length(by)", "position({text} in {text})", "strpos({text}, {chars})", "extract({field} from {date})",
               "extract({clock} from {timestamp})", "extract({field} from {timestamptz})", "date_part({clock}, {timestamp})",
               "date_part({field}, {date})", "{date} - {date}", "{bool}::int", "{text}::{numkind}", "jsonb_array_length({jsonb})", "ia[{small}]",
               "cardinality(ia)", "array_length(ta, 1)", "sqrt(abs({float8}))", "{int4} ^ {small}", "power({float8}, {small})", "{number} + 1", "{number} * 1.10",
               "{numeric} / {numeric}", "{int4} / {int4}", "{int4} % {int4}", "{self} - '1'"],
    "text": ["{text} || {text}", "{text} || {any}", "{any} || {text}", "{text} || ', ' || {varchar}", "lower({text})", "upper({text})", "substring({text} from {small} for {small})",
             "substr({text}, {small})", "substr({text}, {small}, {small})", "left({text}, {small})", "right({text}, {small})", "trim({text})",
             "btrim({text}, {chars})", "ltrim({text}, {chars})", "trim(trailing {chars} from {text})", "replace({text}, {chars}, {text})",
             "split_part({text}, {chars}, {small})", "concat({any}, {any}, {bpchar})", "concat_ws({chars}, {text}, {any}, {bpchar})", "lpad({text}, {small}, {chars})",
             "rpad({text}, {small})", "repeat({text}, {small})", "reverse({text})", "md5({text})", "encode(by, 'hex')", "encode(by, 'base64')",
             "{any}::text", "{any}::{charkind}", "{jsonb} ->> {key}", "{jsonb} #>> {path}", "ta[{small}]", "jsonb_typeof({jsonb})", "e::text", "by::text", "{bpchar} || {bpchar}",
             "initcap({text})", "cast({number} as text)", "{bpchar} || {int4}", "e || {text}"],
    "bool": ["{self} and {self}", "{self} or {self}", "not {self}", "{self} is {what}", "{any} is null", "{any} is not null", "{number} {compare} {number}",
             "{text} {compare} {text}", "{text} {compare} {bpchar}", "{bpchar} {compare} {bpchar}", "{varchar} {compare} {text}", "{bpchar} {compare} 'ab'", "{date} {compare} {date}",
             "{date} {compare} {timestamp}", "{timestamp} {compare} {timestamptz}", "{interval} {compare} {interval}", "{uuid} {compare} {uuid}", "{bool} {compare} {bool}",
             "{text} like {pattern}", "{text} ilike {pattern}", "{text} not like {pattern}", "{bpchar} like {pattern}", "{text} like {text} || '%' escape ''", "{text} ~~ '_%b%'", "{text} !~~ 'a_%'", "{bpchar} ~~* 'A%'", "{text} !~~* 'a%'", "v = any((array['a'::varchar, {varchar}])::text[])", "{number} between {number} and {number}",
             "{text} not between {text} and {text}", "{int4} in ({small}, {small}, {int4})", "{text} in ('a', 'ab', '', {text})", "i4 in (1, -1, 0, 10)", "t in ('a', 'b', '')", "t not in ('a', null)", "i4 not in (0, 1)",
             "{number} is distinct from {number}", "{text} is not distinct from {text}", "{text}::bool", "{int4}::bool", "{jsonb} ? {text}", "{int4} = any(ia)", "{text} = any(ta)",
             "{int4} > all(ia)", "{text} <> all(ta)", "{int4} = any(array[1, {int4}, 3])", "starts_with({text}, {chars})", "{mood} {compare} e", "e in ('sad', 'ok')", "t = 'a'", "t <> 'a'", "not (t = 'ab')", "i4 = 1", "v = 'a'", "u = u",
             "{number} between symmetric {number} and {number}", "{int8} in (1, 2.0, 10)", "c in ('a', 'ab ')", "n in (0, 1.0, null)", "n = 0", "f8 < 1", "c <> 'a'"],
    "date": ["{date} + {small}", "{date} - {int4}", "{timestamp}::date", "{timestamptz}::date", "{text}::date", "make_date({int4}, {small}, {small})"],
    "timestamp": ["{date} + {interval}", "{timestamp} + {interval}", "{timestamp} - {interval}", "{date}::timestamp", "date_trunc({unit}, {timestamp})", "{timestamptz}::timestamp", "{timestamptz} at time zone 'UTC'"],
    "timestamptz": ["{timestamptz} + {interval}", "date_trunc({unit}, {timestamptz})", "date_trunc({unit}, {date})", "{timestamp}::timestamptz", "{timestamp} at time zone 'UTC'"],
    "interval": ["{timestamp} - {timestamp}", "{timestamptz} - {timestamp}", "{interval} + {interval}", "- {interval}", "{interval} - {interval}"],
    "jsonb": ["{jsonb} -> {key}", "{jsonb} #> {path}", "j -> {key} -> {key}", "j[{key}]"],
    "varchar": ["{text}::varchar", "{any}::varchar(3)"],
    "bpchar": ["{text}::char(3)", "{any}::bpchar(6)"],
    "uuid": ["{text}::uuid", "{uuid}::text::uuid"],
}  # fmt: skip
