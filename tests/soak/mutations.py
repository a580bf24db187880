"""Rules of the design, each with an edit that breaks it; `make soak RUN=mutants` lets the tests notice."""

from __future__ import annotations

from attrs import frozen


@frozen
class Mutation:
    """One rule (its section in the design, and its words), and the edit of one place that breaks it."""

    section: int
    rule: str
    module: str
    before: str
    after: str


MUTATIONS = (
    Mutation(
        5,
        "elapsed is the larger of the two clocks' deltas",
        "_tokens.py",
        "return max(self.monotonic - earlier.monotonic, self.wall - earlier.wall, 0.0)",
        "return max(self.monotonic - earlier.monotonic, 0.0)",
    ),
    Mutation(
        5,
        "near its end a token waits for its refresh",
        "_tokens.py",
        "if left <= min(30.0, self.tokens.ttl / 10):",
        "if left <= 0:",
    ),
    Mutation(
        5,
        "one flight per session",
        "_tokens.py",
        "        if self.flight:\n            return Step.USE if state is Freshness.ADVISORY else Step.WAIT\n",
        "",
    ),
    Mutation(
        5,
        "no new refresh token in the reply: the old one stays",
        "_tokens.py",
        "fresh.refresh or self.refresh, fresh.visitor_id",
        "fresh.refresh, fresh.visitor_id",
    ),
    Mutation(
        5,
        "sent but no answer: the same refresh token again within 10 s",
        "_tokens.py",
        "return isinstance(error, TransportError) and elapsed < RESEND_WITHIN",
        "return False",
    ),
    Mutation(
        5,
        "a refused refresh token is never sent again",
        "_tokens.py",
        "            self.dead = error\n            return\n",
        "            return\n",
    ),
    Mutation(
        5,
        "a 401 is compared with the generation that the call used",
        "_tokens.py",
        "        if self.tokens.generation > generation:\n            return Step.USE\n",
        "",
    ),
    Mutation(
        5,
        "invalid_grant: the store is read again, and a newer generation adopted",
        "_refresh.py",
        "newer = (yield from self.newer_in_store()) if isinstance(refused, SessionExpired) else None",
        "newer = None",
    ),
    Mutation(
        6,
        "a refusal ends the wait with its error",
        "_routing.py",
        "            raise refusal(allocation.reason, ENDINGS[allocation.stage])\n",
        "            return True\n",
    ),
    Mutation(
        6,
        "each change is reported, and nothing else",
        "_routing.py",
        "return before is None or _seen(before) != _seen(allocation)",
        "return True",
    ),
    Mutation(
        6,
        "Retry-After wins over the pace of the wait",
        "_routing.py",
        "self._asked = retry_after(error) or None",
        "self._asked = None",
    ),
    Mutation(
        6,
        "a timeout, Ctrl-C or a cancellation leaves the queue",
        "_routing.py",
        "return not isinstance(error, GeneratorExit | RoutingError)",
        "return False",
    ),
    Mutation(
        7,
        "the next tick is the previous one plus the period, without bursts",
        "_polling.py",
        "self._next = due + (missed + 1) * self.period",
        "self._next = now + self.period",
    ),
    Mutation(
        7,
        "429 and 503 honour Retry-After",
        "_polling.py",
        "self._next = self._on_grid(now + (asked or backoff(self.failures, uniform)))",
        "self._next = self._on_grid(now + backoff(self.failures, uniform))",
    ),
    Mutation(
        7,
        "three undecodable replies in a row are fatal",
        "_retry.py",
        "return is_undecodable(error) and undecodable >= MAX_UNDECODABLE",
        "return False",
    ),
    Mutation(
        7,
        "a message is known by its id and its content, so that an edit comes through",
        "_inbox.py",
        "if same or event.version <",
        "if known or event.version <",
    ),
    Mutation(
        7,
        "a full buffer stops the polling",
        "_inbox.py",
        "                return True\n        return False\n",
        "                pass\n        return False\n",
    ),
    Mutation(
        7,
        "what a poll brought is written down before the caller gets it",
        "_session.py",
        "            self.lease.journal(self.feed.cursor, unread)\n",
        "            pass\n",
    ),
    Mutation(
        7,
        "a dead loop fails its iterator and never goes silent",
        "_inbox.py",
        "            if inbox.life is Life.OPEN:\n                inbox.failure = error\n",
        "            pass\n",
    ),
    Mutation(
        7,
        "a send is never repeated after an unknown outcome",
        "_wire/operations.py",
        '"Conversation.send",\n    repeatable=False',
        '"Conversation.send",\n    repeatable=True',
    ),
    Mutation(
        5,
        "a newer token that was revoked meanwhile is replaced as well",
        "_session.py",
        "REPLAYS = 3\n",
        "REPLAYS = 1\n",
    ),
    Mutation(
        7,
        "an end that a call is told ends the chat, though its event was lost",
        "_inbox.py",
        "AWAIT_END = (Life.ENDING, Life.CLOSED)\n",
        "AWAIT_END = (Life.ENDING,)\n",
    ),
    Mutation(
        7,
        "a request status that says Cancelled is an end",
        "_conversation.py",
        "        if found.stage is AllocationStage.CANCELLED:  # refused or expired, it may be routed again\n"
        "            yield from self._over()\n",
        "",
    ),
    Mutation(
        7,
        "polls that are answered with 410 end the chat",
        "_inbox.py",
        "gone = isinstance(error, ConversationClosed) or (isinstance(error, ApiError) and error.status == 410)",
        "gone = False",
    ),
    Mutation(
        7,
        "204, and a cache's 304, say that nothing is new",
        "_wire/replies.py",
        "    if reply.status in (204, 205, 304):\n",
        "    if False:\n",
    ),
    Mutation(
        7,
        "what a replayed history holds already is no news",
        "_inbox.py",
        "if same or event.version <",
        "if event.version <",
    ),
    Mutation(
        7,
        "an id that begins again brings a new message",
        "_inbox.py",
        "        if isinstance(event, Message) and begins_again(present, earlier):\n",
        "        if False:\n",
    ),
    Mutation(
        7,
        "the transcript keeps what was said before its id began again",
        "_inbox.py",
        "                self.retired.append(known)\n",
        "                pass\n",
    ),
    Mutation(
        7,
        "replies that are too large do not end a polling",
        "_retry.py",
        "return isinstance(error, ContractError) and not isinstance(error, ReplyTooLarge)",
        "return isinstance(error, ContractError)",
    ),
    Mutation(
        7,
        "what is sent is bounded, for it comes back in polls",
        "_wire/operations.py",
        '    if (size := len(request.body or b"")) > most:\n',
        '    if (size := len(request.body or b"")) > 2**40:\n',
    ),
)
