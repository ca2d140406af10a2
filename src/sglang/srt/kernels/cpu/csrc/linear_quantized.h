/* Products with weights of 8 or 4 bits.
 *
 * A weight is code * scale: 8-bit codes have one float scale for each output column, 4-bit codes
 * (-8 .. 7) one bfloat16 scale for each group of `group` consecutive k of a column; FORM_ZEROS adds
 * a bfloat16 zero point for each group: (code - zero) * scale. Activations are
 * turned into integers first: 8-bit ones, with one scale a row beside 8-bit weights and one for
 * each group of a row beside 4-bit weights, or 16-bit ones with one scale a row, which are kept as
 * two rows of 8-bit integers: value = PART_BASE * first + second.
 *
 * The output columns are cut into panels as in linear.h; K is filled up with zeros to a multiple of
 * DOT_DEPTH. An 8-bit panel holds the codes, DOT_DEPTH of each column side by side, then the scales
 * of its columns. A 4-bit panel holds for each group the scales, with FORM_ZEROS the zero points
 * over NIBBLE_OFFSET, then the codes plus NIBBLE_OFFSET: the low halves of the bytes are those of
 * the panel's first VF_WIDTH columns. 4-bit floats are stored as they are; their codes are twice
 * their numbers, -12 .. 12.
 */
#pragma once

#include "int8_dot.h"
#include "linear.h"

enum { PART_BASE = 254, NIBBLE_OFFSET = 8 };

/* What 4-bit codes are, see WeightScheme. */
enum { FORM_INTEGERS = 0, FORM_FLOATS = 1, FORM_ZEROS = 2 };

/* The argument of linear_int8 and linear_int4: x [m, k] of `dtype` with rows x_stride values
 * apart, out contiguous [m, n] of `out_dtype`. */
typedef struct {
    const void *x;
    const uint8_t *packed;
    const void *bias; /* [n] in x's dtype, may be NULL */
    void *out;
    int64_t m, n, k, x_stride, dtype, out_dtype;
    int64_t parts; /* 1: 8-bit activations, 2: 16-bit (8-bit weights only) */
    int64_t group; /* of 4-bit weights, a multiple of 32 */
    int64_t form;  /* of 4-bit weights, FORM_... */
} QuantizedLinear;

/* linear_int8 and linear_int4, where all rows are in `count` parts. */
int linear_int8_parts(const QuantizedLinear *l, const Part *parts, long count);
int linear_int4_parts(const QuantizedLinear *l, const Part *parts, long count);

static inline long dot_steps(long k) { return (k + DOT_DEPTH - 1) / DOT_DEPTH; }

enum { INT8_STEP = PANEL * DOT_DEPTH, INT4_STEP = PANEL * DOT_DEPTH / 2 }; /* bytes */

static inline size_t int8_panel_bytes(long k) {
    return dot_steps(k) * INT8_STEP + PANEL * sizeof(float);
}

/* The numbers before the codes of each group. */
static inline size_t int4_head_bytes(int form) {
    return PANEL * sizeof(bf16) * (form == FORM_ZEROS ? 2 : 1);
}

static inline size_t int4_panel_bytes(long k, long group, int form) {
    return (k + group - 1) / group * int4_head_bytes(form) + dot_steps(k) * INT4_STEP;
}

/* Activations as integers; a row has `groups` scales, and each of its parts `groups` starts. */
typedef struct {
    dot_int *values;
    long stride; /* of a part, in values */
    float *scales;
    int32_t *starts; /* where the sums of a group begin: -offset times the sum of its values */
    long groups;
} QuantizedRows;

/* The rows of l->x in scratch memory, in groups of `group`, for weights stored with `offset` added.
 * False when memory is out. */
bool quantize_rows(const QuantizedLinear *l, long group, int offset, QuantizedRows *rows);

/* values[i] = round(x[i] / scale) for i < n, and zeros up to the next multiple of VF_WIDTH; the
 * largest magnitude becomes 127 (parts 1) or 127 * PART_BASE in two parts `stride` apart (parts
 * 2). sums[parts]. Returns the scale. A NaN in x makes it NaN. */
float quantize_values(const void *x, int dtype, long begin, long n, int parts, dot_int *values,
                      long stride, int32_t *sums);

/* A product under way. */
typedef struct {
    const QuantizedLinear *args;
    QuantizedRows x;
    Division division;
    size_t panel_bytes;
} Product;

/* Multiplies `rows` rows from `row` on by the panel of `column` and stores what comes out. */
typedef void MultiplyBlock(const Product *p, long row, int rows, long column, const uint8_t *panel);

/* Share i, panel by panel in blocks of at most `most` rows. */
INLINE void multiply_share(const Product *product, long i, long most, MultiplyBlock multiply) {
    Product p = *product;
    QuantizedLinear l = *p.args;
    Share share = division_share(&p.division, l.m, i);
    l.packed += share.matrix * p.division.panels * p.panel_bytes;
    l.bias = bias_of(&share, l.bias, l.n, (int)l.dtype);
    p.args = &l;
    for (long panel = share.panel_begin; panel < share.panel_end; panel++) {
        const uint8_t *at = l.packed + panel * p.panel_bytes;
        for (long row = share.row_begin; row < share.row_end;) {
            int rows = block_rows(share.row_end - row, most);
            multiply(&p, row, rows, panel * PANEL, at);
            row += rows;
        }
    }
}
