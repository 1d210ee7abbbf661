// philox.h: counter-based random numbers (Philox4x32-10), the same on CPU and GPU.
// A number is a pure function of (seed, stream, update, index), so runs resume and populations equal single
// runs bit for bit.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11 (constants and rounds).
#ifndef UF_PHILOX_H
#define UF_PHILOX_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define UF_HD __host__ __device__
#else
#define UF_HD
#endif

// What a number is for. New streams go at the end: the order is part of every recorded run.
enum {
    UF_STREAM_INIT,         // parameters: update = tensor number
    UF_STREAM_INDEX,        // rows of a batch
    UF_STREAM_ALPHA,        // action noise of the entropy coefficient's update
    UF_STREAM_ACTOR,        // action noise of the actor's update
    UF_STREAM_NEXT_ACTION,  // (U) action noise of the target
    UF_STREAM_SMOOTHING,    // (U) target policy smoothing
    UF_STREAM_CQL_RANDOM,   // (U) uniform actions
    UF_STREAM_CQL_PI,       // (U)
    UF_STREAM_CQL_NEXT,     // (U)
    UF_STREAM_ENV_RESET,    // update = episode
    UF_STREAM_ENV_STEP,     // update = episode, noise inside an environment
    UF_STREAM_EVAL_ACTION,  // update = episode, action noise while acting
    UF_STREAM_CONTROLLER,   // update = episode, data collection
    UF_STREAM_EXPLORE,      // update = environment step of online training: actions
    UF_STREAM_MODEL_INDEX,  // rows of a batch from the model buffer
    UF_STREAM_ROLLOUT_START,  // model rollouts: start states; update counts slices of rows of a step of an update
    UF_STREAM_ROLLOUT_ACTION,  // action noise, likewise
    UF_STREAM_ROLLOUT_ELITE,   // which elite, likewise
    UF_STREAM_ROLLOUT_NOISE,   // noise of its prediction, likewise
    // World model training.
    UF_STREAM_DYNAMICS_INIT,   // parameters: update = tensor number
    UF_STREAM_DYNAMICS_SPLIT,  // which episodes are held out
    UF_STREAM_DYNAMICS_ORDER,  // update = epoch: order of the training rows
    // Evaluation protocol.
    UF_STREAM_BANDIT,      // update = trial: which policies, ties, which stored return
    UF_STREAM_RESAMPLE,    // update = bootstrap replicate: trials of a curve
    UF_STREAM_STRATIFIED,  // update = replicate, index = group << 32: policies of an algorithm on a dataset
    // Sweeps.
    UF_STREAM_SWEEP,  // update = policy: which value of each axis
    // Diagnosis and fitted Q evaluation.
    UF_STREAM_DIAGNOSIS_ROW,     // which rows
    UF_STREAM_DIAGNOSIS_ACTION,  // update counts batches: action noise of a sampled policy
    UF_STREAM_FQE_SEED,          // update = critic: its seed
    UF_STREAM_FQE_BOOTSTRAP,     // update = replicate: initial states and critics
    // PPO.
    UF_STREAM_PPO_INIT,    // parameters: update = tensor number
    UF_STREAM_PPO_ACTION,  // update = iteration: noise of the rollout's actions
    UF_STREAM_PPO_ORDER,   // update = epoch, over all iterations: order of the rows
    UF_STREAM_PPO_ENV,     // seeds of environments: update 0 for training, 1 for evaluation
    UF_STREAM_PPO_EVAL,    // update = step of an evaluation, index = episode: action noise
    // Behaviour distillation.
    UF_STREAM_HADES,     // seeds of it: update = generation, index = purpose << 32 | number
    UF_STREAM_ES_NOISE,  // update = generation, index counts blocks of dimensions of a candidate (es.c)
    UF_STREAM_IMAGES,    // update = image: shift, brightness, noise of a drawn glyph
    // Synthetic environments.
    UF_STREAM_SYNTH_INIT,    // parameters: update = tensor number
    UF_STREAM_SYNTH_LATENT,  // update = step, index counts blocks of environments (synthenv.c)
    UF_STREAM_SYNTH_HYPER,   // index = list of synthenv.def: which of its values an agent has
    UF_STREAM_SYNTH_AGENT,   // seeds of agents: update = agent, index = purpose
    UF_STREAM_SYNTH_SEARCH,  // seeds of a search for one: update = generation, index = purpose << 32 | number
    // Off-policy agents; update = iteration, or optimiser step over all iterations
    UF_STREAM_TD_INIT,     // parameters: update = network << 8 | layer
    UF_STREAM_TD_ACTION,   // update = iteration: what actions are drawn with
    UF_STREAM_TD_WARM_UP,  // update = iteration: actions at random
    UF_STREAM_TD_INDEX,    // update = optimiser step: rows of a batch
    UF_STREAM_TD_ACTOR,    // likewise: action noise of the actor's loss
    UF_STREAM_TD_NEXT,     // likewise: action noise of the target
    UF_STREAM_SYNTH_MAKE,    // making a bandit of data: update = purpose << 40 | step (synth_make.c)
    UF_STREAM_INIT_ACTION,   // initialisation from a bandit: random actions, update = step
    UF_STREAM_INIT_NOISE,    // noise of the policy's, likewise
    // Verification.
    UF_STREAM_MOVED,  // update = recorded array: by how much a replay moves its numbers (replay_input.h)
};

typedef struct UfPhilox {
    uint32_t v[4];
} UfPhilox;

// Four 32-bit numbers of block `block` of (seed, stream, update).
static inline UF_HD UfPhilox uf_philox(uint64_t seed, uint32_t stream, uint64_t update, uint64_t block) {
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32) ^ (stream << 24);
    uint32_t c2 = (uint32_t)update, c3 = (uint32_t)(update >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    UfPhilox r = {{c0, c1, c2, c3}};
    return r;
}

// Uniform in (0, 1): never 0 or 1, so logarithms are safe.
static inline UF_HD float uf_uniform(uint32_t bits) {
    return ((float)(bits >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

static inline UF_HD double uf_uniform_double(uint32_t high, uint32_t low) {
    return ((double)(((uint64_t)high << 20) | (low >> 12)) + 0.5) * (1.0 / 4503599627370496.0);
}

// Two standard normals from two words (Box-Muller).
static inline UF_HD void uf_normal_pair(uint32_t a, uint32_t b, float out[2]) {
    float radius = sqrtf(-2.0f * logf(uf_uniform(a))), angle = 6.28318530717958647692f * uf_uniform(b);
    out[0] = radius * cosf(angle);
    out[1] = radius * sinf(angle);
}

// A random order of 0..n-1 that (seed, stream, update) names, each place of which is known without the others: Feistel's
// network over the bits of n - 1, walked until it leaves the numbers that are too large (Black and Rogaway, "Ciphers
// with arbitrary finite domains", 2002). The keys of its rounds are Philox's, the round function is the finaliser
// of MurmurHash3.
enum { UF_SHUFFLE_ROUNDS = 12 };
typedef struct UfShuffle {
    uint32_t n, key[UF_SHUFFLE_ROUNDS];
    int bits;
} UfShuffle;

static inline UF_HD UfShuffle uf_shuffle(uint64_t seed, uint32_t stream, uint64_t update, uint32_t n) {
    UfShuffle s;
    s.n = n;
    s.bits = 2;
    while (s.bits < 32 && (uint64_t)n > (uint64_t)1 << s.bits) s.bits++;
    for (int k = 0; k < UF_SHUFFLE_ROUNDS; k += 4) {
        const UfPhilox w = uf_philox(seed, stream, update, (uint64_t)k / 4);
        for (int i = 0; i < 4; i++) s.key[k + i] = w.v[i];
    }
    return s;
}

static inline UF_HD uint32_t uf_shuffled(const UfShuffle* s, uint32_t i) {
    const int low = s->bits / 2, high = s->bits - low;
    do {
        for (int round = 0; round < UF_SHUFFLE_ROUNDS; round++) {
            // The halves change places, so an odd number of bits is cut the other way from round to round.
            const int right = round % 2 ? high : low, left = s->bits - right;
            const uint32_t r = i & ((1u << right) - 1), l = i >> right;
            uint32_t f = r ^ s->key[round];
            f = (f ^ f >> 16) * 0x85EBCA6Bu;
            f = (f ^ f >> 13) * 0xC2B2AE35u;
            f ^= f >> 16;
            i = r << left | (l ^ (f & ((1u << left) - 1)));
        }
    } while (i >= s->n);
    return i;
}

// A sequential view of one (seed, stream, update): for environments and controllers, where numbers are drawn
// one by one.
typedef struct UfRandom {
    uint64_t seed, update, block;
    uint32_t stream, used;
    UfPhilox words;
} UfRandom;

static inline UF_HD UfRandom uf_random(uint64_t seed, uint32_t stream, uint64_t update) {
    UfRandom r = {seed, update, 0, stream, 4, {{0, 0, 0, 0}}};
    return r;
}
static inline UF_HD uint32_t uf_random_u32(UfRandom* r) {
    if (r->used == 4) {
        r->words = uf_philox(r->seed, r->stream, r->update, r->block++);
        r->used = 0;
    }
    return r->words.v[r->used++];
}
static inline UF_HD double uf_random_uniform(UfRandom* r, double low, double high) {
    uint32_t a = uf_random_u32(r), b = uf_random_u32(r);
    return low + (high - low) * uf_uniform_double(a, b);
}
static inline UF_HD float uf_random_normal(UfRandom* r) {
    uint32_t a = uf_random_u32(r), b = uf_random_u32(r);
    float pair[2];
    uf_normal_pair(a, b, pair);
    return pair[0];
}

// The number that the i-th call of uf_random_normal (from 0) of a fresh uf_random gives.
static inline UF_HD float uf_random_normal_at(uint64_t seed, uint32_t stream, uint64_t update, uint64_t i) {
    UfPhilox w = uf_philox(seed, stream, update, i / 2);
    float pair[2];
    uf_normal_pair(w.v[2 * (i % 2)], w.v[2 * (i % 2) + 1], pair);
    return pair[0];
}

#endif
