/* Codes into panels, see linear_quantized.h. */
#include "linear_quantized.h"

/* The argument of pack_quantized: codes contiguous [n, k]; scales as quantize_weight makes them,
 * of `group` 0 for 8 bits; zeros as the scales with FORM_ZEROS, else not read; packed of
 * quantized_bytes(n, k, group, form) bytes. */
typedef struct {
    const int8_t *codes;
    const void *scales, *zeros;
    uint8_t *packed;
    int64_t n, k, group, form;
} PackQuantized;

static uint8_t code_at(const PackQuantized *p, long row, long k) {
    return row < p->n && k < p->k ? (uint8_t)p->codes[row * p->k + k] : 0;
}

/* What is stored for a 4-bit code. */
static int nibble_at(const PackQuantized *p, long row, long k) {
    static const uint8_t magnitudes[13] = {0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7};
    int code = (int8_t)code_at(p, row, k);
    if (p->form != FORM_FLOATS) return (code + NIBBLE_OFFSET) & 15;
    return magnitudes[MIN(code < 0 ? -code : code, 12)] | (code < 0 ? 8 : 0);
}

static void pack_int8(const PackQuantized *p, long panel, uint8_t *to) {
    for (long i = 0; i < dot_steps(p->k); i++)
        for (int column = 0; column < PANEL; column++)
            for (int d = 0; d < DOT_DEPTH; d++)
                *to++ = code_at(p, panel * PANEL + column, i * DOT_DEPTH + d) ^ DOT_OFFSET;
    for (int column = 0; column < PANEL; column++) {
        long row = panel * PANEL + column;
        float scale = row < p->n ? ((const float *)p->scales)[row] : 0.0f;
        memcpy(to + column * sizeof scale, &scale, sizeof scale);
    }
}

/* The scales of a group of a panel, and its zero points where there are some. */
static void pack_int4_head(const PackQuantized *p, long panel, long groups, long g, uint8_t *to) {
    for (int column = 0; column < PANEL; column++) {
        long row = panel * PANEL + column, at = row * groups + g;
        bf16 scale = row < p->n ? ((const bf16 *)p->scales)[at] : 0;
        memcpy(to + column * sizeof scale, &scale, sizeof scale);
        if (p->form != FORM_ZEROS) continue;
        float zero = row < p->n ? bf16_to_f32(((const bf16 *)p->zeros)[at]) : 0.0f;
        bf16 part = f32_to_bf16(zero / NIBBLE_OFFSET);
        memcpy(to + (PANEL + column) * sizeof part, &part, sizeof part);
    }
}

static void pack_int4(const PackQuantized *p, long panel, uint8_t *to) {
    long groups = (p->k + p->group - 1) / p->group;
    for (long g = 0; g < groups; g++) {
        pack_int4_head(p, panel, groups, g, to);
        to += int4_head_bytes((int)p->form);
        long first = g * p->group, steps = dot_steps(MIN(p->group, p->k - first));
        for (long i = 0; i < steps; i++)
            for (int column = 0; column < VF_WIDTH; column++)
                for (int d = 0; d < DOT_DEPTH; d++) {
                    long row = panel * PANEL + column, k = first + i * DOT_DEPTH + d;
                    *to++ = (uint8_t)(nibble_at(p, row, k) | nibble_at(p, row + VF_WIDTH, k) << 4);
                }
    }
}

static size_t quantized_panel_bytes(long k, long group, long form) {
    return group ? int4_panel_bytes(k, group, (int)form) : int8_panel_bytes(k);
}

static void pack_range(const void *context, long begin, long end) {
    const PackQuantized *p = context;
    size_t bytes = quantized_panel_bytes(p->k, p->group, p->form);
    for (long panel = begin; panel < end; panel++)
        (p->group ? pack_int4 : pack_int8)(p, panel, p->packed + panel * bytes);
}

static int64_t panel_count(int64_t n) { return (n + PANEL - 1) / PANEL; }

EXPORT int64_t quantized_bytes(int64_t n, int64_t k, int64_t group, int64_t form) {
    return panel_count(n) * (int64_t)quantized_panel_bytes(k, group, form);
}

EXPORT int pack_quantized(const PackQuantized *p) {
    parallel_ranges(panel_count(p->n), 4, pack_range, p);
    return 0;
}
