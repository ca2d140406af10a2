"""The scheduler, driven with a toy model that notices any mistake with slots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.managers.io_struct import AbortRequest, ControlRequest
from sglang.srt.managers.schedule_policy import POLICIES
from tests.managers.toy_engine import expected_output, make_scheduler, request, run, tokens_of


def prompt(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(1, 50, length).tolist()


def test_one_request_generates_until_its_limit():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", prompt(0, 5), 4, ignore_eos=True))
    outputs = run(scheduler)["a"]
    assert len(tokens_of(outputs)) == 4
    assert outputs[-1].finish.type == "length"


def test_a_stop_token_ends_the_sequence_and_is_named():
    scheduler, _ = make_scheduler()
    expected = expected_output(prompt(0, 5), 6)
    scheduler.receive(request("a", prompt(0, 5), 6, stop_token_ids=[expected[2]]))
    outputs = run(scheduler)["a"]
    assert tokens_of(outputs) == expected[:3]
    assert (outputs[-1].finish.type, outputs[-1].finish.matched) == ("stop", expected[2])


def test_no_new_tokens_wanted_gives_none():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", prompt(0, 5), 0))
    outputs = run(scheduler)["a"]
    assert tokens_of(outputs) == [] and outputs[-1].finish.type == "length"


def test_a_long_prompt_is_computed_in_chunks():
    scheduler, runner = make_scheduler(prefill_budget=16)
    scheduler.receive(request("a", prompt(0, 40), 1))
    run(scheduler)
    assert [b[0][1:] for b in runner.batches] == [(0, 16), (16, 16), (32, 8)]


def test_without_chunking_a_prompt_is_computed_at_once():
    scheduler, runner = make_scheduler(prefill_budget=16, chunked_prefill=False)
    scheduler.receive(request("a", prompt(0, 40), 1))
    run(scheduler)
    assert [b[0][1:] for b in runner.batches] == [(0, 40)]


def test_decoding_goes_on_while_a_prompt_is_computed():
    scheduler, runner = make_scheduler(prefill_budget=16)
    scheduler.receive(request("a", prompt(0, 4), 30, ignore_eos=True))
    scheduler.step()
    scheduler.receive(request("b", prompt(1, 60), 1))
    run(scheduler)
    mixed = [b for b in runner.batches if len(b) == 2]
    assert mixed and all((b[0][0], b[0][2]) == ("a", 1) for b in mixed)


def test_a_second_request_finds_the_prefix_of_the_first():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", prompt(0, 40), 4))
    run(scheduler)
    scheduler.receive(request("b", [*prompt(0, 40), 7], 4))
    outputs = run(scheduler)["b"]
    assert outputs[0].cached_tokens >= 40
    assert tokens_of(outputs) == expected_output([*prompt(0, 40), 7], 4)


def test_generated_tokens_are_found_by_the_next_turn():
    scheduler, _ = make_scheduler()
    first = prompt(0, 20)
    scheduler.receive(request("a", first, 8, ignore_eos=True))
    answer = tokens_of(run(scheduler)["a"])
    scheduler.receive(request("b", [*first, *answer, 9], 2))
    assert run(scheduler)["b"][0].cached_tokens == 27  # all but the last, which was not computed


def test_requests_that_come_together_compute_a_common_prefix_once():
    scheduler, runner = make_scheduler(prefill_budget=256)
    shared = prompt(0, 100)
    for i in range(8):
        scheduler.receive(request(f"r{i}", [*shared, i + 1], 4))
    outputs = run(scheduler)
    computed = sum(count for batch in runner.batches for _, _, count in batch if count > 1)
    assert computed < 2 * len(shared)
    for i in range(8):
        assert tokens_of(outputs[f"r{i}"]) == expected_output([*shared, i + 1], 4)


def test_namespaces_do_not_share():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", prompt(0, 40), 1, cache_namespace="x"))
    run(scheduler)
    scheduler.receive(request("b", prompt(0, 40), 1, cache_namespace="y"))
    assert run(scheduler)["b"][0].cached_tokens == 0


def test_without_the_prefix_cache_nothing_is_found():
    scheduler, _ = make_scheduler(prefix_cache=False)
    for rid in "ab":
        scheduler.receive(request(rid, prompt(0, 40), 1))
        assert run(scheduler)[rid][0].cached_tokens == 0
    assert scheduler.memory.allocator.num_free == 512


def test_retraction_does_not_change_any_output():
    scheduler, _ = make_scheduler(num_slots=100, conservativeness=0.0)
    prompts = {f"r{i}": prompt(i, 10) for i in range(8)}
    for rid, tokens in prompts.items():
        scheduler.receive(request(rid, tokens, 40, ignore_eos=True))
    outputs = run(scheduler)
    assert scheduler.stats.retractions > 0
    for rid, tokens in prompts.items():
        reference, _ = make_scheduler()
        reference.receive(request(rid, tokens, 40, ignore_eos=True))
        assert tokens_of(outputs[rid]) == tokens_of(run(reference)[rid])


def test_a_prompt_that_can_never_fit_is_refused_by_name_of_the_limit():
    scheduler, _ = make_scheduler(num_slots=30)
    scheduler.receive(request("a", prompt(0, 30), 4))
    (output,) = run(scheduler)["a"]
    assert output.finish.type == "abort" and output.finish.status == 400
    assert "30 tokens" in output.finish.message and "29" in output.finish.message


def test_an_empty_prompt_is_refused():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", [], 4))
    assert run(scheduler)["a"][0].finish.status == 400


def test_output_is_clipped_to_the_context():
    scheduler, _ = make_scheduler(max_context=20)
    scheduler.receive(request("a", prompt(0, 15), 100, ignore_eos=True))
    outputs = run(scheduler)["a"]
    assert len(tokens_of(outputs)) == 5 and outputs[-1].finish.type == "length"


def test_a_rid_in_use_is_refused_and_the_first_goes_on():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", prompt(0, 5), 4))
    scheduler.receive(request("a", prompt(1, 5), 4))
    outputs = run(scheduler)["a"]
    assert sum(o.finish is not None and o.finish.status == 400 for o in outputs) == 1
    assert tokens_of(outputs) == expected_output(prompt(0, 5), 4)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_abort_frees_everything(steps):
    scheduler, _ = make_scheduler(prefill_budget=8)
    scheduler.receive(request("a", prompt(0, 20), 50, ignore_eos=True))
    for _ in range(steps):
        scheduler.step()
    scheduler.receive(AbortRequest("a"))
    assert run(scheduler)["a"][-1].finish.type == "abort"
    assert not scheduler.running and scheduler.memory.available == 512


def test_abort_of_an_unknown_request_is_ignored():
    scheduler, _ = make_scheduler()
    scheduler.receive(AbortRequest("nobody"))
    assert scheduler.is_idle


def test_a_failing_request_does_not_disturb_the_others():
    scheduler, runner = make_scheduler()
    runner.poison = "bad"
    for rid in ("a", "bad", "b"):
        scheduler.receive(request(rid, prompt(ord(rid[0]), 10), 5))
    outputs = run(scheduler)
    assert outputs["bad"][-1].finish.status == 500
    assert tokens_of(outputs["a"]) == expected_output(prompt(ord("a"), 10), 5)
    assert tokens_of(outputs["b"]) == expected_output(prompt(ord("b"), 10), 5)


def test_max_running_requests_is_respected():
    scheduler, runner = make_scheduler(max_running_requests=3)
    for i in range(10):
        scheduler.receive(request(f"r{i}", prompt(i, 6), 5))
    run(scheduler)
    assert max(len(batch) for batch in runner.batches) == 3


def test_prefill_only_one_req_never_mixes_two_prompts():
    scheduler, runner = make_scheduler(prefill_only_one_req=True)
    for i in range(4):
        scheduler.receive(request(f"r{i}", prompt(i, 20), 3))
    run(scheduler)
    assert all(sum(count > 1 for _, _, count in batch) <= 1 for batch in runner.batches)


def test_fcfs_starts_in_order_of_arrival():
    scheduler, runner = make_scheduler(policy="fcfs", max_running_requests=1)
    for i in range(4):
        scheduler.receive(request(f"r{i}", prompt(i, 6), 2))
    run(scheduler)
    assert list(dict.fromkeys(b[0][0] for b in runner.batches)) == ["r0", "r1", "r2", "r3"]


def test_lpm_starts_the_longest_cached_prefix_first():
    scheduler, runner = make_scheduler(policy="lpm", max_running_requests=1)
    scheduler.receive(request("warm", prompt(9, 40), 1))
    run(scheduler)
    scheduler.receive(request("cold", prompt(1, 40), 1))
    scheduler.receive(request("hit", [*prompt(9, 40), 3], 1))
    runner.batches.clear()
    run(scheduler)
    assert runner.batches[0][0][0] == "hit"


def test_dfs_weight_starts_the_heaviest_subtree_first():
    scheduler, runner = make_scheduler(policy="dfs-weight", max_running_requests=1)
    for seed in (1, 2):
        scheduler.receive(request(f"warm{seed}", prompt(seed, 40), 1))
    run(scheduler)
    scheduler.receive(request("light", [*prompt(1, 40), 3], 1))
    for i in range(3):
        scheduler.receive(request(f"heavy{i}", [*prompt(2, 40), 3 + i], 1))
    runner.batches.clear()
    run(scheduler)
    order = list(dict.fromkeys(b[0][0] for b in runner.batches))
    assert order[:2] == ["heavy0", "heavy1"]


def test_higher_priority_starts_first():
    scheduler, runner = make_scheduler(policy="fcfs", max_running_requests=1)
    scheduler.receive(request("low", prompt(0, 6), 2))
    scheduler.receive(request("high", prompt(1, 6), 2, priority=5))
    run(scheduler)
    assert runner.batches[0][0][0] == "high"


def test_flush_cache_forgets_prefixes():
    scheduler, _ = make_scheduler()
    scheduler.receive(request("a", prompt(0, 40), 1))
    run(scheduler)
    reply = scheduler.receive(ControlRequest(7, "flush_cache"))
    assert reply.id == 7 and reply.ok
    assert scheduler.memory.allocator.num_free == 512


def test_state_reports_the_load():
    scheduler, _ = make_scheduler(max_running_requests=1)
    for rid in "ab":
        scheduler.receive(request(rid, prompt(0, 5), 9))
    scheduler.step()
    state = scheduler.receive(ControlRequest(1, "get_state")).payload
    assert (state["num_running_reqs"], state["num_waiting_reqs"]) == (1, 1)


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which family of prompts: equal families share prefixes
        st.integers(1, 90),  # prompt length
        st.integers(0, 30),  # max_new_tokens
        st.integers(0, 12),  # arrives before this step
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=120, deadline=None)
@given(
    REQUESTS,
    st.sampled_from([125, 160, 400]),
    st.sampled_from([1, 7, 64]),
    st.booleans(),
    st.sampled_from(POLICIES),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
def test_no_schedule_changes_an_answer(
    requests, num_slots, budget, prefix_cache, policy, conservativeness, chunked
):
    """Any load, pool, budget and policy: every answer is that of the request alone."""
    scheduler, _ = make_scheduler(
        num_slots=num_slots,
        prefill_budget=budget,
        prefix_cache=prefix_cache,
        policy=policy,
        conservativeness=conservativeness,
        chunked_prefill=chunked,
    )
    outputs = {}
    for step in range(13):
        for i, (family, length, max_new, arrival) in enumerate(requests):
            if arrival == step:
                scheduler.receive(request(f"r{i}", prompt(family, 90)[:length], max_new))
        for output in scheduler.step():
            outputs.setdefault(output.rid, []).append(output)
        scheduler.memory.check(scheduler.running)
    for rid, more in run(scheduler).items():
        outputs.setdefault(rid, []).extend(more)
    for i, (family, length, max_new, _) in enumerate(requests):
        assert tokens_of(outputs[f"r{i}"]) == expected_output(prompt(family, 90)[:length], max_new)
    scheduler.on_idle()
    scheduler.memory.cache.flush()
    assert scheduler.memory.allocator.num_free == num_slots
