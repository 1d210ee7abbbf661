// test_cuda_rules.c: the built-in environments that agents train in, stepped on a CUDA device as they are on the host:
// observations, rewards, ends, what a checkpoint keeps of them, moved at the beginning or in the middle. Without a device it
// skips.
#include "device.h"

#include <math.h>

#include "core/agents/train_envs.h"

enum { P = 2, N = 3, STEPS = 45, ALL = P * N };

static const uint64_t seeds[P] = {5, 1ULL << 40};

// What environments take and give, on the host; on a device also there.
typedef struct World {
    UfTrainEnvs* envs;
    UfBackend* be;  // NULL: on the host
    int numbers;    // of an action
    real obs[ALL * UF_RULE_MAX_OBS], reward[ALL], action[ALL * UF_RULE_MAX_ACTIONS];
    uint8_t done[ALL];
    struct {
        void *obs, *action, *reward, *terminated, *truncated;
    } there;
} World;

static void* reserved(UfBackend* be, size_t bytes) {
    void* memory;
    assert_ok(be->reserve(be, &memory, bytes, "a test"));
    return memory;
}

static World* make_world(const UfEnvSpec* spec) {
    World* w = test_calloc(1, sizeof *w);
    assert_ok(uf_train_envs_real(&w->envs, spec, P, N, seeds));
    w->numbers = spec->discrete ? 1 : spec->action_dim;
    return w;
}

static void move(World* w, UfBackend* be) {
    assert_ok(w->envs->ops->move(w->envs, be));
    w->be = be;
    w->there.obs = reserved(be, sizeof w->obs);
    w->there.action = reserved(be, sizeof w->action);
    w->there.reward = reserved(be, sizeof w->reward);
    w->there.terminated = reserved(be, ALL);
    w->there.truncated = reserved(be, ALL);
}

static void free_world(World* w) {
    void* all[] = {w->there.obs, w->there.action, w->there.reward, w->there.terminated, w->there.truncated};
    uf_train_envs_free(w->envs);
    for (int i = 0; i < 5 && w->be; i++) w->be->release(w->be, all[i]);
    test_free(w);
}

static size_t obs_bytes(const World* w) {
    return (size_t)ALL * (size_t)w->envs->space.obs_dim * sizeof(real);
}

static void reset(World* w) {
    const int O = w->envs->space.obs_dim;
    if (!w->be) {
        for (int p = 0; p < P; p++) assert_ok(w->envs->ops->reset(w->envs, p, w->obs + p * N * O));
        return;
    }
    assert_ok(w->envs->ops->reset_all(w->envs, w->there.obs));
    w->be->download(w->be, w->obs, w->there.obs, obs_bytes(w));
    assert_ok(w->be->sync(w->be));
}

static void step_there(World* w) {
    uint8_t kinds[ALL], terminated[ALL], truncated[ALL];
    UfBackend* be = w->be;
    for (int i = 0; i < ALL; i++) kinds[i] = (uint8_t)w->action[i];
    if (w->envs->space.discrete)
        be->upload(be, w->there.action, kinds, sizeof kinds);
    else
        be->upload(be, w->there.action, w->action, (size_t)(ALL * w->numbers) * sizeof(real));
    assert_ok(w->envs->ops->step_all(w->envs, w->there.action, w->there.obs, w->there.reward,
                                     w->there.terminated, w->there.truncated));
    be->download(be, w->obs, w->there.obs, obs_bytes(w));
    be->download(be, w->reward, w->there.reward, sizeof w->reward);
    be->download(be, terminated, w->there.terminated, sizeof terminated);
    be->download(be, truncated, w->there.truncated, sizeof truncated);
    assert_ok(be->sync(be));
    for (int i = 0; i < ALL; i++) w->done[i] = terminated[i] | truncated[i];
}

// By the actions of step t, which go beyond their bounds.
static void step(World* w, int t) {
    const UfTrainSpace* s = &w->envs->space;
    UfRandom r = uf_random(9, 1, (uint64_t)t);
    for (int i = 0; i < ALL * w->numbers; i++)
        w->action[i] = s->discrete ? (real)(int)uf_random_uniform(&r, 0, s->action_dim)
                                   : (real)uf_random_uniform(&r, 1.3 * (double)s->action_low,
                                                             1.3 * (double)s->action_high);
    if (w->be) {
        step_there(w);
        return;
    }
    for (int p = 0; p < P; p++)
        assert_ok(w->envs->ops->step(w->envs, p, w->action + p * N * w->numbers, w->obs + p * N * s->obs_dim,
                                     w->reward + p * N, w->done + p * N));
}

// Sine and cosine of a device are off by some 1e-16, which STEPS steps of a double pendulum multiply by at most 1e8;
// observations are single precision.
static void assert_same(const World* a, const World* b, const char* name, int t) {
    const int O = a->envs->space.obs_dim;
    assert_memory_equal(a->done, b->done, sizeof a->done);
    if (t >= STEPS) return;
    for (int i = 0; i < ALL * O; i++)
        if (!(fabsf(a->obs[i] - b->obs[i]) <= 1e-6F * (1 + fabsf(a->obs[i]))))
            fail_msg("%s, step %d: number %d of observations is %.9g on the host, %.9g on the device", name,
                     t, i, (double)a->obs[i], (double)b->obs[i]);
    for (int i = 0; i < ALL && t > 0; i++)
        if (!(fabsf(a->reward[i] - b->reward[i]) <= 1e-6F * (1 + fabsf(a->reward[i]))))
            fail_msg("%s, step %d: reward %d is %.9g on the host, %.9g on the device", name, t, i,
                     (double)a->reward[i], (double)b->reward[i]);
}

static void assert_same_states(const World* here, const World* there, const char* name) {
    const size_t bytes = here->envs->ops->state_bytes(here->envs);
    char *x = test_malloc(bytes), *y = test_malloc(bytes), *all = test_malloc(P * bytes);
    assert_int_equal(bytes, there->envs->ops->state_bytes(there->envs));
    assert_ok(there->envs->ops->get_states(there->envs, all));
    for (int p = 0; p < P; p++) {
        assert_ok(here->envs->ops->get_state(here->envs, p, x));
        assert_ok(there->envs->ops->get_state(there->envs, p, y));
        if (memcmp(x, y, bytes) != 0 || memcmp(x, all + (size_t)p * bytes, bytes) != 0)
            fail_msg("%s: states of member %d differ", name, p);
    }
    test_free(x);
    test_free(y);
    test_free(all);
}

// 205 steps are more than an episode of Pendulum or MountainCar has.
static void test_equal_the_host(void** state) {
    NEEDS_DEVICE();
    int count = 0;
    for (int k = 0; k < uf_num_env_specs; k++) {
        const UfEnvSpec* spec = &uf_env_specs[k];
        UfEnvRule rule;
        if (!uf_env_rule(spec, &rule)) continue;
        const int steps = spec->max_steps <= 200 ? 205 : STEPS;
        UfBackend* be;
        assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
        World *here = make_world(spec), *there = make_world(spec);
        move(there, be);
        reset(here);
        reset(there);
        assert_same(here, there, spec->name, 0);
        for (int t = 1; t <= steps; t++) {
            step(here, t);
            step(there, t);
            assert_same(here, there, spec->name, t);
        }
        assert_same_states(here, there, spec->name);
        free_world(here);
        free_world(there);
        uf_backend_close(be);
        count++;
    }
    assert_true(count >= 7);
}

// Moved after 30 steps on the host, and after 10 more to another backend; a state of there is one for the host.
static void test_moved_on_the_way(void** state) {
    NEEDS_DEVICE();
    static const char* const names[] = {"CartPole-v1", "Pendulum-v1"};
    for (int k = 0; k < 2; k++) {
        const UfEnvSpec* spec = uf_env_find(names[k]);
        UfBackend* be[2];
        for (int i = 0; i < 2; i++) assert_ok(uf_backend_open(&be[i], "cuda", "fp32", 1));
        World *here = make_world(spec), *there = make_world(spec), *back = make_world(spec);
        reset(here);
        reset(there);
        for (int t = 1; t < STEPS; t++) {
            if (t == 30) move(there, be[0]);
            if (t == 40) {
                void* old[] = {there->there.obs, there->there.action, there->there.reward,
                               there->there.terminated, there->there.truncated};
                move(there, be[1]);
                for (int i = 0; i < 5; i++) be[0]->release(be[0], old[i]);
                uf_backend_close(be[0]);
            }
            step(here, t);
            step(there, t);
            assert_same(here, there, names[k], t);
        }
        assert_same_states(here, there, names[k]);
        const size_t bytes = here->envs->ops->state_bytes(here->envs);
        char* kept = test_malloc(P * bytes);
        assert_ok(there->envs->ops->get_states(there->envs, kept));
        for (int p = 0; p < P; p++)
            assert_ok(back->envs->ops->set_state(back->envs, p, kept + (size_t)p * bytes, "a test"));
        step(here, STEPS);
        step(back, STEPS);
        assert_same(here, back, names[k], 1);
        test_free(kept);
        free_world(here);
        free_world(there);
        free_world(back);
        uf_backend_close(be[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal_the_host),
                                       cmocka_unit_test(test_moved_on_the_way)};
    return cmocka_run_group_tests_name("cuda_rules", tests, look_for_device, NULL);
}
