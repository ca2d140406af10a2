"""Imports point downward: a room of the runtime uses the rooms below it only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "src" / "sglang" / "srt"

FLOORS = {
    "server_args": 0,
    "logs": 0,
    "metrics": 0,
    "configs": 0,
    "tokenizer": 0,
    "function_call": 0,
    "function_call_parser": 1,
    "reasoning_parser": 1,
    "sampling": 0,
    "constrained": 1,
    "mem_cache": 0,
    "device": 0,
    "kernels": 0,
    "layers": 1,
    "model_loader": 1,
    "models": 2,
    "model_executor": 3,
    "managers": 4,
    "batches": 5,
    "entrypoints": 6,
}


def imports(path: Path, *, for_types: bool = False) -> Iterator[tuple[int, str]]:
    """Line and module of every import in a file, if wished with those for types alone."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped and not for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module in ("sglang", "sglang.srt"):
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


def files_of(room: str) -> list[Path]:
    """A room is a folder, or a single file."""
    return sorted((RUNTIME / room).rglob("*.py")) or [RUNTIME / f"{room}.py"]


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_nothing_from_the_floors_above(room: str) -> None:
    upward = [
        f"{path.name}:{line} imports {other}"
        for path in files_of(room)
        for line, name in imports(path)
        if name.startswith("sglang.srt.")
        and (other := name.split(".")[2]) != room
        and FLOORS[other] >= FLOORS[room]
        and FLOORS[other] > 0
    ]
    assert upward == []


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in RUNTIME.iterdir() if (path / "__init__.py").exists()}
    files = {path.stem for path in RUNTIME.glob("[!_]*.py")}
    assert rooms | files == set(FLOORS)


def test_the_runtime_knows_nothing_of_what_is_built_on_it() -> None:
    """Not the command lines, the benchmarks, the language: only the package's version and model."""
    outside = {
        name
        for path in RUNTIME.rglob("*.py")
        for _, name in imports(path)
        if name.split(".")[0] == "sglang" and not name.startswith("sglang.srt")
    }
    assert outside <= {"sglang.__version__", "sglang.demo_model"}


TORCHLESS = (
    "logs",
    "metrics",
    "server_args",
    "configs",
    "tokenizer",
    "function_call",
    "function_call_parser",
    "reasoning_parser",
    "constrained",
    "batches",
    "entrypoints",
)
"""What the API process, or a worker that compiles grammars, imports."""


@pytest.mark.parametrize("room", TORCHLESS)
def test_a_room_without_torch(room: str) -> None:
    found = {name.split(".")[0] for path in files_of(room) for _, name in imports(path)}
    assert not found & {"torch", "triton"}


LANGUAGE = RUNTIME.parent / "lang"
LANGUAGE_NEEDS = {"sglang.lang", "sglang.utils", "tqdm"}
"""Beside the standard library; tqdm only if it is there."""


@pytest.mark.parametrize("path", sorted(LANGUAGE.rglob("*.py")), ids=lambda p: p.name)
def test_the_language_needs_nothing_of_the_runtime(path: Path) -> None:
    names = {name for _, name in imports(path, for_types=True)}
    foreign = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert {".".join(name.split(".")[:2]) for name in foreign} <= LANGUAGE_NEEDS


def test_no_file_is_past_500_lines() -> None:
    root = RUNTIME.parents[2]
    files = [
        path
        for folder in ("src", "tests", "tools", "benchmarks", "examples")
        for path in (root / folder).rglob("*")
        if path.suffix in (".py", ".c", ".h")
    ]
    long = {str(path): path.read_text().count("\n") for path in files}
    assert files and {path: lines for path, lines in long.items() if lines > 500} == {}
