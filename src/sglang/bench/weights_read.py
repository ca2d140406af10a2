"""How many bytes of weights a decode step reads."""

from __future__ import annotations

from sglang.srt.kernels.interface import PackedLinear
from sglang.srt.layers.moe import MoE


def weight_bytes_read(model: object, sequences: int = 1) -> int:
    """Bytes of all packed matrices that are reachable from ``model``, each once.

    A decode step reads these whole; of the embedding table it reads a row a sequence, and the norms
    are small. Of experts it reads those that are chosen: as many as ``sequences`` are
    expected to choose if each of them is as likely. 0 for models that pack nothing.
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
            total += item.data.nbytes
        elif isinstance(item, MoE):
            total += _expert_bytes_read(item, sequences)
            stack += _attributes(item)
        elif isinstance(item, list | tuple):
            stack += item
        elif isinstance(item, dict):
            stack += item.values()
        elif type(item).__module__.startswith("sglang."):
            stack += _attributes(item)
    return total


def _expert_bytes_read(layer: MoE, sequences: int) -> int:
    count, chosen = len(layer.up.data), layer.routing.top_k
    expected = count * (1 - (1 - chosen / count) ** sequences)
    return round(expected * (layer.up.data[0].nbytes + layer.down.data[0].nbytes))


def _attributes(item: object) -> list[object]:
    if hasattr(item, "__dict__"):
        return list(vars(item).values())
    return [getattr(item, name, None) for name in getattr(type(item), "__slots__", ())]
