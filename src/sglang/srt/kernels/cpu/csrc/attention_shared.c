/* Finding the sequences of a batch that begin with the same slots, as many requests with one system
 * prompt do: what they share is attended to once for all of them (cascade inference, Ye et al.
 * 2024; Hydragen, Juravsky et al. 2024). Only whole segments count, so that no bit of a result
 * changes.
 */
#include "attention.h"

/* A sequence of one query, by the slot at the end of its first segment: a slot holds one token
 * after one prefix, so that it tells sequences apart that differ before. */
typedef struct {
    int32_t slot, seq;
} Candidate;

static int compare(const void *left, const void *right) {
    const Candidate *a = left, *b = right;
    if (a->slot != b->slot) return a->slot < b->slot ? -1 : 1;
    return a->seq < b->seq ? -1 : 1;
}

static const int32_t *slots_of(const Attention *a, int seq) {
    return a->kv_slots + a->kv_start[seq];
}

/* Segments before the query. */
static long past_segments(const Attention *a, int seq) { return (a->kv_len[seq] - 1) / SEGMENT; }

/* How many of the first `most` segments have the same slots in both sequences. */
static long common_segments(const Attention *a, int left, int right, long most) {
    const int32_t *x = slots_of(a, left), *y = slots_of(a, right);
    for (long s = 0; s < most; s++)
        if (memcmp(x + s * SEGMENT, y + s * SEGMENT, SEGMENT * sizeof(int32_t))) return s;
    return most;
}

/* Adds the candidates [0, count), all alike in one slot, as a run if they share anything. */
static void add_run(const Plan *p, Sharing *sharing, const Candidate *candidate, int count) {
    const Attention *a = p->args;
    int leader = candidate[0].seq;
    long segments = past_segments(a, leader);
    for (int i = 1; i < count && segments; i++) {
        int seq = candidate[i].seq;
        segments = common_segments(a, leader, seq, MIN(segments, past_segments(a, seq)));
    }
    if (!segments) return;
    Run *run = sharing->runs + sharing->run_count;
    *run = (Run){sharing->member_count, count, segments, sharing->rows};
    for (int i = 0; i < count; i++) {
        sharing->members[sharing->member_count++] = candidate[i].seq;
        sharing->places[candidate[i].seq] = (Place){sharing->run_count, i};
    }
    sharing->run_count++;
    sharing->rows += (long)count * a->num_heads;
}

void find_sharing(const Plan *p, Sharing *sharing) {
    const Attention *a = p->args;
    Candidate candidates[MAX_SHARING];
    int count = 0;
    sharing->run_count = sharing->member_count = 0;
    sharing->rows = 0;
    /* Everything else depends on how far a key is from the query. */
    bool plain = a->window <= 0 && a->chunk <= 0 && !a->sparse_block && !a->slopes;
    sharing->sequences = plain ? (int)MIN(a->batch, (int64_t)MAX_SHARING) : 0;
    for (int b = 0; b < sharing->sequences; b++) {
        sharing->places[b].run = -1;
        if (a->q_indptr[b + 1] - a->q_indptr[b] == 1 && past_segments(a, b) > 0)
            candidates[count++] = (Candidate){slots_of(a, b)[SEGMENT - 1], b};
    }
    if (count < 2) return;
    qsort(candidates, count, sizeof *candidates, compare);
    for (int first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && candidates[end].slot == candidates[first].slot;) end++;
        if (end - first > 1) add_run(p, sharing, candidates + first, end - first);
    }
}
