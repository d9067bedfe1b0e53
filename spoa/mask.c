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

/* What a header says of the parts behind it. */
struct header {
    bool encrypted; /* five parts, of which the others are bytes (RFC 7516) */
    bool other;     /* a payload that is no JSON as it stands: compressed, or a token again */
};

static bool has(const uint8_t *json, size_t n, const char *name) { return memmem(json, n, name, strlen(name)) != NULL; }

static bool is_header(const char *p, size_t len, struct header *h) {
    uint8_t json[BASE64URL_DECODED(HEADER_CHARS)];
    size_t n = 0, take = len < HEADER_CHARS ? len : HEADER_CHARS;
    while (take > 0 && !base64url_decode(p, take, json, &n)) take--; /* bits that are left over: a lenient reader takes them */
    if (n == 0 || json[0] != '{' || !has(json, n, "\"alg\"")) return false;
    h->encrypted = has(json, n, "\"enc\"");
    h->other = len > HEADER_CHARS || has(json, n, "\"zip\"") || has(json, n, "\"cty\"");
    return true;
}

/* The bytes of four characters at most, bits that are left over included. Gives their number. */
static size_t group(const char *p, size_t len, uint8_t out[BASE64URL_DECODED(4)]) {
    char four[4] = {'A', 'A', 'A', 'A'};
    size_t take = len < 4 ? len : 4, n;
    memcpy(four, p, take);
    return base64url_decode(four, 4, out, &n) ? take * 6 / 8 : 0;
}

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* '{' and a name or nothing, as every JSON object begins; or "ey", "ew": a token within. cut: it may end before that. */
static bool begins_claims(const char *p, size_t len, bool cut) {
    uint8_t bytes[BASE64URL_DECODED(4)], first = 0;
    for (size_t at = 0; at < len; at += 4) {
        size_t n = group(p + at, len - at, bytes);
        for (size_t i = 0; i < n; i++) {
            if (first == 'e') return bytes[i] == 'y' || bytes[i] == 'w';
            if (is_blank(bytes[i])) continue;
            if (first == '{') return bytes[i] == '"' || bytes[i] == '}';
            if (bytes[i] != '{' && bytes[i] != 'e') return false;
            first = bytes[i];
        }
    }
    return cut;
}

static bool ends_claims(const char *p, size_t len) {
    uint8_t bytes[BASE64URL_DECODED(4)];
    for (size_t groups = (len + 3) / 4; groups > 0; groups--)
        for (size_t at = (groups - 1) * 4, n = group(p + at, len - at, bytes); n > 0; n--)
            if (!is_blank(bytes[n - 1])) return bytes[n - 1] == '}';
    return false;
}

/* A payload that no reader of tokens could take for claims is none; nothing more is asked of it, because readers differ. An empty one is elsewhere. */
static bool is_claims(const char *p, size_t len) {
    if (len == 0) return true;
    uint8_t bytes[BASE64URL_DECODED(4)];
    if (!begins_claims(p, len, false)) return false;
    return (group(p, len, bytes) > 0 && bytes[0] == 'e') || ends_claims(p, len);
}

/* The length of the token whose header is at p; 0: there is none. */
static size_t token_len(const char *p, const char *end, bool cut) {
    struct header h;
    size_t header = run_len(p, end);
    const char *q = p + header;
    if (header < HEADER_MIN || q == end || *q != '.' || !is_header(p, header, &h)) return 0;
    const char *payload = ++q;
    size_t claims = run_len(q, end), parts = 3;
    q += claims;
    if (q == end) return cut && (h.encrypted || h.other || begins_claims(payload, claims, true)) ? (size_t)(q - p) : 0;
    if (*q != '.') return 0;
    size_t last = run_len(++q, end);
    q += last;
    const bool ends = last >= SIGNATURE_MIN || (cut && q == end);
    const bool is_signed = ends && (h.other || is_claims(payload, claims));
    if (!is_signed && !h.encrypted) return 0; /* before what is behind it is looked through, again for each dot */
    for (; (is_signed || parts < 5) && end - q > 1 && *q == '.' && in_alphabet(q[1]); parts++) {
        q++;
        q += run_len(q, end);
    }
    if (cut && end - q == 1 && *q == '.') q = end;
    return is_signed || parts >= 5 || (cut && q == end) ? (size_t)(q - p) : 0; /* of an encrypted one parts have any length */
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
