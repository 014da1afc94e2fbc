#!lua flags=allow-oom
-- report_tail: report to a restarted server what was acknowledged before it stopped.
-- Every HTTP process reports the greatest numbers that append returned to it, before it appends
-- again. If the server has lost them, these numbers are skipped, and the aggregator counts the
-- gap as lost. Each report adds only what earlier ones did not cover, so the order of reports,
-- repeated reports and appends between them do not change the result.
--
-- KEYS[1] meta
-- ARGV[1] run id of this server, ARGV[2] run id of the server that acknowledged (empty: none),
-- ARGV[3] number of the last entry, ARGV[4] of the last reading that it acknowledged
-- returns {number of the last entry, of the last reading, and entries, readings that are missing
-- and were not reported before}
-- atomic: two concurrent reports must not count the same entries twice, and an append between
-- reading and writing the numbers would reuse one.
-- allow-oom: a full server can drain only if clients can connect to it.
local meta, run, reporter = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call('HMGET', meta, 'entries', 'accepted', 'run', 'tail_entries', 'tail')
local entries, accepted = tonumber(found[1] or 0), tonumber(found[2] or 0)
local tail_entries, tail = tonumber(found[4] or 0), tonumber(found[5] or 0)
if found[3] ~= run then -- nothing was appended since the restart: these numbers survived it
  tail_entries, tail = entries, accepted
  redis.call('HSET', meta, 'run', run, 'tail_entries', entries, 'tail', accepted)
end
local lost_entries, lost = 0, 0
if reporter ~= '' and reporter ~= run and tonumber(ARGV[3]) > tail_entries then
  lost_entries = ARGV[3] - tail_entries
  lost = math.max(0, ARGV[4] - tail)
  redis.call('HSET', meta, 'tail_entries', ARGV[3], 'tail', math.max(tail, ARGV[4]))
  entries = redis.call('HINCRBY', meta, 'entries', lost_entries)
  accepted = redis.call('HINCRBY', meta, 'accepted', lost)
  redis.call('HINCRBY', meta, 'restart_lost', lost)
  redis.call('HINCRBY', meta, 'restart_lost_entries', lost_entries)
end
return {entries, accepted, lost_entries, lost}
