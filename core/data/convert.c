// convert.c: CSV and .npz to D4RL-layout HDF5 (`unifloral convert IN OUT`).
//
// Rooms: table, CSV, layouts, convert.
// Sources: NeoRL's and OGBench's loaders (the meaning of their arrays).
#include <ctype.h>   // isdigit, isspace
#include <locale.h>  // newlocale
#include <math.h>    // isfinite
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod_l
#include <string.h>
#include <strings.h>  // strcasecmp

#include "core/data/dataset.h"
#include "core/data/npz.h"

#define MAX_COLUMNS (1 << 14)

// ---- table ----

typedef struct Table {  // what a file holds, as D4RL names it
    int64_t num_rows;
    int obs_dim, action_dim;
    float *observations, *actions, *rewards, *next_observations;
    uint8_t *terminals, *timeouts;  // Nullable: next_observations, timeouts
} Table;

static void free_table(Table* t) {
    void* const parts[] = {t->observations,      t->actions,   t->rewards,
                           t->next_observations, t->terminals, t->timeouts};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) uf_free(parts[i]);
    *t = (Table){0};
}

static UfStatus alloc_table(Table* t, int64_t num_rows, int obs_dim, int action_dim, bool has_next,
                            bool has_timeouts) {
    size_t rows = (size_t)num_rows;
    t->num_rows = num_rows;
    t->obs_dim = obs_dim;
    t->action_dim = action_dim;
    UF_TRY(UF_ALLOC(&t->observations, rows * (size_t)obs_dim, "observations"));
    UF_TRY(UF_ALLOC(&t->actions, rows * (size_t)action_dim, "actions"));
    UF_TRY(UF_ALLOC(&t->rewards, rows, "rewards"));
    UF_TRY(UF_ALLOC(&t->terminals, rows, "terminals"));
    if (has_timeouts) UF_TRY(UF_ALLOC(&t->timeouts, rows, "timeouts"));
    if (has_next) UF_TRY(UF_ALLOC(&t->next_observations, rows * (size_t)obs_dim, "next_observations"));
    return UF_OK;
}

// ---- CSV ----

typedef enum Field { OBSERVATION, ACTION, REWARD, TERMINAL, TIMEOUT, NEXT_OBSERVATION, NUM_FIELDS } Field;
typedef struct Column {
    int field, index;
} Column;  // field < 0: not read

static const char* const field_names[NUM_FIELDS] = {"observations", "actions",  "rewards",
                                                    "terminals",    "timeouts", "next_observations"};

typedef struct Csv {
    const char* path;
    Column* columns;
    int num_columns;
    int sizes[NUM_FIELDS];  // columns of each field
    locale_t locale;        // numbers have a point, whatever the user's locale
} Csv;

// A cell from *text to the next comma or the end of its line, without blanks and quotes around it. *text
// moves behind it.
static char* next_cell(char** text, char* end) {
    char* cell = *text;
    char* stop = memchr(cell, ',', (size_t)(end - cell));
    if (!stop) stop = end;
    *text = stop < end ? stop + 1 : NULL;
    while (stop > cell && isspace((unsigned char)stop[-1])) stop--;
    while (cell < stop && isspace((unsigned char)*cell)) cell++;
    if (stop - cell >= 2 && *cell == '"' && stop[-1] == '"') cell++, stop--;
    *stop = 0;
    return cell;
}

// "obs_3" -> observation 3. The index is -1 where the name has none.
static Column parse_column(const char* cell) {
    static const struct {
        const char* name;
        Field field;
    } names[] = {{"observations", OBSERVATION},
                 {"observation", OBSERVATION},
                 {"obs", OBSERVATION},
                 {"actions", ACTION},
                 {"action", ACTION},
                 {"rewards", REWARD},
                 {"reward", REWARD},
                 {"terminals", TERMINAL},
                 {"terminal", TERMINAL},
                 {"dones", TERMINAL},
                 {"done", TERMINAL},
                 {"timeouts", TIMEOUT},
                 {"timeout", TIMEOUT},
                 {"next_observations", NEXT_OBSERVATION},
                 {"next_observation", NEXT_OBSERVATION},
                 {"next_obs", NEXT_OBSERVATION}};
    size_t length = strlen(cell), stem = length;
    while (stem > 0 && isdigit((unsigned char)cell[stem - 1])) stem--;
    bool numbered = stem < length && length - stem < 7 && stem > 0 && cell[stem - 1] == '_';
    int index = numbered ? atoi(cell + stem) : -1;
    if (numbered)
        stem--;
    else
        stem = length;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == stem && !strncasecmp(cell, names[i].name, stem))
            return (Column){(int)names[i].field, index};
    return (Column){-1, -1};
}

static UfStatus fail_header(const Csv* csv, int column, const char* cell) {
    return UF_FAIL(UF_ERR_FORMAT,
                   "%s: line 1, column %d: unknown name '%.60s'; expected observations_0, ..., actions_0, "
                   "..., "
                   "rewards, terminals, and maybe timeouts, next_observations_0, ...",
                   csv->path, column + 1, cell);
}

// Places one column; vectors need an index, and each place is taken once.
static UfStatus place_column(Csv* csv, int column, const char* cell, Column place) {
    bool is_vector = place.field == OBSERVATION || place.field == ACTION || place.field == NEXT_OBSERVATION;
    if (place.field < 0 || is_vector != (place.index >= 0)) return fail_header(csv, column, cell);
    if (!is_vector) place.index = 0;
    for (int i = 0; i < column; i++)
        if (csv->columns[i].field == place.field && csv->columns[i].index == place.index)
            return UF_FAIL(UF_ERR_FORMAT, "%s: line 1: columns %d and %d are both %s %d", csv->path, i + 1,
                           column + 1, field_names[place.field], place.index);
    csv->columns[column] = place;
    csv->sizes[place.field]++;
    return UF_OK;
}

static UfStatus check_header(const Csv* csv) {
    for (int field = OBSERVATION; field <= TERMINAL; field++)
        if (!csv->sizes[field])
            return UF_FAIL(UF_ERR_FORMAT, "%s: line 1: there is no column for %s", csv->path,
                           field_names[field]);
    for (int i = 0; i < csv->num_columns; i++) {
        Column c = csv->columns[i];
        if (c.field >= 0 && c.index >= csv->sizes[c.field])
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: line 1: %s_%d is there, but only %d columns of %s; expected 0 to %d",
                           csv->path, field_names[c.field], c.index, csv->sizes[c.field],
                           field_names[c.field], csv->sizes[c.field] - 1);
    }
    if (csv->sizes[NEXT_OBSERVATION] && csv->sizes[NEXT_OBSERVATION] != csv->sizes[OBSERVATION])
        return UF_FAIL(UF_ERR_FORMAT, "%s: line 1: %d columns of next_observations, %d of observations",
                       csv->path, csv->sizes[NEXT_OBSERVATION], csv->sizes[OBSERVATION]);
    return UF_OK;
}

static UfStatus parse_header(Csv* csv, char* line, char* end) {
    csv->num_columns = 1;
    for (const char* c = line; c < end; c++) csv->num_columns += *c == ',';
    if (csv->num_columns > MAX_COLUMNS)
        return UF_FAIL(UF_ERR_FORMAT, "%s: line 1 has %d columns, expected at most %d", csv->path,
                       csv->num_columns, MAX_COLUMNS);
    UF_TRY(UF_ALLOC(&csv->columns, csv->num_columns, "columns"));
    for (int i = 0; i < csv->num_columns; i++) {
        char* cell = next_cell(&line, end);
        csv->columns[i] = (Column){-1, -1};
        uf_one_line(cell);
        if (!cell[0]) continue;  // pandas' index column has no name
        UF_TRY(place_column(csv, i, cell, parse_column(cell)));
    }
    return check_header(csv);
}

// A number, or for flags also true and false.
static bool parse_number(const Csv* csv, const char* cell, bool is_flag, double* value) {
    if (is_flag && !strcasecmp(cell, "true")) return *value = 1, true;
    if (is_flag && !strcasecmp(cell, "false")) return *value = 0, true;
    char* end;
    *value = strtod_l(cell, &end, csv->locale);
    return end != cell && !*end && isfinite((float)*value);
}

static void store(Table* t, int64_t row, Column place, double value) {
    size_t i = (size_t)row;
    switch (place.field) {
        case OBSERVATION: t->observations[i * (size_t)t->obs_dim + (size_t)place.index] = (float)value; break;
        case ACTION: t->actions[i * (size_t)t->action_dim + (size_t)place.index] = (float)value; break;
        case REWARD: t->rewards[i] = (float)value; break;
        case TERMINAL: t->terminals[i] = value != 0; break;
        case TIMEOUT: t->timeouts[i] = value != 0; break;
        default: t->next_observations[i * (size_t)t->obs_dim + (size_t)place.index] = (float)value; break;
    }
}

static UfStatus parse_row(const Csv* csv, Table* t, int64_t row, int64_t line, char* text, char* end) {
    for (int i = 0; i < csv->num_columns; i++) {
        double value;
        Column place = csv->columns[i];
        if (!text)
            return UF_FAIL(UF_ERR_FORMAT, "%s: line %lld has %d cells, expected %d", csv->path,
                           (long long)line, i, csv->num_columns);
        char* cell = next_cell(&text, end);
        if (place.field < 0) continue;
        if (!parse_number(csv, cell, place.field == TERMINAL || place.field == TIMEOUT, &value))
            return UF_FAIL(UF_ERR_FORMAT, "%s: line %lld, column %d (%s): '%.40s' is not a finite number",
                           csv->path, (long long)line, i + 1, field_names[place.field], uf_one_line(cell));
        store(t, row, place, value);
    }
    if (text)
        return UF_FAIL(UF_ERR_FORMAT, "%s: line %lld has more than %d cells", csv->path, (long long)line,
                       csv->num_columns);
    return UF_OK;
}

static bool is_blank(const char* text, const char* end) {
    while (text < end && isspace((unsigned char)*text)) text++;
    return text == end;
}

static char* line_end(char* text, char* end) {
    char* stop = memchr(text, '\n', (size_t)(end - text));
    return stop ? stop : end;
}

static UfStatus parse_lines(Csv* csv, Table* t, char* text, char* end) {
    if (end - text >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) text += 3;  // byte order mark
    char* stop = line_end(text, end);
    UF_TRY(parse_header(csv, text, stop));
    int64_t num_rows = 0, row = 0, line = 2;
    char* body = stop < end ? stop + 1 : end;
    for (char* c = body; c < end; c = line_end(c, end) + 1) num_rows += !is_blank(c, line_end(c, end));
    if (!num_rows) return UF_FAIL(UF_ERR_FORMAT, "%s: there are no rows below the header", csv->path);
    UF_TRY(alloc_table(t, num_rows, csv->sizes[OBSERVATION], csv->sizes[ACTION],
                       csv->sizes[NEXT_OBSERVATION] > 0, csv->sizes[TIMEOUT] > 0));
    for (char* c = body; c < end; c = stop + 1, line++) {
        stop = line_end(c, end);
        if (is_blank(c, stop)) continue;
        UF_TRY(parse_row(csv, t, row++, line, c, stop));
    }
    return UF_OK;
}

static UfStatus read_csv(Table* t, const char* path, char* text, size_t num_bytes) {
    Csv csv = {.path = path, .locale = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    if (!csv.locale) return UF_FAIL(UF_ERR_MEMORY, "out of memory for a locale");
    UfStatus status = parse_lines(&csv, t, text, text + num_bytes);
    freelocale(csv.locale);
    uf_free(csv.columns);
    return status;
}

// ---- layouts ----

typedef struct Source {  // the arrays of an archive under D4RL's names
    const UfNpz* archive;
    const UfNpyArray *observations, *actions, *rewards, *terminals, *timeouts, *next_observations, *masks,
        *index;
    bool is_ogbench;
} Source;

static UfStatus check_array(const Source* s, const UfNpyArray* a, const char* name, int rank) {
    const char* path = s->archive->path;
    if (!a) return UF_FAIL(UF_ERR_FORMAT, "%s: there is no array '%s'", path, name);
    bool fits = rank == 2 ? a->rank == 2 : a->rank == 1 || (a->rank == 2 && a->dims[1] == 1);
    if (!fits)
        return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' has %d dimensions, expected %s", path, a->name, a->rank,
                       rank == 2 ? "(rows, size)" : "one number a row");
    if (a != s->index && a->dims[0] != s->observations->dims[0])
        return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' has %lld rows, '%s' has %lld", path, a->name,
                       (long long)a->dims[0], s->observations->name, (long long)s->observations->dims[0]);
    return UF_OK;
}

static UfStatus check_source(const Source* s) {
    bool neorl = s->observations && !strcmp(s->observations->name, "obs");
    UF_TRY(check_array(s, s->observations, "observations", 2));
    UF_TRY(check_array(s, s->actions, neorl ? "action" : "actions", 2));
    if (!s->rewards && s->is_ogbench)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: there is no array 'rewards'; OGBench computes them for each task: save a "
                       "single-task dataset",
                       s->archive->path);
    UF_TRY(check_array(s, s->rewards, neorl ? "reward" : "rewards", 1));
    UF_TRY(check_array(s, s->terminals, neorl ? "done" : "terminals", 1));
    if (s->timeouts) UF_TRY(check_array(s, s->timeouts, "timeouts", 1));
    if (s->masks) UF_TRY(check_array(s, s->masks, "masks", 1));
    if (s->index) UF_TRY(check_array(s, s->index, "index", 1));
    if (!s->next_observations) return UF_OK;
    UF_TRY(check_array(s, s->next_observations, "next_observations", 2));
    if (s->next_observations->dims[1] != s->observations->dims[1])
        return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' has %lld columns, '%s' has %lld", s->archive->path,
                       s->next_observations->name, (long long)s->next_observations->dims[1],
                       s->observations->name, (long long)s->observations->dims[1]);
    return UF_OK;
}

// NeoRL has names of its own; OGBench shares D4RL's, and is known by its masks or simulator states.
static Source find_source(const UfNpz* z) {
    if (uf_npz_find(z, "obs"))
        return (Source){.archive = z,
                        .observations = uf_npz_find(z, "obs"),
                        .actions = uf_npz_find(z, "action"),
                        .rewards = uf_npz_find(z, "reward"),
                        .terminals = uf_npz_find(z, "done"),
                        .next_observations = uf_npz_find(z, "next_obs"),
                        .index = uf_npz_find(z, "index")};
    Source s = {.archive = z,
                .observations = uf_npz_find(z, "observations"),
                .actions = uf_npz_find(z, "actions"),
                .rewards = uf_npz_find(z, "rewards"),
                .terminals = uf_npz_find(z, "terminals"),
                .timeouts = uf_npz_find(z, "timeouts"),
                .next_observations = uf_npz_find(z, "next_observations"),
                .masks = uf_npz_find(z, "masks")};
    s.is_ogbench = s.masks || (uf_npz_find(z, "qpos") && !s.timeouts);
    return s;
}

static UfStatus copy_row(const Source* s, const UfNpyArray* a, float* out, int64_t row) {
    int64_t columns = a->rank > 1 ? a->dims[1] : 1;
    for (int64_t j = 0; j < columns; j++) {
        out[j] = (float)uf_npy_at(a, row, j, columns);
        if (!isfinite(out[j]))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: array '%s' has a number that is not finite at row %lld, column %lld; remove "
                           "the row",
                           s->archive->path, a->name, (long long)row, (long long)j);
    }
    return UF_OK;
}

static bool flag_at(const UfNpyArray* a, int64_t row) { return a && uf_npy_at(a, row, 0, 1) != 0; }

// NeoRL's index holds the rows where trajectories start: the rows before them, and the last, are cut unless
// terminal.
static void mark_starts(const Source* s, Table* t) {
    t->timeouts[t->num_rows - 1] = !t->terminals[t->num_rows - 1];
    for (int64_t i = 0; i < s->index->dims[0]; i++) {
        double start = uf_npy_at(s->index, i, 0, 1);
        if (start < 1 || start >= (double)t->num_rows) continue;
        int64_t last = (int64_t)start - 1;
        t->timeouts[last] = !t->terminals[last];
    }
}

// OGBench's raw files end each trajectory with a row that is only a state (terminals 1): it becomes the next
// state of the row before, which a task's masks (0: solved) may call terminal and which is cut there
// otherwise.
static bool is_final_state(const Source* s, int64_t row) {
    return s->is_ogbench && !s->next_observations && flag_at(s->terminals, row);
}

static void set_flags(const Source* s, Table* t, int64_t out, int64_t row) {
    if (!s->is_ogbench) {
        t->terminals[out] = flag_at(s->terminals, row);
        if (s->timeouts) t->timeouts[out] = flag_at(s->timeouts, row);
        return;
    }
    bool cut = s->next_observations ? flag_at(s->terminals, row) : is_final_state(s, row + 1);
    t->terminals[out] = s->masks && !flag_at(s->masks, row);
    t->timeouts[out] = cut && !t->terminals[out];
}

static UfStatus fill_table(const Source* s, Table* t) {
    int64_t rows = s->observations->dims[0], out = 0;
    size_t num_obs = (size_t)t->obs_dim, num_actions = (size_t)t->action_dim;
    const UfNpyArray* next = s->next_observations ? s->next_observations : s->observations;
    int64_t shift = s->next_observations ? 0 : 1;
    for (int64_t row = 0; row < rows && out < t->num_rows; row++) {
        if (is_final_state(s, row)) continue;
        size_t i = (size_t)out;
        UF_TRY(copy_row(s, s->observations, t->observations + i * num_obs, row));
        UF_TRY(copy_row(s, s->actions, t->actions + i * num_actions, row));
        UF_TRY(copy_row(s, s->rewards, t->rewards + i, row));
        if (t->next_observations) UF_TRY(copy_row(s, next, t->next_observations + i * num_obs, row + shift));
        set_flags(s, t, out++, row);
    }
    if (s->index) mark_starts(s, t);
    return UF_OK;
}

static UfStatus build_table(const UfNpz* z, Table* t) {
    Source s = find_source(z);
    UF_TRY(check_source(&s));
    int64_t rows = s.observations->dims[0], kept = 0;
    bool shifted = s.is_ogbench && !s.next_observations;
    for (int64_t row = 0; row < rows; row++) kept += !is_final_state(&s, row);
    if (shifted && !is_final_state(&s, rows - 1)) kept--;  // the last row has no next state
    if (kept < 1) return UF_FAIL(UF_ERR_FORMAT, "%s: there is no transition in it", z->path);
    if (s.observations->dims[1] > INT32_MAX || s.actions->dims[1] > INT32_MAX)
        return UF_FAIL(UF_ERR_FORMAT, "%s: the arrays have an absurd number of columns", z->path);
    UF_TRY(alloc_table(t, kept, (int)s.observations->dims[1], (int)s.actions->dims[1],
                       s.next_observations || shifted, s.timeouts || s.is_ogbench || s.index));
    return fill_table(&s, t);
}

static UfStatus read_npz(Table* t, const char* path, const char* data, size_t size) {
    // What the layouts know; others (infos, simulator states) are passed over.
    static const char* const known[] = {
        "observations", "actions", "rewards",  "terminals", "timeouts", "next_observations",
        "masks",        "obs",     "next_obs", "action",    "reward",   "done",
        "index",        "qpos",    NULL};
    UfNpz* z = NULL;
    UF_TRY(UF_ALLOC(&z, 1, "arrays"));
    UfStatus status = uf_npz_read(z, path, data, size, known);
    if (status == UF_OK) status = build_table(z, t);
    uf_npz_free(z);
    uf_free(z);
    return status;
}

// ---- convert ----

static bool ends_with(const char* text, const char* suffix) {
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && !strcasecmp(text + length - tail, suffix);
}

static UfStatus write_table(const Table* t, const char* input, const char* output) {
    char recipe[256];
    const char* slash = strrchr(input, '/');
    snprintf(recipe, sizeof recipe, "unifloral convert %.200s", slash ? slash + 1 : input);
    UfDatasetWriter writer = {.num_rows = t->num_rows,
                              .obs_dim = t->obs_dim,
                              .action_dim = t->action_dim,
                              .observations = t->observations,
                              .actions = t->actions,
                              .rewards = t->rewards,
                              .next_observations = t->next_observations,
                              .terminals = t->terminals,
                              .timeouts = t->timeouts,
                              .recipe = recipe};
    return uf_dataset_write(output, &writer);
}

UfStatus uf_dataset_convert(const char* input, const char* output) {
    Table t = {0};
    char* data = NULL;
    size_t size = 0;
    if (!input || !output) return UF_FAIL(UF_ERR_ARGUMENT, "convert needs an input and an output file");
    bool csv = ends_with(input, ".csv"), npz = ends_with(input, ".npz");
    if (!csv && !npz)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: cannot be converted; expected a .csv or .npz file", input);
    if (ends_with(output, ".csv") || ends_with(output, ".npz"))
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s: is the name of a CSV or .npz file, but what is written is HDF5; name it FILE.hdf5", output);
    UF_TRY(uf_check_output(output));
    UF_TRY(uf_read_file(input, &data, &size));
    UfStatus status = csv ? read_csv(&t, input, data, size) : read_npz(&t, input, data, size);
    uf_free(data);
    if (status == UF_OK) status = write_table(&t, input, output);
    free_table(&t);
    return status;
}
