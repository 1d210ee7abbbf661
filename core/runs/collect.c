// collect.c: datasets in D4RL layout from scripted controllers, checkpoints, and mixtures of them.
//
// Episodes run in rounds of ROUND, in parallel inside a round. LANES of them run in lockstep on one thread, so
// that a policy acts for all of them at once. The file is the same for any number of threads.
//
// Rooms: parts, one group of episodes, rows, all of them.
#include "core/runs/collect.h"

#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod
#include <string.h>

#include "core/agents/policy.h"
#include "core/data/dataset.h"
#include "core/envs/envs.h"
#include "core/runs/run_folder.h"

enum { LANES = 4, ROUND = 32, MAX_PARTS = 64 };
#define MEDIUM_SKILL 0.5
// Where a replay file ends: its average is medium then, and cloning Pendulum's scores 40 to 60.
#define REPLAY_SKILL 0.7

typedef struct Part {
    char* name;  // as given, "@mean" included
    double share;
    int script;  // index into scripts; NUM_SCRIPTS: a checkpoint
    UfPolicy* policy;
    bool mean;
    char path[UF_FOLDER_BYTES + 64], hash[65];  // of the checkpoint
} Part;

enum { RANDOM, MEDIUM, EXPERT, REPLAY, NUM_SCRIPTS };
static const char* const scripts[NUM_SCRIPTS] = {"random", "medium", "expert", "replay"};

typedef struct Episode {
    UfEnv* env;
    UfRandom random;
    double skill;
    int64_t length;
    bool done, terminated;
    float *obs, *actions, *rewards;  // rows for max_steps; obs one more
    float* env_action;               // (A)
} Episode;

typedef struct Group {  // LANES episodes
    UfStatus status;
    char* message;
    Episode* episodes;
    float *obs, *actions, *noise;  // (LANES, O of the policy), (LANES, A), (LANES, A)
} Group;

typedef struct Rows {  // the dataset as it grows
    int64_t count, capacity;
    float *obs, *actions, *rewards, *next_obs;
    uint8_t *terminals, *timeouts;
} Rows;

typedef struct Collect {
    const UfCollectOptions* options;
    const UfEnvSpec* spec;
    Part parts[MAX_PARTS];
    int num_parts;
    const Part* part;  // the present one
    uint64_t first_episode;
    Episode episodes[ROUND];
    Group groups[ROUND / LANES];
    Rows rows;
} Collect;

// ---- parts ----

static UfStatus load_checkpoint(Part* part, const UfEnvSpec* spec) {
    char name[UF_FOLDER_BYTES];
    static const char suffix[] = "@mean";
    size_t length = strlen(part->name), end = sizeof suffix - 1;
    bool marked = length > end && !strcmp(part->name + length - end, suffix);
    if (length >= sizeof name) return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the name is too long", part->name);
    snprintf(name, sizeof name, "%.*s", (int)(marked ? length - end : length), part->name);
    part->mean |= marked;
    UF_TRY(uf_run_checkpoint(name, part->path, sizeof part->path));
    UfStatus status = uf_sha256_file(part->path, part->hash);
    if (status != UF_OK && !strchr(name, '/'))
        return UF_FAIL(status, "%s; a policy is random, medium, expert, replay or a checkpoint", uf_error());
    UF_TRY(status);
    UF_TRY(uf_policy_load(&part->policy, part->path, 0));
    int obs_dim = uf_policy_obs_dim(part->policy), action_dim = uf_policy_action_dim(part->policy);
    if (uf_env_fits(spec, obs_dim, action_dim)) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT,
                   "%s: the policy has %d observations and %d actions, environment %s %d and %d", part->path,
                   obs_dim, action_dim, spec->name, spec->obs_dim, spec->action_dim);
}

static UfStatus add_part(Collect* c, const char* name, size_t length, double share) {
    if (c->num_parts == MAX_PARTS) return UF_FAIL(UF_ERR_ARGUMENT, "--mix has more than %d parts", MAX_PARTS);
    Part* part = &c->parts[c->num_parts++];
    *part = (Part){.share = share, .mean = c->options->mean};
    UF_TRY(UF_ALLOC(&part->name, length + 1, "the name of a policy"));
    memcpy(part->name, name, length);
    while (part->script < NUM_SCRIPTS && strcmp(scripts[part->script], part->name)) part->script++;
    return part->script == NUM_SCRIPTS ? load_checkpoint(part, c->spec) : UF_OK;
}

// "NAME:SHARE,NAME:SHARE"; a name may hold colons but no commas.
static UfStatus parse_mix(Collect* c, const char* mix) {
    double sum = 0;
    for (const char* item = mix;; item++) {
        const char* end = item + strcspn(item, ",");
        const char* colon = memrchr(item, ':', (size_t)(end - item));
        char* number_end = NULL;
        double share = colon ? strtod(colon + 1, &number_end) : 0;
        if (!colon || colon == item || number_end != end || !(share > 0 && share <= 1))
            return UF_FAIL(
                UF_ERR_ARGUMENT,
                "--mix: '%.*s' is not POLICY:SHARE with a share above 0 and at most 1, such as random:0.5",
                (int)(end - item), item);
        UF_TRY(add_part(c, item, (size_t)(colon - item), share));
        sum += share;
        item = end;
        if (!*item) break;
    }
    if (fabs(sum - 1) < 1e-6) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "--mix '%s': the shares add up to %.9g, expected 1", mix, sum);
}

static UfStatus read_parts(Collect* c) {
    const UfCollectOptions* o = c->options;
    if (!o->policy == !o->mix)
        return UF_FAIL(UF_ERR_ARGUMENT, "collecting needs either a policy or a mix of them%s",
                       o->mix ? ", not both" : "");
    return o->mix ? parse_mix(c, o->mix) : add_part(c, o->policy, strlen(o->policy), 1);
}

// ---- one group of episodes ----

static float clip(float x) { return fminf(fmaxf(x, -1), 1); }

// What a script does, in [-1, 1], or one-hot.
static UfStatus act_by_script(const UfEnvSpec* spec, Episode* e, const float* obs, float* action) {
    float middle = 0.5f * (spec->action_low + spec->action_high);
    float half = 0.5f * (spec->action_high - spec->action_low);
    UF_TRY(uf_env_controller(spec, e->env, obs, e->skill, &e->random, e->env_action));
    if (spec->discrete) {
        for (int i = 0; i < spec->action_dim; i++) action[i] = i == (int)e->env_action[0];
        return UF_OK;
    }
    for (int i = 0; i < spec->action_dim; i++) action[i] = clip((e->env_action[i] - middle) / half);
    return UF_OK;
}

// The policy's actions for all lanes; a lane that is done keeps its last observation.
static UfStatus act_by_policy(const Collect* c, Group* g) {
    const UfEnvSpec* spec = c->spec;
    const Part* part = c->part;
    int num_actions = spec->action_dim, num_obs = uf_policy_obs_dim(part->policy);
    for (int k = 0; k < LANES; k++) {
        Episode* e = &g->episodes[k];
        memcpy(g->obs + k * num_obs, e->obs + e->length * spec->obs_dim,
               (size_t)spec->obs_dim * sizeof(float));
        for (int i = 0; i < num_actions && !part->mean; i++)
            g->noise[k * num_actions + i] = uf_random_normal(&e->random);
    }
    return uf_policy_act_normalised(part->policy, g->actions, g->obs, LANES, part->mean ? NULL : g->noise);
}

static bool all_finite(const float* x, int count) {
    for (int i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

// The environment sees what the file says, scaled back: exactly the recorded action.
static UfStatus step_lane(const Collect* c, Group* g, int lane) {
    const UfEnvSpec* spec = c->spec;
    Episode* e = &g->episodes[lane];
    int num_actions = spec->action_dim;
    float* obs = e->obs + e->length * spec->obs_dim;
    float *action = e->actions + e->length * num_actions, *next_obs = obs + spec->obs_dim;
    double reward;
    bool truncated;
    if (c->part->policy)
        memcpy(action, g->actions + lane * num_actions, (size_t)num_actions * sizeof(float));
    else
        UF_TRY(act_by_script(spec, e, obs, action));
    for (int i = 0; i < num_actions; i++) {
        if (!isfinite(action[i])) action[i] = 0;  // as in evaluation
        if (c->options->noise > 0)
            action[i] = clip(action[i] + (float)c->options->noise * uf_random_normal(&e->random));
    }
    uf_env_scale_action(spec, action, e->env_action);
    for (int i = 0; spec->discrete && i < num_actions; i++)
        action[i] =
            i == (int)e->env_action[0];  // the policy may be a continuous one, whose largest number counts
    uf_env_step(e->env, e->env_action, next_obs, &reward, &e->terminated, &truncated);
    e->done = e->terminated || truncated;
    e->rewards[e->length] = (float)reward;
    if (all_finite(next_obs, spec->obs_dim) && isfinite(reward)) {
        e->length++;
    } else {  // a simulation that diverged: its last step is no data
        e->done = true;
        e->terminated = false;
    }
    return UF_OK;
}

static UfStatus run_group(const Collect* c, Group* g) {
    const uint64_t first = c->first_episode + (uint64_t)(g->episodes - c->episodes);
    for (int k = 0; k < LANES; k++) {
        Episode* e = &g->episodes[k];
        e->random = uf_random(c->options->seed, UF_STREAM_CONTROLLER, first + (uint64_t)k);
        e->length = 0;
        e->done = e->terminated = false;
        uf_env_reset(e->env, c->options->seed, first + (uint64_t)k, e->obs);
    }
    for (int running = LANES; running > 0;) {
        if (c->part->policy) UF_TRY(act_by_policy(c, g));
        running = 0;
        for (int k = 0; k < LANES; k++) {
            if (!g->episodes[k].done) UF_TRY(step_lane(c, g, k));
            running += !g->episodes[k].done;
        }
    }
    return UF_OK;
}

static void group_task(void* context, int task, int thread) {
    (void)thread;
    Collect* c = context;
    Group* g = &c->groups[task];
    g->status = run_group(c, g);
    if (g->status != UF_OK && uf_strdup(&g->message, uf_error()) != UF_OK) g->message = NULL;
}

// ---- rows ----

static UfStatus reserve(Collect* c) {
    const UfEnvSpec* spec = c->spec;
    Rows* rows = &c->rows;
    size_t n = (size_t)rows->capacity, steps = (size_t)spec->max_steps;
    size_t num_obs = (size_t)spec->obs_dim, num_actions = (size_t)spec->action_dim, policy_obs = num_obs;
    for (int i = 0; i < c->num_parts; i++)
        if (c->parts[i].policy && (size_t)uf_policy_obs_dim(c->parts[i].policy) > policy_obs)
            policy_obs = (size_t)uf_policy_obs_dim(c->parts[i].policy);
    UF_TRY(UF_ALLOC(&rows->obs, n * num_obs, "observations"));
    UF_TRY(UF_ALLOC(&rows->actions, n * num_actions, "actions"));
    UF_TRY(UF_ALLOC(&rows->rewards, n, "rewards"));
    UF_TRY(UF_ALLOC(&rows->terminals, n, "terminals"));
    UF_TRY(UF_ALLOC(&rows->timeouts, n, "timeouts"));
    if (c->options->next_observations) UF_TRY(UF_ALLOC(&rows->next_obs, n * num_obs, "next observations"));
    for (int i = 0; i < ROUND; i++) {
        Episode* e = &c->episodes[i];
        UF_TRY(uf_env_create(&e->env, spec->name));
        UF_TRY(UF_ALLOC(&e->obs, (steps + 1) * num_obs, "an episode"));
        UF_TRY(UF_ALLOC(&e->actions, steps * num_actions, "an episode"));
        UF_TRY(UF_ALLOC(&e->rewards, steps, "an episode"));
        UF_TRY(UF_ALLOC(&e->env_action, num_actions, "an episode"));
    }
    for (int i = 0; i < ROUND / LANES; i++) {
        Group* g = &c->groups[i];
        g->episodes = c->episodes + i * LANES;
        UF_TRY(UF_ALLOC(&g->obs, LANES * policy_obs, "episodes"));
        UF_TRY(UF_ALLOC(&g->actions, LANES * num_actions, "episodes"));
        UF_TRY(UF_ALLOC(&g->noise, LANES * num_actions, "episodes"));
    }
    return UF_OK;
}

static void release(Collect* c) {
    for (int i = 0; i < c->num_parts; i++) {
        uf_policy_free(c->parts[i].policy);
        uf_free(c->parts[i].name);
    }
    for (int i = 0; i < ROUND; i++) {
        Episode* e = &c->episodes[i];
        void* all[] = {e->obs, e->actions, e->rewards, e->env_action};
        for (int k = 0; k < 4; k++) uf_free(all[k]);
        if (e->env) uf_env_free(e->env);
    }
    for (int i = 0; i < ROUND / LANES; i++) {
        void* all[] = {c->groups[i].message, c->groups[i].obs, c->groups[i].actions, c->groups[i].noise};
        for (int k = 0; k < 4; k++) uf_free(all[k]);
    }
    Rows* rows = &c->rows;
    void* all[] = {rows->obs, rows->actions, rows->rewards, rows->next_obs, rows->terminals, rows->timeouts};
    for (int k = 0; k < 6; k++) uf_free(all[k]);
    uf_free(c);
}

static void copy_rows(float* to, const float* from, int64_t at, int64_t count, int columns) {
    if (to) memcpy(to + at * columns, from, (size_t)(count * columns) * sizeof(float));
}

// Appends an episode, cut where the dataset is full: that one then ends without a flag, as the last of D4RL's
// files do.
static void append(Rows* rows, const Episode* e, const UfEnvSpec* spec) {
    int64_t at = rows->count, space = rows->capacity - at;
    int64_t n = e->length < space ? e->length : space;
    if (n == 0) return;
    copy_rows(rows->obs, e->obs, at, n, spec->obs_dim);
    copy_rows(rows->next_obs, e->obs + spec->obs_dim, at, n, spec->obs_dim);
    copy_rows(rows->actions, e->actions, at, n, spec->action_dim);
    copy_rows(rows->rewards, e->rewards, at, n, 1);
    rows->count += n;
    if (n < e->length) return;
    if (e->terminated)
        rows->terminals[rows->count - 1] = 1;
    else
        rows->timeouts[rows->count - 1] = 1;
}

// ---- all of them ----

// A replay buffer grows from random upwards while its agent learns. The others keep one skill.
static double skill_of(int script, double progress) {
    switch (script) {
        case MEDIUM: return MEDIUM_SKILL;
        case EXPERT: return 1;
        case REPLAY: return REPLAY_SKILL * fmin(progress, 1);
        default: return 0;
    }
}

bool uf_collect_skill(const char* name, double* skill) {
    for (int script = 0; script < NUM_SCRIPTS; script++) {
        if (script == REPLAY || strcmp(scripts[script], name)) continue;
        *skill = skill_of(script, 0);
        return true;
    }
    return false;
}

// Rows of one part, up to the first whole episode that reaches `end`.
static UfStatus collect_part(Collect* c, int64_t end, UfPool* pool) {
    Rows* rows = &c->rows;
    const int64_t start = rows->count;
    if (start >= end)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "--mix: nothing is left for '%s' of %lld steps, as parts hold whole episodes; raise --steps",
            c->part->name, (long long)rows->capacity);
    while (rows->count < end) {
        const int64_t before = rows->count;
        for (int i = 0; i < ROUND; i++) {
            double reached = (double)(rows->count - start) + (double)i * c->spec->max_steps;
            c->episodes[i].skill = skill_of(c->part->script, reached / (double)(end - start));
        }
        uf_pool_run(pool, ROUND / LANES, group_task, c);
        for (int i = 0; i < ROUND / LANES; i++) {
            const Group* g = &c->groups[i];
            if (g->status != UF_OK)
                return UF_FAIL(g->status, "%s", g->message ? g->message : "out of memory while collecting");
        }
        for (int i = 0; i < ROUND && rows->count < end; i++) append(rows, &c->episodes[i], c->spec);
        if (rows->count == before)
            return UF_FAIL(UF_ERR_NONFINITE, "%s: %d episodes in a row diverged at their first step",
                           c->spec->name, ROUND);
        c->first_episode += ROUND;
    }
    return UF_OK;
}

// The command that makes this file again, and what its checkpoints were.
static UfStatus recipe_of(const Collect* c, char** recipe) {
    const UfCollectOptions* o = c->options;
    UfText text = {0};
    uf_text_add(&text, "unifloral collect --env %s --%s %s --steps %lld --seed %llu", c->spec->alias,
                o->mix ? "mix" : "policy", o->mix ? o->mix : o->policy, (long long)o->num_steps,
                (unsigned long long)o->seed);
    if (o->mean) uf_text_add(&text, " --mean");
    if (o->noise > 0) uf_text_add(&text, " --noise %.9g", o->noise);
    if (o->next_observations) uf_text_add(&text, " --next-observations");
    for (int i = 0; i < c->num_parts; i++)
        if (c->parts[i].policy) uf_text_add(&text, "; SHA-256 of %s: %s", c->parts[i].path, c->parts[i].hash);
    return uf_text_finish(&text, recipe);
}

static UfStatus write_rows(const Collect* c) {
    const Rows* rows = &c->rows;
    char* recipe;
    UF_TRY(recipe_of(c, &recipe));
    UfDatasetWriter arrays = {.num_rows = rows->count,
                              .obs_dim = c->spec->obs_dim,
                              .action_dim = c->spec->action_dim,
                              .observations = rows->obs,
                              .actions = rows->actions,
                              .rewards = rows->rewards,
                              .next_observations = rows->next_obs,
                              .terminals = rows->terminals,
                              .timeouts = rows->timeouts,
                              .discrete = c->spec->discrete,
                              .env_id = c->spec->name,
                              .recipe = recipe,
                              .seed = &c->options->seed};
    UfStatus status = uf_dataset_write(c->options->output, &arrays);
    uf_free(recipe);
    return status;
}

static UfStatus collect_all(Collect* c, UfPool** pool) {
    const UfCollectOptions* o = c->options;
    double share = 0;
    UF_TRY(uf_check_output(o->output));
    UF_TRY(read_parts(c));
    UF_TRY(reserve(c));
    UF_TRY(uf_pool_create(pool, o->num_threads));
    for (int i = 0; i < c->num_parts; i++) {
        const bool last = i == c->num_parts - 1;
        c->part = &c->parts[i];
        c->first_episode = (uint64_t)i << 40;  // no two parts share an episode
        share += c->part->share;
        UF_TRY(collect_part(c, last ? o->num_steps : llround(share * (double)o->num_steps), *pool));
    }
    return write_rows(c);
}

UfStatus uf_collect(const UfCollectOptions* options) {
    const UfEnvSpec* spec;
    UF_TRY(uf_env_lookup(&spec, options->env));
    if (options->num_steps < 1 || options->num_steps > INT64_C(1) << 32)
        return UF_FAIL(UF_ERR_ARGUMENT, "%lld steps to collect; 1 to 2^32 can be",
                       (long long)options->num_steps);
    if (!(options->noise >= 0 && options->noise <= 1e3))
        return UF_FAIL(UF_ERR_ARGUMENT, "exploration noise of %g; 0 to 1000 can be", options->noise);
    if (spec->discrete && options->noise > 0)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "exploration noise of %g needs continuous actions, %s has discrete ones; mix in random "
            "episodes instead (--mix)",
            options->noise, spec->name);
    Collect* c;
    UfPool* pool = NULL;
    UF_TRY(UF_ALLOC(&c, 1, "collecting"));
    c->options = options;
    c->spec = spec;
    c->rows.capacity = options->num_steps;
    UfStatus status = collect_all(c, &pool);
    uf_pool_free(pool);
    release(c);
    return status;
}
