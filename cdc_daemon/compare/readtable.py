"""A read table that triggers maintain in the writer's own transaction: no daemon, only SQL."""

from __future__ import annotations

from typing import Final, LiteralString

CREATE: Final[LiteralString] = """
create schema read_models;
create table read_models.bookings (id bigint primary key, document jsonb not null);

create function read_models.write_booking() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.id <> old.id) then
    delete from read_models.bookings where id = old.id;
  end if;
  if tg_op <> 'DELETE' then
    insert into read_models.bookings values (new.id, to_jsonb(new))
      on conflict (id) do update set document = excluded.document;
  end if;
  return null;
end $$;

create function read_models.empty_bookings() returns trigger language plpgsql as $$
begin
  truncate read_models.bookings;
  return null;
end $$;

create trigger write_booking after insert or update or delete on public.booking
  for each row execute function read_models.write_booking();
create trigger empty_bookings after truncate on public.booking
  for each statement execute function read_models.empty_bookings();
insert into read_models.bookings select id, to_jsonb(booking) from public.booking;
"""

DOCUMENTS: Final[LiteralString] = """
select id, (document->>'revision')::int as revision, (document->>'batch')::int as batch
  from read_models.bookings
"""
