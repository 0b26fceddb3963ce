"""Names, texts and conditions, as SQL has them. Pure."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, under standard_conforming_strings and without."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def is_true(condition: str) -> str:
    """A condition as a value; on a line of its own, so that no comment in it swallows the rest."""
    return f"((\n{condition}\n) is true)"
