// races.cpp: finds accesses of device memory that nothing orders, while host_cuda.cpp runs the kernels (make
// test-cuda-host-races).
//
// The .cu files are compiled with -fsanitize=thread, which calls a function before each access. These are here, instead
// of the thread sanitizer's library: each byte of device and shared memory remembers its last write and the reads since.
// Two accesses, one of them a write, are a race where no barrier of the block, no meeting of the warp, no order of
// streams lies between them, in whatever order they ran here. Within a launch the rule is exact: different blocks; or
// different warps without a barrier in between; or different lanes of a warp without a barrier or __syncwarp in between
// (shuffles, votes and products do not order memory). Launches are ordered by clocks, one number a stream, that events,
// waits of the program and graphs carry on; threads of the program share a clock.
//
// A word has one cell until something smaller is accessed, then each of its bytes has its own.
//
// Rooms: cells, reports, the rule, accesses, launches, memory, what compiled code calls.
#include "races.h"

#include "cuda_runtime.h"
#include "host_cuda.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>

// ---- cells ----

enum { MAX_WARPS = 32, WARP = 32 };
enum Many : uint8_t { MANY_LANES = 1, MANY_WARPS = 2, MANY_BLOCKS = 4 };

// Who accessed; of many, the last. launch 0: nobody.
struct Record {
    uint32_t launch, block, barrier, meeting;  // barriers of the block, meetings of the warp so far
    uint16_t thread;
    uint8_t many;
    bool joint;   // an access that does not conflict with others of its kind
    uint32_t pc;  // behind the start of the program
};

struct Cell {
    Record write, read;
    uint32_t older;  // set of launches that read and are not ordered before the one in `read`
    uint32_t split;  // 1: its bytes have their own
};

struct Region {
    uintptr_t at;
    size_t bytes, room;
    Cell *words, *bytewise;
};

static const size_t ARENA_BYTES = static_cast<size_t>(64) << 30;  // of addresses, not of memory
static Region global_memory, static_shared, dynamic_shared;

struct Launch {
    int slot;
    uint32_t number;  // of its slot
    const void* kernel;
    const char* what;
    int64_t launch;
};

static std::vector<Launch>& launches() {
    static std::vector<Launch> all(1);
    return all;
}

static std::vector<std::vector<uint32_t>>& sets() {
    static std::vector<std::vector<uint32_t>> all(1);
    return all;
}

static Record me;  // of the thread that runs, but for what changes with each access
static const std::vector<uint32_t>* my_clock;
static bool running;
static uint32_t meetings[MAX_WARPS];
static uint32_t known_launch;  // the last one asked for
static bool known_order;

// ---- reports ----

extern const char program_start[] __asm__("__executable_start");
static std::map<uintptr_t, size_t>& allocations() {
    static std::map<uintptr_t, size_t> all;
    return all;
}

// A name without what all of them have, and without its parameters; a place without a remark.
static std::string short_of(std::string text) {
    for (const char* piece : {"void ", "(anonymous namespace)::", "uf_cuda::"})
        for (size_t at; (at = text.find(piece)) != std::string::npos;) text.erase(at, strlen(piece));
    text.erase(std::min(text.find_first_of("(\n"), text.size()));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text;
}

static std::string ask_addr2line(const char* options, uintptr_t offset) {
    char program[1024], command[1200], line[512];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    std::string found;
    if (length < 0) return found;
    program[length] = 0;
    snprintf(command, sizeof command, "addr2line -s %s -e '%s' 0x%zx 2>/dev/null", options, program,
             static_cast<size_t>(offset));
    FILE* pipe = popen(command, "r");
    while (pipe && fgets(line, sizeof line, pipe)) {
        if (found.empty() || strcmp(options, "-i") == 0)
            found += (found.empty() ? "" : " of ") + short_of(line);
    }
    if (pipe) pclose(pipe);
    return found;
}

static std::string whose(const Record& r, bool is_write, bool past) {
    const Launch& launch = launches()[r.launch];
    char text[200];
    std::string sentence;
    if (!launch.kernel) {
        snprintf(text, sizeof text, "%s (before launch %lld) ", launch.what,
                 static_cast<long long>(launch.launch));
        return text + std::string(is_write ? past ? "wrote" : "writes" : past ? "read" : "reads");
    }
    const uintptr_t kernel =
        reinterpret_cast<uintptr_t>(launch.kernel) - reinterpret_cast<uintptr_t>(program_start);
    snprintf(text, sizeof text, " (launch %lld), block %u%s, thread %u%s ",
             static_cast<long long>(launch.launch), r.block, r.many & MANY_BLOCKS ? " and others" : "",
             r.thread, r.many & (MANY_LANES | MANY_WARPS) ? " and others" : "");
    sentence = ask_addr2line("-Cf", kernel) + text +
               (is_write ? past ? "wrote" : "writes"
                : past   ? "read"
                         : "reads");
    return sentence + " at " + ask_addr2line("-i", r.pc - 1);
}

static void report(uintptr_t at, const Region& region, const Record& other, bool wrote, bool writes) {
    enum { MAX_SHOWN = 3 };
    static int num_shown;
    uf_host_cuda.num_races++;
    if (uf_host_cuda.expect_races || num_shown++ >= MAX_SHOWN) return;
    char place[200];
    if (&region == &global_memory) {
        auto found = allocations().upper_bound(at);
        if (found != allocations().begin()) --found;
        snprintf(place, sizeof place, "byte %zu of the %zu of global memory at %p",
                 static_cast<size_t>(at - found->first), found->second,
                 reinterpret_cast<void*>(found->first));
    } else
        snprintf(place, sizeof place, "byte %zu of %s shared memory", static_cast<size_t>(at - region.at),
                 &region == &dynamic_shared ? "the launch's" : "the program's");
    fprintf(stderr, "ERROR: a race on %s: %s, %s, and nothing orders them\n", place,
            whose(me, writes, false).c_str(), whose(other, wrote, true).c_str());
    abort();
}

// ---- the rule ----

static bool is_ordered(uint32_t launch) {
    if (launch == known_launch) return known_order;
    const Launch& l = launches()[launch];
    known_launch = launch;
    known_order = static_cast<size_t>(l.slot) < my_clock->size() &&
                  (*my_clock)[static_cast<size_t>(l.slot)] >= l.number;
    return known_order;
}

static bool conflicts(const Record& r) {
    if (!r.launch) return false;
    if (r.launch != me.launch) return !is_ordered(r.launch);
    if (r.many & MANY_BLOCKS || r.block != me.block) return true;
    if (r.barrier != me.barrier) return false;
    if (r.many & MANY_WARPS || r.thread / WARP != me.thread / WARP) return true;
    return r.meeting == me.meeting && (r.many & MANY_LANES || r.thread != me.thread);
}

// r and this access in one: of a launch, the accesses that a later one may conflict with.
static void add_mine(Record* r) {
    uint8_t many = 0;
    if (r->many & MANY_BLOCKS || r->block != me.block)
        many = MANY_BLOCKS;
    else if (r->barrier != me.barrier)
        many = 0;
    else if (r->many & MANY_WARPS || r->thread / WARP != me.thread / WARP)
        many = MANY_WARPS;
    else if (r->meeting == me.meeting && (r->many & MANY_LANES || r->thread != me.thread))
        many = MANY_LANES;
    *r = me;
    r->many = many;
}

// The set with `launch` added, and without those that are ordered before this access.
static uint32_t add_older(uint32_t set, uint32_t launch) {
    static std::map<std::tuple<uint32_t, uint32_t, uint32_t>, uint32_t> done;
    uint32_t& result = done[{set, launch, me.launch}];
    if (!result) {
        std::vector<uint32_t> members = {launch};
        for (const uint32_t one : sets()[set])
            if (!is_ordered(one)) members.push_back(one);
        result = static_cast<uint32_t>(sets().size());
        sets().push_back(members);
    }
    return result;
}

static void access_cell(Cell* c, uintptr_t at, const Region& region, bool writes) {
    if (&region != &global_memory) {  // each block has its own
        if (c->write.launch != me.launch || c->write.block != me.block) c->write.launch = 0;
        if (c->read.launch != me.launch || c->read.block != me.block) c->read.launch = 0;
    }
    if (conflicts(c->write) && !(me.joint && c->write.joint)) report(at, region, c->write, true, writes);
    if (!writes) {
        if (c->read.launch == me.launch) {
            add_mine(&c->read);
        } else {
            if (c->read.launch && !is_ordered(c->read.launch)) c->older = add_older(c->older, c->read.launch);
            c->read = me;
        }
        return;
    }
    if (conflicts(c->read)) report(at, region, c->read, false, true);
    if (c->older)
        for (const uint32_t launch : sets()[c->older])
            if (!is_ordered(launch)) {
                Record other = {};
                other.launch = launch;
                other.many = MANY_BLOCKS | MANY_LANES;
                report(at, region, other, false, true);
                break;
            }
    if (me.joint && c->write.joint && c->write.launch == me.launch)
        add_mine(&c->write);
    else
        c->write = me;
    if (me.joint) return;  // others of its kind may still conflict with the reads
    c->read.launch = 0;
    c->older = 0;
}

// ---- accesses ----

static void access_region(const Region& region, uintptr_t at, size_t bytes, bool writes) {
    const size_t first = at - region.at, end = first + bytes;
    for (size_t i = first; i < end;) {
        Cell* word = &region.words[i / 4];
        Cell* own = &region.bytewise[i / 4 * 4];
        const bool whole = i % 4 == 0 && end - i >= 4;
        if (whole && !word->split) {
            access_cell(word, region.at + i, region, writes);
            i += 4;
            continue;
        }
        for (int k = 0; k < 4 && !word->split; k++) own[k] = *word;
        word->split = 1;
        const size_t stop = whole ? i + 4 : i + 1;
        for (; i < stop; i++) access_cell(&own[i % 4], region.at + i, region, writes);
        if (!whole || !writes || me.joint) continue;
        *word = own[0];
        word->split = 0;
    }
}

// threadIdx and its like.
extern char built_in_start[] __asm__("__start_uf_built_in");
extern char built_in_end[] __asm__("__stop_uf_built_in");

static inline const Region* region_of(uintptr_t at) {
    if (at - global_memory.at < global_memory.bytes) return &global_memory;
    if (at - static_shared.at < static_shared.bytes)
        return at - reinterpret_cast<uintptr_t>(built_in_start) <
                       static_cast<size_t>(built_in_end - built_in_start)
                   ? nullptr
                   : &static_shared;
    if (at - dynamic_shared.at < dynamic_shared.bytes) return &dynamic_shared;
    return nullptr;
}

static inline void access_at(const void* memory, size_t bytes, bool writes, bool joint, const void* pc) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(memory);
    const Region* region = region_of(at);
    if (!region || !running) return;
    me.thread = static_cast<uint16_t>(threadIdx.x);
    me.meeting = meetings[threadIdx.x / WARP];
    me.joint = joint;
    me.pc =
        static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc) - reinterpret_cast<uintptr_t>(program_start));
    access_region(*region, at, bytes, writes);
}

void uf_races_access(const void* at, size_t bytes, bool writes) {
    access_at(at, bytes, writes, false, nullptr);
}

// ---- launches ----

static std::vector<int>& free_slots() {
    static std::vector<int> all;
    return all;
}

static std::vector<uint32_t>& counts() {  // launches of each slot so far
    static std::vector<uint32_t> all;
    return all;
}

static int new_slot() {
    counts().push_back(0);
    return static_cast<int>(counts().size()) - 1;
}

int uf_races_take_slot() {
    if (free_slots().empty()) return new_slot();
    const int slot = free_slots().back();
    free_slots().pop_back();
    return slot;
}

void uf_races_return_slot(int slot) { free_slots().push_back(slot); }

int uf_races_lane_slot(int stream_slot, size_t lane) {
    static std::map<std::pair<int, size_t>, int> all;
    const auto found = all.find({stream_slot, lane});
    return found != all.end() ? found->second : all[{stream_slot, lane}] = new_slot();
}

void uf_races_join(UfRaceClock* into, const UfRaceClock& from) {
    if (into->seen.size() < from.seen.size()) into->seen.resize(from.seen.size());
    for (size_t i = 0; i < from.seen.size(); i++)
        if (into->seen[i] < from.seen[i]) into->seen[i] = from.seen[i];
}

void uf_races_begin_launch(UfRaceClock* clock, const void* kernel, const char* what, int64_t number) {
    const size_t slot = static_cast<size_t>(clock->slot);
    if (clock->seen.size() <= slot) clock->seen.resize(slot + 1);
    clock->seen[slot] = ++counts()[slot];
    launches().push_back({clock->slot, clock->seen[slot], kernel, what, number});
    me = Record{};
    me.launch = static_cast<uint32_t>(launches().size() - 1);
    my_clock = &clock->seen;
    known_launch = 0;
    known_order = true;
    memset(meetings, 0, sizeof meetings);
    if (!kernel) threadIdx.x = 0;
    running = true;
}

// At least as many cells as `bytes` need.
static void cover(Region* region, const void* at, size_t bytes) {
    const size_t words = (bytes + 3) / 4;
    if (bytes > region->room) {
        free(region->words);
        free(region->bytewise);
        region->words = static_cast<Cell*>(calloc(words, sizeof(Cell)));
        region->bytewise = static_cast<Cell*>(calloc(words, 4 * sizeof(Cell)));
        if (!region->words || !region->bytewise) abort();
        region->room = bytes;
    }
    region->at = reinterpret_cast<uintptr_t>(at);
    region->bytes = bytes;
}

// What is static and written by a kernel is shared memory: of a template's, gcc does not heed the section.
extern char data_start[] __asm__("__data_start");
extern char data_end[] __asm__("_end");

void uf_races_begin_block(unsigned block, const void* shared, size_t shared_bytes) {
    cover(&static_shared, data_start, static_cast<size_t>(data_end - data_start));
    cover(&dynamic_shared, shared, shared_bytes);
    me.block = block;
    me.barrier = 0;
    memset(meetings, 0, sizeof meetings);
}

void uf_races_end_launch() { running = false; }
void uf_races_meet_block() { me.barrier++; }
void uf_races_meet_warp(unsigned warp) { meetings[warp]++; }

// ---- memory ----

// Addresses come from one range, so that a cell is found by arithmetic; those given back serve again by size.
static std::map<size_t, std::vector<uintptr_t>>& given_back() {
    static std::map<size_t, std::vector<uintptr_t>> all;
    return all;
}

static void* reserve(size_t bytes) {
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

enum { PAGE = 4096 };
static size_t whole_pages(size_t bytes) { return (bytes + PAGE - (bytes > 0)) / PAGE * PAGE; }

void* uf_races_alloc(size_t bytes) {
    static size_t used;
    const size_t room = whole_pages(bytes);
    if (!global_memory.bytes) {
        void* arena = reserve(ARENA_BYTES);
        global_memory.words = static_cast<Cell*>(reserve(ARENA_BYTES / 4 * sizeof(Cell)));
        global_memory.bytewise = static_cast<Cell*>(reserve(ARENA_BYTES * sizeof(Cell)));
        if (!arena || !global_memory.words || !global_memory.bytewise) return nullptr;
        global_memory.at = reinterpret_cast<uintptr_t>(arena);
        global_memory.bytes = ARENA_BYTES;
    }
    std::vector<uintptr_t>& again = given_back()[room];
    uintptr_t at;
    if (!again.empty()) {
        at = again.back();
        again.pop_back();
    } else if (room > ARENA_BYTES - used) {
        return nullptr;
    } else {
        at = global_memory.at + used;
        used += room;
    }
    allocations()[at] = bytes;
    return reinterpret_cast<void*>(at);
}

// Its cells are as new; whole pages of memory have whole pages of cells.
void uf_races_free(void* memory) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(memory);
    const size_t room = whole_pages(allocations()[at]), first = at - global_memory.at;
    allocations().erase(at);
    madvise(memory, room, MADV_DONTNEED);
    madvise(global_memory.words + first / 4, room / 4 * sizeof(Cell), MADV_DONTNEED);
    madvise(global_memory.bytewise + first, room * sizeof(Cell), MADV_DONTNEED);
    given_back()[room].push_back(at);
}

// ---- what compiled code calls ----

#define HERE __builtin_return_address(0)
#define ACCESS(bytes)                                                                         \
    void __tsan_read##bytes(void* at) { access_at(at, bytes, false, false, HERE); }           \
    void __tsan_write##bytes(void* at) { access_at(at, bytes, true, false, HERE); }           \
    void __tsan_unaligned_read##bytes(void* at) { access_at(at, bytes, false, false, HERE); } \
    void __tsan_unaligned_write##bytes(void* at) { access_at(at, bytes, true, false, HERE); }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* at, size_t bytes) { access_at(at, bytes, false, false, HERE); }
void __tsan_write_range(void* at, size_t bytes) { access_at(at, bytes, true, false, HERE); }

// Of statics that are made when they are first needed, on the host.
unsigned char __tsan_atomic8_load(const volatile unsigned char* at, int) { return *at; }

// Instead of those of the C library (objcopy in the Makefile).
void* uf_races_memcpy(void* to, const void* from, size_t bytes) {
    access_at(from, bytes, false, false, HERE);
    access_at(to, bytes, true, false, HERE);
    return memcpy(to, from, bytes);
}
void* uf_races_memmove(void* to, const void* from, size_t bytes) {
    access_at(from, bytes, false, false, HERE);
    access_at(to, bytes, true, false, HERE);
    return memmove(to, from, bytes);
}
void* uf_races_memset(void* to, int value, size_t bytes) {
    access_at(to, bytes, true, false, HERE);
    return memset(to, value, bytes);
}

void uf_races_joint_write(void* at, size_t bytes) { access_at(at, bytes, true, true, HERE); }
}
