"""``python -m sglang``: the same as the ``sglang`` command."""

from __future__ import annotations

import sys

from sglang.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
