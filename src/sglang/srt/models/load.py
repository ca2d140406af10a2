"""From a configuration to a model that can run: the one entry for whoever wants a model."""

from __future__ import annotations

import logging
from typing import Any

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.kernels.interface import Kernels
from sglang.srt.model_loader.checkpoint import open_checkpoint
from sglang.srt.model_loader.quantized_checkpoint import as_plain
from sglang.srt.model_loader.weights import WeightReader
from sglang.srt.models.interface import CausalLM, PooledModel
from sglang.srt.models.pooled import PooledTransformer
from sglang.srt.models.registry import ModelRegistry
from sglang.srt.models.transformers_class import transformers_class

logger = logging.getLogger(__name__)

TORCH_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load_model(
    config: ModelConfig,
    *,
    device: torch.device,
    kernels: Kernels,
    load_format: str = "auto",
    show_progress: bool | None = None,
    tp_rank: int = 0,
    tp_size: int = 1,
) -> CausalLM:
    """Build the model that ``config`` names and load its weights in ``config.dtype``.

    ``show_progress`` None: a bar if stderr is a terminal. Raises ModelLoadError (one line that
    names what and where) for unsupported architectures and unusable checkpoints.
    """
    model: CausalLM = _load(
        choose_model_class(config),
        config,
        device=device,
        kernels=kernels,
        load_format=load_format,
        show_progress=show_progress,
        tp_rank=tp_rank,
        tp_size=tp_size,
    )
    return model


def load_pooled_model(
    config: ModelConfig, *, device: torch.device, kernels: Kernels, load_format: str = "auto"
) -> PooledModel:
    """The same for a model whose answers are embeddings or scores (``config.pooling`` is set)."""
    if config.model_impl == "transformers":
        transformers_class(config)
    ModelRegistry.check(config.architectures)
    model: PooledModel = _load(
        PooledTransformer, config, device=device, kernels=kernels, load_format=load_format
    )
    return model


def choose_model_class(config: ModelConfig) -> type[Any]:
    """The class that generates with ``config``: a page or an external class, or transformers'.

    Raises ModelLoadError if ``config.model_impl`` leaves none.
    """
    if config.model_impl == "sglang" or (
        config.model_impl == "auto" and ModelRegistry.find(config.architectures)
    ):
        return ModelRegistry.resolve(config.architectures)
    from sglang.srt.models.transformers_model import TransformersModel

    try:
        transformers_class(config)
    except ModelLoadError as error:
        if config.model_impl == "transformers":
            raise ModelLoadError(f"--model-impl transformers: {error}") from error
        supported = ", ".join(ModelRegistry.supported())
        raise ModelLoadError(
            f"unsupported architecture {', '.join(config.architectures)}; supported are "
            f"{supported}; and transformers does not help: {error}"
        ) from error
    return TransformersModel


def _load(
    model_class: type[Any],
    config: ModelConfig,
    *,
    device: torch.device,
    kernels: Kernels,
    load_format: str,
    show_progress: bool | None = None,
    tp_rank: int = 0,
    tp_size: int = 1,
) -> Any:
    if tp_size != 1:
        raise ModelLoadError(f"tensor parallelism (tp_size {tp_size}) is not implemented yet")
    if config.quantization and device.type not in ("cpu", "cuda"):
        raise ModelLoadError(
            f"quantization ({config.quantization}) is implemented on cpu and cuda only so far, "
            f"not on {device.type}"
        )
    if config.quantization and not getattr(model_class, "supports_quantization", False):
        raise ModelLoadError(
            f"{model_class.__name__} cannot be quantized ({config.quantization}): its class does "
            "not set supports_quantization"
        )
    stored = config.stored_quantization
    if load_format == "bitsandbytes" and (stored is None or stored.method != "bitsandbytes"):
        found = f"quantized by {stored.method}" if stored else "not quantized"
        raise ModelLoadError(
            f"load format 'bitsandbytes', but the checkpoint in {config.model_path} is {found}"
        )
    dtype = TORCH_DTYPES[config.dtype]
    checkpoint = open_checkpoint(config.model_path, load_format)
    reader = WeightReader(
        as_plain(checkpoint, stored, dtype, device),
        dtype=dtype,
        device=device,
        tp_rank=tp_rank,
        tp_size=tp_size,
        show_progress=show_progress,
    )
    with reader:
        model = model_class.from_checkpoint(config, reader, kernels)
        report = reader.finish()
    method = stored.method if stored else None
    kind = ", ".join(each for each in (method, config.quantization, config.dtype) if each)
    logger.info("loaded %s as %s: %s", config.architectures[0], kind, report)
    return model
