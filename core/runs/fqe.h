// fqe.h: fitted Q evaluation: what policies are worth, from a dataset alone.
//
// A critic learns Q of a policy that stays as it is: r + gamma (1 - done) Q_target(s', pi(s')), squared error, Adam
// and Polyak, by the train step of unifloral.c. An estimate is the mean of Q(s0, pi(s0)) over the dataset's initial
// states and over num_critics critics.
//   * Each critic has its own target, initialisation and batches: a member of a population with one critic. There is
//     no minimum over critics, which would bias an evaluation; a target that they share would hide how far they
//     differ.
//   * Rewards are as they are; a time-out is no end. Critics see observations in the dataset's statistics, the policy in
//     its own.
//   * The interval is of 95 %: percentiles of a bootstrap over the initial states, plus resampled critics. It knows
//     neither a bias that all critics share nor states and actions that the data lack.
//   * Q beyond what rewards and gamma allow is a divergence and no estimate.
// Sources: Le, Voloshin, Yue 2019 (arXiv 1903.08738), algorithm 3; d3rlpy, ope/fqe.py. Where this differs:
// docs/deviations.md.
#ifndef UF_FQE_H
#define UF_FQE_H

#include "core/runs/run.h"

// Refuses a configuration with changes that uf_fqe does not read, or values without a bound.
UfStatus uf_fqe_check(const UfConfig* config);

// `unifloral fqe`: checkpoints (files or run folders, all of their members) on a dataset.
typedef struct UfFqeRun {
    const char* const* checkpoints;
    int num_checkpoints;
    const char *dataset, *env;  // env: for the step limit, where the file has no time-outs.   Nullable: env
    const UfConfig* config;     // of uf_fqe_config, with what it reads changed at will
    int num_threads;
    const char* out;                    // file that gets the JSON.   Nullable
    const volatile sig_atomic_t* stop;  // as in UfRunOptions.   Nullable
    UfRunProgressFn* on_progress;       // notes and ticks.   Nullable
    void* user;
} UfFqeRun;

typedef struct UfFqeReport {
    char *text, *json;  // a table, best policy first; one line.   Free with uf_fqe_report_free
    int num_policies, num_diverged;
} UfFqeReport;

// Errors: UF_ERR_STOPPED, and what checkpoints, dataset and configuration can have. That a policy diverges is none:
// the report says so.
UfStatus uf_fqe_run(const UfFqeRun* run, UfFqeReport* report);
void uf_fqe_report_free(UfFqeReport* report);

#endif
