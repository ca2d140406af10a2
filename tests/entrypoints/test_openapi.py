"""The OpenAPI document says what the routes do: no more, no less."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from fake_runtime import FakeEngine, RunningServer, make_state, repeat_prompt, serve

from sglang.srt.entrypoints.app import create_app
from sglang.srt.entrypoints.openapi.document import build_document
from sglang.srt.entrypoints.openapi.documentation import render
from sglang.srt.entrypoints.routes import ROUTES
from sglang.srt.entrypoints.server_routes import INFO_ROUTES

ROOT = Path(__file__).parents[2]
DOCUMENT = build_document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
USER = [{"role": "user", "content": "hi"}]
UNKNOWN = "surely_no_field"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def body_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a JSON body, if the operation has one."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return None
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema: dict[str, Any] = SCHEMAS[name]
    return schema


WITH_BODY = [(path, method) for path, method, o in operations() if body_schema(o) is not None]


def test_every_route_is_described_and_nothing_else() -> None:
    app: Any = create_app(make_state(FakeEngine(repeat_prompt)))
    routes = {
        (route.path.replace(":path}", "}"), method)
        for route in app.routes
        for method in route.methods - {"HEAD"}
    }
    assert routes == {(path, method) for path, method, _ in operations()}


def test_every_schema_is_valid_and_every_reference_leads_somewhere() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/([^"]*)"', json.dumps(DOCUMENT)))
    assert references <= SCHEMAS.keys()


def test_every_operation_has_a_name_of_its_own_and_a_summary() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, _, operation in operations())


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page == render(), (
        "run python -m sglang.srt.entrypoints.openapi.documentation docs/api.md"
    )


@pytest.fixture(scope="module")
def stored(storage_folder: Path) -> Iterator[RunningServer]:
    with serve(file_storage_pth=str(storage_folder), enable_metrics=True) as server:
        yield server


@pytest.fixture(scope="module")
def api(stored: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stored.url, timeout=30, trust_env=False) as client:
        yield client


def test_the_server_has_it(api: httpx.Client) -> None:
    answer = api.get("/openapi.json")
    assert answer.json() == json.loads(json.dumps(DOCUMENT))


def test_it_needs_a_key_where_there_is_one() -> None:
    with serve(api_key="k") as server:
        assert httpx.get(f"{server.url}/openapi.json", trust_env=False).status_code == 401


def test_it_knows_the_root_path() -> None:
    assert build_document("/llm")["servers"] == [{"url": "/llm"}]


@pytest.mark.parametrize(("path", "method"), WITH_BODY)
def test_the_fields_of_a_body_are_those_that_are_described(
    api: httpx.Client, path: str, method: str
) -> None:
    schema = body_schema(DOCUMENT["paths"][path][method.lower()])
    assert schema is not None

    def complaint(field: str) -> tuple[str | None, str]:
        answer = api.request(method, path, json={field: [{"?": {}}]})
        error = answer.json().get("error", {}) if answer.status_code >= 400 else {}
        return error.get("code"), error.get("message", "")

    code, message = complaint(UNKNOWN)
    assert f"unknown field '{UNKNOWN}'" in message or "is missing" in message, message
    for field in schema["properties"]:
        code, message = complaint(field)
        assert code != "unknown_field" and f"unknown field '{field}'" not in message, message


ANSWERED: list[tuple[str, str, Any]] = [
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/fake", None),
    ("GET", "/get_model_info", None),
    ("GET", "/get_server_info", None),
    ("GET", "/ready", None),
    ("GET", "/live", None),
    ("GET", "/v1/files", None),
    ("GET", "/v1/batches", None),
    ("POST", "/generate", {"text": "a", "return_logprob": True, "top_logprobs_num": 2}),
    ("POST", "/generate", {"text": ["a", "b"], "return_text_in_logprobs": True}),
    ("POST", "/v1/completions", {"prompt": "ab", "logprobs": 2, "echo": True}),
    ("POST", "/v1/chat/completions", {"messages": USER, "logprobs": True, "top_logprobs": 1}),
    ("POST", "/v1/chat/completions", {"messages": USER, "n": 2, "return_token_ids": True}),
    ("POST", "/v1/messages", {"messages": USER, "max_tokens": 2, "model": "m"}),
    ("POST", "/v1/messages/count_tokens", {"messages": USER, "model": "m"}),
    ("POST", "/v1/responses", {"input": "hi", "max_output_tokens": 3}),
    ("POST", "/tokenize", {"prompt": "ab", "return_token_strs": True}),
    ("POST", "/tokenize", {"prompt": ["a", "b"]}),
    ("POST", "/detokenize", {"tokens": [65, 66]}),
    ("POST", "/open_session", {"capacity_of_str_len": 100}),
    ("POST", "/abort_request", {"rid": "x"}),
    ("POST", "/separate_reasoning", {"text": "a", "reasoning_parser": "qwen3"}),
    (
        "POST",
        "/function_call",
        {"text": "a", "tool_call_parser": "qwen25", "tools": [
            {"type": "function", "function": {"name": "f"}}]},
    ),
    ("POST", "/update_weights_from_disk", {"model_path": "/nowhere"}),
]  # fmt: skip


def is_as_described(answer: httpx.Response, method: str, template: str) -> None:
    """The status, the content type and the JSON of an answer."""
    operation = DOCUMENT["paths"][template][method.lower()]
    content = operation["responses"][str(answer.status_code)].get("content", {})
    if not content:
        assert not answer.content
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in content, media_type
    if media_type == "application/json":
        closed = {name: closed_schema(name, schema) for name, schema in SCHEMAS.items()}
        schema = {**content[media_type]["schema"], "components": {"schemas": closed}}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def closed_schema(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What is not described must not be there."""
    is_open = name == "ServerInfo" or "properties" not in schema
    return schema if is_open else {**schema, "additionalProperties": False}


@pytest.mark.parametrize(("method", "path", "body"), ANSWERED)
def test_an_answer_is_as_described(api: httpx.Client, method: str, path: str, body: Any) -> None:
    answer = api.request(method, path, json=body) if body else api.request(method, path)
    template = "/v1/models/{model}" if path.startswith("/v1/models/") else path
    is_as_described(answer, method, template)


def test_the_answers_about_a_file_are_as_described(api: httpx.Client) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "a"}}
    form = {"file": ("a.jsonl", json.dumps(line).encode())}
    created = api.post("/v1/files", files=form, data={"purpose": "batch"})
    is_as_described(created, "POST", "/v1/files")
    where = f"/v1/files/{created.json()['id']}"
    is_as_described(api.get(where), "GET", "/v1/files/{file_id}")
    is_as_described(api.get(where + "/content"), "GET", "/v1/files/{file_id}/content")
    body = {"endpoint": "/v1/completions", "completion_window": "1h"}
    batch = api.post("/v1/batches", json={**body, "input_file_id": created.json()["id"]})
    is_as_described(batch, "POST", "/v1/batches")
    at = f"/v1/batches/{batch.json()['id']}"
    is_as_described(api.get(at), "GET", "/v1/batches/{batch_id}")
    is_as_described(api.get("/v1/files/x"), "GET", "/v1/files/{file_id}")


def test_the_answers_about_a_response_are_as_described(api: httpx.Client) -> None:
    created = api.post("/v1/responses", json={"input": "hi", "max_output_tokens": 3}).json()
    where = f"/v1/responses/{created['id']}"
    is_as_described(api.get(where), "GET", "/v1/responses/{response_id}")
    is_as_described(
        api.get(where + "/input_items"), "GET", "/v1/responses/{response_id}/input_items"
    )
    is_as_described(api.delete(where), "DELETE", "/v1/responses/{response_id}")


def test_the_methods_that_there_are_come_with_405(api: httpx.Client) -> None:
    for route in (*ROUTES[:3], *INFO_ROUTES[:3]):
        answer = api.request("TRACE", route.path)
        assert answer.status_code == 405
        assert set(route.methods) <= set(answer.headers["Allow"].split(", "))
