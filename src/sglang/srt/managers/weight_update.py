"""New weights for a running engine: all of them loaded and checked before any is used."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_file import is_gguf
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.configs.stored_quantization import StoredQuantization
from sglang.srt.managers.engine_setup import Engine
from sglang.srt.managers.io_struct import ControlReply, UpdateWeights
from sglang.srt.model_loader.checkpoint import open_checkpoint
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.load import choose_model_class, load_model, load_pooled_model
from sglang.srt.models.registry import ModelRegistry
from sglang.srt.models.transformers_class import config_facts
from sglang.srt.models.transformers_model import TransformersModel

logger = logging.getLogger(__name__)

SUCCESS = "Succeeded to update model weights."


class WeightUpdates:
    """The updates that an engine was asked for, done one by one.

    An update waits until every request that has begun is done, and those that come meanwhile wait
    for it: no answer is of two models.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: deque[UpdateWeights] = deque()

    def ask(self, message: UpdateWeights) -> None:
        """Put an update off until the engine is quiet."""
        self._asked.append(message)
        self._engine.scheduler.admits_new = False

    @property
    def is_due(self) -> bool:
        """Whether there is something to do, and nothing in the way."""
        return bool(self._asked) and not self._engine.scheduler.has_begun

    def apply(self) -> ControlReply:
        """Do the next update; takes as long as loading the model does."""
        message = self._asked.popleft()
        problem = update_weights(self._engine, message.model_path, message.load_format)
        self._engine.scheduler.admits_new = not self._asked
        return ControlReply(message.id, problem is None, problem or SUCCESS)


def update_weights(engine: Engine, model_path: str, load_format: str) -> str | None:
    """Have ``engine``, in which nothing runs, serve the checkpoint folder ``model_path``.

    Returns what is wrong with it, in which case the old weights stay. While it loads, the old and
    the new weights are in memory, and nothing is there twice but for one matrix at a time.
    """
    started = time.perf_counter()
    runner = engine.runner
    try:
        open_checkpoint(model_path, load_format).close()
    except (ModelLoadError, ValueError, OSError) as error:
        return f"Failed to get weights iterator: {error}."
    try:
        stored = check_same_model(engine, model_path)
        config = dataclasses.replace(
            engine.config, model_path=model_path, stored_quantization=stored
        )
        load: Callable[..., Any] = load_model if config.is_generation else load_pooled_model
        model = load(config, device=runner.device, kernels=runner.kernels, load_format=load_format)
        engine.scheduler.memory.cache.flush()
        runner.replace_model(model)
    except (ModelLoadError, ValueError, OSError) as error:
        return f"Failed to update weights: {error}. The old weights stay in use."
    except Exception as error:
        logger.exception("loading the weights of %s failed", model_path)
        return f"Failed to update weights: {type(error).__name__}. The old weights stay in use."
    seconds = time.perf_counter() - started
    logger.info("Serving the weights of %s after %.1f s", model_path, seconds)
    return None


def check_same_model(engine: Engine, model_path: str) -> StoredQuantization | None:
    """Whether the folder's config.json, if it has one, describes the model that is served.

    Returns how its weights are quantized; without that file as those that are served. Raises
    ModelLoadError naming what differs. Shapes and names of the tensors are checked when they
    are read; this finds what they do not show, such as the base of the rotary embedding.
    """
    served, override = engine.config, engine.args.json_model_override_args
    if not (is_gguf(Path(model_path)) or (Path(model_path) / "config.json").is_file()):
        return served.stored_quantization
    found = load_model_config(
        model_path, json_model_override_args=override, is_embedding=engine.args.is_embedding
    )
    if found.architectures != served.architectures:
        kinds = [", ".join(config.architectures) for config in (found, served)]
        raise ModelLoadError(f"{model_path} is a {kinds[0]}, and a {kinds[1]} is served")
    if found.pooling != served.pooling:
        raise ModelLoadError(f"{model_path} has {found.pooling}, and {served.pooling} is served")
    if served.is_generation and choose_model_class(served) is TransformersModel:
        _check_same_facts(model_path, config_facts(found), config_facts(served))
        return found.stored_quantization
    model_class, _ = ModelRegistry.resolve_pooled(served.architectures)
    if not issubclass(model_class, Decoder):  # an external model, whose tensors must do
        return found.stored_quantization
    ours = _facts(model_class.parse_config(served.text_config))
    theirs = _facts(model_class.parse_config(found.text_config))
    _check_same_facts(model_path, theirs, ours)
    return found.stored_quantization


def _check_same_facts(model_path: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for name, value in ours.items():
        if theirs[name] != value:
            raise ModelLoadError(
                f"{model_path} has {name} {theirs[name]}, the model that is served has {value}"
            )


def _facts(config: DecoderConfig) -> dict[str, Any]:
    return {each.name: getattr(config, each.name) for each in dataclasses.fields(config)}
