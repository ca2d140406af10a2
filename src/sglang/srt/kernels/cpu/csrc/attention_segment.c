/* Attention of a task's rows over one segment: block by block with a running softmax, after
 * FlashAttention (Dao et al. 2022). */
#include "attention.h"

/* Where a sequence lies, and which of its positions the task needs: first <= j <= last. */
typedef struct {
    const int32_t *slots;
    long first, last;
} Source;

static void find_slots(const Source *s, long start, int32_t *slots) {
    if (start >= s->first && start + BLOCK - 1 <= s->last) {
        memcpy(slots, s->slots + start, BLOCK * sizeof(int32_t));
        return;
    }
    for (int i = 0; i < BLOCK; i++) slots[i] = s->slots[MIN(MAX(start + i, s->first), s->last)];
}

static void find_rows(const Plan *p, const int32_t *slots, size_t *offset) {
    for (int i = 0; i < BLOCK; i++) offset[i] = (size_t)slots[i] * p->slot_bytes;
}

static void find_scales(const Plan *p, const int32_t *slots, int head, const float *scales,
                        float *to) {
    for (int i = 0; i < BLOCK; i++) to[i] = scales[slots[i] * p->args->num_kv_heads + head];
}

void clear_state(const Plan *p, const State *s, long rows) {
    memset(s->o, 0, rows * p->row_floats * sizeof(float));
    for (long r = 0; r < rows; r++) s->m[r] = NO_SCORE, s->l[r] = 0.0f;
}

Head head_of(const Plan *p, const Workspace *w, const Task *t, int i, const State *s) {
    const Attention *a = p->args;
    long rows = head_rows(p, t), first = rows * i;
    long place = i * ROUND_UP(rows, w->kernel->together);
    return (Head){.queries = w->queries + place * a->head_dim * sizeof(float),
                  .rows = rows,
                  .position = task_position(p, t),
                  .state = {s->o + first * p->row_floats, s->m + first, s->l + first},
                  .lanes = w->lanes + place * a->head_dim,
                  .tokens = w->tokens,
                  .oldest = w->oldest,
                  .slopes = a->slopes ? w->slopes + place : NULL};
}

/* Which rows of key/value head `index` see the block at `start` in a block-sparse pattern; false if
 * none does. A query sees the blocks near its own, and every vertical_stride-th one. */
static bool find_sparse_rows(const Plan *p, const Workspace *w, int index, long start, Head *h) {
    const Attention *a = p->args;
    long key_block = start / a->sparse_block;
    bool any = false;
    for (long r = 0; r < ROUND_UP(h->rows, LANES); r++) {
        long query_block = (h->position + w->tokens[r]) / a->sparse_block;
        long head = (long)index * p->group + MIN(r, h->rows - 1) % p->group;
        bool sees = query_block - key_block < a->local_blocks ||
                    (key_block + head * a->head_step + 1) % a->vertical_stride == 0;
        w->limits[r] = sees ? w->tokens[r] : NOTHING;
        any |= sees;
        h->patchy |= !sees;
    }
    h->tokens = w->limits;
    return any;
}

/* The block in bfloat16, in the workspace. */
static void widen_block(const Plan *p, Workspace *w, Block *b) {
#if defined(VF_AVX512) && defined(__AVX512VBMI__)
    long dim = p->args->head_dim;
    bf16 *values = w->wide + BLOCK * dim;
    kv_widen(b->k, b->offset, BLOCK, dim, (int)p->args->kv_dtype, w->wide);
    if (b->v == b->k) values = w->wide;
    else kv_widen(b->v, b->offset, BLOCK, dim, (int)p->args->kv_dtype, values);
    for (int i = 0; i < BLOCK; i++) w->wide_offset[i] = i * dim * sizeof(bf16);
    b->k = (const char *)w->wide;
    b->v = (const char *)values;
    b->offset = w->wide_offset;
#else
    (void)p, (void)w, (void)b;
#endif
}

/* One block, head by head. While one is computed the next is asked for: that of the next head, or
 * after the last one the first of the next block, whose rows lie at `next` unless that is NULL. */
static void attend_heads(const Plan *p, Workspace *w, const Task *t, const State *s, long start,
                         const int32_t *slots, const size_t *now, const size_t *next) {
    const Attention *a = p->args;
    int heads = t->head_end - t->head_begin;
    for (int i = 0; i < heads; i++) {
        size_t at = (t->head_begin + i) * p->head_step;
        Block block = {.start = start, .k = a->k_cache + at, .v = a->v_cache + at, .offset = now};
        bool last = i == heads - 1;
        size_t then = last ? t->head_begin * p->head_step : at + p->head_step;
        block.next_offset = last ? next : p->head_step ? now : NULL;
        if (block.next_offset) {
            block.next_k = a->k_cache + then;
            if (a->v_cache != a->k_cache) block.next_v = a->v_cache + then;
        }
        block.row_bytes = p->head_bytes;
        if (a->k_scale) {
            int stored = p->head_step ? t->head_begin + i : 0;
            find_scales(p, slots, stored, a->k_scale, w->k_scale);
            find_scales(p, slots, stored, a->v_scale, w->v_scale);
            block.k_scale = w->k_scale;
            block.v_scale = w->v_scale;
        }
        Head head = head_of(p, w, t, i, s);
        if (a->sparse_block && !find_sparse_rows(p, w, t->head_begin + i, start, &head)) continue;
        if (w->kernel->widens && a->kv_dtype != DTYPE_BF16) widen_block(p, w, &block);
        w->kernel->block(p, w, &block, &head);
    }
}

void attend_segment(const Plan *p, Workspace *w, const Task *t, long segment, const State *s) {
    const Attention *a = p->args;
    int heads = t->head_end - t->head_begin;
    long position = task_position(p, t), oldest = oldest_seen(a, position);
    long begin = MAX(segment * SEGMENT, oldest / BLOCK * BLOCK);
    long last = position + t->count, end = MIN((segment + 1) * SEGMENT, last);
    const Source source = {a->kv_slots + a->kv_start[t->seq], oldest, last - 1};
    int32_t slots[2][BLOCK];
    size_t offset[2][BLOCK];
    int now = 0;

    clear_state(p, s, task_rows(p, t));
    for (int i = 0; i < heads && w->kernel->begin; i++) {
        Head head = head_of(p, w, t, i, s);
        w->kernel->begin(p, &head);
    }
    find_slots(&source, begin, slots[now]);
    find_rows(p, slots[now], offset[now]);
    for (long start = begin; start < end; start += BLOCK) {
        bool more = start + BLOCK < MIN(last, t->segment_end * SEGMENT);
        if (more) {
            find_slots(&source, start + BLOCK, slots[!now]);
            find_rows(p, slots[!now], offset[!now]);
        }
        attend_heads(p, w, t, s, start, slots[now], offset[now], more ? offset[!now] : NULL);
        now = !now;
    }
    for (int i = 0; i < heads && w->kernel->end; i++) {
        Head head = head_of(p, w, t, i, s);
        w->kernel->end(p, &head);
    }
}
