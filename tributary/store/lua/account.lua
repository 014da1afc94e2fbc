#!lua flags=no-writes
-- account: all counts of a partition as of one moment.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] devices, KEYS[4] rows, KEYS[5] state (format 2)
-- ARGV[1] and further: the fields of meta to return
-- returns {values of the fields, entries in the stream, devices, series, ms now, unread, begun,
-- unarchived}
--   unread: the oldest entry behind hwm that append wrote, as {id, e, n, r}; r is '' unless
--     entries before it are gone (then its readings show how many those had); {} if none
--   begun: id of the entry that is begun, or ''; every other one that is not applied is behind hwm
--   unarchived: id of the oldest entry behind those in the history, or ''
-- atomic: counts read one after the other would not add up while readings arrive.
local readings, meta = KEYS[1], KEYS[2]
local FOREIGN_MAX = 100 -- foreign entries to skip; behind more of them nothing is found

local function field(values, name)
  for i = 1, #values, 2 do
    if values[i] == name then return values[i + 1] end
  end
end

local function unread(after, done)
  for _ = 1, FOREIGN_MAX do
    local found = redis.call('XRANGE', readings, '(' .. after, '+', 'COUNT', 1)[1]
    if not found then return {} end
    local e, n = field(found[2], 'e'), field(found[2], 'n')
    if e and n then
      local is_next = tonumber(e) == done + 1
      -- A tombstone contains no reading, like an empty frame.
      local r = field(found[2], 'r') or (field(found[2], 'f') and '\144' or '')
      return {found[1], e, n, is_next and '' or r}
    end
    after = found[1]
  end
  return {}
end

local time = redis.call('TIME')
local where = redis.call('HMGET', meta, 'hwm', 'done_entries', 'archived_id', 'progress')
local unarchived = redis.call('XRANGE', readings, '(' .. (where[3] or '0-0'), '+', 'COUNT', 1)[1]
return {
  redis.call('HMGET', meta, unpack(ARGV)),
  redis.call('XLEN', readings),
  redis.call('ZCARD', KEYS[3]),
  redis.call('HLEN', KEYS[4]) + redis.call('HLEN', KEYS[5]),
  time[1] * 1000 + math.floor(time[2] / 1000),
  unread(where[1] or '0-0', tonumber(where[2] or 0)),
  string.match(where[4] or '', '^%S*'),
  unarchived and unarchived[1] or '',
}
