// synthenv.c: `unifloral synthenv` and its subcommands.
#include <inttypes.h>
#include <stdio.h>

#include "cli/search.h"
#include "core/data/dataset.h"
#include "core/envs/envs.h"
#include "core/synth/synth.h"
#include "core/synth/synth_draw.h"
#include "core/synth/synth_reuse.h"
#include "core/synth/synth_run.h"

int cli_synthenv_import(const Args* args) {
    const char *file = args->files[0], *name = args->files[1], *out = args->values[O_OUT];
    char source[1200];
    SeEnv* env;
    if (se_import(&env, file, name) != UF_OK) return cli_failed();
    snprintf(source, sizeof(source), "%s: %s", uf_file_name(file), name);
    const UfStatus status = se_write(env, out, source);
    if (status == UF_OK)
        printf("wrote %s: %s, %" PRId64 " parameters\n", out, se_options(env)->eval_env, se_num_params(env));
    se_free(env);
    return status == UF_OK ? DONE : cli_failed();
}

int cli_synthenv_info(const Args* args) {
    char* text = NULL;
    const UfStatus status = uf_synth_info(args->files[0], &text);
    return cli_print(status, text);
}

static void print_made(const char* out, const SeEnv* env, const SeMade* made) {
    const SeOptions* o = se_options(env);
    if (!made->begins_exact)
        fprintf(stderr,
                "note: width %d is less than twice the %d numbers of an observation, which a Gaussian to "
                "begin with takes; contexts began as fresh ones\n",
                o->width, o->obs_dim);
    printf("contexts  energy distance from the dataset's observations %.4g, at first %.4g\n", made->distance,
           made->first_distance);
    if (o->meaning == SE_Q)
        printf("reward    Q of discount %g: R^2 %.4f on what was held out\n", (double)o->discount, made->r2);
    else
        printf(
            "reward    behaviour: cross-entropy %.4f of a chance's %.4f, accuracy %.3f on rows that were "
            "held out; weights as of %.0f rows\n",
            made->cross_entropy, made->chance, made->accuracy, made->effective_rows);
    printf("wrote %s: %s, %" PRId64 " parameters\n", out,
           o->eval_env[0] ? o->eval_env : "no environment with a name", se_num_params(env));
}

int cli_check_synthenv_make(const Command* c, const Args* args) {
    if (args->values[O_DATASET] || args->values[O_CHECKPOINT]) return GO_ON;
    return cli_misuse(c, "--dataset or --checkpoint is missing");
}

int cli_synthenv_make(const Args* args) {
    const char *data = args->values[O_DATASET], *checkpoint = args->values[O_CHECKPOINT],
               *out = args->values[O_OUT];
    char source[2400];
    const SeMaking making = {.env = args->values[O_ENV],
                             .checkpoint = checkpoint,
                             .num_steps = cli_number(args, O_STEPS, 0),
                             .width = (int)cli_number(args, O_HIDDEN, 0),
                             .seed = (uint64_t)cli_number(args, O_SEED, 0),
                             .return_temperature = cli_real(args, O_RETURN_TEMPERATURE, 0),
                             .num_threads = (int)cli_number(args, O_THREADS, 0)};
    UfDataset* dataset = NULL;
    SeEnv* env = NULL;
    SeMade made;
    UfStatus status = uf_check_output(out);
    if (status == UF_OK && data) status = uf_dataset_open(&dataset, data, args->values[O_ENV]);
    if (status == UF_OK) status = se_make(&env, &made, dataset, &making);
    snprintf(source, sizeof(source), checkpoint ? "Q of %s" : "behaviour of %s",
             checkpoint ? checkpoint : data);
    if (status == UF_OK) status = se_write(env, out, source);
    if (status == UF_OK) print_made(out, env, &made);
    se_free(env);
    uf_dataset_free(dataset);
    return status == UF_OK ? DONE : cli_failed();
}

static UfStatus draw_synthenv(const Args* args, const SeEnv* env) {
    const char *name = args->values[O_ENV], *out = args->values[O_OUT];
    const UfEnvSpec* spec = NULL;
    if (name)
        UF_TRY(uf_env_lookup(&spec, name));
    else if (se_options(env)->eval_env[0])
        spec = uf_env_find(se_options(env)->eval_env);
    UF_TRY(uf_synth_draw(env, spec, (uint64_t)cli_number(args, O_SEED, 0), out));
    if (!spec) printf("played in no environment: name one with --env NAME\n");
    printf("wrote %s\n", out);
    return UF_OK;
}

// What is drawn at random, and where, is for a picture.
int cli_check_synthenv_show(const Command* c, const Args* args) {
    static const enum Option of_picture[] = {O_ENV, O_SEED, NUM_OPTIONS};
    const char* given = args->values[O_OUT] ? NULL : cli_first_given(args, of_picture);
    return given ? cli_misuse(c, "--%s is for --out", given) : GO_ON;
}

int cli_synthenv_show(const Args* args) {
    SeEnv* env = NULL;
    const int described = cli_synthenv_info(args);
    if (described != DONE || !args->values[O_OUT]) return described;
    UfStatus status = se_read(&env, args->files[0]);
    if (status == UF_OK) status = draw_synthenv(args, env);
    se_free(env);
    return status == UF_OK ? DONE : cli_failed();
}

int cli_synthenv_play(const Args* args) {
    const UfEnvSpec* spec = NULL;
    UfEvaluation e = {0};
    UfPool* pool = NULL;
    SeEnv* env;
    UfStatus status = se_read(&env, args->files[0]);
    if (status == UF_OK) status = uf_pool_create(&pool, (int)cli_number(args, O_THREADS, 0));
    if (status == UF_OK)
        status = uf_synth_play(&e, &spec, env, args->values[O_ENV], cli_number(args, O_EPISODES, 100),
                               (uint64_t)cli_number(args, O_SEED, 0), pool);
    if (status == UF_OK) cli_print_evaluation(args, spec->name, &e);
    uf_evaluation_free(&e);
    uf_pool_free(pool);
    se_free(env);
    return status == UF_OK ? DONE : cli_failed();
}

static const SearchCommand meta_command = {&se_kind, "synthenv meta"};

int cli_synthenv_meta(const Args* args) { return cli_search(args, &meta_command); }

int cli_synthenv_sweep(const Args* args) { return cli_search_sweep(args, &meta_command); }

// Agents train in the environment of a file, to be good where it says.
static UfStatus train_in(const Args* args, const SeEnv* env, SeConfig* config, UfText* text) {
    if (se_options(env)->eval_env) UF_TRY(se_config_set(config, "env", se_options(env)->eval_env));
    UF_TRY(cli_configure(args, args->values[O_CONFIG], &se_table, cli_search_sugar, config, NULL));
    const char* algorithms = args->values[O_ALGORITHMS];
    const SeReuseOptions options = {.rate = {.config = config,
                                             .env = env,
                                             .num_agents = (int)cli_number(args, O_AGENTS, 12),
                                             .num_episodes = (int)cli_number(args, O_EPISODES, 20),
                                             .seed = (uint64_t)config->seed,
                                             .stop = &cli_stop_signal},
                                    .algorithms = algorithms ? algorithms : "auto",
                                    .control = args->values[O_CONTROLS] != NULL,
                                    .each = args->values[O_EACH] != NULL,
                                    .json = args->values[O_JSON] != NULL,
                                    .picture = args->values[O_OUT]};
    cli_catch_signals();
    return se_reuse(&options, text);
}

int cli_synthenv_train(const Args* args) {
    SeEnv* env;
    SeConfig* config = NULL;
    UfText text = {0};
    UfStatus status = se_read(&env, args->files[0]);
    if (status == UF_OK) status = se_config_create(&config);
    if (status == UF_OK) status = train_in(args, env, config, &text);
    se_config_free(config);
    se_free(env);
    return cli_print_text(status, &text);
}
