"""``/v1/batches`` with the ``openai`` package."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fake_runtime import RunningServer, serve
from openai.types import Batch

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


@pytest.fixture(scope="module")
def server(storage_folder: Path) -> Iterator[RunningServer]:
    with serve(file_storage_pth=storage_folder) as running:
        yield running


@pytest.fixture(scope="module")
def user(server: RunningServer) -> Iterator[openai.Client]:
    with openai.Client(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(name: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Hello {name}"}]
    body = {"model": "m", "messages": messages, "max_tokens": 50, **fields}
    return {"custom_id": name, "method": "POST", "url": "/chat/completions", "body": body}


def completion(name: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "prompt": f"Hello {name}", **fields}
    return {"custom_id": name, "method": "POST", "url": TEXT, "body": body}


def upload(user: openai.Client, requests: list[dict[str, Any]], purpose: Any = "batch") -> str:
    data = "".join(json.dumps(request) + "\n" for request in requests)
    return user.files.create(file=("in.jsonl", data.encode()), purpose=purpose).id


def submit(user: openai.Client, requests: list[dict[str, Any]], **fields: Any) -> Batch:
    fields = {"endpoint": CHAT, "completion_window": "24h", **fields}
    return user.batches.create(input_file_id=upload(user, requests), **fields)


def ended(user: openai.Client, server: RunningServer, batch: Batch) -> Batch:
    async def is_final() -> None:
        while not (await server.state.batches.get_batch(batch.id)).is_final:
            await asyncio.sleep(0.005)

    asyncio.run_coroutine_threadsafe(asyncio.wait_for(is_final(), 20), server.loop).result()
    return user.batches.retrieve(batch.id)


def answers(user: openai.Client, file_id: str | None) -> dict[str, dict[str, Any]]:
    assert file_id is not None
    found = [json.loads(line) for line in user.files.content(file_id).text.splitlines()]
    by_id = {item["custom_id"]: item for item in found}
    assert len(by_id) == len(found)
    return by_id


def test_a_batch_of_conversations(user: openai.Client, server: RunningServer) -> None:
    batch = submit(user, [chat(f"r{i}") for i in range(20)], metadata={"who": "me"})
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", CHAT)
    assert (batch.completion_window, batch.metadata) == ("24h", {"who": "me"})
    assert batch.output_file_id is None and batch.error_file_id is None and batch.errors is None
    assert batch.expires_at == batch.created_at + 86400
    batch = ended(user, server, batch)
    assert batch.status == "completed"
    counts = batch.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (20, 20, 0)
    assert batch.in_progress_at and batch.finalizing_at and batch.completed_at
    assert batch.error_file_id is None
    found = answers(user, batch.output_file_id)
    assert set(found) == {f"r{i}" for i in range(20)}
    answer = found["r7"]["response"]
    assert (answer["status_code"], found["r7"]["error"]) == (200, None)
    assert answer["body"]["object"] == "chat.completion"
    assert "Hello r7" in answer["body"]["choices"][0]["message"]["content"]
    total = sum(item["response"]["body"]["usage"]["total_tokens"] for item in found.values())
    assert batch.usage is not None and batch.usage.total_tokens == total
    file = user.files.retrieve(batch.output_file_id or "")
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert user.files.delete(file.id).deleted
    server.assert_idle()


def test_a_line_is_answered_as_over_http(user: openai.Client, server: RunningServer) -> None:
    fields = {"n": 2, "logprobs": 1, "stop": ["o a"], "seed": 3, "max_tokens": 30, "echo": True}
    request = completion("you all", **fields)
    batch = ended(user, server, submit(user, [request], endpoint=TEXT))
    answer = answers(user, batch.output_file_id)["you all"]["response"]["body"]
    direct = httpx.post(f"{server.url}{TEXT}", json=request["body"]).json()
    for body in (answer, direct):
        del body["id"], body["created"]
    assert answer == direct


def test_lines_that_a_route_refuses(user: openai.Client, server: RunningServer) -> None:
    bad = [chat("hot", temperature=-9), chat("odd", flavour=1), chat("long", messages=[])]
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    bad.append(chat("deep", messages=deep))
    batch = ended(user, server, submit(user, [chat("good"), *bad]))
    assert batch.status == "completed"
    counts = batch.request_counts
    assert counts is not None and (counts.completed, counts.failed) == (1, 4)
    found = answers(user, batch.error_file_id)
    assert {name: item["response"]["status_code"] for name, item in found.items()} == {
        "hot": 400, "odd": 400, "long": 400, "deep": 400
    }  # fmt: skip
    error = found["hot"]["response"]["body"]["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "temperature")


def test_a_file_that_cannot_be_run(user: openai.Client, server: RunningServer) -> None:
    wrong = [chat("a"), {**chat("a"), "method": "GET"}, completion("b"), chat("c", stream=True)]
    batch = ended(user, server, submit(user, wrong))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None and batch.errors.data is not None
    assert [(e.code, e.line, e.param) for e in batch.errors.data] == [
        ("invalid_method", 2, "method"),
        ("invalid_url", 3, "url"),
        ("invalid_body", 4, "body.stream"),
    ]
    assert batch.output_file_id is None


def test_interactive_requests_go_first(user: openai.Client, server: RunningServer) -> None:
    ended(user, server, submit(user, [chat("patient"), chat("urgent", priority=5)]))
    given = {message.priority for message in server.engine.requests[-2:]}
    assert given == {-1000, 5}


def test_cancelling(user: openai.Client, server: RunningServer) -> None:
    server.engine.paused = True
    try:
        batch = submit(user, [chat(f"r{i}") for i in range(100)])
        server.wait_until(lambda: len(server.engine.running) > 0)
        with pytest.raises(openai.ConflictError, match=batch.id):
            user.files.delete(batch.input_file_id)
        cancelled = user.batches.cancel(batch.id)
        assert cancelled.status == "cancelling"
        assert cancelled.cancelling_at is not None
        batch = ended(user, server, batch)
    finally:
        server.on_loop(server.engine.resume)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    assert batch.output_file_id is None
    assert user.files.delete(batch.input_file_id).deleted
    server.assert_idle()


def test_a_batch_that_has_ended_cannot_be_cancelled(
    user: openai.Client, server: RunningServer
) -> None:
    batch = ended(user, server, submit(user, [chat("a")]))
    with pytest.raises(openai.ConflictError, match="completed"):
        user.batches.cancel(batch.id)


def test_batches_leave_room_for_others(user: openai.Client, server: RunningServer) -> None:
    server.engine.paused = True
    try:
        batch = submit(user, [chat(f"r{i}") for i in range(50)])
        server.wait_until(lambda: len(server.engine.running) == 8)
    finally:
        server.on_loop(server.engine.resume)
    assert ended(user, server, batch).status == "completed"


def test_lists_go_by_age_in_pages(user: openai.Client, server: RunningServer) -> None:
    made = [ended(user, server, submit(user, [chat("a")])).id for _ in range(3)]
    page = user.batches.list(limit=2)
    assert [batch.id for batch in page.data] == [made[2], made[1]]
    assert page.has_more
    older = user.batches.list(limit=1, after=made[1])
    assert [batch.id for batch in older.data] == [made[0]]
    with pytest.raises(openai.BadRequestError, match="limit"):
        user.batches.list(limit=101)
    with pytest.raises(openai.BadRequestError, match="batch_x"):
        user.batches.list(after="batch_x")


@pytest.mark.parametrize("call", ["retrieve", "cancel"])
def test_there_is_no_such_batch(user: openai.Client, call: str) -> None:
    with pytest.raises(openai.NotFoundError, match="batch_x"):
        getattr(user.batches, call)("batch_x")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"endpoint": "/generate"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": 24}, "completion_window"),
        ({"input_file_id": "file-x"}, "input_file_id"),
        ({"input_file_id": None}, "input_file_id"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}},
         "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "now", "seconds": 3600}},
         "output_expires_after.anchor"),
        ({"speed": "fast"}, "speed"),
    ],
)  # fmt: skip
def test_bad_batches(
    user: openai.Client, client: httpx.Client, fields: dict[str, Any], param: str
) -> None:
    body = {
        "input_file_id": upload(user, [chat("a")]),
        "endpoint": CHAT,
        "completion_window": "24h",
        **fields,
    }
    answer = client.post("/v1/batches", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_the_file_must_be_for_batches(user: openai.Client) -> None:
    file_id = upload(user, [chat("a")], purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="'user_data'"):
        user.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")


def test_output_files_expire_if_asked_to(user: openai.Client, server: RunningServer) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": 7200}
    batch = ended(user, server, submit(user, [chat("a")], output_expires_after=expiry))
    file = user.files.retrieve(batch.output_file_id or "")
    assert file.expires_at == file.created_at + 7200


def test_a_restarted_server_goes_on(storage_folder: Path) -> None:
    names = {f"r{i}" for i in range(40)}
    folder = storage_folder.with_name("another")
    with (
        serve(file_storage_pth=folder) as first,
        openai.Client(base_url=f"{first.url}/v1", api_key="none") as user,
    ):
        first.engine.paused = True
        batch = submit(user, [chat(name) for name in names])
        first.wait_until(lambda: len(first.engine.running) == 8)
    with (
        serve(file_storage_pth=folder) as second,
        openai.Client(base_url=f"{second.url}/v1", api_key="none") as user,
    ):
        batch = ended(user, second, batch)
        assert batch.status == "completed"
        assert set(answers(user, batch.output_file_id)) == names
        assert user.files.retrieve(batch.input_file_id).filename == "in.jsonl"


def test_servers_do_not_share_a_folder(server: RunningServer, storage_folder: Path) -> None:
    with serve(file_storage_pth=storage_folder) as other:
        answer = httpx.get(f"{other.url}/v1/batches")
        assert answer.status_code == 503
        assert "in use by another server" in answer.json()["error"]["message"]
        assert httpx.get(f"{other.url}/health").status_code == 200


def test_a_batch_of_responses(user: openai.Client, server: RunningServer) -> None:
    def line(name: str, **fields: Any) -> dict[str, Any]:
        body = {"model": "m", "input": f"Hello {name}", "max_output_tokens": 4, **fields}
        return {"custom_id": name, "method": "POST", "url": "/v1/responses", "body": body}

    lines = [line("a"), line("b", store=False), line("c", temperature=-1)]
    batch = ended(user, server, submit(user, lines, endpoint="/v1/responses"))
    assert batch.status == "completed"
    found = answers(user, batch.output_file_id)
    assert found.keys() == {"a", "b"}
    assert found["a"]["response"]["body"]["object"] == "response"
    assert answers(user, batch.error_file_id).keys() == {"c"}
    assert batch.usage is not None and batch.usage.output_tokens == 8
    in_background = submit(user, [line("d", background=True)], endpoint="/v1/responses")
    failed = ended(user, server, in_background)
    assert failed.status == "failed"
    assert failed.errors is not None and failed.errors.data is not None
    assert failed.errors.data[0].param == "body.background"
