// test_cuda_grid.c: gridworlds on a CUDA device against those of the CPU, bit for bit: outputs, what is left unwritten, and
// all of the state. Without a device it skips.
#include "device.h"

#include "core/grid/grid_device.h"
#include "core/grid/grid_observe.h"
#include "core/grid/grid_table.h"

enum { SENTINEL = 0xA5, GUARD = 64, SEED = 11 };

static uint64_t chance = 1;
static int draw(int low, int high) {
    chance += 0x9E3779B97F4A7C15ull;
    return low + (int)((nx_mix(chance) >> 32) * (uint64_t)(high - low + 1) >> 32);
}

// ---- a batch and its arrays, on the CPU or a device ----

enum {
    OBS,
    FINAL_OBS,
    REWARD,
    TERMINATED,
    TRUNCATED,
    DIRECTION,
    RETURN,
    LENGTH,
    FINAL_DIRECTION,
    NUM_ARRAYS
};
static const char* const names[NUM_ARRAYS] = {
    "obs",       "final_obs",      "reward",         "terminated",     "truncated",
    "direction", "episode_return", "episode_length", "final_direction"};

typedef struct Side {
    NxBatch* batch;
    size_t bytes[NUM_ARRAYS];    // without the guards
    uint8_t* array[NUM_ARRAYS];  // GUARD bytes, what is written, GUARD bytes
    uint8_t* copy[NUM_ARRAYS];   // on the host
    uint8_t* actions;
    int shift;  // of observations
} Side;

static NxOutput output_of(const Side* s) {
    uint8_t* at[NUM_ARRAYS];
    for (int k = 0; k < NUM_ARRAYS; k++) at[k] = s->array[k] + GUARD + (k <= FINAL_OBS ? s->shift : 0);
    return (NxOutput){
        at[OBS],       at[FINAL_OBS],      (float*)at[REWARD],   at[TERMINATED],     at[TRUNCATED],
        at[DIRECTION], (float*)at[RETURN], (int32_t*)at[LENGTH], at[FINAL_DIRECTION]};
}

static size_t whole(const Side* s, int k) { return s->bytes[k] + 2 * GUARD; }

static void open_side(Side* s, const char* device, const char* id, int64_t n, NxOptions options, int shift) {
    *s = (Side){.shift = shift};
    options.device = device;
    options.num_threads = 1;
    assert_ok(nx_create(&s->batch, id, n, SEED, &options));
    assert_int_equal(nx_on_device(s->batch), strcmp(device, "cuda") == 0);
    const size_t items[NUM_ARRAYS] = {
        nx_shape(s->batch).bytes, nx_shape(s->batch).bytes, 4, 1, 1, 1, 4, 4, 1};
    for (int k = 0; k < NUM_ARRAYS; k++) {
        s->bytes[k] = items[k] * (size_t)n;
        assert_ok(nx_reserve(s->batch, (void**)&s->array[k], whole(s, k)));
        s->copy[k] = test_malloc(whole(s, k));
    }
    assert_ok(nx_reserve(s->batch, (void**)&s->actions, (size_t)n));
}

static void close_side(Side* s) {
    for (int k = 0; k < NUM_ARRAYS; k++) {
        nx_release(s->batch, s->array[k]);
        test_free(s->copy[k]);
    }
    nx_release(s->batch, s->actions);
    nx_free(s->batch);
}

static void erase(Side* s) {
    for (int k = 0; k < NUM_ARRAYS; k++) {
        memset(s->copy[k], SENTINEL, whole(s, k));
        assert_ok(nx_upload(s->batch, s->array[k], s->copy[k], whole(s, k)));
    }
}

static void fetch(Side* s) {
    for (int k = 0; k < NUM_ARRAYS; k++)
        assert_ok(nx_download(s->batch, s->copy[k], s->array[k], whole(s, k)));
}

typedef struct Pair {
    Side cpu, device;
    int64_t n;
    char what[160];
    int num_actions;
    uint8_t *actions, *saved[2];
} Pair;

static void open_pair(Pair* p, const char* id, int64_t n, NxOptions options, int shift) {
    snprintf(p->what, sizeof p->what, "%s, rules %d, observation %d, autoreset %d, n %d", id, options.rules,
             options.observation, options.autoreset, (int)n);
    open_side(&p->cpu, "cpu", id, n, options, shift);
    open_side(&p->device, "cuda", id, n, options, shift);
    p->n = n;
    p->num_actions = options.num_actions ? options.num_actions : NX_NUM_ACTIONS;
    p->actions = test_malloc((size_t)n);
    for (int k = 0; k < 2; k++) p->saved[k] = test_malloc(nx_save_bytes(p->cpu.batch));
    assert_int_equal(nx_save_bytes(p->cpu.batch), nx_save_bytes(p->device.batch));
}

static void close_pair(Pair* p) {
    close_side(&p->cpu);
    close_side(&p->device);
    test_free(p->actions);
    for (int k = 0; k < 2; k++) test_free(p->saved[k]);
}

static void expect_same_outputs(Pair* p, int step) {
    fetch(&p->cpu);
    fetch(&p->device);
    for (int k = 0; k < NUM_ARRAYS; k++)
        for (size_t i = 0; i < whole(&p->cpu, k); i++)
            if (p->cpu.copy[k][i] != p->device.copy[k][i])
                fail_msg("%s, step %d: byte %d of %s of %d is %d, on the device %d", p->what, step,
                         (int)i - GUARD, names[k], (int)p->cpu.bytes[k], p->cpu.copy[k][i],
                         p->device.copy[k][i]);
}

static void expect_same_states(Pair* p, int step) {
    const size_t bytes = nx_save_bytes(p->cpu.batch);
    assert_ok(nx_save(p->cpu.batch, p->saved[0]));
    assert_ok(nx_save(p->device.batch, p->saved[1]));
    for (size_t i = 0; i < bytes; i++)
        if (p->saved[0][i] != p->saved[1][i])
            fail_msg("%s, step %d: byte %d of the state of environment %d is %d, on the device %d", p->what,
                     step, (int)(i % (bytes / (size_t)p->n)), (int)(i / (bytes / (size_t)p->n)),
                     p->saved[0][i], p->saved[1][i]);
}

// Random actions, of which walking is the most frequent, so that something happens.
static void draw_actions(Pair* p) {
    for (int64_t i = 0; i < p->n; i++)
        p->actions[i] = (uint8_t)(draw(0, 2) ? draw(0, p->num_actions - 1) : NX_FORWARD);
    assert_ok(nx_upload(p->cpu.batch, p->cpu.actions, p->actions, (size_t)p->n));
    assert_ok(nx_upload(p->device.batch, p->device.actions, p->actions, (size_t)p->n));
}

static void step_pair(Pair* p, int step) {
    const NxOutput cpu = output_of(&p->cpu), device = output_of(&p->device);
    change_order(step);
    draw_actions(p);
    erase(&p->cpu);
    erase(&p->device);
    assert_ok(nx_step(p->cpu.batch, p->cpu.actions, &cpu));
    assert_ok(nx_step(p->device.batch, p->device.actions, &device));
    expect_same_outputs(p, step);
}

static void play(const char* id, int64_t n, NxOptions options, int shift, int num_steps) {
    Pair p;
    open_pair(&p, id, n, options, shift);
    expect_same_states(&p, -1);
    const NxOutput cpu = output_of(&p.cpu), device = output_of(&p.device);
    erase(&p.cpu);
    erase(&p.device);
    assert_ok(nx_reset(p.cpu.batch, &cpu));
    assert_ok(nx_reset(p.device.batch, &device));
    expect_same_outputs(&p, 0);
    for (int step = 1; step <= num_steps; step++) {
        step_pair(&p, step);
        if (step % 16 == 0 || step == num_steps) expect_same_states(&p, step);
    }
    erase(&p.cpu);
    erase(&p.device);
    assert_ok(nx_show(p.cpu.batch, cpu.obs));
    assert_ok(nx_show(p.device.batch, device.obs));
    expect_same_outputs(&p, num_steps + 1);
    expect_same_states(&p, num_steps + 1);
    close_pair(&p);
}

static NxOptions defaults(void) {
    NxOptions options;
    nx_default_options(&options);
    return options;
}

static bool only_navix(int observation) {
    return observation == NX_OBS_CATEGORICAL || observation == NX_OBS_CATEGORICAL_FIRST_PERSON;
}

// ---- tests ----

// Every id, its observations and ways to reset in turn, episodes short enough to end.
static void test_every_id(void** state) {
    NEEDS_DEVICE();
    const char* cases = getenv("UF_TEST_CASES");  // where it is slow
    const int stride = cases ? nx_num_specs / atoi(cases) : 1;
    for (int i = 0; i < nx_num_specs; i += stride) {
        NxOptions options = defaults();
        options.autoreset = i % 2 ? NX_SAME_STEP : NX_NEXT_STEP;
        options.observation = i * 7 % NX_NUM_OBSERVATIONS;
        if (!nx_specs[i].navix && only_navix(options.observation)) options.observation = NX_OBS_FIRST_PERSON;
        options.tile_size = 1 + i % 4;
        options.max_steps = 10 + i % 30;
        if (nx_specs[i].navix && i % 3 == 0) {
            options.num_actions = 10;
            options.reward = 1 + i % 15;
            options.penalty_coef = 0.9;
        }
        play(nx_specs[i].id, 11, options, 0, 60);
    }
}

// One id of a family, all observations and ways to reset.
static void test_every_observation(void** state) {
    static const char* const ids[] = {"MiniGrid-DoorKey-8x8-v0",          "MiniGrid-Dynamic-Obstacles-6x6-v0",
                                      "MiniGrid-ObstructedMaze-1Dlhb-v0", "MiniGrid-LockedRoom-v0",
                                      "Navix-KeyCorridorS3R2-v0",         "Navix-Dynamic-Obstacles-6x6-v0"};
    NEEDS_DEVICE();
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        for (int kind = 0; kind < NX_NUM_OBSERVATIONS; kind++)
            for (int reset = NX_NEXT_STEP; reset <= NX_NO_RESET; reset++) {
                static const int tiles[3] = {3, 4, 16};  // pixels by bytes, words, and more at a time
                NxOptions options = defaults();
                options.observation = kind;
                options.autoreset = reset;
                options.max_steps = 9;
                options.tile_size = tiles[reset];
                if (only_navix(kind) && strncmp(ids[i], "Navix", 5) != 0) continue;
                play(ids[i], 9, options, 0, 24);
            }
}

// Hundreds of steps.
static void test_long(void** state) {
    NEEDS_DEVICE();
    NxOptions options = defaults();
    play("MiniGrid-DoorKey-5x5-v0", 21, options, 0, 400);
    options.autoreset = NX_SAME_STEP;
    play("MiniGrid-KeyCorridorS3R3-v0", 13, options, 0, 400);
    play("Navix-DoorKey-Random-5x5-v0", 13, options, 0, 300);
}

static void test_views(void** state) {
    static const int sizes[] = {3, 5, 9, 63};
    static const NxObservation kinds[] = {NX_OBS_FIRST_PERSON, NX_OBS_ONE_HOT, NX_OBS_FLAT, NX_OBS_RGB,
                                          NX_OBS_RGB_FIRST_PERSON};
    NEEDS_DEVICE();
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            NxOptions options = defaults();
            options.view_size = sizes[k];
            options.observation = kinds[i];
            options.see_through_walls = (int)(k + i) % 2;
            options.tile_size = 1;
            play("MiniGrid-MultiRoom-N2-S4-v0", 5, options, 0, 6);
        }
}

// Observations at addresses that are multiples of nothing, and batches that fill blocks of any size.
static void test_addresses_and_sizes(void** state) {
    static const NxObservation kinds[] = {NX_OBS_FIRST_PERSON, NX_OBS_FULL, NX_OBS_ONE_HOT, NX_OBS_FLAT,
                                          NX_OBS_RGB};
    static const int64_t sizes[] = {1, 2, 8, 31, 700};
    NEEDS_DEVICE();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int shift = 0; shift < 4; shift++) {
            NxOptions options = defaults();
            options.observation = kinds[i];
            options.autoreset = NX_SAME_STEP;
            options.max_steps = 3;
            options.tile_size = 4;
            play("MiniGrid-LavaGapS5-v0", sizes[((int)i + shift) % 4], options, shift, 8);
        }
    NxOptions options = defaults();
    options.max_steps = 7;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        play("MiniGrid-Fetch-5x5-N2-v0", sizes[k], options, 0, 9);
    options.observation = NX_OBS_SYMBOLIC;
    Pair p;
    open_pair(&p, "MiniGrid-Empty-5x5-v0", 3, options, 0);
    NxOutput out = output_of(&p.device);
    out.obs = (uint8_t*)out.obs + 4;
    assert_int_equal(nx_step(p.device.batch, p.device.actions, &out), UF_ERR_ARGUMENT);
    assert_error("no multiple of its items' 8 bytes");
    assert_int_equal(nx_set_level(p.device.batch, NX_PLAIN), UF_ERR_UNSUPPORTED);
    assert_error("levels of instructions are the CPU's");
    close_pair(&p);
}

// Enough to fill a device, so that its blocks take as many environments as they can; the last is not full.
static void test_many(void** state) {
    NEEDS_DEVICE();
    NxOptions options = defaults();
    options.max_steps = 5;
    options.autoreset = NX_SAME_STEP;
    play("MiniGrid-DoorKey-5x5-v0", 33900, options, 0, 7);
    play("MiniGrid-MultiRoom-N6-v0", 4500, options, 0, 6);
    options.observation = NX_OBS_FULL;
    play("MiniGrid-Dynamic-Obstacles-8x8-v0", 17001, options, 0, 6);
}

// Some outputs alone, or none.
static void test_nullable(void** state) {
    NEEDS_DEVICE();
    Pair p;
    NxOptions options = defaults();
    options.autoreset = NX_SAME_STEP;
    options.max_steps = 4;
    open_pair(&p, "MiniGrid-DoorKey-6x6-v0", 9, options, 0);
    erase(&p.cpu);
    erase(&p.device);
    for (int step = 0; step < 30; step++) {
        NxOutput cpu = output_of(&p.cpu), device = output_of(&p.device);
        if (step % 2) cpu.obs = device.obs = NULL;
        if (step % 3) cpu.final_obs = device.final_obs = NULL;
        if (step % 4) cpu.reward = device.reward = NULL;
        if (step % 5) cpu.terminated = device.terminated = NULL;
        if (step % 5 != 1) cpu.truncated = device.truncated = NULL;
        if (step % 7) cpu.direction = device.direction = NULL;
        if (step % 4 == 1) cpu.final_direction = device.final_direction = NULL;
        if (step % 7 == 1) cpu = device = (NxOutput){0};
        change_order(step);
        if (step == 15) {
            assert_ok(nx_seed(p.cpu.batch, 5));
            assert_ok(nx_seed(p.device.batch, 5));
        }
        draw_actions(&p);
        assert_ok(nx_step(p.cpu.batch, p.cpu.actions, &cpu));
        assert_ok(nx_step(p.device.batch, p.device.actions, &device));
        expect_same_outputs(&p, step);
    }
    expect_same_states(&p, 30);
    close_pair(&p);
}

// States go from one to the other and back; texts, too.
static void test_states(void** state) {
    static const char* const ids[] = {"MiniGrid-PutNear-8x8-N3-v0", "MiniGrid-LockedRoom-v0",
                                      "MiniGrid-ObstructedMaze-1Dlh-v0", "Navix-DoorKey-8x8-v0"};
    static uint8_t grid[2][3 * NX_MAX_CELLS], contents[2][3 * NX_MAX_CELLS];
    NEEDS_DEVICE();
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        Pair p;
        open_pair(&p, ids[i], 6, defaults(), 0);
        for (int step = 0; step < 30; step++) step_pair(&p, step);
        for (int64_t e = 0; e < p.n; e++) {
            NxState s[2];
            char text[2][128];
            memset(s, 0, sizeof s);
            for (int k = 0; k < 2; k++) {
                const NxBatch* batch = k ? p.device.batch : p.cpu.batch;
                s[k].grid = grid[k];
                s[k].contents = contents[k];
                assert_ok(nx_get_state(batch, e, &s[k]));
                assert_ok(nx_mission(batch, e, text[k]));
            }
            assert_string_equal(text[0], text[1]);
            assert_memory_equal(grid[0], grid[1], sizeof grid[0]);
            assert_memory_equal(contents[0], contents[1], sizeof contents[0]);
            s[1].grid = grid[0];
            s[1].contents = contents[0];
            assert_memory_equal(&s[0], &s[1], sizeof s[0]);
            const int64_t other = (e + 1) % p.n;
            assert_ok(nx_set_state(p.cpu.batch, other, &s[0]));
            assert_ok(nx_set_state(p.device.batch, other, &s[0]));
            s[0].x = -1;
            assert_int_equal(nx_set_state(p.device.batch, other, &s[0]), UF_ERR_ARGUMENT);
        }
        expect_same_states(&p, 30);
        for (int step = 31; step < 60; step++) step_pair(&p, step);
        // what the CPU saved goes on on the device
        assert_ok(nx_save(p.cpu.batch, p.saved[0]));
        for (int step = 60; step < 70; step++) step_pair(&p, step);
        assert_ok(nx_save(p.device.batch, p.saved[1]));
        assert_ok(nx_restore(p.device.batch, p.saved[0]));
        assert_ok(nx_restore(p.cpu.batch, p.saved[0]));
        for (int step = 70; step < 80; step++) step_pair(&p, step);
        expect_same_states(&p, 80);
        memset(p.saved[0], 0xFF, nx_save_bytes(p.cpu.batch));
        assert_int_equal(nx_restore(p.device.batch, p.saved[0]), UF_ERR_FORMAT);
        expect_same_states(&p, 81);
        close_pair(&p);
    }
}

// Nothing moves from the first bad action on until somebody asks, and who asks is told once, as the CPU says it.
static void test_bad_actions(void** state) {
    enum { N = 300, ASKERS = 6 };
    NEEDS_DEVICE();
    for (int asker = 0; asker < ASKERS; asker++) {
        Pair p;
        NxOptions options = defaults();
        options.observation = asker % 2 ? NX_OBS_RGB : NX_OBS_FIRST_PERSON;
        options.tile_size = 2;
        open_pair(&p, "MiniGrid-DoorKey-6x6-v0", N, options, 0);
        const NxOutput out = output_of(&p.device);
        static uint8_t grid[3 * NX_MAX_CELLS];
        NxState s = {.grid = grid};
        char text[128], expected[512];
        step_pair(&p, asker);
        draw_actions(&p);
        p.actions[170] = 200;
        p.actions[41] = 7;
        p.actions[299] = 9;
        assert_int_equal(nx_step(p.cpu.batch, p.actions, &(NxOutput){0}), UF_ERR_ARGUMENT);
        assert_error("action 7 of environment 41; expected 0 to 6");
        snprintf(expected, sizeof expected, "%s", uf_error());
        assert_ok(nx_upload(p.device.batch, p.device.actions, p.actions, N));
        erase(&p.cpu);
        erase(&p.device);
        assert_ok(nx_step(p.device.batch, p.device.actions, &out));
        p.actions[3] = 8;  // in a later step: nobody's business
        assert_ok(nx_upload(p.device.batch, p.device.actions, p.actions, N));
        assert_ok(nx_step(p.device.batch, p.device.actions, &out));
        assert_ok(nx_reset(p.device.batch, &out));
        assert_ok(nx_show(p.device.batch, out.obs));
        const UfStatus status = asker == 0   ? nx_sync(p.device.batch)
                                : asker == 1 ? nx_download(p.device.batch, text, p.device.actions, 1)
                                : asker == 2 ? nx_get_state(p.device.batch, 0, &s)
                                : asker == 3 ? nx_mission(p.device.batch, 0, text)
                                : asker == 4 ? nx_save(p.device.batch, p.saved[1])
                                             : nx_restore(p.device.batch, p.saved[0]);
        if (asker == 5) {  // it looks at what it is given first
            assert_int_equal(status, UF_ERR_FORMAT);
            assert_int_equal(nx_sync(p.device.batch), UF_ERR_ARGUMENT);
        } else {
            assert_int_equal(status, UF_ERR_ARGUMENT);
        }
        assert_string_equal(uf_error(), expected);
        assert_ok(nx_sync(p.device.batch));
        expect_same_outputs(&p, 1);
        expect_same_states(&p, 1);
        for (int step = 2; step < 6; step++) step_pair(&p, step);
        expect_same_states(&p, 6);
        close_pair(&p);
    }
}

// Recordings say where balls go.
static void test_obstacles(void** state) {
    static uint8_t grid[3 * NX_MAX_CELLS];
    static const char* const ids[] = {"MiniGrid-Dynamic-Obstacles-6x6-v0", "Navix-Dynamic-Obstacles-6x6-v0"};
    NEEDS_DEVICE();
    for (int i = 0; i < 2; i++) {
        Pair p;
        NxState s = {.grid = grid};
        int32_t moves[4][3][2];
        void* positions;
        open_pair(&p, ids[i], 4, defaults(), 0);
        assert_ok(nx_reserve(p.device.batch, &positions, sizeof moves));
        const NxOutput cpu = output_of(&p.cpu), device = output_of(&p.device);
        for (int step = 0; step < 12; step++) {
            for (int64_t e = 0; e < p.n; e++) {
                assert_ok(nx_get_state(p.cpu.batch, e, &s));
                assert_int_equal(s.num_obstacles, 3);
                memcpy(moves[e], s.obstacles, sizeof moves[e]);
                int32_t* ball = moves[e][step % 3];  // to a free cell beside it, if there is one
                for (int d = 0; d < 4; d++) {
                    const int x = ball[0] + nx_dx(d), y = ball[1] + nx_dy(d);
                    if (grid[3 * (y * 6 + x)] != 1 || (x == s.x && y == s.y)) continue;
                    ball[0] = x;
                    ball[1] = y;
                    break;
                }
            }
            change_order(step);
            draw_actions(&p);
            erase(&p.cpu);
            erase(&p.device);
            assert_ok(nx_upload(p.device.batch, positions, moves, sizeof moves));
            assert_ok(nx_step_with_obstacles(p.cpu.batch, p.cpu.actions, &moves[0][0][0], &cpu));
            assert_ok(nx_step_with_obstacles(p.device.batch, p.device.actions, positions, &device));
            expect_same_outputs(&p, step);
            expect_same_states(&p, step);
        }
        moves[2][1][0] = 77;
        assert_ok(nx_upload(p.device.batch, positions, moves, sizeof moves));
        const UfStatus status = nx_step_with_obstacles(p.cpu.batch, p.cpu.actions, &moves[0][0][0], &cpu);
        char expected[512];
        snprintf(expected, sizeof expected, "%s", uf_error());
        const UfStatus on_it = nx_step_with_obstacles(p.device.batch, p.device.actions, positions, &device);
        assert_int_equal(on_it, status);
        if (status != UF_OK) assert_string_equal(uf_error(), expected);  // all may have been reset
        expect_same_states(&p, 12);
        nx_release(p.device.batch, positions);
        close_pair(&p);
    }
}

// A caller's backend takes a step into its recording, and repeats it.
static void test_recorded(void** state) {
    NEEDS_DEVICE();
    enum { N = 19, REPEATS = 40 };
    UfBackend* be;
    NxBatch *cpu, *device;
    NxOptions options = defaults();
    options.max_steps = 11;
    options.observation = NX_OBS_RGB_FIRST_PERSON;
    options.tile_size = 4;
    uint8_t actions[N], saved[2][N * 256];
    void *on_device, *obs;
    for (int i = 0; i < N; i++) actions[i] = (uint8_t)(i % 4 ? NX_FORWARD : i % 7);
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    assert_ok(nx_create(&cpu, "MiniGrid-LavaGapS6-v0", N, SEED, &options));
    assert_ok(nx_create_on(&device, be, "MiniGrid-LavaGapS6-v0", N, SEED, &options));
    assert_ok(nx_reserve(device, &on_device, N));
    assert_ok(nx_reserve(device, &obs, N * nx_shape(device).bytes));
    assert_ok(nx_upload(device, on_device, actions, N));
    be->record(be);
    assert_ok(nx_step(device, on_device, &(NxOutput){.obs = obs}));
    be->end_record(be);
    for (int i = 0; i < REPEATS; i++) {
        change_order(i);
        be->repeat(be);
        assert_ok(nx_step(cpu, actions, &(NxOutput){0}));
    }
    assert_true(nx_save_bytes(cpu) <= sizeof saved[0]);
    assert_ok(nx_save(cpu, saved[0]));
    assert_ok(nx_save(device, saved[1]));
    assert_memory_equal(saved[0], saved[1], nx_save_bytes(cpu));
    nx_release(device, on_device);
    nx_release(device, obs);
    nx_free(device);
    nx_free(cpu);
    options.device = "cpu";
    assert_int_equal(nx_create_on(&device, be, "MiniGrid-LavaGapS6-v0", N, SEED, &options), UF_ERR_ARGUMENT);
    assert_error("device 'cpu' on a backend of 'cuda'");
    uf_backend_close(be);
    // the CPU's makes an ordinary batch
    options.device = NULL;
    assert_ok(uf_backend_open(&be, "cpu", "fp32", 1));
    assert_ok(nx_create_on(&device, be, "MiniGrid-LavaGapS6-v0", N, SEED, &options));
    assert_int_equal(nx_on_device(device), 0);
    assert_ok(nx_sync(device));
    nx_free(device);
    uf_backend_close(be);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_id),
        cmocka_unit_test(test_every_observation),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_nullable),
        cmocka_unit_test(test_addresses_and_sizes),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_bad_actions),
        cmocka_unit_test(test_obstacles),
        cmocka_unit_test(test_recorded),
    };
    return cmocka_run_group_tests(tests, look_for_device, NULL);
}
