#include <config.h>

#include "spoa/page_session.h"

#include "filters/bytes.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct entry {
    uint8_t key[SHA256_DIGEST_LENGTH]; /* of the cookie: who reads our memory later has no cookie */
    struct jwt_identity *who;
    char *client_id;
    char csrf[LOGIN_TOKEN_SIZE];
    uint64_t ends_ms, seen_ms;
};

struct page_sessions {
    struct entry list[PAGE_SESSIONS_MAX];
    size_t n;
};

struct page_sessions *page_sessions_new(void) {
    return calloc(1, sizeof(struct page_sessions));
}

static void drop(struct page_sessions *t, size_t at) {
    struct entry *e = &t->list[at];
    jwt_identity_free(e->who);
    free(e->client_id);
    *e = t->list[--t->n];
    gh_wipe(&t->list[t->n], sizeof *e);
}

void page_sessions_free(struct page_sessions *t) {
    if (t == NULL) return;
    while (t->n > 0) drop(t, 0);
    free(t);
}

size_t page_sessions_count(const struct page_sessions *t) { return t->n; }

/* Room for one more of this principal. */
static void make_room(struct page_sessions *t, const char *principal, uint64_t now) {
    size_t own = 0, oldest_own = 0, oldest = 0;
    for (size_t i = 0; i < t->n;) {
        if (now >= t->list[i].ends_ms)
            drop(t, i);
        else
            i++;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (t->list[i].seen_ms < t->list[oldest].seen_ms) oldest = i;
        if (strcasecmp(t->list[i].who->principal, principal) != 0) continue;
        if (own++ == 0 || t->list[i].seen_ms < t->list[oldest_own].seen_ms) oldest_own = i;
    }
    if (own >= PAGE_SESSIONS_OWN)
        drop(t, oldest_own);
    else if (t->n == PAGE_SESSIONS_MAX)
        drop(t, oldest);
}

bool page_session_begin(struct page_sessions *t, struct jwt_identity *who, const char *client_id, uint64_t now, uint64_t life_ms,
                        char cookie[LOGIN_TOKEN_SIZE]) {
    struct entry e = {.who = who, .client_id = strdup(client_id), .ends_ms = now + life_ms, .seen_ms = now};
    if (e.client_id == NULL || !login_random(cookie) || !login_random(e.csrf)) {
        free(e.client_id);
        jwt_identity_free(who);
        return false;
    }
    SHA256((const unsigned char *)cookie, strlen(cookie), e.key);
    make_room(t, who->principal, now);
    t->list[t->n++] = e;
    return true;
}

static size_t find(const struct page_sessions *t, const char *cookie) {
    uint8_t key[SHA256_DIGEST_LENGTH];
    size_t i = 0;
    SHA256((const unsigned char *)cookie, strlen(cookie), key);
    while (i < t->n && memcmp(t->list[i].key, key, sizeof key) != 0) i++;
    return i;
}

bool page_session_find(struct page_sessions *t, const char *cookie, const char *issuer, const char *client_id, uint64_t now,
                       uint64_t idle_ms, struct page_session *out) {
    size_t i = find(t, cookie);
    if (i == t->n) return false;
    struct entry *e = &t->list[i];
    if (now >= e->ends_ms || now - e->seen_ms >= idle_ms || strcmp(e->who->issuer, issuer) != 0 || strcmp(e->client_id, client_id) != 0) {
        drop(t, i);
        return false;
    }
    e->seen_ms = now;
    *out = (struct page_session){.who = e->who, .csrf = e->csrf, .client_id = e->client_id, .ends_ms = e->ends_ms};
    return true;
}

void page_session_end(struct page_sessions *t, const char *cookie) {
    size_t i = find(t, cookie);
    if (i < t->n) drop(t, i);
}
