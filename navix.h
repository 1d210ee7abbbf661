// navix.h: MiniGrid's gridworlds in batches, with NAVIX's rules as an option.
//
//     NxBatch* batch;
//     nx_create(&batch, "MiniGrid-DoorKey-8x8-v0", 2048, /*seed*/ 0, NULL);
//     NxOutput out = {.obs = obs, .reward = reward, .terminated = terminated, .truncated = truncated};
//     nx_reset(batch, &out);
//     for (;;) nx_step(batch, actions, &out);
//
// Environment i of a batch depends on (id, options, seed, i) and its own actions alone: not on the size of the
// batch, the number of threads, or the device, bit for bit. Positions are (x, y), y grows downward; images are
// [row y][column x][channel]. Directions: 0 east, 1 south, 2 west, 3 north.
// All functions return a status and leave the sentence in uf_error(); none prints.
//
// On a CUDA device every array of a call is there too: memory of nx_reserve, or any other of that device. nx_reset,
// nx_step and nx_show only start their work, in the order of the calls, and return; who reads what they write by other
// means than nx_download calls nx_sync before. So a bad action is found when nobody waits: that step and all that is
// started after it do nothing, until one of nx_sync, nx_download, nx_get_state, nx_set_state, nx_mission, nx_save,
// nx_restore, nx_seed and nx_step_with_obstacles, which wait, says so, once. nx_upload waits for its copy and says nothing.
// Sources: MiniGrid 3.2.0 (the norm), NAVIX 0.11.0 (rules "navix").
#ifndef NAVIX_H
#define NAVIX_H

#include "unifloral.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct NxBatch NxBatch;

enum { NX_LEFT, NX_RIGHT, NX_FORWARD, NX_PICKUP, NX_DROP, NX_TOGGLE, NX_DONE, NX_NUM_ACTIONS };

// Whose rules: by the id's prefix ("MiniGrid-", "Navix-"), or one of the two for any id.
typedef enum NxRules { NX_RULES_OF_ID, NX_RULES_MINIGRID, NX_RULES_NAVIX } NxRules;

// What an observation is. V the view's size, T the tile's.
typedef enum NxObservation {
    NX_OBS_FIRST_PERSON,  // (V, V, 3) u8: type, colour, state; row V - 1 is the agent's
    NX_OBS_FULL,          // (H, W, 3) u8: MiniGrid's FullyObsWrapper, NAVIX's symbolic
    NX_OBS_ONE_HOT,       // (V, V, 20) u8: 11 types, 6 colours, 3 states
    NX_OBS_SYMBOLIC,      // (H, W, 3) i64: x, y, type, or -1 where nothing is (MiniGrid's SymbolicObsWrapper)
    NX_OBS_FLAT,          // (V * V * 3 + 2688) u8: view by columns, then the mission's letters one-hot
    NX_OBS_RGB,           // (H T, W T, 3) u8
    NX_OBS_RGB_FIRST_PERSON,          // (V T, V T, 3) u8
    NX_OBS_CATEGORICAL,               // (H, W) i32, NAVIX's rules only
    NX_OBS_CATEGORICAL_FIRST_PERSON,  // (V, V) i32, NAVIX's rules only
    NX_OBS_NONE,
    NX_NUM_OBSERVATIONS
} NxObservation;

// By name: "first_person", "full", ...   Errors: UF_ERR_ARGUMENT, with the names there are.
UF_API UfStatus nx_find_observation(NxObservation* out, const char* name);

// The ids there are, one after another from 0; NULL past the last. "Sandbox-WxH", with any sides, is no level to play.
UF_API const char* nx_id(int index);

// What happens to an environment whose episode has ended.
typedef enum NxAutoreset {
    NX_NEXT_STEP,  // the next step ignores its action and returns the new episode's first observation, reward 0
    NX_SAME_STEP,  // that observation comes at once; the ended episode's last one goes to final_obs
    NX_NO_RESET    // it goes on in the ended episode
} NxAutoreset;

// Terms of NAVIX's reward, added up. 0: the id's own.
enum {
    NX_REWARD_GOAL = 1,         // 1 on success
    NX_REWARD_ACTION_COST = 2,  // -0.01 unless the action is `done`
    NX_REWARD_TIME_COST = 4,    // -0.01
    NX_REWARD_WALL_HIT = 8      // +0.01 on walking into a wall, as NAVIX has it
};

// What has happened in an episode by NAVIX's rules, which never clear one before the next episode.
enum { NX_EVENT_GOAL = 1, NX_EVENT_LAVA = 2, NX_EVENT_BALL = 4, NX_EVENT_WALL = 8 };

typedef struct NxOptions {
    NxRules rules;
    NxObservation observation;
    NxAutoreset autoreset;
    int max_steps;          // 0: the id's
    int view_size;          // odd, >= 3; 0: 7
    int see_through_walls;  // 0 or 1; -1: the id's
    int tile_size;          // pixels; 0: 32 under MiniGrid's rules, 8 under NAVIX's
    int reward;             // NX_REWARD_*, NAVIX's rules only
    double penalty_coef;    // NAVIX's: subtracts penalty_coef * t / max_steps on termination
    int num_actions;        // 7, or 10 for NAVIX's larger set; 0: 7
    int num_threads;        // 0: all cores
    const char* device;     // "cpu", "cuda", or "auto": the first that there is of cuda and cpu; NULL: "cpu"
} NxOptions;

UF_API void nx_default_options(NxOptions* options);

// Where a call writes, arrays of n in the order of the environments, owned by the caller. Nullable: every one.
typedef struct NxOutput {
    void* obs;        // (n, observation)
    void* final_obs;  // (n, observation): under NX_SAME_STEP, written where an episode ended
    float* reward;
    uint8_t *terminated, *truncated;
    uint8_t* direction;     // the agent's
    float* episode_return;  // of the episode so far, this step included
    int32_t* episode_length;
    uint8_t* final_direction;  // the agent's where final_obs is written
} NxOutput;

// Shape and type of the batch's observations.
typedef struct NxShape {
    int num_dims, dims[3];
    int item_bytes;  // 1 u8, 4 i32, 8 i64
    size_t bytes;    // of one observation
} NxShape;

// A batch of n environments.
// Nullable: options (nx_default_options). Errors: UF_ERR_ARGUMENT (unknown id, with the nearest; an option that
// cannot be), UF_ERR_MEMORY (how many bytes n would need), UF_ERR_DEVICE.
UF_API UfStatus nx_create(NxBatch** out, const char* id, int64_t n, uint64_t seed, const NxOptions* options);
UF_API void nx_free(NxBatch* batch);
UF_API NxShape nx_shape(const NxBatch* batch);
UF_API int64_t nx_num_envs(const NxBatch* batch);

// The randomness of every environment begins anew, as nx_create begins it with this seed; episodes go on. An nx_reset
// after it draws the levels that are there after nx_create.   Errors: UF_ERR_MEMORY
UF_API UfStatus nx_seed(NxBatch* batch, uint64_t seed);
// Starts a new episode everywhere. Writes obs, direction; reward, terminated, truncated are 0.
UF_API UfStatus nx_reset(NxBatch* batch, const NxOutput* out);
// One step of each environment; actions (n). Errors: UF_ERR_ARGUMENT (an action that is not one, with the
// environment's index: then no environment has moved). On a device, see above.
UF_API UfStatus nx_step(NxBatch* batch, const uint8_t* actions, const NxOutput* out);
// Like nx_step, but the obstacles of Dynamic-Obstacles go where positions (n, num_obstacles, 2) (x, y) say instead
// of drawing their moves: to replay recordings. By NAVIX's rules that is where each tries to go, its own cell to stay:
// it may be closed, and the agent's ends the episode. On a device it waits, so that all is checked before anything moves.
UF_API UfStatus nx_step_with_obstacles(NxBatch* batch, const uint8_t* actions, const int32_t* positions,
                                       const NxOutput* out);

// The observations as they are, without a step: (n, observation).
UF_API UfStatus nx_show(const NxBatch* batch, void* obs);

// Memory where the arrays of a batch's calls are, of the host or of the device: the same calls serve both.
// nx_reserve: zeroed, of the caller, who releases it before nx_free.   Errors: UF_ERR_MEMORY (asked, free)
// nx_upload, nx_download: from and to the host's.   Errors: UF_ERR_DEVICE; nx_download: what nx_sync says
UF_API UfStatus nx_reserve(NxBatch* batch, void** out, size_t bytes);
UF_API void nx_release(NxBatch* batch, void* memory);
UF_API UfStatus nx_upload(NxBatch* batch, void* to, const void* from, size_t bytes);
UF_API UfStatus nx_download(const NxBatch* batch, void* to, const void* from, size_t bytes);
UF_API int nx_on_device(const NxBatch* batch);  // 1 or 0
// Waits until all that was started is done; on the CPU it always is.
// Errors: UF_ERR_ARGUMENT (a bad action since the last time, as nx_step says it), UF_ERR_DEVICE
UF_API UfStatus nx_sync(const NxBatch* batch);

// One environment's state. Grids are triples of type, colour, state without the agent, (H, W, 3).
// By NAVIX's rules `carrying` is the pocket, which keeps a key that has been dropped, and `contents` what a key covers
// that lies on goal or door, or the key that lava covers.
typedef struct NxState {
    int x, y, direction;
    int step_count, max_steps;
    uint8_t carrying[3];           // (1, 0, 0): nothing
    uint8_t carrying_contents[3];  // of a carried box
    int target[4], aux[4];         // x, y, type, colour; -1 where there is none
    int mission;  // Fetch: which wording; LockedRoom: the key's colour + 8 * its room's, 0: as the grid has them; else 0
    int events;  // NX_EVENT_*, NAVIX's rules; else 0
    int num_obstacles;
    int32_t obstacles[64][2];  // x, y
    uint8_t *grid,
        *contents;  // (H, W, 3), owned by the caller; contents: what boxes hold.   Nullable: contents
} NxState;

UF_API UfStatus nx_get_state(const NxBatch* batch, int64_t env, NxState* state);
// Errors: UF_ERR_ARGUMENT (what is not a legal level, with the cell), nothing changes then.
UF_API UfStatus nx_set_state(NxBatch* batch, int64_t env, const NxState* state);
// The whole batch as bytes, randomness included, to go on from to the bit: nx_save_bytes of them. Another batch of the same
// id, options and n takes them.   Errors: UF_ERR_FORMAT (what cannot be a state), nothing changes then.
UF_API size_t nx_save_bytes(const NxBatch* batch);
UF_API UfStatus nx_save(const NxBatch* batch, void* bytes);
UF_API UfStatus nx_restore(NxBatch* batch, const void* bytes);
// The mission's text as MiniGrid words it, at most 127 letters.
UF_API UfStatus nx_mission(const NxBatch* batch, int64_t env, char text[128]);
// 1 where missions may differ, 0 where all of the batch's states have one and the same.
UF_API int nx_mission_varies(const NxBatch* batch);

#ifdef __cplusplus
}
#endif

#endif
