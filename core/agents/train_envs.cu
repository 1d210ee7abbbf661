// train_envs.cu: the built-in environments that agents train in, on a CUDA device. train_envs.c is the specification,
// env_rules.h what both do. A thread has an environment.
#include "kernels.cuh"

namespace {

enum { THREADS = 64 };  // few: a step has branches, and there may be few environments

struct Step {
    UfRuleEnvs envs;
    const void* action;  // null: all begin
    real *obs, *reward;
    uint8_t *terminated, *truncated;
};

__device__ inline void begin_episode(const UfRuleEnvs& e, UfRuleRow* row, int p, int64_t episode) {
    row->episode = episode;
    row->steps = 0;
    uf_rule_reset(&e.rule, row->state, e.seeds[p], static_cast<uint64_t>(episode));
}

// Number i is environment i's of all members' side by side.
__device__ inline void step_row(const Step& c, UfRuleRow* row, int64_t i) {
    const UfEnvRule& rule = c.envs.rule;
    const int numbers = rule.discrete ? 1 : rule.action_dim;
    float* kept = c.envs.actions + (i * rule.max_steps + row->steps) * numbers;
    float action[UF_RULE_MAX_ACTIONS];
    double reward;
    bool terminated;
    for (int k = 0; k < numbers; k++) {
        action[k] = rule.discrete ? static_cast<float>(static_cast<const uint8_t*>(c.action)[i])
                                  : uf_clip(static_cast<const float*>(c.action)[i * numbers + k],
                                            rule.action_low, rule.action_high);
        kept[k] = action[k];
    }
    uf_rule_step(&rule, row->state, row->steps, action, &reward, &terminated);
    row->steps++;
    c.reward[i] = static_cast<real>(reward);
    c.terminated[i] = terminated;
    c.truncated[i] = row->steps == rule.max_steps;
}

__global__ void __launch_bounds__(THREADS) step_rules_kernel(const __grid_constant__ Step c) {
    const UfRuleEnvs& e = c.envs;
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= static_cast<int64_t>(e.P) * e.N) return;
    const int p = static_cast<int>(i / e.N), n = static_cast<int>(i % e.N);
    UfRuleRow row = e.rows[i];
    if (c.action) step_row(c, &row, i);
    if (!c.action)
        begin_episode(e, &row, p, n);
    else if (c.terminated[i] || c.truncated[i])
        begin_episode(e, &row, p, row.episode + e.N);
    float obs[UF_RULE_MAX_OBS];
    uf_rule_observe(&e.rule, row.state, obs);
    for (int k = 0; k < e.rule.obs_dim; k++) c.obs[i * e.rule.obs_dim + k] = obs[k];
    e.rows[i] = row;
}

}  // namespace

void uf_cuda_step_rules(UfBackend* be, const UfRuleEnvs* envs, const void* action, real* obs, real* reward,
                        uint8_t* terminated, uint8_t* truncated) {
    uf_cuda::launch(uf_cuda::begin(be, "step_rules", envs->P, 1, envs->N, envs->rule.obs_dim),
                    step_rules_kernel, uf_cuda::ceil_div(static_cast<int64_t>(envs->P) * envs->N, THREADS),
                    THREADS, Step{*envs, action, obs, reward, terminated, truncated});
}
