"""Who is in front of the browser: a name, a user class and the switch, kept in cookies.

There are no passwords: this is an example, and anybody may be anyone. What must not be forged is
the token, which the client library signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

ORDINARY: Final = "ordinary"
"""The user class of whom nothing else is said."""
OFF: Final = "off"
LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks."""

    name: str = ""
    """Empty: nobody has signed in."""
    user_class: str = ORDINARY
    """By it the rules of the configuration choose a policy."""
    waits: bool = True
    """Whether policies are kept to; False: somebody wants to see what happens without."""

    @classmethod
    def of(cls, cookies: Mapping[str, str], application: str) -> Person:
        """Read the cookies of one application: all that run on a machine get each other's."""
        return cls(
            name=unquote(cookies.get(f"{application}_name", ""))[:LONGEST_NAME],
            user_class=cookies.get(f"{application}_class", ORDINARY),
            waits=cookies.get(f"{application}_policies") != OFF,
        )

    def remember(self, response: Response, application: str) -> None:
        """Write the cookies."""
        for name, value in {
            "name": quote(self.name),
            "class": self.user_class,
            "policies": "" if self.waits else OFF,
        }.items():
            response.set_cookie(f"{application}_{name}", value, httponly=True, samesite="lax")
