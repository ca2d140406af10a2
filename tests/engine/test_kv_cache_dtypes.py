"""A cache of 8-bit elements: no schedule changes an answer, and twice as many tokens fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.device import CpuDevice
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES
from sglang.srt.managers.engine_setup import Engine, build_engine, choose_kv_dtype
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.server_args import ServerArgs
from tests.engine.test_equality import answers, prompts
from tests.models.model_helpers import make_tiny_checkpoint

SCHEDULES: dict[str, dict[str, Any]] = {
    "batched": {},
    "no prefix cache": {"disable_radix_cache": True},
    "chunks of 7": {"chunked_prefill_size": 7},
    "retracted": {"max_total_tokens": 230, "schedule_conservativeness": 0.01},
    "no recorded forward": {"disable_cpu_plan": True},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"), "llama")


def make_engine(folder: Path, kv_cache_dtype: str, dtype: str, **arguments: Any) -> Engine:
    args = ServerArgs(
        model_path=str(folder),
        device="cpu",
        dtype=dtype,
        kv_cache_dtype=kv_cache_dtype,
        **arguments,
    )
    return build_engine(args, str(folder))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kv_cache_dtype", KV_CACHE_DTYPES)
def test_no_schedule_changes_an_answer(checkpoint: Path, kv_cache_dtype: str, dtype: str) -> None:
    expected = answers(make_engine(checkpoint, kv_cache_dtype, dtype), "greedy", alone=True)
    for name, arguments in SCHEDULES.items():
        engine = make_engine(checkpoint, kv_cache_dtype, dtype, **arguments)
        assert answers(engine, "greedy", alone=False) == expected, name
        assert (engine.scheduler.stats.retractions > 0) == (name == "retracted")


@pytest.mark.parametrize("kv_cache_dtype", KV_CACHE_DTYPES)
def test_a_prefix_hit_changes_no_answer(checkpoint: Path, kv_cache_dtype: str) -> None:
    engine = make_engine(checkpoint, kv_cache_dtype, "bfloat16")
    first = answers(engine, "greedy", alone=False)
    before = engine.scheduler.stats.cached_tokens
    assert answers(engine, "greedy", alone=False) == first
    assert engine.scheduler.stats.cached_tokens - before >= sum(len(p) - 1 for p in prompts())


@pytest.mark.parametrize(
    ("kv_cache_dtype", "expected"), [("fp8_e5m2", 128), ("fp8_e4m3", 128), ("int8", 136)]
)
def test_bytes_of_a_token(kv_cache_dtype: str, expected: int) -> None:
    """Per layer and head; with bfloat16 256."""
    assert KVPool.bytes_per_slot(1, 1, 64, KV_CACHE_DTYPES[kv_cache_dtype]) == expected


def test_the_engine_tells_the_type_and_the_size(checkpoint: Path) -> None:
    sizes = {}
    for name in ("auto", "fp8_e4m3"):
        info = make_engine(checkpoint, name, "bfloat16", max_total_tokens=1000).info
        sizes[info["kv_cache_dtype"]] = info["kv_cache_bytes"]
    assert sizes["bfloat16"] == 2 * sizes["float8_e4m3fn"]


def test_a_gpu_that_does_not_know_a_type_is_named() -> None:
    class OldGpu(CpuDevice):
        name = "an A100"
        capability = (8, 0)

    assert choose_kv_dtype("fp8_e5m2", torch.bfloat16, OldGpu()) == torch.float8_e5m2
    with pytest.raises(ValueError, match=r"needs .* 8\.9, and an A100 has 8\.0"):
        choose_kv_dtype("fp8_e4m3", torch.bfloat16, OldGpu())
