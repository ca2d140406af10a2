"""The table of compatibility in docs/openai-api.md: complete, and true line by line."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from chat_client import TEMPLATE, tool_server
from fake_runtime import EMBEDDING_SIZE, RunningServer, repeat_prompt, serve
from openai.resources import batches, completions, embeddings, files, models, responses
from openai.resources.chat import completions as chat_completions

from sglang.srt.configs.pooling_config import PoolingConfig
from sglang.srt.tokenizer.chat_template import ChatTemplate

PAGE = Path(__file__).parents[2] / "docs" / "openai-api.md"
USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
HTTP = httpx.Client(trust_env=False, timeout=30)
NOT_PARAMETERS = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


class Row(NamedTuple):
    section: str
    parameter: str
    state: str
    note: str


def rows() -> Iterator[Row]:
    section = ""
    for line in PAGE.read_text(encoding="utf-8").partition("## Compatibility")[2].splitlines():
        if line.startswith("### "):
            section = line[4:]
        found = re.fullmatch(r"\| `([a-z_.]+)` \| ([a-z ]+) \| ?(.*?) ?\|", line)
        if found:
            yield Row(section, *found.groups())


ROWS = list(rows())
CREATE: dict[str, tuple[str, dict[str, Any], Any]] = {
    "Chat completions": (
        "/v1/chat/completions",
        {"messages": USER, "max_tokens": 4},
        chat_completions.Completions.create,
    ),
    "Completions": (
        "/v1/completions",
        {"prompt": "hi", "max_tokens": 4},
        completions.Completions.create,
    ),
    "Embeddings": ("/v1/embeddings", {"input": "hi"}, embeddings.Embeddings.create),
    "Responses": (
        "/v1/responses",
        {"input": "hi", "max_output_tokens": 4},
        responses.Responses.create,
    ),
}
OTHERS = {
    "files.create": files.Files.create,
    "files.list": files.Files.list,
    "batches.create": batches.Batches.create,
    "batches.list": batches.Batches.list,
    "models.retrieve": models.Models.retrieve,
    "models.delete": models.Models.delete,
}


def parameters(method: Any) -> set[str]:
    return set(inspect.signature(method).parameters) - NOT_PARAMETERS


@pytest.mark.parametrize("section", CREATE)
def test_the_table_has_every_parameter_of_the_client(section: str) -> None:
    listed = [row.parameter for row in ROWS if row.section == section]
    assert len(set(listed)) == len(listed)
    assert set(listed) >= parameters(CREATE[section][2])


def test_the_table_has_the_parameters_of_files_batches_and_models() -> None:
    listed = {row.parameter for row in ROWS if "." in row.parameter}
    wanted = {f"{name}.{each}" for name, method in OTHERS.items() for each in parameters(method)}
    assert listed >= wanted


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningServer]]:
    folder = str(tmp_path_factory.mktemp("files") / "storage")
    pooling = {"pooling": PoolingConfig(), "hf_config": {"hidden_size": EMBEDDING_SIZE}}
    with (
        tool_server(repeat_prompt, tool_call_parser="qwen25", file_storage_pth=folder) as text,
        serve(config=pooling) as vectors,
    ):
        # A template that reads everything that a request may say to it.
        text.state.chat_template = ChatTemplate(TEMPLATE + "{{ reasoning_effort }}")
        yield {"text": text, "vectors": vectors}


class Asked(NamedTuple):
    """An answer, and what the engine was asked for it."""

    status: int
    body: Any
    requests: list[Any]

    @property
    def sampling(self) -> Any:
        return self.requests[-1].sampling


def ask(servers: dict[str, RunningServer], section: str, **fields: Any) -> Asked:
    server = servers["vectors" if section == "Embeddings" else "text"]
    path, body, _ = CREATE[section]
    server.engine.requests.clear()
    answer = HTTP.post(f"{server.url}{path}", json={**body, **fields})
    is_json = answer.headers["content-type"] == "application/json"
    return Asked(
        answer.status_code,
        answer.json() if is_json else answer.text,
        list(server.engine.requests),
    )


REFUSED: dict[str, Any] = {
    "audio": {"voice": "a", "format": "wav"},
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "modalities": ["text", "audio"],
    "moderation": {"model": "m"},
    "prediction": {"type": "content", "content": "a"},
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
    "suffix": "s",
    "access_programs": ["a"],
    "context_management": [{"type": "compaction"}],
    "conversation": "c",
    "image": {"a": 1},
    "prompt": {"id": "p"},
    "stream_options": {"include_obfuscation": True},
    "truncation": "auto",
}
NEUTRAL: dict[str, Any] = {"modalities": ["text"], "verbosity": "medium", "truncation": "disabled"}
NO_EFFECT: dict[str, Any] = {
    "metadata": {"a": "b"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"a": 1},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "user": "u",
    "max_tool_calls": 1,
}
Proof = tuple[dict[str, Any], Callable[[Asked], bool]]


def choices(asked: Asked) -> list[Any]:
    found: list[Any] = asked.body["choices"]
    return found


SAMPLING: dict[str, Proof] = {
    "frequency_penalty": (
        {"frequency_penalty": 0.5},
        lambda a: a.sampling.frequency_penalty == 0.5,
    ),
    "presence_penalty": ({"presence_penalty": 0.5}, lambda a: a.sampling.presence_penalty == 0.5),
    "logit_bias": ({"logit_bias": {"65": 3}}, lambda a: a.sampling.logit_bias == {65: 3.0}),
    "max_tokens": ({"max_tokens": 2}, lambda a: a.body["usage"]["completion_tokens"] == 2),
    "model": ({"model": "m"}, lambda a: a.body["model"] == "fake"),
    "n": ({"n": 3}, lambda a: len(a.requests) == len(choices(a)) == 3),
    "seed": ({"seed": 7}, lambda a: a.sampling.seed == 7),
    "temperature": ({"temperature": 0.5}, lambda a: a.sampling.temperature == 0.5),
    "top_p": ({"top_p": 0.5}, lambda a: a.sampling.top_p == 0.5),
    "stream": ({"stream": True}, lambda a: a.body.endswith("data: [DONE]\n\n")),
    "stream_options": (
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        lambda a: '"completion_tokens"' in a.body,
    ),
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
CHAT: dict[str, Proof] = {
    **SAMPLING,
    "messages": ({"messages": [*USER, *USER]}, lambda a: a.status == 200),
    "logprobs": ({"logprobs": True}, lambda a: len(choices(a)[0]["logprobs"]["content"]) == 4),
    "top_logprobs": (
        {"logprobs": True, "top_logprobs": 2},
        lambda a: len(choices(a)[0]["logprobs"]["content"][0]["top_logprobs"]) == 2,
    ),
    "max_completion_tokens": (
        {"max_completion_tokens": 2},
        lambda a: a.body["usage"]["completion_tokens"] == 2,
    ),
    "parallel_tool_calls": (
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        lambda a: '"stop_after_first":true' in a.sampling.structural_tag,
    ),
    "reasoning_effort": ({"reasoning_effort": "low"}, lambda a: a.status == 200),
    "response_format": ({"response_format": FORMAT}, lambda a: "object" in a.sampling.json_schema),
    "stop": (
        {"stop": ["user"], "max_tokens": 9},
        lambda a: choices(a)[0]["matched_stop"] == "user",
    ),
    "tool_choice": (
        {"tools": [TOOL], "tool_choice": "required"},
        lambda a: a.sampling.structural_tag is not None,
    ),
    "tools": ({"tools": [TOOL]}, lambda a: a.status == 200),
}
COMPLETION: dict[str, Proof] = {
    **SAMPLING,
    "prompt": ({"prompt": ["a", "b"]}, lambda a: len(choices(a)) == 2),
    "best_of": ({"best_of": 3}, lambda a: (len(a.requests), len(choices(a))) == (3, 1)),
    "echo": ({"echo": True}, lambda a: choices(a)[0]["text"] == "hihi"),
    "logprobs": ({"logprobs": 2}, lambda a: len(choices(a)[0]["logprobs"]["tokens"]) >= 2),
    "stop": ({"stop": "i"}, lambda a: choices(a)[0]["text"] == "h"),
}
EMBEDDING: dict[str, Proof] = {
    "input": ({"input": [[65, 66], [67]]}, lambda a: len(a.body["data"]) == 2),
    "model": ({"model": "m"}, lambda a: a.body["model"] == "fake"),
    "dimensions": ({"dimensions": 3}, lambda a: len(a.body["data"][0]["embedding"]) == 3),
    "encoding_format": (
        {"encoding_format": "base64"},
        lambda a: isinstance(a.body["data"][0]["embedding"], str),
    ),
}
FUNCTION = {"type": "function", "name": "f"}
RESPONSE: dict[str, Proof] = {
    "background": ({"background": True}, lambda a: a.body["status"] == "queued"),
    "include": (
        {"include": ["message.output_text.logprobs"]},
        lambda a: bool(a.body["output"][0]["content"][0]["logprobs"]),
    ),
    "input": ({"input": [{"role": "user", "content": "hi"}]}, lambda a: a.status == 200),
    "instructions": ({"instructions": "i"}, lambda a: a.body["instructions"] == "i"),
    "max_output_tokens": (
        {"max_output_tokens": 2},
        lambda a: a.body["status"] == "incomplete" and a.body["usage"]["output_tokens"] == 2,
    ),
    "metadata": ({"metadata": {"a": "b"}}, lambda a: a.body["metadata"] == {"a": "b"}),
    "model": ({"model": "m"}, lambda a: a.body["model"] == "fake"),
    "parallel_tool_calls": (
        {"tools": [FUNCTION], "parallel_tool_calls": False},
        lambda a: a.body["parallel_tool_calls"] is False,
    ),
    "reasoning": ({"reasoning": {"effort": "low"}}, lambda a: a.status == 200),
    "store": ({"store": False}, lambda a: a.body["store"] is False),
    "stream": ({"stream": True}, lambda a: "event: response.incomplete" in a.body),
    "temperature": ({"temperature": 0.5}, lambda a: a.sampling.temperature == 0.5),
    "text": (
        {"text": {"format": {"type": "json_object"}}},
        lambda a: a.sampling.json_schema is not None,
    ),
    "tool_choice": (
        {"tools": [FUNCTION], "tool_choice": "required"},
        lambda a: a.sampling.structural_tag is not None,
    ),
    "tools": ({"tools": [FUNCTION]}, lambda a: bool(a.body["tools"])),
    "top_logprobs": (
        {"top_logprobs": 2},
        lambda a: len(a.body["output"][0]["content"][0]["logprobs"][0]["top_logprobs"]) == 2,
    ),
    "top_p": ({"top_p": 0.5}, lambda a: a.sampling.top_p == 0.5),
}
WORKS = {
    "Chat completions": CHAT,
    "Completions": COMPLETION,
    "Embeddings": EMBEDDING,
    "Responses": RESPONSE,
}
IN_BODIES = [row for row in ROWS if row.section in CREATE]


@pytest.mark.parametrize("row", IN_BODIES, ids=lambda row: f"{row.section}-{row.parameter}")
def test_a_parameter_does_what_the_table_says(servers: dict[str, RunningServer], row: Row) -> None:
    name = row.parameter
    if row.state == "works" and name == "previous_response_id":
        first = ask(servers, row.section).body["id"]
        second = ask(servers, row.section, previous_response_id=first)
        assert len(second.requests[0].input_ids) > 100
    elif row.state == "works":
        fields, is_proven = WORKS[row.section][name]
        asked = ask(servers, row.section, **fields)
        assert asked.status == 200, asked.body
        assert is_proven(asked), asked
    elif row.state == "no effect":
        plain, asked = (
            ask(servers, row.section),
            ask(servers, row.section, **{name: NO_EFFECT[name]}),
        )
        assert asked.status == 200, asked.body
        assert plain.requests[0].input_ids == asked.requests[0].input_ids
    else:
        assert row.state == "refused"
        asked = ask(servers, row.section, **{name: REFUSED[name]})
        assert asked.status == 400
        message = re.match(r"`(.*?)`(;|$)", row.note)
        assert message is not None and asked.body["error"]["message"] == message[1]
        assert ask(servers, row.section, **{name: NEUTRAL.get(name)}).status == 200


def test_other_content_than_text_is_refused_as_the_table_says(
    servers: dict[str, RunningServer],
) -> None:
    [row] = [row for row in ROWS if row.parameter == "messages"]
    part = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    asked = ask(servers, row.section, messages=[{"role": "user", "content": [part]}])
    assert asked.status == 400 and asked.body["error"]["message"] in row.note


def test_files_batches_and_models_do_what_the_table_says(
    servers: dict[str, RunningServer],
) -> None:
    works = {row.parameter for row in ROWS if "." in row.parameter and row.state == "works"}
    [refused] = [row for row in ROWS if "." in row.parameter and row.state != "works"]
    with httpx.Client(base_url=servers["text"].url, trust_env=False, timeout=20) as client:
        line = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/completions",
            "body": {"prompt": "a"},
        }
        expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "4000"}
        made = [
            client.post(
                "/v1/files",
                files={"file": ("a.jsonl", json.dumps(line).encode())},
                data={"purpose": "batch", **more},
            ).json()
            for more in ({}, expiry)
        ]
        assert made[1]["expires_at"] == made[1]["created_at"] + 4000
        works -= {"files.create.file", "files.create.purpose", "files.create.expires_after"}

        def listed(**query: Any) -> list[str]:
            return [file["id"] for file in client.get("/v1/files", params=query).json()["data"]]

        ids = [file["id"] for file in made]
        assert listed(order="asc") == ids and listed(limit=1) == ids[1:]
        assert listed(after=ids[1]) == ids[:1] and listed(purpose="vision") == []
        works -= {f"files.list.{name}" for name in ("order", "limit", "after", "purpose")}

        body = {
            "input_file_id": ids[0],
            "endpoint": "/v1/completions",
            "completion_window": "12h",
            "metadata": {"a": "b"},
            "output_expires_after": {"anchor": "created_at", "seconds": 4000},
        }
        batch = client.post("/v1/batches", json=body).json()
        assert {name: batch[name] for name in body if name != "output_expires_after"} == {
            name: value for name, value in body.items() if name != "output_expires_after"
        }
        assert batch["expires_at"] == batch["created_at"] + 12 * 3600
        works -= {f"batches.create.{name}" for name in body}
        assert len(client.get("/v1/batches", params={"limit": 1}).json()["data"]) == 1
        assert client.get("/v1/batches", params={"after": batch["id"]}).json()["data"] == []
        works -= {"batches.list.limit", "batches.list.after"}

        assert client.get("/v1/models/fake").json()["id"] == "fake"
        works -= {"models.retrieve.model"}
        deletion = client.delete("/v1/models/fake")
        assert deletion.status_code == 405
        assert f"`{deletion.json()['error']['message']}`" == refused.note
    assert not works
