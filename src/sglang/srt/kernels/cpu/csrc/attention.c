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

/* total += segment, for rows that saw anything in the segment. */
static void merge(const Plan *p, const State *total, const State *segment, long rows) {
    int dp = p->dim_padded;
    for (long r = 0; r < rows; r++) {
        if (segment->l[r] == 0.0f) continue;
        float m = MAX(total->m[r], segment->m[r]);
        float old = exp2_one(total->m[r] - m), new = exp2_one(segment->m[r] - m);
        total->m[r] = m;
        total->l[r] = total->l[r] * old + segment->l[r] * new;
        vf keep = vf_set1(old), add = vf_set1(new);
        float *to = total->o + r * dp;
        const float *from = segment->o + r * dp;
        for (int c = 0; c < dp; c += VF_WIDTH)
            vf_store(to + c, vf_add(vf_mul(vf_load(to + c), keep), vf_mul(vf_load(from + c), add)));
    }
}

/* The task's rows, head by head, then token by token; bfloat16 for dot products, else floats. */
static void load_queries(const Plan *p, const Task *t, char *to) {
    const Attention *a = p->args;
    size_t item = dtype_size((int)a->dtype);
    long n = (long)p->group * a->head_dim;
    for (int h = t->head_begin; h < t->head_end; h++) {
        for (long i = 0; i < t->count; i++) {
            long token = a->q_indptr[t->seq] + t->first + i;
            const char *from = a->q + (token * a->q_stride + h * n) * item;
            if (p->dot || a->dtype == DTYPE_F32) {
                memcpy(to, from, n * item);
                to += n * item;
            } else {
                for (long c = 0; c < n; c += VF_WIDTH)
                    row_store(to, DTYPE_F32, c, n - c, row_load(from, DTYPE_BF16, c, n - c));
                to += n * sizeof(float);
            }
        }
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
                const float *from = total->o + row * p->dim_padded;
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
    float *base = p->partials + row * (p->dim_padded + 2);
    return (State){base, base + rows * p->dim_padded, base + rows * (p->dim_padded + 1)};
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
    long rows = MAX(p->group, (int)TASK_ROWS), dim = p->args->head_dim, dp = p->dim_padded;
    size_t used = 0;
#define TAKE(field, count)                             \
    do {                                               \
        if (memory) (field) = (void *)(memory + used); \
        used += ROUND_UP((count) * sizeof(float), 64); \
    } while (0)
    TAKE(w->keys, dim * BLOCK);
    TAKE(w->values, dp * BLOCK);
    TAKE(w->queries, rows * dim);
    TAKE(w->segment.o, rows * dp);
    TAKE(w->segment.m, rows);
    TAKE(w->segment.l, rows);
    TAKE(w->total.o, rows * dp);
    TAKE(w->total.m, rows);
    TAKE(w->total.l, rows);
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
    load_queries(p, p->tasks + i, w.queries);
    run_segments(p, &w, p->tasks + i);
#if defined(__SSE2__)
    _mm_setcsr(saved);
#endif
}

/* 0, or -1 when memory is out. */
EXPORT int attention(const Attention *a) {
    size_t item = dtype_size((int)a->dtype);
    Plan plan = {.args = a,
                 .group = (int)(a->num_heads / a->num_kv_heads),
                 .dim_padded = (int)ROUND_UP(a->head_dim, VF_WIDTH),
                 .dot = BF16_DOT && a->dtype == DTYPE_BF16};
    int threads = plan_threads(&plan);
    plan_tasks(&plan, threads); /* counts */

    Workspace unused;
    plan.workspace_bytes = lay_out(&plan, NULL, &unused);
    size_t tasks = ROUND_UP(plan.task_count * sizeof(Task), 64);
    size_t splits = ROUND_UP(plan.split_count * sizeof(Split), 64);
    size_t partials = ROUND_UP(plan.partial_rows * (plan.dim_padded + 2) * sizeof(float), 64);
    size_t zeros = ROUND_UP(a->num_kv_heads * a->head_dim * item, 64);
    char *memory = scratch(tasks + splits + partials + zeros + plan.workspace_bytes * threads);
    if (!memory) return -1;
    plan.tasks = (Task *)memory;
    plan.splits = (Split *)(memory + tasks);
    plan.partials = (float *)(memory + tasks + splits);
    plan.zeros = memset(memory + tasks + splits + partials, 0, zeros);
    plan.workspaces = plan.zeros + zeros;
    plan_tasks(&plan, threads);
    parallel_tasks(plan.task_count, threads, run_task, &plan);
    return 0;
}
