// config.c: tables of hyperparameters at work: JSON, --set, help and README tables are loops over their rows.
//
// cJSON reads the values. Before it, the text is checked against RFC 8259 here: cJSON lets pass what other
// readers refuse or read otherwise (duplicate names, 01, 1e999, raw control characters, bad UTF-8, \u0000, a
// byte order mark), and messages want the line, the name and what would be right.
// Sources: the names are those of unifloral.py; redis src/config.c for a table with ranges and choices.
#include "core/config.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod
#include <string.h>

// ---- table ----

const UfParam uf_params[] = {
#define UF_PARAM_STRUCT struct UfConfig
#include "core/param_rows.h"
#include "params.def"
};

enum { NUM_PARAMS = sizeof uf_params / sizeof *uf_params };
const int uf_num_params = NUM_PARAMS;

const UfTable uf_config_table = {uf_params, NUM_PARAMS, sizeof(struct UfConfig), "unifloral train --help"};

#define FOR_EACH_PARAM(table, param)                                                                     \
    for (const UfParam* param = (table)->params; param < (table)->params + (table)->num_params; param++) \
        if (param->type != UF_TYPE_GROUP)

const UfParam* uf_table_find(const UfTable* table, const char* name) {
    FOR_EACH_PARAM(table, param)
    if (strcmp(param->name, name) == 0) return param;
    return NULL;
}

const UfParam* uf_param_find(const char* name) { return uf_table_find(&uf_config_table, name); }

static UfStatus unknown_name(const UfTable* table, const char* name) {
    const char* names[UF_MAX_PARAMS + 1];
    int count = 0;
    FOR_EACH_PARAM(table, param) {
        if (count < UF_MAX_PARAMS) names[count++] = param->name;
    }
    names[count] = NULL;
    const char* nearest = uf_nearest_name(name, names);
    if (nearest)
        return UF_FAIL(UF_ERR_CONFIG, "'%s' is not a hyperparameter; did you mean '%s'?", name, nearest);
    return UF_FAIL(UF_ERR_CONFIG, "'%s' is not a hyperparameter; %s lists them (names of notes begin with _)",
                   name, table->help);
}

UfStatus uf_param_lookup(const UfParam** out, const char* name) {
    *out = uf_param_find(name);
    return *out ? UF_OK : unknown_name(&uf_config_table, name);
}

// Walks "a|b|c": the next choice and its length, or NULL at the end.
static const char* next_choice(const char** choices, int* length) {
    const char* choice = *choices;
    *length = (int)strcspn(choice, "|");
    *choices += *length + (choice[*length] == '|');
    return *length > 0 ? choice : NULL;
}

// The index of a choice, or -1.
static int choice_index(const char* choices, const char* text) {
    int length, index = 0;
    for (const char* choice; (choice = next_choice(&choices, &length)); index++)
        if ((int)strlen(text) == length && memcmp(choice, text, (size_t)length) == 0) return index;
    return -1;
}

static void* field(const void* config, const UfParam* param) { return (char*)config + param->offset; }

// ---- numbers and ranges as text ----

// The fewest digits that read back as the same double, in JSON's spelling under any locale.
static void format_double(double value, char* out, size_t bytes) {
    char text[64];
    if (value == floor(value) && fabs(value) < 1e15)
        snprintf(text, sizeof text, "%.0f", value);
    else
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value) break;
        }
    size_t n = 0;
    bool exponent = false, point = false;
    for (const char* c = text; *c && n + 1 < bytes; c++) {
        if (exponent && (*c == '+' || (*c == '0' && strchr("e-", out[n - 1])))) continue;  // e+05 is e5
        if (*c == 'e') exponent = true;
        if ((*c >= '0' && *c <= '9') || *c == '-' || *c == 'e') {
            out[n++] = *c;
        } else if (!point) {  // the locale's decimal point, which may have several bytes
            out[n++] = '.';
            point = true;
        }
    }
    out[n] = 0;
}

// "> 0", "0 to 1", "> 0 and < 1", or "" for any number.
static void range_text(const UfParam* param, char* out, size_t bytes) {
    char low[32], high[32];
    format_double(param->low.value, low, sizeof low);
    format_double(param->high.value, high, sizeof high);
    const char *above = param->low.open ? ">" : ">=", *below = param->high.open ? "<" : "<=";
    if (!param->low.limited && !param->high.limited)
        snprintf(out, bytes, "%s", "");
    else if (!param->high.limited)
        snprintf(out, bytes, "%s %s", above, low);
    else if (!param->low.limited)
        snprintf(out, bytes, "%s %s", below, high);
    else if (!param->low.open && !param->high.open)
        snprintf(out, bytes, "%s to %s", low, high);
    else
        snprintf(out, bytes, "%s %s and %s %s", above, low, below, high);
}

static bool in_range(const UfParam* param, double value) {
    const UfBound *low = &param->low, *high = &param->high;
    if (low->limited && (low->open ? value <= low->value : value < low->value)) return false;
    if (high->limited && (high->open ? value >= high->value : value > high->value)) return false;
    return true;
}

static void choices_text(const UfParam* param, const char* separator, char* out, size_t bytes) {
    const char *choices = param->choices, *choice;
    size_t n = 0;
    int length;
    out[0] = 0;
    while ((choice = next_choice(&choices, &length)) && n < bytes)
        n += (size_t)snprintf(out + n, bytes - n, "%s%.*s", n ? separator : "", length, choice);
}

// What would be right, for messages: "an integer >= 1", "true or false", ...
static void expected_text(const UfParam* param, char* out, size_t bytes) {
    char range[128];
    switch (param->type) {
        case UF_TYPE_INT:
        case UF_TYPE_FLOAT:
            range_text(param, range, sizeof range);
            snprintf(out, bytes, "%s%s%s", param->type == UF_TYPE_INT ? "an integer" : "a number",
                     *range ? " " : "", range);
            break;
        case UF_TYPE_BOOL: snprintf(out, bytes, "true or false"); break;
        case UF_TYPE_ENUM:
            choices_text(param, ", ", range, sizeof range);
            snprintf(out, bytes, "one of %s", range);
            break;
        default: snprintf(out, bytes, "a string"); break;
    }
}

void uf_param_describe(const UfParam* param, char* type_and_range, size_t bytes, char* default_text,
                       size_t default_bytes) {
    char range[128];
    range_text(param, range, sizeof range);
    const char* space = *range ? " " : "";
    switch (param->type) {
        case UF_TYPE_INT: snprintf(type_and_range, bytes, "int%s%s", space, range); break;
        case UF_TYPE_FLOAT: snprintf(type_and_range, bytes, "float%s%s", space, range); break;
        case UF_TYPE_BOOL: snprintf(type_and_range, bytes, "bool"); break;
        case UF_TYPE_ENUM: choices_text(param, ", ", type_and_range, bytes); break;
        default: snprintf(type_and_range, bytes, "string"); break;
    }
    if (param->type == UF_TYPE_INT || param->type == UF_TYPE_FLOAT)
        format_double(param->default_number, default_text, default_bytes);
    else if (param->type == UF_TYPE_BOOL)
        snprintf(default_text, default_bytes, "%s", param->default_number != 0 ? "true" : "false");
    else
        snprintf(default_text, default_bytes, "%s", *param->default_text ? param->default_text : "\"\"");
}

void uf_param_format(const void* config, const UfParam* param, char* buffer, size_t bytes) {
    const void* value = field(config, param);
    const char* choices = param->choices;
    int length = 0;
    switch (param->type) {
        case UF_TYPE_INT: snprintf(buffer, bytes, "%" PRId64, *(const int64_t*)value); break;
        case UF_TYPE_FLOAT: format_double(*(const double*)value, buffer, bytes); break;
        case UF_TYPE_BOOL: snprintf(buffer, bytes, "%s", *(const bool*)value ? "true" : "false"); break;
        case UF_TYPE_ENUM: {
            const char* choice = next_choice(&choices, &length);
            for (int i = 0; i < *(const int*)value && choice; i++) choice = next_choice(&choices, &length);
            snprintf(buffer, bytes, "%.*s", length, choice ? choice : "");
            break;
        }
        default: snprintf(buffer, bytes, "%s", (const char*)value); break;
    }
}

// ---- one value ----

// A piece of the text, for messages: at most 60 bytes, on one line.
typedef struct Piece {
    char text[72];
} Piece;

static Piece piece_of(const char* text, size_t length) {
    Piece piece;
    size_t n = length <= 60 ? length : 60;
    while (n < length && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;  // whole UTF-8 characters
    for (size_t i = 0; i < n; i++) piece.text[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    strcpy(piece.text + n, n < length ? "..." : "");
    return piece;
}

static UfStatus wrong_type(const UfParam* param, Piece value, const char* is) {
    char expected[200];
    expected_text(param, expected, sizeof expected);
    return UF_FAIL(UF_ERR_CONFIG, "%s: %s is %s; expected %s", param->name, value.text, is, expected);
}

static UfStatus set_number(void* config, const UfParam* param, double number, Piece value) {
    char range[128];
    range_text(param, range, sizeof range);
    if (!isfinite(number)) return wrong_type(param, value, "too large for a double");
    if (param->type == UF_TYPE_INT && number != floor(number))
        return wrong_type(param, value, "not an integer");
    if (!in_range(param, number))
        return UF_FAIL(UF_ERR_CONFIG, "%s: %s is out of range; expected %s", param->name, value.text, range);
    if (param->type == UF_TYPE_FLOAT) {
        *(double*)field(config, param) = number;
    } else {
        // From 2^53 on, neighbours share one double: the integer read may not be the integer written.
        if (fabs(number) >= 9007199254740992.0)
            return UF_FAIL(UF_ERR_CONFIG, "%s: %s is out of range; expected at most 9007199254740991",
                           param->name, value.text);
        *(int64_t*)field(config, param) = (int64_t)number;
    }
    return UF_OK;
}

static UfStatus set_text(void* config, const UfParam* param, const char* text, Piece value) {
    if (param->type == UF_TYPE_ENUM) {
        int index = choice_index(param->choices, text);
        if (index < 0) return wrong_type(param, value, "not one of the choices");
        *(int*)field(config, param) = index;
        return UF_OK;
    }
    size_t length = strlen(text);
    if (length >= UF_STRING_BYTES)
        return UF_FAIL(UF_ERR_CONFIG, "%s: %s has %zu bytes; expected at most %d", param->name, value.text,
                       length, UF_STRING_BYTES - 1);
    memset(field(config, param), 0, UF_STRING_BYTES);
    memcpy(field(config, param), text, length);
    return UF_OK;
}

// A value that cJSON has read from `text`.
static UfStatus set_item(void* config, const UfParam* param, const cJSON* item, const char* text,
                         size_t length) {
    Piece value = piece_of(text, length);
    if (cJSON_IsArray(item)) {
        char expected[200];
        expected_text(param, expected, sizeof expected);
        return UF_FAIL(UF_ERR_CONFIG,
                       "%s: %s is a list, which is an axis of a sweep (unifloral sweep); a run needs one "
                       "value: expected %s",
                       param->name, value.text, expected);
    }
    if (cJSON_IsObject(item)) return wrong_type(param, value, "an object");
    if (cJSON_IsNull(item)) return wrong_type(param, value, "no value");
    bool wants_text = param->type == UF_TYPE_STRING || param->type == UF_TYPE_ENUM;
    if (cJSON_IsString(item)) {
        if (!wants_text) return wrong_type(param, value, "a string");
        return set_text(config, param, item->valuestring, value);
    }
    if (cJSON_IsBool(item)) {
        if (param->type != UF_TYPE_BOOL) return wrong_type(param, value, "a truth value");
        *(bool*)field(config, param) = cJSON_IsTrue(item);
        return UF_OK;
    }
    if (wants_text || param->type == UF_TYPE_BOOL) return wrong_type(param, value, "a number");
    return set_number(config, param, item->valuedouble, value);
}

// ---- axes ----

static void drop_axis(UfAxes* axes, const UfParam* param) {
    for (int i = 0; i < axes->count; i++) {
        UfAxis* axis = &axes->axes[i];
        if (axis->param != param) continue;
        for (int k = 0; k < axis->num_values; k++) uf_free(axis->values[k]);
        uf_free(axis->values);
        memmove(axis, axis + 1, (size_t)(--axes->count - i) * sizeof *axis);
        return;
    }
}

void uf_axes_free(UfAxes* axes) {
    while (axes->count) drop_axis(axes, axes->axes[0].param);
}

static UfStatus add_axis_value(UfAxis* axis, const void* config, Piece list) {
    char value[UF_STRING_BYTES];
    uf_param_format(config, axis->param, value, sizeof value);
    for (int i = 0; i < axis->num_values; i++)
        if (!strcmp(axis->values[i], value))
            return UF_FAIL(UF_ERR_CONFIG, "%s: %s has %s twice; expected each value once", axis->param->name,
                           list.text, value);
    UF_TRY(uf_strdup(&axis->values[axis->num_values], value));
    axis->num_values++;
    return UF_OK;
}

// Each value of a list in turn to `value`, a copy of config, which gets the first.
static UfStatus fill_axis(UfAxis* axis, const UfTable* table, void* config, void* value, const cJSON* list,
                          const char* text, size_t length) {
    Piece piece = piece_of(text, length);
    const cJSON* item;
    memcpy(value, config, table->bytes);
    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsArray(item)) return wrong_type(axis->param, piece, "a list of lists");
        UF_TRY(set_item(value, axis->param, item, text, length));
        UF_TRY(add_axis_value(axis, value, piece));
        if (axis->num_values == 1) memcpy(config, value, table->bytes);
    }
    return UF_OK;
}

// Makes an axis of a list; config gets its first value.
static UfStatus add_axis(const UfTable* table, void* config, UfAxes* axes, const UfParam* param,
                         const cJSON* list, const char* text, size_t length) {
    Piece piece = piece_of(text, length);
    int num_values = cJSON_GetArraySize(list);
    char* value;
    if (param->scope == UF_SCOPE_RUN)
        return UF_FAIL(UF_ERR_CONFIG,
                       "%s: %s is a list, but it is no hyperparameter of the method; a sweep needs one value",
                       param->name, piece.text);
    if (num_values < 1 || num_values > UF_MAX_AXIS_VALUES)
        return UF_FAIL(UF_ERR_CONFIG, "%s: a list of %d values; an axis of a sweep has 1 to %d", param->name,
                       num_values, UF_MAX_AXIS_VALUES);
    drop_axis(axes, param);
    if (axes->count == UF_MAX_AXES)
        return UF_FAIL(UF_ERR_CONFIG, "%s: %s is one axis too many; a sweep has at most %d", param->name,
                       piece.text, UF_MAX_AXES);
    UfAxis* axis = &axes->axes[axes->count++];
    *axis = (UfAxis){.param = param};
    UF_TRY(UF_ALLOC(&axis->values, num_values, "an axis"));
    UF_TRY(UF_ALLOC(&value, table->bytes, "a config"));
    const UfStatus status = fill_axis(axis, table, config, value, list, text, length);
    uf_free(value);
    return status;
}

// ---- JSON ----

typedef struct Source {
    const char* label;  // the file, for messages
    const char* text;
    size_t length;
} Source;

static int line_of(const Source* source, const char* place) {
    int line = 1;
    for (const char* c = source->text; c < place; c++) line += *c == '\n';
    return line;
}

// "file:line:column: <reason>"; columns count characters.
static UfStatus fail_at(const Source* source, const char* place, const char* reason) {
    int column = 1;
    for (const char* c = place; c > source->text && c[-1] != '\n'; c--)
        column += ((unsigned char)c[-1] & 0xC0) != 0x80;
    return UF_FAIL(UF_ERR_CONFIG, "%s:%d:%d: %s", source->label, line_of(source, place), column, reason);
}

// Puts "file:line: " in front of the sentence there is.
static UfStatus fail_on_line(const Source* source, const char* place, UfStatus status) {
    return UF_FAIL(status, "%s:%d: %s", source->label, line_of(source, place), uf_error());
}

// Bytes of the UTF-8 character at c (RFC 3629), or 0 if there is none.
static int utf8_length(const char* text, const char* end) {
    const unsigned char* c = (const unsigned char*)text;
    if (c[0] < 0x80) return 1;
    if (c[0] < 0xC2 || c[0] > 0xF4) return 0;
    int length = c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : 4;
    if (end - text < length) return 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xC0) != 0x80) return 0;
    bool overlong = (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xF0 && c[1] < 0x90);
    bool surrogate = c[0] == 0xED && c[1] >= 0xA0, beyond = c[0] == 0xF4 && c[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

static UfStatus check_bytes(const Source* source) {
    const char *c = source->text, *end = c + source->length;
    if (source->length >= 3 && memcmp(c, "\xEF\xBB\xBF", 3) == 0)
        return fail_at(source, c, "a byte order mark; save the text as UTF-8 without one");
    char reason[100];
    for (int length; c < end; c += length) {
        length = utf8_length(c, end);
        unsigned byte = (unsigned char)*c;
        if (length == 0) {
            snprintf(reason, sizeof reason, "byte 0x%02x is not UTF-8; save the text as UTF-8", byte);
            return fail_at(source, c, reason);
        }
        if (byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') {
            snprintf(reason, sizeof reason, "control character 0x%02x; expected text without", byte);
            return fail_at(source, c, reason);
        }
    }
    return UF_OK;
}

static const char* skip_space(const char* c) { return c + strspn(c, " \t\r\n"); }

// JSON's grammar of a number, which strtod is laxer than.
static bool is_json_number(const char* c, size_t length) {
    const char* end = c + length;
    if (c < end && *c == '-') c++;
    if (c < end && *c == '0') {
        c++;
    } else {
        if (c == end || *c < '1' || *c > '9') return false;
        while (c < end && *c >= '0' && *c <= '9') c++;
    }
    for (int part = 0; part < 2; part++) {  // a fraction, an exponent
        if (c == end || !(part == 0 ? *c == '.' : *c == 'e' || *c == 'E')) continue;
        c++;
        if (part == 1 && c < end && (*c == '+' || *c == '-')) c++;
        const char* digits = c;
        while (c < end && *c >= '0' && *c <= '9') c++;
        if (c == digits) return false;
    }
    return c == end;
}

// The grammar of JSON (RFC 8259) over a text that ends with a 0.
typedef struct Scan {
    const Source* source;
    const char* c;  // the next byte
    Piece name;     // of the member of the outermost object that it belongs to; "" before the first
} Scan;

static UfStatus scan_value(Scan* scan, int depth);

static UfStatus scan_fail(const Scan* scan, const char* place, const char* reason) {
    char text[300];
    snprintf(text, sizeof text, "%s%s%s", scan->name.text, scan->name.text[0] ? ": " : "", reason);
    return fail_at(scan->source, place, text);
}

static UfStatus scan_expected(const Scan* scan, const char* expected) {
    char reason[200];
    size_t word = strcspn(scan->c, " \t\r\n,:{}[]\"");
    Piece piece = piece_of(scan->c, word > 0 ? word : 1);
    if (*scan->c == 0)
        snprintf(reason, sizeof reason, "the text ends too early; expected %s", expected);
    else if (*scan->c == '/' || *scan->c == '#')
        snprintf(reason, sizeof reason, "JSON has no comments; expected \"_note\": \"...\"");
    else
        snprintf(reason, sizeof reason, "broken JSON at '%s'; expected %s", piece.text, expected);
    return scan_fail(scan, scan->c, reason);
}

// Four hexadecimal digits, or -1.
static int hex4(const char* c) {
    int code = 0;
    for (int i = 0; i < 4; i++) {
        const char* digit = c[i] ? strchr("00112233445566778899AaBbCcDdEeFf", c[i]) : NULL;
        if (!digit) return -1;
        code = code * 16 + (int)(digit - "00112233445566778899AaBbCcDdEeFf") / 2;
    }
    return code;
}

static UfStatus scan_string(Scan* scan) {
    const char* opening = scan->c++;
    for (; *scan->c != '"'; scan->c++) {
        const char* c = scan->c;
        if (*c == 0) return scan_fail(scan, opening, "a string without an end; expected a closing quote");
        if ((unsigned char)*c < ' ')
            return scan_fail(scan, c, "a line break or tab in a string; expected \\n, \\t or a quote");
        if (*c != '\\') continue;
        int code = c[1] == 'u' ? hex4(c + 2) : -1;
        bool high = code >= 0xD800 && code < 0xDC00, low = code >= 0xDC00 && code < 0xE000;
        if (code == 0) return scan_fail(scan, c, "\\u0000 in a string; expected text without");
        if (low || (high && !(c[6] == '\\' && c[7] == 'u' && hex4(c + 8) >= 0xDC00 && hex4(c + 8) < 0xE000)))
            return scan_fail(scan, c, "half a surrogate pair in a string; expected both halves");
        if (code < 0 && (c[1] == 0 || !strchr("\"\\/bfnrt", c[1])))
            return scan_fail(scan, c, "an unknown escape in a string; expected \\\\ for a backslash");
        scan->c += high ? 11 : code >= 0 ? 5 : 1;
    }
    scan->c++;
    return UF_OK;
}

// The members of an object or a list, from its opening to its closing brace.
static UfStatus scan_members(Scan* scan, int depth) {
    bool object = *scan->c == '{';
    char closing = object ? '}' : ']';
    scan->c = skip_space(scan->c + 1);
    if (*scan->c == closing) {
        scan->c++;
        return UF_OK;
    }
    for (;;) {
        if (object) {
            const char* name = scan->c;
            if (*name != '"') return scan_expected(scan, "a name in double quotes");
            UF_TRY(scan_string(scan));
            if (depth == 0) scan->name = piece_of(name + 1, (size_t)(scan->c - name) - 2);
            scan->c = skip_space(scan->c);
            if (*scan->c != ':') return scan_expected(scan, "a colon");
            scan->c = skip_space(scan->c + 1);
        }
        UF_TRY(scan_value(scan, depth + 1));
        const char* after = scan->c = skip_space(scan->c);
        if (*after != closing && *after != ',')
            return scan_expected(scan, object ? "a comma or a closing }" : "a comma or a closing ]");
        scan->c++;
        if (*after == closing) return UF_OK;
        scan->c = skip_space(scan->c);
        if (*scan->c == closing) return scan_fail(scan, after, "a comma after the last value; expected none");
    }
}

static UfStatus scan_value(Scan* scan, int depth) {
    enum { MAX_DEPTH = 100, MAX_DIGITS = 60 };  // cJSON: 1000 and 63
    const char* c = scan->c;
    if (depth > MAX_DEPTH) return scan_fail(scan, c, "lists more than 100 deep; expected one value");
    if (*c == '"') return scan_string(scan);
    if (*c == '{' || *c == '[') return scan_members(scan, depth);
    size_t length = strcspn(c, " \t\r\n,:{}[]\"");
    bool word = (length == 4 && !memcmp(c, "true", 4)) || (length == 5 && !memcmp(c, "false", 5)) ||
                (length == 4 && !memcmp(c, "null", 4));
    if (!word && !is_json_number(c, length))
        return scan_expected(scan, "a number, true, false or a string in double quotes");
    if (length > MAX_DIGITS) return scan_fail(scan, c, "a number of more than 60 characters; expected fewer");
    scan->c += length;
    return UF_OK;
}

// One value and nothing after it.
static UfStatus scan_all(Scan* scan) {
    scan->c = skip_space(scan->source->text);
    if (*scan->c == 0) return scan_expected(scan, "{ \"name\": value }");
    UF_TRY(scan_value(scan, 0));
    scan->c = skip_space(scan->c);
    scan->name = (Piece){""};
    return *scan->c ? scan_expected(scan, "nothing after the closing brace") : UF_OK;
}

static const char* skip_string(const char* c) {  // from one quote to after the other
    for (c++; *c != '"'; c++)
        if (*c == '\\') c++;
    return c + 1;
}

// One name: value of the object, by place, in a text that has been scanned.
typedef struct Member {
    const char *name, *value, *end;  // the opening quote; the value's first byte; the byte after its last
} Member;

// From after the brace or the comma before a member.
static Member member_at(const char* c) {
    Member m = {.name = skip_space(c)};
    m.value = skip_space(skip_space(skip_string(m.name)) + 1);
    int depth = 0;
    for (m.end = m.value; depth > 0 || !strchr(",} \t\r\n", *m.end);) {
        depth += *m.end == '{' || *m.end == '[';
        depth -= *m.end == '}' || *m.end == ']';
        m.end = *m.end == '"' ? skip_string(m.end) : m.end + 1;
    }
    return m;
}

static Piece member_value(const Member* m) { return piece_of(m->value, (size_t)(m->end - m->value)); }

// A second value for the same name: names both lines.
static UfStatus fail_duplicate(const Source* source, const cJSON* root, const cJSON* first, const Member* m) {
    Member earlier = member_at(skip_space(source->text) + 1);
    for (const cJSON* item = root->child; item != first; item = item->next)
        earlier = member_at(skip_space(earlier.end) + 1);
    return UF_FAIL(UF_ERR_CONFIG, "%s: %s stands here, but line %d has it already with %s; expected it once",
                   piece_of(first->string, strlen(first->string)).text, member_value(m).text,
                   line_of(source, earlier.name), member_value(&earlier).text);
}

static UfStatus read_member(const UfTable* table, void* config, UfAxes* axes, const Source* source,
                            const cJSON* root, const cJSON* item, const Member* m) {
    for (const cJSON* other = root->child; other != item; other = other->next)
        if (strcmp(other->string, item->string) == 0) return fail_duplicate(source, root, other, m);
    const UfParam* param = uf_table_find(table, item->string);
    if (param && axes && cJSON_IsArray(item))
        return add_axis(table, config, axes, param, item, m->value, (size_t)(m->end - m->value));
    if (param) return set_item(config, param, item, m->value, (size_t)(m->end - m->value));
    Piece name = piece_of(item->string, strlen(item->string));
    if (item->string[0] != '_') return unknown_name(table, name.text);
    if (cJSON_IsString(item)) return UF_OK;  // a note
    return UF_FAIL(UF_ERR_CONFIG, "%s: %s is not a string; expected one, as names with _ in front are notes",
                   name.text, member_value(m).text);
}

static UfStatus read_members(const UfTable* table, void* config, UfAxes* axes, const Source* source,
                             const cJSON* root) {
    const char* next = skip_space(source->text) + 1;
    const cJSON* item;
    cJSON_ArrayForEach(item, root) {
        Member m = member_at(next);
        UfStatus status = read_member(table, config, axes, source, root, item, &m);
        if (status != UF_OK) return fail_on_line(source, m.name, status);
        next = skip_space(m.end) + 1;
    }
    return UF_OK;
}

static cJSON* read_json(const Source* source) {
    return cJSON_ParseWithLengthOpts(source->text, source->length + 1, NULL, 1);
}

// Nullable: axes, then lists are refused
static UfStatus parse_source(const UfTable* table, void* config, UfAxes* axes, const Source* source) {
    UF_TRY(check_bytes(source));
    Scan scan = {.source = source};
    UF_TRY(scan_all(&scan));
    cJSON* root = read_json(source);
    if (!root) return UF_FAIL(UF_ERR_MEMORY, "%s: out of memory while reading JSON", source->label);
    char* changed;  // a failing file changes nothing
    UfStatus status = UF_ALLOC(&changed, table->bytes, "a config");
    if (status == UF_OK) memcpy(changed, config, table->bytes);
    if (status == UF_OK && cJSON_IsObject(root))
        status = read_members(table, changed, axes, source, root);
    else if (status == UF_OK)
        status = fail_at(source, skip_space(source->text), "no object; expected { \"name\": value }");
    cJSON_Delete(root);
    if (status == UF_OK) memcpy(config, changed, table->bytes);
    uf_free(changed);
    return status;
}

UfStatus uf_table_parse(const UfTable* table, void* config, const char* json, const char* label) {
    Source source = {label, json, strlen(json)};
    return parse_source(table, config, NULL, &source);
}

UfStatus uf_config_parse(UfConfig* config, const char* json, const char* label) {
    if (!config || !json) return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_parse: config or json is null");
    return uf_table_parse(&uf_config_table, config, json, label ? label : "config");
}

static UfStatus load_file(const UfTable* table, void* config, UfAxes* axes, const char* path) {
    char* text;
    Source source = {.label = path};
    UF_TRY(uf_read_file(path, &text, &source.length));
    source.text = text;
    UfStatus status = parse_source(table, config, axes, &source);
    uf_free(text);
    return status;
}

UfStatus uf_table_load(const UfTable* table, void* config, const char* path) {
    return load_file(table, config, NULL, path);
}

UfStatus uf_config_load(UfConfig* config, const char* path) {
    if (!config || !path) return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_load: config or path is null");
    return uf_table_load(&uf_config_table, config, path);
}

UfStatus uf_table_load_axes(const UfTable* table, void* config, UfAxes* axes, const char* path) {
    return load_file(table, config, axes, path);
}

UfStatus uf_config_load_axes(UfConfig* config, UfAxes* axes, const char* path) {
    return uf_table_load_axes(&uf_config_table, config, axes, path);
}

// `"text"` as JSON.
static void add_string(UfText* out, const char* text) {
    uf_text_add(out, "\"");
    for (const char* c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            uf_text_add(out, "\\%c", *c);
        else if ((unsigned char)*c < ' ')
            uf_text_add(out, "\\u%04x", (unsigned)*c);
        else
            uf_text_add(out, "%c", *c);
    }
    uf_text_add(out, "\"");
}

UfStatus uf_table_json(const UfTable* table, const void* config, char** json) {
    UfText out = {0};
    char value[UF_STRING_BYTES];
    const char* before = "{\n";
    FOR_EACH_PARAM(table, param) {
        uf_param_format(config, param, value, sizeof value);
        uf_text_add(&out, "%s    \"%s\": ", before, param->name);
        if (param->type == UF_TYPE_STRING || param->type == UF_TYPE_ENUM)
            add_string(&out, value);
        else
            uf_text_add(&out, "%s", value);
        before = ",\n";
    }
    uf_text_add(&out, "\n}\n");
    return uf_text_finish(&out, json);
}

UfStatus uf_config_json(const UfConfig* config, char** json) {
    if (!config || !json) return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_json: config or json is null");
    return uf_table_json(&uf_config_table, config, json);
}

// ---- config ----

// Text of the command line: as in JSON, but strings have no quotes except in a list.
static UfStatus set_from_text(const UfTable* table, void* config, UfAxes* axes, const UfParam* param,
                              const Source* source) {
    Piece value = piece_of(source->text, source->length);
    const bool wants_text = param->type == UF_TYPE_STRING || param->type == UF_TYPE_ENUM;
    const bool may_be_list = axes && *source->text == '[' && param->scope != UF_SCOPE_RUN;
    if (wants_text && !may_be_list) return set_text(config, param, source->text, value);
    Scan scan = {.source = source};
    if (scan_all(&scan) != UF_OK)
        return wants_text ? set_text(config, param, source->text, value)
                          : wrong_type(param, *source->text ? value : piece_of("''", 2),
                                       param->type == UF_TYPE_BOOL ? "not a truth value" : "not a number");
    cJSON* item = read_json(source);
    if (!item) return UF_FAIL(UF_ERR_MEMORY, "out of memory while reading the value of %s", param->name);
    UfStatus status = axes && cJSON_IsArray(item)
                          ? add_axis(table, config, axes, param, item, source->text, source->length)
                          : set_item(config, param, item, source->text, source->length);
    cJSON_Delete(item);
    return status;
}

UfStatus uf_table_create(const UfTable* table, void** out) {
    UF_TRY(uf_alloc(out, 1, table->bytes, "a config"));
    UfStatus status = UF_OK;
    FOR_EACH_PARAM(table, param) {
        char type[200], value[UF_STRING_BYTES];
        uf_param_describe(param, type, sizeof type, value, sizeof value);
        if (param->type == UF_TYPE_BOOL)
            *(bool*)field(*out, param) = param->default_number != 0;
        else if (param->default_text)
            status = set_text(*out, param, param->default_text, piece_of(value, strlen(value)));
        else
            status = set_number(*out, param, param->default_number, piece_of(value, strlen(value)));
        if (status != UF_OK) break;  // a row of params.def that contradicts itself
    }
    if (status != UF_OK) {
        uf_free(*out);
        *out = NULL;
    }
    return status;
}

UfStatus uf_config_create(UfConfig** out) {
    if (!out) return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_create: out is null");
    return uf_table_create(&uf_config_table, (void**)out);
}

void uf_config_free(UfConfig* config) { uf_free(config); }

static UfStatus set_value(const UfTable* table, void* config, UfAxes* axes, const char* name,
                          const char* value) {
    if (!config || !name || !value)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_set: config, name or value is null");
    const UfParam* param = uf_table_find(table, name);
    Source source = {"--set", value, strlen(value)};
    UfStatus status = param ? check_bytes(&source) : unknown_name(table, piece_of(name, strlen(name)).text);
    if (status != UF_OK && param) return UF_FAIL(status, "%s (the value of %s)", uf_error(), name);
    if (status == UF_OK && axes) drop_axis(axes, param);
    if (status == UF_OK) status = set_from_text(table, config, axes, param, &source);
    return status == UF_OK ? UF_OK : uf_fail_prefix(status, "--set");
}

UfStatus uf_config_set(UfConfig* config, const char* name, const char* value) {
    return set_value(&uf_config_table, config, NULL, name, value);
}

UfStatus uf_table_set(const UfTable* table, void* config, const char* name, const char* value) {
    return set_value(table, config, NULL, name, value);
}

UfStatus uf_table_set_axis(const UfTable* table, void* config, UfAxes* axes, const char* name,
                           const char* value) {
    return set_value(table, config, axes, name, value);
}

UfStatus uf_config_set_axis(UfConfig* config, UfAxes* axes, const char* name, const char* value) {
    return uf_table_set_axis(&uf_config_table, config, axes, name, value);
}

UfStatus uf_config_get(const UfConfig* config, const char* name, char* buffer, size_t buffer_bytes) {
    if (!config || !name || !buffer || buffer_bytes == 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_get: config, name or buffer is null, or its size 0");
    buffer[0] = 0;
    const UfParam* param = uf_param_find(name);
    if (!param) return unknown_name(&uf_config_table, name);
    char value[UF_STRING_BYTES];
    uf_param_format(config, param, value, sizeof value);
    if (strlen(value) >= buffer_bytes)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the value needs %zu bytes, the buffer has %zu", name,
                       strlen(value) + 1, buffer_bytes);
    strcpy(buffer, value);
    return UF_OK;
}

bool uf_param_shapes_results(const UfParam* param) {
    static const char* const means[] = {"num_threads", "eval_threads", "sbatch_options"};
    for (size_t i = 0; i < sizeof(means) / sizeof(means[0]); i++)
        if (!strcmp(param->name, means[i])) return false;
    return true;
}

void uf_config_forget_means(UfConfig* config) {
    config->num_threads = config->eval_threads = 0;
    memset(config->sbatch_options, 0, sizeof(config->sbatch_options));
}

const UfParam* uf_table_difference(const UfTable* table, const void* a, const void* b,
                                   bool matters(const UfParam*)) {
    FOR_EACH_PARAM(table, p) {
        char in_a[UF_STRING_BYTES], in_b[UF_STRING_BYTES];
        if (!matters(p)) continue;
        uf_param_format(a, p, in_a, sizeof(in_a));
        uf_param_format(b, p, in_b, sizeof(in_b));
        if (strcmp(in_a, in_b)) return p;
    }
    return NULL;
}

const UfParam* uf_config_difference(const UfConfig* a, const UfConfig* b, bool matters(const UfParam*)) {
    return uf_table_difference(&uf_config_table, a, b, matters);
}

UfStatus uf_table_same_shape(const UfTable* table, const void* a, const void* b) {
    char in_a[UF_STRING_BYTES], in_b[UF_STRING_BYTES];
    FOR_EACH_PARAM(table, param) {
        if (param->scope != UF_SCOPE_SHARED) continue;
        uf_param_format(a, param, in_a, sizeof in_a);
        uf_param_format(b, param, in_b, sizeof in_b);
        if (strcmp(in_a, in_b) != 0)
            return UF_FAIL(UF_ERR_CONFIG,
                           "%s is %s in one member and %s in another; expected one value in "
                           "the whole population",
                           param->name, in_a, in_b);
    }
    return UF_OK;
}

UfStatus uf_table_take_run_fields(const UfTable* table, void* config, const void* run) {
    char value[UF_STRING_BYTES];
    FOR_EACH_PARAM(table, param) {
        if (param->scope != UF_SCOPE_RUN) continue;
        uf_param_format(run, param, value, sizeof value);
        UF_TRY(uf_table_set(table, config, param->name, value));
    }
    return UF_OK;
}

UfStatus uf_config_same_shape(const UfConfig* a, const UfConfig* b) {
    return uf_table_same_shape(&uf_config_table, a, b);
}

// ---- tables for people ----

enum { HELP_COLUMNS = 110 };

// Breaks text at spaces so that it fills columns `start` to HELP_COLUMNS.
static void add_wrapped(UfText* out, const char* text, int start) {
    int room = HELP_COLUMNS - start, column = 0;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + word > room) {
            uf_text_add(out, "\n%*s", start, "");
            column = 0;
        }
        uf_text_add(out, "%s%.*s", column > 0 ? " " : "", word, text);
        column += word + (column > 0);
        text += word + (text[word] == ' ');
    }
}

UfStatus uf_table_help(const UfTable* table, char** text) {
    char type[200], value[UF_STRING_BYTES];
    int names = 0, types = 0, values = 0;  // widths of the columns
    FOR_EACH_PARAM(table, param) {
        uf_param_describe(param, type, sizeof type, value, sizeof value);
        if ((int)strlen(param->name) > names) names = (int)strlen(param->name);
        if ((int)strlen(type) > types) types = (int)strlen(type);
        if ((int)strlen(value) > values) values = (int)strlen(value);
    }
    UfText out = {0};
    for (const UfParam* param = table->params; param < table->params + table->num_params; param++) {
        if (param->type == UF_TYPE_GROUP) {
            uf_text_add(&out, "%s%s\n", param == table->params ? "" : "\n", param->default_text);
            continue;
        }
        uf_param_describe(param, type, sizeof type, value, sizeof value);
        const char* mark = param->scope == UF_SCOPE_PER_MEMBER ? "*" : " ";
        uf_text_add(&out, "%s %-*s  %-*s  %-*s  ", mark, names, param->name, values, value, types, type);
        add_wrapped(&out, param->help, 2 + names + 2 + values + 2 + types + 2);
        uf_text_add(&out, "\n");
    }
    uf_text_add(&out, "\nColumns: name, default, type and range, meaning. * may differ in a population.\n");
    return uf_text_finish(&out, text);
}

UfStatus uf_table_markdown(const UfTable* table, char** text) {
    static const char* const scopes[] = {"", "same", "per member"};
    char type[200], value[UF_STRING_BYTES];
    UfText out = {0};
    for (const UfParam* param = table->params; param < table->params + table->num_params; param++) {
        if (param->type == UF_TYPE_GROUP) {
            uf_text_add(&out, "%s**%s**\n\n", param == table->params ? "" : "\n", param->default_text);
            uf_text_add(&out, "| name | default | type and range | in a population | meaning |\n");
            uf_text_add(&out, "|---|---|---|---|---|\n");
            continue;
        }
        uf_param_describe(param, type, sizeof type, value, sizeof value);
        uf_text_add(&out, "| `%s` | `%s` | %s | %s | %s |\n", param->name, value, type, scopes[param->scope],
                    param->help);
    }
    return uf_text_finish(&out, text);
}

UfStatus uf_table_describe_settings(const UfTable* table, const void* config, UfText* text) {
    char is[UF_STRING_BYTES], by_default[UF_STRING_BYTES];
    void* defaults;
    UF_TRY(uf_table_create(table, &defaults));
    uf_text_add(text, "settings that are not the defaults:\n");
    FOR_EACH_PARAM(table, param) {
        uf_param_format(config, param, is, sizeof is);
        uf_param_format(defaults, param, by_default, sizeof by_default);
        if (strcmp(is, by_default) != 0) uf_text_add(text, "  %-20s %s\n", param->name, is);
    }
    uf_free(defaults);
    return UF_OK;
}

UfStatus uf_params_help(char** text) { return uf_table_help(&uf_config_table, text); }

UfStatus uf_params_markdown(char** text) { return uf_table_markdown(&uf_config_table, text); }

const char* uf_device_name(int64_t device) {
    static const char* const names[] = {"cpu", "cuda", "auto"};
    return names[device];
}

const char* uf_precision_name(int64_t precision) {
    static const char* const names[] = {"tf32", "bf16", "fp32"};
    return names[precision];
}
