// test_render: strips and animations read back: sizes, pictures, speed, the same episode as an evaluation's; refusals.
#include "support.h"

#include <math.h>
#include <sys/stat.h>

#include "core/envs/envs.h"
#include "core/envs/mujoco.h"
#include "core/runs/collect.h"
#include "core/runs/render.h"
#include "core/runs/run.h"

#ifndef UF_NO_CAIRO
#include <cairo.h>
#endif
#ifndef UF_NO_GIF
#include <gif_lib.h>
#endif

enum { WIDTH = 200, HEIGHT = 150, CAPTION = 26 };

// What stands for one of each drawing function.
static const char* const drawn[] = {"pendulum",         "cartpole",
                                    "mountaincar",      "mountaincarcontinuous",
                                    "acrobot",          "pointmaze-large",
                                    "hopper",           "halfcheetah",
                                    "walker2d",         "ant",
                                    "invertedpendulum", "gridworld-5x5"};
enum { NUM_DRAWN = sizeof drawn / sizeof drawn[0] };

static UfRenderOptions options_of(const char* env, const char* output) {
    return (UfRenderOptions){
        .policy = "random", .env = env, .seed = 1, .width = WIDTH, .height = HEIGHT, .output = output};
}

#ifndef UF_NO_CAIRO

// ---- pictures as rows of 0xRRGGBB ----

typedef struct Picture {
    int width, height;
    uint32_t* pixels;
} Picture;

static Picture read_png(const char* path) {
    cairo_surface_t* surface = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    Picture p = {cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface), NULL};
    const unsigned char* data = cairo_image_surface_get_data(surface);
    p.pixels = test_malloc((size_t)p.width * (size_t)p.height * sizeof(uint32_t));
    for (int y = 0; y < p.height; y++)
        memcpy(p.pixels + (size_t)y * (size_t)p.width, data + y * cairo_image_surface_get_stride(surface),
               (size_t)p.width * sizeof(uint32_t));
    for (int i = 0; i < p.width * p.height; i++) p.pixels[i] &= 0xFFFFFF;
    cairo_surface_destroy(surface);
    return p;
}

// The drawing (without its caption) of frame `at` of a strip in one row.
static Picture tile(const Picture* page, int at) {
    const int left = 8 + at * (WIDTH + 8), top = page->height - 8 - HEIGHT;
    Picture p = {WIDTH, HEIGHT - CAPTION, test_malloc(WIDTH * (HEIGHT - CAPTION) * sizeof(uint32_t))};
    for (int y = 0; y < p.height; y++)
        memcpy(p.pixels + y * WIDTH, page->pixels + (top + y) * page->width + left, WIDTH * sizeof(uint32_t));
    return p;
}

// How many pixels differ by more than `slack` in a channel.
static int num_different(const Picture* a, const Picture* b, int slack) {
    int count = 0;
    for (int i = 0; i < WIDTH * (HEIGHT - CAPTION); i++) {
        int worst = 0;
        for (int shift = 0; shift < 24; shift += 8) {
            int d = abs((int)(a->pixels[i] >> shift & 255) - (int)(b->pixels[i] >> shift & 255));
            if (d > worst) worst = d;
        }
        count += worst > slack;
    }
    return count;
}

static void free_picture(Picture* p) { test_free(p->pixels); }

static bool is_mujoco(const UfEnvSpec* spec) { return spec->ops == &uf_mujoco_ops; }

static bool missing(const UfEnvSpec* spec) {
    if (uf_env_available(spec) == UF_OK) return false;
    print_message("SKIP %s: %s\n", spec->name, uf_error());
    return true;
}

// ---- tests ----

static void test_strips(void** state) {
    (void)state;
    for (int i = 0; i < NUM_DRAWN; i++) {
        const UfEnvSpec* spec = uf_env_find(drawn[i]);
        const char* path = in_folder("strip.png");
        UfRenderOptions o = options_of(drawn[i], path);
        UfRender r;
        if (missing(spec)) continue;
        o.num_frames = 2;
        assert_ok(uf_render(&o, &r));
        assert_ptr_equal(r.spec, spec);
        assert_int_equal(r.num_frames, 2);
        if (r.note[0]) print_message("%s\n", r.note);
        assert_true(is_mujoco(spec) || !r.note[0]);
        Picture page = read_png(path);
        assert_int_equal(page.width, r.width);
        assert_int_equal(page.height, r.height);
        assert_int_equal(r.width, 2 * WIDTH + 3 * 8);
        Picture first = tile(&page, 0), last = tile(&page, 1);
        int moved = num_different(&first, &last, 16), all = WIDTH * (HEIGHT - CAPTION), plain = 0;
        for (int k = 0; k < all; k++) plain += first.pixels[k] == 0xFFFFFF;
        if (moved < 50)
            fail_msg("%s: only %d of %d pixels differ between first and last frame", drawn[i], moved, all);
        if (plain == all) fail_msg("%s: nothing is drawn", drawn[i]);
        Picture all_of_it[] = {page, first, last};
        for (int k = 0; k < 3; k++) free_picture(&all_of_it[k]);
        assert_int_not_equal(access(in_folder("strip.png.tmp"), F_OK), 0);
    }
}

// The number of frames: as asked, but no more than there are states.
static void test_frames(void** state) {
    (void)state;
    const char* path = in_folder("frames.png");
    UfRenderOptions o = options_of("pendulum", path);
    UfRender r;
    assert_ok(uf_render(&o, &r));
    assert_int_equal(r.num_frames, 12);
    assert_int_equal(r.length, 200);
    assert_int_equal(r.width, 8 + 4 * (WIDTH + 8));
    double whole = r.ret;
    o.num_steps = 4;
    assert_ok(uf_render(&o, &r));
    assert_int_equal(r.num_frames, 5);
    assert_int_equal(r.length, 200);
    assert_true(r.ret == whole);
    o.num_frames = 1;
    assert_ok(uf_render(&o, &r));
    assert_int_equal(r.num_frames, 1);
}

#ifndef UF_NO_GIF

typedef struct Animation {
    int width, height, num_frames, centiseconds;  // without the last frame's
    bool repeats;
    Picture last;
} Animation;

// Frame over frame, as a viewer does.
static Animation read_gif(const char* path) {
    int error = 0;
    GifFileType* gif = DGifOpenFileName(path, &error);
    if (!gif) fail_msg("%s: %s", path, GifErrorString(error));
    assert_int_equal(DGifSlurp(gif), GIF_OK);
    Animation a = {.width = gif->SWidth, .height = gif->SHeight, .num_frames = gif->ImageCount};
    a.last = (Picture){a.width, a.height, test_calloc((size_t)a.width * (size_t)a.height, sizeof(uint32_t))};
    for (int i = 0; i < gif->ImageCount; i++) {
        const SavedImage* image = &gif->SavedImages[i];
        const GifImageDesc* d = &image->ImageDesc;
        GraphicsControlBlock control;
        assert_int_equal(DGifSavedExtensionToGCB(gif, i, &control), GIF_OK);
        assert_non_null(d->ColorMap);
        if (i < gif->ImageCount - 1) a.centiseconds += control.DelayTime;
        for (int k = 0; k < d->Width * d->Height; k++) {
            const GifColorType* c = &d->ColorMap->Colors[image->RasterBits[k]];
            if (image->RasterBits[k] == control.TransparentColor) continue;
            a.last.pixels[(d->Top + k / d->Width) * a.width + d->Left + k % d->Width] =
                (uint32_t)c->Red << 16 | (uint32_t)c->Green << 8 | c->Blue;
        }
        for (int k = 0; i == 0 && k < image->ExtensionBlockCount; k++) {
            const ExtensionBlock* block = &image->ExtensionBlocks[k];
            a.repeats |= block->ByteCount == 11 && !memcmp(block->Bytes, "NETSCAPE2.0", 11);
        }
    }
    assert_int_equal(DGifCloseFile(gif, &error), GIF_OK);
    return a;
}

// Speed, number of frames, and that the last picture is that of a strip but for colours.
static void test_animations(void** state) {
    (void)state;
    static const struct {
        const char* env;
        int num_steps, num_frames, centiseconds;
    } cases[] = {
        {"pendulum", 30, 31, 150},     // each step, 5 centiseconds
        {"cartpole", 10, 6, 20},       // every other step
        {"mountaincar", 30, 31, 100},  // 1/30 s: 3, 4, 3, ...
        {"mountaincarcontinuous", 9, 10, 30},
        {"acrobot", 5, 6, 100},
        {"pointmaze-medium", 22, 7, 22},  // 4 steps a frame and a rest
        {"halfcheetah", 4, 5, 20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = in_folder("a.gif"), *strip = in_folder("a.png");
        UfRenderOptions o = options_of(cases[i].env, path);
        UfRender r;
        if (missing(uf_env_find(cases[i].env))) continue;
        o.num_steps = cases[i].num_steps;
        assert_ok(uf_render(&o, &r));
        Animation a = read_gif(path);
        assert_int_equal(a.width, WIDTH);
        assert_int_equal(a.height, HEIGHT);
        assert_int_equal(a.num_frames, cases[i].num_frames);
        assert_int_equal(r.num_frames, cases[i].num_frames);
        if (a.centiseconds != cases[i].centiseconds)
            fail_msg("%s: %d centiseconds, expected %d", cases[i].env, a.centiseconds, cases[i].centiseconds);
        assert_true(a.repeats);
        o.output = strip;
        o.num_frames = 2;
        assert_ok(uf_render(&o, &r));
        Picture page = read_png(strip), last = tile(&page, 1), first = tile(&page, 0);
        // colours: within the 8 values that giflib takes for one, a lit scene's within 24
        int slack = is_mujoco(r.spec) ? 24 : 8;
        int wrong = num_different(&a.last, &last, slack), moved = num_different(&first, &last, slack);
        if (wrong != 0 || moved < 20)
            fail_msg("%s: %d pixels differ from the strip's, %d moved", cases[i].env, wrong, moved);
        if (!is_mujoco(r.spec))
            assert_int_equal(a.last.pixels[0], 0xFFFFFF);  // what many pixels have, exactly
        Picture all[] = {page, last, first, a.last};
        for (int k = 0; k < 4; k++) free_picture(&all[k]);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_true(info.st_mode & S_IRGRP || !(info.st_mode & S_IROTH));  // as the umask says, not giflib
    }
}

#else

static void test_animations(void** state) {
    (void)state;
    UfRenderOptions o = options_of("pendulum", in_folder("a.gif"));
    UfRender r;
    assert_int_equal(uf_render(&o, &r), UF_ERR_UNSUPPORTED);
    assert_error("libgif-dev");
    print_message("SKIP test_animations: built without giflib\n");
    skip();
}

#endif

// ---- the same episode as eval's ----

static const char* checkpoint(bool deterministic) {
    enum { ROWS = 400 };
    static float obs[ROWS * 3], actions[ROWS], rewards[ROWS];
    static uint8_t terminals[ROWS];
    const char* path = in_folder(deterministic ? "mean.h5" : "sampled.h5");
    UfConfig* config;
    UfDataset* data;
    UfAgent* agent;
    UfRandom random = uf_random(5, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < ROWS * 3; i++) obs[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS; i++) actions[i] = (float)uf_random_uniform(&random, -1, 1);
    for (int i = 0; i < ROWS; i++) terminals[i] = i % 50 == 49;
    UfArrays arrays = {.num_rows = ROWS,
                       .obs_dim = 3,
                       .action_dim = 1,
                       .observations = obs,
                       .actions = actions,
                       .rewards = rewards,
                       .terminals = terminals};
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_set(config, "env", "pendulum"));
    assert_ok(uf_config_set(config, "actor_layer_width", "32"));
    assert_ok(uf_config_set(config, "critic_layer_width", "32"));
    assert_ok(uf_config_set(config, "deterministic", deterministic ? "true" : "false"));
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_agent_save(agent, path));
    uf_agent_free(agent);
    uf_dataset_free(data);
    uf_config_free(config);
    return path;
}

static void test_same_episode(void** state) {
    (void)state;
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        const char* path = checkpoint(deterministic);
        const UfEnvSpec* spec;
        UfEvaluation e;
        UfRender r;
        UfRunEvalOptions eval = {
            .checkpoint = path, .num_episodes = 11, .workers = 8, .num_threads = 2, .seed = 4};
        assert_ok(uf_run_eval(&eval, &e, &spec));
        static const int episodes[] = {0, 3, 10};
        for (int i = 0; i < 3; i++) {
            UfRenderOptions o = options_of(NULL, in_folder("episode.png"));
            o.policy = path;
            o.seed = 4;
            o.episode = episodes[i];
            assert_ok(uf_render(&o, &r));
            assert_ptr_equal(r.spec, spec);
            assert_int_equal(r.length, e.lengths[episodes[i]]);
            if (r.ret != e.returns[episodes[i]])
                fail_msg("episode %d: drawn with return %.17g, evaluated with %.17g", episodes[i], r.ret,
                         e.returns[episodes[i]]);
        }
        assert_true(e.returns[0] != e.returns[3]);
        uf_evaluation_free(&e);
    }
}

// ---- refusals ----

static void refused(const UfRenderOptions* o, UfStatus status, const char* piece) {
    UfRender r;
    UfStatus got = uf_render(o, &r);
    if (got != status) fail_msg("status %d, expected %d with '%s'", got, status, piece);
    assert_error(piece);
    assert_int_not_equal(access(o->output, F_OK), 0);
}

static void test_refusals(void** state) {
    (void)state;
    const char* out = in_folder("refused.png");
    UfRenderOptions o = options_of("pendulum", in_folder("picture.jpg"));
    refused(&o, UF_ERR_ARGUMENT, "picture.jpg: the ending of a picture's name must be .png or .gif");
    o.output = in_folder("none");
    refused(&o, UF_ERR_ARGUMENT, "must be .png or .gif");
    o = options_of("pendulm", out);
    refused(&o, UF_ERR_ARGUMENT, "did you mean 'pendulum'?");
    o = options_of(NULL, out);
    refused(&o, UF_ERR_ARGUMENT, "--env");
    o = options_of("pointmaze-open", out);
    o.policy = checkpoint(true);
    refused(&o, UF_ERR_ARGUMENT,
            "the policy has 3 observations and 1 actions, environment PointMaze-open 4 and 2");
    o = options_of("pendulum", out);
    o.policy = "best";
    refused(&o, UF_ERR_IO, "best");
    o = options_of("pendulum", out);
    o.height = 20;
    refused(&o, UF_ERR_ARGUMENT, "200 x 20");
    o = options_of("pendulum", out);
    o.width = 4000;
    o.num_frames = 200;
    refused(&o, UF_ERR_ARGUMENT, "fewer or smaller frames");
    o = options_of("pendulum", in_folder("no/such/folder.png"));
    refused(&o, UF_ERR_IO, "no/such/folder.png: cannot write");
#ifndef UF_NO_GIF
    o = options_of("pendulum", in_folder("no/such/folder.gif"));
    refused(&o, UF_ERR_IO, "no/such/folder.gif: cannot write");
#endif
    if (uf_env_available(uf_env_find("hopper")) == UF_OK) {
        o = options_of("hopper", out);
        o.policy = "expert";
        refused(&o, UF_ERR_UNSUPPORTED, "Hopper-v2 has no scripted controller");
    }
}

#else

static void test_refusals(void** state) {
    (void)state;
    UfRenderOptions o = options_of(drawn[0], in_folder("a.png"));
    UfRender r;
    assert_int_equal(uf_render(&o, &r), UF_ERR_UNSUPPORTED);
    assert_error("libcairo2-dev");
    print_message("SKIP test_render: built without cairo\n");
    skip();
}

#endif

// The table's seconds of a step are those of the model.
static void test_clock(void** state) {
    (void)state;
#ifdef UF_NO_MUJOCO
    print_message("SKIP test_clock: built without MuJoCo\n");
    skip();
#else
    for (int i = 0; i < uf_num_env_specs; i++) {
        UfEnv* env;
        assert_true(uf_env_specs[i].step_seconds > 0);
        if (uf_env_specs[i].ops != &uf_mujoco_ops) continue;
        assert_ok(uf_env_create(&env, uf_env_specs[i].name));
        double seconds = uf_mujoco_model(env)->opt.timestep * uf_mujoco_frame_skip(env);
        assert_true(fabs(seconds - uf_env_specs[i].step_seconds) < 1e-12);
        uf_env_free(env);
    }
#endif
}

// Skill 0 is uniform noise in every environment, scripted or not.
static void test_random_script(void** state) {
    (void)state;
    for (int i = 0; i < uf_num_env_specs; i++) {
        const UfEnvSpec* spec = &uf_env_specs[i];
        UfEnv* env;
        if (uf_env_available(spec) != UF_OK) continue;
        UfRandom random = uf_random(1, UF_STREAM_CONTROLLER, 0);
        float obs[UF_ENV_MAX_OBS], action[16];
        double sum = 0, squares = 0;
        assert_ok(uf_env_create(&env, spec->name));
        uf_env_reset(env, 0, 0, obs);
        for (int k = 0; k < 2000; k++) {
            assert_ok(uf_env_controller(spec, env, obs, 0, &random, action));
            double x = (action[0] - spec->action_low) / (spec->action_high - spec->action_low);
            assert_true(x >= 0 && x <= 1);
            sum += x;
            squares += x * x;
        }
        double mean = sum / 2000, spread = squares / 2000 - mean * mean;
        // variance of a uniform number, and of one of few values, which is wider
        if (fabs(mean - 0.5) > 0.05 || spread < 0.07)
            fail_msg("%s: mean %g, variance %g", spec->name, mean, spread);
        uf_env_free(env);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#ifndef UF_NO_CAIRO
        cmocka_unit_test(test_strips),        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_animations),    cmocka_unit_test(test_same_episode),
#endif
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_clock),
        cmocka_unit_test(test_random_script),
    };
    return cmocka_run_group_tests_name("render", tests, make_folder, remove_folder);
}
