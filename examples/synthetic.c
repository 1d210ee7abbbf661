// synthetic.c: searches for a bandit of 549 numbers in which agents learn CartPole, then trains agents that the search
// never saw in it and has them play.
//
//   cc synthetic.c $(pkg-config --cflags --libs unifloral) -o synthetic && ./synthetic cartpole.h5
//   unifloral synthenv info cartpole.h5; unifloral synthenv show cartpole.h5 --out cartpole.png
#include <stdio.h>
#include <synthenv.h>

enum { GENERATIONS = 20, AGENTS = 4, EPISODES = 10 };

static UfStatus configure(SeConfig* config) {
    static const char* const settings[][2] = {
        {"env", "CartPole-v1"}, {"algorithms", "ppo"},  {"popsize", "32"},         {"episodes", "8"},
        {"sigma_init", "0.1"},  {"num_steps", "2000"},  {"warm_up", "200"},        {"layer_width", "32"},
        {"lr", "0.01,0.005"},   {"ent_coef", "0,0.01"}, {"ppo_update_epochs", "4"}};
    UfStatus status = UF_OK;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == UF_OK; i++)
        status = se_config_set(config, settings[i][0], settings[i][1]);
    return status;
}

static UfStatus search(const SeConfig* config, SeSearch** search, SeEnv** env) {
    UfStatus status = se_search_create(search, config);
    for (int i = 1; i <= GENERATIONS && status == UF_OK; i++) {
        SeGeneration g;
        status = se_search_step(*search, &g);
        if (status == UF_OK && i % 5 == 0)
            printf("generation %d: mean return %.1f, best %.1f of %d agents\n", i, g.mean, g.best,
                   (int)g.num_agents);
    }
    return status == UF_OK ? se_search_env(*search, env) : status;
}

static UfStatus try_agents(const SeConfig* config, const SeEnv* env) {
    SeAgents* agents;
    double returns[AGENTS * EPISODES];
    const float obs[4] = {0, 0, 0.05f, 0};  // the pole leans to the right
    UfStatus status = se_train(&agents, config, env, "dqn", AGENTS, 1);
    if (status == UF_OK) status = se_play(agents, EPISODES, 1, returns);
    for (int i = 0; i < AGENTS && status == UF_OK; i++) {
        double mean = 0;
        float action;
        for (int e = 0; e < EPISODES; e++) mean += returns[i * EPISODES + e] / EPISODES;
        status = se_act(agents, i, 1, obs, &action);
        printf("DQN agent %d: return %.1f, pushes %s  (%s)\n", i, mean, action > 0 ? "right" : "left",
               se_agent_hyperparameters(agents, i));
    }
    se_agents_free(agents);
    return status;
}

int main(int argc, char** argv) {
    const char* path = argc > 1 ? argv[1] : "synthetic.h5";
    SeConfig* config = NULL;
    SeSearch* found = NULL;
    SeEnv* env = NULL;

    UfStatus status = se_config_create(&config);
    if (status == UF_OK) status = configure(config);
    if (status == UF_OK) status = search(config, &found, &env);
    if (status == UF_OK) status = try_agents(config, env);
    if (status == UF_OK) status = se_write(env, path, "examples/synthetic.c");
    if (status == UF_OK)
        printf("environment: %s\n", path);
    else
        fprintf(stderr, "error: %s\n", uf_error());

    se_free(env);
    se_search_free(found);
    se_config_free(config);
    return status != UF_OK;
}
