"""The sandbox's identity host over HTTP: which host answers what, who is given a token, and who is signed in."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from uuid import UUID

import httpx
import pytest

from bare import Customer
from puzzel_chat.sandbox import NOTICE, Fault, Happening, Sandbox
from puzzel_chat.sandbox._contract import IDENTITY, ROUTES

CLIENT = "grant_type=visitor&client_id=oneplatform_engage"
FORM = "application/x-www-form-urlencoded"
VERIFIER = "a-verifier-of-43-characters-is-the-shortest"


class Time:
    """A clock that moves when told to."""

    now = 1_790_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Time:
    """The sandbox's time."""
    return Time()


@pytest.fixture
def sandbox(clock: Time) -> Iterator[Sandbox]:
    """A sandbox with two hosts."""
    with Sandbox(script="manual", pace=0, clock=clock) as sandbox:
        yield sandbox


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def sign_in(customer: Customer, token: str, *, member: str = "accessToken", provider: object = None) -> httpx.Response:
    """Authenticate a visitor at the identity host."""
    params = {} if provider is None else {"providerId": str(provider)}
    body = {"codeChallenge": challenge(VERIFIER), member: token}
    return customer.identity.post(f"/api/authenticate/{customer.tenant}", params=params, json=body)


def come_in(customer: Customer, key: str, verifier: str = VERIFIER) -> httpx.Response:
    """Ask for the token of a signed-in visitor."""
    return customer.token(grant_type="visitor", user_info_id=key, code_verifier=verifier)


def filled(called: str) -> tuple[str, str]:
    """Return method and path of a call, on the customer's own ids."""
    method, path = called.split()
    for name, value in (("customerId", "12345"), ("queueKey", "support"), ("id", "chat")):
        path = path.replace(f"{{{name}}}", value)
    return method, path


@pytest.mark.parametrize("operation", ROUTES)
def test_each_host_answers_its_own_paths_only(sandbox: Sandbox, customer: Customer, operation: str) -> None:
    """A call to the other host is an unknown path, also with a good token, and is counted for no operation."""
    method, path = filled(ROUTES[operation])
    before = dict(sandbox.stats().requests)
    right, wrong = customer.http, customer.identity
    wrong.headers["Authorization"] = right.headers["Authorization"]
    if operation in IDENTITY:
        right, wrong = wrong, right
    reply = wrong.request(method, path)
    assert (reply.status_code, reply.json()["code"]) == (404, "NotFound")
    assert sandbox.stats().requests == before
    assert right.request(method, path).json().get("code") != "NotFound"
    assert sandbox.stats().requests == {**before, operation: before.get(operation, 0) + 1}


def test_one_port_can_serve_both_hosts() -> None:
    """Without an identity port everything is at one address, also after a restart."""
    with Sandbox(identity_port=None) as sandbox:
        before = sandbox.settings
        assert before["base_url"] == before["identity_url"]
        assert sandbox.banner.count("http://") == 1
        sandbox.restart()
        assert sandbox.settings == before
        with closing(Customer(sandbox)) as customer:
            assert customer.poll().status_code == 200


def test_the_settings_and_the_banner_name_both_hosts(sandbox: Sandbox) -> None:
    """What a client needs is in `settings`, and the banner says all of it and the ids of a queue."""
    assert sandbox.base_url != sandbox.identity_url
    assert sandbox.settings == {
        "base_url": sandbox.base_url,
        "identity_url": sandbox.identity_url,
        "solution_id": sandbox.solution_id,
    }
    for word in (NOTICE, *sandbox.settings.values(), sandbox.queue_key, sandbox.visual_queue_id):
        assert str(word) in sandbox.banner


def test_both_hosts_are_marked_and_suffer_faults(sandbox: Sandbox, customer: Customer) -> None:
    """The identity host says that it is a simulator too, and a fault strikes its calls like any other."""
    token = sandbox.visitor_token()
    sandbox.faults(Fault.status(503, "authenticateVisitor", times=1), Fault.status(429, "connectToken", times=1))
    replies = [sign_in(customer, token), customer.refresh(), sign_in(customer, token), customer.poll()]
    assert [reply.status_code for reply in replies] == [503, 429, 200, 200]
    assert {reply.headers["X-Simulator"] for reply in replies} == {NOTICE}
    assert len({reply.headers["X-Request-Id"] for reply in replies}) == 4
    assert sandbox.stats().requests["authenticateVisitor"] == 2


@pytest.mark.parametrize(("kind", "body", "status", "error"), [
    ("application/json", "{}", 400, "invalid_request"),
    (FORM, "", 400, "invalid_request"),
    (FORM, "grant_type=visitor&tenant_id=12345", 400, "invalid_request"),
    (FORM, CLIENT, 400, "invalid_request"),
    (FORM, f"{CLIENT}&tenant_id=12345&tenant_id=12345", 400, "invalid_request"),
    (FORM, f"{CLIENT}&tenant_id=%ff", 400, "invalid_request"),
    (FORM, f"{CLIENT}&tenant_id=support", 400, "invalid_grant"),
    (FORM, "grant_type=client_credentials&client_id=12345", 400, "unsupported_grant_type"),
    (FORM, "grant_type=password&client_id=oneplatform_engage&tenant_id=12345", 400, "unsupported_grant_type"),
    (FORM, "grant_type=visitor&client_id=12345&tenant_id=12345", 401, "invalid_client"),
    (FORM, "grant_type=refresh_token&refresh_token=x", 400, "invalid_request"),
    (FORM, "grant_type=refresh_token&client_id=oneplatform_engage", 400, "invalid_request"),
    (FORM, "grant_type=refresh_token&client_id=oneplatform_engage&refresh_token=x", 400, "invalid_grant"),
])  # fmt: skip
def test_token_form_errors(sandbox: Sandbox, kind: str, body: str, status: int, error: str) -> None:
    """The token endpoint answers bad forms with an OAuth error body, never a problem."""
    url, headers = f"{sandbox.identity_url}/connect/token", {"Content-Type": kind}
    reply = httpx.post(url, content=body.encode(), headers=headers, trust_env=False, verify=False)
    assert (reply.status_code, reply.json()["error"]) == (status, error)
    assert reply.headers["Content-Type"] == "application/json"
    assert sandbox.stats().tokens_issued == 0


def test_token_form_takes_more_fields(customer: Customer) -> None:
    """Fields that the contract does not name are allowed and ignored."""
    assert customer.token(grant_type="visitor", scope="chat", acr_values="x").status_code == 200


def test_a_refresh_may_leave_its_tenant_out_but_not_name_another(customer: Customer) -> None:
    """On a refresh `tenant_id` may be absent; a wrong one is refused and spends nothing."""
    form = {"grant_type": "refresh_token", "refresh_token": customer.tokens["refresh_token"]}
    assert customer.token(**form, tenant_id="54321").json()["error"] == "invalid_grant"
    reply = customer.identity.post("/connect/token", data={**form, "client_id": "oneplatform_engage"})
    assert reply.status_code == 200


def test_secret_and_client_when_they_are_configured() -> None:
    """With a client secret the right one is needed, on a refresh too, and it shows in no repr."""
    with Sandbox(client_id="bot", client_secret="s3cret-word") as sandbox:
        with closing(Customer(sandbox, client_id="bot", client_secret="s3cret-word")) as customer:
            for word in ("", "wrong"):
                reply = customer.token(grant_type="visitor", client_id="bot", client_secret=word)
                assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")
            assert customer.refresh().json()["error"] == "invalid_client"
        assert "s3cret-word" not in repr(sandbox) + repr(vars(sandbox))


def test_another_grant_can_be_asked_for() -> None:
    """A sandbox told so opens sessions by another grant, which needs no tenant, and by that one alone."""
    with Sandbox(grant_type="client_credentials", client_id="bot") as sandbox:
        url = f"{sandbox.identity_url}/connect/token"
        form = {"grant_type": "client_credentials", "client_id": "bot"}
        assert httpx.post(url, data=form, trust_env=False, verify=False).json()["visitor_id"]
        reply = httpx.post(
            url, data={**form, "grant_type": "visitor", "tenant_id": "12345"}, trust_env=False, verify=False
        )
        assert reply.json()["error"] == "unsupported_grant_type"


def test_a_visitor_stays_the_same_through_every_refresh(customer: Customer) -> None:
    """The visitor id has the form of a UUID, is the session's own, and comes with every refresh reply."""
    first = customer.tokens["visitor_id"]
    assert str(UUID(first)) == first
    for _ in range(5):
        customer.tokens = customer.refresh().json()
        assert customer.tokens["visitor_id"] == first
    assert customer.token(grant_type="visitor").json()["visitor_id"] != first


@pytest.mark.parametrize("member", ["accessToken", "idToken"])
@pytest.mark.parametrize("provider", [None, 1, 2])
def test_a_signed_in_visitor_comes_in(sandbox: Sandbox, customer: Customer, member: str, provider: int | None) -> None:
    """A token of the customer's provider, as either kind, brings a session that chats and refreshes as ever."""
    reply = sign_in(customer, sandbox.visitor_token(provider_id=provider), member=member, provider=provider)
    assert (reply.status_code, list(reply.json())) == (200, ["userInfoId"])
    assert reply.headers["Cache-Control"] == "no-store"
    customer.tokens = come_in(customer, reply.json()["userInfoId"]).json()
    customer.bear(customer.tokens)
    assert customer.route().status_code == 202
    assert customer.refresh().json()["visitor_id"] == customer.tokens["visitor_id"]
    assert sandbox.stats().counts["visitor-signed-in"] == 1


def test_the_same_visitor_has_the_same_id_each_time(sandbox: Sandbox, customer: Customer) -> None:
    """A visitor is known by name and provider; sessions, tokens and kinds of token do not matter."""

    def visit(name: str, provider: int, member: str = "accessToken") -> str:
        token = sandbox.visitor_token(name, provider_id=provider)
        key = sign_in(customer, token, member=member, provider=provider).json()["userInfoId"]
        return str(come_in(customer, key).json()["visitor_id"])

    first = visit("Ada", 1)
    sandbox.restart(forget=True)
    assert visit("Ada", 1, "idToken") == first
    assert len({first, visit("Kari", 1), visit("Ada", 2), customer.tokens["visitor_id"]}) == 4


@pytest.mark.parametrize(("body", "status"), [
    (b"", 400), (b"[]", 400), (b"{}", 400), (b'{"accessToken":"GOOD"}', 400), (b'{"codeChallenge":"c"}', 400),
    (b'{"codeChallenge":"","accessToken":"GOOD"}', 400), (b'{"codeChallenge":null,"accessToken":"GOOD"}', 400),
    (b'{"codeChallenge":1,"accessToken":"GOOD"}', 400), (b'{"codeChallenge":"c","accessToken":7}', 400),
    (b'{"codeChallenge":"c","accessToken":"GOOD","idToken":"GOOD"}', 400),
    (b'{"codeChallenge":"c","accessToken":null,"idToken":null}', 400),
    (b'{"codeChallenge":"c","accessToken":""}', 400), (b'{"codeChallenge":"c","token":"GOOD"}', 400),
    (b'{"codeChallenge":"c","accessToken":"GOOD","idToken":null}', 200),
    (b'{"codeChallenge":"c","accessToken":"wrong"}', 401), (b'{"codeChallenge":"c","idToken":"wrong"}', 401),
])  # fmt: skip
def test_bodies_of_a_sign_in(sandbox: Sandbox, customer: Customer, body: bytes, status: int) -> None:
    """The challenge and exactly one token are needed; a refusal is a problem that repeats nothing of what came."""
    token = sandbox.visitor_token()
    content, headers = body.replace(b"GOOD", token.encode()), {"Content-Type": "application/json"}
    reply = customer.identity.post("/api/authenticate/12345", content=content, headers=headers)
    assert reply.status_code == status
    assert token not in reply.text
    if status != 200:
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.json()["code"] == {400: "BadRequest", 401: "InvalidToken"}[status]


def test_where_a_visitor_cannot_sign_in(sandbox: Sandbox, customer: Customer) -> None:
    """An unknown customer or provider is not found, and a provider's token is good there alone."""
    token = sandbox.visitor_token(provider_id=2)
    assert sign_in(customer, token).json()["code"] == "InvalidToken"
    assert sign_in(customer, token, provider=1).json()["code"] == "InvalidToken"
    for provider in (0, 3, -1, 9_999_999_999):
        reply = sign_in(customer, token, provider=provider)
        assert (reply.status_code, reply.json()["code"]) == (404, "ProviderNotFound")
    for text in ("", "two", "1.0", "٢", "2 ", "99999999999"):
        assert sign_in(customer, token, provider=text).status_code == 400
    customer.tenant = "54321"
    reply = sign_in(customer, token, provider=2)
    assert (reply.status_code, reply.json()["code"]) == (404, "CustomerNotFound")
    with pytest.raises(ValueError, match="1, 2"):
        sandbox.visitor_token(provider_id=3)


def test_a_providers_token_expires(sandbox: Sandbox, customer: Customer, clock: Time) -> None:
    """A token of the provider is good for its life, and one without any is expired from the start."""
    token = sandbox.visitor_token(life=60)
    assert sign_in(customer, sandbox.visitor_token(life=0)).status_code == 401
    clock.now += 59
    assert sign_in(customer, token).status_code == 200
    clock.now += 1
    assert sign_in(customer, token).json()["code"] == "InvalidToken"


@pytest.mark.parametrize("form", [
    {"code_verifier": VERIFIER}, {"user_info_id": "KEY"}, {"user_info_id": "KEY", "code_verifier": ""},
    {"user_info_id": "KEY", "code_verifier": VERIFIER[:-1]}, {"user_info_id": "KEY", "code_verifier": f"{VERIFIER}s"},
    {"user_info_id": "KEY", "code_verifier": challenge(VERIFIER)}, {"user_info_id": "x", "code_verifier": VERIFIER},
    {"user_info_id": "KEY", "code_verifier": f"{VERIFIER}ø"},
])  # fmt: skip
def test_a_wrong_verifier_is_refused_and_spends_the_sign_in(
    sandbox: Sandbox, customer: Customer, form: dict[str, str]
) -> None:
    """Both fields are needed and must go together; whoever tried a sign-in once has used it up."""
    key = sign_in(customer, sandbox.visitor_token()).json()["userInfoId"]
    tried = {name: value.replace("KEY", key) for name, value in form.items()}
    reply = customer.token(grant_type="visitor", **tried)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
    assert come_in(customer, key).status_code == (400 if key in tried.values() else 200)


def test_a_sign_in_is_good_for_one_token_request_within_ten_minutes(
    sandbox: Sandbox, customer: Customer, clock: Time
) -> None:
    """It cannot be used twice, nor late, nor after the service forgot; a wrong tenant does not use it up."""
    keys = [sign_in(customer, sandbox.visitor_token()).json()["userInfoId"] for _ in range(3)]
    wrong = customer.token(grant_type="visitor", tenant_id="54321", user_info_id=keys[0], code_verifier=VERIFIER)
    assert wrong.json()["error"] == "invalid_grant"
    clock.now += 599
    assert [come_in(customer, keys[0]).status_code for _ in range(2)] == [200, 400]
    clock.now += 1
    assert come_in(customer, keys[1]).json()["error"] == "invalid_grant"
    late = sign_in(customer, sandbox.visitor_token()).json()["userInfoId"]
    sandbox.restart(forget=True)
    assert come_in(customer, late).json()["error"] == "invalid_grant"


def test_a_lost_token_reply_costs_the_sign_in(sandbox: Sandbox, customer: Customer) -> None:
    """When the reply of the token request is lost, the same `userInfoId` is refused, as a code is in OAuth."""
    key = sign_in(customer, sandbox.visitor_token()).json()["userInfoId"]
    sandbox.faults(Fault.drop("connectToken", after=True, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        come_in(customer, key)
    assert come_in(customer, key).json()["error"] == "invalid_grant"


def test_the_fields_of_a_sign_in_can_have_other_names() -> None:
    """The two fields of the token request are assumed, so a sandbox can be told of others, and knows only those."""
    with Sandbox(visitor_fields=("userInfo", "verifier")) as sandbox, closing(Customer(sandbox)) as customer:
        keys = [sign_in(customer, sandbox.visitor_token()).json()["userInfoId"] for _ in range(2)]
        assert come_in(customer, keys[0]).json()["error"] == "invalid_request"
        theirs = [
            customer.token(grant_type="visitor", userInfo=key, verifier=VERIFIER).json()["visitor_id"] for key in keys
        ]
        assert theirs[0] == theirs[1]


def test_a_providers_token_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Neither logs nor reprs nor happenings nor later replies hold a provider's token, a verifier or a name."""
    seen: list[Happening] = []
    with caplog.at_level(logging.DEBUG), Sandbox(on_event=seen.append) as sandbox, closing(Customer(sandbox)) as one:
        token = sandbox.visitor_token("Solveig")
        key = sign_in(one, token).json()["userInfoId"]
        replies = [sign_in(one, token, provider=2).text, come_in(one, key).text, come_in(one, key).text]
    assert [happening.kind for happening in seen] == ["session-opened", "visitor-signed-in", "session-opened"]
    told = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    told += [repr(seen), *replies, repr(sandbox), repr(vars(sandbox))]
    for word in (token, VERIFIER, "Solveig"):
        assert not any(word in text for text in told)
