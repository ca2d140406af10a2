"""A tiny model served with Triton kernels says what it says with the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.kernels import select_kernels
from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.server_args import ServerArgs
from tests.engine.test_equality import message, run, tokens
from tests.gpu.triton_kernels import DEVICE
from tests.models.family_helpers import make_family
from tests.models.mla_cases import MLA_CASES
from tests.models.model_helpers import make_tiny_checkpoint

LENGTHS = [3, 17, 6]


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen3 has norms of heads."""
    return make_tiny_checkpoint(
        tmp_path_factory.mktemp("model"), request.param, num_hidden_layers=2
    )


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepSeek-V3: latent attention, experts in groups, and one that all tokens share."""
    folder, case = tmp_path_factory.mktemp("mixture"), MLA_CASES["deepseek-v3"]
    make_family(folder, replace(case, config={**case.config, "num_hidden_layers": 2}))
    return folder


def answers(folder: Path, backend: str, **options: Any) -> list[list[int]]:
    engine = make_engine(folder, backend, **options)
    prompts = [[7 + 3 * i + 5 * j for j in range(n)] for i, n in enumerate(LENGTHS)]
    sampling: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": 0.0},
        {"temperature": 0.8, "top_p": 0.9, "seed": 3},
    ]
    requests = [
        message(str(i), prompt, params)
        for i, (prompt, params) in enumerate(zip(prompts, sampling, strict=True))
    ]
    for request in requests:
        request.sampling.max_new_tokens = 5
    outputs = run(engine, requests)
    return [tokens(outputs[request.rid]) for request in requests]


def make_engine(folder: Path, backend: str, **options: Any) -> Engine:
    args = ServerArgs(
        model_path=str(folder),
        dtype="float32",
        device=DEVICE,
        attention_backend=backend,
        skip_tokenizer_init=True,
        max_running_requests=4,
        max_total_tokens=512,
        **options,
    )
    return build_engine(args, str(folder))


def test_served_in_chunks_and_batches(checkpoint: Path) -> None:
    expected = answers(checkpoint, "torch_native")
    assert answers(checkpoint, "triton", chunked_prefill_size=8) == expected


def test_a_mixture_with_latent_attention(mixture: Path) -> None:
    assert answers(mixture, "triton") == answers(mixture, "torch_native")


def test_a_cpu_is_refused_outside_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.srt.kernels.triton.kernels.INTERPRETED", False)
    with pytest.raises(ValueError, match="need a GPU, or TRITON_INTERPRET=1"):
        select_kernels("cpu", torch.float32, prefer="triton")


def test_a_gpu_gets_triton_by_itself() -> None:
    assert select_kernels("cuda", torch.bfloat16).name.startswith("triton")


def test_the_engine_tells_its_kernels(checkpoint: Path) -> None:
    kernels = make_engine(checkpoint, "triton", triton_attention_num_kv_splits=3).runner.kernels
    assert kernels.name.startswith("triton")
