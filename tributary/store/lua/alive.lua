#!lua flags=no-writes
-- alive: the age of the last heartbeat of each aggregator, by the clock of the server.
-- Unlike `heartbeat`, which writes, it also runs on a read-only or full server.
--
-- KEYS[1] workers
-- returns {id, ms since its heartbeat, id, ms, …}
-- atomic: the list and the clock are of one moment.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #members, 2 do members[i] = now - members[i] end
return members
