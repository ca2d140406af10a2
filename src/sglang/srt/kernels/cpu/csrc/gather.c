/* Rows of a matrix by index: the embedding, or the rows whose logits are wanted. */
#include "common.h"

/* The argument of gather_rows: table [table_rows, ...] of rows row_bytes long and stride bytes
 * apart, index [rows], out contiguous. */
typedef struct {
    const char *table;
    const int64_t *index;
    char *out;
    int64_t rows, table_rows, row_bytes, stride;
} Gather;

static void gather_range(const void *context, long begin, long end) {
    const Gather *g = context;
    for (long i = begin; i < end; i++)
        memcpy(g->out + i * g->row_bytes, g->table + g->index[i] * g->stride, g->row_bytes);
}

/* 0, or -1 for an index out of range. */
EXPORT int gather_rows(const Gather *g) {
    for (long i = 0; i < g->rows; i++)
        if (g->index[i] < 0 || g->index[i] >= g->table_rows) return -1;
    parallel_ranges(g->rows, 65536 / MAX(g->row_bytes, 1), gather_range, g);
    return 0;
}
