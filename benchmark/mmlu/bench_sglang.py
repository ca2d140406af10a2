"""The command of the documentation for benchmarks/frontend/mmlu.py, which has the options."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "frontend"
sys.path.insert(0, str(FOLDER))
runpy.run_path(str(FOLDER / "mmlu.py"), run_name="__main__")
