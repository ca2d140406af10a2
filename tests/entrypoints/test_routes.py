"""Routes that inform and control, and authentication on all of them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import FakeEngine, RunningServer, make_state, repeat_prompt, serve

from sglang.srt.entrypoints.app import create_app

KEY = "a secret key"


def all_routes() -> list[tuple[str, str]]:
    """(method, path) of every route, with parameters filled in."""
    # Nothing runs: making an application needs no event loop.
    app: Any = create_app(make_state(FakeEngine(repeat_prompt)))
    return sorted(
        (method, re.sub(r"\{[^}]*\}", "x", route.path))
        for route in app.routes
        for method in route.methods
    )


def test_the_documented_routes_are_there() -> None:
    paths = {path for _, path in all_routes()}
    assert paths >= {
        "/generate",
        "/get_model_info",
        "/get_server_info",
        "/get_server_args",
        "/get_memory_pool_size",
        "/get_max_total_num_tokens",
        "/health",
        "/health_generate",
        "/flush_cache",
        "/update_weights",
        "/update_weights_from_disk",
        "/encode",
        "/classify",
        "/function_call",
        "/abort_request",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/responses/x",
        "/v1/responses/x/cancel",
        "/v1/responses/x/input_items",
        "/tokenize",
        "/detokenize",
        "/v1/tokenize",
        "/v1/detokenize",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/score",
        "/v1/models",
        "/v1/models/x",
        "/v1/files",
        "/v1/batches",
        "/v1/batches/x",
        "/v1/batches/x/cancel",
    }


def test_every_route_but_the_public_probes_needs_the_key() -> None:
    with serve(api_key=KEY) as server, httpx.Client(base_url=server.url) as client:
        for method, path in [*all_routes(), ("GET", "/nowhere"), ("OPTIONS", "/generate")]:
            response = client.request(method, path)
            if path in ("/health", "/ready", "/live"):
                assert response.status_code == 200
            else:
                assert response.status_code == 401, (method, path)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer {KEY}", 200),
        (f"Bearer {KEY}x", 401),
        (f"Bearer {KEY[:-1]}", 401),
        ("Bearer", 401),
        (KEY, 401),
        (f"Basic {KEY}", 401),
        ("", 401),
    ],
)
def test_keys(header: str, status: int) -> None:
    with serve(api_key=KEY) as server:
        response = httpx.get(f"{server.url}/v1/models", headers={"Authorization": header})
        assert response.status_code == status
        assert KEY not in response.text
        if status == 401:
            assert response.json()["error"]["code"] == "invalid_api_key"


def test_the_key_is_not_shown() -> None:
    with serve(api_key=KEY) as server:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert KEY not in httpx.get(f"{server.url}/get_server_info", headers=headers).text


def test_health(client: httpx.Client) -> None:
    response = client.get("/health")
    assert (response.status_code, response.content) == (200, b"")


def test_health_generate(client: httpx.Client, server: RunningServer) -> None:
    assert client.get("/health_generate").status_code == 200
    server.assert_idle()


def test_health_generate_notices_an_engine_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.probes.PROBE_TIMEOUT", 0.1)
    with serve() as server:
        server.engine.paused = True
        assert httpx.get(f"{server.url}/health_generate").status_code == 503
        assert httpx.get(f"{server.url}/health").status_code == 200
        server.assert_idle()


def test_model_info_has_the_three_documented_keys(client: httpx.Client) -> None:
    assert client.get("/get_model_info").json() == {
        "model_path": "fake",
        "is_generation": True,
        "tokenizer_path": "fake",
    }


@pytest.mark.parametrize(
    "path",
    ["/get_server_info", "/get_server_args", "/get_memory_pool_size", "/get_max_total_num_tokens"],
)
def test_server_info_merges_arguments_and_limits(client: httpx.Client, path: str) -> None:
    info = client.get(path).json()
    assert info["model_path"] == "fake"
    assert info["max_total_num_tokens"] == 4096
    assert info["internal_states"] == [{"num_running_reqs": 0}]
    assert info["version"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_flush_cache(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/flush_cache")
    assert response.status_code == 200
    assert response.text.startswith("Cache flushed.")


def test_models(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert (model["id"], model["object"], model["max_model_len"]) == ("fake", "model", 512)
    assert client.get("/v1/models/fake").json() == model
    missing = client.get("/v1/models/other/name")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_models_with_a_path_as_name() -> None:
    with serve(served_model_name="org/name") as server:
        assert httpx.get(f"{server.url}/v1/models/org/name").json()["id"] == "org/name"


def test_abort_ends_a_request_and_frees_the_engine() -> None:
    with (
        serve() as server,
        httpx.Client(base_url=server.url) as client,
        ThreadPoolExecutor() as pool,
    ):
        server.engine.paused = True
        body = {"text": "hello", "rid": "r", "sampling_params": {"n": 2}}
        waiting = pool.submit(httpx.post, f"{server.url}/generate", json=body)
        server.wait_until(lambda: len(server.engine.requests) == 2)
        found = client.post("/abort_request", json={"rid": "r"})
        assert found.json() == {"success": True, "found": True}
        reasons = [a["meta_info"]["finish_reason"] for a in waiting.result().json()]
        assert [reason["type"] for reason in reasons] == ["abort", "abort"]
        server.assert_idle()
        again = client.post("/abort_request", json={"rid": "r"})
        assert again.json() == {"success": True, "found": False}
