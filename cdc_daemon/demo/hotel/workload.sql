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

-- reprice: all rooms of a city's hotels of one class
update room set price = round((price * %(factor)s)::numeric, 2) + 0.01
where hotel_id in (
  select id from hotel
  where stars = 1 + %(days)s %% 5
    and city_id = (select city_id from hotel where id >= %(hotel)s order by id limit 1)
);

-- review
insert into review (hotel_id, guest, rating, title)
select id, %(guest)s, 1 + %(days)s %% 10, 'A stay of ' || %(nights)s || ' nights'
from hotel
where id >= %(hotel)s
order by id
limit 1;

-- hide_or_show_review
update review set hidden = not hidden
where id = (select id from review where id >= %(review)s order by id limit 1);

-- move_review: it was written about the wrong hotel
update review
set hotel_id = (select id from hotel where id >= %(hotel)s order by id limit 1)
where id = (select id from review where id >= %(review)s order by id limit 1);

-- withdraw_review
delete from review where id = (select id from review where id >= %(review)s order by id limit 1);

-- add_amenity
insert into hotel_amenity (hotel_id, amenity_id)
select id, 1 + %(days)s %% 10 from hotel where id >= %(hotel)s order by id limit 1
on conflict do nothing;

-- remove_amenity
delete from hotel_amenity
where amenity_id = 1 + %(days)s %% 10
  and hotel_id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- change_hands: a hotel is sold to another chain, or leaves its own
update hotel set chain_id = nullif(1 + %(days)s %% 6, 6), updated_at = now()
where id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- rename_chain: all its hotels show the new name
update chain set name = split_part(name, ' (', 1) || ' (since ' || 1900 + %(nights)s || ')'
where id = 1 + %(days)s %% 5;

-- rename
update hotel set name = split_part(name, ' #', 1) || ' #' || %(days)s, updated_at = now()
where id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- publish_or_withdraw: a hotel enters the read model, or leaves it
update hotel
set
  status = case status when 'draft' then 'open' else 'draft' end::hotel_status,
  updated_at = now()
where id = (select id from hotel where id >= %(hotel)s order by id limit 1);

-- new_key_of_hotel: with it those of its rooms, amenities and reviews that refer to it
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
