"""XVERSE 7B, 13B and 65B."""

from __future__ import annotations

from sglang.srt.models.llama import LlamaForCausalLM


class XverseForCausalLM(LlamaForCausalLM):
    """Llama in every respect."""
