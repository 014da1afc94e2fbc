#!lua flags=allow-oom
-- ensure_rows: prepare a partition for rows, and return what its owner needs to number them.
-- An aggregator of an older release writes the hash `windows` and finds a string from now on: it
-- can commit nothing more. The fields of format 2 stay readable until they are moved.
--
-- KEYS[1] meta, KEYS[2] state, KEYS[3] windows, KEYS[4] windows:2, KEYS[5] free,
-- KEYS[6] free_rings, KEYS[7] free_short
-- ARGV[1] epoch of the owner, ARGV[2] maximum number of free rows of each kind to return
-- returns {series in format 2, rows of state, rows of rings and short rows that are numbered, the
-- three lists of free rows}; {} if the epoch is another one
-- atomic: numbers of another epoch would give a row to two series.
-- allow-oom: a worker that starts while the server is full must be able to drain it.
if (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[1] then return {} end
local kind = redis.call('TYPE', KEYS[3]).ok
if kind == 'hash' then
  if redis.call('RENAMENX', KEYS[3], KEYS[4]) == 0 then
    return redis.error_reply('ERR ' .. KEYS[3] .. ' and ' .. KEYS[4] ..
      ' both have slots of format 2; restore the backup of one moment')
  end
end
if kind ~= 'string' then
  redis.call('SET', KEYS[3], 'moved to rows: this data is of format 3, use its release')
end
local numbered = redis.call('HMGET', KEYS[1], 'state_rows', 'ring_rows', 'short_rows')
local found = {redis.call('HLEN', KEYS[2])}
for n = 1, 3 do
  found[1 + n] = tonumber(numbered[n] or 0)
  found[4 + n] = redis.call('LRANGE', KEYS[4 + n], 0, ARGV[2] - 1)
end
return found
