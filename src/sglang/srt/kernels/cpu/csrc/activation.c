/* The activation of an MLP, times the other half of a gated one; a bound on magnitudes, and rows
 * scaled by their positions. */
#include "activation.h"

/* a Phi(a), with erfc(z) = (A1 t + ... + A5 t^5) exp(-z^2) and t = 1 / (1 + P z) for z >= 0, to 1.5e-7
 * (Abramowitz and Stegun, 7.1.26). The result is max(a, 0) - |a| erfc(|a| / sqrt(2)) / 2. */
INLINE vf gelu_erf(vf a) {
    static const float by[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f,
                               0.254829592f};
    vf size = vf_max(vf_sub(vf_zero(), a), a), z = vf_mul(size, vf_set1(0.707106781f));
    vf t = vf_div(vf_set1(1.0f), vf_fma(z, vf_set1(0.3275911f), vf_set1(1.0f)));
    vf sum = vf_set1(by[0]);
    for (int i = 1; i < 5; i++) sum = vf_fma(sum, t, vf_set1(by[i]));
    vf e = vf_exp2(vf_mul(vf_mul(z, z), vf_set1(-LOG2E)));
    vf tail = vf_mul(vf_mul(vf_mul(sum, t), e), vf_set1(0.5f));
    return vf_sub(vf_max(vf_zero(), a), vf_mul(size, tail));
}

/* Of the others each is a / (1 + exp(-t)). For silu t = a; for gelu, since 1 + tanh(u) = 2 / (1 + exp(-2u)),
 * t = 2 sqrt(2 / pi) (a + 0.044715 a^3). */
INLINE vf activated(vf a, int kind) {
    if (kind == GELU_ERF) return gelu_erf(a);
    vf t = a;
    if (kind == GELU_TANH) {
        vf cubic = vf_fma(vf_mul(a, a), vf_set1(0.044715f), vf_set1(1.0f));
        /* Kept finite on the side where exp(-t) grows. */
        t = vf_max(vf_set1(-1e4f), vf_mul(vf_mul(a, cubic), vf_set1(1.59576912f)));
    }
    vf e = vf_exp2(vf_mul(t, vf_set1(-LOG2E)));
    return vf_div(a, vf_add(vf_set1(1.0f), e));
}

/* a / (1 + exp(-1.702 a)) * (b + 1), for a up to the limit and b within it on both sides. */
INLINE vf clamped_swiglu(vf a, vf b, vf limit) {
    a = vf_min(limit, a);
    b = vf_min(limit, vf_max(vf_sub(vf_zero(), limit), b));
    vf e = vf_exp2(vf_mul(a, vf_set1(-1.702f * LOG2E)));
    return vf_mul(vf_div(a, vf_add(vf_set1(1.0f), e)), vf_add(b, vf_set1(1.0f)));
}

INLINE void gate_rows(const Gate *g, long begin, long end, int dtype, int kind) {
    size_t item = dtype_size(dtype);
    bool gated = g->gated;
    for (long t = begin; t < end; t++) {
        const char *gate = (const char *)g->x + t * g->x_stride * item;
        const char *up = gate + g->width * item;
        char *out = (char *)g->out + t * g->width * item;
        for (long c = 0; c < g->width; c += VF_WIDTH) {
            vf y = row_load(gate, dtype, c, g->width - c);
            if (kind == CLAMPED_SWIGLU) {
                vf other = row_load(up, dtype, c, g->width - c);
                row_store(out, dtype, c, g->width - c,
                          clamped_swiglu(y, other, vf_set1((float)g->limit)));
                continue;
            }
            y = activated(y, kind);
            if (gated) y = vf_mul(y, row_load(up, dtype, c, g->width - c));
            row_store(out, dtype, c, g->width - c, y);
        }
    }
}

static void gate_range(const void *context, long begin, long end) {
    const Gate *g = context;
    int kind = (int)g->kind;
    if (g->dtype == DTYPE_F32) {
        if (kind == SILU) gate_rows(g, begin, end, DTYPE_F32, SILU);
        else if (kind == GELU_TANH) gate_rows(g, begin, end, DTYPE_F32, GELU_TANH);
        else if (kind == CLAMPED_SWIGLU) gate_rows(g, begin, end, DTYPE_F32, CLAMPED_SWIGLU);
        else gate_rows(g, begin, end, DTYPE_F32, GELU_ERF);
    } else {
        if (kind == SILU) gate_rows(g, begin, end, DTYPE_BF16, SILU);
        else if (kind == GELU_TANH) gate_rows(g, begin, end, DTYPE_BF16, GELU_TANH);
        else if (kind == CLAMPED_SWIGLU) gate_rows(g, begin, end, DTYPE_BF16, CLAMPED_SWIGLU);
        else gate_rows(g, begin, end, DTYPE_BF16, GELU_ERF);
    }
}

EXPORT int activate(const Gate *g) {
    parallel_ranges(g->rows, 16384 / MAX(g->width, 1), gate_range, g);
    return 0;
}

/* The argument of clamp: x [rows, width] with rows stride values apart, changed in place. */
typedef struct {
    void *x;
    int64_t rows, width, stride, dtype;
    double limit;
} Clamp;

static void clamp_range(const void *context, long begin, long end) {
    const Clamp *k = context;
    int dtype = (int)k->dtype;
    vf most = vf_set1((float)k->limit), least = vf_set1(-(float)k->limit);
    for (long t = begin; t < end; t++) {
        char *row = (char *)k->x + t * k->stride * dtype_size(dtype);
        for (long c = 0; c < k->width; c += VF_WIDTH) {
            vf y = row_load(row, dtype, c, k->width - c); /* as the second operand a NaN stays */
            row_store(row, dtype, c, k->width - c, vf_min(most, vf_max(least, y)));
        }
    }
}

EXPORT int clamp(const Clamp *k) {
    parallel_ranges(k->rows, 32768 / MAX(k->width, 1), clamp_range, k);
    return 0;
}

/* The argument of scale_rows: x [rows, width] with rows stride values apart, changed in place. */
typedef struct {
    void *x;
    const int32_t *positions;
    const float *table;
    int64_t rows, width, stride, dtype;
} ScaleRows;

static void scale_range(const void *context, long begin, long end) {
    const ScaleRows *s = context;
    int dtype = (int)s->dtype;
    for (long t = begin; t < end; t++) {
        char *row = (char *)s->x + t * s->stride * dtype_size(dtype);
        vf factor = vf_set1(s->table[s->positions[t]]);
        for (long c = 0; c < s->width; c += VF_WIDTH)
            row_store(row, dtype, c, s->width - c,
                      vf_mul(row_load(row, dtype, c, s->width - c), factor));
    }
}

EXPORT int scale_rows(const ScaleRows *s) {
    parallel_ranges(s->rows, 32768 / MAX(s->width, 1), scale_range, s);
    return 0;
}
