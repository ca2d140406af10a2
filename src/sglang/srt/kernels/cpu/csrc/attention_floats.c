/* Attention in float32, for models in float32 and CPUs without bfloat16 dot products: keys and
 * values of a block are packed as floats and multiplied by the tile loop. */
#include "attention.h"
#include "attention_product.h"
#include "transpose.h"

typedef struct {
    int lo, hi; /* visible columns of the block, lo <= c < hi */
    long own;   /* the column of the query's own position, in this block or not */
} Visible;

static void pack_queries(const Plan *p, const Workspace *w, const Head *h) {
    long dim = p->args->head_dim;
    int dtype = (int)p->args->dtype;
    char *to = h->queries;
    for (long r = 0; r < h->rows; r++, to += dim * sizeof(float))
        for (long c = 0; c < dim; c += VF_WIDTH)
            row_store(to, DTYPE_F32, c, dim - c, row_load(w->rows[r], dtype, c, dim - c));
}

/* keys: row i of the panel holds element i of all BLOCK keys. */
INLINE void pack_keys(const Block *b, long dim, int dtype, float *keys) {
    float wide[BLOCK][64]; /* 64 dimensions at a time */
    const char *rows[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        rows[i] = dtype == DTYPE_F32 ? b->k + b->offset[i] : (const char *)wide[i];
        ask_ahead(b, b->next_k, i, 1);
    }
    for (long begin = 0; begin < dim; begin += 64) {
        long n = MIN(64, dim - begin);
        for (int i = 0; i < BLOCK && dtype != DTYPE_F32; i++) {
            const char *row = b->k + b->offset[i];
            for (long c = 0; c < n; c += VF_WIDTH) {
                vf x = kv_load(row, dtype, begin + c, n - c);
                if (dtype == DTYPE_INT8) x = vf_mul(x, vf_set1(b->k_scale[i]));
                vf_store(wide[i] + c, x);
            }
        }
        size_t from = dtype == DTYPE_F32 ? begin * sizeof(float) : 0;
        for (int group = 0; group < BLOCK; group += TRANSPOSED)
            for (long i = 0; i < n; i += TRANSPOSED)
                transpose_tile(rows + group, from + i * sizeof(float),
                               (int)MIN(TRANSPOSED, n - i), keys + (begin + i) * BLOCK + group,
                               BLOCK);
    }
}

/* values: [BLOCK][row_floats]; columns from dim to the next whole vector are 0. */
INLINE void pack_values(const Block *b, long dim, int dtype, float *values, long row_floats) {
    for (int i = 0; i < BLOCK; i++) {
        const char *row = b->v + b->offset[i];
        ask_ahead(b, b->next_v, i, 1);
        for (long c = 0; c < dim; c += VF_WIDTH) {
            vf x = kv_load(row, dtype, c, dim - c);
            if (dtype == DTYPE_INT8) x = vf_mul(x, vf_set1(b->v_scale[i]));
            vf_store(values + i * row_floats + c, x);
        }
    }
}

#define PACK_CASE(DTYPE)                                      \
    case DTYPE:                                               \
        pack_keys(b, dim, DTYPE, w->keys);                    \
        pack_values(b, value_dim, DTYPE, w->values, p->row_floats); \
        break;

static void pack_block(const Plan *p, Workspace *w, const Block *b) {
    long dim = p->args->head_dim, value_dim = p->args->value_dim;
    switch (p->args->kv_dtype) {
        PACK_CASE(DTYPE_F32)
        PACK_CASE(DTYPE_BF16)
        PACK_CASE(DTYPE_E5M2)
        PACK_CASE(DTYPE_E4M3)
        PACK_CASE(DTYPE_INT8)
    }
}

INLINE void hide(float *score, Visible see, int columns) {
    for (int c = 0; c < see.lo; c++) score[c] = -INFINITY;
    for (int c = see.hi; c < columns; c++) score[c] = -INFINITY;
}

/* score -> softcap * tanh(score * scale / softcap), by tanh x = 1 - 2 / (e^2x + 1). */
static void cap_scores(const Attention *a, float *score, int columns) {
    vf cap = vf_set1((float)a->softcap), one = vf_set1(1.0f), two = vf_set1(2.0f);
    vf factor = vf_set1((float)(2.0f * LOG2E * a->scale / a->softcap));
    for (int c = 0; c < columns; c += VF_WIDTH) {
        vf e = vf_exp2(vf_mul(vf_load(score + c), factor));
        vf tanh = vf_sub(one, vf_div(two, vf_add(e, one)));
        vf_store(score + c, vf_mul(cap, tanh));
    }
}

/* score[c] += slope * (c - own), where `own` is the query's own position. */
static void slope_scores(float *score, int columns, float slope, long own) {
    static const float lanes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf first = vf_load(lanes), by = vf_set1(slope);
    for (int c = 0; c < columns; c += VF_WIDTH) {
        vf distance = vf_add(vf_set1((float)(c - own)), first);
        vf_store(score + c, vf_fma(by, distance, vf_load(score + c)));
    }
}

/* Scores [rows][BLOCK] become weights, and m, l and rescale[row] take them in. `slopes` may be
 * NULL. */
static void softmax_rows(const Attention *a, float *scores, const Visible *see, const float *slopes,
                         int rows, int columns, float *m, float *l, float *rescale) {
    vf to_log2 = vf_set1(a->softcap > 0 ? LOG2E : (float)(a->scale * LOG2E));
    for (int r = 0; r < rows; r++) {
        float *score = scores + r * BLOCK;
        if (a->softcap > 0) cap_scores(a, score, columns);
        if (slopes) slope_scores(score, columns, slopes[r], see[r].own);
        hide(score, see[r], columns);
        vf largest = vf_set1(-INFINITY);
        for (int c = 0; c < columns; c += VF_WIDTH) {
            vf s = vf_mul(vf_load(score + c), to_log2);
            vf_store(score + c, s);
            largest = vf_max(largest, s);
        }
        float top = vf_largest(largest);
        top = m[r] > top ? m[r] : top;
        rescale[r] = m[r] - top;
        m[r] = top;
    }
    for (int r = 0; r < rows; r += VF_WIDTH) vf_store(rescale + r, vf_exp2(vf_load(rescale + r)));
    for (int r = 0; r < rows; r++) {
        vf top = vf_set1(m[r]), sum = vf_zero();
        for (int c = 0; c < columns; c += VF_WIDTH) {
            float *weight = scores + r * BLOCK + c;
            vf x = vf_exp2(vf_sub(vf_load(weight), top));
            sum = vf_add(sum, x);
            vf_store(weight, x);
        }
        l[r] = l[r] * rescale[r] + vf_sum(sum);
    }
}

/* Up to TILE_ROWS rows from row `r` against the packed block. */
static void attend_rows(const Plan *p, Workspace *w, const Block *b, const Head *h, long r,
                        int rows) {
    const Attention *a = p->args;
    long dim = a->head_dim, padded = p->row_floats;
    Visible see[TILE_ROWS];
    float rescale[ROUND_UP(TILE_ROWS, VF_WIDTH)] = {0};
    for (int i = 0; i < rows; i++) {
        long origin = h->position - b->start;
        see[i].own = origin + w->tokens[r + i];
        see[i].hi = (int)MAX(0, MIN(BLOCK, origin + h->tokens[r + i] + 1));
        see[i].lo = (int)MAX(0, origin + h->oldest[r + i]);
    }
    int visible = (int)MIN(BLOCK, see[rows - 1].own + 1), columns = ROUND_UP(visible, VF_WIDTH);
    product(rows, columns, (const float *)h->queries + r * dim, dim, w->keys, BLOCK, w->scores,
            BLOCK, dim, NULL);
    softmax_rows(a, w->scores, see, h->slopes ? h->slopes + r : NULL, rows, columns, h->state.m + r,
                 h->state.l + r, rescale);
    product(rows, (int)ROUND_UP(a->value_dim, VF_WIDTH), w->scores, BLOCK, w->values, padded,
            h->state.o + r * padded, padded, visible, rescale);
}

static void attend_block(const Plan *p, Workspace *w, const Block *b, const Head *h) {
    const Attention *a = p->args;
    /* The rows that see any of this block. */
    long from = MAX(0, b->start - h->position) * p->group, to = h->rows;
    long end = end_of_seeing(a, b->start + BLOCK - 1);
    if (end < LONG_MAX) to = MIN(to, (end - h->position) * p->group);
    pack_block(p, w, b);
    while (from < to) {
        long groups = (to - from + TILE_ROWS - 1) / TILE_ROWS;
        int rows = (int)((to - from + groups - 1) / groups);
        attend_rows(p, w, b, h, from, rows);
        from += rows;
    }
}

const Kernel float_kernel = {.together = 1, .pack_queries = pack_queries, .block = attend_block};
