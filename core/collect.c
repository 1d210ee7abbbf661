// collect.c: `unifloral collect`: datasets in D4RL layout from the scripted controllers.
//
// Episodes run in rounds of ROUND, in parallel inside a round; what an episode does depends on the seed, its
// number and the rows collected before its round, so the file is the same for any number of threads.
#include <math.h>
#include <string.h>

#include "dataset.h"
#include "envs.h"

#define ROUND 32
#define MEDIUM_SKILL 0.5
// Where a replay file ends: its average is medium then, and cloning Pendulum's scores 40 to 60.
#define REPLAY_SKILL 0.7

static const char* const policy_names[] = {"random", "medium", "expert", "replay"};

typedef struct Episode {  // buffers for max_steps + 1 rows: the last is scratch
    UfStatus status;
    char* message;
    double skill;
    int64_t length;
    bool terminated;
    float *obs, *actions, *rewards;
} Episode;

typedef struct Round {
    const UfEnvSpec* spec;
    uint64_t seed, first_episode;
    Episode episodes[ROUND];
} Round;

typedef struct Rows {  // the dataset as it grows
    int64_t count, capacity;
    float *obs, *actions, *rewards;
    uint8_t *terminals, *timeouts;
} Rows;

// ---- one episode ----

static UfStatus run_episode(const Round* round, Episode* episode, uint64_t number) {
    const UfEnvSpec* spec = round->spec;
    int num_obs = spec->obs_dim, num_actions = spec->action_dim;
    float middle = 0.5f * (spec->action_low + spec->action_high);
    float half = 0.5f * (spec->action_high - spec->action_low);
    UfRandom random = uf_random(round->seed, UF_STREAM_CONTROLLER, number);
    bool terminated = false, truncated = false;
    UfStatus status = UF_OK;
    UfEnv* env;
    UF_TRY(uf_env_create(&env, spec->name));
    uf_env_reset(env, round->seed, number, episode->obs);
    for (episode->length = 0; !terminated && !truncated; episode->length++) {
        int64_t t = episode->length;
        float *obs = episode->obs + t * num_obs, *action = episode->actions + t * num_actions;
        float *next_obs = obs + num_obs, *env_action = action + num_actions;
        double reward;
        status = uf_env_controller(spec, env, obs, episode->skill, &random, env_action);
        if (status != UF_OK) break;
        // The environment sees what the file says, scaled back: exactly the recorded action.
        for (int i = 0; i < num_actions; i++)
            action[i] = fminf(fmaxf((env_action[i] - middle) / half, -1), 1);
        uf_env_scale_action(spec, action, env_action);
        uf_env_step(env, env_action, next_obs, &reward, &terminated, &truncated);
        episode->rewards[t] = (float)reward;
    }
    episode->terminated = terminated;
    uf_env_free(env);
    return status;
}

static void episode_task(void* context, int task, int thread) {
    (void)thread;
    Round* round = context;
    Episode* episode = &round->episodes[task];
    episode->status = run_episode(round, episode, round->first_episode + (uint64_t)task);
    if (episode->status != UF_OK && uf_strdup(&episode->message, uf_error()) != UF_OK)
        episode->message = NULL;
}

// ---- all of them ----

// A replay buffer grows from random upwards while its agent learns. The others keep one skill.
static double skill_of(UfCollectPolicy policy, double progress) {
    switch (policy) {
        case UF_COLLECT_RANDOM: return 0;
        case UF_COLLECT_MEDIUM: return MEDIUM_SKILL;
        case UF_COLLECT_EXPERT: return 1;
        default: return REPLAY_SKILL * fmin(progress, 1);
    }
}

// Appends an episode, cut where the dataset is full: that one then ends without a flag, as the last of D4RL's
// files do.
static void append(Rows* rows, const Episode* episode, const UfEnvSpec* spec) {
    int64_t at = rows->count, space = rows->capacity - at;
    int64_t n = episode->length < space ? episode->length : space;
    if (n == 0) return;
    memcpy(rows->obs + at * spec->obs_dim, episode->obs, (size_t)(n * spec->obs_dim) * sizeof(float));
    memcpy(rows->actions + at * spec->action_dim, episode->actions,
           (size_t)(n * spec->action_dim) * sizeof(float));
    memcpy(rows->rewards + at, episode->rewards, (size_t)n * sizeof(float));
    rows->count += n;
    if (n < episode->length) return;
    if (episode->terminated)
        rows->terminals[rows->count - 1] = 1;
    else
        rows->timeouts[rows->count - 1] = 1;
}

static UfStatus collect_rows(Rows* rows, Round* round, UfCollectPolicy policy, UfPool* pool) {
    const UfEnvSpec* spec = round->spec;
    while (rows->count < rows->capacity) {
        for (int i = 0; i < ROUND; i++) {
            double reached = (double)rows->count + (double)i * spec->max_steps;
            round->episodes[i].skill = skill_of(policy, reached / (double)rows->capacity);
        }
        uf_pool_run(pool, ROUND, episode_task, round);
        for (int i = 0; i < ROUND; i++) {
            const Episode* episode = &round->episodes[i];
            if (episode->status != UF_OK)
                return UF_FAIL(episode->status, "%s", episode->message ? episode->message : "out of memory");
            append(rows, episode, spec);
        }
        round->first_episode += ROUND;
    }
    return UF_OK;
}

static UfStatus reserve(Rows* rows, Round* round) {
    const UfEnvSpec* spec = round->spec;
    size_t n = (size_t)rows->capacity, steps = (size_t)spec->max_steps + 1;
    UF_TRY(UF_ALLOC(&rows->obs, n * (size_t)spec->obs_dim, "observations"));
    UF_TRY(UF_ALLOC(&rows->actions, n * (size_t)spec->action_dim, "actions"));
    UF_TRY(UF_ALLOC(&rows->rewards, n, "rewards"));
    UF_TRY(UF_ALLOC(&rows->terminals, n, "terminals"));
    UF_TRY(UF_ALLOC(&rows->timeouts, n, "timeouts"));
    for (int i = 0; i < ROUND; i++) {
        UF_TRY(UF_ALLOC(&round->episodes[i].obs, steps * (size_t)spec->obs_dim, "an episode"));
        UF_TRY(UF_ALLOC(&round->episodes[i].actions, steps * (size_t)spec->action_dim, "an episode"));
        UF_TRY(UF_ALLOC(&round->episodes[i].rewards, steps, "an episode"));
    }
    return UF_OK;
}

static UfStatus write_rows(const Rows* rows, const UfEnvSpec* spec, UfCollectPolicy policy, uint64_t seed,
                           const char* output) {
    UfText text = {0};
    char* recipe;
    uf_text_add(&text, "unifloral collect --env %s --policy %s --steps %lld --seed %llu", spec->alias,
                policy_names[policy], (long long)rows->count, (unsigned long long)seed);
    UF_TRY(uf_text_finish(&text, &recipe));
    UfDatasetWriter arrays = {.num_rows = rows->count,
                              .obs_dim = spec->obs_dim,
                              .action_dim = spec->action_dim,
                              .observations = rows->obs,
                              .actions = rows->actions,
                              .rewards = rows->rewards,
                              .terminals = rows->terminals,
                              .timeouts = rows->timeouts,
                              .env_id = spec->name,
                              .recipe = recipe};
    UfStatus status = uf_dataset_write(output, &arrays);
    uf_free(recipe);
    return status;
}

UfStatus uf_collect_scripted(const char* env_name, UfCollectPolicy policy, int64_t num_steps, uint64_t seed,
                             int num_threads, const char* output) {
    const UfEnvSpec* spec;
    UF_TRY(uf_env_lookup(&spec, env_name));
    if (spec->discrete)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "%s has discrete actions; discrete datasets come with the gridworld work", spec->name);
    if (num_steps < 1 || num_steps > INT64_C(1) << 32)
        return UF_FAIL(UF_ERR_ARGUMENT, "%lld steps to collect; 1 to 2^32 can be", (long long)num_steps);
    Rows rows = {.capacity = num_steps};
    Round* round = NULL;
    UfPool* pool = NULL;
    UfStatus status = UF_ALLOC(&round, 1, "a round of episodes");
    if (status == UF_OK) {
        round->spec = spec;
        round->seed = seed;
        status = reserve(&rows, round);
    }
    if (status == UF_OK) status = uf_pool_create(&pool, num_threads);
    if (status == UF_OK) status = collect_rows(&rows, round, policy, pool);
    if (status == UF_OK) status = write_rows(&rows, spec, policy, seed, output);
    uf_pool_free(pool);
    for (int i = 0; round && i < ROUND; i++) {
        void* all[] = {round->episodes[i].obs, round->episodes[i].actions, round->episodes[i].rewards,
                       round->episodes[i].message};
        for (int k = 0; k < 4; k++) uf_free(all[k]);
    }
    uf_free(round);
    void* all[] = {rows.obs, rows.actions, rows.rewards, rows.terminals, rows.timeouts};
    for (int k = 0; k < 5; k++) uf_free(all[k]);
    return status;
}
