"""Promises that only a whole server can keep."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.servers import Server


def listening_inodes() -> set[str]:
    """Of the TCP sockets of this machine that listen."""
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {row[9] for row in rows if row[3] == "0A"}


def sockets_of(pid: int) -> set[str]:
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def test_the_engine_listens_nowhere(server: Server) -> None:
    assert not sockets_of(server.engine_pid()) & listening_inodes()
    assert len(sockets_of(server.process.pid) & listening_inodes()) == 1


def test_health_answers_while_a_pathological_schema_is_compiled(server: Server) -> None:
    """Each level doubles the schema, if one writes it out."""
    definitions: dict[str, Any] = {"d0": {"type": "string", "pattern": "(a|b|ab)*c{1,500}"}}
    for i in range(1, 24):
        inner = {"$ref": f"#/$defs/d{i - 1}"}
        definitions[f"d{i}"] = {"type": "object", "properties": {"x": inner, "y": inner}}
    schema = {"$defs": definitions, "$ref": "#/$defs/d23"}
    body = {"text": "a", "sampling_params": {"json_schema": json.dumps(schema)}}
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=server.url, timeout=120) as client:
        waiting = pool.submit(client.post, "/generate", json=body)
        assert client.get("/health").status_code == 200
        assert waiting.result().status_code in (200, 400)
        assert client.get("/health_generate").status_code == 200


BAD: list[tuple[str, Any]] = [
    ("/generate", {"text": ""}),
    ("/generate", {"text": "x" * 300_000}),
    ("/generate", {"input_ids": [10**6]}),
    ("/generate", {"input_ids": [-1]}),
    ("/generate", {"text": "a", "sampling_params": {"n": 10**9}}),
    ("/generate", {"text": "a", "sampling_params": {"temperature": -1}}),
    ("/generate", {"text": "a", "sampling_params": {"regex": "(("}}),
    ("/generate", {"text": "a", "sampling_params": {"json_schema": "{"}}),
    ("/generate", {"text": "a", "sampling_params": {"ebnf": "root ::= nowhere"}}),
    ("/generate", {"text": "a", "sampling_params": {"logit_bias": {"999999": 1}}}),
    ("/generate", {"text": "a", "sampling_params": {"stop": ["s"] * 1000}}),
    ("/generate", {"text": "a", "custom_logit_processor": "x"}),
    ("/generate", {"input_embeds": [[0.0]]}),
    ("/v1/completions", {"prompt": []}),
    ("/v1/completions", {"prompt": [[1], "a"]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": {}}]}]}),
    ("/v1/responses", {"input": [{"type": []}]}),
    ("/v1/messages", {"model": "m", "max_tokens": 0, "messages": []}),
]


def test_bad_input_of_every_kind_leaves_the_engine_as_it_was(server: Server) -> None:
    before = server.generate("The capital of France is", max_new_tokens=8)["text"]
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for path, body in BAD:
            answer = client.post(path, json=body)
            assert answer.status_code == 400, (path, str(body)[:100], answer.text)
            assert answer.json()["error"]["message"]
    assert server.generate("The capital of France is", max_new_tokens=8)["text"] == before
    assert server.state()["num_running_reqs"] == 0


def test_prefixes_are_shared_within_a_salt_only(server: Server) -> None:
    body = {"text": "A prompt that nobody else has, word for word.", "sampling_params": {}}

    def cached(**more: str) -> int:
        answer = httpx.post(f"{server.url}/generate", json={**body, **more}, timeout=60).json()
        return int(answer["meta_info"]["cached_tokens"])

    assert cached() == 0
    assert cached() > 0
    assert cached(cache_salt="tenant") == 0
    assert cached(cache_salt="tenant") > 0
