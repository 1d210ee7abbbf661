// termination.c: the names of termination rules. Apart from the environments, so that training needs none of
// them.
#include "core/core.h"
#include "core/envs/termination.h"

static const struct {
    const char* name;
    UfTermination rule;
} rules[] = {
    {"never", UF_TERMINATION_NEVER},
    {"halfcheetah", UF_TERMINATION_HALF_CHEETAH},
    {"halfcheetahvel", UF_TERMINATION_NEVER},
    {"hopper", UF_TERMINATION_HOPPER},
    {"walker2d", UF_TERMINATION_WALKER2D},
    {"ant", UF_TERMINATION_ANT},
    {"humanoid", UF_TERMINATION_HUMANOID},
    {"pen", UF_TERMINATION_PEN},
    {"door", UF_TERMINATION_NEVER},
    {"hammer", UF_TERMINATION_NEVER},
    {"relocate", UF_TERMINATION_NEVER},
    {"kitchen", UF_TERMINATION_NEVER},
    {"maze2d-open", UF_TERMINATION_MAZE2D_OPEN},
    {"maze2d-umaze", UF_TERMINATION_MAZE2D_UMAZE},
    {"maze2d-medium", UF_TERMINATION_MAZE2D_MEDIUM},
    {"maze2d-large", UF_TERMINATION_MAZE2D_LARGE},
    {"point2d", UF_TERMINATION_NEVER},
    {"antmaze", UF_TERMINATION_NEVER},
    {"pendulum", UF_TERMINATION_NEVER},
    {"invertedpendulum", UF_TERMINATION_INVERTED_PENDULUM},
    {"mountaincarcontinuous", UF_TERMINATION_MOUNTAIN_CAR_CONTINUOUS},
    {"mountaincar", UF_TERMINATION_MOUNTAIN_CAR},
    {"cartpole", UF_TERMINATION_CART_POLE},
    {"acrobot", UF_TERMINATION_ACROBOT},
    {"pointmaze", UF_TERMINATION_NEVER},
};

const char* uf_termination_name(const char* name) {
    for (size_t i = 0; name && i < sizeof rules / sizeof rules[0]; i++)
        if (uf_leading_word(uf_file_name(name), rules[i].name)) return rules[i].name;
    return "";
}

UfStatus uf_termination_rule(const char* name, UfTermination* rule) {
    enum { NUM_RULES = sizeof rules / sizeof rules[0] };
    const char* known[NUM_RULES + 1] = {0};
    bool found = false;
    *rule = UF_TERMINATION_NEVER;
    for (int i = 0; i < NUM_RULES; i++) {
        known[i] = rules[i].name;
        if (!name || !uf_leading_word(uf_file_name(name), known[i])) continue;
        *rule = rules[i].rule;
        found = true;
    }
    return found ? UF_OK : uf_fail_unknown("task for a termination rule", name ? name : "", known);
}
