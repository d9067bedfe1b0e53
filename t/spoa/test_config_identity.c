/* identity of gatehouse.yaml: what is read of it, and mistakes at their places. */
#include <config.h>

#include "spoa/config.h"
#include "spoa/keystore.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
                           "    - issuer: https://idp.example\n" /* 11 */
                           "      audience: gatehouse\n";        /* 12 */
static const char FILE_KEYS[] = "      jwks_file: jwks.json\n";
static const char JWKS[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\","
                           "\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\",\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}]}";

static char dir[64], path[96];

static void put(const char *name, const char *a, const char *b, const char *c) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", dir, name);
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fprintf(f, "%s%s%s", a, b, c), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/gh-config.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/gatehouse.yaml", dir);
    put("jwks.json", JWKS, "", "");
    put("ca.pem", "no certificate\n", "", "");
}

static void teardown(void) {
    static const char *const names[] = {"gatehouse.yaml", "jwks.json", "ca.pem"};
    char file[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(file, sizeof file, "%s/%s", dir, names[i]);
        unlink(file);
    }
    rmdir(dir);
}

static struct conf *load(const char *keys, const char *more, struct pol_error *err) {
    put("gatehouse.yaml", HEAD, keys, more);
    *err = (struct pol_error){0};
    return conf_load(path, err);
}

START_TEST(claims) {
    struct pol_error err;
    struct conf *c = load(FILE_KEYS,
                          "      algorithms: [PS384, EdDSA]\n"
                          "      required_claims: { tid: t1, email_verified: true, \"https://x/y\": [a, b] }\n"
                          "      client_groups:\n"
                          "        etl: [jobs, nightly]\n"
                          "        bot: { groups: bots, subject: service-7 }\n"
                          "        any: { groups: bots, subject: \"*\" }\n"
                          "      attributes: { region: org.region, level: level }\n",
                          &err);
    ck_assert_msg(c != NULL, "%u:%u: %s", err.line, err.column, err.text);
    const struct jwt_issuer *i = &c->jwt.issuers[0];
    ck_assert_uint_eq(i->algs, JWT_PS384 | JWT_EDDSA);
    ck_assert_uint_eq(i->nrequired, 3);
    ck_assert_str_eq(i->required[1].path, "email_verified");
    ck_assert_str_eq(i->required[1].values[0], "true");
    ck_assert_str_eq(i->required[2].path, "https://x/y");
    ck_assert_uint_eq(i->required[2].nvalues, 2);
    ck_assert_uint_eq(i->nclients, 3);
    ck_assert_str_eq(i->clients[0].subject, "etl");
    ck_assert_uint_eq(i->clients[0].ngroups, 2);
    ck_assert_str_eq(i->clients[1].subject, "service-7");
    ck_assert_str_eq(i->clients[1].groups[0], "bots");
    ck_assert_ptr_null(i->clients[2].subject);
    ck_assert_uint_eq(i->nattributes, 2);
    ck_assert_str_eq(i->attributes[0].name, "region");
    ck_assert_str_eq(i->attributes[0].path, "org.region");
    conf_free(c);
}
END_TEST

static const struct mistake {
    const char *text; /* behind a key file's line, which is line 13 */
    unsigned line, column;
    const char *says;
} mistakes[] = {
    {"      algorithms: [ES256, HS256]\n", 14, 19, "EdDSA"},
    {"      algorithms: none\n", 14, 19, "\"none\""},
    {"      algorithms: rs256\n", 14, 19, "\"rs256\""},
    {"      algorithms: []\n", 14, 19, "no algorithm"},
    {"      required_claims: [tid]\n", 14, 24, "a map"},
    {"      required_claims: {}\n", 14, 24, "a map"},
    {"      required_claims: { tid: [] }\n", 14, 31, "no value"},
    {"      required_claims: { tid: { a: b } }\n", 14, 31, ""},
    {"      client_groups: etl\n", 14, 22, "a map"},
    {"      client_groups: { etl: [] }\n", 14, 29, "no group"},
    {"      client_groups: { etl: { subject: x } }\n", 14, 29, "\"groups\" is missing"},
    {"      client_groups: { etl: { groups: x, subjects: y } }\n", 14, 42, "unknown key"},
    {"      client_groups: { etl: { groups: x, subject: \"\" } }\n", 14, 51, "empty"},
    {"      attributes: { \"a b\": x }\n", 14, 21, "letters"},
    {"      attributes: { a: \"\" }\n", 14, 24, "empty"},
    {"      attributes: { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, n: 1, o: 1, p: 1, q: 1 }\n", 14, 19,
     "more than 16"},
    {"      grops_claim: x\n", 14, 7, "groups_claim"},
    {"    - issuer: https://idp.example\n      audience: a\n      jwks_file: jwks.json\n", 14, 7, "listed twice"},
};

static const struct mistake key_mistakes[] = {
    /* the line is 13 */
    {"", 11, 7, "one of jwks_file, jwks_url"},
    {"      discovery: false\n", 11, 7, "one of jwks_file, jwks_url"},
    {"      discovery: yes\n", 13, 18, ""},
    {"      discovery: true\n      jwks_url: https://idp.example/keys\n", 11, 7, "one of"},
    {"      jwks_file: jwks.json\n      jwks_url: https://idp.example/keys\n", 11, 7, "one of"},
    {"      jwks_file: jwks.json\n      ca_file: ca.pem\n", 14, 16, "is for keys that are fetched"},
    {"      jwks_file: jwks.json\n      refresh_min: 5m\n", 14, 20, "is for keys that are fetched"},
    {"      jwks_url: http://idp.example/keys\n", 13, 17, "must begin with https://"},
    {"      jwks_url: http://127.0.0.1/keys\n", 13, 17, "must begin with https://"},
    {"      jwks_url: http://idp.example/keys\n      allow_http: true\n", 13, 17, "127.0.0.1 and [::1] alone"},
    {"      jwks_url: idp.example/keys\n", 13, 17, "no absolute https address"},
    {"      jwks_url: https://u:p@idp.example/keys\n", 13, 17, "a user"},
    {"      jwks_url: file:///etc/passwd\n", 13, 17, "cannot be used"},
    {"      discovery: true\n      ca_file: ca.pem\n", 14, 16, "no PEM file with a certificate"},
    {"      discovery: true\n      ca_file: none.pem\n", 14, 16, "cannot open"},
    {"      discovery: true\n      refresh_min: 2h\n      refresh_max: 1h\n", 15, 20, ""},
    {"      discovery: true\n      refresh_min: 0\n", 14, 20, ""},
    {"      discovery: true\n      fetch_timeout: 2h\n", 14, 22, ""},
};

START_TEST(keys_reported) {
    const struct mistake *m = &key_mistakes[_i];
    struct pol_error err;
    struct conf *c = load(m->text, "", &err);
    ck_assert_msg(c == NULL, "accepted: %s", m->text);
    ck_assert_msg(err.line == m->line && err.column == m->column, "%s: at %u:%u: %s", m->text, err.line, err.column, err.text);
    ck_assert_msg(strstr(err.text, m->says) != NULL, "%s: %s", m->text, err.text);
}
END_TEST

/* What is read needs no network. */
START_TEST(fetched_keys) {
    static const char *const good[] = {
        "      discovery: true\n", "      jwks_url: https://idp.example/keys?x=1\n      refresh_min: 1s\n      refresh_max: 2s\n",
        "      jwks_url: http://127.0.0.1:8080/keys\n      allow_http: true\n",
        "      jwks_url: \"http://[::1]:8080/keys\"\n      allow_http: true\n", "      discovery: true\n      refresh_min: 24h\n"};
    struct pol_error err;
    struct keysource_status st;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct conf *c = load(good[i], "", &err);
        ck_assert_msg(c != NULL, "%s: %u:%u: %s", good[i], err.line, err.column, err.text);
        const struct jwt_issuer *issuer = &c->jwt.issuers[0];
        ck_assert_ptr_null(issuer->keys);
        ck_assert_ptr_nonnull(issuer->source);
        ck_assert_ptr_null(keysource_keys(issuer->source));
        keysource_status(issuer->source, &st);
        ck_assert(!st.tried && st.keys == 0);
        conf_free(c);
    }
}
END_TEST

START_TEST(reports) {
    const struct mistake *m = &mistakes[_i];
    struct pol_error err;
    struct conf *c = load(FILE_KEYS, m->text, &err);
    ck_assert_msg(c == NULL, "accepted: %s", m->text);
    ck_assert_msg(err.line == m->line && err.column == m->column, "%s: at %u:%u: %s", m->text, err.line, err.column, err.text);
    ck_assert_msg(strstr(err.text, m->says) != NULL, "%s: %s", m->text, err.text);
}
END_TEST

int main(void) {
    Suite *s = suite_create("config_identity");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, claims);
    tcase_add_loop_test(t, reports, 0, sizeof mistakes / sizeof *mistakes);
    tcase_add_loop_test(t, keys_reported, 0, sizeof key_mistakes / sizeof *key_mistakes);
    tcase_add_test(t, fetched_keys);
    suite_add_tcase(s, t);
    return run_suite(s);
}
