/* Rows of a matrix by index: the embedding, or the rows whose logits are wanted. */
#include "common.h"

/* The argument of gather_rows: table [table_rows, ...] of rows row_bytes long and stride bytes
 * apart, index [rows] of int64_t or, if index_bytes is 4, of int32_t, out contiguous. */
typedef struct {
    const char *table;
    const void *index;
    char *out;
    int64_t rows, table_rows, row_bytes, stride, index_bytes;
} Gather;

static inline int64_t index_at(const Gather *g, long i) {
    return g->index_bytes == 4 ? ((const int32_t *)g->index)[i] : ((const int64_t *)g->index)[i];
}

static void gather_range(const void *context, long begin, long end) {
    const Gather *g = context;
    for (long i = begin; i < end; i++)
        memcpy(g->out + i * g->row_bytes, g->table + index_at(g, i) * g->stride, g->row_bytes);
}

/* 0, or -1 for an index out of range. */
EXPORT int gather_rows(const Gather *g) {
    for (long i = 0; i < g->rows; i++)
        if (index_at(g, i) < 0 || index_at(g, i) >= g->table_rows) return -1;
    parallel_ranges(g->rows, 65536 / MAX(g->row_bytes, 1), gather_range, g);
    return 0;
}
