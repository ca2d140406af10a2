"""Carries external model classes from the process that registered them to the engine process.

A class travels as the name of its module and its own name, and is imported again on the other
side. A class of the script that was started (``__main__``) travels with the script's path, which
is run again under the name ``__mp_main__``, as multiprocessing does: such a script must start its
server under ``if __name__ == "__main__":``.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from typing import Any, TypedDict

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.registry import ModelRegistry

_RUNNING_SCRIPT_ENV = "SGLANG_RUNNING_SCRIPT_AGAIN"
_SCRIPT_NAME = "__mp_main__"


class ExternalModel(TypedDict):
    """One registered class, as plain JSON."""

    architecture: str
    module: str
    qualname: str
    script: str
    """Path of the script for classes of ``__main__``, else empty."""
    search_path: list[str]
    """``sys.path`` of the process that registered it."""


def describe_external_models() -> list[ExternalModel]:
    """What :func:`register_external_models` needs in the engine process.

    Raises ModelLoadError for a class that another process cannot import.
    """
    if os.environ.get(_RUNNING_SCRIPT_ENV):
        raise ModelLoadError(
            "the script that registers a model starts a server when it is imported: put that "
            'under if __name__ == "__main__":'
        )
    return [_describe(name, model) for name, model in ModelRegistry.models.external().items()]


def _describe(architecture: str, model: type[Any]) -> ExternalModel:
    module, qualname, script = model.__module__, model.__qualname__, ""
    if "<locals>" in qualname:
        raise ModelLoadError(f"model class {qualname} is local to a function: it must be global")
    if module in ("__main__", _SCRIPT_NAME):
        script = getattr(sys.modules[module], "__file__", None) or ""
        if not script:
            raise ModelLoadError(f"model class {qualname} must be defined in a file")
        script = os.path.abspath(script)
    return ExternalModel(
        architecture=architecture,
        module=module,
        qualname=qualname,
        script=script,
        search_path=[os.path.abspath(entry) for entry in sys.path],
    )


def register_external_models(models: Sequence[ExternalModel]) -> None:
    """Import the described classes and register them here.

    Raises ModelLoadError if one cannot be found.
    """
    scripts: dict[str, dict[str, Any]] = {}
    for model in models:
        sys.path.extend(entry for entry in model["search_path"] if entry not in sys.path)
        name = f"{model['module']}.{model['qualname']}"
        try:
            if model["script"]:
                if model["script"] not in scripts:
                    scripts[model["script"]] = _run_script(model["script"])
                found: Any = scripts[model["script"]]
            else:
                found = vars(importlib.import_module(model["module"]))
            first, *rest = model["qualname"].split(".")
            found = found[first]
            for part in rest:
                found = getattr(found, part)
        except (ImportError, KeyError, AttributeError, OSError) as error:
            raise ModelLoadError(f"cannot import model class {name}: {error}") from error
        ModelRegistry.models[model["architecture"]] = found


def _run_script(path: str) -> dict[str, Any]:
    os.environ[_RUNNING_SCRIPT_ENV] = "1"
    try:
        return runpy.run_path(path, run_name=_SCRIPT_NAME)
    finally:
        del os.environ[_RUNNING_SCRIPT_ENV]
