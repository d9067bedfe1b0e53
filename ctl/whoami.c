#include "config.h"

#include "ctl/whoami.h"

#include "filters/bytes.h"
#include "spoa/base64url.h"
#include "spoa/identity.h"
#include "spoa/keystore.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TOKEN_FILE_MAX ((size_t)2 << 20) /* more than limits.token can be */
#define FETCH_MS       15000u

/* What is looked at, in jwt_verify()'s order, and the results that end there. */
static const struct step {
    const char *name, *todo;
    enum jwt_rc ends[4]; /* JWT_OK: none */
} steps[] = {
    {"length", "raise limits.token, or have the provider put less into the token", {JWT_TOO_LONG}},
    {"segments", "give a signed token (a compact JWS: three parts with two dots), not an opaque or an encrypted one", {JWT_MALFORMED}},
    {"base64url", "give the token as it was issued, without blanks, quotes or line breaks", {JWT_BAD_BASE64}},
    {"header members", "have the provider leave out crit, b64, zip, jku, jwk, x5u and x5c", {JWT_HEADER_REFUSED}},
    {"typ", "give an access token (typ JWT or at+jwt)", {JWT_BAD_TYP}},
    {"header", "give a token with a JSON header whose alg, typ and kid are texts", {JWT_BAD_HEADER}},
    {"algorithm", "have the provider sign with one of identity.issuers.algorithms, or add this one there", {JWT_ALG_REFUSED}},
    {"claims", "give a token whose payload is a JSON object without members that come twice", {JWT_BAD_CLAIMS}},
    {"issuer", "add the token's iss, byte for byte, to identity.issuers", {JWT_BAD_ISSUER}},
    {"algorithm allowed", "add the algorithm to identity.issuers.algorithms, if the issuer should use it", {JWT_ALG_REFUSED}},
    {"keys", "see the reason", {JWT_NO_KEYS}},
    {"key",
     "compare the token's kid and alg with the issuer's JWK set; fetch jwks_file again when the issuer has new keys",
     {JWT_UNKNOWN_KEY, JWT_AMBIGUOUS_KEY, JWT_KEY_MISMATCH}},
    {"signature", "get a new token: this one was changed, or signed with another key of the same name", {JWT_BAD_SIGNATURE}},
    {"audience", "ask the provider for a token for one of identity.issuers.audience, or add its aud there", {JWT_BAD_AUDIENCE}},
    {"times",
     "get a fresh token; if it is fresh, compare the clocks (timedatectl)",
     {JWT_NO_EXPIRY, JWT_BAD_TIME, JWT_EXPIRED, JWT_NOT_YET}},
    {"required claims", "compare its claims with identity.issuers.required_claims", {JWT_CLAIM_REFUSED}},
    {"principal", "set identity.issuers.principal_claim to a claim that names the user", {JWT_BAD_PRINCIPAL}},
    {"groups",
     "set identity.issuers.groups_claim to a list of texts; a token that only points to its groups needs fewer, or roles",
     {JWT_BAD_GROUPS, JWT_BAD_CLIENT}},
    {"attributes", "set identity.issuers.attributes to claims that are texts, whole numbers or booleans", {JWT_BAD_ATTRIBUTE}},
};
#define STEPS (sizeof steps / sizeof *steps)

struct look {
    const struct snap *snap;
    json_t *header, *claims; /* as far as they can be read; not verified */
    enum jwt_rc rc;
    struct jwt_why why;
    size_t failed; /* the step; STEPS: none */
    struct jwt_identity *who;
    const struct jwt_issuer *issuer; /* that the token names; NULL: none of ours */
    json_t *out;                     /* with --json */
    bool open;                       /* a database is */
};

static int usage(FILE *to) {
    fputs("usage: gatehousectl whoami -c FILE --token-file FILE|- [--json]\n", to);
    return to == stderr ? 2 : 0;
}

/* --- reading --- */

static char *read_token(const char *path, size_t *len) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    char *text = f == NULL ? NULL : malloc(TOKEN_FILE_MAX + 1);
    if (text == NULL) {
        fprintf(stderr, "gatehousectl: %s: %s\n", path, strerror(errno));
        if (f != NULL && f != stdin) fclose(f);
        return NULL;
    }
    *len = fread(text, 1, TOKEN_FILE_MAX, f);
    while (*len > 0 && strchr(" \t\r\n", text[*len - 1]) != NULL) --*len;
    text[*len] = '\0';
    if (f != stdin) fclose(f);
    return text;
}

/* The n-th segment as a JSON object; NULL when it is none. */
static json_t *segment(const char *token, size_t len, int n) {
    const char *p = token, *end = token + len;
    for (; n > 0; n--) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        if (dot == NULL) return NULL;
        p = dot + 1;
    }
    const char *dot = memchr(p, '.', (size_t)(end - p));
    size_t size = (size_t)((dot == NULL ? end : dot) - p), got = 0;
    uint8_t *raw = malloc(BASE64URL_DECODED(size));
    json_t *v = raw != NULL && base64url_decode(p, size, raw, &got) ? json_loadb((char *)raw, got, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(raw);
    if (json_is_object(v)) return v;
    json_decref(v);
    return NULL;
}

/* The issuers' keys, when they are fetched: of the one that the token names only. False: no memory. */
static bool fetch_keys(struct keystore *k, const struct jwt_issuer *issuer) {
    struct keysource_status st;
    struct keysource *source = issuer == NULL ? NULL : issuer->source;
    if (source == NULL) return true;
    if (!keystore_use(k, &source, 1)) return false;
    for (uint64_t end = worker_now_ms() + FETCH_MS; keysource_status(source, &st), !st.tried && worker_now_ms() < end;) usleep(20000);
    return true;
}

static size_t failed_step(const struct look *l) {
    const char *alg = json_string_value(json_object_get(l->header, "alg"));
    bool known = alg != NULL && jwa_by_name(alg) != NULL;
    if (l->rc == JWT_OK || l->rc == JWT_NO_MEMORY) return STEPS;
    for (size_t i = 0; i < STEPS; i++)
        for (size_t k = 0; k < sizeof steps[i].ends / sizeof *steps[i].ends && steps[i].ends[k] != JWT_OK; k++)
            if (steps[i].ends[k] == l->rc && !(l->rc == JWT_ALG_REFUSED && known && strcmp(steps[i].name, "algorithm") == 0)) return i;
    return STEPS;
}

/* --- telling --- */

/* A member of the token as ASCII JSON, so that nothing in it can play with a terminal; the caller frees. */
static char *shown(const json_t *object, const char *name) {
    const json_t *v = json_object_get(object, name);
    char *text = v == NULL ? strdup("(none)") : json_dumps(v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
    if (text != NULL && strlen(text) > 300) strcpy(text + 297, "...");
    return text;
}

static void when(const json_t *claims, const char *name, char *out, size_t size) {
    const json_t *v = json_object_get(claims, name);
    time_t t = json_is_integer(v) ? (time_t)json_integer_value(v) : 0;
    struct tm tm;
    if (t <= 0 || gmtime_r(&t, &tm) == NULL || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) snprintf(out, size, "(none)");
}

/* What a step saw; the caller frees. */
static char *seen(const struct look *l, const char *step) {
    static const char *const members[][3] = {{"typ", "h", "typ"}, {"algorithm", "h", "alg"}, {"algorithm allowed", "h", "alg"},
                                             {"key", "h", "kid"}, {"issuer", "c", "iss"},    {"audience", "c", "aud"}};
    char exp[32], nbf[32], iat[32], *text = NULL;
    struct keysource_status st;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(members[i][0], step) == 0) return shown(members[i][1][0] == 'h' ? l->header : l->claims, members[i][2]);
    if (strcmp(step, "times") == 0) {
        when(l->claims, "exp", exp, sizeof exp);
        when(l->claims, "nbf", nbf, sizeof nbf);
        when(l->claims, "iat", iat, sizeof iat);
        if (asprintf(&text, "exp %s, nbf %s, iat %s", exp, nbf, iat) < 0) text = NULL;
    } else if (strcmp(step, "keys") == 0 && l->issuer != NULL) {
        if (l->issuer->source == NULL) return strdup("from jwks_file");
        keysource_status(l->issuer->source, &st);
        if (st.keys == 0) return strdup(st.tried ? st.why : "the provider does not answer");
        if (asprintf(&text, "%zu fetched", st.keys) < 0) text = NULL;
    } else if (strcmp(step, "principal") == 0 && l->who != NULL)
        return strdup(l->who->principal);
    else if (strcmp(step, "groups") == 0 && l->who != NULL)
        return identity_groups(l->who);
    return text != NULL ? text : strdup("");
}

static void tell_step(struct look *l, const struct step *s, bool ok) {
    char *what = seen(l, s->name);
    const char *todo = ok ? NULL : s->todo, *text = what != NULL ? what : "";
    struct keysource_status st;
    char reason[JWT_REASON];
    jwt_reason(l->rc, &l->why, reason, sizeof reason);
    if (!ok && l->rc == JWT_NO_KEYS && l->issuer->source != NULL) {
        keysource_status(l->issuer->source, &st);
        if (st.todo != NULL) todo = st.todo;
    }
    if (l->out != NULL) {
        json_t *o = json_pack("{s:s, s:b, s:s}", "step", s->name, "ok", ok, "seen", text);
        if (!ok) json_object_set_new(o, "reason", json_string(reason));
        if (!ok) json_object_set_new(o, "do", json_string(todo));
        json_array_append_new(json_object_get(l->out, "steps"), o);
    } else {
        printf("%-8s %s%s%s\n", ok ? "ok" : "REFUSED", s->name, *text != '\0' ? ": " : "", text);
        if (!ok) printf("         %s\n         do: %s\n", reason, todo);
    }
    free(what);
}

struct missing {
    struct look *l;
    const char *database;
    json_t *list; /* of who asked for JSON */
};

static const char *attribute_claim(const struct jwt_issuer *issuer, const char *name) {
    for (size_t i = 0; issuer != NULL && i < issuer->nattributes; i++)
        if (strcmp(issuer->attributes[i].name, name) == 0) return issuer->attributes[i].path;
    return NULL;
}

/* A filter that reads what the identity has not is never true. */
static void tell_missing(void *arg, const char *rule, const char *claim) {
    struct missing *m = arg;
    char todo[300];
    for (size_t i = 0; i < m->l->who->nattributes; i++)
        if (strcmp(m->l->who->attributes[i].name, claim) == 0) return;
    const char *path = attribute_claim(m->l->issuer, claim);
    if (path != NULL)
        snprintf(todo, sizeof todo, "have the provider put the claim %.100s into the token", path);
    else
        snprintf(todo, sizeof todo, "add attributes: { %.64s: %.64s } to this issuer in identity.issuers", claim, claim);
    if (m->list != NULL) {
        json_array_append_new(m->list, json_pack("{s:s, s:s, s:s}", "rule", rule, "attribute", claim, "do", todo));
        return;
    }
    printf("warning  database %s: the rule %s shows no rows: it filters them by ${claim:%s}, and the token has no attribute %s\n         "
           "do: %s\n",
           m->database, rule, claim, claim, todo);
}

static void tell_database(struct look *l, const struct conf_database *db) {
    struct pol_role *role = identity_role(NULL, l->snap, l->who, db, NULL);
    bool any = role != NULL && pol_role_any(role);
    const char *mode = role != NULL && pol_role_observes(role) ? "observe" : "enforce";
    json_t *rules = json_array();
    l->open = l->open || any;
    for (size_t i = 0; role != NULL && i < pol_role_rules(role); i++) json_array_append_new(rules, json_string(pol_role_rule(role, i)));
    struct missing m = {l, db->name, l->out != NULL ? json_array() : NULL};
    if (l->out != NULL) {
        if (role != NULL) pol_role_claims(role, tell_missing, &m);
        json_array_append_new(json_object_get(l->out, "databases"), json_pack("{s:s, s:b, s:s, s:O, s:o}", "name", db->name, "open", any,
                                                                              "mode", mode, "rules", rules, "missing_attributes", m.list));
    } else {
        printf("%-8s database %s (%s)%s", any ? "ok" : "closed", db->name, mode, any ? ", rules:" : ": no rule names this identity");
        for (size_t i = 0; i < json_array_size(rules); i++) printf(" %s", json_string_value(json_array_get(rules, i)));
        putchar('\n');
        if (role != NULL) pol_role_claims(role, tell_missing, &m);
    }
    json_decref(rules);
    pol_role_free(role);
}

static void tell_identity(struct look *l) {
    for (size_t i = 0; i < l->who->nattributes; i++) {
        const struct jwt_value *a = &l->who->attributes[i];
        if (l->out != NULL)
            json_object_set_new(json_object_get(l->out, "attributes"), a->name, json_string(a->value));
        else
            printf("         attribute %s: %s\n", a->name, a->value);
    }
    if (l->out != NULL) {
        json_t *groups = json_array();
        for (size_t i = 0; i < l->who->ngroups; i++) json_array_append_new(groups, json_string(l->who->groups[i]));
        json_object_set_new(l->out, "principal", json_string(l->who->principal));
        json_object_set_new(l->out, "issuer", json_string(l->who->issuer));
        json_object_set_new(l->out, "groups", groups);
        json_object_set_new(l->out, "expires", json_integer((json_int_t)l->who->exp));
    }
    for (size_t i = 0; i < l->snap->conf->ndatabases; i++) tell_database(l, &l->snap->conf->databases[i]);
}

static int tell(struct look *l) {
    for (size_t i = 0; i < STEPS && i <= l->failed; i++) tell_step(l, &steps[i], i != l->failed);
    if (l->who != NULL) tell_identity(l);
    bool accepted = l->who != NULL;
    const char *verdict = !accepted ? "refused" : l->open ? "accepted" : "accepted, but no database is open to it";
    if (l->out != NULL) {
        json_object_set_new(l->out, "accepted", json_boolean(accepted));
        json_object_set_new(l->out, "open", json_boolean(l->open));
        json_dumpf(l->out, stdout, JSON_INDENT(2));
        putchar('\n');
    } else
        printf("verdict: %s\n", verdict);
    return accepted && l->open ? 0 : 3;
}

static int look_at(struct look *l, const char *token, size_t len) {
    const struct jwt_conf *c = &l->snap->conf->jwt;
    struct keystore *k = keystore_start(NULL);
    l->header = segment(token, len, 0);
    l->claims = segment(token, len, 1);
    const char *iss = json_string_value(json_object_get(l->claims, "iss"));
    for (size_t i = 0; iss != NULL && i < c->nissuers; i++)
        if (strcmp(c->issuers[i].issuer, iss) == 0) l->issuer = &c->issuers[i];
    int status = 1;
    if (k != NULL && fetch_keys(k, l->issuer)) {
        l->rc = jwt_verify_from(c, token, len, (int64_t)time(NULL), &l->who, &l->why);
        l->failed = failed_step(l);
        if (l->rc != JWT_NO_MEMORY) status = tell(l);
    }
    if (status == 1) fputs("gatehousectl: out of memory\n", stderr);
    keystore_stop(k);
    jwt_identity_free(l->who);
    json_decref(l->header);
    json_decref(l->claims);
    return fflush(stdout) == 0 ? status : 1;
}

int ctl_whoami(int argc, char **argv) {
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"token-file", required_argument, NULL, 't'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL, *file = NULL;
    struct look l = {0};
    struct pol_error err = {0};
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'c')
            config = optarg;
        else if (c == 't')
            file = optarg;
        else if (c == 'j')
            json = true;
        else
            return usage(c == 'h' ? stdout : stderr);
    }
    if (config == NULL || file == NULL || optind != argc) return usage(stderr);
    log_set_level(LOG_ERROR); /* what the key store says to the log is said here by the steps */
    struct snap *s = snap_look(config, &err);
    if (s == NULL) {
        char text[1024];
        pol_error_format(&err, text, sizeof text);
        fprintf(stderr, "gatehousectl: %s\n", text);
        return 1;
    }
    size_t len = 0;
    char *token = read_token(file, &len);
    l.snap = s;
    if (json) l.out = json_pack("{s:[], s:[], s:{}}", "steps", "databases", "attributes");
    int status = token == NULL || (json && l.out == NULL) ? 1 : look_at(&l, token, len);
    if (token != NULL) gh_wipe(token, TOKEN_FILE_MAX);
    free(token);
    json_decref(l.out);
    snap_unref(s);
    return status;
}
