"""The operations as Triton kernels, for GPUs (and, slowly, for CPUs in Triton's interpreter)."""
