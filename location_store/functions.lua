#!lua name=cxmyd_store

-- The server functions of the location store. Each runs whole or not at all; all keys of a call carry the same
-- {partition}, so that a call never leaves its slot. No user text reaches this source: it comes as ARGV only.

-- Compare-and-set of records. KEYS: a bucket. ARGV: three for each record: field, the write counter that the present
-- one must have ('': there must be none), new record ('': remove). Returns the numbers (from 0) of those not written.
local function put(keys, args)
  local fields = {}
  for i = 1, #args, 3 do
    fields[#fields + 1] = args[i]
  end
  local present = redis.call('HMGET', keys[1], unpack(fields))
  local refused, set, removed = {}, {}, {}
  for n, field in ipairs(fields) do
    local record = args[3 * n]
    if (present[n] and string.sub(present[n], 1, 1) or '') ~= args[3 * n - 1] then
      refused[#refused + 1] = n - 1
    elseif record ~= '' then
      set[#set + 1] = field
      set[#set + 1] = record
    elseif present[n] then
      removed[#removed + 1] = field
    end
  end
  if #set > 0 then
    redis.call('HSET', keys[1], unpack(set))
  end
  if #removed > 0 then
    redis.call('HDEL', keys[1], unpack(removed))
  end
  return refused
end

-- Erasure. KEYS: the bucket, then keys to delete. ARGV: field, what is left in place of the record, after its counter.
local function forget(keys, args)
  local present = redis.call('HGET', keys[1], args[1])
  local counter = present and string.byte(present) or 0
  redis.call('HSET', keys[1], args[1], string.char((counter + 1) % 256) .. args[2])
  for i = 2, #keys do
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
