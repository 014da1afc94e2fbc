#!lua
-- replay: append dead entries again, and remove them from the dead entries.
-- They get new numbers, so that one trimmed unread is found missing like any other. `replayed`
-- and `replayed_entries` are how much of `accepted`, `entries`, `dead` and `dead_entries` is
-- therefore counted twice.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] dead
-- ARGV[1] maximum entries, ARGV[2] maximum unread entries (negative: of those that are not in the
-- history either), then for each dead entry:
--   its id in the stream of dead entries, readings in its frame, frame
-- returns {entries replayed, 1 if it stopped because too many are unread}
-- atomic: a crash between the two would lose the entry, or replay it twice.
local readings, meta, dead = KEYS[1], KEYS[2], KEYS[3]
local replayed = 0
for i = 3, #ARGV, 3 do
  local found = redis.call('XRANGE', dead, ARGV[i], ARGV[i])[1]
  if found then
    local counts = redis.call('HMGET', meta, 'entries', 'done_entries', 'archived_entries')
    local done = tonumber(counts[2] or 0)
    if tonumber(ARGV[2]) < 0 then done = math.min(done, counts[3] or 0) end
    if (counts[1] or 0) - done >= math.abs(ARGV[2]) then return {replayed, 1} end
    local as_dead = 1
    for f = 1, #found[2], 2 do
      if found[2][f] == 'readings' then as_dead = found[2][f + 1] end
    end
    redis.call('XDEL', dead, ARGV[i])
    redis.call('HINCRBY', meta, 'replayed_entries', 1)
    redis.call('HINCRBY', meta, 'replayed', as_dead)
    local e = redis.call('HINCRBY', meta, 'entries', 1)
    local n = redis.call('HINCRBY', meta, 'accepted', ARGV[i + 1])
    redis.call('XADD', readings, 'MAXLEN', '~', ARGV[1], '*', 'e', e, 'n', n, 'r', ARGV[i + 2])
    replayed = replayed + 1
  end
end
return {replayed, 0}
