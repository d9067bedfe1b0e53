#include <config.h>

#include "spoa/api_int.h"

#include "spoa/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AGE_MAX_MS (3600u * 1000u) /* then another stream begins: none grows for ever */

static void session_free(struct api_session *s) {
    if (s->counted) registry_leave(s->ws->d->registry);
    if (s->who_counted) registry_principal_leave(s->ws->d->registry, s->who->principal);
    jwt_identity_free(s->who);
    pol_role_free(s->role);
    snap_unref(s->snap);
    free(s->groups);
    free(s->api);
    free(s->database);
    free(s);
}

static void session_end(struct api_session *s, const char *why) {
    const struct identity_close close = {.session = s->id,
                                         .principal = s->who->principal,
                                         .database = s->database,
                                         .reason = why,
                                         .statements = s->statements,
                                         .refused = s->refused,
                                         .duration_ms = worker_now_ms() - s->started_ms};
    identity_record_close(s->ws->d->led, &close);
    *s->link = s->next;
    if (s->next != NULL) s->next->link = s->link;
    s->over = true;
    api_session_unref(s);
}

void api_session_unref(struct api_session *s) {
    if (--s->refs == 0)
        session_free(s);
    else if (s->refs == 1 && !s->over && atomic_load(&s->ws->d->draining))
        session_end(s, "drained");
}

void api_session_renew(struct api_session *s) {
    struct snap *now = wstate_snap(s->ws);
    if (now->generation == s->snap->generation && !identity_outdated(&s->catalog)) return;
    snap_unref(s->snap);
    s->snap = snap_ref(now);
    s->epoch++;
    pol_role_free(s->role);
    s->role = NULL;
    const struct conf_api *api = s->api[0] == '\0' ? NULL : conf_api(now->conf, s->api, strlen(s->api));
    s->db = conf_database(now->conf, s->database);
    if (s->db == NULL || (s->api[0] != '\0' && (api == NULL || strcmp(api->database, s->database) != 0))) return;
    s->role = identity_role(s->ws->d->catalogs, now, s->who, s->db, &s->catalog);
}

void api_session_clock(struct api_session *s) {
    if (pol_role_at(s->role, clock_seconds())) s->epoch++;
}

static bool is_for(const struct api_session *s, const char *api, const char *database, const struct jwt_identity *who) {
    return strcmp(s->api, api) == 0 && strcmp(s->database, database) == 0 && jwt_identity_same(s->who, who);
}

static bool fill(struct api_session *s, const char *api, const struct conf_database *db) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    s->groups = identity_groups(s->who);
    s->api = strdup(api);
    s->database = strdup(db->name);
    s->role = identity_role(s->ws->d->catalogs, s->snap, s->who, db, &s->catalog);
    return s->groups != NULL && s->api != NULL && s->database != NULL && s->role != NULL &&
           sid_make((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u, s->id);
}

static bool admit(struct api_session *s, struct pol_verdict *why) {
    const struct conf_limits *l = &s->snap->conf->limits;
    s->counted = registry_enter(s->ws->d->registry, l->sessions);
    if (!s->counted) {
        stmt_deny(why, "53300", "too many sessions", "Try again later.");
        return false;
    }
    s->who_counted = registry_principal_enter(s->ws->d->registry, s->who->principal, l->sessions_per_principal);
    if (!s->who_counted) stmt_deny(why, "53300", "too many sessions of yours", "Close sessions that you do not need.");
    return s->who_counted;
}

static void open_session(struct api_session *s) {
    const struct identity_session open = {
        .session = s->id, .api = s->api[0] != '\0' ? s->api : "-", .groups = s->groups, .database = s->database, .who = s->who};
    s->next = s->ws->apis;
    if (s->next != NULL) s->next->link = &s->next;
    s->link = &s->ws->apis;
    s->ws->apis = s;
    identity_record_open(s->ws->d->led, &open, s->snap, s->role);
}

struct api_session *api_session_find(struct wstate *ws, struct snap *snap, const char *api, const struct conf_database *db,
                                     struct jwt_identity **who, struct pol_verdict *why) {
    uint64_t now = worker_now_ms();
    for (struct api_session *s = ws->apis; s != NULL; s = s->next) {
        if (now - s->started_ms > AGE_MAX_MS || !is_for(s, api, db->name, *who)) continue;
        api_session_renew(s);
        return s;
    }
    struct api_session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        stmt_deny(why, "53200", "out of memory", "Try again later.");
        return NULL;
    }
    s->ws = ws;
    s->refs = 1;
    s->who = *who;
    s->snap = snap_ref(snap);
    s->db = db;
    s->catalog.rewrites = api[0] == '\0'; /* HAProxy cannot replace a request's body */
    s->started_ms = s->used_ms = now;
    bool ok = fill(s, api, db);
    if (!ok)
        stmt_deny(why, "53200", "out of memory", "Try again later.");
    else if (!pol_role_any(s->role)) {
        stmt_deny(why, "28000", "the policy gives you no access to this database", "Ask who keeps the policy for access.");
        identity_no_rule(*who, db->name, why->detail, sizeof why->detail);
        ok = false;
    } else
        ok = admit(s, why);
    if (!ok) {
        if (s->who_counted) registry_principal_leave(ws->d->registry, s->who->principal);
        s->who_counted = false;
        s->who = NULL; /* stays the caller's */
        session_free(s);
        return NULL;
    }
    *who = NULL;
    open_session(s);
    return s;
}

void api_sweep(struct wstate *ws, uint64_t now_ms) {
    for (struct api_session *s = ws->apis, *next; s != NULL; s = next) {
        next = s->next;
        if (s->refs > 1) continue;
        if (now_ms - s->used_ms > s->snap->conf->limits.api_idle_ms)
            session_end(s, "idle");
        else if (now_ms - s->started_ms > AGE_MAX_MS)
            session_end(s, "its hour is over");
    }
}

void api_end_all(struct wstate *ws) {
    for (struct api_session *s = ws->apis, *next; s != NULL; s = next) {
        next = s->next;
        if (s->refs == 1) session_end(s, "drained");
    }
}

void api_drop_all(struct wstate *ws) {
    for (struct api_session *s = ws->apis, *next; s != NULL; s = next) {
        next = s->next;
        if (s->refs > 1) continue; /* of a question that waits for it the ledger holds the address: see api_free_all() */
        *s->link = s->next;
        if (s->next != NULL) s->next->link = s->link;
        session_free(s);
    }
}

void api_free_all(struct wstate *ws) {
    for (struct api_session *s = ws->apis; s != NULL; s = s->next) s->over = true; /* nothing is recorded of their end */
    while (ws->asks != NULL) api_ask_free(ws->asks);
    for (struct api_session *s = ws->apis, *next; s != NULL; s = next) {
        next = s->next;
        session_free(s);
    }
}
