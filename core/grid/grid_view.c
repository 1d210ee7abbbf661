// grid_view.c: observations of many environments: grid_view.h one by one, and what AVX-512 does in a few instructions.
//
// A view of at most 7 by 7 is one register, a byte a cell, rows of 8. Windows of the map come into it by one shuffle
// (maps of up to 64 cells) or by a gather of 8 rows and one; nibble tables turn cells into type and state; six more
// shuffles interleave types, colours and states to triples. Occlusion goes row by row through a table of
// (which columns are clear, which are reached) -> (which are reached in the row ahead).
#include <string.h>

#include "navix.h"
#include "core/grid/grid_avx512.h"
#include "core/grid/grid_mission.h"
#include "core/grid/grid_navix.h"
#include "core/grid/grid_observe.h"
#include "core/grid/grid_tiles.h"
#include "core/grid/grid_view.h"

enum { FAST_VIEW = 7, STRIDE = 8, LANES = 64 };

// How triples of 64 cells become 192 bytes: register k's bytes from types and colours, and where states go.
typedef struct Interleave {
    uint8_t type_colour[3][LANES], state[3][LANES];
    uint64_t is_state[3];
} Interleave;

typedef void ObserveFn(const NxObserver* o, const NxEnv* envs, int64_t count, uint8_t* out);

struct NxObserver {
    const NxLayout* layout;
    NxShape shape;
    ObserveFn* observe;
    NxTiles* tiles;  // of RGB observations
    // AVX-512
    Interleave packed;         // of full observations: cell i is lane i; of views: lane 8 r + c
    int8_t left[4], top[4];    // where the window of each direction begins, from the agent
    uint8_t turn[4][LANES];    // window -> view
    uint64_t *columns, *rows;  // (W + 2 V), (H + 2 V): which lanes of a window at V + x, V + y are on the map
    uint8_t* row_bits;         // (H + 2 V): which rows of it
    int64_t row_offsets[8];
    uint8_t (*small)[LANES];  // (W H 4): map -> view on maps up to 64 cells, bit 7 off the map
    bool is_small;
    uint8_t (*bits)[NX_ONE_HOT];  // (128): of a cell
    uint8_t (*ahead)[128];        // (clear, reached) -> columns reached in the row ahead
    uint64_t lanes;               // of a view
};

// ---- one by one ----

static size_t stride_of(const NxLayout* layout) { return layout->env_bytes; }
static const NxEnv* env_at(const NxLayout* layout, const NxEnv* envs, int64_t i) {
    return (const NxEnv*)((const uint8_t*)envs + (size_t)i * stride_of(layout));
}

static void observe_plain(const NxObserver* o, const NxEnv* envs, int64_t count, uint8_t* out) {
    const NxLayout* layout = o->layout;
    char mission[128];
    for (int64_t i = 0; i < count; i++, out += o->shape.bytes) {
        const NxEnv* env = env_at(layout, envs, i);
        switch (layout->observation) {
            case NX_OBS_FIRST_PERSON: nx_observe_first_person(layout, env, out); break;
            case NX_OBS_FULL: nx_observe_full(layout, env, out); break;
            case NX_OBS_ONE_HOT: nx_observe_one_hot(layout, env, out); break;
            case NX_OBS_SYMBOLIC: nx_observe_symbolic(layout, env, (int64_t*)out); break;
            case NX_OBS_FLAT:
                nx_mission_text(layout, env, mission);
                nx_observe_flat(layout, env, mission, out);
                break;
            case NX_OBS_CATEGORICAL: nx_navix_categorical(layout, env, (int32_t*)out); break;
            case NX_OBS_CATEGORICAL_FIRST_PERSON:
                nx_navix_categorical_first_person(layout, env, (int32_t*)out);
                break;
            case NX_OBS_RGB: nx_draw_map(o->tiles, layout, env, out); break;
            case NX_OBS_RGB_FIRST_PERSON: nx_draw_view(o->tiles, layout, env, out); break;
        }
    }
}

// ---- AVX-512 ----

#ifdef NX_HAS_AVX512

typedef struct Triples {
    __m512i type, colour, state;
} Triples;

// 16 kinds, once in each quarter of a register.
NX_USES_AVX512 static inline __m512i kinds_table(const uint8_t table[16]) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)table));
}
static const uint8_t type_of_kind[16] = {0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9};
static const uint8_t state_of_kind[16] = {[NX_DOOR_CLOSED] = 1, [NX_DOOR_LOCKED] = 2};
static const uint8_t opaque_kind[16] = {[NX_WALL] = 0x80, [NX_DOOR_CLOSED] = 0x80, [NX_DOOR_LOCKED] = 0x80};

// pshufb goes by bits 0-3, which are the kind, and bit 7, which is 0.
NX_USES_AVX512 static inline Triples triples_of(__m512i cells) {
    Triples t = {_mm512_shuffle_epi8(kinds_table(type_of_kind), cells),
                 _mm512_and_si512(_mm512_srli_epi16(cells, 4), _mm512_set1_epi8(7)),
                 _mm512_shuffle_epi8(kinds_table(state_of_kind), cells)};
    return t;
}

NX_USES_AVX512 static inline __m512i interleaved(const Interleave* p, Triples t, int k) {
    const __m512i both = _mm512_permutex2var_epi8(t.type, _mm512_loadu_si512(p->type_colour[k]), t.colour);
    return _mm512_mask_permutexvar_epi8(both, p->is_state[k], _mm512_loadu_si512(p->state[k]), t.state);
}

NX_USES_AVX512 static inline uint64_t first_lanes(size_t count) {
    return count >= LANES ? ~(uint64_t)0 : _bzhi_u64(~(uint64_t)0, (unsigned)count);
}

// `bytes` of the 192 that 64 triples make.
NX_USES_AVX512 static inline void put_triples(const Interleave* p, Triples t, size_t bytes, uint8_t* out) {
    for (int k = 0; k < 3 && bytes > (size_t)k * LANES; k++) {
        const size_t rest = bytes - (size_t)k * LANES;
        if (rest >= LANES)
            _mm512_storeu_si512(out + k * LANES, interleaved(p, t, k));
        else
            _mm512_mask_storeu_epi8(out + k * LANES, first_lanes(rest), interleaved(p, t, k));
    }
}

NX_USES_AVX512 static inline __m512i view_of_small_map(const NxObserver* o, const NxEnv* env) {
    const int at = (env->y * o->layout->spec.width + env->x) * 4 + env->direction;
    const __m512i from = _mm512_loadu_si512(o->small[at]);
    const __m512i cells = _mm512_permutexvar_epi8(from, _mm512_loadu_si512(env + 1));
    return _mm512_mask_mov_epi8(cells, _mm512_movepi8_mask(from), _mm512_set1_epi8(NX_CELL_WALL));
}

NX_USES_AVX512 static inline __m512i view_of_map(const NxObserver* o, const NxEnv* env) {
    const NxLayout* layout = o->layout;
    const __m512i wall = _mm512_set1_epi8(NX_CELL_WALL);
    const int x = env->x + o->left[env->direction], y = env->y + o->top[env->direction];
    const uint8_t* window = (const uint8_t*)(env + 1) + (ptrdiff_t)y * layout->spec.width + x;
    __m512i cells = _mm512_mask_i64gather_epi64(wall, o->row_bits[y + layout->view],
                                                _mm512_loadu_si512(o->row_offsets), window, 1);
    cells = _mm512_mask_mov_epi8(wall, o->columns[x + layout->view] & o->rows[y + layout->view], cells);
    return _mm512_permutexvar_epi8(_mm512_loadu_si512(o->turn[env->direction]), cells);
}

// Which lanes are seen.
NX_USES_AVX512 static inline uint64_t visible(const NxObserver* o, __m512i cells) {
    const uint64_t opaque = _mm512_movepi8_mask(_mm512_shuffle_epi8(kinds_table(opaque_kind), cells));
    const uint64_t clear = o->lanes & ~opaque;
    uint64_t seen = 0, reached = (uint64_t)1 << o->layout->view / 2;
    for (int r = o->layout->view - 1; r >= 0; r--) {
        const uint64_t ahead = o->ahead[clear >> STRIDE * r & 127][reached];
        seen |= (reached | ahead) << STRIDE * r;
        reached = ahead;
    }
    return seen;
}

NX_USES_AVX512 static inline __attribute__((always_inline)) void first_person(const NxObserver* o,
                                                                              const NxEnv* envs,
                                                                              int64_t count, uint8_t* out,
                                                                              bool small, bool see_through) {
    const NxLayout* layout = o->layout;
    const uint64_t agent = (uint64_t)1 << (STRIDE * (layout->view - 1) + layout->view / 2);
    for (int64_t i = 0; i < count; i++, out += o->shape.bytes) {
        const NxEnv* env = env_at(layout, envs, i);
        __m512i view = small ? view_of_small_map(o, env) : view_of_map(o, env);
        view = _mm512_mask_set1_epi8(view, agent, (char)env->carrying);
        if (!see_through) view = _mm512_maskz_mov_epi8(visible(o, view), view);
        put_triples(&o->packed, triples_of(view), o->shape.bytes, out);
    }
}
NX_USES_AVX512 static void first_person_small_see(const NxObserver* o, const NxEnv* envs, int64_t n,
                                                  uint8_t* out) {
    first_person(o, envs, n, out, true, true);
}
NX_USES_AVX512 static void first_person_small(const NxObserver* o, const NxEnv* envs, int64_t n,
                                              uint8_t* out) {
    first_person(o, envs, n, out, true, false);
}
NX_USES_AVX512 static void first_person_see(const NxObserver* o, const NxEnv* envs, int64_t n, uint8_t* out) {
    first_person(o, envs, n, out, false, true);
}
NX_USES_AVX512 static void first_person_any(const NxObserver* o, const NxEnv* envs, int64_t n, uint8_t* out) {
    first_person(o, envs, n, out, false, false);
}

NX_USES_AVX512 static void one_hot(const NxObserver* o, const NxEnv* envs, int64_t count, uint8_t* out) {
    const NxLayout* layout = o->layout;
    const int size = layout->view;
    const uint64_t agent = (uint64_t)1 << (STRIDE * (size - 1) + size / 2);
    uint8_t cells[LANES];
    for (int64_t i = 0; i < count; i++) {
        const NxEnv* env = env_at(layout, envs, i);
        __m512i view = o->is_small ? view_of_small_map(o, env) : view_of_map(o, env);
        view = _mm512_mask_set1_epi8(view, agent, (char)env->carrying);
        if (!layout->spec.see_through_walls) view = _mm512_maskz_mov_epi8(visible(o, view), view);
        _mm512_storeu_si512(cells, view);
        for (int r = 0; r < size; r++)
            for (int c = 0; c < size; c++, out += NX_ONE_HOT)
                memcpy(out, o->bits[cells[STRIDE * r + c]], NX_ONE_HOT);
    }
}

NX_USES_AVX512 static void full(const NxObserver* o, const NxEnv* envs, int64_t count, uint8_t* out) {
    const NxLayout* layout = o->layout;
    const int width = layout->spec.width;
    for (int64_t i = 0; i < count; i++, out += o->shape.bytes) {
        const NxEnv* env = env_at(layout, envs, i);
        const uint8_t* cells = (const uint8_t*)(env + 1);
        for (size_t at = 0; at < o->shape.bytes; at += 3 * LANES, cells += LANES)
            put_triples(&o->packed, triples_of(_mm512_loadu_si512(cells)), o->shape.bytes - at, out + at);
        uint8_t* agent = out + 3 * (env->y * width + env->x);
        agent[0] = NX_TYPE_AGENT;
        agent[1] = NX_RED;
        agent[2] = env->direction;
    }
}

// ---- tables ----

// Lane of cell i in rows of `size` cells, each row of lanes `stride` apart.
static void make_interleave(Interleave* p, int size, int stride) {
    memset(p, 0, sizeof *p);
    for (int i = 0; i < 3 * LANES; i++) {
        const int cell = i / 3, lane = (cell / size * stride + cell % size) & (LANES - 1);
        if (i % 3 == 2) p->is_state[i / LANES] |= (uint64_t)1 << i % LANES;
        p->state[i / LANES][i % LANES] = (uint8_t)lane;
        p->type_colour[i / LANES][i % LANES] = (uint8_t)(lane | (i % 3 == 1 ? LANES : 0));
    }
}

// Where the window, which is the view's part of the map, begins; and which of its cells is at (r, c) of the view.
static void make_turns(NxObserver* o) {
    const int last = o->layout->view - 1, half = o->layout->view / 2;
    const int left[4] = {0, -half, -last, -half}, top[4] = {-half, 0, -half, -last};
    for (int d = 0; d < 4; d++) {
        o->left[d] = (int8_t)left[d];
        o->top[d] = (int8_t)top[d];
        for (int lane = 0; lane < LANES; lane++) {
            const int r = lane / STRIDE, c = lane % STRIDE;
            if (r > last || c > last) continue;
            const int forward = last - r, side = c - half;
            const int x = forward * nx_dx(d) - side * nx_dy(d) - left[d];
            const int y = forward * nx_dy(d) + side * nx_dx(d) - top[d];
            o->turn[d][lane] = (uint8_t)(y * STRIDE + x);
        }
    }
}

static void make_masks(NxObserver* o) {
    const int width = o->layout->spec.width, height = o->layout->spec.height, size = o->layout->view;
    for (int x = -size; x < width + size; x++)
        for (int lane = 0; lane < LANES; lane++)
            if (x + lane % STRIDE >= 0 && x + lane % STRIDE < width)
                o->columns[x + size] |= (uint64_t)1 << lane;
    for (int y = -size; y < height + size; y++)
        for (int r = 0; r < size; r++)
            if (y + r >= 0 && y + r < height) {
                o->row_bits[y + size] |= (uint8_t)(1 << r);
                o->rows[y + size] |= (uint64_t)0xFF << STRIDE * r;
            }
    for (int r = 0; r < 8; r++) o->row_offsets[r] = (int64_t)r * width;
}

// The same as one index for each cell and direction.
static void make_small(NxObserver* o) {
    const int width = o->layout->spec.width, height = o->layout->spec.height;
    for (int i = 0; i < width * height * 4; i++)
        for (int lane = 0; lane < LANES; lane++) {
            const int d = i % 4, window = o->turn[d][lane];
            const int x = i / 4 % width + o->left[d] + window % STRIDE;
            const int y = i / 4 / width + o->top[d] + window / STRIDE;
            o->small[i][lane] = nx_inside(o->layout, x, y) ? (uint8_t)(y * width + x) : 0x80;
        }
}

static UfStatus make_tables(NxObserver* o) {
    const NxLayout* layout = o->layout;
    const int width = layout->spec.width, height = layout->spec.height, size = layout->view;
    if (layout->observation == NX_OBS_FULL) {
        make_interleave(&o->packed, LANES, LANES);
        o->observe = full;
        return UF_OK;
    }
    const bool small = width * height <= LANES, see = layout->spec.see_through_walls;
    UF_TRY(UF_ALLOC(&o->columns, width + 2 * size, "tables of views"));
    UF_TRY(UF_ALLOC(&o->rows, height + 2 * size, "tables of views"));
    UF_TRY(UF_ALLOC(&o->row_bits, height + 2 * size, "tables of views"));
    UF_TRY(UF_ALLOC(&o->ahead, 128, "tables of views"));
    UF_TRY(UF_ALLOC(&o->small, small ? width * height * 4 : 1, "tables of views"));
    make_interleave(&o->packed, size, STRIDE);
    make_turns(o);
    make_masks(o);
    if (small) make_small(o);
    for (int clear = 0; clear < 128; clear++)
        for (int reached = 0; reached < 128; reached++) {
            const uint64_t fill = nx_fill_runs((uint64_t)clear, (uint64_t)reached, FAST_VIEW);
            o->ahead[clear][reached] = (uint8_t)((fill | fill << 1 | fill >> 1) & ((1u << size) - 1));
        }
    UF_TRY(UF_ALLOC(&o->bits, 128, "tables of views"));
    for (int cell = 0; cell < 128; cell++) nx_put_one_hot((NxCell)cell, o->bits[cell]);
    o->is_small = small;
    for (int r = 0; r < size; r++) o->lanes |= (((uint64_t)1 << size) - 1) << STRIDE * r;
    o->observe = small ? see ? first_person_small_see : first_person_small
                 : see ? first_person_see
                       : first_person_any;
    if (layout->observation == NX_OBS_ONE_HOT) o->observe = one_hot;
    return UF_OK;
}

NxLevel nx_best_level(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("bmi2")
               ? NX_AVX512
               : NX_PLAIN;
}

#else

static UfStatus make_tables(NxObserver* o) { return (void)o, UF_OK; }
NxLevel nx_best_level(void) { return NX_PLAIN; }

#endif

// ---- all together ----

static NxShape shape_of(const NxLayout* layout) {
    const int view = layout->view, width = layout->spec.width, height = layout->spec.height;
    const bool first_person = layout->observation == NX_OBS_CATEGORICAL_FIRST_PERSON;
    const int tile = layout->tile_size;
    NxShape shape = {.num_dims = 3, .item_bytes = 1};
    switch (layout->observation) {
        case NX_OBS_FIRST_PERSON: memcpy(shape.dims, (int[]){view, view, 3}, sizeof shape.dims); break;
        case NX_OBS_FULL: memcpy(shape.dims, (int[]){height, width, 3}, sizeof shape.dims); break;
        case NX_OBS_ONE_HOT: memcpy(shape.dims, (int[]){view, view, NX_ONE_HOT}, sizeof shape.dims); break;
        case NX_OBS_SYMBOLIC:
            memcpy(shape.dims, (int[]){height, width, 3}, sizeof shape.dims);
            shape.item_bytes = 8;
            break;
        case NX_OBS_FLAT:
            shape.num_dims = 1;
            shape.dims[0] = 3 * view * view + NX_FLAT_BYTES;
            break;
        case NX_OBS_CATEGORICAL:
        case NX_OBS_CATEGORICAL_FIRST_PERSON:
            shape.num_dims = 2;
            shape.dims[0] = first_person ? view : height;
            shape.dims[1] = first_person ? view : width;
            shape.item_bytes = 4;
            break;
        case NX_OBS_RGB:
            memcpy(shape.dims, (int[]){height * tile, width * tile, 3}, sizeof shape.dims);
            break;
        case NX_OBS_RGB_FIRST_PERSON:
            memcpy(shape.dims, (int[]){view * tile, view * tile, 3}, sizeof shape.dims);
            break;
    }
    shape.bytes = (size_t)shape.item_bytes;
    for (int i = 0; i < shape.num_dims; i++) shape.bytes *= (size_t)shape.dims[i];
    return shape;
}

UfStatus nx_observer_create(NxObserver** out, const NxLayout* layout, NxLevel level) {
    NxObserver* o;
    *out = NULL;
    if (level > nx_best_level())
        return UF_FAIL(UF_ERR_UNSUPPORTED, "views by AVX-512: this processor lacks VBMI");
    UF_TRY(UF_ALLOC(&o, 1, "tables of views"));
    o->layout = layout;
    o->shape = shape_of(layout);
    o->observe = observe_plain;
    const bool views = layout->observation == NX_OBS_FIRST_PERSON || layout->observation == NX_OBS_ONE_HOT;
    const bool fast = layout->observation == NX_OBS_FULL || (views && layout->view <= FAST_VIEW);
    UfStatus status = level == NX_AVX512 && fast ? make_tables(o) : UF_OK;
    if (status == UF_OK &&
        (layout->observation == NX_OBS_RGB || layout->observation == NX_OBS_RGB_FIRST_PERSON))
        status = nx_tiles_create(&o->tiles, layout->tile_size);
    if (status == UF_OK)
        *out = o;
    else
        nx_observer_free(o);
    return status;
}

void nx_observer_free(NxObserver* o) {
    if (!o) return;
    nx_tiles_free(o->tiles);
    void* all[] = {o->bits, o->columns, o->rows, o->row_bits, o->small, o->ahead};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    uf_free(o);
}

NxShape nx_observer_shape(const NxObserver* o) { return o->shape; }
const NxTiles* nx_observer_tiles(const NxObserver* o) { return o->tiles; }

void nx_observe(const NxObserver* o, const NxEnv* envs, int64_t count, void* out) {
    if (o->shape.bytes) o->observe(o, envs, count, out);
}
