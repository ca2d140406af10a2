"""Model classes of installed packages, offered as entry points."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.llama import LlamaForCausalLM
from sglang.srt.models.plugins import find_plugins
from sglang.srt.models.registry import ModelRegistry
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint

MODULE = """
from sglang.srt.models.llama import LlamaForCausalLM

class Halved(LlamaForCausalLM):
    def logits(self, hidden):
        return super().logits(hidden) / 2

class Unfinished:
    pass
"""


def install(site: Path, package: str, offers: dict[str, str]) -> None:
    """What pip leaves of a package with entry points, whose one module is ``{package}_model``."""
    (site / f"{package}_model.py").write_text(MODULE)
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in offers.items())
    (info / "entry_points.txt").write_text(f"[sglang.models]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.endswith("_model"):
            del sys.modules[name]


def rename(folder: Path, architecture: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [architecture]}))


def test_offered_class_is_loaded(site: Path, tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path / "model")
    full = HandDriver(load_tiny(folder)).step({"p": [1, 2, 3]})["p"]
    install(site, "halved", {"HalvedForCausalLM": "halved_model:Halved"})
    rename(folder, "HalvedForCausalLM")
    found = HandDriver(load_tiny(folder)).step({"p": [1, 2, 3]})["p"]
    assert found.equal(full / 2)


def test_package_is_not_imported_before_its_model_is_asked_for(site: Path) -> None:
    install(site, "halved", {"HalvedForCausalLM": "halved_model:Halved"})
    assert ModelRegistry.check(["HalvedForCausalLM"]) == "HalvedForCausalLM"
    assert "HalvedForCausalLM" in ModelRegistry.supported()
    ModelRegistry.resolve(["LlamaForCausalLM"])
    assert "halved_model" not in sys.modules
    ModelRegistry.resolve(["HalvedForCausalLM"])
    assert "halved_model" in sys.modules


def test_offered_class_takes_the_place_of_a_built_in_one(site: Path) -> None:
    install(site, "halved", {"LlamaForCausalLM": "halved_model:Halved"})
    assert ModelRegistry.resolve(["LlamaForCausalLM"]).__name__ == "Halved"


def test_registered_class_goes_before_an_offered_one(site: Path) -> None:
    install(site, "halved", {"LlamaForCausalLM": "halved_model:Halved"})
    ModelRegistry.models["LlamaForCausalLM"] = LlamaForCausalLM
    try:
        assert ModelRegistry.resolve(["LlamaForCausalLM"]) is LlamaForCausalLM
    finally:
        del ModelRegistry.models["LlamaForCausalLM"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_module:X", "cannot be imported from no_such_module:X"),
        ("halved_model:Absent", "cannot be imported from halved_model:Absent"),
        ("halved_model:Unfinished", "has no classmethod from_checkpoint"),
    ],
)
def test_what_is_wrong_with_an_offer_is_named(value: str, problem: str, site: Path) -> None:
    install(site, "halved", {"XForCausalLM": value})
    with pytest.raises(ModelLoadError, match=f"XForCausalLM of halved.*{problem}"):
        ModelRegistry.resolve(["XForCausalLM"])


def test_two_offers_for_one_architecture_are_refused(site: Path) -> None:
    install(site, "one", {"XForCausalLM": "one_model:Halved"})
    install(site, "two", {"XForCausalLM": "two_model:Halved"})
    with pytest.raises(ModelLoadError, match=r"XForCausalLM is offered by (one|two) .* and"):
        find_plugins()


def test_looking_for_offers_imports_no_torch(site: Path) -> None:
    install(site, "halved", {"XForCausalLM": "halved_model:Halved"})
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from sglang.srt.models.registry import ModelRegistry\n"
        "assert 'XForCausalLM' in ModelRegistry.models and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
