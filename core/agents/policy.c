// policy.c: acting by one member's actor, and agents that learn the Q of given policies (fqe.h): see unifloral.h, policy.h.
//
// Rooms: policy, evaluator.
#include "core/agents/policy.h"

#include <stdio.h>
#include <string.h>

#include "core/agents/agent_parts.h"

// ---- policy ----

struct UfPolicy {
    int O, A, H, kind;
    UfMlp mlp;
    bool norm_obs;
    bool at_mean;  // is evaluated there, though it may be stochastic
    real log_std_min, log_std_max;
    real* params;          // one network
    real* norm;            // (2, O)
    float* action_bounds;  // (2, A) or null
};

UfStatus uf_policy_refresh(UfPolicy* policy, const UfAgent* a, int member) {
    const UfGroup* g = &a->groups[GROUP_ACTOR];
    a->backend->download(a->backend, policy->params, g->params + (size_t)member * g->count,
                         policy->mlp.size * sizeof(real));
    return a->backend->sync(a->backend);
}

UfStatus uf_policy_create(UfPolicy** out, const UfAgent* a, int member) {
    if (!out) return UF_FAIL(UF_ERR_ARGUMENT, "uf_policy_create: out is null");
    *out = NULL;
    if (!a || member < 0 || member >= a->P)
        return UF_FAIL(UF_ERR_ARGUMENT, "member %d is not in this population", member);
    const UfConfig* c = &a->configs[member];
    UfPolicy* policy = NULL;
    UF_TRY(UF_ALLOC(&policy, 1, "policy"));
    policy->O = a->O;
    policy->A = a->A;
    policy->H = a->H;
    policy->kind = a->policy_kind;
    policy->mlp = a->mlp[GROUP_ACTOR];
    policy->norm_obs = c->norm_obs;
    policy->at_mean = c->deterministic || c->deterministic_eval;
    policy->log_std_min = (real)c->log_std_min;
    policy->log_std_max = (real)c->log_std_max;
    UfStatus status = UF_ALLOC(&policy->params, policy->mlp.size, "policy parameters");
    if (status == UF_OK) status = UF_ALLOC(&policy->norm, 2 * a->O, "policy statistics");
    if (status == UF_OK && a->action_bounds)
        status = UF_ALLOC(&policy->action_bounds, 2 * a->A, "action bounds");
    if (status == UF_OK) {
        memcpy(policy->norm, a->host_norm, 2 * (size_t)a->O * sizeof(real));
        if (a->action_bounds)
            memcpy(policy->action_bounds, a->action_bounds, 2 * (size_t)a->A * sizeof(float));
        status = uf_policy_refresh(policy, a, member);
    }
    if (status != UF_OK) {
        uf_policy_free(policy);
        return status;
    }
    *out = policy;
    return UF_OK;
}

UfStatus uf_policy_load(UfPolicy** out, const char* path, int member) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    UfAgent* agent = NULL;
    UF_TRY(uf_agent_load_to_act(&agent, path));
    UfStatus status = uf_policy_create(out, agent, member);
    uf_agent_free(agent);
    return status;
}

int uf_policy_obs_dim(const UfPolicy* policy) { return policy->O; }
int uf_policy_action_dim(const UfPolicy* policy) { return policy->A; }

enum { POLICY_ROWS = 64 };  // rows a pass, so that scratch stays small

// m, a categorical policy's outputs, is overwritten.
static void choose_kind(float* action, real* m, const float* noise, int A) {
    for (int i = 0; i < A && noise; i++) m[i] += uf_gumbel(noise[i]);
    uf_categorical_action(m, m, NULL, A);
    for (int i = 0; i < A; i++) action[i] = (float)m[i];
}

static void act_rows(const UfPolicy* p, float* actions, const float* obs, int rows, const float* noise,
                     real* scratch) {
    real *x = scratch, *head = x + (size_t)rows * (size_t)p->O, *layers = head + (size_t)rows * (size_t)p->H;
    for (int b = 0; b < rows; b++)
        for (int i = 0; i < p->O; i++) {
            const real o = obs[(size_t)b * (size_t)p->O + (size_t)i];
            x[(size_t)b * (size_t)p->O + (size_t)i] =
                p->norm_obs ? (o - p->norm[i]) / (p->norm[p->O + i] + (real)UF_OBS_STD_EPS) : o;
        }
    uf_mlp_forward_host(&p->mlp, p->params, head, x, p->O, rows, layers);
    for (int b = 0; b < rows && p->kind == UF_POLICY_CATEGORICAL; b++)
        choose_kind(actions + (size_t)b * (size_t)p->A, head + (size_t)b * (size_t)p->H,
                    noise ? noise + (size_t)b * (size_t)p->A : NULL, p->A);
    for (int b = 0; b < rows && p->kind != UF_POLICY_CATEGORICAL; b++)
        for (int i = 0; i < p->A; i++) {
            const real* m = head + (size_t)b * (size_t)p->H;
            const real raw = p->kind == UF_POLICY_DETERMINISTIC ? 0
                             : p->H == 2 * p->A                 ? m[p->A + i]
                                                                : p->params[p->mlp.log_std + (size_t)i];
            const size_t at = (size_t)b * (size_t)p->A + (size_t)i;
            actions[at] = (float)uf_policy_sample(p->kind, m[i], uf_clip(raw, p->log_std_min, p->log_std_max),
                                                  noise ? noise[at] : 0)
                              .action;
        }
}

UfStatus uf_policy_act_normalised(const UfPolicy* p, float* actions, const float* obs, int64_t n,
                                  const float* noise) {
    real* scratch = NULL;
    const size_t most = n < POLICY_ROWS ? (size_t)n : POLICY_ROWS;
    UF_TRY(UF_ALLOC(&scratch, most * (size_t)(p->O + p->H + 2 * p->mlp.width), "scratch of a policy"));
    for (int64_t b = 0; b < n; b += POLICY_ROWS) {
        const int rows = n - b < POLICY_ROWS ? (int)(n - b) : POLICY_ROWS;
        act_rows(p, actions + b * p->A, obs + b * p->O, rows, noise ? noise + b * p->A : NULL, scratch);
    }
    uf_free(scratch);
    return UF_OK;
}

UfStatus uf_policy_act(const UfPolicy* p, float* actions, const float* obs, int64_t n, const float* noise) {
    if (!p || n < 0 || (n > 0 && (!actions || !obs)))
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_policy_act: needs a policy, actions and obs");
    UF_TRY(uf_policy_act_normalised(p, actions, obs, n, noise));
    if (!p->action_bounds) return UF_OK;
    for (int64_t i = 0; i < n * p->A; i++)
        actions[i] = uf_action_in_units(p->action_bounds, p->A, (int)(i % p->A), actions[i]);
    return UF_OK;
}

void uf_policy_free(UfPolicy* policy) {
    if (!policy) return;
    uf_free(policy->params);
    uf_free(policy->norm);
    uf_free(policy->action_bounds);
    uf_free(policy);
}

// ---- evaluator ----

// An agent that learns Q of given policies instead of its own: see core/runs/fqe.h.

// First number of the actor that is none.   -1: all are
static int64_t first_nonfinite(const UfPolicy* p) {
    for (size_t i = 0; i < p->mlp.size; i++)
        if (!uf_is_finite(p->params[i])) return (int64_t)i;
    for (int i = 0; p->norm_obs && i < 2 * p->O; i++)
        if (!uf_is_finite(p->norm[i])) return i;
    return -1;
}

UfStatus uf_policy_check(const UfPolicy* p, const UfDataset* d) {
    const char* name = d->path[0] ? d->path : "the dataset";
    if (p->O != d->obs_dim || p->A != d->action_dim)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "the policy has %d observations and %d actions, %s %d and %d; evaluate it on data of its task",
            p->O, p->A, name, d->obs_dim, d->action_dim);
    for (int i = 0; p->action_bounds && d->action_low && i < p->A; i++)
        if (p->action_bounds[i] != d->action_low[i] || p->action_bounds[p->A + i] != d->action_high[i])
            return UF_FAIL(
                UF_ERR_ARGUMENT,
                "action %d of the policy goes from %g to %g, in %s from %g to %g; their units differ", i,
                (double)p->action_bounds[i], (double)p->action_bounds[p->A + i], name,
                (double)d->action_low[i], (double)d->action_high[i]);
    if (p->kind == UF_POLICY_CATEGORICAL) UF_TRY(uf_dataset_check_one_hot(d));
    if (first_nonfinite(p) >= 0)
        return UF_FAIL(UF_ERR_FORMAT, "number %lld of the actor is not finite; the policy cannot act",
                       (long long)first_nonfinite(p));
    return UF_OK;
}

bool uf_policies_alike(const UfPolicy* a, const UfPolicy* b) {
    return a->kind == b->kind && a->H == b->H && a->at_mean == b->at_mean && a->norm_obs == b->norm_obs &&
           !memcmp(&a->mlp, &b->mlp, sizeof a->mlp) &&
           (!a->norm_obs || !memcmp(a->norm, b->norm, 2 * (size_t)a->O * sizeof(real)));
}

// `settings` with the actor's shape of a policy, and one critic.
static void evaluator_config(UfConfig* c, const UfConfig* settings, const UfPolicy* policy, int64_t seed) {
    *c = *settings;
    c->seed = seed;
    c->num_critics = 1;
    c->deterministic = policy->kind == UF_POLICY_DETERMINISTIC;
    c->deterministic_eval = policy->at_mean;
    c->use_tanh_mean = policy->kind != UF_POLICY_SQUASHED;
    c->use_log_std_param =
        !c->deterministic && policy->H == policy->A;  // a categorical one's does not matter
    c->actor_num_layers = policy->mlp.layers;
    c->actor_layer_width = policy->mlp.width;
    c->actor_ln = policy->mlp.layer_norm;
    c->log_std_min = (double)policy->log_std_min;
    c->log_std_max = (double)policy->log_std_max;
}

static UfStatus upload_policies(UfAgent* a, const UfPolicy* const* policies) {
    UfBackend* be = a->backend;
    const UfPolicy* first = policies[0];
    const size_t O = (size_t)a->O;
    for (int p = 0; p < a->P; p++)
        be->upload(be, a->groups[GROUP_ACTOR].params + (size_t)p * a->groups[GROUP_ACTOR].count,
                   policies[p]->params, first->mlp.size * sizeof(real));
    be->upload(be, a->actor_mean, first->norm, O * sizeof(real));
    be->upload(be, a->actor_std, first->norm + O, O * sizeof(real));
    if (!first->norm_obs) a->actor_mean = a->actor_std = NULL;
    return be->sync(be);
}

UfStatus uf_agent_create_evaluator(UfAgent** out, const UfPolicy* const* policies, const int64_t* seeds,
                                   int population, const UfConfig* settings, const UfDataset* dataset,
                                   int num_threads) {
    const int O = dataset->obs_dim;
    UfConfig *configs = NULL, **each = NULL;
    real* norm = NULL;
    *out = NULL;
    UfStatus status = UF_ALLOC(&configs, population, "configurations");
    if (status == UF_OK) status = UF_ALLOC(&each, population, "configurations");
    if (status == UF_OK) status = UF_ALLOC(&norm, 2 * O, "observation statistics");
    for (int p = 0; status == UF_OK && p < population; p++) {
        each[p] = &configs[p];
        evaluator_config(each[p], settings, policies[p], seeds[p]);
    }
    for (int i = 0; status == UF_OK && i < O; i++) {
        norm[i] = dataset->obs_mean[i];
        norm[O + i] = dataset->obs_std[i];
    }
    if (status == UF_OK)
        status = uf_agent_make(out, (const UfConfig* const*)each, population, O, dataset->action_dim,
                               policies[0]->kind == UF_POLICY_CATEGORICAL, norm, norm + O, num_threads, true);
    if (status == UF_OK) status = upload_policies(*out, policies);
    if (status != UF_OK) {
        uf_agent_free(*out);
        *out = NULL;
    }
    uf_free(configs);
    uf_free(each);
    uf_free(norm);
    return status;
}
