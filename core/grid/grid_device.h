// grid_device.h: a batch of gridworlds on a CUDA device: navix.cu, behind navix.c.
#ifndef NX_GRID_DEVICE_H
#define NX_GRID_DEVICE_H

#include "kernels.h"
#include "navix.h"
#include "core/grid/grid.h"
#include "core/grid/grid_tiles.h"

#ifdef __cplusplus
extern "C" {
#endif

// As nx_create, on a backend that stays the caller's and outlives the batch: a device's calls are launches on its stream,
// which allocate nothing and do not wait, so that they can be recorded with what comes before and after. On a backend of
// the CPU it is an ordinary batch. options->device: NULL, or what the backend is.
UfStatus nx_create_on(NxBatch** out, UfBackend* backend, const char* id, int64_t n, uint64_t seed,
                      const NxOptions* options);

// For the bench. Random actions (count) and bytes written where the batch is, as nx_step is: started; the device's name.
void nx_draw_actions(NxBatch* batch, uint8_t* actions, int64_t count, uint64_t seed);
void nx_write(NxBatch* batch, void* to, uint8_t byte, size_t bytes);
const char* nx_about(const NxBatch* batch);
// Bytes that a step of one environment moves between memory and processors as navix.cu does it, new levels and changed
// cells aside: its action twice, its block, its header, what goes out.
size_t nx_step_bytes(const NxBatch* batch, const NxOutput* out);

// ---- navix.cu ----

typedef struct NxDevice NxDevice;

// The first action that is not one, of a step that did nothing.
typedef struct NxBadAction {
    int64_t env;  // -1: none
    int action;
} NxBadAction;

// Blocks as nx_create leaves them before the first reset. layout and tiles are copied.   Nullable: tiles, of RGB
// observations. Errors: UF_ERR_MEMORY (asked, free, the remedy), UF_ERR_DEVICE, UF_ERR_UNSUPPORTED (more than a launch
// takes).
UfStatus nx_device_create(NxDevice** out, UfBackend* backend, const NxLayout* layout, NxShape shape,
                          const NxTiles* tiles, int64_t n, uint64_t seed);
void nx_device_free(NxDevice* device);
uint8_t* nx_device_blocks(const NxDevice* device);
// Zeroed memory.   Errors: UF_ERR_MEMORY, UF_ERR_DEVICE
UfStatus nx_device_reserve(NxDevice* device, void** out, size_t bytes);

// These launch. Once a step had a bad action none does anything until nx_device_bad_action has told.
// obstacles (n, num_obstacles, 2), of which the caller knows that they may go there.   Nullable: obstacles
void nx_device_reset(NxDevice* device, const NxOutput* out);
void nx_device_step(NxDevice* device, const uint8_t* actions, const int32_t* obstacles, const NxOutput* out);
void nx_device_show(NxDevice* device, void* obs);
// Waits, and lets later calls go on.   Errors: those of the device that have stuck.
UfStatus nx_device_bad_action(NxDevice* device, NxBadAction* bad);

// For the bench: random actions (count), and `bytes` bytes written.
void nx_device_draw_actions(NxDevice* device, uint8_t* actions, int64_t count, uint64_t seed);
void nx_device_write(NxDevice* device, void* to, uint8_t byte, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
