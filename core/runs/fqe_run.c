// fqe_run.c: fitted Q evaluation of checkpoint files: loading, notes, progress, the table and its JSON.
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>  // qsort
#include <string.h>

#include "core/agents/agent.h"
#include "core/data/dataset.h"
#include "core/runs/fqe.h"

typedef struct Candidate {
    char label[UF_PATH_BYTES + 32];  // as given, with the member of a population
    const char* checkpoint;          // as given
    int member;
    char hash[65];  // of the dataset it was trained on
    UfPolicy* policy;
    UfFqe result;
} Candidate;

typedef struct Run {
    const UfFqeRun* options;
    UfDataset* dataset;
    Candidate* candidates;
    int num_candidates, capacity;
    double started, last_tick;
} Run;

static void note(const Run* run, const char* text) {
    const UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (run->options->on_progress) run->options->on_progress(run->options->user, &event);
}

// ---- candidates ----

static UfStatus new_candidate(Run* run, Candidate** out) {
    if (run->num_candidates == run->capacity) {
        Candidate* more;
        const int capacity = run->capacity ? 2 * run->capacity : 16;
        UF_TRY(UF_ALLOC(&more, capacity, "policies"));
        if (run->candidates) memcpy(more, run->candidates, (size_t)run->num_candidates * sizeof *more);
        uf_free(run->candidates);
        run->candidates = more;
        run->capacity = capacity;
    }
    *out = &run->candidates[run->num_candidates++];
    return UF_OK;
}

// A policy may be judged on other data than it was trained on, but who reads the number should know.
static void note_other_data(const Run* run, const char* path, const char* hash) {
    const UfDataset* d = run->dataset;
    char text[UF_PATH_BYTES + 512];
    if (!hash[0] || !strcmp(hash, d->hash)) return;
    if (!strncmp(hash, "none", 4))  // of a replay buffer
        snprintf(text, sizeof text, "%s: was trained online, not on %s", path, d->path);
    else
        snprintf(text, sizeof text, "%s: was trained on other data (SHA-256 %.12s) than %s (%.12s)", path,
                 hash, d->path, d->hash);
    note(run, text);
}

static void note_other_env(const Run* run, const char* path, const UfConfig* config) {
    const char* env = run->dataset->env_id;
    const UfEnvSpec *here = env[0] ? uf_env_find(env) : NULL, *there = uf_env_find(config->env);
    char text[UF_PATH_BYTES + 2 * UF_STRING_BYTES];
    if (!here || !there || here == there) return;
    snprintf(text, sizeof text, "%s: is a policy for %s, the data are of %s", path, there->name, here->name);
    note(run, text);
}

static UfStatus add_members(Run* run, const char* checkpoint, const char* path, const UfAgent* agent) {
    const int population = uf_agent_population(agent);
    for (int p = 0; p < population; p++) {
        Candidate* c;
        UF_TRY(new_candidate(run, &c));
        c->checkpoint = checkpoint;
        c->member = p;
        snprintf(c->label, sizeof c->label, population > 1 ? "%s member %d" : "%s", checkpoint, p);
        snprintf(c->hash, sizeof c->hash, "%s", uf_agent_dataset_hash(agent));
        UF_TRY(uf_policy_create(&c->policy, agent, p));
        const UfStatus status = uf_policy_check(c->policy, run->dataset);
        if (status != UF_OK) return uf_fail_prefix(status, path);
    }
    note_other_data(run, path, uf_agent_dataset_hash(agent));
    note_other_env(run, path, uf_agent_config(agent, 0));
    return UF_OK;
}

static UfStatus load_candidates(Run* run) {
    for (int i = 0; i < run->options->num_checkpoints; i++) {
        const char* checkpoint = run->options->checkpoints[i];
        char path[UF_PATH_BYTES];
        UfAgent* agent;
        UF_TRY(uf_run_checkpoint(checkpoint, path, sizeof path));
        UF_TRY(uf_agent_load_to_act(&agent, path));
        const UfStatus status = add_members(run, checkpoint, path, agent);
        uf_agent_free(agent);
        UF_TRY(status);
    }
    return UF_OK;
}

// ---- what to beware of ----

// Targets follow the critics by polyak_step_size an update, and one sweep over the horizon takes 1 / (1 - gamma) such
// times: what is left of the starting values fades with this rate.
static void note_convergence(const Run* run) {
    const UfConfig* c = run->options->config;
    const double rate = c->polyak_step_size * (1 - c->gamma), left = exp(-rate * (double)c->num_updates);
    char text[256];
    if (left <= 0.05) return;
    if (rate > 0)
        snprintf(text, sizeof text,
                 "%" PRId64
                 " updates leave up to %.0f %% of the critics' starting values in the estimates; %.0f leave "
                 "5 %% (polyak_step_size %g, gamma %g)",
                 c->num_updates, 100 * left, ceil(log(20) / rate), c->polyak_step_size, c->gamma);
    else
        snprintf(text, sizeof text, "polyak_step_size 0 leaves the targets where they start");
    note(run, text);
}

static void note_few_states(const Run* run, int64_t num_states) {
    char text[UF_PATH_BYTES + 128];
    if (num_states > 1) return;
    snprintf(text, sizeof text,
             "%s: has 1 initial state; the interval knows only the spread of the critics, not that of starts",
             run->dataset->path);
    note(run, text);
}

// ---- progress ----

static int on_update(void* user, int64_t update, int64_t num_updates) {
    Run* run = user;
    const UfFqeRun* o = run->options;
    const double now = uf_now(), elapsed = now - run->started;
    if (o->on_progress && now - run->last_tick >= 0.1) {
        const UfRunEvent event = {.kind = UF_RUN_TICK,
                                  .update = update,
                                  .num_updates = num_updates,
                                  .updates_per_second = (double)update / elapsed,
                                  .seconds_left = elapsed / (double)update * (double)(num_updates - update),
                                  .eval_return = NAN,
                                  .eval_score = NAN};
        o->on_progress(o->user, &event);
        run->last_tick = now;
    }
    return o->stop && *o->stop;
}

// ---- report ----

// Best first; those that diverged last, as they came.
static int compare(const void* a, const void* b) {
    const Candidate *x = a, *y = b;
    if (x->result.diverged != y->result.diverged) return x->result.diverged - y->result.diverged;
    if (!x->result.diverged && x->result.estimate != y->result.estimate)
        return x->result.estimate > y->result.estimate ? -1 : 1;
    const int order = strcmp(x->label, y->label);
    return order ? order : x->member - y->member;
}

static void add_row(UfText* text, int rank, int width, const Candidate* c) {
    const UfFqe* r = &c->result;
    if (r->diverged && isfinite(r->worst))
        uf_text_add(text, "   -  %-*s  diverged: mean Q %.4g at the initial states, TD error %.4g\n", width,
                    c->label, r->worst, r->td_error);
    else if (r->diverged)
        uf_text_add(text, "   -  %-*s  diverged: its critics' numbers are not finite\n", width, c->label);
    else
        uf_text_add(text, "%4d  %-*s  %12.6g  [%.6g, %.6g]  %.4g\n", rank, width, c->label, r->estimate,
                    r->low, r->high, r->td_error);
}

static UfStatus write_table(const Run* run, UfFqeReport* report) {
    const UfConfig* c = run->options->config;
    const UfFqe* first = &run->candidates[0].result;
    UfText text = {0};
    int width = 6;
    for (int i = 0; i < run->num_candidates; i++) {
        const int length = (int)strlen(run->candidates[i].label);
        if (length > width) width = length;
    }
    uf_text_add(&text, "dataset         %s, %" PRId64 " rows, %" PRId64 " initial states\n",
                run->dataset->path, run->dataset->num_rows, first->num_states);
    uf_text_add(&text,
                "fitted by       %" PRId64 " updates, %" PRId64 " critics a policy, gamma %g, seed %" PRId64
                "\n",
                c->num_updates, c->num_critics, c->gamma, c->seed);
    uf_text_add(&text, "possible Q      %.6g to %.6g\n\n", first->q_low, first->q_high);
    uf_text_add(&text, "rank  %-*s  %12s  %s\n", width, "policy", "estimate", "95 % interval  TD error");
    for (int i = 0; i < run->num_candidates; i++) add_row(&text, i + 1, width, &run->candidates[i]);
    return uf_text_finish(&text, &report->text);
}

static void add_number(cJSON* object, const char* name, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(object, name, value);
    else
        cJSON_AddNullToObject(object, name);
}

static void add_policy(cJSON* list, int rank, const Candidate* c, const UfDataset* dataset) {
    const UfFqe* r = &c->result;
    cJSON* p = cJSON_CreateObject();
    cJSON_AddItemToArray(list, p);
    cJSON_AddStringToObject(p, "policy", c->checkpoint);
    cJSON_AddNumberToObject(p, "member", c->member);
    add_number(p, "rank", r->diverged ? NAN : rank);
    add_number(p, "estimate", r->estimate);
    add_number(p, "low", r->low);
    add_number(p, "high", r->high);
    add_number(p, "td_error", r->td_error);
    cJSON_AddBoolToObject(p, "diverged", r->diverged);
    cJSON_AddBoolToObject(p, "trained_on_dataset", !strcmp(c->hash, dataset->hash));
}

static UfStatus write_json(const Run* run, UfFqeReport* report) {
    const UfConfig* c = run->options->config;
    const UfFqe* first = &run->candidates[0].result;
    cJSON* root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "dataset", run->dataset->path);
    cJSON_AddStringToObject(root, "dataset_hash", run->dataset->hash);
    cJSON_AddNumberToObject(root, "num_initial_states", (double)first->num_states);
    cJSON_AddNumberToObject(root, "num_updates", (double)c->num_updates);
    cJSON_AddNumberToObject(root, "num_critics", (double)c->num_critics);
    cJSON_AddNumberToObject(root, "gamma", c->gamma);
    cJSON_AddNumberToObject(root, "seed", (double)c->seed);
    add_number(root, "q_low", first->q_low);
    add_number(root, "q_high", first->q_high);
    cJSON* list = cJSON_AddArrayToObject(root, "policies");
    for (int i = 0; i < run->num_candidates; i++) add_policy(list, i + 1, &run->candidates[i], run->dataset);
    char* json = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!json) return UF_FAIL(UF_ERR_MEMORY, "out of memory for the results as JSON");
    const UfStatus status = uf_strdup(&report->json, json);
    cJSON_free(json);
    return status;
}

static UfStatus write_report(Run* run, UfFqeReport* report) {
    const char* out = run->options->out;
    qsort(run->candidates, (size_t)run->num_candidates, sizeof *run->candidates, compare);
    report->num_policies = run->num_candidates;
    for (int i = 0; i < run->num_candidates; i++) report->num_diverged += run->candidates[i].result.diverged;
    UF_TRY(write_table(run, report));
    UF_TRY(write_json(run, report));
    if (!out) return UF_OK;
    UfText text = {0};
    char* line;
    uf_text_add(&text, "%s\n", report->json);
    UF_TRY(uf_text_finish(&text, &line));
    const UfStatus status = uf_write_file(out, line, strlen(line));
    uf_free(line);
    return status;
}

// ---- API ----

static UfStatus evaluate(Run* run) {
    const UfFqeRun* o = run->options;
    const int n = run->num_candidates;
    const UfPolicy** policies = NULL;
    UfFqe* results = NULL;
    UfStatus status = UF_ALLOC(&policies, n, "policies");
    if (status == UF_OK) status = UF_ALLOC(&results, n, "results");
    for (int i = 0; status == UF_OK && i < n; i++) policies[i] = run->candidates[i].policy;
    run->started = run->last_tick = uf_now();
    if (status == UF_OK)
        status = uf_fqe(results, policies, n, run->dataset, o->config, o->num_threads, on_update, run);
    for (int i = 0; status == UF_OK && i < n; i++) run->candidates[i].result = results[i];
    uf_free(policies);
    uf_free(results);
    return status;
}

static UfStatus run_all(Run* run, UfFqeReport* report) {
    UF_TRY(uf_fqe_check(run->options->config));
    if (run->options->out) UF_TRY(uf_check_output(run->options->out));
    UF_TRY(uf_dataset_open(&run->dataset, run->options->dataset, run->options->env));
    UF_TRY(load_candidates(run));
    note_convergence(run);
    UF_TRY(evaluate(run));
    note_few_states(run, run->candidates[0].result.num_states);
    return write_report(run, report);
}

UfStatus uf_fqe_run(const UfFqeRun* options, UfFqeReport* report) {
    Run run = {.options = options};
    *report = (UfFqeReport){0};
    UfStatus status = run_all(&run, report);
    for (int i = 0; i < run.num_candidates; i++) uf_policy_free(run.candidates[i].policy);
    uf_free(run.candidates);
    uf_dataset_free(run.dataset);
    if (status != UF_OK) uf_fqe_report_free(report);
    return status;
}

void uf_fqe_report_free(UfFqeReport* report) {
    uf_free(report->text);
    uf_free(report->json);
    *report = (UfFqeReport){0};
}
