/* Per-head norm, rotary embedding of q and k, and the write of k and v to the cache. */
#include "rope.h"

/* The argument of rope_and_write_kv; see the method of that name in interface.py. */
typedef struct {
    void *qkv; /* rows qkv_stride values apart */
    const int32_t *positions;
    const float *cos_sin;
    char *k_cache, *v_cache;
    float *k_scale, *v_scale; /* NULL for a cache without scales */
    const int32_t *out_slots;
    const void *q_norm, *k_norm; /* may be NULL */
    int64_t tokens, qkv_stride, num_heads, num_kv_heads, head_dim, rotary_dim;
    int64_t interleaved, dtype, kv_dtype, norm_dtype;
    double eps;
} Rope;

/* x = one head, normed and rotated in float32. */
INLINE void turn_head(const Rope *r, const void *head, const void *norm, const float *table,
                      float *x, int dtype) {
    long dim = r->head_dim;
    load_values(head, dtype, dim, x);
    if (norm) norm_values(x, dim, norm, (int)r->norm_dtype, (float)r->eps);
    rotate(x, table, r->rotary_dim, r->interleaved);
}

/* The keys and values of one token, which begin at `head`, to its slot. */
INLINE void write_kv(const Rope *r, const char *head, const float *table, size_t slot, float *x,
                     int dtype) {
    int kv_dtype = (int)r->kv_dtype;
    long dim = r->head_dim, heads = r->num_kv_heads, first = slot * heads;
    size_t head_bytes = dim * dtype_size(dtype), written = dim * kv_size(kv_dtype);
    char *k = r->k_cache + first * written, *v = r->v_cache + first * written;
    float *k_scale = r->k_scale ? r->k_scale + first : NULL;
    float *v_scale = r->v_scale ? r->v_scale + first : NULL;
    bool narrow = kv_dtype != dtype;
    for (long h = 0; h < heads; h++, head += head_bytes) {
        turn_head(r, head, r->k_norm, table, x, dtype);
        if (narrow) kv_store_head(x, dim, kv_dtype, k + h * written, k_scale ? k_scale + h : NULL);
        else store_values(k + h * written, dtype, dim, x);
    }
    if (!narrow) {
        memcpy(v, head, heads * head_bytes);
        return;
    }
    for (long h = 0; h < heads; h++, head += head_bytes) {
        load_values(head, dtype, dim, x);
        kv_store_head(x, dim, kv_dtype, v + h * written, v_scale ? v_scale + h : NULL);
    }
}

INLINE void rope_tokens(const Rope *r, long begin, long end, int dtype) {
    size_t item = dtype_size(dtype), head_bytes = r->head_dim * item;
    float x[MAX_HEAD_DIM];
    for (long t = begin; t < end; t++) {
        char *head = (char *)r->qkv + t * r->qkv_stride * item;
        const float *table = r->cos_sin + (long)r->positions[t] * r->rotary_dim;
        for (int h = 0; h < r->num_heads; h++, head += head_bytes) {
            turn_head(r, head, r->q_norm, table, x, dtype);
            store_values(head, dtype, r->head_dim, x);
        }
        write_kv(r, head, table, (size_t)r->out_slots[t], x, dtype);
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
