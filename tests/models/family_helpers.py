"""Tiny random checkpoints of every dense family, and the transformers model that each equals.

What transformers does not know is saved by a family that computes the same, under the names and in
the layout of the published checkpoints; the model it was saved from stays the oracle.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sglang.srt.models.load import TORCH_DTYPES
from tests.models.model_helpers import TINY

State = dict[str, torch.Tensor]
SLIDING, FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class Case:
    """A configuration of one of transformers' families, and what its files are turned into."""

    oracle: str | Callable[[dict[str, Any]], torch.nn.Module]
    """transformers' family, as its classes begin; or a plain model for a ``config.json``."""
    config: dict[str, Any] = field(default_factory=dict)
    head: str = "ForCausalLM"
    config_class: str = ""
    """If it begins otherwise."""
    normalized_head: bool = False
    """The oracle's scores are those of rows of length one."""
    rewrite: Callable[[dict[str, Any], State], tuple[dict[str, Any], State]] | None = None


def make_family(folder: Path, case: Case, *, dtype: str = "float32") -> Any:
    """Write a random checkpoint of ``case`` to ``folder``; returns the oracle in float32."""
    import transformers
    from safetensors.torch import save_file

    options = {**TINY, "pad_token_id": None, "attn_implementation": "eager", **case.config}
    options = {key: value for key, value in options.items() if value is not ...}
    if not isinstance(case.oracle, str):
        return _make_plain(folder, case.oracle(options), options, dtype)
    config = getattr(transformers, f"{case.config_class or case.oracle}Config")(**options)
    model = getattr(transformers, f"{case.oracle}{case.head}")(config).eval()
    _randomize(model, dtype)
    with torch.no_grad():
        if case.normalized_head:
            model.lm_head.weight.copy_(torch.nn.functional.normalize(model.lm_head.weight))
    folder.mkdir(parents=True, exist_ok=True)
    model.to(TORCH_DTYPES[dtype]).save_pretrained(folder)
    model.float()
    if case.rewrite is not None:
        path = folder / "config.json"
        state = {key: value.clone() for key, value in model.state_dict().items()}
        if model.config.tie_word_embeddings:
            del state["lm_head.weight"]
        written, state = case.rewrite(json.loads(path.read_text()), state)
        path.write_text(json.dumps(written))
        save_file(
            {key: value.to(TORCH_DTYPES[dtype]).contiguous() for key, value in state.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
    return model


def _make_plain(folder: Path, model: torch.nn.Module, config: dict[str, Any], dtype: str) -> Any:
    """Write a model of ``plain_models``, whose parameters have the published names."""
    from safetensors.torch import save_file

    _randomize(model, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, "dtype": dtype}))
    state = {key: value.to(TORCH_DTYPES[dtype]) for key, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return model


def _randomize(model: torch.nn.Module, dtype: str) -> None:
    """Weights that make the most likely token stand out, as ``dtype`` would hold them."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        corrections = (pair for pair in model.named_buffers() if "correction_bias" in pair[0])
        for key, parameter in [*model.named_parameters(), *corrections]:
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() >= 2 and "norm" not in key.split(".")[-2]:
                scale = 1.0 if "embed" in key else 1.6 * parameter.shape[-1] ** -0.5
                parameter.copy_(noise * scale)
            else:
                parameter.copy_(noise * 0.2 + (0.0 if key.endswith("bias") else 1.0))
            parameter.copy_(parameter.to(TORCH_DTYPES[dtype]))


def _rename(state: State, names: dict[str, str]) -> State:
    """Every part of a name that is a key of ``names`` becomes its value, in their order."""
    result = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = tensor
    return result


def _fuse(state: State, parts: tuple[str, ...], into: str) -> State:
    """Weights and biases called ``parts`` one below the other, as ``into``."""
    result = dict(state)
    for name in state:
        if parts[0] in name:
            found = [result.pop(name.replace(parts[0], part)) for part in parts]
            result[name.replace(parts[0], into)] = torch.cat(found)
    return result


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_H = {"model.layers.": "transformer.h.", "model.embed_tokens": "transformer.wte"}
_H |= {"model.norm": "transformer.ln_f"}
_H |= {"input_layernorm": "ln_1", "post_attention_layernorm": "ln_2"}


def _qwen(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    state = _fuse(state, _QKV, "attn.c_attn")
    names = {"self_attn.o_proj": "attn.c_proj", "mlp.gate_proj": "mlp.w2", "mlp.up_proj": "mlp.w1"}
    written = {
        "architectures": ["QWenLMHeadModel"],
        "model_type": "qwen",
        "kv_channels": config["head_dim"],
        "intermediate_size": 2 * config["intermediate_size"],
        "layer_norm_epsilon": config["rms_norm_eps"],
        "rotary_emb_base": 5000,
        "rotary_pct": 1.0,
        "no_bias": True,
        "use_dynamic_ntk": True,
        "use_logn_attn": True,
        "seq_length": 256,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    kept = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    written |= {key: config[key] for key in kept}
    return written, _rename(state, {**names, "mlp.down_proj": "mlp.c_proj", **_H})


def _internlm2(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    heads, kv_heads, dim = (
        config[key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim")
    )
    result = dict(state)
    for name in state:
        if _QKV[0] not in name:
            continue
        q, k, v = (result.pop(name.replace(_QKV[0], part)) for part in _QKV)
        group = heads // kv_heads
        rows = []
        for kv in range(kv_heads):  # its queries, then the key, then the value
            rows += [q[kv * group * dim : (kv + 1) * group * dim]]
            rows += [k[kv * dim : (kv + 1) * dim], v[kv * dim : (kv + 1) * dim]]
        result[name.replace(_QKV[0], "attention.wqkv")] = torch.cat(rows)
    config |= {"architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2"}
    config |= {"bias": config.pop("attention_bias")}
    names = {
        "embed_tokens": "tok_embeddings",
        "lm_head": "output",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.o_proj": "attention.wo",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.up_proj": "feed_forward.w3",
        "mlp.down_proj": "feed_forward.w2",
    }
    return config, _rename(result, names)


def _exaone(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    renamed = {
        "num_layers": config.pop("num_hidden_layers"),
        "layer_norm_epsilon": config.pop("rms_norm_eps"),
        "activation_function": config.pop("hidden_act"),
        "architectures": ["ExaoneForCausalLM"],
        "model_type": "exaone",
    }
    names = {
        "self_attn.o_proj": "attn.attention.out_proj",
        "self_attn": "attn.attention",
        "mlp.gate_proj": "mlp.c_fc_0",
        "mlp.up_proj": "mlp.c_fc_1",
        "mlp.down_proj": "mlp.c_proj",
    }
    return {**config, **renamed}, _rename(state, {**names, **_H})


def _baichuan(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    """The oracle's head has rows of length one; the file has them at any length."""
    lengths = torch.rand(config["vocab_size"], 1, generator=torch.Generator().manual_seed(1)) + 0.5
    state["lm_head.weight"].mul_(lengths)
    config |= {"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan"}
    return config, _fuse(state, _QKV, "self_attn.W_pack")


def _chatglm(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    written = {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "num_layers": config["num_hidden_layers"],
        "padded_vocab_size": config["vocab_size"],
        "ffn_hidden_size": config["intermediate_size"],
        "kv_channels": config["head_dim"],
        "layernorm_epsilon": config["rms_norm_eps"],
        "multi_query_attention": True,
        "multi_query_group_num": config["num_key_value_heads"],
        "add_qkv_bias": True,
        "add_bias_linear": False,
        "rope_ratio": 0.5,
        "seq_length": 256,
        "rmsnorm": True,
        "hidden_size": config["hidden_size"],
        "num_attention_heads": config["num_attention_heads"],
    }
    names = {
        "model.layers.": "transformer.encoder.layers.",
        "model.embed_tokens": "transformer.embedding.word_embeddings",
        "model.norm": "transformer.encoder.final_layernorm",
        "lm_head": "transformer.output_layer",
        "self_attn.o_proj": "self_attention.dense",
        "mlp.gate_up_proj": "mlp.dense_h_to_4h",
        "mlp.down_proj": "mlp.dense_4h_to_h",
    }
    return written, _rename(_fuse(state, _QKV, "self_attention.query_key_value"), names)


def _xverse(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    return {**config, "architectures": ["XverseForCausalLM"], "model_type": "xverse"}, state


def _minicpm(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    """With 3 layers and a width of 64, of Granite's multipliers 12, 1.4 / sqrt(3) and 64 / 16."""
    for key in [key for key in config if "multiplier" in key or key == "logits_scaling"]:
        del config[key]
    config |= {"architectures": ["MiniCPMForCausalLM"], "model_type": "minicpm"}
    return {**config, "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 16}, state


def _without_prefix(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    return config, _rename(state, {"transformer.": ""})


def _old_gemma3(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    """The keys of transformers 4."""
    by_type = config.pop("rope_parameters")
    config["rope_theta"] = by_type["full_attention"].pop("rope_theta")
    config["rope_scaling"] = by_type["full_attention"]
    config["rope_local_base_freq"] = by_type["sliding_attention"]["rope_theta"]
    del config["layer_types"]
    return {**config, "sliding_window_pattern": 3}, state


OWN_KEYS = ("vocab_size", "eos_token_id", "bos_token_id")
_GPT2 = {
    **{key: ... for key in TINY if key not in OWN_KEYS},
    **{"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 256, "n_inner": 88},
}
_GEMMA3_ROPES = {
    FULL: {"rope_type": "linear", "factor": 4.0, "rope_theta": 50_000.0},
    SLIDING: {"rope_type": "default", "rope_theta": 500.0},
}
_MULTIPLIERS = {
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.1,
    "logits_scaling": 8.0,
}

CASES: dict[str, Case] = {
    "phi3": Case("Phi3", {"head_dim": ..., "hidden_size": 64, "sliding_window": None}),
    "phi3-window": Case("Phi3", {"head_dim": ..., "hidden_size": 64, "sliding_window": 7}),
    "phi4-mini": Case(
        "Phi3",
        {
            "head_dim": ...,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "partial_rotary_factor": 0.75,
            "tie_word_embeddings": True,
        },
    ),
    "gemma": Case("Gemma", {"head_dim": 24}),
    "gemma2": Case(
        "Gemma2", {"sliding_window": 9, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 5.0}
    ),
    "gemma3": Case(
        "Gemma3",
        {
            "sliding_window": 6,
            "layer_types": [SLIDING, SLIDING, FULL],
            "rope_parameters": _GEMMA3_ROPES,
            "query_pre_attn_scalar": 24,
        },
        config_class="Gemma3Text",
    ),
    "gemma3-old-style": Case(
        "Gemma3",
        {
            "sliding_window": 6,
            "layer_types": [SLIDING, SLIDING, FULL],
            "rope_parameters": _GEMMA3_ROPES,
            "query_pre_attn_scalar": 24,
        },
        config_class="Gemma3Text",
        rewrite=_old_gemma3,
    ),
    "olmo": Case("Olmo", {"head_dim": ..., "hidden_size": 64, "clip_qkv": 0.7}),
    "olmo-unbounded": Case(
        "Olmo", {"head_dim": ..., "hidden_size": 64, "tie_word_embeddings": True}
    ),
    "olmo2": Case("Olmo2", {"head_dim": ..., "hidden_size": 64}),
    "stablelm": Case(
        "StableLm", {"head_dim": ..., "hidden_size": 64, "partial_rotary_factor": 0.5}
    ),
    "stablelm-12b": Case(
        "StableLm",
        {
            "head_dim": ...,
            "hidden_size": 64,
            "use_parallel_residual": True,
            "qk_layernorm": True,
            "use_qkv_bias": True,
        },
    ),
    "cohere": Case("Cohere", {"head_dim": ..., "hidden_size": 64, "logit_scale": 0.3}),
    "cohere-plus": Case(
        "Cohere",
        {"head_dim": ..., "hidden_size": 64, "use_qk_norm": True, "logit_scale": 0.5},
    ),
    "cohere2": Case(
        "Cohere2",
        {
            "head_dim": ...,
            "hidden_size": 64,
            "sliding_window": 8,
            "layer_types": [SLIDING, FULL, SLIDING],
        },
    ),
    "granite": Case("Granite", {"head_dim": ..., "hidden_size": 64, **_MULTIPLIERS}),
    "granite-biased": Case(
        "Granite",
        {
            "head_dim": ...,
            "hidden_size": 64,
            "attention_bias": True,
            "attention_multiplier": 0.2,
            "tie_word_embeddings": True,
        },
    ),
    "glm": Case("Glm"),
    "chatglm": Case("Glm", {"rope_parameters": {"rope_theta": 5000.0}}, rewrite=_chatglm),
    "glm4": Case("Glm4", {"attention_bias": True}),
    "gpt2": Case("GPT2", _GPT2, head="LMHeadModel"),
    "gpt2-without-prefix": Case("GPT2", _GPT2, head="LMHeadModel", rewrite=_without_prefix),
    "gpt-bigcode": Case("GPTBigCode", _GPT2),
    "gpt-bigcode-many-heads": Case(
        "GPTBigCode", {**_GPT2, "multi_query": False, "activation_function": "gelu"}
    ),
    "qwen": Case(
        "Qwen2",
        {"num_key_value_heads": 4, "rope_parameters": {"rope_theta": 5000.0}},
        rewrite=_qwen,
    ),
    "smollm3": Case(
        "SmolLM3",
        {
            "no_rope_layers": [1, 0, 1],
            "use_sliding_window": True,
            "sliding_window": 9,
            "tie_word_embeddings": False,
        },
    ),
    "smollm3-defaults": Case("SmolLM3", {"num_hidden_layers": 4}),
    "internlm2": Case("Llama", rewrite=_internlm2),
    "exaone": Case("Llama", rewrite=_exaone),
    "baichuan2": Case("Llama", {"num_key_value_heads": 4}, normalized_head=True, rewrite=_baichuan),
    "xverse": Case("Llama", {"num_key_value_heads": 4}, rewrite=_xverse),
    "minicpm": Case(
        "Granite",
        {
            "head_dim": ...,
            "hidden_size": 64,
            "tie_word_embeddings": True,
            "embedding_multiplier": 12.0,
            "residual_multiplier": 1.4 / 3**0.5,
            "attention_multiplier": 0.25,
            "logits_scaling": 4.0,
        },
        rewrite=_minicpm,
    ),
}
