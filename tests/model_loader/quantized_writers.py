"""Writes matrices in the formats of quantized checkpoints, element by element.

Each writer takes a matrix [N, K] and returns the stored tensors by what their names end in, and the
matrix that they stand for, float32. Written from the descriptions of the formats alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

Tensors = dict[str, torch.Tensor]
Settings = dict[str, Any]


class Written(NamedTuple):
    tensors: Tensors
    matrix: torch.Tensor


Writer = Callable[[torch.Tensor], Written]


def integers(
    matrix: torch.Tensor, bits: int, size: int, *, symmetric: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.Tensor]:
    """Unsigned codes [N, K], float16 scales [N, G], zero points [N, G], and their matrix."""
    values = matrix.double().numpy()
    rows, columns = values.shape
    groups, top = columns // size, (1 << bits) - 1
    codes = np.zeros((rows, columns), dtype=np.int64)
    scales = np.zeros((rows, groups), dtype=np.float16)
    zeros = np.zeros((rows, groups), dtype=np.int64)
    result = np.zeros((rows, columns), dtype=np.float32)
    for row in range(rows):
        for group in range(groups):
            part = slice(group * size, (group + 1) * size)
            low, high = min(values[row, part].min(), 0), max(values[row, part].max(), 0)
            if symmetric:
                scale = np.float16(max(-low, high) / ((top - 1) / 2))
                zero = (top + 1) // 2
            else:
                scale = np.float16((high - low) / top)
                zero = round(-low / float(scale))
            found = np.rint(values[row, part] / float(scale)) + zero
            codes[row, part] = np.clip(found, 0, top)
            scales[row, group], zeros[row, group] = scale, zero
            result[row, part] = (codes[row, part] - zero) * np.float32(scale)
    return codes, scales, zeros, torch.from_numpy(result)


def packed(numbers: np.ndarray, bits: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Unsigned [R, C] as words [R, C * bits / 32] int32, bit by bit from the lowest."""
    rows, columns = numbers.shape
    words = np.zeros((rows, columns * bits // 32), dtype=np.uint32)
    for column in range(columns):
        place = column
        if order is not None:
            place = column // 8 * 8 + order.index(column % 8)
        for bit in range(bits):
            word, at = divmod(place * bits + bit, 32)
            words[:, word] |= ((numbers[:, column] >> bit & 1) << at).astype(np.uint32)
    return torch.from_numpy(words.view(np.int32))


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def awq(size: int) -> tuple[Settings, Writer]:
    def write(matrix: torch.Tensor) -> Written:
        codes, scales, zeros, result = integers(matrix, 4, size, symmetric=False)
        order = (0, 2, 4, 6, 1, 3, 5, 7)
        tensors = {
            "qweight": packed(codes.T, 4, order),
            "qzeros": packed(zeros.T, 4, order),
            "scales": tensor(scales.T),
        }
        return Written(tensors, result)

    settings = {"quant_method": "awq", "bits": 4, "group_size": size, "zero_point": True}
    return {**settings, "version": "gemm"}, write


def gptq(
    bits: int, size: int, *, symmetric: bool = True, ordered: bool = True, version: int = 1
) -> tuple[Settings, Writer]:
    def write(matrix: torch.Tensor) -> Written:
        columns = matrix.shape[1]
        order = np.random.default_rng(0).permutation(columns)
        if ordered:
            order = np.arange(columns)
        codes, scales, zeros, result = integers(matrix[:, order], bits, size, symmetric=symmetric)
        back = np.argsort(order)
        stored_zeros = (zeros - (1 if version == 1 else 0)) % (1 << bits)
        tensors = {
            "qweight": packed(codes[:, back], bits).T.contiguous(),
            "qzeros": packed(stored_zeros.T, bits),
            "scales": tensor(scales.T),
            "g_idx": torch.from_numpy((back // size).astype(np.int32)),
        }
        return Written(tensors, result[:, back])

    settings = {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": size,
        "sym": symmetric,
        "desc_act": not ordered,
    }
    return {**settings, **({"checkpoint_format": "gptq_v2"} if version == 2 else {})}, write


def fp8(
    kind: str, block: tuple[int, int] = (32, 16), names: tuple[str, str] = ("fp8", "fp8")
) -> tuple[Settings, Writer]:
    """``kind``: tensor, channel, block or static."""

    def write(matrix: torch.Tensor) -> Written:
        rows, columns = matrix.shape
        high, wide = {"channel": (1, columns), "block": block}.get(kind, (rows, columns))
        scales = torch.zeros(-(-rows // high), -(-columns // wide))
        codes = torch.zeros(matrix.shape, dtype=torch.float8_e4m3fn)
        result = torch.zeros(matrix.shape)
        for i in range(scales.shape[0]):
            for j in range(scales.shape[1]):
                part = (slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide))
                scales[i, j] = matrix[part].abs().max() / 448
                codes[part] = (matrix[part] / scales[i, j]).to(torch.float8_e4m3fn)
                result[part] = codes[part].float() * scales[i, j]
        name = "weight_scale_inv" if kind == "block" else "weight_scale"
        stored = scales[0, 0] if kind in ("tensor", "static") else scales
        tensors = {"weight": codes, name: stored.clone()}
        if kind == "static":
            tensors["input_scale"] = torch.tensor(0.02)
        return Written(tensors, result)

    scheme = "static" if kind == "static" else "dynamic"
    settings: Settings = {"quant_method": "fp8", "activation_scheme": scheme}
    if kind == "block":
        settings["weight_block_size"] = list(block)
    return settings, write


_LOW = (-1, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0)
NF4 = (*_LOW, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1)
"""Near enough to the real numbers, which a checkpoint brings along."""


def bitsandbytes4(block: int = 64, *, nested: bool, kind: str = "nf4") -> tuple[Settings, Writer]:
    def write(matrix: torch.Tensor) -> Written:
        flat = matrix.flatten().tolist()
        scales = [
            max(abs(x) for x in flat[first : first + block]) for first in range(0, len(flat), block)
        ]
        tensors: Tensors = {"weight.quant_map": torch.tensor(NF4)}
        state = {"quant_type": kind, "blocksize": block, "shape": list(matrix.shape)}
        if nested:
            offset = sum(scales) / len(scales)
            outer = max(abs(scale - offset) for scale in scales)
            table = torch.linspace(-1, 1, 256)
            codes = [int((table - (s - offset) / outer).abs().argmin()) for s in scales]
            scales = [float(table[code]) * outer + offset for code in codes]
            tensors["weight.absmax"] = torch.tensor(codes, dtype=torch.uint8)
            tensors["weight.nested_quant_map"] = table
            tensors["weight.nested_absmax"] = torch.tensor([outer] * -(-len(codes) // 256))
            state.update(nested_blocksize=256, nested_dtype="float32", nested_offset=offset)
        else:
            tensors["weight.absmax"] = torch.tensor(scales)
        numbers = torch.tensor(NF4)
        codes = [
            int((numbers - x / scales[index // block]).abs().argmin())
            for index, x in enumerate(flat)
        ]
        data = [first << 4 | second for first, second in zip(codes[::2], codes[1::2], strict=True)]
        tensors["weight"] = torch.tensor(data, dtype=torch.uint8).view(-1, 1)
        text = json.dumps(state).encode()
        tensors[f"weight.quant_state.bitsandbytes__{kind}"] = torch.tensor(
            list(text), dtype=torch.uint8
        )
        result = [NF4[code] * scales[index // block] for index, code in enumerate(codes)]
        return Written(tensors, torch.tensor(result).view(matrix.shape))

    return {"quant_method": "bitsandbytes", "load_in_4bit": True}, write


def bitsandbytes8() -> tuple[Settings, Writer]:
    def write(matrix: torch.Tensor) -> Written:
        top = matrix.abs().amax(dim=1)
        codes = (matrix / top[:, None] * 127).round()
        tensors = {
            "weight": codes.to(torch.int8),
            "SCB": top,
            "weight_format": torch.tensor(0, dtype=torch.uint8),
        }
        return Written(tensors, codes * top[:, None] / 127)

    return {"quant_method": "bitsandbytes", "load_in_8bit": True}, write


def compressed(
    form: str, bits: int, strategy: str, size: int | None = None, *, symmetric: bool = True
) -> tuple[Settings, Writer]:
    """compressed-tensors with integers: int-quantized, naive-quantized or pack-quantized."""

    def write(matrix: torch.Tensor) -> Written:
        rows, columns = matrix.shape
        source = matrix if strategy != "tensor" else matrix.reshape(1, -1)
        codes, scales, zeros, result = integers(
            source, bits, size or source.shape[1], symmetric=symmetric
        )
        codes, middle = codes.reshape(rows, columns), 1 << (bits - 1)
        stored = {"weight_scale": tensor(scales)}
        if form == "pack-quantized":
            stored["weight_packed"] = packed(codes, bits)
            stored["weight_shape"] = torch.tensor([rows, columns])
            if not symmetric:
                words = packed(zeros.T, bits)
                stored["weight_zero_point"] = words.T.contiguous()
        else:
            stored["weight"] = tensor((codes - middle).astype(np.int8))
            if not symmetric:
                stored["weight_zero_point"] = tensor((zeros - middle).astype(np.int8))
        return Written(stored, result.reshape(rows, columns))

    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy}
    return _groups(form, {**weights, "group_size": size}), write


def compressed_float(kind: str) -> tuple[Settings, Writer]:
    """compressed-tensors with float8: per tensor, channel or block."""
    _, plain = fp8(kind)

    def write(matrix: torch.Tensor) -> Written:
        written = plain(matrix)
        names = {"weight_scale_inv": "weight_scale"}
        renamed = {names.get(name, name): value for name, value in written.tensors.items()}
        if kind == "tensor":
            renamed["weight_scale"] = renamed["weight_scale"].view(1)
        return Written(renamed, written.matrix)

    weights: Settings = {"num_bits": 8, "type": "float", "strategy": kind}
    if kind == "block":
        weights["block_structure"] = [32, 16]
    return _groups("float-quantized", weights), write


def _groups(form: str, weights: Mapping[str, Any]) -> Settings:
    group = {"targets": ["Linear"], "weights": dict(weights), "input_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }
