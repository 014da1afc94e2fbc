#!lua
-- append: number a frame and add it to the stream of its partition.
-- The numbers count all entries (e) and readings (n) ever appended. They make loss exact: a gap
-- shows the reader how much was trimmed before it was read.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] once (optional), KEYS[4] claim (optional)
-- ARGV[1] maximum entries, ARGV[2] maximum unread entries (0: no limit; negative: of those that
-- are not in the history either),
-- ARGV[3] readings in the frame, ARGV[4] frame; with KEYS[3]: ARGV[5] ms to remember it for,
-- ARGV[6] digest of the body, ARGV[7] the response to remember; with KEYS[4]: ARGV[8] ms of the claim
-- returns {number of the entry, number of its last reading}; -1 if too many are unread, -3 if too
-- many are not in the history; -2 if another body has claimed the key; the response remembered
-- under KEYS[3] if the same body was appended before
-- atomic: a number without its entry would count as lost, a response remembered without its
-- entry would be false, and of two concurrent retries only one may append.
local once, claim, unread_max = KEYS[3], KEYS[4], tonumber(ARGV[2])
if once then
  local digest = ARGV[6]
  if claim and (redis.call('GET', claim) or digest) ~= digest then return -2 end
  -- If it is of another body, its claim has expired, and it is overwritten below.
  local remembered = redis.call('GET', once)
  if remembered and string.sub(remembered, 1, #digest) == digest then
    -- A write, so that a WAIT behind it also waits for what the first request wrote.
    redis.call('PEXPIRE', once, ARGV[5])
    return string.sub(remembered, #digest + 1)
  end
end
if unread_max > 0 then
  local counts = redis.call('HMGET', KEYS[2], 'entries', 'done_entries')
  if (counts[1] or 0) - (counts[2] or 0) >= unread_max then
    redis.call('HINCRBY', KEYS[2], 'refused', ARGV[3])
    return -1
  end
elseif unread_max < 0 then
  local counts = redis.call('HMGET', KEYS[2], 'entries', 'done_entries', 'archived_entries')
  local first = (counts[1] or 0) + unread_max
  local is_unread = first >= tonumber(counts[2] or 0)
  if is_unread or first >= tonumber(counts[3] or 0) then
    redis.call('HINCRBY', KEYS[2], 'refused', ARGV[3])
    return is_unread and -1 or -3
  end
end
local entries = redis.call('HINCRBY', KEYS[2], 'entries', 1)
local accepted = redis.call('HINCRBY', KEYS[2], 'accepted', ARGV[3])
local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
  'e', entries, 'n', accepted, 'r', ARGV[4])
if added.err then -- no permission, or a key of another type: scripts do not roll back
  redis.call('HINCRBY', KEYS[2], 'entries', -1)
  redis.call('HINCRBY', KEYS[2], 'accepted', -ARGV[3])
  return added
end
if once then redis.call('SET', once, ARGV[6] .. ARGV[7], 'PX', ARGV[5]) end
if claim then redis.call('SET', claim, ARGV[6], 'PX', ARGV[8], 'NX') end
return {entries, accepted}
