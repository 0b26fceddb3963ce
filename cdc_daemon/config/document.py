"""Reads YAML into plain values, and remembers the line of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from cdc_daemon.config.mistakes import Mistake, MistakesError, Path, dotted
from cdc_daemon.config.scalars import resolve
from cdc_daemon.config.shape import below, is_text

if TYPE_CHECKING:
    from collections.abc import Callable

MAXIMUM_VALUES: Final = 100_000
"""Aliases can make a small file into endless values ("billion laughs")."""
MAXIMUM_DEPTH: Final = 100

_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_NO_MERGE: Final = "YAML 1.2 has no merge keys: write the keys out"
_PLAIN_TAGS: Final = re.compile(
    r"tag:yaml\.org,2002:(str|int|float|bool|null|timestamp|value|merge|map|seq)"
)


class Broken:
    """Stands for a value that has been reported already."""


BROKEN: Final = Broken()


@dataclass
class Document:
    """The values of a file with their places."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """The line of each key and list entry, counted from 1."""
    references: dict[Path, str] = field(default_factory=dict)
    """Values that were filled in by interpolation, as they are written in the file."""
    mistakes: list[Mistake] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest place above it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def report(self, path: Path, message: str, line: int | None = None) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.file, line or self.line(path), dotted(path), message))


def compose(text: str, file: str) -> Any:
    """The YAML nodes of the one document in `text`. Raises MistakesError if it is no YAML."""
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line, column, message = _explained(error, text)
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
    except RecursionError:
        line, column, message = 1, 1, "nested too deeply"
    except Exception as error:  # noqa: BLE001 - the parser stumbles in its own ways over odd tags
        line, column, message = 1, 1, str(error) or type(error).__name__
    raise MistakesError([Mistake(file, line, "", f"this is no YAML: {message}", column)])


def _explained(error: MarkedYAMLError, text: str) -> tuple[int, int, str]:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    message = ": ".join(part for part in (error.context, error.problem) if part)
    if any("${" in each for each in text.splitlines()[line - 1 : line]):
        message += " (put the ${...} in quotes)"
    return line, column, message


def build(
    node: Any, file: str, expected: Any, interpolate: Callable[[str], tuple[str, bool]]
) -> Document:
    """Turn YAML nodes into values; mistakes in them are noted in the result.

    `expected` is the model they are for: where that allows only text, a reference stays text.
    Raises MistakesError if there are far too many values.
    """
    document = Document(file)
    document.lines[()] = node.start_mark.line + 1 if node is not None else 1
    try:
        document.data = _Builder(document, interpolate).value(node, (), expected)
    except _TooLargeError as error:
        raise MistakesError([Mistake(file, error.line, "", str(error))]) from error
    return document


class _TooLargeError(Exception):
    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Builder:
    """Turns YAML nodes into values."""

    def __init__(self, document: Document, interpolate: Callable[[str], tuple[str, bool]]) -> None:
        self._document = document
        self._interpolate = interpolate
        self._count = 0

    def value(self, node: Any, path: Path, expected: Any) -> Any:
        """The value of `node`, which is at `path`, where `expected` says what is allowed."""
        if node is None:
            return None
        self._count += 1
        if self._count > MAXIMUM_VALUES or len(path) > MAXIMUM_DEPTH:
            raise _TooLargeError("too large or too deeply nested", node.start_mark.line + 1)
        if not _PLAIN_TAGS.fullmatch(str(node.ctag)):
            self._document.report(path, f"the YAML tag {node.ctag} is not supported")
            return BROKEN
        if isinstance(node, MappingNode):
            return self._mapping(node, path, expected)
        if isinstance(node, SequenceNode):
            return self._sequence(node, path, expected)
        return self._scalar(node, path, expected)

    def _mapping(self, node: MappingNode, path: Path, expected: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self._document.report(path, "a key must be text", line)
                continue
            key = str(key_node.value)
            if str(key_node.ctag) == _MERGE_TAG:
                self._document.report((*path, key), _NO_MERGE, line)
                continue
            here = (*path, key)
            if key in result:
                first = self._document.lines[here]
                self._document.report(here, f"this key is already on line {first}", line)
                continue
            self._document.lines[here] = line
            result[key] = self.value(value_node, here, below(expected, key))
        return result

    def _sequence(self, node: SequenceNode, path: Path, expected: Any) -> list[Any]:
        result = []
        for at, entry in enumerate(node.value):
            here = (*path, at)
            self._document.lines[here] = entry.start_mark.line + 1
            result.append(self.value(entry, here, below(expected, at)))
        return result

    def _scalar(self, node: ScalarNode, path: Path, expected: Any) -> Any:
        written = str(node.value)
        try:
            text, filled = self._interpolate(written)
        except ValueError as error:
            self._document.report(path, str(error))
            return BROKEN
        if filled:
            self._document.references[path] = written
        plain = not node.style and (filled or str(node.ctag) != _TEXT_TAG)
        if not plain:
            return text
        if filled and is_text(expected):
            return text or None
        return resolve(text)
