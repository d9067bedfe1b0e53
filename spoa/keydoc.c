#include <config.h>

#include "spoa/keydoc.h"

#include "spoa/json_read.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AGE_MAX 315360000 /* ten years, in seconds: more is not worth an overflow */

static bool is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    char inner[64];
    size_t len = strlen(host);
    if (inet_pton(AF_INET, host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    if (len < 3 || len - 2 >= sizeof inner || host[0] != '[' || host[len - 1] != ']') return false;
    snprintf(inner, sizeof inner, "%.*s", (int)(len - 2), host + 1);
    return inet_pton(AF_INET6, inner, &v6) == 1 && memcmp(&v6, &in6addr_loopback, sizeof v6) == 0;
}

static bool has_part(CURLU *u, CURLUPart part) {
    char *text = NULL;
    bool there = curl_url_get(u, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

static bool url_parts_ok(CURLU *u, bool allow_http, const char **why) {
    char *scheme = NULL, *host = NULL;
    bool ok = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    *why = "it names no host";
    if (ok && (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD) || has_part(u, CURLUPART_FRAGMENT))) {
        *why = "it has a user, a password or a fragment";
        ok = false;
    } else if (ok && strcasecmp(scheme, "https") != 0) {
        ok = strcasecmp(scheme, "http") == 0 && allow_http && is_loopback(host);
        *why = strcasecmp(scheme, "http") == 0 && allow_http ? "http is for 127.0.0.1 and [::1] alone" : "it must begin with https://";
    }
    curl_free(scheme);
    curl_free(host);
    return ok;
}

/* As RFC 3986 writes it: libcurl also takes one slash or three, and characters that a person who reads the address does not see. */
static bool is_plain(const char *url) {
    size_t scheme = strncasecmp(url, "http", 4) != 0 ? 0 : url[4] == 's' || url[4] == 'S' ? 5 : 4;
    for (const char *p = url; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~') return false;
    return scheme > 0 && strncmp(url + scheme, "://", 3) == 0 && url[scheme + 3] != '/';
}

bool keydoc_url_ok(const char *url, bool allow_http, char *err, size_t errlen) {
    const char *why = "it is too long";
    bool ok = strlen(url) <= KEYDOC_URL_MAX;
    if (ok && !is_plain(url)) {
        why = "it is no absolute https address";
        ok = false;
    }
    CURLU *u = ok ? curl_url() : NULL;
    if (ok && u == NULL) why = "out of memory";
    ok = u != NULL;
    if (ok && curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK) {
        why = "it is no absolute https address";
        ok = false;
    }
    if (ok) ok = url_parts_ok(u, allow_http, &why);
    curl_url_cleanup(u);
    if (!ok) snprintf(err, errlen, "the address %.200s cannot be used: %s", url, why);
    return ok;
}

char *keydoc_discovery_url(const char *issuer) {
    size_t len = strlen(issuer);
    char *url = NULL;
    if (len > 0 && issuer[len - 1] == '/') len--; /* section 4.1 */
    return asprintf(&url, "%.*s/.well-known/openid-configuration", (int)len, issuer) < 0 ? NULL : url;
}

char *keydoc_endpoint(const char *text, size_t len, const char *issuer, const char *member, bool allow_http, char *err, size_t errlen) {
    json_error_t where;
    json_t *root = len > KEYDOC_SIZE_MAX ? NULL : json_read(text, len, JSON_REJECT_DUPLICATES, &where);
    const char *its = json_string_value(json_object_get(root, "issuer")), *uri = json_string_value(json_object_get(root, member));
    char *copy = NULL;
    if (!json_is_object(root))
        snprintf(err, errlen, "the discovery document is no JSON object");
    else if (its == NULL || strcmp(its, issuer) != 0)
        snprintf(err, errlen, "the discovery document is of the issuer \"%.200s\", not of \"%.200s\"", its == NULL ? "" : its, issuer);
    else if (uri == NULL)
        snprintf(err, errlen, "the discovery document has no %s", member);
    else if (keydoc_url_ok(uri, allow_http, err, errlen) && (copy = strdup(uri)) == NULL)
        snprintf(err, errlen, "out of memory");
    json_decref(root);
    return copy;
}

char *keydoc_jwks_uri(const char *text, size_t len, const char *issuer, bool allow_http, char *err, size_t errlen) {
    return keydoc_endpoint(text, len, issuer, "jwks_uri", allow_http, err, errlen);
}

static bool starts(const char *word, size_t len, const char *name) {
    return len >= strlen(name) && strncasecmp(word, name, strlen(name)) == 0;
}

/* delta-seconds (RFC 9111, section 1.2.2), also in quotes. */
static int64_t seconds(const char *s, size_t len) {
    int64_t n = 0;
    if (len >= 2 && s[0] == '"' && s[len - 1] == '"') {
        s++;
        len -= 2;
    }
    if (len == 0) return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9') return -1;
        if (n < AGE_MAX) n = n * 10 + (s[i] - '0');
    }
    return n < AGE_MAX ? n : AGE_MAX;
}

int64_t keydoc_max_age(const char *value, size_t len) {
    const char *end = value + len;
    int64_t age = -1;
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value)), *stop = comma == NULL ? end : comma;
        const char *p = value, *q = stop;
        while (p < q && (*p == ' ' || *p == '\t')) p++;
        while (q > p && (q[-1] == ' ' || q[-1] == '\t' || q[-1] == '\r' || q[-1] == '\n')) q--;
        size_t n = (size_t)(q - p);
        if (starts(p, n, "no-store") || starts(p, n, "no-cache")) return 0;
        if (age < 0 && starts(p, n, "max-age=")) age = seconds(p + 8, n - 8);
        value = comma == NULL ? end : comma + 1;
    }
    return age;
}
