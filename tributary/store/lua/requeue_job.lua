#!lua
-- requeue_job: move a job back to the queue from wherever it is.
--
-- KEYS[1] job, KEYS[2] queue, KEYS[3] where it is: a sorted set or a list
-- ARGV[1] member of KEYS[3], ARGV[2] id, ARGV[3] the time, as rq formats it, ARGV[4] first or last,
-- ARGV[5] all: with all of its retries again, or kept: with those that are left
-- returns 1 if it was moved, 0 if it was not there
-- atomic: of two callers, one moves it.
local list = redis.call('TYPE', KEYS[3]).ok == 'list'
local removed
if list then removed = redis.call('LREM', KEYS[3], 1, ARGV[1])
else removed = redis.call('ZREM', KEYS[3], ARGV[1]) end
if removed == 0 or redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', ARGV[3])
redis.call('PERSIST', KEYS[1])
if ARGV[5] == 'all' then redis.call('HDEL', KEYS[1], 'retries_left') end
redis.call(ARGV[4] == 'first' and 'LPUSH' or 'RPUSH', KEYS[2], ARGV[2])
return 1
