/* One POST of a hook, signed. */
#include <config.h>

#include "spoa/hooks.h"

#include "filters/bytes.h"
#include "spoa/outbound.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX (64u << 10) /* bytes of an answer, which nobody reads */

struct post {
    const struct hook_try *t;
    size_t answer;
    char error[CURL_ERROR_SIZE];
};

static size_t on_answer(char *data, size_t size, size_t n, void *arg) {
    struct post *p = arg;
    (void)data;
    (void)size;
    p->answer += n;
    return p->answer > ANSWER_MAX ? 0 : n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct post *p = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(p->t->stop);
}

/* "t=SECONDS,sha256=HEX" or "t=SECONDS,ed25519=BASE64URL,key=BASE64URL", over SECONDS, a full stop, and the body. */
static bool sign(const struct hook_try *t, struct buf *out) {
    struct buf b = BUF_INIT((size_t)8 << 20);
    char stamp[32], signature[NODEKEY_SIGNATURE_SIZE];
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned n = sizeof md;
    snprintf(stamp, sizeof stamp, "%lld", (long long)time(NULL));
    buf_str(&b, stamp);
    buf_u8(&b, '.');
    buf_str(&b, t->body);
    bool ok = !b.failed;
    buf_str(out, "Gatehouse-Signature: t=");
    buf_str(out, stamp);
    if (ok && t->conf->secret != NULL) {
        ok = HMAC(EVP_sha256(), t->conf->secret, (int)strlen(t->conf->secret), buf_at(&b), buf_used(&b), md, &n) != NULL && n == 32;
        buf_str(out, ",sha256=");
        if (ok) buf_hex(out, md, n);
    }
    if (ok && t->conf->node_signs) {
        ok = nodekey_sign(t->key, buf_at(&b), buf_used(&b), signature);
        buf_str(out, ",ed25519=");
        if (ok) buf_str(out, signature);
        buf_str(out, ",key=");
        buf_str(out, nodekey_public(t->key));
    }
    buf_u8(out, '\0');
    buf_free(&b);
    return ok && !out->failed;
}

static bool add(struct curl_slist **list, const char *line) {
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more != NULL) *list = more;
    return more != NULL;
}

static bool fields(const struct hook_try *t, struct curl_slist **list) {
    struct buf signature = BUF_INIT(4096);
    char line[256];
    bool ok = sign(t, &signature) && add(list, (const char *)buf_at(&signature));
    buf_free(&signature);
    snprintf(line, sizeof line, "Gatehouse-Event: %.100s", t->event);
    ok = ok && add(list, line);
    snprintf(line, sizeof line, "Gatehouse-Delivery: %.100s", t->id);
    return ok && add(list, line) && add(list, "Content-Type: application/json") && add(list, "Expect:");
}

static bool set_up(CURL *e, struct post *p, struct curl_slist *list) {
    const struct hook_conf *c = p->t->conf;
    return outbound(e, c->url, c->allow_http, c->ca, c->timeout_ms, p->error) &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, list) == CURLE_OK && curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDS, p->t->body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)strlen(p->t->body)) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK && curl_easy_setopt(e, CURLOPT_WRITEDATA, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_XFERINFODATA, p) == CURLE_OK;
}

bool hook_post(const struct hook_try *t, bool *again, char *why, size_t size) {
    struct post p = {.t = t};
    struct curl_slist *list = NULL;
    CURL *e = curl_easy_init();
    long status = 0;
    bool ok = false;
    *again = true;
    snprintf(why, size, "out of memory");
    if (e != NULL && fields(t, &list) && set_up(e, &p, list)) {
        CURLcode code = curl_easy_perform(e);
        curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
        /* It has taken the event when it says so, whatever becomes of the rest of its answer. */
        ok = status >= 200 && status < 300 && (code == CURLE_OK || p.answer > ANSWER_MAX);
        if (ok)
            why[0] = '\0';
        else if (code != CURLE_OK)
            snprintf(why, size, "%s", p.error[0] != '\0' ? p.error : curl_easy_strerror(code));
        else {
            snprintf(why, size, "the answer's status is %ld%s", status,
                     status >= 300 && status < 400 ? "; redirects are not followed" : "");
            *again = status == 408 || status == 429 || status >= 500;
        }
    }
    curl_slist_free_all(list);
    if (e != NULL) curl_easy_cleanup(e);
    return ok;
}
