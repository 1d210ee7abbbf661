// config.h: tables of hyperparameters; struct UfConfig, generated from params.def, and the table that describes it.
#ifndef UF_CONFIG_H
#define UF_CONFIG_H

#include "core/core.h"

#define UF_STRING_BYTES 512

struct UfConfig {
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help) int64_t name;
#define UF_FLOAT(name, value, low, high, scope, help) double name;
#define UF_BOOL(name, value, scope, help) bool name;
#define UF_ENUM(name, value, choices, scope, help) int name;
#define UF_STRING(name, value, scope, help) char name[UF_STRING_BYTES];
#include "params.def"
};

// Indices into the choices of the enums.
enum { UF_DEVICE_CPU, UF_DEVICE_CUDA, UF_DEVICE_AUTO };
// A chosen device or precision, of params.def and ppo.def alike, as uf_backend_open wants it.
const char* uf_device_name(int64_t device);
const char* uf_precision_name(int64_t precision);
enum { UF_SCHEDULE_CONSTANT, UF_SCHEDULE_COSINE };
enum { UF_ACTIONS_AUTO, UF_ACTIONS_CONTINUOUS, UF_ACTIONS_DISCRETE };
enum { UF_AGGREGATE_MIN, UF_AGGREGATE_MEAN, UF_AGGREGATE_FIRST };

typedef enum UfParamType {
    UF_TYPE_GROUP,
    UF_TYPE_INT,
    UF_TYPE_FLOAT,
    UF_TYPE_BOOL,
    UF_TYPE_ENUM,
    UF_TYPE_STRING
} UfParamType;
typedef enum UfParamScope { UF_SCOPE_RUN, UF_SCOPE_SHARED, UF_SCOPE_PER_MEMBER } UfParamScope;

typedef struct UfBound {
    double value;
    bool limited, open;  // open: the value itself is excluded
} UfBound;

typedef struct UfParam {
    const char* name;  // of a group: its id
    UfParamType type;
    UfParamScope scope;
    size_t offset;             // into UfConfig
    UfBound low, high;         // int and float
    double default_number;     // int, float, bool
    const char* default_text;  // enum and string; of a group: its title
    const char* choices;       // enum: "a|b|c"
    const char* help;
} UfParam;

enum { UF_MAX_PARAMS = 254 };  // of a table

// A table of hyperparameters and the struct that it describes: everything below is done for params.def, and by the
// functions uf_table_* for any.
typedef struct UfTable {
    const UfParam* params;  // groups included
    int num_params;
    size_t bytes;      // of the struct
    const char* help;  // the command that lists them
} UfTable;

UfStatus uf_table_create(const UfTable* table, void** out);  // a struct of defaults; free with uf_free
UfStatus uf_table_load(const UfTable* table, void* config, const char* path);
UfStatus uf_table_parse(const UfTable* table, void* config, const char* json, const char* label);
UfStatus uf_table_set(const UfTable* table, void* config, const char* name, const char* value);
UfStatus uf_table_json(const UfTable* table, const void* config, char** json);
const UfParam* uf_table_find(const UfTable* table, const char* name);
const UfParam* uf_table_difference(const UfTable* table, const void* a, const void* b,
                                   bool matters(const UfParam*));
UfStatus uf_table_same_shape(const UfTable* table, const void* a, const void* b);
// How a run is done is for the one who goes on with it to say: the RUN fields of run into config.
UfStatus uf_table_take_run_fields(const UfTable* table, void* config, const void* run);
// "settings that are not the defaults:" and a line each.
UfStatus uf_table_describe_settings(const UfTable* table, const void* config, UfText* text);
UfStatus uf_table_help(const UfTable* table, char** text);
UfStatus uf_table_markdown(const UfTable* table, char** text);

// The table in the order of params.def, groups included.
extern const UfParam uf_params[];
extern const int uf_num_params;
extern const UfTable uf_config_table;

const UfParam* uf_param_find(const char* name);                   // NULL: no such hyperparameter
UfStatus uf_param_lookup(const UfParam** out, const char* name);  // UF_ERR_CONFIG with the nearest name
// Type, default, range and scope of one row as text: "float > 0", "0.001", ...
void uf_param_describe(const UfParam* param, char* type_and_range, size_t bytes, char* default_text,
                       size_t default_bytes);
// Value of one field as text.
void uf_param_format(const void* config, const UfParam* param, char* buffer, size_t bytes);
// `unifloral train --help`'s table and README.md's table, both generated from uf_params.
UfStatus uf_params_help(char** text);
UfStatus uf_params_markdown(char** text);
// False: it says how a run is done, and nothing in its results depends on it (threads, options of sbatch).
bool uf_param_shapes_results(const UfParam* param);
void uf_config_forget_means(UfConfig* config);  // sets all of those to their defaults
// The first hyperparameter that matters and differs. NULL: there is none.
const UfParam* uf_config_difference(const UfConfig* a, const UfConfig* b, bool matters(const UfParam*));
// ---- sweeps ----

enum { UF_MAX_AXES = 32, UF_MAX_AXIS_VALUES = 10000 };

typedef struct UfAxis {  // a list in the JSON of a sweep
    const UfParam* param;
    char** values;  // as uf_param_format writes them
    int num_values;
} UfAxis;
typedef struct UfAxes {
    UfAxis axes[UF_MAX_AXES];  // in the order of the file
    int count;
} UfAxes;

// As uf_table_load and uf_table_set, but a list becomes an axis, and config gets its first value; --set of one
// value takes an axis away. Only what shapes a run can be one: RUN fields are refused by name. Free axes in any case.
UfStatus uf_table_load_axes(const UfTable* table, void* config, UfAxes* axes, const char* path);
UfStatus uf_table_set_axis(const UfTable* table, void* config, UfAxes* axes, const char* name,
                           const char* value);
UfStatus uf_config_load_axes(UfConfig* config, UfAxes* axes, const char* path);
UfStatus uf_config_set_axis(UfConfig* config, UfAxes* axes, const char* name, const char* value);
void uf_axes_free(UfAxes* axes);

// OK when every SHARED field is equal in a and b; else the sentence names the first that differs.
UfStatus uf_config_same_shape(const UfConfig* a, const UfConfig* b);

#endif
