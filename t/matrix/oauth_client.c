/* A client of libpq 18 that brings its own bearer token: psql's device flow would need a provider and a person.
 *
 *   GH_TOKEN=... oauth_client CONNINFO SQL
 *
 * Prints what libpq was told to ask for a token (discovery URL, scope), then the first value of the result; or the error, and exits with 1.
 * libpq is loaded at run time, because Debian 12 has no header of 18: PostgreSQL documentation, "OAuth Support". */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request { /* PGoauthBearerRequest */
    const char *openid_configuration, *scope;
    int (*async)(void *conn, struct request *r, int *altsock);
    void (*cleanup)(void *conn, struct request *r);
    char *token;
    void *user;
};
enum { PROMPT_OAUTH_DEVICE, OAUTH_BEARER_TOKEN }; /* PGauthData */
enum { CONNECTION_OK = 0, TUPLES_OK = 2 };

static int bring_token(int type, void *conn, void *data) {
    struct request *r = data;
    (void)conn;
    if (type != OAUTH_BEARER_TOKEN) return 0;
    printf("asked at %s for %s\n", r->openid_configuration, r->scope != NULL ? r->scope : "-");
    r->token = getenv("GH_TOKEN");
    return 1;
}

int main(int argc, char **argv) {
    static void *lib; /* open until the end */
    lib = dlopen("libpq.so.5", RTLD_NOW);
    if (argc != 3 || lib == NULL) {
        fprintf(stderr, "%s\n", lib == NULL ? dlerror() : "usage: oauth_client CONNINFO SQL");
        return 2;
    }
    void (*set_hook)(int (*)(int, void *, void *));
    void *(*connect)(const char *);
    void *(*exec)(void *, const char *);
    int (*status)(void *), (*result_status)(void *);
    char *(*error)(void *);
    char *(*value)(void *, int, int);
    void (*finish)(void *);
    *(void **)&set_hook = dlsym(lib, "PQsetAuthDataHook");
    *(void **)&connect = dlsym(lib, "PQconnectdb");
    *(void **)&exec = dlsym(lib, "PQexec");
    *(void **)&status = dlsym(lib, "PQstatus");
    *(void **)&result_status = dlsym(lib, "PQresultStatus");
    *(void **)&error = dlsym(lib, "PQerrorMessage");
    *(void **)&value = dlsym(lib, "PQgetvalue");
    *(void **)&finish = dlsym(lib, "PQfinish");
    if (set_hook == NULL || connect == NULL) {
        fprintf(stderr, "this libpq is older than 18\n");
        return 2;
    }
    set_hook(bring_token);
    void *conn = connect(argv[1]);
    void *result = status(conn) == CONNECTION_OK ? exec(conn, argv[2]) : NULL;
    int ok = result != NULL && result_status(result) == TUPLES_OK;
    puts(ok ? value(result, 0, 0) : error(conn));
    finish(conn);
    return ok ? 0 : 1;
}
