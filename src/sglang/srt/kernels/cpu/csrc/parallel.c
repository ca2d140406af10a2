/* The parallel loop, and the crew of threads behind it.
 *
 * A forward pass of a small model has hundreds of loops of some microseconds, and on a machine that
 * is also busy with other things a thread may be away from its core for milliseconds at any time.
 * So the thread that calls leads and works itself; followers join a loop while it is open, and the
 * leader waits for nobody who has not joined. Followers that find nothing to do spin for a while,
 * because the next loop is often near, and then sleep until they are woken.
 */
#include "common.h"

#include <pthread.h>
#include <sched.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    MAX_THREADS = 256,
    INSIDE = 511,    /* bits of `state`: followers in the loop */
    OPEN = 512,      /* it may be joined */
    LOOP = 1024,     /* the number of the loop starts at this bit */
    SPIN_TURNS = 2000 /* some 50 us */
};

extern int omp_get_max_threads(void); /* what torch.set_num_threads sets */

static struct {
    int led;               /* somebody leads */
    int followers;         /* threads that exist besides the leader */
    int threads;           /* that may take part in the loop, the leader included */
    task_fn task;
    const void *context;
    long count;
    bool streams;          /* each thread has tasks of its own to begin with */
    unsigned state __attribute__((aligned(64)));
    int sleepers __attribute__((aligned(64)));
} crew;

/* The next task of each thread's own; without streams all are those of the first. */
static struct {
    long next __attribute__((aligned(64)));
} queues[MAX_THREADS];

static _Thread_local bool alone; /* this thread wants no company */

EXPORT int parallel_threads(void) {
    return alone ? 1 : MIN(omp_get_max_threads(), (int)MAX_THREADS);
}

static inline void spin(long turn) {
#if defined(__SSE2__)
    __builtin_ia32_pause();
#endif
    if (turn > SPIN_TURNS) sched_yield();
}

/* Sleeps until the state is another than `seen`. */
static void sleep_while(unsigned seen) {
    __atomic_fetch_add(&crew.sleepers, 1, __ATOMIC_SEQ_CST);
#if defined(__linux__)
    syscall(SYS_futex, &crew.state, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
#else
    if (__atomic_load_n(&crew.state, __ATOMIC_SEQ_CST) == seen) sched_yield();
#endif
    __atomic_fetch_sub(&crew.sleepers, 1, __ATOMIC_SEQ_CST);
}

static void wake_sleepers(void) {
#if defined(__linux__)
    if (__atomic_load_n(&crew.sleepers, __ATOMIC_SEQ_CST) > 0)
        syscall(SYS_futex, &crew.state, FUTEX_WAKE_PRIVATE, MAX_THREADS, NULL, NULL, 0);
#endif
}

/* Where the tasks of a thread begin. */
static inline long first_task(int thread) {
    return crew.streams ? crew.count * thread / crew.threads : thread ? crew.count : 0;
}

static void take_tasks(int thread) {
    int owners = crew.streams ? crew.threads : 1;
    for (int turn = 0; turn < owners; turn++) {
        int owner = (thread + turn) % owners;
        long i, end = first_task(owner + 1);
        while ((i = __atomic_fetch_add(&queues[owner].next, 1, __ATOMIC_RELAXED)) < end)
            crew.task(crew.context, i, thread);
    }
}

/* The life of a follower. */
static void *follow(void *number) {
    int thread = (int)(intptr_t)number;
    unsigned done = 0; /* the loop it was in last */
    alone = true;      /* a task that has a loop of its own runs it itself */
    for (long turn = 0;;) {
        unsigned state = __atomic_load_n(&crew.state, __ATOMIC_ACQUIRE);
        if (!(state & OPEN) || state / LOOP == done) {
            if (turn++ < SPIN_TURNS) spin(0);
            else sleep_while(state);
        } else if (__atomic_compare_exchange_n(&crew.state, &state, state + 1, false,
                                               __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            done = state / LOOP;
            if (thread < crew.threads) take_tasks(thread);
            __atomic_fetch_sub(&crew.state, 1, __ATOMIC_RELEASE);
            turn = 0;
        }
    }
    return NULL;
}

static void forget_followers(void) { crew.followers = crew.led = crew.sleepers = 0; }

/* A forked child has none of the threads. */
static void prepare_for_fork(void) { pthread_atfork(NULL, NULL, forget_followers); }

static void recruit(int followers) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_for_fork);
    while (crew.followers < followers) {
        pthread_t thread;
        intptr_t number = crew.followers + 1;
        if (pthread_create(&thread, NULL, follow, (void *)number)) return;
        pthread_detach(thread);
        crew.followers++;
    }
}

static void lead(long count, int threads, bool streams, task_fn task, const void *context) {
    recruit(threads - 1);
    crew.threads = threads;
    crew.task = task;
    crew.context = context;
    crew.count = count;
    crew.streams = streams;
    for (int owner = 0; owner < (streams ? threads : 1); owner++)
        __atomic_store_n(&queues[owner].next, first_task(owner), __ATOMIC_RELAXED);
    unsigned loop = crew.state / LOOP + 1;
    __atomic_store_n(&crew.state, loop * LOOP + OPEN, __ATOMIC_SEQ_CST);
    wake_sleepers();
    take_tasks(0);
    __atomic_fetch_and(&crew.state, ~(unsigned)OPEN, __ATOMIC_ACQ_REL);
    for (long turn = 0; __atomic_load_n(&crew.state, __ATOMIC_ACQUIRE) & INSIDE; turn++) spin(turn);
}

static void run_tasks(long count, int threads, bool streams, task_fn task, const void *context) {
    bool company = count > 1 && threads > 1 && !__atomic_test_and_set(&crew.led, __ATOMIC_ACQUIRE);
    if (!company) {
        for (long i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    lead(count, threads, streams, task, context);
    __atomic_clear(&crew.led, __ATOMIC_RELEASE);
}

void parallel_tasks(long count, int threads, task_fn task, const void *context) {
    run_tasks(count, threads, false, task, context);
}

void parallel_streams(long count, int threads, task_fn task, const void *context) {
    run_tasks(count, threads, true, task, context);
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
    int threads = parallel_threads();
    if (count <= serial_below || threads == 1) {
        if (count > 0) range(context, 0, count);
        return;
    }
    Ranges ranges = {range, context, count, threads};
    parallel_tasks(threads, threads, run_range, &ranges);
}

int run_alone(int (*work)(void *data), void *data) {
    bool before = alone;
    alone = true;
    int result = work(data);
    alone = before;
    return result;
}

typedef struct {
    void *memory;
    size_t size;
} Buffer;

static void *at_least(Buffer *buffer, size_t bytes) {
    if (buffer->size < bytes) {
        free(buffer->memory);
        buffer->memory = NULL;
        size_t rounded = ROUND_UP(bytes + bytes / 4, 4096);
        if (posix_memalign(&buffer->memory, 64, rounded)) buffer->memory = NULL;
        buffer->size = buffer->memory ? rounded : 0;
    }
    return buffer->memory;
}

void *scratch(size_t bytes) {
    static _Thread_local Buffer buffer;
    return at_least(&buffer, bytes);
}

void *workspace(size_t bytes) {
    static _Thread_local Buffer buffer;
    return at_least(&buffer, bytes);
}
