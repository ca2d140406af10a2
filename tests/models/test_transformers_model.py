"""Models that run through transformers' module equal transformers, alone and in company."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.models.load import load_model
from sglang.srt.models.transformers_model import TransformersModel
from tests.models.equality import (
    VOCABULARY,
    Family,
    assert_greedy,
    assert_greedy_in_a_batch,
    assert_same,
    c_kernels,
    logits_in_company,
)
from tests.models.family_helpers import Case, make_family
from tests.models.mla_cases import ATTENTION
from tests.models.model_helpers import HandDriver, load_tiny, oracle_logits, random_tokens

STEPS = 40
HEADS = {"head_dim": ..., "hidden_size": 64}
SLIDING, FULL = "sliding_attention", "full_attention"

CASES = {
    "window": Case("Starcoder2", {**HEADS, "sliding_window": 7}),
    "fused-qkv": Case("GPTNeoX", HEADS),
    "learned-positions": Case("OPT", {**HEADS, "ffn_dim": 88}),
    "transposed-weights": Case(
        "GPT2",
        {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256, **HEADS},
        head="LMHeadModel",
    ),
    "norms-after": Case("Exaone4", {"sliding_window": 9, "layer_types": [SLIDING, FULL, SLIDING]}),
    "soft-caps": Case("Gemma2", {"sliding_window": 9, "attn_logit_softcapping": 5.0}),
    "logit-scale": Case("Cohere", {**HEADS, "logit_scale": 0.3}),
    "sinks": Case("GptOss", {"sliding_window": 9, "num_local_experts": 4}),
    "small-values": Case("MiniCPM3", ATTENTION),
    "experts": Case(
        "Ernie4_5_Moe",
        {
            **HEADS,
            "moe_num_experts": 6,
            "moe_k": 2,
            "moe_intermediate_size": 40,
            "moe_layer_start_index": 1,
        },
    ),
    "odd-heads": Case("Llama", {"head_dim": 12}),
}


@pytest.fixture(scope="module", params=CASES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("model")
    oracle = make_family(folder, CASES[request.param])
    model = load_tiny(folder, kernels=c_kernels(), model_impl="transformers")
    assert isinstance(model, TransformersModel)
    return Family(folder, oracle, model)


@pytest.fixture(scope="module")
def alone(family: Family) -> torch.Tensor:
    """Logits of a prompt that is read whole and by itself."""
    return HandDriver(family.model).step({"p": random_tokens(50, VOCABULARY)})["p"]


def test_prompt_equals_transformers(family: Family, alone: torch.Tensor) -> None:
    expected = oracle_logits(family.oracle, random_tokens(50, VOCABULARY))
    assert_same(alone, expected)
    assert_same(alone.log_softmax(-1), expected.log_softmax(-1))


def test_answer_equals_transformers(family: Family) -> None:
    prompt = random_tokens(23, VOCABULARY, seed=1)
    assert_greedy(HandDriver(family.model).greedy("p", prompt, STEPS), prompt, family.oracle)


def test_answers_in_a_batch_equal_transformers(family: Family) -> None:
    assert_greedy_in_a_batch(family, 12)


def test_chunks_beside_others_and_a_prefix_hit_change_nothing(
    family: Family, alone: torch.Tensor
) -> None:
    prompt = random_tokens(50, VOCABULARY)
    chunked, after_hit = logits_in_company(family.model, prompt, hit=33)
    assert_same(chunked, alone)
    assert_same(after_hit, alone[33:])


@pytest.mark.parametrize(("name", "largest"), [("int8wo", 0.1), ("int4wo-32", 0.7)])
def test_quantized_is_close_to_exact(
    family: Family, alone: torch.Tensor, name: str, largest: float
) -> None:
    model = load_tiny(
        family.folder, kernels=c_kernels(), quantization=name, model_impl="transformers"
    )
    found = HandDriver(model).step({"p": random_tokens(50, VOCABULARY)})["p"]
    assert 0 < (found - alone).norm() / alone.norm() < largest


def test_only_the_wanted_rows_come_back(family: Family, alone: torch.Tensor) -> None:
    batch = HandDriver(family.model, seed=3).make_batch({"p": random_tokens(50, VOCABULARY)})
    batch.logits_rows = torch.tensor([49, 3])
    with torch.inference_mode():
        logits = family.model.logits(family.model.forward(batch))
    assert_same(logits, alone[[49, 3]])


@pytest.fixture(scope="module")
def starcoder2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starcoder2")
    make_family(folder, CASES["window"], dtype="bfloat16")
    return folder


def test_bfloat16_is_close_to_float32(starcoder2: Path) -> None:
    prompt, logits = random_tokens(50, VOCABULARY), []
    for dtype in ("float32", "bfloat16"):
        model = load_tiny(starcoder2, dtype=dtype, kernels=c_kernels(), model_impl="transformers")
        driver = HandDriver(model, dtype=getattr(torch, dtype))
        logits.append(driver.step({"p": prompt})["p"])
    assert (logits[1] - logits[0]).norm() / logits[0].norm() < 0.1


def test_weights_may_be_made_up(starcoder2: Path) -> None:
    config = load_model_config(str(starcoder2), dtype="float32", model_impl="transformers")
    model = load_model(config, device=torch.device("cpu"), kernels=c_kernels(), load_format="dummy")
    logits = HandDriver(model).step({"p": [1, 2, 3]})["p"]
    assert torch.isfinite(logits).all()


def test_missing_tensor_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make_family(tmp_path, CASES["fused-qkv"])
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["gpt_neox.layers.1.mlp.dense_4h_to_h.bias"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelLoadError, match=r"missing tensors.*layers\.1\.mlp\.dense_4h_to_h\.bias"
    ):
        load_tiny(tmp_path, model_impl="transformers")


def test_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    make_family(tmp_path, CASES["fused-qkv"])
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 88', '"intermediate_size": 96'))
    with pytest.raises(ModelLoadError, match=r"dense_4h_to_h.* expected \[64, 96\]"):
        load_tiny(tmp_path, model_impl="transformers")


def test_learned_positions_bound_the_context(tmp_path: Path) -> None:
    make_family(tmp_path, CASES["learned-positions"])
    with pytest.raises(ModelLoadError, match=r"OPTForCausalLM.*context_length 300 is above"):
        load_tiny(tmp_path, model_impl="transformers", context_length=300)
