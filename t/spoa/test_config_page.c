/* page of gatehouse.yaml: what is read of it, and mistakes at their places. */
#include <config.h>

#include "spoa/config.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char HEAD[] = "version: 1\n"
                           "node: gh1\n"
                           "spop: { socket: s.sock, peers: [root] }\n"
                           "payload: { socket: p.sock, peers: [root] }\n"
                           "policy: policy.yaml\n"
                           "databases: { shop: { engine: postgresql, upstream: { socket: /run/pg.sock, user: gate } } }\n"
                           "audit: { journal: journal }\n"
                           "redis: { host: localhost }\n"
                           "identity:\n"
                           "  issuers:\n"
                           "    - { issuer: \"https://idp.example\", audience: gatehouse, discovery: true, required_claims: { tid: t1 } }\n"
                           "    - { issuer: \"http://127.0.0.1:9\", audience: gatehouse, discovery: true, allow_http: true }\n"
                           "page:\n";              /* 13 */
static const char DOOR[] = "  socket: page.sock\n" /* 14 */
                           "  peers: [root]\n";
static const char URL[] = "  url: https://approve.example:8444\n"; /* 16 */
static const char SIGN_IN[] = "  sign_in:\n"                       /* 17 */
                              "    issuer: https://idp.example\n"
                              "    client_id: page\n"; /* 19 */

static char dir[64], path[96];

static void put(const char *name, const char *a, const char *b, const char *c, const char *d, const char *e) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", dir, name);
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fprintf(f, "%s%s%s%s%s", a, b, c, d, e), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(file, 0600), 0);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/gh-config.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/gatehouse.yaml", dir);
    put("secret", "s3cret\n", "", "", "", "");
}

static void teardown(void) {
    char file[128];
    unlink(path);
    snprintf(file, sizeof file, "%s/secret", dir);
    unlink(file);
    rmdir(dir);
}

static struct conf *load(const char *door, const char *url, const char *sign_in, const char *more, struct pol_error *err) {
    put("gatehouse.yaml", HEAD, door, url, sign_in, more);
    *err = (struct pol_error){0};
    return conf_load(path, err);
}

START_TEST(what_is_read) {
    struct pol_error err;
    struct conf *c = load(DOOR, URL, SIGN_IN,
                          "    client_secret_file: secret\n"
                          "    client_auth: post\n"
                          "    scope: openid groups\n"
                          "    session: 2h\n"
                          "    idle: 5m\n"
                          "    timeout: 3s\n",
                          &err);
    ck_assert_msg(c != NULL, "%u:%u: %s", err.line, err.column, err.text);
    const struct conf_page *p = &c->page;
    ck_assert_str_eq(p->url, "https://approve.example:8444");
    ck_assert_str_eq(p->host, "approve.example:8444");
    ck_assert_str_eq(p->redirect_uri, "https://approve.example:8444/callback");
    ck_assert_str_eq(p->client_id, "page");
    ck_assert_str_eq(p->client_secret, "s3cret");
    ck_assert(p->secret_post);
    ck_assert_str_eq(p->scope, "openid groups");
    ck_assert_uint_eq(p->session_ms, 7200000);
    ck_assert_uint_eq(p->idle_ms, 300000);
    ck_assert_uint_eq(p->provider.timeout_ms, 3000);
    ck_assert_str_eq(p->provider.issuer, "https://idp.example");
    ck_assert_uint_eq(p->id.nrequired, 1);
    ck_assert_ptr_nonnull(p->id.source);
    conf_free(c);
    c = load(DOOR, "  url: https://approve.example\n", SIGN_IN, "    required_claims: { hd: shop.example, acr: [a, b] }\n", &err);
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->page.host, "approve.example");
    ck_assert_uint_eq(c->page.id.nrequired, 2);
    ck_assert_uint_eq(c->jwt.issuers[0].nrequired, 1); /* tokens of databases are as before */
    ck_assert_ptr_null(c->page.client_secret);
    ck_assert_str_eq(c->page.scope, "openid");
    conf_free(c);
    c = load(DOOR, URL, "", "", &err); /* only the API */
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_null(c->page.client_id);
    conf_free(c);
}
END_TEST

START_TEST(restart_keys) {
    struct pol_error err;
    char keys[256];
    struct conf *a = load(DOOR, URL, SIGN_IN, "", &err), *b = load(DOOR, "  url: https://other.example\n", SIGN_IN, "    idle: 2m\n", &err),
                *c = load("  socket: other.sock\n  peers: [root]\n", URL, SIGN_IN, "", &err);
    ck_assert(a != NULL && b != NULL && c != NULL);
    conf_restart_keys(a, b, keys, sizeof keys);
    ck_assert_str_eq(keys, "");
    conf_restart_keys(a, c, keys, sizeof keys);
    ck_assert_str_eq(keys, "page");
    conf_free(a);
    conf_free(b);
    conf_free(c);
}
END_TEST

static const struct {
    const char *door, *url, *sign_in, *more;
    unsigned line;
    const char *says;
} mistakes[] = {
    {"  peers: [root]\n", URL, "", "", 14, "\"socket\" is missing"},
    {"  socket: page.sock\n", URL, "", "", 14, "\"peers\" is missing"},
    {"  socket: p.sock\n  peers: [root]\n", URL, "", "", 14, "another door"},
    {"  socket: page.sock\n  peers: []\n", URL, "", "", 15, "nobody"},
    {DOOR, "  more: 1\n", "", "", 16, "unknown key"},
    {DOOR, "", "", "", 14, "\"url\" is missing"},
    {DOOR, "  url: http://approve.example\n", "", "", 16, "https://"},
    {DOOR, "  url: https://approve.example/\n", "", "", 16, "without a path"},
    {DOOR, "  url: https://approve.example:443\n", "", "", 16, ":443"},
    {DOOR, "  url: https://Approve.example\n", "", "", 16, "as browsers write it"},
    {DOOR, "  url: https://user@approve.example\n", "", "", 16, "as browsers write it"},
    {DOOR, "  url: \"https://a\\r\\nX: y\"\n", "", "", 16, "as browsers write it"},
    {DOOR, "  url: https://\n", "", "", 16, "https://"},
    {DOOR, URL, "  sign_in: {}\n", "", 17, "\"issuer\" is missing"},
    {DOOR, URL, "  sign_in: { issuer: \"https://idp.example\" }\n", "", 17, "\"client_id\" is missing"},
    {DOOR, URL, "  sign_in: { issuer: \"https://idp.example/\", client_id: x }\n", "", 17, "none of identity.issuers"},
    {DOOR, URL, "  sign_in: { issuer: \"http://127.0.0.1:9\", client_id: x, allow_http: false }\n", "", 17, "https://"},
    {DOOR, URL, SIGN_IN, "    scope: groups\n", 20, "begin with openid"},
    {DOOR, URL, SIGN_IN, "    scope: openidgroups\n", 20, "begin with openid"},
    {DOOR, URL, SIGN_IN, "    client_secret: x\n", 20, "unknown key"},
    {DOOR, URL, SIGN_IN, "    client_secret_file: nowhere\n", 20, "nowhere"},
    {DOOR, URL, SIGN_IN, "    client_auth: basic\n", 20, "needs client_secret_file"},
    {DOOR, URL, SIGN_IN, "    client_secret_file: secret\n    client_auth: jwt\n", 21, "basic"},
    {DOOR, URL, SIGN_IN, "    ca_file: nowhere.pem\n", 20, "nowhere.pem"},
    {DOOR, URL, SIGN_IN, "    session: 0\n", 20, ""},
    {DOOR, URL, SIGN_IN, "    session: 25h\n", 20, ""},
    {DOOR, URL, SIGN_IN, "    idle: 1s\n", 20, ""},
    {DOOR, URL, SIGN_IN, "    timeout: 21s\n", 20, ""},
    {DOOR, URL, SIGN_IN, "    required_claims: { hd: [] }\n", 20, "no value"},
    {DOOR, URL, SIGN_IN, "    identity_from: userinfo\n", 20, "access_token"},
    {DOOR, URL, SIGN_IN, "    parameters: { state: x }\n", 20, "gatehouse's own"},
    {DOOR, URL, SIGN_IN, "    parameters: { \"a&b\": x }\n", 20, "parameter's name"},
    {DOOR, URL, SIGN_IN, "    parameters: []\n", 20, "a map"},
};

START_TEST(mistake) {
    struct pol_error err;
    struct conf *c = load(mistakes[_i].door, mistakes[_i].url, mistakes[_i].sign_in, mistakes[_i].more, &err);
    ck_assert_ptr_null(c);
    ck_assert_msg(err.line == mistakes[_i].line && strstr(err.text, mistakes[_i].says) != NULL, "%d: %u:%u: %s: %s", _i, err.line,
                  err.column, err.key, err.text);
}
END_TEST

int main(void) {
    Suite *s = suite_create("config_page");
    TCase *t = tcase_create("config_page");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_read);
    tcase_add_test(t, restart_keys);
    tcase_add_loop_test(t, mistake, 0, (int)(sizeof mistakes / sizeof *mistakes));
    suite_add_tcase(s, t);
    return run_suite(s);
}
