// tasks.h: what D4RL says of its tasks: step limits and the returns between which a score is normalised.
#ifndef UF_TASKS_H
#define UF_TASKS_H

#include "core/core.h"

// Returns of score 0 and 100 of the tasks that are environments of ours too.
#define UF_SCORES_HALFCHEETAH -280.178953, 12135.0
#define UF_SCORES_HOPPER -20.272305, 3234.3
#define UF_SCORES_WALKER2D 1.629008, 4592.3
#define UF_SCORES_ANT -325.6, 3879.7

typedef struct UfTaskSpec {
    const char* name;             // "maze2d-umaze": lower case, without version
    double score_min, score_max;  // returns of score 0 (random) and 100 (expert)
    int max_steps;                // 0: none known
} UfTaskSpec;

// The task that a dataset, file or environment name holds as whole words ("hopper-medium-v2.hdf5",
// "HalfCheetah-v4", "D4RL/door/human-v2"), the longest if several do; folders are ignored. NULL: none.
const UfTaskSpec* uf_task_find(const char* name);

#endif
