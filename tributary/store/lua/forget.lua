#!lua flags=allow-oom
-- forget: remove the consumers that hold nothing, for each start of an aggregator leaves one.
--
-- KEYS[1] readings
-- ARGV[1] group, ARGV[2] the consumer that asks, which stays
-- returns how many were removed
-- atomic: removing a consumer discards what is pending with it, so nothing may be handed to it
-- between the look and the removal. One that is alive after all comes back with its next read.
-- allow-oom: what only frees memory must not wait for it.
local removed = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local told = {}
  for i = 1, #consumer, 2 do told[consumer[i]] = consumer[i + 1] end
  if told.pending == 0 and told.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], told.name)
    removed = removed + 1
  end
end
return removed
