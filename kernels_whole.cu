// kernels_whole.cu: passes that take a tile of rows through all layers of a network in one kernel, as
// tiny-cuda-nn's fully fused networks do: for widths up to 256, where launches and not arithmetic cost the time.
//
// A block has one network and a tile of 16 M rows, whose activations stay in shared memory from the first layer to
// the last. Its W warps are 8, or 2 where the width is 64 at most, so that each has work and more blocks share a
// multiprocessor; as M, W changes no bit. A warp takes 32 columns of a layer for all rows of the tile, so that a weight
// is needed by one warp of the block alone: it comes through a ring of that warp's own in shared memory, three groups of
// 16 along k ahead of its use. Products are mma.sync (tf32, bf16; sums in fp32) or, in fp32, multiplied and added in
// the order of k. The columns a lane gets of four 8-wide products are interleaved (column 4 s + j of 32 is slot s of
// product j), so that its loads and stores are 16 bytes wide; what is summed over is permuted likewise, which a sum does
// not mind. What comes between products (bias, activation, LayerNorm, the tape, their derivatives) is done where the
// product left its numbers, in registers: sums over a row meet in shared memory once, sums over the 16 rows of a chunk
// go by halves through the lanes that share columns. So M changes no bit.
// The gradients of all kernels are one more launch: tiles of 64 x 64 to 128 x 128, the rows of a gradient block summed
// in order, and, in the blocks behind these, the sums of the chunks.
//
// Rooms: shapes, products, tiles, forward, backward, second order, gradients, launching, arguments.
#include "kernels_hopper.cuh"

namespace uf_cuda {

namespace {

enum { MOST_WIDTH = 256, MOST_IN = 512, MOST_OUT = 64 };
// Bytes of a block; one of Ampere has 163 KB, of which kernels have 4 besides at most.
enum { MOST_SHARED = 158 << 10 };
// Columns a warp multiplies, so that a lane has W numbers of a row and a block a thread for each column.
enum { COLUMNS = WARP };
enum { FEW_WARPS = 2 };  // of a block for a narrow network

static_assert(WARPS * COLUMNS == int{MOST_WIDTH}, "a warp for each 32 columns");

// ---- shapes ----

// A network's shape and where its parts lie in its block of parameters.
struct Net {
    int in, width, layers, out;
    bool layer_norm;
    struct {
        int kernel, bias, scale, shift;
    } layer[UF_MAX_LAYERS + 1];
};

Net net_of(const UfMlp* mlp) {
    Net net = {};
    net.in = mlp->in;
    net.width = mlp->width;
    net.layers = mlp->layers;
    net.out = mlp->out;
    net.layer_norm = mlp->layer_norm;
    for (int l = 0; l <= mlp->layers; l++) {
        net.layer[l].kernel = static_cast<int>(mlp->kernel[l]);
        net.layer[l].bias = static_cast<int>(mlp->bias[l]);
        if (l == mlp->layers) break;
        net.layer[l].scale = static_cast<int>(mlp->scale[l]);
        net.layer[l].shift = static_cast<int>(mlp->shift[l]);
    }
    return net;
}

// What lies on the tape of a layer, of rows `first` and on.
struct Tape {
    struct {
        Rows r, stats;
    } layer[UF_MAX_LAYERS];  // Nullable: at
};

Tape tape_of(const UfMlp* mlp, const UfTape* tape, int first, int total) {
    Tape t = {};
    for (int l = 0; tape && l < mlp->layers; l++) {
        t.layer[l].r = tape_rows(tape->r[l], first, total, mlp->width);
        if (mlp->layer_norm) t.layer[l].stats = tape_rows(tape->stats[l], first, total, 2);
    }
    return t;
}

__host__ __device__ inline int round_up(int x, int step) { return (x + step - 1) / step * step; }

// How activations lie in a tile. PLAIN: row after row, as numbers. PAIRED, for tensor cores: rows b and b + 8 of each 16
// side by side, so that a fragment is one load: in tf32 column j of both, in bf16 columns j and j + 1 of the first, then
// of the second, a word each.
enum Layout { PLAIN, PAIRED };

constexpr Layout layout_of(int precision) { return precision == FP32 ? PLAIN : PAIRED; }

// Words from row to row of a tile, or from pair to pair: padded so that lanes that load or store 16 bytes each at a time meet
// no bank twice: 16 banks on from row to row, in tf32 4.
int tile_ld(int columns, Layout layout, Precision precision) {
    if (layout == PAIRED && precision == TF32) return 2 * round_up(columns, 16) + 4;
    return round_up(columns, COLUMNS) + 16;
}

__device__ inline float4 load4(const float* at) { return *reinterpret_cast<const float4*>(at); }
__device__ inline uint4 load4_words(const float* at) { return *reinterpret_cast<const uint4*>(at); }
__device__ inline float two_words(float low, float high) { return __uint_as_float(uf_pack_bf16(low, high)); }
__device__ inline void store4(float* at, float a, float b, float c, float d) {
    *reinterpret_cast<float4*>(at) = make_float4(a, b, c, d);
}

template <int R>
__device__ inline void warp_sums(float (&x)[R]) {
#pragma unroll
    for (int offset = WARP / 2; offset; offset /= 2)
#pragma unroll
        for (int r = 0; r < R; r++) x[r] += __shfl_xor_sync(0xffffffffu, x[r], offset);
}

// ---- products ----

// A number as a product reads it from shared memory. bf16 is rounded where two numbers become a word.
template <int PRECISION>
__device__ inline float operand(float x) {
    return PRECISION == TF32 ? __uint_as_float(uf_round_tf32(x)) : x;
}

// Four numbers along what is summed over, as words of a fragment: 4 of tf32, 2 of bf16.
template <int PRECISION, bool IS_OPERAND>
__device__ inline void pack(uint32_t (&word)[4], const float (&x)[4]) {
    if constexpr (PRECISION == BF16) {
        word[0] = uf_pack_bf16(x[0], x[1]);
        word[1] = uf_pack_bf16(x[2], x[3]);
    } else {
#pragma unroll
        for (int q = 0; q < 4; q++) word[q] = IS_OPERAND ? __float_as_uint(x[q]) : uf_round_tf32(x[q]);
    }
}

// c += a b over 16 numbers, of which a lane has four of rows g (`low`) and g + 8 (`high`) and of column g: any four,
// as long as lanes of one t have the same.
template <int PRECISION>
__device__ inline void mma_16(float (&c)[4], const uint32_t (&low)[4], const uint32_t (&high)[4],
                              const uint32_t (&b)[4]) {
    if constexpr (PRECISION == BF16) {
        uf_mma_bf16(c, {low[0], high[0], low[1], high[1]}, {b[0], b[1]});
    } else {
        uf_mma_tf32(c, {low[0], high[0], low[1], high[1]}, {b[0], b[1]});
        uf_mma_tf32(c, {low[2], high[2], low[3], high[3]}, {b[2], b[3]});
    }
}

// What a lane has of 16 M rows and its warp's columns: SLOTS rows of each 16, ITEMS columns side by side.
template <int PRECISION>
struct Fragment {
    static constexpr int SLOTS = PRECISION == FP32 ? 4 : 2, ITEMS = COLUMNS * ROWS / WARP / SLOTS,
                         SHARE = COLUMNS / ITEMS;  // SHARE: lanes that have the same rows

    static __device__ int row(int slot) {
        return PRECISION == FP32 ? lane() / 8 * 4 + slot : lane() / 4 + 8 * slot;
    }
    static __device__ int column() { return lane() % SHARE * ITEMS; }
};

// On tensor cores [m][j][e]: number e of fragment c of product j, column slots interleaved as said above. In fp32
// [m][slot][item].
template <int PRECISION, int M>
struct Sum {
    float v[M][4][4];

    __device__ float& at(int m, int slot, int item) {
        return PRECISION == FP32 ? v[m][slot][item] : v[m][item % 4][2 * slot + item / 4];
    }
};

// Fragments of rows g and g + 8 of a tile, 16 numbers along k from column `at` on: the four of this lane.
template <int PRECISION, Layout LAYOUT>
__device__ inline void load_fragments(uint32_t (&low)[4], uint32_t (&high)[4], const float* rows, int ld,
                                      int at) {
    const int g = lane() / 4, slot = lane() % 4 * 4;
    if constexpr (LAYOUT == PLAIN) {
        const float4 a = load4(rows + g * ld + at + slot), c = load4(rows + (g + 8) * ld + at + slot);
        pack<PRECISION, true>(low, {a.x, a.y, a.z, a.w});
        pack<PRECISION, true>(high, {c.x, c.y, c.z, c.w});
    } else if constexpr (PRECISION == TF32) {
        const uint4 a = load4_words(rows + g * ld + 2 * (at + slot)),
                    c = load4_words(rows + g * ld + 2 * (at + slot) + 4);
        low[0] = a.x;
        high[0] = a.y;
        low[1] = a.z;
        high[1] = a.w;
        low[2] = c.x;
        high[2] = c.y;
        low[3] = c.z;
        high[3] = c.w;
    } else {
        const uint4 a = load4_words(rows + g * ld + at + slot);
        low[0] = a.x;
        high[0] = a.y;
        low[1] = a.z;
        high[1] = a.w;
    }
}

// A warp's weights of one group, 16 numbers along k by its 32 columns, as they lie in shared memory: 128 pieces of 16
// bytes, shuffled so that those that lanes store or read at a time meet no bank twice. TRANSPOSED: of the transpose of
// what multiplies, whose rows are columns.
enum { GROUP = 16, GROUP_SIZE = GROUP * COLUMNS };
enum { FEW_STAGES = 2 };  // of a ring where two tiles take the room

// Where four numbers are that lie side by side in memory: of row k from column 4 `piece` on; TRANSPOSED: of column
// `column` from k = 4 `piece` on.
__device__ inline int place_of_row(int k, int piece) { return k * COLUMNS + (piece ^ k / 4 % 4 * 2) * 4; }
__device__ inline int place_of_column(int column, int piece) {
    return column / 2 * COLUMNS + ((column % 2 * 4 + piece) ^ column / 4 % 2 * 4) * 4;
}

// column[j][q]: of the lane's column j of four, number q of four along k: those of its slot, in fp32 of `step`.
template <int PRECISION, bool TRANSPOSED>
__device__ inline void load_weights(float (&column)[4][4], const float* group, int step) {
    const int mine = PRECISION == FP32 ? lane() % 8 : lane() / 4,
              slot = PRECISION == FP32 ? step : lane() % 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float4 x = load4(
            group + (TRANSPOSED ? place_of_column(4 * mine + i, slot) : place_of_row(4 * slot + i, mine)));
        (TRANSPOSED ? column[i][0] : column[0][i]) = x.x;
        (TRANSPOSED ? column[i][1] : column[1][i]) = x.y;
        (TRANSPOSED ? column[i][2] : column[2][i]) = x.z;
        (TRANSPOSED ? column[i][3] : column[3][i]) = x.w;
    }
}

// One group, from column `at` of the tile on.
template <int PRECISION, int M, bool TRANSPOSED, Layout LAYOUT>
__device__ inline void multiply_group(Sum<PRECISION, M>* sum, const float* tile, int ld, int at,
                                      const float* group) {
    float column[4][4];
    if constexpr (PRECISION == FP32) {
#pragma unroll
        for (int step = 0; step < 4; step++) {
            load_weights<PRECISION, TRANSPOSED>(column, group, step);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float4 a = load4(tile + (m * ROWS + lane() / 8 * 4 + i) * ld + at + 4 * step);
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        float& s = sum->v[m][i][j];
                        s += a.x * column[j][0];
                        s += a.y * column[j][1];
                        s += a.z * column[j][2];
                        s += a.w * column[j][3];
                    }
                }
        }
    } else {
        uint32_t word[4][4];
        load_weights<PRECISION, TRANSPOSED>(column, group, 0);
#pragma unroll
        for (int j = 0; j < 4; j++) pack<PRECISION, false>(word[j], column[j]);
#pragma unroll
        for (int m = 0; m < M; m++) {
            uint32_t low[4], high[4];
            load_fragments<PRECISION, LAYOUT>(
                low, high, tile + (LAYOUT == PAIRED ? m * ROWS / 2 : m * ROWS) * ld, ld, at);
#pragma unroll
            for (int j = 0; j < 4; j++) mma_16<PRECISION>(sum->v[m][j], low, high, word[j]);
        }
    }
}

// A warp's columns of tile (16 M, k) times w (k, n), or times the transpose of w (n, k). Columns of the tile from k
// to the next multiple of 16 are zero; k, where TRANSPOSED, and n are multiples of 4. The weights come through a ring
// of STAGES groups of the warp's own, all but one on their way: no warp waits for another, and no register holds them.
// `begin` sends for the first, which may be as soon as the product before has run.
template <int PRECISION, int M, int STAGES, bool TRANSPOSED>
struct Product {
    const float* from = nullptr;
    float* ring = nullptr;
    int ld = 0, k = 0, n = 0;  // n: of the warp, at most COLUMNS

    __device__ void begin(const float* w, int w_ld, int all_k, int all_n, int first_column,
                          float* warps_ring) {
        ld = w_ld;
        k = all_k;
        n = all_n - first_column;
        ring = warps_ring;
        from = w + (TRANSPOSED ? static_cast<int64_t>(first_column) * ld : first_column);
        if (n <= 0) return;
        __syncwarp();  // nobody reads any more what was there
#pragma unroll 1
        for (int group = 0; group < STAGES - 1; group++) send(group);
    }

    __device__ void send(int group) {
        const int at = group * GROUP;
        float* to = ring + group % STAGES * GROUP_SIZE;
#pragma unroll
        for (int i = 0; at < k && i < 4; i++) {
            if (TRANSPOSED) {
                const int column = lane() / 4 + 8 * i, piece = lane() % 4;
                const bool inside = column < n && at + 4 * piece < k;
                uf_copy_async<16>(to + place_of_column(column, piece),
                                  inside ? from + static_cast<int64_t>(column) * ld + at + 4 * piece : from,
                                  inside);
            } else {
                const int row = lane() / 8 + 4 * i, piece = lane() % 8;
                const bool inside = at + row < k && 4 * piece < n;
                uf_copy_async<16>(to + place_of_row(row, piece),
                                  inside ? from + static_cast<int64_t>(at + row) * ld + 4 * piece : from,
                                  inside);
            }
        }
        uf_commit_copies();
    }

    template <Layout LAYOUT>
    __device__ void run(Sum<PRECISION, M>* sum, const float* tile, int tile_ld) {
        *sum = {};
        if (n <= 0) return;
        const int groups = (k + GROUP - 1) / GROUP;
#pragma unroll 1
        for (int group = 0; group < groups; group++) {
            uf_wait_copies<STAGES - 2>();
            __syncwarp();  // for what other lanes copied; and none reads the group before any more
            send(group + STAGES - 1);
            multiply_group<PRECISION, M, TRANSPOSED, LAYOUT>(sum, tile, tile_ld, group * GROUP,
                                                             ring + group % STAGES * GROUP_SIZE);
        }
    }
};

// A warp's numbers of 16 M rows to a tile, as operands where it is not PLAIN: zeros from column n on, nothing from
// `end` on.
template <int PRECISION, int M, Layout LAYOUT>
__device__ inline void put_rows(float* tile, int ld, Sum<PRECISION, M>& sum, int first_column, int n,
                                int end) {
    typedef Fragment<PRECISION> Here;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int c = 0; c < Here::ITEMS; c += 4) {
            const int j = first_column + Here::column() + c;
            float x[Here::SLOTS][4];
#pragma unroll
            for (int s = 0; s < Here::SLOTS; s++)
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    x[s][q] = j < n ? sum.at(m, s, c + q) : 0;
                    if (LAYOUT == PAIRED) x[s][q] = operand<PRECISION>(x[s][q]);
                }
            if (j >= end) continue;
            if constexpr (LAYOUT == PLAIN) {
#pragma unroll
                for (int s = 0; s < Here::SLOTS; s++)
                    store4(tile + (m * ROWS + Here::row(s)) * ld + j, x[s][0], x[s][1], x[s][2], x[s][3]);
            } else {
                float* pair = tile + (m * ROWS / 2 + lane() / 4) * ld;
                if constexpr (PRECISION == TF32) {
                    store4(pair + 2 * j, x[0][0], x[1][0], x[0][1], x[1][1]);
                    store4(pair + 2 * j + 4, x[0][2], x[1][2], x[0][3], x[1][3]);
                } else {
                    store4(pair + j, two_words(x[0][0], x[0][1]), two_words(x[1][0], x[1][1]),
                           two_words(x[0][2], x[0][3]), two_words(x[1][2], x[1][3]));
                }
            }
        }
}

// tile <- tile times a kernel, for a block of 8 warps.
template <int PRECISION, int M, bool TRANSPOSED>
__device__ inline void multiply_tile(float* tile, int ld, const float* w, int w_ld, int k, int n,
                                     float* rings) {
    Product<PRECISION, M, FEW_STAGES, TRANSPOSED> product;
    Sum<PRECISION, M> sum;
    product.begin(w, w_ld, k, n, warp() * COLUMNS, rings + warp() * FEW_STAGES * GROUP_SIZE);
    product.template run<PLAIN>(&sum, tile, ld);
    __syncthreads();  // every warp has read the tile
    put_rows<PRECISION, M, PLAIN>(tile, ld, sum, warp() * COLUMNS, n, round_up(n, COLUMNS));
    __syncthreads();
}

// ---- tiles ----

// A block's shape: a tile of 16 M rows, of which each of W warps takes 32 columns. In shared memory the tile comes
// first, then the rings of weights.
template <int PRECISION_, int M_, int W_>
struct Shape {
    static constexpr int PRECISION = PRECISION_, M = M_, W = W_, TILE_ROWS = ROWS * M, NUM_THREADS = W * WARP,
                         STAGES = 4;
    // Where registers allow it: vectors that rows are multiplied with, whose numbers are sent for together; what a layer
    // needs behind its product, sent for before.
    static constexpr int AT_ONCE = 8 / M;
    static constexpr bool EARLY = M <= 2;
    static constexpr Layout LAYOUT = layout_of(PRECISION);
    typedef Fragment<PRECISION> Here;
    typedef uf_cuda::Sum<PRECISION, M> Sum;
    template <bool TRANSPOSED>
    using Product = uf_cuda::Product<PRECISION, M, STAGES, TRANSPOSED>;

    static __device__ int first_column() { return warp() * COLUMNS; }
    static __host__ __device__ int tile_words(int ld) {
        return (LAYOUT == PAIRED ? TILE_ROWS / 2 : TILE_ROWS) * ld;
    }
    static __host__ __device__ int words(int ld) { return tile_words(ld) + W * STAGES * GROUP_SIZE; }
    static __device__ float* ring(float* tile, int ld) {
        return tile + tile_words(ld) + warp() * STAGES * GROUP_SIZE;
    }
};

// Rows of the input as operands, zero beyond them and, up to a multiple of 16, beyond their columns. A warp takes rows;
// `read` sends for their first columns, `put` lays all down.
template <int PRECISION, int NUM_WARPS, Layout LAYOUT, int TILE_ROWS>
struct Input {
    static constexpr int EACH = LAYOUT == PAIRED && PRECISION == BF16 ? 2 : 1,  // columns of a lane
        NUM_ROWS = TILE_ROWS / NUM_WARPS;
    const float* x;
    int ld, columns, count;
    float first[NUM_ROWS][EACH];

    __device__ static int row(int i) { return warp() + i * NUM_WARPS; }

    __device__ void read(float (&v)[NUM_ROWS][EACH], int column) const {
#pragma unroll
        for (int i = 0; i < NUM_ROWS; i++)
#pragma unroll
            for (int q = 0; q < EACH; q++)
                v[i][q] = row(i) < count && column + q < columns
                              ? uf_read(x + static_cast<int64_t>(row(i)) * ld + column + q)
                              : 0;
    }

    __device__ void read() { read(first, lane() * EACH); }

    __device__ void put(float* tile, int tile_ld, const float (&v)[NUM_ROWS][EACH], int column) const {
#pragma unroll
        for (int i = 0; i < NUM_ROWS; i++) {
            const int b = row(i), pair = b / ROWS * (ROWS / 2) + b % (ROWS / 2), half = b / (ROWS / 2) % 2;
            if constexpr (LAYOUT == PLAIN)
                tile[b * tile_ld + column] = operand<PRECISION>(v[i][0]);
            else if constexpr (EACH == 2)
                tile[pair * tile_ld + column + half] = two_words(v[i][0], v[i][1]);
            else
                tile[pair * tile_ld + 2 * column + half] = operand<PRECISION>(v[i][0]);
        }
    }

    __device__ void put(float* tile, int tile_ld) const {
        const int padded = round_up(columns, 16);
        if (lane() * EACH < padded) put(tile, tile_ld, first, lane() * EACH);
#pragma unroll 1
        for (int column = (lane() + WARP) * EACH; column < padded; column += WARP * EACH) {
            float v[NUM_ROWS][EACH];
            read(v, column);
            put(tile, tile_ld, v, column);
        }
    }
};

// The lane's numbers of a row of `width` from `column` on: zeros beyond. One load for each four.
template <int ITEMS>
__device__ inline void load_items(float (&x)[ITEMS], const float* row, int column, int width) {
#pragma unroll
    for (int c = 0; c < ITEMS; c += 4) {
        const float4 v = column + c < width ? load4(row + column + c) : make_float4(0, 0, 0, 0);
        x[c] = v.x;
        x[c + 1] = v.y;
        x[c + 2] = v.z;
        x[c + 3] = v.w;
    }
}

// Sum over the lanes that have the same rows.
template <int SHARE>
__device__ inline float share_sum(float x) {
#pragma unroll
    for (int offset = SHARE / 2; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

// Sums over the lanes that have the same columns: each is left with one, that of item `item_of_lane`.
template <int ITEMS>
__device__ inline float column_sum(float (&x)[ITEMS]) {
#pragma unroll
    for (int n = ITEMS / 2, offset = WARP / 2; n; n /= 2, offset /= 2) {
        const bool high = lane() & offset;
#pragma unroll
        for (int c = 0; c < n; c++) {
            const float other = __shfl_xor_sync(0xffffffffu, high ? x[c] : x[c + n], offset);
            x[c] = (high ? x[c + n] : x[c]) + other;
        }
    }
    return x[0];
}

template <int ITEMS>
__device__ inline int item_of_lane() {
    int item = 0;
#pragma unroll
    for (int n = ITEMS / 2, offset = WARP / 2; n; n /= 2, offset /= 2)
        if (lane() & offset) item += n;
    return item;
}

// A pair of numbers of each row from each warp that has columns of it, for sums over whole rows.
template <typename S>
struct Pairs {
    float2 of[S::W][S::TILE_ROWS];
};

// Dot products of the block's rows with `count` vectors: weight(q, j) is number j of vector q, put(b, q, sum) takes what
// row b came to. space: numbers of the block that nobody else uses, `space_count`.
template <typename S, typename Weight, typename Put>
__device__ inline void dots(typename S::Sum& x, float* space, int space_count, int count, int width,
                            Weight weight, Put put) {
    typedef typename S::Here Here;
    constexpr int PARTS_LD = S::TILE_ROWS + 1;
    const int most = space_count / (S::W * PARTS_LD), column = S::first_column() + Here::column();
    for (int first = 0; first < count; first += most) {
        const int some = count - first < most ? count - first : most;
        __syncthreads();
#pragma unroll S::AT_ONCE
        for (int q = 0; q < some; q++) {
            float w[Here::ITEMS];
#pragma unroll
            for (int c = 0; c < Here::ITEMS; c++)
                w[c] = column + c < width ? weight(first + q, column + c) : 0;
#pragma unroll
            for (int m = 0; m < S::M; m++)
#pragma unroll
                for (int s = 0; s < Here::SLOTS; s++) {
                    float sum = 0;
#pragma unroll
                    for (int c = 0; c < Here::ITEMS; c++) sum += x.at(m, s, c) * w[c];
                    sum = share_sum<Here::SHARE>(sum);
                    if (lane() % Here::SHARE == 0)
                        space[(q * S::W + warp()) * PARTS_LD + m * ROWS + Here::row(s)] = sum;
                }
        }
        __syncthreads();
        for (int e = static_cast<int>(threadIdx.x); e < S::TILE_ROWS * some; e += S::NUM_THREADS) {
            const int b = e / some, q = e % some;
            float sum = 0;
#pragma unroll
            for (int i = 0; i < S::W; i++) sum += space[(q * S::W + i) * PARTS_LD + b];
            put(b, first + q, sum);
        }
    }
}

// ---- forward ----

// What a kernel wants first stands first, as in the others' arguments: they come a line of the cache at a time, and a
// block waits for each.
struct Forward {
    int rows, ld, x_ld;
    Parameters params;
    Rows x, out;  // x: of members
    Net net;
    Tape tape;
};

// x <- activation of x + bias; what lies beyond the network's columns is 0.
template <typename S, int ACTIVATION>
__device__ inline void activate_rows(typename S::Sum& x, const float (&bias)[S::Here::ITEMS], int width) {
    typedef typename S::Here Here;
    const int column = S::first_column() + Here::column();
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int s = 0; s < Here::SLOTS; s++)
#pragma unroll
            for (int c = 0; c < Here::ITEMS; c++) {
                float& v = x.at(m, s, c);
                v = column + c / 4 * 4 < width ? activate<ACTIVATION>(v + bias[c]) : 0;
            }
}

// Columns that warp i has.
__device__ inline float columns_of(int i, int width) {
    const int rest = width - i * COLUMNS;
    return static_cast<float>(rest > COLUMNS ? COLUMNS : rest > 0 ? rest : 0);
}

// LayerNorm of whole rows, each warp knowing its columns: means and sums of squared deviations are put together as
// those of samples are (Chan et al.), in the order of warps. stats.at null: not kept.
template <typename S>
__device__ inline void normalise_rows(typename S::Sum& x, Pairs<S>* pairs, const Place& p, const Rows& stats,
                                      const float (&gain)[S::Here::ITEMS],
                                      const float (&shift)[S::Here::ITEMS], int width) {
    typedef typename S::Here Here;
    const int column = S::first_column() + Here::column();
    const float mine = columns_of(warp(), width), share = mine > 0 ? 1 / mine : 0,
                whole_share = 1 / static_cast<float>(width);
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int s = 0; s < Here::SLOTS; s++) {
            float sum = 0, squares = 0;
#pragma unroll
            for (int c = 0; c < Here::ITEMS; c++) sum += x.at(m, s, c);
            sum = share_sum<Here::SHARE>(sum);
            const float mean = sum * share;
#pragma unroll
            for (int c = 0; c < Here::ITEMS; c++) {
                const float d = column + c / 4 * 4 < width ? x.at(m, s, c) - mean : 0;
                squares += d * d;
            }
            squares = share_sum<Here::SHARE>(squares);
            if (lane() % Here::SHARE == 0)
                pairs->of[warp()][m * ROWS + Here::row(s)] = make_float2(mean, squares);
        }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int s = 0; s < Here::SLOTS; s++) {
            const int b = m * ROWS + Here::row(s);
            float2 of[S::W];
            float mean = 0, squares = 0;
#pragma unroll
            for (int i = 0; i < S::W; i++) {
                of[i] = pairs->of[i][b];
                mean += columns_of(i, width) * of[i].x;
            }
            mean *= whole_share;
#pragma unroll
            for (int i = 0; i < S::W; i++) {
                squares += of[i].y + columns_of(i, width) * (of[i].x - mean) * (of[i].x - mean);
            }
            const float inv_std = uf_rsqrt(squares * whole_share + static_cast<float>(UF_LAYER_NORM_EPS));
            if (stats.at && warp() == 0 && lane() % Here::SHARE == 0 && b < p.count)
                *reinterpret_cast<float2*>(stats.at + (p.g * stats.stride + 2 * (p.first + b))) =
                    make_float2(mean, inv_std);
#pragma unroll
            for (int c = 0; c < Here::ITEMS; c++) {
                float& v = x.at(m, s, c);
                v = column + c / 4 * 4 < width ? (v - mean) * inv_std * gain[c] + shift[c] : 0;
            }
        }
}

// Rows of the lane to rows (count, width) of a network.
template <typename S>
__device__ inline void keep_rows(typename S::Sum& x, float* at, int count, int width) {
    typedef typename S::Here Here;
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int s = 0; s < Here::SLOTS; s++)
#pragma unroll
            for (int c = 0; c < Here::ITEMS; c += 4) {
                const int b = m * ROWS + Here::row(s), j = S::first_column() + Here::column() + c;
                if (b < count && j < width)
                    store4(at + static_cast<int64_t>(b) * width + j, x.at(m, s, c), x.at(m, s, c + 1),
                           x.at(m, s, c + 2), x.at(m, s, c + 3));
            }
}

template <typename S, int ACTIVATION>
__global__ void __launch_bounds__(S::NUM_THREADS, 1) whole_forward_kernel(Forward c) {
    typedef typename S::Here Here;
    __shared__ Pairs<S> pairs;
    float* tile = uf_shared_memory();
    const Place p = place_of(c.rows, S::TILE_ROWS);
    const float* w = c.params.of(p.g);
    const int width = c.net.width, L = c.net.layers, out = c.net.out,
              column = S::first_column() + Here::column();
    typename S::template Product<false> product;
    typename S::Sum x;
    float* ring = S::ring(tile, c.ld);
    Input<S::PRECISION, S::W, S::LAYOUT, S::TILE_ROWS> input = {
        c.x.at + (p.g / c.params.N * c.x.stride + static_cast<int64_t>(p.first) * c.x_ld),
        c.x_ld,
        c.net.in,
        p.count,
        {}};
    input.read();
    product.begin(w + c.net.layer[0].kernel, width, c.net.in, width, S::first_column(), ring);
    input.put(tile, c.ld);
    __syncthreads();
    for (int l = 0;; l++) {
        float bias[Here::ITEMS], gain[Here::ITEMS] = {}, shift[Here::ITEMS] = {};
        load_items(bias, w + c.net.layer[l].bias, column, width);
        if (c.net.layer_norm) {
            load_items(gain, w + c.net.layer[l].scale, column, width);
            load_items(shift, w + c.net.layer[l].shift, column, width);
        }
        product.template run<S::LAYOUT>(&x, tile, c.ld);
        if (l < L - 1)
            product.begin(w + c.net.layer[l + 1].kernel, width, width, width, S::first_column(), ring);
        activate_rows<S, ACTIVATION>(x, bias, width);
        const Rows r = c.tape.layer[l].r;
        if (r.at)
            keep_rows<S>(x, r.at + (p.g * r.stride + static_cast<int64_t>(p.first) * width), p.count, width);
        if (c.net.layer_norm)
            normalise_rows<S>(x, &pairs, p, c.tape.layer[l].stats, gain, shift, width);
        else
            __syncthreads();  // every warp has read the tile
        if (l == L - 1) break;
        put_rows<S::PRECISION, S::M, S::LAYOUT>(tile, c.ld, x, S::first_column(), width, round_up(width, 16));
        __syncthreads();
    }
    const float *out_kernel = w + c.net.layer[L].kernel, *out_bias = w + c.net.layer[L].bias;
    float* to = c.out.at + (p.g * c.out.stride + static_cast<int64_t>(p.first) * out);
    dots<S>(
        x, tile, S::tile_words(c.ld), out, width,
        [&](int q, int j) { return uf_read(out_kernel + j * out + q); },
        [&](int b, int q, float sum) {
            if (b < p.count) to[b * out + q] = sum + out_bias[q];
        });
}

// ---- backward ----

struct Backward {
    int rows, ld;
    Parameters params;
    Rows dout;
    float* dz;  // dL/dz of every layer (L, G, rows, width), for the gradients.   Nullable
    int64_t dz_layer;
    Net net;
    Tape tape;
    Sums sums;  // where dz is
    Rows dx;    // Nullable: at
    int dx_first, dx_count;
};

// dL/dh of the last hidden layer from that of the output.
template <typename S>
__device__ inline void top_rows(typename S::Sum& d, const float* seeds, const float* out_kernel, int out,
                                int width) {
    typedef typename S::Here Here;
    const int column = S::first_column() + Here::column();
    d = {};
#pragma unroll S::AT_ONCE
    for (int o = 0; o < out; o++) {
        float w[Here::ITEMS];
#pragma unroll
        for (int c = 0; c < Here::ITEMS; c++)
            w[c] = column + c < width ? uf_read(out_kernel + (column + c) * out + o) : 0;
#pragma unroll
        for (int m = 0; m < S::M; m++)
#pragma unroll
            for (int s = 0; s < Here::SLOTS; s++) {
                const float seed = seeds[(m * ROWS + Here::row(s)) * out + o];
#pragma unroll
                for (int c = 0; c < Here::ITEMS; c++) d.at(m, s, c) += seed * w[c];
            }
    }
}

// Sums of a layer's columns over each chunk of rows, into its record: of bias, scale and shift, and of the output's
// kernel where it has one column.
template <typename S>
struct ColumnSums {
    float bias[S::Here::ITEMS], scale[S::Here::ITEMS], shift[S::Here::ITEMS], kernel[S::Here::ITEMS];

    __device__ void put(float* record, int l, const Net& net, bool top) {
        constexpr int ITEMS = S::Here::ITEMS;
        const int j = S::first_column() + S::Here::column() + item_of_lane<ITEMS>(), width = net.width;
        const float sums[4] = {column_sum(bias), net.layer_norm ? column_sum(scale) : 0,
                               net.layer_norm ? column_sum(shift) : 0, top ? column_sum(kernel) : 0};
        if (j >= width || !record) return;
#pragma unroll
        for (int q = 0; q < 3; q++) record[(3 * l + q) * width + j] = sums[q];
        if (top) record[3 * net.layers * width + j] = sums[3];
    }
};

// What a layer's derivative needs besides: its rows of the tape, their means and 1/std, its scale and shift.
template <typename S>
struct Taped {
    typename S::Sum r;
    float2 stats[S::M][S::Here::SLOTS] = {};
    float gain[S::Here::ITEMS] = {}, shift[S::Here::ITEMS] = {};

    __device__ void load(const Backward& c, const Place& p, const float* w, int l) {
        typedef typename S::Here Here;
        const int width = c.net.width, column = S::first_column() + Here::column();
        const float* from =
            c.tape.layer[l].r.at + (p.g * c.tape.layer[l].r.stride + static_cast<int64_t>(p.first) * width);
#pragma unroll
        for (int m = 0; m < S::M; m++)
#pragma unroll
            for (int s = 0; s < Here::SLOTS; s++) {
                const int b = m * ROWS + Here::row(s);
                float x[Here::ITEMS];
                load_items(x, from + static_cast<int64_t>(b) * width, column, b < p.count ? width : 0);
#pragma unroll
                for (int q = 0; q < Here::ITEMS; q++) r.at(m, s, q) = x[q];
            }
        if (!c.net.layer_norm) return;
        const float* of_rows = c.tape.layer[l].stats.at + (p.g * c.tape.layer[l].stats.stride + 2 * p.first);
        load_items(gain, w + c.net.layer[l].scale, column, width);
        load_items(shift, w + c.net.layer[l].shift, column, width);
#pragma unroll
        for (int m = 0; m < S::M; m++)
#pragma unroll
            for (int s = 0; s < Here::SLOTS; s++) {
                const int b = m * ROWS + Here::row(s);
                stats[m][s] =
                    b < p.count ? *reinterpret_cast<const float2*>(of_rows + 2 * b) : make_float2(0, 0);
            }
    }
};

// dL/dh -> dL/dz of the lane's rows.
template <typename S, int ACTIVATION>
__device__ inline void hidden_rows(const Backward& c, const Place& p, typename S::Sum& d, Taped<S>& t,
                                   Pairs<S>* pairs, const float* seeds, int l) {
    typedef typename S::Here Here;
    constexpr int M = S::M, SLOTS = Here::SLOTS, ITEMS = Here::ITEMS;
    const bool norm = c.net.layer_norm, top = l == c.net.layers - 1 && c.net.out == 1;
    const float share = 1 / static_cast<float>(c.net.width);
    if (norm)
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int s = 0; s < SLOTS; s++) {
                float s1 = 0, s2 = 0;
#pragma unroll
                for (int q = 0; q < ITEMS; q++) {
                    const float x = d.at(m, s, q) * t.gain[q];
                    s1 += x;
                    s2 += x * ((t.r.at(m, s, q) - t.stats[m][s].x) * t.stats[m][s].y);
                }
                s1 = share_sum<Here::SHARE>(s1);
                s2 = share_sum<Here::SHARE>(s2);
                if (lane() % Here::SHARE == 0)
                    pairs->of[warp()][m * ROWS + Here::row(s)] = make_float2(s1, s2);
            }
    __syncthreads();  // also: every warp has read the tile
#pragma unroll
    for (int m = 0; m < M; m++) {
        ColumnSums<S> sums = {};
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            const int b = m * ROWS + Here::row(s);
            const float seed = top ? seeds[b] : 0;
            float s1 = 0, s2 = 0;
            if (norm) {
#pragma unroll
                for (int i = 0; i < S::W; i++) {
                    const float2 of = pairs->of[i][b];
                    s1 += of.x;
                    s2 += of.y;
                }
                s1 *= share;
                s2 *= share;
            }
#pragma unroll
            for (int q = 0; q < ITEMS; q++) {
                const float live = t.r.at(m, s, q), dy = d.at(m, s, q);
                float dz = dy, h = live;
                if (norm) {
                    const float xhat = (live - t.stats[m][s].x) * t.stats[m][s].y;
                    h = xhat * t.gain[q] + t.shift[q];
                    sums.scale[q] += dy * xhat;
                    sums.shift[q] += dy;
                    dz = t.stats[m][s].y * (dy * t.gain[q] - s1 - xhat * s2);
                }
                if (top) sums.kernel[q] += h * seed;
                dz = activation_grad<ACTIVATION>(live, dz);  // 0 beyond the columns, as dy is
                sums.bias[q] += dz;
                d.at(m, s, q) = dz;
            }
        }
        const int first = m * ROWS;
        if (c.dz)
            sums.put(first < p.count ? c.sums.of(p.g, (p.first + first) / ROWS) : nullptr, l, c.net, top);
    }
}

template <int NUM_THREADS>
__device__ inline void sum_seeds(const Backward& c, const Place& p, const float* seeds) {
    const int out = c.net.out, count = (p.count + ROWS - 1) / ROWS * out;
    for (int e = static_cast<int>(threadIdx.x); e < count; e += NUM_THREADS) {
        const int m = e / out, o = e % out;
        float sum = 0;
#pragma unroll
        for (int b = m * ROWS; b < (m + 1) * ROWS; b++) sum += seeds[b * out + o];  // 0 beyond the rows
        c.sums.of(p.g, p.first / ROWS + m)[c.net.width * (3 * c.net.layers + 1) + o] = sum;
    }
}

template <typename S, int ACTIVATION>
__global__ void __launch_bounds__(S::NUM_THREADS, 1) whole_backward_kernel(Backward c) {
    __shared__ Pairs<S> pairs;
    float *tile = uf_shared_memory(), *seeds = tile + S::words(c.ld);
    const Place p = place_of(c.rows, S::TILE_ROWS);
    const float* w = c.params.of(p.g);
    const int width = c.net.width, L = c.net.layers, out = c.net.out;
    const float* dout = c.dout.at + (p.g * c.dout.stride + static_cast<int64_t>(p.first) * out);
    typename S::template Product<true> product;
    typename S::Sum d;
    Taped<S> taped;
    float* ring = S::ring(tile, c.ld);
    if (L > 1) product.begin(w + c.net.layer[L - 1].kernel, width, width, width, S::first_column(), ring);
    if (S::EARLY) taped.load(c, p, w, L - 1);
    for (int e = static_cast<int>(threadIdx.x); e < S::TILE_ROWS * out; e += S::NUM_THREADS)
        seeds[e] = e < p.count * out ? dout[e] : 0;
    __syncthreads();
    if (c.dz) sum_seeds<S::NUM_THREADS>(c, p, seeds);
    top_rows<S>(d, seeds, w + c.net.layer[L].kernel, out, width);
    for (int l = L - 1;; l--) {
        if (!S::EARLY) taped.load(c, p, w, l);
        hidden_rows<S, ACTIVATION>(c, p, d, taped, &pairs, seeds, l);
        if (c.dz)
            keep_rows<S>(d, c.dz + (l * c.dz_layer + (static_cast<int64_t>(p.g) * c.rows + p.first) * width),
                         p.count, width);
        if (!l) break;
        put_rows<S::PRECISION, S::M, S::LAYOUT>(tile, c.ld, d, S::first_column(), width, round_up(width, 16));
        if (S::EARLY) taped.load(c, p, w, l - 1);
        __syncthreads();
        product.template run<S::LAYOUT>(&d, tile, c.ld);
        if (l > 1) product.begin(w + c.net.layer[l - 1].kernel, width, width, width, S::first_column(), ring);
    }
    if (!c.dx.at) return;
    const float* kernel = w + c.net.layer[0].kernel + c.dx_first * width;
    float* dx = c.dx.at + (p.g * c.dx.stride + static_cast<int64_t>(p.first) * c.dx_count);
    dots<S>(
        d, tile, S::tile_words(c.ld), c.dx_count, width,
        [&](int q, int j) { return uf_read(kernel + q * width + j); },
        [&](int b, int q, float sum) {
            if (b < p.count) dx[b * c.dx_count + q] = sum;
        });
}

// ---- second order ----

// As in kernels.c: a forward pass that carries tangents, then two adjoint streams back, alpha for tangents and beta for
// values, which lie behind one another in the tile. One output.
struct SecondOrder {
    Net net;
    Parameters params;
    Tape tape;
    Rows tangent, dout;
    int tangent_first, tangent_count;
    float *dh, *u, *alpha,
        *beta;      // (L, G, rows, width): of h and r along the tangent, the streams of every layer
    int64_t layer;  // numbers of a layer there
    Sums sums;
    int rows, ld;
};

// What a row's means come to: see second_order_kernel of kernels.cu. p: mean of xhat times u.
struct SecondMeans {
    float a1, a2, s1, ds, mean, inv_std, seed;
};

// dz/dt -> dh/dt: a warp takes 2 M rows.
template <int PRECISION, int M>
__device__ inline void tangent_rows(const SecondOrder& c, const Place& p, float* tile,
                                    float (*projection)[ROWS * M], const float* w, int l) {
    constexpr int R = ROWS * M / WARPS, ITEMS = WARPS;
    const int width = c.net.width, first = warp() * R;
    const int64_t at = (static_cast<int64_t>(p.g) * c.rows + p.first + first) * width;
    const float* r = c.tape.layer[l].r.at + at;
    const bool norm = c.net.layer_norm;
    float t[R][ITEMS], sum[R] = {}, product[R] = {};
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const int j = i * WARP + lane();
#pragma unroll
        for (int k = 0; k < R; k++) {
            const bool live = j < width && first + k < p.count && r[k * width + j] > 0;
            t[k][i] = live ? tile[(first + k) * c.ld + j] : 0;
            sum[k] += t[k][i];
        }
    }
    if (norm) {
        const float *stats =
                        c.tape.layer[l].stats.at + (static_cast<int64_t>(p.g) * c.rows + p.first + first) * 2,
                    *scale = w + c.net.layer[l].scale;
        float mean[R], inv_std[R];
        warp_sums(sum);
#pragma unroll
        for (int k = 0; k < R; k++) {
            mean[k] = first + k < p.count ? stats[2 * k] : 0;
            inv_std[k] = first + k < p.count ? stats[2 * k + 1] : 0;
            sum[k] /= width;
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int j = i * WARP + lane();
#pragma unroll
            for (int k = 0; k < R; k++) {
                if (j >= width || first + k >= p.count) continue;
                t[k][i] -= sum[k];
                c.u[l * c.layer + at + k * width + j] = t[k][i];
                product[k] += (r[k * width + j] - mean[k]) * inv_std[k] * t[k][i];
            }
        }
        warp_sums(product);
#pragma unroll
        for (int k = 0; k < R; k++) {
            product[k] /= width;
            if (lane() == 0) projection[l][first + k] = product[k];
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int j = i * WARP + lane();
#pragma unroll
            for (int k = 0; k < R; k++)
                if (j < width && first + k < p.count)
                    t[k][i] = scale[j] * inv_std[k] *
                              (t[k][i] - (r[k * width + j] - mean[k]) * inv_std[k] * product[k]);
        }
    }
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const int j = i * WARP + lane();
#pragma unroll
        for (int k = 0; k < R; k++) {
            if (j >= width || first + k >= p.count) continue;
            c.dh[l * c.layer + at + k * width + j] = t[k][i];
            tile[(first + k) * c.ld + j] = operand<PRECISION>(t[k][i]);
        }
    }
}

// A warp takes 2 M rows, one after another: each has five means.
template <int M>
__device__ inline void second_order_means(const SecondOrder& c, const Place& p, const float* tile,
                                          const float (*projection)[ROWS * M], SecondMeans* means,
                                          const float* seeds, const float* w, int l) {
    constexpr int R = ROWS * M / WARPS, ITEMS = WARPS;
    const int width = c.net.width;
    const bool norm = c.net.layer_norm;
    for (int b = warp() * R; b < (warp() + 1) * R; b++) {
        SecondMeans m = {0, 0, 0, 0, 0, 0, seeds[b]};
        if (norm && b < p.count) {
            const int64_t row = static_cast<int64_t>(p.g) * c.rows + p.first + b;
            const float *r = c.tape.layer[l].r.at + row * width, *u = c.u + (l * c.layer + row * width),
                        *stats = c.tape.layer[l].stats.at + row * 2, *scale = w + c.net.layer[l].scale,
                        *alpha = tile + b * c.ld, *beta = tile + (ROWS * M + b) * c.ld;
            const float s = stats[1], projected = projection[l][b];
            float a[ITEMS], xhat[ITEMS], first[3] = {}, second[2] = {};
            m.mean = stats[0];
            m.inv_std = s;
#pragma unroll
            for (int i = 0; i < ITEMS; i++) {
                const int j = i * WARP + lane();
                a[i] = xhat[i] = 0;
                if (j >= width) continue;
                xhat[i] = (r[j] - m.mean) * s;
                a[i] = alpha[j] * scale[j];
                first[0] += a[i];
                first[1] += a[i] * xhat[i];
                first[2] += a[i] * (u[j] - xhat[i] * projected);
            }
            warp_sums(first);
#pragma unroll
            for (int q = 0; q < 3; q++) first[q] /= width;
#pragma unroll
            for (int i = 0; i < ITEMS; i++) {
                const int j = i * WARP + lane();
                if (j >= width) continue;
                const float dxhat = beta[j] * scale[j] - s * (a[i] * projected + first[1] * u[j]);
                second[0] += dxhat;
                second[1] += xhat[i] * dxhat;
            }
            warp_sums(second);
            m.a1 = first[0];
            m.a2 = first[1];
            m.s1 = second[0] / width;
            m.ds = (first[2] + second[1] / s / width) * s * s;
        }
        if (lane() == 0) means[b] = m;
    }
}

// A column's sums of layer l, into the record of a chunk.
__device__ inline void put_sums(float* record, int width, int l, float dbias, float dscale, float dshift) {
    record[3 * l * width] = dbias;
    record[(3 * l + 1) * width] = dscale;
    record[(3 * l + 2) * width] = dshift;
}

// Both streams of a column through LayerNorm and ReLU, and its sums over each chunk of rows.
template <int PRECISION, int M>
__device__ inline void second_order_column(const SecondOrder& c, const Place& p, float* tile,
                                           const float (*projection)[ROWS * M], const SecondMeans* means,
                                           const float* w, int l) {
    const int width = c.net.width, j = static_cast<int>(threadIdx.x);
    if (j >= width) return;
    const bool norm = c.net.layer_norm, top = l == c.net.layers - 1;
    const float gain = norm ? w[c.net.layer[l].scale + j] : 1, shift = norm ? w[c.net.layer[l].shift + j] : 0;
    const int64_t at = (static_cast<int64_t>(p.g) * c.rows + p.first) * width + j, here = l * c.layer + at;
    const float* r = c.tape.layer[l].r.at + at;
    for (int m = 0; m < M && m * ROWS < p.count; m++) {
        float dbias = 0, dscale = 0, dshift = 0, dkernel = 0;
#pragma unroll 4
        for (int b = m * ROWS; b < (m + 1) * ROWS && b < p.count; b++) {
            const SecondMeans& k = means[b];
            float *alpha = tile + b * c.ld + j, *beta = tile + (ROWS * M + b) * c.ld + j;
            const float live = r[b * width], da = *alpha, db = *beta;
            float to_alpha = da, to_beta = db, h = live;
            if (norm) {
                const float s = k.inv_std, xhat = (live - k.mean) * s, a = da * gain,
                            u = c.u[here + b * width], projected = projection[l][b];
                h = xhat * gain + shift;
                dscale += db * xhat + da * s * (u - xhat * projected);
                dshift += db;
                to_alpha = s * (a - k.a1 - xhat * k.a2);
                to_beta = s * (db * gain - s * (a * projected + k.a2 * u) - k.s1) - k.ds * xhat;
            }
            if (top) dkernel += c.dh[here + b * width] + h * k.seed;
            to_alpha = live > 0 ? to_alpha : 0;
            to_beta = live > 0 ? to_beta : 0;
            dbias += to_beta;
            *alpha = operand<PRECISION>(to_alpha);
            *beta = operand<PRECISION>(to_beta);
            c.alpha[here + b * width] = to_alpha;
            c.beta[here + b * width] = to_beta;
        }
        put_sums(c.sums.of(p.g, p.first / ROWS + m) + j, width, l, dbias, dscale, dshift);
        if (top) c.sums.of(p.g, p.first / ROWS + m)[3 * c.net.layers * width + j] = dkernel;
    }
}

template <int PRECISION, int M>
__global__ void __launch_bounds__(THREADS, 1) whole_second_order_kernel(SecondOrder c) {
    __shared__ float projection[UF_MAX_LAYERS][ROWS * M], seeds[ROWS * M];
    __shared__ SecondMeans means[ROWS * M];
    float *tile = uf_shared_memory(), *rings = tile + 2 * ROWS * M * c.ld;
    const Place p = place_of(c.rows, ROWS * M);
    const float* w = c.params.of(p.g);
    const int width = c.net.width, L = c.net.layers, j = static_cast<int>(threadIdx.x);
    Input<PRECISION, WARPS, PLAIN, ROWS* M> input = {
        c.tangent.at + (p.g * c.tangent.stride + static_cast<int64_t>(p.first) * c.tangent_count),
        c.tangent_count,
        c.tangent_count,
        p.count,
        {}};
    input.read();
    input.put(tile, c.ld);
    if (j < ROWS * M) seeds[j] = j < p.count ? c.dout.at[p.g * c.dout.stride + p.first + j] : 0;
    __syncthreads();
    for (int l = 0; l < L; l++) {
        const float* kernel = w + (c.net.layer[l].kernel + (l ? 0 : c.tangent_first * width));
        multiply_tile<PRECISION, M, false>(tile, c.ld, kernel, width, l ? width : c.tangent_count, width,
                                           rings);
        tangent_rows<PRECISION, M>(c, p, tile, projection, w, l);
        __syncthreads();
    }
    // Of the last hidden layer: the output's kernel, and that times dout.
    const float weight = j < width ? w[c.net.layer[L].kernel + j] : 0;
    for (int b = 0; b < ROWS * M && j < round_up(width, 16); b++) {
        tile[b * c.ld + j] = b < p.count ? weight : 0;
        tile[(ROWS * M + b) * c.ld + j] = seeds[b] * weight;
    }
    for (int m = j; m * ROWS < p.count; m += THREADS) {
        float sum = 0;
        for (int b = m * ROWS; b < (m + 1) * ROWS; b++) sum += seeds[b];
        c.sums.of(p.g, p.first / ROWS + m)[width * (3 * L + 1)] = sum;
    }
    __syncthreads();
    for (int l = L - 1; l >= 0; l--) {
        second_order_means<M>(c, p, tile, projection, means, seeds, w, l);
        __syncthreads();
        second_order_column<PRECISION, M>(c, p, tile, projection, means, w, l);
        __syncthreads();
        if (l)
            multiply_tile<PRECISION, 2 * M, true>(tile, c.ld, w + c.net.layer[l].kernel, width, width, width,
                                                  rings);
    }
}

// ---- gradients ----

// Rows of what a kernel's gradient is the product of: column j of row b of network (p, n) at
// at + p * member + n * network + b * ld + j.
struct Factor {
    const float* at;
    int64_t member, network;
    int ld;
};

// One product that a kernel's gradient is the sum of: x' d. Column j of the gradient's rows is column j - first of x,
// of which there are `count`.
struct Term {
    Factor x, d;
    int first, count;
};

// dw (m, n), of one or two terms. Where the layer below is normalised the first x is its r, and h follows from that.
struct KernelGradient {
    Term terms[2];
    Factor stats;  // Nullable: at
    int num_terms, m, n, offset, scale, shift;
};

// What every block reads stands together: an argument's lines come from far away, one by one.
struct Gradients {
    int num_kernels, tiles, rows, block_rows;
    int64_t num_sums, product_blocks;
    int first_tile[UF_MAX_LAYERS + 1];  // of each kernel, of the tiles of a network and block of rows
    Parameters params;
    SumsTo to;
    Sums sums;
    KernelGradient of[UF_MAX_LAYERS + 1];
};
static_assert(sizeof(Gradients) <= 4096, "a kernel's argument");

enum { STAGE = 32 };  // rows of the factors that are multiplied at a time

// How a block makes a tile of a gradient: W warps, ACROSS of them side by side, each 16 I by 8 J numbers, and room for
// STAGES stages on their way. Which one it is changes no bit.
template <int W, int ACROSS, int I_, int J_, int STAGES_>
struct TileOf {
    static constexpr int I = I_, J = J_, STAGES = STAGES_, NUM_THREADS = W * WARP, LEFT = ACROSS,
                         M = 16 * I * (W / ACROSS), N = 8 * J * ACROSS, X_LD = M + 8,
                         D_LD = N + 8,               // banks apart, so that a fragment's rows meet none twice
        NUMBERS = STAGE * (X_LD + D_LD + 2),         // of a stage: x, d, stats
        ON_SM = I * J * NUM_THREADS > 4096 ? 1 : 2;  // blocks that registers and shared memory leave room for
    static constexpr size_t bytes = sizeof(float) * STAGES * NUMBERS;
};
// 64 x 64 gives one agent's networks blocks enough for a device. The others read less: a tile's factors are needed by
// (M + N) / (M N) of the products; and warps of 64 x 64 are those that shared memory keeps pace with.
typedef TileOf<8, 2, 1, 4, 5> SmallTile;
typedef TileOf<8, 2, 2, 4, 4> MiddleTile;
typedef TileOf<4, 2, 4, 8, 3> LargeTile;

__device__ inline const float* factor(const Factor& f, int p, int n) {
    return f.at + (p * f.member + n * f.network);
}

__device__ inline bool is_aligned(const float* at, int ld) {
    return reinterpret_cast<uintptr_t>(at) % sizeof(float4) == 0 && ld % 4 == 0;
}

// Begins to copy a stage of a factor to rows of COLUMNS + 8: zeros in rows from `rows` on and, but for what shares 16 bytes
// with others, outside of columns [low, high). aligned: so are its rows and `low`.
template <int COLUMNS, int NUM_THREADS>
__device__ inline void copy_stage(float* to, const float* from, int ld, int rows, int low, int high,
                                  bool aligned) {
    constexpr int PIECES = COLUMNS / 4, STEP = NUM_THREADS / PIECES;
    const int tid = static_cast<int>(threadIdx.x), j = tid % PIECES * 4;
    int b = tid / PIECES;
    to += b * (COLUMNS + 8) + j;
    from += static_cast<int64_t>(b) * ld + j;
    if (aligned) {
        rows = j >= low && j < high ? rows : 0;
#pragma unroll
        for (int i = 0; i < STAGE / STEP; i++, b += STEP, to += STEP * (COLUMNS + 8), from += STEP * ld)
            uf_copy_async<16>(to, from, b < rows);
    } else {
#pragma unroll 1
        for (; b < STAGE; b += STEP, to += STEP * (COLUMNS + 8), from += STEP * ld)
#pragma unroll
            for (int q = 0; q < 4; q++)
                uf_copy_async<4>(to + q, from + q, b < rows && j + q >= low && j + q < high);
    }
}

template <int N>
__device__ inline void load_numbers(float* v, const float* at) {
    if constexpr (N == 1) {
        v[0] = *at;
    } else if constexpr (N == 2) {
        const float2 x = *reinterpret_cast<const float2*>(at);
        v[0] = x.x;
        v[1] = x.y;
    } else {
        const float4 x = load4(at);
        v[0] = x.x;
        v[1] = x.y;
        v[2] = x.z;
        v[3] = x.w;
    }
}

// Where a lane's numbers lie in the 16 I by 8 J numbers of its warp. On tensor cores sum[i][j][e] is number e of a
// fragment, slots interleaved so that loads and stores are wide; in fp32 e is a row.
template <int PRECISION, class Tile>
struct Lane {
    static constexpr int I = Tile::I, J = Tile::J, X = PRECISION == FP32 ? 4 * I : 2 * I;

    // Of x's number v that load_x gives.
    static __device__ int x_row(int v) {
        return PRECISION == FP32 ? v / 4 * 16 + lane() / 8 * 4 + v % 4
                                 : v / I * 8 * I + lane() / 4 * I + v % I;
    }
    static __device__ void load_x(float (&v)[X], const float* x) {
        constexpr int AT_ONCE = PRECISION == FP32 ? 4 : I;
#pragma unroll
        for (int i = 0; i < X; i += AT_ONCE) load_numbers<AT_ONCE>(v + i, x + x_row(i));
    }
    static __device__ void load_d(float (&v)[J], const float* d) {
        const int first = (PRECISION == FP32 ? lane() % 8 : lane() / 4) * 4;
#pragma unroll
        for (int j = 0; j < J; j += 4) load_numbers<4>(v + j, d + j * 8 + first);
    }
    static __device__ int sum_row(int i, int e) {
        return PRECISION == FP32 ? x_row(4 * i + e) : x_row(e / 2 * I + i);
    }
    static __device__ int sum_column(int j, int e) {
        return j * 8 + (PRECISION == FP32 ? lane() % 8 * 4 : lane() % 4 * 8 + e % 2 * 4);
    }
};

// h of LayerNorm from r, where a gradient's x is that.
template <int X>
struct Norm {
    float gain[X], shift[X];

    __device__ void apply(float (&x)[X], const float* stats) const {
        const float2 of_row = *reinterpret_cast<const float2*>(stats);
#pragma unroll
        for (int v = 0; v < X; v++) x[v] = (x[v] - of_row.x) * of_row.y * gain[v] + shift[v];
    }
};

// Sum over a stage of a warp's numbers.
template <int PRECISION, class Tile, bool NORM, int X>
__device__ inline void multiply_stage(float (&sum)[Tile::I][Tile::J][4], const float* x, const float* d,
                                      const float* stats, const Norm<X>& norm) {
    typedef Lane<PRECISION, Tile> Mine;
    // SLOTS: numbers along k that a lane has of a product.
    constexpr int SLOTS = PRECISION == FP32   ? 1
                          : PRECISION == TF32 ? 2
                                              : 4,
                  I = Tile::I, J = Tile::J, STEP = PRECISION == FP32 ? 1 : 4 * SLOTS;
#pragma unroll(PRECISION == FP32 ? 4 : STAGE)
    for (int first = 0; first < STAGE; first += STEP) {
        float left[SLOTS][X], right[SLOTS][J];
#pragma unroll
        for (int q = 0; q < SLOTS; q++) {
            const int k = first + (PRECISION == FP32 ? 0 : lane() % 4 + 4 * q);
            Mine::load_x(left[q], x + k * Tile::X_LD);
            Mine::load_d(right[q], d + k * Tile::D_LD);
            if (NORM) norm.apply(left[q], stats + 2 * k);
        }
        if constexpr (PRECISION == FP32) {
#pragma unroll
            for (int i = 0; i < I; i++)
#pragma unroll
                for (int j = 0; j < J; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++) sum[i][j][e] += left[0][4 * i + e] * right[0][j];
        } else {
            uint32_t a[I][4], b[J][2];
#pragma unroll
            for (int w = 0; w < 2; w++) {
                const auto word = [&](const auto& v, int n) {
                    return PRECISION == TF32 ? uf_round_tf32(v[w][n])
                                             : uf_pack_bf16(v[w * SLOTS / 2][n], v[w * SLOTS / 2 + 1][n]);
                };
#pragma unroll
                for (int i = 0; i < I; i++) {
                    a[i][2 * w] = word(left, i);
                    a[i][2 * w + 1] = word(left, I + i);
                }
#pragma unroll
                for (int j = 0; j < J; j++) b[j][w] = word(right, j);
            }
#pragma unroll
            for (int i = 0; i < I; i++)
#pragma unroll
                for (int j = 0; j < J; j++) {
                    if constexpr (PRECISION == TF32)
                        uf_mma_tf32(sum[i][j], a[i], b[j]);
                    else
                        uf_mma_bf16(sum[i][j], a[i], b[j]);
                }
        }
    }
}

// What lies at row and column of a warp's numbers becomes dw's, as far as that goes.
template <int PRECISION, class Tile>
__device__ inline void put_gradient(float* dw, const float (&sum)[Tile::I][Tile::J][4], int row, int column,
                                    int m, int n) {
    typedef Lane<PRECISION, Tile> Mine;
    const bool aligned = is_aligned(dw, n);
#pragma unroll
    for (int i = 0; i < Tile::I; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int j = 0; j < Tile::J; j += 4) {
                const int r = row + Mine::sum_row(i, e), at = column + Mine::sum_column(j, e), count = n - at;
                float* to = dw + (static_cast<int64_t>(r) * n + at);
                const float v[4] = {sum[i][j][e], sum[i][j + 1][e], sum[i][j + 2][e], sum[i][j + 3][e]};
                if (r >= m) continue;
                if (aligned && count >= 4) {
                    store4(to, v[0], v[1], v[2], v[3]);
                    continue;
                }
#pragma unroll
                for (int q = 0; q < 4; q++)
                    if (q < count) to[q] = v[q];
            }
}

// A tile of one kernel's gradient over one block of rows, which come to shared memory some stages ahead of their use;
// the blocks behind those add up the chunks.
template <int PRECISION, class Tile>
__global__ void __launch_bounds__(Tile::NUM_THREADS, Tile::ON_SM)
    whole_gradients_kernel(const __grid_constant__ Gradients c) {
    typedef Lane<PRECISION, Tile> Mine;
    constexpr int STAGES = Tile::STAGES, M = Tile::M, N = Tile::N, NUM_THREADS = Tile::NUM_THREADS;
    float* space = uf_shared_memory();
    const int tid = static_cast<int>(threadIdx.x);
    if (static_cast<int64_t>(blockIdx.x) >= c.product_blocks) {
        const int64_t i = (blockIdx.x - c.product_blocks) * NUM_THREADS + tid;
        if (i < c.num_sums) sum_chunks_at(c.sums, c.to, i);
        return;
    }
    const auto over = [](int a, int b) {
        return static_cast<int>(static_cast<unsigned>(a) / static_cast<unsigned>(b));
    };
    // From the last network back: of a population, what the pass before wrote last may still be in the cache. The
    // optimiser, which begins with the first, finds their gradients there likewise.
    const int block = static_cast<int>(c.product_blocks) - 1 - static_cast<int>(blockIdx.x),
              z = over(block, c.tiles), of_network = block - z * c.tiles, g = over(z, c.to.blocks),
              part = z - g * c.to.blocks, member = over(g, c.params.N), network = g - member * c.params.N;
    int which = 0;
    while (which + 1 < c.num_kernels && of_network >= c.first_tile[which + 1]) which++;
    const KernelGradient& k = c.of[which];
    const int tile = of_network - c.first_tile[which], across = (k.n + N - 1) / N, down = over(tile, across),
              row = down * M, column = (tile - down * across) * N;
    const int first = part * c.block_rows,
              count = c.rows - first < c.block_rows ? c.rows - first : c.block_rows;
    const int num_stages = (count + STAGE - 1) / STAGE, all_stages = num_stages * k.num_terms;
    const float* stats = k.stats.at ? factor(k.stats, member, network) : nullptr;
    const auto copy = [&](int stage) {
        const int term = stage >= num_stages, b = (stage - term * num_stages) * STAGE, left = count - b;
        const Term& t = k.terms[term];
        const float *x = factor(t.x, member, network), *d = factor(t.d, member, network);
        const int64_t from = first + b;
        const bool x_aligned = is_aligned(x, t.x.ld) && t.first % 4 == 0, d_aligned = is_aligned(d, t.d.ld);
        float* to = space + stage % STAGES * Tile::NUMBERS;
        copy_stage<M, NUM_THREADS>(to, x + (from * t.x.ld + row - t.first), t.x.ld, left, t.first - row,
                                   t.first + t.count - row, x_aligned);
        copy_stage<N, NUM_THREADS>(to + STAGE * Tile::X_LD, d + (from * t.d.ld + column), t.d.ld, left, 0,
                                   k.n - column, d_aligned);
        if (stats && stage < num_stages && tid < STAGE)
            uf_copy_async<8>(to + STAGE * (Tile::X_LD + Tile::D_LD) + 2 * tid, stats + (from + tid) * 2,
                             tid < left);
    };
    const int my_row = warp() / Tile::LEFT * 16 * Tile::I, my_column = warp() % Tile::LEFT * 8 * Tile::J;
    const bool has_work = row + my_row < k.m && column + my_column < k.n;
    Norm<Mine::X> norm = {};
    float sum[Tile::I][Tile::J][4] = {};
#pragma unroll 1
    for (int stage = 1 - STAGES; stage < all_stages; stage++) {
        if (stage >= 0) {
            uf_wait_copies<STAGES - 2>();
            __syncthreads();  // also: every warp is done with the memory of the stage that is begun next
        }
        if (stage + STAGES - 1 < all_stages) copy(stage + STAGES - 1);
        uf_commit_copies();  // also of none, so that the count of those on their way is right
        if (stage == -1 && stats) {
            const float* w = c.params.at + (member * c.params.member + network * c.params.network);
#pragma unroll
            for (int v = 0; v < Mine::X; v++) {
                const int j = row + my_row + Mine::x_row(v);
                norm.gain[v] = j < k.m ? w[k.scale + j] : 0;
                norm.shift[v] = j < k.m ? w[k.shift + j] : 0;
            }
        }
        if (stage < 0 || !has_work) continue;
        const float *x = space + stage % STAGES * Tile::NUMBERS, *d = x + STAGE * Tile::X_LD;
        if (stats && stage < num_stages)
            multiply_stage<PRECISION, Tile, true>(sum, x + my_row, d + my_column, d + STAGE * Tile::D_LD,
                                                  norm);
        else
            multiply_stage<PRECISION, Tile, false>(sum, x + my_row, d + my_column, nullptr, norm);
    }
    if (has_work)
        put_gradient<PRECISION, Tile>(
            c.to.grads + (part * c.to.block + member * c.to.member + network * c.to.network + k.offset), sum,
            row + my_row, column + my_column, k.m, k.n);
}

// ---- launching ----

template <typename F>
void with_precision(Precision precision, F f) {
    if (precision == FP32) f(Constant<FP32>());
    if (precision == TF32) f(Constant<TF32>());
    if (precision == BF16) f(Constant<BF16>());
}

template <typename F>
void with_rows(int tile_rows, F f) {
    if (tile_rows == ROWS) f(Constant<1>());
    if (tile_rows == 2 * ROWS) f(Constant<2>());
    if (tile_rows == 4 * ROWS) f(Constant<4>());
}

// Calls f with the shape of a block that has a tile of so many rows.
template <typename F>
void with_shape(Precision precision, int tile_rows, int width, F f) {
    with_precision(precision, [&](auto of) {
        constexpr int PRECISION = decltype(of)::value;
        with_rows(tile_rows, [&](auto m) {
            if (width <= FEW_WARPS * COLUMNS)
                f(Shape<PRECISION, decltype(m)::value, FEW_WARPS>());
            else
                f(Shape<PRECISION, decltype(m)::value, WARPS>());
        });
    });
}

// Bytes of a block that has such a tile, and the outputs' derivatives of its rows.
size_t block_bytes(const State* s, const UfMlp* mlp, int tile_rows, int columns) {
    size_t bytes = 0;
    with_shape(s->precision, tile_rows, mlp->width, [&](auto shape) {
        typedef decltype(shape) S;
        bytes = sizeof(float) * static_cast<size_t>(S::words(tile_ld(columns, S::LAYOUT, s->precision)) +
                                                    tile_rows * mlp->out);
    });
    return bytes;
}

int most_columns(const UfMlp* mlp) { return mlp->in > mlp->width ? mlp->in : mlp->width; }

// Whether rows of a tape lie as they are loaded and stored: 16 bytes at a time, of means 8.
bool tape_fits(const UfMlp* mlp, const UfTape* tape) {
    const auto on = [](const float* at, uintptr_t bytes) {
        return reinterpret_cast<uintptr_t>(at) % bytes == 0;
    };
    bool fits = true;
    for (int l = 0; tape && l < mlp->layers; l++)
        fits = fits && on(tape->r[l], sizeof(float4)) &&
               (!mlp->layer_norm || on(tape->stats[l], sizeof(float2)));
    return fits;
}

// The rule: rows of a tile of such a pass, or 0: layer by layer.
int tile_rows(const State* s, const UfMlp* mlp, int G, int rows) {
    bool aligned = mlp->width % 4 == 0 && mlp->size % 4 == 0;
    for (int l = 0; l <= mlp->layers; l++) aligned = aligned && mlp->kernel[l] % 4 == 0;
    if (!aligned || mlp->width > MOST_WIDTH || mlp->in > MOST_IN || mlp->out > MOST_OUT) return 0;
    if (s->passes == PASSES_BY_LAYER) return 0;
    const int64_t chunks = G * ceil_div(rows, ROWS);
    int tile = chunks <= 48 ? ROWS : chunks <= 264 ? 2 * ROWS : 4 * ROWS;
    while (tile > ROWS && tile / 2 >= rows) tile /= 2;  // no half of a tile is empty
    if (s->passes >= PASSES_OF_16) tile = s->passes;
    while (tile > ROWS && block_bytes(s, mlp, tile, most_columns(mlp)) > MOST_SHARED) tile /= 2;
    return tile;
}

size_t second_order_bytes(int tile, int ld) {
    return sizeof(float) * static_cast<size_t>(2 * tile * ld + WARPS * FEW_STAGES * GROUP_SIZE);
}

// ---- arguments ----

Rows input_rows(UfInput input, int first) {
    return Rows{const_cast<float*>(input.x) + static_cast<int64_t>(first) * input.ld,
                static_cast<int64_t>(input.total) * input.ld};
}

// Rows (P, used, total, item) as a factor.
Factor rows_factor(const UfNets* nets, const float* at, int total, int item) {
    const int64_t each = static_cast<int64_t>(total) * item;
    return Factor{at, each * nets->used, each, item};
}

Factor layer_input(const UfNets* nets, const UfTape* tape, UfInput input, int total, int l) {
    return l ? rows_factor(nets, tape->r[l - 1], total, nets->mlp->width)
             : Factor{input.x, static_cast<int64_t>(input.total) * input.ld, 0, input.ld};
}

Gradients gradients_of(const UfNets* nets, float* grads, const Sums& sums, int total) {
    Gradients k = {};
    k.params = params_of(nets);
    k.sums = sums;
    k.to = sums_to(nets, grads, total);
    k.num_sums = num_sums(nets, k.sums, k.to);
    k.rows = total;
    k.block_rows = uf_block_rows(total, nets->N);
    return k;
}

KernelGradient* add_kernel(Gradients* k, const UfMlp* mlp, int l) {
    KernelGradient* of = &k->of[k->num_kernels++];
    of->num_terms = 1;
    of->m = l ? mlp->width : mlp->in;
    of->n = l < mlp->layers ? mlp->width : mlp->out;
    of->offset = static_cast<int>(mlp->kernel[l]);
    return of;
}

// Where the layer below is normalised.
void add_stats(KernelGradient* of, const UfNets* nets, const UfTape* tape, int total, int l) {
    if (!l || !nets->mlp->layer_norm) return;
    of->stats = rows_factor(nets, tape->stats[l - 1], total, 2);
    of->scale = static_cast<int>(nets->mlp->scale[l - 1]);
    of->shift = static_cast<int>(nets->mlp->shift[l - 1]);
}

// Tiles of all kernels' gradients, for each network and block of rows.   Nullable: first, of each kernel
template <class Tile>
int count_tiles(const Gradients& k, int* first) {
    int tiles = 0;
    for (int i = 0; i < k.num_kernels; i++) {
        if (first) first[i] = tiles;
        tiles += static_cast<int>(ceil_div(k.of[i].m, Tile::M) * ceil_div(k.of[i].n, Tile::N));
    }
    return tiles;
}

template <class Tile>
void launch_tiles(State* s, Gradients* k, int G) {
    k->tiles = count_tiles<Tile>(*k, k->first_tile);
    k->product_blocks = static_cast<int64_t>(G) * k->to.blocks * k->tiles;
    const int64_t blocks = k->product_blocks + ceil_div(k->num_sums, Tile::NUM_THREADS);
    with_precision(s->precision, [&](auto precision) {
        launch_shared(s, whole_gradients_kernel<decltype(precision)::value, Tile>, blocks, Tile::NUM_THREADS,
                      Tile::bytes, *k);
    });
}

// The rule: the largest tile of which each multiprocessor gets one.
void launch_gradients(State* s, Gradients* k, int G) {
    const int64_t networks = static_cast<int64_t>(G) * k->to.blocks;
    const bool by_shape = s->passes < PASSES_OF_16;
    if (by_shape ? networks * count_tiles<LargeTile>(*k, nullptr) >= s->num_sms : s->passes == PASSES_OF_64)
        launch_tiles<LargeTile>(s, k, G);
    else if (by_shape ? networks * count_tiles<MiddleTile>(*k, nullptr) >= s->num_sms
                      : s->passes == PASSES_OF_32)
        launch_tiles<MiddleTile>(s, k, G);
    else
        launch_tiles<SmallTile>(s, k, G);
}

template <class Tile>
void prepare_tiles(State* s) {
    with_precision(s->precision, [&](auto precision) {
        check(s, cudaFuncSetAttribute(whole_gradients_kernel<decltype(precision)::value, Tile>,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::bytes));
    });
}

void prepare_gradients(State* s) {
    prepare_tiles<SmallTile>(s);
    prepare_tiles<MiddleTile>(s);
    prepare_tiles<LargeTile>(s);
}

// Gradients of all kernels from dL/dz of each layer (L, G, rows, width), `dz_layer` apart; 0: only that of the first is there,
// and those of the kernels between hidden layers are made elsewhere.
void differentiate_kernels(State* s, const UfNets* nets, float* grads, const UfTape* tape, UfInput input,
                           float* dz, int64_t dz_layer, const Sums& sums, const float* dout, int total) {
    const UfMlp* mlp = nets->mlp;
    const int L = mlp->layers;
    Gradients k = gradients_of(nets, grads, sums, total);
    for (int l = 0; l <= L; l++) {
        if (l == L && mlp->out == 1) break;  // its gradient is a column sum
        if (l && l < L && !dz_layer) continue;
        KernelGradient* of = add_kernel(&k, mlp, l);
        of->terms[0] = Term{layer_input(nets, tape, input, total, l),
                            l < L ? rows_factor(nets, dz + l * dz_layer, total, mlp->width)
                                  : rows_factor(nets, dout, total, mlp->out),
                            0, of->m};
        add_stats(of, nets, tape, total, l);
    }
    launch_gradients(s, &k, nets->P * nets->used);
}

}  // namespace

void prepare_whole(State* s) {
    prepare_gradients(s);
    const auto what = cudaFuncAttributeMaxDynamicSharedMemorySize;
    for (int tile = ROWS; tile <= 4 * ROWS; tile *= 2)
        for (int width : {FEW_WARPS * COLUMNS, int{MOST_WIDTH}})
            with_shape(s->precision, tile, width, [&](auto shape) {
                typedef decltype(shape) S;
                check(s, cudaFuncSetAttribute(whole_forward_kernel<S, UF_RELU>, what, MOST_SHARED));
                check(s, cudaFuncSetAttribute(whole_forward_kernel<S, UF_TANH>, what, MOST_SHARED));
                check(s, cudaFuncSetAttribute(whole_backward_kernel<S, UF_RELU>, what, MOST_SHARED));
                check(s, cudaFuncSetAttribute(whole_backward_kernel<S, UF_TANH>, what, MOST_SHARED));
            });
    with_precision(s->precision, [&](auto of) {
        constexpr int PRECISION = decltype(of)::value;
        check(s, cudaFuncSetAttribute(whole_second_order_kernel<PRECISION, 1>, what, MOST_SHARED));
        check(s, cudaFuncSetAttribute(whole_second_order_kernel<PRECISION, 2>, what, MOST_SHARED));
    });
}

bool whole_forward(State* s, const UfNets* nets, float* out, const UfTape* tape, UfInput input, UfRows rows) {
    const UfMlp* mlp = nets->mlp;
    const int G = nets->P * nets->used, tile = tile_rows(s, mlp, G, rows.count);
    if (!tape_fits(mlp, tape)) return false;
    if (hopper_forward(s, nets, out, tape, input, rows)) return true;
    if (!tile) return false;
    Forward c = {};
    c.net = net_of(mlp);
    c.params = params_of(nets);
    c.x = input_rows(input, rows.first);
    c.x_ld = input.ld;
    c.tape = tape_of(mlp, tape, rows.first, rows.total);
    c.out = tape_rows(out, rows.first, rows.total, mlp->out);
    c.rows = rows.count;
    c.ld = tile_ld(mlp->in > mlp->width ? mlp->in : mlp->width, layout_of(s->precision), s->precision);
    with_activation(mlp, [&](auto activation) {
        with_shape(s->precision, tile, mlp->width, [&](auto shape) {
            typedef decltype(shape) S;
            launch_shared(s, whole_forward_kernel<S, decltype(activation)::value>,
                          G * ceil_div(rows.count, tile), S::NUM_THREADS,
                          block_bytes(s, mlp, tile, most_columns(mlp)), c);
        });
    });
    return true;
}

bool whole_backward(State* s, const UfNets* nets, float* grads, float* dx, int dx_first, int dx_count,
                    const UfTape* tape, UfInput input, const float* dout, int total) {
    const UfMlp* mlp = nets->mlp;
    const int G = nets->P * nets->used, tile = tile_rows(s, mlp, G, total), L = mlp->layers,
              width = mlp->width;
    if (!tape_fits(mlp, tape)) return false;
    HopperSums made = {};
    if (hopper_backward(s, nets, grads, &made, dx, dx_first, dx_count, tape, dout, total)) {
        if (grads) differentiate_kernels(s, nets, grads, tape, input, made.dz, 0, made.sums, dout, total);
        return true;
    }
    if (!tile) return false;
    const size_t area = static_cast<size_t>(G) * static_cast<size_t>(total) * static_cast<size_t>(width);
    Scratch scratch = {s, 0};
    Backward c = {};
    c.net = net_of(mlp);
    c.params = params_of(nets);
    c.tape = tape_of(mlp, tape, 0, total);
    c.dout = Rows{const_cast<float*>(dout), static_cast<int64_t>(total) * mlp->out};
    c.dz_layer = static_cast<int64_t>(area);
    c.sums = sums_of(mlp, nullptr, total);
    if (grads) {
        c.dz = scratch.take(static_cast<size_t>(L) * area);
        c.sums.at = scratch.take(static_cast<size_t>(G) * static_cast<size_t>(c.sums.chunks * c.sums.record));
    }
    if (!scratch.fits()) return true;
    if (dx) c.dx = Rows{dx, static_cast<int64_t>(total) * dx_count};
    c.dx_first = dx_first;
    c.dx_count = dx_count;
    c.rows = total;
    c.ld = tile_ld(width, layout_of(s->precision), s->precision);
    with_activation(mlp, [&](auto activation) {
        with_shape(s->precision, tile, width, [&](auto shape) {
            typedef decltype(shape) S;
            launch_shared(s, whole_backward_kernel<S, decltype(activation)::value>, G * ceil_div(total, tile),
                          S::NUM_THREADS, block_bytes(s, mlp, tile, width), c);
        });
    });
    if (grads) differentiate_kernels(s, nets, grads, tape, input, c.dz, c.dz_layer, c.sums, dout, total);
    return true;
}

bool whole_second_order(State* s, const UfNets* nets, float* grads, const UfTape* tape, UfInput input,
                        const float* tangent, int tangent_first, int tangent_count, const float* dout,
                        int total) {
    const UfMlp* mlp = nets->mlp;
    const int G = nets->P * nets->used, L = mlp->layers, width = mlp->width;
    int tile = tile_rows(s, mlp, G, total);
    if (!tile) return false;
    const size_t area = static_cast<size_t>(G) * static_cast<size_t>(total) * static_cast<size_t>(width);
    Scratch scratch = {s, 0};
    SecondOrder c = {};
    c.net = net_of(mlp);
    c.params = params_of(nets);
    c.tape = tape_of(mlp, tape, 0, total);
    c.tangent = Rows{const_cast<float*>(tangent), static_cast<int64_t>(total) * tangent_count};
    c.tangent_first = tangent_first;
    c.tangent_count = tangent_count;
    c.dout = Rows{const_cast<float*>(dout), total};
    c.layer = static_cast<int64_t>(area);
    c.dh = scratch.take(static_cast<size_t>(L) * area);
    c.u = scratch.take(static_cast<size_t>(L) * area);
    c.alpha = scratch.take(static_cast<size_t>(L) * area);
    c.beta = scratch.take(static_cast<size_t>(L) * area);
    c.sums = sums_of(mlp, nullptr, total);
    c.sums.at = scratch.take(static_cast<size_t>(G) * static_cast<size_t>(c.sums.chunks * c.sums.record));
    if (!scratch.fits()) return true;
    c.rows = total;
    c.ld = tile_ld(tangent_count > width ? tangent_count : width, PLAIN, s->precision);
    if (tile > 2 * ROWS) tile = 2 * ROWS;  // two streams
    if (second_order_bytes(tile, c.ld) > MOST_SHARED) tile = ROWS;
    with_precision(s->precision, [&](auto of) {
        constexpr int PRECISION = decltype(of)::value;
        const auto kernel =
            tile == ROWS ? whole_second_order_kernel<PRECISION, 1> : whole_second_order_kernel<PRECISION, 2>;
        launch_shared(s, kernel, G * ceil_div(total, tile), THREADS, second_order_bytes(tile, c.ld), c);
    });
    Gradients k = gradients_of(nets, grads, c.sums, total);
    for (int l = 0; l < L; l++) {
        KernelGradient* of = add_kernel(&k, mlp, l);
        of->num_terms = 2;
        of->terms[0] = Term{layer_input(nets, tape, input, total, l),
                            rows_factor(nets, c.beta + l * c.layer, total, width), 0, of->m};
        of->terms[1] = Term{l ? rows_factor(nets, c.dh + (l - 1) * c.layer, total, width)
                              : rows_factor(nets, tangent, total, tangent_count),
                            rows_factor(nets, c.alpha + l * c.layer, total, width), l ? 0 : tangent_first,
                            l ? width : tangent_count};
        add_stats(of, nets, tape, total, l);
    }
    launch_gradients(s, &k, G);
    return true;
}

}  // namespace uf_cuda
