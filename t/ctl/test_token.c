#include "ctl/token.h"

#include "spoa/jwt.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 32

static char folder[64], rs[96], es[96];

/* Runs a subcommand with its standard output in a file; the text is the caller's, without the last newline. */
static char *run(int want, int (*command)(int, char **), ...) {
    char *argv[ARGS_MAX + 1], path[128];
    int argc = 0, status;
    va_list ap;
    va_start(ap, command);
    for (char *arg; (arg = va_arg(ap, char *)) != NULL;) argv[argc++] = arg;
    va_end(ap);
    argv[argc] = NULL;
    snprintf(path, sizeof path, "%s/out", folder);
    fflush(stdout);
    int keep = dup(1), out = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert(keep >= 0 && out >= 0);
    dup2(out, 1);
    optind = 0; /* getopt(3): starts anew */
    status = command(argc, argv);
    fflush(stdout);
    dup2(keep, 1);
    close(keep);
    off_t len = lseek(out, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    ck_assert(text != NULL && pread(out, text, (size_t)len, 0) == len);
    close(out);
    ck_assert_msg(status == want, "exit status %d, not %d", status, want);
    if (len > 0 && text[len - 1] == '\n') text[len - 1] = '\0';
    return text;
}
#define RUN(want, command, ...) run(want, command, #command, __VA_ARGS__, NULL)
#define RUN_QUIET(want, ...)    free(RUN(want, __VA_ARGS__))

static void setup(void) {
    strcpy(folder, "/tmp/gh-test-token.XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    snprintf(rs, sizeof rs, "%s/rs.pem", folder);
    snprintf(es, sizeof es, "%s/es.pem", folder);
    RUN_QUIET(0, ctl_keygen, "--alg", "RS256", "--out", rs);
    RUN_QUIET(0, ctl_keygen, "--out", es);
}

static void teardown(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/out", folder);
    unlink(path);
    unlink(rs);
    unlink(es);
    rmdir(folder);
}

static enum jwt_rc verify(struct jwks *keys, const char *token, struct jwt_identity **id) {
    static const char *const audiences[] = {"gatehouse"};
    const struct jwt_issuer issuer = {
        .issuer = "https://issuer.example", .audiences = audiences, .naudiences = 1, .keys = keys, .algs = ~0u};
    const struct jwt_conf conf = {.issuers = &issuer, .nissuers = 1};
    return jwt_verify(&conf, token, strlen(token), (int64_t)time(NULL), id);
}

static struct jwks *keys_of(char *text) {
    char err[256];
    struct jwks *keys = jwks_parse(text, strlen(text), err, sizeof err);
    ck_assert_msg(keys != NULL, "%s", err);
    free(text);
    return keys;
}

#define TOKEN(key, ...)                                                                                                                    \
    RUN(0, ctl_token, "--key", key, "--issuer", "https://issuer.example", "--audience", "gatehouse", "--principal", "a@shop.example",      \
        __VA_ARGS__)

START_TEST(round_trip) {
    struct jwks *keys = keys_of(RUN(0, ctl_jwks, "--key", rs, "--key", es));
    const char *const paths[] = {rs, es};
    ck_assert_uint_eq(jwks_count(keys), 2);
    for (size_t i = 0; i < 2; i++) {
        struct jwt_identity *id;
        char *token = TOKEN(paths[i], "--group", "one", "--group", "two", "--ttl", "2m");
        ck_assert_str_eq(jwt_rc_name(verify(keys, token, &id)), jwt_rc_name(JWT_OK));
        ck_assert_str_eq(id->principal, "a@shop.example");
        ck_assert_uint_eq(id->ngroups, 2);
        ck_assert_str_eq(id->groups[1], "two");
        ck_assert(id->exp > (int64_t)time(NULL) + 100 && id->exp <= (int64_t)time(NULL) + 120);
        jwt_identity_free(id);
        free(token);
    }
    jwks_unref(keys);
}
END_TEST

/* Each algorithm, with a key made for it, marked for it in the set. */
START_TEST(every_algorithm) {
    for (size_t i = 0; jwa_at(i) != NULL; i++) {
        const struct jwa *a = jwa_at(i);
        char path[128], alg[16];
        struct jwt_identity *id;
        snprintf(path, sizeof path, "%s/key", folder);
        snprintf(alg, sizeof alg, "%s", a->name);
        RUN_QUIET(0, ctl_keygen, "--alg", alg, "--out", path);
        struct jwks *keys = keys_of(RUN(0, ctl_jwks, "--key", path, "--alg", alg));
        ck_assert_uint_eq(jwks_algs(keys, 0), a->alg);
        char *token = TOKEN(path, "--alg", alg);
        ck_assert_str_eq(jwt_rc_name(verify(keys, token, &id)), jwt_rc_name(JWT_OK));
        jwt_identity_free(id);
        free(token);
        jwks_unref(keys);
        RUN_QUIET(1, ctl_jwks, "--key", path, "--alg", a->key == JWA_RSA ? "ES256" : "RS256");
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

START_TEST(named_keys) {
    struct jwks *keys = keys_of(RUN(0, ctl_jwks, "--key", es, "--kid", "first", "--key", rs, "--kid", "second"));
    struct jwt_identity *id;
    char *token = TOKEN(es, "--kid", "first", "--alg", "ES256");
    ck_assert_int_eq(verify(keys, token, &id), JWT_OK);
    ck_assert_str_eq(id->kid, "first");
    jwt_identity_free(id);
    free(token);
    token = TOKEN(es, "--kid", "second");
    ck_assert_int_eq(verify(keys, token, &id), JWT_KEY_MISMATCH);
    free(token);
    jwks_unref(keys);
}
END_TEST

START_TEST(claims) {
    struct jwks *keys = keys_of(RUN(0, ctl_jwks, "--key", es));
    static const struct {
        const char *claim;
        enum jwt_rc rc;
    } cases[] = {{"extra={\"a\":[1]}", JWT_OK},    {"exp=null", JWT_NO_EXPIRY},         {"exp=1", JWT_EXPIRED},
                 {"nbf=99999999999", JWT_NOT_YET}, {"aud=elsewhere", JWT_BAD_AUDIENCE}, {"sub=null", JWT_BAD_PRINCIPAL},
                 {"exp=\"soon\"", JWT_BAD_TIME}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jwt_identity *id;
        char *token = TOKEN(es, "--claim", cases[i].claim);
        ck_assert_str_eq(jwt_rc_name(verify(keys, token, &id)), jwt_rc_name(cases[i].rc));
        jwt_identity_free(id);
        free(token);
    }
    jwks_unref(keys);
}
END_TEST

START_TEST(keys_are_kept_safe) {
    struct stat st;
    ck_assert(stat(rs, &st) == 0 && (st.st_mode & 07777) == 0600);
    RUN_QUIET(1, ctl_keygen, "--out", rs); /* never over a key that is there */
    ck_assert(chmod(es, 0644) == 0);
    RUN_QUIET(1, ctl_jwks, "--key", es);
    RUN_QUIET(1, ctl_token, "--key", es, "--issuer", "i", "--audience", "a", "--principal", "p");
    ck_assert(chmod(es, 0640) == 0); /* a group of the administrator's choice may read */
    RUN_QUIET(0, ctl_jwks, "--key", es);
    ck_assert(chmod(es, 0660) == 0);
    RUN_QUIET(1, ctl_jwks, "--key", es);
}
END_TEST

START_TEST(wrong_calls) {
    char missing[128];
    snprintf(missing, sizeof missing, "%s/missing", folder);
    RUN_QUIET(2, ctl_token, "--key", rs, "--issuer", "i", "--audience", "a");
    RUN_QUIET(2, ctl_token, "--key", rs, "--issuer", "i", "--audience", "a", "--principal", "p", "surplus");
    RUN_QUIET(2, ctl_token, "--key", rs, "--issuer", "i", "--audience", "a", "--principal", "p", "--claim", "novalue");
    static const char *const ttls[] = {"", "0", "-1", "1w", "h", "1 h", "367d", "99999999999999999999", "1hh"};
    for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++)
        RUN_QUIET(2, ctl_token, "--key", rs, "--issuer", "i", "--audience", "a", "--principal", "p", "--ttl", ttls[i]);
    RUN_QUIET(1, ctl_token, "--key", rs, "--issuer", "i", "--audience", "a", "--principal", "p", "--alg", "ES256");
    RUN_QUIET(1, ctl_token, "--key", missing, "--issuer", "i", "--audience", "a", "--principal", "p");
    RUN_QUIET(2, ctl_jwks, "--kid", "k");
    RUN_QUIET(2, ctl_jwks, "--key", es, "--kid", "k", "--kid", "l");
    RUN_QUIET(1, ctl_jwks, "--key", es, "--key", missing);
    RUN_QUIET(2, ctl_keygen, "--alg", "RS256");
    RUN_QUIET(1, ctl_keygen, "--alg", "HS256", "--out", missing);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ctl/token");
    TCase *t = tcase_create("token");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, every_algorithm);
    tcase_add_test(t, named_keys);
    tcase_add_test(t, claims);
    tcase_add_test(t, keys_are_kept_safe);
    tcase_add_test(t, wrong_calls);
    suite_add_tcase(s, t);
    return run_suite(s);
}
