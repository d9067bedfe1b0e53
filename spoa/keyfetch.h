/* One document of a provider, fetched by HTTPS (libcurl) without blocking: certificate and name verified, no redirect, no proxy, no
 * cookies, no compression, bounded in bytes and time. */
#ifndef GH_SPOA_KEYFETCH_H
#define GH_SPOA_KEYFETCH_H

#include "filters/bytes.h"

#include <curl/curl.h>

struct keyfetch_conf {
    const char *url;
    const char *ca; /* PEM; NULL: the system's */
    bool allow_http;
    uint64_t timeout_ms;       /* for everything, name service included */
    const char *form;          /* POST this, application/x-www-form-urlencoded; NULL: GET. Copied, and wiped in the end */
    const char *authorization; /* the whole header line; NULL: none. Likewise */
};

struct keyfetch; /* one transfer */
/* Begins it on the multi handle; owner is for keyfetch_owner(). NULL when out of memory. */
struct keyfetch *keyfetch_start(CURLM *multi, const struct keyfetch_conf *conf, void *owner);
/* The transfer of a handle that curl_multi_info_read() gave. */
struct keyfetch *keyfetch_of(CURL *easy);
void *keyfetch_owner(const struct keyfetch *f);
/* After it ended with code: NULL when the document is there (*text, valid until keyfetch_free(), and *max_age, as keydoc_max_age()), else a
 * word for the metrics; and a sentence in why. */
const char *keyfetch_result(struct keyfetch *f, CURLcode code, struct cur *text, int64_t *max_age, char *why, size_t size);
/* What came, whatever its status; valid until keyfetch_free(). */
struct cur keyfetch_body(const struct keyfetch *f);
/* Also ends a transfer that is under way. NULL is fine. */
void keyfetch_free(CURLM *multi, struct keyfetch *f);

#endif
