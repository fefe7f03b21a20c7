"""How selection state lies in Redis: names of keys, and what must happen at once, as Lua. Text only: no driver.

Shared by frontends, which learn, and managers, which show, set and forget.

Keys, per application; a generation is the cluster revision at which the application got its policy
    selection:{application}                        hash: generation, the newest that anybody has seen
    selection:{application}:{generation}           hash: the application's own state
    selection:{application}:{generation}@{context} hash: the state of one user or session; expires when not taught
    selection:{application}:{generation}:contexts  sorted set: context -> when it was last taught, in ms
    feedback:{application}:{generation}:{token}    a feedback that was taken; expires
    shown:{query id}                               what was shown for a query; expires
    shown                                          list: ids of the queries that are remembered, oldest first
    shadow:{application}:{model}                   hash: counters of a shadow
    selection-changes                              channel: every change, as JSON (see `_PRELUDE`)

A state's fields are the policy's names with their numbers, and two of our own, which start with "#": "#revision" grows
by one with each change, "#observations" counts what it was taught.
"""

from __future__ import annotations

from dataclasses import dataclass

REVISION = "#revision"
OBSERVATIONS = "#observations"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one cluster's keys."""

    cluster: str

    @property
    def channel(self) -> str:
        """Where changes are told."""
        return f"clipper:{self.cluster}:selection-changes"

    def head(self, application: str) -> str:
        """Which generation of an application's state is in use."""
        return f"clipper:{self.cluster}:selection:{application}"

    def state(self, application: str, generation: int) -> str:
        """An application's own state."""
        return f"{self.head(application)}:{generation}"

    def context_prefix(self, application: str, generation: int) -> str:
        """What the names of contexts' states start with; the context follows."""
        return f"{self.state(application, generation)}@"

    def contexts(self, application: str, generation: int) -> str:
        """The contexts that there are."""
        return f"{self.state(application, generation)}:contexts"

    def token(self, application: str, generation: int, token: str) -> str:
        """A feedback that was taken."""
        return f"clipper:{self.cluster}:feedback:{application}:{generation}:{token}"

    @property
    def shown(self) -> str:
        """The ids of remembered queries."""
        return f"clipper:{self.cluster}:shown"

    @property
    def shown_prefix(self) -> str:
        """What the names of remembered queries start with; the id follows."""
        return f"{self.shown}:"

    def shadow(self, application: str, model: str) -> str:
        """The counters of a shadow."""
        return f"clipper:{self.cluster}:shadow:{application}:{model}"


_PRELUDE = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Numbers travel as text: cjson would round them.
local function tell(channel, application, generation, states, dropped)
  local message = {application = application, generation = generation, states = states, dropped = dropped}
  local text = cjson.encode(message)
  redis.call('PUBLISH', channel, text)
  return text
end
local function text(number) return string.format('%.0f', number) end
-- Revisions of a state that begins anew go on from the time, so that they never fall.
local function next_revision(key)
  local time = redis.call('TIME')
  redis.call('HSETNX', key, '#revision', text(time[1] * 1000000 + tonumber(time[2])))
  return text(redis.call('HINCRBY', key, '#revision', 1))
end
local function own(name) return string.sub(name, 1, 1) == '#' end
local function all_of(key)
  local found, values = redis.call('HGETALL', key), {}
  for at = 1, #found, 2 do
    if not own(found[at]) then values[found[at]] = found[at + 1] end
  end
  return values
end
local function unlink_contexts(prefix, contexts)
  for at = 1, #contexts, 2 do redis.call('UNLINK', prefix .. contexts[at]) end
end
"""

LEARN = (
    _PRELUDE
    + """
-- KEYS: head, the application's state, contexts, token, the context's state
-- ARGV: generation, channel, application, context, token, token's life in ms, context's life in ms, most contexts,
--       prefix of contexts' states, what to teach the application's state, and the context's: JSON
--       {"add": {name: number}, "bounds": [[spread, [name...]]...], "start": {name: number}}
local head, state, contexts, taken, own_state = unpack(KEYS)
local generation, channel, application, context, token = unpack(ARGV, 1, 5)
local known = redis.call('HGET', head, 'generation')
if known and tonumber(known) > tonumber(generation) then return {'stale', known} end
if token ~= '' and redis.call('EXISTS', taken) == 1 then return {'duplicate', ''} end
if known ~= generation then
  redis.call('HSET', head, 'generation', generation)
  redis.call('PERSIST', head)
end

local function bound(key, spread, names, touched)
  local values, top = redis.call('HMGET', key, unpack(names)), nil
  for at = 1, #names do
    values[at] = tonumber(values[at] or '0')
    if not top or values[at] > top then top = values[at] end
  end
  for at, name in ipairs(names) do
    local value = math.max(values[at], top - spread) - top
    if value ~= values[at] then
      local text = string.format('%.17g', value)
      redis.call('HSET', key, name, text)
      touched[name] = text
    end
  end
end

local function teach(key, whose, change)
  local is_new, touched = redis.call('EXISTS', key) == 0, {}
  if is_new then
    for name, value in pairs(change.start) do redis.call('HSET', key, name, value) end
  end
  for name, by in pairs(change.add) do touched[name] = redis.call('HINCRBYFLOAT', key, name, by) end
  for _, each in ipairs(change.bounds) do bound(key, tonumber(each[1]), each[2], touched) end
  return {
    context = whose, whole = is_new,
    revision = next_revision(key),
    observations = redis.call('HINCRBY', key, '#observations', 1),
    values = is_new and all_of(key) or touched,
  }
end

local states, dropped = {teach(state, '', cjson.decode(ARGV[10]))}, {}
if context ~= '' then
  local now, prefix = now_ms(), ARGV[9]
  states[2] = teach(own_state, context, cjson.decode(ARGV[11]))
  redis.call('PEXPIRE', own_state, ARGV[7])
  redis.call('ZADD', contexts, now, context)
  redis.call('PEXPIRE', contexts, ARGV[7])
  redis.call('ZREMRANGEBYSCORE', contexts, '-inf', now - ARGV[7])
  local excess = redis.call('ZCARD', contexts) - tonumber(ARGV[8])
  if excess > 0 then
    local oldest = redis.call('ZPOPMIN', contexts, math.min(excess, 100))
    unlink_contexts(prefix, oldest)
    for at = 1, #oldest, 2 do dropped[#dropped + 1] = oldest[at] end
  end
end
if token ~= '' then redis.call('SET', taken, '1', 'PX', ARGV[6]) end
return {'learned', tell(channel, application, generation, states, dropped)}
"""
)
"""Teaches an application's state, and that of a context, once per token. All or nothing."""

SET = (
    _PRELUDE
    + """
-- KEYS: head, the state, contexts
-- ARGV: generation, channel, application, context, observations, values as JSON {name: number}, context's life in ms
local head, state, contexts = unpack(KEYS)
local generation, channel, application, context = unpack(ARGV, 1, 4)
local known = redis.call('HGET', head, 'generation')
if known and tonumber(known) > tonumber(generation) then return 0 end
local revision = redis.call('HGET', state, '#revision')
redis.call('HSET', head, 'generation', generation)
redis.call('PERSIST', head)
redis.call('UNLINK', state)
local values = cjson.decode(ARGV[6])
for name, value in pairs(values) do redis.call('HSET', state, name, value) end
if revision then redis.call('HSET', state, '#revision', revision) end
redis.call('HSET', state, '#observations', ARGV[5])
if context ~= '' then
  redis.call('PEXPIRE', state, ARGV[7])
  redis.call('ZADD', contexts, now_ms(), context)
  redis.call('PEXPIRE', contexts, ARGV[7])
end
tell(channel, application, generation, {{
  context = context, whole = true, revision = next_revision(state), observations = tonumber(ARGV[5]), values = values,
}}, {})
return 1
"""
)
"""Replaces one state by given numbers."""

FORGET = (
    _PRELUDE
    + """
-- KEYS: head, the application's state, contexts
-- ARGV: generation whose states go, generation from now on, channel, application, life of the head in ms (0: for ever),
--       prefix of contexts' states, a context: that one goes alone
-- Returns how many contexts are still to go: call it again.
local head, state, contexts = unpack(KEYS)
local generation, next_generation, channel, application = unpack(ARGV, 1, 4)
if ARGV[7] ~= '' then
  redis.call('UNLINK', ARGV[6] .. ARGV[7])
  redis.call('ZREM', contexts, ARGV[7])
  tell(channel, application, generation, {}, {ARGV[7]})
  return 0
end
local known = redis.call('HGET', head, 'generation')
if not known or tonumber(known) < tonumber(next_generation) then
  redis.call('HSET', head, 'generation', next_generation)
end
if ARGV[5] ~= '0' then redis.call('PEXPIRE', head, ARGV[5]) end
redis.call('UNLINK', state)
unlink_contexts(ARGV[6], redis.call('ZPOPMIN', contexts, 500))
tell(channel, application, generation, {}, {''})
return redis.call('ZCARD', contexts)
"""
)
"""Forgets what an application has learned: "" among the dropped contexts stands for all of its states."""

REMEMBER = """
-- KEYS: the list of remembered queries
-- ARGV: prefix, life in ms, most, then id and record of each
local prefix, life, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
for at = 4, #ARGV, 2 do
  redis.call('SET', prefix .. ARGV[at], ARGV[at + 1], 'PX', life)
  redis.call('RPUSH', KEYS[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], life)
local excess = redis.call('LLEN', KEYS[1]) - most
if excess > 0 then
  for _, id in ipairs(redis.call('LPOP', KEYS[1], math.min(excess, 5000))) do redis.call('UNLINK', prefix .. id) end
end
return 1
"""
"""Remembers what was shown for some queries."""
