// dataset.h: transitions in memory. One record a time step holds all that a batch needs of it, so a draw
// touches one place.
#ifndef UF_DATASET_H
#define UF_DATASET_H

#include "core/core.h"

// Record i: observation (O) | action (A) | reward | done | has_next. Record i + 1 is the next time step.
//   next observation of i = next_obs[i] if that array is there, else the observation of record i + 1
//   next action of i      = the action of record i + has_next  (0: nothing follows in this episode, own action)
// Rows are the records that can be sampled: rows[k] is a record (rows NULL: all of them in order).
struct UfDataset {
    int obs_dim, action_dim, stride;  // stride in floats: O + A + 3
    bool discrete;                    // actions are one of A kinds: one-hot rows
    int64_t num_records, num_rows;
    int64_t capacity;     // of records and next_obs, where rows are still added.   0: num_records
    float* records;       // (num_records, stride)
    float* next_obs;      // (num_records, O) or NULL
    int64_t* rows;        // (num_rows) or NULL
    float* obs_mean;      // (O) over the rows, sums in double; or as the file says, then
    float* obs_std;       // (O) population standard deviation; or what makes obs_std + UF_OBS_STD_EPS
    float* norm_divisor;  // (O) this, its normalization/divisor.   NULL: statistics of the rows
    float* action_low;    // (A) of the file's action units; NULL: [-1, 1], actions as they are
    float* action_high;
    char* path;     // as given; "" for arrays
    char* env_id;   // what the file says of its environment; "" if nothing
    char hash[65];  // SHA-256 of the file's bytes (of the arrays' bytes for uf_dataset_from_arrays)
    // Facts for `unifloral info`, kept from loading.
    int64_t num_episodes;  // a trailing unfinished one counts
    int64_t num_dropped;   // records that are no rows: no next state known
    int64_t num_terminals, num_timeouts;
    bool has_timeouts, is_minari, unfinished_tail;
    bool is_distilled;         // of distilled.h: actions may be beyond [-1, 1]
    int file_item_bytes;       // 4 or 8: of the observations in the file
    float* episode_returns;    // (num_episodes)
    int32_t* episode_lengths;  // (num_episodes)
};

static inline const float* uf_record(const UfDataset* d, int64_t row) {
    return d->records + (size_t)(d->rows ? d->rows[row] : row) * (size_t)d->stride;
}

// Whether a row begins an episode: nothing follows the record before it.
static inline bool uf_is_initial(const UfDataset* d, int64_t row) {
    const int64_t record = d->rows ? d->rows[row] : row;
    return record == 0 || d->records[(size_t)record * (size_t)d->stride - 1] == 0;
}

// Fills obs_mean and obs_std from the rows there are.
UfStatus uf_dataset_measure(UfDataset* dataset);

// UF_ERR_CONFIG where an action is no one-hot row, with the first such row. Known of a dataset that is discrete.
UfStatus uf_dataset_check_one_hot(const UfDataset* dataset);

// What `unifloral info FILE` prints about a dataset file, as text (never fails on NaN or out-of-range
// actions: it counts them).
UfStatus uf_dataset_info(const char* path, char** text);
// `unifloral convert IN OUT`: CSV or .npz (D4RL names, or NeoRL's obs/next_obs/action/reward/done/index, or
// OGBench's terminals on the extra state) to D4RL-layout HDF5.
UfStatus uf_dataset_convert(const char* input, const char* output);
// Writes D4RL layout: observations, actions, rewards, terminals (+ timeouts, next_observations), attributes
// env_id, recipe and seed.
struct UfH5;
typedef struct UfDatasetWriter {
    int64_t num_rows;
    int obs_dim, action_dim;
    const float *observations, *actions, *rewards, *next_observations;  // Nullable: next_observations
    int stride;  // floats from row to row of the first three, as in records; 0: each array is dense
    const uint8_t *terminals, *timeouts;  // Nullable: timeouts (then readers go by the step limit)
    const char* env_id;                   // Nullable
    const char* recipe;                   // how it was made, stored as attribute "recipe".   Nullable
    const uint64_t* seed;                 // attribute "seed".   Nullable
    bool discrete;  // actions are one-hot: their numbers are written, a vector, and attribute num_actions
    const float *norm_mean,
        *norm_divisor;  // (O) normalization/{mean, divisor}, which readers take for the rows'
                        // statistics.   Nullable, both
    UfStatus (*write_more)(const struct UfH5* h5,
                           const void* context);  // before the file is closed.   Nullable
    const void* context;
} UfDatasetWriter;
UfStatus uf_dataset_write(const char* path, const UfDatasetWriter* arrays);

#endif
