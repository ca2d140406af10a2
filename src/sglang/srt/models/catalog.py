"""What can be served, and what would become of a checkpoint, without loading any weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.models.plugins import find_plugins, source_of
from sglang.srt.models.registry import ModelRegistry, pooled_task

logger = logging.getLogger(__name__)

Status = Literal["page", "plug-in", "registered", "transformers", "refused"]
Task = Literal["generation", "embedding", "scores"]


@dataclass(frozen=True)
class Listed:
    """One architecture that somebody may ask for."""

    architecture: str
    status: Status
    tasks: tuple[Task, ...]
    source: str
    """The page, the package, transformers' model type; of what is refused, the reason."""


@dataclass(frozen=True)
class Verdict:
    """What would become of a checkpoint."""

    architecture: str
    status: Status
    reason: str
    """Why nothing runs it; empty if something does."""
    task: Task
    dtype: str
    quantization: str | None
    context_length: int
    num_parameters: int | None
    """None where there are no weights to look at; the same below where it cannot be told."""
    weight_bytes: int | None
    """In memory, if all weights are kept in ``dtype``."""
    kv_bytes_per_token: int | None


def own_models() -> Iterator[Listed]:
    """What sglang, installed packages and this process offer. Imports neither torch nor a page."""
    plugins, registered = find_plugins(), ModelRegistry.models.external()
    for name in ModelRegistry.supported():
        status: Status = "page"
        if name in registered:
            status, source = "registered", registered[name].__module__
        elif name in plugins:
            status, source = "plug-in", source_of(plugins[name])
        else:
            source = ModelRegistry.page_of(name)
        pooled = pooled_task(name)
        if pooled is not None:
            tasks: tuple[Task, ...] = (pooled,)
        else:
            tasks = ("generation", "embedding") if status == "page" else ("generation",)
        yield Listed(name, status, tasks, source)


def transformers_models() -> Iterator[Listed]:
    """What transformers has beyond those, each with the status of its default configuration.

    Imports all of transformers' causal language models.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    seen = set(ModelRegistry.supported())
    for model_type, names in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()):
        name = names if isinstance(names, str) else names[0]
        if name in seen:
            continue
        seen.add(name)
        reason = _refusal(name)
        if reason:
            yield Listed(name, "refused", (), reason)
        else:
            yield Listed(name, "transformers", ("generation",), model_type)


def _refusal(name: str) -> str:
    """Why a class of transformers cannot be served; empty if it can, as far as it tells."""
    import transformers
    from transformers.utils.logging import get_verbosity, set_verbosity

    from sglang.srt.models.transformers_class import check_class, check_config

    try:
        model_class = getattr(transformers, name)
        check_class(model_class)
    except (ModelLoadError, ImportError, AttributeError) as error:
        return str(error)
    verbosity = get_verbosity()
    set_verbosity(logging.CRITICAL)  # some default configurations warn of themselves
    try:
        check_config(model_class.config_class())
    except ModelLoadError as error:
        return str(error)
    except Exception:  # there is no default configuration that this class accepts
        logger.debug("%s has no default configuration", name, exc_info=True)
    finally:
        set_verbosity(verbosity)
    return ""


def judge(config: ModelConfig) -> Verdict:
    """What would become of the checkpoint of ``config``. Imports torch, and what would run it."""
    import torch

    from sglang.srt.model_loader.checkpoint import open_checkpoint
    from sglang.srt.model_loader.quantized_checkpoint import as_plain
    from sglang.srt.models.load import TORCH_DTYPES

    dtype, reason, kv_bytes = TORCH_DTYPES[config.dtype], "", None
    status: Status = "refused"
    try:
        status, model_class = _who_runs(config)
        kv_bytes = _kv_bytes(model_class, config, dtype)
    except (ModelLoadError, ImportError) as error:
        status, reason = "refused", str(error)
    count = None
    try:
        checkpoint = open_checkpoint(config.model_path)
        plain = as_plain(checkpoint, config.stored_quantization, dtype, torch.device("cpu"))
        count = sum(math.prod(plain.shape(name, ())) for name in plain.names())
        plain.close()
    except ModelLoadError:
        pass  # a configuration alone can be judged as well
    stored = config.stored_quantization
    return Verdict(
        architecture=config.architectures[0],
        status=status,
        reason=reason,
        task=_task(config),
        dtype=config.dtype,
        quantization=stored.method if stored else None,
        context_length=config.context_length,
        num_parameters=count,
        weight_bytes=None if count is None else count * dtype.itemsize,
        kv_bytes_per_token=kv_bytes,
    )


def _task(config: ModelConfig) -> Task:
    if config.pooling is None:
        return "generation"
    return "scores" if config.pooling.gives_scores else "embedding"


def _who_runs(config: ModelConfig) -> tuple[Status, Any]:
    from sglang.srt.models.load import choose_model_class
    from sglang.srt.models.transformers_class import transformers_class
    from sglang.srt.models.transformers_model import TransformersModel

    if config.is_generation:
        model_class = choose_model_class(config)
    elif config.model_impl == "transformers":
        model_class, _ = transformers_class(config)
    else:
        model_class, _ = ModelRegistry.resolve_pooled(config.architectures)
    if model_class is TransformersModel:
        return "transformers", model_class
    name = ModelRegistry.check(config.architectures)
    if name in ModelRegistry.models.external():
        return "registered", model_class
    return ("plug-in" if name in find_plugins() else "page"), model_class


def _kv_bytes(model_class: Any, config: ModelConfig, dtype: Any) -> int | None:
    """Of a token in all layers, where the configuration tells it."""
    from sglang.srt.mem_cache.kv_pool import KVPool
    from sglang.srt.models.decoder import Decoder
    from sglang.srt.models.transformers_class import kv_shape, transformers_class
    from sglang.srt.models.transformers_model import TransformersModel

    if model_class is TransformersModel:
        try:
            layers, heads, head_dim = kv_shape(transformers_class(config)[1])
        except AttributeError:  # a configuration with names of its own
            return None
        return KVPool.bytes_per_slot(layers, heads, head_dim, dtype)
    if not issubclass(model_class, Decoder):
        return None
    facts = model_class.parse_config(config.text_config)
    latent = facts.mla.latent_dim if facts.mla else 0
    layers, heads, head_dim = facts.num_layers, facts.num_kv_heads, facts.head_dim
    return KVPool.bytes_per_slot(layers, heads, head_dim, dtype, latent)
