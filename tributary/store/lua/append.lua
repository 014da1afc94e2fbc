#!lua
-- append: number frames and add each to the stream of its partition.
-- The numbers count all entries (e) and readings (n) ever appended. They make loss exact: a gap
-- shows the reader how much was trimmed before it was read.
--
-- KEYS[1] readings and KEYS[2] meta of the first frame, then those of the others; behind them once
-- (optional), claim (optional)
-- ARGV[1] maximum entries, ARGV[2] maximum unread entries (0: no limit; negative: of those that
-- are not in the history either), ARGV[3] number of frames, then readings in and bytes of each;
-- with once, behind them: ms to remember it for, digest of the body, the response to remember;
-- with claim: ms of the claim
-- returns for each frame {number of the entry, number of its last reading}, flat, in which the
-- first is -1 if too many are unread, -3 if too many are not in the history, or an error; one
-- error if every frame has one; -2 if another body has claimed the key; the response remembered
-- under `once` if the same body was appended before
-- atomic: a number without its entry would count as lost, a response remembered without its
-- entry would be false, and of two concurrent retries only one may append. A frame that is not
-- appended does not affect the others.
local max, unread_max, frames = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call, rest = redis.call, 2 * frames + 3
local limit = unread_max == 0 and math.huge or math.abs(unread_max)
local once, claim = KEYS[2 * frames + 1], KEYS[2 * frames + 2]
if once then
  local digest = ARGV[rest + 2]
  if claim and (call('GET', claim) or digest) ~= digest then return -2 end
  -- If it is of another body, its claim has expired, and it is overwritten below.
  local remembered = call('GET', once)
  -- A release with stored format 2 remembered the response alone, without the digest.
  local is_format_2 = remembered and string.sub(remembered, 1, 10) == '{"success"'
  if is_format_2 or remembered and string.sub(remembered, 1, #digest) == digest then
    -- A write, so that a WAIT behind it also waits for what the first request wrote.
    call('PEXPIRE', once, ARGV[rest + 1])
    return is_format_2 and remembered or string.sub(remembered, #digest + 1)
  end
end

local function append(readings, meta, count, frame)
  local counts = unread_max >= 0 and call('HMGET', meta, 'entries', 'accepted', 'done_entries')
    or call('HMGET', meta, 'entries', 'accepted', 'done_entries', 'archived_entries')
  local entries, accepted = (counts[1] or 0) + 1, (counts[2] or 0) + count
  local is_unread = entries - (counts[3] or 0) > limit
  if is_unread or unread_max < 0 and entries - (counts[4] or 0) > limit then
    call('HINCRBY', meta, 'refused', count)
    return is_unread and -1 or -3, 0
  end
  -- Converted once; Redis would convert a number for each command that has it.
  local e, n = string.format('%d', entries), string.format('%d', accepted)
  call('HSET', meta, 'entries', e, 'accepted', n)
  local added
  if entries % 32 == 0 then -- trimming each time would cost a tenth more
    added = redis.pcall('XADD', readings, 'MAXLEN', '~', max, '*',
      'e', e, 'n', n, 'r', frame)
  else
    added = redis.pcall('XADD', readings, '*', 'e', e, 'n', n, 'r', frame)
  end
  if added.err then -- no permission, or a key of another type: scripts do not roll back
    call('HSET', meta, 'entries', entries - 1, 'accepted', accepted - count)
    error(added)
  end
  return entries, accepted
end

local reply, failed = {}, 0
for i = 1, 2 * frames, 2 do
  local is_done, entries, accepted = pcall(append, KEYS[i], KEYS[i + 1], ARGV[i + 3], ARGV[i + 4])
  reply[i], reply[i + 1] = entries, accepted or 0
  if not is_done then -- pcall returns the text of the error
    reply[i], failed = {err = entries}, failed + 1
  end
end
if failed == frames then return reply[1] end
if once and reply[1] > 0 then
  call('SET', once, ARGV[rest + 2] .. ARGV[rest + 3], 'PX', ARGV[rest + 1])
  if claim then call('SET', claim, ARGV[rest + 2], 'PX', ARGV[rest + 4], 'NX') end
end
return reply
