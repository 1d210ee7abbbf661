// test_grid_navix_levels.c: NAVIX's levels, all 47 ids: what is always so, what is uniform, what hangs together; and the
// same levels and episodes whatever the batch and the threads.
#include "support.h"

#include <math.h>

#include "core/grid/grid_table.h"
#include "navix.h"

// ---- levels ----

enum { LEVELS = 3000, MAX_COUNTS = 512 };

typedef struct Levels {
    const NxSpec* spec;
    int n;
    NxState* states;  // with grids of their own
} Levels;

static Levels make_levels(const NxSpec* spec, int n) {
    Levels levels = {spec, n, calloc((size_t)n, sizeof(NxState))};
    const size_t bytes = (size_t)spec->width * (size_t)spec->height * 3;
    uint8_t* grids = malloc((size_t)n * bytes);
    assert_true(levels.states && grids);
    NxBatch* batch;
    assert_ok(nx_create(&batch, spec->id, n, 20, NULL));
    for (int i = 0; i < n; i++) {
        levels.states[i].grid = grids + (size_t)i * bytes;
        assert_ok(nx_get_state(batch, i, &levels.states[i]));
    }
    nx_free(batch);
    return levels;
}
static void free_levels(Levels* levels) {
    free(levels->states[0].grid);
    free(levels->states);
}

static int type_at(const NxSpec* spec, const NxState* s, int x, int y) {
    return s->grid[3 * (y * spec->width + x)];
}
static int colour_at(const NxSpec* spec, const NxState* s, int x, int y) {
    return s->grid[3 * (y * spec->width + x) + 1];
}
static int state_at(const NxSpec* spec, const NxState* s, int x, int y) {
    return s->grid[3 * (y * spec->width + x) + 2];
}
// Index of the first cell of a type; -1: none.
static int find(const NxSpec* spec, const NxState* s, int type) {
    for (int i = 0; i < spec->width * spec->height; i++)
        if (s->grid[3 * i] == type) return i;
    return -1;
}
static int count_type(const NxSpec* spec, const NxState* s, int type) {
    int count = 0;
    for (int i = 0; i < spec->width * spec->height; i++) count += s->grid[3 * i] == type;
    return count;
}

// Whether `counts` of `size` kinds come from a uniform distribution: chi-square within six standard deviations of its
// mean, which chance exceeds with a probability below 1e-6 where there are ten kinds, and below 1e-4 for two; the seed is
// fixed.
static void assert_uniform(const char* id, const char* what, const int* counts, int size) {
    double total = 0, chi = 0;
    for (int i = 0; i < size; i++) total += counts[i];
    for (int i = 0; i < size; i++) chi += pow(counts[i] - total / size, 2) / (total / size);
    if (size > 1 && !(chi <= size - 1 + 6 * sqrt(2.0 * (size - 1))))
        fail_msg("%s: %s is not uniform over %d: chi-square %.1f", id, what, size, chi);
    if (!(total > 0)) fail_msg("%s: %s never happened", id, what);
}

// A walk from the agent over what may be walked on, keys, balls, lava if it does no harm and, `doors` says which doors.
static bool reaches(const NxSpec* spec, const NxState* s, int target, int worst_door) {
    bool seen[NX_MAX_CELLS] = {false};
    int queue[NX_MAX_CELLS], head = 0, tail = 0;
    seen[queue[tail++] = s->y * spec->width + s->x] = true;
    while (head < tail) {
        const int here = queue[head++];
        if (here == target) return true;
        const int beside[4] = {here + 1, here - 1, here + spec->width, here - spec->width};
        for (int k = 0; k < 4; k++) {
            const int to = beside[k], type = s->grid[3 * to];
            if (seen[to] || type == 2 || (type == 4 && s->grid[3 * to + 2] > worst_door)) continue;
            if (type == 9 && spec->family == NX_FAMILY_LAVA_GAP) continue;
            seen[queue[tail++] = to] = true;
        }
    }
    return false;
}

static void check_solvable(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int goal = find(spec, s, 8), key = find(spec, s, 5);
        if (spec->family == NX_FAMILY_GO_TO_DOOR) {
            assert_true(goal < 0 && key < 0);
            continue;
        }
        if (!(goal >= 0 && reaches(spec, s, goal, 2) && (key < 0 || reaches(spec, s, key, 1))))
            fail_msg("%s: level %d has no solution", spec->id, i);
    }
}

static void check_start(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    int directions[4] = {0};
    const bool anywhere = spec->random_start || spec->family == NX_FAMILY_FOUR_ROOMS ||
                          spec->family == NX_FAMILY_GO_TO_DOOR || spec->family == NX_FAMILY_KEY_CORRIDOR;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int under = type_at(spec, s, s->x, s->y);
        assert_true(under == 1 || (under == 8 && anywhere));
        assert_int_equal(s->max_steps, 100);
        assert_true(s->carrying[0] == 1 && s->step_count == 0 && s->events == 0);
        if (!anywhere) assert_true(s->x == 1 && s->y == 1 && s->direction == 0);
        directions[s->direction]++;
    }
    if (anywhere) assert_uniform(spec->id, "direction", directions, 4);
}

// Agent and goal over all cells within the walls, together at times.
static void check_empty(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    const int side = spec->width - 2;
    int agents[MAX_COUNTS] = {0}, goals[MAX_COUNTS] = {0}, together = 0;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int goal = find(spec, s, 8), x = goal % spec->width, y = goal / spec->width;
        assert_int_equal(count_type(spec, s, 8), 1);
        if (!spec->random_start) assert_true(x == side && y == side);
        agents[(s->y - 1) * side + s->x - 1]++;
        goals[(y - 1) * side + x - 1]++;
        together += x == s->x && y == s->y;
    }
    if (!spec->random_start) return;
    assert_uniform(spec->id, "agent", agents, side * side);
    assert_uniform(spec->id, "goal", goals, side * side);
    const double expected = (double)levels->n / (side * side);
    assert_true(fabs(together - expected) < 6 * sqrt(expected));
}

static void check_door_key(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    int walls[MAX_COUNTS] = {0}, rows[MAX_COUNTS] = {0}, keys[MAX_COUNTS] = {0}, goals[MAX_COUNTS] = {0};
    const int inside = spec->width - 2, last = spec->width - 3;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int door = find(spec, s, 4), key = find(spec, s, 5), goal = find(spec, s, 8);
        const int wall = door % spec->width, key_x = key % spec->width, goal_x = goal % spec->width;
        assert_true(s->grid[3 * door + 1] == 4 && s->grid[3 * door + 2] == 2 && s->grid[3 * key + 1] == 4);
        assert_true(key_x < wall && s->x < wall && goal_x > wall);
        assert_true(!(key_x == s->x && key / spec->width == s->y));
        if (!spec->random_start) assert_int_equal(goal, (spec->height - 2) * spec->width + spec->width - 2);
        for (int y = 1; y < spec->height - 1; y++)
            assert_true(type_at(spec, s, wall, y) == 2 || y == door / spec->width);
        walls[wall - 2]++;
        rows[door / spec->width - 1]++;
        if (wall == last && !spec->random_start) keys[(key / spec->width - 1) * (last - 1) + key_x - 1]++;
        if (wall == 2) goals[(goal / spec->width - 1) * (inside - 2) + goal_x - 3]++;
    }
    assert_uniform(spec->id, "column of the door", walls, spec->width - 4);
    assert_uniform(spec->id, "row of the door", rows, inside);
    if (spec->random_start) assert_uniform(spec->id, "goal", goals, inside * (inside - 2));
    if (spec->random_start) return;
    assert_int_equal(keys[0], 0);  // the agent is there
    assert_uniform(spec->id, "key", keys + 1, inside * (last - 1) - 1);
}

static void check_four_rooms(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    const int middle = spec->width / 2;
    int gaps[4][MAX_COUNTS] = {{0}}, together = 0;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int goal = find(spec, s, 8);
        int column[2], row[2], columns = 0, rows = 0;
        for (int k = 1; k < spec->width - 1; k++) {
            if (type_at(spec, s, middle, k) != 2 && columns++ < 2) column[columns - 1] = k;
            if (type_at(spec, s, k, middle) != 2 && rows++ < 2) row[rows - 1] = k;
        }
        assert_true(columns == 2 && rows == 2 && type_at(spec, s, middle, middle) == 2);
        assert_true(column[0] < middle && column[1] > middle + 1 && row[0] < middle && row[1] > middle + 1);
        gaps[0][column[0] - 1]++;
        gaps[1][column[1] - middle - 2]++;
        gaps[2][row[0] - 1]++;
        gaps[3][row[1] - middle - 2]++;
        // One number makes the horizontal gaps and the direction, modulo c - 1, c - 2 and 4.
        if ((middle - 1) % 4 == 0) assert_int_equal((row[0] - 1) % 4, s->direction);
        if ((middle - 2) % 4 == 0) assert_int_equal((row[1] - middle - 2) % 4, s->direction);
        together += goal == s->y * spec->width + s->x;
    }
    for (int k = 0; k < 4; k++) assert_uniform(spec->id, "gap", gaps[k], k % 2 ? middle - 2 : middle - 1);
    assert_true(together > 0);
}

static void check_lava_gap(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    int columns[MAX_COUNTS] = {0}, gaps[MAX_COUNTS] = {0};
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int x = find(spec, s, 9) % spec->width;
        assert_int_equal(count_type(spec, s, 9), spec->height - 3);
        columns[x - 2]++;
        for (int y = 1; y < spec->height - 1; y++) gaps[y - 1] += type_at(spec, s, x, y) == 1;
    }
    assert_uniform(spec->id, "lava", columns, spec->width - 4);
    assert_uniform(spec->id, "gap", gaps, spec->height - 2);
}

// The walls are whole but for a gap each, and as many as the id says.
static void check_crossing(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    const int inside = spec->width - 2;
    int where[MAX_COUNTS] = {0};
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        int walls = 0;
        for (int k = 2; k < spec->width - 2; k += 2) {
            int down = 0, across = 0;
            for (int j = 1; j <= inside; j++) {
                down += type_at(spec, s, k, j) == 2;
                across += type_at(spec, s, j, k) == 2;
            }
            // A line that is no wall has the gaps of none: at most the walls across it are in it.
            walls += (down >= inside - 1) + (across >= inside - 1);
            where[k / 2 - 1] += down >= inside - 1;
            where[inside / 2 + k / 2 - 1] += across >= inside - 1;
        }
        assert_int_equal(walls, spec->count);
    }
    assert_uniform(spec->id, "wall", where, inside / 2 * 2);
}

static void check_obstacles(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    int shared = 0, on_goal = 0;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        assert_int_equal(s->num_obstacles, spec->count);
        assert_int_equal(type_at(spec, s, spec->width - 2, spec->height - 2), 8);
        bool shares = false;
        for (int k = 0; k < s->num_obstacles; k++) {
            assert_int_equal(type_at(spec, s, s->obstacles[k][0], s->obstacles[k][1]), 6);
            assert_true(s->obstacles[k][0] != s->x || s->obstacles[k][1] != s->y);
            for (int j = 0; j < k; j++) shares |= memcmp(s->obstacles[k], s->obstacles[j], 8) == 0;
        }
        assert_true(count_type(spec, s, 6) == spec->count || shares);
        shared += shares;
        on_goal += s->x == spec->width - 2 && s->y == spec->height - 2;
    }
    assert_true(shared > 0);
    assert_int_equal(on_goal > 0, spec->random_start);
}

static void check_go_to_door(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    int sides[MAX_COUNTS] = {0}, targets[4] = {0}, colours[6] = {0}, twins = 0;
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        int doors[4], num_doors = 0, side = 0, target = -1;
        for (int k = 1; k < spec->width && !side; k++)
            if (type_at(spec, s, k, k) == 2) side = k + 1;
        for (int k = 0; k < spec->width; k++)  // walls to the ends of the map
            for (int j = 0; j < 2; j++) {
                const int line = j ? side - 1 : 0, a = type_at(spec, s, k, line),
                          b = type_at(spec, s, line, k);
                assert_true((a == 2 || a == 4) && (b == 2 || b == 4));
            }
        for (int k = 0; k < spec->width * spec->height; k++)
            if (s->grid[3 * k] == 4 && num_doors++ < 4) doors[num_doors - 1] = k;
        assert_int_equal(num_doors, 4);
        int right_y = 0;
        for (int k = 0; k < 4; k++) {
            const int x = doors[k] % spec->width, y = doors[k] / spec->width;
            const int which = x == side - 1 ? 0 : y == side - 1 ? 1 : x == 0 ? 2 : 3;
            const int along = which == 0 || which == 2 ? y : x;
            assert_in_range(along, 2, side - 3);
            assert_int_equal(state_at(spec, s, x, y), 1);
            if (which == 0) right_y = y;
            if (x == s->target[0] && y == s->target[1]) {
                target = which;
                assert_int_equal(colour_at(spec, s, x, y), s->target[3]);
            }
            colours[colour_at(spec, s, x, y)]++;
        }
        assert_true(target >= 0 && s->x < side - 1 && s->y < side - 1);
        if (side == 6) assert_int_equal((right_y - 2) % 2, target % 2);  // they share a number
        twins += colour_at(spec, s, doors[0] % spec->width, doors[0] / spec->width) ==
                 colour_at(spec, s, doors[1] % spec->width, doors[1] / spec->width);
        sides[side - 5]++;
        targets[target]++;
    }
    assert_uniform(spec->id, "side", sides, spec->width > 5 ? spec->width - 5 : 1);
    assert_uniform(spec->id, "target", targets, 4);
    assert_uniform(spec->id, "colour", colours, 6);
    assert_true(fabs(twins - levels->n / 6.0) < 6 * sqrt(levels->n / 6.0));
}

static void check_key_corridor(const Levels* levels) {
    const NxSpec* spec = levels->spec;
    const int room = spec->size - 2, pitch = room + 1, places = room > 1 ? room - 1 : 1;
    int goals[MAX_COUNTS] = {0}, keys[MAX_COUNTS] = {0}, agents[MAX_COUNTS] = {0}, colours[6] = {0};
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        const int key = find(spec, s, 5), goal = find(spec, s, 8), width = spec->width;
        const int things[3] = {key, s->y * width + s->x, goal};
        int* counts[3] = {keys, agents, goals};
        int locked = 0, doors = 0;
        for (int k = 0; k < 3; k++) {
            const int x = things[k] % width - k * pitch - 1, y = things[k] / width, row = y / pitch;
            assert_in_range(x, 0, places - 1);
            assert_in_range(y - row * pitch - 1, 0, places - 1);
            counts[k][(row * places + y - row * pitch - 1) * places + x]++;
        }
        for (int k = 0; k < width * spec->height; k++) {
            if (s->grid[3 * k] != 4) continue;
            doors++;
            const int colour = s->grid[3 * k + 1], y = k / width;
            if (s->grid[3 * k + 2] == 2) {
                locked++;
                assert_int_equal(k % width, 2 * pitch);
                assert_int_equal(y / pitch, goal / width / pitch);
                assert_int_equal(colour, s->grid[3 * key + 1]);
            } else if (k % width == 2 * pitch || k % width == pitch) {
                // one number makes place, modulo the room, and colour, modulo 6
                if (room % 2 == 0) assert_int_equal((y % pitch - 1) % 2, colour % 2);
                if (room % 3 == 0) assert_int_equal((y % pitch - 1) % 3, colour % 3);
            }
        }
        assert_int_equal(locked, 1);
        assert_int_equal(doors, 2 * spec->count + spec->count - 1);
        colours[s->grid[3 * key + 1]]++;
    }
    assert_uniform(spec->id, "key", keys, spec->count * places * places);
    assert_uniform(spec->id, "agent", agents, spec->count * places * places);
    assert_uniform(spec->id, "goal", goals, spec->count * places * places);
    assert_uniform(spec->id, "colour of the key", colours, 6);
}

static void check_dist_shift(const Levels* levels) {
    for (int i = 0; i < levels->n; i++) {
        const NxState* s = &levels->states[i];
        assert_int_equal(type_at(levels->spec, s, 7, 1), 8);
        assert_int_equal(count_type(levels->spec, s, 9), 6);
        for (int x = 3; x <= 5; x++) {
            assert_int_equal(type_at(levels->spec, s, x, 1), 9);
            assert_int_equal(type_at(levels->spec, s, x, strstr(levels->spec->id, "DistShift1") ? 2 : 5), 9);
        }
    }
}

static void test_levels(void** state) {
    int num_ids = 0;
    (void)state;
    for (int i = 0; i < nx_num_specs; i++) {
        const NxSpec* spec = &nx_specs[i];
        if (!spec->navix) continue;
        num_ids++;
        Levels levels = make_levels(spec, LEVELS);
        check_start(&levels);
        check_solvable(&levels);
        switch (spec->family) {
            case NX_FAMILY_EMPTY: check_empty(&levels); break;
            case NX_FAMILY_DOOR_KEY: check_door_key(&levels); break;
            case NX_FAMILY_FOUR_ROOMS: check_four_rooms(&levels); break;
            case NX_FAMILY_LAVA_GAP: check_lava_gap(&levels); break;
            case NX_FAMILY_CROSSING: check_crossing(&levels); break;
            case NX_FAMILY_DYNAMIC_OBSTACLES: check_obstacles(&levels); break;
            case NX_FAMILY_GO_TO_DOOR: check_go_to_door(&levels); break;
            case NX_FAMILY_KEY_CORRIDOR: check_key_corridor(&levels); break;
            case NX_FAMILY_DIST_SHIFT: check_dist_shift(&levels); break;
            default: fail_msg("%s: of no family that NAVIX has", spec->id);
        }
        free_levels(&levels);
    }
    assert_int_equal(num_ids, 47);
}

// ---- batches ----

enum { STEPS = 150, BATCH = 600 };

// What environments first..first + n - 1 of a batch of `total` go through: a hash of all that a step writes.
static void hashes(const char* id, int total, int threads, uint64_t* out) {
    NxOptions options;
    NxBatch* b;
    nx_default_options(&options);
    options.num_threads = threads;
    options.observation = NX_OBS_CATEGORICAL_FIRST_PERSON;
    assert_ok(nx_create(&b, id, total, 7, &options));
    int32_t* obs = malloc((size_t)total * nx_shape(b).bytes);
    float* rewards = malloc((size_t)total * sizeof(float));
    uint8_t *ends = malloc((size_t)total), *late = malloc((size_t)total), *actions = malloc((size_t)total);
    assert_true(obs && rewards && ends && late && actions);
    for (int i = 0; i < total; i++) out[i] = 14695981039346656037u;
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < total; i++) {
            const int roll = (int)((uint32_t)(i * 7919 + step * 104729) * 2654435761u >> 24);
            actions[i] = (uint8_t)(roll < 90 ? NX_FORWARD : roll % 7);
        }
        assert_ok(nx_step(b, actions, &(NxOutput){.obs = obs, .reward = rewards, .terminated = ends, .truncated = late}));
        for (int i = 0; i < total; i++) {
            const int32_t* o = obs + (size_t)i * nx_shape(b).bytes / 4;
            uint64_t h = out[i];
            for (size_t k = 0; k < nx_shape(b).bytes / 4; k++) h = (h ^ (uint32_t)o[k]) * 1099511628211u;
            out[i] = (h ^ (uint64_t)(ends[i] + 2 * late[i] + (rewards[i] > 0) * 4)) * 1099511628211u;
        }
    }
    free(obs);
    free(rewards);
    free(ends);
    free(late);
    free(actions);
    nx_free(b);
}

static void test_same_bits(void** state) {
    static uint64_t one[BATCH], two[BATCH], few[BATCH];
    (void)state;
    const char* ids[] = {"Navix-Dynamic-Obstacles-8x8-v0", "Navix-KeyCorridorS4R3-v0",
                         "Navix-GoToDoor-8x8-v0"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        hashes(ids[i], BATCH, 1, one);
        hashes(ids[i], BATCH, 2, two);
        hashes(ids[i], 37, 1, few);
        assert_memory_equal(one, two, sizeof one);
        assert_memory_equal(one, few, 37 * sizeof one[0]);
        int differ = 0;
        for (int k = 1; k < BATCH; k++) differ += one[k] != one[0];
        assert_true(differ > BATCH / 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels), cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
