"""Decode steps from graphs: which graph, what pads it, and that no answer changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sglang.srt.managers import engine_setup
from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.model_executor.cuda_graph import GraphedForward, graph_sizes
from sglang.srt.server_args import ServerArgs
from tests.engine.test_equality import answers
from tests.gpu.fake_device import FakeGpu
from tests.models.model_helpers import make_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    device = FakeGpu()
    monkeypatch.setattr(engine_setup, "choose_device", lambda name: device)
    return device


def make_engine(folder: Path, **options: Any) -> Engine:
    options.setdefault("max_running_requests", 12)
    args = ServerArgs(
        model_path=str(folder),
        dtype="float32",
        device="cpu",
        disable_cpu_plan=True,
        skip_tokenizer_init=True,
        **options,
    )
    return build_engine(args, str(folder))


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> list[list[int]]:
    return answers(make_engine(checkpoint), "greedy", alone=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cuda_graph_bs": [3], "max_running_requests": 3},
        {"cuda_graph_bs": [3, 16], "max_running_requests": 7},
        {"disable_cuda_graph_padding": True, "cuda_graph_bs": [5, 2], "max_running_requests": 5},
        {"disable_cuda_graph": True},
        {"disable_radix_cache": True, "chunked_prefill_size": 7},
        {"max_total_tokens": 230, "schedule_conservativeness": 0.01, "cuda_graph_max_bs": 4},
    ],
    ids=str,
)
def test_no_graph_changes_an_answer(
    checkpoint: Path, expected: list[list[int]], gpu: FakeGpu, options: dict[str, Any]
) -> None:
    engine = make_engine(checkpoint, **options)
    assert answers(engine, "greedy", alone=False) == expected
    used = sum(graph.replays for graph in gpu.graphs) > 0
    assert used == ("disable_cuda_graph" not in options)


def test_a_second_round_from_the_cache_says_the_same(
    checkpoint: Path, expected: list[list[int]], gpu: FakeGpu
) -> None:
    """Rows of the slot table are used again, with slots of the prefix tree."""
    engine = make_engine(checkpoint, max_running_requests=3)
    for _ in range(2):
        assert answers(engine, "greedy", alone=False) == expected
    assert engine.scheduler.stats.cached_tokens > 0


def test_a_batch_takes_the_smallest_graph_that_holds_it(checkpoint: Path, gpu: FakeGpu) -> None:
    engine = make_engine(checkpoint, cuda_graph_bs=[1, 4, 16])
    sixteen, four, one = gpu.graphs  # captured from the largest down
    answers(engine, "greedy", alone=True)
    assert one.replays > 0 and not four.replays and not sixteen.replays
    answers(engine, "greedy", alone=False)  # of twelve
    assert sixteen.replays > 0


def test_without_padding_other_sizes_run_without_a_graph(checkpoint: Path, gpu: FakeGpu) -> None:
    engine = make_engine(checkpoint, cuda_graph_bs=[4], disable_cuda_graph_padding=True)
    answers(engine, "greedy", alone=True)
    assert gpu.graphs[0].replays == 0


def test_what_cannot_be_captured_runs_without_graphs(
    checkpoint: Path,
    expected: list[list[int]],
    gpu: FakeGpu,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(run: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(gpu, "capture", refuse)
    engine = make_engine(checkpoint)
    assert "without CUDA graphs: operation not permitted" in caplog.text
    assert answers(engine, "greedy", alone=False) == expected


def test_new_weights_are_captured_again(checkpoint: Path, gpu: FakeGpu) -> None:
    engine = make_engine(checkpoint, cuda_graph_bs=[2])
    forward = engine.runner._forward
    before = forward.replay
    forward.replace_model(engine.runner.model)
    assert isinstance(forward.replay, GraphedForward) and forward.replay is not before
    assert len(gpu.graphs) == 2


def test_sizes_by_default_and_as_asked() -> None:
    assert graph_sizes(None, None, 40, padded=True) == [1, 2, 4, 8, 16, 24, 32, 40]
    assert graph_sizes(None, 10, 40, padded=True) == [1, 2, 4, 8, 10]
    assert graph_sizes(None, 1, 40, padded=True) == [1]
    assert graph_sizes(None, None, 1000, padded=True)[-1] == 256
    assert graph_sizes(None, 34, 1000, padded=False) == [*range(1, 33), 34]
    assert graph_sizes([16, 3, 16], 8, 12, padded=True) == [3, 12]
