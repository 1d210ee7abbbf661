// grid_navix_traces.c: NAVIX's recorded episodes, groups /navix/<id> of kind minigrid-traces, against grid_navix.h.
//
// A group holds n_env environments of n_step steps each, across NAVIX's own resets, and what each frame was: four
// observations, the player, every entity, the base map, reward, step type, time and return. Levels and the balls' moves
// are chance, so they are taken from the recording; all the rest is computed and compared, number by number.
// Rooms: file, levels, chance, what we have, replay.
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/grid/grid_navix.h"
#include "core/grid/grid_table.h"
#include "core/verify/grid_verify.h"

// ---- file ----

enum {
    PLAYER,  // x, y, direction, number of the key in the pocket or -1
    BASE,    // -1 wall, 0 floor
    SYMBOLIC,
    SYMBOLIC_FP,
    CATEGORICAL,
    CATEGORICAL_FP,
    STEP_TYPE,  // 0, 1 truncated, 2 terminated
    TIME,
    REWARD,
    RETURN,
    FIRST_OPTIONAL,
    DOOR = FIRST_OPTIONAL,  // x, y, number of the key it wants or -1, whether it is open, colour
    KEY,                    // x, y, number, colour; x = -1, y = 0 while it lies nowhere
    GOAL,                   // x, y, like the rest
    BALL,
    LAVA,
    WALL,
    MISSION,  // x, y, colour of the door to go to
    NUM_DATASETS
};
static const char* const names[NUM_DATASETS] = {
    "player",    "base", "symbolic", "symbolic_fp", "categorical", "categorical_fp",
    "step_type", "t",    "reward",   "ret",         "door",        "key",
    "goal",      "ball", "lava",     "wall",        "mission"};

enum { MAX_ENTITIES = NX_MAX_CELLS };

typedef struct Recording {
    const UfH5* h5;
    char group[160];
    NxLayout layout;
    int num_envs, num_steps;
    int rows[NUM_DATASETS];        // entities of a kind
    int size[NUM_DATASETS];        // numbers of a frame
    double* values[NUM_DATASETS];  // (envs, steps + 1, size).   Nullable: what is not recorded
    double* actions;               // (envs, steps)
} Recording;

static void recording_free(Recording* r) {
    for (int i = 0; i < NUM_DATASETS; i++) uf_free(r->values[i]);
    uf_free(r->actions);
}

static const double* frame_of(const Recording* r, int dataset, int env, int frame) {
    return r->values[dataset] + ((int64_t)env * (r->num_steps + 1) + frame) * r->size[dataset];
}

// Reads (envs, frames, ...) where the rest multiplies up to `size`.
static UfStatus read_numbers(const Recording* r, const char* name, int frames, int size, double** out) {
    char path[192];
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/%s", r->group, name);
    UF_TRY(uf_h5_shape(r->h5, path, &shape));
    if (shape.rank < 2 || shape.dims[0] != r->num_envs || shape.dims[1] != frames ||
        shape.count != (int64_t)r->num_envs * frames * size)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' has %lld numbers; %d environments, %d frames, %d each expected",
                       r->h5->path, path, (long long)shape.count, r->num_envs, frames, size);
    UF_TRY(UF_ALLOC(out, shape.count, path));
    return uf_h5_read(r->h5, path, UF_H5_DOUBLE, *out, shape.count);
}

// Dimension `axis` of a dataset, at most `limit`.
static UfStatus read_dimension(const Recording* r, const char* name, int rank, int axis, int limit,
                               int* out) {
    char path[192];
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/%s", r->group, name);
    UF_TRY(uf_h5_shape(r->h5, path, &shape));
    if (shape.rank != rank || shape.dims[axis] < 1 || shape.dims[axis] > limit)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has rank %d; %d expected, with at most %d of axis %d",
                       r->h5->path, path, shape.rank, rank, limit, axis);
    *out = (int)shape.dims[axis];
    return UF_OK;
}

static UfStatus read_attribute(const Recording* r, const char* name, int low, int high, int* out) {
    double value;
    UF_TRY(uf_h5_read_number(r->h5, r->group, name, &value));
    if (!(value >= low && value <= high) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of %s is %g; %d to %d expected", r->h5->path, name,
                       r->group, value, low, high);
    *out = (int)value;
    return UF_OK;
}

static UfStatus read_layout(Recording* r, const char* id) {
    const NxSpec* spec;
    int unused;
    UF_TRY(nx_find_spec(&spec, id));
    if (!spec->navix || !nx_navix_has(spec))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: group '%s' is none of NAVIX's environments", r->h5->path,
                       r->group);
    nx_lay_out(&r->layout, spec, false);
    nx_navix_lay_out(&r->layout);
    UF_TRY(read_attribute(r, "width", spec->width, spec->width, &unused));
    UF_TRY(read_attribute(r, "height", spec->height, spec->height, &unused));
    UF_TRY(read_attribute(r, "max_steps", 1, 1 << 30, &r->layout.spec.max_steps));
    UF_TRY(read_attribute(r, "n_env", 1, 1 << 20, &r->num_envs));
    UF_TRY(read_attribute(r, "n_step", 1, 1 << 20, &r->num_steps));
    UF_TRY(read_dimension(r, names[SYMBOLIC_FP], 5, 2, NX_MAX_VIEW, &r->layout.view));
    if (r->layout.view % 2 == 0)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/%s' is a view of %d; odd sizes expected", r->h5->path,
                       r->group, names[SYMBOLIC_FP], r->layout.view);
    return UF_OK;
}

static UfStatus read_datasets(Recording* r) {
    const int cells = r->layout.spec.width * r->layout.spec.height, view = r->layout.view * r->layout.view;
    const int sizes[NUM_DATASETS] = {[PLAYER] = 4,
                                     [BASE] = cells,
                                     [SYMBOLIC] = 3 * cells,
                                     [SYMBOLIC_FP] = 3 * view,
                                     [CATEGORICAL] = cells,
                                     [CATEGORICAL_FP] = view,
                                     [STEP_TYPE] = 1,
                                     [TIME] = 1,
                                     [REWARD] = 1,
                                     [RETURN] = 1,
                                     // of one entity
                                     [DOOR] = 5,
                                     [KEY] = 4,
                                     [GOAL] = 2,
                                     [BALL] = 2,
                                     [LAVA] = 2,
                                     [WALL] = 2,
                                     [MISSION] = 3};
    for (int i = 0; i < NUM_DATASETS; i++) {
        char path[192];
        snprintf(path, sizeof path, "%s/%s", r->group, names[i]);
        if (i >= FIRST_OPTIONAL && !uf_h5_exists(r->h5, path)) continue;
        int limit = i == BALL ? NX_MAX_OBSTACLES : i == KEY ? 1 : MAX_ENTITIES;
        r->rows[i] = 1;
        if (i >= FIRST_OPTIONAL && i < MISSION) UF_TRY(read_dimension(r, names[i], 4, 2, limit, &r->rows[i]));
        r->size[i] = r->rows[i] * sizes[i];
        UF_TRY(read_numbers(r, names[i], r->num_steps + 1, r->size[i], &r->values[i]));
    }
    if (r->layout.spec.family == NX_FAMILY_GO_TO_DOOR && !r->values[MISSION])
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has no dataset 'mission'; the door to go to is unknown",
                       r->h5->path, r->group);
    UF_TRY(read_numbers(r, "action", r->num_steps, 1, &r->actions));
    for (int64_t i = 0; i < (int64_t)r->num_envs * r->num_steps; i++)
        if (!(r->actions[i] >= 0 && r->actions[i] < NX_NUM_ACTIONS))
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/action' has a %g; 0 to %d expected", r->h5->path, r->group,
                           r->actions[i], NX_NUM_ACTIONS - 1);
    return UF_OK;
}

// ---- levels ----

typedef struct Replay {
    const Recording* recording;
    int env, frame;
    int start;  // the frame of this episode's reset
    struct {
        NxEnv env;
        NxCell cells[NX_MAX_CELLS];
    } block;
} Replay;

// Row `row` of a kind of entities at the episode's start.
static const double* at_start(const Replay* p, int dataset, int row) {
    const Recording* r = p->recording;
    return frame_of(r, dataset, p->env, p->start) + row * (r->size[dataset] / r->rows[dataset]);
}

static UfStatus bad_level(const Replay* p, const char* dataset, double value) {
    const Recording* r = p->recording;
    return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/%s' has a %g that no level can have (environment %d, frame %d)",
                   r->h5->path, r->group, dataset, value, p->env, p->start);
}

static UfStatus check_range(const Replay* p, int dataset, double value, int low, int high) {
    return value >= low && value <= high ? UF_OK : bad_level(p, names[dataset], value);
}

static UfStatus check_place(const Replay* p, int dataset, const double* row) {
    UF_TRY(check_range(p, dataset, row[0], 0, p->recording->layout.spec.width - 1));
    return check_range(p, dataset, row[1], 0, p->recording->layout.spec.height - 1);
}

static NxCell* cell_at(Replay* p, const double* place) {
    return nx_navix_cell(&p->recording->layout, &p->block.env, (int)place[0], (int)place[1]);
}

static NxCell door_cell(const double* door) {
    return NX_CELL(door[3] != 0    ? NX_DOOR_OPEN
                   : door[2] != -1 ? NX_DOOR_LOCKED
                                   : NX_DOOR_CLOSED,
                   (int)door[4]);
}

static UfStatus load_kind(Replay* p, int dataset, NxCell plain) {
    for (int i = 0; i < p->recording->rows[dataset]; i++) {
        const double* row = at_start(p, dataset, i);
        NxCell cell = plain;
        if (dataset == KEY && row[0] < 0) {  // nowhere
            p->block.env.navix.pile = NX_CELL(NX_KEY, (int)row[3]);
            continue;
        }
        UF_TRY(check_place(p, dataset, row));
        if (dataset == DOOR || dataset == KEY) {
            const double colour = row[dataset == DOOR ? 4 : 3];
            UF_TRY(check_range(p, dataset, colour, 0, NX_NUM_COLOURS - 1));
            cell = dataset == DOOR ? door_cell(row) : NX_CELL(NX_KEY, (int)colour);
        }
        if (dataset == BALL) {
            p->block.env.obstacle_x[i] = (uint8_t)row[0];
            p->block.env.obstacle_y[i] = (uint8_t)row[1];
        }
        *cell_at(p, row) = cell;
    }
    return UF_OK;
}

// The level of the frame p->start, in the order in which NAVIX draws.
static UfStatus load_level(Replay* p) {
    const Recording* r = p->recording;
    NxEnv* env = &p->block.env;
    const double *player = frame_of(r, PLAYER, p->env, p->start), *base = frame_of(r, BASE, p->env, p->start);
    memset(&p->block, 0, sizeof p->block);
    UF_TRY(check_place(p, PLAYER, player));
    UF_TRY(check_range(p, PLAYER, player[2], 0, 3));
    env->x = (uint8_t)player[0];
    env->y = (uint8_t)player[1];
    env->direction = (uint8_t)player[2];
    env->carrying = NX_CELL_EMPTY;
    env->max_steps = r->layout.spec.max_steps;
    env->num_obstacles = (uint8_t)r->rows[BALL];
    for (int i = 0; i < r->size[BASE]; i++) p->block.cells[i] = base[i] == 0 ? NX_CELL_EMPTY : NX_CELL_WALL;
    UF_TRY(load_kind(p, BALL, NX_CELL_BALL));
    UF_TRY(load_kind(p, DOOR, 0));
    UF_TRY(load_kind(p, GOAL, NX_CELL_GOAL));
    UF_TRY(load_kind(p, KEY, 0));
    UF_TRY(load_kind(p, LAVA, NX_CELL_LAVA));
    UF_TRY(load_kind(p, WALL, NX_CELL_WALL));
    if (r->values[MISSION] && at_start(p, MISSION, 0)[0] >= 0) {
        const double* mission = at_start(p, MISSION, 0);
        UF_TRY(check_place(p, MISSION, mission));
        env->target = (NxObject){(uint8_t)mission[0], (uint8_t)mission[1], *cell_at(p, mission)};
    }
    return UF_OK;
}

// ---- chance ----

// Whether the recorded step that follows ends its episode as a termination.
static bool terminates(const Replay* p) {
    return frame_of(p->recording, STEP_TYPE, p->env, p->frame + 1)[0] == 2;
}

// What each ball tried, from where it lies afterwards. One that stayed may have tried any cell that was closed to it, the
// player's among them, which alone makes a difference: it does where the recorded episode ends for no other reason.
static void tries_of(const Replay* p, int action, int32_t tries[2 * NX_MAX_OBSTACLES]) {
    const Recording* r = p->recording;
    const double* balls = frame_of(r, BALL, p->env, p->frame + 1);
    Replay trial = *p;
    NxEnv* env = &trial.block.env;
    const int count = env->num_obstacles;
    for (int i = 0; i < 2 * count; i++) tries[i] = (int32_t)balls[i];
    NxResult result = nx_navix_step(&r->layout, env, action, tries);
    for (int i = 0; i < count && terminates(p) && !result.terminated; i++) {
        int x = p->block.env.obstacle_x[i], y = p->block.env.obstacle_y[i];
        if (tries[2 * i] != x || tries[2 * i + 1] != y ||
            nx_distance(x, env->x) + nx_distance(y, env->y) != 1)
            continue;
        tries[2 * i] = env->x;
        tries[2 * i + 1] = env->y;
        break;
    }
}

// Whether ball i may have stayed: what it tried was closed. Of the player at (x, y) that is an end.
static bool may_stay(Replay* p, int i, int x, int y) {
    const NxEnv* env = &p->block.env;
    for (int direction = 0; direction < 4; direction++) {
        const int there_x = env->obstacle_x[i] + nx_dx(direction),
                  there_y = env->obstacle_y[i] + nx_dy(direction);
        const NxCell* cell = nx_navix_cell(&p->recording->layout, &p->block.env, there_x, there_y);
        if (!cell || !nx_is(*cell, NX_BIT(NX_EMPTY) | NX_BIT(NX_BALL)) ||
            (there_x == env->obstacle_x[0] && there_y == env->obstacle_y[0]) ||
            (there_x == x && there_y == y && terminates(p)))
            return true;
    }
    return false;
}

// Whether chance can have moved the balls so, the player being at (x, y): a step each, or none.
static bool possible_moves(Replay* p, const int32_t* tries, int x, int y) {
    const NxEnv* env = &p->block.env;
    const double* balls = frame_of(p->recording, BALL, p->env, p->frame + 1);
    for (int i = 0; i < env->num_obstacles; i++) {
        const int steps =
            nx_distance(env->obstacle_x[i], tries[2 * i]) + nx_distance(env->obstacle_y[i], tries[2 * i + 1]);
        const bool stayed = balls[2 * i] == env->obstacle_x[i] && balls[2 * i + 1] == env->obstacle_y[i];
        if (steps > 1 || (stayed && !may_stay(p, i, x, y))) return false;
    }
    return true;
}

// ---- what we have ----

// The door at a place, which a key may cover.
static NxCell door_at(Replay* p, const double* place) {
    NxCell cell = *cell_at(p, place);
    return nx_kind(cell) == NX_KEY ? nx_navix_hidden_at(&p->block.env, (int)place[0], (int)place[1]) : cell;
}

static void our_doors(Replay* p, double* out) {
    const Recording* r = p->recording;
    for (int i = 0; i < r->rows[DOOR]; i++, out += 5) {
        const double* door = at_start(p, DOOR, i);
        NxCell cell = door_at(p, door);
        bool covered = false;  // by a later door in the same place, whose colour the cell has
        for (int k = i + 1; k < r->rows[DOOR]; k++)
            covered |= memcmp(at_start(p, DOOR, k), door, 2 * sizeof *door) == 0;
        memcpy(out, door, 2 * sizeof *out);
        out[2] = nx_kind(cell) == NX_DOOR_LOCKED ? door[2] : -1;
        out[3] = nx_kind(cell) == NX_DOOR_OPEN;
        out[4] = covered ? door[4] : nx_colour(cell);
    }
}

static void our_key(Replay* p, double* out) {
    const NxSpec* spec = &p->recording->layout.spec;
    const NxNavix* navix = &p->block.env.navix;
    NxCell key = navix->pile;
    out[0] = -1;
    out[1] = 0;
    for (int i = 0; i < spec->width * spec->height && !navix->pile; i++) {
        int x = i % spec->width, y = i / spec->width;
        NxCell hidden = nx_navix_hidden_at(&p->block.env, x, y);
        if (nx_kind(p->block.cells[i]) != NX_KEY && nx_kind(hidden) != NX_KEY) continue;
        key = nx_kind(hidden) == NX_KEY ? hidden : p->block.cells[i];
        out[0] = x;
        out[1] = y;
    }
    out[2] = at_start(p, KEY, 0)[2];
    out[3] = nx_colour(key);
}

// Entities that never move: where they were, or (-1, -1) where they are no more.
static void our_kind(Replay* p, int dataset, int kind, double* out) {
    for (int i = 0; i < p->recording->rows[dataset]; i++, out += 2) {
        const double* place = at_start(p, dataset, i);
        NxCell hidden = nx_navix_hidden_at(&p->block.env, (int)place[0], (int)place[1]);
        bool there = nx_kind(*cell_at(p, place)) == kind || nx_kind(hidden) == kind;
        for (int k = 0; k < 2; k++) out[k] = there ? place[k] : -1;
    }
}

static void our_player(Replay* p, double* out) {
    const NxEnv* env = &p->block.env;
    out[0] = env->x;
    out[1] = env->y;
    out[2] = env->direction;
    out[3] = env->navix.pocket && p->recording->rows[KEY] ? at_start(p, KEY, 0)[2] : -1;
}

static void our_base(Replay* p, double* out) {
    const NxLayout* layout = &p->recording->layout;
    for (int y = 0, i = 0; y < layout->spec.height; y++)
        for (int x = 0; x < layout->spec.width; x++, i++)
            out[i] = nx_navix_on_base(layout, x, y, p->block.cells[i]) ? -1 : 0;
}

static void our_view(Replay* p, int dataset, double* out) {
    const NxLayout* layout = &p->recording->layout;
    NxEnv* env = &p->block.env;
    uint8_t bytes[3 * (NX_MAX_VIEW * NX_MAX_VIEW > NX_MAX_CELLS ? NX_MAX_VIEW * NX_MAX_VIEW : NX_MAX_CELLS)];
    int32_t tags[sizeof bytes / 3];
    switch (dataset) {
        case SYMBOLIC: nx_observe_full(layout, env, bytes); break;
        case SYMBOLIC_FP: nx_observe_first_person(layout, env, bytes); break;
        case CATEGORICAL: nx_navix_categorical(layout, env, tags); break;
        default: nx_navix_categorical_first_person(layout, env, tags);
    }
    bool symbolic = dataset == SYMBOLIC || dataset == SYMBOLIC_FP;
    for (int i = 0; i < p->recording->size[dataset]; i++) out[i] = symbolic ? bytes[i] : tags[i];
}

static void our_numbers(Replay* p, int dataset, const NxResult* result, double* out) {
    const NxEnv* env = &p->block.env;
    switch (dataset) {
        case PLAYER: our_player(p, out); break;
        case BASE: our_base(p, out); break;
        case STEP_TYPE: out[0] = result->terminated ? 2 : result->truncated; break;
        case TIME: out[0] = env->step_count; break;
        case REWARD: out[0] = result->reward; break;
        case RETURN: out[0] = env->episode_return; break;
        case DOOR: our_doors(p, out); break;
        case KEY: our_key(p, out); break;
        case GOAL: our_kind(p, GOAL, NX_GOAL, out); break;
        case LAVA: our_kind(p, LAVA, NX_LAVA, out); break;
        case WALL: our_kind(p, WALL, NX_WALL, out); break;
        case BALL:
            for (int i = 0; i < env->num_obstacles; i++) {
                out[2 * i] = env->obstacle_x[i];
                out[2 * i + 1] = env->obstacle_y[i];
            }
            break;
        case MISSION:
            out[0] = env->target.x;
            out[1] = env->target.y;
            out[2] = nx_colour(env->target.cell);
            break;
        default: our_view(p, dataset, out);
    }
}

// ---- replay ----

typedef struct Differences {
    double reward, total;                 // the largest
    int64_t states, observations, moves;  // frames where one is wrong; steps where balls move as none can
    char first[96];
} Differences;

static void compare_dataset(Replay* p, int dataset, const double* ours, Differences* differences) {
    const Recording* r = p->recording;
    const double* recorded = frame_of(r, dataset, p->env, p->frame);
    if (dataset == REWARD || dataset == RETURN) {
        uf_keep_worst(dataset == REWARD ? &differences->reward : &differences->total,
                      fabs(ours[0] - recorded[0]));
        return;
    }
    bool equal = true;
    for (int i = 0; i < r->size[dataset]; i++) equal &= ours[i] == recorded[i];
    if (equal) return;
    bool observed = dataset >= SYMBOLIC && dataset <= CATEGORICAL_FP;
    ++*(observed ? &differences->observations : &differences->states);
    if (!differences->first[0])
        snprintf(differences->first, sizeof differences->first, "'%s', environment %d, frame %d",
                 names[dataset], p->env, p->frame);
}

static void compare_frame(Replay* p, const NxResult* result, Differences* differences) {
    double ours[3 * (NX_MAX_VIEW * NX_MAX_VIEW > NX_MAX_CELLS ? NX_MAX_VIEW * NX_MAX_VIEW : NX_MAX_CELLS) +
                5 * MAX_ENTITIES];
    for (int d = 0; d < NUM_DATASETS; d++) {
        if (!p->recording->values[d]) continue;
        our_numbers(p, d, result, ours);
        compare_dataset(p, d, ours, differences);
    }
}

// One environment, its resets included.
static UfStatus replay_environment(const Recording* r, int env, Differences* differences) {
    Replay p = {.recording = r, .env = env};
    const NxResult nothing = {0, false, false};
    UF_TRY(load_level(&p));
    compare_frame(&p, &nothing, differences);
    for (int step = 0; step < r->num_steps; step++) {
        NxResult result = nothing;
        if (frame_of(r, STEP_TYPE, env, step)[0] > 0) {  // the action counts for nothing
            p.start = step + 1;
            UF_TRY(load_level(&p));
        } else {
            int action = (int)r->actions[(int64_t)env * r->num_steps + step];
            int32_t tries[2 * NX_MAX_OBSTACLES];
            Replay before = p;
            if (r->rows[BALL]) tries_of(&p, action, tries);
            result = nx_navix_step(&r->layout, &p.block.env, action, tries);
            p.block.env.episode_return += result.reward;
            differences->moves += !possible_moves(&before, tries, p.block.env.x, p.block.env.y);
        }
        p.frame = step + 1;
        compare_frame(&p, &result, differences);
    }
    return UF_OK;
}

// A reward is a sum of few float32 terms: 1e-6 is some ten roundings of numbers of the size of 1. A return adds up to
// max_steps of them.
static void report_group(const Recording* r, const char* id, const Differences* differences,
                         UfReport* report) {
    const bool passed = report->passed;
    report->passed = true;
    uf_report_add(report, id, "rewards", differences->reward, 1e-6);
    uf_report_add(report, id, "returns", differences->total, 1e-6 * r->layout.spec.max_steps);
    uf_report_add(report, id, "player, entities, ends (wrong)", (double)differences->states, 0);
    uf_report_add(report, id, "observations (wrong)", (double)differences->observations, 0);
    if (r->rows[BALL])
        uf_report_add(report, id, "moves of balls (impossible)", (double)differences->moves, 0);
    if (differences->first[0]) uf_text_add(&report->text, "    first: %s\n", differences->first);
    report->passed = report->passed && passed;
}

static UfStatus verify_group(const UfH5* h5, const char* id, UfReport* report) {
    Recording r = {.h5 = h5};
    Differences differences = {0};
    snprintf(r.group, sizeof r.group, "navix/%s", id);
    UfStatus status = read_layout(&r, id);
    if (status == UF_OK) status = read_datasets(&r);
    for (int env = 0; env < r.num_envs && status == UF_OK; env++)
        status = replay_environment(&r, env, &differences);
    if (status == UF_OK) report_group(&r, id, &differences, report);
    recording_free(&r);
    return status;
}

UfStatus nx_verify_navix(const UfH5* h5, UfReport* report) {
    char** ids;
    int count;
    UF_TRY(uf_h5_list(h5, "navix", &ids, &count));
    UfStatus status = count ? UF_OK : UF_FAIL(UF_ERR_FORMAT, "%s: '/navix' has no group", h5->path);
    for (int i = 0; i < count && status == UF_OK; i++) status = verify_group(h5, ids[i], report);
    uf_h5_list_free(ids, count);
    return status;
}
