// test_nulls.c: public functions with a status say so where an argument that is not Nullable is null, and leave no
// handle behind.
#include "support.h"

#include "hades.h"
#include "navix.h"
#include "synthenv.h"

#define assert_refuses(call)                                                                            \
    do {                                                                                                \
        const UfStatus status_ = (call);                                                                \
        if (status_ != UF_ERR_ARGUMENT) fail_msg("%s: status %d: %s", #call, (int)status_, uf_error()); \
    } while (0)

// Where the handle goes is given and the rest is null: the handle is null afterwards.
#define assert_no_handle(call)                          \
    do {                                                \
        out = &some;                                    \
        assert_refuses(call);                           \
        if (out) fail_msg("%s leaves a handle", #call); \
    } while (0)

static void test_unifloral(void** state) {
    (void)state;
    char some, buffer[8];
    void* out;
    const char* no_path = NULL;
    const UfConfig* no_config = NULL;
    assert_refuses(uf_config_create(NULL));
    assert_refuses(uf_config_load(NULL, NULL));
    assert_refuses(uf_config_parse(NULL, NULL, NULL));
    assert_refuses(uf_config_set(NULL, NULL, NULL));
    assert_refuses(uf_config_get(NULL, NULL, buffer, sizeof buffer));
    assert_refuses(uf_config_json(NULL, NULL));
    assert_refuses(uf_config_check(NULL));
    assert_refuses(uf_dataset_open(NULL, NULL, NULL));
    assert_no_handle(uf_dataset_open((UfDataset**)&out, NULL, NULL));
    assert_refuses(uf_dataset_from_arrays(NULL, NULL));
    assert_no_handle(uf_dataset_from_arrays((UfDataset**)&out, NULL));
    assert_refuses(uf_agent_create(NULL, NULL, NULL, 1));
    assert_no_handle(uf_agent_create((UfAgent**)&out, NULL, NULL, 1));
    assert_no_handle(uf_agent_create_population((UfAgent**)&out, &no_config, 1, NULL, 1));
    assert_refuses(uf_agent_set_termination(NULL, NULL, NULL));
    assert_refuses(uf_train(NULL, NULL, 0, NULL, NULL));
    assert_refuses(uf_agent_metrics(NULL, 0, NULL, NULL, NULL));
    assert_refuses(uf_agent_save(NULL, NULL));
    assert_refuses(uf_agent_save_member(NULL, 0, NULL));
    assert_no_handle(uf_agent_load((UfAgent**)&out, NULL, 1));
    assert_no_handle(uf_agent_load_population((UfAgent**)&out, NULL, 1, 1));
    assert_no_handle(uf_agent_load_population((UfAgent**)&out, &no_path, 1, 1));
    assert_no_handle(uf_agent_load_on((UfAgent**)&out, NULL, 1, NULL, NULL, 1));
    assert_null(uf_agent_member_error(NULL, 0));
    assert_null(uf_agent_config(NULL, 0));
    assert_no_handle(uf_policy_create((UfPolicy**)&out, NULL, 0));
    assert_no_handle(uf_policy_load((UfPolicy**)&out, NULL, 0));
    assert_refuses(uf_policy_act(NULL, NULL, NULL, 1, NULL));
    assert_refuses(uf_fqe_config(NULL));
    assert_refuses(uf_fqe(NULL, NULL, 1, NULL, NULL, 1, NULL, NULL));
    assert_no_handle(uf_dynamics_create((UfDynamics**)&out, NULL, NULL, 1));
    assert_refuses(uf_dynamics_train(NULL, NULL, 0, NULL, NULL));
    assert_refuses(uf_dynamics_epoch(NULL, 1, NULL, NULL, NULL));
    assert_refuses(uf_dynamics_r2(NULL, NULL, NULL));
    assert_refuses(uf_dynamics_save(NULL, NULL));
    assert_no_handle(uf_dynamics_load((UfDynamics**)&out, NULL, 1));
    assert_refuses(uf_es_create(NULL, NULL));
    assert_no_handle(uf_es_create((UfEs**)&out, NULL));
    assert_refuses(uf_es_tell(NULL, NULL));
}

static void test_siblings(void** state) {
    (void)state;
    char some;
    void* out;
    assert_refuses(nx_find_observation(NULL, NULL));
    assert_no_handle(nx_create((NxBatch**)&out, NULL, 1, 0, NULL));
    assert_refuses(nx_seed(NULL, 0));
    assert_refuses(nx_reset(NULL, NULL));
    assert_refuses(nx_step(NULL, NULL, NULL));
    assert_refuses(nx_step_with_obstacles(NULL, NULL, NULL, NULL));
    assert_refuses(nx_show(NULL, NULL));
    assert_refuses(nx_get_state(NULL, 0, NULL));
    assert_refuses(nx_set_state(NULL, 0, NULL));
    assert_refuses(nx_save(NULL, NULL));
    assert_refuses(nx_restore(NULL, NULL));
    assert_refuses(hd_config_create(NULL));
    assert_refuses(hd_config_json(NULL, NULL));
    assert_no_handle(hd_search_create((HdSearch**)&out, NULL));
    assert_refuses(hd_search_step(NULL, NULL));
    assert_refuses(hd_search_write(NULL, NULL));
    assert_refuses(hd_search_save(NULL, NULL));
    assert_no_handle(hd_search_load((HdSearch**)&out, NULL));
    assert_refuses(se_default_options(NULL, NULL));
    assert_no_handle(se_create((SeEnv**)&out, NULL, 0));
    assert_refuses(se_set_params(NULL, NULL));
    assert_refuses(se_write(NULL, NULL, NULL));
    assert_no_handle(se_read((SeEnv**)&out, NULL));
    assert_no_handle(se_import((SeEnv**)&out, NULL, NULL));
    assert_no_handle(se_make((SeEnv**)&out, NULL, NULL, NULL));
    assert_refuses(se_config_create(NULL));
    assert_refuses(se_config_json(NULL, NULL));
    assert_no_handle(se_train((SeAgents**)&out, NULL, NULL, NULL, 1, 0));
    assert_refuses(se_play(NULL, 1, 0, NULL));
    assert_refuses(se_act(NULL, 0, 1, NULL, NULL));
    assert_no_handle(se_search_create((SeSearch**)&out, NULL));
    assert_refuses(se_search_step(NULL, NULL));
    assert_no_handle(se_search_env(NULL, (SeEnv**)&out));
    assert_refuses(se_search_save(NULL, NULL));
    assert_no_handle(se_search_load((SeSearch**)&out, NULL));
}

// Numbers that make no sense, and where a checkpoint cannot go: no part of it is left there.
static void test_agent(void** state) {
    (void)state;
    float rows[8] = {0};
    const uint8_t ends[8] = {0};
    const UfArrays arrays = {.num_rows = 8,
                             .obs_dim = 1,
                             .action_dim = 1,
                             .observations = rows,
                             .actions = rows,
                             .rewards = rows,
                             .terminals = ends};
    const char* const settings[][2] = {{"batch_size", "4"},         {"actor_layer_width", "4"},
                                       {"critic_layer_width", "4"}, {"num_updates", "2"},
                                       {"num_epochs", "1"},         {"layer_size", "4"}};
    char folder[] = "/tmp/uf_nulls_XXXXXX", taken[64], part[80];
    UfDataset* data;
    UfConfig* config;
    UfAgent* agent;
    UfDynamics* dynamics;
    assert_non_null(mkdtemp(folder));
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    assert_ok(uf_config_create(&config));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        assert_ok(uf_config_set(config, settings[i][0], settings[i][1]));
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_refuses(uf_train(agent, data, -1, NULL, NULL));
    assert_error("-1 updates");
    assert_refuses(uf_agent_metrics(agent, 0, NULL, NULL, NULL));
    assert_null(uf_agent_config(agent, 1));
    assert_null(uf_agent_config(agent, -1));
    snprintf(taken, sizeof taken, "%s/taken", folder);
    snprintf(part, sizeof part, "%s.tmp", taken);
    assert_ok(uf_make_folder(taken));
    assert_int_equal(uf_agent_save(agent, taken), UF_ERR_IO);
    assert_error("taken");
    assert_int_not_equal(access(part, F_OK), 0);
    assert_ok(uf_dynamics_create(&dynamics, config, data, 1));
    assert_refuses(uf_dynamics_train(dynamics, data, -1, NULL, NULL));
    assert_error("-1 epochs");
    uf_dynamics_free(dynamics);
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(data);
    assert_int_equal(rmdir(taken), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unifloral),
        cmocka_unit_test(test_siblings),
        cmocka_unit_test(test_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
