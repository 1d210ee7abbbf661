// mujoco.c: Hopper, HalfCheetah, Walker2d, Ant and InvertedPendulum on the MuJoCo library.
//
// As gymnasium's v4 and gym's v2 classes, which agree but for masses: MuJoCo before 2.1.2, hence D4RL's data,
// took the mass and inertia of a capsule to be those of a cylinder. The rows -v2 of the table have those
// ("legacy"), the rows -v4 what the library computes ("exact"). The models are our own, in envs/mujoco.
// Sources: gym/envs/mujoco (v2), gymnasium/envs/mujoco (v4), D4RL's action wrapper, MuJoCo's changelog.
#include "core/envs/mujoco.h"

#include "core/envs/draw.h"

#ifdef UF_NO_MUJOCO

static UfStatus available(const UfEnvSpec* spec) {
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s needs the MuJoCo library, which was not there when this was built; install "
                   "libmujoco-dev and build again",
                   spec->name);
}

static UfStatus create(UfEnv** out, const UfEnvSpec* spec) {
    *out = NULL;
    return available(spec);
}

const UfEnvOps uf_mujoco_ops = {.create = create, .available = available};

#else

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>  // snprintf
#include <string.h>

// ---- models: MJCF text inside the library ----

// A path relative to the folder that the compiler runs in, the repository's root.
#define EMBED(NAME)                                                                              \
    __asm__(".pushsection .rodata\n" #NAME "_xml: .incbin \"envs/mujoco/" #NAME ".xml\"\n" #NAME \
            "_xml_end: .byte 0\n.popsection\n");                                                 \
    extern const char NAME##_xml[] __attribute__((visibility("hidden")));                        \
    extern const char NAME##_xml_end[] __attribute__((visibility("hidden")))
EMBED(hopper);
EMBED(halfcheetah);
EMBED(walker2d);
EMBED(ant);
EMBED(invertedpendulum);

// ---- tasks ----

typedef struct Task {
    const char *file, *xml, *xml_end;  // a 0 stands at xml_end
    double total_mass;  // what the legacy masses are scaled to, as the model's file says; 0: nothing
    int frame_skip;
    int first_qpos;       // observed: qpos from here on, then qvel
    double max_velocity;  // of the observation; 0: not clipped
    // reward: speed * forward + alive - action_cost * |action|^2, the action clipped to the motors' range
    double forward, alive, action_cost;
    bool torso_speed;  // of the torso's pose, which mj_step leaves one of its steps behind, and not of qpos
    // The episode goes on while low < qpos[height] < high, |qpos[angle]| < max_angle and
    // |state| < max_state from element 2 on; 0: not looked at.
    int height, angle;
    double low, high, max_angle, max_state;
    bool inclusive;        // <= for these
    double noise;          // of a reset: uniform in position
    bool velocity_normal;  // then 0.1 normal, else uniform like the position
} Task;

#define MODEL(NAME) .file = "envs/mujoco/" #NAME ".xml", .xml = NAME##_xml, .xml_end = NAME##_xml_end

static const Task tasks[UF_MUJOCO_NUM_MODELS] = {
    [UF_MUJOCO_HOPPER] = {MODEL(hopper), .frame_skip = 4, .first_qpos = 1, .max_velocity = 10, .forward = 1,
                          .alive = 1, .action_cost = 1e-3, .height = 1, .low = 0.7, .high = (double)INFINITY,
                          .angle = 2, .max_angle = 0.2, .max_state = 100, .noise = 0.005},
    [UF_MUJOCO_HALFCHEETAH] = {MODEL(halfcheetah), .total_mass = 14, .frame_skip = 5, .first_qpos = 1,
                               .forward = 1, .action_cost = 0.1, .noise = 0.1, .velocity_normal = true},
    [UF_MUJOCO_WALKER2D] = {MODEL(walker2d), .frame_skip = 4, .first_qpos = 1, .max_velocity = 10,
                            .forward = 1, .alive = 1, .action_cost = 1e-3, .height = 1, .low = 0.8, .high = 2,
                            .angle = 2, .max_angle = 1, .noise = 0.005},
    [UF_MUJOCO_ANT] = {MODEL(ant), .frame_skip = 5, .first_qpos = 2, .forward = 1, .torso_speed = true,
                       .alive = 1, .action_cost = 0.5, .height = 2, .low = 0.2, .high = 1, .inclusive = true,
                       .noise = 0.1, .velocity_normal = true},
    [UF_MUJOCO_INVERTEDPENDULUM] = {MODEL(invertedpendulum), .frame_skip = 2, .alive = 1, .angle = 1,
                                    .max_angle = 0.2, .inclusive = true, .noise = 0.01},
};

typedef struct Simulation {  // an environment
    UfEnv base;
    const UfMujocoKind* kind;
    const Task* task;
    const mjModel* model;  // shared
    mjData* data;
} Simulation;

static const Simulation* simulation(const UfEnv* env) { return (const Simulation*)env; }

const mjModel* uf_mujoco_model(const UfEnv* env) { return simulation(env)->model; }
const mjData* uf_mujoco_data(const UfEnv* env) { return simulation(env)->data; }
int uf_mujoco_frame_skip(const UfEnv* env) { return simulation(env)->task->frame_skip; }

// ---- errors of the library ----

// MuJoCo reports errors to one function of the whole process, which must not return. Ours jumps back into the
// call of this thread that failed; what other users of MuJoCo do goes where it went before.
static _Thread_local jmp_buf* escape;
static _Thread_local char escape_message[256];
static void (*others_error)(const char*);
static void (*others_warning)(const char*);

static void on_error(const char* message) {
    if (escape) {
        snprintf(escape_message, sizeof escape_message, "%s", message);
        longjmp(*escape, 1);
    }
    if (others_error) others_error(message);
}

// MuJoCo's own would write a file into the working folder. Warnings are counted in mjData, where we look.
static void on_warning(const char* message) {
    if (!escape && others_warning) others_warning(message);
}

bool uf_mujoco_guarded(void (*call)(void* argument), void* argument) {
    jmp_buf here;
    volatile bool ok = false;
    escape = &here;
    if (setjmp(here) == 0) {
        call(argument);
        ok = true;
    }
    escape = NULL;
    return ok;
}

const char* uf_mujoco_message(void) { return escape_message; }

// ---- legacy masses ----

typedef struct Solid {
    double volume, inertia[3];  // of unit density, along the geom's own axes
} Solid;

// As MuJoCo computes it today. A sphere is a capsule without a middle.
static double exact_volume(const mjModel* m, int geom) {
    const mjtNum* size = m->geom_size + 3 * geom;
    double middle = m->geom_type[geom] == mjGEOM_CAPSULE ? 2 * size[1] : 0;
    return mjPI * size[0] * size[0] * (middle + 4 * size[0] / 3);
}

// A capsule was a cylinder longer than the middle by half a radius at either end. Spheres are as they are.
static Solid legacy_solid(const mjModel* m, int geom) {
    const mjtNum* size = m->geom_size + 3 * geom;
    double r2 = size[0] * size[0], length = 2 * size[1] + size[0];
    if (m->geom_type[geom] != mjGEOM_CAPSULE) {
        double volume = exact_volume(m, geom), inertia = 0.4 * volume * r2;
        return (Solid){volume, {inertia, inertia, inertia}};
    }
    double volume = mjPI * r2 * length, across = volume * (3 * r2 + length * length) / 12;
    return (Solid){volume, {across, across, volume * r2 / 2}};
}

// Gives the body the mass of its geoms by the old rule. Its density is what its exact mass says.
static void make_body_legacy(mjModel* m, int body) {
    int first = m->body_geomadr[body], end = first + m->body_geomnum[body];
    double exact = 0, mass = 0, centre[3] = {0}, inertia[9] = {0}, axes[9];
    for (int g = first; g < end; g++) exact += exact_volume(m, g);
    double density = m->body_mass[body] / exact;
    for (int g = first; g < end; g++) {
        double part = density * legacy_solid(m, g).volume;
        mass += part;
        mju_addToScl3(centre, m->geom_pos + 3 * g, part);
    }
    mju_scl3(centre, centre, 1 / mass);
    m->body_mass[body] = mass;
    if (end == first + 1) {  // where and how it lies does not change
        Solid solid = legacy_solid(m, first);
        mju_scl3(m->body_inertia + 3 * body, solid.inertia, density);
        return;
    }
    // parallel axes: R diag(I) R^T + m (|d|^2 - d d^T)
    for (int g = first; g < end; g++) {
        Solid solid = legacy_solid(m, g);
        double turn[9], d[3];
        mju_quat2Mat(turn, m->geom_quat + 4 * g);
        mju_sub3(d, m->geom_pos + 3 * g, centre);
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 3; k++) {
                for (int a = 0; a < 3; a++)
                    inertia[3 * i + k] += density * solid.inertia[a] * turn[3 * i + a] * turn[3 * k + a];
                inertia[3 * i + k] += density * solid.volume * ((i == k) * mju_dot3(d, d) - d[i] * d[k]);
            }
    }
    mju_eig3(m->body_inertia + 3 * body, axes, m->body_iquat + 4 * body, inertia);
    mju_copy3(m->body_ipos + 3 * body, centre);
    m->body_sameframe[body] = 0;  // none of these frames coincide any more
    for (int g = first; g < end; g++) m->geom_sameframe[g] = 0;
}

static void make_legacy(mjModel* m, double total_mass) {
    double sum = 0;
    for (int body = 1; body < m->nbody; body++) {
        make_body_legacy(m, body);
        sum += m->body_mass[body];
    }
    for (int body = 1; total_mass > 0 && body < m->nbody; body++) {
        m->body_mass[body] *= total_mass / sum;
        mju_scl3(m->body_inertia + 3 * body, m->body_inertia + 3 * body, total_mass / sum);
    }
}

// ---- models: loaded once, shared by all threads ----

typedef struct Loading {
    const Task* task;
    bool legacy;
    char* xml;
    mjVFS* files;
    mjModel* model;
    mjData* data;
    char message[512];
} Loading;

static void load(void* argument) {
    Loading* l = argument;
    size_t bytes = strlen(l->xml);
    mj_defaultVFS(l->files);
#if mjVERSION_HEADER < 300
    if (mj_makeEmptyFileVFS(l->files, "model.xml", (int)bytes) != 0) return;
    memcpy(l->files->filedata[mj_findFileVFS(l->files, "model.xml")], l->xml, bytes);
#else
    if (mj_addBufferVFS(l->files, "model.xml", l->xml, (int)bytes) != 0) return;
#endif
    l->model = mj_loadXML("model.xml", l->files, l->message, sizeof l->message);
    if (!l->model || !l->legacy) return;
    l->data = mj_makeData(l->model);
    make_legacy(l->model, l->task->total_mass);
    mj_setConst(l->model, l->data);  // what follows from masses
}

// more: MJCF for the end of the file.
static UfStatus load_model(mjModel** out, const UfEnvSpec* spec, bool legacy, const char* more) {
    static const char tail[] = "</mujoco>";
    const UfMujocoKind* kind = spec->details;
    Loading l = {.task = &tasks[kind->model], .legacy = legacy};
    UfText text = {0};
    *out = NULL;
    const char* end = strstr(l.task->xml, tail);
    uf_text_add(&text, "%.*s%s%s", (int)((end ? end : l.task->xml_end) - l.task->xml), l.task->xml, more,
                end ? tail : "");
    UF_TRY(uf_text_finish(&text, &l.xml));
    UfStatus status = UF_ALLOC(&l.files, 1, "MuJoCo's files");  // too large for a stack
    bool ok = status == UF_OK && uf_mujoco_guarded(load, &l);
    if (l.files) mj_deleteVFS(l.files);
    uf_free(l.files);
    uf_free(l.xml);
    UF_TRY(status);
    if (l.data) mj_deleteData(l.data);
    *out = l.model;
    if (ok && l.model) return UF_OK;
    if (l.model) mj_deleteModel(l.model);
    *out = NULL;
    for (char* c = l.message; (c = strpbrk(c, "\n"));) *c = c[1] ? ' ' : 0;  // one line
    return UF_FAIL(UF_ERR_FORMAT, "%s: MuJoCo %s does not load the model of %s: %s", l.task->file,
                   mj_versionString(), spec->name, ok ? l.message : escape_message);
}

UfStatus uf_mujoco_model_to_draw(mjModel** out, const UfEnvSpec* spec, const char* more) {
    return load_model(out, spec, false, more);
}

// The one piece of global state beside MuJoCo's own: who uses which model.
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    mjModel* model;
    int users;
} cache[UF_MUJOCO_NUM_MODELS][2];

static void take_handlers(void) {
    if (mju_user_error == on_error) return;
    others_error = mju_user_error;
    others_warning = mju_user_warning;
    mju_user_error = on_error;
    mju_user_warning = on_warning;
}

static UfStatus acquire_model(const mjModel** out, const UfEnvSpec* spec) {
    const UfMujocoKind* kind = spec->details;
    UfStatus status = UF_OK;
    pthread_mutex_lock(&cache_lock);
    take_handlers();
    mjModel** model = &cache[kind->model][kind->legacy].model;
    if (!*model) status = load_model(model, spec, kind->legacy, "");
    if (status == UF_OK) cache[kind->model][kind->legacy].users++;
    *out = *model;
    pthread_mutex_unlock(&cache_lock);
    return status;
}

static void release_model(const UfMujocoKind* kind) {
    pthread_mutex_lock(&cache_lock);
    if (--cache[kind->model][kind->legacy].users == 0) {
        mj_deleteModel(cache[kind->model][kind->legacy].model);
        cache[kind->model][kind->legacy].model = NULL;
    }
    pthread_mutex_unlock(&cache_lock);
}

// ---- the environment ----

static void make_data(void* argument) {
    Simulation* s = argument;
    s->data = mj_makeData(s->model);
}

static void simulation_free(UfEnv* env) {
    Simulation* s = (Simulation*)env;
    if (s->data) mj_deleteData(s->data);
    if (s->model) release_model(s->kind);
    uf_free(s);
}

static UfStatus create(UfEnv** out, const UfEnvSpec* spec) {
    Simulation* s;
    *out = NULL;
    UF_TRY(UF_ALLOC(&s, 1, spec->name));
    s->base.spec = spec;
    s->kind = spec->details;
    s->task = &tasks[s->kind->model];
    UfStatus status = acquire_model(&s->model, spec);
    if (status == UF_OK && (!uf_mujoco_guarded(make_data, s) || !s->data))
        status = UF_FAIL(UF_ERR_MEMORY, "out of memory: the simulation of %s", spec->name);
    if (status == UF_OK)
        *out = &s->base;
    else
        simulation_free(&s->base);
    return status;
}

static void forward(void* argument) {
    Simulation* s = argument;
    mj_forward(s->model, s->data);
}

static void step_frames(void* argument) {
    Simulation* s = argument;
    for (int i = 0; i < s->task->frame_skip; i++) mj_step(s->model, s->data);
}

// Where the library finds a number that is none, it warns and starts anew from the reset state.
static bool warned(const mjData* d) {
    static const int of[] = {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_BADCTRL};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
        if (d->warning[of[i]].number > 0) return true;
    return false;
}

void uf_mujoco_place(UfEnv* env, const double* qpos, const double* qvel, const double* torso_x) {
    Simulation* s = (Simulation*)env;
    mj_resetData(s->model, s->data);
    mju_copy(s->data->qpos, qpos, s->model->nq);
    mju_copy(s->data->qvel, qvel, s->model->nv);
    env->diverged = !uf_mujoco_guarded(forward, s);
    if (torso_x) s->data->xpos[3] = *torso_x;
}

static bool finite_state(const Simulation* s) {
    for (int i = 0; i < s->model->nq; i++)
        if (!isfinite(s->data->qpos[i])) return false;
    for (int i = 0; i < s->model->nv; i++)
        if (!isfinite(s->data->qvel[i])) return false;
    return true;
}

static bool healthy(const Simulation* s) {
    const Task* t = s->task;
    const mjtNum *qpos = s->data->qpos, *qvel = s->data->qvel;
    int nq = s->model->nq, nv = s->model->nv;
    for (int i = 2; t->max_state > 0 && i < nq + nv; i++)
        if (!(fabs(i < nq ? qpos[i] : qvel[i - nq]) < t->max_state)) return false;
    double z = qpos[t->height], angle = fabs(qpos[t->angle]);
    if (t->high > 0 && !(t->inclusive ? z >= t->low && z <= t->high : z > t->low && z < t->high))
        return false;
    return t->max_angle == 0 || (t->inclusive ? angle <= t->max_angle : angle < t->max_angle);
}

static double progress(const Simulation* s) {
    return s->task->torso_speed ? s->data->xpos[3] : s->data->qpos[0];
}

void uf_mujoco_step(UfEnv* env, const double* action, double* reward, bool* terminated) {
    Simulation* s = (Simulation*)env;
    const Task* t = s->task;
    double cost = 0, before = progress(s);
    *reward = 0;
    *terminated = true;
    if (env->diverged) return;
    for (int i = 0; i < s->model->nu; i++) {
        double low = s->model->actuator_ctrlrange[2 * i], high = s->model->actuator_ctrlrange[2 * i + 1];
        double clipped = action[i] < low ? low : action[i] > high ? high : action[i];
        s->data->ctrl[i] = clipped;
        cost += clipped * clipped;
    }
    env->diverged = !uf_mujoco_guarded(step_frames, s) || warned(s->data) || !finite_state(s);
    if (env->diverged) {  // something finite to look at
        mj_resetData(s->model, s->data);
        return;
    }
    double speed = (progress(s) - before) / (s->model->opt.timestep * t->frame_skip);
    *reward = t->forward * speed + t->alive - t->action_cost * cost;
    *terminated = t->alive > 0 && !healthy(s);
}

void uf_mujoco_observe(const UfEnv* env, double* obs) {
    const Simulation* s = simulation(env);
    double bound = s->task->max_velocity;
    int first = s->task->first_qpos, nq = s->model->nq;
    mju_copy(obs, s->data->qpos + first, nq - first);
    for (int i = 0; i < s->model->nv; i++) {
        double v = s->data->qvel[i];
        obs[nq - first + i] = bound > 0 ? fmax(-bound, fmin(bound, v)) : v;
    }
}

enum { MAX_OBS = 32, MAX_ACTIONS = 8, MAX_QPOS = 16 };

static void step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    double wide[MAX_ACTIONS];
    for (int i = 0; i < env->spec->action_dim; i++) wide[i] = action[i];
    uf_mujoco_step(env, wide, reward, terminated);
}

static void observe(const UfEnv* env, float* obs) {
    double wide[MAX_OBS];
    uf_mujoco_observe(env, wide);
    for (int i = 0; i < env->spec->obs_dim; i++) obs[i] = (float)wide[i];
}

static void reset(UfEnv* env, UfRandom* random) {
    const Simulation* s = simulation(env);
    double qpos[MAX_QPOS], qvel[MAX_QPOS], noise = s->task->noise;
    for (int i = 0; i < s->model->nq; i++)
        qpos[i] = s->model->qpos0[i] + uf_random_uniform(random, -noise, noise);
    for (int i = 0; i < s->model->nv; i++)
        qvel[i] = s->task->velocity_normal ? 0.1 * (double)uf_random_normal(random)
                                           : uf_random_uniform(random, -noise, noise);
    uf_mujoco_place(env, qpos, qvel, NULL);
}

// All that the next step depends on: position, velocity, where the solver begins, and the torso's lagging x.
static void get_state(const UfEnv* env, double* state) {
    const Simulation* s = simulation(env);
    int nq = s->model->nq, nv = s->model->nv;
    mju_copy(state, s->data->qpos, nq);
    mju_copy(state + nq, s->data->qvel, nv);
    mju_copy(state + nq + nv, s->data->qacc_warmstart, nv);
    state[nq + 2 * nv] = s->data->xpos[3];
}

static void set_state(UfEnv* env, const double* state) {
    const Simulation* s = simulation(env);
    int nq = s->model->nq, nv = s->model->nv;
    uf_mujoco_place(env, state, state + nq, state + nq + 2 * nv);
    mju_copy(s->data->qacc_warmstart, state + nq + nv, nv);
}

const UfEnvOps uf_mujoco_ops = {.create = create,
                                .reset = reset,
                                .step = step,
                                .observe = observe,
                                .get_state = get_state,
                                .set_state = set_state,
                                .free = simulation_free,
                                .draw = UF_DRAW(mujoco)};

#endif
