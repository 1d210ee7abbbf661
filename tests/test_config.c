// test_config.c: the hyperparameter table, JSON, --set, help and README tables, and every file in configs/.
#include "support.h"

#include <cjson/cJSON.h>
#include <ftw.h>  // nftw
#include <locale.h>
#include <math.h>

#include "core/agents/ppo.h"
#include "core/config.h"
#include "core/search/hades_search.h"
#include "core/synth/synth_agents.h"

static UfConfig* defaults(void) {
    UfConfig* config;
    assert_int_equal(uf_config_create(&config), UF_OK);
    return config;
}

static bool same(const UfConfig* a, const UfConfig* b) {  // every byte: floats to the bit
    return memcmp(a, b, sizeof *a) == 0;
}

// All pieces must be in uf_error(), in any order; the list ends with NULL.
static void assert_pieces(const char* what, const char* const* pieces) {
    for (; *pieces; pieces++)
        if (!strstr(uf_error(), *pieces)) fail_msg("%s: '%s' is not in: %s", what, *pieces, uf_error());
}
#define assert_said(...) assert_pieces("message", (const char* const[]){__VA_ARGS__, NULL})

// ---- round trips ----

static void test_table(void** state) {
    (void)state;
    assert_true(uf_num_params > 50);
    for (int i = 0; i < uf_num_params; i++) {
        const UfParam* param = &uf_params[i];
        if (param->type == UF_TYPE_GROUP) {
            assert_true(*param->default_text);
            continue;
        }
        assert_ptr_equal(uf_param_find(param->name), param);  // no name twice
        assert_true(*param->help);
        assert_null(strchr(param->help, '|'));  // would break the Markdown table
    }
    assert_null(uf_param_find("critics"));  // a group, not a hyperparameter
    assert_null(uf_param_find("LR"));
}

static void test_round_trip(void** state) {
    (void)state;
    UfConfig *config = defaults(), *again = defaults();
    assert_true(same(config, again));
    assert_int_equal(config->num_updates, 1000000);
    assert_true(config->lr == 1e-3 && config->norm_obs && !config->use_awr);
    assert_int_equal(config->aggregate_q, UF_AGGREGATE_MIN);
    assert_int_equal(config->lr_schedule, UF_SCHEDULE_CONSTANT);

    // Change every field, write, read: every value returns to the bit, and the text is the same.
    static const double odd[] = {
        0.1, 1.0 / 3, 5e-324, 1e-5, 2.5e-7, 0.9999999999999999, 0.30000000000000004, 123.456};
    for (int round = 0; round < 9; round++) {
        for (int i = 0; i < uf_num_params && round > 0; i++) {
            const UfParam* param = &uf_params[i];
            char* field = (char*)config + param->offset;
            double value = odd[(i + round) % 8];
            bool fits = !(param->low.limited && value < param->low.value) &&
                        !(param->high.limited && value >= param->high.value);
            if (param->type == UF_TYPE_INT) *(int64_t*)field = (int64_t)param->low.value + round;
            if (param->type == UF_TYPE_FLOAT && fits) *(double*)field = value;
            if (param->type == UF_TYPE_BOOL) *(bool*)field = (i + round) % 2;
            if (param->type == UF_TYPE_ENUM) *(int*)field = (i + round) % 2;
            if (param->type == UF_TYPE_STRING)
                snprintf(field, UF_STRING_BYTES, "/a \"b\"\\c/\n\x01 \xc3\xa4 %d", i);
        }
        char *json, *json_again;
        assert_int_equal(uf_config_json(config, &json), UF_OK);
        if (uf_config_parse(again, json, "again") != UF_OK) fail_msg("%s", uf_error());
        assert_true(same(config, again));
        assert_int_equal(uf_config_json(again, &json_again), UF_OK);
        assert_string_equal(json, json_again);
        uf_free(json);
        uf_free(json_again);
    }
    uf_config_free(config);
    uf_config_free(again);
    uf_config_free(NULL);
}

static void test_numbers_as_text(void** state) {
    (void)state;
    static const struct {
        const char *set, *get;
    } cases[] = {
        {"0.1", "0.1"},     {"1e-3", "0.001"},
        {"1E-05", "1e-5"},  {"0.30000000000000004", "0.30000000000000004"},
        {"2", "2"},         {"100", "100"},
        {"1.0", "1"},       {"2.5e+1", "25"},
        {"3e-4", "0.0003"},
    };
    char text[64];
    UfConfig* config = defaults();
    // The same under a locale with a decimal comma, where the machine has one.
    for (int comma = 0; comma < 2; comma++) {
        if (comma && !setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "de_DE.utf8")) break;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            assert_int_equal(uf_config_set(config, "lr", cases[i].set), UF_OK);
            assert_int_equal(uf_config_get(config, "lr", text, sizeof text), UF_OK);
            assert_string_equal(text, cases[i].get);
        }
    }
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(uf_config_set(config, "awr_exp_adv_clip", "1e30"), UF_OK);
    assert_int_equal(uf_config_get(config, "awr_exp_adv_clip", text, sizeof text), UF_OK);
    assert_string_equal(text, "1e30");
    assert_int_equal(uf_config_set(config, "num_updates", "9007199254740991"), UF_OK);
    assert_int_equal(uf_config_get(config, "num_updates", text, sizeof text), UF_OK);
    assert_string_equal(text, "9007199254740991");

    assert_int_equal(uf_config_get(config, "num_updates", text, 17), UF_OK);
    assert_int_equal(uf_config_get(config, "num_updates", text, 16), UF_ERR_ARGUMENT);
    assert_string_equal(text, "");
    assert_said("num_updates", "17 bytes", "16");
    assert_int_equal(uf_config_get(config, "num_update", text, sizeof text), UF_ERR_CONFIG);
    assert_said("did you mean 'num_updates'?");
    uf_config_free(config);
}

// ---- what is refused ----

static void test_errors(void** state) {
    (void)state;
    static const struct {
        const char* json;
        const char* pieces[5];
    } cases[] = {
        // names
        {"{\"seed\": 1,\n \"batchsize\": 3}", {"run.json:2: ", "'batchsize'", "did you mean 'batch_size'?"}},
        {"{\"Lr\": 1}", {"run.json:1: ", "'Lr'", "did you mean 'lr'?"}},
        {"{\"momentum\": 1}", {"run.json:1: 'momentum' is not a hyper", "train --help", "begin with _"}},
        {"{\n\"lr\": 1,\n\n\"l\\u0072\": 2}", {"run.json:4: lr: 2 ", "line 2", "with 1"}},
        {"{\"_a\": \"x\",\n\"_a\": \"y\"}", {"run.json:2: _a: \"y\" ", "line 1", "\"x\""}},
        {"{\"_source\": 3}", {"run.json:1: _source: 3 is not a string"}},
        // types
        {"{\"lr\": \"big\"}", {"run.json:1: lr: \"big\" is a string", "expected a number > 0 and <= 1000"}},
        {"{\"lr\":\n true}", {"run.json:1: lr: true is a truth value", "expected a number"}},
        {"{\"lr\": null}", {"lr: null is no value", "expected a number"}},
        {"{\"lr\": {\"a\": \"}\"}}", {"lr: {\"a\": \"}\"} is an object", "expected a number"}},
        {"{\"use_awr\": 1}", {"use_awr: 1 is a number", "expected true or false"}},
        {"{\"use_awr\": \"true\"}", {"use_awr: \"true\" is a string", "expected true or false"}},
        {"{\"dataset\": 5}", {"dataset: 5 is a number", "expected a string"}},
        {"{\"lr_schedule\": \"linear\"}", {"lr_schedule: \"linear\"", "expected one of constant, cosine"}},
        {"{\"aggregate_q\": \"mi\"}", {"aggregate_q: \"mi\"", "expected one of min, mean, first"}},
        {"{\"aggregate_q\": \"min|mean\"}", {"expected one of min, mean, first"}},
        {"{\"aggregate_q\": \"\"}", {"aggregate_q: \"\"", "expected one of min, mean, first"}},
        {"{\"batch_size\": 1.5}", {"batch_size: 1.5 is not an integer", "expected an integer 1 to 1048576"}},
        // lists
        {"{\"seed\": 1,\n \"lr\": [1e-3,\n  3e-4]}",
         {"run.json:2: lr: [1e-3,   3e-4] is a list", "axis of a sweep", "one value", "a number > 0"}},
        {"{\"dataset\": []}", {"dataset: [] is a list", "expected a string"}},
        // ranges
        {"{\"lr\": 0}", {"run.json:1: lr: 0 is out of range", "expected > 0 and <= 1000"}},
        {"{\"lr\": 1001}", {"lr: 1001 is out of range", "expected > 0 and <= 1000"}},
        {"{\"gamma\": 1.0001}", {"gamma: 1.0001 is out of range", "expected 0 to 1"}},
        {"{\"value_expectile\": 1}", {"value_expectile: 1 is out of range", "expected > 0 and < 1"}},
        {"{\"num_updates\": 0}", {"num_updates: 0 is out of range", "expected >= 1"}},
        {"{\"log_std_max\": 41}", {"log_std_max: 41 is out of range", "expected <= 40"}},
        {"{\"batch_size\": -1}", {"batch_size: -1 is out of range", "expected 1 to 1048576"}},
        {"{\"num_updates\": 9007199254740993}", {": 9007199254740993 is out", "at most 9007199254740991"}},
        {"{\"log_std_min\":\n-1e999}", {"run.json:1: log_std_min: -1e999 is too large", "expected a number"}},
        {"{\"num_updates\": 1e999}", {"num_updates: 1e999 is too large", "expected an integer >= 1"}},
        // numbers that cJSON would take
        {"{\n  \"lr\": 01}", {"run.json:2:9: lr: broken JSON at '01'", "expected a number"}},
        {"{\"lr\": 1.}", {"run.json:1:8: lr: ", "'1.'", "expected a number"}},
        {"{\"lr\": -.5}", {"run.json:1:8: lr: ", "'-.5'", "expected a number"}},
        {"{\"lr\": +1}", {"run.json:1:8: lr: ", "'+1'", "expected a number"}},
        {"{\"lr\": 0x10}", {"run.json:1:8: lr: ", "'0x10'", "expected a number"}},
        {"{\"lr\": NaN}", {"run.json:1:8: lr: ", "'NaN'", "expected a number"}},
        {"{\"lr\": 1e}", {"run.json:1:8: lr: ", "'1e'", "expected a number"}},
        {"{\"lr\": 0.1000000000000000000000000000000000000000000000000000000000000000001}",
         {"run.json:1:8: lr: ", "more than 60 characters"}},
        // broken JSON: file:line:column
        {"", {"run.json:1:1: ", "ends too early", "expected { \"name\": value }"}},
        {" \n ", {"run.json:2:2: ", "ends too early"}},
        {"{\n  \"lr\": 1,\n}", {"run.json:2:10: lr: a comma after the last value"}},
        {"{\n  \"lr\": 1\n  \"seed\": 2}", {"run.json:3:3: ", "expected a comma or a closing }"}},
        {"{\"lr\" 1}", {"run.json:1:7: ", "'1'", "expected a colon"}},
        {"{\"lr\": }", {"run.json:1:8: lr: ", "'}'", "expected a number"}},
        {"{\"lr\": 1", {"run.json:1:9: lr: the text ends too early", "closing }"}},
        {"{\"lr\": [1", {"run.json:1:10: lr: the text ends too early", "closing ]"}},
        {"{\"dataset\": \"abc}", {"run.json:1:13: dataset: a string without an end"}},
        {"{\"\xc3\xa4\xc3\xa4\": x}", {"run.json:1:8: ", "'x'"}},  // columns count characters
        {"{'lr': 1}", {"run.json:1:2: ", "''lr''", "expected a name in double quotes"}},
        {"{lr: 1}", {"run.json:1:2: ", "'lr'", "expected a name in double quotes"}},
        {"{\"lr\": True}", {"run.json:1:8: lr: ", "'True'", "true, false"}},
        {"// learning rate\n{}", {"run.json:1:1: ", "no comments"}},
        {"{\"lr\": 1, # note\n\"seed\": 1}", {"run.json:1:11: ", "no comments"}},
        {"{\"lr\": 1} {}", {"run.json:1:11: ", "expected nothing after the closing brace"}},
        {"[{\"lr\": 1}]", {"run.json:1:1: no object"}},
        {"3", {"run.json:1:1: no object"}},
        // characters
        {"\xef\xbb\xbf{}", {"run.json:1:1: ", "byte order mark"}},
        {"{\"dataset\":\n\"a\xff\"}", {"run.json:2:3: byte 0xff is not UTF-8"}},
        {"{\"dataset\": \"\xc0\x80\"}", {"byte 0xc0 is not UTF-8"}},      // overlong
        {"{\"dataset\": \"\xe0\x9f\xbf\"}", {"byte 0xe0 is not UTF-8"}},  // overlong
        {"{\"dataset\": \"\xed\xa0\x80\"}", {"byte 0xed is not UTF-8"}},  // a surrogate
        {"{\"dataset\": \"\xf4\x90\x80\x80\"}", {"byte 0xf4 is not UTF-8"}},
        {"{\"dataset\": \"\xe2\x82\"}", {"byte 0xe2 is not UTF-8"}},
        {"{\"dataset\": \"a\tb\"}", {"run.json:1:15: dataset: a line break or tab"}},
        {"{\"dataset\": \"a\nb\"}", {"run.json:1:15: dataset: a line break or tab"}},
        {"{\"dataset\": \"a\x01\"}", {"run.json:1:15: control character 0x01"}},
        {"{\"dataset\": \"a\\u0000b\"}", {"run.json:1:15: dataset: \\u0000 in a string"}},
        {"{\"l\\u0000r\": 1}", {"run.json:1:4: \\u0000 in a string"}},
        {"{\"dataset\": \"\\q\"}", {"run.json:1:14: dataset: an unknown escape"}},
        {"{\"dataset\": \"\\u12g4\"}", {"run.json:1:14: dataset: an unknown escape"}},
        {"{\"dataset\": \"\\ud83d\"}", {"run.json:1:14: dataset: half a surrogate pair"}},
        {"{\"dataset\": \"\\ude00\"}", {"half a surrogate pair"}},
    };
    UfConfig *config = defaults(), *before = defaults();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        UfStatus status = uf_config_parse(config, cases[i].json, "run.json");
        if (status != UF_ERR_CONFIG) fail_msg("status %d: %s", (int)status, cases[i].json);
        assert_pieces(cases[i].json, cases[i].pieces);
        assert_null(strchr(uf_error(), '\n'));
    }
    // A failing text changes nothing, not even what stood before the error.
    assert_int_equal(uf_config_parse(config, "{\"seed\": 7, \"use_awr\": 1}", NULL), UF_ERR_CONFIG);
    assert_true(same(config, before));
    // Lists too deep for anybody's stack.
    char deep[4001];
    memset(deep, '[', 4000);
    deep[4000] = 0;
    assert_int_equal(uf_config_parse(config, deep, "run.json"), UF_ERR_CONFIG);
    assert_said("run.json:1:", "100 deep");
    // Strings have an end.
    char text[700];
    for (int length = UF_STRING_BYTES - 1; length <= UF_STRING_BYTES; length++) {
        snprintf(text, sizeof text, "{\"dataset\": \"%0*d\"}", length, 0);
        UfStatus expected = length < UF_STRING_BYTES ? UF_OK : UF_ERR_CONFIG;
        assert_int_equal(uf_config_parse(config, text, "run.json"), expected);
    }
    assert_said("run.json:1: dataset: ", "512 bytes", "at most 511");
    assert_int_equal(uf_config_parse(NULL, "{}", "x"), UF_ERR_ARGUMENT);
    assert_int_equal(uf_config_parse(config, NULL, "x"), UF_ERR_ARGUMENT);
    uf_config_free(config);
    uf_config_free(before);
}

static void test_taken(void** state) {
    (void)state;
    UfConfig* config = defaults();
    assert_int_equal(uf_config_parse(config, "\r\n{ }\n", "run.json"), UF_OK);
    static const char notes[] = "{\"_source\": \"[1, 2]\", \"_\": \"\", \"lr\":5e-1,\"batch_size\":1e3}";
    static const char escapes[] =
        "{\"dataset\": \"\\ud83d\\ude00 \\\"\\\\ \\u00e4\", "
        "\"lr_schedule\": \"cosine\", \"log_std_min\": -0}";
    assert_int_equal(uf_config_parse(config, notes, "x"), UF_OK);
    assert_true(config->lr == 0.5);
    assert_int_equal(config->batch_size, 1000);
    assert_int_equal(uf_config_parse(config, escapes, "x"), UF_OK);
    assert_string_equal(config->dataset, "\xf0\x9f\x98\x80 \"\\ \xc3\xa4");
    assert_int_equal(config->lr_schedule, UF_SCHEDULE_COSINE);
    assert_true(config->log_std_min == 0);
    uf_config_free(config);
}

static void test_set(void** state) {
    (void)state;
    static const struct {
        const char *name, *value;
        const char* pieces[5];
    } cases[] = {
        {"batchsize", "3", {"--set: 'batchsize'", "did you mean 'batch_size'?"}},
        {"_source", "x", {"--set: '_source'"}},
        {"", "x", {"--set: ''"}},
        {"lr", "0", {"--set: lr: 0 is out of range", "expected > 0 and <= 1000"}},
        {"lr", "abc", {"--set: lr: abc is not a number", "expected a number > 0"}},
        {"lr", "", {"--set: lr: ''", "expected a number"}},
        {"lr", "nan", {"--set: lr: nan", "expected a number"}},
        {"lr", "inf", {"--set: lr: inf", "expected a number"}},
        {"lr", "1,5", {"--set: lr: 1,5 is not a number"}},
        {"lr", "0x1p-3", {"--set: lr: 0x1p-3 is not a number"}},
        {"lr", "1 2", {"--set: lr: 1 2 is not a number"}},
        {"lr", "[1,2]", {"--set: lr: [1,2] is a list", "an axis of a sweep"}},
        {"batch_size", "1.5", {"--set: batch_size: 1.5 is not an integer", "an integer 1 to 1048576"}},
        {"batch_size", "true", {"--set: batch_size: true is a truth value"}},
        {"use_awr", "1", {"--set: use_awr: 1 is a number", "expected true or false"}},
        {"use_awr", "yes", {"--set: use_awr: yes is not a truth value", "expected true or false"}},
        {"aggregate_q", "median", {"--set: aggregate_q: median", "expected one of min, mean, first"}},
        {"aggregate_q", "", {"--set: aggregate_q: ", "expected one of min, mean, first"}},
        {"dataset", "a\xff", {"--set", "0xff is not UTF-8", "dataset"}},
    };
    UfConfig *config = defaults(), *before = defaults();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        UfStatus status = uf_config_set(config, cases[i].name, cases[i].value);
        if (status != UF_ERR_CONFIG) fail_msg("status %d: %s", (int)status, cases[i].value);
        assert_pieces(cases[i].value, cases[i].pieces);
        assert_true(same(config, before));
    }
    assert_int_equal(uf_config_set(config, "num_updates", "1e6"), UF_OK);
    assert_int_equal(config->num_updates, 1000000);
    assert_int_equal(uf_config_set(config, "seed", "4294967295"), UF_OK);
    assert_int_equal(config->seed, 4294967295);
    assert_int_equal(uf_config_set(config, "use_awr", "true"), UF_OK);
    assert_true(config->use_awr);
    assert_int_equal(uf_config_set(config, "norm_obs", "false"), UF_OK);
    assert_false(config->norm_obs);
    assert_int_equal(uf_config_set(config, "aggregate_q", "first"), UF_OK);
    assert_int_equal(config->aggregate_q, UF_AGGREGATE_FIRST);
    assert_int_equal(uf_config_set(config, "log_std_min", "-20"), UF_OK);
    assert_true(config->log_std_min == -20);
    assert_int_equal(uf_config_set(config, "dataset", "a longer name, [1] 2.hdf5"), UF_OK);
    assert_int_equal(uf_config_set(config, "dataset", "true"), UF_OK);
    assert_string_equal(config->dataset, "true");
    assert_int_equal(uf_config_set(config, "dataset", ""), UF_OK);
    assert_true(same(config, config) && strcmp(config->dataset, "") == 0);
    char text[700];
    memset(text, 'x', 600);
    text[600] = 0;
    assert_int_equal(uf_config_set(config, "dataset", text), UF_ERR_CONFIG);
    assert_said("--set: dataset: xxx", "...", "600 bytes", "at most 511");
    assert_int_equal(uf_config_set(config, NULL, text), UF_ERR_ARGUMENT);
    uf_config_free(config);
    uf_config_free(before);
}

// Mutations of a valid config: every one is taken or refused with a sentence, nothing crashes, and what is
// taken can be written and read again. Run under the sanitizers too.
static void test_mutations(void** state) {
    (void)state;
    static const char pool[] = "{}[]\",:\\u0000 truefalsn 0123456789.eE+-\n\t\x01\xc3\xa4\xff_/'";
    UfConfig *config = defaults(), *again = defaults();
    char *json, text[8192];
    assert_int_equal(uf_config_set(config, "dataset", "a \"quoted\" \\ \xc3\xa4 name"), UF_OK);
    assert_int_equal(uf_config_json(config, &json), UF_OK);
    size_t whole = strlen(json);
    assert_true(whole + 100 < sizeof text);
    uint32_t random = 12345;
    int taken = 0;
    for (int i = 0; i < 2000; i++) {
        memcpy(text, json, whole + 1);
        for (int change = 0; change <= i % 4; change++) {
            random = random * 1664525 + 1013904223;
            size_t length = strlen(text), place = (random >> 8) % length;
            random = random * 1664525 + 1013904223;
            char c = pool[(random >> 8) % (sizeof pool - 1)];
            switch (random >> 29) {
                case 0:
                case 1:
                case 2: text[place] = c; break;
                case 3:
                case 4:  // one more
                    memmove(text + place + 1, text + place, length - place + 1);
                    text[place] = c;
                    break;
                case 5:
                case 6: memmove(text + place, text + place + 1, length - place); break;  // one fewer
                default:
                    if (length > 100) text[place] = 0;
                    break;  // cut off
            }
            if (!*text) break;
        }
        char* exact = strdup(text);  // its end is the end of the memory: the sanitizer sees any byte too far
        UfStatus status = uf_config_parse(config, exact, "mutant");
        free(exact);
        if (status != UF_OK) {
            assert_int_equal(status, UF_ERR_CONFIG);
            assert_memory_equal(uf_error(), "mutant:", 7);
            continue;
        }
        taken++;
        char* out;
        assert_int_equal(uf_config_json(config, &out), UF_OK);
        if (uf_config_parse(again, out, "again") != UF_OK) fail_msg("%s in %s", uf_error(), out);
        assert_true(same(config, again));
        uf_free(out);
    }
    assert_true(taken > 20 && taken < 1900);
    uf_free(json);
    uf_config_free(config);
    uf_config_free(again);
}

// ---- files ----

static void test_load(void** state) {
    (void)state;
    char folder[] = "/tmp/unifloral-config-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run.json", folder);
    UfConfig *config = defaults(), *before = defaults();
    static const char good[] = "{\n  \"lr\": 0.5\n}\n", bad[] = "{\n  \"lr\": -1\n}\n";
    static const char cut[] = "{\n  \"lr\": 0.5\0}\n";
    assert_int_equal(uf_write_file(path, bad, sizeof bad - 1), UF_OK);
    assert_int_equal(uf_config_load(config, path), UF_ERR_CONFIG);
    assert_memory_equal(uf_error(), path, strlen(path));
    assert_said("/run.json:2: lr: -1 is out of range; expected > 0");
    assert_int_equal(uf_write_file(path, cut, sizeof cut - 1), UF_OK);
    assert_int_equal(uf_config_load(config, path), UF_ERR_CONFIG);
    assert_said("/run.json:2:12: control character 0x00");
    assert_true(same(config, before));
    assert_int_equal(uf_write_file(path, good, sizeof good - 1), UF_OK);
    assert_int_equal(uf_config_load(config, path), UF_OK);
    assert_true(config->lr == 0.5);
    unlink(path);
    assert_int_equal(uf_config_load(config, path), UF_ERR_IO);
    assert_said("run.json", "No such file");
    assert_int_equal(uf_config_load(config, folder), UF_ERR_IO);
    rmdir(folder);
    uf_config_free(config);
    uf_config_free(before);
}

// A preset loads, says where its numbers are from, and states only what differs from the defaults.
static int presets;
static int check_preset(const char* path, const struct stat* facts, int kind, struct FTW* where) {
    (void)facts;
    const char* ending = strrchr(path, '.');
    if (kind != FTW_F || !ending || strcmp(ending, ".json") != 0 || strstr(path, "/sweeps/")) return 0;
    presets++;
    const bool ppo = strncmp(path + where->base, "ppo", 3) == 0, hades = strstr(path, "/hades/") != NULL,
               synth = strstr(path, "/synthenv/") != NULL;
    const UfTable* table = ppo ? &uf_ppo_table : hades ? &hd_table : synth ? &se_table : &uf_config_table;
    void *config, *plain;
    assert_ok(uf_table_create(table, &config));
    assert_ok(uf_table_create(table, &plain));
    assert_ok(uf_table_load(table, config, path));
    if (ppo) assert_ok(uf_ppo_config_check(config));
    if (hades) assert_ok(hd_config_check(config));
    if (synth) assert_ok(se_config_check(config));
    char *text, value[UF_STRING_BYTES], standard[UF_STRING_BYTES];
    size_t num_bytes;
    assert_int_equal(uf_read_file(path, &text, &num_bytes), UF_OK);
    cJSON *root = cJSON_Parse(text), *item;
    if (!cJSON_GetObjectItemCaseSensitive(root, "_source")) fail_msg("%s: no \"_source\"", path);
    cJSON_ArrayForEach(item, root) {
        if (item->string[0] == '_') continue;
        const UfParam* param = uf_table_find(table, item->string);
        uf_param_format(config, param, value, sizeof value);
        uf_param_format(plain, param, standard, sizeof standard);
        if (strcmp(value, standard) == 0) fail_msg("%s: %s: %s is the default", path, item->string, value);
    }
    const UfConfig* c = ppo || hades ? NULL : config;
    if (c && (c->use_entropy_loss || c->actor_entropy_coef > 0)) assert_false(c->deterministic);
    cJSON_Delete(root);
    uf_free(text);
    uf_free(config);
    uf_free(plain);
    return 0;
}

static const char* const names[] = {"bc",  "td3_bc", "rebrac", "td3_awr", "iql",   "sac_n", "edac",
                                    "cql", "mobrac", "mopo",   "morel",   "combo", NULL};

static void test_presets(void** state) {
    (void)state;
    assert_int_equal(nftw("configs", check_preset, 8, FTW_PHYS), 0);
    assert_true(presets >= 25);
    for (int i = 0; names[i]; i++) {
        for (int small = 0; small < 2; small++) {
            char path[64];
            snprintf(path, sizeof path, "configs/%s%s.json", small ? "pendulum/" : "", names[i]);
            UfConfig* config = defaults();
            if (uf_config_load(config, path) != UF_OK) fail_msg("%s", uf_error());
            assert_string_equal(config->algorithm, names[i]);
            uf_config_free(config);
        }
    }
}

// The paper's ranges: a preset's own values lie in them, and what is no axis is the preset's.
static void test_sweep_presets(void** state) {
    (void)state;
    static const int64_t combinations[] = {1, 5, 56, 504, 9, 6, 24, 6, 560, 4, 24, 108};
    for (int i = 0; names[i]; i++) {
        char path[64], value[UF_STRING_BYTES];
        UfConfig *sweep = defaults(), *preset = defaults();
        UfAxes axes = {.count = 0};
        int64_t product = 1;
        snprintf(path, sizeof path, "configs/%s.json", names[i]);
        assert_ok(uf_config_load(preset, path));
        snprintf(path, sizeof path, "configs/sweeps/%s.json", names[i]);
        assert_ok(uf_config_load_axes(sweep, &axes, path));
        for (int k = 0; k < axes.count; k++) {
            const UfAxis* axis = &axes.axes[k];
            int found = 0;
            uf_param_format(preset, axis->param, value, sizeof value);
            for (int v = 0; v < axis->num_values; v++) found += !strcmp(axis->values[v], value);
            if (found != 1) fail_msg("%s: %s %s is not in its range", path, axis->param->name, value);
            assert_ok(uf_config_set(sweep, axis->param->name, value));
            product *= axis->num_values;
        }
        if (!same(sweep, preset)) fail_msg("%s: differs from its preset in more than its axes", path);
        assert_int_equal(product, combinations[i]);
        assert_int_equal(uf_config_load(preset, path), axes.count ? UF_ERR_CONFIG : UF_OK);
        uf_axes_free(&axes);
        uf_config_free(sweep);
        uf_config_free(preset);
    }
}

static void test_axes(void** state) {
    (void)state;
    static const struct {
        const char *name, *value, *said;
    } refused[] = {{"dataset", "x", NULL},
                   {"eval_interval", "[1,2]", "eval_interval: [1,2] is a list, but it is no hyperparameter"},
                   {"lr", "[]", "lr: a list of 0 values"},
                   {"lr", "[1,[2]]", "lr: [1,[2]] is a list of lists"},
                   {"lr", "[0.1,-1]", "lr: [0.1,-1] is out of range"},
                   {"lr", "[0.1,1e-1]", "has 0.1 twice"},
                   {"lr", "[0.1,true]", "is a truth value"}};
    UfConfig* config = defaults();
    UfAxes axes = {.count = 0};
    assert_ok(uf_config_set_axis(config, &axes, "lr", "[3e-4, 0.001]"));
    assert_ok(uf_config_set_axis(config, &axes, "actor_ln", "[true,false]"));
    assert_int_equal(axes.count, 2);
    assert_string_equal(axes.axes[0].values[1], "0.001");
    assert_true(config->lr == 3e-4);
    assert_ok(uf_config_set_axis(config, &axes, "lr", "0.01"));  // one value takes the axis away
    assert_int_equal(axes.count, 1);
    assert_string_equal(axes.axes[0].param->name, "actor_ln");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        UfStatus status = uf_config_set_axis(config, &axes, refused[i].name, refused[i].value);
        assert_int_equal(status, refused[i].said ? UF_ERR_CONFIG : UF_OK);
        if (refused[i].said) assert_said(refused[i].said);
    }
    uf_axes_free(&axes);
    assert_int_equal(axes.count, 0);
    uf_config_free(config);
}

// The same of another table; texts may be lists too.
static void test_axes_of_any_table(void** state) {
    (void)state;
    static const struct {
        const char *name, *value, *said;
    } refused[] = {
        {"generations", "[10,20]", "generations: [10,20] is a list, but it is no hyperparameter"},
        {"strategy", "[\"openes\",\"cma\"]", "is not one of the choices; expected one of openes, snes"},
        {"strategy", "[openes]", "strategy: [openes] is not one of the choices"},
        {"env", "[\"A\",[\"B\"]]", "is a list of lists"},
        {"env", "[\"A\",\"A\"]", "has A twice"},
        {"rows", "[2,2.5]", "rows: [2,2.5] is not an integer"},
        {"actor_ln", "[true,false]", "'actor_ln' is not a hyperparameter"}};
    static const char json[] = "{\"rows\": [4, 2], \"env\": [\"CartPole-v1\"], \"lr\": 0.5}";
    void* memory;
    UfAxes axes = {.count = 0};
    assert_ok(uf_table_create(&hd_table, &memory));
    HdConfig* config = memory;
    assert_ok(uf_write_file(in_folder("hades.json"), json, strlen(json)));
    assert_ok(uf_table_load_axes(&hd_table, config, &axes, in_folder("hades.json")));
    assert_int_equal(axes.count, 2);
    assert_int_equal(config->rows, 4);
    assert_string_equal(config->env, "CartPole-v1");
    assert_true(config->lr == 0.5);
    assert_ok(uf_table_set_axis(&hd_table, config, &axes, "env", "[\"Acrobot-v1\", \"Pendulum-v1\"]"));
    assert_ok(uf_table_set_axis(&hd_table, config, &axes, "strategy", "[\"snes\",\"openes\"]"));
    assert_ok(uf_table_set_axis(&hd_table, config, &axes, "rows", "8"));
    assert_int_equal(axes.count, 2);
    assert_int_equal(config->rows, 8);
    assert_string_equal(axes.axes[0].param->name, "env");
    assert_string_equal(axes.axes[0].values[1], "Pendulum-v1");
    assert_string_equal(config->env, "Acrobot-v1");
    assert_string_equal(axes.axes[1].values[1], "openes");
    assert_int_equal(config->strategy, HD_STRATEGY_SNES);
    assert_int_equal(uf_table_set(&hd_table, config, "rows", "[1,2]"), UF_ERR_CONFIG);
    assert_said("is a list, which is an axis of a sweep");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(uf_table_set_axis(&hd_table, config, &axes, refused[i].name, refused[i].value),
                         UF_ERR_CONFIG);
        assert_said(refused[i].said);
    }
    uf_axes_free(&axes);
    uf_free(config);
}

// ---- tables for people, populations ----

static void test_help(void** state) {
    (void)state;
    char *help, *table;
    assert_int_equal(uf_params_help(&help), UF_OK);
    for (char *line = help, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        if (end - line > 110) fail_msg("%d columns: %.*s", (int)(end - line), (int)(end - line), line);
    }
    assert_int_equal(uf_params_markdown(&table), UF_OK);
    for (int i = 0; i < uf_num_params; i++) {
        const UfParam* param = &uf_params[i];
        const char* name = param->type == UF_TYPE_GROUP ? param->default_text : param->name;
        if (!strstr(help, name) || !strstr(table, name)) fail_msg("%s is missing", name);
    }
    assert_non_null(strstr(table, "| `lr` | `0.001` | float > 0 and <= 1000 | per member | learning rate"));
    assert_non_null(strstr(table, "| `aggregate_q` | `min` | min, mean, first | same | "));
    assert_non_null(strstr(table, "| `dataset` | `\"\"` | string |  | "));
    uf_free(help);
    uf_free(table);
}

// The lines between two markers of README.md are the table.
static void compare_with_readme(const char* readme, const UfTable* table, const char* opening,
                                const char* closing) {
    const char* from = strstr(readme, opening);
    const char* to = from ? strstr(from, closing) : NULL;
    char* text;
    if (!to) fail_msg("README.md has no lines %s and %s", opening, closing);
    from += strlen(opening);
    assert_ok(uf_table_markdown(table, &text));
    if ((size_t)(to - from) != strlen(text) || memcmp(from, text, strlen(text)) != 0)
        fail_msg("README.md's table is not the generated one (make readme); put this behind %s\n%s", opening,
                 text);
    uf_free(text);
}

static void test_readme(void** state) {
    (void)state;
    char* readme;
    size_t num_bytes;
    if (access("README.md", R_OK) != 0) {
        printf("SKIP test_readme: README.md not there\n");
        skip();
    }
    assert_int_equal(uf_read_file("README.md", &readme, &num_bytes), UF_OK);
    compare_with_readme(readme, &uf_config_table, "<!-- params -->\n", "<!-- /params -->");
    compare_with_readme(readme, &uf_ppo_table, "<!-- ppo -->\n", "<!-- /ppo -->");
    compare_with_readme(readme, &hd_table, "<!-- hades -->\n", "<!-- /hades -->");
    uf_free(readme);
}

static void test_same_shape(void** state) {
    (void)state;
    UfConfig *a = defaults(), *b = defaults();
    b->seed = 3;
    b->lr = 0.5;
    strcpy(b->dataset, "x");
    b->eval_workers = 2;
    assert_int_equal(uf_config_same_shape(a, b), UF_OK);
    b->num_critics = 10;
    assert_int_equal(uf_config_same_shape(a, b), UF_ERR_CONFIG);
    assert_said("num_critics", "2", "10", "population");
    b->num_critics = a->num_critics;
    b->aggregate_q = UF_AGGREGATE_FIRST;
    assert_int_equal(uf_config_same_shape(a, b), UF_ERR_CONFIG);
    assert_said("aggregate_q", "min", "first");
    uf_config_free(a);
    uf_config_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_numbers_as_text),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_sweep_presets),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_axes_of_any_table),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_readme),
        cmocka_unit_test(test_same_shape),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder) ? 1 : 0;
}
