"""Who may use which route: keys, web pages, names and paths."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fake_runtime import FakeEngine, make_state, repeat_prompt
from starlette.types import ASGIApp

from sglang.srt.entrypoints.app import create_app
from sglang.srt.entrypoints.auth import PUBLIC_PATHS, Access
from sglang.srt.entrypoints.routes import ROUTES
from sglang.srt.entrypoints.server_routes import INFO_ROUTES
from sglang.srt.server_args import ServerArgs, ServerArgsError

USER, ADMIN = "user-key", "admin-key"
HERE, ELSEWHERE = ("127.0.0.1", 1), ("203.0.113.7", 1)
ABORT = ("POST", "/abort_request")
UPDATE = ("POST", "/update_weights_from_disk")
MODELS = ("GET", "/v1/models")


def app_with(**args: Any) -> ASGIApp:
    return create_app(make_state(FakeEngine(repeat_prompt), **args))


def ask(
    app: ASGIApp,
    route: tuple[str, str],
    *,
    key: str | None = None,
    client: tuple[str, int] | None = HERE,
    url: str = "http://localhost",
    **headers: str,
) -> httpx.Response:
    """One request, in this process."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=client)
        async with httpx.AsyncClient(transport=transport, base_url=url) as http:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            if key is not None:
                given["Authorization"] = f"Bearer {key}"
            return await http.request(*route, headers=given, json={"rid": "x"})

    return asyncio.run(send())


def routes_of(app: Any) -> list[tuple[str, str]]:
    paths = [(method, route.path) for route in app.routes for method in sorted(route.methods)]
    return [(method, path.split("{")[0] + "x" * ("{" in path)) for method, path in paths]


# --------------------------------------------------------------------------------------
# Keys
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [{"api_key": USER}, {"api_key": USER, "admin_api_key": ADMIN}])
def test_every_route_wants_a_key_unless_it_is_listed_as_public(args: dict[str, str]) -> None:
    app = app_with(**args)
    for route in [*routes_of(app), ("GET", "/nowhere"), ("GET", "/health/"), ("GET", "/health%0A")]:
        wanted = 401 if route[1] not in PUBLIC_PATHS else 200
        assert ask(app, route).status_code == wanted, route
        assert ask(app, route, key="wrong").status_code == wanted, route


@pytest.mark.parametrize(
    ("keys", "route", "key", "status"),
    [
        ((None, None), ABORT, None, 200),
        ((USER, None), ABORT, USER, 200),
        ((USER, ADMIN), ABORT, USER, 403),
        ((USER, ADMIN), ABORT, ADMIN, 200),
        ((None, ADMIN), ABORT, None, 403),
        ((None, ADMIN), ABORT, ADMIN, 200),
        ((None, None), UPDATE, None, 400),
        ((USER, None), UPDATE, USER, 403),
        ((USER, ADMIN), UPDATE, USER, 403),
        ((USER, ADMIN), UPDATE, ADMIN, 400),
        ((None, ADMIN), UPDATE, None, 403),
        ((None, ADMIN), UPDATE, ADMIN, 400),
        ((None, ADMIN), MODELS, None, 200),
        ((USER, ADMIN), MODELS, ADMIN, 200),
    ],
)
def test_which_key_opens_what(
    keys: tuple[str | None, str | None], route: tuple[str, str], key: str | None, status: int
) -> None:
    app = app_with(api_key=keys[0], admin_api_key=keys[1])
    assert ask(app, route, key=key).status_code == status


def test_every_route_that_steers_the_server_wants_the_admin_key() -> None:
    app = app_with(api_key=USER, admin_api_key=ADMIN)
    steering = {r.path for r in (*ROUTES, *INFO_ROUTES) if r.access is not Access.USER}
    assert steering >= {"/flush_cache", "/abort_request", "/update_weights_from_disk"}
    for route in routes_of(app):
        if route[1] in steering:
            for suffix in ("", "%0A"):  # which some routers take for the same path
                answer = ask(app, (route[0], route[1] + suffix), key=USER)
                assert answer.status_code in (403, 404), route


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("127.0.0.1", 1), 400),
        (("127.8.9.1", 1), 400),
        (("::1", 1), 400),
        (("::ffff:127.0.0.1", 1), 400),
        (None, 400),  # a unix socket
        (ELSEWHERE, 403),
        (("10.0.0.2", 1), 403),
        (("::ffff:10.0.0.2", 1), 403),
    ],
)
def test_without_keys_dangerous_routes_answer_to_this_machine_only(
    client: tuple[str, int] | None, status: int
) -> None:
    assert ask(app_with(host="0.0.0.0"), UPDATE, client=client).status_code == status


def test_harmless_routes_answer_to_others_without_keys() -> None:
    assert ask(app_with(host="0.0.0.0"), MODELS, client=ELSEWHERE).status_code == 200


def test_a_refusal_says_what_would_help_and_tells_no_key() -> None:
    app = app_with(api_key=USER, admin_api_key=ADMIN)
    for answer in (ask(app, MODELS), ask(app, ABORT, key=USER)):
        assert "key" in answer.json()["error"]["message"]
        assert USER not in answer.text
        assert ADMIN not in answer.text


def test_the_admin_key_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_ADMIN_API_KEY", ADMIN)
    args = ServerArgs(model_path="fake")
    assert args.admin_api_key == ADMIN
    for shown in (repr(args), str(args.to_dict()), args.to_json()):
        assert ADMIN not in shown


def test_the_two_keys_must_differ() -> None:
    with pytest.raises(ServerArgsError, match="admin_api_key: must differ"):
        ServerArgs(model_path="fake", api_key="same", admin_api_key="same")


# --------------------------------------------------------------------------------------
# Web pages
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost", "http://localhost:30000", "http://LOCALHOST:30000"),
        *("http://127.0.0.1:30000", "http://127.1.2.3", "http://[::1]:30000"),
        "http://chat.localhost:30000",
    ],
)
def test_a_local_server_answers_to_local_names(url: str) -> None:
    assert ask(app_with(), MODELS, url=url).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:30000", "localhost.evil.example", "127.0.0.1.nip.io"),
        *("localhost@evil.example", "evil.example/localhost", "10.0.0.1", "[::2]:1", "[::1"),
        *("localhost, evil.example", "localhost:1 evil", "127.0.0.1:80:80", "localhost:x"),
    ],
)
def test_a_local_server_does_not_answer_to_other_names(host: str) -> None:
    answer = ask(app_with(), MODELS, Host=host)
    assert answer.status_code == 403
    assert "--allowed-hosts" in answer.json()["error"]["message"]


@pytest.mark.parametrize("args", [{"host": "0.0.0.0"}, {"api_key": USER}, {"uds": "/x.sock"}])
def test_a_server_for_others_answers_to_any_name(args: dict[str, str]) -> None:
    assert ask(app_with(**args), MODELS, key=USER, Host="llm.example.com").status_code == 200


def test_the_name_that_it_was_given_is_one_of_a_local_server() -> None:
    assert ask(app_with(host="127.0.0.1"), MODELS, Host="127.0.0.1:1").status_code == 200
    assert ask(app_with(host="localhost"), MODELS, Host="localhost").status_code == 200


def test_names_can_be_listed() -> None:
    app = app_with(allowed_hosts=["llm.example.com"])
    assert ask(app, MODELS, Host="LLM.example.com:443").status_code == 200
    assert ask(app, MODELS, Host="localhost").status_code == 403
    assert ask(app_with(allowed_hosts=["*"]), MODELS, Host="any.thing").status_code == 200


@pytest.mark.parametrize("route", [MODELS, ABORT, ("GET", "/health"), ("OPTIONS", "/generate")])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8080"])
def test_pages_from_elsewhere_are_refused(route: tuple[str, str], origin: str) -> None:
    answer = ask(app_with(), route, Origin=origin)
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_servers_own_pages_are_welcome() -> None:
    answer = ask(app_with(), MODELS, url="http://localhost:30000", Origin="http://localhost:30000")
    assert answer.status_code == 200


def test_pages_of_a_listed_site_are_welcome() -> None:
    app = app_with(cors_allow_origins=["https://chat.example"])
    answer = ask(app, MODELS, Origin="https://chat.example")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://chat.example"
    assert ask(app, MODELS, Origin="https://evil.example").status_code == 403


def test_a_browser_may_ask_beforehand_without_a_key() -> None:
    app = app_with(cors_allow_origins=["https://chat.example"], api_key=USER)
    wishes = {
        "Origin": "https://chat.example",
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization",
    }
    answer = ask(app, ("OPTIONS", "/v1/chat/completions"), **wishes)
    assert answer.status_code == 200
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert ask(app, MODELS, Origin="https://chat.example").status_code == 401


def test_any_site_can_be_allowed() -> None:
    answer = ask(app_with(cors_allow_origins=["*"]), MODELS, Origin="https://any.example")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


# --------------------------------------------------------------------------------------
# Root path
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/llm"])
def test_a_root_path_may_be_there_or_not(prefix: str) -> None:
    app = app_with(root_path="/llm", api_key=USER)
    assert ask(app, ("GET", f"{prefix}/health")).status_code == 200
    assert ask(app, ("GET", f"{prefix}/v1/models")).status_code == 401
    assert ask(app, ("GET", f"{prefix}/v1/models"), key=USER).status_code == 200
    wrong = ask(app, ("POST", f"{prefix}/v1/completions"), key=USER).json()
    assert wrong["error"].keys() == {"message", "type", "param", "code"}


def test_another_path_is_not_the_root_path() -> None:
    app = app_with(root_path="/llm")
    assert ask(app, ("GET", "/llmx/health")).status_code == 404


@pytest.mark.parametrize("path", ["llm", "/llm/", "/"])
def test_wrong_root_paths_are_named(path: str) -> None:
    with pytest.raises(ServerArgsError, match="root_path: must begin with /"):
        ServerArgs(model_path="fake", root_path=path)
