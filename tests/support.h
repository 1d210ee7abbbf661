// support.h: what the test programs share: cmocka, assertions on statuses, a temporary folder. Include it first.
#ifndef UF_TEST_SUPPORT_H
#define UF_TEST_SUPPORT_H

// cmocka.h wants these four before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/core.h"
#include "unifloral.h"

#define assert_ok(call)                                             \
    do {                                                            \
        if ((call) != UF_OK) fail_msg("%s: %s", #call, uf_error()); \
    } while (0)

// The sentence of the last failure contains `piece`.
#define assert_error(piece)                                                                \
    do {                                                                                   \
        if (!strstr(uf_error(), piece)) fail_msg("'%s' is not in: %s", piece, uf_error()); \
    } while (0)

// What agents promise, they promise on every device: UF_TEST_DEVICE=cuda runs a test's agents there, in fp32, whose
// bits repeat.
static inline bool on_device(void) { return getenv("UF_TEST_DEVICE") != NULL; }
static inline void use_test_device(UfConfig* config) {
    if (!on_device()) return;
    assert_ok(uf_config_set(config, "device", getenv("UF_TEST_DEVICE")));
    assert_ok(uf_config_set(config, "precision", "fp32"));
}

// ---- temporary folder: group fixtures of cmocka_run_group_tests ----

static char folder[64];

static inline int make_folder(void** state) {
    (void)state;
    strcpy(folder, "/tmp/unifloral-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void** state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

// A path in it; 32 may be in use at once.
static inline const char* in_folder(const char* name) {
    static char paths[32][192];
    static int next;
    char* path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

// A fresh copy of a file there, for a test to break.
static inline const char* copy_in_folder(const char* path, const char* name) {
    char* data = NULL;
    size_t bytes = 0;
    const char* copy = in_folder(name);
    assert_ok(uf_read_file(path, &data, &bytes));
    assert_ok(uf_write_file(copy, data, bytes));
    uf_free(data);
    return copy;
}

#endif
