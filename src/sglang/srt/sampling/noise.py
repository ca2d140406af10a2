"""The randomness of sampling: a pure function of (seed, position).

Nothing is carried from step to step, so a seed yields the same draws whatever else is in
the batch, after a retraction, and with or without a prefix hit. The generator is SplitMix64
(G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
the i-th output of a stream is ``mix(start + (i + 1) * GAMMA)``, which needs no predecessor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_ONE = np.uint64(1)
_DROPPED_BITS = np.uint64(11)
_UNIT = 2.0**-53


def uniform(seeds: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """One draw per element.

    Args:
        seeds: [B] int64, the seed of each request.
        positions: [B] int64, index (>= 0) of the output token that the draw decides.

    Returns:
        [B] float64 in [0, 1), multiples of 2**-53.
    """
    # Mixing the seed first keeps neighbouring seeds from being shifts of one another.
    start = _mix(seeds.astype(np.uint64))
    bits = _mix(start + (positions.astype(np.uint64) + _ONE) * _GAMMA)
    draws = (bits >> _DROPPED_BITS).astype(np.float64)
    draws *= _UNIT
    return draws


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, a bijection of 64-bit words. Arithmetic wraps."""
    z = (z ^ (z >> _SHIFT_1)) * _MIX_1
    z = (z ^ (z >> _SHIFT_2)) * _MIX_2
    z ^= z >> _SHIFT_3
    return z
