/* What a provider publishes about its keys: addresses, the discovery document (OpenID Connect Discovery 1.0, section 4), how long a set may be
 * kept (RFC 9111, section 5.2). No I/O. */
#ifndef GH_SPOA_KEYDOC_H
#define GH_SPOA_KEYDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYDOC_URL_MAX  2048u             /* bytes of an address */
#define KEYDOC_SIZE_MAX ((size_t)1 << 20) /* of a document */

/* True for an absolute https address without user, password and fragment; allow_http: also for http to 127.0.0.0/8 and ::1, written as
 * numbers. Else false, and a sentence in err. */
bool keydoc_url_ok(const char *url, bool allow_http, char *err, size_t errlen);
/* Where the issuer's discovery document is; the caller frees. NULL when out of memory. */
char *keydoc_discovery_url(const char *issuer);
/* The jwks_uri of a discovery document, whose issuer must be issuer, byte for byte; the caller frees. NULL, and a sentence in err. */
char *keydoc_jwks_uri(const char *text, size_t len, const char *issuer, bool allow_http, char *err, size_t errlen);
/* An address of a discovery document, by its member's name, likewise. */
char *keydoc_endpoint(const char *text, size_t len, const char *issuer, const char *member, bool allow_http, char *err, size_t errlen);
/* How many seconds a value of Cache-Control lets a document be kept: 0 for no-store and no-cache, -1 when it does not say. */
int64_t keydoc_max_age(const char *value, size_t len);

#endif
