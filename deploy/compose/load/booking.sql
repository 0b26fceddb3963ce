-- One transaction of the workload, for pgbench: somebody books a room, and now and then a price moves.
\set room random(1, 5000)
\set nights random(1, 14)
\set days random(1, 300)
\set guest random(1, 100000)
begin;
insert into booking (room_id, guest, arrival, nights)
values (:room, 'Guest ' || :guest, current_date + :days, :nights);
update room set price = round(price * (0.95 + random()::numeric / 10), 2)
where id = :room and :nights = 1;
commit;
