// render.c: pictures of an episode: a strip of frames (.png) or an animation (.gif).
//
// The episode is played once and its states are kept; frames are then drawn from the states by the environment's
// own function (draw.h), with a caption below.
//
// Rooms: the episode, frames, files.
#include "core/runs/render.h"

#ifdef UF_NO_CAIRO

UfStatus uf_render(const UfRenderOptions* options, UfRender* out) {
    *out = (UfRender){0};
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build draws no pictures; install libcairo2-dev and build again",
                   options->output);
}

#else

#include <cairo.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>
#include <strings.h>  // strcasecmp

#include "core/agents/evaluate.h"
#include "core/agents/policy.h"
#include "core/envs/draw.h"
#include "core/pictures/gif.h"
#include "core/pictures/page.h"
#include "core/runs/collect.h"
#include "core/runs/run.h"

enum {
    CAPTION = 26,  // pixels below a drawing
    TITLE = 58,    // above a strip
    GAP = 8,       // around the frames of a strip
    STRIP_FRAMES = 12,
    HOLD = 100,  // centiseconds that an animation rests on its last frame
};
#define FRAME_SECONDS 0.04  // of an animation

// ---- the episode ----

typedef struct Played {
    const UfEnvSpec* spec;
    int length;       // steps
    double* states;   // (length + 1, state_dim)
    float* actions;   // (length + 1, action_dim): the one that led to the state
    double* returns;  // (length + 1): up to there
    bool diverged;
} Played;

static UfStatus keep_step(void* user, const UfEnv* env, const float* action, double reward) {
    Played* p = user;
    int at = action ? ++p->length : 0;
    uf_env_get_state(env, p->states + (size_t)at * (size_t)p->spec->state_dim);
    if (action)
        memcpy(p->actions + (size_t)at * (size_t)p->spec->action_dim, action,
               (size_t)p->spec->action_dim * sizeof *action);
    p->returns[at] = at ? p->returns[at - 1] + reward : 0;
    p->diverged = env->diverged;
    return UF_OK;
}

static UfStatus play_with(Played* p, const UfRenderOptions* o, UfEpisodeOptions* episode) {
    size_t rows = (size_t)p->spec->max_steps + 1;
    if (!p->spec->ops->draw) return UF_FAIL(UF_ERR_UNSUPPORTED, "%s has no pictures", p->spec->name);
    UF_TRY(UF_ALLOC(&p->states, rows * (size_t)p->spec->state_dim, "an episode"));
    UF_TRY(UF_ALLOC(&p->actions, rows * (size_t)p->spec->action_dim, "an episode"));
    UF_TRY(UF_ALLOC(&p->returns, rows, "an episode"));
    episode->spec = p->spec;
    episode->seed = o->seed;
    episode->episode = o->episode;
    episode->on_step = keep_step;
    episode->user = p;
    return uf_evaluate_episode(episode);
}

static UfStatus play(Played* p, const UfRenderOptions* o) {
    UfEpisodeOptions episode = {0};
    UfPolicy* policy = NULL;
    if (uf_collect_skill(o->policy, &episode.skill)) {
        if (!o->env)
            return UF_FAIL(UF_ERR_ARGUMENT, "the script '%s' plays in any environment; --env says in which",
                           o->policy);
        UF_TRY(uf_env_lookup(&p->spec, o->env));
        UF_TRY(uf_env_available(p->spec));
    } else {
        UF_TRY(uf_run_policy(o->policy, o->env, &policy, &p->spec, &episode.deterministic));
    }
    episode.policy = policy;
    UfStatus status = play_with(p, o, &episode);
    uf_policy_free(policy);
    return status;
}

// ---- frames ----

typedef struct Drawing {
    const UfRenderOptions* options;
    const Played* played;
    UfEnv* env;  // shows the states
    UfCanvas canvas;
    cairo_surface_t* frame;  // (height, width)
    int last;                // step drawn
    int num_frames;
} Drawing;

static int step_of(const Drawing* d, int frame) {
    if (d->num_frames == 1) return 0;
    return (int)(((int64_t)frame * d->last + (d->num_frames - 1) / 2) / (d->num_frames - 1));
}

static void draw_caption(cairo_t* c, const Drawing* d, int step) {
    int width = d->options->width, height = d->options->height;
    char text[64];
    cairo_rectangle(c, 0, height - CAPTION, width, CAPTION);
    cairo_set_source_rgb(c, 0.93, 0.93, 0.93);
    cairo_fill(c);
    cairo_set_source_rgb(c, 0.15, 0.15, 0.15);
    uf_page_font(c, 13, false);
    snprintf(text, sizeof text, "step %d", step);
    uf_page_text(c, text, 8, height - 8, 0);
    snprintf(text, sizeof text, "return %.1f", d->played->returns[step]);
    uf_page_text(c, text, width - 8, height - 8, 1);
}

static UfStatus draw_frame(Drawing* d, int step) {
    const Played* p = d->played;
    cairo_t* c = cairo_create(d->frame);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_save(c);
    cairo_rectangle(c, 0, 0, d->canvas.width, d->canvas.height);
    cairo_clip(c);
    d->canvas.cairo = c;
    d->canvas.action = step ? p->actions + (size_t)step * (size_t)p->spec->action_dim : NULL;
    uf_env_set_state(d->env, p->states + (size_t)step * (size_t)p->spec->state_dim, NULL);
    UfStatus status = p->spec->ops->draw(&d->canvas, d->env);
    cairo_restore(c);
    draw_caption(c, d, step);
    cairo_status_t drawn = cairo_status(c);
    cairo_destroy(c);
    cairo_surface_flush(d->frame);
    if (status == UF_OK && drawn != CAIRO_STATUS_SUCCESS) status = uf_page_failed(d->options->output, drawn);
    return status;
}

// ---- files ----

static void draw_title(cairo_t* c, const Drawing* d) {
    const UfRenderOptions* o = d->options;
    const Played* p = d->played;
    char text[1024];
    cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
    uf_page_font(c, 17, true);
    snprintf(text, sizeof text, "%s: return %.1f in %d steps", p->spec->name, p->returns[p->length],
             p->length);
    uf_page_text(c, text, GAP + 2, 26, 0);
    uf_page_font(c, 13, false);
    snprintf(text, sizeof text, "%s, seed %llu, episode %lld%s", o->policy, (unsigned long long)o->seed,
             (long long)o->episode, p->diverged ? "; the simulation diverged" : "");
    uf_page_text(c, text, GAP + 2, 47, 0);
}

static UfStatus write_strip(Drawing* d, UfRender* out) {
    const UfRenderOptions* o = d->options;
    int rows = (int)fmax(1, floor(sqrt(0.75 * d->num_frames))), columns = (d->num_frames + rows - 1) / rows;
    out->width = GAP + columns * (o->width + GAP);
    out->height = TITLE + rows * (o->height + GAP);
    if (out->width > UF_PAGE_MAX_SIDE || out->height > UF_PAGE_MAX_SIDE)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s: %d frames of %d x %d make a picture of %d x %d; %d is the largest side, so take fewer "
            "or smaller frames",
            o->output, d->num_frames, o->width, o->height, out->width, out->height, UF_PAGE_MAX_SIDE);
    cairo_surface_t* page = cairo_image_surface_create(CAIRO_FORMAT_RGB24, out->width, out->height);
    cairo_t* c = cairo_create(page);
    UfStatus status = UF_OK;
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    draw_title(c, d);
    for (int i = 0; i < d->num_frames && status == UF_OK; i++) {
        int x = GAP + i % columns * (o->width + GAP), y = TITLE + i / columns * (o->height + GAP);
        status = draw_frame(d, step_of(d, i));
        cairo_set_source_surface(c, d->frame, x, y);
        cairo_paint(c);
        cairo_set_source_rgb(c, 0.75, 0.75, 0.75);
        cairo_set_line_width(c, 1);
        cairo_rectangle(c, x - 0.5, y - 0.5, o->width + 1, o->height + 1);
        cairo_stroke(c);
    }
    cairo_status_t drawn = cairo_status(c);
    cairo_destroy(c);
    if (status == UF_OK && drawn != CAIRO_STATUS_SUCCESS) status = uf_page_failed(o->output, drawn);
    if (status == UF_OK) status = uf_page_write_png(page, o->output);
    cairo_surface_destroy(page);
    return status;
}

static long long centiseconds(const Drawing* d, int frame) {
    return llround(100 * d->played->spec->step_seconds * step_of(d, frame));
}

static UfStatus write_animation(Drawing* d, UfRender* out) {
    const UfRenderOptions* o = d->options;
    UfGif* gif;
    UfStatus status = UF_OK;
    out->width = o->width;
    out->height = o->height;
    UF_TRY(uf_gif_open(&gif, o->output, o->width, o->height));
    for (int i = 0; i < d->num_frames && status == UF_OK; i++) {
        bool last = i == d->num_frames - 1;
        status = draw_frame(d, step_of(d, i));
        const void* pixels = cairo_image_surface_get_data(d->frame);
        int stride = cairo_image_surface_get_stride(d->frame) / (int)sizeof(uint32_t);
        long long shown = last ? HOLD : centiseconds(d, i + 1) - centiseconds(d, i);
        if (status == UF_OK) status = uf_gif_add(gif, pixels, stride, (int)fmin((double)shown, UINT16_MAX));
    }
    if (status == UF_OK) return uf_gif_close(gif);
    uf_gif_abandon(gif);
    return status;
}

static UfStatus draw_all(Drawing* d, bool animation, UfRender* out) {
    const UfRenderOptions* o = d->options;
    const Played* p = d->played;
    d->last = o->num_steps && o->num_steps < p->length ? (int)o->num_steps : p->length;
    int stride = animation ? (int)fmax(1, round(FRAME_SECONDS / p->spec->step_seconds)) : 1;
    int most = (d->last + stride - 1) / stride + 1, wanted = animation ? most : STRIP_FRAMES;
    if (o->num_frames) wanted = o->num_frames;
    out->num_frames = d->num_frames = wanted < most ? wanted : most;
    UF_TRY(uf_env_create(&d->env, p->spec->name));
    d->frame = cairo_image_surface_create(CAIRO_FORMAT_RGB24, o->width, o->height);
    if (cairo_surface_status(d->frame) != CAIRO_STATUS_SUCCESS)
        return uf_page_failed(o->output, cairo_surface_status(d->frame));
    d->canvas.width = o->width;
    d->canvas.height = o->height - CAPTION;
    return animation ? write_animation(d, out) : write_strip(d, out);
}

UfStatus uf_render(const UfRenderOptions* options, UfRender* out) {
    const UfRenderOptions* o = options;
    const char* ending = strrchr(o->output, '.');
    bool png = ending && !strcasecmp(ending, ".png"), gif = ending && !strcasecmp(ending, ".gif");
    *out = (UfRender){0};
    if (!png && !gif)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the ending of a picture's name must be .png or .gif", o->output);
    if (o->width < UF_RENDER_MIN_SIDE || o->width > UF_RENDER_MAX_SIDE || o->height < UF_RENDER_MIN_SIDE ||
        o->height > UF_RENDER_MAX_SIDE)
        return UF_FAIL(UF_ERR_ARGUMENT, "frames of %d x %d pixels; %d to %d can be", o->width, o->height,
                       UF_RENDER_MIN_SIDE, UF_RENDER_MAX_SIDE);
    Played played = {0};
    Drawing drawing = {.options = o, .played = &played};
    UfStatus status = play(&played, o);
    if (status == UF_OK) status = draw_all(&drawing, gif, out);
    if (status == UF_OK) {
        out->spec = played.spec;
        out->ret = played.returns[played.length];
        out->length = played.length;
        out->diverged = played.diverged;
        memcpy(out->note, drawing.canvas.note, sizeof out->note);
    }
    if (drawing.canvas.free_view) drawing.canvas.free_view(drawing.canvas.view);
    if (drawing.frame) cairo_surface_destroy(drawing.frame);
    uf_env_free(drawing.env);
    void* all[] = {played.states, played.actions, played.returns};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    return status;
}

#endif
