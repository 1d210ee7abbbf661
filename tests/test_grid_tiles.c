// test_grid_tiles.c: MiniGrid's tiles and frames to the byte, RGB observations, pictures of levels.
#include "support.h"

#include <sys/stat.h>

#include "core/core.h"
#include "core/grid/grid_render.h"
#include "core/grid/grid_tiles.h"
#include "core/pictures/gif.h"
#include "core/verify/verify.h"
#include "h5_change.h"
#include "navix.h"

#ifndef UF_NO_CAIRO
#include <cairo.h>
#endif

#define RECORDED "tests/data/minigrid_tiles.h5"

// ---- recordings ----

static void judge(const char* path, bool expected, const char* piece) {
    char* report;
    bool passed;
    assert_ok(uf_verify(path, &report, &passed));
    if (passed != expected || !strstr(report, piece))
        fail_msg("%s: passed %d, expected %d with '%s':\n%s", path, passed, expected, piece, report);
    uf_free(report);
}

static void test_recorded(void** state) {
    (void)state;
    judge(RECORDED, true, "bytes of 366 tiles of 24 pixels");
    judge(RECORDED, true, "bytes of 35 frames");
}

static void test_oracle(void** state) {
    (void)state;
    const char* path = "../shared/oracle/minigrid_traces.h5";
    if (access(path, R_OK) != 0) {
        print_message("SKIP test_oracle: %s is not there\n", path);
        skip();
    }
    judge(path, true, "bytes of 132 tiles of 32 pixels");
}

static const char* copy_of_recording(void) {
    char command[256];
    const char* path = in_folder("changed.h5");
    snprintf(command, sizeof command, "cp '%s' '%s'", RECORDED, path);
    assert_int_equal(system(command), 0);
    return path;
}

static void change(const char* path, const char* name, int64_t index, double by) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    alter(file, name, index, by);
    H5Fclose(file);
}

static void set_attribute(const char* path, const char* group, const char* name, int value) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    assert_true(file >= 0 && H5Adelete_by_name(file, group, name, H5P_DEFAULT) >= 0);
    hid_t attribute =
        H5Acreate_by_name(file, group, name, H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT, &value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Fclose(file);
}

// One byte that is off by one is a failure, and says where.
static void test_changed(void** state) {
    (void)state;
    static const char* const names[] = {"tiles/rgb5", "tiles/rgb24", "frames/00/rgb", "frames/61/rgb"};
    for (int i = 0; i < 4; i++) {
        const char* path = copy_of_recording();
        change(path, names[i], 12345, 1);
        judge(path, false, "worst 1  ");
    }
    const char* path = copy_of_recording();
    set_attribute(path, "frames/10", "see_through_walls", 1);
    judge(path, false, "FAIL");
}

static void refused_file(const char* path, const char* piece) {
    char* report;
    bool passed;
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_FORMAT);
    assert_error(path);
    assert_error(piece);
    assert_false(passed);
}

static void test_refused_files(void** state) {
    (void)state;
    const char* path = copy_of_recording();
    change(path, "tiles/key", 5 * 7, 90);
    refused_file(path, "row 7 of 'tiles/key' is no tile");
    path = copy_of_recording();
    change(path, "tiles/key", 5 * 7 + 3, 5);
    refused_file(path, "row 7 of 'tiles/key' is no tile");
    path = copy_of_recording();
    change(path, "frames/21/grid", 3 * 11, 99);
    refused_file(path, "cell 11 of 'frames/21/grid'");
    static const struct {
        const char* name;
        int value;
        const char* says;
    } cases[] = {{"tile_size", 0, "a whole number from 1 to 256 expected"},
                 {"tile_size", 13, "is not ("},
                 {"pov", 2, "from 0 to 1"},
                 {"view", 8, "an odd number expected"},
                 {"view", 65, "from 3 to 63"},
                 {"highlight", -1, "from 0 to 1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        path = copy_of_recording();
        set_attribute(path, "frames/21", cases[i].name, cases[i].value);
        refused_file(path, cases[i].says);
    }
}

// ---- tiles ----

static void test_sizes(void** state) {
    (void)state;
    NxTiles* tiles;
    static const int wrong[] = {-1, 0, NX_MAX_TILE_SIZE + 1};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(nx_tiles_create(&tiles, wrong[i]), UF_ERR_ARGUMENT);
        assert_null(tiles);
        assert_error("1 to 256 can be");
    }
    assert_ok(nx_tiles_create(&tiles, NX_MAX_TILE_SIZE));
    // a wall is its colour, whatever the size
    const uint8_t* wall = nx_tile(tiles, nx_tile_code(NX_CELL_WALL, 0, false));
    for (int i = 0; i < 3 * NX_MAX_TILE_SIZE * NX_MAX_TILE_SIZE; i++) assert_int_equal(wall[i], 100);
    nx_tiles_free(tiles);
    nx_tiles_free(NULL);
}

// ---- RGB observations ----

// The same cell by cell, from what the other observations and the state say.
static void draw_slowly(const NxTiles* tiles, const NxState* s, const uint8_t* view, int size,
                        bool first_person, int width, int height, uint8_t* out) {
    const int dx = nx_dx(s->direction), dy = nx_dy(s->direction), t = tiles->size;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            NxCell cell = NX_UNSEEN;
            bool highlight = false,
                 agent = first_person ? x == size / 2 && y == size - 1 : x == s->x && y == s->y;
            if (first_person) {
                highlight = view[3 * (y * size + x)] != 0;
                assert_true(nx_cell_of(view + 3 * (y * size + x), &cell));
            } else {
                const int ahead = (x - s->x) * dx + (y - s->y) * dy,
                          right = (y - s->y) * dx - (x - s->x) * dy;
                const int row = size - 1 - ahead, column = size / 2 + right;
                highlight = row >= 0 && row < size && column >= 0 && column < size &&
                            view[3 * (row * size + column)] != 0;
                assert_true(nx_cell_of(s->grid + 3 * (y * width + x), &cell));
            }
            const int direction = first_person ? 3 : s->direction;
            const uint8_t* tile = nx_tile(tiles, nx_tile_code(cell, agent ? 1 + direction : 0, highlight));
            for (int j = 0; j < t; j++)
                memcpy(out + 3 * ((size_t)(y * t + j) * (size_t)(width * t) + (size_t)(x * t)),
                       tile + 3 * t * j, (size_t)(3 * t));
        }
    }
}

static NxBatch* batch_of(const char* id, NxObservation observation, int tile_size, int view) {
    NxBatch* batch;
    NxOptions o;
    nx_default_options(&o);
    o.observation = observation;
    o.tile_size = tile_size;
    o.view_size = view;
    o.num_threads = 2;
    assert_ok(nx_create(&batch, id, 70, 5, &o));
    return batch;
}

static void check_rgb(const char* id, int tile_size, int view, bool first_person) {
    enum { N = 70 };
    NxBatch* rgb = batch_of(id, first_person ? NX_OBS_RGB_FIRST_PERSON : NX_OBS_RGB, tile_size, view);
    NxBatch* plain = batch_of(id, NX_OBS_FIRST_PERSON, 0, view);
    const NxShape shape = nx_shape(rgb), small = nx_shape(plain);
    const int size = small.dims[0], t = tile_size ? tile_size : 32;
    assert_int_equal(shape.num_dims, 3);
    assert_int_equal(shape.bytes, (size_t)shape.dims[0] * (size_t)shape.dims[1] * 3);
    uint8_t *pictures = malloc(N * shape.bytes), *views = malloc(N * small.bytes),
            *slow = malloc(shape.bytes);
    uint8_t grid[3 * NX_MAX_CELLS], actions[N];
    NxState s = {.grid = grid};
    NxTiles* tiles;
    UfRandom random = uf_random(1, UF_STREAM_CONTROLLER, 0);
    assert_ok(nx_tiles_create(&tiles, t));
    assert_ok(nx_reset(rgb, &(NxOutput){.obs = pictures}));
    assert_ok(nx_reset(plain, &(NxOutput){.obs = views}));
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < N; i++) {
            assert_ok(nx_get_state(rgb, i, &s));
            draw_slowly(tiles, &s, views + (size_t)i * small.bytes, size, first_person, shape.dims[1] / t,
                        shape.dims[0] / t, slow);
            if (memcmp(slow, pictures + (size_t)i * shape.bytes, shape.bytes) != 0)
                fail_msg("%s, tiles of %d, view %d, first person %d: environment %d differs at step %d", id,
                         t, size, first_person, i, step);
        }
        for (int i = 0; i < N; i++) actions[i] = (uint8_t)uf_random_uniform(&random, 0, 7);
        assert_ok(nx_step(rgb, actions, &(NxOutput){.obs = pictures}));
        assert_ok(nx_step(plain, actions, &(NxOutput){.obs = views}));
    }
    free(pictures);
    free(views);
    free(slow);
    nx_tiles_free(tiles);
    nx_free(rgb);
    nx_free(plain);
}

static void test_observations(void** state) {
    (void)state;
    static const struct {
        const char* id;
        int tile_size, view;
    } cases[] = {{"MiniGrid-DoorKey-8x8-v0", 8, 0},      {"MiniGrid-Empty-5x5-v0", 0, 0},
                 {"MiniGrid-MultiRoom-N4-S5-v0", 3, 0},  {"MiniGrid-Playground-v0", 16, 5},
                 {"MiniGrid-LavaCrossingS9N2-v0", 1, 9}, {"MiniGrid-Dynamic-Obstacles-6x6-v0", 20, 3},
                 {"MiniGrid-KeyCorridorS3R3-v0", 32, 0}, {"MiniGrid-ObstructedMaze-2Dlhb-v0", 8, 11}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int first_person = 0; first_person < 2; first_person++)
            check_rgb(cases[i].id, cases[i].tile_size, cases[i].view, first_person);
}

// NAVIX's: of the map no cell is highlighted; in first person all are, and what is not seen is a wall. Its categorical
// view says what is seen, but for floors, of which some are not.
static void test_navix(void** state) {
    (void)state;
    enum { N = 70, T = 8 };
    static uint8_t pictures[N * 56 * 56 * 3], maps[N * 64 * 64 * 3], actions[N], grid[3 * 64];
    static int32_t views[N * 49];
    NxBatch* batches[3] = {batch_of("Navix-DoorKey-8x8-v0", NX_OBS_RGB_FIRST_PERSON, T, 0),
                           batch_of("Navix-DoorKey-8x8-v0", NX_OBS_CATEGORICAL_FIRST_PERSON, 0, 0),
                           batch_of("Navix-DoorKey-8x8-v0", NX_OBS_RGB, 0, 0)};  // 8 pixels are the default
    void* obs[3] = {pictures, views, maps};
    NxTiles* tiles;
    NxState s = {.grid = grid};
    int num_unseen = 0;
    UfRandom random = uf_random(2, UF_STREAM_CONTROLLER, 0);
    assert_ok(nx_tiles_create(&tiles, T));
    assert_int_equal(nx_shape(batches[2]).dims[0], 64);
    for (int step = 0; step < 30; step++) {
        for (int i = 0; i < N; i++) actions[i] = (uint8_t)uf_random_uniform(&random, 0, 7);
        for (int b = 0; b < 3; b++) assert_ok(nx_step(batches[b], actions, &(NxOutput){.obs = obs[b]}));
        for (int i = 0; i < N * 49; i++) {
            const uint8_t* corner =
                pictures + (size_t)(i / 49) * 56 * 56 * 3 + 3 * 8 * (56 * (i % 49 / 7) + i % 7);
            const int type = views[i];
            // a wall is 146 everywhere, the line at the edge of a floor in part
            const bool wall = corner[0] == 146 && corner[3 * 57] == 146 && corner[3 * 57 * 4] == 146;
            if (type == 100 || type == -1 || type == 2) assert_true(wall);
            if (type > 2 && type < 100) assert_false(wall);
            num_unseen += type == 0 && wall;
        }
        for (int i = 0; i < N; i++) {
            uint8_t slow[64 * 64 * 3], blind[3 * 49] = {0};
            assert_ok(nx_get_state(batches[2], i, &s));
            draw_slowly(tiles, &s, blind, 7, false, 8, 8, slow);
            assert_memory_equal(slow, maps + (size_t)i * sizeof slow, sizeof slow);
        }
    }
    assert_true(num_unseen > 0);
    nx_tiles_free(tiles);
    for (int b = 0; b < 3; b++) nx_free(batches[b]);
}

// ---- files ----

#ifndef UF_NO_CAIRO

// A level's PNG is the observation, pixel by pixel.
static void test_level(void** state) {
    (void)state;
    const char *id = "MiniGrid-DoorKey-6x6-v0", *path = in_folder("level.png");
    NxRenderOptions o = {.ids = &id, .num_ids = 1, .seed = 5, .tile_size = 20, .output = path};
    NxRender r;
    NxBatch* batch = batch_of(id, NX_OBS_RGB, 20, 0);
    uint8_t* pictures = malloc(70 * nx_shape(batch).bytes);
    assert_ok(nx_reset(batch, &(NxOutput){.obs = pictures}));
    assert_ok(nx_render(&o, &r));
    assert_int_equal(r.width, 120);
    assert_int_equal(r.height, 120);
    cairo_surface_t* page = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_image_surface_get_width(page), 120);
    for (int y = 0; y < 120; y++) {
        const uint32_t* row =
            (const void*)(cairo_image_surface_get_data(page) + y * cairo_image_surface_get_stride(page));
        for (int x = 0; x < 120; x++) {
            const uint8_t* p = pictures + 3 * (y * 120 + x);
            assert_int_equal(row[x] & 0xFFFFFF, p[0] << 16 | p[1] << 8 | p[2]);
        }
    }
    cairo_surface_destroy(page);
    free(pictures);
    nx_free(batch);
}

static void test_sheet(void** state) {
    (void)state;
    static const char* const ids[] = {"MiniGrid-Empty-5x5-v0", "MiniGrid-FourRooms-v0",
                                      "Navix-DoorKey-5x5-v0"};
    NxRenderOptions o = {.ids = ids, .num_ids = 3, .output = in_folder("sheet.png")};
    NxRender r;
    assert_ok(nx_render(&o, &r));
    assert_int_equal(r.num_frames, 3);
    cairo_surface_t* page = cairo_image_surface_create_from_png(o.output);
    assert_int_equal(cairo_image_surface_get_width(page), r.width);
    assert_int_equal(cairo_image_surface_get_height(page), r.height);
    cairo_surface_destroy(page);
    o.first_person = true;
    assert_ok(nx_render(&o, &r));
    o.output = in_folder("sheet.gif");
    assert_int_equal(nx_render(&o, &r), UF_ERR_ARGUMENT);
    assert_error("an animation is of one gridworld, not of 3");
}

#endif

static void test_animation(void** state) {
    (void)state;
    const char *id = "MiniGrid-Empty-5x5-v0", *path = in_folder("episode.gif");
    NxRenderOptions o = {
        .ids = &id, .num_ids = 1, .seed = 1, .num_steps = 30, .tile_size = 8, .output = path};
    NxRender r;
    UfStatus status = nx_render(&o, &r);
#ifdef UF_NO_GIF
    assert_int_equal(status, UF_ERR_UNSUPPORTED);
#else
    struct stat info;
    assert_int_equal(status, UF_OK);
    assert_int_equal(r.num_frames, r.num_steps + 1);
    assert_int_equal(r.num_steps, 30);
    assert_int_equal(stat(path, &info), 0);
    o.num_steps = 100000;  // until the episode's end: 100 steps at most, or the goal
    assert_ok(nx_render(&o, &r));
    assert_true(r.num_steps <= 100 && (r.num_steps == 100) == (r.ret == 0));
#endif
}

static void test_refusals(void** state) {
    (void)state;
    const char* id = "MiniGrid-DoorKey-8x8-v0";
    NxRender r;
    NxRenderOptions o = {.ids = &id, .num_ids = 1, .output = in_folder("level.jpg")};
    assert_int_equal(nx_render(&o, &r), UF_ERR_ARGUMENT);
    assert_error("level.jpg: the ending of a picture's name must be .png or .gif");
    o.output = in_folder("none.png");
    o.tile_size = NX_MAX_TILE_SIZE + 1;
    assert_int_not_equal(nx_render(&o, &r), UF_OK);
#ifndef UF_NO_CAIRO
    assert_error("tile_size 257; expected 1 to 256");
    id = "MiniGrid-MultiRoom-N6-v0";
    o.tile_size = 0;
    o.output = in_folder("no/such/level.png");
    assert_int_equal(nx_render(&o, &r), UF_ERR_IO);
    assert_error("no/such/level.png: cannot write");
    id = "MiniGrid-DorKey-8x8-v0";
    o.output = in_folder("none.png");
    assert_int_equal(nx_render(&o, &r), UF_ERR_ARGUMENT);
    assert_error("did you mean 'MiniGrid-DoorKey-8x8-v0'");
#endif
    assert_int_not_equal(access(in_folder("none.png"), F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),  cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_changed),   cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_observations),
        cmocka_unit_test(test_navix),
#ifndef UF_NO_CAIRO
        cmocka_unit_test(test_level),     cmocka_unit_test(test_sheet),
#endif
        cmocka_unit_test(test_animation), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("grid_tiles", tests, make_folder, remove_folder);
}
