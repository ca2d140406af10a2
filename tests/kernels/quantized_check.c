/* Compares the products with quantized weights with plain loops; exit status 0 if all agree.
 *
 * It is compiled together with the kernels for instruction sets that this machine may not have,
 * and run by an emulator.
 */
#include <stdio.h>

#include "linear_quantized.h"

typedef struct {
    const void *weight;
    int8_t *codes;
    void *scales;
    int64_t n, k, dtype, group;
} QuantizeWeight;

typedef struct {
    const int8_t *codes;
    const void *scales, *zeros;
    uint8_t *packed;
    int64_t n, k, group, form;
} PackQuantized;

int quantize_weight(const QuantizeWeight *q);
int pack_quantized(const PackQuantized *p);
int64_t quantized_bytes(int64_t n, int64_t k, int64_t group, int64_t form);
int linear_int8(const QuantizedLinear *l);
int linear_int4(const QuantizedLinear *l);

int omp_get_max_threads(void) { return 2; }

enum { N = 70, K = 600, M = 13 };

static float uniform(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (1 << 23) - 1.0f;
}

/* `zeros` may be NULL. */
static double plain(const float *x, const int8_t *codes, const void *scales, const bf16 *zeros,
                    long k, long group, float top, long row) {
    double total = 0.0;
    long size = group ? group : k, groups = (k + size - 1) / size;
    for (long g = 0; g < groups; g++) {
        float largest = 0.0f;
        double sum = 0.0;
        long end = MIN(k, (g + 1) * size);
        for (long i = g * size; i < end; i++) largest = MAX(largest, fabsf(x[i]));
        for (long i = g * size; i < end; i++)
            sum += rintf(x[i] * (top / largest)) *
                   (codes[row * k + i] - (zeros ? bf16_to_f32(zeros[row * groups + g]) : 0.0));
        float scale = group ? bf16_to_f32(((const bf16 *)scales)[row * groups + g])
                            : ((const float *)scales)[row];
        total += sum * (largest / top) * scale;
    }
    return total;
}

static double worst(long m, long n, long k, long group, long parts, long form) {
    static float x[M * K], weight[N * K], out[M * N], scales[N * K];
    static int8_t codes[N * K];
    static bf16 zeros[N * K];
    for (long i = 0; i < m * k; i++) x[i] = uniform();
    for (long i = 0; i < n * k; i++) weight[i] = uniform();
    for (long i = 0; i < n * k; i++) zeros[i] = f32_to_bf16(8.0f * uniform());
    uint8_t *packed = aligned_alloc(64, ROUND_UP(quantized_bytes(n, k, group, form), 64));
    quantize_weight(&(QuantizeWeight){weight, codes, scales, n, k, DTYPE_F32, group});
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (long i = 0; i < n * k && form == FORM_FLOATS; i++) codes[i] = doubled[codes[i] & 15];
    pack_quantized(&(PackQuantized){codes, scales, zeros, packed, n, k, group, form});
    QuantizedLinear l = {x,         packed,    NULL,  out,   m,     n, k, k,
                         DTYPE_F32, DTYPE_F32, parts, group, form};
    if (group ? linear_int4(&l) : linear_int8(&l)) return INFINITY;
    double difference = 0.0, largest = 1e-30;
    float top = parts == 2 ? 127.0f * PART_BASE : 127.0f;
    for (long r = 0; r < m; r++)
        for (long c = 0; c < n; c++) {
            double expected = plain(x + r * k, codes, scales, form == FORM_ZEROS ? zeros : NULL, k,
                                    group, top, c);
            difference = MAX(difference, fabs(out[r * n + c] - expected));
            largest = MAX(largest, fabs(expected));
        }
    free(packed);
    return difference / largest;
}

int main(void) {
    static const long shapes[][2] = {{1, 1}, {31, 3}, {32, 64}, {33, 130}, {70, 577}};
    static const long schemes[][3] = {{0, 1}, {0, 2}, {32, 1}, {128, 1}, {32, 1, FORM_FLOATS},
                                     {32, 1, FORM_ZEROS}, {64, 1, FORM_ZEROS}};
    int failures = 0;
    for (int s = 0; s < 7; s++)
        for (int i = 0; i < 5; i++)
            for (long m = 1; m <= M; m += 4) {
                long group = schemes[s][0], parts = schemes[s][1], form = schemes[s][2];
                double error = worst(m, shapes[i][0], shapes[i][1], group, parts, form);
                if (error < 1e-5) continue;
                printf("m %ld n %ld k %ld group %ld parts %ld form %ld: %g\n", m, shapes[i][0],
                       shapes[i][1], group, parts, form, error);
                failures++;
            }
    return failures != 0;
}
