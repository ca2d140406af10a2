"""The facts that tell one decoder family from another, normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int, rope_parameters
from sglang.srt.kernels.attention_variant import BlockSparsity
from sglang.srt.kernels.interface import Activation
from sglang.srt.layers.rotary import RopeConfig, parse_rope
from sglang.srt.layers.temperature import Temperature
from sglang.srt.models.mla_config import MLAConfig
from sglang.srt.models.moe_config import MoEConfig

Block = Literal["pre", "sandwich", "post", "parallel"]
"""Where the norms of a block are, see ``decoder_blocks``."""

QKNorm = Literal["none", "head", "each_head", "whole", "rotated"]
"""Norm of queries and keys before the rotation: an RMS norm of every head with one weight; a norm
of every head with weights of its own; one norm over all heads; or an RMS norm of every head without
weights, in the layers that are rotated."""

_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
}


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder. What a family does not mention is as in Llama."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    ropes: tuple[RopeConfig | None, ...]
    """Per layer; None: its queries and keys are not rotated."""
    windows: tuple[int, ...]
    """Per layer: how many of the last positions a query sees, itself included; 0: all."""
    attention_scale: float
    """Of the scores, before the softmax."""
    block: Block = "pre"
    norm: Literal["rms", "layer"] = "rms"
    norm_weight: bool = True
    """False: a norm has no parameters."""
    norm_bias: bool = False
    norm_offset: float = 0.0
    """What is added to the weights of the norms in the file."""
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    grouped_qkv: bool = False
    """A fused projection has the queries of each key head beside that key and its value."""
    qk_norm: QKNorm = "none"
    qkv_clip: float = 0.0
    """Bounds the magnitude of queries, keys and values, normed if they are; 0: none."""
    interleaved_rope: bool = False
    """Neighbours are rotated together instead of the halves of a head."""
    attention_softcap: float = 0.0
    chunks: tuple[int, ...] = ()
    """Per layer: a query sees its own chunk of so many positions only; 0, or no tuple: all."""
    temperatures: tuple[Temperature | None, ...] = ()
    """Per layer: how queries grow with their position; None, or no tuple: not at all."""
    slopes: tuple[float, ...] = ()
    """Per query head: how much a score falls with each position that lies between (ALiBi)."""
    sinks: bool = False
    """Each head has a learned score that takes its share of the softmax (gpt-oss)."""
    sparsities: tuple[BlockSparsity | None, ...] = ()
    """Per layer: the blocks of positions that are seen; None, or no tuple: all."""
    mla: MLAConfig | None = None
    """Latent attention; then ``num_kv_heads`` and ``head_dim`` are those of the rows kept."""
    activation: Activation = "silu"
    activation_limit: float = 0.0
    """Of the inputs of a clamped activation."""
    gated_mlp: bool = True
    moe: MoEConfig | None = None
    """Mixtures of experts in the place of some MLPs."""
    num_positions: int = 0
    """Rows of a table of learned positions, which is added to the embeddings; 0: there is none."""
    embedding_multiplier: float = 1.0
    embedding_norm: bool = False
    """The embeddings are normed before they are used."""
    residual_multiplier: float = 1.0
    """Of what attention and MLP add to the residual."""
    logit_multiplier: float = 1.0
    logit_softcap: float = 0.0
    masked_tokens: tuple[int, ...] = ()
    """Rows of the vocabulary that never come."""
    tie_embeddings: bool = False
    """The embedding table also gives the scores of the next token."""
    head_bias: bool = False
    normalized_head: bool = False
    """The rows of the matrix that gives the scores are used at length one."""


def parse_decoder(
    config: Mapping[str, Any],
    *,
    default_kv_heads: int | None = None,
    default_head_dim: int | None = None,
    default_tied: bool = False,
    default_rotary: float | None = None,
    norm_eps: tuple[str, float] = ("rms_norm_eps", 1e-6),
    windows: tuple[int, ...] | None = None,
    qkv_bias: bool = False,
    o_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: QKNorm = "none",
) -> DecoderConfig:
    """Map the keys that all families share; the rest is the family's to say.

    The defaults apply where the file is silent: ``default_kv_heads`` (else: as many as query
    heads), ``default_head_dim`` (else: hidden size / heads), ``default_rotary``, the share of a
    head that is rotated (None: the family rotates all of it), and the value beside the key of
    ``norm_eps``. ``windows`` None: full attention everywhere.
    Raises ModelLoadError naming the field that is missing, senseless or not implemented.
    """
    activation = config.get("hidden_act") or "silu"
    if activation not in _ACTIVATIONS:
        raise ModelLoadError(f"config.json: hidden_act {activation!r} is not implemented yet")
    hidden_size = positive_int(config, "hidden_size")
    num_heads = positive_int(config, "num_attention_heads")
    num_kv_heads = positive_int(config, "num_key_value_heads", default_kv_heads or num_heads)
    if num_heads % num_kv_heads:
        raise ModelLoadError(
            f"config.json: num_attention_heads {num_heads} is no multiple of "
            f"num_key_value_heads {num_kv_heads}"
        )
    if not default_head_dim:
        if config.get("head_dim") is None and hidden_size % num_heads:
            raise ModelLoadError(
                f"config.json: hidden_size {hidden_size} is no multiple of num_attention_heads "
                f"{num_heads}, and there is no head_dim"
            )
        default_head_dim = hidden_size // num_heads
    head_dim = positive_int(config, "head_dim", default_head_dim)
    num_layers = layer_count(config)
    rope = parse_rope(config, _rotary_dim(config, head_dim, default_rotary))
    return DecoderConfig(
        vocab_size=positive_int(config, "vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=positive_int(config, "intermediate_size"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        norm_eps=positive_float(config, *norm_eps),
        ropes=(rope,) * num_layers,
        windows=(0,) * num_layers if windows is None else windows,
        attention_scale=head_dim**-0.5,
        qkv_bias=qkv_bias,
        o_bias=o_bias,
        mlp_bias=mlp_bias,
        qk_norm=qk_norm,
        activation=_ACTIVATIONS[activation],
        tie_embeddings=flag(config, "tie_word_embeddings", default_tied),
    )


def _rotary_dim(config: Mapping[str, Any], head_dim: int, default: float | None) -> int:
    """How much of a head is rotated: ``partial_rotary_factor``, on its own or among the others."""
    parameters = rope_parameters(config)
    found = {"partial_rotary_factor": config.get("partial_rotary_factor")}
    if found["partial_rotary_factor"] is None:
        found["partial_rotary_factor"] = parameters.get("partial_rotary_factor")
    factor = positive_float(found, "partial_rotary_factor", 1.0 if default is None else default)
    if factor > 1 or (default is None and factor != 1):
        raise ModelLoadError(
            f"config.json: 'partial_rotary_factor' {factor} is not implemented yet for this family"
            if factor <= 1
            else f"config.json: 'partial_rotary_factor' must be at most 1, got {factor}"
        )
    return int(head_dim * factor)


def layer_count(config: Mapping[str, Any]) -> int:
    """``num_hidden_layers``, within reason."""
    return positive_int(config, "num_hidden_layers", limit=10_000)


def flag(config: Mapping[str, Any], key: str, default: bool = False) -> bool:
    """``config[key]`` as a boolean; an absent or null entry gives ``default``."""
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelLoadError(f"config.json: '{key}' must be true or false, got {value!r}")
    return value


def optional_float(config: Mapping[str, Any], key: str, default: float = 0.0) -> float:
    """``config[key]``, positive; 0 for an explicit null or zero, ``default`` if it is absent."""
    if key not in config:
        return default
    return positive_float(config, key) if config[key] else 0.0


def renamed(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """``config`` with what it has under the keys of ``names`` under the usual ones as well."""
    return {**config, **{new: config[old] for old, new in names.items() if old in config}}
