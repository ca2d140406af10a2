/* What the three files of attention share: the arguments, the plan of a call, a task.
 *
 * A row is one query token in one query head. */
#pragma once

#include "attention_pack.h"

enum {
    SEGMENT = 512, /* positions with a softmax of their own; part of the result's definition */
    BLOCKS_PER_SEGMENT = SEGMENT / BLOCK,
    TASK_ROWS = 64 /* rows of a task, unless one token's group of heads has more */
};

/* The argument of attention; see the method of that name in interface.py. */
typedef struct {
    const char *q; /* tokens q_stride values apart */
    const char *k_cache, *v_cache;
    char *out;
    const int32_t *q_indptr, *kv_slots;
    const int64_t *kv_start;
    const int32_t *kv_len;
    int64_t batch, q_stride, num_heads, num_kv_heads, head_dim, window, dtype;
    double scale, softcap;
} Attention;

/* The softmax of some rows so far: weighted sum of values, largest score (as a power of 2), sum of
 * weights. */
typedef struct {
    float *o, *m, *l;
} State;

/* Query tokens [first, first + count) of a sequence in the groups of some key/value heads, over
 * some segments. */
typedef struct {
    int seq, head_begin, head_end;
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
    int group;      /* query heads of a key/value head */
    int dim_padded; /* head_dim, up to whole vectors */
    bool dot;       /* bfloat16 dot products */
    Task *tasks;
    Split *splits;
    long task_count, split_count, partial_rows;
    float *partials;  /* states of the segments of splits */
    char *zeros;      /* a slot of zeros */
    char *workspaces; /* one per thread */
    size_t workspace_bytes;
} Plan;

/* One thread's memory. */
typedef struct {
    BlockRows rows[2]; /* of this block and the next */
    float scores[TILE_ROWS][BLOCK] __attribute__((aligned(64)));
    float weights[TILE_ROWS][BLOCK]; /* floats, or bfloat16 in the first half of a row */
    float rescale[ROUND_UP(TILE_ROWS, VF_WIDTH)];
    float *keys, *values; /* packed panels */
    char *queries;
    State segment, total;
} Workspace;

static inline long task_rows(const Plan *p, const Task *t) {
    return (t->head_end - t->head_begin) * t->count * p->group;
}

/* How many threads the call is worth. */
int plan_threads(const Plan *p);

/* Fills tasks and splits, or only counts them where p->tasks is NULL. */
void plan_tasks(Plan *p, int threads);

/* Fills `s` with the softmax of all rows of the task over one segment. */
void attend_segment(const Plan *p, Workspace *w, const Task *t, long segment, const State *s);

/* An empty softmax of `rows` rows. */
void clear_state(const Plan *p, const State *s, long rows);

/* 2^x of one number, by the same instructions as the vectors. */
static inline float exp2_one(float x) {
    float lanes[VF_WIDTH];
    vf_store(lanes, vf_exp2(vf_set1(x)));
    return lanes[0];
}
