// train_arrays.c: trains from arrays in memory and saves a checkpoint.
//
//   cc train_arrays.c $(pkg-config --cflags --libs unifloral) -lm -o train_arrays && ./train_arrays point.h5
//
// The task: a point on a line, pushed by the action, is paid for being near 0. The data are random pushes.
#include <stdio.h>
#include <stdlib.h>
#include <unifloral.h>

#define EPISODES 200
#define STEPS 50
#define ROWS (EPISODES * STEPS)

static float observations[ROWS][2], actions[ROWS][1], rewards[ROWS];  // position and speed, push, pay
static uint8_t terminals[ROWS], timeouts[ROWS];

static float uniform(float low, float high) { return low + (high - low) * (float)rand() / (float)RAND_MAX; }

static void make_rows(void) {
    srand(1);
    for (int row = 0, e = 0; e < EPISODES; e++) {
        float position = uniform(-1, 1), speed = 0;
        for (int t = 0; t < STEPS; t++, row++) {
            observations[row][0] = position;
            observations[row][1] = speed;
            actions[row][0] = uniform(-1, 1);
            speed = 0.9f * speed + 0.1f * actions[row][0];
            position += 0.1f * speed;
            rewards[row] = -position * position;
            timeouts[row] = t == STEPS - 1;
        }
    }
}

static int on_update(void* user, UfAgent* agent, int64_t update) {
    (void)user;
    int num_metrics;
    const char* const* names;
    const double* values;
    if (update % 100 || uf_agent_metrics(agent, 0, &num_metrics, &names, &values) != UF_OK) return 0;
    printf("update %d:", (int)update);
    for (int i = 0; i < num_metrics; i++) printf(" %s %.4g", names[i], values[i]);
    printf("\n");
    uf_agent_clear_metrics(agent);
    return 0;  // anything else would stop the training
}

int main(int argc, char** argv) {
    UfConfig* config = NULL;
    UfDataset* dataset = NULL;
    UfAgent* agent = NULL;
    const char* path = argc > 1 ? argv[1] : "checkpoint.h5";
    const char* settings =
        "{\"batch_size\": 128, \"actor_layer_width\": 32, \"critic_layer_width\": 32,"
        " \"actor_num_layers\": 2, \"critic_num_layers\": 2, \"num_updates\": 200}";
    UfArrays arrays = {.num_rows = ROWS, .obs_dim = 2, .action_dim = 1};
    arrays.observations = *observations;
    arrays.actions = *actions;
    arrays.rewards = rewards;
    arrays.terminals = terminals;
    arrays.timeouts = timeouts;
    make_rows();

    UfStatus status = uf_config_create(&config);
    if (status == UF_OK) status = uf_config_parse(config, settings, "settings");
    if (status == UF_OK) status = uf_dataset_from_arrays(&dataset, &arrays);
    if (status == UF_OK) status = uf_agent_create(&agent, config, dataset, 0);
    if (status == UF_OK) status = uf_train(agent, dataset, 0, on_update, NULL);
    if (status == UF_OK) status = uf_agent_save(agent, path);
    if (status == UF_OK)
        printf("checkpoint: %s\n", path);
    else
        fprintf(stderr, "error: %s\n", uf_error());

    uf_agent_free(agent);
    uf_dataset_free(dataset);
    uf_config_free(config);
    return status != UF_OK;
}
