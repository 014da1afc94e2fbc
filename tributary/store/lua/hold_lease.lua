#!lua
-- hold_lease: take a lease that nobody holds, or renew one's own.
--
-- KEYS[1] lease
-- ARGV[1] token of the holder, ARGV[2] ms until it ends
-- returns {1 if it is held now, ms of the clock of the server}
-- atomic: a lease that has ended can be another's before it is renewed.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1, now}
end
if holder then return {0, now} end
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return {1, now}
