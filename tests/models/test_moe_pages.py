"""What the pages with mixtures of experts read from files, and what they refuse."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels import select_kernels
from sglang.srt.kernels.cpu.build import KernelBuildError
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.kernels.routing import Routing
from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.models.load import load_model
from sglang.srt.models.moe_config import MoEConfig
from sglang.srt.models.registry import ModelRegistry
from sglang.srt.server_args import ServerArgs
from tests.models.family_helpers import make_family
from tests.models.model_helpers import HandDriver, load_tiny, random_tokens
from tests.models.moe_cases import MOE_CASES

BASE: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
}
QWEN = {"num_experts": 8, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40}
DEEPSEEK = {"n_routed_experts": 8, "moe_intermediate_size": 24}
DBRX = {
    **{"vocab_size": 100, "d_model": 64, "n_heads": 4, "n_layers": 2},
    "attn_config": {"kv_n_heads": 2},
}


def parse(architecture: str, **fields: Any) -> MoEConfig:
    config = {key: value for key, value in {**BASE, **fields}.items() if value is not ...}
    moe = ModelRegistry.models[architecture].parse_config(config).moe
    assert isinstance(moe, MoEConfig)
    return moe


@pytest.mark.parametrize(
    ("architecture", "fields", "expected"),
    [
        ("Qwen2MoeForCausalLM", QWEN, {0, 1, 2, 3, 4, 5}),
        ("Qwen2MoeForCausalLM", {**QWEN, "decoder_sparse_step": 2}, {1, 3, 5}),
        ("Qwen3MoeForCausalLM", {**QWEN, "mlp_only_layers": [0, 4]}, {1, 2, 3, 5}),
        ("DeepseekForCausalLM", DEEPSEEK, {0, 1, 2, 3, 4, 5}),
        ("DeepseekForCausalLM", {**DEEPSEEK, "first_k_dense_replace": 3}, {3, 4, 5}),
        (
            "DeepseekForCausalLM",
            {**DEEPSEEK, "first_k_dense_replace": 1, "moe_layer_freq": 2},
            {2, 4},
        ),
        ("Glm4MoeForCausalLM", DEEPSEEK, {1, 2, 3, 4, 5}),
    ],
)
def test_layers_with_experts(architecture: str, fields: dict[str, Any], expected: set[int]) -> None:
    assert parse(architecture, num_key_value_heads=4, **fields).layers == expected


@pytest.mark.parametrize(
    ("architecture", "fields", "expected"),
    [
        ("MixtralForCausalLM", {"num_local_experts": 8}, Routing(2, renormalize=True)),
        ("Qwen2MoeForCausalLM", QWEN, Routing(2)),
        ("Qwen3MoeForCausalLM", {**QWEN, "norm_topk_prob": True}, Routing(2, renormalize=True)),
        ("Qwen3MoeForCausalLM", {**QWEN, "num_experts": ..., "num_local_experts": 8}, Routing(2)),
        ("OlmoeForCausalLM", {"num_experts": 8}, Routing(2)),
        ("GraniteMoeForCausalLM", {"num_local_experts": 8}, Routing(2, renormalize=True)),
        (
            "PhiMoEForCausalLM",
            {"num_local_experts": 8, "num_key_value_heads": 2},
            Routing(2, score="sparsemixer", jitter=0.01),
        ),
        ("DeepseekForCausalLM", DEEPSEEK, Routing(2)),
        (
            "Glm4MoeForCausalLM",
            {**DEEPSEEK, "routed_scaling_factor": 2.5},
            Routing(2, "sigmoid", renormalize=True, scale=2.5, group_score="best_two"),
        ),
        ("XverseForCausalLM", {"num_experts": 8, "moe_top_k": 3}, Routing(3)),
        (
            "DbrxForCausalLM",
            {**DBRX, "ffn_config": {"moe_num_experts": 4, "moe_top_k": 2}},
            Routing(2, renormalize=True),
        ),
        (
            "DbrxForCausalLM",
            {
                **DBRX,
                "ffn_config": {
                    **{"moe_num_experts": 4, "moe_top_k": 2},
                    "moe_normalize_expert_weights": None,
                },
            },
            Routing(2),
        ),
    ],
)
def test_how_experts_are_chosen(
    architecture: str, fields: dict[str, Any], expected: Routing
) -> None:
    fields = {"num_key_value_heads": 4, **fields}
    assert parse(architecture, **fields).routing == expected


@pytest.mark.parametrize("architecture", ["DeepseekForCausalLM", "XverseForCausalLM"])
def test_without_experts_they_are_dense(architecture: str) -> None:
    assert ModelRegistry.models[architecture].parse_config(BASE).moe is None


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("MixtralForCausalLM", {}, "lacks 'num_local_experts'"),
        ("MixtralForCausalLM", {"num_local_experts": 1}, "cannot choose 2 of 1 experts"),
        ("OlmoeForCausalLM", {"num_experts": 5000}, r"of 5000 experts \(at most 1024\)"),
        ("Qwen3MoeForCausalLM", {**QWEN, "mlp_only_layers": "1"}, "'mlp_only_layers' must list"),
        ("Qwen3MoeForCausalLM", {**QWEN, "mlp_only_layers": [True]}, "'mlp_only_layers' must list"),
        (
            "DeepseekForCausalLM",
            {**DEEPSEEK, "scoring_func": "sigmoid"},
            "'scoring_func' 'sigmoid' is not implemented yet",
        ),
        (
            "DeepseekForCausalLM",
            {**DEEPSEEK, "first_k_dense_replace": -1},
            "'first_k_dense_replace' must be a number of layers",
        ),
        ("Glm4MoeForCausalLM", {**DEEPSEEK, "n_group": 3}, "1 of 3 groups"),
        (
            "PhiMoEForCausalLM",
            {
                "num_local_experts": 8,
                "rope_scaling": {
                    **{"type": "longrope", "short_mscale": 1.1, "long_mscale": 1.2},
                    **{"short_factor": [1.0] * 8, "long_factor": [2.0] * 8},
                },
            },
            "1.1 and 'long_mscale' 1.2 that differ",
        ),
        (
            "DbrxForCausalLM",
            {**DBRX, "ffn_config": {"moe_top_k": 1, "moe_normalize_expert_weights": 2}},
            "other than 1 is not implemented yet, got 2",
        ),
        ("DbrxForCausalLM", {**DBRX, "ffn_config": 3}, "'ffn_config' must be an object"),
    ],
)
def test_refusals(architecture: str, fields: dict[str, Any], message: str) -> None:
    fields = {"num_key_value_heads": 4, **fields}
    with pytest.raises(ModelLoadError, match=message):
        parse(architecture, **fields)


def test_phi_moe_scales_its_rotation() -> None:
    rope = {
        **{"type": "longrope", "short_mscale": 1.25, "long_mscale": 1.25},
        **{"short_factor": [1.0] * 8, "long_factor": [2.0] * 8},
    }
    config = {**BASE, "num_local_experts": 4, "num_key_value_heads": 4, "rope_scaling": rope}
    facts = ModelRegistry.models["PhiMoEForCausalLM"].parse_config(config)
    assert {each.attention_factor for each in facts.ropes if each is not None} == {1.25}


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glm")
    make_family(folder, MOE_CASES["glm4-moe"])
    return folder


def test_layers_that_predict_further_tokens_are_left_out(
    glm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = json.loads((glm / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_nextn_predict_layers": 1}))
    state = load_file(glm / "model.safetensors")
    more = {"model.layers.3.eh_proj.weight": torch.zeros(2, 2)}
    save_file({**state, **more}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING):
        load_tiny(tmp_path)
    assert not caplog.records


def test_a_missing_expert_is_named(glm: Path, tmp_path: Path) -> None:
    name = "model.layers.2.mlp.experts.5.down_proj.weight"
    (tmp_path / "config.json").write_text((glm / "config.json").read_text())
    state = load_file(glm / "model.safetensors")
    del state[name]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=f"missing tensor {name}"):
        load_tiny(tmp_path)


def test_a_correction_keeps_its_digits(glm: Path) -> None:
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    model: Any = load_tiny(glm, dtype="bfloat16")
    found = model._layers[1].mlp.correction
    assert torch.equal(found, load_file(glm / "model.safetensors")[name])
    assert not torch.equal(found, found.bfloat16().float())


@pytest.mark.parametrize("name", ["int8wo", "int4wo-32"])
def test_quantized_experts_run_recorded(glm: Path, name: str) -> None:
    def tokens(**options: Any) -> list[int]:
        args = ServerArgs(model_path=str(glm), device="cpu", torchao_config=name, **options)
        engine = build_engine(args, str(glm))
        recorded = engine.runner._forward.replay is not None
        assert recorded is not options.get("disable_cpu_plan", False)
        driver = HandDriver(engine.runner.model, dtype=torch.float32)
        return driver.greedy("p", random_tokens(9, 199), 12)

    try:
        select_kernels("cpu", torch.float32, prefer="cpu-c")
    except KernelBuildError as error:
        pytest.skip(f"no C kernels on this machine: {error}")
    assert tokens() == tokens(disable_cpu_plan=True)


@pytest.mark.parametrize("name", ["mixtral", "qwen2-moe", "granite-moe", "dbrx", "glm4-moe"])
def test_made_up_weights_will_do(name: str, tmp_path: Path) -> None:
    make_family(tmp_path, MOE_CASES[name])
    (tmp_path / "model.safetensors").unlink()
    model = load_model(
        load_model_config(str(tmp_path), dtype="float32"),
        device=torch.device("cpu"),
        kernels=ReferenceKernels(),
        load_format="dummy",
        show_progress=False,
    )
    assert HandDriver(model).step({"p": [1, 2, 3]})["p"].isfinite().all()
