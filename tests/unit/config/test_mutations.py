"""Property: whatever is done to a valid file, the loader answers with file and line."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cdc_daemon.config import LoadedConfiguration, MistakesError

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., LoadedConfiguration]

SLOW_FIXTURES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ODD_TEXTS = st.sampled_from(["", "*", "${A}", "${", "$$", "1d", "-1", "é", "a.b", "x" * 300])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXTS
KEYS = ODD_TEXTS | st.sampled_from(["type", "from", "fields", "<<", ".named", "[key]", "embed"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def check(load_text: Load, text: str) -> None:
    """Load `text`: the outcome is a configuration, or mistakes that each name file and line."""
    try:
        assert load_text(text, {"A": "1"}).fingerprint
    except MistakesError as error:
        mistakes = error.mistakes
    else:
        return
    assert mistakes
    for mistake in mistakes:
        assert 1 <= mistake.line <= len(text.splitlines()) + 1
        assert str(mistake).startswith(f"{mistake.file}:{mistake.line}:")
        assert mistake.message


@SLOW_FIXTURES
@given(data=st.data())
def test_any_change_of_characters(load_text: Load, example: str, data: st.DataObject) -> None:
    """Cutting out, doubling or replacing a piece of the text never breaks the loader."""
    start = data.draw(st.integers(0, len(example)))
    end = data.draw(st.integers(start, min(len(example), start + 20)))
    piece = data.draw(
        st.text(st.sampled_from(" \n:-{}[]\"'*&!|>%@`,#?$ab1\t\0é"), max_size=5)
        | st.just(example[start:end] * 2)
    )
    check(load_text, example[:start] + piece + example[end:])


@SLOW_FIXTURES
@given(data=st.data())
def test_any_change_of_values(load_text: Load, example: str, data: st.DataObject) -> None:
    """Any value in any place, and any further key, never breaks the loader."""
    content: Any = YAML(typ="safe", pure=True).load(example)
    changed = copy.deepcopy(content)
    place = changed
    for _ in range(data.draw(st.integers(0, 4))):
        inner = [key for key, value in place.items() if isinstance(value, dict) and value]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(sorted(inner)))]
    key = data.draw(st.sampled_from(sorted(place)) | KEYS)
    place[key] = data.draw(VALUES)
    written = io.StringIO()
    YAML(typ="safe", pure=True).dump(changed, written)
    check(load_text, written.getvalue())


@SLOW_FIXTURES
@given(st.text())
def test_any_text(load_text: Load, text: str) -> None:
    """A file of anything at all never breaks the loader."""
    check(load_text, text)
