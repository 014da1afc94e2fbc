#!lua
-- release_lease: end one's own lease, so that another can take it at once.
--
-- KEYS[1] lease
-- ARGV[1] token of the holder
-- returns 1 if it was held
-- atomic: a lease that has ended can be another's before it is deleted.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
