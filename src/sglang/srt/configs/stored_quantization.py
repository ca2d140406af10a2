"""How the weights of a checkpoint are quantized, as its files say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.json_file import read_json_object

STORED_METHODS: dict[str, tuple[str, ...]] = {
    "awq": ("awq",),
    "awq_marlin": ("awq",),
    "gptq": ("gptq",),
    "gptq_marlin": ("gptq",),
    "fp8": ("fp8", "fbgemm_fp8", "modelopt"),
    "w8a8_fp8": ("fp8", "fbgemm_fp8", "compressed-tensors"),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed-tensors",),
    "gguf": ("gguf",),
}
"""Values of ``--quantization`` that describe a checkpoint, and the methods that they fit."""

_OLDER_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Where the tools kept their settings before ``config.json`` had a place for them."""


@dataclass(frozen=True)
class StoredQuantization:
    """What a checkpoint says about its quantized matrices."""

    method: str
    """By the name that ``quant_method`` has in configurations, such as ``awq``."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def find_stored_quantization(
    folder: Path, config: Mapping[str, Any], text: Mapping[str, Any]
) -> StoredQuantization | None:
    """What ``config.json`` (``text``: its language model's part) or an older file says.

    Raises ModelLoadError for an entry that does not name its method.
    """
    keys = ("quantization_config", "compression_config")
    found = [part[key] for part in (config, text) for key in keys if part.get(key)]
    if found:
        return _parse(found[0])
    for name, method in _OLDER_FILES.items():
        if (folder / name).is_file():
            return _parse({"quant_method": method, **read_json_object(folder / name)})
    return None


def _parse(settings: Any) -> StoredQuantization:
    if not isinstance(settings, dict):
        raise ModelLoadError(
            f"config.json: 'quantization_config' must be an object, got {settings!r}"
        )
    method = settings.get("quant_method")
    if method is None and (settings.get("load_in_4bit") or settings.get("load_in_8bit")):
        method = "bitsandbytes"
    if not isinstance(method, str) or not method:
        raise ModelLoadError(
            f"config.json: 'quant_method' of 'quantization_config' must be a name, got {method!r}"
        )
    method = method.lower()
    if method == "compressed_tensors":
        method = "compressed-tensors"
    return StoredQuantization(method, settings)


def quantization_to_do(asked: str | None, stored: StoredQuantization | None) -> str | None:
    """What is to be done to the weights, where ``asked`` may also describe how they are stored.

    Raises ValueError if it describes them wrongly.
    """
    if asked is None or asked not in STORED_METHODS:
        return asked
    if stored is None:
        advice = (
            "; quantizing to fp8 while loading is not implemented yet: on a CPU, "
            "w8a8_int8 takes as little memory and is faster"
            if "fp8" in asked
            else ""
        )
        raise ValueError(f"quantization is {asked!r}, but the checkpoint is not quantized{advice}")
    if stored.method not in STORED_METHODS[asked]:
        raise ValueError(
            f"quantization is {asked!r}, but the checkpoint's own is {stored.method!r}; the "
            "option can be left away"
        )
    return None
