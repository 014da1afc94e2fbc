#!lua flags=no-writes
-- due_series: series that may have become stale, as of the time up to which readings are applied.
-- While entries wait, that is when the first of them arrived: an aggregator that is behind does not
-- take the readings that wait for silence. The clock is that of the server.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] due
-- ARGV[1] maximum number of series
-- returns {ms of that time, series...}
-- atomic: an entry could be applied between reading hwm and reading what follows it.
local time = redis.call('TIME')
local as_of = time[1] * 1000 + math.floor(time[2] / 1000)
local where = redis.call('HMGET', KEYS[2], 'hwm', 'progress')
local begun = string.match(where[2] or '', '^(%d+)-')
local next = redis.call('XRANGE', KEYS[1], '(' .. (where[1] or '0-0'), '+', 'COUNT', 1)[1]
local waiting = next and string.match(next[1], '^%d+')
if waiting then as_of = math.min(as_of, tonumber(waiting)) end
if begun then as_of = math.min(as_of, tonumber(begun)) end
return {
  as_of, unpack(redis.call('ZRANGE', KEYS[3], '-inf', as_of, 'BYSCORE', 'LIMIT', 0, ARGV[1])),
}
