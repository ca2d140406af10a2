"""Prompts that come as vectors instead of tokens, checked."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import RequestError


def is_one_prompt(embeds: Any) -> bool:
    """Whether these are the vectors of one prompt, not a list of such."""
    if hasattr(embeds, "ndim"):
        return bool(embeds.ndim < 3)
    first = _first(embeds)
    if hasattr(first, "ndim"):
        return bool(first.ndim < 2)
    return not isinstance(_first(first), (list, tuple))


def embeds_array(vectors: Any, name: str, hidden_size: int) -> NDArray[np.float32]:
    """One prompt's vectors as an array [n, hidden_size], n >= 1.

    ``hidden_size`` 0: that of the first vector.

    Raises:
        RequestError: they are none, of another size, or not all finite numbers.
    """
    if not isinstance(vectors, (list, tuple)) and not hasattr(vectors, "ndim"):
        raise RequestError(f"{name} must be a list of vectors of numbers", param=name)
    if not len(vectors):
        raise RequestError(f"{name} is empty: a prompt needs at least one vector", param=name)
    size = hidden_size or _length(vectors[0])
    result = np.empty((len(vectors), size), dtype=np.float32)
    for i, vector in enumerate(vectors):
        if not _is_vector(vector):
            raise RequestError(f"{name}[{i}] must be a list of numbers", param=name)
        if not len(vector):
            raise RequestError(f"{name}[{i}] has 0 numbers", param=name)
        if len(vector) != size:
            raise RequestError(
                f"{name}[{i}] has {len(vector)} numbers; the model's vectors have {size}",
                param=name,
            )
        with np.errstate(over="ignore"):
            result[i] = np.asarray(vector)
    if not np.isfinite(result).all():
        raise RequestError(f"{name} holds a number that is not finite in float32", param=name)
    return result


def embeds_namespace(embeds: NDArray[np.float32]) -> str:
    """Where the prefix cache keeps the prompt: with its like only, since it has no tokens."""
    return "embeds:" + hashlib.blake2b(embeds.tobytes(), digest_size=16).hexdigest()


def _is_vector(value: Any) -> bool:
    if hasattr(value, "ndim"):
        return value.ndim == 1 and value.dtype.kind in "fiu"
    return isinstance(value, (list, tuple)) and set(map(type, value)) <= {int, float}


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else None


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0
