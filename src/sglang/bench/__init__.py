"""What the benchmark tools share: prompts, load, measurements, reports.

The tools themselves are :mod:`sglang.bench_one_batch`, :mod:`sglang.bench_offline_throughput` and
:mod:`sglang.bench_serving`. Whatever only sends requests needs no torch.
"""
