/* Reading and writing the 8-bit types of the KV cache. */
#include "kv.h"

float kv_values[3][256];

/* The upper and the lower byte of the bfloat16 numbers of elements 0 .. 127. */
static uint8_t kv_bytes[3][2][128];

/* The magnitude of an fp8 number with `mantissa` bits of fraction. */
static float fp8_value(int bits, int mantissa, int bias) {
    int fraction = bits & ((1 << mantissa) - 1), exponent = bits >> mantissa;
    if (exponent == 0) return ldexpf((float)fraction, 1 - bias - mantissa);
    return ldexpf((float)(fraction + (1 << mantissa)), exponent - bias - mantissa);
}

static float e5m2_value(int bits) {
    if (bits < 0x7c) return fp8_value(bits, 2, 15);
    return bits == 0x7c ? INFINITY : NAN;
}

static float e4m3_value(int bits) { return bits == 0x7f ? NAN : fp8_value(bits, 3, 7); }

static __attribute__((constructor)) void fill_values(void) {
    for (int i = 0; i < 256; i++) {
        float sign = i < 128 ? 1.0f : -1.0f;
        kv_values[0][i] = sign * e5m2_value(i & 127);
        kv_values[1][i] = sign * e4m3_value(i & 127);
        kv_values[2][i] = (float)(int8_t)i;
    }
    for (int type = 0; type < 3; type++)
        for (int i = 0; i < 128; i++) {
            bf16 value = f32_to_bf16(kv_values[type][i]);
            kv_bytes[type][0][i] = (uint8_t)(value >> 8);
            kv_bytes[type][1][i] = (uint8_t)value;
        }
}

/* To nearest even; what is larger than `largest` becomes `largest`, a NaN stays one. Free of
 * branches, so that the compiler makes vectors of it. */
INLINE uint8_t fp8_bits(float x, int mantissa, int bias, float largest) {
    uint32_t bits, sum;
    memcpy(&bits, &x, 4);
    uint32_t sign = bits >> 24 & 0x80, nan = (bits & 0x7fffffff) > 0x7f800000 ? 0x7f : 0;
    float size = fabsf(x);
    size = size < largest ? size : largest;
    memcpy(&bits, &size, 4);
    int shift = 23 - mantissa;
    uint32_t normal = (bits + (1u << (shift - 1)) - 1 + (bits >> shift & 1)) >> shift;
    normal -= (uint32_t)(127 - bias) << mantissa;
    /* Adding this rounds a small number to the grid of the subnormal ones, and leaves which of
     * them it is in the low bits. */
    uint32_t magic_bits = (uint32_t)(127 + 1 - bias - mantissa + 23) << 23;
    float magic;
    memcpy(&magic, &magic_bits, 4);
    float shifted = size + magic;
    memcpy(&sum, &shifted, 4);
    uint32_t smallest = (uint32_t)(127 + 1 - bias) << 23;
    uint32_t result = bits < smallest ? sum - magic_bits : normal;
    return (uint8_t)(sign | result | nan);
}

/* The scale makes 127 of the largest. A value that is not finite makes it NaN. */
static void store_int8(const float *x, long dim, int8_t *out, float *scale) {
    vf most = vf_zero(), poison = vf_zero();
    for (long c = 0; c < dim; c += VF_WIDTH) {
        vf a = row_load(x, DTYPE_F32, c, dim - c);
        most = vf_max(most, vf_max(a, vf_sub(vf_zero(), a)));
        poison = vf_add(poison, vf_mul(a, vf_zero()));
    }
    float largest = vf_largest(most), factor = largest > 0.0f ? 127.0f / largest : 0.0f;
    *scale = largest / 127.0f + vf_sum(poison);
    for (long i = 0; i < dim; i++) out[i] = (int8_t)rintf(x[i] * factor);
}

void kv_store_head(const float *x, long dim, int dtype, void *out, float *scale) {
    uint8_t *bytes = out;
    if (dtype == DTYPE_INT8) store_int8(x, dim, out, scale);
    else if (dtype == DTYPE_E5M2)
        for (long i = 0; i < dim; i++) bytes[i] = fp8_bits(x[i], 2, 15, 57344.0f);
    else
        for (long i = 0; i < dim; i++) bytes[i] = fp8_bits(x[i], 3, 7, 448.0f);
}

#if defined(VF_AVX512) && defined(__AVX512VBMI__)
typedef struct {
    __m512i upper[2], lower[2];
} Tables;

static Tables load_tables(int dtype) {
    const uint8_t(*bytes)[128] = kv_bytes[dtype - DTYPE_E5M2];
    return (Tables){{_mm512_loadu_si512(bytes[0]), _mm512_loadu_si512(bytes[0] + 64)},
                    {_mm512_loadu_si512(bytes[1]), _mm512_loadu_si512(bytes[1] + 64)}};
}

/* 64 elements as two vectors of bfloat16. */
INLINE void widen_vector(const Tables *t, __m512i x, bool is_int8, __m512i to[2]) {
    const __m512i first = _mm512_set_epi64(0x5f1f5e1e5d1d5c1c, 0x5b1b5a1a59195818,
                                           0x5717561655155414, 0x5313521251115010,
                                           0x4f0f4e0e4d0d4c0c, 0x4b0b4a0a49094808,
                                           0x4707460645054404, 0x4303420241014000);
    const __m512i second = _mm512_add_epi8(first, _mm512_set1_epi8(32));
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    __m512i size = is_int8 ? _mm512_abs_epi8(x) : x; /* the look-up ignores the sign bit */
    __m512i lower = _mm512_permutex2var_epi8(t->lower[0], size, t->lower[1]);
    __m512i upper = _mm512_permutex2var_epi8(t->upper[0], size, t->upper[1]);
    upper = _mm512_ternarylogic_epi64(upper, x, sign, 0xf8); /* upper | (x & sign) */
    to[0] = _mm512_permutex2var_epi8(lower, first, upper);
    to[1] = _mm512_permutex2var_epi8(lower, second, upper);
}

INLINE void widen_rows(const char *base, const size_t *offset, long rows, long dim, int dtype,
                       bool is_int8, bf16 *to) {
    Tables tables = load_tables(dtype);
    for (long r = 0; r < rows; r++, to += dim) {
        const char *row = base + offset[r];
        for (long c = 0; c < dim; c += 64) {
            __m512i pair[2];
            if (dim - c >= 64) {
                widen_vector(&tables, _mm512_loadu_si512(row + c), is_int8, pair);
                _mm512_storeu_si512(to + c, pair[0]);
                _mm512_storeu_si512(to + c + 32, pair[1]);
                continue;
            }
            long n = dim - c;
            __mmask64 mask = ((__mmask64)1 << n) - 1;
            widen_vector(&tables, _mm512_maskz_loadu_epi8(mask, row + c), is_int8, pair);
            _mm512_mask_storeu_epi16(to + c, (__mmask32)mask, pair[0]);
            _mm512_mask_storeu_epi16(to + c + 32, (__mmask32)(mask >> 32), pair[1]);
        }
    }
}

void kv_widen(const char *base, const size_t *offset, long rows, long dim, int dtype, bf16 *to) {
    if (dtype == DTYPE_INT8) widen_rows(base, offset, rows, dim, dtype, true, to);
    else widen_rows(base, offset, rows, dim, dtype, false, to);
}
#endif
