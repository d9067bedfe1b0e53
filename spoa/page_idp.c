#include <config.h>

#include "spoa/page_idp.h"

#include "spoa/json_read.h"
#include "spoa/keydoc.h"
#include "spoa/keyfetch.h"
#include "spoa/thread.h"
#include "spoa/visible.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRESH_MS   300000u /* how long a discovery document is good */
#define TROUBLE_US 100000u
#define IDLE_MS    60000

struct running {
    struct idp_job *job;
    struct keyfetch *fetch;
    bool token; /* it is the token endpoint that is asked */
};

struct idp {
    CURLM *multi;
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows */
    struct idp_job *queue;
    size_t jobs; /* queued and running */
    bool stopping;
    /* the thread's own: the last discovery document */
    struct running running[IDP_JOBS_MAX];
    char *issuer, *authorization, *token;
    uint64_t read_ms;
};

static void wipe_free(char *s) {
    if (s == NULL) return;
    gh_wipe(s, strlen(s));
    free(s);
}

void idp_job_free(struct idp_job *j) {
    if (j == NULL) return;
    wipe_free(j->form);
    wipe_free(j->authorization);
    wipe_free(j->id_token);
    wipe_free(j->access_token);
    free(j->address);
    free(j);
}

static void finish(struct idp *p, struct running *r) {
    struct idp_job *j = r->job;
    *r = (struct running){0};
    pthread_mutex_lock(&p->lock);
    p->jobs--;
    pthread_mutex_unlock(&p->lock);
    worker_post(j->from, &j->msg); /* it may be gone from here on */
}

static void fail(struct idp *p, struct running *r, const char *what, const char *why) {
    snprintf(r->job->why, sizeof r->job->why, "%s: %s", what, why);
    finish(p, r);
}

/* --- the steps --- */

static bool known(const struct idp *p, const struct idp_job *j) {
    return p->issuer != NULL && strcmp(p->issuer, j->at.issuer) == 0 && worker_now_ms() - p->read_ms < FRESH_MS;
}

static void begin(struct idp *p, struct running *r) {
    struct idp_job *j = r->job;
    if (known(p, j) && j->form == NULL) {
        j->address = strdup(p->authorization);
        if (j->address == NULL) snprintf(j->why, sizeof j->why, "out of memory");
        finish(p, r);
        return;
    }
    r->token = known(p, j);
    char *discovery = r->token ? NULL : keydoc_discovery_url(j->at.issuer);
    const struct keyfetch_conf conf = {.url = r->token ? p->token : discovery,
                                       .ca = j->at.ca,
                                       .allow_http = j->at.allow_http,
                                       .timeout_ms = j->at.timeout_ms,
                                       .form = r->token ? j->form : NULL,
                                       .authorization = r->token ? j->authorization : NULL};
    r->fetch = conf.url == NULL ? NULL : keyfetch_start(p->multi, &conf, r);
    free(discovery);
    if (r->fetch == NULL) fail(p, r, "the provider", "out of memory");
}

static void forget(struct idp *p) {
    free(p->issuer);
    free(p->authorization);
    free(p->token);
    p->issuer = p->authorization = p->token = NULL;
}

/* OpenID Connect Core 1.0, section 8.1: with pairwise subjects one person is two principals, and could approve their own requests. */
static bool pairwise_only(const char *text, size_t len) {
    json_t *o = json_read(text, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *types = json_object_get(o, "subject_types_supported");
    bool any = json_array_size(types) > 0, shared = false;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        shared = shared || (type != NULL && strcmp(type, "public") == 0);
    }
    json_decref(o);
    return any && !shared;
}

static void got_document(struct idp *p, struct running *r, const struct cur *text) {
    const struct conf_provider *at = &r->job->at;
    const char *body = (const char *)text->p;
    char why[300];
    forget(p);
    p->authorization = keydoc_endpoint(body, cur_left(text), at->issuer, "authorization_endpoint", at->allow_http, why, sizeof why);
    if (p->authorization != NULL)
        p->token = keydoc_endpoint(body, cur_left(text), at->issuer, "token_endpoint", at->allow_http, why, sizeof why);
    if (p->token != NULL && (p->issuer = strdup(at->issuer)) == NULL) snprintf(why, sizeof why, "out of memory");
    if (p->issuer == NULL) {
        forget(p);
        fail(p, r, "the provider", why);
        return;
    }
    if (r->job->by_subject && pairwise_only(body, cur_left(text))) {
        forget(p);
        fail(p, r, "the provider",
             "it gives each client another sub for the same person (pairwise), who could approve their own requests: use "
             "another principal_claim");
        return;
    }
    p->read_ms = worker_now_ms();
    begin(p, r);
}

/* NULL when it is no text, or one with a NUL. */
static char *copy_of(const json_t *token) {
    const char *s = json_string_value(token);
    return s != NULL && strlen(s) == json_string_length(token) ? strdup(s) : NULL;
}

static void got_token(struct idp *p, struct running *r, const struct cur *text) {
    json_t *o = json_read((const char *)text->p, cur_left(text), JSON_REJECT_DUPLICATES, NULL);
    r->job->id_token = copy_of(json_object_get(o, "id_token"));
    r->job->access_token = copy_of(json_object_get(o, "access_token"));
    bool ok = r->job->id_token != NULL;
    json_decref(o);
    if (ok)
        finish(p, r);
    else
        fail(p, r, "the token endpoint's answer", "no JSON object with an id_token: the scope must have openid");
}

/* What the provider says of a refusal (RFC 6749, section 5.2), for the log: a code of a few words. */
static void add_error(struct keyfetch *f, char *why, size_t size) {
    struct cur body = keyfetch_body(f);
    json_t *o = json_read((const char *)body.p, cur_left(&body), 0, NULL);
    const json_t *code = json_object_get(o, "error"), *more = json_object_get(o, "error_description");
    struct buf b = BUF_INIT(200);
    if (json_is_string(code)) {
        visible_line(&b, json_string_value(code), json_string_length(code), 60);
        if (json_is_string(more)) {
            buf_str(&b, ": ");
            visible_line(&b, json_string_value(more), json_string_length(more), b.max);
        }
        size_t at = strlen(why);
        if (at < size) snprintf(why + at, size - at, ", %.*s", (int)buf_used(&b), (const char *)buf_at(&b));
    }
    buf_free(&b);
    json_decref(o);
}

static void fetched(struct idp *p, struct keyfetch *f, CURLcode code) {
    struct running *r = keyfetch_owner(f);
    struct cur text;
    int64_t max_age;
    char why[300];
    const char *word = keyfetch_result(f, code, &text, &max_age, why, sizeof why);
    r->fetch = NULL;
    if (word != NULL) {
        if (r->token) {
            add_error(f, why, sizeof why);
            forget(p); /* it may have moved */
        }
        fail(p, r, r->token ? "the token endpoint" : "the discovery document", why);
    } else if (r->token)
        got_token(p, r, &text);
    else
        got_document(p, r, &text);
    keyfetch_free(p->multi, f);
}

/* --- the thread --- */

static void take(struct idp *p) {
    for (size_t i = 0; i < IDP_JOBS_MAX; i++) {
        if (p->running[i].job != NULL) continue;
        pthread_mutex_lock(&p->lock);
        struct idp_job *j = p->queue;
        if (j != NULL) p->queue = j->next;
        pthread_mutex_unlock(&p->lock);
        if (j == NULL) return;
        p->running[i] = (struct running){.job = j};
        begin(p, &p->running[i]);
    }
}

static void *run(void *arg) {
    struct idp *p = arg;
    for (;;) {
        int left, active;
        pthread_mutex_lock(&p->lock);
        bool stop = p->stopping;
        pthread_mutex_unlock(&p->lock);
        if (stop) return NULL;
        take(p);
        curl_multi_perform(p->multi, &active);
        for (CURLMsg *m; (m = curl_multi_info_read(p->multi, &left)) != NULL;) {
            struct keyfetch *f = m->msg == CURLMSG_DONE ? keyfetch_of(m->easy_handle) : NULL;
            if (f != NULL) fetched(p, f, m->data.result);
        }
        if (curl_multi_poll(p->multi, NULL, 0, IDLE_MS, NULL) != CURLM_OK) usleep(TROUBLE_US);
    }
}

struct idp *idp_start(void) {
    struct idp *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    p->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    bool ok = p->multi != NULL && thread_start(&p->thread, 0, run, p) == 0;
    if (ok) return p;
    if (p->multi != NULL) curl_multi_cleanup(p->multi);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

bool idp_submit(struct idp *p, struct idp_job *j) {
    pthread_mutex_lock(&p->lock);
    bool ok = !p->stopping && p->jobs < IDP_JOBS_MAX;
    if (ok) {
        p->jobs++;
        j->next = p->queue;
        p->queue = j;
    }
    pthread_mutex_unlock(&p->lock);
    if (ok) curl_multi_wakeup(p->multi);
    return ok;
}

void idp_stop(struct idp *p) {
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    curl_multi_wakeup(p->multi);
    pthread_join(p->thread, NULL);
    for (size_t i = 0; i < IDP_JOBS_MAX; i++) {
        if (p->running[i].job == NULL) continue;
        keyfetch_free(p->multi, p->running[i].fetch);
        fail(p, &p->running[i], "gatehouse", "it ends");
    }
    while (p->queue != NULL) {
        struct running r = {.job = p->queue};
        p->queue = r.job->next;
        fail(p, &r, "gatehouse", "it ends");
    }
}

void idp_free(struct idp *p) {
    if (p == NULL) return;
    curl_multi_cleanup(p->multi);
    pthread_mutex_destroy(&p->lock);
    forget(p);
    free(p);
}
