// synth_reuse.c: see synth_reuse.h.
#include "core/synth/synth_reuse.h"

#include <math.h>
#include <stdio.h>  // snprintf

#include "core/synth/synth_agents_draw.h"

static void add_json_number(UfText* text, const char* name, double value) {
    if (isfinite(value))
        uf_text_add(text, ", \"%s\": %.9g", name, value);
    else
        uf_text_add(text, ", \"%s\": null", name);
}

static void add_json(UfText* text, const SeRating* r, const char* env, bool real, bool first) {
    uf_text_add(text,
                "%s{\"algorithm\": \"%s\", \"trained_in\": \"%s\", \"num_agents\": %d, \"num_episodes\": %d",
                first ? "" : ", ", se_algorithm_names[r->algorithm], real ? "real" : "synthetic",
                r->num_agents, r->num_episodes);
    add_json_number(text, "iqm", r->iqm);
    add_json_number(text, "mean", r->mean);
    add_json_number(text, "std", r->std);
    add_json_number(text, "least", r->least);
    add_json_number(text, "most", r->most);
    if (!real) add_json_number(text, "published", se_published_return(env, r->algorithm));
    add_json_number(text, "train_seconds", r->train_seconds);
    add_json_number(text, "play_seconds", r->play_seconds);
    uf_text_add(text, ", \"agents\": [");
    for (int i = 0; i < r->num_agents; i++) {
        uf_text_add(text, "%s{\"hyperparameters\": \"%s\"", i ? ", " : "", r->hypers[i]);
        add_json_number(text, "return", r->means[i]);
        uf_text_add(text, "}");
    }
    uf_text_add(text, "]}");
}

static void add_row(UfText* text, const SeRating* r, const char* env, bool real, bool each) {
    const double told = real ? NAN : se_published_return(env, r->algorithm);
    char published_return[24] = "-";
    if (isfinite(told)) snprintf(published_return, sizeof published_return, "%.1f", told);
    uf_text_add(text, "%-5s %-10s %9.1f %9.1f %9.1f %9.1f %10s %9.3f\n", se_algorithm_names[r->algorithm],
                real ? "real" : "synthetic", r->iqm, r->mean, r->least, r->most, published_return,
                r->train_seconds);
    for (int i = 0; each && i < r->num_agents; i++)
        uf_text_add(text, "      %9.1f  %s\n", r->means[i], r->hypers[i]);
}

typedef struct Reuse {
    const SeReuseOptions* options;
    const UfEnvSpec* spec;
    UfBackend* backend;  // of all agents
    UfText* text;
    int count;
    SeRating ratings[2 * SE_NUM_ALGORITHMS];  // each algorithm in both environments
} Reuse;

static UfStatus reuse_one(Reuse* u, SeAlgorithm algorithm, bool real) {
    SeRateOptions options = u->options->rate;
    SeRating* rating = &u->ratings[u->count];
    options.algorithm = algorithm;
    options.backend = u->backend;
    if (real) options.env = NULL;
    UF_TRY(se_rate(rating, &options));
    if (u->options->json)
        add_json(u->text, rating, u->spec->name, real, u->count == 0);
    else
        add_row(u->text, rating, u->spec->name, real, u->options->each);
    u->count++;
    return UF_OK;
}

static UfStatus reuse_all(Reuse* u, const SeAlgorithms* list) {
    const bool synthetic = u->options->rate.env != NULL;
    for (int i = 0; i < list->count; i++) {
        if (synthetic) UF_TRY(reuse_one(u, list->list[i], false));
        if (!synthetic || u->options->control) UF_TRY(reuse_one(u, list->list[i], true));
    }
    return UF_OK;
}

static UfStatus draw_reuse(const Reuse* u) {
    const SeRateOptions* o = &u->options->rate;
    UfEvaluation none = {0};
    SeAgentsPage page = {.spec = u->spec,
                         .num_steps = o->config->num_steps,
                         .seed = o->seed,
                         .no_agent = NAN,
                         .count = u->count,
                         .ratings = u->ratings};
    if (o->env) UF_TRY(se_rate_no_agent(&none, o->config, o->env));
    if (o->env) page.no_agent = none.mean_return;
    uf_evaluation_free(&none);
    UF_TRY(se_draw_ratings(&page, u->options->picture));
    if (!u->options->json) uf_text_add(u->text, "wrote %s\n", u->options->picture);
    return UF_OK;
}

UfStatus se_reuse(const SeReuseOptions* o, UfText* text) {
    const SeConfig* c = o->rate.config;
    SeAlgorithms list;
    Reuse u = {.options = o, .text = text};
    UF_TRY(se_find_env(&u.spec, c));
    UF_TRY(se_parse_algorithms(&list, "algorithms", o->algorithms, u.spec->discrete));
    UF_TRY(se_check_agents(c, u.spec, &list));
    if (o->picture) UF_TRY(se_check_picture(o->picture));
    UF_TRY(se_open_backend(&u.backend, c));
    if (c->device == UF_DEVICE_AUTO && !o->json) uf_text_add(text, "device auto: %s\n", u.backend->about);
    if (o->json)
        uf_text_add(text,
                    "{\"env\": \"%s\", \"num_steps\": %lld, \"seed\": %llu, \"device\": \"%s\", "
                    "\"ratings\": [",
                    u.spec->name, (long long)c->num_steps, (unsigned long long)o->rate.seed, u.backend->name);
    else
        uf_text_add(text,
                    "%s: %d agents of each algorithm, %lld steps, then %d episodes in the real environment\n"
                    "%-5s %-10s %9s %9s %9s %9s %10s %9s\n",
                    u.spec->name, o->rate.num_agents, (long long)c->num_steps, o->rate.num_episodes, "",
                    "trained in", "iqm", "mean", "least", "most", "published", "s/agent");
    UfStatus status = reuse_all(&u, &list);
    if (status == UF_OK && o->json) uf_text_add(text, "]}\n");
    if (status == UF_OK && o->picture) status = draw_reuse(&u);
    for (int i = 0; i < u.count; i++) se_rating_free(&u.ratings[i]);
    uf_backend_close(u.backend);
    return status;
}
