"""``sglang models``: the table, and the verdict on a checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sglang.cli.completion import completion_script
from sglang.cli.models import main
from sglang.demo_model import demo_model_path
from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.server_args import ServerArgs
from tests.models.family_helpers import Case, make_family
from tests.models.mla_cases import ATTENTION
from tests.models.model_helpers import make_tiny_checkpoint


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert main([*arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_table_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None)\n"
        "from sglang.cli.main import main\nsys.exit(main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "LlamaForCausalLM" in done.stdout


def test_tasks_of_the_architectures(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {each["architecture"]: each for each in as_json(capsys)}
    assert listed["LlamaForCausalLM"]["status"] == "page"
    assert listed["LlamaForCausalLM"]["tasks"] == ["generation", "embedding"]
    assert listed["BertModel"]["tasks"] == ["embedding"]
    assert listed["Qwen2ForRewardModel"] == {
        "architecture": "Qwen2ForRewardModel",
        "status": "page",
        "tasks": ["scores"],
        "source": "qwen2",
    }


def test_what_transformers_adds(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {each["architecture"]: each for each in as_json(capsys, "--transformers")}
    assert listed["SeedOssForCausalLM"]["status"] == "transformers"
    assert listed["LlamaForCausalLM"]["status"] == "page"
    mamba = listed["MambaForCausalLM"]
    assert (mamba["status"], mamba["tasks"]) == ("refused", [])
    assert "state besides keys and values" in mamba["source"]


def test_figures_of_a_checkpoint_are_those_of_the_engine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = make_tiny_checkpoint(tmp_path, "qwen3")
    verdict = as_json(capsys, str(folder), "--dtype", "bfloat16")
    args = ServerArgs(
        model_path=str(folder),
        dtype="bfloat16",
        device="cpu",
        max_total_tokens=64,
        skip_tokenizer_init=True,
    )
    info = build_engine(args, str(folder)).info
    assert (verdict["status"], verdict["task"], verdict["reason"]) == ("page", "generation", "")
    assert verdict["kv_bytes_per_token"] == info["kv_cache_bytes"] // 64
    assert verdict["context_length"] == info["context_length"]
    from safetensors.torch import load_file

    count = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert verdict["num_parameters"] == count
    assert verdict["weight_bytes"] == 2 * count


@pytest.mark.parametrize(
    "case",
    [Case("SeedOss"), Case("MiniCPM3", ATTENTION)],
    ids=lambda case: case.oracle,
)
def test_figures_of_what_runs_through_transformers(
    case: Case, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_family(tmp_path, case)
    verdict = as_json(capsys, str(tmp_path), "--model-impl", "transformers")
    assert verdict["status"] == "transformers"
    args = ServerArgs(
        model_path=str(tmp_path),
        model_impl="transformers",
        device="cpu",
        max_total_tokens=64,
        skip_tokenizer_init=True,
    )
    info = build_engine(args, str(tmp_path)).info
    assert verdict["kv_bytes_per_token"] == info["kv_cache_bytes"] // 64


def test_refusal_says_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fields = {"architectures": ["MambaForCausalLM"], "model_type": "mamba", "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    verdict = as_json(capsys, str(tmp_path), status=1)
    assert verdict["status"] == "refused"
    assert "keeps a state besides keys and values" in verdict["reason"]
    assert verdict["num_parameters"] is None
    assert main([str(tmp_path)]) == 1
    assert "runs by       nothing: unsupported architecture" in capsys.readouterr().out


def test_demo_model_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(demo_model_path())]) == 0
    text = capsys.readouterr().out
    assert "runs by       sglang's own code\n" in text
    assert "task          generation\n" in text
    assert "a token" in text


def test_embedding_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, demo_model_path(), "--is-embedding")["task"] == "embedding"


def test_no_such_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such/folder"]) == 1
    assert "sglang models: error: " in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_options_are_completed(shell: str) -> None:
    script = completion_script(shell, ["serve", "models"])
    assert "models) flags='--json --transformers" in script
