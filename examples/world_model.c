// world_model.c: trains a world model from arrays in memory and says how well it predicts.
//
//   cc world_model.c $(pkg-config --cflags --libs unifloral) -lm -o world_model && ./world_model model.h5
//
// The task of train_arrays.c: a point on a line, pushed by the action. An agent uses the file through its
// hyperparameter model_path.
#include <stdio.h>
#include <stdlib.h>
#include <unifloral.h>

#define EPISODES 100
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

static int on_batch(void* user, UfDynamics* dynamics, int64_t epoch, int64_t batch) {
    double loss;
    (void)user;
    if (batch == 0 && epoch % 5 == 0 && uf_dynamics_epoch(dynamics, epoch, &loss, NULL, NULL) == UF_OK)
        printf("epoch %d: loss %.4g\n", (int)epoch, loss);
    return 0;  // anything else would stop the training
}

int main(int argc, char** argv) {
    UfConfig* config = NULL;
    UfDataset* dataset = NULL;
    UfDynamics* dynamics = NULL;
    const double* r2;
    int count = 0;
    const char* settings =
        "{\"batch_size\": 128, \"num_ensemble\": 3, \"num_elites\": 2, \"layer_size\": 32, \"num_epochs\": "
        "20}";
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
    if (status == UF_OK) status = uf_dynamics_create(&dynamics, config, dataset, 0);
    if (status == UF_OK) status = uf_dynamics_train(dynamics, dataset, 0, on_batch, NULL);
    if (status == UF_OK) status = uf_dynamics_save(dynamics, argc > 1 ? argv[1] : "model.h5");
    if (status == UF_OK) status = uf_dynamics_r2(dynamics, &r2, &count);
    if (status != UF_OK) fprintf(stderr, "error: %s\n", uf_error());
    for (int i = 0; i < count; i++)
        printf("R^2 of %s: %.3f\n", i < 2 ? "an observation" : "the reward", r2[i]);
    uf_dynamics_free(dynamics);
    uf_dataset_free(dataset);
    uf_config_free(config);
    return status != UF_OK;
}
