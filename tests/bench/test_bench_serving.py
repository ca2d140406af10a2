"""bench_serving against our own HTTP server with a fake engine behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sglang import bench_serving
from sglang.bench.traffic import arrival_times
from sglang.srt.managers.io_struct import StartProfile, StopProfile
from tests.entrypoints.fake_runtime import RunningServer, serve

REQUESTS, INPUT, OUTPUT = 5, 20, 12
SIZES = ["--num-prompts", str(REQUESTS), "--random-input", str(INPUT), "--random-output",
         str(OUTPUT), "--random-range-ratio", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Repeats prompts, a token a step."""
    with serve(step_seconds=0.001) as running:
        yield running


@pytest.fixture
def bench(server: RunningServer, byte_checkpoint: Path, tmp_path: Path) -> Any:
    """Runs the tool on random texts; gives its exit status and the result it wrote."""

    def run(*more: str, url: str = server.url) -> tuple[int, dict[str, Any]]:
        out = tmp_path / "out.jsonl"
        argv = ["--base-url", url, "--tokenizer", str(byte_checkpoint), "--disable-tqdm",
                "--output-file", str(out), "--dataset-name", "random", *SIZES]  # fmt: skip
        status = bench_serving.main([*argv, *more])
        return status, json.loads(out.read_text().splitlines()[-1]) if out.exists() else {}

    return run


@pytest.mark.parametrize(
    "backend",
    ["sglang", "sglang-oai", "sglang-oai-chat", "vllm", "vllm-chat", "openai", "openai-chat"],
)
def test_every_protocol_gives_the_same_counts(bench: Any, backend: str) -> None:
    status, result = bench("--backend", backend)
    assert status == 0
    assert (result["completed"], result["failed"]) == (REQUESTS, 0)
    assert result["total_output_tokens"] == REQUESTS * OUTPUT
    template = 0 if "chat" not in backend else result["total_input_tokens"] - REQUESTS * INPUT
    assert result["total_input_tokens"] - template == REQUESTS * INPUT
    assert 0 < result["median_ttft_ms"] < result["median_e2e_latency_ms"]
    assert {"median_tpot_ms", "p99_itl_ms"} <= result.keys()


def test_token_ids_are_sent_as_they_are(bench: Any, server: RunningServer) -> None:
    before = len(server.engine.requests)
    status, _ = bench("--dataset-name", "random-ids", "--warmup-requests", "0")
    assert status == 0
    sent = server.engine.requests[before:]
    assert [len(message.prompt()) for message in sent] == [INPUT] * REQUESTS


def test_whole_answers(bench: Any) -> None:
    status, result = bench("--disable-stream")
    assert status == 0
    assert result["total_output_tokens"] == REQUESTS * OUTPUT
    assert result["median_ttft_ms"] <= result["median_e2e_latency_ms"]
    assert "median_itl_ms" not in result


def test_answers_may_end_early(byte_checkpoint: Path, tmp_path: Path) -> None:
    with serve(lambda message: [40, 41, 256]) as short:
        out = tmp_path / "out.jsonl"
        argv = ["--base-url", short.url, "--tokenizer", str(byte_checkpoint), "--disable-tqdm",
                "--dataset-name", "random", *SIZES, "--output-file", str(out)]  # fmt: skip
        assert bench_serving.main([*argv, "--disable-ignore-eos"]) == 0
        assert not server_ignores_eos(short)
    assert json.loads(out.read_text())["total_output_tokens"] == REQUESTS * 3


def server_ignores_eos(server: RunningServer) -> bool:
    return server.engine.requests[-1].sampling.ignore_eos


def test_the_rate_spreads_requests(bench: Any) -> None:
    status, result = bench("--request-rate", "40", "--seed", "7")
    assert status == 0
    assert result["request_rate"] == 40
    assert result["duration"] >= arrival_times(REQUESTS, 40.0, seed=7)[-1]


def test_details_of_every_request(bench: Any) -> None:
    _, result = bench("--output-details", "--max-concurrency", "2")
    assert result["input_lens"] == [INPUT] * REQUESTS
    assert result["output_lens"] == [OUTPUT] * REQUESTS
    assert [len(itls) for itls in result["itls"]] == [OUTPUT - 1] * REQUESTS
    assert result["errors"] == [""] * REQUESTS
    assert result["concurrency"] <= 2


def test_a_refused_first_request_ends_it(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, result = bench("--extra-request-body", '{"nonsense": 1}')
    assert (status, result) == (1, {})
    assert "nonsense" in capsys.readouterr().err


def test_without_warm_up_failures_are_counted(
    bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, result = bench("--extra-request-body", '{"nonsense": 1}', "--warmup-requests", "0")
    assert status == 1
    assert (result["completed"], result["failed"]) == (0, REQUESTS)
    assert "First error: HTTP status 400" in capsys.readouterr().err


def test_profiling_that_the_server_cannot_do_is_said(
    bench: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SGLANG_TORCH_PROFILER_DIR", raising=False)
    status, result = bench("--profile")
    assert (status, result) == (1, {})
    message = capsys.readouterr().err
    assert "/start_profile answered 400" in message
    assert "SGLANG_TORCH_PROFILER_DIR" in message


def test_a_profile_is_recorded_meanwhile(
    bench: Any, server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SGLANG_TORCH_PROFILER_DIR", str(tmp_path))
    status, result = bench("--profile")
    assert (status, result["completed"]) == (0, REQUESTS)
    assert [type(message) for message in server.engine.told] == [StartProfile, StopProfile]


def test_nobody_there(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(url="http://127.0.0.1:9")[0] == 1
    assert "no answer from http://127.0.0.1:9/v1/models" in capsys.readouterr().err


def test_without_a_tokenizer_it_says_how_to_name_one(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--backend", "vllm", "--base-url", server.url, "--model", "/no/such/model"]
    assert bench_serving.main(argv) == 1
    assert "--tokenizer names the tokenizer" in capsys.readouterr().err


def test_the_key_is_taken_from_the_environment(
    byte_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(api_key="secret") as locked:
        argv = ["--base-url", locked.url, "--tokenizer", str(byte_checkpoint), "--disable-tqdm",
                "--dataset-name", "random", *SIZES]  # fmt: skip
        assert bench_serving.main(argv) == 1
        monkeypatch.setenv("SGLANG_API_KEY", "secret")
        assert bench_serving.main(argv) == 0
