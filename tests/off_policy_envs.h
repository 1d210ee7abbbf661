// off_policy_envs.h: environments for the tests of off-policy agents, which note what is done in them, and configurations
// with the settings of published agents. `real` is the includer's.
#ifndef OFF_POLICY_ENVS_H
#define OFF_POLICY_ENVS_H

#include "support.h"

#include "core/agents/off_policy.h"

enum { NOTE_MEMBERS = 8 };

// Two contexts, told by the sign of the first number. Kinds: the right one (the context's) pays 1. Numbers: minus the squared
// distance from 0.5 of the bound, with the context's sign. As an MDP an episode has `length` steps and the second number
// counts them; a reward grows with it.
typedef struct TestEnvs {
    UfTrainEnvs base;
    int N, length;    // length 1: a bandit
    double broken;    // is added to every reward of member 1
    int64_t fail_at;  // the step that fails, of every member.   0: none
    int64_t steps[NOTE_MEMBERS];
    real* obs[NOTE_MEMBERS];  // (N, 2)
    // What happened, a step of one environment after another.
    int64_t num_notes[NOTE_MEMBERS], room;
    real* notes[NOTE_MEMBERS];  // (room, 8): obs (2), action (3), reward, done, spare
} TestEnvs;
enum { NOTE = 8, NOTE_ACTION = 2, NOTE_REWARD = 5, NOTE_DONE = 6 };

static void test_env_begin(const TestEnvs* e, int member, int n, real* obs) {
    UfRandom r = uf_random((uint64_t)member % 2 + 77, 3, (uint64_t)(e->steps[member] * e->N + n));
    obs[0] = uf_random_uniform(&r, 0, 1) < 0.5 ? -1 : 1;
    obs[1] = 0;
}

static UfStatus test_env_reset(UfTrainEnvs* envs, int member, void* out) {
    TestEnvs* e = (TestEnvs*)envs;
    for (int n = 0; n < e->N; n++) test_env_begin(e, member, n, e->obs[member] + 2 * n);
    memcpy(out, e->obs[member], 2 * (size_t)e->N * sizeof(real));
    return UF_OK;
}

static double test_env_reward(const TestEnvs* e, const real* obs, const real* action) {
    const UfTrainSpace* s = &e->base.space;
    double reward = 0;
    if (s->discrete) return (action[0] == (obs[0] > 0 ? 1 : 0)) + 0.5 * (double)obs[1];
    for (int i = 0; i < s->action_dim; i++) {
        const double off = (double)action[i] - 0.5 * (double)s->action_high * (double)obs[0];
        reward -= off * off;
    }
    return reward + 0.5 * (double)obs[1];
}

static UfStatus test_env_step(UfTrainEnvs* envs, int member, const real* action, void* out, real* reward,
                              uint8_t* done) {
    TestEnvs* e = (TestEnvs*)envs;
    const int items = e->base.space.discrete ? 1 : e->base.space.action_dim;
    e->steps[member]++;
    if (e->fail_at && e->steps[member] == e->fail_at)
        return UF_FAIL(UF_ERR_NONFINITE, "member %d: this environment breaks", member);
    for (int n = 0; n < e->N; n++) {
        real* obs = e->obs[member] + 2 * n;
        reward[n] = (real)(test_env_reward(e, obs, action + n * items) + (member == 1 ? e->broken : 0));
        done[n] = (obs[1] * 10 + (real)1.5) >= e->length;
        if (e->num_notes[member] < e->room) {
            real* note = e->notes[member] + NOTE * e->num_notes[member]++;
            memcpy(note, obs, 2 * sizeof(real));
            for (int i = 0; i < items; i++) note[NOTE_ACTION + i] = action[n * items + i];
            note[NOTE_REWARD] = reward[n];
            note[NOTE_DONE] = done[n];
        }
        if (done[n])
            test_env_begin(e, member, n, obs);
        else
            obs[1] += (real)0.1;
    }
    memcpy(out, e->obs[member], 2 * (size_t)e->N * sizeof(real));
    return UF_OK;
}

static const UfTrainEnvsOps test_env_ops = {.reset = test_env_reset, .step = test_env_step};

// kinds 0: numbers of an action in [low, high], `numbers` of them.
static TestEnvs* make_envs(int N, int kinds, int numbers, float low, float high, int length, bool always_done,
                           int64_t room) {
    TestEnvs* e = test_calloc(1, sizeof *e);
    e->base.ops = &test_env_ops;
    e->base.space = (UfTrainSpace){2, kinds ? kinds : numbers, false, kinds > 0, low, high, always_done};
    e->N = N;
    e->length = length;
    e->room = room;
    for (int p = 0; p < NOTE_MEMBERS; p++) {
        e->obs[p] = test_calloc(2 * (size_t)N, sizeof(real));
        e->notes[p] = test_calloc(NOTE * (size_t)room + 1, sizeof(real));
    }
    return e;
}

static void free_envs(TestEnvs* e) {
    for (int p = 0; p < NOTE_MEMBERS; p++) {
        test_free(e->obs[p]);
        test_free(e->notes[p]);
    }
    test_free(e);
}

// The settings of agents of published synthetic environments, of 10000 steps.
static inline UfOffPolicyConfig published(UfOffPolicyAlgorithm algorithm) {
    const bool sac = algorithm == UF_OFF_POLICY_SAC, dqn = algorithm == UF_OFF_POLICY_DQN;
    return (UfOffPolicyConfig){.algorithm = algorithm,
                               .num_layers = 2,
                               .layer_width = 64,
                               .activation = UF_TANH,
                               .num_steps = 10000,
                               .num_envs = sac   ? 5
                                           : dqn ? 10
                                                 : 1,
                               .batch_size = sac ? 256 : 100,
                               .buffer_size = algorithm == UF_OFF_POLICY_TD3 ? 10000 : 2000,
                               .warm_up = 1000,
                               .updates = sac ? 2 : 1,
                               .target_interval = 50,
                               .policy_delay = 2,
                               .max_grad_norm = 10,
                               .exploration_fraction = 0.5,
                               .seed = 1,
                               .lr = 1e-3,
                               .gamma = 0.9,
                               .tau = 0.95,
                               .target_entropy_ratio = 0.3,
                               .eps_end = 0.05,
                               .exploration_noise = 0.3,
                               .target_noise = 0.3,
                               .target_noise_clip = 0.4};
}

// The five that there are: SAC of kinds and of numbers, DQN, DDPG, TD3.
enum { SAC_KINDS, SAC_NUMBERS, DQN, DDPG, TD3, NUM_AGENTS };
static const char* const agent_names[NUM_AGENTS] = {"SAC of kinds", "SAC of numbers", "DQN", "DDPG", "TD3"};
static inline UfOffPolicyAlgorithm algorithm_of(int agent) {
    static const UfOffPolicyAlgorithm of[] = {UF_OFF_POLICY_SAC, UF_OFF_POLICY_SAC, UF_OFF_POLICY_DQN,
                                              UF_OFF_POLICY_DDPG, UF_OFF_POLICY_TD3};
    return of[agent];
}
static inline int kinds_of(int agent) { return agent == SAC_KINDS || agent == DQN ? 3 : 0; }

// Small ones, of 2 environments each, that differ in everything that members may differ in.
static inline UfOffPolicyConfig small_agent(int agent, int p, int64_t num_steps, int64_t warm_up) {
    UfOffPolicyConfig c = published(algorithm_of(agent));
    c.layer_width = 9;
    c.batch_size = 20;
    c.num_envs = 2;
    c.num_steps = num_steps;
    c.buffer_size = 50;
    c.warm_up = warm_up;
    c.target_interval = 6;
    c.seed = 100 + (uint64_t)p;
    c.lr *= 1 + p;
    c.gamma -= 0.05 * p;
    c.tau -= 0.1 * p;
    c.target_entropy_ratio += 0.1 * p;
    c.eps_end += 0.1 * p;
    c.exploration_noise += 0.1 * p;
    c.target_noise += 0.1 * p;
    c.target_noise_clip += 0.1 * p;
    c.double_dqn = p % 2;
    return c;
}

#endif
