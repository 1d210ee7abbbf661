// slurm.c: see slurm.h.
//
// Rooms: tools, options, script, state, API.
// Source: slurm.schedmd.com/sbatch.html, squeue.html, scontrol.html; tried with 22.05.8.
#include "core/sweeps/slurm.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>   // snprintf, sscanf
#include <stdlib.h>  // realpath
#include <string.h>
#include <sys/wait.h>
#include <time.h>  // nanosleep
#include <unistd.h>

enum {
    OUTPUT_BYTES = 64 << 20,  // of squeue: some 40 a task
    COMPLAINT_BYTES = 4096,
    TOOL_SECONDS = 120,     // then it is killed; Slurm's own tools give up earlier
    PATIENCE_SECONDS = 600  // while the controller does not answer
};
static const double least_poll_seconds = 0.5, largest_poll_seconds = 10;

static bool asked_to_stop(const volatile sig_atomic_t* stop) { return stop && *stop; }

// ---- tools ----

typedef struct Tool {  // a program that ran
    const char* name;
    UfText output, complaint;  // the first bytes of what it said
    int status;                // of waitpid
} Tool;

static void free_tool(Tool* t) {
    uf_free(t->output.data);
    uf_free(t->complaint.data);
}

// Variables that would change what squeue shows or make scancel ask; those of sbatch are the user's defaults.
static bool misleads(const char* variable) {
    return !strncmp(variable, "SQUEUE_", 7) || !strncmp(variable, "SCANCEL_", 8) ||
           !strncmp(variable, "SBATCH_ARRAY_INX=", 17) || !strncmp(variable, "SBATCH_WAIT=", 12);
}

static UfStatus make_environment(char*** out) {
    int count = 0, kept = 0;
    while (environ[count]) count++;
    UF_TRY(UF_ALLOC(out, count + 1, "the environment of a program"));
    for (int i = 0; i < count; i++)
        if (!misleads(environ[i])) (*out)[kept++] = environ[i];
    return UF_OK;
}

// In a process group of its own: Ctrl-C at the terminal must not end sbatch between the job and its id.
static int spawn(const char* const* arguments, char** environment, int output, int complaint,
                 pid_t* process) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t normal, none;
    sigemptyset(&normal);
    sigemptyset(&none);
    const int usual[] = {SIGINT, SIGTERM, SIGUSR1, SIGPIPE};
    for (int i = 0; i < 4; i++) sigaddset(&normal, usual[i]);
    if (posix_spawn_file_actions_init(&actions)) return ENOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, complaint, 2);
    posix_spawnattr_setsigdefault(&attributes, &normal);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int code = posix_spawnp(process, arguments[0], &actions, &attributes, (char* const*)(uintptr_t)arguments,
                            environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return code;
}

// Takes what has come. False: nothing more will.
static bool take(int pipe, UfText* text, size_t most) {
    char bytes[16384];
    ssize_t count = read(pipe, bytes, sizeof bytes);
    if (count < 0) return errno == EINTR || errno == EAGAIN;
    size_t room = text->length < most ? most - text->length : 0;
    uf_text_add_bytes(text, bytes, (size_t)count < room ? (size_t)count : room);
    return count > 0;
}

// Reads both pipes until they end or the time is over.
static bool listen_to(Tool* t, int output, int complaint) {
    struct pollfd pipes[] = {{.fd = output, .events = POLLIN}, {.fd = complaint, .events = POLLIN}};
    double end = uf_now() + TOOL_SECONDS;
    while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
        if (uf_now() > end) return false;
        if (poll(pipes, 2, 1000) <= 0) continue;
        if (pipes[0].revents && !take(output, &t->output, OUTPUT_BYTES)) pipes[0].fd = -1;
        if (pipes[1].revents && !take(complaint, &t->complaint, COMPLAINT_BYTES)) pipes[1].fd = -1;
    }
    return true;
}

static UfStatus no_tool(const char* name, int code) {
    if (code == ENOENT)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "%s: there is no such program: this machine submits no Slurm jobs; leave --slurm away",
                       name);
    return UF_FAIL(UF_ERR_IO, "%s: cannot be run: %s", name, strerror(code));
}

// Runs a program to its end, without a shell.
static UfStatus run_tool(Tool* t, const char* const* arguments) {
    int output[2], complaint[2];
    char** environment;
    pid_t process;
    *t = (Tool){.name = arguments[0]};
    UF_TRY(make_environment(&environment));
    if (pipe2(output, O_CLOEXEC)) {
        uf_free(environment);
        return UF_FAIL(UF_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    if (pipe2(complaint, O_CLOEXEC)) {
        close(output[0]), close(output[1]);
        uf_free(environment);
        return UF_FAIL(UF_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    int code = spawn(arguments, environment, output[1], complaint[1], &process);
    uf_free(environment);
    close(output[1]), close(complaint[1]);
    bool ended = code == 0 && listen_to(t, output[0], complaint[0]);
    close(output[0]), close(complaint[0]);
    uf_text_add_bytes(&t->output, "", 1);  // a string from here on
    uf_text_add_bytes(&t->complaint, "", 1);
    if (code) return no_tool(t->name, code);
    if (!ended) kill(-process, SIGKILL);
    while (waitpid(process, &t->status, 0) < 0 && errno == EINTR) continue;
    if (!ended) return UF_FAIL(UF_ERR_IO, "%s: gave no answer in %d seconds", t->name, TOOL_SECONDS);
    if (t->output.length >= OUTPUT_BYTES)
        return UF_FAIL(UF_ERR_IO, "%s: said more than %d MB", t->name, OUTPUT_BYTES >> 20);
    return t->output.status == UF_OK ? t->complaint.status : t->output.status;
}

static bool went_well(const Tool* t) { return WIFEXITED(t->status) && !WEXITSTATUS(t->status); }

// A line of a complaint without "sbatch: " and "error: ".
static const char* bare_line(const Tool* t, const char* line) {
    size_t length = strlen(t->name);
    if (!strncmp(line, t->name, length) && line[length] == ':')
        line += length + 1 + (line[length + 1] == ' ');
    return strncmp(line, "error: ", 7) ? line : line + 7;
}

// What the tool said, as one sentence: "sbatch: invalid partition specified: x; Batch job submission failed: ...".
static UfStatus fail_tool(const Tool* t) {
    char sentence[1024];
    size_t n = (size_t)snprintf(sentence, sizeof sentence, "%s: ", t->name), begin = n;
    const char* line = t->complaint.data;
    for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char* bare = bare_line(t, line);
        int length = (int)strcspn(bare, "\n");
        if (!length || !strncmp(bare, "Try ", 4) || n >= sizeof sentence) continue;
        n += (size_t)snprintf(sentence + n, sizeof sentence - n, "%s%.*s", n > begin ? "; " : "", length,
                              bare);
    }
    if (n > begin) return UF_FAIL(UF_ERR_IO, "%s", uf_one_line(sentence));
    if (WIFSIGNALED(t->status))
        return UF_FAIL(UF_ERR_IO, "%s: killed by signal %d", t->name, WTERMSIG(t->status));
    return UF_FAIL(UF_ERR_IO, "%s: exit status %d without a word", t->name, WEXITSTATUS(t->status));
}

// ---- options ----

// Options that would take away what the array stands on, as sbatch abbreviates them.
static bool is_ours(const char* word) {
    static const char* const names[] = {"--array",     "--chdir", "--clusters",
                                        "--test-only", "--wait",  "--wrap"};
    size_t length = strcspn(word, "=");
    if (word[0] == '-' && word[1] && strchr("aDMW", word[1])) return true;
    for (size_t i = 0; length > 3 && i < sizeof names / sizeof names[0]; i++)
        if (!strncmp(names[i], word, length)) return true;
    return false;
}

// The next word by the rules of #SBATCH lines, where quotes and backslashes work everywhere. False: there is none.
static bool next_word(const char** text, char* word, char* quote) {
    const char* at = *text + strspn(*text, " ");
    bool any = *at != 0;
    for (*quote = 0; *at && (*quote || *at != ' '); at++) {
        if (*at == '\\' && at[1])
            *word++ = *++at;
        else if (*quote ? *at == *quote : *at == '"' || *at == '\'')
            *quote = *quote ? 0 : *at;
        else
            *word++ = *at;
    }
    *word = 0;
    *text = at;
    return any;
}

// A word for a #SBATCH line. Quotes also keep a '#' from beginning a comment.
static void add_word(UfText* script, const char* word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./%@";
    if (*word && !word[strspn(word, plain)]) {
        uf_text_add(script, " %s", word);
        return;
    }
    uf_text_add(script, " \"");
    for (; *word; word++) uf_text_add(script, *word == '"' || *word == '\\' ? "\\%c" : "%c", *word);
    uf_text_add(script, "\"");
}

static UfStatus add_options(UfText* script, const char* options) {
    char *word, quote = 0;
    const char* rest = options;
    for (const char* c = options; *c; c++)
        if (iscntrl((unsigned char)*c))
            return UF_FAIL(UF_ERR_CONFIG, "sbatch_options: holds a control character; expected one line");
    if (!options[strspn(options, " ")]) return UF_OK;
    UF_TRY(UF_ALLOC(&word, strlen(options) + 1, "options of sbatch"));
    UfStatus status = UF_OK;
    uf_text_add(script, "#SBATCH");
    for (int i = 0; status == UF_OK && next_word(&rest, word, &quote); i++) {
        add_word(script, word);
        if (quote)
            status = UF_FAIL(UF_ERR_CONFIG, "sbatch_options: \"%s\": a %c has no end", options, quote);
        else if (!i && word[0] != '-')
            status = UF_FAIL(UF_ERR_CONFIG,
                             "sbatch_options: \"%s\": expected options of sbatch, as --time=2:00:00 --mem=4G",
                             options);
        else if (is_ours(word))
            status =
                UF_FAIL(UF_ERR_CONFIG, "sbatch_options: %s: is chosen by the program; leave it away", word);
    }
    uf_text_add(script, "\n");
    uf_free(word);
    return status;
}

// ---- script ----

// "0-3,7,9-10%2".
static void add_indices(UfText* script, const UfSlurmArray* a) {
    for (int i = 0, last; i < a->num_tasks; i = last + 1) {
        for (last = i; last + 1 < a->num_tasks && a->tasks[last + 1] == a->tasks[last] + 1;) last++;
        uf_text_add(script, "%s%d", i ? "," : "", a->tasks[i]);
        if (last > i) uf_text_add(script, "-%d", a->tasks[last]);
    }
    if (a->max_running) uf_text_add(script, "%%%d", a->max_running);
}

static void add_shell_word(UfText* script, const char* word) {
    uf_text_add(script, "'");
    for (; *word; word++) uf_text_add(script, *word == '\'' ? "'\\''" : "%c", *word);
    uf_text_add(script, "'");
}

// The log's name is a pattern: a % of the folder is doubled; a backslash would end all replacement.
static UfStatus add_output(UfText* script, const char* log_folder) {
    char folder[4096], pattern[2 * sizeof folder + 32];
    size_t n = 0;
    if (!realpath(log_folder, folder)) return UF_FAIL(UF_ERR_IO, "%s: %s", log_folder, strerror(errno));
    for (const char* c = folder; *c; c++) {
        if (*c == '\\' || iscntrl((unsigned char)*c))
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "%s: sbatch takes no folder with a backslash or a control character in its name",
                           uf_one_line(folder));
        if (*c == '%') pattern[n++] = '%';
        pattern[n++] = *c;
    }
    memcpy(pattern + n, "/task_%a.txt", 13);
    uf_text_add(script, "#SBATCH --open-mode=append --output");
    add_word(script, pattern);
    uf_text_add(script, "\n");
    return UF_OK;
}

static UfStatus add_header(UfText* script, const UfSlurmArray* a) {
    uf_text_add(script, "#!/bin/bash\n#SBATCH --job-name");
    add_word(script, a->name);
    uf_text_add(script, "\n#SBATCH --array=");
    add_indices(script, a);
    uf_text_add(script, "\n#SBATCH --requeue --signal=B:USR1@%d\n", a->grace_seconds);
    if (a->cores) uf_text_add(script, "#SBATCH --cpus-per-task=%d\n", a->cores);
    UF_TRY(add_output(script, a->log_folder));
    return add_options(script, a->options);
}

// A second signal of a kind would end the command at once, hence `asked`, and hence TERM is not passed on: scancel
// sends it to every process of a task. `wait` ends early when a signal comes. A task that is asked to stop when it has
// hardly begun has a time limit in which it gets nowhere: it would be queued for ever.
static const char body[] =
    "asked=\n"
    "trap '[ \"$asked\" ] || kill -USR1 $! 2>/dev/null; asked=yes' USR1\n"
    "trap : TERM\n"
    "\"${command[@]}\" \"$SLURM_ARRAY_TASK_ID\" </dev/null &\n"
    "while kill -0 $! 2>/dev/null; do wait $!; done\n"
    "wait $!\n"
    "status=$?\n"
    "if [ ! \"$asked\" ] || [ $status != $((128 + $(kill -l USR1))) ]; then exit $status; fi\n"
    "if [ $SECONDS -lt $grace ]; then\n"
    "    echo \"error: asked to stop after $SECONDS of $grace seconds: --time is too short; give more\" >&2\n"
    "    exit $status\n"
    "fi\n"
    "echo \"the time limit is near: back into the queue\"\n"
    "scontrol requeue \"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\" || exit $status\n";

static UfStatus write_script(const UfSlurmArray* a) {
    UfText script = {0};
    char* text;
    UfStatus status = add_header(&script, a);
    uf_text_add(&script, "cd ");
    add_shell_word(&script, a->work_folder);
    uf_text_add(&script, " || exit 1\ncommand=(");
    for (int i = 0; a->command[i]; i++) {
        if (i) uf_text_add(&script, " ");
        add_shell_word(&script, a->command[i]);
    }
    uf_text_add(&script, ")\ngrace=%d\n%s", a->grace_seconds, body);
    if (status != UF_OK) {
        uf_free(script.data);
        return status;
    }
    UF_TRY(uf_text_finish(&script, &text));
    status = uf_write_file(a->script, text, strlen(text));
    uf_free(text);
    return status;
}

// ---- state ----

typedef enum Phase { PENDING, RUNNING, DONE, DIED } Phase;

// A state that is not known counts as running: better to wait than to train twice.
static Phase phase_of(const char* state) {
    static const char* const pending[] = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
                                          "SPECIAL_EXIT"};
    static const char* const died[] = {"BOOT_FAIL", "CANCELLED",     "DEADLINE",  "FAILED",
                                       "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"};
    if (!strcmp(state, "COMPLETED")) return DONE;
    for (size_t i = 0; i < sizeof pending / sizeof pending[0]; i++)
        if (!strcmp(state, pending[i])) return PENDING;
    for (size_t i = 0; i < sizeof died / sizeof died[0]; i++)
        if (!strcmp(state, died[i])) return DIED;
    return RUNNING;
}

// A line "index|state|reason" of squeue.
static UfStatus count_task(const char* line, UfSlurmState* s) {
    int index;
    char state[32], reason[64];
    if (sscanf(line, "%d|%31[^|\n]|%63[^\n]", &index, state, reason) != 3)
        return UF_FAIL(UF_ERR_FORMAT, "squeue: said \"%.*s\"; expected index|state|reason",
                       (int)strcspn(line, "\n"), line);
    switch (phase_of(state)) {
        case PENDING:
            if (!s->num_pending++) memcpy(s->reason, reason, sizeof s->reason);
            break;
        case RUNNING: s->num_running++; break;
        case DONE: break;
        case DIED:
            s->num_died++;
            s->died = index;
            memcpy(s->how, state, sizeof s->how);
            break;
    }
    return UF_OK;
}

static bool forgotten(const Tool* t) { return strstr(t->complaint.data, "Invalid job id specified"); }

static UfStatus count_tasks(const Tool* t, UfSlurmState* state) {
    if (!went_well(t)) return forgotten(t) ? UF_OK : fail_tool(t);
    const char* line = t->output.data;
    for (; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (*line != '\n') UF_TRY(count_task(line, state));
    return UF_OK;
}

static void pause_until(double end, const volatile sig_atomic_t* stop) {
    while (uf_now() < end && !asked_to_stop(stop)) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

// ---- API ----

static UfStatus take_id(const Tool* t, char id[UF_SLURM_ID_BYTES]) {
    const char* said = t->output.data;
    size_t length = strspn(said, "0123456789");
    if (!length || length >= UF_SLURM_ID_BYTES || said[length + strspn(said + length, "\n")])
        return UF_FAIL(UF_ERR_FORMAT, "sbatch: said \"%.*s\"; expected the number of a job",
                       (int)strcspn(said, "\n"), said);
    snprintf(id, UF_SLURM_ID_BYTES, "%.*s", (int)length, said);
    return UF_OK;
}

UfStatus uf_slurm_submit(const UfSlurmArray* array, char id[UF_SLURM_ID_BYTES]) {
    char script[4096];
    Tool tool;
    id[0] = 0;
    UF_TRY(write_script(array));
    if (!realpath(array->script, script)) return UF_FAIL(UF_ERR_IO, "%s: %s", array->script, strerror(errno));
    const char* const arguments[] = {"sbatch", "--parsable", script, NULL};  // a whole path is no option
    UfStatus status = run_tool(&tool, arguments);
    if (status == UF_OK) status = went_well(&tool) ? take_id(&tool, id) : fail_tool(&tool);
    if (status == UF_ERR_IO && strstr(uf_error(), "Invalid job array specification"))
        status = UF_FAIL(status,
                         "%s (task %d of an array; Slurm's MaxArraySize bounds it, see scontrol show config)",
                         uf_error(), array->tasks[array->num_tasks - 1]);
    free_tool(&tool);
    return status == UF_ERR_IO ? uf_fail_prefix(status, array->script) : status;
}

UfStatus uf_slurm_state(const char* id, UfSlurmState* state) {
    char user[32];
    snprintf(user, sizeof user, "--user=%u", (unsigned)getuid());  // numbers are given again after a while
    const char* const arguments[] = {"squeue", "--noheader",        "--array", "--states=all", user, "--jobs",
                                     id,       "--format=%K|%T|%r", NULL};
    Tool tool;
    *state = (UfSlurmState){.num_died = 0};
    UfStatus status = run_tool(&tool, arguments);
    if (status == UF_OK) status = count_tasks(&tool, state);
    free_tool(&tool);
    return status;
}

UfStatus uf_slurm_wait(const char* id, const volatile sig_atomic_t* stop, UfSlurmPollFn* on_poll,
                       void* user) {
    double answered = uf_now(), pause = least_poll_seconds;
    UfSlurmState state = {.num_died = 0};
    for (;;) {
        if (asked_to_stop(stop)) return UF_FAIL(UF_ERR_STOPPED, "job %s is left alone", id);
        UfSlurmState now;
        UfStatus status = uf_slurm_state(id, &now);
        if (status == UF_OK) {
            answered = uf_now();
            if (!now.num_died) {  // Slurm forgets them; the caller must not
                now.num_died = state.num_died;
                now.died = state.died;
                memcpy(now.how, state.how, sizeof now.how);
            }
            state = now;
            if (on_poll) UF_TRY(on_poll(user, &state));
            if (!state.num_pending && !state.num_running) return UF_OK;
        } else if (status != UF_ERR_IO || uf_now() - answered > PATIENCE_SECONDS) {
            return status;
        }
        pause_until(uf_now() + pause, stop);
        pause = pause * 1.5 < largest_poll_seconds ? pause * 1.5 : largest_poll_seconds;
    }
}

UfStatus uf_slurm_cancel(const char* id) {
    const char* const arguments[] = {"scancel", id, NULL};
    Tool tool;
    UfStatus status = run_tool(&tool, arguments);
    if (status == UF_OK && !went_well(&tool) && !forgotten(&tool)) status = fail_tool(&tool);
    free_tool(&tool);
    return status;
}
