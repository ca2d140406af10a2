/* Rows of activations to integers, see linear_quantized.h. */
#include "linear_quantized.h"

/* Magnitudes are compared as integers, where a NaN is larger than any number. */
static float largest_magnitude(const void *x, int dtype, long begin, long n) {
    vi32 largest = vi_set1(0);
    for (long c = 0; c < n; c += VF_WIDTH)
        largest = vi_max(largest, vi_magnitude(row_load(x, dtype, begin + c, n - c)));
    int32_t lanes[VF_WIDTH], bits = 0;
    vi_store(lanes, largest);
    for (int i = 0; i < VF_WIDTH; i++) bits = MAX(bits, lanes[i]);
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

INLINE void store_values(dot_int *to, vi32 x) {
#if defined(VF_AVX512)
    if (DOT_DEPTH == 4) _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(x));
    else _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(x));
#else
    int32_t lanes[VF_WIDTH];
    vi_store(lanes, x);
    for (int i = 0; i < VF_WIDTH; i++) to[i] = (dot_int)lanes[i];
#endif
}

static int32_t lane_sum(vi32 x) {
    int32_t lanes[VF_WIDTH], sum = 0;
    vi_store(lanes, x);
    for (int i = 0; i < VF_WIDTH; i++) sum += lanes[i];
    return sum;
}

INLINE float quantize(const void *x, int dtype, long begin, long n, int parts, dot_int *values,
                      long stride, int32_t *sums) {
    const float top = parts == 2 ? 127.0f * PART_BASE : 127.0f;
    float largest = largest_magnitude(x, dtype, begin, n);
    bool nothing = largest < 1e-30f; /* its inverse would be infinite */
    vf inverse = vf_set1(nothing ? 0.0f : top / largest);
    vi32 first_sum = vi_set1(0), second_sum = vi_set1(0);
    for (long c = 0; c < n; c += VF_WIDTH) {
        vi32 first = vi_round(vf_mul(row_load(x, dtype, begin + c, n - c), inverse));
        if (parts == 2) {
            vf both = vi_to_float(first);
            first = vi_round(vf_mul(both, vf_set1(1.0f / PART_BASE)));
            vf rest = vf_sub(both, vf_mul(vi_to_float(first), vf_set1(PART_BASE)));
            vi32 second = vi_round(rest);
            store_values(values + stride + c, second);
            second_sum = vi_add(second_sum, second);
        }
        store_values(values + c, first);
        first_sum = vi_add(first_sum, first);
    }
    sums[0] = lane_sum(first_sum);
    if (parts == 2) sums[1] = lane_sum(second_sum);
    return nothing ? 0.0f : largest / top;
}

float quantize_values(const void *x, int dtype, long begin, long n, int parts, dot_int *values,
                      long stride, int32_t *sums) {
    if (dtype == DTYPE_F32) {
        if (parts == 1) return quantize(x, DTYPE_F32, begin, n, 1, values, stride, sums);
        return quantize(x, DTYPE_F32, begin, n, 2, values, stride, sums);
    }
    if (parts == 1) return quantize(x, DTYPE_BF16, begin, n, 1, values, stride, sums);
    return quantize(x, DTYPE_BF16, begin, n, 2, values, stride, sums);
}

typedef struct {
    const QuantizedLinear *args;
    const QuantizedRows *rows;
    long group;
    int offset;
} Task;

static void quantize_range(const void *context, long begin, long end) {
    const Task *t = context;
    const QuantizedLinear *l = t->args;
    const QuantizedRows *to = t->rows;
    int parts = (int)l->parts;
    for (long row = begin; row < end; row++) {
        const char *x = (const char *)l->x + row * l->x_stride * dtype_size((int)l->dtype);
        dot_int *values = to->values + row * parts * to->stride;
        for (long g = 0; g < to->groups; g++) {
            long c = g * t->group;
            int32_t sums[2];
            to->scales[row * to->groups + g] =
                quantize_values(x, (int)l->dtype, c, MIN(t->group, l->k - c), parts, values + c,
                                to->stride, sums);
            for (int p = 0; p < parts; p++)
                to->starts[(row * parts + p) * to->groups + g] =
                    (int32_t)(-(uint32_t)t->offset * (uint32_t)sums[p]);
        }
    }
}

bool quantize_rows(const QuantizedLinear *l, long group, int offset, QuantizedRows *rows) {
    /* An odd number of cache lines, so that the rows of a block lie in different cache sets. */
    size_t row_bytes = (ROUND_UP(l->k * sizeof(dot_int), 64) / 64 | 1) * 64;
    rows->stride = row_bytes / sizeof(dot_int);
    rows->groups = (l->k + group - 1) / group;
    long numbers = l->m * rows->groups;
    char *memory = scratch(l->m * l->parts * (row_bytes + rows->groups * 4) + numbers * 4);
    if (!memory) return false;
    rows->values = (dot_int *)memory;
    rows->scales = (float *)(memory + l->m * l->parts * row_bytes);
    rows->starts = (int32_t *)(rows->scales + numbers);
    Task task = {l, rows, group, offset};
    parallel_ranges(l->m, 16384 / MAX(l->k, 1), quantize_range, &task);
    return true;
}
