"""Custom logit processors in an engine: who may bring them, and whom they concern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.managers.engine_setup import Engine
from sglang.srt.managers.io_struct import RequestOutput, TokenizedRequest
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor
from tests.engine.test_equality import NEW_TOKENS, make_engine, message, prompts, run, tokens
from tests.models.model_helpers import make_tiny_checkpoint


class Force(CustomLogitProcessor):
    """The documented example, which this process can import by name."""

    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]]
    ) -> torch.Tensor:
        for i, params in enumerate(custom_param_list):
            logits[i, :] = -float("inf")
            logits[i, params["token_id"]] = 0.0
        return logits


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Engine:
    return make_engine(checkpoint, enable_custom_logit_processor=True)


def forced(rid: str, **custom_params: Any) -> TokenizedRequest:
    sampling = {"temperature": 1.0, "seed": 1, "custom_params": custom_params}
    return message(rid, prompts()[1], sampling, custom_logit_processor=Force().to_str())


def plain(rid: str) -> TokenizedRequest:
    return message(rid, prompts()[1], {"temperature": 0.0})


def refusal(outputs: list[RequestOutput]) -> tuple[int, str]:
    finish = outputs[-1].finish
    assert finish is not None and finish.type == "abort"
    return finish.status, finish.message


def test_each_request_has_its_own_parameters_and_others_are_left_alone(engine: Engine) -> None:
    alone = tokens(run(engine, [plain("a")])["a"])
    outputs = run(engine, [forced("b", token_id=5), plain("a"), forced("c", token_id=77)])
    assert tokens(outputs["a"]) == alone
    assert tokens(outputs["b"]) == [5] * NEW_TOKENS
    assert tokens(outputs["c"]) == [77] * NEW_TOKENS


def test_a_failure_ends_the_request_it_is_about(engine: Engine) -> None:
    alone = tokens(run(engine, [plain("a")])["a"])
    outputs = run(engine, [forced("b", token_id=5), plain("a"), forced("c", wrong=1)])
    assert tokens(outputs["a"]) == alone
    assert tokens(outputs["b"]) == [5] * NEW_TOKENS
    assert refusal(outputs["c"]) == (400, "custom_logit_processor failed: KeyError: 'token_id'")


def test_the_log_probabilities_are_the_models_own(engine: Engine) -> None:
    each = forced("a", token_id=5)
    each.return_logprob = True
    scores = [output.output_logprobs for output in run(engine, [each])["a"]]
    logprobs = [score.logprobs[0] for score in scores if score is not None]
    assert len(logprobs) == len(scores)
    assert all(logprob is not None and -99 < logprob < 0 for logprob in logprobs)


def test_what_cannot_be_loaded_is_refused(engine: Engine) -> None:
    each = message("a", prompts()[1], {}, custom_logit_processor='{"callable": "00"}')
    outputs = run(engine, [each, plain("b")])
    status, reason = refusal(outputs["a"])
    assert status == 400
    assert reason.startswith("custom_logit_processor cannot be loaded: ")
    assert len(tokens(outputs["b"])) == NEW_TOKENS


def test_without_the_option_none_is_loaded(checkpoint: Path) -> None:
    outputs = run(make_engine(checkpoint), [forced("a", token_id=5)])
    assert refusal(outputs["a"]) == (
        400,
        "custom_logit_processor needs --enable-custom-logit-processor",
    )
