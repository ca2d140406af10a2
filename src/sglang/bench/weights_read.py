"""How many bytes of weights a decode step reads."""

from __future__ import annotations

from sglang.srt.kernels.interface import PackedLinear


def weight_bytes_read(model: object) -> int:
    """Bytes of all packed matrices that are reachable from ``model``, each once.

    A decode step of a dense model reads these whole; of the embedding table it reads a row a
    sequence, and the norms are small. 0 for models that pack nothing.
    """
    seen: set[int] = set()
    stack: list[object] = [model]
    total = 0
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, PackedLinear):
            total += item.data.numel() * item.data.element_size()
        elif isinstance(item, list | tuple):
            stack += item
        elif isinstance(item, dict):
            stack += item.values()
        elif type(item).__module__.startswith("sglang."):
            stack += _attributes(item)
    return total


def _attributes(item: object) -> list[object]:
    if hasattr(item, "__dict__"):
        return list(vars(item).values())
    return [getattr(item, name, None) for name in getattr(type(item), "__slots__", ())]
