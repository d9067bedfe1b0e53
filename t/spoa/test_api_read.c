/* The body of an HTTP request with SQL: what is found in it, and what is refused because two readers could read it differently. */
#include "spoa/api_read.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const also[] = {"format", "options.timeout", "query.lang"};
static const struct api_place flat_place = {NULL, "sql", also, 2}, deep_place = {NULL, "query.text", also, 3};
static const struct api_shape flat = {.form = API_JSON, .places = &flat_place, .nplaces = 1},
                              deep = {.form = API_JSON, .places = &deep_place, .nplaces = 1}, text = {.form = API_TEXT};
static const struct api_place tools[] = {{"run", "sql", also, 1}, {"nested", "input.sql", NULL, 0}};
static const char *const methods[] = {"ping", "initialize"}, *const pass_tools[] = {"list"};
static const struct api_shape mcp = {.form = API_MCP, tools, 2, methods, 2, pass_tools, 1};

/* Reads from memory that ends where the body ends. */
static struct api_call read_guarded(const struct api_shape *shape, const char *body, size_t len) {
    uint8_t *g = guard_copy(body, len);
    struct api_call c;
    api_read(shape, (const char *)g, len, &c);
    if (shape->form == API_TEXT) c.sql = c.sql != NULL ? body : NULL;
    guard_free(g, len);
    return c;
}

static void found(const struct api_shape *shape, const char *body, const char *sql, const char *more) {
    struct api_call c = read_guarded(shape, body, strlen(body));
    ck_assert_msg(c.rc == API_READ_SQL, "%s: %s", body, c.why);
    ck_assert_uint_eq(c.len, strlen(sql));
    ck_assert_int_eq(memcmp(c.sql, sql, c.len), 0);
    if (more == NULL)
        ck_assert_ptr_null(c.more);
    else
        ck_assert_str_eq(c.more, more);
    api_call_free(&c);
}

static void refused(const struct api_shape *shape, const char *body, enum api_read_rc rc) {
    struct api_call c = read_guarded(shape, body, strlen(body));
    ck_assert_msg(c.rc == rc, "%s: %d %s", body, c.rc, c.why);
    ck_assert_ptr_null(c.sql);
    ck_assert_uint_gt(strlen(c.why), 0);
    api_call_free(&c);
}

START_TEST(finds) {
    found(&text, "SELECT 1", "SELECT 1", NULL);
    found(&flat, "{\"sql\":\"SELECT 1\"}", "SELECT 1", NULL);
    found(&flat, " {\"\\u0073ql\" : \"a\\u00e9\\ud83d\\ude00\\n\" } ", "a\xc3\xa9\xf0\x9f\x98\x80\n", NULL);
    found(&flat, "{\"format\":{\"any\":[1]},\"sql\":\"x\",\"options\":{\"timeout\":2}}", "x",
          "{\"format\":{\"any\":[1]},\"options.timeout\":2}");
    found(&deep, "{\"query\":{\"lang\":\"sql\",\"text\":\"x\"}}", "x", "{\"query.lang\":\"sql\"}");
}
END_TEST

START_TEST(two_readings) {
    static const char *const malformed[] = {
        "",
        "null",
        "1",
        "\"SELECT 1\"",
        "[]",
        "[{\"sql\":\"x\"}]",
        "{\"sql\":\"x\",\"sql\":\"y\"}",
        "{\"sql\":\"x\",\"\\u0073ql\":\"y\"}",
        "{\"format\":{\"a\":1,\"a\":2},\"sql\":\"x\"}",
        "{\"sql\":\"x\"}{}",
        "{\"sql\":\"x\"} x",
        "\xef\xbb\xbf{\"sql\":\"x\"}",
        "{\"sql\":\"\\u0000\"}",
        "{\"sql\\u0000\":\"x\"}",
        "{\"sql\":\"\\ud800\"}",
        "{\"sql\":\"\xff\"}",
        "{\"sql\":\"\xed\xa0\x80\"}",
        "{\"sql\":\"a\nb\"}",
        "{\"sql\":\"x\",}",
        "{'sql':'x'}",
        "{\"sql\":\"x\",\"format\":NaN}",
        "{\"sql\":\"x\",\"format\":1e999}",
        "{\"sql\":\"x\"/**/}",
        "{\"sql\":1}",
        "{\"sql\":null}",
        "{\"sql\":[\"x\"]}",
        "{\"sql\":{\"sql\":\"x\"}}",
        "{\"sql\":\"\"}",
        "{}",
        "{\"format\":1}",
        "{\"sql\":\"x\"",
    };
    static const char *const unknown[] = {
        "{\"sql\":\"x\",\"SQL\":\"y\"}",
        "{\"sql\":\"x\",\"\\u017fql\":\"y\"}",
        "{\"Sql\":\"x\"}",
        "{\"sql\":\"x\",\"query\":\"y\"}",
        "{\"sql\":\"x\",\"\":\"y\"}",
        "{\"sql\":\"x\",\"options\":{\"sql\":\"y\"}}",
        "{\"sql\":\"x\",\"options\":2}",
        "{\"sql\":\"x\",\"options.timeout\":2}",
        "{\"sql\":\"x\",\"Options\":{\"timeout\":2}}",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) refused(&flat, malformed[i], API_READ_MALFORMED);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) refused(&flat, unknown[i], API_READ_UNKNOWN);
    refused(&deep, "{\"query.text\":\"x\"}", API_READ_UNKNOWN);
    refused(&deep, "{\"query\":\"x\"}", API_READ_UNKNOWN);
    refused(&deep, "{\"query\":{\"text\":\"x\",\"Text\":\"y\"}}", API_READ_UNKNOWN);
    refused(&text, "", API_READ_MALFORMED);
}
END_TEST

START_TEST(depth) {
    enum { LEVELS = 100000 };
    char *body = malloc(LEVELS + 32);
    ck_assert_ptr_nonnull(body);
    int n = sprintf(body, "{\"format\":");
    memset(body + n, '[', LEVELS);
    body[n + LEVELS] = '\0';
    refused(&flat, body, API_READ_MALFORMED);
    free(body);
}
END_TEST

#define MCP(rest)      "{\"jsonrpc\":\"2.0\"," rest "}"
#define CALL(params)   MCP("\"id\":1,\"method\":\"tools/call\",\"params\":{" params "}")
#define RUN(arguments) CALL("\"name\":\"run\",\"arguments\":{" arguments "}")

START_TEST(mcp_reads) {
    static const struct {
        const char *body, *id, *method, *tool, *sql; /* NULL: it passes */
    } cases[] = {
        {RUN("\"sql\":\"x\""), "1", "tools/call", "run", "x"},
        {RUN("\"sql\":\"x\",\"format\":1"), "1", "tools/call", "run", "x"},
        {CALL("\"_meta\":{\"progressToken\":1},\"name\":\"nested\",\"arguments\":{\"input\":{\"sql\":\"x\"}}"), "1", "tools/call", "nested",
         "x"},
        {CALL("\"name\":\"list\""), "1", "tools/call", "list", NULL},
        {MCP("\"id\":\"a\\r\\n\\u00e9\",\"method\":\"ping\""), "\"a\\r\\n\\u00E9\"", "ping", "", NULL},
        {MCP("\"method\":\"initialize\",\"params\":{\"any\":[]}"), "", "initialize", "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_call c = read_guarded(&mcp, cases[i].body, strlen(cases[i].body));
        ck_assert_msg(c.rc == (cases[i].sql != NULL ? API_READ_SQL : API_READ_PASS), "%s: %s", cases[i].body, c.why);
        ck_assert_str_eq(c.id, cases[i].id);
        ck_assert_str_eq(c.method, cases[i].method);
        ck_assert_str_eq(c.tool, cases[i].tool);
        if (cases[i].sql != NULL)
            ck_assert_str_eq(c.sql, cases[i].sql);
        else
            ck_assert_ptr_null(c.sql);
        api_call_free(&c);
    }
}
END_TEST

START_TEST(mcp_refuses) {
    static const struct {
        const char *body;
        enum api_read_rc rc;
    } cases[] = {
        {MCP("\"id\":1,\"method\":\"resources/read\""), API_READ_UNKNOWN},
        {MCP("\"id\":1,\"method\":\"Ping\""), API_READ_UNKNOWN},
        {MCP("\"id\":1,\"method\":\"\""), API_READ_UNKNOWN},
        {MCP("\"id\":1,\"method\":7"), API_READ_MALFORMED},
        {MCP("\"id\":1,\"method\":\"ping\",\"Method\":\"tools/call\""), API_READ_UNKNOWN},
        {MCP("\"id\":1,\"result\":{}"), API_READ_UNKNOWN},
        {MCP("\"id\":1"), API_READ_MALFORMED},
        {MCP("\"id\":null,\"method\":\"ping\""), API_READ_MALFORMED},
        {MCP("\"id\":1.0,\"method\":\"ping\""), API_READ_MALFORMED},
        {MCP("\"id\":{},\"method\":\"ping\""), API_READ_MALFORMED},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", API_READ_MALFORMED},
        {"{\"id\":1,\"method\":\"ping\"}", API_READ_MALFORMED},
        {"[" MCP("\"id\":1,\"method\":\"ping\"") "]", API_READ_MALFORMED},
        {MCP("\"method\":\"tools/call\",\"params\":{\"name\":\"list\"}"), API_READ_MALFORMED},
        {MCP("\"id\":1,\"method\":\"tools/call\""), API_READ_MALFORMED},
        {CALL(""), API_READ_MALFORMED},
        {CALL("\"name\":\"run\""), API_READ_MALFORMED},
        {CALL("\"name\":\"run\",\"arguments\":[\"x\"]"), API_READ_MALFORMED},
        {CALL("\"name\":\"Run\",\"arguments\":{\"sql\":\"x\"}"), API_READ_UNKNOWN},
        {CALL("\"name\":\"other\",\"arguments\":{\"sql\":\"x\"}"), API_READ_UNKNOWN},
        {CALL("\"name\":\"run\",\"arguments\":{\"sql\":\"x\"},\"Arguments\":{\"sql\":\"y\"}"), API_READ_UNKNOWN},
        {RUN("\"sql\":\"x\",\"search_path\":\"y\""), API_READ_UNKNOWN},
        {RUN("\"sql\":\"\""), API_READ_MALFORMED},
        {RUN(""), API_READ_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused(&mcp, cases[i].body, cases[i].rc);
    char body[512], id[201];
    memset(id, 'x', 200);
    id[200] = '\0';
    snprintf(body, sizeof body, MCP("\"id\":\"%s\",\"method\":\"ping\""), id);
    refused(&mcp, body, API_READ_MALFORMED);
}
END_TEST

START_TEST(mcp_headers) {
    static const struct {
        const char *body, *method, *name;
        bool ok;
    } cases[] = {
        {RUN("\"sql\":\"x\""), NULL, NULL, true},
        {RUN("\"sql\":\"x\""), "tools/call", "run", true},
        {RUN("\"sql\":\"x\""), "tools/list", "run", false},
        {RUN("\"sql\":\"x\""), "tools/call", "list", false},
        {RUN("\"sql\":\"x\""), "", NULL, false},
        {RUN("\"sql\":\"x\""), NULL, "", false},
        {MCP("\"id\":1,\"method\":\"ping\""), "ping", NULL, true},
        {MCP("\"id\":1,\"method\":\"ping\""), "ping", "run", false},
        {MCP("\"id\":1,\"method\":\"initialize\",\"params\":{\"uri\":\"a:b\"}"), "initialize", "a:b", true},
        {CALL("\"name\":\"list\",\"arguments\":{}"), "tools/call", "list", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_call c;
        const char *m = cases[i].method, *n = cases[i].name;
        api_read(&mcp, cases[i].body, strlen(cases[i].body), &c);
        bool ok = api_headers_agree(&c, m, m != NULL ? strlen(m) : 0, n, n != NULL ? strlen(n) : 0);
        ck_assert_msg(ok == cases[i].ok, "%s with %s and %s", cases[i].body, m, n);
        api_call_free(&c);
    }
}
END_TEST

START_TEST(content_types) {
    static const struct {
        const struct api_shape *shape;
        const char *type, *body;
        bool ok;
    } cases[] = {
        {&flat, "application/json", "{}", true},
        {&flat, "APPLICATION/JSON ; Charset=UTF-8", "{}", true},
        {&flat, "application/json;charset=\"utf-8\"", "{}", true},
        {&flat, "", "{}", false},
        {&flat, "application/json;", "{}", false},
        {&flat, "application/json; charset=utf-16", "{}", false},
        {&flat, "application/json; charset=utf-8x", "{}", false},
        {&flat, "application/json; charset=\"utf-8", "{}", false},
        {&flat, "application/json; charset=utf-8; a=b", "{}", false},
        {&flat, "application/json; a=b", "{}", false},
        {&flat, "application/jsonx", "{}", false},
        {&flat, "text/plain", "{}", false},
        {&mcp, "application/json", "{}", true},
        {&text, "", "x", true},
        {&text, "", "\xc3\xa9", false},
        {&text, "text/plain", "x", true},
        {&text, "text/plain", "\xc3\xa9", false},
        {&text, "text/plain; charset=utf-8", "\xc3\xa9", true},
        {&text, "application/sql;charset=utf-8", "\xc3\xa9", true},
        {&text, "text/html", "x", false},
        {&text, "application/json", "x", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *why = NULL;
        size_t len = strlen(cases[i].type);
        uint8_t *g = guard_copy(cases[i].type, len);
        bool ok = api_content_type(cases[i].shape, (const char *)g, len, cases[i].body, strlen(cases[i].body), &why);
        ck_assert_msg(ok == cases[i].ok, "%s with %s", cases[i].type, cases[i].body);
        ck_assert_ptr_nonnull(why);
        guard_free(g, len);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("api_read");
    TCase *t = tcase_create("api_read");
    tcase_add_test(t, finds);
    tcase_add_test(t, two_readings);
    tcase_add_test(t, depth);
    tcase_add_test(t, mcp_reads);
    tcase_add_test(t, mcp_refuses);
    tcase_add_test(t, mcp_headers);
    tcase_add_test(t, content_types);
    suite_add_tcase(s, t);
    return run_suite(s);
}
