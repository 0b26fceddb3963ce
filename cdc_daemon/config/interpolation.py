"""Fills `${...}` in a scalar: `${VAR}`, `${VAR:-default}`, `${env:VAR}`, `${file:/path}`, `$$`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_REFERENCE: Final = re.compile(r"\$(\$|\{([^}]*)(\}?))", re.DOTALL)
_VARIABLE: Final = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_GRAMMAR: Final = "expected ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:/path} ($$ is a plain $)"


def interpolate(
    text: str, environ: Mapping[str, str], read_file: Callable[[str], str]
) -> tuple[str, bool]:
    """Return `text` with every reference filled, and whether there was one.

    An empty variable takes the default, as in a shell. A `$` that begins no reference stays.
    What is filled in is not looked at again. Raises ValueError, with every mistake at once.
    """
    mistakes: list[str] = []
    used = False

    def fill(match: re.Match[str]) -> str:
        nonlocal used
        if match[1] == "$":
            return "$"
        used = True
        try:
            return _value(match, environ, read_file)
        except ValueError as error:
            mistakes.append(str(error))
            return ""

    filled = _REFERENCE.sub(fill, text)
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return filled, used


def _value(
    match: re.Match[str], environ: Mapping[str, str], read_file: Callable[[str], str]
) -> str:
    reference, closed = match[2], match[3]
    if not closed:
        raise ValueError(f"`${{` without its `}}`: {_GRAMMAR}")
    if reference.startswith("file:"):
        return read_file(reference.removeprefix("file:"))
    variable = _VARIABLE.fullmatch(reference)
    if variable is None:
        raise ValueError(f"`{match[0]}` can't be read: {_GRAMMAR}")
    name, default = variable.groups()
    if default is not None:
        return environ.get(name) or default
    if name not in environ:
        raise ValueError(
            f"the environment variable {name} is not set; set it, or give a default: "
            f"${{{name}:-default}}"
        )
    return environ[name]
