// trials.cu: trials of small policies in built-in environments on a CUDA device, policy and environments in one kernel.
// trials.c is the specification, trial_rules.h what both do.
//
// A block has one policy and takes its environments through `num_steps` steps together. Its threads go through the layers
// for as many rows as there is room for, activations and where they fit parameters in shared memory; then a thread has an
// environment. Nothing waits for the host in between. A thread makes one column of a layer for 4 rows, each sum in the
// order of its inputs, so that an environment depends neither on those beside it nor on how many a block takes at once.
// All in fp32: what is rated is the policy.
#include "kernels.cuh"

#include <cmath>

namespace {

enum { TILE = 4 };  // rows that a thread takes through a layer
enum { MOST_THREADS = 512 };
enum {
    ACTIVATION_BYTES = 24 << 10,
    SHARED_BYTES = 46 << 10
};  // of a block, if one tile is not more; all with the rest

// A number of each row of a tile.
struct alignas(16) Rows4 {
    float at[TILE];
};

UF_HD inline int num_outputs(const UfPlayTrials& c) {  // that are used
    return uf_trial_outputs(c.policy, c.rule.discrete, c.rule.action_dim);
}

// What lies where in a block's shared memory.
struct Layout {
    int tiles;  // that go through the layers at once
    bool params_shared, rows_shared;
    int64_t numbers, params_bytes, bytes;  // Rows4 of activations; bytes of all
};

Layout layout_of(const UfPlayTrials* c) {
    const UfMlp* mlp = &c->net->mlp;
    const int64_t each = c->net->in + 2 * static_cast<int64_t>(mlp->width) + num_outputs(*c),
                  most = ACTIVATION_BYTES / (each * static_cast<int64_t>(sizeof(Rows4))),
                  tiles = uf_cuda::ceil_div(c->E, TILE),
                  params = static_cast<int64_t>(c->net->size * sizeof(float)),
                  rows = c->E * static_cast<int64_t>(sizeof(UfTrialRow));
    Layout l = {};
    l.tiles = static_cast<int>(tiles < most ? tiles : most > 1 ? most : 1);
    l.numbers = each * l.tiles;
    l.bytes = l.numbers * static_cast<int64_t>(sizeof(Rows4));
    l.params_shared = l.bytes + params <= SHARED_BYTES;
    l.params_bytes = l.params_shared ? params : 0;
    l.bytes += l.params_bytes;
    l.rows_shared = l.bytes + rows <= SHARED_BYTES;
    l.bytes +=
        l.rows_shared ? uf_cuda::ceil_div(rows, sizeof(Rows4)) * static_cast<int64_t>(sizeof(Rows4)) : 0;
    return l;
}

// What a block's threads see of its policy.
struct Policy {
    const UfPlayTrials& c;
    const UfCloneNet& net;
    const float* params;
    uint64_t key;
    UfTrialRow* rows;   // (E)
    UfTrialSeen* seen;  // moments of the running normaliser
    int tiles;
    Rows4 *x, *h[2], *out;  // (tiles, in), (tiles, width), (tiles, num_outputs)
};

__device__ inline int first_thread() { return static_cast<int>(threadIdx.x); }
__device__ inline int num_threads() { return static_cast<int>(blockDim.x); }
__device__ inline float& number(Rows4* of, int row, int width, int i) {
    return of[row / TILE * width + i].at[row % TILE];
}

// ---- layers ----

enum { NO_ACTIVATION = -1 };

// out (tiles, width) = activation(in (tiles, num_in) w + bias), of w (num_in, ld) the first columns.
__device__ void layer(const Policy& k, Rows4* out, const Rows4* in, int l, int num_in, int width, int ld,
                      int activation) {
    const float *w = k.params + k.net.mlp.kernel[l], *bias = k.params + k.net.mlp.bias[l];
    for (int item = first_thread(); item < k.tiles * width; item += num_threads()) {
        const int j = item % width;
        const Rows4* row = in + item / width * num_in;
        Rows4 sum = {};
#pragma unroll 8
        for (int i = 0; i < num_in; i++) {
            const Rows4 x = row[i];
            const float weight = w[static_cast<int64_t>(i) * ld + j];
            for (int r = 0; r < TILE; r++) sum.at[r] = fmaf(x.at[r], weight, sum.at[r]);
        }
        for (int r = 0; r < TILE; r++) {
            const float z = sum.at[r] + bias[j];
            sum.at[r] = activation == UF_TANH             ? uf_tanh(z)
                        : activation == UF_RELU && z <= 0 ? 0
                                                          : z;  // written so that NaN stays NaN
        }
        out[item] = sum;
    }
    __syncthreads();
}

// A thread has a row.
__device__ void layer_norm(const Policy& k, Rows4* h, int l) {
    const UfMlp& m = k.net.mlp;
    const float *scale = k.params + m.scale[l], *shift = k.params + m.shift[l];
    for (int r = first_thread(); r < k.tiles * TILE; r += num_threads()) {
        float sum = 0, squares = 0;
        for (int j = 0; j < m.width; j++) sum += number(h, r, m.width, j);
        const float mean = sum / static_cast<float>(m.width);
        for (int j = 0; j < m.width; j++) {
            const float d = number(h, r, m.width, j) - mean;
            squares = fmaf(d, d, squares);
        }
        const float inv_std =
            1 / sqrtf(squares / static_cast<float>(m.width) + static_cast<float>(UF_LAYER_NORM_EPS));
        for (int j = 0; j < m.width; j++) {
            float& x = number(h, r, m.width, j);
            x = (x - mean) * inv_std * scale[j] + shift[j];
        }
    }
    __syncthreads();
}

// From the input to the outputs that are used.
__device__ void forward(const Policy& k) {
    const UfMlp& m = k.net.mlp;
    const Rows4* in = k.x;
    for (int l = 0; l < m.layers; l++) {
        Rows4* out = k.h[l % 2];
        layer(k, out, in, l, l ? m.width : m.in, m.width, m.width, m.activation);
        if (m.layer_norm) layer_norm(k, out, l);
        in = out;
    }
    layer(k, k.out, in, m.layers, m.width, num_outputs(k.c), m.out, NO_ACTIVATION);
}

// ---- environments ----

__device__ void begin_episode(const Policy& k, int e, UfTrialRow* row) {
    const UfPlayTrials& c = k.c;
    if (c.grid)
        for (int i = 0; i < c.rule.state_dim; i++) row->state[i] = uf_trial_grid(&c.rule.bounds, c.E, e, i);
    else
        uf_rule_reset(&c.rule, row->state, k.key, uf_trial_episode(row->episode, c.E, e));
    uf_rule_observe(&c.rule, row->state, row->obs);
    row->steps = 0;
    row->ret = 0;
}

__device__ void begin(const Policy& k) {
    for (int e = first_thread(); e < k.c.E; e += num_threads()) {
        UfTrialRow* row = &k.rows[e];
        row->trial = uf_trial_start(k.c.counts);
        row->episode = 0;
        row->going = true;
        row->bad = false;
        begin_episode(k, e, row);
    }
    for (int j = first_thread(); j < UF_RULE_MAX_OBS; j += num_threads()) {
        k.seen->mean[j] = 0;
        k.seen->var[j] = 1;
    }
    if (first_thread() == 0) k.seen->count = UF_TRIAL_COUNT_EPS;
}

// Takes the observations of all environments that go on into the moments. A thread has a number, and a count of its own.
__device__ void merge_moments(const Policy& k, double* count) {
    int n = 0;
    for (int e = 0; e < k.c.E; e++) n += k.rows[e].going;
    for (int j = first_thread(); j < k.c.rule.obs_dim; j += num_threads()) {
        double mean = 0, squares = 0;
        for (int e = 0; e < k.c.E; e++)
            if (k.rows[e].going) mean += k.rows[e].obs[j];
        mean /= n;
        for (int e = 0; e < k.c.E; e++) {
            const double d = k.rows[e].obs[j] - mean;
            if (k.rows[e].going) squares += d * d;
        }
        uf_trial_merge(&k.seen->mean[j], &k.seen->var[j], *count, n, mean, squares);
    }
    *count += n;
}

// Gives the network row r of its input.
__device__ void look(const Policy& k, const UfTrialRow* row, int r) {
    const UfPlayTrials& c = k.c;
    for (int j = 0; j < c.rule.obs_dim; j++)
        number(k.x, r, k.net.in, c.first_obs + j) =
            c.running ? uf_trial_normalised(row->obs[j], k.seen->mean[j], k.seen->var[j])
            : c.mean  ? (row->obs[j] - c.mean[j]) / c.divisor[j]
                      : row->obs[j];
}

// Chooses the action of environment e at step t from row r of the outputs.   false: there is none
__device__ bool act(const Policy& k, UfTrialRow* row, int e, int64_t t, int r) {
    const UfEnvRule& rule = k.c.rule;
    const int A = rule.action_dim, numbers = rule.discrete ? 1 : A, outputs = num_outputs(k.c);
    const bool samples = uf_trial_samples(k.c.policy, rule.discrete, k.c.greedy);
    float out[2 * UF_RULE_MAX_ACTIONS], noise[UF_RULE_MAX_ACTIONS];
    for (int i = 0; i < outputs; i++) out[i] = number(k.out, r, outputs, i);
    for (int i = 0; i < numbers && samples; i++)
        noise[i] = uf_trial_noise(k.key, rule.discrete, t, static_cast<int64_t>(k.c.E) * numbers,
                                  static_cast<int64_t>(e) * numbers + i);
    row->bad = !uf_trial_act(k.c.policy, rule.discrete, A, rule.action_low, rule.action_high, out,
                             k.params + k.net.mlp.log_std, samples ? noise : nullptr, row->action);
    return !row->bad;
}

__device__ void step(const Policy& k, int e, UfTrialRow* row) {
    const UfEnvRule& rule = k.c.rule;
    double reward;
    bool terminated;
    uf_rule_step(&rule, row->state, row->steps, row->action, &reward, &terminated);
    row->steps++;
    uf_rule_observe(&rule, row->state, row->obs);
    const bool ended = terminated || row->steps >= rule.max_steps;
    uf_trial_count(k.c.counts, &row->trial, &row->ret, reward, ended);
    if (!ended) return;
    row->going = k.c.counts != UF_TRIAL_FIRST;
    row->episode++;
    if (row->going) begin_episode(k, e, row);
}

// A number of a policy was none: environments before the first of which it was still step, then all are at their end.
__device__ void fail(const Policy& k) {
    int first = 0;
    while (!(k.rows[first].going && k.rows[first].bad)) first++;
    __syncthreads();  // all have found it
    for (int e = first_thread(); e < k.c.E; e += num_threads()) {
        UfTrialRow* row = &k.rows[e];
        if (row->going && e < first) step(k, e, row);
        row->trial.sum = NAN;
        row->going = false;
    }
}

// Step t of all environments.   false: none goes on
__device__ bool step_all(const Policy& k, int64_t t, double* count) {
    bool bad = false, going = false;
    if (k.c.running) {
        merge_moments(k, count);
        __syncthreads();
    }
    for (int first = 0; first < k.c.E; first += k.tiles * TILE) {
        const int left = k.c.E - first, n = left < k.tiles * TILE ? left : k.tiles * TILE;
        for (int r = first_thread(); r < n; r += num_threads())
            if (k.rows[first + r].going) look(k, &k.rows[first + r], r);
        __syncthreads();
        forward(k);
        for (int r = first_thread(); r < n; r += num_threads())
            if (k.rows[first + r].going && !act(k, &k.rows[first + r], first + r, t, r)) bad = true;
    }
    if (__syncthreads_or(bad)) {
        fail(k);
        __syncthreads();
        return false;
    }
    for (int e = first_thread(); e < k.c.E; e += num_threads()) {
        if (k.rows[e].going) step(k, e, &k.rows[e]);
        going = going || k.rows[e].going;
    }
    return __syncthreads_or(going) != 0;
}

// ---- a launch ----

// c.net is the host's; net is what it points to.
__global__ void __launch_bounds__(MOST_THREADS)
    play_trials_kernel(const __grid_constant__ UfPlayTrials c, const __grid_constant__ UfCloneNet net,
                       Layout l, int64_t first, int num_steps) {
    __shared__ UfTrialSeen seen;
    const int p = static_cast<int>(blockIdx.x), E = c.E;
    const float* params = c.params + p * static_cast<int64_t>(net.size);
    UfTrialRow* rows = c.rows + static_cast<int64_t>(p) * E;
    if (first && !c.going[p]) return;
    Rows4* x = reinterpret_cast<Rows4*>(uf_shared_memory());
    float* own_params = &x[l.numbers].at[0];
    UfTrialRow* own_rows = reinterpret_cast<UfTrialRow*>(own_params + l.params_bytes / int{sizeof(float)});
    Rows4 *h = x + l.tiles * net.in, *next = h + l.tiles * net.mlp.width;
    const Policy k = {c,
                      net,
                      l.params_shared ? own_params : params,
                      c.keys[p % c.num_keys],
                      l.rows_shared ? own_rows : rows,
                      &seen,
                      l.tiles,
                      x,
                      {h, next},
                      next + l.tiles * net.mlp.width};
    for (int i = first_thread(); i < l.tiles * net.in; i += num_threads()) x[i] = Rows4{};
    for (int i = first_thread(); l.params_shared && i < static_cast<int>(net.size); i += num_threads())
        own_params[i] = params[i];
    for (int e = first_thread(); l.rows_shared && first && e < E; e += num_threads()) own_rows[e] = rows[e];
    if (first && first_thread() == 0) seen = c.seen[p];
    if (!first) begin(k);
    __syncthreads();
    double count = seen.count;
    bool going = true;
    for (int s = 0; s < num_steps && going; s++) going = step_all(k, first + s, &count);
    for (int e = first_thread(); e < E; e += num_threads()) {
        if (l.rows_shared) rows[e] = own_rows[e];
        c.trials[static_cast<int64_t>(p) * E + e] = k.rows[e].trial;
    }
    if (first_thread()) return;
    c.going[p] = going;
    seen.count = count;
    c.seen[p] = seen;
}

}  // namespace

void uf_cuda_play_trials(UfBackend* be, const UfPlayTrials* play, int64_t first, int num_steps) {
    const UfCloneNet* net = play->net;
    const Layout l = layout_of(play);
    const int64_t items = static_cast<int64_t>(l.tiles) * net->mlp.width,
                  most = items > play->E ? items : static_cast<int64_t>(play->E),
                  threads = uf_cuda::ceil_div(most, UF_WARP) * UF_WARP;
    uf_cuda::launch_shared(uf_cuda::begin(be, "play_trials", play->P, 1, play->E, net->mlp.width),
                           play_trials_kernel, play->P,
                           static_cast<int>(threads < MOST_THREADS ? threads : int64_t{MOST_THREADS}),
                           static_cast<size_t>(l.bytes), *play, *net, l, first, num_steps);
}
