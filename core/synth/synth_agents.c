// synth_agents.c: see synth_agents.h.
//
// Rooms: table, lists, algorithms, config check, PPO, the others, training, the public part.
#include "core/synth/synth_agents.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/agents/off_policy.h"
#include "core/agents/ppo.h"
#include "core/search/search.h"

_Static_assert(sizeof(real) == sizeof(float), "environments speak float");

// ---- table ----

#define UF_PARAM_STRUCT SeConfig
static const UfParam params[] = {
#include "core/param_rows.h"
#include "synthenv.def"
};
const UfTable se_table = {params, sizeof params / sizeof params[0], sizeof(SeConfig),
                          "unifloral synthenv meta --help"};

UfStatus se_config_create(SeConfig** out) {
    UF_TRY_GIVEN(out);
    return uf_table_create(&se_table, (void**)out);
}
UfStatus se_config_load(SeConfig* config, const char* path) { return uf_table_load(&se_table, config, path); }
UfStatus se_config_set(SeConfig* config, const char* name, const char* value) {
    return uf_table_set(&se_table, config, name, value);
}
UfStatus se_config_json(const SeConfig* config, char** json) {
    UF_TRY_GIVEN(config);
    UF_TRY_GIVEN(json);
    return uf_table_json(&se_table, config, json);
}
void se_config_free(SeConfig* config) { uf_free(config); }

// ---- lists ----

enum { MAX_CHOICES = 32 };

typedef struct Choices {
    int count;
    double values[MAX_CHOICES];
} Choices;

#define USED_BY(algorithm) (1u << (algorithm))
enum {
    ALL = USED_BY(SE_NUM_ALGORITHMS) - 1,
    TD = ALL & ~USED_BY(SE_PPO),
    CONTINUOUS = USED_BY(SE_DDPG) | USED_BY(SE_TD3),
};

// The lists of synthenv.def: what they may hold, and whose agents have them.
static const struct List {
    const char* name;
    size_t at, in_hyper;
    double low, high;
    bool low_open, whole, inert;  // inert: changes nothing in a bandit
    unsigned used_by;             // USED_BY of algorithms
} lists[] = {
#define LIST(name, low, high, open, whole, inert, used_by) \
    { #name, offsetof(SeConfig, name), offsetof(SeHyper, name), low, high, open, whole, inert, used_by }
    LIST(lr, 0, 10, true, false, false, ALL),
    LIST(gamma, 0, 1, false, false, true, ALL),
    LIST(tau, 0, 1, false, false, true, USED_BY(SE_SAC) | CONTINUOUS),
    LIST(gae_lambda, 0, 1, false, false, true, USED_BY(SE_PPO)),
    LIST(clip_eps, 0, 1e6, true, false, false, USED_BY(SE_PPO)),
    LIST(ent_coef, 0, 1e6, false, false, false, USED_BY(SE_PPO)),
    LIST(vf_coef, 0, 1e6, false, false, false, USED_BY(SE_PPO)),
    LIST(target_entropy_ratio, 0, 1, false, false, false, USED_BY(SE_SAC)),
    LIST(eps_end, 0, 1, false, false, false, USED_BY(SE_DQN)),
    LIST(double_dqn, 0, 1, false, true, true, USED_BY(SE_DQN)),
    LIST(exploration_noise, 0, 1e6, false, false, false, CONTINUOUS),
    LIST(target_noise, 0, 1e6, false, false, true, USED_BY(SE_TD3)),
    LIST(target_noise_clip, 0, 1e6, false, false, true, USED_BY(SE_TD3)),
#undef LIST
};
enum { NUM_LISTS = sizeof lists / sizeof lists[0] };

static const char* list_text(const SeConfig* c, const struct List* list) { return (const char*)c + list->at; }

static UfStatus refuse_list(const struct List* list, const char* key, const char* text) {
    return UF_FAIL(UF_ERR_CONFIG, "%s '%s': expected up to %d %s from %g%s to %g with commas between", key,
                   text, MAX_CHOICES, list->whole ? "whole numbers" : "numbers", list->low,
                   list->low_open ? " (itself not)" : "", list->high);
}

static UfStatus parse_list(Choices* out, const struct List* list, const char* key, const char* text) {
    const char* at = text;
    out->count = 0;
    for (;;) {
        char* end;
        const double x = strtod(at, &end);
        const bool fits = end > at && x >= list->low && x <= list->high &&
                          !(list->low_open && x == list->low) && !(list->whole && x != floor(x));
        if (!fits || out->count == MAX_CHOICES) return refuse_list(list, key, text);
        out->values[out->count++] = x;
        while (*end == ' ') end++;
        if (!*end) return UF_OK;
        if (*end != ',') return refuse_list(list, key, text);
        at = end + 1;
    }
}

// The choices of a list for agents of an algorithm.
static UfStatus choices_of(Choices* out, const SeConfig* c, const struct List* list, SeAlgorithm algorithm,
                           bool discrete) {
    const bool rates = list->at == offsetof(SeConfig, lr), own = strcmp(c->ppo_lr, "auto") != 0;
    if (rates && algorithm == SE_PPO && own) return parse_list(out, list, "ppo_lr", c->ppo_lr);
    UF_TRY(parse_list(out, list, list->name, list_text(c, list)));
    if (!rates || algorithm != SE_PPO || discrete) return UF_OK;
    int kept = 0;
    for (int i = 0; i < out->count; i++)
        if (out->values[i] < 0.01) out->values[kept++] = out->values[i];
    if (!kept)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "lr '%s': PPO with continuous actions takes the rates below 0.01 (ppo_lr is auto), and there "
            "is none; set ppo_lr",
            c->lr);
    out->count = kept;
    return UF_OK;
}

UfStatus se_draw_hyper(SeHyper* out, const SeConfig* config, SeAlgorithm algorithm, bool discrete,
                       uint64_t seed) {
    for (int i = 0; i < NUM_LISTS; i++) {
        Choices choices;
        UF_TRY(choices_of(&choices, config, &lists[i], algorithm, discrete));
        const UfPhilox words = uf_philox(seed, UF_STREAM_SYNTH_HYPER, 0, (uint64_t)i);
        const int choice = (int)(((uint64_t)words.v[0] * (uint64_t)choices.count) >> 32);
        *(double*)((char*)out + lists[i].in_hyper) = choices.values[choice];
    }
    return UF_OK;
}

void se_describe_hyper(char* text, size_t size, const SeHyper* hyper, SeAlgorithm algorithm, bool discrete,
                       bool bandit) {
    size_t n = 0;
    text[0] = 0;
    for (int i = 0; i < NUM_LISTS && n < size; i++) {
        const struct List* l = &lists[i];
        if (!(l->used_by & USED_BY(algorithm)) || (bandit && l->inert)) continue;
        if (l->at == offsetof(SeConfig, target_entropy_ratio) && !discrete) continue;
        n += (size_t)snprintf(text + n, size - n, "%s%s %g", n ? "  " : "", l->name,
                              *(const double*)((const char*)hyper + l->in_hyper));
    }
}

// ---- algorithms ----

const char* const se_algorithm_names[] = {"ppo", "sac", "dqn", "ddpg", "td3"};

bool se_algorithm_fits(SeAlgorithm algorithm, bool discrete) {
    return algorithm == SE_PPO || algorithm == SE_SAC || discrete == (algorithm == SE_DQN);
}

static UfStatus add_algorithm(SeAlgorithms* out, const char* key, const char* name, size_t length,
                              bool discrete) {
    int a = 0;
    while (a < SE_NUM_ALGORITHMS &&
           (strlen(se_algorithm_names[a]) != length || strncmp(se_algorithm_names[a], name, length) != 0))
        a++;
    if (a == SE_NUM_ALGORITHMS)
        return UF_FAIL(UF_ERR_CONFIG, "%s: there is no algorithm '%.*s'; expected ppo, sac, dqn, ddpg or td3",
                       key, (int)(length > 64 ? 64 : length), name);
    if (!se_algorithm_fits((SeAlgorithm)a, discrete))
        return UF_FAIL(UF_ERR_CONFIG, "%s: %s is for %s actions; expected %s here", key,
                       se_algorithm_names[a], discrete ? "continuous" : "discrete",
                       discrete ? "ppo, sac or dqn" : "ppo, sac, ddpg or td3");
    for (int i = 0; i < out->count; i++)
        if (out->list[i] == (SeAlgorithm)a)
            return UF_FAIL(UF_ERR_CONFIG, "%s: %s is there twice", key, se_algorithm_names[a]);
    out->list[out->count++] = (SeAlgorithm)a;
    return UF_OK;
}

UfStatus se_parse_algorithms(SeAlgorithms* out, const char* key, const char* text, bool discrete) {
    out->count = 0;
    if (!strcmp(text, "auto")) {
        for (int a = 0; a < SE_NUM_ALGORITHMS; a++)
            if (se_algorithm_fits((SeAlgorithm)a, discrete)) out->list[out->count++] = (SeAlgorithm)a;
        return UF_OK;
    }
    for (const char* at = text;; at++) {
        const size_t length = strcspn(at, ",");
        UF_TRY(add_algorithm(out, key, at, length, discrete));
        at += length;
        if (!*at) return UF_OK;
    }
}

// ---- config check ----

static int64_t num_envs_of(const SeConfig* c, SeAlgorithm algorithm) {
    switch (algorithm) {
        case SE_PPO: return c->ppo_num_envs;
        case SE_SAC: return c->sac_num_envs;
        case SE_DQN: return c->dqn_num_envs;
        default: return c->ddpg_num_envs;
    }
}

static UfStatus check_ppo_sizes(const SeConfig* c) {
    const int64_t rollout = c->ppo_num_envs * c->ppo_num_steps;
    if (c->num_steps < rollout)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "num_steps %lld is less than one rollout of PPO, ppo_num_envs %lld times ppo_num_steps "
            "%lld; raise it or shorten the rollout",
            (long long)c->num_steps, (long long)c->ppo_num_envs, (long long)c->ppo_num_steps);
    if (rollout % c->ppo_num_minibatches)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "ppo_num_minibatches %lld does not divide the %lld rows of a rollout (ppo_num_envs times "
            "ppo_num_steps); expected equal parts",
            (long long)c->ppo_num_minibatches, (long long)rollout);
    return UF_OK;
}

// What off_policy.h wants, in the names of synthenv.def.
static UfStatus check_off_policy_sizes(const SeConfig* c, SeAlgorithm algorithm) {
    const char *name = se_algorithm_names[algorithm], *envs = algorithm == SE_TD3 ? "ddpg" : name;
    const int64_t num_envs = num_envs_of(c, algorithm),
                  rows = algorithm == SE_TD3 ? c->td3_buffer_size : c->buffer_size,
                  last = algorithm == SE_SAC ? c->num_steps
                                             : c->num_steps - num_envs;  // count of steps that it learns by
    if (c->num_steps % num_envs)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "num_steps %lld is no multiple of %s_num_envs %lld; expected whole steps of all environments",
            (long long)c->num_steps, envs, (long long)num_envs);
    if (rows < num_envs)
        return UF_FAIL(UF_ERR_CONFIG,
                       "%s %lld: a step of all %s_num_envs %lld environments does not fit; raise it",
                       algorithm == SE_TD3 ? "td3_buffer_size" : "buffer_size", (long long)rows, envs,
                       (long long)num_envs);
    if (c->warm_up >= last)
        return UF_FAIL(UF_ERR_CONFIG, "warm_up %lld: %s would never learn in num_steps %lld; lower it",
                       (long long)c->warm_up, name, (long long)c->num_steps);
    return UF_OK;
}

static UfStatus check_sizes(const SeConfig* c, const SeAlgorithms* used) {
    for (int i = 0; i < used->count; i++)
        UF_TRY(used->list[i] == SE_PPO ? check_ppo_sizes(c) : check_off_policy_sizes(c, used->list[i]));
    return UF_OK;
}

UfStatus se_open_backend(UfBackend** out, const SeConfig* c) {
    return uf_backend_open(out, uf_device_name(c->device), uf_precision_name(c->precision),
                           (int)c->num_threads);
}

UfStatus se_find_env(const UfEnvSpec** spec, const SeConfig* c) {
    if (!c->env[0])
        return UF_FAIL(UF_ERR_CONFIG, "env is empty; expected an environment (unifloral envs lists them)");
    UF_TRY(uf_env_lookup(spec, c->env));
    UF_TRY(uf_env_available(*spec));
    if ((*spec)->discrete && (*spec)->action_dim > UF_MAX_KINDS)
        return UF_FAIL(UF_ERR_CONFIG, "env %s has %d kinds of actions; at most %d are supported",
                       (*spec)->name, (*spec)->action_dim, UF_MAX_KINDS);
    return UF_OK;
}

// Every list must be well-formed. What else an algorithm wants is no matter where it is not trained.
UfStatus se_check_agents(const SeConfig* c, const UfEnvSpec* spec, const SeAlgorithms* trained) {
    Choices choices;
    UF_TRY(check_sizes(c, trained));
    for (int i = 0; i < NUM_LISTS; i++) UF_TRY(choices_of(&choices, c, &lists[i], SE_SAC, true));
    UF_TRY(choices_of(&choices, c, &lists[0], SE_PPO, true));
    for (int i = 0; i < trained->count; i++)
        UF_TRY(choices_of(&choices, c, &lists[0], trained->list[i], spec->discrete));
    return UF_OK;
}

UfStatus se_config_check(const SeConfig* c) {
    const UfEnvSpec* spec;
    SeAlgorithms used, rated;
    UF_TRY(se_find_env(&spec, c));
    UF_TRY(se_parse_algorithms(&used, "algorithms", c->algorithms, spec->discrete));
    UF_TRY(se_parse_algorithms(&rated, "eval_algorithms", c->eval_algorithms, spec->discrete));
    UF_TRY(se_check_agents(c, spec, &used));
    UF_TRY(se_check_agents(c, spec, &rated));
    if ((c->horizon_init == 0) != (c->horizon_end == 0))
        return UF_FAIL(
            UF_ERR_CONFIG,
            "horizon_init is %lld and horizon_end %lld; set both, or neither for the environment's own limit",
            (long long)c->horizon_init, (long long)c->horizon_end);
    return UF_OK;
}

// ---- PPO ----

// Agents of one call, or some of them.
typedef struct Share {
    const SeTraining* training;
    int first, count;
    UfTrainEnvs* envs;
} Share;

static uint64_t env_seed(uint64_t seed) {
    const UfPhilox w = uf_philox(seed, UF_STREAM_PPO_ENV, 0, 0);
    return (uint64_t)w.v[0] << 32 | w.v[1];
}

static UfStatus make_envs(Share* s) {
    const SeTraining* t = s->training;
    const int num_envs = (int)num_envs_of(t->config, t->algorithm);
    uint64_t* seeds;
    UF_TRY(UF_ALLOC(&seeds, s->count, "seeds"));
    for (int i = 0; i < s->count; i++) seeds[i] = env_seed(t->seeds[s->first + i]);
    const UfStatus status =
        t->envs ? uf_train_envs_synthetic(&s->envs, t->envs + s->first, s->count, num_envs, seeds)
                : uf_train_envs_real(&s->envs, t->spec, s->count, num_envs, seeds);
    uf_free(seeds);
    return status;
}

static bool asked_to_stop(const SeTraining* t) { return t->stop && *t->stop; }

static UfStatus stopped(void) { return UF_FAIL(UF_ERR_STOPPED, "agents: stopped while they trained"); }

static void fill_ppo_config(UfPpoConfig* out, const SeConfig* c, const SeHyper* h, uint64_t seed) {
    out->seed = (int64_t)(seed >> 1);
    out->budget = c->num_steps;
    out->num_envs = c->ppo_num_envs;
    out->num_steps = c->ppo_num_steps;
    out->num_minibatches = c->ppo_num_minibatches;
    out->update_epochs = c->ppo_update_epochs;
    out->lr = h->lr;
    out->anneal_lr = false;
    out->max_grad_norm = c->max_grad_norm;
    out->gamma = h->gamma;
    out->gae_lambda = h->gae_lambda;
    out->clip_eps = h->clip_eps;
    out->vf_coef = h->vf_coef;
    out->ent_coef = h->ent_coef;
    out->num_layers = c->num_layers;
    out->layer_width = c->layer_width;
    out->activation = c->activation;
    out->hidden_init = UF_INIT_ORTHOGONAL;
    out->actor_init_gain = out->critic_init_gain = 0.01;
}

static UfStatus make_ppo_configs(const Share* s, UfPpoConfig* memory, const UfPpoConfig** configs) {
    UfPpoConfig* defaults;
    UF_TRY(uf_table_create(&uf_ppo_table, (void**)&defaults));
    for (int i = 0; i < s->count; i++) {
        memory[i] = *defaults;
        fill_ppo_config(&memory[i], s->training->config, &s->training->hypers[s->first + i],
                        s->training->seeds[s->first + i]);
        configs[i] = &memory[i];
    }
    uf_free(defaults);
    return UF_OK;
}

static UfStatus create_ppo(UfPpo** out, const Share* s) {
    UfPpoConfig* memory;
    const UfPpoConfig** configs = NULL;
    UF_TRY(UF_ALLOC(&memory, s->count, "configurations"));
    UfStatus status = UF_ALLOC(&configs, s->count, "configurations");
    if (status == UF_OK) status = make_ppo_configs(s, memory, configs);
    if (status == UF_OK)
        status = uf_ppo_create_on(out, configs, s->count, &s->envs->space, s->training->backend);
    uf_free(memory);
    uf_free(configs);
    return status;
}

// One whose numbers are no more finite goes on with the others: they are what it has come to.
static UfStatus iterate_ppo(UfPpo* ppo, const Share* s) {
    while (uf_ppo_iteration(ppo) < uf_ppo_num_iterations(ppo)) {
        if (asked_to_stop(s->training)) return stopped();
        const UfStatus status = uf_ppo_iterate(ppo, s->envs);
        if (status != UF_OK && status != UF_ERR_NONFINITE) return status;
    }
    return UF_OK;
}

static UfStatus train_ppo(const Share* s, SePolicies* out) {
    UfPpo* ppo = NULL;
    UfStatus status = create_ppo(&ppo, s);
    if (status == UF_OK) status = iterate_ppo(ppo, s);
    if (status == UF_OK) {
        assert(uf_ppo_actor_shape(ppo)->size == out->net.size);
        status = uf_ppo_actors(ppo, out->params + (size_t)s->first * out->net.size);
    }
    uf_ppo_free(ppo);
    return status;
}

// ---- the others ----

static UfOffPolicyConfig off_policy_config(const SeConfig* c, SeAlgorithm algorithm, const SeHyper* h,
                                           uint64_t seed) {
    static const UfOffPolicyAlgorithm kinds[] = {[SE_SAC] = UF_OFF_POLICY_SAC,
                                                 [SE_DQN] = UF_OFF_POLICY_DQN,
                                                 [SE_DDPG] = UF_OFF_POLICY_DDPG,
                                                 [SE_TD3] = UF_OFF_POLICY_TD3};
    const bool sac = algorithm == SE_SAC, continuous = algorithm == SE_DDPG || algorithm == SE_TD3;
    return (UfOffPolicyConfig){.algorithm = kinds[algorithm],
                               .num_layers = (int)c->num_layers,
                               .layer_width = (int)c->layer_width,
                               .activation = c->activation,
                               .num_steps = c->num_steps,
                               .num_envs = num_envs_of(c, algorithm),
                               .batch_size = sac ? c->sac_batch_size : c->batch_size,
                               .buffer_size = algorithm == SE_TD3 ? c->td3_buffer_size : c->buffer_size,
                               .warm_up = c->warm_up,
                               .updates = sac          ? c->sac_updates
                                          : continuous ? c->ddpg_updates
                                                       : 1,
                               .target_interval = c->target_interval,
                               .policy_delay = c->policy_delay,
                               .max_grad_norm = sac ? 0 : c->max_grad_norm,
                               .exploration_fraction = c->exploration_fraction,
                               .seed = seed,
                               .lr = h->lr,
                               .gamma = h->gamma,
                               .tau = h->tau,
                               .target_entropy_ratio = h->target_entropy_ratio,
                               .eps_end = h->eps_end,
                               .exploration_noise = h->exploration_noise,
                               .target_noise = h->target_noise,
                               .target_noise_clip = h->target_noise_clip,
                               .double_dqn = h->double_dqn > 0};
}

static UfStatus create_off_policy(UfOffPolicy** out, const Share* s) {
    const SeTraining* t = s->training;
    UfOffPolicyConfig* configs;
    UF_TRY(UF_ALLOC(&configs, s->count, "configurations"));
    for (int i = 0; i < s->count; i++)
        configs[i] =
            off_policy_config(t->config, t->algorithm, &t->hypers[s->first + i], t->seeds[s->first + i]);
    const UfStatus status = uf_off_policy_create(out, configs, s->count, &s->envs->space, t->backend, 0);
    uf_free(configs);
    return status;
}

enum { STOP_STEPS = 500 };  // of each environment, after which it is looked whether to leave off

static UfStatus iterate_off_policy(UfOffPolicy* agents, const Share* s) {
    const SeConfig* c = s->training->config;
    const int64_t all = c->num_steps / num_envs_of(c, s->training->algorithm);
    while (uf_off_policy_iteration(agents) < all) {
        if (asked_to_stop(s->training)) return stopped();
        UF_TRY(uf_off_policy_train(agents, s->envs, STOP_STEPS));
    }
    return UF_OK;
}

static UfStatus train_off_policy(const Share* s, SePolicies* out) {
    UfOffPolicy* agents = NULL;
    UfStatus status = create_off_policy(&agents, s);
    if (status == UF_OK) status = iterate_off_policy(agents, s);
    if (status == UF_OK) {
        assert(uf_off_policy_actor_shape(agents)->size == out->net.size);
        status = uf_off_policy_actors(agents, out->params + (size_t)s->first * out->net.size);
    }
    uf_off_policy_free(agents);
    return status;
}

// ---- training ----

void se_policy_shape(SePolicies* out, const SeConfig* c, SeAlgorithm algorithm, const UfEnvSpec* spec) {
    const bool log_std = algorithm == SE_PPO && !spec->discrete,
               means = algorithm == SE_SAC && !spec->discrete;
    const int outputs = spec->action_dim * (means ? 2 : 1) + (algorithm == SE_DQN);
    *out = (SePolicies){.policy = algorithm == SE_PPO   ? UF_TRIAL_IN_UNITS
                                  : algorithm == SE_SAC ? UF_TRIAL_SQUASHED
                                                        : UF_TRIAL_TANH,
                        .greedy = algorithm != SE_PPO && algorithm != SE_SAC};
    out->net = uf_clone_net(NULL, spec->obs_dim, (int)c->layer_width, (int)c->num_layers, outputs,
                            c->activation, false, log_std);
}

// Agents that train at once, for the sake of memory; what they come to does not depend on it. A device wants many.
enum { MOST_AT_ONCE = 256, MOST_APART = 2048 };

UfStatus se_train_policies(SePolicies* out, const SeTraining* t) {
    UfStatus status = UF_OK;
    se_policy_shape(out, t->config, t->algorithm, t->spec);
    out->count = t->count;
    const int most = t->backend->apart ? MOST_APART : MOST_AT_ONCE;
    UF_TRY(UF_ALLOC(&out->params, (size_t)t->count * out->net.size, "policies"));
    for (int i = 0; i < t->count && status == UF_OK; i += most) {
        Share s = {t, i, t->count - i < most ? t->count - i : most, NULL};
        status = make_envs(&s);
        if (status == UF_OK) status = t->algorithm == SE_PPO ? train_ppo(&s, out) : train_off_policy(&s, out);
        uf_train_envs_free(s.envs);
    }
    if (status != UF_OK) se_policies_free(out);
    return status;
}

void se_policies_free(SePolicies* policies) {
    uf_free(policies->params);
    policies->params = NULL;
}

UfStatus se_policies_play(const SePolicies* policies, UfTrials* trials, UfBackend* be, UfTrial* out) {
    const size_t bytes = (size_t)policies->count * policies->net.size * sizeof(real);
    void* there;
    if (!uf_trials_apart(trials)) return uf_trials_play(trials, policies->params, policies->count, out, NULL);
    UF_TRY(be->reserve(be, &there, bytes, "policies"));
    be->upload(be, there, policies->params, bytes);
    const UfStatus status = uf_trials_play(trials, there, policies->count, out, NULL);
    be->release(be, there);
    return status;
}

// ---- the public part ----

enum { KEY_HYPER, KEY_AGENT, KEY_PLAY };
enum { DESCRIPTION_BYTES = 256, PROBES = 256 };

struct SeAgents {
    SeConfig config;
    const UfEnvSpec* spec;
    SeAlgorithm algorithm;
    bool bandit, owns_backend;
    UfBackend* backend;  // that they trained on, and play on
    int first, count;    // of the seed's agents
    SePolicies policies;
    SeHyper* hypers;                          // (count)
    char (*descriptions)[DESCRIPTION_BYTES];  // (count)
};

static uint64_t agent_key(uint64_t seed, int purpose, int agent) {
    return uf_search_seed(UF_STREAM_SYNTH_AGENT, (int64_t)seed, purpose, agent, 0);
}

// Rewards at contexts and random actions; sums overflow where weights are large.
static UfStatus check_rewards(const SeEnv* env, uint64_t seed) {
    const SeOptions* o = se_options(env);
    const size_t O = (size_t)o->obs_dim, A = (size_t)o->action_dim;
    const SeDraw draw = {.seed = seed};
    UfRandom random = uf_random(seed, UF_STREAM_SYNTH_AGENT, UINT64_MAX);
    float *obs, *encoded = NULL, *reward = NULL;
    int bad = 0;
    UF_TRY(UF_ALLOC(&obs, PROBES * O, "contexts"));
    UfStatus status = UF_ALLOC(&encoded, PROBES * A, "actions");
    if (status == UF_OK) status = UF_ALLOC(&reward, PROBES, "rewards");
    if (status == UF_OK) {
        se_reset(env, &draw, PROBES, obs);
        for (size_t i = 0; i < PROBES; i++) {
            const size_t kind = o->discrete ? uf_random_u32(&random) % A : 0;
            for (size_t k = 0; k < A; k++)
                encoded[i * A + k] = o->discrete
                                         ? k == kind
                                         : (float)uf_random_uniform(&random, o->action_low, o->action_high);
        }
        se_rewards(env, PROBES, obs, encoded, reward);
        for (int i = 0; i < PROBES; i++) bad += !uf_is_finite(reward[i]);
    }
    uf_free(obs);
    uf_free(encoded);
    uf_free(reward);
    if (status != UF_OK || !bad) return status;
    char tensor[64];
    const float most = se_largest_weight(env, tensor, sizeof tensor);
    return UF_FAIL(
        UF_ERR_NONFINITE,
        "synthetic environment: %d of %d rewards are not finite; its largest weight is %g, in tensor '%s'",
        bad, PROBES, (double)most, tensor);
}

static UfStatus allocate_agents(SeAgents* a) {
    UF_TRY(UF_ALLOC(&a->hypers, a->count, "agents"));
    return UF_ALLOC(&a->descriptions, a->count, "agents");
}

static UfStatus train_agents(SeAgents* a, const SeTrainOptions* o) {
    uint64_t* seeds;
    const SeEnv** envs = NULL;
    UF_TRY(UF_ALLOC(&seeds, a->count, "seeds"));
    UfStatus status = UF_ALLOC(&envs, a->count, "environments");
    for (int i = 0; i < a->count && status == UF_OK; i++) {
        seeds[i] = agent_key(o->seed, KEY_AGENT, a->first + i);
        envs[i] = o->env;
        status = se_draw_hyper(&a->hypers[i], &a->config, a->algorithm, a->spec->discrete,
                               agent_key(o->seed, KEY_HYPER, a->first + i));
        if (status == UF_OK)
            se_describe_hyper(a->descriptions[i], DESCRIPTION_BYTES, &a->hypers[i], a->algorithm,
                              a->spec->discrete, a->bandit);
    }
    const SeTraining training = {.config = &a->config,
                                 .spec = a->spec,
                                 .algorithm = a->algorithm,
                                 .count = a->count,
                                 .hypers = a->hypers,
                                 .seeds = seeds,
                                 .envs = o->env ? envs : NULL,
                                 .backend = a->backend,
                                 .stop = o->stop};
    if (status == UF_OK) status = se_train_policies(&a->policies, &training);
    uf_free(seeds);
    uf_free(envs);
    return status;
}

static UfStatus build_agents(SeAgents* a, const SeTrainOptions* o) {
    SeAlgorithms list;
    UF_TRY(se_find_env(&a->spec, &a->config));
    UF_TRY(se_parse_algorithms(&list, "algorithm", o->algorithm, a->spec->discrete));
    if (list.count != 1)
        return UF_FAIL(UF_ERR_CONFIG, "algorithm: '%s' are %d; expected one of them", o->algorithm,
                       list.count);
    a->algorithm = list.list[0];
    UF_TRY(se_check_agents(&a->config, a->spec, &list));
    if (o->env) {
        UF_TRY(se_check_fit(se_options(o->env), a->spec));
        UF_TRY(check_rewards(o->env, o->seed));
        a->bandit = se_options(o->env)->mode == SE_BANDIT;
    }
    UF_TRY(allocate_agents(a));
    a->owns_backend = !a->backend;
    if (!a->backend) UF_TRY(se_open_backend(&a->backend, &a->config));
    return train_agents(a, o);
}

UfStatus se_train_some(SeAgents** out, const SeTrainOptions* o) {
    SeAgents* a;
    *out = NULL;
    if (o->num_agents < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "agents: %d are asked for; expected at least 1", o->num_agents);
    UF_TRY(UF_ALLOC(&a, 1, "agents"));
    a->config = *o->config;
    a->backend = o->backend;
    a->first = o->first;
    a->count = o->num_agents;
    const UfStatus status = build_agents(a, o);
    if (status != UF_OK) {
        se_agents_free(a);
        return status;
    }
    *out = a;
    return UF_OK;
}

UfStatus se_train(SeAgents** out, const SeConfig* config, const SeEnv* env, const char* algorithm,
                  int num_agents, uint64_t seed) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(config);
    UF_TRY_GIVEN(algorithm);
    return se_train_some(
        out,
        &(SeTrainOptions){
            .config = config, .env = env, .algorithm = algorithm, .num_agents = num_agents, .seed = seed});
}

static UfStatus play_all(UfTrials* trials, UfBackend* be, const SePolicies* policies, const uint64_t* keys,
                         int num_episodes, double* returns) {
    UfTrial* results;
    const size_t all = (size_t)policies->count * (size_t)num_episodes;
    UF_TRY(UF_ALLOC(&results, all, "episodes"));
    uf_trials_set_keys(trials, keys);
    const UfStatus status = se_policies_play(policies, trials, be, results);
    for (size_t i = 0; i < all && status == UF_OK; i++) returns[i] = results[i].sum;
    uf_free(results);
    return status;
}

// returns (count, num_episodes): episodes of agent i start and act by keys[i].
static UfStatus play_agents(const SeAgents* a, const uint64_t* keys, int num_episodes, double* returns) {
    UfTrials* trials;
    const SePolicies* policies = &a->policies;
    const UfTrialOptions options = {.backend = a->backend,
                                    .spec = a->spec,
                                    .net = &policies->net,
                                    .num_envs = num_episodes,
                                    .num_steps = a->spec->max_steps,
                                    .num_keys = policies->count,
                                    .rule = UF_TRIAL_FIRST,
                                    .policy = policies->policy,
                                    .greedy = policies->greedy};
    UF_TRY(uf_trials_create(&trials, &options, a->backend->pool));
    const UfStatus status = play_all(trials, a->backend, policies, keys, num_episodes, returns);
    uf_trials_free(trials);
    return status;
}

UfStatus se_play(SeAgents* a, int num_episodes, uint64_t seed, double* returns) {
    UF_TRY_GIVEN(a);
    UF_TRY_GIVEN(returns);
    uint64_t* keys;
    if (num_episodes < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "agents: %d episodes are asked for; expected at least 1",
                       num_episodes);
    UF_TRY(UF_ALLOC(&keys, a->count, "keys"));
    for (int i = 0; i < a->count; i++) keys[i] = agent_key(seed, KEY_PLAY, a->first + i);
    const UfStatus status = play_agents(a, keys, num_episodes, returns);
    uf_free(keys);
    return status;
}

UfStatus se_act(const SeAgents* a, int index, int rows, const float* obs, float* action) {
    UF_TRY_GIVEN(a);
    UF_TRY_GIVEN(obs);
    UF_TRY_GIVEN(action);
    if (index < 0 || index >= a->count)
        return UF_FAIL(UF_ERR_ARGUMENT, "agent %d: there are %d, from 0 on", index, a->count);
    if (rows < 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "se_act: %d rows of observations; expected 0 or more", rows);
    const UfCloneNet* net = &a->policies.net;
    const real* params = a->policies.params + (size_t)index * net->size;
    const size_t H = (size_t)net->mlp.out, items = a->spec->discrete ? 1 : (size_t)a->spec->action_dim;
    real *out, *scratch = NULL;
    UF_TRY(UF_ALLOC(&out, (size_t)rows * H, "actions"));
    UfStatus status = UF_ALLOC(&scratch, uf_clone_scratch(net, rows), "actions");
    if (status == UF_OK) uf_clone_forward_host(net, params, out, obs, rows, scratch);
    for (size_t b = 0; b < (size_t)rows && status == UF_OK; b++)
        if (!uf_trial_act(a->policies.policy, a->spec->discrete, a->spec->action_dim, a->spec->action_low,
                          a->spec->action_high, out + b * H, params + net->mlp.log_std, NULL,
                          action + b * items))
            status = UF_FAIL(UF_ERR_NONFINITE,
                             "agent %d answers observation %zu with a number that is not finite", index, b);
    uf_free(out);
    uf_free(scratch);
    return status;
}

bool se_agents_apart(const SeAgents* a) { return a->backend->apart; }

const SeHyper* se_agent_hyper(const SeAgents* a, int index) { return &a->hypers[index]; }

const char* se_agent_hyperparameters(const SeAgents* a, int index) { return a->descriptions[index]; }

void se_agents_free(SeAgents* a) {
    if (!a) return;
    if (a->owns_backend) uf_backend_close(a->backend);
    se_policies_free(&a->policies);
    uf_free(a->hypers);
    uf_free(a->descriptions);
    uf_free(a);
}
