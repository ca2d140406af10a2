/* The parallel loop, on the OpenMP runtime that torch has already loaded.
 *
 * The runtime's entry points are called directly rather than through pragmas: GOMP_parallel is
 * offered by libgomp, LLVM's libomp and Intel's libiomp5 alike, so any compiler fits any torch.
 * Teams always have the full size: libgomp ends the threads that a smaller team leaves over.
 */
#include "common.h"

extern void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_max_threads(void);
extern int omp_get_num_threads(void);
extern int omp_get_thread_num(void);
extern int omp_in_parallel(void);

EXPORT int parallel_threads(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

typedef struct {
    task_fn task;
    const void *context;
    long count;
    long next;
} Tasks;

static void tasks_body(void *data) {
    Tasks *tasks = data;
    int thread = omp_get_thread_num();
    long i;
    while ((i = __atomic_fetch_add(&tasks->next, 1, __ATOMIC_RELAXED)) < tasks->count)
        tasks->task(tasks->context, i, thread);
}

void parallel_tasks(long count, int threads, task_fn task, const void *context) {
    Tasks tasks = {task, context, count, 0};
    if (count <= 1 || threads == 1)
        while (tasks.next < count) task(context, tasks.next++, 0);
    else GOMP_parallel(tasks_body, &tasks, 0, 0);
}

typedef struct {
    range_fn range;
    const void *context;
    long count;
} Ranges;

static void ranges_body(void *data) {
    Ranges *ranges = data;
    long threads = omp_get_num_threads(), me = omp_get_thread_num();
    long begin = ranges->count * me / threads, end = ranges->count * (me + 1) / threads;
    if (begin < end) ranges->range(ranges->context, begin, end);
}

void parallel_ranges(long count, long serial_below, range_fn range, const void *context) {
    if (count <= serial_below || parallel_threads() == 1) {
        if (count > 0) range(context, 0, count);
        return;
    }
    Ranges ranges = {range, context, count};
    GOMP_parallel(ranges_body, &ranges, 0, 0);
}

void *scratch(size_t bytes) {
    static _Thread_local void *memory;
    static _Thread_local size_t size;
    if (size < bytes) {
        free(memory);
        size_t rounded = ROUND_UP(bytes + bytes / 4, 4096);
        if (posix_memalign(&memory, 64, rounded)) memory = NULL;
        size = memory ? rounded : 0;
    }
    return memory;
}
