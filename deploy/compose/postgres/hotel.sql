-- The hotel store: tables, a few rows, and what the daemon may do. Run once, on an empty database.
create table hotel (
  id bigint generated always as identity primary key,
  name text not null,
  city text not null,
  stars smallint not null check (stars between 1 and 5),
  status text not null default 'open'
);

create table room (
  id bigint generated always as identity primary key,
  hotel_id bigint not null references hotel,
  number text not null,
  price numeric(10, 2) not null
);

create table booking (
  id bigint generated always as identity primary key,
  room_id bigint not null references room,
  guest text not null,
  arrival date not null,
  nights smallint not null check (nights > 0),
  booked_at timestamptz not null default now()
);

insert into hotel (name, city, stars)
select format('Hotel %s', n), (array['Basel', 'Graz', 'Porto', 'Turku'])[1 + n % 4], 1 + n % 5
from generate_series(1, 100) as n;

insert into room (hotel_id, number, price)
select hotel.id, format('%s%s', floor, door), 60 + 20 * floor
from hotel, generate_series(1, 5) as floor, generate_series(10, 19) as door;

-- The daemon reads, and follows the stream; it owns nothing and writes nothing. The publication
-- belongs to the owner of the tables, hence `publication: {manage: false}` in cdc-daemon.yaml.
create role cdc_daemon login replication password 'cdc_daemon';
grant select on hotel, room, booking to cdc_daemon;
create publication cdc_hotel for table hotel, room, booking;
