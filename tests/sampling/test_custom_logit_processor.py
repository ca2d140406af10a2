"""Custom logit processors: how they travel, and what they do to a batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from sglang.srt.sampling.custom_logit_processor import (
    MAX_LOADED,
    CustomLogitProcessor,
    ProcessorError,
    ProcessorStore,
)
from sglang.srt.sampling.sampler import INVALID_TOKEN, SamplingRow
from tests.sampling.sampling_reference import draw, make_row
from tests.sampling.test_token_mask import Fixed

VOCAB_SIZE = 12
Function = Callable[[torch.Tensor, list[dict[str, Any]]], Any]


class Calls(CustomLogitProcessor):
    """Does what it is told and remembers with what it was called."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.calls: list[tuple[int, list[dict[str, Any]]]] = []

    def __call__(self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]]) -> Any:
        self.calls.append((len(logits), list(custom_param_list)))
        return self.function(logits, custom_param_list)


def force(logits: torch.Tensor, params: list[dict[str, Any]]) -> torch.Tensor:
    """The documented example: nothing but the token of each row's parameters."""
    for i, each in enumerate(params):
        logits[i, :] = -float("inf")
        logits[i, each["token_id"]] = 0.0
    return logits


def row_with(processor: CustomLogitProcessor | None, **raw: Any) -> SamplingRow:
    row = make_row({"temperature": 0.0, **raw})
    row.processor = processor
    return row


def forced_row(processor: CustomLogitProcessor, token: int, **raw: Any) -> SamplingRow:
    return row_with(processor, custom_params={"token_id": token}, **raw)


def logits_of(rows: Sequence[SamplingRow]) -> torch.Tensor:
    return torch.randn(len(rows), VOCAB_SIZE, generator=torch.Generator().manual_seed(0))


# --------------------------------------------------------------------------------------
# In a batch
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_of_a_processor_are_one_call_and_the_others_are_left_alone(temperature: float) -> None:
    processor, other = Calls(force), Calls(force)
    rows = [
        forced_row(processor, 3, temperature=temperature),
        row_with(None, temperature=temperature),
        forced_row(other, 5),
        forced_row(processor, 9),
    ]
    logits = logits_of(rows)
    alone = draw(logits[1:2].clone(), [rows[1]])
    assert draw(logits, rows) == [3, *alone, 5, 9]
    assert processor.calls == [(2, [{"token_id": 3}, {"token_id": 9}])]
    assert other.calls == [(1, [{"token_id": 5}])]


def test_a_new_tensor_may_be_returned() -> None:
    rows = [row_with(Calls(lambda logits, _: -logits))]
    logits = logits_of(rows)
    lowest = logits.argmin(dim=1).tolist()
    assert draw(logits, rows) == lowest


def test_a_request_without_parameters_has_an_empty_dictionary_of_its_own() -> None:
    def count(logits: torch.Tensor, params: list[dict[str, Any]]) -> torch.Tensor:
        for each in params:
            each["steps"] = each.get("steps", 0) + 1
        return logits

    processor = Calls(count)
    first, second = row_with(processor), row_with(processor)
    draw(logits_of([first]), [first])
    draw(logits_of([first, second]), [first, second])
    assert (first.custom_params, second.custom_params) == ({"steps": 2}, {"steps": 1})


def test_it_sees_penalties_and_biases() -> None:
    seen = []

    def look(logits: torch.Tensor, _: list[dict[str, Any]]) -> torch.Tensor:
        seen.append(logits.clone())
        return logits

    row = row_with(Calls(look), logit_bias={4: 2.0})
    logits = logits_of([row])
    biased = logits.clone()
    biased[0, 4] += 2.0
    draw(logits, [row])
    assert torch.equal(seen[0], biased)


def test_a_grammar_has_the_last_word() -> None:
    def prefer(logits: torch.Tensor, params: list[dict[str, Any]]) -> torch.Tensor:
        logits[:, [2, 7]] += 100.0
        logits[:, 2] += 1.0
        return logits

    free, bound = row_with(Calls(prefer)), row_with(Calls(prefer))
    grammar: Any = Fixed({5, 7, 9})
    bound.grammar = grammar
    assert draw(logits_of([free, bound]), [free, bound]) == [2, 7]


def test_a_failure_ends_the_row_it_is_about() -> None:
    processor = Calls(force)
    rows = [forced_row(processor, 3), row_with(processor), row_with(None), forced_row(processor, 4)]
    logits = logits_of(rows)
    best = int(logits[2].argmax())
    assert draw(logits, rows) == [3, INVALID_TOKEN, best, 4]
    assert [row.error for row in rows] == [
        *("", "custom_logit_processor failed: KeyError: 'token_id'", "", "")
    ]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (lambda logits: None, "got NoneType"),
        (lambda logits: logits[:, :5], "shape (1, 12), got (1, 5)"),
        (lambda logits: logits.tolist(), "got list"),
    ],
)
def test_a_wrong_result_is_a_failure(result: Callable[[Any], Any], problem: str) -> None:
    row = row_with(Calls(lambda logits, _: result(logits)))
    assert draw(logits_of([row]), [row]) == [INVALID_TOKEN]
    assert problem in row.error


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_leave_no_token(value: float) -> None:
    row = row_with(Calls(lambda logits, _: logits.fill_(value)))
    assert draw(logits_of([row]), [row]) == [INVALID_TOKEN]


# --------------------------------------------------------------------------------------
# As a string
# --------------------------------------------------------------------------------------

SCRIPT = """
import operator
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

FACTOR = -1.0

def changed(logits):
    return operator.mul(logits, FACTOR)

class Negative(CustomLogitProcessor):
    def __init__(self, summand):
        self.summand = summand

    def __call__(self, logits, custom_param_list):
        return changed(logits) + self.summand

print(Negative(3.0).to_str())
"""


def local_processor(token: int) -> CustomLogitProcessor:
    class Local(CustomLogitProcessor):
        def __call__(self, logits: torch.Tensor, custom_param_list: list[Any]) -> torch.Tensor:
            logits[:, token] = 100.0
            return logits

    return Local()


def test_the_class_of_a_script_brings_its_globals() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    processor = CustomLogitProcessor.from_str(done.stdout.strip())
    logits = torch.tensor([[1.0, 5.0]])
    assert torch.equal(processor(logits, [{}]), torch.tensor([[2.0, -2.0]]))


def test_a_local_class_brings_what_it_encloses() -> None:
    text = local_processor(2).to_str()
    assert set(json.loads(text)) == {"callable", "python"}
    processor = CustomLogitProcessor.from_str(text)
    assert processor(torch.zeros(1, 4), [{}]).argmax() == 2


def test_a_class_is_made_an_instance() -> None:
    import dill

    text = json.dumps({"callable": dill.dumps(type(local_processor(3)), recurse=True).hex()})
    assert CustomLogitProcessor.from_str(text)(torch.zeros(1, 4), [{}]).argmax() == 3


def test_the_client_needs_no_torch() -> None:
    code = (
        "import sys; from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor; "
        "assert 'torch' not in sys.modules and 'dill' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def pickled(value: object) -> str:
    import dill

    return json.dumps({"callable": dill.dumps(value).hex()})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not what"),
        ("[1]", "is not what"),
        ("7", "is not what"),
        ('"callable"', "is not what"),
        ("{}", "is not what"),
        ('{"callable": 5}', "is not what"),
        ('{"callable": "xy"}', "is not what"),
        ("[" * 100_000, "is not what"),
        ('{"callable": ""}', "cannot be loaded: EOFError"),
        ('{"callable": "80ff"}', "cannot be loaded: ValueError"),
        ('{"callable": "", "python": "2.7"}', "was made by Python 2.7"),
        ('{"callable": "", "python": ["a"]}', "was made by Python ['a']"),
        (pickled(5), "holds a int, which is no CustomLogitProcessor"),
        (pickled(len), "holds a builtin_function_or_method"),
        (pickled(CustomLogitProcessor), "cannot be loaded: TypeError"),
        ('{"callable": "63616273656e740a580a2e"}', "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_bad_strings_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ProcessorError) as caught:
        CustomLogitProcessor.from_str(text)
    assert problem in str(caught.value)


# --------------------------------------------------------------------------------------
# In an engine
# --------------------------------------------------------------------------------------


def test_nothing_is_loaded_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dill.loads", lambda data: pytest.fail("unpickled"))
    with pytest.raises(ProcessorError, match="--enable-custom-logit-processor"):
        ProcessorStore(enabled=False).get(local_processor(1).to_str())


def test_the_same_string_is_the_same_object() -> None:
    store = ProcessorStore(enabled=True)
    one, other = local_processor(1).to_str(), local_processor(2).to_str()
    assert store.get(one) is store.get(one)
    assert store.get(one) is not store.get(other)


def test_the_least_recently_used_is_forgotten() -> None:
    store = ProcessorStore(enabled=True)
    texts = [local_processor(i).to_str() for i in range(MAX_LOADED + 1)]
    loaded = [store.get(text) for text in texts[:-1]]
    assert store.get(texts[0]) is loaded[0]
    store.get(texts[-1])
    assert store.get(texts[0]) is loaded[0]
    assert store.get(texts[1]) is not loaded[1]
