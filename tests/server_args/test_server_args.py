"""The declaration of the options, through the constructor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sglang.srt import server_args
from sglang.srt.server_args import OPTIONS, Option, ServerArgs, ServerArgsError

PLANNED = [option for option in OPTIONS if not option.facts.implemented]


def another_value(option: Option) -> object:
    """A value that the option would take if it were built, other than its default."""
    if option.type is bool:
        return not option.default
    if option.type is int:
        value: object = (option.default or 0) + 1
    else:
        value = next(
            choice for choice in option.facts.choices or ("x",) if choice != option.default
        )
    return [value] if option.is_list else value


def problem(**options: object) -> str:
    with pytest.raises(ServerArgsError) as error:
        ServerArgs(**options)
    return str(error.value)


def test_documented_defaults() -> None:
    args = ServerArgs()
    assert (args.host, args.port) == ("127.0.0.1", 30000)
    assert (args.schedule_policy, args.schedule_conservativeness) == ("lpm", 1.0)
    assert (args.tp_size, args.dp_size, args.nnodes, args.device) == (1, 1, 1, "auto")
    assert args.triton_attention_num_kv_splits == 8


def test_no_model_means_the_demo_model() -> None:
    args = ServerArgs()
    assert Path(args.model_path).name == "demo_model"
    assert args.served_model_name == "demo"


def test_options_that_follow_from_others() -> None:
    args = ServerArgs(model_path="org/model", log_level="error")
    assert args.tokenizer_path == "org/model"
    assert args.served_model_name == "org/model"
    assert args.log_level_http == "error"


def test_what_is_given_is_not_replaced() -> None:
    args = ServerArgs(model_path="a", tokenizer_path="b", served_model_name="c")
    assert (args.tokenizer_path, args.served_model_name) == ("b", "c")


def test_unknown_keyword_names_the_closest() -> None:
    assert "did you mean model_path?" in problem(model_pth="x")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"port": 0}, ("port", "0", "1")),
        ({"port": 70000}, ("port", "70000", "65535")),
        ({"port": True}, ("port", "whole number", "True")),
        ({"port": "80"}, ("port", "whole number", "'80'")),
        ({"mem_fraction_static": 1.0}, ("mem_fraction_static", "1.0", "below 1")),
        ({"mem_fraction_static": 0}, ("mem_fraction_static", "0", "above 0")),
        ({"schedule_conservativeness": float("nan")}, ("schedule_conservativeness", "nan")),
        ({"watchdog_timeout": float("inf")}, ("watchdog_timeout", "inf")),
        ({"chunked_prefill_size": 0}, ("chunked_prefill_size", "0", "or -1")),
        ({"schedule_policy": "best"}, ("schedule_policy", "'best'", "lpm, random, fcfs")),
        ({"dtype": None}, ("dtype", "needs a value")),
        ({"model_path": " "}, ("model_path", "empty")),
        ({"disable_radix_cache": 1}, ("disable_radix_cache", "true or false")),
        ({"json_model_override_args": "[1]"}, ("json_model_override_args", "JSON object")),
        ({"json_model_override_args": "{"}, ("json_model_override_args", "not valid JSON")),
        ({"random_seed": 2**63}, ("random_seed", str(2**63))),
    ],
)
def test_bad_values_are_named(options: dict[str, object], parts: tuple[str, ...]) -> None:
    message = problem(**options)
    assert all(part in message for part in parts), message


def test_minus_one_turns_chunking_off() -> None:
    assert ServerArgs(chunked_prefill_size=-1).chunked_prefill_size == -1


def test_values_take_their_normal_form() -> None:
    args = ServerArgs(
        model_path=Path("/models/a"),
        watchdog_timeout=5,
        json_model_override_args={"num_hidden_layers": 1},
    )
    assert args.model_path == "/models/a"
    assert isinstance(args.watchdog_timeout, float)
    assert json.loads(args.json_model_override_args) == {"num_hidden_layers": 1}


@pytest.mark.parametrize("option", PLANNED, ids=lambda option: option.name)
def test_planned_options_are_refused(option: Option) -> None:
    assert "not implemented yet" in problem(**{option.name: another_value(option)})


def test_planned_options_may_keep_their_default() -> None:
    defaults = {option.name: option.default for option in PLANNED}
    assert ServerArgs(**defaults) == ServerArgs()


@pytest.mark.parametrize("name", ["attention_backend", "load_format"])
def test_planned_choices_are_refused(name: str) -> None:
    option = next(option for option in OPTIONS if option.name == name)
    assert "not implemented yet" in problem(**{name: option.facts.planned[0]})


def test_what_is_accepted_is_read_somewhere() -> None:
    package = Path(server_args.__file__).parent
    sources = [
        path.read_text(encoding="utf-8")
        for path in package.parent.rglob("*.py")
        if package not in path.parents
    ]
    code = "\n".join(sources)
    live = [option for option in OPTIONS if option.facts.implemented and not option.facts.holds]
    unread = [option.name for option in live if not re.search(rf"args\.{option.name}\b", code)]
    assert unread == []


def test_json_round_trip() -> None:
    args = ServerArgs(model_path="m", mem_fraction_static=0.5, log_requests=True)
    assert ServerArgs.from_json(args.to_json()) == args


def test_secrets_are_masked_and_stay_out_of_the_engine() -> None:
    args = ServerArgs(api_key="hunter2")
    assert args.api_key == "hunter2"
    assert "hunter2" not in json.dumps(args.to_dict())
    assert "hunter2" not in args.to_json()
    assert "hunter2" not in repr(args)


def test_api_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_API_KEY", "from-env")
    assert ServerArgs().api_key == "from-env"
    assert ServerArgs(api_key="given").api_key == "given"


def test_importing_needs_no_torch() -> None:
    code = "import sys, sglang.srt.server_args; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
