"""What must happen at once in Redis, as Lua: each script is atomic, and does all or nothing.

Keys, one set per cluster (`redis_store` makes their names)
    meta     hash: epoch, first (the revision at which it began), revision
    state    hash: key of an entity -> its JSON
    changes  stream: "{revision}-0" -> id (of the commit), changes (JSON), trimmed to the latest ones
    epochs   stream: one entry per epoch begun; wakes those who follow
    leases   sorted set: lease id -> when it is due, in milliseconds of Redis' own clock
    holders  hash: lease id -> key of the entity that holds it
    ids      counter: the last query id reserved
"""

from __future__ import annotations

KEYS = ("meta", "state", "changes", "epochs", "leases", "holders")
"""The order in which every script takes the keys."""

_PRELUDE = """
local meta, state, changes, epochs, leases, holders = unpack(KEYS)
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function text(number) return string.format('%.0f', number) end
local function record(history, id, delta)
  local revision = text(redis.call('HINCRBY', meta, 'revision', 1))
  redis.call('XADD', changes, 'MAXLEN', '=', history, revision .. '-0', 'id', id, 'changes', delta)
  return revision
end
local function begin_epoch(epoch, revision)
  redis.call('HSET', meta, 'epoch', epoch, 'first', revision, 'revision', revision)
  redis.call('XADD', epochs, 'MAXLEN', '=', 8, '*', 'epoch', epoch)
end
-- Ends leases and deletes what holds them, as one change.
local function end_leases(history, id, ended)
  local gone = {}
  for _, lease in ipairs(ended) do
    local key = redis.call('HGET', holders, lease)
    redis.call('ZREM', leases, lease)
    redis.call('HDEL', holders, lease)
    if key and redis.call('HDEL', state, key) == 1 then gone[#gone + 1] = key end
  end
  if #gone == 0 then return nil end
  return record(history, id, cjson.encode({deletes = gone}))
end
"""

LOAD = (
    _PRELUDE
    + """
-- ARGV: an epoch for an empty store
local at = redis.call('HMGET', meta, 'epoch', 'first', 'revision')
if not at[1] then
  local last = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)
  local revision = last[1] and string.match(last[1][1], '^(%d+)') or '0'
  begin_epoch(ARGV[1], revision)
  at = {ARGV[1], revision, revision}
end
local mark = redis.call('XREVRANGE', epochs, '+', '-', 'COUNT', 1)
local entries = redis.call('XRANGE', changes, at[2] .. '-1', '+')
return {at[1], at[2], at[3], redis.call('HGETALL', state), entries, mark[1] and mark[1][1] or '0-0'}
"""
)

BEGIN_EPOCH = (
    _PRELUDE
    + """
-- ARGV: the epoch that ends, the new one
local at = redis.call('HMGET', meta, 'epoch', 'revision')
if at[1] == ARGV[1] then begin_epoch(ARGV[2], at[2]) end
"""
)

COMMIT = (
    _PRELUDE
    + """
-- ARGV: epoch, revision, the revision after it, id, history, lease term in ms, changes,
--       number of puts, (key, JSON)..., number of deletes, key..., number of leases granted, (lease, holder)...,
--       number of leases ended, lease...
local at = redis.call('HMGET', meta, 'epoch', 'revision')
if at[1] ~= ARGV[1] then return {'replaced'} end
if at[2] ~= ARGV[2] then
  local made = redis.call('XRANGE', changes, ARGV[3] .. '-0', ARGV[3] .. '-0')
  if made[1] and made[1][2][2] == ARGV[4] then return {'committed', ARGV[3]} end
  return {'stale', at[2]}
end
local at_arg = 8
local function take()
  local value = ARGV[at_arg]
  at_arg = at_arg + 1
  return value
end
for _ = 1, tonumber(take()) do redis.call('HSET', state, take(), take()) end
for _ = 1, tonumber(take()) do redis.call('HDEL', state, take()) end
local due = now_ms() + ARGV[6]
for _ = 1, tonumber(take()) do
  local lease = take()
  redis.call('ZADD', leases, due, lease)
  redis.call('HSET', holders, lease, take())
end
for _ = 1, tonumber(take()) do
  local lease = take()
  redis.call('ZREM', leases, lease)
  redis.call('HDEL', holders, lease)
end
return {'committed', record(ARGV[5], ARGV[4], ARGV[7])}
"""
)

RENEW = (
    _PRELUDE
    + """
-- ARGV: lease, term in ms
if not redis.call('ZSCORE', leases, ARGV[1]) then return 0 end
redis.call('ZADD', leases, now_ms() + ARGV[2], ARGV[1])
return 1
"""
)

END = (
    _PRELUDE
    + """
-- ARGV: lease, id, history
local revision = end_leases(ARGV[3], ARGV[2], {ARGV[1]})
return revision and {redis.call('HGET', meta, 'epoch'), revision} or false
"""
)

EXPIRE = (
    _PRELUDE
    + """
-- ARGV: id, history. Returns in how many ms the next lease is due; -1 if there is none.
local now = now_ms()
end_leases(ARGV[2], ARGV[1], redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 1000))
local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
return first[2] and math.max(0, first[2] - now) or -1
"""
)
