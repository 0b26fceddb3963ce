"""All that statements can do to rows, on tables of every kind that both can follow."""

from __future__ import annotations

from typing import Final

TABLES: Final = """
create table plain (
    id int primary key, name text, price numeric(10,2), made timestamptz, big text
);
alter table plain alter column big set storage external;
create table full_identity (id int primary key, name text not null, big text);
alter table full_identity replica identity full;
alter table full_identity alter column big set storage external;
create table only_index (code text not null unique, name text);
alter table only_index replica identity using index only_index_code_key;
create table no_key (a int, b text);
alter table no_key replica identity full;
create table two_keys (b text, a bigint, c int not null, primary key (a, b));
create table "Odd Table" (
    "Id" int primary key, "a.b" text, "x y" text, "1st" int, "é" text, "$d-e" int, "p%q" text
);
create schema other;
create table other.plain (id bigint generated always as identity primary key, n int);
create table generated (id int primary key, a int, b int generated always as (a * 2) stored);
create table parted (id int, k int, v text, primary key (id, k)) partition by list (k);
create table parted_1 partition of parted for values in (1);
create table parted_2 partition of parted for values in (2);
create table parent (id int primary key, v text);
create table child (extra int, primary key (id)) inherits (parent);
create table changing (id int primary key, a int);
create table key_types (
    n numeric(10,2), d date, t timestamptz, u uuid, b bytea, primary key (d, t, u, b)
);
"""

FOLLOWED: Final = (
    *("public.plain", "public.full_identity", "public.only_index", "public.no_key"),
    *("public.two_keys", "public.Odd Table", "other.plain", "public.generated", "public.parted_1"),
    *("public.parted_2", "public.parent", "public.child", "public.changing", "public.key_types"),
)
"""Not the partitioned table: Debezium names its rows by their partitions, unless told otherwise."""

STATEMENTS: Final = (
    "insert into plain (id, name) values (1, 'one'), (2, null)",
    "insert into plain values (4, 'four', null, null, repeat('y', 3000))",
    "update plain set name = 'ONE' where id = 1",
    "update plain set name = 'four!', price = 4.5 where id = 4",
    "update plain set id = 40 where id = 4",
    "update plain set name = name",
    "delete from plain where id = 1",
    """begin;
    insert into plain (id, name) values (5, 'five');
    update plain set name = 'FIVE' where id = 5;
    savepoint a;
    insert into plain (id, name) values (6, 'rolled back');
    rollback to a;
    insert into other.plain (n) values (8);
    insert into plain (id, name) values (7, 'seven');
    update plain set id = id + 100 where id < 10;
    delete from plain where id = 107;
    commit""",
    "begin; insert into plain (id) values (8); rollback",
    "insert into full_identity values (1, 'one', repeat('z', 3000)), (2, 'two', null)",
    "update full_identity set name = 'ONE' where id = 1",
    "update full_identity set id = 10 where id = 1",
    "delete from full_identity",
    "insert into only_index values ('a', 'A')",
    "update only_index set name = 'AA'",
    "update only_index set code = 'b'",
    "delete from only_index",
    "insert into no_key values (1, 'x'), (1, 'x')",
    "update no_key set b = 'z' where a = 1",
    "insert into two_keys values ('c', 2, 3), ('b', 1, 2)",
    "update two_keys set c = 9 where a = 1",
    "update two_keys set b = 'bb' where a = 1",
    "delete from two_keys where a = 2",
    """insert into "Odd Table" values (1, 'ab', 'xy', 1, 'é', 2, '%s')""",
    """update "Odd Table" set "x y" = '☕ "\\'""",
    """delete from "Odd Table" """,
    "insert into other.plain values (default)",
    "insert into generated (id, a) values (1, 10), (2, null)",
    "update generated set a = 11 where id = 1",
    "insert into parted values (1, 1, 'a'), (2, 2, 'b')",
    "update parted set v = 'aa' where id = 1",
    "update parted set k = 2 where id = 1",
    "delete from parted where id = 2",
    "insert into child values (10, 'c', 2)",
    "insert into parent values (11, 'p')",
    "update parent set v = 'q'",
    """insert into key_types values
    (1.50, '2024-02-29', '2024-02-29 12:34:56.789012+00', gen_random_uuid(), '\\x00ff')""",
    "update key_types set d = '2024-03-01'",
    "delete from key_types",
    "insert into changing values (1, 1)",
    "truncate no_key",
    "truncate plain, other.plain",
    "truncate parted",
    "truncate full_identity restart identity cascade",
)
"""Each is a transaction, some of several statements."""
