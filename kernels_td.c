// kernels_td.c: rows of off-policy agents on the CPU: their replay, actions, targets, losses.
//
// A row is kernels_td.h. A task is a member: a row has a few numbers, and the passes over networks between these ops are what costs.
// Rooms: replay, actions, targets, losses, table.
#include <string.h>

#include "kernels_cpu.h"
#include "kernels_td.h"

// ---- replay ----

typedef struct Store {
    const UfOffRing* ring;
    int64_t row;
    real* obs;
    const real *action, *reward, *next_obs;
    const uint8_t *terminated, *truncated;
} Store;

static void store_task(void* context, int p, int thread) {
    const Store* c = context;
    const UfOffRing* r = c->ring;
    const size_t O = (size_t)r->O, items = (size_t)r->items;
    (void)thread;
    for (int n = 0; n < r->N; n++) {
        const size_t from = (size_t)p * (size_t)r->N + (size_t)n;
        const int64_t place = p * r->capacity + (c->row + n) % r->capacity;
        real* to = r->records + (size_t)place * (size_t)r->stride;
        memcpy(to, c->obs + from * O, O * sizeof(real));
        memcpy(to + O, c->action + from * items, items * sizeof(real));
        to[O + items] = c->reward[from];
        to[O + items + 1] = uf_off_ended(c->terminated, c->truncated, from);
        if (r->has_next) memcpy(to + O + items + 2, c->next_obs + from * O, O * sizeof(real));
        if (c->next_obs) memcpy(c->obs + from * O, c->next_obs + from * O, O * sizeof(real));
    }
    r->fill[p] = c->row + r->N < r->capacity ? c->row + r->N : r->capacity;
}

static void off_store(UfBackend* backend, const UfOffRing* ring, UfCount row, real* obs, const real* action,
                      const real* reward, const uint8_t* terminated, const uint8_t* truncated,
                      const real* next_obs) {
    Store c = {ring, row.now, obs, action, reward, next_obs, terminated, truncated};
    uf_cpu_run_tasks(backend, ring->P, 1, store_task, &c);
}

typedef struct Gather {
    const UfOffBatch* batch;
    const UfOffRing* ring;
    const int64_t* index;
} Gather;

// A call of memcpy costs more than the few numbers.
INLINE void copy(real* restrict to, const real* restrict from, int count) {
    for (int i = 0; i < count; i++) to[i] = from[i];
}

static void gather_task(void* context, int p, int thread) {
    const Gather* c = context;
    const UfOffBatch* b = c->batch;
    const UfOffRing* r = c->ring;
    const int O = b->O, ld = b->ld;
    const real* records = r->records + (size_t)(p * r->capacity) * (size_t)r->stride;
    (void)thread;
    for (int i = 0; i < b->B; i++) {
        const size_t row = (size_t)p * (size_t)b->B + (size_t)i, at = row * (size_t)ld;
        const real* from = records + (size_t)c->index[row] * (size_t)r->stride;
        copy(b->x + at, from, ld);
        if (b->x_pi) copy(b->x_pi + at, from, O);
        b->reward[row] = from[ld];
        b->done[row] = from[ld + 1] != 0;
        if (b->x_next) copy(b->x_next + at, from + ld + 2, O);
    }
}

static void off_gather(UfBackend* backend, const UfOffBatch* batch, const UfOffRing* ring,
                       const int64_t* index) {
    Gather c = {batch, ring, index};
    uf_cpu_run_tasks(backend, batch->P, 1, gather_task, &c);
}

// ---- actions ----

typedef struct Act {
    real* action;
    const UfOffHeads* heads;
    const UfOffAct* of;
} Act;

static void act_task(void* context, int p, int thread) {
    const Act* c = context;
    (void)thread;
    for (int n = 0; n < c->heads->R; n++) uf_off_act_row(c->action, c->heads, c->of, c->of->step.now, p, n);
}

static void off_act(UfBackend* backend, real* action, const UfOffHeads* heads, const UfOffAct* of) {
    Act c = {action, heads, of};
    uf_cpu_run_tasks(backend, heads->P, 1, act_task, &c);
}

typedef struct Sample {
    real* x;
    int O, ld;
    real* log_prob;
    const UfOffHeads* heads;
    const real* noise;
} Sample;

static void sample_task(void* context, int p, int thread) {
    const Sample* c = context;
    const UfOffHeads* h = c->heads;
    (void)thread;
    for (int b = 0; b < h->R; b++) {
        const size_t row = (size_t)p * (size_t)h->R + (size_t)b;
        const real* noise = c->noise ? c->noise + row * (size_t)h->A : NULL;
        const real log_prob = uf_off_sample_row(c->x + row * (size_t)c->ld + (size_t)c->O, h, p,
                                                h->head + row * (size_t)h->H, noise);
        if (c->log_prob) c->log_prob[row] = log_prob;
    }
}

static void off_sample(UfBackend* backend, real* x, int O, int ld, real* log_prob, const UfOffHeads* heads,
                       const real* noise) {
    Sample c = {x, O, ld, log_prob, heads, noise};
    uf_cpu_run_tasks(backend, heads->P, 1, sample_task, &c);
}

// ---- targets ----

typedef struct Target {
    real* y;
    const UfOffBatch* batch;
    const UfOffHeads* heads;
    const UfOffNext* next;
    int N;
    const real* log_alpha;
} Target;

static void target_task(void* context, int p, int thread) {
    const Target* c = context;
    const UfOffBatch* batch = c->batch;
    (void)thread;
    for (int b = 0; b < batch->B; b++) {
        const size_t row = (size_t)p * (size_t)batch->B + (size_t)b;
        c->y[row] = uf_step_value(batch->reward[row], batch->done[row], c->heads->hyper[p].gamma,
                                  uf_off_next_value(c->heads, c->next, batch->B, c->N, c->log_alpha, p, b));
    }
}

static void off_target(UfBackend* backend, real* y, const UfOffBatch* batch, const UfOffHeads* heads,
                       const UfOffNext* next, int N, const real* log_alpha) {
    Target c = {y, batch, heads, next, N, log_alpha};
    uf_cpu_run_tasks(backend, batch->P, 1, target_task, &c);
}

// ---- losses ----

typedef struct CriticLoss {
    real* dq;
    const real *q, *y;
    const UfOffBatch* batch;
    int N, kinds;
} CriticLoss;

static void critic_loss_task(void* context, int p, int thread) {
    const CriticLoss* c = context;
    (void)thread;
    for (int n = 0; n < c->N; n++)
        for (int b = 0; b < c->batch->B; b++)
            uf_off_critic_row(c->dq, c->q, c->y, c->batch, c->N, c->kinds, p, n, b);
}

static void off_critic_loss(UfBackend* backend, real* dq, const real* q, const real* y,
                            const UfOffBatch* batch, int N, int kinds) {
    CriticLoss c = {dq, q, y, batch, N, kinds};
    uf_cpu_run_tasks(backend, batch->P, 1, critic_loss_task, &c);
}

typedef struct ActorQ {
    real* dq;
    const real* q;
    bool smallest;
    int N, B;
} ActorQ;

static void actor_q_task(void* context, int p, int thread) {
    const ActorQ* c = context;
    const size_t first = (size_t)p * (size_t)c->N * (size_t)c->B;
    (void)thread;
    for (int b = 0; b < c->B; b++)
        uf_off_actor_q_row(c->dq + first, c->q + first, c->smallest, c->N, c->B, b);
}

static void off_actor_q(UfBackend* backend, real* dq, const real* q, bool smallest, int P, int N, int B) {
    ActorQ c = {dq, q, smallest, N, B};
    uf_cpu_run_tasks(backend, P, 1, actor_q_task, &c);
}

typedef struct ActorLoss {
    real *dhead, *dlog_alpha;
    const UfOffHeads* heads;
    const real* q;
    int N;
    const real *noise, *log_prob, *log_alpha;
} ActorLoss;

static void actor_loss_task(void* context, int p, int thread) {
    const ActorLoss* c = context;
    const UfOffHeads* h = c->heads;
    const real alpha = c->log_alpha ? exp(c->log_alpha[p]) : 0;
    double log_prob = 0;
    (void)thread;
    for (int b = 0; b < h->R; b++) {
        const size_t row = (size_t)p * (size_t)h->R + (size_t)b;
        real* dhead = c->dhead + row * (size_t)h->H;
        if (h->kind == UF_OFF_CATEGORICAL) {
            log_prob += (double)uf_off_actor_kinds(dhead, h, c->q, c->N, alpha, p, b);
            continue;
        }
        uf_off_actor_numbers(dhead, h, c->q, c->N, c->noise, alpha, p, b);
        if (c->log_prob) log_prob += (double)c->log_prob[row];
    }
    if (c->dlog_alpha)
        c->dlog_alpha[p] = uf_entropy_coef_grad((real)(log_prob / h->R), h->hyper[p].target_entropy);
}

static void off_actor_loss(UfBackend* backend, real* dhead, real* dlog_alpha, const UfOffHeads* heads,
                           const real* q_or_dqda, int N, const real* noise, const real* log_prob,
                           const real* log_alpha) {
    ActorLoss c = {dhead, dlog_alpha, heads, q_or_dqda, N, noise, log_prob, log_alpha};
    uf_cpu_run_tasks(backend, heads->P, 1, actor_loss_task, &c);
}

// ---- table ----

void uf_cpu_off_policy(UfBackend* backend) {
    backend->off_store = off_store;
    backend->off_gather = off_gather;
    backend->off_act = off_act;
    backend->off_sample = off_sample;
    backend->off_target = off_target;
    backend->off_critic_loss = off_critic_loss;
    backend->off_actor_q = off_actor_q;
    backend->off_actor_loss = off_actor_loss;
}
