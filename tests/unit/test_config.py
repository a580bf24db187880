"""Settings: every wrong one is told by its name, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from puzzel_chat import AsyncPuzzelChat, ConfigurationError, PuzzelChat
from puzzel_chat._config import ENV_PREFIX, Settings, env_name

GOOD: dict[str, Any] = {"base_url": "https://chat.example", "solution_id": "7"}


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings have no say in a test."""
    for name in Settings.__annotations__:
        monkeypatch.delenv(env_name(name), raising=False)


def refused(setting: str, **values: object) -> str:
    """Make settings that must be refused for this one; gives the message."""
    with pytest.raises(ConfigurationError) as raised:
        Settings.checked(**{**GOOD, **values})
    assert raised.value.setting == setting
    assert str(raised.value).startswith(f"{setting}: ")
    return str(raised.value)


@pytest.mark.parametrize("setting", ["base_url", "solution_id"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_setting_is_told_with_its_variable(setting: str, value: object) -> None:
    """The message says which one, and which environment variable would set it."""
    assert f"PUZZEL_CHAT_{setting.upper()}" in refused(setting, **{setting: value})


@pytest.mark.parametrize("setting", ["solution_id", "client_id", "client_secret", "scope"])
@pytest.mark.parametrize("value", [7, "   ", "a\nb", "a\x00", b"7"])
def test_a_text_setting_must_be_a_text_of_one_line(setting: str, value: object) -> None:
    """Another type, blanks and control characters are refused."""
    message = refused(setting, **{setting: value})
    assert "a\nb" not in message


@pytest.mark.parametrize("setting", ["timeout", "poll_interval"])
@pytest.mark.parametrize("value", [0, -1, 301, float("nan"), float("inf"), "10", True, None])
def test_seconds_must_be_a_number_within_bounds(setting: str, value: object) -> None:
    """Nonsense never becomes a timeout that hangs or a poll that hammers."""
    assert "seconds" in refused(setting, **{setting: value})


@pytest.mark.parametrize(("setting", "low", "high"), [("timeout", 0.1, 300), ("poll_interval", 0.05, 300)])
def test_the_bounds_themselves_are_good(setting: str, low: float, high: float) -> None:
    """Both ends of the range are taken, also as whole numbers."""
    for value in (low, 1, high):
        assert getattr(Settings.checked(**GOOD, **{setting: value}), setting) == value


@pytest.mark.parametrize(
    "value",
    ["a=b", ["a"], {"a": 1}, {1: "a"}]
    + [{name: "x"} for name in ("grant_type", "client_id", "client_secret", "scope", "refresh_token")],
)
def test_token_fields_must_be_strings_and_not_the_grants_own(value: object) -> None:
    """Any form field can be added but those that make up the grant, which have settings of their own."""
    refused("token_fields", token_fields=value)


@pytest.mark.parametrize("value", ["false", "no", 1, 0, None])
def test_leave_for_plain_http_must_be_a_boolean(value: object) -> None:
    """A word that means no must never open the guard."""
    refused("allow_insecure_http", allow_insecure_http=value)


def test_a_variable_that_is_wrong_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error's `setting` is the setting, and its message names the variable."""
    for setting, text in (("timeout", "ten"), ("allow_insecure_http", "maybe"), ("token_fields", "=abc")):
        monkeypatch.setenv(env_name(setting), text)
        with pytest.raises(ConfigurationError, match=env_name(setting)) as raised:
            Settings.from_env(**GOOD)
        assert raised.value.setting == setting
        monkeypatch.delenv(env_name(setting))


@pytest.mark.parametrize("store", ["chats.db", 5, {}])
def test_a_store_must_be_a_store(store: object) -> None:
    """A path is told what it should have been, before anything is sent."""
    for make in (PuzzelChat, AsyncPuzzelChat, PuzzelChat.from_env):
        with pytest.raises(ConfigurationError, match=r"^store: .*SQLiteStore"):
            make(**GOOD, store=store)  # type: ignore[arg-type]  # that is the point


def test_token_fields_are_kept_as_they_were_checked() -> None:
    """A mapping that the caller changes later does not change settings that are frozen."""
    fields = {"audience": "chat"}
    settings = Settings(**GOOD, token_fields=fields)
    fields["grant_type"] = "password"
    assert dict(settings.token_fields) == {"audience": "chat"}


@pytest.mark.parametrize(
    "url",
    [
        7,
        "chat.example",
        "ftp://chat.example",
        "https://",
        "https:///path",
        "https://chat.example:99999",
        "https://[::1",
        "https://ada:secret@chat.example",
        "https://chat.example?x=1",
        "https://chat.example#x",
        "https://chat.example/?",
        "https://chat.example/#",
        "https://chat.exa mple",
        "https://chat.example/a b",
    ],
)
def test_an_address_that_cannot_be_one_is_refused(url: object) -> None:
    """Scheme, host and port must be there, and nothing that would change what is sent or show a password."""
    assert "secret" not in refused("base_url", base_url=url)


@pytest.mark.parametrize(
    "url", ["https://chat\n.example", "https://chat.example/\x7f", "https://\u00e6..example", "https://xn--/"]
)
@pytest.mark.parametrize("kind", [PuzzelChat, AsyncPuzzelChat])
def test_an_address_that_the_http_library_refuses_is_our_error(kind: type[Any], url: str) -> None:
    """A host name that cannot be is told as `base_url`, and no error of another library comes out."""
    with pytest.raises(ConfigurationError, match=r"^base_url: "):
        kind(base_url=url, solution_id="7")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://127.9.9.9", "http://[::1]:8000", "http://localhost:1", "http://chat.localhost"],
)
def test_plain_http_is_for_loopback(url: str) -> None:
    """On this machine nobody listens in: IPv4, IPv6 and the names of localhost are taken."""
    assert Settings(base_url=url, solution_id="7").base_url == url


@pytest.mark.parametrize("url", ["http://chat.example", "http://10.0.0.1", "http://[2001:db8::1]", "http://0.0.0.0"])
def test_plain_http_to_another_machine_must_be_asked_for(url: str) -> None:
    """It would show tokens and chats to the network, so it is refused unless the caller says that it is theirs."""
    message = refused("base_url", base_url=url)
    assert "allow_insecure_http=True" in message
    assert Settings(base_url=url, solution_id="7", allow_insecure_http=True).base_url == url


def test_a_name_that_only_looks_like_loopback_is_not() -> None:
    """`localhost.example` is another machine."""
    for url in ("http://localhost.example", "http://127.0.0.1.example", "http://notlocalhost"):
        refused("base_url", base_url=url)


def test_slashes_and_blanks_around_the_address_are_trimmed() -> None:
    """A path stays, a slash at the end goes, so that paths can be put behind it."""
    assert Settings(base_url=" https://chat.example/eu/ ", solution_id="7").base_url == "https://chat.example/eu"
    assert Settings(base_url="HTTPS://chat.example", solution_id="7").base_url == "HTTPS://chat.example"


def test_a_misspelt_setting_is_told_with_those_that_exist() -> None:
    """Nothing is ignored silently."""
    assert "poll_interval" in refused("pol_interval", pol_interval=1)
    with pytest.raises(ConfigurationError, match="pol_interval"):
        Settings(**GOOD).replace(pol_interval=1)
    with pytest.raises(ConfigurationError, match="pol_interval"):
        PuzzelChat.from_env(**GOOD, pol_interval=1)


def test_changed_settings_are_checked_again() -> None:
    """`replace` takes what the constructor takes, no more."""
    settings = Settings(**GOOD)
    assert settings.replace(timeout=3).timeout == 3
    assert settings.timeout == 10
    with pytest.raises(ConfigurationError, match=r"^timeout: "):
        settings.replace(timeout=0)


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has one variable, named after it, and its text is read as what the setting is."""
    texts = {
        "base_url": "http://chat.example",
        "solution_id": "7",
        "client_id": "c",
        "client_secret": "s",
        "scope": "chat",
        "token_fields": " audience = chat , tenant=7,note=a=b",
        "timeout": "2.5",
        "poll_interval": "0.5",
        "allow_insecure_http": "Yes",
    }
    assert set(texts) == set(Settings.__annotations__)
    for name, text in texts.items():
        monkeypatch.setenv(ENV_PREFIX + name.upper(), text)
    assert Settings.from_env() == Settings(
        base_url="http://chat.example",
        solution_id="7",
        client_id="c",
        client_secret="s",
        scope="chat",
        token_fields={"audience": "chat", "tenant": "7", "note": "a=b"},
        timeout=2.5,
        poll_interval=0.5,
        allow_insecure_http=True,
    )


def test_a_keyword_wins_over_its_variable_unless_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given in code is meant; None means: not given."""
    monkeypatch.setenv("PUZZEL_CHAT_BASE_URL", "https://env.example")
    monkeypatch.setenv("PUZZEL_CHAT_SOLUTION_ID", "7")
    settings = Settings.from_env(base_url="https://code.example", solution_id=None)
    assert (settings.base_url, settings.solution_id) == ("https://code.example", "7")


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing leaves the default, or is missing."""
    monkeypatch.setenv("PUZZEL_CHAT_TIMEOUT", "")
    assert Settings.from_env(**GOOD).timeout == 10.0
    monkeypatch.setenv("PUZZEL_CHAT_SOLUTION_ID", "")
    with pytest.raises(ConfigurationError, match="PUZZEL_CHAT_SOLUTION_ID"):
        Settings.from_env(base_url="https://chat.example")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("timeout", "soon"),
        ("poll_interval", "1s"),
        ("allow_insecure_http", "perhaps"),
        ("token_fields", "audience"),
        ("timeout", "nan"),
    ],
)
def test_a_wrong_variable_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """The error names the setting, or the variable that holds it."""
    monkeypatch.setenv(env_name(name), text)
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(**GOOD)
    assert name in raised.value.setting.lower()


@pytest.mark.parametrize(("text", "value"), [("1", True), ("on", True), ("0", False), ("No", False), ("FALSE", False)])
def test_yes_and_no_are_read_in_their_usual_spellings(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    """Case does not matter."""
    monkeypatch.setenv("PUZZEL_CHAT_ALLOW_INSECURE_HTTP", text)
    assert Settings.from_env(**GOOD).allow_insecure_http is value


def test_the_client_checks_before_it_opens_anything() -> None:
    """Both clients raise for a wrong setting when they are made."""
    for kind in (PuzzelChat, AsyncPuzzelChat):
        with pytest.raises(ConfigurationError, match="solution_id"):
            kind(base_url="https://chat.example")
        with pytest.raises(ConfigurationError, match="base_url"):
            kind.from_env(solution_id="7")


def test_a_client_with_other_options_keeps_the_rest() -> None:
    """`with_options` changes what it is told to and checks it."""
    with PuzzelChat(**GOOD, scope="chat") as chat:
        other = chat.with_options(poll_interval=5)
        assert other._parts.settings == chat._parts.settings.replace(poll_interval=5)
        assert other._parts.store is chat._parts.store
        with pytest.raises(ConfigurationError, match="poll_interval"):
            chat.with_options(poll_interval=0)
