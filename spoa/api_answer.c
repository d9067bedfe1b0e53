/* The ACK of a statement: variables for HAProxy's rules and log, and a body that it can return as it is. */
#include "spoa/api_int.h"

#include "spoa/door.h"
#include "spoa/json_read.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ACTIONS 16

/* The HTTP status of a refusal. */
static const char *status_of(const struct pol_verdict *v) {
    static const struct {
        const char *prefix, *status;
    } table[] = {
        {"28P01", "401"}, {"42601", "400"}, {"22", "400"}, {"08P01", "400"}, {"54", "413"}, {"53", "503"}, {"57", "503"}, {"XX", "500"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strncmp(v->sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0) return table[i].status;
    return "403";
}

/* A value that somebody will put into a header: on one line, whatever names the statement held. */
static struct spop_value one_line(const char *text, char *out, size_t size) {
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < size; n++) out[n] = (unsigned char)text[n] < ' ' || text[n] == 0x7f ? ' ' : text[n];
    while (n > 0 && text[n] != '\0' && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* not in the middle of a character */
    out[n] = '\0';
    return spop_str(out);
}

static void put(json_t *o, const char *name, const char *value) {
    if (value != NULL && value[0] != '\0') json_object_set_new(o, name, json_string(value));
}

static bool allows(const struct api_ask *a) { return a->verdict.effect == POL_ALLOW || a->observed; }

/* A rule asks, and the request waits: "ask" tells the client to come back. */
static const char *verdict_of(const struct api_ask *a) { return allows(a) ? "allow" : a->waits ? "ask" : "deny"; }

static void expiry(const struct api_ask *a, char out[32]) {
    time_t at = (time_t)(a->expires_ms / 1000);
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static bool rewritten(const struct api_ask *a) { return a->rewrite != NULL && a->rewrite->sql != NULL; }

static json_t *plain_body(const struct api_ask *a) {
    const struct pol_verdict *v = &a->verdict;
    json_t *o = json_object();
    char expires[32];
    put(o, "verdict", verdict_of(a));
    put(o, "sqlstate", allows(a) ? "00000" : v->sqlstate);
    put(o, "rule", v->rule);
    if (!allows(a)) {
        put(o, "message", v->message);
        put(o, "detail", v->detail);
        put(o, "hint", v->hint);
    }
    put(o, "approval", a->approval);
    if (a->waits) {
        expiry(a, expires);
        put(o, "expires", expires);
    }
    if (a->session != NULL) {
        put(o, "principal", a->session->who->principal);
        put(o, "session", a->session->id);
        json_object_set_new(o, "id", json_integer((json_int_t)a->id));
    }
    if (!allows(a) || !a->plain) return o;
    bool other = rewritten(a);
    json_object_set_new(o, "sql", other ? json_stringn(a->rewrite->sql, a->rewrite->len) : json_stringn(a->call.sql, a->call.len));
    json_object_set_new(o, "rewritten", json_boolean(other));
    return o;
}

/* What a model reads: a tool's result that says what failed (MCP, "Tools", "Error Handling"). */
static json_t *tool_result(const struct pol_verdict *v) {
    char text[sizeof v->message + sizeof v->detail + sizeof v->hint + 320];
    int n = snprintf(text, sizeof text, "ERROR %s: %s", v->sqlstate, v->message);
    const struct { const char *label, *value; } lines[] = {{"DETAIL", v->detail}, {"HINT", v->hint}, {"RULE", v->rule}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (lines[i].value[0] != '\0' && n > 0 && (size_t)n < sizeof text)
            n += snprintf(text + n, sizeof text - (size_t)n, "\n%s: %s", lines[i].label, lines[i].value);
    return json_pack("{s:s, s:[{s:s, s:s}], s:b}", "resultType", "complete", "content", "type", "text", "text", text, "isError", 1);
}

static json_t *mcp_body(const struct api_ask *a) {
    json_t *id = a->call.id[0] != '\0' ? json_read(a->call.id, strlen(a->call.id), JSON_DECODE_ANY, NULL) : json_null();
    if (a->call.id[0] != '\0' && strcmp(a->call.method, "tools/call") == 0)
        return json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "id", id, "result", tool_result(&a->verdict));
    /* JSON-RPC 2.0, section 5.1 */
    int code = a->call.rc == API_READ_UNKNOWN ? -32601 : -32600;
    return json_pack("{s:s, s:o, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", code, "message", a->verdict.message);
}

static enum spop_ack_rc send_answer(struct api_ask *a) {
    const struct pol_verdict *v = &a->verdict;
    char reason[512], detail[768], hint[768], rule[256], principal[256], id[24], expires[32];
    bool allow = allows(a), mcp = !allow && a->mcp && a->call.rc != 0 && strcmp(status_of(v), "401") != 0;
    json_t *body = allow && !a->plain ? NULL : mcp ? mcp_body(a) : plain_body(a);
    char *answer = body == NULL ? NULL : json_dumps(body, JSON_COMPACT | JSON_ENSURE_ASCII);
    const char *status = allow || (mcp && a->call.id[0] != '\0') ? "200" : status_of(v);
    struct spop_action actions[ACTIONS];
    size_t n = 0;
    json_decref(body);
    snprintf(id, sizeof id, "%llu", (unsigned long long)a->id);
#define SET(variable, text) actions[n++] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, variable, text}
    SET("status", spop_str(status));
    SET("sqlstate", spop_str(allow ? "00000" : v->sqlstate));
    SET("rule", one_line(v->rule, rule, sizeof rule));
    SET("reason", one_line(allow ? "" : v->message, reason, sizeof reason));
    SET("detail", one_line(allow ? "" : v->detail, detail, sizeof detail));
    SET("hint", one_line(allow ? "" : v->hint, hint, sizeof hint));
    if (a->session != NULL) {
        SET("principal", one_line(a->session->who->principal, principal, sizeof principal));
        SET("session", spop_str(a->session->id));
        SET("id", spop_str(id));
    }
    if (a->approval[0] != '\0') SET("approval", spop_str(a->approval));
    if (a->waits) {
        expiry(a, expires);
        SET("expires", spop_str(expires));
    }
    if (answer != NULL) SET("answer", spop_str(answer));
    SET("rewritten", spop_str(rewritten(a) ? "yes" : "no"));
    if (allow && rewritten(a))
        SET("sql", ((struct spop_value){.type = SPOP_STRING, .data = (const uint8_t *)a->rewrite->sql, .len = a->rewrite->len}));
    else if (allow && a->call.sql != NULL)
        SET("sql", ((struct spop_value){.type = SPOP_STRING, .data = (const uint8_t *)a->call.sql, .len = a->call.len}));
    /* Last: HAProxy sets the variables of an ACK in order, also of one that turns out to be cut off. */
    SET("verdict", spop_str(verdict_of(a)));
#undef SET
    enum spop_ack_rc rc = door_spop_answer(a->conn, a->stream, a->frame, actions, n);
    free(answer);
    return rc;
}

bool api_answer(struct api_ask *a) {
    if (a->conn == NULL) return true;
    struct spop_conn *conn = a->conn;
    enum spop_ack_rc rc = send_answer(a);
    if (rc != SPOP_ACK_TOO_BIG) {
        if (rc != SPOP_ACK_OK) log_event(LOG_ERROR, "spop.ack", "reason", "closed", NULL);
        return true;
    }
    bool allowed = allows(a);
    log_event(LOG_ERROR, "spop.ack", "reason", "frame too small: raise tune.bufsize in HAProxy", NULL);
    stmt_deny(&a->verdict, "54000", "the answer does not fit into one frame to HAProxy", "Send a shorter statement.");
    a->observed = a->waits = false;
    if (send_answer(a) == SPOP_ACK_TOO_BIG) {
        const struct spop_action last = {SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str("deny")};
        door_spop_answer(conn, a->stream, a->frame, &last, 1);
    }
    return !allowed;
}
