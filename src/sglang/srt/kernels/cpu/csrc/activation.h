/* The activation of an MLP, times the other half of a gated one. */
#pragma once

#include "simd.h"

enum { SILU = 0, GELU_TANH = 1, GELU_ERF = 2, CLAMPED_SWIGLU = 3 };

/* The argument of activate: x [rows, 2 width] if gated, else [rows, width], with rows x_stride
 * values apart, and out [rows, width]. */
typedef struct {
    const void *x;
    void *out;
    int64_t rows, width, x_stride, dtype, kind, gated;
    double limit; /* of CLAMPED_SWIGLU, which is always gated */
} Gate;

int activate(const Gate *g);
