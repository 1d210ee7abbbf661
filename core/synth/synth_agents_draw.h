// synth_agents_draw.h: trained agents on one page: how good they are in the real environment.
#ifndef UF_SYNTH_AGENTS_DRAW_H
#define UF_SYNTH_AGENTS_DRAW_H

#include "core/synth/synth_rate.h"

typedef struct SeAgentsPage {
    const UfEnvSpec* spec;  // the real environment
    int64_t num_steps;      // that agents trained for
    uint64_t seed;          // of theirs
    double no_agent;        // return of the policy that takes the reward's best action.   NaN: there is none
    int count;              // at least 1
    const SeRating*
        ratings;  // (count): a row each, in this order; an algorithm has one at most for each place of training
} SeAgentsPage;
// Draws a row of returns for each rating, with inter-quartile means and what is published; returns over learning rates for
// each algorithm; and the episode of the first rating. Agents that are no more finite are crosses at the worst end.   The
// ending of path (.png, .svg, .pdf) decides the format.
// Errors: those of se_check_picture, UF_ERR_IO, UF_ERR_MEMORY.
UfStatus se_draw_ratings(const SeAgentsPage* page, const char* path);
// Whether a page may go there, before there is one.
// Errors: UF_ERR_ARGUMENT (the ending), UF_ERR_UNSUPPORTED (built without cairo), UF_ERR_IO (no such folder).
UfStatus se_check_picture(const char* path);

#endif
