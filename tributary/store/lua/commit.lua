#!lua flags=allow-oom
-- commit: apply one batch of entries to a partition, completely or not at all.
-- Rejected unless the epoch is still the worker's: no one has committed or begun a tenure since.
-- The batch follows hwm without a hole, which the worker ensures (aggregator/tenure.py). So
-- entries are applied in the order of the stream, each once, and everything up to hwm is always
-- applied, except for the rest of the entry that is begun (progress).
--
-- KEYS[1] readings, [2] meta, [3] state, [4] windows, [5] latest, [6] devices, [7] dead,
-- [8] buried, [9] forgets (only with the entry of a tombstone)
-- ARGV[1] epoch expected, [2] maximum dead entries,
-- ARGV[3..8] length of each list, then the lists:
--   meta, state, windows and latest as field, value; devices as score, name; dead entries as id,
--   reason, readings, fields packed, how many of its readings are applied
-- with KEYS[9], behind the lists: id of the tombstone, request, before, then its devices
-- returns 'ok' or 'epoch' (another worker owns the partition)
-- atomic: a crash between raising hwm and counting would lose or double the batch.
-- allow-oom: committing is how a full server drains.
local readings, meta = KEYS[1], KEYS[2]
if (redis.call('HGET', meta, 'epoch') or '') ~= ARGV[1] then return 'epoch' end
local at = 9
-- A key of another type must fail here, before the first write: scripts do not roll back.
for k = 3, 5 do
  if ARGV[k + 1] ~= '0' then redis.call('HLEN', KEYS[k]) end
end
if ARGV[7] ~= '0' then redis.call('ZCARD', KEYS[6]) end
if KEYS[9] then -- nor must a missing permission
  for _, k in ipairs({3, 4, 5, 9}) do redis.call('HDEL', KEYS[k], '') end
  redis.call('ZREM', KEYS[6], '')
end
if ARGV[8] ~= '0' then
  redis.call('ZADD', KEYS[8], 'XX', 0, '')
  -- What the stream no longer has need not be remembered.
  local first = redis.call('XRANGE', readings, '-', '+', 'COUNT', 1)[1]
  local before = first and string.match(first[1], '^%d+') or 0
  redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', '(' .. before)
end

-- In chunks, because Lua can unpack only about 8,000 arguments into one call.
local function each(count, command, key)
  local last = at + count - 1
  for first = at, last, 4000 do
    redis.call(command, key, unpack(ARGV, first, math.min(first + 3999, last)))
  end
  at = last + 1
end
each(tonumber(ARGV[3]), 'HSET', meta)
each(tonumber(ARGV[4]), 'HSET', KEYS[3])
each(tonumber(ARGV[5]), 'HSET', KEYS[4])
each(tonumber(ARGV[6]), 'HSET', KEYS[5])
each(tonumber(ARGV[7]), 'ZADD', KEYS[6])
for i = at, at + tonumber(ARGV[8]) - 1, 5 do
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[2], '*',
    'id', ARGV[i], 'reason', ARGV[i + 1], 'readings', ARGV[i + 2], 'fields', ARGV[i + 3])
  redis.call('ZADD', KEYS[8], string.match(ARGV[i], '^%d+'), ARGV[i] .. ' ' .. ARGV[i + 4])
end
if not KEYS[9] then return 'ok' end

-- The series of a device, as fields of state and windows: its document names every metric.
local function series(device, document)
  local found, prefix = {}, device .. '|'
  local is_read, body = pcall(cjson.decode, document)
  if is_read and type(body) == 'table' then
    for name in pairs(body) do
      local metric = string.match(name, '^current_(.+)$')
      if metric then found[#found + 1] = prefix .. metric end
    end
    return found, body.recorded_at
  end
  for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
    if string.sub(field, 1, #prefix) == prefix then found[#found + 1] = field end
  end
  return found
end

at = at + tonumber(ARGV[8])
local id, before, forgotten = ARGV[at], ARGV[at + 2], {'applied', ARGV[at + 1], ARGV[at + 2]}
for i = at + 3, #ARGV do
  local device = ARGV[i]
  local document = redis.call('HGET', KEYS[5], device)
  local fields, recorded_at = {}, nil
  if document then fields, recorded_at = series(device, document) end
  if before == '' or type(recorded_at) ~= 'string' or recorded_at < before then
    for n = 1, #fields, 1000 do
      local some = {unpack(fields, n, math.min(n + 999, #fields))}
      redis.call('HDEL', KEYS[3], unpack(some))
      redis.call('HDEL', KEYS[4], unpack(some))
    end
    redis.call('HDEL', KEYS[5], device)
    redis.call('ZREM', KEYS[6], device)
    forgotten[#forgotten + 1] = device
  end
end
redis.call('HSET', KEYS[9], id, table.concat(forgotten, '\n'))
redis.call('HINCRBY', meta, 'forgets', 1)
return 'ok'
