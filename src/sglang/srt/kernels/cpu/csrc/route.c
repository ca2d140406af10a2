/* Which experts of a mixture a token goes to, and how much each counts. */
#include "common.h"

enum { SOFTMAX = 0, SIGMOID = 1, SPARSEMIXER = 2 };
enum { MAX_EXPERTS = 1024 }; /* the caller checks */

/* The argument of route: logits [rows, num_experts] with rows stride values apart, correction
 * [num_experts] or NULL; out go experts and weights [rows, top_k]. */
typedef struct {
    const float *logits, *correction;
    int32_t *experts;
    float *weights;
    int64_t rows, num_experts, top_k, stride;
    int64_t score, renormalize, num_groups, top_groups, best_two;
    double scale, softcap, jitter;
} Route;

/* The largest that is not taken, of equals the first; also among NaN there is one. */
static long best_of(const float *x, const bool *taken, long n) {
    long best = -1;
    for (long i = 0; i < n; i++)
        if (!taken[i] && (best < 0 || x[i] > x[best])) best = i;
    return best;
}

static void softmax(float *x, long n) {
    float most = x[0], sum = 0.0f;
    for (long i = 1; i < n; i++) most = MAX(most, x[i]);
    for (long i = 0; i < n; i++) sum += x[i] = expf(x[i] - most);
    for (long i = 0; i < n; i++) x[i] /= sum;
}

/* Marks what is outside of the best groups as taken. */
static void keep_best_groups(const Route *r, const float *choice, bool *taken) {
    long size = r->num_experts / r->num_groups;
    float scores[MAX_EXPERTS];
    bool kept[MAX_EXPERTS] = {false};
    for (long g = 0; g < r->num_groups; g++) {
        const float *group = choice + g * size;
        bool *seen = taken + g * size;
        long best = best_of(group, seen, size);
        scores[g] = group[best];
        if (!r->best_two) continue;
        seen[best] = true;
        scores[g] += group[best_of(group, seen, size)];
        seen[best] = false;
    }
    for (long i = 0; i < r->top_groups; i++) kept[best_of(scores, kept, r->num_groups)] = true;
    for (long i = 0; i < r->num_experts; i++) taken[i] = !kept[i / size];
}

static void choose(const Route *r, float *scores, int32_t *experts, float *weights) {
    long n = r->num_experts;
    float choice[MAX_EXPERTS];
    bool taken[MAX_EXPERTS] = {false};
    if (r->score == SOFTMAX) softmax(scores, n);
    else
        for (long i = 0; i < n; i++) scores[i] = 1.0f / (1.0f + expf(-scores[i]));
    for (long i = 0; i < n; i++) choice[i] = scores[i] + (r->correction ? r->correction[i] : 0.0f);
    if (r->num_groups > 1) keep_best_groups(r, choice, taken);
    for (long j = 0; j < r->top_k; j++) {
        long best = best_of(choice, taken, n);
        taken[best] = true;
        experts[j] = (int32_t)best;
        weights[j] = scores[best];
    }
}

/* SparseMixer-v2 at inference (Liu et al. 2024): one after the other, each weighed among those left
 * that come close to it. */
static void mix_sparsely(const Route *r, const float *scores, int32_t *experts, float *weights) {
    bool taken[MAX_EXPERTS] = {false};
    for (long j = 0; j < r->top_k; j++) {
        long best = best_of(scores, taken, r->num_experts);
        float most = scores[best], sum = 0.0f;
        for (long i = 0; i < r->num_experts; i++) {
            float distance = (most - scores[i]) / MAX(fabsf(scores[i]), most);
            if (!taken[i] && !(distance > 2 * (float)r->jitter)) sum += expf(scores[i] - most);
        }
        taken[best] = true;
        experts[j] = (int32_t)best;
        weights[j] = 1.0f / sum;
    }
}

static void route_range(const void *context, long begin, long end) {
    const Route *r = context;
    float scores[MAX_EXPERTS], cap = (float)r->softcap;
    for (long row = begin; row < end; row++) {
        int32_t *experts = r->experts + row * r->top_k;
        float *weights = r->weights + row * r->top_k, sum = 0.0f;
        memcpy(scores, r->logits + row * r->stride, r->num_experts * sizeof(float));
        if (cap > 0.0f)
            for (long i = 0; i < r->num_experts; i++) scores[i] = cap * tanhf(scores[i] / cap);
        if (r->score == SPARSEMIXER) mix_sparsely(r, scores, experts, weights);
        else choose(r, scores, experts, weights);
        for (long j = 0; j < r->top_k; j++) sum += weights[j];
        float factor = (float)r->scale / (r->renormalize ? sum + 1e-20f : 1.0f);
        for (long j = 0; j < r->top_k; j++) weights[j] *= factor;
    }
}

EXPORT int route(const Route *r) {
    parallel_ranges(r->rows, 4096 / MAX(r->num_experts, 1), route_range, r);
    return 0;
}
