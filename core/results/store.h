// store.h: the result store of a study: one SQLite file, a row a policy, every final return in it.
//
// SQLite and not HDF5, because many processes write into it at once and one that is killed must not damage what the
// others wrote: a row is one transaction in a rollback journal, and writers wait for each other. The table is
// `policies`, readable by any SQLite tool; returns and scores are little-endian doubles, lengths int32, in one blob
// each, and the configuration is JSON.
#ifndef UF_STORE_H
#define UF_STORE_H

#include "core/core.h"

typedef struct UfStoreRow {
    char *algorithm, *dataset;  // label; name of the dataset's file without folder and ending
    char *dataset_hash, *env;   // SHA-256 of the file. "": not known
    char *config, *version;     // all hyperparameters as JSON. "": not known, of a result the reference wrote
    char* source;               // the run folder or file that it came from
    char* message;              // why it failed. "": done
    char* added;                // UTC, "2026-01-31 12:34:56"
    char key[65];  // SHA-256 of what makes it this policy; "" where uf_store_put is to compute it
    int64_t dataset_rows, seed, num_updates;  // 0, -1, 0: not known
    double seconds;                           // of training. NaN: not known
    int64_t num_episodes;                     // of the final evaluation; 0: there was none, or it failed
    double *returns, *scores;  // (num_episodes). Nullable: both; scores where the environment has none
    int32_t* lengths;          // (num_episodes).   Nullable
} UfStoreRow;
void uf_store_row_free(UfStoreRow* row);

typedef struct UfStore UfStore;
// create: makes the file (and the folders above it) where there is none. UF_ERR_UNSUPPORTED: built without SQLite.
// UF_ERR_FORMAT: not a result store, or one of a newer version.
UfStatus uf_store_open(UfStore** out, const char* path, bool create);
void uf_store_close(UfStore* store);

// Inserts a row in a transaction of its own, waiting up to a minute for other writers. The same policy (configuration,
// dataset's bytes, seed, version; where and by what means it was trained does not matter) put twice is one
// row: the later one, but a failure never takes the place of a result, and a result replaces the failures of its
// run. UF_ERR_NONFINITE: a return, score or length is not finite; nothing is stored.
UfStatus uf_store_put(UfStore* store, const UfStoreRow* row);

// Rows by algorithm, dataset, seed, configuration: whatever the order in which they came.
// Each condition is "name=value": of a column (algorithm, dataset, dataset_hash, env, version, source, seed,
// status: done or failed) or a hyperparameter; all must hold. Values compare as numbers where they are numbers.
typedef struct UfStoreRows {
    UfStoreRow* rows;
    int count;
} UfStoreRows;
UfStatus uf_store_rows(UfStore* store, const char* const* where, int num_where, UfStoreRows* out);
void uf_store_rows_free(UfStoreRows* rows);

#endif
