"""PostgreSQL's geometric values to GeoJSON: its (x,y) is longitude and latitude."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

POINT: Final = "point"
SHAPES: Final = frozenset({POINT, "lseg", "path", "polygon", "box"})
"""Types that have a GeoJSON; a circle has none, nor has an infinite line."""

LONGITUDE: Final = 180.0
LATITUDE: Final = 90.0

_NUMBER: Final = re.compile(rb'[^()\[\],"]+')
_OBJECT: Final = re.compile(rb"\{[^}]*\}")
_OPEN: Final = b'"['

Pair = tuple[bytes, bytes]
"""Longitude and latitude, as they are written."""


class NotOnEarthError(ValueError):
    """A coordinate is no longitude or no latitude."""


def geo_point(value: bytes) -> bytes:
    """`"(1,2)"` to `{"lon":1,"lat":2}`. Raises NotOnEarthError."""
    return b'{"lon":%b,"lat":%b}' % _pairs(value)[0]


def geo_shape(kind: str) -> Callable[[bytes], bytes]:
    """What makes GeoJSON of the JSON of a value of type `kind`. It raises NotOnEarthError."""
    return _SHAPES[kind]


def geo_points(points: bytes) -> bytes:
    """An array of them, of any dimension, as one without null: `[null` would be a longitude."""
    found = _OBJECT.findall(points)
    return b"[%b]" % b",".join(found) if found else b"null"


def geometry_collection(shapes: bytes) -> bytes:
    """An array of GeoJSON, of any dimension, as one; null if nothing is in it."""
    found = _OBJECT.findall(shapes)
    if not found:
        return b"null"
    return b'{"type":"GeometryCollection","geometries":[%b]}' % b",".join(found)


def _pairs(value: bytes) -> list[Pair]:
    numbers = _NUMBER.findall(value)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    for longitude, latitude in pairs:
        # A comparison with NaN is false.
        if not (abs(float(longitude)) <= LONGITUDE and abs(float(latitude)) <= LATITUDE):
            raise NotOnEarthError
    return pairs


def _point(value: bytes) -> bytes:
    return _line(_pairs(value))


def _path(value: bytes) -> bytes:
    """A closed path ends where it began: it is no area."""
    pairs = _pairs(value)
    return _line(pairs if value.startswith(_OPEN) else [*pairs, pairs[0]])


def _box(value: bytes) -> bytes:
    """PostgreSQL writes the upper right corner, then the lower left."""
    (east, north), (west, south) = _pairs(value)
    return _area([(west, south), (east, south), (east, north), (west, north)])


def _polygon(value: bytes) -> bytes:
    return _area(_pairs(value))


def _area(corners: list[Pair]) -> bytes:
    """The ring is closed; what has no three corners is a line or a point."""
    distinct = _distinct(corners)
    if len(distinct) < 3:  # noqa: PLR2004 - what makes an area
        return _line(distinct)
    ring = b",".join(b"[%b,%b]" % pair for pair in [*corners, corners[0]])
    return b'{"type":"Polygon","coordinates":[[%b]]}' % ring


def _distinct(pairs: list[Pair]) -> list[Pair]:
    """Each place once: 0 and -0 are the same."""
    places = {
        (float(longitude), float(latitude)): (longitude, latitude) for longitude, latitude in pairs
    }
    return list(places.values())


def _line(pairs: list[Pair]) -> bytes:
    """A line that stays where it is, is a point."""
    if len(_distinct(pairs)) == 1:
        return b'{"type":"Point","coordinates":[%b,%b]}' % pairs[0]
    between = b",".join(b"[%b,%b]" % pair for pair in pairs)
    return b'{"type":"LineString","coordinates":[%b]}' % between


_SHAPES: Final[dict[str, Callable[[bytes], bytes]]] = {
    POINT: _point,
    "lseg": _path,
    "path": _path,
    "polygon": _polygon,
    "box": _box,
}
