// test_returns.c: what is told of files of returns, and what is said of damaged ones.
#include "support.h"

#include "core/data/returns.h"

typedef struct Sample {
    const char *kind, *config, *name;
    int rank;
    int64_t dims[3];
} Sample;

static void write_sample(const char* path, const Sample* s) {
    static const double numbers[] = {1, 3, 5, 7, 2, 2};
    UfH5 h5;
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", s->kind));
    assert_ok(uf_h5_write_string(&h5, "/", "version", "0.0.1"));
    if (s->config) assert_ok(uf_h5_write_string(&h5, "/", "config", s->config));
    if (s->name) assert_ok(uf_h5_write(&h5, s->name, UF_H5_DOUBLE, numbers, s->rank, s->dims, 0, false));
    assert_ok(uf_h5_close(&h5));
}

static void test_told(void** state) {
    (void)state;
    static const struct {
        Sample sample;
        const char* line;
    } cases[] = {
        {{UF_RETURNS_OF_AGENTS, "{\"env\": \"CartPole-v1\"}", "returns/dqn", 2, {3, 2}},
         "\nreturns/dqn    3.33333 mean, 2 to 6  (3 policies x 2 episodes)\n"},
        {{UF_RETURNS_OF_AGENTS, "{\"env\": \"CartPole-v1\"}", "arg_max", 1, {6}},
         "\nenv            CartPole-v1\narg_max        3.33333 mean  (6 episodes)\n"},
        {{UF_RETURNS_OF_PPO, "{\"env\": \"x\"}", "returns", 2, {1, 4}},
         "\nreturns        4 mean  (4 episodes)\n"},
        {{UF_RETURNS_OF_CLONES, "{\"env\": \"\", \"images\": \"glyphs\"}", "loss_and_accuracy", 2, {3, 2}},
         "\nimages         glyphs\nloss           2.66667\naccuracy       4  (mean of 3 policies on the test "
         "images)\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char* text;
        write_sample(in_folder("a.h5"), &cases[i].sample);
        assert_ok(uf_returns_info(in_folder("a.h5"), &text));
        if (!strstr(text, cases[i].line)) fail_msg("'%s' is not in: %s", cases[i].line, text);
        assert_non_null(strstr(text, cases[i].sample.kind));
        uf_free(text);
    }
}

static void test_damaged(void** state) {
    (void)state;
    static const struct {
        Sample sample;
        const char* sentence;
    } cases[] = {
        {{UF_RETURNS_OF_PPO, "{", "returns", 2, {1, 4}}, "configuration is no JSON; the file is damaged"},
        {{UF_RETURNS_OF_PPO, NULL, "returns", 2, {1, 4}}, "config"},
        {{UF_RETURNS_OF_PPO, "{}", "returns", 3, {1, 2, 2}}, "'returns' is no table of numbers"},
        {{UF_RETURNS_OF_PPO, "{}", "returns/dqn", 2, {1, 4}}, "returns"},  // a group where a table belongs
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char* text = NULL;
        write_sample(in_folder("a.h5"), &cases[i].sample);
        assert_int_not_equal(uf_returns_info(in_folder("a.h5"), &text), UF_OK);
        assert_null(text);
        assert_error(cases[i].sentence);
        assert_error("a.h5");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests_name("returns", tests, make_folder, remove_folder);
}
