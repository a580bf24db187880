"""What a store on a Redis server asks of it, without any I/O: the keys, the scripts, and a plan for each method.

What one session has lives under keys with one hash tag, so that a cluster keeps it in one place, and each step on it is
one script on the server. Beside the sessions, under keys of their own:

    {index}:polled              each session's id, by the end of its lease: where to look for one that nobody polls
    {index}:order               each session's id, by when it began
    {index}:held:machine/pid    the sessions that a process polls, so that its death is seen at once where it ran
    {index}:on:machine          the processes of a machine that poll
    {conversation}:in           the sessions that have a conversation
    {index}:workers             what the workers say of themselves

These are hints; the truth is in the session, and whoever meets a wrong hint corrects it.

Leases live on the server's time line: each script is told when the client sent it, and shifts its times by that.
Every script may be repeated, for an answer that was lost says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from hashlib import sha1
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote

from attrs import Factory, define, field, frozen

from puzzel_chat._errors import InvalidArgument, StoreError
from puzzel_chat._models import Life
from puzzel_chat._owners import is_gone, owner_name
from puzzel_chat._store import SEEN, Right, StoredConversation, StoredSession, Unread, WorkerInfo
from puzzel_chat._tokens import TokenSet

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_Result = TypeVar("_Result")
Call: TypeAlias = tuple[Any, ...]
"""One command for the server; a `Script` and `SENT` in it are replaced when it is sent."""
Plan: TypeAlias = Generator[list[Call], list[Any], _Result]
"""Yields the commands of a round trip, gets their replies, and returns what the store's method returns."""
SENT = object()
"""Stands for the time of sending."""
LONGEST = 120.0
"""Seconds; a lease that ends later than that was given by a clock that ran ahead, or is longer than any of ours."""
LOOKED_AT = 1000
"""Sessions that one look goes through at most."""
ROUND = 500
"""Commands that go out together at most."""
_NO_LEASE = 1e12
"""Above every time: the hint of a session that nobody need poll is this and when it may be forgotten."""
_LIVES: dict[object, Any] = {life.value: life for life in Life}
_TOKEN = ("access", "refresh", "generation", "ttl", "obtained", "visitor_id")
_CLOSED = (
    "The session store at {0} has tokens of session {1} that cannot be read: they are damaged, or encrypted with a key"
    " that is not among encryption_keys. Give that key, or forget the session: delete({1!r}) of the store does that."
)
_UNREADABLE = "an item that no encryption key opens"


@frozen
class Script:
    """A script of the server; before version 7 it has no flags in its first line."""

    text: str
    old_text: str
    sha: str
    old_sha: str

    @property
    def only_reads(self) -> bool:
        """Whether it changes nothing."""
        return self.text.partition("\n")[0].endswith(_READS)


SCRIPTS: list[Script] = []
"""All of them, for a server that has none yet."""


def _script(flags: str, body: str, common: str) -> Script:
    old = f"{common}{body}"
    new = f"#!lua{flags}\n{old}"
    made = Script(new, old, *(sha1(one.encode(), usedforsecurity=False).hexdigest() for one in (new, old)))
    SCRIPTS.append(made)
    return made


_TIME = """
local function moment(now, sent)
    local time = redis.call('TIME')
    local ahead = time[1] + time[2] / 1000000 - tonumber(sent)
    -- Less is the way, and no clock of its own.
    if math.abs(ahead) < 1 then ahead = 0 end
    return tonumber(now) + ahead
end
local function exact(number) return string.format('%.6f', number) end
"""
_SESSION = (
    _TIME
    + """
local session, conversations, unread, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function last(seconds)
    for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, seconds) end
end
local function begin()
    local time = redis.call('TIME')
    redis.call('HSETNX', session, 'began', time[1] * 1000000 + time[2])
end
local function has(right)
    local kept = redis.call('HMGET', session, right .. '_owner', right .. '_until', right .. '_length')
    local ends = tonumber(kept[2])
    if not kept[1] or not ends then return false, 0, 0 end
    return kept[1], ends, tonumber(kept[3]) or 0
end
local function give(right, owner, now, seconds)
    redis.call('HSET', session, right .. '_owner', owner, right .. '_until', exact(now + seconds),
        right .. '_length', seconds)
end
local function taken(owner, ends, length, now, seconds)
    return owner and now < ends and ends <= now + 2 * math.max(length, seconds)
end
local function place(life, from)
    for n = from, #ARGV do
        if ARGV[n] == life then return n end
    end
    return 0
end
local function note(id, life, asked, lives)
    local kept = redis.call('HGET', conversations, id)
    if kept then
        local gap = string.find(kept, ' ', 1, true)
        local before = gap and string.sub(kept, 1, gap - 1) or kept
        if place(before, lives) > place(life, lives) then life = before end
        if asked == '' and gap then asked = string.sub(kept, gap) end
    end
    redis.call('HSET', conversations, id, life .. asked)
end
"""
)
_RENEWS, _READS, _WRITES = " flags=allow-oom", " flags=no-writes", ""

_TOKENS = """
local ttl, generation, tokens = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local known = redis.call('EXISTS', session) == 1
local kept = tonumber(redis.call('HGET', session, 'generation') or '')
if (known and kept and generation <= kept) or (not known and generation ~= 1) then return 0 end
redis.call('HSET', session, 'generation', ARGV[2], 'tokens', tokens)
if not known then begin() end
last(ttl)
"""
_BEGIN = _script(_WRITES, _TOKENS, _SESSION)
# On a full server, too: they take the place of older ones, and without them the chat is lost.
_SAVE_TOKENS = _script(_RENEWS, _TOKENS, _SESSION)
_ACQUIRE = _script(
    _RENEWS,
    """
local ttl, right, me, seconds, gone = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6]), ARGV[7]
if redis.call('EXISTS', session) == 0 then return {} end
local now = moment(ARGV[4], ARGV[5])
local owner, ends, length = has(right)
if owner ~= me and owner ~= gone and taken(owner, ends, length, now, seconds) then
    return {owner, exact(ends)}
end
give(right, me, now, seconds)
last(ttl)
return {me, exact(now + seconds)}
""",
    _SESSION,
)
_RENEW = _script(
    _RENEWS,
    """
local ttl, right, me, seconds = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
local owner, ends = has(right)
if owner ~= me then return {0, redis.call('EXISTS', session), exact(ends)} end
local now = moment(ARGV[4], ARGV[5])
give(right, me, now, seconds)
last(ttl)
-- What leads to this session must last as long as it does.
local renewed = tonumber(redis.call('HGET', session, 'renewed') or '')
if right ~= 'poll' or (renewed and math.abs(now - renewed) < ttl / 4) then return {1} end
redis.call('HSET', session, 'renewed', exact(now))
return {1, unpack(redis.call('HKEYS', conversations))}
""",
    _SESSION,
)
_RELEASE = _script(
    _RENEWS,
    """
local right, me = ARGV[1], ARGV[2]
if has(right) == me then
    redis.call('HDEL', session, right .. '_owner', right .. '_until', right .. '_length')
end
""",
    _SESSION,
)
_STATE = _script(
    _READS,
    """
if redis.call('EXISTS', session) == 0 then return {0} end
local now, seconds = moment(ARGV[1], ARGV[2]), tonumber(ARGV[3])
local owner, ends, length = has('poll')
local goes_on = 0
for _, kept in ipairs(redis.call('HVALS', conversations)) do
    if string.match(kept, '^[^ ]*') ~= ARGV[4] then goes_on = 1 end
end
if not taken(owner, ends, length, now, seconds) then owner = false end
return {1, goes_on, owner, exact(ends), exact(now)}
""",
    _SESSION,
)
_DELETE = _script(
    _RENEWS,
    """
local owner = has('poll')
redis.call('DEL', unpack(KEYS))
return owner
""",
    _SESSION,
)
_LOAD = _script(
    _READS,
    """
return {redis.call('HGETALL', session), redis.call('HGETALL', conversations), redis.call('HGETALL', unread),
    redis.call('ZRANGE', seen, 0, -1)}
""",
    _SESSION,
)
_CONVERSATION = _script(
    _WRITES,
    """
local ttl, id, life, asked = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', session) == 0 then return 0 end
note(id, life, asked, 5)
last(ttl)
return 1
""",
    _SESSION,
)
_WITHDRAW = _script(
    _RENEWS,
    """
local id, life = ARGV[1], ARGV[2]
local kept = redis.call('HGET', conversations, id)
if not kept or string.match(kept, '^[^ ]*') ~= life then return 0 end
redis.call('HDEL', conversations, id)
return 1
""",
    _SESSION,
)
_JOURNAL = _script(
    _WRITES,
    """
local ttl, me = ARGV[1], ARGV[2]
if has('poll') ~= me then return 0 end
if ARGV[3] == '' then redis.call('HDEL', session, 'cursor')
else redis.call('HSET', session, 'cursor', string.sub(ARGV[3], 2)) end
for n = 4, #ARGV, 2 do redis.call('HSETNX', unread, ARGV[n], ARGV[n + 1]) end
last(ttl)
return 1
""",
    _SESSION,
)
_ACKNOWLEDGE = _script(
    _RENEWS,
    """
local ttl, me, seq, item, of_it, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if has('poll') ~= me then return 0 end
redis.call('HDEL', unread, seq)
local newest = redis.call('ZREVRANGE', seen, 0, 0, 'WITHSCORES')
local number = (tonumber(newest[2]) or 0) + 1
-- Only now and then, for it reads every item of the session.
if redis.call('ZADD', seen, 'NX', number, item) == 1 and number % 256 == 0 and redis.call('ZCARD', seen) > most then
    local kept = {}
    for _, one in ipairs(redis.call('ZRANGE', seen, 0, -1)) do
        if string.sub(one, 1, #of_it) == of_it then kept[#kept + 1] = one end
    end
    for n = 1, #kept - most do redis.call('ZREM', seen, kept[n]) end
end
last(ttl)
return 1
""",
    _SESSION,
)
_PUT_BACK = _script(
    _WRITES,
    """
local ttl, me, seconds = ARGV[1], ARGV[2], tonumber(ARGV[5])
local known = redis.call('EXISTS', session) == 1
if known and has('poll') ~= me then return 0 end
local kept = tonumber(redis.call('HGET', session, 'generation') or '')
if not kept or tonumber(ARGV[6]) > kept then
    redis.call('HSET', session, 'generation', ARGV[6], 'tokens', ARGV[7])
end
if not known then begin() end
give('poll', me, moment(ARGV[3], ARGV[4]), seconds)
if ARGV[8] == '' then redis.call('HDEL', session, 'cursor')
else redis.call('HSET', session, 'cursor', string.sub(ARGV[8], 2)) end
local n, talks, rows, marks = 12, tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local lives = n + 3 * talks + 2 * rows + marks
for _ = 1, talks do
    note(ARGV[n], ARGV[n + 1], ARGV[n + 2], lives)
    n = n + 3
end
redis.call('DEL', unread)
for _ = 1, rows do
    redis.call('HSET', unread, ARGV[n], ARGV[n + 1])
    n = n + 2
end
local newest = redis.call('ZREVRANGE', seen, 0, 0, 'WITHSCORES')
local number = tonumber(newest[2]) or 0
for _ = 1, marks do
    number = number + 1
    redis.call('ZADD', seen, 'NX', number, ARGV[n])
    n = n + 1
end
last(ttl)
return 1
""",
    _SESSION,
)
_INDEX = (
    _TIME
    + """
local polled, order, began = KEYS[1], KEYS[2], KEYS[3]
local function list(id)
    if not redis.call('ZSCORE', order, id) then redis.call('ZADD', order, redis.call('INCR', began), id) end
end
"""
)
_HINT = _script(
    _RENEWS,
    """
local id, seconds, ttl, process = ARGV[1], ARGV[4], ARGV[5], ARGV[6]
redis.call('ZADD', polled, exact(moment(ARGV[2], ARGV[3]) + seconds), id)
list(id)
redis.call('SADD', KEYS[4], id)
redis.call('SADD', KEYS[5], process)
redis.call('EXPIRE', KEYS[4], ttl)
redis.call('EXPIRE', KEYS[5], ttl)
""",
    _INDEX,
)
_ENLIST = _script(
    _WRITES,
    """
local id, idle = ARGV[1], ARGV[2]
redis.call('ZADD', polled, 'NX', exact(redis.call('TIME')[1] + idle), id)
list(id)
""",
    _INDEX,
)
_SCORE = _script(_RENEWS, "redis.call('ZADD', polled, 'XX', ARGV[1], ARGV[2])", _INDEX)
_WAKE = _script(
    _RENEWS,
    """
local id, idle = ARGV[1], tonumber(ARGV[2])
local hint = redis.call('ZSCORE', polled, id)
if hint and tonumber(hint) >= idle then redis.call('ZADD', polled, 0, id) end
""",
    _INDEX,
)
_LOOK = _script(
    _READS,
    """
local now, longest, most, idle = moment(ARGV[1], ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local found, numbers = {}, {}
-- What is over, what a clock that ran ahead left behind, and what may be forgotten.
for _, from in ipairs({{'-inf', exact(now)}, {'(' .. exact(now + longest), '(' .. idle}, {idle, exact(now + idle)}}) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', polled, from[1], from[2], 'LIMIT', 0, ARGV[6])) do
        found[#found + 1] = id
        numbers[id] = tonumber(redis.call('ZSCORE', order, id) or 0)
    end
end
table.sort(found, function(one, other) return numbers[one] < numbers[other] end)
return {unpack(found, 1, math.min(#found, most))}
""",
    _INDEX,
)
_LEAD = _script(
    _RENEWS,
    """
redis.call('SADD', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
""",
    "",
)
_REPORT = _script(
    _RENEWS,
    """
local key, ttl, name, seconds = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[5])
local now = moment(ARGV[3], ARGV[4])
local rows = redis.call('HGETALL', key)
for n = 1, #rows, 2 do
    local ends = tonumber(string.match(rows[n + 1], '^[^ ]*'))
    -- Some time later, for the clocks of two that ask may differ.
    if not ends or ends + 60 < now then redis.call('HDEL', key, rows[n]) end
end
if seconds <= 0 then return redis.call('HDEL', key, name) end
redis.call('HSET', key, name, exact(now + seconds) .. ' ' .. ARGV[6])
redis.call('EXPIRE', key, ttl)
""",
    _TIME,
)
_WORKERS = _script(
    _READS,
    """
local key, now = KEYS[1], moment(ARGV[1], ARGV[2])
local rows, found = redis.call('HGETALL', key), {}
for n = 1, #rows, 2 do
    local ends, told = string.match(rows[n + 1], '^([^ ]*) (.*)$')
    if ends and (tonumber(ends) or 0) > now then found[#found + 1] = told end
end
return found
""",
    _TIME,
)


@define
class Seal:
    """How tokens and people's words are written: as they are, or encrypted."""

    keys: MultiFernet | None = None

    def closed(self, text: str) -> bytes:
        """Return what is written for a text."""
        return text.encode() if self.keys is None else self.keys.encrypt(text.encode())

    def opened(self, kept: bytes) -> str | None:
        """Return the text, or None when no key opens it."""
        if self.keys is None:
            # What begins otherwise is no JSON of ours, and most likely encrypted.
            return _text(kept) if kept[:1] in (b"{", b"[") else None
        from cryptography.fernet import InvalidToken

        try:
            return _text(self.keys.decrypt(kept))
        except InvalidToken:
            return None


@frozen
class Plans:
    """What each method of the store asks of the server, and what it makes of the replies."""

    prefix: str
    ttl: int
    place: str
    seal: Seal = field(repr=False)
    _index: tuple[str, ...] = field(init=False, default=Factory(lambda self: _index_keys(self.prefix), takes_self=True))

    # Each is the method of the same name of `Store`.

    def sessions(self, now: float, seconds: float) -> Plan[dict[str, bool]]:
        (told,) = yield [("ZRANGE", self._index[1], 0, -1)]
        ids = [_text(one) for one in told]
        taken: dict[str, bool] = {}
        for some in _chunks(ids):
            states = yield [self._state(one, now, seconds) for one in some]
            taken |= {one: _taken(state) for one, state in zip(some, states, strict=True) if state[0]}
        if gone := [one for one in ids if one not in taken]:
            yield self._forgotten(*gone)
        return taken

    def load(self, session_id: str) -> Plan[StoredSession | None]:
        ((session, conversations, unread, seen),) = yield [self._on(_LOAD, session_id)]
        if not session:
            return None
        kept = _pairs(session)
        cursor = kept.get("cursor")
        found = StoredSession(
            id=session_id,
            tokens=self._tokens(session_id, kept.get("tokens")),
            cursor=None if cursor is None else _text(cursor),
            conversations=_conversations(conversations),
        )
        for seq, row in sorted(((_place(one), row) for one, row in _couples(unread)), key=_in_order):
            found.unread[seq] = self._unread(seq, row)
        for item in seen:
            conversation_id, item_id, mark = _marked(item)
            found.seen.setdefault(conversation_id, []).append((item_id, mark))
        return found

    def save_tokens(self, session_id: str, tokens: TokenSet) -> Plan[None]:
        kept = (session_id, self.ttl, tokens.generation, self.seal.closed(json.dumps(tokens.to_dict())))
        if tokens.generation > 1:
            yield [self._on(_SAVE_TOKENS, *kept)]
        else:
            # The hint first: what is cut off between the two leaves a hint to nothing, no session that nobody finds.
            yield [self._in_index(_ENLIST, session_id, _NO_LEASE + self.ttl), self._on(_BEGIN, *kept)]

    def tokens(self, session_id: str) -> Plan[TokenSet | None]:
        ((known, kept),) = yield [("HMGET", self._keys(session_id)[0], "generation", "tokens")]
        return None if known is None and kept is None else self._tokens(session_id, kept)

    def conversations(self, session_id: str) -> Plan[dict[str, StoredConversation]]:
        (found,) = yield [("HGETALL", self._keys(session_id)[1])]
        return _conversations(found)

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> Plan[None]:
        told = _told(conversation)
        (_, known, _) = yield [
            self._lead(conversation.id, session_id),
            self._on(_CONVERSATION, session_id, self.ttl, *told, *Life),
            self._in_index(_WAKE, session_id, _NO_LEASE),
        ]
        if not known:
            yield [self._misled(conversation.id, session_id)]

    def find(self, conversation_id: str) -> Plan[str | None]:
        (told,) = yield [("SMEMBERS", self._leads(conversation_id))]
        if not told:
            return None
        ids = [_text(one) for one in told]
        has = [("HEXISTS", self._keys(one)[1], conversation_id) for one in ids]
        began = [("HGET", self._keys(one)[0], "began") for one in ids]
        replies = yield [*has, *began]
        found = [(int(replies[len(ids) + n] or 0), one) for n, one in enumerate(ids) if replies[n]]
        return max(found)[1] if found else None

    def unpolled(self, now: float, seconds: float, most: int) -> Plan[list[str]]:
        yield from self._free_the_dead()
        found: list[str] = []
        met: set[str] = set()
        while len(found) < most:
            look = (now, SENT, max(2 * seconds, LONGEST), most + len(met), f"{_NO_LEASE:.0f}", LOOKED_AT)
            (told,) = yield [self._in_index(_LOOK, *look)]
            ids = [one for one in map(_text, told) if one not in met]
            if not ids:
                break
            met.update(ids)
            states = yield [self._state(one, now, seconds) for one in ids]
            corrections: list[Call] = []
            for one, state in zip(ids, states, strict=True):
                if state[0] and state[1] and not _taken(state):
                    found.append(one)
                else:
                    corrections += self._corrected(one, state)
            if corrections:
                yield corrections
        return found[:most]

    def _free_the_dead(self) -> Plan[None]:
        """Give the hint that the sessions of this machine's dead processes are free."""
        machine = _process(owner_name())[0]
        (pids,) = yield [("SMEMBERS", self._on_machine(machine))]
        for process in [(machine, _text(pid)) for pid in pids]:
            if is_gone(f"{process[0]}/{process[1]}/"):
                held = self._held(process)
                (ids,) = yield [("SMEMBERS", held)]
                yield [self._scored(_text(one), 0) for one in ids]
                yield [("DEL", held), ("SREM", self._on_machine(machine), process[1])]

    def report(self, worker: WorkerInfo, now: float, seconds: float) -> Plan[None]:
        told = (self.ttl, worker.name, now, SENT, seconds, json.dumps(worker.to_dict()))
        yield [("EVALSHA", _REPORT, 1, self._workers, *told)]

    def workers(self, now: float) -> Plan[list[WorkerInfo]]:
        (rows,) = yield [("EVALSHA", _WORKERS, 1, self._workers, now, SENT)]
        found: list[WorkerInfo] = []
        for row in rows:
            with suppress(ValueError, RecursionError, InvalidArgument):
                found.append(WorkerInfo.from_dict(json.loads(row)))
        return sorted(found, key=lambda one: one.name)

    def withdraw(self, session_id: str, conversation_id: str) -> Plan[None]:
        (withdrawn,) = yield [self._on(_WITHDRAW, session_id, conversation_id, Life.ASKED)]
        if withdrawn:
            yield [self._misled(conversation_id, session_id)]

    def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> Plan[bool]:
        rows = [part for item in unread for part in (item.seq, self._row(item))]
        (kept,) = yield [self._on(_JOURNAL, session_id, self.ttl, owner, _optional(cursor), *rows)]
        return bool(kept)

    def acknowledge(
        self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str
    ) -> Plan[bool]:
        item, of_it = json.dumps([conversation_id, item_id, mark]), f"[{json.dumps(conversation_id)},"
        (kept,) = yield [self._on(_ACKNOWLEDGE, session_id, self.ttl, owner, seq, item, of_it, SEEN)]
        return bool(kept)

    def delete(self, session_id: str) -> Plan[None]:
        (owner,) = yield [self._on(_DELETE, session_id)]
        yield [*self._forgotten(session_id), *(self._let_go(session_id, _text(owner)) if owner else ())]

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> Plan[str]:
        take = self._on(_ACQUIRE, session_id, self.ttl, right, owner, now, SENT, seconds)
        hint = [self._hint(session_id, owner, now, seconds)] if right == "poll" else []
        (found, *_) = yield [take, *hint]
        if found and _text(found[0]) != owner and is_gone(_text(found[0])):
            # Only we know that the process is dead, and only the server whether it is still that one's.
            (found, *_) = yield [(*take, found[0]), *hint]
        holder = _text(found[0]) if found else owner
        if hint and not (found and holder == owner):
            yield [*self._known_to_end(session_id, found[1] if found else None), *self._let_go(session_id, owner)]
        return holder

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> Plan[bool]:
        renew = self._on(_RENEW, session_id, self.ttl, right, owner, now, SENT, seconds)
        hint = [self._hint(session_id, owner, now, seconds)] if right == "poll" else []
        (found, *_) = yield [renew, *hint]
        mine, *more = found
        if mine and more:
            yield [self._lead(_text(one), session_id) for one in more]
        elif not mine and hint:
            known, ends = more
            yield [*self._known_to_end(session_id, ends if known else None), *self._let_go(session_id, owner)]
        return bool(mine)

    def release(self, session_id: str, right: Right, owner: str) -> Plan[None]:
        release = self._on(_RELEASE, session_id, right, owner)
        # Whoever looks there finds out whether it is free.
        freed = [self._scored(session_id, 0), *self._let_go(session_id, owner)] if right == "poll" else []
        yield [release, *freed]

    def put_back(self, session: StoredSession, owner: str, now: float, seconds: float) -> Plan[bool]:
        tokens = (session.tokens.generation, self.seal.closed(json.dumps(session.tokens.to_dict())))
        talks = list(session.conversations.values())
        rows = [part for item in session.unread.values() for part in (item.seq, self._row(item))]
        seen = [json.dumps([talk, *one]) for talk, marks in session.seen.items() for one in marks]
        counts = (len(talks), len(session.unread), len(seen))
        told = (self.ttl, owner, now, SENT, seconds, *tokens, _optional(session.cursor), *counts)
        noted = (part for talk in talks for part in _told(talk))
        (*_, kept) = yield [
            self._hint(session.id, owner, now, seconds),
            *(self._lead(talk.id, session.id) for talk in talks),
            self._on(_PUT_BACK, session.id, *told, *noted, *rows, *seen, *Life),
        ]
        if not kept:
            yield [self._scored(session.id, 0)]
        return bool(kept)

    def _keys(self, session_id: str) -> list[str]:
        tag = self._tag(session_id)
        return [f"{tag}:{name}" for name in ("session", "conversations", "unread", "seen")]

    def _tag(self, name: str) -> str:
        # Quoted, for braces in a name would end the hash tag; an empty tag would be none.
        return f"{self.prefix}:{{{quote(name) or '%'}}}"

    @property
    def _workers(self) -> str:
        return f"{self.prefix}:{{index}}:workers"

    def _leads(self, conversation_id: str) -> str:
        return f"{self._tag(conversation_id)}:in"

    def _on(self, script: Script, session_id: str, *args: Any) -> Call:
        keys = self._keys(session_id)
        return ("EVALSHA", script, len(keys), *keys, *args)

    def _in_index(self, script: Script, *args: Any) -> Call:
        return ("EVALSHA", script, len(self._index), *self._index, *args)

    def _state(self, session_id: str, now: float, seconds: float) -> Call:
        return self._on(_STATE, session_id, now, SENT, seconds, Life.READ)

    def _hint(self, session_id: str, owner: str, now: float, seconds: float) -> Call:
        process = _process(owner)
        keys = (*self._index, self._held(process), self._on_machine(process[0]))
        return ("EVALSHA", _HINT, len(keys), *keys, session_id, now, SENT, seconds, self.ttl, process[1])

    def _held(self, process: tuple[str, str]) -> str:
        return f"{self.prefix}:{{index}}:held:{'/'.join(process)}"

    def _on_machine(self, machine: str) -> str:
        return f"{self.prefix}:{{index}}:on:{machine}"

    def _let_go(self, session_id: str, owner: str) -> list[Call]:
        return [("SREM", self._held(_process(owner)), session_id)]

    def _known_to_end(self, session_id: str, ends: Any) -> list[Call]:
        return self._forgotten(session_id) if ends is None else [self._scored(session_id, ends)]

    def _scored(self, session_id: str, ends: Any) -> Call:
        return self._in_index(_SCORE, ends, session_id)

    def _corrected(self, session_id: str, state: list[Any]) -> list[Call]:
        if not state[0]:
            return self._forgotten(session_id)
        return [self._scored(session_id, state[3] if _taken(state) else _NO_LEASE + float(state[4]) + self.ttl)]

    def _forgotten(self, *session_ids: str) -> list[Call]:
        return [("ZREM", key, *session_ids) for key in self._index[:2]]

    def _lead(self, conversation_id: str, session_id: str) -> Call:
        return ("EVALSHA", _LEAD, 1, self._leads(conversation_id), self.ttl, session_id)

    def _misled(self, conversation_id: str, session_id: str) -> Call:
        return ("SREM", self._leads(conversation_id), session_id)

    def _row(self, item: Unread) -> bytes:
        return self.seal.closed(json.dumps([item.conversation_id, _writable(item.raw)]))

    def _unread(self, seq: Any, row: bytes) -> Unread:
        text = self.seal.opened(row)
        conversation_id: Any
        raw: Any
        try:
            conversation_id, raw = json.loads(text or "")
        except (ValueError, TypeError, RecursionError):
            # Who reads it judges that.
            conversation_id, raw = None, _UNREADABLE if text is None else text
        return Unread(seq=seq, conversation_id=conversation_id, raw=raw)

    def _tokens(self, session_id: str, kept: bytes | None) -> TokenSet:
        text = None if kept is None else self.seal.opened(kept)
        with suppress(ValueError, TypeError, RecursionError):
            found = json.loads(text or "")
            return TokenSet(**{one: found.get(one) for one in _TOKEN})
        raise StoreError(_CLOSED.format(self.place, session_id))


def _index_keys(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}:{{index}}:{name}" for name in ("polled", "order", "began"))


def _optional(value: str | None) -> str:
    return "" if value is None else f"={value}"


def _taken(state: list[Any]) -> bool:
    return state[2] is not None and not is_gone(_text(state[2]))


def _process(owner: str) -> tuple[str, str]:
    machine, _, pid = owner.rpartition("/")[0].rpartition("/")
    return machine, pid


def _told(conversation: StoredConversation) -> tuple[str, str, str]:
    asked = f" {conversation.request_id}" if conversation.request_id else ""
    return conversation.id, conversation.life, asked


def _text(kept: bytes) -> str:
    return kept.decode("utf-8", "replace")


def _couples(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _pairs(flat: list[bytes]) -> dict[str, bytes]:
    return {_text(name): value for name, value in _couples(flat)}


def _chunks(whole: list[str]) -> Iterable[list[str]]:
    return (whole[n : n + ROUND] for n in range(0, len(whole), ROUND))


def _conversations(flat: list[bytes]) -> dict[str, StoredConversation]:
    found: dict[str, StoredConversation] = {}
    for name, value in sorted(_pairs(flat).items()):
        life, _, asked = _text(value).partition(" ")
        found[name] = StoredConversation(id=name, request_id=asked or None, life=_LIVES.get(life, life))
    return found


def _place(seq: bytes) -> Any:
    return int(seq) if seq.isdigit() and len(seq) < 20 else _text(seq)


def _in_order(row: tuple[Any, bytes]) -> tuple[bool, Any]:
    return isinstance(row[0], str), row[0]


def _marked(item: bytes) -> tuple[Any, Any, Any]:
    with suppress(ValueError, TypeError, RecursionError):
        conversation_id, item_id, mark = json.loads(item)
        if isinstance(conversation_id, str):
            return conversation_id, item_id, mark
    return "", _text(item), None


def _writable(raw: Any) -> Any:
    try:
        json.dumps(raw)
    except (TypeError, ValueError, RecursionError):
        return "an item that could not be written down"
    return raw
