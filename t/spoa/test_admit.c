/* What the SPOP door learnt is found once, by its session alone, and not for ever; certificates are read and mean whom the rules say. */
#include "spoa/admit.h"
#include "t/lib/guard.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the table --- */

static struct admit *entry(const char *sid) {
    struct admit *a = calloc(1, sizeof *a);
    ck_assert_ptr_nonnull(a);
    snprintf(a->sid, sizeof a->sid, "%s", sid);
    return a;
}

START_TEST(table) {
    struct admits *t = admits_new(3);
    struct admit *full = entry("d"), *a;
    ck_assert(admits_put(t, entry("a"), 1000, 100) && admits_put(t, entry("b"), 1010, 100) && admits_put(t, entry("c"), 1020, 100));
    ck_assert(!admits_put(t, full, 1030, 100));
    ck_assert_ptr_null(admits_take(t, "d", 1030));
    ck_assert_ptr_nonnull(a = admits_take(t, "b", 1030));
    ck_assert_str_eq(a->sid, "b");
    admit_free(a);
    ck_assert_ptr_null(admits_take(t, "b", 1030)); /* once */
    ck_assert(admits_put(t, full, 1030, 100));
    ck_assert_ptr_null(admits_take(t, "a", 1100)); /* its time is over */
    ck_assert_uint_eq(admits_count(t), 2);
    ck_assert_ptr_nonnull(a = admits_take(t, "c", 1101));
    admit_free(a);
    ck_assert(admits_put(t, entry("e"), 1200, 100)); /* sweeps d */
    ck_assert_uint_eq(admits_count(t), 1);
    admits_free(t);
}
END_TEST

START_TEST(many) {
    struct admits *t = admits_new(5000);
    char sid[SID_SIZE];
    for (int i = 0; i < 5000; i++) {
        snprintf(sid, sizeof sid, "%d", i);
        ck_assert(admits_put(t, entry(sid), 1000, 100));
    }
    for (int i = 4999; i >= 0; i -= 2) {
        snprintf(sid, sizeof sid, "%d", i);
        struct admit *a = admits_take(t, sid, 1050);
        ck_assert_ptr_nonnull(a);
        admit_free(a);
    }
    ck_assert_uint_eq(admits_count(t), 2500);
    admits_free(t);
}
END_TEST

/* --- certificates --- */

#define NOW 1700000000

static EVP_PKEY *ca_key, *other_key;
static X509 *ca, *other_ca;
static char ca_path[64];

static X509 *make(const char *cn, const char *san, X509 *issuer, EVP_PKEY *key, EVP_PKEY *signer, int64_t from, int64_t to,
                  const char *eku) {
    X509 *x = X509_new();
    X509V3_CTX ctx;
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_set_version(x, 2);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to);
    X509_set_pubkey(x, key);
    for (const char *p = cn; *p != '\0'; p += strcspn(p, "|") + (p[strcspn(p, "|")] == '|')) /* "a|b": two common names */
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)p, (int)strcspn(p, "|"), -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
    X509V3_set_ctx(&ctx, issuer != NULL ? issuer : x, x, NULL, NULL, 0);
    const char *ext[][2] = {
        {"basicConstraints", issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE"}, {"subjectAltName", san}, {"extendedKeyUsage", eku}};
    for (size_t i = 0; i < 3; i++) {
        X509_EXTENSION *e = ext[i][1] == NULL ? NULL : X509V3_EXT_conf(NULL, &ctx, ext[i][0], ext[i][1]);
        ck_assert(e != NULL || ext[i][1] == NULL);
        if (e != NULL) X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
    }
    ck_assert_int_gt(X509_sign(x, signer, EVP_sha256()), 0);
    return x;
}

static void cas(void) {
    ca_key = EVP_EC_gen("P-256");
    other_key = EVP_EC_gen("P-256");
    ca = make("Shop CA", NULL, NULL, ca_key, ca_key, NOW - 1000, NOW + 100000, NULL);
    other_ca = make("Shop CA", NULL, NULL, other_key, other_key, NOW - 1000, NOW + 100000, NULL); /* the same name */
    strcpy(ca_path, "/tmp/gh-ca-XXXXXX");
    FILE *f = fdopen(mkstemp(ca_path), "w");
    ck_assert(f != NULL && PEM_write_X509(f, ca) == 1 && fclose(f) == 0);
}

static void no_cas(void) {
    unlink(ca_path);
    X509_free(ca);
    X509_free(other_ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(other_key);
}

static struct cert *parsed(X509 *x) {
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    ck_assert_int_gt(len, 0);
    uint8_t *copy = guard_copy(der, (size_t)len);
    struct cert *c = cert_parse(copy, (size_t)len);
    ck_assert_ptr_nonnull(c);
    for (int n = 0; n < len; n++) ck_assert_ptr_null(cert_parse(copy, (size_t)n)); /* cut off */
    guard_free(copy, (size_t)len);
    OPENSSL_free(der);
    X509_free(x);
    return c;
}

/* The principal, or NULL. */
static char *identify(const struct cert_rule *rules, size_t n, X509 *x) {
    static char out[JWT_NAME_MAX + 1];
    struct cert *c = parsed(x);
    const char *why = NULL;
    struct jwt_identity *who = cert_identify(&(struct cert_conf){rules, n}, c, NOW, &why);
    ck_assert(why != NULL || who != NULL);
    if (who != NULL) {
        ck_assert_int_eq(who->valid_until, c->not_after);
        ck_assert_str_eq(who->issuer, "x509:CN=Shop CA");
        snprintf(out, sizeof out, "%s", who->principal);
    }
    cert_free(c);
    bool some = who != NULL;
    jwt_identity_free(who);
    return some ? out : NULL;
}

static X509 *client(const char *cn, const char *san) { return make(cn, san, ca, ca_key, ca_key, NOW - 10, NOW + 1000, "clientAuth"); }

START_TEST(names) {
    char err[256] = "";
    X509_STORE *store = cert_cas(ca_path, err, sizeof err);
    ck_assert_msg(store != NULL, "%s", err);
    struct cert_rule r = {.cas = store, .name = CERT_CN};
    ck_assert_str_eq(identify(&r, 1, client("agent@x", NULL)), "agent@x");
    ck_assert_ptr_null(identify(&r, 1, client("a|b", NULL)));
    ck_assert_ptr_null(identify(&r, 1, client("", "DNS:agent.x")));
    ck_assert_ptr_null(identify(&r, 1,
                                client("a\xe2\x80\xae"
                                       "b",
                                       NULL))); /* reversed */
    r.name = CERT_SUBJECT;
    ck_assert_str_eq(identify(&r, 1, client("agent, of the shop", NULL)), "CN=agent\\, of the shop");
    r.name = CERT_URI;
    static const char two[] = "URI:spiffe://x/agents/one,URI:https://x/one,DNS:one.x";
    ck_assert_ptr_null(identify(&r, 1, client("a", two)));
    r.only = "spiffe://x/agents/*";
    ck_assert_str_eq(identify(&r, 1, client("a", two)), "spiffe://x/agents/one");
    ck_assert_ptr_null(identify(&r, 1, client("a", "URI:spiffe://y/agents/one")));
    ck_assert_ptr_null(identify(&r, 1, client("a", "DNS:spiffe.x")));
    ck_assert_ptr_null(identify(&r, 1, client("a", "URI:spiffe://x/agents/one,URI:spiffe://x/agents/two")));
    ck_assert_str_eq(identify(&r, 1, client("a", "URI:spiffe://x/agents/one,URI:spiffe://x/agents/one")), "spiffe://x/agents/one");
    r = (struct cert_rule){.cas = store, .name = CERT_DNS, .only = "one.x"};
    ck_assert_str_eq(identify(&r, 1, client("a", "DNS:one.x,DNS:two.x")), "one.x");
    ck_assert_ptr_null(identify(&r, 1, client("a", "DNS:one.xy")));
    static const char *const map[] = {"one@x", "agent@shop", NULL};
    r = (struct cert_rule){.cas = store, .name = CERT_EMAIL, .map = map};
    ck_assert_str_eq(identify(&r, 1, client("a", "email:one@x")), "agent@shop");
    ck_assert_ptr_null(identify(&r, 1, client("a", "email:two@x")));
    /* The first rule that gives a principal. */
    struct cert_rule both[] = {r, {.cas = store, .name = CERT_CN}};
    ck_assert_str_eq(identify(both, 2, client("a", "email:two@x")), "a");
    X509_STORE_free(store);
}
END_TEST

START_TEST(trust) {
    char err[256];
    X509_STORE *store = cert_cas(ca_path, err, sizeof err);
    struct cert_rule r = {.cas = store, .name = CERT_CN};
    ck_assert_ptr_nonnull(identify(&r, 1, make("a", NULL, ca, ca_key, ca_key, NOW - 10, NOW + 10, NULL)));
    ck_assert_ptr_null(identify(&r, 1, make("a", NULL, ca, ca_key, ca_key, NOW - 10, NOW - 1, "clientAuth")));
    ck_assert_ptr_null(identify(&r, 1, make("a", NULL, ca, ca_key, ca_key, NOW + 10, NOW + 100, "clientAuth")));
    ck_assert_ptr_null(identify(&r, 1, make("a", NULL, ca, ca_key, ca_key, NOW - 10, NOW + 10, "serverAuth")));
    ck_assert_ptr_null(identify(&r, 1, make("a", NULL, other_ca, ca_key, other_key, NOW - 10, NOW + 10, "clientAuth")));
    ck_assert_ptr_null(identify(&r, 1, make("a", NULL, ca, ca_key, other_key, NOW - 10, NOW + 10, "clientAuth")));
    ck_assert_ptr_null(identify(&r, 1, make("a", NULL, NULL, ca_key, ca_key, NOW - 10, NOW + 10, "clientAuth"))); /* of itself */
    ck_assert_ptr_null(identify(NULL, 0, client("a", NULL)));
    X509_STORE_free(store);
    ck_assert_ptr_null(cert_cas("/dev/null", err, sizeof err));
    ck_assert_ptr_null(cert_cas("/nowhere", err, sizeof err));
}
END_TEST

START_TEST(rubbish) {
    static const uint8_t bytes[] = {0x30, 0x82, 0xff, 0xff, 0x30, 0x80, 0, 0};
    unsigned char *der = NULL;
    X509 *x = client("a", NULL);
    size_t len = (size_t)i2d_X509(x, &der);
    ck_assert_ptr_null(cert_parse(bytes, sizeof bytes));
    ck_assert_ptr_null(cert_parse("", 0));
    uint8_t *more = calloc(1, CERT_DER_MAX + 1);
    memcpy(more, der, len);
    ck_assert_ptr_null(cert_parse(more, len + 1)); /* something behind it */
    ck_assert_ptr_null(cert_parse(more, CERT_DER_MAX + 1));
    struct cert *c = cert_parse(der, len);
    ck_assert_uint_eq(strlen(c->fingerprint), 64);
    ck_assert_uint_eq(strlen(c->thumbprint), 43);
    cert_free(c);
    for (size_t i = 0; i < len; i++) { /* no flipped bit is more than a refusal */
        more[i] ^= 0x20;
        struct cert *odd = cert_parse(more, len);
        const char *why;
        if (odd != NULL) ck_assert_ptr_null(cert_identify(&(struct cert_conf){NULL, 0}, odd, NOW, &why));
        cert_free(odd);
        more[i] ^= 0x20;
    }
    free(more);
    OPENSSL_free(der);
    X509_free(x);
}
END_TEST

int main(void) {
    Suite *s = suite_create("admit");
    TCase *c = tcase_create("table"), *d = tcase_create("certificates");
    tcase_add_test(c, table);
    tcase_add_test(c, many);
    tcase_add_checked_fixture(d, cas, no_cas);
    tcase_add_test(d, names);
    tcase_add_test(d, trust);
    tcase_add_test(d, rubbish);
    suite_add_tcase(s, c);
    suite_add_tcase(s, d);
    return run_suite(s);
}
