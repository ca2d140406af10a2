"""The families with mixtures of experts, for ``test_family_oracle``."""

from __future__ import annotations

from typing import Any

from tests.models.family_helpers import Case, State
from tests.models.plain_moe import DeepSeek1, XverseMoE


def _as_it_is(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    """The names that transformers 5 has in memory, where experts are one tensor."""
    assert any(name.endswith("experts.gate_up_proj") for name in state)
    return config, state


_PLAIN = {"hidden_size": 64, "head_dim": ..., "rms_norm_eps": 1e-6}
_MIXTRAL = {"num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size": 40}
_QWEN2 = {
    "hidden_size": 64,
    "head_dim": ...,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 40,
}
_WINDOW = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 2}
_QWEN3 = {"num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 24}
_GRANITE = {
    **{"hidden_size": 64, "head_dim": ..., "intermediate_size": 24},
    **{"num_local_experts": 6, "num_experts_per_tok": 3},
    **{"embedding_multiplier": 12.0, "residual_multiplier": 0.22},
    **{"attention_multiplier": 0.1, "logits_scaling": 8.0},
}
_PHI = {
    **{"hidden_size": 64, "head_dim": ..., "num_local_experts": 6, "num_experts_per_tok": 2},
    **{"attention_bias": True, "lm_head_bias": True, "intermediate_size": 40},
}
_GLM = {
    **{"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 24},
    **{"n_shared_experts": 2, "routed_scaling_factor": 1.5, "attention_bias": True},
}

MOE_CASES: dict[str, Case] = {
    "mixtral": Case("Mixtral", _MIXTRAL),
    "mixtral-fused": Case("Mixtral", {**_MIXTRAL, "sliding_window": 9}, rewrite=_as_it_is),
    "qwen2-moe": Case("Qwen2Moe", {**_QWEN2, **_WINDOW, "mlp_only_layers": [1]}),
    "qwen2-moe-fused": Case(
        "Qwen2Moe",
        {**_QWEN2, "decoder_sparse_step": 2, "norm_topk_prob": True},
        rewrite=_as_it_is,
    ),
    "qwen3-moe": Case("Qwen3Moe", {**_QWEN3, **_WINDOW, "norm_topk_prob": True}),
    "qwen3-moe-fused": Case("Qwen3Moe", {**_QWEN3, "mlp_only_layers": [0]}, rewrite=_as_it_is),
    "olmoe": Case(
        "Olmoe",
        {
            **{"hidden_size": 64, "head_dim": ..., "intermediate_size": 24, "clip_qkv": 1.5},
            **{"num_experts": 6, "num_experts_per_tok": 3},
        },
    ),
    "granite-moe": Case("GraniteMoe", _GRANITE),
    "granite-moe-fused": Case("GraniteMoe", _GRANITE, rewrite=_as_it_is),
    "granite-moe-shared": Case("GraniteMoeShared", {**_GRANITE, "shared_intermediate_size": 40}),
    "phi-moe": Case("Phimoe", _PHI),
    "phi-moe-fused": Case("Phimoe", {**_PHI, "router_jitter_noise": 0.3}, rewrite=_as_it_is),
    "dbrx": Case(
        "Dbrx",
        {
            **{key: ... for key in ("hidden_size", "intermediate_size", "num_hidden_layers")},
            **{key: ... for key in ("num_attention_heads", "num_key_value_heads", "head_dim")},
            **{"max_position_embeddings": ..., "d_model": 64, "n_heads": 4, "n_layers": 3},
            **{"max_seq_len": 256, "tie_word_embeddings": False},
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 1.5, "rope_theta": 500.0},
            "ffn_config": {
                **{"ffn_hidden_size": 40, "moe_num_experts": 5, "moe_top_k": 2},
                "hidden_size": 64,
            },
        },
    ),
    "deepseek-1": Case(
        DeepSeek1,
        {
            **{**_PLAIN, "architectures": ["DeepseekForCausalLM"], "model_type": "deepseek"},
            **{"n_routed_experts": 6, "n_shared_experts": 2, "num_experts_per_tok": 3},
            **{"moe_intermediate_size": 24, "first_k_dense_replace": 1, "moe_layer_freq": 1},
            "norm_topk_prob": False,
        },
    ),
    "deepseek-1-sparser": Case(
        DeepSeek1,
        {
            **{**_PLAIN, "architectures": ["DeepseekForCausalLM"], "model_type": "deepseek"},
            **{"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
            **{"moe_intermediate_size": 24, "first_k_dense_replace": 0, "moe_layer_freq": 2},
            "norm_topk_prob": True,
        },
    ),
    "xverse-moe": Case(
        XverseMoE,
        {
            **{**_PLAIN, "architectures": ["XverseMoeForCausalLM"], "model_type": "xverse"},
            **{"num_experts": 6, "num_shared_experts": 2, "moe_top_k": 3},
            **{"intermediate_size": 24, "norm_topk_prob": False},
        },
    ),
    "glm4-moe": Case("Glm4Moe", {**_GLM, "use_qk_norm": True, "first_k_dense_replace": 1}),
    "glm4-moe-groups": Case(
        "Glm4Moe", {**_GLM, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 2}
    ),
}
