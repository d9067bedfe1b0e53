#include "ctl/token.h"

#include "ctl/key.h"
#include "ctl/words.h"
#include "spoa/base64url.h"

#include <errno.h>
#include <getopt.h>
#include <jwt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TTL_MAX (366L * 86400)

struct request {
    const char *key, *issuer, *audience, *principal, *kid, *alg;
    long ttl; /* seconds */
    json_t *groups;
    json_t *claims; /* of --claim: they come last, so they win */
};

static int usage(FILE *to, const char *text) {
    fprintf(to, "usage: gatehousectl %s\n", text);
    return to == stderr ? 2 : 0;
}

static bool asks_for_help(int argc, char **argv) { return argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0); }

static const char jwks_usage[] = "jwks --key FILE [--kid K] [--alg ALG] [--key FILE [--kid K] [--alg ALG] ...]";
static const char keygen_usage[] = "keygen [--alg ALG] --out FILE";
static const char token_usage[] = "token --key FILE --issuer I --audience A --principal P [--group G ...] [--ttl 1h] [--kid K]\n"
                                  "                          [--alg ALG] [--claim NAME=VALUE ...]";

static bool is_missing(const char *command, const char *what) {
    if (what != NULL) words_missing(command, what);
    return what != NULL;
}

static bool no_more(int argc, char **argv) {
    if (optind < argc) fprintf(stderr, "gatehousectl %s: \"%.60s\" belongs to no option\n", argv[0], argv[optind]);
    return optind >= argc;
}

/* "90", "90s", "15m", "1h", "2d" in seconds; -1 when it is none of these. */
static long parse_ttl(const char *text) {
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    long unit = strcmp(end, "") == 0 || strcmp(end, "s") == 0 ? 1
                : strcmp(end, "m") == 0                       ? 60
                : strcmp(end, "h") == 0                       ? 3600
                : strcmp(end, "d") == 0                       ? 86400
                                                              : 0;
    if (errno != 0 || end == text || unit == 0 || n < 1 || n > TTL_MAX / unit) return -1;
    return n * unit;
}

/* NAME=VALUE; VALUE is JSON when it parses as JSON, else a string. */
static bool add_claim(json_t *claims, const char *text) {
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) return false;
    char *name = strndup(text, (size_t)(equals - text));
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (value == NULL) value = json_string(equals + 1);
    bool ok = name != NULL && value != NULL && json_object_set(claims, name, value) == 0;
    free(name);
    json_decref(value);
    return ok;
}

static bool parse_request(int argc, char **argv, struct request *r) {
    static const struct option options[] = {{"key", required_argument, NULL, 'k'},      {"issuer", required_argument, NULL, 'i'},
                                            {"audience", required_argument, NULL, 'a'}, {"principal", required_argument, NULL, 'p'},
                                            {"group", required_argument, NULL, 'g'},    {"ttl", required_argument, NULL, 't'},
                                            {"kid", required_argument, NULL, 'K'},      {"alg", required_argument, NULL, 'A'},
                                            {"claim", required_argument, NULL, 'c'},    {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'k': r->key = optarg; break;
        case 'i': r->issuer = optarg; break;
        case 'a': r->audience = optarg; break;
        case 'p': r->principal = optarg; break;
        case 'K': r->kid = optarg; break;
        case 'A': r->alg = optarg; break;
        case 'g':
            if (json_array_append_new(r->groups, json_string(optarg)) != 0) return false;
            break;
        case 't':
            if ((r->ttl = parse_ttl(optarg)) < 0) {
                fprintf(stderr, "gatehousectl: --ttl is a number with s, m, h or d, at most 366d, not \"%s\"\n", optarg);
                return false;
            }
            break;
        case 'c':
            if (!add_claim(r->claims, optarg)) {
                fprintf(stderr, "gatehousectl: --claim is NAME=VALUE, not \"%s\"\n", optarg);
                return false;
            }
            break;
        default: return false;
        }
    }
    const char *missing = r->key == NULL         ? "--key FILE, the key to sign with,"
                          : r->issuer == NULL    ? "--issuer I"
                          : r->audience == NULL  ? "--audience A"
                          : r->principal == NULL ? "--principal P"
                                                 : NULL;
    return no_more(argc, argv) && !is_missing("token", missing);
}

/* The claims as JSON text; free(). */
static char *payload(const struct request *r) {
    long now = (long)time(NULL);
    json_t *claims = json_pack("{s:s, s:s, s:s, s:O, s:I, s:I, s:I}", "iss", r->issuer, "aud", r->audience, "sub", r->principal, "groups",
                               r->groups, "iat", (json_int_t)now, "nbf", (json_int_t)now, "exp", (json_int_t)(now + r->ttl));
    if (claims == NULL || json_object_update(claims, r->claims) != 0) {
        json_decref(claims);
        return NULL;
    }
    const char *name;
    json_t *value;
    json_object_foreach(r->claims, name, value) {
        if (json_is_null(value)) json_object_del(claims, name); /* --claim exp=null: a token without one, for tests */
    }
    char *text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}

/* By libjwt, which knows RS* and ES*; free(). */
static char *by_library(const struct ctl_key *key, const struct jwa *alg, const char *kid, const char *claims) {
    size_t pem_len;
    const char *pem = ctl_key_pem(key, &pem_len);
    jwt_t *jwt = NULL;
    char *token = NULL;
    if (jwt_new(&jwt) == 0 && jwt_add_header(jwt, "kid", kid) == 0 && jwt_add_grants_json(jwt, claims) == 0 &&
        jwt_set_alg(jwt, jwt_str_alg(alg->name), (const unsigned char *)pem, (int)pem_len) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    return token;
}

/* For the others; free(). */
static char *by_hand(const struct ctl_key *key, const struct jwa *alg, const char *kid, const char *claims) {
    json_t *header = json_pack("{s:s, s:s, s:s}", "alg", alg->name, "kid", kid, "typ", "JWT");
    char *head = header == NULL ? NULL : json_dumps(header, JSON_COMPACT), *token = NULL;
    uint8_t *sig = NULL;
    size_t sig_len, size = head == NULL ? 0 : BASE64URL_LEN(strlen(head)) + BASE64URL_LEN(strlen(claims)) + 2 * BASE64URL_LEN(1024) + 4;
    if (head != NULL) token = malloc(size);
    if (token != NULL) {
        base64url_encode(head, strlen(head), token);
        strcat(token, ".");
        base64url_encode(claims, strlen(claims), token + strlen(token));
        if (ctl_key_sign(key, alg, token, strlen(token), &sig, &sig_len) && sig_len <= 1024) {
            strcat(token, ".");
            base64url_encode(sig, sig_len, token + strlen(token));
        } else {
            free(token);
            token = NULL;
        }
    }
    OPENSSL_free(sig);
    free(head);
    json_decref(header);
    return token;
}

static int mint(const struct request *r) {
    struct ctl_key *key = ctl_key_read(r->key, true);
    const struct jwa *alg = key == NULL ? NULL : ctl_key_alg(key, r->alg);
    if (alg == NULL) {
        ctl_key_free(key);
        return 1;
    }
    char *kid = r->kid != NULL ? strdup(r->kid) : ctl_key_thumbprint(key);
    char *claims = payload(r), *token = NULL;
    if (kid != NULL && claims != NULL)
        token = jwt_str_alg(alg->name) != JWT_ALG_INVAL && !alg->pss ? by_library(key, alg, kid, claims) : by_hand(key, alg, kid, claims);
    if (token != NULL)
        puts(token);
    else
        fprintf(stderr, "gatehousectl: the token could not be made\n");
    int status = token != NULL && fflush(stdout) == 0 ? 0 : 1;
    free(token);
    free(claims);
    free(kid);
    ctl_key_free(key);
    return status;
}

int ctl_token(int argc, char **argv) {
    struct request r = {.ttl = 3600, .groups = json_array(), .claims = json_object()};
    int status = 2;
    if (asks_for_help(argc, argv))
        status = usage(stdout, token_usage);
    else if (r.groups == NULL || r.claims == NULL)
        status = 1;
    else if (parse_request(argc, argv, &r))
        status = mint(&r);
    else
        usage(stderr, token_usage);
    json_decref(r.groups);
    json_decref(r.claims);
    return status;
}

/* The key as it stands in a set: RFC 7517 section 4. */
static json_t *set_member(const char *path, const char *kid, const char *name) {
    struct ctl_key *key = ctl_key_read(path, false);
    const struct jwa *alg = key == NULL ? NULL : ctl_key_alg(key, name);
    json_t *jwk = alg == NULL ? NULL : ctl_key_jwk(key);
    char *print = key == NULL || kid != NULL ? NULL : ctl_key_thumbprint(key);
    if (jwk != NULL &&
        (json_object_set_new(jwk, "use", json_string("sig")) != 0 || json_object_set_new(jwk, "alg", json_string(alg->name)) != 0 ||
         json_object_set_new(jwk, "kid", json_string(kid != NULL ? kid : print)) != 0)) {
        json_decref(jwk);
        jwk = NULL;
    }
    free(print);
    ctl_key_free(key);
    return jwk;
}

int ctl_jwks(int argc, char **argv) {
    static const struct option options[] = {{"key", required_argument, NULL, 'k'},
                                            {"kid", required_argument, NULL, 'K'},
                                            {"alg", required_argument, NULL, 'A'},
                                            {NULL, 0, NULL, 0}};
    if (asks_for_help(argc, argv)) return usage(stdout, jwks_usage);
    json_t *keys = json_array();
    const char *path = NULL, *kid = NULL, *alg = NULL;
    bool ok = keys != NULL, wrong = false;
    for (bool more = true; more && ok && !wrong;) {
        int c = getopt_long(argc, argv, "", options, NULL);
        if (c == 'K' && path != NULL && kid == NULL) {
            kid = optarg; /* of the --key before it */
            continue;
        }
        if (c == 'A' && path != NULL && alg == NULL) {
            alg = optarg;
            continue;
        }
        if (path != NULL) ok = json_array_append_new(keys, set_member(path, kid, alg)) == 0;
        path = c == 'k' ? optarg : NULL;
        kid = alg = NULL;
        more = c == 'k';
        wrong = !more && c != -1;
    }
    if (wrong || (ok && (!no_more(argc, argv) || is_missing("jwks", json_array_size(keys) == 0 ? "--key FILE" : NULL)))) {
        json_decref(keys);
        return usage(stderr, jwks_usage);
    }
    json_t *set = ok ? json_pack("{s:O}", "keys", keys) : NULL;
    ok = set != NULL && json_dumpf(set, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0 && fflush(stdout) == 0;
    json_decref(set);
    json_decref(keys);
    return ok ? 0 : 1;
}

int ctl_keygen(int argc, char **argv) {
    static const struct option options[] = {
        {"alg", required_argument, NULL, 'A'}, {"out", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
    const char *alg = "ES256", *path = NULL;
    int c;
    if (asks_for_help(argc, argv)) return usage(stdout, keygen_usage);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'A') alg = optarg;
        if (c == 'o') path = optarg;
        if (c == '?') return usage(stderr, keygen_usage);
    }
    if (!no_more(argc, argv) || is_missing("keygen", path == NULL ? "--out FILE" : NULL)) return usage(stderr, keygen_usage);
    return ctl_key_make(alg, path) ? 0 : 1;
}
