#include <config.h>

#include "spoa/mask.h"

#include "spoa/base64url.h"

#include <string.h>

#define STARS          "***"
#define HEADER_CHARS   1024u /* of a header that are looked at; a multiple of 4 */
#define HEADER_MIN     MASK_NONE
#define SIGNATURE_MIN  40u
#define STARTS_PER_RUN 16u /* places in one run of characters where a token may begin: what goes before may be of the same alphabet */

#define TEN(c)    [c] = 1, [c + 1] = 1, [c + 2] = 1, [c + 3] = 1, [c + 4] = 1, [c + 5] = 1, [c + 6] = 1, [c + 7] = 1, [c + 8] = 1, [c + 9] = 1
#define LETTER(c) TEN(c), TEN(c + 10), [c + 20] = 1, [c + 21] = 1, [c + 22] = 1, [c + 23] = 1, [c + 24] = 1, [c + 25] = 1
static const unsigned char alphabet[256] = {TEN('0'), LETTER('A'), LETTER('a'), ['-'] = 1, ['_'] = 1}; /* base64url's */

static bool in_alphabet(char c) { return alphabet[(unsigned char)c] != 0; }

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

/* The first token from p on, and its length. NULL: there is none. A header ends at a dot, so only what stands before dots is looked at. */
static const char *find(const char *p, const char *end, bool cut, size_t *len) {
    for (const char *from = p, *dot; end - from > HEADER_MIN; from = dot + 1) {
        dot = memchr(from + HEADER_MIN, '.', (size_t)(end - from) - HEADER_MIN);
        if (dot == NULL) return NULL;
        const char *run = dot;
        while (run > from && in_alphabet(run[-1])) run--;
        size_t tries = 0;
        for (; dot - run >= HEADER_MIN && tries < STARTS_PER_RUN; run++) {
            if (!may_begin(run)) continue;
            tries++;
            *len = token_len(run, end, cut);
            if (*len > 0) return run;
        }
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
