#!lua flags=no-writes
-- scan_rows: some series of a partition, and which of those with rings are silent.
--
-- KEYS[1] rows
-- ARGV[1] cursor, [2] about how many series, [3] how the keys of the chunks of state begin (they
--   have the same hash tag), [4] rows in a chunk of state, [5] cells of a row, [6] time, UTC ms
-- returns {next cursor, series}, the latter flat: the field in `rows` and its value, and 1 if it has
--   rings and no reading at or after the time, else 0
-- atomic: a row may be given to another series at any time.
local rows_max, cells, since_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

-- The newest reading of a series is in one of its cells.
local function is_silent(row)
  local key, first = ARGV[3] .. math.floor(row / rows_max), row % rows_max
  for cell = 0, cells - 1 do
    local begin = (cell * rows_max + first) * 16
    local packed = redis.call('GETRANGE', key, begin, begin + 7)
    if #packed < 8 or struct.unpack('<i8', packed) >= since_ms then return 0 end
  end
  return 1
end

local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for n = 1, #page[2], 2 do
  local address = page[2][n + 1]
  local row = string.match(address, '^(%d+),%d+$')
  found[#found + 1], found[#found + 2] = page[2][n], address
  found[#found + 1] = row and is_silent(tonumber(row)) or 0
end
return {page[1], found}
