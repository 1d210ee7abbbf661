// param_rows.h: what makes an array of UfParam of a table of hyperparameters. Include it, with UF_PARAM_STRUCT naming
// the struct that the table describes, before each params.def or ppo.def inside the array's braces.
#define AT_LEAST(x) \
    { (x), true, false }
#define ABOVE(x) \
    { (x), true, true }
#define AT_MOST(x) \
    { (x), true, false }
#define BELOW(x) \
    { (x), true, true }
#define NO_LIMIT \
    { 0, false, false }
#define UF_FIELD_OF(kind, id, range) \
    .name = #id, .type = UF_TYPE_##kind, .scope = UF_SCOPE_##range, .offset = offsetof(UF_PARAM_STRUCT, id)

#define UF_GROUP(id, title) {.name = #id, .type = UF_TYPE_GROUP, .default_text = title},
#define UF_INT(id, value, from, to, range, text) \
    {UF_FIELD_OF(INT, id, range), .default_number = value, .low = from, .high = to, .help = text},
#define UF_FLOAT(id, value, from, to, range, text) \
    {UF_FIELD_OF(FLOAT, id, range), .default_number = value, .low = from, .high = to, .help = text},
#define UF_BOOL(id, value, range, text) {UF_FIELD_OF(BOOL, id, range), .default_number = value, .help = text},
#define UF_ENUM(id, value, list, range, text) \
    {UF_FIELD_OF(ENUM, id, range), .default_text = value, .choices = list, .help = text},
#define UF_STRING(id, value, range, text) \
    {UF_FIELD_OF(STRING, id, range), .default_text = value, .help = text},
