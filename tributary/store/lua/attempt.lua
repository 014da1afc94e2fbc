#!lua flags=allow-oom
-- attempt: record which entries a worker is about to apply alone.
-- If the process crashes before their commit clears the record, the next worker finds it: one of
-- these entries may have crashed the process. It changes no state, so the epoch stays the same.
--
-- KEYS[1] meta
-- ARGV[1] epoch expected, [2] first entry, number of entries, attempts and worker, as text
-- returns 'ok' or 'epoch' (another worker has committed)
-- atomic: a worker that lost the partition must not replace the record of its successor.
-- allow-oom: a worker that starts while the server is full must be able to drain it.
if (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[1] then return 'epoch' end
redis.call('HSET', KEYS[1], 'attempt', ARGV[2])
return 'ok'
