"""From when to when somebody wants to stay: what commands and queries both speak of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from deploy.examples.showcase.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NIGHTS: Final = 60
"""As the table has it."""
USUAL_NIGHTS: Final = 2
USUAL_LEAD: Final = timedelta(days=30)
"""How far ahead people book who haven't said a day yet."""
_EXPECTED: Final = (
    f"Choose a day of arrival such as 2027-05-14, and from 1 to {MOST_NIGHTS} nights."
)


@dataclass(frozen=True, slots=True)
class Nights:
    """The nights of a stay."""

    arrival: date
    count: int

    @classmethod
    def of(cls, fields: Mapping[str, str], today: date) -> Nights:
        """Read `arrival` and `nights`, usual ones where there are none. Raises RefusedError."""
        try:
            arrival = date.fromisoformat(fields.get("arrival") or str(today + USUAL_LEAD))
            count = int(fields.get("nights") or USUAL_NIGHTS)
            departure = arrival + timedelta(days=count)
        except (ValueError, OverflowError):
            raise RefusedError(400, _EXPECTED) from None
        if not 1 <= count <= MOST_NIGHTS or departure <= arrival:
            raise RefusedError(400, _EXPECTED)
        return cls(arrival, count)

    @property
    def departure(self) -> date:
        """The morning after the last of them."""
        return self.arrival + timedelta(days=self.count)

    @property
    def query(self) -> str:
        """The same in an address."""
        return f"arrival={self.arrival}&nights={self.count}"
