// grid_play.c: a gridworld in a terminal, played with keys.
//
// A cell is two characters, so that a picture can be read without colours: what it is and the first letter of its
// colour (e for grey). Rooms: colours, cells as text, the game, keys, the screen, the terminal, playing.
#include "core/grid/grid_play.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>  // snprintf
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/ioctl.h>  // TIOCGWINSZ
#include <termios.h>
#include <unistd.h>

#include "navix.h"
#include "core/grid/grid_table.h"
#include "core/grid/grid_tiles.h"

// ---- colours ----

typedef enum Depth { PLAIN, BASIC, CUBE, TRUE_COLOUR } Depth;  // none, 16, 256, 24 bits

typedef struct Rgb {
    int r, g, b;
} Rgb;

static const Rgb colours[NX_NUM_COLOURS] = {
    [NX_RED] = {255, 70, 70},     [NX_GREEN] = {0, 220, 0},    [NX_BLUE] = {90, 130, 255},
    [NX_PURPLE] = {180, 90, 255}, [NX_YELLOW] = {255, 255, 0}, [NX_GREY] = {170, 170, 170}};
static const char* const colour_names[NX_NUM_COLOURS] = {
    [NX_RED] = "red",       [NX_GREEN] = "green",   [NX_BLUE] = "blue",
    [NX_PURPLE] = "purple", [NX_YELLOW] = "yellow", [NX_GREY] = "grey"};
static const char colour_letters[NX_NUM_COLOURS + 1] = "rgbpye";

// What the terminal says of itself; https://no-color.org.
static Depth colour_depth(void) {
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM"), *colour = getenv("COLORTERM");
    if ((none && *none) || !term || !*term || !strcmp(term, "dumb")) return PLAIN;
    if (colour && (!strcmp(colour, "truecolor") || !strcmp(colour, "24bit"))) return TRUE_COLOUR;
    return strstr(term, "256color") ? CUBE : BASIC;
}

static int cube_level(int value) { return value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40; }

static int cube_index(Rgb c) {
    if (c.r == c.g && c.g == c.b) return c.r < 8 ? 16 : c.r > 238 ? 231 : 232 + (c.r - 8) / 10;
    return 16 + 36 * cube_level(c.r) + 6 * cube_level(c.g) + cube_level(c.b);
}

static void add_colour(UfText* text, Depth depth, Rgb c, bool background) {
    const int basic = (c.r > 105) + 2 * (c.g > 105) + 4 * (c.b > 105);
    if (depth == TRUE_COLOUR)
        uf_text_add(text, "\x1b[%d;2;%d;%d;%dm", background ? 48 : 38, c.r, c.g, c.b);
    else if (depth == CUBE)
        uf_text_add(text, "\x1b[%d;5;%dm", background ? 48 : 38, cube_index(c));
    else if (depth == BASIC)
        uf_text_add(text, "\x1b[%dm", (background ? 40 : 90) + basic);
}

// ---- cells as text ----

static const struct {
    char symbol;
    const char* name;
} kinds[NX_NUM_KINDS] = {[NX_UNSEEN] = {' ', "unseen"},
                         [NX_EMPTY] = {'.', "empty"},
                         [NX_WALL] = {'#', "wall"},
                         [NX_FLOOR] = {':', "floor"},
                         [NX_DOOR_OPEN] = {'/', "door"},
                         [NX_DOOR_CLOSED] = {'D', "closed door"},
                         [NX_DOOR_LOCKED] = {'L', "locked door"},
                         [NX_KEY] = {'K', "key"},
                         [NX_BALL] = {'O', "ball"},
                         [NX_BOX] = {'B', "box"},
                         [NX_GOAL] = {'G', "goal"},
                         [NX_LAVA] = {'~', "lava"}};

// Kinds that have one colour, and so no letter for it.
#define OWN_COLOUR (NX_BIT(NX_UNSEEN) | NX_BIT(NX_WALL) | NX_BIT(NX_GOAL) | NX_BIT(NX_LAVA))

static void cell_text(NxCell cell, char text[3]) {
    const char symbol = kinds[nx_kind(cell)].symbol;
    text[0] = nx_kind(cell) == NX_EMPTY ? ' ' : symbol;
    text[1] = nx_kind(cell) == NX_EMPTY || nx_is(cell, OWN_COLOUR) ? symbol : colour_letters[nx_colour(cell)];
    text[2] = 0;
}

static void cell_name(NxCell cell, char text[32]) {
    const bool open = nx_kind(cell) == NX_DOOR_OPEN, coloured = !nx_is(cell, OWN_COLOUR | NX_BIT(NX_EMPTY));
    snprintf(text, 32, "%s%s%s%s", open ? "open " : "", coloured ? colour_names[nx_colour(cell)] : "",
             coloured ? " " : "", kinds[nx_kind(cell)].name);
}

static Rgb cell_background(NxCell cell, bool seen) {
    const Rgb grey = colours[nx_colour(cell)];
    switch (nx_kind(cell)) {
        case NX_UNSEEN: return (Rgb){0, 0, 0};
        case NX_WALL: return seen ? (Rgb){130, 130, 130} : (Rgb){80, 80, 80};
        case NX_LAVA: return seen ? (Rgb){255, 128, 0} : (Rgb){180, 90, 0};
        case NX_GOAL: return seen ? (Rgb){0, 160, 0} : (Rgb){0, 110, 0};
        case NX_FLOOR: return (Rgb){grey.r / 2, grey.g / 2, grey.b / 2};
        default: return seen ? (Rgb){48, 48, 48} : (Rgb){18, 18, 18};
    }
}

static Rgb cell_foreground(NxCell cell, bool seen) {
    switch (nx_kind(cell)) {
        case NX_WALL: return seen ? (Rgb){150, 150, 150} : (Rgb){98, 98, 98};
        case NX_EMPTY: return seen ? (Rgb){110, 110, 110} : (Rgb){70, 70, 70};
        case NX_LAVA: return (Rgb){60, 20, 0};
        case NX_GOAL: return (Rgb){255, 255, 255};
        default: return colours[nx_colour(cell)];
    }
}

// What the terminal was told last; colours are told where they change.
typedef struct Pen {
    Depth depth;
    bool coloured;
    Rgb foreground, background;
} Pen;

static bool same(Rgb a, Rgb b) { return a.r == b.r && a.g == b.g && a.b == b.b; }

static void take_colours(UfText* text, Pen* pen, Rgb foreground, Rgb background) {
    if (!pen->coloured || !same(pen->background, background)) add_colour(text, pen->depth, background, true);
    if (!pen->coloured || !same(pen->foreground, foreground)) add_colour(text, pen->depth, foreground, false);
    *pen = (Pen){pen->depth, true, foreground, background};
}

static void drop_colours(UfText* text, Pen* pen) {
    if (pen->coloured && pen->depth != PLAIN) uf_text_add(text, "\x1b[0m");
    pen->coloured = false;
}

// A tile code (grid_tiles.h) as two characters.
static void add_cell(UfText* text, Pen* pen, int code) {
    static const char* const agents[4] = {">>", "vv", "<<", "^^"};
    const NxCell cell = (NxCell)(code & 127);
    const int agent = code / 128 % 5;
    const bool seen = code >= nx_tile_code(0, 0, true);
    char symbols[3];
    cell_text(cell, symbols);
    take_colours(text, pen, agent ? colours[NX_RED] : cell_foreground(cell, seen),
                 cell_background(cell, seen));
    uf_text_add(text, "%s", agent ? agents[agent - 1] : symbols);
}

// ---- the game ----

typedef struct Game {
    const NxPlayOptions* options;
    const NxSpec* spec;
    NxBatch* batch;
    NxLayout layout;
    NxEnv* env;  // a block, for grid_tiles.h
    NxState state;
    uint8_t *obs, *grid;  // (V, V, 3), (H, W, 3)
    NxCell* seen;         // (V, V)
    uint16_t* codes;
    int64_t level;
    float reward, episode_return;
    uint8_t terminated, truncated;
    bool first_person;
    char mission[128];
} Game;

static void game_free(Game* g) {
    nx_free(g->batch);
    void* all[] = {g->env, g->obs, g->grid, g->seen, g->codes};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

static NxOutput game_output(Game* g) {
    return (NxOutput){.obs = g->obs,
                      .reward = &g->reward,
                      .terminated = &g->terminated,
                      .truncated = &g->truncated,
                      .episode_return = &g->episode_return};
}

static UfStatus game_look(Game* g) {
    UF_TRY(nx_get_state(g->batch, 0, &g->state));
    return nx_mission(g->batch, 0, g->mission);
}

static UfStatus game_reset(Game* g) {
    const NxOutput out = game_output(g);
    UF_TRY(nx_reset(g->batch, &out));
    g->reward = g->episode_return = 0;
    g->terminated = g->truncated = 0;
    g->level++;
    return game_look(g);
}

static UfStatus game_step(Game* g, uint8_t action) {
    const NxOutput out = game_output(g);
    UF_TRY(nx_step(g->batch, &action, &out));
    return game_look(g);
}

static bool game_over(const Game* g) { return g->terminated || g->truncated; }

static UfStatus game_create(Game* g, const NxPlayOptions* options) {
    NxOptions o;
    nx_default_options(&o);
    o.observation = NX_OBS_FIRST_PERSON;
    o.autoreset = NX_NO_RESET;
    o.num_threads = 1;
    g->options = options;
    UF_TRY(nx_find_spec(&g->spec, options->id));
    UF_TRY(nx_create(&g->batch, options->id, 1, options->seed, &o));
    g->layout.spec = *g->spec;
    g->layout.view = nx_shape(g->batch).dims[0];
    const int cells = g->spec->width * g->spec->height, view = g->layout.view * g->layout.view;
    char* block;
    UF_TRY(UF_ALLOC(&block, sizeof(NxEnv) + (size_t)cells, "a level"));
    g->env = (NxEnv*)block;
    UF_TRY(UF_ALLOC(&g->obs, 3 * view, "a view"));
    UF_TRY(UF_ALLOC(&g->seen, view, "a view"));
    UF_TRY(UF_ALLOC(&g->grid, 3 * cells, "a level"));
    UF_TRY(UF_ALLOC(&g->codes, cells > view ? cells : view, "a picture"));
    g->state.grid = g->grid;
    return game_reset(g);
}

// The picture as tile codes, and its size.
static void game_codes(Game* g, int* width, int* height) {
    const int view = g->layout.view;
    NxCell* cells = nx_cells(g->env);
    for (int i = 0; i < view * view; i++)
        if (!nx_cell_of(g->obs + 3 * i, &g->seen[i])) g->seen[i] = NX_UNSEEN;
    for (int i = 0; i < g->spec->width * g->spec->height; i++)
        if (!nx_cell_of(g->grid + 3 * i, &cells[i])) cells[i] = NX_UNSEEN;
    g->env->x = (uint8_t)g->state.x;
    g->env->y = (uint8_t)g->state.y;
    g->env->direction = (uint8_t)g->state.direction;
    *width = g->first_person ? view : g->spec->width;
    *height = g->first_person ? view : g->spec->height;
    if (g->first_person)
        nx_view_tiles(view, g->seen, g->codes);
    else
        nx_map_tiles(&g->layout, g->env, g->seen, g->codes);
}

// ---- keys ----

typedef enum Key {
    KEY_PENDING,  // in the middle of a sequence
    KEY_UNKNOWN,
    KEY_RESET,
    KEY_VIEW,
    KEY_QUIT,
    KEY_ACTION  // and from there on the actions of navix.h
} Key;

// Bytes of a terminal become keys one by one; sequences may arrive in pieces.
typedef struct KeyReader {
    enum { GROUND, ESCAPE, CONTROL, SINGLE } at;
    int number;  // the first of a control sequence
} KeyReader;

static Key plain_key(char c) {
    switch (c) {
        case 'h': return KEY_ACTION + NX_LEFT;
        case 'l': return KEY_ACTION + NX_RIGHT;
        case 'k': return KEY_ACTION + NX_FORWARD;
        case ' ': return KEY_ACTION + NX_TOGGLE;
        case 'p':
        case '\t': return KEY_ACTION + NX_PICKUP;
        case 'd': return KEY_ACTION + NX_DROP;
        case '\r':
        case '\n': return KEY_ACTION + NX_DONE;
        case 'r':
        case 0x7f: return KEY_RESET;  // backspace
        case 'v': return KEY_VIEW;
        case 'q':
        case 4: return KEY_QUIT;  // Ctrl-D
        default: return KEY_UNKNOWN;
    }
}

static Key sequence_key(char last, int number) {
    switch (last) {
        case 'A': return KEY_ACTION + NX_FORWARD;
        case 'C': return KEY_ACTION + NX_RIGHT;
        case 'D': return KEY_ACTION + NX_LEFT;
        case '~':
            return number == 5   ? (Key)(KEY_ACTION + NX_PICKUP)  // page up
                   : number == 6 ? (Key)(KEY_ACTION + NX_DROP)    // page down
                                 : KEY_UNKNOWN;
        default: return KEY_UNKNOWN;
    }
}

static Key read_key(KeyReader* r, char c) {
    const bool ends = c >= 0x40 && c <= 0x7e;
    if (c == 0x1b) {
        *r = (KeyReader){.at = ESCAPE};
        return KEY_PENDING;
    }
    if (r->at == GROUND) return plain_key(c);
    if (r->at == ESCAPE && (c == '[' || c == 'O')) {
        r->at = c == '[' ? CONTROL : SINGLE;
        return KEY_PENDING;
    }
    if (r->at == CONTROL && !ends) {
        if (c >= '0' && c <= '9' && r->number >= 0 && r->number < 100) r->number = 10 * r->number + c - '0';
        if (c == ';') r->number = r->number ? r->number : -1;
        return KEY_PENDING;
    }
    const Key key = r->at == ESCAPE ? KEY_UNKNOWN : sequence_key(c, r->number);
    r->at = GROUND;
    return key;
}

// Does what a key says; false: that ends the game.
static UfStatus press(Game* g, Key key, bool* goes_on) {
    *goes_on = key != KEY_QUIT;
    if (key == KEY_RESET) return game_reset(g);
    if (key == KEY_VIEW) g->first_person = !g->first_person;
    if (key >= KEY_ACTION && !game_over(g)) return game_step(g, (uint8_t)(key - KEY_ACTION));
    return UF_OK;
}

// ---- the screen ----

typedef struct Screen {
    Depth depth;
    bool in_place;  // each picture over the one before
    bool help;
    int width, height;  // characters; 0: unknown
} Screen;

static void end_line(UfText* text, const Screen* s) {
    uf_text_add(text, "%s\n", s->in_place ? "\x1b[K" : "");
}

static const char* ending(const Game* g) {
    const NxCell under = nx_cells(g->env)[g->state.y * g->spec->width + g->state.x];
    if (g->terminated && g->reward > 0) return "Solved.";
    if (g->terminated && nx_kind(under) == NX_LAVA) return "Fell into the lava.";
    if (g->terminated) return g->reward < 0 ? "Hit something." : "Failed.";
    return "No steps left.";
}

static void add_status(UfText* text, const Game* g, const Screen* s) {
    NxCell carrying;
    char name[32] = "nothing";
    if (nx_cell_of(g->state.carrying, &carrying) && nx_kind(carrying) != NX_EMPTY) cell_name(carrying, name);
    uf_text_add(text, "step %d of %d   reward %.4g   return %.4g   carrying %s", g->state.step_count,
                g->state.max_steps, (double)g->reward, (double)g->episode_return, name);
    end_line(text, s);
    if (game_over(g)) uf_text_add(text, "%s%s", ending(g), s->help ? " r for a new level, q to quit." : "");
    if (game_over(g) || s->in_place) end_line(text, s);
}

// What the symbols of the picture mean, each once.
static void add_legend(UfText* text, const uint16_t* codes, int count, const Screen* s) {
    bool there[128] = {false};
    int column = 0;
    for (int i = 0; i < count; i++) there[codes[i] & 127] = true;
    for (int cell = 0; cell < 128; cell++) {
        char symbols[3], name[32], entry[48];
        if (!there[cell] || nx_is((NxCell)cell, NX_BIT(NX_UNSEEN) | NX_BIT(NX_EMPTY) | NX_BIT(NX_WALL)))
            continue;
        cell_text((NxCell)cell, symbols);
        cell_name((NxCell)cell, name);
        const int length = snprintf(entry, sizeof entry, "%s %s", symbols, name);
        if (column && column + 3 + length > (s->width ? s->width : 80)) {
            end_line(text, s);
            column = 0;
        }
        uf_text_add(text, "%s%s", column ? "   " : "", entry);
        column += length + (column ? 3 : 0);
    }
    if (column) end_line(text, s);
}

// The part of `size` that is shown where only `room` are: around `centre`.
static void crop(int size, int room, int centre, int* first, int* count) {
    *count = size < room ? size : room;
    *first = centre - *count / 2;
    if (*first > size - *count) *first = size - *count;
    if (*first < 0) *first = 0;
}

static void add_picture(UfText* text, Game* g, const Screen* s) {
    enum { OTHER_LINES = 9 };  // title, mission, status, ending, legend (3), help (2)
    int width, height, left, columns, top, rows;
    Pen pen = {.depth = s->depth};
    game_codes(g, &width, &height);
    const int room = s->height > OTHER_LINES ? s->height - OTHER_LINES : 1;
    crop(width, s->width ? s->width / 2 : width, g->first_person ? width / 2 : g->state.x, &left, &columns);
    crop(height, s->height ? room : height, g->first_person ? height : g->state.y, &top, &rows);
    for (int y = top; y < top + rows; y++) {
        for (int x = left; x < left + columns; x++) add_cell(text, &pen, g->codes[y * width + x]);
        drop_colours(text, &pen);
        end_line(text, s);
    }
    add_status(text, g, s);
    add_legend(text, g->codes, width * height, s);
}

static UfStatus write_all(int output, const char* text, size_t bytes) {
    while (bytes) {
        const ssize_t written = write(output, text, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return UF_FAIL(UF_ERR_IO, "cannot write the picture: %s", strerror(errno));
        text += written;
        bytes -= (size_t)written;
    }
    return UF_OK;
}

static UfStatus show(Game* g, const Screen* s) {
    UfText text = {0};
    char* all = NULL;
    if (s->in_place) uf_text_add(&text, "\x1b[H");
    uf_text_add(&text, "%s, seed %llu, level %lld%s", g->options->id, (unsigned long long)g->options->seed,
                (long long)g->level, g->first_person ? ", first person" : "");
    end_line(&text, s);
    uf_text_add(&text, "mission: %s", g->mission);
    end_line(&text, s);
    add_picture(&text, g, s);
    if (s->help) uf_text_add(&text, NX_KEYS_HELP);
    if (s->help) end_line(&text, s);
    if (s->in_place) uf_text_add(&text, "\x1b[J");
    const size_t bytes = text.length;
    UF_TRY(uf_text_finish(&text, &all));
    UfStatus status = write_all(g->options->output, all, bytes);
    uf_free(all);
    return status;
}

// ---- the terminal ----

// Signals belong to the process, and so does this: where their handler leaves them.
static volatile sig_atomic_t signal_pipe = -1;

static void on_signal(int number) {
    const int error = errno;
    const char byte = (char)number;
    if (write(signal_pipe, &byte, 1) != 1) errno = EAGAIN;  // full: there are enough to take
    errno = error;
}

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
enum { NUM_CAUGHT = sizeof caught / sizeof caught[0] };

typedef struct Terminal {
    int input, output;  // descriptors
    int signals[2];     // a pipe of signal numbers
    struct termios before;
    struct sigaction handlers[NUM_CAUGHT];  // before
    bool in_place, raw;
} Terminal;

// Keys come at once and unseen; Ctrl-C and Ctrl-Z stay signals.
static UfStatus terminal_enter(Terminal* t) {
    struct termios raw = t->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)IXON;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    while (tcsetattr(t->input, TCSADRAIN, &raw) != 0)  // keys typed ahead stay
        if (errno != EINTR) return UF_FAIL(UF_ERR_IO, "cannot set up the terminal: %s", strerror(errno));
    t->raw = true;
    static const char begin[] = "\x1b[?1049h\x1b[?25l\x1b[2J";  // another screen, no cursor, nothing there
    return t->in_place ? write_all(t->output, begin, sizeof begin - 1) : UF_OK;
}

static void terminal_leave(Terminal* t) {
    static const char end[] = "\x1b[0m\x1b[?25h\x1b[?1049l";
    if (!t->raw) return;
    t->raw = false;
    if (t->in_place) (void)write_all(t->output, end, sizeof end - 1);
    while (tcsetattr(t->input, TCSADRAIN, &t->before) != 0 && errno == EINTR) continue;
}

static void set_handler(int number, struct sigaction* before) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(number, &action, before);
}

static UfStatus terminal_open(Terminal* t, const NxPlayOptions* options) {
    *t = (Terminal){.input = options->input, .output = options->output, .signals = {-1, -1}};
    for (int i = 0; i < 2; i++)
        if (!isatty(i ? t->output : t->input))
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "standard %s is not a terminal; play in one, or give the keys: --keys 'kkl p'",
                           i ? "output" : "input");
    const char* term = getenv("TERM");
    t->in_place = term && *term && strcmp(term, "dumb") != 0;
    if (signal_pipe >= 0) return UF_FAIL(UF_ERR_ARGUMENT, "this process already plays in a terminal");
    if (tcgetattr(t->input, &t->before) != 0 || pipe2(t->signals, O_CLOEXEC | O_NONBLOCK) != 0)
        return UF_FAIL(UF_ERR_IO, "cannot set up the terminal: %s", strerror(errno));
    signal_pipe = t->signals[1];
    for (int i = 0; i < NUM_CAUGHT; i++) set_handler(caught[i], &t->handlers[i]);
    return terminal_enter(t);
}

static void terminal_close(Terminal* t) {
    terminal_leave(t);
    if (t->signals[1] < 0) return;
    for (int i = 0; i < NUM_CAUGHT; i++) sigaction(caught[i], &t->handlers[i], NULL);
    signal_pipe = -1;
    close(t->signals[0]);
    close(t->signals[1]);
}

// Ctrl-Z: the shell gets its terminal back, and we stop here until it lets us go on.
static UfStatus terminal_suspend(Terminal* t) {
    struct sigaction stop = {.sa_handler = SIG_DFL};
    terminal_leave(t);
    sigaction(SIGTSTP, &stop, NULL);
    raise(SIGTSTP);
    set_handler(SIGTSTP, NULL);
    return terminal_enter(t);
}

// One signal: *stop is set where it ends the game.
static UfStatus take_signal(Terminal* t, int* stop) {
    char number;
    if (read(t->signals[0], &number, 1) != 1) return UF_OK;
    if (number == SIGTSTP) return terminal_suspend(t);
    if (number == SIGCONT) return terminal_enter(t);
    if (number != SIGWINCH) *stop = number;
    return UF_OK;
}

static void measure(const Terminal* t, Screen* s) {
    struct winsize size;
    const bool known = ioctl(t->output, TIOCGWINSZ, &size) == 0;
    s->width = known ? size.ws_col : 0;
    s->height = known ? size.ws_row : 0;
}

// ---- playing ----

static UfStatus take_keys(Game* g, const Terminal* t, KeyReader* reader, bool* goes_on) {
    char bytes[64];
    const ssize_t count = read(t->input, bytes, sizeof bytes);
    if (count <= 0) *goes_on = count < 0 && errno == EINTR;  // the terminal has gone
    for (ssize_t i = 0; i < count && *goes_on; i++) UF_TRY(press(g, read_key(reader, bytes[i]), goes_on));
    return UF_OK;
}

static UfStatus play_in(Game* g, Terminal* t, int* stop) {
    Screen screen = {.depth = colour_depth(), .in_place = t->in_place, .help = true};
    KeyReader reader = {0};
    bool goes_on = true;
    while (goes_on && !*stop) {
        measure(t, &screen);
        UF_TRY(show(g, &screen));
        struct pollfd wait[2] = {{.fd = t->input, .events = POLLIN}, {.fd = t->signals[0], .events = POLLIN}};
        while (poll(wait, 2, -1) < 0)
            if (errno != EINTR) return UF_FAIL(UF_ERR_IO, "cannot wait for keys: %s", strerror(errno));
        if (wait[1].revents) UF_TRY(take_signal(t, stop));
        if (wait[0].revents && !*stop) UF_TRY(take_keys(g, t, &reader, &goes_on));
    }
    return UF_OK;
}

static UfStatus play_script(Game* g, const char* keys) {
    KeyReader reader = {0};
    bool goes_on = true;
    for (int i = 0; keys[i] && goes_on; i++) {
        const Key key = read_key(&reader, keys[i]);
        if (key == KEY_UNKNOWN || (key == KEY_PENDING && !keys[i + 1]))
            return UF_FAIL(UF_ERR_ARGUMENT, "character %d of the keys is none; %s", i + 1, NX_KEYS_HELP);
        if (key >= KEY_ACTION && game_over(g))
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "character %d of the keys acts after the end of the episode, at step %d; r begins "
                           "a new level",
                           i + 1, g->state.step_count);
        UF_TRY(press(g, key, &goes_on));
    }
    return show(g, &(Screen){.depth = PLAIN});
}

UfStatus nx_play(const NxPlayOptions* options, int* signal) {
    Game game = {0};
    Terminal terminal;
    *signal = 0;
    UfStatus status = game_create(&game, options);
    if (status == UF_OK && options->keys) status = play_script(&game, options->keys);
    if (status == UF_OK && !options->keys) {
        status = terminal_open(&terminal, options);
        if (status == UF_OK) status = play_in(&game, &terminal, signal);
        terminal_close(&terminal);
    }
    game_free(&game);
    return status;
}
