// minatar.h: the rules of MinAtar's Breakout, Asterix, SpaceInvaders and Freeway as in gymnax 0.0.6, for C, C++ and
// CUDA: one small struct a game, without pointers, and start, step and look at it. What chance decides comes in as draws.
//
// A grid of 10 x 10 cells, y downwards; a map is a row of bits for each y. Observations are (y, x, plane), 0 or 1.
// `terminal` leaves the step limit out, which is the caller's; a game that is over stays as it is.
// Source: gymnax/environments/minatar; MinAtar: Young and Tian, arXiv 1903.03176.
//
// Rooms: grid, Breakout, Asterix, SpaceInvaders, Freeway.
#ifndef UF_MINATAR_H
#define UF_MINATAR_H

#include <stdint.h>
#include <string.h>  // memset
#ifndef __cplusplus
#include <stdbool.h>
#endif

#include "core/philox.h"

enum {
    UF_MINATAR_SIDE = 10,
    UF_MINATAR_LAST = UF_MINATAR_SIDE - 1,
    UF_MINATAR_CELLS = UF_MINATAR_SIDE * UF_MINATAR_SIDE,
    UF_MINATAR_MAX_PLANES = 7,
    UF_MINATAR_MAX_OBS = UF_MINATAR_CELLS * UF_MINATAR_MAX_PLANES,
    UF_MINATAR_MAX_STEPS = 1000,
    UF_FREEWAY_MAX_STEPS = 2500,
    UF_MINATAR_ROW = (1 << UF_MINATAR_SIDE) - 1,  // a row all set
};

// ---- grid ----

static inline UF_HD int uf_minatar_clamp(int x, int low, int high) {
    return x < low ? low : x > high ? high : x;
}

// The place of the lowest bit of a number that is not 0.
static inline UF_HD int uf_minatar_lowest(uint32_t bits) {
#ifdef __CUDA_ARCH__
    return __ffs((int)bits) - 1;
#else
    return __builtin_ctz(bits);
#endif
}

static inline UF_HD int uf_minatar_count(const uint16_t* map) {
    int count = 0;
    for (int y = 0; y < UF_MINATAR_SIDE; y++)
        for (uint32_t row = map[y]; row; row &= row - 1) count++;
    return count;
}

static inline UF_HD uint32_t uf_minatar_columns(const uint16_t* map) {
    uint32_t columns = 0;
    for (int y = 0; y < UF_MINATAR_SIDE; y++) columns |= map[y];
    return columns;
}

static inline UF_HD void uf_minatar_clear(float* obs, int planes) {
    for (int i = 0; i < UF_MINATAR_CELLS * planes; i++) obs[i] = 0;
}

static inline UF_HD void uf_minatar_set(float* obs, int planes, int plane, int y, int x) {
    obs[(y * UF_MINATAR_SIDE + x) * planes + plane] = 1;
}

static inline UF_HD void uf_minatar_set_map(float* obs, int planes, int plane, const uint16_t* map) {
    for (int y = 0; y < UF_MINATAR_SIDE; y++)
        for (uint32_t row = map[y]; row; row &= row - 1)
            uf_minatar_set(obs, planes, plane, y, uf_minatar_lowest(row));
}

// A number below n, from one word: the odds are even to one in 2^32 / n.
static inline UF_HD int uf_minatar_below(UfRandom* random, int n) {
    return (int)((uint64_t)uf_random_u32(random) * (uint32_t)n >> 32);
}

static inline UF_HD void uf_minatar_keep(int8_t* x, int low, int high) {
    *x = (int8_t)uf_minatar_clamp(*x, low, high);
}

static inline UF_HD void uf_minatar_keep_map(uint16_t* map) {
    for (int y = 0; y < UF_MINATAR_SIDE; y++) map[y] &= UF_MINATAR_ROW;
}

// ---- Breakout ----

enum { UF_BREAKOUT_PLANES = 4, UF_BREAKOUT_ACTIONS = 3 };        // paddle, ball, trail, bricks
enum { UF_BREAKOUT_NONE, UF_BREAKOUT_LEFT, UF_BREAKOUT_RIGHT };  // actions

typedef struct UfBreakout {
    int32_t time;
    uint16_t brick_map[UF_MINATAR_SIDE];
    int8_t ball_y, ball_x;
    int8_t ball_dir;        // 0 up left, 1 up right, 2 down right, 3 down left
    int8_t pos;             // x of the paddle, which is in the last row
    int8_t strike;          // the ball met a brick in the last step
    int8_t last_y, last_x;  // where the ball was: its trail
    int8_t terminal;
} UfBreakout;

static inline UF_HD void uf_breakout_fill(UfBreakout* s) {
    for (int y = 1; y <= 3; y++) s->brick_map[y] = UF_MINATAR_ROW;
}

// side 0: the ball starts at the left, 1: at the right.
static inline UF_HD void uf_breakout_reset(UfBreakout* s, int side) {
    memset(s, 0, sizeof *s);
    s->pos = 4;
    s->ball_y = s->last_y = 3;
    s->ball_x = s->last_x = (int8_t)(side ? UF_MINATAR_LAST : 0);
    s->ball_dir = (int8_t)(side ? 3 : 2);
    uf_breakout_fill(s);
}

static inline UF_HD int uf_breakout_draw(UfRandom* random) { return uf_minatar_below(random, 2); }

// Gives the reward of the step, as those of the other games.
static inline UF_HD int uf_breakout_step(UfBreakout* s, int action) {
    if (s->terminal) return 0;
    if (action == UF_BREAKOUT_LEFT) s->pos = (int8_t)(s->pos > 0 ? s->pos - 1 : 0);
    if (action == UF_BREAKOUT_RIGHT)
        s->pos = (int8_t)(s->pos < UF_MINATAR_LAST ? s->pos + 1 : UF_MINATAR_LAST);

    const int old_y = s->ball_y, old_x = s->ball_x;
    int dir = s->ball_dir, y = old_y + (dir >= 2 ? 1 : -1), x = old_x + (dir == 1 || dir == 2 ? 1 : -1);
    int reward = 0, strike = 0;
    s->last_y = (int8_t)old_y;
    s->last_x = (int8_t)old_x;
    if (x < 0 || x > UF_MINATAR_LAST) {
        x = uf_minatar_clamp(x, 0, UF_MINATAR_LAST);
        dir ^= 1;  // left and right
    }
    if (y < 0) {
        y = 0;
        dir = 3 - dir;  // up and down
    } else if (y <= UF_MINATAR_LAST && s->brick_map[y] >> x & 1) {
        strike = 1;
        if (!s->strike) {
            reward = 1;
            s->brick_map[y] = (uint16_t)(s->brick_map[y] & ~(1u << x));
            y = old_y;
            dir = 3 - dir;
        }
    } else if (y >= UF_MINATAR_LAST) {
        if (uf_minatar_columns(s->brick_map) == 0) uf_breakout_fill(s);
        if (old_x == s->pos) {
            dir = 3 - dir;
            y = old_y;
        } else if (x == s->pos) {
            dir ^= 2;  // back where it came from
            y = old_y;
        } else {
            s->terminal = 1;
        }
    }
    s->ball_y = (int8_t)(y < UF_MINATAR_LAST ? y : UF_MINATAR_LAST);
    s->ball_x = (int8_t)x;
    s->ball_dir = (int8_t)dir;
    s->strike = (int8_t)strike;
    s->time++;
    return reward;
}

static inline UF_HD void uf_breakout_observe(const UfBreakout* s, float* obs) {
    const int planes = UF_BREAKOUT_PLANES;
    uf_minatar_clear(obs, planes);
    uf_minatar_set(obs, planes, 0, UF_MINATAR_LAST, s->pos);
    uf_minatar_set(obs, planes, 1, s->ball_y, s->ball_x);
    uf_minatar_set(obs, planes, 2, s->last_y, s->last_x);
    uf_minatar_set_map(obs, planes, 3, s->brick_map);
}

// Numbers from elsewhere are moved into their ranges, so that no step leaves the grid.
static inline UF_HD void uf_breakout_keep(UfBreakout* s) {
    uf_minatar_keep_map(s->brick_map);
    uf_minatar_keep(&s->ball_y, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->ball_x, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->ball_dir, 0, 3);
    uf_minatar_keep(&s->pos, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->strike, 0, 1);
    uf_minatar_keep(&s->last_y, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->last_x, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->terminal, 0, 1);
}

// ---- Asterix ----

enum { UF_ASTERIX_PLANES = 4, UF_ASTERIX_ACTIONS = 5, UF_ASTERIX_SLOTS = 8 };  // player, enemy, trail, gold
enum { UF_ASTERIX_NONE, UF_ASTERIX_LEFT, UF_ASTERIX_UP, UF_ASTERIX_RIGHT, UF_ASTERIX_DOWN };

// The entity of slot k is in row k + 1. The three masks have a bit a slot.
typedef struct UfAsterix {
    int32_t time;
    int8_t player_x, player_y;
    int8_t spawn_speed, spawn_timer, move_speed, move_timer;
    int8_t ramp_timer, ramp_index;
    int8_t x[UF_ASTERIX_SLOTS];
    uint8_t used, right, gold;
    int8_t terminal;
} UfAsterix;

typedef struct UfAsterixDraws {
    int8_t order[UF_ASTERIX_SLOTS];  // slots, in the order drawn
    int8_t right, gold;
} UfAsterixDraws;

static inline UF_HD void uf_asterix_reset(UfAsterix* s) {
    memset(s, 0, sizeof *s);
    s->player_x = s->player_y = 5;
    s->spawn_speed = s->spawn_timer = 10;
    s->move_speed = s->move_timer = 5;
    s->ramp_timer = 100;
}

// Whether the next step draws.
static inline UF_HD bool uf_asterix_draws(const UfAsterix* s) { return !s->terminal && s->spawn_timer == 0; }

static inline UF_HD UfAsterixDraws uf_asterix_draw(UfRandom* random) {
    UfAsterixDraws d;
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++) d.order[i] = (int8_t)i;
    for (int i = UF_ASTERIX_SLOTS - 1; i > 0; i--) {
        const int j = uf_minatar_below(random, i + 1);
        const int8_t slot = d.order[i];
        d.order[i] = d.order[j];
        d.order[j] = slot;
    }
    const int kind = uf_minatar_below(random, 6);  // directions are even, gold is one in three
    d.right = (int8_t)(kind % 2);
    d.gold = (int8_t)(kind / 2 == 0);
    return d;
}

// As in gymnax: the slot drawn first is never tried, and where none of the others is free the one tried last is
// emptied.
static inline UF_HD void uf_asterix_spawn(UfAsterix* s, const UfAsterixDraws* d) {
    for (int i = 1; i < UF_ASTERIX_SLOTS; i++) {
        const int slot = d->order[i];
        const uint32_t bit = 1u << slot;
        if (s->used & bit) continue;
        s->used = (uint8_t)(s->used | bit);
        s->right = (uint8_t)(d->right ? s->right | bit : s->right & ~bit);
        s->gold = (uint8_t)(d->gold ? s->gold | bit : s->gold & ~bit);
        s->x[slot] = (int8_t)(d->right ? 0 : UF_MINATAR_LAST);
        return;
    }
    s->used = (uint8_t)(s->used & ~(1u << d->order[UF_ASTERIX_SLOTS - 1]));
}

// An enemy that is touched stays.
static inline UF_HD int uf_asterix_touch(UfAsterix* s) {
    const int slot = s->player_y - 1;
    const uint32_t bit = 1u << slot;
    if (!(s->used & bit) || s->x[slot] != s->player_x) return 0;
    if (!(s->gold & bit)) {
        s->terminal = 1;
        return 0;
    }
    s->used = (uint8_t)(s->used & ~bit);
    return 1;
}

// Every entity goes on by a cell; who leaves the grid is gone.
static inline UF_HD void uf_asterix_march(UfAsterix* s) {
    for (uint32_t left = s->used; left; left &= left - 1) {
        const int slot = uf_minatar_lowest(left), x = s->x[slot] + (s->right >> slot & 1 ? 1 : -1);
        if (x < 0 || x > UF_MINATAR_LAST)
            s->used = (uint8_t)(s->used & ~(1u << slot));
        else
            s->x[slot] = (int8_t)x;
    }
}

// draws: read where uf_asterix_draws says so.
static inline UF_HD int uf_asterix_step(UfAsterix* s, int action, const UfAsterixDraws* draws) {
    int reward = 0;
    if (s->terminal) return 0;
    if (s->spawn_timer == 0) {
        uf_asterix_spawn(s, draws);
        s->spawn_timer = s->spawn_speed;
    }
    if (action == UF_ASTERIX_LEFT && s->player_x > 0) s->player_x--;
    if (action == UF_ASTERIX_RIGHT && s->player_x < UF_MINATAR_LAST) s->player_x++;
    if (action == UF_ASTERIX_UP && s->player_y > 1) s->player_y--;
    if (action == UF_ASTERIX_DOWN && s->player_y < UF_ASTERIX_SLOTS) s->player_y++;
    reward += uf_asterix_touch(s);
    if (s->move_timer == 0) {
        s->move_timer = s->move_speed;
        uf_asterix_march(s);
        reward += uf_asterix_touch(s);
    }
    s->spawn_timer--;
    s->move_timer--;
    if (s->spawn_speed > 1 || s->move_speed > 1) {
        if (s->ramp_timer >= 0) {
            s->ramp_timer--;
        } else {
            s->ramp_timer = 100;
            if (s->spawn_speed > 1) s->spawn_speed--;
            if (s->move_speed > 1 && s->ramp_index % 2) s->move_speed--;
            s->ramp_index++;
        }
    }
    s->time++;
    return reward;
}

static inline UF_HD void uf_asterix_observe(const UfAsterix* s, float* obs) {
    const int planes = UF_ASTERIX_PLANES;
    uf_minatar_clear(obs, planes);
    uf_minatar_set(obs, planes, 0, s->player_y, s->player_x);
    for (uint32_t left = s->used; left; left &= left - 1) {
        const int slot = uf_minatar_lowest(left), x = s->x[slot],
                  behind = x + (s->right >> slot & 1 ? -1 : 1);
        uf_minatar_set(obs, planes, s->gold >> slot & 1 ? 3 : 1, slot + 1, x);
        if (behind >= 0 && behind <= UF_MINATAR_LAST) uf_minatar_set(obs, planes, 2, slot + 1, behind);
    }
}

static inline UF_HD void uf_asterix_keep(UfAsterix* s) {
    uf_minatar_keep(&s->player_x, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->player_y, 1, UF_ASTERIX_SLOTS);
    uf_minatar_keep(&s->spawn_speed, 1, 10);
    uf_minatar_keep(&s->spawn_timer, 0, 10);
    uf_minatar_keep(&s->move_speed, 1, 5);
    uf_minatar_keep(&s->move_timer, 0, 5);
    uf_minatar_keep(&s->ramp_timer, -1, 100);
    uf_minatar_keep(&s->ramp_index, 0, 100);
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++) uf_minatar_keep(&s->x[i], 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->terminal, 0, 1);
}

// ---- SpaceInvaders ----

// cannon, aliens, aliens going left, aliens going right, own bullets, their bullets
enum { UF_INVADERS_PLANES = 6, UF_INVADERS_ACTIONS = 4 };
enum { UF_INVADERS_NONE, UF_INVADERS_LEFT, UF_INVADERS_RIGHT, UF_INVADERS_FIRE };
enum {
    UF_INVADERS_INTERVAL = 12,
    UF_INVADERS_FASTEST = 6,
    UF_INVADERS_THEIR_PAUSE = 10,
    UF_INVADERS_PAUSE = 5
};

typedef struct UfInvaders {
    int32_t time;
    uint16_t alien_map[UF_MINATAR_SIDE], f_bullet_map[UF_MINATAR_SIDE],
        e_bullet_map[UF_MINATAR_SIDE];  // f: own
    int8_t pos;                         // x of the cannon, which is in the last row
    int8_t alien_dir;                   // -1 left, 1 right
    int8_t enemy_move_interval, alien_move_timer, alien_shot_timer, shot_timer;
    int8_t ramp_index;  // waves that made them faster
    int8_t terminal;
} UfInvaders;

// The wave of a start has columns 2 to 8, those that follow 2 to 7.
static inline UF_HD void uf_invaders_wave(UfInvaders* s, int columns) {
    for (int y = 0; y < UF_MINATAR_SIDE; y++)
        s->alien_map[y] = (uint16_t)(y < 4 ? ((1 << columns) - 1) << 2 : 0);
}

static inline UF_HD void uf_invaders_reset(UfInvaders* s) {
    memset(s, 0, sizeof *s);
    s->pos = 5;
    s->alien_dir = -1;
    s->enemy_move_interval = s->alien_move_timer = UF_INVADERS_INTERVAL;
    s->alien_shot_timer = UF_INVADERS_THEIR_PAUSE;
    uf_invaders_wave(s, 7);
}

// The column of `columns` that is nearest to x, the left one of two; -1: there is none.
static inline UF_HD int uf_invaders_nearest(uint32_t columns, int x) {
    for (int d = 0; d < UF_MINATAR_SIDE; d++) {
        if (x - d >= 0 && columns >> (x - d) & 1) return x - d;
        if (x + d < UF_MINATAR_SIDE && columns >> (x + d) & 1) return x + d;
    }
    return -1;
}

static inline UF_HD bool uf_invaders_hit(const UfInvaders* s) {
    return s->alien_map[UF_MINATAR_LAST] >> s->pos & 1;
}

// One cell sideways, or at the edge one down and the other way from then on.
static inline UF_HD void uf_invaders_march(UfInvaders* s) {
    const uint32_t columns = uf_minatar_columns(s->alien_map);
    const uint32_t edge = s->alien_dir < 0 ? 1u : 1u << UF_MINATAR_LAST;
    if (columns & edge) {
        const uint16_t last = s->alien_map[UF_MINATAR_LAST];
        s->alien_dir = (int8_t)-s->alien_dir;
        for (int y = UF_MINATAR_LAST; y > 0; y--) s->alien_map[y] = s->alien_map[y - 1];
        s->alien_map[0] = last;
        if (last) s->terminal = 1;
    } else {
        for (int y = 0; y < UF_MINATAR_SIDE; y++)
            s->alien_map[y] = (uint16_t)(s->alien_dir < 0 ? s->alien_map[y] >> 1 : s->alien_map[y] << 1);
    }
}

static inline UF_HD int uf_invaders_step(UfInvaders* s, int action) {
    int reward = 0;
    if (s->terminal) return 0;
    const int old_pos = s->pos;
    if (action == UF_INVADERS_FIRE && s->shot_timer == 0) {
        s->f_bullet_map[UF_MINATAR_LAST] = (uint16_t)(s->f_bullet_map[UF_MINATAR_LAST] | 1u << s->pos);
        s->shot_timer = UF_INVADERS_PAUSE;
    }
    if (action == UF_INVADERS_LEFT && s->pos > 0) s->pos--;
    if (action == UF_INVADERS_RIGHT && s->pos < UF_MINATAR_LAST) s->pos++;
    for (int y = 0; y < UF_MINATAR_LAST; y++) s->f_bullet_map[y] = s->f_bullet_map[y + 1];
    s->f_bullet_map[UF_MINATAR_LAST] = 0;
    for (int y = UF_MINATAR_LAST; y > 0; y--) s->e_bullet_map[y] = s->e_bullet_map[y - 1];
    s->e_bullet_map[0] = 0;
    if (s->e_bullet_map[UF_MINATAR_LAST] >> old_pos & 1) s->terminal = 1;  // where it went is not looked at

    if (uf_invaders_hit(s)) s->terminal = 1;
    if (s->alien_move_timer == 0) {
        const int count = uf_minatar_count(s->alien_map);
        s->alien_move_timer = (int8_t)(count < s->enemy_move_interval ? count : s->enemy_move_interval);
        uf_invaders_march(s);
        if (uf_invaders_hit(s)) s->terminal = 1;
    }
    if (s->alien_shot_timer == 0) {
        s->alien_shot_timer = UF_INVADERS_THEIR_PAUSE;
        const int x = uf_invaders_nearest(uf_minatar_columns(s->alien_map), s->pos);
        int y = UF_MINATAR_LAST;
        while (x >= 0 && !(s->alien_map[y] >> x & 1)) y--;
        if (x >= 0) s->e_bullet_map[y] = (uint16_t)(s->e_bullet_map[y] | 1u << x);
    }
    uint32_t aliens = 0;
    for (int y = 0; y < UF_MINATAR_SIDE; y++) {
        const uint32_t shot = s->alien_map[y] & s->f_bullet_map[y];
        for (uint32_t left = shot; left; left &= left - 1) reward++;
        s->alien_map[y] = (uint16_t)(s->alien_map[y] ^ shot);
        s->f_bullet_map[y] = (uint16_t)(s->f_bullet_map[y] ^ shot);
        aliens |= s->alien_map[y];
    }
    if (s->shot_timer > 0) s->shot_timer--;
    s->alien_move_timer--;
    s->alien_shot_timer--;
    if (aliens == 0) {
        if (s->enemy_move_interval > UF_INVADERS_FASTEST) {
            s->enemy_move_interval--;
            s->ramp_index++;
        }
        uf_invaders_wave(s, 6);
    }
    s->time++;
    return reward;
}

static inline UF_HD void uf_invaders_observe(const UfInvaders* s, float* obs) {
    const int planes = UF_INVADERS_PLANES, going = s->alien_dir < 0 ? 2 : 3;
    uf_minatar_clear(obs, planes);
    uf_minatar_set(obs, planes, 0, UF_MINATAR_LAST, s->pos);
    uf_minatar_set_map(obs, planes, 1, s->alien_map);
    uf_minatar_set_map(obs, planes, going, s->alien_map);
    uf_minatar_set_map(obs, planes, 4, s->f_bullet_map);
    uf_minatar_set_map(obs, planes, 5, s->e_bullet_map);
}

static inline UF_HD void uf_invaders_keep(UfInvaders* s) {
    uf_minatar_keep_map(s->alien_map);
    uf_minatar_keep_map(s->f_bullet_map);
    uf_minatar_keep_map(s->e_bullet_map);
    if (uf_minatar_columns(s->alien_map) == 0) uf_invaders_wave(s, 6);  // there is always one between steps
    uf_minatar_keep(&s->pos, 0, UF_MINATAR_LAST);
    s->alien_dir = (int8_t)(s->alien_dir < 0 ? -1 : 1);
    uf_minatar_keep(&s->enemy_move_interval, UF_INVADERS_FASTEST, UF_INVADERS_INTERVAL);
    uf_minatar_keep(&s->alien_move_timer, 0, UF_INVADERS_INTERVAL);
    uf_minatar_keep(&s->alien_shot_timer, 0, UF_INVADERS_THEIR_PAUSE);
    uf_minatar_keep(&s->shot_timer, 0, UF_INVADERS_PAUSE);
    uf_minatar_keep(&s->ramp_index, 0, UF_INVADERS_INTERVAL - UF_INVADERS_FASTEST);
    uf_minatar_keep(&s->terminal, 0, 1);
}

// ---- Freeway ----

// chicken, cars, and for each speed the trail of cars of that speed
enum { UF_FREEWAY_PLANES = 7, UF_FREEWAY_ACTIONS = 3, UF_FREEWAY_CARS = 8, UF_FREEWAY_SPEEDS = 5 };
enum { UF_FREEWAY_NONE, UF_FREEWAY_UP, UF_FREEWAY_DOWN };
enum { UF_FREEWAY_X = 4, UF_FREEWAY_PAUSE = 3 };  // of the chicken

// Car k is in row k + 1. Its speed is how long it waits, above 0 to the right.
typedef struct UfFreeway {
    int32_t time;
    int8_t pos;  // y of the chicken
    int8_t move_timer;
    int8_t x[UF_FREEWAY_CARS], timer[UF_FREEWAY_CARS], speed[UF_FREEWAY_CARS];
    int8_t terminal;  // never in this game
} UfFreeway;

typedef struct UfFreewayDraws {
    int8_t speed[UF_FREEWAY_CARS];
} UfFreewayDraws;

static inline UF_HD UfFreewayDraws uf_freeway_draw(UfRandom* random) {
    UfFreewayDraws d;
    for (int i = 0; i < UF_FREEWAY_CARS; i++) {
        const int v = uf_minatar_below(random, 2 * UF_FREEWAY_SPEEDS);
        d.speed[i] = (int8_t)(v < UF_FREEWAY_SPEEDS ? v + 1 : UF_FREEWAY_SPEEDS - 1 - v);
    }
    return d;
}

static inline UF_HD void uf_freeway_set_speeds(UfFreeway* s, const UfFreewayDraws* d) {
    for (int i = 0; i < UF_FREEWAY_CARS; i++) {
        s->speed[i] = d->speed[i];
        s->timer[i] = (int8_t)(d->speed[i] < 0 ? -d->speed[i] : d->speed[i]);
    }
}

static inline UF_HD void uf_freeway_reset(UfFreeway* s, const UfFreewayDraws* d) {
    memset(s, 0, sizeof *s);
    s->pos = UF_MINATAR_LAST;
    s->move_timer = UF_FREEWAY_PAUSE;
    uf_freeway_set_speeds(s, d);
}

// Whether the next step takes the chicken across and draws new speeds.
static inline UF_HD bool uf_freeway_draws(const UfFreeway* s, int action) {
    return s->pos == 0 || (s->pos == 1 && s->move_timer == 0 && action == UF_FREEWAY_UP);
}

// draws: read where uf_freeway_draws says so.
static inline UF_HD int uf_freeway_step(UfFreeway* s, int action, const UfFreewayDraws* draws) {
    int reward = 0;
    if (s->move_timer == 0 && (action == UF_FREEWAY_UP || action == UF_FREEWAY_DOWN)) {
        s->move_timer = UF_FREEWAY_PAUSE;
        s->pos = (int8_t)uf_minatar_clamp(s->pos + (action == UF_FREEWAY_UP ? -1 : 1), 0, UF_MINATAR_LAST);
    }
    if (s->pos == 0) {
        reward = 1;
        s->pos = UF_MINATAR_LAST;
        uf_freeway_set_speeds(s, draws);
    }
    for (int i = 0; i < UF_FREEWAY_CARS; i++) {
        const int speed = s->speed[i], x = s->x[i];
        if (s->pos == i + 1 && x == UF_FREEWAY_X) s->pos = UF_MINATAR_LAST;
        if (s->timer[i] > 0) {
            s->timer[i]--;
            continue;
        }
        s->timer[i] = (int8_t)(speed < 0 ? -speed : speed);
        s->x[i] =
            (int8_t)(speed > 0 ? (x == UF_MINATAR_LAST ? 0 : x + 1) : (x == 0 ? UF_MINATAR_LAST : x - 1));
        if (s->pos == i + 1 && s->x[i] == UF_FREEWAY_X) s->pos = UF_MINATAR_LAST;
    }
    if (s->move_timer > 0) s->move_timer--;
    s->time++;
    return reward;
}

static inline UF_HD void uf_freeway_observe(const UfFreeway* s, float* obs) {
    const int planes = UF_FREEWAY_PLANES;
    uf_minatar_clear(obs, planes);
    uf_minatar_set(obs, planes, 0, s->pos, UF_FREEWAY_X);
    for (int i = 0; i < UF_FREEWAY_CARS; i++) {
        const int speed = s->speed[i], x = s->x[i];
        const int behind =
            speed > 0 ? (x == 0 ? UF_MINATAR_LAST : x - 1) : (x == UF_MINATAR_LAST ? 0 : x + 1);
        uf_minatar_set(obs, planes, 1, i + 1, x);
        uf_minatar_set(obs, planes, 1 + (speed < 0 ? -speed : speed), i + 1, behind);
    }
}

static inline UF_HD void uf_freeway_keep(UfFreeway* s) {
    uf_minatar_keep(&s->pos, 0, UF_MINATAR_LAST);
    uf_minatar_keep(&s->move_timer, 0, UF_FREEWAY_PAUSE);
    for (int i = 0; i < UF_FREEWAY_CARS; i++) {
        uf_minatar_keep(&s->x[i], 0, UF_MINATAR_LAST);
        uf_minatar_keep(&s->timer[i], 0, UF_FREEWAY_SPEEDS);
        uf_minatar_keep(&s->speed[i], -UF_FREEWAY_SPEEDS, UF_FREEWAY_SPEEDS);
        if (s->speed[i] == 0) s->speed[i] = 1;
    }
    uf_minatar_keep(&s->terminal, 0, 0);
}

// ---- behind envs.h ----

typedef union UfMinatarGame {
    UfBreakout breakout;
    UfAsterix asterix;
    UfInvaders invaders;
    UfFreeway freeway;
} UfMinatarGame;

enum { UF_MINATAR_STATE = sizeof(UfMinatarGame) / 4 + 4 };  // state_dim: minatar.c

// The game inside one of these environments.
struct UfEnv;
UfMinatarGame* uf_minatar_game(struct UfEnv* env);

#endif
