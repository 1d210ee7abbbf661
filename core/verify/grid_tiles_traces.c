// grid_tiles_traces.c: `unifloral verify` of MiniGrid's recorded tiles and frames, byte by byte.
//
// /tiles: key (n, 5) type, colour, state, direction of the agent or -1, highlight; rgb<size> (n, size, size, 3).
// /frames/NN: grid (H, W, 3) without the agent, rgb, and attributes agent (x, y, direction), carrying (a triple),
// tile_size, pov, see_through_walls, and where they are highlight (1) and view (7).
#include <stdio.h>  // snprintf
#include <stdlib.h>
#include <string.h>

#include "core/grid/grid_tiles.h"
#include "core/verify/grid_verify.h"

enum { MAX_SIDE = 254, DEFAULT_VIEW = 7 };

static int64_t count_different(const uint8_t* a, const uint8_t* b, int64_t count) {
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++) different += a[i] != b[i];
    return different;
}

// The same of numbers that may be any.
static bool cell_of(const double numbers[3], NxCell* cell) {
    uint8_t triple[3];
    for (int i = 0; i < 3; i++) {
        if (!(numbers[i] >= 0 && numbers[i] <= 255)) return false;
        triple[i] = (uint8_t)numbers[i];
    }
    return nx_cell_of(triple, cell);
}

// ---- tiles ----

// The tile of a row of keys; false: none such can be.
static bool tile_of_key(const int32_t key[5], int* code) {
    NxCell cell;
    if (!cell_of((double[3]){key[0], key[1], key[2]}, &cell) || key[3] < -1 || key[3] > 3 || key[4] < 0 ||
        key[4] > 1)
        return false;
    *code = nx_tile_code(cell, key[3] + 1, key[4]);
    return true;
}

static UfStatus compare_tiles(const UfH5* h5, const char* name, const int32_t* keys, int64_t n,
                              const NxTiles* tiles, int64_t* wrong) {
    const int64_t bytes = 3 * (int64_t)tiles->size * tiles->size;
    uint8_t* recorded;
    UF_TRY(UF_ALLOC(&recorded, n * bytes, "recorded tiles"));
    UfStatus status = uf_h5_read(h5, name, UF_H5_UINT8, recorded, n * bytes);
    *wrong = 0;
    for (int64_t i = 0; i < n && status == UF_OK; i++) {
        int code;
        if (tile_of_key(keys + 5 * i, &code))
            *wrong += count_different(nx_tile(tiles, code), recorded + i * bytes, bytes);
        else
            status = UF_FAIL(UF_ERR_FORMAT,
                             "%s: row %lld of 'tiles/key' is no tile; expected type, colour, state, "
                             "direction -1 to 3, highlight 0 or 1",
                             h5->path, (long long)i);
    }
    uf_free(recorded);
    return status;
}

static UfStatus verify_size(const UfH5* h5, const char* name, const int32_t* keys, int64_t n,
                            UfReport* report) {
    UfH5Shape shape;
    NxTiles* tiles;
    int64_t wrong;
    char path[96], check[64];
    const int size = strncmp(name, "rgb", 3) == 0 ? atoi(name + 3) : 0;
    snprintf(path, sizeof path, "tiles/%.60s", name);
    UF_TRY(uf_h5_shape(h5, path, &shape));
    if (size < 1 || size > NX_MAX_TILE_SIZE || shape.rank != 4 || shape.dims[0] != n ||
        shape.dims[1] != size || shape.dims[2] != size || shape.dims[3] != 3)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: '%s' is not what its name says; expected rgb<size> (%lld, size, "
                       "size, 3) with a size of 1 to %d",
                       h5->path, path, (long long)n, NX_MAX_TILE_SIZE);
    UF_TRY(nx_tiles_create(&tiles, size));
    UfStatus status = compare_tiles(h5, path, keys, n, tiles, &wrong);
    nx_tiles_free(tiles);
    UF_TRY(status);
    snprintf(check, sizeof check, "bytes of %lld tiles of %d pixels", (long long)n, size);
    uf_report_add(report, "tiles", check, (double)wrong, 0);
    return UF_OK;
}

static UfStatus verify_sizes(const UfH5* h5, const int32_t* keys, int64_t n, UfReport* report) {
    char** names;
    int count;
    UF_TRY(uf_h5_list(h5, "tiles", &names, &count));
    UfStatus status =
        count > 1 ? UF_OK
                  : UF_FAIL(UF_ERR_FORMAT, "%s: 'tiles' has no pictures; expected rgb<size>", h5->path);
    for (int i = 0; i < count && status == UF_OK; i++)
        if (strcmp(names[i], "key") != 0) status = verify_size(h5, names[i], keys, n, report);
    uf_h5_list_free(names, count);
    return status;
}

UfStatus nx_verify_tiles(const UfH5* h5, UfReport* report) {
    UfH5Shape shape;
    int32_t* keys;
    UF_TRY(uf_h5_shape(h5, "tiles/key", &shape));
    if (shape.rank != 2 || shape.dims[1] != 5 || shape.dims[0] < 1)
        return UF_FAIL(UF_ERR_FORMAT, "%s: 'tiles/key' is not (n, 5)", h5->path);
    UF_TRY(UF_ALLOC(&keys, shape.count, "keys of tiles"));
    UfStatus status = uf_h5_read(h5, "tiles/key", UF_H5_INT32, keys, shape.count);
    if (status == UF_OK) status = verify_sizes(h5, keys, shape.dims[0], report);
    uf_free(keys);
    return status;
}

// ---- frames ----

typedef struct Frame {
    NxLayout layout;
    NxEnv* env;  // a block
    NxCell* seen;
    uint16_t* codes;
    uint8_t *grid, *recorded, *drawn;
    int width, height;  // in tiles
    bool pov, highlight;
} Frame;

static void frame_free(Frame* f) {
    void* all[] = {f->env, f->seen, f->codes, f->grid, f->recorded, f->drawn};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

static UfStatus read_whole(const UfH5* h5, const char* group, const char* name, double low, double high,
                           int* value) {
    double number;
    UF_TRY(uf_h5_read_number(h5, group, name, &number));
    if (!(number >= low && number <= high) || number != (int)number)
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of %s is %g; a whole number from %g to %g expected",
                       h5->path, name, group, number, low, high);
    *value = (int)number;
    return UF_OK;
}

static UfStatus read_agent(const UfH5* h5, const char* group, Frame* f) {
    double agent[3], carrying[3];
    const int width = f->layout.spec.width, height = f->layout.spec.height;
    UF_TRY(uf_h5_read_numbers(h5, group, "agent", agent, 3));
    UF_TRY(uf_h5_read_numbers(h5, group, "carrying", carrying, 3));
    if (!(agent[0] >= 0 && agent[0] < width && agent[1] >= 0 && agent[1] < height && agent[2] >= 0 &&
          agent[2] <= 3))
        return UF_FAIL(UF_ERR_FORMAT, "%s: the agent of %s is not on the map", h5->path, group);
    f->env->x = (uint8_t)agent[0];
    f->env->y = (uint8_t)agent[1];
    f->env->direction = (uint8_t)agent[2];
    if (!cell_of(carrying, &f->env->carrying))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute 'carrying' of %s is no object", h5->path, group);
    return UF_OK;
}

static UfStatus read_grid(const UfH5* h5, const char* group, Frame* f) {
    UfH5Shape shape;
    char name[96];
    snprintf(name, sizeof name, "%.64s/grid", group);
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank != 3 || shape.dims[2] != 3 || shape.dims[0] < 1 || shape.dims[1] < 1 ||
        shape.dims[0] > MAX_SIDE || shape.dims[1] > MAX_SIDE)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is not (H, W, 3) with sides of 1 to %d", h5->path, name,
                       MAX_SIDE);
    f->layout.spec.height = (int)shape.dims[0];
    f->layout.spec.width = (int)shape.dims[1];
    const int64_t cells = shape.dims[0] * shape.dims[1];
    char* block;
    UF_TRY(UF_ALLOC(&block, sizeof(NxEnv) + (size_t)cells, "a level"));
    f->env = (NxEnv*)block;
    UF_TRY(UF_ALLOC(&f->grid, shape.count, "a recorded level"));
    UF_TRY(uf_h5_read(h5, name, UF_H5_UINT8, f->grid, shape.count));
    for (int64_t i = 0; i < cells; i++)
        if (!nx_cell_of(f->grid + 3 * i, nx_cells(f->env) + i))
            return UF_FAIL(UF_ERR_FORMAT, "%s: cell %lld of '%s' is no type, colour and state", h5->path,
                           (long long)i, name);
    return UF_OK;
}

static UfStatus read_picture(const UfH5* h5, const char* group, Frame* f) {
    UfH5Shape shape;
    char name[96];
    const int64_t size = f->layout.tile_size;
    snprintf(name, sizeof name, "%.64s/rgb", group);
    f->width = f->pov ? f->layout.view : f->layout.spec.width;
    f->height = f->pov ? f->layout.view : f->layout.spec.height;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank != 3 || shape.dims[0] != f->height * size || shape.dims[1] != f->width * size ||
        shape.dims[2] != 3)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is not (%lld, %lld, 3), which its level and tiles come to",
                       h5->path, name, (long long)(f->height * size), (long long)(f->width * size));
    UF_TRY(UF_ALLOC(&f->recorded, shape.count, "a recorded picture"));
    UF_TRY(UF_ALLOC(&f->drawn, shape.count, "a picture"));
    UF_TRY(UF_ALLOC(&f->seen, f->layout.view * f->layout.view, "a view"));
    UF_TRY(UF_ALLOC(&f->codes, f->width * f->height, "tiles of a picture"));
    return uf_h5_read(h5, name, UF_H5_UINT8, f->recorded, shape.count);
}

static UfStatus read_frame(const UfH5* h5, const char* group, Frame* f) {
    int pov = 0, see_through = 0, highlight = 1;
    f->layout.view = DEFAULT_VIEW;
    UF_TRY(read_grid(h5, group, f));
    UF_TRY(read_agent(h5, group, f));
    UF_TRY(read_whole(h5, group, "tile_size", 1, NX_MAX_TILE_SIZE, &f->layout.tile_size));
    UF_TRY(read_whole(h5, group, "pov", 0, 1, &pov));
    UF_TRY(read_whole(h5, group, "see_through_walls", 0, 1, &see_through));
    if (uf_h5_has_attribute(h5, group, "highlight"))
        UF_TRY(read_whole(h5, group, "highlight", 0, 1, &highlight));
    if (uf_h5_has_attribute(h5, group, "view"))
        UF_TRY(read_whole(h5, group, "view", 3, NX_MAX_VIEW, &f->layout.view));
    if (f->layout.view % 2 == 0)
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute 'view' of %s is %d; an odd number expected", h5->path,
                       group, f->layout.view);
    f->layout.spec.see_through_walls = see_through;
    f->pov = pov;
    f->highlight = highlight || pov;  // MiniGrid highlights every point of view
    return read_picture(h5, group, f);
}

static int64_t compare_frame(Frame* f, const NxTiles* tiles) {
    nx_view(&f->layout, f->env, f->seen);
    if (!f->highlight) memset(f->seen, NX_UNSEEN, (size_t)(f->layout.view * f->layout.view));
    if (f->pov)
        nx_view_tiles(f->layout.view, f->seen, f->codes);
    else
        nx_map_tiles(&f->layout, f->env, f->seen, f->codes);
    nx_draw(tiles, f->codes, f->width, f->height, f->drawn);
    return count_different(f->drawn, f->recorded,
                           3 * (int64_t)f->width * f->height * tiles->size * tiles->size);
}

static UfStatus verify_frame(const UfH5* h5, const char* name, int64_t* wrong) {
    Frame f = {0};
    NxTiles* tiles = NULL;
    char group[72];
    snprintf(group, sizeof group, "frames/%.60s", name);
    UfStatus status = read_frame(h5, group, &f);
    if (status == UF_OK) status = nx_tiles_create(&tiles, f.layout.tile_size);
    if (status == UF_OK) *wrong += compare_frame(&f, tiles);
    nx_tiles_free(tiles);
    frame_free(&f);
    return status;
}

UfStatus nx_verify_frames(const UfH5* h5, UfReport* report) {
    char** names;
    int count;
    int64_t wrong = 0;
    char check[64];
    UF_TRY(uf_h5_list(h5, "frames", &names, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK; i++) status = verify_frame(h5, names[i], &wrong);
    uf_h5_list_free(names, count);
    UF_TRY(status);
    snprintf(check, sizeof check, "bytes of %d frames", count);
    uf_report_add(report, "frames", check, (double)wrong, 0);
    return UF_OK;
}
