"""What a checkpoint's files say about a model whose answer is no text: an embedding, or scores.

The pooling of embedding models is read where sentence-transformers keeps it: ``modules.json`` names
the modules in their order, and the folder of the Pooling module has a ``config.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.json_file import read_json, read_json_object

Pooling = Literal["last", "mean", "cls"]
"""The hidden state of the last token, the mean of all, or that of the first token."""

_SCORE_SUFFIXES = ("ForSequenceClassification", "ForRewardModel")
_WEIGHTED_SCORE = "ForSequenceClassificationWithNormal_Weights"
"""A reward head that weighs its attributes by the prompt; one score comes out."""

_GENERATING_SUFFIXES = ("LMHeadModel", "ChatGLMModel")
"""Of models of text, though other names that end in "Model" are of those without a head."""

_ENCODERS = ("BertModel", "RobertaModel", "XLMRobertaModel")

_MODES: dict[str, Pooling] = {
    "lasttoken": "last",
    "pooling_mode_lasttoken": "last",
    "mean": "mean",
    "pooling_mode_mean_tokens": "mean",
    "cls": "cls",
    "pooling_mode_cls_token": "cls",
}
"""As sentence-transformers calls them: in one ``pooling_mode``, or as a flag each."""

_HARMLESS_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class PoolingConfig:
    """How hidden states become an answer."""

    pooling: Pooling = "last"
    num_scores: int = 0
    """Outputs of a classification or reward head; 0: the answer is a normalised embedding."""
    is_bidirectional: bool = False
    """Whether tokens see those after them, so that a prompt has to be computed at once."""
    has_sigmoid: bool = True
    """Whether a single score becomes a probability where two texts are compared."""

    @property
    def gives_scores(self) -> bool:
        return self.num_scores > 0


def load_pooling_config(
    folder: Path, architecture: str, config: Mapping[str, Any], *, is_embedding: bool
) -> PoolingConfig | None:
    """What the checkpoint ``folder`` is made for; None: text generation.

    ``is_embedding`` asks for embeddings of a model that could also generate. Raises
    ModelLoadError (one line naming file and field) for what is senseless or not implemented.
    """
    if architecture.endswith(_WEIGHTED_SCORE) or architecture.endswith("ForRewardModel"):
        return PoolingConfig(num_scores=1)
    if architecture.endswith(_SCORE_SUFFIXES):
        return PoolingConfig(num_scores=num_labels(config), has_sigmoid=_has_sigmoid(config))
    if architecture in _ENCODERS:
        return PoolingConfig(_pooling(folder, "mean"), is_bidirectional=True)
    headless = architecture.endswith("Model") and not architecture.endswith(_GENERATING_SUFFIXES)
    if is_embedding or headless:
        return PoolingConfig(_pooling(folder, "last"))
    return None


def _has_sigmoid(config: Mapping[str, Any]) -> bool:
    """As sentence-transformers does unless the checkpoint names another activation."""
    section = config.get("sentence_transformers")
    named = section.get("activation_fn") if isinstance(section, dict) else None
    named = named or config.get("sbert_ce_default_activation_function")
    if named is None or str(named).endswith(".Sigmoid"):
        return True
    if str(named).endswith(".Identity"):
        return False
    raise ModelLoadError(f"config.json: the activation {named!r} of scores is not implemented")


def num_labels(config: Mapping[str, Any]) -> int:
    """Outputs of a classifier: transformers writes their names; without any there are two."""
    names = config.get("id2label")
    count = len(names) if isinstance(names, dict) else config.get("num_labels", 2)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ModelLoadError(f"config.json: 'num_labels' must be a positive integer, got {count!r}")
    return count


def _pooling(folder: Path, default: Pooling) -> Pooling:
    """Of an embedding model; ``default`` where no file says otherwise."""
    modules_path = folder / "modules.json"
    if not modules_path.is_file():
        return default
    modules = read_json(modules_path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelLoadError(f"{modules_path} must list the modules as objects")
    found = default
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _HARMLESS_MODULES:
            raise ModelLoadError(
                f"{modules_path}: a module of type {kind!r} is not implemented yet"
            )
        if kind == "Pooling":
            found = _read_pooling(folder / _plain_name(module.get("path"), modules_path))
    return found


def _read_pooling(folder: Path) -> Pooling:
    path = folder / "config.json"
    config = read_json_object(path)
    chosen = [
        name for name, on in config.items() if name.startswith("pooling_mode_") and on is True
    ]
    if isinstance(config.get("pooling_mode"), str):
        chosen = [config["pooling_mode"]]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        wanted = " and ".join(chosen) or "nothing"
        raise ModelLoadError(
            f"{path}: pooling by {wanted} is not implemented; one of "
            f"{', '.join(get_args(Pooling))} is"
        )
    return _MODES[chosen[0]]


def _plain_name(value: Any, path: Path) -> str:
    """The name of a folder beside ``path``, which cannot lead anywhere else."""
    plain = isinstance(value, str) and value not in ("", ".", "..") and "\0" not in value
    if not plain or "/" in value or "\\" in value:
        raise ModelLoadError(f"{path}: 'path' is {value!r}, no folder of the model")
    return str(value)
