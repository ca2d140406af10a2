/* Compares matrix products and attention, in float32 and bfloat16, with plain loops; exit status 0 if
 * all agree.
 *
 * Compiled together with the kernels for instruction sets that this machine may not have, and run by
 * an emulator.
 */
#include <stdio.h>

#include "attention.h"
#include "linear_panel.h"

typedef struct {
    const void *weight;
    void *packed;
    int64_t n, k, dtype;
} Pack;

int pack_linear(const Pack *p);
int64_t packed_bytes(int64_t n, int64_t k, int64_t dtype);
int linear(const Linear *l);
int attention(const Attention *a);

int omp_get_max_threads(void) { return 2; }

static float uniform(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (1 << 23) - 1.0f;
}

static void *numbers(long count, int dtype) {
    char *to = aligned_alloc(64, ROUND_UP(count * dtype_size(dtype), 64));
    for (long i = 0; i < count; i++) {
        if (dtype == DTYPE_F32) ((float *)to)[i] = uniform();
        else ((bf16 *)to)[i] = f32_to_bf16(uniform());
    }
    return to;
}

static double value(const void *p, long i, int dtype) {
    return dtype == DTYPE_F32 ? ((const float *)p)[i] : bf16_to_f32(((const bf16 *)p)[i]);
}

static double worst_product(long m, long n, long k, int dtype) {
    void *x = numbers(m * k, dtype), *weight = numbers(n * k, dtype), *bias = numbers(n, dtype);
    float *out = numbers(m * n, DTYPE_F32);
    char *packed = aligned_alloc(64, ROUND_UP(packed_bytes(n, k, dtype), 64));
    pack_linear(&(Pack){weight, packed, n, k, dtype});
    if (linear(&(Linear){x, packed, bias, out, m, n, k, k, dtype, DTYPE_F32})) return INFINITY;
    double worst = 0.0;
    for (long r = 0; r < m; r++)
        for (long c = 0; c < n; c++) {
            double sum = value(bias, c, dtype);
            for (long i = 0; i < k; i++)
                sum += value(x, r * k + i, dtype) * value(weight, c * k + i, dtype);
            worst = MAX(worst, fabs(sum - out[r * n + c]));
        }
    free(x), free(weight), free(bias), free(out), free(packed);
    return worst / sqrt((double)k);
}

enum { HEADS = 4, KV_HEADS = 2, DIM = 24, WIDTH = HEADS * DIM, KV_WIDTH = KV_HEADS * DIM };

/* Query `i` of a sequence of `length` tokens, of which the last `queries` ask, in head `h`. */
static double attended(const void *q, const void *k, const void *v, int dtype, const int32_t *slots,
                       long position, long token, int h, int dim, double scale) {
    double sum = 0.0, total = 0.0;
    for (long j = 0; j <= position; j++) {
        long row = slots[j] * KV_WIDTH + h / (HEADS / KV_HEADS) * DIM;
        double score = 0.0;
        for (int d = 0; d < DIM; d++)
            score += value(q, token * WIDTH + h * DIM + d, dtype) * value(k, row + d, dtype);
        double weight = exp(score * scale);
        sum += weight * value(v, row + dim, dtype);
        total += weight;
    }
    return sum / total;
}

static double worst_attention(const int32_t *queries, const int32_t *lengths, int dtype) {
    enum { BATCH = 3 };
    int32_t starts[BATCH + 1] = {0}, *slots;
    int64_t begins[BATCH];
    long total = 0;
    for (int b = 0; b < BATCH; b++) {
        starts[b + 1] = starts[b] + queries[b];
        begins[b] = total;
        total += lengths[b];
    }
    slots = malloc(total * sizeof *slots);
    for (long i = 0; i < total; i++) slots[i] = (int32_t)((i * 7 + 3) % total);
    void *q = numbers(starts[BATCH] * WIDTH, dtype);
    void *k = numbers(total * KV_WIDTH, dtype), *v = numbers(total * KV_WIDTH, dtype);
    char *out = numbers(starts[BATCH] * WIDTH, dtype);
    const Attention a = {.q = q, .k_cache = k, .v_cache = v, .out = out, .q_indptr = starts,
                         .kv_slots = slots, .kv_start = begins, .kv_len = lengths, .batch = BATCH,
                         .q_stride = WIDTH, .num_heads = HEADS, .num_kv_heads = KV_HEADS,
                         .head_dim = DIM, .value_dim = DIM, .dtype = dtype, .kv_dtype = dtype,
                         .scale = 0.2};
    if (attention(&a)) return INFINITY;
    double worst = 0.0;
    for (int b = 0; b < BATCH; b++)
        for (long i = 0; i < queries[b]; i++)
            for (int h = 0; h < HEADS; h++)
                for (int d = 0; d < DIM; d++) {
                    long token = starts[b] + i, position = lengths[b] - queries[b] + i;
                    double expected = attended(q, k, v, dtype, slots + begins[b], position, token, h,
                                               d, a.scale);
                    double got = value(out, token * WIDTH + h * DIM + d, dtype);
                    worst = MAX(worst, fabs(got - expected));
                }
    free(slots), free(q), free(k), free(v), free(out);
    return worst;
}

static int check(const char *what, int dtype, double worst, double limit) {
    if (worst <= limit) return 0;
    printf("%s, dtype %d: off by %g\n", what, dtype, worst);
    return 1;
}

int main(void) {
    const double limits[] = {1e-5, 2e-2};
    int wrong = 0;
    for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        wrong += check("13 x 70 x 301", dtype, worst_product(13, 70, 301, dtype), 1e-5);
        wrong += check("1 x 33 x 64", dtype, worst_product(1, 33, 64, dtype), 1e-5);
        wrong += check("decode", dtype,
                       worst_attention((int32_t[]){1, 1, 1}, (int32_t[]){600, 3, 65}, dtype),
                       limits[dtype]);
        wrong += check("extend", dtype,
                       worst_attention((int32_t[]){40, 70, 1}, (int32_t[]){90, 70, 520}, dtype),
                       limits[dtype]);
    }
    return wrong;
}
