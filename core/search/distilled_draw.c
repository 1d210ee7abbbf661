// distilled_draw.c: the whole of a distilled dataset on one page: each row as its environment looks in that state, with its
// action, and a table of all numbers.
//
// Numbers are never clamped; drawings are, to where the environment can be, and say so.
//
// Rooms: what is known of environments, layout, poses, grids, table, page. Source: figure 1 of Lupu et al. (ICLR 2024).
#include "core/search/distilled.h"

#include "core/pictures/plot.h"  // uf_picture_check

#ifdef UF_NO_CAIRO

UfStatus uf_distilled_show(const UfDistilled* data, const char* path) {
    (void)data;
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build draws no pictures; install libcairo2-dev and build again", path);
}

#else

#include <cairo.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/envs/draw.h"
#include "core/envs/mujoco.h"
#include "core/pictures/page.h"

// ---- what is known of environments ----

enum { MAX_NAMES = 20, MAX_STATE = UF_ENV_MAX_STATE };

typedef struct Limits {
    double low[UF_ENV_STATE], high[UF_ENV_STATE];
} Limits;

typedef struct Look {
    const UfEnvOps* ops;
    int model;          // of MuJoCo's
    int width, height;  // of a pose
    int steps;          // how far ahead the faint pose is
    const char* features[MAX_NAMES];
    const char* kinds[UF_RULE_MAX_ACTIONS];
    // The state that an observation is of; *radius: how long the vectors were of which only the angle can be shown.
    void (*pose)(const UfEnvSpec* spec, const float* obs, double* state, double* radius);
    Limits reach, drawn;  // where episodes go on; what drawings are clamped to
} Look;

static void pose_state(const UfEnvSpec* spec, const float* obs, double* state, double* radius) {
    for (int i = 0; i < spec->obs_dim; i++) state[i] = (double)obs[i];
    *radius = NAN;
}

static void pose_pendulum(const UfEnvSpec* spec, const float* obs, double* state, double* radius) {
    (void)spec;
    state[0] = atan2((double)obs[1], (double)obs[0]);
    state[1] = (double)obs[2];
    *radius = hypot((double)obs[0], (double)obs[1]);
}

static void pose_grid_world(const UfEnvSpec* spec, const float* obs, double* state, double* radius) {
    const UfResetBounds* cells = spec->details;
    for (int i = 0; i < 2; i++) state[i] = (obs[i] + 1) / 2 * cells->high[i];
    *radius = NAN;
}

static void pose_acrobot(const UfEnvSpec* spec, const float* obs, double* state, double* radius) {
    (void)spec;
    for (int i = 0; i < 2; i++) {
        state[i] = atan2((double)obs[2 * i + 1], (double)obs[2 * i]);
        state[2 + i] = (double)obs[4 + i];
    }
    *radius = NAN;
}

// Positions but those along the floor, then velocities; what they leave out is 0.
static void pose_mujoco(const UfEnvSpec* spec, const float* obs, double* state, double* radius) {
    const int model = ((const UfMujocoKind*)spec->details)->model;
    const int skipped = model == UF_MUJOCO_ANT ? 2 : model == UF_MUJOCO_INVERTEDPENDULUM ? 0 : 1;
    memset(state, 0, MAX_STATE * sizeof *state);
    for (int i = 0; i < spec->obs_dim; i++) state[skipped + i] = (double)obs[i];
    *radius = NAN;
}

#define ANY INFINITY
#define EVERYWHERE                                       \
    {                                                    \
        {-ANY, -ANY, -ANY, -ANY}, { ANY, ANY, ANY, ANY } \
    }
#define CAR_FEATURES \
    { "position", "velocity" }
#define CAR_LIMITS                                         \
    {                                                      \
        {-1.2, -0.07, -ANY, -ANY}, { 0.6, 0.07, ANY, ANY } \
    }
// Of what hops or walks: x, height and lean of the torso. Lower it would be drawn below the floor.
#define TORSO_DRAWN                                     \
    {                                                   \
        {-ANY, 0.5, -ANY, -ANY}, { ANY, 1.8, ANY, ANY } \
    }
#define CAR_DRAWN                                        \
    {                                                    \
        {-1.2, -ANY, -ANY, -ANY}, { 0.6, ANY, ANY, ANY } \
    }

static const Look looks[] = {
    {.ops = &uf_cart_pole_ops,
     .width = 236,
     .height = 116,
     .steps = 10,
     .features = {"position", "velocity", "angle", "angular vel."},
     .kinds = {"left", "right"},
     .pose = pose_state,
     .reach = {{-2.4, -ANY, -12 * UF_PI / 180, -ANY}, {2.4, ANY, 12 * UF_PI / 180, ANY}},
     .drawn = {{-2.4, -ANY, -UF_PI / 2, -ANY}, {2.4, ANY, UF_PI / 2, ANY}}},
    {.ops = &uf_pendulum_ops,
     .width = 150,
     .height = 150,
     .steps = 2,
     .features = {"cos angle", "sin angle", "angular vel."},
     .pose = pose_pendulum,
     .reach = {{-ANY, -8, -ANY, -ANY}, {ANY, 8, ANY, ANY}},
     .drawn = EVERYWHERE},
    {.ops = &uf_mountain_car_ops,
     .width = 190,
     .height = 140,
     .steps = 5,
     .features = CAR_FEATURES,
     .kinds = {"left", "none", "right"},
     .pose = pose_state,
     .reach = CAR_LIMITS,
     .drawn = CAR_DRAWN},
    {.ops = &uf_mountain_car_continuous_ops,
     .width = 190,
     .height = 140,
     .steps = 5,
     .features = CAR_FEATURES,
     .pose = pose_state,
     .reach = CAR_LIMITS,
     .drawn = CAR_DRAWN},
    {.ops = &uf_acrobot_ops,
     .width = 160,
     .height = 160,
     .steps = 1,
     .features = {"cos first", "sin first", "cos second", "sin second", "first vel.", "second vel."},
     .kinds = {"torque -1", "torque 0", "torque 1"},
     .pose = pose_acrobot,
     .reach = {{-ANY, -ANY, -4 * UF_PI, -9 * UF_PI}, {ANY, ANY, 4 * UF_PI, 9 * UF_PI}},
     .drawn = EVERYWHERE},
    {.ops = &uf_maze_ops,
     .width = 160,
     .height = 140,
     .features = {"x", "y", "x velocity", "y velocity"},
     .pose = pose_state,
     .reach = EVERYWHERE,  // and its maze: measure_limits
     .drawn = EVERYWHERE},
    {.ops = &uf_grid_world_ops,
     .width = 140,
     .height = 140,
     .features = {"x", "y"},
     .kinds = {"left", "right", "up", "down"},
     .pose = pose_grid_world,
     .reach = EVERYWHERE,  // and its cells: measure_limits
     .drawn = EVERYWHERE},
#ifndef UF_NO_MUJOCO
    {.ops = &uf_mujoco_ops,
     .model = UF_MUJOCO_HOPPER,
     .width = 170,
     .height = 170,
     .features = {"height", "torso", "thigh", "leg", "foot", "x vel.", "z vel.", "torso vel.", "thigh vel.",
                  "leg vel.", "foot vel."},
     .pose = pose_mujoco,
     .reach = {{-ANY, 0.7, -0.2, -ANY}, {ANY, ANY, 0.2, ANY}},
     .drawn = TORSO_DRAWN},
    {.ops = &uf_mujoco_ops,
     .model = UF_MUJOCO_HALFCHEETAH,
     .width = 200,
     .height = 150,
     .features = {"height", "torso", "b. thigh", "b. shin", "b. foot", "f. thigh", "f. shin", "f. foot",
                  "x vel.", "z vel.", "torso vel.", "b. thigh vel.", "b. shin vel.", "b. foot vel.",
                  "f. thigh vel.", "f. shin vel.", "f. foot vel."},
     .pose = pose_mujoco,
     .reach = EVERYWHERE,
     .drawn = {{-ANY, -0.4, -ANY, -ANY}, {ANY, 1, ANY, ANY}}},
    {.ops = &uf_mujoco_ops,
     .model = UF_MUJOCO_WALKER2D,
     .width = 170,
     .height = 170,
     .features = {"height", "torso", "r. thigh", "r. leg", "r. foot", "l. thigh", "l. leg", "l. foot",
                  "x vel.", "z vel.", "torso vel.", "r. thigh vel.", "r. leg vel.", "r. foot vel.",
                  "l. thigh vel.", "l. leg vel.", "l. foot vel."},
     .pose = pose_mujoco,
     .reach = {{-ANY, 0.8, -1, -ANY}, {ANY, 2, 1, ANY}},
     .drawn = TORSO_DRAWN},
    {.ops = &uf_mujoco_ops,
     .model = UF_MUJOCO_ANT,
     .width = 200,
     .height = 170,
     .pose = pose_mujoco,
     .reach = {{-ANY, -ANY, 0.2, -ANY}, {ANY, ANY, 1, ANY}},
     .drawn = {{-ANY, -ANY, 0.2, -ANY}, {ANY, ANY, 1.2, ANY}}},
    {.ops = &uf_mujoco_ops,
     .model = UF_MUJOCO_INVERTEDPENDULUM,
     .width = 200,
     .height = 150,
     .features = {"position", "angle", "velocity", "angular vel."},
     .pose = pose_mujoco,
     .reach = {{-1, -0.2, -ANY, -ANY}, {1, 0.2, ANY, ANY}},
     .drawn = {{-1, -ANY, -ANY, -ANY}, {1, ANY, ANY, ANY}}},
#endif
};

static const Look* find_look(const UfEnvSpec* spec) {
    for (size_t i = 0; spec && i < sizeof looks / sizeof *looks; i++) {
        const bool physics = spec->ops == &uf_mujoco_ops;
        if (looks[i].ops == spec->ops &&
            (!physics || (int)((const UfMujocoKind*)spec->details)->model == looks[i].model))
            return &looks[i];
    }
    return NULL;
}

const char* uf_draw_feature(const UfEnvSpec* spec, int j) {
    const Look* look = find_look(spec);
    return look && j < MAX_NAMES ? look->features[j] : NULL;
}

const char* uf_draw_kind(const UfEnvSpec* spec, int kind) {
    const Look* look = find_look(spec);
    return look && kind < UF_RULE_MAX_ACTIONS ? look->kinds[kind] : NULL;
}

// ---- layout ----

enum {
    MARGIN = 18,
    TITLE = 66,  // from the top to what is drawn
    GAP = 8,
    CAPTION = 22,       // below a pose
    PAGE_WIDTH = 1280,  // wider than this, what is next to each other goes below
    CELL_WIDTH = 50,    // of the table, with numbers
    THIN_WIDTH = 10,    // without, at least
    CELL_HEIGHT = 20,
    MAX_NUMBERS = 48,    // features with which the table has numbers
    TABLE_HEIGHT = 720,  // of one with more
    POSES_WIDTH = 850,   // of poses with a table beside them
    MAX_BESIDE = 8,      // rows up to which the table is beside the poses
    LEGEND = 34,         // below the table
    LEGEND_WIDTH = 240,
    LINE = 19,  // of a note
    MAX_NOTES = 4,
    IMAGE_SIDE = 8,  // at least, of what is taken for an image
    GRID = 10,       // MinAtar's side
};

typedef struct Sheet {
    const UfDistilled* d;
    const UfEnvSpec* spec;  // NULL: none that is known, or of another shape
    const Look* look;       // NULL: no pose
    int planes;             // of MinAtar's grids.   0: none
    int side;               // of images.   0: none
    UfEnv* env;             // shows the states
    UfCanvas canvas;
    double cell_width, cell_height;  // of a pose or grid, with its caption
    int columns;                     // of these
    Limits reach, drawn;
    double table_x, table_y, label_width, row_height, column_width;
    int band;  // columns of the table that are side by side
    double table_width, band_height;
    double width, height, notes_y;
    double limit;  // the largest state in size: full colour
    char title[256];
    char notes[MAX_NOTES][512];
    int num_notes;
    bool hard;
} Sheet;

static const float* state_of(const Sheet* s, int row) {
    return s->d->states + (size_t)row * (size_t)s->d->obs_dim;
}
static const float* label_of(const Sheet* s, int row) {
    return s->d->labels + (size_t)row * (size_t)s->d->action_dim;
}

// Digits, then letters: what images.h draws, and MNIST's classes.
static const char* kind_name(const Sheet* s, int kind, char text[16]) {
    const bool letter = s->side && kind >= 10 && kind < 36;
    if (s->look && uf_draw_kind(s->spec, kind)) return uf_draw_kind(s->spec, kind);
    if (letter)
        snprintf(text, 16, "%c", 'A' + kind - 10);
    else
        snprintf(text, 16, s->side ? "%d" : "action %d", kind);
    return text;
}

static void feature_name(const Sheet* s, int j, char text[24]) {
    const char* name = s->look ? uf_draw_feature(s->spec, j) : NULL;
    if (name)
        snprintf(text, 24, "%s", name);
    else
        snprintf(text, 24, "obs %d", j);
}

static int table_rows(const Sheet* s) { return s->d->obs_dim + (s->hard ? 1 : s->d->action_dim); }
static bool has_pictures(const Sheet* s) { return s->look || s->planes || s->side; }
static bool has_table(const Sheet* s) { return !s->planes && !s->side; }
static bool has_numbers(const Sheet* s) { return table_rows(s) <= MAX_NUMBERS; }

static void add_note(Sheet* s, const char* text) {
    for (int i = 0; i < s->num_notes; i++)
        if (!strcmp(s->notes[i], text)) return;
    if (s->num_notes < MAX_NOTES) snprintf(s->notes[s->num_notes++], sizeof s->notes[0], "%s", text);
}

static void name_page(Sheet* s) {
    const UfDistilled* d = s->d;
    const char* name = d->env_id[0] ? d->env_id : s->side ? "Images" : "Distilled dataset";
    const char* what = s->side ? "labelled image" : "state-action pair";
    snprintf(s->title, sizeof s->title, "%.200s: %d %s%s", name, d->rows, what, d->rows == 1 ? "" : "s");
}

// Few poses are drawn larger, many smaller.
static void measure_pictures(Sheet* s) {
    const int D = s->d->rows;
    const double scale = D <= 4 ? 1.2 : D <= 16 ? 1 : 0.72;
    s->cell_width = s->look     ? round(scale * s->look->width)
                    : s->planes ? 204
                                : fmax(56, s->side * fmax(1, floor(112.0 / s->side)));
    s->cell_height = (s->look ? round(scale * s->look->height) : s->cell_width) + CAPTION;
    s->columns = (int)fmax(1, floor((PAGE_WIDTH - 2 * MARGIN + GAP) / (s->cell_width + GAP)));
    if (has_table(s) && D <= MAX_BESIDE) {
        const int wanted = D <= 3 ? D : (D + 1) / 2;
        s->columns = wanted * s->cell_width <= POSES_WIDTH ? wanted : 2;
    }
    if (s->columns > D) s->columns = D;
}

static void measure_table(Sheet* s, cairo_t* c) {
    char text[24];
    uf_page_font(c, 12, false);
    for (int j = 0; j < s->d->obs_dim; j++) {
        feature_name(s, j, text);
        s->label_width = fmax(s->label_width, ceil(uf_page_text_width(c, text)) + 12);
    }
    s->label_width = fmax(s->label_width, 70);
    s->row_height = has_numbers(s) ? CELL_HEIGHT : fmax(2, floor((double)TABLE_HEIGHT / table_rows(s)));
    const double room = PAGE_WIDTH - 2 * MARGIN - s->label_width;
    s->column_width =
        has_numbers(s) ? CELL_WIDTH : fmin(CELL_WIDTH, fmax(THIN_WIDTH, floor(room / s->d->rows)));
    const int most = (int)floor(room / s->column_width), bands = (s->d->rows + most - 1) / most;
    s->band = (s->d->rows + bands - 1) / bands;
    s->table_width = s->label_width + fmax(s->band * s->column_width, LEGEND_WIDTH);
    s->band_height = CELL_HEIGHT + table_rows(s) * s->row_height + 6;
}

static void measure(Sheet* s, cairo_t* c) {
    const int D = s->d->rows;
    double right = 0, bottom = TITLE;
    s->table_x = MARGIN;
    s->table_y = TITLE;
    if (has_pictures(s)) {
        measure_pictures(s);
        const int rows = (D + s->columns - 1) / s->columns;
        right = MARGIN + s->columns * (s->cell_width + GAP) - GAP;
        bottom = TITLE + rows * (s->cell_height + GAP) - GAP;
        if (D <= MAX_BESIDE)
            s->table_x = right + 2 * MARGIN;
        else
            s->table_y = bottom + MARGIN;
    }
    if (has_table(s)) {
        measure_table(s, c);
        const int bands = (D + s->band - 1) / s->band;
        right = fmax(right, s->table_x + s->table_width);
        bottom = fmax(bottom, s->table_y + bands * (s->band_height + GAP) - GAP + LEGEND);
    }
    s->notes_y = bottom + GAP;
    uf_page_font(c, 17, true);
    s->width = fmax(fmax(right, 480) + MARGIN, ceil(uf_page_text_width(c, s->title)) + 2 * MARGIN);
    // A renderer that is not there is known of when it was asked.
    s->height = s->notes_y + (s->num_notes + (s->spec && s->spec->ops == &uf_mujoco_ops)) * LINE + GAP;
}

// ---- colours ----

static void set_grey(cairo_t* c, double grey) { cairo_set_source_rgb(c, grey, grey, grey); }

// Whether text on it should be white.
static bool set_diverging(cairo_t* c, double x) {
    double rgb[3];
    uf_page_diverging(rgb, x);
    cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
    return fabs(x) > 0.7;
}

// Pale, as there is text on them.
static void set_kind(cairo_t* c, int kind) {
    static const double colours[][3] = {{0.73, 0.86, 0.95}, {0.99, 0.85, 0.68}, {0.74, 0.90, 0.84},
                                        {0.93, 0.81, 0.88}, {0.97, 0.94, 0.70}, {0.96, 0.78, 0.70},
                                        {0.85, 0.85, 0.85}, {0.80, 0.82, 0.95}};
    const double* rgb = colours[kind % (int)(sizeof colours / sizeof *colours)];
    cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
}

// ---- poses ----

static bool is_within(const Limits* limits, int count, const double* state) {
    bool within = true;
    for (int i = 0; i < count && i < UF_ENV_STATE; i++)
        within = within && state[i] >= limits->low[i] && state[i] <= limits->high[i];
    return within;
}

static void clamp(const Limits* limits, int count, double* state) {
    for (int i = 0; i < count && i < UF_ENV_STATE; i++)
        state[i] = fmin(fmax(state[i], limits->low[i]), limits->high[i]);
}

static UfStatus draw_state(Sheet* s, const double* state, const float* action) {
    double shown[MAX_STATE];
    memcpy(shown, state, sizeof shown);
    clamp(&s->drawn, s->spec->state_dim, shown);
    uf_env_set_state(s->env, shown, NULL);
    s->canvas.action = action;
    cairo_save(s->canvas.cairo);
    UfStatus status = s->spec->ops->draw(&s->canvas, s->env);
    cairo_restore(s->canvas.cairo);
    return status;
}

// Where the action leads in a moment, faintly: velocities show.
static UfStatus draw_ahead(Sheet* s, const double* state, const float* action) {
    double ahead[MAX_STATE] = {0}, reward;
    float obs[UF_RULE_MAX_OBS];
    bool terminated, truncated;
    uf_env_set_state(s->env, state, NULL);
    for (int i = 0; i < s->look->steps; i++)
        uf_env_step(s->env, action, obs, &reward, &terminated, &truncated);
    uf_env_get_state(s->env, ahead);
    for (int i = 0; i < s->spec->state_dim; i++)
        if (!isfinite(ahead[i])) return UF_OK;
    UF_TRY(draw_state(s, ahead, NULL));
    cairo_set_source_rgba(s->canvas.cairo, 1, 1, 1, 0.75);  // a veil: of groups cairo's SVG leaks memory
    cairo_paint(s->canvas.cairo);
    return UF_OK;
}

// The state that a row is of; whether episodes go on there.
static bool find_state(const Sheet* s, int row, double state[MAX_STATE], double* radius) {
    float obs[MAX_STATE];
    memset(state, 0, MAX_STATE * sizeof *state);
    for (int j = 0; j < s->d->obs_dim; j++) obs[j] = uf_distilled_observation(s->d, row, j);
    s->look->pose(s->spec, obs, state, radius);
    return is_within(&s->reach, s->spec->state_dim, state);
}

static UfStatus draw_pose(Sheet* s, int row, bool* beyond, double* radius) {
    double state[MAX_STATE];
    float action[MAX_STATE];
    *beyond = !find_state(s, row, state, radius);
    uf_env_scale_action(s->spec, label_of(s, row), action);
    if (s->look->steps) UF_TRY(draw_ahead(s, state, action));
    UF_TRY(draw_state(s, state, action));
    return UF_OK;
}

// ---- grids ----

// From the least number, black, to the largest, white.
static void draw_image(cairo_t* c, const Sheet* s, int row) {
    const float* pixels = state_of(s, row);
    const double cell = s->cell_width / s->side;
    float least = pixels[0], most = pixels[0];
    for (int i = 1; i < s->d->obs_dim; i++) {
        least = fminf(least, pixels[i]);
        most = fmaxf(most, pixels[i]);
    }
    cairo_save(c);
    cairo_set_antialias(c, CAIRO_ANTIALIAS_NONE);  // no seams between cells
    for (int i = 0; i < s->d->obs_dim; i++) {
        set_grey(c, most > least ? (double)(pixels[i] - least) / (double)(most - least) : 0.5);
        cairo_rectangle(c, i % s->side * cell, i / s->side * cell, cell, cell);
        cairo_fill(c);
    }
    cairo_restore(c);
}

// ---- a picture of each row ----

// Several numbers as bars from a middle line; 1 is half the caption.
static void draw_bars(cairo_t* c, const Sheet* s, int row) {
    const int count = s->d->action_dim;
    const double step = fmin(10, (s->cell_width - 110) / count), x = s->cell_width - 6 - count * step,
                 middle = s->cell_height - CAPTION / 2.0;
    for (int j = 0; j < count; j++) {
        const double label = (double)label_of(s, row)[j],
                     length = fmax(-1, fmin(1, label)) * (CAPTION / 2.0 - 1);
        set_diverging(c, label > 0 ? 1 : -1);
        cairo_rectangle(c, x + j * step + 1, middle, step - 2, -length);
        cairo_fill(c);
    }
    set_grey(c, 0.3);
    cairo_rectangle(c, x, middle - 0.5, count * step, 1);
    cairo_fill(c);
}

static void draw_caption(cairo_t* c, const Sheet* s, int row, bool beyond, double radius) {
    const double y = s->cell_height - 6;
    char text[64], name[16];
    set_grey(c, 0.45);
    snprintf(text, sizeof text, "%d", row);
    uf_page_text_within(c, text, 6, y, 0, 12, 40);
    set_grey(c, 0.1);
    text[0] = 0;
    if (s->d->discrete)
        snprintf(text, sizeof text, "%s", kind_name(s, uf_distilled_kind(s->d, row), name));
    else if (s->d->action_dim == 1)
        snprintf(text, sizeof text, "%.3g", (double)label_of(s, row)[0]);
    else
        draw_bars(c, s, row);
    if (isfinite(radius)) snprintf(text + strlen(text), sizeof text - strlen(text), ", radius %.2g", radius);
    uf_page_text_within(c, text, s->cell_width - 6, y, 1, 12, s->cell_width - (beyond ? 112 : 34));
    if (!beyond) return;
    cairo_set_source_rgb(c, 0.78, 0.33, 0);
    uf_page_text_within(c, "beyond reach", 26, y, 0, 11, 76);
}

static UfStatus draw_picture(Sheet* s, cairo_t* c, int row) {
    const double x = MARGIN + row % s->columns * (s->cell_width + GAP),
                 y = TITLE + row / s->columns * (s->cell_height + GAP), height = s->cell_height - CAPTION;
    bool beyond = false;
    double radius = NAN;
    UfStatus status = UF_OK;
    cairo_save(c);
    cairo_translate(c, x, y);
    set_grey(c, 0.93);
    cairo_rectangle(c, 0, height, s->cell_width, CAPTION);
    cairo_fill(c);
    cairo_save(c);
    cairo_rectangle(c, 0, 0, s->cell_width, height);
    cairo_clip(c);
    if (s->look)
        status = draw_pose(s, row, &beyond, &radius);
    else if (s->planes)
        status = uf_draw_minatar_obs(&s->canvas, s->planes, state_of(s, row));
    else
        draw_image(c, s, row);
    cairo_restore(c);
    draw_caption(c, s, row, beyond, radius);
    set_grey(c, 0.75);
    cairo_set_line_width(c, 1);
    cairo_rectangle(c, -0.5, -0.5, s->cell_width + 1, s->cell_height + 1);
    cairo_stroke(c);
    cairo_restore(c);
    return status;
}

// ---- table ----

static void draw_cell(cairo_t* c, const Sheet* s, double x, double y, double colour, double number) {
    char text[32];
    const bool light = set_diverging(c, colour);
    cairo_rectangle(c, x, y, s->column_width, s->row_height);
    cairo_fill(c);
    if (!has_numbers(s)) return;
    set_grey(c, light ? 1 : 0.1);
    snprintf(text, sizeof text, "%.3g", number);
    uf_page_text_within(c, text, x + CELL_WIDTH / 2.0, y + s->row_height - 6, 0.5, 11, CELL_WIDTH - 6);
}

static void draw_kind(cairo_t* c, const Sheet* s, double x, double y, int kind) {
    char name[16];
    set_kind(c, kind);
    cairo_rectangle(c, x, y, s->column_width, s->row_height);
    cairo_fill(c);
    if (!has_numbers(s)) return;
    set_grey(c, 0.1);
    uf_page_text_within(c, kind_name(s, kind, name), x + CELL_WIDTH / 2.0, y + s->row_height - 6, 0.5, 11,
                        CELL_WIDTH - 4);
}

static void draw_labels(cairo_t* c, const Sheet* s, double y) {
    const int every = (int)ceil(14 / s->row_height);
    const double right = s->table_x + s->label_width - 6;
    char text[24];
    for (int j = 0; j < table_rows(s); j++) {
        const int action = j - s->d->obs_dim;
        if (action < 0 ? j % every || action > -every : action % every) continue;
        set_grey(c, action < 0 ? 0.3 : 0.1);
        if (action < 0)
            feature_name(s, j, text);
        else if (s->hard || s->d->action_dim == 1)
            snprintf(text, sizeof text, "action");
        else
            snprintf(text, sizeof text, s->d->discrete ? "kind %d" : "action %d", action);
        uf_page_text_within(c, text, right, y + j * s->row_height + fmax(s->row_height - 6, 10), 1, 12,
                            s->label_width - 6);
    }
}

static void draw_band(cairo_t* c, const Sheet* s, int first, int count, double y) {
    const int S = s->d->obs_dim, A = s->d->action_dim;
    const double left = s->table_x + s->label_width, top = y + CELL_HEIGHT,
                 right = left + count * s->column_width;
    const int every = (int)ceil(26 / s->column_width);
    char text[16];
    draw_labels(c, s, top);
    for (int k = 0; k < count; k++) {
        const int row = first + k;
        const double x = left + k * s->column_width;
        set_grey(c, 0.45);
        snprintf(text, sizeof text, "%d", row);
        if (k % every == 0) uf_page_text_within(c, text, x + s->column_width / 2, top - 6, 0.5, 12, 40);
        for (int j = 0; j < S; j++)
            draw_cell(c, s, x, top + j * s->row_height, (double)state_of(s, row)[j] / s->limit,
                      (double)uf_distilled_observation(s->d, row, j));
        if (s->hard) draw_kind(c, s, x, top + S * s->row_height, uf_distilled_kind(s->d, row));
        for (int j = 0; j < A && !s->hard; j++)
            draw_cell(c, s, x, top + (S + j) * s->row_height, (double)label_of(s, row)[j],
                      (double)label_of(s, row)[j]);
    }
    // Thin lines between rows of data, a stronger one above actions.
    set_grey(c, 0.88);
    cairo_set_line_width(c, 1);
    for (int k = 0; k <= count; k++) {
        cairo_move_to(c, left + k * s->column_width + 0.5, top);
        cairo_line_to(c, left + k * s->column_width + 0.5, top + table_rows(s) * s->row_height);
    }
    cairo_stroke(c);
    set_grey(c, 0.3);
    cairo_move_to(c, left, top + S * s->row_height + 0.5);
    cairo_line_to(c, right, top + S * s->row_height + 0.5);
    cairo_stroke(c);
}

static void draw_legend(cairo_t* c, const Sheet* s, double y) {
    const double x = s->table_x + s->label_width, length = 80;
    char text[64];
    for (int i = 0; i < 80; i++) {
        set_diverging(c, (i + 0.5) / 40 - 1);
        cairo_rectangle(c, x + i * length / 80, y, length / 80 + 0.5, 10);
        cairo_fill(c);
    }
    set_grey(c, 0.4);
    snprintf(text, sizeof text, "%+.3g", -s->limit);
    uf_page_text_within(c, text, x - 5, y + 9, 1, 11, s->label_width);
    snprintf(text, sizeof text, "%+.3g: what networks see", s->limit);
    uf_page_font(c, 11, false);
    uf_page_text(c, text, x + length + 5, y + 9, 0);
}

static void draw_table(cairo_t* c, const Sheet* s) {
    double y = s->table_y;
    for (int first = 0; first < s->d->rows; first += s->band) {
        draw_band(c, s, first, s->d->rows - first < s->band ? s->d->rows - first : s->band, y);
        y += s->band_height + GAP;
    }
    draw_legend(c, s, y - GAP + 6);
}

// ---- page ----

static void draw_title(cairo_t* c, const Sheet* s) {
    const UfDistilled* d = s->d;
    char text[512], more[64] = "";
    set_grey(c, 0.1);
    uf_page_font(c, 17, true);
    uf_page_text(c, s->title, MARGIN, 29, 0);
    if (!isnan(d->fitness))
        snprintf(more, sizeof more, "fitness %.6g in generation %lld, ", d->fitness,
                 (long long)d->generation);
    snprintf(text, sizeof text, "%sseed %llu%s%.200s", more, (unsigned long long)d->seed,
             d->recipe[0] ? "; " : "", d->recipe);
    set_grey(c, 0.35);
    uf_page_text_within(c, text, MARGIN, 50, 0, 13, s->width - 2 * MARGIN);
}

static UfStatus draw_page(cairo_t* c, void* user) {
    Sheet* s = user;
    s->canvas.cairo = c;
    draw_title(c, s);
    for (int i = 0; i < s->d->rows && has_pictures(s); i++) UF_TRY(draw_picture(s, c, i));
    if (has_table(s)) draw_table(c, s);
    if (s->canvas.note[0]) add_note(s, s->canvas.note);  // there is room, see measure
    set_grey(c, 0.4);
    for (int i = 0; i < s->num_notes; i++)
        uf_page_text_within(c, s->notes[i], MARGIN, s->notes_y + LINE * (i + 1) - 4, 0, 12,
                            s->width - 2 * MARGIN);
    return UF_OK;
}

// What there is to draw, beside the table.
static void choose(Sheet* s) {
    const UfDistilled* d = s->d;
    const int side = (int)lround(sqrt(d->obs_dim));
    const UfEnvSpec* spec = d->env_id[0] && !d->num_tasks ? uf_env_find(d->env_id) : NULL;
    if (spec && spec->obs_dim == d->obs_dim && spec->action_dim == d->action_dim &&
        spec->discrete == d->discrete)
        s->spec = spec;
    if (!d->env_id[0] && side >= IMAGE_SIDE && side * side == d->obs_dim) s->side = side;
    if (!s->spec) return;
    if (s->spec->ops->draw == uf_draw_minatar) s->planes = d->obs_dim / (GRID * GRID);
    if (uf_env_available(s->spec) == UF_OK)
        s->look = find_look(s->spec);
    else
        add_note(s, uf_error());
}

// A maze ends at its outer walls.
static void measure_limits(Sheet* s) {
    s->reach = s->look->reach;
    s->drawn = s->look->drawn;
    if (s->look->ops == &uf_grid_world_ops) {
        const UfResetBounds* cells = s->spec->details;
        for (int i = 0; i < 2; i++) {
            s->reach.low[i] = s->drawn.low[i] = cells->low[i];
            s->reach.high[i] = s->drawn.high[i] = cells->high[i];
        }
    }
    if (s->look->ops != &uf_maze_ops) return;
    const UfMazeGrid grid = uf_maze_grid(s->spec->details);
    const int sides[] = {grid.num_rows, grid.num_columns};
    for (int i = 0; i < 2; i++) {
        s->reach.low[i] = s->drawn.low[i] = 0;
        s->reach.high[i] = s->drawn.high[i] = sides[i] - 1;
    }
}

static UfStatus show(Sheet* s, const char* path) {
    double state[MAX_STATE], radius;
    char text[128];
    choose(s);
    s->hard = uf_distilled_is_hard(s->d);
    name_page(s);
    for (int64_t i = 0; i < (int64_t)s->d->rows * s->d->obs_dim; i++)
        s->limit = fmax(s->limit, fabs((double)s->d->states[i]));
    if (!(s->limit > 0)) s->limit = 1;
    if (s->look) {
        UF_TRY(uf_env_create(&s->env, s->spec->name));
        measure_limits(s);
    }
    if (s->look && s->look->steps) {
        snprintf(text, sizeof text, "faint: %d %s (%.2g s) later under that action", s->look->steps,
                 s->look->steps == 1 ? "step" : "steps", s->look->steps * s->spec->step_seconds);
        add_note(s, text);
    }
    if (s->planes)
        add_note(s, "a colour a plane; filled: above 0, hollow: below; the larger, the further from it");
    bool beyond = false;
    for (int i = 0; i < s->d->rows && s->look; i++) beyond = beyond || !find_state(s, i, state, &radius);
    if (beyond)
        add_note(s,
                 "beyond reach: no episode goes on in such a state; its numbers are as they were found, its "
                 "drawing is where "
                 "it can be drawn");
    cairo_surface_t* none = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t* c = cairo_create(none);
    measure(s, c);
    cairo_destroy(c);
    cairo_surface_destroy(none);
    s->canvas.width = (int)s->cell_width;
    s->canvas.height = (int)s->cell_height - CAPTION;
    return uf_page_write(path, s->width, s->height, draw_page, s);
}

UfStatus uf_distilled_show(const UfDistilled* data, const char* path) {
    Sheet sheet = {.d = data};
    UF_TRY(uf_picture_check(path));
    UfStatus status = show(&sheet, path);
    if (sheet.canvas.free_view) sheet.canvas.free_view(sheet.canvas.view);
    uf_env_free(sheet.env);
    return status;
}

#endif
