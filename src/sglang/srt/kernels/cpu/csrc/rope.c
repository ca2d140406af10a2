/* Per-head norm, rotary embedding of q and k, and the write of k and v to the cache. */
#include "simd.h"

/* The argument of rope_and_write_kv; see the method of that name in interface.py. */
typedef struct {
    void *qkv; /* rows qkv_stride values apart */
    const int32_t *positions;
    const float *cos_sin;
    void *k_cache, *v_cache;
    const int32_t *out_slots;
    const void *q_norm, *k_norm; /* may be NULL */
    int64_t tokens, qkv_stride, num_heads, num_kv_heads, head_dim, rotary_dim;
    int64_t interleaved, dtype;
    double eps;
} Rope;

/* Reads one head, norms and rotates it in float32, writes it to `out` (may be `head`). */
INLINE void turn_head(const Rope *r, const void *head, void *out, const void *norm,
                      const float *table, float *x, int dtype) {
    long dim = r->head_dim, half = r->rotary_dim / 2;
    const float *cosines = table, *sines = table + half;
    for (long c = 0; c < dim; c += VF_WIDTH) vf_store(x + c, row_load(head, dtype, c, dim - c));
    if (norm) {
        vf sum = vf_zero();
        for (long c = 0; c < dim; c += VF_WIDTH) {
            vf a = vf_load(x + c); /* beyond dim: zeros */
            sum = vf_fma(a, a, sum);
        }
        vf factor = vf_set1(1.0f / sqrtf(vf_sum(sum) / (float)dim + (float)r->eps));
        for (long c = 0; c < dim; c += VF_WIDTH) {
            vf y = vf_mul(vf_mul(vf_load(x + c), factor), row_load(norm, dtype, c, dim - c));
            vf_store(x + c, y);
        }
    }
    if (r->interleaved) {
        for (long i = 0; i < half; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cosines[i] - b * sines[i];
            x[2 * i + 1] = b * cosines[i] + a * sines[i];
        }
    } else {
        long i = 0;
        for (; i + VF_WIDTH <= half; i += VF_WIDTH) {
            vf a = vf_load(x + i), b = vf_load(x + half + i);
            vf cosine = vf_load(cosines + i), sine = vf_load(sines + i);
            vf_store(x + i, vf_sub(vf_mul(a, cosine), vf_mul(b, sine)));
            vf_store(x + half + i, vf_add(vf_mul(b, cosine), vf_mul(a, sine)));
        }
        for (; i < half; i++) {
            float a = x[i], b = x[half + i];
            x[i] = a * cosines[i] - b * sines[i];
            x[half + i] = b * cosines[i] + a * sines[i];
        }
    }
    for (long c = 0; c < dim; c += VF_WIDTH) row_store(out, dtype, c, dim - c, vf_load(x + c));
}

INLINE void rope_tokens(const Rope *r, long begin, long end, int dtype) {
    size_t item = dtype_size(dtype), head_bytes = r->head_dim * item;
    float x[MAX_HEAD_DIM];
    for (long t = begin; t < end; t++) {
        char *head = (char *)r->qkv + t * r->qkv_stride * item;
        const float *table = r->cos_sin + (long)r->positions[t] * r->rotary_dim;
        for (int h = 0; h < r->num_heads; h++, head += head_bytes)
            turn_head(r, head, head, r->q_norm, table, x, dtype);
        size_t row_bytes = r->num_kv_heads * head_bytes, slot = (size_t)r->out_slots[t];
        char *k_row = (char *)r->k_cache + slot * row_bytes;
        for (int h = 0; h < r->num_kv_heads; h++, head += head_bytes)
            turn_head(r, head, k_row + h * head_bytes, r->k_norm, table, x, dtype);
        memcpy((char *)r->v_cache + slot * row_bytes, head, row_bytes);
    }
}

static void rope_range(const void *context, long begin, long end) {
    const Rope *r = context;
    if (r->dtype == DTYPE_F32) rope_tokens(r, begin, end, DTYPE_F32);
    else rope_tokens(r, begin, end, DTYPE_BF16);
}

EXPORT int rope_and_write_kv(const Rope *r) {
    int64_t width = (r->num_heads + r->num_kv_heads) * r->head_dim;
    parallel_ranges(r->tokens, 16384 / MAX(width, 1), rope_range, r);
    return 0;
}
