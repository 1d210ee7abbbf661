// kernels_hopper.cu: passes over whole networks in bf16 on the tensor cores of sm_90a, for widths of 129 to 256. Until they
// have run on such a device only UNIFLORAL_CUDA_PASSES=warpgroups turns them on.
//
// A warpgroup takes 64 rows through all layers of a network: each of its warps has 16 whole rows, so that LayerNorm and its
// derivative are between the four lanes that share a row, and what a layer leaves is, rounded, the next product's left factor
// as it lies in registers. Weights come from a copy of the kernels in bf16, laid out as the products read it (`packed`),
// through a ring in shared memory that a warp of its own fills ahead of their use; the backward pass reads the same copy
// the other way round. A block of the forward pass has one or two warpgroups that share the ring; as they share nothing else, that
// changes no bit.
// Within each 16 along a dimension numbers are permuted (`slot_of`), so that a lane has four side by side of a row.
//
// Rooms: packed kernels, the block, forward, backward, gradients, launching.
#include "kernels_hopper.cuh"

#if defined UF_WGMMA || defined UF_HOST_CUDA
#define UF_ON_HOPPER
#endif

namespace uf_cuda {

namespace {

enum { COLUMNS = PACKED_COLUMNS, TILE = 64, MOST_IN = 512, MOST_OUT = 64 };
// Of a ring: numbers along k. Of the first kernel there are fewer, which are zero up to the next FIRST_STAGE.
enum { STAGE = 64, FIRST_STAGE = 32, STAGE_BYTES = STAGE / 8 * PIECES * PIECE };
enum { GROUP_THREADS = 4 * WARP, CHUNKS = COLUMNS / 16 };
enum { MOST_SHARED = 227 << 10 };

// ---- packed kernels ----

__host__ __device__ inline int rows_of(const PackedShape& s, int l) {
    return l ? int{COLUMNS} : (s.in + FIRST_STAGE - 1) / FIRST_STAGE * FIRST_STAGE;
}

struct Pack {
    PackedShape shape;
    const float* params;
    unsigned char* packed;
};

__global__ void __launch_bounds__(THREADS) pack_kernel(const __grid_constant__ Pack c, int blocks_each) {
    const int64_t n = blockIdx.x / blocks_each;
    const int e = 4 * (static_cast<int>(blockIdx.x % blocks_each) * THREADS + static_cast<int>(threadIdx.x));
    if (e >= c.shape.size) return;
    const float4 v = *reinterpret_cast<const float4*>(c.params + (n * c.shape.size + e));
    put_packed(c.packed + n * c.shape.bytes, c.shape, e, {v.x, v.y, v.z, v.w});
}

// ---- the block ----

// What the blocks of a pass share. packed: of network (p, n) at packed + p * packed_member + n * packed_network.
struct Pass {
    int rows;
    Parameters params;
    const unsigned char* packed;
    int64_t packed_member, packed_network;
    PackedShape shape;
};

// Of shared memory, in bytes; the ring is on 1024 of them.
enum { RING_STAGES = 4, BACK_STAGES = 3 };

__device__ inline unsigned char* on_piece(float* at) {
#ifdef UF_HOST_CUDA
    return reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(at) + PIECE - 1) / PIECE * PIECE);
#else
    const uint32_t here = uf_shared_address(at);
    return reinterpret_cast<unsigned char*>(at) + ((here + PIECE - 1) / PIECE * PIECE - here);
#endif
}

// Stages of BYTES on their way from one warp to the others.
template <int STAGES, int BYTES = STAGE_BYTES>
struct Ring {
    unsigned char* at;
    UfPhase *full, *empty;  // (STAGES)
    int next = 0;

    __device__ unsigned char* stage(int n) const { return at + n % STAGES * BYTES; }
    __device__ void begin(int readers) const {
        for (int i = 0; i < STAGES; i++) {
            uf_phase_begin(full + i, 1);
            uf_phase_begin(empty + i, readers);
        }
    }
    // By all lanes of the warp that fills it, in pieces of `run` bytes: from(i) is where piece i of the stage comes from.
    template <typename From>
    __device__ void fill(int pieces, int run, From from) {
        const int n = next++;
        if (n >= STAGES) uf_phase_wait(empty + n % STAGES, (n / STAGES - 1) % 2);
        if (lane() == 0) uf_phase_expect(full + n % STAGES, pieces * run);
        __syncwarp();  // nothing comes before it is expected
        for (int i = lane(); i < pieces; i += WARP)
            uf_copy_bulk(stage(n) + i * run, from(i), run, full + n % STAGES);
    }
    // By those who read.
    __device__ const unsigned char* wait() const {
        uf_phase_wait(full + next % STAGES, next / STAGES % 2);
        return stage(next);
    }
    // By each warp that reads, when it has read stage n.
    __device__ void release(int n) const {
        if (lane() == 0) uf_phase_arrive(empty + n % STAGES);
    }
};

// d <- the rows in a times a kernel; BACK: times its transpose.
template <bool BACK, int STAGES>
__device__ inline void multiply(float (&d)[128], Ring<STAGES>* ring, const uint32_t (&a)[CHUNKS][4]) {
    constexpr int EACH = STAGE / 16;
#pragma unroll
    for (int s = 0; s < CHUNKS / EACH; s++) {
        const unsigned char* at = ring->wait();
        uf_wgmma_begin();
#pragma unroll
        for (int k = 0; k < EACH; k++)
            uf_wgmma<!BACK>(d, a[s * EACH + k],
                            BACK ? uf_wgmma_matrix<false>(at + k * 32, PIECE, 0)
                                 : uf_wgmma_matrix<true>(at + k * 2 * PIECES * PIECE, PIECE, PIECES * PIECE),
                            s + k > 0);
        uf_wgmma_commit();
        if (s > 0) {
            uf_wgmma_wait<1>();
            ring->release(ring->next - 1);
        }
        ring->next++;
    }
    uf_wgmma_wait<0>();
    ring->release(ring->next - 1);
}

// The rows of a lane: g and g + 8 of its warp's 16.
struct Mine {
    int row[2];  // of the tile
    bool is_real[2];
    int column;  // the first of four of each 16

    __device__ Mine(int tile_row, int count) {
        for (int h = 0; h < 2; h++) {
            row[h] = tile_row + lane() / 4 + 8 * h;
            is_real[h] = row[h] < count;
        }
        column = lane() % 4 * 4;
    }
};

// Numbers 0 to 3 of chunk c in half h of the lane's rows.
__device__ inline float& number(float (&d)[128], int c, int h, int e) {
    return d[8 * c + 4 * (e / 2) + 2 * h + e % 2];
}

__device__ inline float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

__device__ inline float4 four(const float* at) { return *reinterpret_cast<const float4*>(at); }
__device__ inline void put_four(float* at, const float (&x)[4]) {
    *reinterpret_cast<float4*>(at) = make_float4(x[0], x[1], x[2], x[3]);
}
__device__ inline void take(float (&x)[4], float4 v) {
    x[0] = v.x;
    x[1] = v.y;
    x[2] = v.z;
    x[3] = v.w;
}

// ---- forward ----

struct Forward {
    Pass pass;
    Rows x, out;  // x: of members
    int x_ld;
    struct {
        Rows r, stats;
    } tape[PACKED_LAYERS];
};

// What a block keeps: the ring, then for each layer bias, scale and shift, then the output's kernel, phases.
struct ForwardSpace {
    static __host__ __device__ int vectors(const PackedShape& s) { return s.layers * (s.layer_norm ? 3 : 1); }
    static __host__ __device__ int vectors_at() { return RING_STAGES * STAGE_BYTES; }
    static __host__ __device__ int out_at(const PackedShape& s) {
        return vectors_at() + vectors(s) * COLUMNS * 4;
    }
    static __host__ __device__ int phases_at(const PackedShape& s) { return out_at(s) + COLUMNS * s.out * 4; }
    static __host__ __device__ int bytes(const PackedShape& s) {
        return phases_at(s) + (2 * RING_STAGES + 2) * 8 + PIECE;
    }
};

// Activation of a layer in place, LayerNorm, what the tape keeps; leaves the next product's left factor too.
__device__ inline void finish_layer(float (&d)[128], uint32_t (&a)[CHUNKS][4], const Forward& c, int l,
                                    const Place& p, const Mine& mine, const float* vectors) {
    const PackedShape& s = c.pass.shape;
    const int width = s.width;
    const float *bias = vectors, *scale = vectors + COLUMNS, *shift = scale + COLUMNS;
    const Rows r = c.tape[l].r;
    float sum[2] = {0, 0};
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
        const int j = 16 * k + mine.column;
        float of[4] = {0, 0, 0, 0};
        if (j < width) take(of, four(bias + j));
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float x[4];
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float& v = number(d, k, h, e);
                v = activate<UF_RELU>(v + of[e]);
                x[e] = v;
                sum[h] += v;
            }
            if (r.at && mine.is_real[h] && j < width)
                put_four(r.at + (p.g * r.stride + static_cast<int64_t>(p.first + mine.row[h]) * width + j),
                         x);
        }
    }
    float mean[2] = {0, 0}, inv_std[2] = {1, 1};
    if (s.layer_norm) {
        const float share = 1 / static_cast<float>(width);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            mean[h] = quad_sum(sum[h]) * share;
            float squares = 0;
#pragma unroll
            for (int k = 0; k < CHUNKS; k++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float off = 16 * k + mine.column < width ? number(d, k, h, e) - mean[h] : 0;
                    squares += off * off;
                }
            inv_std[h] = uf_rsqrt(quad_sum(squares) * share + static_cast<float>(UF_LAYER_NORM_EPS));
            const Rows stats = c.tape[l].stats;
            if (stats.at && mine.is_real[h] && lane() % 4 == 0)
                *reinterpret_cast<float2*>(stats.at + (p.g * stats.stride + 2 * (p.first + mine.row[h]))) =
                    make_float2(mean[h], inv_std[h]);
        }
    }
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
        const int j = 16 * k + mine.column;
        if (s.layer_norm) {
            float gain[4] = {0, 0, 0, 0}, off[4] = {0, 0, 0, 0};
            if (j < width) {
                take(gain, four(scale + j));
                take(off, four(shift + j));
            }
#pragma unroll
            for (int h = 0; h < 2; h++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float& v = number(d, k, h, e);
                    v = (v - mean[h]) * inv_std[h] * gain[e] + off[e];
                }
        }
#pragma unroll
        for (int w = 0; w < 4; w++)
            a[k][w] = uf_pack_bf16(number(d, k, w % 2, w / 2 * 2), number(d, k, w % 2, w / 2 * 2 + 1));
    }
}

// Threads of a block of so many warpgroups. Two leave registers enough for themselves if the warp that fills the ring is of a
// third, which gives its own away.
constexpr int threads_of(int groups) {
    return groups * GROUP_THREADS + (groups > 1 ? int{GROUP_THREADS} : int{WARP});
}

template <int GROUPS>
__global__ void __launch_bounds__(threads_of(GROUPS), 1)
    hopper_forward_kernel(const __grid_constant__ Forward c) {
#ifdef UF_ON_HOPPER
    typedef ForwardSpace Space;
    const PackedShape& s = c.pass.shape;
    unsigned char* space = on_piece(uf_shared_memory());
    float *vectors = reinterpret_cast<float*>(space + Space::vectors_at()),
          *out_kernel = reinterpret_cast<float*>(space + Space::out_at(s));
    UfPhase* phases = reinterpret_cast<UfPhase*>(space + Space::phases_at(s));
    UfPhase* constants = phases + 2 * RING_STAGES;
    Ring<RING_STAGES> ring = {space, phases, phases + RING_STAGES};
    const Place p = place_of(c.pass.rows, GROUPS * TILE);
    const int network = p.g % c.pass.params.N, member = p.g / c.pass.params.N, L = s.layers,
              each = s.layer_norm ? 3 : 1;
    const float* w = c.pass.params.of(p.g);
    if (threadIdx.x == 0) {
        ring.begin(4 * GROUPS);
        uf_phase_begin(constants, 1);
    }
    __syncthreads();
    if (threadIdx.x >= GROUPS * GROUP_THREADS) {
        if (GROUPS > 1) uf_take_registers<40, false>();
        if (threadIdx.x >= GROUPS * GROUP_THREADS + WARP) return;
        const unsigned char* packed =
            c.pass.packed + (member * c.pass.packed_member + network * c.pass.packed_network);
        for (int l = 0; l < L; l++) {
            const int step = l ? STAGE : FIRST_STAGE;
            for (int k = 0; k < rows_of(s, l); k += step)
                ring.fill(step / 8, PIECES * PIECE,
                          [&](int i) { return packed + (s.layer[l].packed + (k / 8 + i) * PIECES * PIECE); });
            if (l) continue;
            if (lane() == 0) uf_phase_expect(constants, (L * each + s.out) * s.width * 4);
            __syncwarp();
            for (int i = lane(); i < L * each; i += WARP) {
                const auto& layer = s.layer[i / each];
                uf_copy_bulk(vectors + i * COLUMNS,
                             w + (i % each == 0   ? layer.bias
                                  : i % each == 1 ? layer.scale
                                                  : layer.shift),
                             s.width * 4, constants);
            }
            if (lane() == 0) uf_copy_bulk(out_kernel, w + s.layer[L].kernel, s.width * s.out * 4, constants);
        }
        return;
    }
    if (GROUPS > 1) uf_take_registers<232, true>();
    const int tile_row = static_cast<int>(threadIdx.x) / WARP * 16;
    const Mine mine(tile_row, p.count);
    float d[128];
    uint32_t a[CHUNKS][4];
    // The first layer: its rows come a stage at a time.
    const float* x = c.x.at + member * c.x.stride;
    for (int first = 0; first < rows_of(s, 0); first += FIRST_STAGE) {
#pragma unroll
        for (int k = 0; k < FIRST_STAGE / 16; k++) {
            const int j = first + 16 * k + mine.column;
            float v[2][4];
#pragma unroll
            for (int h = 0; h < 2; h++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    v[h][e] =
                        mine.is_real[h] && j + e < s.in
                            ? uf_read(x + (static_cast<int64_t>(p.first + mine.row[h]) * c.x_ld + j + e))
                            : 0;
#pragma unroll
            for (int q = 0; q < 4; q++) a[k][q] = uf_pack_bf16(v[q % 2][q / 2 * 2], v[q % 2][q / 2 * 2 + 1]);
        }
        const unsigned char* at = ring.wait();
        uf_wgmma_begin();
#pragma unroll
        for (int k = 0; k < FIRST_STAGE / 16; k++)
            uf_wgmma<true>(d, a[k], uf_wgmma_matrix<true>(at + k * 2 * PIECES * PIECE, PIECE, PIECES * PIECE),
                           first + k > 0);
        uf_wgmma_commit();
        uf_wgmma_wait<0>();
        ring.release(ring.next++);
    }
    uf_phase_wait(constants, 0);
    for (int l = 0;; l++) {
        finish_layer(d, a, c, l, p, mine, vectors + l * each * COLUMNS);
        if (l == L - 1) break;
        multiply<false>(d, &ring, a);
    }
    const float* out_bias = w + s.layer[L].bias;
    for (int o = 0; o < s.out; o++) {
        float dot[2] = {0, 0};
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const int j = 16 * k + mine.column;
            if (j >= s.width) continue;
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float of = out_kernel[(j + e) * s.out + o];
                dot[0] += number(d, k, 0, e) * of;
                dot[1] += number(d, k, 1, e) * of;
            }
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            dot[h] = quad_sum(dot[h]);
            if (mine.is_real[h] && lane() % 4 == 0)
                c.out.at[p.g * c.out.stride + static_cast<int64_t>(p.first + mine.row[h]) * s.out + o] =
                    dot[h] + out_bias[o];
        }
    }
#endif
}

// ---- backward ----

struct Backward {
    Pass pass;
    Rows dout;
    struct {
        Rows r, stats;
    } tape[PACKED_LAYERS];
    float* dz;  // dL/dz of the first layer (G, rows, width), for the gradients.   Nullable
    unsigned char *h,
        *d;          // what the others' gradients are made of: of kernel l at l - 1.   Nullable, where dz is
    int64_t factor;  // bytes of a kernel's
    Sums sums;       // where dz is
    Rows dx;         // Nullable: at
    int dx_first, dx_count;
};

// The ring, rows of the tape that are apart by 16 banks, scale and shift of each layer, the output's kernel, rows of the first
// kernel, phases.
enum { TAPE_LD = COLUMNS + 16 };
struct BackwardSpace {
    static __host__ __device__ int tape_at() { return BACK_STAGES * STAGE_BYTES; }
    static __host__ __device__ int vectors_at() { return tape_at() + TILE * TAPE_LD * 4; }
    static __host__ __device__ int vectors(const PackedShape& s) { return s.layer_norm ? 2 * s.layers : 0; }
    static __host__ __device__ int out_at(const PackedShape& s) {
        return vectors_at() + vectors(s) * COLUMNS * 4;
    }
    static __host__ __device__ int in_at(const PackedShape& s) { return out_at(s) + COLUMNS * s.out * 4; }
    static __host__ __device__ int phases_at(const PackedShape& s, int dx_count) {
        return in_at(s) + COLUMNS * dx_count * 4;
    }
    static __host__ __device__ int bytes(const PackedShape& s, int dx_count) {
        return phases_at(s, dx_count) + (2 * BACK_STAGES + 4) * 8 + PIECE;
    }
};

// A factor of a gradient has rows of COLUMNS in bf16, up to a multiple of TILE, in pieces as products read them. Where that
// of network g begins, in bytes.
__host__ __device__ inline int64_t factor_at(int rows, int g) {
    return static_cast<int64_t>(g) * ((rows + TILE - 1) / TILE) * TILE * COLUMNS * 2;
}

// Numbers (b, j) to (b, j + 3) of it.
__device__ inline void put_factor(unsigned char* to, int b, int j, const float (&x)[4]) {
    *reinterpret_cast<uint2*>(to + in_pieces(b, j)) =
        make_uint2(uf_pack_bf16(x[0], x[1]), uf_pack_bf16(x[2], x[3]));
}

// Sum over the 8 lanes that have the same columns of eight numbers: lane g is left with that of number g.
__device__ inline float column_sum(float (&x)[8]) {
#pragma unroll
    for (int n = 4, offset = 16; n; n /= 2, offset /= 2) {
        const bool high = lane() & offset;
#pragma unroll
        for (int i = 0; i < n; i++) {
            const float other = __shfl_xor_sync(0xffffffffu, high ? x[i] : x[i + n], offset);
            x[i] = (high ? x[i + n] : x[i]) + other;
        }
    }
    return x[0];
}

// dL/dh -> dL/dz of layer l, the sums of its columns, and the next product's left factor. tape: the warp's rows.
__device__ inline void derive_layer(float (&d)[128], uint32_t (&a)[CHUNKS][4], const Backward& c, int l,
                                    const Place& p, const Mine& mine, const float* tape,
                                    const float2 (&stats)[2], const float* vectors, const float (&seed)[2]) {
    const PackedShape& s = c.pass.shape;
    const int width = s.width, G8 = lane() / 4;
    const bool norm = s.layer_norm, top = l == s.layers - 1 && s.out == 1;
    const float *scale = vectors, *shift = vectors + COLUMNS;
    const float* r_of[2] = {tape + mine.row[0] * TAPE_LD + mine.column,
                            tape + mine.row[1] * TAPE_LD + mine.column};
    float s1[2] = {0, 0}, s2[2] = {0, 0};
    if (norm) {
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const int j = 16 * k + mine.column;
            if (j >= width) continue;
            float gain[4], r[4];
            take(gain, four(scale + j));
#pragma unroll
            for (int h = 0; h < 2; h++) {
                take(r, four(r_of[h] + 16 * k));
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float x = number(d, k, h, e) * gain[e];
                    s1[h] += x;
                    s2[h] += x * ((r[e] - stats[h].x) * stats[h].y);
                }
            }
        }
        const float share = 1 / static_cast<float>(width);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            s1[h] = quad_sum(s1[h]) * share;
            s2[h] = quad_sum(s2[h]) * share;
        }
    }
    float* record = c.dz && p.first + mine.row[0] - G8 < c.pass.rows
                        ? c.sums.of(p.g, (p.first + mine.row[0] - G8) / ROWS)
                        : nullptr;
#pragma unroll
    for (int q = 0; q < CHUNKS / 2; q++) {
        float bias[8] = {}, of_scale[8] = {}, of_shift[8] = {}, kernel[8] = {};
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int k = 2 * q + i, j = 16 * k + mine.column;
            float gain[4] = {0, 0, 0, 0}, off[4] = {0, 0, 0, 0};
            if (norm && j < width) {
                take(gain, four(scale + j));
                take(off, four(shift + j));
            }
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float r[4] = {0, 0, 0, 0}, dz[4], y[4];
                if (j < width) take(r, four(r_of[h] + 16 * k));
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float dy = number(d, k, h, e);
                    float v = dy;
                    y[e] = r[e];
                    if (norm) {
                        const float xhat = (r[e] - stats[h].x) * stats[h].y;
                        y[e] = xhat * gain[e] + off[e];
                        of_scale[4 * i + e] += dy * xhat;
                        of_shift[4 * i + e] += dy;
                        v = stats[h].y * (dy * gain[e] - s1[h] - xhat * s2[h]);
                    }
                    if (top) kernel[4 * i + e] += y[e] * seed[h];
                    v = activation_grad<UF_RELU>(r[e], v);
                    bias[4 * i + e] += v;
                    dz[e] = v;
                    number(d, k, h, e) = v;
                }
                if (!c.dz) continue;
                if (l < s.layers - 1)
                    put_factor(c.h + l * c.factor + factor_at(c.pass.rows, p.g), p.first + mine.row[h], j, y);
                if (l)
                    put_factor(c.d + (l - 1) * c.factor + factor_at(c.pass.rows, p.g), p.first + mine.row[h],
                               j, dz);
                else if (mine.is_real[h] && j < width)
                    put_four(
                        c.dz +
                            ((static_cast<int64_t>(p.g) * c.pass.rows + p.first + mine.row[h]) * width + j),
                        dz);
            }
#pragma unroll
            for (int w = 0; w < 4; w++)
                a[k][w] = uf_pack_bf16(number(d, k, w % 2, w / 2 * 2), number(d, k, w % 2, w / 2 * 2 + 1));
        }
        if (!c.dz) continue;
        const float sums[4] = {column_sum(bias), norm ? column_sum(of_scale) : 0,
                               norm ? column_sum(of_shift) : 0, top ? column_sum(kernel) : 0};
        const int j = 16 * (2 * q + G8 / 4) + mine.column + G8 % 4;
        if (j >= width || !record) continue;
#pragma unroll
        for (int i = 0; i < 3; i++) record[(3 * l + i) * width + j] = sums[i];
        if (top) record[3 * s.layers * width + j] = sums[3];
    }
}

__global__ void __launch_bounds__(threads_of(1), 1)
    hopper_backward_kernel(const __grid_constant__ Backward c) {
#ifdef UF_ON_HOPPER
    typedef BackwardSpace Space;
    const PackedShape& s = c.pass.shape;
    unsigned char* space = on_piece(uf_shared_memory());
    float *tape = reinterpret_cast<float*>(space + Space::tape_at()),
          *vectors = reinterpret_cast<float*>(space + Space::vectors_at()),
          *out_kernel = reinterpret_cast<float*>(space + Space::out_at(s)),
          *in_kernel = reinterpret_cast<float*>(space + Space::in_at(s));
    UfPhase* phases = reinterpret_cast<UfPhase*>(space + Space::phases_at(s, c.dx_count));
    UfPhase *constants = phases + 2 * BACK_STAGES, *tape_full = constants + 1, *tape_empty = constants + 2;
    Ring<BACK_STAGES> ring = {space, phases, phases + BACK_STAGES};
    const Place p = place_of(c.pass.rows, TILE);
    const int network = p.g % c.pass.params.N, member = p.g / c.pass.params.N, L = s.layers, width = s.width;
    const int each = s.layer_norm ? 2 : 0, count = p.count;
    const float* w = c.pass.params.of(p.g);
    if (threadIdx.x == 0) {
        ring.begin(4);
        uf_phase_begin(constants, 1);
        uf_phase_begin(tape_full, 1);
        uf_phase_begin(tape_empty, 4);
    }
    // What no copy fills.
    for (int i = static_cast<int>(threadIdx.x); i < (TILE - count) * TAPE_LD;
         i += static_cast<int>(blockDim.x))
        tape[count * TAPE_LD + i] = 0;
    __syncthreads();
    if (threadIdx.x >= GROUP_THREADS) {
        const unsigned char* packed =
            c.pass.packed + (member * c.pass.packed_member + network * c.pass.packed_network);
        const auto send_tape = [&](int l) {
            const Rows r = c.tape[l].r;
            const int turn = L - 1 - l;
            if (turn) uf_phase_wait(tape_empty, (turn - 1) % 2);
            if (lane() == 0) uf_phase_expect(tape_full, count * width * 4);
            __syncwarp();
            for (int b = lane(); b < count; b += WARP)
                uf_copy_bulk(tape + b * TAPE_LD,
                             r.at + (p.g * r.stride + static_cast<int64_t>(p.first + b) * width), width * 4,
                             tape_full);
        };
        if (lane() == 0) uf_phase_expect(constants, (L * each + s.out + c.dx_count) * width * 4);
        __syncwarp();
        send_tape(L - 1);
        if (lane() == 0) uf_copy_bulk(out_kernel, w + s.layer[L].kernel, width * s.out * 4, constants);
        for (int i = lane(); i < L * each; i += WARP)
            uf_copy_bulk(vectors + i * COLUMNS, w + (i % 2 ? s.layer[i / 2].shift : s.layer[i / 2].scale),
                         width * 4, constants);
        if (lane() == 0 && c.dx_count)
            uf_copy_bulk(in_kernel, w + s.layer[0].kernel + c.dx_first * width, width * c.dx_count * 4,
                         constants);
        for (int l = L - 1; l > 0; l--)
            for (int k = 0; k < COLUMNS / STAGE; k++) {
                if (k == BACK_STAGES) send_tape(l - 1);
                ring.fill(COLUMNS / 8, PIECE,
                          [&](int i) { return packed + (s.layer[l].packed + (i * PIECES + k) * PIECE); });
            }
        return;
    }
    const Mine mine(static_cast<int>(threadIdx.x) / WARP * 16, count);
    float d[128];
    uint32_t a[CHUNKS][4];
    const float* dout[2];
    float seed[2] = {0, 0};
    for (int h = 0; h < 2; h++) {
        dout[h] = c.dout.at + (p.g * c.dout.stride + static_cast<int64_t>(p.first + mine.row[h]) * s.out);
        if (mine.is_real[h]) seed[h] = dout[h][0];
    }
    const auto stats_of = [&](int l, float2(&stats)[2]) {
        const Rows of = c.tape[l].stats;
        for (int h = 0; h < 2; h++)
            stats[h] = s.layer_norm && mine.is_real[h]
                           ? *reinterpret_cast<const float2*>(of.at +
                                                              (p.g * of.stride + 2 * (p.first + mine.row[h])))
                           : make_float2(0, 0);
    };
    float2 stats[2], next[2];
    stats_of(L - 1, stats);
    uf_phase_wait(constants, 0);
#pragma unroll
    for (int i = 0; i < 128; i++) d[i] = 0;
    for (int o = 0; o < s.out; o++) {
        float of[2] = {seed[0], seed[1]};
        for (int h = 0; h < 2 && o; h++) of[h] = mine.is_real[h] ? dout[h][o] : 0;
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const int j = 16 * k + mine.column;
            if (j >= width) continue;
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float v = out_kernel[(j + e) * s.out + o];
                number(d, k, 0, e) += of[0] * v;
                number(d, k, 1, e) += of[1] * v;
            }
        }
    }
    if (c.dz) {  // the output's bias
        const int first = mine.row[0] - lane() / 4;
        for (int o = lane(); o < s.out && first < count; o += WARP) {
            float sum = 0;
            for (int b = first; b < first + ROWS && b < count; b++)
                sum += c.dout.at[p.g * c.dout.stride + static_cast<int64_t>(p.first + b) * s.out + o];
            c.sums.of(p.g, (p.first + first) / ROWS)[width * (3 * L + 1) + o] = sum;
        }
    }
    for (int l = L - 1;; l--) {
        uf_phase_wait(tape_full, (L - 1 - l) % 2);
        if (l) stats_of(l - 1, next);
        derive_layer(d, a, c, l, p, mine, tape, stats, vectors + l * each * COLUMNS, seed);
        if (!l) break;
        __syncwarp();
        if (lane() == 0) uf_phase_arrive(tape_empty);
        multiply<true>(d, &ring, a);
        stats[0] = next[0];
        stats[1] = next[1];
    }
    for (int q = 0; q < c.dx_count; q++) {
        float dot[2] = {0, 0};
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const int j = 16 * k + mine.column;
            if (j >= width) continue;
            float of[4];
            take(of, four(in_kernel + q * width + j));
#pragma unroll
            for (int e = 0; e < 4; e++) {
                dot[0] += number(d, k, 0, e) * of[e];
                dot[1] += number(d, k, 1, e) * of[e];
            }
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            dot[h] = quad_sum(dot[h]);
            if (mine.is_real[h] && lane() % 4 == 0)
                c.dx.at[p.g * c.dx.stride + static_cast<int64_t>(p.first + mine.row[h]) * c.dx_count + q] =
                    dot[h];
        }
    }
#endif
}

// ---- gradients ----

// Of the kernels between hidden layers: a block has 64 rows of one, over one block of the batch's rows.
struct HopperGradients {
    PackedShape shape;
    const unsigned char *h, *d;
    int64_t factor;
    int rows, block_rows, blocks, N,
        tiles;  // blocks: of rows; N: networks of a member; tiles: of a kernel's rows
    float* grads;
    int64_t member, network, block;
};

enum { GRADIENT_STAGES = 12, GRADIENT_PIECES = 2 * PIECES + 2, GRADIENT_BYTES = GRADIENT_PIECES * PIECE };
enum { GRADIENT_SHARED = GRADIENT_STAGES * GRADIENT_BYTES + 2 * GRADIENT_STAGES * 8 + PIECE };

__global__ void __launch_bounds__(threads_of(1), 1)
    hopper_gradients_kernel(const __grid_constant__ HopperGradients c) {
#ifdef UF_ON_HOPPER
    const PackedShape& s = c.shape;
    unsigned char* space = on_piece(uf_shared_memory());
    UfPhase* phases = reinterpret_cast<UfPhase*>(space + GRADIENT_STAGES * GRADIENT_BYTES);
    Ring<GRADIENT_STAGES, GRADIENT_BYTES> ring = {space, phases, phases + GRADIENT_STAGES};
    int z = static_cast<int>(blockIdx.x);
    const int tile = z % c.tiles;
    z /= c.tiles;
    const int part = z % c.blocks;
    z /= c.blocks;
    const int l = 1 + z % (s.layers - 1), g = z / (s.layers - 1), first = part * c.block_rows,
              count = c.rows - first < c.block_rows ? c.rows - first : c.block_rows,
              steps = (count + 15) / 16;
    if (threadIdx.x == 0) ring.begin(4);
    __syncthreads();
    if (threadIdx.x >= GROUP_THREADS) {
        const int64_t at =
            (l - 1) * c.factor + factor_at(c.rows, g) + static_cast<int64_t>(first) / 8 * PIECES * PIECE;
        for (int n = 0; n < steps; n++)
            ring.fill(GRADIENT_PIECES, PIECE, [&](int i) {
                const int64_t begins = at + static_cast<int64_t>(n) * 2 * PIECES * PIECE;
                return i < 2 * PIECES ? c.d + begins + i * PIECE
                                      : c.h + begins + ((i - 2 * PIECES) * PIECES + tile) * PIECE;
            });
        return;
    }
    float d[128];
    for (int n = 0; n < steps; n++) {
        const unsigned char* at = ring.wait();
        uf_wgmma_begin();
        uf_wgmma_of_transpose(d, uf_wgmma_matrix<true>(at + 2 * PIECES * PIECE, PIECE, PIECE),
                              uf_wgmma_matrix<true>(at, PIECE, PIECES * PIECE), n > 0);
        uf_wgmma_commit();
        uf_wgmma_wait<1>();
        if (n) ring.release(n - 1);
        ring.next++;
    }
    uf_wgmma_wait<0>();
    float* to = c.grads + (part * c.block + g / c.N * c.member + g % c.N * c.network + s.layer[l].kernel);
    for (int h = 0; h < 2; h++) {
        const int i = tile * TILE + static_cast<int>(threadIdx.x) / WARP * 16 + lane() / 4 + 8 * h;
        if (i >= s.width) continue;
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++) {
            const int o = 8 * j + lane() % 4 * 2;
            if (o < s.width)
                *reinterpret_cast<float2*>(to + static_cast<int64_t>(i) * s.width + o) =
                    make_float2(h ? d[4 * j + 2] : d[4 * j], h ? d[4 * j + 3] : d[4 * j + 1]);
        }
    }
#endif
}

// ---- launching ----

Pass pass_of(const State* s, const PackedNets* packed, const UfNets* nets, int rows) {
    Pass p = {};
    p.rows = rows;
    p.params = params_of(nets);
    p.shape = packed_shape(s, nets->mlp);
    p.packed_network = p.shape.bytes;
    p.packed_member = nets->shared ? 0 : p.packed_network * nets->N;
    p.packed = packed->at +
               (nets->params - packed->params) / static_cast<int64_t>(nets->mlp->size) * p.packed_network;
    return p;
}

}  // namespace

void prepare_hopper(State* s) {
    if (!s->has_wgmma || s->precision != BF16) return;
    const auto what = cudaFuncAttributeMaxDynamicSharedMemorySize;
    check(s, cudaFuncSetAttribute(hopper_forward_kernel<1>, what, MOST_SHARED));
    check(s, cudaFuncSetAttribute(hopper_forward_kernel<2>, what, MOST_SHARED));
    check(s, cudaFuncSetAttribute(hopper_backward_kernel, what, MOST_SHARED));
    check(s, cudaFuncSetAttribute(hopper_gradients_kernel, what, MOST_SHARED));
}

PackedShape packed_shape(const State* s, const UfMlp* mlp) {
    PackedShape k = {};
    bool fits = s->has_wgmma && s->precision == BF16 && mlp->activation == UF_RELU &&
                (s->passes == PASSES_OF_WARPGROUPS || s->passes == PASSES_OF_2_WARPGROUPS) &&
                mlp->width <= COLUMNS && mlp->width > COLUMNS / 2 && mlp->width % 4 == 0 &&
                mlp->size % 4 == 0 && mlp->in <= MOST_IN && mlp->out <= MOST_OUT &&
                mlp->layers <= PACKED_LAYERS;
    for (int l = 0; l <= mlp->layers; l++) fits = fits && mlp->kernel[l] % 4 == 0 && mlp->bias[l] % 4 == 0;
    if (!fits) return k;
    k.in = mlp->in;
    k.width = mlp->width;
    k.layers = mlp->layers;
    k.out = mlp->out;
    k.layer_norm = mlp->layer_norm;
    k.size = static_cast<int>(mlp->size);
    for (int l = 0; l <= mlp->layers; l++) {
        auto& layer = k.layer[l];
        layer.kernel = static_cast<int>(mlp->kernel[l]);
        layer.bias = static_cast<int>(mlp->bias[l]);
        layer.packed = k.bytes;
        if (l == mlp->layers) break;
        layer.scale = static_cast<int>(mlp->scale[l]);
        layer.shift = static_cast<int>(mlp->shift[l]);
        k.bytes += rows_of(k, l) / 8 * PIECES * PIECE;
    }
    return k;
}

const PackedNets* packed_of(const State* s, const float* params) {
    for (int i = 0; i < s->num_packed; i++) {
        const PackedNets* of = &s->packed[i];
        if (params >= of->params && params < of->params + of->networks * of->mlp.size) return of;
    }
    return nullptr;
}

void pack(State* s, const PackedNets* nets) {
    const Pack c = {packed_shape(s, &nets->mlp), nets->params, nets->at};
    const int blocks_each = static_cast<int>(ceil_div(c.shape.size, 4 * THREADS));
    launch(s, pack_kernel, static_cast<int64_t>(nets->networks) * blocks_each, THREADS, c, blocks_each);
}

bool hopper_forward(State* s, const UfNets* nets, float* out, const UfTape* tape, UfInput input,
                    UfRows rows) {
    const UfMlp* mlp = nets->mlp;
    const PackedNets* packed = packed_of(s, nets->params);
    if (!packed) return false;
    const int G = nets->P * nets->used;
    Forward c = {};
    c.pass = pass_of(s, packed, nets, rows.count);
    c.x = Rows{const_cast<float*>(input.x) + static_cast<int64_t>(rows.first) * input.ld,
               static_cast<int64_t>(input.total) * input.ld};
    c.x_ld = input.ld;
    c.out = tape_rows(out, rows.first, rows.total, mlp->out);
    for (int l = 0; tape && l < mlp->layers; l++) {
        c.tape[l].r = tape_rows(tape->r[l], rows.first, rows.total, mlp->width);
        if (mlp->layer_norm) c.tape[l].stats = tape_rows(tape->stats[l], rows.first, rows.total, 2);
    }
    const size_t bytes = static_cast<size_t>(ForwardSpace::bytes(c.pass.shape));
    if (bytes > MOST_SHARED) return false;
    // Two warpgroups a block where each multiprocessor has a block anyway.
    const int64_t tiles = ceil_div(rows.count, TILE);
    if (s->passes == PASSES_OF_2_WARPGROUPS || (tiles > 1 && G * tiles >= 2 * s->num_sms))
        launch_shared(s, hopper_forward_kernel<2>, G * ceil_div(rows.count, 2 * TILE), threads_of(2), bytes,
                      c);
    else
        launch_shared(s, hopper_forward_kernel<1>, G * tiles, threads_of(1), bytes, c);
    return true;
}

size_t hopper_scratch(const State* s, const UfMlp* mlp, size_t G, int rows) {
    if (!packed_shape(s, mlp).bytes) return 0;
    const size_t layers = static_cast<size_t>(mlp->layers), total = static_cast<size_t>(rows),
                 factors = 2 * (layers - 1) * static_cast<size_t>(factor_at(rows, static_cast<int>(G))) /
                           sizeof(float),
                 sums = G * static_cast<size_t>(ceil_div(rows, ROWS) * sums_record(mlp));
    return G * total * static_cast<size_t>(mlp->width) + factors + sums + 4 * 64;
}

bool hopper_backward(State* s, const UfNets* nets, float* grads, HopperSums* made, float* dx, int dx_first,
                     int dx_count, const UfTape* tape, const float* dout, int total) {
    const UfMlp* mlp = nets->mlp;
    const PackedNets* packed = packed_of(s, nets->params);
    if (!packed) return false;
    const int G = nets->P * nets->used, L = mlp->layers;
    Backward c = {};
    c.pass = pass_of(s, packed, nets, total);
    c.dout = Rows{const_cast<float*>(dout), static_cast<int64_t>(total) * mlp->out};
    for (int l = 0; l < L; l++) {
        c.tape[l].r = tape_rows(tape->r[l], 0, total, mlp->width);
        if (mlp->layer_norm) c.tape[l].stats = tape_rows(tape->stats[l], 0, total, 2);
    }
    if (dx) {
        c.dx = Rows{dx, static_cast<int64_t>(total) * dx_count};
        c.dx_first = dx_first;
        c.dx_count = dx_count;
    }
    const size_t bytes = static_cast<size_t>(BackwardSpace::bytes(c.pass.shape, c.dx_count));
    if (bytes > MOST_SHARED) return false;
    c.sums = sums_of(mlp, nullptr, total);
    c.factor = factor_at(total, G);
    Scratch scratch = {s, 0};
    if (grads) {
        const size_t factors = static_cast<size_t>((L - 1) * c.factor) / sizeof(float);
        c.dz = scratch.take(static_cast<size_t>(G) * static_cast<size_t>(total) *
                            static_cast<size_t>(mlp->width));
        c.h = reinterpret_cast<unsigned char*>(scratch.take(factors));
        c.d = reinterpret_cast<unsigned char*>(scratch.take(factors));
        c.sums.at = scratch.take(static_cast<size_t>(G) * static_cast<size_t>(c.sums.chunks * c.sums.record));
    }
    if (!scratch.fits()) return true;
    launch_shared(s, hopper_backward_kernel, G * ceil_div(total, TILE), threads_of(1), bytes, c);
    *made = HopperSums{c.dz, c.sums};
    if (!grads || L == 1) return true;
    HopperGradients k = {};
    const SumsTo to = sums_to(nets, grads, total);
    k.shape = c.pass.shape;
    k.h = c.h;
    k.d = c.d;
    k.factor = c.factor;
    k.rows = total;
    k.block_rows = uf_block_rows(total, nets->N);
    k.blocks = to.blocks;
    k.N = nets->used;
    k.tiles = static_cast<int>(ceil_div(mlp->width, TILE));
    k.grads = grads;
    k.member = to.member;
    k.network = to.network;
    k.block = to.block;
    launch_shared(s, hopper_gradients_kernel, static_cast<int64_t>(G) * (L - 1) * k.blocks * k.tiles,
                  threads_of(1), GRADIENT_SHARED, k);
    return true;
}

}  // namespace uf_cuda
