"""Where in a message a value is: `$.booking.rooms[0].price`, `key.id`, `headers.tenant`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

ROOTS: Final = ("$", "key", "headers")
_STEP: Final = re.compile(r"\.([^.\[\]'\"]+)|\[(\d+)\]|\['([^']*)'\]")
_EXPECTED: Final = (
    "expected a path such as $.booking.price, $.rooms[0].id, key.id or headers.tenant"
)


class _Absent:
    """There is nothing at the path."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class JsonPath:
    """One place."""

    root: str
    """One of `ROOTS`: the value, the key, the headers."""
    steps: tuple[str | int, ...]

    def of(self, roots: dict[str, Any]) -> Any:
        """What is there, or `ABSENT`."""
        here = roots.get(self.root, ABSENT)
        for step in self.steps:
            if (isinstance(here, dict) and step in here) or (
                isinstance(here, list) and isinstance(step, int) and step < len(here)
            ):
                here = here[step]  # type: ignore[index]  # it is of the kind that it was seen to be
            else:
                return ABSENT
        return here


def read_path(text: str) -> JsonPath:
    """What somebody has written. Raises ValueError with what it should be."""
    root = next((name for name in ROOTS if re.match(rf"{re.escape(name)}(?=[.\[]|$)", text)), None)
    if root is None:
        raise ValueError(f"{_EXPECTED}; found {text}")
    steps: list[str | int] = []
    at = len(root)
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"{_EXPECTED}; found {text}")
        name, number, quoted = found.groups()
        steps.append(int(number) if number is not None else name or quoted)
        at = found.end()
    return JsonPath(root, tuple(steps))
