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
    long space = ROUND_UP(rows, w->kernel->together) * a->head_dim;
    long queries = a->q_indptr[t->seq + 1] - a->q_indptr[t->seq];
    return (Head){.queries = w->queries + i * space * sizeof(float),
                  .rows = rows,
                  .position = a->kv_len[t->seq] - queries + (t->run < 0 ? t->first : 0),
                  .state = {s->o + first * p->row_floats, s->m + first, s->l + first},
                  .lanes = w->lanes + i * space};
}

/* The block in bfloat16, in the workspace. */
static void widen_block(const Plan *p, Workspace *w, Block *b) {
#if defined(VF_AVX512) && defined(__AVX512VBMI__)
    long dim = p->args->head_dim;
    bf16 *values = w->wide + BLOCK * dim;
    kv_widen(b->k, b->offset, BLOCK, dim, (int)p->args->kv_dtype, w->wide);
    kv_widen(b->v, b->offset, BLOCK, dim, (int)p->args->kv_dtype, values);
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
        size_t at = (t->head_begin + i) * p->head_bytes;
        Block block = {.start = start, .k = a->k_cache + at, .v = a->v_cache + at, .offset = now};
        bool last = i == heads - 1;
        size_t then = last ? t->head_begin * p->head_bytes : at + p->head_bytes;
        block.next_offset = last ? next : now;
        if (block.next_offset) block.next_k = a->k_cache + then, block.next_v = a->v_cache + then;
        block.row_bytes = p->head_bytes;
        if (a->k_scale) {
            find_scales(p, slots, t->head_begin + i, a->k_scale, w->k_scale);
            find_scales(p, slots, t->head_begin + i, a->v_scale, w->v_scale);
            block.k_scale = w->k_scale;
            block.v_scale = w->v_scale;
        }
        Head head = head_of(p, w, t, i, s);
        if (w->kernel->widens && a->kv_dtype != DTYPE_BF16) widen_block(p, w, &block);
        w->kernel->block(p, w, &block, &head);
    }
}

void attend_segment(const Plan *p, Workspace *w, const Task *t, long segment, const State *s) {
    const Attention *a = p->args;
    int heads = t->head_end - t->head_begin;
    long position = head_of(p, w, t, 0, s).position;
    long oldest = a->window > 0 ? MAX(0, position - a->window + 1) : 0;
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
