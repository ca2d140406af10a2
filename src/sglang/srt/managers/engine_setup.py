"""Puts an engine together: model, pools, scheduler."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from sglang.srt.configs.model_config import ModelConfig, load_model_config
from sglang.srt.constrained.setup import make_store
from sglang.srt.constrained.store import GrammarStore
from sglang.srt.device import Device, choose_device
from sglang.srt.kernels import TritonSettings, select_kernels
from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES
from sglang.srt.managers.request_memory import RequestMemory
from sglang.srt.managers.scheduler import Scheduler, SchedulerConfig
from sglang.srt.mem_cache.commit_ahead import CommitAhead
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.cpu_threads import set_cpu_threads
from sglang.srt.model_executor.cuda_graph import capture_forward, graph_sizes
from sglang.srt.model_executor.device_slots import DeviceSlots
from sglang.srt.model_executor.forward_pass import ForwardPass, Replay
from sglang.srt.model_executor.memory import choose_num_slots
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.model_executor.pooling_runner import PoolingRunner
from sglang.srt.model_executor.recorded_forward import record_forward
from sglang.srt.model_executor.transformers_check import check_transformers_model
from sglang.srt.model_loader.hub import resolve_model_path
from sglang.srt.models.interface import Transformer
from sglang.srt.models.load import load_model, load_pooled_model
from sglang.srt.models.transformers_model import TransformersModel
from sglang.srt.sampling.custom_logit_processor import ProcessorStore
from sglang.srt.server_args import ServerArgs

logger = logging.getLogger(__name__)

DEFAULT_MAX_RUNNING = 256
DEFAULT_CHUNK = {"cpu": 1024, "cuda": 8192}
"""Prompt tokens a step: long enough to be efficient, short enough not to delay decoding."""

MAX_RECORDED_TOKENS = 4096
"""Larger steps, which only happen without chunked prefill, gain nothing from a recording."""

ATTENTION_BACKENDS = {
    "auto": None,
    "cpu": "cpu-c",
    "triton": "triton",
    "torch_native": "reference",
}


@dataclass(frozen=True)
class Engine:
    """A scheduler ready to step, and what is worth telling about it."""

    scheduler: Scheduler
    runner: ModelRunner | PoolingRunner
    args: ServerArgs
    config: ModelConfig
    info: dict[str, Any]
    grammars: GrammarStore | None = None
    commit_ahead: CommitAhead | None = None

    def on_idle(self) -> None:
        """Between bursts. Raises RuntimeError: the pool has lost track of a slot."""
        self.scheduler.on_idle()
        if self.commit_ahead is not None:
            self.commit_ahead.beyond(self.scheduler.memory.allocator.num_used)


def build_engine(args: ServerArgs, model_path: str, memory: mmap.mmap | None = None) -> Engine:
    """Load the model at the local ``model_path`` and size everything by ``args``.

    ``memory``: where a CPU's weights go first, see ``commit_beside``.

    Raises:
        ValueError: the arguments, the checkpoint or the memory do not allow it.
    """
    chosen = choose_device(args.device)
    device = chosen.torch_device
    if device.type == "cpu":
        set_cpu_threads()
    config = load_model_config(
        model_path,
        dtype=args.dtype,
        context_length=args.context_length,
        json_model_override_args=args.json_model_override_args,
        device=device.type,
        is_embedding=args.is_embedding,
        quantization=args.quantization or args.torchao_config or None,
        model_impl=args.model_impl,
        trust_remote_code=args.trust_remote_code,
    )
    dtype: torch.dtype = getattr(torch, config.dtype)
    kernels = select_kernels(
        device.type,
        dtype,
        prefer=ATTENTION_BACKENDS[args.attention_backend],
        settings=TritonSettings(
            args.triton_attention_num_kv_splits,
            args.triton_attention_reduce_in_fp32,
            chosen.shared_memory,
        ),
    )
    if isinstance(kernels, CpuKernels) and memory is not None:
        kernels.use_memory_first(memory)
    logger.info(
        "Device: %s; kernels: %s; threads: %d", chosen.name, kernels.name, torch.get_num_threads()
    )
    if not config.is_generation:
        pooled = load_pooled_model(
            config, device=device, kernels=kernels, load_format=args.load_format
        )
        make_pooling = partial(PoolingRunner, pooled, kernels=kernels)
        return _assemble(args, config, pooled.transformer, make_pooling, kernels, chosen, None)
    model = load_model(config, device=device, kernels=kernels, load_format=args.load_format)
    grammars = _grammar_store(args, config, model_path, model.vocab_size)
    make_runner = partial(ModelRunner, model, kernels=kernels)
    return _assemble(args, config, model, make_runner, kernels, chosen, grammars)


def _grammar_store(
    args: ServerArgs, config: ModelConfig, model_path: str, vocab_size: int
) -> GrammarStore | None:
    if args.skip_tokenizer_init:
        return None
    tokenizer_path = model_path
    if args.tokenizer_path != args.model_path:
        tokenizer_path = resolve_model_path(
            args.tokenizer_path, download_dir=args.download_dir, load_format="dummy"
        )
    return make_store(
        args.grammar_backend,
        tokenizer_path=tokenizer_path,
        tokenizer_mode=args.tokenizer_mode,
        trust_remote_code=args.trust_remote_code,
        vocab_size=vocab_size,
        eos_token_ids=tuple(config.eos_token_ids),
        whitespace=args.constrained_json_whitespace_pattern,
    )


def _assemble(
    args: ServerArgs,
    config: ModelConfig,
    model: Transformer,
    make_runner: Callable[[ForwardPass], ModelRunner | PoolingRunner],
    kernels: Kernels,
    chosen: Device,
    grammars: GrammarStore | None,
) -> Engine:
    pool, num_slots = _kv_cache(args, config, model, kernels, chosen)
    settings = replace(
        scheduler_config(args, config, num_slots, chosen.torch_device.type),
        input_embeds=getattr(model, "supports_input_embeds", False) and config.is_generation,
    )
    memory = RequestMemory(
        num_slots=num_slots,
        max_running=settings.max_running_requests,
        max_context=settings.max_context,
        prefix_cache=settings.prefix_cache,
    )
    forward = _forward_pass(args, config, model, kernels, chosen, settings, pool, memory)
    info = {
        "max_total_num_tokens": num_slots,
        "max_running_requests": settings.max_running_requests,
        "chunked_prefill_size": settings.prefill_budget if settings.chunked_prefill else -1,
        "context_length": config.context_length,
        "max_req_input_len": min(config.context_length, num_slots) - 1,
        "kv_cache_bytes": num_slots * pool.slot_bytes,
        "dtype": config.dtype,
        "kv_cache_dtype": str(pool.dtype).removeprefix("torch."),
        "quantization": config.quantization,
        "device": chosen.torch_device.type,
    }
    runner = make_runner(forward)
    processors = ProcessorStore(enabled=args.enable_custom_logit_processor)
    scheduler = Scheduler(settings, runner, memory, grammars, processors)
    on_cpu = chosen.torch_device.type == "cpu"
    commit_ahead = CommitAhead(pool.tensors()) if on_cpu else None
    return Engine(scheduler, runner, args, config, info, grammars, commit_ahead)


def _kv_cache(
    args: ServerArgs, config: ModelConfig, model: Transformer, kernels: Kernels, chosen: Device
) -> tuple[KVPool, int]:
    """The KV cache that fits into the memory left, and how many of its slots can be given out."""
    dtype = choose_kv_dtype(args.kv_cache_dtype, getattr(torch, config.dtype), chosen)
    layers, heads, head_dim = model.num_layers, model.num_kv_heads, model.head_dim
    latent_dim: int = getattr(model, "latent_dim", 0)
    per_slot = KVPool.bytes_per_slot(layers, heads, head_dim, dtype, latent_dim)
    num_slots = choose_num_slots(
        free_bytes=chosen.memory().free,
        bytes_per_slot=per_slot,
        device_type=chosen.torch_device.type,
        fraction=args.mem_fraction_static,
        max_total_tokens=args.max_total_tokens,
        context_length=config.context_length,
    )
    logger.info("KV cache: %d tokens, %.2f GiB", num_slots, num_slots * per_slot / 2**30)
    # What pads a batch on a GPU writes to a slot that nobody gets.
    spare = 0 if chosen.reads_host_memory else 1
    pool = KVPool(layers, num_slots + spare, heads, head_dim, dtype, kernels.allocate, latent_dim)
    return pool, num_slots


def _forward_pass(
    args: ServerArgs,
    config: ModelConfig,
    model: Transformer,
    kernels: Kernels,
    chosen: Device,
    settings: SchedulerConfig,
    pool: KVPool,
    memory: RequestMemory,
) -> ForwardPass:
    """The model's forward pass, captured or recorded where that is possible."""
    device, slots = chosen.torch_device, memory.table.slots
    device_slots = None
    if not chosen.reads_host_memory:
        device_slots = DeviceSlots(memory.table, device, spare_slot=settings.num_slots)
    replay: Replay | None = None
    is_bidirectional = config.pooling is not None and config.pooling.is_bidirectional
    if isinstance(model, TransformersModel):
        check_transformers_model(model, config, device)
    elif device_slots is not None and config.is_generation:
        replay = _graphs(args, chosen, model, pool, device_slots, settings.max_running_requests)
    elif isinstance(kernels, CpuKernels) and not (args.disable_cpu_plan or is_bidirectional):
        replay = record_forward(
            model,
            kernels,
            pool,
            slots,
            max_tokens=min(settings.prefill_budget, MAX_RECORDED_TOKENS),
            max_sequences=settings.max_running_requests,
        )
    return ForwardPass(model, pool, slots, device, replay, device_slots)


def _graphs(
    args: ServerArgs,
    chosen: Device,
    model: Transformer,
    pool: KVPool,
    slots: DeviceSlots,
    max_running: int,
) -> Replay | None:
    """The decode steps as CUDA graphs, where there are such and nobody objects."""
    if not chosen.has_graphs or args.disable_cuda_graph:
        return None
    padded = not args.disable_cuda_graph_padding
    sizes = graph_sizes(args.cuda_graph_bs, args.cuda_graph_max_bs, max_running, padded=padded)
    return capture_forward(model, pool, slots, chosen, sizes, padded=padded)


def scheduler_config(
    args: ServerArgs, config: ModelConfig, num_slots: int, device_type: str
) -> SchedulerConfig:
    """The scheduler's limits for a pool of ``num_slots``."""
    chunk = args.chunked_prefill_size
    if chunk is None:
        chunk = DEFAULT_CHUNK[device_type]
    max_prefill = max(args.max_prefill_tokens, config.context_length)
    max_running = args.max_running_requests or DEFAULT_MAX_RUNNING
    is_bidirectional = config.pooling is not None and config.pooling.is_bidirectional
    # The mean of all tokens, or the first, needs hidden states, which no cache keeps.
    needs_all = config.pooling is not None and config.pooling.pooling != "last"
    return SchedulerConfig(
        num_slots=num_slots,
        max_running_requests=min(max_running, num_slots),
        max_context=config.context_length,
        prefill_budget=min(chunk, max_prefill) if chunk > 0 else max_prefill,
        chunked_prefill=chunk > 0 and not is_bidirectional,
        prefix_cache=not (args.disable_radix_cache or needs_all or is_bidirectional),
        policy=args.schedule_policy,
        conservativeness=args.schedule_conservativeness,
        prefill_only_one_req=args.prefill_only_one_req,
        eos_token_ids=frozenset(config.eos_token_ids),
        seed=args.random_seed or 0,
        jump_forward=not args.disable_jump_forward,
    )


def choose_kv_dtype(name: str, model_dtype: torch.dtype, device: Device) -> torch.dtype:
    """The element type of the KV cache that ``--kv-cache-dtype`` asks for.

    Raises:
        ValueError: this device does not know it.
    """
    if name == "auto":
        return model_dtype
    if name == "fp8_e4m3" and device.capability is not None and device.capability < (8, 9):
        major, minor = device.capability
        raise ValueError(
            f"--kv-cache-dtype fp8_e4m3 needs a GPU of compute capability 8.9, and {device.name} "
            f"has {major}.{minor}; fp8_e5m2 and int8 do without"
        )
    return KV_CACHE_DTYPES[name]
