#!lua flags=allow-oom
-- raise_format: state that the data may be of a newer format, so that older releases do not start.
--
-- KEYS[1] config
-- ARGV[1] format that may be raised, ARGV[2] format to set
-- returns the format of the data, or nil
-- atomic: another process may raise it as well.
-- allow-oom: a worker that starts while the server is full must be able to drain it.
if redis.call('HGET', KEYS[1], 'format') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'format', ARGV[2])
end
return redis.call('HGET', KEYS[1], 'format')
