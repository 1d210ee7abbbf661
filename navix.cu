// navix.cu: gridworlds on a CUDA device. What an environment does is in the headers that navix.c has too; this file says
// which threads do it and how their memory moves.
//
// A block of threads takes E environments, one after another in memory. Their blocks come into shared memory, each 8 bytes
// further than it would lie, so that the same field of many environments is in as many banks. Then thread e steps
// environment e, new levels included, and leaves what its observation is made of (a view's cells, say) in shared memory,
// too. Then all threads make the observations word by word in the order of memory, and write back the headers and the
// cells that have changed. A step reads each environment once and writes its header once. Pictures are a second kernel: the
// first writes which tile is where.
//
// A step must not wait for the host to look at its actions: a kernel before it does, and what that found keeps the step and
// all that comes later from doing anything, until the host asks.
//
// 1 shared memory  2 observations  3 a call  4 pictures  5 small kernels  6 launching
#include "kernels.cuh"

#include "core/grid/grid_device.h"
#include "core/grid/grid_episode.h"
#include "core/grid/grid_mission.h"

using namespace uf_cuda;

namespace {

// What of a batch all kernels look at. Zeros: nothing has happened.
struct Status {
    unsigned long long found;  // ~(environment << 8 | action) of the first bad action of a step.   0: none
    int halted;                // that step is over: later ones' actions are of no interest
};

enum Mode { RESET, STEP, SHOW };
enum { BLOCK = 128, FEWEST = 8, MOST_SHARED = 46 << 10 };  // without asking for more there are 48 KB
enum { PAD = 8, PIECE = 16 };
enum { MASKS = 2 * NX_MAX_SIDE + 1, TEXT = NX_MISSION_BYTES + 4 };  // odd numbers of words: as many banks
enum { NO_CODE = 0xFFFF };

// i / by for i * by < 2^32.
struct Divisor {
    uint32_t by, reciprocal;

    __device__ uint32_t divide(uint32_t i) const {
        return static_cast<uint32_t>(static_cast<uint64_t>(i) * reciprocal >> 32);
    }
};

Divisor divisor(size_t by) {
    return Divisor{static_cast<uint32_t>(by), static_cast<uint32_t>(((1ull << 32) + by - 1) / by)};
}

// Bytes from the beginning of shared memory. Views lie side by side, without gaps.
struct Places {
    uint32_t stride, masks, texts, views, bytes;
};

struct Call {
    uint8_t* blocks;  // (n, env_bytes)
    Status* status;
    int64_t n;
    const uint8_t* actions;    // STEP
    const int32_t* obstacles;  // Nullable
    NxOutput out;              // of pictures: (n, cells) codes of tiles instead
    size_t item;               // bytes of what the kernel writes of one observation
    Mode mode;
    int envs;  // of a block
    Places places;
    Divisor pieces, area, width, observation;
};

// ---- 1 shared memory ----

struct Shared {
    uint8_t* at;
    const Places* places;
    int view;  // cells

    __device__ NxEnv* env(int e) const {
        return reinterpret_cast<NxEnv*>(at + static_cast<uint32_t>(e) * places->stride);
    }
    __device__ NxCell* views(int e) const { return at + places->views + e * view; }
    __device__ uint32_t* masks(int e) const {
        return reinterpret_cast<uint32_t*>(at + places->masks) + e * MASKS;
    }
    __device__ char* text(int e) const { return reinterpret_cast<char*>(at + places->texts) + e * TEXT; }
};

__device__ inline int thread() { return static_cast<int>(threadIdx.x); }

__device__ void load_blocks(const Call& c, const Shared& s, int64_t first, int count) {
    const uint32_t each = c.pieces.by, total = static_cast<uint32_t>(count) * each;
    const uint4* from = reinterpret_cast<const uint4*>(c.blocks + first * each * PIECE);
#pragma unroll 4
    for (uint32_t k = threadIdx.x; k < total; k += BLOCK) {
        const uint32_t e = c.pieces.divide(k);
        const uint4 piece = from[k];
        uint2* to = reinterpret_cast<uint2*>(s.at + k * PIECE + e * PAD);
        to[0] = make_uint2(piece.x, piece.y);
        to[1] = make_uint2(piece.z, piece.w);
    }
}

enum { WHOLE = 1, ENDED = 2 };  // marks of an environment

// Headers, and all of those that are marked WHOLE.
__device__ void store_blocks(const Call& c, const Shared& s, const uint8_t* marks, int64_t first, int count) {
    const uint32_t each = c.pieces.by, total = static_cast<uint32_t>(count) * each;
    uint4* to = reinterpret_cast<uint4*>(c.blocks + first * each * PIECE);
    for (uint32_t k = threadIdx.x; k < total; k += BLOCK) {
        const uint32_t e = c.pieces.divide(k);
        if (k - e * each >= sizeof(NxEnv) / PIECE && !(marks[e] & WHOLE)) continue;
        const uint2* from = reinterpret_cast<const uint2*>(s.at + k * PIECE + e * PAD);
        to[k] = make_uint4(from[0].x, from[0].y, from[1].x, from[1].y);
    }
}

// ---- 2 observations ----

// What environment e's observation is made of and one thread finds out.
__device__ void look(const NxLayout& layout, const Shared& s, int e) {
    const NxEnv* env = s.env(e);
    switch (layout.observation) {
        case NX_OBS_FLAT: nx_mission_text(&layout, env, s.text(e));  // fall through
        case NX_OBS_FIRST_PERSON:
        case NX_OBS_ONE_HOT: nx_view(&layout, env, s.views(e)); break;
        case NX_OBS_RGB: nx_picture_view(&layout, env, false, s.views(e), s.masks(e)); break;
        case NX_OBS_RGB_FIRST_PERSON: nx_picture_view(&layout, env, true, s.views(e), s.masks(e)); break;
        case NX_OBS_CATEGORICAL_FIRST_PERSON:
            nx_navix_see(&layout, env, s.masks(e), s.masks(e) + NX_MAX_SIDE);
            break;
        default: break;
    }
}

// `total` bytes, four at a time: word(k) has bytes 4 k to 4 k + 3.
template <typename Word>
__device__ inline void put_words(uint8_t* out, uint32_t total, Word word) {
    const bool aligned = reinterpret_cast<uintptr_t>(out) % 4 == 0;
    for (uint32_t k = threadIdx.x; 4 * k < total; k += BLOCK) {
        const uint32_t bits = word(k);
        if (aligned && 4 * k + 4 <= total) {
            reinterpret_cast<uint32_t*>(out)[k] = bits;
            continue;
        }
        for (uint32_t i = 0; i < 4 && 4 * k + i < total; i++)
            out[4 * k + i] = static_cast<uint8_t>(bits >> 8 * i);
    }
}

// Triples of `count` cells.
template <typename Triple>
__device__ inline void put_triples(uint8_t* out, uint32_t count, Triple triple) {
    put_words(out, 3 * count, [&](uint32_t k) {
        const uint32_t first = 4 * k / 3, second = first + 1 < count ? first + 1 : first;
        const uint64_t both = triple(first) | static_cast<uint64_t>(triple(second)) << 24;
        return static_cast<uint32_t>(both >> 8 * (4 * k - 3 * first));
    });
}

template <typename T, typename Number>
__device__ inline void put_numbers(void* out, uint32_t count, Number number) {
    for (uint32_t k = threadIdx.x; k < count; k += BLOCK) static_cast<T*>(out)[k] = static_cast<T>(number(k));
}

// Byte `at` of a flat observation.
__device__ inline uint32_t flat_byte(const NxLayout& layout, const Shared& s, int e, int at) {
    const int size = layout.view, letters = 3 * size * size;
    if (at < letters) {
        const int cell = at / 3, r = cell % size, c = cell / size;
        return nx_triple(s.views(e)[r * size + c]) >> 8 * (at % 3) & 255;
    }
    const int i = (at - letters) / NX_FLAT_ALPHABET, k = (at - letters) % NX_FLAT_ALPHABET;
    const char* text = s.text(e);
    for (int before = 0; before < i; before++)
        if (!text[before]) return 0;
    return text[i] && nx_flat_letter(text[i]) == k;
}

// The observations of environments e to e + count - 1 of the block, by all its threads.
__device__ void observe(const NxLayout& layout, const Call& c, const Shared& s, int e, int count, void* to) {
    uint8_t* out = static_cast<uint8_t*>(to);
    const uint32_t cells = static_cast<uint32_t>(count) * c.area.by,
                   seen = static_cast<uint32_t>(count * layout.view * layout.view);
    const NxCell* views = s.views(e);
    // what = of(environment, cell of it) for cell k of all maps
    const auto on_map = [&](uint32_t k, auto of) {
        const uint32_t i = c.area.divide(k);
        return of(s.env(e + static_cast<int>(i)), static_cast<int>(k - i * c.area.by));
    };
    const auto on_place = [&](uint32_t k, auto of) {
        return on_map(k, [&](const NxEnv* env, int i) {
            const int y = static_cast<int>(c.width.divide(static_cast<uint32_t>(i)));
            return of(env, i - y * layout.spec.width, y, reinterpret_cast<const NxCell*>(env + 1)[i]);
        });
    };
    switch (layout.observation) {
        case NX_OBS_FIRST_PERSON:
            put_triples(out, seen, [&](uint32_t k) { return nx_triple(views[k]); });
            break;
        case NX_OBS_ONE_HOT:
            put_words(out, seen * NX_ONE_HOT, [&](uint32_t k) {
                const uint32_t bits = nx_one_hot(views[k / 5]) >> 4 * (k % 5) & 15;
                return bits * 0x00204081u & 0x01010101u;  // a byte a bit
            });
            break;
        case NX_OBS_FULL:
            put_triples(out, cells, [&](uint32_t k) {
                return on_map(k, [&](const NxEnv* env, int i) {
                    const bool agent = i == env->y * layout.spec.width + env->x;
                    return agent ? static_cast<uint32_t>(NX_TYPE_AGENT | NX_RED << 8 | env->direction << 16)
                                 : nx_triple(reinterpret_cast<const NxCell*>(env + 1)[i]);
                });
            });
            break;
        case NX_OBS_SYMBOLIC:
            put_numbers<int64_t>(out, 3 * cells, [&](uint32_t k) {
                return on_place(k / 3, [&](const NxEnv* env, int x, int y, NxCell cell) {
                    return k % 3 == 0 ? x : k % 3 == 1 ? y : nx_symbol(env, x, y, cell);
                });
            });
            break;
        case NX_OBS_CATEGORICAL:
            put_numbers<int32_t>(out, cells, [&](uint32_t k) {
                return on_place(k, [&](const NxEnv* env, int x, int y, NxCell cell) {
                    return nx_navix_tag(&layout, env, x, y, cell);
                });
            });
            break;
        case NX_OBS_CATEGORICAL_FIRST_PERSON:
            put_numbers<int32_t>(out, seen, [&](uint32_t k) {
                const int size = layout.view * layout.view, i = static_cast<int>(k) / size;
                return nx_navix_view_tag(&layout, s.env(e + i), s.masks(e + i),
                                         static_cast<int>(k) - i * size);
            });
            break;
        case NX_OBS_FLAT:
            put_words(out, static_cast<uint32_t>(count) * c.observation.by, [&](uint32_t k) {
                uint32_t word = 0;
                for (uint32_t i = 0; i < 4; i++) {
                    const uint32_t at = 4 * k + i, env = c.observation.divide(at);
                    if (env < static_cast<uint32_t>(count))
                        word |= flat_byte(layout, s, e + static_cast<int>(env),
                                          static_cast<int>(at - env * c.observation.by))
                                << 8 * i;
                }
                return word;
            });
            break;
        case NX_OBS_RGB:
            put_numbers<uint16_t>(out, cells, [&](uint32_t k) {
                const int i = static_cast<int>(c.area.divide(k));
                return nx_map_tile(&layout, s.env(e + i), s.views(e + i),
                                   static_cast<int>(k) - i * static_cast<int>(c.area.by));
            });
            break;
        case NX_OBS_RGB_FIRST_PERSON:
            put_numbers<uint16_t>(out, seen, [&](uint32_t k) {
                const int size = layout.view * layout.view, i = static_cast<int>(k) / size;
                return nx_view_tile(layout.view, s.views(e + i), static_cast<int>(k) - i * size);
            });
            break;
        default: break;
    }
}

// ---- 3 a call ----

// Environment e of the block, observations aside. Writes the one cell that an action may have changed itself.
template <int RULES>
__device__ inline int take_turn(const NxLayout& layout, const Call& c, NxEnv* env, int64_t i, int action) {
    const int front = action != NX_RESET ? nx_front(&layout, env) : -1;
    NxCell *cells = nx_cells(env), *contents = nx_contents(&layout, env);
    const NxCell before = front >= 0 ? cells[front] : static_cast<NxCell>(0),
                 inside = front >= 0 && contents ? contents[front] : static_cast<NxCell>(0);
    const NxTurn turn = nx_take_turn(&layout, env, i, action, c.obstacles, &c.out,
                                     RULES == NX_RULES_NAVIX ? nx_navix_step : nx_step_env);
    if (turn != NX_TURN_STEP || env->num_obstacles) return WHOLE | (turn == NX_TURN_LAST ? ENDED : 0);
    uint8_t* block = c.blocks + i * layout.env_bytes;
    if (front >= 0 && cells[front] != before) block[sizeof(NxEnv) + front] = cells[front];
    if (front >= 0 && contents && contents[front] != inside)
        block[layout.contents_offset + front] = contents[front];
    return 0;
}

// The last observations of episodes that the next follow at once, few as they are.
__device__ void observe_last(const NxLayout& layout, const Call& c, const Shared& s, const uint8_t* marks,
                             int64_t first, int count) {
    for (int e = 0; e < count; e++)
        if (marks[e] & ENDED)
            observe(layout, c, s, e, 1, static_cast<uint8_t*>(c.out.final_obs) + (first + e) * c.item);
}

template <int RULES>
__global__ void __launch_bounds__(BLOCK)
    call_kernel(const __grid_constant__ NxLayout layout, const __grid_constant__ Call c) {
    __shared__ uint8_t marks[BLOCK];
    const Shared s = {reinterpret_cast<uint8_t*>(uf_shared_memory()), &c.places, layout.view * layout.view};
    const int64_t first = static_cast<int64_t>(blockIdx.x) * c.envs;
    const int count = static_cast<int>(c.n - first < c.envs ? c.n - first : c.envs), e = thread();
    const bool mine = e < count, follows = c.mode != SHOW && layout.autoreset == NX_SAME_STEP;
    NxEnv* env = s.env(mine ? e : 0);
    // what is read before blocks come does not cost a wait of its own
    const bool halts = c.status->found;
    const int action = mine && c.actions ? c.actions[first + e] : static_cast<int>(NX_RESET);
    load_blocks(c, s, first, count);
    if (halts) {
        if (thread() == 0 && blockIdx.x == 0) c.status->halted = 1;
        return;
    }
    __syncthreads();
    int mark = 0;
    if (mine && c.mode != SHOW) {
        mark = take_turn<RULES>(layout, c, env, first + e, action);
        marks[e] = static_cast<uint8_t>(mark);
    }
    if (follows && c.out.final_obs) {
        uint16_t* codes = static_cast<uint16_t*>(c.out.final_obs) + (first + e) * (c.item / sizeof(uint16_t));
        if (mark & ENDED) {
            look(layout, s, e);
        } else if (mine &&
                   (layout.observation == NX_OBS_RGB || layout.observation == NX_OBS_RGB_FIRST_PERSON)) {
            *codes = NO_CODE;
        }
        if (__syncthreads_or(mark & ENDED)) observe_last(layout, c, s, marks, first, count);
        __syncthreads();  // before others' blocks and views change
    }
    if (mark & ENDED) nx_begin_episode(&layout, env);
    if (mine && c.out.direction) c.out.direction[first + e] = env->direction;
    if (mine && c.out.obs) look(layout, s, e);
    __syncthreads();
    if (c.out.obs)
        observe(layout, c, s, 0, count,
                static_cast<uint8_t*>(c.out.obs) + first * static_cast<int64_t>(c.item));
    if (c.mode != SHOW) store_blocks(c, s, marks, first, count);
}

// ---- 4 pictures ----

struct Picture {
    uint8_t* out;           // (n, rows, size, columns, size, 3)
    const uint16_t* codes;  // (n, rows, columns).   The first of an environment NO_CODE: nothing is drawn
    const uint8_t* pixels;  // NxTiles
    const uint16_t* index;
    const Status* status;
    int64_t num_bands;  // (n, rows)
    int rows, columns, size;
};

// A block copies a row of tiles at a time, which is one piece of memory.
template <typename Item>
__global__ void __launch_bounds__(BLOCK) draw_kernel(Picture p) {
    const uint32_t tile = static_cast<uint32_t>(3 * p.size) / sizeof(Item),
                   row = static_cast<uint32_t>(p.columns) * tile, size = static_cast<uint32_t>(p.size);
    if (p.status->found) return;
    for (int64_t band = blockIdx.x; band < p.num_bands; band += gridDim.x) {
        const int64_t env = band / p.rows;
        if (p.codes[env * p.rows * p.columns] == NO_CODE) continue;
        const uint16_t* codes = p.codes + band * p.columns;
        Item* out = reinterpret_cast<Item*>(p.out) + band * (size * row);
        for (uint32_t k = threadIdx.x; k < size * row; k += BLOCK) {
            const uint32_t y = k / row, x = k - y * row, at = x / tile;
            out[k] = reinterpret_cast<const Item*>(
                p.pixels)[p.index[codes[at]] * (tile * size) + y * tile + (x - at * tile)];
        }
    }
}

// ---- 5 small kernels ----

__global__ void __launch_bounds__(THREADS)
    begin_kernel(uint8_t* blocks, uint32_t env_bytes, int64_t n, uint64_t seed) {
    const int64_t i = thread_id();
    if (i < n)
        reinterpret_cast<NxEnv*>(blocks + i * env_bytes)->random =
            nx_random_begin(seed, static_cast<uint64_t>(i));
}

__global__ void __launch_bounds__(THREADS)
    check_kernel(Status* status, const uint8_t* actions, int64_t n, int num_actions) {
    const int64_t i = thread_id();
    if (i >= n || actions[i] < num_actions || status->halted) return;
    atomicMax(&status->found, ~(static_cast<unsigned long long>(i) << 8 | actions[i]));
}

__global__ void __launch_bounds__(THREADS)
    draw_actions_kernel(uint8_t* actions, int64_t count, int num_actions, uint64_t seed) {
    const int64_t i = thread_id();
    if (i < count) actions[i] = nx_random_action(seed, i, num_actions);
}

}  // namespace

// ---- 6 launching ----

struct NxDevice {
    UfBackend* be;
    NxLayout layout;
    int64_t n;
    uint8_t* blocks;
    Status* status;
    Call call;  // what all calls have in common
    // of pictures
    int rows, columns;
    uint16_t* codes[2];  // (n, rows, columns), of obs and final_obs
    uint8_t* pixels;
    uint16_t* index;
};

namespace {

bool is_picture(const NxLayout& layout) {
    return layout.observation == NX_OBS_RGB || layout.observation == NX_OBS_RGB_FIRST_PERSON;
}

uint32_t round_up(uint32_t bytes, uint32_t to) { return (bytes + to - 1) / to * to; }

// Of E environments.
Places places_of(const NxLayout& layout, uint32_t E) {
    const int kind = layout.observation;
    const bool views = kind == NX_OBS_FIRST_PERSON || kind == NX_OBS_ONE_HOT || kind == NX_OBS_FLAT ||
                       is_picture(layout),
               masks = layout.rules == NX_RULES_NAVIX &&
                       (kind == NX_OBS_CATEGORICAL_FIRST_PERSON || kind == NX_OBS_RGB_FIRST_PERSON);
    Places p = {};
    p.stride = layout.env_bytes + PAD;
    p.masks = E * p.stride;
    p.texts = p.masks + (masks ? E * MASKS * 4 : 0);
    p.views = p.texts + (kind == NX_OBS_FLAT ? E * TEXT : 0);
    p.bytes = p.views + (views ? E * static_cast<uint32_t>(layout.view * layout.view) : 0);
    p.bytes = round_up(p.bytes, sizeof(float4));
    return p;
}

// As many as shared memory holds, or fewer, so that a small batch is on all of the device: any number gives the same bits.
int envs_of_block(const NxLayout& layout, int64_t n, int num_sms) {
    int E = BLOCK;
    while (E > FEWEST && places_of(layout, static_cast<uint32_t>(E)).bytes > MOST_SHARED) E /= 2;
    while (E > FEWEST && ceil_div(n, E) < 2 * num_sms) E /= 2;
    return E;
}

// The sentence names what is asked, what is free and the remedy.
UfStatus reserve(NxDevice* d, void** out, size_t bytes, const char* what) {
    const UfStatus status = d->be->reserve(d->be, out, bytes, what);
    size_t free_bytes = 0, total = 0;
    if (status != UF_ERR_MEMORY || cudaMemGetInfo(&free_bytes, &total) != cudaSuccess) return status;
    return UF_FAIL(
        UF_ERR_MEMORY,
        "%s: %lld environments need %.3g GB for %s; the device has %.3g of %.3g GB free; lower the "
        "number of environments",
        d->layout.spec.id, static_cast<long long>(d->n), static_cast<double>(bytes) / 1e9, what,
        static_cast<double>(free_bytes) / 1e9, static_cast<double>(total) / 1e9);
}

UfStatus reserve_pictures(NxDevice* d, const NxTiles* tiles) {
    const bool map = d->layout.observation == NX_OBS_RGB;
    const size_t pixels =
        static_cast<size_t>(tiles->num_tiles) * static_cast<size_t>(3 * tiles->size * tiles->size);
    d->rows = map ? d->layout.spec.height : d->layout.view;
    d->columns = map ? d->layout.spec.width : d->layout.view;
    d->call.item = static_cast<size_t>(d->rows * d->columns) * sizeof(uint16_t);
    for (int k = 0; k < (d->layout.autoreset == NX_SAME_STEP ? 2 : 1); k++)
        UF_TRY(reserve(d, reinterpret_cast<void**>(&d->codes[k]), static_cast<size_t>(d->n) * d->call.item,
                       "which tiles their pictures show"));
    UF_TRY(reserve(d, reinterpret_cast<void**>(&d->pixels), pixels, "tiles"));
    UF_TRY(reserve(d, reinterpret_cast<void**>(&d->index), sizeof tiles->index, "tiles"));
    d->be->upload(d->be, d->pixels, tiles->pixels, pixels);
    d->be->upload(d->be, d->index, tiles->index, sizeof tiles->index);
    return UF_OK;
}

State* open(NxDevice* d, const char* op) {
    const int rows = d->n < INT32_MAX ? static_cast<int>(d->n) : INT32_MAX;
    return begin(d->be, op, 1, 1, rows, static_cast<int>(d->layout.env_bytes));
}

template <typename Item>
void draw_as(State* s, const Picture& picture) {
    const int64_t most = 1 << 20;
    launch(s, draw_kernel<Item>, picture.num_bands < most ? picture.num_bands : most, BLOCK, picture);
}

void draw(NxDevice* d, State* s, const uint16_t* codes, void* out) {
    const Picture picture = {static_cast<uint8_t*>(out),
                             codes,
                             d->pixels,
                             d->index,
                             d->status,
                             d->n * d->rows,
                             d->rows,
                             d->columns,
                             d->layout.tile_size};
    const int bytes = 3 * d->layout.tile_size;  // of a row of a tile
    const auto fits = [&](int item) {
        return bytes % item == 0 && reinterpret_cast<uintptr_t>(out) % static_cast<uintptr_t>(item) == 0;
    };
    if (fits(sizeof(uint4)))
        draw_as<uint4>(s, picture);
    else if (fits(sizeof(uint32_t)))
        draw_as<uint32_t>(s, picture);
    else
        draw_as<uint8_t>(s, picture);
}

void call(NxDevice* d, State* s, Mode mode, const uint8_t* actions, const int32_t* obstacles, NxOutput out) {
    const void *obs = out.obs, *last = out.final_obs;
    const bool draws = is_picture(d->layout);
    Call c = d->call;
    if (c.item == 0) out.obs = out.final_obs = nullptr;
    if (draws && obs) out.obs = d->codes[0];
    if (draws && last) out.final_obs = d->codes[1];  // null unless the next episode follows at once
    c.mode = mode;
    c.actions = actions;
    c.obstacles = obstacles;
    c.out = out;
    launch_shared(
        s, d->layout.rules == NX_RULES_NAVIX ? call_kernel<NX_RULES_NAVIX> : call_kernel<NX_RULES_MINIGRID>,
        ceil_div(d->n, c.envs), BLOCK, c.places.bytes, d->layout, c);
    if (draws && obs) draw(d, s, d->codes[0], const_cast<void*>(obs));
    if (draws && last && d->codes[1]) draw(d, s, d->codes[1], const_cast<void*>(last));
}

}  // namespace

extern "C" {

UfStatus nx_device_create(NxDevice** out, UfBackend* be, const NxLayout* layout, NxShape shape,
                          const NxTiles* tiles, int64_t n, uint64_t seed) {
    NxDevice* d = nullptr;
    UfStatus status;
    *out = nullptr;
    UF_TRY(UF_ALLOC(&d, 1, "a batch of environments"));
    d->be = be;
    d->layout = *layout;
    d->n = n;
    const int E = envs_of_block(*layout, n, state_of(be)->num_sms);
    Call* c = &d->call;
    c->n = n;
    c->envs = E;
    c->places = places_of(*layout, static_cast<uint32_t>(E));
    c->item = shape.bytes;
    c->pieces = divisor(layout->env_bytes / PIECE);
    c->area = divisor(static_cast<size_t>(layout->spec.width * layout->spec.height));
    c->width = divisor(static_cast<size_t>(layout->spec.width));
    c->observation = divisor(shape.bytes ? shape.bytes : 1);
    if (ceil_div(n, E) > INT32_MAX)
        status = UF_FAIL(UF_ERR_UNSUPPORTED, "%s: %lld environments; on a CUDA device %lld at most",
                         layout->spec.id, static_cast<long long>(n),
                         static_cast<long long>(INT32_MAX) * static_cast<long long>(E));
    else
        status = reserve(d, reinterpret_cast<void**>(&d->blocks), static_cast<size_t>(n) * layout->env_bytes,
                         "their state");
    if (status == UF_OK)
        status = reserve(d, reinterpret_cast<void**>(&d->status), sizeof *d->status, "a status");
    if (status == UF_OK && tiles) status = reserve_pictures(d, tiles);
    if (status != UF_OK) {
        nx_device_free(d);
        return status;
    }
    c->blocks = d->blocks;
    c->status = d->status;
    launch(open(d, "create gridworlds"), begin_kernel, ceil_div(n, THREADS), THREADS, d->blocks,
           layout->env_bytes, n, seed);
    *out = d;
    return UF_OK;
}

void nx_device_free(NxDevice* d) {
    if (!d) return;
    void* all[] = {d->blocks, d->status, d->codes[0], d->codes[1], d->pixels, d->index};
    for (void* memory : all) d->be->release(d->be, memory);
    uf_free(d);
}

uint8_t* nx_device_blocks(const NxDevice* d) { return d->blocks; }
UfStatus nx_device_reserve(NxDevice* d, void** out, size_t bytes) {
    return reserve(d, out, bytes, "an array");
}

void nx_device_reset(NxDevice* d, const NxOutput* out) {
    call(d, open(d, "reset gridworlds"), RESET, nullptr, nullptr, *out);
}

void nx_device_step(NxDevice* d, const uint8_t* actions, const int32_t* obstacles, const NxOutput* out) {
    State* s = open(d, "step gridworlds");
    launch(s, check_kernel, ceil_div(d->n, THREADS), THREADS, d->status, actions, d->n,
           d->layout.num_actions);
    call(d, s, STEP, actions, obstacles, *out);
}

void nx_device_show(NxDevice* d, void* obs) {
    NxOutput out = {};
    out.obs = obs;
    call(d, open(d, "show gridworlds"), SHOW, nullptr, nullptr, out);
}

UfStatus nx_device_bad_action(NxDevice* d, NxBadAction* bad) {
    Status now = {};
    bad->env = -1;
    d->be->download(d->be, &now, d->status, sizeof now);
    UF_TRY(d->be->sync(d->be));
    if (!now.found) return UF_OK;
    bad->env = static_cast<int64_t>(~now.found >> 8);
    bad->action = static_cast<int>(~now.found & 255);
    now = Status{};
    d->be->upload(d->be, d->status, &now, sizeof now);
    return d->be->sync(d->be);
}

void nx_device_draw_actions(NxDevice* d, uint8_t* actions, int64_t count, uint64_t seed) {
    launch(open(d, "draw actions"), draw_actions_kernel, ceil_div(count, THREADS), THREADS, actions, count,
           d->layout.num_actions, seed);
}

void nx_device_write(NxDevice* d, void* to, uint8_t byte, size_t bytes) {
    State* s = open(d, "write");
    if (s->failed == UF_OK && bytes) check(s, cudaMemsetAsync(to, byte, bytes, s->streams[s->branch]));
}

}  // extern "C"
