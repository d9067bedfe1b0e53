#include "ctl/approvals.h"

#include "ctl/door.h"
#include "ctl/watch.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGES_MAX 1000

struct options {
    const char *socket, *token_file, *reason, *scope;
    const char *url, *ca;
    long long seconds; /* --for; 0: not given */
    char *token;       /* of token_file, where it was read */
    bool json, all, help;
    const char *words[3]; /* what is no option */
    int nwords;
};

static bool options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = {{"socket", required_argument, NULL, 's'},
                                          {"token-file", required_argument, NULL, 't'},
                                          {"reason", required_argument, NULL, 'r'},
                                          {"url", required_argument, NULL, 'u'},
                                          {"ca-file", required_argument, NULL, 'C'},
                                          {"for", required_argument, NULL, 'f'},
                                          {"scope", required_argument, NULL, 'c'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"all", no_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){0};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        switch (c) {
        case 's': o->socket = optarg; break;
        case 't': o->token_file = optarg; break;
        case 'r': o->reason = optarg; break;
        case 'u': o->url = optarg; break;
        case 'C': o->ca = optarg; break;
        case 'c': o->scope = optarg; break;
        case 'f':
            if (!door_seconds(optarg, &o->seconds)) return false;
            break;
        case 'j': o->json = true; break;
        case 'a': o->all = true; break;
        case 'h': o->help = true; return true;
        default: return false;
        }
    }
    if (argc - optind > 3) return false;
    while (optind < argc) o->words[o->nwords++] = argv[optind++];
    return true;
}

/* For commands about approvals: at the socket, or at --url, where who asks is in a token. DOOR_OK, or a message was printed. */
static int use_door(struct options *o) {
    if (o->url == NULL && o->socket == NULL) o->url = getenv("GATEHOUSE_URL");
    if (o->url != NULL && o->url[0] == '\0') o->url = NULL;
    if (o->ca == NULL) o->ca = getenv("GATEHOUSE_CA");
    o->socket = door_socket(o->socket);
    if (o->url != NULL && !door_use_url(o->url, o->ca)) return DOOR_USAGE;
    if (o->url != NULL && o->token_file == NULL) {
        fputs("gatehousectl: at a URL every question needs your token: --token-file FILE\n", stderr);
        return DOOR_USAGE;
    }
    if (o->token_file == NULL) return DOOR_OK;
    o->token = door_token(o->token_file);
    return o->token == NULL ? DOOR_USAGE : DOOR_OK;
}

static int usage(FILE *to) {
    fputs("usage: gatehousectl approvals [list] [--all] [--json]\n"
          "       gatehousectl approvals show ID [--json]\n"
          "       gatehousectl approvals watch [--json]\n"
          "       gatehousectl approve ID --token-file FILE [--reason TEXT] [--for TIME [--scope statement|kind|rule]] [--json]\n"
          "       gatehousectl deny ID --token-file FILE --reason TEXT [--json]\n"
          "       gatehousectl sessions [list] [--json]\n"
          "       gatehousectl sessions show ID [--json]\n"
          "       gatehousectl sessions kill ID [--token-file FILE]\n"
          "       gatehousectl status [--json]\n"
          "\n"
          "All take --socket PATH, the daemon's admin door; else GATEHOUSE_ADMIN names it, else it is " DOOR_DEFAULT ".\n"
          "FILE holds the approver's token; - is standard input.\n"
          "approvals, approve and deny also take --url https://NAME[:PORT] (else GATEHOUSE_URL), the approvers' page, and --ca-file FILE "
          "(else\n"
          "GATEHOUSE_CA); then each needs --token-file.\n"
          "\n"
          "Exit status: 0 done (the decision took), 1 the daemon cannot be reached or failed, 2 wrong usage, 3 not yours to decide,\n"
          "4 there is no such request or session, 5 nothing is left to decide.\n",
          to);
    return to == stderr ? DOOR_USAGE : DOOR_OK;
}

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

/* The path and an id that is safe in it. */
static bool path_of(const char *prefix, const char *id, const char *suffix, char *out, size_t size) {
    size_t n = strlen(id);
    if (n == 0 || n > 64 || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != n) {
        fprintf(stderr, "gatehousectl: \"%.64s\" is not an id\n", id);
        return false;
    }
    snprintf(out, size, "%s%s%s", prefix, id, suffix);
    return true;
}

static void field(const char *name, const char *value) {
    if (value[0] == '\0') return;
    printf("%-12s ", name);
    door_print(value, true);
    putchar('\n');
}

/* --- approvals --- */

/* All pages as one array; NULL and *rc. */
static json_t *fetch(const struct options *o, int *rc) {
    json_t *all = json_array();
    char path[200], after[80] = "";
    for (int i = 0; i < PAGES_MAX; i++) {
        json_t *page;
        snprintf(path, sizeof path, "/approvals?limit=1000&after=%s%s", after, o->all ? "&all=1" : "");
        *rc = door_ask(o->socket, path, NULL, o->token, &page);
        if (*rc != DOOR_OK) {
            json_decref(all);
            return NULL;
        }
        json_t *list = json_object_get(page, "approvals");
        size_t n = json_array_size(list);
        json_array_extend(all, list);
        snprintf(after, sizeof after, "%.64s", n == 0 ? "" : text(json_array_get(list, n - 1), "id"));
        bool more = json_is_true(json_object_get(page, "more")) && after[0] != '\0';
        json_decref(page);
        if (!more) break;
    }
    return all;
}

static void print_who(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i > 0) fputs(", ", stdout);
        door_print(json_string_value(json_array_get(list, i)), true);
    }
}

static void print_asks(const json_t *o) {
    const json_t *asks = json_object_get(o, "asks");
    for (size_t i = 0; i < json_array_size(asks); i++) {
        const json_t *a = json_array_get(asks, i);
        printf("%-12s %lld of ", "needs", (long long)json_integer_value(json_object_get(a, "quorum")));
        print_who(json_object_get(a, "approvers"));
        fputs(" (rule ", stdout);
        door_print(text(a, "rule"), true);
        puts(")");
        const json_t *g = json_object_get(a, "grant");
        if (g != NULL)
            printf("%-12s for at most %lld s, scope %s\n", "may be given", (long long)json_integer_value(json_object_get(g, "max")) / 1000,
                   text(g, "scope"));
    }
}

static void print_decisions(const json_t *list, const char *label) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        printf("%-12s %s by ", label, strcmp(text(d, "verdict"), "approve") == 0 ? "approved" : "denied");
        door_print(text(d, "approver"), true);
        printf(" at %s", text(d, "time"));
        if (json_object_get(d, "for") != NULL)
            printf(", for %lld s (%s)", (long long)json_integer_value(json_object_get(d, "for")), text(d, "scope"));
        if (text(d, "reason")[0] != '\0') {
            fputs(": ", stdout);
            door_print(text(d, "reason"), true);
        }
        putchar('\n');
    }
}

static void print_sql(const json_t *o) {
    long long cut = (long long)json_integer_value(json_object_get(o, "sql_cut"));
    putchar('\n');
    door_print(text(o, "sql"), false);
    putchar('\n');
    if (cut > 0) printf("... and %lld bytes more: see gatehousectl approvals show %s\n", cut, text(o, "id"));
    if (json_is_true(json_object_get(o, "sql_not_ascii")))
        puts("(This text has letters that may look like others: compare with \"touches\".)");
}

static void print_one(const json_t *o) {
    printf("%-12s %s, %s until %s\n", "request", text(o, "id"), text(o, "status"),
           text(o, "use_by")[0] != '\0' ? text(o, "use_by") : text(o, "expires"));
    printf("%-12s ", "by");
    door_print(text(o, "principal"), true);
    fputs(" (", stdout);
    print_who(json_object_get(o, "groups"));
    puts(")");
    field("database", text(o, "database"));
    field("over http", text(o, "api"));
    field("why", text(o, "reason"));
    print_asks(o);
    field("does", text(o, "statements"));
    field("touches", text(o, "relations"));
    if (json_object_get(o, "estimated_rows") != NULL)
        printf("%-12s about %lld, by the database's planner\n", "rows",
               (long long)json_integer_value(json_object_get(o, "estimated_rows")));
    if (json_is_true(json_object_get(o, "opaque"))) field("warning", "what it does cannot be seen from its text");
    print_decisions(json_object_get(o, "decisions"), "decision");
    print_sql(o);
}

static void print_whole(const json_t *o) {
    const json_t *params = json_object_get(o, "params"), *earlier = json_object_get(o, "earlier"),
                 *functions = json_object_get(o, "functions");
    print_one(o);
    for (size_t i = 0; i < json_array_size(params); i++) {
        char *value = json_dumps(json_array_get(params, i), JSON_ENCODE_ANY | JSON_COMPACT);
        printf("$%-11zu ", i + 1);
        door_print(value, true);
        putchar('\n');
        free(value);
    }
    if (json_array_size(functions) > 0) {
        printf("%-12s ", "functions");
        print_who(functions);
        putchar('\n');
    }
    field("tool", text(o, "tool"));
    field("beside it", text(o, "arguments"));
    field("session", text(o, "session"));
    field("from", text(o, "src"));
    field("policy", text(o, "policy"));
    field("sha256", text(o, "sha256"));
    for (size_t i = 0; i < json_array_size(earlier); i++) {
        const json_t *e = json_array_get(earlier, i);
        printf("%-12s the same statement at %s: %s\n", "earlier", text(e, "created"), text(e, "status"));
        print_decisions(json_object_get(e, "decisions"), "");
    }
}

static int list(const struct options *o) {
    int rc;
    json_t *all = fetch(o, &rc);
    if (all == NULL) return rc;
    if (o->json)
        door_print_json(all);
    else if (json_array_size(all) == 0)
        puts("No request waits.");
    for (size_t i = 0; !o->json && i < json_array_size(all); i++) {
        if (i > 0) putchar('\n');
        print_one(json_array_get(all, i));
    }
    json_decref(all);
    return rc;
}

static int show(const struct options *o, const char *id) {
    char path[200];
    json_t *one;
    if (!path_of("/approvals/", id, "", path, sizeof path)) return DOOR_USAGE;
    int rc = door_ask(o->socket, path, NULL, o->token, &one);
    if (rc != DOOR_OK) return rc;
    if (o->json)
        door_print_json(one);
    else
        print_whole(one);
    json_decref(one);
    return rc;
}

static json_t *fetch_waiting(void *arg, int *rc) { return fetch(arg, rc); }

/* Prints each request as it appears and as its state changes, until it is interrupted. */
static int watch(struct options *o) {
    const struct watch_conf conf = {.socket = o->socket, .token = o->token, .fetch = fetch_waiting, .arg = o};
    int status;
    if (!o->json && watch_screen(&conf, &status)) return status;
    json_t *known = json_object();
    o->all = true;
    for (;; sleep(1)) {
        int rc;
        json_t *all = fetch(o, &rc), *now = json_object();
        if (all == NULL) {
            json_decref(known);
            json_decref(now);
            return rc;
        }
        for (size_t i = 0; i < json_array_size(all); i++) {
            const json_t *one = json_array_get(all, i);
            const char *state = text(one, "status"), *before = json_string_value(json_object_get(known, text(one, "id")));
            json_object_set_new(now, text(one, "id"), json_string(state));
            if (before != NULL ? strcmp(before, state) == 0 : strcmp(state, "pending") != 0) continue;
            if (o->json) {
                json_dumpf(one, stdout, JSON_COMPACT);
                putchar('\n');
            } else if (before == NULL) {
                print_one(one);
                putchar('\n');
            } else
                printf("%-12s %s is %s now\n\n", "request", text(one, "id"), state);
        }
        fflush(stdout);
        json_decref(all);
        json_decref(known);
        known = now;
    }
}

int ctl_approvals(int argc, char **argv) {
    struct options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    const char *what = o.nwords == 0 ? "list" : o.words[0];
    bool is_list = strcmp(what, "list") == 0 && o.nwords <= 1, is_show = strcmp(what, "show") == 0 && o.nwords == 2;
    if (!is_list && !is_show && (strcmp(what, "watch") != 0 || o.nwords != 1)) return usage(stderr);
    int rc = use_door(&o);
    if (rc == DOOR_OK) rc = is_list ? list(&o) : is_show ? show(&o, o.words[1]) : watch(&o);
    door_token_free(o.token);
    return rc;
}

/* --- decisions --- */

static int decide(int argc, char **argv, const char *verdict) {
    struct options o;
    char path[200];
    json_t *answer;
    bool deny = strcmp(verdict, "deny") == 0;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    if (o.nwords != 1 || o.token_file == NULL || (deny && (o.reason == NULL || o.seconds != 0)) || (o.scope != NULL && o.seconds == 0))
        return usage(stderr);
    if (!path_of("/approvals/", o.words[0], "", path, sizeof path)) return DOOR_USAGE;
    int rc = use_door(&o);
    if (rc != DOOR_OK) return rc;
    json_t *body = json_pack("{s:s, s:s*, s:s*}", "verdict", verdict, "reason", o.reason, "scope", o.scope);
    if (body != NULL && o.seconds != 0) json_object_set_new(body, "for", json_integer(o.seconds));
    if (body == NULL) fputs("gatehousectl: the reason is not UTF-8\n", stderr);
    rc = body == NULL ? DOOR_USAGE : door_ask(o.socket, path, body, o.token, &answer);
    door_token_free(o.token);
    json_decref(body);
    if (rc != DOOR_OK) return rc;
    if (o.json)
        door_print_json(answer);
    else {
        printf("%s: ", o.words[0]);
        door_print(text(answer, "message"), true);
        putchar('\n');
    }
    json_decref(answer);
    return rc;
}

int ctl_approve(int argc, char **argv) { return decide(argc, argv, "approve"); }
int ctl_deny(int argc, char **argv) { return decide(argc, argv, "deny"); }

/* --- sessions --- */

static void print_session(const json_t *o) {
    printf("%s  ", text(o, "id"));
    door_print(text(o, "principal"), true);
    fputs("  ", stdout);
    door_print(text(o, "database"), true);
    printf("  since %s  %s, %lld statements, %lld refused", text(o, "started"), text(o, "state"),
           (long long)json_integer_value(json_object_get(o, "statements")), (long long)json_integer_value(json_object_get(o, "refused")));
    if (text(o, "application_name")[0] != '\0') {
        fputs("  ", stdout);
        door_print(text(o, "application_name"), true);
    }
    putchar('\n');
}

static int list_sessions(const struct options *o) {
    json_t *answer;
    int rc = door_ask(o->socket, "/sessions", NULL, NULL, &answer);
    if (rc != DOOR_OK) return rc;
    const json_t *all = json_object_get(answer, "sessions");
    if (o->json)
        door_print_json(all);
    else if (json_array_size(all) == 0)
        puts("Nobody is logged in.");
    for (size_t i = 0; !o->json && i < json_array_size(all); i++) print_session(json_array_get(all, i));
    json_decref(answer);
    return rc;
}

static int one_session(const struct options *o, const char *id, bool kill) {
    char path[200];
    json_t *answer, *nothing = json_object();
    char *token = o->token_file != NULL ? door_token(o->token_file) : NULL;
    if ((o->token_file != NULL && token == NULL) || !path_of("/sessions/", id, kill ? "/kill" : "", path, sizeof path)) {
        json_decref(nothing);
        door_token_free(token);
        return DOOR_USAGE;
    }
    int rc = door_ask(o->socket, path, kill ? nothing : NULL, token, &answer);
    json_decref(nothing);
    door_token_free(token);
    if (rc != DOOR_OK) return rc;
    if (o->json)
        door_print_json(answer);
    else if (kill)
        printf("%s: %s\n", id, text(answer, "message"));
    else {
        static const char *const keys[] = {"id",   "principal", "issuer",           "groups",  "database",
                                           "user", "src",       "application_name", "started", "state"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) field(keys[i], text(answer, keys[i]));
        printf("%-12s %lld, %lld refused, %lld rows\n", "statements", (long long)json_integer_value(json_object_get(answer, "statements")),
               (long long)json_integer_value(json_object_get(answer, "refused")),
               (long long)json_integer_value(json_object_get(answer, "rows")));
    }
    json_decref(answer);
    return rc;
}

int ctl_sessions(int argc, char **argv) {
    struct options o;
    if (!options(argc, argv, &o) || o.url != NULL) return usage(stderr);
    o.socket = door_socket(o.socket);
    if (o.help) return usage(stdout);
    const char *what = o.nwords == 0 ? "list" : o.words[0];
    if (strcmp(what, "list") == 0 && o.nwords <= 1) return list_sessions(&o);
    if (strcmp(what, "show") == 0 && o.nwords == 2) return one_session(&o, o.words[1], false);
    if (strcmp(what, "kill") == 0 && o.nwords == 2) return one_session(&o, o.words[1], true);
    return usage(stderr);
}

int ctl_status(int argc, char **argv) {
    struct options o;
    json_t *answer, *value;
    const char *key;
    if (!options(argc, argv, &o) || o.url != NULL) return usage(stderr);
    o.socket = door_socket(o.socket);
    if (o.help) return usage(stdout);
    if (o.nwords != 0) return usage(stderr);
    int rc = door_ask(o.socket, "/status", NULL, NULL, &answer);
    if (rc != DOOR_OK) return rc;
    if (o.json)
        door_print_json(answer);
    else
        json_object_foreach(answer, key, value) {
            char *s = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
            field(key, s != NULL ? s : json_string_value(value));
            free(s);
        }
    json_decref(answer);
    return rc;
}
