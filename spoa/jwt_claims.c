/* What a token says, once it is known who says it. */
#include "spoa/jwt_int.h"

#include "spoa/base64url.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX 9007199254740992.0 /* 2^53: what JSON numbers carry exactly */

/* --- for whom, and when --- */

static bool is_our_audience(const struct jwt_issuer *iss, const json_t *aud) {
    for (size_t i = 0; i < iss->naudiences; i++)
        if (strcmp(iss->audiences[i], json_string_value(aud)) == 0) return true;
    return false;
}

static enum jwt_rc check_audience(const struct jwt_issuer *iss, const json_t *claims) {
    const json_t *aud = json_object_get(claims, "aud");
    bool ours = false;
    if (json_is_string(aud)) return is_our_audience(iss, aud) ? JWT_OK : JWT_BAD_AUDIENCE;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const json_t *one = json_array_get(aud, i);
        if (!json_is_string(one)) return JWT_BAD_AUDIENCE;
        ours = ours || is_our_audience(iss, one);
    }
    return ours ? JWT_OK : JWT_BAD_AUDIENCE;
}

bool jwt_read_time(const json_t *v, int64_t *seconds) {
    if (!json_is_number(v)) return false;
    double d = json_number_value(v);
    if (!(d >= 0 && d <= TIME_MAX)) return false;
    *seconds = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)floor(d);
    return true;
}

static enum jwt_rc check_times(const struct jwt_issuer *iss, const json_t *claims, int64_t now, struct jwt_identity *id) {
    const json_t *exp = json_object_get(claims, "exp");
    static const char *const starts[] = {"nbf", "iat"};
    if (exp == NULL) return JWT_NO_EXPIRY;
    if (!jwt_read_time(exp, &id->exp)) return JWT_BAD_TIME;
    id->valid_until = id->exp + (int64_t)iss->leeway;
    if (now >= id->valid_until) return JWT_EXPIRED;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        const json_t *v = json_object_get(claims, starts[i]);
        int64_t from;
        if (v == NULL) continue;
        if (!jwt_read_time(v, &from)) return JWT_BAD_TIME;
        if (from - (int64_t)iss->leeway > now) return JWT_NOT_YET;
    }
    return JWT_OK;
}

/* A claim by its whole name ("https://shop.example/groups"), else by a path ("realm_access.roles"), whose names may have dots themselves
 * ("kubernetes.io" in "kubernetes.io.namespace"): the longest name that is there comes first. The path is the configuration's. */
static const json_t *find_claim(const json_t *object, const char *path) {
    const json_t *v = json_object_get(object, path);
    char name[JWT_NAME_MAX + 1];
    size_t len = strlen(path);
    while (v == NULL && len > 0) {
        while (len > 0 && path[len - 1] != '.') len--;
        if (len == 0 || --len >= sizeof name) continue;
        memcpy(name, path, len);
        name[len] = '\0';
        v = find_claim(json_object_get(object, name), path + len + 1);
    }
    return v;
}

/* Characters that hide or reorder others: a name is shown to people who decide by it. s is valid UTF-8. */
static bool is_hidden(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c >= 0xe0000;
}

bool jwt_is_name(const char *s, size_t len) {
    if (len == 0 || len > JWT_NAME_MAX) return false;
    for (size_t i = 0; i < len;) {
        uint8_t a = (uint8_t)s[i++];
        uint32_t c = a < 0x80 ? a : a < 0xe0 ? a & 0x1fu : a < 0xf0 ? a & 0x0fu : a & 0x07u;
        for (; i < len && ((uint8_t)s[i] & 0xc0) == 0x80; i++) c = c << 6 | ((uint8_t)s[i] & 0x3fu);
        if (is_hidden(c)) return false;
    }
    return true;
}

static enum jwt_rc read_principal(const struct jwt_issuer *iss, const json_t *claims, struct jwt_identity *id) {
    const json_t *v = find_claim(claims, iss->principal_claim == NULL ? "sub" : iss->principal_claim);
    if (!json_is_string(v) || !jwt_is_name(json_string_value(v), json_string_length(v))) return JWT_BAD_PRINCIPAL;
    id->principal = strdup(json_string_value(v));
    return id->principal == NULL ? JWT_NO_MEMORY : JWT_OK;
}

static enum jwt_rc add_group(struct jwt_identity *id, const char *name, size_t len) {
    if (id->ngroups == JWT_GROUPS_MAX || !jwt_is_name(name, len)) return JWT_BAD_GROUPS;
    if (id->groups == NULL) id->groups = calloc(JWT_GROUPS_MAX, sizeof *id->groups);
    if (id->groups == NULL) return JWT_NO_MEMORY;
    id->groups[id->ngroups] = strndup(name, len);
    if (id->groups[id->ngroups] == NULL) return JWT_NO_MEMORY;
    id->ngroups++;
    return JWT_OK;
}

/* Groups that are too many for the token: Entra ID and others leave a pointer instead (OpenID Connect Core, section 5.6.2). Without them a
 * rule that denies would not be found. */
static bool groups_are_elsewhere(const json_t *claims, const char *path) {
    const json_t *names = json_object_get(claims, "_claim_names");
    char first[JWT_NAME_MAX + 1];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(path, "."), path);
    if (strcmp(path, "groups") == 0 && json_is_true(json_object_get(claims, "hasgroups"))) return true;
    return json_object_get(names, path) != NULL || json_object_get(names, first) != NULL;
}

static enum jwt_rc add_groups(struct jwt_identity *id, const json_t *v) {
    enum jwt_rc rc = JWT_OK;
    if (json_is_string(v)) {
        for (const char *s = json_string_value(v); rc == JWT_OK && *(s += strspn(s, " ")) != '\0';) {
            size_t len = strcspn(s, " ");
            rc = add_group(id, s, len);
            s += len;
        }
        return rc;
    }
    if (!json_is_array(v)) return JWT_BAD_GROUPS;
    for (size_t i = 0; rc == JWT_OK && i < json_array_size(v); i++) {
        const json_t *g = json_array_get(v, i);
        rc = json_is_string(g) ? add_group(id, json_string_value(g), json_string_length(g)) : JWT_BAD_GROUPS;
    }
    return rc;
}

/* The client that the token was issued to, by any of the names that providers give it. *id NULL: none is named. */
static enum jwt_rc find_client(const json_t *claims, const char **id) {
    static const char *const names[] = {"azp", "client_id", "cid", "appid"}; /* OpenID Connect; RFC 9068; Okta; Entra ID */
    *id = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = json_object_get(claims, names[i]);
        if (v == NULL) continue;
        if (!json_is_string(v) || (*id != NULL && strcmp(*id, json_string_value(v)) != 0)) return JWT_BAD_CLIENT;
        *id = json_string_value(v);
    }
    return JWT_OK;
}

/* A token without groups: those that the configuration gives this client for its own tokens. A token that a person got through the client
 * is not the client's own, which its sub shows. */
static enum jwt_rc read_client_groups(const struct jwt_issuer *iss, const json_t *claims, struct jwt_identity *id) {
    const char *client, *sub = json_string_value(json_object_get(claims, "sub"));
    if (iss->nclients == 0) return JWT_OK;
    enum jwt_rc rc = find_client(claims, &client);
    for (size_t i = 0; rc == JWT_OK && client != NULL && i < iss->nclients; i++) {
        const struct jwt_client *c = &iss->clients[i];
        if (strcmp(c->id, client) != 0 || (c->subject != NULL && (sub == NULL || strcmp(c->subject, sub) != 0))) continue;
        for (size_t k = 0; rc == JWT_OK && k < c->ngroups; k++) rc = add_group(id, c->groups[k], strlen(c->groups[k]));
        break;
    }
    return rc;
}

static enum jwt_rc read_groups(const struct jwt_issuer *iss, const json_t *claims, struct jwt_identity *id) {
    const char *path = iss->groups_claim == NULL ? "groups" : iss->groups_claim;
    const json_t *v = find_claim(claims, path);
    if (groups_are_elsewhere(claims, path)) return JWT_BAD_GROUPS;
    return v != NULL ? add_groups(id, v) : read_client_groups(iss, claims, id);
}

/* --- what else --- */

/* A claim as text; NULL when it has none that is unambiguous. buf is for numbers. */
static const char *text_of(const json_t *v, char *buf, size_t size) {
    if (json_is_boolean(v)) return json_is_true(v) ? "true" : "false";
    if (json_is_string(v)) return json_string_value(v);
    if (!json_is_integer(v)) return NULL;
    snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    return buf;
}

static bool is_one_of(const struct jwt_require *r, const char *text, size_t len) {
    for (size_t i = 0; i < r->nvalues; i++)
        if (strlen(r->values[i]) == len && memcmp(r->values[i], text, len) == 0) return true;
    return false;
}

/* Scopes are lists in a string (RFC 6749, section 3.3; Entra ID calls them scp). No other string is taken apart: people choose some. */
static bool is_scope(const char *path) { return strcmp(path, "scope") == 0 || strcmp(path, "scp") == 0; }

static bool is_satisfied(const struct jwt_require *r, const json_t *claims) {
    const json_t *v = find_claim(claims, r->path);
    char number[32];
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = text_of(json_array_get(v, i), number, sizeof number);
        if (text != NULL && is_one_of(r, text, strlen(text))) return true;
    }
    const char *text = text_of(v, number, sizeof number);
    if (text == NULL) return false;
    if (is_one_of(r, text, strlen(text))) return true;
    for (const char *s = text; is_scope(r->path) && *(s += strspn(s, " ")) != '\0'; s += strcspn(s, " "))
        if (is_one_of(r, s, strcspn(s, " "))) return true;
    return false;
}

static enum jwt_rc check_required(const struct jwt_issuer *iss, const json_t *claims, const char **claim) {
    for (size_t i = 0; i < iss->nrequired; i++) {
        if (is_satisfied(&iss->required[i], claims)) continue;
        *claim = iss->required[i].path;
        return JWT_CLAIM_REFUSED;
    }
    return JWT_OK;
}

static enum jwt_rc read_attributes(const struct jwt_issuer *iss, const json_t *claims, struct jwt_identity *id, const char **claim) {
    char number[32];
    if (iss->nattributes == 0) return JWT_OK;
    id->attributes = calloc(iss->nattributes, sizeof *id->attributes);
    if (id->attributes == NULL) return JWT_NO_MEMORY;
    for (size_t i = 0; i < iss->nattributes; i++) {
        const json_t *v = find_claim(claims, iss->attributes[i].path);
        if (v == NULL) continue;
        const char *text = text_of(v, number, sizeof number);
        if (text == NULL || (*text != '\0' && !jwt_is_name(text, strlen(text)))) {
            *claim = iss->attributes[i].path;
            return JWT_BAD_ATTRIBUTE;
        }
        struct jwt_value *a = &id->attributes[id->nattributes++];
        a->name = strdup(iss->attributes[i].name);
        a->value = strdup(text);
        if (a->name == NULL || a->value == NULL) return JWT_NO_MEMORY;
    }
    return JWT_OK;
}

/* RFC 7800, RFC 8705. */
static enum jwt_rc read_binding(const json_t *claims, struct jwt_identity *id) {
    uint8_t digest[BASE64URL_DECODED(43)];
    size_t n;
    const json_t *cnf = json_object_get(claims, "cnf"), *x5t = json_object_get(cnf, "x5t#S256");
    if (cnf == NULL) return JWT_OK;
    if (json_object_size(cnf) != 1 || !json_is_string(x5t) || json_string_length(x5t) != 43 ||
        !base64url_decode(json_string_value(x5t), 43, digest, &n))
        return JWT_BAD_BINDING;
    id->bound_to = strdup(json_string_value(x5t));
    return id->bound_to == NULL ? JWT_NO_MEMORY : JWT_OK;
}

enum jwt_rc jwt_read_identity(const struct jwt_issuer *iss, const json_t *claims, const char *kid, int64_t now, struct jwt_identity **out,
                              const char **claim) {
    struct jwt_identity *id = calloc(1, sizeof *id);
    if (id == NULL) return JWT_NO_MEMORY;
    id->issuer = strdup(iss->issuer);
    id->kid = strdup(kid);
    enum jwt_rc rc = id->issuer == NULL || id->kid == NULL ? JWT_NO_MEMORY : check_audience(iss, claims);
    if (rc == JWT_OK) rc = check_times(iss, claims, now, id);
    if (rc == JWT_OK) rc = check_required(iss, claims, claim);
    if (rc == JWT_OK) rc = read_principal(iss, claims, id);
    if (rc == JWT_OK) rc = read_groups(iss, claims, id);
    if (rc == JWT_OK) rc = read_attributes(iss, claims, id, claim);
    if (rc == JWT_OK) rc = read_binding(claims, id);
    if (rc == JWT_OK)
        *out = id;
    else
        jwt_identity_free(id);
    return rc;
}
