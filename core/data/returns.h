// returns.h: files of returns that a finished run leaves behind: agents.h5, ratings.h5, returns.h5.
#ifndef UF_RETURNS_H
#define UF_RETURNS_H

#include "core/data/h5.h"

// Kinds (attribute `kind`) of files that are nothing but returns of policies, (policies, episodes) or (episodes), and the
// configuration that they come from. Images: losses and accuracies (policies, 2).
#define UF_RETURNS_OF_AGENTS "unifloral-synthenv-agents"
#define UF_RETURNS_OF_CLONES "unifloral-hades-ratings"
#define UF_RETURNS_OF_PPO "unifloral-ppo-returns"

// A dataset of one: returns that lie by themselves are one row.
typedef struct UfReturns {
    int64_t rows, columns;
    double* numbers;  // (rows, columns); free with uf_free
} UfReturns;
UfStatus uf_returns_read(const UfH5* h5, const char* name, UfReturns* out);
// Of `count` numbers, each `stride` behind the one before.
double uf_returns_mean(const double* numbers, int64_t count, int64_t stride);

// What such a file holds, in lines of text; free with uf_free.   Errors: UF_ERR_IO, UF_ERR_FORMAT.
UfStatus uf_returns_info(const char* path, char** text);

#endif
