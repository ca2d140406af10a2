/* The steps of a head on its way to the cache, in float32: load, norm, rotation, store. */
#pragma once

#include "kv.h"

/* x[dim] as floats; up to the next whole vector 0. */
INLINE void load_values(const void *from, int dtype, long dim, float *x) {
    for (long c = 0; c < dim; c += VF_WIDTH) vf_store(x + c, row_load(from, dtype, c, dim - c));
}

INLINE void store_values(void *to, int dtype, long dim, const float *x) {
    for (long c = 0; c < dim; c += VF_WIDTH) row_store(to, dtype, c, dim - c, vf_load(x + c));
}

/* The RMS norm of x[dim], which is 0 up to the next whole vector. */
INLINE void norm_values(float *x, long dim, const void *weight, int weight_dtype, float eps) {
    vf sum = vf_zero();
    for (long c = 0; c < dim; c += VF_WIDTH) {
        vf a = vf_load(x + c);
        sum = vf_fma(a, a, sum);
    }
    vf factor = vf_set1(1.0f / sqrtf(vf_sum(sum) / (float)dim + eps));
    for (long c = 0; c < dim; c += VF_WIDTH) {
        vf w = row_load(weight, weight_dtype, c, dim - c);
        vf_store(x + c, vf_mul(vf_mul(vf_load(x + c), factor), w));
    }
}

/* Turns x[rotary_dim] by the angles of `table`: cosines, then sines. */
INLINE void rotate(float *x, const float *table, long rotary_dim, bool interleaved) {
    long half = rotary_dim / 2;
    const float *cosines = table, *sines = table + half;
    if (interleaved) {
        for (long i = 0; i < half; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cosines[i] - b * sines[i];
            x[2 * i + 1] = b * cosines[i] + a * sines[i];
        }
        return;
    }
    long i = 0;
    for (; i + VF_WIDTH <= half; i += VF_WIDTH) {
        vf a = vf_load(x + i), b = vf_load(x + half + i);
        vf cosine = vf_load(cosines + i), sine = vf_load(sines + i);
        vf_store(x + i, vf_sub(vf_mul(a, cosine), vf_mul(b, sine)));
        vf_store(x + half + i, vf_add(vf_mul(b, cosine), vf_mul(a, sine)));
    }
    for (; i < half; i++) {
        float a = x[i], b = x[half + i];
        x[i] = a * cosines[i] - b * sines[i];
        x[half + i] = b * cosines[i] + a * sines[i];
    }
}
