// maze.c: a point mass that is pushed through a maze, after D4RL's maze2d: its layouts, goals, rewards, step
// limits, mass, motor and damping. The physics are our own (D4RL's are MuJoCo's), so D4RL's reference scores
// do not apply.
// Physics: env_rules.h. Source: d4rl/pointmaze/maze_model.py.
#include <math.h>
#include <string.h>

// As in env_rules.h, so that its functions can become part of ours.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "core/envs/draw.h"
#include "core/envs/envs.h"

#define MAX_SIDE UF_MAZE_SIDE

typedef struct MazeEnv {
    UfEnv env;
    UfMazeGrid grid;
    int distance[MAX_SIDE][MAX_SIDE];  // steps from cell to cell to the goal
} MazeEnv;

// ---- grid ----

UfMazeGrid uf_maze_grid(const UfMaze* layout) {
    UfMazeGrid grid = {.dense = layout->dense};
    int row = 0, column = 0;
    for (const char* c = layout->rows; *c; c++) {
        if (*c == '\n') {
            row++;
            column = 0;
            continue;
        }
        if (*c == '#') grid.wall[row] = (uint16_t)(grid.wall[row] | 1u << column);
        if (*c == 'G') grid.goal[0] = row, grid.goal[1] = column;
        grid.num_columns = ++column;
        grid.num_rows = row + 1;
    }
    return grid;
}

static bool is_wall(const MazeEnv* maze, int row, int column) {
    return uf_maze_is_wall(&maze->grid, row, column);
}

static const int neighbours[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};

// Breadth first from the goal; cells that cannot reach it keep MAX_SIDE * MAX_SIDE.
static void fill_distances(MazeEnv* maze) {
    int queue[MAX_SIDE * MAX_SIDE][2], head = 0, tail = 0;
    for (int i = 0; i < MAX_SIDE; i++)
        for (int j = 0; j < MAX_SIDE; j++) maze->distance[i][j] = MAX_SIDE * MAX_SIDE;
    maze->distance[maze->grid.goal[0]][maze->grid.goal[1]] = 0;
    memcpy(queue[tail++], maze->grid.goal, sizeof maze->grid.goal);
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
    MazeEnv* maze;
    UF_TRY(UF_ALLOC(&maze, 1, "a maze"));
    maze->grid = uf_maze_grid(spec->details);
    fill_distances(maze);
    *out = &maze->env;
    return UF_OK;
}

static void maze_reset(UfEnv* env, UfRandom* random) {
    uf_maze_reset(env->state, &((const MazeEnv*)env)->grid, random);
}

static void maze_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_maze_step(env->state, &((const MazeEnv*)env)->grid, env->spec->step_seconds, action, reward,
                 terminated);
}

static void maze_observe(const UfEnv* env, float* obs) { uf_observe_state(env->state, 4, obs); }

// ---- script ----

// Heads for the next cell on a shortest way and brakes for it when it is the goal or the way turns there.
static void maze_control(const UfEnv* env, const float* obs, float* action) {
    const MazeEnv* maze = (const MazeEnv*)env;
    int cell[2] = {uf_maze_cell_of(obs[0]), uf_maze_cell_of(obs[1])}, next[2] = {cell[0], cell[1]},
        step[2] = {0, 0};
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
        double wanted = fmin(fmax(6 * (next[i] - obs[i]), -UF_MAZE_MAX_SPEED), UF_MAZE_MAX_SPEED);
        action[i] = (float)fmin(fmax(2 * (wanted - obs[2 + i]), -1), 1);
    }
}

const UfEnvOps uf_maze_ops = {.rule = UF_RULE_MAZE,
                              .create = maze_create,
                              .reset = maze_reset,
                              .step = maze_step,
                              .observe = maze_observe,
                              .control = maze_control,
                              .draw = UF_DRAW(maze)};
