/* Included first, this compiles the path for AVX-VNNI on a CPU that has AVX-512 VNNI instead: the
 * same instructions in another encoding. */
#include <immintrin.h>

#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
