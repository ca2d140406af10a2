"""Baichuan and Baichuan 2, of 7B and 13B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.kernels.attention_variant import alibi_slopes
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames

_WIDTH_OF_7B, _WIDTH_OF_13B = 4096, 5120
_VOCABULARY_OF_BAICHUAN_1 = 64_000


class BaichuanForCausalLM(Decoder):
    """Llama with a fused projection; in 13B ALiBi; in Baichuan 2 a head of rows of length one."""

    names = DecoderNames(qkv="self_attn.W_pack")

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """No key says which one it is: 13B is known by its width, Baichuan 2 by its vocabulary.

        Of other widths those have ALiBi whose files, like those of 13B, say how long a sequence
        may be (``model_max_length``) but not how many positions there are.
        """
        facts = parse_decoder(config)
        if _has_alibi(config, facts.hidden_size):
            slopes = tuple(alibi_slopes(facts.num_heads).tolist())
            facts = replace(facts, ropes=(None,) * facts.num_layers, slopes=slopes)
        return replace(facts, normalized_head=facts.vocab_size != _VOCABULARY_OF_BAICHUAN_1)


class BaiChuanForCausalLM(BaichuanForCausalLM):
    """Baichuan 7B, the first one."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """As in Llama."""
        return parse_decoder(config)


def _has_alibi(config: Mapping[str, Any], width: int) -> bool:
    if width in (_WIDTH_OF_7B, _WIDTH_OF_13B):
        return width == _WIDTH_OF_13B
    return config.get("max_position_embeddings") is None
