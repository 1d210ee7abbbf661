// kernels_hopper.cuh: the copy of networks in bf16 that passes of kernels_hopper.cu read, and these passes.
#ifndef UF_KERNELS_HOPPER_CUH
#define UF_KERNELS_HOPPER_CUH

#include "kernels.cuh"

namespace uf_cuda {

enum { PACKED_COLUMNS = 256, PACKED_LAYERS = 8 };
enum { PIECE = 1024, PIECES = PACKED_COLUMNS / 64 };  // bytes of 8 rows of 64; side by side in 8 rows

// Where kernels of hidden layers lie in a network's parameters and, in bytes, in its packed copy.
struct PackedShape {
    int in, width, layers, out;
    bool layer_norm;
    struct {
        int kernel, bias, scale, shift, packed;
    } layer[PACKED_LAYERS + 1];
    int size, bytes;
};

// Slots 2 t, 2 t + 1, 8 + 2 t and 9 + 2 t of each 16 are numbers 4 t to 4 t + 3.
__device__ inline int slot_of(int i) {
    const int t = i % 16 / 4, r = i % 4;
    return i / 16 * 16 + 2 * t + r % 2 + r / 2 * 8;
}

// Bytes in front of number (row, column) of a matrix in pieces: the eight of a row that share 16 bytes stay together.
__device__ inline int64_t in_pieces(int row, int column) {
    const int r = row % 8, c = column % 64;
    return static_cast<int64_t>(row / 8 * PIECES + column / 64) * PIECE +
           (r * 128 + ((c / 8) ^ r) * 16 + c % 8 * 2);
}

// Of number (i, o) of a kernel, o even: the next shares its word.
__device__ inline int64_t packed_at(int i, int o) { return in_pieces(slot_of(i), slot_of(o)); }

// Numbers e to e + 3 of a network's parameters to its copy, if they are of a hidden layer's kernel. e is a multiple of 4.
__device__ inline void put_packed(unsigned char* to, const PackedShape& s, int e, const float (&x)[4]) {
    for (int l = 0; l < s.layers; l++) {
        const int at = e - s.layer[l].kernel;
        if (at < 0 || at >= (l ? s.width : s.in) * s.width) continue;
        const int i = at / s.width, o = at - i * s.width;
        unsigned char* kernel = to + s.layer[l].packed;
        *reinterpret_cast<uint32_t*>(kernel + packed_at(i, o)) = uf_pack_bf16(x[0], x[1]);
        *reinterpret_cast<uint32_t*>(kernel + packed_at(i, o + 2)) = uf_pack_bf16(x[2], x[3]);
    }
}

void prepare_hopper(State* s);
// bytes 0: passes of such networks are not made there.
PackedShape packed_shape(const State* s, const UfMlp* mlp);
// Null: there is no copy.
const PackedNets* packed_of(const State* s, const float* params);
void pack(State* s, const PackedNets* nets);
bool hopper_forward(State* s, const UfNets* nets, float* out, const UfTape* tape, UfInput input, UfRows rows);
// What is left to do for the gradients of the first and the last kernel: dL/dz of the first layer (G, rows, width), and the
// sums of chunks.
struct HopperSums {
    float* dz;
    Sums sums;
};
// Nullable: grads (then nothing is left), dx
bool hopper_backward(State* s, const UfNets* nets, float* grads, HopperSums* made, float* dx, int dx_first,
                     int dx_count, const UfTape* tape, const float* dout, int total);
// Numbers of scratch it takes for G networks.
size_t hopper_scratch(const State* s, const UfMlp* mlp, size_t G, int rows);

}  // namespace uf_cuda

#endif
