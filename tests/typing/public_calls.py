"""Public calls as a caller would write them: checked by mypy and pyright, both strict, never run."""
# pyright: strict

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any, Literal, assert_never, assert_type

from puzzel_chat import (
    AfterError,
    Agent,
    AgentJoined,
    AgentLeft,
    AgentSearchEnded,
    AgentTyping,
    AgentWaitTimeout,
    Allocation,
    AllocationChanged,
    AllocationStage,
    ApiError,
    AsyncConversation,
    AsyncPuzzelChat,
    AsyncSession,
    Author,
    ChatEnded,
    ChatStarted,
    ConnectionDegraded,
    ConnectionRecovered,
    ContractError,
    Conversation,
    ConversationEnded,
    Customer,
    CustomerFields,
    DeliveryUnknown,
    Event,
    FileMessage,
    Handler,
    Life,
    MemoryStore,
    Message,
    MessageEdited,
    MessageReceived,
    MessageSent,
    Observer,
    OnFailure,
    OnHandlerError,
    OperationInfo,
    Option,
    OptionsMessage,
    PollEnded,
    PollingLoop,
    PollsDegraded,
    PollsRecovered,
    Progress,
    PuzzelChat,
    PuzzelChatError,
    QueueClosed,
    QueueInfo,
    RateLimited,
    Raw,
    RefreshEnded,
    RequestEnded,
    RequestRetried,
    Right,
    Role,
    RoutingRefused,
    Secret,
    Session,
    SessionInfo,
    Settings,
    SettingsFields,
    SQLiteStore,
    Store,
    StoredConversation,
    Telemetry,
    TextMessage,
    TimeInfo,
    TokenSet,
    TransportError,
    Turn,
    UnknownMessage,
    Variable,
    Visitor,
    WorkerInfo,
    event_from_dict,
    is_message,
    lease_is_free,
    operations,
)
from puzzel_chat.otel import OpenTelemetry
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import StoreContract


def told(allocation: Allocation) -> None:
    """Show how the search goes."""
    assert_type(allocation.stage, AllocationStage)
    assert_type(allocation.queue_position, int | None)
    assert_type(allocation.estimated_wait, float | None)
    assert_type(allocation.agent, Agent | None)
    assert_type(allocation.fetched_at, datetime)


def making() -> PuzzelChat:
    """Make clients and stores in every way."""
    store: Store = MemoryStore()
    store = SQLiteStore("sessions.db")
    chat = PuzzelChat("https://chat.example", "7")
    chat = PuzzelChat(solution_id="7", region="uk")
    chat = PuzzelChat(
        base_url="https://chat.example",
        identity_url="https://identity.example",
        solution_id="7",
        grant_type="client_credentials",
        tenant_id="t",
        client_id="c",
        client_secret="s",
        scope="chat",
        token_fields={"audience": "chat"},
        timeout=5,
        poll_interval=0.5,
        max_retries=0,
        proxy="http://p.example:3128",
        verify=Path("/etc/ca.pem"),
        headers={"X-Gateway-Key": "sesam"},
        allow_insecure_http=False,
        store=store,
    )
    chat = PuzzelChat(solution_id="7", region="uk", verify="/etc/ca.pem")
    chat = PuzzelChat(solution_id="7", region="uk", verify=create_default_context())
    chat = PuzzelChat(solution_id="7", region="uk", http_client=object())
    PuzzelChat(solution_id="7", region="uk", verify=False)  # type: ignore[arg-type]  # TLS is always verified
    assert_type(chat.tls_context(), SSLContext)
    assert_type(PuzzelChat.from_env(store=store, timeout=5.0), PuzzelChat)
    assert_type(chat.with_options(poll_interval=2), PuzzelChat)
    assert_type(Settings.from_env(timeout=3), Settings)
    assert_type(Settings(base_url="https://chat.example", solution_id="7").replace(timeout=1), Settings)
    given: SettingsFields = {"region": "uk", "solution_id": "7"}
    given["timeout"] = 3
    chat.with_options(**given)
    return PuzzelChat.from_env(store=None, **given)


def in_a_sandbox(sandbox: Sandbox, read: dict[str, Any]) -> None:
    """Make clients of the sandbox, and from what was read from a file."""
    PuzzelChat(**sandbox.settings)
    PuzzelChat(**sandbox.settings, poll_interval=0.1)
    AsyncPuzzelChat.from_env(**sandbox.settings, poll_interval=0.1)
    PuzzelChat(**sandbox.settings).with_options(**sandbox.settings)
    PuzzelChat(**read)
    PuzzelChat.from_env(**read)


def passed(done: int, total: int | None) -> None:
    """Follow a file."""


async def passed_async(done: int, total: int | None) -> None:
    """Follow a file, awaiting."""


def talking(chat: PuzzelChat) -> None:
    """Hold a chat, blocking."""
    assert_type(chat.connect(), Session)
    assert_type(chat.connect(visitor=Visitor(access_token="a")), Session)
    assert_type(chat.resume("s"), Session)
    assert_type(chat.resume("s", shared=True), Session)
    assert_type(chat.sessions(), tuple[SessionInfo, ...])
    assert_type(chat.attach("c"), Conversation)
    assert_type(chat.workers(), tuple[WorkerInfo, ...])
    conversation = chat.start(
        "q_support",
        visual_queue_id="27504",
        visitor=Visitor(id_token="i", provider_id=2),
        customer={"name": "Ada"},
        variables={"order": "17"},
        subject="Late",
        history=[Turn("customer", "Hi", datetime.now()), {"role": "bot", "text": "Hello"}],
        wait=120,
        on_progress=told,
        conversation_id="c",
    )
    assert_type(conversation, Conversation)
    chat.start(
        "q_support", 27504, customer=Customer(name="Ada"), variables=[Variable("order", "17", secret=True)], wait=0
    )
    ada: CustomerFields = {"name": "Ada"}
    ada["email"] = None
    chat.start("q_support", customer=ada)
    with conversation as entered:
        assert_type(entered, Conversation)
        assert_type(entered.send("Hello", timeout=3), TextMessage)
        assert_type(entered.messages(), Iterator[Message])
        assert_type(entered.events(), Iterator[Event])
        assert_type(entered.choose("delivery"), TextMessage)
        assert_type(entered.choose(Option(id="delivery")), TextMessage)
        assert_type(entered.send_file("receipt.pdf"), FileMessage)
        sent = entered.send_file(b"x", name="x", content_type="text/plain", on_progress=passed, timeout=30)
        assert_type(entered.download(sent, Path("x"), overwrite=True, on_progress=passed), int)
        assert_type(entered.download(sent, BytesIO(), timeout=30), int)
        entered.typing()
        entered.typing(False, timeout=3.5)
        assert_type(entered.transcript(), tuple[Message, ...])
        assert_type(entered.ended, bool)
        assert_type(entered.history_left_out, int)
        assert_type(entered.id, str)
        assert_type(entered.session, Session)
    conversation.end(timeout=3)
    chat.close()


def routing(session: Session) -> None:
    """Ask for an agent step by step, blocking."""
    with session as entered:
        assert_type(entered, Session)
    assert_type(session.id, str)
    assert_type(session.visitor_id, str | None)
    assert_type(session.conversations, tuple[Conversation, ...])
    assert_type(session.poll(), list[Event])
    info = session.queue_info("27504", timeout=3)
    assert_type(info, QueueInfo)
    assert_type(info.is_open, bool | None)
    assert_type(info.opens_at, datetime | None)
    assert_type(session.time_info("office", timeout=3), TimeInfo)
    conversation = session.conversation()
    assert_type(session.conversation("c"), Conversation)
    assert_type(conversation.route("q_support", timeout=3, customer=Customer(email="ada@chat.example")), Allocation)
    assert_type(conversation.allocation(timeout=3), Allocation)
    assert_type(conversation.wait_for_agent(60, print), Allocation)
    assert_type(conversation.allocation_updates(wait=60), Iterator[Allocation])
    session.close()


async def talking_async(chat: AsyncPuzzelChat) -> None:
    """Hold a chat, awaiting."""
    assert_type(AsyncPuzzelChat.from_env(store=MemoryStore()), AsyncPuzzelChat)
    assert_type(chat.with_options(timeout=3), AsyncPuzzelChat)
    assert_type(await chat.connect(), AsyncSession)
    assert_type(await chat.connect(visitor=Visitor(id_token="i")), AsyncSession)
    assert_type(await chat.resume("s"), AsyncSession)
    assert_type(await chat.resume("s", shared=True), AsyncSession)
    assert_type(await chat.sessions(), tuple[SessionInfo, ...])
    for info in await chat.sessions():
        listing(info)
    assert_type(await chat.attach("c"), AsyncConversation)
    assert_type(await chat.workers(), tuple[WorkerInfo, ...])
    async with chat.resume("s") as resumed, chat.attach("c") as attached:
        assert_type(resumed, AsyncSession)
        assert_type(attached, AsyncConversation)
    async with chat as entered_chat:
        assert_type(entered_chat, AsyncPuzzelChat)
    conversation = await chat.start("q_support", "27504", customer={"name": "Ada"}, wait=120, on_progress=told)
    assert_type(conversation, AsyncConversation)
    async with chat.start("q_support") as begun, chat.connect() as session:
        assert_type(begun, AsyncConversation)
        assert_type(session, AsyncSession)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(chat.start("q_support"))
        group.create_task(chat.connect())
    assert_type(task.result(), AsyncConversation)
    assert_type(await asyncio.wait_for(chat.start("q_support", on_progress=told_later), 10), AsyncConversation)
    async with conversation as entered:
        assert_type(entered, AsyncConversation)
        assert_type(await entered.choose("delivery"), TextMessage)
        assert_type(await entered.send_file(Path("x"), on_progress=passed_async), FileMessage)
        assert_type(await entered.download(await entered.send_file(b"x", name="x"), "x"), int)
        assert_type(await entered.send("Hello", timeout=3), TextMessage)
        assert_type(entered.events(), AsyncGenerator[Event])
        assert_type(entered.messages(), AsyncGenerator[Message])
        await entered.typing(False)
        async for message in entered.messages():
            reading(message)
        assert_type(entered.transcript(), tuple[Message, ...])
        assert_type(entered.session, AsyncSession)
    await conversation.end()
    await chat.aclose()


async def told_later(allocation: Allocation) -> None:
    """Show how the search goes, when there is time."""
    told(allocation)


def hear(conversation: AsyncConversation, event: Event) -> None:
    """Handle an event."""


async def hear_later(conversation: AsyncConversation, event: Event) -> int:
    """Handle an event, awaiting."""
    await conversation.send(str(event))
    return 1


def failed(conversation: AsyncConversation, error: PuzzelChatError) -> None:
    """Hear of an error of ours."""


async def failed_somehow(conversation: AsyncConversation, error: Exception) -> None:
    """Hear of any error."""


def decide(conversation: AsyncConversation, event: Event, error: Exception) -> AfterError:
    """Say what to do."""
    return AfterError.TRY_AGAIN


async def looping(conversation: AsyncConversation) -> None:
    """Let a loop poll, with all kinds of callbacks."""
    handlers: list[Handler] = [hear, hear_later, lambda conversation, event: print(conversation.id, event)]
    failures: list[OnFailure] = [failed, failed_somehow, lambda conversation, error: print(conversation.id, error)]
    decisions: list[OnHandlerError] = [decide]
    shows: list[Progress] = [told, told_later, print]
    async with PollingLoop(on_failure=failed, on_handler_error=decide) as loop:
        loop.add(conversation, hear)
        loop.add(conversation, hear_later, wait=60)
        loop.add(conversation, lambda conversation, event: print(conversation.id, event.type))
    PollingLoop(on_failure=failed_somehow, on_handler_error=AfterError.STOP)
    print(handlers, failures, decisions, shows)


class TestMemory(StoreContract):
    """The tests of a store."""

    def open_store(self, folder: Path) -> Store:
        """Give the store under test."""
        return MemoryStore()


def keeping(store: Store, raw: Raw, right: Right) -> str:
    """Use what a store of one's own is written with."""
    tokens = TokenSet(access=Secret("a"), refresh=Secret("r"), obtained=0.0)
    assert_type(TokenSet.from_dict(tokens.to_dict()), TokenSet)
    store.save_tokens("s", tokens)
    kept = StoredConversation(id="c").after(StoredConversation(id="c", life=Life.ENDED))
    store.save_conversation("s", kept)
    assert_type(lease_is_free(None, 0.0, "me", 0.0, 60.0), bool)
    return store.acquire("s", right, "me", 0.0, 60.0) + str(raw.get("id"))


def listing(info: SessionInfo) -> Life | None:
    """Look at a stored session."""
    assert_type(info.id, str)
    assert_type(info.renewed_at, datetime | None)
    assert_type(info.in_use, bool)
    assert_type(info.problem, str | None)
    return next((one.life for one in info.conversations), None)


async def routing_async(session: AsyncSession) -> None:
    """Ask for an agent step by step, awaiting."""
    async with session as entered:
        assert_type(entered, AsyncSession)
    assert_type(session.visitor_id, str | None)
    assert_type(await session.poll(), list[Event])
    assert_type(await session.queue_info(27504), QueueInfo)
    assert_type(await session.time_info("office", timeout=3), TimeInfo)
    conversation = session.conversation("c")
    assert_type(await conversation.route("q_support"), Allocation)
    assert_type(await conversation.allocation(timeout=3), Allocation)
    assert_type(await conversation.wait_for_agent(60, on_progress=told), Allocation)
    async for allocation in conversation.allocation_updates():
        told(allocation)
    await session.aclose()


def reading(message: Message) -> str:
    """Tell the kinds of messages apart; the union is closed."""
    assert_type(message.author, Author)
    assert_type(message.author.role, Role)
    assert_type(message.author.is_agent, bool)
    if isinstance(message, TextMessage):
        assert_type(message.client_id, str | None)
        return message.text
    if isinstance(message, OptionsMessage):
        assert_type(message.options, tuple[Option, ...])
        return ", ".join(option.label for option in message.options)
    if isinstance(message, FileMessage):
        assert_type(message.size, int | None)
        return message.file_name
    assert_type(message, UnknownMessage)
    return message.problem or "new"


def hearing(event: Event) -> None:
    """Tell the kinds of events apart."""
    assert_type(event.sent_at, datetime | None)
    if is_message(event):
        assert_type(event, TextMessage | OptionsMessage | FileMessage | UnknownMessage)
        reading(event)
    elif isinstance(event, MessageEdited):
        reading(event.message)
    elif isinstance(event, AgentJoined):
        assert_type(event.agent, Agent | None)
    elif isinstance(event, AgentTyping):
        assert_type(event.is_typing, bool)
    elif isinstance(event, ConversationEnded):
        assert_type(event.by, Role)
    elif isinstance(event, ConnectionDegraded):
        assert_type(event.problem, str)
    elif isinstance(event, ConnectionRecovered):
        assert_type(event.after, float)


def matching(event: Event) -> str:
    """Cover every class of events, by class."""
    match event:
        case TextMessage(text=text) | OptionsMessage(text=text):
            return text
        case FileMessage(file_name=name):
            return name
        case UnknownMessage(service_type=kind):
            return kind or ""
        case MessageEdited(message=message):
            return reading(message)
        case AgentJoined(agent=agent) | AgentLeft(agent=agent):
            return str(agent)
        case AgentTyping() | ConnectionDegraded() | ConnectionRecovered():
            return str(event)
        case ConversationEnded(by=by):
            return by
        case AllocationChanged(allocation=allocation):
            return allocation.stage
        case _:
            assert_never(event)


def matching_types(event: Event) -> str:
    """Cover every class of events, by type."""
    match event.type:
        case "text_message" | "options_message" | "file_message" | "unknown_message" | "message_edited":
            return "message"
        case "agent_joined" | "agent_left" | "agent_typing":
            return "agent"
        case "conversation_ended" | "connection_degraded" | "connection_recovered":
            return "end"
        case "allocation_changed":
            return "search"
        case _:
            assert_never(event.type)


def narrowing(event: Event) -> str:
    """Tell events apart by their types alone."""
    if event.type == "text_message":
        assert_type(event, TextMessage)
        return event.text
    if event.type == "conversation_ended":
        assert_type(event.by, Role)
        return f"{event.by}"
    if not is_message(event) and event.type != "message_edited":
        return event.type
    return ""


def knowing_a_type(value: object) -> None:
    """Ask whether something is an event."""
    if isinstance(value, Event):
        hearing(value)


def travelling(event: Event) -> Event:
    """Send an event as JSON, and read it."""
    written = json.dumps(event.to_dict())
    assert_type(event.to_dict(), dict[str, Any])
    assert_type(TextMessage.from_dict(json.loads(written)), TextMessage)
    assert_type(Customer.from_dict({"name": "Ada"}), Customer)
    assert_type(event_from_dict(json.loads(written)), Event)
    return event_from_dict(json.loads(written))


def failing(chat: PuzzelChat) -> datetime | float | str | None:
    """Act on errors by their attributes."""
    try:
        chat.start("q_support")
    except QueueClosed as closed:
        return closed.opens_at
    except AgentWaitTimeout as late:
        assert_type(late.last, Allocation | None)
    except RoutingRefused as refused:
        return refused.reason
    except RateLimited as limited:
        return limited.retry_after
    except ApiError as error:
        assert_type(error.status, int)
        return error.code or error.detail
    except ContractError as error:
        return error.pointer
    except DeliveryUnknown as unknown:
        return unknown.text + unknown.client_id
    except TransportError as broken:
        return broken.sent
    except PuzzelChatError as error:
        assert_type(error.retryable, bool)
        assert_type(error.request_id, str | None)
        assert_type(error.attempts, int)
        assert_type(error.host, Literal["identity", "communication", "upload"] | None)
    return None


def observed(what: Telemetry) -> str:
    """Hear of everything that happens."""
    match what:
        case RequestEnded():
            assert_type(what.status, int | None)
            return f"{what.operation} {what.path} {what.status or what.error} {what.seconds}"
        case RequestRetried():
            return f"{what.reason} {what.delay}"
        case RefreshEnded():
            return f"{what.generation} {what.error}"
        case PollEnded():
            return f"{what.late} {what.events}"
        case PollsDegraded() | PollsRecovered():
            return what.session_id
        case ChatStarted():
            return f"{what.resumed}"
        case ChatEnded():
            assert_type(what.by, Role | None)
            return what.conversation_id
        case AgentSearchEnded():
            return what.outcome
        case MessageSent():
            return f"{what.found}"
        case MessageReceived():
            return what.role
        case _:
            assert_never(what)


def observing() -> None:
    """Say who hears of it."""
    observer: Observer = observed
    PuzzelChat(solution_id="7", region="uk", observe=observer)
    PuzzelChat.from_env(observe=print)
    AsyncPuzzelChat.from_env(observe=OpenTelemetry())


def knowing() -> list[str]:
    """Tell how sure each operation is."""
    assert_type(operations(), tuple[OperationInfo, ...])
    raw: dict[str, Any] = {row.name: row.note for row in operations()}
    return [*raw, *(row.provenance for row in operations())]
