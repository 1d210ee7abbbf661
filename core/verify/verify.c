// verify.c: replays recordings and judges them. The kinds it knows are at the end.
//
// A file of kind unifloral-update records a configuration, initial parameters and, for each step, batch,
// noise and every parameter after it, computed in double precision. Measure, for each tensor and step:
//   |ours - expected| <= 1e-6 + 2e-3 * max |expected change|         the change being this step's own
// and for each recorded loss |ours - expected| <= 1e-5 + 2e-3 |expected|.
// A file of kind dynamics records steps of the world model's training likewise, only with the parameters after the
// last step, and predictions: |ours - expected| <= 1e-6 + 1e-5 * max |expected|.
// A file of kind ppo-update has groups, each an iteration of PPO: losses after each minibatch, parameters after the last,
// values, advantages and targets, which are to be within 1e-5. Those of a file of kind bc-inner are each a network cloned
// from data: losses before each step, parameters after the last.
// Tensor cores move each product by up to u = 2^-9 (tf32) or 2^-7 (bf16) of itself, so a float32 replay on them is judged
// by its gradients (Adam's first moment), which our double replay knows too, over each network and step:
//   rms(ours - double) <= e rms(double),   e = sqrt(D) u + sqrt(1.6 S u)
// A gradient comes through D products: there and back through the layers of the network, and an actor's through a critic
// as well. Their errors are independent and add up as squares do: sqrt(D) u. The same errors put units that are near 0
// on the other side of ReLU. Behind k products a normal number is off by sqrt(k) u of its size, so a share of 0.8 sqrt(k)
// u switches, and each takes its whole part of the gradient away or adds one, where half of the units have a part: the
// square of the error grows by 1.6 sqrt(k) u. S is the sum of sqrt(k) over the hidden layers passed. For 3 x 256 e is 0.12
// (critics) and 0.17 (actors) in tf32, 0.25 and 0.36 in bf16; our recordings show at most 0.04 and 0.16. That a gradient
// is too large or too small, which Adam's first step hides, shows here.
// Adam divides each element by its own size: where that is below e' of the gradient's, e' being what was measured and u
// at least, a step may have the other sign and be off by two. Were elements normal, that were 0.8 e' of them; layers
// differ in size, so small ones are more, and 2 e' is allowed for. Hence for parameters
//   rms(ours - expected) <= 1e-6 + sum over the steps so far of 2 sqrt(2 e') rms(expected change)
// where target networks have the e' of those they follow; and for each loss, a mean of terms of the size of 1 or its
// own that come through at most 16 products and may be squared, |ours - expected| <= 1e-5 + 2 sqrt(16) u (1 + |expected|).
// A file of kind ppo-update is judged likewise. There each network is by itself, D = 2 (L + 1), units of tanh do not switch
// (S = 0), parameters and moments are compared after the last step alone, so over all steps at once. Values come through
// L + 1 products, and an advantage is a sum of rewards and values whose weights are in all 2 at most (1 for the step's
// own, (1 - lambda) gamma^k lambda^(k - 1) for later ones), so values, advantages and targets have the bound of losses.
// The policy's gradient jumps where a row's ratio crosses a border of the clipping interval, as a unit does at 0. A
// log-probability of A outputs behind L + 1 products is off by sqrt(A (L + 1)) u. Log-ratios are densest at log(1 +- c)
// when their deviation is c: 0.48 / c for both borders, and a normal error is 0.8 of its deviation on average. Rows that
// cross are those whose action lies far from the mean, and so part of them is up to 2.5 times as large, in squares, as
// that of others. So the square of the error grows by 0.48 * 0.8 * 2.5 sqrt(A (L + 1)) u / c, about sqrt(A (L + 1)) u / c.
// Of 64 rows few cross, and what is seen depends on which: at most 0.16 of the 0.18 that tf32 is allowed, 0.05 of bf16's
// 0.36. The critic has the bound without this.
// Which small terms make up an update is what the fp32 replay on the same device shows, to the bounds above.
// Both are applied to two replays. In double precision to every element: the rule is right. In float32, which is
// what trains, likewise, but for what no float32 implementation can avoid. Where a gradient is smaller than its own
// rounding, Adam divides it by its own size and turns the rounding into a step of up to lr. So 1 % of the elements of a
// float32 tensor (one element, from ten on) may lie outside by no more than a step; the report then says how many.
// How much there is of that, and what later steps make of it, depends on the recording: gradients may be small sums of
// large numbers, and a unit that is near 0 may be on the other side. So where more is outside, it is measured: the double
// replay is repeated eight times with all numbers that go in moved by up to m of themselves, another part of it each
// time. What that does to a tensor, its spread, is what float32 may do as well: largest and rms error may be 4 spreads
// more than allowed. m is 2^-18, 64 roundings, so that units that may switch do so in some of the eight; of some
// 30 such recordings all were off by at most 1.9 spreads but one, a cloning by SGD that diverges, by 4.9, which is refused;
// of six of them the reference was replayed in float32, and was off by about as much.
// Parameters that are recorded in float32 need not be those that the recorder computed with: it may have had more
// digits. Then the same holds of the double replay with m = 2^-21, eight times what storing may do, so two spreads are
// enough there; where all is recorded in double precision nothing is excused.
#include "core/verify/verify.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/results/protocol.h"
#include "core/search/es.h"
#include "core/synth/synth.h"
#include "core/verify/grid_layouts.h"
#include "core/verify/grid_verify.h"
#include "core/verify/judge.h"
#include "core/verify/replay.h"
#include "core/verify/replay_rollout.h"

// ---- updates ----

enum { MAX_NETWORKS = 8 };  // of a file: actor, critic, ... or train, after, ...

// The worst tensor of one network.
typedef struct Worst {
    char network[32];
    UfReplayed single;
    double ratio, double_error, double_ratio;  // error / allowed: above 1 is a failure
    int64_t num_outside;
    bool failed;
    double single_spreads, double_spreads;  // the most; 0: nothing is outside, or they are not measured
} Worst;

static bool same_network(const UfReplayed* a, const UfReplayed* b) {
    const size_t length = strcspn(a->tensor, "/");
    return a->step == b->step && strcspn(b->tensor, "/") == length && !strncmp(a->tensor, b->tensor, length);
}

static bool starts_with(const char* text, const char* start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_loss(const UfReplayed* t) { return starts_with(t->tensor, "losses/"); }
// Values, advantages and targets of PPO.
static bool is_estimate(const UfReplay* replay, const UfReplayed* t) { return replay->is_ppo && !t->moment; }

// Of the errors and changes of a network at a step.
typedef struct NetworkRms {
    double error, change, gradient_error;  // the latter relative
} NetworkRms;

// step: of the tensors that are looked at, of the network of `of`. Target networks have no gradient; the name of one is
// that of what it follows, and "_target".
static NetworkRms network_rms(const UfReplay* replay, const UfReplay* exact, const UfReplayed* of, int step) {
    double errors = 0, changes = 0, count = 0, off = 0, gradients = 0;
    const size_t length = strcspn(of->tensor, "/"), target = strlen("_target");
    const size_t source =
        length > target && starts_with(of->tensor + length - target, "_target") ? length - target : length;
    for (int i = 0; i < replay->num_tensors; i++) {
        const UfReplayed *t = &replay->tensors[i], *d = &exact->tensors[i];
        const size_t own = strcspn(t->tensor, "/");
        if (t->step != step) continue;
        if (own == length && strncmp(t->tensor, of->tensor, length) == 0) {
            errors += (double)t->num_elements * t->rms_error * t->rms_error;
            changes += (double)t->num_elements * t->rms_change * t->rms_change;
            count += (double)t->num_elements;
        }
        if (own != source || strncmp(t->tensor, of->tensor, source) != 0 || !t->moment) continue;
        for (int64_t k = 0; k < t->num_elements; k++) {
            off += (t->moment[k] - d->moment[k]) * (t->moment[k] - d->moment[k]);
            gradients += d->moment[k] * d->moment[k];
        }
    }
    if (count == 0) return (NetworkRms){0, 0, 0};  // it is not recorded at this step
    // A network without a gradient has none on the device either.
    return (NetworkRms){sqrt(errors / count), sqrt(changes / count), off == 0 ? 0 : sqrt(off / gradients)};
}

// The e of a network's gradients.
static double gradient_bound(const UfReplay* replay, const char* network) {
    const bool through_both = starts_with(network, "actor") || starts_with(network, "log_alpha");
    double products = 2 * (replay->critic_layers + 1), switches = 0;
    if (replay->is_ppo) {  // each network by itself
        for (int k = 1; k <= replay->actor_layers && !replay->is_smooth; k++) switches += sqrt(k);
        const double outputs = starts_with(network, "critic") ? 0 : replay->action_dim,
                     crossing = sqrt(outputs * (replay->actor_layers + 1)) / replay->clip_eps;
        return sqrt(products) * replay->rounding + sqrt((1.6 * switches + crossing) * replay->rounding);
    }
    if (through_both) products += 2 * (replay->actor_layers + 1);
    for (int k = 1; k <= replay->critic_layers; k++) switches += sqrt(k);
    for (int k = 1; k <= replay->actor_layers && through_both; k++) switches += sqrt(k);
    return sqrt(products) * replay->rounding + sqrt(1.6 * switches * replay->rounding);
}

// What the rule for tensor cores looks at, in place of float32's: no element is excused.
static void judge_by_rms(UfReplay* replay, const UfReplay* exact) {
    const double u = replay->rounding;
    for (int i = 0; u > 0 && i < replay->num_tensors; i++) {
        UfReplayed* t = &replay->tensors[i];
        t->max_error = t->rms_error;
        t->allowed = 1e-5 + 2 * sqrt(16) * u * (1 + t->rms_change);
        if (!is_loss(t) && !is_estimate(replay, t)) {
            t->max_error = network_rms(replay, exact, t, t->step).error;
            t->allowed = 1e-6;
            for (int step = 0; step <= t->step; step++) {
                const NetworkRms rms = network_rms(replay, exact, t, step);
                t->allowed += 2 * sqrt(2 * fmax(rms.gradient_error, u)) * rms.change;
            }
        }
        t->num_outside = !(t->max_error <= t->allowed);
        t->max_change = -1;
    }
}

// A line for the worst gradient of each network that has one.
static void judge_gradients(const UfReplay* replay, const UfReplay* exact, UfText* report, bool* passed) {
    const UfReplayed *of = NULL, *t = replay->tensors;
    double worst = 0;
    for (int i = 0; replay->rounding > 0 && i < replay->num_tensors; i++) {
        const UfReplayed* first = &t[i];
        bool seen = !first->moment || (first->step > 0 && !replay->is_ppo);
        for (int k = 0; k < i && !seen; k++) seen = same_network(&t[k], first);
        if (seen) continue;
        of = first;
        worst = 0;
        for (int step = 0; step < replay->num_steps; step++)
            uf_keep_worst(&worst, network_rms(replay, exact, of, step).gradient_error);
        const double bound = gradient_bound(replay, of->tensor);
        const bool ok = worst <= bound;
        *passed &= ok;
        uf_text_add(report, "  %-14.*s %s  gradient off by %.1e of itself, allowed %.1e\n",
                    (int)strcspn(of->tensor, "/"), of->tensor, ok ? "PASS" : "FAIL", worst, bound);
    }
}

static bool few_outside(const UfReplayed* t) {
    return t->num_outside <= t->num_elements / 100 + (t->num_elements >= 10) &&
           t->max_error <= 1e-6 + 2 * t->max_change;
}

// A NaN passes no comparison.
static double ratio_of(const UfReplayed* t) {
    const double ratio = t->max_error / t->allowed;
    return isfinite(ratio) ? ratio : INFINITY;
}

static Worst* worst_of(Worst* worst, int* count, const char* tensor) {
    const size_t length = strcspn(tensor, "/");
    for (int i = 0; i < *count; i++)
        if (strncmp(worst[i].network, tensor, length) == 0 && worst[i].network[length] == 0) return &worst[i];
    Worst* w = &worst[(*count)++];
    *w = (Worst){.ratio = -1, .double_ratio = -1};
    snprintf(w->network, sizeof w->network, "%.*s", (int)length, tensor);
    return w;
}

// What becomes of a tensor where the numbers that go in are moved: the largest difference, and the root mean square of
// those of all elements and moved replays.
typedef struct Spread {
    double max, rms;
} Spread;

enum { NUM_MOVED = 8 };
static const double single_spreads = 4, storage_spreads = 2, single_move = 0x1p-18,
                    storage_move = 0x1p-21;  // see the top of this file

// A replay in double precision of what is judged.
typedef struct Exact {
    const char *path, *group;  // Nullable: group
    UfStatus (*replay)(const struct Exact* exact, UfMove move, UfReplay* out);
} Exact;

static UfStatus exact_update(const Exact* e, UfMove move, UfReplay* out) {
    return uf_replay_update_double(e->path, move, out);
}
static UfStatus exact_dynamics(const Exact* e, UfMove move, UfReplay* out) {
    return uf_replay_dynamics_double(e->path, move, out);
}
static UfStatus exact_ppo(const Exact* e, UfMove move, UfReplay* out) {
    return uf_replay_ppo_double(e->path, e->group, move, out);
}
static UfStatus exact_bc(const Exact* e, UfMove move, UfReplay* out) {
    return uf_replay_bc_double(e->path, e->group, move, out);
}

static void add_spread(Spread* spread, const UfReplayed* exact, const UfReplayed* moved) {
    double squares = 0;
    for (int64_t k = 0; exact->ours && k < exact->num_elements; k++) {
        const double difference = fabs(moved->ours[k] - exact->ours[k]);
        spread->max = fmax(spread->max, difference);
        squares += difference * difference;
    }
    spread->rms += squares / (double)exact->num_elements / NUM_MOVED;
}

// *spreads: of each tensor of `exact`; free with uf_free.
static UfStatus measure_spreads(const Exact* of, const UfReplay* exact, double by, Spread** spreads) {
    UF_TRY(UF_ALLOC(spreads, exact->num_tensors, "what rounding does to a recording"));
    for (int k = 1; k <= NUM_MOVED; k++) {
        UfReplay moved = {0};
        UF_TRY(of->replay(of, (UfMove){by, k}, &moved));
        for (int i = 0; i < exact->num_tensors; i++)
            add_spread(&(*spreads)[i], &exact->tensors[i], &moved.tensors[i]);
        uf_replay_free(&moved);
    }
    for (int i = 0; i < exact->num_tensors; i++) (*spreads)[i].rms = sqrt((*spreads)[i].rms);
    // A loss is one number a step, which moves little where it happens to: the largest of all its steps.
    for (int i = 0; i < exact->num_tensors; i++)
        for (int k = 0; k < exact->num_tensors && exact->tensors[i].num_elements == 1; k++) {
            if (strcmp(exact->tensors[i].tensor, exact->tensors[k].tensor) != 0) continue;
            (*spreads)[i].max = fmax((*spreads)[i].max, (*spreads)[k].max);
            (*spreads)[i].rms = fmax((*spreads)[i].rms, (*spreads)[k].rms);
        }
    return UF_OK;
}

// How many times its spread a tensor is outside of what is allowed without.
static double spreads_of(const UfReplayed* t, const Spread* spread) {
    return fmax((t->max_error - t->allowed) / spread->max, (t->rms_error - t->allowed) / spread->rms);
}

static bool within_spread(const UfReplayed* t, const Spread* spread, double most) {
    return isfinite(t->max_error) && t->max_error <= t->allowed + most * spread->max &&
           t->rms_error <= t->allowed + most * spread->rms;
}

// Whether a tensor is outside of what holds without spreads.
static bool is_outside(const UfReplayed* single) { return single->num_outside && !few_outside(single); }

// Nullable: spreads
static bool single_passes(const UfReplay* replay, int i, const Spread* spreads) {
    const UfReplayed* t = &replay->tensors[i];
    return !is_outside(t) || (spreads && within_spread(t, &spreads[i], single_spreads));
}
static bool double_passes(const UfReplay* replay, int i, const Spread* spreads) {
    const UfReplayed* t = &replay->tensors[i];
    return ratio_of(t) <= 1 || (spreads && within_spread(t, &spreads[i], storage_spreads));
}

typedef bool Passes(const UfReplay* replay, int i, const Spread* spreads);

// Spreads where a tensor does not pass without, else NULL.
static UfStatus spreads_for(const UfReplay* replay, Passes* passes, double by, const Exact* of,
                            const UfReplay* exact, Spread** spreads) {
    *spreads = NULL;
    for (int i = 0; i < replay->num_tensors; i++)
        if (!passes(replay, i, NULL)) return measure_spreads(of, exact, by, spreads);
    return UF_OK;
}

// Of each tensor.   Nullable: where they are not needed or do not count
typedef struct Spreads {
    Spread *single, *exact;
} Spreads;

static void judge_update(const UfReplay* single, const UfReplay* exact, const Spreads* spreads,
                         UfText* report, bool* passed) {
    Worst worst[MAX_NETWORKS];
    int count = 0;
    for (int i = 0; i < single->num_tensors; i++) {
        const UfReplayed *s = &single->tensors[i], *d = &exact->tensors[i];
        Worst* w = worst_of(worst, &count, s->tensor);
        if (ratio_of(s) > w->ratio) {
            w->ratio = ratio_of(s);
            w->single = *s;
        }
        if (ratio_of(d) > w->double_ratio) {
            w->double_ratio = ratio_of(d);
            w->double_error = d->max_error;
        }
        w->num_outside += s->num_outside;
        w->failed |= !single_passes(single, i, spreads->single) || !double_passes(exact, i, spreads->exact);
        if (spreads->single && is_outside(s))
            uf_keep_worst(&w->single_spreads, spreads_of(s, &spreads->single[i]));
        if (spreads->exact && ratio_of(d) > 1)
            uf_keep_worst(&w->double_spreads, spreads_of(d, &spreads->exact[i]));
    }
    *passed = true;
    for (int i = 0; i < count; i++) {
        const Worst* w = &worst[i];
        const bool ok = !w->failed;
        *passed &= ok;
        uf_text_add(report, "  %-14s %s  float32 %.1e, double %.1e, allowed %.1e  (%s, step %d)", w->network,
                    ok ? "PASS" : "FAIL", w->single.max_error, w->double_error, w->single.allowed,
                    w->single.tensor, w->single.step);
        if (w->num_outside)
            uf_text_add(report, "; %lld elements outside in float32", (long long)w->num_outside);
        if (w->single_spreads > 0) uf_text_add(report, ", by %.2g spreads", w->single_spreads);
        if (w->double_spreads > 0) uf_text_add(report, "; by %.2g spreads in double", w->double_spreads);
        uf_text_add(report, "\n");
    }
    uf_text_add(report, "  %d step%s replayed\n", single->num_steps, single->num_steps == 1 ? "" : "s");
}

static UfStatus judge_replays(UfStatus status, UfReplay* single, UfReplay* exact, const Exact* of,
                              UfText* report, bool* passed) {
    Spreads spreads = {NULL, NULL};
    if (status == UF_OK) judge_by_rms(single, exact);
    if (status == UF_OK && single->rounding == 0)
        status = spreads_for(single, single_passes, single_move, of, exact, &spreads.single);
    if (status == UF_OK && exact->single_inputs)
        status = spreads_for(exact, double_passes, storage_move, of, exact, &spreads.exact);
    if (status == UF_OK) {
        judge_update(single, exact, &spreads, report, passed);
        judge_gradients(single, exact, report, passed);
    }
    uf_free(spreads.single);
    uf_free(spreads.exact);
    uf_replay_free(single);
    uf_replay_free(exact);
    return status;
}

static UfStatus verify_update(const char* path, const char* exact_path, const char* device,
                              const char* precision, UfText* report, bool* passed) {
    UfReplay single = {0}, exact = {0};
    UfStatus status = uf_replay_update(path, device, precision, &single);
    const Exact of = {exact_path, NULL, exact_update};
    if (status == UF_OK) status = of.replay(&of, (UfMove){0, 0}, &exact);
    if (status == UF_OK && single.num_tensors != exact.num_tensors)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: its update and that of %s have other terms", path, exact_path);
    return judge_replays(status, &single, &exact, &of, report, passed);
}

UfStatus uf_verify_apart(const char* path, const char* exact_path, const char* device, const char* precision,
                         char** report, bool* passed) {
    UfText text = {0};
    UfStatus status = verify_update(path, exact_path, device, precision, &text, passed);
    if (status != UF_OK) text.status = status;
    return uf_text_finish(&text, report);
}

// What tensor cores may cost a recording of kind dynamics. A gradient comes through 10 products (5 layers there and back,
// no LayerNorm), so it is off by up to 10 u of its size; Adam divides each element by its own: where that is below, about
// a share of 10 u of the elements, a step may have the other sign and be off by two. Over all steps at once, since only
// the last is compared: rms(ours - expected) <= 1e-6 + 2 sqrt(10 u) rms(expected change). A layer that cuts its operands
// makes its outputs smaller by up to u, and a prediction has gone through 5: rms(ours - expected) <= 1e-6 + 5 u
// rms(expected). Twice that for squares: the errors, and with 1 for its size the loss. Elites may be others, if by the
// recorded errors these are as good within that.
static void judge_model_by_rms(UfReplay* replay) {
    const double u = replay->rounding;
    for (int i = 0; u > 0 && i < replay->num_tensors; i++) {
        UfReplayed* t = &replay->tensors[i];
        double change = t->rms_change;
        t->max_error = t->rms_error;
        if (strncmp(t->tensor, "after/", 6) == 0) {
            const NetworkRms rms = network_rms(replay, replay, t, t->step);
            t->max_error = rms.error;
            change = rms.change;
            t->allowed = 1e-6 + 2 * sqrt(10 * u) * change;
        } else if (strncmp(t->tensor, "train/", 6) == 0) {
            t->allowed = 1e-5 + 10 * u * (1 + change);
        } else {
            const bool is_output =
                strcmp(t->tensor, "predict/mean") == 0 || strcmp(t->tensor, "predict/logvar") == 0;
            t->allowed = 1e-6 + (is_output ? 5 : 10) * u * change;
        }
        t->num_outside = !(t->max_error <= t->allowed);
        t->max_change = -1;  // nothing is excused
    }
}

static UfStatus verify_model_training(const char* path, const char* device, const char* precision,
                                      UfText* report, bool* passed) {
    UfReplay single = {0}, exact = {0};
    UfStatus status = uf_replay_dynamics(path, device, precision, &single);
    if (status == UF_OK) judge_model_by_rms(&single);
    const Exact of = {path, NULL, exact_dynamics};
    if (status == UF_OK) status = of.replay(&of, (UfMove){0, 0}, &exact);
    return judge_replays(status, &single, &exact, &of, report, passed);
}

// ---- groups ----

typedef UfStatus ReplayGroup(const char* path, const char* group, const char* device, const char* precision,
                             UfReplay* out);

// A kind whose groups are each replayed by themselves.
typedef struct GroupKind {
    ReplayGroup* single;
    UfStatus (*exact)(const Exact* of, UfMove move, UfReplay* out);
    const char* what;  // a group is
} GroupKind;
static const GroupKind ppo_groups = {uf_replay_ppo, exact_ppo, "recorded update"},
                       bc_groups = {uf_replay_bc, exact_bc, "recorded cloning"};

static UfStatus verify_group(const char* path, const char* group, const GroupKind* kind, const char* device,
                             const char* precision, UfText* report, bool* passed) {
    UfReplay single = {0}, exact = {0};
    bool ok = false;
    UfStatus status = kind->single(path, group, device, precision, &single);
    const Exact of = {path, group, kind->exact};
    if (status == UF_OK) status = of.replay(&of, (UfMove){0, 0}, &exact);
    uf_text_add(report, "  %s\n", group);
    UF_TRY(judge_replays(status, &single, &exact, &of, report, &ok));
    *passed &= ok;
    return UF_OK;
}

// Every group of the file is one.
static UfStatus verify_groups(const char* path, const GroupKind* kind, const char* device,
                              const char* precision, UfText* report, bool* passed) {
    UfH5 h5;
    char** names = NULL;
    int count = 0;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_h5_list(&h5, "/", &names, &count);
    uf_h5_close(&h5);
    UF_TRY(status);
    *passed = count > 0;
    if (!count) status = UF_FAIL(UF_ERR_FORMAT, "%s: no %s; expected a group each", path, kind->what);
    for (int i = 0; i < count && status == UF_OK; i++)
        status = verify_group(path, names[i], kind, device, precision, report, passed);
    uf_h5_list_free(names, count);
    return status;
}

// ---- world model ----

// Relative to the largest number there; for float32 the rounding of sums over a layer's width, a few layers deep.
// Tensor cores: 5 u more, as for predictions.
static const double rollout_limit_double = 1e-12, rollout_limit_float = 1e-5;

static void judge_rollout(const UfReplayRollout* single, const UfReplayRollout* exact, UfText* report,
                          bool* passed) {
    const struct {
        const char* name;
        const UfReplayedNumbers *single, *exact;
    } parts[] = {{"next_obs", &single->next_obs, &exact->next_obs},
                 {"reward", &single->reward, &exact->reward},
                 {"disagreement", &single->disagreement, &exact->disagreement}};
    const double limit = rollout_limit_float + 5 * single->rounding;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const double scale = 1 + parts[i].exact->max_value, in_float = parts[i].single->max_error / scale,
                     in_double = parts[i].exact->max_error / scale;
        const bool ok = in_double <= rollout_limit_double && in_float <= limit;
        *passed &= ok;
        uf_text_add(report,
                    "  %-14s %s  float32 %.1e, double %.1e of its size, allowed %.0e, %.0e  (rollout)\n",
                    parts[i].name, ok ? "PASS" : "FAIL", in_float, in_double, limit, rollout_limit_double);
    }
    // A float32 state may fall on the other side of a bound that it misses by its rounding.
    const bool done_ok = exact->num_wrong_done == 0 && single->num_wrong_done <= single->num_rows / 100;
    *passed &= done_ok;
    uf_text_add(report, "  %-14s %s  %lld of %lld wrong in double, %lld in float32  (rollout)\n", "done",
                done_ok ? "PASS" : "FAIL", (long long)exact->num_wrong_done, (long long)exact->num_rows,
                (long long)single->num_wrong_done);
}

static UfStatus verify_rollout(const char* path, const char* device, const char* precision, UfText* report,
                               bool* passed) {
    UfReplayRollout single, exact;
    UF_TRY(uf_replay_rollout(path, device, precision, &single));
    UF_TRY(uf_replay_rollout_double(path, &exact));
    judge_rollout(&single, &exact, report, passed);
    return UF_OK;
}

// ---- bandit ----

// Curves from bandit/returns over as many trials of our own as the recorded ones come from, with other random numbers:
//   |ours - recorded| <= 6 sqrt(se_ours^2 + se_recorded^2) + 1e-6 |recorded|       at every pull
// Two curves of 200 pulls are 400 comparisons; a right program is outside in one of them with probability below
// 400 * 2 Phi(-6) = 8e-7, and the seed is fixed. The last term is the rounding of sums in float32.
enum { BANDIT_TRIALS = 20000, MAX_BANDIT_PULLS = 100000 };
static const double bandit_limit = 6;

static UfStatus read_curve(const UfH5* h5, const char* what, int K, int num_pulls, double** out) {
    char name[64];
    snprintf(name, sizeof name, "bandit/%s_%d", what, K);
    UF_TRY(UF_ALLOC(out, num_pulls, name));
    return uf_h5_read(h5, name, UF_H5_DOUBLE, *out, num_pulls);
}

static void judge_curve(const UfBanditCurve* ours, const double* mean, const double* error, UfText* report,
                        bool* passed) {
    double worst = 0;
    int where = 0;
    for (int i = 0; i < ours->num_pulls; i++) {
        const double spread = sqrt(ours->error[i] * ours->error[i] + error[i] * error[i]),
                     allowed = bandit_limit * spread + 1e-6 * fabs(mean[i]),
                     ratio = fabs(ours->mean[i] - mean[i]) / allowed;
        if (!(ratio <= worst)) where = i;
        uf_keep_worst(&worst, ratio);
    }
    const bool ok = worst <= 1;
    *passed &= ok;
    uf_text_add(
        report,
        "  %-14s %s  %.1f standard errors from the recorded mean of %d arms, allowed %.0f  (pull %d of %d, "
        "%d trials)\n",
        "bandit", ok ? "PASS" : "FAIL", bandit_limit * worst, ours->subsample, bandit_limit, where + 1,
        ours->num_pulls, BANDIT_TRIALS);
}

static UfStatus replay_curve(const UfH5* h5, const UfScores* scores, int K, int num_pulls, double ucb_alpha,
                             UfText* report, bool* passed) {
    UfProtocolOptions options = uf_protocol_defaults();
    UfBanditCurve ours = {0};
    UfPool* pool = NULL;
    double *mean = NULL, *error = NULL;
    options.subsample = K;
    options.max_pulls = num_pulls;
    options.ucb_alpha = ucb_alpha;
    options.num_trials = BANDIT_TRIALS;
    options.num_bootstraps = 0;
    UfStatus status = read_curve(h5, "mean", K, num_pulls, &mean);
    if (status == UF_OK) status = read_curve(h5, "stderr", K, num_pulls, &error);
    if (status == UF_OK) status = uf_pool_create(&pool, 0);
    if (status == UF_OK) status = uf_bandit_curve(&ours, scores, &options, pool);
    if (status == UF_OK) judge_curve(&ours, mean, error, report, passed);
    uf_bandit_curve_free(&ours);
    uf_pool_free(pool);
    uf_free(mean);
    uf_free(error);
    return status;
}

// Of the configuration, where it says one.
static UfStatus read_ucb_alpha(const UfH5* h5, double* ucb_alpha) {
    char* text = NULL;
    UF_TRY(uf_h5_read_string(h5, "/", "config", &text));
    cJSON* root = cJSON_Parse(text);
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(root, "ucb_alpha");
    UfStatus status = UF_OK;
    *ucb_alpha = item ? item->valuedouble : uf_protocol_defaults().ucb_alpha;
    if (item && (!cJSON_IsNumber(item) || !(*ucb_alpha >= 0)))
        status = UF_FAIL(UF_ERR_FORMAT, "%s: config: ucb_alpha is no number of at least 0", h5->path);
    cJSON_Delete(root);
    uf_free(text);
    return status;
}

// Every pair mean_K, stderr_K of the group.
static UfStatus replay_curves(const UfH5* h5, const UfScores* scores, int num_pulls, UfText* report,
                              bool* passed) {
    double ucb_alpha;
    UF_TRY(read_ucb_alpha(h5, &ucb_alpha));
    char** names;
    int count, num_curves = 0;
    UfStatus status = uf_h5_list(h5, "bandit", &names, &count);
    if (status != UF_OK) return status;
    for (int i = 0; i < count && status == UF_OK; i++) {
        int K = 0, length = 0;
        if (sscanf(names[i], "mean_%6d%n", &K, &length) != 1 || names[i][length]) continue;
        if (K < 1 || K > scores->num_policies)
            status = UF_FAIL(UF_ERR_FORMAT, "%s: 'bandit/%s' of %d policies", h5->path, names[i],
                             scores->num_policies);
        else
            status = replay_curve(h5, scores, K, num_pulls, ucb_alpha, report, passed);
        num_curves++;
    }
    uf_h5_list_free(names, count);
    if (status == UF_OK && !num_curves)
        return UF_FAIL(UF_ERR_FORMAT, "%s: 'bandit' has no curve mean_K", h5->path);
    return status;
}

static UfStatus verify_bandit(const UfH5* h5, UfText* report, bool* passed) {
    UfH5Shape returns, pulls;
    double* values = NULL;
    UF_TRY(uf_h5_shape(h5, "bandit/returns", &returns));
    UF_TRY(uf_h5_shape(h5, "bandit/pulls", &pulls));
    if (returns.rank != 2 || returns.count < 1 || returns.count > INT32_MAX || pulls.count < 1 ||
        pulls.count > MAX_BANDIT_PULLS)
        return UF_FAIL(UF_ERR_FORMAT, "%s: 'bandit' wants returns (policies, rollouts) and 1 to %d pulls",
                       h5->path, MAX_BANDIT_PULLS);
    UF_TRY(UF_ALLOC(&values, returns.count, "recorded returns"));
    const UfScores scores = {"recorded", "bandit", (int)returns.dims[0], (int)returns.dims[1], values, true};
    UfStatus status = uf_h5_read(h5, "bandit/returns", UF_H5_DOUBLE, values, returns.count);
    if (status == UF_OK) status = replay_curves(h5, &scores, (int)pulls.count, report, passed);
    uf_free(values);
    return status;
}

static UfStatus verify_dynamics(const char* path, const char* device, const char* precision, UfText* report,
                                bool* passed) {
    UfH5 h5;
    UF_TRY(verify_model_training(path, device, precision, report, passed));
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status =
        uf_h5_exists(&h5, "rollout") ? verify_rollout(path, device, precision, report, passed) : UF_OK;
    if (status == UF_OK && uf_h5_exists(&h5, "bandit")) status = verify_bandit(&h5, report, passed);
    uf_h5_close(&h5);
    return status;
}

// ---- dispatch ----

static UfStatus read_kind(const char* path, char* kind, size_t bytes) {
    UfH5 h5;
    char* text = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_h5_has_attribute(&h5, "/", "kind")
                          ? uf_h5_read_string(&h5, "/", "kind", &text)
                          : UF_FAIL(UF_ERR_FORMAT, "%s: no attribute 'kind'; this is not a recording", path);
    if (status == UF_OK) snprintf(kind, bytes, "%s", text);
    uf_free(text);
    uf_h5_close(&h5);
    return status;
}

static UfStatus verify_file(const char* path, const char* device, const char* precision, char** report,
                            bool* passed) {
    char kind[64];
    UfText text = {0};
    *report = NULL;
    *passed = false;
    UF_TRY(read_kind(path, kind, sizeof kind));
    if (strcmp(device, "cpu") != 0 && strcmp(kind, "unifloral-update") != 0 &&
        strcmp(kind, "dynamics") != 0 && strcmp(kind, "minigrid-traces") != 0 &&
        strcmp(kind, "ppo-update") != 0 && strcmp(kind, "bc-inner") != 0)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "%s: recordings of kind '%.40s' are replayed on the CPU; set device to cpu", path,
                       kind);
    // kinds with a file of their own
    static const struct {
        const char* kind;
        UfStatus (*verify)(const char* path, char** lines, bool* passed);
    } others[] = {{"classic-traces", uf_verify_classic_traces},
                  {"mujoco-traces", uf_verify_mujoco_traces},
                  {"minatar-traces", uf_verify_minatar_traces},
                  {"minigrid-layouts", nx_verify_layouts},
                  {"es-steps", uf_verify_es_steps},
                  {"synthenv", uf_verify_synthenv}};
    size_t other = 0;
    while (other < sizeof others / sizeof others[0] && strcmp(kind, others[other].kind) != 0) other++;
    if (other < sizeof others / sizeof others[0]) {
        char* lines = NULL;
        UF_TRY(others[other].verify(path, &lines, passed));
        uf_text_add(&text, "%s", lines);
        uf_free(lines);
    } else if (strcmp(kind, "minigrid-traces") == 0) {
        char* lines = NULL;
        UF_TRY(nx_verify_traces(path, device, &lines, passed));
        uf_text_add(&text, "%s", lines);
        uf_free(lines);
    } else if (strcmp(kind, "unifloral-update") == 0 || strcmp(kind, "dynamics") == 0 ||
               strcmp(kind, "ppo-update") == 0 || strcmp(kind, "bc-inner") == 0) {
        UfStatus status = kind[0] == 'u'   ? verify_update(path, path, device, precision, &text, passed)
                          : kind[0] == 'd' ? verify_dynamics(path, device, precision, &text, passed)
                                           : verify_groups(path, kind[0] == 'p' ? &ppo_groups : &bc_groups,
                                                           device, precision, &text, passed);
        if (status != UF_OK) {
            char* partial = NULL;
            if (uf_text_finish(&text, &partial) == UF_OK) uf_free(partial);
            return status;
        }
    } else {
        return UF_FAIL(
            UF_ERR_UNSUPPORTED,
            "%s: recordings of kind '%.40s' belong to a part that this version does not have; expected "
            "unifloral-update, dynamics, ppo-update, bc-inner, es-steps, synthenv, classic-traces, "
            "minatar-traces, "
            "mujoco-traces, minigrid-traces or minigrid-layouts",
            path, kind);
    }
    uf_text_add(&text, "%s %s (%s)\n", *passed ? "PASS" : "FAIL", path, kind);
    return uf_text_finish(&text, report);
}

// What was checked before an error came up is no verdict.
UfStatus uf_verify_on(const char* path, const char* device, const char* precision, char** report,
                      bool* passed) {
    const UfStatus status = verify_file(path, device, precision, report, passed);
    *passed = *passed && status == UF_OK;
    return status;
}

UfStatus uf_verify(const char* path, char** report, bool* passed) {
    return uf_verify_on(path, "cpu", NULL, report, passed);
}
