#!lua
-- copy_entries: copy entries of a stream to another one, with their ids, without some of them.
-- XDEL only marks entries: their bytes stay in memory and in every file until all entries near
-- them are deleted. So a stream is copied in steps, and the copy replaces it (swap_stream).
--
-- KEYS[1] stream, KEYS[2] copy
-- ARGV[1] number of entries that the copy has, [2] id of the last one ('' if none),
-- [3], [4] first and last id to copy, [5] how many ids to leave out, the ids, then for each
-- dead entry that is changed: id, readings, fields packed
-- returns {number of entries in the copy, id of the last one}, or 'changed' if it is not as
-- expected: another process works on it
-- atomic: two processes that copy at once would leave out entries.
local stream, copy = KEYS[1], KEYS[2]
local last = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
if redis.call('XLEN', copy) ~= tonumber(ARGV[1]) or (last and last[1] or '') ~= ARGV[2] then
  return 'changed'
end
local out, changed = {}, {}
for i = 6, 5 + tonumber(ARGV[5]) do out[ARGV[i]] = true end
for i = 6 + tonumber(ARGV[5]), #ARGV, 3 do changed[ARGV[i]] = {ARGV[i + 1], ARGV[i + 2]} end
local top = ARGV[2]
for _, entry in ipairs(redis.call('XRANGE', stream, ARGV[3], ARGV[4])) do
  local id, fields = entry[1], entry[2]
  if not out[id] then
    if changed[id] then
      for i = 1, #fields, 2 do
        if fields[i] == 'readings' then fields[i + 1] = changed[id][1] end
        if fields[i] == 'fields' then fields[i + 1] = changed[id][2] end
      end
    end
    redis.call('XADD', copy, id, unpack(fields))
    top = id
  end
end
return {redis.call('XLEN', copy), top}
