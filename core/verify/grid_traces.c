// grid_traces.c: `unifloral verify` of kind minigrid-traces: recorded MiniGrid episodes against navix.c.
//
// An episode begins in its recorded first state. From there the recorded actions drive us (and the recorded moves of
// Dynamic-Obstacles' balls), and every frame has to be the recorded one: grid, agent, what it carries, both
// observations, reward, flags.
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "navix.h"
#include "core/grid/grid_table.h"
#include "core/verify/grid_verify.h"

enum { MISSION_BYTES = 128, VIEWS = 2 };

// ---- file ----

typedef struct Trace {
    char group[96];
    const char* id;  // of the group
    int width, height, view, see_through, max_steps, num_obstacles;
    int64_t num_episodes, num_steps, num_frames, num_boxes;
    int32_t *length, *max_step;                // (E)
    int64_t* seed;                             // (E)
    char* mission;                             // (E, MISSION_BYTES)
    int32_t *target, *aux;                     // (E, 4)
    int32_t* boxes;                            // (K, 6): episode, x, y, type, colour, state
    uint8_t *action, *terminated, *truncated;  // (steps)
    double* reward;                            // (steps)
    int32_t* agent;                            // (frames, 3)
    uint8_t *carrying, *view_obs, *grid;       // (frames, 3), (frames, V, V, 3), (frames, H, W, 3)
    int32_t* obstacles;                        // (frames, n, 2)
} Trace;

static void trace_free(Trace* t) {
    void* all[] = {t->length,   t->max_step, t->seed,       t->mission,   t->target, t->aux,
                   t->boxes,    t->action,   t->terminated, t->truncated, t->reward, t->agent,
                   t->carrying, t->view_obs, t->grid,       t->obstacles};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// Reads dataset `name` of the group into fresh memory: (*rows, dims...), 0 ending the list. *rows < 0: as many as it has.
static UfStatus read_array(const UfH5* h5, const Trace* t, const char* name, UfH5Type type, void* out,
                           int64_t* rows, int d1, int d2, int d3) {
    static const size_t item_bytes[] = {
        [UF_H5_DOUBLE] = 8, [UF_H5_INT32] = 4, [UF_H5_INT64] = 8, [UF_H5_UINT8] = 1};
    const int64_t dims[4] = {*rows, d1, d2, d3};
    char path[160];
    void* data;
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/%s", t->group, name);
    UF_TRY(uf_h5_shape(h5, path, &shape));
    int rank = 1;
    while (rank < 4 && dims[rank]) rank++;
    bool same = shape.rank == rank && (*rows < 0 || shape.dims[0] == *rows);
    for (int i = 1; same && i < rank; i++) same = shape.dims[i] == dims[i];
    if (!same)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' begins with %lld of %d dimensions; expected %lld x %d x %d x %d",
                       h5->path, path, (long long)shape.dims[0], shape.rank,
                       (long long)(*rows < 0 ? shape.dims[0] : *rows), d1 ? d1 : 1, d2 ? d2 : 1, d3 ? d3 : 1);
    *rows = shape.dims[0];
    UF_TRY(uf_alloc(&data, (size_t)shape.count, item_bytes[type], path));
    memcpy(out, &data, sizeof data);
    return uf_h5_read(h5, path, type, data, shape.count);
}

static UfStatus read_attribute(const UfH5* h5, const Trace* t, const char* name, int low, int high,
                               int* out) {
    double value;
    UF_TRY(uf_h5_read_number(h5, t->group, name, &value));
    if (!(value >= low && value <= high) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of '%s' is %g; expected %d to %d", h5->path, name,
                       t->group, value, low, high);
    *out = (int)value;
    return UF_OK;
}

static UfStatus check_lengths(const UfH5* h5, const Trace* t) {
    int64_t steps = 0;
    for (int64_t e = 0; e < t->num_episodes; e++) {
        if (t->length[e] < 1)
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_len' has a length of %d; at least 1 expected", h5->path,
                           t->group, t->length[e]);
        steps += t->length[e];
    }
    if (steps != t->num_steps)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_len' adds up to %lld steps, 'action' has %lld", h5->path,
                       t->group, (long long)steps, (long long)t->num_steps);
    for (int64_t k = 0; k < t->num_boxes; k++) {
        const int32_t* box = t->boxes + 6 * k;
        bool fits = box[0] >= 0 && box[0] < t->num_episodes && box[1] >= 0 && box[1] < t->width &&
                    box[2] >= 0 && box[2] < t->height;
        for (int i = 3; i < 6; i++) fits = fits && box[i] >= 0 && box[i] <= 255;
        if (!fits)
            return UF_FAIL(UF_ERR_FORMAT, "%s: row %lld of '%s/box_contents' is about no cell of an episode",
                           h5->path, (long long)k, t->group);
    }
    return UF_OK;
}

static UfStatus trace_read(Trace* t, const UfH5* h5, const char* id) {
    int64_t *episodes = &t->num_episodes, *steps = &t->num_steps, *frames = &t->num_frames;
    char path[160];
    *t = (Trace){.id = id, .num_episodes = -1, .num_steps = -1, .num_boxes = -1};
    snprintf(t->group, sizeof t->group, "minigrid/%s", id);
    UF_TRY(read_attribute(h5, t, "width", 3, 254, &t->width));
    UF_TRY(read_attribute(h5, t, "height", 3, 254, &t->height));
    UF_TRY(read_attribute(h5, t, "view", 3, 255, &t->view));
    UF_TRY(read_attribute(h5, t, "see_through_walls", 0, 1, &t->see_through));
    UF_TRY(read_attribute(h5, t, "default_max_steps", 0, 1 << 30, &t->max_steps));
    UF_TRY(read_attribute(h5, t, "n_obstacles", 0, 64, &t->num_obstacles));
    UF_TRY(read_array(h5, t, "ep_len", UF_H5_INT32, &t->length, episodes, 0, 0, 0));
    UF_TRY(read_array(h5, t, "max_steps", UF_H5_INT32, &t->max_step, episodes, 0, 0, 0));
    UF_TRY(read_array(h5, t, "target", UF_H5_INT32, &t->target, episodes, 4, 0, 0));
    UF_TRY(read_array(h5, t, "aux", UF_H5_INT32, &t->aux, episodes, 4, 0, 0));
    UF_TRY(read_array(h5, t, "action", UF_H5_UINT8, &t->action, steps, 0, 0, 0));
    UF_TRY(read_array(h5, t, "reward", UF_H5_DOUBLE, &t->reward, steps, 0, 0, 0));
    UF_TRY(read_array(h5, t, "terminated", UF_H5_UINT8, &t->terminated, steps, 0, 0, 0));
    UF_TRY(read_array(h5, t, "truncated", UF_H5_UINT8, &t->truncated, steps, 0, 0, 0));
    *frames = *steps + *episodes;
    UF_TRY(read_array(h5, t, "agent", UF_H5_INT32, &t->agent, frames, 3, 0, 0));
    UF_TRY(read_array(h5, t, "carrying", UF_H5_UINT8, &t->carrying, frames, 3, 0, 0));
    UF_TRY(read_array(h5, t, "obs", UF_H5_UINT8, &t->view_obs, frames, t->view, t->view, 3));
    UF_TRY(read_array(h5, t, "grid", UF_H5_UINT8, &t->grid, frames, t->height, t->width, 3));
    if (t->num_obstacles)
        UF_TRY(read_array(h5, t, "obstacles", UF_H5_INT32, &t->obstacles, frames, t->num_obstacles, 2, 0));
    snprintf(path, sizeof path, "%s/box_contents", t->group);
    if (uf_h5_exists(h5, path))
        UF_TRY(read_array(h5, t, "box_contents", UF_H5_INT32, &t->boxes, &t->num_boxes, 6, 0, 0));
    UF_TRY(UF_ALLOC(&t->mission, *episodes * MISSION_BYTES, "missions"));
    // what was behind the actions says nothing about the rules, but belongs to the recording
    UF_TRY(read_array(h5, t, "seed", UF_H5_INT64, &t->seed, episodes, 0, 0, 0));
    snprintf(path, sizeof path, "%s/policy", t->group);
    UF_TRY(uf_h5_read_texts(h5, path, MISSION_BYTES, t->mission, *episodes));
    snprintf(path, sizeof path, "%s/mission", t->group);
    UF_TRY(uf_h5_read_texts(h5, path, MISSION_BYTES, t->mission, *episodes));
    return check_lengths(h5, t);
}

// ---- replay ----

// What goes in and comes out of a step but the observation, which follows.
typedef struct Step {
    int32_t obstacles[64][2];
    uint8_t action, unused[3];
    float reward;
    uint8_t terminated, truncated, unused_too[6];
} Step;

typedef struct Replay {
    const Trace* t;
    NxBatch* batch[VIEWS];            // first person and full, otherwise the same
    uint8_t* there[VIEWS];            // where each reads and writes: a Step, then an observation
    uint8_t* here[VIEWS];             // the same on the host
    size_t step_bytes[VIEWS];         // of it
    uint8_t* expected;                // the recorded full observation
    NxState state;                    // of either
    double reward;                    // worst difference
    int states, flags, observations;  // numbers that differ
    int missions;                     // texts and places
    char first[160];                  // where the first of them is
} Replay;

static void replay_free(Replay* r) {
    for (int i = 0; i < VIEWS; i++) {
        if (r->batch[i]) nx_release(r->batch[i], r->there[i]);
        nx_free(r->batch[i]);
        uf_free(r->here[i]);
    }
    uf_free(r->expected);
    uf_free(r->state.grid);
    uf_free(r->state.contents);
}

static UfStatus replay_create(Replay* r, const Trace* t, const char* device) {
    const size_t grid_bytes = (size_t)t->width * (size_t)t->height * 3;
    *r = (Replay){.t = t};
    for (int i = 0; i < VIEWS; i++) {
        NxOptions options;
        nx_default_options(&options);
        options.observation = i ? NX_OBS_FULL : NX_OBS_FIRST_PERSON;
        options.autoreset = NX_NO_RESET;
        options.view_size = t->view;
        options.see_through_walls = t->see_through;
        options.num_threads = 1;
        options.device = device;
        UF_TRY(nx_create(&r->batch[i], t->id, 1, 0, &options));
        r->step_bytes[i] = sizeof(Step) + nx_shape(r->batch[i]).bytes;
        UF_TRY(nx_reserve(r->batch[i], (void**)&r->there[i], r->step_bytes[i]));
        UF_TRY(uf_alloc((void**)&r->here[i], 1, r->step_bytes[i], "an observation"));
    }
    UF_TRY(uf_alloc((void**)&r->expected, 1, grid_bytes, "an observation"));
    UF_TRY(uf_alloc((void**)&r->state.grid, 1, grid_bytes, "a grid"));
    UF_TRY(uf_alloc((void**)&r->state.contents, 1, grid_bytes, "a grid"));
    if (nx_shape(r->batch[1]).bytes != grid_bytes)
        return UF_FAIL(UF_ERR_FORMAT, "'%s' is %d by %d in the file, and %d by %d here", t->group, t->width,
                       t->height, nx_shape(r->batch[1]).dims[1], nx_shape(r->batch[1]).dims[0]);
    return UF_OK;
}

static uint8_t* obs_of(const Replay* r, int i) { return r->here[i] + sizeof(Step); }

static UfStatus show(Replay* r, int i) {
    UF_TRY(nx_show(r->batch[i], r->there[i] + sizeof(Step)));
    return nx_download(r->batch[i], r->here[i], r->there[i], r->step_bytes[i]);
}

// What came out is in r->here[i] then.   Nullable: obstacles, of recorded moves
static UfStatus step(Replay* r, int i, uint8_t action, const int32_t* obstacles) {
    Step *in = (Step*)r->here[i], *there = (Step*)r->there[i];
    const NxOutput out = {.obs = there + 1,
                          .reward = &there->reward,
                          .terminated = &there->terminated,
                          .truncated = &there->truncated};
    in->action = action;
    if (obstacles) memcpy(in->obstacles, obstacles, (size_t)r->t->num_obstacles * sizeof in->obstacles[0]);
    UF_TRY(nx_upload(r->batch[i], there, in, sizeof *in));
    UF_TRY(obstacles ? nx_step_with_obstacles(r->batch[i], &there->action, there->obstacles[0], &out)
                     : nx_step(r->batch[i], &there->action, &out));
    return nx_download(r->batch[i], in, there, r->step_bytes[i]);
}

// Counts a number that differs, and notes where the first is.
static void compare_number(Replay* r, const char* what, size_t i, int ours, int theirs, int64_t e, int64_t k,
                           int* wrong) {
    if (ours == theirs) return;
    if (!r->first[0])
        snprintf(r->first, sizeof r->first,
                 "episode %lld, frame %lld: number %zu of the %s is %d, recorded %d", (long long)e,
                 (long long)k, i, what, ours, theirs);
    (*wrong)++;
}

static void compare(Replay* r, const char* what, const uint8_t* ours, const uint8_t* theirs, size_t count,
                    int64_t e, int64_t k, int* wrong) {
    for (size_t i = 0; i < count; i++) compare_number(r, what, i, ours[i], theirs[i], e, k, wrong);
}

// The state after reset, as the file has it.
static void first_state(Replay* r, int64_t e, int64_t frame) {
    const Trace* t = r->t;
    NxState* s = &r->state;
    const size_t grid_bytes = (size_t)t->width * (size_t)t->height * 3;
    uint8_t *grid = s->grid, *contents = s->contents;
    *s = (NxState){
        .grid = grid, .contents = contents, .max_steps = t->max_step[e], .num_obstacles = t->num_obstacles};
    s->x = t->agent[3 * frame];
    s->y = t->agent[3 * frame + 1];
    s->direction = t->agent[3 * frame + 2];
    memcpy(grid, t->grid + (size_t)frame * grid_bytes, grid_bytes);
    memcpy(s->carrying, t->carrying + 3 * frame, 3);
    memcpy(s->target, t->target + 4 * e, sizeof s->target);
    memcpy(s->aux, t->aux + 4 * e, sizeof s->aux);
    for (int i = 0; i < t->num_obstacles; i++)
        memcpy(s->obstacles[i], t->obstacles + (frame * t->num_obstacles + i) * 2, sizeof s->obstacles[i]);
    for (size_t i = 0; i < grid_bytes; i++) contents[i] = i % 3 == 0;  // (1, 0, 0)
    for (int64_t k = 0; k < t->num_boxes; k++) {
        const int32_t* box = t->boxes + 6 * k;
        if (box[0] != e) continue;
        for (int i = 0; i < 3; i++) contents[3 * (box[2] * t->width + box[1]) + i] = (uint8_t)box[3 + i];
    }
}

// A recorded target or aux that lies somewhere does so in the first frame: an object that is what it says, or a place to
// walk to, which is empty.
static void compare_place(Replay* r, const char* what, const int32_t object[4], int64_t e) {
    const NxState* s = &r->state;
    if (object[0] < 0) return;
    const uint8_t* cell = s->grid + 3 * (object[1] * r->t->width + object[0]);
    const bool is_place = object[2] < 0;
    compare_number(r, what, 2, cell[0], is_place ? 1 : object[2], e, 0, &r->missions);
    if (!is_place) compare_number(r, what, 3, cell[1], object[3], e, 0, &r->missions);
}

// Begins the episode in both batches. Fetch words its mission in five ways, of which one has to be the recorded.
static UfStatus begin(Replay* r, int64_t e, int64_t frame) {
    const char* mission = r->t->mission + e * MISSION_BYTES;
    char text[MISSION_BYTES] = "";
    bool found = false;
    first_state(r, e, frame);
    const int wordings = strncmp(r->t->id, "MiniGrid-Fetch-", 15) == 0 ? NX_NUM_FETCH_MISSIONS : 1;
    for (int wording = 0; !found && wording < wordings; wording++) {
        r->state.mission = wording;
        UF_TRY(nx_set_state(r->batch[0], 0, &r->state));
        UF_TRY(nx_mission(r->batch[0], 0, text));
        found = strcmp(text, mission) == 0;
    }
    r->missions += !found;
    if (!found && !r->first[0])
        snprintf(r->first, sizeof r->first, "episode %lld: mission '%.50s', recorded '%.50s'", (long long)e,
                 text, mission);
    UF_TRY(nx_set_state(r->batch[1], 0, &r->state));  // and with it the places are on the map
    compare_place(r, "target", r->state.target, e);
    compare_place(r, "aux", r->state.aux, e);
    return UF_OK;
}

static UfStatus compare_frame(Replay* r, int64_t e, int64_t k, int64_t frame) {
    const Trace* t = r->t;
    const size_t grid_bytes = (size_t)t->width * (size_t)t->height * 3,
                 view_bytes = (size_t)t->view * (size_t)t->view * 3;
    const int32_t* agent = t->agent + 3 * frame;
    const uint8_t* grid = t->grid + (size_t)frame * grid_bytes;
    NxState* s = &r->state;
    UF_TRY(nx_get_state(r->batch[0], 0, s));
    const int ours[3] = {s->x, s->y, s->direction};
    for (size_t i = 0; i < 3; i++) compare_number(r, "agent", i, ours[i], agent[i], e, k, &r->states);
    compare(r, "carried", s->carrying, t->carrying + 3 * frame, 3, e, k, &r->states);
    compare(r, "grid", s->grid, grid, grid_bytes, e, k, &r->states);
    compare(r, "view", obs_of(r, 0), t->view_obs + (size_t)frame * view_bytes, view_bytes, e, k,
            &r->observations);
    memcpy(r->expected, grid, grid_bytes);
    if (agent[0] >= 0 && agent[0] < t->width && agent[1] >= 0 && agent[1] < t->height)
        memcpy(r->expected + 3 * (agent[1] * t->width + agent[0]), (uint8_t[3]){10, 0, (uint8_t)agent[2]}, 3);
    compare(r, "full observation", obs_of(r, 1), r->expected, grid_bytes, e, k, &r->observations);
    return UF_OK;
}

static UfStatus replay_episode(Replay* r, int64_t e, int64_t first, int64_t frame) {
    const Trace* t = r->t;
    UF_TRY(begin(r, e, frame));
    for (int i = 0; i < VIEWS; i++) UF_TRY(show(r, i));
    UF_TRY(compare_frame(r, e, 0, frame));
    for (int64_t k = 1; k <= t->length[e]; k++) {
        const int64_t at = first + k - 1;
        const int32_t* obstacles =
            t->num_obstacles ? t->obstacles + (frame + k) * t->num_obstacles * 2 : NULL;
        for (int i = 0; i < VIEWS; i++) UF_TRY(step(r, i, t->action[at], obstacles));
        const Step* out = (const Step*)r->here[VIEWS - 1];
        uf_keep_worst(&r->reward, fabs((double)out->reward - t->reward[at]));
        compare(r, "terminated", &out->terminated, t->terminated + at, 1, e, k, &r->flags);
        compare(r, "truncated", &out->truncated, t->truncated + at, 1, e, k, &r->flags);
        UF_TRY(compare_frame(r, e, k, frame + k));
    }
    return UF_OK;
}

static UfStatus replay_all(Replay* r, const UfH5* h5) {
    const Trace* t = r->t;
    int64_t step = 0, frame = 0;
    for (int64_t e = 0; e < t->num_episodes; e++) {
        UfStatus status = replay_episode(r, e, step, frame);
        if (status != UF_OK) {
            char where[1200];
            snprintf(where, sizeof where, "%s: '%s', episode %lld", h5->path, t->group, (long long)e);
            return uf_fail_prefix(status == UF_ERR_ARGUMENT ? UF_ERR_FORMAT : status, where);
        }
        step += t->length[e];
        frame += t->length[e] + 1;
    }
    return UF_OK;
}

// Attributes that are not ours.
static int wrong_constants(const Trace* t) {
    const NxSpec* spec;
    if (nx_find_spec(&spec, t->id) != UF_OK) return 0;  // a sandbox has none of its own
    const int obstacles = spec->family == NX_FAMILY_DYNAMIC_OBSTACLES ? spec->count : 0;
    return (spec->max_steps != t->max_steps) + (spec->see_through_walls != t->see_through) +
           (obstacles != t->num_obstacles);
}

// ---- report ----

static UfStatus check_id(UfReport* report, const UfH5* h5, const char* id, const char* device) {
    Trace trace;
    Replay replay = {0};
    UfStatus status = trace_read(&trace, h5, id);
    if (status == UF_OK) {
        status = replay_create(&replay, &trace, device);
        const bool is_device = status == UF_ERR_DEVICE || status == UF_ERR_UNSUPPORTED;
        if (status != UF_OK && !is_device) status = uf_fail_prefix(UF_ERR_FORMAT, h5->path);
    }
    if (status == UF_OK) status = replay_all(&replay, h5);
    if (status == UF_OK) {
        const bool passed = report->passed;
        report->passed = true;
        uf_report_add(report, id, "rewards", replay.reward,
                      1e-6);  // recorded in double, ours rounded to float32
        uf_report_add(report, id, "flags, missions, constants (wrong)",
                      replay.flags + replay.missions + wrong_constants(&trace), 0);
        uf_report_add(report, id, "states (wrong numbers)", replay.states, 0);
        uf_report_add(report, id, "observations (wrong numbers)", replay.observations, 0);
        if (!report->passed && replay.first[0]) uf_text_add(&report->text, "    first: %s\n", replay.first);
        report->passed = report->passed && passed;
    }
    replay_free(&replay);
    trace_free(&trace);
    return status;
}

static UfStatus verify_minigrid(const UfH5* h5, UfReport* report, const char* device) {
    char** ids;
    int count;
    UF_TRY(uf_h5_list(h5, "minigrid", &ids, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK; i++) status = check_id(report, h5, ids[i], device);
    uf_h5_list_free(ids, count);
    return status;
}

// Episodes by MiniGrid's rules go through batches, which a device may have; the rest asks the rules and tiles
// themselves.
static UfStatus check_file(UfReport* report, const UfH5* h5, const char* device) {
    static const struct {
        const char* group;
        UfStatus (*check)(const UfH5* h5, UfReport* report);
    } parts[] = {{"navix", nx_verify_navix}, {"tiles", nx_verify_tiles}, {"frames", nx_verify_frames}};
    int found = 0;
    UF_TRY(uf_check_format(h5));
    if (uf_h5_exists(h5, "minigrid")) {
        found++;
        UF_TRY(verify_minigrid(h5, report, device));
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!uf_h5_exists(h5, parts[i].group)) continue;
        found++;
        if (strcmp(device, "cpu") != 0) uf_text_add(&report->text, "  on the CPU: %s\n", parts[i].group);
        UF_TRY(parts[i].check(h5, report));
    }
    if (!found)
        return UF_FAIL(UF_ERR_FORMAT, "%s: holds none of the groups minigrid, navix, tiles and frames",
                       h5->path);
    return UF_OK;
}

UfStatus nx_verify_traces(const char* path, const char* device, char** text, bool* passed) {
    UfReport report = {.passed = true};
    UfH5 h5;
    *text = NULL;
    *passed = false;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = check_file(&report, &h5, device);
    uf_h5_close(&h5);
    return uf_report_finish(&report, status, text, passed);
}
