"""The supported operators and functions: tables of overloads, as `pg_operator` and `pg_proc`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.projection.expressions import arithmetic as a
from cdc_daemon.projection.expressions import documents, texts, times
from cdc_daemon.projection.expressions.types import INTEGERS, NUMBERS, Overload
from cdc_daemon.values.civil_time import make_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Table = dict[str, list[Overload]]
Run = "Callable[..., Any] | str"

COMPARISONS: Final = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _comparisons() -> Table:
    table: Table = {}
    for sql, python in COMPARISONS.items():
        plain = f"({{0}} {python} {{1}})"
        same = [
            Overload((t, t), "bool", plain, raises=False)
            for t in (
                *NUMBERS,
                "text",
                "bool",
                "date",
                "time",
                "timestamp",
                "timestamptz",
                "uuid",
                "bytea",
            )
        ]
        same += [
            Overload((x, y), "bool", plain, raises=False)
            for x in INTEGERS
            for y in INTEGERS
            if x != y
        ]
        same += [
            Overload(p, "bool", plain, raises=False)
            for p in (("float4", "float8"), ("float8", "float4"))
        ]
        padded = f"({{0}}.rstrip(' ') {python} {{1}}.rstrip(' '))"
        same.append(Overload(("bpchar", "bpchar"), "bool", padded, raises=False))
        same.append(
            Overload(
                ("interval", "interval"),
                "bool",
                f"(order({{0}}) {python} order({{1}}))",
                raises=False,
            )
        )
        for kind in ("timestamp", "timestamptz"):
            same.append(
                Overload(("date", kind), "bool", f"(day_start({{0}}) {python} {{1}})", raises=False)
            )
            same.append(
                Overload((kind, "date"), "bool", f"({{0}} {python} day_start({{1}}))", raises=False)
            )
        same += [
            Overload(p, "bool", plain, raises=False)
            for p in (("timestamp", "timestamptz"), ("timestamptz", "timestamp"))
        ]
        table[sql] = same
    return table


def _wider(left: str, right: str) -> str:
    return max(left, right, key=NUMBERS.index)


def _integer_arithmetic(run: Callable[[str], str]) -> list[Overload]:
    return [
        Overload((x, y), _wider(x, y), run(f"fit_{_wider(x, y)}"))
        for x in INTEGERS
        for y in INTEGERS
    ]


def _float_arithmetic(small: Callable[..., Any], large: Callable[..., Any]) -> list[Overload]:
    mixed = [("float8", "float8"), ("float4", "float8"), ("float8", "float4")]
    return [
        Overload(("float4", "float4"), "float4", small),
        *(Overload(m, "float8", large) for m in mixed),
    ]


def _arithmetic() -> Table:
    numeric = ("numeric", "numeric")
    return {
        "+": [
            *_integer_arithmetic(lambda fit: fit + "({0} + {1})"),
            *_float_arithmetic(a.float4_add, a.float_add),
            Overload(numeric, "numeric", a.add),
            Overload(("date", "int4"), "date", times.add_days),
            Overload(("int4", "date"), "date", lambda count, days: times.add_days(days, count)),
            *_with_intervals(times.add_interval),
            *(
                Overload(("interval", t), t, _swap(times.add_interval))
                for t in ("timestamp", "timestamptz")
            ),
            Overload(
                ("interval", "date"),
                "timestamp",
                lambda span, days: times.add_interval(times.day_start(days), span),
            ),
            Overload(("interval", "interval"), "interval", times.add_intervals),
        ],
        "-": [
            *_integer_arithmetic(lambda fit: fit + "({0} - {1})"),
            *_float_arithmetic(a.float4_subtract, a.float_subtract),
            Overload(numeric, "numeric", a.subtract),
            Overload(("date", "int4"), "date", times.subtract_days),
            Overload(("date", "date"), "int4", times.days_between),
            *_with_intervals(times.subtract_interval),
            *(
                Overload((t, t), "interval", times.time_between)
                for t in ("timestamp", "timestamptz")
            ),
            Overload(("interval", "interval"), "interval", times.subtract_intervals),
        ],
        "*": [
            *_integer_arithmetic(lambda fit: fit + "({0} * {1})"),
            *_float_arithmetic(a.float4_multiply, a.float_multiply),
            Overload(numeric, "numeric", a.multiply),
        ],
        "/": [
            *_integer_arithmetic(lambda fit: fit + "(int_divide({0}, {1}))"),
            *_float_arithmetic(a.float4_divide, a.float_divide),
            Overload(numeric, "numeric", a.divide),
        ],
        "%": [
            *(Overload((t, t), t, a.int_modulo) for t in INTEGERS),
            Overload(numeric, "numeric", a.modulo),
        ],
        "^": [
            Overload(("float8", "float8"), "float8", a.power),
            Overload(numeric, "numeric", "refused"),
        ],
    }


def _swap(run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: run(right, left)


def _with_intervals(run: Callable[[Any, Any], Any]) -> list[Overload]:
    return [
        Overload(("timestamp", "interval"), "timestamp", run),
        Overload(("timestamptz", "interval"), "timestamptz", run),
        Overload(
            ("date", "interval"), "timestamp", lambda days, span: run(times.day_start(days), span)
        ),
    ]


OPERATORS: Final[Table] = {
    **_comparisons(),
    **_arithmetic(),
    "->": [
        Overload(("jsonb", t), "jsonb", documents.field, raises=False) for t in ("text", "int4")
    ],
    "->>": [
        Overload(("jsonb", t), "text", documents.field_text, raises=False) for t in ("text", "int4")
    ],
    "?": [Overload(("jsonb", "text"), "bool", documents.has_key, raises=False)],
    "#>": [Overload(("jsonb", "_text"), "jsonb", documents.path, raises=False)],
    "#>>": [Overload(("jsonb", "_text"), "text", documents.path_text, raises=False)],
    "like": [Overload((t, "text"), "bool", texts.like) for t in ("text", "bpchar")],
    "ilike": [Overload((t, "text"), "bool", texts.ilike) for t in ("text", "bpchar")],
}

PREFIX: Final[Table] = {
    "-": [
        *(Overload((t,), t, f"fit_{t}(-{{0}})") for t in INTEGERS),
        Overload(("numeric",), "numeric", a.negate, raises=False),
        *(Overload((t,), t, "(-{0})", raises=False) for t in ("float4", "float8")),
        Overload(("interval",), "interval", times.negate),
    ],
    "+": [Overload((t,), t, "{0}", raises=False) for t in NUMBERS],
}


def _text(
    arguments: str, result: str, run: Callable[..., Any], *, raises: bool = False
) -> Overload:
    return Overload(tuple(arguments.split()), result, run, raises)


def _numbers(run: Callable[..., Any], numeric: Callable[..., Any]) -> list[Overload]:
    return [
        Overload(("float8",), "float8", run, raises=False),
        Overload(("numeric",), "numeric", numeric, raises=False),
    ]


def _rounding(run: Callable[..., Any], numeric: Callable[..., Any]) -> list[Overload]:
    return [*_numbers(run, numeric), Overload(("numeric", "int4"), "numeric", numeric)]


def _trims(run: Callable[..., Any]) -> list[Overload]:
    return [_text("text", "text", lambda text: run(text, " ")), _text("text text", "text", run)]


def _per_type(kinds: Iterable[str], result: str | None, run: Callable[..., Any]) -> list[Overload]:
    return [Overload(("text", kind), result or kind, run) for kind in kinds]


_PADDED: Final = Overload(("bpchar",), "int4", "len({0}.rstrip(' '))", raises=False)
_LENGTH: Final = [Overload(("text",), "int4", "len({0})", raises=False), _PADDED]

FUNCTIONS: Final[Table] = {
    "lower": [_text("text", "text", texts.lower)],
    "upper": [_text("text", "text", texts.upper)],
    "length": [*_LENGTH, Overload(("bytea",), "int4", "len({0})", raises=False)],
    "char_length": _LENGTH,
    "character_length": _LENGTH,
    "octet_length": [
        _text("text", "int4", texts.byte_length),
        _text("bpchar", "int4", texts.byte_length),
        Overload(("bytea",), "int4", "len({0})", raises=False),
    ],
    "substring": [
        _text("text int4", "text", texts.substring),
        _text("text int4 int4", "text", texts.substring, raises=True),
    ],
    "substr": [
        _text("text int4", "text", texts.substring),
        _text("text int4 int4", "text", texts.substring, raises=True),
    ],
    "left": [_text("text int4", "text", texts.left)],
    "right": [_text("text int4", "text", texts.right)],
    "btrim": _trims(lambda text, characters: text.strip(characters)),
    "ltrim": _trims(lambda text, characters: text.lstrip(characters)),
    "rtrim": _trims(lambda text, characters: text.rstrip(characters)),
    "replace": [_text("text text text", "text", texts.replace)],
    "split_part": [_text("text text int4", "text", texts.split_part, raises=True)],
    "position": [_text("text text", "int4", texts.position)],
    "strpos": [_text("text text", "int4", texts.position)],
    "lpad": [
        _text("text int4", "text", texts.pad_left, raises=True),
        _text("text int4 text", "text", texts.pad_left, raises=True),
    ],
    "rpad": [
        _text("text int4", "text", texts.pad_right, raises=True),
        _text("text int4 text", "text", texts.pad_right, raises=True),
    ],
    "repeat": [_text("text int4", "text", texts.repeat, raises=True)],
    "reverse": [_text("text", "text", lambda text: text[::-1])],
    "starts_with": [_text("text text", "bool", str.startswith)],
    "md5": [_text("text", "text", texts.md5), _text("bytea", "text", texts.md5_bytes)],
    "encode": [_text("bytea text", "text", texts.encode, raises=True)],
    "abs": [
        *(Overload((t,), t, f"fit_{t}(abs({{0}}))") for t in INTEGERS),
        *(Overload((t,), t, abs, raises=False) for t in ("float4", "float8")),
        Overload(("numeric",), "numeric", Decimal.copy_abs, raises=False),
    ],
    "ceil": _numbers(a.float_ceiling, a.ceiling),
    "ceiling": _numbers(a.float_ceiling, a.ceiling),
    "floor": _numbers(a.float_floor, a.floor),
    "round": _rounding(a.float_round, a.round_half_up),
    # That of a macaddr isn't there either, but it makes a bare literal ambiguous.
    "trunc": [
        *_rounding(a.float_truncate, a.truncate),
        Overload(("macaddr",), "macaddr", "refused"),
    ],
    "sign": _numbers(a.float_sign, a.sign),
    "mod": [
        *(Overload((t, t), t, a.int_modulo) for t in INTEGERS),
        Overload(("numeric", "numeric"), "numeric", a.modulo),
    ],
    "div": [Overload(("numeric", "numeric"), "numeric", a.whole_divide)],
    "power": [
        Overload(("float8", "float8"), "float8", a.power),
        Overload(("numeric", "numeric"), "numeric", "refused"),
    ],
    "pow": [
        Overload(("float8", "float8"), "float8", a.power),
        Overload(("numeric", "numeric"), "numeric", "refused"),
    ],
    "sqrt": [
        Overload(("float8",), "float8", a.square_root),
        Overload(("numeric",), "numeric", "refused"),
    ],
    # The forms for intervals are not there, but they make a bare literal ambiguous.
    "date_trunc": [
        *_per_type(("timestamp", "timestamptz"), None, times.date_trunc),
        Overload(("text", "interval"), "interval", "refused"),
    ],
    "extract": [
        Overload(("text", "interval"), "interval", "refused"),
        *_per_type(("timestamp", "timestamptz"), "numeric", times.extract_timestamp),
        *_per_type(("date",), "numeric", times.extract_date),
    ],
    "date_part": [
        Overload(("text", "interval"), "interval", "refused"),
        *_per_type(("timestamp", "timestamptz"), "float8", times.part_timestamp),
        *_per_type(("date",), "float8", times.part_date),
    ],
    "make_date": [_text("int4 int4 int4", "date", make_date, raises=True)],
    "jsonb_array_length": [_text("jsonb", "int4", documents.elements, raises=True)],
    "jsonb_typeof": [_text("jsonb", "text", documents.kind)],
}

SPECIAL_FUNCTIONS: Final = frozenset(
    {
        "coalesce",
        "nullif",
        "greatest",
        "least",
        "concat",
        "concat_ws",
        "cardinality",
        "array_length",
    }
)
"""Functions whose arguments are of any type: the binder knows them one by one."""

NAMESPACE: Final[dict[str, Any]] = {
    "order": times.interval_order,
    "day_start": times.day_start,
    "int_divide": a.int_divide,
    "fit_int2": a.fit_int2,
    "fit_int4": a.fit_int4,
    "fit_int8": a.fit_int8,
}
"""What the Python expressions of the overloads call."""
