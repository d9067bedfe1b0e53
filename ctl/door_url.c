/* The same questions as at the admin door, over HTTPS to the API beside the approvers' page (spoa/page.h). */
#include "config.h"

#include "ctl/door_int.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_S    30L
#define CONNECT_S 10L

struct door_url door_url;

bool door_use_url(const char *url, const char *ca) {
    size_t len = strlen(url);
    if (len > 0 && url[len - 1] == '/') len--;
    if (strncmp(url, "https://", 8) != 0 || len <= 8 || len >= sizeof door_url.base || memchr(url + 8, '/', len - 8) != NULL) {
        fprintf(stderr, "gatehousectl: \"%.200s\" is not the page's address: https://NAME or https://NAME:PORT\n", url);
        return false;
    }
    snprintf(door_url.base, sizeof door_url.base, "%.*s", (int)len, url);
    door_url.ca = ca;
    return true;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg) {
    struct buf *b = arg;
    (void)size; /* always 1 */
    buf_put(b, data, n);
    return b->failed ? 0 : n;
}

static bool set_up(CURL *e, const char *url, struct curl_slist *fields, const char *body, struct buf *answer, char *error) {
    bool ok = curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK && curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HTTPHEADER, fields) == CURLE_OK && curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_S) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_TIMEOUT, WAIT_S) == CURLE_OK && curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK && curl_easy_setopt(e, CURLOPT_WRITEDATA, answer) == CURLE_OK;
    if (ok && body != NULL) ok = curl_easy_setopt(e, CURLOPT_POSTFIELDS, body) == CURLE_OK;
    if (ok && door_url.ca != NULL)
        ok = curl_easy_setopt(e, CURLOPT_CAINFO, door_url.ca) == CURLE_OK && curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;
    return ok;
}

/* The fields; a token is wiped by free_fields(). NULL without memory. */
static struct curl_slist *make_fields(const char *token, bool post) {
    struct curl_slist *fields = curl_slist_append(NULL, post ? "Content-Type: application/json" : "Accept: application/json");
    char *line = NULL;
    if (fields == NULL || token == NULL) return fields;
    if (asprintf(&line, "Authorization: Bearer %s", token) < 0) line = NULL;
    struct curl_slist *more = line == NULL ? NULL : curl_slist_append(fields, line);
    door_token_free(line);
    if (more == NULL) curl_slist_free_all(fields);
    return more;
}

static void free_fields(struct curl_slist *fields) {
    for (struct curl_slist *s = fields; s != NULL; s = s->next) gh_wipe(s->data, strlen(s->data));
    curl_slist_free_all(fields);
}

int door_url_exchange(const char *path, const json_t *body, const char *token, json_t **out) {
    char url[sizeof door_url.base + 300], error[CURL_ERROR_SIZE] = "";
    struct buf answer = BUF_INIT(DOOR_ANSWER_MAX);
    long status = 0;
    if (strncmp(path, "/approvals", 10) != 0) {
        fputs("gatehousectl: that is for the admin door on the node itself, not for --url\n", stderr);
        return -1;
    }
    snprintf(url, sizeof url, "%s/api%s", door_url.base, path);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct curl_slist *fields = make_fields(token, body != NULL);
    CURL *e = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    bool ok = e != NULL && fields != NULL && (body == NULL || text != NULL) && set_up(e, url, fields, text, &answer, error);
    CURLcode code = ok ? curl_easy_perform(e) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK) {
        curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
        *out = json_loadb((const char *)buf_at(&answer), buf_used(&answer), 0, NULL);
    } else
        fprintf(
            stderr,
            "gatehousectl: cannot reach %s: %s\n"
            "    do: see that it is page.url of gatehouse.yaml, and name its authority with --ca-file when the system does not know it\n",
            door_url.base, error[0] != '\0' ? error : curl_easy_strerror(code));
    curl_easy_cleanup(e);
    free_fields(fields);
    free(text);
    buf_free(&answer);
    return code == CURLE_OK ? (int)status : -1;
}
