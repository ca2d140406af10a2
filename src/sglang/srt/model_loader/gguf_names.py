"""The names that GGUF files give to tensors, and what was done to them when they were written.

Names: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Models know their tensors
by the names of Hugging Face checkpoints; here is what those are called in a GGUF file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.{}.gate_proj",
    "ffn_up_exps": "mlp.experts.{}.up_proj",
    "ffn_down_exps": "mlp.experts.{}.down_proj",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}

_SANDWICH = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}

_MIXTRAL = {
    "ffn_gate_inp": "block_sparse_moe.gate",
    "ffn_gate_exps": "block_sparse_moe.experts.{}.w1",
    "ffn_up_exps": "block_sparse_moe.experts.{}.w3",
    "ffn_down_exps": "block_sparse_moe.experts.{}.w2",
}

_SPECIAL = {
    "gemma2": _SANDWICH,
    "gemma3": _SANDWICH,
    "llama": _MIXTRAL,
    "olmo2": _SANDWICH,
    "phi3": {"ffn_up": "mlp.gate_up_proj"},
}
"""By architecture, what differs from the usual."""

_NORMS_PLUS_ONE = ("gemma", "gemma2", "gemma3")
"""Their norms are stored with the 1 added that checkpoints leave away."""

_REORDERED = ("granite", "llama")
"""The rows of queries and keys are stored such that pairs that are rotated together are neighbours;
checkpoints have first all first, then all second ones of a head."""

_UNUSED = re.compile(r"rope_(freqs|factors_short|factors_long)\.weight")
"""They became part of the configuration."""


class Source(NamedTuple):
    """Where a tensor of a checkpoint is in the file."""

    tensor: str
    expert: int | None = None
    """Of a tensor that holds the matrices of all experts: the one that is meant."""
    plus_one: bool = False
    """1 was added to its values."""
    heads: str | None = None
    """Its rows were reordered within each head; the key of the number of heads."""


def sources(
    architecture: str, tensors: Iterable[str], num_experts: int
) -> tuple[dict[str, Source], set[str]]:
    """Checkpoint name -> where it is; and the tensors that have no name there.

    ``num_experts`` is what tensors of experts begin with.
    """
    layer_names = {**_LAYER, **_SPECIAL.get(architecture, {})}
    found: dict[str, Source] = {}
    unknown: set[str] = set()
    for tensor in tensors:
        name = _checkpoint_name(tensor, layer_names)
        if name is None:
            if not _UNUSED.fullmatch(tensor):
                unknown.add(tensor)
        elif "{}" in name:
            for expert in range(num_experts):
                found[name.format(expert)] = Source(tensor, expert)
        else:
            found[name] = _source(architecture, tensor)
    return found, unknown


def _checkpoint_name(tensor: str, layer_names: dict[str, str]) -> str | None:
    if tensor in _OUTSIDE:
        return _OUTSIDE[tensor]
    match = re.fullmatch(r"blk\.(\d{1,5})\.(\w+)\.(weight|bias)", tensor)
    if match is None or match[2] not in layer_names:
        return None
    return f"model.layers.{int(match[1])}.{layer_names[match[2]]}.{match[3]}"


def _source(architecture: str, tensor: str) -> Source:
    is_norm = tensor.endswith("norm.weight")
    heads = None
    if architecture in _REORDERED:
        part = tensor.split(".")[-2]
        heads = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}.get(part)
    return Source(tensor, None, is_norm and architecture in _NORMS_PLUS_ONE, heads)
