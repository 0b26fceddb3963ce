"""Counters of aggregates: moved by what a row added and adds, in the transaction of the row.

    rows | values that aren't NULL | values that aren't finite | digits after the point | sum

Sums are exact decimals. What can't be taken back exactly isn't summed: sums of floats, and of
numeric where a NaN or an infinity is among the values, are computed from the rows again.
"""

from __future__ import annotations

from decimal import Decimal
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import Special
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from cdc_daemon.events import Value
    from cdc_daemon.state.environment import Database, Transaction

MOST_MOVES: Final = 20_000
"""Counters whose moves are remembered, 217 bytes each: so that a transaction which moves millions
of them takes no more memory."""
_HEAD: Final = Struct(">qqqI")
_NUMBER: Final = Struct(">I")


class Counter(NamedTuple):
    """One aggregate of one group."""

    rows: int = 0
    values: int = 0
    """Those that aren't NULL."""
    odd: int = 0
    """Of these, NaN and infinities: the sum is without them."""
    digits: int = 0
    """Digits after the point."""
    units: int = 0
    """The sum, in units of the last digit."""

    @property
    def total(self) -> Decimal | None:
        """The exact sum; None where there are no values, or the rows must be asked."""
        return Decimal(f"{self.units}e-{self.digits}") if self.values and not self.odd else None

    def plus(self, other: Counter) -> Counter:
        """Both together."""
        rows, values, odd, digits, units = self
        other_rows, other_values, other_odd, other_digits, other_units = other
        if digits < other_digits:
            units *= 10 ** (other_digits - digits)
            digits = other_digits
        elif digits > other_digits:
            other_units *= 10 ** (digits - other_digits)
        return Counter(
            rows + other_rows, values + other_values, odd + other_odd, digits, units + other_units
        )

    @property
    def negated(self) -> Counter:
        """What takes this away."""
        return Counter(-self.rows, -self.values, -self.odd, self.digits, -self.units)


def counted(value: Value) -> Counter:
    """What one row adds to a sum: of a column of integers or of numeric.

    Digits count as they are written: `1.50` and `1.5` are one value.
    """
    if not isinstance(value, bytes) or (isinstance(value, Special) and value == NULL):
        return Counter(1, 1, 1)
    return Counter(1) if value == NULL else _summed(value)


def counted_only(value: Value) -> Counter:
    """What one row adds to a count, of a column of any type."""
    return Counter(1) if value == NULL and not isinstance(value, Special) else Counter(1, 1)


def _summed(value: bytes) -> Counter:
    whole, _, fraction = value.partition(b".")
    fraction = fraction.rstrip(b"0")
    return Counter(1, 1, 0, len(fraction), int(whole + fraction))


class Counters:
    """The counters, within one transaction: moves are gathered, and written once, or where they are
    very many.
    """  # noqa: D205 - one sentence

    def __init__(self, txn: Transaction, database: Database) -> None:
        self._txn = txn
        self._database = database
        self._moves: dict[bytes, Counter] = {}

    def move(self, aggregate: int, group: bytes, by: Counter) -> None:
        """Add to a counter."""
        key = _NUMBER.pack(aggregate) + group
        before = self._moves.get(key)
        self._moves[key] = by if before is None else before.plus(by)
        if len(self._moves) >= MOST_MOVES:
            self.write()

    @property
    def held(self) -> int:
        """How many counters have moves that aren't written yet."""
        return len(self._moves)

    def get(self, aggregate: int, group: bytes) -> Counter:
        """A counter as it is by now."""
        key = _NUMBER.pack(aggregate) + group
        kept = read(self._txn, self._database, key)
        move = self._moves.get(key)
        return kept if move is None else kept.plus(move)

    def write(self) -> None:
        """Write what was moved; a counter of no rows goes."""
        for key, move in sorted(self._moves.items()):
            now = read(self._txn, self._database, key).plus(move)
            if now.rows:
                self._txn.put(key, _packed(now), db=self._database)
            else:
                self._txn.delete(key, db=self._database)
        self._moves = {}


def read(txn: Transaction, database: Database, key: bytes) -> Counter:
    """A counter as it is kept."""
    stored = txn.get(key, db=database)
    if stored is None:
        return Counter()
    rows, values, odd, digits = _HEAD.unpack_from(stored)
    return Counter(rows, values, odd, digits, int.from_bytes(stored[_HEAD.size :], signed=True))


def _packed(counter: Counter) -> bytes:
    rows, values, odd, digits, units = counter
    size = units.bit_length() // 8 + 1
    return _HEAD.pack(rows, values, odd, digits) + units.to_bytes(size, "big", signed=True)
