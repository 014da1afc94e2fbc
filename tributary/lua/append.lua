#!lua
-- append: number a frame and add it to the stream of its partition.
-- The numbers count entries (e) and readings (n) ever appended. They are what makes loss exact:
-- a reader that finds a gap in them knows how much was trimmed before it was read.
--
-- KEYS[1] readings, KEYS[2] meta
-- ARGV[1] most entries kept, ARGV[2] readings in the frame, ARGV[3] frame
-- returns the number of the entry
-- atomic: a number without its entry would look like a lost entry.
local entries = redis.call('HINCRBY', KEYS[2], 'entries', 1)
local accepted = redis.call('HINCRBY', KEYS[2], 'accepted', ARGV[2])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'e', entries, 'n', accepted, 'r', ARGV[3])
return entries
