// draw_mujoco.c: pictures of the MuJoCo tasks: by MuJoCo's own renderer where an off-screen OpenGL context can be had,
// else plainly, the capsules as thick lines; the canvas's note says so then.
//
// What is drawn is a model and a state of its own, with a floor and a sky added, into which only the positions are
// copied: pictures cannot touch the physics.
#include "core/envs/draw.h"

#if !defined(UF_NO_CAIRO) && !defined(UF_NO_MUJOCO)

#include <cairo.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/envs/mujoco.h"

// ---- an off-screen OpenGL context ----

#if defined(UF_GL_EGL)

#include <EGL/egl.h>
#include <EGL/eglext.h>

#define GL_PACKAGES "libgl1-mesa-dri (or the EGL driver of your graphics card)"

typedef struct Gl {
    EGLDisplay display;
    EGLContext context;
} Gl;

// Mesa's display without any screen, else the one that the system takes for its default. Displays are never
// terminated: they belong to the whole process.
static EGLDisplay find_display(void) {
    PFNEGLGETPLATFORMDISPLAYEXTPROC get =
        (PFNEGLGETPLATFORMDISPLAYEXTPROC)eglGetProcAddress("eglGetPlatformDisplayEXT");
    EGLDisplay display = get ? get(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL) : EGL_NO_DISPLAY;
    if (display != EGL_NO_DISPLAY && eglInitialize(display, NULL, NULL)) return display;
    display = eglGetDisplay(EGL_DEFAULT_DISPLAY);
    return display != EGL_NO_DISPLAY && eglInitialize(display, NULL, NULL) ? display : EGL_NO_DISPLAY;
}

static bool gl_open(Gl* gl) {
    static const EGLint wanted[] = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT,
                                    EGL_NONE};
    EGLConfig config;
    EGLint count = 0;
    gl->display = find_display();
    if (gl->display == EGL_NO_DISPLAY) return false;
    if (!eglChooseConfig(gl->display, wanted, &config, 1, &count) || count < 1) return false;
    if (!eglBindAPI(EGL_OPENGL_API)) return false;
    gl->context = eglCreateContext(gl->display, config, EGL_NO_CONTEXT, NULL);
    if (gl->context == EGL_NO_CONTEXT) return false;
    return eglMakeCurrent(gl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, gl->context);
}

static void gl_close(Gl* gl) {
    if (gl->display == EGL_NO_DISPLAY || gl->context == EGL_NO_CONTEXT) return;
    eglMakeCurrent(gl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    eglDestroyContext(gl->display, gl->context);
}

#elif defined(UF_GL_OSMESA)

#include <GL/osmesa.h>

#define GL_PACKAGES "libosmesa6"

typedef struct Gl {
    OSMesaContext context;
    unsigned char window[4 * 16 * 16];  // it wants one; MuJoCo draws into a buffer of its own
} Gl;

static bool gl_open(Gl* gl) {
    gl->context = OSMesaCreateContextExt(OSMESA_RGBA, 24, 8, 0, NULL);
    return gl->context && OSMesaMakeCurrent(gl->context, gl->window, GL_UNSIGNED_BYTE, 16, 16);
}

static void gl_close(Gl* gl) {
    if (gl->context) OSMesaDestroyContext(gl->context);
}

#else

#define GL_PACKAGES "libegl-dev and libgl1-mesa-dri, and build again"

typedef struct Gl {
    int none;
} Gl;

static bool gl_open(Gl* gl) {
    (void)gl;
    return false;
}

static void gl_close(Gl* gl) { (void)gl; }

#endif

// ---- the view: what is kept from picture to picture ----

typedef struct Look {
    double distance, elevation, height;  // of the camera, metres and degrees; of the point it looks at
    bool follows;                        // the first body
} Look;

static const Look looks[UF_MUJOCO_NUM_MODELS] = {
    [UF_MUJOCO_HOPPER] = {3.0, -8, 0.8, true},
    [UF_MUJOCO_HALFCHEETAH] = {2.8, -10, 0.45, true},
    [UF_MUJOCO_WALKER2D] = {3.0, -8, 0.8, true},
    [UF_MUJOCO_ANT] = {3.7, -28, 0.4, true},
    [UF_MUJOCO_INVERTEDPENDULUM] = {2.6, -10, 0.25, false},
};

static const char look_xml[] =
    "<asset>"
    "<texture type='skybox' builtin='gradient' rgb1='0.96 0.97 0.99' rgb2='0.62 0.74 0.88' width='256' "
    "height='256'/>"
    "<texture name='floor' type='2d' builtin='checker' rgb1='0.80 0.83 0.82' rgb2='0.68 0.72 0.71' "
    "width='256' height='256'/>"
    "<material name='floor' texture='floor' texrepeat='1 1' texuniform='true' specular='0' shininess='0'/>"
    "</asset>";

typedef struct View {
    const Look* look;
    mjModel* model;
    mjData* data;
    mjvScene scene;
    mjvCamera camera;
    mjrContext context;
    bool has_gl, has_context;
    Gl gl;
    int width, height;
    unsigned char* pixels;     // (height, width, 3), from the bottom up
    cairo_surface_t* surface;  // the same for cairo
} View;

static void make_data(void* view) {
    View* v = view;
    v->data = mj_makeData(v->model);
    mjv_makeScene(v->model, &v->scene, 200);
}

static void make_context(void* view) {
    View* v = view;
    mjr_makeContext(v->model, &v->context, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &v->context);
    v->has_context = v->context.currentBuffer == mjFB_OFFSCREEN;
}

static void free_context(void* view) { mjr_freeContext(&((View*)view)->context); }

static void free_view(void* view) {
    View* v = view;
    if (v->has_gl) uf_mujoco_guarded(free_context, v);
    gl_close(&v->gl);
    mjv_freeScene(&v->scene);
    if (v->data) mj_deleteData(v->data);
    if (v->model) mj_deleteModel(v->model);
    if (v->surface) cairo_surface_destroy(v->surface);
    uf_free(v->pixels);
    uf_free(v);
}

// Torso and legs in warm colours, of two legs the left or front one in a cool one.
static void paint(mjModel* m) {
    static const float near[4] = {0.85f, 0.50f, 0.30f, 1}, far[4] = {0.35f, 0.50f, 0.75f, 1},
                       rail[4] = {0.5f, 0.5f, 0.5f, 1};
    for (int g = 0; g < m->ngeom; g++) {
        const char* body = mj_id2name(m, mjOBJ_BODY, m->geom_bodyid[g]);
        bool cool = body && (!strncmp(body, "left", 4) || !strncmp(body, "front", 5));
        memcpy(m->geom_rgba + 4 * g, m->geom_bodyid[g] == 0 ? rail : cool ? far : near, sizeof near);
        if (m->geom_type[g] != mjGEOM_PLANE) continue;
        m->geom_matid[g] = mj_name2id(m, mjOBJ_MATERIAL, "floor");
        m->geom_size[3 * g] = m->geom_size[3 * g + 1] = 0;  // drawn without end
        for (int i = 0; i < 4; i++) m->geom_rgba[4 * g + i] = 1;
    }
}

// The walker's legs lie in one plane; a little apart they can be told from each other.
static void part_legs(mjModel* m) {
    int left = mj_name2id(m, mjOBJ_BODY, "left_thigh"), right = mj_name2id(m, mjOBJ_BODY, "right_thigh");
    if (left >= 0) m->body_pos[3 * left + 1] = 0.08;
    if (right >= 0) m->body_pos[3 * right + 1] = -0.08;
}

static void set_quality(mjModel* m, int width, int height) {
    m->vis.global.offwidth = width;
    m->vis.global.offheight = height;
    m->vis.quality.shadowsize = 1024;
    m->vis.quality.offsamples = 4;
    m->stat.extent = 2;  // scales near and far planes, haze and the lit region
    m->vis.map.shadowclip = 2;
    m->vis.map.haze = 0.4f;
    m->vis.map.zfar = 60;
    m->vis.map.znear = 0.01f;
    static const float horizon[4] = {0.79f, 0.855f, 0.935f, 1};  // halfway between the two of the sky
    memcpy(m->vis.rgba.haze, horizon, sizeof horizon);
    for (int i = 0; i < 3; i++) {
        m->vis.headlight.ambient[i] = 0.40f;
        m->vis.headlight.diffuse[i] = 0.30f;
        m->vis.headlight.specular[i] = 0.05f;
    }
}

static UfStatus open_view(UfCanvas* canvas, const UfEnv* env) {
    const UfMujocoKind* kind = env->spec->details;
    View* v;
    UF_TRY(UF_ALLOC(&v, 1, "a picture"));
    canvas->view = v;
    canvas->free_view = free_view;
    v->look = &looks[kind->model];
    v->width = canvas->width;
    v->height = canvas->height;
    mjv_defaultScene(&v->scene);
    mjv_defaultCamera(&v->camera);
    mjr_defaultContext(&v->context);
    UF_TRY(uf_mujoco_model_to_draw(&v->model, env->spec, look_xml));
    paint(v->model);
    part_legs(v->model);
    set_quality(v->model, v->width, v->height);
    if (!uf_mujoco_guarded(make_data, v) || !v->data)
        return UF_FAIL(UF_ERR_MEMORY, "out of memory: the picture of %s", env->spec->name);
    v->camera.type = mjCAMERA_FREE;
    v->camera.azimuth = 90;  // along y: x goes to the right
    v->camera.elevation = v->look->elevation;
    v->camera.distance = v->look->distance;

    v->has_gl = gl_open(&v->gl);
    bool tried = v->has_gl && uf_mujoco_guarded(make_context, v);
    if (!v->has_context) {
        snprintf(canvas->note, sizeof canvas->note,
                 "%s is drawn plainly, without MuJoCo's renderer: there is no off-screen OpenGL context%s%s; "
                 "install %s",
                 env->spec->name, v->has_gl && !tried ? ": " : "",
                 v->has_gl && !tried ? uf_mujoco_message() : "", GL_PACKAGES);
        return UF_OK;
    }
    UF_TRY(UF_ALLOC(&v->pixels, 3 * (size_t)v->width * (size_t)v->height, "a picture"));
    v->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, v->width, v->height);
    if (cairo_surface_status(v->surface) != CAIRO_STATUS_SUCCESS)
        return UF_FAIL(UF_ERR_MEMORY, "out of memory: a picture of %d x %d", v->width, v->height);
    return UF_OK;
}

// ---- MuJoCo's renderer ----

// From above, before the robot and a little from behind, and along with it, as shadows reach only so far.
static void add_light(View* v) {
    if (v->scene.nlight >= mjMAXLIGHT) return;
    mjvLight* light = &v->scene.lights[v->scene.nlight++];
    *light = (mjvLight){.dir = {0.25f, 0.35f, -0.9f},
                        .attenuation = {1, 0, 0},
                        .cutoff = 60,
                        .exponent = 1,
                        .directional = 1,
                        .castshadow = 1};
    for (int i = 0; i < 3; i++) {
        light->pos[i] = (float)v->camera.lookat[i] - 4 * light->dir[i];
        light->diffuse[i] = 0.55f;
        light->specular[i] = 0.15f;
    }
}

static void render(void* view) {
    View* v = view;
    mjvOption option;
    mjrRect all = {0, 0, v->width, v->height};
    mjv_defaultOption(&option);
    mjv_updateScene(v->model, v->data, &option, NULL, &v->camera, mjCAT_ALL, &v->scene);
    add_light(v);
    v->scene.flags[mjRND_HAZE] = 1;
    v->scene.flags[mjRND_REFLECTION] = 0;
    mjr_render(all, &v->scene, &v->context);
    mjr_readPixels(v->pixels, NULL, all, &v->context);
}

static void show_pixels(const View* v, cairo_t* c) {
    cairo_surface_flush(v->surface);
    unsigned char* data = cairo_image_surface_get_data(v->surface);
    int stride = cairo_image_surface_get_stride(v->surface);
    for (int y = 0; y < v->height; y++) {
        const unsigned char* from = v->pixels + 3 * (size_t)(v->height - 1 - y) * (size_t)v->width;
        uint32_t* to = (uint32_t*)(void*)(data + (size_t)y * (size_t)stride);
        for (int x = 0; x < v->width; x++, from += 3)
            to[x] = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
    }
    cairo_surface_mark_dirty(v->surface);
    cairo_set_source_surface(c, v->surface, 0, 0);
    cairo_paint(c);
}

// ---- the plain drawing ----

// Parallel projection along the camera's axis.
typedef struct Projection {
    double right[3], up[3], forward[3], centre[3], scale, x, y;
} Projection;

static Projection project_along(const View* v) {
    double azimuth = v->camera.azimuth * mjPI / 180, elevation = v->camera.elevation * mjPI / 180;
    Projection p = {
        .forward = {cos(elevation) * cos(azimuth), cos(elevation) * sin(azimuth), sin(elevation)},
        .right = {sin(azimuth), -cos(azimuth), 0},
        .scale = v->height / (2 * v->look->distance * tan(v->model->vis.global.fovy * mjPI / 360)),
        .x = v->width / 2.0,
        .y = v->height / 2.0};
    mju_cross(p.up, p.right, p.forward);
    mju_copy3(p.centre, v->camera.lookat);
    return p;
}

static void to_pixels(const Projection* p, const double at[3], double pixel[2]) {
    double d[3];
    mju_sub3(d, at, p->centre);
    pixel[0] = p->x + p->scale * mju_dot3(p->right, d);
    pixel[1] = p->y - p->scale * mju_dot3(p->up, d);
}

static void add_line(cairo_t* c, const Projection* p, const double from[3], const double to[3]) {
    double a[2], b[2];
    to_pixels(p, from, a);
    to_pixels(p, to, b);
    cairo_move_to(c, a[0], a[1]);
    cairo_line_to(c, b[0], b[1]);
}

// A strip of floor with a line each metre, so that one sees it pass.
static void draw_floor(cairo_t* c, const Projection* p) {
    const double side = 4, reach = 12, y = p->centre[1], x = p->centre[0];
    double near[2], far[2];
    to_pixels(p, (double[3]){x, y - side, 0}, near);
    to_pixels(p, (double[3]){x, y + side, 0}, far);
    cairo_set_source_rgb(c, 0.86, 0.88, 0.87);
    cairo_rectangle(c, 0, far[1], 2 * p->x, near[1] - far[1]);
    cairo_fill(c);
    cairo_set_source_rgb(c, 0.68, 0.72, 0.71);
    cairo_set_line_width(c, 1);
    for (double i = ceil(x - reach); i <= x + reach; i++)
        add_line(c, p, (double[3]){i, y - side, 0}, (double[3]){i, y + side, 0});
    for (double i = ceil(y - side); i <= y + side; i++)
        add_line(c, p, (double[3]){x - reach, i, 0}, (double[3]){x + reach, i, 0});
    cairo_stroke(c);
}

// A capsule is a thick line with round ends, a sphere one without length; the dark line below is its outline.
static void draw_geom(cairo_t* c, const Projection* p, const View* v, int geom) {
    const mjModel* m = v->model;
    const mjtNum *size = m->geom_size + 3 * geom, *turn = v->data->geom_xmat + 9 * geom;
    const float* rgb = m->geom_rgba + 4 * geom;
    double half = m->geom_type[geom] == mjGEOM_CAPSULE ? size[1] : 0, ends[2][3];
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++)
            ends[k][i] = v->data->geom_xpos[3 * geom + i] + (k ? half : -half) * turn[3 * i + 2];
    cairo_set_line_cap(c, CAIRO_LINE_CAP_ROUND);
    add_line(c, p, ends[0], ends[1]);
    cairo_set_line_width(c, 2 * size[0] * p->scale + 2);
    cairo_set_source_rgb(c, 0.5 * (double)rgb[0], 0.5 * (double)rgb[1], 0.5 * (double)rgb[2]);
    cairo_stroke_preserve(c);
    cairo_set_line_width(c, 2 * size[0] * p->scale);
    cairo_set_source_rgb(c, (double)rgb[0], (double)rgb[1], (double)rgb[2]);
    cairo_stroke(c);
}

// The farthest first.
static void draw_plainly(const View* v, cairo_t* c) {
    Projection p = project_along(v);
    double depth[64], before = INFINITY;
    int count = v->model->ngeom < 64 ? v->model->ngeom : 64, last = -1;
    for (int g = 0; g < count; g++) {
        depth[g] = mju_dot3(p.forward, v->data->geom_xpos + 3 * g);
        if (v->model->geom_type[g] == mjGEOM_PLANE) draw_floor(c, &p);
    }
    for (;;) {  // of those nearer than the last one drawn, the farthest; equal ones by their number
        int next = -1;
        for (int g = 0; g < count; g++) {
            bool left = depth[g] < before || (depth[g] == before && g > last);
            if (v->model->geom_type[g] != mjGEOM_PLANE && left && (next < 0 || depth[g] > depth[next]))
                next = g;
        }
        if (next < 0) return;
        draw_geom(c, &p, v, next);
        before = depth[next];
        last = next;
    }
}

// ---- a picture ----

static void place(void* view) {
    View* v = view;
    mj_kinematics(v->model, v->data);
}

UfStatus uf_draw_mujoco(UfCanvas* canvas, const UfEnv* env) {
    if (!canvas->view) UF_TRY(open_view(canvas, env));
    View* v = canvas->view;
    mju_copy(v->data->qpos, uf_mujoco_data(env)->qpos, v->model->nq);
    bool ok = uf_mujoco_guarded(place, v);
    for (int i = 0; i < 2; i++) v->camera.lookat[i] = v->look->follows ? v->data->xpos[3 + i] : 0;
    v->camera.lookat[2] = v->look->height;
    if (ok && v->has_context) ok = uf_mujoco_guarded(render, v);
    if (!ok)
        return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: MuJoCo draws no picture: %s", env->spec->name,
                       uf_mujoco_message());
    if (v->has_context)
        show_pixels(v, canvas->cairo);
    else
        draw_plainly(v, canvas->cairo);
    return UF_OK;
}

#endif
