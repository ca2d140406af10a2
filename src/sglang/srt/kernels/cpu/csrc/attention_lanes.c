/* Attention of many rows, as for a prompt: up to LANES rows at a time, one in each lane of the
 * vectors, so that the softmax needs no sums across a vector.
 *
 * Keys are read in place, two dimensions of one key at a time against those of all rows. Values
 * are packed into pairs of positions first. The weighted sums are kept transposed until the
 * segment ends.
 */
#include "attention_dot.h"
#include "transpose.h"

#if defined(HAVE_BF16_DOT)

enum {
    MOST = LANES / VF_WIDTH, /* vectors of rows */
    KEYS = 4,                /* of a tile of scores */
    DIMS = 8,                /* of a tile of sums */
};

/* [dim / 2][LANES] pairs of dimensions for each LANES rows; lanes without a row are 0. */
static void pack_queries(const Plan *p, const Workspace *w, const Head *h) {
    static const char zeros[2 * MAX_HEAD_DIM];
    long pairs = p->args->head_dim / 2;
    for (long r = 0; r < ROUND_UP(h->rows, LANES); r += TRANSPOSED) {
        const char *from[TRANSPOSED];
        float *to = (float *)h->queries + r / LANES * LANES * pairs + r % LANES;
        for (long i = 0; i < TRANSPOSED; i++) from[i] = r + i < h->rows ? w->rows[r + i] : zeros;
        for (long i = 0; i < pairs; i += TRANSPOSED)
            transpose_tile(from, i * sizeof(float), (int)MIN(TRANSPOSED, pairs - i),
                           to + i * LANES, LANES);
    }
}

/* sum[k][v] = chain j of the scores of KEYS keys. */
INLINE void score_chain(int vectors, const char *const *key, const float *queries, long chunks,
                        vf sum[KEYS][MOST]) {
#pragma GCC unroll 4
    for (int k = 0; k < KEYS; k++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) sum[k][v] = vf_zero();
    for (long c = 0; c < chunks; c++) {
        __m512i query[MOST];
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            query[v] = keep(_mm512_loadu_si512(queries + c * 4 * LANES + v * VF_WIDTH));
#pragma GCC unroll 4
        for (int k = 0; k < KEYS; k++) {
            int32_t pair;
            memcpy(&pair, key[k] + c * 16, 4);
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                sum[k][v] = dot(sum[k][v], _mm512_set1_epi32(pair), query[v]);
        }
    }
}

/* Which of 16 rows from `row` on see position b->start + column. */
INLINE __mmask16 lanes_seen(const Attention *a, const Block *b, const Head *h, long row,
                            int column) {
    __m512i last = _mm512_loadu_si512(h->tokens + row);
    return seen(a, b, h, last, _mm512_loadu_si512(h->oldest + row), _mm512_set1_epi32(column));
}

/* scores[positions][LANES], and the largest of each row. */
INLINE void lane_scores(int vectors, const Plan *p, const Block *b, const Head *h,
                        const float *queries, long row, const int32_t *tokens, int positions,
                        bool ragged, bool slope, float *scores, vf *largest) {
    const Attention *a = p->args;
    long chunks = a->head_dim / 8;
    for (int v = 0; v < vectors; v++) largest[v] = vf_set1(NO_SCORE);
    for (int i = 0; i < positions; i += KEYS) {
        const char *key[KEYS];
        for (int k = 0; k < KEYS; k++) {
            key[k] = b->k + b->offset[i + k];
        }
        ask_ahead(b, b->next_k, i, KEYS);
        vf total[KEYS][MOST];
        score_chain(vectors, key, queries, chunks, total);
        for (int chain = 1; chain < 4; chain++) {
            vf sum[KEYS][MOST];
            for (int k = 0; k < KEYS; k++) key[k] += 4;
            score_chain(vectors, key, queries + chain * LANES, chunks, sum);
#pragma GCC unroll 4
            for (int k = 0; k < KEYS; k++)
#pragma GCC unroll 3
                for (int v = 0; v < vectors; v++) total[k][v] = vf_add(total[k][v], sum[k][v]);
        }
#pragma GCC unroll 4
        for (int k = 0; k < KEYS; k++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) {
                vf score = total[k][v];
                if (b->k_scale) score = vf_mul(score, vf_set1(b->k_scale[i + k]));
                if (a->softcap > 0) score = cap_score(a, score);
                if (slope) {
                    __m512i mine = _mm512_loadu_si512(tokens + v * VF_WIDTH);
                    vf slopes = vf_load(h->slopes + row + v * VF_WIDTH);
                    score = sloped(b, h, mine, _mm512_set1_epi32(i + k), slopes, score);
                }
                if (ragged) {
                    __mmask16 mask = lanes_seen(a, b, h, row + v * VF_WIDTH, i + k);
                    score = _mm512_mask_blend_ps(mask, vf_set1(NO_SCORE), score);
                }
                largest[v] = vf_max(largest[v], score);
                vf_store(scores + (i + k) * LANES + v * VF_WIDTH, score);
            }
    }
}

/* Scores of 16 rows (a column of `scores`) become pairs of bfloat16 weights. */
INLINE vf lane_weights(const Attention *a, const Block *b, const Head *h, long row, int positions,
                       bool ragged, vf top, const float *scores, float *weights) {
    const __m512i interleaved = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25,
                                                 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2,
                                                 17, 1, 16, 0);
    vf factor = vf_set1(to_log2(a)), minus_top = vf_sub(vf_zero(), top);
    vf sum[KEYS] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    for (int i = 0; i < positions; i += KEYS) {
        vf weight[KEYS];
#pragma GCC unroll 4
        for (int k = 0; k < KEYS; k++) {
            vf score = vf_load(scores + (i + k) * LANES);
            weight[k] = weight_of(vf_fma(score, factor, minus_top));
            if (ragged) {
                __mmask16 mask = lanes_seen(a, b, h, row, i + k);
                weight[k] = _mm512_maskz_mov_ps(mask, weight[k]);
            }
            sum[k] = vf_add(sum[k], weight[k]);
            if (b->v_scale) weight[k] = vf_mul(weight[k], vf_set1(b->v_scale[i + k]));
        }
#pragma GCC unroll 2
        for (int k = 0; k < KEYS; k += 2) {
            __m512i both = (__m512i)_mm512_cvtne2ps_pbh(weight[k + 1], weight[k]);
            _mm512_storeu_si512(weights + (i + k) / 2 * LANES,
                                _mm512_permutexvar_epi16(interleaved, both));
        }
    }
    return vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3]));
}

/* lanes[dim][LANES] = lanes * rescale + values * weights, for values [pairs][dim]. */
INLINE void lane_values(int vectors, long dim, const float *values, const float *weights,
                        long pairs, const vf *rescale, float *lanes) {
    for (long d = 0; d < dim; d += DIMS) {
        vf sum[DIMS][MOST];
        float *to = lanes + d * LANES;
#pragma GCC unroll 8
        for (int i = 0; i < DIMS; i++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                sum[i][v] = vf_mul(vf_load(to + i * LANES + v * VF_WIDTH), rescale[v]);
        for (long j = 0; j < pairs; j++) {
            __m512i weight[MOST];
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                weight[v] = _mm512_loadu_si512(weights + j * LANES + v * VF_WIDTH);
#pragma GCC unroll 8
            for (int i = 0; i < DIMS; i++) {
                int32_t pair;
                memcpy(&pair, values + j * dim + d + i, 4);
#pragma GCC unroll 3
                for (int v = 0; v < vectors; v++)
                    sum[i][v] = dot(sum[i][v], weight[v], _mm512_set1_epi32(pair));
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < DIMS; i++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) vf_store(to + i * LANES + v * VF_WIDTH, sum[i][v]);
    }
}

/* Rows [row, row + 16 * vectors) of the head. */
INLINE void lanes_tile(int vectors, const Plan *p, Workspace *w, const Block *b, const Head *h,
                       long row, int positions, bool ragged, bool slope, float *lanes) {
    const Attention *a = p->args;
    const float *queries = (const float *)h->queries + row * (a->head_dim / 2);
    vf largest[MOST], rescale[MOST];
    lane_scores(vectors, p, b, h, queries, row, w->tokens + row, positions, ragged, slope, w->scores,
                largest);
    vf factor = vf_set1(to_log2(a));
    for (int v = 0; v < vectors; v++) {
        long left = h->rows - row - v * VF_WIDTH;
        __mmask16 rows = left >= VF_WIDTH ? 0xffff : (__mmask16)((1 << left) - 1);
        float *m = h->state.m + row + v * VF_WIDTH, *l = h->state.l + row + v * VF_WIDTH;
        vf old = _mm512_maskz_loadu_ps(rows, m);
        vf top = vf_max(old, vf_mul(largest[v], factor));
        rescale[v] = weight_of(vf_sub(old, top));
        vf sum = lane_weights(a, b, h, row + v * VF_WIDTH, positions, ragged, top,
                              w->scores + v * VF_WIDTH, w->weights + v * VF_WIDTH);
        _mm512_mask_storeu_ps(m, rows, top);
        vf before = _mm512_maskz_loadu_ps(rows, l);
        _mm512_mask_storeu_ps(l, rows, vf_add(vf_mul(before, rescale[v]), sum));
    }
    lane_values(vectors, a->value_dim, w->values, w->weights, positions / 2, rescale, lanes);
}

/* Positions 2i and 2i + 1 side by side: [positions / 2][dim] pairs. */
static void pack_values(const Block *b, long dim, int positions, float *values) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int i = 0; i < positions; i += 2, values += dim) {
        const char *even = b->v + b->offset[i], *odd = b->v + b->offset[i + 1];
        ask_ahead(b, b->next_v, i, 2);
        for (long c = 0; c < dim; c += 32) {
            long n = MIN(32, dim - c);
            __mmask32 mask = (__mmask32)(((uint64_t)1 << n) - 1);
            __m512i x = _mm512_maskz_loadu_epi16(mask, even + 2 * c);
            __m512i y = _mm512_maskz_loadu_epi16(mask, odd + 2 * c);
            _mm512_mask_storeu_epi32(values + c, (__mmask16)mask, /* of pairs: the first 16 */
                                     _mm512_permutex2var_epi16(x, low, y));
            if (n > 16)
                _mm512_mask_storeu_epi32(values + c + 16, (__mmask16)(mask >> 16),
                                         _mm512_permutex2var_epi16(x, high, y));
        }
    }
}

enum { EVEN, RAGGED, SLOPED, KINDS }; /* what rows see of a block: all, not all, by distance */

#define LANES_CASE(VECTORS, KIND)                                                            \
    case (VECTORS) * KINDS + (KIND):                                                         \
        lanes_tile(VECTORS, p, w, &block, h, row, positions, (KIND) != EVEN, (KIND) == SLOPED, \
                   lanes);                                                                   \
        break;
#define LANES_CASES(VECTORS) \
    LANES_CASE(VECTORS, EVEN) LANES_CASE(VECTORS, RAGGED) LANES_CASE(VECTORS, SLOPED)

static void attend_block(const Plan *p, Workspace *w, const Block *b, const Head *h) {
    const Attention *a = p->args;
    float *lanes = h->lanes;
    long past = h->position + w->tokens[h->rows - 1] - b->start + 1;
    pack_values(b, a->value_dim, (int)ROUND_UP(MIN(BLOCK, past), KEYS), w->values);
    Block block = *b;
    for (long row = 0; row < h->rows; row += LANES, lanes += LANES * a->value_dim) {
        long rows = MIN(LANES, h->rows - row);
        int first = w->tokens[row], last = w->tokens[row + rows - 1];
        long visible = MIN(BLOCK, h->position + last - b->start + 1);
        if (visible <= 0) continue;
        if (oldest_seen(a, h->position + first) >= b->start + BLOCK) continue;
        int positions = (int)ROUND_UP(visible, KEYS);
        int kind = h->slopes ? SLOPED : is_ragged(a, b, h, first, last) ? RAGGED : EVEN;
        switch ((rows + VF_WIDTH - 1) / VF_WIDTH * KINDS + kind) {
            LANES_CASES(1) LANES_CASES(2) LANES_CASES(3)
        }
        block.next_k = NULL; /* asked for */
    }
}

static void clear_lanes(const Plan *p, const Head *h) {
    memset(h->lanes, 0, ROUND_UP(h->rows, LANES) * p->args->value_dim * sizeof(float));
}

static void transpose_lanes(const Plan *p, const Head *h) {
    long dim = p->args->value_dim;
    for (long row = 0; row < h->rows; row += TRANSPOSED) {
        const float *lanes = h->lanes + row / LANES * LANES * dim + row % LANES;
        int rows = (int)MIN(TRANSPOSED, h->rows - row);
        for (long d = 0; d < dim; d += TRANSPOSED) {
            const char *from[TRANSPOSED]; /* beyond dim: anything, for nobody reads it */
            for (long i = 0; i < TRANSPOSED; i++)
                from[i] = (const char *)(lanes + MIN(d + i, dim - 1) * LANES);
            transpose_tile(from, 0, rows, h->state.o + row * p->row_floats + d, p->row_floats);
        }
    }
}

const Kernel lane_kernel = {.together = LANES,
                            .widens = true,
                            .pack_queries = pack_queries,
                            .begin = clear_lanes,
                            .block = attend_block,
                            .end = transpose_lanes};

#endif
