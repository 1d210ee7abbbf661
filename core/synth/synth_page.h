// synth_page.h: what pictures of synthetic environments and of their agents share (core/pictures/page.h): measures, frames, episodes.
#ifndef UF_SYNTH_PAGE_H
#define UF_SYNTH_PAGE_H

#ifndef UF_NO_CAIRO

#include "core/pictures/page.h"
#include "core/synth/synth.h"

enum {
    SE_PAGE_WIDTH = 1280,
    SE_PAGE_MARGIN = 24,
    SE_PAGE_TITLE = 72,
    SE_PAGE_AXIS = 58,    // left of what has numbers at its side
    SE_PAGE_HEADER = 24,  // a line above a row of panels
    SE_PAGE_PANEL_TITLE = 20,
    SE_PAGE_BELOW = 40,  // numbers and name of an axis
    SE_PAGE_EPISODE = 260,
    SE_PAGE_ROW_GAP = 22,
    SE_PAGE_STRIPS = 6,  // numbers of an observation, of one episode
};

extern const double se_page_blue[3], se_page_sky[3], se_page_vermilion[3];  // Okabe and Ito's
void se_page_grey(cairo_t* c, double grey);
void se_page_rgb(cairo_t* c, const double rgb[3], double alpha);
const double* se_page_kind_colour(int kind);

// What number j of an observation is called, or a kind of action.   Nullable: spec
const char* se_page_feature(const UfEnvSpec* spec, int j, char text[32]);
const char* se_page_kind(const UfEnvSpec* spec, int kind, char text[32]);

// The first two lines of a page.
void se_page_title(cairo_t* c, const char* title, const char* line);
void se_page_header(cairo_t* c, const char* text, double y);
// A square of a colour and what it stands for; where the next one may begin.
double se_page_key(cairo_t* c, const double rgb[3], double alpha, const char* text, double x, double y);

// An axis that ends where the data do; of a log one low and high are of log10.
UfPageAxis se_page_axis(double low, double high, double from, double to, int count, bool log);
void se_page_ticks(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay);
void se_page_box(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay);
// Nullable: each of the three
void se_page_names(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay, const char* title,
                   const char* x_name, const char* y_name);

typedef struct SeEpisodeView {
    const SeEpisode* episode;
    const UfEnvSpec* spec;  // Nullable
    int num_shown;          // at most SE_PAGE_STRIPS
    const int* shown;       // (num_shown) numbers of an observation, in this order
    bool discrete;
    int action;  // which number of it
    const char *action_name, *title;
} SeEpisodeView;
// A strip for each number over the steps, from x to the right margin; SE_PAGE_EPISODE high, and SE_PAGE_BELOW.
void se_page_episode(cairo_t* c, const SeEpisodeView* view, double x, double y);

#endif

#endif
