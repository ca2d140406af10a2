"""The chat templates that ``--chat-template`` knows by name.

The sources lie in ``chat_templates/``, one Jinja file a format.
"""

from __future__ import annotations

from pathlib import Path

from sglang.srt.tokenizer.conversation_file import ConversationTemplate

_FOLDER = Path(__file__).parent / "chat_templates"

# name -> (file, stop strings: what a model that ignores its end token writes next)
_TEMPLATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "chatml": ("chatml", ("<|im_end|>", "<|endoftext|>")),
    "deepseek-v3": ("deepseek-v3", ("<｜end▁of▁sentence｜>",)),  # noqa: RUF001
    "gemma": ("gemma", ("<end_of_turn>",)),
    "gemma-it": ("gemma", ("<end_of_turn>",)),
    "llama-2": ("llama-2", ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")),
    "llama-3": ("llama-3", ("<|eot_id|>", "<|end_of_text|>")),
    "mistral": ("mistral", ("[INST]", "[/INST]")),
    "phi-3": ("phi-3", ("<|end|>", "<|endoftext|>")),
    "qwen": ("qwen", ("<|im_end|>", "<|endoftext|>")),
    "vicuna": ("vicuna", ("</s>",)),
    "vicuna_v1.1": ("vicuna", ("</s>",)),
    "zephyr": ("zephyr", ("</s>",)),
}

_VISION = frozenset(
    {
        "chatml-llava",
        "deepseek-vl2",
        "gme-qwen2-vl",
        "janus-pro",
        "llama_3_vision",
        "llava-v1.6-34b",
        "llava_llama_3",
        "minicpmv",
        "qwen2-vl",
        "vicuna_v1.1_llava",
    }
)

NAMES = tuple(_TEMPLATES)


def is_vision(name: str) -> bool:
    """Whether this is the documented name of a vision template (none is implemented yet)."""
    return name in _VISION


def find(name: str) -> ConversationTemplate | None:
    """The built-in template of that name, None if there is none."""
    if name not in _TEMPLATES:
        return None
    file, stop = _TEMPLATES[name]
    source = (_FOLDER / f"{file}.jinja").read_text(encoding="utf-8")
    return ConversationTemplate(source, stop)
