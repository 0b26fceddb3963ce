"""What a queue was declared with, as refusals of other declarations tell. Pure.

AMQP has no question for it; but who declares a queue that is there otherwise than it is gets to
know one difference after the other, and nothing happens to the queue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

_DIFFERENCE: Final = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for queue .*: received .*? but current is "
    r"(?:none|(?:the value )?'(?P<value>[^']*)'(?: of type '(?P<type>[^']+)')?)"
)
_NUMBERS: Final = frozenset(
    {"byte", "short", "signedint", "long", "unsignedbyte", "unsignedshort", "unsignedint"}
)
MOST_ROUNDS: Final = 20
"""There are fewer arguments than that; each is asked for once."""


@dataclass(frozen=True, slots=True)
class Declared:
    """How a queue is declared, as far as that is known; policies may add to it."""

    durable: bool = True
    auto_delete: bool = False
    arguments: dict[str, Any] = field(default_factory=lambda: {"x-queue-type": "quorum"})

    def corrected(self, refusal: str) -> Declared | None:
        """By what the server has said; None where that isn't understood."""
        found = _DIFFERENCE.search(refusal)
        if found is None:
            return None
        name, value = found["name"], found["value"]
        if name == "durable":
            return Declared(value == "true", self.auto_delete, self.arguments)
        if name == "auto_delete":
            return Declared(self.durable, value == "true", self.arguments)
        others = {key: kept for key, kept in self.arguments.items() if key != name}
        given = {} if value is None else {name: _value(value, found["type"])}
        return Declared(self.durable, self.auto_delete, {**others, **given})


def _value(text: str, kind: str | None) -> str | int | bool:
    if kind == "bool":
        return text == "true"
    return int(text) if kind in _NUMBERS else text
