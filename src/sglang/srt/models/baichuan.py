"""Baichuan 7B and Baichuan 2 7B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames

_WIDTH_OF_13B = 5120
_VOCABULARY_OF_BAICHUAN_1 = 64_000


class BaichuanForCausalLM(Decoder):
    """Llama with a fused projection; in Baichuan 2 the rows of the head have length one."""

    names = DecoderNames(qkv="self_attn.W_pack")

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """No key says which one it is: 13B is known by its width, Baichuan 2 by its vocabulary."""
        facts = parse_decoder(config)
        if facts.hidden_size == _WIDTH_OF_13B:
            raise ModelLoadError(
                f"config.json: hidden_size {_WIDTH_OF_13B} is that of Baichuan 13B, whose ALiBi "
                "attention is not implemented yet"
            )
        return replace(facts, normalized_head=facts.vocab_size != _VOCABULARY_OF_BAICHUAN_1)


class BaiChuanForCausalLM(BaichuanForCausalLM):
    """Baichuan 7B, the first one."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """As in Llama."""
        return parse_decoder(config)
