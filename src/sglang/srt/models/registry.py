"""Which class implements which architecture.

Built-in classes are imported when they are first asked for. An external model registers itself
before the server starts::

    from sglang.srt.models.registry import ModelRegistry
    ModelRegistry.models["MyForCausalLM"] = MyForCausalLM

An installed package can offer classes as well, see :mod:`sglang.srt.models.plugins`. What was
registered goes before what is offered, and that before what is built in.

A class must implement :class:`sglang.srt.models.interface.CausalLM` and be constructible by

    ``from_checkpoint(config: ModelConfig, reader: WeightReader, kernels: Kernels) -> CausalLM``

(a classmethod), which asks ``reader`` for every tensor by name, shape and shard dimension and
passes ``kernels`` on to its layers. A class that also follows ``config.quantization`` says so with
``supports_quantization = True``, one that reads ``ForwardBatch.embeds`` with
``supports_input_embeds = True``. ``decoder.Decoder`` is such a class, and the quickest way to add a
family is to subclass it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Literal

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.plugins import find_plugins, load_plugin

_BUILT_IN = {
    "BaiChuanForCausalLM": "baichuan",
    "BaichuanForCausalLM": "baichuan",
    "BloomForCausalLM": "bloom",
    "ChatGLMForConditionalGeneration": "chatglm",
    "ChatGLMModel": "chatglm",
    "Cohere2ForCausalLM": "cohere",
    "CohereForCausalLM": "cohere",
    "DbrxForCausalLM": "dbrx",
    "DeepseekForCausalLM": "deepseek",
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v2",
    "ExaoneForCausalLM": "exaone",
    "GPT2LMHeadModel": "gpt2",
    "GPTBigCodeForCausalLM": "gpt2",
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3",
    "GemmaForCausalLM": "gemma",
    "Glm4ForCausalLM": "glm",
    "Glm4MoeForCausalLM": "glm4_moe",
    "Glm4MoeLiteForCausalLM": "glm4_moe_lite",
    "GlmForCausalLM": "glm",
    "GptOssForCausalLM": "gpt_oss",
    "Grok1ForCausalLM": "grok",
    "Grok1ModelForCausalLM": "grok",
    "GraniteForCausalLM": "granite",
    "GraniteMoeForCausalLM": "granite_moe",
    "GraniteMoeSharedForCausalLM": "granite_moe",
    "InternLM2ForCausalLM": "internlm2",
    "Llama4ForCausalLM": "llama4",
    "LlamaForCausalLM": "llama",
    "MiniCPM3ForCausalLM": "minicpm3",
    "MiniCPMForCausalLM": "minicpm",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mixtral",
    "Olmo2ForCausalLM": "olmo2",
    "MPTForCausalLM": "mpt",
    "MptForCausalLM": "mpt",
    "OlmoForCausalLM": "olmo",
    "OlmoeForCausalLM": "olmoe",
    "Phi3ForCausalLM": "phi3",
    "Phi3SmallForCausalLM": "phi3small",
    "PhiMoEForCausalLM": "phimoe",
    "PhimoeForCausalLM": "phimoe",
    "QWenLMHeadModel": "qwen",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen2MoeForCausalLM": "qwen2_moe",
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3MoeForCausalLM": "qwen3_moe",
    "SmolLM3ForCausalLM": "smollm3",
    "StableLMEpochForCausalLM": "stablelm",
    "StableLmForCausalLM": "stablelm",
    "XverseForCausalLM": "xverse",
    "YoutuForCausalLM": "youtu",
    "XverseMoeForCausalLM": "xverse",
    "BertModel": "bert",
    "RobertaModel": "bert",
}

Head = Literal["none", "linear", "value", "mlp", "weighted"]
"""What turns the hidden state of the last token into scores; none: it is the answer itself."""

_POOLED: dict[str, tuple[str, Head]] = {
    "BertModel": ("BertModel", "none"),
    "RobertaModel": ("RobertaModel", "none"),
    "XLMRobertaModel": ("RobertaModel", "none"),
    "LlamaModel": ("LlamaForCausalLM", "none"),
    "LlamaEmbeddingModel": ("LlamaForCausalLM", "none"),
    "MistralModel": ("MistralForCausalLM", "none"),
    "Qwen2Model": ("Qwen2ForCausalLM", "none"),
    "Qwen3Model": ("Qwen3ForCausalLM", "none"),
    "LlamaForSequenceClassification": ("LlamaForCausalLM", "linear"),
    "MistralForSequenceClassification": ("MistralForCausalLM", "linear"),
    "Qwen2ForSequenceClassification": ("Qwen2ForCausalLM", "linear"),
    "Qwen3ForSequenceClassification": ("Qwen3ForCausalLM", "linear"),
    "Gemma2ForSequenceClassification": ("Gemma2ForCausalLM", "linear"),
    "InternLM2ForRewardModel": ("InternLM2ForCausalLM", "value"),
    "Qwen2ForRewardModel": ("Qwen2ForCausalLM", "mlp"),
    "LlamaForSequenceClassificationWithNormal_Weights": ("LlamaForCausalLM", "weighted"),
}
"""Embedding and reward models: the model that they are made of, and its head."""


def pooled_task(architecture: str) -> Literal["embedding", "scores"] | None:
    """What an architecture is for that generates no text; None for all others."""
    if architecture not in _POOLED:
        return None
    return "embedding" if _POOLED[architecture][1] == "none" else "scores"


class ModelTable(MutableMapping[str, type[Any]]):
    """Architecture name -> model class; those that nobody registered are imported on access."""

    def __init__(self, built_in: dict[str, str]) -> None:
        """``built_in`` maps a class name to its module in this package."""
        self._built_in = dict(built_in)
        self._classes: dict[str, type[Any]] = {}

    def __getitem__(self, name: str) -> type[Any]:
        if name in self._classes:
            return self._classes[name]
        if plugin := find_plugins().get(name):
            return load_plugin(plugin)
        module = importlib.import_module(f"sglang.srt.models.{self._built_in[name]}")
        model: type[Any] = getattr(module, name)
        return model

    def __setitem__(self, name: str, model: type[Any]) -> None:
        if not callable(getattr(model, "from_checkpoint", None)):
            raise TypeError(f"{model!r} has no classmethod from_checkpoint")
        self._classes[name] = model

    def __delitem__(self, name: str) -> None:
        # A class registered in the place of a built-in one uncovers it.
        table: dict[str, Any] = self._classes if name in self._classes else self._built_in
        del table[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._built_in, **find_plugins(), **self._classes})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in self._built_in or name in find_plugins()

    def page_of(self, name: str) -> str:
        """The module in this package that has the built-in class ``name``."""
        return self._built_in[name]

    def external(self) -> dict[str, type[Any]]:
        """The classes that were registered from outside."""
        return dict(self._classes)


class Registry:
    """The architectures that can be served."""

    def __init__(self) -> None:
        self.models = ModelTable(_BUILT_IN)

    def supported(self) -> list[str]:
        """Names of all architectures, sorted."""
        return sorted({*self.models, *_POOLED})

    def page_of(self, name: str) -> str:
        """The module in this package that serves the built-in architecture ``name``."""
        below, _ = _POOLED.get(name, (name, "none"))
        return self.models.page_of(below)

    def find(self, architectures: Iterable[str]) -> str | None:
        """The first of ``architectures`` that is supported; imports nothing."""
        known = (name for name in architectures if name in self.models or name in _POOLED)
        return next(known, None)

    def check(self, architectures: Iterable[str]) -> str:
        """As :meth:`find`; raises ModelLoadError that lists what is supported if none is."""
        wanted = list(architectures)
        name = self.find(wanted)
        if name is not None:
            return name
        raise ModelLoadError(
            f"unsupported architecture {', '.join(wanted)}; "
            f"supported are {', '.join(self.supported())}"
        )

    def resolve(self, architectures: Iterable[str]) -> type[Any]:
        """The class of the first of ``architectures`` that is supported, a model of text.

        Raises as check does, and for embedding and reward models.
        """
        name = self.check(architectures)
        if name in _POOLED:
            raise ModelLoadError(f"{name} generates no text")
        return self.models[name]

    def resolve_pooled(self, architectures: Iterable[str]) -> tuple[type[Any], Head]:
        """The class below the head of an embedding or reward model, and the head.

        Models that generate text can be asked for embeddings as well. Raises as check does.
        """
        name = self.check(architectures)
        below, head = _POOLED.get(name, (name, "none"))
        return self.models[below], head


ModelRegistry = Registry()
