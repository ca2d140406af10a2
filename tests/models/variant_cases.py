"""Checkpoints of the families whose attention is not plain, see ``family_helpers``."""

from __future__ import annotations

from typing import Any

from tests.models.family_helpers import FULL, OWN_KEYS, SLIDING, Case, State
from tests.models.model_helpers import TINY
from tests.models.plain_models import Baichuan13B, Grok1, Phi3Small


def _old_mpt(config: dict[str, Any], state: State) -> tuple[dict[str, Any], State]:
    del config["attn_config"]
    return {**config, "architectures": ["MPTForCausalLM"]}, state


_OTHER_KEYS = {key: ... for key in TINY if key not in OWN_KEYS}
_BLOOM = {**_OTHER_KEYS, "hidden_size": 48, "n_layer": 3, "n_head": 6, "seq_length": 256}
_MPT = {**_OTHER_KEYS, "d_model": 48, "n_layers": 3, "n_heads": 3, "max_seq_len": 256}
_GPT_OSS = {
    "num_local_experts": 5,
    "num_experts_per_tok": 4,
    "sliding_window": 9,
    "swiglu_limit": 1.5,
    "layer_types": None,
}
_LLAMA4 = {
    "intermediate_size": 56,
    "intermediate_size_mlp": 72,
    "num_hidden_layers": 5,
    "num_local_experts": 4,
    "attention_chunk_size": 16,
    "floor_scale": 8,
    "attn_scale": 0.5,
}
_PHI3_SMALL = {
    "architectures": ["Phi3SmallForCausalLM"],
    "hidden_size": 64,
    "head_dim": ...,
    "intermediate_size": ...,
    "ff_intermediate_size": 72,
    "max_position_embeddings": 512,
    "layer_norm_epsilon": 1e-5,
    "gegelu_limit": 1.5,
    "mup_attn_multiplier": 1.5,
    "mup_embedding_multiplier": 10.0,
    "mup_use_scaling": True,
    "mup_width_multiplier": 8.0,
    "rope_embedding_base": 1000.0,
    "rope_position_scale": 1.0,
    "blocksparse_block_size": 64,
    "blocksparse_homo_head_pattern": False,
    "blocksparse_num_local_blocks": 1,
    "blocksparse_vert_stride": 3,
    "dense_attention_every_n_layers": 2,
    "dummy_token_indices": [],
}
_GROK = {
    "architectures": ["Grok1ForCausalLM"],
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-5,
    "attn_output_multiplier": 0.7,
    "embedding_multiplier_scale": 7.5,
    "output_multiplier_scale": 0.6,
    "xai_names": False,
}

VARIANT_CASES: dict[str, Case] = {
    "baichuan2-13b": Case(
        Baichuan13B,
        {
            "architectures": ["BaichuanForCausalLM"],
            "num_attention_heads": 3,
            "num_key_value_heads": ...,
            "head_dim": ...,
            "max_position_embeddings": ...,
            "model_max_length": 256,
            "rms_norm_eps": 1e-6,
        },
    ),
    "bloom": Case("Bloom", _BLOOM),
    "mpt": Case(
        "Mpt",
        {
            **_MPT,
            "d_model": 96,
            "n_heads": 12,
            "attn_config": {"clip_qkv": 0.9, "softmax_scale": 0.6},
        },
    ),
    "mpt-defaults": Case("Mpt", _MPT, rewrite=_old_mpt),
    "gpt-oss": Case("GptOss", _GPT_OSS),
    "gpt-oss-trained-length": Case(
        "GptOss",
        {
            **_GPT_OSS,
            "layer_types": [FULL, SLIDING, FULL],
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1000.0,
                "factor": 8.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "llama4": Case("Llama4", _LLAMA4, config_class="Llama4Text"),
    "llama4-mixed": Case(
        "Llama4",
        {
            **_LLAMA4,
            "num_experts_per_tok": 2,
            "interleave_moe_layer_step": 2,
            "use_qk_norm": False,
            "attention_bias": True,
            "no_rope_layers": [1, 0, 1, 0, 1],
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 1000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
        config_class="Llama4Text",
    ),
    "phi3-small": Case(Phi3Small, _PHI3_SMALL),
    "phi3-small-128k": Case(
        Phi3Small,
        {
            **_PHI3_SMALL,
            "blocksparse_homo_head_pattern": True,
            "dense_attention_every_n_layers": 3,
            "rope_scaling": {
                "type": "su",
                "short_factor": [1.0] * 8,
                "long_factor": [1.0, 1.1, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0],
                "short_mscale": 1.1,
                "long_mscale": 1.2,
                "original_max_position_embeddings": 64,
            },
        },
    ),
    "grok": Case(Grok1, _GROK),
    "grok-xai-names": Case(
        Grok1, {**_GROK, "architectures": ["Grok1ModelForCausalLM"], "xai_names": True}
    ),
}
