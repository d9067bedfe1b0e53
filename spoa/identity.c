#include <config.h>

#include "spoa/identity.h"

#include "spoa/starved.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GROUPS_TOLD 300u /* bytes */

struct pol_pins identity_pins(const struct conf_database *db) {
    struct pol_pins pins = {
        .search_path = db->search_path, .nsearch_path = db->nsearch_path, .settings = db->pinned, .mysql = db->engine == CONF_MYSQL};
    for (size_t i = 0; i < db->nsettings; i++) {
        if (strcasecmp(db->settings[i].name, "timezone") == 0) pins.time_zone = db->settings[i].value;
        if (strcasecmp(db->settings[i].name, "datestyle") == 0) pins.date_style = db->settings[i].value;
    }
    return pins;
}

struct pol_role *identity_role(struct catalogs *all, const struct snap *s, const struct jwt_identity *who, const struct conf_database *db,
                               struct catalog_use *use) {
    struct pol_claim claims[JWT_ATTRIBUTES_MAX];
    struct pol_subject subject = {
        .principal = who->principal, .groups = (const char *const *)who->groups, .ngroups = who->ngroups, .claims = claims};
    struct pol_pins pins = identity_pins(db);
    for (; subject.nclaims < who->nattributes && subject.nclaims < JWT_ATTRIBUTES_MAX; subject.nclaims++)
        claims[subject.nclaims] = (struct pol_claim){who->attributes[subject.nclaims].name, who->attributes[subject.nclaims].value};
    struct pol_role *role = pol_role_new(s->policy, &subject, db->name, &pins);
    if (use != NULL) *use = (struct catalog_use){.rewrites = use->rewrites};
    if (role == NULL || use == NULL || !pol_role_restricts(role)) return role;
    use->of = catalogs_find(all, db->name);
    struct pol_catalog *catalog = use->of == NULL ? NULL : catalog_get(use->of, &use->generation);
    if (catalog != NULL) pol_role_use_catalog(role, catalog, use->rewrites);
    pol_catalog_unref(catalog);
    return role;
}

bool identity_outdated(const struct catalog_use *use) { return use->of != NULL && catalog_generation(use->of) != use->generation; }

char *identity_groups(const struct jwt_identity *who) {
    size_t size = 1;
    for (size_t i = 0; i < who->ngroups; i++) size += strlen(who->groups[i]) + 1;
    char *out = calloc(1, size), *at = out;
    for (size_t i = 0; out != NULL && i < who->ngroups; i++) {
        if (i > 0) *at++ = ',';
        at = stpcpy(at, who->groups[i]);
    }
    return out;
}

void identity_no_rule(const struct jwt_identity *who, const char *database, char *out, size_t size) {
    char *groups = identity_groups(who);
    const char *list = groups != NULL ? groups : "";
    size_t whole = strlen(list); /* of groups, as many as may be told */
    if (whole > GROUPS_TOLD)
        for (whole = GROUPS_TOLD; whole > 0 && list[whole] != ',';) whole--;
    if (who->ngroups == 0)
        snprintf(out, size, "You are %s, and your token names no groups; no rule of the policy names you for database \"%s\".",
                 who->principal, database);
    else
        snprintf(out, size, "You are %s, in the groups %.*s%s; no rule of the policy names you, or one of them, for database \"%s\".",
                 who->principal, (int)whole, list, list[whole] != '\0' ? " and others" : "", database);
    free(groups);
}

const char *identity_no_rule_todo(const struct jwt_identity *who) {
    return who->ngroups == 0
               ? "the token gave no groups: if it has them, set identity.issuers.groups_claim to the claim that they are in; gatehousectl "
                 "whoami shows what is read of a token"
               : "give this principal, or one of his groups, a rule for this database; gatehousectl whoami shows what is read of a token";
}

void identity_record_refusal(struct led *l, const struct identity_refusal *f) {
    struct rec r = {0};
    rec_str(&r, "session", f->session);
    rec_str(&r, "api", f->api);
    rec_str(&r, "src", f->src);
    rec_u64(&r, "src_port", f->src_port);
    rec_str(&r, "user", f->user);
    rec_str(&r, "database", f->database);
    rec_str(&r, "principal", f->principal);
    rec_str(&r, "cert_subject", f->cert_subject);
    rec_str(&r, "sqlstate", f->sqlstate);
    rec_str(&r, "reason", f->reason);
    rec_append(l, &r, LED_AUTH, NULL, "login.refused", NULL, NULL);
    log_event(LOG_WARN, "login.refused", "session", f->session, "src", f->src, "user", f->user, "database", f->database, "principal",
              f->principal, "sqlstate", f->sqlstate, "reason", f->reason, "do", f->todo, NULL);
}

void identity_record_flood(struct led *l, const char *session, const char *src, const char *user, bool by_source, uint64_t n) {
    struct rec r = {0};
    rec_str(&r, "session", session);
    rec_str(&r, "src", src);
    rec_str(&r, "user", user);
    rec_str(&r, "over", by_source ? "source" : "name");
    rec_u64(&r, "failures", n);
    rec_append(l, &r, LED_AUTH, NULL, "login.throttled", NULL, NULL);
    log_event(LOG_WARN, "login.throttled", "session", session, "src", src, "user", user, "over", by_source ? "source" : "name", "failures",
              log_fmt("%llu", (unsigned long long)n), "do",
              by_source ? "find out who connects from there with bad tokens; HAProxy can refuse the address"
                        : "find out who uses this name with bad tokens, from several addresses",
              NULL);
}

/* What ${claim:...} of a policy is to him. NULL: nothing; the caller frees. */
static char *attributes_of(const struct jwt_identity *who) {
    json_t *o = who->nattributes > 0 ? json_object() : NULL;
    for (size_t i = 0; o != NULL && i < who->nattributes; i++)
        if (json_object_set_new(o, who->attributes[i].name, json_string(who->attributes[i].value)) != 0) starved_note();
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text == NULL && who->nattributes > 0) starved_note();
    json_decref(o);
    return text;
}

void identity_record_open(struct led *l, const struct identity_session *s, const struct snap *snap, const struct pol_role *role) {
    const char *mode = pol_role_observes(role) ? "observe" : "enforce";
    char *attributes = attributes_of(s->who);
    struct rec r = {0};
    rec_str(&r, "session", s->session);
    rec_str(&r, "principal", s->who->principal);
    rec_str(&r, "groups", s->groups);
    rec_str(&r, "attributes", attributes);
    rec_str(&r, "issuer", s->who->issuer);
    rec_str(&r, "database", s->database);
    rec_str(&r, "user", s->user);
    rec_str(&r, "api", s->api);
    rec_str(&r, "src", s->src);
    if (s->src != NULL) rec_u64(&r, "src_port", s->src_port);
    rec_str(&r, "application_name", s->application_name);
    rec_str(&r, "sni", s->sni);
    rec_str(&r, "alpn", s->alpn);
    rec_str(&r, "cert_subject", s->cert_subject);
    rec_str(&r, "cert_fingerprint", s->cert_fingerprint);
    rec_str(&r, "policy", pol_policy_hash(snap->policy));
    rec_str(&r, "mode", mode);
    rec_u64(&r, "expires", (uint64_t)(s->who->exp > 0 ? s->who->exp : 0));
    rec_str(&r, "version", PACKAGE_VERSION);
    rec_append(l, &r, LED_SESSION, s->session, "session.open", NULL, NULL);
    rec_append(l, &r, LED_SESSIONS, NULL, "session.open", NULL, NULL);
    free(attributes);
    log_event(LOG_INFO, "session.open", "session", s->session, "principal", s->who->principal, "groups", s->groups, "database", s->database,
              "user", s->user, "src", s->src, "mode", mode, NULL);
}

void identity_record_renewed(struct led *l, const char *session, const char *database, const struct jwt_identity *who, const char *groups) {
    char *attributes = attributes_of(who);
    struct rec r = {0};
    rec_str(&r, "session", session);
    rec_str(&r, "principal", who->principal);
    rec_str(&r, "groups", groups);
    rec_str(&r, "attributes", attributes);
    rec_str(&r, "issuer", who->issuer);
    rec_str(&r, "database", database);
    rec_u64(&r, "expires", (uint64_t)(who->exp > 0 ? who->exp : 0));
    rec_append(l, &r, LED_SESSION, session, "session.renewed", NULL, NULL);
    rec_append(l, &r, LED_SESSIONS, NULL, "session.renewed", NULL, NULL);
    free(attributes);
    log_event(LOG_INFO, "session.renewed", "session", session, "principal", who->principal, "groups", groups, NULL);
}

void identity_record_close(struct led *l, const struct identity_close *c) {
    struct rec r = {0};
    rec_str(&r, "session", c->session);
    rec_str(&r, "principal", c->principal);
    rec_str(&r, "database", c->database);
    rec_str(&r, "reason", c->reason != NULL ? c->reason : "closed");
    rec_u64(&r, "statements", c->statements);
    rec_u64(&r, "refused", c->refused);
    rec_u64(&r, "rows", c->rows);
    rec_u64(&r, "bytes", c->bytes);
    rec_u64(&r, "duration_ms", c->duration_ms);
    rec_append(l, &r, LED_SESSION, c->session, "session.close", NULL, NULL);
    rec_append(l, &r, LED_SESSIONS, NULL, "session.close", NULL, NULL);
    log_event(LOG_INFO, "session.close", "session", c->session, "principal", c->principal, "reason", c->reason, "statements",
              log_fmt("%llu", (unsigned long long)c->statements), "refused", log_fmt("%llu", (unsigned long long)c->refused), "rows",
              log_fmt("%llu", (unsigned long long)c->rows), "sent", log_fmt("%llu", (unsigned long long)c->sent), NULL);
}
