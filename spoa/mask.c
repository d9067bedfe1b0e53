#include <config.h>

#include "spoa/mask.h"

#include "spoa/base64url.h"

#include <ctype.h>
#include <string.h>

#define STARS          "***"
#define HEADER_CHARS   1024u /* of a header that are looked at; a multiple of 4 */
#define HEADER_MIN     MASK_NONE
#define SIGNATURE_MIN  40u
#define STARTS_PER_RUN 16u /* places in one run of characters where a token may begin: what goes before may be of the same alphabet */

static bool in_alphabet(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_'; }

static size_t run_len(const char *p, const char *end) {
    const char *q = p;
    while (q < end && in_alphabet(*q)) q++;
    return (size_t)(q - p);
}

/* '{' and then a quote or white space, in base64url. */
static bool may_begin(const char *p) { return p[0] == 'e' && (p[1] == 'y' || p[1] == 'w'); }

static bool is_header(const char *p, size_t len) {
    uint8_t json[BASE64URL_DECODED(HEADER_CHARS)];
    size_t n = 0, take = len < HEADER_CHARS ? len : HEADER_CHARS;
    while (take > 0 && !base64url_decode(p, take, json, &n)) take--; /* bits that are left over: a lenient reader takes them */
    return n > 0 && json[0] == '{' && memmem(json, n, "\"alg\"", 5) != NULL;
}

/* The length of the token whose header is at p; 0: there is none. */
static size_t token_len(const char *p, const char *end, bool cut) {
    size_t header = run_len(p, end);
    const char *q = p + header;
    if (header < HEADER_MIN || q == end || *q != '.' || !is_header(p, header)) return 0;
    q++;
    q += run_len(q, end);
    if (q == end) return cut ? (size_t)(q - p) : 0;
    if (*q != '.') return 0;
    size_t last = run_len(++q, end);
    q += last;
    if (last < SIGNATURE_MIN && !(cut && q == end)) return 0;
    while (end - q > 1 && *q == '.' && in_alphabet(q[1])) { /* of an encrypted one (RFC 7516) there are five */
        q++;
        q += run_len(q, end);
    }
    return (size_t)(q - p);
}

/* The first token from p on, and its length. NULL: there is none. */
static const char *find(const char *p, const char *end, bool cut, size_t *len) {
    if (end - p <= HEADER_MIN || memchr(p + HEADER_MIN, '.', (size_t)(end - p) - HEADER_MIN) == NULL) return NULL; /* as for most texts */
    while (p < end) {
        size_t run = run_len(p, end);
        if (run == 0) {
            p++;
            continue;
        }
        if (p + run < end && p[run] == '.') {
            size_t tries = 0;
            for (size_t i = 0; i + HEADER_MIN <= run && tries < STARTS_PER_RUN; i++) {
                if (!may_begin(p + i)) continue;
                tries++;
                *len = token_len(p + i, end, cut);
                if (*len > 0) return p + i;
            }
        }
        p += run;
    }
    return NULL;
}

size_t mask_tokens(char *text, size_t len, bool cut) {
    const char *end = text + len, *from = text, *found;
    char *at = text;
    size_t n;
    while ((found = find(from, end, cut, &n)) != NULL) {
        size_t before = (size_t)(found - from);
        if (at != from) memmove(at, from, before);
        at += before;
        memcpy(at, STARS, sizeof STARS - 1); /* a token is longer */
        at += sizeof STARS - 1;
        from = found + n;
    }
    if (at == text && from == text) return len;
    memmove(at, from, (size_t)(end - from));
    return (size_t)(at - text) + (size_t)(end - from);
}

bool mask_needed(const char *text, size_t len, bool cut) {
    size_t n;
    return find(text, text + len, cut, &n) != NULL;
}

void mask_string(char *text, bool cut) { text[mask_tokens(text, strlen(text), cut)] = '\0'; }
