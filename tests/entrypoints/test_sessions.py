"""Sessions: requests that go on from the tokens of earlier ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import EOS, RunningServer, encode_text, say, serve

from sglang.srt.managers import sessions


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that says ``yes.`` and ends."""
    with serve(say("yes.")) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(server: RunningServer) -> Iterator[None]:
    """No test sees the sessions of another."""
    yield
    for session_id in list(server.state.manager.sessions._open):
        server.on_loop(server.state.manager.sessions.close, session_id)
    server.assert_idle()
    for seen in (server.engine.requests, server.engine.forgotten, server.engine.aborted):
        seen.clear()


@contextlib.contextmanager
def running(
    server: RunningServer, client: httpx.Client, session: str
) -> Iterator[Future[httpx.Response]]:
    """A request ``r`` that the engine has and does not answer before the end of the context."""
    server.engine.paused = True
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, client, "one", {"id": session}, rid="r")
        server.wait_until(lambda: "r" in server.engine.running)
        yield answer
        server.on_loop(server.engine.resume)


def opened(client: httpx.Client, capacity: int = 1000, **fields: Any) -> str:
    answer = client.post("/open_session", json={"capacity_of_str_len": capacity, **fields})
    assert answer.status_code == 200, answer.text
    session_id: str = answer.json()
    return session_id


def ask(client: httpx.Client, text: str, session: dict[str, Any], **fields: Any) -> httpx.Response:
    return client.post("/generate", json={"text": text, "session_params": session, **fields})


def rid_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    rid: str = answer.json()["meta_info"]["id"]
    return rid


def prompts(server: RunningServer) -> list[list[int]]:
    return [message.prompt().tolist() for message in server.engine.requests]


YES = [*encode_text("yes."), EOS]


def test_a_request_goes_on_from_another(server: RunningServer, client: httpx.Client) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}))
    second = rid_of(ask(client, " two", {"id": session, "rid": first}))
    answer = ask(client, " three", {"id": session, "rid": second})
    before = [*encode_text("one"), *YES, *encode_text(" two"), *YES]
    assert prompts(server)[-1] == [*before, *encode_text(" three")]
    assert answer.json()["meta_info"]["prompt_tokens"] == len(before) + 6


def test_the_first_request_needs_no_rid_whatever_else_it_says(
    server: RunningServer, client: httpx.Client
) -> None:
    session = {"id": opened(client), "rid": None, "offset": -1, "replace": True}
    rid_of(ask(client, "one", session))
    assert prompts(server) == [encode_text("one")]


@pytest.mark.parametrize(("offset", "kept"), [(0, 8), (None, 8), (2, 2), (8, 8), (-1, 7), (-8, 0)])
def test_offset_says_how_many_tokens_stay(
    server: RunningServer, client: httpx.Client, offset: int | None, kept: int
) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}))
    rid_of(ask(client, "!", {"id": session, "rid": first, "offset": offset}))
    assert prompts(server)[-1] == [*[*encode_text("one"), *YES][:kept], *encode_text("!")]


def test_branches_of_a_session_live_side_by_side(
    server: RunningServer, client: httpx.Client
) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}))
    left = rid_of(ask(client, "L", {"id": session, "rid": first}))
    right = rid_of(ask(client, "R", {"id": session, "rid": first}))
    root = [*encode_text("one"), *YES]
    for branch, letter in ((left, "L"), (right, "R")):
        rid_of(ask(client, "+", {"id": session, "rid": branch}))
        assert prompts(server)[-1] == [*root, *encode_text(letter), *YES, *encode_text("+")]


def test_replace_drops_what_went_on_from_a_request(
    server: RunningServer, client: httpx.Client
) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}))
    second = rid_of(ask(client, "two", {"id": session, "rid": first}))
    third = rid_of(ask(client, "three", {"id": session, "rid": second}))
    again = rid_of(ask(client, "2", {"id": session, "rid": first, "replace": True}))
    assert prompts(server)[-1] == [*encode_text("one"), *YES, *encode_text("2")]
    for gone in (second, third):
        answer = ask(client, "x", {"id": session, "rid": gone})
        assert answer.status_code == 400
        assert f"has no request '{gone}'" in answer.json()["error"]["message"]
    rid_of(ask(client, "x", {"id": session, "rid": again}))


def test_replace_without_a_request_begins_anew(server: RunningServer, client: httpx.Client) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}, rid="same"))
    rid_of(ask(client, "two", {"id": session, "replace": True}, rid="same"))
    assert prompts(server)[-1] == encode_text("two")
    rid_of(ask(client, "!", {"id": session, "rid": first}))
    assert prompts(server)[-1] == [*encode_text("two"), *YES, *encode_text("!")]


def test_the_prefix_that_the_next_request_needs_stays_cached(
    server: RunningServer, client: httpx.Client
) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}))
    rid_of(ask(client, "two", {"id": session, "rid": first}))
    rid_of(ask(client, "tea", {"id": session, "rid": first, "replace": True}))
    (dropped,) = server.engine.forgotten
    assert dropped.keep == len("one") + len(YES) + len("t")


def test_closing_frees_what_nobody_else_covers(server: RunningServer, client: httpx.Client) -> None:
    session = opened(client)
    first = rid_of(ask(client, "one", {"id": session}, cache_salt="s"))
    rid_of(ask(client, "two", {"id": session, "rid": first}, cache_salt="s"))
    answer = client.post("/close_session", json={"session_id": session})
    assert (answer.status_code, answer.content) == (200, b"")
    (dropped,) = server.engine.forgotten
    ids = [*encode_text("one"), *YES, *encode_text("two"), *YES]
    assert (list(memoryview(dropped.token_ids).cast("i")), dropped.keep) == (ids, 0)
    assert dropped.cache_namespace == "s"


def test_closing_ends_what_runs(server: RunningServer, client: httpx.Client) -> None:
    session = opened(client)
    with running(server, client, session) as answer:
        client.post("/close_session", json={"session_id": session})
        finish = answer.result(20).json()["meta_info"]["finish_reason"]
    assert finish["type"] == "abort"
    assert server.engine.aborted == ["r"]


def test_a_request_that_runs_cannot_be_continued_but_replaced(
    server: RunningServer, client: httpx.Client
) -> None:
    session = opened(client)
    with running(server, client, session) as first:
        answer = ask(client, "!", {"id": session, "rid": "r"})
        assert (answer.status_code, "still runs" in answer.text) == (400, True)
        server.on_loop(server.engine.resume)
        rid_of(ask(client, "!", {"id": session, "rid": "r", "replace": True}))
        assert first.result(20).status_code == 200


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"id": "nowhere"}, "session_params.id: there is no session 'nowhere'"),
        ({"id": "s", "rid": "x"}, "session_params.rid: session 's' has no request 'x'"),
        ({"id": "s", "rid": "first", "offset": 9}, "offset is 9; the request has 8 tokens"),
        ({"id": "s", "rid": "first", "offset": 1.5}, "session_params.offset must be an integer"),
        ({"id": "s", "replace": 1}, "session_params.replace must be true or false"),
        ({"id": 1}, "session_params.id must be a string"),
        ({"rid": "x"}, "session_params.id must be a string"),
        ({"id": "s", "drop": 1}, "unknown field session_params.drop"),
        ("s", "session_params must be an object"),
    ],
)
def test_wrong_session_params(client: httpx.Client, session: Any, message: str) -> None:
    opened(client, session_id="s")
    rid_of(ask(client, "one", {"id": "s"}, rid="first"))
    answer = ask(client, "two", session)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_rid_is_used_once_in_a_session(client: httpx.Client) -> None:
    session = opened(client)
    rid_of(ask(client, "one", {"id": session}, rid="r"))
    answer = ask(client, "two", {"id": session}, rid="r")
    assert answer.json()["error"]["message"].endswith("has a request 'r' already")


def test_the_capacity_bounds_prompts_and_answers(client: httpx.Client) -> None:
    session = opened(client, capacity=12)
    first = rid_of(ask(client, "123456", {"id": session}))
    answer = ask(client, "789", {"id": session, "rid": first})
    assert answer.status_code == 400
    assert "has 10 characters, and the prompt 3; its capacity_of_str_len is 12" in answer.text
    ids = encode_text("789")
    answer = client.post(
        "/generate", json={"input_ids": ids, "session_params": {"id": session, "rid": first}}
    )
    assert "the prompt 3;" in answer.text
    rid_of(ask(client, "78", {"id": session, "rid": first}))
    rid_of(ask(client, "0" * 12, {"id": session, "replace": True}))


def test_each_prompt_of_a_batch_has_a_place_of_its_own(
    server: RunningServer, client: httpx.Client
) -> None:
    session = opened(client)
    body = {"text": ["a", "b"], "session_params": [{"id": session}, {}], "rid": ["x", "y"]}
    assert client.post("/generate", json=body).status_code == 200
    rid_of(ask(client, "!", {"id": session, "rid": "x"}))
    assert ask(client, "!", {"id": session, "rid": "y"}).status_code == 400


def test_parallel_samples_are_branches(server: RunningServer, client: httpx.Client) -> None:
    session = opened(client)
    body = {"text": "a", "rid": "r", "sampling_params": {"n": 2}, "session_params": {"id": session}}
    answers = client.post("/generate", json=body).json()
    for answer in answers:
        rid_of(ask(client, "!", {"id": session, "rid": answer["meta_info"]["id"]}))
        assert prompts(server)[-1] == [*encode_text("a"), *YES, *encode_text("!")]


def test_a_closed_session_is_gone(client: httpx.Client) -> None:
    session = opened(client)
    assert client.post("/close_session", json={"session_id": session}).status_code == 200
    answer = client.post("/close_session", json={"session_id": session})
    assert answer.status_code == 400
    assert f"there is no session '{session}'" in answer.json()["error"]["message"]
    assert ask(client, "x", {"id": session}).status_code == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "capacity_of_str_len must be an integer"),
        ({"capacity_of_str_len": 0}, "capacity_of_str_len is 0"),
        ({"capacity_of_str_len": 2**40}, "it must be in [1, 16777216]"),
        ({"capacity_of_str_len": 1, "session_id": ""}, "session_id has 0 characters"),
        ({"capacity_of_str_len": 1, "name": "x"}, "unknown field 'name'"),
    ],
)
def test_wrong_openings(client: httpx.Client, body: dict[str, Any], message: str) -> None:
    answer = client.post("/open_session", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_name_is_taken_once(client: httpx.Client) -> None:
    assert opened(client, session_id="mine") == "mine"
    answer = client.post("/open_session", json={"capacity_of_str_len": 1, "session_id": "mine"})
    assert answer.status_code == 400
    assert "is open already" in answer.text


def test_sessions_are_bounded(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    ids = [opened(client) for _ in range(2)]
    answer = client.post("/open_session", json={"capacity_of_str_len": 1})
    assert (answer.status_code, "2 sessions" in answer.text) == (429, True)
    client.post("/close_session", json={"session_id": ids[0]})
    opened(client)


def test_forgotten_sessions_make_room(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(client)
    monkeypatch.setattr(sessions, "IDLE_SECONDS", -1.0)
    opened(client)
    assert ask(client, "x", {"id": session}).status_code == 400
