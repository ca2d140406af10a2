/* What the files of attention share: the arguments, the plan of a call, a task, a block.
 *
 * A row is one query token in one query head. The rows of a task are counted key/value head by
 * head, then token by token.
 */
#pragma once

#include <limits.h>

#include "kv.h"

enum {
    BLOCK = 64,    /* positions whose scores are computed together, and */
    SEGMENT = 512, /* that have a softmax of their own: both are part of the result's definition */
    BLOCKS_PER_SEGMENT = SEGMENT / BLOCK,
    LANES = 48,    /* rows that the kernel for many rows computes together */
    FEW_ROWS = 12, /* of a key/value head: those are computed four together */
    TASK_ROWS = 96, /* rows of a task, unless one token's group of heads has more */
    MAX_SHARING = 1024 /* sequences of a batch that are looked at for a common beginning */
};

#define NO_SCORE (-1e30f) /* less than any score */

/* The argument of attention; see the method of that name in interface.py. */
typedef struct {
    const char *q; /* tokens q_stride values apart */
    const char *k_cache, *v_cache;
    const float *k_scale, *v_scale; /* NULL for a cache without scales */
    char *out;
    const int32_t *q_indptr, *kv_slots;
    const int64_t *kv_start;
    const int32_t *kv_len;
    const float *slopes, *sinks; /* per query head, or NULL */
    int64_t batch, q_stride, num_heads, num_kv_heads, head_dim;
    int64_t value_dim; /* if less than head_dim, values are the beginnings of keys */
    int64_t window, dtype, kv_dtype;
    int64_t chunk;                                 /* 0: none */
    int64_t sparse_block;                          /* 0: dense; else a multiple of BLOCK */
    int64_t local_blocks, vertical_stride, head_step; /* of a sparse one */
    double scale, softcap;
} Attention;

/* The first position that a query at `position` sees, but for what a sparse pattern leaves out. */
static inline long oldest_seen(const Attention *a, long position) {
    long oldest = a->window > 0 ? MAX(0, position - a->window + 1) : 0;
    return a->chunk > 0 ? MAX(oldest, position - position % a->chunk) : oldest;
}

/* One past the last query that sees `position`. */
static inline long end_of_seeing(const Attention *a, long position) {
    long end = a->window > 0 ? position + a->window : LONG_MAX;
    return a->chunk > 0 ? MIN(end, position - position % a->chunk + a->chunk) : end;
}

/* The softmax of some rows so far: weighted sum of values, largest score (as a power of 2), sum of
 * weights. */
typedef struct {
    float *o, *m, *l;
} State;

/* Sequences of one query each that share their first segments. */
typedef struct {
    int first, count; /* of Sharing.members */
    long segments;
    long row; /* the first of their rows in Plan.prefixes, head by head, then sequence by sequence */
} Run;

typedef struct {
    int run, index; /* -1, or the run that a sequence is in, and where */
} Place;

typedef struct {
    int run_count, member_count, sequences; /* sequences that have a place */
    long rows;                              /* of all runs */
    Run runs[MAX_SHARING / 2];
    int32_t members[MAX_SHARING];
    Place places[MAX_SHARING];
} Sharing;

/* Query tokens [first, first + count) of a sequence, or of the members of a run, in the groups of
 * some key/value heads, over some segments. */
typedef struct {
    int seq, head_begin, head_end;
    int run; /* -1, or the run; `seq` is one of its members then */
    long first, count;
    long segment_begin, segment_end;
    long split; /* -1, or the index of the Split this task is a part of */
} Task;

/* Rows whose segments are spread over several tasks; the last one to end merges them. */
typedef struct {
    long segment_begin, segment_end;
    long partial; /* first row in Plan.partials */
    int unfinished;
} Split;

typedef struct {
    const Attention *args;
    int heads;                     /* of keys, or parts of the queries that share the only one */
    int group;                     /* query heads of each */
    bool dot;                      /* bfloat16 dot products */
    size_t head_bytes, slot_bytes; /* of keys in the cache */
    size_t head_step;              /* from the keys of a head to those of the next, maybe 0 */
    long row_floats;               /* distance of the rows of a State */
    const Sharing *sharing;
    Task *tasks; /* first those of the runs, which the others wait for */
    Split *splits;
    long run_task_count, task_count, split_count, partial_rows;
    float *partials;  /* states of the segments of splits */
    float *prefixes;  /* states of the sequences of runs after what they share */
    char *workspaces; /* one per thread */
    size_t workspace_bytes;
} Plan;

/* One head of one block of positions. Row i of its keys lies at k + offset[i]; the rows of
 * positions that no query of the task needs repeat one that is needed (their slots may be
 * nobody's). */
typedef struct {
    long start; /* the first position */
    const char *k, *v;
    const size_t *offset;
    const float *k_scale, *v_scale; /* [BLOCK], or NULL */
    const char *next_k, *next_v;    /* NULL, or what is read next, to be asked for: rows of */
    const size_t *next_offset;      /* row_bytes */
    long row_bytes;
} Block;

typedef struct Workspace Workspace;

/* The rows of a task in one key/value head. */
typedef struct {
    char *queries; /* in the order that the kernel wants */
    long rows;
    long position; /* of token 0 */
    State state;
    float *lanes; /* the kernel for many rows: the weighted sums, transposed */
    /* Of each row, as distances from `position`: the last and the first position that it sees. A
     * row that sees nothing of the block (`patchy`: there are some) has NOTHING as its last. */
    const int32_t *tokens, *oldest;
    bool patchy;
    const float *slopes; /* of each row, in units of scores before they are scaled; or NULL */
} Head;

enum { NOTHING = INT32_MIN / 2 };

/* How the rows of a task are computed. */
typedef struct {
    int together; /* rows; the memory of a head is a multiple of this many */
    bool widens;  /* needs an 8-bit cache as bfloat16 */
    /* Brings w->rows into its own order of queries. */
    void (*pack_queries)(const Plan *p, const Workspace *w, const Head *h);
    /* Takes a block into the state of the rows. Between begin and end (which may be NULL) of a
     * segment it may keep the weighted sums elsewhere. */
    void (*begin)(const Plan *p, const Head *h);
    void (*block)(const Plan *p, Workspace *w, const Block *b, const Head *h);
    void (*end)(const Plan *p, const Head *h);
} Kernel;

extern const Kernel float_kernel; /* floats, any CPU */
extern const Kernel quad_kernel;  /* bfloat16 dot products, four rows together */
extern const Kernel lane_kernel;  /* bfloat16 dot products, LANES rows together */

/* One thread's memory. */
struct Workspace {
    const Kernel *kernel;
    const char **rows; /* the queries of a head as they were given */
    int32_t *tokens;   /* which token of the task a row of a head is */
    int32_t *oldest;   /* the first position that it sees, from the task's first on */
    int32_t *limits;   /* of a sparse pattern: Head.tokens */
    float *slopes;     /* head by head */
    char *queries;
    bf16 *wide; /* a block of an 8-bit cache as bfloat16: keys, then values */
    float *keys, *values, *scores, *weights; /* of a block */
    float *lanes;
    State segment, total;
    float k_scale[BLOCK], v_scale[BLOCK];
    size_t wide_offset[BLOCK];
};

static inline long head_rows(const Plan *p, const Task *t) { return t->count * p->group; }

static inline long task_rows(const Plan *p, const Task *t) {
    return (t->head_end - t->head_begin) * head_rows(p, t);
}

/* Where the first of the task's tokens stands in its sequence, of a run's: in one of them. */
static inline long task_position(const Plan *p, const Task *t) {
    const Attention *a = p->args;
    long queries = a->q_indptr[t->seq + 1] - a->q_indptr[t->seq];
    return a->kv_len[t->seq] - queries + (t->run < 0 ? t->first : 0);
}

/* Asks for rows [i, i + count) of what is read next at `base`, unless that is NULL. To the second
 * cache: a core waits for few lines on the way to the first, and for twice as many to this one. */
static inline void ask_ahead(const Block *b, const char *base, int i, int count) {
    if (!base) return;
    for (int r = i; r < i + count; r++)
        for (long line = 0; line < b->row_bytes; line += 64)
            __builtin_prefetch(base + b->next_offset[r] + line, 0, 2);
}

/* The run of a sequence, or NULL. */
static inline const Run *run_of(const Plan *p, long seq) {
    const Sharing *sharing = p->sharing;
    if (seq >= sharing->sequences || sharing->places[seq].run < 0) return NULL;
    return sharing->runs + sharing->places[seq].run;
}

/* Fills `sharing`, which is some 20 KB large. */
void find_sharing(const Plan *p, Sharing *sharing);

/* The kernel for so many rows of a key/value head. */
const Kernel *kernel_of(const Plan *p, long rows);

/* How many threads the call is worth. */
int plan_threads(const Plan *p);

/* Divides the queries of an only key/value head where there are fewer tasks than threads. */
void plan_heads(Plan *p, int threads);

/* Fills tasks and splits, or only counts them where p->tasks is NULL. */
void plan_tasks(Plan *p, int threads);

/* Key/value head t->head_begin + i, with its rows in `s`. */
Head head_of(const Plan *p, const Workspace *w, const Task *t, int i, const State *s);

/* Fills `s` with the softmax of all rows of the task over one segment. */
void attend_segment(const Plan *p, Workspace *w, const Task *t, long segment, const State *s);

/* An empty softmax of `rows` rows. */
void clear_state(const Plan *p, const State *s, long rows);
