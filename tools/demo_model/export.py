"""Writes a trained network and its tokenizer as a Hugging Face model folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from .model import DemoLlama, ModelConfig
from .tokenizer import save_tokenizer

PACKAGE_FOLDER = Path(__file__).resolve().parents[2] / "src" / "sglang" / "demo_model"


def export(model: DemoLlama, tokenizer: Tokenizer, folder: Path = PACKAGE_FOLDER) -> None:
    """Write the whole folder; every file appears complete or not at all."""
    staging = folder / ".staging"
    staging.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, staging, model.config.max_position_embeddings)
    (staging / "config.json").write_text(_json(config_dict(model.config, tokenizer)))
    (staging / "generation_config.json").write_text(_json(generation_dict(tokenizer)))
    tensors = {
        name: parameter.detach().to(torch.bfloat16).contiguous()
        for name, parameter in model.named_parameters()
    }
    save_file(tensors, staging / "model.safetensors", metadata={"format": "pt"})
    for path in sorted(staging.iterdir()):
        path.chmod(0o644)
        os.replace(path, folder / path.name)
    staging.rmdir()


def rounded_state(model: DemoLlama) -> dict[str, Tensor]:
    """The weights as they are after a trip through the file: bfloat16 values, float32 type."""
    return {name: value.detach().bfloat16().float() for name, value in model.state_dict().items()}


def config_dict(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, object]:
    """``config.json``.

    The type is float32 although the file holds bfloat16: at this size float32 arithmetic costs
    nothing, and with it an answer does not depend on how requests were batched.
    """
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_position_embeddings,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "rms_norm_eps": config.rms_norm_eps,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": [_id(tokenizer, "<|im_end|>"), _id(tokenizer, "<|endoftext|>")],
        "pad_token_id": _id(tokenizer, "<|endoftext|>"),
        "torch_dtype": "float32",
        "use_cache": True,
    }


def generation_dict(tokenizer: Tokenizer) -> dict[str, object]:
    """``generation_config.json``."""
    return {
        "eos_token_id": [_id(tokenizer, "<|im_end|>"), _id(tokenizer, "<|endoftext|>")],
        "pad_token_id": _id(tokenizer, "<|endoftext|>"),
        "do_sample": False,
    }


def _id(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the tokenizer has no token {token}")
    return number


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
