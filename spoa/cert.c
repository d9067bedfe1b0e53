#include <config.h>

#include "spoa/cert.h"

#include "filters/bytes.h"
#include "spoa/base64url.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- parsing --- */

/* As RFC 2253, with UTF-8 as it is. NULL when out of memory. */
static char *name_text(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *out = NULL;
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
        long n = BIO_get_mem_data(bio, &data);
        if (n >= 0) out = strndup(n > 0 ? data : "", (size_t)n);
    }
    BIO_free(bio);
    return out;
}

static bool seconds_of(const ASN1_TIME *t, int64_t *out) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    bool ok = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;
    ASN1_TIME_free(epoch);
    if (ok) *out = (int64_t)days * 86400 + seconds;
    return ok;
}

static bool fill(struct cert *c, const void *der, size_t len) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(der, len, digest, &n, EVP_sha256(), NULL) != 1 || n != 32) return false;
    gh_hex(c->fingerprint, digest, n);
    c->fingerprint[2 * n] = '\0';
    base64url_encode(digest, n, c->thumbprint);
    c->subject = name_text(X509_get_subject_name(c->x509));
    return c->subject != NULL && seconds_of(X509_get0_notAfter(c->x509), &c->not_after);
}

struct cert *cert_parse(const void *der, size_t len) {
    const unsigned char *at = der;
    if (len == 0 || len > CERT_DER_MAX) return NULL;
    struct cert *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->x509 = d2i_X509(NULL, &at, (long)len);
    bool ok = c->x509 != NULL && at == (const unsigned char *)der + len && fill(c, der, len);
    ERR_clear_error();
    if (ok) return c;
    cert_free(c);
    return NULL;
}

void cert_free(struct cert *c) {
    if (c == NULL) return;
    X509_free(c->x509);
    free(c->subject);
    free(c);
}

/* --- CAs --- */

X509_STORE *cert_cas(const char *path, char *err, size_t size) {
    X509_STORE *s = X509_STORE_new();
    /* The CA that is listed is trusted, also when it is not a root; and for certificates of clients only. */
    bool ok = s != NULL && X509_STORE_load_file(s, path) == 1 && X509_STORE_set_flags(s, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
              X509_STORE_set_purpose(s, X509_PURPOSE_SSL_CLIENT) == 1;
    ERR_clear_error();
    if (ok) return s;
    X509_STORE_free(s);
    snprintf(err, size, "%s holds no CA certificates in PEM form, or cannot be read", path);
    return NULL;
}

/* X509_V_OK, or what is wrong. */
static int trusted(X509_STORE *cas, const struct cert *c, int64_t now) {
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc = X509_V_ERR_OUT_OF_MEM;
    if (ctx != NULL && X509_STORE_CTX_init(ctx, cas, c->x509, NULL) == 1) {
        X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)now);
        rc = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

/* --- names --- */

/* What has matched so far. */
struct names {
    const struct cert_rule *rule;
    unsigned found;
    char text[JWT_NAME_MAX + 1]; /* the one that was found */
};

static bool fits(const char *only, const char *text) {
    size_t n = only == NULL ? 0 : strlen(only);
    if (n == 0) return true;
    return only[n - 1] == '*' ? strncmp(only, text, n - 1) == 0 : strcmp(only, text) == 0;
}

/* A name that no token could have either is none: one with a NUL, for example, which others read up to there. */
static void offer(struct names *n, const void *data, size_t len) {
    char text[JWT_NAME_MAX + 1];
    if (len == 0 || len > JWT_NAME_MAX || !gh_utf8_valid(data, len) || !jwt_is_name(data, len)) return;
    memcpy(text, data, len);
    text[len] = '\0';
    if (!fits(n->rule->only, text) || (n->found > 0 && strcmp(n->text, text) == 0)) return;
    n->found++;
    memcpy(n->text, text, len + 1);
}

static void offer_cn(struct names *n, const X509_NAME *name) {
    for (int at = -1; (at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;) {
        unsigned char *utf8 = NULL;
        int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
        if (len > 0) offer(n, utf8, (size_t)len);
        OPENSSL_free(utf8);
    }
}

static void offer_san(struct names *n, const X509 *x, int type) {
    GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        int kind;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list, i), &kind);
        if (kind == type && ASN1_STRING_length(s) > 0) offer(n, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    }
    GENERAL_NAMES_free(list);
    ERR_clear_error();
}

static const char *principal_of(const struct cert_rule *r, const struct cert *c, char out[JWT_NAME_MAX + 1], const char **why) {
    struct names n = {.rule = r};
    switch (r->name) {
    case CERT_CN: offer_cn(&n, X509_get_subject_name(c->x509)); break;
    case CERT_DNS: offer_san(&n, c->x509, GEN_DNS); break;
    case CERT_URI: offer_san(&n, c->x509, GEN_URI); break;
    case CERT_EMAIL: offer_san(&n, c->x509, GEN_EMAIL); break;
    case CERT_SUBJECT: offer(&n, c->subject, strlen(c->subject)); break;
    }
    *why = n.found == 0 ? "the certificate has no name that identity.certificates takes"
                        : "the certificate has several names that identity.certificates takes";
    if (n.found != 1) return NULL;
    if (r->map == NULL) return strcpy(out, n.text);
    for (size_t i = 0; r->map[i] != NULL; i += 2)
        if (strcmp(r->map[i], n.text) == 0) return r->map[i + 1];
    *why = "the certificate's name is not among identity.certificates.principals";
    return NULL;
}

/* --- the identity --- */

static struct jwt_identity *identity_of(const struct cert_rule *r, const struct cert *c, const char *principal) {
    struct jwt_identity *id = calloc(1, sizeof *id);
    char *issuer = name_text(X509_get_issuer_name(c->x509));
    if (id == NULL || issuer == NULL) {
        free(id);
        free(issuer);
        return NULL;
    }
    bool ok = asprintf(&id->issuer, "x509:%s", issuer) >= 0;
    if (!ok) id->issuer = NULL;
    free(issuer);
    id->principal = strdup(principal);
    id->kid = strdup("");
    id->groups = r->ngroups > 0 ? calloc(r->ngroups, sizeof *id->groups) : NULL;
    ok = ok && id->principal != NULL && id->kid != NULL && (r->ngroups == 0 || id->groups != NULL);
    for (size_t i = 0; ok && i < r->ngroups; i++) {
        id->groups[i] = strdup(r->groups[i]);
        ok = id->groups[i] != NULL;
        id->ngroups += ok;
    }
    id->exp = id->valid_until = c->not_after;
    if (ok) return id;
    jwt_identity_free(id);
    return NULL;
}

struct jwt_identity *cert_identify(const struct cert_conf *conf, const struct cert *c, int64_t now, const char **why) {
    char text[JWT_NAME_MAX + 1];
    *why = "no CA of identity.certificates";
    for (size_t i = 0; i < conf->nrules; i++) {
        int rc = trusted(conf->rules[i].cas, c, now);
        if (rc != X509_V_OK) {
            *why = X509_verify_cert_error_string(rc);
            continue;
        }
        const char *principal = principal_of(&conf->rules[i], c, text, why);
        if (principal == NULL) continue;
        struct jwt_identity *id = identity_of(&conf->rules[i], c, principal);
        if (id == NULL) *why = "out of memory";
        return id;
    }
    return NULL;
}
