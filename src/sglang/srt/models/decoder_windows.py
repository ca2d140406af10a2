"""Which layers of a family see the whole sequence, and which a sliding window of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.models.decoder_config import flag, layer_count


def qwen_windows(
    config: Mapping[str, Any],
    slides: Callable[[int, int], bool] = lambda layer, first: layer >= first,
) -> tuple[int, ...]:
    """Sliding windows of the Qwen families, one a layer.

    ``use_sliding_window`` switches ``sliding_window`` on for the layers that ``layer_types`` calls
    ``sliding_attention``; without that list, where ``slides`` says so of the layer and of
    ``max_window_layers``.
    """
    window = 0
    if flag(config, "use_sliding_window") and config.get("sliding_window", 4096) is not None:
        window = positive_int(config, "sliding_window", 4096)
    first = config.get("max_window_layers", 28)
    if isinstance(first, bool) or not isinstance(first, int):
        raise ModelLoadError(f"config.json: 'max_window_layers' must be an integer, got {first!r}")
    # A window that is not in use is one of 0, as long as nothing names a layer that slides.
    return windows_by_layer_type(config, window, lambda layer: window > 0 and slides(layer, first))


def windows_by_pattern(
    config: Mapping[str, Any], default_window: int, default_pattern: int
) -> tuple[int, ...]:
    """Every ``sliding_window_pattern``-th layer sees all, unless ``layer_types`` says otherwise."""
    pattern = positive_int(config, "sliding_window_pattern", default_pattern)
    window = 0
    if config.get("sliding_window", default_window) is not None:
        window = positive_int(config, "sliding_window", default_window)
    return windows_by_layer_type(
        config, window, lambda layer: window > 0 and (layer + 1) % pattern > 0
    )


def windows_by_layer_type(
    config: Mapping[str, Any], window: int, slides: Callable[[int], bool]
) -> tuple[int, ...]:
    """``window`` where ``layer_types`` says ``sliding_attention``, else 0.

    Without that list, where ``slides`` says so of the layer.
    """
    num_layers = layer_count(config)
    types = config.get("layer_types")
    if types is None:
        return tuple(window if slides(layer) else 0 for layer in range(num_layers))
    if not isinstance(types, list) or len(types) < num_layers:
        raise ModelLoadError(f"config.json: 'layer_types' must list {num_layers} layers")
    windows = []
    for kind in types[:num_layers]:
        if kind not in ("full_attention", "sliding_attention"):
            raise ModelLoadError(f"config.json: layer type {kind!r} is not implemented yet")
        if kind == "sliding_attention" and not window:
            raise ModelLoadError("config.json: 'layer_types' slides but there is no sliding_window")
        windows.append(window if kind == "sliding_attention" else 0)
    return tuple(windows)
