/* Causal attention of a ragged batch over the paged cache.
 *
 * A task takes the rows of a few query tokens and walks over blocks of BLOCK positions, counted
 * from position 0; each block's keys and values are packed once for all rows that share them.
 * SEGMENT positions have a softmax of their own, so that a long sequence can be spread over tasks
 * (Flash-Decoding, Dao et al. 2023); segments are merged in ascending order. Blocks and segments
 * never move, and a masked score adds an exact 0. So the bits of a row depend on its position and
 * its sequence alone: not on how the prompt was chunked, the batch, the tasks or the threads.
 */
#include "attention.h"

static float exp2_one(float x) {
    float lanes[VF_WIDTH];
    vf_store(lanes, vf_exp2(vf_set1(x)));
    return lanes[0];
}

/* total += segment, for rows that saw anything in the segment. */
static void merge(const Plan *p, const State *total, const State *segment, long rows) {
    long dp = p->row_floats;
    for (long r = 0; r < rows; r++) {
        if (segment->l[r] == 0.0f) continue;
        float m = MAX(total->m[r], segment->m[r]);
        float old = exp2_one(total->m[r] - m), new = exp2_one(segment->m[r] - m);
        total->m[r] = m;
        total->l[r] = total->l[r] * old + segment->l[r] * new;
        vf keep = vf_set1(old), add = vf_set1(new);
        float *to = total->o + r * dp;
        const float *from = segment->o + r * dp;
        for (long c = 0; c < dp; c += VF_WIDTH)
            vf_store(to + c, vf_add(vf_mul(vf_load(to + c), keep), vf_mul(vf_load(from + c), add)));
    }
}

/* Hands the queries of each head to the kernel. */
static void load_queries(const Plan *p, Workspace *w, const Task *t) {
    const Attention *a = p->args;
    size_t item = dtype_size((int)a->dtype);
    long rows = head_rows(p, t);
    for (long r = 0; r < ROUND_UP(rows, LANES); r++)
        w->tokens[r] = (int32_t)(MIN(r, rows - 1) / p->group);
    for (int i = 0; i < t->head_end - t->head_begin; i++) {
        long first = (long)(t->head_begin + i) * p->group;
        for (long r = 0; r < rows; r++) {
            long token = a->q_indptr[t->seq] + t->first + r / p->group;
            w->rows[r] = a->q + (token * a->q_stride + (first + r % p->group) * a->head_dim) * item;
        }
        const Head head = head_of(p, w, t, i, &w->total);
        w->kernel->pack_queries(p, w, &head);
    }
}

static void store_output(const Plan *p, const Task *t, const State *total) {
    const Attention *a = p->args;
    size_t item = dtype_size((int)a->dtype);
    long row = 0;
    for (int h = t->head_begin; h < t->head_end; h++)
        for (long i = 0; i < t->count; i++)
            for (int g = 0; g < p->group; g++, row++) {
                long token = a->q_indptr[t->seq] + t->first + i, head = (long)h * p->group + g;
                char *to = a->out + (token * a->num_heads + head) * a->head_dim * item;
                const float *from = total->o + row * p->row_floats;
                vf scale = vf_set1(1.0f / total->l[row]);
                for (int c = 0; c < a->head_dim; c += VF_WIDTH) {
                    vf y = vf_mul(vf_load(from + c), scale);
                    row_store(to, (int)a->dtype, c, a->head_dim - c, y);
                }
            }
}

/* The state of one segment of a split. */
static State partial_state(const Plan *p, const Split *split, long segment, long rows) {
    long row = split->partial + (segment - split->segment_begin) * rows;
    float *base = p->partials + row * (p->row_floats + 2);
    return (State){base, base + rows * p->row_floats, base + rows * (p->row_floats + 1)};
}

static void run_segments(const Plan *p, Workspace *w, const Task *t) {
    long rows = task_rows(p, t);
    if (t->split < 0) {
        clear_state(p, &w->total, rows);
        for (long segment = t->segment_begin; segment < t->segment_end; segment++) {
            attend_segment(p, w, t, segment, &w->segment);
            merge(p, &w->total, &w->segment, rows);
        }
        store_output(p, t, &w->total);
        return;
    }
    Split *split = p->splits + t->split;
    for (long segment = t->segment_begin; segment < t->segment_end; segment++) {
        State part = partial_state(p, split, segment, rows);
        attend_segment(p, w, t, segment, &part);
    }
    if (__atomic_sub_fetch(&split->unfinished, 1, __ATOMIC_ACQ_REL) > 0) return;
    clear_state(p, &w->total, rows);
    for (long segment = split->segment_begin; segment < split->segment_end; segment++) {
        State part = partial_state(p, split, segment, rows);
        merge(p, &w->total, &part, rows);
    }
    store_output(p, t, &w->total);
}

/* Lays a workspace out in `memory` (NULL: only the size is wanted). */
static size_t lay_out(const Plan *p, char *memory, Workspace *w) {
    long rows = ROUND_UP(MAX(p->group, (int)TASK_ROWS), LANES), dim = p->args->head_dim;
    size_t used = 0;
#define TAKE(field, count)                              \
    do {                                                \
        if (memory) (field) = (void *)(memory + used);  \
        used += ROUND_UP((count) * sizeof *(field), 64); \
    } while (0)
    TAKE(w->rows, rows);
    TAKE(w->tokens, rows);
    TAKE(w->queries, rows * dim * sizeof(float));
    TAKE(w->lanes, rows * dim);
    TAKE(w->keys, BLOCK * dim);
    TAKE(w->values, BLOCK * p->row_floats);
    TAKE(w->scores, BLOCK * LANES);
    TAKE(w->weights, BLOCK * LANES);
    TAKE(w->wide, 2 * BLOCK * dim);
    for (State *s = &w->segment; s; s = s == &w->segment ? &w->total : NULL) {
        TAKE(s->o, rows * p->row_floats);
        TAKE(s->m, rows);
        TAKE(s->l, rows);
    }
#undef TAKE
    return used;
}

static void run_task(const void *context, long i, int thread) {
    const Plan *p = context;
    Workspace w;
    lay_out(p, p->workspaces + thread * p->workspace_bytes, &w);
#if defined(__SSE2__)
    /* Flush denormals, so that adding a weight of 0 changes nothing even there: the dot-product
     * instruction always flushes them. */
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040);
#endif
    const Task *task = p->tasks + i;
    w.kernel = kernel_of(p, head_rows(p, task));
    load_queries(p, &w, task);
    run_segments(p, &w, task);
#if defined(__SSE2__)
    _mm_setcsr(saved);
#endif
}

/* 0, or -1 when memory is out. */
EXPORT int attention(const Attention *a) {
    size_t head_bytes = a->head_dim * kv_size((int)a->kv_dtype);
    bool readable = a->kv_dtype == DTYPE_BF16 || KV_WIDENS;
    Plan plan = {.args = a,
                 .group = (int)(a->num_heads / a->num_kv_heads),
                 .dot = BF16_DOT && a->dtype == DTYPE_BF16 && readable,
                 .head_bytes = head_bytes,
                 .slot_bytes = a->num_kv_heads * head_bytes,
                 .row_floats = ROUND_UP(a->head_dim, 2 * VF_WIDTH)};
    int threads = plan_threads(&plan);
    plan_tasks(&plan, threads); /* counts */

    Workspace unused;
    plan.workspace_bytes = lay_out(&plan, NULL, &unused);
    size_t tasks = ROUND_UP(plan.task_count * sizeof(Task), 64);
    size_t splits = ROUND_UP(plan.split_count * sizeof(Split), 64);
    size_t partials = ROUND_UP(plan.partial_rows * (plan.row_floats + 2) * sizeof(float), 64);
    char *memory = scratch(tasks + splits + partials + plan.workspace_bytes * threads);
    if (!memory) return -1;
    plan.tasks = (Task *)memory;
    plan.splits = (Split *)(memory + tasks);
    plan.partials = (float *)(memory + tasks + splits);
    plan.workspaces = memory + tasks + splits + partials;
    plan_tasks(&plan, threads);
    parallel_tasks(plan.task_count, threads, run_task, &plan);
    return 0;
}
