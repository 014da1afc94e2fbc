#!lua flags=allow-oom
-- count_lost: count entries as lost that were appended but can no longer be read.
-- A gap in the numbers is found when the next entry is read; this finds one at the end, when an
-- owner has committed all that it has read, and there was nothing more to read.
--
-- KEYS[1] readings, KEYS[2] meta
-- ARGV[1] group, ARGV[2] epoch expected, ARGV[3] new epoch
-- returns {entries, readings} counted as lost ({0, 0}: none); 'epoch'; or 'moved': something else
-- has read from the group, so entries may wait behind hwm that are not delivered to this owner
-- atomic: an entry appended in between must not be counted as lost.
local readings, meta = KEYS[1], KEYS[2]
if (redis.call('HGET', meta, 'epoch') or '') ~= ARGV[2] then return 'epoch' end
local hwm = redis.call('HGET', meta, 'hwm') or '0-0'
for _, group in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
  local name, delivered
  for i = 1, #group, 2 do
    if group[i] == 'name' then name = group[i + 1] end
    if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
  end
  if name == ARGV[1] and delivered ~= hwm then return 'moved' end
end
if #redis.call('XRANGE', readings, '(' .. hwm, '+', 'COUNT', 1) > 0 then return {0, 0} end
local counts = redis.call('HMGET', meta, 'entries', 'accepted', 'done_entries', 'done')
local entries = (counts[1] or 0) - (counts[3] or 0)
local lost = (counts[2] or 0) - (counts[4] or 0)
if entries == 0 then return {0, 0} end
redis.call('HSET', meta, 'epoch', ARGV[3], 'done_entries', counts[1], 'done', counts[2])
redis.call('HINCRBY', meta, 'lost_entries', entries)
redis.call('HINCRBY', meta, 'lost', lost)
return {entries, lost}
