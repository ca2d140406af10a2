"""Model classes of installed packages.

A package offers them as entry points of the group ``sglang.models``, each named after an
architecture::

    [project.entry-points."sglang.models"]
    MyForCausalLM = "my_package.model:MyForCausalLM"

Nothing of the package is imported before a checkpoint of that architecture is loaded, and only
the engine process does that.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sglang.srt.configs.errors import ModelLoadError

GROUP = "sglang.models"


def find_plugins() -> dict[str, EntryPoint]:
    """What installed packages offer, by architecture.

    Raises ModelLoadError if two packages offer the same one.
    """
    found: dict[str, EntryPoint] = {}
    for plugin in entry_points(group=GROUP):
        other = found.setdefault(plugin.name, plugin)
        if other.value != plugin.value:
            sources = " and ".join(f"{source_of(each)} ({each.value})" for each in (other, plugin))
            raise ModelLoadError(f"{plugin.name} is offered by {sources}: uninstall one of them")
    return found


def load_plugin(plugin: EntryPoint) -> type[Any]:
    """Import the class.

    Raises ModelLoadError naming the package if it cannot be imported or is no model class.
    """
    try:
        model: type[Any] = plugin.load()
    except Exception as error:  # whatever a package raises while it is imported
        raise ModelLoadError(
            f"{plugin.name} of {source_of(plugin)} cannot be imported from {plugin.value}: {error}"
        ) from error
    if not callable(getattr(model, "from_checkpoint", None)):
        raise ModelLoadError(
            f"{plugin.name} of {source_of(plugin)}: {plugin.value} has no classmethod "
            "from_checkpoint"
        )
    return model


def source_of(plugin: EntryPoint) -> str:
    """The package that offers it."""
    return plugin.dist.name if plugin.dist is not None else "an unknown package"
