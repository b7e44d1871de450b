#!lua name=cxmyd_gateway_@V@
-- The gateway's server functions. Each call touches the keys of one subscriber, or of one park shard: one slot.
-- @V@ is the digest of this text, so that old and new gateways run side by side during a rolling upgrade.

local function clock_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The line: a subscriber's messages that wait for their turn, or to be parked, in whatever processes, by their marks and in
-- the order in which they came: {mark, until_ms}. Nobody has to keep a place alive: it lapses when the message must have
-- been parked.

local function line_of(packed)
  local line, now_ms = {}, clock_ms()
  for _, each in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if each[2] > now_ms then line[#line + 1] = each end
  end
  return line
end

local function place_in(line, mark)
  for place, each in ipairs(line) do
    if each[1] == mark then return place end
  end
end

local function line_up(key, line, mark, waits_ms)
  if place_in(line, mark) then return end
  line[#line + 1] = {mark, clock_ms() + waits_ms}
  redis.call('SET', key, cmsgpack.pack(line), 'PX', waits_ms)
end

local function others_first(line, mark)
  return line and #line > 0 and line[1][1] ~= mark
end

local function leave(key, line, mark)
  local place = place_in(line, mark)
  if not place then return end
  table.remove(line, place)
  if #line == 0 then redis.call('DEL', key) else redis.call('SET', key, cmsgpack.pack(line), 'KEEPTTL') end
end

-- Whether earlier messages are parked. What is listed counts until its time to live is over: a name that was left behind
-- blocks nobody for longer.
local function behind(key)
  local parked = redis.call('HVALS', key)
  if #parked == 0 then return false end
  local now_ms = clock_ms()
  for _, expires_ms in ipairs(parked) do
    if tonumber(expires_ms) > now_ms then return true end
  end
  return false
end

-- A turn begins: one round trip for all that a conversation needs.
-- keys: state, lease, mark, bucket of the record, parked, line;
-- args: field, token, lease_ms, waits_ms, process, '1' when the message comes from the SMSC and not from the park
-- -> {2} this very message was answered within the redelivery window; or is in good hands otherwise, which only counts for
--    a message that comes from the SMSC
--    {1} another process has this subscriber's turn, or messages that came before wait for it: this one waits in line
--    {3} earlier messages of his are parked: this one goes behind them, and leaves the line once it is marked as parked
--    {0, state, record} the turn is ours until the lease ends
-- A process has one turn of a subscriber at a time, so a lease of its own is one whose begin it was never answered.
-- What is parked came before whatever waits in line, and need not wait there.
local function begin(keys, args)
  local mark, holder, state, packed = unpack(redis.call('MGET', keys[3], keys[2], keys[1], keys[6]))
  local fresh = args[6] == '1'
  local line, how = packed and line_of(packed), 0
  local ours = holder and string.sub(holder, 1, #args[5]) == args[5]
  if mark == '1' or (mark and fresh) then
    how = 2
  elseif fresh and not ours and others_first(line, keys[3]) then
    how = 1
  elseif fresh and behind(keys[5]) then
    how = 3
  elseif holder and not ours then
    how = 1
  end
  if fresh and (how == 1 or how == 3) then
    line_up(keys[6], line or {}, keys[3], args[4])
  elseif line then
    leave(keys[6], line, keys[3])
  end
  if how ~= 0 then return {how} end
  redis.call('SET', keys[2], args[2], 'PX', args[3])
  return {0, state, redis.call('HGET', keys[4], args[1])}
end

-- A message waits in its process for one before it: it takes its place among those of all processes.
-- keys: line, mark; args: waits_ms
local function wait(keys, args) line_up(keys[1], line_of(redis.call('GET', keys[1])), keys[2], args[1]) end

-- The dialog moves on before the question that it asks leaves, so that the reply is understood whatever happens to us.
-- keys: state, lease; args: token, state ('' = none), ttl_s -> 1, or 0 when the lease had ended
local function keep(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then return 0 end
  if args[2] == '' then redis.call('DEL', keys[1]) else redis.call('SET', keys[1], args[2], 'EX', args[3]) end
  return 1
end

-- A subscriber's messages in the park, by name: to say the same twice changes nothing.
-- keys: parked; args: name, expires_ms ('0' = it is gone), ttl_s -> how many there are
local function tally(keys, args)
  if args[2] == '0' then
    redis.call('HDEL', keys[1], args[1])
  else
    redis.call('HSET', keys[1], args[1], args[2])
    redis.call('EXPIRE', keys[1], args[3])
  end
  return redis.call('HLEN', keys[1])
end

-- A message is parked, and held where its first attempt is still under way.
-- keys: waiting, hold, count of all that ever were; args: most entries ('' = any number), token, hold_ms ('0' = not held), field, value, ...
-- -> {entries, id, count}, or {entries} when there are as many as there may be
local function park(keys, args)
  local entries = redis.call('XLEN', keys[1])
  if args[1] ~= '' and entries >= tonumber(args[1]) then return {entries} end
  local fields = {}
  for i = 4, #args do fields[#fields + 1] = args[i] end
  local id = redis.call('XADD', keys[1], '*', unpack(fields))
  if args[3] ~= '0' then redis.call('SET', keys[2], args[2], 'PX', args[3]) end
  return {entries + 1, id, redis.call('INCR', keys[3])}
end

-- A parked message is gone, and all that was kept about it. keys: waiting, tries, hold; args: id -> 1, or 0 if it was gone before
local function unpark(keys, args)
  redis.call('HDEL', keys[2], args[1], args[1] .. '/s')
  redis.call('DEL', keys[3])
  return redis.call('XDEL', keys[1], args[1])
end

-- What becomes of a message beside its turn: '1' it was answered; '0' it is in good hands, parked or dead, so that a
-- redelivery is neither. An answered one stays that.
-- keys: mark, line; args: mark, mark_ms -> 1, or 0 when it had one
local function mark(keys, args)
  local packed = redis.call('GET', keys[2])
  if packed then leave(keys[2], line_of(packed), keys[1]) end
  if args[1] == '0' and redis.call('EXISTS', keys[1]) == 1 then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- A turn ends: the message is marked as answered, the dialog moves on, the next one may begin.
-- keys: state, lease, mark; args: token, mark_ms, state ('' = unchanged), ttl_s (0 = no state any more),
--       mark
-- -> 1, or 0 when the lease had ended (whoever has the turn now writes the state; ours is void)
local function finish(keys, args)
  redis.call('SET', keys[3], args[5], 'PX', args[2])
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

-- keys: lease of a park shard, count of all that were ever parked there; args: token, lease_ms
-- -> {1 when the lease is ours, newly or still, else 0, count}
local function own(keys, args)
  local count = tonumber(redis.call('GET', keys[2]) or '0')
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] then return {0, count} end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return {1, count}
end

-- One part of a long message. All of one sender are in one hash: '' lists them, the oldest first, each
-- {name, expires_ms, octets, total, joined}; name and index name a part, whose first octets (the mark) are equal for equal content.
-- keys: parts; args: name, index, total, part, octets of the mark, ttl_ms, most messages, most octets
-- -> {messages given up, all parts in order}, or {messages given up} while parts are missing, or {-1}: refused, for no limit
--    has room for this message
local function join(keys, args)
  local key, name, part, most_octets, now_ms = keys[1], args[1], args[4], tonumber(args[8]), clock_ms()
  local listed = redis.call('HGET', key, '')
  local messages, ours, octets, given_up = {}, nil, 0, 0

  local function fields(message)
    local all = {}
    for i = 1, message[4] do all[i] = message[1] .. string.char(i) end
    return unpack(all)
  end

  local function drop(message)
    redis.call('HDEL', key, fields(message))
    if not message[5] then given_up = given_up + 1 end
  end

  for _, message in ipairs(listed and cmsgpack.unpack(listed) or {}) do
    if message[2] <= now_ms then
      drop(message)
    elseif message[1] == name then
      ours = message
    else
      messages[#messages + 1] = message
      octets = octets + message[3]
    end
  end

  local field = name .. string.char(args[2])
  local had = ours and redis.call('HGET', key, field)
  if had and string.sub(had, 1, args[5]) ~= string.sub(part, 1, args[5]) then
    drop(ours) -- a new message under the old one's reference
    ours, had = nil, nil
  end
  ours = ours or {name, 0, 0, tonumber(args[3]), false}
  ours[2] = now_ms + args[6]
  if not had then
    ours[3] = ours[3] + #part
    redis.call('HSET', key, field, part)
  end
  local all = redis.call('HMGET', key, fields(ours))
  local refused = ours[3] > most_octets
  if refused then
    redis.call('HDEL', key, fields(ours))
  else
    ours[5] = true
    for i = 1, #all do ours[5] = ours[5] and all[i] and true end
    while #messages >= tonumber(args[7]) or octets + ours[3] > most_octets do
      octets = octets - messages[1][3]
      drop(table.remove(messages, 1))
    end
    messages[#messages + 1] = ours
  end
  redis.call('HSET', key, '', cmsgpack.pack(messages))
  redis.call('PEXPIRE', key, args[6])
  if refused then return {-1} end
  if not ours[5] then return {given_up} end
  return {given_up, unpack(all)}
end

-- A parked message becomes a dead letter. keys: waiting, tries, hold, dead; args: id, most dead letters, field, value, ...
-- -> 1, or 0 if it is gone
local function bury(keys, args)
  local found = redis.call('XRANGE', keys[1], args[1], args[1])
  if #found == 0 then return 0 end
  local fields, seen = {}, {}
  for i = 3, #args, 2 do
    fields[#fields + 1] = args[i]
    fields[#fields + 1] = args[i + 1]
    seen[args[i]] = true
  end
  fields[#fields + 1] = 'n'
  fields[#fields + 1] = redis.call('HGET', keys[2], args[1]) or '0'
  local old = found[1][2]
  for i = 1, #old, 2 do
    if not seen[old[i]] then
      fields[#fields + 1] = old[i]
      fields[#fields + 1] = old[i + 1]
    end
  end
  redis.call('XADD', keys[4], 'MAXLEN', '~', args[2], '*', unpack(fields))
  return unpark(keys, args)
end

-- Parts that an SMSC accepted. keys: sums, the bucket of each; args: ttl_s, value, the field of each
local function note(keys, args)
  for i = 2, #keys do
    redis.call('HSET', keys[i], args[i + 1], args[2])
    redis.call('EXPIRE', keys[i], args[1], 'NX')
  end
  redis.call('HINCRBY', keys[1], 'no_word', #keys - 1)
  redis.call('EXPIRE', keys[1], args[1], 'NX')
end

-- A receipt: its message moves on to a state, if that may follow the one it has (the first octet of the value).
-- keys: the bucket of each day, in the order of looking, the sums of each day;
-- args: field, code of the new state, its name, code and name of the states it may follow, a failure to count ('' = none),
--       most sums
-- -> {index of the bucket, value before, 1 if it moved on}, or nil when there is no such message
local function settle(keys, args)
  for i = 1, #keys / 2 do
    local value = redis.call('HGET', keys[i], args[1])
    if value then
      local before
      for code, name in string.gmatch(args[4], '(%S)(%S+)') do
        if code == string.sub(value, 1, 1) then before = name end
      end
      if not before then return {i, value, 0} end
      redis.call('HSET', keys[i], args[1], args[2] .. string.sub(value, 2))
      local sums, failure = keys[i + #keys / 2], args[5]
      redis.call('HINCRBY', sums, before, -1)
      redis.call('HINCRBY', sums, args[3], 1)
      if failure ~= '' then
        if redis.call('HLEN', sums) >= tonumber(args[6]) and redis.call('HEXISTS', sums, failure) == 0 then
          failure = 'failed:' .. args[3] .. ':other'
        end
        redis.call('HINCRBY', sums, failure, 1)
      end
      return {i, value, 1}
    end
  end
  return nil
end

-- Whether a call would be taken now: no keys, no effect, refused where any write would be.
local function alive() return 1 end

redis.register_function('cxmyd_alive_@V@', alive)
redis.register_function('cxmyd_begin_@V@', begin)
redis.register_function('cxmyd_wait_@V@', wait)
redis.register_function('cxmyd_keep_@V@', keep)
redis.register_function('cxmyd_tally_@V@', tally)
redis.register_function('cxmyd_mark_@V@', mark)
redis.register_function('cxmyd_finish_@V@', finish)
redis.register_function('cxmyd_lease_@V@', lease)
redis.register_function('cxmyd_own_@V@', own)
redis.register_function('cxmyd_join_@V@', join)
redis.register_function('cxmyd_park_@V@', park)
redis.register_function('cxmyd_unpark_@V@', unpark)
redis.register_function('cxmyd_bury_@V@', bury)
redis.register_function('cxmyd_note_@V@', note)
redis.register_function('cxmyd_settle_@V@', settle)
