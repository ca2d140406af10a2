/* The layout of a packed weight.
 *
 * The output columns (rows of W) are cut into panels of PANEL, the last one filled with zeros. A
 * panel holds, for k = 0, 1, ..., the PANEL weights of that k side by side: floats, bfloat16, or
 * where the CPU has bfloat16 dot products pairs of bfloat16 for k = 2i and 2i + 1. So a product
 * reads every panel once from beginning to end.
 */
#pragma once

#include "tile.h"

enum { PANEL = 2 * VF_WIDTH };

static inline size_t panel_bytes(long k, int dtype) {
    if (dtype == DTYPE_F32) return PANEL * k * sizeof(float);
    return PANEL * ROUND_UP(k, BF16_DOT ? 2 : 1) * sizeof(bf16);
}
