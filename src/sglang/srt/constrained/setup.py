"""From the server's options to a grammar store."""

from __future__ import annotations

import importlib.util
import logging
import re

from sglang.srt.constrained.backends import DEFAULT, PACKAGES, BackendConfig
from sglang.srt.constrained.store import GrammarStore

logger = logging.getLogger(__name__)


def make_store(
    backend: str,
    *,
    tokenizer_path: str,
    tokenizer_mode: str,
    trust_remote_code: bool,
    vocab_size: int,
    eos_token_ids: tuple[int, ...],
    whitespace: str | None,
) -> GrammarStore | None:
    """The store for ``--grammar-backend backend``; None for an engine without grammars.

    Raises:
        ValueError: the backend's package is missing, or ``whitespace`` is no regular expression.
    """
    if backend == "none":
        return None
    if whitespace is not None:
        try:
            re.compile(whitespace)
        except re.error as error:
            raise ValueError(f"--constrained-json-whitespace-pattern: {error}") from None
    name = DEFAULT if backend == "auto" else backend
    missing = [each for each in (name, DEFAULT) if not _is_installed(PACKAGES[each])]
    if missing and backend == "auto":
        logger.warning("structured outputs are off: the package llguidance is not installed")
        return None
    if missing:
        raise ValueError(
            f"--grammar-backend {backend} needs a package that is not installed: "
            f"pip install '{PACKAGES[missing[0]]}'"
        )
    return GrammarStore(
        BackendConfig(
            name=name,
            tokenizer_path=tokenizer_path,
            tokenizer_mode=tokenizer_mode,
            trust_remote_code=trust_remote_code,
            vocab_size=vocab_size,
            eos_token_ids=eos_token_ids,
            whitespace=whitespace,
        )
    )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package.replace("-", "_")) is not None
