// test_discrete.c: agents for discrete actions: bits independent of threads, population and interruption; where each
// term ends against closed forms; who decides that actions are discrete; refusals.
#include "same_member.h"
#include "support.h"

#include <math.h>

#include "core/agents/agent.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/philox.h"

// ---- small agents ----

static const char* const families[] = {
    "{\"actor_bc_coef\": 1, \"actor_q_coef\": 0}",
    "{\"use_awr\": true, \"actor_q_coef\": 0, \"deterministic\": false, \"use_value_target\": true, "
    "\"lr_schedule\": \"cosine\", \"num_updates\": 40}",
    "{\"cql_min_q_weight\": 2, \"deterministic\": false, \"use_entropy_loss\": true, \"actor_entropy_coef\": "
    "1, "
    "\"critic_entropy_coef\": 1, \"num_critics\": 3, \"use_target_actor\": false, "
    "\"discrete_target_entropy\": 0.5}",
    "{\"deterministic\": false, \"use_entropy_loss\": true, \"actor_entropy_coef\": 1, \"aggregate_q\": "
    "\"mean\", "
    "\"use_q_target_in_actor\": true, \"critic_bc_coef\": 0.3}",
    "{\"aggregate_q\": \"first\", \"cql_min_q_weight\": 1, \"cql_data_only\": true}",
};
enum { NUM_FAMILIES = sizeof families / sizeof *families, OBS = 5, ACT = 4, ROWS = 400 };

static UfConfig* small_config(int family) {
    UfConfig* config = NULL;
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_parse(
        config,
        "{\"batch_size\": 64, \"actor_layer_width\": 37, \"critic_layer_width\": 24, \"actor_num_layers\": 2,"
        " \"critic_num_layers\": 2, \"num_updates\": 100, \"policy_noise\": 0, \"action_space\": "
        "\"discrete\"}",
        "small"));
    assert_ok(uf_config_parse(config, families[family], "family"));
    use_test_device(config);
    return config;
}

// One-hot actions, and of `flaw` rows one that is none.
static UfDataset* small_dataset(int flaw) {
    static float obs[ROWS * OBS], actions[ROWS * ACT], rewards[ROWS];
    static uint8_t terminals[ROWS];
    UfRandom random = uf_random(7, UF_STREAM_CONTROLLER, 0);
    memset(actions, 0, sizeof actions);
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS; i++) actions[i * ACT + (int)uf_random_uniform(&random, 0, ACT)] = 1;
    for (int i = 0; i < ROWS; i++) rewards[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS; i++) terminals[i] = i % 50 == 49;
    if (flaw >= 0) actions[flaw * ACT] = 0.5f;
    const UfArrays arrays = {.num_rows = ROWS,
                             .obs_dim = OBS,
                             .action_dim = ACT,
                             .observations = obs,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals};
    UfDataset* dataset = NULL;
    assert_ok(uf_dataset_from_arrays(&dataset, &arrays));
    return dataset;
}

static UfAgent* trained(const UfConfig* config, const UfDataset* data, int64_t updates, int threads) {
    UfAgent* agent = NULL;
    assert_ok(uf_agent_create(&agent, config, data, threads));
    assert_ok(uf_train(agent, data, updates, NULL, NULL));
    return agent;
}

static bool has_tensor(UfAgent* agent, const char* name) {
    for (int i = 0; i < uf_agent_num_tensors(agent); i++)
        if (!strcmp(uf_agent_tensor(agent, i)->name, name)) return true;
    return false;
}

// ---- invariants ----

static void test_threads_and_resume(void** state) {
    (void)state;
    const char* path = in_folder("resume.h5");
    UfDataset* data = small_dataset(-1);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* config = small_config(f);
        config->batch_size = 150;  // passes over all actions have two blocks of rows
        UfAgent *straight = trained(config, data, 9, 1), *first = trained(config, data, 5, 3), *second = NULL;
        assert_true(has_tensor(first, "actor/logits/kernel") && !has_tensor(first, "actor/mean/kernel"));
        assert_ok(uf_agent_save(first, path));
        assert_ok(uf_agent_load(&second, path, 2));
        assert_true(has_tensor(second, "actor/logits/bias"));
        assert_ok(uf_train(second, data, 4, NULL, NULL));
        assert_same_member(straight, 0, second, 0);
        uf_agent_free(straight);
        uf_agent_free(first);
        uf_agent_free(second);
        uf_config_free(config);
    }
    uf_dataset_free(data);
}

static void test_population(void** state) {
    (void)state;
    enum { P = 3 };
    UfDataset* data = small_dataset(-1);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* configs[P];
        UfAgent* population = NULL;
        for (int p = 0; p < P; p++) {
            configs[p] = small_config(f);
            configs[p]->seed = 10 + p;
            configs[p]->lr = 1e-3 * (p + 1);
            configs[p]->awr_temperature = 1 + p;
            configs[p]->cql_min_q_weight *= p + 1;
            configs[p]->critic_bc_coef *= p;
        }
        assert_ok(uf_agent_create_population(&population, (const UfConfig* const*)configs, P, data, 2));
        assert_ok(uf_train(population, data, 6, NULL, NULL));
        for (int p = 0; p < P; p++) {
            UfAgent* single = trained(configs[p], data, 6, 1);
            assert_same_member(population, p, single, 0);
            uf_agent_free(single);
            uf_config_free(configs[p]);
        }
        uf_agent_free(population);
    }
    uf_dataset_free(data);
}

// ---- closed forms: two states, one step ----

// Thousands of updates: what ops compute on a device is test_kernels' matter, and these are for the CPU.
#define ON_THE_CPU \
    if (on_device()) skip()

enum { CONTEXTS = 2, KINDS = 3 };
static const double rewards_of[CONTEXTS][KINDS] = {{1, 0, -0.5}, {-1, 0.2, 0.4}};
static const double shares[CONTEXTS][KINDS] = {{0.2, 0.5, 0.3}, {0.6, 0.3, 0.1}};
enum { REPEATS = 200 };  // rows of a state, of which each action has its share exactly

static UfDataset* bandit(void) {
    enum { N = CONTEXTS * REPEATS + 1 };  // the last row has no next state and is dropped
    static float obs[N], actions[N * KINDS], rewards[N];
    static uint8_t terminals[N];
    memset(actions, 0, sizeof actions);
    for (int i = 0; i < N; i++) {
        const int s = i / REPEATS % CONTEXTS, at = i % REPEATS;
        int a = 0;
        for (double sum = shares[s][0]; at >= (int)lround(sum * REPEATS); sum += shares[s][a]) a++;
        obs[i] = (float)(2 * s - 1);
        actions[i * KINDS + a] = 1;
        rewards[i] = (float)rewards_of[s][a];
        terminals[i] = 1;
    }
    const UfArrays arrays = {.num_rows = N,
                             .obs_dim = 1,
                             .action_dim = KINDS,
                             .observations = obs,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals};
    UfDataset* d = NULL;
    assert_ok(uf_dataset_from_arrays(&d, &arrays));
    return d;
}

static UfConfig* bandit_config(const char* json) {
    UfConfig* c = NULL;
    assert_ok(uf_config_create(&c));
    assert_ok(uf_config_parse(
        c,
        "{\"batch_size\": 256, \"actor_layer_width\": 32, \"critic_layer_width\": 32, \"actor_num_layers\": "
        "1,"
        " \"critic_num_layers\": 2, \"num_updates\": 4000, \"lr_schedule\": \"cosine\", \"lr\": 3e-3, "
        "\"actor_lr\": 3e-3,"
        " \"policy_noise\": 0, \"critic_bc_coef\": 0, \"num_critics\": 1, \"num_critic_updates_per_step\": 1,"
        " \"action_space\": \"discrete\", \"deterministic\": false, \"normalize_q_loss\": false}",
        "bandit"));
    assert_ok(uf_config_parse(c, json, "case"));
    use_test_device(c);
    return c;
}

// Shares of the kinds that the policy takes, of many samples.
enum { SAMPLES = 100000 };
static void shares_of(const UfPolicy* policy, int context, double pi[KINDS]) {
    float *obs = test_malloc(SAMPLES * sizeof *obs), *noise = test_malloc(SAMPLES * KINDS * sizeof *noise);
    float* actions = test_malloc(SAMPLES * KINDS * sizeof *actions);
    UfRandom random = uf_random(3, UF_STREAM_CONTROLLER, (uint64_t)context);
    for (int i = 0; i < SAMPLES; i++) obs[i] = (float)(2 * context - 1);
    for (int i = 0; i < SAMPLES * KINDS; i++) noise[i] = uf_random_normal(&random);
    assert_ok(uf_policy_act(policy, actions, obs, SAMPLES, noise));
    for (int a = 0; a < KINDS; a++) pi[a] = 0;
    for (int i = 0; i < SAMPLES * KINDS; i++) pi[i % KINDS] += (double)actions[i] / SAMPLES;
    // Without noise: the likeliest, one-hot.
    assert_ok(uf_policy_act(policy, actions, obs, 1, NULL));
    int best = 0;
    for (int a = 1; a < KINDS; a++) best = pi[a] > pi[best] ? a : best;
    for (int a = 0; a < KINDS; a++) assert_true(actions[a] == (a == best));
    test_free(obs);
    test_free(noise);
    test_free(actions);
}

// A share of SAMPLES is off by less than .005 (three standard deviations); the rest is what is left of the noise of
// batches, which by the cosine schedule ends with a rate of 0. Seeds are fixed.
#define SHARE_BOUND 0.02
static void expect_shares(const char* what, UfAgent* agent, double want[CONTEXTS][KINDS]) {
    UfPolicy* policy = NULL;
    assert_ok(uf_policy_create(&policy, agent, 0));
    for (int s = 0; s < CONTEXTS; s++) {
        double pi[KINDS];
        shares_of(policy, s, pi);
        for (int a = 0; a < KINDS; a++)
            if (!(fabs(pi[a] - want[s][a]) < SHARE_BOUND))
                fail_msg("%s: state %d, action %d has share %g, expected %g", what, s, a, pi[a], want[s][a]);
    }
    uf_policy_free(policy);
}

static void normalise(double* weights) {
    double sum = 0;
    for (int a = 0; a < KINDS; a++) sum += weights[a];
    for (int a = 0; a < KINDS; a++) weights[a] /= sum;
}

// Cross-entropy ends at the data's shares; weighted by exp(T (Q - V)) they are tilted by exp(T Q).
static void test_cloning(void** state) {
    (void)state;
    ON_THE_CPU;
    UfDataset* data = bandit();
    for (int weighted = 0; weighted < 2; weighted++) {
        UfConfig* c =
            bandit_config(weighted ? "{\"actor_bc_coef\": 1, \"actor_q_coef\": 0, \"use_awr\": true,"
                                     " \"awr_temperature\": 1.5, \"use_value_target\": true}"
                                   : "{\"actor_bc_coef\": 1, \"actor_q_coef\": 0}");
        UfAgent* agent = trained(c, data, 0, 1);
        double want[CONTEXTS][KINDS];
        for (int s = 0; s < CONTEXTS; s++) {
            for (int a = 0; a < KINDS; a++)
                want[s][a] = shares[s][a] * (weighted ? exp(1.5 * rewards_of[s][a]) : 1);
            normalise(want[s]);
        }
        expect_shares(weighted ? "weighted" : "cloned", agent, want);
        uf_agent_free(agent);
        uf_config_free(c);
    }
    uf_dataset_free(data);
}

static double metric(UfAgent* agent, const char* name) {
    int count = 0;
    const char* const* names = NULL;
    const double* values = NULL;
    assert_ok(uf_agent_metrics(agent, 0, &count, &names, &values));
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name)) return values[i];
    fail_msg("no metric %s", name);
    return NAN;
}

// SAC: the policy is softmax(Q / alpha) with alpha such that the mean entropy is the target. Q is the reward: all ends.
static void test_entropy(void** state) {
    (void)state;
    ON_THE_CPU;
    UfDataset* data = bandit();
    UfConfig* c = bandit_config(
        "{\"actor_bc_coef\": 0, \"use_entropy_loss\": true, \"actor_entropy_coef\": 1,"
        " \"critic_entropy_coef\": 1, \"discrete_target_entropy\": 0.7}");
    UfAgent* agent = trained(c, data, 0, 1);
    double low = 1e-3, high = 10, want[CONTEXTS][KINDS];
    while (high / low > 1 + 1e-9) {  // the entropy grows with alpha
        const double alpha = sqrt(low * high);
        double entropy = 0;
        for (int s = 0; s < CONTEXTS; s++) {
            for (int a = 0; a < KINDS; a++) want[s][a] = exp(rewards_of[s][a] / alpha);
            normalise(want[s]);
            for (int a = 0; a < KINDS; a++) entropy -= want[s][a] * log(want[s][a]) / CONTEXTS;
        }
        *(entropy < 0.7 * log(KINDS) ? &low : &high) = alpha;
    }
    expect_shares("soft", agent, want);
    uf_agent_clear_metrics(agent);
    assert_ok(uf_train(agent, data, 1, NULL, NULL));  // at a rate of 0: the metrics of where it ended
    assert_true(fabs(metric(agent, "entropy") - 0.7 * log(KINDS)) < 0.01);
    assert_true(fabs(metric(agent, "alpha") / low - 1) < 0.05);
    uf_agent_free(agent);
    uf_config_free(c);
    uf_dataset_free(data);
}

// CQL ends at the least of sum_a p (Q - r)^2 + w (T log sum exp(Q / T) - sum_a p Q) over Q(s, .), found by
// descent here. The policy maximises Q: what its choice is worth is the metric actor_q.
static void test_conservative(void** state) {
    (void)state;
    ON_THE_CPU;
    const double w = 0.4, T = 0.5;
    UfDataset* data = bandit();
    UfConfig* c =
        bandit_config("{\"actor_bc_coef\": 0, \"cql_min_q_weight\": 0.4, \"cql_temperature\": 0.5}");
    UfAgent* agent = trained(c, data, 0, 1);
    double mean_best = 0, mean_of_data = 0, penalty = 0;
    for (int s = 0; s < CONTEXTS; s++) {
        double q[KINDS] = {0}, best = -INFINITY, sum = 0;
        for (int k = 0; k < 100000; k++) {
            double e[KINDS];
            for (int a = 0; a < KINDS; a++) e[a] = exp(q[a] / T);
            normalise(e);
            for (int a = 0; a < KINDS; a++)
                q[a] -= 0.1 * (2 * shares[s][a] * (q[a] - rewards_of[s][a]) + w * (e[a] - shares[s][a]));
        }
        for (int a = 0; a < KINDS; a++) {
            best = fmax(best, q[a]);
            sum += exp(q[a] / T);
            mean_of_data += shares[s][a] * q[a] / CONTEXTS;
        }
        mean_best += best / CONTEXTS;
        penalty += T * log(sum) / CONTEXTS;
    }
    uf_agent_clear_metrics(agent);
    assert_ok(
        uf_train(agent, data, 50, NULL, NULL));  // at a rate of 0; the mean over batches: .5 / sqrt(50 * 256)
    if (!(fabs(metric(agent, "actor_q") - mean_best) < 0.02))
        fail_msg("Q of the choice is %g, expected %g", metric(agent, "actor_q"), mean_best);
    if (!(fabs(metric(agent, "cql_loss") - (penalty - mean_of_data)) < 0.02))
        fail_msg("penalty is %g, expected %g", metric(agent, "cql_loss"), penalty - mean_of_data);
    uf_agent_free(agent);
    uf_config_free(c);
    uf_dataset_free(data);
}

// Fitted Q evaluation of the cloned policy, sampled and at its likeliest action.
static void test_evaluation(void** state) {
    (void)state;
    ON_THE_CPU;
    UfDataset* data = bandit();
    for (int likeliest = 0; likeliest < 2; likeliest++) {
        UfConfig *c = bandit_config("{\"actor_bc_coef\": 1, \"actor_q_coef\": 0}"), *settings = NULL;
        c->deterministic_eval = likeliest;
        UfAgent* agent = trained(c, data, 0, 1);
        UfPolicy* policy = NULL;
        UfFqe fqe;
        assert_ok(uf_policy_create(&policy, agent, 0));
        assert_ok(uf_fqe_config(&settings));
        assert_ok(uf_config_parse(settings,
                                  "{\"num_updates\": 2000, \"batch_size\": 128, \"critic_layer_width\": 32,"
                                  " \"critic_num_layers\": 2, \"lr_schedule\": \"cosine\", \"lr\": 3e-3}",
                                  "settings"));
        assert_ok(uf_fqe(&fqe, (const UfPolicy* const*)&policy, 1, data, settings, 1, NULL, NULL));
        double want = 0;
        for (int s = 0; s < CONTEXTS; s++) {
            int best = 0;
            for (int a = 1; a < KINDS; a++) best = shares[s][a] > shares[s][best] ? a : best;
            for (int a = 0; a < KINDS; a++)
                want += (likeliest ? a == best : shares[s][a]) * rewards_of[s][a] / CONTEXTS;
        }
        // A value is a mean of 16 draws at each of the 400 states: .6 / sqrt(6400) = .0075, but the same states draw
        // alike in each batch of 128 only by chance; the policy's shares add SHARE_BOUND of about one reward.
        if (!(fabs(fqe.estimate - want) < 0.03)) fail_msg("FQE says %g, expected %g", fqe.estimate, want);
        uf_policy_free(policy);
        uf_agent_free(agent);
        uf_config_free(settings);
        uf_config_free(c);
    }
    uf_dataset_free(data);
}

// ---- who decides ----

// A file whose actions are numbers is discrete, unless the run says otherwise; one-hot columns are continuous, unless.
static void test_action_space(void** state) {
    (void)state;
    UfDataset *arrays = small_dataset(-1), *file = NULL;
    const char* path = in_folder("kinds.hdf5");
    const UfDatasetWriter writer = {.num_rows = ROWS,
                                    .obs_dim = OBS,
                                    .action_dim = ACT,
                                    .observations = arrays->records,
                                    .actions = arrays->records + OBS,
                                    .rewards = arrays->records + OBS + ACT,
                                    .stride = arrays->stride,
                                    .terminals = test_calloc(ROWS, 1),
                                    .discrete = true};
    assert_ok(uf_dataset_write(path, &writer));
    test_free((void*)writer.terminals);
    assert_ok(uf_dataset_open(&file, path, NULL));
    assert_true(file->discrete && file->action_dim == ACT && !arrays->discrete);
    for (int i = 0; i < ROWS; i++)  // the same rows come back
        assert_memory_equal(uf_record(file, i % file->num_rows), uf_record(arrays, i % file->num_rows),
                            (OBS + ACT + 1) * sizeof(float));
    const struct {
        const char* space;
        const UfDataset* data;
        bool categorical;
    } cases[] = {{"auto", arrays, false}, {"continuous", arrays, false}, {"discrete", arrays, true},
                 {"auto", file, true},    {"continuous", file, false},   {"discrete", file, true}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        UfConfig* c = small_config(0);
        UfAgent *agent = NULL, *loaded = NULL;
        assert_ok(uf_config_set(c, "action_space", cases[k].space));
        assert_ok(uf_agent_create(&agent, c, cases[k].data, 1));
        assert_int_equal(has_tensor(agent, "actor/logits/kernel"), cases[k].categorical);
        assert_int_equal(has_tensor(agent, "actor/mean/kernel"), !cases[k].categorical);
        assert_ok(uf_agent_save(agent, in_folder("space.h5")));
        assert_ok(uf_agent_load(&loaded, in_folder("space.h5"), 1));
        assert_same_member(agent, 0, loaded, 0);
        UfPolicy* policy = NULL;
        float action[ACT];
        assert_ok(uf_policy_load(&policy, in_folder("space.h5"), 0));
        assert_ok(uf_policy_act(policy, action, uf_record(arrays, 3), 1, NULL));
        int ones = 0;
        for (int i = 0; i < ACT; i++) ones += action[i] == 1;
        assert_int_equal(ones == 1, cases[k].categorical);
        char* text = NULL;
        assert_ok(uf_checkpoint_info(in_folder("space.h5"), &text));
        assert_int_equal(strstr(text, "4 action kinds") != NULL, cases[k].categorical);
        uf_free(text);
        uf_policy_free(policy);
        uf_agent_free(loaded);
        uf_agent_free(agent);
        uf_config_free(c);
    }
    uf_dataset_free(arrays);
    uf_dataset_free(file);
}

// An output that is none is no choice: evaluation counts it instead of playing action 0.
static void test_broken_policy(void** state) {
    (void)state;
    UfDataset* data = small_dataset(-1);
    UfConfig* c = small_config(0);
    UfAgent* agent = trained(c, data, 1, 1);
    UfPolicy* policy = NULL;
    float action[ACT], noise[ACT] = {0};
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        if (!strcmp(t->name, "actor/logits/bias"))
            assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, 0, (const real[ACT]){0, 0, NAN, 0}));
    }
    assert_ok(uf_policy_create(&policy, agent, 0));
    for (int k = 0; k < 2; k++) {
        assert_ok(uf_policy_act(policy, action, uf_record(data, 0), 1, k ? noise : NULL));
        for (int i = 0; i < ACT; i++) assert_true(isnan(action[i]));
    }
    uf_policy_free(policy);
    uf_agent_free(agent);
    uf_config_free(c);
    uf_dataset_free(data);
}

static void test_refusals(void** state) {
    (void)state;
    UfDataset *data = small_dataset(-1), *flawed = small_dataset(17);
    static const struct {
        const char *json, *first, *second;
    } cases[] = {
        {"{\"policy_noise\": 0.2}", "policy_noise", "discrete"},
        {"{\"diversity_coef\": 1}", "diversity_coef", "discrete"},
        {"{\"use_entropy_loss\": true, \"deterministic\": true}", "use_entropy_loss", "deterministic"},
        {"{\"online\": true, \"env\": \"pendulum\", \"dataset\": \"\"}", "online", "action_space"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        UfConfig* c = small_config(0);
        UfAgent* agent = (UfAgent*)1;
        assert_ok(uf_config_parse(c, cases[k].json, "case"));
        assert_int_equal(uf_agent_create(&agent, c, data, 1), UF_ERR_CONFIG);
        assert_null(agent);
        if (!strstr(uf_error(), cases[k].first) || !strstr(uf_error(), cases[k].second))
            fail_msg("unclear: %s", uf_error());
        uf_config_free(c);
    }
    UfConfig *c = small_config(0), *settings = NULL;
    UfAgent* agent = NULL;
    UfPolicy* policy = NULL;
    UfFqe fqe;
    assert_int_equal(uf_agent_create(&agent, c, flawed, 1), UF_ERR_CONFIG);
    assert_error("the action of row 17 is not one-hot (its first number is 0.5)");
    agent = trained(c, data, 1, 1);
    assert_int_equal(uf_train(agent, flawed, 1, NULL, NULL), UF_ERR_CONFIG);
    assert_error("row 17");
    assert_ok(uf_policy_create(&policy, agent, 0));
    assert_ok(uf_fqe_config(&settings));
    assert_int_equal(uf_fqe(&fqe, (const UfPolicy* const*)&policy, 1, flawed, settings, 1, NULL, NULL),
                     UF_ERR_CONFIG);
    assert_error("row 17");
    // Of two runs of which one is discrete no population can be made.
    UfConfig* other = small_config(0);
    assert_ok(uf_config_set(other, "action_space", "continuous"));
    UfAgent* both = NULL;
    assert_int_equal(uf_agent_create_population(&both, (const UfConfig* const[]){c, other}, 2, data, 1),
                     UF_ERR_CONFIG);
    assert_error("action_space");
    // A checkpoint whose attribute is none.
    assert_ok(uf_agent_save(agent, in_folder("damaged.h5")));
    hid_t file = H5Fopen(in_folder("damaged.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Adelete(file, "discrete") >= 0);
    H5Fclose(file);
    assert_int_not_equal(uf_agent_load(&both, in_folder("damaged.h5"), 1), UF_OK);  // other tensors then
    assert_null(both);
    uf_config_free(other);
    uf_config_free(settings);
    uf_policy_free(policy);
    uf_agent_free(agent);
    uf_config_free(c);
    uf_dataset_free(data);
    uf_dataset_free(flawed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_resume),
        cmocka_unit_test(test_population),
        cmocka_unit_test(test_cloning),
        cmocka_unit_test(test_entropy),
        cmocka_unit_test(test_conservative),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_action_space),
        cmocka_unit_test(test_broken_policy),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
