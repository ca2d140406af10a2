/* The largest value of each row and where it is, or -1 if that allows no choice. */
#include "simd.h"

enum { BLOCK = 512 }; /* values that stay in the first-level cache while they are looked at twice */

/* The argument of best_tokens: x [rows, columns] with rows x_stride values apart. */
typedef struct {
    const float *x;
    float *values;
    int64_t *indices;
    int64_t rows, columns, x_stride;
} BestTokens;

static bool has_nan(const float *x, long n) {
    int32_t found = 0;
    for (long i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, 4);
        found |= (bits & 0x7fffffff) > 0x7f800000;
    }
    return found;
}

static float block_max(const float *x, long n) {
    vf best = vf_set1(-INFINITY);
    for (long i = 0; i < n; i += VF_WIDTH)
        best = vf_max(best, n - i >= VF_WIDTH ? vf_load(x + i)
                                              : vf_load_part(x + i, (int)(n - i), -INFINITY));
    return vf_largest(best);
}

static void best_tokens_range(const void *context, long begin, long end) {
    const BestTokens *r = context;
    for (long row = begin; row < end; row++) {
        const float *x = r->x + row * r->x_stride;
        float best = -INFINITY;
        long at = 0;
        for (long start = 0; start < r->columns; start += BLOCK) {
            long n = MIN((long)BLOCK, r->columns - start);
            if (has_nan(x + start, n)) {
                best = NAN;
                break;
            }
            float found = block_max(x + start, n);
            if (found <= best) continue;
            best = found;
            for (at = start; x[at] != best;) at++;
        }
        r->values[row] = best;
        r->indices[row] = isfinite(best) ? at : -1;
    }
}

EXPORT int best_tokens(const BestTokens *r) {
    parallel_ranges(r->rows, 1, best_tokens_range, r);
    return 0;
}
