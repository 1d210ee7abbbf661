// run_folder.h: the folder of a run, whatever it trains: made, locked, taken back; and finding such folders.
//
// config.json comes first, so that a run killed from there on can be resumed.
#ifndef UF_RUN_FOLDER_H
#define UF_RUN_FOLDER_H

#include "core/config.h"

#define UF_FOLDER_BYTES 900
#define UF_PATH_BYTES (UF_FOLDER_BYTES + 64)

typedef struct UfRunFolder {
    char name[UF_FOLDER_BYTES];
    const char* config_name;        // "config.json"
    int lock;                       // the folder, held against a second process; -1: none
    bool made_folder, made_config;  // by this call: taken back if the run is refused
} UfRunFolder;

typedef struct UfRunFolderOptions {
    const char *out, *resume;  // Nullable: both, then runs/<algorithm>_<subject>_<seed>
    const UfTable* table;      // of config.   NULL: uf_config_table
    const void* config;        // written as config_name
    const char* config_name;   // NULL: "config.json"
    const char *algorithm, *subject;
    const char* checkpoint;  // file that shows that a folder without config.json is a run all the same
} UfRunFolderOptions;

// Makes the folder of a new run or takes that of an old one.
UfStatus uf_run_folder_open(UfRunFolder* folder, const UfRunFolderOptions* options);
// From here on the folder stays.
void uf_run_folder_keep(UfRunFolder* folder);
// Lets go of it; a run that was refused before its first update leaves nothing behind.
void uf_run_folder_close(UfRunFolder* folder);
void uf_run_folder_path(const UfRunFolder* folder, const char* name, char path[UF_PATH_BYTES]);

// UF_ERR_CONFIG when a hyperparameter that shapes an update differs; where, how long and on what may.
UfStatus uf_same_hyperparameters(const UfTable* table, const void* saved, const void* now);

// ---- looking for runs ----

bool uf_has_file(const char* folder, const char* name);
bool uf_is_run(const char* folder);  // holds config.json or final.h5

// Visits `folder` if it is a run, else the runs below it, in the order of their names; *num_found counts them. A
// failing visit ends it.
typedef UfStatus UfRunVisit(void* user, const char* folder);
UfStatus uf_runs_below(const char* folder, UfRunVisit* visit, void* user, int* num_found);

// The configuration of the run in a folder. UF_ERR_IO: there is no run.
UfStatus uf_run_config(UfConfig** out, const char* folder);
// The checkpoint file of a run folder; a file stands for itself.
UfStatus uf_run_checkpoint(const char* name, char* path, size_t path_bytes);

#endif
