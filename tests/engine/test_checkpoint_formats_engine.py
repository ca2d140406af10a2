"""From a text to an answer with the demo model in other formats: a GGUF file, a GPTQ checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch
from gguf import quants
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import sglang
from sglang.demo_model import demo_model_path
from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.weight_update import update_weights
from sglang.srt.server_args import ServerArgs
from tests.engine.test_weight_update import answers
from tests.model_loader.gguf_writer import Stored, stored, write_gguf
from tests.models.model_helpers import make_tiny_checkpoint
from tests.models.test_gguf_models import metadata_of, tensors_of
from tests.models.test_quantized_checkpoints import SIZES, quantize
from tests.tokenizer.test_gguf_tokenizer import metadata_of as tokenizer_metadata

DEMO = Path(demo_model_path())
PROMPT = (
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
    "<|im_start|>assistant\nThe capital of"
)
SAMPLING = {"temperature": 0, "max_new_tokens": 8}


def as_stored(name: str, tensor: torch.Tensor) -> Stored:
    return stored(tensor)


def quantized_as(kind: gguf.GGMLQuantizationType) -> Callable[[str, torch.Tensor], Stored]:
    def pack(name: str, tensor: torch.Tensor) -> Stored:
        if tensor.dim() < 2 or "blk" not in name:
            return stored(tensor.float())
        data = quants.quantize(tensor.float().numpy(), kind)
        return Stored(tuple(tensor.shape), int(kind), data.tobytes())

    return pack


def write_demo(path: Path, pack: Callable[[str, torch.Tensor], Stored]) -> Path:
    config = json.loads((DEMO / "config.json").read_text())
    tensors = tensors_of("llama", load_file(DEMO / "model.safetensors"))
    template = json.loads((DEMO / "tokenizer_config.json").read_text())["chat_template"]
    metadata = {
        **metadata_of("llama", config),
        **tokenizer_metadata(Tokenizer.from_file(str(DEMO / "tokenizer.json")), "gpt2"),
        "general.file_type": 32,
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 0,
        "tokenizer.chat_template": template,
    }
    return write_gguf(path, metadata, {key: pack(key, value) for key, value in tensors.items()})


def write_gptq(folder: Path) -> Path:
    """The projections as 8-bit integers with one scale for each output, four to a word."""
    folder.mkdir()
    settings = {"quant_method": "gptq", "bits": 8, "group_size": -1, "sym": True}
    config = json.loads((DEMO / "config.json").read_text())
    config["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((DEMO / name).read_text())
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(DEMO / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = tensor
            continue
        scales = tensor.float().abs().amax(dim=1) / 127
        codes = (tensor.float() / scales[:, None]).round().to(torch.int16) + 128
        module = name.removesuffix("weight")
        words = codes.to(torch.uint8).contiguous().view(torch.int32).t().contiguous()
        tensors[f"{module}qweight"] = words
        tensors[f"{module}scales"] = scales[None].half()
        zeros = torch.full((1, len(tensor)), 127, dtype=torch.uint8)
        tensors[f"{module}qzeros"] = zeros.view(torch.int32)
    save_file(tensors, folder / "model.safetensors")
    return folder


def answer(path: Path, **options: str) -> str:
    common = {"dtype": "bfloat16", "device": "cpu", "max_total_tokens": 2048}
    with sglang.Engine(model_path=str(path), **common, **options) as engine:
        result = engine.generate(PROMPT, SAMPLING)
    assert isinstance(result, dict)
    return str(result["text"])


@pytest.fixture(scope="module")
def expected() -> str:
    return answer(DEMO)


def test_a_gguf_file(tmp_path: Path, expected: str) -> None:
    assert answer(write_demo(tmp_path / "demo.gguf", as_stored)) == expected


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1"])
def test_a_folder_with_a_quantized_gguf_file(tmp_path: Path, kind: str, expected: str) -> None:
    write_demo(tmp_path / "demo.gguf", quantized_as(gguf.GGMLQuantizationType[kind]))
    assert answer(tmp_path, load_format="gguf", quantization="gguf") == expected


def test_a_gptq_checkpoint(tmp_path: Path, expected: str) -> None:
    assert answer(write_gptq(tmp_path / "demo"), quantization="gptq") == expected


def make_engine(folder: Path) -> Engine:
    options = {"dtype": "bfloat16", "device": "cpu", "max_total_tokens": 512}
    return build_engine(ServerArgs(model_path=str(folder), **options), str(folder))


@pytest.mark.parametrize("name", ["gptq", "awq"])
def test_weights_can_be_updated_to_quantized_ones_and_back(tmp_path: Path, name: str) -> None:
    plain = make_tiny_checkpoint(tmp_path / "plain", **SIZES)
    quantized, _ = quantize(plain, tmp_path, name)
    engine = make_engine(plain)
    before = answers(engine)
    for folder in (quantized, plain):
        assert update_weights(engine, str(folder), "auto") is None
        found = answers(engine)
        assert found == answers(make_engine(folder))
        assert (found == before) == (folder == plain)
