// test_grid_play.c: playing by a list of keys, and in a pseudo-terminal: keys, colours, signals, what is left behind.
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "core/core.h"
#include "core/grid/grid_play.h"

#define EMPTY "MiniGrid-Empty-5x5-v0"  // the agent begins at (1, 1), looking east; the goal is at (3, 3)

// ---- lists of keys ----

static UfStatus play_keys(const char* id, const char* keys, char* text, size_t bytes) {
    const char* path = in_folder("picture.txt");
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), stop = -1;
    assert_true(file >= 0);
    NxPlayOptions o = {.id = id, .seed = 3, .keys = keys, .input = -1, .output = file};
    UfStatus status = nx_play(&o, &stop);
    assert_int_equal(stop, 0);
    const ssize_t length = pread(file, text, bytes - 1, 0);
    assert_true(length >= 0);
    text[length] = 0;
    close(file);
    return status;
}

static void expect(const char* id, const char* keys, const char* piece) {
    char text[8192];
    if (play_keys(id, keys, text, sizeof text) != UF_OK) fail_msg("%s: %s", keys, uf_error());
    if (!strstr(text, piece)) fail_msg("keys '%s': '%s' is not in:\n%s", keys, piece, text);
    if (strchr(text, 0x1b)) fail_msg("keys '%s': not plain text", keys);
}

static void test_keys(void** state) {
    (void)state;
    expect(EMPTY, "",
           EMPTY
           ", seed 3, level 1\nmission: get to the green goal square\n##########\n##>> . .##\n## . . .##\n"
           "## . .GG##\n##########\nstep 0 of 100   reward 0   return 0   carrying nothing\nGG goal\n");
    expect(EMPTY, "k", "## .>> .##\n");
    expect(EMPTY, "\x1b[A\x1b[C", "## .vv .##\n");                       // arrows
    expect(EMPTY, "\x1bOA\x1bOD", "## .^^ .##\n");                       // as applications get them
    expect(EMPTY, "\x1b[1;5C\x1b[5~\x1b[6~ \tpd\n\r", "step 9 of 100");  // Ctrl-right, page up and down
    expect(EMPTY, "hh", "##<< . .##\n");
    expect(EMPTY, "kklkk", "step 5 of 100   reward 0.955   return 0.955   carrying nothing\nSolved.\n");
    expect(EMPTY, "kklkkv", ", first person\n");  // looking is allowed after the end
    expect(EMPTY, "kklkkr", "level 2\n");
    expect(EMPTY, "kkr\x7f", "level 3\n");
    expect(EMPTY, "kq?", "## .>> .##\n");  // nothing after the end is looked at
    expect(EMPTY, "v", ", first person\nmission: get to the green goal square\n");
    expect(EMPTY, "vv", "level 1\n");
    expect("Navix-Empty-5x5-v0", "kklkk", "Solved.\n");
}

// Into the lava of DistShift: four steps east from (1, 1) lies its first strip.
static void test_endings(void** state) {
    (void)state;
    char text[8192], keys[128];
    expect("MiniGrid-DistShift1-v0", "kk", "Fell into the lava.\n");
    memset(keys, 'h', 100);
    keys[100] = 0;
    expect(EMPTY, keys, "step 100 of 100   reward 0   return 0   carrying nothing\nNo steps left.\n");
    expect("MiniGrid-GoToDoor-5x5-v0", " ", "Failed.\n");
    expect("MiniGrid-Dynamic-Obstacles-5x5-v0", "hk",
           "reward -1   return -1   carrying nothing\nHit something.\n");
    assert_int_equal(play_keys(EMPTY, "kklkkk", text, sizeof text), UF_ERR_ARGUMENT);
    assert_error("character 6 of the keys acts after the end of the episode, at step 5");
}

// What is there is named once, and what is carried.
static void test_legend(void** state) {
    (void)state;
    expect("MiniGrid-DoorKey-5x5-v0", "", "GG goal   Ly yellow locked door   Ky yellow key\n");
    expect("MiniGrid-MemoryS7-v0", "", "green");
}

static void test_refusals(void** state) {
    (void)state;
    char text[256];
    int stop;
    static const struct {
        const char *id, *keys, *piece;
    } cases[] = {{"MiniGrid-Empty-5x6-v0", "", "did you mean 'MiniGrid-Empty-5x5-v0'"},
                 {EMPTY, "kx", "character 2 of the keys is none"},
                 {EMPTY, "k\x1b[", "character 3 of the keys is none"},
                 {EMPTY, "\x1b[B", "character 3 of the keys is none"},
                 {EMPTY, "\xc3\xa4", "character 1 of the keys is none"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(play_keys(cases[i].id, cases[i].keys, text, sizeof text), UF_ERR_ARGUMENT);
        assert_error(cases[i].piece);
        assert_string_equal(text, "");
    }
    int null = open("/dev/null", O_RDWR);
    NxPlayOptions o = {.id = EMPTY, .input = null, .output = null};
    assert_int_equal(nx_play(&o, &stop), UF_ERR_ARGUMENT);
    assert_error("standard input is not a terminal; play in one, or give the keys: --keys");
    close(null);
    int full = open("/dev/full", O_WRONLY);
    o.keys = "k";
    o.output = full;
    assert_int_equal(nx_play(&o, &stop), UF_ERR_IO);
    assert_error("cannot write the picture");
    close(full);
}

// ---- in a terminal ----

typedef struct Player {
    pid_t shell;   // leads the session; plays in a child, as a shell's job
    int keyboard;  // the terminal's other side
    int reports;   // from the shell: what happens to its job
    char text[1 << 16];
    size_t length;
} Player;

enum { STOPPED = 1000, BROKEN = 2000 };

static bool is_cooked(int terminal) {
    struct termios t;
    return tcgetattr(terminal, &t) == 0 && (t.c_lflag & ICANON) && (t.c_lflag & ECHO) && (t.c_iflag & ICRNL);
}

// The job: its exit status is nx_play's signal, or 100 + its status.
static void be_job(const char* id, int terminal) {
    int stop;
    setpgid(0, 0);
    tcsetpgrp(terminal, getpid());
    signal(SIGTTOU, SIG_DFL);  // what the shell ignores
    signal(SIGHUP, SIG_DFL);
    NxPlayOptions o = {.id = id, .seed = 3, .input = terminal, .output = terminal};
    UfStatus status = nx_play(&o, &stop);
    _exit(status == UF_OK ? stop : 100 + (int)status);
}

// The shell: reports how its job stops and ends, and BROKEN on top where the terminal is not as it was.
static void be_shell(const char* id, const char* path, int reports) {
    signal(SIGTTOU, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    setsid();
    int terminal = open(path, O_RDWR), status = 0;
    struct termios own;
    ioctl(terminal, TIOCSCTTY, 0);
    tcgetattr(terminal, &own);
    const pid_t job = fork();
    if (!job) be_job(id, terminal);
    while (waitpid(job, &status, WUNTRACED) == job) {
        int report = WIFSTOPPED(status)  ? STOPPED + WSTOPSIG(status)
                     : WIFEXITED(status) ? WEXITSTATUS(status)
                                         : 200 + WTERMSIG(status);
        tcsetpgrp(terminal, getpid());
        if (!is_cooked(terminal)) report += BROKEN;
        if (write(reports, &report, sizeof report) < 0) _exit(1);
        if (!WIFSTOPPED(status)) _exit(0);
        tcsetattr(terminal, TCSANOW, &own);  // as shells do
        tcsetpgrp(terminal, job);
        kill(-job, SIGCONT);
    }
    _exit(1);
}

static void begin(Player* p, const char* id, int rows, int columns) {
    int reports[2];
    char path[128];
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    *p = (Player){.keyboard = posix_openpt(O_RDWR | O_NOCTTY)};
    // A machine without the file system of pseudo-terminals has none to play in.
    if (p->keyboard < 0 || grantpt(p->keyboard) != 0 || unlockpt(p->keyboard) != 0 ||
        ptsname_r(p->keyboard, path, sizeof path) != 0 || access(path, R_OK | W_OK) != 0) {
        if (p->keyboard >= 0) close(p->keyboard);
        printf("SKIP play in a terminal: no pseudo-terminals here (/dev/pts)\n");
        skip();
    }
    assert_int_equal(ioctl(p->keyboard, TIOCSWINSZ, &size), 0);
    assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
    p->shell = fork();
    if (!p->shell) {
        close(reports[0]);
        close(p->keyboard);
        be_shell(id, path, reports[1]);
    }
    close(reports[1]);
    p->reports = reports[0];
}

// Reads what the terminal shows until `piece` is in what came since the last call.
static void wait_for(Player* p, const char* piece) {
    p->length = 0;
    p->text[0] = 0;
    for (;;) {
        struct pollfd wait = {.fd = p->keyboard, .events = POLLIN};
        if (poll(&wait, 1, 20000) <= 0) break;
        const ssize_t count = read(p->keyboard, p->text + p->length, sizeof p->text - 1 - p->length);
        if (count <= 0) break;
        p->length += (size_t)count;
        p->text[p->length] = 0;
        if (strstr(p->text, piece)) return;
    }
    kill(p->shell, SIGKILL);
    fail_msg("'%s' does not come; there is:\n%s", piece, p->text);
}

static void press(const Player* p, const char* keys) {
    assert_int_equal(write(p->keyboard, keys, strlen(keys)), strlen(keys));
}

static int next_report(Player* p) {
    int report = -1;
    struct pollfd wait = {.fd = p->reports, .events = POLLIN};
    if (poll(&wait, 1, 20000) > 0 && read(p->reports, &report, sizeof report) != sizeof report) report = -2;
    return report;
}

static void finish(Player* p) {
    int status;
    close(p->keyboard);
    close(p->reports);
    assert_int_equal(waitpid(p->shell, &status, 0), p->shell);
}

static void set_term(const char* term, const char* colour, const char* none) {
    setenv("TERM", term, 1);
    setenv("COLORTERM", colour, 1);
    setenv("NO_COLOR", none, 1);
}

#define LEFT "\x1b[?25h\x1b[?1049l"  // cursor and screen are back

static void test_terminal(void** state) {
    (void)state;
    Player p;
    set_term("xterm", "", "1");
    begin(&p, EMPTY, 24, 80);
    wait_for(&p, "q quits");
    assert_non_null(strstr(p.text, "\x1b[?1049h\x1b[?25l"));
    assert_non_null(strstr(p.text, "##>> . .##"));
    press(&p, "\x1b[A");
    wait_for(&p, "step 1 of 100");
    assert_non_null(strstr(p.text, "## .>> .##"));
    press(&p, "\x1b");  // in pieces
    usleep(20000);
    press(&p, "[");
    usleep(20000);
    press(&p, "C?");  // and one that is none
    wait_for(&p, "step 2 of 100");
    assert_non_null(strstr(p.text, "## .vv .##"));
    press(&p, "hklkk");
    wait_for(&p, "Solved. r for a new level, q to quit.");
    press(&p, "k");  // does nothing any more
    press(&p, "r");
    wait_for(&p, "level 2");
    press(&p, "q");
    wait_for(&p, LEFT);
    assert_int_equal(next_report(&p), 0);
    finish(&p);
}

static void test_signals(void** state) {
    (void)state;
    Player p;
    set_term("xterm", "", "1");
    static const struct {
        const char* key;
        int signal;
    } cases[] = {{"\x03", SIGINT}, {"\x1c", SIGQUIT}, {NULL, SIGTERM}, {NULL, SIGHUP}};
    for (int i = 0; i < 4; i++) {
        begin(&p, EMPTY, 24, 80);
        wait_for(&p, "q quits");
        if (cases[i].key)
            press(&p, cases[i].key);
        else
            kill(-tcgetpgrp(p.keyboard), cases[i].signal);
        wait_for(&p, LEFT);
        assert_int_equal(next_report(&p), cases[i].signal);
        finish(&p);
    }
}

// Ctrl-Z stops it with the terminal as it was, and it goes on where it was.
static void test_suspend(void** state) {
    (void)state;
    Player p;
    set_term("xterm", "", "1");
    begin(&p, EMPTY, 24, 80);
    wait_for(&p, "q quits");
    press(&p, "k");
    wait_for(&p, "step 1 of 100");
    for (int i = 0; i < 2; i++) {
        press(&p, "\x1a");
        assert_int_equal(next_report(&p), STOPPED + SIGTSTP);
        wait_for(&p, "step 1 of 100");
    }
    press(&p, "k");
    wait_for(&p, "step 2 of 100");
    // stopped without being asked, it cannot restore the terminal, but takes it again
    kill(-tcgetpgrp(p.keyboard), SIGSTOP);
    assert_int_equal(next_report(&p), STOPPED + SIGSTOP + BROKEN);
    wait_for(&p, "step 2 of 100");
    press(&p, "h");
    wait_for(&p, "step 3 of 100");
    press(&p, "\x04");  // Ctrl-D
    assert_int_equal(next_report(&p), 0);
    finish(&p);
}

// The terminal goes away.
static void test_hang_up(void** state) {
    (void)state;
    Player p;
    set_term("xterm", "", "1");
    begin(&p, EMPTY, 24, 80);
    wait_for(&p, "q quits");
    close(p.keyboard);
    const int report = next_report(&p) % BROKEN;  // there is no terminal to ask
    if (report != SIGHUP && report != 0 && report != 100 + (int)UF_ERR_IO) fail_msg("status %d", report);
    close(p.reports);
    assert_int_equal(waitpid(p.shell, NULL, 0), p.shell);
}

static void test_colours(void** state) {
    (void)state;
    Player p;
    static const struct {
        const char *term, *colour, *none, *yes, *no;
    } cases[] = {{"xterm-256color", "truecolor", "", "\x1b[48;2;130;130;130m", "48;5"},
                 {"xterm", "24bit", "", "\x1b[48;2;130;130;130m", "48;5"},
                 {"xterm-256color", "", "", "\x1b[48;5;244m", "48;2"},
                 {"xterm", "", "", "\x1b[47m", "48;"},
                 {"xterm-256color", "truecolor", "1", "##>> . .##", "\x1b[48"},
                 {"dumb", "truecolor", "", "##>> . .##", "\x1b["}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_term(cases[i].term, cases[i].colour, cases[i].none);
        begin(&p, EMPTY, 24, 80);
        wait_for(&p, "q quits");
        if (!strstr(p.text, cases[i].yes) || strstr(p.text, cases[i].no))
            fail_msg("TERM=%s COLORTERM=%s NO_COLOR=%s:\n%s", cases[i].term, cases[i].colour, cases[i].none,
                     p.text);
        press(&p, "q");
        assert_int_equal(next_report(&p), 0);
        finish(&p);
    }
}

// A map that is larger than the terminal is shown in part, around the agent, and fits when the window grows.
static void test_small_window(void** state) {
    (void)state;
    Player p;
    set_term("xterm", "", "1");
    begin(&p, "MiniGrid-Empty-16x16-v0", 14, 20);
    wait_for(&p, "q quits");
    assert_non_null(strstr(p.text, "####################\x1b[K"));  // ten cells wide
    assert_non_null(strstr(p.text, "##>>"));
    assert_null(strstr(p.text, "GG##"));
    struct winsize size = {.ws_row = 40, .ws_col = 80};
    assert_int_equal(ioctl(p.keyboard, TIOCSWINSZ, &size), 0);
    wait_for(&p, "GG##");
    press(&p, "q");
    assert_int_equal(next_report(&p), 0);
    finish(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_endings),  cmocka_unit_test(test_legend),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_terminal), cmocka_unit_test(test_signals),
        cmocka_unit_test(test_suspend),      cmocka_unit_test(test_hang_up),  cmocka_unit_test(test_colours),
        cmocka_unit_test(test_small_window),
    };
    return cmocka_run_group_tests_name("grid_play", tests, make_folder, remove_folder);
}
