// test_fqe.c: fitted Q evaluation against values known in closed form, its bits, refusals and divergence; and the
// diagnosis of a training agent against a forward pass written out here.
#include "same_member.h"
#include "support.h"

#include <math.h>
#include <sys/stat.h>

#include "core/agents/agent.h"
#include "core/data/dataset.h"
#include "core/runs/collect.h"
#include "core/runs/fqe.h"

// ---- a chain of states ----

// State s is observed as (s, s^2 / 4, 1 - s / 2), the last one ends the episode, and an action earns less the farther
// it is from 1/4: Q of any policy is a short sum.
enum { STATES = 6, OBS = 3, EPISODES = 400, ROWS = STATES * EPISODES };
#define GAMMA 0.9

static void observe(int state, float obs[OBS]) {
    obs[0] = (float)state;
    obs[1] = (float)(state * state) / 4;
    obs[2] = 1 - (float)state / 2;
}

static double reward_at(int state, double action) {
    return 0.2 * (state % 3) - (action - 0.25) * (action - 0.25);
}

// ends: the last state is terminal; else the episode is cut there by a time-out and goes on to state 0.
static UfDataset* chain(bool ends) {
    static float obs[ROWS * OBS], next_obs[ROWS * OBS], actions[ROWS], rewards[ROWS];
    static uint8_t terminals[ROWS], timeouts[ROWS];
    UfRandom random = uf_random(11, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < ROWS; i++) {
        const int state = i % STATES, last = state == STATES - 1;
        observe(state, obs + i * OBS);
        observe((state + 1) % STATES, next_obs + i * OBS);
        actions[i] = (float)uf_random_uniform(&random, -1, 1);
        rewards[i] = (float)reward_at(state, actions[i]);
        terminals[i] = last && ends;
        timeouts[i] = last && !ends;
    }
    const UfArrays arrays = {.num_rows = ROWS,
                             .obs_dim = OBS,
                             .action_dim = 1,
                             .observations = obs,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals,
                             .timeouts = timeouts,
                             .next_observations = next_obs};
    UfDataset* data = NULL;
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    return data;
}

// Value of state 0 for rewards (STATES) a step.
static double value_of(const double* rewards, bool ends) {
    double sum = 0, discount = 1;
    for (int s = 0; s < STATES; s++, discount *= GAMMA) sum += discount * rewards[s];
    return ends ? sum : sum / (1 - discount);
}

// Observations far from the chain's: a policy made for these sees the chain in other statistics.
static UfDataset* other_data(float shift) {
    static float obs[40 * OBS], zeros[40];
    static uint8_t terminals[40];
    UfRandom random = uf_random(12, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < 40 * OBS; i++) obs[i] = shift + 2 * uf_random_normal(&random);
    const UfArrays arrays = {.num_rows = 40,
                             .obs_dim = OBS,
                             .action_dim = 1,
                             .observations = obs,
                             .actions = zeros,
                             .rewards = zeros,
                             .terminals = terminals};
    UfDataset* data = NULL;
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    return data;
}

// ---- policies ----

static void set_tensor(UfAgent* agent, const char* name, double scale, double shift) {
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        const size_t count = uf_tensor_count(t);
        if (strcmp(t->name, name)) continue;
        real* x = test_malloc(count * sizeof(real));
        for (int p = 0; p < uf_agent_population(agent); p++) {
            assert_ok(uf_agent_get_tensor(agent, t, UF_TENSOR_VALUE, p, x));
            for (size_t k = 0; k < count; k++) x[k] = (real)(scale * x[k] + shift);
            assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, p, x));
        }
        test_free(x);
        return;
    }
    fail_msg("no tensor %s", name);
}

// A small actor with random weights, large enough that actions vary with the state.
static UfPolicy* policy_with_std(const char* json, const UfDataset* data, int64_t seed, double bias,
                                 double log_std) {
    UfConfig* c = NULL;
    UfAgent* agent = NULL;
    UfPolicy* policy = NULL;
    assert_ok(uf_config_create(&c));
    assert_ok(uf_config_parse(c,
                              "{\"batch_size\": 16, \"actor_layer_width\": 16, \"critic_layer_width\": 16, "
                              "\"actor_num_layers\": 2, \"critic_num_layers\": 1}",
                              "small"));
    assert_ok(uf_config_parse(c, json, "policy"));
    c->seed = seed;
    assert_ok(uf_agent_create(&agent, c, data, 1));
    set_tensor(agent, "actor/mean/kernel", 150, 0);
    set_tensor(agent, "actor/mean/bias", 0, bias);
    if (!c->deterministic && !c->use_log_std_param) set_tensor(agent, "actor/log_std/bias", 0, log_std);
    if (!c->deterministic && c->use_log_std_param) set_tensor(agent, "actor/log_std_param", 0, log_std);
    assert_ok(uf_policy_create(&policy, agent, 0));
    uf_agent_free(agent);
    uf_config_free(c);
    return policy;
}

static UfPolicy* policy_of(const char* json, const UfDataset* data, int64_t seed, double bias) {
    return policy_with_std(json, data, seed, bias, -0.7);
}

static UfConfig* chain_config(void) {
    UfConfig* c = NULL;
    assert_ok(uf_fqe_config(&c));
    c->num_updates = 2500;
    c->gamma = GAMMA;
    c->batch_size = 64;
    c->critic_layer_width = 32;
    c->num_critics = 2;
    c->lr = 2e-3;
    c->lr_schedule = UF_SCHEDULE_COSINE;
    c->polyak_step_size = 0.05;
    return c;
}

static double evaluate_one(const UfPolicy* policy, const UfDataset* data, const UfConfig* config,
                           UfFqe* result) {
    UfFqe own;
    if (!result) result = &own;
    assert_ok(uf_fqe(result, &policy, 1, data, config, 1, NULL, NULL));
    assert_int_equal(result->diverged, 0);
    return result->estimate;
}

// ---- networks by hand ----

static const double* tensor(UfAgent* agent, int member, const char* net, const char* leaf, int* rows,
                            int* columns) {
    static double values[16][4096];
    static int next;
    static real raw[4096];
    double* out = values[next++ % 16];
    char name[128];
    snprintf(name, sizeof name, "%s/%s", net, leaf);
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        if (strcmp(t->name, name)) continue;
        assert_true(uf_tensor_count(t) <= 4096);
        assert_ok(uf_agent_get_tensor(agent, t, UF_TENSOR_VALUE, member, raw));
        for (size_t k = 0; k < uf_tensor_count(t); k++) out[k] = raw[k];
        if (rows) *rows = t->rows;
        if (columns) *columns = t->columns;
        return out;
    }
    return NULL;
}

// x W + b of network n in double precision.
static void layer(UfAgent* agent, int member, int n, const char* net, const char* name, const double* x,
                  double* out, int* width) {
    char leaf[64];
    int rows = 0;
    snprintf(leaf, sizeof leaf, "%s/kernel", name);
    const double* w = tensor(agent, member, net, leaf, &rows, width);
    snprintf(leaf, sizeof leaf, "%s/bias", name);
    const double* b = tensor(agent, member, net, leaf, NULL, NULL);
    assert_non_null(w);
    for (int j = 0; j < *width; j++) {
        out[j] = b[n * *width + j];
        for (int i = 0; i < rows; i++) out[j] += x[i] * w[(n * rows + i) * *width + j];
    }
}

static double network(UfAgent* agent, int member, int n, const char* net, int layers, bool layer_norm,
                      const char* head, const double* input, int output) {
    double x[64], z[64];
    int width = 0;
    memcpy(x, input, 16 * sizeof *x);
    for (int l = 0; l < layers; l++) {
        char name[32];
        double mean = 0, variance = 0;
        snprintf(name, sizeof name, "hidden/%d", l);
        layer(agent, member, n, net, name, x, z, &width);
        for (int j = 0; j < width; j++) mean += (z[j] = fmax(z[j], 0)) / width;
        for (int j = 0; j < width; j++) variance += (z[j] - mean) * (z[j] - mean) / width;
        memcpy(x, z, sizeof x);
        if (!layer_norm) continue;
        snprintf(name, sizeof name, "hidden/%d/scale", l);
        const double* scale = tensor(agent, member, net, name, NULL, NULL);
        snprintf(name, sizeof name, "hidden/%d/shift", l);
        const double* shift = tensor(agent, member, net, name, NULL, NULL);
        for (int j = 0; j < width; j++)
            x[j] = (z[j] - mean) / sqrt(variance + UF_LAYER_NORM_EPS) * scale[n * width + j] +
                   shift[n * width + j];
    }
    layer(agent, member, n, net, head, x, z, &width);
    return z[output];
}

static void normalise(const UfDataset* data, const float* obs, double* x) {
    for (int i = 0; i < data->obs_dim; i++)
        x[i] = (obs[i] - data->obs_mean[i]) / (data->obs_std[i] + UF_OBS_STD_EPS);
}

static void act_by_hand(UfAgent* agent, int member, const UfDataset* data, const float* obs, double* action) {
    const UfConfig* c = uf_agent_config(agent, member);
    double x[16] = {0};
    normalise(data, obs, x);
    for (int i = 0; i < data->action_dim; i++)
        action[i] =
            tanh(network(agent, member, 0, "actor", (int)c->actor_num_layers, c->actor_ln, "mean", x, i));
}

static double q_by_hand(UfAgent* agent, int member, const UfDataset* data, const float* obs,
                        const double* action) {
    const UfConfig* c = uf_agent_config(agent, member);
    double x[16] = {0}, sum = 0;
    normalise(data, obs, x);
    for (int i = 0; i < data->action_dim; i++) x[data->obs_dim + i] = action[i];
    for (int n = 0; n < c->num_critics; n++)
        sum += network(agent, member, n, "critic", (int)c->critic_num_layers, c->critic_ln, "out", x, 0);
    return sum / (double)c->num_critics;
}

// ---- against closed forms ----

// Rewards of a policy at its mean, state by state.
static void mean_rewards(const UfPolicy* policy, double rewards[STATES]) {
    float obs[OBS], action, least = 2, most = -2;
    for (int s = 0; s < STATES; s++) {
        observe(s, obs);
        assert_ok(uf_policy_act(policy, &action, obs, 1, NULL));
        rewards[s] = reward_at(s, action);
        least = fminf(least, action);
        most = fmaxf(most, action);
    }
    if (most - least < 0.2f) fail_msg("actions from %g to %g do not depend on the state", least, most);
}

// The critics are off by less than a hundredth of a reward's range, 2, over the horizon: 0.02 / (1 - GAMMA).
static void assert_value(const char* what, double estimate, double truth) {
    if (!(fabs(estimate - truth) < 0.02 / (1 - GAMMA)))
        fail_msg("%s: %g, the value is %g", what, estimate, truth);
}

// Episodes that end and ones that are cut, and policies in their own statistics, in others, and in none.
static void test_closed_form(void** state) {
    (void)state;
    UfConfig* config = chain_config();
    UfDataset* far = other_data(5);
    for (int ends = 0; ends < 2; ends++) {
        UfDataset* data = chain(ends);
        UfPolicy* policies[] = {policy_of("{}", data, 1, 0.5), policy_of("{}", far, 2, -1),
                                policy_of("{\"norm_obs\": false, \"actor_ln\": false}", far, 3, 0)};
        for (int k = 0; k < 3; k++) {
            UfFqe r;
            double rewards[STATES];
            char what[64];
            mean_rewards(policies[k], rewards);
            snprintf(what, sizeof what, "policy %d, %s", k, ends ? "terminals" : "time-outs");
            assert_value(what, evaluate_one(policies[k], data, config, &r), value_of(rewards, ends));
            assert_int_equal(r.num_states, EPISODES);
            assert_true(r.low <= r.estimate && r.estimate <= r.high && r.td_error < 0.01);
            uf_policy_free(policies[k]);
        }
        uf_dataset_free(data);
    }
    uf_dataset_free(far);
    uf_config_free(config);
}

// Expected rewards of a policy that is sampled, by many samples.
static void sampled_rewards(const UfPolicy* policy, double rewards[STATES]) {
    enum { SAMPLES = 20000 };
    UfRandom random = uf_random(13, UF_STREAM_CONTROLLER, 0);
    float obs[OBS];
    for (int s = 0; s < STATES; s++) {
        observe(s, obs);
        rewards[s] = 0;
        for (int k = 0; k < SAMPLES; k++) {
            float action, noise = uf_random_normal(&random);
            assert_ok(uf_policy_act(policy, &action, obs, 1, &noise));
            rewards[s] += reward_at(s, fminf(fmaxf(action, -1), 1)) / SAMPLES;  // as environments take it
        }
    }
}

static void test_stochastic(void** state) {
    (void)state;
    static const char* const kinds[] = {
        "{\"deterministic\": false}", "{\"deterministic\": false, \"use_log_std_param\": true}",
        "{\"deterministic\": false, \"use_tanh_mean\": false}",
        "{\"deterministic\": false, \"use_tanh_mean\": false, \"deterministic_eval\": true}"};
    UfConfig* config = chain_config();
    UfDataset* data = chain(true);
    for (int k = 0; k < 4; k++) {
        UfPolicy* policy = policy_of(kinds[k], data, 4, 0.8);
        double at_mean[STATES], sampled[STATES];
        mean_rewards(policy, at_mean);
        sampled_rewards(policy, sampled);
        const double mean = value_of(at_mean, true), samples = value_of(sampled, true);
        if (fabs(mean - samples) < 0.4) fail_msg("%g and %g are too near to tell", mean, samples);
        assert_value(kinds[k], evaluate_one(policy, data, config, NULL), k < 3 ? samples : mean);
        uf_policy_free(policy);
    }
    uf_config_free(config);
    uf_dataset_free(data);
}

// Values of initial states are those of the policy's samples, clipped: not of its mean.
static void test_sampled_values(void** state) {
    (void)state;
    enum { SAMPLES = 20000 };
    UfConfig* config = chain_config();
    UfDataset* data = chain(true);
    UfPolicy* policy = policy_with_std("{\"deterministic\": false}", data, 4, 1.0, -0.2);
    UfAgent* agent = NULL;
    int64_t seed = 1, *rows = NULL, count = 0;
    double values[EPISODES], estimate = 0, sampled = 0, unclipped = 0;
    float obs[OBS], action, noise;
    UfRandom random = uf_random(16, UF_STREAM_CONTROLLER, 0);
    assert_ok(uf_agent_create_evaluator(&agent, (const UfPolicy* const*)&policy, &seed, 1, config, data, 1));
    assert_ok(uf_train(agent, data, 500, NULL, NULL));
    assert_ok(uf_initial_rows(data, &rows, &count));
    assert_int_equal(count, EPISODES);
    assert_ok(uf_agent_values(agent, 0, data, values, rows, count));
    for (int i = 0; i < EPISODES; i++) estimate += values[i] / EPISODES;
    observe(0, obs);
    for (int k = 0; k < SAMPLES; k++) {
        noise = uf_random_normal(&random);
        assert_ok(uf_policy_act(policy, &action, obs, 1, &noise));
        const double raw = action, clipped = fmin(fmax(raw, -1), 1);
        sampled += q_by_hand(agent, 0, data, obs, &clipped) / SAMPLES;
        unclipped += q_by_hand(agent, 0, data, obs, &raw) / SAMPLES;
    }
    assert_ok(uf_policy_act(policy, &action, obs, 1, NULL));
    const double mean = action, at_mean = q_by_hand(agent, 0, data, obs, &mean);
    // The estimate is a mean over 6400 actions, over which Q has a deviation below 0.5: 0.02 is 3 of its own.
    if (fabs(sampled - at_mean) < 0.045 || fabs(sampled - unclipped) < 0.045)
        fail_msg("sampled %g, at the mean %g, unclipped %g: too near to tell", sampled, at_mean, unclipped);
    if (fabs(estimate - sampled) > 0.02)
        fail_msg("%g, by hand %g (at the mean %g)", estimate, sampled, at_mean);
    uf_agent_free(agent);
    uf_policy_free(policy);
    uf_free(rows);
    uf_dataset_free(data);
    uf_config_free(config);
}

// A value at the bound of what is possible is no divergence.
static void test_bound(void** state) {
    (void)state;
    UfConfig* config = chain_config();
    UfDataset* data = chain(false);
    UfPolicy* policy = policy_of("{}", data, 1, 0);
    UfFqe r;
    for (int64_t i = 0; i < data->num_records; i++) data->records[i * data->stride + OBS + 1] = -1;
    config->gamma = 0.99;
    config->polyak_step_size = 0.2;
    evaluate_one(policy, data, config, &r);
    assert_true(fabs(r.q_low + 100) < 1e-6 && fabs(r.q_high + 100) < 1e-6);
    if (!(fabs(r.estimate + 100) < 5)) fail_msg("%g, the value is -100", r.estimate);
    uf_policy_free(policy);
    uf_dataset_free(data);
    uf_config_free(config);
}

// ---- the interval ----

// With one critic it is that of the initial states: all of them are equal here. With more it is the critics' spread.
static void test_interval(void** state) {
    (void)state;
    UfConfig* config = chain_config();
    UfDataset* data = chain(true);
    UfPolicy* policy = policy_of("{}", data, 1, 0.5);
    UfFqe one, three;
    config->num_updates = 200;
    config->num_critics = 1;
    evaluate_one(policy, data, config, &one);
    assert_true(fabs(one.high - one.low) < 1e-6 * fabs(one.estimate));
    config->num_critics = 3;
    evaluate_one(policy, data, config, &three);
    assert_true(three.high - three.low > 1e-3);

    // By hand: the critics' means are those of evaluators with their seeds.
    double means[3], mean = 0, variance = 0;
    for (int c = 0; c < 3; c++) {
        UfAgent* agent = NULL;
        int64_t *rows = NULL, count = 0, seed = uf_philox(0, UF_STREAM_FQE_SEED, (uint64_t)c, 0).v[0];
        double* values = test_calloc(EPISODES, sizeof(double));
        assert_ok(
            uf_agent_create_evaluator(&agent, (const UfPolicy* const*)&policy, &seed, 1, config, data, 1));
        assert_ok(uf_train(agent, data, 200, NULL, NULL));
        assert_ok(uf_initial_rows(data, &rows, &count));
        assert_ok(uf_agent_values(agent, 0, data, values, rows, count));
        means[c] = 0;
        for (int i = 0; i < EPISODES; i++) means[c] += values[i] / EPISODES;
        mean += means[c] / 3;
        uf_agent_free(agent);
        uf_free(rows);
        test_free(values);
    }
    assert_true(fabs(mean - three.estimate) < 1e-9);
    for (int c = 0; c < 3; c++) variance += (means[c] - mean) * (means[c] - mean) / 2;
    // A bootstrap of three, stretched to the variance of their mean: at its ends all three are the same critic, with
    // probability 1/27 each, which is more than 2.5 %.
    double least = fmin(means[0], fmin(means[1], means[2])), most = fmax(means[0], fmax(means[1], means[2]));
    assert_true(fabs(three.low - (mean + sqrt(1.5) * (least - mean))) < 1e-6);
    assert_true(fabs(three.high - (mean + sqrt(1.5) * (most - mean))) < 1e-6);
    assert_true(three.high - three.low > 2 * sqrt(variance / 3));
    uf_policy_free(policy);
    uf_dataset_free(data);
    uf_config_free(config);
}

// ---- bits ----

static int count_update(void* user, int64_t update, int64_t num_updates) {
    int64_t* seen = user;
    if (update <= seen[0]) fail_msg("update %lld after %lld", (long long)update, (long long)seen[0]);
    seen[0] = update;
    seen[1] = num_updates;
    return seen[2] && update >= seen[2];
}

// Policies that are alike, others between them, and as many as need two populations: each as it is alone, for any
// number of threads.
static void test_population(void** state) {
    (void)state;
    enum { COUNT = 12 };
    UfConfig* config = chain_config();
    UfDataset *data = chain(true), *far = other_data(5);
    UfPolicy* policies[COUNT];
    UfFqe together[COUNT], threaded[COUNT], alone[COUNT];
    int64_t seen[3] = {0};
    config->num_updates = 20;
    config->batch_size = 300;
    config->num_critics = 10;
    static const char* const sampled[] = {
        "{\"deterministic\": false, \"use_log_std_param\": true, \"log_std_max\": -2}",
        "{\"deterministic\": false, \"use_log_std_param\": true}",
        "{\"deterministic\": false, \"use_log_std_param\": true, \"deterministic_eval\": true}"};
    for (int k = 0; k < COUNT; k++)
        policies[k] = k == 0              ? policy_of("{\"norm_obs\": false}", data, k, 0)
                      : k == 4            ? policy_of("{\"actor_layer_width\": 24}", data, k, 0)
                      : k == 5            ? policy_of(sampled[2], data, k, 0)
                      : k == 7            ? policy_of(sampled[0], data, k, 0)
                      : k == 8 || k == 10 ? policy_with_std(sampled[1], data, 8, 0, k == 8 ? -0.7 : -1.5)
                                          : policy_of("{}", k == 9 ? far : data, k, 0);
    const UfPolicy* const* all = (const UfPolicy* const*)policies;
    assert_ok(uf_fqe(together, all, COUNT, data, config, 1, count_update, seen));
    assert_int_equal(seen[0], 6 * 20);  // 0; 1, 2, 3, 6 and 11; 4; 5; 7, 8 and 10; 9
    assert_int_equal(seen[1], seen[0]);
    assert_ok(uf_fqe(threaded, all, COUNT, data, config, 3, NULL, NULL));
    for (int k = 0; k < COUNT; k++) {
        evaluate_one(policies[k], data, config, &alone[k]);
        assert_memory_equal(&together[k], &alone[k], sizeof(UfFqe));
        assert_memory_equal(&together[k], &threaded[k], sizeof(UfFqe));
        for (int j = 0; j < k; j++) assert_true(alone[j].estimate != alone[k].estimate);
    }
    config->num_critics = 33;  // a policy a population
    config->num_updates = 2;
    memset(seen, 0, sizeof seen);
    assert_ok(uf_fqe(together, all, 3, data, config, 1, count_update, seen));
    assert_int_equal(seen[0], 3 * 2);

    // The answer of a callback ends it.
    seen[0] = 0;
    seen[2] = 1;
    assert_int_equal(uf_fqe(together, all, 3, data, config, 1, count_update, seen), UF_ERR_STOPPED);
    assert_int_equal(seen[0], 1);  // the first round
    for (int k = 0; k < COUNT; k++) uf_policy_free(policies[k]);
    uf_dataset_free(data);
    uf_dataset_free(far);
    uf_config_free(config);
}

// ---- divergence and refusals ----

static void test_divergence(void** state) {
    (void)state;
    UfConfig* config = chain_config();
    UfDataset* data = chain(true);
    UfPolicy* policy = policy_of("{}", data, 1, 0);
    const UfPolicy* const* all = (const UfPolicy* const*)&policy;
    UfFqe r;
    config->lr_schedule = UF_SCHEDULE_CONSTANT;
    config->num_updates = 60;
    config->critic_ln = false;
    config->critic_num_layers = 4;
    for (int k = 0; k < 2; k++) {  // beyond all numbers; beyond those that rewards allow
        config->lr = k ? 10 : 1e3;
        assert_ok(uf_fqe(&r, all, 1, data, config, 1, NULL, NULL));
        if (!r.diverged) fail_msg("lr %g: %g, TD error %g", config->lr, r.worst, r.td_error);
        assert_true(isnan(r.estimate) && isnan(r.low) && isnan(r.high));
        assert_true(k ? isfinite(r.worst) && r.worst > 2 * r.q_high : !isfinite(r.worst));
    }
    uf_policy_free(policy);
    uf_dataset_free(data);
    uf_config_free(config);
}

// What the range of Q is, with and without ends.
static void test_range(void** state) {
    (void)state;
    UfConfig* config = chain_config();
    config->num_updates = 1;
    for (int ends = 0; ends < 2; ends++) {
        UfDataset* data = chain(ends);
        UfPolicy* policy = policy_of("{}", data, 1, 0);
        UfFqe r;
        float least = 10, most = -10;
        for (int64_t i = 0; i < data->num_records; i++) {
            float* reward = &data->records[i * data->stride + OBS + 1];
            *reward -= 3;
            least = fminf(least, *reward);
            most = fmaxf(most, *reward);
        }
        assert_ok(uf_fqe(&r, (const UfPolicy* const*)&policy, 1, data, config, 1, NULL, NULL));
        assert_true(fabs(r.q_low - least / (1 - GAMMA)) < 1e-4);
        assert_true(fabs(r.q_high - (ends ? most : most / (1 - GAMMA))) < 1e-4);
        uf_policy_free(policy);
        uf_dataset_free(data);
    }
    uf_config_free(config);
}

static void refused(const UfPolicy* policy, const UfDataset* data, const UfConfig* config, UfStatus status,
                    const char* piece) {
    UfFqe r;
    assert_int_equal(uf_fqe(&r, &policy, 1, data, config, 1, NULL, NULL), status);
    assert_error(piece);
}

static void test_refusals(void** state) {
    (void)state;
    UfConfig* config = chain_config();
    UfDataset *data = chain(true), *far = other_data(5);
    UfPolicy* policy = policy_of("{}", data, 1, 0);
    refused(NULL, data, config, UF_ERR_ARGUMENT, "policy 0: is null");
    refused(policy, NULL, config, UF_ERR_ARGUMENT, "needs results, policies");
    refused(policy, data, NULL, UF_ERR_ARGUMENT, "needs results, policies");
    config->gamma = 1;
    refused(policy, data, config, UF_ERR_CONFIG, "gamma 1 leaves values without a bound");
    config->gamma = GAMMA;
    config->actor_lr = 0.5;
    refused(policy, data, config, UF_ERR_CONFIG,
            "actor_lr is set to 0.5, but fitted Q evaluation does not read it");
    uf_config_free(config);
    assert_ok(uf_config_create(&config));  // a training one
    refused(policy, data, config, UF_ERR_CONFIG, "does not read it");
    uf_config_free(config);

    config = chain_config();
    const float obs[8] = {0}, actions[8] = {0};
    const uint8_t terminals[4] = {0};
    const UfArrays two = {.num_rows = 4,
                          .obs_dim = 2,
                          .action_dim = 2,
                          .observations = obs,
                          .actions = actions,
                          .rewards = obs,
                          .terminals = terminals};
    UfDataset* other = NULL;
    assert_ok(uf_dataset_from_arrays(&other, &two));
    refused(policy, other, config, UF_ERR_ARGUMENT,
            "policy 0: the policy has 3 observations and 1 actions, the dataset 2 and 2");
    uf_dataset_free(other);

    // Units of actions that are not those of the data.
    float low[1] = {-2}, high[1] = {2}, wide[1] = {3};
    far->action_low = low;
    far->action_high = high;
    UfPolicy* scaled = policy_of("{}", far, 1, 0);
    data->action_low = low;
    data->action_high = wide;
    config->num_updates = 1;
    refused(scaled, data, config, UF_ERR_ARGUMENT,
            "action 0 of the policy goes from -2 to 2, in the dataset from -2 to 3");
    data->action_high = high;
    evaluate_one(scaled, data, config, NULL);
    evaluate_one(policy, data, config,
                 NULL);  // made where actions have no units: [-1, 1] of whatever there is
    far->action_low = far->action_high = data->action_low = data->action_high = NULL;

    int64_t rows[] = {1, 2, 4, STATES + 1}, *all_rows = data->rows, num_rows = data->num_rows;
    data->rows = rows;
    data->num_rows = 4;
    refused(policy, data, config, UF_ERR_ARGUMENT, "the dataset: none of its 4 rows begins an episode");
    data->rows = all_rows;
    data->num_rows = num_rows;

    UfPolicy* broken = policy_of("{}", data, 1, NAN);
    refused(broken, data, config, UF_ERR_FORMAT, "of the actor is not finite");
    uf_policy_free(broken);
    uf_policy_free(scaled);
    uf_policy_free(policy);
    uf_dataset_free(far);
    uf_dataset_free(data);
    uf_config_free(config);
}

// ---- diagnosis ----

enum { D_ROWS = 300, D_OBS = 4, D_ACT = 2, D_LENGTH = 30 };
static float d_obs[D_ROWS * D_OBS], d_next[D_ROWS * D_OBS], d_actions[D_ROWS * D_ACT], d_rewards[D_ROWS];

static UfDataset* diagnosis_data(bool stored_next) {
    static uint8_t terminals[D_ROWS], timeouts[D_ROWS];
    UfRandom random = uf_random(14, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < D_ROWS * D_OBS; i++) d_obs[i] = 1 + 3 * uf_random_normal(&random);
    for (int i = 0; i < D_ROWS * D_ACT; i++) d_actions[i] = (float)uf_random_uniform(&random, -1, 1);
    for (int i = 0; i < D_ROWS; i++) {
        const bool end = i % D_LENGTH == D_LENGTH - 1;
        d_rewards[i] = uf_random_normal(&random);
        terminals[i] = end && i / D_LENGTH % 2;
        timeouts[i] = end && !terminals[i];
        for (int j = 0; j < D_OBS; j++)
            d_next[i * D_OBS + j] = i + 1 < D_ROWS ? d_obs[(i + 1) * D_OBS + j] : 0.5f;
    }
    const UfArrays arrays = {.num_rows = D_ROWS,
                             .obs_dim = D_OBS,
                             .action_dim = D_ACT,
                             .observations = d_obs,
                             .actions = d_actions,
                             .rewards = d_rewards,
                             .terminals = terminals,
                             .timeouts = timeouts,
                             .next_observations = stored_next ? d_next : NULL};
    UfDataset* data = NULL;
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    return data;
}

static UfDiagnosis diagnosis_by_hand(UfAgent* agent, int member, const UfDataset* data, bool stored_next) {
    UfDiagnosis d = {0, 0, 0};
    const double gamma = uf_agent_config(agent, member)->gamma;
    int num_initial = 0, num_rows = 0;
    for (int i = 0; i < D_ROWS; i++) {
        const float* obs = d_obs + i * D_OBS;
        const bool end = i % D_LENGTH == D_LENGTH - 1, done = end && i / D_LENGTH % 2;
        if (!stored_next && ((end && !done) || i == D_ROWS - 1)) continue;  // no next state
        double action[D_ACT], next[D_ACT], data_action[D_ACT];
        num_rows++;
        act_by_hand(agent, member, data, obs, action);
        act_by_hand(agent, member, data, d_next + i * D_OBS, next);
        for (int k = 0; k < D_ACT; k++) {
            data_action[k] = d_actions[i * D_ACT + k];
            d.action_diff += (action[k] - data_action[k]) * (action[k] - data_action[k]);
        }
        const double next_q = q_by_hand(agent, member, data, d_next + i * D_OBS, next),
                     error = q_by_hand(agent, member, data, obs, data_action) - d_rewards[i] -
                             gamma * !done * next_q;
        d.td_error += error * error;
        if (i % D_LENGTH) continue;
        num_initial++;
        d.init_value += q_by_hand(agent, member, data, obs, action);
    }
    assert_int_equal(num_rows, uf_dataset_num_rows(data));
    assert_int_equal(num_initial, D_ROWS / D_LENGTH);
    return (UfDiagnosis){d.init_value / num_initial, d.td_error / num_rows, d.action_diff / num_rows};
}

// float32 against double: sums of a few dozen products of numbers near 1, a few layers deep.
static void assert_near(const char* what, double x, double y) {
    if (!(fabs(x - y) <= 2e-5 * (1 + fabs(y)))) fail_msg("%s: %.9g, by hand %.9g", what, x, y);
}

static const char* const families[] = {
    "{}",
    "{\"deterministic\": false, \"use_tanh_mean\": false, \"use_entropy_loss\": true, "
    "\"actor_entropy_coef\": 1,"
    " \"num_critics\": 3, \"cql_min_q_weight\": 5, \"critic_ln\": false, \"batch_size\": 256}",
    "{\"deterministic\": false, \"use_log_std_param\": true, \"use_awr\": true, \"use_value_target\": true,"
    " \"actor_q_coef\": 0, \"actor_ln\": false}",
    "{\"deterministic\": false, \"use_entropy_loss\": true, \"critic_entropy_coef\": 1, \"num_critics\": 5,"
    " \"diversity_coef\": 1, \"use_target_actor\": false, \"batch_size\": 300}",
};
enum { NUM_FAMILIES = sizeof families / sizeof *families };

static UfAgent* two_members(int family, const UfDataset* data) {
    UfConfig* configs[2];
    UfAgent* agent = NULL;
    for (int p = 0; p < 2; p++) {
        assert_ok(uf_config_create(&configs[p]));
        assert_ok(
            uf_config_parse(configs[p],
                            "{\"batch_size\": 64, \"actor_layer_width\": 20, \"critic_layer_width\": 24, "
                            "\"actor_num_layers\": 2, \"critic_num_layers\": 2, \"num_updates\": 100}",
                            "small"));
        assert_ok(uf_config_parse(configs[p], families[family], "family"));
        configs[p]->seed = p;
        configs[p]->gamma = 0.9 + 0.05 * p;
    }
    assert_ok(uf_agent_create_population(&agent, (const UfConfig* const*)configs, 2, data, 2));
    for (int p = 0; p < 2; p++) uf_config_free(configs[p]);
    return agent;
}

static void test_diagnosis(void** state) {
    (void)state;
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfDataset* data = diagnosis_data(f % 2);
        UfAgent* agent = two_members(f, data);
        assert_ok(uf_train(agent, data, 15, NULL, NULL));
        for (int p = 0; p < 2; p++) {
            UfDiagnosis d, by_hand = diagnosis_by_hand(agent, p, data, f % 2);
            assert_ok(uf_agent_diagnose(agent, p, data, &d));
            assert_near("init_value", d.init_value, by_hand.init_value);
            assert_near("td_error", d.td_error, by_hand.td_error);
            assert_near("action_diff", d.action_diff, by_hand.action_diff);
        }
        uf_agent_free(agent);
        uf_dataset_free(data);
    }
}

// It changes no bit of the training, whichever member is looked at.
static void test_diagnosis_is_silent(void** state) {
    (void)state;
    UfDataset* data = diagnosis_data(true);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfAgent *watched = two_members(f, data), *other = two_members(f, data);
        UfDiagnosis d;
        for (int i = 0; i < 4; i++) {
            assert_ok(uf_agent_diagnose(watched, 1 - i % 2, data, &d));
            assert_ok(uf_train(watched, data, 3, NULL, NULL));
        }
        assert_ok(uf_train(other, data, 12, NULL, NULL));
        for (int p = 0; p < 2; p++) assert_same_member(watched, p, other, p);
        uf_agent_free(watched);
        uf_agent_free(other);
    }
    uf_dataset_free(data);
}

// Of a large dataset 1024 rows, always the same: near what all of them say, and the same for any number of threads.
static void test_diagnosis_rows(void** state) {
    (void)state;
    enum { MANY = 30000 };
    float *obs = test_malloc(MANY * sizeof *obs), *actions = test_calloc(MANY, sizeof *actions);
    uint8_t* terminals = test_malloc(MANY);
    UfRandom random = uf_random(15, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < MANY; i++) {
        obs[i] = (float)i / MANY;
        actions[i] = i % 3 ? 0 : (float)uf_random_uniform(&random, -1, 1);
        terminals[i] = i % 5 == 4;
    }
    const UfArrays arrays = {.num_rows = MANY,
                             .obs_dim = 1,
                             .action_dim = 1,
                             .observations = obs,
                             .actions = actions,
                             .rewards = obs,
                             .terminals = terminals};
    UfDataset* data = NULL;
    UfConfig* c = NULL;
    UfDiagnosis d[3];
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    assert_ok(uf_config_create(&c));
    c->batch_size = 100;
    c->actor_layer_width = c->critic_layer_width = 16;
    for (int threads = 1; threads <= 3; threads++) {
        UfAgent* agent = NULL;
        assert_ok(uf_agent_create(&agent, c, data, threads));
        set_tensor(agent, "actor/mean/kernel", 0, 0);
        set_tensor(agent, "actor/mean/bias", 0, 0);
        // Q is 0 but for its bias, so that the errors are those of rewards i / MANY.
        set_tensor(agent, "critic/out/kernel", 0, 0);
        set_tensor(agent, "critic/out/bias", 0, 2);
        assert_ok(uf_agent_diagnose(agent, 0, data, &d[threads - 1]));
        uf_agent_free(agent);
    }
    assert_memory_equal(&d[0], &d[1], sizeof d[0]);
    assert_memory_equal(&d[0], &d[2], sizeof d[0]);
    assert_true(d[0].init_value == 2);
    // Mean square of a third of uniform actions: 1/9, deviation sqrt(1/15 - 1/81).
    assert_true(fabs(d[0].action_diff - 1.0 / 9) < 5 * sqrt(1.0 / 15 - 1.0 / 81) / 32);
    // 2 - r - 0.99 * 2 where an episode goes on, 2 - r at its end: E (0.02 - r)^2 and E (2 - r)^2 for r in [0, 1].
    const double expected = 0.8 * (0.0004 - 0.02 + 1.0 / 3) + 0.2 * (4 - 2 + 1.0 / 3);
    if (!(fabs(d[0].td_error - expected) < 5 * 0.9 / 32))
        fail_msg("%g, expected %g", d[0].td_error, expected);
    uf_config_free(c);
    uf_dataset_free(data);
    test_free(obs);
    test_free(actions);
    test_free(terminals);
}

// ---- the log of a run ----

// Each line has the three numbers; those of a file also equal a diagnosis of the checkpoint.
static void check_log(const char* run, const UfDataset* data) {
    char path[256], *text, *line;
    size_t bytes;
    int lines = 0;
    double last[3] = {0};
    snprintf(path, sizeof path, "%s/log.jsonl", run);
    assert_ok(uf_read_file(path, &text, &bytes));
    for (line = text; strchr(line, '\n'); line = strchr(line, '\n') + 1, lines++) {
        const char* at = strstr(line, "\"init_value\"");
        if (!at || sscanf(at, "\"init_value\": %lf, \"td_error\": %lf, \"action_diff\": %lf", &last[0],
                          &last[1], &last[2]) != 3)
            fail_msg("no diagnosis in: %.300s", line);
        assert_true(isfinite(last[0]) && last[1] > 0 && last[2] > 0);
    }
    uf_free(text);
    assert_int_equal(lines, 3);
    if (!data) return;
    UfAgent* agent = NULL;
    UfDiagnosis d;
    snprintf(path, sizeof path, "%s/checkpoint.h5", run);
    assert_ok(uf_agent_load(&agent, path, 1));
    assert_ok(uf_agent_diagnose(agent, 0, data, &d));
    assert_near("init_value", last[0], d.init_value);
    assert_near("td_error", last[1], d.td_error);
    assert_near("action_diff", last[2], d.action_diff);
    uf_agent_free(agent);
}

static const char* pendulum(void) {
    static char path[192];
    strcpy(path, in_folder("pendulum-random.hdf5"));
    struct stat info;
    UfCollectOptions options = {
        .env = "pendulum", .policy = "random", .num_steps = 600, .num_threads = 1, .output = path};
    if (stat(path, &info)) assert_ok(uf_collect(&options));
    return path;
}

static void train_run(const char* out, bool online) {
    UfConfig* c = NULL;
    UfRunResult result;
    assert_ok(uf_config_create(&c));
    assert_ok(uf_config_set(c, "env", "pendulum"));
    if (!online) assert_ok(uf_config_set(c, "dataset", pendulum()));
    c->online = online;
    c->start_steps = 250;
    c->batch_size = c->actor_layer_width = c->critic_layer_width = 16;
    c->num_updates = 60;
    c->eval_interval = 20;
    c->eval_workers = 2;
    c->eval_final_episodes = 2;
    c->num_threads = 1;
    const UfRunOptions options = {.config = c, .out = out};
    assert_ok(uf_run_train(&options, &result));
    uf_config_free(c);
}

static void test_log(void** state) {
    (void)state;
    UfDataset* data = NULL;
    train_run(in_folder("offline"), false);
    train_run(in_folder("online"), true);
    assert_ok(uf_dataset_open(&data, pendulum(), NULL));
    check_log(in_folder("offline"), data);
    check_log(in_folder("online"), NULL);
    uf_dataset_free(data);
}

// ---- files ----

typedef struct Heard {
    char notes[4096];
    int64_t ticks;
} Heard;

static void on_progress(void* user, const UfRunEvent* event) {
    Heard* heard = user;
    if (event->kind == UF_RUN_TICK) heard->ticks++;
    if (event->kind != UF_RUN_NOTE) return;
    strncat(heard->notes, event->text, sizeof heard->notes - strlen(heard->notes) - 2);
    strcat(heard->notes, "\n");
}

static UfStatus evaluate_files(const char* const* files, int count, const char* dataset, int64_t updates,
                               Heard* heard, UfFqeReport* report, const volatile sig_atomic_t* stop) {
    UfConfig* c = NULL;
    assert_ok(uf_fqe_config(&c));
    c->num_updates = updates;
    c->batch_size = c->critic_layer_width = 16;
    const UfFqeRun run = {.checkpoints = files,
                          .num_checkpoints = count,
                          .dataset = dataset,
                          .config = c,
                          .num_threads = 1,
                          .stop = stop,
                          .on_progress = on_progress,
                          .user = heard};
    *heard = (Heard){.ticks = 0};
    const UfStatus status = uf_fqe_run(&run, report);
    uf_config_free(c);
    return status;
}

static void test_files(void** state) {
    (void)state;
    UfFqeReport report;
    Heard heard;
    char population[192], online[192], cut[192], damaged[192];
    UfDataset* data = NULL;
    train_run(in_folder("a"), false);
    train_run(in_folder("b"), true);
    assert_ok(uf_dataset_open(&data, pendulum(), NULL));
    UfAgent* agent = two_members(0, data);
    strcpy(population, in_folder("population.h5"));
    strcpy(online, in_folder("b"));
    assert_ok(uf_agent_save(agent, population));
    uf_agent_free(agent);

    const char* const files[] = {in_folder("a"), population, online};
    assert_ok(evaluate_files(files, 3, pendulum(), 30, &heard, &report, NULL));
    assert_int_equal(report.num_policies, 4);
    assert_int_equal(report.num_diverged, 0);
    assert_true(strstr(report.text, "population.h5 member 1") && !strstr(report.text, "/a member"));
    assert_true(strstr(report.text, "597 rows, 3 initial states") != NULL);
    assert_true(strstr(report.json, "\"member\":1") && strstr(report.json, "\"rank\":4"));
    assert_true(strstr(heard.notes, "/b/checkpoint.h5: was trained online, not on ") != NULL);
    assert_true(!strstr(heard.notes, "/a/checkpoint.h5") && !strstr(heard.notes, "population.h5"));
    assert_true(strstr(heard.notes, "30 updates leave up to 99 % of the critics' starting values") != NULL);
    uf_fqe_report_free(&report);

    // One episode: no bootstrap over starts.
    strcpy(cut, in_folder("one.hdf5"));
    const float zeros[30] = {0};
    const uint8_t none[10] = {0};
    const UfDatasetWriter one = {.num_rows = 10,
                                 .obs_dim = 3,
                                 .action_dim = 1,
                                 .observations = zeros,
                                 .actions = zeros,
                                 .rewards = zeros,
                                 .terminals = none,
                                 .env_id = "MountainCarContinuous-v0"};
    assert_ok(uf_dataset_write(cut, &one));
    assert_ok(evaluate_files(files, 1, cut, 5, &heard, &report, NULL));
    assert_true(strstr(heard.notes, "one.hdf5: has 1 initial state") != NULL);
    assert_true(strstr(heard.notes, "/a/checkpoint.h5: was trained on other data (SHA-256 ") != NULL);
    assert_true(
        strstr(heard.notes, "is a policy for Pendulum-v1, the data are of MountainCarContinuous-v0") != NULL);
    uf_fqe_report_free(&report);

    const volatile sig_atomic_t stop = 1;
    assert_int_equal(evaluate_files(files, 3, pendulum(), 30, &heard, &report, &stop), UF_ERR_STOPPED);
    assert_true(!report.text && !report.json);

    // Files that are none, or of something else.
    const char* const missing[] = {files[0], in_folder("nowhere.h5")};
    assert_int_equal(evaluate_files(missing, 2, pendulum(), 30, &heard, &report, NULL), UF_ERR_IO);
    assert_error("nowhere.h5");
    const char* const no_checkpoint[] = {pendulum()};
    assert_int_equal(evaluate_files(no_checkpoint, 1, pendulum(), 30, &heard, &report, NULL), UF_ERR_FORMAT);
    assert_error("is not a checkpoint");
    assert_int_equal(evaluate_files(files, 1, population, 30, &heard, &report, NULL), UF_ERR_FORMAT);
    assert_error("population.h5");
    agent = NULL;
    assert_ok(uf_agent_load(&agent, population, 1));
    set_tensor(agent, "actor/hidden/0/bias", 0, INFINITY);
    strcpy(damaged, in_folder("damaged.h5"));
    assert_ok(uf_agent_save(agent, damaged));
    uf_agent_free(agent);
    const char* const broken[] = {damaged};
    assert_int_equal(evaluate_files(broken, 1, pendulum(), 30, &heard, &report, NULL), UF_ERR_FORMAT);
    assert_error("damaged.h5: number ");
    UfDataset* small = diagnosis_data(true);
    UfAgent* wide = two_members(0, small);
    assert_ok(uf_agent_save(wide, damaged));
    assert_int_equal(evaluate_files(broken, 1, pendulum(), 30, &heard, &report, NULL), UF_ERR_ARGUMENT);
    assert_error("damaged.h5: the policy has 4 observations and 2 actions, ");
    assert_error("pendulum-random.hdf5 3 and 1");
    uf_agent_free(wide);
    uf_dataset_free(small);
    uf_dataset_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_stochastic),
        cmocka_unit_test(test_sampled_values),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_population),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_diagnosis),
        cmocka_unit_test(test_diagnosis_is_silent),
        cmocka_unit_test(test_diagnosis_rows),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
