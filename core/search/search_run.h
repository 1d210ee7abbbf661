// search_run.h: a run in a folder of any search on an evolution strategy. What is particular to one is its UfSearchKind.
//
// The folder: the configuration, log.jsonl and log.csv (a line each log_interval generations), checkpoint.h5 (each
// checkpoint_interval and at every ending), and at the end what the kind makes of the result, fitness.png, .svg, and
// report.txt, the last of all.
#ifndef UF_SEARCH_RUN_H
#define UF_SEARCH_RUN_H

#include "core/runs/run.h"
#include "core/search/search.h"

// ---- what a kind of search supplies ----

enum { UF_SEARCH_MAX_NUMBERS = 32, UF_SEARCH_MAX_CURVES = 8, UF_SEARCH_MAX_COLUMNS = 16 };

// What the frame wants to know of a configuration, whose texts these may be.
typedef struct UfSearchPlan {
    int64_t generations, log_interval, checkpoint_interval;
    const char* method;   // "Direct evolution of weights": begins the chart's title
    const char* subject;  // "CartPole-v1", or a path: ends it, and the name of a folder that was not named
    const char* axis;     // what the chart calls fitness: "fitness (return)"
    const char* fitness;  // what it is, in the report: "mean return of candidates"
    int num_curves;       // of the chart, beside mean and best: columns of the log
    struct {
        const char *label, *column;
    } curves[UF_SEARCH_MAX_CURVES];
} UfSearchPlan;

// A generation as the log has it. The numbers of every step of a run have the same names in the same order, which are
// columns of the table; NaN where there is nothing to say.
typedef struct UfSearchStep {
    UfGeneration generation;
    bool logged;  // is a line of the log whatever log_interval says
    int num_numbers;
    struct {
        const char* name;  // stays
        double value;
    } numbers[UF_SEARCH_MAX_NUMBERS];
} UfSearchStep;
void uf_search_number(UfSearchStep* step, const char* name, double value);

typedef struct UfSearchRunOptions UfSearchRunOptions;

// What a kind's `results` works with. Rank 0 alone is there.
typedef struct UfSearchEnd {
    const UfSearchRunOptions* options;
    void* search;
    const void* config;
    const UfRunFolder* folder;
    UfText*
        report;  // takes the kind's lines, between those of the fitness and those of the chart and the checkpoint
} UfSearchEnd;
// What a build without cairo cannot draw is a note to the user, no failure: *drawn says which.
UfStatus uf_search_drawn(const UfSearchEnd* end, UfStatus status, bool* drawn);

typedef struct UfSearchColumn {  // of the result of a sweep: a number of a finished run
    const char* title;           // in its table, where any run has it.   NULL: in sweep.csv alone
    const char* name;            // there
} UfSearchColumn;

typedef struct UfSearchKind {
    const UfTable* table;     // of the configuration; `seed` is in it
    const char* config_file;  // "hades.json"
    const char* algorithm;    // "hades": begins the name of a folder that was not named
    const char* what;         // "distillation": what a folder without that file holds none of
    const char* title;        // "Behaviour distillation": of a sweep's figure
    UfStatus (*check)(const void* config);
    UfSearchPlan (*plan)(const void* config);

    // As of hades_search.h. A failed open leaves *search NULL; free of NULL is harmless.
    UfStatus (*open)(void** search, const void* config, const UfRanks* ranks);
    UfStatus (*reopen)(void** search, const char* path, const void* run, const UfRanks* ranks);
    UfStatus (*save)(const void* search, const char* path);
    void (*free)(void* search);
    const void* (*config)(const void* search);
    const UfEs* (*es)(const void* search);
    // What `device` auto came to; NULL: it was not auto.   Nullable: there are no devices
    const char* (*device)(void* search);
    // A generation. *stopped, the same on all ranks: none was told, and it begins anew when the search goes on. So what
    // else is measured now and then comes before the candidates: of the mean that the generation begins with, say.
    UfStatus (*step)(void* search, UfSearchStep* out, const volatile sig_atomic_t* stop, bool* stopped);
    // What comes of the search: files, and lines of the report. UF_ERR_STOPPED is allowed; it begins anew then.
    UfStatus (*results)(const UfSearchEnd* end);

    // Of a finished run, into values (num_columns), which are NaN: there is none.
    int num_columns;
    const UfSearchColumn* columns;
    UfStatus (*read_columns)(const char* folder, double* values);
} UfSearchKind;

// ---- a run ----

struct UfSearchRunOptions {
    const UfSearchKind* kind;
    const void* config;  // of a resumed run: what uf_search_run_config gave, with RUN fields changed at will
    const char *out, *resume;           // as in UfRunOptions
    const UfRanks* ranks;               // processes that share each generation; rank 0 writes.   Nullable
    const volatile sig_atomic_t* stop;  // end after the candidates under way.   Nullable
    UfRunProgressFn* on_progress;       // update counts generations.   Nullable
    void* user;
};

typedef struct UfSearchResult {
    char folder[UF_FOLDER_BYTES];
    int64_t generation;
    char*
        report;  // what came out, as lines of text; free with uf_free.   NULL: not at the end, or not rank 0
} UfSearchResult;

// The configuration of the run in a folder (free with uf_free). UF_ERR_IO: there is none of this kind.
UfStatus uf_search_run_config(const UfSearchKind* kind, void** out, const char* folder);

// Searches to the end of the configuration. A run that was killed and resumed ends in the bits of one that never stopped,
// whatever the threads and processes.
// Errors: UF_ERR_STOPPED (a checkpoint was written; result->folder and generation are set), UF_ERR_NONFINITE, and
// everything that configuration, environment and files can refuse.
UfStatus uf_search_run(const UfSearchRunOptions* options, UfSearchResult* result);
// Whether a run of this configuration is in the folder and at its end. UF_ERR_CONFIG: one of another is.
UfStatus uf_search_run_finished(const UfSearchKind* kind, const void* config, const char* folder,
                                bool* finished);

#endif
