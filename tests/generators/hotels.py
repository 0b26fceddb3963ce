"""Hotels whose documents show the rows of seven tables, and sessions that write into all of them.

No foreign key is declared: rows may come before their parents, and stay when those go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.explained import explained
from tests.generators.history import Plan
from tests.generators.oracle import assert_equal
from tests.generators.searched import hits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon

SCHEMA = """
create table chain (id int primary key, name text, stars int);
create table hotel (id int primary key, name text, chain_id int, city text, about text,
                    deleted_at timestamptz);
create table room (hotel_id int, no int, kind text, price numeric(10,2), note text,
                   primary key (hotel_id, no));
create table amenity (id int primary key, name text);
create table hotel_amenity (hotel_id int, amenity_id int, primary key (hotel_id, amenity_id));
create table review (id int primary key, hotel_id int not null, rating int, body text);
create table answer (id int primary key, review_id int, answer_id int, body text);
alter table hotel alter column about set storage external;
alter table room alter column note set storage external;
"""
FILL = """
insert into chain select i, 'chain ' || i, i % 5 from generate_series(1, 5) i;
insert into amenity select i, 'amenity ' || i from generate_series(1, 9) i;
insert into hotel select i, 'hotel ' || i, i % 6, 'city ' || i % 3, repeat('about ', i % 3 * 500)
    from generate_series(1, 40) i;
insert into room select i % 40, i, 'kind ' || i % 4, i % 7 * 10.5, repeat('note', i % 2 * 800)
    from generate_series(1, 160) i;
insert into hotel_amenity select i % 40, i % 9 from generate_series(1, 90) i on conflict do nothing;
insert into review select i, i % 42, i % 6, 'review ' || i from generate_series(1, 120) i;
insert into answer select i, i % 125, nullif(i % 3, 0) * i / 3, 'answer ' || i
    from generate_series(1, 80) i;
"""
CHAIN: dict[str, Any] = {"one": "public.chain", "on": {"id": "chain_id"}, "fields": ["name"]}
OF_HOTEL = {"hotel_id": "id"}
ROOMS: dict[str, Any] = {
    "many": "public.room",
    "on": OF_HOTEL,
    "fields": ["no", "kind", "price", "note"],
    "order_by": "price desc nulls last",
    "limit": 3,
}
AMENITIES: dict[str, Any] = {
    "many": "public.amenity",
    "through": {"table": "public.hotel_amenity", "on": OF_HOTEL, "to": {"id": "amenity_id"}},
    "value": {"column": "name", "type": "keyword"},
    "order_by": "name",
}
ANSWERS: dict[str, Any] = {
    "many": "public.answer",
    "on": {"review_id": "id"},
    "fields": ["id", "body"],
    "embed": {
        "replies": {
            "many": "public.answer",
            "on": {"answer_id": "id"},
            "fields": ["id", "body"],
            "depth": 2,
        }
    },
}
REVIEWED: dict[str, Any] = {
    "reviews": {"count": "public.review", "on": OF_HOTEL},
    "rating": {"avg": "public.review", "on": OF_HOTEL, "value": "rating"},
    "best": {"max": "public.review", "on": OF_HOTEL, "value": "rating"},
    "latest": {
        "last": "public.review",
        "on": OF_HOTEL,
        "order_by": "id",
        "fields": ["rating", "body"],
        "embed": {"answers": ANSWERS},
    },
}
PROJECTIONS: dict[str, Any] = {
    "hotels": {
        "from": "public.hotel",
        "where": "deleted_at is null",
        "fields": {
            "id": None,
            "name": None,
            "about": None,
            "label": {"expression": "name || coalesce(' by ' || chain.name, '')"},
        },
        "embed": {"chain": CHAIN, "rooms": ROOMS, "amenities": AMENITIES, **REVIEWED},
        "freshness": "20ms",
    },
    "chains": {
        "from": "public.chain",
        "fields": "*",
        "embed": {
            "hotels": {
                "many": "public.hotel",
                "on": {"chain_id": "id"},
                "where": "deleted_at is null",
                "fields": ["name", "city"],
                "nested": True,
                "embed": {"rooms": {**ROOMS, "limit": None, "nested": True}},
            },
            "beds": {
                "count": "public.room",
                "through": {
                    "table": "public.hotel",
                    "on": {"chain_id": "id"},
                    "to": {"hotel_id": "id"},
                },
            },
        },
        "freshness": "20ms",
    },
    "rooms": {
        "from": "public.room",
        "id": "room-{hotel_id}-{no}",
        "fields": ["hotel_id", "no", "kind", "price"],
        "embed": {
            "hotel": {
                "one": "public.hotel",
                "on": {"id": "hotel_id"},
                "fields": ["name"],
                "embed": {"chain": CHAIN},
            }
        },
        "freshness": "20ms",
    },
    "reviews": {
        "from": "public.review",
        "routing": "hotel_id",
        "fields": ["id", "rating"],
        "embed": {
            "hotel": {"one": "public.hotel", "on": {"id": "hotel_id"}, "fields": ["name", "city"]}
        },
        "freshness": "20ms",
        "index": {"settings": {"number_of_shards": 3}},
    },
    "amenities": {"from": "public.amenity", "fields": "*", "freshness": "20ms"},
}
"""All over one state; the last one is flat."""


def fill(dsn: str) -> None:
    """Make the tables, with some rows."""
    with psycopg.connect(dsn) as connection:
        connection.execute(SCHEMA)
        connection.execute(FILL)


class Hotels:
    """A daemon that follows hotels, and what its documents must be."""

    def __init__(self, daemon: RunningDaemon, rest: Rest, dsn: str) -> None:
        self.daemon, self.rest, self.dsn = daemon, rest, dsn
        self._queries: Mapping[str, str] = {}

    def commit(self, *statements: str) -> None:
        """One transaction."""
        with psycopg.connect(self.dsn) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def exact(self, seconds: float = 60.0) -> int:
        """Fail unless every document is what SQL says, once the daemon has caught up; how many."""
        self.daemon.wait_until("streaming", seconds)
        self.daemon.catch_up(seconds)
        queries = self.queries
        compared = assert_equal(self.dsn, self.rest, queries)
        found = sum(self.rest.get(f"/{name}/_count")["count"] for name in queries)
        assert found == compared, "no document is there twice"
        assert not self.daemon.status()["dead_letters"]
        return compared

    def document(self, name: str, key: str) -> Any:
        """As a search finds it; None where there is none."""
        found = {hit["_id"]: hit["_source"] for hit in hits(self.rest, name)}
        return found.get(key)

    @property
    def queries(self) -> Mapping[str, str]:
        """The SQL of each read model."""
        self._queries = self._queries or explained(self.daemon.file)
        return self._queries


def _id(chosen: Random, most: int) -> int:
    return chosen.randint(1, most)


def _run(cursor: psycopg.Cursor, statement: str, *values: Any) -> None:
    cursor.execute(statement.encode(), values)


def _rename_chain(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into chain values (%s, %s, 3) on conflict (id) do update set name = excluded.name",
        *(_id(chosen, 7), f"chain {_id(chosen, 999)}"),
    )


def _delete_chain(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "delete from chain where id = %s", _id(chosen, 7))


def _put_hotel(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into hotel values (%s, %s, %s, 'city', repeat('about ', 900)) on conflict (id)"
        " do update set name = excluded.name, chain_id = excluded.chain_id",
        *(_id(chosen, 45), f"hotel {_id(chosen, 999)}", _id(chosen, 7)),
    )


def _hide_hotel(cursor: psycopg.Cursor, chosen: Random) -> None:
    hidden = chosen.choice(("now()", "null"))
    _run(cursor, f"update hotel set deleted_at = {hidden} where id = %s", _id(chosen, 45))


def _delete_hotel(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "delete from hotel where id = %s", _id(chosen, 45))


def _rekey_hotel(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "update hotel set id = %s where id = %s", _id(chosen, 45), _id(chosen, 45))


def _price_rooms(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "update room set price = price + 1 where no %% 11 = %s", chosen.randrange(11))


def _put_room(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into room values (%s, %s, 'kind', %s, repeat('note', 800)) on conflict do nothing",
        *(_id(chosen, 45), _id(chosen, 200), chosen.choice((None, _id(chosen, 100)))),
    )


def _move_room(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "update room set hotel_id = %s where no = %s",
        *(_id(chosen, 45), _id(chosen, 200)),
    )


def _delete_rooms(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "delete from room where hotel_id = %s", _id(chosen, 45))


def _link(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into hotel_amenity values (%s, %s) on conflict do nothing",
        *(_id(chosen, 45), _id(chosen, 12)),
    )


def _unlink(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "delete from hotel_amenity where amenity_id = %s", _id(chosen, 12))


def _put_amenity(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into amenity values (%s, %s) on conflict (id) do update set name = excluded.name",
        *(_id(chosen, 12), f"amenity {_id(chosen, 999)}"),
    )


def _put_review(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into review values (%s, %s, %s, 'review') on conflict (id)"
        " do update set hotel_id = excluded.hotel_id, rating = excluded.rating",
        *(_id(chosen, 150), _id(chosen, 45), chosen.choice((None, _id(chosen, 5)))),
    )


def _delete_reviews(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(cursor, "delete from review where id %% 13 = %s", chosen.randrange(13))


def _put_answer(cursor: psycopg.Cursor, chosen: Random) -> None:
    _run(
        cursor,
        "insert into answer values (%s, %s, %s, 'answer') on conflict (id)"
        " do update set review_id = excluded.review_id, answer_id = excluded.answer_id",
        *(_id(chosen, 100), _id(chosen, 150), chosen.choice((None, _id(chosen, 100)))),
    )


def _truncate(cursor: psycopg.Cursor, chosen: Random) -> None:
    if chosen.random() < 0.05:
        cursor.execute(f"truncate {chosen.choice(('answer', 'hotel_amenity', 'room'))}".encode())


WRITING = Plan(
    steps=[
        *(_rename_chain, _delete_chain, _put_hotel, _put_hotel, _hide_hotel, _delete_hotel),
        *(_rekey_hotel, _price_rooms, _put_room, _put_room, _move_room, _delete_rooms),
        *(_link, _link, _unlink, _put_amenity, _put_review, _put_review, _delete_reviews),
        *(_put_answer, _put_answer, _truncate),
    ]
)
"""For `history.Load`."""
