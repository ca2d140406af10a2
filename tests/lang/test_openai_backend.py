"""Programs against the OpenAI API, played by a small server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import sglang as sgl


class FakeApi:
    """Answers with ``answer``, whole or word by word, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = "Hello there"
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.url = ""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    state = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body)
            state.paths.append(self.path)
            state.keys.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            usage = {"prompt_tokens": 5, "completion_tokens": 2}
            if not body.get("stream"):
                choices = [self._choice("message", state.answer, "stop")] * body.get("n", 1)
                self._write({"id": "1", "choices": choices, "usage": usage}, "")
                return
            for word in state.answer.split(" "):
                self._write({"id": "1", "choices": [self._choice("delta", word, None)]})
            self._write({"id": "1", "choices": [self._choice("delta", "", "stop")]})
            self._write({"id": "1", "choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")

        def _choice(self, kind: str, text: str, reason: str | None) -> dict[str, Any]:
            content = {kind: {"content": text}} if "chat" in self.path else {"text": text}
            return {**content, "finish_reason": reason}

        def _write(self, event: dict[str, Any], mark: str = "data: ") -> None:
            self.wfile.write(f"{mark}{json.dumps(event)}\n\n".encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@sgl.function
def chat(s, question):
    s += sgl.system("Be brief.")
    s += sgl.user(question)
    s += sgl.assistant(sgl.gen("answer", max_tokens=9, stop="!"))


def test_a_chat_model_is_given_messages(api: FakeApi) -> None:
    state = chat.run("Hi?", backend=sgl.OpenAI("m", base_url=api.url, api_key="k"), top_p=0.5)
    assert state["answer"] == "Hello there"
    assert state.messages()[-1] == {"role": "assistant", "content": "Hello there"}
    assert state.get_meta_info("answer") == {
        "id": "1",
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "finish_reason": {"type": "stop"},
    }
    assert (api.paths, api.keys) == (["/v1/chat/completions"], ["Bearer k"])
    assert api.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi?"},
            ],
            "max_tokens": 9,
            "stop": ["!"],
            "top_p": 0.5,
        }
    ]


def test_a_completion_model_is_given_text(api: FakeApi) -> None:
    @sgl.function
    def program(s):
        s += "Q: Hi?\nA:" + sgl.gen("answer", n=2)

    backend = sgl.OpenAI("gpt-3.5-turbo-instruct", base_url=api.url)
    assert program.run(backend=backend)["answer"] == ["Hello there"] * 2
    assert api.paths == ["/v1/completions"]
    assert api.bodies[0]["prompt"] == "Q: Hi?\nA:"


@pytest.mark.parametrize("model", ["gpt-4o", "davinci-002"])
def test_answers_are_streamed(api: FakeApi, model: str) -> None:
    @sgl.function
    def program(s):
        s += sgl.assistant(sgl.gen("answer"))

    state = program.run(backend=sgl.OpenAI(model, base_url=api.url), stream=True)
    assert list(state.text_iter("answer")) == ["Hello", "there"]
    assert state.get_meta_info("answer")["finish_reason"] == {"type": "stop"}
    assert state.get_meta_info("answer")["completion_tokens"] == 2


def test_a_choice_is_an_answer_that_a_schema_allows(api: FakeApi) -> None:
    @sgl.function
    def program(s):
        s += sgl.user("Which?") + sgl.assistant(sgl.select("x", ["a", "b"]))

    api.answer = '{"choice": "b"}'
    state = program.run(backend=sgl.OpenAI("m", base_url=api.url))
    assert (state["x"], state.messages()[-1]["content"]) == ("b", "b")
    schema = api.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["choice"]["enum"] == ["a", "b"]
    api.answer = "neither"
    error = program.run(backend=sgl.OpenAI("m", base_url=api.url)).error()
    assert "none of the choices: 'neither'" in str(error)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda s: "loose" + sgl.assistant(sgl.gen()), "outside of any"),
        (lambda s: sgl.assistant("Well, " + sgl.gen()), "beginning of an assistant turn"),
        (lambda s: sgl.gen(), "turns of the assistant"),
        (
            lambda s: sgl.assistant(
                sgl.gen(choices=["a", "b"], choices_method=sgl.greedy_token_selection)
            ),
            "choices_method is not supported",
        ),
    ],
)
def test_what_a_chat_model_cannot_do_is_refused(api: FakeApi, write, message: str) -> None:
    @sgl.function
    def program(s):
        s += write(s)

    error = program.run(backend=sgl.OpenAI("m", base_url=api.url)).error()
    assert message in str(error)
    assert api.bodies == []


def test_images_are_sent_as_urls(api: FakeApi) -> None:
    @sgl.function
    def program(s, picture):
        s += sgl.user(sgl.image(picture) + "What is it?") + sgl.assistant(sgl.gen())

    for picture in (b"\xff\xd8jpeg", "https://host/a.png"):
        program.run(picture, backend=sgl.OpenAI("m", base_url=api.url))
    urls = [body["messages"][0]["content"][0]["image_url"]["url"] for body in api.bodies]
    assert urls == ["data:image/jpeg;base64,/9hqcGVn", "https://host/a.png"]


def test_videos_are_refused(api: FakeApi) -> None:
    @sgl.function
    def program(s):
        s += sgl.user(sgl.video("a.mp4", 8) + "What is it?") + sgl.assistant(sgl.gen())

    error = program.run(backend=sgl.OpenAI("m", base_url=api.url)).error()
    assert "videos cannot be sent" in str(error)


def test_openai_itself_is_not_asked_for_what_it_does_not_have() -> None:
    @sgl.function
    def program(s):
        s += sgl.assistant(sgl.gen(regex="a*"))

    error = program.run(backend=sgl.OpenAI("gpt-4o", api_key="k")).error()
    assert str(error) == "regex is not supported by the OpenAI API"


def test_other_servers_are(api: FakeApi) -> None:
    @sgl.function
    def program(s):
        s += sgl.assistant(sgl.gen(regex="a*", top_k=3, min_tokens=2))

    program.run(backend=sgl.OpenAI("m", base_url=api.url))
    body = api.bodies[0]
    assert (body["regex"], body["top_k"], body["min_tokens"]) == ("a*", 3, 2)


def test_key_and_address_may_come_from_the_environment(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", api.url)
    monkeypatch.setenv("OPENAI_API_KEY", "from outside")
    chat.run("Hi?", backend=sgl.OpenAI("m"))
    assert api.keys == ["Bearer from outside"]
