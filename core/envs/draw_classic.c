// draw_classic.c: pictures of classic control, of the maze and of a square of cells, after gymnasium's colours and proportions.
//
// Each function sets up its world (metres, y upwards) and draws it in a dozen lines.
#include "core/envs/draw.h"

#ifndef UF_NO_CAIRO

#include <cairo.h>
#include <math.h>

#define PI 3.14159265358979323846

// ---- what they share ----

// From here on the unit is one of the world's, y points up, and the box fills the canvas as well as it can.
static void set_world(const UfCanvas* canvas, double left, double bottom, double right, double top) {
    double scale = fmin(canvas->width / (right - left), canvas->height / (top - bottom));
    cairo_translate(canvas->cairo, canvas->width / 2.0, canvas->height / 2.0);
    cairo_scale(canvas->cairo, scale, -scale);
    cairo_translate(canvas->cairo, -(left + right) / 2, -(bottom + top) / 2);
    cairo_set_line_cap(canvas->cairo, CAIRO_LINE_CAP_ROUND);
}

static void set_colour(cairo_t* c, int red, int green, int blue) {
    cairo_set_source_rgb(c, red / 255.0, green / 255.0, blue / 255.0);
}

static void line(cairo_t* c, double x0, double y0, double x1, double y1, double width) {
    cairo_set_line_width(c, width);
    cairo_move_to(c, x0, y0);
    cairo_line_to(c, x1, y1);
    cairo_stroke(c);
}

static void disc(cairo_t* c, double x, double y, double radius) {
    cairo_arc(c, x, y, radius, 0, 2 * PI);
    cairo_fill(c);
}

static void box(cairo_t* c, double x, double y, double width, double height) {
    cairo_rectangle(c, x, y, width, height);
    cairo_fill(c);
}

// ---- pendulum ----

// The torque as an arc around the axle, a quarter turn for each unit, with a head where it pushes to.
static void draw_torque(cairo_t* c, double torque) {
    const double radius = 0.42, head = 0.13;
    double turn = torque * PI / 2, side = torque > 0 ? 1 : -1;
    if (fabs(torque) < 0.02) return;
    set_colour(c, 60, 60, 60);
    cairo_set_line_width(c, 0.05);
    if (torque > 0)
        cairo_arc(c, 0, 0, radius, PI / 2, PI / 2 + turn);
    else
        cairo_arc_negative(c, 0, 0, radius, PI / 2, PI / 2 + turn);
    cairo_stroke(c);
    cairo_save(c);
    cairo_rotate(c, PI / 2 + turn);
    cairo_move_to(c, radius - head, 0);
    cairo_line_to(c, radius + head, 0);
    cairo_line_to(c, radius, side * 1.5 * head);
    cairo_close_path(c);
    cairo_fill(c);
    cairo_restore(c);
}

UfStatus uf_draw_pendulum(UfCanvas* canvas, const UfEnv* env) {
    cairo_t* c = canvas->cairo;
    double angle = env->state[0] + PI / 2;  // the state counts from upright
    set_world(canvas, -1.25, -1.25, 1.25, 1.25);
    set_colour(c, 204, 77, 77);
    line(c, 0, 0, cos(angle), sin(angle), 0.2);
    set_colour(c, 0, 0, 0);
    disc(c, 0, 0, 0.05);
    if (canvas->action) draw_torque(c, fmax(-2, fmin(2, (double)canvas->action[0])));
    return UF_OK;
}

// ---- cart pole ----

UfStatus uf_draw_cart_pole(UfCanvas* canvas, const UfEnv* env) {
    cairo_t* c = canvas->cairo;
    double x = env->state[0], angle = env->state[2];
    set_world(canvas, -2.6, -0.7, 2.6, 1.7);
    set_colour(c, 150, 150, 150);
    line(c, -2.4, 0, 2.4, 0, 0.02);
    for (int side = -1; side <= 1; side += 2)
        line(c, side * 2.4, -0.12, side * 2.4, 0.12, 0.03);  // the limits
    set_colour(c, 40, 40, 40);
    box(c, x - 0.25, -0.15, 0.5, 0.3);
    set_colour(c, 202, 152, 101);
    line(c, x, 0.1, x + sin(angle), 0.1 + cos(angle), 0.1);
    set_colour(c, 129, 132, 203);
    disc(c, x, 0.1, 0.05);
    if (!canvas->action) return UF_OK;
    set_colour(c, 204, 77, 77);  // the push
    double side = canvas->action[0] > 0.5f ? 1 : -1, from = x + side * 0.3;
    line(c, from, 0, from + side * 0.15, 0, 0.04);
    cairo_move_to(c, from + side * 0.15, 0.09);
    cairo_line_to(c, from + side * 0.15, -0.09);
    cairo_line_to(c, from + side * 0.3, 0);
    cairo_close_path(c);
    cairo_fill(c);
    return UF_OK;
}

// ---- mountain cars ----

static double hill(double x) { return 0.45 * sin(3 * x) + 0.55; }

// push: from -1 to 1, an arrow above the car.
static UfStatus draw_mountain_car(UfCanvas* canvas, const UfEnv* env, double goal, double push) {
    cairo_t* c = canvas->cairo;
    double x = env->state[0], slope = atan(3 * 0.45 * cos(3 * x));
    set_world(canvas, -1.2, -0.05, 0.6, 1.25);
    cairo_move_to(c, -1.2, -5);
    for (int i = 0; i <= 200; i++) cairo_line_to(c, -1.2 + 1.8 * i / 200, hill(-1.2 + 1.8 * i / 200));
    cairo_line_to(c, 0.6, -5);
    cairo_close_path(c);
    set_colour(c, 222, 232, 214);
    cairo_fill_preserve(c);
    set_colour(c, 90, 110, 80);
    cairo_set_line_width(c, 0.01);
    cairo_stroke(c);
    set_colour(c, 40, 40, 40);
    line(c, goal, hill(goal), goal, hill(goal) + 0.2, 0.008);
    cairo_move_to(c, goal, hill(goal) + 0.2);
    cairo_line_to(c, goal + 0.08, hill(goal) + 0.165);
    cairo_line_to(c, goal, hill(goal) + 0.13);
    cairo_close_path(c);
    set_colour(c, 204, 77, 77);
    cairo_fill(c);

    cairo_translate(c, x, hill(x));
    cairo_rotate(c, slope);
    set_colour(c, 40, 40, 40);
    box(c, -0.06, 0.025, 0.12, 0.055);
    set_colour(c, 128, 128, 128);
    disc(c, -0.035, 0.024, 0.024);
    disc(c, 0.035, 0.024, 0.024);
    if (fabs(push) < 0.02) return UF_OK;
    double side = push > 0 ? 1 : -1, end = 0.15 * push;
    set_colour(c, 204, 77, 77);
    line(c, 0, 0.13, end, 0.13, 0.016);
    cairo_move_to(c, end, 0.165);
    cairo_line_to(c, end, 0.095);
    cairo_line_to(c, end + side * 0.06, 0.13);
    cairo_close_path(c);
    cairo_fill(c);
    return UF_OK;
}

UfStatus uf_draw_mountain_car(UfCanvas* canvas, const UfEnv* env) {
    return draw_mountain_car(canvas, env, 0.5, canvas->action ? (double)canvas->action[0] - 1 : 0);
}

UfStatus uf_draw_mountain_car_continuous(UfCanvas* canvas, const UfEnv* env) {
    double push = canvas->action ? fmax(-1, fmin(1, (double)canvas->action[0])) : 0;
    return draw_mountain_car(canvas, env, 0.45, push);
}

// ---- acrobot ----

UfStatus uf_draw_acrobot(UfCanvas* canvas, const UfEnv* env) {
    cairo_t* c = canvas->cairo;
    double first = env->state[0], second = first + env->state[1];  // from hanging down
    double x[3] = {0, sin(first), sin(first) + sin(second)},
           y[3] = {0, -cos(first), -cos(first) - cos(second)};
    set_world(canvas, -2.2, -2.2, 2.2, 2.2);
    set_colour(c, 150, 150, 150);
    line(c, -2.2, 1, 2.2, 1, 0.02);  // where the tip must reach
    for (int i = 0; i < 2; i++) {
        set_colour(c, 0, 160, 170);
        line(c, x[i], y[i], x[i + 1], y[i + 1], 0.2);
    }
    for (int i = 0; i < 2; i++) {
        set_colour(c, 204, 180, 0);
        disc(c, x[i], y[i], 0.1);
    }
    cairo_translate(c, x[1], y[1]);  // where the torque is
    if (canvas->action) draw_torque(c, (double)canvas->action[0] - 1);
    return UF_OK;
}

// ---- maze ----

// Rows downwards, columns to the right. The disc is drawn at twice its size, to be seen in the large maze.
UfStatus uf_draw_maze(UfCanvas* canvas, const UfEnv* env) {
    cairo_t* c = canvas->cairo;
    const char* rows = ((const UfMaze*)env->spec->details)->rows;
    int num_rows = 1, num_columns = 0;
    for (const char* cell = rows; *cell; cell++) num_rows += *cell == '\n';
    while (rows[num_columns] && rows[num_columns] != '\n') num_columns++;
    set_world(canvas, -0.7, 0.3 - num_rows, num_columns - 0.3, 0.7);
    cairo_set_antialias(c, CAIRO_ANTIALIAS_NONE);  // no seams between cells
    for (int row = 0; row < num_rows; row++)
        for (int column = 0; column < num_columns; column++) {
            char cell = rows[row * (num_columns + 1) + column];
            if (cell == '#') set_colour(c, 70, 80, 95);
            if (cell == 'O') set_colour(c, 240, 240, 236);
            if (cell == 'G') set_colour(c, 205, 232, 205);
            box(c, column - 0.5, -row - 0.5, 1, 1);
        }
    cairo_set_antialias(c, CAIRO_ANTIALIAS_DEFAULT);
    double x = env->state[1], y = -env->state[0];
    set_colour(c, 130, 130, 130);
    line(c, x, y, x + 0.25 * env->state[3], y - 0.25 * env->state[2], 0.06);  // a quarter of a second ahead
    set_colour(c, 204, 77, 77);
    disc(c, x, y, 0.2);
    return UF_OK;
}

// ---- a square of cells ----

UfStatus uf_draw_grid_world(UfCanvas* canvas, const UfEnv* env) {
    static const double ways[UF_GRID_WORLD_ACTIONS][2] = {{-1, 0}, {1, 0}, {0, 1}, {0, -1}};
    cairo_t* c = canvas->cairo;
    const UfResetBounds* cells = env->spec->details;
    const double right = cells->high[0] + 0.5, top = cells->high[1] + 0.5, x = env->state[0],
                 y = env->state[1];
    set_world(canvas, -0.7, -0.7, right + 0.2, top + 0.2);
    set_colour(c, 240, 240, 236);
    box(c, -0.5, -0.5, right + 0.5, top + 0.5);
    set_colour(c, 150, 200, 150);
    box(c, right - 1, top - 1, 1, 1);
    set_colour(c, 200, 200, 200);
    for (double at = 0.5; at < right; at++) line(c, at, -0.5, at, top, 0.02);
    for (double at = 0.5; at < top; at++) line(c, -0.5, at, right, at, 0.02);
    set_colour(c, 70, 80, 95);
    cairo_rectangle(c, -0.5, -0.5, right + 0.5, top + 0.5);
    cairo_set_line_width(c, 0.1);
    cairo_stroke(c);
    set_colour(c, 204, 77, 77);
    disc(c, x, y, 0.3);
    if (!canvas->action) return UF_OK;
    const double* way = ways[uf_discrete_action(canvas->action, UF_GRID_WORLD_ACTIONS)];
    set_colour(c, 255, 255, 255);  // the way it went, or was about to
    cairo_move_to(c, x + 0.22 * way[0], y + 0.22 * way[1]);
    cairo_line_to(c, x - 0.12 * way[0] - 0.16 * way[1], y - 0.12 * way[1] + 0.16 * way[0]);
    cairo_line_to(c, x - 0.12 * way[0] + 0.16 * way[1], y - 0.12 * way[1] - 0.16 * way[0]);
    cairo_close_path(c);
    cairo_fill(c);
    return UF_OK;
}

#endif
