#include "spoa/api_read.h"

#include "filters/bytes.h"
#include "spoa/json_read.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_MAX_BYTES 512 /* of the members' names on a path; beyond, a member cannot be a listed one */
#define SHOWN          80  /* bytes of a peer's name in a message */

/* --- Content-Type --- */

static bool skip_blanks(struct cur *c) {
    while (cur_left(c) > 0 && (*c->p == ' ' || *c->p == '\t')) c->p++;
    return cur_left(c) > 0;
}

/* The next word up to a blank, ';' or '='; compared without case (RFC 9110, section 8.3.1). */
static bool take_word(struct cur *c, const char *word) {
    size_t n = strlen(word);
    if (n > cur_left(c) || strncasecmp((const char *)c->p, word, n) != 0) return false;
    c->p += n;
    return true;
}

static bool take_type(struct cur *c, enum api_form form) {
    if (form != API_TEXT) return take_word(c, "application/json");
    return take_word(c, "text/plain") || take_word(c, "application/sql");
}

static bool is_ascii(const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 0x80) return false;
    return true;
}

bool api_content_type(const struct api_shape *shape, const char *type, size_t len, const void *body, size_t body_len, const char **why) {
    struct cur c = cur_of(type, len);
    bool json = shape->form != API_TEXT, utf8 = json; /* JSON is UTF-8 (RFC 8259); a text without charset is what its reader thinks */
    *why = json ? "Content-Type must be application/json, in UTF-8"
                : "Content-Type must be text/plain; charset=utf-8 (or application/sql; charset=utf-8)";
    if (len > 0 || json) {
        if (!take_type(&c, shape->form)) return false;
        if (skip_blanks(&c)) {
            if (*c.p++ != ';') return false;
            skip_blanks(&c);
            if (!take_word(&c, "charset=")) return false;
            bool quoted = take_word(&c, "\"");
            if (!take_word(&c, "utf-8") || (quoted && !take_word(&c, "\"")) || skip_blanks(&c)) return false;
            utf8 = true;
        }
    }
    return utf8 || is_ascii(body, body_len);
}

/* --- JSON --- */

static bool __attribute__((format(printf, 3, 4))) say(struct api_call *c, enum api_read_rc rc, const char *fmt, ...) {
    va_list ap;
    c->rc = rc;
    va_start(ap, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
    return false;
}

static bool listed(const char *const *list, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], word) == 0) return true;
    return false;
}

struct reader {
    const struct api_place *place;
    struct api_call *call;
    json_t *more;
};

static bool take_sql(struct api_call *call, const json_t *v, const char *path) {
    if (!json_is_string(v)) return say(call, API_READ_MALFORMED, "the member \"%.80s\" must be a string with the SQL", path);
    call->sql = json_string_value(v);
    call->len = json_string_length(v);
    return true;
}

static bool begins(const char *longer, const char *path, size_t len) { return strncmp(longer, path, len) == 0 && longer[len] == '.'; }

static bool on_the_way(const struct api_place *place, const char *path, size_t len) {
    if (begins(place->sql, path, len)) return true;
    for (size_t i = 0; i < place->nalso; i++)
        if (begins(place->also[i], path, len)) return true;
    return false;
}

/* Every member is the SQL, listed, or on the way to such a one: so the depth is that of the configured paths. */
static bool take_members(struct reader *r, json_t *object, const char *prefix) {
    const char *key;
    json_t *value;
    char path[PATH_MAX_BYTES];
    json_object_foreach(object, key, value) {
        int n = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        bool fits = n > 0 && (size_t)n < sizeof path && strchr(key, '.') == NULL; /* "a.b" as one name is not b in a */
        size_t len = fits ? (size_t)n : 0;
        if (fits && strcmp(path, r->place->sql) == 0) {
            if (!take_sql(r->call, value, path)) return false;
        } else if (fits && listed(r->place->also, r->place->nalso, path)) {
            if (json_object_set(r->more, path, value) != 0) return say(r->call, API_READ_MALFORMED, "out of memory");
        } else if (fits && json_is_object(value) && on_the_way(r->place, path, len)) {
            if (!take_members(r, value, path)) return false;
        } else
            return say(r->call, API_READ_UNKNOWN, "the member \"%.*s\" is not one that this API is configured to take", SHOWN, key);
    }
    return true;
}

static bool take_place(const struct api_place *place, json_t *object, struct api_call *call) {
    struct reader r = {place, call, json_object()};
    bool ok = r.more != NULL ? take_members(&r, object, "") : say(call, API_READ_MALFORMED, "out of memory");
    if (ok && call->sql == NULL) ok = say(call, API_READ_MALFORMED, "the member \"%.80s\" with the SQL is missing", place->sql);
    if (ok && json_object_size(r.more) > 0 && (call->more = json_dumps(r.more, JSON_COMPACT | JSON_ENSURE_ASCII)) == NULL)
        ok = say(call, API_READ_MALFORMED, "out of memory");
    json_decref(r.more);
    return ok;
}

static bool parse(const char *body, size_t len, struct api_call *call) {
    json_error_t e;
    call->root = json_read(body, len, JSON_REJECT_DUPLICATES, &e);
    if (call->root == NULL) return say(call, API_READ_MALFORMED, "the body cannot be read as JSON: %.120s", e.text);
    if (json_is_array((json_t *)call->root))
        return say(call, API_READ_MALFORMED, "the body is an array; send one object, batches are not judged");
    return json_is_object((json_t *)call->root) || say(call, API_READ_MALFORMED, "the body must be a JSON object");
}

/* --- MCP --- */

/* A string or an integer (MCP, "Requests"). Kept also for a refusal, which is addressed to it. */
static bool take_id(const json_t *id, struct api_call *call) {
    if (id == NULL) return true;
    if (!json_is_string(id) && !json_is_integer(id)) return say(call, API_READ_MALFORMED, "id must be a string or an integer");
    size_t n = json_dumpb(id, call->id, API_ID_MAX, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    if (n == 0 || n > API_ID_MAX) {
        call->id[0] = '\0';
        return say(call, API_READ_MALFORMED, "id is too long");
    }
    call->id[n] = '\0';
    return true;
}

static bool take_name(const json_t *v, const char *what, char out[API_NAME_MAX + 1], struct api_call *call) {
    if (!json_is_string(v)) return say(call, API_READ_MALFORMED, "%s must be a string", what);
    if (json_string_length(v) > API_NAME_MAX || json_string_length(v) == 0)
        return say(call, API_READ_UNKNOWN, "%s is empty or too long", what);
    memcpy(out, json_string_value(v), json_string_length(v) + 1);
    return true;
}

static bool only(json_t *object, const char *const *names, size_t n, const char *where, struct api_call *call) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        (void)value;
        if (!listed(names, n, key)) return say(call, API_READ_UNKNOWN, "%s has the member \"%.*s\", which is not known", where, SHOWN, key);
    }
    return true;
}

static bool take_tool(const struct api_shape *shape, json_t *params, struct api_call *call) {
    static const char *const names[] = {"name", "arguments", "_meta"};
    if (call->id[0] == '\0') return say(call, API_READ_MALFORMED, "tools/call needs an id");
    if (!json_is_object(params)) return say(call, API_READ_MALFORMED, "params of tools/call must be an object");
    if (!only(params, names, sizeof names / sizeof *names, "params", call)) return false;
    if (!take_name(json_object_get(params, "name"), "the tool's name", call->tool, call)) return false;
    if (listed(shape->pass_tools, shape->npass_tools, call->tool)) {
        call->rc = API_READ_PASS;
        return true;
    }
    json_t *arguments = json_object_get(params, "arguments");
    for (size_t i = 0; i < shape->nplaces; i++) {
        if (strcmp(shape->places[i].tool, call->tool) != 0) continue;
        return json_is_object(arguments) ? take_place(&shape->places[i], arguments, call)
                                         : say(call, API_READ_MALFORMED, "arguments of %.80s must be an object", call->tool);
    }
    return say(call, API_READ_UNKNOWN, "the tool \"%.80s\" is not one that may be called here", call->tool);
}

static bool read_mcp(const struct api_shape *shape, struct api_call *call) {
    static const char *const names[] = {"jsonrpc", "id", "method", "params"};
    json_t *root = call->root, *version = json_object_get(root, "jsonrpc");
    if (!take_id(json_object_get(root, "id"), call) || !only(root, names, sizeof names / sizeof *names, "the message", call)) return false;
    if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
        return say(call, API_READ_MALFORMED, "jsonrpc must be \"2.0\"");
    if (!take_name(json_object_get(root, "method"), "method", call->method, call)) return false;
    if (strcmp(call->method, "tools/call") == 0) return take_tool(shape, json_object_get(root, "params"), call);
    if (!listed(shape->pass, shape->npass, call->method))
        return say(call, API_READ_UNKNOWN, "the method \"%.80s\" is not one that may be called here", call->method);
    call->rc = API_READ_PASS;
    return true;
}

static bool is_value(const json_t *v, const char *text, size_t len) {
    return json_is_string(v) && json_string_length(v) == len && memcmp(json_string_value(v), text, len) == 0;
}

bool api_headers_agree(const struct api_call *call, const char *method, size_t method_len, const char *name, size_t name_len) {
    const json_t *params = json_object_get(call->root, "params");
    if (method != NULL && !is_value(json_object_get(call->root, "method"), method, method_len)) return false;
    if (name == NULL || is_value(json_object_get(params, "name"), name, name_len)) return true;
    return strcmp(call->method, "tools/call") != 0 && is_value(json_object_get(params, "uri"), name, name_len);
}

void api_read(const struct api_shape *shape, const char *body, size_t len, struct api_call *call) {
    *call = (struct api_call){.rc = API_READ_SQL};
    bool ok = true;
    if (shape->form == API_TEXT) {
        call->sql = body;
        call->len = len;
    } else
        ok = parse(body, len, call) && (shape->form == API_MCP ? read_mcp(shape, call) : take_place(&shape->places[0], call->root, call));
    if (ok && call->rc == API_READ_SQL && call->len == 0) ok = say(call, API_READ_MALFORMED, "there is no SQL in the request");
    if (ok) return;
    call->sql = NULL;
    call->len = 0;
}

void api_call_free(struct api_call *call) {
    json_decref(call->root);
    free(call->more);
    *call = (struct api_call){0};
}
