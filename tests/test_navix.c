// test_navix.c: MiniGrid's rules, views and batches against the specification, each other and recorded episodes.
// tests/data/minigrid_traces.h5 holds some episodes of ../shared/oracle/minigrid_traces.h5 (tests/tools/shorten_traces.py).
#include "support.h"
#include "h5_change.h"

#include <limits.h>
#include <math.h>

#include "core/data/h5.h"
#include "core/grid/grid_observe.h"
#include "core/grid/grid_step.h"
#include "core/grid/grid_table.h"
#include "core/grid/grid_view.h"
#include "core/verify/verify.h"
#include "navix.h"

#define TRACES "tests/data/minigrid_traces.h5"
enum { EMPTY = 1, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA };  // MiniGrid's types
enum { EAST, SOUTH, WEST, NORTH };
enum { OPEN, CLOSED, LOCKED };

// ---- states that are drawn ----

static uint64_t chance = 1;
static int draw(int low, int high) {
    chance += 0x9E3779B97F4A7C15ull;
    return low + (int)((nx_mix(chance) >> 32) * (uint64_t)(high - low + 1) >> 32);
}

typedef struct Scene {  // a state with its arrays
    NxState s;
    int width, height;
    uint8_t grid[3 * NX_MAX_CELLS], contents[3 * NX_MAX_CELLS];
} Scene;

static uint8_t* cell_of(Scene* scene, int x, int y) { return scene->grid + 3 * (y * scene->width + x); }
static void put(Scene* scene, int x, int y, int type, int colour, int state) {
    memcpy(cell_of(scene, x, y), (uint8_t[3]){(uint8_t)type, (uint8_t)colour, (uint8_t)state}, 3);
}

// An empty room with the agent in its corner.
static void clear_scene(Scene* scene, int width, int height) {
    memset(scene, 0, sizeof *scene);
    scene->width = width;
    scene->height = height;
    scene->s = (NxState){.x = 1,
                         .y = 1,
                         .max_steps = 100,
                         .carrying = {1, 0, 0},
                         .carrying_contents = {1, 0, 0},
                         .target = {-1, -1, -1, -1},
                         .aux = {-1, -1, -1, -1},
                         .grid = scene->grid,
                         .contents = scene->contents};
    for (int i = 0; i < width * height; i++) {
        const int x = i % width, y = i / width;
        const bool border = x == 0 || y == 0 || x == width - 1 || y == height - 1;
        put(scene, x, y, border ? WALL : EMPTY, border ? NX_GREY : 0, 0);
        scene->contents[3 * i] = 1;
    }
}

// Everything anywhere, borders too, as often as not empty.
static void draw_scene(Scene* scene, int width, int height) {
    clear_scene(scene, width, height);
    for (int i = 0; i < width * height; i++) {
        const int type = draw(0, 1) ? EMPTY : draw(WALL, LAVA);
        put(scene, i % width, i / width, type, type == EMPTY ? 0 : draw(0, 5), type == DOOR ? draw(0, 2) : 0);
        if (type == BOX && draw(0, 1))
            memcpy(scene->contents + 3 * i, (uint8_t[3]){(uint8_t)draw(KEY, BALL), (uint8_t)draw(0, 5), 0},
                   3);
    }
    scene->s.x = draw(0, width - 1);
    scene->s.y = draw(0, height - 1);
    scene->s.direction = draw(0, 3);
    uint8_t* under = cell_of(scene, scene->s.x, scene->s.y);
    const int on = draw(0, 2);
    put(scene, scene->s.x, scene->s.y, on == 0 ? EMPTY : on == 1 ? FLOOR : DOOR, on ? draw(0, 5) : 0, 0);
    memcpy(scene->contents + (under - scene->grid), (uint8_t[3]){1, 0, 0}, 3);
    if (draw(0, 1))
        memcpy(scene->s.carrying, (uint8_t[3]){(uint8_t)draw(KEY, BOX), (uint8_t)draw(0, 5), 0}, 3);
}

static NxBatch* create(const char* id, int64_t n, NxOptions options) {
    NxBatch* batch;
    if (options.num_threads == 0) options.num_threads = 1;
    assert_ok(nx_create(&batch, id, n, 7, &options));
    return batch;
}
static NxOptions defaults(void) {
    NxOptions options;
    nx_default_options(&options);
    return options;
}

// ---- views ----

// The specification word for word: rows from the agent's up, each to the right and back, marks act at once.
static void see(const uint8_t* cells, int size, bool* mask) {  // (size, size, 3), row 0 farthest
    memset(mask, 0, (size_t)(size * size) * sizeof *mask);
    mask[(size - 1) * size + size / 2] = true;
    for (int j = size - 1; j >= 0; j--)
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < size - 1; k++) {
                const int i = pass ? size - 1 - k : k, next = pass ? i - 1 : i + 1;
                const uint8_t* cell = cells + 3 * (j * size + i);
                const bool opaque = cell[0] == WALL || (cell[0] == DOOR && cell[2] != OPEN);
                if (!mask[j * size + i] || opaque) continue;
                mask[j * size + next] = true;
                if (j > 0) mask[(j - 1) * size + next] = mask[(j - 1) * size + i] = true;
            }
}

static void expected_view(const Scene* scene, int size, bool see_through, uint8_t* out) {
    static const int dx[4] = {1, 0, -1, 0}, dy[4] = {0, 1, 0, -1};
    bool mask[NX_MAX_VIEW * NX_MAX_VIEW];
    const NxState* s = &scene->s;
    for (int r = 0; r < size; r++)
        for (int c = 0; c < size; c++) {
            const int f = size - 1 - r, side = c - size / 2, d = s->direction;
            const int x = s->x + f * dx[d] - side * dy[d], y = s->y + f * dy[d] + side * dx[d];
            const bool inside = x >= 0 && y >= 0 && x < scene->width && y < scene->height;
            memcpy(out + 3 * (r * size + c),
                   inside ? scene->grid + 3 * (y * scene->width + x) : (const uint8_t[3]){WALL, NX_GREY, 0},
                   3);
        }
    see(out, size, mask);
    for (int i = 0; i < size * size && !see_through; i++)
        if (!mask[i]) memset(out + 3 * i, 0, 3);
    memcpy(out + 3 * ((size - 1) * size + size / 2), s->carrying, 3);
}

static void expected_one_hot(const Scene* scene, int size, uint8_t* out) {
    static uint8_t view[3 * NX_MAX_VIEW * NX_MAX_VIEW];
    expected_view(scene, size, false, view);
    for (int i = 0; i < 20 * size * size; i++) {
        const uint8_t* t = view + 3 * (i / 20);
        const int bit = i % 20;
        out[i] = bit == t[0] || bit == 11 + t[1] || bit == 17 + t[2];
    }
}

static void expected_full(const Scene* scene, uint8_t* out) {
    memcpy(out, scene->grid, (size_t)(3 * scene->width * scene->height));
    memcpy(out + 3 * (scene->s.y * scene->width + scene->s.x),
           (uint8_t[3]){10, 0, (uint8_t)scene->s.direction}, 3);
}

// All levels of instructions that this machine has, on maps below and above 64 cells, with sentinels around what is
// written.
static void test_views(void** state) {
    (void)state;
    static const int sizes[][2] = {{8, 8}, {5, 9}, {3, 3}, {9, 8}, {16, 16}, {7, 25}, {25, 25}, {40, 3}};
    static const int views[] = {3, 5, 7, 9, 11, 63};
    enum { N = 40, GUARD = 64 };
    static Scene scenes[N];
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (size_t v = 0; v < sizeof views / sizeof views[0]; v++)
            for (int kind = 0; kind < 4; kind++) {
                const int width = sizes[k][0], height = sizes[k][1], size = views[v];
                char id[32];
                NxOptions options = defaults();
                options.view_size = size;
                options.see_through_walls = kind == 1;
                options.observation = kind == 2   ? NX_OBS_FULL
                                      : kind == 3 ? NX_OBS_ONE_HOT
                                                  : NX_OBS_FIRST_PERSON;
                snprintf(id, sizeof id, "Sandbox-%dx%d", width, height);
                NxBatch* batch = create(id, N, options);
                const size_t bytes = nx_shape(batch).bytes, all = N * bytes;
                uint8_t *got = malloc(all + 2 * GUARD), *expected = malloc(bytes);
                for (int i = 0; i < N; i++) {
                    draw_scene(&scenes[i], width, height);
                    assert_ok(nx_set_state(batch, i, &scenes[i].s));
                }
                for (NxLevel level = NX_PLAIN; level <= nx_best_level(); level++) {
                    assert_ok(nx_set_level(batch, level));
                    memset(got, 0xAB, all + 2 * GUARD);
                    assert_ok(nx_show(batch, got + GUARD));
                    for (int i = 0; i < GUARD; i++)
                        if (got[i] != 0xAB || got[GUARD + all + (size_t)i] != 0xAB)
                            fail_msg("%s, view %d, level %d writes beyond its array", id, size, level);
                    for (int i = 0; i < N; i++) {
                        if (kind == 2)
                            expected_full(&scenes[i], expected);
                        else if (kind == 3)
                            expected_one_hot(&scenes[i], size, expected);
                        else
                            expected_view(&scenes[i], size, kind == 1, expected);
                        for (size_t b = 0; b < bytes; b++)
                            if (got[GUARD + (size_t)i * bytes + b] != expected[b])
                                fail_msg(
                                    "%s, view %d, kind %d, level %d, environment %d: byte %zu is %d, not %d",
                                    id, size, kind, level, i, b, got[GUARD + (size_t)i * bytes + b],
                                    expected[b]);
                    }
                }
                free(got);
                free(expected);
                nx_free(batch);
            }
}

// The others, from the view or the map.
static void test_observations(void** state) {
    (void)state;
    static Scene scene;
    uint8_t view[147], *out = malloc(1 << 16);
    for (int round = 0; round < 50; round++) {
        draw_scene(&scene, 9, 7);
        expected_view(&scene, 7, false, view);
        for (NxObservation kind = NX_OBS_ONE_HOT; kind <= NX_OBS_FLAT; kind++) {
            NxOptions options = defaults();
            options.observation = kind;
            NxBatch* batch = create("Sandbox-9x7", 1, options);
            const NxShape shape = nx_shape(batch);
            assert_ok(nx_set_state(batch, 0, &scene.s));
            assert_ok(nx_show(batch, out));
            if (kind == NX_OBS_ONE_HOT) {
                assert_int_equal(shape.bytes, 7 * 7 * 20);
                for (int i = 0; i < 49 * 20; i++) {
                    const uint8_t* t = view + 3 * (i / 20);
                    const int bit = i % 20;
                    assert_int_equal(out[i], bit == t[0] || bit == 11 + t[1] || bit == 17 + t[2]);
                }
            } else if (kind == NX_OBS_SYMBOLIC) {
                assert_int_equal(shape.item_bytes, 8);
                const int64_t* numbers = (const int64_t*)out;
                for (int i = 0; i < 63; i++) {
                    const int x = i % 9, y = i / 9, type = *cell_of(&scene, x, y);
                    assert_int_equal(numbers[3 * i], x);
                    assert_int_equal(numbers[3 * i + 1], y);
                    assert_int_equal(numbers[3 * i + 2], x == scene.s.x && y == scene.s.y ? 10
                                                         : type == EMPTY                  ? -1
                                                                                          : type);
                }
            } else {
                static const char mission[] = "sandbox";
                assert_int_equal(shape.bytes, 147 + 96 * 28);
                for (int i = 0; i < 49; i++)
                    assert_memory_equal(out + 3 * i, view + 3 * (i % 7 * 7 + i / 7), 3);
                for (int i = 0; i < 96 * 28; i++)
                    assert_int_equal(out[147 + i],
                                     i / 28 < 7 && i % 28 == mission[i / 28 < 7 ? i / 28 : 0] - 'a');
            }
            nx_free(batch);
        }
    }
    free(out);
}

// Every mission's letters are of the alphabet of flat observations, and fit.
static void test_missions(void** state) {
    (void)state;
    for (int i = 0; i < nx_num_specs; i++) {
        NxBatch* batch = create(nx_specs[i].id, 64, defaults());
        char text[128], first[128];
        assert_ok(nx_mission(batch, 0, first));
        int num_others = 0;
        for (int k = 0; k < 64; k++) {
            assert_ok(nx_mission(batch, k, text));
            num_others += strcmp(text, first) != 0;
            assert_true(strlen(text) <= 96);
            assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyz ,"), strlen(text));
        }
        // The maze's ball is blue in every level, but not in every state.
        assert_int_equal(nx_mission_varies(batch),
                         num_others > 0 || nx_specs[i].family == NX_FAMILY_OBSTRUCTED_MAZE);
        nx_free(batch);
    }
}

// ---- the rules ----

// One environment in a scene, and what the last step said.
typedef struct World {
    NxBatch* batch;
    Scene scene;
    float reward;
    uint8_t terminated, truncated;
} World;

static void begin_world(World* w, const char* id) {
    NxOptions options = defaults();
    options.autoreset = NX_NO_RESET;
    w->batch = create(id, 1, options);
    const NxSpec* spec;
    const bool known = nx_find_spec(&spec, id) == UF_OK;
    clear_scene(&w->scene, known ? spec->width : 7, known ? spec->height : 7);
    memcpy(w->scene.s.target, (int[4]){-1, -1, -1, -1}, sizeof w->scene.s.target);
}
static void set_world(World* w) { assert_ok(nx_set_state(w->batch, 0, &w->scene.s)); }
static void act(World* w, int action) {
    const uint8_t actions[1] = {(uint8_t)action};
    const NxOutput out = {.reward = &w->reward, .terminated = &w->terminated, .truncated = &w->truncated};
    assert_ok(nx_step(w->batch, actions, &out));
    assert_ok(nx_get_state(w->batch, 0, &w->scene.s));
}
// The cell is of this type, colour and state.
static void expect(World* w, int x, int y, int type, int colour, int state, int line) {
    const uint8_t* t = cell_of(&w->scene, x, y);
    if (t[0] != type || t[1] != colour || t[2] != state)
        fail_msg("line %d: (%d, %d) is (%d, %d, %d), not (%d, %d, %d)", line, x, y, t[0], t[1], t[2], type,
                 colour, state);
}
#define EXPECT(x, y, type, colour, state) expect(&w, x, y, type, colour, state, __LINE__)
#define EXPECT_HANDS(type, colour) assert_memory_equal(w.scene.s.carrying, ((uint8_t[3]){type, colour, 0}), 3)
#define EXPECT_END(ends, reward_)             \
    do {                                      \
        assert_int_equal(w.terminated, ends); \
        assert_true(w.reward == (reward_));   \
    } while (0)

static float success(int step, int max_steps) { return (float)(1 - 0.9 * step / max_steps); }

static void test_walking(void** state) {
    (void)state;
    World w;
    begin_world(&w, "Sandbox-7x7");
    set_world(&w);
    act(&w, NX_LEFT);
    assert_int_equal(w.scene.s.direction, NORTH);
    act(&w, NX_FORWARD);  // a wall
    assert_int_equal(w.scene.s.y, 1);
    act(&w, NX_RIGHT);
    act(&w, NX_RIGHT);
    assert_int_equal(w.scene.s.direction, SOUTH);
    act(&w, NX_FORWARD);
    assert_int_equal(w.scene.s.y, 2);
    act(&w, NX_DONE);
    assert_int_equal(w.scene.s.y, 2);
    assert_int_equal(w.scene.s.step_count, 6);
    EXPECT_END(0, 0.0f);
    // what can be walked on, from above, and what cannot
    static const struct {
        int type, state;
        bool walkable;
    } cells[] = {{FLOOR, 0, true}, {DOOR, OPEN, true},    {GOAL, 0, true},
                 {LAVA, 0, true},  {DOOR, CLOSED, false}, {DOOR, LOCKED, false},
                 {KEY, 0, false},  {BALL, 0, false},      {BOX, 0, false}};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        w.scene.s.y = 2;
        put(&w.scene, 1, 3, cells[i].type, NX_GREEN, cells[i].state);
        set_world(&w);
        act(&w, NX_FORWARD);
        assert_int_equal(w.scene.s.y, 2 + cells[i].walkable);
        const bool ends = cells[i].type == GOAL || cells[i].type == LAVA;
        EXPECT_END(ends, cells[i].type == GOAL ? success(w.scene.s.step_count, 100) : 0);
        EXPECT(1, 3, cells[i].type, NX_GREEN, cells[i].state);
    }
    nx_free(w.batch);
}

static void test_hands(void** state) {
    (void)state;
    World w;
    begin_world(&w, "Sandbox-7x7");
    for (int type = KEY; type <= BOX; type++) {  // pick up and drop, elsewhere
        clear_scene(&w.scene, 7, 7);
        put(&w.scene, 2, 1, type, NX_PURPLE, 0);
        set_world(&w);
        act(&w, NX_PICKUP);
        EXPECT(2, 1, EMPTY, 0, 0);
        EXPECT_HANDS(type, NX_PURPLE);
        act(&w, NX_RIGHT);
        act(&w, NX_DROP);
        EXPECT(1, 2, type, NX_PURPLE, 0);
        EXPECT_HANDS(EMPTY, 0);
        EXPECT_END(0, 0.0f);
        act(&w, NX_DROP);  // nothing
        EXPECT(1, 2, type, NX_PURPLE, 0);
    }
    // full hands pick nothing up; a drop wants the empty cell; others cannot be picked up
    static const int blocked[][3] = {{KEY, 3, 0},       {BALL, 3, 0},  {BOX, 3, 0},
                                     {WALL, 5, 0},      {FLOOR, 3, 0}, {DOOR, 3, OPEN},
                                     {DOOR, 3, CLOSED}, {GOAL, 1, 0},  {LAVA, 0, 0}};
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        for (int action = NX_PICKUP; action <= NX_DROP; action++)
            for (int full = 0; full < 2; full++) {
                const int* t = blocked[i];
                if (!full && action == NX_PICKUP && t[0] >= KEY && t[0] <= BOX) continue;
                clear_scene(&w.scene, 7, 7);
                put(&w.scene, 2, 1, t[0], t[1], t[2]);
                if (full) memcpy(w.scene.s.carrying, (uint8_t[3]){BALL, NX_RED, 0}, 3);
                set_world(&w);
                act(&w, action);
                EXPECT(2, 1, t[0], t[1], t[2]);
                EXPECT_HANDS(full ? BALL : EMPTY, NX_RED);
            }
    nx_free(w.batch);
}

static void test_doors_and_boxes(void** state) {
    (void)state;
    World w;
    begin_world(&w, "Sandbox-7x7");
    put(&w.scene, 2, 1, DOOR, NX_BLUE, LOCKED);
    static const uint8_t wrong[][3] = {
        {EMPTY, 0, 0}, {KEY, NX_GREEN, 0}, {BALL, NX_BLUE, 0}, {BOX, NX_BLUE, 0}};
    for (int i = 0; i < 4; i++) {
        memcpy(w.scene.s.carrying, wrong[i], 3);
        set_world(&w);
        act(&w, NX_TOGGLE);
        EXPECT(2, 1, DOOR, NX_BLUE, LOCKED);
    }
    memcpy(w.scene.s.carrying, (uint8_t[3]){KEY, NX_BLUE, 0}, 3);
    set_world(&w);
    act(&w, NX_TOGGLE);
    EXPECT(2, 1, DOOR, NX_BLUE, OPEN);
    EXPECT_HANDS(KEY, NX_BLUE);  // the key is kept
    act(&w, NX_TOGGLE);
    EXPECT(2, 1, DOOR, NX_BLUE, CLOSED);  // never locked again
    memcpy(w.scene.s.carrying, (uint8_t[3]){EMPTY, 0, 0}, 3);
    set_world(&w);
    act(&w, NX_TOGGLE);
    EXPECT(2, 1, DOOR, NX_BLUE, OPEN);

    // a box shows what it holds, also to full hands; one that was carried too
    for (int holds = 0; holds < 2; holds++)
        for (int moved = 0; moved < 2; moved++) {
            clear_scene(&w.scene, 7, 7);
            put(&w.scene, 2, 1, BOX, NX_GREY, 0);
            if (holds) memcpy(w.scene.contents + 3 * (7 + 2), (uint8_t[3]){BALL, NX_YELLOW, 0}, 3);
            if (!moved) memcpy(w.scene.s.carrying, (uint8_t[3]){KEY, NX_RED, 0}, 3);
            set_world(&w);
            if (moved) {
                act(&w, NX_PICKUP);
                assert_int_equal(w.scene.s.carrying_contents[0], holds ? BALL : EMPTY);
                assert_int_equal(w.scene.contents[3 * (7 + 2)], EMPTY);
                set_world(&w);  // through a state and back
                act(&w, NX_RIGHT);
                act(&w, NX_DROP);
                EXPECT(1, 2, BOX, NX_GREY, 0);
                assert_int_equal(w.scene.s.carrying_contents[0], EMPTY);
            }
            act(&w, NX_TOGGLE);
            EXPECT(moved ? 1 : 2, moved ? 2 : 1, holds ? BALL : EMPTY, holds ? NX_YELLOW : 0, 0);
            EXPECT_HANDS(moved ? EMPTY : KEY, NX_RED);
        }
    // elsewhere a toggle does nothing
    static const int still[][3] = {{EMPTY, 0, 0}, {WALL, 5, 0}, {FLOOR, 2, 0}, {KEY, 2, 0},
                                   {BALL, 2, 0},  {GOAL, 1, 0}, {LAVA, 0, 0}};
    for (size_t i = 0; i < sizeof still / sizeof still[0]; i++) {
        clear_scene(&w.scene, 7, 7);
        put(&w.scene, 2, 1, still[i][0], still[i][1], still[i][2]);
        set_world(&w);
        act(&w, NX_TOGGLE);
        EXPECT(2, 1, still[i][0], still[i][1], still[i][2]);
    }
    nx_free(w.batch);
}

// On the map's edge with no wall around: what is ahead is nothing.
static void test_edge(void** state) {
    (void)state;
    World w;
    begin_world(&w, "Sandbox-7x7");
    put(&w.scene, 0, 3, DOOR, NX_RED, OPEN);
    w.scene.s.x = 0;
    w.scene.s.y = 3;
    w.scene.s.direction = WEST;
    memcpy(w.scene.s.carrying, (uint8_t[3]){BALL, NX_RED, 0}, 3);
    set_world(&w);
    for (int action = NX_FORWARD; action < NX_NUM_ACTIONS; action++) {
        act(&w, action);
        assert_int_equal(w.scene.s.x, 0);
        EXPECT_HANDS(BALL, NX_RED);
        EXPECT_END(0, 0.0f);
    }
    act(&w, NX_LEFT);
    assert_int_equal(w.scene.s.direction, SOUTH);
    nx_free(w.batch);
}

static void test_limits(void** state) {
    (void)state;
    World w;
    begin_world(&w, "Sandbox-7x7");
    put(&w.scene, 3, 1, GOAL, NX_GREEN, 0);
    w.scene.s.max_steps = 2;
    set_world(&w);
    act(&w, NX_FORWARD);
    assert_int_equal(w.truncated, 0);
    act(&w, NX_FORWARD);  // both at once
    EXPECT_END(1, success(2, 2));
    assert_int_equal(w.truncated, 1);
    act(&w, NX_DONE);  // and on, without a reset
    EXPECT_END(0, 0.0f);
    assert_int_equal(w.truncated, 1);
    nx_free(w.batch);
}

static void aim(int object[4], int x, int y, int type, int colour) {
    memcpy(object, (int[4]){x, y, type, colour}, 4 * sizeof(int));
}

static void test_go_to(void** state) {
    (void)state;
    static const char* const ids[] = {"MiniGrid-GoToDoor-6x6-v0", "MiniGrid-GoToObject-6x6-N2-v0"};
    for (int k = 0; k < 2; k++) {
        World w;
        begin_world(&w, ids[k]);
        const int type = k ? BALL : DOOR;
        for (int x = 1; x <= 4; x++)
            for (int y = 1; y <= 4; y++)
                for (int action = NX_TOGGLE; action <= NX_DONE; action++) {
                    clear_scene(&w.scene, 6, 6);
                    put(&w.scene, 3, 2, type, NX_RED, type == DOOR ? CLOSED : 0);
                    aim(w.scene.s.target, 3, 2, type, NX_RED);
                    if (x == 3 && y == 2) continue;
                    w.scene.s.x = x;
                    w.scene.s.y = y;
                    set_world(&w);
                    act(&w, action);
                    const bool beside = abs(x - 3) + abs(y - 2) == 1;  // facing is irrelevant
                    EXPECT_END(1, action == NX_DONE && beside ? success(1, 100) : 0);
                    if (type == DOOR)
                        EXPECT(3, 2, DOOR, NX_RED, action == NX_TOGGLE && x == 2 && y == 2 ? OPEN : CLOSED);
                }
        if (k) {  // its first cell counts, even if the object is elsewhere
            clear_scene(&w.scene, 6, 6);
            put(&w.scene, 2, 1, BALL, NX_RED, 0);
            aim(w.scene.s.target, 2, 1, BALL, NX_RED);
            set_world(&w);
            act(&w, NX_PICKUP);
            EXPECT_END(0, 0.0f);
            act(&w, NX_DONE);
            EXPECT_END(1, success(2, 100));
        }
        nx_free(w.batch);
    }
}

static void test_fetch(void** state) {
    (void)state;
    World w;
    begin_world(&w, "MiniGrid-Fetch-6x6-N2-v0");
    static const struct {
        int type, colour;
        bool wins;
    } cases[] = {{KEY, NX_BLUE, true}, {KEY, NX_RED, false}, {BALL, NX_BLUE, false}};
    for (int i = 0; i < 3; i++) {
        clear_scene(&w.scene, 6, 6);
        aim(w.scene.s.target, -1, -1, KEY, NX_BLUE);
        put(&w.scene, 2, 1, cases[i].type, cases[i].colour, 0);  // any twin
        set_world(&w);
        act(&w, NX_TOGGLE);
        EXPECT_END(0, 0.0f);
        act(&w, NX_PICKUP);
        EXPECT_END(1, cases[i].wins ? success(2, 100) : 0);
    }
    nx_free(w.batch);
}

static void test_pick_up_the_target(void** state) {
    (void)state;
    static const struct {
        const char* id;
        int type;
    } cases[] = {{"MiniGrid-KeyCorridorS3R2-v0", BALL},
                 {"MiniGrid-UnlockPickup-v0", BOX},
                 {"MiniGrid-BlockedUnlockPickup-v0", BOX},
                 {"MiniGrid-ObstructedMaze-1Dl-v0", BALL}};
    for (int i = 0; i < 4; i++) {
        World w;
        begin_world(&w, cases[i].id);
        aim(w.scene.s.target, 2, 1, cases[i].type, NX_BLUE);
        put(&w.scene, 2, 1, KEY, NX_BLUE, 0);
        put(&w.scene, 1, 2, cases[i].type, NX_BLUE, 0);
        set_world(&w);
        act(&w, NX_PICKUP);
        EXPECT_END(0, 0.0f);
        act(&w, NX_RIGHT);
        act(&w, NX_PICKUP);  // with full hands
        EXPECT_END(0, 0.0f);
        act(&w, NX_LEFT);
        act(&w, NX_DROP);
        act(&w, NX_RIGHT);
        act(&w, NX_PICKUP);
        EXPECT_END(1, success(7, 100));
        nx_free(w.batch);
    }
}

static void test_unlock(void** state) {
    (void)state;
    World w;
    begin_world(&w, "MiniGrid-Unlock-v0");
    put(&w.scene, 2, 1, DOOR, NX_RED, LOCKED);
    aim(w.scene.s.target, 2, 1, DOOR, NX_RED);
    set_world(&w);
    act(&w, NX_TOGGLE);
    EXPECT_END(0, 0.0f);
    memcpy(w.scene.s.carrying, (uint8_t[3]){KEY, NX_RED, 0}, 3);
    set_world(&w);
    act(&w, NX_TOGGLE);
    EXPECT_END(1, success(2, 100));
    nx_free(w.batch);
}

static void test_red_blue_doors(void** state) {
    (void)state;
    // red, blue: before; which one is toggled; ends, wins
    static const struct {
        int red, blue, toggled;
        bool ends, wins;
    } cases[] = {{CLOSED, CLOSED, NX_RED, false, false}, {CLOSED, CLOSED, NX_BLUE, true, false},
                 {OPEN, CLOSED, NX_BLUE, true, true},    {OPEN, CLOSED, NX_RED, false, false},
                 {OPEN, OPEN, NX_BLUE, true, false},     {CLOSED, OPEN, NX_RED, true, false},
                 {CLOSED, OPEN, NX_BLUE, false, false},  {OPEN, OPEN, NX_RED, true, true}};
    World w;
    begin_world(&w, "MiniGrid-RedBlueDoors-6x6-v0");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clear_scene(&w.scene, 12, 6);
        put(&w.scene, 5, 2, DOOR, NX_RED, cases[i].red);
        put(&w.scene, 7, 2, DOOR, NX_BLUE, cases[i].blue);
        aim(w.scene.s.target, 7, 2, DOOR, NX_BLUE);
        aim(w.scene.s.aux, 5, 2, DOOR, NX_RED);
        w.scene.s.x = 6;
        w.scene.s.y = 2;
        w.scene.s.direction = cases[i].toggled == NX_BLUE ? EAST : WEST;
        set_world(&w);
        act(&w, NX_TOGGLE);
        EXPECT_END(cases[i].ends, cases[i].wins ? success(1, 100) : 0);
    }
    nx_free(w.batch);
}

static void test_put_near(void** state) {
    (void)state;
    World w;
    begin_world(&w, "MiniGrid-PutNear-8x8-N3-v0");
    for (int x = 2; x <= 6; x++)
        for (int y = 1; y <= 6; y++)
            for (int free_ahead = 0; free_ahead < 2; free_ahead++) {
                clear_scene(&w.scene, 8, 8);
                if (x == 4 && y == 3) continue;
                put(&w.scene, 4, 3, BOX, NX_GREEN, 0);
                aim(w.scene.s.target, 4, 3, BOX, NX_GREEN);
                aim(w.scene.s.aux, 1, 6, BALL, NX_RED);
                if (!free_ahead) put(&w.scene, x, y, FLOOR, NX_RED, 0);
                w.scene.s.x = x - 1;
                w.scene.s.y = y;
                if (x == 5 && y == 3)
                    put(&w.scene, 4, 3, EMPTY, 0, 0);  // the agent stands where the target was
                memcpy(w.scene.s.carrying, (uint8_t[3]){BALL, NX_RED, 0}, 3);
                set_world(&w);
                act(&w, NX_DROP);
                const bool near = abs(x - 4) <= 1 && abs(y - 3) <= 1;
                EXPECT_END(1, free_ahead && near ? success(1, 100) : 0);
            }
    for (int right = 0; right < 2; right++) {
        clear_scene(&w.scene, 8, 8);
        put(&w.scene, 2, 1, BALL, right ? NX_RED : NX_BLUE, 0);
        aim(w.scene.s.target, 4, 3, BOX, NX_GREEN);
        aim(w.scene.s.aux, 2, 1, BALL, NX_RED);
        set_world(&w);
        act(&w, NX_DROP);  // empty hands
        EXPECT_END(0, 0.0f);
        act(&w, NX_PICKUP);
        EXPECT_END(!right, 0.0f);
        act(&w, NX_PICKUP);  // tested whenever something is carried
        EXPECT_END(!right, 0.0f);
    }
    nx_free(w.batch);
}

static void test_memory(void** state) {
    (void)state;
    World w;
    begin_world(&w, "MiniGrid-MemoryS7-v0");
    for (int wins = 0; wins < 2; wins++) {
        clear_scene(&w.scene, 7, 7);
        aim(w.scene.s.target, wins ? 2 : 5, wins ? 1 : 5, -1, -1);
        aim(w.scene.s.aux, wins ? 5 : 2, wins ? 5 : 1, -1, -1);
        put(&w.scene, 1, 2, BOX, NX_RED, 0);
        w.scene.s.direction = SOUTH;
        set_world(&w);
        act(&w, NX_PICKUP);  // is a toggle
        EXPECT(1, 2, EMPTY, 0, 0);
        EXPECT_HANDS(EMPTY, 0);
        act(&w, NX_LEFT);
        EXPECT_END(0, 0.0f);
        act(&w, NX_FORWARD);
        EXPECT_END(1, wins ? success(3, 100) : 0);
    }
    nx_free(w.batch);
}

// ---- obstacles ----

// Four balls in the far corner, their places in the state.
static void place_balls(World* w) {
    clear_scene(&w->scene, 8, 8);
    put(&w->scene, 6, 6, GOAL, NX_GREEN, 0);
    w->scene.s.num_obstacles = 4;
    for (int i = 0; i < 4; i++) {
        const int x = 5 + i % 2, y = 3 + i / 2;
        put(&w->scene, x, y, BALL, NX_BLUE, 0);
        w->scene.s.obstacles[i][0] = x;
        w->scene.s.obstacles[i][1] = y;
    }
}

static void act_with_balls(World* w, int action, const int32_t* positions) {
    const uint8_t actions[1] = {(uint8_t)action};
    const NxOutput out = {.reward = &w->reward, .terminated = &w->terminated, .truncated = &w->truncated};
    assert_ok(nx_step_with_obstacles(w->batch, actions, positions, &out));
    assert_ok(nx_get_state(w->batch, 0, &w->scene.s));
}

static void test_obstacles(void** state) {
    (void)state;
    World w;
    begin_world(&w, "MiniGrid-Dynamic-Obstacles-8x8-v0");
    static const int32_t away[4][2] = {{4, 2}, {6, 3}, {5, 4}, {6, 4}},
                         ahead[4][2] = {{2, 1}, {6, 3}, {5, 4}, {6, 4}};
    place_balls(&w);
    w.scene.s.x = 4;
    w.scene.s.y = 3;
    set_world(&w);
    act_with_balls(&w, NX_FORWARD, &away[0][0]);  // the ball has left, and the agent follows: too late
    EXPECT_END(1, -1.0f);
    assert_int_equal(w.scene.s.x, 5);
    EXPECT(4, 2, BALL, NX_BLUE, 0);
    EXPECT(5, 3, EMPTY, 0, 0);
    assert_int_equal(w.scene.s.obstacles[0][0], 4);

    place_balls(&w);
    w.scene.s.obstacles[0][0] = 3;
    w.scene.s.obstacles[0][1] = 2;
    put(&w.scene, 5, 3, EMPTY, 0, 0);
    put(&w.scene, 3, 2, BALL, NX_BLUE, 0);
    set_world(&w);
    act_with_balls(&w, NX_FORWARD, &ahead[0][0]);  // one that comes merely blocks
    EXPECT_END(0, 0.0f);
    assert_int_equal(w.scene.s.x, 1);

    place_balls(&w);
    w.scene.s.direction = NORTH;
    set_world(&w);
    act(&w, NX_FORWARD);  // walls count
    EXPECT_END(1, -1.0f);
    for (int action = NX_PICKUP; action < NX_NUM_ACTIONS; action++) {  // left turns
        set_world(&w);
        const int before = w.scene.s.direction;
        act(&w, action);
        assert_int_equal(w.scene.s.direction, (before + 3) % 4);
    }

    place_balls(&w);  // the goal does not block
    w.scene.s.x = 5;
    w.scene.s.y = 6;
    set_world(&w);
    act(&w, NX_FORWARD);
    EXPECT_END(1, success(1, 100));

    // positions that cannot be
    static const struct {
        int32_t at[4][2];
        const char* says;
    } wrong[] = {{{{-1, 3}, {6, 3}, {5, 4}, {6, 4}}, "obstacle 0 of environment 0 cannot be at (-1, 3)"},
                 {{{5, 3}, {6, 3}, {5, 4}, {5, 4}}, "obstacle 3"},
                 {{{5, 3}, {6, 3}, {7, 4}, {6, 4}}, "obstacle 2"},
                 {{{5, 3}, {6, 6}, {5, 4}, {6, 4}}, "obstacle 1"},
                 {{{1, 1}, {6, 3}, {5, 4}, {6, 4}}, "obstacle 0"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        place_balls(&w);
        set_world(&w);
        assert_int_equal(nx_step_with_obstacles(w.batch, (uint8_t[1]){0}, &wrong[i].at[0][0], &(NxOutput){0}),
                         UF_ERR_ARGUMENT);
        assert_error(wrong[i].says);
        assert_ok(nx_get_state(w.batch, 0, &w.scene.s));
        assert_int_equal(w.scene.s.step_count, 0);
    }
    nx_free(w.batch);
    w.batch = create("MiniGrid-Empty-5x5-v0", 1, defaults());
    assert_int_equal(nx_step_with_obstacles(w.batch, (uint8_t[1]){0}, &away[0][0], &(NxOutput){0}),
                     UF_ERR_ARGUMENT);
    assert_error("no obstacles that move");
    nx_free(w.batch);
}

// Each of the free cells around is as likely as the others; none but these is ever gone to. The second ball sees where
// the first has gone. All levels of instructions move alike, and so do the two ways of the plain one.
static void test_moves(void** state) {
    (void)state;
    enum { ROUNDS = 20000 };
    World w;
    begin_world(&w, "MiniGrid-Dynamic-Obstacles-5x5-v0");
    clear_scene(&w.scene, 5, 5);
    w.scene.s.x = 1;
    w.scene.s.y = 2;
    put(&w.scene, 3, 3, GOAL, NX_GREEN, 0);
    put(&w.scene, 2, 2, BALL, NX_BLUE, 0);
    put(&w.scene, 3, 2, BALL, NX_BLUE, 0);
    w.scene.s.num_obstacles = 2;
    w.scene.s.obstacles[0][0] = w.scene.s.obstacles[0][1] = w.scene.s.obstacles[1][1] = 2;
    w.scene.s.obstacles[1][0] = 3;
    Scene start = w.scene;
    start.s.grid = start.grid;
    start.s.contents = start.contents;
    int counts[2][25] = {{0}};
    for (int k = 0; k < ROUNDS; k++) {
        w.scene = start;
        w.scene.s.grid = w.scene.grid;
        w.scene.s.contents = w.scene.contents;
        set_world(&w);
        act(&w, NX_DONE);
        for (int i = 0; i < 2; i++) counts[i][w.scene.s.obstacles[i][1] * 5 + w.scene.s.obstacles[i][0]]++;
    }
    // the first: (1,1), (2,1), (3,1), (1,3), (2,3), evenly. The second: (2,2) has become free, (2,1), (3,1), (2,3) but
    // for what the first took: 1/5 * (all four: 2 times 1/4; three: 1/3)
    for (int c = 0; c < 25; c++) {
        const int x = c % 5, y = c / 5;
        const bool first = (y == 1 && x >= 1 && x <= 3) || (y == 3 && x <= 2 && x >= 1);
        const bool second = (x == 2 && y >= 1 && y <= 3) || (x == 3 && y == 1);
        const double p1 = first ? 0.2 : 0, p2 = !second ? 0 : c == 12 ? 0.4 / 4 + 0.6 / 3 : 0.4 / 4 + 0.4 / 3;
        // 5 standard deviations: one in a million
        assert_true(fabs(counts[0][c] - p1 * ROUNDS) <= 5 * sqrt(p1 * (1 - p1) * ROUNDS));
        assert_true(fabs(counts[1][c] - p2 * ROUNDS) <= 5 * sqrt(p2 * (1 - p2) * ROUNDS));
    }
    nx_free(w.batch);

    NxLayout layout;
    const NxSpec* spec;
    assert_ok(nx_find_spec(&spec, "MiniGrid-Dynamic-Obstacles-6x6-v0"));
    nx_lay_out(&layout, spec, false);
    struct {
        NxEnv env;
        NxCell cells[64];
    } a, b;
    for (int k = 0; k < 2000; k++) {
        memset(&a, 0, sizeof a);
        for (int i = 0; i < 36; i++) a.cells[i] = draw(0, 2) ? NX_CELL_EMPTY : NX_CELL_WALL;
        a.env.obstacle_x[0] = (uint8_t)draw(1, 4);
        a.env.obstacle_y[0] = (uint8_t)draw(1, 4);
        a.cells[a.env.obstacle_y[0] * 6 + a.env.obstacle_x[0]] = NX_CELL(NX_BALL, NX_BLUE);
        b = a;
        uint32_t fraction = (uint32_t)draw(0, INT_MAX - 1) * 2u, other = fraction;
        nx_move_obstacle(&layout, &a.env, 0, &fraction);
        nx_move_border_obstacle(&layout, &b.env, 0, &other);
        assert_memory_equal(&a, &b, sizeof a);
        assert_int_equal(fraction, other);
    }
}

// ---- batches ----

static const char* const several[] = {"MiniGrid-DoorKey-5x5-v0",
                                      "MiniGrid-Dynamic-Obstacles-8x8-v0",
                                      "MiniGrid-Dynamic-Obstacles-16x16-v0",
                                      "MiniGrid-MultiRoom-N2-S4-v0",
                                      "MiniGrid-GoToDoor-6x6-v0",
                                      "MiniGrid-ObstructedMaze-2Dlh-v0",
                                      "MiniGrid-Empty-Random-6x6-v0",
                                      "Navix-Dynamic-Obstacles-6x6-v0"};

static uint64_t mixed(uint64_t hash, const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) hash = nx_mix(hash ^ ((const uint8_t*)data)[i]);
    return hash;
}

// Everything that environment `which` puts out in 150 steps, as a number.
static uint64_t history(const char* id, int64_t n, int64_t which, int threads, NxLevel level,
                        NxAutoreset autoreset) {
    NxOptions options = defaults();
    options.num_threads = threads;
    options.autoreset = autoreset;
    options.max_steps = 40;
    NxBatch* batch = create(id, n, options);
    assert_ok(nx_set_level(batch, level));
    const size_t bytes = nx_shape(batch).bytes, count = (size_t)n;
    uint8_t *obs = calloc(count, bytes), *last = calloc(count, bytes), *flags = calloc(count, 5);
    float* rewards = calloc(count, 2 * sizeof(float));
    int32_t* lengths = calloc(count, sizeof(int32_t));
    NxOutput out = {.obs = obs,
                    .final_obs = last,
                    .reward = rewards,
                    .terminated = flags,
                    .truncated = flags + n,
                    .direction = flags + 2 * n,
                    .episode_return = rewards + n,
                    .episode_length = lengths,
                    .final_direction = flags + 4 * n};
    uint64_t hash = 1;
    assert_ok(nx_reset(batch, &out));
    for (int k = 0; k < 150; k++) {
        for (int64_t i = 0; i < n; i++)
            flags[3 * n + i] = (uint8_t)(nx_mix((uint64_t)(i * 1000 + k)) % NX_NUM_ACTIONS);
        hash = mixed(hash, obs + (size_t)which * bytes, bytes);
        assert_ok(nx_step(batch, flags + 3 * n, &out));
        hash = mixed(hash, last + (size_t)which * bytes, bytes);
        for (int f = 0; f < 5; f++)
            if (f != 3) hash = mixed(hash, flags + f * n + which, 1);
        hash = mixed(hash, &rewards[which], sizeof(float));
        hash = mixed(hash, &rewards[n + which], sizeof(float));
        hash = mixed(hash, &lengths[which], sizeof(int32_t));
    }
    free(obs);
    free(last);
    free(flags);
    free(rewards);
    free(lengths);
    nx_free(batch);
    return hash;
}

static void test_batches(void** state) {
    (void)state;
    for (size_t k = 0; k < sizeof several / sizeof several[0]; k++)
        for (NxAutoreset autoreset = NX_NEXT_STEP; autoreset <= NX_NO_RESET; autoreset++)
            for (int which = 0; which < 2; which++) {
                const int64_t i = which ? 300 : 3;
                const uint64_t alone = history(several[k], i + 1, i, 1, NX_PLAIN, autoreset);
                for (NxLevel level = NX_PLAIN; level <= nx_best_level(); level++)
                    for (int threads = 1; threads <= 3; threads += 2)
                        if (history(several[k], 520, i, threads, level, autoreset) != alone)
                            fail_msg("%s, autoreset %d, level %d, %d threads: environment %d of 520 differs",
                                     several[k], autoreset, level, threads, (int)i);
                assert_true(history(several[k], 520, i + 1, 1, NX_PLAIN, autoreset) != alone);
            }
}

static void test_autoreset(void** state) {
    (void)state;
    for (NxAutoreset mode = NX_NEXT_STEP; mode <= NX_NO_RESET; mode++) {
        NxOptions options = defaults();
        options.autoreset = mode;
        options.observation = NX_OBS_FULL;
        NxBatch* batch = create("MiniGrid-Empty-5x5-v0", 2, options);
        uint8_t obs[2][75], last[2][75], terminated[2], truncated[2], direction[2];
        float reward[2], returns[2];
        int32_t length[2];
        uint8_t last_direction[2] = {9, 9};
        const NxOutput out = {obs,       last,    reward, terminated,    truncated,
                              direction, returns, length, last_direction};
        memset(last, 0, sizeof last);
        assert_ok(nx_reset(batch, &out));
        assert_int_equal(direction[0], EAST);
        static const uint8_t path[5] = {NX_FORWARD, NX_FORWARD, NX_RIGHT, NX_FORWARD, NX_FORWARD};
        for (int k = 0; k < 5; k++) {  // the second one stays where it is
            const uint8_t actions[2] = {path[k], NX_DONE};
            assert_ok(nx_step(batch, actions, &out));
            assert_int_equal(length[1], k + 1);
        }
        const float won = success(5, 100);
        assert_int_equal(terminated[0], 1);
        assert_int_equal(terminated[1], 0);
        assert_true(reward[0] == won && returns[0] == won);
        assert_int_equal(length[0], 5);
        const int goal = 3 * (3 * 5 + 3), start = 3 * (5 + 1);
        const bool at_once = mode == NX_SAME_STEP;
        assert_int_equal(obs[0][at_once ? start : goal], 10);
        assert_int_equal(obs[0][goal], at_once ? GOAL : 10);
        assert_int_equal(last[0][goal], at_once ? 10 : 0);
        assert_int_equal(last[1][start], 0);  // written where an episode ended
        assert_int_equal(direction[0], at_once ? EAST : SOUTH);
        assert_int_equal(last_direction[0], at_once ? SOUTH : 9);
        assert_int_equal(last_direction[1], 9);

        const uint8_t turn[2] = {NX_RIGHT, NX_DONE};
        assert_ok(nx_step(batch, turn, &out));
        assert_int_equal(terminated[0], 0);
        assert_true(reward[0] == 0);
        assert_int_equal(length[0], mode == NX_NEXT_STEP ? 0 : mode == NX_SAME_STEP ? 1 : 6);
        assert_true(returns[0] == (mode == NX_NO_RESET ? won : 0));
        assert_int_equal(direction[0], mode == NX_NEXT_STEP ? EAST : mode == NX_SAME_STEP ? SOUTH : WEST);
        assert_int_equal(obs[0][mode == NX_NO_RESET ? goal : start], 10);
        assert_int_equal(length[1], 6);
        nx_free(batch);
    }
}

// A reset draws anew; the same seed draws the same, another another.
static void test_seeds(void** state) {
    (void)state;
    uint8_t a[8 * 192], b[8 * 192];
    NxOptions options = defaults();
    options.observation = NX_OBS_FULL;
    options.num_threads = 1;
    NxBatch *one, *same, *other;
    assert_ok(nx_create(&one, "MiniGrid-DoorKey-8x8-v0", 8, 1, &options));
    assert_ok(nx_create(&same, "MiniGrid-DoorKey-8x8-v0", 8, 1, &options));
    assert_ok(nx_create(&other, "MiniGrid-DoorKey-8x8-v0", 8, 2, &options));
    assert_ok(nx_reset(one, &(NxOutput){.obs = a}));
    assert_ok(nx_reset(same, &(NxOutput){.obs = b}));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(nx_reset(other, &(NxOutput){.obs = b}));
    assert_true(memcmp(a, b, sizeof a) != 0);
    assert_ok(nx_reset(one, &(NxOutput){.obs = b}));
    assert_true(memcmp(a, b, sizeof a) != 0);

    // Seeds start over, in the middle of anything; until the next episode nothing shows it.
    NxBatch* begun;
    assert_ok(nx_create(&begun, "MiniGrid-DoorKey-8x8-v0", 8, 2, &options));
    assert_ok(nx_step(one, (uint8_t[8]){NX_RIGHT, NX_LEFT}, &(NxOutput){.obs = a}));
    assert_ok(nx_seed(one, 2));
    assert_ok(nx_show(one, b));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(nx_show(begun, a));
    for (int round = 0; round < 2; round++) {
        assert_ok(nx_reset(one, &(NxOutput){.obs = b}));
        assert_memory_equal(a, b, sizeof a);
        assert_ok(nx_reset(begun, &(NxOutput){.obs = a}));
    }
    nx_free(begun);
    assert_int_equal(nx_seed(NULL, 0), UF_ERR_ARGUMENT);
    nx_free(one);
    nx_free(same);
    nx_free(other);
}

static void test_ids(void** state) {
    (void)state;
    int count = 0;
    for (; nx_id(count); count++) assert_ptr_equal(nx_id(count), nx_specs[count].id);
    assert_int_equal(count, nx_num_specs);
    assert_null(nx_id(-1));
}

// What is set is what is got, for every id, on states in the middle of episodes; and it goes on alike.
static void test_states(void** state) {
    (void)state;
    static Scene got, again;
    for (int i = 0; i < nx_num_specs; i++) {
        if (nx_specs[i].navix) continue;
        NxOptions options = defaults();
        options.observation = NX_OBS_FULL;
        options.autoreset = NX_NO_RESET;
        NxBatch *from = create(nx_specs[i].id, 1, options), *to = create(nx_specs[i].id, 1, options);
        for (int round = 0; round < 5; round++) {
            assert_ok(nx_reset(from, &(NxOutput){0}));
            for (int k = 0; k < 30; k++)
                assert_ok(nx_step(from, (uint8_t[1]){(uint8_t)draw(0, 6)}, &(NxOutput){0}));
            got.s = (NxState){.grid = got.grid, .contents = got.contents};
            again.s = (NxState){.grid = again.grid, .contents = again.contents};
            assert_ok(nx_get_state(from, 0, &got.s));
            if (nx_set_state(to, 0, &got.s) != UF_OK) fail_msg("%s", uf_error());
            assert_ok(nx_get_state(to, 0, &again.s));
            again.s.grid = got.s.grid;
            again.s.contents = got.s.contents;
            assert_memory_equal(&got.s, &again.s, sizeof got.s);
            assert_memory_equal(got.grid, again.grid, sizeof got.grid);
            assert_memory_equal(got.contents, again.contents, sizeof got.contents);
            char a[128], b[128];
            assert_ok(nx_mission(from, 0, a));
            assert_ok(nx_mission(to, 0, b));
            assert_string_equal(a, b);
            if (nx_specs[i].family == NX_FAMILY_DYNAMIC_OBSTACLES) continue;  // another stream of chance
            float ra, rb;
            for (int k = 0; k < 30; k++) {
                const uint8_t action[1] = {(uint8_t)draw(0, 6)};
                assert_ok(nx_step(from, action, &(NxOutput){.reward = &ra}));
                assert_ok(nx_step(to, action, &(NxOutput){.reward = &rb}));
                assert_true(ra == rb);
            }
        }
        nx_free(from);
        nx_free(to);
    }
}

// ---- refusals ----

static void refuse(const char* id, int64_t n, NxOptions options, UfStatus status, const char* says) {
    NxBatch* batch = (NxBatch*)1;
    assert_int_equal(nx_create(&batch, id, n, 0, &options), status);
    assert_error(says);
    assert_null(batch);
}
#define REFUSE(field, value, says)                                    \
    do {                                                              \
        NxOptions o = defaults();                                     \
        o.field = value;                                              \
        refuse("MiniGrid-Empty-5x5-v0", 1, o, UF_ERR_ARGUMENT, says); \
    } while (0)

// The calls that a device needs are there on the CPU too, and do what they say.
static void test_arrays(void** state) {
    (void)state;
    NxBatch* batch = create("MiniGrid-Empty-5x5-v0", 3, defaults());
    const uint8_t actions[3] = {NX_LEFT, NX_RIGHT, NX_FORWARD};
    uint8_t direction[3] = {9, 9, 9};
    void *there, *out;
    assert_int_equal(nx_on_device(batch), 0);
    assert_ok(nx_reserve(batch, &there, sizeof actions));
    assert_ok(nx_reserve(batch, &out, sizeof direction));
    assert_memory_equal(out, ((const uint8_t[3]){0, 0, 0}), 3);
    assert_ok(nx_upload(batch, there, actions, sizeof actions));
    assert_ok(nx_step(batch, there, &(NxOutput){.direction = out}));
    assert_ok(nx_sync(batch));
    assert_ok(nx_download(batch, direction, out, sizeof direction));
    assert_memory_equal(direction, ((const uint8_t[3]){NORTH, SOUTH, EAST}), 3);
    assert_int_equal(nx_reserve(batch, NULL, 1), UF_ERR_ARGUMENT);
    assert_error("nx_reserve: out is NULL");
    assert_int_equal(nx_upload(batch, there, NULL, 1), UF_ERR_ARGUMENT);
    assert_error("nx_upload: from is NULL");
    assert_int_equal(nx_download(NULL, direction, there, 1), UF_ERR_ARGUMENT);
    assert_error("nx_download: batch is NULL");
    assert_int_equal(nx_sync(NULL), UF_ERR_ARGUMENT);
    assert_error("nx_sync: batch is NULL");
    nx_release(batch, there);
    nx_release(batch, out);
    nx_release(batch, NULL);
    nx_free(batch);
}

static void test_refused_batches(void** state) {
    (void)state;
    const NxOptions plain = defaults();
    refuse("MiniGrid-Emtpy-8x8-v0", 1, plain, UF_ERR_ARGUMENT, "did you mean 'MiniGrid-Empty-8x8-v0'");
    refuse("Empty-8x8", 1, plain, UF_ERR_ARGUMENT, "unknown gridworld 'Empty-8x8'");
    refuse("Sandbox-2x9", 1, plain, UF_ERR_ARGUMENT, "Sandbox-2x9: 2 by 9; expected sides of 3");
    refuse("Sandbox-100x100", 1, plain, UF_ERR_ARGUMENT, "at most 1024 cells");
    refuse("Sandbox-9x9x9", 1, plain, UF_ERR_ARGUMENT, "unknown gridworld");
    refuse("MiniGrid-Empty-5x5-v0", 0, plain, UF_ERR_ARGUMENT, "0 environments; expected at least 1");
    refuse("MiniGrid-Empty-5x5-v0", -5, plain, UF_ERR_ARGUMENT, "-5 environments");
    refuse("MiniGrid-Empty-5x5-v0", INT64_MAX, plain, UF_ERR_MEMORY,
           "of 128 bytes need 1.18e+12 GB; this machine has");
    refuse("MiniGrid-Empty-5x5-v0", (int64_t)1 << 40, plain, UF_ERR_MEMORY,
           "need 1.41e+05 GB; this machine has");
    REFUSE(view_size, 6, "view_size 6; expected an odd number from 3 to 63");
    REFUSE(view_size, 1, "view_size 1");
    REFUSE(view_size, 65, "view_size 65");
    REFUSE(view_size, -7, "view_size -7");
    REFUSE(max_steps, -1, "max_steps -1; expected at least 1");
    REFUSE(see_through_walls, 2, "see_through_walls 2");
    REFUSE(tile_size, -8, "tile_size -8");
    REFUSE(tile_size, 257, "tile_size 257");
    REFUSE(observation, NX_NUM_OBSERVATIONS, "observation 10; expected 0 to 9");
    REFUSE(observation, NX_OBS_CATEGORICAL, "categorical observations are of NAVIX's rules");
    REFUSE(autoreset, (NxAutoreset)3, "autoreset 3");
    REFUSE(rules, (NxRules)3, "rules 3");
    REFUSE(reward, NX_REWARD_TIME_COST, "reward and penalty_coef are of NAVIX's rules");
    REFUSE(reward, 16, "reward 16");
    REFUSE(penalty_coef, 0.9, "reward and penalty_coef are of NAVIX's rules");
    REFUSE(num_actions, 10, "num_actions 10; expected 7 (10 is of NAVIX's rules)");
    REFUSE(device, "gpu", "device 'gpu'");
    REFUSE(num_threads, -1, "-1 threads");
    NxBatch* batch;
    NxObservation observation;
    assert_int_equal(nx_create(NULL, "MiniGrid-Empty-5x5-v0", 1, 0, NULL), UF_ERR_ARGUMENT);
    assert_int_equal(nx_create(&batch, NULL, 1, 0, NULL), UF_ERR_ARGUMENT);
    assert_error("nx_create: 'id' is null");
    assert_int_equal(nx_find_observation(&observation, "fist_person"), UF_ERR_ARGUMENT);
    assert_error("did you mean 'first_person'?; known: first_person, full");
    nx_free(NULL);
}

static void test_refused_steps(void** state) {
    (void)state;
    enum { N = 1000 };
    static uint8_t actions[N];
    static uint8_t before[N][75], after[N][75];
    NxOptions options = defaults();
    options.observation = NX_OBS_FULL;
    NxBatch* batch = create("MiniGrid-Empty-5x5-v0", N, options);
    memset(actions, NX_FORWARD, sizeof actions);
    actions[777] = 7;
    actions[900] = 200;
    assert_ok(nx_show(batch, before));
    assert_int_equal(nx_step(batch, actions, &(NxOutput){0}), UF_ERR_ARGUMENT);
    assert_error("MiniGrid-Empty-5x5-v0: action 7 of environment 777; expected 0 to 6");
    assert_ok(nx_show(batch, after));
    assert_memory_equal(before, after, sizeof before);  // none has moved
    assert_int_equal(nx_step(batch, NULL, &(NxOutput){0}), UF_ERR_ARGUMENT);
    assert_error("nx_step: actions is NULL");
    assert_int_equal(nx_step(NULL, actions, &(NxOutput){0}), UF_ERR_ARGUMENT);
    assert_int_equal(nx_step(batch, actions, NULL), UF_ERR_ARGUMENT);
    assert_int_equal(nx_reset(batch, NULL), UF_ERR_ARGUMENT);
    assert_int_equal(nx_show(batch, NULL), UF_ERR_ARGUMENT);
    char text[128];
    assert_int_equal(nx_mission(batch, N, text), UF_ERR_ARGUMENT);
    assert_error("nx_mission: environment 1000 of 1000");
    nx_free(batch);
}

// The scene is legal until `change`, and stays what it was after the refusal.
#define REFUSE_STATE(change, says)                                           \
    do {                                                                     \
        clear_scene(&scene, 7, 7);                                           \
        assert_ok(nx_set_state(batch, 0, &scene.s));                         \
        change;                                                              \
        assert_int_equal(nx_set_state(batch, 0, &scene.s), UF_ERR_ARGUMENT); \
        assert_error(says);                                                  \
        static Scene kept;                                                   \
        kept.s = (NxState){.grid = kept.grid, .contents = kept.contents};    \
        assert_ok(nx_get_state(batch, 0, &kept.s));                          \
        clear_scene(&scene, 7, 7);                                           \
        assert_memory_equal(kept.grid, scene.grid, 3 * 49);                  \
        assert_int_equal(kept.s.x, 1);                                       \
    } while (0)

static void test_refused_states(void** state) {
    (void)state;
    static Scene scene;
    NxBatch* batch = create("Sandbox-7x7", 1, defaults());
    REFUSE_STATE(put(&scene, 2, 3, 10, 0, 1), "the grid has (10, 0, 1) at (2, 3), which is no cell");
    REFUSE_STATE(put(&scene, 2, 3, 0, 0, 0), "the grid has (0, 0, 0) at (2, 3)");
    REFUSE_STATE(put(&scene, 2, 3, EMPTY, 1, 0), "the grid has (1, 1, 0)");
    REFUSE_STATE(put(&scene, 2, 3, KEY, 6, 0), "the grid has (5, 6, 0)");
    REFUSE_STATE(put(&scene, 2, 3, DOOR, 0, 3), "the grid has (4, 0, 3)");
    REFUSE_STATE(put(&scene, 2, 3, BALL, 0, 1), "the grid has (6, 0, 1)");
    REFUSE_STATE(put(&scene, 1, 1, WALL, 5, 0),
                 "the agent is at (1, 1); expected a cell that it can walk on");
    REFUSE_STATE(put(&scene, 1, 1, DOOR, 0, CLOSED), "the agent is at (1, 1)");
    REFUSE_STATE(scene.s.x = 7, "the agent is at (7, 1)");
    REFUSE_STATE(scene.s.y = -1, "the agent is at (1, -1)");
    REFUSE_STATE(scene.s.direction = 4, "direction 4; expected 0 (east)");
    REFUSE_STATE(scene.s.max_steps = 0, "step 0 of 0");
    REFUSE_STATE(scene.s.step_count = -1, "step -1 of 100");
    REFUSE_STATE(scene.s.step_count = INT32_MAX, "step 2147483647");
    REFUSE_STATE(scene.s.carrying[0] = GOAL, "the agent carries (8, 0, 0); expected a key, ball or box");
    REFUSE_STATE(scene.s.carrying[0] = 0, "the agent carries (0, 0, 0)");
    REFUSE_STATE(scene.s.carrying_contents[0] = KEY, "what is carried is no box that can hold (5, 0, 0)");
    REFUSE_STATE((scene.s.carrying[0] = BOX, scene.s.carrying_contents[0] = 10),
                 "contents (10, 0, 0) of what is carried");
    REFUSE_STATE(scene.contents[3 * 10] = KEY, "contents (5, 0, 0) at (3, 1), where no box is");
    REFUSE_STATE(scene.contents[3 * 10] = 10, "contents (10, 0, 0) at (3, 1) are no cell");
    REFUSE_STATE(scene.s.num_obstacles = 1, "1 obstacles; expected 0");
    REFUSE_STATE(scene.s.target[0] = 7, "the target is at (7, -1)");
    REFUSE_STATE(scene.s.aux[2] = 10, "the aux is of type 10 and colour -1");
    REFUSE_STATE(scene.s.mission = 1, "there is no mission 1");
    assert_int_equal(nx_set_state(batch, 1, &scene.s), UF_ERR_ARGUMENT);
    assert_error("nx_set_state: environment 1 of 1");
    scene.s.grid = NULL;
    assert_int_equal(nx_set_state(batch, 0, &scene.s), UF_ERR_ARGUMENT);
    assert_int_equal(nx_get_state(batch, 0, &scene.s), UF_ERR_ARGUMENT);
    assert_error("nx_get_state: grid is NULL");
    nx_free(batch);

    // what a family's rules look at has to be there
    static const struct {
        const char *id, *says;
    } bare[] = {{"MiniGrid-GoToDoor-5x5-v0", "the target is at (-1, -1)"},
                {"MiniGrid-Fetch-5x5-N2-v0", "the target is of type -1 and colour -1"},
                {"MiniGrid-PutNear-6x6-N2-v0", "the target is at"},
                {"MiniGrid-KeyCorridorS3R3-v0", "the target is of type -1"},
                {"MiniGrid-Unlock-v0", "the target is at"},
                {"MiniGrid-MemoryS7-v0", "the target is at"},
                {"MiniGrid-RedBlueDoors-6x6-v0", "the target is at"},
                {"MiniGrid-Dynamic-Obstacles-5x5-v0", "0 obstacles; expected 2"}};
    for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++) {
        const NxSpec* spec;
        assert_ok(nx_find_spec(&spec, bare[i].id));
        batch = create(bare[i].id, 1, defaults());
        clear_scene(&scene, spec->width, spec->height);
        assert_int_equal(nx_set_state(batch, 0, &scene.s), UF_ERR_ARGUMENT);
        assert_error(bare[i].says);
        if (spec->family == NX_FAMILY_DYNAMIC_OBSTACLES) {
            scene.s.num_obstacles = 2;
            scene.s.obstacles[0][0] = scene.s.obstacles[0][1] = scene.s.obstacles[1][0] =
                scene.s.obstacles[1][1] = 2;
            put(&scene, 2, 2, BALL, NX_BLUE, 0);  // one ball twice
            assert_int_equal(nx_set_state(batch, 0, &scene.s), UF_ERR_ARGUMENT);
            assert_error("obstacle 1 is at (2, 2), where the grid has no ball of its own");
        }
        nx_free(batch);
    }
    batch = create("MiniGrid-Playground-v0", 1, defaults());
    clear_scene(&scene, 19, 19);
    put(&scene, 3, 3, BOX, NX_RED, 0);
    scene.contents[3 * (3 * 19 + 3)] = KEY;
    assert_int_equal(nx_set_state(batch, 0, &scene.s), UF_ERR_ARGUMENT);
    assert_error("where boxes are empty");
    scene.s.contents = NULL;  // may be left out
    assert_ok(nx_set_state(batch, 0, &scene.s));
    nx_free(batch);
}

// ---- recorded episodes ----

static int check_traces(const char* path) {
    char* report;
    bool passed;
    int lines = 0;
    assert_ok(uf_verify(path, &report, &passed));
    if (!passed) fail_msg("%s", report);
    for (const char* c = report; *c; c++) lines += *c == '\n';
    uf_free(report);
    return lines;
}

static void test_traces(void** state) {
    (void)state;
    assert_int_equal(check_traces(TRACES), 27 * 4 + 1);
}

static void test_all_traces(void** state) {
    (void)state;
    const char* path = "../shared/oracle/minigrid_traces.h5";
    if (access(path, R_OK) != 0) {
        printf("SKIP test_all_traces: %s not there\n", path);
        skip();
    }
    assert_true(check_traces(path) >= 82 * 4 + 1);
}

static void test_altered(void** state) {
    (void)state;
    static const struct {
        const char *id, *dataset;
        int64_t index;
        double change;
        const char* check;  // that says FAIL
    } cases[] = {
        {"MiniGrid-DoorKey-5x5-v0", "reward", 10, 2e-6, "rewards"},
        {"MiniGrid-DoorKey-5x5-v0", "reward", 3, (double)NAN, "rewards"},
        {"MiniGrid-DoorKey-5x5-v0", "terminated", 10, -1, "flags"},
        {"MiniGrid-Empty-5x5-v0", "truncated", 2, 1, "flags"},
        {"MiniGrid-Empty-5x5-v0", "max_steps", 1, 7, "rewards"},
        {"MiniGrid-FourRooms-v0", "agent", 20, 1, "states"},
        {"MiniGrid-KeyCorridorS3R2-v0", "carrying", 40, 1, "states"},
        {"Sandbox-8x8", "grid", 5000, 1, "states"},
        {"Sandbox-15x15", "obs", 3000, 1, "observations"},
        {"MiniGrid-GoToDoor-5x5-v0", "target", 3, 1, "missions"},
        {"MiniGrid-Dynamic-Obstacles-6x6-v0", "grid", 600, 1, "states"},
        {"MiniGrid-LavaGapS5-v0", "action", 0, 1, "states"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char* path;
        char name[128], *report;
        bool passed, said = false;
        hid_t file = open_copy(TRACES, &path);
        snprintf(name, sizeof name, "minigrid/%s/%s", cases[i].id, cases[i].dataset);
        alter(file, name, cases[i].index, cases[i].change);
        H5Fclose(file);
        assert_ok(uf_verify(path, &report, &passed));
        assert_false(passed);
        for (char* line = strtok(report, "\n"); line; line = strtok(NULL, "\n"))
            said |= strstr(line, cases[i].id) && strstr(line, cases[i].check) && strstr(line, "FAIL");
        if (!said) fail_msg("%s changed, but '%s' does not say so", name, cases[i].check);
        uf_free(report);
    }
}

// A changed attribute is no constant of ours.
static void test_altered_attribute(void** state) {
    (void)state;
    const char* path;
    char* report;
    bool passed;
    hid_t file = open_copy(TRACES, &path);
    static const char group[] = "minigrid/MiniGrid-FourRooms-v0", name[] = "default_max_steps";
    const int64_t wrong = 99;
    hid_t space = H5Screate(H5S_SCALAR);
    assert_true(H5Adelete_by_name(file, group, name, H5P_DEFAULT) >= 0);
    hid_t attribute =
        H5Acreate_by_name(file, group, name, H5T_NATIVE_INT64, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT64, &wrong) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Fclose(file);
    assert_ok(uf_verify(path, &report, &passed));
    assert_false(passed);
    uf_free(report);
}

static void expect_refusal(const char* path, const char* piece) {
    char* report;
    bool passed;
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_FORMAT);
    assert_error(piece);
    assert_null(report);
    assert_false(passed);
}

static void test_malformed(void** state) {
    (void)state;
    const char* path;
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* says;
    } cases[] = {
        {"MiniGrid-Empty-5x5-v0/ep_len", 0, 1, "Empty-5x5-v0/ep_len' adds up to"},
        {"MiniGrid-Empty-5x5-v0/ep_len", 0, -50, "has a length of -"},
        {"MiniGrid-Empty-5x5-v0/action", 1, 200,
         "episode 0: MiniGrid-Empty-5x5-v0: action 202 of environment 0"},
        {"MiniGrid-Empty-5x5-v0/max_steps", 0, -1000, "step 0 of -"},
        {"MiniGrid-Empty-5x5-v0/grid", 0, 20, "the grid has (22, 5, 0) at (0, 0)"},
        {"MiniGrid-Empty-5x5-v0/agent", 0, 90, "the agent is at (91, 1)"},
        {"MiniGrid-Dynamic-Obstacles-6x6-v0/obstacles", 7, 90, "obstacle 0 of environment 0 cannot be at"},
        {"Sandbox-8x8/box_contents", 0, 90, "row 0 of 'minigrid/Sandbox-8x8/box_contents' is about no cell"},
        {"Sandbox-8x8/box_contents", 3, 90, "are no cell of a level"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128];
        hid_t file = open_copy(TRACES, &path);
        snprintf(name, sizeof name, "minigrid/%s", cases[i].dataset);
        alter(file, name, cases[i].index, cases[i].change);
        H5Fclose(file);
        expect_refusal(path, cases[i].says);
    }
    hid_t file = open_copy(TRACES, &path);
    H5Ldelete(file, "minigrid/MiniGrid-FourRooms-v0/carrying", H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "MiniGrid-FourRooms-v0/carrying");
    file = open_copy(TRACES, &path);
    H5Lmove(file, "minigrid/MiniGrid-FourRooms-v0/mission", file, "minigrid/x", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "minigrid/MiniGrid-FourRooms-v0/seed", file, "minigrid/MiniGrid-FourRooms-v0/mission",
            H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "expected texts of a fixed length");
    file = open_copy(TRACES, &path);
    H5Lmove(file, "minigrid/MiniGrid-FourRooms-v0", file, "minigrid/MiniGrid-SevenRooms-v0", H5P_DEFAULT,
            H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "unknown gridworld 'MiniGrid-SevenRooms-v0'");
    file = open_copy(TRACES, &path);
    H5Lmove(file, "minigrid/MiniGrid-FourRooms-v0", file, "minigrid/MiniGrid-FourRooms-9x9-v0", H5P_DEFAULT,
            H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "is 19 by 19 in the file, and 9 by 9 here");
    file = open_copy(TRACES, &path);
    H5Ldelete(file, "minigrid", H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "none of the groups minigrid, navix, tiles and frames");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_observations),
        cmocka_unit_test(test_missions),
        cmocka_unit_test(test_walking),
        cmocka_unit_test(test_hands),
        cmocka_unit_test(test_doors_and_boxes),
        cmocka_unit_test(test_edge),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_go_to),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_pick_up_the_target),
        cmocka_unit_test(test_unlock),
        cmocka_unit_test(test_red_blue_doors),
        cmocka_unit_test(test_put_near),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_obstacles),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_autoreset),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_refused_batches),
        cmocka_unit_test(test_refused_steps),
        cmocka_unit_test(test_refused_states),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_all_traces),
        cmocka_unit_test(test_altered),
        cmocka_unit_test(test_altered_attribute),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
