#!lua flags=no-writes
-- read_series: the aggregates of series as of one moment, with documents and counts.
--
-- KEYS[1] meta, KEYS[2] latest, KEYS[3] rows, KEYS[4] beyond;
-- of format 2: KEYS[5] state, KEYS[6] windows, KEYS[7] windows:2;
-- KEYS[8] counters, KEYS[9] quantiles
-- ARGV[1], ARGV[2] how the keys of the chunks of state and rings begin; they are not in
--   KEYS, since which ones are read depends on `rows`, but have the same hash tag
-- ARGV[3] rows in a chunk of state, ARGV[4] rows in a chunk of rings, ARGV[5] bytes of a row of rings
-- ARGV[6] number of fields of meta, ARGV[7] of devices, ARGV[8] of counters, ARGV[9] of
--   series with quantiles, then these and all series
-- returns {values of the fields, documents, series, chunks of state, counters, quantiles}, series
--   and chunks flat:
--   for each series its rows, or false in format 2; its field of state in format 2, or false; its
--   rings, or false; what is beyond them, or false
--   for each chunk of state with one of the rows its number and itself
-- atomic: a row may be given to another series at any time.
local rows_max, ring_rows, ring = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local at = 10

-- In chunks, because Lua can unpack only about 8,000 arguments into one call.
local function take(count, key)
  local found = {}
  for first = at, at + count - 1, 4000 do
    local upto = math.min(first + 3999, at + count - 1)
    for _, value in ipairs(redis.call('HMGET', key, unpack(ARGV, first, upto))) do
      found[#found + 1] = value
    end
  end
  at = at + count
  return found
end

local function rings(row)
  local begin = row % ring_rows * ring
  local key = ARGV[2] .. math.floor(row / ring_rows)
  return redis.call('GETRANGE', key, begin, begin + ring - 1)
end

local found = {take(tonumber(ARGV[6]), KEYS[1]), take(tonumber(ARGV[7]), KEYS[2]), {}, {}}
for n = 8, 9 do found[n - 3] = take(tonumber(ARGV[n]), KEYS[n]) end
local series, chunks, first, number, is_read = found[3], found[4], at - 1, 0, {}
local addresses = take(#ARGV - at + 1, KEYS[3])
local is_beyond = redis.call('EXISTS', KEYS[4]) == 1
local is_old = redis.call('EXISTS', KEYS[5]) == 1
local windows = is_old and redis.call('TYPE', KEYS[6]).ok == 'hash' and KEYS[6] or KEYS[7]
for i, address in ipairs(addresses) do
  local state, of_rings, beyond = false, false, false
  if address then
    local row, ring_row = string.match(address, '^(%d+),?(%d*)$')
    local chunk = row and math.floor(row / rows_max)
    if chunk and not is_read[chunk] then
      is_read[chunk] = true
      chunks[#chunks + 1] = chunk
      chunks[#chunks + 1] = redis.call('GET', ARGV[1] .. chunk)
    end
    of_rings = row and ring_row ~= '' and rings(ring_row)
    beyond = is_beyond and redis.call('HGET', KEYS[4], ARGV[first + i])
  elseif is_old then
    state = redis.call('HGET', KEYS[5], ARGV[first + i])
    of_rings = state and redis.call('HGET', windows, ARGV[first + i])
  end
  series[number + 1], series[number + 2] = address, state
  series[number + 3], series[number + 4] = of_rings or false, beyond
  number = number + 4
end
return found
