"""What the native backend asks an endpoint for, and what it makes of the answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import sglang as sgl
from sglang.lang.backend.native import NativeBackend
from sglang.lang.backend.scoring import score_choices
from sglang.lang.default_backend import as_backend
from sglang.lang.errors import BackendError


class FakeEngine:
    """An engine of one-letter tokens: the logprob of a letter is minus its place in the alphabet.

    The letters "xy" are one token.
    """

    def __init__(self, info: dict[str, Any] | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.info = info or {}
        self.flushed = 0

    def generate(self, prompt: Any = None, **fields: Any) -> Any:
        self.bodies.append({"text": prompt, **fields})
        if fields.get("stream"):
            return iter([self._answer("a"), self._answer("ab")])
        if fields.get("return_logprob"):
            prompts = fields.get("input_ids") or [self.tokens(text) for text in prompt]
            return [self._scored(ids, fields["logprob_start_len"]) for ids in prompts]
        if prompt == "wrong":
            raise ValueError("this prompt is wrong")
        return self._answer("ab", prompt_tokens=len(self.tokens(prompt)))

    def flush_cache(self) -> None:
        self.flushed += 1

    def get_server_info(self) -> dict[str, Any]:
        return self.info

    @staticmethod
    def tokens(text: str) -> list[int]:
        return [ord(letter) for letter in text.replace("xy", "~")]

    @staticmethod
    def _answer(text: str, **meta: Any) -> dict[str, Any]:
        return {"text": text, "meta_info": {"completion_tokens": len(text), **meta}}

    @staticmethod
    def _scored(ids: list[int], start: int) -> dict[str, Any]:
        rows = [(96.0 - token if place else None, token, None) for place, token in enumerate(ids)]
        return {"meta_info": {"input_token_logprobs": rows[start:]}}


MARKS = {
    "roles": {"user": ["<u>", "</u>"], "assistant": ["<a>", "</a>"]},
    "stop": ["</a>"],
    "default_system": None,
    "joins_system": False,
    "begin": "",
}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def ask(engine: FakeEngine):
    def send(**fields: Any) -> list[dict[str, Any]]:
        answer = engine.generate(fields.pop("text", None), **fields)
        return answer if isinstance(answer, list) else [answer]

    return send


def test_parameters_arrive_under_their_native_names(engine: FakeEngine) -> None:
    @sgl.function
    def program(s):
        s += "x" + sgl.gen(max_tokens=3, stop="y", regex="a*", return_logprob=True)

    program.run(backend=engine, top_p=0.5)
    assert engine.bodies == [
        {
            "text": "x",
            "sampling_params": {"max_new_tokens": 3, "stop": ["y"], "top_p": 0.5, "regex": "a*"},
            "return_logprob": True,
        }
    ]


def test_cumulative_chunks_become_pieces(engine: FakeEngine) -> None:
    @sgl.function
    def program(s):
        s += "x" + sgl.gen("v")

    state = program.run(backend=engine, stream=True)
    assert list(state.text_iter("v")) == ["a", "b"]
    assert state.get_meta_info("v") == {"completion_tokens": 2}


def test_what_an_engine_refuses_fails_the_program(engine: FakeEngine) -> None:
    @sgl.function
    def program(s):
        s += "wrong" + sgl.gen()

    assert str(program.run(backend=engine).error()) == "this prompt is wrong"


@pytest.mark.parametrize(
    ("info", "template"),
    [
        ({"model_path": "Qwen/Qwen3-8B", "chat_template": None}, "chatml"),
        ({"model_path": "Qwen/Qwen3-8B", "chat_template": "llama-2"}, "llama-2"),
        ({"model_path": "Qwen/Qwen3-8B", "chat_template": "/some/file.jinja"}, "chatml"),
        ({}, "plain"),
        ({"model_path": "Qwen/Qwen3-8B", "chat_marks": MARKS}, "server"),
    ],
)
def test_the_template_is_what_the_server_says(info: dict[str, Any], template: str) -> None:
    assert as_backend(FakeEngine(info)).chat_template.name == template


def test_only_backends_and_engines_run_programs() -> None:
    with pytest.raises(TypeError, match="a str is neither a backend nor an engine"):
        sgl.set_default_backend("http://localhost:30000")


def test_flush_cache_and_server_info_reach_the_engine() -> None:
    engine = FakeEngine({"model_path": "m"})
    sgl.flush_cache(engine)
    assert (engine.flushed, sgl.get_server_info(engine)) == (1, {"model_path": "m"})


# ---- choices


def test_options_are_scored_behind_the_prompt(engine: FakeEngine) -> None:
    scores, meta_info = score_choices(ask(engine), "prompt ", ["ab", "c"])
    assert [list(option.logprobs) for option in scores.options] == [[-1.0, -2.0], [-3.0]]
    assert meta_info["prompt_tokens"] == 7


def test_all_options_go_into_one_request_behind_one_for_the_prompt(engine: FakeEngine) -> None:
    score_choices(ask(engine), "prompt ", ["a", "b", "c"])
    assert [body["text"] for body in engine.bodies] == [
        "prompt ",
        ["prompt ", "prompt a", "prompt b", "prompt c"],
    ]


def test_options_that_merge_with_the_prompt_are_scored_from_there_on(engine: FakeEngine) -> None:
    scores, _ = score_choices(ask(engine), "prompt x", ["y", "a"])
    # "xy" is a token that replaces the last one of the prompt, so both options count from there.
    assert [len(option.token_ids) for option in scores.options] == [1, 2]
    assert list(scores.options[1].logprobs) == [96.0 - ord("x"), -1.0]


def test_a_merge_far_back_is_found(engine: FakeEngine) -> None:
    class Merging(FakeEngine):
        @staticmethod
        def tokens(text: str) -> list[int]:
            return [0, 1] if text.endswith("!") else FakeEngine.tokens(text)

    scores, _ = score_choices(ask(Merging()), "abcdefghij", ["!", "k"])
    assert [len(option.token_ids) for option in scores.options] == [1, 10]


def test_unconditional_logprobs_start_from_the_last_token_of_the_prompt(
    engine: FakeEngine,
) -> None:
    scores, _ = score_choices(ask(engine), "prompt ", ["ab", "c"])
    assert scores.unconditional() == [[-1.0, -2.0], [-3.0]]
    space = ord(" ")
    assert engine.bodies[-1]["input_ids"] == [[space, 97, 98], [space, 99]]


# ---- images


@sgl.function
def look(s, picture):
    s += "See " + sgl.image(picture) + sgl.gen()


def test_images_arrive_as_urls_or_base64(engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"picture")
    encoded = base64.b64encode(b"picture").decode()
    for given in ("https://host/a.png", str(file), b"picture", encoded):
        look.run(given, backend=engine)
    assert [body["image_data"] for body in engine.bodies] == [
        ["https://host/a.png"],
        [encoded],
        [encoded],
        [encoded],
    ]


def test_an_image_that_is_nothing_is_refused(engine: FakeEngine) -> None:
    error = look.run("no such file.png", backend=engine).error()
    assert "neither a file, nor a URL, nor base64" in str(error)


def test_videos_are_refused(engine: FakeEngine) -> None:
    @sgl.function
    def program(s):
        s += "See " + sgl.video("a.mp4", 8) + sgl.gen()

    assert "videos cannot be sent" in str(program.run(backend=engine).error())


# ---- HTTP


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """Tells what it is, and answers every request with a page that is no JSON."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._reply(200, json.dumps({"key": self.headers["Authorization"]}))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._reply(502, "<p>bad gateway</p>")

        def _reply(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_no_json_is_shown(refusing_server: str, stream: bool) -> None:
    @sgl.function
    def program(s):
        s += "x" + sgl.gen()

    state = program.run(backend=sgl.RuntimeEndpoint(refusing_server), stream=stream)
    error = state.error()
    assert isinstance(error, BackendError)
    assert (str(error), error.status) == ("<p>bad gateway</p> (status 502)", 502)


def test_the_key_is_sent(refusing_server: str) -> None:
    endpoint = sgl.RuntimeEndpoint(refusing_server + "/", api_key="secret")
    assert endpoint.get_server_info() == {"key": "Bearer secret"}


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(BackendError, match=r"no answer from http://127\.0\.0\.1:9"):
        sgl.RuntimeEndpoint("http://127.0.0.1:9")


def test_an_unknown_template_is_refused(engine: FakeEngine) -> None:
    from sglang.lang.backend.engine import EngineBackend

    with pytest.raises(ValueError, match="no chat template 'x'"):
        EngineBackend(engine, chat_template_name="x")
    assert isinstance(EngineBackend(engine, chat_template_name="gemma"), NativeBackend)
