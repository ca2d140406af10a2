"""Which class implements which architecture.

Built-in classes are imported when they are first asked for. An external model registers itself
before the server starts::

    from sglang.srt.models.registry import ModelRegistry
    ModelRegistry.models["MyForCausalLM"] = MyForCausalLM

Its class must implement :class:`sglang.srt.models.interface.CausalLM` and be constructible by

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

_BUILT_IN = {
    "BaiChuanForCausalLM": "baichuan",
    "BaichuanForCausalLM": "baichuan",
    "ChatGLMForConditionalGeneration": "chatglm",
    "ChatGLMModel": "chatglm",
    "Cohere2ForCausalLM": "cohere",
    "CohereForCausalLM": "cohere",
    "ExaoneForCausalLM": "exaone",
    "GPT2LMHeadModel": "gpt2",
    "GPTBigCodeForCausalLM": "gpt2",
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3",
    "GemmaForCausalLM": "gemma",
    "Glm4ForCausalLM": "glm",
    "GlmForCausalLM": "glm",
    "GraniteForCausalLM": "granite",
    "InternLM2ForCausalLM": "internlm2",
    "LlamaForCausalLM": "llama",
    "MiniCPMForCausalLM": "minicpm",
    "MistralForCausalLM": "mistral",
    "Olmo2ForCausalLM": "olmo2",
    "OlmoForCausalLM": "olmo",
    "Phi3ForCausalLM": "phi3",
    "QWenLMHeadModel": "qwen",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "SmolLM3ForCausalLM": "smollm3",
    "StableLMEpochForCausalLM": "stablelm",
    "StableLmForCausalLM": "stablelm",
    "XverseForCausalLM": "xverse",
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


class ModelTable(MutableMapping[str, type[Any]]):
    """Architecture name -> model class; built-in classes are imported on access."""

    def __init__(self, built_in: dict[str, str]) -> None:
        """``built_in`` maps a class name to its module in this package."""
        self._built_in = dict(built_in)
        self._classes: dict[str, type[Any]] = {}

    def __getitem__(self, name: str) -> type[Any]:
        if name in self._classes:
            return self._classes[name]
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
        return iter({**self._built_in, **self._classes})

    def __len__(self) -> int:
        return len({**self._built_in, **self._classes})

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in self._built_in

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

    def check(self, architectures: Iterable[str]) -> str:
        """The first of ``architectures`` that is supported; imports nothing.

        Raises ModelLoadError that lists what is.
        """
        wanted = list(architectures)
        for name in wanted:
            if name in self.models or name in _POOLED:
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
