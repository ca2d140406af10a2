"""``/v1/responses`` with the ``openai`` package: answers, streams, tools, reasoning, the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from chat_client import HELLO, tool_server
from fake_runtime import RunningServer, bytes_text, encode_text, say, serve

from sglang.srt.entrypoints.openai.responses_store import ResponseStore, StoredResponse
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import FinishReason

KEY = "key"
HTTP = openai.DefaultHttpxClient(trust_env=False)
"""One for all: it takes a while to make."""
PARIS = '{"city": "Paris"}'
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOLS: list[Any] = [WEATHER, {"type": "function", "name": "now"}]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serve(say(HELLO), api_key=KEY) as running:
        yield running


def responses_of(server: RunningServer) -> Any:
    url = f"{server.url}/v1"
    return openai.Client(base_url=url, api_key=KEY, max_retries=0, http_client=HTTP).responses


def create(server: RunningServer, **body: Any) -> Any:
    return responses_of(server).create(**{"model": "m", "input": "Say it.", **body})


def stream(server: RunningServer, **body: Any) -> tuple[Any, list[Any]]:
    """The response at the end, and all events; the client checks their order."""
    body = {"model": "m", "input": "Say it.", **body}
    with responses_of(server).stream(**body) as events:
        seen = list(events)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    return seen[-1].response, seen


def prompt_of(server: RunningServer) -> str:
    return bytes_text(server.engine.requests[-1])


def without_ids(items: list[Any]) -> list[dict[str, Any]]:
    dropped = {"id", "call_id", "parsed", "parsed_arguments"}
    return [_without(item.to_dict(), dropped) for item in items]


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return [_without(v, names) for v in value] if isinstance(value, list) else value


def test_an_answer(server: RunningServer) -> None:
    response = create(
        server, instructions="Be brief.", temperature=0.5, top_p=0.9, metadata={"a": "b"}
    )
    assert response.id.startswith("resp_")
    assert (response.object, response.status, response.model) == ("response", "completed", "fake")
    assert response.output_text == HELLO
    [item] = response.output
    assert (item.type, item.role, item.status) == ("message", "assistant", "completed")
    assert (response.instructions, response.metadata) == ("Be brief.", {"a": "b"})
    assert (response.temperature, response.error) == (0.5, None)
    assert prompt_of(server) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSay it.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    used = server.engine.requests[-1].sampling
    assert (used.temperature, used.top_p) == (0.5, 0.9)


def test_usage(server: RunningServer) -> None:
    usage = create(server).usage
    assert usage.input_tokens == len(server.engine.requests[-1].prompt())
    assert usage.output_tokens == len(encode_text(HELLO)) + 1
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    # The engine of these tests says that two tokens were cached.
    assert usage.input_tokens_details.cached_tokens == 2
    assert usage.output_tokens_details.reasoning_tokens == 0


def test_a_stream_says_the_same_in_the_documented_order(server: RunningServer) -> None:
    response, events = stream(server)
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert "".join(event.delta for event in events[4:-4]) == HELLO
    assert events[-4].text == response.output_text == HELLO
    assert response.usage == create(server).usage


def test_the_wire_has_named_events_and_no_done(server: RunningServer) -> None:
    body = {"input": "Say it.", "stream": True}
    headers = {"Authorization": f"Bearer {KEY}"}
    text = httpx.post(f"{server.url}/v1/responses", json=body, headers=headers).text
    assert text.startswith('event: response.created\ndata: {"type":"response.created"')
    assert "[DONE]" not in text


def test_an_answer_that_is_cut_off(server: RunningServer) -> None:
    response = create(server, max_output_tokens=3)
    assert (response.status, response.output_text) == ("incomplete", "Hel")
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"
    streamed, events = stream(server, max_output_tokens=3)
    assert (events[-1].type, streamed.status) == ("response.incomplete", "incomplete")


def test_input_as_items(server: RunningServer) -> None:
    create(
        server,
        input=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "message", "role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    )
    assert prompt_of(server) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
        "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_conversation_goes_on_without_the_old_instructions(server: RunningServer) -> None:
    first = create(server, instructions="Be brief.")
    second = create(server, input="And?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    asked = f"<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n{HELLO}<|im_end|>\n"
    assert prompt_of(server) == (
        f"{asked}<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
    )
    create(server, input="Once more.", previous_response_id=second.id)
    assert prompt_of(server).count(HELLO) == 2


def test_a_streamed_response_is_stored_too(server: RunningServer) -> None:
    response, _ = stream(server)
    assert responses_of(server).retrieve(response.id).output_text == HELLO


def test_a_stored_response_can_be_read_and_deleted(server: RunningServer) -> None:
    responses = responses_of(server)
    created = create(server)
    assert responses.retrieve(created.id).to_dict() == created.to_dict()
    responses.delete(created.id)
    for ask in (responses.retrieve, responses.delete, responses.cancel):
        with pytest.raises(openai.NotFoundError):
            ask(created.id)
    with pytest.raises(openai.BadRequestError, match="no response") as caught:
        create(server, previous_response_id=created.id)
    assert caught.value.param == "previous_response_id"
    assert caught.value.code == "previous_response_not_found"


def test_a_response_that_is_not_to_be_stored(server: RunningServer) -> None:
    response = create(server, store=False)
    with pytest.raises(openai.NotFoundError):
        responses_of(server).retrieve(response.id)


def test_input_items_page_by_page(server: RunningServer) -> None:
    texts = ["a", "b", "c"]
    response = create(server, input=[{"role": "user", "content": text} for text in texts])
    items = responses_of(server).input_items
    assert [item.content for item in items.list(response.id)] == ["c", "b", "a"]
    assert [item.content for item in items.list(response.id, order="asc", limit=1)] == texts
    page = items.list(response.id, order="asc", limit=2)
    assert page.has_more and [item.content for item in page.data] == ["a", "b"]


def test_a_response_in_the_foreground_cannot_be_cancelled(server: RunningServer) -> None:
    with pytest.raises(openai.BadRequestError, match="background"):
        responses_of(server).cancel(create(server).id)


def test_calls(tools_server: RunningServer) -> None:
    response = create(tools_server, tools=TOOLS)
    message, weather, now = response.output
    assert (message.type, response.output_text) == ("message", "Let me see.")
    assert (weather.type, weather.name, weather.arguments) == (
        "function_call",
        "get_weather",
        PARIS,
    )
    assert (now.name, json.loads(now.arguments), now.status) == ("now", {}, "completed")
    assert weather.call_id != now.call_id


def test_streamed_calls_are_the_same(tools_server: RunningServer) -> None:
    response, events = stream(tools_server, tools=TOOLS)
    assert without_ids(response.output) == without_ids(create(tools_server, tools=TOOLS).output)
    deltas = [
        event.delta
        for event in events
        if event.type == "response.function_call_arguments.delta" and event.output_index == 1
    ]
    assert "".join(deltas) == PARIS and len(deltas) > 3


def test_calls_and_results_in_the_history(tools_server: RunningServer) -> None:
    template = (
        "{% for t in tools or [] %}{% endfor %}{% for m in messages %}{{ m.role }}:"
        "{{ m.reasoning_content }}|{{ m.content }}{% for c in m.tool_calls or [] %}"
        "[{{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}"
        "{% if m.tool_call_id %}<{{ m.tool_call_id }}>{% endif %};{% endfor %}"
    )
    thought = {"type": "reasoning_text", "text": "hm"}
    items = [
        {"role": "user", "content": "Say it."},
        {"type": "reasoning", "id": "rs", "summary": [], "content": [thought]},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "x1", "name": "now", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "x1", "output": "noon"},
    ]
    with tool_server(say("a"), template, tool_call_parser="hermes") as server:
        create(server, tools=TOOLS, input=items)
        assert prompt_of(server) == (
            'user:|Say it.;assistant:hm|Wait.[x1 now {"a": 1}];tool:|noon<x1>;'
        )


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "now"}])
def test_calls_that_are_demanded_come_with_a_grammar(
    tools_server: RunningServer, choice: Any
) -> None:
    create(tools_server, tools=TOOLS, tool_choice=choice)
    assert tools_server.engine.requests[-1].sampling.structural_tag is not None


def test_one_call_at_most_without_parallel_calls(tools_server: RunningServer) -> None:
    response = create(tools_server, tools=TOOLS, parallel_tool_calls=False)
    assert [item.type for item in response.output] == ["message", "function_call"]
    assert response.parallel_tool_calls is False


def test_reasoning_is_an_item_of_its_own(thinking_server: RunningServer) -> None:
    response = create(thinking_server)
    reasoning, message = response.output
    assert (reasoning.type, reasoning.content[0].text) == ("reasoning", "Sie grüßt.")
    assert message.content[0].text == "Hallo!"
    assert response.usage.output_tokens_details.reasoning_tokens > 10
    streamed, events = stream(thinking_server)
    assert without_ids(streamed.output) == without_ids(response.output)
    kinds = [event.type for event in events]
    assert "response.reasoning_text.delta" in kinds and "response.reasoning_text.done" in kinds


def test_a_conversation_with_reasoning_goes_on(
    thinking_server: RunningServer,
) -> None:
    first = create(thinking_server)
    create(thinking_server, previous_response_id=first.id)
    [reasoning, message] = without_ids(first.output)
    assert reasoning["content"][0]["text"] not in prompt_of(thinking_server)
    assert message["content"][0]["text"] in prompt_of(thinking_server)


def test_an_answer_in_the_form_of_a_schema(server: RunningServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "name": "it", "schema": schema, "strict": True}
    response = create(server, text={"format": form})
    assert json.loads(server.engine.requests[-1].sampling.json_schema) == schema
    assert response.text.format.type == "json_schema"


def test_log_probabilities(server: RunningServer) -> None:
    include = ["message.output_text.logprobs"]
    whole = create(server, include=include, top_logprobs=2).output[0].content[0].logprobs
    assert len(whole) == len(encode_text(HELLO)) + 1
    assert len(whole[0].top_logprobs) == 2
    response, events = stream(server, include=include)
    told = [one for e in events if e.type.endswith("text.delta") for one in e.logprobs]
    assert [one.token for one in told] == [one.token for one in whole][: len(told)]
    assert len(response.output[0].content[0].logprobs) == len(whole)


def test_sampling_parameters_beyond_openais(server: RunningServer) -> None:
    create(server, extra_body={"seed": 7, "min_p": 0.1, "top_k": 3})
    used = server.engine.requests[-1].sampling
    assert (used.seed, used.min_p, used.top_k) == (7, 0.1, 3)


def test_what_the_engine_refuses_late_names_the_field_of_the_client() -> None:
    with serve(say("a")) as server:
        prompt = "<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n"
        server.engine.failures[prompt] = FinishReason(
            "abort", message="json_schema: too large", status=400
        )
        form = {"type": "json_schema", "name": "it", "schema": {}}
        for is_stream in (False, True):
            with pytest.raises(openai.BadRequestError, match=r"text\.format: too large"):
                create(server, text={"format": form}, stream=is_stream)
        server.assert_idle()


def test_a_stream_that_fails_after_its_beginning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "sglang.srt.entrypoints.openai.responses_answer"
    monkeypatch.setattr(f"{module}.PATIENCE_SECONDS", 0.05)
    with serve(say("a")) as server:
        server.engine.paused = True
        events = create(server, stream=True)
        assert next(events).type == "response.created"
        server.on_loop(server.engine.die, "it fell over")
        *_, last = events
        assert (last.type, last.response.status) == ("response.failed", "failed")
        assert "it fell over" in last.response.error.message


def entry(id: str, text: str) -> StoredResponse:
    return StoredResponse({"id": id}, (), ({"text": text},))


def test_the_store_forgets_what_was_used_longest_ago() -> None:
    store = ResponseStore(max_responses=2)
    store.put(entry("a", ""))
    store.put(entry("b", ""))
    store.get("a")
    store.put(entry("c", ""))
    assert store.get("a") and store.get("c")
    with pytest.raises(RequestError, match="'b'"):
        store.get("b")


def test_the_store_is_bounded_in_bytes() -> None:
    store = ResponseStore(max_bytes=3000)
    for i in range(10):
        store.put(entry(str(i), "x" * 1000))
    assert len(store) == 2
    store.put(entry("large", "x" * 5000))
    assert len(store) == 0
    store.put(entry("small", ""))
    assert store.get("small")
