// search.h: a command line for any kind of search on an evolution strategy: `unifloral <command>`, and a sweep of it.
#ifndef UF_CLI_SEARCH_H
#define UF_CLI_SEARCH_H

#include "cli/cli.h"
#include "core/search/search_run.h"

typedef struct SearchCommand {
    const UfSearchKind* kind;
    const char* command;
} SearchCommand;

extern const Sugar cli_search_sugar[];         // of every kind
extern const SearchCommand cli_hades_command;  // hades.c

int cli_search(const Args* args, const SearchCommand* c);
int cli_search_sweep(const Args* args, const SearchCommand* c);
// Free *out with uf_free in any case.
UfStatus cli_search_config(const Args* args, const SearchCommand* c, void** out);

#endif
