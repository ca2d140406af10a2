"""The native routes that change a running server: weights, profiles; and prompts as vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fake_runtime import RunningServer, make_tokenizer, serve

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.entrypoints import weights
from sglang.srt.managers.io_struct import ControlReply, StartProfile, StopProfile, UpdateWeights


@pytest.fixture(autouse=True)
def engine_at_rest(server: RunningServer) -> Iterator[None]:
    yield
    server.engine.told.clear()
    server.engine.answer = lambda message: ControlReply(message.id, True)
    server.state.model_path = "fake"


# --------------------------------------------------------------------------------------
# Weights
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["/update_weights_from_disk", "/update_weights"])
def test_an_update_answers_as_documented(
    server: RunningServer, client: httpx.Client, tmp_path: Path, route: str
) -> None:
    def succeed(message: UpdateWeights) -> ControlReply:
        return ControlReply(message.id, True, "Succeeded to update model weights.")

    server.engine.answer = succeed
    answer = client.post(route, json={"model_path": str(tmp_path)})
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Succeeded to update model weights."}
    (told,) = server.engine.told
    assert isinstance(told, UpdateWeights)
    assert (told.model_path, told.load_format) == (str(tmp_path), "auto")
    info = client.get("/get_model_info").json()
    assert info.keys() == {"model_path", "is_generation", "tokenizer_path"}
    assert (info["model_path"], info["tokenizer_path"]) == (str(tmp_path), "fake")
    assert client.get("/get_server_info").json()["model_path"] == str(tmp_path)


def test_a_model_that_is_nowhere_fails_as_documented(
    server: RunningServer, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: Any, **__: Any) -> str:
        raise ModelLoadError("no such repository")

    monkeypatch.setattr(weights, "resolve_model_path", nowhere)
    name = "meta-llama/Llama-3.2-1B-wrong"
    answer = client.post("/update_weights_from_disk", json={"model_path": name})
    assert answer.status_code == 400
    assert answer.json() == {
        "success": False,
        "message": "Failed to get weights iterator: "
        "meta-llama/Llama-3.2-1B-wrong (repository not found).",
    }
    assert server.engine.told == []
    assert client.get("/get_model_info").json()["model_path"] == "fake"


def test_what_the_engine_refuses_is_told_and_the_old_model_stays(
    server: RunningServer, client: httpx.Client, tmp_path: Path
) -> None:
    server.engine.answer = lambda message: ControlReply(message.id, False, "Failed to update: x.")
    answer = client.post("/update_weights_from_disk", json={"model_path": str(tmp_path)})
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "message": "Failed to update: x."}
    assert client.get("/get_model_info").json()["model_path"] == "fake"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "model_path must be a string"),
        ({"model_path": ""}, "model_path has 0 characters"),
        ({"model_path": "m", "load_format": "pickle"}, "load_format"),
        ({"model_path": "m", "load_format": 1}, "load_format must be a string"),
        ({"model_path": "m", "force": True}, "unknown field 'force'"),
    ],
)
def test_wrong_updates(client: httpx.Client, body: dict[str, Any], message: str) -> None:
    answer = client.post("/update_weights_from_disk", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


# --------------------------------------------------------------------------------------
# Profiles
# --------------------------------------------------------------------------------------


@pytest.fixture
def traces(server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SGLANG_TORCH_PROFILER_DIR", str(tmp_path))
    server.engine.answer = lambda message: ControlReply(message.id, True, payload={"path": "p"})
    return tmp_path


def test_a_profile_starts_and_stops(
    server: RunningServer, client: httpx.Client, traces: Path
) -> None:
    assert client.post("/start_profile").status_code == 200
    stopped = client.post("/stop_profile")
    assert (stopped.status_code, "p" in stopped.text) == (200, True)
    start, stop = server.engine.told
    assert isinstance(start, StartProfile)
    assert (start.folder, start.activities, start.num_steps) == (str(traces), [], None)
    assert isinstance(stop, StopProfile)


def test_a_profile_takes_options(server: RunningServer, client: httpx.Client, traces: Path) -> None:
    body = {"output_dir": "sub", "num_steps": 3, "activities": ["CPU"]}
    assert client.post("/start_profile", json=body).status_code == 200
    (start,) = server.engine.told
    assert isinstance(start, StartProfile)
    assert (start.folder, start.activities, start.num_steps) == (str(traces / "sub"), ["CPU"], 3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"output_dir": "/etc"}, "output_dir must be in the folder"),
        ({"output_dir": "../x"}, "output_dir must be in the folder"),
        ({"output_dir": "link/x"}, "output_dir must be in the folder"),
        ({"output_dir": "a\0b"}, "null character"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"activities": ["TPU"]}, "activities must be a list"),
        ({"activities": []}, "activities must be a list"),
        ({"shape": True}, "unknown field 'shape'"),
    ],
)
def test_wrong_profiles(
    server: RunningServer, client: httpx.Client, traces: Path, body: dict[str, Any], message: str
) -> None:
    (traces / "link").symlink_to("/")
    answer = client.post("/start_profile", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert server.engine.told == []


def test_what_the_engine_says_of_a_profile_is_passed_on(
    server: RunningServer, client: httpx.Client, traces: Path
) -> None:
    server.engine.answer = lambda message: ControlReply(message.id, False, "one is running")
    answer = client.post("/start_profile")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "one is running")


def test_without_a_folder_there_is_no_profile(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SGLANG_TORCH_PROFILER_DIR", raising=False)
    answer = client.post("/start_profile")
    assert answer.status_code == 400
    assert "SGLANG_TORCH_PROFILER_DIR" in answer.json()["error"]["message"]


# --------------------------------------------------------------------------------------
# Prompts as vectors
# --------------------------------------------------------------------------------------


def test_one_prompt_of_vectors(server: RunningServer, client: httpx.Client) -> None:
    answer = client.post("/generate", json={"input_embeds": [[1.5, 2], [-1, 0.25]], "rid": "e"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta_info"]["prompt_tokens"] == 2
    message = server.engine.requests[-1]
    assert message.input_embeds is not None
    assert np.frombuffer(message.input_embeds, "<f4").tolist() == [1.5, 2.0, -1.0, 0.25]
    assert message.prompt().tolist() == [0, 0]


def test_a_batch_of_prompts_of_vectors(server: RunningServer, client: httpx.Client) -> None:
    answers = client.post("/generate", json={"input_embeds": [[[1, 2]], [[3, 4], [5, 6]]]}).json()
    assert [answer["meta_info"]["prompt_tokens"] for answer in answers] == [1, 2]
    first, second = server.engine.requests[-2:]
    assert first.cache_namespace != second.cache_namespace


def test_equal_vectors_share_a_namespace_of_their_salt(
    server: RunningServer, client: httpx.Client
) -> None:
    for salt in ("a", "a", "b", None):
        body = {"input_embeds": [[1.0, 2.0]], "cache_salt": salt}
        assert client.post("/generate", json=body).status_code == 200
    one, two, other, none = (r.cache_namespace for r in server.engine.requests[-4:])
    assert one == two
    assert len({one, other, none, ""}) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_embeds": []}, "input_embeds is empty"),
        ({"input_embeds": [[]]}, "input_embeds[0] has 0 numbers"),
        ({"input_embeds": [[[]]]}, "input_embeds[0][0] has 0 numbers"),
        ({"input_embeds": [[1.0, 2.0], [1.0]]}, "input_embeds[1] has 1 numbers"),
        ({"input_embeds": [[1.0, "2"]]}, "input_embeds[0] must be a list of numbers"),
        ({"input_embeds": [[1.0, True]]}, "input_embeds[0] must be a list of numbers"),
        ({"input_embeds": [[1.0, None]]}, "input_embeds[0] must be a list of numbers"),
        ({"input_embeds": [[1.0, 1e300]]}, "not finite"),
        ({"input_embeds": [[1.0, 10**30 * 10**9]]}, "not finite"),
        ({"input_embeds": "x"}, "input_embeds must be a list"),
        ({"input_embeds": 5}, "input_embeds must be a list"),
        ({"input_embeds": {"a": 1}}, "input_embeds must be a list"),
        ({"input_embeds": [[[1.0]], 3]}, "input_embeds[1] must be a list of vectors"),
        ({"input_embeds": [[1.0]], "text": "x"}, "give one of text, input_ids and input_embeds"),
        ({}, "give one of text, input_ids and input_embeds"),
        (
            {"input_embeds": [[1.0]], "return_logprob": True, "logprob_start_len": 0},
            "logprob_start_len is 0",
        ),
        ({"input_embeds": [[1.0]], "session_params": {"id": "x"}}, "part of a session"),
        ({"input_embeds": [[1.0]] * 512}, "The input (512 tokens)"),
    ],
)
def test_wrong_vectors(client: httpx.Client, fields: dict[str, Any], message: str) -> None:
    answer = client.post("/generate", json=fields)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_the_vectors_have_the_size_that_the_model_has(client: httpx.Client) -> None:
    from sglang.srt.managers.errors import RequestError
    from sglang.srt.managers.input_embeds import embeds_array

    array = np.ones((3, 4), dtype=np.float64)
    assert embeds_array(array, "input_embeds", 4).shape == (3, 4)
    with pytest.raises(RequestError, match="has 4 numbers; the model's vectors have 5"):
        embeds_array(array, "input_embeds", 5)


def test_without_a_tokenizer_the_answer_is_token_ids() -> None:
    ids = make_tokenizer().encode("hello")
    with (
        serve(tokenizer=False, skip_tokenizer_init=True) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        answer = client.post("/generate", json={"input_ids": ids}).json()
    assert answer["token_ids"][:-1] == ids
    assert answer["meta_info"]["finish_reason"]["type"] == "stop"
