// races.h: what host_cuda.cpp tells the detector of races, of who runs and what is ordered; see races.cpp. In a build
// without it (UF_RACES) all of this is nothing.
#ifndef UF_HOST_RACES_H
#define UF_HOST_RACES_H

#include <cstddef>
#include <cstdint>
#include <vector>

// How far each of the others is known to be: one number for each slot, which is a stream, or a lane of a graph that a
// stream launches.
struct UfRaceClock {
    int slot = -1;  // its own
    std::vector<uint32_t> seen;
};

#ifdef UF_RACES

int uf_races_take_slot();
void uf_races_return_slot(int slot);
int uf_races_lane_slot(int stream_slot, size_t lane);  // for good
void uf_races_join(UfRaceClock* into, const UfRaceClock& from);

// A launch, or what the host does in a stream: then kernel is null, and what says what.
void uf_races_begin_launch(UfRaceClock* clock, const void* kernel, const char* what, int64_t number);
void uf_races_begin_block(unsigned block, const void* shared, size_t shared_bytes);
void uf_races_end_launch();
void uf_races_meet_block();
void uf_races_meet_warp(unsigned warp);
void uf_races_access(const void* at, size_t bytes, bool writes);  // by what the host does

void* uf_races_alloc(size_t bytes);  // null: no memory
void uf_races_free(void* memory);

#else

inline int uf_races_take_slot() { return 0; }
inline void uf_races_return_slot(int) {}
inline int uf_races_lane_slot(int, size_t) { return 0; }
inline void uf_races_join(UfRaceClock*, const UfRaceClock&) {}
inline void uf_races_begin_launch(UfRaceClock*, const void*, const char*, int64_t) {}
inline void uf_races_begin_block(unsigned, const void*, size_t) {}
inline void uf_races_end_launch() {}
inline void uf_races_meet_block() {}
inline void uf_races_meet_warp(unsigned) {}
inline void uf_races_access(const void*, size_t, bool) {}

#endif
#endif
