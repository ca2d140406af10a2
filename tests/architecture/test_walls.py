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


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of the runtime; imports for types alone do not count."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types or not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("sglang.srt."):
                yield node.lineno, name.split(".")[2]


def files_of(room: str) -> list[Path]:
    """A room is a folder, or a single file."""
    return sorted((RUNTIME / room).rglob("*.py")) or [RUNTIME / f"{room}.py"]


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_nothing_from_the_floors_above(room: str) -> None:
    upward = [
        f"{path.name}:{line} imports {other}"
        for path in files_of(room)
        for line, other in imported_rooms(path)
        if other != room and FLOORS[other] >= FLOORS[room] and FLOORS[other] > 0
    ]
    assert upward == []


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in RUNTIME.iterdir() if (path / "__init__.py").exists()}
    files = {path.stem for path in RUNTIME.glob("[!_]*.py")}
    assert rooms | files == set(FLOORS)


LANGUAGE = RUNTIME.parent / "lang"
LANGUAGE_NEEDS = {"sglang.lang", "sglang.utils", "tqdm"}
"""Beside the standard library; tqdm only if it is there."""


@pytest.mark.parametrize("path", sorted(LANGUAGE.rglob("*.py")), ids=lambda p: p.name)
def test_the_language_needs_nothing_of_the_runtime(path: Path) -> None:
    names = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    foreign = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert {".".join(name.split(".")[:2]) for name in foreign} <= LANGUAGE_NEEDS


@pytest.mark.parametrize("path", sorted(RUNTIME.parent.rglob("*.py")), ids=lambda p: p.name)
def test_no_file_is_past_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500
