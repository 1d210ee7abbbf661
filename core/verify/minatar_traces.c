// minatar_traces.c: `unifloral verify` of kind minatar-traces: recorded gymnax episodes against minatar.h, and the odds
// of what minatar.c draws.
//
// A state is compared as numbers, one for each that the file records of it. Every step is taken from its recorded state
// before it, whole episodes from their first state alone, with the recorded draws put in. All are integers: nothing may
// differ. Frequencies of draws are judged by how unlikely they are.
//
// Rooms: the games as numbers, their functions, file, comparing, odds, report.
#include <math.h>
#include <stddef.h>  // offsetof
#include <stdio.h>   // snprintf
#include <string.h>

#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/envs/minatar.h"
#include "core/verify/judge.h"

// ---- the games as numbers ----

typedef enum Kind { END, NUMBER, TIME, MAP, ENTITIES, CARS, CONSTANT } Kind;
static const int numbers_of[] = {[NUMBER] = 1,
                                 [TIME] = 1,
                                 [MAP] = UF_MINATAR_CELLS,
                                 [ENTITIES] = UF_ASTERIX_SLOTS * 5,
                                 [CARS] = UF_FREEWAY_CARS * 4,
                                 [CONSTANT] = 1};

typedef struct Field {  // of a state
    const char* name;
    Kind kind;
    size_t at;  // in the game's struct; of a constant: what it always is
} Field;

typedef struct Draw {
    const char* name;
    int count;
} Draw;

enum { MAX_FIELDS = 16, MAX_NUMBERS = 320, MAX_DRAWS = 10, CAR = 4, ENTITY = 5 };

typedef struct Game {
    const char *group, *env, *actions;
    Field fields[MAX_FIELDS];        // ends with one without name; the last two are time and terminal
    Draw draws[4], reset_draws[2];   // likewise; of a step, and of a reset
    int unused_draw;                 // what the file has where chance did not matter
    int32_t placeholder[MAX_DRAWS];  // draws for where ours asks for some and the file has none
    bool limit_is_terminal;          // the recorded flag
    void (*keep)(UfMinatarGame* game);
    bool (*uses_draws)(const UfMinatarGame* game, int action);
    int (*step)(UfMinatarGame* game, int action, const int32_t* draws);
    void (*observe)(const UfMinatarGame* game, float* obs);
    void (*reset)(UfMinatarGame* game, const int32_t* draws);
    bool (*draws_are_sound)(const int32_t* draws);  // Nullable: there are none
} Game;

static int8_t small(int32_t x) { return (int8_t)uf_minatar_clamp(x, INT8_MIN, INT8_MAX); }

static void map_to(const uint16_t* map, int32_t* n) {
    for (int i = 0; i < UF_MINATAR_CELLS; i++) n[i] = map[i / UF_MINATAR_SIDE] >> i % UF_MINATAR_SIDE & 1;
}

static void map_from(uint16_t* map, const int32_t* n) {
    memset(map, 0, UF_MINATAR_SIDE * sizeof *map);
    for (int i = 0; i < UF_MINATAR_CELLS; i++)
        map[i / UF_MINATAR_SIDE] = (uint16_t)(map[i / UF_MINATAR_SIDE] | (n[i] != 0) << i % UF_MINATAR_SIDE);
}

// x, row, right-moving, gold, in use; of one that is not in use the others are nothing.
static void entities_to(const UfAsterix* s, int32_t* n) {
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++, n += ENTITY) {
        const bool used = s->used >> i & 1;
        n[0] = used ? s->x[i] : 0;
        n[1] = used ? i + 1 : 0;
        n[2] = used && s->right >> i & 1;
        n[3] = used && s->gold >> i & 1;
        n[4] = used;
    }
}

static void entities_from(UfAsterix* s, const int32_t* n) {
    s->used = s->right = s->gold = 0;
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++, n += ENTITY) {
        s->x[i] = n[4] ? small(n[0]) : 0;
        s->right = (uint8_t)(s->right | (n[4] && n[2]) << i);
        s->gold = (uint8_t)(s->gold | (n[4] && n[3]) << i);
        s->used = (uint8_t)(s->used | (n[4] != 0) << i);
    }
}

// x, row, timer, speed
static void cars_to(const UfFreeway* s, int32_t* n) {
    for (int i = 0; i < UF_FREEWAY_CARS; i++, n += CAR) {
        n[0] = s->x[i];
        n[1] = i + 1;
        n[2] = s->timer[i];
        n[3] = s->speed[i];
    }
}

static void cars_from(UfFreeway* s, const int32_t* n) {
    for (int i = 0; i < UF_FREEWAY_CARS; i++, n += CAR) {
        s->x[i] = small(n[0]);
        s->timer[i] = small(n[2]);
        s->speed[i] = small(n[3]);
    }
}

static void to_numbers(const Game* g, const UfMinatarGame* game, int32_t* n) {
    for (const Field* f = g->fields; f->name; n += numbers_of[f++->kind]) {
        const char* at = (const char*)game + f->at;
        switch (f->kind) {
            case NUMBER: n[0] = *(const int8_t*)at; break;
            case TIME: memcpy(n, at, sizeof *n); break;
            case MAP: map_to((const uint16_t*)(const void*)at, n); break;
            case ENTITIES: entities_to(&game->asterix, n); break;
            case CARS: cars_to(&game->freeway, n); break;
            default: n[0] = (int32_t)f->at;
        }
    }
}

// What is out of range becomes the nearest that can be, and then differs.
static void from_numbers(const Game* g, UfMinatarGame* game, const int32_t* n) {
    memset(game, 0, sizeof *game);
    for (const Field* f = g->fields; f->name; n += numbers_of[f++->kind]) {
        char* at = (char*)game + f->at;
        switch (f->kind) {
            case NUMBER: *(int8_t*)at = small(n[0]); break;
            case TIME: memcpy(at, n, sizeof *n); break;
            case MAP: map_from((uint16_t*)(void*)at, n); break;
            case ENTITIES: entities_from(&game->asterix, n); break;
            case CARS: cars_from(&game->freeway, n); break;
            default: break;
        }
    }
    g->keep(game);
}

// ---- their functions ----

static bool draws_nothing(const UfMinatarGame* game, int action) { return (void)game, (void)action, false; }

static int breakout_step(UfMinatarGame* game, int action, const int32_t* draws) {
    (void)draws;
    return uf_breakout_step(&game->breakout, action);
}
static void breakout_keep(UfMinatarGame* game) { uf_breakout_keep(&game->breakout); }
static void breakout_observe(const UfMinatarGame* game, float* obs) {
    uf_breakout_observe(&game->breakout, obs);
}
static void breakout_reset(UfMinatarGame* game, const int32_t* draws) {
    uf_breakout_reset(&game->breakout, draws[0]);
}

static bool asterix_uses(const UfMinatarGame* game, int action) {
    (void)action;
    return uf_asterix_draws(&game->asterix);
}

enum { ORDER, RIGHT = UF_ASTERIX_SLOTS, GOLD };  // where they are among a step's draws

static int asterix_step(UfMinatarGame* game, int action, const int32_t* draws) {
    UfAsterixDraws d = {{0}, 0, 0};
    if (asterix_uses(game, action)) {
        for (int i = 0; i < UF_ASTERIX_SLOTS; i++) d.order[i] = (int8_t)draws[ORDER + i];
        d.right = (int8_t)draws[RIGHT];
        d.gold = (int8_t)draws[GOLD];
    }
    return uf_asterix_step(&game->asterix, action, &d);
}
static void asterix_keep(UfMinatarGame* game) { uf_asterix_keep(&game->asterix); }
static void asterix_observe(const UfMinatarGame* game, float* obs) {
    uf_asterix_observe(&game->asterix, obs);
}
static void asterix_reset(UfMinatarGame* game, const int32_t* draws) {
    (void)draws;
    uf_asterix_reset(&game->asterix);
}

static bool asterix_sound(const int32_t* draws) {
    uint32_t seen = 0;
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++)
        if (draws[i] >= 0 && draws[i] < UF_ASTERIX_SLOTS) seen |= 1u << draws[i];
    return seen == (1u << UF_ASTERIX_SLOTS) - 1 && (uint32_t)draws[RIGHT] <= 1 && (uint32_t)draws[GOLD] <= 1;
}

static int invaders_step(UfMinatarGame* game, int action, const int32_t* draws) {
    (void)draws;
    return uf_invaders_step(&game->invaders, action);
}
static void invaders_keep(UfMinatarGame* game) { uf_invaders_keep(&game->invaders); }
static void invaders_observe(const UfMinatarGame* game, float* obs) {
    uf_invaders_observe(&game->invaders, obs);
}
static void invaders_reset(UfMinatarGame* game, const int32_t* draws) {
    (void)draws;
    uf_invaders_reset(&game->invaders);
}

static bool freeway_uses(const UfMinatarGame* game, int action) {
    return uf_freeway_draws(&game->freeway, action);
}

static UfFreewayDraws freeway_draws(const int32_t* draws) {
    UfFreewayDraws d;
    for (int i = 0; i < UF_FREEWAY_CARS; i++) d.speed[i] = (int8_t)draws[i];
    return d;
}
static int freeway_step(UfMinatarGame* game, int action, const int32_t* draws) {
    const UfFreewayDraws d = freeway_draws(draws);
    return uf_freeway_step(&game->freeway, action, &d);
}
static void freeway_keep(UfMinatarGame* game) { uf_freeway_keep(&game->freeway); }
static void freeway_observe(const UfMinatarGame* game, float* obs) {
    uf_freeway_observe(&game->freeway, obs);
}
static void freeway_reset(UfMinatarGame* game, const int32_t* draws) {
    const UfFreewayDraws d = freeway_draws(draws);
    uf_freeway_reset(&game->freeway, &d);
}
static bool freeway_sound(const int32_t* draws) {
    for (int i = 0; i < UF_FREEWAY_CARS; i++)
        if (draws[i] == 0 || draws[i] < -UF_FREEWAY_SPEEDS || draws[i] > UF_FREEWAY_SPEEDS) return false;
    return true;
}

static bool breakout_sound(const int32_t* draws) { return draws[0] == 0 || draws[0] == 1; }

#define OF(KIND, STRUCT, NAME) \
    { #NAME, KIND, offsetof(STRUCT, NAME) }
static const Game games[] = {
    {.group = "breakout",
     .env = "Breakout-MinAtar",
     .actions = "n,l,r",
     .fields = {OF(NUMBER, UfBreakout, ball_y), OF(NUMBER, UfBreakout, ball_x),
                OF(NUMBER, UfBreakout, ball_dir), OF(NUMBER, UfBreakout, pos), OF(MAP, UfBreakout, brick_map),
                OF(NUMBER, UfBreakout, strike), OF(NUMBER, UfBreakout, last_y),
                OF(NUMBER, UfBreakout, last_x), OF(TIME, UfBreakout, time), OF(NUMBER, UfBreakout, terminal)},
     .reset_draws = {{"draw_side", 1}},
     .limit_is_terminal = true,
     .keep = breakout_keep,
     .uses_draws = draws_nothing,
     .step = breakout_step,
     .observe = breakout_observe,
     .reset = breakout_reset,
     .draws_are_sound = breakout_sound},
    {.group = "asterix",
     .env = "Asterix-MinAtar",
     .actions = "n,l,u,r,d",
     .fields = {OF(NUMBER, UfAsterix, player_x),
                OF(NUMBER, UfAsterix, player_y),
                OF(NUMBER, UfAsterix, spawn_speed),
                OF(NUMBER, UfAsterix, move_speed),
                OF(NUMBER, UfAsterix, spawn_timer),
                OF(NUMBER, UfAsterix, move_timer),
                OF(NUMBER, UfAsterix, ramp_timer),
                OF(NUMBER, UfAsterix, ramp_index),
                {"shot_timer", CONSTANT, 0},
                {"entities", ENTITIES, 0},
                OF(TIME, UfAsterix, time),
                OF(NUMBER, UfAsterix, terminal)},
     .draws = {{"order", UF_ASTERIX_SLOTS}, {"right", 1}, {"gold", 1}},
     .unused_draw = -1,
     .placeholder = {0, 1, 2, 3, 4, 5, 6, 7},
     .keep = asterix_keep,
     .uses_draws = asterix_uses,
     .step = asterix_step,
     .observe = asterix_observe,
     .reset = asterix_reset,
     .draws_are_sound = asterix_sound},
    {.group = "space_invaders",
     .env = "SpaceInvaders-MinAtar",
     .actions = "n,l,r,fire",
     .fields = {OF(NUMBER, UfInvaders, pos),
                OF(MAP, UfInvaders, alien_map),
                OF(MAP, UfInvaders, f_bullet_map),
                OF(MAP, UfInvaders, e_bullet_map),
                OF(NUMBER, UfInvaders, alien_dir),
                OF(NUMBER, UfInvaders, enemy_move_interval),
                OF(NUMBER, UfInvaders, alien_move_timer),
                OF(NUMBER, UfInvaders, alien_shot_timer),
                OF(NUMBER, UfInvaders, shot_timer),
                OF(NUMBER, UfInvaders, ramp_index),
                {"ramping", CONSTANT, 1},
                OF(TIME, UfInvaders, time),
                OF(NUMBER, UfInvaders, terminal)},
     .limit_is_terminal = true,
     .keep = invaders_keep,
     .uses_draws = draws_nothing,
     .step = invaders_step,
     .observe = invaders_observe,
     .reset = invaders_reset},
    {.group = "freeway",
     .env = "Freeway-MinAtar",
     .actions = "n,u,d",
     .fields = {OF(NUMBER, UfFreeway, pos),
                OF(NUMBER, UfFreeway, move_timer),
                {"cars", CARS, 0},
                OF(TIME, UfFreeway, time),
                OF(NUMBER, UfFreeway, terminal)},
     .draws = {{"speed", UF_FREEWAY_CARS}},
     .placeholder = {1, 1, 1, 1, 1, 1, 1, 1},
     .reset_draws = {{"draw_speed", UF_FREEWAY_CARS}},
     .limit_is_terminal = true,
     .keep = freeway_keep,
     .uses_draws = freeway_uses,
     .step = freeway_step,
     .observe = freeway_observe,
     .reset = freeway_reset,
     .draws_are_sound = freeway_sound},
};
enum { NUM_GAMES = sizeof games / sizeof games[0] };

static int count_numbers(const Field* fields) {
    int count = 0;
    for (; fields->name; fields++) count += numbers_of[fields->kind];
    return count;
}

static int count_draws(const Draw* draws) {
    int count = 0;
    for (; draws->name; draws++) count += draws->count;
    return count;
}

// ---- file ----

typedef struct Trace {
    const Game* game;
    const UfEnvSpec* spec;
    int num_numbers, num_draws, num_reset_draws;
    int64_t num_episodes, num_steps, num_resets;
    int32_t *length, *forced;         // (episodes)
    uint8_t *obs0, *obs, *reset_obs;  // (episodes, o), (steps, o), (resets, o)
    int32_t *before, *after, *reset;  // (steps, numbers), (resets, numbers)
    int32_t *action, *done, *used;    // (steps); used is NULL where a step draws nothing
    double* reward;                   // (steps)
    int32_t *draws, *reset_draws;     // (steps, draws), (resets, draws)
} Trace;

static void trace_free(Trace* t) {
    void* all[] = {t->length, t->forced, t->obs0, t->obs,  t->reset_obs, t->before, t->after,
                   t->reset,  t->action, t->done, t->used, t->reward,    t->draws,  t->reset_draws};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// Reads a dataset of *rows times `count` numbers into fresh memory. *rows < 0: as many as it has.
static UfStatus read_array(const UfH5* h5, const Game* game, const char* name, UfH5Type type, void* out,
                           int64_t* rows, int64_t count) {
    static const size_t item_bytes[] = {[UF_H5_DOUBLE] = 8, [UF_H5_INT32] = 4, [UF_H5_UINT8] = 1};
    char path[128];
    UfH5Shape shape;
    void* data;
    snprintf(path, sizeof path, "%s/%s", game->group, name);
    UF_TRY(uf_h5_shape(h5, path, &shape));
    if (*rows < 0 && shape.rank > 0) *rows = shape.dims[0];
    if (shape.rank < 1 || *rows < 1 || shape.dims[0] != *rows || shape.count != *rows * count)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' has %lld rows and %lld numbers; %lld rows of %lld expected",
                       h5->path, path, (long long)(shape.rank ? shape.dims[0] : 0), (long long)shape.count,
                       (long long)(*rows < 1 ? 1 : *rows), (long long)count);
    UF_TRY(uf_alloc(&data, (size_t)shape.count, item_bytes[type], path));
    const UfStatus status = uf_h5_read(h5, path, type, data, shape.count);
    if (status == UF_OK)
        memcpy(out, &data, sizeof data);
    else
        uf_free(data);
    return status;
}

// Reads `count` numbers a row of dataset `folder`/name into columns `at` and on of (*rows, total), which is made if it
// is not there.
static UfStatus read_columns(const UfH5* h5, const Game* game, const char* folder, const char* name,
                             int count, int32_t** out, int64_t* rows, int at, int total) {
    char path[64];
    int32_t* part;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    UF_TRY(read_array(h5, game, path, UF_H5_INT32, &part, rows, count));
    const UfStatus status = *out ? UF_OK : UF_ALLOC(out, *rows * total, game->group);
    for (int64_t r = 0; status == UF_OK && r < *rows; r++)
        memcpy(*out + r * total + at, part + r * count, (size_t)count * sizeof *part);
    uf_free(part);
    return status;
}

static UfStatus read_states(const UfH5* h5, const Game* game, const char* folder, int32_t** out,
                            int64_t* rows) {
    const int total = count_numbers(game->fields);
    int at = 0;
    for (const Field* f = game->fields; f->name; at += numbers_of[f++->kind])
        UF_TRY(read_columns(h5, game, folder, f->name, numbers_of[f->kind], out, rows, at, total));
    return UF_OK;
}

static UfStatus read_draws(const UfH5* h5, const Game* game, const char* folder, const Draw* draws,
                           int32_t** out, int64_t* rows) {
    const int total = count_draws(draws);
    int at = 0;
    for (const Draw* d = draws; d->name; at += d++->count)
        UF_TRY(read_columns(h5, game, folder, d->name, d->count, out, rows, at, total));
    return UF_OK;
}

static UfStatus check_attributes(const UfH5* h5, const Trace* t) {
    const Game* game = t->game;
    const struct {
        const char* name;
        int64_t expected;
    } numbers[] = {{"planes", t->spec->obs_dim / UF_MINATAR_CELLS},
                   {"max_steps", t->spec->max_steps},
                   {"episodes", t->num_episodes}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        double value;
        UF_TRY(uf_h5_read_number(h5, game->group, numbers[i].name, &value));
        if (value != (double)numbers[i].expected)
            return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of %s is %g; %lld expected", h5->path,
                           numbers[i].name, game->group, value, (long long)numbers[i].expected);
    }
    const char* const texts[][2] = {{"env", game->env}, {"actions", game->actions}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char* text;
        UfStatus status = UF_OK;
        UF_TRY(uf_h5_read_string(h5, game->group, texts[i][0], &text));
        if (strcmp(text, texts[i][1]) != 0)
            status = UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of %s is '%.40s'; '%s' expected", h5->path,
                             texts[i][0], game->group, text, texts[i][1]);
        uf_free(text);
        UF_TRY(status);
    }
    return UF_OK;
}

// What would lead beyond an array; other wrong numbers are found by comparing.
static UfStatus check_numbers(const UfH5* h5, const Trace* t) {
    const char* group = t->game->group;
    int64_t sum = 0;
    for (int64_t e = 0; e < t->num_episodes; e++) {
        if (t->length[e] < 1 || t->length[e] > t->spec->max_steps)
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_length' has a length of %d; 1 to %d expected", h5->path,
                           group, t->length[e], t->spec->max_steps);
        sum += t->length[e];
    }
    if (sum != t->num_steps)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_length' adds up to %lld steps, 'action' has %lld", h5->path,
                       group, (long long)sum, (long long)t->num_steps);
    for (int64_t k = 0; k < t->num_steps; k++) {
        if (t->action[k] < 0 || t->action[k] >= t->spec->action_dim)
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/action' has an action %d; 0 to %d expected", h5->path,
                           group, t->action[k], t->spec->action_dim - 1);
        if (t->used && t->used[k] && !t->game->draws_are_sound(t->draws + k * t->num_draws))
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/draws' of step %lld are none that the game could draw",
                           h5->path, group, (long long)k);
    }
    for (int64_t k = 0; t->reset_draws && k < t->num_resets; k++)
        if (!t->game->draws_are_sound(t->reset_draws + k * t->num_reset_draws))
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/reset/%s' of reset %lld is none that the game could draw",
                           h5->path, group, t->game->reset_draws[0].name, (long long)k);
    return UF_OK;
}

static UfStatus trace_read(Trace* t, const UfH5* h5, const Game* game) {
    int64_t *episodes = &t->num_episodes, *steps = &t->num_steps, *resets = &t->num_resets;
    *t = (Trace){
        .game = game, .spec = uf_env_find(game->env), .num_episodes = -1, .num_steps = -1, .num_resets = -1};
    const int o = t->spec->obs_dim;
    t->num_numbers = count_numbers(game->fields);
    t->num_draws = count_draws(game->draws);
    t->num_reset_draws = count_draws(game->reset_draws);
    UF_TRY(read_array(h5, game, "ep_length", UF_H5_INT32, &t->length, episodes, 1));
    UF_TRY(check_attributes(h5, t));
    UF_TRY(read_array(h5, game, "ep_forced", UF_H5_INT32, &t->forced, episodes, 1));
    UF_TRY(read_array(h5, game, "ep_obs0", UF_H5_UINT8, &t->obs0, episodes, o));
    UF_TRY(read_array(h5, game, "action", UF_H5_INT32, &t->action, steps, 1));
    UF_TRY(read_array(h5, game, "obs", UF_H5_UINT8, &t->obs, steps, o));
    UF_TRY(read_array(h5, game, "reward", UF_H5_DOUBLE, &t->reward, steps, 1));
    UF_TRY(read_array(h5, game, "done", UF_H5_INT32, &t->done, steps, 1));
    UF_TRY(read_states(h5, game, "before", &t->before, steps));
    UF_TRY(read_states(h5, game, "after", &t->after, steps));
    UF_TRY(read_states(h5, game, "reset", &t->reset, resets));
    UF_TRY(read_array(h5, game, "reset/obs", UF_H5_UINT8, &t->reset_obs, resets, o));
    if (t->num_draws) {
        UF_TRY(read_array(h5, game, "draws/used", UF_H5_INT32, &t->used, steps, 1));
        UF_TRY(read_draws(h5, game, "draws", game->draws, &t->draws, steps));
    }
    if (t->num_reset_draws) UF_TRY(read_draws(h5, game, "reset", game->reset_draws, &t->reset_draws, resets));
    return check_numbers(h5, t);
}

// ---- comparing ----

// How many are wrong.
typedef struct Wrong {
    int64_t states, obs, rewards, ends, draws;  // from every state
    int64_t replay, starts, resets;
} Wrong;

// In *numbers: what the file would record of a game. Its `terminal` may hold the step limit.
static void describe(const Trace* t, const UfMinatarGame* game, int32_t* numbers) {
    to_numbers(t->game, game, numbers);
    int32_t *terminal = numbers + t->num_numbers - 1, time = terminal[-1];
    if (t->game->limit_is_terminal && time >= t->spec->max_steps) *terminal = 1;
}

// A recorded state may have leftovers in entities that are not in use.
static bool is_leftover(const Trace* t, const int32_t* recorded, int i) {
    const int first = 9;  // entities
    if (t->game->step != asterix_step || i < first || i >= first + UF_ASTERIX_SLOTS * ENTITY) return false;
    return (i - first) % ENTITY < 4 && recorded[first + (i - first) / ENTITY * ENTITY + 4] == 0;
}

static int64_t differing_numbers(const Trace* t, const UfMinatarGame* game, const int32_t* recorded) {
    int32_t ours[MAX_NUMBERS];
    int64_t count = 0;
    describe(t, game, ours);
    for (int i = 0; i < t->num_numbers; i++) count += ours[i] != recorded[i] && !is_leftover(t, recorded, i);
    return count;
}

static int64_t differing_obs(const Trace* t, const UfMinatarGame* game, const uint8_t* recorded) {
    float obs[UF_MINATAR_MAX_OBS];
    int64_t count = 0;
    t->game->observe(game, obs);
    for (int i = 0; i < t->spec->obs_dim; i++) count += obs[i] != (float)recorded[i];
    return count;
}

static bool is_done(const Trace* t, const UfMinatarGame* game) {
    int32_t ours[MAX_NUMBERS];
    to_numbers(t->game, game, ours);
    return ours[t->num_numbers - 1] || ours[t->num_numbers - 2] >= t->spec->max_steps;
}

// Takes a recorded step; whether what the file says was drawn is what the game asks for.
static int64_t take_step(const Trace* t, UfMinatarGame* game, int64_t k, int* reward) {
    const int32_t* draws = t->draws ? t->draws + k * t->num_draws : NULL;
    const bool uses = t->game->uses_draws(game, t->action[k]);
    int64_t wrong = 0;
    if (draws) {
        wrong = t->used[k] != uses;
        for (int i = 0; !t->used[k] && i < t->num_draws; i++) wrong += draws[i] != t->game->unused_draw;
    }
    *reward = t->game->step(game, t->action[k], draws && t->used[k] ? draws : t->game->placeholder);
    return wrong;
}

static void compare_episodes(const Trace* t, Wrong* wrong) {
    const int n = t->num_numbers, o = t->spec->obs_dim;
    int64_t first = 0;
    UfMinatarGame game, whole;
    for (int64_t e = 0; e < t->num_episodes; first += t->length[e++]) {
        from_numbers(t->game, &whole, t->before + first * n);
        wrong->starts += differing_obs(t, &whole, t->obs0 + e * o) + (t->forced[e] != 0 && t->forced[e] != 1);
        for (int64_t k = first; k < first + t->length[e]; k++) {
            int reward;
            from_numbers(t->game, &game, t->before + k * n);
            wrong->states += differing_numbers(t, &game, t->before + k * n);
            wrong->replay += k > first && differing_numbers(t, &whole, t->before + k * n);
            wrong->draws += take_step(t, &game, k, &reward);
            wrong->states += differing_numbers(t, &game, t->after + k * n);
            wrong->obs += differing_obs(t, &game, t->obs + k * o);
            wrong->rewards += reward != t->reward[k];
            wrong->ends += is_done(t, &game) != t->done[k];
            wrong->ends += is_done(t, &game) && k + 1 < first + t->length[e];  // nothing comes after an end
            take_step(t, &whole, k, &reward);
            wrong->replay += differing_numbers(t, &whole, t->after + k * n) +
                             differing_obs(t, &whole, t->obs + k * o) + (reward != t->reward[k]);
        }
    }
}

// Starts that nobody set are resets: of Breakout and Freeway for some draws, which the state shows.
static void compare_starts(const Trace* t, Wrong* wrong) {
    int64_t first = 0;
    for (int64_t e = 0; e < t->num_episodes; first += t->length[e++]) {
        const int32_t* start = t->before + first * t->num_numbers;
        UfMinatarGame game;
        int32_t draws[MAX_DRAWS] = {0};
        if (t->forced[e]) continue;
        if (t->game->reset == breakout_reset) draws[0] = start[1] != 0;  // ball_x
        for (int i = 0; t->game->reset == freeway_reset && i < UF_FREEWAY_CARS; i++)
            draws[i] = start[2 + i * CAR + 3];
        if (t->num_reset_draws && !t->game->draws_are_sound(draws)) {
            wrong->starts++;
            continue;
        }
        memset(&game, 0, sizeof game);
        t->game->reset(&game, draws);
        wrong->starts += differing_numbers(t, &game, start);
    }
}

static void compare_resets(const Trace* t, Wrong* wrong) {
    for (int64_t k = 0; k < t->num_resets; k++) {
        UfMinatarGame game;
        memset(&game, 0, sizeof game);
        t->game->reset(&game, t->reset_draws ? t->reset_draws + k * t->num_reset_draws : NULL);
        wrong->resets += differing_numbers(t, &game, t->reset + k * t->num_numbers) +
                         differing_obs(t, &game, t->reset_obs + k * t->spec->obs_dim);
    }
}

// ---- odds ----

// How unlikely it is that something of probability p happens so often or so rarely: -log10 of twice the binomial tail,
// which is exact for few draws as well.
static void judge(double* worst, int64_t count, int64_t of, double p) {
    const double n = (double)of, k = (double)count;
    const bool upper = k >= n * p;
    const double odds = p / (1 - p);
    int sign;
    if (of == 0) return;
    double term = exp(lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign) +
                      k * log(p) + (n - k) * log1p(-p));
    double tail = term;
    // outwards from the mean each term is smaller than the one before
    for (double i = k; term > 1e-15 * tail && (upper ? i < n : i > 0); i += upper ? 1 : -1) {
        term *= upper ? (n - i) / (i + 1) * odds : i / (n - i + 1) / odds;
        tail += term;
    }
    uf_keep_worst(worst, -log10(fmin(1, 2 * tail)));
}

// Draws as the recordings have them, counted: each number of a draw has its own odds, and so have pairs of neighbours.
typedef struct Counts {
    int64_t draws;
    int64_t order[UF_ASTERIX_SLOTS][UF_ASTERIX_SLOTS], kind[4], kind_of_first[UF_ASTERIX_SLOTS][4];
    int64_t speed[UF_FREEWAY_CARS][2 * UF_FREEWAY_SPEEDS + 1];
    int64_t speed_pair[UF_FREEWAY_CARS][2 * UF_FREEWAY_SPEEDS + 1][2 * UF_FREEWAY_SPEEDS + 1];
    int64_t side;
} Counts;

static void count_asterix(Counts* c, const int32_t* draws) {
    const int kind = 2 * (draws[RIGHT] != 0) + (draws[GOLD] != 0);
    c->draws++;
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++) c->order[i][draws[ORDER + i]]++;
    c->kind[kind]++;
    c->kind_of_first[draws[ORDER + 1]][kind]++;
}

static void count_freeway(Counts* c, const int32_t* draws) {
    c->draws++;
    for (int i = 0; i < UF_FREEWAY_CARS; i++) {
        const int next = draws[(i + 1) % UF_FREEWAY_CARS];
        c->speed[i][draws[i] + UF_FREEWAY_SPEEDS]++;
        c->speed_pair[i][draws[i] + UF_FREEWAY_SPEEDS][next + UF_FREEWAY_SPEEDS]++;
    }
}

static double judge_asterix(const Counts* c, bool pairs) {
    static const double of_kind[4] = {1 / 3.0, 1 / 6.0, 1 / 3.0, 1 / 6.0};
    double worst = 0;
    for (int i = 0; i < UF_ASTERIX_SLOTS; i++)
        for (int slot = 0; slot < UF_ASTERIX_SLOTS; slot++)
            judge(&worst, c->order[i][slot], c->draws, 1.0 / UF_ASTERIX_SLOTS);
    for (int kind = 0; kind < 4; kind++) {
        judge(&worst, c->kind[kind], c->draws, of_kind[kind]);
        for (int slot = 0; pairs && slot < UF_ASTERIX_SLOTS; slot++)
            judge(&worst, c->kind_of_first[slot][kind], c->draws, of_kind[kind] / UF_ASTERIX_SLOTS);
    }
    return worst;
}

static double judge_freeway(const Counts* c, bool pairs) {
    const double p = 0.5 / UF_FREEWAY_SPEEDS;
    double worst = 0;
    for (int i = 0; i < UF_FREEWAY_CARS; i++)
        for (int v = -UF_FREEWAY_SPEEDS; v <= UF_FREEWAY_SPEEDS; v++) {
            if (v == 0) continue;
            judge(&worst, c->speed[i][v + UF_FREEWAY_SPEEDS], c->draws, p);
            for (int w = -UF_FREEWAY_SPEEDS; pairs && w <= UF_FREEWAY_SPEEDS; w++)
                if (w != 0)
                    judge(&worst, c->speed_pair[i][v + UF_FREEWAY_SPEEDS][w + UF_FREEWAY_SPEEDS], c->draws,
                          p * p);
        }
    return worst;
}

static double judge_sides(const Counts* c) {
    double worst = 0;
    judge(&worst, c->side, c->draws, 0.5);
    return worst;
}

// What is recorded: 0 where it draws nothing of the kind.
static void recorded_odds(const Trace* t, Counts* of_steps, Counts* of_resets) {
    for (int64_t k = 0; k < t->num_steps && t->used; k++) {
        if (!t->used[k]) continue;
        const int32_t* draws = t->draws + k * t->num_draws;
        if (t->game->step == asterix_step)
            count_asterix(of_steps, draws);
        else
            count_freeway(of_steps, draws);
    }
    for (int64_t k = 0; k < t->num_resets && t->reset_draws; k++) {
        const int32_t* draws = t->reset_draws + k * t->num_reset_draws;
        if (t->game->step == freeway_step) {
            count_freeway(of_resets, draws);
        } else {
            of_resets->draws++;
            of_resets->side += draws[0];
        }
    }
}

enum { EPISODES = 4096 };

// Resets and first draws of the environment itself. Asterix: the first spawn, which is in step 11, says slot, direction
// and gold; Freeway: the speeds after a crossing.
static UfStatus our_odds(const Trace* t, Counts* of_steps, Counts* of_resets) {
    UfEnv* env;
    float obs[UF_MINATAR_MAX_OBS], action = UF_FREEWAY_UP;
    double reward;
    bool terminated, truncated;
    UF_TRY(uf_env_create(&env, t->game->env));
    UfMinatarGame* game = uf_minatar_game(env);
    for (int e = 0; e < EPISODES; e++) {
        int32_t draws[MAX_DRAWS];
        uf_env_reset(env, 0, (uint64_t)e, obs);
        if (t->game->step == breakout_step) {
            of_resets->draws++;
            of_resets->side += game->breakout.ball_x != 0;
        } else if (t->game->step == freeway_step) {
            for (int i = 0; i < UF_FREEWAY_CARS; i++) draws[i] = game->freeway.speed[i];
            count_freeway(of_resets, draws);
            game->freeway.pos = 1;
            game->freeway.move_timer = 0;
            game->freeway.time = e % 100;  // as good as any; what is drawn depends on it
            uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
            for (int i = 0; i < UF_FREEWAY_CARS; i++) draws[i] = game->freeway.speed[i];
            count_freeway(of_steps, draws);
        } else {
            action = UF_ASTERIX_NONE;
            for (int k = 0; k < 11; k++) uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
            const UfAsterix* s = &game->asterix;
            // one step must have made one entity: others have no slot and count nowhere
            of_steps->draws++;
            if (s->used == 0 || (s->used & (s->used - 1))) continue;
            const int slot = uf_minatar_lowest(s->used),
                      kind = 2 * (s->right >> slot & 1) + (s->gold >> slot & 1);
            for (int i = 0; i < UF_ASTERIX_SLOTS; i++) of_steps->order[i][slot]++;
            of_steps->kind[kind]++;
            of_steps->kind_of_first[slot][kind]++;
        }
    }
    uf_env_free(env);
    return UF_OK;
}

// Orders themselves: the environment shows their second slot alone.
static double order_odds(void) {
    Counts counts = {0};
    for (int e = 0; e < EPISODES; e++) {
        UfRandom random = uf_random(0, UF_STREAM_ENV_STEP, (uint64_t)e);
        const UfAsterixDraws d = uf_asterix_draw(&random);
        int32_t draws[MAX_DRAWS];
        for (int i = 0; i < UF_ASTERIX_SLOTS; i++) draws[ORDER + i] = d.order[i];
        draws[RIGHT] = d.right;
        draws[GOLD] = d.gold;
        if (!asterix_sound(draws)) return (double)INFINITY;
        count_asterix(&counts, draws);
    }
    return judge_asterix(&counts, true);
}

// ---- report ----

// At most about 900 frequencies a line, each of which exceeds this by chance once in ten million files.
#define ODDS_LIMIT 7

static UfStatus report_odds(UfReport* report, const Trace* t) {
    const char* name = t->game->env;
    const bool asterix = t->game->step == asterix_step, freeway = t->game->step == freeway_step;
    Counts steps = {0}, resets = {0}, our_steps = {0}, our_resets = {0};
    if (t->game->step == invaders_step) return UF_OK;  // nothing is drawn
    recorded_odds(t, &steps, &resets);
    UF_TRY(our_odds(t, &our_steps, &our_resets));
    if (!asterix) {
        uf_report_add(report, name, "odds of its resets (-log10 p)",
                      freeway ? judge_freeway(&resets, false) : judge_sides(&resets), ODDS_LIMIT);
        uf_report_add(report, name, "odds of our resets (-log10 p)",
                      freeway ? judge_freeway(&our_resets, true) : judge_sides(&our_resets), ODDS_LIMIT);
    }
    if (steps.draws > 0)
        uf_report_add(report, name,
                      asterix ? "odds of its spawns (-log10 p)" : "odds of its new speeds (-log10 p)",
                      asterix ? judge_asterix(&steps, false) : judge_freeway(&steps, false), ODDS_LIMIT);
    if (t->num_draws)
        uf_report_add(
            report, name, asterix ? "odds of our spawns (-log10 p)" : "odds of our new speeds (-log10 p)",
            asterix ? judge_asterix(&our_steps, true) : judge_freeway(&our_steps, true), ODDS_LIMIT);
    if (asterix) uf_report_add(report, name, "odds of our orders (-log10 p)", order_odds(), ODDS_LIMIT);
    return UF_OK;
}

static UfStatus check_game(UfReport* report, const UfH5* h5, const Game* game) {
    Trace t = {0};
    Wrong wrong = {0};
    UfStatus status = trace_read(&t, h5, game);
    if (status == UF_OK) {
        compare_episodes(&t, &wrong);
        compare_starts(&t, &wrong);
        compare_resets(&t, &wrong);
        uf_report_add(report, game->env, "one step: states (wrong numbers)", (double)wrong.states, 0);
        uf_report_add(report, game->env, "one step: observations (bits)", (double)wrong.obs, 0);
        uf_report_add(report, game->env, "one step: rewards (wrong ones)", (double)wrong.rewards, 0);
        uf_report_add(report, game->env, "one step: ends (wrong ones)", (double)wrong.ends, 0);
        if (t.num_draws)
            uf_report_add(report, game->env, "when chance matters (wrong ones)", (double)wrong.draws, 0);
        uf_report_add(report, game->env, "replay (whatever differs)", (double)wrong.replay, 0);
        uf_report_add(report, game->env, "starts (whatever differs)", (double)wrong.starts, 0);
        uf_report_add(report, game->env, "resets from draws (wrong ones)", (double)wrong.resets, 0);
        status = report_odds(report, &t);
    }
    trace_free(&t);
    return status;
}

static const char* name_of(int k) { return k < NUM_GAMES ? games[k].group : NULL; }

static UfStatus check_file(UfReport* report, const UfH5* h5) {
    UfStatus status = uf_check_groups(report, h5, "/", name_of, "game of MinAtar");
    for (int k = 0; k < NUM_GAMES && status == UF_OK; k++)
        if (uf_h5_exists(h5, games[k].group)) status = check_game(report, h5, &games[k]);
    return status;
}

UfStatus uf_verify_minatar_traces(const char* path, char** text, bool* passed) {
    return uf_report_file(path, check_file, text, passed);
}
