"""Which class of transformers runs a checkpoint that has no page, or why none does.

Nothing is built and no weight is read here; what only shows when the model runs is found by
``TransformersModel``.
"""

from __future__ import annotations

from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig

_LAYER_KINDS = {"full_attention", "sliding_attention", "attention"}
"""Those whose memory of a sequence is keys and values in the order of the tokens."""

_KIND_KEYS = ("layer_types", "layers_block_type", "block_types", "attention_types")
_ROPES_BY_LENGTH = ("dynamic", "longrope")
_OTHER_SENSES = ("vision_config", "audio_config", "speech_config", "vq_config")
_WITHOUT_EFFECT = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}


def transformers_class(config: ModelConfig) -> tuple[type[Any], Any]:
    """The model class and the configuration for it.

    Raises ModelLoadError whose message is the reason why transformers' module cannot be served.
    """
    if not config.is_generation:
        raise ModelLoadError(
            "embeddings and scores of models that run through transformers are not implemented yet"
        )
    model_class, config_class = _remote(config) or _own(config)
    check_class(model_class)
    hf_config = _parsed(config_class, config)
    check_config(hf_config)
    return model_class, hf_config


def config_facts(config: ModelConfig) -> dict[str, Any]:
    """What transformers makes of ``config.json``, without what has no effect on the model."""
    facts: dict[str, Any] = transformers_class(config)[1].to_dict()
    return {key: value for key, value in facts.items() if key not in _WITHOUT_EFFECT}


def kv_shape(hf_config: Any) -> tuple[int, int, int]:
    """Layers, heads and numbers a head that are kept of a token, as configurations tell it."""
    num_heads = int(hf_config.num_attention_heads)
    num_kv_heads = getattr(hf_config, "num_key_value_heads", None) or num_heads
    head_dim = getattr(hf_config, "head_dim", None) or hf_config.hidden_size // num_heads
    if getattr(hf_config, "qk_nope_head_dim", None):  # latent attention, which is unfolded here
        num_kv_heads = num_heads
        head_dim = max(
            hf_config.qk_nope_head_dim + hf_config.qk_rope_head_dim, hf_config.v_head_dim
        )
    return int(hf_config.num_hidden_layers), int(num_kv_heads), int(head_dim)


def _own(config: ModelConfig) -> tuple[type[Any], type[Any]]:
    """A class of transformers itself, and that of its configuration."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    model_type = config.hf_config.get("model_type")
    names = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type) if model_type else None
    # A type may have several classes, of which the first is the one for text.
    known = {names} if isinstance(names, str) else set(names or ())
    name = next((each for each in config.architectures if each in known), None)
    if name is None:
        raise ModelLoadError(
            f"transformers {transformers.__version__} has no causal language model "
            f"{', '.join(config.architectures)} of model_type {model_type!r}"
        )
    model_class: type[Any] = getattr(transformers, name)
    return model_class, model_class.config_class


def _remote(config: ModelConfig) -> tuple[type[Any], type[Any]] | None:
    """The checkpoint's own classes, if it brings one and may be trusted."""
    sources = config.hf_config.get("auto_map")
    if not config.trust_remote_code or not isinstance(sources, dict):
        return None
    if "AutoModelForCausalLM" not in sources or "AutoConfig" not in sources:
        return None
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    try:
        model_class, config_class = (
            get_class_from_dynamic_module(sources[key], config.model_path)
            for key in ("AutoModelForCausalLM", "AutoConfig")
        )
    except (OSError, ImportError, AttributeError, SyntaxError) as error:
        raise ModelLoadError(f"its own code cannot be imported: {error}") from error
    return model_class, config_class


def _parsed(config_class: type[Any], config: ModelConfig) -> Any:
    facts = {key: value for key, value in config.hf_config.items() if key != "quantization_config"}
    try:
        return config_class.from_dict(facts)
    except Exception as error:  # each class has checks of its own, and errors of its own
        reason = " ".join(str(error).split())
        raise ModelLoadError(f"config.json: transformers refuses it: {reason}") from error


def check_class(model_class: type[Any]) -> None:
    """Raises ModelLoadError if nothing that ``model_class`` runs can be served."""
    name = model_class.__name__
    if getattr(model_class, "_is_stateful", False):
        raise ModelLoadError(
            f"{name} keeps a state besides keys and values, which is not implemented yet"
        )
    if not getattr(model_class, "_supports_attention_backend", False):
        raise ModelLoadError(
            f"the attention of transformers' {name} cannot be replaced (it does not use the "
            "attention interface)"
        )


def check_config(hf_config: Any) -> None:
    """Raises ModelLoadError if a model of this configuration cannot be served."""
    for key in _OTHER_SENSES:
        if getattr(hf_config, key, None):
            raise ModelLoadError(
                f"it has a {key}: models with images or sound are not implemented yet"
            )
    # Decoders may say so as well, but only these can be told to have cross attention.
    if not getattr(hf_config, "is_decoder", True) and hasattr(hf_config, "add_cross_attention"):
        raise ModelLoadError("it is an encoder, which generates no text")
    if getattr(hf_config, "is_encoder_decoder", False):
        raise ModelLoadError("it has an encoder and a decoder, which is not implemented yet")
    if getattr(hf_config, "add_cross_attention", False):
        raise ModelLoadError("it has cross attention, which is not implemented yet")
    for key in _KIND_KEYS:
        kinds = getattr(hf_config, key, None)
        strange = {kind for kind in kinds or () if isinstance(kind, str)} - _LAYER_KINDS
        if strange:
            raise ModelLoadError(
                f"it has layers of kind {', '.join(sorted(strange))}, which are not implemented yet"
            )
    rope = getattr(hf_config, "rope_parameters", None) or {}
    for each in (rope, *(part for part in rope.values() if isinstance(part, dict))):
        if each.get("rope_type") in _ROPES_BY_LENGTH:
            raise ModelLoadError(
                f"its rotary positions (rope type {each['rope_type']}) depend on the longest "
                "sequence of a batch, which is not implemented yet"
            )
