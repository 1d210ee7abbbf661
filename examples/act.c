// act.c: loads a checkpoint and acts. Needs neither the dataset nor the training code's configuration.
//
//   cc act.c $(pkg-config --cflags --libs unifloral) -o act && ./act runs/demo/checkpoint.h5
#include <stdio.h>
#include <stdlib.h>
#include <unifloral.h>

#define COUNT 5  // observations, all answered by one call

int main(int argc, char** argv) {
    UfPolicy* policy;
    if (argc != 2) {
        fprintf(stderr, "usage: act CHECKPOINT\n");
        return 2;
    }
    if (uf_policy_load(&policy, argv[1], 0) != UF_OK) {
        fprintf(stderr, "error: %s\n", uf_error());
        return 1;
    }
    int obs_dim = uf_policy_obs_dim(policy), action_dim = uf_policy_action_dim(policy);
    float* obs = calloc((size_t)COUNT * (size_t)obs_dim, sizeof(float));
    float* actions = calloc((size_t)COUNT * (size_t)action_dim, sizeof(float));
    UfStatus status = obs && actions ? UF_OK : UF_ERR_MEMORY;

    // The first coordinate goes from -1 to 1, the others stay 0.
    for (int i = 0; status == UF_OK && i < COUNT; i++) obs[i * obs_dim] = -1 + 2 * (float)i / (COUNT - 1);
    if (status == UF_OK) status = uf_policy_act(policy, actions, obs, COUNT, NULL);  // no noise: the mean

    for (int i = 0; status == UF_OK && i < COUNT; i++) {
        printf("obs[0] %+.2f  action", obs[i * obs_dim]);
        for (int a = 0; a < action_dim; a++) printf(" %+.4f", actions[i * action_dim + a]);
        printf("\n");
    }
    if (status != UF_OK) fprintf(stderr, "error: %s\n", uf_error());
    free(obs);
    free(actions);
    uf_policy_free(policy);
    return status != UF_OK;
}
