"""Runs every example of the frontend language: against the demo model, or recorded answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sglang as sgl
from tests.lang.recorded_api import RecordedApi, recorded_api
from tests.lang.test_foreign_backends import CANDIDATES, MESSAGE, FakeLiteLLM

ROOT = Path(__file__).parents[2] / "examples" / "frontend"

Run = Callable[..., str]


@pytest.fixture(scope="module")
def runtime() -> Iterator[sgl.Runtime]:
    with sgl.Runtime() as running:
        yield running


@pytest.fixture
def api() -> Iterator[RecordedApi]:
    with recorded_api() as running:
        yield running


def run_file(name: str, url: str, capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What the example prints; its server is at ``url``."""
    path = ROOT / name
    source = path.read_text().replace("http://127.0.0.1:30000", url)
    old, sys.argv = sys.argv, [str(path), *argv]
    try:
        exec(compile(source, path, "exec", dont_inherit=True), {"__name__": "__main__"})
    finally:
        sys.argv = old
        sgl.set_default_backend(None)
    return capsys.readouterr().out


@pytest.fixture
def run(runtime: sgl.Runtime, capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda name: run_file(name, runtime.base_url, capsys)


LOCAL = {
    "quick_start/runtime_endpoint.py": ["assistant : The capital of France is Paris.", "Rome"],
    "quick_start/batch_and_stream.py": ["Paris", "Rome", "Madrid", "Tokyo", "Cairo", "Lima"],
    "few_shot.py": ["France: ", "tokens from the cache"],
    "chain_of_thought.py": ["reasoning: ", "answer: "],
    "self_consistency.py": ["answer: 42"],
    "tree_of_thought.py": ["I found these solutions:\n1. ", "4. ", "chosen: "],
    "llm_judge.py": ["clarity: ", "evidence: ", "final: "],
    "json_decode.py": ["capital='Paris'", '{"city": "', '"is_capital": '],
    "tool_use.py": ["I need to use a ", "The result is "],
    "react_agent.py": ["Thought:", "Action: ", "answer: "],
    "streaming.py": ["Paris", "tokens", "stopped after", "Cancelled"],
}
STARTING = {
    "quick_start/runtime.py": ["The capital of France is Paris."],
    "quick_start/engine.py": ["The capital of France is Paris."],
}
CHATS = {
    "quick_start/openai_chat.py",
    "quick_start/anthropic_chat.py",
    "quick_start/gemini_chat.py",
    "quick_start/litellm_chat.py",
}
SPECIAL = {
    "quick_start/openai_completion.py",
    "openai_speculative.py",
    "image_qa.py",
    "multi_turn_chat.py",
}


@pytest.mark.parametrize("name", LOCAL)
def test_an_example_runs_with_the_demo_model(name: str, run: Run) -> None:
    printed = run(name)
    missing = [text for text in LOCAL[name] if text not in printed]
    assert missing == [], printed


@pytest.mark.parametrize("name", STARTING)
def test_an_example_starts_its_own_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_file(name, "", capsys)
    assert [text for text in STARTING[name] if text not in printed] == []


def test_one_can_chat(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["What is the capital of France?", "Who are you?", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    printed = run("multi_turn_chat.py")
    assert "The capital of France is Paris.\n(" in printed
    assert printed.count("tokens from the cache") == 2


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"id": "1", "choices": [{"message": message, "text": text, "finish_reason": "stop"}]}


@pytest.fixture
def foreign(api: RecordedApi, monkeypatch: pytest.MonkeyPatch) -> RecordedApi:
    """The addresses and keys of foreign APIs lead to ``api``."""
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GCP_", "GEMINI_"))]:
        monkeypatch.delenv(name)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setenv("OPENAI_BASE_URL", api.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", api.url)
    return api


@pytest.mark.parametrize(
    ("name", "package", "answer"),
    [
        ("openai_chat", "sglang", completion("Hello there")),
        ("anthropic_chat", "anthropic", MESSAGE),
        ("gemini_chat", "google.genai", CANDIDATES),
    ],
)
def test_a_foreign_chat_model_is_asked(
    name: str,
    package: str,
    answer: dict[str, Any],
    foreign: RecordedApi,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(package)
    foreign.answers = [answer]
    printed = run_file(f"quick_start/{name}.py", "", capsys)
    assert printed.count("assistant : Hello there\n") == 2
    assert len(foreign.bodies) == 2


def test_litellm_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "litellm", FakeLiteLLM())
    printed = run_file("quick_start/litellm_chat.py", "", capsys)
    assert printed.count("assistant : Hello there\n") == 2


def test_a_completion_model_is_asked(
    foreign: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign.answers = [completion(" Paris")]
    assert run_file("quick_start/openai_completion.py", "", capsys) == " Paris\n"
    assert foreign.bodies[0]["prompt"].endswith("capital of France?\nA:")


def test_one_request_fills_several_values(
    foreign: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign.answers = [completion("Name: Bob\nBirthday: May 1\nJob: baker\n")]
    printed = run_file("openai_speculative.py", "", capsys)
    assert printed == "name: Bob\nbirthday: May 1\njob: baker\n"
    assert len(foreign.bodies) == 1


def test_an_image_is_looked_at(
    foreign: RecordedApi, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    foreign.answers = [completion("A cat.")]
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG pixels")
    assert run_file("image_qa.py", "", capsys, str(picture)) == "A cat.\n"
    image, question = foreign.bodies[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert question["text"] == "What is in this picture?"


def test_every_example_is_run_here() -> None:
    files = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")}
    assert files == {*LOCAL, *STARTING, *CHATS, *SPECIAL}


def test_every_example_is_in_the_list_of_them() -> None:
    listed = (ROOT / "README.md").read_text()
    assert [path.name for path in ROOT.glob("*.py") if f"]({path.name})" not in listed] == []
