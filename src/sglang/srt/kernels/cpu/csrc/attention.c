/* Causal attention of a ragged batch over the paged cache.
 *
 * A task takes the rows of a few query tokens and walks over blocks of BLOCK positions, counted
 * from position 0; each block's keys and values are packed once for all rows that share them.
 * SEGMENT positions have a softmax of their own, so that a long sequence can be spread over tasks
 * (Flash-Decoding, Dao et al. 2023); segments are merged in ascending order. Blocks and segments
 * never move, and a masked score adds an exact 0. What several sequences begin with is attended to
 * once for all, up to the end of a segment. So the bits of a row depend on its position and
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

/* What a row's scores change by with each position, in units before they are scaled. */
static void load_slopes(const Plan *p, const Workspace *w, const Task *t, int i) {
    const Attention *a = p->args;
    long rows = head_rows(p, t), space = ROUND_UP(rows, w->kernel->together);
    const float *slopes = a->slopes + (long)(t->head_begin + i) * p->group;
    double unit = a->softcap > 0 ? 1.0 : a->scale;
    for (long r = 0; r < space; r++)
        w->slopes[i * space + r] = (float)(slopes[MIN(r, rows - 1) % p->group] / unit);
}

/* The token of the batch that query `i` of the task is. */
static long token_of(const Plan *p, const Task *t, long i) {
    long seq = t->seq;
    if (t->run >= 0) {
        const Run *run = p->sharing->runs + t->run;
        seq = p->sharing->members[run->first + t->first + i];
        return p->args->q_indptr[seq];
    }
    return p->args->q_indptr[seq] + t->first + i;
}

/* Hands the queries of each head to the kernel. */
static void load_queries(const Plan *p, Workspace *w, const Task *t) {
    const Attention *a = p->args;
    size_t item = dtype_size((int)a->dtype);
    long rows = head_rows(p, t), position = task_position(p, t);
    for (long r = 0; r < ROUND_UP(rows, LANES); r++) {
        w->tokens[r] = (int32_t)(MIN(r, rows - 1) / p->group);
        w->oldest[r] = (int32_t)(oldest_seen(a, position + w->tokens[r]) - position);
    }
    for (int i = 0; i < t->head_end - t->head_begin; i++) {
        long first = (long)(t->head_begin + i) * p->group;
        for (long r = 0; r < rows; r++) {
            long token = token_of(p, t, r / p->group);
            w->rows[r] = a->q + (token * a->q_stride + (first + r % p->group) * a->head_dim) * item;
        }
        if (a->slopes) load_slopes(p, w, t, i);
        const Head head = head_of(p, w, t, i, &w->total);
        w->kernel->pack_queries(p, w, &head);
    }
}

/* 1 / (sum of weights + that of the sink), for weights relative to 2^m. */
static float share_with_sink(float m, float l, float sink) {
    float top = MAX(m, sink * LOG2E), weight = exp2_one(m - top);
    return weight / (l * weight + exp2_one(sink * LOG2E - top));
}

/* Where rows [first, first + rows) of a state lie. */
static State state_rows(const Plan *p, float *base, long all, long first) {
    float *scalars = base + all * p->row_floats;
    return (State){base + first * p->row_floats, scalars + first, scalars + all + first};
}

static void copy_state(const Plan *p, const State *to, const State *from, long rows) {
    memcpy(to->o, from->o, rows * p->row_floats * sizeof(float));
    memcpy(to->m, from->m, rows * sizeof(float));
    memcpy(to->l, from->l, rows * sizeof(float));
}

/* Query `index` of a run in key/value head `head`, after what the run shares. */
static State prefix_state(const Plan *p, const Run *run, int head, long index) {
    long row = run->row + ((long)head * run->count + index) * p->group;
    return state_rows(p, p->prefixes, p->sharing->rows, row);
}

/* What the rows of the task have seen before its segments. */
static void begin_total(const Plan *p, const Task *t, const State *total) {
    const Run *run = t->run < 0 ? run_of(p, t->seq) : NULL;
    long rows = head_rows(p, t);
    if (!run) {
        clear_state(p, total, task_rows(p, t));
        return;
    }
    for (int h = t->head_begin; h < t->head_end; h++) {
        long first = (h - t->head_begin) * rows;
        State to = {total->o + first * p->row_floats, total->m + first, total->l + first};
        State from = prefix_state(p, run, h, p->sharing->places[t->seq].index);
        copy_state(p, &to, &from, rows);
    }
}

static void store_prefixes(const Plan *p, const Task *t, const State *total) {
    long rows = head_rows(p, t);
    for (int h = t->head_begin; h < t->head_end; h++) {
        long first = (h - t->head_begin) * rows;
        State to = prefix_state(p, p->sharing->runs + t->run, h, t->first);
        State from = {total->o + first * p->row_floats, total->m + first, total->l + first};
        copy_state(p, &to, &from, rows);
    }
}

static void store_output(const Plan *p, const Task *t, const State *total) {
    const Attention *a = p->args;
    size_t item = dtype_size((int)a->dtype);
    long row = 0;
    for (int h = t->head_begin; h < t->head_end; h++)
        for (long i = 0; i < t->count; i++)
            for (int g = 0; g < p->group; g++, row++) {
                long token = token_of(p, t, i), head = (long)h * p->group + g;
                char *to = a->out + (token * a->num_heads + head) * a->value_dim * item;
                const float *from = total->o + row * p->row_floats;
                float share = a->sinks
                                  ? share_with_sink(total->m[row], total->l[row], a->sinks[head])
                                  : 1.0f / total->l[row];
                vf scale = vf_set1(share);
                for (int c = 0; c < a->value_dim; c += VF_WIDTH) {
                    vf y = vf_mul(vf_load(from + c), scale);
                    row_store(to, (int)a->dtype, c, a->value_dim - c, y);
                }
            }
}

static void store_total(const Plan *p, const Task *t, const State *total) {
    if (t->run >= 0) store_prefixes(p, t, total);
    else store_output(p, t, total);
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
        begin_total(p, t, &w->total);
        for (long segment = t->segment_begin; segment < t->segment_end; segment++) {
            attend_segment(p, w, t, segment, &w->segment);
            merge(p, &w->total, &w->segment, rows);
        }
        store_total(p, t, &w->total);
        return;
    }
    Split *split = p->splits + t->split;
    for (long segment = t->segment_begin; segment < t->segment_end; segment++) {
        State part = partial_state(p, split, segment, rows);
        attend_segment(p, w, t, segment, &part);
    }
    if (__atomic_sub_fetch(&split->unfinished, 1, __ATOMIC_ACQ_REL) > 0) return;
    begin_total(p, t, &w->total);
    for (long segment = split->segment_begin; segment < split->segment_end; segment++) {
        State part = partial_state(p, split, segment, rows);
        merge(p, &w->total, &part, rows);
    }
    store_total(p, t, &w->total);
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
    TAKE(w->oldest, rows);
    TAKE(w->limits, rows);
    TAKE(w->slopes, rows);
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

typedef struct {
    const Plan *plan;
    const Task *tasks;
} Phase;

static void run_task(const void *context, long i, int thread) {
    const Plan *p = ((const Phase *)context)->plan;
    Workspace w;
    lay_out(p, p->workspaces + thread * p->workspace_bytes, &w);
#if defined(__SSE2__)
    /* Flush denormals, so that adding a weight of 0 changes nothing even there: the dot-product
     * instruction always flushes them. */
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040);
#endif
    const Task *task = ((const Phase *)context)->tasks + i;
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
                 .heads = (int)a->num_kv_heads,
                 .group = (int)(a->num_heads / a->num_kv_heads),
                 .dot = BF16_DOT && a->dtype == DTYPE_BF16 && readable,
                 .head_bytes = head_bytes,
                 .slot_bytes = a->num_kv_heads * head_bytes,
                 .head_step = a->num_kv_heads == 1 ? 0 : head_bytes,
                 .row_floats = ROUND_UP(a->value_dim, 2 * VF_WIDTH)};
    Sharing sharing;
    find_sharing(&plan, &sharing);
    plan.sharing = &sharing;
    int threads = plan_threads(&plan);
    plan_heads(&plan, threads);
    plan_tasks(&plan, threads); /* counts */

    Workspace unused;
    plan.workspace_bytes = lay_out(&plan, NULL, &unused);
    size_t tasks = ROUND_UP(plan.task_count * sizeof(Task), 64);
    size_t splits = ROUND_UP(plan.split_count * sizeof(Split), 64);
    size_t partials = ROUND_UP(plan.partial_rows * (plan.row_floats + 2) * sizeof(float), 64);
    size_t prefixes = ROUND_UP(sharing.rows * (plan.row_floats + 2) * sizeof(float), 64);
    char *memory =
        scratch(tasks + splits + partials + prefixes + plan.workspace_bytes * threads);
    if (!memory) return -1;
    plan.tasks = (Task *)memory;
    plan.splits = (Split *)(memory + tasks);
    plan.partials = (float *)(memory + tasks + splits);
    plan.prefixes = (float *)(memory + tasks + splits + partials);
    plan.workspaces = memory + tasks + splits + partials + prefixes;
    plan_tasks(&plan, threads);
    const Phase runs = {&plan, plan.tasks};
    const Phase rest = {&plan, plan.tasks + plan.run_task_count};
    parallel_tasks(plan.run_task_count, threads, run_task, &runs);
    parallel_tasks(plan.task_count - plan.run_task_count, threads, run_task, &rest);
    return 0;
}
