// kernels_td.c: rows of off-policy agents on the CPU: their replay, actions, targets, losses.
//
// A task is a member: a row has a few numbers, and the passes over networks between these ops are what costs.
// Rooms: replay, actions, targets, losses, table.
#include <string.h>

#include "kernels_cpu.h"

// ---- replay ----

typedef struct Store {
    const UfOffRing* ring;
    int64_t row;
    const real *obs, *action, *reward, *next_obs;
    const uint8_t* done;
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
        to[O + items + 1] = c->done[from] != 0;
        if (r->has_next) memcpy(to + O + items + 2, c->next_obs + from * O, O * sizeof(real));
    }
    r->fill[p] = c->row + r->N < r->capacity ? c->row + r->N : r->capacity;
}

static void off_store(UfBackend* backend, const UfOffRing* ring, UfCount row, const real* obs,
                      const real* action, const real* reward, const uint8_t* done, const real* next_obs) {
    Store c = {ring, row.now, obs, action, reward, next_obs, done};
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

// Of a squashed head: number i of a row before tanh, whose log-std the gradient passes or not. The library's tanh would take
// as long as half the products of a layer.
typedef struct Squashed {
    real s, noise, u;  // noise: exp(s) * eps
    bool passes;
} Squashed;

static Squashed squashed(const real* head, int A, int i, real eps) {
    Squashed r;
    r.s = uf_log_std(head[A + i], UF_SAC_LOG_STD_MIN, UF_SAC_LOG_STD_MAX, &r.passes);
    r.noise = exp(r.s) * eps;
    r.u = head[i] + r.noise;
    return r;
}

typedef struct Act {
    real* action;
    const UfOffHeads* heads;
    const UfOffAct* of;
} Act;

static int act_kind(const Act* c, int p, const real* head, real noise) {
    const UfOffHeads* h = c->heads;
    const real u = (noise + 1) / 2;
    if (h->kind == UF_OFF_GREEDY) {
        const int64_t step = c->of->step.now, fall = c->of->fall;
        const real epsilon = fall == INT64_MAX ? 1 : uf_epsilon(h->hyper[p].eps_end, step, fall);
        return uf_epsilon_greedy(head, h->A, epsilon, u);
    }
    real log_p[UF_MAX_KINDS];
    uf_log_softmax(log_p, head, h->A);
    return uf_categorical_pick(log_p, h->A, u);
}

// Number i of an action; at: its place among all members' numbers.
static real act_number(const Act* c, int p, const real* head, int i, size_t at) {
    const UfOffHeads* h = c->heads;
    const UfOffAct* of = c->of;
    real unused, action;
    if (of->uniform)
        action = uf_in_units(of->uniform[at], h->low, h->high);
    else
        action =
            uf_tanh_action(h->kind == UF_OFF_SQUASHED ? squashed(head, h->A, i, of->noise[at]).u : head[i],
                           h->low, h->high, &unused);
    if (of->explores)
        action = uf_clip(action + h->hyper[p].exploration_noise * of->noise[at], h->low, h->high);
    return uf_is_finite(action) ? action : uf_in_units(0, h->low, h->high);
}

static void act_task(void* context, int p, int thread) {
    const Act* c = context;
    const UfOffHeads* h = c->heads;
    (void)thread;
    for (int n = 0; n < h->R; n++) {
        const size_t row = (size_t)p * (size_t)h->R + (size_t)n;
        const real* head = h->head + row * (size_t)h->H;
        if (h->kind == UF_OFF_GREEDY || h->kind == UF_OFF_CATEGORICAL) {
            const int picked = act_kind(c, p, head, c->of->noise[row]);
            c->action[row] = (real)picked;
            if (c->of->kinds) c->of->kinds[row] = (uint8_t)picked;
            continue;
        }
        for (int i = 0; i < h->A; i++) {
            const size_t at = row * (size_t)h->A + (size_t)i;
            c->action[at] = act_number(c, p, head, i, at);
        }
    }
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
    const UfOffHyper* hyper = &h->hyper[p];
    const int A = h->A;
    (void)thread;
    for (int b = 0; b < h->R; b++) {
        const size_t row = (size_t)p * (size_t)h->R + (size_t)b, at = row * (size_t)A;
        const real* head = h->head + row * (size_t)h->H;
        real *a = c->x + row * (size_t)c->ld + (size_t)c->O, log_prob = 0;
        for (int i = 0; i < A; i++) {
            const real noise = c->noise ? c->noise[at + (size_t)i] : 0;
            real unused;
            if (h->kind == UF_OFF_TANH) {
                a[i] = uf_tanh_action(head[i], h->low, h->high, &unused);
                if (c->noise)
                    a[i] = uf_smoothed_within(a[i], hyper->target_noise, hyper->target_noise_clip, noise,
                                              h->low, h->high);
                continue;
            }
            const Squashed q = squashed(head, A, i, noise);
            a[i] = uf_tanh_action(q.u, h->low, h->high, &unused);
            log_prob += uf_squashed_log_prob(q.s, noise, q.u);
        }
        if (c->log_prob) c->log_prob[row] = log_prob;
    }
}

static void off_sample(UfBackend* backend, real* x, int O, int ld, real* log_prob, const UfOffHeads* heads,
                       const real* noise) {
    Sample c = {x, O, ld, log_prob, heads, noise};
    uf_cpu_run_tasks(backend, heads->P, 1, sample_task, &c);
}

// ---- targets ----

// q[k]: the smallest of N duelling critics, the first of which is at out and the others `stride` behind.
static void smallest_q(real* q, const real* out, int A, int N, size_t stride) {
    for (int n = 0; n < N; n++, out += stride) {
        const real base = uf_duel_base(out, A);
        for (int k = 0; k < A; k++) q[k] = n ? uf_min(base + out[k], q[k]) : base + out[k];
    }
}

typedef struct Target {
    real* y;
    const UfOffBatch* batch;
    const UfOffHeads* heads;
    const UfOffNext* next;
    int N;
    const real* log_alpha;
} Target;

static real next_value(const Target* c, int p, int b) {
    const UfOffHeads* h = c->heads;
    const int B = c->batch->B, A = h->A;
    const bool kinds = h->kind == UF_OFF_GREEDY || h->kind == UF_OFF_CATEGORICAL;
    const size_t row = (size_t)p * (size_t)B + (size_t)b, H = kinds ? (size_t)A + 1 : 1,
                 stride = (size_t)B * H;
    const real* q = c->next->q + ((size_t)p * (size_t)c->N * (size_t)B + (size_t)b) * H;
    const real alpha = c->log_alpha ? exp(c->log_alpha[p]) : 0;
    if (h->kind == UF_OFF_GREEDY) {
        const real* chooser = h->hyper[p].double_dqn ? c->next->chooser + row * H : q;
        return uf_duel_q(q, A, uf_best_kind(chooser, A));
    }
    if (h->kind == UF_OFF_CATEGORICAL) {
        real least[UF_MAX_KINDS];
        smallest_q(least, q, A, c->N, stride);
        return -uf_soft_loss(NULL, c->next->head + row * (size_t)A, least, A, alpha);
    }
    real least = q[0];
    for (int n = 1; n < c->N; n++) least = uf_min(q[(size_t)n * stride], least);
    return c->next->log_prob ? least - alpha * c->next->log_prob[row] : least;
}

static void target_task(void* context, int p, int thread) {
    const Target* c = context;
    const UfOffBatch* batch = c->batch;
    (void)thread;
    for (int b = 0; b < batch->B; b++) {
        const size_t row = (size_t)p * (size_t)batch->B + (size_t)b;
        c->y[row] = uf_step_value(batch->reward[row], batch->done[row], c->heads->hyper[p].gamma,
                                  next_value(c, p, b));
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
    const UfOffBatch* batch = c->batch;
    const int B = batch->B, A = c->kinds;
    const real *y = c->y + (size_t)p * (size_t)B, share = (real)1 / (real)B;
    (void)thread;
    for (int n = 0; n < c->N; n++) {
        const size_t first = ((size_t)p * (size_t)c->N + (size_t)n) * (size_t)B;
        for (int b = 0; b < B; b++) {
            real slope;
            if (!A) {
                uf_half_square(c->q[first + (size_t)b], y[b], &slope);
                c->dq[first + (size_t)b] = slope * share;
                continue;
            }
            const size_t at = (first + (size_t)b) * (size_t)(A + 1);
            const size_t row = (size_t)p * (size_t)B + (size_t)b;
            const int kind = (int)batch->x[row * (size_t)batch->ld + (size_t)batch->O];
            uf_half_square(uf_duel_q(c->q + at, A, kind), y[b], &slope);
            uf_duel_grad(c->dq + at, A, kind, slope * share);
        }
    }
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
    const size_t B = (size_t)c->B, first = (size_t)p * (size_t)c->N * B;
    const real* q = c->q + first;
    real *dq = c->dq + first, share = (real)-1 / (real)(c->smallest ? c->B : c->B * c->N);
    (void)thread;
    for (size_t b = 0; b < B; b++) {
        int least = 0;
        for (int n = 1; n < c->N; n++)  // a NaN wins and is found
            if (!(q[(size_t)n * B + b] >= q[(size_t)least * B + b])) least = n;
        for (int n = 0; n < c->N; n++) dq[(size_t)n * B + b] = c->smallest && n != least ? 0 : share;
    }
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

// Row b of a policy of kinds. Returns the mean log-probability.
static real kinds_row(const ActorLoss* c, int p, size_t b, real alpha, real share, real* dhead,
                      const real* head) {
    const int A = c->heads->A;
    const size_t R = (size_t)c->heads->R, H = (size_t)A + 1;
    real least[UF_MAX_KINDS];
    smallest_q(least, c->q + ((size_t)p * (size_t)c->N * R + b) * H, A, c->N, R * H);
    uf_soft_loss(dhead, head, least, A, alpha);
    for (int k = 0; k < A; k++) dhead[k] *= share;
    return uf_categorical(head, A).mean_log_prob;
}

// Row b of one of numbers.
static void numbers_row(const ActorLoss* c, int p, size_t b, real alpha, real share, real* dhead,
                        const real* head) {
    const UfOffHeads* h = c->heads;
    const int A = h->A;
    const size_t R = (size_t)h->R;
    const real* dqda = c->q + ((size_t)p * (size_t)c->N * R + b) * (size_t)A;
    for (int i = 0; i < A; i++) {
        real da = 0;
        for (int n = 0; n < c->N; n++) da += dqda[(size_t)n * R * (size_t)A + (size_t)i];
        if (h->kind == UF_OFF_TANH) {
            real slope;
            uf_tanh_action(head[i], h->low, h->high, &slope);
            dhead[i] = da * slope;
            continue;
        }
        const Squashed q = squashed(head, A, i, c->noise[((size_t)p * R + b) * (size_t)A + (size_t)i]);
        const UfHeadGrad g =
            uf_squashed_grad(uf_tanh(q.u), q.noise, da * uf_half_range(h->low, h->high), alpha * share);
        dhead[i] = g.dm;
        dhead[A + i] = q.passes ? g.ds : 0;
    }
}

static void actor_loss_task(void* context, int p, int thread) {
    const ActorLoss* c = context;
    const UfOffHeads* h = c->heads;
    const real alpha = c->log_alpha ? exp(c->log_alpha[p]) : 0, share = (real)1 / (real)h->R;
    double log_prob = 0;
    (void)thread;
    for (int b = 0; b < h->R; b++) {
        const size_t row = (size_t)p * (size_t)h->R + (size_t)b, at = row * (size_t)h->H;
        if (h->kind == UF_OFF_CATEGORICAL) {
            log_prob += (double)kinds_row(c, p, (size_t)b, alpha, share, c->dhead + at, h->head + at);
            continue;
        }
        numbers_row(c, p, (size_t)b, alpha, share, c->dhead + at, h->head + at);
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
