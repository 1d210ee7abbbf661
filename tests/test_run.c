// test_run.c: evaluation beside training: same files as between updates, also of runs that are stopped, killed or
// fail on the way; finished runs; simulations that diverge in online training.
//
// The linker puts the __wrap_ functions below between core/runs/run.c and what it calls: they know which thread makes a
// step of an environment and how far training is, and can hold, fail or kill there.
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/agents/agent.h"
#include "core/agents/evaluate.h"
#include "core/config.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/runs/collect.h"
#include "core/runs/online.h"
#include "core/runs/run.h"

// ---- between training and evaluation ----

static struct {           // what to do; all zero: nothing
    int64_t hold;         // evaluations beside training wait until it is so many updates ahead of their start
    int64_t kill_at;      // and once it is at this update the process dies in the middle of one
    int64_t stop_at;      // training asks to stop at this update
    int64_t fail_from;    // an evaluation that begins at this update or later fails
    bool diverge_beside;  // the first step of every evaluation beside training diverges
    int64_t diverge[3];   // these steps of the training thread's environment diverge
    void (*at_update)(int64_t update);
} plan;

static pthread_t trainer;
static _Atomic int64_t trained;       // the latest update
static _Atomic int64_t steps_beside;  // environment steps on other threads
static int64_t steps_here;            // and on this one
static _Atomic int64_t seen_ahead;    // the most updates that training made during one evaluation
static _Atomic int num_late;          // evaluations that were held in vain
static volatile sig_atomic_t stop;
static int64_t began_at;  // update that the latest evaluation beside training is of

static bool is_beside(void) { return !pthread_equal(pthread_self(), trainer); }

typedef struct Hook {
    UfUpdateFn* on_update;
    void* user;
} Hook;

static int hooked_update(void* user, UfAgent* agent, int64_t update) {
    const Hook* hook = user;
    atomic_store(&trained, update);
    if (plan.at_update) plan.at_update(update);
    if (update == plan.stop_at) stop = 1;
    return hook->on_update ? hook->on_update(hook->user, agent, update) : 0;
}

UfStatus __real_uf_train(UfAgent* agent, const UfDataset* dataset, int64_t num_updates, UfUpdateFn* on_update,
                         void* user);
UfStatus __wrap_uf_train(UfAgent* agent, const UfDataset* dataset, int64_t num_updates, UfUpdateFn* on_update,
                         void* user) {
    Hook hook = {on_update, user};
    return __real_uf_train(agent, dataset, num_updates, hooked_update, &hook);
}

UfStatus __real_uf_evaluate_start(UfEvaluating** out, const UfPolicy* policy, const UfEnvSpec* spec,
                                  int64_t num_episodes, int workers, uint64_t seed, bool deterministic,
                                  UfPool* pool);
UfStatus __wrap_uf_evaluate_start(UfEvaluating** out, const UfPolicy* policy, const UfEnvSpec* spec,
                                  int64_t num_episodes, int workers, uint64_t seed, bool deterministic,
                                  UfPool* pool) {
    began_at = atomic_load(&trained);
    return __real_uf_evaluate_start(out, policy, spec, num_episodes, workers, seed, deterministic, pool);
}

UfStatus __real_uf_env_create(UfEnv** out, const char* name);
UfStatus __wrap_uf_env_create(UfEnv** out, const char* name) {
    if (is_beside() && plan.fail_from && began_at >= plan.fail_from) {
        *out = NULL;
        return UF_FAIL(UF_ERR_MEMORY, "the evaluation has no room");
    }
    return __real_uf_env_create(out, name);
}

// Waits until training has come so far, or as far as it gets: a minute is for a machine that is very busy.
static void wait_until_trained(int64_t update) {
    for (int i = 0; atomic_load(&trained) < update && i < 60000; i++) usleep(1000);
    if (atomic_load(&trained) < update) atomic_fetch_add(&num_late, 1);
}

static bool diverges(int64_t step) {
    for (int i = 0; i < 3; i++)
        if (plan.diverge[i] && plan.diverge[i] == step) return true;
    return false;
}

void __real_uf_env_step(UfEnv* env, const float* action, float* obs, double* reward, bool* terminated,
                        bool* truncated);
void __wrap_uf_env_step(UfEnv* env, const float* action, float* obs, double* reward, bool* terminated,
                        bool* truncated) {
    const bool beside = is_beside(), first = env->steps == 0;
    if (beside) {
        atomic_fetch_add(&steps_beside, 1);
        if (plan.hold && !atomic_load(&num_late)) wait_until_trained(began_at + plan.hold);
        if (plan.kill_at && atomic_load(&trained) >= plan.kill_at) raise(SIGKILL);
        int64_t ahead = atomic_load(&trained) - began_at;
        if (ahead > atomic_load(&seen_ahead)) atomic_store(&seen_ahead, ahead);
    } else {
        steps_here++;
    }
    __real_uf_env_step(env, action, obs, reward, terminated, truncated);
    if (beside ? !(plan.diverge_beside && first) : !diverges(steps_here)) return;
    env->diverged = *terminated = true;  // as core/envs/mujoco.c says it: something finite, but not the next state
    *reward = 0;
    for (int i = 0; i < uf_env_spec(env)->obs_dim; i++) obs[i] = 0;
}

// ---- runs ----

typedef struct Heard {
    int64_t updates[64];  // of the INTERVAL events
    int num_updates, num_foreign;
    char notes[2048];
} Heard;

static void on_progress(void* user, const UfRunEvent* event) {
    Heard* heard = user;
    heard->num_foreign += is_beside();
    if (event->kind == UF_RUN_INTERVAL) {
        assert_true(heard->num_updates < 64 && event->num_metrics > 0 && isfinite(event->values[0]));
        heard->updates[heard->num_updates++] = event->update;
    }
    if (event->kind == UF_RUN_NOTE) {
        strncat(heard->notes, event->text, sizeof heard->notes - strlen(heard->notes) - 2);
        strcat(heard->notes, "\n");
    }
}

static const char* dataset(void) {
    static char path[192];
    if (path[0]) return path;
    strcpy(path, in_folder("pendulum.hdf5"));
    UfCollectOptions options = {
        .env = "pendulum", .policy = "random", .num_steps = 600, .num_threads = 1, .output = path};
    assert_ok(uf_collect(&options));
    return path;
}

// 100 updates, a log line each 20, a checkpoint each 30.
static UfConfig* small_config(bool online, int eval_threads) {
    UfConfig* c;
    assert_ok(uf_config_create(&c));
    assert_ok(uf_config_set(c, "env", "pendulum"));
    if (!online) assert_ok(uf_config_set(c, "dataset", dataset()));
    c->online = online;
    c->start_steps = 250;
    c->batch_size = 16;
    c->actor_layer_width = c->critic_layer_width = 16;
    c->actor_num_layers = c->critic_num_layers = 2;
    c->num_updates = 100;
    c->eval_interval = 20;
    c->checkpoint_interval = 30;
    c->eval_workers = 3;
    c->eval_final_episodes = 4;
    c->num_threads = 1;
    c->eval_threads = eval_threads;
    c->medium_score = -1000;  // the first evaluation
    return c;
}

static UfStatus run(const UfConfig* config, const char* name, bool resume, Heard* heard,
                    UfRunResult* result) {
    char path[192];
    Heard unheard = {.num_updates = 0};
    UfRunResult unused;
    snprintf(path, sizeof path, "%s", in_folder(name));
    if (!heard) heard = &unheard;
    *heard = unheard;
    stop = 0;
    steps_here = 0;
    atomic_store(&trained, 0);
    atomic_store(&steps_beside, 0);
    atomic_store(&seen_ahead, 0);
    atomic_store(&num_late, 0);
    UfRunOptions options = {.config = config,
                            .out = resume ? NULL : path,
                            .resume = resume ? path : NULL,
                            .stop = &stop,
                            .on_progress = on_progress,
                            .user = heard};
    UfStatus status = uf_run_train(&options, result ? result : &unused);
    assert_int_equal(heard->num_foreign, 0);
    assert_int_equal(atomic_load(&num_late), 0);
    return status;
}

static UfStatus run_and_free(UfConfig* config, const char* name, bool resume) {
    UfStatus status = run(config, name, resume, NULL, NULL);
    uf_config_free(config);
    return status;
}

// The text of log.jsonl or log.csv without the two columns of the clock.
static char* log_of(const char* name, const char* file) {
    char path[256], *data, *to;
    size_t num_bytes;
    const bool json = strstr(file, "jsonl") != NULL;
    snprintf(path, sizeof path, "%s/%s", in_folder(name), file);
    assert_ok(uf_read_file(path, &data, &num_bytes));
    to = data;
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        char* rest = strchr(line, ',');
        size_t head = (size_t)(rest - line);
        for (int i = 0; i < 2; i++) rest = strchr(rest + 1, ',');
        assert_true(!json || !strncmp(line, "{\"update\"", 9));
        memmove(to, line, head);
        memmove(to + head, rest, (size_t)(end + 1 - rest));
        to += head + (size_t)(end + 1 - rest);
    }
    *to = 0;
    return data;
}

static void assert_same_log(const char* a, const char* b, const char* file) {
    char *in_a = log_of(a, file), *in_b = log_of(b, file);
    assert_string_equal(in_a, in_b);
    uf_free(in_a);
    uf_free(in_b);
}

// All that training goes on from, and what comes out. The configurations of two runs may differ in threads.
static void assert_same_run(const char* a, const char* b, bool online) {
    static const struct {
        const char *name, *prefix;
        bool online;
    } files[] = {{"checkpoint.h5", "value/", false}, {"checkpoint.h5", "adam_", false},
                 {"checkpoint.h5", "metric", false}, {"final.h5", "", false},
                 {"buffer.hdf5", "", true},          {"medium.h5", "value/", true},
                 {"best.h5", "value/", true},        {"best.h5", "metric", true}};
    const char* build = getenv("BUILD");
    assert_same_log(a, b, "log.jsonl");
    assert_same_log(a, b, "log.csv");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char command[600];
        if (files[i].online && !online) continue;
        snprintf(command, sizeof command, "%s/tests/same_h5 %s/%s %s/%s %s", build ? build : "build",
                 in_folder(a), files[i].name, in_folder(b), files[i].name, files[i].prefix);
        if (system(command) != 0) fail_msg("%s", command);
    }
}

static int64_t updates_in(const char* name, const char* file) {
    char path[256];
    UfH5 h5;
    double updates = 0;
    snprintf(path, sizeof path, "%s/%s", in_folder(name), file);
    if (access(path, F_OK) != 0) return 0;
    assert_ok(uf_h5_open(&h5, path));
    assert_ok(uf_h5_read_number(&h5, "/", "num_updates", &updates));
    assert_ok(uf_h5_close(&h5));
    return (int64_t)updates;
}

static int lines_in(const char* name) {
    char* text = log_of(name, "log.jsonl");
    int lines = 0;
    for (char* c = text; *c; c++) lines += *c == '\n';
    uf_free(text);
    return lines;
}

// A run between updates to compare with.
static const char* straight(bool online) {
    static bool made[2];
    const char* name = online ? "straight_online" : "straight";
    memset(&plan, 0, sizeof plan);
    if (!made[online]) assert_ok(run_and_free(small_config(online, 0), name, false));
    made[online] = true;
    return name;
}

// ---- tests ----

static void test_same_files(void** state) {
    (void)state;
    static const int64_t updates[] = {20, 40, 60, 80, 100};
    for (int online = 0; online < 2; online++) {
        const char* reference = straight(online);
        for (int threads = 1; threads <= 2; threads++) {
            char name[32];
            Heard heard;
            UfConfig* c = small_config(online, threads);
            snprintf(name, sizeof name, "beside%d%d", online, threads);
            plan.hold = 7;  // proves that training goes on meanwhile
            assert_ok(run(c, name, false, &heard, NULL));
            assert_true(atomic_load(&steps_beside) >= 3 * 200);
            assert_true(atomic_load(&seen_ahead) >= 7);
            assert_int_equal(heard.num_updates, 5);
            assert_memory_equal(heard.updates, updates, sizeof updates);
            assert_same_run(reference, name, online);
            uf_config_free(c);
        }
    }
    assert_int_not_equal(access(in_folder("beside11/candidate.h5"), F_OK), 0);
}

// A checkpoint never knows of an update whose log line is not written.
static const char* watched;
static int64_t oldest;

static void watch_checkpoint(int64_t update) {
    const int64_t saved = updates_in(watched, "checkpoint.h5");
    if (saved) assert_true(lines_in(watched) >= saved / 20);
    if (update - saved > oldest) oldest = update - saved;
}

static void test_order(void** state) {
    (void)state;
    straight(false);
    UfConfig* c = small_config(false, 1);
    plan.hold = 12;
    plan.at_update = watch_checkpoint;
    watched = "watched";
    oldest = 0;
    assert_ok(run(c, watched, false, NULL, NULL));
    assert_same_run(straight(false), watched, false);
    assert_true(oldest > 30 && oldest <= 60);  // that of 60 waited for the evaluation

    // Where evaluations take as long as intervals, checkpoints come one interval late, not never.
    c->checkpoint_interval = 20;
    plan.hold = 19;
    plan.at_update = watch_checkpoint;
    watched = "slow";
    oldest = 0;
    assert_ok(run(c, watched, false, NULL, NULL));
    assert_same_run(straight(false), watched, false);
    assert_true(oldest <= 40);
    uf_config_free(c);
}

static void test_stop(void** state) {
    (void)state;
    for (int online = 0; online < 2; online++) {
        const char *reference = straight(online), *name = online ? "stopped_online" : "stopped";
        plan.hold = 5;
        plan.stop_at = 25;
        assert_int_equal(run_and_free(small_config(online, 1), name, false), UF_ERR_STOPPED);
        assert_int_equal(lines_in(name), 1);  // the evaluation under way was waited for
        assert_int_equal(updates_in(name, "checkpoint.h5"), 25);
        plan.stop_at = 60;  // when one would begin
        assert_int_equal(run_and_free(small_config(online, 1), name, true), UF_ERR_STOPPED);
        assert_int_equal(lines_in(name), 3);
        assert_int_equal(updates_in(name, "checkpoint.h5"), 60);
        plan.stop_at = 0;
        assert_ok(run_and_free(small_config(online, 1), name, true));
        assert_same_run(reference, name, online);
    }
}

static void test_failure(void** state) {
    (void)state;
    const char* reference = straight(false);
    plan.fail_from = 60;
    assert_int_equal(run_and_free(small_config(false, 2), "failed", false), UF_ERR_MEMORY);
    assert_string_equal(uf_error(), "the evaluation has no room");
    assert_int_equal(lines_in("failed"), 2);
    assert_true(updates_in("failed", "checkpoint.h5") < 60);
    plan.fail_from = 0;
    assert_ok(run_and_free(small_config(false, 2), "failed", true));
    assert_same_run(reference, "failed", false);
}

// This program again, to be killed in the middle of an evaluation beside training.
static char program[256];

static void killed_child(bool online, const char* name, int64_t update) {
    plan.hold = 5;
    plan.kill_at = update;
    run_and_free(small_config(online, 1), name, access(in_folder(name), F_OK) == 0);
}

static void kill_run(bool online, const char* name, int64_t update) {
    char at[32];
    int status;
    snprintf(at, sizeof at, "%lld", (long long)update);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(program, program, "killed", folder, online ? "online" : "offline", name, at, (char*)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed(void** state) {
    (void)state;
    for (int online = 0; online < 2; online++) {
        const char *reference = straight(online), *name = online ? "killed_online" : "killed";
        kill_run(online, name, 25);  // before any checkpoint
        assert_int_equal(updates_in(name, "checkpoint.h5"), 0);
        kill_run(online, name, 65);  // while the checkpoint of 60 waits for the evaluation of 60
        assert_true(updates_in(name, "checkpoint.h5") >= 30 && updates_in(name, "checkpoint.h5") < 60);
        kill_run(online, name, 45);
        assert_ok(run_and_free(small_config(online, 1), name, true));
        assert_same_run(reference, name, online);
    }
}

static struct stat stat_of(const char* name, const char* file) {
    char path[256];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", in_folder(name), file);
    assert_int_equal(stat(path, &info), 0);
    return info;
}

// A run that has ended is not evaluated again, unless something else is asked for.
static void test_finished(void** state) {
    (void)state;
    straight(false);
    for (int online = 0; online < 2; online++) {
        const char* name = online ? "finished_online" : "finished";
        UfConfig* c = small_config(online, 0);
        UfRunResult first, again;
        assert_ok(run(c, name, false, NULL, &first));
        const ino_t inode = stat_of(name, "final.h5").st_ino;  // each write makes a new file
        const ino_t checkpoint = stat_of(name, "checkpoint.h5").st_ino;
        c->num_threads = c->eval_threads = 2;
        assert_ok(run(c, name, true, NULL, &again));
        assert_true(steps_here <= 200 && atomic_load(&steps_beside) == 0);  // online replays one episode
        assert_true(again.num_episodes == 4 && again.mean_return == first.mean_return &&
                    again.stderr_return == first.stderr_return && again.mean_score == first.mean_score &&
                    again.stderr_score == first.stderr_score && again.has_chart == first.has_chart);
        assert_string_equal(again.env, "Pendulum-v1");
        assert_true(stat_of(name, "final.h5").st_ino == inode);
        assert_true(stat_of(name, "checkpoint.h5").st_ino == checkpoint);
        c->num_threads = 1;
        c->eval_final_episodes = 5;
        assert_ok(run(c, name, true, NULL, &again));
        assert_true(again.num_episodes == 5 && stat_of(name, "final.h5").st_ino != inode);

        char path[256];  // a broken file is no result
        snprintf(path, sizeof path, "%s/final.h5", in_folder(name));
        assert_int_equal(truncate(path, 100), 0);
        assert_ok(run(c, name, true, NULL, &again));
        assert_true(again.num_episodes == 5 && stat_of(name, "final.h5").st_size > 100);
        uf_config_free(c);
    }
}

// ---- simulations that diverge ----

static void test_diverged_evaluation(void** state) {
    (void)state;
    Heard heard;
    straight(false);
    UfConfig* c = small_config(false, 1);
    plan.diverge_beside = true;
    assert_ok(run(c, "diverged_evaluation", false, &heard, NULL));
    const char* first = strstr(heard.notes, "the simulation diverged in 3 episodes; each ended there\n");
    assert_non_null(first);
    char* log = log_of("diverged_evaluation", "log.jsonl");
    assert_non_null(strstr(log, "\"eval_return\": 0, "));
    assert_non_null(strstr(log, "\"eval_length\": 1,"));
    uf_free(log);
    uf_config_free(c);
}

// Rows 119 (of 250 random ones) and 299 fail at first: that leaves no trace but the end of their episodes.
static void test_diverged_online(void** state) {
    (void)state;
    static const int64_t ends[] = {118, 298};
    Heard heard;
    UfDataset* buffer;
    char command[512];
    straight(true);
    UfConfig* c = small_config(true, 0);
    c->eval_interval = 100;  // at the end: no steps of evaluations are counted before
    plan.diverge[0] = 120;
    plan.diverge[1] = 301;
    assert_ok(run(c, "diverged", false, &heard, NULL));
    assert_non_null(strstr(heard.notes, "the simulation diverged in training, 1 times so far"));
    assert_non_null(strstr(heard.notes, "the simulation diverged in training, 2 times so far"));
    assert_ok(uf_dataset_open(&buffer, in_folder("diverged/buffer.hdf5"), NULL));
    assert_int_equal(buffer->num_rows, uf_online_steps(c, 100));
    assert_int_equal(buffer->num_terminals, 0);
    assert_int_equal(buffer->num_timeouts, 2);
    int num_ends = 0;
    for (int64_t i = 0; i < buffer->num_rows; i++) {
        const float *record = buffer->records + i * buffer->stride, *next = buffer->next_obs + 3 * i;
        assert_true(fabsf(hypotf(next[0], next[1]) - 1) < 1e-3f);  // cos, sin: not the zeros of the failure
        if (i == buffer->num_rows - 1 || !memcmp(next, record + buffer->stride, 3 * sizeof(float))) continue;
        assert_true(num_ends < 2);
        assert_int_equal(i, ends[num_ends++]);
    }
    assert_int_equal(num_ends, 2);
    uf_dataset_free(buffer);

    // Stopped before the second failure, and resumed: the step is made again and fails again.
    plan.stop_at = 49;
    assert_int_equal(run(c, "diverged_stopped", false, NULL, NULL), UF_ERR_STOPPED);
    snprintf(command, sizeof command, "cp -r %s %s", in_folder("diverged_stopped"),
             in_folder("diverged_known"));
    assert_int_equal(system(command), 0);
    plan.stop_at = 0;
    memset(plan.diverge, 0, sizeof plan.diverge);
    plan.diverge[0] = 299 - 119 + 1;  // after the replay of that episode
    assert_ok(run(c, "diverged_stopped", true, NULL, NULL));
    assert_same_run("diverged", "diverged_stopped", true);
    // Killed between buffer and checkpoint: the buffer knows of the failure already.
    snprintf(command, sizeof command, "cp %s %s", in_folder("diverged/buffer.hdf5"),
             in_folder("diverged_known"));
    assert_int_equal(system(command), 0);
    plan.diverge[0] = 0;
    assert_ok(run(c, "diverged_known", true, NULL, NULL));
    assert_same_run("diverged", "diverged_known", true);

    // Nothing helps where an episode fails at once.
    plan.diverge[0] = 260;
    plan.diverge[1] = 261;
    assert_int_equal(run(c, "diverged_twice", false, NULL, NULL), UF_ERR_NONFINITE);
    assert_error("Pendulum-v1: the simulation diverged at step 259, the first of an episode");
    uf_config_free(c);
}

int main(int num_arguments, char** arguments) {
    trainer = pthread_self();
    if (num_arguments == 6 && !strcmp(arguments[1], "killed")) {
        snprintf(folder, sizeof folder, "%s", arguments[2]);
        killed_child(!strcmp(arguments[3], "online"), arguments[4], atoll(arguments[5]));
        return 1;
    }
    snprintf(program, sizeof program, "%s", arguments[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_files),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_finished),
        cmocka_unit_test(test_diverged_evaluation),
        cmocka_unit_test(test_diverged_online),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
