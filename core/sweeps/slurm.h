// slurm.h: arrays of tasks under Slurm: a batch script, sbatch, squeue, scancel. What a task does is the caller's.
//
// A time limit means "goes on later": some time before it the task's command gets SIGUSR1; if it then ends with status
// 128 + SIGUSR1 the script puts the task back into the queue. Accounting is not needed, so a task that ended a while ago
// is one that Slurm has forgotten: what became of it shows in what it wrote.
#ifndef UF_SLURM_H
#define UF_SLURM_H

#include <signal.h>  // sig_atomic_t

#include "core/core.h"

enum { UF_SLURM_ID_BYTES = 32 };

typedef struct UfSlurmArray {
    const char* name;            // of the job
    const char* script;          // file that is written and submitted
    const char* log_folder;      // what task i says is appended to task_<i>.txt there
    const char* work_folder;     // where the command runs
    const char* const* command;  // ends at NULL; a task's index comes behind
    const int* tasks;            // (num_tasks) indices, ascending
    int num_tasks;
    int max_running;      // at a time; 0: as many as Slurm gives
    int cores;            // of a task; 0: Slurm's default
    int grace_seconds;    // between the signal and the time limit; a task needs more
    const char* options;  // more options of sbatch, as in a script's #SBATCH line. They win over ours
} UfSlurmArray;

// Errors: UF_ERR_UNSUPPORTED (no sbatch here), UF_ERR_CONFIG (options that would take the array away, or cannot be
// read), UF_ERR_IO (sbatch's own sentence).
UfStatus uf_slurm_submit(const UfSlurmArray* array, char id[UF_SLURM_ID_BYTES]);

typedef struct UfSlurmState {
    int num_pending, num_running;  // both 0: the array is over
    int num_died;                  // ended otherwise than well, of those Slurm still knows
    int died;                      // one of them
    char how[32];                  // how: "OUT_OF_MEMORY", "FAILED"
    char reason[64];               // why a pending one does not run: "Priority", "Resources"
} UfSlurmState;

// Of an id that Slurm does not know (any more), all zero.
UfStatus uf_slurm_state(const char* id, UfSlurmState* state);

// Waits until no task of the array is pending or runs, and calls on_poll now and then, at the end too; its failure ends
// the wait. A controller that does not answer is asked again for ten minutes.   Nullable: stop, on_poll
// Errors: UF_ERR_STOPPED (*stop was set; the array is left alone).
typedef UfStatus UfSlurmPollFn(void* user, const UfSlurmState* state);
UfStatus uf_slurm_wait(const char* id, const volatile sig_atomic_t* stop, UfSlurmPollFn* on_poll, void* user);

// All tasks, running ones by SIGTERM. None is left: nothing happens.
UfStatus uf_slurm_cancel(const char* id);

#endif
