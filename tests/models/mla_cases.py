"""Checkpoints of the families with latent attention."""

from __future__ import annotations

from typing import Any

from tests.models.family_helpers import Case, State

ATTENTION = {
    "head_dim": ...,
    "hidden_size": 64,
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 40,
    "qk_nope_head_dim": 20,
    "qk_rope_head_dim": 16,
    "v_head_dim": 12,
}
_EXPERTS = {
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_shared_experts": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.7,
}
_GROUPS = {"n_group": 4, "topk_group": 2}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "beta_fast": 8,
    "beta_slow": 1,
    "mscale": 0.7,
    "mscale_all_dim": 1.3,
}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 500.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
    "long_factor": [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0],
    "original_max_position_embeddings": 32,
}


def _published(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    """One tensor per expert and matrix, the keys of transformers 4, and a layer too many."""
    written = {key: value for key, value in config.items() if key != "rope_parameters"}
    rope = dict(config["rope_parameters"])
    written["rope_theta"] = rope.pop("rope_theta")
    written["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    result: State = {}
    for name, tensor in state.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            result[name] = tensor
            continue
        for expert, matrix in enumerate(tensor):
            prefix, _, part = name.rpartition(".")
            parts = [matrix] if part == "down_proj" else matrix.chunk(2)
            names = ["down_proj"] if part == "down_proj" else ["gate_proj", "up_proj"]
            for one, values in zip(names, parts, strict=True):
                result[f"{prefix}.{expert}.{one}.weight"] = values
    extra = f"model.layers.{config['num_hidden_layers']}.eh_proj.weight"
    result[extra] = state["model.norm.weight"].clone()
    return {**written, "num_nextn_predict_layers": 1}, result


MLA_CASES: dict[str, Case] = {
    "minicpm3": Case(
        "MiniCPM3",
        {
            **ATTENTION,
            "scale_emb": 12,
            "scale_depth": 1.4,
            "dim_model_base": 16,
            "rope_parameters": _LONGROPE,
        },
    ),
    "minicpm3-plain": Case(
        "MiniCPM3",
        {**ATTENTION, "q_lora_rank": None, "v_head_dim": ..., "tie_word_embeddings": False},
    ),
    "deepseek-v2-lite": Case(
        "DeepseekV2",
        {**ATTENTION, **_EXPERTS, "q_lora_rank": None, "rope_parameters": _YARN},
    ),
    "deepseek-v2": Case(
        "DeepseekV2",
        {
            **ATTENTION,
            **_EXPERTS,
            **_GROUPS,
            "topk_method": "group_limited_greedy",
            "attention_bias": True,
        },
    ),
    "deepseek-v3": Case(
        "DeepseekV3",
        {**ATTENTION, **_EXPERTS, **_GROUPS, "rope_parameters": _YARN},
        rewrite=_published,
    ),
    "glm4-moe-lite": Case(
        "Glm4MoeLite",
        {**ATTENTION, **_EXPERTS, "mlp_layer_types": ["dense", "sparse", "dense"]},
    ),
    "youtu": Case("Youtu", {**ATTENTION, "tie_word_embeddings": True, "rope_parameters": _YARN}),
    "deepseek-v3-halves": Case(
        "DeepseekV3",
        {
            **ATTENTION,
            **_EXPERTS,
            "n_group": 1,
            "topk_group": 1,
            "rope_interleave": False,
            "norm_topk_prob": False,
        },
    ),
}
