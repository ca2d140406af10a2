"""The documented command lines of the tools, and what their options refuse."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from sglang import bench_offline_throughput, bench_one_batch, bench_serving
from sglang.cli.main import main

LLAMA = "meta-llama/Meta-Llama-3.1-8B-Instruct"


def one_batch(line: str) -> bench_one_batch.BatchOptions:
    return bench_one_batch.parse(shlex.split(line), "one-batch")[0]


@pytest.mark.parametrize(
    ("line", "shapes"),
    [
        (f"--model-path {LLAMA} --batch 32 --input-len 256 --output-len 32", [(32, 256, 32)]),
        ("--model m/l --batch-size 64 --input-len 512", [(64, 512, 16)]),
        (
            "--model m/l --batch-size 1 8 --input 4 --output 2 3",
            [(1, 4, 2), (1, 4, 3), (8, 4, 2), (8, 4, 3)],
        ),
    ],
)
def test_batches_of_a_command_line(line: str, shapes: list[tuple[int, int, int]]) -> None:
    assert one_batch(line).shapes == shapes


def test_dummy_weights_and_overrides_reach_the_server_arguments() -> None:
    line = (
        f"--model-path {LLAMA} --batch 32 --input-len 256 --output-len 32 --load-format dummy "
        """--json-model-override-args '{"num_hidden_layers": 1, "num_key_value_heads": 1}'"""
    )
    _, args = bench_one_batch.parse(shlex.split(line), "one-batch")
    assert (args.model_path, args.load_format) == (LLAMA, "dummy")
    assert "num_hidden_layers" in args.json_model_override_args


def test_correct_needs_no_sizes() -> None:
    assert one_batch("--correct --model new/model").correct


@pytest.mark.parametrize(
    "line",
    [
        "--batch-size 1 --input 128 --output 256 --model deepseek-ai/DeepSeek-V3 "
        "--trust-remote-code --tp 8 --disable-cuda-graph",
        "--batch-size 32 --input 1024 --output 128 --model amd/Meta-Llama-3.1-8B-Instruct-FP8-KV "
        "--tp 8 --quantization fp8",
    ],
)
def test_what_the_runtime_cannot_do_yet_is_refused(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        one_batch(line)
    assert "not implemented yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"--model-path {LLAMA} --num-prompts 10", ("sharegpt", 10, False, None)),
        (
            f"--model-path {LLAMA} --dataset-name random --num-prompts 10 --profile --mem-frac=0.8",
            ("random", 10, True, 0.8),
        ),
    ],
)
def test_offline_command_lines(line: str, expected: tuple[object, ...]) -> None:
    options, dataset, args = bench_offline_throughput.parse(shlex.split(line), "offline")
    found = (dataset.dataset_name, dataset.num_prompts, options.profile, args.mem_fraction_static)
    assert found == expected
    assert args.model_path == LLAMA


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--backend sglang --num-prompt 10", {"num_prompts": 10}),
        (
            "--backend sglang --model-path m --num-prompts 2 --sharegpt-output-len 100 --profile",
            {"num_prompts": 2, "sharegpt_output_len": 100},
        ),
        (
            "--backend sglang --num-prompts 1000 --dataset-name random --random-input 1024 "
            "--random-output 512",
            {"dataset_name": "random", "random_input_len": 1024, "random_output_len": 512},
        ),
        (
            "--backend sglang --dataset-name random --num-prompts 4000 --random-input 128 "
            "--random-output 128",
            {"num_prompts": 4000, "random_input_len": 128},
        ),
    ],
)
def test_serving_command_lines(line: str, expected: dict[str, object]) -> None:
    options, dataset = bench_serving.parse(shlex.split(line), "serving")
    assert options.backend == "sglang"
    assert {name: getattr(dataset, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("--num-prompts 0", "--num-prompts: must be at least 1, got 0"),
        ("--request-rate 0", "--request-rate: must be above 0, got 0"),
        ("--request-rate nan", "--request-rate: must be above 0, got nan"),
        ("--random-range-ratio 2", "at least 0 and at most 1, got 2"),
        ("--extra-request-body [1]", "expected a JSON object"),
        ("--backend tgi", "'tgi'"),
    ],
)
def test_values_that_are_refused(line: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        bench_serving.parse(shlex.split(line), "serving")
    assert leaving.value.code == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["serving", "offline", "one-batch"])
def test_the_tools_are_subcommands(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["bench", tool, "--help"])
    assert leaving.value.code == 0
    assert f"sglang bench {tool}" in capsys.readouterr().out


def test_bench_without_a_tool_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["bench"])
    assert leaving.value.code == 2
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    assert "one-batch" in capsys.readouterr().out


def test_sending_requests_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, fastapi=None);"
        "import sglang.bench_serving, sglang.bench.client"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
