// envs_apart.c: see envs_apart.h.
//
// Rooms: memory, environments on the host, both.
#include "core/agents/envs_apart.h"

// ---- memory ----

static size_t action_bytes(const UfApart* a) { return a->space.discrete ? 1 : sizeof(real); }
static size_t obs_bytes(const UfApart* a) { return a->space.bytes ? 1 : sizeof(real); }
static size_t num_envs(const UfApart* a) { return (size_t)a->P * (size_t)a->N; }
static size_t num_items(const UfApart* a) { return num_envs(a) * (size_t)a->items; }
static size_t num_obs(const UfApart* a) { return num_envs(a) * (size_t)a->space.obs_dim; }

static const char what[] = "what environments and a device exchange";

static UfStatus reserve_there(UfApart* a, UfReserved* r) {
    const size_t envs = num_envs(a);
    UF_TRY(uf_reserve(r, &a->there.action, num_items(a), action_bytes(a), what));
    UF_TRY(uf_reserve(r, &a->there.obs, num_obs(a), obs_bytes(a), what));
    UF_TRY(UF_RESERVE(r, a->there.reward, envs, what));
    UF_TRY(UF_RESERVE(r, a->there.terminated, envs, what));
    return UF_RESERVE(r, a->there.truncated, envs, what);
}

UfStatus uf_apart_create(UfApart* a, UfReserved* reserved, const UfTrainSpace* space, int P, int N) {
    *a = (UfApart){.backend = reserved->backend,
                   .space = *space,
                   .P = P,
                   .N = N,
                   .items = space->discrete ? 1 : space->action_dim};
    UF_TRY(reserve_there(a, reserved));
    UF_TRY(uf_alloc(&a->here.action, num_items(a), action_bytes(a), what));
    UF_TRY(uf_alloc(&a->here.obs, num_obs(a), obs_bytes(a), what));
    UF_TRY(UF_ALLOC(&a->here.reward, num_envs(a), what));
    UF_TRY(UF_ALLOC(&a->here.terminated, num_envs(a), what));
    if (space->discrete) UF_TRY(UF_ALLOC(&a->host_action, num_items(a), what));
    return UF_ALLOC(&a->outcomes, P, what);
}

void uf_apart_free(UfApart* a) {
    uf_free(a->here.action);
    uf_free(a->here.obs);
    uf_free(a->here.reward);
    uf_free(a->here.terminated);
    uf_free(a->host_action);
    uf_free(a->outcomes);
}

// ---- environments on the host ----

// Member p's part.
static char* obs_here(const UfApart* a, int p) {
    return (char*)a->here.obs + (size_t)p * (size_t)a->N * (size_t)a->space.obs_dim * obs_bytes(a);
}

static const real* actions_here(const UfApart* a, int p) {
    const size_t count = (size_t)a->N * (size_t)a->items, first = (size_t)p * count;
    if (!a->space.discrete) return (const real*)a->here.action + first;
    const uint8_t* kinds = (const uint8_t*)a->here.action + first;
    for (size_t i = 0; i < count; i++) a->host_action[first + i] = kinds[i];
    return a->host_action + first;
}

static void send_obs(UfApart* a, void* obs) {
    a->backend->upload(a->backend, obs, a->here.obs, num_obs(a) * obs_bytes(a));
}

typedef struct Here {
    UfApart* apart;
    UfTrainEnvs* envs;
} Here;

static void step_task(void* context, int p, int thread) {
    const Here* h = context;
    UfApart* a = h->apart;
    const size_t first = (size_t)p * (size_t)a->N;
    (void)thread;
    uf_keep_outcome(&a->outcomes[p], h->envs->ops->step(h->envs, p, actions_here(a, p), obs_here(a, p),
                                                        a->here.reward + first, a->here.terminated + first));
}

// One copy down and three up for all members.
static UfStatus step_here(UfApart* a, UfTrainEnvs* envs) {
    UfBackend* be = a->backend;
    be->download(be, a->here.action, a->there.action, num_items(a) * action_bytes(a));
    UF_TRY(be->sync(be));
    uf_pool_run(be->pool, a->P, step_task, &(Here){a, envs});
    UF_TRY(uf_tell_outcomes(a->outcomes, a->P));
    send_obs(a, a->there.obs);
    be->upload(be, a->there.reward, a->here.reward, num_envs(a) * sizeof(real));
    be->upload(be, a->there.terminated, a->here.terminated, num_envs(a));
    return UF_OK;
}

// ---- both ----

UfStatus uf_apart_meet(UfApart* a, UfTrainEnvs* envs, bool* changed) {
    *changed = a->moved != envs;
    if (!*changed) return UF_OK;
    a->moved = NULL;
    if (!envs->moves) return UF_OK;
    UF_TRY(envs->ops->move(envs, a->backend));
    a->moved = envs;
    return UF_OK;
}

UfStatus uf_apart_reset(UfApart* a, UfTrainEnvs* envs, void* obs) {
    if (a->moved) return envs->ops->reset_all(envs, obs);
    for (int p = 0; p < a->P; p++) UF_TRY(envs->ops->reset(envs, p, obs_here(a, p)));
    send_obs(a, obs);
    return UF_OK;
}

UfStatus uf_apart_step(UfApart* a, UfTrainEnvs* envs) {
    const UfExchange* x = &a->there;
    if (!a->moved) return step_here(a, envs);
    return envs->ops->step_all(envs, x->action, x->obs, x->reward, x->terminated, x->truncated);
}
