/* gatehouse.yaml: what is read, and that every mistake is reported at its place. */
#include <config.h>

#include "spoa/config.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char BASE[] = "version: 1\n"                                                         /* 1 */
                           "node: gh1\n"                                                          /* 2 */
                           "spop: { socket: s.sock, owner: root, peers: [root] }\n"               /* 3 */
                           "payload: { socket: /run/p.sock, mode: \"0660\", peers: [root, 7] }\n" /* 4 */
                           "policy: policy.yaml\n"                                                /* 5 */
                           "identity:\n"                                                          /* 6 */
                           "  issuers:\n"                                                         /* 7 */
                           "    - issuer: https://idp.example\n"                                  /* 8 */
                           "      audience: [gatehouse]\n"                                        /* 9 */
                           "      jwks_file: jwks.json\n"                                         /* 10 */
                           "databases:\n"                                                         /* 11 */
                           "  shop:\n"                                                            /* 12 */
                           "    engine: postgresql\n"                                             /* 13 */
                           "    upstream: { host: 127.0.0.1, user: gate, password_file: pw }\n"   /* 14 */
                           "    search_path: [public, 'od\"d']\n"                                 /* 15 */
                           "    settings: { TimeZone: UTC }\n"                                    /* 16 */
                           "audit: { journal: journal, timeout: 3s }\n"                           /* 17 */
                           "redis: { host: localhost }\n"                                         /* 18 */
                           "limits: { sessions: 10, idle: 0 }\n";                                 /* 19 */

static const char JWKS[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\","
                           "\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\",\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}]}";

static char dir[64], path[96];

static void put(const char *name, const char *text, mode_t mode) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", dir, name);
    unlink(file);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, mode);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/gh-config.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/gatehouse.yaml", dir);
    put("jwks.json", JWKS, 0644);
    put("pw", "s3cret\n", 0600);
}

static void teardown(void) {
    static const char *const names[] = {"gatehouse.yaml", "jwks.json", "pw"};
    char file[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(file, sizeof file, "%s/%s", dir, names[i]);
        unlink(file);
    }
    rmdir(dir);
}

/* BASE with the first old replaced by new (old NULL: new is appended). */
static void write_config(const char *old, const char *new) {
    char text[4096];
    const char *at = old != NULL ? strstr(BASE, old) : BASE + strlen(BASE);
    ck_assert_ptr_nonnull(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - BASE), BASE, new, old != NULL ? at + strlen(old) : "");
    put("gatehouse.yaml", text, 0644);
}

START_TEST(values) {
    struct pol_error err = {0};
    char file[128];
    write_config(NULL, "");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%s:%u:%u: %s", err.file, err.line, err.column, err.text);
    ck_assert_str_eq(c->node, "gh1");
    ck_assert_uint_eq(c->threads, 2);
    ck_assert_uint_eq(c->ticket_ttl_ms, 10000);
    snprintf(file, sizeof file, "%s/s.sock", dir);
    ck_assert_str_eq(c->spop.socket, file);
    ck_assert(c->spop.has_owner);
    ck_assert_uint_eq(c->spop.mode, 0600);
    ck_assert_str_eq(c->payload.socket, "/run/p.sock");
    ck_assert(!c->payload.has_owner);
    ck_assert_uint_eq(c->payload.mode, 0660);
    ck_assert_uint_eq(c->payload.npeers, 2);
    ck_assert_uint_eq(c->payload.peers[1], 7);
    ck_assert_uint_eq(c->jwt.nissuers, 1);
    ck_assert_uint_eq(c->jwt.issuers[0].algs, JWT_RS256 | JWT_ES256);
    ck_assert_uint_eq(c->jwt.issuers[0].leeway, JWT_LEEWAY_DEFAULT);
    ck_assert_uint_eq(jwks_count(c->jwt.issuers[0].keys), 1);
    const struct conf_database *d = conf_database(c, "shop");
    ck_assert_ptr_nonnull(d);
    ck_assert_ptr_null(conf_database(c, "other"));
    ck_assert_str_eq(d->where, "127.0.0.1:5432");
    ck_assert_uint_eq(d->naddrs, 1);
    ck_assert_str_eq(d->database, "shop");
    ck_assert_str_eq(d->user, "gate");
    ck_assert_str_eq(d->password, "s3cret");
    ck_assert(!d->allow_cleartext);
    ck_assert_str_eq(d->search_path_text, "\"public\", \"od\"\"d\"");
    ck_assert_str_eq(d->settings[0].value, "UTC");
    ck_assert_int_eq(c->ledger.mode, LED_STRICT);
    ck_assert_uint_eq(c->ledger.timeout_ms, 3000);
    ck_assert_uint_eq(c->ledger.redis_port, 6379);
    ck_assert_uint_eq(c->limits.sessions, 10);
    ck_assert_uint_eq(c->limits.idle_ms, 0);
    ck_assert_uint_eq(c->limits.statement, 16u << 20);
    conf_free(c);
}
END_TEST

START_TEST(unix_upstream) {
    struct pol_error err = {0};
    write_config("{ host: 127.0.0.1, user: gate, password_file: pw }", "{ socket: /run/pg/.s.PGSQL.5432, user: gate, database: d }");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    ck_assert_str_eq(c->databases[0].database, "d");
    ck_assert_str_eq(c->databases[0].password, "");
    ck_assert(c->databases[0].allow_cleartext);
    ck_assert_int_eq(c->databases[0].addrs[0].ss.ss_family, AF_UNIX);
    conf_free(c);
}
END_TEST

struct mistake {
    const char *old, *new;
    unsigned line, column;
    const char *text;
};
static const struct mistake mistakes[] = {
    {NULL, "bogus: 1\n", 20, 1, "unknown key"},
    {NULL, "node: again\n", 20, 1, "node"},
    {"version: 1\n", "", 1, 1, "\"version\" is missing"},
    {"version: 1", "version: 2", 1, 10, "1"},
    {"node: gh1", "node: \"gh 1\"", 2, 7, "letters, digits"},
    {"node: gh1", "node: [gh1]", 2, 7, ""},
    {"owner: root", "owner: no-such-user", 3, 32, "no user \"no-such-user\""},
    {"peers: [root] }", "peers: [] }", 3, 45, "nobody"},
    {", peers: [root] }", " }", 3, 7, "\"peers\" is missing"},
    {"\"0660\"", "\"0666\"", 4, 39, "every user"},
    {"\"0660\"", "rw", 4, 39, "not a mode"},
    {"socket: /run/p.sock", "socket: s.sock", 4, 10, "the socket of spop"},
    {"issuer: https://idp.example", "issuer: \"\"", 8, 15, "empty"},
    {"audience: [gatehouse]", "audience: []", 9, 17, "audience"},
    {"jwks_file: jwks.json", "jwks_file: none.json", 10, 18, "none.json"},
    {"jwks_file: jwks.json", "jwks_file: jwks.json\n      algorithms: [HS256]", 11, 19, "RS256 or ES256"},
    {"engine: postgresql", "engine: oracle", 13, 13, "postgresql"},
    {"host: 127.0.0.1, ", "", 14, 15, "host or socket"},
    {"host: 127.0.0.1", "host: 127.0.0.1, socket: /x", 14, 15, "host or socket"},
    {"user: gate, ", "", 14, 15, "\"user\" is missing"},
    {"host: 127.0.0.1", "host: 127.0.0.1, port: 70000", 14, 40, "65535"},
    {"password_file: pw", "password_file: nothing", 14, 61, "cannot open"},
    {"[public, 'od\"d']", "[\"$user\", public]", 15, 18, "$user"},
    {"[public, 'od\"d']", "[pg_catalog]", 15, 18, "pg_catalog"},
    {"{ TimeZone: UTC }", "{ Search_Path: x }", 16, 17, "gatehouse itself"},
    {"{ TimeZone: UTC }", "[UTC]", 16, 15, "map"},
    {"timeout: 3s", "timeout: 3", 17, 37, ""},
    {"journal: journal, ", "", 17, 8, "\"journal\" is missing"},
    {"{ host: localhost }", "{ }", 18, 8, "socket or host"},
    {"{ host: localhost }", "{ host: localhost, user: u }", 18, 33, "password_file"},
    {"sessions: 10", "sessions: 0", 19, 21, ""},
    {"sessions: 10", "sesions: 10", 19, 11, "sessions"},
    {"limits:", "user: no-such-user\nlimits:", 19, 7, "no user"},
    {"limits:", "group: root\nlimits:", 19, 8, "a user too"},
};

START_TEST(reports) {
    const struct mistake *m = &mistakes[_i];
    struct pol_error err = {0};
    write_config(m->old, m->new);
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c == NULL, "case %d: accepted: %s", _i, m->new);
    ck_assert_msg(strcmp(err.file, path) == 0, "case %d: file %s", _i, err.file);
    ck_assert_msg(err.line == m->line && err.column == m->column, "case %d (%s): at %u:%u, not %u:%u: %s", _i, m->new, err.line, err.column,
                  m->line, m->column, err.text);
    ck_assert_msg(strstr(err.text, m->text) != NULL, "case %d: \"%s\" is not in: %s", _i, m->text, err.text);
}
END_TEST

START_TEST(secret_files) {
    static const struct {
        const char *text;
        mode_t mode;
        const char *why;
    } cases[] = {{"x\n", 0640, "chmod 600"}, {"x\n", 0604, "chmod 600"}, {"", 0600, "empty"}, {"\n", 0600, "empty"}};
    struct pol_error err = {0};
    write_config(NULL, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("pw", cases[i].text, cases[i].mode);
        ck_assert_ptr_null(conf_load(path, &err));
        ck_assert_msg(strstr(err.text, cases[i].why) != NULL, "%s", err.text);
        ck_assert_uint_eq(err.line, 14);
    }
    put("pw", "one\ntwo\n\n", 0400);
    struct conf *c = conf_load(path, &err);
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->databases[0].password, "one\ntwo\n"); /* one newline goes, not more */
    conf_free(c);
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    put("pw", longer, 0600);
    ck_assert_ptr_null(conf_load(path, &err));
    ck_assert_msg(strstr(err.text, "longer") != NULL, "%s", err.text);
}
END_TEST

START_TEST(restart_keys) {
    struct pol_error err = {0};
    char keys[256];
    write_config(NULL, "");
    struct conf *a = conf_load(path, &err), *b = conf_load(path, &err);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    conf_restart_keys(a, b, keys, sizeof keys);
    ck_assert_str_eq(keys, "");
    conf_free(b);
    write_config("host: localhost }\n", "host: 127.0.0.1 }\nthreads: 3\n");
    b = conf_load(path, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    conf_restart_keys(a, b, keys, sizeof keys);
    ck_assert_str_eq(keys, "threads, redis");
    conf_free(b);
    conf_free(a);
}
END_TEST

START_TEST(no_file) {
    struct pol_error err = {0};
    ck_assert_ptr_null(conf_load("/nowhere/gatehouse.yaml", &err));
    ck_assert_str_eq(err.file, "/nowhere/gatehouse.yaml");
    ck_assert_uint_ne(strlen(err.text), 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("config");
    TCase *t = tcase_create("config");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, values);
    tcase_add_test(t, unix_upstream);
    tcase_add_loop_test(t, reports, 0, (int)(sizeof mistakes / sizeof *mistakes));
    tcase_add_test(t, secret_files);
    tcase_add_test(t, restart_keys);
    tcase_add_test(t, no_file);
    suite_add_tcase(s, t);
    return run_suite(s);
}
