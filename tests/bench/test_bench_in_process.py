"""bench_one_batch and the offline benchmark on a tiny model."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang import bench_offline_throughput, bench_one_batch
from sglang.bench import reference_hf
from sglang.bench.in_process import InProcessEngine, Step
from sglang.bench.static_batch import BatchTimes
from sglang.bench.tokenizers import open_tokenizer
from sglang.bench.weights_read import weight_bytes_read
from sglang.srt.managers.io_struct import RequestOutput
from sglang.srt.server_args import ServerArgs
from tests.models.model_helpers import load_oracle, oracle_greedy, oracle_logits

SLOW_KERNELS = ["--attention-backend", "torch_native", "--log-level", "error", "--device", "cpu"]


def one_batch(folder: Path, *more: str) -> int:
    return bench_one_batch.main(["--model-path", str(folder), *SLOW_KERNELS, *more])


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def step(seconds: float, *rids: str) -> Step:
    return Step(seconds, [RequestOutput(rid, [1]) for rid in rids])


def test_steps_are_prefill_until_the_last_request_has_started() -> None:
    steps = [step(1.0, "0"), step(2.0, "0", "1"), step(0.25, "0", "1"), step(0.5, "1")]
    times = BatchTimes.of(steps, batch_size=2, input_len=10, output_len=3)
    assert times.prefill_s == 3.0
    assert times.decode_s == (0.25,)  # the last step had only one of the two
    assert times.total_s == 3.75


def test_figures_of_a_batch() -> None:
    times = BatchTimes(2, 10, 4, prefill_s=0.5, decode_s=(0.1, 0.2, 0.3), total_s=1.1)
    figures = times.figures(weight_bytes=10**9, kv_token_bytes=10**7)
    assert figures["prefill_throughput"] == 40
    assert figures["median_decode_ms"] == 200
    assert figures["decode_throughput"] == 10
    assert figures["weight_bandwidth_gb_s"] == pytest.approx(5)
    # 24 tokens are cached in the middle of the answer.
    assert figures["memory_bandwidth_gb_s"] == pytest.approx((1.0 + 0.24) / 0.2)


def test_every_shape_is_measured(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    sizes = ["--batch", "1", "3", "--input", "20", "--output", "5"]
    assert one_batch(checkpoint, *sizes, "--result-filename", str(out), "--run-name", "x") == 0
    first, second = lines_of(out)
    assert (first["batch_size"], second["batch_size"]) == (1, 3)
    assert (first["input_len"], first["output_len"], first["run_name"]) == (20, 5, "x")
    assert all(first[name] > 0 for name in ("prefill_latency_ms", "median_decode_ms"))
    assert 0 < first["weight_bandwidth_gb_s"] < first["memory_bandwidth_gb_s"]


def test_dummy_weights_need_only_a_configuration(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    override = '{"num_hidden_layers": 1}'
    more = ["--load-format", "dummy", "--json-model-override-args", override]
    assert one_batch(tmp_path, "--input", "8", "--output", "3", *more) == 0


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--input-len", "8192"], "the context has 8192"),
        (["--batch", "4", "--max-running-requests", "2"], "more than --max-running-requests 2"),
        (["--batch", "4", "--max-total-tokens", "64"], "more than the KV cache's 64"),
    ],
)
def test_what_does_not_fit_is_said(
    checkpoint: Path, more: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert one_batch(checkpoint, "--input-len", "32", "--output", "2", *more) == 1
    assert part in capsys.readouterr().err


def engine_on(folder: Path, **options: Any) -> InProcessEngine:
    fixed = {"attention_backend": "torch_native", "log_level": "error", "device": "cpu"}
    return InProcessEngine(ServerArgs(model_path=str(folder), **fixed, **options))


def test_weights_read_are_all_matrices_with_the_head(checkpoint: Path) -> None:
    engine = engine_on(checkpoint)
    hidden, inner, queries, keys, layers, vocab = 48, 80, 48, 16, 2, 420
    matrices = layers * (hidden * (2 * queries + 2 * keys) + 3 * hidden * inner) + vocab * hidden
    assert weight_bytes_read(engine.runner.model) == 2 * matrices


def test_correct_prints_logits_and_text_of_transformers(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert one_batch(checkpoint, "--correct", "--output-len", "4", "--dtype", "float32") == 0
    printed = capsys.readouterr().out
    tokenizer = open_tokenizer(str(checkpoint))
    ids = tokenizer.encode("The capital of France is")
    oracle = load_oracle(checkpoint, torch.float32)
    best = oracle_logits(oracle, ids)[-1].topk(5)
    (largest,) = re.findall(r"France is'.*?largest: (.+?)\n", printed, re.DOTALL)
    pairs = [pair.split(": ") for pair in largest.split(", ")]
    assert [int(token) for token, _ in pairs] == best.indices.tolist()
    assert [float(value) for _, value in pairs] == pytest.approx(best.values.tolist(), abs=2e-4)
    assert f"output: {tokenizer.decode(oracle_greedy(oracle, ids, 4))!r}" in printed


def test_profile_writes_a_trace(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGLANG_TORCH_PROFILER_DIR", str(tmp_path))
    assert one_batch(checkpoint, "--input", "8", "--output", "3", "--profile") == 0
    (trace,) = tmp_path.glob("*.trace.json.gz")
    assert "traceEvents" in json.loads(gzip.decompress(trace.read_bytes()))


def test_profile_needs_to_know_where(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SGLANG_TORCH_PROFILER_DIR", raising=False)
    assert one_batch(checkpoint, "--profile") == 1
    assert "SGLANG_TORCH_PROFILER_DIR" in capsys.readouterr().err


def offline(folder: Path, *more: str) -> int:
    sizes = ["--random-input", "16", "--random-output", "6", "--random-range-ratio", "1"]
    argv = ["--model-path", str(folder), *SLOW_KERNELS, "--num-prompts", "3", *sizes, *more]
    return bench_offline_throughput.main(argv)


def test_offline_counts_what_it_generates(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert offline(checkpoint, "--dataset-name", "random", "--result-filename", str(out)) == 0
    (result,) = lines_of(out)
    assert (result["completed"], result["num_prompts"]) == (3, 3)
    assert (result["total_input_tokens"], result["total_output_tokens"]) == (48, 18)
    assert result["output_throughput"] == pytest.approx(18 / result["duration"])


def test_offline_profile_writes_a_trace(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGLANG_TORCH_PROFILER_DIR", str(tmp_path))
    assert offline(checkpoint, "--dataset-name", "random-ids", "--profile") == 0
    assert list(tmp_path.glob("offline-*.trace.json.gz"))


def test_offline_refuses_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert offline(Path("/no/such/model")) == 1
    assert "/no/such/model" in capsys.readouterr().err


def test_reference_prints_what_correct_prints(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the last digits of the logits."""
    assert one_batch(checkpoint, "--correct", "--output-len", "4", "--dtype", "float32") == 0
    ours = capsys.readouterr().out
    options = ["--model", str(checkpoint), "--max-new-tokens", "4", "--dtype", "float32"]
    assert reference_hf.main([*options, "--device", "cpu"]) == 0
    theirs = capsys.readouterr().out
    exact = [re.findall(r"^(?:prompt|token ids|output): .*", text, re.M) for text in (ours, theirs)]
    assert exact[0] == exact[1]
    assert len(exact[1]) == 9
    largest = [re.findall(r"largest: (.+)", text) for text in (ours, theirs)]
    assert len(largest[1]) == 3
    for found, expected in zip(*largest, strict=True):
        for pair, wanted in zip(found.split(", "), expected.split(", "), strict=True):
            assert pair.split(": ")[0] == wanted.split(": ")[0]
            assert float(pair.split(": ")[1]) == pytest.approx(
                float(wanted.split(": ")[1]), abs=2e-4
            )


def test_reference_of_a_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference_hf.main(["--model", "/no/such/folder"]) == 1
    assert "error: model path '/no/such/folder'" in capsys.readouterr().err
