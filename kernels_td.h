// kernels_td.h: a row of the ops of off-policy agents, for C and CUDA: kernels_td.c and kernels_td.cu, which hand rows out.
//
// Rooms: replay, actions, targets, losses.
#ifndef UF_KERNELS_TD_H
#define UF_KERNELS_TD_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- replay ----

// 1 where environment `at` ended its episode.   Nullable: truncated
static inline UF_HD real uf_off_ended(const uint8_t* terminated, const uint8_t* truncated, size_t at) {
    return terminated[at] || (truncated && truncated[at]);
}

// ---- actions ----

// Of a squashed head: number i of a row before tanh, whose log-std the gradient passes or not. The library's tanh would take
// as long as half the products of a layer.
typedef struct UfSquashed {
    real s, noise, u;  // noise: exp(s) * eps
    bool passes;
} UfSquashed;

static inline UF_HD UfSquashed uf_off_squashed(const real* head, int A, int i, real eps) {
    UfSquashed r;
    r.s = uf_log_std(head[A + i], UF_SAC_LOG_STD_MIN, UF_SAC_LOG_STD_MAX, &r.passes);
    r.noise = exp(r.s) * eps;
    r.u = head[i] + r.noise;
    return r;
}

static inline UF_HD bool uf_off_kinds(const UfOffHeads* h) {
    return h->kind == UF_OFF_GREEDY || h->kind == UF_OFF_CATEGORICAL;
}

// step: of->step as it has come to.
static inline UF_HD int uf_off_act_kind(const UfOffHeads* h, const UfOffAct* of, int64_t step, int p,
                                        const real* head, real noise) {
    const real u = (noise + 1) / 2;
    if (h->kind == UF_OFF_GREEDY) {
        const real epsilon = of->fall == INT64_MAX ? 1 : uf_epsilon(h->hyper[p].eps_end, step, of->fall);
        return uf_epsilon_greedy(head, h->A, epsilon, u);
    }
    real log_p[UF_MAX_KINDS];
    uf_log_softmax(log_p, head, h->A);
    return uf_categorical_pick(log_p, h->A, u);
}

// Number i of an action; at: its place among all members' numbers.
static inline UF_HD real uf_off_act_number(const UfOffHeads* h, const UfOffAct* of, int p, const real* head,
                                           int i, size_t at) {
    real unused, action;
    if (of->uniform)
        action = uf_in_units(of->uniform[at], h->low, h->high);
    else
        action = uf_tanh_action(
            h->kind == UF_OFF_SQUASHED ? uf_off_squashed(head, h->A, i, of->noise[at]).u : head[i], h->low,
            h->high, &unused);
    if (of->explores)
        action = uf_clip(action + h->hyper[p].exploration_noise * of->noise[at], h->low, h->high);
    return uf_is_finite(action) ? action : uf_in_units(0, h->low, h->high);
}

// Row n of member p.
static inline UF_HD void uf_off_act_row(real* action, const UfOffHeads* h, const UfOffAct* of, int64_t step,
                                        int p, int n) {
    const size_t row = (size_t)p * (size_t)h->R + (size_t)n;
    const real* head = h->head + row * (size_t)h->H;
    if (uf_off_kinds(h)) {
        const int picked = uf_off_act_kind(h, of, step, p, head, of->noise[row]);
        action[row] = (real)picked;
        if (of->kinds) of->kinds[row] = (uint8_t)picked;
        return;
    }
    for (int i = 0; i < h->A; i++) {
        const size_t at = row * (size_t)h->A + (size_t)i;
        action[at] = uf_off_act_number(h, of, p, head, i, at);
    }
}

// An action into a (A), and its log-probability where it is squashed. noise (A).   Nullable: noise
static inline UF_HD real uf_off_sample_row(real* a, const UfOffHeads* h, int p, const real* head,
                                           const real* noise) {
    const UfOffHyper* hyper = &h->hyper[p];
    real log_prob = 0, unused;
    for (int i = 0; i < h->A; i++) {
        if (h->kind == UF_OFF_TANH) {
            a[i] = uf_tanh_action(head[i], h->low, h->high, &unused);
            if (noise)
                a[i] = uf_smoothed_within(a[i], hyper->target_noise, hyper->target_noise_clip, noise[i],
                                          h->low, h->high);
            continue;
        }
        const UfSquashed q = uf_off_squashed(head, h->A, i, noise ? noise[i] : 0);
        a[i] = uf_tanh_action(q.u, h->low, h->high, &unused);
        log_prob += uf_squashed_log_prob(q.s, noise ? noise[i] : 0, q.u);
    }
    return log_prob;
}

// ---- targets ----

// q[k]: the smallest of N duelling critics, the first of which is at out and the others `stride` behind.
static inline UF_HD void uf_off_smallest_q(real* q, const real* out, int A, int N, size_t stride) {
    for (int n = 0; n < N; n++, out += stride) {
        const real base = uf_duel_base(out, A);
        for (int k = 0; k < A; k++) q[k] = n ? uf_min(base + out[k], q[k]) : base + out[k];
    }
}

// The value of the state after row b of member p.
static inline UF_HD real uf_off_next_value(const UfOffHeads* h, const UfOffNext* next, int B, int N,
                                           const real* log_alpha, int p, int b) {
    const int A = h->A;
    const size_t row = (size_t)p * (size_t)B + (size_t)b, H = uf_off_kinds(h) ? (size_t)A + 1 : 1,
                 stride = (size_t)B * H;
    const real* q = next->q + ((size_t)p * (size_t)N * (size_t)B + (size_t)b) * H;
    const real alpha = log_alpha ? exp(log_alpha[p]) : 0;
    if (h->kind == UF_OFF_GREEDY) {
        const real* chooser = h->hyper[p].double_dqn ? next->chooser + row * H : q;
        return uf_duel_q(q, A, uf_best_kind(chooser, A));
    }
    if (h->kind == UF_OFF_CATEGORICAL) {
        real least[UF_MAX_KINDS];
        uf_off_smallest_q(least, q, A, N, stride);
        return -uf_soft_loss(NULL, next->head + row * (size_t)A, least, A, alpha);
    }
    real least = q[0];
    for (int n = 1; n < N; n++) least = uf_min(q[(size_t)n * stride], least);
    return next->log_prob ? least - alpha * next->log_prob[row] : least;
}

// ---- losses ----

// Critic n of member p at row b.
static inline UF_HD void uf_off_critic_row(real* dq, const real* q, const real* y, const UfOffBatch* batch,
                                           int N, int A, int p, int n, int b) {
    const size_t at = ((size_t)p * (size_t)N + (size_t)n) * (size_t)batch->B + (size_t)b,
                 row = (size_t)p * (size_t)batch->B + (size_t)b;
    const real share = (real)1 / (real)batch->B;
    real slope;
    if (!A) {
        uf_half_square(q[at], y[row], &slope);
        dq[at] = slope * share;
        return;
    }
    const int kind = (int)batch->x[row * (size_t)batch->ld + (size_t)batch->O];
    uf_half_square(uf_duel_q(q + at * (size_t)(A + 1), A, kind), y[row], &slope);
    uf_duel_grad(dq + at * (size_t)(A + 1), A, kind, slope * share);
}

// Row b of a member: q and dq (N, B) its.
static inline UF_HD void uf_off_actor_q_row(real* dq, const real* q, bool smallest, int N, int B, int b) {
    const real share = (real)-1 / (real)(smallest ? B : B * N);
    int least = 0;
    for (int n = 1; n < N; n++)  // a NaN wins and is found
        if (!(q[(size_t)n * (size_t)B + (size_t)b] >= q[(size_t)least * (size_t)B + (size_t)b])) least = n;
    for (int n = 0; n < N; n++) dq[(size_t)n * (size_t)B + (size_t)b] = smallest && n != least ? 0 : share;
}

// Row b of a policy of kinds. Returns its mean log-probability.
static inline UF_HD real uf_off_actor_kinds(real* dhead, const UfOffHeads* h, const real* q, int N,
                                            real alpha, int p, int b) {
    const int A = h->A;
    const size_t R = (size_t)h->R, H = (size_t)A + 1;
    const real *head = h->head + ((size_t)p * R + (size_t)b) * (size_t)A, share = (real)1 / (real)h->R;
    real least[UF_MAX_KINDS];
    uf_off_smallest_q(least, q + ((size_t)p * (size_t)N * R + (size_t)b) * H, A, N, R * H);
    uf_soft_loss(dhead, head, least, A, alpha);
    for (int k = 0; k < A; k++) dhead[k] *= share;
    return uf_categorical(head, A).mean_log_prob;
}

// Row b of one of numbers. noise: of squashed heads.
static inline UF_HD void uf_off_actor_numbers(real* dhead, const UfOffHeads* h, const real* q, int N,
                                              const real* noise, real alpha, int p, int b) {
    const int A = h->A;
    const size_t R = (size_t)h->R, row = (size_t)p * R + (size_t)b;
    const real *head = h->head + row * (size_t)h->H, share = (real)1 / (real)h->R;
    const real* dqda = q + ((size_t)p * (size_t)N * R + (size_t)b) * (size_t)A;
    for (int i = 0; i < A; i++) {
        real da = 0;
        for (int n = 0; n < N; n++) da += dqda[(size_t)n * R * (size_t)A + (size_t)i];
        if (h->kind == UF_OFF_TANH) {
            real slope;
            uf_tanh_action(head[i], h->low, h->high, &slope);
            dhead[i] = da * slope;
            continue;
        }
        const UfSquashed s = uf_off_squashed(head, A, i, noise[row * (size_t)A + (size_t)i]);
        const UfHeadGrad g =
            uf_squashed_grad(uf_tanh(s.u), s.noise, da * uf_half_range(h->low, h->high), alpha * share);
        dhead[i] = g.dm;
        dhead[A + i] = s.passes ? g.ds : 0;
    }
}

#ifdef __cplusplus
}
#endif

#endif
