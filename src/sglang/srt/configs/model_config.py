"""The facts of a checkpoint that its JSON files state.

Reads ``config.json`` and ``generation_config.json`` of a local checkpoint folder. Needs neither
torch nor transformers, so that the API process can use it as well as the engine.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_config import load_gguf_config
from sglang.srt.configs.gguf_file import is_gguf
from sglang.srt.configs.json_file import read_json_object
from sglang.srt.configs.pooling_config import PoolingConfig, load_pooling_config
from sglang.srt.configs.stored_quantization import (
    StoredQuantization,
    find_stored_quantization,
    quantization_to_do,
)

logger = logging.getLogger(__name__)

DTYPES = {
    "half": "float16",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float": "float32",
    "float32": "float32",
}
"""Accepted spellings of ``--dtype`` besides ``auto``."""

_CHECKPOINT_DTYPES = {**DTYPES, "float64": "float32", "double": "float32"}

_CONTEXT_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "seq_length",
    "max_seq_len",
    "model_max_length",
)
_DEFAULT_CONTEXT = 2048
_MAX_CONTEXT = 1 << 24
"""Positions are exact in float32 up to here."""


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint is and how it is to be served."""

    model_path: str
    """The local folder, or a GGUF file."""
    hf_config: dict[str, Any]
    """``config.json`` with the overrides merged in."""
    architectures: tuple[str, ...]
    context_length: int
    """Tokens a request may have, prompt and answer together."""
    vocab_size: int
    dtype: str
    """``float32``, ``bfloat16`` or ``float16``: what weights and activations are kept in."""
    eos_token_ids: tuple[int, ...]
    """Tokens that end an answer, those of ``generation_config.json`` included."""
    generation_defaults: dict[str, float | int]
    """Sampling defaults of the checkpoint: temperature, top_p, top_k, min_p, repetition_penalty."""
    quantization: str | None = None
    """What the weights become while they are loaded, see ``layers.quantization``."""
    model_impl: str = "auto"
    """Whose module runs it: ``sglang``, ``transformers``, or ``auto``."""
    trust_remote_code: bool = False
    """Whether code that comes with the checkpoint may run."""
    stored_quantization: StoredQuantization | None = None
    """How the checkpoint's own weights are quantized, if they are."""
    pooling: PoolingConfig | None = None
    """Of embedding and reward models; None: the model generates text."""

    @property
    def is_generation(self) -> bool:
        """False for embedding and reward models."""
        return self.pooling is None

    @property
    def hidden_size(self) -> int:
        """Numbers in a hidden state; 0 if ``config.json`` does not say."""
        size = self.text_config.get("hidden_size")
        return size if isinstance(size, int) else 0

    @property
    def text_config(self) -> dict[str, Any]:
        """The language model's part of ``hf_config``: ``text_config`` where it is nested."""
        return text_config(self.hf_config)


def load_model_config(
    model_path: str,
    *,
    dtype: str = "auto",
    context_length: int | None = None,
    json_model_override_args: str = "{}",
    device: str = "cpu",
    is_embedding: bool = False,
    quantization: str | None = None,
    model_impl: str = "auto",
    trust_remote_code: bool = False,
) -> ModelConfig:
    """Read the configuration of the checkpoint folder, or GGUF file, ``model_path``.

    Raises ModelLoadError (one line naming file and field) for missing, broken or senseless files,
    and ValueError for senseless arguments.
    """
    folder = Path(model_path)
    in_gguf = is_gguf(folder)
    hf_config = load_gguf_config(folder) if in_gguf else read_json_object(folder / "config.json")
    hf_config.update(_parse_overrides(json_model_override_args))
    text = text_config(hf_config)
    generation_path = folder / "generation_config.json"
    generation = read_json_object(generation_path) if generation_path.is_file() else {}
    architectures = _architectures(hf_config, folder / "config.json")
    stored = find_stored_quantization(folder, hf_config, text)
    if in_gguf:
        stored = StoredQuantization("gguf")
    pooling = load_pooling_config(folder, architectures[0], hf_config, is_embedding=is_embedding)
    return ModelConfig(
        model_path=model_path,
        hf_config=hf_config,
        architectures=architectures,
        context_length=_context_length(text, context_length),
        vocab_size=positive_int(
            text, "padded_vocab_size" if text.get("padded_vocab_size") else "vocab_size"
        ),
        dtype=_dtype(hf_config, dtype, device),
        eos_token_ids=_eos_token_ids(hf_config, text, generation),
        generation_defaults=_generation_defaults(generation),
        quantization=quantization_to_do(quantization, stored),
        stored_quantization=stored,
        model_impl=model_impl,
        trust_remote_code=trust_remote_code,
        pooling=pooling,
    )


def text_config(hf_config: Mapping[str, Any]) -> dict[str, Any]:
    """The language model's part of a configuration: ``text_config`` where it is nested."""
    nested = hf_config.get("text_config")
    return dict(nested) if isinstance(nested, dict) else dict(hf_config)


def positive_int(
    config: Mapping[str, Any], key: str, default: int | None = None, *, limit: int = 1 << 31
) -> int:
    """``config[key]``, an integer in 1 .. limit; ModelLoadError if it is missing or is not that.

    An absent or null entry gives ``default`` if there is one.
    """
    value = config.get(key)
    if value is None:
        value = default
    if value is None:
        raise ModelLoadError(f"config.json lacks '{key}'")
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ModelLoadError(f"config.json: '{key}' must be a positive integer, got {value!r}")
    if value > limit:
        raise ModelLoadError(f"config.json: '{key}' must be at most {limit}, got {value}")
    return value


def positive_float(config: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """``config[key]`` as a finite number above zero; errors and default as in positive_int."""
    value = config.get(key)
    if value is None:
        value = default
    if value is None:
        raise ModelLoadError(f"config.json lacks '{key}'")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelLoadError(f"config.json: '{key}' must be a number, got {value!r}")
    if not 0 < value < math.inf:
        raise ModelLoadError(f"config.json: '{key}' must be finite and positive, got {value!r}")
    return float(value)


def rope_parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary parameters under the names of transformers 5, whichever way the file spells them.

    Newer files have one ``rope_parameters``; older ones ``rope_theta`` beside ``rope_scaling``,
    which wins if both are there. The result always has ``rope_type`` and ``rope_theta``.
    """
    scaling = config.get("rope_scaling") or {}
    parameters = config.get("rope_parameters") or {}
    for key, value in (("rope_scaling", scaling), ("rope_parameters", parameters)):
        if not isinstance(value, dict):
            raise ModelLoadError(f"config.json: '{key}' must be an object, got {value!r}")
    result = {key: value for key, value in (scaling or parameters).items() if value is not None}
    theta = config.get("rope_theta") or parameters.get("rope_theta") or 10000.0
    result.setdefault("rope_theta", theta)
    result.setdefault("rope_type", result.pop("type", "default"))
    if not isinstance(result["rope_type"], str):
        raise ModelLoadError(f"config.json: 'rope_type' must be a name: {result['rope_type']!r}")
    return result


def _parse_overrides(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"json_model_override_args is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"json_model_override_args must be a JSON object, got {text!r}")
    return value


def _architectures(hf_config: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    names = hf_config.get("architectures")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ModelLoadError(f"{path}: 'architectures' must be a list of names, got {names!r}")
    return tuple(names)


def _context_length(text: Mapping[str, Any], requested: int | None) -> int:
    derived = _derived_context_length(text)
    if requested is None:
        return min(derived, _MAX_CONTEXT)
    if isinstance(requested, bool) or not 0 < requested <= _MAX_CONTEXT:
        raise ValueError(f"context_length must lie in 1 .. {_MAX_CONTEXT}, got {requested}")
    if requested > derived:
        logger.warning(
            "context_length %d is above the model's own %d: answers may degrade beyond it",
            requested,
            derived,
        )
    return requested


def _derived_context_length(text: Mapping[str, Any]) -> int:
    """Longest sequence the checkpoint is made for.

    ``max_position_embeddings`` is the stretched length for llama3 scaling and the trained length
    for linear and dynamic; for yarn it is found either way, next to the trained length.
    """
    key = next((key for key in _CONTEXT_KEYS if text.get(key) is not None), None)
    if text.get("model_type") == "qwen" and text.get("seq_length") is not None:
        key = "seq_length"  # the other one counts what it reads by ways we do not have
    if key is None:
        return _DEFAULT_CONTEXT
    length = positive_int(text, key) - num_reserved_positions(text)
    rope = rope_parameters(text)
    if rope["rope_type"] in ("linear", "dynamic"):
        return int(length * positive_float(rope, "factor", 1.0))
    if rope["rope_type"] == "yarn":
        trained = positive_int(rope, "original_max_position_embeddings", length)
        return max(length, int(trained * positive_float(rope, "factor", 1.0)))
    return length


def num_reserved_positions(text: Mapping[str, Any]) -> int:
    """Positions that no token has: RoBERTa counts from behind that of its padding."""
    if text.get("model_type") not in ("roberta", "xlm-roberta", "camembert"):
        return 0
    padding = text.get("pad_token_id", 1)
    if isinstance(padding, bool) or not isinstance(padding, int) or not 0 <= padding < 64:
        raise ModelLoadError(f"config.json: 'pad_token_id' must be in 0 .. 63, got {padding!r}")
    return padding + 1


def _dtype(hf_config: Mapping[str, Any], requested: str, device: str) -> str:
    if requested != "auto":
        if requested not in DTYPES:
            raise ValueError(f"dtype must be auto or one of {sorted(DTYPES)}, got {requested!r}")
        return DTYPES[requested]
    text = text_config(hf_config)
    stored = next(
        (
            str(config[key]).removeprefix("torch.")
            for config in (text, hf_config)
            for key in ("dtype", "torch_dtype")
            if config.get(key) is not None
        ),
        None,
    )
    dtype = _CHECKPOINT_DTYPES.get(stored or "bfloat16", "bfloat16")
    if dtype == "float16" and device == "cpu":
        logger.info("the checkpoint is float16; bfloat16 is used on the CPU (see --dtype)")
        return "bfloat16"
    return dtype


def _eos_token_ids(*configs: Mapping[str, Any]) -> tuple[int, ...]:
    """All end tokens in order of appearance; each ``eos_token_id`` may be an int or a list."""
    found: list[int] = []
    for config in configs:
        value = config.get("eos_token_id")
        for token in value if isinstance(value, list) else [value]:
            if token is None or token in found:
                continue
            if isinstance(token, bool) or not isinstance(token, int) or token < 0:
                raise ModelLoadError(f"'eos_token_id' must be token ids, got {value!r}")
            found.append(token)
    return tuple(found)


def _generation_defaults(generation: Mapping[str, Any]) -> dict[str, float | int]:
    """Sampling defaults that make sense; others are left out with a warning."""
    if generation.get("do_sample") is False:
        return {}
    limits = {
        "temperature": (0.0, math.inf),
        "top_p": (1e-6, 1.0),
        "min_p": (0.0, 1.0),
        "repetition_penalty": (1e-6, 2.0),
    }
    defaults: dict[str, float | int] = {}
    for name, (low, high) in limits.items():
        value = generation.get(name)
        if value is None:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and math.isfinite(value) and low <= value <= high:
            defaults[name] = float(value)
        else:
            logger.warning("generation_config.json: %s=%r is ignored", name, value)
    top_k = generation.get("top_k")
    if isinstance(top_k, int) and not isinstance(top_k, bool):
        # Zero means "off" in transformers, -1 does here.
        defaults["top_k"] = top_k if top_k > 0 else -1
    return defaults
