"""Models whose answer is no text: a transformer, and what is made of its pooled hidden states.

An embedding is the pooled hidden state itself, of length one. A reward or classification model
puts a head on the hidden state of the last token, as transformers does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.configs.pooling_config import Pooling, num_labels
from sglang.srt.kernels.interface import Kernels
from sglang.srt.layers.linear import Linear
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from sglang.srt.models.interface import Transformer
from sglang.srt.models.registry import Head, ModelRegistry

Answer = Callable[[torch.Tensor], torch.Tensor]
"""[R, H] float32 -> [R, E] float32, row by row."""


class PooledTransformer:
    """Implements ``interface.PooledModel``."""

    supports_quantization = True

    @classmethod
    def from_checkpoint(
        cls, config: ModelConfig, reader: WeightReader, kernels: Kernels
    ) -> PooledTransformer:
        """Load the transformer without what scores the vocabulary, and the head if there is one.

        Raises ModelLoadError for architectures that are not supported.
        """
        assert config.pooling is not None
        model_class, head = ModelRegistry.resolve_pooled(config.architectures)
        if not config.pooling.is_bidirectional and config.text_config.get("is_causal") is False:
            raise ModelLoadError(
                "config.json: decoders with bidirectional attention ('is_causal': false) are not "
                "implemented yet"
            )
        transformer = model_class.from_checkpoint(config, reader, kernels)
        answer = _read_head(head, config, reader, kernels)
        return cls(transformer, config.pooling.pooling, answer)

    def __init__(self, transformer: Transformer, pooling: Pooling, answer: Answer) -> None:
        self.transformer = transformer
        self.pooling = pooling
        self.answer = answer


def _normalised(pooled: torch.Tensor) -> torch.Tensor:
    return F.normalize(pooled, dim=-1)


def _read_head(head: Head, config: ModelConfig, reader: WeightReader, kernels: Kernels) -> Answer:
    """The head of a checkpoint. Heads are small, and always computed in float32."""
    size = config.hidden_size

    def linear(name: str, num_outputs: int, *, bias: bool) -> Linear:
        weight = reader.read(TensorSpec(f"{name}.weight", (num_outputs, size)))
        added = reader.read(TensorSpec(f"{name}.bias", (num_outputs,))) if bias else None
        return Linear(kernels, weight.float(), None if added is None else added.float())

    if head == "none":
        return _normalised
    if head == "value":
        return linear("v_head", 1, bias=False)
    if head == "mlp":
        return _mlp([linear("score.0", size, bias=True), linear("score.2", 1, bias=True)], F.relu)
    count = num_labels(config.hf_config)
    scores = linear("score", count, bias=False)
    if head == "linear":
        return scores
    if count % 2:
        raise ModelLoadError(f"config.json: 'num_labels' must be even for this head, got {count}")
    sizes = {"weights.fc.0": size, "weights.fc.2": size, "weights.fc.4": count // 2}
    layers = [linear(name, outputs, bias=True) for name, outputs in sizes.items()]
    return _weighted(scores, _mlp(layers, F.selu))


def _mlp(layers: Sequence[Linear], activation: Callable[[Any], Any]) -> Answer:
    """The layers with an activation between each two."""

    def answer(x: torch.Tensor) -> torch.Tensor:
        for layer in layers[:-1]:
            x = activation(layer(x))
        return layers[-1](x)

    return answer


def _weighted(scores: Answer, weights: Answer) -> Answer:
    """One score: the means of the attributes, weighted by what the prompt is about.

    Each attribute has two outputs in ``scores``, its mean and its spread.
    """

    def answer(x: torch.Tensor) -> torch.Tensor:
        return (scores(x)[:, 0::2] * weights(x)).sum(dim=-1, keepdim=True)

    return answer
