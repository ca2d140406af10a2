"""StableLM: 3B, Zephyr, 2 1.6B and 2 12B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import Block, DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames


class StableLmForCausalLM(Decoder):
    """Llama with layer norms and a partial rotation; in 12B attention and MLP are parallel."""

    names = DecoderNames(
        q_norm="self_attn.q_layernorm.norms.{}", k_norm="self_attn.k_layernorm.norms.{}"
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``qk_layernorm`` gives each head a layer norm of its own."""
        facts = parse_decoder(
            config,
            default_kv_heads=32,
            default_rotary=0.25,
            norm_eps=("layer_norm_eps", 1e-5),
            qkv_bias=flag(config, "use_qkv_bias"),
            qk_norm="each_head" if flag(config, "qk_layernorm") else "none",
        )
        block: Block = "parallel" if flag(config, "use_parallel_residual") else "pre"
        return replace(facts, norm="layer", norm_bias=True, block=block)


class StableLMEpochForCausalLM(StableLmForCausalLM):
    """The same under the name of its first checkpoints."""
