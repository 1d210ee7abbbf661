// navix.c: gridworlds in batches.
//
// A batch is n blocks of memory, one an environment (core/grid/grid.h). A call cuts it into chunks of a fixed number of
// environments, which threads take; within a chunk a few dozen at a time step and are then observed, so that their
// blocks stay in cache in between. What one environment does is in core/grid/grid_step.h and core/grid/grid_levels.h, by NAVIX's
// rules in core/grid/grid_navix.h and core/grid/grid_navix_levels.h. On a CUDA device navix.cu does the same.
//
// 1 creation  2 step  3 memory  4 state
#include "navix.h"

#include <stdio.h>  // snprintf, sscanf
#include <string.h>
#include <unistd.h>  // sysconf

#include "core/core.h"
#include "core/grid/grid.h"
#include "core/grid/grid_avx512.h"
#include "core/grid/grid_device.h"
#include "core/grid/grid_episode.h"
#include "core/grid/grid_observe.h"
#include "core/grid/grid_step.h"
#include "core/grid/grid_table.h"
#include "core/grid/grid_tiles.h"
#include "core/grid/grid_view.h"

enum {
    CHUNK = 256,  // environments of a task
    GROUP = 32    // of these at a time
};

_Static_assert(sizeof(NxEnv) == 64, "an environment's cells begin at a cache line");

typedef struct Call Call;
typedef void StepGroup(const Call* call, int64_t first, int64_t last);

struct NxBatch {
    NxLayout layout;
    char id[64];
    int64_t n;
    uint8_t* blocks;  // (n, env_bytes), and what a wide load may reach beyond
    StepGroup* step;
    NxObserver* observer;
    UfPool* pool;
    // on a device, instead of blocks, step and pool
    NxDevice* device;  // NULL: the CPU
    UfBackend* backend;
    UfBackend* own;  // which it has opened itself
    NxEnv* copy;     // of one block
};

// Without the backend nothing is there, nor is what this guards compiled.
#ifdef UF_CUDA
#define ON_DEVICE(batch) ((batch)->device != NULL)
#else
#define ON_DEVICE(batch) false
#endif

static NxEnv* env_at(const NxBatch* b, int64_t i) {
    return (NxEnv*)(b->blocks + (size_t)i * b->layout.env_bytes);
}

// ---- 1 creation ----

void nx_default_options(NxOptions* options) { *options = (NxOptions){.see_through_walls = -1}; }

static const char* const observation_names[NX_NUM_OBSERVATIONS + 1] = {
    [NX_OBS_FIRST_PERSON] = "first_person",
    [NX_OBS_FULL] = "full",
    [NX_OBS_ONE_HOT] = "one_hot",
    [NX_OBS_SYMBOLIC] = "symbolic",
    [NX_OBS_FLAT] = "flat",
    [NX_OBS_RGB] = "rgb",
    [NX_OBS_RGB_FIRST_PERSON] = "rgb_first_person",
    [NX_OBS_CATEGORICAL] = "categorical",
    [NX_OBS_CATEGORICAL_FIRST_PERSON] = "categorical_first_person",
    [NX_OBS_NONE] = "none",
};

UfStatus nx_find_observation(NxObservation* out, const char* name) {
    UF_TRY_GIVEN(out);
    UF_TRY_GIVEN(name);
    for (int i = 0; i < NX_NUM_OBSERVATIONS; i++)
        if (strcmp(name, observation_names[i]) == 0) {
            *out = (NxObservation)i;
            return UF_OK;
        }
    return uf_fail_unknown("observation", name, observation_names);
}

const char* nx_id(int index) { return index >= 0 && index < nx_num_specs ? nx_specs[index].id : NULL; }

// "Sandbox-WxH": empty levels of any size, for states that are set.
static UfStatus find_spec(NxSpec* spec, const char* id) {
    const NxSpec* row;
    int width, height, end = 0;
    if (sscanf(id, "Sandbox-%4dx%4d%n", &width, &height, &end) == 2 && id[end] == 0) {
        if (width < 3 || height < 3 || width > 254 || height > 254 || width * height > NX_MAX_CELLS)
            return UF_FAIL(UF_ERR_ARGUMENT, "%s: %d by %d; expected sides of 3 to 254 and at most %d cells",
                           id, width, height, NX_MAX_CELLS);
        *spec = (NxSpec){
            .family = NX_FAMILY_SANDBOX, .width = width, .height = height, .max_steps = 4 * width * height};
        return UF_OK;
    }
    UF_TRY(nx_find_spec(&row, id));
    *spec = *row;
    return UF_OK;
}

static UfStatus check_options(const char* id, const NxSpec* spec, const NxOptions* o, NxRules rules) {
    const bool navix = rules == NX_RULES_NAVIX;
    if ((unsigned)o->rules > NX_RULES_NAVIX)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: rules %d; expected 0 (the id's), 1 (MiniGrid's) or 2 (NAVIX's)",
                       id, (int)o->rules);
    if (navix && !nx_navix_has(spec))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: NAVIX has no such levels; set rules to NX_RULES_MINIGRID", id);
    if ((unsigned)o->observation >= NX_NUM_OBSERVATIONS)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: observation %d; expected 0 to %d", id, (int)o->observation,
                       NX_NUM_OBSERVATIONS - 1);
    if (!navix && (o->observation == NX_OBS_CATEGORICAL || o->observation == NX_OBS_CATEGORICAL_FIRST_PERSON))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: categorical observations are of NAVIX's rules; set rules to NX_RULES_NAVIX", id);
    if ((unsigned)o->autoreset > NX_NO_RESET)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: autoreset %d; expected 0 (next step), 1 (same step) or 2 (none)",
                       id, (int)o->autoreset);
    if (o->max_steps < 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: max_steps %d; expected at least 1, or 0 for the id's", id,
                       o->max_steps);
    if (o->view_size != 0 && (o->view_size < 3 || o->view_size > NX_MAX_VIEW || o->view_size % 2 == 0))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: view_size %d; expected an odd number from 3 to %d, or 0 for 7",
                       id, o->view_size, NX_MAX_VIEW);
    if (o->see_through_walls < -1 || o->see_through_walls > 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: see_through_walls %d; expected 0, 1, or -1 for the id's", id,
                       o->see_through_walls);
    if (navix && o->see_through_walls == 0)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: see_through_walls 0; by NAVIX's rules nothing hides anything, but in "
                       "NX_OBS_CATEGORICAL_FIRST_PERSON, which has a rule of its own",
                       id);
    if (o->tile_size < 0 || o->tile_size > NX_MAX_TILE_SIZE)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: tile_size %d; expected 1 to %d pixels, or 0 for the default", id,
                       o->tile_size, NX_MAX_TILE_SIZE);
    if (o->reward < 0 || o->reward > 15)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: reward %d; expected a sum of NX_REWARD_* (1 to 15), or 0", id,
                       o->reward);
    if (!navix && (o->reward != 0 || o->penalty_coef != 0))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: reward and penalty_coef are of NAVIX's rules; set rules to NX_RULES_NAVIX", id);
    if (!(o->penalty_coef >= 0 && o->penalty_coef <= 1e6))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: penalty_coef %g; expected 0 to 1e6", id, o->penalty_coef);
    if (o->num_actions != 0 && o->num_actions != NX_NUM_ACTIONS && !(navix && o->num_actions == 10))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: num_actions %d; expected 7%s", id, o->num_actions,
                       navix ? " or 10" : " (10 is of NAVIX's rules)");
    return UF_OK;
}

static void set_options(NxLayout* l, NxRules rules, const NxOptions* o) {
    if (rules == NX_RULES_NAVIX) nx_navix_lay_out(l);
    if (o->max_steps) l->spec.max_steps = o->max_steps;
    if (o->see_through_walls >= 0) l->spec.see_through_walls = o->see_through_walls;
    l->observation = o->observation;
    l->autoreset = o->autoreset;
    if (o->reward) l->reward = o->reward;
    if (o->view_size) l->view = o->view_size;
    if (o->tile_size) l->tile_size = o->tile_size;
    if (o->num_actions) l->num_actions = o->num_actions;
    l->penalty_coef = (float)o->penalty_coef;
}

static UfStatus check_count(const NxBatch* b) {
    if (b->n >= 1) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: %lld environments; expected at least 1", b->id, (long long)b->n);
}

// More than the machine has would be granted by some systems, and kill the process later.
static UfStatus reserve(NxBatch* b) {
    size_t bytes;
    const size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    UF_TRY(check_count(b));
    if (__builtin_mul_overflow((size_t)b->n, (size_t)b->layout.env_bytes, &bytes) || bytes > machine)
        return UF_FAIL(
            UF_ERR_MEMORY,
            "%s: %lld environments of %u bytes need %.3g GB; this machine has %.3g, enough for %lld", b->id,
            (long long)b->n, b->layout.env_bytes, (double)b->n * b->layout.env_bytes / 1e9,
            (double)machine / 1e9, (long long)(machine / b->layout.env_bytes));
    return uf_alloc((void**)&b->blocks, bytes + 64, 1, "environments");
}

// Where the blocks are, as nx_device_create leaves them.
static UfStatus make_blocks(NxBatch* b, uint64_t seed, int num_threads) {
    UF_TRY(reserve(b));
    UF_TRY(uf_pool_create(&b->pool, num_threads));
    for (int64_t i = 0; i < b->n; i++) env_at(b, i)->random = nx_random_begin(seed, (uint64_t)i);
    return UF_OK;
}

static UfStatus make_device(NxBatch* b, UfBackend* backend, uint64_t seed) {
#ifdef UF_CUDA
    UF_TRY(check_count(b));
    UF_TRY(uf_alloc((void**)&b->copy, 1, b->layout.env_bytes, "a state"));
    b->backend = backend;
    return nx_device_create(&b->device, backend, &b->layout, nx_observer_shape(b->observer),
                            nx_observer_tiles(b->observer), b->n, seed);
#else
    (void)seed;
    return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: gridworlds on '%s' are not in this build", b->id, backend->name);
#endif
}

static UfStatus create(NxBatch** out, UfBackend* backend, const char* id, int64_t n, uint64_t seed,
                       const NxOptions* options) {
    NxSpec spec;
    NxBatch* b;
    const bool apart = backend && backend->apart;
    UF_TRY(find_spec(&spec, id));
    NxRules rules = options->rules != NX_RULES_OF_ID ? options->rules
                    : spec.navix                     ? NX_RULES_NAVIX
                                                     : NX_RULES_MINIGRID;
    UF_TRY(check_options(id, &spec, options, rules));
    UF_TRY(UF_ALLOC(&b, 1, "a batch of environments"));
    snprintf(b->id, sizeof b->id, "%s", id);
    spec.id = b->id;
    b->n = n;
    nx_lay_out(&b->layout, &spec, spec.family == NX_FAMILY_SANDBOX);
    set_options(&b->layout, rules, options);
    UfStatus status = nx_set_level(b, apart ? NX_PLAIN : nx_best_level());
    if (status == UF_OK)
        status = apart ? make_device(b, backend, seed) : make_blocks(b, seed, options->num_threads);
    if (status == UF_OK) status = nx_reset(b, &(NxOutput){0});
    if (status == UF_OK) status = nx_sync(b);
    if (status != UF_OK) {
        nx_free(b);
        return status;
    }
    *out = b;
    return UF_OK;
}

UfStatus nx_create(NxBatch** out, const char* id, int64_t n, uint64_t seed, const NxOptions* options) {
    NxOptions defaults;
    UfBackend* backend = NULL;
    nx_default_options(&defaults);
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(id);
    if (!options) options = &defaults;
    if (options->device && strcmp(options->device, "cpu") != 0)
        UF_TRY(uf_backend_open(&backend, options->device, "fp32", 1));
    UfStatus status = create(out, backend, id, n, seed, options);
    if (status == UF_OK && (*out)->device)
        (*out)->own = backend;
    else
        uf_backend_close(backend);
    return status;
}

UfStatus nx_create_on(NxBatch** out, UfBackend* backend, const char* id, int64_t n, uint64_t seed,
                      const NxOptions* options) {
    NxOptions defaults;
    nx_default_options(&defaults);
    *out = NULL;
    if (!options) options = &defaults;
    if (options->device && strcmp(options->device, backend->name) != 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: device '%s' on a backend of '%s'", id, options->device,
                       backend->name);
    return create(out, backend, id, n, seed, options);
}

void nx_free(NxBatch* b) {
    if (!b) return;
    if (ON_DEVICE(b)) nx_device_free(b->device);
    uf_backend_close(b->own);
    nx_observer_free(b->observer);
    uf_pool_free(b->pool);
    uf_free(b->blocks);
    uf_free(b->copy);
    uf_free(b);
}

NxShape nx_shape(const NxBatch* b) { return nx_observer_shape(b->observer); }
int64_t nx_num_envs(const NxBatch* b) { return b->n; }

// ---- 2 step ----

struct Call {
    const NxBatch* batch;
    const NxOutput* out;
    const uint8_t* actions;    // NULL: reset
    const int32_t* obstacles;  // (n, num_obstacles, 2) or NULL
};

// One environment, without its observation.
static inline __attribute__((always_inline)) void step_one(const Call* call, int64_t i, NxStep* step) {
    const NxBatch* b = call->batch;
    const NxOutput* out = call->out;
    NxEnv* env = env_at(b, i);
    const int action = call->actions ? call->actions[i] : NX_RESET;
    if (nx_take_turn(&b->layout, env, i, action, call->obstacles, out, step) == NX_TURN_LAST) {
        const size_t bytes = nx_observer_shape(b->observer).bytes;
        if (out->final_obs) nx_observe(b->observer, env, 1, (uint8_t*)out->final_obs + (size_t)i * bytes);
        nx_begin_episode(&b->layout, env);
    }
    if (out->direction) out->direction[i] = env->direction;
}

static void step_minigrid(const Call* call, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) step_one(call, i, nx_step_env);
}
static void step_navix(const Call* call, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) step_one(call, i, nx_navix_step);
}

#ifdef NX_HAS_AVX512

// nx_move_obstacles on maps of up to 64 cells: which are free is a word, so that one ball's move needs no more of the
// one before than a few instructions on registers. The lowest bits come first, as there.
NX_USES_AVX512 static inline void move_by_bits(const NxLayout* layout, NxEnv* env, const int32_t* positions) {
    const int width = layout->spec.width, height = layout->spec.height;
    const uint64_t ring = 7 | (uint64_t)5 << width | (uint64_t)7 << 2 * width;
    NxCell* cells = nx_cells(env);
    bool borders = false;
    for (int i = 0; i < env->num_obstacles; i++)
        borders |= (unsigned)(env->obstacle_x[i] - 1) >= (unsigned)(width - 2) ||
                   (unsigned)(env->obstacle_y[i] - 1) >= (unsigned)(height - 2);
    if (positions || borders) {
        nx_move_obstacles(layout, env, positions);
        return;
    }
    uint64_t is_free = _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(cells), _mm512_set1_epi8(NX_CELL_EMPTY));
    is_free &= ~((uint64_t)1 << (env->y * width + env->x));
    uint32_t fraction = 0;
    for (int i = 0; i < env->num_obstacles; i++) {
        if (i % NX_MOVES_OF_DRAW == 0) fraction = nx_random(env);
        const int at = env->obstacle_y[i] * width + env->obstacle_x[i];
        const uint64_t around = is_free & ring << (at - width - 1);
        const int count = __builtin_popcountll(around);
        if (!count) continue;
        const uint64_t chosen = _pdep_u64((uint64_t)1 << nx_take(&fraction, count), around);
        const int to = __builtin_ctzll(chosen), offset = to - at + width + 1;
        const int row = (offset >= width) + (offset >= 2 * width);
        is_free = (is_free ^ chosen) | (uint64_t)1 << at;
        cells[to] = cells[at];
        cells[at] = NX_CELL_EMPTY;
        env->obstacle_x[i] = (uint8_t)(env->obstacle_x[i] + offset - row * width - 1);
        env->obstacle_y[i] = (uint8_t)(env->obstacle_y[i] + row - 1);
    }
}

NX_USES_AVX512 static inline NxResult step_env_by_bits(const NxLayout* layout, NxEnv* env, int action,
                                                       const int32_t* obstacles) {
    return nx_step_env_by(layout, env, action, obstacles, move_by_bits);
}
NX_USES_AVX512 static void step_by_bits(const Call* call, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) step_one(call, i, step_env_by_bits);
}

#endif

static void run_chunk(void* context, int task, int thread) {
    const Call* call = context;
    const NxBatch* b = call->batch;
    const size_t bytes = nx_observer_shape(b->observer).bytes;
    const int64_t end = (task + 1) * (int64_t)CHUNK < b->n ? (task + 1) * (int64_t)CHUNK : b->n;
    (void)thread;
    for (int64_t first = task * (int64_t)CHUNK; first < end; first += GROUP) {
        const int64_t last = first + GROUP < end ? first + GROUP : end;
        b->step(call, first, last);
        if (call->out->obs)
            nx_observe(b->observer, env_at(b, first), last - first,
                       (uint8_t*)call->out->obs + (size_t)first * bytes);
    }
}

static void run(const Call* call) {
    uf_pool_run(call->batch->pool, (int)((call->batch->n + CHUNK - 1) / CHUNK), run_chunk, (void*)call);
}

// A device reads and writes an item at a time.
static UfStatus check_output(const NxBatch* b, const NxOutput* out, const char* function) {
    const size_t item = (size_t)nx_observer_shape(b->observer).item_bytes;
    if ((uintptr_t)out->obs % item == 0 && (uintptr_t)out->final_obs % item == 0) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: %s is at an address that is no multiple of its items' %zu bytes",
                   function, (uintptr_t)out->obs % item ? "obs" : "final_obs", item);
}

UfStatus nx_reset(NxBatch* b, const NxOutput* out) {
    if (!b || !out) return UF_FAIL(UF_ERR_ARGUMENT, "nx_reset: %s is NULL", b ? "out" : "batch");
    if (!ON_DEVICE(b)) {
        run(&(Call){b, out, NULL, NULL});
        return UF_OK;
    }
    UF_TRY(check_output(b, out, "nx_reset"));
    nx_device_reset(b->device, out);
    return UF_OK;
}

static UfStatus fail_action(const NxBatch* b, int64_t env, int action) {
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: action %d of environment %lld; expected 0 to %d", b->id, action,
                   (long long)env, b->layout.num_actions - 1);
}

static UfStatus check_actions(const NxBatch* b, const uint8_t* actions) {
    uint8_t largest = 0;
    for (int64_t i = 0; i < b->n; i++) largest = actions[i] > largest ? actions[i] : largest;
    if (largest < b->layout.num_actions) return UF_OK;
    int64_t i = 0;
    while (actions[i] < b->layout.num_actions) i++;
    return fail_action(b, i, actions[i]);
}

UfStatus nx_step(NxBatch* b, const uint8_t* actions, const NxOutput* out) {
    if (!b || !actions || !out)
        return UF_FAIL(UF_ERR_ARGUMENT, "nx_step: %s is NULL", !b ? "batch" : actions ? "out" : "actions");
    if (!ON_DEVICE(b)) {
        UF_TRY(check_actions(b, actions));
        run(&(Call){b, out, actions, NULL});
        return UF_OK;
    }
    UF_TRY(check_output(b, out, "nx_step"));
    nx_device_step(b->device, actions, NULL, out);
    return UF_OK;
}

UfStatus nx_show(const NxBatch* b, void* obs) {
    if (!b || !obs) return UF_FAIL(UF_ERR_ARGUMENT, "nx_show: %s is NULL", b ? "obs" : "batch");
    if (!ON_DEVICE(b)) {
        nx_observe(b->observer, env_at(b, 0), b->n, obs);
        return UF_OK;
    }
    UF_TRY(check_output(b, &(NxOutput){.obs = obs}, "nx_show"));
    nx_device_show(b->device, obs);
    return UF_OK;
}

// By NAVIX's rules a ball tries a cell beside its own, or stays.
static UfStatus check_tries(const NxBatch* b, const NxEnv* env, int64_t i, const int32_t* positions) {
    for (int k = 0; k < env->num_obstacles; k++) {
        const int x = positions[2 * k], y = positions[2 * k + 1];
        if (!nx_inside(&b->layout, x, y) ||
            nx_distance(x, env->obstacle_x[k]) + nx_distance(y, env->obstacle_y[k]) > 1)
            return UF_FAIL(
                UF_ERR_ARGUMENT,
                "%s: obstacle %d of environment %lld cannot go from (%d, %d) to (%d, %d): that is no "
                "cell beside it",
                b->id, k, (long long)i, env->obstacle_x[k], env->obstacle_y[k], x, y);
    }
    return UF_OK;
}

// Balls go onto cells that are empty once all of them are taken up, each its own, and not the agent's.
static UfStatus check_obstacles(const NxBatch* b, NxEnv* env, int64_t i, const int32_t* positions) {
    const NxLayout* l = &b->layout;
    if (l->rules == NX_RULES_NAVIX) return check_tries(b, env, i, positions);
    for (int k = 0; k < env->num_obstacles; k++) {
        const int x = positions[2 * k], y = positions[2 * k + 1];
        bool fits = nx_inside(l, x, y) && !(x == env->x && y == env->y);
        bool is_free = fits && nx_cells(env)[y * l->spec.width + x] == NX_CELL_EMPTY;
        for (int j = 0; j < env->num_obstacles; j++) {
            if (env->obstacle_x[j] == x && env->obstacle_y[j] == y) is_free = fits;
            if (j < k && positions[2 * j] == x && positions[2 * j + 1] == y) fits = false;
        }
        if (!fits || !is_free)
            return UF_FAIL(
                UF_ERR_ARGUMENT,
                "%s: obstacle %d of environment %lld cannot be at (%d, %d): that cell is not empty", b->id, k,
                (long long)i, x, y);
    }
    return UF_OK;
}

static UfStatus check_replay(const NxBatch* b, uint8_t* blocks, const uint8_t* actions,
                             const int32_t* positions) {
    UF_TRY(check_actions(b, actions));
    for (int64_t i = 0; i < b->n; i++) {
        NxEnv* env = (NxEnv*)(blocks + (size_t)i * b->layout.env_bytes);
        const bool resets = env->ended && b->layout.autoreset == NX_NEXT_STEP;
        if (!resets) UF_TRY(check_obstacles(b, env, i, positions + 2 * i * b->layout.spec.count));
    }
    return UF_OK;
}

// The host looks at all of it first: recordings are replayed now and then, and not for speed.
static UfStatus check_replay_on_device(NxBatch* b, const uint8_t* actions, const int32_t* positions) {
    const size_t n = (size_t)b->n, count = 2 * n * (size_t)b->layout.spec.count;
    uint8_t *blocks = NULL, *copied = NULL;
    int32_t* places = NULL;
    UfStatus status = uf_alloc((void**)&blocks, n, b->layout.env_bytes, "environments");
    if (status == UF_OK) status = UF_ALLOC(&copied, n, "actions");
    if (status == UF_OK) status = UF_ALLOC(&places, count, "places of obstacles");
    if (status == UF_OK)
        status = nx_download(b, blocks, nx_device_blocks(b->device), n * b->layout.env_bytes);
    if (status == UF_OK) status = nx_download(b, copied, actions, n);
    if (status == UF_OK) status = nx_download(b, places, positions, count * sizeof *places);
    if (status == UF_OK) status = check_replay(b, blocks, copied, places);
    uf_free(blocks);
    uf_free(copied);
    uf_free(places);
    return status;
}

UfStatus nx_step_with_obstacles(NxBatch* b, const uint8_t* actions, const int32_t* positions,
                                const NxOutput* out) {
    if (!b || !actions || !positions || !out)
        return UF_FAIL(UF_ERR_ARGUMENT, "nx_step_with_obstacles: %s is NULL",
                       !b          ? "batch"
                       : !actions  ? "actions"
                       : positions ? "out"
                                   : "positions");
    if (b->layout.spec.family != NX_FAMILY_DYNAMIC_OBSTACLES)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s has no obstacles that move", b->id);
    if (!ON_DEVICE(b)) {
        UF_TRY(check_replay(b, b->blocks, actions, positions));
        run(&(Call){b, out, actions, positions});
        return UF_OK;
    }
    UF_TRY(check_output(b, out, "nx_step_with_obstacles"));
    UF_TRY(check_replay_on_device(b, actions, positions));
    nx_device_step(b->device, actions, positions, out);
    return UF_OK;
}

static StepGroup* choose_step(const NxLayout* l, NxLevel level) {
#ifdef NX_HAS_AVX512
    if (level == NX_AVX512 && l->rules == NX_RULES_MINIGRID &&
        l->spec.family == NX_FAMILY_DYNAMIC_OBSTACLES && l->spec.width * l->spec.height <= 64)
        return step_by_bits;
#endif
    (void)level;
    return l->rules == NX_RULES_NAVIX ? step_navix : step_minigrid;
}

UfStatus nx_set_level(NxBatch* b, NxLevel level) {
    NxObserver* observer;
    if (ON_DEVICE(b)) return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: levels of instructions are the CPU's", b->id);
    UF_TRY(nx_observer_create(&observer, &b->layout, level));
    nx_observer_free(b->observer);
    b->observer = observer;
    b->step = choose_step(&b->layout, level);
    return UF_OK;
}

// ---- 3 memory ----

UfStatus nx_sync(const NxBatch* b) {
    NxBadAction bad;
    if (!b) return UF_FAIL(UF_ERR_ARGUMENT, "nx_sync: batch is NULL");
    if (!ON_DEVICE(b)) return UF_OK;
    UF_TRY(nx_device_bad_action(b->device, &bad));
    return bad.env < 0 ? UF_OK : fail_action(b, bad.env, bad.action);
}

UfStatus nx_reserve(NxBatch* b, void** out, size_t bytes) {
    if (!b || !out) return UF_FAIL(UF_ERR_ARGUMENT, "nx_reserve: %s is NULL", b ? "out" : "batch");
    *out = NULL;
    if (ON_DEVICE(b)) return nx_device_reserve(b->device, out, bytes ? bytes : 1);
    return uf_alloc(out, bytes ? bytes : 1, 1, "an array of a batch");
}

void nx_release(NxBatch* b, void* memory) {
    if (!b || !memory) return;
    if (ON_DEVICE(b))
        b->backend->release(b->backend, memory);
    else
        uf_free(memory);
}

static UfStatus check_copy(const NxBatch* b, const void* to, const void* from, const char* function) {
    if (b && to && from) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: %s is NULL", function, !b ? "batch" : to ? "from" : "to");
}

UfStatus nx_upload(NxBatch* b, void* to, const void* from, size_t bytes) {
    UF_TRY(check_copy(b, to, from, "nx_upload"));
    if (!ON_DEVICE(b)) {
        memcpy(to, from, bytes);
        return UF_OK;
    }
    b->backend->upload(b->backend, to, from, bytes);
    return b->backend->sync(b->backend);
}

UfStatus nx_download(const NxBatch* b, void* to, const void* from, size_t bytes) {
    UF_TRY(check_copy(b, to, from, "nx_download"));
    if (!ON_DEVICE(b)) {
        memcpy(to, from, bytes);
        return UF_OK;
    }
    UF_TRY(nx_sync(b));
    b->backend->download(b->backend, to, from, bytes);
    return b->backend->sync(b->backend);
}

int nx_on_device(const NxBatch* b) { return (void)b, ON_DEVICE(b); }

// ---- for the bench ----

void nx_draw_actions(NxBatch* b, uint8_t* actions, int64_t count, uint64_t seed) {
    if (ON_DEVICE(b))
        nx_device_draw_actions(b->device, actions, count, seed);
    else
        for (int64_t i = 0; i < count; i++) actions[i] = nx_random_action(seed, i, b->layout.num_actions);
}

void nx_write(NxBatch* b, void* to, uint8_t byte, size_t bytes) {
    if (ON_DEVICE(b))
        nx_device_write(b->device, to, byte, bytes);
    else
        memset(to, byte, bytes);
}

const char* nx_about(const NxBatch* b) { return ON_DEVICE(b) ? b->backend->about : "cpu"; }

size_t nx_step_bytes(const NxBatch* b, const NxOutput* out) {
    const size_t block = b->layout.env_bytes;
    return 2 + block + (b->layout.spec.family == NX_FAMILY_DYNAMIC_OBSTACLES ? block : sizeof(NxEnv)) +
           (out->obs ? nx_observer_shape(b->observer).bytes : 0) + (out->reward ? sizeof *out->reward : 0) +
           !!out->terminated + !!out->truncated + !!out->direction +
           (out->episode_return ? sizeof *out->episode_return : 0) +
           (out->episode_length ? sizeof *out->episode_length : 0);
}

// ---- 4 state ----

// Environment i to look at, a copy where it lies on a device; put_env takes it there.
static UfStatus get_env(const NxBatch* b, int64_t i, NxEnv** env) {
    *env = ON_DEVICE(b) ? b->copy : env_at(b, i);
    if (!ON_DEVICE(b)) return UF_OK;
    return nx_download(b, b->copy, nx_device_blocks(b->device) + (size_t)i * b->layout.env_bytes,
                       b->layout.env_bytes);
}

static UfStatus put_env(NxBatch* b, int64_t i, const NxEnv* env) {
    uint8_t* blocks = ON_DEVICE(b) ? nx_device_blocks(b->device) : b->blocks;
    return nx_upload(b, blocks + (size_t)i * b->layout.env_bytes, env, b->layout.env_bytes);
}

static void put_triple(NxCell cell, uint8_t triple[3]) { nx_put_triple(cell ? cell : NX_CELL_EMPTY, triple); }

// False: no cell of a level.
static bool cell_of(const uint8_t triple[3], NxCell* cell) {
    return nx_cell_of(triple, cell) && nx_kind(*cell) != NX_UNSEEN &&
           (nx_kind(*cell) != NX_EMPTY || *cell == NX_CELL_EMPTY);
}

static void get_object(NxObject object, int numbers[4]) {
    const bool somewhere = object.x != NX_NOWHERE, something = object.cell != NX_UNSEEN;
    numbers[0] = somewhere ? object.x : -1;
    numbers[1] = somewhere ? object.y : -1;
    numbers[2] = something ? nx_type(object.cell) : -1;
    numbers[3] = something ? nx_colour(object.cell) : -1;
}

static UfStatus check_env(const NxBatch* b, int64_t env, const char* function) {
    if (!b) return UF_FAIL(UF_ERR_ARGUMENT, "%s: batch is NULL", function);
    if (env < 0 || env >= b->n)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: environment %lld of %lld", function, (long long)env,
                       (long long)b->n);
    return UF_OK;
}

UfStatus nx_get_state(const NxBatch* b, int64_t index, NxState* s) {
    UF_TRY(check_env(b, index, "nx_get_state"));
    if (!s || !s->grid) return UF_FAIL(UF_ERR_ARGUMENT, "nx_get_state: %s is NULL", s ? "grid" : "state");
    const NxLayout* l = &b->layout;
    NxEnv* env;
    UF_TRY(get_env(b, index, &env));
    const NxCell* contents = nx_contents(l, env);
    s->x = env->x;
    s->y = env->y;
    s->direction = env->direction;
    s->step_count = env->step_count;
    s->max_steps = env->max_steps;
    s->events = env->navix.events;
    put_triple(l->rules == NX_RULES_NAVIX ? env->navix.pocket : env->carrying, s->carrying);
    put_triple(env->carrying_contents, s->carrying_contents);
    get_object(env->target, s->target);
    get_object(env->aux, s->aux);
    s->mission = env->mission;
    s->num_obstacles = env->num_obstacles;
    for (int i = 0; i < env->num_obstacles; i++) {
        s->obstacles[i][0] = env->obstacle_x[i];
        s->obstacles[i][1] = env->obstacle_y[i];
    }
    for (int i = 0; i < l->spec.width * l->spec.height; i++) {
        put_triple(nx_cells(env)[i], s->grid + 3 * i);
        if (!s->contents) continue;
        const NxCell hidden = nx_navix_hidden_at(env, i % l->spec.width, i / l->spec.width);
        put_triple(contents ? contents[i] : hidden, s->contents + 3 * i);
    }
    return UF_OK;
}

// What a family's rules look at.
typedef enum Needs { NOTHING, PLACE = 1, OBJECT = 2 } Needs;
static const struct {
    Needs target, aux;
} needs[NX_NUM_FAMILIES] = {
    [NX_FAMILY_GO_TO_DOOR] = {PLACE | OBJECT, NOTHING},
    [NX_FAMILY_GO_TO_OBJECT] = {PLACE | OBJECT, NOTHING},
    [NX_FAMILY_FETCH] = {OBJECT, NOTHING},
    [NX_FAMILY_PUT_NEAR] = {PLACE | OBJECT, OBJECT},
    [NX_FAMILY_KEY_CORRIDOR] = {OBJECT, NOTHING},
    [NX_FAMILY_UNLOCK] = {PLACE, NOTHING},
    [NX_FAMILY_UNLOCK_PICKUP] = {OBJECT, NOTHING},
    [NX_FAMILY_BLOCKED_UNLOCK_PICKUP] = {OBJECT, NOTHING},
    [NX_FAMILY_OBSTRUCTED_MAZE] = {OBJECT, NOTHING},
    [NX_FAMILY_MEMORY] = {PLACE, PLACE},
    [NX_FAMILY_RED_BLUE_DOORS] = {PLACE, PLACE},
};

static UfStatus set_object(const NxBatch* b, const char* name, const int numbers[4], Needs need,
                           NxObject* object) {
    const uint8_t triple[3] = {(uint8_t)numbers[2], (uint8_t)numbers[3], 0};
    const bool somewhere = numbers[0] != -1 || numbers[1] != -1,
               something = numbers[2] != -1 || numbers[3] != -1;
    *object = nx_no_object();
    if ((somewhere && !nx_inside(&b->layout, numbers[0], numbers[1])) || (!somewhere && (need & PLACE)))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the %s is at (%d, %d); expected a cell of the %d by %d", b->id,
                       name, numbers[0], numbers[1], b->layout.spec.width, b->layout.spec.height);
    if (somewhere) {
        object->x = (uint8_t)numbers[0];
        object->y = (uint8_t)numbers[1];
    }
    if (!something && !(need & OBJECT)) return UF_OK;
    if (numbers[2] < 0 || numbers[2] > 255 || numbers[3] < 0 || numbers[3] > 255 ||
        !cell_of(triple, &object->cell))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the %s is of type %d and colour %d; expected an object", b->id,
                       name, numbers[2], numbers[3]);
    return UF_OK;
}

// A cell that another covers, by NAVIX's rules.
static UfStatus set_hidden(const NxBatch* b, NxEnv* env, int x, int y, NxCell hidden) {
    const NxCell cell = nx_cells(env)[y * b->layout.spec.width + x];
    const bool under_key = nx_kind(cell) == NX_KEY && hidden != NX_CELL_EMPTY && nx_is(hidden, NX_WALKABLE);
    const bool key_under = nx_kind(cell) == NX_LAVA && nx_kind(hidden) == NX_KEY;
    if (env->navix.hidden || !(under_key || key_under))
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s: contents at (%d, %d); by NAVIX's rules there is one at most, a key under lava, or what "
            "one may walk on under a key",
            b->id, x, y);
    env->navix.hidden = hidden;
    env->navix.hidden_x = (uint8_t)x;
    env->navix.hidden_y = (uint8_t)y;
    return UF_OK;
}

static UfStatus set_grid(const NxBatch* b, const NxState* s, NxEnv* env) {
    const NxLayout* l = &b->layout;
    NxCell *cells = nx_cells(env), *contents = nx_contents(l, env), inside;
    for (int i = 0; i < l->spec.width * l->spec.height; i++) {
        const int x = i % l->spec.width, y = i / l->spec.width;
        const uint8_t* t = s->grid + 3 * i;
        if (!cell_of(t, &cells[i]))
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "%s: the grid has (%d, %d, %d) at (%d, %d), which is no cell of a level", b->id,
                           t[0], t[1], t[2], x, y);
        inside = NX_CELL_EMPTY;
        t = s->contents ? s->contents + 3 * i : NULL;
        if (t && !cell_of(t, &inside))
            return UF_FAIL(UF_ERR_ARGUMENT, "%s: contents (%d, %d, %d) at (%d, %d) are no cell of a level",
                           b->id, t[0], t[1], t[2], x, y);
        if (inside != NX_CELL_EMPTY && l->rules == NX_RULES_NAVIX)
            UF_TRY(set_hidden(b, env, x, y, inside));
        else if (inside != NX_CELL_EMPTY && (nx_kind(cells[i]) != NX_BOX || !contents))
            return UF_FAIL(UF_ERR_ARGUMENT, "%s: contents (%d, %d, %d) at (%d, %d), where %s", b->id, t[0],
                           t[1], t[2], x, y, contents ? "no box is" : "boxes are empty");
        if (contents) contents[i] = inside;
    }
    return UF_OK;
}

static UfStatus set_hands(const NxBatch* b, const NxState* s, NxEnv* env) {
    const uint8_t *c = s->carrying, *in = s->carrying_contents;
    const bool empty = in[0] == 0 && in[1] == 0 && in[2] == 0;  // left out
    env->carrying_contents = NX_CELL_EMPTY;
    if (!cell_of(c, &env->carrying) || !(env->carrying == NX_CELL_EMPTY || nx_is(env->carrying, NX_PORTABLE)))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: the agent carries (%d, %d, %d); expected a key, ball or box, or (1, 0, 0)", b->id,
                       c[0], c[1], c[2]);
    if (!empty && !cell_of(in, &env->carrying_contents))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: contents (%d, %d, %d) of what is carried are no cell", b->id,
                       in[0], in[1], in[2]);
    if (env->carrying_contents != NX_CELL_EMPTY &&
        (nx_kind(env->carrying) != NX_BOX || !b->layout.contents_offset))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: what is carried is no box that can hold (%d, %d, %d)", b->id,
                       in[0], in[1], in[2]);
    return UF_OK;
}

// The hands' key goes to NAVIX's pocket. It lies nowhere, or it has been dropped and is in the grid.
static UfStatus set_pocket(const NxBatch* b, NxEnv* env) {
    NxNavix* navix = &env->navix;
    NxCell lying = nx_kind(navix->hidden) == NX_KEY ? navix->hidden : (NxCell)NX_UNSEEN;
    int num_keys = lying != NX_UNSEEN;
    for (int i = 0; i < b->layout.spec.width * b->layout.spec.height; i++) {
        if (nx_kind(nx_cells(env)[i]) != NX_KEY) continue;
        lying = nx_cells(env)[i];
        num_keys++;
    }
    const bool carries = env->carrying != NX_CELL_EMPTY;
    if (num_keys > 1 ||
        (carries && (nx_kind(env->carrying) != NX_KEY || (num_keys && env->carrying != lying))))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: NAVIX's rules know one key, which may be in the grid and in the pocket; the grid "
                       "has %d, the "
                       "agent carries (%d, %d, %d)",
                       b->id, num_keys, nx_type(env->carrying), nx_colour(env->carrying), 0);
    if (carries) navix->pocket = env->carrying;
    if (carries && !num_keys) navix->pile = env->carrying;
    env->carrying = NX_CELL_EMPTY;
    return UF_OK;
}

static UfStatus set_obstacles(const NxBatch* b, const NxState* s, NxEnv* env) {
    const NxLayout* l = &b->layout;
    const int expected = l->spec.family == NX_FAMILY_DYNAMIC_OBSTACLES ? l->spec.count : 0;
    if (s->num_obstacles != expected)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: %d obstacles; expected %d", b->id, s->num_obstacles, expected);
    env->num_obstacles = (uint8_t)expected;
    for (int i = 0; i < expected; i++) {
        const int x = s->obstacles[i][0], y = s->obstacles[i][1];
        bool is_ball = nx_inside(l, x, y) && nx_kind(nx_cells(env)[y * l->spec.width + x]) == NX_BALL;
        for (int k = 0; k < i && l->rules != NX_RULES_NAVIX; k++)  // by NAVIX's, they may share a cell
            is_ball = is_ball && !(s->obstacles[k][0] == x && s->obstacles[k][1] == y);
        if (!is_ball)
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "%s: obstacle %d is at (%d, %d), where the grid has no ball of its own", b->id, i,
                           x, y);
        env->obstacle_x[i] = (uint8_t)x;
        env->obstacle_y[i] = (uint8_t)y;
    }
    return UF_OK;
}

static bool has_mission(NxFamily family, int mission) {
    if (family == NX_FAMILY_FETCH) return mission >= 0 && mission < NX_NUM_FETCH_MISSIONS;
    if (family != NX_FAMILY_LOCKED_ROOM) return mission == 0;
    return mission >= 0 && mission % 8 < NX_NUM_COLOURS && mission / 8 < NX_NUM_COLOURS;
}

static UfStatus set_all(const NxBatch* b, const NxState* s, NxEnv* env) {
    const NxLayout* l = &b->layout;
    const bool navix = l->rules == NX_RULES_NAVIX;
    // NAVIX's KeyCorridor is about a goal.
    const Needs target =
        navix && l->spec.family == NX_FAMILY_KEY_CORRIDOR ? NOTHING : needs[l->spec.family].target;
    if (s->events < 0 || s->events > (navix ? 15 : 0))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: events %d; expected %s", b->id, s->events,
                       navix ? "a sum of NX_EVENT_* (0 to 15)" : "0: they are of NAVIX's rules");
    env->navix = (NxNavix){.events = (uint8_t)s->events};
    UF_TRY(set_grid(b, s, env));
    UF_TRY(set_hands(b, s, env));
    if (navix) UF_TRY(set_pocket(b, env));
    UF_TRY(set_obstacles(b, s, env));
    UF_TRY(set_object(b, "target", s->target, target, &env->target));
    UF_TRY(set_object(b, "aux", s->aux, needs[l->spec.family].aux, &env->aux));
    if (!nx_inside(l, s->x, s->y) || !nx_is(nx_cells(env)[s->y * l->spec.width + s->x], NX_WALKABLE))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the agent is at (%d, %d); expected a cell that it can walk on",
                       b->id, s->x, s->y);
    if (s->direction < 0 || s->direction > 3)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: direction %d; expected 0 (east), 1 (south), 2 (west) or 3 (north)", b->id,
                       s->direction);
    if (s->max_steps < 1 || s->step_count < 0 || s->step_count == INT32_MAX)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: step %d of %d; expected at least 0 of at least 1", b->id,
                       s->step_count, s->max_steps);
    if (!has_mission(l->spec.family, s->mission))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: there is no mission %d", b->id, s->mission);
    nx_start(env, s->x, s->y, s->direction);
    env->step_count = s->step_count;
    env->max_steps = s->max_steps;
    env->mission = (uint8_t)s->mission;
    env->episode_return = 0;
    env->ended = 0;
    if (s->mission == 0) nx_recall_mission(l, env);
    return UF_OK;
}

UfStatus nx_set_state(NxBatch* b, int64_t index, const NxState* s) {
    UF_TRY(check_env(b, index, "nx_set_state"));
    if (!s || !s->grid) return UF_FAIL(UF_ERR_ARGUMENT, "nx_set_state: %s is NULL", s ? "grid" : "state");
    NxEnv *env, *aside;
    UF_TRY(get_env(b, index, &env));
    UF_TRY(uf_alloc((void**)&aside, 1, b->layout.env_bytes, "a state"));
    memcpy(aside, env, b->layout.env_bytes);
    UfStatus status = set_all(b, s, aside);
    if (status == UF_OK) status = put_env(b, index, aside);
    uf_free(aside);
    return status;
}

size_t nx_save_bytes(const NxBatch* b) { return (size_t)b->n * b->layout.env_bytes; }

UfStatus nx_save(const NxBatch* b, void* bytes) {
    if (!b || !bytes) return UF_FAIL(UF_ERR_ARGUMENT, "nx_save: %s is NULL", b ? "bytes" : "batch");
    return nx_download(b, bytes, ON_DEVICE(b) ? nx_device_blocks(b->device) : b->blocks, nx_save_bytes(b));
}

static bool is_place(const NxLayout* l, int x, int y) {
    return nx_inside(l, x, y) || (x == NX_NOWHERE && y == NX_NOWHERE);
}

static bool are_cells(const NxCell* cells, int count) {
    for (int i = 0; i < count; i++)
        if (nx_kind(cells[i]) >= NX_NUM_KINDS || nx_colour(cells[i]) >= NX_NUM_COLOURS) return false;
    return true;
}

// Whether rules and views stay inside the grid and the tables of cells with this block.
static bool is_state(const NxLayout* l, NxEnv* env) {
    const int area = l->spec.width * l->spec.height;
    const NxCell held[] = {env->carrying,     env->carrying_contents, env->target.cell, env->aux.cell,
                           env->navix.pocket, env->navix.pile,        env->navix.hidden};
    const NxCell* contents = nx_contents(l, env);
    bool good = nx_inside(l, env->x, env->y) && env->direction < 4 && env->num_obstacles <= NX_MAX_OBSTACLES;
    for (int i = 0; good && i < env->num_obstacles; i++)
        good = nx_inside(l, env->obstacle_x[i], env->obstacle_y[i]);
    return good && are_cells(held, sizeof held / sizeof *held) && are_cells(nx_cells(env), area) &&
           (!contents || are_cells(contents, area)) && is_place(l, env->target.x, env->target.y) &&
           is_place(l, env->aux.x, env->aux.y) &&
           (!env->navix.hidden || nx_inside(l, env->navix.hidden_x, env->navix.hidden_y));
}

UfStatus nx_restore(NxBatch* b, const void* bytes) {
    if (!b || !bytes) return UF_FAIL(UF_ERR_ARGUMENT, "nx_restore: %s is NULL", b ? "bytes" : "batch");
    NxEnv* aside;  // blocks are aligned, what comes may not be
    UF_TRY(uf_alloc((void**)&aside, 1, b->layout.env_bytes, "a state"));
    UfStatus status = UF_OK;
    for (int64_t i = 0; i < b->n && status == UF_OK; i++) {
        memcpy(aside, (const char*)bytes + (size_t)i * b->layout.env_bytes, b->layout.env_bytes);
        if (!is_state(&b->layout, aside))
            status = UF_FAIL(UF_ERR_FORMAT, "%s: the saved environment %lld is no state; the file is damaged",
                             b->id, (long long)i);
    }
    uf_free(aside);
    if (status == UF_OK) status = nx_sync(b);
    if (status == UF_OK)
        status =
            nx_upload(b, ON_DEVICE(b) ? nx_device_blocks(b->device) : b->blocks, bytes, nx_save_bytes(b));
    return status;
}

// By what saves and restores, wherever the blocks are: it is for the begin of things.
UfStatus nx_seed(NxBatch* b, uint64_t seed) {
    uint8_t* blocks;
    if (!b) return UF_FAIL(UF_ERR_ARGUMENT, "nx_seed: batch is NULL");
    UF_TRY(uf_alloc((void**)&blocks, (size_t)b->n, b->layout.env_bytes, "environments"));
    UfStatus status = nx_save(b, blocks);
    for (int64_t i = 0; i < b->n; i++)
        ((NxEnv*)(blocks + (size_t)i * b->layout.env_bytes))->random = nx_random_begin(seed, (uint64_t)i);
    if (status == UF_OK) status = nx_restore(b, blocks);
    uf_free(blocks);
    return status;
}

UfStatus nx_mission(const NxBatch* b, int64_t index, char text[128]) {
    UF_TRY(check_env(b, index, "nx_mission"));
    if (!text) return UF_FAIL(UF_ERR_ARGUMENT, "nx_mission: text is NULL");
    NxEnv* env;
    UF_TRY(get_env(b, index, &env));
    nx_mission_text(&b->layout, env, text);
    return UF_OK;
}

// The text depends on these alone.
int nx_mission_varies(const NxBatch* b) {
    const NxObject key = {0, 0, NX_CELL(NX_KEY, NX_RED)}, ball = {0, 0, NX_CELL(NX_BALL, NX_BLUE)};
    const NxEnv one = {.target = key, .aux = ball, .mission = 0},
                other = {.target = ball, .aux = key, .mission = 1};
    char text[128], differs[128];
    nx_mission_text(&b->layout, &one, text);
    nx_mission_text(&b->layout, &other, differs);
    return strcmp(text, differs) != 0;
}
