"""Logprobs against torch.log_softmax."""

from __future__ import annotations

import json

import pytest
import torch

from sglang.srt.managers.io_struct import TokenLogprobs, encode
from sglang.srt.sampling import logprobs
from sglang.srt.sampling.logprobs import MIN_LOGPROB, gather_logprobs


def gaussian(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 4


@pytest.mark.parametrize("as_tensor", [True, False])
def test_targets_get_their_log_softmax(as_tensor: bool) -> None:
    logits = gaussian(9, 777)
    targets = [0, 776, *range(100, 107)]
    found = gather_logprobs(logits, torch.tensor(targets) if as_tensor else targets, [0] * 9)
    expected = torch.log_softmax(logits.double(), dim=-1)[range(9), targets]
    assert found.logprobs == pytest.approx(expected.tolist(), abs=1e-5)


def test_each_row_gets_as_many_best_tokens_as_it_asked_for() -> None:
    logits = gaussian(4, 777)
    counts = [0, 3, 1, 20]
    found = gather_logprobs(logits, [0] * 4, counts)
    scores = torch.log_softmax(logits.double(), dim=-1)
    for row, count in enumerate(counts):
        expected = scores[row].topk(count)
        assert found.top_ids[row] == expected.indices.tolist()
        assert found.top_logprobs[row] == pytest.approx(expected.values.tolist(), abs=1e-5)


def test_rows_without_best_tokens_have_empty_lists() -> None:
    found = gather_logprobs(gaussian(2, 50), [1, 2], [0, 0])
    assert (found.top_logprobs, found.top_ids) == ([[], []], [[], []])


def test_more_best_tokens_than_there_are_mean_all() -> None:
    logits = gaussian(2, 5)
    found = gather_logprobs(logits, [0, 0], [100, 2])
    assert found.top_ids[0] == logits[0].argsort(descending=True).tolist()
    assert len(found.top_ids[1]) == 2


def test_equal_tokens_come_by_id() -> None:
    found = gather_logprobs(torch.zeros(1, 2000), [0], [4])
    assert found.top_ids == [[0, 1, 2, 3]]


def test_a_target_has_the_same_logprob_among_the_best() -> None:
    logits = gaussian(20, 3000)
    best = logits.argmax(dim=-1)
    found = gather_logprobs(logits, best, [1] * 20)
    assert [[x] for x in found.logprobs] == found.top_logprobs
    assert found.top_ids == best[:, None].tolist()


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets, counts = gaussian(11, 300), list(range(11)), [i % 4 for i in range(11)]
    whole = gather_logprobs(logits, targets, counts)
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 700)
    assert gather_logprobs(logits, targets, counts) == whole


def test_what_json_cannot_carry_becomes_the_floor() -> None:
    logits = torch.zeros(4, 6)
    logits[0, 1:] = -torch.inf
    logits[1, 3] = torch.nan
    logits[2] = -torch.inf
    found = gather_logprobs(logits, [1, 0, 0, 0], [6] * 4)
    assert found.logprobs[:3] == [MIN_LOGPROB] * 3
    assert found.top_logprobs[0] == [0.0] + [MIN_LOGPROB] * 5
    assert found.logprobs[3] == pytest.approx(-1.791759, abs=1e-5)
    json.dumps(found.top_logprobs, allow_nan=False)


@pytest.mark.parametrize("target", [-1, 6, 10**9])
def test_a_target_outside_the_vocabulary_gets_the_floor(target: int) -> None:
    assert gather_logprobs(torch.zeros(1, 6), [target], [0]).logprobs == [MIN_LOGPROB]


def test_no_logprob_is_above_zero() -> None:
    logits = torch.full((1, 100), -50.0)
    logits[0, 7] = 87.3
    assert gather_logprobs(logits, [7], [1]).logprobs == [0.0]


def test_no_rows_are_no_logprobs() -> None:
    assert gather_logprobs(torch.zeros(0, 6), [], []).logprobs == []


@pytest.mark.parametrize(("targets", "counts"), [([1], [0, 0]), ([1, 2], [0]), ([1, 2, 3], [0, 0])])
def test_lengths_that_do_not_agree_are_refused(targets: list[int], counts: list[int]) -> None:
    with pytest.raises(ValueError, match="2 rows of logits"):
        gather_logprobs(torch.zeros(2, 6), targets, counts)


def test_the_lists_fit_the_wire() -> None:
    found = gather_logprobs(gaussian(3, 50), [1, 2, 3], [2, 0, 1])
    message = TokenLogprobs(
        logprobs=list(found.logprobs),
        token_ids=[1, 2, 3],
        top_logprobs=found.top_logprobs,
        top_ids=found.top_ids,
    )
    assert len(encode(message)) > 0
