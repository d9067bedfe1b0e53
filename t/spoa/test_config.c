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

#define MY_OLD                                                                                                                             \
    "engine: postgresql\n    upstream: { host: 127.0.0.1, user: gate, password_file: pw }\n    search_path: [public, 'od\"d']\n"           \
    "    settings: { TimeZone: UTC }"

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
    const struct conf_login *l = conf_login(d, NULL, 0);
    struct cred_value *password = cred_get(l->cred);
    ck_assert_str_eq(l->user, "gate");
    ck_assert_str_eq(cred_text(password), "s3cret");
    cred_value_unref(password);
    ck_assert_ptr_nonnull(d->tls); /* TCP is TLS */
    ck_assert(!d->tls_direct && !d->need_binding && !d->plain_tcp);
    ck_assert(d->allow_cleartext);
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

START_TEST(mysql) {
    struct pol_error err = {0};
    write_config(MY_OLD, "engine: mysql\n    server_version: 10.11.6-MariaDB\n    upstream: { host: 127.0.0.1, user: g, database: store }\n"
                         "    settings: { sql_mode: TRADITIONAL }");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%u:%u: %s", err.line, err.column, err.text);
    const struct conf_database *d = conf_asked(c, CONF_MYSQL, "shop", "ann");
    ck_assert_ptr_nonnull(d);
    ck_assert_int_eq(d->engine, CONF_MYSQL);
    ck_assert_str_eq(d->where, "127.0.0.1:3306");
    ck_assert_str_eq(d->search_path[0], "store");
    ck_assert_uint_eq(d->nsearch_path, 1);
    ck_assert_ptr_eq(conf_asked(c, CONF_MYSQL, "store", "ann"), d); /* the server's name for it */
    ck_assert_ptr_eq(conf_asked(c, CONF_MYSQL, "", "shop2"), d);    /* the only one */
    ck_assert_ptr_null(conf_asked(c, CONF_MYSQL, "other", "shop"));
    ck_assert_ptr_null(conf_asked(c, CONF_POSTGRESQL, "shop", "ann")); /* another protocol, another set of databases */
    ck_assert_ptr_null(conf_asked(c, CONF_POSTGRESQL, "", "shop"));
    conf_free(c);
}
END_TEST

START_TEST(unix_upstream) {
    struct pol_error err = {0};
    write_config("{ host: 127.0.0.1, user: gate, password_file: pw }", "{ socket: /run/pg/.s.PGSQL.5432, user: gate, database: d }");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    ck_assert_str_eq(c->databases[0].database, "d");
    ck_assert_ptr_null(conf_login(&c->databases[0], NULL, 0)->cred);
    ck_assert(c->databases[0].allow_cleartext);
    ck_assert_int_eq(c->databases[0].addrs[0].ss.ss_family, AF_UNIX);
    conf_free(c);
}
END_TEST

START_TEST(logins) {
    struct pol_error err = {0};
    char staff[] = "staff", admins[] = "dbas", *const dbas[] = {staff, admins}, *const others[] = {staff};
    setenv("GH_TEST_PASSWORD", "fr0m the environment", 1);
    write_config(
        "user: gate, password_file: pw }",
        "user: gate, password_command: [/bin/echo, 'fr0m a command'],\n"
        "      credentials: [{ groups: [dbas, root], user: owner, password_env: GH_TEST_PASSWORD }, { groups: guests, user: guest }] }");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    const struct conf_database *d = &c->databases[0];
    const struct {
        const struct conf_login *l;
        const char *user, *password;
    } want[] = {{conf_login(d, dbas, 2), "owner", "fr0m the environment"},
                {conf_login(d, others, 1), "gate", "fr0m a command"},
                {conf_login(d, NULL, 0), "gate", "fr0m a command"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct cred_value *v = cred_get(want[i].l->cred);
        ck_assert_str_eq(want[i].l->user, want[i].user);
        ck_assert_str_eq(cred_text(v), want[i].password);
        cred_value_unref(v);
    }
    conf_free(c);
}
END_TEST

/* Who needs no password runs no command, but everything else is looked at. */
START_TEST(look) {
    struct pol_error err = {0};
    write_config("password_file: pw", "password_command: [/bin/false]");
    ck_assert_ptr_null(conf_load(path, &err));
    struct conf *c = conf_look(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    ck_assert_ptr_null(conf_login(&c->databases[0], NULL, 0)->cred);
    conf_free(c);
    write_config("password_file: pw", "password_command: [echo]");
    ck_assert_ptr_null(conf_look(path, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "from / on"));
    write_config("password_file: pw", "password_file: nowhere");
    ck_assert_ptr_null(conf_look(path, &err));
}
END_TEST

START_TEST(upstream_tls) {
    struct pol_error err = {0};
    write_config("user: gate,", "user: gate, tls: { negotiation: direct, channel_binding: require, server_name: db.example },");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    const struct conf_database *d = &c->databases[0];
    ck_assert(d->tls != NULL && d->tls_direct && d->need_binding && !d->plain_tcp);
    conf_free(c);
    write_config("user: gate,", "user: gate, tls: off,");
    c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    d = &c->databases[0];
    ck_assert(d->tls == NULL && d->plain_tcp && !d->allow_cleartext);
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
    {NULL, "handover: { socket: /run/p.sock }\n", 20, 11, "spop or payload"},
    {NULL, "handover: {}\n", 20, 11, "\"socket\" is missing"},
    {NULL, "upgrade_timeout: 3\n", 20, 18, ""},
    {NULL, "catalog: { refresh: 500ms }\n", 20, 21, ""},
    {NULL, "catalog: { every: 5s }\n", 20, 12, "unknown key"},
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
    {"jwks_file: jwks.json", "jwks_file: jwks.json\n      algorithms: [HS256]", 11, 19, "RS256, RS384"},
    {"engine: postgresql", "engine: oracle", 13, 13, "postgresql"},
    {"host: 127.0.0.1, ", "", 14, 15, "host or socket"},
    {"host: 127.0.0.1", "host: 127.0.0.1, socket: /x", 14, 15, "host or socket"},
    {"user: gate, ", "", 14, 15, "\"user\" is missing"},
    {"host: 127.0.0.1", "host: 127.0.0.1, port: 70000", 14, 40, "65535"},
    {"password_file: pw", "password_file: nothing", 14, 61, "cannot open"},
    {"user: gate,", "tls: on, user: gate,", 14, 39, "must be off"},
    {"user: gate,", "tls: { verify: none }, user: gate,", 14, 49, "full, ca"},
    {"user: gate,", "tls: { verify: ca }, user: gate,", 14, 49, "ca_file"},
    {"user: gate,", "tls: { ca_file: pw }, user: gate,", 14, 39, "no certificates in PEM"},
    {"user: gate,", "tls: { ca_file: none }, user: gate,", 14, 39, "none"},
    {"user: gate,", "tls: { key_file: pw }, user: gate,", 14, 39, "go together"},
    {"user: gate,", "tls: { mode: x }, user: gate,", 14, 41, "unknown key"},
    {"user: gate,", "tls: off, allow_cleartext: true, user: gate,", 14, 61, "clear text"},
    {"{ host: 127.0.0.1, user", "{ socket: /run/s, tls: {}, user", 14, 38, "needs no TLS"},
    {"password_file: pw", "password_env: GH_TEST_NOT_SET", 14, 60, "GH_TEST_NOT_SET is not set"},
    {"password_file: pw", "password_file: pw, password_env: HOME", 14, 79, "from one place"},
    {"password_file: pw", "password_command: /bin/echo", 14, 64, "a list"},
    {"password_file: pw", "password_command: [echo, x]", 14, 64, "from / on"},
    {"password_file: pw", "password_command: [/bin/false]", 14, 64, "exited with 1"},
    {"password_file: pw", "password_command: [/no/such/program]", 14, 64, "cannot be executed"},
    {"password_file: pw", "password_file: pw, credentials: [{ user: u }]", 14, 79, "\"groups\" is missing"},
    {"password_file: pw", "password_file: pw, credentials: [{ groups: [], user: u }]", 14, 89, "no group"},
    {"password_file: pw", "password_file: pw, credentials: [{ groups: g }]", 14, 79, "\"user\" is missing"},
    {"password_file: pw", "password_file: pw, credentials: { groups: g }", 14, 78, "a list of logins"},
    {"[public, 'od\"d']", "[\"$user\", public]", 15, 18, "$user"},
    {"[public, 'od\"d']", "[pg_catalog]", 15, 18, "pg_catalog"},
    {"{ TimeZone: UTC }", "{ Search_Path: x }", 16, 17, "gatehouse itself"},
    {"    search_path:", "    application_name: '%{client}'\n    search_path:", 15, 23, "before %{client}"},
    {"    search_path:", "    application_name: '%{principal}%{client}'\n    search_path:", 15, 23, "a blank before"},
    {"    search_path:", "    application_name: 'gate %{session}'\n    search_path:", 15, 23, "%{principal}"},
    {"    search_path:", "    application_name: '%{principal} %x'\n    search_path:", 15, 23, "knows %{principal}"},
    {"    settings: { TimeZone: UTC }", "    application_name: '%{principal}'\n    settings: { Application_Name: x }", 17, 17,
     "a template already"},
    {"{ TimeZone: UTC }", "{ Gatehouse.Principal: x }", 16, 17, "gatehouse itself"},
    {"{ TimeZone: UTC }", "[UTC]", 16, 15, "map"},
    {"timeout: 3s", "timeout: 3", 17, 37, ""},
    {"journal: journal, ", "", 17, 8, "\"journal\" is missing"},
    {"{ host: localhost }", "{ }", 18, 8, "socket or host"},
    {"{ host: localhost }", "{ host: localhost, user: u }", 18, 33, "password_file"},
    {"sessions: 10", "sessions: 0", 19, 21, ""},
    {"sessions: 10", "sesions: 10", 19, 11, "sessions"},
    {NULL, "apis: { }\n", 20, 7, "at least one API"},
    {NULL, "apis: { a: { database: shop } }\n", 20, 12, "\"form\" is missing"},
    {NULL, "apis: { a: { form: text } }\n", 20, 12, "\"database\" is missing"},
    {NULL, "apis: { a: { form: text, database: other } }\n", 20, 36, "no database \"other\""},
    {NULL, "apis: { a: { form: xml, database: shop } }\n", 20, 20, "json"},
    {NULL, "apis: { a: { form: text, database: shop, sql: x } }\n", 20, 42, "unknown key"},
    {NULL, "apis: { a: { form: json, database: shop } }\n", 20, 12, "\"sql\" is missing"},
    {NULL, "apis: { a: { form: json, database: shop, sql: a..b } }\n", 20, 47, "not a member's name"},
    {NULL, "apis: { a: { form: json, database: shop, sql: \"s\\u00e9l\" } }\n", 20, 47, "ASCII"},
    {NULL, "apis: { a: { form: json, database: shop, sql: sql, also: [x, SQL] } }\n", 20, 58, "taken for \"sql\""},
    {NULL, "apis: { a: { form: json, database: shop, sql: q.text, also: q } }\n", 20, 61, "holds"},
    {NULL, "apis: { a: { form: json, database: shop, sql: q, also: [a.b, A] } }\n", 20, 56, "taken for"},
    {NULL, "apis: { a: { form: json, database: shop, sql: q, tools: {} } }\n", 20, 50, "unknown key"},
    {NULL, "apis: { a: { form: mcp, database: shop } }\n", 20, 12, "\"tools\" is missing"},
    {NULL, "apis: { a: { form: mcp, database: shop, tools: [x] } }\n", 20, 48, "map"},
    {NULL, "apis: { a: { form: mcp, database: shop, tools: { t: { } } } }\n", 20, 53, "\"sql\" is missing"},
    {NULL, "apis: { a: { form: mcp, database: shop, tools: { t: { sql: s } }, pass: tools/call } }\n", 20, 73, "one by one"},
    {NULL, "apis: { a: { form: mcp, database: shop, tools: { t: { sql: s } }, pass_tools: T } }\n", 20, 79, "not be judged"},
    {"engine: postgresql", "engine: mysql", 15, 18, "not for MySQL"},
    {"    search_path: [public, 'od\"d']\n    settings", "    server_version: 10.11.6-MariaDB\n    settings", 15, 21, "is for MySQL"},
    {"password_file: pw", "password_file: pw, public_key_file: pw", 14, 82, "is for MySQL"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g, tls: { negotiation: direct } }\n    settings: { sql_mode: ANSI }",
     14, 63, "is for PostgreSQL"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g, public_key_file: pw }\n", 14, 60, "does not hold an RSA public key"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g }\n    settings: { character_set_client: gbk }", 15, 17,
     "gatehouse itself"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g }\n    settings: { \"a b\": x }", 15, 17, "no variable"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g }\n    settings: { sql_mode: \"a'b\" }", 15, 27, "quotes"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g }\n    application_name: '%{principal}'", 15, 23, "not for MySQL"},
    {MY_OLD, "engine: mysql\n    upstream: { host: 127.0.0.1, user: g }\n    settings: { sql_mode: \"ANSI_QUOTES,NONE\" }", 15, 27,
     "one of these is not known"},
    {"limits:", "user: no-such-user\nlimits:", 19, 7, "no user"},
    {"limits:", "metrics: { }\nlimits:", 19, 10, "listen or socket"},
    {"limits:", "metrics: { listen: localhost:9640 }\nlimits:", 19, 20, "127.0.0.1:9640"},
    {"limits:", "metrics: { listen: 127.0.0.1 }\nlimits:", 19, 20, "127.0.0.1:9640"},
    {"limits:", "metrics: { listen: 127.0.0.1:70000 }\nlimits:", 19, 20, "127.0.0.1:9640"},
    {"limits:", "metrics: { listen: '::1:9640' }\nlimits:", 19, 20, "[::1]:9640"},
    {"limits:", "metrics: { listen: 127.0.0.1:9640, owner: root }\nlimits:", 19, 43, "for a socket"},
    {"limits:", "metrics: { socket: /run/p.sock }\nlimits:", 19, 20, "another door"},
    {"limits:", "metrics: { socket: m.sock, mode: \"0666\" }\nlimits:", 19, 34, "every user"},
    {"limits:", "admin: { peers: [root] }\nlimits:", 19, 8, "socket"},
    {"limits:", "admin: { socket: a.sock }\nlimits:", 19, 8, "peers"},
    {"limits:", "admin: { socket: a.sock, peers: [] }\nlimits:", 19, 33, "nobody"},
    {"limits:", "admin: { socket: a.sock, peers: [root], listen: 1.2.3.4:5 }\nlimits:", 19, 41, "listen"},
    {"limits:", "admin: { socket: /run/p.sock, peers: [root] }\nlimits:", 19, 18, "another door"},
    {"limits:", "admin: { socket: a.sock, peers: [root], operators: [] }\nlimits:", 19, 52, "empty"},
    {"limits:", "admin: { socket: a.sock, peers: [root], operators: \"*\" }\nlimits:", 19, 52, "leave the key out"},
    {"limits:", "nodes: { gh1: oHk1o0pSXkXyHv7Qw0c3WfC5b3H0kq1R8mZ9mZ3p2sY }\nlimits:", 19, 10, "this node itself"},
    {"limits:", "nodes: { n9: oHk1o0pSXkXyHv7Qw0c3WfC5b3H0kq1R8mZ9mZ3p2s }\nlimits:", 19, 14, "no node's key"},
    {"limits:", "nodes: [n9]\nlimits:", 19, 8, "map"},
    {"limits:", "admin: { socket: a.sock, mode: \"0666\", peers: [root] }\nlimits:", 19, 32, "every user"},
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

START_TEST(apis) {
    struct pol_error err = {0};
    write_config(NULL,
                 "apis:\n  a: { form: text, database: shop }\n  b: { form: json, database: shop, sql: q.sql, also: [q.x, y] }\n"
                 "  c: { form: mcp, database: shop, tools: { t: { sql: s, also: n }, u: { sql: s } }, pass: ping, pass_tools: [v, w] }\n");
    struct conf *c = conf_load(path, &err);
    ck_assert_msg(c != NULL, "%u:%u: %s", err.line, err.column, err.text);
    ck_assert_uint_eq(c->napis, 3);
    ck_assert_ptr_null(conf_api(c, "ab", 2));
    ck_assert_int_eq(conf_api(c, "ab", 1)->shape.form, API_TEXT);
    const struct api_shape *b = &conf_api(c, "b", 1)->shape, *m = &conf_api(c, "c", 1)->shape;
    ck_assert_str_eq(b->places[0].sql, "q.sql");
    ck_assert_str_eq(b->places[0].also[1], "y");
    ck_assert_uint_eq(m->nplaces, 2);
    ck_assert_str_eq(m->places[1].tool, "u");
    ck_assert_str_eq(m->places[0].also[0], "n");
    ck_assert_str_eq(m->pass[0], "ping");
    ck_assert_uint_eq(m->npass_tools, 2);
    conf_free(c);
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
    struct cred_value *v = cred_get(conf_login(&c->databases[0], NULL, 0)->cred);
    ck_assert_str_eq(cred_text(v), "one\ntwo\n"); /* one newline goes, not more */
    cred_value_unref(v);
    conf_free(c);
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    put("pw", longer, 0600);
    ck_assert_ptr_null(conf_load(path, &err));
    ck_assert_msg(strstr(err.text, "longer") != NULL, "%s", err.text);
}
END_TEST

START_TEST(admin_door) {
    struct pol_error err = {0};
    char keys[256];
    write_config(NULL, "");
    struct conf *a = conf_load(path, &err);
    ck_assert_ptr_null(a->admin.where);
    write_config(NULL, "admin: { socket: a.sock, peers: [root, 65534] }\n");
    struct conf *b = conf_load(path, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    ck_assert_uint_eq(b->admin.door.npeers, 2);
    ck_assert_uint_eq(b->admin.door.mode, 0600);
    ck_assert_ptr_nonnull(strstr(b->admin.where, "a.sock"));
    conf_restart_keys(a, b, keys, sizeof keys);
    ck_assert_str_eq(keys, "admin");
    ck_assert_uint_eq(a->limits.approvals, 10000);
    ck_assert_uint_eq(a->limits.approvals_per_principal, 20);
    conf_free(a);
    conf_free(b);
}
END_TEST

START_TEST(metrics_listener) {
    struct pol_error err = {0};
    char keys[256];
    write_config(NULL, "");
    struct conf *a = conf_load(path, &err);
    ck_assert_ptr_null(a->metrics.where);
    write_config(NULL, "metrics: { listen: \"[::1]:9640\" }\n");
    struct conf *b = conf_load(path, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    ck_assert_str_eq(b->metrics.where, "[::1]:9640");
    ck_assert_int_eq(b->metrics.addr.ss.ss_family, AF_INET6);
    ck_assert_ptr_null(b->metrics.door.socket);
    conf_restart_keys(a, b, keys, sizeof keys);
    ck_assert_str_eq(keys, "metrics");
    conf_free(b);
    write_config(NULL, "metrics: { socket: m.sock, owner: root, mode: \"0660\" }\n");
    b = conf_load(path, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    ck_assert_str_eq(b->metrics.where, b->metrics.door.socket);
    ck_assert_int_eq(b->metrics.door.mode, 0660);
    conf_free(b);
    conf_free(a);
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

START_TEST(handover) {
    struct pol_error err = {0};
    char want[128], deep[200], keys[256];
    write_config(NULL, "");
    struct conf *a = conf_load(path, &err);
    ck_assert_ptr_nonnull(a);
    snprintf(want, sizeof want, "%s/journal/handover.sock", dir);
    ck_assert_str_eq(a->handover.socket, want);
    ck_assert_uint_eq(a->handover.mode, 0600);
    ck_assert_uint_eq(a->upgrade_timeout_ms, 3600000);
    ck_assert_uint_eq(a->catalog_refresh_ms, 60000);
    write_config(NULL, "handover: { socket: /run/h.sock }\nupgrade_timeout: 0\ncatalog: { refresh: 5s }\n");
    struct conf *b = conf_load(path, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    ck_assert_str_eq(b->handover.socket, "/run/h.sock");
    ck_assert_uint_eq(b->upgrade_timeout_ms, 0);
    ck_assert_uint_eq(b->catalog_refresh_ms, 5000);
    conf_restart_keys(a, b, keys, sizeof keys);
    ck_assert_str_eq(keys, "handover");
    conf_free(a);
    conf_free(b);
    /* A journal too deep for a socket: that alone is no mistake. */
    memset(deep, 'd', 120);
    deep[120] = '\0';
    snprintf(keys, sizeof keys, "journal: %s, timeout", deep);
    write_config("journal: journal, timeout", keys);
    a = conf_load(path, &err);
    ck_assert_msg(a != NULL, "%s", err.text);
    ck_assert_ptr_null(a->handover.socket);
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
    tcase_add_test(t, mysql);
    tcase_add_test(t, unix_upstream);
    tcase_add_test(t, logins);
    tcase_add_test(t, look);
    tcase_add_test(t, upstream_tls);
    tcase_add_loop_test(t, reports, 0, (int)(sizeof mistakes / sizeof *mistakes));
    tcase_add_test(t, apis);
    tcase_add_test(t, secret_files);
    tcase_add_test(t, admin_door);
    tcase_add_test(t, metrics_listener);
    tcase_add_test(t, restart_keys);
    tcase_add_test(t, handover);
    tcase_add_test(t, no_file);
    suite_add_tcase(s, t);
    return run_suite(s);
}
