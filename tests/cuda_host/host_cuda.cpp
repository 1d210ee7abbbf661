// host_cuda.cpp: runs the kernels of kernels.cu on the host, for tests.
//
// The threads of a block are fibres: each runs until it meets others (__syncthreads, a warp function), then the next
// in order goes on. Nothing runs at the same time, so what a missing barrier would break shows as a result that
// depends on the order; tests run every op in three. What is stricter than a GPU: a thread that leaves while others
// wait for it, lanes that meet at different functions, and threads that wait for ever stop the program. Device memory
// begins as NaN, as does shared memory. Only while the device works can it be accessed: a program that follows a
// pointer of the device ends in a segmentation fault. Under the address sanitizer it is the heap's, so that every
// access is seen, the program's too.
//
// What is given to a stream waits in it until the program waits for that; then streams take turns as far as events let
// them: in one order of threads the first that can goes on, in another the last, so that what nothing orders is done in
// both orders.
//
// A build of its own looks for races between all these: races.cpp.
//
// Rooms: fibres, meeting, tensor cores, copies, launching, phases, products of a warpgroup, who reads device memory,
// streams, graphs, clock, memory, device, cuBLAS.
#include "host_cuda.h"

#include "cublas_v2.h"
#include "cuda_runtime.h"
#include "dlfcn.h"
#include "host_mma.h"
#include "races.h"

#include <cblas.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined __x86_64__
#include <ucontext.h>
#endif

#ifdef UF_RACES
static const bool FINDS_RACES = true;
#else
static const bool FINDS_RACES = false;
#endif
#if defined UF_RACES || defined __SANITIZE_ADDRESS__
static const bool CLOSES_MEMORY = false;
#else
static const bool CLOSES_MEMORY = true;
#endif
UfHostCuda uf_host_cuda = {UF_HOST_FORWARD,
                           13000,
                           1,
                           9,
                           static_cast<size_t>(16) << 30,
                           0,
                           0,
                           0,
                           -1,
                           -1,
                           false,
                           0,
                           -1,
                           -1,
                           FINDS_RACES,
                           0,
                           false,
                           CLOSES_MEMORY};
__attribute__((section("uf_built_in"))) dim3 threadIdx, blockIdx, blockDim, gridDim;

[[noreturn]] static void give_up(const char* sentence) {
    fprintf(stderr, "ERROR: block %u, thread %u of %u: %s\n", blockIdx.x, threadIdx.x, blockDim.x, sentence);
    abort();
}

// ---- fibres ----

enum State { READY, WAITS, DONE };
enum { MAX_THREADS = 1024, WARP = 32, STACK_BYTES = 256 << 10, PAGE = 4096 };

struct Fibre {
    void* stack;
    void* fake_stack;  // of the address sanitizer
    State state;
    UfHostMeeting meeting;
    uint64_t given[2];  // in turn, so that a lane that is ahead does not overwrite what others still read
    uint32_t fragments[2][6];  // likewise
    int turn;
    struct Phase* phase;  // that it waits for.   Nullable
#if defined __x86_64__
    void* sp;
#else
    ucontext_t context;
#endif
};

static Fibre fibres[MAX_THREADS + 1];  // the last is the program itself
static Fibre* const program = &fibres[MAX_THREADS];
static int num_fibres;                              // made so far
static int order[MAX_THREADS], place[MAX_THREADS];  // who is at a place, and where one is
static int first_ready;                             // none before that place can go on
static int num_done, num_at_barrier, num_in_warp[MAX_THREADS / WARP], done_in_warp[MAX_THREADS / WARP];
static const std::function<void()>* body;

static void park();

#if defined __SANITIZE_ADDRESS__
static const void* program_stack;  // of the thread that launches
static size_t program_bytes;
static bool from_program;

static void arrive(void* fake_stack) {
    const void* bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(fake_stack, &bottom, &bytes);
    if (from_program) {
        program_stack = bottom;
        program_bytes = bytes;
    }
    from_program = false;
}
#endif

static void fibre_main() {
#if defined __SANITIZE_ADDRESS__
    arrive(nullptr);
#endif
    for (;;) {
        (*body)();
        fibres[threadIdx.x].state = DONE;
        num_done++;
        done_in_warp[threadIdx.x / WARP]++;
        park();
    }
}

#if defined __x86_64__
// Saves what a function must keep, changes the stack, takes the other's. The control words never change here.
extern "C" void uf_host_switch(void** save, void* to);
asm(".text\n.globl uf_host_switch\n.type uf_host_switch,@function\nuf_host_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size uf_host_switch,.-uf_host_switch\n");
#endif

static void make_fibre(Fibre* f) {
    f->stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->stack == MAP_FAILED || mprotect(f->stack, PAGE, PROT_NONE) != 0) give_up("no memory for a stack");
#if defined __x86_64__
    void** top =
        reinterpret_cast<void**>(static_cast<char*>(f->stack) + STACK_BYTES) - 1;  // aligned as after a call
    *--top = reinterpret_cast<void*>(fibre_main);
    f->sp = top - 6;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, fibre_main, 0);
#endif
}

static void switch_fibre(Fibre* from, Fibre* to) {
#if defined __SANITIZE_ADDRESS__
    const bool is_program = to == program;
    from_program = from == program;
    __sanitizer_start_switch_fiber(&from->fake_stack, is_program ? program_stack : to->stack,
                                   is_program ? program_bytes : static_cast<size_t>(STACK_BYTES));
#endif
#if defined __x86_64__
    uf_host_switch(&from->sp, to->sp);
#else
    swapcontext(&from->context, &to->context);
#endif
#if defined __SANITIZE_ADDRESS__
    arrive(from->fake_stack);
#endif
}

// Goes on with a thread that can; back to the program when all are done. Forward and in reverse it is the first in
// order, so that a warp gets as far ahead of the others as barriers let it; else the next, in turn.
static void park() {
    const int self = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x);
    Fibre* next = num_done == count ? program : nullptr;
    int at = uf_host_cuda.order == UF_HOST_SHUFFLED ? place[self] + 1 : first_ready;
    for (int k = 0; k < count && !next; k++, at++) {
        if (at >= count) at -= count;
        if (fibres[order[at]].state != READY) continue;
        next = &fibres[order[at]];
        first_ready = at;
    }
    if (!next) give_up("threads wait for one another for ever");
    if (next == &fibres[self]) return;
    if (next != program) threadIdx.x = static_cast<unsigned>(next - fibres);
    switch_fibre(&fibres[self], next);
    threadIdx.x = static_cast<unsigned>(self);
}

// ---- meeting ----

static void meet(UfHostMeeting what, int first, int count, int* arrived) {
    Fibre* self = &fibres[threadIdx.x];
    self->meeting = what;
    if (++*arrived < count) {
        self->state = WAITS;
        park();
        return;
    }
    *arrived = 0;
    for (int i = first; i < first + count; i++) {
        if (fibres[i].meeting != what) give_up("threads meet at different functions");
        fibres[i].state = READY;
        if (place[i] < first_ready) first_ready = place[i];
    }
}

void __syncthreads() {
    if (num_done) give_up("a thread has left and will not come to __syncthreads");
    if (num_at_barrier + 1 == static_cast<int>(blockDim.x)) uf_races_meet_block();
    meet(UF_HOST_SYNCTHREADS, 0, static_cast<int>(blockDim.x), &num_at_barrier);
}

// It meets twice, so that nobody hands in the next before all have read.
int __syncthreads_or(int predicate) {
    fibres[threadIdx.x].given[0] = static_cast<uint64_t>(predicate != 0);
    __syncthreads();
    int result = 0;
    for (unsigned i = 0; i < blockDim.x; i++) result = result || fibres[i].given[0];
    __syncthreads();
    return result;
}

static void meet_warp(UfHostMeeting what) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, first = warp * WARP;
    if (first + WARP > static_cast<int>(blockDim.x)) give_up("a warp function in a warp that is not whole");
    if (done_in_warp[warp]) give_up("a lane has left and will not come to the warp function");
    // Shuffles, votes and products bring lanes together, but do not order memory.
    if (what == UF_HOST_SYNCWARP && num_in_warp[warp] + 1 == WARP)
        uf_races_meet_warp(static_cast<unsigned>(warp));
    meet(what, first, WARP, &num_in_warp[warp]);
}

uint64_t uf_host_exchange(UfHostMeeting what, uint64_t bits, int from_lane) {
    Fibre* self = &fibres[threadIdx.x];
    const int turn = self->turn;
    self->given[turn] = bits;
    self->turn = 1 - turn;
    meet_warp(what);
    return fibres[static_cast<int>(threadIdx.x) / WARP * WARP + from_lane % WARP].given[turn];
}

void __syncwarp() { meet_warp(UF_HOST_SYNCWARP); }

void uf_host_check_mask(unsigned mask) {
    if (mask != 0xffffffffu) give_up("only whole warps meet here");
}

int __all_sync(unsigned mask, int predicate) {
    uf_host_check_mask(mask);
    int all = 1;
    const int first = static_cast<int>(threadIdx.x) / WARP * WARP;
    Fibre* self = &fibres[threadIdx.x];
    const int turn = self->turn;
    uf_host_exchange(UF_HOST_ALL, static_cast<uint64_t>(predicate != 0), 0);
    for (int i = first; i < first + WARP; i++) all = all && fibres[i].given[turn];
    return all;
}

// ---- tensor cores ----

// To the nearest number with `bits` bits behind the point, as tensor cores read their operands: 10 (TF32), 7 (bf16).
// away: halves go away from zero, not to even numbers.
static float rounded(float x, int bits, bool away) {
    uint32_t u;
    if (x - x != 0) return x;
    memcpy(&u, &x, sizeof u);
    const uint32_t half = 1u << (22 - bits), odd = away ? 1 : u >> (23 - bits) & 1;
    u = (u + half - 1 + odd) & ~(2 * half - 1);
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

uint32_t uf_round_tf32(float x) { return bits_of(rounded(x, 10, true)); }

uint32_t uf_pack_bf16(float low, float high) {
    return bits_of(rounded(low, 7, false)) >> 16 | (bits_of(rounded(high, 7, false)) & 0xffff0000u);
}

// slots: 1 or 2 a word. Each lane sums its own four numbers from what all lanes hold.
static void mma(float* c, const uint32_t* a, const uint32_t* b, int slots) {
    Fibre* self = &fibres[threadIdx.x];
    const int turn = self->turn, lane = static_cast<int>(threadIdx.x) % WARP, g = lane / 4, t = lane % 4;
    const Fibre* lanes = &fibres[static_cast<int>(threadIdx.x) - lane];
    memcpy(self->fragments[turn], a, 4 * sizeof *a);
    memcpy(self->fragments[turn] + 4, b, 2 * sizeof *b);
    uf_host_exchange(UF_HOST_MMA, 0, 0);
    for (int e = 0; e < 4; e++) {
        const int below = e / 2, column = 2 * t + e % 2;
        double sum = static_cast<double>(c[e]);
        for (int half = 0; half < 2; half++)
            for (int k = 0; k < 4; k++) {
                const uint32_t left = lanes[4 * g + k].fragments[turn][2 * half + below],
                               right = lanes[4 * column + k].fragments[turn][4 + half];
                if (slots == 1)
                    sum += static_cast<double>(float_of(left & ~0x1fffu)) *
                           static_cast<double>(float_of(right & ~0x1fffu));
                for (int s = 0; s < slots && slots == 2; s++)
                    sum += static_cast<double>(float_of(s ? left & 0xffff0000u : left << 16)) *
                           static_cast<double>(float_of(s ? right & 0xffff0000u : right << 16));
            }
        c[e] = static_cast<float>(sum);
    }
}

void uf_mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma(c, a, b, 1); }
void uf_mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma(c, a, b, 2); }

// ---- copies ----

// What a thread has begun to copy, in groups; the last is open.
static std::deque<std::vector<UfHostCopy>> copies[MAX_THREADS];

void uf_host_begin_copy(const UfHostCopy& copy) {
    const size_t bytes = static_cast<size_t>(copy.count) * sizeof *copy.to;
    if (reinterpret_cast<uintptr_t>(copy.to) % bytes || reinterpret_cast<uintptr_t>(copy.from) % bytes)
        give_up("a copy that is not aligned");
    auto& groups = copies[threadIdx.x];
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back(copy);
}

void uf_commit_copies() {
    auto& groups = copies[threadIdx.x];
    if (groups.empty()) groups.emplace_back();
    groups.emplace_back();
}

bool uf_host_next_copy(int later, UfHostCopy* out) {
    auto& groups = copies[threadIdx.x];
    while (groups.size() > static_cast<size_t>(later) + 1) {
        if (!groups.front().empty()) {
            *out = groups.front().back();
            groups.front().pop_back();
            return true;
        }
        groups.pop_front();
    }
    return false;
}

// ---- launching ----

extern uint32_t uf_shared_start[] __asm__("__start_uf_shared") __attribute__((weak));
extern uint32_t uf_shared_end[] __asm__("__stop_uf_shared") __attribute__((weak));
static const uint32_t UNWRITTEN = 0x7FA5A5A5;  // a NaN

__attribute__((no_sanitize("address"))) static void poison_shared() {
    for (uint32_t* at = uf_shared_start; at < uf_shared_end; at++) *at = UNWRITTEN;
}

static std::vector<float4> shared_memory;  // of the launch under way

float* uf_shared_memory() {
    if (shared_memory.empty()) give_up("shared memory that the launch did not ask for");
    return &shared_memory[0].x;
}

// ---- phases ----

struct BulkCopy {
    unsigned char* to;
    const unsigned char* from;
    size_t bytes;
};
struct Phase {
    int count, missing;
    int64_t bytes;  // that are to come, less those that came
    int ended;
    std::vector<BulkCopy> copies;
};
static std::map<const UfPhase*, Phase> phases;

static Phase* phase_at(const UfPhase* at) {
    const auto found = phases.find(at);
    if (found == phases.end()) give_up("a phase that was not begun");
    return &found->second;
}

void uf_phase_begin(UfPhase* phase, int count) { phases[phase] = Phase{count, count, 0, 0, {}}; }

// Who waits for it looks again.
static void wake(Phase* p) {
    for (int i = 0; i < static_cast<int>(blockDim.x); i++) {
        if (fibres[i].phase != p) continue;
        fibres[i].phase = nullptr;
        fibres[i].state = READY;
        if (place[i] < first_ready) first_ready = place[i];
    }
}

static void try_end(Phase* p) {
    if (p->missing || p->bytes) return;
    p->missing = p->count;
    p->ended++;
    wake(p);
}

void uf_phase_arrive(UfPhase* phase) {
    Phase* p = phase_at(phase);
    if (!p->missing) give_up("more arrive at a phase than it counts");
    p->missing--;
    try_end(p);
}

void uf_phase_expect(UfPhase* phase, int bytes) {
    phase_at(phase)->bytes += bytes;
    uf_phase_arrive(phase);
}

void uf_copy_bulk(void* to, const void* from, int bytes, UfPhase* phase) {
    if (reinterpret_cast<uintptr_t>(to) % 16 || reinterpret_cast<uintptr_t>(from) % 16 || bytes % 16 ||
        bytes <= 0)
        give_up("a copy that is not of whole 16 bytes");
    const BulkCopy copy = {static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from),
                           static_cast<size_t>(bytes)};
    for (int i = 0; i < bytes; i += 4) memcpy(copy.to + i, &UNWRITTEN, sizeof UNWRITTEN);
    phase_at(phase)->copies.push_back(copy);
    wake(phase_at(phase));
}

void uf_phase_wait(UfPhase* phase, int parity) {
    Phase* p = phase_at(phase);
    for (;;) {
        for (const BulkCopy& copy : p->copies) {
            memcpy(copy.to, copy.from, copy.bytes);
            p->bytes -= static_cast<int64_t>(copy.bytes);
        }
        p->copies.clear();
        try_end(p);
        if (p->ended % 2 != parity) return;
        fibres[threadIdx.x].phase = p;
        fibres[threadIdx.x].state = WAITS;
        park();
    }
}

// ---- products of a warpgroup ----

struct Wgmma {
    float* d;
    uint32_t a[4];
    UfHostMatrix transpose, b;
    bool rows_are_k, adds;
};
// Of each thread: groups that are not done, the last of them open, and what d has come to.
static std::deque<std::vector<Wgmma>> wgmmas[MAX_THREADS];
static std::vector<float> wgmma_sums[MAX_THREADS];
static float* wgmma_to[MAX_THREADS];

void uf_wgmma_begin() { meet_warp(UF_HOST_MMA); }

void uf_host_wgmma(float* d, const uint32_t* a, UfHostMatrix transpose, UfHostMatrix b, bool rows_are_k,
                   bool adds) {
    const unsigned me = threadIdx.x;
    Wgmma w = {d, {}, transpose, b, rows_are_k, adds};
    if (a) memcpy(w.a, a, sizeof w.a);
    if (rows_are_k &&
        (reinterpret_cast<uintptr_t>(b.at) % 1024 || reinterpret_cast<uintptr_t>(transpose.at) % 1024))
        give_up("a matrix that is not on 1024 bytes");
    if (wgmmas[me].empty()) wgmmas[me].emplace_back();
    wgmmas[me].back().push_back(w);
    if (wgmma_to[me] && wgmma_to[me] != d) give_up("two products at a time");
    if (!wgmma_to[me]) {
        wgmma_sums[me].assign(d, d + 128);
        for (int i = 0; i < 128; i++) memcpy(&d[i], &UNWRITTEN, sizeof UNWRITTEN);
    }
    wgmma_to[me] = d;
}

void uf_wgmma_commit() {
    auto& groups = wgmmas[threadIdx.x];
    if (groups.empty()) groups.emplace_back();
    groups.emplace_back();
}

// Number (k, n) of a matrix.
static float wgmma_number(const UfHostMatrix& m, bool rows_are_k, int k, int n) {
    const int row = rows_are_k ? k : n, number = rows_are_k ? n : k;
    const unsigned char* piece = m.at;
    size_t in_row = static_cast<size_t>(number % 64) * 2;
    if (rows_are_k) {
        piece += number / 64 * m.along_n + row / 8 * m.along_k;
    } else {  // `at` is within the first row of a piece
        in_row += reinterpret_cast<uintptr_t>(piece) % 1024;
        piece -= reinterpret_cast<uintptr_t>(piece) % 1024;
        piece += row / 8 * m.along_n;
    }
    const size_t r = static_cast<size_t>(row % 8), at = r * 128 + ((in_row / 16) ^ r) * 16 + in_row % 16;
    uint16_t bits;
    memcpy(&bits, piece + at, sizeof bits);
    return float_of(static_cast<uint32_t>(bits) << 16);
}

static void do_wgmma(const Wgmma& w) {
    static float factors[MAX_THREADS / WARP][256][16];  // b of each warp, a column after the other
    Fibre* self = &fibres[threadIdx.x];
    const int turn = self->turn, lane = static_cast<int>(threadIdx.x) % WARP, g = lane / 4, t = lane % 4;
    const Fibre* lanes = &fibres[static_cast<int>(threadIdx.x) - lane];
    float* d = wgmma_sums[threadIdx.x].data();
    auto& b = factors[threadIdx.x / WARP];
    memcpy(self->fragments[turn], w.a, sizeof w.a);
    for (int n = lane; n < 256; n += WARP)
        for (int k = 0; k < 16; k++) b[n][k] = wgmma_number(w.b, w.rows_are_k, k, n);
    uf_host_exchange(UF_HOST_MMA, 0, 0);
    float rows[2][16];
    for (int below = 0; below < 2; below++)
        for (int k = 0; k < 16; k++) {
            const uint32_t word = lanes[4 * g + k % 8 / 2].fragments[turn][k / 8 * 2 + below];
            const int row = static_cast<int>(threadIdx.x) / WARP % 4 * 16 + g + 8 * below;
            rows[below][k] = w.transpose.at ? wgmma_number(w.transpose, true, k, row)
                                            : float_of(k % 2 ? word & 0xffff0000u : word << 16);
        }
    for (int j = 0; j < 32; j++)
        for (int e = 0; e < 2; e++) {
            const float* column = b[8 * j + 2 * t + e];
            double sum[2] = {0, 0};
            for (int k = 0; k < 16; k++) {
                sum[0] += static_cast<double>(rows[0][k]) * static_cast<double>(column[k]);
                sum[1] += static_cast<double>(rows[1][k]) * static_cast<double>(column[k]);
            }
            for (int below = 0; below < 2; below++) {
                float* to = &d[4 * j + 2 * below + e];
                *to = static_cast<float>(sum[below] + (w.adds ? static_cast<double>(*to) : 0));
            }
        }
    meet_warp(UF_HOST_MMA);  // the next takes its place
}

void uf_host_wgmma_wait(int later) {
    const unsigned me = threadIdx.x;
    auto& groups = wgmmas[me];
    while (groups.size() > static_cast<size_t>(later) + 1) {
        for (const Wgmma& w : groups.front()) do_wgmma(w);
        groups.pop_front();
    }
    bool done = true;
    for (const auto& group : groups) done = done && group.empty();
    if (!done || !wgmma_to[me]) return;
    memcpy(wgmma_to[me], wgmma_sums[me].data(), 128 * sizeof(float));
    wgmma_to[me] = nullptr;
}

static uint32_t chance(uint32_t n) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return static_cast<uint32_t>(static_cast<uint64_t>(state) * n >> 32);
}

static void choose_order(int count) {
    for (int i = 0; i < count; i++) order[i] = uf_host_cuda.order == UF_HOST_REVERSE ? count - 1 - i : i;
    for (int i = count - 1; i > 0 && uf_host_cuda.order == UF_HOST_SHUFFLED; i--) {
        const int other = static_cast<int>(chance(static_cast<uint32_t>(i) + 1)), swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
    for (int i = 0; i < count; i++) place[order[i]] = i;
}

static void run_block(int count) {
    poison_shared();
    for (float4& x : shared_memory) x.x = x.y = x.z = x.w = float_of(UNWRITTEN);
    choose_order(count);
    num_done = num_at_barrier = first_ready = 0;
    phases.clear();
    uf_races_begin_block(blockIdx.x, shared_memory.data(), shared_memory.size() * sizeof(float4));
    memset(num_in_warp, 0, sizeof num_in_warp);
    memset(done_in_warp, 0, sizeof done_in_warp);
    for (int i = 0; i < count; i++) {
        fibres[i].state = READY;
        fibres[i].turn = 0;
        copies[i].clear();
        fibres[i].phase = nullptr;
    }
    threadIdx = dim3(static_cast<unsigned>(order[0]), 0, 0);
    switch_fibre(program, &fibres[order[0]]);
    for (int i = 0; i < count; i++)
        if (wgmma_to[i]) give_up("a product that nobody waited for");
    for (const auto& phase : phases)
        if (phase.second.bytes || !phase.second.copies.empty())
            give_up("a block has left before what it expects came");
}

// Threads of the program take turns.
static std::recursive_mutex one_at_a_time;
typedef std::lock_guard<std::recursive_mutex> Turn;

static void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
    const int count = static_cast<int>(block.x);
    shared_memory = std::vector<float4>(shared_bytes / sizeof(float4));
    while (num_fibres < count) make_fibre(&fibres[num_fibres++]);
    body = &thread;
    gridDim = grid;
    blockDim = block;
    // Blocks in both directions: none may wait for what another writes.
    const bool backward = uf_host_cuda.order == UF_HOST_REVERSE;
    for (unsigned b = 0; b < gridDim.x; b++) {
        blockIdx = dim3(backward ? gridDim.x - 1 - b : b, 0, 0);
        run_block(count);
    }
}

// ---- who reads device memory ----

#if defined UF_RACES || defined __SANITIZE_ADDRESS__  // theirs is another
struct Opened {
    Opened() {}
};
#else
static const size_t ARENA_BYTES = static_cast<size_t>(64) << 30, ARENA_STEP = 2 << 20;  // of addresses
static struct {
    char* at;
    size_t end;                      // nothing was given behind
    std::map<size_t, size_t> taken;  // where: bytes
} arena;
static int num_opened;

// Device memory can be read and written while there is one: while the device does something.
struct Opened {
    Opened() {
        if (num_opened++ == 0) protect(PROT_READ | PROT_WRITE);
    }
    ~Opened() {
        if (--num_opened == 0 && uf_host_cuda.closes_memory) protect(PROT_NONE);
    }
    static void protect(int to) {
        if (arena.end && mprotect(arena.at, arena.end, to) != 0)
            give_up("device memory cannot be opened or closed");
    }
};
#endif

// ---- streams ----

// A place in a stream that others wait for.
struct Ticket {
    UfHostStream* stream;
    bool done;
    UfRaceClock clock;
};

// What a stream does next: some work, or to tell where it is, or to wait for where another is.
struct Item {
    std::function<void(UfRaceClock*)> work;
    std::shared_ptr<Ticket> tells, waits;
    UfRaceClock given = {};  // what the program has waited for before
};

struct Lane : std::deque<Item> {
    UfRaceClock clock;
};

static UfRaceClock program_clock;  // what the program has waited for

struct UfHostStream {
    int number;  // in the order in which they were made
    Lane lane;
    UfHostGraph* capture;  // that takes what is given.   Nullable
};

// Lane 0 is of the stream whose recording it is.
struct UfHostGraph {
    std::vector<UfHostStream*> streams;
    std::vector<Lane> lanes;
};

struct UfHostEvent {
    std::shared_ptr<Ticket> last;
    UfHostGraph* capture;
    std::shared_ptr<double> seconds = std::make_shared<double>(0);  // when it was reached
};

static std::vector<UfHostStream*>& all_streams() {
    static std::vector<UfHostStream*> all;
    return all;
}

static Lane& lane_of(UfHostStream* stream) {
    for (size_t i = 0; stream->capture && i < stream->capture->streams.size(); i++)
        if (stream->capture->streams[i] == stream) return stream->capture->lanes[i];
    return stream->lane;
}

static void give(UfHostStream* stream, const Item& item) {
    lane_of(stream).push_back(item);
    lane_of(stream).back().given = program_clock;
}

static void do_next(Lane* lane) {
    const Item item = lane->front();
    lane->pop_front();
    uf_races_join(&lane->clock, item.given);
    if (item.waits) uf_races_join(&lane->clock, item.waits->clock);
    if (item.work) item.work(&lane->clock);
    if (!item.tells) return;
    item.tells->done = true;
    item.tells->clock = lane->clock;
}

// Lanes take turns until `until` is empty, or all are.
static void run_lanes(const std::vector<Lane*>& lanes, const Lane* until) {
    const Opened opened;
    while (!until || !until->empty()) {
        std::vector<Lane*> ready;
        Lane* held = nullptr;
        bool empty = true;
        for (size_t i = 0; i < lanes.size(); i++) {
            Lane* lane = lanes[i];
            empty = empty && lane->empty();
            if (lane->empty() || (lane->front().waits && !lane->front().waits->done)) continue;
            if (static_cast<int>(i) == uf_host_cuda.held_stream)
                held = lane;
            else
                ready.push_back(lane);
        }
        if (ready.empty() && held) ready.push_back(held);
        if (empty) return;
        if (ready.empty()) give_up("streams wait for one another for ever");
        const size_t last = ready.size() - 1;
        do_next(ready[uf_host_cuda.order == UF_HOST_FORWARD   ? 0
                      : uf_host_cuda.order == UF_HOST_REVERSE ? last
                                                              : chance(static_cast<uint32_t>(last) + 1)]);
    }
}

// Does all that `stream` was given, and of what it waits for, and what that waits for, anything.
static void drain(UfHostStream* stream) {
    std::vector<UfHostStream*> taking = {stream};
    std::vector<Lane*> lanes;
    for (size_t i = 0; i < taking.size(); i++)
        for (const Item& item : taking[i]->lane) {
            if (!item.waits || item.waits->done) continue;
            bool known = false;
            for (const UfHostStream* other : taking) known = known || other == item.waits->stream;
            if (!known) taking.push_back(item.waits->stream);
        }
    for (UfHostStream* one : all_streams())
        for (const UfHostStream* other : taking)
            if (one == other) lanes.push_back(&one->lane);
    run_lanes(lanes, &stream->lane);
    uf_races_join(&program_clock, stream->lane.clock);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
    const Turn turn(one_at_a_time);
    (void)flags;
    *out = new UfHostStream();
    (*out)->lane.clock.slot = uf_races_take_slot();
    all_streams().push_back(*out);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const Turn turn(one_at_a_time);
    drain(stream);
    for (size_t i = 0; i < all_streams().size(); i++)
        if (all_streams()[i] == stream) all_streams().erase(all_streams().begin() + static_cast<long>(i));
    uf_races_return_slot(stream->lane.clock.slot);
    delete stream;
    return cudaSuccess;
}

// What is no launch must wait until the recording has ended.
static void expect_no_capture(cudaStream_t stream, const char* what) {
    if (stream && stream->capture) give_up(what);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    const Turn turn(one_at_a_time);
    expect_no_capture(stream, "a wait inside a recording");
    const bool fails = uf_host_cuda.fail_sync >= 0 && uf_host_cuda.num_launches >= uf_host_cuda.fail_sync;
    drain(stream);
    return fails ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
    (void)flags;
    *out = new UfHostEvent();
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    const Turn turn(one_at_a_time);
    event->last = std::make_shared<Ticket>(Ticket{stream, false, {}});
    event->capture = stream->capture;
    const auto note = [seconds = event->seconds](UfRaceClock*) {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        *seconds = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
    };
    Item item = {nullptr, event->last, nullptr};
    if (!stream->capture) item.work = note;
    give(stream, item);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    const Turn turn(one_at_a_time);
    *milliseconds = static_cast<float>(1e3 * (*to->seconds - *from->seconds));
    return cudaSuccess;
}

// A stream that waits for one that is recorded takes part in the recording.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    const Turn turn(one_at_a_time);
    (void)flags;
    if (stream->capture && stream->capture != event->capture)
        give_up("a recording that waits for what is outside of it");
    if (event->capture && !stream->capture) {
        stream->capture = event->capture;
        stream->capture->streams.push_back(stream);
        stream->capture->lanes.emplace_back();
    }
    if (uf_host_cuda.num_waits++ != uf_host_cuda.skip_wait) give(stream, {nullptr, nullptr, event->last});
    return cudaSuccess;
}

enum { PLAIN_SHARED = 48 << 10, AMPERE_SHARED = 163 << 10, HOPPER_SHARED = 227 << 10 };  // bytes a block

static std::map<const void*, size_t>& shared_limits() {
    static std::map<const void*, size_t> all;
    return all;
}

cudaError_t uf_host_func_attribute(const void* kernel, cudaFuncAttribute what, int value) {
    const int most = uf_host_cuda.compute_major < 9 ? AMPERE_SHARED : HOPPER_SHARED;
    if (what != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > most)
        return cudaErrorInvalidValue;
    shared_limits()[kernel] = static_cast<size_t>(value);
    return cudaSuccess;
}

cudaError_t uf_host_launch(const void* kernel, const cudaLaunchConfig_t* config,
                           const std::function<void()>& thread) {
    const Turn turn(one_at_a_time);
    const dim3 grid = config->gridDim, block = config->blockDim;
    const size_t bytes = config->dynamicSmemBytes;
    const auto limit = shared_limits().find(kernel);
    if (uf_host_cuda.num_launches++ == uf_host_cuda.fail_launch) return cudaErrorLaunchFailure;
    if (block.x < 1 || block.x > MAX_THREADS || grid.x < 1 || !config->stream) return cudaErrorLaunchFailure;
    if (bytes % sizeof(float4) ||
        bytes > (limit == shared_limits().end() ? static_cast<size_t>(PLAIN_SHARED) : limit->second))
        return cudaErrorInvalidValue;
    const int64_t number = uf_host_cuda.num_launches - 1;
    const auto work = [=](UfRaceClock* clock) {
        uf_races_begin_launch(clock, kernel, nullptr, number);
        run_grid(grid, block, bytes, thread);
        uf_races_end_launch();
    };
    give(config->stream, {work, nullptr, nullptr});
    return cudaSuccess;
}

// ---- graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    const Turn turn(one_at_a_time);
    (void)mode;
    expect_no_capture(stream, "a recording inside a recording");
    stream->capture = new UfHostGraph();
    stream->capture->streams.push_back(stream);
    stream->capture->lanes.emplace_back();
    return cudaSuccess;
}

// How much of each lane is done when `count` items of one are.
static void reach(const UfHostGraph* graph, size_t lane, size_t count, std::vector<size_t>* reached) {
    for (; (*reached)[lane] < count; (*reached)[lane]++) {
        const Item& item = graph->lanes[lane][(*reached)[lane]];
        if (!item.waits) continue;
        for (size_t other = 0; other < graph->lanes.size(); other++)
            for (size_t i = 0; i < graph->lanes[other].size(); i++)
                if (graph->lanes[other][i].tells == item.waits) reach(graph, other, i + 1, reached);
    }
}

// Where a stream that took part has work that the first does not wait for, there is no graph.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* out) {
    const Turn turn(one_at_a_time);
    UfHostGraph* graph = stream->capture;
    std::vector<size_t> reached(graph->lanes.size());
    bool joined = true;
    reach(graph, 0, graph->lanes[0].size(), &reached);
    for (size_t i = 0; i < graph->lanes.size(); i++)
        for (size_t k = reached[i]; k < graph->lanes[i].size(); k++)
            joined = joined && !graph->lanes[i][k].work;
    for (UfHostStream* one : graph->streams) one->capture = nullptr;
    *out = joined ? graph : nullptr;
    if (!joined) delete graph;
    return joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined;
}

static int num_graphs;     // that can be launched
static int num_libraries;  // that are open

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    *out = new UfHostGraph(*graph);
    num_graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    num_graphs--;
    delete graph;
    return cudaSuccess;
}

// Its lanes begin after what its stream has done, which goes on after all of them.
static void run_graph(std::vector<Lane> lanes, UfRaceClock* clock) {
    std::vector<Lane*> all;
    for (Lane& lane : lanes) {
        lane.clock = *clock;
        lane.clock.slot = uf_races_lane_slot(clock->slot, all.size());
        all.push_back(&lane);
        for (Item& item : lane)
            if (item.tells) item.tells->done = false;
    }
    run_lanes(all, nullptr);
    for (const Lane& lane : lanes) uf_races_join(clock, lane.clock);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    const Turn turn(one_at_a_time);
    expect_no_capture(stream, "a graph launched inside a recording");
    give(stream, {[lanes = graph->lanes](UfRaceClock* clock) { run_graph(lanes, clock); }, nullptr, nullptr});
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
    for (size_t i = 0; nodes && i < *count; i++) nodes[i] = i;
    if (nodes) return cudaSuccess;
    *count = 0;
    for (const Lane& lane : graph->lanes)
        for (const Item& item : lane) *count += item.work != nullptr;
    return cudaSuccess;
}

// ---- clock ----

long long clock64() {
    static long long ticks;
    return ticks += 1000000;
}

// ---- memory ----

static std::map<void*, size_t>& allocations() {
    static std::map<void*, size_t> all;
    return all;
}

#if defined UF_RACES
static void* alloc_device(size_t bytes) { return uf_races_alloc(bytes); }
static void free_device(void* memory) { uf_races_free(memory); }
#elif defined __SANITIZE_ADDRESS__
static void* alloc_device(size_t bytes) { return aligned_alloc(256, (bytes + 255) / 256 * 256); }
static void free_device(void* memory) { free(memory); }
#else
// The first place that is large enough.
static void* alloc_device(size_t bytes) {
    const size_t room = (bytes + 255) / 256 * 256 + (bytes == 0 ? 256 : 0);
    if (!arena.at) {
        void* at = mmap(nullptr, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return nullptr;
        madvise(at, ARENA_BYTES, MADV_HUGEPAGE);  // there is less to open and close
        arena.at = static_cast<char*>(at);
    }
    size_t from = 0;
    for (const auto& taken : arena.taken) {
        if (taken.first - from >= room) break;
        from = taken.first + taken.second;
    }
    if (room > ARENA_BYTES - from) return nullptr;
    if (from + room > arena.end) arena.end = (from + room + ARENA_STEP - 1) / ARENA_STEP * ARENA_STEP;
    arena.taken[from] = room;
    return arena.at + from;
}

// Pages go back when the last memory does, so that what is opened stays small.
static void free_device(void* memory) {
    arena.taken.erase(static_cast<size_t>(static_cast<char*>(memory) - arena.at));
    if (!arena.taken.empty()) return;
    madvise(arena.at, arena.end, MADV_DONTNEED);
    arena.end = 0;
}
#endif

cudaError_t cudaMalloc(void** out, size_t bytes) {
    const Turn turn(one_at_a_time);
    *out = nullptr;
    if (bytes > uf_host_cuda.total_bytes - uf_host_cuda.used_bytes) return cudaErrorMemoryAllocation;
    const size_t words = bytes / sizeof UNWRITTEN;
    void* memory = alloc_device(bytes);
    if (!memory) return cudaErrorMemoryAllocation;
    const Opened opened;
    for (size_t i = 0; i < words; i++) static_cast<uint32_t*>(memory)[i] = UNWRITTEN;
    allocations()[memory] = bytes;
    uf_host_cuda.used_bytes += bytes;
    *out = memory;
    return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
    const Turn turn(one_at_a_time);
    if (!memory) return cudaSuccess;
    for (UfHostStream* stream : all_streams()) drain(stream);
    const auto found = allocations().find(memory);
    if (found == allocations().end()) give_up("cudaFree of what cudaMalloc did not give");
    uf_host_cuda.used_bytes -= found->second;
    allocations().erase(found);
    free_device(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
    *free_bytes = uf_host_cuda.total_bytes - uf_host_cuda.used_bytes;
    *total = uf_host_cuda.total_bytes;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    (void)kind;
    const Turn turn(one_at_a_time);
    expect_no_capture(stream, "a copy inside a recording");
    const int64_t number = uf_host_cuda.num_launches;
    const auto work = [=](UfRaceClock* clock) {
        uf_races_begin_launch(clock, nullptr, "a copy", number);
        uf_races_access(from, bytes, false);
        uf_races_access(to, bytes, true);
        uf_races_end_launch();
        memcpy(to, from, bytes);
    };
    give(stream, {work, nullptr, nullptr});
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
    const Turn turn(one_at_a_time);
    expect_no_capture(stream, "memory is set inside a recording");
    const int64_t number = uf_host_cuda.num_launches;
    const auto work = [=](UfRaceClock* clock) {
        uf_races_begin_launch(clock, nullptr, "cudaMemsetAsync", number);
        uf_races_access(to, bytes, true);
        uf_races_end_launch();
        memset(to, value, bytes);
    };
    give(stream, {work, nullptr, nullptr});
    return cudaSuccess;
}

// ---- device ----

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess: return "no error";
        case cudaErrorInvalidValue: return "invalid argument";
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorInsufficientDriver:
            return "CUDA driver version is insufficient for CUDA runtime version";
        case cudaErrorNoDevice: return "no CUDA-capable device is detected";
        case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
        case cudaErrorLaunchFailure: return "unspecified launch failure";
        case cudaErrorStreamCaptureUnjoined: return "capturing stream has unjoined work";
    }
    return "unknown error";
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int* version) {
    *version = uf_host_cuda.driver_version;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
    *count = uf_host_cuda.device_count > 0 ? uf_host_cuda.device_count : 0;
    if (uf_host_cuda.device_count < 0) return cudaErrorInsufficientDriver;
    return *count ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device) {
    (void)device;
    strcpy(out->name, "the host");
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr what, int device) {
    (void)device;
    *value = what == cudaDevAttrMultiProcessorCount      ? 132
             : what == cudaDevAttrComputeCapabilityMajor ? uf_host_cuda.compute_major
                                                         : 0;
    return cudaSuccess;
}

// ---- cuBLAS ----

struct UfHostBlas {
    cudaStream_t stream;
    bool has_workspace;
};

cublasStatus_t cublasCreate_v2(cublasHandle_t* out) {
    *out = new UfHostBlas();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    handle->has_workspace = false;  // the library goes back to its own
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
    handle->has_workspace = workspace && bytes;
    return CUBLAS_STATUS_SUCCESS;
}

// A column-major matrix with `rows` numbers a column, rounded.
static std::vector<float> rounded_matrix(const float* x, int rows, int columns, int ld, int bits) {
    std::vector<float> y(static_cast<size_t>(rows) * static_cast<size_t>(columns));
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++)
            y[static_cast<size_t>(j) * static_cast<size_t>(rows) + static_cast<size_t>(i)] = rounded(
                x[static_cast<size_t>(j) * static_cast<size_t>(ld) + static_cast<size_t>(i)], bits, false);
    return y;
}

static void access_matrix(const float* x, int rows, int columns, int ld, bool writes) {
    for (int j = 0; j < columns; j++)
        uf_races_access(x + static_cast<size_t>(j) * static_cast<size_t>(ld),
                        static_cast<size_t>(rows) * sizeof *x, writes);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k, const void* alpha,
                                          const void* a, cudaDataType a_type, int lda, long long stride_a,
                                          const void* b, cudaDataType b_type, int ldb, long long stride_b,
                                          const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long stride_c, int count, cublasComputeType_t compute,
                                          cublasGemmAlgo_t algorithm) {
    const bool flip_a = op_a == CUBLAS_OP_T, flip_b = op_b == CUBLAS_OP_T;
    const int rows_a = flip_a ? k : m, columns_a = flip_a ? m : k, rows_b = flip_b ? n : k,
              columns_b = flip_b ? k : n, bits = compute == CUBLAS_COMPUTE_32F_FAST_16BF ? 7 : 10;
    (void)algorithm;
    if (!handle->stream || !handle->has_workspace || a_type != CUDA_R_32F || b_type != CUDA_R_32F ||
        c_type != CUDA_R_32F || m < 1 || n < 1 || k < 1 || count < 1 || lda < rows_a || ldb < rows_b ||
        ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    const float factor = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
    const int64_t number = uf_host_cuda.num_launches;
    const auto products = [=](UfRaceClock* clock) {
        uf_races_begin_launch(clock, nullptr, "a product of cuBLAS", number);
        for (int i = 0; i < count; i++) {
            access_matrix(static_cast<const float*>(a) + i * stride_a, rows_a, columns_a, lda, false);
            access_matrix(static_cast<const float*>(b) + i * stride_b, rows_b, columns_b, ldb, false);
        }
        for (int i = 0; i < count; i++)
            access_matrix(static_cast<const float*>(c) + i * stride_c, m, n, ldc, true);
        uf_races_end_launch();
        for (int i = 0; i < count; i++) {
            const std::vector<float> left =
                rounded_matrix(static_cast<const float*>(a) + i * stride_a, rows_a, columns_a, lda, bits);
            const std::vector<float> right =
                rounded_matrix(static_cast<const float*>(b) + i * stride_b, rows_b, columns_b, ldb, bits);
            cblas_sgemm(CblasColMajor, flip_a ? CblasTrans : CblasNoTrans, flip_b ? CblasTrans : CblasNoTrans,
                        m, n, k, factor, left.data(), rows_a, right.data(), rows_b, kept,
                        static_cast<float*>(c) + i * stride_c, ldc);
        }
    };
    uf_host_cuda.num_products++;
    const Turn turn(one_at_a_time);
    give(handle->stream, {products, nullptr, nullptr});
    return CUBLAS_STATUS_SUCCESS;
}

void* uf_host_dlopen(const char* name) {
    (void)name;
    const Turn turn(one_at_a_time);
    if (uf_host_cuda.no_blas) return nullptr;
    num_libraries++;
    return &uf_host_cuda;
}

// A graph may hold kernels of the library, which go with it when the last who has it open closes it.
void uf_host_dlclose() {
    const Turn turn(one_at_a_time);
    if (--num_libraries == 0 && num_graphs) give_up("a library is closed whose kernels a graph may hold");
}

void* uf_host_dlsym(const char* name) {
    static const struct {
        const char* name;
        void* function;
    } functions[] = {
        {"cublasCreate_v2", reinterpret_cast<void*>(cublasCreate_v2)},
        {"cublasDestroy_v2", reinterpret_cast<void*>(cublasDestroy_v2)},
        {"cublasSetStream_v2", reinterpret_cast<void*>(cublasSetStream_v2)},
        {"cublasSetWorkspace_v2", reinterpret_cast<void*>(cublasSetWorkspace_v2)},
        {"cublasGemmStridedBatchedEx", reinterpret_cast<void*>(cublasGemmStridedBatchedEx)},
    };
    for (const auto& f : functions)
        if (strcmp(f.name, name) == 0) return f.function;
    return nullptr;
}
