/* The HTTP server's requests: whole, byte by byte, at the end of a page; and what is no request. */
#include "spoa/httpd.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    enum gh_rc rc;
    enum httpd_method method;
    const char *path;
} rows[] = {
    {"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", GH_OK, HTTPD_GET, "/metrics"},
    {"GET /healthz?verbose=1 HTTP/1.0\r\n\r\n", GH_OK, HTTPD_GET, "/healthz"},
    {"HEAD / HTTP/1.1\r\n\r\n", GH_OK, HTTPD_HEAD, "/"},
    {"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", GH_OK, HTTPD_POST, "/metrics"},
    {"GETX / HTTP/1.1\r\n\r\n", GH_OK, HTTPD_OTHER, "/"},
    {"GET /a b HTTP/1.1\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {"GET http://a/metrics HTTP/1.1\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {"GET /metrics HTTP/2.0\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {"GET /metrics\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {"GET /\x01 HTTP/1.1\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {" / HTTP/1.1\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {"\r\n\r\n", GH_MALFORMED, HTTPD_OTHER, ""},
    {"GET / HTTP/1.1\n\n", GH_NEED_MORE, HTTPD_OTHER, ""},
};

START_TEST(requests) {
    const char *text = rows[_i].text;
    size_t len = strlen(text), head = strstr(text, "\r\n\r\n") != NULL ? (size_t)(strstr(text, "\r\n\r\n") - text) + 4 : len;
    struct httpd_request r;
    for (size_t n = 0; n < head; n++) {
        uint8_t *p = guard_copy(text, n);
        ck_assert_int_eq(httpd_parse(p, n, HTTPD_HEAD_MAX, &r), GH_NEED_MORE);
        guard_free(p, n);
    }
    uint8_t *p = guard_copy(text, len);
    ck_assert_int_eq(httpd_parse(p, len, HTTPD_HEAD_MAX, &r), rows[_i].rc);
    if (rows[_i].rc == GH_OK) {
        ck_assert_int_eq(r.method, rows[_i].method);
        ck_assert_uint_eq(r.path_len, strlen(rows[_i].path));
        ck_assert_mem_eq(r.path, rows[_i].path, r.path_len);
    }
    guard_free(p, len);
}
END_TEST

START_TEST(too_long) {
    char text[HTTPD_HEAD_MAX];
    struct httpd_request r;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    ck_assert_int_eq(httpd_parse(text, sizeof text - 1, HTTPD_HEAD_MAX, &r), GH_NEED_MORE);
    ck_assert_int_eq(httpd_parse(text, sizeof text, HTTPD_HEAD_MAX, &r), GH_LIMIT);
}
END_TEST

static const struct {
    const char *fields, *name, *value; /* value NULL: not taken */
} fields[] = {
    {"Authorization: Bearer a.b.c\r\n", "authorization", "Bearer a.b.c"},
    {"Host: x\r\nAUTHORIZATION:\t a \t\r\n", "authorization", "a"},
    {"Authorization: a\r\nauthorization: b\r\n", "authorization", NULL},
    {"Authorization : a\r\n", "authorization", NULL},
    {"X-Authorization: a\r\n", "authorization", NULL},
    {"X: 1\r\n Authorization: a\r\n", "authorization", NULL},
    {"Authorization:\r\n", "authorization", ""},
    {"", "authorization", NULL},
};

START_TEST(field_values) {
    char text[300];
    const char *v = "";
    size_t len = 0;
    struct httpd_request r;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", fields[_i].fields);
    uint8_t *p = guard_copy(text, (size_t)n);
    ck_assert_int_eq(httpd_parse(p, (size_t)n, HTTPD_HEAD_MAX, &r), GH_OK);
    ck_assert_uint_eq(r.head_len, (size_t)n);
    ck_assert_int_eq(httpd_field(&r, fields[_i].name, &v, &len), fields[_i].value != NULL);
    if (fields[_i].value != NULL)
        ck_assert_msg(len == strlen(fields[_i].value) && memcmp(v, fields[_i].value, len) == 0, "%.*s", (int)len, v);
    guard_free(p, (size_t)n);
}
END_TEST

static const struct {
    const char *fields;
    enum gh_rc rc;
    size_t len;
} bodies[] = {
    {"Content-Length: 0\r\n", GH_OK, 0},
    {"content-length: 65536\r\n", GH_OK, 65536},
    {"Content-Length: 65537\r\n", GH_LIMIT, 0},
    {"Content-Length: 99999999999999999999999999\r\n", GH_LIMIT, 0},
    {"Content-Length: 1\r\nContent-Length: 1\r\n", GH_MALFORMED, 0},
    {"Content-Length: +1\r\n", GH_MALFORMED, 0},
    {"Content-Length: 1, 1\r\n", GH_MALFORMED, 0},
    {"Content-Length:\r\n", GH_MALFORMED, 0},
    {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", GH_MALFORMED, 0},
    {"Transfer-Encoding: chunked\r\n", GH_MALFORMED, 0},
    {"", GH_MALFORMED, 0},
};

START_TEST(body_lengths) {
    char text[300];
    size_t len;
    struct httpd_request r;
    int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\n%s\r\n", bodies[_i].fields);
    ck_assert_int_eq(httpd_parse(text, (size_t)n, HTTPD_HEAD_MAX, &r), GH_OK);
    ck_assert_int_eq(httpd_body_len(&r, &len), bodies[_i].rc);
    if (bodies[_i].rc == GH_OK) ck_assert_uint_eq(len, bodies[_i].len);
}
END_TEST

START_TEST(params) {
    static const char text[] = "GET /a?after=x1&limit=&all=1&after=y HTTP/1.1\r\n\r\n";
    struct httpd_request r;
    const char *v;
    size_t len;
    ck_assert_int_eq(httpd_parse(text, sizeof text - 1, HTTPD_HEAD_MAX, &r), GH_OK);
    ck_assert(httpd_param(&r, "after", &v, &len) && len == 2 && memcmp(v, "x1", 2) == 0);
    ck_assert(httpd_param(&r, "limit", &v, &len) && len == 0);
    ck_assert(!httpd_param(&r, "al", &v, &len));
    ck_assert(!httpd_param(&r, "fter", &v, &len));
}
END_TEST

static const struct {
    const char *text, *value; /* of x; value NULL: not taken */
} forms[] = {
    {"x=a", "a"},
    {"w=1&x=a+b%20c%2B%26&z", "a b c+&"},
    {"x=", ""},
    {"x=%C3%A4", "\xc3\xa4"},
    {"", NULL},
    {"y=a", NULL},
    {"xx=a&x", NULL},
    {"x=a&x=a", NULL},
    {"x=%", NULL},
    {"x=%4", NULL},
    {"x=%4g", NULL},
    {"x=a%00b", NULL},
    {"x=%ff", NULL},
    {"x=12345678", NULL}, /* too long */
    {"x=%31%32%33%34%35%36%37", "1234567"},
    {";x=a", NULL},
};

START_TEST(form_values) {
    char out[8];
    size_t len = strlen(forms[_i].text);
    uint8_t *p = guard_copy(forms[_i].text, len);
    bool ok = httpd_form((const char *)p, len, "x", out, sizeof out);
    ck_assert_int_eq(ok, forms[_i].value != NULL);
    ck_assert_str_eq(out, ok ? forms[_i].value : "");
    guard_free(p, len);
}
END_TEST

static const struct {
    const char *fields, *value; /* of the cookie x */
} cookies[] = {
    {"Cookie: x=1\r\n", "1"},
    {"Cookie: a=2; x=1; b=3\r\n", "1"},
    {"Cookie: a=2;x=1\r\n", "1"},
    {"Cookie: x=a=b\r\n", "a=b"},
    {"Cookie: xx=1\r\n", NULL},
    {"Cookie: x=1; x=2\r\n", NULL}, /* somebody else may have set one of them */
    {"Cookie: x=1\r\nCookie: y=2\r\n", NULL},
    {"Cookie: x=12345678\r\n", NULL},
    {"Cookie: x\r\n", NULL},
    {"Cookies: x=1\r\n", NULL},
};

START_TEST(cookie_values) {
    char text[300], out[8];
    struct httpd_request r;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", cookies[_i].fields);
    ck_assert_int_eq(httpd_parse(text, (size_t)n, HTTPD_HEAD_MAX, &r), GH_OK);
    bool ok = httpd_cookie(&r, "x", out, sizeof out);
    ck_assert_int_eq(ok, cookies[_i].value != NULL);
    ck_assert_str_eq(out, ok ? cookies[_i].value : "");
    ck_assert(httpd_has_field(&r, "cookie") == (strstr(cookies[_i].fields, "Cookie:") != NULL));
}
END_TEST

int main(void) {
    Suite *s = suite_create("httpd");
    TCase *t = tcase_create("httpd");
    tcase_add_loop_test(t, requests, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_test(t, too_long);
    tcase_add_loop_test(t, field_values, 0, (int)(sizeof fields / sizeof *fields));
    tcase_add_loop_test(t, body_lengths, 0, (int)(sizeof bodies / sizeof *bodies));
    tcase_add_test(t, params);
    tcase_add_loop_test(t, form_values, 0, (int)(sizeof forms / sizeof *forms));
    tcase_add_loop_test(t, cookie_values, 0, (int)(sizeof cookies / sizeof *cookies));
    suite_add_tcase(s, t);
    return run_suite(s);
}
