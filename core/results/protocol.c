// protocol.c: bandit curves and aggregates of matrices of scores.
//
// A curve is num_trials simulated searches, each a function of (seed, trial) alone. Its interval resamples whole
// trials: one set of draws serves every pull, so that a replicate is the sum of trial curves, each so many times.
// The aggregates are one row of statistics for every replicate of the policies; the row with each policy once is
// the estimate itself.
//
// Rooms: checks, one trial, intervals, curve, statistics, API.
#include "core/results/protocol.h"

#include <math.h>
#include <stdlib.h>  // qsort
#include <string.h>

#include "core/philox.h"

enum { TRIALS_A_TASK = 16, REPLICATES_A_TASK = 8 };

// ---- checks ----

UfProtocolOptions uf_protocol_defaults(void) {
    return (UfProtocolOptions){.subsample = 8,
                               .max_pulls = 200,
                               .num_trials = 1000,
                               .num_bootstraps = 2000,
                               .ucb_alpha = 2,
                               .confidence = 0.95};
}

static UfStatus check_options(const UfProtocolOptions* o) {
    const struct {
        const char* name;
        int value, low;
    } counts[] = {{"subsample", o->subsample, 1},
                  {"max_pulls", o->max_pulls, 1},
                  {"num_trials", o->num_trials, 2},
                  {"num_bootstraps", o->num_bootstraps, 0}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value < counts[i].low)
            return UF_FAIL(UF_ERR_ARGUMENT, "%s is %d, expected at least %d", counts[i].name, counts[i].value,
                           counts[i].low);
    if (!(o->ucb_alpha >= 0) || !isfinite(o->ucb_alpha))
        return UF_FAIL(UF_ERR_ARGUMENT, "ucb_alpha is %g, expected a number of at least 0", o->ucb_alpha);
    if (!(o->confidence > 0 && o->confidence < 1))
        return UF_FAIL(UF_ERR_ARGUMENT, "confidence is %g, expected a number between 0 and 1", o->confidence);
    return UF_OK;
}

static UfStatus check_scores(const UfScores* s) {
    if (s->num_policies < 1 || s->num_rollouts < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s, %s: %d policies of %d rollouts; there is nothing to draw from",
                       s->dataset, s->algorithm, s->num_policies, s->num_rollouts);
    for (int p = 0; p < s->num_policies; p++)
        for (int r = 0; r < s->num_rollouts; r++)
            if (!isfinite(s->values[(size_t)p * (size_t)s->num_rollouts + (size_t)r]))
                return UF_FAIL(UF_ERR_NONFINITE,
                               "%s, %s: rollout %d of policy %d is not a number; leave that policy out",
                               s->dataset, s->algorithm, r, p);
    return UF_OK;
}

static UfStatus policy_means(const UfScores* s, double** means) {
    UF_TRY(UF_ALLOC(means, s->num_policies, "means of policies"));
    for (int p = 0; p < s->num_policies; p++) {
        const double* row = &s->values[(size_t)p * (size_t)s->num_rollouts];
        double sum = 0;
        for (int r = 0; r < s->num_rollouts; r++) sum += row[r];
        (*means)[p] = sum / s->num_rollouts;
    }
    return UF_OK;
}

// ---- one trial ----

// What one thread works on. An arm is one of the K policies of a trial.
typedef struct Arms {
    int* order;     // (num_policies) of which the first K are the arms
    int* pulls;     // (K)
    double* sum;    // (K)
    double* mean;   // (K) of what was pulled, 0 before
    double* width;  // (K) 1 / sqrt(pulls + 1e-9)
    int* tied;      // (K)
} Arms;

typedef struct Trials {
    const UfScores* scores;
    const double* true_means;  // (num_policies)
    const double* scale;       // (T) sqrt(alpha ln t)
    int K, T, num_trials;
    uint64_t seed;
    Arms* arms;      // (threads)
    double* values;  // (num_trials, T): true mean of the choice after each pull
} Trials;

static int below(UfRandom* random, int count) {
    return (int)(((uint64_t)uf_random_u32(random) * (uint32_t)count) >> 32);
}

static void draw_arms(const Trials* t, Arms* arms, UfRandom* random) {
    const int P = t->scores->num_policies;
    for (int p = 0; p < P; p++) arms->order[p] = p;
    for (int k = 0; k < t->K; k++) {
        const int other = k + below(random, P - k), chosen = arms->order[other];
        arms->order[other] = arms->order[k];
        arms->order[k] = chosen;
        arms->pulls[k] = 0;
        arms->sum[k] = arms->mean[k] = 0;
        arms->width[k] = 1 / sqrt(1e-9);
    }
}

static int choose_arm(const Arms* arms, int K, double scale, UfRandom* random) {
    double top = -INFINITY;
    int num_tied = 0;
    for (int k = 0; k < K; k++) {
        const double index = arms->mean[k] + scale * arms->width[k];
        if (index > top) {
            top = index;
            num_tied = 0;
        }
        if (index == top) arms->tied[num_tied++] = k;
    }
    return arms->tied[num_tied > 1 ? below(random, num_tied) : 0];
}

static void run_trial(const Trials* t, Arms* arms, int trial) {
    const UfScores* s = t->scores;
    UfRandom random = uf_random(t->seed, UF_STREAM_BANDIT, (uint64_t)trial);
    double* values = &t->values[(size_t)trial * (size_t)t->T];
    draw_arms(t, arms, &random);
    for (int i = 0; i < t->T; i++) {
        const int k = choose_arm(arms, t->K, t->scale[i], &random);
        const size_t row = (size_t)arms->order[k] * (size_t)s->num_rollouts;
        arms->sum[k] += s->values[row + (size_t)below(&random, s->num_rollouts)];
        arms->pulls[k]++;
        arms->mean[k] = arms->sum[k] / arms->pulls[k];
        arms->width[k] = 1 / sqrt(arms->pulls[k] + 1e-9);
        int best = 0;
        for (int a = 1; a < t->K; a++)
            if (arms->mean[a] > arms->mean[best]) best = a;
        values[i] = t->true_means[arms->order[best]];
    }
}

static void trials_task(void* context, int task, int thread) {
    const Trials* t = context;
    const int first = task * TRIALS_A_TASK;
    for (int trial = first; trial < first + TRIALS_A_TASK && trial < t->num_trials; trial++)
        run_trial(t, &t->arms[thread], trial);
}

static void free_arms(Trials* t, int threads) {
    for (int i = 0; t->arms && i < threads; i++) {
        Arms* a = &t->arms[i];
        uf_free(a->order);
        uf_free(a->pulls);
        uf_free(a->sum);
        uf_free(a->mean);
        uf_free(a->width);
        uf_free(a->tied);
    }
    uf_free(t->arms);
}

static UfStatus make_arms(Trials* t, int threads) {
    UF_TRY(UF_ALLOC(&t->arms, threads, "arms"));
    for (int i = 0; i < threads; i++) {
        Arms* a = &t->arms[i];
        UF_TRY(UF_ALLOC(&a->order, t->scores->num_policies, "arms"));
        UF_TRY(UF_ALLOC(&a->pulls, t->K, "arms"));
        UF_TRY(UF_ALLOC(&a->sum, t->K, "arms"));
        UF_TRY(UF_ALLOC(&a->mean, t->K, "arms"));
        UF_TRY(UF_ALLOC(&a->width, t->K, "arms"));
        UF_TRY(UF_ALLOC(&a->tied, t->K, "arms"));
    }
    return UF_OK;
}

// Runs all trials into t->values.
static UfStatus run_trials(Trials* t, double ucb_alpha, UfPool* pool) {
    double *scale = NULL, *means = NULL;
    const int threads = uf_pool_num_threads(pool);
    UfStatus status = UF_ALLOC(&scale, t->T, "exploration");
    if (status == UF_OK) status = policy_means(t->scores, &means);
    if (status == UF_OK) status = make_arms(t, threads);
    if (status == UF_OK) {
        for (int i = 0; i < t->T; i++) scale[i] = sqrt(ucb_alpha * log(i + 1));
        t->scale = scale;
        t->true_means = means;
        uf_pool_run(pool, (t->num_trials + TRIALS_A_TASK - 1) / TRIALS_A_TASK, trials_task, t);
    }
    free_arms(t, threads);
    uf_free(means);
    uf_free(scale);
    return status;
}

// ---- intervals ----

// Replicates (num_replicates, num_columns) -> limits of each column.
typedef struct Limits {
    const double* replicates;
    double *low, *high;  // (num_columns)
    double* scratch;     // (threads, num_replicates)
    double confidence;
    int num_replicates, num_columns;
} Limits;

static void limits_task(void* context, int column, int thread) {
    const Limits* l = context;
    double* x = &l->scratch[(size_t)thread * (size_t)l->num_replicates];
    bool finite = l->num_replicates > 0;
    for (int i = 0; i < l->num_replicates; i++) {
        x[i] = l->replicates[(size_t)i * (size_t)l->num_columns + (size_t)column];
        finite = finite && isfinite(x[i]);
    }
    l->low[column] = l->high[column] = NAN;
    if (!finite) return;
    uf_sort(x, l->num_replicates);
    l->low[column] = uf_quantile(x, l->num_replicates, (1 - l->confidence) / 2);
    l->high[column] = uf_quantile(x, l->num_replicates, (1 + l->confidence) / 2);
}

static UfStatus take_limits(Limits* l, UfPool* pool) {
    const size_t count = (size_t)(l->num_replicates > 0 ? l->num_replicates : 1);
    UF_TRY(UF_ALLOC(&l->scratch, count * (size_t)uf_pool_num_threads(pool), "a column of replicates"));
    uf_pool_run(pool, l->num_columns, limits_task, l);
    uf_free(l->scratch);
    return UF_OK;
}

// Some replicates of the mean over trials, together so that a trial's curve is read once for all of them.
typedef struct Resampling {
    const double* values;  // (num_trials, T)
    double* replicates;    // (num_bootstraps, T)
    int* counts;           // (threads, num_trials, REPLICATES_A_TASK)
    int num_trials, T, num_bootstraps;
    uint64_t seed;
} Resampling;

static void resample_task(void* context, int task, int thread) {
    const Resampling* r = context;
    const int first = task * REPLICATES_A_TASK, left = r->num_bootstraps - first,
              count = left < REPLICATES_A_TASK ? left : REPLICATES_A_TASK;
    const size_t num_counts = (size_t)r->num_trials * REPLICATES_A_TASK, T = (size_t)r->T;
    int* counts = &r->counts[(size_t)thread * num_counts];
    memset(counts, 0, num_counts * sizeof *counts);
    for (int b = 0; b < count; b++) {
        UfRandom random = uf_random(r->seed, UF_STREAM_RESAMPLE, (uint64_t)(first + b));
        for (int i = 0; i < r->num_trials; i++)
            counts[below(&random, r->num_trials) * REPLICATES_A_TASK + b]++;
    }
    double* out = &r->replicates[(size_t)first * T];
    for (int i = 0; i < r->num_trials; i++) {
        const double* value = &r->values[(size_t)i * T];
        for (int b = 0; b < count; b++) {
            const double times = counts[i * REPLICATES_A_TASK + b];
            double* restrict sum = &out[(size_t)b * T];
            if (times == 0) continue;
            for (size_t t = 0; t < T; t++) sum[t] += times * value[t];
        }
    }
    for (size_t j = 0; j < (size_t)count * T; j++) out[j] /= r->num_trials;
}

// ---- curve ----

static void mean_and_error(UfBanditCurve* out, const double* values, int num_trials) {
    const size_t T = (size_t)out->num_pulls;
    for (int i = 0; i < num_trials; i++)
        for (size_t t = 0; t < T; t++) out->mean[t] += values[(size_t)i * T + t];
    for (size_t t = 0; t < T; t++) out->mean[t] /= num_trials;
    for (int i = 0; i < num_trials; i++)
        for (size_t t = 0; t < T; t++) {
            const double d = values[(size_t)i * T + t] - out->mean[t];
            out->error[t] += d * d;
        }
    for (size_t t = 0; t < T; t++) out->error[t] = sqrt(out->error[t] / (num_trials - 1.0) / num_trials);
}

// A single policy leaves nothing to choose: no interval says how sure the choice is.
static UfStatus curve_limits(UfBanditCurve* out, const double* values, const UfProtocolOptions* o,
                             bool choice, UfPool* pool) {
    const int num_replicates = choice ? o->num_bootstraps : 0, T = out->num_pulls;
    Resampling r = {.values = values,
                    .num_trials = o->num_trials,
                    .T = T,
                    .num_bootstraps = num_replicates,
                    .seed = o->seed};
    UfStatus status = UF_ALLOC(&r.replicates, (size_t)num_replicates * (size_t)T + 1, "replicates");
    const size_t num_counts = (size_t)o->num_trials * REPLICATES_A_TASK;
    if (status == UF_OK)
        status = UF_ALLOC(&r.counts, num_counts * (size_t)uf_pool_num_threads(pool), "counts of trials");
    if (status == UF_OK) {
        uf_pool_run(pool, (num_replicates + REPLICATES_A_TASK - 1) / REPLICATES_A_TASK, resample_task, &r);
        Limits limits = {.replicates = r.replicates,
                         .low = out->low,
                         .high = out->high,
                         .confidence = o->confidence,
                         .num_replicates = num_replicates,
                         .num_columns = T};
        status = take_limits(&limits, pool);
    }
    uf_free(r.counts);
    uf_free(r.replicates);
    return status;
}

static UfStatus make_curve(UfBanditCurve* out, const UfScores* s, const UfProtocolOptions* o, UfPool* pool) {
    out->num_pulls = o->max_pulls;
    out->subsample = o->subsample < s->num_policies ? o->subsample : s->num_policies;
    UF_TRY(UF_ALLOC(&out->mean, o->max_pulls, "a curve"));
    UF_TRY(UF_ALLOC(&out->error, o->max_pulls, "a curve"));
    UF_TRY(UF_ALLOC(&out->low, o->max_pulls, "a curve"));
    UF_TRY(UF_ALLOC(&out->high, o->max_pulls, "a curve"));
    Trials trials = {
        .scores = s, .K = out->subsample, .T = o->max_pulls, .num_trials = o->num_trials, .seed = o->seed};
    UF_TRY(UF_ALLOC(&trials.values, (size_t)o->num_trials * (size_t)o->max_pulls, "trials"));
    UfStatus status = run_trials(&trials, o->ucb_alpha, pool);
    if (status == UF_OK) {
        mean_and_error(out, trials.values, o->num_trials);
        status = curve_limits(out, trials.values, o, s->num_policies > 1, pool);
    }
    uf_free(trials.values);
    return status;
}

UfStatus uf_bandit_curve(UfBanditCurve* out, const UfScores* scores, const UfProtocolOptions* options,
                         UfPool* pool) {
    *out = (UfBanditCurve){0};
    UF_TRY(check_options(options));
    UF_TRY(check_scores(scores));
    UfStatus status = make_curve(out, scores, options, pool);
    if (status != UF_OK) uf_bandit_curve_free(out);
    return status;
}

void uf_bandit_curve_free(UfBanditCurve* curve) {
    if (!curve) return;
    uf_free(curve->mean);
    uf_free(curve->error);
    uf_free(curve->low);
    uf_free(curve->high);
    *curve = (UfBanditCurve){0};
}

// ---- statistics ----

// The mean score of one policy.
typedef struct Policy {
    double score;
    int group, number;  // number: its place in a replicate's counts
} Policy;

typedef struct Study {
    UfProtocol* p;
    Policy* policies;   // (num_policies) of all groups, worst first within a group
    int* first;         // (num_groups + 1) of each group there
    Policy* pooled;     // (num_policies) by algorithm, groups with scores only, worst first
    int* first_pooled;  // (num_algorithms + 1)
    int num_policies, num_statistics;
    int* counts;         // (threads, num_policies): how often a replicate has each
    double* replicates;  // (num_bootstraps, num_statistics)
} Study;

static int compare_policies(const void* left, const void* right) {
    const Policy *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? -1 : 1;
    return a->number - b->number;
}

// Inter-quartile mean of sorted scores, each so many times: a quarter, rounded down, is cut at either end.
static double trimmed_mean(const Policy* sorted, int count, const int* counts) {
    int64_t total = 0, seen = 0;
    for (int i = 0; i < count; i++) total += counts[sorted[i].number];
    const int64_t from = total / 4, to = total - total / 4;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        const int64_t start = seen > from ? seen : from;
        seen += counts[sorted[i].number];
        const int64_t end = seen < to ? seen : to;
        if (end > start) sum += (double)(end - start) * sorted[i].score;
    }
    return total ? sum / (double)(to - from) : NAN;
}

static double mean_score(const Policy* policies, int count, const int* counts) {
    double sum = 0;
    int64_t total = 0;
    for (int i = 0; i < count; i++) {
        sum += counts[policies[i].number] * policies[i].score;
        total += counts[policies[i].number];
    }
    return sum / (double)total;
}

// Share of the pairs (one of a, one of b) where a's is better; an equal pair counts half.
static double improvement(const Policy* a, int num_a, const Policy* b, int num_b, const int* counts) {
    double won = 0, worse = 0;  // worse: of b, with a lower score than the present one of a
    int64_t total_a = 0, total_b = 0;
    for (int j = 0; j < num_b; j++) total_b += counts[b[j].number];
    for (int i = 0, j = 0; i < num_a; i++) {
        const int times = counts[a[i].number];
        double equal = 0;
        for (; j < num_b && b[j].score < a[i].score; j++) worse += counts[b[j].number];
        for (int k = j; k < num_b && b[k].score == a[i].score; k++) equal += counts[b[k].number];
        won += times * (worse + 0.5 * equal);
        total_a += times;
    }
    return won / ((double)total_a * (double)total_b);
}

static const UfProtocolGroup* find_group(const UfProtocol* p, int algorithm, int dataset) {
    for (int g = 0; g < p->num_groups; g++)
        if (p->groups[g].algorithm == algorithm && p->groups[g].dataset == dataset) return &p->groups[g];
    return NULL;
}

static double pair_value(const Study* s, const UfProtocolPair* pair, const int* counts) {
    const UfProtocol* p = s->p;
    double sum = 0;
    for (int d = 0; d < p->num_datasets; d++) {
        const UfProtocolGroup *a = find_group(p, pair->a, d), *b = find_group(p, pair->b, d);
        if (!a || !b) continue;
        const int i = (int)(a - p->groups), j = (int)(b - p->groups);
        sum += improvement(&s->policies[s->first[i]], s->first[i + 1] - s->first[i],
                           &s->policies[s->first[j]], s->first[j + 1] - s->first[j], counts);
    }
    return pair->num_datasets ? sum / pair->num_datasets : NAN;
}

// Two a group, one an algorithm, one a pair: set_statistics has the same order.
static void row_of_statistics(const Study* s, const int* counts, double* row) {
    const UfProtocol* p = s->p;
    for (int g = 0; g < p->num_groups; g++) {
        const Policy* policies = &s->policies[s->first[g]];
        const int count = s->first[g + 1] - s->first[g];
        *row++ = mean_score(policies, count, counts);
        *row++ = trimmed_mean(policies, count, counts);
    }
    for (int a = 0; a < p->num_algorithms; a++)
        *row++ =
            trimmed_mean(&s->pooled[s->first_pooled[a]], s->first_pooled[a + 1] - s->first_pooled[a], counts);
    for (int i = 0; i < p->num_pairs; i++) *row++ = pair_value(s, &p->pairs[i], counts);
}

static void set_interval(UfInterval* out, const double* value, const double* low, const double* high, int i,
                         bool sampled) {
    *out = (UfInterval){value[i], sampled ? low[i] : NAN, sampled ? high[i] : NAN};
}

// Whether replicates of an algorithm's policies can differ.
static bool has_choice(const Study* s, int algorithm) {
    for (int g = 0; g < s->p->num_groups; g++)
        if (s->p->groups[g].algorithm == algorithm && s->first[g + 1] - s->first[g] > 1) return true;
    return false;
}

static void set_statistics(Study* s, const double* value, const double* low, const double* high) {
    UfProtocol* p = s->p;
    int i = 0;
    for (int g = 0; g < p->num_groups; g++) {
        const bool sampled = s->first[g + 1] - s->first[g] > 1;
        set_interval(&p->groups[g].zero_shot, value, low, high, i++, sampled);
        set_interval(&p->groups[g].iqm, value, low, high, i++, sampled);
    }
    for (int a = 0; a < p->num_algorithms; a++)
        set_interval(&p->algorithms[a].iqm, value, low, high, i++, has_choice(s, a));
    for (int k = 0; k < p->num_pairs; k++)
        set_interval(&p->pairs[k].value, value, low, high, i++,
                     has_choice(s, p->pairs[k].a) || has_choice(s, p->pairs[k].b));
}

static void statistics_task(void* context, int replicate, int thread) {
    const Study* s = context;
    int* counts = &s->counts[(size_t)thread * (size_t)s->num_policies];
    memset(counts, 0, (size_t)s->num_policies * sizeof *counts);
    for (int g = 0; g < s->p->num_groups; g++) {
        const int count = s->first[g + 1] - s->first[g];
        UfRandom random = uf_random(s->p->options.seed, UF_STREAM_STRATIFIED, (uint64_t)replicate);
        random.block = (uint64_t)g << 32;
        for (int i = 0; i < count; i++) counts[s->first[g] + below(&random, count)]++;
    }
    row_of_statistics(s, counts, &s->replicates[(size_t)replicate * (size_t)s->num_statistics]);
}

static UfStatus collect_policies(Study* s) {
    UfProtocol* p = s->p;
    for (int g = 0; g < p->num_groups; g++) s->num_policies += p->groups[g].scores->num_policies;
    UF_TRY(UF_ALLOC(&s->policies, s->num_policies, "policies"));
    UF_TRY(UF_ALLOC(&s->pooled, s->num_policies, "policies"));
    UF_TRY(UF_ALLOC(&s->first, p->num_groups + 1, "groups"));
    UF_TRY(UF_ALLOC(&s->first_pooled, p->num_algorithms + 1, "groups"));
    for (int g = 0; g < p->num_groups; g++) {
        UfProtocolGroup* group = &p->groups[g];
        const int count = group->scores->num_policies, first = s->first[g];
        double* means;
        UF_TRY(policy_means(group->scores, &means));
        for (int i = 0; i < count; i++) {
            s->policies[first + i] = (Policy){means[i], g, first + i};
            if (means[i] > means[group->best_policy]) group->best_policy = i;
        }
        group->best = means[group->best_policy];
        s->first[g + 1] = first + count;
        qsort(&s->policies[first], (size_t)count, sizeof *s->policies, compare_policies);
        uf_free(means);
    }
    int end = 0;
    for (int a = 0; a < p->num_algorithms; a++) {
        const int first = end;
        for (int i = 0; i < s->num_policies; i++) {
            const UfProtocolGroup* group = &p->groups[s->policies[i].group];
            if (group->algorithm == a && !group->scores->are_returns) s->pooled[end++] = s->policies[i];
        }
        qsort(&s->pooled[first], (size_t)(end - first), sizeof *s->pooled, compare_policies);
        s->first_pooled[a + 1] = end;
    }
    return UF_OK;
}

static UfStatus make_statistics(Study* s, double** value, double** limits, UfPool* pool) {
    UfProtocol* p = s->p;
    const int threads = uf_pool_num_threads(pool), B = p->options.num_bootstraps;
    UF_TRY(collect_policies(s));
    s->num_statistics = 2 * p->num_groups + p->num_algorithms + p->num_pairs;
    UF_TRY(UF_ALLOC(&s->counts, (size_t)threads * (size_t)s->num_policies, "counts of policies"));
    UF_TRY(UF_ALLOC(&s->replicates, (size_t)B * (size_t)s->num_statistics + 1, "replicates"));
    UF_TRY(UF_ALLOC(value, s->num_statistics, "statistics"));
    UF_TRY(UF_ALLOC(limits, 2 * s->num_statistics, "statistics"));
    for (int i = 0; i < s->num_policies; i++) s->counts[i] = 1;
    row_of_statistics(s, s->counts, *value);
    uf_pool_run(pool, B, statistics_task, s);
    Limits l = {.replicates = s->replicates,
                .low = *limits,
                .high = *limits + s->num_statistics,
                .confidence = p->options.confidence,
                .num_replicates = B,
                .num_columns = s->num_statistics};
    UF_TRY(take_limits(&l, pool));
    set_statistics(s, *value, l.low, l.high);
    return UF_OK;
}

static UfStatus add_statistics(UfProtocol* p, UfPool* pool) {
    Study study = {.p = p};
    double *value = NULL, *limits = NULL;
    UfStatus status = make_statistics(&study, &value, &limits, pool);
    uf_free(study.policies);
    uf_free(study.pooled);
    uf_free(study.first);
    uf_free(study.first_pooled);
    uf_free(study.counts);
    uf_free(study.replicates);
    uf_free(value);
    uf_free(limits);
    return status;
}

// ---- API ----

static int find_or_add_dataset(UfProtocol* p, const char* name) {
    int i = 0;
    while (i < p->num_datasets && strcmp(p->datasets[i], name)) i++;
    if (i == p->num_datasets) p->datasets[p->num_datasets++] = name;
    return i;
}

static int find_or_add_algorithm(UfProtocol* p, const char* name) {
    int i = 0;
    while (i < p->num_algorithms && strcmp(p->algorithms[i].name, name)) i++;
    if (i == p->num_algorithms) p->algorithms[p->num_algorithms++].name = name;
    return i;
}

static UfStatus add_groups(UfProtocol* p, const UfScores* scores, int num_scores) {
    UF_TRY(UF_ALLOC(&p->groups, num_scores, "groups"));
    UF_TRY(UF_ALLOC(&p->datasets, num_scores, "datasets"));
    UF_TRY(UF_ALLOC(&p->algorithms, num_scores, "algorithms"));
    for (int i = 0; i < num_scores; i++) {
        UF_TRY(check_scores(&scores[i]));
        const int dataset = find_or_add_dataset(p, scores[i].dataset),
                  algorithm = find_or_add_algorithm(p, scores[i].algorithm);
        if (find_group(p, algorithm, dataset))
            return UF_FAIL(UF_ERR_ARGUMENT, "%s, %s: given twice", scores[i].dataset, scores[i].algorithm);
        UfProtocolGroup* group = &p->groups[p->num_groups++];
        *group = (UfProtocolGroup){.scores = &scores[i], .dataset = dataset, .algorithm = algorithm};
        p->algorithms[algorithm].num_datasets++;
        p->algorithms[algorithm].num_scored += !scores[i].are_returns;
    }
    return UF_OK;
}

static UfStatus add_pairs(UfProtocol* p) {
    const int A = p->num_algorithms;
    UF_TRY(UF_ALLOC(&p->pairs, A * (A - 1) / 2 + 1, "pairs of algorithms"));
    for (int a = 0; a < A; a++)
        for (int b = a + 1; b < A; b++) {
            UfProtocolPair* pair = &p->pairs[p->num_pairs++];
            *pair = (UfProtocolPair){.a = a, .b = b};
            for (int d = 0; d < p->num_datasets; d++)
                pair->num_datasets += find_group(p, a, d) && find_group(p, b, d);
        }
    return UF_OK;
}

static UfStatus make_groups(UfProtocol* p, const UfScores* scores, int num_scores) {
    UF_TRY(check_options(&p->options));
    if (num_scores < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "no results: there is no policy to evaluate the choice of");
    UF_TRY(add_groups(p, scores, num_scores));
    return add_pairs(p);
}

static UfStatus make_curves(UfProtocol* p, const UfScores* scores, int num_scores, UfPool* pool) {
    int most = 0;
    for (int i = 0; i < num_scores; i++) most = scores[i].num_policies > most ? scores[i].num_policies : most;
    if (most < 2)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s, %s: one policy only, and nowhere more; the protocol is about choosing one of several: "
            "train more seeds or configurations",
            scores[0].dataset, scores[0].algorithm);
    for (int g = 0; g < p->num_groups; g++)
        UF_TRY(uf_bandit_curve(&p->groups[g].curve, &scores[g], &p->options, pool));
    return UF_OK;
}

static UfStatus make_protocol(UfProtocol* out, const UfScores* scores, int num_scores,
                              const UfProtocolOptions* options, bool curves, UfPool* pool) {
    *out = (UfProtocol){.options = *options};
    UfStatus status = make_groups(out, scores, num_scores);
    if (status == UF_OK && curves) status = make_curves(out, scores, num_scores, pool);
    if (status == UF_OK) status = add_statistics(out, pool);
    if (status != UF_OK) uf_protocol_free(out);
    return status;
}

UfStatus uf_protocol(UfProtocol* out, const UfScores* scores, int num_scores,
                     const UfProtocolOptions* options, UfPool* pool) {
    return make_protocol(out, scores, num_scores, options, true, pool);
}

UfStatus uf_protocol_aggregates(UfProtocol* out, const UfScores* scores, int num_scores,
                                const UfProtocolOptions* options, UfPool* pool) {
    return make_protocol(out, scores, num_scores, options, false, pool);
}

void uf_protocol_free(UfProtocol* protocol) {
    if (!protocol) return;
    for (int g = 0; g < protocol->num_groups; g++) uf_bandit_curve_free(&protocol->groups[g].curve);
    uf_free(protocol->groups);
    uf_free(protocol->datasets);
    uf_free(protocol->algorithms);
    uf_free(protocol->pairs);
    *protocol = (UfProtocol){0};
}
