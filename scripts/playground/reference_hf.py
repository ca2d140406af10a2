"""The reference output of transformers for a model; see ``sglang.bench.reference_hf``."""

from __future__ import annotations

import sys

from sglang.bench.reference_hf import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="reference_hf.py"))
