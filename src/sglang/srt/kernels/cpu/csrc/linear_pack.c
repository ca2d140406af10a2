/* A weight matrix [N, K] into panels of PANEL output columns, see linear.h. */
#include "linear.h"
#include "transpose.h"

/* The argument of pack_linear: weight contiguous [n, k], packed of packed_bytes(n, k) bytes. */
typedef struct {
    const char *weight;
    char *packed;
    int64_t n, k, dtype;
} Pack;

/* Rows of 4-byte elements: floats, or pairs of bfloat16 where k is even. */
static void pack_elements(const Pack *p, long panel, float *to) {
    static const float zeros[TRANSPOSED];
    long elements = p->dtype == DTYPE_F32 ? p->k : p->k / 2;
    size_t row_bytes = p->k * dtype_size(p->dtype);
    for (int column = 0; column < PANEL; column += TRANSPOSED)
        for (long i = 0; i < elements; i += TRANSPOSED) {
            const char *rows[TRANSPOSED];
            for (int r = 0; r < TRANSPOSED; r++) {
                long row = panel * PANEL + column + r;
                rows[r] = row < p->n ? p->weight + row * row_bytes + i * 4 : (const char *)zeros;
            }
            transpose_tile(rows, 0, (int)MIN(TRANSPOSED, elements - i), to + i * PANEL + column,
                           PANEL);
        }
}

/* Any k; bfloat16 singly or in pairs, an odd last one beside a zero. */
static void pack_bf16(const Pack *p, long panel, bf16 *to) {
    int pair = BF16_DOT ? 2 : 1;
    const bf16 *weight = (const bf16 *)p->weight;
    for (long i = 0; i < ROUND_UP(p->k, pair); i++)
        for (int column = 0; column < PANEL; column++) {
            long row = panel * PANEL + column;
            to[(i / pair * PANEL + column) * pair + i % pair] =
                row < p->n && i < p->k ? weight[row * p->k + i] : 0;
        }
}

static void pack_range(const void *context, long begin, long end) {
    const Pack *p = context;
    for (long panel = begin; panel < end; panel++) {
        char *to = p->packed + panel * panel_bytes(p->k, p->dtype);
        if (p->dtype == DTYPE_F32 || (BF16_DOT && p->k % 2 == 0))
            pack_elements(p, panel, (float *)to);
        else
            pack_bf16(p, panel, (bf16 *)to);
    }
}

static int64_t panel_count(int64_t n) { return (n + PANEL - 1) / PANEL; }

EXPORT int64_t packed_bytes(int64_t n, int64_t k, int64_t dtype) {
    return panel_count(n) * (int64_t)panel_bytes(k, (int)dtype);
}

EXPORT int pack_linear(const Pack *p) {
    parallel_ranges(panel_count(p->n), 4, pack_range, p);
    return 0;
}
