-- What the workload does, by name; the values in %(name)s are drawn at random.

-- book
insert into booking (room_id, guest, arrival, nights, price, paid, status, channel, wishes)
select
  id,
  %(guest)s,
  current_date + %(days)s,
  %(nights)s,
  price * %(nights)s,
  %(paid)s,
  case when %(held)s then 'held' else 'confirmed' end::booking_status,
  (array['web', 'phone', 'agency'])[1 + %(days)s %% 3],
  case when %(paid)s then array['quiet', 'late arrival'] end
from room
where id > %(room)s
order by id
limit %(rooms)s
returning id;

-- stay_longer_or_shorter
update booking set nights = %(nights)s, price = price / nights * %(nights)s
where id = (
  select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 1
);

-- pay: a booking that was only held enters the read model
update booking set paid = true, status = 'confirmed'
where id = (
  select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 1
);

-- hold: the booking leaves the read model
update booking set paid = false, status = 'held'
where id = (
  select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 1
);

-- ask_for_extras
update booking set extras = jsonb_build_object('cots', %(nights)s, 'dogs', null)
where id = (
  select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 1
);

-- cancel
delete from booking
where id = (
  select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 1
);

-- reprice: all hotels of one city and class
update hotel set price = round((price * %(factor)s)::numeric, 2) + 0.01, updated_at = now()
where stars = 1 + %(days)s %% 5
  and city_name = (select city_name from hotel where id >= %(hotel)s order by id limit 1);

-- rename
update hotel set name = split_part(name, ' #', 1) || ' #' || %(days)s, updated_at = now()
where id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- publish_or_withdraw: a hotel enters the read model, or leaves it
update hotel
set
  status = case status when 'draft' then 'open' else 'draft' end::hotel_status,
  updated_at = now()
where id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- new_key_of_hotel
update hotel set id = nextval(pg_get_serial_sequence('hotel', 'id'))
where id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- new_key_of_booking
update booking set id = nextval(pg_get_serial_sequence('booking', 'id'))
where id = (
  select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 1
);

-- two_bookings
select id from booking where id >= %(some)s and channel <> 'probe' order by id limit 2 for update;

-- set_key
update booking set id = %(new)s where id = %(old)s;

-- probe
insert into booking (room_id, guest, arrival, nights, price, channel)
select id, %(guest)s, current_date, 1, price, 'probe' from room order by id limit 1
returning id;
