// slurm_array: core/sweeps/slurm.c from a shell.
//   slurm_array submit SCRIPT LOG_FOLDER INDICES MOST GRACE OPTIONS COMMAND...   prints the id; INDICES: "0 1 4"
//   slurm_array state ID | wait ID | cancel ID      states are a line: pending, running, died, which, how, why
// Status 1: refused, with the sentence; of wait after SIGTERM 143.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sweeps/slurm.h"

static volatile sig_atomic_t stop;

static void on_signal(int signal) { stop = signal; }

static UfStatus show(void* user, const UfSlurmState* s) {
    (void)user;
    printf("%d pending, %d running, %d died: %d %s; waits for: %s\n", s->num_pending, s->num_running,
           s->num_died, s->died, s->how, s->reason);
    fflush(stdout);
    return UF_OK;
}

static UfStatus submit(char** arguments) {
    int tasks[1024], num_tasks = 0;
    char id[UF_SLURM_ID_BYTES], folder[4096], *rest = arguments[2];
    for (char* end; num_tasks < 1024; rest = end) {
        tasks[num_tasks] = (int)strtol(rest, &end, 10);
        if (end == rest) break;
        num_tasks++;
    }
    if (!getcwd(folder, sizeof folder)) return UF_FAIL(UF_ERR_IO, "no current folder");
    UfSlurmArray array = {.name = "a \"test\"",
                          .script = arguments[0],
                          .log_folder = arguments[1],
                          .work_folder = folder,
                          .command = (const char* const*)(arguments + 6),
                          .tasks = tasks,
                          .num_tasks = num_tasks,
                          .max_running = atoi(arguments[3]),
                          .cores = 1,
                          .grace_seconds = atoi(arguments[4]),
                          .options = arguments[5]};
    UF_TRY(uf_slurm_submit(&array, id));
    puts(id);
    return UF_OK;
}

int main(int count, char** arguments) {
    UfSlurmState state;
    UfStatus status = UF_ERR_ARGUMENT;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    const char* verb = count > 2 ? arguments[1] : "";
    if (!strcmp(verb, "submit") && count > 8) status = submit(arguments + 2);
    if (!strcmp(verb, "state") && (status = uf_slurm_state(arguments[2], &state)) == UF_OK)
        show(NULL, &state);
    if (!strcmp(verb, "wait")) status = uf_slurm_wait(arguments[2], &stop, show, NULL);
    if (!strcmp(verb, "cancel")) status = uf_slurm_cancel(arguments[2]);
    if (status == UF_OK) return 0;
    fprintf(stderr, "error: %s\n", uf_error());
    return status == UF_ERR_STOPPED ? 128 + stop : 1;
}
