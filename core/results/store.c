// store.c: see store.h.
//
// Rooms: rows, keys, conditions, SQLite, API.
// Source: sqlite.org/lockingv3.html, sqlite.org/lang_upsert.html.
#include "core/results/store.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/config.h"

// ---- rows ----

void uf_store_row_free(UfStoreRow* r) {
    void* const parts[] = {r->algorithm, r->dataset, r->dataset_hash, r->env,     r->config, r->version,
                           r->source,    r->message, r->added,        r->returns, r->scores, r->lengths};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) uf_free(parts[i]);
    *r = (UfStoreRow){0};
}

void uf_store_rows_free(UfStoreRows* rows) {
    for (int i = 0; i < rows->count; i++) uf_store_row_free(&rows->rows[i]);
    uf_free(rows->rows);
    *rows = (UfStoreRows){0};
}

#ifdef UF_NO_SQLITE

static UfStatus unsupported(void) {
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "this build has no result store: SQLite was missing; install libsqlite3-dev and run make");
}
UfStatus uf_store_open(UfStore** out, const char* path, bool create) {
    (void)path, (void)create;
    *out = NULL;
    return unsupported();
}
void uf_store_close(UfStore* store) { (void)store; }
UfStatus uf_store_put(UfStore* store, const UfStoreRow* row) {
    (void)store, (void)row;
    return unsupported();
}
UfStatus uf_store_rows(UfStore* store, const char* const* where, int num_where, UfStoreRows* out) {
    (void)store, (void)where, (void)num_where;
    *out = (UfStoreRows){0};
    return unsupported();
}

#else

#include <sqlite3.h>

enum { APPLICATION = 0x55464c53, FORMAT = 1, WAIT_MS = 60000 };  // "UFLS"

struct UfStore {
    sqlite3* db;
    char* path;
};

static UfStatus check_finite(const UfStoreRow* r) {
    for (int64_t i = 0; i < r->num_episodes; i++) {
        const double* bad = !isfinite(r->returns[i])               ? r->returns
                            : r->scores && !isfinite(r->scores[i]) ? r->scores
                                                                   : NULL;
        if (bad)
            return UF_FAIL(UF_ERR_NONFINITE, "%s: %s %" PRId64 " of %" PRId64 " is not finite", r->source,
                           bad == r->returns ? "return" : "score", i, r->num_episodes);
    }
    return UF_OK;
}

// ---- keys ----

// Where the data lie and by which means it ran does not make another policy.
static UfStatus config_identity(const UfStoreRow* r, char** json) {
    UfConfig* config;
    UF_TRY(uf_config_create(&config));
    UfStatus status = uf_config_parse(config, r->config, r->source);
    if (status == UF_OK) {
        memset(config->dataset, 0, sizeof config->dataset);
        uf_config_forget_means(config);
        status = uf_config_json(config, json);
    }
    uf_config_free(config);
    return status;
}

static UfStatus compute_key(const UfStoreRow* r, char key[65]) {
    char *config = NULL, *identity;
    UfText text = {0};
    if (r->config[0]) UF_TRY(config_identity(r, &config));
    if (config)
        uf_text_add(&text, "%s\n%s\n%" PRId64 "\n%s\n", config, r->dataset_hash, r->seed, r->version);
    else  // a result of the reference: its numbers are all there is to tell it by
        uf_text_add(&text, "%s\n%s\n", r->algorithm, r->dataset);
    if (!config) uf_text_add_bytes(&text, r->returns, (size_t)r->num_episodes * sizeof *r->returns);
    uf_free(config);
    size_t num_bytes = text.length;
    UF_TRY(uf_text_finish(&text, &identity));
    uf_sha256(identity, num_bytes, key);
    uf_free(identity);
    return UF_OK;
}

// ---- conditions ----

typedef struct Condition {
    char name[64];
    const char* value;
    const UfParam* param;  // NULL: a column
} Condition;

static const char* const columns[] = {"algorithm", "dataset", "dataset_hash", "env", "version",
                                      "source",    "status",  "seed",         NULL};

static const char* column_text(const UfStoreRow* r, const char* name, char seed[32]) {
    if (!strcmp(name, "algorithm")) return r->algorithm;
    if (!strcmp(name, "dataset")) return r->dataset;
    if (!strcmp(name, "dataset_hash")) return r->dataset_hash;
    if (!strcmp(name, "env")) return r->env;
    if (!strcmp(name, "version")) return r->version;
    if (!strcmp(name, "source")) return r->source;
    if (!strcmp(name, "status")) return r->message[0] ? "failed" : "done";
    snprintf(seed, 32, "%" PRId64, r->seed);
    return seed;
}

// The value in the spelling of uf_param_format.
static UfStatus normal_value(const UfParam* param, const char* text, char value[UF_STRING_BYTES]) {
    UfConfig* config;
    UF_TRY(uf_config_create(&config));
    UfStatus status = uf_config_set(config, param->name, text);
    if (status == UF_OK) uf_param_format(config, param, value, UF_STRING_BYTES);
    uf_config_free(config);
    return status;
}

static UfStatus parse_condition(const char* text, Condition* c) {
    const char* names[256];
    const char* equals = strchr(text, '=');
    char value[UF_STRING_BYTES];
    int count = 0;
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof c->name)
        return UF_FAIL(UF_ERR_ARGUMENT, "--where %s: expected name=value", text);
    snprintf(c->name, sizeof c->name, "%.*s", (int)(equals - text), text);
    c->value = equals + 1;
    c->param = NULL;
    for (int i = 0; columns[i]; i++) {
        if (!strcmp(columns[i], c->name)) return UF_OK;
        names[count++] = columns[i];
    }
    c->param = uf_param_find(c->name);
    if (c->param) {
        UfStatus status = normal_value(c->param, c->value, value);
        return status == UF_OK ? UF_OK : uf_fail_prefix(status, "--where");
    }
    for (int i = 0; i < uf_num_params && count < 255; i++)
        if (uf_params[i].type != UF_TYPE_GROUP) names[count++] = uf_params[i].name;
    names[count] = NULL;
    const char* nearest = uf_nearest_name(c->name, names);
    return UF_FAIL(UF_ERR_ARGUMENT, "--where %s: '%s' is no column and no hyperparameter%s%s%s", text,
                   c->name, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

// A configuration of another version may lack the name: then it does not match.
static UfStatus holds_param(const UfStoreRow* r, const Condition* c, bool* holds) {
    char wanted[UF_STRING_BYTES], there[UF_STRING_BYTES];
    cJSON* json = cJSON_Parse(r->config);
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(json, c->name);
    char* printed = item && !cJSON_IsString(item) ? cJSON_PrintUnformatted(item) : NULL;
    const char* text = cJSON_IsString(item) ? item->valuestring : printed;
    UfStatus status = UF_OK;
    *holds = false;
    if (text) {
        status = normal_value(c->param, c->value, wanted);
        if (status == UF_OK && normal_value(c->param, text, there) == UF_OK) *holds = !strcmp(wanted, there);
    }
    cJSON_free(printed);
    cJSON_Delete(json);
    return status;
}

static UfStatus holds_all(const UfStoreRow* r, const Condition* conditions, int count, bool* holds) {
    char seed[32];
    *holds = true;
    for (int i = 0; *holds && i < count; i++) {
        const Condition* c = &conditions[i];
        if (c->param)
            UF_TRY(holds_param(r, c, holds));
        else
            *holds = !strcmp(column_text(r, c->name, seed), c->value);
    }
    return UF_OK;
}

// ---- SQLite ----

static UfStatus fail_sqlite(const UfStore* s, const char* doing) {
    int code = sqlite3_errcode(s->db) & 0xff;
    if (code == SQLITE_NOTADB) return UF_FAIL(UF_ERR_FORMAT, "%s: is not a result store", s->path);
    if (code == SQLITE_NOMEM) return UF_FAIL(UF_ERR_MEMORY, "%s: out of memory", s->path);
    if (code == SQLITE_BUSY)
        return UF_FAIL(UF_ERR_IO, "%s: other processes write without a pause of a minute; try again",
                       s->path);
    return UF_FAIL(code == SQLITE_CORRUPT ? UF_ERR_FORMAT : UF_ERR_IO, "%s: cannot %s: %s", s->path, doing,
                   sqlite3_errmsg(s->db));
}

static UfStatus execute(UfStore* s, const char* sql, const char* doing) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? UF_OK : fail_sqlite(s, doing);
}

// The first number that a statement gives.
static UfStatus query_number(UfStore* s, const char* sql, int64_t* value) {
    sqlite3_stmt* statement = NULL;
    UfStatus status = UF_OK;
    *value = 0;
    if (sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        status = fail_sqlite(s, "read it");
    else
        *value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

static const char schema[] =
    "CREATE TABLE policies (key TEXT PRIMARY KEY, algorithm TEXT NOT NULL, dataset TEXT NOT NULL,"
    " dataset_hash TEXT NOT NULL, dataset_rows INTEGER, env TEXT NOT NULL, seed INTEGER, config TEXT NOT "
    "NULL,"
    " version TEXT NOT NULL, num_updates INTEGER, seconds REAL, status TEXT NOT NULL, message TEXT NOT NULL,"
    " source TEXT NOT NULL, added TEXT NOT NULL, num_episodes INTEGER NOT NULL, return_mean REAL,"
    " score_mean REAL, returns BLOB, scores BLOB, lengths BLOB);";

static UfStatus check_kind(UfStore* s, bool* empty) {
    int64_t application, version, tables;
    UF_TRY(query_number(s, "PRAGMA application_id", &application));
    UF_TRY(query_number(s, "PRAGMA user_version", &version));
    UF_TRY(query_number(s, "SELECT count(*) FROM sqlite_master", &tables));
    *empty = application == 0 && tables == 0;
    if (*empty) return UF_OK;
    if (application != APPLICATION) return UF_FAIL(UF_ERR_FORMAT, "%s: is not a result store", s->path);
    if (version != FORMAT)
        return UF_FAIL(UF_ERR_FORMAT, "%s: is a result store of format %" PRId64 ", this version reads %d",
                       s->path, version, FORMAT);
    return UF_OK;
}

// Two processes may find the file empty at once: the second one looks again inside its transaction.
static UfStatus make_tables(UfStore* s) {
    char sql[sizeof schema + 128];
    bool empty;
    UF_TRY(execute(s, "BEGIN IMMEDIATE", "begin to write"));
    UfStatus status = check_kind(s, &empty);
    snprintf(sql, sizeof sql, "%s PRAGMA application_id = %d; PRAGMA user_version = %d;", schema, APPLICATION,
             FORMAT);
    if (status == UF_OK && empty) status = execute(s, sql, "make its table");
    if (status == UF_OK) return execute(s, "COMMIT", "write it");
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static UfStatus make_parent(const char* path) {
    char* folder;
    UF_TRY(uf_strdup(&folder, path));
    char* slash = strrchr(folder, '/');
    UfStatus status = UF_OK;
    if (slash && slash != folder) {
        *slash = 0;
        status = uf_make_folder(folder);
    }
    uf_free(folder);
    return status;
}

static UfStatus open_store(UfStore* s, const char* path, bool create) {
    bool empty;
    UF_TRY(uf_strdup(&s->path, path));
    if (create) UF_TRY(make_parent(path));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        if (!s->db) return UF_FAIL(UF_ERR_MEMORY, "%s: out of memory", path);
        return UF_FAIL(UF_ERR_IO, "%s: cannot open the result store: %s%s", path, sqlite3_errmsg(s->db),
                       create ? "" : "; is it there?");
    }
    sqlite3_busy_timeout(s->db, WAIT_MS);
    UF_TRY(execute(s, "BEGIN", "begin to read"));  // or another process makes the table between two questions
    UfStatus status = check_kind(s, &empty);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    UF_TRY(status);
    if (!empty) return UF_OK;
    return create ? make_tables(s) : UF_FAIL(UF_ERR_FORMAT, "%s: is not a result store: it is empty", path);
}

static void bind_text(sqlite3_stmt* t, int at, const char* text) {
    sqlite3_bind_text(t, at, text ? text : "", -1, SQLITE_STATIC);
}

static void bind_array(sqlite3_stmt* t, int at, const void* data, int64_t count, size_t item_bytes) {
    if (data && count) sqlite3_bind_blob64(t, at, data, (sqlite3_uint64)count * item_bytes, SQLITE_STATIC);
}

static void bind_mean(sqlite3_stmt* t, int at, const double* x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; x && i < count; i++) sum += x[i];
    if (x && count) sqlite3_bind_double(t, at, sum / (double)count);
}

static const char insert[] =
    "INSERT INTO policies VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
    "coalesce(nullif(?15, ''), datetime('now')), ?16, ?17, ?18, ?19, ?20, ?21) "
    "ON CONFLICT (key) DO UPDATE SET source = excluded.source, seconds = excluded.seconds, status = "
    "excluded.status, "
    "message = excluded.message, num_episodes = excluded.num_episodes, return_mean = excluded.return_mean, "
    "score_mean = excluded.score_mean, returns = excluded.returns, scores = excluded.scores, "
    "lengths = excluded.lengths WHERE excluded.status = 'done' OR policies.status = 'failed'";

static UfStatus bind_and_step(UfStore* s, sqlite3_stmt* t, const UfStoreRow* r, const char* key) {
    const char* status = r->message && r->message[0] ? "failed" : "done";
    bind_text(t, 1, key);
    bind_text(t, 2, r->algorithm);
    bind_text(t, 3, r->dataset);
    bind_text(t, 4, r->dataset_hash);
    sqlite3_bind_int64(t, 5, r->dataset_rows);
    bind_text(t, 6, r->env);
    sqlite3_bind_int64(t, 7, r->seed);
    bind_text(t, 8, r->config);
    bind_text(t, 9, r->version);
    sqlite3_bind_int64(t, 10, r->num_updates);
    if (isfinite(r->seconds)) sqlite3_bind_double(t, 11, r->seconds);
    bind_text(t, 12, status);
    bind_text(t, 13, r->message);
    bind_text(t, 14, r->source);
    bind_text(t, 15, r->added);
    sqlite3_bind_int64(t, 16, r->num_episodes);
    bind_mean(t, 17, r->returns, r->num_episodes);
    bind_mean(t, 18, r->scores, r->num_episodes);
    bind_array(t, 19, r->returns, r->num_episodes, sizeof *r->returns);
    bind_array(t, 20, r->scores, r->num_episodes, sizeof *r->scores);
    bind_array(t, 21, r->lengths, r->num_episodes, sizeof *r->lengths);
    return sqlite3_step(t) == SQLITE_DONE ? UF_OK : fail_sqlite(s, "write a row");
}

static UfStatus insert_row(UfStore* s, const UfStoreRow* r, const char* key) {
    sqlite3_stmt* t = NULL;
    UfStatus status = UF_OK;
    if (sqlite3_prepare_v2(s->db, insert, -1, &t, NULL) != SQLITE_OK)
        status = fail_sqlite(s, "write a row");
    else
        status = bind_and_step(s, t, r, key);
    sqlite3_finalize(t);
    return status;
}

// A run that failed and then got through has one row, although its environment is only known now.
static UfStatus remove_failures(UfStore* s, const UfStoreRow* r) {
    static const char sql[] =
        "DELETE FROM policies WHERE status = 'failed' AND source = ?1 AND algorithm = ?2 AND seed = ?3";
    sqlite3_stmt* t = NULL;
    UfStatus status = UF_OK;
    if (sqlite3_prepare_v2(s->db, sql, -1, &t, NULL) != SQLITE_OK) {
        status = fail_sqlite(s, "write a row");
    } else {
        bind_text(t, 1, r->source);
        bind_text(t, 2, r->algorithm);
        sqlite3_bind_int64(t, 3, r->seed);
        if (sqlite3_step(t) != SQLITE_DONE) status = fail_sqlite(s, "write a row");
    }
    sqlite3_finalize(t);
    return status;
}

static UfStatus column_string(sqlite3_stmt* t, int at, char** out) {
    const char* text = (const char*)sqlite3_column_text(t, at);
    return uf_strdup(out, text ? text : "");
}

static UfStatus column_array(const UfStore* s, sqlite3_stmt* t, int at, int64_t count, size_t item_bytes,
                             void** out) {
    const void* data = sqlite3_column_blob(t, at);
    *out = NULL;
    if (!data) return UF_OK;
    if ((int64_t)sqlite3_column_bytes(t, at) != count * (int64_t)item_bytes)
        return UF_FAIL(UF_ERR_FORMAT, "%s: a row has %d bytes of %s, not those of %" PRId64 " episodes",
                       s->path, sqlite3_column_bytes(t, at), sqlite3_column_name(t, at), count);
    UF_TRY(uf_alloc(out, (size_t)count, item_bytes, "returns"));
    memcpy(*out, data, (size_t)count * item_bytes);
    return UF_OK;
}

static UfStatus read_row(const UfStore* s, sqlite3_stmt* t, UfStoreRow* r) {
    char* const* texts[] = {&r->algorithm, &r->dataset, &r->dataset_hash, &r->env,  &r->config,
                            &r->version,   &r->message, &r->source,       &r->added};
    *r = (UfStoreRow){.seconds = NAN};
    for (int i = 0; i < 9; i++) UF_TRY(column_string(t, i, (char**)texts[i]));
    const char* key = (const char*)sqlite3_column_text(t, 9);
    snprintf(r->key, sizeof r->key, "%s", key ? key : "");
    r->dataset_rows = sqlite3_column_int64(t, 10);
    r->seed = sqlite3_column_int64(t, 11);
    r->num_updates = sqlite3_column_int64(t, 12);
    if (sqlite3_column_type(t, 13) != SQLITE_NULL) r->seconds = sqlite3_column_double(t, 13);
    r->num_episodes = sqlite3_column_int64(t, 14);
    UF_TRY(column_array(s, t, 15, r->num_episodes, sizeof(double), (void**)&r->returns));
    UF_TRY(column_array(s, t, 16, r->num_episodes, sizeof(double), (void**)&r->scores));
    UF_TRY(column_array(s, t, 17, r->num_episodes, sizeof(int32_t), (void**)&r->lengths));
    if (r->num_episodes < 0 || (r->num_episodes > 0) != (r->returns != NULL))
        return UF_FAIL(UF_ERR_FORMAT, "%s: a row of %s says %" PRId64 " episodes and has %s returns", s->path,
                       r->algorithm, r->num_episodes, r->returns ? "some" : "no");
    return UF_OK;
}

// ---- API ----

UfStatus uf_store_open(UfStore** out, const char* path, bool create) {
    *out = NULL;
    UF_TRY(UF_ALLOC(out, 1, "a result store"));
    UfStatus status = open_store(*out, path, create);
    if (status == UF_OK) return UF_OK;
    uf_store_close(*out);
    *out = NULL;
    return status;
}

void uf_store_close(UfStore* s) {
    if (!s) return;
    sqlite3_close(s->db);
    uf_free(s->path);
    uf_free(s);
}

UfStatus uf_store_put(UfStore* s, const UfStoreRow* row) {
    char key[65];
    UF_TRY(check_finite(row));
    snprintf(key, sizeof key, "%s", row->key);
    if (!key[0]) UF_TRY(compute_key(row, key));
    UF_TRY(execute(s, "BEGIN IMMEDIATE", "begin to write"));
    UfStatus status = remove_failures(s, row);
    if (status == UF_OK) status = insert_row(s, row, key);
    if (status == UF_OK) status = execute(s, "COMMIT", "write a row");
    if (status != UF_OK) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static UfStatus collect_rows(UfStore* s, sqlite3_stmt* t, const Condition* conditions, int num_conditions,
                             UfStoreRows* out) {
    int code, capacity = 0;
    while ((code = sqlite3_step(t)) == SQLITE_ROW) {
        if (out->count == capacity) {
            UfStoreRow* grown;
            capacity = capacity ? 2 * capacity : 64;
            UF_TRY(UF_ALLOC(&grown, capacity, "rows"));
            if (out->count) memcpy(grown, out->rows, sizeof *grown * (size_t)out->count);
            uf_free(out->rows);
            out->rows = grown;
        }
        UfStoreRow* row = &out->rows[out->count++];
        bool holds;
        UF_TRY(read_row(s, t, row));
        UF_TRY(holds_all(row, conditions, num_conditions, &holds));
        if (!holds) uf_store_row_free(&out->rows[--out->count]);
    }
    return code == SQLITE_DONE ? UF_OK : fail_sqlite(s, "read it");
}

UfStatus uf_store_rows(UfStore* s, const char* const* where, int num_where, UfStoreRows* out) {
    static const char select[] =
        "SELECT algorithm, dataset, dataset_hash, env, config, version, message, source, added, key, "
        "dataset_rows,"
        " seed, num_updates, seconds, num_episodes, returns, scores, lengths FROM policies"
        " ORDER BY algorithm, dataset, dataset_hash, seed, config, version, key";
    Condition* conditions;
    sqlite3_stmt* t = NULL;
    UfStatus status = UF_OK;
    *out = (UfStoreRows){0};
    UF_TRY(UF_ALLOC(&conditions, num_where + 1, "conditions"));
    for (int i = 0; status == UF_OK && i < num_where; i++) status = parse_condition(where[i], &conditions[i]);
    if (status == UF_OK && sqlite3_prepare_v2(s->db, select, -1, &t, NULL) != SQLITE_OK)
        status = fail_sqlite(s, "read it");
    if (status == UF_OK) status = collect_rows(s, t, conditions, num_where, out);
    sqlite3_finalize(t);
    uf_free(conditions);
    if (status != UF_OK) uf_store_rows_free(out);
    return status;
}

#endif
