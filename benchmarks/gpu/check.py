"""Checks the GPU backend and measures it: one command for a machine with a GPU.

    python benchmarks/gpu/check.py [--budget 450] [--only kernels,equality,speed] [--json FILE]
    python benchmarks/gpu/check.py --dry-run

Every kernel is compared with its reference at real sizes; a tiny model is served in several ways,
which must all say the same; then the models of the targets are measured with made-up weights in
their real shapes. Beside each figure stands its limit, as measured on the same machine just before.
What is not reached within the budget is said to be not measured. Exits with 1 if a check failed.

Needs torch with CUDA, triton and the packages of sglang's engine; nothing is downloaded.
``--dry-run`` walks the same way on a CPU, in Triton's interpreter, at tiny sizes.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src"
PARTS = ("kernels", "equality", "speed")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", type=float, default=450, help="seconds (default: 450)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, on a CPU")
    options = parser.parse_args(argv)
    options.parts = options.only.split(",")
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"--only: there is no part {part!r}; there are {', '.join(PARTS)}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    if SOURCES.is_dir():
        sys.path.insert(0, str(SOURCES))
    if options.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch
    import triton

    if not options.dry_run and not torch.cuda.is_available():
        print("no CUDA device is available; --dry-run does without", file=sys.stderr)
        return 2
    from report import Report
    from timing import Budget, clocks, copy_bandwidth, matmul_rate

    from sglang.srt.device import choose_device

    started = time.monotonic()
    budget, report = Budget(options.budget), Report()
    device = choose_device("cpu" if options.dry_run else "cuda")
    report.facts = {
        "device": device.name,
        "capability": device.capability,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
        "clocks_before": clocks(),
    }
    copy_rate = matrix_rate = 0.0
    if not options.dry_run:
        copy_rate, matrix_rate = copy_bandwidth(), matmul_rate()
        report.facts |= {"copy_bytes_s": copy_rate, "matmul_operations_s": matrix_rate}
        torch.cuda.empty_cache()
    for name, value in report.facts.items():
        print(f"{name}: {value}")
    with torch.inference_mode():
        _run_parts(options, report, budget, device.torch_device.type, copy_rate, matrix_rate)
    report.facts |= {"clocks_after": clocks(), "seconds": time.monotonic() - started}
    print(f"\nclocks_after: {report.facts['clocks_after']}")
    if options.json is not None:
        report.write(options.json)
    failed = report.failed
    print(f"{len(failed)} of {len(report.rows)} rows failed, {report.facts['seconds']:.0f} s")
    for row in failed:
        print(f"  {row.line()}")
    return 1 if failed else 0


def _run_parts(
    options: argparse.Namespace,
    report: object,
    budget: object,
    device: str,
    copy_rate: float,
    matrix_rate: float,
) -> None:
    from kernel_checks import TINY, Sizes, check_kernels

    from sglang.srt.device import choose_device
    from sglang.srt.kernels import TritonSettings
    from sglang.srt.kernels.triton.kernels import TritonKernels

    shared_memory = choose_device(device).shared_memory
    if "kernels" in options.parts:
        kernels = TritonKernels(device, TritonSettings(shared_memory=shared_memory))
        sizes = TINY if options.dry_run else Sizes()
        check_kernels(report, kernels, device, sizes, budget, copy_rate)
    if options.parts == ["kernels"]:
        return
    try:
        from serving import WAYS, check_equality, measure_speed
    except ModuleNotFoundError as error:
        for part in options.parts[1:]:
            report.missing("Whole models", part, f"the package {error.name} is not installed")
        return
    if "equality" in options.parts:
        ways = ["triton, chunks of 16"] if options.dry_run else list(WAYS)
        check_equality(report, device, budget, ways=ways)
    if "speed" in options.parts and not options.dry_run:
        measure_speed(report, budget, copy_rate, matrix_rate)


if __name__ == "__main__":
    sys.exit(main())
