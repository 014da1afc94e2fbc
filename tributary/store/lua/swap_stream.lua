#!lua
-- swap_stream: copy the last entries of a stream, and replace it by its copy.
-- For a stream of readings, every aggregator must begin a new tenure, which creates the group again:
-- what it has read and not committed is delivered again.
--
-- KEYS[1] stream, KEYS[2] copy; of readings: KEYS[3] meta, KEYS[4] holes
-- ARGV[1] number of entries that the copy has, [2] id of the last one ('' if none),
-- [3] id behind which nothing is copied yet, [4] maximum entries to copy now,
-- [5] greatest id that was left out ('0-0' if none); of readings: [6] new epoch,
-- [7] smallest id that was left out, [8] how many, [9] readings of other devices in them
-- returns 'ok'; 'more' if too many entries are not copied yet; 'changed' as copy_entries
-- atomic: an entry appended between the two would be lost.
local stream, copy, meta, holes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local last = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
if redis.call('XLEN', copy) ~= tonumber(ARGV[1]) or (last and last[1] or '') ~= ARGV[2] then
  return 'changed'
end

local function before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local tail = redis.call('XRANGE', stream, '(' .. ARGV[3], '+', 'COUNT', ARGV[4] + 1)
if #tail > tonumber(ARGV[4]) then return 'more' end
for _, entry in ipairs(tail) do redis.call('XADD', copy, entry[1], unpack(entry[2])) end
local info, reply = {}, redis.call('XINFO', 'STREAM', stream)
for i = 1, #reply, 2 do info[reply[i]] = reply[i + 1] end
local newest, deleted = info['last-generated-id'], info['max-deleted-entry-id']
if before(deleted, ARGV[5]) then deleted = ARGV[5] end
if redis.call('EXISTS', copy) == 0 then -- a stream without entries, but with the last id
  redis.call('XADD', copy, newest, 'f', 'v')
  redis.call('XDEL', copy, newest)
end
redis.call('XSETID', copy, newest, 'ENTRIESADDED', info['entries-added'], 'MAXDELETEDID', deleted)
redis.call('UNLINK', stream)
redis.call('RENAME', copy, stream)
if not meta then return 'ok' end

redis.call('HSET', meta, 'epoch', ARGV[6])
if tonumber(ARGV[8]) > 0 then
  local found = redis.call('HMGET', holes, 'first', 'last')
  if not found[1] or before(ARGV[7], found[1]) then redis.call('HSET', holes, 'first', ARGV[7]) end
  if not found[2] or before(found[2], ARGV[5]) then redis.call('HSET', holes, 'last', ARGV[5]) end
  redis.call('HINCRBY', holes, 'entries', ARGV[8])
  redis.call('HINCRBY', holes, 'readings', ARGV[9])
end
return 'ok'
