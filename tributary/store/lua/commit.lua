#!lua flags=allow-oom
-- commit: apply one batch of entries to a partition, completely or not at all.
-- Rejected unless the epoch is still the worker's: no one has committed or begun a tenure since.
-- The batch follows hwm without a hole, which the worker ensures (aggregator/tenure.py). So
-- entries are applied in the order of the stream, each once, and everything up to hwm is always
-- applied, except for the rest of the entry that is begun (progress).
--
-- KEYS[1] readings, [2] meta, [3] rows, [4] latest, [5] beyond, [6] devices, [7] dead,
-- [8] buried, [9] free, [10] forgets; of format 2: [11] state, [12] windows:2;
-- [13] counters, [14] quantiles, [15] free_rings, [16] free_short; [17...] the chunks that are
-- written; then, with alerts or a tombstone: alerts, due, transitions
-- ARGV[1] epoch expected, [2] maximum dead entries, [3..5] how many rows of free, free_rings and
-- free_short are used, [6] lists in one argument, since an argument costs as much as what is done
-- with it: meta, rows, latest and beyond as field, value; devices as score, name; dead entries as
--   id, reason, readings, fields packed, how many of its readings are applied; what is written, as
--   number of the chunk in KEYS, offset, bytes; series of which nothing is beyond the rings any
--   more; series that are no longer in format 2; counters and quantiles as field, value; what is
--   added to free, free_rings, free_short; series whose counters and quantiles are dropped; of
--   alerts: states as field, value; series of which every alert is ok; series to look at as score,
--   name; series not to look at; transitions
-- [7] maximum transitions to keep; [8...] with the entry of a tombstone: how the keys of the chunks
--   of state, rings and short rows begin, rows in a chunk of state, rows in a chunk of rings, bytes
--   of a row of rings, rows in a chunk of short rows, cells of a row, bytes of a base, bytes of a
--   short base, id of the tombstone, request, before, then its devices
-- returns 'ok' or 'epoch' (another worker owns the partition)
-- atomic: a crash between raising hwm and counting would lose or double the batch.
-- allow-oom: committing is how a full server drains.
local readings, meta = KEYS[1], KEYS[2]
if (redis.call('HGET', meta, 'epoch') or '') ~= ARGV[1] then return 'epoch' end
local meta_fields, rows, latest, beyond, devices, dead, chunks, within, moved, counters, quantiles,
  free, free_rings, free_short, undeclared, states, ok, looked_at, not_looked_at, changes =
  unpack(cmsgpack.unpack(ARGV[6]))
local freed = {[9] = free, [15] = free_rings, [16] = free_short}
local used = {[9] = ARGV[3], [15] = ARGV[4], [16] = ARGV[5]}
local forgets = ARGV[8]
local has_alerts = #states + #ok + #looked_at + #not_looked_at + #changes > 0
local last = #KEYS - ((has_alerts or forgets) and 3 or 0)
local alerts, due, transitions = KEYS[last + 1], KEYS[last + 2], KEYS[last + 3]
-- A key of another type, or a missing permission, must fail here, before the first write: scripts
-- do not roll back.
for k, list in pairs({[3] = rows, [4] = latest, [5] = beyond}) do
  if #list > 0 then redis.call('HLEN', KEYS[k]) end
end
if #devices > 0 then redis.call('ZCARD', KEYS[6]) end
for k, list in pairs({[13] = counters, [14] = quantiles}) do
  if #list > 0 or #undeclared > 0 then redis.call('HLEN', KEYS[k]) end
end
for k, list in pairs(freed) do
  if used[k] ~= '0' or #list > 0 then redis.call('LTRIM', KEYS[k], 0, -1) end
end
for k = 17, last do redis.call('SETRANGE', KEYS[k], 0, '') end
if alerts then
  redis.call('HDEL', alerts, '')
  redis.call('ZREM', due, '')
  redis.call('ZREM', transitions, '')
end
if forgets then
  for _, k in ipairs({3, 4, 5, 10, 11, 12, 13, 14}) do redis.call('HDEL', KEYS[k], '') end
  redis.call('ZREM', KEYS[6], '')
end
if #dead > 0 then
  redis.call('ZADD', KEYS[8], 'XX', 0, '')
  -- What the stream no longer has need not be remembered.
  local first = redis.call('XRANGE', readings, '-', '+', 'COUNT', 1)[1]
  local before = first and string.match(first[1], '^%d+') or 0
  redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', '(' .. before)
end

-- In chunks, because Lua can unpack only about 8,000 arguments into one call.
local function each(list, command, key)
  for first = 1, #list, 4000 do
    redis.call(command, key, unpack(list, first, math.min(first + 3999, #list)))
  end
end
each(meta_fields, 'HSET', meta)
each(rows, 'HSET', KEYS[3])
each(latest, 'HSET', KEYS[4])
each(beyond, 'HSET', KEYS[5])
each(devices, 'ZADD', KEYS[6])
for i = 1, #dead, 5 do
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[2], '*',
    'id', dead[i], 'reason', dead[i + 1], 'readings', dead[i + 2], 'fields', dead[i + 3])
  redis.call('ZADD', KEYS[8], string.match(dead[i], '^%d+'), dead[i] .. ' ' .. dead[i + 4])
end
for i = 1, #chunks, 3 do
  redis.call('SETRANGE', KEYS[tonumber(chunks[i])], chunks[i + 1], chunks[i + 2])
end
each(within, 'HDEL', KEYS[5])
for k, count in pairs(used) do
  if count ~= '0' then redis.call('LTRIM', KEYS[k], count, -1) end
end

local function end_format_2()
  if redis.call('EXISTS', KEYS[11]) == 0 then redis.call('UNLINK', KEYS[12]) end
end
if #moved > 0 then
  for k = 11, 12 do each(moved, 'HDEL', KEYS[k]) end
  end_format_2()
end
each(counters, 'HSET', KEYS[13])
each(quantiles, 'HSET', KEYS[14])
for k, list in pairs(freed) do each(list, 'RPUSH', KEYS[k]) end
for k = 13, 14 do each(undeclared, 'HDEL', KEYS[k]) end
if has_alerts then
  each(states, 'HSET', alerts)
  each(ok, 'HDEL', alerts)
  each(looked_at, 'ZADD', due)
  each(not_looked_at, 'ZREM', due)
  local number = tonumber(redis.call('HGET', meta, 'transitions') or 0)
  for _, transition in ipairs(changes) do
    number = number + 1
    redis.call('ZADD', transitions, number, transition)
  end
  if #changes > 0 then
    redis.call('HSET', meta, 'transitions', number)
    redis.call('ZREMRANGEBYSCORE', transitions, '-inf', number - ARGV[7])
  end
end
if not forgets then return 'ok' end

-- The series of a device: its document names every metric.
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
  for _, k in ipairs({3, 11}) do
    for _, field in ipairs(redis.call('HKEYS', KEYS[k])) do
      if string.sub(field, 1, #prefix) == prefix then found[#found + 1] = field end
    end
  end
  return found
end

local left, of_state, of_rings, of_short = {}, {}, {}, {}
local function leave(address)
  local short, state, rings = string.match(address, '^(s?)(%d+),?(%d*)$')
  if short == 's' then of_short[#of_short + 1] = tonumber(state) end
  if short ~= '' then return end
  left[#left + 1] = address
  of_state[#of_state + 1] = tonumber(state)
  of_rings[#of_rings + 1] = tonumber(rings) -- nil without rings
end

-- Zero columns of rows, so that nothing is left of them, neighbours at once.
local function zero(rows, prefix, rows_max, columns)
  table.sort(rows)
  local first = 1
  for i = 1, #rows do
    local row = rows[i]
    if rows[i + 1] ~= row + 1 or (row + 1) % rows_max == 0 then
      local key, number = prefix .. math.floor(row / rows_max), rows[first] % rows_max
      for _, column in ipairs(columns) do
        local begin, bytes = column[1] + number * column[2], (i - first + 1) * column[2]
        redis.call('SETRANGE', key, begin, string.rep('\0', bytes))
      end
      first = i + 1
    end
  end
end

local id, before, forgotten = ARGV[18], ARGV[20], {'applied', ARGV[19], ARGV[20]}
for i = 21, #ARGV do
  local device = ARGV[i]
  local document = redis.call('HGET', KEYS[4], device)
  local fields, recorded_at = {}, nil
  if document then fields, recorded_at = series(device, document) end
  if before == '' or type(recorded_at) ~= 'string' or recorded_at < before then
    for n = 1, #fields, 1000 do
      local some = {unpack(fields, n, math.min(n + 999, #fields))}
      for _, place in ipairs(redis.call('HMGET', KEYS[3], unpack(some))) do
        if place then leave(place) end
      end
      for _, k in ipairs({3, 5, 11, 12, 13, 14}) do redis.call('HDEL', KEYS[k], unpack(some)) end
      redis.call('HDEL', alerts, unpack(some))
      redis.call('ZREM', due, unpack(some))
    end
    redis.call('HDEL', KEYS[4], device)
    redis.call('ZREM', KEYS[6], device)
    forgotten[#forgotten + 1] = device
    forgotten[device] = true
  end
end
for _, transition in ipairs(redis.call('ZRANGE', transitions, 0, -1)) do
  local device = string.match(transition, '^{"device":"([^"]*)"')
  if forgotten[device] then redis.call('ZREM', transitions, transition) end
end
local cells = tonumber(ARGV[15])
local function zero_state(rows, prefix, rows_max, base_bytes)
  local columns = {{rows_max * cells * 16, base_bytes}} -- bases, then cells
  for cell = 0, cells - 1 do columns[cell + 2] = {cell * rows_max * 16, 16} end
  zero(rows, prefix, rows_max, columns)
end
zero_state(of_state, ARGV[8], tonumber(ARGV[11]), tonumber(ARGV[16]))
zero_state(of_short, ARGV[10], tonumber(ARGV[14]), tonumber(ARGV[17]))
zero(of_rings, ARGV[9], tonumber(ARGV[12]), {{0, tonumber(ARGV[13])}})
for key, rows in pairs({[KEYS[9]] = left, [KEYS[16]] = of_short}) do
  for n = 1, #rows, 1000 do
    redis.call('RPUSH', key, unpack(rows, n, math.min(n + 999, #rows)))
  end
end
end_format_2()
redis.call('HSET', KEYS[10], id, table.concat(forgotten, '\n'))
redis.call('HINCRBY', meta, 'forgets', 1)
return 'ok'
