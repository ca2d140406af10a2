"""No code of the package unpickles or evaluates anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
EXCEPTIONS = {
    # What --enable-custom-logit-processor is for; documented in SECURITY.md as running code.
    "sampling/custom_logit_processor.py": {"imports dill"},
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and reason of everything that could run foreign code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from ((node.lineno, f"imports {n}") for n in names if _is_forbidden(n))
        elif isinstance(node, ast.ImportFrom) and _is_forbidden(node.module or ""):
            yield node.lineno, f"imports {node.module}"
        elif isinstance(node, ast.Call):
            yield from _call_faults(node)


def _is_forbidden(module: str) -> bool:
    return module.split(".")[0] in FORBIDDEN_MODULES


def _call_faults(call: ast.Call) -> Iterator[tuple[int, str]]:
    name = ast.unparse(call.func)
    if name in FORBIDDEN_CALLS:
        yield call.lineno, f"calls {name}"
    if name == "torch.load":
        safe = [k for k in call.keywords if k.arg == "weights_only"]
        if not (safe and isinstance(safe[0].value, ast.Constant) and safe[0].value.value is True):
            yield call.lineno, "calls torch.load without weights_only=True"
    if name in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "np.load", "numpy.load"):
        yield call.lineno, f"calls {name}"
    if any(k.arg == "trust_remote_code" and _is_true(k.value) for k in call.keywords):
        yield call.lineno, "trusts remote code unasked"


def _is_true(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.name)
def test_a_source_file_runs_no_foreign_code(path: Path) -> None:
    allowed = EXCEPTIONS.get(f"{path.parent.name}/{path.name}", set())
    found = faults(ast.parse(path.read_text()))
    assert [(line, reason) for line, reason in found if reason not in allowed] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import loads",
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "AutoTokenizer.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_the_gate_sees(code: str) -> None:
    assert list(faults(ast.parse(code)))
