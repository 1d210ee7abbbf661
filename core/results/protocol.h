// protocol.h: how good is a policy that was chosen with so many online evaluations? The bandit protocol of "A Clean
// Slate for Offline Reinforcement Learning", and the aggregates that reviewers ask for.
//
// Pure functions of matrices of scores; scores.h collects these from run folders, results.h from result stores.
#ifndef UF_PROTOCOL_H
#define UF_PROTOCOL_H

#include "core/core.h"

// The policies of one algorithm on one dataset: what is drawn from.
typedef struct UfScores {
    const char *dataset, *algorithm;
    int num_policies, num_rollouts;
    const double* values;  // (num_policies, num_rollouts) of final episodes
    bool are_returns;      // not normalised: the environment has no reference scores
} UfScores;

typedef struct UfProtocolOptions {
    int subsample;       // K: policies that a trial chooses among; more than there are: all of them
    int max_pulls;       // online evaluations of a trial
    int num_trials;      // 2 or more
    int num_bootstraps;  // 0: no intervals
    double ucb_alpha;    // weight of exploration
    double confidence;   // of the intervals
    uint64_t seed;
} UfProtocolOptions;
UfProtocolOptions uf_protocol_defaults(void);

typedef struct UfInterval {
    double value, low, high;  // percentile bootstrap; NaN: none
} UfInterval;

// Expected true mean of the policy chosen after t + 1 pulls, over trials.
typedef struct UfBanditCurve {
    int subsample, num_pulls;  // subsample: what was used
    double *mean, *error;      // (num_pulls) with its standard error
    double *low, *high;        // (num_pulls) interval of the mean; NaN: none
} UfBanditCurve;

// One trial: K policies without replacement; pull t = 1, 2, ... goes to the arm with the largest
// mean_a + sqrt(ucb_alpha ln t / (n_a + 1e-9)), mean 0 where n_a = 0, ties at random, and gives one of its stored
// values, each as likely; the choice after it is the first arm of largest mean. The same bits for any number of threads,
// and whatever other matrices there are.                                                     Source: evaluation.py.
// Errors: UF_ERR_ARGUMENT (an option out of range, an empty matrix), UF_ERR_NONFINITE (a value), UF_ERR_MEMORY.
UfStatus uf_bandit_curve(UfBanditCurve* out, const UfScores* scores, const UfProtocolOptions* options,
                         UfPool* pool);
void uf_bandit_curve_free(UfBanditCurve* curve);

// ---- a whole study ----

typedef struct UfProtocolGroup {
    const UfScores* scores;
    int algorithm, dataset;  // rows of UfProtocol
    UfBanditCurve curve;
    UfInterval zero_shot;  // mean over policies: one drawn blindly
    UfInterval iqm;        // inter-quartile mean over policies
    double best;           // largest mean of a policy
    int best_policy;
} UfProtocolGroup;

typedef struct UfProtocolAlgorithm {
    const char* name;
    int num_datasets, num_scored;  // of these with scores, which the mean is over
    UfInterval iqm;                // inter-quartile mean over all policies on datasets with scores
} UfProtocolAlgorithm;

typedef struct UfProtocolPair {
    int a, b;          // algorithms
    int num_datasets;  // that both have; 0: nothing to compare
    UfInterval value;  // probability that a policy of a is better than one of b: mean over these
} UfProtocolPair;

typedef struct UfProtocol {
    UfProtocolOptions options;
    int num_groups, num_datasets, num_algorithms, num_pairs;
    UfProtocolGroup* groups;  // as the matrices came
    const char** datasets;    // in order of appearance
    UfProtocolAlgorithm* algorithms;
    UfProtocolPair* pairs;  // a < b
} UfProtocol;

// A policy's score is the mean over its rollouts. Intervals by stratified bootstrap: each replicate draws, for each
// algorithm and dataset, as many policies with replacement as there are. Ties count half.
// Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021), and rliable:
// aggregate_iqm (a quarter of the pooled scores, rounded down, cut at either end), probability_of_improvement.
// The matrices must stay until uf_protocol_free; each pair of dataset and algorithm comes once.
UfStatus uf_protocol(UfProtocol* out, const UfScores* scores, int num_scores,
                     const UfProtocolOptions* options, UfPool* pool);
// Its aggregates alone: no curves (num_pulls 0), and of single policies too, which have no interval.
UfStatus uf_protocol_aggregates(UfProtocol* out, const UfScores* scores, int num_scores,
                                const UfProtocolOptions* options, UfPool* pool);
void uf_protocol_free(UfProtocol* protocol);

// ---- results ----

typedef struct UfProtocolRun {
    const char* const* sources;  // run folders, folders that hold some, result stores
    int num_sources;
    UfProtocolOptions options;
    int num_threads;     // 0: all cores
    const char* folder;  // for the results
} UfProtocolRun;
typedef struct UfProtocolReport {
    char* text;   // the tables
    char* notes;  // a line for each thing that readers should know; maybe none
    bool has_figures;
} UfProtocolReport;
// Reads the sources, computes, and writes the folder. A build that draws no charts leaves the figures out and says so
// in a note. After an error the report is as far as it came.
UfStatus uf_protocol_run(const UfProtocolRun* run, UfProtocolReport* report);
void uf_protocol_report_free(UfProtocolReport* report);

// Tables for a terminal. Free *text with uf_free.
UfStatus uf_protocol_text(const UfProtocol* protocol, char** text);
// curves.csv, summary.csv, comparisons.csv, protocol.json and, where the build draws, protocol.svg, .png, .pdf in
// `folder`, which is made. The figures come last.   Nullable: notes (lines for the JSON)
UfStatus uf_protocol_write(const UfProtocol* protocol, const char* notes, const char* folder);

#endif
