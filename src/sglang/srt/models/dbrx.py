"""DBRX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, optional_float, parse_decoder, renamed
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames


class DbrxForCausalLM(Decoder):
    """Layer norms without biases, bounded queries, keys and values, experts in every layer."""

    names = DecoderNames(
        prefix="transformer.",
        embedding="transformer.wte.weight",
        final_norm="transformer.norm_f",
        layer="transformer.blocks.{}.",
        input_norm="norm_attn_norm.norm_1",
        qkv="norm_attn_norm.attn.Wqkv",
        o="norm_attn_norm.attn.out_proj",
        mlp_norm="norm_attn_norm.norm_2",
        moe=(
            MoENames(
                router="ffn.router.layer",
                gate="ffn.experts.mlp.w1",
                up="ffn.experts.mlp.v1",
                down="ffn.experts.mlp.w2",
            ),
        ),
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``attn_config`` and ``ffn_config`` hold what concerns attention and experts."""
        attention, experts = _part(config, "attn_config"), _part(config, "ffn_config")
        names = {
            "d_model": "hidden_size",
            "n_layers": "num_hidden_layers",
            "n_heads": "num_attention_heads",
            "max_seq_len": "max_position_embeddings",
        }
        usual = renamed(config, names)
        usual["num_key_value_heads"] = attention.get("kv_n_heads", 1)
        usual["rope_theta"] = attention.get("rope_theta", config.get("rope_theta"))
        usual["intermediate_size"] = experts.get("ffn_hidden_size", 3584)
        usual["hidden_act"] = _part(experts, "ffn_act_fn").get("name", "silu")
        facts = parse_decoder(usual, norm_eps=("layer_norm_eps", 1e-5))
        power = experts.get("moe_normalize_expert_weights", 1)
        if power not in (1, None):
            raise ModelLoadError(
                "config.json: 'moe_normalize_expert_weights' other than 1 is not implemented yet, "
                f"got {power!r}"
            )
        return replace(
            facts,
            norm="layer",
            qkv_clip=optional_float(attention, "clip_qkv"),
            moe=MoEConfig(
                num_experts=expert_count(experts, "moe_num_experts"),
                intermediate_size=facts.intermediate_size,
                routing=Routing(expert_count(experts, "moe_top_k"), renormalize=power == 1),
                layers=frozenset(range(facts.num_layers)),
            ),
        )


def _part(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = config.get(key) or {}
    if not isinstance(part, dict):
        raise ModelLoadError(f"config.json: '{key}' must be an object, got {part!r}")
    return part
