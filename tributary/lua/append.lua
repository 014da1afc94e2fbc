#!lua
-- append: number a frame and add it to the stream of its partition.
-- The numbers count entries (e) and readings (n) ever appended. They are what makes loss exact:
-- a reader that finds a gap in them knows how much was trimmed before it was read.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] once (optional)
-- ARGV[1] most entries kept, ARGV[2] entries that may be unread (0: any number),
-- ARGV[3] readings in the frame, ARGV[4] frame; with KEYS[3]: ARGV[5] ms to remember it,
-- ARGV[6] the answer to remember
-- returns {number of the entry, number of its last reading}; -1 if too much is unread; the answer
-- remembered under KEYS[3] if the same request was appended before
-- atomic: a number without its entry would look like a lost entry, an answer remembered without
-- its entry would be a lie, and two retries at once must not both be new.
local once, unread_max = KEYS[3], tonumber(ARGV[2])
if once then
  local answered = redis.call('GET', once)
  if answered then
    -- A write, so that a WAIT after it waits for what the first time has written, too.
    redis.call('PEXPIRE', once, ARGV[5])
    return answered
  end
end
if unread_max > 0 then
  local counts = redis.call('HMGET', KEYS[2], 'entries', 'done_entries')
  if (counts[1] or 0) - (counts[2] or 0) >= unread_max then
    redis.call('HINCRBY', KEYS[2], 'refused', ARGV[3])
    return -1
  end
end
local entries = redis.call('HINCRBY', KEYS[2], 'entries', 1)
local accepted = redis.call('HINCRBY', KEYS[2], 'accepted', ARGV[3])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'e', entries, 'n', accepted, 'r', ARGV[4])
if once then redis.call('SET', once, ARGV[6], 'PX', ARGV[5]) end
return {entries, accepted}
