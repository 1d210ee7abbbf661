// population.c: see population.h.
#include "core/sweeps/population.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>  // strtoull
#include <string.h>
#include <unistd.h>  // sysconf

#include "core/agents/agent.h"

// The first whole number behind `key` in a small file of the kernel. 0: there is none.
static uint64_t number_in(const char* path, const char* key) {
    char text[4096], *at;
    FILE* file = fopen(path, "r");
    if (!file) return 0;
    const size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = 0;
    at = strstr(text, key);
    if (!at) return 0;
    at += strlen(key);
    at += strspn(at, ": \t");
    return *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : 0;  // "max": no limit
}

size_t uf_free_memory(void) {
    const uint64_t available = number_in("/proc/meminfo", "MemAvailable") * 1024;
    const uint64_t limit = number_in("/sys/fs/cgroup/memory.max", ""),
                   used = number_in("/sys/fs/cgroup/memory.current", "");
    const uint64_t left = limit > used ? limit - used : 0;
    return (size_t)(limit && left < available ? left : available);
}

// sysconf adds up the caches of all sockets on some machines.
size_t uf_cache_bytes(void) {
    for (int index = 4; index >= 0; index--) {
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
        const uint64_t kib = number_in(path, "");
        if (kib) return (size_t)(kib * 1024);
    }
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes > 0 ? (size_t)bytes : 0;
}

// What an update of one member works on, and what the member keeps beside that.
static UfStatus member_bytes(const UfConfig* config, int obs_dim, int action_dim, size_t* works_on,
                             size_t* keeps) {
    UfAgent* agent;
    size_t parameters, scratch;
    UF_TRY(uf_agent_create_bare(&agent, &config, 1, obs_dim, action_dim, NULL, NULL, 1));
    uf_agent_bytes(agent, &parameters, &scratch);
    uf_agent_free(agent);
    *works_on = parameters + scratch;
    *keeps = config->dataset_sample_ratio < 1 ? uf_model_buffer_bytes(config, obs_dim, action_dim) : 0;
    return UF_OK;
}

static double mib(size_t bytes) { return (double)bytes / (1 << 20); }

UfStatus uf_population_choose(UfPopulationChoice* out, const UfConfig* config, int obs_dim, int action_dim,
                              size_t dataset_bytes, int threads, int jobs) {
    size_t works_on, keeps;
    UF_TRY(member_bytes(config, obs_dim, action_dim, &works_on, &keeps));
    out->bytes = works_on + keeps;
    const size_t cache = uf_cache_bytes(), memory = uf_free_memory();
    const size_t share = memory / 2 / (size_t)jobs, left = share > dataset_bytes ? share - dataset_bytes : 0;
    out->members = threads;
    if (memory && left / out->bytes < (size_t)threads) {
        out->members = left / out->bytes > 1 ? (int)(left / out->bytes) : 1;
        snprintf(out->why, sizeof out->why,
                 "%d of a shape in a process, as each takes %.0f MiB beside the dataset's %.0f, and half of "
                 "the free "
                 "memory is %.0f MiB for %d process%s",
                 out->members, mib(out->bytes), mib(dataset_bytes), mib(memory / 2), jobs,
                 jobs > 1 ? "es" : "");
        return UF_OK;
    }
    int n = snprintf(out->why, sizeof out->why,
                     "%d of a shape in a process, one for each thread; an update works on %.1f MiB",
                     out->members, mib(works_on));
    const size_t in_flight = works_on * (size_t)threads * (size_t)jobs;
    if (cache && n < (int)sizeof out->why)
        n += snprintf(out->why + n, sizeof out->why - (size_t)n,
                      ", all together on %.0f of %.0f MiB of cache", mib(in_flight), mib(cache));
    if (memory && n < (int)sizeof out->why)
        snprintf(out->why + n, sizeof out->why - (size_t)n, "; memory would hold %zu", left / out->bytes);
    return UF_OK;
}
