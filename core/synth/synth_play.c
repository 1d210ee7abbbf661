// synth_play.c: synthetic environments behind the common interface, their best actions in the environment they stand for,
// and what a file is.
//
// Rooms: interface, playing, description.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/h5.h"
#include "core/synth/synth.h"

// ---- interface ----

typedef struct SynthEnv {
    UfEnv base;
    UfEnvSpec spec;
    const SeEnv* env;
    char name[160];
    float obs[UF_ENV_MAX_OBS];
} SynthEnv;

static void synth_reset(UfEnv* env, UfRandom* random) {
    SynthEnv* s = (SynthEnv*)env;
    const SeDraw draw = {.seed = random->seed, .first = random->update};
    se_reset(s->env, &draw, 1, s->obs);
}

static void synth_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    SynthEnv* s = (SynthEnv*)env;
    float r;
    uint8_t ended;
    se_transition(s->env, s->obs, action, s->obs, &r, &ended);
    *reward = r;
    *terminated = ended != 0;
}

static void synth_observe(const UfEnv* env, float* obs) {
    const SynthEnv* s = (const SynthEnv*)env;
    memcpy(obs, s->obs, (size_t)s->spec.obs_dim * sizeof *obs);
}

static void synth_get_state(const UfEnv* env, double* state) {
    const SynthEnv* s = (const SynthEnv*)env;
    for (int i = 0; i < s->spec.state_dim; i++) state[i] = (double)s->obs[i];
}

static void synth_set_state(UfEnv* env, const double* state) {
    SynthEnv* s = (SynthEnv*)env;
    for (int i = 0; i < s->spec.state_dim; i++) s->obs[i] = (float)state[i];
}

static const UfEnvOps synth_ops = {.reset = synth_reset,
                                   .step = synth_step,
                                   .observe = synth_observe,
                                   .get_state = synth_get_state,
                                   .set_state = synth_set_state};

UfStatus uf_synth_env_create(UfEnv** out, const SeEnv* env) {
    const SeOptions* o = se_options(env);
    SynthEnv* s;
    *out = NULL;
    if (o->obs_dim > UF_ENV_MAX_OBS)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "a synthetic environment of %d numbers of an observation; at most %d fit here",
                       o->obs_dim, UF_ENV_MAX_OBS);
    UF_TRY(UF_ALLOC(&s, 1, "a synthetic environment"));
    snprintf(s->name, sizeof s->name, "synthetic %s", o->eval_env);
    s->env = env;
    s->spec = (UfEnvSpec){.name = s->name,
                          .alias = s->name,
                          .obs_dim = o->obs_dim,
                          .action_dim = o->action_dim,
                          .discrete = o->discrete != 0,
                          .action_low = o->action_low,
                          .action_high = o->action_high,
                          .max_steps = o->max_steps,
                          .state_dim = o->obs_dim <= UF_ENV_MAX_STATE ? o->obs_dim : 0,
                          .ops = &synth_ops};
    s->base.spec = &s->spec;
    *out = &s->base;
    return UF_OK;
}

// ---- playing ----

UfStatus se_episode_create(SeEpisode* out, const UfEnvSpec* spec) {
    *out = (SeEpisode){.obs_dim = spec->obs_dim, .numbers = spec->discrete ? 1 : spec->action_dim};
    UF_TRY(UF_ALLOC(&out->obs, (int64_t)spec->max_steps * out->obs_dim, "states"));
    const UfStatus status = UF_ALLOC(&out->actions, (int64_t)spec->max_steps * out->numbers, "states");
    if (status != UF_OK) se_episode_free(out);
    return status;
}

void se_episode_free(SeEpisode* e) {
    uf_free(e->obs);
    uf_free(e->actions);
    *e = (SeEpisode){.num_steps = 0};
}

enum { SIDE = 32 };  // episodes side by side

// What a thread plays in.
typedef struct Table {
    UfEnv* envs[SIDE];
    int64_t episodes[SIDE];
    float *obs, *actions;  // (SIDE, O), (SIDE, numbers)
} Table;

typedef struct Playing {
    const SeEnv* env;
    const UfEnvSpec* spec;
    UfEvaluation* out;
    uint64_t seed;
    Table* tables;  // one a thread
    int num_tables, numbers;
    int64_t* num_diverged;  // one a task
} Playing;

static void play_task(void* context, int task, int thread) {
    const Playing* p = context;
    Table* t = &p->tables[thread];
    const size_t O = (size_t)p->spec->obs_dim, A = (size_t)p->numbers;
    const int64_t first = (int64_t)task * SIDE, left = p->out->num_episodes - first;
    int running = left < SIDE ? (int)left : SIDE;
    for (int i = 0; i < running; i++) {
        t->episodes[i] = first + i;
        uf_env_reset(t->envs[i], p->seed, (uint64_t)(first + i), t->obs + (size_t)i * O);
    }
    while (running) {
        se_best_actions(p->env, running, t->obs, t->actions);
        for (int i = running - 1; i >= 0; i--) {
            double reward;
            bool terminated, truncated;
            uf_env_step(t->envs[i], t->actions + (size_t)i * A, t->obs + (size_t)i * O, &reward, &terminated,
                        &truncated);
            p->out->returns[t->episodes[i]] += reward;
            p->out->lengths[t->episodes[i]]++;
            if (!terminated && !truncated) continue;
            p->num_diverged[task] += t->envs[i]->diverged;
            // the last one that runs takes its place
            UfEnv* env = t->envs[i];
            t->envs[i] = t->envs[--running];
            t->envs[running] = env;
            t->episodes[i] = t->episodes[running];
            memmove(t->obs + (size_t)i * O, t->obs + (size_t)running * O, O * sizeof *t->obs);
        }
    }
}

static UfStatus reserve(Playing* p, int num_tasks) {
    UF_TRY(UF_ALLOC(&p->out->returns, p->out->num_episodes, "returns"));
    UF_TRY(UF_ALLOC(&p->out->lengths, p->out->num_episodes, "lengths of episodes"));
    UF_TRY(UF_ALLOC(&p->num_diverged, num_tasks, "episodes"));
    UF_TRY(UF_ALLOC(&p->tables, p->num_tables, "environments"));
    for (int i = 0; i < p->num_tables; i++) {
        Table* t = &p->tables[i];
        UF_TRY(UF_ALLOC(&t->obs, SIDE * p->spec->obs_dim, "observations"));
        UF_TRY(UF_ALLOC(&t->actions, SIDE * p->numbers, "actions"));
        for (int k = 0; k < SIDE; k++) UF_TRY(uf_env_create(&t->envs[k], p->spec->name));
    }
    return UF_OK;
}

static void free_playing(Playing* p) {
    for (int i = 0; p->tables && i < p->num_tables; i++) {
        for (int k = 0; k < SIDE; k++) uf_env_free(p->tables[i].envs[k]);
        uf_free(p->tables[i].obs);
        uf_free(p->tables[i].actions);
    }
    uf_free(p->tables);
    uf_free(p->num_diverged);
}

UfStatus uf_synth_play(UfEvaluation* out, const UfEnvSpec** spec, const SeEnv* env, const char* name,
                       int64_t num_episodes, uint64_t seed, UfPool* pool) {
    const double start = uf_now();
    const int64_t num_tasks = (num_episodes + SIDE - 1) / SIDE;
    *out = (UfEvaluation){.num_episodes = num_episodes};
    if (num_episodes < 1 || num_tasks > INT32_MAX)
        return UF_FAIL(UF_ERR_ARGUMENT, "%lld episodes are to be played; expected at least 1",
                       (long long)num_episodes);
    if (!name) name = se_options(env)->eval_env;
    if (!name[0])
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "the synthetic environment stands for none that has a name; name one with --env NAME");
    UF_TRY(uf_env_lookup(spec, name));
    UF_TRY(uf_env_available(*spec));
    UF_TRY(se_check_fit(se_options(env), *spec));
    Playing p = {.env = env,
                 .spec = *spec,
                 .out = out,
                 .seed = seed,
                 .num_tables = uf_pool_num_threads(pool),
                 .numbers = (*spec)->discrete ? 1 : (*spec)->action_dim};
    const UfStatus status = reserve(&p, (int)num_tasks);
    if (status == UF_OK) {
        uf_pool_run(pool, (int)num_tasks, play_task, &p);
        for (int64_t i = 0; i < num_tasks; i++) out->num_diverged += p.num_diverged[i];
        uf_evaluation_summarise(out, *spec);
        out->seconds = uf_now() - start;
    } else {
        uf_evaluation_free(out);
    }
    free_playing(&p);
    return status;
}

// ---- description ----

// Shown of observations and of kinds, and contexts that are drawn: fewer where se_best_actions has to climb.
enum { SHOWN = 12, CONTEXTS = 20000, FEW_CONTEXTS = 2000 };

typedef struct Looks {
    int rows, numbers;
    float *obs, *changed, *action, *other, *encoded, *reward;
} Looks;

static UfStatus look(Looks* l, const SeEnv* env) {
    const SeOptions* o = se_options(env);
    const SeDraw draw = {.seed = 0};
    l->numbers = o->discrete ? 1 : o->action_dim;
    l->rows = l->numbers == 1 ? CONTEXTS : FEW_CONTEXTS;
    UF_TRY(UF_ALLOC(&l->obs, l->rows * o->obs_dim, "contexts"));
    UF_TRY(UF_ALLOC(&l->changed, l->rows * o->obs_dim, "contexts"));
    UF_TRY(UF_ALLOC(&l->action, l->rows * l->numbers, "actions"));
    UF_TRY(UF_ALLOC(&l->other, l->rows * l->numbers, "actions"));
    UF_TRY(UF_ALLOC(&l->encoded, l->rows * o->action_dim, "actions"));
    UF_TRY(UF_ALLOC(&l->reward, l->rows, "rewards"));
    se_reset(env, &draw, l->rows, l->obs);
    se_best_actions(env, l->rows, l->obs, l->action);
    se_encode(env, l->rows, l->action, l->encoded);
    se_rewards(env, l->rows, l->obs, l->encoded, l->reward);
    return UF_OK;
}

static void moments(const float* x, int count, int stride, double* mean, double* deviation) {
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) sum += (double)x[(size_t)i * (size_t)stride];
    *mean = sum / count;
    for (int i = 0; i < count; i++) {
        const double d = (double)x[(size_t)i * (size_t)stride] - *mean;
        squares += d * d;
    }
    *deviation = sqrt(squares / count);
}

double uf_synth_importance(const SeEnv* env, int rows, const float* obs, const float* best, int j,
                           float* changed, float* other) {
    const SeOptions* o = se_options(env);
    const size_t O = (size_t)o->obs_dim, numbers = o->discrete ? 1 : (size_t)o->action_dim;
    const UfShuffle order = uf_shuffle(1, UF_STREAM_SYNTH_LATENT, (uint64_t)j, (uint32_t)rows);
    double sum = 0;
    memcpy(changed, obs, (size_t)rows * O * sizeof *obs);
    for (int r = 0; r < rows; r++)
        changed[(size_t)r * O + (size_t)j] = obs[(size_t)uf_shuffled(&order, (uint32_t)r) * O + (size_t)j];
    se_best_actions(env, rows, changed, other);
    for (size_t i = 0; i < (size_t)rows * numbers; i++)
        sum += o->discrete ? other[i] != best[i] : fabs((double)other[i] - (double)best[i]);
    return sum / (double)((size_t)rows * numbers);
}

static void add_looks(UfText* t, Looks* l, const SeEnv* env) {
    const SeOptions* o = se_options(env);
    const bool has_importance = l->numbers == 1;
    double mean, deviation;
    moments(l->reward, l->rows, 1, &mean, &deviation);
    uf_text_add(t, "%-16s %.4g +- %.4g over %d first observations\n", "best reward", mean, deviation,
                l->rows);
    if (o->discrete) {
        uf_text_add(t, "%-16s", "best actions");
        for (int a = 0; a < o->action_dim && a < SHOWN; a++) {
            int count = 0;
            for (int r = 0; r < l->rows; r++) count += l->action[r] == (float)a;
            uf_text_add(t, " %.3f", (double)count / l->rows);
        }
        uf_text_add(t, "%s\n", o->action_dim > SHOWN ? " ..." : "");
    } else {
        for (int a = 0; a < l->numbers && a < SHOWN; a++) {
            moments(l->action + a, l->rows, l->numbers, &mean, &deviation);
            uf_text_add(t, "%-13s %2d %8.3g +- %.3g\n", "best action", a, mean, deviation);
        }
    }
    uf_text_add(t, "\n%6s %18s%s\n", "first", "mean +- deviation",
                !has_importance ? ""
                : o->discrete   ? "   best actions that change with it"
                                : "   mean change of the best action with it");
    for (int j = 0; j < o->obs_dim && j < SHOWN; j++) {
        moments(l->obs + j, l->rows, o->obs_dim, &mean, &deviation);
        uf_text_add(t, "obs %2d %8.3g +- %-7.3g", j, mean, deviation);
        if (has_importance)
            uf_text_add(t, "  %.3f",
                        uf_synth_importance(env, l->rows, l->obs, l->action, j, l->changed, l->other));
        uf_text_add(t, "\n");
    }
    if (o->obs_dim > SHOWN) uf_text_add(t, "(%d more)\n", o->obs_dim - SHOWN);
}

static void add_facts(UfText* t, const char* path, const SeEnv* env, const char* source) {
    const SeOptions* o = se_options(env);
    uf_text_add(t, "%-16s %s\n%-16s synthetic environment, %s\n", "file", path, "kind",
                o->mode == SE_MDP ? "MDP" : "contextual bandit");
    uf_text_add(t, "%-16s %s\n", "stands for", o->eval_env[0] ? o->eval_env : "nothing that has a name");
    if (o->meaning == SE_Q)
        uf_text_add(t, "%-16s a Q function of discount %g\n", "rewards are", (double)o->discount);
    if (o->meaning == SE_BEHAVIOUR) uf_text_add(t, "%-16s the behaviour of a dataset\n", "rewards are");
    if (source) uf_text_add(t, "%-16s %s\n", "source", source);
    uf_text_add(t, "%-16s %d\n", "observations", o->obs_dim);
    if (o->discrete)
        uf_text_add(t, "%-16s %d kinds\n", "actions", o->action_dim);
    else
        uf_text_add(t, "%-16s %d from %g to %g\n", "actions", o->action_dim, (double)o->action_low,
                    (double)o->action_high);
    uf_text_add(t, "%-16s %d, %s\n%-16s %d\n%-16s %d\n%-16s %lld\n", "latents", o->latent_dim,
                se_latent_name(env), "hidden units", o->width, "step limit", o->max_steps, "parameters",
                (long long)se_num_params(env));
}

static UfStatus read_source(const char* path, char** source) {
    UfH5 h5;
    *source = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status =
        uf_h5_has_attribute(&h5, "/", "source") ? uf_h5_read_string(&h5, "/", "source", source) : UF_OK;
    uf_h5_close(&h5);
    if (*source) uf_one_line(*source);
    return status;
}

UfStatus uf_synth_info(const char* path, char** text) {
    SeEnv* env;
    char* source = NULL;
    UfText t = {0};
    Looks l = {0};
    *text = NULL;
    UF_TRY(se_read(&env, path));
    UfStatus status = read_source(path, &source);
    if (status == UF_OK) status = look(&l, env);
    if (status == UF_OK) {
        add_facts(&t, path, env, source);
        add_looks(&t, &l, env);
        status = uf_text_finish(&t, text);
    }
    float* all[] = {l.obs, l.changed, l.action, l.other, l.encoded, l.reward};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    uf_free(source);
    se_free(env);
    return status;
}
