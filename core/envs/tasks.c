// tasks.c: the D4RL tasks as a table.
//
// Sources: d4rl/infos.py (REF_MIN_SCORE, REF_MAX_SCORE; one pair for every version of a task), the
// max_episode_steps of D4RL's gym registrations. "ant-maze" stands in the names of the antmaze files.
#include "core/envs/tasks.h"

#include <ctype.h>
#include <string.h>

static const UfTaskSpec tasks[] = {
    {"halfcheetah", UF_SCORES_HALFCHEETAH, 1000},
    {"hopper", UF_SCORES_HOPPER, 1000},
    {"walker2d", UF_SCORES_WALKER2D, 1000},
    {"ant", UF_SCORES_ANT, 1000},
    {"pen", 96.262799, 3076.8331017826877, 100},
    {"hammer", -274.856578, 12794.134825156867, 200},
    {"relocate", -6.425911, 4233.877797728884, 200},
    {"door", -56.512833, 2880.5693087298737, 200},
    {"maze2d-open", 0.01, 20.66, 150},
    {"maze2d-umaze", 23.85, 161.86, 300},
    {"maze2d-medium", 13.13, 277.39, 600},
    {"maze2d-large", 6.7, 273.99, 800},
    {"maze2d-open-dense", 11.17817, 27.166538620695782, 150},
    {"maze2d-umaze-dense", 68.537689, 193.66285642381482, 300},
    {"maze2d-medium-dense", 44.264742, 297.4552547777125, 600},
    {"maze2d-large-dense", 30.569041, 303.4857382709002, 800},
    {"antmaze", 0, 1, 1000},
    {"antmaze-umaze", 0, 1, 700},
    {"ant-maze", 0, 1, 1000},
    {"ant-maze-u-maze", 0, 1, 700},
    {"kitchen", 0, 4, 280},
    {"minigrid-fourrooms", 0.01442, 2.89685, 0},
};

// Files of D4RL spell both "walker2d_medium" and "walker2d-medium".
static char plain(char c) { return c == '_' ? '-' : (char)tolower((unsigned char)c); }

// Whether `word` stands in `name` with no letter or digit on either side.
static bool holds_word(const char* name, const char* word) {
    size_t length = strlen(word);
    for (const char* start = name; *start; start++) {
        size_t i = 0;
        while (i < length && start[i] && plain(start[i]) == word[i]) i++;
        if (i == length && (start == name || !isalnum((unsigned char)start[-1])) &&
            !isalnum((unsigned char)start[length]))
            return true;
    }
    return false;
}

const UfTaskSpec* uf_task_find(const char* name) {
    const UfTaskSpec* best = NULL;
    if (!name) return NULL;
    // A folder may be called after anything, except where the name is Minari's ("D4RL/door/human-v2").
    const char* slash = strrchr(name, '/');
    if (slash && strncmp(name, "D4RL/", 5)) name = slash + 1;
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
        if (holds_word(name, tasks[i].name) && (!best || strlen(tasks[i].name) > strlen(best->name)))
            best = &tasks[i];
    return best;
}
