// output.c: what a command says: errors, texts, notes, evaluations.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

int cli_failed(void) {
    fprintf(stderr, "error: %s\n", uf_error());
    return FAILED;
}

int cli_print(UfStatus status, char* text) {
    if (status != UF_OK) return cli_failed();
    printf("%s", text);
    uf_free(text);
    return DONE;
}

int cli_print_text(UfStatus status, UfText* text) {
    char sentence[1024], *whole = NULL;
    snprintf(sentence, sizeof(sentence), "%s", uf_error());
    const UfStatus finished = uf_text_finish(text, &whole);
    if (status != UF_OK) uf_fail_(status, "%s", sentence);
    if (status == UF_OK) status = finished;
    if (status == UF_OK) printf("%s", whole);
    uf_free(whole);
    return status == UF_OK ? DONE : cli_failed();
}

void cli_print_notes(const char* notes) {
    for (const char *line = notes, *end; line && (end = strchr(line, '\n')); line = end + 1)
        fprintf(stderr, "note: %.*s\n", (int)(end - line), line);
}

static void print_number(const char* name, double value) {
    printf(isfinite(value) ? ", \"%s\": %.9g" : ", \"%s\": null", name, value);
}

void cli_print_evaluation(const Args* args, const char* env, const UfEvaluation* e) {
    double speed = e->seconds > 0 ? (double)e->num_steps / e->seconds : NAN;
    if (args->values[O_JSON]) {
        printf("{\"env\": \"%s\", \"episodes\": %" PRId64, env, e->num_episodes);
        print_number("return_mean", e->mean_return);
        print_number("return_stderr", e->stderr_return);
        print_number("score_mean", e->mean_score);
        print_number("score_stderr", e->stderr_score);
        print_number("length_mean", e->mean_length);
        print_number("steps_per_second", speed);
        printf(", \"nonfinite_actions\": %" PRId64 ", \"diverged\": %" PRId64 "}\n", e->num_nonfinite_actions,
               e->num_diverged);
        return;
    }
    printf("environment       %s, %" PRId64 " episodes\n", env, e->num_episodes);
    printf("return            %.3f +- %.3f\n", e->mean_return, e->stderr_return);
    if (isfinite(e->mean_score)) printf("normalised score  %.2f +- %.2f\n", e->mean_score, e->stderr_score);
    printf("length            %.1f\n", e->mean_length);
    printf("speed             %.0f steps/s\n", speed);
    if (e->num_nonfinite_actions)
        printf("warning           %" PRId64 " actions were not finite and counted as 0\n",
               e->num_nonfinite_actions);
    if (e->num_diverged)
        printf("warning           the simulation diverged in %" PRId64 " episodes; each ended there\n",
               e->num_diverged);
}
