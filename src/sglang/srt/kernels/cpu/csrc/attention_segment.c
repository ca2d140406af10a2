/* Attention of a task's rows over one segment: block by block with a running softmax, after
 * FlashAttention (Dao et al. 2022). */
#include "attention.h"

typedef struct {
    int lo, hi; /* visible columns of the block, lo <= c < hi, at least one */
} Visible;

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

/* The scores in w become weights, and m, l and rescale[row] take them in. */
INLINE void softmax_rows(const Attention *a, Workspace *w, const Visible *see, int rows,
                         int columns, float *m, float *l, bool dot) {
    vf to_log2 = vf_set1(a->softcap > 0 ? LOG2E : (float)(a->scale * LOG2E));
    for (int r = 0; r < rows; r++) {
        float *score = w->scores[r];
        if (a->softcap > 0) cap_scores(a, score, columns);
        hide(score, see[r], columns);
        vf largest = vf_set1(-INFINITY);
        for (int c = 0; c < columns; c += VF_WIDTH) {
            vf s = vf_mul(vf_load(score + c), to_log2);
            vf_store(score + c, s);
            largest = vf_max(largest, s);
        }
        float top = vf_largest(largest);
        top = m[r] > top ? m[r] : top;
        w->rescale[r] = m[r] - top;
        m[r] = top;
    }
    for (int r = 0; r < rows; r += VF_WIDTH)
        vf_store(w->rescale + r, vf_exp2(vf_load(w->rescale + r)));
    for (int r = 0; r < rows; r++) {
        vf top = vf_set1(m[r]), sum = vf_zero();
        for (int c = 0; c < columns; c += VF_WIDTH) {
            vf p = vf_exp2(vf_sub(vf_load(w->scores[r] + c), top));
            sum = vf_add(sum, p);
            if (dot) vf_store_bf16((bf16 *)w->weights[r] + c, p);
            else vf_store(w->weights[r] + c, p);
        }
        l[r] = l[r] * w->rescale[r] + vf_sum(sum);
    }
}

/* Up to TILE_ROWS rows, from row `r` of one head, against the packed block at `start`; the head's
 * row 0 has position `position`. */
INLINE void attend_rows(const Plan *p, Workspace *w, const char *queries, const State *s, long r,
                        int rows, long position, long start, Ahead ahead[2], bool dot) {
    const Attention *a = p->args;
    long depth = dot ? a->head_dim / 2 : a->head_dim, dp = p->dim_padded;
    Visible see[TILE_ROWS];
    for (int i = 0; i < rows; i++) {
        long mine = position + (r + i) / p->group;
        see[i].hi = (int)MIN(BLOCK, mine - start + 1);
        see[i].lo = a->window > 0 ? (int)MAX(0, mine - a->window + 1 - start) : 0;
    }
    int visible = see[rows - 1].hi, columns = ROUND_UP(visible, VF_WIDTH);
    const float *q = (const float *)queries + r * depth;
    float *o = s->o + r * dp;
    long pairs = (visible + 1) / 2;
    void (*product)(PRODUCT_ARGUMENTS) = dot ? product_dot : product_f32;
    product(rows, columns, q, depth, w->keys, BLOCK, w->scores[0], BLOCK, depth, NULL, &ahead[0]);
    softmax_rows(a, w, see, rows, columns, s->m + r, s->l + r, dot);
    product(rows, (int)dp, w->weights[0], BLOCK, w->values, dp, o, dp, dot ? pairs : visible,
            w->rescale, &ahead[1]);
}

/* Rows [from, to) of one head against the packed block. */
static void attend_block(const Plan *p, Workspace *w, const char *queries, const State *s,
                         long from, long to, long position, long start, Ahead ahead[2]) {
    while (from < to) {
        long groups = (to - from + TILE_ROWS - 1) / TILE_ROWS;
        int rows = (int)((to - from + groups - 1) / groups);
        if (p->dot) attend_rows(p, w, queries, s, from, rows, position, start, ahead, BF16_DOT);
        else attend_rows(p, w, queries, s, from, rows, position, start, ahead, false);
        from += rows;
    }
}

void clear_state(const Plan *p, const State *s, long rows) {
    memset(s->o, 0, rows * p->dim_padded * sizeof(float));
    for (long r = 0; r < rows; r++) s->m[r] = -INFINITY, s->l[r] = 0.0f;
}

/* One block, head by head: rows [from, to) of each see some of it. `next`, the block after it, may
 * be NULL. */
static void attend_heads(const Plan *p, Workspace *w, const Task *t, const State *s,
                         const BlockRows *now, const BlockRows *next, long from, long to,
                         long position, long start) {
    const Attention *a = p->args;
    int dtype = (int)a->dtype;
    long rows = t->count * p->group, dim = a->head_dim;
    size_t head_bytes = dim * dtype_size(dtype);
    size_t query_bytes = rows * dim * (p->dot ? sizeof(bf16) : sizeof(float));
    int shift = 0; /* lines of a head, as a power of 2 */
    while (((size_t)64 << shift) < head_bytes) shift++;
    for (int h = 0; h < t->head_end - t->head_begin; h++) {
        size_t offset = (t->head_begin + h) * head_bytes;
        Ahead ahead[2] = {{NULL, offset, shift, 0, 0}, {NULL, offset, shift, 0, 0}};
        if (next) {
            ahead[0].rows = next->k;
            ahead[1].rows = next->v;
            ahead[0].end = ahead[1].end = BLOCK << shift;
        }
        pack_keys(now->k, offset, dim, dtype, p->dot, w->keys);
        pack_values(now->v, offset, dim, p->dim_padded, dtype, p->dot, w->values);
        const State mine = {s->o + h * rows * p->dim_padded, s->m + h * rows, s->l + h * rows};
        const char *queries = w->queries + h * query_bytes;
        attend_block(p, w, queries, &mine, from, to, position, start, ahead);
    }
}

void attend_segment(const Plan *p, Workspace *w, const Task *t, long segment, const State *s) {
    const Attention *a = p->args;
    long rows = t->count * p->group; /* of one head */
    long position = a->kv_len[t->seq] - (a->q_indptr[t->seq + 1] - a->q_indptr[t->seq]) + t->first;
    long oldest = a->window > 0 ? MAX(0, position - a->window + 1) : 0;
    long begin = MAX(segment * SEGMENT, oldest / BLOCK * BLOCK);
    long last = position + t->count, end = MIN((segment + 1) * SEGMENT, last);
    size_t slot_bytes = a->num_kv_heads * a->head_dim * dtype_size((int)a->dtype);
    Source source = {a->k_cache, a->v_cache, p->zeros, a->kv_slots + a->kv_start[t->seq],
                     slot_bytes, oldest, last};
    BlockRows *now = &w->rows[0], *next = &w->rows[1];

    clear_state(p, s, task_rows(p, t));
    find_rows(now, &source, begin);
    for (long start = begin; start < end; start += BLOCK) {
        /* The rows that see any of this block. */
        long from = MAX(0, start - position) * p->group, to = rows;
        if (a->window > 0) to = MIN(to, (start + BLOCK - 1 + a->window - position) * p->group);
        bool more = start + BLOCK < MIN(last, t->segment_end * SEGMENT);
        if (more) find_rows(next, &source, start + BLOCK);
        attend_heads(p, w, t, s, now, more ? next : NULL, from, to, position, start);
        BlockRows *done = now;
        now = next;
        next = done;
    }
}
