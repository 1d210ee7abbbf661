// progress.c: what a command shows while it works, and the signals that ask it to stop.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>  // terminal width
#include <unistd.h>

#include "cli/cli.h"

#define CLEAR_LINE "\r\033[K"

// ---- signals ----

volatile sig_atomic_t cli_stop_signal;

static void on_signal(int signal) { cli_stop_signal = signal; }

// The first signal asks to finish the update and save; SA_RESETHAND makes the second one immediate.
void cli_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

// ---- the line of an event ----

typedef void Describe(const UfRunEvent* e, char* line, size_t bytes);

static double metric(const UfRunEvent* e, const char* name) {
    for (int i = 0; i < e->num_metrics; i++) {
        if (!strcmp(e->names[i], name)) return e->values[i];
    }
    return NAN;
}

static size_t add_value(char* line, size_t length, size_t bytes, const char* name, const char* format,
                        double value) {
    if (!isfinite(value) || length >= bytes) return length;
    length += (size_t)snprintf(line + length, bytes - length, "  %s ", name);
    return length < bytes ? length + (size_t)snprintf(line + length, bytes - length, format, value) : length;
}

// " 40%  812 updates/s of 4  2 min left"
static size_t begin_line(const UfRunEvent* e, const char* speed, char* line, size_t bytes) {
    char left[32];
    size_t n = (size_t)snprintf(line, bytes, "%3.0f%%  ", 100.0 * (double)e->update / (double)e->num_updates);
    n += (size_t)snprintf(line + n, bytes - n, speed, e->updates_per_second);
    if (e->population > 1) n += (size_t)snprintf(line + n, bytes - n, " of %d", e->population);
    return n + (size_t)snprintf(line + n, bytes - n, "  %s left", uf_duration(e->seconds_left, left));
}

static void describe_run(const UfRunEvent* e, char* line, size_t bytes) {
    size_t n = begin_line(e, "%.0f updates/s", line, bytes);
    n = add_value(line, n, bytes, "epoch", "%.0f", metric(e, "epoch"));
    n = add_value(line, n, bytes, "loss", "%.4g", metric(e, "loss"));
    n = add_value(line, n, bytes, "validation", "%.4g", metric(e, "validation"));
    n = add_value(line, n, bytes, "critic", "%.3g", metric(e, "critic_loss"));
    n = add_value(line, n, bytes, "actor", "%.3g", metric(e, "actor_loss"));
    if (isfinite(e->eval_score))
        add_value(line, n, bytes, "score", "%.1f", e->eval_score);
    else
        add_value(line, n, bytes, "return", "%.1f", e->eval_return);
}

static void describe_ppo(const UfRunEvent* e, char* line, size_t bytes) {
    size_t n = begin_line(e, "%.0f steps/s", line, bytes);
    n = add_value(line, n, bytes, "return", "%.3g", metric(e, "return"));
    n = add_value(line, n, bytes, "length", "%.1f", metric(e, "length"));
    n = add_value(line, n, bytes, "entropy", "%.2f", metric(e, "entropy"));
    add_value(line, n, bytes, "evaluation", "%.3g", e->eval_return);
}

static void describe_search(const UfRunEvent* e, char* line, size_t bytes) {
    size_t n = begin_line(e, "%.2f generations/s", line, bytes);
    n = add_value(line, n, bytes, "mean", "%.4g", metric(e, "mean"));
    n = add_value(line, n, bytes, "best", "%.4g", metric(e, "best"));
    add_value(line, n, bytes, "best ever", "%.4g", metric(e, "best_ever"));
}

// ---- screens ----

Screen cli_screen(const Args* args) {
    return (Screen){.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
}

void cli_clear_progress(const Screen* screen) {
    if (screen->terminal && !screen->quiet) fputs(CLEAR_LINE, stderr);
}

// As much of a bar as there is room for before the line, which is cut at the terminal's width.
static void draw_bar(const UfRunEvent* e, const char* line) {
    struct winsize size = {.ws_col = 80};
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    int width = size.ws_col > 20 ? size.ws_col - 1 : 79;
    int bar = width - (int)strlen(line) - 3;
    bar = bar < 0 ? 0 : bar > 30 ? 30 : bar;
    int full = e->num_updates ? (int)(bar * e->update / e->num_updates) : 0;
    fputs(CLEAR_LINE, stderr);
    if (bar >= 5) {
        fputc('[', stderr);
        for (int i = 0; i < bar; i++) fputc(i < full ? '=' : ' ', stderr);
        fputs("] ", stderr);
    }
    fprintf(stderr, "%.*s", width, line);
}

static void show(const Screen* screen, const UfRunEvent* e, const char* unit, Describe* describe,
                 bool with_bar) {
    char line[512];
    if (e->kind == UF_RUN_NOTE) {
        fprintf(stderr, "%snote: %s\n", screen->terminal ? CLEAR_LINE : "", e->text);
        return;
    }
    if (screen->quiet || (!screen->terminal && e->kind != UF_RUN_INTERVAL)) return;
    describe(e, line, sizeof(line));
    if (!screen->terminal)
        fprintf(stderr, "%s %" PRId64 "  %s\n", unit, e->update, line);
    else if (with_bar)
        draw_bar(e, line);
    else
        fprintf(stderr, CLEAR_LINE "%s", line);
    fflush(stderr);
}

void cli_on_progress(void* user, const UfRunEvent* e) { show(user, e, "update", describe_run, true); }

void cli_on_ppo_progress(void* user, const UfRunEvent* e) { show(user, e, "step", describe_ppo, false); }

void cli_on_search_progress(void* user, const UfRunEvent* e) {
    show(user, e, "generation", describe_search, false);
}
