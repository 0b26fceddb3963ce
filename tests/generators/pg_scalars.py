"""Random input text for each of PostgreSQL's base types, with the values where code breaks."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_PIECES = [
    *('"', "'", "\\", "\\\\", '""', "{", "}", "(", ")", "[", "]", ",", ";", ":", "=>", "=", "|"),
    *("NULL", "null", "true", "a", "B", "xyz", "0", "-1", " ", "  ", "\t", "\n", "\r", "\r\n"),
    *(
        "\x01",
        "\x1f",
        "\x7f",
        "\x80",
        "\u2028",
        "\ufeff",
        "é",
        "ß",
        "Σ",
        "İ",
        "漢字",
        "☕",
        "🏨",
        "👩‍👧",
        "e\u0301",
    ),
]
_WORDS = ["now", "hotel", "naïve", "o''clock", "back\\\\slash", "x y"]


def random_text(rng: Random) -> str:
    """Short text full of quotes, backslashes, control characters, emoji; sometimes long."""
    if rng.random() < 0.05:
        return "".join(rng.choice(_PIECES) for _ in range(2000))
    return "".join(rng.choice(_PIECES) for _ in range(rng.randrange(7)))


def _integer(bits: int) -> Callable[[Random], str]:
    top = 1 << (bits - 1)
    edges = [0, 1, -1, top - 1, -top, 10]
    return lambda rng: str(rng.choice([*edges, rng.randrange(-top, top), rng.randrange(-top, top)]))


def _unsigned(bits: int) -> Callable[[Random], str]:
    return lambda rng: str(rng.choice([0, 1, (1 << bits) - 1, rng.getrandbits(bits)]))


def _numeric(rng: Random) -> str:
    if rng.random() < 0.15:
        return rng.choice(["NaN", "Infinity", "-Infinity", "0", "-0.0", "1e30", "1e-30", "0.10"])
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice([1, 3, 9, 20, 60])))
    fraction = "".join(rng.choice("0012345") for _ in range(rng.choice([0, 0, 1, 2, 12])))
    return rng.choice(["", "-"]) + digits + (f".{fraction}" if fraction else "")


def _float(form: str, edges: list[str]) -> Callable[[Random], str]:
    size = struct.calcsize(form)

    def text(rng: Random) -> str:
        if rng.random() < 0.3:
            return rng.choice(["NaN", "Infinity", "-Infinity", "-0", "0", "1.5", *edges])
        if rng.random() < 0.4:
            return repr(round(rng.uniform(-1e6, 1e6), rng.randrange(5)))
        return repr(struct.unpack(form, rng.randbytes(size))[0])

    return text


def _clock(rng: Random) -> str:
    micros = rng.choice(["", ".5", ".000001", f".{rng.randrange(1_000_000):06}"])
    return f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}{micros}"


def _time(rng: Random) -> str:
    return rng.choice(["00:00:00", "24:00:00", "23:59:59.999999", _clock(rng), _clock(rng)])


def _zone(rng: Random) -> str:
    return rng.choice(["+00", "-00", "+05:30", "-15:59", "+15:59:59", "+01", "Z"])


def _day(rng: Random, last_year: int) -> str:
    year = rng.choice([1, 44, 1582, 1970, 2000, 2024, 9999, 10000, rng.randint(1, last_year)])
    return f"{year:04}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _era(rng: Random) -> str:
    return rng.choice(["", "", "", " BC"])


def _date(rng: Random) -> str:
    edges = ["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2024-02-29"]
    return rng.choice([*edges, *(_day(rng, 5_874_897) + _era(rng) for _ in range(6))])


def _timestamp(rng: Random) -> str:
    edges = ["infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999"]
    values = [f"{_day(rng, 294_276)} {_clock(rng)}{_era(rng)}" for _ in range(6)]
    return rng.choice([*edges, *values])


def _timestamptz(rng: Random) -> str:
    value = _timestamp(rng)
    if "infinity" in value:
        return value
    return value.removesuffix(" BC") + _zone(rng) + (" BC" if value.endswith("BC") else "")


def _interval(rng: Random) -> str:
    edges = ["0", "infinity", "-infinity", "1 day", "24:00:00", "1 mon", "30 days", "-0.000001s"]
    edges += ["178000000 years", "-178000000 years", "2562047788:00:54.775807"]
    years, months, days = (rng.randint(-40, 40) for _ in range(3))
    value = f"{years} years {months} mons {days} days {rng.choice(['', '-'])}{_clock(rng)}"
    return rng.choice([*edges, value, value, value, value])


def _json_value(rng: Random, depth: int) -> object:
    kind = rng.randrange(8 if depth else 5)
    if kind > 5:
        return {random_text(rng): _json_value(rng, depth - 1) for _ in range(rng.randrange(4))}
    if kind == 5:
        return [_json_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return [None, rng.random() < 0.5, rng.randint(-99, 10**25), random_text(rng), 1.5][kind]


def _json(rng: Random) -> str:
    """Any JSON, with space and line ends anywhere between tokens, and duplicate keys."""
    space = rng.choice(["", " ", "\n", "\r\n", "\t", "\n\n  "])
    value = json.dumps(
        _json_value(rng, 3),
        ensure_ascii=rng.random() < 0.5,
        separators=(f"{space},{space}", f"{space}:{space}"),
    )
    extra = [f'{{"a":1.50,{space}"a":{value}{space}}}', "1e3", "-0", "1.10", "-0.00", "12E-3"]
    chosen = value if rng.random() < 0.7 else rng.choice([*extra, '"\\u0041\\/\\ud83c\\udfe8"'])
    return space + chosen + space


def _bits(rng: Random) -> str:
    return "".join(rng.choice("01") for _ in range(rng.choice([0, 1, 8, 9, 12])))


def _address(rng: Random) -> str:
    if rng.random() < 0.5:
        return ".".join(str(rng.choice([0, 10, 255, rng.randrange(256)])) for _ in range(4))
    return rng.choice(["::1", "::", "fe80::1:2", "2001:db8::ff00:42:8329", "::ffff:1.2.3.4"])


def _inet(rng: Random) -> str:
    address = _address(rng)
    return address + rng.choice(["", f"/{rng.randint(0, 128 if ':' in address else 32)}"])


def _cidr(rng: Random) -> str:
    return rng.choice(
        ["10.0.0.0/8", "192.168.1.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", _address(rng)]
    )


def _hexadecimal(count: int, separator: str = ":") -> Callable[[Random], str]:
    return lambda rng: separator.join(f"{rng.randrange(256):02x}" for _ in range(count))


def _coordinate(rng: Random) -> str:
    return rng.choice(["0", "-0", "1.5", "1e+300", "-Infinity", "NaN", repr(rng.uniform(-9, 9))])


def _point(rng: Random) -> str:
    return f"({_coordinate(rng)},{_coordinate(rng)})"


def _points(count: int, before: str = "", after: str = "") -> Callable[[Random], str]:
    return lambda rng: before + ",".join(_point(rng) for _ in range(count)) + after


def _tsvector(rng: Random) -> str:
    words = (f"'{rng.choice(_WORDS)}'" + rng.choice(["", ":1", ":2A,9"]) for _ in range(3))
    return " ".join(words)


def _tsquery(rng: Random) -> str:
    one, two = (f"'{rng.choice(_WORDS)}'" + rng.choice(["", ":*", ":AB"]) for _ in range(2))
    return rng.choice([one, f"{one} & !{two}", f"{one} | {two}", f"({one} <-> {two}) & {one}"])


def _jsonpath(rng: Random) -> str:
    return rng.choice(
        ["$", '$."a b".c', "strict $[*] ? (@.x > 1.50)", '$.k like_regex "^\\\\d"', '$."é\\n"']
    )


def _snapshot(rng: Random) -> str:
    return rng.choice(["10:20:10,14,15", "1:1:", f"5:{rng.randint(9, 10**9)}:7"])


def _bytea(rng: Random) -> str:
    return "\\x" + rng.randbytes(rng.choice([0, 1, 5, 100])).hex()


def _one_of(*texts: str) -> Callable[[Random], str]:
    return lambda rng: rng.choice(texts)


def _hstore(rng: Random) -> str:
    def quoted() -> str:
        return '"' + random_text(rng).replace("\\", "\\\\").replace('"', '\\"') + '"'

    pairs = (f"{quoted()}=>{rng.choice(['NULL', quoted()])}" for _ in range(rng.randrange(4)))
    return ",".join(pairs)


def _vector(rng: Random) -> str:
    numbers = (rng.choice(["0", "-0", "1.5", "1e-5", "65504", "0.1"]) for _ in range(3))
    return f"[{','.join(numbers)}]"


SCALARS: dict[str, Callable[[Random], str]] = {
    "bool": _one_of("t", "f", "yes", "off"),
    "int2": _integer(16),
    "int4": _integer(32),
    "int8": _integer(64),
    "numeric": _numeric,
    "float4": _float("<f", ["3.4028235e+38", "1e-45", "1e+20", "16777216"]),
    "float8": _float("<d", ["1.7976931348623157e+308", "5e-324", "1e+20", "1e-05", "1e15", "1e16"]),
    "money": _one_of("0", "-12.34", "1000", "92233720368547758.07"),
    "oid": _unsigned(32),
    "xid": _unsigned(32),
    "cid": _unsigned(32),
    "xid8": _unsigned(64),
    "tid": _one_of("(0,0)", "(1,2)", "(4294967295,65535)"),
    "pg_lsn": _one_of("0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"),
    "pg_snapshot": _snapshot,
    "txid_snapshot": _snapshot,
    "text": random_text,
    "varchar": random_text,
    "bpchar": random_text,
    "name": lambda rng: random_text(rng)[:15],
    "char": _one_of("", "x", '"', "\\", "\x01", " ", "\\377", "\\200", "\n"),
    "refcursor": random_text,
    "bytea": _bytea,
    "date": _date,
    "time": _time,
    "timetz": lambda rng: _time(rng) + _zone(rng),
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "interval": _interval,
    "uuid": lambda rng: rng.randbytes(16).hex(),
    "json": _json,
    "jsonb": _json,
    "jsonpath": _jsonpath,
    "inet": _inet,
    "cidr": _cidr,
    "macaddr": _hexadecimal(6),
    "macaddr8": _hexadecimal(8),
    "bit": _bits,
    "varbit": _bits,
    "point": _point,
    "line": _one_of("{1,2,3}", "{0,-1.5,1e+20}", "{1,0,0}"),
    "lseg": _points(2, "[", "]"),
    "box": _points(2),
    "path": lambda rng: _points(rng.randint(1, 3), *rng.choice(["[]", "()"]))(rng),
    "polygon": _points(3, "(", ")"),
    "circle": lambda rng: f"<{_point(rng)},{rng.randrange(9)}>",
    "tsvector": _tsvector,
    "tsquery": _tsquery,
    "int2vector": _one_of("", "1", "1 -2 3"),
    "oidvector": _one_of("", "1", "1 4294967295"),
    "regclass": _one_of("pg_class", "-", "4294967295", "information_schema.tables"),
    "regcollation": _one_of('"C"', "-"),
    "regconfig": _one_of("english", "simple", "-"),
    "regdictionary": _one_of("simple", "-"),
    "regnamespace": _one_of("pg_catalog", "-"),
    "regoper": _one_of("||/", "0"),
    "regoperator": _one_of("+(int4,int4)", "0"),
    "regproc": _one_of("now", "-"),
    "regprocedure": _one_of("abs(int4)", "substring(text,int4,int4)", "-"),
    "regrole": _one_of("pg_monitor", "-"),
    "regtype": _one_of("int4", "timestamptz", "_text", "-"),
    "xml": _one_of("", "<a>&amp;</a>", '<a b="c">\n</a>', "text"),
}
"""By `typname`: a function that gives text for the type's input function."""

EXTENSIONS: dict[str, tuple[str, Callable[[Random], str]]] = {
    "citext": ("citext", random_text),
    "hstore": ("hstore", _hstore),
    "ltree": ("ltree", _one_of("", "a", "a.b_c.D")),
    "cube": ("cube", _one_of("(1,2)", "(0),(1.5)")),
    "isbn": ("isn", _one_of("0-393-04002-X", "978-0-11-000533-4")),
    "seg": ("seg", _one_of("1.50", "1 .. 2", "~7")),
    "vector": ("vector", _vector),
    "halfvec": ("vector", _vector),
    "sparsevec": ("vector", _one_of("{1:1.5,3:-2}/5", "{}/1")),
}
"""By `typname`: the extension that brings the type, and its text."""
