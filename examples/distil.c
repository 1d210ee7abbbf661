// distil.c: finds two state-action pairs on which behaviour cloning learns CartPole, and writes them as a dataset.
//
//   cc distil.c $(pkg-config --cflags --libs unifloral) -o distil && ./distil cartpole.hdf5
//   unifloral hades show cartpole.hdf5; unifloral hades try cartpole.hdf5 --controls
#include <hades.h>
#include <stdio.h>

static UfStatus distil(const HdConfig* config, HdSearch** search, const char* path) {
    UfStatus status = hd_search_create(search, config);
    for (int i = 1; i <= 20 && status == UF_OK; i++) {
        HdGeneration g;
        status = hd_search_step(*search, &g);
        if (status == UF_OK && i % 5 == 0)
            printf("generation %d: mean return %.1f, best %.1f of %d networks\n", i, g.mean, g.best,
                   (int)g.num_networks);
    }
    return status == UF_OK ? hd_search_write(*search, path) : status;
}

int main(int argc, char** argv) {
    const char* path = argc > 1 ? argv[1] : "distilled.hdf5";
    HdConfig* config = NULL;
    HdSearch* search = NULL;

    UfStatus status = hd_config_create(&config);
    if (status == UF_OK) status = hd_config_set(config, "env", "CartPole-v1");
    if (status == UF_OK) status = hd_config_set(config, "rows", "2");
    if (status == UF_OK) status = hd_config_set(config, "popsize", "32");
    if (status == UF_OK) status = distil(config, &search, path);
    if (status == UF_OK)
        printf("dataset: %s\n", path);
    else
        fprintf(stderr, "error: %s\n", uf_error());

    hd_search_free(search);
    hd_config_free(config);
    return status != UF_OK;
}
