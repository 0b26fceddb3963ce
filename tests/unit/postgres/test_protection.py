"""Protected columns: what leaves the connector of them, by the stream, by COPY, and by errors."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import orjson
import pytest

from cdc_daemon.errors import RejectedError, SettingError, SourceError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    Column,
    ColumnType,
    Generated,
    PartlyUnreadable,
    Relation,
    Row,
    Unreadable,
)
from cdc_daemon.projection.rejection import read_rejection, rejection
from connectors.postgres.columnrules import ColumnRule
from connectors.postgres.copytext import read_line
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.protection import Protector
from connectors.postgres.rowplan import column_plans, tuple_plan, understood
from connectors.postgres.tupleplan import PASS, tolerant
from tests.unit.postgres.messages import INT4, TEXT, delete, insert, relation, row, update

SALT = "0123456789abcdef"
SECRET = b"+41 79 123 45 67"
VARCHAR = 1043
PERSON = Relation(
    "public",
    "person",
    (
        Column("id", ColumnType("int4", oid=INT4, declared="integer"), in_identity=True),
        Column("email", ColumnType("text", oid=TEXT, declared="text"), out_of_line=True),
        Column("phone", ColumnType("int4", oid=INT4, declared="integer")),
        Column(
            "note",
            ColumnType("varchar", oid=VARCHAR, modifier=24, declared="character varying(20)"),
        ),
        Column("password", ColumnType("text", oid=TEXT, declared="text")),
        Column("size", ColumnType("int4", oid=INT4, declared="integer")),
    ),
    ("id",),
)
RULES: list[dict[str, Any]] = [
    {"match": "public.person.email", "hash": {"salt": SALT}},
    {"match": "*.phone", "mask": "***"},
    {"match": "note", "truncate": 3},
    {"match": "*.password*", "exclude": True},
]


def protector(*rules: dict[str, Any]) -> Protector:
    """One with these rules."""
    return Protector([ColumnRule.model_validate(each) for each in rules])


def protected(*rules: dict[str, Any]) -> Relation:
    """The table as these rules leave it."""
    (relation,) = protector(*rules).protect([PERSON])
    return relation


def digest(raw: bytes, algorithm: str = "sha256") -> bytes:
    """The JSON of a hashed value."""
    return b'"%b"' % hashlib.new(algorithm, SALT.encode() + raw).hexdigest().encode()


@pytest.fixture
def decoder() -> Decoder:
    """One that knows the table, under all rules."""
    person = protected(*RULES)
    made = Decoder(lambda message: tuple_plan(message, person))
    streamed = [(column.name, column.type.oid, column.name == "id") for column in PERSON.columns]
    made.decode(relation(7, streamed, name="person"))
    return made


def decode(decoder: Decoder, message: bytes) -> Change:
    """The change of one message."""
    change = decoder.decode(message)
    assert isinstance(change, Change)
    return change


def test_no_rules_leave_relations_as_they_are() -> None:
    """The very same object."""
    assert protector().protect([PERSON]) == [PERSON]
    assert protected({"match": "other", "mask": "x"}).columns == PERSON.columns


def test_hashed_and_masked_columns_are_text() -> None:
    """Truncated ones keep their type; all keep the oid and their part in the identity."""
    person = protected(*RULES)
    shown = {column.name: (column.type.name, column.type.oid) for column in person.columns}
    assert shown == {
        "id": ("int4", INT4),
        "email": ("text", TEXT),
        "phone": ("text", INT4),
        "note": ("varchar", VARCHAR),
        "size": ("int4", INT4),
    }
    assert person.excluded == ("password",)
    assert [column.name for column in person.columns if column.out_of_line] == ["email"]
    (hashed_key, *_) = protected({"match": "id", "hash": {"salt": SALT}}).columns
    assert hashed_key.in_identity
    assert hashed_key.type.name == "text"


def test_of_several_rules_the_first_counts() -> None:
    """So that an exception can stand before a pattern."""
    rules = ({"match": "person.phone", "mask": "first"}, {"match": "*", "exclude": True})
    assert [column.name for column in protected(*rules).columns] == ["phone"]


def test_columns_without_a_rule_cost_nothing() -> None:
    """Their plans are those without any rules."""
    plans = column_plans(protected(*RULES).columns)
    assert (plans[0], plans[4]) == (PASS, PASS)


def test_the_stream_brings_protected_values(decoder: Decoder) -> None:
    """In new rows and old ones; NULL stays NULL, and what was not sent stays unsent."""
    raw = (b"1", SECRET, b"42", "äöü€".encode(), b"hunter2", b"5")
    seen = [b"1", digest(SECRET), b'"***"', '"äöü"'.encode(), b"5"]
    assert decode(decoder, insert(7, *raw)).new == seen
    nulls = decode(decoder, insert(7, b"1", None, None, None, None, None)).new
    assert nulls == [b"1", *[b"null"] * 4]
    change = decode(decoder, update(7, row(b"1", "u", b"42", "u", "u", b"5"), row(*raw), b"O"))
    assert change.new == [b"1", UNCHANGED, b'"***"', UNCHANGED, b"5"]
    assert change.old == seen
    assert change.has_unchanged
    assert decode(decoder, delete(7, row(*raw))).old == seen


def test_copy_brings_the_same() -> None:
    """Escapes are undone before a value is hashed or counted."""
    plans = column_plans(protected(*RULES).columns)
    line = b"1\ta\\tb\\\\\t42\t\\\\\\nxyz\t5\n"
    assert read_line(line, plans) == [b"1", digest(b"a\tb\\"), b'"***"', b'"\\\\\\nx"', b"5"]
    assert read_line(b"1\t\\N\t\\N\t\\N\t5\n", plans) == [b"1", *[b"null"] * 3, b"5"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_digest_is_of_the_salt_and_the_text(algorithm: str) -> None:
    """In hexadecimal digits, whatever bytes the text has."""
    rule = {"match": "email", "hash": {"salt": SALT, "algorithm": algorithm}}
    encode = column_plans(protected(rule).columns)[1]
    assert callable(encode)
    assert encode(b"\xff") == digest(b"\xff", algorithm)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("", ""),
        ("abc", "abc"),
        ("abcd", "abc"),
        ("äöüß", "äöü"),
        ("€€€€", "€€€"),
        ("𝄞𝄞𝄞𝄞", "𝄞𝄞𝄞"),
        ("𝄞𝄞𝄞", "𝄞𝄞𝄞"),
        ('"\\\n"', '"\\\n'),
        ("e\u0301e\u0301", "e\u0301e"),
    ],
)
def test_truncation_counts_characters(raw: str, kept: str) -> None:
    """As PostgreSQL does, and never leaves half of one."""
    encode = column_plans(protected(*RULES).columns)[3]
    assert callable(encode)
    assert encode(raw.encode()) == orjson.dumps(kept)


@pytest.mark.parametrize("raw", [b"\xff" + SECRET, "ä".encode()[:1], b"ab\xe2\x82"])
def test_a_truncated_value_that_can_not_be_read_is_not_shown(decoder: Decoder, raw: bytes) -> None:
    """Neither by the row, nor by its dead letter, nor by the error."""
    change = decode(decoder, insert(7, b"1", None, None, raw, None, b"5"))
    assert change.new is not None
    (unreadable,) = (value for value in change.new if isinstance(value, Unreadable))
    assert (unreadable.reason, unreadable.raw) == ("not_utf8", None)
    assert change.has_unchanged
    letter = rejection(RejectedError("r", unreadable.explanation), change.relation, change.new)
    assert read_rejection(letter).row["note"] == b'"***"'
    plans = column_plans(protected(*RULES).columns)
    line = b"1\t\\N\t\\N\t" + raw + b"\t5\n"
    with pytest.raises(SourceError) as caught, understood("a row"):
        read_line(line, plans)
    shown = repr(change.new) + letter.decode() + str(caught.value) + causes(caught.value)
    assert "123 45" not in shown
    assert repr(raw) not in shown
    block: list[Row] = PartlyUnreadable([read_line(line, tolerant(plans))])
    assert block[0] == change.new


def causes(error: BaseException | None) -> str:
    """An error and all that it came from, with what they hold."""
    said = ""
    while error is not None:
        said += repr(error) + repr(vars(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said


def test_what_follows_a_truncated_text_is_not_read() -> None:
    """A large value isn't decoded to its end."""
    encode = column_plans(protected(*RULES).columns)[3]
    assert callable(encode)
    assert encode(b"x" * 1000 + b"\xff") == b'"xxx"'


@pytest.mark.parametrize("match", ["size", "person.*", "*"])
def test_only_text_can_be_truncated(match: str) -> None:
    """Each column that isn't text is a mistake of its rule, with its type."""
    rules = ({"match": "nothing", "mask": "x"}, {"match": match, "truncate": 3})
    with pytest.raises(SettingError) as caught:
        protected(*rules)
    assert {place for place, _ in caught.value.mistakes} == {("columns", 1, "truncate")}
    assert "public.person.size is integer" in str(caught.value)


def test_domains_over_text_can_be_truncated() -> None:
    """An array of text is no text."""
    varchar = ColumnType("varchar", declared="character varying(20)")
    domain = ColumnType("nickname", "domain", element=varchar, declared="nickname")
    array = ColumnType("_text", "array", element=ColumnType("text"), declared="text[]")
    rule = protector({"match": "x", "truncate": 3})
    (kept,) = rule.protect([Relation("public", "t", (Column("x", domain),))])
    assert kept.columns[0].type is domain
    with pytest.raises(SettingError, match=r"public.t.x is text\[\]"):
        rule.protect([Relation("public", "t", (Column("x", array),))])


@pytest.mark.parametrize(
    ("match", "says"),
    [
        (
            "public.person.emial",
            'no mapped table has a column "public.person.emial"; did you mean ',
        ),
        ("person.emial", "did you mean person.email?"),
        ("emial", "did you mean email?"),
        ("*.passport*", 'no mapped table has a column "*.passport*"'),
    ],
)
def test_a_rule_that_matches_nothing_is_found(match: str, says: str) -> None:
    """With the nearest name, as many parts of it as the rule names."""
    (unused,) = protector(*RULES, {"match": match, "mask": "x"}).unused([PERSON])
    assert unused.place == len(RULES)
    assert says in unused.why
    assert unused.rule.names_one is ("*" not in match)


def test_a_rule_that_comes_too_late_is_found() -> None:
    """Earlier ones have taken what it matches."""
    (unused,) = protector({"match": "*", "mask": "x"}, {"match": "email", "exclude": True}).unused(
        [PERSON]
    )
    assert "earlier rules have taken every column" in unused.why
    assert protector(*RULES).unused([PERSON]) == []


def test_what_is_generated_from_a_protected_column_is_left_out() -> None:
    """It would show it. One that is streamed may have a rule of its own, a computed one may not."""

    def made_of(name: str, *inputs: str) -> Column:
        how = Generated(f"f({', '.join(inputs)})", inputs)
        return Column(name, ColumnType("text", oid=TEXT, declared="text"), generated=how)

    made = [made_of("safe", "size"), made_of("domain", "email", "size"), made_of("key", "email")]
    rules: list[dict[str, Any]] = [
        {"match": "email", "hash": {"salt": SALT}},
        {"match": "key", "mask": "***"},
    ]
    streamed = replace(PERSON, columns=(*PERSON.columns, *made))
    (found,) = protector(*rules).protect([streamed])
    assert [column.name for column in found.columns[len(PERSON.columns) :]] == ["safe", "key"]
    assert found.columns[-1].protection is not None
    assert found.excluded == ("domain",)
    computed = replace(PERSON, computed=tuple(made))
    (found,) = protector(*rules).protect([computed])
    assert [column.name for column in found.computed] == ["safe"]
    assert found.excluded == ("domain", "key")
    assert protector(*rules).unused([computed]) == []


def test_another_rule_has_another_digest() -> None:
    """Of salt, algorithm, text and length; the pattern by which a column was found is no matter."""
    rules: list[dict[str, Any]] = [
        {"match": "email", "hash": {"salt": SALT}},
        {"match": "person.email", "hash": {"salt": SALT}},
        {"match": "email", "hash": {"salt": SALT + "!"}},
        {"match": "email", "hash": {"salt": SALT, "algorithm": "sha512"}},
        {"match": "email", "mask": "***"},
        {"match": "email", "mask": {"length": 3}},
        {"match": "email", "mask": "**"},
        {"match": "email", "truncate": 3},
        {"match": "email", "truncate": 4},
    ]
    columns = [protected(rule).columns[1] for rule in rules]
    digests = [column.protection.digest for column in columns if column.protection]
    assert digests[0] == digests[1]
    assert digests[4] == digests[5]
    assert len(set(digests)) == len(rules) - 2
    assert all(SALT not in repr(column) for column in columns)


def test_a_type_that_changed_is_still_noticed() -> None:
    """It is said by the type of the table, not by what leaves the connector."""
    person = protected(*RULES)
    streamed = [
        (column.name, TEXT if column.name == "phone" else column.type.oid, column.name == "id")
        for column in PERSON.columns
    ]
    decoder = Decoder(lambda message: tuple_plan(message, person))
    decoder.decode(relation(7, streamed, name="person"))
    changed = decoder.decode(delete(7, row(*[b"1"] * len(streamed))))
    assert isinstance(changed, Change)
    assert "column phone has another type than integer" in changed.relation.misfit
