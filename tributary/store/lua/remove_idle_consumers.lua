#!lua flags=allow-oom
-- remove_idle_consumers: remove the consumers without pending entries.
-- Every start of an aggregator leaves one behind.
--
-- KEYS[1] readings
-- ARGV[1] group, ARGV[2] the consumer that calls and is kept
-- returns how many were removed
-- atomic: removing a consumer discards its pending entries, so none may be delivered to it
-- between the check and the removal. A live consumer is created again by its next read.
-- allow-oom: it only frees memory.
local removed = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local info = {}
  for i = 1, #consumer, 2 do info[consumer[i]] = consumer[i + 1] end
  if info.pending == 0 and info.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], info.name)
    removed = removed + 1
  end
end
return removed
