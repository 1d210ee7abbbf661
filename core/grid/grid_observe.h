// grid_observe.h: the observations of many environments at once.
#ifndef NX_GRID_OBSERVE_H
#define NX_GRID_OBSERVE_H

#include "navix.h"
#include "core/core.h"
#include "core/grid/grid.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum NxLevel {
    NX_PLAIN,  // grid_view.h
    NX_AVX512,  // VBMI: first person and one-hot with views up to 7, full; balls that move on maps of up to 64 cells
    NX_NUM_LEVELS
} NxLevel;
// The best that this machine can run.
NxLevel nx_best_level(void);

typedef struct NxObserver NxObserver;
// The layout stays the caller's and has to live as long.   Errors: UF_ERR_UNSUPPORTED
UfStatus nx_observer_create(NxObserver** out, const NxLayout* layout, NxLevel level);
void nx_observer_free(NxObserver* observer);
NxShape nx_observer_shape(const NxObserver* observer);
// Of RGB observations, else NULL.
const struct NxTiles* nx_observer_tiles(const NxObserver* observer);
// Goes on with what that level has, to the same bits: for tests.   Errors: UF_ERR_UNSUPPORTED
UfStatus nx_set_level(NxBatch* batch, NxLevel level);
// Blocks of `count` environments, one after another, to (count, observation).
void nx_observe(const NxObserver* observer, const NxEnv* envs, int64_t count, void* out);

#ifdef __cplusplus
}
#endif

#endif
