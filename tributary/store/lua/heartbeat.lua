#!lua flags=allow-oom
-- heartbeat: say that a worker is alive, and learn who else is.
-- The time is the server's, so that workers need not agree on theirs.
--
-- KEYS[1] workers
-- ARGV[1] worker id (empty: only ask), ARGV[2] ms after which a silent worker is forgotten
-- returns {id, ms since its heartbeat, id, ms, …}
-- atomic: every caller sees one list and one clock.
-- allow-oom: without heartbeats nobody would own a partition, and a full server could not drain.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
  -- The clock has gone back: those alive will beat again, one that is dead never.
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
end
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #members, 2 do members[i] = now - members[i] end
return members
