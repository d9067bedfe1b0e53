/* Shared by jwt.c and jwt_claims.c. */
#ifndef GH_SPOA_JWT_INT_H
#define GH_SPOA_JWT_INT_H

#include "spoa/jwt.h"

#include <jansson.h>

/* The claims of a token whose signature was verified, by the key kid: audience, times, what is required, then who it is. JWT_OK: *out is
 * the caller's; else it is left alone. *claim: as in struct jwt_why. */
enum jwt_rc jwt_read_identity(const struct jwt_issuer *iss, const json_t *claims, const char *kid, int64_t now, struct jwt_identity **out,
                              const char **claim);
/* RFC 7519, section 2: a NumericDate, which may have a fraction (cut off). False for anything else, and beyond 2^53. */
bool jwt_read_time(const json_t *v, int64_t *seconds);

#endif
