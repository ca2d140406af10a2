"""Runs the examples of README.md and docs/ as they stand, against the demo model.

The Python blocks of a page are one program, run from top to bottom; a bash block that calls curl is
run by itself. Only the port differs from what the page says. ``<!-- not run: reason -->`` before a
block leaves it out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sglang.utils import launch_server_cmd, terminate_process, wait_for_server

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"(<!-- not run: [^\n]+ -->\n+)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TIMEOUT_S = 240
# A program that hangs says where.
PROLOGUE = f"import faulthandler; faulthandler.dump_traceback_later({TIMEOUT_S - 20}, exit=True)\n"


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of ``page`` that are to be run."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for skip, name, text in found if name == language and not skip]


PROGRAMS = {page.name: "\n".join(python) for page in PAGES if (python := blocks(page, "python"))}
CURLS = {
    f"{page.name}-{number}": text
    for page in PAGES
    for number, text in enumerate(blocks(page, "bash"))
    if text.startswith("curl ")
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    storage = tmp_path_factory.mktemp("storage")
    process, number = launch_server_cmd(
        f"python -m sglang.launch_server --log-level warning --file-storage-pth {storage}"
    )
    try:
        wait_for_server(f"http://127.0.0.1:{number}", timeout=TIMEOUT_S)
        yield number
    finally:
        terminate_process(process, number)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("page", PROGRAMS)
def test_python_examples_run(page: str, port: int) -> None:
    program = PROGRAMS[page].replace(":30000", f":{port}")
    assert run([sys.executable, "-c", PROLOGUE + program]).stdout.strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("example", CURLS)
def test_curl_examples_run(example: str, port: int) -> None:
    script = CURLS[example].replace(":30000", f":{port}")
    run(["sh", "-ec", script.replace("curl ", "curl --fail --silent --show-error ")])


def test_every_kind_of_example_is_found() -> None:
    assert {"README.md", "quick-start.md", "native-api.md", "offline-engine.md"} <= set(PROGRAMS)
    assert len(CURLS) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
