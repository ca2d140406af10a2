"""EXAONE 3 and 3.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, parse_decoder, renamed
from sglang.srt.models.decoder_weights import DecoderNames


class ExaoneForCausalLM(Decoder):
    """Llama under other names."""

    names = DecoderNames(
        prefix="transformer.",
        embedding="transformer.wte.weight",
        final_norm="transformer.ln_f",
        layer="transformer.h.{}.",
        input_norm="ln_1",
        q="attn.attention.q_proj",
        k="attn.attention.k_proj",
        v="attn.attention.v_proj",
        o="attn.attention.out_proj",
        mlp_norm="ln_2",
        gate="mlp.c_fc_0",
        up="mlp.c_fc_1",
        down="mlp.c_proj",
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """As in Llama."""
        names = {"num_layers": "num_hidden_layers", "activation_function": "hidden_act"}
        return parse_decoder(renamed(config, names), norm_eps=("layer_norm_epsilon", 1e-5))
