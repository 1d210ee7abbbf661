// grid_render.c: pictures of gridworlds: a level or a sheet of them (.png), or an episode (.gif).
//
// Frames are the RGB observations of a batch of one. Rooms: one gridworld, animations, pages.
#include "core/grid/grid_render.h"

#include <math.h>
#include <string.h>
#include <strings.h>  // strcasecmp

#include "navix.h"
#include "core/grid/grid_table.h"
#include "core/grid/grid_tiles.h"
#include "core/pictures/gif.h"
#include "core/pictures/page.h"

enum {
    TILE = 32,
    MAX_PIXELS = 16384,  // a side of one frame
    PANEL = 192,         // of a sheet, in pixels
    DEFAULT_VIEW = 7,
    CAPTION = 22,     // above a panel
    GAP = 14,         // between panels
    FRAME_TIME = 10,  // centiseconds
    HOLD = 100        // the same of an animation's last frame
};

// ---- one gridworld ----

typedef struct World {
    NxBatch* batch;
    const NxRenderOptions* options;
    UfRandom random;
    uint8_t* rgb;  // (height, width, 3)
    int width, height, num_steps;
    float episode_return;
    uint8_t terminated, truncated;
} World;

static void world_free(World* w) {
    nx_free(w->batch);
    uf_free(w->rgb);
}

static NxOutput world_output(World* w) {
    return (NxOutput){.obs = w->rgb,
                      .terminated = &w->terminated,
                      .truncated = &w->truncated,
                      .episode_return = &w->episode_return};
}

static UfStatus world_create(World* w, const NxRenderOptions* o, const char* id, int tile_size) {
    NxOptions options;
    nx_default_options(&options);
    options.observation = o->first_person ? NX_OBS_RGB_FIRST_PERSON : NX_OBS_RGB;
    options.autoreset = NX_NO_RESET;
    options.tile_size = tile_size;
    options.max_steps = o->max_steps;
    options.num_threads = 1;
    w->options = o;
    UF_TRY(nx_create(&w->batch, id, 1, o->seed, &options));
    const NxShape shape = nx_shape(w->batch);
    w->height = shape.dims[0];
    w->width = shape.dims[1];
    if (w->width > MAX_PIXELS || w->height > MAX_PIXELS)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s with tiles of %d pixels makes a picture of %d x %d; %d is the "
                       "largest side, so take smaller tiles",
                       id, tile_size, w->width, w->height, MAX_PIXELS);
    UF_TRY(UF_ALLOC(&w->rgb, shape.bytes, "a picture"));
    w->random = uf_random(o->seed, UF_STREAM_CONTROLLER, 0);
    const NxOutput out = world_output(w);
    return nx_reset(w->batch, &out);
}

static bool world_over(const World* w) { return w->terminated || w->truncated; }

// One action.
static UfStatus world_step(World* w) {
    const NxRenderOptions* o = w->options;
    const NxOutput out = world_output(w);
    uint8_t action = 0;
    if (o->act)
        UF_TRY(o->act(o->user, &action));
    else
        action = (uint8_t)uf_random_uniform(&w->random, 0, NX_NUM_ACTIONS);
    w->num_steps++;
    return nx_step(w->batch, &action, &out);
}

// To pixels 0xRRGGBB, rows of `stride`.
static void pack_pixels(const World* w, uint32_t* pixels, int stride) {
    const uint8_t* rgb = w->rgb;
    for (int y = 0; y < w->height; y++)
        for (int x = 0; x < w->width; x++, rgb += 3)
            pixels[(size_t)y * (size_t)stride + (size_t)x] =
                (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

static void describe(const World* w, NxRender* out) {
    out->num_steps = w->num_steps;
    out->ret = (double)w->episode_return;
}

// ---- animations ----

static UfStatus add_frames(World* w, UfGif* gif, uint32_t* pixels, int64_t num_steps, NxRender* out) {
    for (int64_t i = 0;; i++) {
        const bool last = i == num_steps || world_over(w);
        pack_pixels(w, pixels, w->width);
        UF_TRY(uf_gif_add(gif, pixels, w->width, last ? HOLD : FRAME_TIME));
        out->num_frames++;
        if (last) return UF_OK;
        UF_TRY(world_step(w));
    }
}

static UfStatus write_animation(const NxRenderOptions* o, World* w, NxRender* out) {
    UfGif* gif;
    uint32_t* pixels;
    UF_TRY(world_create(w, o, o->ids[0], o->tile_size ? o->tile_size : TILE));
    out->width = w->width;
    out->height = w->height;
    UF_TRY(uf_gif_open(&gif, o->output, w->width, w->height));
    UfStatus status = UF_ALLOC(&pixels, (size_t)w->width * (size_t)w->height, "a picture");
    if (status == UF_OK) status = add_frames(w, gif, pixels, o->num_steps, out);
    uf_free(pixels);
    if (status == UF_OK) return uf_gif_close(gif);
    uf_gif_abandon(gif);
    return status;
}

// ---- pages ----

#ifdef UF_NO_CAIRO

static UfStatus write_page(const NxRenderOptions* o, NxRender* out) {
    (void)out;
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build writes no PNG; install libcairo2-dev and build again, or write a .gif",
                   o->output);
}

#else

static UfStatus world_walk(World* w, int64_t num_steps) {
    for (int64_t i = 0; i < num_steps && !world_over(w); i++) UF_TRY(world_step(w));
    return UF_OK;
}

static UfStatus page_create(cairo_surface_t** page, const char* path, NxRender* out) {
    if (out->width > UF_PAGE_MAX_SIDE || out->height > UF_PAGE_MAX_SIDE)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the sheet comes to %d x %d pixels; %d is the largest side", path,
                       out->width, out->height, UF_PAGE_MAX_SIDE);
    *page = cairo_image_surface_create(CAIRO_FORMAT_RGB24, out->width, out->height);
    return cairo_surface_status(*page) == CAIRO_STATUS_SUCCESS
               ? UF_OK
               : uf_page_failed(path, cairo_surface_status(*page));
}

static void copy_to_page(const World* w, cairo_surface_t* page, int x, int y) {
    cairo_surface_flush(page);
    const int stride = cairo_image_surface_get_stride(page);
    unsigned char* row = cairo_image_surface_get_data(page) + (size_t)y * (size_t)stride;
    pack_pixels(w, (uint32_t*)(void*)row + x, stride / (int)sizeof(uint32_t));
    cairo_surface_mark_dirty(page);
}

static UfStatus write_level(const NxRenderOptions* o, World* w, NxRender* out) {
    cairo_surface_t* page = NULL;
    UF_TRY(world_create(w, o, o->ids[0], o->tile_size ? o->tile_size : TILE));
    UF_TRY(world_walk(w, o->num_steps));
    out->width = w->width;
    out->height = w->height;
    UfStatus status = page_create(&page, o->output, out);
    if (status == UF_OK) copy_to_page(w, page, 0, 0);
    if (status == UF_OK) status = uf_page_write_png(page, o->output);
    cairo_surface_destroy(page);
    return status;
}

typedef struct Sheet {
    World* worlds;
    int columns, rows, cell_width, cell_height;
} Sheet;

static int fitting_tile(const NxRenderOptions* o, const NxSpec* spec) {
    const int widest = o->first_person              ? DEFAULT_VIEW
                       : spec->width > spec->height ? spec->width
                                                    : spec->height;
    return PANEL / widest < TILE ? PANEL / widest : TILE;
}

static UfStatus make_worlds(const NxRenderOptions* o, Sheet* s) {
    for (int i = 0; i < o->num_ids; i++) {
        World* w = &s->worlds[i];
        const NxSpec* spec;
        UF_TRY(nx_find_spec(&spec, o->ids[i]));
        UF_TRY(world_create(w, o, o->ids[i], o->tile_size ? o->tile_size : fitting_tile(o, spec)));
        UF_TRY(world_walk(w, o->num_steps));
        if (w->width > s->cell_width) s->cell_width = w->width;
        if (w->height > s->cell_height) s->cell_height = w->height;
    }
    s->cell_height += CAPTION;
    s->columns = (int)ceil(sqrt(1.6 * o->num_ids));  // wider than high
    s->rows = (o->num_ids + s->columns - 1) / s->columns;
    return UF_OK;
}

static void draw_panel(cairo_t* c, const char* text, int x, int y, int width) {
    double size = 13;
    cairo_text_extents_t extents;
    cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
    do {  // long names in smaller letters
        uf_page_font(c, size, false);
        cairo_text_extents(c, text, &extents);
        size -= 0.5;
    } while (extents.x_advance > width && size > 6);
    uf_page_text(c, text, x, y + CAPTION - 7, 0);
}

static UfStatus draw_sheet(const NxRenderOptions* o, Sheet* s, NxRender* out) {
    cairo_surface_t* page = NULL;
    out->width = GAP + s->columns * (s->cell_width + GAP);
    out->height = s->rows * (s->cell_height + GAP);
    UfStatus status = page_create(&page, o->output, out);
    if (status == UF_OK) {
        cairo_t* c = cairo_create(page);
        cairo_set_source_rgb(c, 1, 1, 1);
        cairo_paint(c);
        for (int i = 0; i < o->num_ids; i++) {
            const int x = GAP + i % s->columns * (s->cell_width + GAP);
            const int y = i / s->columns * (s->cell_height + GAP);
            draw_panel(c, o->ids[i], x, y, s->cell_width);
            copy_to_page(&s->worlds[i], page, x, y + CAPTION);
        }
        if (cairo_status(c) != CAIRO_STATUS_SUCCESS) status = uf_page_failed(o->output, cairo_status(c));
        cairo_destroy(c);
    }
    if (status == UF_OK) status = uf_page_write_png(page, o->output);
    cairo_surface_destroy(page);
    return status;
}

static UfStatus write_page(const NxRenderOptions* o, NxRender* out) {
    Sheet sheet = {0};
    UF_TRY(UF_ALLOC(&sheet.worlds, o->num_ids, "levels"));
    UfStatus status;
    if (o->num_ids == 1) {
        status = write_level(o, &sheet.worlds[0], out);
    } else {
        status = make_worlds(o, &sheet);
        if (status == UF_OK) status = draw_sheet(o, &sheet, out);
    }
    if (status == UF_OK) describe(&sheet.worlds[0], out);
    out->num_frames = o->num_ids;
    for (int i = 0; i < o->num_ids; i++) world_free(&sheet.worlds[i]);
    uf_free(sheet.worlds);
    return status;
}

#endif

UfStatus nx_render(const NxRenderOptions* options, NxRender* out) {
    const char* ending = strrchr(options->output, '.');
    const bool png = ending && !strcasecmp(ending, ".png"), gif = ending && !strcasecmp(ending, ".gif");
    *out = (NxRender){0};
    if (!png && !gif)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the ending of a picture's name must be .png or .gif",
                       options->output);
    if (png) return write_page(options, out);
    if (options->num_ids != 1)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: an animation is of one gridworld, not of %d; a .png can show all",
                       options->output, options->num_ids);
    World world = {0};
    UfStatus status = write_animation(options, &world, out);
    if (status == UF_OK) describe(&world, out);
    world_free(&world);
    return status;
}
