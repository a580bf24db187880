"""The public interface: its names, its words, its types, and that both clients keep in step."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, get_type_hints

import attrs
import pytest

import puzzel_chat
import puzzel_chat.sandbox
import puzzel_chat.testing

NAMES = """
AfterError Agent AgentJoined AgentLeft AgentSearchEnded AgentTyping AgentWaitTimeout Allocation AllocationChanged
AllocationStage ApiError AsyncConversation AsyncPuzzelChat AsyncSession AsyncStore AuthenticationError Author ChatEnded
ChatStarted ConfigurationError Conflict ConnectionDegraded ConnectionRecovered ContractError Conversation
ConversationClosed ConversationEnded Customer CustomerFields DeliveryUnknown Difference Event EventTimeout FileMessage
FileProgress Handler History InvalidArgument Life LoopStats MemoryStore Message MessageEdited MessageReceived
MessageSent NotFound Observation Observer OnFailure OnHandlerError OperationInfo Option OptionsMessage PermissionDenied
PollEnded PollingLoop PollsDegraded PollsRecovered Probe ProbeReport Progress PuzzelChat PuzzelChatError QueueClosed
QueueFull QueueInfo RateLimited Raw RedisStore RefreshEnded ReplyTooLarge RequestEnded RequestRetried Right Role
RoutingError RoutingRefused SQLiteStore Secret ServerError Session SessionError SessionExpired SessionInUse SessionInfo
SessionNotFound Settings SettingsFields Store StoreError StoredConversation StoredSession Telemetry TextMessage
TimeInfo TokenSet TransportError Turn TurnFields UnknownMessage Unread Variable Visitor Worker WorkerInfo __version__
event_from_dict is_message lease_is_free operations
"""
ALIASES = {
    "Event",
    "FileProgress",
    "Handler",
    "History",
    "Message",
    "OnFailure",
    "Observer",
    "OnHandlerError",
    "Progress",
    "Raw",
    "Right",
    "Telemetry",
}
WITHOUT_DOCSTRING = {*ALIASES, "__version__"}
WALKS = {"Probe"}  # something under way, no value
PAIRS = [("PuzzelChat", "AsyncPuzzelChat"), ("Session", "AsyncSession"), ("Conversation", "AsyncConversation")]
FOREIGN = re.compile(r"httpx|puzzel_chat_api|\bunset\b", re.IGNORECASE)


def members(kind: type[Any]) -> dict[str, Any]:
    """The members that a caller uses, in their order: public ones, the constructor and the context manager."""
    used = ("__init__", "__enter__", "__exit__", "__aenter__", "__aexit__")
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("puzzel_chat")]
    found = {name: value for base in ours for name, value in vars(base).items()}
    return {name: value for name, value in found.items() if not name.startswith("_") or name in used}


def function(member: Any) -> Callable[..., Any] | None:
    """The function behind a method, a class method or a property."""
    if isinstance(member, property):
        return member.fget
    found = getattr(member, "__func__", member)
    return found if inspect.isfunction(found) else None


def public_functions(module: ModuleType = puzzel_chat) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function and method that a caller can call by a public name."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for key, member in members(value).items():
                found = function(member)
                if found is not None:
                    yield f"{name}.{key}", found


FUNCTIONS = dict(public_functions())
NAMED = [name for name in puzzel_chat.__all__ if name not in WITHOUT_DOCSTRING]


def test_the_public_names_are_these() -> None:
    """A name comes or goes only together with this list."""
    assert sorted(puzzel_chat.__all__) == sorted(NAMES.split())
    assert len(set(puzzel_chat.__all__)) == len(puzzel_chat.__all__)


def test_every_public_name_is_there() -> None:
    """Also those that are imported when first used; `dir()` tells them all, and others are an AttributeError."""
    for name in puzzel_chat.__all__:
        assert getattr(puzzel_chat, name) is not None
    assert set(puzzel_chat.__all__) <= set(dir(puzzel_chat))
    misspelt = "PuzzleChat"
    with pytest.raises(AttributeError, match=f"has no attribute '{misspelt}'"):
        getattr(puzzel_chat, misspelt)


def test_a_misspelt_name_is_seen_by_type_checkers() -> None:
    """A `__getattr__` that a checker sees makes every name good, so it may stand only where checkers do not look."""
    tree = ast.parse(inspect.getsource(puzzel_chat))
    assert not [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"]


def test_nothing_public_stands_beside_the_list() -> None:
    """A name without an underscore at the root is a promise, so it is in `__all__` or a module of ours."""
    beside = {
        name
        for name, value in vars(puzzel_chat).items()
        if not name.startswith("_") and name not in puzzel_chat.__all__ and not inspect.ismodule(value)
    }
    assert beside <= {"annotations", "TYPE_CHECKING", "import_module"}


def test_every_public_name_says_what_it_is() -> None:
    """The docstring begins with a line that is a sentence."""
    for name in NAMED:
        value = getattr(puzzel_chat, name)
        assert is_sentence(vars(value).get("__doc__") or value.__doc__), name


def is_sentence(docstring: str | None) -> bool:
    """Return whether a docstring begins with one."""
    return bool(re.match(r"[A-Z0-9`].*\.$", docstring or "", re.MULTILINE))


def test_every_public_method_says_what_it_does() -> None:
    """Each has a docstring whose first line is a sentence; constructors are told by their class."""
    assert [name for name, found in FUNCTIONS.items() if "__" not in name and not is_sentence(found.__doc__)] == []


def test_one_word_for_one_time() -> None:
    """`wait` says how long to wait for an agent, `timeout` bounds anything else, and there is no third word."""
    taking: dict[str, set[str]] = {"wait": set(), "timeout": set(), "within": set()}
    for module in (puzzel_chat, puzzel_chat.sandbox, puzzel_chat.testing):
        for name, found in public_functions(module):
            for word in taking.keys() & inspect.signature(found).parameters:
                taking[word].add(name.removesuffix(".__init__").rpartition(".")[2])
    assert taking["wait"] == {"start", "wait_for_agent", "allocation_updates", "add", "Worker"}
    assert taking["timeout"].isdisjoint(taking["wait"])
    assert taking["within"] == set()


def test_no_signature_shows_another_librarys_type() -> None:
    """Regenerating, or changing the HTTP library, never breaks a caller's annotations."""
    assert [name for name, found in FUNCTIONS.items() for text in shown_by(found) if FOREIGN.search(text)] == []


def shown_by(found: Callable[..., Any]) -> Iterator[str]:
    """Yield a signature, and what each word of its annotations stands for."""
    signature = inspect.signature(found)
    yield str(signature)
    for annotation in [signature.return_annotation, *(p.annotation for p in signature.parameters.values())]:
        for word in re.findall(r"[A-Za-z_]+", str(annotation)):
            value = found.__globals__.get(word)
            yield str(getattr(value, "__module__", "")) + str(value)


def test_every_value_is_frozen_and_of_our_own_types() -> None:
    """A value can be kept and shared, and none of its fields is of a foreign type."""
    for name in [one for one in NAMED if attrs.has(getattr(puzzel_chat, one)) and one not in WALKS]:
        kind = getattr(puzzel_chat, name)
        for field in attrs.fields(attrs.resolve_types(kind)):
            assert not FOREIGN.search(str(field.type)), name
        made = kind.__new__(kind)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(made, attrs.fields(kind)[0].name, "x")


RENAMED = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def in_step(text: object) -> str:
    """An annotation as the blocking client would have it."""
    told = re.sub(r"\bAsyncGenerator\[(.*)\]", r"Iterator[\1]", str(text))
    told = re.sub(r"\bAsyncIterator\[", "Iterator[", told)
    told = re.sub(r"\bAwaitable\[(.*)\]", r"\1", told)
    return re.sub(r"\bAsync(?=PuzzelChat|Session|Conversation|Transport)", "", told)


def shape(member: Any) -> tuple[str, list[tuple[str, str, object, str]], str]:
    """What a caller sees of a member: its kind, its parameters with kinds, defaults and types, and what it gives."""
    found = function(member)
    assert found is not None
    signature = inspect.signature(found)
    parameters = [(p.name, p.kind.name, p.default, in_step(p.annotation)) for p in signature.parameters.values()]
    kind = type(member).__name__
    return kind, parameters, in_step(signature.return_annotation)


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_both_clients_have_the_same_members_in_the_same_order(blocking: str, awaited: str) -> None:
    """Whoever knows one knows the other; only `close` is called `aclose`."""
    ours = list(members(getattr(puzzel_chat, blocking)))
    theirs = [RENAMED.get(name, name) for name in members(getattr(puzzel_chat, awaited))]
    assert ours == theirs


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_both_clients_take_and_give_the_same(blocking: str, awaited: str) -> None:
    """Names, kinds, defaults and types of every parameter are equal, and so is what comes back, once awaited."""
    theirs = {RENAMED.get(name, name): value for name, value in members(getattr(puzzel_chat, awaited)).items()}
    for name, member in members(getattr(puzzel_chat, blocking)).items():
        assert shape(theirs[name]) == shape(member), name


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_what_waits_is_awaited(blocking: str, awaited: str) -> None:
    """The blocking client has no coroutine; what sends nothing is plain in both."""
    plain = {
        "from_env",
        "with_options",
        "id",
        "session",
        "ended",
        "history_left_out",
        "conversation",
        "conversations",
    }
    plain |= {"transcript", "history_left_out", "proxies", "tls_context", "visitor_id", "__init__"}
    for member in members(getattr(puzzel_chat, blocking)).values():
        assert not inspect.iscoroutinefunction(function(member))
    for name, member in members(getattr(puzzel_chat, awaited)).items():
        found = function(member)
        yields = str(inspect.signature(found).return_annotation if found else "").startswith("AsyncGenerator")
        waits = (
            inspect.iscoroutinefunction(inspect.unwrap(found) if found else None)
            or inspect.isasyncgenfunction(found)
            or yields
        )
        assert waits != (name in plain), name


def test_both_clients_say_the_same_of_each_member() -> None:
    """The docstrings differ at most in the classes' names."""
    for blocking, awaited in PAIRS:
        theirs = {RENAMED.get(name, name): value for name, value in members(getattr(puzzel_chat, awaited)).items()}
        for name, member in members(getattr(puzzel_chat, blocking)).items():
            assert in_step(getattr(theirs[name], "__doc__", "")) == str(getattr(member, "__doc__", "")), name


def test_the_client_takes_every_setting() -> None:
    """Each field of `Settings` is a parameter of both clients, with the same default, None for what is not given.

    Only the communication host and the solution can be given by their place.
    """
    ours = [field.name for field in attrs.fields(puzzel_chat.Settings)]
    for kind in (puzzel_chat.PuzzelChat, puzzel_chat.AsyncPuzzelChat):
        parameters = inspect.signature(kind).parameters
        by_place = ["base_url", "solution_id"]
        others = [name for name in ours if name not in by_place]
        assert list(parameters) == [*by_place, *others, "store", "http_client", "observe"]
        kinds = {name: parameter.kind for name, parameter in parameters.items()}
        assert [name for name in parameters if kinds[name] is inspect.Parameter.POSITIONAL_OR_KEYWORD] == by_place
        for field in attrs.fields(puzzel_chat.Settings):
            if field.name.endswith("_url") or field.name in ("solution_id", "token_fields", "headers"):
                assert parameters[field.name].default is None
            else:
                assert parameters[field.name].default == field.default


def test_the_settings_have_the_same_types_wherever_they_are_written() -> None:
    """`from_env()` and `with_options()` take what both clients take, and each is a field of `Settings`."""
    told = get_type_hints(puzzel_chat.SettingsFields)
    fields = get_type_hints(puzzel_chat.Settings)
    assert set(told) == {field.name for field in attrs.fields(puzzel_chat.Settings)}
    for kind in (puzzel_chat.PuzzelChat, puzzel_chat.AsyncPuzzelChat):
        taken = get_type_hints(kind.__init__)
        assert {name: taken[name] for name in told} == told
    for name, hint in told.items():
        assert hint in (fields[name], fields[name] | None), name


def test_a_customer_has_the_same_fields_as_a_dict() -> None:
    """A field that is added to `Customer` is added to `CustomerFields`."""
    assert get_type_hints(puzzel_chat.CustomerFields) == {
        field.name: get_type_hints(puzzel_chat.Customer)[field.name] for field in attrs.fields(puzzel_chat.Customer)
    }


def test_the_version_is_the_projects() -> None:
    """One version, in the package and in its metadata."""
    from importlib.metadata import version

    assert version("puzzel-chat") == puzzel_chat.__version__
