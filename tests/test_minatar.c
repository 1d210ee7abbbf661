// test_minatar.c: MinAtar's rules sentence by sentence, its environments, recordings of gymnax, pictures.
// tests/data/minatar_traces.h5 holds some of the episodes of ../shared/oracle/minatar_traces.h5 (tools/shorten_minatar.py).
#include "support.h"
#include "h5_change.h"

#include <math.h>

#include "core/envs/draw.h"
#include "core/envs/envs.h"
#include "core/envs/minatar.h"
#include "core/verify/verify.h"

#ifndef UF_NO_CAIRO
#include <cairo.h>
#endif

#define TRACES "tests/data/minatar_traces.h5"
#define ROW(x) ((uint16_t)(1u << (x)))

static const char* const names[] = {"Breakout-MinAtar", "Asterix-MinAtar", "SpaceInvaders-MinAtar",
                                    "Freeway-MinAtar"};

// ---- Breakout ----

static void test_breakout_start(void** state) {
    (void)state;
    for (int side = 0; side < 2; side++) {
        UfBreakout s;
        float obs[UF_MINATAR_MAX_OBS];
        uf_breakout_reset(&s, side);
        assert_int_equal(s.pos, 4);
        assert_int_equal(s.ball_y, 3);
        assert_int_equal(s.ball_x, side ? 9 : 0);
        assert_int_equal(s.ball_dir, side ? 3 : 2);
        for (int y = 0; y < 10; y++) assert_int_equal(s.brick_map[y], y >= 1 && y <= 3 ? 1023 : 0);
        uf_breakout_observe(&s, obs);
        for (int i = 0; i < 100; i++) {
            const int y = i / 10, x = i % 10, ball = y == 3 && x == (side ? 9 : 0);
            assert_true(obs[4 * i] == (y == 9 && x == 4));
            assert_true(obs[4 * i + 1] == ball);
            assert_true(obs[4 * i + 2] == ball);
            assert_true(obs[4 * i + 3] == (y >= 1 && y <= 3));
        }
    }
}

static void test_breakout_paddle(void** state) {
    (void)state;
    UfBreakout s;
    uf_breakout_reset(&s, 0);
    s.pos = 0;
    uf_breakout_step(&s, UF_BREAKOUT_LEFT);
    assert_int_equal(s.pos, 0);
    uf_breakout_step(&s, UF_BREAKOUT_RIGHT);
    assert_int_equal(s.pos, 1);
    uf_breakout_step(&s, UF_BREAKOUT_NONE);
    assert_int_equal(s.pos, 1);
    uf_breakout_step(&s, UF_BREAKOUT_LEFT);
    assert_int_equal(s.pos, 0);
    s.pos = 9;
    s.ball_y = 4;
    uf_breakout_step(&s, UF_BREAKOUT_RIGHT);
    assert_int_equal(s.pos, 9);
}

static void test_breakout_ball(void** state) {
    (void)state;
    enum { UP_LEFT, UP_RIGHT, DOWN_RIGHT, DOWN_LEFT, OVER = 1 };
    static const struct {
        int y, x, dir, strike, pos, brick_y, brick_x;  // before; brick_y -1: none but one far away
        int new_y, new_x, new_dir, new_strike, reward, terminal;
    } cases[] = {
        // one diagonal step in each direction
        {5, 5, UP_LEFT, 0, 0, -1, 0, 4, 4, UP_LEFT, 0, 0, 0},
        {5, 5, UP_RIGHT, 0, 0, -1, 0, 4, 6, UP_RIGHT, 0, 0, 0},
        {5, 5, DOWN_RIGHT, 0, 0, -1, 0, 6, 6, DOWN_RIGHT, 0, 0, 0},
        {5, 5, DOWN_LEFT, 0, 0, -1, 0, 6, 4, DOWN_LEFT, 0, 0, 0},
        // walls: x stays at the edge, left and right change places
        {5, 0, UP_LEFT, 0, 0, -1, 0, 4, 0, UP_RIGHT, 0, 0, 0},
        {5, 9, UP_RIGHT, 0, 0, -1, 0, 4, 9, UP_LEFT, 0, 0, 0},
        {5, 9, DOWN_RIGHT, 0, 0, -1, 0, 6, 9, DOWN_LEFT, 0, 0, 0},
        {5, 0, DOWN_LEFT, 0, 0, -1, 0, 6, 0, DOWN_RIGHT, 0, 0, 0},
        // the ceiling, also in a corner
        {0, 5, UP_LEFT, 0, 0, -1, 0, 0, 4, DOWN_LEFT, 0, 0, 0},
        {0, 5, UP_RIGHT, 0, 0, -1, 0, 0, 6, DOWN_RIGHT, 0, 0, 0},
        {0, 0, UP_LEFT, 0, 0, -1, 0, 0, 0, DOWN_RIGHT, 0, 0, 0},
        {0, 9, UP_RIGHT, 0, 0, -1, 0, 0, 9, DOWN_LEFT, 0, 0, 0},
        // a brick from below, from above, and behind a wall
        {4, 5, UP_LEFT, 0, 0, 3, 4, 4, 4, DOWN_LEFT, 1, 1, 0},
        {4, 5, UP_RIGHT, 0, 0, 3, 6, 4, 6, DOWN_RIGHT, 1, 1, 0},
        {0, 5, DOWN_RIGHT, 0, 0, 1, 6, 0, 6, UP_RIGHT, 1, 1, 0},
        {4, 0, UP_LEFT, 0, 0, 3, 0, 4, 0, DOWN_RIGHT, 1, 1, 0},
        // with strike it goes through and strike stays; without a brick strike ends
        {4, 5, UP_LEFT, 1, 0, 3, 4, 3, 4, UP_LEFT, 1, 0, 0},
        {4, 5, UP_LEFT, 1, 0, 3, 5, 3, 4, UP_LEFT, 0, 0, 0},
        // the paddle under where the ball was: up again, on the same way sideways
        {8, 5, DOWN_RIGHT, 0, 5, -1, 0, 8, 6, UP_RIGHT, 0, 0, 0},
        {8, 5, DOWN_LEFT, 1, 5, -1, 0, 8, 4, UP_LEFT, 0, 0, 0},
        // where it comes down: back where it came from
        {8, 5, DOWN_RIGHT, 0, 6, -1, 0, 8, 6, UP_LEFT, 0, 0, 0},
        {8, 5, DOWN_LEFT, 0, 4, -1, 0, 8, 4, UP_RIGHT, 0, 0, 0},
        {8, 9, DOWN_RIGHT, 0, 9, -1, 0, 8, 9, UP_LEFT, 0, 0, 0},
        // elsewhere: over
        {8, 5, DOWN_RIGHT, 0, 4, -1, 0, 9, 6, DOWN_RIGHT, 0, 0, OVER},
        {8, 5, DOWN_RIGHT, 0, 7, -1, 0, 9, 6, DOWN_RIGHT, 0, 0, OVER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        UfBreakout s = {.time = 7,
                        .ball_y = (int8_t)cases[i].y,
                        .ball_x = (int8_t)cases[i].x,
                        .ball_dir = (int8_t)cases[i].dir,
                        .strike = (int8_t)cases[i].strike,
                        .pos = (int8_t)cases[i].pos};
        s.brick_map[2] = ROW(9);
        if (cases[i].brick_y >= 0)
            s.brick_map[cases[i].brick_y] = (uint16_t)(s.brick_map[cases[i].brick_y] | ROW(cases[i].brick_x));
        UfBreakout expected = s;
        if (cases[i].reward) expected.brick_map[cases[i].brick_y] ^= ROW(cases[i].brick_x);
        expected.time = 8;
        expected.ball_y = (int8_t)cases[i].new_y;
        expected.ball_x = (int8_t)cases[i].new_x;
        expected.ball_dir = (int8_t)cases[i].new_dir;
        expected.strike = (int8_t)cases[i].new_strike;
        expected.last_y = s.ball_y;
        expected.last_x = s.ball_x;
        expected.terminal = (int8_t)cases[i].terminal;
        const int reward = uf_breakout_step(&s, UF_BREAKOUT_NONE);
        if (memcmp(&s, &expected, sizeof s) != 0 || reward != cases[i].reward)
            fail_msg("case %zu: ball (%d, %d) dir %d strike %d terminal %d reward %d", i, s.ball_y, s.ball_x,
                     s.ball_dir, s.strike, s.terminal, reward);
    }
}

static void test_breakout_refill(void** state) {
    (void)state;
    UfBreakout s = {.ball_y = 7, .ball_x = 5, .ball_dir = 2, .pos = 7};
    uf_breakout_step(&s, UF_BREAKOUT_NONE);
    assert_int_equal(uf_minatar_count(s.brick_map), 0);  // not before it is down
    uf_breakout_step(&s, UF_BREAKOUT_NONE);
    assert_int_equal(uf_minatar_count(s.brick_map), 30);
    for (int y = 1; y <= 3; y++) assert_int_equal(s.brick_map[y], 1023);
    assert_false(s.terminal);
    // a single brick left is no empty wall; a game that is over stays as it is
    UfBreakout one = {.ball_y = 8, .ball_x = 5, .ball_dir = 2, .pos = 0}, over;
    one.brick_map[1] = ROW(3);
    uf_breakout_step(&one, UF_BREAKOUT_NONE);
    assert_int_equal(uf_minatar_count(one.brick_map), 1);
    assert_true(one.terminal);
    over = one;
    assert_int_equal(uf_breakout_step(&one, UF_BREAKOUT_RIGHT), 0);
    assert_memory_equal(&one, &over, sizeof one);
}

// ---- Asterix ----

static const UfAsterixDraws enemy_left = {{7, 0, 1, 2, 3, 4, 5, 6}, 0, 0};

// Whether a step spawned; what is on the grid is taken off, so that nobody is ever touched.
static bool asterix_spawned(UfAsterix* s, UfAsterixDraws draws) {
    UfAsterix before = *s;
    assert_int_equal(uf_asterix_step(s, UF_ASTERIX_NONE, &draws), 0);
    const bool spawned = s->used != 0;
    assert_int_equal(spawned, uf_asterix_draws(&before));
    s->used = 0;
    return spawned;
}

// Spawns: first in step 11, then as many steps on as the speed was; speeds: a ramp every 102 steps, the last in step 918.
static void test_asterix_timers(void** state) {
    (void)state;
    UfAsterix s;
    int next = 11;
    uf_asterix_reset(&s);
    s.player_y = 8;  // draws take row 1 or 2 here
    for (int t = 1; t <= 1100; t++) {
        const int ramps = (t - 1) / 102 < 9 ? (t - 1) / 102 : 9;  // before this step
        assert_int_equal(s.spawn_speed, 10 - ramps);
        assert_int_equal(s.move_speed, 5 - ramps / 2);
        assert_int_equal(s.ramp_index, ramps);
        assert_int_equal(s.ramp_timer, ramps == 9 ? 100 : 100 - (t - 1) % 102);
        const bool spawned = asterix_spawned(&s, enemy_left);
        if (spawned != (t == next)) fail_msg("step %d: spawned %d, expected in step %d", t, spawned, next);
        if (spawned) next = t + 10 - ramps;
        assert_int_equal(s.time, t);
    }
}

// It goes on while either speed is above 1, and takes none below.
static void test_asterix_ramp(void** state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        const bool spawns = k & 1, moves = k & 2;
        UfAsterix s;
        uf_asterix_reset(&s);
        s.ramp_timer = -1;
        s.ramp_index = 3;
        if (!spawns) s.spawn_speed = 1;
        if (!moves) s.move_speed = 1;
        uf_asterix_step(&s, UF_ASTERIX_NONE, NULL);
        assert_int_equal(s.spawn_speed, spawns ? 9 : 1);
        assert_int_equal(s.move_speed, moves ? 4 : 1);
        assert_int_equal(s.ramp_index, spawns || moves ? 4 : 3);
        assert_int_equal(s.ramp_timer, spawns || moves ? 100 : -1);
    }
}

static void test_asterix_moves(void** state) {
    (void)state;
    UfAsterix s;
    uf_asterix_reset(&s);
    assert_int_equal(s.player_x, 5);
    assert_int_equal(s.player_y, 5);
    // entities move in steps 6, 11, 16, ..., one to the right and one to the left, and leave the grid at its edge
    s.used = 1 | 2;
    s.right = 1;
    s.x[0] = 3;
    s.x[1] = 1;
    s.spawn_timer = 100;
    for (int t = 1; t <= 35; t++) {
        uf_asterix_step(&s, UF_ASTERIX_NONE, NULL);
        const int moved = (t - 1) / 5;
        if (moved <= 6) assert_int_equal(s.x[0], 3 + moved);
        if (moved <= 1) assert_int_equal(s.x[1], 1 - moved);
        assert_int_equal(s.used, (moved <= 6) | (moved <= 1) << 1);
    }
    // the player, within x 0..9 and y 1..8
    static const struct {
        int x, y, action, new_x, new_y;
    } cases[] = {
        {5, 5, UF_ASTERIX_LEFT, 4, 5},  {5, 5, UF_ASTERIX_UP, 5, 4},   {5, 5, UF_ASTERIX_RIGHT, 6, 5},
        {5, 5, UF_ASTERIX_DOWN, 5, 6},  {0, 5, UF_ASTERIX_LEFT, 0, 5}, {5, 1, UF_ASTERIX_UP, 5, 1},
        {9, 5, UF_ASTERIX_RIGHT, 9, 5}, {5, 8, UF_ASTERIX_DOWN, 5, 8}, {5, 5, UF_ASTERIX_NONE, 5, 5},
        {1, 5, UF_ASTERIX_LEFT, 0, 5},  {5, 2, UF_ASTERIX_UP, 5, 1},   {8, 5, UF_ASTERIX_RIGHT, 9, 5},
        {5, 7, UF_ASTERIX_DOWN, 5, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uf_asterix_reset(&s);
        s.player_x = (int8_t)cases[i].x;
        s.player_y = (int8_t)cases[i].y;
        uf_asterix_step(&s, cases[i].action, NULL);
        assert_int_equal(s.player_x, cases[i].new_x);
        assert_int_equal(s.player_y, cases[i].new_y);
    }
}

static void test_asterix_spawn(void** state) {
    (void)state;
    static const int8_t order[] = {6, 2, 0, 1, 3, 4, 5, 7};
    for (int kind = 0; kind < 4; kind++) {
        UfAsterixDraws draws = {{0}, (int8_t)(kind & 1), (int8_t)(kind >> 1)};
        UfAsterix s;
        memcpy(draws.order, order, sizeof order);
        uf_asterix_reset(&s);
        s.spawn_timer = 0;
        uf_asterix_step(&s, UF_ASTERIX_NONE, &draws);
        assert_int_equal(s.used, 1 << 2);  // the second drawn: the first is never tried
        assert_int_equal(s.x[2], kind & 1 ? 0 : 9);
        assert_int_equal(s.right >> 2 & 1, kind & 1);
        assert_int_equal(s.gold >> 2 & 1, kind >> 1);
        assert_int_equal(s.spawn_timer, 9);
        // those in the way are passed over, and keep what they are
        s.spawn_timer = 0;
        s.used = 1 << 2 | 1 << 0;
        s.x[2] = 6;
        draws.right = !draws.right;
        draws.gold = !draws.gold;
        uf_asterix_step(&s, UF_ASTERIX_NONE, &draws);
        assert_int_equal(s.used, 1 << 2 | 1 << 0 | 1 << 1);
        assert_int_equal(s.x[2], 6);
        assert_int_equal(s.right >> 2 & 1, kind & 1);
        assert_int_equal(s.right >> 1 & 1, !(kind & 1));
        assert_int_equal(s.gold >> 1 & 1, !(kind >> 1));
        // all but the first drawn are taken: the last tried is emptied, though the first is free
        s.spawn_timer = 0;
        s.used = (uint8_t) ~(1 << 6);
        uf_asterix_step(&s, UF_ASTERIX_NONE, &draws);
        assert_int_equal(s.used, (uint8_t) ~(1 << 6 | 1 << 7));
        s.spawn_timer = 0;
        s.used = 0xFF;
        uf_asterix_step(&s, UF_ASTERIX_NONE, &draws);
        assert_int_equal(s.used, (uint8_t) ~(1 << 7));
    }
}

static void test_asterix_contact(void** state) {
    (void)state;
    // The player at (5, 5) is in the row of slot 4. before: the move of the player reaches it; after: it moves itself.
    for (int gold = 0; gold < 2; gold++)
        for (int after = 0; after < 2; after++) {
            UfAsterix s;
            uf_asterix_reset(&s);
            s.used = s.right = 1 << 4;
            s.gold = (uint8_t)(gold << 4);
            s.x[4] = 4;
            s.move_timer = after ? 0 : 3;
            const int reward = uf_asterix_step(&s, after ? UF_ASTERIX_NONE : UF_ASTERIX_LEFT, NULL);
            assert_int_equal(reward, gold);
            assert_int_equal(s.terminal, !gold);
            assert_int_equal(s.used, gold ? 0 : 1 << 4);  // gold is taken, an enemy stays
            assert_int_equal(s.time, 1);
            UfAsterix over = s;
            if (gold) continue;
            assert_int_equal(uf_asterix_step(&s, UF_ASTERIX_LEFT, NULL), 0);
            assert_memory_equal(&s, &over, sizeof s);
        }
    // gold next to the player that moves away is missed; an enemy that comes to where the player was does nothing
    UfAsterix s;
    uf_asterix_reset(&s);
    s.used = s.right = 1 << 4;
    s.x[4] = 4;
    s.move_timer = 0;
    assert_int_equal(uf_asterix_step(&s, UF_ASTERIX_UP, NULL), 0);
    assert_false(s.terminal);
    assert_int_equal(s.x[4], 5);
    // what spawns where the player stands is met at once
    uf_asterix_reset(&s);
    s.player_x = 9;
    s.player_y = 1;
    s.spawn_timer = 0;
    assert_int_equal(uf_asterix_step(&s, UF_ASTERIX_NONE, &enemy_left), 0);
    assert_true(s.terminal);
}

static void test_asterix_planes(void** state) {
    (void)state;
    UfAsterix s;
    float obs[UF_MINATAR_MAX_OBS], expected[400] = {0};
    uf_asterix_reset(&s);
    s.used = 1 | 4 | 8 | 128;  // an enemy in each direction, gold, and one with its trail beyond the grid
    s.right = 1 | 8;
    s.gold = 4;
    s.x[0] = 4;
    s.x[2] = 7;
    s.x[3] = 0;
    s.x[7] = 9;
    uf_asterix_observe(&s, obs);
    expected[(5 * 10 + 5) * 4] = 1;
    expected[(1 * 10 + 4) * 4 + 1] = expected[(1 * 10 + 3) * 4 + 2] = 1;
    expected[(3 * 10 + 7) * 4 + 3] = expected[(3 * 10 + 8) * 4 + 2] = 1;
    expected[(4 * 10 + 0) * 4 + 1] = 1;
    expected[(8 * 10 + 9) * 4 + 1] = 1;
    assert_memory_equal(obs, expected, sizeof expected);
}

// ---- SpaceInvaders ----

static UfInvaders invaders_start(void) {
    UfInvaders s;
    uf_invaders_reset(&s);
    return s;
}

// One alien far from where things happen, so that there is a wave; it does not move or shoot soon.
static UfInvaders invaders_quiet(void) {
    UfInvaders s = invaders_start();
    memset(s.alien_map, 0, sizeof s.alien_map);
    s.alien_map[0] = ROW(9);
    s.alien_move_timer = s.alien_shot_timer = 100;
    return s;
}

static void test_invaders_start(void** state) {
    (void)state;
    const UfInvaders s = invaders_start();
    float obs[UF_MINATAR_MAX_OBS];
    for (int y = 0; y < 10; y++) assert_int_equal(s.alien_map[y], y < 4 ? 0x1FC : 0);  // columns 2 to 8
    assert_int_equal(uf_minatar_count(s.alien_map), 28);
    assert_int_equal(s.pos, 5);
    assert_int_equal(s.alien_dir, -1);
    assert_int_equal(s.enemy_move_interval, 12);
    assert_int_equal(s.alien_move_timer, 12);
    assert_int_equal(s.alien_shot_timer, 10);
    assert_int_equal(s.shot_timer, 0);
    for (int going = -1; going <= 1; going += 2) {
        UfInvaders t = s;
        t.alien_dir = (int8_t)going;
        t.f_bullet_map[6] = ROW(1);
        t.e_bullet_map[7] = ROW(2);
        uf_invaders_observe(&t, obs);
        for (int i = 0; i < 100; i++) {
            const int alien = i / 10 < 4 && i % 10 >= 2 && i % 10 <= 8;
            const float expected[] = {
                i == 95, (float)alien, (float)(alien && going < 0), (float)(alien && going > 0),
                i == 61, i == 72};
            assert_memory_equal(obs + 6 * i, expected, sizeof expected);
        }
    }
}

static void test_invaders_cannon(void** state) {
    (void)state;
    UfInvaders s = invaders_quiet();
    static const struct {
        int x, action, new_x;
    } cases[] = {{5, UF_INVADERS_LEFT, 4}, {5, UF_INVADERS_RIGHT, 6}, {5, UF_INVADERS_FIRE, 5},
                 {0, UF_INVADERS_LEFT, 0}, {9, UF_INVADERS_RIGHT, 9}, {5, UF_INVADERS_NONE, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s = invaders_quiet();
        s.pos = (int8_t)cases[i].x;
        uf_invaders_step(&s, cases[i].action);
        assert_int_equal(s.pos, cases[i].new_x);
        assert_int_equal(uf_minatar_count(s.f_bullet_map), cases[i].action == UF_INVADERS_FIRE);
    }
    // shots in steps 1, 6, 11, ...; each goes up by a cell a step, first in the step of its shot, and leaves at the top
    s = invaders_quiet();
    for (int t = 1; t <= 40; t++) {
        uf_invaders_step(&s, UF_INVADERS_FIRE);
        for (int y = 0; y < 10; y++) {
            const int shot = t - (8 - y);
            assert_int_equal(s.f_bullet_map[y], y <= 8 && shot >= 1 && shot % 5 == 1 ? ROW(5) : 0);
        }
    }
    assert_int_equal(s.shot_timer, 5 - (40 - 36) - 1);
    for (int t = 0; t < 9; t++) uf_invaders_step(&s, UF_INVADERS_NONE);
    assert_int_equal(s.shot_timer, 0);  // not below
}

static void test_invaders_bullets(void** state) {
    (void)state;
    // One of theirs reaches the last row where the cannon was before the step: over, wherever it goes.
    for (int action = UF_INVADERS_NONE; action <= UF_INVADERS_RIGHT; action++)
        for (int x = 4; x <= 6; x++) {
            UfInvaders s = invaders_quiet();
            s.e_bullet_map[8] = ROW(x);
            uf_invaders_step(&s, action);
            assert_int_equal(s.terminal, x == 5);
            assert_int_equal(s.e_bullet_map[9], ROW(x));
            if (s.terminal) continue;
            // there it stays for this step and then is gone
            uf_invaders_step(&s, UF_INVADERS_NONE);
            assert_int_equal(uf_minatar_count(s.e_bullet_map), 0);
            assert_false(s.terminal);
        }
    // own bullets and theirs pass through each other
    UfInvaders s = invaders_quiet();
    s.f_bullet_map[5] = s.e_bullet_map[3] = ROW(2);
    uf_invaders_step(&s, UF_INVADERS_NONE);
    assert_int_equal(s.f_bullet_map[4], ROW(2));
    assert_int_equal(s.e_bullet_map[4], ROW(2));
    // own bullets on aliens: one for each, both vanish, others stay
    s = invaders_quiet();
    s.alien_map[3] = ROW(2) | ROW(3) | ROW(4);
    s.alien_map[1] = ROW(7);
    s.f_bullet_map[4] = ROW(2) | ROW(4) | ROW(6);
    s.f_bullet_map[2] = ROW(7);
    assert_int_equal(uf_invaders_step(&s, UF_INVADERS_NONE), 3);
    assert_int_equal(s.alien_map[3], ROW(3));
    assert_int_equal(s.f_bullet_map[3], ROW(6));
    assert_int_equal(s.alien_map[1] | s.f_bullet_map[1], 0);
    // they are met where they are after their move
    s = invaders_quiet();
    s.alien_map[3] = ROW(4);
    s.f_bullet_map[4] = ROW(3);
    s.alien_move_timer = 0;
    assert_int_equal(uf_invaders_step(&s, UF_INVADERS_NONE), 1);
}

// Aliens move in steps 13, 25, ...: twice to the left, then down and the other way.
static void test_invaders_march(void** state) {
    (void)state;
    UfInvaders s = invaders_start();
    s.alien_shot_timer = 120;
    uint16_t row = 0x1FC;
    int top = 0, dir = -1, timer = 12;
    for (int t = 1; t <= 120; t++) {
        uf_invaders_step(&s, UF_INVADERS_NONE);
        if (t > 12 && t % 12 == 1) {
            if (row & (dir < 0 ? 1 : 512)) {
                dir = -dir;
                top++;
            } else {
                row = (uint16_t)(dir < 0 ? row >> 1 : row << 1);
            }
            timer = 12;
        }
        timer--;
        for (int y = 0; y < 10; y++) assert_int_equal(s.alien_map[y], y >= top && y < top + 4 ? row : 0);
        assert_int_equal(s.alien_dir, dir);
        assert_int_equal(s.alien_move_timer, timer);
    }
    assert_int_equal(top, 2);
    assert_false(s.terminal);
    // fewer aliens than the interval: as many steps as they are
    s = invaders_quiet();
    s.alien_map[0] = ROW(4) | ROW(5) | ROW(6);
    s.alien_move_timer = 0;
    uf_invaders_step(&s, UF_INVADERS_NONE);
    assert_int_equal(s.alien_map[0], ROW(3) | ROW(4) | ROW(5));
    assert_int_equal(s.alien_move_timer, 3 - 1);
    // down from the last row: over, and it is in the first
    s = invaders_quiet();
    s.alien_map[0] = 0;
    s.alien_map[9] = ROW(0);
    s.alien_map[4] = ROW(2);
    s.alien_move_timer = 0;
    uf_invaders_step(&s, UF_INVADERS_NONE);
    assert_true(s.terminal);
    assert_int_equal(s.alien_map[0], ROW(0));
    assert_int_equal(s.alien_map[5], ROW(2));
    assert_int_equal(s.alien_map[9], 0);
    // an alien on the cannon's new cell: where the cannon goes to one, and where one comes to it, sideways and from above
    s = invaders_quiet();
    s.alien_map[9] = ROW(4);
    uf_invaders_step(&s, UF_INVADERS_LEFT);
    assert_true(s.terminal);
    s = invaders_quiet();
    s.alien_map[9] = ROW(5);
    uf_invaders_step(&s, UF_INVADERS_LEFT);
    assert_false(s.terminal);
    for (int below = 0; below < 2; below++) {
        s = invaders_quiet();
        s.alien_map[8 + !below] = below ? ROW(5) | ROW(0) : ROW(6);
        s.alien_move_timer = 0;
        uf_invaders_step(&s, UF_INVADERS_NONE);
        assert_true(s.terminal);
    }
}

static void test_invaders_shots(void** state) {
    (void)state;
    // in steps 11, 21, ...
    UfInvaders s = invaders_start();
    s.alien_move_timer = 120;
    s.pos = 0;
    for (int t = 1; t <= 100; t++) {
        uf_invaders_step(&s, UF_INVADERS_NONE);
        assert_int_equal(s.e_bullet_map[3],
                         t > 10 && t % 10 == 1 ? ROW(2) : 0);  // of the column nearest to 0
    }
    static const struct {
        int pos;
        uint16_t columns;
        int x;
    } cases[] = {{5, ROW(5) | ROW(4), 5}, {5, ROW(3) | ROW(7), 3}, {5, ROW(3) | ROW(6), 6},
                 {0, ROW(9), 9},          {9, ROW(0) | ROW(1), 1}, {9, ROW(0), 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s = invaders_quiet();
        s.pos = (int8_t)cases[i].pos;
        s.alien_shot_timer = 0;
        s.alien_map[0] = 0;
        s.alien_map[1] = s.alien_map[2] = s.alien_map[4] = cases[i].columns;
        uf_invaders_step(&s, UF_INVADERS_NONE);
        assert_int_equal(s.e_bullet_map[4], ROW(cases[i].x));  // from the lowest
        assert_int_equal(uf_minatar_count(s.e_bullet_map), 1);
        assert_int_equal(s.alien_shot_timer, 9);
    }
    // the nearest to where the cannon is after its move
    s = invaders_quiet();
    s.alien_shot_timer = 0;
    s.alien_map[2] = ROW(2) | ROW(7);
    s.alien_map[0] = 0;
    s.pos = 4;
    uf_invaders_step(&s, UF_INVADERS_RIGHT);
    assert_int_equal(s.e_bullet_map[2], ROW(7));
    // dropped before own bullets hit: the one that is hit still has shot
    s = invaders_quiet();
    s.alien_shot_timer = 0;
    s.alien_map[2] = s.f_bullet_map[3] = ROW(5);
    assert_int_equal(uf_invaders_step(&s, UF_INVADERS_NONE), 1);
    assert_int_equal(s.e_bullet_map[2], ROW(5));
}

// The interval goes 12, 11, .., 6 and stays; a new wave has 24.
static void test_invaders_waves(void** state) {
    (void)state;
    UfInvaders s = invaders_start();
    s.alien_dir = 1;
    for (int wave = 1; wave <= 9; wave++) {
        memset(s.alien_map, 0, sizeof s.alien_map);
        s.alien_map[3] = s.f_bullet_map[4] = ROW(7);
        s.f_bullet_map[8] = s.e_bullet_map[2] = ROW(1);
        s.alien_move_timer = 5;
        s.alien_shot_timer = 4;
        s.shot_timer = 3;
        assert_int_equal(uf_invaders_step(&s, UF_INVADERS_NONE), 1);
        for (int y = 0; y < 10; y++) assert_int_equal(s.alien_map[y], y < 4 ? 0xFC : 0);  // columns 2 to 7
        assert_int_equal(s.enemy_move_interval, wave < 6 ? 12 - wave : 6);
        assert_int_equal(s.ramp_index, wave < 6 ? wave : 6);
        assert_int_equal(s.alien_dir, 1);
        assert_int_equal(s.f_bullet_map[7], ROW(1));
        assert_int_equal(s.e_bullet_map[3], ROW(1));
        assert_int_equal(s.alien_move_timer, 4);
        assert_int_equal(s.alien_shot_timer, 3);
        assert_int_equal(s.shot_timer, 2);
        memset(s.f_bullet_map, 0, sizeof s.f_bullet_map);
        memset(s.e_bullet_map, 0, sizeof s.e_bullet_map);
    }
}

// ---- Freeway ----

static const UfFreewayDraws all_speeds = {{1, -2, 3, -4, 5, -1, 2, -3}};

static UfFreeway freeway_start(void) {
    UfFreeway s;
    uf_freeway_reset(&s, &all_speeds);
    return s;
}

// Cars of speed 5 that are far from the chicken.
static UfFreeway freeway_quiet(void) {
    UfFreeway s = freeway_start();
    for (int i = 0; i < 8; i++) {
        s.speed[i] = s.timer[i] = 5;
        s.x[i] = 9;
    }
    return s;
}

static void test_freeway_cars(void** state) {
    (void)state;
    UfFreeway s = freeway_start();
    float obs[UF_MINATAR_MAX_OBS], expected[UF_MINATAR_MAX_OBS];
    int x[8] = {0};
    for (int t = 0; t <= 200; t++) {
        memset(expected, 0, sizeof expected);
        expected[(9 * 10 + 4) * 7] = 1;
        for (int i = 0; i < 8; i++) {
            const int speed = all_speeds.speed[i], right = speed > 0, wait = right ? speed : -speed;
            // starts at x 0 and moves every |speed| + 1 steps, first in step |speed| + 1
            if (t > 0 && t % (wait + 1) == 0) x[i] = (x[i] + (right ? 1 : 9)) % 10;
            assert_int_equal(s.x[i], x[i]);
            assert_int_equal(s.timer[i], wait - t % (wait + 1));
            expected[((i + 1) * 10 + x[i]) * 7 + 1] = 1;
            expected[((i + 1) * 10 + (x[i] + (right ? 9 : 1)) % 10) * 7 + 1 + wait] = 1;
        }
        uf_freeway_observe(&s, obs);
        assert_memory_equal(obs, expected, sizeof obs);
        assert_int_equal(uf_freeway_step(&s, UF_FREEWAY_NONE, NULL), 0);
    }
}

static void test_freeway_chicken(void** state) {
    (void)state;
    // up all the time: first in step 4, then every third
    UfFreeway s = freeway_start();
    for (int t = 1; t <= 24; t++) {
        for (int i = 0; i < 8; i++) s.x[i] = 9;
        uf_freeway_step(&s, UF_FREEWAY_UP, NULL);
        assert_int_equal(s.pos, 9 - (t - 1) / 3);
        assert_int_equal(s.move_timer, (3 - t % 3) % 3);
    }
    // down, and against the edge, where it rests as well; no action does not make it rest
    static const struct {
        int y, action, new_y, timer;
    } cases[] = {{5, UF_FREEWAY_DOWN, 6, 2},
                 {9, UF_FREEWAY_DOWN, 9, 2},
                 {5, UF_FREEWAY_UP, 4, 2},
                 {5, UF_FREEWAY_NONE, 5, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s = freeway_quiet();
        s.pos = (int8_t)cases[i].y;
        s.move_timer = 0;
        assert_int_equal(uf_freeway_step(&s, cases[i].action, NULL), 0);
        assert_int_equal(s.pos, cases[i].new_y);
        assert_int_equal(s.move_timer, cases[i].timer);
    }
}

static void test_freeway_contact(void** state) {
    (void)state;
    static const struct {
        int x, timer, speed, y;  // the chicken is in row 4, as car 3
    } cases[] = {
        {4, 2, 5, 9},   // stands there
        {4, 0, 5, 9},   // stands there and goes on
        {3, 0, 5, 9},   // comes
        {5, 0, -5, 9},  // comes from the other side
        {3, 1, 5, 4},   // waits
        {5, 0, 5, 4},   // goes away
        {3, 0, -5, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        UfFreeway s = freeway_quiet();
        s.pos = 4;
        s.x[3] = (int8_t)cases[i].x;
        s.timer[3] = (int8_t)cases[i].timer;
        s.speed[3] = (int8_t)cases[i].speed;
        s.x[5] = 4;  // another row
        uf_freeway_step(&s, UF_FREEWAY_NONE, NULL);
        if (s.pos != cases[i].y) fail_msg("case %zu: row %d", i, s.pos);
    }
}

static void test_freeway_crossing(void** state) {
    (void)state;
    UfFreeway s = freeway_quiet();
    const UfFreewayDraws new_speeds = {{-1, 1, 4, -5, 2, 3, -2, 5}};
    s.pos = 1;
    s.move_timer = 0;
    s.x[7] = 4;
    assert_true(uf_freeway_draws(&s, UF_FREEWAY_UP));
    assert_false(uf_freeway_draws(&s, UF_FREEWAY_NONE));
    assert_false(uf_freeway_draws(&s, UF_FREEWAY_DOWN));
    s.move_timer = 1;
    assert_false(uf_freeway_draws(&s, UF_FREEWAY_UP));
    s.move_timer = 0;
    assert_int_equal(uf_freeway_step(&s, UF_FREEWAY_UP, &new_speeds), 1);
    assert_int_equal(s.pos, 9);
    assert_int_equal(s.move_timer, 2);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(s.speed[i], new_speeds.speed[i]);
        assert_int_equal(s.timer[i],
                         abs(new_speeds.speed[i]) - 1);  // the cars' turn comes after the chicken's
        assert_int_equal(s.x[i], i == 7 ? 4 : 9);
    }
}

// ---- environments ----

static void test_names(void** state) {
    (void)state;
    assert_string_equal(uf_env_find("minatar-breakout")->name, "Breakout-MinAtar");
    assert_string_equal(uf_env_find("minatar-spaceinvaders-replay.hdf5")->name, "SpaceInvaders-MinAtar");
    assert_string_equal(uf_env_find("FREEWAY-minatar")->name, "Freeway-MinAtar");
    static const int dims[4][3] = {{400, 3, 1000}, {400, 5, 1000}, {600, 4, 1000}, {700, 3, 2500}};
    for (int i = 0; i < 4; i++) {
        const UfEnvSpec* spec = uf_env_find(names[i]);
        UfEnvRule rule;
        assert_non_null(spec);
        assert_int_equal(spec->obs_dim, dims[i][0]);
        assert_int_equal(spec->action_dim, dims[i][1]);
        assert_int_equal(spec->max_steps, dims[i][2]);
        assert_true(spec->discrete);
        assert_false(uf_env_rule(spec, &rule));  // devices leave it to the host
    }
}

static double plane_sum(const float* obs, int planes, int plane) {
    double sum = 0;
    for (int i = 0; i < 100; i++) sum += obs[i * planes + plane];
    return sum;
}

// What must hold whatever the state: one cell of the player, one ball, and so on.
static void check_planes(int game, const float* obs, int planes, bool terminated) {
    double sum[UF_MINATAR_MAX_PLANES];
    for (int i = 0; i < 100 * planes; i++) assert_true(obs[i] == 0 || obs[i] == 1);
    for (int p = 0; p < planes; p++) sum[p] = plane_sum(obs, planes, p);
    assert_true(sum[0] == 1);
    switch (game) {
        case 0: assert_true(sum[1] == 1 && sum[2] == 1 && sum[3] <= 30); break;
        case 1: assert_true(sum[1] + sum[3] <= 8 && sum[2] <= sum[1] + sum[3]); break;
        case 2:
            assert_true(sum[1] >= 1 && sum[1] <= 28 && sum[2] + sum[3] == sum[1] && sum[2] * sum[3] == 0);
            assert_true(terminated || sum[5] <= 2);
            break;
        default: assert_true(sum[1] == 8 && sum[2] + sum[3] + sum[4] + sum[5] + sum[6] == 8);
    }
}

// Random play with the state taken out and put into another environment on the way: both go on alike, spawns included.
static void test_random_play(void** state) {
    (void)state;
    for (int game = 0; game < 4; game++) {
        const UfEnvSpec* spec = uf_env_find(names[game]);
        UfEnv *env, *twin;
        float obs[UF_MINATAR_MAX_OBS], same[UF_MINATAR_MAX_OBS], action;
        double at[UF_ENV_MAX_STATE], after[UF_ENV_MAX_STATE], reward, again;
        bool terminated, truncated, ends, cut;
        const int planes = spec->obs_dim / 100;
        int longest = 0;
        assert_ok(uf_env_create(&env, names[game]));
        assert_ok(uf_env_create(&twin, names[game]));
        uf_env_reset(twin, 99, 99, same);
        for (uint64_t e = 0; e < 30; e++) {
            const double skill = (double)(e % 3) / 2;
            UfRandom random = uf_random(5, UF_STREAM_CONTROLLER, e);
            int t = 0;
            uf_env_reset(env, (uint64_t)7 << 40, e, obs);
            check_planes(game, obs, planes, false);
            for (terminated = truncated = false; !terminated && !truncated; t++) {
                assert_ok(uf_env_controller(spec, env, obs, skill, &random, &action));
                const bool checked = t % 7 == 3;
                if (checked) {
                    uf_env_get_state(env, at);
                    uf_env_set_state(twin, at, same);
                    assert_memory_equal(same, obs, (size_t)spec->obs_dim * sizeof *obs);
                }
                uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
                check_planes(game, obs, planes, terminated);
                assert_int_equal(truncated, t + 1 == spec->max_steps);
                if (!checked) continue;
                uf_env_step(twin, &action, same, &again, &ends, &cut);
                uf_env_get_state(env, at);
                uf_env_get_state(twin, after);
                assert_memory_equal(at, after, (size_t)spec->state_dim * sizeof *at);
                assert_memory_equal(same, obs, (size_t)spec->obs_dim * sizeof *obs);
                assert_true(reward == again && ends == terminated);
            }
            if (t > longest) longest = t;
        }
        assert_int_equal(longest, spec->max_steps);
        uf_env_free(env);
        uf_env_free(twin);
    }
}

enum { DRAWS = 4000 };

// Within 5 standard deviations of DRAWS * p: by chance beyond once in a million.
static void check_odds(const char* what, int count, double p) {
    const double sigma = sqrt(DRAWS * p * (1 - p));
    if (!(fabs(count - DRAWS * p) < 5 * sigma))
        fail_msg("%s: %d of %d, expected %g", what, count, DRAWS, DRAWS * p);
}

// What environments draw: the odds over episodes as over the steps of one, and the same again for the same names.
static void test_draws(void** state) {
    (void)state;
    UfEnv *asterix, *freeway, *breakout;
    float obs[UF_MINATAR_MAX_OBS], up = UF_FREEWAY_UP, none = UF_ASTERIX_NONE;
    double reward;
    bool terminated, truncated;
    int left = 0;
    assert_ok(uf_env_create(&asterix, "minatar-asterix"));
    assert_ok(uf_env_create(&freeway, "minatar-freeway"));
    assert_ok(uf_env_create(&breakout, "minatar-breakout"));
    UfAsterix* a = &uf_minatar_game(asterix)->asterix;
    UfFreeway* f = &uf_minatar_game(freeway)->freeway;
    for (int over_steps = 0; over_steps < 2; over_steps++) {
        int slots[8] = {0}, kinds[4] = {0}, speeds[8][11] = {{0}}, starts[8][11] = {{0}};
        for (int k = 0; k < DRAWS; k++) {
            const uint64_t episode = over_steps ? 7 : (uint64_t)k;
            int8_t drawn[8];
            for (int again = 0; again < 2; again++) {
                uf_env_reset(asterix, 1, episode, obs);
                a->time = over_steps ? k : 10;
                a->spawn_timer = 0;
                uf_env_step(asterix, &none, obs, &reward, &terminated, &truncated);
                uf_env_reset(freeway, 1, episode, obs);
                for (int i = 0; i < 8 && !again; i++) starts[i][f->speed[i] + 5]++;
                f->time = over_steps ? k : 10;
                f->pos = 1;
                f->move_timer = 0;
                uf_env_step(freeway, &up, obs, &reward, &terminated, &truncated);
                assert_true(reward == 1);
                if (again) assert_memory_equal(drawn, f->speed, sizeof drawn);
                memcpy(drawn, f->speed, sizeof drawn);
            }
            assert_true(a->used != 0 && (a->used & (a->used - 1)) == 0);
            const int slot = uf_minatar_lowest(a->used);
            slots[slot]++;
            kinds[(a->right >> slot & 1) + 2 * (a->gold >> slot & 1)]++;
            for (int i = 0; i < 8; i++) speeds[i][drawn[i] + 5]++;
        }
        for (int i = 0; i < 8; i++) {
            check_odds("slot", slots[i], 1 / 8.0);
            assert_int_equal(speeds[i][5] + starts[i][5], 0);
            for (int v = 0; v <= 10; v++) {
                if (v != 5) check_odds("speed", speeds[i][v], 0.1);
                if (v != 5 && !over_steps) check_odds("speed at the start", starts[i][v], 0.1);
            }
        }
        for (int kind = 0; kind < 4; kind++)
            check_odds("direction and gold", kinds[kind], kind < 2 ? 1 / 3.0 : 1 / 6.0);
    }
    for (int k = 0; k < DRAWS; k++) {
        uf_env_reset(breakout, 1, (uint64_t)k, obs);
        left += uf_minatar_game(breakout)->breakout.ball_x == 0;
    }
    check_odds("ball at the left", left, 0.5);
    uf_env_free(asterix);
    uf_env_free(freeway);
    uf_env_free(breakout);
}

// Any slot is as likely at any place of the order.
static void test_orders(void** state) {
    (void)state;
    int places[8][8] = {{0}};
    for (int k = 0; k < DRAWS; k++) {
        UfRandom random = uf_random(2, UF_STREAM_ENV_STEP, (uint64_t)k);
        const UfAsterixDraws draws = uf_asterix_draw(&random);
        for (int i = 0; i < 8; i++) places[i][draws.order[i]]++;
    }
    for (int i = 0; i < 64; i++) check_odds("place in the order", places[i / 8][i % 8], 1 / 8.0);
}

// A state that no game has, from a damaged file, leads out of no array.
static void test_wild_states(void** state) {
    (void)state;
    for (int game = 0; game < 4; game++) {
        const UfEnvSpec* spec = uf_env_find(names[game]);
        float obs[UF_MINATAR_MAX_OBS + 1], action;
        double wild[UF_ENV_MAX_STATE], reward;
        bool terminated, truncated;
        UfEnv* env;
        UfRandom random = uf_random(3, 0, (uint64_t)game);
        assert_ok(uf_env_create(&env, names[game]));
        for (int k = 0; k < 2000; k++) {
            for (int i = 0; i < UF_ENV_MAX_STATE; i++) wild[i] = uf_random_u32(&random);
            wild[uf_random_u32(&random) % 20] = k % 3 == 0 ? (double)NAN : k % 3 == 1 ? -1 : 1e300;
            obs[spec->obs_dim] = 42;
            uf_env_set_state(env, wild, obs);
            for (int t = 0; t < 5; t++) {
                action = (float)(uf_random_u32(&random) % (uint32_t)spec->action_dim);
                uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
                assert_true(plane_sum(obs, spec->obs_dim / 100, 0) == 1);
            }
            assert_true(obs[spec->obs_dim] == 42);
        }
        uf_env_free(env);
    }
}

// ---- recordings ----

static void check_traces(const char* path) {
    char* report;
    bool passed;
    assert_ok(uf_verify(path, &report, &passed));
    if (!passed) fail_msg("%s", report);
    for (int i = 0; i < 4; i++) assert_non_null(strstr(report, names[i]));
    assert_non_null(strstr(report, "PASS "));
    uf_free(report);
}

static void test_traces(void** state) {
    (void)state;
    check_traces(TRACES);
}

static void test_all_traces(void** state) {
    (void)state;
    const char* path = "../shared/oracle/minatar_traces.h5";
    if (access(path, R_OK) != 0) {
        printf("SKIP test_all_traces: %s not there\n", path);
        skip();
    }
    check_traces(path);
}

// One number of each game in a copy: the games are checked apart, so that each must say so for itself.
static void test_altered(void** state) {
    (void)state;
    enum { ROUNDS = 8 };
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* check;  // that says FAIL
    } cases[4][ROUNDS] = {
        {{"breakout/before/pos", 30, 40, "one step: states"},
         {"breakout/before/brick_map", 205, 1, "one step: states"},
         {"breakout/after/strike", 300, 1, "one step: states"},
         {"breakout/obs", 777, 1, "one step: observations"},
         {"breakout/reward", 9, 1, "one step: rewards"},
         {"breakout/done", 3, 1, "one step: ends"},
         {"breakout/ep_obs0", 405, 1, "starts"},
         {"breakout/reset/obs", 3, 1, "resets from draws"}},
        {{"asterix/before/shot_timer", 1, 1, "one step: states"},
         {"asterix/after/ramp_timer", 500, 1, "replay"},
         {"asterix/after/terminal", 1, 1, "one step: states"},
         {"asterix/draws/used", 10, -1, "when chance matters"},
         {"asterix/draws/right", 0, 1, "when chance matters"},
         {"asterix/reset/player_x", 0, 1, "resets from draws"},
         {"asterix/after/time", 700, 1, "one step: states"},
         {"asterix/done", 2000, 1, "one step: ends"}},
        {{"space_invaders/before/ramping", 5, -1, "one step: states"},
         {"space_invaders/before/alien_dir", 5, 1, "one step: states"},
         {"space_invaders/after/e_bullet_map", 999, 1, "one step: states"},
         {"space_invaders/ep_forced", 0, 2, "starts"},
         {"space_invaders/reset/alien_map", 25, -1, "resets from draws"},
         {"space_invaders/reward", 1000, -1, "one step: rewards"},
         {"space_invaders/action", 0, 1, "replay"},
         {"space_invaders/obs", 6000, 1, "one step: observations"}},
        {{"freeway/before/cars", 4 * 77 + 1, 1, "one step: states"},
         {"freeway/after/cars", 4 * 8 * 50 + 2, 1, "replay"},
         {"freeway/obs", 7000, 1, "replay"},
         {"freeway/draws/speed", 3, 1, "when chance matters"},
         {"freeway/before/move_timer", 60, 1, "replay"},
         {"freeway/after/time", 3, 1, "one step: states"},
         {"freeway/reset/cars", 3, 1, "resets from draws"},
         {"freeway/ep_obs0", 4, 1, "starts"}},
    };
    for (int round = 0; round < ROUNDS; round++) {
        const char* path;
        char* report;
        bool passed;
        hid_t file = open_copy(TRACES, &path);
        for (int g = 0; g < 4; g++)
            alter(file, cases[g][round].dataset, cases[g][round].index, cases[g][round].change);
        H5Fclose(file);
        assert_ok(uf_verify_minatar_traces(path, &report, &passed));
        assert_false(passed);
        for (int g = 0; g < 4; g++) {
            bool fails = false;
            for (char *line = report, *end; (end = strchr(line, '\n')); line = end + 1) {
                *end = 0;
                fails = fails || (!strncmp(line, names[g], strlen(names[g])) &&
                                  strstr(line, cases[g][round].check) && strstr(line, "FAIL"));
                *end = '\n';
            }
            if (!fails)
                fail_msg("%s changed, but '%s' does not say so:\n%s", cases[g][round].dataset,
                         cases[g][round].check, report);
        }
        uf_free(report);
    }
}

// Leftovers of entities that are not in use are not looked at; loaded dice are noticed.
static void test_leftovers_and_dice(void** state) {
    (void)state;
    const char* path;
    char* report;
    bool passed;
    hid_t file = open_copy(TRACES, &path);
    alter(file, "asterix/reset/entities", 0, 7);  // none is in use at the start
    alter(file, "asterix/reset/entities", 8, 3);
    H5Fclose(file);
    assert_ok(uf_verify_minatar_traces(path, &report, &passed));
    if (!passed) fail_msg("%s", report);
    uf_free(report);

    file = open_copy(TRACES, &path);  // every ball from the left
    int8_t side[40];
    hid_t data = H5Dopen2(file, "breakout/reset/draw_side", H5P_DEFAULT);
    memset(side, 0, sizeof side);
    assert_true(H5Dwrite(data, H5T_NATIVE_INT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, side) >= 0);
    H5Dclose(data);
    H5Fclose(file);
    assert_ok(uf_verify_minatar_traces(path, &report, &passed));
    assert_false(passed);
    const char* line = strstr(report, "odds of its resets");
    assert_non_null(line);
    assert_non_null(strstr(line, "FAIL"));
    assert_true(strstr(line, "FAIL") < strchr(line, '\n'));
    uf_free(report);
}

static void refuse(const char* path, const char* sentence) {
    char* report;
    bool passed;
    assert_int_equal(uf_verify_minatar_traces(path, &report, &passed), UF_ERR_FORMAT);
    assert_error(sentence);
    assert_false(passed);
    assert_null(report);
}

// Puts another value in the place of an attribute.
static void set_attribute(hid_t file, const char* group, const char* name, hid_t type, const void* value) {
    hid_t space = H5Screate(H5S_SCALAR), object = H5Oopen(file, group, H5P_DEFAULT);
    H5Adelete(object, name);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, value) >= 0);
    H5Aclose(attribute);
    H5Oclose(object);
    H5Sclose(space);
}

static void set_number(hid_t file, const char* group, const char* name, int value) {
    set_attribute(file, group, name, H5T_NATIVE_INT, &value);
}

static void set_text(hid_t file, const char* group, const char* name, const char* text) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(text) + 1);
    set_attribute(file, group, name, type, text);
    H5Tclose(type);
}

static void test_malformed(void** state) {
    (void)state;
    const char* path;
    char* report;
    bool passed;
    assert_int_equal(uf_verify_minatar_traces(in_folder("absent.h5"), &report, &passed), UF_ERR_IO);

    hid_t file = open_copy(TRACES, &path);  // games may be left out
    H5Ldelete(file, "asterix", H5P_DEFAULT);
    H5Ldelete(file, "breakout", H5P_DEFAULT);
    H5Fclose(file);
    assert_ok(uf_verify_minatar_traces(path, &report, &passed));
    assert_true(passed);
    assert_non_null(strstr(report, "not recorded: breakout, asterix"));
    assert_non_null(strstr(report, "Freeway-MinAtar"));
    uf_free(report);

    file = open_copy(TRACES, &path);
    H5Ldelete(file, "asterix/before/ramp_index", H5P_DEFAULT);
    H5Fclose(file);
    refuse(path, "asterix/before/ramp_index");

    file = open_copy(TRACES, &path);
    H5Gclose(H5Gcreate2(file, "seaquest", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    refuse(path, "group 'seaquest' is no game of MinAtar that we know");

    file = open_copy(TRACES, &path);  // another game's observations
    H5Ldelete(file, "asterix/obs", H5P_DEFAULT);
    H5Ocopy(file, "freeway/obs", file, "asterix/obs", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refuse(path, "rows of 400 expected");

    file = open_copy(TRACES, &path);
    alter(file, "space_invaders/ep_length", 0, 1);
    H5Fclose(file);
    refuse(path, "adds up to");

    file = open_copy(TRACES, &path);
    alter(file, "space_invaders/ep_length", 0, 1e6);
    H5Fclose(file);
    refuse(path, "1 to 1000 expected");

    file = open_copy(TRACES, &path);
    alter(file, "breakout/action", 5, 17);
    H5Fclose(file);
    refuse(path, "0 to 2 expected");

    file = open_copy(TRACES, &path);
    for (int k = 0; k < 8; k++) alter(file, "asterix/draws/order", 8 * 10 + k, 90);  // the first spawn
    H5Fclose(file);
    refuse(path, "'asterix/draws' of step 10 are none that the game could draw");

    file = open_copy(TRACES, &path);
    alter(file, "freeway/reset/draw_speed", 3, -20);
    H5Fclose(file);
    refuse(path, "'freeway/reset/draw_speed' of reset 0 is none that the game could draw");

    file = open_copy(TRACES, &path);
    set_number(file, "freeway", "max_steps", 1000);
    H5Fclose(file);
    refuse(path, "attribute 'max_steps' of freeway is 1000; 2500 expected");

    file = open_copy(TRACES, &path);
    set_number(file, "breakout", "planes", 3);
    H5Fclose(file);
    refuse(path, "attribute 'planes' of breakout is 3; 4 expected");

    file = open_copy(TRACES, &path);
    set_text(file, "asterix", "actions", "n,l,r,u,d");
    H5Fclose(file);
    refuse(path, "attribute 'actions' of asterix is 'n,l,r,u,d'; 'n,l,u,r,d' expected");
}

// ---- pictures ----

#ifndef UF_NO_CAIRO

enum { SIDE = 300, CELL = 30 };

static uint32_t pixels[SIDE * SIDE];

static void draw(int planes, const float* obs) {
    cairo_surface_t* surface =
        cairo_image_surface_create_for_data((unsigned char*)pixels, CAIRO_FORMAT_RGB24, SIDE, SIDE, 4 * SIDE);
    UfCanvas canvas = {.cairo = cairo_create(surface), .width = SIDE, .height = SIDE};
    cairo_set_source_rgb(canvas.cairo, 1, 1, 1);
    cairo_paint(canvas.cairo);
    assert_ok(uf_draw_minatar_obs(&canvas, planes, obs));
    cairo_destroy(canvas.cairo);
    cairo_surface_flush(surface);
    cairo_surface_destroy(surface);
}

static uint32_t at(double x, double y) { return pixels[(int)(y * CELL) * SIDE + (int)(x * CELL)] & 0xFFFFFF; }

static void test_pictures(void** state) {
    (void)state;
    const uint32_t blue = 0x0072B2, vermillion = 0xD55E00;
    float obs[UF_MINATAR_MAX_OBS] = {0};
    draw(4, obs);
    const uint32_t ground = at(0.5, 0.5);
    // bits: a cell each, one in the other where two are in one cell
    obs[(2 * 10 + 7) * 4] = 1;
    obs[(5 * 10 + 5) * 4] = obs[(5 * 10 + 5) * 4 + 1] = 1;
    draw(4, obs);
    assert_int_equal(at(7.5, 2.5), blue);
    assert_int_equal(at(7.15, 2.15), blue);
    assert_int_equal(at(6.5, 2.5), ground);
    assert_int_equal(at(2.5, 7.5), ground);
    assert_int_equal(at(5.5, 5.5), blue);
    assert_int_equal(at(5.15, 5.5), vermillion);
    // every plane has a colour of its own
    uint32_t seen[UF_DRAW_MINATAR_PLANES];
    for (int p = 0; p < UF_DRAW_MINATAR_PLANES; p++) {
        float wide[100 * UF_DRAW_MINATAR_PLANES] = {0};
        wide[p] = 1;
        draw(UF_DRAW_MINATAR_PLANES, wide);
        seen[p] = at(0.5, 0.5);
        assert_true(seen[p] != ground);
        for (int q = 0; q < p; q++) assert_true(seen[q] != seen[p]);
    }
    // numbers: 4 planes are 2 x 2 places in a cell, the largest fills its place, a quarter of it half the side
    memset(obs, 0, sizeof obs);
    obs[0] = 8;
    obs[1] = 2;
    obs[3] = -8;
    obs[4] = (float)NAN;
    draw(4, obs);
    assert_int_equal(at(0.25, 0.25), blue);
    assert_int_equal(at(0.05, 0.25), blue);
    assert_int_equal(at(0.75, 0.25), vermillion);
    assert_int_equal(at(0.6, 0.25), ground);
    assert_int_equal(at(0.25, 0.75), ground);  // plane 2 is 0
    assert_int_equal(at(0.75, 0.75), ground);  // hollow
    assert_true(at(0.56, 0.75) != ground);     // its rim
    assert_int_equal(at(1.25, 0.25), ground);  // no number
    obs[8] = -(float)INFINITY;
    draw(4, obs);
    assert_int_equal(at(0.05, 0.25), blue);  // the scale is that of the finite ones
    assert_true(at(2.06, 0.25) != ground);

    UfCanvas none = {.width = SIDE, .height = SIDE};
    assert_int_equal(uf_draw_minatar_obs(&none, 0, obs), UF_ERR_ARGUMENT);
    assert_int_equal(uf_draw_minatar_obs(&none, 10, obs), UF_ERR_ARGUMENT);
    assert_error("an observation of 10 planes; 1 to 9 can be drawn");
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breakout_start),
        cmocka_unit_test(test_breakout_paddle),
        cmocka_unit_test(test_breakout_ball),
        cmocka_unit_test(test_breakout_refill),
        cmocka_unit_test(test_asterix_timers),
        cmocka_unit_test(test_asterix_ramp),
        cmocka_unit_test(test_asterix_moves),
        cmocka_unit_test(test_asterix_spawn),
        cmocka_unit_test(test_asterix_contact),
        cmocka_unit_test(test_asterix_planes),
        cmocka_unit_test(test_invaders_start),
        cmocka_unit_test(test_invaders_cannon),
        cmocka_unit_test(test_invaders_bullets),
        cmocka_unit_test(test_invaders_march),
        cmocka_unit_test(test_invaders_shots),
        cmocka_unit_test(test_invaders_waves),
        cmocka_unit_test(test_freeway_cars),
        cmocka_unit_test(test_freeway_chicken),
        cmocka_unit_test(test_freeway_contact),
        cmocka_unit_test(test_freeway_crossing),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_random_play),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_wild_states),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_all_traces),
        cmocka_unit_test(test_altered),
        cmocka_unit_test(test_leftovers_and_dice),
        cmocka_unit_test(test_malformed),
#ifndef UF_NO_CAIRO
        cmocka_unit_test(test_pictures),
#endif
    };
    return cmocka_run_group_tests_name("minatar", tests, make_folder, remove_folder);
}
