"""Mistakes: each is found, all at once, with its line and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config import MistakesError, load
from cdc_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Mistakes = Callable[..., list[str]]


MANY = """\
name: Hotel
source:
  type: postgres
  dsn: hunter2
  slott: x
sink:
  type: opensearh
projections:
  hotels-1:
    fieldz: 1
    embed: {}
    fields:
      _id:
      a: {colum: x, column: y}
      b: {column: x, constant: null}
      c: keyword
      a: 1
      d: {default: []}
      e: {expression: "${NOPE}"}
    freshness: fast
  ok:
    from: '"x"."y"'
    fields: x
    freshness: ${DURATION}
    id: [a, a]
senders: true
memory: {batch: 1GB}
web: {api_key: 12345, listen: localhost}
log: {level: inf}
state:
"""

EXPECTED = """\
1: name: expected a name of at most 40 of a-z, 0-9, _ and -, that begins with a letter; \
found "Hotel"
4: source.dsn: expected a libpq connection string such as \
postgresql://user@host:5432/database or host=localhost dbname=shop
5: source.slott: unknown key; did you mean "slot"?
7: sink.type: unknown sink "opensearh"; installed: kafka, opensearch, postgres; \
did you mean "opensearch"?
9: projections.hotels-1: expected a name that doesn't end in a dash and digits: \
the indices behind the alias are called NAME-000001 and so on; found "hotels-1"
9: projections.hotels-1.from: this key is required
10: projections.hotels-1.fieldz: unknown key; did you mean "fields"?
11: projections.hotels-1.embed: expected at least one entry; found no keys
13: projections.hotels-1.fields._id: expected the name of a field: not empty, \
not beginning with _, and with something before and after each dot; found "_id"
14: projections.hotels-1.fields.a.colum: unknown key; did you mean "column"?
15: projections.hotels-1.fields.b: column and constant exclude each other: keep one
16: projections.hotels-1.fields.c: expected keys with values; found text
17: projections.hotels-1.fields.a: this key is already on line 14
18: projections.hotels-1.fields.d.default: expected text, a number, true, false or null; \
found an empty list
19: projections.hotels-1.fields.e.expression: the environment variable NOPE is not set; \
set it, or give a default: ${NOPE:-default}
20: projections.hotels-1.freshness: expected a duration such as 200ms, 1s or 5m; found "fast"
22: projections.ok.from: expected a table such as public.hotel, without quotes; \
found "\\"x\\".\\"y\\""
23: projections.ok.fields: expected the fields by name, or "*" for all columns; found "x"
24: projections.ok.freshness: expected a duration such as 200ms, 1s or 5m; \
found the value of ${DURATION}
26: senders: expected a whole number; found true
27: memory: `batch` must not be larger than `queue`
28: web.listen: expected an address such as 127.0.0.1:9645 or [::1]:9645; found "localhost"
28: web.api_key: expected text
29: log.level: expected "debug", "info", "warning" or "error"; found "inf"; did you mean "info"?
30: state: expected keys with values; found nothing
"""


def test_all_mistakes_come_at_once(mistakes: Mistakes) -> None:
    """A file full of mistakes yields all of them, in the order of the lines."""
    assert mistakes(MANY, {"DURATION": "hunter3"}) == EXPECTED.splitlines()


@pytest.mark.parametrize(
    ("appended", "expected"),
    [
        ("senders: 9\n", "8: senders: expected a number up to 8; found 9"),
        ("senders: two\n", '8: senders: expected a whole number; found "two"'),
        ("sender: 2\n", '8: sender: unknown key; did you mean "senders"?'),
        ("memory: {batch: 0}\n", "8: memory.batch: expected a size such as 512kB, 64MB or 1GiB"),
        ("web: {api_key: [hunter2]}\n", "8: web.api_key: expected text"),
        ("web: hunter2\n", "8: web: expected keys with values; found text"),
        ("web:\n  listen: 1.2.3.4:70000\n", "9: web.listen: expected an address"),
        ("name: again\n", "8: name: this key is already on line 1"),
        ("log: !custom x\n", "8: log: the YAML tag !custom is not supported"),
        ("<<: x\n", "8: <<: YAML 1.2 has no merge keys: write the keys out"),
        ("? [a, b]\n: 1\n", "8: a key must be text"),
    ],
)
def test_a_mistake_is_explained(
    mistakes: Mistakes, minimal: str, appended: str, expected: str
) -> None:
    """Each kind of mistake is the only one reported, in its own words."""
    (only,) = mistakes(minimal + appended)
    assert only.startswith(expected)
    assert "hunter2" not in only


SINK = '{type: opensearch, hosts: ["http://localhost:9200"]}'


@pytest.mark.parametrize(
    ("part", "replacement", "expected"),
    [
        ("host=localhost", '""', "2: source.dsn: expected a libpq connection string"),
        ("host=localhost", "host=x, slot: My-Slot", "2: source.slot: expected a slot name"),
        ("host=localhost", "host=x, status_interval: 0", "2: source.status_interval: expected a"),
        (
            "host=localhost",
            "host=x, columns: [{match: a.b.c.d, exclude: true}]",
            "2: source.columns[0].match: expected a column, table.column or schema.table.column",
        ),
        (
            "host=localhost",
            "host=x, columns: [{match: a, mask: x, hash: {salt: hunter2hunter2hunter2}}]",
            "2: source.columns[0]: expected one of `hash: {salt: ...}`, `mask: TEXT`,",
        ),
        (
            "host=localhost",
            "host=x, columns: [{match: a, hash: {salt: hunter2}}]",
            "2: source.columns[0].hash.salt: expected a secret of 16 characters or more",
        ),
        (
            "host=localhost",
            "host=x, columns: [{match: a, hash: hunter2hunter2hunter2}]",
            "2: source.columns[0].hash: expected keys with values; found text",
        ),
        (
            "host=localhost",
            "host=x, columns: [{match: a, mask: {length: 0}}]",
            "2: source.columns[0].mask.length: expected a number from 1 on; found 0",
        ),
        ("type: postgres", "tipe: postgres", "2: source.type: expected the type of the source"),
        ("type: opensearch", "type: 5", "3: sink.type: expected the type of the sink"),
        ('["http://localhost:9200"]', "[]", "3: sink.hosts: expected at least one entry; found an"),
        ("http://localhost:9200", "localhost", "3: sink.hosts[0]: expected an address such as"),
        ("http://localhost", "http://u:hunter2@h", "3: sink.hosts[0]: credentials don't belong"),
        ('9200"]', '9200"], user: a', "3: sink: `user` and `password` go together"),
        (
            '9200"]',
            '9200"], api_key: hunter2, bearer_token: hunter2',
            "3: sink: expected one way to authenticate, found api_key, bearer_token",
        ),
        ('"*"', "{}", "7: projections.hotels.fields: expected at least one entry; found no keys"),
        ('"*"', "{a: , a.b: }", '7: projections.hotels.fields: field "a.b" can\'t be within'),
        ('"*"', '"*"\n    id: [a, a]', "5: projections.hotels: `id` names a column twice"),
        ('"*"', '"*"\n    id: hotel', "8: projections.hotels.id: expected text with columns in br"),
        ('"*"', '"*"\n    id: "{a"', "8: projections.hotels.id: expected text with columns in br"),
        ('"*"', '"*"\n    id: "{a}{b}"', "8: projections.hotels.id: expected text between two col"),
        ('"*"', '"*"\n    id: "{a}-{a}"', "8: projections.hotels.id: `id` names a column twice"),
        ('"*"', '"*"\n    id: "{a}\\\\{b}"', "8: projections.hotels.id: expected no \\ outside"),
        ('"*"', '"*"\n    id: []', "8: projections.hotels.id: expected at least one entry; found"),
        ("  hotels:", "  Hotels:", "5: projections.Hotels: expected a name that OpenSearch takes"),
        ("from: public.hotel", "from: a.b.c", "6: projections.hotels.from: expected a table"),
        (SINK, "{type: postgres, dsn: here}", "3: sink.dsn: expected a libpq connection string"),
        (SINK, "{type: postgres, dsn: a=b, schema: ''}", "3: sink.schema: expected a name of 1 to"),
        (SINK, "{type: postgres, dsn: a=b, timeout: 0}", "3: sink.timeout: expected a duration"),
        ("sink:", "sinks: 5 #", "3: sinks: expected keys with values; found 5"),
        (f"sink: {SINK}", "sinks: {}", "3: sinks: expected at least one entry; found no keys"),
        (f"sink: {SINK}", "", "1: sink: this key is required"),
        (f"sink: {SINK}", f"sinks: {{One: {SINK}}}", "3: sinks.One: expected a name of at most 40"),
        (
            f"sink: {SINK}",
            f"sinks: {{one: {SINK}, two: {{type: postgres, dsn: a=b, skema: x}}}}",
            '3: sinks.two.skema: unknown key; did you mean "schema"?',
        ),
        (
            '"*"',
            '"*"\n    sink: one',
            "8: projections.hotels.sink: it names one of several `sinks`",
        ),
    ],
)
def test_a_mistake_in_a_section_is_explained(
    mistakes: Mistakes, minimal: str, part: str, replacement: str, expected: str
) -> None:
    """Mistakes of sources, sinks and projections are reported where they are."""
    (only,) = mistakes(minimal.replace(part, replacement, 1))
    assert only.startswith(expected)
    assert "hunter2" not in only


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\nb: 2\n", "2:2: this is no YAML: while parsing a flow sequence: expected"),
        ("a: b\n c: d\n", "2:3: this is no YAML"),
        ("a: {b: ${C}}\n", "1:9: this is no YAML"),
        ("a: \x01\n", "1:4: this is no YAML: the character U+0001 is not allowed in YAML"),
        ("a: *b\n", "1:4: this is no YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "2:1: this is no YAML"),
        ("[" * 1500, "1:1: this is no YAML: nested too deeply"),
        ("a: &a [*a]\n", "1: too large or too deeply nested"),
    ],
)
def test_broken_yaml_is_reported_with_line_and_column(
    mistakes: Mistakes, text: str, expected: str
) -> None:
    """What is no YAML is one mistake, where the parser gave up."""
    (only,) = mistakes(text)
    assert only.startswith(expected)


def test_endless_aliases_are_refused(mistakes: Mistakes) -> None:
    """A small file that stands for millions of values is refused, soon."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too large" in mistakes("l0: &l0 [1]\n" + "\n".join(levels))[0]


@pytest.mark.parametrize("text", ["", "[]", "just text", "null", "- a\n"])
def test_a_file_without_keys_is_a_mistake(mistakes: Mistakes, text: str) -> None:
    """An empty file or one that holds something else says what is expected."""
    assert mistakes(text)[0].startswith("1: expected keys with values; found")


def test_files_that_cannot_be_read_are_mistakes(tmp_path: Path) -> None:
    """A missing file, a folder and a file of bytes are reported as configuration errors."""
    (tmp_path / "bytes").write_bytes(b"a: 1\nb: \xff\n")
    for name, expected in {
        "missing": "there is no such file. Name another one, or write it by `cdc-daemon init`",
        "": ":1: can't be read: Is a directory",
        "bytes": "bytes:2: this is not UTF-8",
    }.items():
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path / name, {})
        assert str(caught.value).endswith(expected)
        assert isinstance(caught.value, MistakesError)


def test_a_missing_secret_file_is_a_mistake(mistakes: Mistakes, minimal: str) -> None:
    """The path of the file is named, and a relative one is refused."""
    text = minimal + 'web: {api_key: "${file:/nope/key}"}\n'
    assert mistakes(text) == ["8: web.api_key: /nope/key: can't be read: No such file or directory"]
    text = minimal + 'web: {api_key: "${file:key}"}\n'
    assert mistakes(text) == ["8: web.api_key: expected an absolute path in ${file:key}"]


def test_a_sink_that_is_not_there_is_a_mistake_of_its_projection(
    mistakes: Mistakes, minimal: str
) -> None:
    """With the nearest one that is; and each of several sinks is checked as one alone."""
    several = f"sinks: {{search: {SINK}, tables: {{type: postgres, dsn: nowhere}}}}"
    text = minimal.replace(f"sink: {SINK}", several) + "    sink: serch\n"
    assert [each.partition("; found")[0][:70] for each in mistakes(text)] == [
        "3: sinks.tables.dsn: expected a libpq connection string such as postgr",
        '8: projections.hotels.sink: there is no sink "serch" under `sinks`; di',
    ]
    assert mistakes(f"{minimal}sinks: {{one: {SINK}}}\n") == [
        "8: sinks: `sink` and `sinks` exclude each other: keep one"
    ]
