/* Dividing a call's work into tasks of similar size. How it is divided changes no bit of the
 * result. */
#include "attention.h"

enum {
    PACK_COST = 8,            /* packing a block costs about as much as this many rows */
    TASKS_PER_THREAD = 4,     /* at least, so that the last ones to end do not wait long */
    SERIAL_COST = 256,        /* some 20 us: not worth waking threads for */
    LEAST_HEADS = 8,          /* of queries that share a head, and are not divided further */
    MAX_PARTIAL_ROWS = 65536, /* bounds the memory of splits */
};

const Kernel *kernel_of(const Plan *p, long rows) {
#if defined(HAVE_BF16_DOT)
    if (p->dot) return rows <= FEW_ROWS ? &quad_kernel : &lane_kernel;
#endif
    (void)p, (void)rows;
    return &float_kernel;
}

static long tile_tokens(const Plan *p) { return MAX(1, TASK_ROWS / p->group); }

/* Cost of a segment of one key/value head with `rows` rows. */
static long segment_cost(long rows) { return BLOCKS_PER_SEGMENT * (rows + PACK_COST); }

/* What the runs cost, or what remains for the sequences. */
static long total_cost(const Plan *p, bool runs) {
    const Attention *a = p->args;
    long cost = 0;
    for (int i = 0; runs && i < p->sharing->run_count; i++) {
        const Run *run = p->sharing->runs + i;
        cost += run->segments * segment_cost(run->count * p->group) * p->heads;
    }
    for (long b = 0; !runs && b < a->batch; b++) {
        const Run *run = run_of(p, b);
        long queries = a->q_indptr[b + 1] - a->q_indptr[b];
        long seen = a->kv_len[b] - oldest_seen(a, a->kv_len[b] - queries);
        if (run) seen -= run->segments * SEGMENT;
        long tiles = (queries + tile_tokens(p) - 1) / tile_tokens(p);
        cost += (seen / BLOCK + 1) * (queries * p->group + tiles * PACK_COST) * p->heads;
    }
    return cost;
}

/* One tile of query tokens, all heads: together where they fit, because a token's heads lie side
 * by side; spread first over segments and then over heads where they cost more than `limit`. */
static void plan_tile(Plan *p, Task tile, long limit) {
    long begin = tile.segment_begin, end = tile.segment_end;
    long rows = tile.count * p->group, each = end - begin;
    long padded = ROUND_UP(rows, kernel_of(p, rows)->together);
    long heads = MIN(p->heads, MAX(1, TASK_ROWS / padded));
    if (heads * each * segment_cost(rows) > limit) {
        long partial_rows = rows * each * p->heads;
        if (each > 1 && p->partial_rows + partial_rows <= MAX_PARTIAL_ROWS)
            each = MAX(1, limit / (heads * segment_cost(rows)));
        heads = MIN(heads, MAX(1, limit / (each * segment_cost(rows))));
    }
    bool split = each < end - begin;
    for (int head = 0; head < p->heads; head += heads) {
        int head_end = (int)MIN(head + heads, p->heads);
        if (split) {
            if (p->tasks)
                p->splits[p->split_count] = (Split){begin, end, p->partial_rows,
                                                    (int)((end - begin + each - 1) / each)};
            p->split_count++;
            p->partial_rows += (head_end - head) * rows * (end - begin);
        }
        for (long s = begin; s < end; s += each) {
            if (p->tasks) {
                Task *task = p->tasks + p->task_count;
                *task = tile;
                task->head_begin = head, task->head_end = head_end;
                task->segment_begin = s, task->segment_end = MIN(s + each, end);
                task->split = split ? p->split_count - 1 : -1;
            }
            p->task_count++;
        }
    }
}

int plan_threads(const Plan *p) {
    return total_cost(p, true) + total_cost(p, false) < SERIAL_COST ? 1 : parallel_threads();
}

void plan_heads(Plan *p, int threads) {
    const Attention *a = p->args;
    if (a->num_kv_heads > 1 || threads == 1) return;
    long tasks = 0;
    for (long b = 0; b < a->batch; b++) {
        long queries = a->q_indptr[b + 1] - a->q_indptr[b];
        long segments = (a->kv_len[b] - oldest_seen(a, a->kv_len[b] - queries)) / SEGMENT + 1;
        tasks += (queries + tile_tokens(p) - 1) / tile_tokens(p) * segments;
    }
    for (int n = 2; n * LEAST_HEADS <= a->num_heads && tasks * p->heads < threads; n++)
        if (a->num_heads % n == 0) p->heads = n, p->group = (int)a->num_heads / n;
}

/* Up to this cost a task is not divided. */
static long cost_limit(const Plan *p, bool runs, int threads) {
    return threads == 1 ? INT64_MAX : MAX(1, total_cost(p, runs) / (TASKS_PER_THREAD * threads));
}

static void plan_runs(Plan *p, long limit) {
    for (int i = 0; i < p->sharing->run_count; i++) {
        const Run *run = p->sharing->runs + i;
        Task tile = {.seq = p->sharing->members[run->first], .run = i, .segment_end = run->segments};
        for (; tile.first < run->count; tile.first += tile_tokens(p)) {
            tile.count = MIN(tile_tokens(p), run->count - tile.first);
            plan_tile(p, tile, limit);
        }
    }
}

static void plan_sequence(Plan *p, int seq, long limit) {
    const Attention *a = p->args;
    const Run *run = run_of(p, seq);
    long queries = a->q_indptr[seq + 1] - a->q_indptr[seq], tokens = tile_tokens(p);
    long position = a->kv_len[seq] - queries;
    if (queries == 0) return;
    /* The longest first: the last tokens of a prompt see the most. */
    for (long first = (queries - 1) / tokens * tokens; first >= 0; first -= tokens) {
        long oldest = oldest_seen(a, position + first);
        Task tile = {.seq = seq, .run = -1, .first = first, .count = MIN(tokens, queries - first)};
        tile.segment_begin = run ? run->segments : oldest / SEGMENT;
        tile.segment_end = (position + first + tile.count - 1) / SEGMENT + 1;
        plan_tile(p, tile, limit);
    }
}

void plan_tasks(Plan *p, int threads) {
    p->task_count = p->split_count = p->partial_rows = 0;
    plan_runs(p, cost_limit(p, true, threads));
    p->run_task_count = p->task_count;
    long limit = cost_limit(p, false, threads);
    for (long b = 0; b < p->args->batch; b++) plan_sequence(p, (int)b, limit);
}
