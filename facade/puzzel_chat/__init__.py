"""A client for the Puzzel Chat API: open a session, ask for an agent, follow the search, talk, end.

`PuzzelChat` blocks; `AsyncPuzzelChat` is the same for asyncio. `operations()` says for each call of the API whether the
vendor documents it or we assume it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from puzzel_chat._errors import (
    AgentWaitTimeout,
    ApiError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ContractError,
    ConversationClosed,
    DeliveryUnknown,
    EventTimeout,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RateLimited,
    ReplyTooLarge,
    RoutingError,
    RoutingRefused,
    ServerError,
    SessionError,
    SessionExpired,
    SessionInUse,
    SessionNotFound,
    StoreError,
    TransportError,
)
from puzzel_chat._models import (
    Agent,
    AgentJoined,
    AgentLeft,
    AgentTyping,
    Allocation,
    AllocationChanged,
    AllocationStage,
    Author,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Customer,
    CustomerFields,
    Event,
    FileMessage,
    Life,
    Message,
    MessageEdited,
    Option,
    OptionsMessage,
    QueueInfo,
    Raw,
    Role,
    Secret,
    TextMessage,
    TimeInfo,
    UnknownMessage,
    Variable,
    Visitor,
    event_from_dict,
    is_message,
)
from puzzel_chat._settings import Settings, SettingsFields
from puzzel_chat._version import __version__

if TYPE_CHECKING:
    from puzzel_chat._async import AsyncConversation, AsyncPuzzelChat, AsyncSession
    from puzzel_chat._conversation import Progress
    from puzzel_chat._files import FileProgress
    from puzzel_chat._fleet import AfterError, Handler, LoopStats, OnFailure, OnHandlerError, PollingLoop, Worker
    from puzzel_chat._history import History, Turn, TurnFields
    from puzzel_chat._observing import (
        AgentSearchEnded,
        ChatEnded,
        ChatStarted,
        MessageReceived,
        MessageSent,
        Observer,
        PollEnded,
        PollsDegraded,
        PollsRecovered,
        RefreshEnded,
        RequestEnded,
        RequestRetried,
        Telemetry,
    )
    from puzzel_chat._owners import lease_is_free
    from puzzel_chat._probe import Difference, Observation, Probe, ProbeReport
    from puzzel_chat._redis import RedisStore
    from puzzel_chat._sqlite import SQLiteStore
    from puzzel_chat._store import (
        AsyncStore,
        MemoryStore,
        Right,
        SessionInfo,
        Store,
        StoredConversation,
        StoredSession,
        Unread,
        WorkerInfo,
    )
    from puzzel_chat._sync import Conversation, PuzzelChat, Session
    from puzzel_chat._tokens import TokenSet
    from puzzel_chat._wire.operations import OperationInfo, operations

__all__ = [
    "AfterError",
    "Agent",
    "AgentJoined",
    "AgentLeft",
    "AgentSearchEnded",
    "AgentTyping",
    "AgentWaitTimeout",
    "Allocation",
    "AllocationChanged",
    "AllocationStage",
    "ApiError",
    "AsyncConversation",
    "AsyncPuzzelChat",
    "AsyncSession",
    "AsyncStore",
    "AuthenticationError",
    "Author",
    "ChatEnded",
    "ChatStarted",
    "ConfigurationError",
    "Conflict",
    "ConnectionDegraded",
    "ConnectionRecovered",
    "ContractError",
    "Conversation",
    "ConversationClosed",
    "ConversationEnded",
    "Customer",
    "CustomerFields",
    "DeliveryUnknown",
    "Difference",
    "Event",
    "EventTimeout",
    "FileMessage",
    "FileProgress",
    "Handler",
    "History",
    "InvalidArgument",
    "Life",
    "LoopStats",
    "MemoryStore",
    "Message",
    "MessageEdited",
    "MessageReceived",
    "MessageSent",
    "NotFound",
    "Observation",
    "Observer",
    "OnFailure",
    "OnHandlerError",
    "OperationInfo",
    "Option",
    "OptionsMessage",
    "PermissionDenied",
    "PollEnded",
    "PollingLoop",
    "PollsDegraded",
    "PollsRecovered",
    "Probe",
    "ProbeReport",
    "Progress",
    "PuzzelChat",
    "PuzzelChatError",
    "QueueClosed",
    "QueueFull",
    "QueueInfo",
    "RateLimited",
    "Raw",
    "RedisStore",
    "RefreshEnded",
    "ReplyTooLarge",
    "RequestEnded",
    "RequestRetried",
    "Right",
    "Role",
    "RoutingError",
    "RoutingRefused",
    "SQLiteStore",
    "Secret",
    "ServerError",
    "Session",
    "SessionError",
    "SessionExpired",
    "SessionInUse",
    "SessionInfo",
    "SessionNotFound",
    "Settings",
    "SettingsFields",
    "Store",
    "StoreError",
    "StoredConversation",
    "StoredSession",
    "Telemetry",
    "TextMessage",
    "TimeInfo",
    "TokenSet",
    "TransportError",
    "Turn",
    "TurnFields",
    "UnknownMessage",
    "Unread",
    "Variable",
    "Visitor",
    "Worker",
    "WorkerInfo",
    "__version__",
    "event_from_dict",
    "is_message",
    "lease_is_free",
    "operations",
]

# Imported lazily, so that the blocking client does not import asyncio, nor an `except` clause httpx.
_LATER = {
    "_async": ("AsyncConversation", "AsyncPuzzelChat", "AsyncSession"),
    "_conversation": ("Progress",),
    "_files": ("FileProgress",),
    "_fleet": ("AfterError", "Handler", "LoopStats", "OnFailure", "OnHandlerError", "PollingLoop", "Worker"),
    "_history": ("History", "Turn", "TurnFields"),
    "_owners": ("lease_is_free",),
    "_observing": (
        "AgentSearchEnded",
        "ChatEnded",
        "ChatStarted",
        "MessageReceived",
        "MessageSent",
        "Observer",
        "PollEnded",
        "PollsDegraded",
        "PollsRecovered",
        "RefreshEnded",
        "RequestEnded",
        "RequestRetried",
        "Telemetry",
    ),
    "_probe": ("Difference", "Observation", "Probe", "ProbeReport"),
    "_sqlite": ("SQLiteStore",),
    "_redis": ("RedisStore",),
    "_store": (
        "AsyncStore",
        "MemoryStore",
        "Right",
        "SessionInfo",
        "Store",
        "StoredConversation",
        "StoredSession",
        "Unread",
        "WorkerInfo",
    ),
    "_sync": ("Conversation", "PuzzelChat", "Session"),
    "_tokens": ("TokenSet",),
    "_wire.operations": ("OperationInfo", "operations"),
}
_HOME = {name: module for module, names in _LATER.items() for name in names}


if not TYPE_CHECKING:  # a type checker that saw it would accept any name

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
