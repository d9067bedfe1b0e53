/* A client's certificate, as HAProxy shows it (ssl_c_der), and the principal that it stands for.
 *
 * HAProxy has checked that the client holds its key. Whose it is, and that it is valid, is checked here again, against the CA that the
 * configuration names for the mapping: HAProxy's ca-file may trust more CAs than may name principals, and after a resumed TLS session
 * it says nothing of what it found at the first. */
#ifndef GH_SPOA_CERT_H
#define GH_SPOA_CERT_H

#include "spoa/jwt.h"

#include <openssl/x509.h>

#define CERT_DER_MAX 16384u

struct cert {
    X509 *x509;
    char *subject;        /* RFC 2253 */
    char fingerprint[65]; /* SHA-256 of the DER, hex */
    char thumbprint[44];  /* the same in base64url: x5t#S256 of RFC 8705 */
    int64_t not_after;    /* seconds since 1970 */
};
/* NULL when the bytes are not exactly one certificate, or over CERT_DER_MAX, or memory is out. */
struct cert *cert_parse(const void *der, size_t len);
void cert_free(struct cert *c); /* NULL is fine */

enum cert_name { CERT_CN, CERT_DNS, CERT_URI, CERT_EMAIL, CERT_SUBJECT };

/* Whose certificates mean whom. Borrowed and immutable; any number of threads may look. */
struct cert_rule {
    X509_STORE *cas;
    enum cert_name name;    /* where the principal stands */
    const char *only;       /* NULL, or what its text must be; a * at its end stands for any rest */
    const char *const *map; /* text, principal, text, principal, ..., NULL: others have none. NULL: the text is the principal */
    const char *const *groups;
    size_t ngroups;
};
struct cert_conf {
    const struct cert_rule *rules; /* the first that gives a principal counts */
    size_t nrules;
};
/* The CAs of a PEM file, each of them good enough to end a chain. NULL and a sentence in err. */
X509_STORE *cert_cas(const char *path, char *err, size_t size);

/* The identity: its exp and valid_until are the certificate's, its issuer is "x509:" and the issuer's name. NULL and *why (static, for the
 * log) when no rule gives one. The caller frees. */
struct jwt_identity *cert_identify(const struct cert_conf *conf, const struct cert *c, int64_t now, const char **why);

#endif
