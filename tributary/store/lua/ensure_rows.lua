#!lua flags=allow-oom
-- ensure_rows: prepare a partition for rows, and return what its owner needs to number them.
-- An aggregator of an older release writes the hash `windows` and finds a string from now on: it
-- can commit nothing more. The fields of format 2 stay readable until they are moved.
--
-- KEYS[1] meta, KEYS[2] state, KEYS[3] windows, KEYS[4] windows:2, KEYS[5] free
-- ARGV[1] epoch of the owner, ARGV[2] maximum number of free rows to return
-- returns {rows of state, rows of rings that are numbered, series in format 2, free rows...};
-- {} if the epoch is another one
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
local numbered = redis.call('HMGET', KEYS[1], 'state_rows', 'ring_rows')
return {
  tonumber(numbered[1] or 0), tonumber(numbered[2] or 0), redis.call('HLEN', KEYS[2]),
  unpack(redis.call('LRANGE', KEYS[5], 0, ARGV[2] - 1)),
}
