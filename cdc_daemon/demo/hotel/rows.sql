-- What the store holds before anything follows it: 320 hotels with 3,200 rooms and 2,240 reviews,
-- and 5,000 bookings; the same rows each time.
insert into city (name, country)
select name, country
from unnest(
  array['Vienna', 'Basel', 'Porto', 'Turku', 'Kraków', 'Ghent', 'Bergen', 'Lyon', 'Bologna',
    'Sevilla', 'Galway', 'Utrecht', 'Tartu', 'Gdańsk', 'Graz', 'Malmö'],
  array['AT', 'CH', 'PT', 'FI', 'PL', 'BE', 'NO', 'FR', 'IT',
    'ES', 'IE', 'NL', 'EE', 'PL', 'AT', 'SE']
) as city (name, country);

insert into chain (name, website)
select name, 'https://' || lower(replace(name, ' ', '-')) || '.example'
from unnest(array['Linden Hotels', 'Nordstern', 'Casa Sole', 'Old Town Inns', 'Ibex']) as name;

insert into amenity (name)
select unnest(
  array['wifi', 'breakfast', 'parking', 'pool', 'sauna', 'bar', 'garden', 'gym', 'terrace', 'library']
);

insert into hotel (
  name, city_id, chain_id, stars, contact, opened, check_in, status, updated_at
)
select
  (array['Hostel', 'Pension', 'Hotel', 'Hotel', 'Grand Hotel'])[stars] || ' '
    || (array['Adler', 'Europa', 'Bellevue', 'Central', 'Harbour', 'Linden', 'Miramar', 'Nord',
      'Olive Tree', 'Park', 'Riverside', 'Rose', 'Schwan', 'Sole', 'Station', 'Sternen', 'Terrace',
      'Old Town', 'Victoria', 'Zum Löwen'])[1 + n / 16],
  1 + n % 16,
  case when n % 3 <> 0 then 1 + n % 5 end,
  stars,
  jsonb_build_object('phone', format('+%s 555 %s', 30 + n % 20, 1000 + n), 'languages', 1 + n % 4),
  date '1899-05-01' + (n * 137) % 45000,
  (array['14:00', '15:00', '15:30'])[1 + n % 3]::time,
  case when n % 20 = 0 then 'draft' when n % 33 = 0 then 'closed' else 'open' end::hotel_status,
  timestamptz '2026-01-01 00:00:00+00' + n * interval '1 hour'
from generate_series(0, 319) as n
cross join lateral (select 1 + (n * 7) % 5 as stars) as class;

insert into room (hotel_id, number, beds, price)
select
  hotel.id,
  format('%s%s', floor, lpad(door::text, 2, '0')),
  1 + (floor + door) % 4,
  5.50 + 40 * stars + (hotel.id * 37) % 30 + 15 * (floor - 1)
from hotel
cross join generate_series(1, 2) as floor
cross join generate_series(1, 5) as door
order by hotel.id, floor, door;

insert into hotel_amenity (hotel_id, amenity_id)
select hotel.id, amenity.id
from hotel
cross join amenity
where (hotel.id * amenity.id) % 7 < stars;

insert into review (hotel_id, guest, rating, title, hidden, written_at)
select
  1 + n % 320,
  (array['Ada', 'Bela', 'Chloé', 'Dora', 'Emil', 'Farah', 'Goran', 'Hedy'])[1 + n / 320],
  3 + (n * 31 + n / 320 * 3) % 8,
  (array['Loud', 'Clean', 'As expected', 'Kind people', 'Good breakfast', 'Again'])[1 + n % 6],
  n % 50 = 0,
  timestamptz '2026-03-01 12:00:00+00' + n * interval '1 hour'
from generate_series(0, 2239) as n;

insert into booking (
  room_id, guest, arrival, nights, price, paid, status, channel, wishes, extras, booked_at
)
select
  room.id,
  (array['Ada', 'Bela', 'Chloé', 'Dora', 'Emil', 'Farah', 'Goran', 'Hedy'])[1 + n % 8] || ' '
    || (array['Adams', 'Borg', 'Curie', 'Dijkstra', 'Euler', 'Fuchs', 'Gauß'])[1 + n % 7],
  date '2027-01-01' + (n * 31) % 365,
  nights,
  room.price * nights,
  n % 3 = 0,
  case when n % 10 = 0 then 'held' when n % 7 = 0 then 'checked_in' else 'confirmed'
  end::booking_status,
  (array['web', 'phone', 'agency'])[1 + n % 3],
  case when n % 4 = 0 then array['quiet', 'high floor'] end,
  case when n % 5 = 0 then jsonb_build_object('breakfast', n % 2 = 0, 'cots', n % 3) end,
  timestamptz '2026-10-31 12:00:00+00' - n * interval '7 minutes'
from generate_series(1, 5000) as n
cross join lateral (select 1 + n % 9 as nights) as stay
join room on room.id = 1 + (n * 1231) % 3200
order by n;

analyze;
