// test_synth_agents_draw.c: the page of trained agents: ratings made by hand, where their marks are, agents that are no more
// finite; the median agent and its episode against steps of the environment; what is refused.
#include "support.h"
#include "failing_alloc.h"

#ifndef UF_NO_CAIRO
#include <cairo.h>
#endif
#include <math.h>

#include "core/philox.h"
#include "core/synth/synth_agents_draw.h"

// ---- ratings made by hand ----

enum { MOST = 40, STEPS = 30 };

// Agent i earns means[i] and has the i-th of three learning rates. An episode of two numbers, for GridWorld-5x5.
static SeRating rating_of(SeAlgorithm algorithm, bool real, int count, const double* means, double iqm) {
    static const double rates[] = {1e-4, 1e-3, 1e-2};
    const UfEnvSpec* spec = uf_env_find("gridworld-5x5");
    SeRating r = {.algorithm = algorithm,
                  .real = real,
                  .num_agents = count,
                  .num_episodes = 7,
                  .iqm = iqm,
                  .median = count / 2};
    assert_ok(UF_ALLOC(&r.means, count, "test"));
    assert_ok(UF_ALLOC(&r.numbers, count, "test"));
    assert_ok(UF_ALLOC(&r.hypers, count, "test"));
    assert_ok(se_episode_create(&r.episode, spec));
    assert_true(spec->max_steps <= STEPS);
    for (int i = 0; i < count; i++) {
        r.means[i] = means[i];
        r.numbers[i].lr = rates[i % 3];
        assert_ok(uf_strdup(&r.hypers[i], "lr 0.001  clip_eps 0.2"));
    }
    for (int t = 0; t < spec->max_steps; t++, r.episode.num_steps++) {
        r.episode.obs[2 * t] = (float)t;
        r.episode.obs[2 * t + 1] = (float)sin(t);
        r.episode.actions[t] = (float)(t % 4);
    }
    return r;
}

static SeAgentsPage page_of(const char* env, int count, const SeRating* ratings) {
    return (SeAgentsPage){.spec = uf_env_find(env),
                          .num_steps = 100,
                          .seed = 5,
                          .no_agent = NAN,
                          .count = count,
                          .ratings = ratings};
}

#ifdef UF_NO_CAIRO

static void test_marks(void** state) {
    (void)state;
    const double mean = 1;
    SeRating r = rating_of(SE_PPO, false, 1, &mean, 1);
    const SeAgentsPage page = page_of("gridworld-5x5", 1, &r);
    assert_int_equal(se_draw_ratings(&page, in_folder("a.png")), UF_ERR_UNSUPPORTED);
    assert_error("libcairo2-dev");
    se_rating_free(&r);
    print_message("SKIP test_marks: built without cairo\n");
    skip();
}

static void test_odd_ratings(void** state) {
    (void)state;
    skip();
}

static void test_pages(void** state) {
    (void)state;
    skip();
}

static void test_learning_rates(void** state) {
    (void)state;
    skip();
}

#else

// ---- pixels ----

// synth_agents_draw.c's: the first row's top, a row's height, the axis, and its right end where nothing is published and where
// something is.
enum { TOP = 118, ROW = 36, LEFT = 140, RIGHT = 1178, RIGHT_PUBLISHED = 1100 };

static cairo_surface_t* read_page(const char* path) {
    cairo_surface_t* page = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(page), CAIRO_STATUS_SUCCESS);
    assert_int_equal(cairo_image_surface_get_width(page), 1280);
    return page;
}

static uint32_t pixel(cairo_surface_t* page, int x, int y) {
    uint32_t value;
    memcpy(&value, cairo_image_surface_get_data(page) + y * cairo_image_surface_get_stride(page) + 4 * x,
           sizeof value);
    return value & 0xFFFFFF;
}

// But for rounding: dots of a colour over it are rounded one by one.
static bool alike(uint32_t a, uint32_t b) {
    for (int shift = 0; shift < 24; shift += 8)
        if (abs((int)(a >> shift & 255) - (int)(b >> shift & 255)) > 4) return false;
    return true;
}

// Columns of a row that are a colour nearly all the way down: a tick. Its middle; -1: there is none.
static double find_tick(cairo_surface_t* page, int row, uint32_t colour) {
    double sum = 0;
    int columns = 0;
    for (int x = LEFT + 1; x < RIGHT; x++) {
        int count = 0;
        for (int y = TOP + row * ROW; y < TOP + (row + 1) * ROW; y++)
            count += alike(pixel(page, x, y), colour);
        if (count < ROW - 8) continue;
        sum += x + 0.5;
        columns++;
    }
    return columns ? sum / columns : -1;
}

// Pixels within 5 of a place that are a colour's: blue, or red.
static int coloured(cairo_surface_t* page, double x, int row, bool blue) {
    int count = 0;
    for (int i = (int)x - 5; i <= (int)x + 5; i++)
        for (int y = TOP + row * ROW + 2; y < TOP + (row + 1) * ROW - 2; y++) {
            const int red = (int)(pixel(page, i, y) >> 16), cold = (int)(pixel(page, i, y) & 255);
            count += blue ? cold - red > 40 : red - cold > 40;
        }
    return count;
}

static int dark(cairo_surface_t* page, double x, int row) {
    int count = 0;
    for (int i = (int)x - 5; i <= (int)x + 5; i++)
        for (int y = TOP + row * ROW + 2; y < TOP + (row + 1) * ROW - 2; y++)
            count += (pixel(page, i, y) >> 16) < 64 && (pixel(page, i, y) & 255) < 64;
    return count;
}

// A return's place on the axis, which goes 4% of them past the least and the largest.
static double place(double value, double low, double high, double right) {
    const double margin = 0.04 * (high - low);
    return LEFT + (value - low + margin) / (high - low + 2 * margin) * (right - LEFT);
}

static void near_place(double x, double expected) {
    if (!(fabs(x - expected) < 1)) fail_msg("a tick at %g, expected %g", x, expected);
}

static bool same_files(const char* a, const char* b) {
    char *x, *y;
    size_t x_bytes, y_bytes;
    assert_ok(uf_read_file(a, &x, &x_bytes));
    assert_ok(uf_read_file(b, &y, &y_bytes));
    const bool same = x_bytes == y_bytes && !memcmp(x, y, x_bytes);
    uf_free(x);
    uf_free(y);
    return same;
}

enum { BLUE = 0x0072B2, RED = 0xD55E00 };

static void test_marks(void** state) {
    (void)state;
    const double synthetic[] = {20, 100, 70}, real[] = {0, 30};
    SeRating r[] = {rating_of(SE_PPO, false, 3, synthetic, 60), rating_of(SE_PPO, true, 2, real, 15)};
    SeAgentsPage page = page_of("gridworld-5x5", 2, r);
    assert_ok(se_draw_ratings(&page, in_folder("marks.png")));
    cairo_surface_t* drawn = read_page(in_folder("marks.png"));
    near_place(find_tick(drawn, 0, BLUE), place(60, 0, 100, RIGHT));
    near_place(find_tick(drawn, 1, RED), place(15, 0, 100, RIGHT));
    assert_true(find_tick(drawn, 0, RED) < 0 && find_tick(drawn, 1, BLUE) < 0);
    for (int i = 0; i < 3; i++)
        assert_true(coloured(drawn, place(synthetic[i], 0, 100, RIGHT), 0, true) > 15);
    for (int i = 0; i < 2; i++) assert_true(coloured(drawn, place(real[i], 0, 100, RIGHT), 1, false) > 15);
    assert_int_equal(coloured(drawn, place(40, 0, 100, RIGHT), 0, true), 0);
    assert_int_equal(dark(drawn, place(90, 0, 100, RIGHT), 0), 0);
    cairo_surface_destroy(drawn);
    // no agent widens the axis, and is a line through both rows
    page.no_agent = 200;
    assert_ok(se_draw_ratings(&page, in_folder("marks.png")));
    drawn = read_page(in_folder("marks.png"));
    near_place(find_tick(drawn, 0, BLUE), place(60, 0, 200, RIGHT));
    int dashes[2] = {0};
    for (int y = TOP; y < TOP + 2 * ROW; y++)
        dashes[(y - TOP) / ROW] += pixel(drawn, (int)place(200, 0, 200, RIGHT), y) < 0x808080;
    assert_true(dashes[0] > 10 && dashes[1] > 10);
    cairo_surface_destroy(drawn);
    // what is published is of agents that trained in synthetic environments
    page = page_of("cartpole", 2, r);
    assert_ok(se_draw_ratings(&page, in_folder("marks.png")));
    drawn = read_page(in_folder("marks.png"));
    near_place(find_tick(drawn, 0, BLUE), place(60, 0, 500, RIGHT_PUBLISHED));
    assert_true(dark(drawn, place(500, 0, 500, RIGHT_PUBLISHED), 0) > 8);
    assert_int_equal(dark(drawn, place(500, 0, 500, RIGHT_PUBLISHED), 1), 0);
    cairo_surface_destroy(drawn);
    for (int i = 0; i < 2; i++) se_rating_free(&r[i]);
}

// The first agent stands where its learning rate and its return are: others beside theirs.
static void test_learning_rates(void** state) {
    (void)state;
    enum { PANEL = TOP + ROW + 62 + 44, HEIGHT = 200, FROM = 82, TO = 424 };
    const double means[] = {0, 100};  // of rates 1e-4 and 1e-3
    SeRating r = rating_of(SE_PPO, true, 2, means, 50);
    const SeAgentsPage page = page_of("gridworld-5x5", 1, &r);
    assert_ok(se_draw_ratings(&page, in_folder("rates.png")));
    cairo_surface_t* drawn = read_page(in_folder("rates.png"));
    for (int i = 0; i < 2; i++) {
        const double x = FROM + (0.23 + i) / 1.46 * (TO - FROM),
                     y = PANEL + HEIGHT * (1 - (4 + means[i]) / 108);
        int near = 0, other = 0;
        for (int k = (int)x - 9; k <= (int)x + 9; k++)
            for (int j = 0; j < HEIGHT; j++) {
                const uint32_t colour = pixel(drawn, k, PANEL + j);
                const bool red = (int)(colour >> 16) - (int)(colour & 255) > 40;
                near += red && fabs(PANEL + j + 0.5 - y) < 5;
                other += red && fabs(PANEL + j + 0.5 - y) >= 5;
            }
        if (near < 15 || other) fail_msg("agent %d: %d pixels of its dot, %d elsewhere", i, near, other);
    }
    cairo_surface_destroy(drawn);
    se_rating_free(&r);
}

static void draw_twice(const SeAgentsPage* page, const char* name) {
    assert_ok(se_draw_ratings(page, in_folder(name)));
    assert_ok(se_draw_ratings(page, in_folder("again.png")));
    assert_true(same_files(in_folder(name), in_folder("again.png")));
}

static void test_odd_ratings(void** state) {
    (void)state;
    double means[MOST];
    // one agent, many that are alike
    for (int i = 0; i < MOST; i++) means[i] = 500;
    for (int count = 1; count <= MOST; count += MOST - 1) {
        SeRating r = rating_of(SE_DQN, false, count, means, 500);
        const SeAgentsPage page = page_of("gridworld-5x5", 1, &r);
        draw_twice(&page, "alike.png");
        cairo_surface_t* drawn = read_page(in_folder("alike.png"));
        near_place(find_tick(drawn, 0, BLUE), (LEFT + RIGHT) / 2.0);
        cairo_surface_destroy(drawn);
        se_rating_free(&r);
    }
    // one that is no more finite is a cross at the left end; a quarter of them are no matter to the tick
    const double some[] = {10, NAN, 20, 30};
    SeRating r = rating_of(SE_SAC, false, 4, some, 15);
    const SeAgentsPage page = page_of("gridworld-5x5", 1, &r);
    draw_twice(&page, "some.png");
    cairo_surface_t* drawn = read_page(in_folder("some.png"));
    near_place(find_tick(drawn, 0, BLUE), place(15, 10, 30, RIGHT));
    assert_true(coloured(drawn, LEFT + 6, 0, true) > 5);
    cairo_surface_destroy(drawn);
    r.means[1] = 10;
    draw_twice(&page, "others.png");
    drawn = read_page(in_folder("others.png"));
    assert_int_equal(coloured(drawn, LEFT + 6, 0, true), 0);
    const int height = cairo_image_surface_get_height(drawn);
    cairo_surface_destroy(drawn);
    // none is finite, and the first plays no episode
    for (int i = 0; i < 4; i++) r.means[i] = NAN;
    r.iqm = -INFINITY;
    r.episode.num_steps = 0;
    draw_twice(&page, "none.png");
    drawn = read_page(in_folder("none.png"));
    assert_true(find_tick(drawn, 0, BLUE) < 0);
    assert_int_equal(height - cairo_image_surface_get_height(drawn), 300);
    cairo_surface_destroy(drawn);
    se_rating_free(&r);
}

static void test_pages(void** state) {
    (void)state;
    const double means[] = {-3, 5, 1e6, 2, 8};
    SeRating r[2 * SE_NUM_ALGORITHMS];
    for (int i = 0; i < 2 * SE_NUM_ALGORITHMS; i++)
        r[i] = rating_of((SeAlgorithm)(i / 2), i % 2, 5, means, 4);
    SeAgentsPage page = page_of("gridworld-5x5", 2 * SE_NUM_ALGORITHMS, r);
    draw_twice(&page, "all.png");
    assert_ok(se_draw_ratings(&page, in_folder("all.svg")));
    assert_ok(se_draw_ratings(&page, in_folder("all.PDF")));
    r[3].numbers[2].lr = 0.5;  // also what learning rates earn is drawn
    assert_ok(se_draw_ratings(&page, in_folder("rate.png")));
    assert_false(same_files(in_folder("all.png"), in_folder("rate.png")));
    assert_int_equal(se_draw_ratings(&page, in_folder("all.bmp")), UF_ERR_ARGUMENT);
    assert_error(".png, .svg or .pdf");
    assert_int_equal(se_draw_ratings(&page, in_folder("none/all.png")), UF_ERR_IO);
    assert_error("none/all.png: its folder is not there");
    page.count = 0;
    assert_int_equal(se_draw_ratings(&page, in_folder("all.png")), UF_ERR_ARGUMENT);
    assert_error("there are no ratings");
    page.count = 2;
    UfStatus status;
    int failures = 0;
    while (allocations_left = failures,
           (status = se_draw_ratings(&page, in_folder("m.png"))) == UF_ERR_MEMORY)
        failures++;
    allocations_left = -1;
    assert_ok(status);
    assert_true(failures > 0);
    for (int i = 0; i < 2 * SE_NUM_ALGORITHMS; i++) se_rating_free(&r[i]);
}

#endif

// ---- the median agent ----

// What se_rate plays with it are its likeliest actions, which the environment answers as recorded.
static void check_episode(const char* name, const char* algorithm, SeAlgorithm kind) {
    enum { AGENTS = 6, SEED = 4 };
    const UfEnvSpec* spec = uf_env_find(name);
    SeConfig* c;
    SeRating r;
    SeAgents* agents;
    UfEnv* env;
    float obs[16], action[4];
    double sum = 0;
    int worse = 0, alike = 0;
    assert_ok(se_config_create(&c));
    static const char* const settings[][2] = {{"num_steps", "200"},       {"layer_width", "8"},
                                              {"warm_up", "50"},          {"batch_size", "16"},
                                              {"ppo_num_envs", "5"},      {"ppo_num_steps", "20"},
                                              {"ddpg_num_envs", "5"},     {"ppo_num_minibatches", "4"},
                                              {"ppo_update_epochs", "2"}, {"num_threads", "2"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        assert_ok(se_config_set(c, settings[i][0], settings[i][1]));
    assert_ok(se_config_set(c, "env", spec->name));
    const SeRateOptions o = {
        .config = c, .algorithm = kind, .num_agents = AGENTS, .num_episodes = 2, .seed = SEED};
    assert_ok(se_rate(&r, &o));
    assert_true(r.real);
    for (int i = 0; i < AGENTS; i++) {
        char text[32];
        worse += r.means[i] < r.means[r.median];
        alike += i < r.median && r.means[i] == r.means[r.median];
        snprintf(text, sizeof text, "lr %g", r.numbers[i].lr);
        assert_int_equal(strncmp(r.hypers[i], text, strlen(text)), 0);
    }
    assert_int_equal(worse + alike, AGENTS / 2);  // of equal ones the first is worse
    assert_ok(se_train(&agents, c, NULL, algorithm, AGENTS, SEED));
    assert_ok(uf_env_create(&env, spec->name));
    const SeEpisode* e = &r.episode;
    assert_int_equal(e->obs_dim, spec->obs_dim);
    assert_int_equal(e->numbers, 1);
    uf_env_reset(env, SEED, 0, obs);
    bool terminated = false, truncated = false;
    for (int t = 0; t < e->num_steps; t++) {
        double reward;
        assert_false(terminated || truncated);
        assert_memory_equal(e->obs + t * e->obs_dim, obs, (size_t)e->obs_dim * sizeof *obs);
        assert_ok(se_act(agents, r.median, 1, obs, action));
        assert_true(e->actions[t] == action[0]);
        uf_env_step(env, action, obs, &reward, &terminated, &truncated);
        sum += reward;
    }
    assert_true(terminated || truncated);
    assert_true(e->num_steps > 0 && sum == e->sum);
    uf_env_free(env);
    se_agents_free(agents);
    se_rating_free(&r);
    se_config_free(c);
}

static void test_median(void** state) {
    (void)state;
    check_episode("cartpole", "dqn", SE_DQN);
    check_episode("pendulum", "ppo", SE_PPO);
    check_episode("mountaincar", "dqn", SE_DQN);  // all earn -200
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),       cmocka_unit_test(test_learning_rates),
        cmocka_unit_test(test_odd_ratings), cmocka_unit_test(test_pages),
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
