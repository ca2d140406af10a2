"""The ``sglang`` command and its spellings."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import sglang
from sglang.cli.completion import completion_script
from sglang.cli.main import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"sglang {sglang.__version__}"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "check-env" in capsys.readouterr().out


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["sreve"])
    assert leaving.value.code == 2
    assert "serve" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["sglang", "sglang.launch_server", "sglang.launcher"])
def test_help_imports_nothing_heavy(module: str) -> None:
    """A module that blocks torch, transformers and fastapi does not change the outcome."""
    block = "import sys; sys.modules.update(torch=None, transformers=None, fastapi=None)"
    call = (
        f"sys.argv = ['x', '--help']; import runpy; runpy.run_module({module!r}, None, '__main__')"
    )
    done = run("-c", f"{block}; {call}")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize("module", ["sglang.launch_server", "sglang.launcher"])
def test_older_spellings_take_the_same_options(module: str) -> None:
    done = run("-m", module, "--model", "m", "--max-model-len", "0")
    assert done.returncode == 2
    assert f"python -m {module}: error: --context-length: 0 is too small" in done.stderr


def test_serving_without_the_runtime_says_what_to_install() -> None:
    code = (
        "import importlib.util as u, sys; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a); "
        "from sglang.cli.main import main; sys.exit(main(['serve']))"
    )
    done = run("-c", code)
    assert done.returncode == 1
    assert "pip install 'sglang[srt]'" in done.stderr


def test_check_env_names_versions_and_processor() -> None:
    done = run("-m", "sglang", "check-env")
    assert done.returncode == 0
    names = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert {"sglang", "python", "processor", "C compiler", "GPUs", "torch"} <= set(names)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["se"], ["serve"]),
        (["serve", "--tokenizer-m"], ["--tokenizer-mode"]),
        (["serve", "--dtype", "bfl"], ["bfloat16"]),
        (["serve", "--schedule-policy", "f"], ["fcfs"]),
        (["chat", "--temp"], ["--temperature"]),
        (["bench", "one"], ["one-batch"]),
    ],
)
def test_completion(typed: list[str], expected: list[str]) -> None:
    words = ["sglang", *typed]
    check = (
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _sglang; "
        'echo "${COMPREPLY[@]}"'
    )
    script = completion_script("bash", ["serve", "chat", "check-env"])
    done = subprocess.run(["bash", "-c", f"{script}\n{check}"], capture_output=True, text=True)
    assert done.stdout.split() == expected, done.stderr
