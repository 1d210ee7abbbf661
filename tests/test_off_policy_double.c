// test_off_policy_double.c: the losses of off-policy agents in double precision: the gradient that an optimiser gets, of
// every parameter, against central differences of the loss through whole networks, written down here once more in plain
// loops; clipping; Adam; targets.
#include "support.h"

#define UF_REAL double
#define UF_DOUBLE_COPY
#include "off_policy_envs.h"
#include "core/agents/off_policy_parts.h"

enum { B = 16, WIDTH = 5, WARM_UP = 30, MAX_A = 3, MAX_OUT = 2 * MAX_A };

// ---- what the update sees ----

typedef struct Seen {
    int agent;
    const UfOffPolicyConfig* c;
    const UfTrainSpace* space;
    const UfMlp *actor, *critic;
    const UfOffRing* ring;
    int num_critics;
    const double *actor_params, *critic_params, *actor_target,
        *critic_target;  // the point where gradients are taken
    double log_alpha;
    int64_t index[B];
    double noise_pi[B * MAX_A], noise_next[B * MAX_A];
} Seen;

static void forward(const UfMlp* m, const double* params, const double* x, double* out) {
    double a[64], h[64];
    memcpy(a, x, (size_t)m->in * sizeof *a);
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? m->width : m->in, width = l < m->layers ? m->width : m->out;
        for (int j = 0; j < width; j++) {
            h[j] = params[m->bias[l] + (size_t)j];
            for (int i = 0; i < in; i++) h[j] += a[i] * params[m->kernel[l] + (size_t)(i * width + j)];
            if (l < m->layers) h[j] = tanh(h[j]);
        }
        memcpy(a, h, (size_t)width * sizeof *a);
    }
    memcpy(out, a, (size_t)m->out * sizeof *out);
}

static const double* record(const Seen* s, int b) { return s->ring->records + s->index[b] * s->ring->stride; }
static int num_actions(const Seen* s) { return s->space->action_dim; }
static double in_units(const Seen* s, double x) {
    const double low = s->space->action_low, high = s->space->action_high;
    return (low + high) / 2 + (high - low) / 2 * x;
}

// Q of network n: of kind k by the duelling formula, or of the action.
static double q_of(const Seen* s, const double* params, int n, const double* obs, const double* action,
                   int kind) {
    double x[2 + MAX_A], out[MAX_OUT], mean = 0;
    const int A = num_actions(s);
    memcpy(x, obs, 2 * sizeof *x);
    if (action) memcpy(x + 2, action, (size_t)A * sizeof *x);
    forward(s->critic, params + (size_t)n * s->critic->size, x, out);
    if (action) return out[0];
    for (int k = 0; k < A; k++) mean += out[k] / A;
    return out[A] + out[kind] - mean;
}

static double smallest_q(const Seen* s, const double* params, const double* obs, const double* action,
                         int kind) {
    double least = INFINITY;
    for (int n = 0; n < s->num_critics; n++) least = fmin(least, q_of(s, params, n, obs, action, kind));
    return least;
}

static void softmax(const double* m, int A, double* pi) {
    double sum = 0;
    for (int k = 0; k < A; k++) sum += exp(m[k]);
    for (int k = 0; k < A; k++) pi[k] = exp(m[k]) / sum;
}

// The actor's action at an observation; its log-probability where it has one, without the scale's constant.
static double act(const Seen* s, const double* params, const double* obs, const double* noise,
                  double* action) {
    double out[MAX_OUT], log_prob = 0;
    const int A = num_actions(s);
    forward(s->actor, params, obs, out);
    for (int i = 0; i < A; i++) {
        if (s->agent != SAC_NUMBERS) {
            action[i] = in_units(s, tanh(out[i]));
            continue;
        }
        const double log_std = fmin(fmax(out[A + i], -20), 2), u = out[i] + exp(log_std) * noise[i];
        action[i] = in_units(s, tanh(u));
        log_prob += -noise[i] * noise[i] / 2 - log_std - log(2 * acos(-1)) / 2 - log(1 - tanh(u) * tanh(u));
    }
    return log_prob;
}

static double next_value(const Seen* s, int b) {
    const double *obs = record(s, b) + s->ring->stride - 2, *noise = s->noise_next + b * num_actions(s);
    const int A = num_actions(s);
    double action[MAX_A], out[MAX_OUT], pi[MAX_A], value = 0;
    if (s->agent == DQN) {
        int best = 0;
        const double* chooser = s->c->double_dqn ? s->critic_params : s->critic_target;
        for (int k = 1; k < A; k++)
            if (q_of(s, chooser, 0, obs, NULL, k) > q_of(s, chooser, 0, obs, NULL, best)) best = k;
        return q_of(s, s->critic_target, 0, obs, NULL, best);
    }
    if (s->agent == SAC_KINDS) {
        forward(s->actor, s->actor_params, obs, out);
        softmax(out, A, pi);
        for (int k = 0; k < A; k++)
            value += pi[k] * (smallest_q(s, s->critic_target, obs, NULL, k) - exp(s->log_alpha) * log(pi[k]));
        return value;
    }
    const double log_prob =
        act(s, s->agent == SAC_NUMBERS ? s->actor_params : s->actor_target, obs, noise, action);
    for (int i = 0; i < A && s->agent == TD3; i++) {
        const double shift =
            fmin(fmax(s->c->target_noise * noise[i], -s->c->target_noise_clip), s->c->target_noise_clip);
        action[i] = fmin(fmax(action[i] + shift, s->space->action_low), s->space->action_high);
    }
    value = smallest_q(s, s->critic_target, obs, action, 0);
    return s->agent == SAC_NUMBERS ? value - exp(s->log_alpha) * log_prob : value;
}

// ---- losses ----

static double critic_loss(const Seen* s, const double* params) {
    double loss = 0;
    for (int b = 0; b < B; b++) {
        const double *r = record(s, b), *after = r + 2 + s->ring->items;
        const double y =
            after[0] + (after[1] > 0 || s->space->always_done ? 0 : s->c->gamma * next_value(s, b));
        for (int n = 0; n < s->num_critics; n++) {
            const double q = q_of(s, params, n, r, s->space->discrete ? NULL : r + 2, (int)r[2]);
            loss += (q - y) * (q - y) / 2 / B;
        }
    }
    return loss;
}

static double actor_loss(const Seen* s, const double* params) {
    double loss = 0, action[MAX_A], out[MAX_OUT], pi[MAX_A];
    const int A = num_actions(s);
    for (int b = 0; b < B; b++) {
        const double* obs = record(s, b);
        if (s->agent == SAC_KINDS) {
            forward(s->actor, params, obs, out);
            softmax(out, A, pi);
            for (int k = 0; k < A; k++)
                loss += pi[k] *
                        (exp(s->log_alpha) * log(pi[k]) - smallest_q(s, s->critic_params, obs, NULL, k)) / B;
            continue;
        }
        const double log_prob = act(s, params, obs, s->noise_pi + b * A, action);
        if (s->agent == SAC_NUMBERS)
            loss += (exp(s->log_alpha) * log_prob - smallest_q(s, s->critic_params, obs, action, 0)) / B;
        else
            for (int n = 0; n < s->num_critics; n++)
                loss -= q_of(s, s->critic_params, n, obs, action, 0) / s->num_critics / B;
    }
    return loss;
}

// log alpha at another place; the policy stays.
static double alpha_loss(const Seen* s, const double* log_alpha) {
    double mean = 0, action[MAX_A], out[MAX_OUT], pi[MAX_A];
    const int A = num_actions(s);
    for (int b = 0; b < B; b++) {
        const double* obs = record(s, b);
        if (s->agent == SAC_NUMBERS) {
            mean += act(s, s->actor_params, obs, s->noise_pi + b * A, action) / B;
            continue;
        }
        forward(s->actor, s->actor_params, obs, out);
        softmax(out, A, pi);
        for (int k = 0; k < A; k++) mean += pi[k] * log(pi[k]) / B;
    }
    const double entropy = s->agent == SAC_NUMBERS ? -A : s->c->target_entropy_ratio * log(A);
    return -*log_alpha * (mean + entropy);
}

typedef double Loss(const Seen* s, const double* params);

// m after the first step of Adam is a tenth of the gradient. Differences by four points, h = 1e-3: their error is h^4 / 30 of
// fifth derivatives, some hundred here, and 1.5e-16 |loss| / h with losses up to 30.
static void check_gradient(const char* what, const Seen* s, Loss* loss, const double* point, size_t count,
                           const double* m, double share) {
    double* x = test_malloc(count * sizeof *x);
    const double h = 1e-3, steps[4] = {-2, -1, 1, 2};
    double largest = 0;
    memcpy(x, point, count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        double value[4];
        for (int k = 0; k < 4; k++) {
            x[i] = point[i] + steps[k] * h;
            value[k] = loss(s, x);
        }
        x[i] = point[i];
        const double slope = (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / (12 * h);
        if (!(fabs(share * slope - m[i]) <= 1e-9 + 1e-8 * fabs(slope)))
            fail_msg("%s, %s: parameter %zu has gradient %.12g, differences say %.12g", agent_names[s->agent],
                     what, i, m[i] / share, slope);
        largest = fmax(largest, fabs(slope));
    }
    assert_true(largest > 1e-4);
    test_free(x);
}

// ---- one update ----

static UfOffPolicyConfig small(int agent) {
    UfOffPolicyConfig c = published(algorithm_of(agent));
    c.layer_width = WIDTH;
    c.batch_size = B;
    c.num_envs = 2;
    c.num_steps = 100;
    c.buffer_size = 24;  // it has gone round by then
    c.warm_up = WARM_UP;
    c.updates = 1;
    c.policy_delay = 1;
    c.max_grad_norm = 0;
    c.seed = 11;
    return c;
}

static void draw_normals(double* out, int count, uint64_t seed, uint32_t stream, uint64_t update) {
    for (int i = 0; i < count; i += 4) {
        const UfPhilox w = uf_philox(seed, stream, update, (uint64_t)i / 4);
        float v[4];
        uf_normal_pair(w.v[0], w.v[1], v);
        uf_normal_pair(w.v[2], w.v[3], v + 2);
        for (int k = 0; k < 4 && i + k < count; k++) out[i + k] = v[k];
    }
}

static double* copy_of(const double* x, size_t count) {
    double* copy = test_malloc((count + 1) * sizeof *copy);
    if (x) memcpy(copy, x, count * sizeof *copy);
    return copy;
}

typedef struct Update {
    const UfOffPolicyParts* parts;
    UfOffPolicy* agents;
    TestEnvs* envs;
    Seen seen;
    double *before[UF_OFF_GROUPS], *target_before[2];
} Update;

// Agents before and after their first update. Targets and log alpha are moved away from where they begin.
static Update do_update(int agent, const UfOffPolicyConfig* c, int length, bool always_done) {
    Update u = {.parts = uf_off_policy_parts_double()};
    // The iteration whose step makes it learn: SAC counts after it, the others before.
    const int64_t warm = agent <= SAC_NUMBERS ? WARM_UP / 2 : WARM_UP / 2 + 1;
    u.envs = make_envs(2, kinds_of(agent), 2, -1, 3, length, always_done, 0);
    assert_ok(u.parts->create(&u.agents, c, 1, &u.envs->base.space, NULL, 1));
    assert_ok(u.parts->train(u.agents, &u.envs->base, warm));
    UfRandom r = uf_random(5, 0, 0);
    for (int k = 0; k < UF_OFF_GROUPS; k++) {
        const UfGroup* g = u.parts->group(u.agents, k);
        for (size_t i = 0; i < g->count; i++) {
            assert_true(g->m[i] == 0 && g->v[i] == 0);
            g->params[i] += 0.2 * uf_random_normal(&r);  // also biases are no more 0
            if (k == UF_OFF_ALPHA) g->params[i] = -0.7;
            if (g->target) g->target[i] += 0.1 * uf_random_normal(&r);
        }
        u.before[k] = copy_of(g->params, g->count);
        if (k < 2) u.target_before[k] = copy_of(g->target, g->count);
    }
    assert_ok(u.parts->train(u.agents, &u.envs->base, 1));

    Seen* s = &u.seen;
    *s = (Seen){.agent = agent, .c = c, .space = &u.envs->base.space, .ring = u.parts->ring(u.agents)};
    s->actor = u.parts->mlp(u.agents, UF_OFF_ACTOR);
    s->critic = u.parts->mlp(u.agents, UF_OFF_CRITIC);
    s->num_critics = (int)(u.parts->group(u.agents, UF_OFF_CRITIC)->count / s->critic->size);
    s->actor_params = u.before[UF_OFF_ACTOR];
    s->critic_params = u.before[UF_OFF_CRITIC];
    s->actor_target = u.target_before[UF_OFF_ACTOR];
    s->critic_target = u.target_before[UF_OFF_CRITIC];
    s->log_alpha = u.before[UF_OFF_ALPHA][0];
    const uint64_t number = (uint64_t)warm;  // one update an iteration
    const int64_t rows = 2 * (warm + 1);
    for (int b = 0; b < B; b++) {
        const UfPhilox w = uf_philox(c->seed, UF_STREAM_TD_INDEX, number, (uint64_t)b / 2);
        const uint64_t bits = (uint64_t)w.v[2 * (b % 2)] << 32 | w.v[2 * (b % 2) + 1];
        s->index[b] =
            (int64_t)(((__uint128_t)bits * (uint64_t)(rows < c->buffer_size ? rows : c->buffer_size)) >> 64);
    }
    draw_normals(s->noise_pi, B * 2, c->seed, UF_STREAM_TD_ACTOR, number);
    draw_normals(s->noise_next, B * 2, c->seed, UF_STREAM_TD_NEXT, number);
    return u;
}

static void free_update(Update* u) {
    for (int k = 0; k < UF_OFF_GROUPS; k++) test_free(u->before[k]);
    for (int k = 0; k < 2; k++) test_free(u->target_before[k]);
    u->parts->free(u->agents);
    free_envs(u->envs);
}

// SAC's and DDPG's gradients are all at the point before the update, TD3's actor's is after its critics' step.
static void check_update(int agent, const UfOffPolicyConfig* c, int length, bool always_done) {
    Update u = do_update(agent, c, length, always_done);
    const UfGroup *actor = u.parts->group(u.agents, UF_OFF_ACTOR),
                  *critic = u.parts->group(u.agents, UF_OFF_CRITIC),
                  *alpha = u.parts->group(u.agents, UF_OFF_ALPHA);
    const double share = 1 - 0.9;
    assert_int_equal(u.seen.num_critics, agent == SAC_KINDS || agent == SAC_NUMBERS || agent == TD3 ? 2 : 1);
    check_gradient("critics", &u.seen, critic_loss, u.before[UF_OFF_CRITIC], critic->count, critic->m, share);
    if (agent == DQN) {
        assert_int_equal(actor->count, 0);
    } else {
        Seen s = u.seen;
        if (agent == TD3) s.critic_params = critic->params;
        check_gradient("actor", &s, actor_loss, u.before[UF_OFF_ACTOR], actor->count, actor->m, share);
    }
    assert_int_equal(alpha->count, agent == SAC_KINDS || agent == SAC_NUMBERS ? 1 : 0);
    if (alpha->count)
        check_gradient("log alpha", &u.seen, alpha_loss, u.before[UF_OFF_ALPHA], 1, alpha->m, share);

    // Adam's first step with epsilon 1e-5; hats are the gradient and its square.
    for (int k = 0; k < UF_OFF_GROUPS; k++) {
        const UfGroup* g = u.parts->group(u.agents, k);
        for (size_t i = 0; i < g->count; i++) {
            const double gradient = g->m[i] / share;
            const double want = u.before[k][i] - c->lr * gradient / (fabs(gradient) + 1e-5);
            // lr and hats are rounded as float's product of 0.9 is not: 1e-3 * 1e-6
            if (!(fabs(g->params[i] - want) <= 1e-9))
                fail_msg("%s: group %d, parameter %zu is %.12g, Adam says %.12g", agent_names[agent], k, i,
                         g->params[i], want);
        }
    }
    // tau is what targets keep, of parameters after the step; DQN's are copied when a multiple of 50 is passed, not here.
    for (int k = 0; k < 2; k++) {
        const UfGroup* g = u.parts->group(u.agents, k);
        assert_true((g->target != NULL) ==
                    (!always_done && g->count && (k == UF_OFF_CRITIC || agent == DDPG || agent == TD3)));
        for (size_t i = 0; g->target && i < g->count; i++) {
            const double was = u.target_before[k][i];
            const double want = agent == DQN ? was : (1 - c->tau) * g->params[i] + c->tau * was;
            if (!(fabs(g->target[i] - want) <= 1e-14)) fail_msg("%s: target %zu", agent_names[agent], i);
        }
    }
    free_update(&u);
}

static void test_gradients(void** state) {
    (void)state;
    for (int agent = 0; agent < NUM_AGENTS; agent++)
        for (int which = 0; which < 3; which++) {
            UfOffPolicyConfig c = small(agent);
            if (which == 1) c.buffer_size = 60;  // rows are of those that there are
            if (which == 2) c.double_dqn = true;
            check_update(agent, &c, 4, false);
        }
}

// In a bandit what a row is worth is its reward, with target networks and without.
static void test_gradients_of_bandits(void** state) {
    (void)state;
    for (int agent = 0; agent < NUM_AGENTS; agent++)
        for (int always = 0; always < 2; always++) {
            const UfOffPolicyConfig c = small(agent);
            check_update(agent, &c, 1, always);
        }
}

// DDPG's two networks are clipped as one, TD3's each for itself, SAC's not at all. tolerance: rounding.
static void test_clipping(void** state) {
    (void)state;
    const double most = 0.01;
    for (int agent = 0; agent < NUM_AGENTS; agent++) {
        UfOffPolicyConfig c = small(agent);
        double norm[2] = {0}, whole[2] = {0};
        for (int clips = 0; clips < 2; clips++) {
            c.max_grad_norm = clips ? most : 0;
            Update u = do_update(agent, &c, 4, false);
            for (int k = 0; k < 2; k++) {
                const UfGroup* g = u.parts->group(u.agents, k);
                for (size_t i = 0; i < g->count; i++) (clips ? norm : whole)[k] += 100 * g->m[i] * g->m[i];
            }
            free_update(&u);
        }
        const double both = whole[0] + whole[1];
        assert_true(both > 4 * most * most);
        for (int k = 0; k < 2; k++) {
            const double factor = agent == SAC_KINDS || agent == SAC_NUMBERS ? 1
                                  : agent == TD3                             ? most * most / whole[k]
                                                                             : most * most / both;
            const double want = whole[k] > 0 ? factor * whole[k] : 0;
            // Of TD3 clipped critics have made another step before the actor's gradient, whose length stays.
            if (!(fabs(norm[k] - want) <= 1e-9 * want))
                fail_msg("%s, group %d: squared norm %.12g, expected %.12g", agent_names[agent], k, norm[k],
                         want);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_of_bandits),
        cmocka_unit_test(test_clipping),
    };
    return cmocka_run_group_tests_name("off-policy in double precision", tests, NULL, NULL);
}
