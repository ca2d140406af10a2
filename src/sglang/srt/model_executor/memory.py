"""How many KV slots the free memory makes."""

from __future__ import annotations

DEFAULT_CPU_FRACTION = 0.4
"""Share of the free RAM that the KV pool may grow to; the rest is for the user's programs."""

DEFAULT_GPU_FRACTION = 0.9

DEFAULT_CPU_CONTEXTS = 16
"""On a CPU the pool holds at most this many full contexts unless told otherwise."""

MIN_CPU_SLOTS = 1 << 17


def choose_num_slots(
    *,
    free_bytes: int,
    bytes_per_slot: int,
    device_type: str,
    fraction: float | None,
    max_total_tokens: int | None,
    context_length: int,
) -> int:
    """Number of KV slots for ``free_bytes`` of free memory (model already loaded).

    Raises:
        ValueError: not even one short sequence would fit.
    """
    if fraction is None:
        fraction = DEFAULT_GPU_FRACTION if device_type == "cuda" else DEFAULT_CPU_FRACTION
    slots = int(free_bytes * fraction) // bytes_per_slot
    if max_total_tokens is not None:
        if max_total_tokens > slots:
            raise ValueError(
                f"--max-total-tokens {max_total_tokens} needs "
                f"{max_total_tokens * bytes_per_slot / 2**30:.2f} GiB for the KV cache; "
                f"{free_bytes * fraction / 2**30:.2f} GiB are allowed "
                f"({fraction:.2f} of the free memory, see --mem-fraction-static)"
            )
        return max_total_tokens
    if device_type == "cpu":
        slots = min(slots, max(DEFAULT_CPU_CONTEXTS * context_length, MIN_CPU_SLOTS))
    if slots < 16:
        raise ValueError(
            f"the KV cache has room for {slots} tokens only: {free_bytes / 2**30:.2f} GiB are free "
            f"and --mem-fraction-static is {fraction:.2f}"
        )
    return slots
