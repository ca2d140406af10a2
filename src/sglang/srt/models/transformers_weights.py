"""Weights for a module of transformers: read through our reader, multiplied by our kernels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.quantization import Quantization
from sglang.srt.model_loader.weights import WeightReader
from sglang.srt.models.transformers_attention import ATTENTION

_ROUTERS = ("gate", "router", "classifier", "shared_expert_gate")
"""Small matrices that choose experts. They decide too much to be quantized, and are multiplied in
float32 by some modules: they stay as they are."""


class _Tensor:
    """A tensor of the checkpoint that is read when transformers gets to it."""

    def __init__(
        self, reader: WeightReader, name: str, shape: tuple[int, ...], lock: threading.Lock
    ) -> None:
        self._reader, self._name, self._shape, self._lock = reader, name, shape, lock

    def __getitem__(self, everything: Any) -> torch.Tensor:
        with self._lock:  # transformers reads with several threads
            return self._reader.read_stored(self._name, self._shape)


def load_module(model_class: type[Any], hf_config: Any, reader: WeightReader) -> nn.Module:
    """``model_class`` with the checkpoint's weights in the reader's dtype, ready to be called.

    transformers renames and joins what older checkpoints name and split otherwise. Raises
    ModelLoadError that names what is missing or of another shape.
    """
    lock = threading.Lock()
    shapes = {name: () for name in reader.names()} or _expected_shapes(model_class, hf_config)
    tensors = {name: _Tensor(reader, name, shape, lock) for name, shape in shapes.items()}
    try:
        with _quiet_transformers():
            module, report = model_class.from_pretrained(
                None,
                config=hf_config,
                state_dict=tensors,
                dtype=reader.dtype,
                attn_implementation=ATTENTION,
                ignore_mismatched_sizes=True,  # so that they are in the report
                output_loading_info=True,
            )
    except ModelLoadError:
        raise
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ModelLoadError(f"transformers cannot load the weights: {reason}") from error
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise ModelLoadError(f"tensor {name} has shape {list(found)}, expected {list(expected)}")
    missing = sorted(report["missing_keys"])
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise ModelLoadError(f"missing tensors for {model_class.__name__}: {shown}")
    loaded: nn.Module = module.to(reader.device).eval().requires_grad_(False)
    return loaded


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Its progress bar and its table of what is missing say what ours say."""
    from transformers.utils import logging

    had_bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()


def _expected_shapes(model_class: type[Any], hf_config: Any) -> dict[str, tuple[int, ...]]:
    """Of the module's own tensors, for made-up weights."""
    with torch.device("meta"):
        state: Mapping[str, torch.Tensor] = model_class(hf_config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@dataclass(frozen=True)
class _WeightFacts:
    """What modules may ask of a weight that is in the kernels' own layout."""

    dtype: torch.dtype
    shape: torch.Size
    device: torch.device


class KernelLinear(nn.Module):
    """A linear layer of a module, computed by our kernels."""

    def __init__(
        self,
        kernels: Kernels,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scheme: WeightScheme | None,
        out_dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = _WeightFacts(weight.dtype, weight.shape, weight.device)
        self._linear = Linear(kernels, weight, bias, scheme=scheme, out_dtype=out_dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., K] -> [..., N]."""
        return self._linear(x.reshape(-1, self.in_features)).view(*x.shape[:-1], -1)


def use_kernels(model: Any, kernels: Kernels, quantization: Quantization | None) -> None:
    """Replace every linear layer of ``model`` by one of ours, one matrix at a time."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if name in _ROUTERS:
                continue
            if type(layer) is nn.Linear:
                weight = layer.weight
            elif type(layer) is Conv1D:
                weight = layer.weight.t().contiguous()
            else:
                continue
            scheme = None
            if quantization is not None:
                scheme = quantization.head if layer is head else quantization.layers
            out_dtype = torch.float32 if layer is head else None
            ours = KernelLinear(kernels, weight.detach(), layer.bias, scheme, out_dtype)
            setattr(parent, name, ours)
            if layer is head:
                head = ours
