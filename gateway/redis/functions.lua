#!lua name=cxmyd_gateway_@V@
-- The gateway's server functions. Each call touches the keys of one subscriber, or of one park shard: one slot.
-- @V@ is the digest of this text, so that old and new gateways run side by side during a rolling upgrade.

-- A turn begins: one round trip for all that a conversation needs.
-- keys: state, lease, mark, bucket of the record, parked;
-- args: field, token, lease_ms, process, '1' when the message comes from the SMSC and not from the park
-- -> {2} this very message was answered within the redelivery window
--    {1} another process has this subscriber's turn
--    {3} earlier messages of his are parked: this one goes behind them
--    {0, state, record} the turn is ours until the lease ends
-- A process has one turn of a subscriber at a time, so a lease of its own is one whose begin it was never answered.
local function begin(keys, args)
  if redis.call('EXISTS', keys[3]) == 1 then return {2} end
  if args[5] == '1' and redis.call('EXISTS', keys[5]) == 1 then return {3} end
  local holder = redis.call('GET', keys[2])
  if holder and string.sub(holder, 1, #args[4]) ~= args[4] then return {1} end
  redis.call('SET', keys[2], args[2], 'PX', args[3])
  return {0, redis.call('GET', keys[1]), redis.call('HGET', keys[4], args[1])}
end

-- The dialog moves on before the question that it asks leaves, so that the reply is understood whatever happens to us.
-- keys: state, lease; args: token, state ('' = none), ttl_s -> 1, or 0 when the lease had ended
local function keep(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then return 0 end
  if args[2] == '' then redis.call('DEL', keys[1]) else redis.call('SET', keys[1], args[2], 'EX', args[3]) end
  return 1
end

-- keys: parked; args: 1 or -1, ttl_s
local function tally(keys, args)
  local count = redis.call('INCRBY', keys[1], args[1])
  if count <= 0 then redis.call('DEL', keys[1]) else redis.call('EXPIRE', keys[1], args[2]) end
  return count
end

-- A turn ends: the message is marked as answered, the dialog moves on, the next one may begin.
-- keys: state, lease, mark; args: token, mark_ms, state ('' = unchanged), ttl_s (0 = no state any more)
-- -> 1, or 0 when the lease had ended (whoever has the turn now writes the state; ours is void)
local function finish(keys, args)
  redis.call('SET', keys[3], '1', 'PX', args[2])
  if redis.call('GET', keys[2]) ~= args[1] then return 0 end
  if args[4] == '0' then
    redis.call('DEL', keys[1])
  elseif args[3] ~= '' then
    redis.call('SET', keys[1], args[3], 'EX', args[4])
  end
  redis.call('DEL', keys[2])
  return 1
end

-- keys: lease; args: token, lease_ms ('0' = give it back) -> 1 if it was ours
local function lease(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then return 0 end
  if args[2] == '0' then return redis.call('DEL', keys[1]) end
  return redis.call('PEXPIRE', keys[1], args[2])
end

-- keys: lease; args: token, lease_ms -> 1 when the lease is ours, newly or still
local function own(keys, args)
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- One part of a long message. keys: parts; args: index, total, payload, ttl_ms -> all parts in order, or nil
local function join(keys, args)
  redis.call('HSET', keys[1], args[1], args[3])
  redis.call('PEXPIRE', keys[1], args[4])
  if redis.call('HLEN', keys[1]) < tonumber(args[2]) then return nil end
  local all = {}
  for i = 1, tonumber(args[2]) do all[i] = redis.call('HGET', keys[1], i) end
  return all
end

-- An entry changes streams (waiting -> dead, or back). keys: from, to; args: id, field, value, ... -> 1, or 0 if it is gone
local function move(keys, args)
  local found = redis.call('XRANGE', keys[1], args[1], args[1])
  if #found == 0 then return 0 end
  local fields, seen = {}, {}
  for i = 2, #args, 2 do
    fields[#fields + 1] = args[i]
    fields[#fields + 1] = args[i + 1]
    seen[args[i]] = true
  end
  local old = found[1][2]
  for i = 1, #old, 2 do
    if not seen[old[i]] then
      fields[#fields + 1] = old[i]
      fields[#fields + 1] = old[i + 1]
    end
  end
  redis.call('XADD', keys[2], '*', unpack(fields))
  redis.call('XDEL', keys[1], args[1])
  return 1
end

redis.register_function('cxmyd_begin_@V@', begin)
redis.register_function('cxmyd_keep_@V@', keep)
redis.register_function('cxmyd_tally_@V@', tally)
redis.register_function('cxmyd_finish_@V@', finish)
redis.register_function('cxmyd_lease_@V@', lease)
redis.register_function('cxmyd_own_@V@', own)
redis.register_function('cxmyd_join_@V@', join)
redis.register_function('cxmyd_move_@V@', move)
