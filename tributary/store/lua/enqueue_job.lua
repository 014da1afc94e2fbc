#!lua
-- enqueue_job: queue a job, unless one with its id is waiting or running, or the queue is full.
-- A finished or failed job with the same id is replaced.
--
-- KEYS[1] job, KEYS[2] its results, KEYS[3] queue, KEYS[4] queues, KEYS[5] failed jobs,
-- KEYS[6] finished jobs
-- ARGV[1] id, ARGV[2] maximum length of the queue, ARGV[3] its name in `queues`; then fields and
-- values of the job
-- returns 1 if it was queued, 0 if one with this id is, -1 if the queue is full
-- atomic: two callers cannot both queue the id, and a job in the queue always has its fields.
local status = redis.call('HGET', KEYS[1], 'status')
if status and status ~= 'failed' and status ~= 'finished' then return 0 end
if redis.call('LLEN', KEYS[3]) >= tonumber(ARGV[2]) then return -1 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('SADD', KEYS[4], ARGV[3])
redis.call('RPUSH', KEYS[3], ARGV[1])
return 1
