#!lua flags=no-writes
-- read_series: the aggregates of series as of one moment, with documents and counts.
--
-- KEYS[1] meta, KEYS[2] latest, KEYS[3] rows, KEYS[4] beyond;
-- of format 2: KEYS[5] state, KEYS[6] windows, KEYS[7] windows:2;
-- KEYS[8] counters, KEYS[9] quantiles
-- ARGV[1], ARGV[2], ARGV[3] how the keys of the chunks of state, rings and short rows begin; they
--   are not in KEYS, since which ones are read depends on `rows`, but have the same hash tag
-- ARGV[4] rows in a chunk of state, ARGV[5] rows in a chunk of rings, ARGV[6] bytes of a row of
--   rings, ARGV[7] rows in a chunk of short rows
-- ARGV[8] number of fields of meta, ARGV[9] of devices, ARGV[10] of counters, ARGV[11] of series
--   with quantiles, then these and all series
-- returns {values of the fields, documents, series, chunks of state, counters, quantiles}, series
--   and chunks flat:
--   for each series its rows, or false in format 2; its field of state in format 2, or false; its
--   rings, or false; what is beyond them, or false
--   for each chunk of state with one of the rows its number, -1 - number if its rows are short,
--   and itself
-- atomic: a row may be given to another series at any time.
local rows_max, ring_rows, ring = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local short_rows = tonumber(ARGV[7])
local at = 12

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

local found = {take(tonumber(ARGV[8]), KEYS[1]), take(tonumber(ARGV[9]), KEYS[2]), {}, {}}
for n = 10, 11 do found[n - 5] = take(tonumber(ARGV[n]), KEYS[n - 2]) end
local series, chunks, first, last, is_read = found[3], found[4], at - 1, 0, {}
local addresses = take(#ARGV - at + 1, KEYS[3])
local is_beyond = redis.call('EXISTS', KEYS[4]) == 1
local is_old = redis.call('EXISTS', KEYS[5]) == 1
local windows = is_old and redis.call('TYPE', KEYS[6]).ok == 'hash' and KEYS[6] or KEYS[7]
for i, address in ipairs(addresses) do
  local state, of_rings, beyond = false, false, false
  if address then
    local short, row, ring_row = string.match(address, '^(s?)(%d+),?(%d*)$')
    local is_short = short == 's'
    local chunk = row and math.floor(row / (is_short and short_rows or rows_max))
    local number = chunk and (is_short and -1 - chunk or chunk)
    if chunk and not is_read[number] then
      is_read[number] = true
      chunks[#chunks + 1] = number
      chunks[#chunks + 1] = redis.call('GET', ARGV[is_short and 3 or 1] .. chunk)
    end
    of_rings = row and ring_row ~= '' and rings(ring_row)
    beyond = is_beyond and redis.call('HGET', KEYS[4], ARGV[first + i])
  elseif is_old then
    state = redis.call('HGET', KEYS[5], ARGV[first + i])
    of_rings = state and redis.call('HGET', windows, ARGV[first + i])
  end
  series[last + 1], series[last + 2] = address, state
  series[last + 3], series[last + 4] = of_rings or false, beyond
  last = last + 4
end
return found
