/* What every request that the daemon makes of somebody else has in common. */
#ifndef GH_SPOA_OUTBOUND_H
#define GH_SPOA_OUTBOUND_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/* Over https, or http where that is allowed, to this URL and nowhere else: no redirects, no proxies, TLS 1.2 at least, the server's certificate checked, by
 * these CAs (PEM) alone unless they are NULL. error (CURL_ERROR_SIZE) lives as long as e. False when out of memory. */
bool outbound(CURL *e, const char *url, bool allow_http, const char *ca, uint64_t timeout_ms, char *error);

#endif
