// test_cuda_synth.c: synthetic environments on a CUDA device, behind the table of training environments, against those of the
// host; a row's bits, what is recorded, moving in the middle, memory that runs out. Without a device it skips.
//
// Before each step the host's get the state of the device's, so that a difference is that of one step.
#include "device.h"

#include <math.h>

#include "core/agents/train_envs.h"
#include "core/synth/synth.h"

static UfBackend *device, *other;

static int open_device(void** state) {
    look_for_device(state);
    if (has_device && uf_backend_open(&device, "cuda", "fp32", 1) != UF_OK) return -1;
    return !device || uf_backend_open(&other, "cuda", "fp32", 1) == UF_OK ? 0 : -1;
}
static int close_device(void** state) {
    (void)state;
    uf_backend_close(other);
    uf_backend_close(device);
    return 0;
}

// ---- environments ----

#define KINDS(A) .action_dim = (A), .discrete = 1
#define NUMBERS(A, range) .action_dim = (A), .action_low = -(range), .action_high = (range)
#define MDP(steps) .mode = SE_MDP, .max_steps = (steps)

// Outputs fewer than a warp's threads, fewer than a block's, more than either; the second and the last two are a block's.
// The first few have all there is, for where it is slow.
static const SeOptions cases[] = {
    {MDP(4), .latent = SE_CATEGORICAL, .obs_dim = 7, KINDS(5), .latent_dim = 3, .width = 40},
    {MDP(3), .obs_dim = 45, NUMBERS(3, 0.5f), .latent_dim = 10, .width = 200},
    {.mode = SE_BANDIT, .obs_dim = 4, KINDS(2), .width = 32},
    {.mode = SE_BANDIT, .obs_dim = 3, NUMBERS(1, 2), .width = 33},
    {MDP(5), .latent = SE_SOFTMAX, .obs_dim = 1, KINDS(3), .latent_dim = 9, .width = 300},
    {MDP(3), .latent = SE_UNIFORM, .obs_dim = 2, NUMBERS(3, 1), .latent_dim = 6, .width = 19},
    {MDP(1), .obs_dim = 1, NUMBERS(1, 1), .width = 1},
    {MDP(6), .obs_dim = 40, NUMBERS(37, 1), .width = 33},
    {.mode = SE_BANDIT, .latent = SE_UNIFORM, .obs_dim = 11, KINDS(256), .latent_dim = 33, .width = 8},
    {.mode = SE_BANDIT, .latent = SE_CATEGORICAL, .obs_dim = 300, KINDS(1), .latent_dim = 1, .width = 37},
    {MDP(2), .obs_dim = 290, NUMBERS(2, 1), .latent_dim = 7, .width = 270},
};
enum { NUM_CASES = sizeof cases / sizeof cases[0], MOST_P = 3, MOST_N = 5 };

static int num_cases(void) {
    const char* cases_of = getenv("UF_TEST_CASES");  // where it is slow
    return cases_of && atoi(cases_of) < NUM_CASES ? atoi(cases_of) : NUM_CASES;
}

// Biases of fresh networks are 0; these are not. Numbers stay of size one whatever the width.
static SeEnv* create(const SeOptions* o, uint64_t seed) {
    SeEnv* env;
    assert_ok(se_create(&env, o, seed));
    const int64_t count = se_num_params(env);
    float* params = test_malloc((size_t)count * sizeof *params);
    UfRandom random = uf_random(seed, UF_STREAM_INIT, 99);
    const float share = 0.3f / sqrtf(1 + (float)o->width / 32);
    se_get_params(env, params);
    for (int64_t i = 0; i < count; i++) params[i] += share * uf_random_normal(&random);
    assert_ok(se_set_params(env, params));
    test_free(params);
    return env;
}

// Environments of both sides. Of one `kind` all members have the same.
typedef struct World {
    const SeOptions* o;
    int P, N, numbers;
    SeEnv* made[MOST_P];
    const SeEnv* of[MOST_P];
    uint64_t seeds[MOST_P];
    UfTrainEnvs *here, *there;
    size_t state_bytes;
    UfBackend* be;
    // on the device
    void* action;
    real *obs, *reward;
    uint8_t *terminated, *truncated;
} World;

static void make_arrays(World* w) {
    const size_t rows = (size_t)w->P * (size_t)w->N;
    const struct {
        void* pointer;
        size_t bytes;
    } arrays[] = {{&w->action, rows * (w->o->discrete ? 1 : (size_t)w->numbers * sizeof(real))},
                  {&w->obs, rows * (size_t)w->o->obs_dim * sizeof(real)},
                  {&w->reward, rows * sizeof(real)},
                  {&w->terminated, rows},
                  {&w->truncated, rows}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        assert_ok(w->be->reserve(w->be, arrays[i].pointer, arrays[i].bytes, "a test"));
}

static void free_arrays(World* w) {
    void* arrays[] = {w->action, w->obs, w->reward, w->terminated, w->truncated};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) w->be->release(w->be, arrays[i]);
}

// Members [first, first + P) of MOST_P, on the host.
static World make_world(const SeOptions* o, int first, int P, int N, bool shared) {
    World w = {.o = o, .P = P, .N = N, .numbers = o->discrete ? 1 : o->action_dim, .be = device};
    for (int p = 0; p < P; p++) {
        w.made[p] = shared && p ? NULL : create(o, 11 + (uint64_t)(shared ? 0 : first + p));
        w.of[p] = w.made[shared ? 0 : p];
        w.seeds[p] = 1000 * (uint64_t)(first + p) + 3 + ((uint64_t)1 << 40);
    }
    assert_ok(uf_train_envs_synthetic(&w.here, w.of, P, N, w.seeds));
    assert_ok(uf_train_envs_synthetic(&w.there, w.of, P, N, w.seeds));
    w.state_bytes = w.here->ops->state_bytes(w.here);
    make_arrays(&w);
    return w;
}

static void free_world(World* w) {
    free_arrays(w);
    uf_train_envs_free(w->here);
    uf_train_envs_free(w->there);
    for (int p = 0; p < w->P; p++) se_free(w->made[p]);
}

// What one call wrote, on the host.
typedef struct Seen {
    real *obs, *reward;
    uint8_t *terminated, *truncated;
    char* states;  // of all members, after it
} Seen;

static Seen make_seen(const World* w) {
    const size_t rows = (size_t)w->P * (size_t)w->N;
    return (Seen){test_calloc(rows * (size_t)w->o->obs_dim, sizeof(real)), test_calloc(rows, sizeof(real)),
                  test_calloc(rows, 1), test_calloc(rows, 1), test_malloc((size_t)w->P * w->state_bytes)};
}

static void free_seen(Seen* s) {
    test_free(s->obs);
    test_free(s->reward);
    test_free(s->terminated);
    test_free(s->truncated);
    test_free(s->states);
}

static void look(const World* w, const Seen* s, bool of_step) {
    const size_t rows = (size_t)w->P * (size_t)w->N;
    w->be->download(w->be, s->obs, w->obs, rows * (size_t)w->o->obs_dim * sizeof *s->obs);
    if (of_step) {
        w->be->download(w->be, s->reward, w->reward, rows * sizeof *s->reward);
        w->be->download(w->be, s->terminated, w->terminated, rows);
        w->be->download(w->be, s->truncated, w->truncated, rows);
    }
    assert_ok(w->be->sync(w->be));
    assert_ok(w->there->ops->get_states(w->there, s->states));
}

// Of row n of the member that is number p of MOST_P at step t, whoever is beside it. Beyond the bounds, too.
static real action_of(const SeOptions* o, int p, int n, int t, int i) {
    UfRandom random =
        uf_random(77 + (uint64_t)p, UF_STREAM_INIT, (uint64_t)t * 1000 + (uint64_t)n * 500 + (uint64_t)i);
    if (o->discrete)
        return (real)(uf_random_u32(&random) % (uint32_t)(o->action_dim < 255 ? o->action_dim + 1 : 256));
    return 1.5f * o->action_high * uf_random_normal(&random);
}

// action (P, N, numbers): the real ones, which also go to the device.
static void choose(const World* w, int first, int t, real* action) {
    const size_t count = (size_t)w->P * (size_t)w->N * (size_t)w->numbers;
    uint8_t kinds[MOST_P * MOST_N];
    for (size_t k = 0; k < count; k++) {
        const size_t row = k / (size_t)w->numbers;
        action[k] = action_of(w->o, first + (int)(row / (size_t)w->N), (int)(row % (size_t)w->N), t,
                              (int)(k % (size_t)w->numbers));
        if (w->o->discrete) kinds[k] = (uint8_t)action[k];
    }
    if (w->o->discrete)
        w->be->upload(w->be, w->action, kinds, count);
    else
        w->be->upload(w->be, w->action, action, count * sizeof *action);
}

static void reset_there(const World* w) { assert_ok(w->there->ops->reset_all(w->there, w->obs)); }
static void step_there(const World* w) {
    assert_ok(w->there->ops->step_all(w->there, w->action, w->obs, w->reward, w->terminated, w->truncated));
}

// ---- against the host ----

// Sums of up to 327 products of numbers around 1, whose weights shrink as there are more, in another order; and normals by
// another logarithm, cosine and sine, off by 1e-6: some dozens of roundings. What is no number is none on both sides.
static void assert_near(const SeOptions* o, const char* what, int row, real a, real b) {
    if (isnan(a) && isnan(b)) return;
    if (!(fabsf(a - b) <= 1e-5f * (1 + fabsf(b))))
        fail_msg("width %d, obs_dim %d: %s of row %d is %.9g; the host's %.9g", o->width, o->obs_dim, what,
                 row, (double)a, (double)b);
}

// The logit may be on the other side of 0 by rounding.
static bool is_tie(const World* w, int p, const real* obs, const real* action) {
    real next[512], reward, logit;
    uint8_t ended;
    if (w->o->mode == SE_BANDIT) return false;
    se_transition(w->of[p], obs, action, next, &reward, &ended);
    se_done_logits(w->of[p], 1, next, &logit);
    return fabsf(logit) < 1e-4f;
}

static void clip(const SeOptions* o, real* action, int count) {
    for (int i = 0; i < count && !o->discrete; i++)
        action[i] = uf_clip(action[i], o->action_low, o->action_high);
}

typedef struct Counts {
    int rows, ties, terminated, truncated;
} Counts;

// draws, steps (N), obs (N, O) of a member, as train_envs.c lays them out.
static int32_t steps_in(const World* w, const char* states, int row) {
    int32_t steps;
    memcpy(&steps, states + (size_t)(row / w->N) * w->state_bytes + 8 + (size_t)(row % w->N) * sizeof steps,
           sizeof steps);
    return steps;
}
static uint64_t draws_in(const World* w, const char* states, int p) {
    uint64_t draws;
    memcpy(&draws, states + (size_t)p * w->state_bytes, sizeof draws);
    return draws;
}
static const real* obs_in(const World* w, const char* states, int row) {
    return (const real*)(states + (size_t)(row / w->N) * w->state_bytes + 8 +
                         (size_t)w->N * sizeof(int32_t)) +
           (size_t)(row % w->N) * (size_t)w->o->obs_dim;
}

// One step of both from the device's state before it.
static void compare_step(const World* w, const Seen* before, const Seen* after, real* action,
                         Counts* counts) {
    const int O = w->o->obs_dim;
    real *obs = test_malloc((size_t)w->N * (size_t)O * sizeof *obs), reward[MOST_N];
    uint8_t done[MOST_N];
    char* state = test_malloc(w->state_bytes);
    for (int p = 0; p < w->P; p++) {
        const size_t from = (size_t)p * w->state_bytes;
        real* chosen = action + (size_t)p * (size_t)w->N * (size_t)w->numbers;
        assert_ok(w->here->ops->set_state(w->here, p, before->states + from, "the device's state"));
        assert_ok(w->here->ops->step(w->here, p, chosen, obs, reward, done));
        assert_ok(w->here->ops->get_state(w->here, p, state));
        assert_int_equal(draws_in(w, after->states, p), draws_in(w, before->states, p) + 1);
        assert_int_equal(draws_in(w, state, 0), draws_in(w, after->states, p));
        for (int n = 0; n < w->N; n++) {
            const int row = p * w->N + n;
            const bool ended = after->terminated[row], last = after->truncated[row];
            real* own = chosen + (size_t)n * (size_t)w->numbers;
            clip(w->o, own, w->numbers);
            assert_near(w->o, "reward", row, after->reward[row], reward[n]);
            counts->rows++;
            if (is_tie(w, p, obs_in(w, before->states, row), own)) {
                counts->ties++;
                continue;
            }
            if ((ended || last) != done[n])
                fail_msg("width %d: row %d says %d and %d; the host %d", w->o->width, row, ended, last,
                         done[n]);
            assert_int_equal(last,
                             w->o->mode == SE_MDP && steps_in(w, before->states, row) + 1 == w->o->max_steps);
            assert_int_equal(steps_in(w, after->states, row), steps_in(w, state, n));
            for (int i = 0; i < O; i++) {
                const size_t at = (size_t)row * (size_t)O + (size_t)i;
                assert_near(w->o, "observation", row, after->obs[at], obs[(size_t)n * (size_t)O + (size_t)i]);
                assert_true(obs_in(w, after->states, row)[i] == after->obs[at]);
            }
            counts->terminated += ended && w->o->mode == SE_MDP;
            counts->truncated += last;
        }
    }
    test_free(obs);
    test_free(state);
}

static void compare_reset(const World* w, const Seen* seen) {
    const size_t O = (size_t)w->o->obs_dim;
    real* obs = test_malloc((size_t)w->N * O * sizeof *obs);
    for (int p = 0; p < w->P; p++) {
        assert_ok(w->here->ops->reset(w->here, p, obs));
        assert_int_equal(draws_in(w, seen->states, p), 1);
        for (size_t i = 0; i < (size_t)w->N * O; i++) {
            const int row = p * w->N + (int)(i / O);
            assert_near(w->o, "first observation", row, seen->obs[(size_t)p * (size_t)w->N * O + i], obs[i]);
            assert_int_equal(steps_in(w, seen->states, row), 0);
            assert_true(obs_in(w, seen->states, row)[i % O] == seen->obs[(size_t)p * (size_t)w->N * O + i]);
        }
    }
    test_free(obs);
}

static void test_equals_the_host(void** state) {
    NEEDS_DEVICE();
    enum { STEPS = 9 };
    Counts counts = {0};
    for (int i = 0; i < num_cases(); i++)
        for (int shared = 0; shared < 2; shared++) {
            World w = make_world(&cases[i], 0, MOST_P, shared ? 2 : MOST_N, shared);
            real* action = test_malloc((size_t)(w.P * w.N * w.numbers) * sizeof *action);
            Seen before = make_seen(&w), after = make_seen(&w);
            assert_ok(w.there->ops->move(w.there, device));
            reset_there(&w);
            look(&w, &after, false);
            compare_reset(&w, &after);
            for (int t = 0; t < STEPS; t++) {
                const Seen swap = before;
                before = after;
                after = swap;
                choose(&w, 0, t, action);
                change_order(t);
                step_there(&w);
                look(&w, &after, true);
                compare_step(&w, &before, &after, action, &counts);
            }
            change_order(0);
            free_seen(&before);
            free_seen(&after);
            test_free(action);
            free_world(&w);
        }
    assert_true(counts.ties * 100 <= counts.rows);
    assert_true(counts.terminated > 0 && counts.truncated > 0);
}

// An action that is no number makes the reward none, and the observation for as long as the episode goes on.
static void test_nan_stays(void** state) {
    NEEDS_DEVICE();
    static const SeOptions options[] = {{MDP(100), .obs_dim = 2, NUMBERS(2, 1), .width = 19},
                                        {.mode = SE_BANDIT, .obs_dim = 2, NUMBERS(2, 1), .width = 19}};
    for (int i = 0; i < 2; i++) {
        World w = make_world(&options[i], 0, 1, 2, false);
        Seen seen = make_seen(&w);
        real action[4] = {0.5f, NAN, 0.5f, -0.5f};
        assert_ok(w.there->ops->move(w.there, device));
        reset_there(&w);
        for (int t = 0; t < 2; t++) {
            device->upload(device, w.action, action, sizeof action);
            step_there(&w);
            look(&w, &seen, true);
            assert_true(isnan(seen.reward[0]) && isfinite(seen.reward[1]));
            assert_true(isfinite(seen.obs[2]));
            assert_int_equal(isnan(seen.obs[0]) && isnan(seen.obs[1]), i == 0);
            assert_int_equal(seen.terminated[0], i == 1);
            if (i == 0) action[1] = 0;
        }
        free_seen(&seen);
        free_world(&w);
    }
}

// A logit of 0 ends nothing: that of networks of zeros.
static void test_zero_goes_on(void** state) {
    NEEDS_DEVICE();
    static const SeOptions o = {MDP(3), .obs_dim = 2, KINDS(2), .width = 5};
    World w = make_world(&o, 0, 1, 2, false);
    Seen seen = make_seen(&w);
    real action[2];
    float* zeros = test_calloc((size_t)se_num_params(w.made[0]), sizeof *zeros);
    assert_ok(se_set_params(w.made[0], zeros));
    assert_ok(w.there->ops->move(w.there, device));
    reset_there(&w);
    for (int t = 1; t < 4; t++) {
        choose(&w, 0, t, action);
        step_there(&w);
        look(&w, &seen, true);
        assert_true(!seen.terminated[1] && seen.truncated[1] == (t == 3) && seen.reward[1] == 0);
        assert_int_equal(steps_in(&w, seen.states, 1), t % 3);
    }
    test_free(zeros);
    free_seen(&seen);
    free_world(&w);
}

// ---- bits ----

enum { BIT_STEPS = 5 };

// Everything that is seen of row n of member p while BIT_STEPS steps are taken, one behind another.
typedef struct Film {
    Seen seen[BIT_STEPS + 1];
    int P, N;
} Film;

static Film film(World* w, int first, int order) {
    Film f = {.P = w->P, .N = w->N};
    real* action = test_malloc((size_t)(w->P * w->N * w->numbers) * sizeof *action);
    change_order(order);
    if (!w->there->moves) fail_msg("they stay on the host");
    assert_ok(w->there->ops->move(w->there, device));
    reset_there(w);
    for (int t = 0; t <= BIT_STEPS; t++) {
        if (t) {
            choose(w, first, t, action);
            step_there(w);
        }
        f.seen[t] = make_seen(w);
        look(w, &f.seen[t], t > 0);
    }
    change_order(0);
    test_free(action);
    return f;
}

static void free_film(Film* f) {
    for (int t = 0; t <= BIT_STEPS; t++) free_seen(&f->seen[t]);
}

static void assert_same_row(const SeOptions* o, const Film* a, int row, const Film* b, int other_row) {
    const size_t O = (size_t)o->obs_dim;
    for (int t = 0; t <= BIT_STEPS; t++) {
        const Seen *x = &a->seen[t], *y = &b->seen[t];
        if (memcmp(x->obs + (size_t)row * O, y->obs + (size_t)other_row * O, O * sizeof *x->obs) != 0 ||
            memcmp(x->reward + row, y->reward + other_row, sizeof *x->reward) != 0 ||
            x->terminated[row] != y->terminated[other_row] || x->truncated[row] != y->truncated[other_row])
            fail_msg("width %d: row %d of %d x %d has other bits at step %d", o->width, row, a->P, a->N, t);
    }
}

// Alone, with fewer beside it, in other orders of threads, and where members share an environment.
static void test_bits_of_a_row(void** state) {
    NEEDS_DEVICE();
    for (int i = 0; i < num_cases(); i++) {
        const SeOptions* o = &cases[i];
        World all = make_world(o, 0, MOST_P, MOST_N, false), alone = make_world(o, 1, 1, MOST_N, false),
              few = make_world(o, 0, MOST_P, 2, false);
        Film a = film(&all, 0, 0), b = film(&alone, 1, 1), c = film(&few, 0, 2);
        for (int n = 0; n < MOST_N; n++) assert_same_row(o, &a, MOST_N + n, &b, n);
        for (int p = 0; p < MOST_P; p++)
            for (int n = 0; n < 2; n++) assert_same_row(o, &a, p * MOST_N + n, &c, p * 2 + n);
        free_film(&a);
        free_film(&b);
        free_film(&c);
        free_world(&all);
        free_world(&alone);
        free_world(&few);
        World shared = make_world(o, 0, 2, 2, true), own = make_world(o, 0, 2, 2, true);
        SeEnv* copy = create(o, 11);
        own.of[1] = copy;
        uf_train_envs_free(own.there);
        assert_ok(uf_train_envs_synthetic(&own.there, own.of, 2, 2, own.seeds));
        a = film(&shared, 0, 0);
        b = film(&own, 0, 0);
        for (int row = 0; row < 4; row++) assert_same_row(o, &a, row, &b, row);
        free_film(&a);
        free_film(&b);
        free_world(&shared);
        free_world(&own);
        se_free(copy);
    }
}

static void test_recorded(void** state) {
    NEEDS_DEVICE();
    for (int i = 0; i < num_cases() && i < 4; i++) {
        World once = make_world(&cases[i], 0, 2, 3, false), noted = make_world(&cases[i], 0, 2, 3, false);
        Seen a = make_seen(&once), b = make_seen(&noted);
        World* worlds[] = {&once, &noted};
        real* action = test_malloc((size_t)(6 * once.numbers) * sizeof *action);
        for (int k = 0; k < 2; k++) {
            assert_ok(worlds[k]->there->ops->move(worlds[k]->there, device));
            reset_there(worlds[k]);
            choose(worlds[k], 0, 0, action);
        }
        for (int t = 0; t < 6; t++) step_there(&once);
        device->record(device);
        step_there(&noted);
        step_there(&noted);
        device->end_record(device);
        for (int t = 0; t < 3; t++) device->repeat(device);
        look(&once, &a, true);
        look(&noted, &b, true);
        assert_memory_equal(a.obs, b.obs, 6 * (size_t)cases[i].obs_dim * sizeof *a.obs);
        assert_memory_equal(a.reward, b.reward, 6 * sizeof *a.reward);
        assert_memory_equal(a.terminated, b.terminated, 6);
        assert_memory_equal(a.truncated, b.truncated, 6);
        assert_memory_equal(a.states, b.states, 2 * once.state_bytes);
        assert_int_equal(draws_in(&noted, b.states, 1), 7);
        test_free(action);
        free_seen(&a);
        free_seen(&b);
        free_world(&once);
        free_world(&noted);
    }
}

// ---- moving ----

// In the middle of episodes: the device has the host's state to the bit, another device that one's, and goes on from it.
static void test_moves(void** state) {
    NEEDS_DEVICE();
    for (int i = 0; i < num_cases() && i < 6; i++) {
        World w = make_world(&cases[i], 0, 2, 3, false), stays = make_world(&cases[i], 0, 2, 3, false);
        const size_t bytes = 2 * w.state_bytes, O = (size_t)cases[i].obs_dim;
        real *action = test_malloc((size_t)(6 * w.numbers) * sizeof *action),
             *obs = test_malloc(3 * O * sizeof *obs), reward[3];
        char *host = test_malloc(bytes), *each = test_malloc(bytes);
        uint8_t done[3];
        Seen a = make_seen(&w), b = make_seen(&stays);
        for (int p = 0; p < 2; p++) assert_ok(w.there->ops->reset(w.there, p, obs));
        for (int t = 0; t < 2; t++) {
            choose(&w, 0, t, action);
            for (int p = t; p < 2; p++)  // the second has taken a step more
                assert_ok(w.there->ops->step(w.there, p, action + 3 * p * w.numbers, obs, reward, done));
        }
        for (int p = 0; p < 2; p++) {
            char* to = host + (size_t)p * w.state_bytes;
            assert_ok(w.there->ops->get_state(w.there, p, to));
            assert_ok(stays.there->ops->set_state(stays.there, p, to, "the host's state"));
        }
        assert_ok(w.there->ops->move(w.there, device));
        assert_ok(stays.there->ops->move(stays.there, device));
        assert_ok(w.there->ops->get_states(w.there, a.states));
        assert_memory_equal(a.states, host, bytes);
        for (int t = 2; t < 6; t++) {
            choose(&stays, 0, t, action);
            step_there(&stays);
            if (t == 4) {
                free_arrays(&w);
                w.be = other;
                make_arrays(&w);
                assert_ok(w.there->ops->move(w.there, other));
            }
            choose(&w, 0, t, action);
            step_there(&w);
        }
        for (int p = 0; p < 2; p++)
            assert_ok(w.there->ops->get_state(w.there, p, each + (size_t)p * w.state_bytes));
        look(&w, &a, true);
        look(&stays, &b, true);
        assert_memory_equal(each, a.states, bytes);
        assert_memory_equal(a.obs, b.obs, 6 * O * sizeof *a.obs);
        assert_memory_equal(a.states, b.states, bytes);
        assert_true(memcmp(a.states, host, bytes) != 0);
        test_free(action);
        test_free(obs);
        test_free(host);
        test_free(each);
        free_seen(&a);
        free_seen(&b);
        free_world(&w);
        free_world(&stays);
    }
}

// Those that differ in more than parameters, and kinds that are no byte, stay on the host.
static void test_stays(void** state) {
    (void)state;
    const SeOptions base = {MDP(5), .obs_dim = 3, NUMBERS(1, 1), .width = 8};
    const uint64_t seeds[2] = {1, 2};
    for (int i = 0; i < 9; i++) {
        SeOptions o = base;
        if (i == 1) o.width = 9;
        if (i == 2) o.max_steps = 6;
        if (i == 3) o.latent = SE_UNIFORM;
        if (i == 4) o.latent_dim = 5;
        if (i == 5) o.action_low = -2;
        if (i == 6) o.mode = SE_BANDIT;
        if (i >= 7) o = (SeOptions){MDP(5), .obs_dim = 3, KINDS(249 + i), .width = 8};
        SeEnv *a = create(i < 7 ? &base : &o, 1), *b = create(&o, 2);
        UfTrainEnvs* envs;
        assert_ok(uf_train_envs_synthetic(&envs, (const SeEnv* const[]){a, b}, 2, 3, seeds));
        const bool moves = i == 0 || i == 7;
        assert_int_equal(envs->moves, moves);
        const UfTrainEnvsOps* ops = envs->ops;
        assert_true(!moves || (ops->move && ops->reset_all && ops->step_all && ops->get_states));
        uf_train_envs_free(envs);
        se_free(a);
        se_free(b);
    }
}

#ifdef UF_HOST_CUDA
// What a device has of an environment that members share it has once.
static void test_memory_of_shared(void** state) {
    NEEDS_DEVICE();
    size_t taken[2];
    for (int shared = 0; shared < 2; shared++) {
        World w = make_world(&cases[1], 0, 3, 1, shared);
        const size_t base = uf_host_cuda.used_bytes;
        assert_ok(w.there->ops->move(w.there, device));
        taken[shared] = uf_host_cuda.used_bytes - base;
        free_world(&w);
    }
    assert_true(taken[0] - taken[1] >= 2 * (size_t)(200 * (45 + 10)) * sizeof(real));
}

// Where the device has no room nothing has moved, and where it had been is in order; all of it comes back in the end.
static void test_memory_runs_out(void** state) {
    NEEDS_DEVICE();
    const size_t used = uf_host_cuda.used_bytes, total = uf_host_cuda.total_bytes;
    World w = make_world(&cases[0], 0, 2, 3, false);
    Seen before = make_seen(&w), after = make_seen(&w);
    real action[6];
    int failed = 0;
    const size_t base = uf_host_cuda.used_bytes;
    assert_ok(w.there->ops->move(w.there, device));
    const size_t taken = uf_host_cuda.used_bytes - base;
    reset_there(&w);
    look(&w, &before, false);
    for (size_t room = 0; room < taken; room += 64) {
        uf_host_cuda.total_bytes = uf_host_cuda.used_bytes + room;
        const UfStatus status = w.there->ops->move(w.there, device);
        uf_host_cuda.total_bytes = total;
        if (status == UF_OK) continue;
        assert_int_equal(status, UF_ERR_MEMORY);
        assert_error("synthetic environments");
        assert_int_equal(uf_host_cuda.used_bytes, base + taken);
        assert_ok(w.there->ops->get_states(w.there, after.states));
        assert_memory_equal(before.states, after.states, 2 * w.state_bytes);
        failed++;
    }
    assert_true(failed > 4);
    assert_ok(w.there->ops->move(w.there, device));
    assert_int_equal(uf_host_cuda.used_bytes, base + taken);
    choose(&w, 0, 0, action);
    step_there(&w);
    look(&w, &after, true);
    free_seen(&before);
    free_seen(&after);
    free_world(&w);
    assert_int_equal(uf_host_cuda.used_bytes, used);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_host),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_zero_goes_on),
        cmocka_unit_test(test_bits_of_a_row),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_stays),
#ifdef UF_HOST_CUDA
        cmocka_unit_test(test_memory_of_shared),
        cmocka_unit_test(test_memory_runs_out),
#endif
    };
    return cmocka_run_group_tests_name("cuda_synth", tests, open_device, close_device);
}
