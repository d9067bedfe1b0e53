#include <config.h>

#include "spoa/keyfetch.h"

#include "spoa/keydoc.h"
#include "spoa/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX   65536u /* bytes of all header fields */
#define CONNECT_MS 5000L

struct keyfetch {
    CURL *easy;
    struct curl_slist *fields;
    char *form;
    bool secret; /* what was sent, and what comes */
    void *owner;
    struct buf body;
    size_t head;
    bool too_large;
    int64_t max_age;
    uint64_t timeout_ms;
    char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *data, size_t size, size_t n, void *arg) {
    struct keyfetch *f = arg;
    (void)size; /* always 1 */
    buf_put(&f->body, data, n);
    f->too_large = f->body.failed;
    return f->too_large ? 0 : n;
}

static size_t on_head(char *data, size_t size, size_t n, void *arg) {
    static const char name[] = "cache-control:";
    struct keyfetch *f = arg;
    (void)size;
    if (n > HEAD_MAX - f->head) {
        f->too_large = true;
        return 0;
    }
    f->head += n;
    if (n >= sizeof name - 1 && strncasecmp(data, name, sizeof name - 1) == 0)
        f->max_age = keydoc_max_age(data + sizeof name - 1, n - (sizeof name - 1));
    return n;
}

static bool set_up(struct keyfetch *f, const struct keyfetch_conf *c) {
    CURL *e = f->easy;
    bool ok = outbound(e, c->url, c->allow_http, c->ca, c->timeout_ms, f->error) &&
              curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)KEYDOC_SIZE_MAX) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK && curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->fields) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK && curl_easy_setopt(e, CURLOPT_WRITEDATA, f) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK && curl_easy_setopt(e, CURLOPT_HEADERDATA, f) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PRIVATE, f) == CURLE_OK;
    if (!ok || f->form == NULL) return ok;
    return curl_easy_setopt(e, CURLOPT_POSTFIELDS, f->form) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(f->form)) == CURLE_OK;
}

struct keyfetch *keyfetch_start(CURLM *multi, const struct keyfetch_conf *conf, void *owner) {
    struct keyfetch *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    f->easy = curl_easy_init();
    f->fields = curl_slist_append(NULL, "Accept: application/json");
    struct curl_slist *more =
        conf->authorization == NULL || f->fields == NULL ? f->fields : curl_slist_append(f->fields, conf->authorization);
    f->secret = conf->form != NULL;
    f->form = conf->form == NULL ? NULL : strdup(conf->form);
    f->owner = owner;
    f->body = BUF_INIT(KEYDOC_SIZE_MAX);
    f->max_age = -1;
    f->timeout_ms = conf->timeout_ms;
    if (f->easy != NULL && f->fields != NULL && more != NULL && (f->form == NULL) == (conf->form == NULL) && set_up(f, conf) &&
        curl_multi_add_handle(multi, f->easy) == CURLM_OK)
        return f;
    keyfetch_free(NULL, f);
    return NULL;
}

struct keyfetch *keyfetch_of(CURL *easy) {
    char *f = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &f);
    return (struct keyfetch *)(void *)f;
}

void *keyfetch_owner(const struct keyfetch *f) { return f->owner; }

const char *keyfetch_result(struct keyfetch *f, CURLcode code, struct cur *text, int64_t *max_age, char *why, size_t size) {
    const char *what = f->error[0] != '\0' ? f->error : curl_easy_strerror(code);
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (f->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        snprintf(why, size, "the answer is too large");
        return "too large";
    }
    switch (code) {
    case CURLE_OK: break;
    case CURLE_OPERATION_TIMEDOUT: snprintf(why, size, "no answer within %llu ms", (unsigned long long)f->timeout_ms); return "timeout";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM: snprintf(why, size, "TLS: %s", what); return "tls";
    default: snprintf(why, size, "%s", what); return "unreachable";
    }
    if (status != 200) {
        snprintf(why, size, "the answer's status is %ld%s", status, status >= 300 && status < 400 ? "; redirects are not followed" : "");
        return "status";
    }
    *text = keyfetch_body(f);
    *max_age = f->max_age;
    return NULL;
}

struct cur keyfetch_body(const struct keyfetch *f) {
    return cur_of(buf_at(&f->body), buf_used(&f->body));
}

void keyfetch_free(CURLM *multi, struct keyfetch *f) {
    if (f == NULL) return;
    if (multi != NULL) curl_multi_remove_handle(multi, f->easy);
    curl_easy_cleanup(f->easy);
    for (struct curl_slist *s = f->fields; f->secret && s != NULL; s = s->next) gh_wipe(s->data, strlen(s->data));
    curl_slist_free_all(f->fields);
    if (f->form != NULL) gh_wipe(f->form, strlen(f->form));
    free(f->form);
    if (f->secret && f->body.data != NULL) gh_wipe(f->body.data, f->body.cap);
    buf_free(&f->body);
    free(f);
}
