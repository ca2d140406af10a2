"""Kernels in C for CPUs, compiled at first use."""
