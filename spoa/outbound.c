#include <config.h>

#include "spoa/outbound.h"

#include <string.h>

bool outbound(CURL *e, const char *url, bool allow_http, const char *ca, uint64_t timeout_ms, char *error) {
    bool ok = curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, allow_http ? "https,http" : "https") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK && curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_NOPROXY, "*") == CURLE_OK && curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_USERAGENT, "gatehouse") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error) == CURLE_OK;
    if (!ok || ca == NULL) return ok;
    /* Only these: the system's folder would be asked as well. */
    struct curl_blob blob = {.data = (void *)(uintptr_t)ca, .len = strlen(ca), .flags = CURL_BLOB_COPY};
    return curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK && curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;
}
