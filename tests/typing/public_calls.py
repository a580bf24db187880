"""Public calls as a caller would write them: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from typing import Any, Literal, assert_type

from puzzel_chat import (
    Agent,
    AgentJoined,
    AgentTyping,
    AgentWaitTimeout,
    Allocation,
    AllocationStage,
    ApiError,
    AsyncConversation,
    AsyncPuzzelChat,
    AsyncSession,
    Author,
    ConnectionDegraded,
    ConnectionRecovered,
    ContractError,
    Conversation,
    ConversationEnded,
    Customer,
    DeliveryUnknown,
    Event,
    FileMessage,
    Life,
    MemoryStore,
    Message,
    MessageEdited,
    OperationInfo,
    Option,
    OptionsMessage,
    PuzzelChat,
    PuzzelChatError,
    QueueClosed,
    QueueInfo,
    RateLimited,
    Role,
    RoutingRefused,
    Session,
    SessionInfo,
    Settings,
    SQLiteStore,
    Store,
    TextMessage,
    TimeInfo,
    TransportError,
    UnknownMessage,
    Variable,
    Visitor,
    is_message,
    operations,
)


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
        allow_insecure_http=False,
        store=store,
    )
    assert_type(PuzzelChat.from_env(store=store, timeout=5.0), PuzzelChat)
    assert_type(chat.with_options(poll_interval=2), PuzzelChat)
    assert_type(Settings.from_env(timeout=3), Settings)
    assert_type(Settings(base_url="https://chat.example", solution_id="7").replace(timeout=1), Settings)
    return chat


def talking(chat: PuzzelChat) -> None:
    """Hold a chat, blocking."""
    assert_type(chat.connect(), Session)
    assert_type(chat.connect(visitor=Visitor(access_token="a")), Session)
    assert_type(chat.resume("s"), Session)
    assert_type(chat.resume("s", shared=True), Session)
    assert_type(chat.sessions(), tuple[SessionInfo, ...])
    conversation = chat.start(
        "q_support",
        visual_queue_id="27504",
        visitor=Visitor(id_token="i", provider_id=2),
        customer={"name": "Ada"},
        variables={"order": "17"},
        subject="Late",
        wait=120,
        on_progress=told,
        conversation_id="c",
    )
    assert_type(conversation, Conversation)
    chat.start(
        "q_support", 27504, customer=Customer(name="Ada"), variables=[Variable("order", "17", secret=True)], wait=0
    )
    with conversation as entered:
        assert_type(entered, Conversation)
        assert_type(entered.send("Hello"), TextMessage)
        assert_type(entered.messages(), Iterator[Message])
        assert_type(entered.events(), Iterator[Event])
        entered.typing()
        entered.typing(False)
        assert_type(entered.transcript(), tuple[Message, ...])
        assert_type(entered.ended, bool)
        assert_type(entered.id, str)
        assert_type(entered.session, Session)
    conversation.end()
    chat.close()


def routing(session: Session) -> None:
    """Ask for an agent step by step, blocking."""
    with session as entered:
        assert_type(entered, Session)
    assert_type(session.id, str)
    assert_type(session.visitor_id, str | None)
    assert_type(session.conversations, tuple[Conversation, ...])
    assert_type(session.poll(), list[Event])
    info = session.queue_info("27504")
    assert_type(info, QueueInfo)
    assert_type(info.is_open, bool | None)
    assert_type(info.opens_at, datetime | None)
    assert_type(session.time_info("office"), TimeInfo)
    conversation = session.conversation()
    assert_type(session.conversation("c"), Conversation)
    assert_type(conversation.route("q_support", customer=Customer(email="ada@chat.example")), Allocation)
    assert_type(conversation.allocation(), Allocation)
    assert_type(conversation.wait_for_agent(60, print), Allocation)
    assert_type(conversation.allocation_updates(wait=60), Iterator[Allocation])
    session.close()


async def talking_async(chat: AsyncPuzzelChat) -> None:
    """Hold a chat, awaiting."""
    assert_type(AsyncPuzzelChat.from_env(store=MemoryStore()), AsyncPuzzelChat)
    assert_type(chat.with_options(timeout=3), AsyncPuzzelChat)
    assert_type(await chat.connect(), AsyncSession)
    assert_type(await chat.connect(visitor=Visitor(id_token="i")), AsyncSession)
    assert_type(chat.resume("s"), AsyncSession)
    assert_type(chat.resume("s", shared=True), AsyncSession)
    assert_type(chat.sessions(), tuple[SessionInfo, ...])
    for info in chat.sessions():
        listing(info)
    async with chat as entered_chat:
        assert_type(entered_chat, AsyncPuzzelChat)
    conversation = await chat.start("q_support", "27504", customer={"name": "Ada"}, wait=120, on_progress=told)
    assert_type(conversation, AsyncConversation)
    async with conversation as entered:
        assert_type(entered, AsyncConversation)
        assert_type(await entered.send("Hello"), TextMessage)
        assert_type(entered.events(), AsyncGenerator[Event])
        assert_type(entered.messages(), AsyncGenerator[Message])
        await entered.typing(False)
        async for message in entered.messages():
            reading(message)
        assert_type(entered.transcript(), tuple[Message, ...])
        assert_type(entered.session, AsyncSession)
    await conversation.end()
    await chat.aclose()


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
    assert_type(await session.time_info("office"), TimeInfo)
    conversation = session.conversation("c")
    assert_type(await conversation.route("q_support"), Allocation)
    assert_type(await conversation.allocation(), Allocation)
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
        assert_type(error.host, Literal["identity", "communication"] | None)
    return None


def knowing() -> list[str]:
    """Tell how sure each operation is."""
    assert_type(operations(), tuple[OperationInfo, ...])
    raw: dict[str, Any] = {row.name: row.note for row in operations()}
    return [*raw, *(row.provenance for row in operations())]
