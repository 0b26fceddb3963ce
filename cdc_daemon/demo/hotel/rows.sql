-- What the store holds before anything follows it: 320 hotels, 3,200 rooms, 5,000 bookings.
insert into hotel (
  name, city_name, country, stars, rating, price, amenities, contact, opened, check_in, status
)
select
  (array['Hostel', 'Pension', 'Hotel', 'Hotel', 'Grand Hotel'])[1 + stars_less_1] || ' ' || title,
  city,
  country,
  1 + stars_less_1,
  case when n % 11 <> 0 then round((5 + 5 * random())::numeric, 1)::float8 end,
  round((45 + 40 * stars_less_1 + 30 * random())::numeric, 2),
  (array['wifi', 'breakfast', 'parking', 'pool', 'sauna', 'bar', 'garden'])[1 + n % 3:3 + n % 5],
  jsonb_build_object('phone', format('+%s 555 %s', 30 + n % 20, 1000 + n), 'languages', 1 + n % 4),
  date '1899-05-01' + (n * 137) % 45000,
  (array['14:00', '15:00', '15:30'])[1 + n % 3]::time,
  case when n % 20 = 0 then 'draft' when n % 33 = 0 then 'closed' else 'open' end::hotel_status
from generate_series(0, 319) as n
cross join lateral (select (n * 7) % 5 as stars_less_1) as class
cross join lateral (
  select
    (array['Vienna', 'Basel', 'Porto', 'Turku', 'Kraków', 'Ghent', 'Bergen', 'Lyon', 'Bologna',
      'Sevilla', 'Galway', 'Utrecht', 'Tartu', 'Gdańsk', 'Graz', 'Malmö'])[1 + n % 16] as city,
    (array['AT', 'CH', 'PT', 'FI', 'PL', 'BE', 'NO', 'FR', 'IT',
      'ES', 'IE', 'NL', 'EE', 'PL', 'AT', 'SE'])[1 + n % 16] as country,
    (array['Adler', 'Europa', 'Bellevue', 'Central', 'Harbour', 'Linden', 'Miramar', 'Nord',
      'Olive Tree', 'Park', 'Riverside', 'Rose', 'Schwan', 'Sole', 'Station', 'Sternen', 'Terrace',
      'Old Town', 'Victoria', 'Zum Löwen'])[1 + n / 16] as title
) as place;

insert into room (hotel_id, number, beds, price)
select
  hotel.id,
  format('%s%s', floor, lpad(door::text, 2, '0')),
  1 + (floor + door) % 4,
  hotel.price + 15 * (floor - 1)
from hotel
cross join generate_series(1, 2) as floor
cross join generate_series(1, 5) as door;

insert into booking (
  room_id, guest, arrival, nights, price, paid, status, channel, wishes, extras, booked_at
)
select
  room.id,
  (array['Ada', 'Bela', 'Chloé', 'Dora', 'Emil', 'Farah', 'Goran', 'Hedy'])[1 + n % 8] || ' '
    || (array['Adams', 'Borg', 'Curie', 'Dijkstra', 'Euler', 'Fuchs', 'Gauß'])[1 + n % 7],
  current_date + (n * 31) % 365,
  nights,
  room.price * nights,
  n % 3 = 0,
  case when n % 10 = 0 then 'held' when n % 7 = 0 then 'checked_in' else 'confirmed'
  end::booking_status,
  (array['web', 'phone', 'agency'])[1 + n % 3],
  case when n % 4 = 0 then array['quiet', 'high floor'] end,
  case when n % 5 = 0 then jsonb_build_object('breakfast', n % 2 = 0, 'cots', n % 3) end,
  now() - n * interval '7 minutes'
from generate_series(1, 5000) as n
cross join lateral (select 1 + n % 9 as nights) as stay
join room on room.id = 1 + (n * 1231) % 3200;

analyze;
