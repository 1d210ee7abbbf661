// fqe.c: fitted Q evaluation (fqe.h).
//
// Rooms: config, what Q may be, interval, judgement, populations, API.
#include <math.h>
#include <string.h>

#include "core/agents/agent.h"
#include "core/data/dataset.h"
#include "core/philox.h"
#include "core/runs/fqe.h"

enum { MAX_MEMBERS = 64, NUM_REPLICATES = 2000 };  // of a population, for its memory; of the bootstrap
#define CONFIDENCE 0.95
// Critics approximate: their means may be so much of the largest possible size beyond the range.
#define SLACK 0.1

// ---- config ----

static bool is_read(const UfParam* p) {
    static const char* const names[] = {
        "seed",     "num_updates",      "lr",          "lr_schedule",       "batch_size",
        "gamma",    "polyak_step_size", "num_critics", "critic_num_layers", "critic_layer_width",
        "critic_ln"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(p->name, names[i])) return true;
    return false;
}
static bool is_not_read(const UfParam* p) { return !is_read(p); }

UfStatus uf_fqe_config(UfConfig** out) {
    UF_TRY(uf_config_create(out));
    UfConfig* c = *out;
    c->num_updates = 20000;
    c->batch_size = 256;
    c->polyak_step_size = 0.02;
    c->num_critics = 3;
    c->critic_num_layers = 2;
    // What training has beside the plain critic update.
    c->num_critic_updates_per_step = 1;
    c->actor_bc_coef = c->actor_q_coef = c->critic_bc_coef = 0;
    c->policy_noise = c->noise_clip = 0;
    c->use_target_actor = false;
    return UF_OK;
}

UfStatus uf_fqe_check(const UfConfig* config) {
    UfConfig* usual = NULL;
    char value[UF_STRING_BYTES];
    UF_TRY(uf_fqe_config(&usual));
    const UfParam* other = uf_config_difference(config, usual, is_not_read);
    uf_config_free(usual);
    if (other) {
        uf_param_format(config, other, value, sizeof value);
        return UF_FAIL(
            UF_ERR_CONFIG,
            "%s is set to %s, but fitted Q evaluation does not read it; it reads seed, num_updates, lr, "
            "lr_schedule, batch_size, gamma, polyak_step_size, num_critics and critic_*",
            other->name, value);
    }
    if (config->gamma < 1) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG,
                   "gamma %g leaves values without a bound; fitted Q evaluation needs one below 1",
                   config->gamma);
}

// ---- what Q may be ----

typedef struct Range {
    double low, high;
} Range;

// A return is a sum of gamma^t r_t that may end only where the data have terminals.
static Range range_of_q(const UfDataset* d, double gamma) {
    double least = INFINITY, most = -INFINITY;
    for (int64_t row = 0; row < d->num_rows; row++) {
        const double reward = uf_record(d, row)[d->obs_dim + d->action_dim];
        least = fmin(least, reward);
        most = fmax(most, reward);
    }
    Range r = {least / (1 - gamma), most / (1 - gamma)};
    if (d->num_terminals > 0) r = (Range){fmin(r.low, least), fmax(r.high, most)};
    return r;
}

static bool is_possible(Range r, double q) {
    const double slack = SLACK * fmax(fabs(r.low), fabs(r.high));
    return q >= r.low - slack && q <= r.high + slack;  // NaN is not
}

// ---- interval ----

// Percentiles of num_critics critics' values (C, n): resampled states, and resampled critics scaled to the variance
// of a mean of C.
static UfStatus find_interval(UfFqe* out, const double* values, int C, int64_t n, uint64_t seed) {
    double *states = NULL, critics[1024] = {0}, total = 0, replicates[NUM_REPLICATES];
    UF_TRY(UF_ALLOC(&states, n, "values of initial states"));
    for (int c = 0; c < C; c++)
        for (int64_t i = 0; i < n; i++) {
            const double value = values[(int64_t)c * n + i];
            critics[c] += value / (double)n;
            states[i] += value / C;
        }
    for (int64_t i = 0; i < n; i++) total += states[i];
    out->estimate = total / (double)n;
    const double scale = C > 1 ? sqrt((double)C / (C - 1)) : 0;
    for (int k = 0; k < NUM_REPLICATES; k++) {
        UfRandom random = uf_random(seed, UF_STREAM_FQE_BOOTSTRAP, (uint64_t)k);
        double by_states = 0, by_critics = 0;
        for (int64_t i = 0; i < n; i++)
            by_states += states[(int64_t)(uf_random_uniform(&random, 0, 1) * (double)n)];
        for (int c = 0; c < C; c++) by_critics += critics[(int)(uf_random_uniform(&random, 0, 1) * C)];
        replicates[k] = by_states / (double)n + scale * (by_critics / C - out->estimate);
    }
    uf_free(states);
    uf_sort(replicates, NUM_REPLICATES);
    out->low = uf_quantile(replicates, NUM_REPLICATES, (1 - CONFIDENCE) / 2);
    out->high = uf_quantile(replicates, NUM_REPLICATES, (1 + CONFIDENCE) / 2);
    return UF_OK;
}

// ---- judgement ----

typedef struct Evaluation {
    UfFqe* results;
    const UfPolicy* const* policies;
    int num_policies;
    const UfDataset* dataset;
    const UfConfig* config;
    int num_threads;
    UfFqeFn* on_update;
    void* user;

    Range range;
    int64_t *initial, num_initial;
    double* values;       // (C, num_initial)
    int64_t done, total;  // updates
} Evaluation;

// The farthest of the critics' means: one that is not finite, else one beyond the range.
static double worst_mean(const Evaluation* e, int C) {
    double worst = 0;
    for (int c = 0; c < C; c++) {
        double mean = 0;
        for (int64_t i = 0; i < e->num_initial; i++) mean += e->values[c * e->num_initial + i];
        mean /= (double)e->num_initial;
        if (!isfinite(mean)) return mean;
        if (fabs(mean) > fabs(worst) || c == 0) worst = mean;
    }
    return worst;
}

// What the critics of one policy say, members [first, first + C) of the agent.
static UfStatus judge(Evaluation* e, UfAgent* agent, int first, UfFqe* out) {
    const int C = (int)e->config->num_critics;
    bool stopped = false;
    *out = (UfFqe){.num_states = e->num_initial, .q_low = e->range.low, .q_high = e->range.high};
    for (int c = 0; c < C; c++) {
        UfDiagnosis d;
        UF_TRY(uf_agent_values(agent, first + c, e->dataset, e->values + c * e->num_initial, e->initial,
                               e->num_initial));
        UF_TRY(uf_agent_diagnose(agent, first + c, e->dataset, &d));
        out->td_error += d.td_error / C;
        stopped = stopped || uf_agent_member_error(agent, first + c);
    }
    out->worst = stopped ? NAN : worst_mean(e, C);
    // Two values of the range differ by its width at most.
    const Range errors = {0, fmax(e->range.high, 0) - fmin(e->range.low, 0)};
    out->diverged = !is_possible(e->range, out->worst) || !is_possible(errors, sqrt(out->td_error));
    out->estimate = out->low = out->high = NAN;
    return out->diverged ? UF_OK
                         : find_interval(out, e->values, C, e->num_initial, (uint64_t)e->config->seed);
}

// ---- populations ----

static int on_update(void* user, UfAgent* agent, int64_t update) {
    Evaluation* e = user;
    (void)agent;
    return e->on_update ? e->on_update(e->user, e->done + update, e->total) : 0;
}

// Critic c is the same draw of chance for every policy: what differs between them is the policy.
static int64_t critic_seed(const UfConfig* config, int c) {
    return uf_philox((uint64_t)config->seed, UF_STREAM_FQE_SEED, (uint64_t)c, 0).v[0];
}

// A critic whose numbers are none any more stops, and the others go on.
static UfStatus train_critics(const Evaluation* e, UfAgent* agent) {
    for (;;) {
        const UfStatus status = uf_train(agent, e->dataset, 0, on_update, (void*)e);
        if (status != UF_ERR_NONFINITE) return status;
        bool going = false;
        for (int p = 0; p < uf_agent_population(agent); p++)
            going = going || !uf_agent_member_error(agent, p);
        if (!going) return UF_OK;
    }
}

// Trains and judges the critics of policies that are alike: `which` (count).
static UfStatus evaluate_group(Evaluation* e, const int* which, int count) {
    const int C = (int)e->config->num_critics, P = count * C;
    const UfPolicy** policies = NULL;
    int64_t* seeds = NULL;
    UfAgent* agent = NULL;
    UfStatus status = UF_ALLOC(&policies, P, "policies");
    if (status == UF_OK) status = UF_ALLOC(&seeds, P, "seeds");
    for (int p = 0; status == UF_OK && p < P; p++) {
        policies[p] = e->policies[which[p / C]];
        seeds[p] = critic_seed(e->config, p % C);
    }
    if (status == UF_OK)
        status = uf_agent_create_evaluator(&agent, policies, seeds, P, e->config, e->dataset, e->num_threads);
    if (status == UF_OK) status = train_critics(e, agent);
    for (int k = 0; status == UF_OK && k < count; k++) status = judge(e, agent, k * C, &e->results[which[k]]);
    e->done += e->config->num_updates;
    uf_agent_free(agent);
    uf_free(policies);
    uf_free(seeds);
    return status;
}

// The next policies that are alike and fit a population, from the first that has no group yet.
static int next_group(const Evaluation* e, bool* taken, int* which) {
    int count = 0;
    for (int i = 0; i < e->num_policies; i++) {
        if (taken[i] || (count && (!uf_policies_alike(e->policies[which[0]], e->policies[i]) ||
                                   (count + 1) * e->config->num_critics > MAX_MEMBERS)))
            continue;
        taken[i] = true;
        which[count++] = i;
    }
    return count;
}

static UfStatus evaluate_all(Evaluation* e) {
    bool* taken = NULL;
    int *which = NULL, count;
    UfStatus status = UF_ALLOC(&taken, e->num_policies, "policies");
    if (status == UF_OK) status = UF_ALLOC(&which, e->num_policies, "policies");
    if (status == UF_OK) {
        while (next_group(e, taken, which) > 0) e->total += e->config->num_updates;
        memset(taken, 0, (size_t)e->num_policies * sizeof *taken);
    }
    while (status == UF_OK && (count = next_group(e, taken, which)) > 0)
        status = evaluate_group(e, which, count);
    uf_free(taken);
    uf_free(which);
    return status;
}

// ---- API ----

static UfStatus check_arguments(const Evaluation* e) {
    char label[32];
    if (!e->results || !e->policies || e->num_policies < 1 || !e->dataset || !e->config)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_fqe: needs results, policies, a dataset and a config");
    UF_TRY(uf_fqe_check(e->config));
    for (int i = 0; i < e->num_policies; i++) {
        snprintf(label, sizeof label, "policy %d", i);
        const UfStatus status = e->policies[i] ? uf_policy_check(e->policies[i], e->dataset)
                                               : UF_FAIL(UF_ERR_ARGUMENT, "is null");
        if (status != UF_OK) return uf_fail_prefix(status, label);
    }
    return UF_OK;
}

UfStatus uf_fqe(UfFqe* results, const UfPolicy* const* policies, int num_policies, const UfDataset* dataset,
                const UfConfig* config, int num_threads, UfFqeFn* on_update_done, void* user) {
    Evaluation e = {.results = results,
                    .policies = policies,
                    .num_policies = num_policies,
                    .dataset = dataset,
                    .config = config,
                    .num_threads = num_threads,
                    .on_update = on_update_done,
                    .user = user};
    UF_TRY(check_arguments(&e));
    e.range = range_of_q(dataset, config->gamma);
    UF_TRY(uf_initial_rows(dataset, &e.initial, &e.num_initial));
    if (e.num_initial < 1) {
        uf_free(e.initial);
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s: none of its %lld rows begins an episode, and an estimate is a mean over initial states",
            dataset->path[0] ? dataset->path : "the dataset", (long long)dataset->num_rows);
    }
    UfStatus status = UF_ALLOC(&e.values, config->num_critics * e.num_initial, "values of initial states");
    if (status == UF_OK) status = evaluate_all(&e);
    uf_free(e.initial);
    uf_free(e.values);
    return status;
}
