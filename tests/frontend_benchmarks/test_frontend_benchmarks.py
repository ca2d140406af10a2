"""Runs the benchmarks of the frontend language on their ten items each, with the demo model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import sglang as sgl
from tests.lang.recorded_api import recorded_api

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "frontend"


@pytest.fixture(scope="module")
def runtime() -> Iterator[sgl.Runtime]:
    with sgl.Runtime() as running:
        yield running


def output_of(script: Path, *options: str, folder: Path) -> str:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script), *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def port_of(runtime: sgl.Runtime) -> str:
    return str(urlsplit(runtime.base_url).port)


def report_in(folder: Path) -> dict[str, Any]:
    [line] = (folder / "result.jsonl").read_text().splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("gsm8k", ["--num-shots", "2"], 0.0),
        ("gsm8k", ["--style", "boxed", "--num-questions", "2"], 0.0),
        ("mmlu", ["--nsub", "1", "--num-shots", "2"], 0.0),
        ("hellaswag", ["--num-shots", "2"], 0.0),
        ("multi_turn", [], 0.5),
        ("tree_of_thought", ["--num-questions", "4"], 0.0),
        ("json_decode", [], 0.5),
        ("llm_judge", ["--num-questions", "4"], 0.0),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_benchmark_runs_on_its_items(
    name: str, options: list[str], least: float, runtime: sgl.Runtime, tmp_path: Path
) -> None:
    printed = output_of(
        FOLDER / f"{name}.py", "--port", port_of(runtime), *options, folder=tmp_path
    )
    report = report_in(tmp_path)
    assert (report["task"], report["backend"], report["num_failed"]) == (name, "srt", 0), printed
    assert report["num_requests"] > 0
    assert least <= report["accuracy"] <= 1
    assert report["cached_share"] >= 0
    assert "Accuracy: " in printed
    assert "Latency: " in printed
    assert "of " in printed.split("Cached: ")[1]


def test_the_examples_in_the_prompt_come_from_the_cache(
    runtime: sgl.Runtime, tmp_path: Path
) -> None:
    options = ("--num-shots", "5", "--num-questions", "5", "--port", port_of(runtime))
    output_of(FOLDER / "gsm8k.py", *options, folder=tmp_path)
    assert report_in(tmp_path)["cached_share"] > 0.6


@pytest.mark.parametrize("backend", ["openai", "openai-completion", "anthropic"])
def test_other_backends_can_be_measured(backend: str, runtime: sgl.Runtime, tmp_path: Path) -> None:
    if backend == "anthropic":
        pytest.importorskip("anthropic")
    url = runtime.base_url + ("" if backend == "anthropic" else "/v1")
    options = ("--backend", backend, "--base-url", url, "--api-key", "k", "--num-shots", "1")
    output_of(FOLDER / "gsm8k.py", *options, "--num-questions", "2", folder=tmp_path)
    report = report_in(tmp_path)
    assert (report["num_requests"], report["num_failed"]) == (2, 0)
    assert report["completion_tokens"] > 0


def test_failures_are_counted(tmp_path: Path) -> None:
    with recorded_api() as api:
        api.status, api.answers = 500, [{"error": {"message": "out of order"}}]
        options = ("--backend", "openai", "--base-url", api.url, "--num-questions", "2")
        printed = output_of(FOLDER / "multi_turn.py", *options, folder=tmp_path)
    assert "Failed: 2, the first with BackendError: out of order" in printed
    assert report_in(tmp_path)["accuracy"] == 0


def test_the_commands_of_the_documentation_run(runtime: sgl.Runtime, tmp_path: Path) -> None:
    port = ("--port", port_of(runtime))
    commands = {
        "gsm8k": ("--num-questions", "2", "--parallel", "2000", "--num-shots", "8"),
        "mmlu": ("--nsub", "1", "--num-questions", "2"),
    }
    for name, options in commands.items():
        script = ROOT / "benchmark" / name / "bench_sglang.py"
        output_of(script, *options, *port, folder=tmp_path)
    lines = (tmp_path / "result.jsonl").read_text().splitlines()
    assert [json.loads(line)["task"] for line in lines] == ["gsm8k", "mmlu"]


def test_mmlu_reads_the_published_folder(runtime: sgl.Runtime, tmp_path: Path) -> None:
    for kind, question in (("dev", "1 + 1?"), ("test", '"2, or 3?"')):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"easy_sums_{kind}.csv").write_text(f"{question},1,2,3,4,B\n")
    options = ("--data-dir", str(tmp_path), "--port", port_of(runtime))
    output_of(FOLDER / "mmlu.py", *options, folder=tmp_path)
    assert report_in(tmp_path)["num_requests"] == 1


def test_programs_can_be_compared_with_plain_requests(runtime: sgl.Runtime, tmp_path: Path) -> None:
    options = ("--url", runtime.base_url, "--items", "1", "--rounds", "1")
    printed = output_of(FOLDER / "shared_prefix.py", *options, folder=tmp_path)
    assert [line.split()[0] for line in printed.splitlines()] == [
        "few_shot",
        "tree_of_thought",
        "multi_turn",
        "json_decode",
    ]
    assert printed.count("times as fast") == 4


def test_the_overhead_can_be_measured(tmp_path: Path) -> None:
    options = ("--count", "3", "--rounds", "1")
    printed = output_of(FOLDER / "overhead.py", *options, folder=tmp_path)
    assert printed.count("ms a gen") == 3


@pytest.mark.parametrize("path", sorted((FOLDER / "data").glob("*.jsonl")), ids=lambda p: p.stem)
def test_there_are_ten_items_of_each_kind(path: Path) -> None:
    assert len([json.loads(line) for line in path.read_text().splitlines()]) >= 10
