"""GPT-2, and GPT-BigCode: SantaCoder and StarCoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder, renamed
from sglang.srt.models.decoder_weights import DecoderNames

_NAMES = DecoderNames(
    prefix="transformer.",
    embedding="transformer.wte.weight",
    positions="transformer.wpe.weight",
    final_norm="transformer.ln_f",
    layer="transformer.h.{}.",
    input_norm="ln_1",
    qkv="attn.c_attn",
    o="attn.c_proj",
    mlp_norm="ln_2",
    up="mlp.c_fc",
    down="mlp.c_proj",
)


class GPT2LMHeadModel(Decoder):
    """Learned positions, layer norms, biases, a plain MLP; matrices are stored transposed."""

    names = replace(_NAMES, transposed=True)

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Other ways to scale the scores than by the head's size are refused."""
        if flag(config, "scale_attn_by_inverse_layer_idx"):
            raise ModelLoadError(
                "config.json: 'scale_attn_by_inverse_layer_idx' is not implemented yet"
            )
        return _parse_gpt2(config, num_kv_heads=None, default_act="gelu_new")


class GPTBigCodeForCausalLM(Decoder):
    """GPT-2 with one key head for all queries, and matrices as everywhere else."""

    names = _NAMES

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``multi_query`` false: as many key heads, each stored beside its query and value."""
        shared = flag(config, "multi_query", default=True)
        facts = _parse_gpt2(
            config, num_kv_heads=1 if shared else None, default_act="gelu_pytorch_tanh"
        )
        return replace(facts, grouped_qkv=not shared)


def _parse_gpt2(
    config: Mapping[str, Any], *, num_kv_heads: int | None, default_act: str
) -> DecoderConfig:
    """``n_inner`` is four times the width where the file does not say."""
    if not flag(config, "scale_attn_weights", default=True):
        raise ModelLoadError("config.json: 'scale_attn_weights': false is not implemented yet")
    if flag(config, "add_cross_attention"):
        raise ModelLoadError("config.json: 'add_cross_attention' is not implemented yet")
    names = {
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
    }
    usual = renamed(config, names)
    usual["intermediate_size"] = config.get("n_inner") or 4 * positive_int(usual, "hidden_size")
    usual["num_key_value_heads"] = num_kv_heads
    usual["hidden_act"] = config.get("activation_function", default_act)
    facts = parse_decoder(
        usual,
        default_tied=True,
        norm_eps=("layer_norm_epsilon", 1e-5),
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
    )
    if facts.activation == "silu":
        raise ModelLoadError(
            f"config.json: activation_function {usual['hidden_act']!r} is not implemented yet"
        )
    return replace(
        facts,
        norm="layer",
        norm_bias=True,
        gated_mlp=False,
        ropes=(None,) * facts.num_layers,
        num_positions=positive_int(config, "n_positions", 1024),
    )
