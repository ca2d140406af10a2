"""What the manager makes of lengths, seeds and ids before the engine sees a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_runtime import CONTEXT_LENGTH, FakeEngine, encode_text, make_state, repeat_prompt

from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.managers.request_builder import derive_seed
from sglang.srt.managers.tokenizer_manager import TokenizerManager


async def run(engine: FakeEngine, manager: TokenizerManager, **fields: Any) -> Any:
    async for answer in manager.generate(GenerateReqInput(**fields)):
        return answer
    raise AssertionError("no answer")


class Rig:
    """A manager on a fake engine."""

    def __init__(self, **options: Any) -> None:
        self.engine = FakeEngine(repeat_prompt)
        self.manager = make_state(self.engine, **options).manager
        self.manager.start()

    async def __call__(self, **fields: Any) -> Any:
        async for answer in self.manager.generate(GenerateReqInput(**fields)):
            return answer
        raise AssertionError("no answer")


async def test_an_open_limit_becomes_the_rest_of_the_context() -> None:
    rig = Rig()
    await rig(text="hello", sampling_params={"max_new_tokens": None})
    assert rig.engine.requests[0].sampling.max_new_tokens == CONTEXT_LENGTH - 5


async def test_a_limit_beyond_the_context_is_clipped() -> None:
    rig = Rig()
    await rig(text="hello", sampling_params={"max_new_tokens": 10**6})
    assert rig.engine.requests[0].sampling.max_new_tokens == CONTEXT_LENGTH - 5


async def test_a_prompt_that_fills_the_context_is_refused_with_both_lengths() -> None:
    rig = Rig()
    with pytest.raises(RequestError, match=rf"{CONTEXT_LENGTH} tokens.*{CONTEXT_LENGTH} tokens"):
        await rig(input_ids=[1] * CONTEXT_LENGTH)
    answer = await rig(input_ids=[1] * (CONTEXT_LENGTH - 1))
    assert answer["meta_info"]["completion_tokens"] == 1


async def test_a_prompt_that_is_too_long_can_be_cut() -> None:
    rig = Rig(allow_auto_truncate=True)
    await rig(input_ids=[1] * (2 * CONTEXT_LENGTH))
    assert len(rig.engine.requests[0].prompt()) == CONTEXT_LENGTH - 1


async def test_the_engines_memory_bounds_a_sequence() -> None:
    engine = FakeEngine(repeat_prompt)
    state = make_state(engine)
    manager = TokenizerManager(
        state.server_args, state.model_config, state.tokenizer, engine, max_sequence_tokens=10
    )
    manager.start()
    with pytest.raises(RequestError, match="max_total_tokens: 10"):
        await run(engine, manager, input_ids=[1] * 10)


async def test_no_new_token_is_a_valid_wish() -> None:
    rig = Rig()
    rig.engine.script = lambda message: []
    answer = await rig(text="hello", sampling_params={"max_new_tokens": 0})
    assert answer["text"] == ""
    assert answer["meta_info"]["finish_reason"] == {"type": "length", "length": 0}


async def test_the_servers_seed_makes_runs_equal() -> None:
    seeds = []
    for _ in range(2):
        rig = Rig(random_seed=7)
        await rig(text=["a", "b"])
        seeds.append([request.sampling.seed for request in rig.engine.requests])
    assert seeds[0] == seeds[1]
    assert seeds[0][0] != seeds[0][1]


async def test_without_a_seed_every_start_is_different() -> None:
    seeds = set()
    for _ in range(2):
        rig = Rig(random_seed=None)
        await rig(text="a")
        seeds.add(rig.engine.requests[0].sampling.seed)
    assert len(seeds) == 2


@pytest.mark.parametrize("seed", [0, -(2**63), 2**63 - 1])
def test_derived_seeds_are_distinct_and_in_range(seed: int) -> None:
    seeds = {derive_seed(seed, i) for i in range(128)}
    assert len(seeds) == 128
    assert all(-(2**63) <= s < 2**63 for s in seeds)


async def test_ids_in_use_are_refused_and_free_again_later() -> None:
    rig = Rig()
    rig.engine.paused = True
    first = asyncio.create_task(rig(text="a", rid="same"))
    while not rig.engine.requests:
        await asyncio.sleep(0)
    with pytest.raises(RequestError, match="'same' is in use"):
        await rig(text="b", rid="same")
    rig.engine.resume()
    await first
    await rig(text="b", rid="same")


async def test_one_id_names_all_sequences_of_a_batch() -> None:
    rig = Rig()
    rig.engine.paused = True
    task = asyncio.create_task(rig(text=["a", "b"], rid="all", sampling_params={"n": 2}))
    while len(rig.engine.requests) < 4:
        await asyncio.sleep(0)
    assert rig.manager.abort("all")
    answers = await task
    assert [a["meta_info"]["finish_reason"]["type"] for a in answers] == ["abort"] * 4
    assert rig.manager.num_sequences == 0
    assert not rig.manager.abort("all")


async def test_leaving_a_stream_early_aborts_it() -> None:
    rig = Rig()
    stream = rig.manager.generate(GenerateReqInput(text="hello", stream=True, rid="left"))
    async for _ in stream:
        break
    await stream.aclose()
    assert rig.engine.aborted == ["left"]
    assert rig.manager.num_sequences == 0


async def test_many_sequences_are_sent_in_slices() -> None:
    rig = Rig()
    answers = await rig(input_ids=[encode_text("a")] * 600)
    assert len(answers) == 600
    assert len(rig.engine.requests) == 600
