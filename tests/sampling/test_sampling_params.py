"""What users may send as sampling parameters, and what they are told otherwise."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from sglang.srt.sampling.sampling_fields import (
    MAX_CUSTOM_PARAMS,
    MAX_GRAMMAR_CHARS,
    MAX_LOGIT_BIAS_ENTRIES,
    MAX_STOP_CHARS,
    MAX_STOP_STRINGS,
    MAX_STOP_TOKEN_IDS,
    MAX_TEMPERATURE,
    MAX_TOKENS,
    SamplingParamsError,
)
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS, SamplingParams

VOCAB_SIZE = 1000

parse = SamplingParams.parse

NUMBERS: dict[str, tuple[list[float], list[float]]] = {
    # field: (accepted bounds, values just outside)
    "temperature": ([0, 0.0, MAX_TEMPERATURE], [-1e-9, MAX_TEMPERATURE * 1.01]),
    "top_p": ([1e-9, 1, 1.0], [0, 0.0, -0.1, 1.0000001]),
    "min_p": ([0, 1], [-1e-9, 1.0000001]),
    "frequency_penalty": ([-2, 2.0], [-2.0000001, 2.0000001]),
    "presence_penalty": ([-2, 2.0], [-2.0000001, 2.0000001]),
    "repetition_penalty": ([0, 0.0, 2], [-1e-9, 2.0000001]),
}
INTEGERS: dict[str, tuple[list[int], list[int]]] = {
    "max_new_tokens": ([0, 1, MAX_TOKENS], [-1, MAX_TOKENS + 1]),
    "min_new_tokens": ([0, 1, 128], [-1, 129]),
    "top_k": ([-1, 1, VOCAB_SIZE], [0, -2, 2**31]),
    "n": ([1, 128], [0, 129]),
    "seed": ([-(2**63), 0, 2**63 - 1], [-(2**63) - 1, 2**63]),
}
BOOLEANS = ("ignore_eos", "skip_special_tokens", "spaces_between_special_tokens")


def cases(table: dict[str, tuple[list[Any], list[Any]]], which: int) -> list[tuple[str, Any]]:
    return [(name, value) for name, pair in table.items() for value in pair[which]]


def refusal(raw: dict[str, Any], **options: Any) -> str:
    with pytest.raises(SamplingParamsError) as caught:
        parse(raw, **{"vocab_size": VOCAB_SIZE, **options})
    return str(caught.value)


def test_nothing_given_is_the_documented_defaults() -> None:
    assert msgspec.structs.asdict(parse({})) == {
        "max_new_tokens": 128,
        "stop": [],
        "stop_token_ids": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "ignore_eos": False,
        "skip_special_tokens": True,
        "spaces_between_special_tokens": True,
        "n": 1,
        "json_schema": None,
        "regex": None,
        "ebnf": None,
        "structural_tag": None,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "min_new_tokens": 0,
        "logit_bias": {},
        "seed": None,
        "custom_params": None,
    }


@pytest.mark.parametrize(("name", "value"), cases(NUMBERS, 0))
def test_numbers_up_to_their_bounds_are_taken(name: str, value: float) -> None:
    number = getattr(parse({name: value}), name)
    assert (number, type(number)) == (value, float)


@pytest.mark.parametrize(("name", "value"), cases(INTEGERS, 0))
def test_integers_up_to_their_bounds_are_taken(name: str, value: int) -> None:
    assert getattr(parse({name: value}, vocab_size=VOCAB_SIZE), name) == value


@pytest.mark.parametrize(("name", "value"), cases(NUMBERS, 1) + cases(INTEGERS, 1))
def test_numbers_beyond_their_bounds_are_refused(name: str, value: float) -> None:
    message = refusal({name: value})
    assert message.startswith(f"{name} must be ")
    assert message.endswith(f"got {value!r}")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, pytest.param(10**400, id="huge")])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    assert refusal({name: value}).startswith(f"{name} must be a number")


@pytest.mark.parametrize("name", [*NUMBERS, *INTEGERS])
@pytest.mark.parametrize("value", [True, False, "1", [1], {}, 1j])
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    assert refusal({name: value}).endswith(f"got {value!r}")


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [1.0, 1.5, math.nan])
def test_fractions_are_refused_where_integers_belong(name: str, value: float) -> None:
    assert refusal({name: value}).endswith(f"got {value!r}")


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("value", [1, 0, "true", [True]])
def test_what_is_no_boolean_is_refused(name: str, value: object) -> None:
    assert refusal({name: value}) == f"{name} must be true or false, got {value!r}"


@pytest.mark.parametrize("name", BOOLEANS)
def test_booleans_are_taken(name: str) -> None:
    assert getattr(parse({name: False}), name) is False
    assert getattr(parse({name: True}), name) is True


def test_numpy_numbers_become_plain_ones() -> None:
    params = parse({"top_k": np.int64(5), "temperature": np.float32(0.5)})
    assert (type(params.top_k), params.top_k) == (int, 5)
    assert (type(params.temperature), params.temperature) == (float, 0.5)


@pytest.mark.parametrize("name", SamplingParams.__struct_fields__)
def test_none_means_not_given(name: str) -> None:
    if name == "max_new_tokens":
        assert parse({name: None}).max_new_tokens is None
    else:
        assert parse({name: None}) == parse({})


def test_top_k_is_clamped_to_the_vocabulary() -> None:
    assert parse({"top_k": 1 << 30}, vocab_size=VOCAB_SIZE).top_k == VOCAB_SIZE


def test_min_new_tokens_cannot_exceed_max_new_tokens() -> None:
    message = refusal({"min_new_tokens": 11, "max_new_tokens": 10})
    assert message == "min_new_tokens must be at most max_new_tokens (10), got 11"


def test_min_new_tokens_is_free_without_a_maximum() -> None:
    assert parse({"min_new_tokens": 5000, "max_new_tokens": None}).min_new_tokens == 5000


# ------------------------------------------------------------------------------- stop


@pytest.mark.parametrize(
    ("given", "taken"), [("\n", ["\n"]), (["a", "bc"], ["a", "bc"]), (("a",), ["a"]), ([], [])]
)
def test_stop_is_a_string_or_several(given: object, taken: list[str]) -> None:
    assert parse({"stop": given}).stop == taken


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "stop must be a string or a list"),
        ({"a": 1}, "stop must be a string or a list"),
        (["a"] * (MAX_STOP_STRINGS + 1), f"at most {MAX_STOP_STRINGS} strings"),
        (["a", 1], "stop[1] must be a non-empty string"),
        ("", "stop[0] must be a non-empty string"),
        (["a", ""], "stop[1] must be a non-empty string"),
        (["a" * (MAX_STOP_CHARS + 1)], f"at most {MAX_STOP_CHARS} characters"),
        ("\ud800", "stop[0] must be a string without unpaired surrogates"),
    ],
)
def test_bad_stops_are_refused(given: object, words: str) -> None:
    assert words in refusal({"stop": given})


def test_stops_up_to_their_bounds_are_taken() -> None:
    stops = ["a" * MAX_STOP_CHARS] * MAX_STOP_STRINGS
    assert parse({"stop": stops}).stop == stops


def test_stop_token_ids_are_taken() -> None:
    assert parse({"stop_token_ids": [0, 999]}, vocab_size=VOCAB_SIZE).stop_token_ids == [0, 999]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "stop_token_ids must be a list"),
        ("5", "stop_token_ids must be a list"),
        ([0] * (MAX_STOP_TOKEN_IDS + 1), f"at most {MAX_STOP_TOKEN_IDS} token ids"),
        ([1, -1], "stop_token_ids[1] must be a token id between 0 and 999, got -1"),
        ([VOCAB_SIZE], "stop_token_ids[0] must be a token id between 0 and 999, got 1000"),
        ([True], "stop_token_ids[0] must be a token id between 0 and 999, got True"),
        (["7"], "stop_token_ids[0] must be a token id between 0 and 999, got '7'"),
        ([1.0], "stop_token_ids[0] must be a token id between 0 and 999, got 1.0"),
    ],
)
def test_bad_stop_token_ids_are_refused(given: object, words: str) -> None:
    assert words in refusal({"stop_token_ids": given})


# ------------------------------------------------------------------------- logit_bias


def test_logit_bias_takes_ids_as_numbers_and_as_strings() -> None:
    params = parse({"logit_bias": {"5": 1, 7: -100, "999": 100.0}}, vocab_size=VOCAB_SIZE)
    assert params.logit_bias == {5: 1.0, 7: -100.0, 999: 100.0}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1, 2], "logit_bias must be an object"),
        (dict.fromkeys(range(MAX_LOGIT_BIAS_ENTRIES + 1), 0), f"at most {MAX_LOGIT_BIAS_ENTRIES}"),
        ({"1000": 0}, "logit_bias key must be a token id between 0 and 999, got 1000"),
        ({-1: 0}, "logit_bias key must be a token id between 0 and 999, got -1"),
        ({"-1": 0}, "logit_bias key must be a token id between 0 and 999, got '-1'"),
        ({"the": 0}, "logit_bias key must be a token id between 0 and 999, got 'the'"),
        ({"": 0}, "logit_bias key must be a token id between 0 and 999, got ''"),
        ({"²": 0}, "logit_bias key must be a token id between 0 and 999, got '²'"),
        ({"12345678901": 0}, "logit_bias key must be a token id between 0 and 999"),
        ({True: 0}, "logit_bias key must be a token id between 0 and 999, got True"),
        ({1.0: 0}, "logit_bias key must be a token id between 0 and 999, got 1.0"),
        ({"5": 1, 5: 2}, "logit_bias names token 5 twice"),
        ({"5": 100.1}, "logit_bias[5] must be a number of at least -100 and at most 100"),
        ({"5": -100.1}, "logit_bias[5] must be a number of at least -100 and at most 100"),
        ({"5": math.nan}, "logit_bias[5] must be a number"),
        ({"5": "1"}, "logit_bias[5] must be a number"),
        ({"5": True}, "logit_bias[5] must be a number"),
        ({"5": None}, "logit_bias[5] must be a number"),
    ],
)
def test_bad_logit_biases_are_refused(given: object, words: str) -> None:
    assert words in refusal({"logit_bias": given})


# ------------------------------------------------------------------ structured outputs

TOO_LONG = pytest.param("x" * (MAX_GRAMMAR_CHARS + 1), id="too long")


@pytest.mark.parametrize("name", GRAMMAR_KINDS)
def test_a_grammar_is_taken_as_text(name: str) -> None:
    params = parse({name: "x"})
    assert getattr(params, name) == "x"


@pytest.mark.parametrize("name", ["json_schema", "structural_tag"])
def test_what_is_json_may_be_an_object(name: str) -> None:
    assert getattr(parse({name: {"type": "object"}}), name) == '{"type":"object"}'
    assert getattr(parse({name: True}), name) == "true"


@pytest.mark.parametrize("name", GRAMMAR_KINDS)
@pytest.mark.parametrize("value", [5, "", ["x"], TOO_LONG])
def test_bad_grammars_are_refused(name: str, value: object) -> None:
    assert refusal({name: value}).startswith(f"{name} must be a non-empty string of at most")


@pytest.mark.parametrize("name", ["regex", "ebnf"])
def test_what_is_no_json_may_not_be_an_object(name: str) -> None:
    assert refusal({name: {"type": "object"}}).startswith(f"{name} must be a non-empty string")


def test_an_object_that_json_cannot_hold_is_refused() -> None:
    assert "cannot be written as JSON" in refusal({"json_schema": {"const": float("nan")}})


@pytest.mark.parametrize("pair", list(itertools.combinations(GRAMMAR_KINDS, 2)))
def test_only_one_grammar_can_be_set(pair: tuple[str, str]) -> None:
    message = refusal(dict.fromkeys(pair, "x"))
    assert message == (
        "only one of json_schema, regex, ebnf and structural_tag can be set, got "
        + " and ".join(pair)
    )


def test_custom_params_hold_plain_values() -> None:
    given = {"token_id": 5, "words": ["a", {"b": None}], "pair": (1, 2.5)}
    assert parse({"custom_params": given}).custom_params == {**given, "pair": [1, 2.5]}


def too_deep() -> list[object]:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800", {1, 2, object()}, too_deep()])
def test_other_custom_params_are_refused(value: object) -> None:
    assert refusal({"custom_params": {"x": value}}).startswith(
        "custom_params must hold plain values only"
    )


def test_custom_params_have_a_limit() -> None:
    assert "at most 1048576 bytes" in refusal({"custom_params": {"x": "a" * (1 << 20)}})


@pytest.mark.parametrize(
    "value", [[], "x", {5: 1}, {str(i): i for i in range(MAX_CUSTOM_PARAMS + 1)}]
)
def test_bad_custom_params_are_refused(value: object) -> None:
    assert refusal({"custom_params": value}).startswith("custom_params must be an object")


# ------------------------------------------------------------------------------ fields


@pytest.mark.parametrize(
    ("name", "close"),
    [("temprature", "temperature"), ("max_tokens", "max_new_tokens"), ("topp", "top_p")],
)
def test_an_unknown_field_is_refused_with_the_closest_name(name: str, close: str) -> None:
    message = refusal({name: 1})
    assert message == f"unknown sampling parameter {name!r}; did you mean {close!r}?"


@pytest.mark.parametrize("name", ["zzz", "", 5, pytest.param("x" * 100_000, id="long")])
def test_an_unknown_field_far_from_all_is_refused_briefly(name: Any) -> None:
    message = refusal({name: 1})
    assert message.startswith("unknown sampling parameter ")
    assert len(message) < 120


def test_the_error_names_the_field() -> None:
    with pytest.raises(SamplingParamsError) as caught:
        parse({"top_p": 2})
    assert caught.value.field == "top_p"


@pytest.mark.parametrize("raw", [[], "x", 5, [("n", 1)]])
def test_parameters_have_to_be_an_object(raw: Any) -> None:
    assert refusal(raw).startswith("sampling_params must be an object")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 10**6, id="text"),
        pytest.param([0] * 10**6, id="list"),
        pytest.param(10**10_000, id="integer"),
        pytest.param([10**10_000], id="list of one integer"),
    ],
)
def test_messages_stay_short_whatever_the_value(value: object) -> None:
    assert len(refusal({"n": value})) < 300


def test_requests_do_not_share_lists() -> None:
    parse({}).stop.append("x")
    assert parse({}).stop == []


@pytest.mark.parametrize(
    ("raw", "greedy"),
    [({}, False), ({"temperature": 0}, True), ({"top_k": 1}, True), ({"temperature": 0.01}, False)],
)
def test_greedy_is_temperature_zero_or_top_k_one(raw: dict[str, Any], greedy: bool) -> None:
    assert parse(raw).is_greedy is greedy


def test_parameters_survive_the_wire() -> None:
    params = parse(
        json.loads('{"logit_bias": {"5": -1}, "stop": "x", "seed": -9223372036854775808}')
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(params), type=SamplingParams) == params


def test_the_module_does_not_import_torch() -> None:
    code = "import sys, sglang.srt.sampling.sampling_params; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
