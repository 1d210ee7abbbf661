// test_grid_navix.c: NAVIX's rules: what its actions, balls, doors and rewards do, what it observes, states that are set,
// and its recorded episodes.
#include "support.h"

#include <math.h>  // fabs

#include "h5_change.h"

#include "core/grid/grid_table.h"
#include "core/verify/verify.h"
#include "navix.h"

// ---- one environment with a map of ours ----

static NxBatch* batch;
static float reward, episode_return;
static uint8_t terminated, truncated, direction;
static int32_t length;
static const NxOutput outputs = {.reward = &reward,
                                 .terminated = &terminated,
                                 .truncated = &truncated,
                                 .direction = &direction,
                                 .episode_return = &episode_return,
                                 .episode_length = &length};
static uint8_t grid[NX_MAX_CELLS][3], contents[NX_MAX_CELLS][3];
static NxState level;

static int release(void** state) {
    (void)state;
    nx_free(batch);
    batch = NULL;
    return 0;
}

static NxOptions plain_options(void) {
    NxOptions options;
    nx_default_options(&options);
    options.rules = NX_RULES_NAVIX;
    options.autoreset = NX_NO_RESET;
    options.num_threads = 1;
    return options;
}

static void put_letter(char letter, uint8_t triple[3]) {
    static const struct {
        char letter;
        uint8_t triple[3];
    } letters[] = {{'.', {1, 0, 0}}, {'#', {2, 5, 0}}, {'G', {8, 1, 0}}, {'L', {9, 0, 0}}, {'B', {6, 2, 0}},
                   {'k', {5, 4, 0}}, {'r', {5, 0, 0}}, {'D', {4, 4, 2}}, {'d', {4, 4, 1}}, {'o', {4, 4, 0}}};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (letters[i].letter == letter) memcpy(triple, letters[i].triple, 3);
}

// The map row after row, an agent as > v < ^ on floor.
static void make_level(const char* map, int width) {
    const char* agents = ">v<^";
    level = (NxState){.max_steps = 100,
                      .carrying = {1, 0, 0},
                      .target = {-1, -1, -1, -1},
                      .aux = {-1, -1, -1, -1},
                      .grid = &grid[0][0],
                      .contents = &contents[0][0]};
    for (int i = 0; map[i]; i++) {
        const char* agent = strchr(agents, map[i]);
        put_letter('.', grid[i]);
        put_letter('.', contents[i]);
        put_letter(map[i], grid[i]);
        if (!agent) continue;
        level.x = i % width;
        level.y = i / width;
        level.direction = (int)(agent - agents);
    }
}

static void begin(const char* id, const NxOptions* options, int width, const char* map) {
    release(NULL);
    assert_ok(nx_create(&batch, id, 1, 1, options));
    make_level(map, width);
}

// A map that needs nothing more.
static void play(const char* id, int width, const char* map) {
    NxOptions options = plain_options();
    begin(id, &options, width, map);
    assert_ok(nx_set_state(batch, 0, &level));
}

static void act(int action) {
    const uint8_t byte = (uint8_t)action;
    assert_ok(nx_step(batch, &byte, &outputs));
    assert_ok(nx_get_state(batch, 0, &level));
}

static void act_all(const char* digits) {
    for (; *digits; digits++) act(*digits - '0');
}

static const uint8_t* at(int width, int x, int y) { return grid[y * width + x]; }
#define assert_cell(width, x, y, letter)                        \
    do {                                                        \
        uint8_t wanted_[3];                                     \
        put_letter(letter, wanted_);                            \
        assert_memory_equal(at((width), (x), (y)), wanted_, 3); \
    } while (0)
#define assert_agent(x_, y_)           \
    do {                               \
        assert_int_equal(level.x, x_); \
        assert_int_equal(level.y, y_); \
    } while (0)
#define assert_carries(type, colour)                 \
    do {                                             \
        assert_int_equal(level.carrying[0], type);   \
        assert_int_equal(level.carrying[1], colour); \
    } while (0)

// ---- keys and doors ----

static void test_door_takes_the_key(void** state) {
    (void)state;
    play("Navix-DoorKey-6x6-v0", 6,
         "######"
         "#>k#.#"
         "#..D.#"
         "#..#.#"
         "#..#G#"
         "######");
    act(NX_TOGGLE);  // a key is not to be opened
    assert_cell(6, 2, 1, 'k');
    act(NX_PICKUP);
    assert_cell(6, 2, 1, '.');
    assert_carries(5, 4);
    act_all("120");  // south, east again: in front of the door after one step
    act(NX_FORWARD);
    assert_agent(2, 2);
    act(NX_FORWARD);
    assert_agent(2, 2);  // locked
    act(NX_TOGGLE);
    assert_cell(6, 3, 2, 'o');
    assert_carries(1, 0);
    act(NX_TOGGLE);  // never closes
    assert_cell(6, 3, 2, 'o');
    act(NX_DROP);  // what opened the door lies nowhere for ever
    assert_cell(6, 3, 2, 'o');
    act(NX_FORWARD);
    assert_agent(3, 2);
    act_all("2122");
    assert_agent(4, 4);
    assert_true(reward == 1 && terminated && !truncated);
}

static void test_wrong_key(void** state) {
    (void)state;
    play("Navix-DoorKey-6x6-v0", 6,
         "######"
         "#v.#.#"
         "#r.#.#"
         "#.>D.#"
         "#..#G#"
         "######");
    act(NX_PICKUP);
    assert_carries(1, 0);  // the last > is where it stands
    level.carrying[0] = 5;
    level.carrying[1] = 4;
    assert_int_equal(nx_set_state(batch, 0, &level),
                     UF_ERR_ARGUMENT);  // another key than the one that lies there
    assert_error("NAVIX's rules know one key");
    level.carrying[1] = 0;  // this one is there and in the pocket: it has been dropped
    assert_ok(nx_set_state(batch, 0, &level));
    act(NX_TOGGLE);
    assert_cell(6, 3, 3, 'D');
    assert_carries(5, 0);
    act(NX_DROP);
    assert_cell(6, 3, 3, 'D');
}

static void test_dropping_keeps_the_pocket(void** state) {
    (void)state;
    play("Navix-DoorKey-6x6-v0", 6,
         "######"
         "#k<D.#"
         "#..#.#"
         "#..#.#"
         "#..#G#"
         "######");
    act_all("304");  // picked up, dropped to the south
    assert_cell(6, 2, 2, 'k');
    assert_carries(5, 4);
    act(NX_FORWARD);
    assert_agent(2, 1);  // a key is in the way
    act_all("14");       // and cannot be dropped once more
    assert_cell(6, 1, 1, '.');
    act_all("115");  // it lies on the floor, and opens the door
    assert_cell(6, 3, 1, 'o');
    assert_cell(6, 2, 2, 'k');
    assert_carries(1, 0);
}

static void test_key_on_the_goal(void** state) {
    (void)state;
    play("Navix-DoorKey-6x6-v0", 6,
         "######"
         "#.k<.#"
         "#..#.#"
         "#..o>G"
         "#..#.#"
         "######");
    level.carrying[0] = 5;
    level.carrying[1] = 4;
    memcpy(grid[1 * 6 + 2], (uint8_t[]){1, 0, 0}, 3);
    assert_ok(nx_set_state(batch, 0, &level));
    act(NX_DROP);
    assert_cell(6, 5, 3, 'k');  // a key covers a goal
    assert_memory_equal(contents[3 * 6 + 5], ((uint8_t[]){8, 1, 0}), 3);
    assert_ok(nx_set_state(batch, 0, &level));  // what is covered survives
    act(NX_FORWARD);
    assert_agent(4, 3);
    assert_true(reward == 1 && terminated);  // goal reached, though the key is in the way
    assert_int_equal(level.events, NX_EVENT_GOAL);
    act(NX_PICKUP);
    assert_cell(6, 5, 3, 'G');
    act_all("114");  // and on the open door
    assert_cell(6, 3, 3, 'k');
    act(NX_TOGGLE);
    assert_cell(6, 3, 3, 'k');
    act(NX_PICKUP);
    assert_cell(6, 3, 3, 'o');
}

static void test_key_under_lava(void** state) {
    (void)state;
    NxOptions options = plain_options();
    begin("Navix-LavaGapS5-v0", &options, 5,
          "#####"
          "#>L.#"
          "#.L.#"
          "#..G#"
          "#####");
    level.carrying[0] = 5;
    level.carrying[1] = 3;
    assert_ok(nx_set_state(batch, 0, &level));
    act(NX_DROP);
    assert_cell(5, 2, 1, 'L');  // lava covers a key
    assert_memory_equal(contents[1 * 5 + 2], ((uint8_t[]){5, 3, 0}), 3);
    assert_true(!terminated);  // looking where to drop it is not falling
    act(NX_FORWARD);
    assert_agent(1, 1);
    assert_true(terminated && reward == 0);
    act(NX_PICKUP);
    assert_memory_equal(contents[1 * 5 + 2], ((uint8_t[]){1, 0, 0}), 3);
    act(NX_FORWARD);
    assert_agent(2, 1);
}

// ---- ends ----

static void test_lava(void** state) {
    (void)state;
    play("Navix-LavaGapS5-v0", 5,
         "#####"
         "#>L.#"
         "#...#"
         "#..G#"
         "#####");
    act(NX_FORWARD);
    assert_agent(2, 1);
    assert_true(terminated && !truncated && reward == 0);
    play("Navix-DistShift1-v0", 9,
         "#########"
         "#.>LLL.G#"
         "#..LLL..#"
         "#.......#"
         "#.......#"
         "#.......#"
         "#########");
    act_all("2222");
    assert_agent(6, 1);  // unharmed
    assert_true(!terminated && level.events == NX_EVENT_LAVA);
    act(NX_FORWARD);
    assert_true(terminated && reward == 1);
}

static void test_events_stay(void** state) {
    (void)state;
    play("Navix-Empty-5x5-v0", 5,
         "#####"
         "#...#"
         "#...#"
         "#.>G#"
         "#####");
    act(NX_FORWARD);
    assert_true(terminated && reward == 1);
    act_all("002");  // away from the goal, which stays reached
    assert_agent(2, 3);
    assert_true(terminated && reward == 1 && episode_return == 4 && length == 4);
}

// A termination counts where an episode also runs out of time.
static void test_time(void** state) {
    (void)state;
    for (int late = 0; late < 2; late++) {
        NxOptions options = plain_options();
        options.max_steps = 2;
        begin("Navix-Empty-5x5-v0", &options, 5,
              "#####"
              "#...#"
              "#.>.#"
              "#..G#"
              "#####");
        if (late) level.x = 1;
        level.max_steps = 2;
        if (!late) level.y = 3, level.x = 1;
        assert_ok(nx_set_state(batch, 0, &level));
        act(NX_FORWARD);
        assert_true(!terminated && !truncated);
        act(NX_FORWARD);
        assert_int_equal(terminated, !late);
        assert_int_equal(truncated, late);
    }
}

static void test_go_to_door(void** state) {
    (void)state;
    NxOptions options = plain_options();
    begin("Navix-GoToDoor-6x6-v0", &options, 6,
          "##d###"
          "#..v#."
          "#...d."
          "d...#."
          "##d###"
          "#...#.");
    memcpy(level.target, (int[]){2, 0, 4, 4}, sizeof level.target);
    assert_ok(nx_set_state(batch, 0, &level));
    act_all("11");  // to the north
    assert_true(!terminated && reward == 0);
    act_all("02");  // below the door, facing west
    assert_agent(2, 1);
    act(NX_RIGHT);  // facing it is all there is to do
    assert_true(terminated && reward == 1);
    act_all("5");
    assert_cell(6, 2, 0, 'o');
    act(NX_FORWARD);
    assert_agent(2, 1);  // an open door in a wall is still a wall
    assert_int_equal(level.events, NX_EVENT_WALL);
    act(NX_LEFT);
    assert_true(!terminated && reward == 0);  // no event: it counts while it lasts
}

// ---- balls ----

static void try_moves(int action, const int32_t* tries) {
    const uint8_t byte = (uint8_t)action;
    assert_ok(nx_step_with_obstacles(batch, &byte, tries, &outputs));
    assert_ok(nx_get_state(batch, 0, &level));
}

static void three_balls(void) {
    NxOptions options = plain_options();
    begin("Navix-Dynamic-Obstacles-6x6-v0", &options, 6,
          "######"
          "#>.B.#"
          "#.B..#"
          "#.B..#"
          "#...G#"
          "######");
    level.num_obstacles = 3;
    memcpy(level.obstacles, (int32_t[][2]){{3, 1}, {2, 2}, {2, 3}}, 3 * sizeof level.obstacles[0]);
    assert_ok(nx_set_state(batch, 0, &level));
}

static void test_balls(void** state) {
    (void)state;
    three_balls();
    // The first stays at a wall, the second goes on the third, which stays by its own wish.
    try_moves(NX_DONE, (int32_t[]){3, 0, 2, 3, 2, 3});
    assert_true(!terminated);
    assert_cell(6, 3, 1, 'B');
    assert_cell(6, 2, 2, '.');
    assert_cell(6, 2, 3, 'B');
    assert_memory_equal(level.obstacles, ((int32_t[][2]){{3, 1}, {2, 3}, {2, 3}}),
                        3 * sizeof level.obstacles[0]);
    assert_ok(nx_set_state(batch, 0, &level));
    // One of the two leaves; the other's cell is a ball's still. The first goes where the agent looks.
    try_moves(NX_DONE, (int32_t[]){2, 1, 3, 3, 2, 3});
    assert_cell(6, 2, 1, 'B');
    assert_cell(6, 2, 3, 'B');
    assert_cell(6, 3, 3, 'B');
    // Nobody takes the place that the first leaves in the same step, but the goal's neighbour may go to the goal's side.
    try_moves(NX_DONE, (int32_t[]){3, 1, 3, 4, 2, 2});
    try_moves(NX_DONE, (int32_t[]){3, 2, 4, 4, 2, 1});
    assert_memory_equal(level.obstacles, ((int32_t[][2]){{3, 2}, {3, 4}, {2, 1}}),
                        3 * sizeof level.obstacles[0]);
    assert_cell(6, 4, 4, 'G');
    try_moves(NX_DONE,
              (int32_t[]){3, 3, 3, 3, 2, 2});  // (3, 3) is free, the second and the first may both have it
    assert_memory_equal(level.obstacles, ((int32_t[][2]){{3, 3}, {3, 3}, {2, 2}}),
                        3 * sizeof level.obstacles[0]);
    try_moves(NX_DONE, (int32_t[]){3, 2, 3, 4, 2, 2});
    try_moves(NX_DONE, (int32_t[]){2, 2, 3, 4, 3, 2});  // into the first's place as it was before
    assert_memory_equal(level.obstacles, ((int32_t[][2]){{2, 2}, {3, 4}, {2, 2}}),
                        3 * sizeof level.obstacles[0]);
}

static void test_ball_hits(void** state) {
    (void)state;
    three_balls();
    act(NX_DONE);
    three_balls();
    try_moves(NX_FORWARD,
              (int32_t[]){2, 1, 2, 2, 2, 3});  // the agent goes first, and is hit where it arrives
    assert_agent(2, 1);
    assert_true(terminated && reward == 0);
    assert_cell(6, 3, 1, 'B');
    three_balls();
    level.x = 2;
    assert_ok(nx_set_state(batch, 0, &level));
    try_moves(NX_FORWARD,
              (int32_t[]){4, 1, 2, 2, 2, 3});  // walking into a ball ends, even if it then moves away
    assert_agent(2, 1);
    assert_true(terminated && reward == 0);
    assert_cell(6, 4, 1, 'B');
    three_balls();
    try_moves(NX_FORWARD, (int32_t[]){3, 1, 2, 2, 2, 3});
    assert_true(!terminated);
    assert_int_equal(nx_step_with_obstacles(batch, (uint8_t[]){6}, (int32_t[]){3, 2, 3, 3, 2, 3}, &outputs),
                     UF_ERR_ARGUMENT);
    assert_error("obstacle 1 of environment 0 cannot go from (2, 2) to (3, 3)");
    assert_int_equal(nx_step_with_obstacles(batch, (uint8_t[]){6}, (int32_t[]){3, 1, 2, 2, 2, 300}, &outputs),
                     UF_ERR_ARGUMENT);
}

// Each direction as often as the others, and all of them out of a corner that leaves one.
static void test_ball_chances(void** state) {
    int counts[5] = {0};
    (void)state;
    for (int seed = 0; seed < 4000; seed++) {
        static const int32_t beside[5][2] = {{3, 3}, {4, 3}, {3, 4}, {2, 3}, {3, 2}};
        if (seed == 0) {
            NxOptions options = plain_options();
            begin("Navix-Dynamic-Obstacles-6x6-v0", &options, 6,
                  "######"
                  "#>...#"
                  "#....#"
                  "#..B.#"
                  "#...G#"
                  "######");
            level.num_obstacles = 3;
        }
        for (int i = 0; i < 3; i++) memcpy(level.obstacles[i], (int32_t[]){3, 3}, sizeof level.obstacles[0]);
        for (int i = 0; i < 36; i++)
            if (grid[i][0] == 6) put_letter('.', grid[i]);
        put_letter('B', grid[3 * 6 + 3]);
        assert_ok(nx_set_state(batch, 0, &level));
        act(NX_LEFT);
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 5; k++)
                counts[k] += memcmp(level.obstacles[i], beside[k], sizeof beside[k]) == 0;
    }
    assert_int_equal(counts[0], 0);
    // 12000 draws of probability 1/4: 3000 +- 5 standard deviations of 47.4
    for (int k = 1; k < 5; k++) assert_in_range(counts[k], 3000 - 237, 3000 + 237);
}

// ---- the larger set, rewards ----

static void test_ten_actions(void** state) {
    (void)state;
    for (int facing = 0; facing < 4; facing++) {
        for (int action = 0; action < 10; action++) {
            NxOptions options = plain_options();
            options.num_actions = 10;
            begin("Navix-Empty-5x5-v0", &options, 5,
                  "#####"
                  "#...#"
                  "#.>.#"
                  "#..G#"
                  "#####");
            level.direction = facing;
            assert_ok(nx_set_state(batch, 0, &level));
            act(action);
            // NAVIX adds quarter turns without wrapping around: beyond north is north.
            const int moves[10] = {-1, -1, -1, 0, 1, 2, 3, -1, -1, -1}, turns[10] = {0, 1, 3};
            int went = moves[action] < 0 ? -1 : facing + moves[action] > 3 ? 3 : facing + moves[action];
            assert_agent(2 + (went == 0) - (went == 2), 2 + (went == 1) - (went == 3));
            assert_int_equal(level.direction, (facing + turns[action]) % 4);
        }
    }
    NxOptions options = plain_options();
    options.num_actions = 10;
    begin("Navix-DoorKey-6x6-v0", &options, 6,
          "######"
          "#>k#.#"
          "#..D.#"
          "#..#.#"
          "#..#G#"
          "######");
    assert_ok(nx_set_state(batch, 0, &level));
    act_all("73");
    assert_agent(2, 1);
    level.y = 2;
    assert_ok(nx_set_state(batch, 0, &level));
    act(8);
    assert_cell(6, 3, 2, 'o');
    const uint8_t ten = 10;
    assert_int_equal(nx_step(batch, &ten, &outputs), UF_ERR_ARGUMENT);
    assert_error("action 10 of environment 0; expected 0 to 9");
}

static void rewarded(int terms, double penalty, int num_actions) {
    NxOptions options = plain_options();
    options.reward = terms;
    options.penalty_coef = penalty;
    options.num_actions = num_actions;
    begin("Navix-Empty-5x5-v0", &options, 5,
          "#####"
          "#..^#"
          "#...#"
          "#..G#"
          "#####");
    level.max_steps = 50;
    assert_ok(nx_set_state(batch, 0, &level));
}

// A few roundings of numbers of the size of 1.
#define assert_reward(wanted) assert_true(fabs(reward - (wanted)) < 1e-6)

static void test_rewards(void** state) {
    (void)state;
    rewarded(NX_REWARD_ACTION_COST, 0, 7);
    act(NX_DROP);
    assert_reward(-0.01);
    act(NX_DONE);
    assert_reward(0);
    rewarded(NX_REWARD_ACTION_COST, 0, 10);
    act(6);  // by number, whatever it does
    assert_reward(0);
    act(9);
    assert_reward(-0.01);
    rewarded(NX_REWARD_TIME_COST, 0, 7);
    act(NX_DONE);
    assert_reward(-0.01);
    rewarded(NX_REWARD_WALL_HIT, 0, 7);
    act(NX_RIGHT);
    assert_reward(0);
    act(NX_FORWARD);
    assert_reward(0.01);  // a gain
    act(NX_DONE);
    assert_reward(0.01);  // for good
    rewarded(15, 0.9, 7);
    act_all("21122");
    assert_reward(1 - 0.01 - 0.01 + 0.01 - 0.9 * 5 / 50);
    assert_true(terminated && fabs(episode_return - (4 * (0.01 - 0.02) + reward)) < 1e-6);
    rewarded(0, 0.5, 7);
    act_all("1122");
    assert_reward(1 - 0.5 * 4 / 50);
    rewarded(NX_REWARD_TIME_COST, 0, 7);
    act_all("1122");
    assert_true(terminated);
    assert_reward(-0.01);
}

static void test_autoreset(void** state) {
    (void)state;
    for (int mode = NX_NEXT_STEP; mode <= NX_SAME_STEP; mode++) {
        uint8_t obs[5][5][3], final_obs[5][5][3];
        NxOutput out = outputs;
        NxOptions options = plain_options();
        options.autoreset = (NxAutoreset)mode;
        options.observation = NX_OBS_FULL;
        begin("Navix-Empty-5x5-v0", &options, 5,
              "#####"
              "#...#"
              "#...#"
              "#.>G#"
              "#####");
        assert_ok(nx_set_state(batch, 0, &level));
        out.obs = obs;
        out.final_obs = final_obs;
        assert_ok(nx_step(batch, (uint8_t[]){NX_FORWARD}, &out));
        assert_true(terminated && reward == 1 && episode_return == 1 && length == 1);
        assert_memory_equal(mode == NX_SAME_STEP ? final_obs[3][3] : obs[3][3], ((uint8_t[]){10, 0, 0}), 3);
        if (mode == NX_NEXT_STEP) assert_ok(nx_step(batch, (uint8_t[]){NX_LEFT}, &out));
        assert_memory_equal(obs[1][1], ((uint8_t[]){10, 0, 0}), 3);  // as it begins, the action ignored
        assert_memory_equal(obs[3][3], ((uint8_t[]){8, 1, 0}), 3);
        if (mode == NX_NEXT_STEP)
            assert_true(!terminated && reward == 0 && episode_return == 0 && length == 0);
        assert_ok(nx_get_state(batch, 0, &level));
        assert_int_equal(level.events, 0);
    }
}

// ---- observations ----

static void observe(const char* id, NxObservation kind, int view, int width, const char* map, void* obs) {
    NxOptions options = plain_options();
    options.observation = kind;
    options.view_size = view;
    begin(id, &options, width, map);
    if (strstr(id, "GoToDoor")) memcpy(level.target, (int[]){0, 3, 4, 4}, sizeof level.target);
    assert_ok(nx_set_state(batch, 0, &level));
    NxOutput out = {.obs = obs};
    assert_ok(nx_step(batch, (uint8_t[]){NX_DONE}, &out));
}

static void test_categorical(void** state) {
    (void)state;
    int32_t map[6][6], view[7][7], small[3][3];
    const char* door_key =
        "######"
        "#>k#.#"
        "#..D.#"
        "#..#.#"
        "#..#G#"
        "######";
    observe("Navix-DoorKey-6x6-v0", NX_OBS_CATEGORICAL, 0, 6, door_key, map);
    const int32_t wanted[6][6] = {{-1, -1, -1, -1, -1, -1}, {-1, 10, 5, 2, 0, -1}, {-1, 0, 0, 4, 0, -1},
                                  {-1, 0, 0, 2, 0, -1},     {-1, 0, 0, 2, 8, -1},  {-1, -1, -1, -1, -1, -1}};
    assert_memory_equal(map, wanted, sizeof map);
    const NxShape shape = nx_shape(batch);
    assert_true(shape.num_dims == 2 && shape.item_bytes == 4 && shape.bytes == sizeof map);
    // From (1, 1) to the east: column c of the view is y = c - 2, row r is x = 7 - r.
    observe("Navix-DoorKey-6x6-v0", NX_OBS_CATEGORICAL_FIRST_PERSON, 0, 6, door_key, view);
    const int32_t seen[7][7] = {{100, 100, 100, 100, 100, 100, 100}, {100, 100, 100, 100, 100, 100, 100},
                                {100, 100, 0, 0, 0, 0, 0},           {100, 100, 0, 0, 0, 0, 0},
                                {100, 100, -1, 2, 4, 2, 2},          {100, 100, -1, 5, 0, 0, 0},
                                {100, 100, -1, 10, 0, 0, 0}};
    assert_memory_equal(view, seen, sizeof view);
    observe("Navix-DoorKey-6x6-v0", NX_OBS_CATEGORICAL_FIRST_PERSON, 3, 6, door_key, small);
    const int32_t near[3][3] = {{-1, 2, 4}, {-1, 5, 0}, {-1, 10, 0}};
    assert_memory_equal(small, near, sizeof small);
}

// Light leaves by an open door in the map's edge and comes in on the other side.
static void test_view_around_the_edge(void** state) {
    (void)state;
    int32_t view[7][7];
    for (int open = 0; open < 2; open++) {
        observe("Navix-GoToDoor-8x8-v0", NX_OBS_CATEGORICAL_FIRST_PERSON, 0, 8,
                open ? "########"
                       "#...#..."
                       "#...#..."
                       "o..>#..."
                       "########"
                       "#...#..."
                       "#...#..."
                       "#...#..."
                     : "########"
                       "#...#..."
                       "#...#..."
                       "d..>#..."
                       "########"
                       "#...#..."
                       "#...#..."
                       "#...#...",
                view);
        // To the east: (4, 3), a wall; behind it floor, which 0 shows in either case; above it, at x = 7, a wall that
        // only light from around the edge meets.
        assert_int_equal(view[5][3], -1);
        assert_int_equal(view[2][0], open ? -1 : 0);  // (7, 0)
    }
}

static void test_symbolic(void** state) {
    (void)state;
    uint8_t full[6][6][3], view[7][7][3];
    const char* door_key =
        "######"
        "#>k#.#"
        "#..D.#"
        "#..#.#"
        "#..#G#"
        "######";
    observe("Navix-DoorKey-6x6-v0", NX_OBS_FULL, 0, 6, door_key, full);
    assert_memory_equal(full[1][1], ((uint8_t[]){10, 0, 0}), 3);
    assert_memory_equal(full[2][3], ((uint8_t[]){4, 4, 2}), 3);
    observe("Navix-DoorKey-6x6-v0", NX_OBS_FIRST_PERSON, 0, 6, door_key, view);
    assert_memory_equal(view[3][6], ((uint8_t[]){8, 1, 0}), 3);  // the goal, through the wall
    assert_memory_equal(view[0][3], ((uint8_t[]){2, 5, 0}), 3);
    NxOutput out = {.obs = view};
    assert_ok(nx_step(batch, (uint8_t[]){NX_PICKUP}, &out));
    assert_memory_equal(view[6][3], ((uint8_t[]){1, 0, 0}), 3);  // what it carries is not shown
    assert_memory_equal(view[5][3], ((uint8_t[]){1, 0, 0}), 3);
}

// ---- what cannot be ----

static void refuses(const char* id, const NxOptions* options, const char* sentence) {
    release(NULL);
    assert_int_equal(nx_create(&batch, id, 1, 0, options), UF_ERR_ARGUMENT);
    assert_null(batch);
    assert_error(sentence);
}

static void test_bad_options(void** state) {
    (void)state;
    NxOptions options = plain_options();
    refuses("MiniGrid-Fetch-8x8-N3-v0", &options, "NAVIX has no such levels; set rules to NX_RULES_MINIGRID");
    refuses("MiniGrid-LavaCrossingS9N1-v0", &options, "NAVIX has no such levels");
    options.see_through_walls = 0;
    refuses("Navix-DoorKey-5x5-v0", &options, "by NAVIX's rules nothing hides anything");
    options = plain_options();
    options.reward = 16;
    refuses("Navix-DoorKey-5x5-v0", &options, "reward 16");
    options = plain_options();
    options.num_actions = 8;
    refuses("Navix-DoorKey-5x5-v0", &options, "num_actions 8; expected 7 or 10");
    options.num_actions = 10;
    options.rules = NX_RULES_MINIGRID;
    refuses("Navix-DoorKey-5x5-v0", &options, "10 is of NAVIX's rules");
    options = plain_options();
    options.rules = NX_RULES_OF_ID;
    options.reward = NX_REWARD_GOAL;
    refuses("MiniGrid-DoorKey-5x5-v0", &options, "reward and penalty_coef are of NAVIX's rules");
    options.observation = NX_OBS_CATEGORICAL;
    refuses("MiniGrid-DoorKey-5x5-v0", &options, "categorical observations are of NAVIX's rules");
    assert_ok(nx_create(&batch, "Navix-DoorKey-5x5-v0", 1, 0, &options));
}

static void test_bad_states(void** state) {
    (void)state;
    const char* map =
        "######"
        "#>k#.#"
        "#..D.#"
        "#..#.#"
        "#..#G#"
        "######";
    play("Navix-DoorKey-6x6-v0", 6, map);
    put_letter('k', grid[2 * 6 + 1]);
    assert_int_equal(nx_set_state(batch, 0, &level), UF_ERR_ARGUMENT);
    assert_error("NAVIX's rules know one key");
    make_level(map, 6);
    memcpy(level.carrying, (uint8_t[]){6, 2, 0}, 3);  // a ball
    assert_int_equal(nx_set_state(batch, 0, &level), UF_ERR_ARGUMENT);
    assert_error("NAVIX's rules know one key");
    make_level(map, 6);
    level.events = 16;
    assert_int_equal(nx_set_state(batch, 0, &level), UF_ERR_ARGUMENT);
    assert_error("events 16; expected a sum of NX_EVENT_*");
    make_level(map, 6);
    put_letter('G', contents[1 * 6 + 1]);
    assert_int_equal(nx_set_state(batch, 0, &level), UF_ERR_ARGUMENT);
    assert_error("contents at (1, 1)");
    make_level(map, 6);
    put_letter('#', contents[1 * 6 + 2]);
    assert_int_equal(nx_set_state(batch, 0, &level), UF_ERR_ARGUMENT);
    make_level(map, 6);
    assert_ok(nx_set_state(batch, 0, &level));
    play("Navix-KeyCorridorS3R1-v0", 7, "########k.>.G########");  // needs no target
    NxOptions options = plain_options();
    options.rules = NX_RULES_MINIGRID;
    begin("MiniGrid-DoorKey-6x6-v0", &options, 6, map);
    level.events = 1;
    assert_int_equal(nx_set_state(batch, 0, &level), UF_ERR_ARGUMENT);
    assert_error("events 1; expected 0");
}

// A state that is read and set goes on as the one that it was read from.
static void test_states_go_on(void** state) {
    (void)state;
    for (int i = 0; i < nx_num_specs; i++) {
        const NxSpec* spec = &nx_specs[i];
        NxBatch* twin;
        if (!spec->navix || spec->family == NX_FAMILY_DYNAMIC_OBSTACLES) continue;  // whose balls draw
        NxOptions options = plain_options();
        options.rules = NX_RULES_OF_ID;
        options.observation = NX_OBS_FULL;
        options.reward = 15;
        release(NULL);
        assert_ok(nx_create(&batch, spec->id, 1, 3, &options));
        assert_ok(nx_create(&twin, spec->id, 1, 4, &options));
        uint8_t obs[2][NX_MAX_CELLS * 3], end[2], now[2];
        float gain[2];
        uint32_t dice = 12345;
        for (int step = 0; step < 400; step++) {
            dice = dice * 1664525u + 1013904223u;
            const uint8_t action = (uint8_t)(dice >> 24 & 1 ? NX_FORWARD : (dice >> 25) % 7);
            level = (NxState){.grid = &grid[0][0], .contents = &contents[0][0]};
            if (step % 5 == 0) {
                assert_ok(nx_get_state(batch, 0, &level));
                assert_ok(nx_set_state(twin, 0, &level));
            }
            for (int k = 0; k < 2; k++)
                assert_ok(nx_step(
                    k ? twin : batch, &action,
                    &(NxOutput){
                        .obs = obs[k], .reward = &gain[k], .terminated = &end[k], .truncated = &now[k]}));
            assert_memory_equal(obs[0], obs[1], nx_shape(batch).bytes);
            assert_true(gain[0] == gain[1] && end[0] == end[1] && now[0] == now[1]);
        }
        nx_free(twin);
    }
}

// ---- recordings ----

#define PUBLIC "../shared/oracle/minigrid_traces.h5"
#define OURS "tests/data/navix_traces.h5"

static void verify(const char* path, bool wanted, const char* line) {
    char* report;
    bool passed;
    assert_ok(uf_verify(path, &report, &passed));
    if (passed != wanted || !strstr(report, line)) fail_msg("%s\n%s", line, report);
    uf_free(report);
}

static void test_public_recording(void** state) {
    (void)state;
    if (access(PUBLIC, R_OK) != 0) {
        print_message("SKIP: no %s\n", PUBLIC);
        skip();
    }
    verify(PUBLIC, true, "Navix-DoorKey-6x6-v0");
}

static void test_recording(void** state) {
    char* report;
    bool passed;
    (void)state;
    assert_ok(uf_verify(OURS, &report, &passed));
    if (!passed) fail_msg("%s", report);
    for (int i = 0; i < nx_num_specs; i++)
        if (nx_specs[i].navix && !strstr(report, nx_specs[i].id))
            fail_msg("%s is not in %s", nx_specs[i].id, OURS);
    uf_free(report);
}

// A copy of ours that has only the groups that are changed below, open for changes.
static hid_t copy_recording(const char* name) {
    static const char* const kept[] = {"Navix-DoorKey-5x5-v0", "Navix-DistShift1-v0", "Navix-GoToDoor-8x8-v0",
                                       "Navix-Dynamic-Obstacles-8x8-v0", "Navix-Empty-5x5-v0"};
    char command[256];
    snprintf(command, sizeof command, "cp %s '%s'", OURS, in_folder(name));
    assert_int_equal(system(command), 0);
    hid_t file = H5Fopen(in_folder(name), H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    for (int i = 0; i < nx_num_specs; i++) {
        char path[96];
        bool keeps = !nx_specs[i].navix;
        for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++)
            keeps |= strcmp(nx_specs[i].id, kept[k]) == 0;
        snprintf(path, sizeof path, "navix/%s", nx_specs[i].id);
        if (!keeps) assert_true(H5Ldelete(file, path, H5P_DEFAULT) >= 0);
    }
    return file;
}

static void test_changed_recordings(void** state) {
    (void)state;
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* line;
    } changes[] = {
        {"navix/Navix-DoorKey-5x5-v0/symbolic", 75 * 7 + 20, 1, "'symbolic', environment 0, frame 7"},
        {"navix/Navix-DoorKey-5x5-v0/symbolic_fp", 147 * 9 + 3, 1, "'symbolic_fp', environment 0, frame 9"},
        {"navix/Navix-DoorKey-5x5-v0/categorical", 25 * 9 + 3, 1, "'categorical', environment 0, frame 9"},
        {"navix/Navix-DoorKey-5x5-v0/categorical_fp", 49 * 9 + 3, 1,
         "'categorical_fp', environment 0, frame 9"},
        {"navix/Navix-DoorKey-5x5-v0/player", 4 * 5 + 3, 1, "'player', environment 0, frame 5"},
        {"navix/Navix-DoorKey-5x5-v0/key", 4 * 5 + 1, 1, "'key', environment 0, frame 5"},
        {"navix/Navix-DoorKey-5x5-v0/door", 5 * 5 + 4, 1, "'door', environment 0, frame 5"},
        {"navix/Navix-DoorKey-5x5-v0/wall", 4 * 5 + 1, 1, "'wall', environment 0, frame 5"},
        {"navix/Navix-DoorKey-5x5-v0/base", 25 * 5 + 1, 1, "'base', environment 0, frame 5"},
        {"navix/Navix-DoorKey-5x5-v0/t", 5, 1, "'t', environment 0, frame 5"},
        {"navix/Navix-DoorKey-5x5-v0/reward", 5, 1e-5, "rewards"},
        {"navix/Navix-DoorKey-5x5-v0/ret", 5, 1e-3, "returns"},
        {"navix/Navix-DistShift1-v0/lava", 12 * 5 + 1, 1, "'lava', environment 0, frame 5"},
        {"navix/Navix-DistShift1-v0/goal", 2 * 5 + 1, 1, "'goal', environment 0, frame 5"},
        {"navix/Navix-GoToDoor-8x8-v0/mission", 3 * 5 + 2, 1, "'mission', environment 0, frame 5"},
        {"navix/Navix-Dynamic-Obstacles-8x8-v0/ball", 8 * 3, 2, "moves of balls"},
        {"navix/Navix-Empty-5x5-v0/step_type", 3, 1, "'step_type', environment 0, frame 3"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        hid_t file = copy_recording("changed.h5");
        alter(file, changes[i].dataset, changes[i].index, changes[i].change);
        H5Fclose(file);
        verify(in_folder("changed.h5"), false, changes[i].line);
    }
}

static void spoil(const char* how, const char* sentence) {
    char* report;
    bool passed;
    hid_t file = copy_recording("spoiled.h5");
    if (how[0] == '-')
        assert_true(H5Ldelete(file, how + 1, H5P_DEFAULT) >= 0);
    else if (how[0] == '>')
        assert_true(H5Lmove(file, "navix/Navix-Empty-5x5-v0", file, how + 1, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    else
        alter(file, how, 0, 100);
    H5Fclose(file);
    assert_int_not_equal(uf_verify(in_folder("spoiled.h5"), &report, &passed), UF_OK);
    assert_error(sentence);
}

static void test_spoiled_recordings(void** state) {
    (void)state;
    spoil("-navix/Navix-DoorKey-5x5-v0/player", "player");
    spoil("-navix/Navix-GoToDoor-8x8-v0/mission", "has no dataset 'mission'");
    spoil("navix/Navix-DoorKey-5x5-v0/action", "'navix/Navix-DoorKey-5x5-v0/action' has a");
    spoil("navix/Navix-DoorKey-5x5-v0/player", "'navix/Navix-DoorKey-5x5-v0/player' has a");
    spoil("navix/Navix-DoorKey-5x5-v0/key", "'navix/Navix-DoorKey-5x5-v0/key' has a");
    spoil(">navix/Navix-Empty-5x7-v0", "unknown gridworld 'Navix-Empty-5x7-v0'");
    spoil(">navix/MiniGrid-Empty-5x5-v0", "is none of NAVIX's environments");
    spoil(">navix/Navix-Empty-6x6-v1", "unknown gridworld");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_door_takes_the_key, release),
        cmocka_unit_test_teardown(test_wrong_key, release),
        cmocka_unit_test_teardown(test_dropping_keeps_the_pocket, release),
        cmocka_unit_test_teardown(test_key_on_the_goal, release),
        cmocka_unit_test_teardown(test_key_under_lava, release),
        cmocka_unit_test_teardown(test_lava, release),
        cmocka_unit_test_teardown(test_events_stay, release),
        cmocka_unit_test_teardown(test_time, release),
        cmocka_unit_test_teardown(test_go_to_door, release),
        cmocka_unit_test_teardown(test_balls, release),
        cmocka_unit_test_teardown(test_ball_hits, release),
        cmocka_unit_test_teardown(test_ball_chances, release),
        cmocka_unit_test_teardown(test_ten_actions, release),
        cmocka_unit_test_teardown(test_rewards, release),
        cmocka_unit_test_teardown(test_autoreset, release),
        cmocka_unit_test_teardown(test_categorical, release),
        cmocka_unit_test_teardown(test_view_around_the_edge, release),
        cmocka_unit_test_teardown(test_symbolic, release),
        cmocka_unit_test_teardown(test_bad_options, release),
        cmocka_unit_test_teardown(test_bad_states, release),
        cmocka_unit_test_teardown(test_states_go_on, release),
        cmocka_unit_test(test_public_recording),
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_changed_recordings),
        cmocka_unit_test(test_spoiled_recordings),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
