"""References: the grammar of `${...}`, and that nothing else is touched."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.config.interpolation import interpolate
from cdc_daemon.config.scalars import resolve

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
LITERALS = st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"]), max_size=9)
DEFAULTS = st.text(st.characters(exclude_characters="}", exclude_categories=["Cs"]), max_size=9)
VALUES = st.text(st.sampled_from(string.printable + "${}:-é"), max_size=9)


def no_file(name: str) -> str:
    """Stands for a folder without files."""
    raise ValueError(f"no file {name}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("${env:A}", "1"),
        ("a${A}b${B}c", "a1b2c"),
        ("${A:-x}", "1"),
        ("${NONE:-x}", "x"),
        ("${env:NONE:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${file:/f}", "content of /f"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$$${A}", "$1"),
        ("^a$", "^a$"),
        ("$A", "$A"),
        ("${NESTED}", "${A}"),
    ],
)
def test_the_grammar(text: str, expected: str) -> None:
    """Each form of reference becomes its value; a lone dollar stays."""
    environ = {"A": "1", "B": "2", "EMPTY": "", "NESTED": "${A}"}
    assert interpolate(text, environ, lambda name: f"content of {name}")[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NONE}", "the environment variable NONE is not set"),
        ("${}", r"`\$\{\}` can't be read: expected"),
        ("${1A}", "can't be read"),
        ("${A-x}", "can't be read"),
        ("${A", r"`\$\{` without its `\}`"),
        ("${file:/f}", "no file /f"),
        ("${X} ${Y}", "X is not set.*Y is not set"),
    ],
)
def test_mistakes_say_what_is_expected(text: str, expected: str) -> None:
    """A reference that can't be filled says why; several say so together."""
    with pytest.raises(ValueError, match=expected):
        interpolate(text, {"A": "1"}, no_file)


@given(
    parts=st.lists(st.tuples(LITERALS, NAMES, st.none() | DEFAULTS)),
    environ=st.dictionaries(NAMES, VALUES),
)
def test_references_are_filled_once_and_the_rest_stays(
    parts: list[tuple[str, str, str | None]], environ: dict[str, str]
) -> None:
    """Any mixture of text and references becomes the text with their values, taken as they are."""
    text, expected = "", ""
    for literal, name, default in parts:
        if default is None:
            environ.setdefault(name, "")
            text += f"{literal}${{{name}}}"
        else:
            text += f"{literal}${{{name}:-{default}}}"
    for literal, name, default in parts:
        expected += literal + (environ.get(name) or default or "")
    assert interpolate(text, environ, no_file) == (expected, bool(parts))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_written_with_doubled_dollars(text: str) -> None:
    """Doubling each dollar is all it takes to mean the text itself."""
    assert interpolate(text.replace("$", "$$"), {}, no_file) == (text, False)


@given(st.text(st.sampled_from("${}:-AB file/env_")))
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    """Whatever is written, the answer is a text or a mistake."""
    try:
        filled, _ = interpolate(text, {"A": "1"}, no_file)
    except ValueError:
        return
    assert isinstance(filled, str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("nUll", "nUll"),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("12", 12),
        ("-012", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("2026-01-31", "2026-01-31"),
        ("12:30", "12:30"),
        ("٣", "٣"),
        ("9" * 2000, "9" * 2000),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, expected: object) -> None:
    """Numbers, booleans and nulls are those of YAML 1.2; everything else is text."""
    value = resolve(text)
    assert (type(value), value) == (type(expected), expected)
