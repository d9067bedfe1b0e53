/* Requests to /metrics and /healthz: no crash; what was said of a prefix holds for the whole; the path lies inside the input. */
#include "spoa/httpd.h"
#include "t/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct httpd_request r = {0}, again = {0};
    if (size > HTTPD_HEAD_MAX) size = HTTPD_HEAD_MAX; /* the server reads no more */
    enum gh_rc rc = httpd_parse(data, size, HTTPD_HEAD_MAX, &r);
    if (rc == GH_OK) {
        const uint8_t *path = (const uint8_t *)r.path;
        if (path < data || r.path_len == 0 || r.path_len > size - (size_t)(path - data) || path[0] != '/') abort();
        if (memchr(path, ' ', r.path_len) != NULL || memchr(path, '?', r.path_len) != NULL || memchr(path, '\n', r.path_len) != NULL)
            abort();
        const char *value;
        size_t len;
        const uint8_t *end = data + size;
        if (httpd_field(&r, "authorization", &value, &len) && len > (size_t)(end - (const uint8_t *)value)) abort();
        if (httpd_body_len(&r, &len) == GH_OK && len > HTTPD_POST_MAX) abort();
        char out[64];
        if (httpd_cookie(&r, "x", out, sizeof out) && strlen(out) >= sizeof out) abort();
        if (httpd_form(r.query, r.query_len, "x", out, sizeof out) && !gh_utf8_valid(out, strlen(out))) abort();
        if (httpd_param(&r, "after", &value, &len) && len > (size_t)(end - (const uint8_t *)value)) abort();
    }
    for (size_t n = size > 512 ? size - 512 : 0; n < size; n++) {
        enum gh_rc early = httpd_parse(data, n, HTTPD_HEAD_MAX, &again);
        if (early == GH_NEED_MORE) continue;
        if (early != rc || (rc == GH_OK && (again.path != r.path || again.path_len != r.path_len || again.method != r.method))) abort();
    }
    return 0;
}
