/* base64url without padding (RFC 4648, section 5), strict: what decodes has one spelling only. */
#ifndef GH_SPOA_BASE64URL_H
#define GH_SPOA_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE64URL_LEN(n)     (((n)*4 + 2) / 3) /* characters for n bytes, without a NUL */
#define BASE64URL_DECODED(n) ((n) / 4 * 3 + 2) /* bytes that n characters give at most */

/* Writes BASE64URL_LEN(len) characters and a NUL. */
void base64url_encode(const void *data, size_t len, char *out);
/* out has room for BASE64URL_DECODED(len) bytes. False for padding, white space, other characters, an impossible length, unused bits that are
 * not zero. */
bool base64url_decode(const char *text, size_t len, uint8_t *out, size_t *out_len);

#endif
