// configure.c: what the command line makes of a configuration.
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static UfStatus set(const UfTable* table, void* config, UfAxes* axes, const char* name, const char* value) {
    return axes ? uf_table_set_axis(table, config, axes, name, value)
                : uf_table_set(table, config, name, value);
}

UfStatus cli_configure(const Args* args, const char* file, const UfTable* table, const Sugar* sugar,
                       void* config, UfAxes* axes) {
    if (file)
        UF_TRY(axes ? uf_table_load_axes(table, config, axes, file) : uf_table_load(table, config, file));
    for (int i = 0; i < args->num_sets; i++) {
        char name[256];
        const char* equals = strchr(args->sets[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(equals - args->sets[i]), args->sets[i]);
        UF_TRY(set(table, config, axes, name, equals + 1));
    }
    for (; sugar->name; sugar++) {
        const char* value = args->values[sugar->option];
        if (value) UF_TRY(set(table, config, axes, sugar->name, value));
    }
    return UF_OK;
}

UfStatus cli_checked(const Args* args, UfStatus status, const char* file, const char* command) {
    const char *resume = args->values[O_RESUME], *source = file ? file : resume ? resume : command;
    char label[1200];
    if (status == UF_OK) return UF_OK;
    snprintf(label, sizeof(label), "%s%s", source, args->num_sets ? " with --set" : "");
    return uf_fail_prefix(status, label);
}
