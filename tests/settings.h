// settings.h: hyperparameters of a test as one line, "name=value name=value ...", for any table (core/config.h).
#ifndef UF_TEST_SETTINGS_H
#define UF_TEST_SETTINGS_H

#include "core/config.h"

static inline UfStatus try_settings(const UfTable* table, void* config, const char* settings) {
    char text[1500], *rest;
    bool first = true;
    assert_true(snprintf(text, sizeof text, "%s", settings) < (int)sizeof text);
    for (char* pair; (pair = strtok_r(first ? text : NULL, " ", &rest));) {
        char* equals = strchr(pair, '=');
        first = false;
        assert_non_null(equals);
        *equals = 0;
        UF_TRY(uf_table_set(table, config, pair, equals + 1));
    }
    return UF_OK;
}

#endif
