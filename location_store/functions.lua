#!lua name=cxmyd_store

-- The server functions of the location store. Each runs whole or not at all; all keys of a call carry the same
-- {partition}, so that a call never leaves its slot. No user text reaches this source: it comes as ARGV only.

-- Compare-and-set of hash fields. KEYS: the hashes. ARGV[1]: seconds until they expire ('0': never), refreshed by
-- a write; then four for each update: number of its key, field, the bytes the present value must begin with ('':
-- there must be none), new value ('': remove). Returns the numbers (from 0) of the updates that were not made.
local function put(keys, args)
  local refused, written = {}, {}
  for i = 2, #args, 4 do
    local at = tonumber(args[i])
    local key, field, expected, value = keys[at], args[i + 1], args[i + 2], args[i + 3]
    local present = redis.call('HGET', key, field)
    local matches
    if present then
      matches = expected ~= '' and string.sub(present, 1, #expected) == expected
    else
      matches = expected == ''
    end
    if not matches then
      refused[#refused + 1] = (i - 2) / 4
    elseif value ~= '' then
      redis.call('HSET', key, field, value)
      written[at] = true
    elseif present then
      redis.call('HDEL', key, field)
    end
  end
  if args[1] ~= '0' then
    for at in pairs(written) do
      redis.call('EXPIRE', keys[at], args[1])
    end
  end
  return refused
end

-- Erasure. KEYS: the hash of histories, the hash of subscribers, then keys to delete. ARGV: field, what is left
-- in place of the subscriber's record.
local function forget(keys, args)
  redis.call('HDEL', keys[1], args[1])
  redis.call('HSET', keys[2], args[1], args[2])
  for i = 3, #keys do
    redis.call('DEL', keys[i])
  end
  return 1
end

-- The number of a name in a registry, given out in order from 0. KEYS: the registry. ARGV: name, most numbers.
-- Returns -1 when they are used up.
local function enumerate(keys, args)
  local number = redis.call('HGET', keys[1], args[1])
  if number then
    return tonumber(number)
  end
  local next_number = redis.call('HLEN', keys[1])
  if next_number >= tonumber(args[2]) then
    return -1
  end
  redis.call('HSET', keys[1], args[1], next_number)
  return next_number
end

-- A lease, taken or extended. KEYS: the lease. ARGV: owner, milliseconds until it ends by itself. Returns who
-- holds it if that is another, and false if it is the owner from now on.
local function hold(keys, args)
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] then
    return holder
  end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return false
end

-- The end of a lease, unless another holds it. KEYS: the lease. ARGV: owner.
local function release(keys, args)
  if redis.call('GET', keys[1]) == args[1] then
    redis.call('DEL', keys[1])
  end
  return 1
end

redis.register_function('cxmyd_put', put)
redis.register_function('cxmyd_forget', forget)
redis.register_function('cxmyd_enumerate', enumerate)
redis.register_function('cxmyd_hold', hold)
redis.register_function('cxmyd_release', release)
