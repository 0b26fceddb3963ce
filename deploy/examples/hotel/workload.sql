-- One transaction of the workload, for pgbench; with --random-seed the same ones each time, but for
-- the time of day.
--   pgbench -n -f workload.sql -t 500 --random-seed=1 "$DATABASE_URL"
\set what random(1, 100)
\set hotel random(1, 320)
\set other random(1, 320)
\set room random(1, 3200)
\set amenity random(1, 10)
\set chain random(1, 5)
\set review random(1, 2240)
\set booking random(1, 5000)
\set number random(1, 10)
\if :what <= 30
-- a booking is made
insert into booking (room_id, guest, arrival, nights, price, channel)
select id, 'Guest ' || :booking, date '2027-01-01' + :hotel, :number, price * :number, 'web'
from room where id = :room;
\elif :what <= 40
-- a booking is paid, or cancelled
update booking set paid = true, status = 'confirmed' where id = :booking and :number > 5;
delete from booking where id = :booking and :number <= 5;
\elif :what <= 55
-- a review is written
insert into review (hotel_id, guest, rating, title)
values (:hotel, 'Guest ' || :booking, :number, 'Visit ' || :booking);
\elif :what <= 60
-- a review is hidden, or shown again
update review set hidden = not hidden where id = :review;
\elif :what <= 63
-- a review was written about the wrong hotel
update review set hotel_id = :other where id = :review;
\elif :what <= 66
-- a review is withdrawn
delete from review where id = :review;
\elif :what <= 76
-- a room has another price
update room set price = price + :number - 5.5 where id = :room and price > 10;
\elif :what <= 80
-- a room is added
insert into room (hotel_id, number, beds, price)
select :hotel, max(number::integer) + 1, 1 + :number % 4, max(price) + :number
from room where hotel_id = :hotel;
\elif :what <= 84
-- a hotel gets an amenity
insert into hotel_amenity values (:hotel, :amenity) on conflict do nothing;
\elif :what <= 88
-- a hotel loses one
delete from hotel_amenity where hotel_id = :hotel and amenity_id = :amenity;
\elif :what <= 91
-- a hotel changes hands
update hotel set chain_id = nullif(:chain, 5), updated_at = now() where id = :hotel;
\elif :what <= 94
-- a hotel has another name
update hotel set name = split_part(name, ' #', 1) || ' #' || id, updated_at = now()
where id = :hotel;
\elif :what <= 97
-- a hotel becomes a draft, and appears again
update hotel
set
  status = case status when 'draft' then 'open' else 'draft' end::hotel_status,
  updated_at = now()
where id = :hotel;
\elif :what <= 99
-- two hotels exchange their chains, in one transaction
begin;
update hotel set chain_id = (select chain_id from hotel where id = :other) where id = :hotel;
update hotel set chain_id = :chain where id = :other;
commit;
\else
-- a chain has another name: all its hotels show it
update chain set name = split_part(name, ' (', 1) || ' (since ' || 1900 + :number || ')'
where id = :chain;
\endif
