"""The shapes of the models that are measured: their own configurations, with made-up weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_COMMON = {
    "hidden_act": "silu",
    "attention_bias": False,
    "torch_dtype": "bfloat16",
    "dtype": "bfloat16",
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_LLAMA = {
    **_COMMON,
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 131072,
    "vocab_size": 128256,
    "rope_theta": 500000.0,
    "num_key_value_heads": 8,
    "num_attention_heads": 32,
    "mlp_bias": False,
}

CONFIGS: dict[str, dict[str, Any]] = {
    "Llama-3.1-8B": {
        **_LLAMA,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "head_dim": 128,
        "tie_word_embeddings": False,
    },
    "Llama-3.2-1B": {
        **_LLAMA,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "Qwen3-8B": {
        **_COMMON,
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 40960,
        "vocab_size": 151936,
        "rope_theta": 1000000.0,
        "num_key_value_heads": 8,
        "num_attention_heads": 32,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "head_dim": 128,
        "tie_word_embeddings": False,
    },
    "tiny": {
        **_LLAMA,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 500,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
    },
}
"""Rotary scalings are left out: they change a table, not the work."""


def write_config(folder: Path, name: str) -> Path:
    """A folder that holds ``config.json`` of a model and nothing else."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps(CONFIGS[name]))
    return place


def matrix_operations(name: str) -> float:
    """Multiplications and additions for one prompt token in all matrices but the last one."""
    c = CONFIGS[name]
    hidden, heads = c["hidden_size"], c["num_attention_heads"] + 2 * c["num_key_value_heads"]
    qkv, o = hidden * heads * c["head_dim"], hidden * c["num_attention_heads"] * c["head_dim"]
    return 2.0 * c["num_hidden_layers"] * (qkv + o + 3 * hidden * c["intermediate_size"])
