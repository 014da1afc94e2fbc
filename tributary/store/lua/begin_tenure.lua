#!lua flags=allow-oom
-- begin_tenure: make a worker the owner of a partition: everything behind hwm is delivered again.
-- The new epoch ends every other tenure. Without its group, a partition gets a new one at hwm:
-- never at $ (earlier entries would be lost) and never at 0 (they would be counted twice).
-- If the entry that is begun cannot be read, the rest of it is lost.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] buried
-- ARGV[1] group, [2] group of releases with a pending list, [3] new epoch
-- returns {id of the last entry delivered to an earlier owner, '' if none is known; the entry
-- that is begun, or {}; fields and values of meta}
-- atomic: the position and the counts must be those of the epoch. A worker of an earlier release
-- creates its group again at hwm, with an epoch that ends this tenure.
-- allow-oom: a worker that starts while the server is full must be able to drain it.
local readings, meta = KEYS[1], KEYS[2]
local hwm = redis.call('HGET', meta, 'hwm') or '0-0'

local function before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local function named(reply)
  local fields = {}
  for i = 1, #reply, 2 do fields[reply[i]] = reply[i + 1] end
  return fields
end

local delivered = {}
if redis.call('EXISTS', readings) == 1 then
  for _, reply in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
    local group = named(reply)
    delivered[group.name] = group['last-delivered-id']
  end
end
if delivered[ARGV[2]] then redis.call('XGROUP', 'DESTROY', readings, ARGV[2]) end
if delivered[ARGV[1]] then
  redis.call('XGROUP', 'SETID', readings, ARGV[1], hwm)
else
  redis.call('XGROUP', 'CREATE', readings, ARGV[1], hwm, 'MKSTREAM')
end
-- A stream that was deleted begins again at 0: without this, ids below hwm could be issued again.
if before(named(redis.call('XINFO', 'STREAM', readings))['last-generated-id'], hwm) then
  redis.call('XSETID', readings, hwm)
end

local progress = redis.call('HGET', meta, 'progress') or ''
local id = string.match(progress, '^%S+')
local begun = id and redis.call('XRANGE', readings, id, id)[1]
if id and not begun then
  redis.call('ZADD', KEYS[3], string.match(id, '^%d+'), progress)
  redis.call('HINCRBY', meta, 'lost', redis.call('HGET', meta, 'begun') or 0)
  redis.call('HINCRBY', meta, 'lost_entries', 1)
  redis.call('HSET', meta, 'begun', 0, 'begun_entry', 0, 'progress', '')
end
redis.call('HSET', meta, 'epoch', ARGV[3])
return {
  delivered[ARGV[2]] or delivered[ARGV[1]] or '', begun or {}, redis.call('HGETALL', meta),
}
