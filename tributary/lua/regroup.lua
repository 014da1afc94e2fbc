#!lua flags=allow-oom
-- regroup: create the consumer group where the aggregates stand, if it is not there.
-- Never at $ (what came before would be lost) and never at 0 (it would be counted twice).
--
-- KEYS[1] readings, KEYS[2] meta
-- ARGV[1] group, ARGV[2] new epoch
-- returns 1 if the group was created, 0 if it was there
-- atomic: two workers may try at once; a worker that still holds a batch of the group that is
-- gone must find a new epoch.
-- allow-oom: a worker that starts while the server is full must be able to drain it.
local readings, meta = KEYS[1], KEYS[2]
local hwm = redis.call('HGET', meta, 'hwm') or '0-0'

local function before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

if redis.call('EXISTS', readings) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
    if group[2] == ARGV[1] then return 0 end
  end
end
redis.call('XGROUP', 'CREATE', readings, ARGV[1], hwm, 'MKSTREAM')
local info = redis.call('XINFO', 'STREAM', readings)
for i = 1, #info, 2 do
  -- A stream that was deleted begins anew: without this, ids below hwm could be issued again.
  if info[i] == 'last-generated-id' and before(info[i + 1], hwm) then
    redis.call('XSETID', readings, hwm)
  end
end
redis.call('HSET', meta, 'epoch', ARGV[2])
return 1
