/* What comes before multi-head latent attention: the rotation of the queries, and the norm,
 * rotation and write of the latent rows. */
#include "rope.h"

/* The argument of rope_and_write_latent; see the method of that name in interface.py. */
typedef struct {
    char *q;            /* rows q_stride values apart */
    const char *latent; /* rows latent_stride values apart */
    const int32_t *positions;
    const float *cos_sin;
    const void *norm;
    char *cache;
    float *scale; /* NULL for a cache without scales */
    const int32_t *out_slots;
    int64_t tokens, q_stride, latent_stride, num_heads, head_dim, latent_dim, rotary_dim;
    int64_t interleaved, dtype, kv_dtype, norm_dtype;
    double eps;
} Latent;

/* The last dimensions of every head, in place. */
INLINE void turn_queries(const Latent *l, char *q, const float *table, float *x, int dtype) {
    size_t item = dtype_size(dtype);
    long dim = l->rotary_dim;
    q += (l->head_dim - dim) * item;
    for (int h = 0; h < l->num_heads; h++, q += l->head_dim * item) {
        load_values(q, dtype, dim, x);
        rotate(x, table, dim, l->interleaved);
        store_values(q, dtype, dim, x);
    }
}

INLINE void write_latent(const Latent *l, const char *row, const float *table, size_t slot,
                         float *x, int dtype) {
    long dim = l->latent_dim, width = dim + l->rotary_dim;
    int kv_dtype = (int)l->kv_dtype;
    char *to = l->cache + slot * width * kv_size(kv_dtype);
    load_values(row, dtype, dim, x);
    norm_values(x, dim, l->norm, (int)l->norm_dtype, (float)l->eps);
    load_values(row + dim * dtype_size(dtype), dtype, l->rotary_dim, x + dim);
    rotate(x + dim, table, l->rotary_dim, l->interleaved);
    if (kv_dtype == dtype) store_values(to, dtype, width, x);
    else kv_store_head(x, width, kv_dtype, to, l->scale ? l->scale + slot : NULL);
}

INLINE void latent_tokens(const Latent *l, long begin, long end, int dtype) {
    size_t item = dtype_size(dtype);
    float x[MAX_HEAD_DIM + VF_WIDTH];
    for (long t = begin; t < end; t++) {
        const float *table = l->cos_sin + (long)l->positions[t] * l->rotary_dim;
        turn_queries(l, l->q + t * l->q_stride * item, table, x, dtype);
        write_latent(l, l->latent + t * l->latent_stride * item, table, (size_t)l->out_slots[t], x,
                     dtype);
    }
}

static void latent_range(const void *context, long begin, long end) {
    const Latent *l = context;
    if (l->dtype == DTYPE_F32) latent_tokens(l, begin, end, DTYPE_F32);
    else latent_tokens(l, begin, end, DTYPE_BF16);
}

EXPORT int rope_and_write_latent(const Latent *l) {
    int64_t width = l->num_heads * l->rotary_dim + l->latent_dim + l->rotary_dim;
    parallel_ranges(l->tokens, 16384 / MAX(width, 1), latent_range, l);
    return 0;
}
