"""How each server of the comparison is started. What is not installed is left out."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sglang.bench.backends import BACKENDS

WEIGHTS = ("bf16", "int8", "int4")


@dataclass(frozen=True)
class Peer:
    """A recipe. ``{...}`` in ``command``, ``env`` and ``files`` stands for a fact of the run.

    The facts: ``program``, ``model`` (its folder), ``name`` (of the model), ``models`` (the folder
    around it), ``port``, ``threads``, ``cpus`` (as in 0-1) and ``python`` (this interpreter).
    """

    command: str
    """A shell command."""
    api: str = "vllm"
    """A backend of bench_serving that takes completions."""
    program: str = ""
    """What must be installed: a path, or a name on the PATH."""
    files: tuple[str, ...] = ()
    """Files that must be there."""
    env: Mapping[str, str] = field(default_factory=dict)
    health: str = "/health"
    """A route that answers 200 when the server is ready."""
    weights: str = "bf16"
    """Ratios are taken among servers of the same kind of weights."""
    is_ours: bool = False
    as_text: bool = False
    """Send prompts as text."""
    omit: tuple[str, ...] = ()
    """Request fields that the server refuses."""
    model_name: str = "{name}"
    """What requests call the model."""

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("command is empty")
        if self.api not in BACKENDS or not BACKENDS[self.api].takes_ids:
            raise ValueError(f"api {self.api!r} is none of the completion backends")
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights {self.weights!r} is none of {', '.join(WEIGHTS)}")

    def missing(self, facts: Mapping[str, str]) -> str:
        """What is not there, in words; empty if nothing is."""
        program = fill(self.program, facts)
        if program and shutil.which(program) is None:
            return f"there is no program {program}"
        for file in self.files:
            if not Path(fill(file, facts)).exists():
                return f"there is no file {fill(file, facts)}"
        return ""

    def with_facts(self, facts: Mapping[str, str]) -> Peer:
        """The recipe with everything filled in."""
        facts = {**facts, "program": fill(self.program, facts)}
        return replace(
            self,
            command=fill(self.command, facts),
            env={name: fill(value, facts) for name, value in self.env.items()},
            model_name=fill(self.model_name, facts),
        )


def _llama_cpp(kind: str, weights: str) -> Peer:
    gguf = f"{{models}}/{{name}}-{kind}.gguf"
    return Peer(
        # 32 slots of 4096 tokens each.
        f"{{program}} -m {gguf} --host 127.0.0.1 --port {{port}} -t {{threads}} -tb {{threads}} "
        "-c 131072 -np 32 -cb --no-webui --log-disable",
        api="llama.cpp",
        program="llama-server",
        files=(gguf,),
        weights=weights,
    )


def _ours(weights: str, options: str = "") -> Peer:
    return Peer(
        "{python} -m sglang.launch_server --model-path {model} --served-model-name {name} "
        f"--device cpu --host 127.0.0.1 --port {{port}} --log-level warning{options}",
        api="sglang-oai",
        weights=weights,
        is_ours=True,
    )


BUILT_IN: dict[str, Peer] = {
    "sglang": _ours("bf16"),
    "sglang-int8": _ours("int8", " --torchao-config int8dq"),
    # As many bits as Q4_0.
    "sglang-int4": _ours("int4", " --torchao-config int4wo-32"),
    "llama.cpp": _llama_cpp("bf16", "bf16"),
    "llama.cpp-Q8_0": _llama_cpp("Q8_0", "int8"),
    "llama.cpp-Q4_0": _llama_cpp("Q4_0", "int4"),
    "vllm": Peer(
        "{program} serve {model} --served-model-name {name} --dtype bfloat16 "
        "--max-model-len 4096 --host 127.0.0.1 --port {port} --disable-uvicorn-access-log",
        program="vllm",
        env={
            "VLLM_CPU_KVCACHE_SPACE": "4",
            # Left alone, it keeps one core free.
            "VLLM_CPU_OMP_THREADS_BIND": "{cpus}",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
        },
    ),
}


def facts_for(model: Path, port: int) -> dict[str, str]:
    """What recipes may refer to."""
    cpus = sorted(os.sched_getaffinity(0))
    return {
        "model": str(model),
        "name": model.name,
        "models": str(model.parent),
        "port": str(port),
        "threads": str(len(cpus)),
        "cpus": ",".join(map(str, cpus)),
        "python": sys.executable,
    }


def fill(template: str, facts: Mapping[str, str]) -> str:
    """Replace ``{fact}``; any other braces stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda match: facts.get(match[1], match[0]), template)


def parse_peer(text: str) -> tuple[str, Peer]:
    """``NAME=COMMAND`` or ``NAME:API=COMMAND``; raises ValueError for anything else."""
    head, equals, command = text.partition("=")
    name, _, api = head.partition(":")
    if not equals or not name:
        raise ValueError(f"expected NAME=COMMAND, got {text!r}")
    return name, Peer(command.strip(), api=api or "vllm", health="/v1/models")


def read_peers(path: Path) -> dict[str, Peer]:
    """The recipes of a YAML file: by name, the fields of :class:`Peer`.

    What it says of a built-in peer replaces those fields only.

    Raises:
        ValueError: naming the peer and the field that is wrong.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of peers by name")
    return {str(name): _peer(str(name), entry, path) for name, entry in content.items()}


def _peer(name: str, entry: Any, path: Path) -> Peer:
    known = {item.name for item in fields(Peer)}
    if not isinstance(entry, dict) or entry.keys() - known:
        raise ValueError(f"{path}: {name}: expected some of the fields {', '.join(sorted(known))}")
    values = dict(entry)
    for key in ("files", "omit"):
        if key in values:
            values[key] = tuple(values[key])
    if "env" in values:
        values["env"] = {str(key): str(value) for key, value in values["env"].items()}
    try:
        if name in BUILT_IN:
            return replace(BUILT_IN[name], **values)
        return Peer(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {name}: {error}") from None
