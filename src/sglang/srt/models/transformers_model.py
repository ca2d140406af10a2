"""Any causal language model of transformers, with our KV pool, attention and matrix products.

For architectures that have no page here. The module is transformers' own; of the tokens of a batch
it sees one row [1, T], whose positions tell what belongs where, and its attention is ours.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.kernels.interface import Kernels
from sglang.srt.layers.quantization import quantization_named
from sglang.srt.model_loader.weights import WeightReader
from sglang.srt.models.transformers_attention import (
    ATTENTION,
    PAGED,
    Attend,
    LayerShape,
    PagedAttend,
    ShapeNotes,
    register_attention,
)
from sglang.srt.models.transformers_class import transformers_class
from sglang.srt.models.transformers_weights import load_module, use_kernels

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import ForwardBatch

logger = logging.getLogger(__name__)


class TransformersModel:
    """Implements ``interface.CausalLM``."""

    supports_quantization: ClassVar[bool] = True

    @classmethod
    def from_checkpoint(
        cls, config: ModelConfig, reader: WeightReader, kernels: Kernels
    ) -> TransformersModel:
        """Load the module that transformers has for ``config``.

        Raises ModelLoadError that says what of it cannot be served.
        """
        register_attention()
        model_class, hf_config = transformers_class(config)
        logger.log(
            logging.INFO if config.model_impl == "transformers" else logging.WARNING,
            "%s runs through transformers' own module, with our attention and batching: slower "
            "than a model of sglang's own, most of all for few requests at a time",
            model_class.__name__,
        )
        module = load_module(model_class, hf_config, reader)
        use_kernels(module, kernels, quantization_named(config.quantization))
        try:
            return cls(module, config, kernels)
        except ModelLoadError as error:
            name = model_class.__name__
            raise ModelLoadError(f"{name} cannot run through transformers: {error}") from error

    def __init__(self, module: Any, config: ModelConfig, kernels: Kernels) -> None:
        """``module`` is one for causal language models, whose attention is ATTENTION."""
        self._module = module
        self._body: nn.Module = getattr(module, module.base_model_prefix)
        self._head = _head_alone(module)
        self._kernels = kernels
        device = next(module.parameters()).device
        self._no_rotation = torch.empty(config.context_length, 0, device=device)
        layers = self._attention_layers(config.context_length, device)
        shape = _one_shape(layers)
        _check_windows(module.config, list(layers.values()))
        self._places = {layer: place for place, layer in enumerate(layers)}
        self.num_layers = len(layers)
        self.num_kv_heads = shape.num_kv_heads
        self.head_dim = shape.head_dim
        self.vocab_size: int = module.get_input_embeddings().weight.shape[0]

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        """Hidden states [R, H] of ``batch.logits_rows`` after the final norm.

        Writes K and V of all T tokens to the batch's pool.
        """
        attend = PagedAttend(batch, self._kernels, self._places, self._no_rotation)
        hidden = self._run(batch.input_ids, batch.positions.long(), attend)
        return self._kernels.gather_rows(hidden, batch.logits_rows)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores [R, V] float32 of the next token for hidden states [R, H]."""
        output = self._head(inputs_embeds=hidden.unsqueeze(0), use_cache=False, return_dict=True)
        scores: torch.Tensor = output.logits[0].float()
        return scores

    def plain_forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Hidden states [T, H] of one sequence [T], all by transformers' own attention."""
        self._module.set_attn_implementation("eager")
        try:
            return self._run(input_ids, torch.arange(len(input_ids), device=input_ids.device), None)
        finally:
            self._module.set_attn_implementation(ATTENTION)

    def _run(
        self, input_ids: torch.Tensor, positions: torch.Tensor, attend: Attend | None
    ) -> torch.Tensor:
        """[T], [T] -> [T, H]."""
        options = {} if attend is None else {PAGED: attend}
        output = self._body(
            input_ids=input_ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            return_dict=True,
            **options,
        )
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden

    @torch.inference_mode()
    def _attention_layers(
        self, context_length: int, device: torch.device
    ) -> dict[nn.Module, LayerShape]:
        """The layers that ask for attention, in their order, found by asking for one token."""
        notes = ShapeNotes()
        last = torch.tensor([context_length - 1], device=device)
        try:
            self._run(torch.zeros(1, dtype=torch.int64, device=device), last, notes)
        except IndexError:
            raise ModelLoadError(
                f"context_length {context_length} is above the positions that it learned"
            ) from None
        except (RuntimeError, TypeError, AttributeError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelLoadError(f"its module fails: {type(error).__name__}: {reason}") from error
        return notes.layers


def _one_shape(layers: dict[nn.Module, LayerShape]) -> LayerShape:
    """What all layers keep of a token."""
    shapes = list(layers.values())
    if not shapes:
        raise ModelLoadError("no layer of it asks for attention")
    for shape in shapes:
        if (shape.num_kv_heads, shape.head_dim) != (shapes[0].num_kv_heads, shapes[0].head_dim):
            raise ModelLoadError(
                f"its layers differ in their heads ({shapes[0].num_kv_heads} of "
                f"{shapes[0].head_dim}, {shape.num_kv_heads} of {shape.head_dim}), which is not "
                "implemented yet"
            )
    return shapes[0]


def _check_windows(hf_config: Any, shapes: list[LayerShape]) -> None:
    """Whether as many layers look through a window as the configuration says."""
    window = getattr(hf_config, "sliding_window", None)
    kinds = getattr(hf_config, "layer_types", None) or ["sliding_attention"] * len(shapes)
    wanted = kinds.count("sliding_attention") if window else 0
    found = sum(shape.window > 0 for shape in shapes)
    if found < wanted:
        raise ModelLoadError(
            f"{wanted} of its layers have a sliding window of {window} tokens, and {found} tell "
            "their attention so"
        )


@dataclass(frozen=True)
class _BodyOutput:
    """What a head reads of its body's result; all the rest of it is absent."""

    last_hidden_state: torch.Tensor

    def __getitem__(self, place: int) -> torch.Tensor | None:
        return self.last_hidden_state if place == 0 else None

    def __getattr__(self, name: str) -> None:
        return None


class _GivenHiddenStates(nn.Module):
    """Stands where the body of a model was: what goes in as embeddings comes out as its result."""

    @property
    def decoder(self) -> _GivenHiddenStates:
        """For heads that call the decoder in the body."""
        return self

    def forward(self, *no_ids: None, inputs_embeds: torch.Tensor, **options: Any) -> _BodyOutput:
        return _BodyOutput(inputs_embeds)


def _head_alone(module: Any) -> Any:
    """``module`` without its body: scores with all that the family does to them."""
    head = copy.copy(module)
    head._modules = {**module._modules, module.base_model_prefix: _GivenHiddenStates()}
    return head
