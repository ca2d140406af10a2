"""Converts a checkpoint of make_model.py for llama.cpp, with llama.cpp's own converter.

    python benchmarks/cpu/to_gguf.py LLAMA_CPP_SOURCE MODEL_FOLDER --outtype bf16 --outfile FILE

The converter knows byte-level tokenizers by a checksum and refuses others. Ours splits text as
GPT-2's does, so that is what it is told. Needs torch, transformers and the gguf package.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

PRE_TOKENIZER = "gpt-2"
_METHOD = "get_vocab_base_pre"


def main(argv: Sequence[str]) -> None:
    """Run the converter in the folder ``argv[0]`` with the arguments after it."""
    if not argv or argv[0].startswith("-"):
        sys.exit(__doc__)
    source, arguments = Path(argv[0]), list(argv[1:])
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    base = importlib.import_module("conversion.base")
    for kind in vars(base).values():
        if isinstance(kind, type) and _METHOD in vars(kind):
            setattr(kind, _METHOD, lambda self, tokenizer: PRE_TOKENIZER)
    sys.argv = [str(source / "convert_hf_to_gguf.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
