// grid_tiles.c: MiniGrid's pictures, exact to the byte.
//
// A tile is drawn as MiniGrid draws it: shapes on a canvas of three samples a pixel and side, whose centres are
// inside or not, highlighted, then averaged, each time cut to whole numbers. What a sample on an edge is depends on
// the rounding of each operation, so they are done in MiniGrid's order and precision; some of it is float32, because
// numpy makes it so.   Source: minigrid/utils/rendering.py, core/world_object.py, core/grid.py `render_tile`.
//
// Rooms: shapes, tiles, frames.
#include "core/grid/grid_tiles.h"

#include <math.h>
#include <string.h>

// A fused multiply-add rounds once where numpy rounds twice.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

// ---- shapes ----

enum { SAMPLES = 3 };  // of a pixel, in each direction

typedef struct Colour {
    uint8_t rgb[3];
} Colour;

static const Colour black = {{0, 0, 0}}, line_grey = {{100, 100, 100}}, lava_orange = {{255, 128, 0}};
static const Colour colours[NX_NUM_COLOURS] = {
    [NX_RED] = {{255, 0, 0}},       [NX_GREEN] = {{0, 255, 0}},    [NX_BLUE] = {{0, 0, 255}},
    [NX_PURPLE] = {{112, 39, 195}}, [NX_YELLOW] = {{255, 255, 0}}, [NX_GREY] = {{100, 100, 100}}};

static Colour darker(Colour colour, double share) {
    for (int i = 0; i < 3; i++) colour.rgb[i] = (uint8_t)(share * colour.rgb[i]);
    return colour;
}

typedef struct Canvas {
    int side;     // samples
    Colour* row;  // (side, side)
} Canvas;

// A tile is 1 wide and high.
typedef struct Shape {
    bool (*contains)(const struct Shape* shape, double x, double y);
    double a[5];
    float f[5];  // what numpy has in float32
} Shape;

static void fill(Canvas* canvas, const Shape* shape, Colour colour) {
    for (int j = 0; j < canvas->side; j++) {
        for (int i = 0; i < canvas->side; i++) {
            double x = (i + 0.5) / canvas->side, y = (j + 0.5) / canvas->side;
            if (shape->contains(shape, x, y)) canvas->row[j * canvas->side + i] = colour;
        }
    }
}

static bool in_rectangle(const Shape* s, double x, double y) {
    return x >= s->a[0] && x <= s->a[1] && y >= s->a[2] && y <= s->a[3];
}

static void fill_rectangle(Canvas* canvas, double left, double right, double top, double bottom,
                           Colour colour) {
    fill(canvas, &(Shape){in_rectangle, {left, right, top, bottom}, {0}}, colour);
}

static bool in_disc(const Shape* s, double x, double y) {
    return (x - s->a[0]) * (x - s->a[0]) + (y - s->a[1]) * (y - s->a[1]) <= s->a[2] * s->a[2];
}

static void fill_disc(Canvas* canvas, double x, double y, double radius, Colour colour) {
    fill(canvas, &(Shape){in_disc, {x, y, radius}, {0}}, colour);
}

// a: the bounding box by x and y, and the radius; f: one end, direction, length.
static bool near_line(const Shape* s, double x, double y) {
    if (x < s->a[0] || x > s->a[1] || y < s->a[2] || y > s->a[3]) return false;
    double along = (x - s->f[0]) * s->f[2] + (y - s->f[1]) * s->f[3];
    along = along < 0 ? 0 : along > s->f[4] ? s->f[4] : along;
    double dx = x - (s->f[0] + along * s->f[2]), dy = y - (s->f[1] + along * s->f[3]);
    return sqrt(dx * dx + dy * dy) <= s->a[4];
}

static void fill_line(Canvas* canvas, double x0, double y0, double x1, double y1, double radius,
                      Colour colour) {
    Shape line = {
        near_line,
        {fmin(x0, x1) - radius, fmax(x0, x1) + radius, fmin(y0, y1) - radius, fmax(y0, y1) + radius, radius},
        {(float)x0, (float)y0, (float)x1 - (float)x0, (float)y1 - (float)y0, 0}};
    line.f[4] = sqrtf(line.f[2] * line.f[2] + line.f[3] * line.f[3]);
    line.f[2] /= line.f[4];
    line.f[3] /= line.f[4];
    fill(canvas, &line, colour);
}

// The agent that looks east, turned by a: cosine and sine of minus the angle.
static bool in_agent(const Shape* s, double x, double y) {
    static const float ax = 0.12f, ay = 0.19f, bx = 0.87f, by = 0.50f, cx = 0.12f, cy = 0.81f;
    x -= 0.5;
    y -= 0.5;
    double turned_x = 0.5 + x * s->a[0] - y * s->a[1], turned_y = 0.5 + y * s->a[0] + x * s->a[1];
    // barycentric coordinates
    const float v0x = cx - ax, v0y = cy - ay, v1x = bx - ax, v1y = by - ay;
    const double v2x = turned_x - ax, v2y = turned_y - ay;
    const float dot00 = v0x * v0x + v0y * v0y, dot01 = v0x * v1x + v0y * v1y, dot11 = v1x * v1x + v1y * v1y;
    const double dot02 = v0x * v2x + v0y * v2y, dot12 = v1x * v2x + v1y * v2y;
    const float inverse = 1 / (dot00 * dot11 - dot01 * dot01);
    const double u = (dot11 * dot02 - dot01 * dot12) * inverse, v = (dot00 * dot12 - dot01 * dot02) * inverse;
    return u >= 0 && v >= 0 && u + v < 1;
}

static void fill_agent(Canvas* canvas, int direction) {
    const double angle = 0.5 * 3.14159265358979323846 * direction;
    fill(canvas, &(Shape){in_agent, {cos(-angle), sin(-angle)}, {0}}, colours[NX_RED]);
}

// ---- tiles ----

static void fill_lava(Canvas* canvas) {
    fill_rectangle(canvas, 0, 1, 0, 1, lava_orange);
    for (int i = 0; i < 3; i++) {
        const double low = 0.3 + 0.2 * i, high = 0.4 + 0.2 * i, r = 0.03;
        fill_line(canvas, 0.1, low, 0.3, high, r, black);
        fill_line(canvas, 0.3, high, 0.5, low, r, black);
        fill_line(canvas, 0.5, low, 0.7, high, r, black);
        fill_line(canvas, 0.7, high, 0.9, low, r, black);
    }
}

static void fill_key(Canvas* canvas, Colour colour) {
    fill_rectangle(canvas, 0.50, 0.63, 0.31, 0.88, colour);
    fill_rectangle(canvas, 0.38, 0.50, 0.59, 0.66, colour);
    fill_rectangle(canvas, 0.38, 0.50, 0.81, 0.88, colour);
    fill_disc(canvas, 0.56, 0.28, 0.190, colour);
    fill_disc(canvas, 0.56, 0.28, 0.064, black);
}

static void fill_box(Canvas* canvas, Colour colour) {
    fill_rectangle(canvas, 0.12, 0.88, 0.12, 0.88, colour);
    fill_rectangle(canvas, 0.18, 0.82, 0.18, 0.82, black);
    fill_rectangle(canvas, 0.16, 0.84, 0.47, 0.53, colour);
}

static void fill_open_door(Canvas* canvas, Colour colour) {
    fill_rectangle(canvas, 0.88, 1.00, 0.00, 1.00, colour);
    fill_rectangle(canvas, 0.92, 0.96, 0.04, 0.96, black);
}

static void fill_closed_door(Canvas* canvas, Colour colour) {
    fill_rectangle(canvas, 0.00, 1.00, 0.00, 1.00, colour);
    fill_rectangle(canvas, 0.04, 0.96, 0.04, 0.96, black);
    fill_rectangle(canvas, 0.08, 0.92, 0.08, 0.92, colour);
    fill_rectangle(canvas, 0.12, 0.88, 0.12, 0.88, black);
    fill_disc(canvas, 0.75, 0.50, 0.08, colour);
}

static void fill_locked_door(Canvas* canvas, Colour colour) {
    fill_rectangle(canvas, 0.00, 1.00, 0.00, 1.00, colour);
    fill_rectangle(canvas, 0.06, 0.94, 0.06, 0.94, darker(colour, 0.45));
    fill_rectangle(canvas, 0.52, 0.75, 0.50, 0.56, colour);
}

static void fill_cell(Canvas* canvas, NxCell cell) {
    const Colour colour = colours[nx_colour(cell)];
    memset(canvas->row, 0, sizeof(Colour) * (size_t)(canvas->side * canvas->side));
    fill_rectangle(canvas, 0, 0.031, 0, 1, line_grey);
    fill_rectangle(canvas, 0, 1, 0, 0.031, line_grey);
    switch (nx_kind(cell)) {
        case NX_WALL:
        case NX_GOAL: fill_rectangle(canvas, 0, 1, 0, 1, colour); break;
        case NX_FLOOR: fill_rectangle(canvas, 0.031, 1, 0.031, 1, darker(colour, 0.5)); break;
        case NX_DOOR_OPEN: fill_open_door(canvas, colour); break;
        case NX_DOOR_CLOSED: fill_closed_door(canvas, colour); break;
        case NX_DOOR_LOCKED: fill_locked_door(canvas, colour); break;
        case NX_KEY: fill_key(canvas, colour); break;
        case NX_BALL: fill_disc(canvas, 0.5, 0.5, 0.31, colour); break;
        case NX_BOX: fill_box(canvas, colour); break;
        case NX_LAVA: fill_lava(canvas); break;
        default: break;  // empty, unseen
    }
}

// What tiles are drawn with.
typedef struct Easel {
    Canvas cell, canvas;        // without the agent, and what is shown
    Canvas agents[4];           // red where the agent is
    uint8_t shown[2][256];      // a sample's value, plain and highlighted
    double third[3 * 255 + 1];  // of a sum of three
} Easel;

static UfStatus easel_create(Easel* e, int side) {
    for (int i = 0; i < 6; i++) {
        Canvas* canvas = i < 4 ? &e->agents[i] : i == 4 ? &e->cell : &e->canvas;
        canvas->side = side;
        UF_TRY(UF_ALLOC(&canvas->row, side * side, "a tile's canvas"));
    }
    for (int direction = 0; direction < 4; direction++) fill_agent(&e->agents[direction], direction);
    for (int i = 0; i < 256; i++) {
        e->shown[0][i] = (uint8_t)i;
        e->shown[1][i] = (uint8_t)(i + 0.30 * (255 - i));
    }
    for (int i = 0; i <= 3 * 255; i++) e->third[i] = (double)i / SAMPLES;
    return UF_OK;
}

static void easel_free(Easel* e) {
    for (int i = 0; i < 4; i++) uf_free(e->agents[i].row);
    uf_free(e->cell.row);
    uf_free(e->canvas.row);
}

// Means over three columns, then of these over three rows, as numpy does it.
static void average(const Easel* e, int size, bool highlight, uint8_t* pixels) {
    const uint8_t* shown = e->shown[highlight];
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            for (int k = 0; k < 3; k++) {
                double sum = 0;
                for (int j = 0; j < SAMPLES; j++) {
                    const Colour* s = e->canvas.row + (SAMPLES * y + j) * e->canvas.side + SAMPLES * x;
                    sum += e->third[shown[s[0].rgb[k]] + shown[s[1].rgb[k]] + shown[s[2].rgb[k]]];
                }
                *pixels++ = (uint8_t)(sum / SAMPLES);
            }
        }
    }
}

// The tiles of one cell: without the agent and with it in each direction, plain and highlighted.
static void draw_tiles(NxTiles* tiles, Easel* e, NxCell cell) {
    const int num_samples = e->cell.side * e->cell.side;
    fill_cell(&e->cell, cell);
    for (int agent = 0; agent < 5; agent++) {
        memcpy(e->canvas.row, e->cell.row, sizeof(Colour) * (size_t)num_samples);
        for (int i = 0; i < num_samples && agent; i++)
            if (e->agents[agent - 1].row[i].rgb[0]) e->canvas.row[i] = colours[NX_RED];
        for (int highlight = 0; highlight < 2; highlight++) {
            tiles->index[nx_tile_code(cell, agent, highlight)] = (uint16_t)tiles->num_tiles;
            average(e, tiles->size, highlight,
                    tiles->pixels + (size_t)tiles->num_tiles * (size_t)(3 * tiles->size * tiles->size));
            tiles->num_tiles++;
        }
    }
}

// Kinds that look the same in every colour.
#define ONE_COLOUR (NX_BIT(NX_UNSEEN) | NX_BIT(NX_EMPTY) | NX_BIT(NX_LAVA))

static int num_colours(int kind) { return ONE_COLOUR >> kind & 1 ? 1 : NX_NUM_COLOURS; }

// One cell's tiles under every colour.
static void share_colours(NxTiles* tiles, int kind) {
    for (int agent = 0; agent < 5; agent++)
        for (int highlight = 0; highlight < 2; highlight++)
            for (int colour = 1; colour < NX_NUM_COLOURS; colour++)
                tiles->index[nx_tile_code(NX_CELL(kind, colour), agent, highlight)] =
                    tiles->index[nx_tile_code(NX_CELL(kind, 0), agent, highlight)];
}

UfStatus nx_tiles_create(NxTiles** out, int size) {
    *out = NULL;
    if (size < 1 || size > NX_MAX_TILE_SIZE)
        return UF_FAIL(UF_ERR_ARGUMENT, "tiles of %d pixels; 1 to %d can be", size, NX_MAX_TILE_SIZE);
    NxTiles* tiles;
    Easel easel = {0};
    int num_cells = 0;
    for (int kind = NX_EMPTY; kind < NX_NUM_KINDS; kind++) num_cells += num_colours(kind);
    UF_TRY(UF_ALLOC(&tiles, 1, "tiles"));
    tiles->size = size;
    UfStatus status = UF_ALLOC(&tiles->pixels, (size_t)num_cells * 10 * 3 * (size_t)(size * size), "tiles");
    if (status == UF_OK) status = easel_create(&easel, SAMPLES * size);
    for (int kind = NX_EMPTY; kind < NX_NUM_KINDS && status == UF_OK; kind++) {
        for (int colour = 0; colour < num_colours(kind); colour++)
            draw_tiles(tiles, &easel, NX_CELL(kind, colour));
        if (num_colours(kind) == 1) share_colours(tiles, kind);
    }
    for (int code = 0; code < NX_NUM_TILE_CODES && status == UF_OK; code++)  // unseen looks empty
        if (nx_kind((NxCell)(code & 127)) == NX_UNSEEN)
            tiles->index[code] = tiles->index[(code & ~127) | NX_CELL_EMPTY];
    easel_free(&easel);
    if (status != UF_OK) {
        nx_tiles_free(tiles);
        return status;
    }
    *out = tiles;
    return UF_OK;
}

void nx_tiles_free(NxTiles* tiles) {
    if (!tiles) return;
    uf_free(tiles->pixels);
    uf_free(tiles);
}

// ---- frames ----

enum { STRIP = 32 };  // tiles side by side of which all rows are copied before the next

// With the number of bytes a constant, a copy is a few moves.
static inline __attribute__((always_inline)) void draw_rows(const NxTiles* tiles, const uint16_t* codes,
                                                            int width, int height, size_t row_bytes,
                                                            uint8_t* out) {
    const int size = tiles->size;
    const uint8_t* from[STRIP];
    for (int y = 0; y < height; y++, codes += width, out += (size_t)(width * size) * row_bytes) {
        for (int first = 0; first < width; first += STRIP) {
            const int count = width - first < STRIP ? width - first : STRIP;
            for (int x = 0; x < count; x++) from[x] = nx_tile(tiles, codes[first + x]);
            for (int j = 0; j < size; j++) {
                uint8_t* to = out + (size_t)(j * width + first) * row_bytes;
                for (int x = 0; x < count; x++, to += row_bytes)
                    memcpy(to, from[x] + (size_t)j * row_bytes, row_bytes);
            }
        }
    }
}

void nx_draw(const NxTiles* tiles, const uint16_t* codes, int width, int height, uint8_t* out) {
    switch (tiles->size) {
        case 8: draw_rows(tiles, codes, width, height, 24, out); break;
        case 16: draw_rows(tiles, codes, width, height, 48, out); break;
        case 32: draw_rows(tiles, codes, width, height, 96, out); break;
        default: draw_rows(tiles, codes, width, height, 3 * (size_t)tiles->size, out); break;
    }
}

void nx_draw_map(const NxTiles* tiles, const NxLayout* layout, const NxEnv* env, uint8_t* out) {
    NxCell seen[NX_MAX_VIEW * NX_MAX_VIEW];
    uint32_t work[2 * NX_MAX_SIDE];
    uint16_t codes[NX_MAX_CELLS];
    nx_picture_view(layout, env, false, seen, work);
    nx_map_tiles(layout, env, seen, codes);
    nx_draw(tiles, codes, layout->spec.width, layout->spec.height, out);
}

void nx_draw_view(const NxTiles* tiles, const NxLayout* layout, const NxEnv* env, uint8_t* out) {
    NxCell seen[NX_MAX_VIEW * NX_MAX_VIEW];
    uint32_t work[2 * NX_MAX_SIDE];
    uint16_t codes[NX_MAX_VIEW * NX_MAX_VIEW];
    nx_picture_view(layout, env, true, seen, work);
    nx_view_tiles(layout->view, seen, codes);
    nx_draw(tiles, codes, layout->view, layout->view, out);
}
