/* The parallel loop, on the OpenMP runtime that torch has already loaded.
 *
 * The runtime's entry points are called directly rather than through pragmas: GOMP_parallel is
 * offered by libgomp, LLVM's libomp and Intel's libiomp5 alike, so any compiler fits any torch.
 * Teams always have the full size: libgomp ends the threads that a smaller team leaves over.
 */
#include "common.h"

#include <sched.h>

extern void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_max_threads(void);
extern int omp_get_num_threads(void);
extern int omp_get_thread_num(void);
extern int omp_in_parallel(void);

/* Threads that run a sequence of parallel loops together. One leads: it runs what lies between the
 * loops, while the others wait for the next loop right here. That takes a fraction of the time that
 * a loop of its own in the OpenMP runtime takes, and a step of a small model has hundreds. */
typedef struct {
    int (*work)(void *data);
    void *data;
    int result, threads;
    task_fn task; /* the current loop; NULL: no more */
    const void *context;
    long count;
    long next __attribute__((aligned(64)));
    long unfinished __attribute__((aligned(64)));
    long loops __attribute__((aligned(64))); /* started so far */
} Crew;

static _Thread_local Crew *leading; /* the crew that this thread leads */

EXPORT int parallel_threads(void) {
    if (leading) return leading->threads;
    return omp_in_parallel() ? 1 : omp_get_max_threads();
}

/* Waits a little; `turn` counts the turns of this wait. After some 20 us others may need the core
 * more. */
static inline void wait_turn(long turn) {
    if (turn > 500) sched_yield();
#if defined(__SSE2__)
    else __builtin_ia32_pause();
#endif
}

static void take_tasks(Crew *crew, int thread) {
    long i;
    while ((i = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED)) < crew->count)
        crew->task(crew->context, i, thread);
}

static void start_loop(Crew *crew, task_fn task, const void *context, long count) {
    crew->task = task;
    crew->context = context;
    crew->count = count;
    __atomic_store_n(&crew->next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&crew->unfinished, crew->threads - 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&crew->loops, 1, __ATOMIC_RELEASE);
}

static void crew_tasks(Crew *crew, long count, task_fn task, const void *context) {
    start_loop(crew, task, context, count);
    take_tasks(crew, 0);
    for (long turn = 0; __atomic_load_n(&crew->unfinished, __ATOMIC_ACQUIRE) > 0; turn++)
        wait_turn(turn);
}

static void follow(Crew *crew, int thread) {
    for (long seen = 0;; seen++) {
        for (long turn = 0; __atomic_load_n(&crew->loops, __ATOMIC_ACQUIRE) == seen; turn++)
            wait_turn(turn);
        if (!crew->task) return;
        take_tasks(crew, thread);
        __atomic_fetch_sub(&crew->unfinished, 1, __ATOMIC_RELEASE);
    }
}

static void crew_body(void *data) {
    Crew *crew = data;
    int thread = omp_get_thread_num();
    if (thread > 0) {
        follow(crew, thread);
        return;
    }
    crew->threads = omp_get_num_threads();
    leading = crew;
    crew->result = crew->work(crew->data);
    leading = NULL;
    start_loop(crew, NULL, NULL, 0);
}

int run_solo(int (*work)(void *data), void *data) {
    Crew alone = {.threads = 1}, *before = leading;
    leading = &alone;
    int result = work(data);
    leading = before;
    return result;
}

int run_with_crew(int (*work)(void *data), void *data) {
    if (parallel_threads() == 1) return work(data);
    Crew crew = {.work = work, .data = data};
    GOMP_parallel(crew_body, &crew, 0, 0);
    return crew.result;
}

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
    else if (leading) crew_tasks(leading, count, task, context);
    else GOMP_parallel(tasks_body, &tasks, 0, 0);
}

typedef struct {
    range_fn range;
    const void *context;
    long count, parts;
} Ranges;

static void run_range(const void *context, long i, int thread) {
    const Ranges *ranges = context;
    (void)thread;
    long begin = ranges->count * i / ranges->parts, end = ranges->count * (i + 1) / ranges->parts;
    if (begin < end) ranges->range(ranges->context, begin, end);
}

void parallel_ranges(long count, long serial_below, range_fn range, const void *context) {
    if (count <= serial_below || parallel_threads() == 1) {
        if (count > 0) range(context, 0, count);
        return;
    }
    int threads = parallel_threads();
    Ranges ranges = {range, context, count, threads};
    parallel_tasks(threads, threads, run_range, &ranges);
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
