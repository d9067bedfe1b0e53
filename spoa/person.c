#include <config.h>

#include "spoa/person.h"

#include "filters/bytes.h"
#include "spoa/starved.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <wctype.h>

#define FOLDED 2048u /* of a name; one has at most a few hundred bytes */

static locale_t utf8;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* A part of every C library that Gatehouse runs on, and so independent of what is installed. */
static void get_locale(void) { utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", NULL); }

static bool ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

static size_t char_len(const char *s) {
    size_t n = 1;
    while (((unsigned char)s[n] & 0xc0) == 0x80) n++;
    return n;
}

static uint32_t code_point(const char *s, size_t n) {
    uint32_t c = (unsigned char)s[0];
    c = n == 1 ? c : n == 2 ? c & 0x1fu : n == 3 ? c & 0x0fu : c & 0x07u;
    for (size_t i = 1; i < n; i++) c = c << 6 | ((unsigned char)s[i] & 0x3fu);
    return c;
}

/* One character: what ASCII has in its place, if it has something (nothing for an accent that combines), else itself in lower case. */
static void fold_char(iconv_t to, const char *s, size_t n, struct buf *out) {
    char plain[32], *in = (char *)(uintptr_t)s, *at = plain;
    size_t left = n, room = sizeof plain;
    iconv(to, NULL, NULL, NULL, NULL);
    bool ok = iconv(to, &in, &left, &at, &room) != (size_t)-1;
    if (!ok || (at - plain == 1 && plain[0] == '?' && s[0] != '?'))
        buf_be32(out, (uint32_t)towlower_l((wint_t)code_point(s, n), utf8) | 0x80000000u);
    else
        for (const char *p = plain; p < at; p++) buf_u8(out, (uint8_t)tolower((unsigned char)*p));
}

static bool fold(const char *s, struct buf *out) {
    pthread_once(&once, get_locale);
    if (utf8 == (locale_t)0) return false;
    locale_t was = uselocale(utf8);
    iconv_t to = iconv_open("ASCII//TRANSLIT", "UTF-8");
    bool ok = to != (iconv_t)-1;
    for (size_t n; ok && *s != '\0'; s += n) {
        n = char_len(s);
        fold_char(to, s, n, out);
    }
    if ((!ok && errno == ENOMEM) || out->no_memory) starved_note();
    if (ok) iconv_close(to);
    uselocale(was);
    return ok && !out->failed;
}

/* unsure: what to say where it cannot be told. */
static bool same(const char *a, const char *b, bool unsure) {
    if (strcasecmp(a, b) == 0) return true;
    if (ascii(a) && ascii(b)) return false;
    struct buf x = BUF_INIT(FOLDED), y = BUF_INIT(FOLDED);
    bool yes = unsure;
    if (fold(a, &x) && fold(b, &y))
        yes = buf_used(&x) == buf_used(&y) && (buf_used(&x) == 0 || memcmp(buf_at(&x), buf_at(&y), buf_used(&x)) == 0);
    buf_free(&x);
    buf_free(&y);
    return yes;
}

bool person_same(const char *a, const char *b) { return same(a, b, true); }
bool person_surely_same(const char *a, const char *b) { return same(a, b, false); }
