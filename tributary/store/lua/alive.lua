#!lua flags=no-writes
-- alive: when each aggregator was last heard of, by the clock of the server.
-- A read-only or full server runs it as well: `heartbeat` writes, so it is refused there.
--
-- KEYS[1] workers
-- ARGV[1] and more: none
-- returns {id, ms since its heartbeat, id, ms, …}
-- atomic: the list and the clock are of one moment.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #members, 2 do members[i] = now - members[i] end
return members
