/* Replays operations that were noted while a model ran once, as a CUDA graph does on a GPU.
 *
 * All addresses stay as they were; only the numbers of rows differ from step to step.
 */
#include "common.h"

enum { FIXED = -1, COUNTS = 3 };
enum { SOLO_WORK = 1 << 24 }; /* multiply-adds that are not worth waking threads for */

typedef struct {
    int (*run)(void *argument);
    char *argument;
    int64_t count_offset; /* where in the argument the number of rows stands */
    int64_t count;        /* which of the counts it is, or FIXED */
} Step;

typedef struct {
    const Step *steps;
    int64_t length;
    int64_t counts[COUNTS]; /* the first: new tokens */
    int64_t work;           /* multiply-adds per token */
} Recording;

static int run_steps(void *data) {
    const Recording *r = data;
    for (int64_t i = 0; i < r->length; i++) {
        const Step *step = r->steps + i;
        if (step->count != FIXED)
            *(int64_t *)(step->argument + step->count_offset) = r->counts[step->count];
        if (step->run(step->argument)) return (int)i + 1;
    }
    return 0;
}

/* 0, or 1 + the index of the step that failed. */
EXPORT int replay(Recording *recording) {
    bool small = recording->work * recording->counts[0] < SOLO_WORK;
    return small ? run_alone(run_steps, recording) : run_steps(recording);
}
