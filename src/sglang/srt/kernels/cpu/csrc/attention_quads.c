/* Attention of a few rows, as in decoding: four rows at a time, each in a quarter of the vectors.
 *
 * Keys and values are read in place. Eight dimensions of a key, repeated four times, meet those of
 * four queries in one instruction; the four sums that each quarter then holds are added at the
 * end. Scores stay in vectors of 4 rows x 4 positions, where the softmax needs no loop over rows.
 */
#include "attention_dot.h"

#if defined(HAVE_BF16_DOT)

enum { QUAD = 4, CHUNK = 8, VECTORS = BLOCK / QUAD, STEP = 8 };

/* [rows / 4][dim / 8] pieces of 4 x 8 dimensions. */
static void pack_queries(const Plan *p, const Workspace *w, const Head *h) {
    long dim = p->args->head_dim;
    for (long r = 0; r < ROUND_UP(h->rows, QUAD); r++) {
        char *quad = h->queries + r / QUAD * QUAD * dim * sizeof(bf16) + r % QUAD * 16;
        for (long c = 0; c < dim; c += CHUNK) {
            char *piece = quad + c / CHUNK * 64;
            if (r < h->rows) memcpy(piece, w->rows[r] + c * sizeof(bf16), 16);
            else memset(piece, 0, 16);
        }
    }
}

/* Sums the quarters of four accumulators: the scores of 4 rows x 4 positions. */
INLINE vf add_chains(vf a0, vf a1, vf a2, vf a3) {
    vf low0 = _mm512_unpacklo_ps(a0, a1), high0 = _mm512_unpackhi_ps(a0, a1);
    vf low1 = _mm512_unpacklo_ps(a2, a3), high1 = _mm512_unpackhi_ps(a2, a3);
    vf sum = vf_add(_mm512_shuffle_ps(low0, low1, 0x44), _mm512_shuffle_ps(low0, low1, 0xee));
    sum = vf_add(sum, _mm512_shuffle_ps(high0, high1, 0x44));
    return vf_add(sum, _mm512_shuffle_ps(high0, high1, 0xee));
}

/* Scores of four rows with the first `positions` of the block, up to a multiple of STEP. */
INLINE void quad_scores(const Block *b, const char *queries, long chunks, int positions,
                        vf *scores) {
    for (int i = 0; i < positions; i += STEP) {
        const char *row[STEP];
        vf sum[STEP];
#pragma GCC unroll 8
        for (int k = 0; k < STEP; k++) {
            row[k] = b->k + b->offset[i + k];
            sum[k] = vf_zero();
        }
        ask_ahead(b, b->next_k, i, STEP);
        for (long c = 0; c < chunks; c++) {
            __m512i query = _mm512_loadu_si512(queries + c * 64);
#pragma GCC unroll 8
            for (int k = 0; k < STEP; k++) {
                __m128i key = _mm_loadu_si128((const __m128i *)(row[k] + c * 16));
                sum[k] = dot(sum[k], _mm512_broadcast_i32x4(key), query);
            }
        }
        scores[i / QUAD] = add_chains(sum[0], sum[1], sum[2], sum[3]);
        scores[i / QUAD + 1] = add_chains(sum[4], sum[5], sum[6], sum[7]);
    }
}

/* Of four numbers each, repeated over its quarter. */
INLINE __m512i spread_index(void) {
    return _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
}

INLINE vf spread(const float *four, __mmask8 rows) {
    __m128 x = _mm_maskz_loadu_ps(rows, four);
    return _mm512_permutexvar_ps(spread_index(), _mm512_castps128_ps512(x));
}

INLINE __m512i spread_numbers(const int32_t *four) {
    __m128i x = _mm_loadu_si128((const __m128i *)four);
    return _mm512_permutexvar_epi32(spread_index(), _mm512_castsi128_si512(x));
}

/* The columns of the block that vector i of scores is of. */
INLINE __m512i quad_columns(int i) {
    return _mm512_add_epi32(_mm512_set1_epi32(i * QUAD),
                            _mm512_broadcast_i32x4(_mm_set_epi32(3, 2, 1, 0)));
}

INLINE __m128 gather_quarters(vf x) {
    const __m512i index = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(index, x));
}

/* Every lane: the largest of its quarter, or the sum as (0 + 1) + (2 + 3). */
INLINE vf quarter_max(vf x) {
    x = vf_max(x, _mm512_permute_ps(x, 0xb1));
    return vf_max(x, _mm512_permute_ps(x, 0x4e));
}

INLINE vf quarter_sum(vf x) {
    x = vf_add(x, _mm512_permute_ps(x, 0xb1));
    return vf_add(x, _mm512_permute_ps(x, 0x4e));
}

/* Scores become bfloat16 weights: of 4 rows x 4 positions in each vector of 32 bytes. `row` is the
 * first of the four. */
INLINE void quad_softmax(const Plan *p, const Workspace *w, const Block *b, const Head *h, long row,
                         __mmask8 rows, int vectors, bool ragged, bool slope, vf *scores,
                         __m256i *weights, float *rescale) {
    const Attention *a = p->args;
    __m512i tokens = spread_numbers(w->tokens + row), last = spread_numbers(h->tokens + row);
    __m512i oldest = spread_numbers(h->oldest + row);
    vf slopes = slope ? spread(h->slopes + row, rows) : vf_zero();
    __mmask16 mask[VECTORS];
    vf largest = vf_set1(NO_SCORE);
    for (int i = 0; i < vectors; i++) {
        vf score = scores[i];
        if (b->k_scale) {
            __m128 scale = _mm_loadu_ps(b->k_scale + i * QUAD);
            score = vf_mul(score, _mm512_broadcast_f32x4(scale));
        }
        if (a->softcap > 0) score = cap_score(a, score);
        if (slope) score = sloped(b, h, tokens, quad_columns(i), slopes, score);
        if (ragged) {
            mask[i] = seen(a, b, h, last, oldest, quad_columns(i));
            score = _mm512_mask_blend_ps(mask[i], vf_set1(NO_SCORE), score);
        }
        largest = vf_max(largest, score);
        scores[i] = score;
    }
    vf factor = vf_set1(to_log2(a));
    vf old = spread(h->state.m + row, rows);
    vf top = vf_max(old, vf_mul(quarter_max(largest), factor));
    vf shrink = weight_of(vf_sub(old, top)), sum = vf_zero();
    vf minus_top = vf_sub(vf_zero(), top);
    for (int i = 0; i < vectors; i++) {
        vf weight = weight_of(vf_fma(scores[i], factor, minus_top));
        if (ragged) weight = _mm512_maskz_mov_ps(mask[i], weight);
        sum = vf_add(sum, weight);
        if (b->v_scale) {
            __m128 scale = _mm_loadu_ps(b->v_scale + i * QUAD);
            weight = vf_mul(weight, _mm512_broadcast_f32x4(scale));
        }
        weights[i] = vf_to_bf16(weight);
    }
    vf l = vf_add(vf_mul(spread(h->state.l + row, rows), shrink), quarter_sum(sum));
    _mm_mask_storeu_ps(h->state.m + row, rows, gather_quarters(top));
    _mm_mask_storeu_ps(h->state.l + row, rows, gather_quarters(l));
    _mm_storeu_ps(rescale, gather_quarters(shrink));
}

/* o[rows][32 * halves] = o * rescale + weights * values, from dimension 0 of `v` on; `tail` are the
 * dimensions of the last 32 that exist. */
INLINE void quad_values(int rows, int halves, const Block *b, const char *v, __mmask32 tail,
                        const __m256i *weights, int vectors, float *o, long o_stride,
                        const float *rescale, bool ask) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    vf sum[QUAD][4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int c = 0; c < 2 * halves; c++)
            sum[r][c] = vf_mul(vf_load(o + r * o_stride + c * VF_WIDTH), vf_set1(rescale[r]));
    for (int i = 0; i < 2 * vectors; i++) {
        const char *even = v + b->offset[2 * i], *odd = v + b->offset[2 * i + 1];
        if (ask) ask_ahead(b, b->next_v, 2 * i, 2);
        __m512i pairs[4];
#pragma GCC unroll 2
        for (int c = 0; c < halves; c++) {
            __mmask32 mask = c == halves - 1 ? tail : ~(__mmask32)0;
            __m512i x = _mm512_maskz_loadu_epi16(mask, even + 64 * c);
            __m512i y = _mm512_maskz_loadu_epi16(mask, odd + 64 * c);
            pairs[2 * c] = _mm512_permutex2var_epi16(x, low, y);
            pairs[2 * c + 1] = _mm512_permutex2var_epi16(x, high, y);
        }
        const int32_t *weight = (const int32_t *)(weights + i / 2) + i % 2;
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            __m512i pair = _mm512_set1_epi32(weight[2 * r]);
#pragma GCC unroll 4
            for (int c = 0; c < 2 * halves; c++) sum[r][c] = dot(sum[r][c], pair, pairs[c]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int c = 0; c < 2 * halves; c++) vf_store(o + r * o_stride + c * VF_WIDTH, sum[r][c]);
}

#define QUAD_CASE(ROWS, HALVES)                                                               \
    case (ROWS) * 2 + (HALVES):                                                               \
        quad_values(ROWS, HALVES, b, v, tail, weights, vectors, to, p->row_floats, rescale, ask); \
        break;

static void add_values(const Plan *p, const Block *b, int rows, const __m256i *weights, int vectors,
                       float *o, const float *rescale) {
    for (long c = 0; c < p->args->value_dim; c += 64) {
        long left = MIN(64, p->args->value_dim - c);
        int halves = left > 32 ? 2 : 1;
        long last = left - 32 * (halves - 1);
        __mmask32 tail = (__mmask32)(((uint64_t)1 << last) - 1);
        const char *v = b->v + c * sizeof(bf16);
        float *to = o + c;
        bool ask = c == 0 && b->next_v;
        switch (rows * 2 + halves) {
            QUAD_CASE(1, 1) QUAD_CASE(1, 2) QUAD_CASE(2, 1) QUAD_CASE(2, 2)
            QUAD_CASE(3, 1) QUAD_CASE(3, 2) QUAD_CASE(4, 1) QUAD_CASE(4, 2)
        }
    }
}

static void attend_block(const Plan *p, Workspace *w, const Block *b, const Head *h) {
    const Attention *a = p->args;
    vf *scores = (vf *)w->scores;
    __m256i *weights = (__m256i *)w->weights;
    float rescale[QUAD];
    Block block = *b;
    for (long row = 0; row < h->rows; row += QUAD) {
        int rows = (int)MIN(QUAD, h->rows - row);
        int first = w->tokens[row], last = w->tokens[row + rows - 1];
        long visible = MIN(BLOCK, h->position + last - b->start + 1);
        if (visible <= 0) continue;
        if (oldest_seen(a, h->position + first) >= b->start + BLOCK) continue;
        int positions = (int)ROUND_UP(visible, STEP), vectors = positions / QUAD;
        const char *queries = h->queries + row * a->head_dim * sizeof(bf16);
        bool ragged = is_ragged(a, b, h, first, last);
        __mmask8 mask = (__mmask8)((1 << rows) - 1);
        quad_scores(&block, queries, a->head_dim / CHUNK, positions, scores);
        if (h->slopes)
            quad_softmax(p, w, b, h, row, mask, vectors, ragged, true, scores, weights, rescale);
        else
            quad_softmax(p, w, b, h, row, mask, vectors, ragged, false, scores, weights, rescale);
        add_values(p, &block, rows, weights, vectors, h->state.o + row * p->row_floats, rescale);
        block.next_k = block.next_v = NULL; /* asked for */
    }
}

const Kernel quad_kernel = {
    .together = QUAD, .widens = true, .pack_queries = pack_queries, .block = attend_block};

#endif
