// bench.h: the speed of an update against the bare matrix products it needs, and of an environment against a bare
// loop of its simulation.
#ifndef UF_BENCH_H
#define UF_BENCH_H

#include "core/agents/ppo.h"           // UfPpoConfig
#include "core/core.h"
#include "core/search/hades_search.h"  // HdConfig

typedef struct UfBenchOptions {
    const UfConfig* config;
    int obs_dim, action_dim;
    int num_threads;  // 0: all cores
    int num_steps;    // updates a window
    int population;
    int num_windows;
    bool rollouts;  // times model rollouts instead of updates
    bool dynamics;  // the world model's training instead of an agent's
} UfBenchOptions;

// Trains on random data, with a random world model where dataset_sample_ratio is below 1, and times it.
// *json_line (free with uf_free): one JSON object without a newline. On the CPU beside the bare products that an update
// needs; on a CUDA device beside one large product, with what it launches and how busy that keeps it (bench/cuda.md).
UfStatus uf_bench(const UfBenchOptions* options, char** json_line);

// The same for a list of presets (of configs/ in the working directory) and populations, on config's device and in its
// precision, `on_line` hearing of each line when it is there; the last is of rollouts. population 0: several.
typedef void UfBenchLineFn(void* user, const char* json_line);
UfStatus uf_bench_list(const UfBenchOptions* options, UfBenchLineFn* on_line, void* user);

typedef struct UfEnvBenchOptions {
    const char* env;
    int num_threads;  // 0: all cores
    int num_steps;    // a window, of each thread
    int num_windows;
    // Of gridworlds alone, a batch of which shares the threads.
    int num_envs;
    const char* observation;  // NULL: first_person
    const char* device;       // NULL: cpu
} UfEnvBenchOptions;

// Steps an environment with random actions and, if it is MuJoCo's, the bare simulation too, and times both.
UfStatus uf_bench_env(const UfEnvBenchOptions* options, char** json_line);

typedef struct UfPpoBenchOptions {
    const UfPpoConfig* config;   // its population, device and precision too
    int num_steps, num_windows;  // iterations of a window
} UfPpoBenchOptions;

// Times iterations of PPO, environments included: frames/s of all members.
UfStatus uf_bench_ppo(const UfPpoBenchOptions* options, char** json_line);

typedef struct UfCloneBenchOptions {
    const char* device;  // NULL: cpu
    int num_threads;     // 0: all cores
    int num_networks;    // that a window clones
    int num_windows;
} UfCloneBenchOptions;

// Times steps of behaviour cloning of small networks of several shapes: microseconds a step and network, on the CPU beside
// the bare products of one. On several threads it is the time of all of them over the networks.
UfStatus uf_bench_clone(const UfCloneBenchOptions* options, char** json_line);

typedef struct HdBenchOptions {
    const HdConfig* config;
    int num_generations, num_windows;  // generations of a window
} HdBenchOptions;

// Times generations of a distillation as they come, the first ones, whose episodes are short, too: candidates/s.
UfStatus uf_bench_hades(const HdBenchOptions* options, char** json_line);

// Times steps of 1 to 1000 copies of the synthetic environment in a file, num_steps steps of copies a window.
UfStatus uf_bench_synth(const char* path, int num_steps, int num_windows, char** json_line);

// Steps a batch of gridworlds with random actions; beside it, writes as many bytes as its observations have. On a CUDA
// device also says how many bytes a step moves at least, and at which rate that is.
UfStatus uf_bench_grid(const UfEnvBenchOptions* options, char** json_line);

#endif
