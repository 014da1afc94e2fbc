#!lua flags=allow-oom
-- heartbeat: record that a worker is alive, and list the others.
-- The time is that of the server, so the clocks of the workers need not agree.
--
-- KEYS[1] workers
-- ARGV[1] worker id, ARGV[2] ms after which a silent worker is removed
-- returns {id, ms since its heartbeat, id, ms, …}
-- atomic: the list and the clock are of one moment.
-- allow-oom: without heartbeats no worker would own a partition, and a full server could not drain.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
-- If the clock was set back: live workers send another heartbeat, dead ones do not.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #members, 2 do members[i] = now - members[i] end
return members
