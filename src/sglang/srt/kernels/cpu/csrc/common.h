/* What every kernel file needs: types, the parallel loop, scratch memory. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t bf16;
enum { DTYPE_F32 = 0, DTYPE_BF16 = 1 };
enum { MAX_HEAD_DIM = 1024 }; /* multiples of 8 up to this; the caller checks */

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ROUND_UP(n, m) (((n) + (m) - 1) / (m) * (m))

/* log2(e), and 2^f = 1 + C1 f + ... + C6 f^6 on [-1/2, 1/2]: relative error 2e-9. */
#define LOG2E 1.44269504f
#define EXP2_C1 0.693147182f
#define EXP2_C2 0.240226477f
#define EXP2_C3 0.0555033237f
#define EXP2_C4 0.00961843692f
#define EXP2_C5 0.00133988739f
#define EXP2_C6 0.00015353362f

static inline size_t dtype_size(int dtype) { return dtype == DTYPE_F32 ? 4 : 2; }

/* How many threads a parallel loop of the calling thread may have. */
int parallel_threads(void);

/* Runs task(context, i, thread) for 0 <= i < count, each thread taking the next free i, where
 * `threads` is 1 or parallel_threads(), and 0 <= thread < threads. */
typedef void (*task_fn)(const void *context, long i, int thread);
void parallel_tasks(long count, int threads, task_fn task, const void *context);

/* The same, but each thread begins with a contiguous part of its own, of which it takes one i after
 * the other, and then helps the others: for tasks that read memory one after the other. */
void parallel_streams(long count, int threads, task_fn task, const void *context);

/* Runs range(context, begin, end) over [0, count) in equal contiguous parts, on one thread when
 * count <= serial_below. */
typedef void (*range_fn)(const void *context, long begin, long end);
void parallel_ranges(long count, long serial_below, range_fn range, const void *context);

/* Runs work(data), whose parallel loops then run on this thread alone; returns its result. */
int run_alone(int (*work)(void *data), void *data);

/* At least `bytes` bytes, 64-byte aligned, that stay the calling thread's until its next call.
 * NULL when memory is out. */
void *scratch(size_t bytes);

/* The same, apart from it: for an operation made of others, which may use scratch. */
void *workspace(size_t bytes);
