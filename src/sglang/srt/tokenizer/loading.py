"""From the files of a checkpoint to a :class:`~sglang.srt.tokenizer.tokenizer.Tokenizer`.

Reads what Hugging Face checkpoints carry: ``tokenizer.json`` (the tokenizer itself),
``tokenizer_config.json`` and the older ``special_tokens_map.json`` and ``added_tokens.json``
(special tokens), ``chat_template.jinja``, ``additional_chat_templates/*.jinja`` and
``chat_template.json``. What adds a BOS to a text is the post-processor in ``tokenizer.json``, as
in transformers. Checkpoints without that file go through transformers itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as TokenizerCore

from sglang.srt.configs.gguf_file import is_gguf
from sglang.srt.tokenizer.backends import FastBackend, TransformersBackend
from sglang.srt.tokenizer.gguf_tokenizer import load_gguf_tokenizer
from sglang.srt.tokenizer.tokenizer import NAMED_SPECIAL_TOKENS, SpecialTokens, Tokenizer

MODES = ("auto", "slow")

Json = dict[str, Any]


class TokenizerLoadError(ValueError):
    """A directory has no tokenizer, or one that cannot be read."""


def load_tokenizer(
    path: str,
    *,
    mode: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str | None = None,
) -> Tokenizer:
    """Load the tokenizer of a checkpoint in a local directory, or of a GGUF file.

    ``mode`` is ``auto`` or ``slow`` (transformers with ``use_fast=False``). ``revision`` and
    ``trust_remote_code`` reach transformers where it is used. ``chat_template`` is Jinja source
    that takes the place of the checkpoint's own.

    Raises TokenizerLoadError (a ValueError) naming the file that is missing or broken.
    """
    folder = Path(path)
    if mode not in MODES:
        raise TokenizerLoadError(f"tokenizer mode {mode!r} is none of {', '.join(MODES)}")
    if is_gguf(folder):
        tokenizer = load_gguf_tokenizer(folder)
    elif not folder.is_dir():
        raise TokenizerLoadError(f"no tokenizer: {path} is not a directory")
    elif mode == "auto" and (folder / "tokenizer.json").is_file():
        tokenizer = _load_fast(folder)
    else:
        tokenizer = _load_with_transformers(folder, mode, revision, trust_remote_code)
    tokenizer.name_or_path = path
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return tokenizer


def _load_fast(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    config = _read_json(folder / "tokenizer_config.json")
    special = _special_tokens(folder, config)
    try:
        core = TokenizerCore.from_file(str(file))
        core.encode_special_tokens = bool(config.get("split_special_tokens", False))
        _complete_added_tokens(core, folder, config, special)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust side panics with an exception of its own kind
        raise TokenizerLoadError(f"{file}: not a readable tokenizer: {error}") from error
    names = {role: _content(token) for role, token in special[0].items()}
    return Tokenizer(
        FastBackend(core),
        SpecialTokens(names, tuple(_content(token) for token in special[1])),
        chat_template=_chat_template(folder, config),
        model_max_length=_max_length(config),
    )


def _load_with_transformers(
    folder: Path, mode: str, revision: str | None, trust_remote_code: bool
) -> Tokenizer:
    from transformers import AutoTokenizer

    config = _read_json(folder / "tokenizer_config.json")
    try:
        loaded: Any = AutoTokenizer.from_pretrained(
            str(folder),
            use_fast=mode != "slow",
            revision=revision,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
        )
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TokenizerLoadError(
            f"{folder}: no tokenizer.json, and transformers cannot load another tokenizer from "
            f"it: {reason}"
            if mode == "auto"
            else f"{folder}: transformers: {reason}"
        ) from error
    core: Any = getattr(loaded, "backend_tokenizer", None)
    is_core = isinstance(core, TokenizerCore)
    named = {
        role: str(token)
        for role, token in loaded.special_tokens_map.items()
        if isinstance(token, str)
    }
    extra = [token for token in loaded.all_special_tokens if token not in named.values()]
    return Tokenizer(
        FastBackend(core) if is_core else TransformersBackend(loaded),
        SpecialTokens(named, tuple(extra)),
        chat_template=_chat_template(folder, config),
        model_max_length=loaded.model_max_length,
    )


# -- special tokens -----------------------------------------------------------------------

Special = tuple[dict[str, Any], list[Any]]
"""Named and further special tokens as the files have them: strings or token objects."""


def _special_tokens(folder: Path, config: Json) -> Special:
    merged = dict(config)
    if "added_tokens_decoder" not in config:  # the older layout splits them off
        merged.update(_read_json(folder / "special_tokens_map.json"))
    extra = merged.get("extra_special_tokens") or merged.get("additional_special_tokens") or []
    named = {role: merged[role] for role in NAMED_SPECIAL_TOKENS if _is_token(merged.get(role))}
    for key, value in merged.items():  # roles that only this model has, such as image_token
        if key.endswith("_token") and key not in NAMED_SPECIAL_TOKENS and _is_token(value):
            named[key] = value
    if isinstance(extra, dict):
        named.update({role: value for role, value in extra.items() if _is_token(value)})
        extra = []
    return named, [token for token in extra if _is_token(token)]


def _is_token(value: Any) -> bool:
    if isinstance(value, dict):
        value = value.get("content")
    return isinstance(value, str) and value != ""


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _added_token(token: Any, **defaults: bool) -> AddedToken:
    if not isinstance(token, dict):
        return AddedToken(str(token), **defaults)
    flags = {
        flag: bool(token[flag])
        for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")
        if flag in token
    }
    return AddedToken(str(token["content"]), **{**defaults, **flags})


def _complete_added_tokens(
    core: TokenizerCore, folder: Path, config: Json, special: Special
) -> None:
    """Add the tokens that only the files beside ``tokenizer.json`` declare."""
    declared = config.get("added_tokens_decoder")
    wanted: list[AddedToken] = []
    if isinstance(declared, dict):
        present = {repr(token) for token in core.get_added_tokens_decoder().values()}
        tokens = [_added_token(declared[index]) for index in sorted(declared, key=int)]
        wanted = [token for token in tokens if repr(token) not in present]
    else:
        names = {_content(token) for token in (*special[0].values(), *special[1])}
        legacy = _read_json(folder / "added_tokens.json")
        for content in sorted(legacy, key=legacy.__getitem__):
            is_special = content in names
            wanted.append(AddedToken(content, normalized=not is_special, special=is_special))
    known = {token.content for token in core.get_added_tokens_decoder().values()}
    wanted = [t for t in wanted if isinstance(declared, dict) or t.content not in known]
    known.update(token.content for token in wanted)
    for token in (*special[0].values(), *special[1]):
        if _content(token) not in known:
            known.add(_content(token))
            wanted.append(_added_token(token, special=True, normalized=False))
    if wanted:
        core.add_tokens(wanted)


# -- templates and small facts --------------------------------------------------------------


def _chat_template(folder: Path, config: Json) -> str | dict[str, str] | None:
    files = {p.stem: p for p in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
    if (folder / "chat_template.jinja").is_file():
        files["default"] = folder / "chat_template.jinja"
    if files:
        sources = {name: file.read_text(encoding="utf-8") for name, file in files.items()}
        return sources["default"] if list(sources) == ["default"] else sources
    template = config.get("chat_template")
    if template is None:
        template = _read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}
    if template is None or isinstance(template, str):
        return template
    if isinstance(template, dict) and all(isinstance(v, str) for v in template.values()):
        return template
    raise TokenizerLoadError(f"{folder}: chat_template is neither a string nor named strings")


def _max_length(config: Json) -> int | None:
    value = config.get("model_max_length")
    return int(value) if isinstance(value, (int, float)) and value > 0 else None


def _read_json(file: Path) -> Json:
    """The object in ``file``, empty if there is no such file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerLoadError(f"{file}: not readable JSON: {error}") from error
    if not isinstance(data, dict):
        raise TokenizerLoadError(f"{file}: holds no JSON object")
    return data
