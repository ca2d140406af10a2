"""``Engine``: generating without a server, from any thread and event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_runtime import FakeEngine, encode_text, make_state, repeat_prompt

from sglang.srt.entrypoints.engine import Engine
from sglang.srt.entrypoints.state import ServerState
from sglang.utils import async_stream_and_merge, stream_and_merge


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    """The fake engines that were started."""
    started: list[FakeEngine] = []

    async def start_runtime(args: Any, metrics: Any = None) -> ServerState:
        started.append(FakeEngine(repeat_prompt))
        return make_state(started[-1])

    monkeypatch.setattr("sglang.srt.entrypoints.engine.start_runtime", start_runtime)
    return started


@pytest.fixture
def llm(fake: list[FakeEngine]) -> Iterator[Engine]:
    with Engine(model_path="fake") as engine:
        yield engine


def test_a_prompt_gives_a_dict(llm: Engine) -> None:
    output: Any = llm.generate("hello", {"temperature": 0.8})
    assert output["text"] == "hello"
    assert output["meta_info"]["completion_tokens"] == 6


def test_prompts_give_a_list(llm: Engine) -> None:
    outputs: Any = llm.generate(["one", "two"], {"top_p": 0.95})
    assert [output["text"] for output in outputs] == ["one", "two"]


def test_token_ids(llm: Engine) -> None:
    ids = llm.tokenizer_manager.tokenizer
    assert ids is not None
    output: Any = llm.generate(input_ids=ids.encode("hi"), sampling_params={"max_new_tokens": 1})
    assert output["text"] == "h"


def test_arrays_of_token_ids(llm: Engine) -> None:
    ids: Any = np.array(encode_text("hi"))
    for single in (ids, list(ids)):
        output: Any = llm.generate(input_ids=single)
        assert output["text"] == "hi"
    batches: Any = (np.stack([ids, ids]), [ids, ids])
    for batch in batches:
        outputs: Any = llm.generate(input_ids=batch)
        assert [output["text"] for output in outputs] == ["hi", "hi"]


def test_logprobs(llm: Engine) -> None:
    output: Any = llm.generate("ab", return_logprob=True, logprob_start_len=0, top_logprobs_num=1)
    assert len(output["meta_info"]["input_token_logprobs"]) == 2
    assert len(output["meta_info"]["output_top_logprobs"]) == 3


def test_streams(llm: Engine) -> None:
    chunks: Any = llm.generate("hello", stream=True)
    texts = [chunk["text"] for chunk in chunks]
    assert texts[-1] == "hello"
    assert stream_and_merge(llm, "hello", {}) == "hello"


def test_leaving_a_stream_early_aborts_it(llm: Engine, fake: list[FakeEngine]) -> None:
    fake[0].step_seconds = 0.05
    chunks: Any = llm.generate("hello", stream=True, rid="left")
    next(chunks)
    chunks.close()
    assert fake[0].aborted == ["left"]


def test_asynchronous_generation_from_any_event_loop(llm: Engine) -> None:
    async def main() -> Any:
        return await llm.async_generate(["one", "two"], {})

    for _ in range(2):
        assert [output["text"] for output in asyncio.run(main())] == ["one", "two"]


def test_asynchronous_streams(llm: Engine) -> None:
    async def main() -> str:
        return "".join([piece async for piece in async_stream_and_merge(llm, "hello", {})])

    assert asyncio.run(main()) == "hello"


def test_cancelling_aborts(llm: Engine, fake: list[FakeEngine]) -> None:
    async def main() -> None:
        fake[0].paused = True
        task = asyncio.create_task(llm.async_generate("hello", rid="cancelled"))
        while not fake[0].requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not fake[0].aborted:
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert fake[0].aborted == ["cancelled"]


def test_errors_are_value_errors(llm: Engine) -> None:
    with pytest.raises(ValueError, match="temperature"):
        llm.generate("x", {"temperature": -1})
    with pytest.raises(ValueError, match="one of text, input_ids and input_embeds"):
        llm.generate()
    with pytest.raises(ValueError, match="unexpected keyword argument 'typo'"):
        llm.generate("x", typo=1)
    with pytest.raises(ValueError, match="not implemented yet"):
        llm.generate("x", lora_path="adapter")
    with pytest.raises(ValueError, match="start one with --is-embedding"):
        llm.encode("x")
    streamed: Any = llm.generate("x", {"temperature": -1}, stream=True)
    with pytest.raises(ValueError, match="temperature"):
        next(streamed)


def test_unknown_options_are_refused(fake: list[FakeEngine]) -> None:
    with pytest.raises(ValueError, match="no_such_option"):
        Engine(no_such_option=1)
    assert fake == []


def test_control(llm: Engine) -> None:
    assert llm.flush_cache().ok
    assert llm.get_server_info()["internal_states"] == [{"num_running_reqs": 0}]


def test_shutdown_is_idempotent_and_final(fake: list[FakeEngine]) -> None:
    engine = Engine(model_path="fake")
    engine.shutdown()
    engine.shutdown()
    assert fake[0].closed
    with pytest.raises(RuntimeError, match="shut down"):
        engine.generate("x")


def test_a_failed_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_runtime(args: Any, metrics: Any = None) -> ServerState:
        raise ValueError("no such model")

    monkeypatch.setattr("sglang.srt.entrypoints.engine.start_runtime", start_runtime)
    with pytest.raises(ValueError, match="no such model"):
        Engine(model_path="fake")
