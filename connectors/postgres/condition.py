"""A condition that somebody asks for is one expression, before it becomes a part of SQL. Pure.

It is put between parentheses. So nothing of it may end them, nor a statement, nor hide what comes
after it; what is inside them the server parses, and runs with the rights of the pipeline's role.
"""

from __future__ import annotations

import re
from typing import Final

from cdc_daemon.errors import ConditionError

_TOKEN: Final = re.compile(
    r"""
    (?P<escaping> (?:[eE]|&)['"] )              # E'\'' and U&'': a backslash means something
  | (?P<quoted>   '(?:[^'\x00]|'')*' | "(?:[^"\x00]|"")*" )
  | (?P<open>     \( )
  | (?P<close>    \) )
  | (?P<refused>  ['"] | ; | -- | /\* | \$ | \\ | \x00 )
  | (?P<other>    . )
    """,
    re.VERBOSE | re.DOTALL,
)


def require_condition(text: str) -> None:
    """Raise ConditionError unless `text` stays within the parentheses around it."""
    if not text.strip():
        raise ConditionError("the condition is empty: write one over the table's columns")
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup in {"escaping", "refused"}:
            raise ConditionError(
                f"the condition has {token.group()} at character {token.start() + 1}, which isn't "
                "taken here: write it as one expression without comments, semicolons, dollar "
                "quotes, E'' or U&'', every quote closed, and no letter right before a quote"
            )
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth < 0:
            break
    if depth:
        raise ConditionError("the parentheses of the condition don't match: it is one expression")
