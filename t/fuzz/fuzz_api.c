/* Bodies of HTTP requests with SQL. Input: a letter, then the body:
 *   t: text; j: JSON, one member; d: JSON, nested members; m: MCP; c: a Content-Type, a line feed, and a body.
 * Checked besides memory errors: what api_read.h promises of each result; the SQL and the id are what another walk over the document finds; a body
 * that is read stays so, and means the same, when it is written anew. */
#include "filters/bytes.h"
#include "spoa/api_read.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const also[] = {"format", "options.timeout", "query.lang"};
static const struct api_place flat = {NULL, "sql", also, 2}, deep = {NULL, "query.text", also, 3};
static const struct api_place tools[] = {{"run", "sql", also, 1}, {"nested", "input.sql", NULL, 0}};
static const char *const methods[] = {"ping", "initialize"}, *const pass_tools[] = {"list"};

static const struct api_shape *shape_of(uint8_t letter) {
    static const struct api_shape text = {.form = API_TEXT}, one = {.form = API_JSON, .places = &flat, .nplaces = 1},
                                  nested = {.form = API_JSON, .places = &deep, .nplaces = 1},
                                  mcp = {.form = API_MCP, tools, 2, methods, 2, pass_tools, 1};
    switch (letter) {
    case 't': return &text;
    case 'j': return &one;
    case 'd': return &nested;
    case 'm': return &mcp;
    default: return NULL;
    }
}

/* The SQL by a way of its own: from the root along the names. */
static json_t *by_path(const struct api_shape *shape, json_t *root, const struct api_call *call) {
    if (shape->form == API_MCP) {
        json_t *arguments = json_object_get(json_object_get(root, "params"), "arguments");
        return strcmp(call->tool, "run") == 0 ? json_object_get(arguments, "sql")
                                              : json_object_get(json_object_get(arguments, "input"), "sql");
    }
    return shape->places == &flat ? json_object_get(root, "sql") : json_object_get(json_object_get(root, "query"), "text");
}

static void check_again(const struct api_shape *shape, const struct api_call *call, json_t *root) {
    char *anew = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    struct api_call again;
    CHECK(anew != NULL);
    api_read(shape, anew, strlen(anew), &again);
    CHECK(again.rc == call->rc && again.len == call->len && strcmp(again.id, call->id) == 0 && strcmp(again.method, call->method) == 0);
    CHECK(call->len == 0 || memcmp(again.sql, call->sql, call->len) == 0);
    api_call_free(&again);
    free(anew);
}

static void check_json(const struct api_shape *shape, const struct api_call *call, const char *body, size_t len) {
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    if (call->id[0] != '\0') {
        json_t *id = json_loads(call->id, JSON_DECODE_ANY, NULL);
        CHECK(json_equal(id, json_object_get(root, "id")));
        for (const char *p = call->id; *p != '\0'; p++) CHECK(*p >= ' ' && *p <= 0x7f);
        json_decref(id);
    }
    if (call->rc == API_READ_SQL) {
        json_t *sql = by_path(shape, root, call);
        CHECK(json_is_string(sql) && json_string_length(sql) == call->len && memcmp(json_string_value(sql), call->sql, call->len) == 0);
    }
    if (call->rc == API_READ_SQL || call->rc == API_READ_PASS) check_again(shape, call, root);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 65536) return 0;
    const char *body = (const char *)data + 1;
    size_t len = size - 1;
    const struct api_shape *shape = shape_of(data[0]);
    if (shape == NULL) {
        const char *line = memchr(body, '\n', len), *why = NULL;
        size_t n = line == NULL ? len : (size_t)(line - body);
        for (const char *s = "tj"; *s != '\0'; s++)
            CHECK(api_content_type(shape_of((uint8_t)*s), body, n, line, line == NULL ? 0 : len - n, &why) || why != NULL);
        return 0;
    }
    struct api_call call;
    api_read(shape, body, len, &call);
    CHECK(call.rc >= API_READ_SQL && call.rc <= API_READ_UNKNOWN);
    CHECK((call.rc == API_READ_SQL) == (call.sql != NULL) && (call.sql != NULL) == (call.len > 0));
    CHECK((call.rc >= API_READ_MALFORMED) == (call.why[0] != '\0'));
    if (shape->form == API_TEXT)
        CHECK(call.sql == NULL || (call.sql == body && call.len == len));
    else {
        CHECK(call.sql == NULL || (gh_utf8_valid(call.sql, call.len) && memchr(call.sql, 0, call.len) == NULL));
        check_json(shape, &call, body, len);
    }
    api_call_free(&call);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const struct api_shape *shape;
    const char *body;
    size_t len;
    struct api_call full;
};

/* The same SQL or call, or none. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct api_call call;
    api_read(s->shape, s->body, s->len, &call);
    if (call.rc == API_READ_SQL || call.rc == API_READ_PASS) {
        CHECK((call.more == NULL) == (s->full.more == NULL));
        CHECK(call.rc == s->full.rc && call.len == s->full.len && strcmp(call.id, s->full.id) == 0 &&
              strcmp(call.method, s->full.method) == 0);
        CHECK(call.len == 0 || memcmp(call.sql, s->full.sql, call.len) == 0);
    }
    api_call_free(&call);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    if (size == 0 || size > 65536 || shape_of(data[0]) == NULL) return;
    struct sweeping s = {.shape = shape_of(data[0]), .body = (const char *)data + 1, .len = size - 1};
    api_read(s.shape, s.body, s.len, &s.full);
    sweep(faulty, &s);
    api_call_free(&s.full);
}
#endif
