"""Programs against the APIs of Anthropic, Google and LiteLLM, played from recorded answers."""

from __future__ import annotations

import base64
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sglang as sgl
from sglang.lang.backend.base import Backend
from sglang.lang.errors import BackendError
from tests.lang.recorded_api import RecordedApi, recorded_api

PNG = b"\x89PNG pixels"


@pytest.fixture
def api() -> Iterator[RecordedApi]:
    with recorded_api() as running:
        yield running


@sgl.function
def chat(s, question):
    s += sgl.system("Be brief.")
    s += sgl.user(question)
    s += sgl.assistant(sgl.gen("answer", max_tokens=9, stop=["!", "\n"]))


@sgl.function
def look(s, picture):
    s += sgl.user(sgl.image(picture) + "What is it?") + sgl.assistant(sgl.gen("answer"))


@sgl.function
def choose(s):
    s += sgl.user("Which?") + sgl.assistant(sgl.select("x", ["a", "b"]))


def error_of(program: sgl.lang.function.Function, *args: Any, backend: Backend) -> BackendError:
    error = program.run(*args, backend=backend).error()
    assert isinstance(error, BackendError), error
    return error


# ---- Anthropic

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 3, "cache_read_input_tokens": 8},
}
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hello"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": " there"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 3},
    },
    {"type": "message_stop"},
]


def claude(api: RecordedApi) -> Backend:
    pytest.importorskip("anthropic")
    return sgl.Anthropic("claude", base_url=api.url, api_key="k", max_retries=0)


def test_claude_is_given_messages_with_the_system_apart(api: RecordedApi) -> None:
    api.answers = [MESSAGE]
    state = chat.run("Hi?", backend=claude(api), temperature=0.5)
    assert state.messages()[-1] == {"role": "assistant", "content": "Hello there"}
    assert state.get_meta_info("answer") == {
        "id": "msg_1",
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "cached_tokens": 8,
        "finish_reason": {"type": "end_turn"},
    }
    assert api.paths == ["/v1/messages"]
    headers = api.headers[0]
    assert "k" in (
        headers.get("x-api-key"),
        headers.get("authorization", "").removeprefix("Bearer "),
    )
    assert api.bodies == [
        {
            "model": "claude",
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hi?"}],
            "max_tokens": 9,
            "stop_sequences": ["!"],  # the API has none of white space
            "temperature": 0.5,
        }
    ]


def test_claude_streams(api: RecordedApi) -> None:
    api.answers = [MESSAGE_EVENTS]
    state = chat.run("Hi?", backend=claude(api), stream=True)
    assert list(state.text_iter("answer")) == ["Hello", " there"]
    meta_info = state.get_meta_info("answer")
    assert (meta_info["prompt_tokens"], meta_info["finish_reason"]) == (12, {"type": "end_turn"})


@pytest.mark.parametrize("stream", [False, True])
def test_claude_goes_on_with_a_turn_that_has_begun(api: RecordedApi, stream: bool) -> None:
    @sgl.function
    def program(s):
        s += sgl.user("Hi?") + sgl.assistant("Well, " + sgl.gen("answer"))

    api.answers = [MESSAGE_EVENTS if stream else MESSAGE]
    state = program.run(backend=claude(api), stream=stream)
    assert state.messages()[-1]["content"] == "Well, Hello there"
    assert api.bodies[0]["messages"][-1] == {"role": "assistant", "content": "Well,"}


def test_claude_sees_images(api: RecordedApi) -> None:
    api.answers = [MESSAGE]
    for picture in (PNG, "https://host/a.png"):
        look.run(picture, backend=claude(api))
    sources = [body["messages"][0]["content"][0]["source"] for body in api.bodies]
    data = base64.b64encode(PNG).decode()
    assert sources == [
        {"type": "base64", "media_type": "image/png", "data": data},
        {"type": "url", "url": "https://host/a.png"},
    ]


def test_claude_chooses_by_a_schema(api: RecordedApi) -> None:
    api.answers = [{**MESSAGE, "content": [{"type": "text", "text": '{"choice": "b"}'}]}]
    assert choose.run(backend=claude(api))["x"] == "b"
    schema = api.bodies[0]["output_config"]["format"]["schema"]
    assert schema["properties"]["choice"]["enum"] == ["a", "b"]


def test_what_anthropic_refuses_fails_the_value(api: RecordedApi) -> None:
    api.status = 400
    error = {"type": "invalid_request_error", "message": "max_tokens: too large"}
    api.answers = [{"type": "error", "error": error}]
    refused = error_of(chat, "Hi?", backend=claude(api))
    assert "max_tokens: too large" in str(refused)
    assert refused.status == 400


def test_anthropic_is_not_asked_for_what_it_does_not_have(api: RecordedApi) -> None:
    @sgl.function
    def program(s):
        s += sgl.user("Hi?") + sgl.assistant(sgl.gen(regex="a*"))

    refused = error_of(program, backend=claude(api))
    assert str(refused) == "regex is not supported by the Anthropic API"


# ---- Gemini

CANDIDATES = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Hello there"}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15},
}


def gemini(api: RecordedApi, **options: Any) -> Backend:
    pytest.importorskip("google.genai")
    return sgl.VertexAI("gemini", api_key="k", http_options={"base_url": api.url}, **options)


def test_gemini_is_given_contents(api: RecordedApi) -> None:
    api.answers = [CANDIDATES]
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    backend = gemini(api, safety_settings=settings)
    state = chat.run("Hi?", backend=backend, temperature=0.5, top_k=3)
    assert state.messages()[-1]["content"] == "Hello there"
    assert state.get_meta_info("answer") == {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "finish_reason": {"type": "stop"},
    }
    [body] = api.bodies
    assert api.paths[0].endswith("/models/gemini:generateContent")
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi?"}]}]
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert body["safetySettings"] == settings
    assert body["generationConfig"] == {
        "maxOutputTokens": 9,
        "stopSequences": ["!", "\n"],
        "temperature": 0.5,
        "topK": 3,
    }


def test_gemini_streams(api: RecordedApi) -> None:
    def chunk(text: str, **more: Any) -> dict[str, Any]:
        parts = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": parts, "index": 0, **more}]}

    last = {**chunk(" there", finishReason="STOP"), "usageMetadata": CANDIDATES["usageMetadata"]}
    api.answers = [[chunk("Hello"), last]]
    state = chat.run("Hi?", backend=gemini(api), stream=True)
    assert list(state.text_iter("answer")) == ["Hello", " there"]
    assert state.get_meta_info("answer")["completion_tokens"] == 3
    assert "streamGenerateContent" in api.paths[0]


def test_gemini_sees_images_and_earlier_turns(api: RecordedApi) -> None:
    @sgl.function
    def program(s):
        s += sgl.user(sgl.image(PNG) + "What is it?") + sgl.assistant("A cat.")
        s += sgl.user("Sure?") + sgl.assistant(sgl.gen("answer"))

    api.answers = [CANDIDATES]
    program.run(backend=gemini(api)).text()
    contents = api.bodies[0]["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    image = contents[0]["parts"][0]["inlineData"]
    assert "image/png" in image.values()
    assert base64.b64decode(image["data"], altchars=b"-_") == PNG


def test_gemini_chooses_by_a_schema(api: RecordedApi) -> None:
    parts = {"role": "model", "parts": [{"text": '{"choice": "b"}'}]}
    api.answers = [{"candidates": [{"content": parts}]}]
    assert choose.run(backend=gemini(api))["x"] == "b"
    config = api.bodies[0]["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["required"] == ["choice"]


def test_a_blocked_prompt_fails_the_value(api: RecordedApi) -> None:
    api.answers = [{"promptFeedback": {"blockReason": "SAFETY"}}]
    assert "SAFETY" in str(error_of(chat, "Hi?", backend=gemini(api)))


def test_what_google_refuses_fails_the_value(api: RecordedApi) -> None:
    api.status = 404
    error = {"code": 404, "message": "models/gemini is not found", "status": "NOT_FOUND"}
    api.answers = [{"error": error}]
    refused = error_of(chat, "Hi?", backend=gemini(api))
    assert "models/gemini is not found" in str(refused)
    assert refused.status == 404


# ---- LiteLLM


class Answer(dict[str, Any]):
    """Like the objects of LiteLLM."""

    def model_dump(self) -> dict[str, Any]:
        return dict(self)


class FakeLiteLLM(types.ModuleType):
    """The package with what the backend uses of it."""

    def __init__(self) -> None:
        super().__init__("litellm")
        self.calls: list[dict[str, Any]] = []
        self.text = "Hello there"
        self.error: Exception | None = None

    def completion(self, model: str, messages: list[Any], **options: Any) -> Any:
        self.calls.append({"model": model, "messages": messages, **options})
        if self.error is not None:
            raise self.error
        usage = {"prompt_tokens": 12, "completion_tokens": 2}
        if not options.get("stream"):
            message = {"role": "assistant", "content": self.text}
            choices = [{"message": message, "finish_reason": "stop"}]
            return Answer(id="1", choices=choices, usage=usage)
        deltas = [{"content": word} for word in self.text.split(" ")]
        chunks = [Answer(id="1", choices=[{"delta": delta}]) for delta in deltas]
        return iter([*chunks, Answer(id="1", choices=[], usage=usage)])


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> FakeLiteLLM:
    package = FakeLiteLLM()
    monkeypatch.setitem(sys.modules, "litellm", package)
    return package


def test_litellm_is_called_as_the_openai_api_is(litellm: FakeLiteLLM) -> None:
    backend = sgl.LiteLLM("groq/llama", api_key="k", timeout=5)
    state = chat.run("Hi?", backend=backend, top_p=0.5)
    assert state["answer"] == "Hello there"
    assert state.get_meta_info("answer")["prompt_tokens"] == 12
    [call] = litellm.calls
    assert call["messages"][1] == {"role": "user", "content": "Hi?"}
    wanted = {"model": "groq/llama", "max_tokens": 9, "top_p": 0.5, "api_key": "k", "timeout": 5}
    assert call.items() >= wanted.items()


def test_litellm_streams(litellm: FakeLiteLLM) -> None:
    state = chat.run("Hi?", backend=sgl.LiteLLM("groq/llama"), stream=True)
    assert list(state.text_iter("answer")) == ["Hello", "there"]
    assert state.get_meta_info("answer")["completion_tokens"] == 2


def test_litellm_chooses_by_a_schema(litellm: FakeLiteLLM) -> None:
    litellm.text = '{"choice": "a"}'
    assert choose.run(backend=sgl.LiteLLM("groq/llama"))["x"] == "a"
    assert litellm.calls[0]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("stream", [False, True])
def test_what_litellm_raises_fails_the_value(litellm: FakeLiteLLM, stream: bool) -> None:
    class RateLimitError(Exception):
        status_code = 429

    litellm.error = RateLimitError("slow down")
    error = chat.run("Hi?", backend=sgl.LiteLLM("groq/llama"), stream=stream).error()
    assert isinstance(error, BackendError)
    assert (str(error), error.status) == ("slow down", 429)


# ---- all of them


@pytest.mark.parametrize(
    ("backend", "module", "extra"),
    [
        (sgl.Anthropic, "anthropic", "sglang[anthropic]"),
        (sgl.VertexAI, "google.genai", "sglang[vertexai]"),
        (sgl.LiteLLM, "litellm", "sglang[litellm]"),
    ],
)
def test_a_missing_package_is_named(
    backend: Callable[[str], Backend], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"needs the package {module}") as raised:
        backend("model")
    assert f'pip install "{extra}"' in str(raised.value)


def test_the_packages_are_imported_only_when_they_are_used() -> None:
    import subprocess

    check = "import sglang as s, sys; s.Anthropic, s.VertexAI, s.LiteLLM; " + (
        "assert not {'anthropic', 'google.genai', 'litellm', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
