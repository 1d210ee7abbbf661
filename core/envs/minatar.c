// minatar.c: MinAtar's games behind the interface of envs.h (what they do: minatar.h), and a script for each that looks
// a few steps ahead with the rules themselves.
//
// What chance decides in step t of an episode comes from (seed, episode, t), so that a state is the game and these two.
//
// Rooms: environment, scripts, table.
#include "core/envs/minatar.h"

#include <math.h>
#include <string.h>

#include "core/envs/draw.h"
#include "core/envs/envs.h"

// ---- environment ----

typedef struct MinatarEnv {
    UfEnv base;
    uint64_t seed, episode;
    UfMinatarGame game;
} MinatarEnv;

static UfStatus create(UfEnv** out, const UfEnvSpec* spec) {
    MinatarEnv* e;
    UF_TRY(UF_ALLOC(&e, 1, spec->name));
    *out = &e->base;
    return UF_OK;
}

static UfMinatarGame* game(UfEnv* env) { return &((MinatarEnv*)env)->game; }
static const UfMinatarGame* game_seen(const UfEnv* env) { return &((const MinatarEnv*)env)->game; }

UfMinatarGame* uf_minatar_game(UfEnv* env) { return game(env); }

static void keep_names(UfEnv* env, const UfRandom* random) {
    MinatarEnv* e = (MinatarEnv*)env;
    e->seed = random->seed;
    e->episode = random->update;
}

// The numbers of step `time`: a spawn takes 8 words, new speeds take 8, so 4 blocks of 4 words are plenty.
static UfRandom step_random(const UfEnv* env, int32_t time) {
    const MinatarEnv* e = (const MinatarEnv*)env;
    UfRandom random = uf_random(e->seed, UF_STREAM_ENV_STEP, e->episode);
    random.block = 4 * (uint64_t)(uint32_t)time;
    return random;
}

// The game as numbers of 32 bits, then seed and episode as two each.
enum { GAME_WORDS = sizeof(UfMinatarGame) / sizeof(uint32_t), STATE = GAME_WORDS + 4 };
_Static_assert(sizeof(UfMinatarGame) % sizeof(uint32_t) == 0, "a game is whole words");
_Static_assert((int)STATE == (int)UF_MINATAR_STATE && (int)STATE <= UF_ENV_MAX_STATE,
               "state_dim of the table");

static void get_state(const UfEnv* env, double* state) {
    const MinatarEnv* e = (const MinatarEnv*)env;
    uint32_t words[STATE];
    memcpy(words, &e->game, sizeof e->game);
    memcpy(words + GAME_WORDS, &e->seed, sizeof e->seed);
    memcpy(words + GAME_WORDS + 2, &e->episode, sizeof e->episode);
    for (int i = 0; i < STATE; i++) state[i] = words[i];
}

static void put_state(UfEnv* env, const double* state) {
    MinatarEnv* e = (MinatarEnv*)env;
    uint32_t words[STATE];
    for (int i = 0; i < STATE; i++)
        words[i] = state[i] >= 0 && state[i] <= UINT32_MAX ? (uint32_t)state[i] : 0;
    memcpy(&e->game, words, sizeof e->game);
    memcpy(&e->seed, words + GAME_WORDS, sizeof e->seed);
    memcpy(&e->episode, words + GAME_WORDS + 2, sizeof e->episode);
}

// ---- Breakout ----

static void breakout_reset(UfEnv* env, UfRandom* random) {
    keep_names(env, random);
    uf_breakout_reset(&game(env)->breakout, uf_breakout_draw(random));
}

static void breakout_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    UfBreakout* s = &game(env)->breakout;
    *reward = uf_breakout_step(s, uf_discrete_action(action, UF_BREAKOUT_ACTIONS));
    *terminated = s->terminal;
}

static void breakout_observe(const UfEnv* env, float* obs) {
    uf_breakout_observe(&game_seen(env)->breakout, obs);
}

static void breakout_set_state(UfEnv* env, const double* state) {
    put_state(env, state);
    uf_breakout_keep(&game(env)->breakout);
}

// Plays on with the paddle where the ball will need it, until a brick is gone; how many steps that takes.
// *landings: how often the ball may come down. The last row's two ways back make it choose.
static int breakout_steps_to_brick(UfBreakout s, int landings) {
    for (int t = 1; t < 60; t++) {
        const bool lands = s.ball_y == UF_MINATAR_LAST - 1 && s.ball_dir >= 2;
        if (lands && landings == 0) return 60;
        if (lands) {
            UfBreakout other = s;
            const int x = uf_minatar_clamp(s.ball_x + (s.ball_dir == 2 ? 1 : -1), 0, UF_MINATAR_LAST);
            s.pos = s.ball_x;
            other.pos = (int8_t)x;
            if (uf_breakout_step(&s, UF_BREAKOUT_NONE)) return t;
            if (uf_breakout_step(&other, UF_BREAKOUT_NONE)) return t;
            const int straight = breakout_steps_to_brick(s, landings - 1);
            const int back = x == s.pos ? straight : breakout_steps_to_brick(other, landings - 1);
            return t + (straight < back ? straight : back);
        }
        if (uf_breakout_step(&s, UF_BREAKOUT_NONE)) return t;
    }
    return 60;
}

// Goes to one of the two cells that send the ball back: the one from which it finds a brick sooner.
static void breakout_control(const UfEnv* env, const float* obs, float* action) {
    const UfBreakout* now = &game_seen(env)->breakout;
    UfBreakout s = *now;
    int moves = 1;  // that the paddle has until the ball is down
    (void)obs;
    while (!(s.ball_y == UF_MINATAR_LAST - 1 && s.ball_dir >= 2) && moves < 100) {
        uf_breakout_step(&s, UF_BREAKOUT_NONE);
        moves++;
    }
    int best = s.ball_x, fewest = 1000;
    const int x = uf_minatar_clamp(s.ball_x + (s.ball_dir == 2 ? 1 : -1), 0, UF_MINATAR_LAST);
    for (int k = 0; k < 2; k++) {
        const int at = k ? x : s.ball_x, way = at > now->pos ? at - now->pos : now->pos - at;
        UfBreakout next = s;
        next.pos = (int8_t)at;
        uf_breakout_step(&next, UF_BREAKOUT_NONE);
        const int steps = breakout_steps_to_brick(next, 2) + (way > moves ? 500 : 0);
        if (steps >= fewest) continue;
        fewest = steps;
        best = at;
    }
    action[0] = best < now->pos ? UF_BREAKOUT_LEFT : best > now->pos ? UF_BREAKOUT_RIGHT : UF_BREAKOUT_NONE;
}

// ---- Asterix ----

static void asterix_reset(UfEnv* env, UfRandom* random) {
    keep_names(env, random);
    uf_asterix_reset(&game(env)->asterix);
}

static void asterix_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    UfAsterix* s = &game(env)->asterix;
    UfAsterixDraws draws = {{0}, 0, 0};
    if (uf_asterix_draws(s)) {
        UfRandom random = step_random(env, s->time);
        draws = uf_asterix_draw(&random);
    }
    *reward = uf_asterix_step(s, uf_discrete_action(action, UF_ASTERIX_ACTIONS), &draws);
    *terminated = s->terminal;
}

static void asterix_observe(const UfEnv* env, float* obs) {
    uf_asterix_observe(&game_seen(env)->asterix, obs);
}

static void asterix_set_state(UfEnv* env, const double* state) {
    put_state(env, state);
    uf_asterix_keep(&game(env)->asterix);
}

enum { ASTERIX_STEPS = 10, ROWS = UF_MINATAR_SIDE };

// Which cells hold an enemy or gold at some time of each of the next steps; rows 0 and 9 stay empty.
typedef struct AsterixAhead {
    uint16_t enemies[ASTERIX_STEPS][ROWS], gold[ASTERIX_STEPS][ROWS];
} AsterixAhead;

// Nobody knows what a spawn brings: then both ends of a row without entity count as enemies.
static void asterix_look_ahead(AsterixAhead* ahead, UfAsterix s) {
    memset(ahead, 0, sizeof *ahead);
    for (int t = 0; t < ASTERIX_STEPS; t++) {
        for (int slot = 0; slot < UF_ASTERIX_SLOTS && s.spawn_timer == 0; slot++)
            if (!(s.used >> slot & 1)) ahead->enemies[t][slot + 1] = 1 | 1 << UF_MINATAR_LAST;
        if (s.spawn_timer == 0) s.spawn_timer = s.spawn_speed;
        for (int moved = 0; moved < 2; moved++) {
            for (uint32_t left = s.used; left; left &= left - 1) {
                const int slot = uf_minatar_lowest(left);
                uint16_t* row = (s.gold >> slot & 1 ? ahead->gold : ahead->enemies)[t] + slot + 1;
                *row = (uint16_t)(*row | 1u << s.x[slot]);
            }
            if (moved || s.move_timer > 0) break;
            s.move_timer = s.move_speed;
            uf_asterix_march(&s);
        }
        s.spawn_timer--;
        s.move_timer--;
    }
}

// The cells that a step reaches from those of a map.
static void asterix_spread(uint16_t* to, const uint16_t* from) {
    for (int y = 1; y <= UF_ASTERIX_SLOTS; y++)
        to[y] =
            (uint16_t)((from[y] | from[y] << 1 | from[y] >> 1 | from[y - 1] | from[y + 1]) & UF_MINATAR_ROW);
}

// safe[t]: where one may be after step t and live through all up to `steps`.
static void asterix_find_safe(uint16_t safe[ASTERIX_STEPS][ROWS], const AsterixAhead* ahead, int steps) {
    memset(safe, 0, sizeof(uint16_t) * ASTERIX_STEPS * ROWS);
    for (int t = steps - 1; t >= 0; t--) {
        if (t == steps - 1)
            for (int y = 1; y <= UF_ASTERIX_SLOTS; y++) safe[t][y] = UF_MINATAR_ROW;
        else
            asterix_spread(safe[t], safe[t + 1]);
        for (int y = 1; y <= UF_ASTERIX_SLOTS; y++)
            safe[t][y] = (uint16_t)(safe[t][y] & ~ahead->enemies[t][y]);
    }
}

// Steps from a cell to gold on safe ways, within `steps`; else more than that, the more the farther from the middle.
static double asterix_steps_to_gold(const AsterixAhead* ahead, uint16_t safe[ASTERIX_STEPS][ROWS], int steps,
                                    int x, int y) {
    uint16_t at[ROWS] = {0}, next[ROWS] = {0};
    at[y] = (uint16_t)(1u << x);
    for (int t = 0; t < steps; t++) {
        for (int r = 1; r <= UF_ASTERIX_SLOTS; r++)
            if (at[r] & ahead->gold[t][r]) return t;
        asterix_spread(next, at);
        for (int r = 1; t + 1 < steps && r <= UF_ASTERIX_SLOTS; r++)
            at[r] = (uint16_t)(next[r] & safe[t + 1][r]);
    }
    return steps + 0.1 * (fabs(x - 4.5) + fabs(y - 4.5));
}

// The way to gold that is shortest, as far as enemies leave one; the fewer steps it looks ahead, the more ways it sees.
static void asterix_control(const UfEnv* env, const float* obs, float* action) {
    const UfAsterix* s = &game_seen(env)->asterix;
    AsterixAhead ahead;
    uint16_t safe[ASTERIX_STEPS][ROWS];
    double fewest = 1000;
    (void)obs;
    action[0] = UF_ASTERIX_NONE;
    asterix_look_ahead(&ahead, *s);
    for (int steps = ASTERIX_STEPS; steps > 0 && fewest == 1000; steps--) {
        asterix_find_safe(safe, &ahead, steps);
        for (int a = 0; a < UF_ASTERIX_ACTIONS; a++) {
            static const int dx[] = {0, -1, 0, 1, 0}, dy[] = {0, 0, -1, 0, 1};
            const int x = uf_minatar_clamp(s->player_x + dx[a], 0, UF_MINATAR_LAST);
            const int y = uf_minatar_clamp(s->player_y + dy[a], 1, UF_ASTERIX_SLOTS);
            if (!(safe[0][y] >> x & 1)) continue;
            const double far = asterix_steps_to_gold(&ahead, safe, steps, x, y);
            if (far >= fewest) continue;
            fewest = far;
            action[0] = (float)a;
        }
    }
}

// ---- SpaceInvaders ----

static void invaders_reset(UfEnv* env, UfRandom* random) {
    keep_names(env, random);
    uf_invaders_reset(&game(env)->invaders);
}

static void invaders_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    UfInvaders* s = &game(env)->invaders;
    *reward = uf_invaders_step(s, uf_discrete_action(action, UF_INVADERS_ACTIONS));
    *terminated = s->terminal;
}

static void invaders_observe(const UfEnv* env, float* obs) {
    uf_invaders_observe(&game_seen(env)->invaders, obs);
}

static void invaders_set_state(UfEnv* env, const double* state) {
    put_state(env, state);
    uf_invaders_keep(&game(env)->invaders);
}

// Whether the cannon lives through `depth` steps that begin with `action`.
static bool invaders_lives(const UfInvaders* s, int action, int depth) {
    UfInvaders next = *s;
    uf_invaders_step(&next, action);
    if (next.terminal) return false;
    if (depth == 1) return true;
    for (int a = UF_INVADERS_NONE; a <= UF_INVADERS_RIGHT; a++)
        if (invaders_lives(&next, a, depth - 1)) return true;
    return false;
}

// What a shot from where the cannon is would hit: steps until then, 0: nothing.
static int invaders_shot(const UfInvaders* s) {
    UfInvaders next = *s;
    for (int y = 0; y < UF_MINATAR_SIDE; y++) next.f_bullet_map[y] = next.e_bullet_map[y] = 0;
    next.shot_timer = 0;
    for (int t = 1; t <= UF_MINATAR_SIDE; t++)
        if (uf_invaders_step(&next, t == 1 ? UF_INVADERS_FIRE : UF_INVADERS_NONE)) return t;
    return 0;
}

// Out of the way of bullets; else fires where that hits, else goes to the nearest column from which it will.
static void invaders_control(const UfEnv* env, const float* obs, float* action) {
    const UfInvaders* s = &game_seen(env)->invaders;
    (void)obs;
    int wanted = UF_INVADERS_NONE;
    if (s->shot_timer == 0 && invaders_shot(s)) {
        wanted = UF_INVADERS_FIRE;
    } else {
        const int x = uf_invaders_nearest(uf_minatar_columns(s->alien_map), s->pos);
        wanted = x < s->pos ? UF_INVADERS_LEFT : x > s->pos ? UF_INVADERS_RIGHT : UF_INVADERS_NONE;
    }
    for (int k = 0; k < UF_INVADERS_ACTIONS && !invaders_lives(s, wanted, 3); k++) wanted = k;
    action[0] = (float)wanted;
}

// ---- Freeway ----

static void freeway_reset(UfEnv* env, UfRandom* random) {
    const UfFreewayDraws draws = uf_freeway_draw(random);
    keep_names(env, random);
    uf_freeway_reset(&game(env)->freeway, &draws);
}

static void freeway_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    UfFreeway* s = &game(env)->freeway;
    const int kind = uf_discrete_action(action, UF_FREEWAY_ACTIONS);
    UfFreewayDraws draws = {{0}};
    if (uf_freeway_draws(s, kind)) {
        UfRandom random = step_random(env, s->time);
        draws = uf_freeway_draw(&random);
    }
    *reward = uf_freeway_step(s, kind, &draws);
    *terminated = false;
}

static void freeway_observe(const UfEnv* env, float* obs) {
    uf_freeway_observe(&game_seen(env)->freeway, obs);
}

static void freeway_set_state(UfEnv* env, const double* state) {
    put_state(env, state);
    uf_freeway_keep(&game(env)->freeway);
}

enum { FREEWAY_STEPS = 30 };

// The fewest steps to the other side, over all ways of going up and waiting: least[t][y] from row y before step t, when
// it may move. What is beyond the steps looked at takes 3 a row.
static void freeway_control(const UfEnv* env, const float* obs, float* action) {
    UfFreeway s = game_seen(env)->freeway;
    const int start = s.pos;
    uint32_t hit[FREEWAY_STEPS + UF_FREEWAY_PAUSE] = {
        0};  // rows in which a car is at the chicken's x in step t
    int least[FREEWAY_STEPS + UF_FREEWAY_PAUSE][UF_MINATAR_SIDE];
    (void)obs;
    action[0] = UF_FREEWAY_NONE;
    if (s.move_timer > 0) return;
    s.pos = UF_MINATAR_LAST;
    for (int t = 0; t < FREEWAY_STEPS; t++) {
        for (int after = 0; after < 2; after++) {
            for (int i = 0; i < UF_FREEWAY_CARS; i++) hit[t] |= (uint32_t)(s.x[i] == UF_FREEWAY_X) << (i + 1);
            if (!after) uf_freeway_step(&s, UF_FREEWAY_NONE, NULL);
        }
    }
    for (int t = FREEWAY_STEPS + UF_FREEWAY_PAUSE - 1; t >= 0; t--)
        for (int y = 0; y < UF_MINATAR_SIDE; y++) {
            least[t][y] = UF_FREEWAY_PAUSE * y;
            if (t >= FREEWAY_STEPS || y == 0) continue;
            const uint32_t while_resting = hit[t] | hit[t + 1] | hit[t + 2];
            const int above = y == 1 ? 0 : while_resting >> (y - 1) & 1 ? UF_MINATAR_LAST : y - 1;
            const int waits = 1 + least[t + 1][hit[t] >> y & 1 ? UF_MINATAR_LAST : y];
            const int goes = y == 1 ? 1 : UF_FREEWAY_PAUSE + least[t + UF_FREEWAY_PAUSE][above];
            least[t][y] = goes <= waits ? goes : waits;
            if (t == 0 && y == start && goes <= waits) action[0] = UF_FREEWAY_UP;
        }
}

// ---- table ----

#define OPS(GAME)                                                    \
    const UfEnvOps uf_##GAME##_ops = {.create = create,              \
                                      .reset = GAME##_reset,         \
                                      .step = GAME##_step,           \
                                      .observe = GAME##_observe,     \
                                      .control = GAME##_control,     \
                                      .get_state = get_state,        \
                                      .set_state = GAME##_set_state, \
                                      .draw = UF_DRAW(minatar)}
OPS(breakout);
OPS(asterix);
OPS(invaders);
OPS(freeway);
