"""Settings: every wrong one is told by its name, before anything is sent."""

from __future__ import annotations

import ast
import inspect
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from puzzel_chat import AsyncPuzzelChat, ConfigurationError, PuzzelChat, SettingsFields
from puzzel_chat._settings import ENV_PREFIX, Settings, env_name

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


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_setting_is_told_with_its_variable(value: object) -> None:
    """The message says which one, and which environment variable would set it."""
    assert "PUZZEL_CHAT_SOLUTION_ID" in refused("solution_id", solution_id=value)


@pytest.mark.parametrize("setting", ["solution_id", "grant_type", "client_id", "tenant_id", "client_secret", "scope"])
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
        given: dict[str, Any] = {**GOOD, setting: value}
        assert getattr(Settings.checked(**given), setting) == value


@pytest.mark.parametrize(
    "value",
    ["a=b", ["a"], {"a": 1}, {1: "a"}]
    + [{name: "x"} for name in ("grant_type", "client_id", "tenant_id", "client_secret", "scope", "refresh_token")],
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
    wrong = {
        "timeout": "ten",
        "allow_insecure_http": "maybe",
        "token_fields": "=abc",
        "headers": "a",
        "max_retries": "x",
    }
    for setting, text in wrong.items():
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
    assert "secret" not in refused("identity_url", identity_url=url)


IMPOSSIBLE = ["https://chat..example", f"https://{'a' * 64}.example", "https://.example"]
"""No part of a name is empty or longer than 63 letters."""


@pytest.mark.parametrize(
    "url",
    ["https://chat\n.example", "https://chat.example/\x7f", "https://\u00e6..example", "https://xn--/", *IMPOSSIBLE],
)
@pytest.mark.parametrize("kind", [PuzzelChat, AsyncPuzzelChat])
def test_an_address_that_the_http_library_refuses_is_our_error(kind: type[Any], url: str) -> None:
    """A host name that cannot be is told as its setting, and no error of another library comes out."""
    with pytest.raises(ConfigurationError, match=r"^base_url: "):
        kind(base_url=url, solution_id="7")
    with pytest.raises(ConfigurationError, match=r"^identity_url: "):
        kind(**GOOD, identity_url=url)


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
    for setting in ("base_url", "identity_url"):
        assert "allow_insecure_http=True" in refused(setting, **{setting: url})
        allowed = Settings.checked(**{**GOOD, setting: url, "allow_insecure_http": True})
        assert getattr(allowed, setting) == url


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
        Settings(**GOOD).replace(pol_interval=1)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="pol_interval"):
        PuzzelChat.from_env(**GOOD, pol_interval=1)  # type: ignore[call-arg]


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
        "identity_url": "http://id.example",
        "upload_url": "http://files.example",
        "solution_id": "7",
        "grant_type": "client_credentials",
        "client_id": "c",
        "tenant_id": "t",
        "client_secret": "s",
        "scope": "chat",
        "token_fields": " audience = chat , tenant=7,note=a=b",
        "timeout": "2.5",
        "poll_interval": "0.5",
        "max_retries": "0",
        "max_message_bytes": "1000",
        "max_file_bytes": "2000",
        "proxy": "http://ada:pw@p.example:3128",
        "verify": "/etc/ca.pem",
        "headers": " X-Gateway-Key = sesam , X-Tag=a=b",
        "allow_insecure_http": "Yes",
    }
    assert {*texts, "region"} == set(Settings.__annotations__)
    for name, text in texts.items():
        monkeypatch.setenv(ENV_PREFIX + name.upper(), text)
    assert Settings.from_env() == Settings(
        base_url="http://chat.example",
        identity_url="http://id.example",
        upload_url="http://files.example",
        solution_id="7",
        grant_type="client_credentials",
        client_id="c",
        tenant_id="t",
        client_secret="s",
        scope="chat",
        token_fields={"audience": "chat", "tenant": "7", "note": "a=b"},
        timeout=2.5,
        poll_interval=0.5,
        max_retries=0,
        max_message_bytes=1000,
        max_file_bytes=2000,
        proxy="http://ada:pw@p.example:3128",
        verify="/etc/ca.pem",
        headers={"X-Gateway-Key": "sesam", "X-Tag": "a=b"},
        allow_insecure_http=True,
    )
    for name in ("base_url", "identity_url"):
        monkeypatch.delenv(env_name(name))
    monkeypatch.setenv("PUZZEL_CHAT_REGION", "uk")
    assert Settings.from_env().region == "uk"


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
        with pytest.raises(ConfigurationError, match=r"^region: is missing; .*base_url"):
            kind.from_env(solution_id="7")


def test_a_client_with_other_options_keeps_the_rest() -> None:
    """`with_options` changes what it is told to and checks it."""
    with PuzzelChat(**GOOD, scope="chat") as chat:
        other = chat.with_options(poll_interval=5)
        assert other._parts.settings == chat._parts.settings.replace(poll_interval=5)
        assert other._parts.store is chat._parts.store
        with pytest.raises(ConfigurationError, match="poll_interval"):
            chat.with_options(poll_interval=0)


# Which hosts


@pytest.mark.parametrize(
    ("region", "communication", "identity"),
    [
        ("opo", "https://app-commsrv.puzzel.com", "https://app-consumeridp.puzzel.com"),
        ("uk", "https://uk-commsrv.puzzel.com", "https://uk-consumeridp.puzzel.com"),
    ],
)
@pytest.mark.parametrize("spelt", [str, str.upper, " {} ".format])
def test_a_region_names_both_of_the_vendors_hosts(
    region: str, communication: str, identity: str, spelt: Callable[[str], Any]
) -> None:
    """The four addresses are those of the vendor's own page; case and blanks around the region do not matter."""
    settings = Settings.checked(solution_id="7", region=spelt(region))
    assert (settings.region, settings.base_url, settings.identity_url) == (region, communication, identity)
    assert [settings.address(name).url for name in ("communication", "identity")] == [communication, identity]
    assert [settings.address(name).setting for name in ("communication", "identity")] == ["region", "region"]


@pytest.mark.parametrize(("region", "host"), [("opo", "app"), ("uk", "uk")])
def test_a_region_names_a_host_for_files_that_may_be_another(region: Any, host: str) -> None:
    """One was observed and the other is assumed, so either can be named beside the region; a new region has its own."""
    settings = Settings(solution_id="7", region=region)
    assert str(settings.address("upload")) == f"{host}-contentupload.puzzel.com:443 (region)"
    own = Settings(solution_id="7", region=region, upload_url="https://files.example/")
    assert str(own.address("upload")) == "files.example:443 (upload_url)"
    assert own.address("communication") == settings.address("communication")
    assert own.replace(timeout=3).upload_url == "https://files.example"
    assert own.replace(region=region) == settings


def test_files_are_where_everything_is_unless_an_address_says_otherwise() -> None:
    """And they move along with `base_url`, unless they have a host of their own."""
    one = Settings(**GOOD)
    assert str(one.address("upload")) == "chat.example:443 (base_url)"
    assert one.replace(base_url="https://new.example").upload_url == "https://new.example"
    own = Settings(**GOOD, upload_url="https://files.example")
    assert own.replace(base_url="https://new.example").upload_url == "https://files.example"
    with pytest.raises(ConfigurationError, match=r"^upload_url: plain http to files.example"):
        Settings(**GOOD, upload_url="http://files.example")


@pytest.mark.parametrize("region", ["us", "", "  ", "uk2", "opo,uk", 7, True, ["uk"], b"uk"])
def test_a_region_that_does_not_exist_is_told_with_those_that_do(region: object) -> None:
    """The message lists the regions; nothing is guessed."""
    assert "opo, uk" in refused("region", region=region, base_url="")


@pytest.mark.parametrize("kind", [PuzzelChat, AsyncPuzzelChat])
@pytest.mark.parametrize("given", [{}, {"base_url": None}, {"base_url": ""}, {"region": None, "identity_url": ""}])
def test_neither_a_region_nor_an_address_is_one_clear_error(kind: type[Any], given: dict[str, Any]) -> None:
    """It names the setting, what could stand there, and both variables."""
    for make in (kind, kind.from_env):
        with pytest.raises(ConfigurationError, match=r"^region: is missing; .*opo, uk") as raised:
            make(solution_id="7", **given)
        assert raised.value.setting == "region"
        for name in ("region", "base_url", "identity_url"):
            assert env_name(name) in str(raised.value)


def test_an_identity_host_alone_is_told_as_the_missing_other_one() -> None:
    """The communication host cannot be guessed from it."""
    assert env_name("base_url") in refused("base_url", base_url="", identity_url="https://id.example")


@pytest.mark.parametrize("setting", ["base_url", "identity_url"])
def test_a_region_and_another_address_contradict_each_other(setting: str) -> None:
    """The error names the address that does not belong to the region; the region's own may be said twice."""
    given: dict[str, Any] = {"solution_id": "7", "region": "uk"}
    with pytest.raises(ConfigurationError, match=f"^{setting}: the region 'uk' names both hosts") as raised:
        Settings.checked(**{**given, setting: "https://chat.example"})
    assert raised.value.setting == setting
    region = Settings.checked(**given)
    assert Settings.checked(**given, base_url=region.base_url, identity_url=region.identity_url) == region


def test_an_identity_host_without_tls_is_refused() -> None:
    """It gets the secrets; only this machine's own may be spoken to without TLS, whatever the other host is."""
    assert "plain http to id.example" in refused("identity_url", identity_url="http://id.example")
    assert Settings(**GOOD, identity_url="http://127.0.0.1:8001").identity_url == "http://127.0.0.1:8001"


def test_one_address_serves_both_hosts_unless_the_other_is_given() -> None:
    """Each host knows the setting to change when it is wrong."""
    one = Settings(**GOOD)
    assert one.identity_url == one.base_url == "https://chat.example"
    assert one.address("identity").setting == one.address("communication").setting == "base_url"
    two = Settings(**GOOD, identity_url=" https://id.example/eu/ ")
    assert (two.address("identity").url, two.address("identity").setting) == ("https://id.example/eu", "identity_url")
    assert str(two.address("identity")) == "id.example:443 (identity_url)"
    assert str(two.address("communication")) == "chat.example:443 (base_url)"


ADDRESSES: dict[str, Any] = {"base_url": "https://chat.example", "identity_url": "https://id.example"}


def test_a_region_given_wins_over_addresses_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In code over the environment, and in other options over the first ones; so one client can move to a region."""
    region = Settings(solution_id="7", region="uk")
    assert Settings(solution_id="7", **ADDRESSES).replace(region="uk") == region
    with PuzzelChat(solution_id="7", **ADDRESSES) as chat:
        assert chat.with_options(region="uk")._parts.settings == region
    for name, address in ADDRESSES.items():
        monkeypatch.setenv(env_name(name), address)
    assert Settings.from_env(solution_id="7", region="uk") == region


def test_an_address_given_wins_over_a_region_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way round: no request goes to the region's hosts any more, the identity host's included."""
    region = Settings(solution_id="7", region="uk")
    one: dict[str, Any] = {"base_url": "https://chat.example"}
    for given in (one, ADDRESSES):
        expected = Settings(solution_id="7", **given)
        assert region.replace(**given) == expected
        with PuzzelChat(solution_id="7", region="uk") as chat:
            assert chat.with_options(**given)._parts.settings == expected
        monkeypatch.setenv("PUZZEL_CHAT_REGION", "uk")
        assert Settings.from_env(solution_id="7", **given) == expected


def test_one_region_takes_the_place_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both hosts change, and the chosen one is the last that was given."""
    uk = Settings(solution_id="7", region="uk")
    assert Settings(solution_id="7", region="opo").replace(region="uk") == uk
    monkeypatch.setenv("PUZZEL_CHAT_REGION", "opo")
    assert Settings.from_env(solution_id="7", region="uk") == uk


def test_the_identity_host_follows_the_other_unless_it_is_one_of_its_own() -> None:
    """A changed base_url never leaves tokens to be asked for at the host of before, which nobody named."""
    assert Settings(**GOOD).replace(base_url="https://new.example").identity_url == "https://new.example"
    own = Settings(solution_id="7", **ADDRESSES).replace(base_url="https://new.example")
    assert (own.base_url, own.identity_url) == ("https://new.example", "https://id.example")
    assert own.replace(identity_url="https://new.example").address("identity").setting == "base_url"


def test_other_options_for_the_hosts_have_connections_of_their_own() -> None:
    """A client with another address never uses the pool of the first, and one with another pace shares it."""
    with PuzzelChat(**GOOD) as chat:
        others: list[SettingsFields] = [
            {"base_url": "https://new.example"},
            {"identity_url": "https://id.example"},
            {"region": "uk"},
        ]
        for given in others:
            with chat.with_options(**given) as other:
                assert other._transport is not chat._transport
        assert chat.with_options(poll_interval=2)._transport is chat._transport


def test_no_secret_is_in_the_repr_of_settings() -> None:
    """The client's secret, added fields, headers and a proxy's password are masked, in settings and client."""
    given: dict[str, Any] = {
        **GOOD,
        "client_secret": "gr4n1te",
        "token_fields": {"audience": "gr4n1te"},
        "headers": {"X-Key": "gr4n1te"},
        "proxy": "http://ada:gr4n1te@p.example:1",
    }
    with PuzzelChat(**given) as chat:
        for shown in (repr(Settings(**given)), repr(chat), repr(chat._parts), repr(vars(chat._transport))):
            assert "gr4n1te" not in shown


def test_every_setting_says_what_it_is() -> None:
    """A sentence stands under each, where tools that write references look for it."""
    source = ast.parse(Path(inspect.getfile(Settings)).read_text(encoding="utf-8"))
    (made,) = [node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    told = {
        ast.unparse(one.target): ast.literal_eval(below.value)
        for one, below in zip(made.body, made.body[1:], strict=False)
        if isinstance(one, ast.AnnAssign) and isinstance(below, ast.Expr)
    }
    assert list(told) == list(Settings.__annotations__)
    assert [name for name, text in told.items() if not re.match(r"[A-Z].*\.$", text, re.MULTILINE)] == []


# Connections


@pytest.mark.parametrize("value", [False, 0, None, 7, "", "  ", "a\x00b", b"/ca.pem", Path("a\nb"), ["/ca.pem"]])
def test_whom_to_trust_is_a_path_or_a_context(value: object) -> None:
    """Nothing turns the check of certificates off."""
    assert ("always verified" in refused("verify", verify=value)) == (value is False)


def test_a_word_for_no_does_not_turn_verification_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a variable, yes is the usual and no is refused; anything else is a path."""
    for text in ("true", "Yes", "1"):
        monkeypatch.setenv("PUZZEL_CHAT_VERIFY", text)
        assert Settings.from_env(**GOOD).verify is True
    for text in ("false", "0", "NO", "off"):
        monkeypatch.setenv("PUZZEL_CHAT_VERIFY", text)
        with pytest.raises(ConfigurationError, match=r"^verify: .*always verified. Name your own authority"):
            Settings.from_env(**GOOD)


def test_a_context_must_verify() -> None:
    """One that checks no certificate, or not whose it is, is refused."""
    context = ssl.create_default_context()
    assert Settings(**GOOD, verify=context).verify is context
    context.check_hostname = False
    assert "TLS is always verified" in refused("verify", verify=context)
    context.verify_mode = ssl.CERT_NONE
    assert "TLS is always verified" in refused("verify", verify=context)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "HOST", "Content-Length", "Content-Type", "Cookie", "Accept", "TE", "Upgrade"],
)
def test_a_header_of_ours_cannot_be_set(name: str) -> None:
    """In any case of letters."""
    assert f"{name!r} is set by the library" in refused("headers", headers={name: "s3same"})


@pytest.mark.parametrize(
    "headers",
    [
        "a=b",
        ["a"],
        {"X": 1},
        {1: "a"},
        {"": "a"},
        {"X Y": "a"},
        {"X:": "a"},
        {"X\n": "a"},
        {"\u00c6": "a"},
        {"X": "s3same\r\nY: a"},
        {"X": "s3same\x00"},
        {"X": "s3same\t"},
        {"X": " s3same"},
        {"X": "s3same \u00e6"},
        {"X-A": "1", "x-a": "2"},
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(headers: object) -> None:
    """Control characters, blanks around it, letters beyond ASCII, the same name twice; no value is shown."""
    assert "s3same" not in refused("headers", headers=headers)


@pytest.mark.parametrize("value", [-1, 11, 1.5, "2", True, None])
def test_retries_are_a_small_whole_number(value: object) -> None:
    """From 0, which is never, to ten."""
    assert "whole number" in refused("max_retries", max_retries=value)


@pytest.mark.parametrize("value", [7, "", "  ", "http://p.example\n", b"http://p.example"])
def test_a_proxy_is_a_text_of_one_line(value: object) -> None:
    """What stands in it is checked when a client is made."""
    refused("proxy", proxy=value)


def test_a_change_of_what_connections_are_made_of_makes_others() -> None:
    """A client with another proxy, trust or headers never sends over the connections of the first."""
    changes: list[dict[str, Any]] = [{"proxy": "http://p.example:1"}, {"verify": ssl.create_default_context()}]
    with PuzzelChat(**GOOD) as chat:
        for given in [*changes, {"headers": {}}]:
            with chat.with_options(**given) as other:
                assert other._transport is not chat._transport
