"""Reasoning in ``/v1/chat/completions``: a field of its own, beside text and tool calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chat_client import NOW, TEMPLATE, USER, chat, stream, tool_server
from fake_runtime import RunningServer, bytes_text, encode_text, say

THOUGHT = "<think>\nSie grüßt 🌍.\n</think>"
ANSWER = "\n\nHallo!"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with tool_server(say(THOUGHT + ANSWER), reasoning_parser="qwen3") as running:
        yield running


def test_the_shape_of_an_answer(server: RunningServer) -> None:
    [choice] = chat(server)["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hallo!",
        "refusal": None,
        "reasoning_content": "Sie grüßt 🌍.",
    }
    assert choice["finish_reason"] == "stop"


def test_a_stream_says_the_same_reasoning_first(server: RunningServer) -> None:
    merged = stream(server)
    assert (merged.reasoning, merged.content) == ("Sie grüßt 🌍.", "Hallo!")
    kinds = ["reasoning_content" in delta for delta in merged.deltas[1:-1]]
    assert kinds == sorted(kinds, reverse=True) and sum(kinds) > 5


def test_reasoning_in_one_piece(server: RunningServer) -> None:
    merged = stream(server, stream_reasoning=False)
    assert (merged.reasoning, merged.content) == ("Sie grüßt 🌍.", "Hallo!")
    assert sum("reasoning_content" in delta for delta in merged.deltas) == 1


def test_reasoning_that_is_not_to_be_separate(server: RunningServer) -> None:
    message = chat(server, separate_reasoning=False)["choices"][0]["message"]
    assert message["content"] == THOUGHT + ANSWER
    assert "reasoning_content" not in message
    assert stream(server, separate_reasoning=False).content == THOUGHT + ANSWER


def test_usage_counts_reasoning_tokens(server: RunningServer) -> None:
    expected = {"reasoning_tokens": len(encode_text(THOUGHT))}
    assert chat(server)["usage"]["completion_tokens_details"] == expected
    usage = stream(server).usage
    assert usage is not None and usage["completion_tokens_details"] == expected
    assert chat(server, separate_reasoning=False)["usage"]["completion_tokens_details"] == expected


def test_usage_of_an_answer_that_is_cut_off_while_it_reasons(server: RunningServer) -> None:
    answer = chat(server, max_tokens=12)
    assert answer["choices"][0]["message"]["content"] is None
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 12}


def test_an_answer_without_reasoning() -> None:
    with tool_server(say("Hallo! </think>"), reasoning_parser="qwen3") as server:
        answer = chat(server)
        assert answer["choices"][0]["message"]["content"] == "Hallo! </think>"
        assert answer["choices"][0]["message"]["reasoning_content"] is None
        assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_without_a_parser_nothing_is_taken_out() -> None:
    with tool_server(say(THOUGHT + ANSWER)) as server:
        answer = chat(server)
        assert answer["choices"][0]["message"]["content"] == THOUGHT + ANSWER
        assert "completion_tokens_details" not in answer["usage"]


@pytest.mark.parametrize(
    ("parser", "prompt_end", "text", "reasoning", "content"),
    [
        ("qwen3", "<think>\n", "a</think>b", "a", "b"),
        ("qwen3", "", "a</think>b", None, "a</think>b"),
        ("deepseek-r1", "", "a</think>b", "a", "b"),
        ("deepseek-r1", "<think>\n\n</think>\n\n", "b", None, "b"),
    ],
)
def test_the_prompt_tells_whether_reasoning_has_begun(
    parser: str, prompt_end: str, text: str, reasoning: str | None, content: str
) -> None:
    with tool_server(say(text), TEMPLATE + prompt_end, reasoning_parser=parser) as server:
        message = chat(server)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (reasoning, content)


def test_reasoning_goes_on_in_a_message_that_is_continued(server: RunningServer) -> None:
    begun = [*USER, {"role": "assistant", "content": "<think>\nI was"}]
    with tool_server(say(" here.</think>Hi"), reasoning_parser="qwen3") as running:
        message = chat(
            running, messages=begun, continue_final_message=True, add_generation_prompt=False
        )["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("here.", "Hi")


@pytest.mark.parametrize("separate", [True, False])
def test_calls_are_looked_for_behind_the_reasoning_only(separate: bool) -> None:
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    text = f"<think>\nI could write {call}.\n</think>\n\nSo:\n{call}"
    with tool_server(say(text), reasoning_parser="qwen3", tool_call_parser="qwen25") as server:
        [choice] = chat(server, tools=[NOW], separate_reasoning=separate)["choices"]
        merged = stream(server, tools=[NOW], separate_reasoning=separate)
    message = choice["message"]
    assert len(message["tool_calls"]) == len(merged.calls) == 1
    assert message["content"] == merged.content
    assert message["content"] == "So:" if separate else text.removesuffix("\n" + call)
    if separate:
        assert message["reasoning_content"] == merged.reasoning == f"I could write {call}."


def test_harmony() -> None:
    text = (
        "<|channel|>analysis<|message|>Noon?<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>One moment.<|end|><|start|>assistant<|channel|>commentary to=functions.now "
        "<|constrain|>json<|message|>{}<|call|>"
    )
    with tool_server(say(text), reasoning_parser="gpt-oss", tool_call_parser="gpt-oss") as server:
        [choice] = chat(server, tools=[NOW])["choices"]
        merged = stream(server, tools=[NOW])
    message = choice["message"]
    assert (message["reasoning_content"], message["content"]) == ("Noon?", "One moment.")
    assert (merged.reasoning, merged.content) == ("Noon?", "One moment.")
    assert message["tool_calls"][0]["function"] == {"name": "now", "arguments": "{}"}
    assert merged.calls[0]["name"] == "now"


def test_effort_goes_to_a_template_that_reads_it() -> None:
    template = "{{ reasoning_effort }}" + TEMPLATE
    with tool_server(say("a"), template, reasoning_parser="gpt-oss") as server:
        chat(server, reasoning_effort="low")
        assert bytes_text(server.engine.requests[-1]).startswith("low<|im_start|>")
