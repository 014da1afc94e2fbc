#!lua
-- forget: append a tombstone to the stream of a partition, and record it.
-- It takes the next entry number and no reading number, so the numbers of `append` stay exact.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] forgets
-- ARGV[1] maximum entries, ARGV[2] maximum unread entries (0: no limit),
-- ARGV[3] maximum records, ARGV[4] text of the tombstone
-- returns the id of the entry; 'backlog' if too many entries are unread, 'records' if there are
-- too many records
-- atomic: a tombstone without its record would never be removed from the stream.
local readings, meta, forgets = KEYS[1], KEYS[2], KEYS[3]
local counts = redis.call('HMGET', meta, 'entries', 'done_entries', 'accepted')
local unread_max = tonumber(ARGV[2])
if unread_max > 0 and (counts[1] or 0) - (counts[2] or 0) >= unread_max then return 'backlog' end
if redis.call('HLEN', forgets) >= tonumber(ARGV[3]) then return 'records' end
redis.call('HDEL', forgets, '') -- fails here without permission: scripts do not roll back
local entry = redis.call('HINCRBY', meta, 'entries', 1)
local added = redis.pcall('XADD', readings, 'MAXLEN', '~', ARGV[1], '*',
  'e', entry, 'n', counts[3] or '0', 'f', ARGV[4])
if added.err then
  redis.call('HINCRBY', meta, 'entries', -1)
  return added
end
redis.call('HSET', forgets, added, 'asked\n' .. ARGV[4])
return added
