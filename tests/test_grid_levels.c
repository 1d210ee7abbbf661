// test_grid_levels.c: the table of gridworlds, their levels (legal, solvable, distributed as MiniGrid's), their
// missions.
#include "support.h"

#include "core/core.h"
#include "core/data/h5.h"
#include "core/grid/grid_levels.h"
#include "core/grid/grid_table.h"
#include "core/verify/grid_layouts.h"
#include "grid_solver.h"
#include "h5_change.h"
#include "navix.h"

static const char TRACES[] = "../shared/oracle/minigrid_traces.h5";
static const char LAYOUTS[] = "../shared/oracle/minigrid_layouts.h5";
enum { SEED = 20250131 };

// Levels of one id.
typedef struct Maker {
    NxLayout layout;
    NxEnv* env;
    NxBoard board;
} Maker;

static void maker_begin(Maker* m, const NxSpec* spec) {
    nx_lay_out(&m->layout, spec, false);
    m->env = aligned_alloc(64, m->layout.env_bytes);
    assert_non_null(m->env);
    memset(m->env, 0xAB, m->layout.env_bytes);  // a level leaves nothing as it was
    m->board = nx_board(&m->layout, nx_cells(m->env));
}
static void maker_end(Maker* m) { free(m->env); }
static void make(Maker* m, int level) {
    m->env->random = nx_random_begin(SEED, (uint64_t)level);
    nx_generate(&m->layout, m->env);
}
static void show(const Maker* m) {
    const NxSpec* s = &m->layout.spec;
    for (int y = 0; y < s->height; y++) {
        for (int x = 0; x < s->width; x++) {
            const NxCell c = *nx_at(m->board, x, y);
            if (x == m->env->x && y == m->env->y)
                print_error("%c  ", ">v<^"[m->env->direction & 3]);
            else
                print_error("%c%c ", "? #_/DLkobGX????"[nx_kind(c)], "rgbpyG??"[nx_colour(c)]);
        }
        print_error("\n");
    }
}
// Prints the level and fails.
#define check(m, level, condition)                                                                     \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            show(m);                                                                                   \
            fail_msg("%s, seed %d, level %d: not %s", (m)->layout.spec.id, SEED, (level), #condition); \
        }                                                                                              \
    } while (0)

// ---- table ----

static void test_table(void** state) {
    (void)state;
    int minigrid = 0, navix = 0;
    for (int i = 0; i < nx_num_specs; i++) {
        const NxSpec *s = &nx_specs[i], *found;
        navix += s->navix;
        minigrid += !s->navix;
        assert_ok(nx_find_spec(&found, s->id));
        assert_ptr_equal(found, s);  // no id twice
        assert_int_equal(strncmp(s->id, s->navix ? "Navix-" : "MiniGrid-", s->navix ? 6 : 9), 0);
        assert_true(s->width >= 3 && s->height >= 3 && s->width * s->height <= NX_MAX_CELLS &&
                    s->max_steps > 0);
        if (s->navix) assert_int_equal(s->max_steps, 100);
        // the limits of grid_levels.h
        const int most = s->family == NX_FAMILY_DYNAMIC_OBSTACLES ? NX_MAX_OBSTACLES
                         : s->family == NX_FAMILY_PUT_NEAR        ? 4
                         : s->family == NX_FAMILY_MULTI_ROOM      ? 6
                         : s->family == NX_FAMILY_KEY_CORRIDOR    ? 3
                                                                  : 9;
        assert_in_range(s->count, 0, most);
        assert_true(s->family != NX_FAMILY_CROSSING || s->size <= 17);
    }
    assert_int_equal(minigrid, 76 + 8);  // MiniGrid's, NAVIX's sizes by MiniGrid's rules
    assert_int_equal(navix, 47);

    const NxSpec* none;
    assert_int_equal(nx_find_spec(&none, "MiniGrid-DorKey-8x8-v0"), UF_ERR_ARGUMENT);
    assert_null(none);
    assert_error("unknown gridworld 'MiniGrid-DorKey-8x8-v0'; did you mean 'MiniGrid-DoorKey-8x8-v0', '");
    assert_int_equal(nx_find_spec(&none, "LavaGapS7-v0"), UF_ERR_ARGUMENT);
    assert_error("did you mean 'MiniGrid-LavaGapS7-v0'");
    assert_int_equal(nx_find_spec(&none, "Pendulum"), UF_ERR_ARGUMENT);
    assert_error("unknown gridworld 'Pendulum'; `unifloral envs`");
}

static int number_of(const UfH5* h5, const char* id, const char* name) {
    char group[128];
    double value;
    snprintf(group, sizeof group, "minigrid/%s", id);
    assert_ok(uf_h5_read_number(h5, group, name, &value));
    return (int)value;
}

// Rows against the attributes of recorded environments.
static void test_table_recorded(void** state) {
    (void)state;
    UfH5 h5;
    char** ids;
    int count, known = 0;
    if (access(TRACES, R_OK) != 0) {
        print_message("SKIP %s is not here\n", TRACES);
        skip();
    }
    assert_ok(uf_h5_open(&h5, TRACES));
    assert_ok(uf_h5_list(&h5, "minigrid", &ids, &count));
    for (int i = 0; i < count; i++) {
        const NxSpec* s;
        if (strncmp(ids[i], "Sandbox-", 8) == 0) continue;
        assert_ok(nx_find_spec(&s, ids[i]));
        const int recorded[5] = {number_of(&h5, ids[i], "width"), number_of(&h5, ids[i], "height"),
                                 number_of(&h5, ids[i], "default_max_steps"),
                                 number_of(&h5, ids[i], "see_through_walls"),
                                 number_of(&h5, ids[i], "n_obstacles")};
        const int ours[5] = {s->width, s->height, s->max_steps, s->see_through_walls,
                             s->family == NX_FAMILY_DYNAMIC_OBSTACLES ? s->count : 0};
        for (int k = 0; k < 5; k++)
            if (recorded[k] != ours[k])
                fail_msg("%s, number %d: %d, recorded %d", ids[i], k, ours[k], recorded[k]);
        known++;
    }
    assert_int_equal(known, 76);
    uf_h5_list_free(ids, count);
    uf_h5_close(&h5);
}

// ---- legal levels ----

static int count_kind(const Maker* m, int kind) {
    int count = 0;
    for (int i = 0; i < m->board.width * m->board.height; i++) count += nx_kind(m->board.cells[i]) == kind;
    return count;
}
static bool is_cell(NxCell c) {
    const int kind = nx_kind(c), colour = nx_colour(c);
    if (c & 0x80 || colour >= NX_NUM_COLOURS) return false;
    switch (kind) {
        case NX_EMPTY: return c == NX_CELL_EMPTY;
        case NX_WALL: return c == NX_CELL_WALL;
        case NX_GOAL: return c == NX_CELL_GOAL;
        case NX_LAVA: return c == NX_CELL_LAVA;
        case NX_DOOR_CLOSED:
        case NX_DOOR_LOCKED:
        case NX_KEY:
        case NX_BALL:
        case NX_BOX: return true;
        default: return false;  // no level begins with an open door or a coloured tile
    }
}
static bool holds(const Maker* m, NxObject o) {
    return o.x < m->board.width && o.y < m->board.height && *nx_at(m->board, o.x, o.y) == o.cell;
}

// What can be reached through everything but walls (and doors, where opening one ends the episode) does not touch
// the border.
static bool is_enclosed(const Maker* m) {
    static int queue[NX_MAX_CELLS];
    static bool seen[NX_MAX_CELLS];
    const int width = m->board.width, height = m->board.height;
    unsigned shut = NX_BIT(NX_WALL);
    if (m->layout.spec.family == NX_FAMILY_GO_TO_DOOR) shut |= NX_BIT(NX_DOOR_CLOSED);
    int head = 0, count = 1;
    memset(seen, 0, sizeof seen);
    queue[0] = m->env->y * width + m->env->x;
    seen[queue[0]] = true;
    while (head < count) {
        const int c = queue[head++], x = c % width, y = c / width;
        if (x == 0 || y == 0 || x == width - 1 || y == height - 1) return false;
        for (int d = 0; d < 4; d++) {
            const int next = c + nx_dx(d) + nx_dy(d) * width;
            if (seen[next] || nx_is(m->board.cells[next], shut)) continue;
            seen[next] = true;
            queue[count++] = next;
        }
    }
    return true;
}

// Locked doors have a key of their colour somewhere, in a box or not.
static bool has_keys(Maker* m) {
    const NxCell* contents = nx_contents(&m->layout, m->env);
    const int cells = m->board.width * m->board.height;
    for (int i = 0; i < cells; i++) {
        if (nx_kind(m->board.cells[i]) != NX_DOOR_LOCKED) continue;
        const NxCell key = NX_CELL(NX_KEY, nx_colour(m->board.cells[i]));
        bool found = false;
        for (int k = 0; k < cells && !found; k++)
            found = m->board.cells[k] == key ||
                    (contents && nx_kind(m->board.cells[k]) == NX_BOX && contents[k] == key);
        if (!found) return false;
    }
    return true;
}

// How many goals, doors (closed, locked), keys, balls, boxes there are; -1: varies.
typedef struct Numbers {
    int goals, closed, locked, keys, balls, boxes;
} Numbers;
static Numbers expected_numbers(const NxSpec* s) {
    const int variant = s->variant;
    switch (s->family) {
        case NX_FAMILY_DOOR_KEY: return (Numbers){1, 0, 1, 1, 0, 0};
        case NX_FAMILY_DYNAMIC_OBSTACLES: return (Numbers){1, 0, 0, 0, s->count, 0};
        case NX_FAMILY_GO_TO_DOOR: return (Numbers){0, 4, 0, 0, 0, 0};
        case NX_FAMILY_GO_TO_OBJECT:
        case NX_FAMILY_PUT_NEAR: return (Numbers){0, 0, 0, -1, -1, -1};
        case NX_FAMILY_FETCH: return (Numbers){0, 0, 0, -1, -1, 0};
        case NX_FAMILY_KEY_CORRIDOR: return (Numbers){0, -1, 1, 1, 1, 0};
        case NX_FAMILY_UNLOCK: return (Numbers){0, 0, 1, 1, 0, 0};
        case NX_FAMILY_UNLOCK_PICKUP: return (Numbers){0, 0, 1, 1, 0, 1};
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP: return (Numbers){0, 0, 1, 1, 1, 1};
        case NX_FAMILY_OBSTRUCTED_MAZE: {
            const int locked = s->count ? 2 * s->count : 1;
            const bool boxes = variant & NX_VARIANT_BOXES, blocked = variant & NX_VARIANT_BLOCKED;
            const bool lost =
                blocked && s->count && !(variant & NX_VARIANT_KEYS_LAST);  // a ball took a key's place
            return (Numbers){
                0, s->count, locked, boxes ? 0 : locked, 1 + blocked * locked, lost ? -1 : boxes * locked};
        }
        case NX_FAMILY_LOCKED_ROOM: return (Numbers){1, 5, 1, 1, 0, 0};
        case NX_FAMILY_MEMORY: return (Numbers){0, 0, 0, -1, -1, 0};
        case NX_FAMILY_MULTI_ROOM: return (Numbers){1, s->count - 1, 0, 0, 0, 0};
        case NX_FAMILY_RED_BLUE_DOORS: return (Numbers){0, 2, 0, 0, 0, 0};
        case NX_FAMILY_PLAYGROUND: return (Numbers){0, 12, 0, -1, -1, -1};
        default: return (Numbers){1, 0, 0, 0, 0, 0};
    }
}

static int apart(int a, int b) { return a < b ? b - a : a - b; }

// Doors in the walls of the room that holds a cell.
static int doors_around(const Maker* m, NxObject inside) {
    const int pitch = m->layout.spec.size - 1, x0 = inside.x / pitch * pitch, y0 = inside.y / pitch * pitch;
    int doors = 0;
    for (int y = y0; y <= y0 + pitch; y++)
        for (int x = x0; x <= x0 + pitch; x++)
            doors += nx_is(*nx_at(m->board, x, y), NX_BIT(NX_DOOR_CLOSED) | NX_BIT(NX_DOOR_LOCKED));
    return doors;
}

static void check_level(Maker* m, int level) {
    const NxSpec* s = &m->layout.spec;
    const NxEnv* e = m->env;
    const NxCell* contents = nx_contents(&m->layout, m->env);
    const int cells = s->width * s->height;
    for (int i = 0; i < cells; i++) {
        check(m, level, is_cell(m->board.cells[i]));
        if (!contents) continue;
        const bool boxed = nx_kind(m->board.cells[i]) == NX_BOX;
        check(m, level, contents[i] == NX_CELL_EMPTY || (boxed && nx_kind(contents[i]) == NX_KEY));
        check(m, level, !boxed || contents[i] != NX_CELL_EMPTY);
    }
    check(m, level, e->x < s->width && e->y < s->height && e->direction < 4);
    check(m, level, *nx_at(m->board, e->x, e->y) == NX_CELL_EMPTY);
    check(m, level, is_enclosed(m));
    check(m, level,
          e->step_count == 0 && e->max_steps == s->max_steps && e->episode_return == 0 && !e->ended);
    check(m, level, e->carrying == NX_CELL_EMPTY && e->carrying_contents == NX_CELL_EMPTY);
    const Numbers n = expected_numbers(s);
    check(m, level, count_kind(m, NX_GOAL) == n.goals);
    check(m, level, n.closed < 0 || count_kind(m, NX_DOOR_CLOSED) == n.closed);
    check(m, level, count_kind(m, NX_DOOR_LOCKED) == n.locked);
    check(m, level, n.keys < 0 || count_kind(m, NX_KEY) == n.keys);
    check(m, level, n.balls < 0 || count_kind(m, NX_BALL) == n.balls);
    check(m, level, n.boxes < 0 || count_kind(m, NX_BOX) == n.boxes);
    const bool loses_keys = s->family == NX_FAMILY_OBSTRUCTED_MAZE && n.boxes < 0;
    check(m, level, loses_keys || has_keys(m));
    check(m, level, e->num_obstacles == (s->family == NX_FAMILY_DYNAMIC_OBSTACLES ? s->count : 0));
    for (int i = 0; i < e->num_obstacles; i++)
        check(m, level, *nx_at(m->board, e->obstacle_x[i], e->obstacle_y[i]) == NX_CELL(NX_BALL, NX_BLUE));

    const int objects = count_kind(m, NX_KEY) + count_kind(m, NX_BALL) + count_kind(m, NX_BOX);
    switch (s->family) {
        case NX_FAMILY_PUT_NEAR:
            check(m, level, objects == s->count && holds(m, e->target) && holds(m, e->aux));
            check(m, level, apart(e->target.x, e->aux.x) > 1 || apart(e->target.y, e->aux.y) > 1);
            break;
        case NX_FAMILY_FETCH:
            check(m, level,
                  objects == s->count && e->target.x == NX_NOWHERE && e->mission < NX_NUM_FETCH_MISSIONS);
            break;
        case NX_FAMILY_GO_TO_OBJECT: check(m, level, objects == s->count && holds(m, e->target)); break;
        case NX_FAMILY_MEMORY: {
            check(m, level, objects == 3 && e->target.x == e->aux.x && e->target.x != NX_NOWHERE);
            const int side = e->target.y < e->aux.y ? -1 : 1;  // the object is beyond the cell
            check(
                m, level,
                *nx_at(m->board, e->target.x, e->target.y + side) == *nx_at(m->board, 1, s->height / 2 - 1));
            check(m, level,
                  *nx_at(m->board, e->aux.x, e->aux.y - side) != *nx_at(m->board, 1, s->height / 2 - 1));
            break;
        }
        case NX_FAMILY_PLAYGROUND: check(m, level, objects == 12); break;
        case NX_FAMILY_RED_BLUE_DOORS: check(m, level, holds(m, e->target) && holds(m, e->aux)); break;
        case NX_FAMILY_GO_TO_DOOR: check(m, level, holds(m, e->target)); break;
        case NX_FAMILY_KEY_CORRIDOR:  // the ball's room has the locked door alone
            check(m, level, holds(m, e->target) && doors_around(m, e->target) == 1);
            break;
        case NX_FAMILY_UNLOCK:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE: {
            const NxCell front = *nx_at(m->board, e->x + nx_dx(e->direction), e->y + nx_dy(e->direction));
            check(m, level, holds(m, e->target));
            check(m, level, front == NX_CELL_EMPTY || front == NX_CELL_WALL);
            // in the right one of two rooms nothing is put at or beside the middle
            const bool beside = apart(e->target.x, 8) + apart(e->target.y, 3) < 2;
            check(m, level, s->width > 11 || s->family == NX_FAMILY_UNLOCK || !beside);
            break;
        }
        default: check(m, level, e->target.cell == NX_UNSEEN && e->target.x == NX_NOWHERE); break;
    }
}

// Also: what is in a wall's place, where mostly a wall is, comes up in 5 % of the levels at least, which is what lets
// grid_layouts.c conclude from a few hundred levels that a cell is always a wall.
static void test_legal(void** state) {
    enum { LEVELS = 3000 };
    (void)state;
    double rarest = 1;
    const char* where = "";
    for (int i = 0; i < nx_num_specs; i++) {
        Maker m;
        static int walls[NX_MAX_CELLS];
        if (nx_specs[i].navix) continue;
        memset(walls, 0, sizeof walls);
        maker_begin(&m, &nx_specs[i]);
        for (int level = 0; level < LEVELS; level++) {
            make(&m, level);
            check_level(&m, level);
            for (int c = 0; c < m.board.width * m.board.height; c++)
                walls[c] += nx_kind(m.board.cells[c]) == NX_WALL;
        }
        for (int c = 0; c < m.board.width * m.board.height; c++) {
            const double opening = 1 - walls[c] / (double)LEVELS;
            if (opening == 0 || opening > 0.5 || opening >= rarest) continue;
            rarest = opening;
            where = nx_specs[i].id;
        }
        maker_end(&m);
    }
    if (rarest < 0.05) fail_msg("%s: something else than a wall in %g of the levels", where, rarest);
    print_message("the rarest thing in a wall's place: %.3f of the levels, %s\n", rarest, where);
}

// The same seed makes the same level, whatever was there before; another one another.
static void test_function_of_seed(void** state) {
    (void)state;
    for (int i = 0; i < nx_num_specs; i++) {
        Maker a, b;
        if (nx_specs[i].navix) continue;
        maker_begin(&a, &nx_specs[i]);
        maker_begin(&b, &nx_specs[i]);
        bool differs = false;
        for (int level = 0; level < 50; level++) {
            make(&a, level);
            make(&b, 1000 + level);
            const size_t cells = (size_t)(a.board.width * a.board.height);
            differs |= memcmp(a.board.cells, b.board.cells, cells) != 0 || a.env->x != b.env->x ||
                       a.env->y != b.env->y || a.env->direction != b.env->direction;
            make(&b, level);
            check(&a, level, memcmp(a.board.cells, b.board.cells, cells) == 0);
            b.env->num_obstacles = a.env->num_obstacles;
            check(&a, level, memcmp(a.env, b.env, offsetof(NxEnv, obstacle_x)) == 0);
            if (a.layout.contents_offset)
                check(&a, level,
                      memcmp(nx_contents(&a.layout, a.env), nx_contents(&b.layout, b.env), cells) == 0);
        }
        const bool fixed = (nx_specs[i].family == NX_FAMILY_EMPTY && !nx_specs[i].random_start) ||
                           nx_specs[i].family == NX_FAMILY_DIST_SHIFT;
        if (differs == fixed)
            fail_msg("%s: levels %s", nx_specs[i].id, fixed ? "differ" : "are all the same");
        maker_end(&a);
        maker_end(&b);
    }
}

// Level i of a batch is that of (seed, i): for any number of environments and threads.
static void test_batches(void** state) {
    (void)state;
    static uint8_t grid[2][3 * NX_MAX_CELLS];
    const char* const ids[] = {"MiniGrid-MultiRoom-N6-v0", "MiniGrid-KeyCorridorS4R3-v0",
                               "MiniGrid-Fetch-8x8-N3-v0", "MiniGrid-DoorKey-8x8-v0",
                               "MiniGrid-ObstructedMaze-Full-v1"};
    for (size_t k = 0; k < sizeof ids / sizeof ids[0]; k++) {
        NxBatch *small, *large;
        NxOptions options;
        Maker m;
        const NxSpec* spec;
        nx_default_options(&options);
        options.num_threads = 1;
        assert_ok(nx_create(&small, ids[k], 3, SEED, &options));
        options.num_threads = 2;
        assert_ok(nx_create(&large, ids[k], 1000, SEED, &options));
        assert_ok(nx_find_spec(&spec, ids[k]));
        maker_begin(&m, spec);
        for (int episode = 0; episode < 2; episode++) {
            for (int i = 0; i < 3; i++) {
                NxState a = {.grid = grid[0]}, b = {.grid = grid[1]};
                assert_ok(nx_get_state(small, i, &a));
                assert_ok(nx_get_state(large, i, &b));
                const size_t bytes = (size_t)(3 * spec->width * spec->height);
                if (memcmp(grid[0], grid[1], bytes) != 0 || a.x != b.x || a.y != b.y ||
                    a.direction != b.direction || memcmp(a.target, b.target, sizeof a.target) != 0 ||
                    a.mission != b.mission)
                    fail_msg("%s, seed %d, environment %d, episode %d: batches of 3 and 1000 differ", ids[k],
                             SEED, i, episode);
                make(&m, i);
                for (int c = 0; episode == 0 && c < spec->width * spec->height; c++)
                    assert_int_equal(nx_type(m.board.cells[c]), grid[0][3 * c]);
            }
            assert_ok(nx_reset(small, &(NxOutput){0}));
            assert_ok(nx_reset(large, &(NxOutput){0}));
        }
        maker_end(&m);
        nx_free(small);
        nx_free(large);
    }
}

// ---- missions ----

static void test_missions(void** state) {
    (void)state;
    const struct {
        const char *id, *text;
    } fixed[] = {{"MiniGrid-FourRooms-9x9-v0", "reach the goal"},
                 {"MiniGrid-Playground-v0", ""},
                 {"MiniGrid-LavaCrossingS9N2-v0", "avoid the lava and get to the green goal square"},
                 {"MiniGrid-SimpleCrossingS9N2-v0", "find the opening and get to the green goal square"},
                 {"MiniGrid-ObstructedMaze-2Q-v1", "pick up the blue ball"}};
    char text[128], expected[128];
    Maker m;
    const NxSpec* s;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        assert_ok(nx_find_spec(&s, fixed[i].id));
        maker_begin(&m, s);
        make(&m, 0);
        nx_mission_text(&m.layout, m.env, text);
        assert_string_equal(text, fixed[i].text);
        maker_end(&m);
    }
    // Fetch words its in five ways
    unsigned wordings = 0;
    assert_ok(nx_find_spec(&s, "MiniGrid-Fetch-6x6-N2-v0"));
    maker_begin(&m, s);
    for (int level = 0; level < 200; level++) {
        make(&m, level);
        nx_mission_text(&m.layout, m.env, text);
        const char* what = strrchr(text, ' ') + 1;
        assert_string_equal(what, nx_kind(m.env->target.cell) == NX_KEY ? "key" : "ball");
        wordings |= 1u << m.env->mission;
    }
    assert_int_equal(wordings, 31);
    maker_end(&m);
    // LockedRoom: from the grid, as long as the key is there
    assert_ok(nx_find_spec(&s, "MiniGrid-LockedRoom-v0"));
    maker_begin(&m, s);
    for (int level = 0; level < 200; level++) {
        make(&m, level);
        nx_mission_text(&m.layout, m.env, expected);
        const int mission = m.env->mission;
        m.env->mission = 0;
        nx_recall_mission(&m.layout, m.env);
        nx_mission_text(&m.layout, m.env, text);
        check(&m, level, mission == m.env->mission && mission % 8 != mission / 8);
        assert_string_equal(text, expected);
    }
    maker_end(&m);
}

// ---- solvable levels ----

// Replays a plan on the level as it was: exactly its last step ends the episode, with a reward.
static void replay(Maker* m, int level, const Plan* p) {
    for (int i = 0; i < p->num_steps; i++) {
        const NxResult r = nx_step_env(&m->layout, m->env, p->steps[i], NULL);
        const bool last = i + 1 == p->num_steps;
        check(m, level, r.terminated == last && (last ? r.reward > 0 : r.reward == 0));
        check(m, level, last || !r.truncated);
    }
}

// Whether MiniGrid makes such a level too: a wrong object in every way (Fetch, PutNear), a key lost under a ball
// (ObstructedMaze v0), a door that is to be approached shut in by objects.
static bool may_be_unsolvable(const NxSpec* s) {
    switch (s->family) {
        case NX_FAMILY_FETCH:
        case NX_FAMILY_PUT_NEAR: return s->count > 2;
        case NX_FAMILY_OBSTRUCTED_MAZE:
            return s->count && s->variant & NX_VARIANT_BLOCKED && !(s->variant & NX_VARIANT_KEYS_LAST);
        default: return false;
    }
}
static bool is_proved_unsolvable(const Plan* start) {
    const NxSpec* s = &start->layout->spec;
    if (s->family != NX_FAMILY_OBSTRUCTED_MAZE)
        return true;  // their searches leave nothing out: see grid_solver.h
    Relaxed r;
    relax(start, &r);
    return r.round[object_cell(start, start->env->target)] == UNREACHED;
}

static void test_solvable(void** state) {
    enum { LEVELS = 1000 };
    (void)state;
    static Plan plan, start;
    for (int i = 0; i < nx_num_specs; i++) {
        const NxSpec* s = &nx_specs[i];
        Maker m;
        if (s->navix || s->family == NX_FAMILY_PLAYGROUND) continue;
        int unsolvable = 0, late = 0, steps = 0, longest = 0;
        maker_begin(&m, s);
        for (int level = 0; level < LEVELS; level++) {
            make(&m, level);
            plan_begin(&plan, &m.layout, m.env);
            plan_begin(&start, &m.layout, m.env);
            solve(&plan);
            if (plan.ended && plan.reward > 0) {
                replay(&m, level, &plan);
                steps += plan.num_steps;
                if (plan.num_steps > longest) longest = plan.num_steps;
            } else if (s->family == NX_FAMILY_DYNAMIC_OBSTACLES) {
                check(&m, level, plan.num_steps == s->max_steps);  // balls in the way for all of the time
                late++;
            } else {
                unsolvable++;
                check(&m, level, may_be_unsolvable(s) && !plan.ended);
                check(&m, level, is_proved_unsolvable(&start));
            }
            plan_free(&plan);
            plan_free(&start);
        }
        print_message("%-40s %6.1f steps on average, %d at most of %d", s->id,
                      steps / (double)(LEVELS - unsolvable - late), longest, s->max_steps);
        if (unsolvable) print_message(", %d of %d levels unsolvable", unsolvable, LEVELS);
        if (late) print_message(", %d not in time", late);
        print_message("\n");
        maker_end(&m);
    }
}

// ---- distributions ----

// A recording of our own: `levels` levels of each id, made by `generate` from other seeds than those it is compared
// with.
static const char* record(const char* name, const char* const* ids, int levels, NxGenerator* generate,
                          uint64_t seed) {
    static int64_t kind[NX_MAX_CELLS * NX_NUM_TYPES], agent[NX_MAX_CELLS * 4],
        colour[NX_NUM_TYPES * NX_NUM_COLOURS], door[3];
    const char* path = in_folder(name);
    UfH5 h5;
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "minigrid-layouts"));
    for (; *ids; ids++) {
        const NxSpec* s;
        Maker m;
        char set[128];
        assert_ok(nx_find_spec(&s, *ids));
        memset(kind, 0, sizeof kind);
        memset(agent, 0, sizeof agent);
        memset(colour, 0, sizeof colour);
        memset(door, 0, sizeof door);
        maker_begin(&m, s);
        for (int level = 0; level < levels; level++) {
            m.env->random = nx_random_begin(seed, (uint64_t)level);
            generate(&m.layout, m.env);
            for (int c = 0; c < s->width * s->height; c++) {
                const NxCell cell = m.board.cells[c];
                kind[c * NX_NUM_TYPES + nx_type(cell)]++;
                colour[nx_type(cell) * NX_NUM_COLOURS + nx_colour(cell)]++;
                if (nx_type(cell) == 4) door[nx_door_state(cell)]++;
            }
            agent[(m.env->y * s->width + m.env->x) * 4 + m.env->direction]++;
        }
        maker_end(&m);
#define PUT(what, rank, ...)                              \
    snprintf(set, sizeof set, "layouts/%s/" #what, *ids); \
    assert_ok(uf_h5_write(&h5, set, UF_H5_INT64, what, rank, (int64_t[]){__VA_ARGS__}, 1, false))
        PUT(kind, 3, s->height, s->width, NX_NUM_TYPES);
        PUT(agent, 3, s->height, s->width, 4);
        PUT(colour, 2, NX_NUM_TYPES, NX_NUM_COLOURS);
        PUT(door, 1, 3);
        snprintf(set, sizeof set, "layouts/%s", *ids);
        assert_ok(uf_h5_write_integer(&h5, set, "n", levels));
    }
    assert_ok(uf_h5_close(&h5));
    return path;
}
static void right(const NxLayout* layout, NxEnv* env) { nx_generate(layout, env); }

static bool passes(const char* path, NxGenerator* generate, char** report) {
    bool passed;
    assert_ok(nx_verify_layouts_of(path, generate, report, &passed));
    return passed;
}

// Faults. Each makes the level first, then does one thing wrong.
static NxCell* door_of_kind(const NxLayout* layout, NxEnv* env, int kind) {
    for (int c = 0; c < layout->spec.width * layout->spec.height; c++)
        if (nx_kind(nx_cells(env)[c]) == kind) return &nx_cells(env)[c];
    return NULL;
}
static void door_one_too_low(const NxLayout* layout, NxEnv* env) {  // rows 1..H-2
    nx_generate(layout, env);
    NxCell *door = door_of_kind(layout, env, NX_DOOR_LOCKED), kept = *door;
    *door = NX_CELL_WALL;
    const int x = (int)(door - nx_cells(env)) % layout->spec.width;
    nx_cells(env)[nx_between(env, 1, layout->spec.height - 2) * layout->spec.width + x] = kept;
}
static void three_directions(const NxLayout* layout, NxEnv* env) {
    nx_generate(layout, env);
    env->direction = (uint8_t)nx_between(env, 0, 2);
}
static void east_more_often(const NxLayout* layout, NxEnv* env) {  // 3/8 instead of 1/4
    nx_generate(layout, env);
    if (nx_between(env, 0, 5) == 0) env->direction = 0;
}
static void no_grey(const NxLayout* layout, NxEnv* env) {
    nx_generate(layout, env);
    for (int c = 0; c < layout->spec.width * layout->spec.height; c++) {
        NxCell* cell = &nx_cells(env)[c];
        if (nx_colour(*cell) == NX_GREY && *cell != NX_CELL_WALL) *cell = NX_CELL(nx_kind(*cell), NX_RED);
    }
}
static void last_column_unused(const NxLayout* layout, NxEnv* env) {  // by the agent: an upper end off by one
    do nx_generate(layout, env);
    while (env->x == layout->spec.width - 2);
}
static void a_ball_less(const NxLayout* layout, NxEnv* env) {
    nx_generate(layout, env);
    *door_of_kind(layout, env, NX_BALL) = NX_CELL_EMPTY;
}
static void a_wall_less(const NxLayout* layout, NxEnv* env) {  // once in 500 levels
    nx_generate(layout, env);
    if (nx_between(env, 0, 499) == 0) nx_cells(env)[layout->spec.width / 2] = NX_CELL_EMPTY;
}
static void keys_under_balls(const NxLayout* layout, NxEnv* env) {  // v0's order
    NxLayout other = *layout;
    other.spec.variant &= ~NX_VARIANT_KEYS_LAST;
    nx_generate(&other, env);
}
static void larger_rooms(const NxLayout* layout, NxEnv* env) {
    NxLayout other = *layout;
    other.spec.size++;
    nx_generate(&other, env);
}
static void a_room_less(const NxLayout* layout, NxEnv* env) {
    NxLayout other = *layout;
    other.spec.count--;
    nx_generate(&other, env);
}
static void wrong_strip(const NxLayout* layout, NxEnv* env) {
    nx_generate(layout, env);
    nx_row(nx_board(layout, nx_cells(env)), 3, layout->spec.variant, 3, NX_CELL_EMPTY);
    nx_row(nx_board(layout, nx_cells(env)), 3, layout->spec.variant + 1, 3, NX_CELL_LAVA);
}
static void never_the_last_room(const NxLayout* layout, NxEnv* env) {  // locked: 5 of 6
    do nx_generate(layout, env);
    while (*nx_at(nx_board(layout, nx_cells(env)), 11, 15) == NX_CELL(NX_DOOR_LOCKED, env->mission % 8));
}
static void no_openings_at_the_border(const NxLayout* layout, NxEnv* env) {  // from row 2 on
    const int w = layout->spec.width;
    bool has_any;
    do {
        nx_generate(layout, env);
        has_any = false;
        for (const NxCell* column = nx_cells(env) + 2; column < nx_cells(env) + w - 2; column += 2)
            has_any |=
                column[w] == NX_CELL_EMPTY && column[2 * w] == NX_CELL_LAVA && column[3 * w] == NX_CELL_LAVA;
    } while (has_any);
}

static void test_distributions(void** state) {
    (void)state;
    const struct {
        const char *id, *fault;
        NxGenerator* generate;
    } faults[] = {
        {"MiniGrid-DoorKey-16x16-v0", "door one too low", door_one_too_low},
        {"MiniGrid-DoorKey-8x8-v0", "door one too low", door_one_too_low},
        {"MiniGrid-Fetch-8x8-N3-v0", "three directions", three_directions},
        {"MiniGrid-RedBlueDoors-8x8-v0", "east more often", east_more_often},
        {"MiniGrid-GoToDoor-6x6-v0", "no grey", no_grey},
        {"MiniGrid-Playground-v0", "no grey", no_grey},
        {"MiniGrid-UnlockPickup-v0", "no grey", no_grey},
        {"MiniGrid-FourRooms-v0", "last column unused", last_column_unused},
        {"MiniGrid-Empty-Random-16x16-v0", "last column unused", last_column_unused},
        {"MiniGrid-Dynamic-Obstacles-16x16-v0", "a ball less", a_ball_less},
        {"MiniGrid-BlockedUnlockPickup-v0", "a ball less", a_ball_less},
        {"MiniGrid-KeyCorridorS4R3-v0", "a wall less", a_wall_less},
        {"MiniGrid-Empty-8x8-v0", "a wall less", a_wall_less},
        {"MiniGrid-ObstructedMaze-2Dlhb-v1", "keys under balls", keys_under_balls},
        {"MiniGrid-ObstructedMaze-Full-v1", "keys under balls", keys_under_balls},
        {"MiniGrid-MultiRoom-N4-S5-v1", "larger rooms", larger_rooms},
        {"MiniGrid-GoToDoor-5x5-v0", "larger rooms", larger_rooms},
        {"MiniGrid-MultiRoom-N6-v0", "a room less", a_room_less},
        {"MiniGrid-SimpleCrossingS9N3-v0", "a river less", a_room_less},
        {"MiniGrid-DistShift1-v0", "wrong strip", wrong_strip},
        {"MiniGrid-LockedRoom-v0", "never the last room", never_the_last_room},
        {"MiniGrid-LavaCrossingS11N5-v0", "no openings at the border", no_openings_at_the_border},
    };
    enum { FAULTS = sizeof faults / sizeof faults[0], RECORDED = 600 };
    const char* all[FAULTS + 1] = {NULL};
    int count = 0;
    for (int i = 0; i < FAULTS; i++) {
        char* report;
        const char* path = record("faulty.h5", (const char*[]){faults[i].id, NULL}, RECORDED, right, 77);
        if (passes(path, faults[i].generate, &report))
            fail_msg("%s: '%s' is not noticed\n%s", faults[i].id, faults[i].fault, report);
        assert_non_null(strstr(report, "FAIL\n  "));
        assert_non_null(strstr(report, " recorded, "));
        uf_free(report);
        // the other way round: a recording of wrong levels
        path = record("faulty.h5", (const char*[]){faults[i].id, NULL}, RECORDED, faults[i].generate, 77);
        const bool rare = faults[i].generate == a_wall_less;  // 600 levels have one of them or none
        if (!rare && passes(path, right, &report))
            fail_msg("%s: '%s' in the recording is not noticed\n%s", faults[i].id, faults[i].fault, report);
        if (!rare) uf_free(report);
        bool known = false;
        for (int k = 0; k < count; k++) known |= strcmp(all[k], faults[i].id) == 0;
        if (!known) all[count++] = faults[i].id;
    }
    // what is right passes, with few levels as with many
    for (int k = 0; k < 2; k++) {
        char* report;
        const char* path = record("right.h5", all, k % 2 ? 600 : 40, right, 100 + (uint64_t)k);
        if (!passes(path, right, &report)) fail_msg("seed %d: right levels fail\n%s", 100 + k, report);
        assert_null(strstr(report, "FAIL"));
        uf_free(report);
    }
}

// As `unifloral verify` has it.
static void test_recorded_layouts(void** state) {
    (void)state;
    char* report;
    bool passed;
    if (access(LAYOUTS, R_OK) != 0) {
        print_message("SKIP %s is not here\n", LAYOUTS);
        skip();
    }
    assert_ok(nx_verify_layouts(LAYOUTS, &report, &passed));
    if (!passed) fail_msg("%s", report);
    uf_free(report);
}

static void refuse(const char* path, const char* sentence) {
    char* report = NULL;
    bool passed = true;
    assert_int_equal(nx_verify_layouts(path, &report, &passed), UF_ERR_FORMAT);
    assert_false(passed);
    assert_null(report);
    assert_error(sentence);
    assert_error(path);
}

static void test_bad_recordings(void** state) {
    (void)state;
    const char* const ids[] = {"MiniGrid-Empty-5x5-v0", "MiniGrid-Unlock-v0", NULL};
    UfH5 h5;
    const char* path = record("bad.h5", ids, 50, right, 1);
#define CHANGE(what)                                           \
    do {                                                       \
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT); \
        assert_true(file >= 0);                                \
        what;                                                  \
        H5Fclose(file);                                        \
    } while (0)
    CHANGE(alter(file, "layouts/MiniGrid-Unlock-v0/kind", 14 * 11 + 2, 1));  // cell (3, 1), walls
    refuse(path, "'layouts/MiniGrid-Unlock-v0' has 51 kinds at cell (3, 1) in 50 levels");
    CHANGE(alter(file, "layouts/MiniGrid-Unlock-v0/kind", 14 * 11 + 2, -2));
    refuse(path, "dataset 'layouts/MiniGrid-Unlock-v0/kind' has the count -1");
    CHANGE(alter(file, "layouts/MiniGrid-Unlock-v0/kind", 14 * 11 + 2, 1));
    CHANGE(alter(file, "layouts/MiniGrid-Unlock-v0/agent", 0, 1));
    refuse(path, "'layouts/MiniGrid-Unlock-v0' has 51 agents in 50 levels");
    CHANGE(H5Ldelete(file, "layouts/MiniGrid-Unlock-v0/agent", H5P_DEFAULT));
    refuse(path, "layouts/MiniGrid-Unlock-v0/agent");
    CHANGE(H5Lmove(file, "layouts/MiniGrid-Empty-5x5-v0/kind", file, "layouts/MiniGrid-Unlock-v0/agent",
                   H5P_DEFAULT, H5P_DEFAULT));
    refuse(path, "layouts/MiniGrid-Empty-5x5-v0/kind");
    CHANGE(H5Ldelete(file, "layouts/MiniGrid-Empty-5x5-v0", H5P_DEFAULT));
    refuse(path, "dataset 'layouts/MiniGrid-Unlock-v0/agent' is not of 6 by 11 by 4 integers");
    CHANGE(H5Adelete_by_name(file, "layouts/MiniGrid-Unlock-v0", "n", H5P_DEFAULT));
    refuse(path, "'n'");
    CHANGE(H5Lmove(file, "layouts/MiniGrid-Unlock-v0", file, "layouts/MiniGrid-Unlok-v0", H5P_DEFAULT,
                   H5P_DEFAULT));
    refuse(path, "unknown gridworld 'MiniGrid-Unlok-v0'; did you mean 'MiniGrid-Unlock-v0'");
    CHANGE(H5Ldelete(file, "layouts/MiniGrid-Unlok-v0", H5P_DEFAULT));
    refuse(path, "group 'layouts' is empty");
    path = in_folder("none.h5");
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_close(&h5));
    refuse(path, "layouts");

    // counts that add up but are wrong are a verdict
    char* report;
    bool passed;
    path = record("moved.h5", ids, 50, right, 1);
    CHANGE(alter(file, "layouts/MiniGrid-Unlock-v0/kind", 2 * 11 + 2, -1);
           alter(file, "layouts/MiniGrid-Unlock-v0/kind", 2 * 11 + 1, 1));
    assert_ok(nx_verify_layouts(path, &report, &passed));
    assert_false(passed);
    assert_non_null(strstr(report, "type 2 at (2, 0): 49 recorded, 50 expected"));
    uf_free(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_recorded),
        cmocka_unit_test(test_legal),
        cmocka_unit_test(test_function_of_seed),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_missions),
        cmocka_unit_test(test_solvable),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_recorded_layouts),
        cmocka_unit_test(test_bad_recordings),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
