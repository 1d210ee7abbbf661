// maze.c: a point mass that is pushed through a maze, after D4RL's maze2d: its layouts, goals, rewards, step
// limits, mass, motor and damping. The physics are our own (D4RL's are MuJoCo's), so D4RL's reference scores
// do not apply.
//
// The mass is a disc of radius 0.1 in a grid of unit cells; cell (i, j) covers [i - 0.5, i + 0.5] x [j - 0.5,
// j + 0.5]. Walls are hard and smooth: a step that would enter one ends on its surface and loses the speed
// into it. Source: d4rl/pointmaze/maze_model.py.
#include <math.h>
#include <string.h>

#include "draw.h"
#include "envs.h"

#define MAX_SIDE 16
#define RADIUS 0.1
#define SUB_STEPS 4                                                   // at 5 cells a second: 1/8 radius each
#define MASS (4.18879020478639098 * RADIUS * RADIUS * RADIUS * 1000)  // MuJoCo's ball of density 1000
#define MOTOR 100.0                                                   // force of action 1
#define DAMPING 1.0
#define MAX_SPEED 5.0

typedef struct MazeEnv {
    UfEnv env;
    int num_rows, num_columns;
    bool wall[MAX_SIDE][MAX_SIDE];
    int distance[MAX_SIDE][MAX_SIDE];  // steps from cell to cell to the goal
    int goal[2];
} MazeEnv;

// ---- grid ----

static bool is_wall(const MazeEnv* maze, int row, int column) {
    return row < 0 || column < 0 || row >= maze->num_rows || column >= maze->num_columns ||
           maze->wall[row][column];
}

// NaN counts as -1: a wall.
static int cell_of(double x) { return (int)fmin(fmax(floor(x + 0.5), -1), MAX_SIDE); }

static const int neighbours[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};

// Breadth first from the goal; cells that cannot reach it keep MAX_SIDE * MAX_SIDE.
static void fill_distances(MazeEnv* maze) {
    int queue[MAX_SIDE * MAX_SIDE][2], head = 0, tail = 0;
    for (int i = 0; i < MAX_SIDE; i++)
        for (int j = 0; j < MAX_SIDE; j++) maze->distance[i][j] = MAX_SIDE * MAX_SIDE;
    maze->distance[maze->goal[0]][maze->goal[1]] = 0;
    memcpy(queue[tail++], maze->goal, sizeof maze->goal);
    while (head < tail) {
        int row = queue[head][0], column = queue[head][1], next = maze->distance[row][column] + 1;
        head++;
        for (int k = 0; k < 4; k++) {
            int r = row + neighbours[k][0], c = column + neighbours[k][1];
            if (is_wall(maze, r, c) || maze->distance[r][c] <= next) continue;
            maze->distance[r][c] = next;
            queue[tail][0] = r;
            queue[tail++][1] = c;
        }
    }
}

static UfStatus maze_create(UfEnv** out, const UfEnvSpec* spec) {
    const UfMaze* layout = spec->details;
    MazeEnv* maze;
    UF_TRY(UF_ALLOC(&maze, 1, "a maze"));
    int row = 0, column = 0;
    for (const char* c = layout->rows; *c; c++) {
        if (*c == '\n') {
            row++;
            column = 0;
            continue;
        }
        maze->wall[row][column] = *c == '#';
        if (*c == 'G') maze->goal[0] = row, maze->goal[1] = column;
        maze->num_columns = ++column;
        maze->num_rows = row + 1;
    }
    fill_distances(maze);
    *out = &maze->env;
    return UF_OK;
}

// ---- physics ----

// As D4RL: the middle of any free cell (the goal's too) +- 0.1, speed 0.1 * normal.
static void maze_reset(UfEnv* env, UfRandom* random) {
    MazeEnv* maze = (MazeEnv*)env;
    int free_cells[MAX_SIDE * MAX_SIDE][2], count = 0;
    for (int i = 0; i < maze->num_rows; i++)
        for (int j = 0; j < maze->num_columns; j++)
            if (!maze->wall[i][j]) free_cells[count][0] = i, free_cells[count++][1] = j;
    const int* cell = free_cells[(int)uf_random_uniform(random, 0, count)];
    for (int i = 0; i < 2; i++) env->state[i] = cell[i] + uf_random_uniform(random, -0.1, 0.1);
    for (int i = 0; i < 2; i++) env->state[2 + i] = 0.1 * uf_random_normal(random);
}

// Puts the disc back where it touches the walls around its cell, and takes the speed into them.
static void collide(const MazeEnv* maze, double* position, double* velocity) {
    const double room = 0.5 - RADIUS;
    int cell[2] = {cell_of(position[0]), cell_of(position[1])};
    if (is_wall(maze, cell[0], cell[1])) return;  // only a state set by hand is inside a wall; it may leave
    for (int k = 0; k < 4; k++) {                 // faces
        int axis = k / 2, side = neighbours[k][axis];
        if (!is_wall(maze, cell[0] + neighbours[k][0], cell[1] + neighbours[k][1])) continue;
        if (side * (position[axis] - cell[axis]) <= room) continue;
        position[axis] = cell[axis] + side * room;
        if (side * velocity[axis] > 0) velocity[axis] = 0;
    }
    // Corners: where a face beside it is a wall too, the disc is already a room's distance away.
    for (int k = 0; k < 4; k++) {
        int sides[2] = {k & 1 ? 1 : -1, k & 2 ? 1 : -1};
        if (!is_wall(maze, cell[0] + sides[0], cell[1] + sides[1])) continue;
        double dx = position[0] - (cell[0] + 0.5 * sides[0]), dy = position[1] - (cell[1] + 0.5 * sides[1]);
        double distance = sqrt(dx * dx + dy * dy);
        if (distance >= RADIUS || distance == 0) continue;
        dx /= distance;
        dy /= distance;
        position[0] += (RADIUS - distance) * dx;
        position[1] += (RADIUS - distance) * dy;
        double into = fmin(velocity[0] * dx + velocity[1] * dy, 0);
        velocity[0] -= into * dx;
        velocity[1] -= into * dy;
    }
}

static void maze_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    const MazeEnv* maze = (const MazeEnv*)env;
    const double dt = env->spec->step_seconds / SUB_STEPS;
    double *position = env->state, *velocity = env->state + 2;
    for (int i = 0; i < 2; i++) velocity[i] = fmin(fmax(velocity[i], -MAX_SPEED), MAX_SPEED);
    for (int k = 0; k < SUB_STEPS; k++) {
        for (int i = 0; i < 2; i++) {  // semi-implicit Euler
            double force = isnan(action[i]) ? 0 : fmin(fmax(action[i], -1), 1) * MOTOR;
            velocity[i] += dt * (force - DAMPING * velocity[i]) / MASS;
            position[i] += dt * velocity[i];
        }
        collide(maze, position, velocity);
    }
    double distance = hypot(position[0] - maze->goal[0], position[1] - maze->goal[1]);
    *reward = ((const UfMaze*)env->spec->details)->dense ? exp(-distance) : distance <= 0.5;
    *terminated = false;
}

static void maze_observe(const UfEnv* env, float* obs) {
    for (int i = 0; i < 4; i++) obs[i] = (float)env->state[i];
}

// ---- script ----

// Heads for the next cell on a shortest way and brakes for it when it is the goal or the way turns there.
static void maze_control(const UfEnv* env, const float* obs, float* action) {
    const MazeEnv* maze = (const MazeEnv*)env;
    int cell[2] = {cell_of(obs[0]), cell_of(obs[1])}, next[2] = {cell[0], cell[1]}, step[2] = {0, 0};
    bool inside = !is_wall(maze, cell[0], cell[1]);
    for (int k = 0; inside && k < 4; k++) {
        int r = cell[0] + neighbours[k][0], c = cell[1] + neighbours[k][1];
        if (is_wall(maze, r, c) || maze->distance[r][c] >= maze->distance[next[0]][next[1]]) continue;
        next[0] = r;
        next[1] = c;
        memcpy(step, neighbours[k], sizeof step);
    }
    // goes on straight as long as that is a shortest way
    while (inside && maze->distance[next[0]][next[1]] > 0) {
        int r = next[0] + step[0], c = next[1] + step[1];
        if (is_wall(maze, r, c) || maze->distance[r][c] >= maze->distance[next[0]][next[1]]) break;
        next[0] = r;
        next[1] = c;
    }
    for (int i = 0; i < 2; i++) {
        double wanted = fmin(fmax(6 * (next[i] - obs[i]), -MAX_SPEED), MAX_SPEED);
        action[i] = (float)fmin(fmax(2 * (wanted - obs[2 + i]), -1), 1);
    }
}

const UfEnvOps uf_maze_ops = {.create = maze_create,
                              .reset = maze_reset,
                              .step = maze_step,
                              .observe = maze_observe,
                              .control = maze_control,
                              .draw = UF_DRAW(maze)};
