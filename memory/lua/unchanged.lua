-- ARGV: the token of the change that a reader saw
-- Answers {'yes'} if nobody has written since, or is about to, {'no'} otherwise.
return {#marks == 0 and redis.call('HGET', state, 'change') == ARGV[1] and 'yes' or 'no'}
