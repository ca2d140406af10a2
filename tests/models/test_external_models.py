"""External model classes find their way into another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.external import describe_external_models, register_external_models
from sglang.srt.models.registry import ModelRegistry

MODEL = """
ANSWER = "built"

class MyModel:
    @classmethod
    def from_checkpoint(cls, config, reader, kernels):
        return ANSWER
"""
REGISTER = """
from sglang.srt.models.registry import ModelRegistry
ModelRegistry.models["MyForCausalLM"] = MyModel
"""
DESCRIBE = """
import json
from sglang.srt.models.external import describe_external_models
print(json.dumps(describe_external_models()))
"""


@pytest.fixture(autouse=True)
def restored_state() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in ModelRegistry.models.external():
        del ModelRegistry.models[name]


def describe_in_a_script(folder: Path, source: str) -> str:
    script = folder / "serve_mine.py"
    script.write_text(source)
    return subprocess.run(
        [sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_class_of_a_module_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "my_model_module.py").write_text(MODEL)
    source = "from my_model_module import MyModel\n" + REGISTER + DESCRIBE
    register_external_models(json.loads(describe_in_a_script(tmp_path, source)))
    assert ModelRegistry.resolve(["MyForCausalLM"]).__module__ == "my_model_module"


def test_class_of_the_script_itself(tmp_path: Path) -> None:
    guarded = DESCRIBE.replace("print", "if __name__ == '__main__':\n    print")
    described = describe_in_a_script(tmp_path, MODEL + REGISTER + guarded)
    register_external_models(json.loads(described))
    assert ModelRegistry.resolve(["MyForCausalLM"]).from_checkpoint(None, None, None) == "built"


def test_script_that_starts_a_server_when_imported_is_refused(tmp_path: Path) -> None:
    described = json.loads(describe_in_a_script(tmp_path, MODEL + REGISTER + DESCRIBE))
    with pytest.raises(ModelLoadError, match=r"under if __name__ == "):
        register_external_models(described)


def test_local_class_is_refused() -> None:
    class Local:
        @classmethod
        def from_checkpoint(cls) -> None: ...

    ModelRegistry.models["LocalForCausalLM"] = Local
    with pytest.raises(ModelLoadError, match="local to a function"):
        describe_external_models()


def test_vanished_module_is_named() -> None:
    with pytest.raises(ModelLoadError, match="no_such_module_here"):
        register_external_models(
            [
                {
                    "architecture": "X",
                    "module": "no_such_module_here",
                    "qualname": "X",
                    "script": "",
                    "search_path": [],
                }
            ]
        )
