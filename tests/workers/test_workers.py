"""Workers that share the chats of a store, on one event loop and one sandbox; each with a client of its own."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import (
    AfterError,
    AllocationChanged,
    AsyncPuzzelChat,
    ConfigurationError,
    ConversationEnded,
    Event,
    RedisStore,
    SessionError,
    SessionExpired,
    SessionNotFound,
    StoredConversation,
    TextMessage,
    Worker,
)
from puzzel_chat._models import Life
from puzzel_chat.sandbox import Fault, Sandbox
from redis_server import RedisServer
from waiting import Held, until_async

Open = Callable[[], Any]


class Company:
    """A web backend and workers, each a machine of its own as far as the store can tell."""

    def __init__(self, sandbox: Sandbox, open_store: Open, stack: AsyncExitStack) -> None:
        self.sandbox, self._open, self._stack = sandbox, open_store, stack
        self.heard: dict[str, list[tuple[str, Event]]] = defaultdict(list)
        self.failures: list[Exception] = []

    async def machine(self) -> AsyncPuzzelChat:
        """Start a client."""
        client = AsyncPuzzelChat(**settings(self.sandbox, store=self._open()))
        return await self._stack.enter_async_context(client)

    async def worker(self, name: str, **more: Any) -> Worker:
        """Start a worker that keeps what it hears."""

        async def handler(conversation: Any, event: Event) -> None:
            self.heard[conversation.id].append((name, event))

        def failed(_: Any, error: Exception) -> None:
            self.failures.append(error)

        given = {"handler": handler, "name": name, "on_failure": failed, **more}
        return await self._stack.enter_async_context(Worker(await self.machine(), **given))

    async def opened(self, chats: int) -> list[str]:
        """Open chats as a web backend does, which keeps none of them."""
        self.web = await self.machine()
        ids: list[str] = []
        for _ in range(chats):
            conversation = await self.web.start("support", wait=0)
            ids.append(conversation.id)
            await conversation.session.aclose()
        return ids

    def texts(self, conversation_id: str) -> list[str]:
        """Give the ids of the messages that workers heard, in order."""
        return [event.id for _, event in self.heard[conversation_id] if isinstance(event, TextMessage)]

    def written(self, conversation_id: str) -> list[str]:
        """Give the ids of the messages that the service stored, in order."""
        return [entry.id for entry in self.sandbox.ledger()[conversation_id] if entry.type == "Text"]

    def is_over(self, conversation_id: str) -> bool:
        """Whether a worker heard the chat's end."""
        return any(isinstance(event, ConversationEnded) for _, event in self.heard[conversation_id])

    def polled_by(self, *workers: Worker) -> list[int]:
        """Give how many sessions each worker has."""
        return [worker.stats().sessions for worker in workers]


@asynccontextmanager
async def company(open_store: Open, script: str = "manual", **more: Any) -> AsyncIterator[Company]:
    """Give a company without workers."""
    with Sandbox(script=script, pace=0, **more) as sandbox:
        async with AsyncExitStack() as stack:
            yield Company(sandbox, open_store, stack)


def test_every_chat_is_served(open_store: Open) -> None:
    """What a web backend opens is polled by some worker, and each message is heard once, in order, to the end."""

    async def scenario() -> None:
        async with company(open_store, "helpful") as here:
            workers = [await here.worker("one"), await here.worker("two")]
            ids = await here.opened(12)
            await until_async(lambda: sum(here.polled_by(*workers)) == 12)
            for conversation_id in ids:
                conversation = await here.web.attach(conversation_id)
                await conversation.send("help")
                await conversation.send("end chat")
            await until_async(lambda: all(here.is_over(one) for one in ids))
            for conversation_id in ids:
                assert here.texts(conversation_id) == here.written(conversation_id)
            await until_async(lambda: here.polled_by(*workers) == [0, 0])
            while await here.web.sessions():
                await asyncio.sleep(0.01)
            assert here.failures == []

    asyncio.run(scenario())


@pytest.mark.parametrize("over", [False, True])
def test_what_is_claimed_while_a_worker_leaves_goes_to_another_at_once(open_store: Open, over: bool) -> None:
    """It is given back unserved, ended by its customer or not: a handler that began there would soon be cancelled."""

    async def scenario() -> None:
        async with company(open_store) as here:
            begun, go_on, leaving = asyncio.Event(), asyncio.Event(), list[asyncio.Task[None]]()
            client = await here.machine()
            resume, late = client.resume, asyncio.get_running_loop().create_future()

            async def resumed(session_id: str) -> Any:
                if begun.is_set() and over:
                    await (await here.web.attach(await late)).end()
                session = await resume(session_id)
                if begun.is_set() and not leaving:
                    leaving.append(asyncio.create_task(one.aclose()))
                    while not [worker for worker in await here.web.workers() if worker.leaving]:
                        await asyncio.sleep(0.01)
                return session

            async def slow(conversation: Any, event: Event) -> None:
                here.heard[conversation.id].append(("one", event))
                begun.set()
                await go_on.wait()

            client.resume = resumed  # type: ignore[method-assign,assignment]
            one = await here._stack.enter_async_context(Worker(client, slow, name="one"))
            (first,) = await here.opened(1)
            here.sandbox.agent(first).accept()
            await until_async(begun.is_set)
            (second,) = await here.opened(1)
            here.sandbox.agent(second).accept()
            late.set_result(second)
            await until_async(lambda: leaving)
            await here.worker("two")
            await until_async(lambda: here.heard[second])
            go_on.set()
            await leaving[0]
            assert {name for name, _ in here.heard[second]} == {"two"}

    asyncio.run(scenario())


def test_workers_have_about_equal_shares(open_store: Open) -> None:
    """One that joins gets its part of those that are there, and `workers()` tells who has how many."""

    async def scenario() -> None:
        async with company(open_store) as here:
            one = await here.worker("one")
            await here.opened(20)
            await until_async(lambda: here.polled_by(one) == [20])
            two = await here.worker("two")
            await until_async(lambda: sorted(here.polled_by(one, two)) in ([9, 11], [10, 10]))
            while sorted(info.sessions for info in await here.web.workers()) not in ([9, 11], [10, 10]):
                await asyncio.sleep(0.01)
            assert [info.name for info in await here.web.workers()] == ["one", "two"]

    asyncio.run(scenario())


def test_a_worker_that_leaves_in_good_order_loses_and_doubles_nothing(open_store: Open) -> None:
    """Its sessions go on at the other one; each message of the ledger was heard once, in order."""

    async def scenario() -> None:
        async with company(open_store) as here:
            ids = await here.opened(6)
            one = await here.worker("one")
            await until_async(lambda: here.polled_by(one) == [6])
            agents = [here.sandbox.agent(one) for one in ids]
            for agent in agents:
                agent.accept()
            for turn in range(6):
                for agent in agents:
                    agent.say(f"line {turn}")
                if turn == 2:
                    two = await here.worker("two")
                    leaving = asyncio.create_task(one.aclose())
            await leaving
            await until_async(lambda: here.polled_by(one, two) == [0, 6])
            await until_async(lambda: all(here.texts(one) == here.written(one) for one in ids))
            assert {name for one in ids for name, _ in here.heard[one]} <= {"one", "two"}
            assert [info.name for info in await here.web.workers()] == ["two"]

    asyncio.run(scenario())


def test_a_handler_at_work_is_waited_for(open_store: Open) -> None:
    """A worker gives a chat back only when the handler has returned and that is written: nobody gets it again."""

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            at_work, let_go = asyncio.Event(), asyncio.Event()

            async def slow(conversation: Any, event: Event) -> None:
                if isinstance(event, TextMessage):
                    at_work.set()
                    await let_go.wait()
                here.heard[conversation.id].append(("one", event))

            one = await here.worker("one", handler=slow)
            await until_async(lambda: here.polled_by(one) == [1])
            here.sandbox.agent(conversation_id).accept()
            here.sandbox.agent(conversation_id).say("Hello")
            await at_work.wait()
            two = await here.worker("two")
            leaving = asyncio.create_task(one.aclose())
            here.sandbox.agent(conversation_id).say("Are you there?")
            for _ in range(20):
                await asyncio.sleep(0.01)
                assert here.polled_by(two) == [0]
            let_go.set()
            await leaving
            await until_async(lambda: here.texts(conversation_id) == here.written(conversation_id))
            names = [name for name, event in here.heard[conversation_id] if isinstance(event, TextMessage)]
            assert names == ["one", "two"]

    asyncio.run(scenario())


@pytest.mark.parametrize("ender", ["agent", "customer"])
def test_what_a_worker_leaves_unread_of_a_chat_that_is_over_is_the_next_ones(open_store: Open, ender: str) -> None:
    """Whoever ended it: the session stays until the end was read, and each event is heard once."""

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            at_work, let_go = asyncio.Event(), asyncio.Event()

            async def slow(conversation: Any, event: Event) -> None:
                here.heard[conversation.id].append(("one", event))
                if isinstance(event, TextMessage):
                    at_work.set()
                    await let_go.wait()

            agent = here.sandbox.agent(conversation_id)
            agent.accept()
            for text in ("One", "Two", "Three"):
                agent.say(text)
            if ender == "agent":
                agent.end()
            else:
                await (await here.web.attach(conversation_id)).end()
            one = await here.worker("one", handler=slow)
            await at_work.wait()
            (held,) = one._held.values()
            leaving = asyncio.create_task(one.aclose())
            await until_async(lambda: held.leaving)
            let_go.set()
            await leaving
            await here.worker("two")
            await until_async(lambda: here.is_over(conversation_id))
            assert here.texts(conversation_id) == here.written(conversation_id)
            while await here.web.sessions():
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_lease_that_went_to_another_delivers_and_writes_nothing(open_store: Open) -> None:
    """A worker whose session was taken up meanwhile finds that out before its next poll, and drops it silently."""

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            one = await here.worker("one")
            await until_async(lambda: here.polled_by(one) == [1])
            thief = here._open()
            (session_id,) = [info.id for info in await here.web.sessions()]
            holder = {"now": one._clock.now().wall + 3600.0, "seconds": 5000.0}
            if asyncio.iscoroutinefunction(thief.acquire):
                raise AssertionError
            await asyncio.to_thread(thief.acquire, session_id, "poll", "another/1/thief", *holder.values())
            lease = next(iter(one._held.values())).state.lease
            lease._renew_at = 0.0  # as after a long sleep
            here.sandbox.agent(conversation_id).accept()
            here.sandbox.agent(conversation_id).say("Hello")
            await until_async(lambda: here.polled_by(one) == [0])
            assert here.texts(conversation_id) == []
            assert here.failures == []

    asyncio.run(scenario())


def test_a_session_that_the_service_has_forgotten_is_reported_once(open_store: Open) -> None:
    """Its conversation's failure is told, and it is deleted: no other worker tries it again."""

    async def scenario() -> None:
        async with company(open_store) as here:
            await here.opened(1)
            one = await here.worker("one")
            await until_async(lambda: here.polled_by(one) == [1])
            here.sandbox.restart(forget=True)
            await until_async(lambda: here.failures)
            await until_async(lambda: here.polled_by(one) == [0])
            assert [type(one) for one in here.failures] == [SessionExpired]
            assert await here.web.sessions() == ()

    asyncio.run(scenario())


def test_a_chat_that_the_service_never_heard_of_is_forgotten(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for an agent died before the request: the worker that finds the chat asks, and drops it in time."""
    monkeypatch.setattr("puzzel_chat._fleet._worker.UNHEARD", 0.1)

    async def scenario() -> None:
        async with company(open_store) as here:
            here.web = await here.machine()
            async with await here.web.connect() as session:
                asked = StoredConversation(id="in vain", life=Life.ASKED)
                await asyncio.to_thread(here._open().save_conversation, session.id, asked)
                lease = session._state.lease
                lease.let_run_out()
                await asyncio.to_thread(here._open().release, session.id, "poll", lease.owner)
            one = await here.worker("one")
            while await here.web.sessions():
                await asyncio.sleep(0.01)
            assert here.heard == {}
            assert here.polled_by(one) == [0]

    asyncio.run(scenario())


@pytest.mark.parametrize("lease", [1.0])
def test_a_request_for_an_agent_may_take_longer_than_a_lease(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that has the session by then waits until the service has heard of the chat, and serves it."""
    monkeypatch.setattr("puzzel_chat._lease.LEASE", 1.0)
    slow = Held()

    async def scenario() -> None:
        async with company(open_store, sleep=slow.sleep) as here:
            here.web = await here.machine()
            one = await here.worker("one")
            here.sandbox.add_fault(Fault.latency(60, "routeConversation", times=1))
            starting = asyncio.create_task(here.web.start("support", wait=0))
            await until_async(lambda: here.sandbox.stats().requests.get("getRequestStatus", 0) > 1)
            assert here.polled_by(one) == [0]
            slow.let_go()
            conversation = await starting
            await conversation.session.aclose()
            here.sandbox.agent(conversation.id).accept()
            here.sandbox.agent(conversation.id).say("Hello")
            here.sandbox.agent(conversation.id).end()
            await until_async(lambda: here.is_over(conversation.id))
            assert here.texts(conversation.id) == here.written(conversation.id)
            while await here.web.sessions():
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_an_agent_is_waited_for(open_store: Open) -> None:
    """With `wait`, the handler hears of the search first, wherever the chat is claimed."""

    async def scenario() -> None:
        async with company(open_store, "helpful") as here:
            (conversation_id,) = await here.opened(1)
            await here.worker("one", wait=60.0)
            await until_async(lambda: here.texts(conversation_id))
            assert isinstance(here.heard[conversation_id][0][1], AllocationChanged)

    asyncio.run(scenario())


@pytest.mark.parametrize("lease", [1.0])
def test_a_handler_that_fails_does_not_lose_its_event(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `STOP` the event stays, nobody polls the chat until its lease is over, and then the event comes again."""
    monkeypatch.setattr("puzzel_chat._lease.LEASE", 1.0)

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            tries: Counter[str] = Counter()

            async def handler(conversation: Any, event: Event) -> None:
                tries[event.id] += 1
                if isinstance(event, TextMessage) and tries[event.id] == 1:
                    raise ValueError("not this time")
                here.heard[conversation.id].append(("one", event))

            one = await here.worker("one", handler=handler, on_handler_error=AfterError.STOP)
            await until_async(lambda: here.polled_by(one) == [1])
            here.sandbox.agent(conversation_id).accept()
            here.sandbox.agent(conversation_id).say("Hello")
            await until_async(lambda: here.texts(conversation_id) == here.written(conversation_id))
            assert [type(one) for one in here.failures] == [ValueError]

    asyncio.run(scenario())


def test_a_hundred_callers_on_three_machines_send_to_one_chat(open_store: Open) -> None:
    """Each message arrives once, and those of one caller in its order."""

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            one = await here.worker("one")
            await until_async(lambda: here.polled_by(one) == [1])
            here.sandbox.agent(conversation_id).accept()
            machines = [await here.machine() for _ in range(3)]
            attached = [await machine.attach(conversation_id) for machine in machines]

            async def caller(number: int) -> None:
                for turn in range(4):
                    await attached[number % 3].send(f"{number}: {turn}")

            await asyncio.gather(*(caller(number) for number in range(100)))
            said = [entry.content for entry in here.sandbox.ledger()[conversation_id] if entry.type == "Text"]
            of: dict[str, list[str]] = defaultdict(list)
            for text in said:
                number, _, turn = str(text).partition(": ")
                of[number].append(turn)
            assert of == {str(number): ["0", "1", "2", "3"] for number in range(100)}
            await until_async(lambda: len(here.texts(conversation_id)) == 400)
            assert here.texts(conversation_id) == here.written(conversation_id)

    asyncio.run(scenario())


def test_attaching_to_nothing(open_store: Open) -> None:
    """An unknown conversation is one clear error."""

    async def scenario() -> None:
        async with company(open_store) as here:
            with pytest.raises(SessionNotFound, match="No session of the store has the conversation 'nothing'"):
                await (await here.machine()).attach("nothing")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"handler": None}, "handler"),
        ({"most": 0}, "most"),
        ({"most": True}, "most"),
        ({"name": ""}, "name"),
        ({"on_failure": 1}, "on_failure"),
        ({"on_handler_error": "stop"}, "on_handler_error"),
        ({"threads": 0}, "threads"),
        ({"chat": None}, "chat"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, Any], told: str) -> None:
    """Each is a `ConfigurationError` that says which."""

    async def scenario() -> None:
        with Sandbox() as sandbox:
            async with AsyncPuzzelChat(**settings(sandbox)) as chat:
                with pytest.raises(ConfigurationError) as error:
                    Worker(**{"chat": chat, "handler": print, **given})
                assert error.value.setting == told

    asyncio.run(scenario())


def test_a_worker_is_started_once() -> None:
    """One that was closed says that another one is to be made."""

    async def scenario() -> None:
        with Sandbox() as sandbox:
            async with AsyncPuzzelChat(**settings(sandbox)) as chat:
                worker = Worker(chat, print)
                assert not worker.healthy
                async with worker:
                    await until_async(lambda: worker.healthy)
                with pytest.raises(SessionError, match="Make a new one"):
                    await worker.run()

    asyncio.run(scenario())


def test_a_full_worker_says_that_others_wait(open_store: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Once, with the bound that it has reached; what it has goes on, and the rest goes to whoever comes."""

    async def scenario() -> None:
        async with company(open_store) as here:
            one = await here.worker("one", most=2)
            await here.opened(3)
            await until_async(lambda: "2 sessions, its most, and others wait" in caplog.text)
            assert here.polled_by(one) == [2]
            two = await here.worker("two")
            await until_async(lambda: here.polled_by(one, two) == [2, 1])
            assert caplog.text.count("others wait") == 1

    asyncio.run(scenario())


def test_an_end_that_another_process_told_is_learnt(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the service says no word of it in the polls, the worker finds it in the store, and the handler gets it."""
    monkeypatch.setattr("puzzel_chat._fleet._worker.LEARN", 0.05)

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            one = await here.worker("one")
            await until_async(lambda: here.polled_by(one) == [1])
            (session,) = await here.web.sessions()
            ended = StoredConversation(id=conversation_id, life=Life.ENDING)
            await asyncio.to_thread(here._open().save_conversation, session.id, ended)
            await until_async(lambda: here.is_over(conversation_id))
            await until_async(lambda: here.polled_by(one) == [0])

    asyncio.run(scenario())


def test_a_chat_that_another_process_began_in_a_session_is_served(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shares the session routes a second chat, and the worker that polls it serves that, too."""
    monkeypatch.setattr("puzzel_chat._fleet._worker.LEARN", 0.05)

    async def scenario() -> None:
        async with company(open_store) as here:
            (conversation_id,) = await here.opened(1)
            one = await here.worker("one")
            await until_async(lambda: here.polled_by(one) == [1])
            attached = await here.web.attach(conversation_id)
            second = attached.session.conversation()
            await second.route("support")
            await until_async(lambda: one.stats().conversations == 2)
            here.sandbox.agent(second.id).accept()
            here.sandbox.agent(second.id).say("Hello")
            await until_async(lambda: here.texts(second.id) == here.written(second.id) != [])

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["killed", "suspended"])
def test_a_redis_that_goes_away_and_comes_back_costs_nothing(own_server: RedisServer, how: str) -> None:
    """What is said meanwhile waits, at the service or in memory, and comes once and in order; nothing is told twice."""

    async def scenario() -> None:
        async with company(lambda: RedisStore(own_server.url)) as here:
            ids = await here.opened(3)
            workers = [await here.worker("one"), await here.worker("two")]
            await until_async(lambda: sum(here.polled_by(*workers)) == 3)
            for conversation_id in ids:
                here.sandbox.agent(conversation_id).accept()
                here.sandbox.agent(conversation_id).say("before")
            await until_async(lambda: all(here.texts(one) == here.written(one) for one in ids))
            looking = RedisStore(own_server.url)
            sessions = [info.id for info in await here.web.sessions()]
            await until_async(lambda: not any(one and one.unread for one in map(looking.load, sessions)))
            before, polls = {one: here.texts(one) for one in ids}, here.sandbox.stats().requests["pollConversation"]
            own_server.kill() if how == "killed" else own_server.suspend()
            for conversation_id in ids:
                here.sandbox.agent(conversation_id).say("meanwhile")
                here.sandbox.agent(conversation_id).say("and more")
            await until_async(lambda: here.sandbox.stats().requests["pollConversation"] > polls + 3)
            assert {one: here.texts(one) for one in ids} == before
            own_server.start() if how == "killed" else own_server.resume()
            await until_async(lambda: all(here.texts(one) == here.written(one) for one in ids))
            assert here.failures == []
            looking.close()

    asyncio.run(scenario())
