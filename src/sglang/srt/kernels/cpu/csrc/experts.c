/* Mixtures of experts: out[t] = sum over j of weights[t, j] * down(act(up(x[t]))), where up and down
 * are the matrices of expert experts[t, j].
 *
 * The rows are sorted by expert, so that each expert's matrices are read once for all of its rows
 * and those of nobody's experts are not read at all. A row's sums depend on that row alone, and the
 * experts of a token are added in the order they were given in: a token's bits do not depend on the
 * batch it is in.
 */
#include "activation.h"
#include "linear_quantized.h"

enum {
    WORKSPACE_BYTES = 1 << 28, /* more tokens are done in several turns */
    PART_ROWS = 96             /* of one expert, which stay in a core's cache */
};

/* Of what kind weights are: bits 0, or those of QuantizedLinear. */
typedef struct {
    int64_t bits, parts, group, form;
} Scheme;

/* The argument of expert_mlp: x [rows, hidden] with rows x_stride values apart; experts and weights
 * [rows, top_k]; up with 2 * inner and down with hidden outputs; out [rows, hidden]. */
typedef struct {
    const void *x;
    const int32_t *experts;
    const float *weights;
    const char *up, *down;
    const void *up_bias, *down_bias; /* in x's dtype, may be NULL */
    void *out;
    int64_t rows, top_k, num_experts, hidden, inner, x_stride, dtype, kind, scale_input;
    Scheme up_scheme, down_scheme;
    double limit; /* as in Gate */
} Experts;

/* Tokens under way; below a row is one token at one of its experts. */
typedef struct {
    const Experts *args;
    long first, tokens, rows, num_parts;
    int32_t *starts; /* [num_experts + 1]: the first row of each expert */
    int32_t *place;  /* [tokens, top_k]: where its row is */
    int32_t *source; /* [rows]: token * top_k + j */
    Part *parts;
    void *x, *both, *inner; /* [rows, hidden], [rows, 2 * inner], [rows, inner] in x's dtype */
    float *found;           /* [rows, hidden] */
} Turn;

static long most_parts(const Experts *e, long rows) {
    return MIN(e->num_experts, rows) + rows / PART_ROWS;
}

/* A part of `bytes` of the memory at *at, or only counts when that is NULL. */
static void *take(char *memory, size_t *at, size_t bytes) {
    void *part = memory ? memory + *at : NULL;
    *at += ROUND_UP(bytes, 64);
    return part;
}

/* Returns the size of it all. */
static size_t lay_out(Turn *t, char *memory) {
    const Experts *e = t->args;
    size_t at = 0, item = dtype_size((int)e->dtype);
    t->starts = take(memory, &at, (e->num_experts + 1) * sizeof(int32_t));
    t->place = take(memory, &at, t->rows * sizeof(int32_t));
    t->source = take(memory, &at, t->rows * sizeof(int32_t));
    t->parts = take(memory, &at, most_parts(e, t->rows) * sizeof(Part));
    t->x = take(memory, &at, t->rows * e->hidden * item);
    t->both = take(memory, &at, t->rows * 2 * e->inner * item);
    t->inner = take(memory, &at, t->rows * e->inner * item);
    t->found = take(memory, &at, t->rows * e->hidden * sizeof(float));
    return at;
}

/* False for an expert that there is not. */
static bool sort_rows(Turn *t) {
    const Experts *e = t->args;
    const int32_t *experts = e->experts + t->first * e->top_k;
    memset(t->starts, 0, (e->num_experts + 1) * sizeof(int32_t));
    for (long i = 0; i < t->rows; i++) {
        if (experts[i] < 0 || experts[i] >= e->num_experts) return false;
        t->starts[experts[i] + 1]++;
    }
    for (long i = 0; i < e->num_experts; i++) t->starts[i + 1] += t->starts[i];
    /* starts[i] runs to the end of expert i, which is where expert i + 1 begins. */
    for (long i = 0; i < t->rows; i++) {
        t->place[i] = t->starts[experts[i]]++;
        t->source[t->place[i]] = (int32_t)i;
    }
    return true;
}

static void make_parts(Turn *t) {
    t->num_parts = 0;
    for (long i = 0, begin = 0; i < t->args->num_experts; begin = t->starts[i++]) {
        long rows = t->starts[i] - begin, parts = (rows + PART_ROWS - 1) / PART_ROWS;
        for (long p = 0; p < parts; p++)
            t->parts[t->num_parts++] =
                (Part){i, begin + rows * p / parts, begin + rows * (p + 1) / parts};
    }
}

static void gather_range(const void *context, long begin, long end) {
    const Turn *t = context;
    const Experts *e = t->args;
    int dtype = (int)e->dtype;
    size_t item = dtype_size(dtype);
    for (long row = begin; row < end; row++) {
        long token = t->first + t->source[row] / e->top_k;
        const char *from = (const char *)e->x + token * e->x_stride * item;
        char *to = (char *)t->x + row * e->hidden * item;
        if (!e->scale_input) {
            memcpy(to, from, e->hidden * item);
            continue;
        }
        vf weight = vf_set1(e->weights[t->first * e->top_k + t->source[row]]);
        for (long c = 0; c < e->hidden; c += VF_WIDTH)
            row_store(to, dtype, c, e->hidden - c,
                      vf_mul(weight, row_load(from, dtype, c, e->hidden - c)));
    }
}

static void combine_range(const void *context, long begin, long end) {
    const Turn *t = context;
    const Experts *e = t->args;
    for (long token = begin; token < end; token++) {
        const float *weights = e->weights + (t->first + token) * e->top_k;
        const int32_t *place = t->place + token * e->top_k;
        char *out = (char *)e->out + (t->first + token) * e->hidden * dtype_size((int)e->dtype);
        for (long c = 0; c < e->hidden; c += VF_WIDTH) {
            vf sum = vf_zero();
            for (long j = 0; j < e->top_k; j++) {
                vf y = row_load(t->found + place[j] * e->hidden, DTYPE_F32, c, e->hidden - c);
                sum = vf_fma(vf_set1(e->scale_input ? 1.0f : weights[j]), y, sum);
            }
            row_store(out, (int)e->dtype, c, e->hidden - c, sum);
        }
    }
}

/* out[rows, n] of `out_dtype` = x[rows, k] times the matrices of the rows' experts. */
static int multiply(const Turn *t, Scheme scheme, const void *x, long k, const char *packed,
                    const void *bias, long n, void *out, int out_dtype) {
    long dtype = t->args->dtype;
    if (!scheme.bits) {
        Linear l = {x, packed, bias, out, t->rows, n, k, k, dtype, out_dtype};
        return linear_parts(&l, t->parts, t->num_parts);
    }
    QuantizedLinear l = {x, (const uint8_t *)packed, bias, out, t->rows, n, k, k, dtype,
                         out_dtype, scheme.parts, scheme.group, scheme.form};
    return (scheme.bits == 8 ? linear_int8_parts : linear_int4_parts)(&l, t->parts, t->num_parts);
}

static int take_turn(Turn *t) {
    const Experts *e = t->args;
    if (!sort_rows(t)) return -1;
    make_parts(t);
    parallel_ranges(t->rows, 65536 / MAX(e->hidden, 1), gather_range, t);
    if (multiply(t, e->up_scheme, t->x, e->hidden, e->up, e->up_bias, 2 * e->inner, t->both,
                 (int)e->dtype))
        return -1;
    Gate gate = {t->both, t->inner, t->rows, e->inner, 2 * e->inner, e->dtype, e->kind, true,
                 e->limit};
    activate(&gate);
    if (multiply(t, e->down_scheme, t->inner, e->inner, e->down, e->down_bias, e->hidden, t->found,
                 DTYPE_F32))
        return -1;
    parallel_ranges(t->tokens, 16384 / MAX(e->hidden * e->top_k, 1), combine_range, t);
    return 0;
}

/* 0, or -1 when memory is out or an expert is out of range. */
EXPORT int expert_mlp(const Experts *e) {
    Turn one = {.args = e, .tokens = 1, .rows = e->top_k};
    long most = MAX(1, WORKSPACE_BYTES / (long)lay_out(&one, NULL));
    for (long first = 0; first < e->rows;) {
        Turn t = {.args = e, .first = first, .tokens = block_rows(e->rows - first, most)};
        t.rows = t.tokens * e->top_k;
        char *memory = workspace(lay_out(&t, NULL));
        if (!memory) return -1;
        lay_out(&t, memory);
        if (take_turn(&t)) return -1;
        first += t.tokens;
    }
    return 0;
}

/* The argument of add_gated: residual[rows, width] += sigmoid(gate[rows]) * x[rows, width]. */
typedef struct {
    const void *x;
    const float *gate;
    void *residual;
    int64_t rows, width, x_stride, residual_stride, dtype;
} AddGated;

static void add_gated_range(const void *context, long begin, long end) {
    const AddGated *a = context;
    int dtype = (int)a->dtype;
    size_t item = dtype_size(dtype);
    for (long row = begin; row < end; row++) {
        vf gate = vf_set1(1.0f / (1.0f + expf(-a->gate[row])));
        const char *x = (const char *)a->x + row * a->x_stride * item;
        char *to = (char *)a->residual + row * a->residual_stride * item;
        for (long c = 0; c < a->width; c += VF_WIDTH) {
            long n = a->width - c;
            vf sum = vf_fma(gate, row_load(x, dtype, c, n), row_load(to, dtype, c, n));
            row_store(to, dtype, c, n, sum);
        }
    }
}

EXPORT int add_gated(const AddGated *a) {
    parallel_ranges(a->rows, 32768 / MAX(a->width, 1), add_gated_range, a);
    return 0;
}
