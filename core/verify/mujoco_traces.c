// mujoco_traces.c: `unifloral verify` of kind mujoco-traces: recorded MuJoCo trajectories against mujoco.c.
//
// Groups task/variant with variants exact and legacy. Each is checked in its model's constants, from every
// recorded state (one step), and over free runs driven by the recorded actions alone. Tolerances: what two
// correct versions of the library differ by, with a margin; HalfCheetah is chaotic and is followed for 20 steps
// only.
//
// The recordings are of MuJoCo 2.3.7, which looks for contacts among boxes first that it computes when it compiles a
// model, in the frames of the bodies' inertia. Legacy models have these changed afterwards, where the boxes stay: of
// HalfCheetah's torso, a body of two geoms whose frame moves, a contact is missed now and then (in 12 of 20,000 steps).
// MuJoCo 2.3.7 without that search (mjDSBL_MIDPHASE) finds it, as ours does. So a step of HalfCheetah's legacy model
// that is off may be one that is right when contacts of these geoms are left out, and a run is followed up to it.
#include <assert.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/data/h5.h"
#include "core/envs/mujoco.h"
#include "core/verify/judge.h"

#ifdef UF_NO_MUJOCO

UfStatus uf_verify_mujoco_traces(const char* path, char** report, bool* passed) {
    *report = NULL;
    *passed = false;
    UF_TRY(uf_env_available(uf_env_find("hopper")));
    return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: cannot be checked without MuJoCo", path);
}

#else

static const struct {
    const char *task, *exact, *legacy;  // group and environments
    int run_steps;                      // of the long free run
    double run_limit;
    bool misses;  // contacts, where it is legacy
} parts[] = {
    {"hopper", "Hopper-v4", "Hopper-v2", 50, 1e-7, false},
    {"halfcheetah", "HalfCheetah-v4", "HalfCheetah-v2", 20, 1e-5, true},
    {"walker2d", "Walker2d-v4", "Walker2d-v2", 50, 1e-7, false},
    {"ant", "Ant-v4", "Ant-v2", 50, 1e-7, false},
    {"invertedpendulum", "InvertedPendulum-v4", "InvertedPendulum-v2", 50, 1e-7, false},
};
static const char* const variants[2] = {"exact", "legacy"};  // groups of a task
enum { NUM_PARTS = sizeof parts / sizeof parts[0], SHORT_RUN = 10, MAX_SIZE = 32 };

// ---- file ----

typedef struct Trace {
    int64_t num_runs, num_steps;  // S, T
    int nq, nv, nu, num_obs;
    double *qpos0, *qvel0, *obs0;           // (S, .)
    double *action, *qpos, *qvel, *obs;     // (S, T, .): after each action
    double *reward, *torso_x, *terminated;  // (S, T)
    double* seed;                           // (S)
    bool* missed;                           // (S, T): the recorder a contact
} Trace;

static void trace_free(Trace* t) {
    double* all[] = {t->qpos0, t->qvel0,  t->obs0,    t->action,     t->qpos, t->qvel,
                     t->obs,   t->reward, t->torso_x, t->terminated, t->seed};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    uf_free(t->missed);
}

// Reads dataset `name` of `group` into fresh memory: (d0), (d0, d1) or (d0, d1, d2), 0 ending the list. A
// negative one is what the file says, and kept.
static UfStatus read_array(const UfH5* h5, const char* group, const char* name, double** out, int64_t* d0,
                           int64_t* d1, int64_t d2) {
    char path[128];
    UfH5Shape shape;
    int64_t one = 0, *dims[3] = {d0, d1 ? d1 : &one, &d2};
    snprintf(path, sizeof path, "%s/%s", group, name);
    UF_TRY(uf_h5_shape(h5, path, &shape));
    int rank = *dims[1] == 0 ? 1 : d2 == 0 ? 2 : 3;
    for (int i = 0; i < rank && i < shape.rank; i++)
        if (*dims[i] < 0) *dims[i] = shape.dims[i];
    bool same = shape.rank == rank && shape.count > 0;
    for (int i = 0; same && i < rank; i++) same = shape.dims[i] == *dims[i];
    if (!same)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' has not the shape of the others: %lld x %lld x %lld expected",
                       h5->path, path, (long long)*dims[0], (long long)(rank > 1 ? *dims[1] : 1),
                       (long long)(rank > 2 ? d2 : 1));
    UF_TRY(uf_alloc((void**)out, (size_t)shape.count, sizeof(double), path));
    return uf_h5_read(h5, path, UF_H5_DOUBLE, *out, shape.count);
}

static UfStatus trace_read(Trace* t, const UfH5* h5, const char* group, const UfEnv* env) {
    const mjModel* m = uf_mujoco_model(env);
    int64_t *runs = &t->num_runs, *steps = &t->num_steps;
    *t = (Trace){.num_runs = -1,
                 .num_steps = -1,
                 .nq = (int)m->nq,
                 .nv = (int)m->nv,
                 .nu = (int)m->nu,
                 .num_obs = uf_env_spec(env)->obs_dim};
    int64_t nq = t->nq, nv = t->nv, num_obs = t->num_obs;
    UF_TRY(read_array(h5, group, "reward", &t->reward, runs, steps, 0));
    UF_TRY(read_array(h5, group, "seed", &t->seed, runs, NULL, 0));
    UF_TRY(read_array(h5, group, "qpos0", &t->qpos0, runs, &nq, 0));
    UF_TRY(read_array(h5, group, "qvel0", &t->qvel0, runs, &nv, 0));
    UF_TRY(read_array(h5, group, "obs0", &t->obs0, runs, &num_obs, 0));
    UF_TRY(read_array(h5, group, "action", &t->action, runs, steps, t->nu));
    UF_TRY(read_array(h5, group, "qpos", &t->qpos, runs, steps, nq));
    UF_TRY(read_array(h5, group, "qvel", &t->qvel, runs, steps, nv));
    UF_TRY(read_array(h5, group, "obs", &t->obs, runs, steps, num_obs));
    UF_TRY(read_array(h5, group, "torso_x", &t->torso_x, runs, steps, 0));
    UF_TRY(UF_ALLOC(&t->missed, *runs * *steps, group));
    return read_array(h5, group, "terminated", &t->terminated, runs, steps, 0);
}

// ---- constants of the model ----

// Compares dataset model/`name` with ours, relative to 1 or to the value.
static UfStatus compare_constants(const UfH5* h5, const char* group, const char* name, const mjtNum* ours,
                                  int64_t rows, int64_t columns, double* worst) {
    double* data = NULL;
    UfStatus status = read_array(h5, group, name, &data, &rows, &columns, 0);
    for (int64_t i = 0; status == UF_OK && i < rows * (columns ? columns : 1); i++)
        uf_keep_worst(worst, fabs(ours[i] - data[i]) / fmax(1, fabs(data[i])));
    uf_free(data);
    return status;
}

// R diag(I) R^T: what is left of principal axes that may be named in any order.
static void inertia_tensor(double tensor[9], const double inertia[3], const double quat[4]) {
    double turn[9];
    mju_quat2Mat(turn, quat);
    for (int i = 0; i < 9; i++) {
        tensor[i] = 0;
        for (int a = 0; a < 3; a++) tensor[i] += inertia[a] * turn[3 * (i / 3) + a] * turn[3 * (i % 3) + a];
    }
}

static UfStatus compare_inertias(const UfH5* h5, const char* group, const mjModel* m, double* worst) {
    double *inertia = NULL, *quat = NULL, theirs[9], ours[9];
    int64_t rows = m->nbody, three = 3, four = 4;
    UfStatus status = read_array(h5, group, "model/body_inertia", &inertia, &rows, &three, 0);
    if (status == UF_OK) status = read_array(h5, group, "model/body_iquat", &quat, &rows, &four, 0);
    for (int64_t body = 0; status == UF_OK && body < rows; body++) {
        inertia_tensor(theirs, inertia + 3 * body, quat + 4 * body);
        inertia_tensor(ours, m->body_inertia + 3 * body, m->body_iquat + 4 * body);
        for (int i = 0; i < 9; i++) uf_keep_worst(worst, fabs(ours[i] - theirs[i]));
    }
    uf_free(inertia);
    uf_free(quat);
    return status;
}

static UfStatus compare_number(const UfH5* h5, const char* object, const char* name, double ours,
                               double* worst) {
    double value;
    UF_TRY(uf_h5_read_number(h5, object, name, &value));
    uf_keep_worst(worst, fabs(ours - value));
    return UF_OK;
}

static UfStatus compare_model(const UfH5* h5, const char* group, const UfEnv* env, double* masses,
                              double* others) {
    const mjModel* m = uf_mujoco_model(env);
    const struct {
        const char* name;
        const mjtNum* ours;
        int64_t rows, columns;
        double* worst;
    } all[] = {
        {"model/body_mass", m->body_mass, m->nbody, 0, masses},
        {"model/body_ipos", m->body_ipos, m->nbody, 3, masses},
        {"model/body_pos", m->body_pos, m->nbody, 3, others},
        {"model/jnt_range", m->jnt_range, m->njnt, 2, others},
        {"model/jnt_stiffness", m->jnt_stiffness, m->njnt, 0, others},
        {"model/dof_armature", m->dof_armature, m->nv, 0, others},
        {"model/dof_damping", m->dof_damping, m->nv, 0, others},
        {"model/geom_size", m->geom_size, m->ngeom, 3, others},
        {"model/geom_friction", m->geom_friction, m->ngeom, 3, others},
        {"model/geom_margin", m->geom_margin, m->ngeom, 0, others},
        {"model/geom_solimp", m->geom_solimp, m->ngeom, mjNIMP, others},
        {"model/geom_solref", m->geom_solref, m->ngeom, mjNREF, others},
        {"model/actuator_gear", m->actuator_gear, m->nu, 6, others},
        {"model/actuator_ctrlrange", m->actuator_ctrlrange, m->nu, 2, others},
        {"model/qpos0", m->qpos0, m->nq, 0, others},
    };
    double total = 0;
    char object[96];
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        UF_TRY(compare_constants(h5, group, all[i].name, all[i].ours, all[i].rows, all[i].columns,
                                 all[i].worst));
    UF_TRY(compare_inertias(h5, group, m, masses));
    for (int body = 1; body < m->nbody; body++) total += m->body_mass[body];
    snprintf(object, sizeof object, "%s/model", group);
    UF_TRY(compare_number(h5, object, "total_mass", total, masses));
    UF_TRY(compare_number(h5, object, "timestep", m->opt.timestep, others));
    UF_TRY(compare_number(h5, object, "integrator", m->opt.integrator, others));
    UF_TRY(compare_number(h5, group, "frame_skip", uf_mujoco_frame_skip(env), others));
    return compare_number(h5, group, "dt", m->opt.timestep * uf_mujoco_frame_skip(env), others);
}

// ---- trajectories ----

typedef struct Worst {
    double state, reward, obs, flags;  // flags: how many differ
} Worst;

static const double step_limit = 1e-9;  // of a state after one

static double distance(const double* a, const double* b, int n) {
    double worst = 0;
    for (int i = 0; i < n; i++) uf_keep_worst(&worst, fabs(a[i] - b[i]));
    return worst;
}

// One step of env against row `row` of the file.
static void compare_step(UfEnv* env, const Trace* t, int64_t row, Worst* worst) {
    double reward, obs[MAX_SIZE];
    bool terminated;
    uf_mujoco_step(env, t->action + row * t->nu, &reward, &terminated);
    uf_mujoco_observe(env, obs);
    const mjData* d = uf_mujoco_data(env);
    uf_keep_worst(&worst->state, distance(d->qpos, t->qpos + row * t->nq, t->nq));
    uf_keep_worst(&worst->state, distance(d->qvel, t->qvel + row * t->nv, t->nv));
    uf_keep_worst(&worst->state, fabs(d->xpos[3] - t->torso_x[row]));
    uf_keep_worst(&worst->obs, distance(obs, t->obs + row * t->num_obs, t->num_obs));
    uf_keep_worst(&worst->reward, fabs(reward - t->reward[row]));
    worst->flags += t->terminated[row] != (double)terminated;
}

static void merge(Worst* worst, const Worst* other) {
    uf_keep_worst(&worst->state, other->state);
    uf_keep_worst(&worst->reward, other->reward);
    uf_keep_worst(&worst->obs, other->obs);
    worst->flags += other->flags;
}

// A step that the recorder took without some contacts: see the head of this file.
typedef struct Search {
    const Trace* t;
    const mjModel* whole;
    mjModel* model;  // a copy, whose geoms are taken out of collisions in turn
    mjData* data;
    const double *qpos, *qvel;  // where the step begins
    int64_t row;
    int frame_skip;
    bool found;
} Search;

static void search_create(void* argument) {
    Search* s = argument;
    s->data = mj_makeData(s->model);
}

// Geoms of bodies that have several, in contact during the last step.
static uint32_t touching(const mjModel* m, const mjData* d) {
    uint32_t geoms = 0;
    for (int i = 0; i < d->ncon; i++) {
        const int pair[2] = {d->contact[i].geom1, d->contact[i].geom2};
        for (int k = 0; k < 2; k++)
            if (m->body_geomnum[m->geom_bodyid[pair[k]]] > 1) geoms |= 1u << pair[k];
    }
    return geoms;
}

// One of the library's steps from (qpos, qvel, warmstart), without contacts of the geoms of `without`. Our model names
// the pairs that can touch; at this margin none does.
static void step_without(Search* s, double state[3][MAX_SIZE], uint32_t without) {
    mjModel* m = s->model;
    double margin[MAX_SIZE];
    for (int p = 0; p < m->npair; p++) {
        margin[p] = m->pair_margin[p];
        if ((without >> m->pair_geom1[p] | without >> m->pair_geom2[p]) & 1) m->pair_margin[p] = -1e6;
    }
    mju_copy(s->data->qpos, state[0], (int)m->nq);
    mju_copy(s->data->qvel, state[1], (int)m->nv);
    mju_copy(s->data->qacc_warmstart, state[2], (int)m->nv);
    mj_step(m, s->data);
    mju_copy(m->pair_margin, margin, (int)m->npair);
}

// Whether `left` more of the library's steps lead to the recorded state.
static bool search_from(Search* s, int left) {
    const Trace* t = s->t;
    double state[3][MAX_SIZE];
    if (left == 0)
        return distance(s->data->qpos, t->qpos + s->row * t->nq, t->nq) <= step_limit &&
               distance(s->data->qvel, t->qvel + s->row * t->nv, t->nv) <= step_limit &&
               fabs(s->data->xpos[3] - t->torso_x[s->row]) <= step_limit;
    mju_copy(state[0], s->data->qpos, t->nq);
    mju_copy(state[1], s->data->qvel, t->nv);
    mju_copy(state[2], s->data->qacc_warmstart, t->nv);
    step_without(s, state, 0);
    const uint32_t geoms = touching(s->model, s->data);
    for (uint32_t without = 0;; without = (without - geoms) & geoms) {  // the subsets of geoms
        if (without) step_without(s, state, without);
        if (search_from(s, left - 1)) return true;
        if (without == geoms) return false;
    }
}

static void search(void* argument) {
    Search* s = argument;
    mju_copy(s->model->pair_margin, s->whole->pair_margin,
             (int)s->model->npair);  // a failed step may leave others
    mj_resetData(s->model, s->data);
    mju_copy(s->data->qpos, s->qpos, s->t->nq);
    mju_copy(s->data->qvel, s->qvel, s->t->nv);
    mju_copy(s->data->ctrl, s->t->action + s->row * s->t->nu, s->t->nu);
    mj_forward(s->model, s->data);
    s->found = search_from(s, s->frame_skip);
}

// What is left to compare of such a step: the observation of the recorded state, the reward of its progress.
static void compare_missed(UfEnv* env, const Search* s, Worst* worst) {
    const Trace* t = s->t;
    const double *qpos = t->qpos + s->row * t->nq, before = s->qpos[0];
    const double dt = s->model->opt.timestep * s->frame_skip;
    double obs[MAX_SIZE], reward;
    bool terminated;
    uf_mujoco_place(env, s->qpos, s->qvel, NULL);
    uf_mujoco_step(env, t->action + s->row * t->nu, &reward, &terminated);
    reward += (qpos[0] - before) / dt - (uf_mujoco_data(env)->qpos[0] - before) / dt;
    uf_keep_worst(&worst->reward, fabs(reward - t->reward[s->row]));
    worst->flags += t->terminated[s->row] != (double)terminated;
    uf_mujoco_place(env, qpos, t->qvel + s->row * t->nv, NULL);
    uf_mujoco_observe(env, obs);
    uf_keep_worst(&worst->obs, distance(obs, t->obs + s->row * t->num_obs, t->num_obs));
}

// From every recorded state. Where the torso lay behind stands in the row before.
static void compare_steps(UfEnv* env, Trace* t, Search* s, Worst* worst, int64_t* num_missed) {
    for (int64_t run = 0; run < t->num_runs; run++)
        for (int64_t k = 0; k < t->num_steps; k++) {
            int64_t row = run * t->num_steps + k;
            Worst of_step = {0};
            s->qpos = k ? t->qpos + (row - 1) * t->nq : t->qpos0 + run * t->nq;
            s->qvel = k ? t->qvel + (row - 1) * t->nv : t->qvel0 + run * t->nv;
            s->row = row;
            s->found = false;
            uf_mujoco_place(env, s->qpos, s->qvel, k ? &t->torso_x[row - 1] : NULL);
            compare_step(env, t, row, &of_step);
            t->missed[row] =
                s->data && of_step.state > step_limit && uf_mujoco_guarded(search, s) && s->found;
            if (t->missed[row])
                compare_missed(env, s, worst);
            else
                merge(worst, &of_step);
            *num_missed += t->missed[row];
        }
}

static void compare_runs(UfEnv* env, const Trace* t, int64_t num_steps, Worst* worst, double* starts) {
    double obs[MAX_SIZE];
    for (int64_t run = 0; run < t->num_runs; run++) {
        uf_mujoco_place(env, t->qpos0 + run * t->nq, t->qvel0 + run * t->nv, NULL);
        uf_mujoco_observe(env, obs);
        uf_keep_worst(starts, distance(obs, t->obs0 + run * t->num_obs, t->num_obs));
        for (int64_t k = 0; k < num_steps && k < t->num_steps && !t->missed[run * t->num_steps + k]; k++)
            compare_step(env, t, run * t->num_steps + k, worst);
    }
}

// ---- report ----

static UfStatus check_variant(UfReport* report, const UfH5* h5, int part, bool legacy) {
    const char* name = legacy ? parts[part].legacy : parts[part].exact;
    char group[64], check[64];
    Trace trace = {0};
    UfEnv* env = NULL;
    Worst step = {0}, few = {0}, many = {0};
    double masses = 0, others = 0, starts = 0;
    int64_t num_missed = 0;
    Search missing = {.t = &trace};
    snprintf(group, sizeof group, "%s/%s", parts[part].task, variants[legacy]);
    UfStatus status = uf_env_create(&env, name);
    if (status == UF_OK) status = trace_read(&trace, h5, group, env);
    if (status == UF_OK) status = compare_model(h5, group, env, &masses, &others);
    if (status == UF_OK && legacy && parts[part].misses) {
        missing.frame_skip = uf_mujoco_frame_skip(env);
        missing.whole = uf_mujoco_model(env);
        missing.model = mj_copyModel(NULL, missing.whole);
        assert(missing.whole->ngeom <= 32 && missing.whole->npair <= MAX_SIZE);
        if (!missing.model || !uf_mujoco_guarded(search_create, &missing) || !missing.data)
            status = UF_FAIL(UF_ERR_MEMORY, "out of memory: a model of %s", name);
    }
    if (status == UF_OK) {
        compare_steps(env, &trace, &missing, &step, &num_missed);
        compare_runs(env, &trace, SHORT_RUN, &few, &starts);
        compare_runs(env, &trace, parts[part].run_steps, &many, &starts);
        uf_report_add(report, group, "model: masses and inertias", masses, 1e-9);
        uf_report_add(report, group, "model: all else", others, 1e-9);
        snprintf(check, sizeof check, "one step: states");
        if (num_missed)
            snprintf(check, sizeof check, "one step: states, %lld miss a contact", (long long)num_missed);
        uf_report_add(report, group, check, step.state, step_limit);
        uf_report_add(report, group, "one step: observations", step.obs, 1e-9);
        uf_report_add(report, group, "one step: rewards", step.reward, 1e-7);
        uf_report_add(report, group, "one step: terminated (wrong ones)", step.flags, 0);
        uf_report_add(report, group, "starts: observations", starts, 1e-12);
        uf_report_add(report, group, "10 steps: states", few.state, 1e-9);
        uf_report_add(report, group, "10 steps: rewards", few.reward, 1e-7);
        int64_t steps = trace.num_steps < parts[part].run_steps ? trace.num_steps : parts[part].run_steps;
        snprintf(check, sizeof check, "%lld steps: states", (long long)steps);
        uf_report_add(report, group, check, many.state, parts[part].run_limit);
    }
    if (missing.data) mj_deleteData(missing.data);
    if (missing.model) mj_deleteModel(missing.model);
    uf_env_free(env);
    trace_free(&trace);
    return status;
}

static const char* task_of(int k) { return k < NUM_PARTS ? parts[k].task : NULL; }
static const char* variant_of(int k) { return k < 2 ? variants[k] : NULL; }

static UfStatus check_task(UfReport* report, const UfH5* h5, int part) {
    char group[64];
    UF_TRY(uf_check_groups(report, h5, parts[part].task, variant_of, "variant of a MuJoCo task"));
    for (int legacy = 0; legacy < 2; legacy++) {
        snprintf(group, sizeof group, "%s/%s", parts[part].task, variants[legacy]);
        if (uf_h5_exists(h5, group)) UF_TRY(check_variant(report, h5, part, legacy));
    }
    return UF_OK;
}

static UfStatus check_file(UfReport* report, const UfH5* h5) {
    UfStatus status = uf_check_groups(report, h5, "/", task_of, "MuJoCo task");
    for (int k = 0; k < NUM_PARTS && status == UF_OK; k++)
        if (uf_h5_exists(h5, parts[k].task)) status = check_task(report, h5, k);
    return status;
}

UfStatus uf_verify_mujoco_traces(const char* path, char** text, bool* passed) {
    return uf_report_file(path, check_file, text, passed);
}

#endif
