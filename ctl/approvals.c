#include "ctl/approvals.h"

#include "ctl/door.h"
#include "ctl/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGES_MAX 1000

struct options {
    struct door_options d;
    char *token; /* of token_file, where it was read */
};

static bool options(int argc, char **argv, struct options *o) {
    *o = (struct options){.token = NULL};
    return door_options(argc, argv, true, &o->d);
}

/* For commands about approvals: at the socket, or at --url, where who asks is in a token. DOOR_OK, or a message was printed. */
static int use_door(struct options *o) {
    if (o->d.url == NULL && o->d.socket == NULL) o->d.url = getenv("GATEHOUSE_URL");
    if (o->d.url != NULL && o->d.url[0] == '\0') o->d.url = NULL;
    if (o->d.ca == NULL) o->d.ca = getenv("GATEHOUSE_CA");
    o->d.socket = door_socket(o->d.socket);
    if (o->d.url != NULL && !door_use_url(o->d.url, o->d.ca)) return DOOR_USAGE;
    if (o->d.url != NULL && o->d.token_file == NULL) {
        fputs("gatehousectl: at a URL every question needs your token: --token-file FILE\n", stderr);
        return DOOR_USAGE;
    }
    if (o->d.token_file == NULL) return DOOR_OK;
    o->token = door_token(o->d.token_file);
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

/* --- approvals --- */

/* All pages as one array; NULL and *rc. */
static json_t *fetch(const struct options *o, int *rc) {
    json_t *all = json_array();
    char path[200], after[80] = "";
    for (int i = 0; i < PAGES_MAX; i++) {
        json_t *page;
        snprintf(path, sizeof path, "/approvals?limit=1000&after=%s%s", after, o->d.all ? "&all=1" : "");
        *rc = door_ask(o->d.socket, path, NULL, o->token, &page);
        if (*rc != DOOR_OK) {
            json_decref(all);
            return NULL;
        }
        json_t *list = json_object_get(page, "approvals");
        size_t n = json_array_size(list);
        json_array_extend(all, list);
        snprintf(after, sizeof after, "%.64s", n == 0 ? "" : door_text(json_array_get(list, n - 1), "id"));
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
        door_print(door_text(a, "rule"), true);
        puts(")");
        const json_t *g = json_object_get(a, "grant");
        if (g != NULL)
            printf("%-12s for at most %lld s, scope %s\n", "may be given", (long long)json_integer_value(json_object_get(g, "max")) / 1000,
                   door_text(g, "scope"));
    }
}

static void print_decisions(const json_t *list, const char *label) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        printf("%-12s %s by ", label, strcmp(door_text(d, "verdict"), "approve") == 0 ? "approved" : "denied");
        door_print(door_text(d, "approver"), true);
        printf(" at %s", door_text(d, "time"));
        if (json_object_get(d, "for") != NULL)
            printf(", for %lld s (%s)", (long long)json_integer_value(json_object_get(d, "for")), door_text(d, "scope"));
        if (door_text(d, "reason")[0] != '\0') {
            fputs(": ", stdout);
            door_print(door_text(d, "reason"), true);
        }
        putchar('\n');
    }
}

static void print_sql(const json_t *o) {
    long long cut = (long long)json_integer_value(json_object_get(o, "sql_cut"));
    putchar('\n');
    door_print(door_text(o, "sql"), false);
    putchar('\n');
    if (cut > 0) printf("... and %lld bytes more: see gatehousectl approvals show %s\n", cut, door_text(o, "id"));
    if (json_is_true(json_object_get(o, "sql_not_ascii")))
        puts("(This text has letters that may look like others: compare with \"touches\".)");
}

static void print_one(const json_t *o) {
    printf("%-12s %s, %s until %s\n", "request", door_text(o, "id"), door_text(o, "status"),
           door_text(o, "use_by")[0] != '\0' ? door_text(o, "use_by") : door_text(o, "expires"));
    printf("%-12s ", "by");
    door_print(door_text(o, "principal"), true);
    fputs(" (", stdout);
    print_who(json_object_get(o, "groups"));
    puts(")");
    door_field("database", door_text(o, "database"));
    door_field("over http", door_text(o, "api"));
    door_field("why", door_text(o, "reason"));
    print_asks(o);
    door_field("does", door_text(o, "statements"));
    door_field("touches", door_text(o, "relations"));
    if (json_object_get(o, "estimated_rows") != NULL)
        printf("%-12s about %lld, by the database's planner\n", "rows",
               (long long)json_integer_value(json_object_get(o, "estimated_rows")));
    if (json_is_true(json_object_get(o, "opaque"))) door_field("warning", "what it does cannot be seen from its text");
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
    door_field("tool", door_text(o, "tool"));
    door_field("beside it", door_text(o, "arguments"));
    door_field("session", door_text(o, "session"));
    door_field("from", door_text(o, "src"));
    door_field("policy", door_text(o, "policy"));
    door_field("sha256", door_text(o, "sha256"));
    for (size_t i = 0; i < json_array_size(earlier); i++) {
        const json_t *e = json_array_get(earlier, i);
        printf("%-12s the same statement at %s: %s\n", "earlier", door_text(e, "created"), door_text(e, "status"));
        print_decisions(json_object_get(e, "decisions"), "");
    }
}

static int list(const struct options *o) {
    int rc;
    json_t *all = fetch(o, &rc);
    if (all == NULL) return rc;
    if (o->d.json)
        door_print_json(all);
    else if (json_array_size(all) == 0)
        puts("No request waits.");
    for (size_t i = 0; !o->d.json && i < json_array_size(all); i++) {
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
    int rc = door_ask(o->d.socket, path, NULL, o->token, &one);
    if (rc != DOOR_OK) return rc;
    if (o->d.json)
        door_print_json(one);
    else
        print_whole(one);
    json_decref(one);
    return rc;
}

static json_t *fetch_waiting(void *arg, int *rc) { return fetch(arg, rc); }

/* Prints each request as it appears and as its state changes, until it is interrupted. */
static int watch(struct options *o) {
    const struct watch_conf conf = {.socket = o->d.socket, .token = o->token, .fetch = fetch_waiting, .arg = o};
    int status;
    if (!o->d.json && watch_screen(&conf, &status)) return status;
    json_t *known = json_object();
    o->d.all = true;
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
            const char *state = door_text(one, "status"), *before = json_string_value(json_object_get(known, door_text(one, "id")));
            json_object_set_new(now, door_text(one, "id"), json_string(state));
            if (before != NULL ? strcmp(before, state) == 0 : strcmp(state, "pending") != 0) continue;
            if (o->d.json) {
                json_dumpf(one, stdout, JSON_COMPACT);
                putchar('\n');
            } else if (before == NULL) {
                print_one(one);
                putchar('\n');
            } else
                printf("%-12s %s is %s now\n\n", "request", door_text(one, "id"), state);
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
    if (o.d.help) return usage(stdout);
    const char *what = o.d.nwords == 0 ? "list" : o.d.words[0];
    bool is_list = strcmp(what, "list") == 0 && o.d.nwords <= 1, is_show = strcmp(what, "show") == 0 && o.d.nwords == 2;
    if (!is_list && !is_show && (strcmp(what, "watch") != 0 || o.d.nwords != 1)) return usage(stderr);
    int rc = use_door(&o);
    if (rc == DOOR_OK) rc = is_list ? list(&o) : is_show ? show(&o, o.d.words[1]) : watch(&o);
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
    if (o.d.help) return usage(stdout);
    if (o.d.nwords != 1 || o.d.token_file == NULL || (deny && (o.d.reason == NULL || o.d.seconds != 0)) ||
        (o.d.scope != NULL && o.d.seconds == 0))
        return usage(stderr);
    if (!path_of("/approvals/", o.d.words[0], "", path, sizeof path)) return DOOR_USAGE;
    int rc = use_door(&o);
    if (rc != DOOR_OK) return rc;
    json_t *body = json_pack("{s:s, s:s*, s:s*}", "verdict", verdict, "reason", o.d.reason, "scope", o.d.scope);
    if (body != NULL && o.d.seconds != 0) json_object_set_new(body, "for", json_integer(o.d.seconds));
    if (body == NULL) fputs("gatehousectl: the reason is not UTF-8\n", stderr);
    rc = body == NULL ? DOOR_USAGE : door_ask(o.d.socket, path, body, o.token, &answer);
    door_token_free(o.token);
    json_decref(body);
    if (rc != DOOR_OK) return rc;
    if (o.d.json)
        door_print_json(answer);
    else {
        printf("%s: ", o.d.words[0]);
        door_print(door_text(answer, "message"), true);
        putchar('\n');
    }
    json_decref(answer);
    return rc;
}

int ctl_approve(int argc, char **argv) { return decide(argc, argv, "approve"); }
int ctl_deny(int argc, char **argv) { return decide(argc, argv, "deny"); }

/* --- sessions --- */

static void print_session(const json_t *o) {
    printf("%s  ", door_text(o, "id"));
    door_print(door_text(o, "principal"), true);
    fputs("  ", stdout);
    door_print(door_text(o, "database"), true);
    printf("  since %s  %s, %lld statements, %lld refused", door_text(o, "started"), door_text(o, "state"),
           (long long)json_integer_value(json_object_get(o, "statements")), (long long)json_integer_value(json_object_get(o, "refused")));
    if (door_text(o, "application_name")[0] != '\0') {
        fputs("  ", stdout);
        door_print(door_text(o, "application_name"), true);
    }
    putchar('\n');
}

static int list_sessions(const struct options *o) {
    json_t *answer;
    int rc = door_ask(o->d.socket, "/sessions", NULL, NULL, &answer);
    if (rc != DOOR_OK) return rc;
    const json_t *all = json_object_get(answer, "sessions");
    if (o->d.json)
        door_print_json(all);
    else if (json_array_size(all) == 0)
        puts("Nobody is logged in.");
    for (size_t i = 0; !o->d.json && i < json_array_size(all); i++) print_session(json_array_get(all, i));
    json_decref(answer);
    return rc;
}

static int one_session(const struct options *o, const char *id, bool kill) {
    char path[200];
    json_t *answer, *nothing = json_object();
    char *token = o->d.token_file != NULL ? door_token(o->d.token_file) : NULL;
    if ((o->d.token_file != NULL && token == NULL) || !path_of("/sessions/", id, kill ? "/kill" : "", path, sizeof path)) {
        json_decref(nothing);
        door_token_free(token);
        return DOOR_USAGE;
    }
    int rc = door_ask(o->d.socket, path, kill ? nothing : NULL, token, &answer);
    json_decref(nothing);
    door_token_free(token);
    if (rc != DOOR_OK) return rc;
    if (o->d.json)
        door_print_json(answer);
    else if (kill)
        printf("%s: %s\n", id, door_text(answer, "message"));
    else {
        static const char *const keys[] = {"id",   "principal", "issuer",           "groups",  "database",
                                           "user", "src",       "application_name", "started", "state"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) door_field(keys[i], door_text(answer, keys[i]));
        printf("%-12s %lld, %lld refused, %lld rows\n", "statements", (long long)json_integer_value(json_object_get(answer, "statements")),
               (long long)json_integer_value(json_object_get(answer, "refused")),
               (long long)json_integer_value(json_object_get(answer, "rows")));
    }
    json_decref(answer);
    return rc;
}

int ctl_sessions(int argc, char **argv) {
    struct options o;
    if (!options(argc, argv, &o) || o.d.url != NULL) return usage(stderr);
    o.d.socket = door_socket(o.d.socket);
    if (o.d.help) return usage(stdout);
    const char *what = o.d.nwords == 0 ? "list" : o.d.words[0];
    if (strcmp(what, "list") == 0 && o.d.nwords <= 1) return list_sessions(&o);
    if (strcmp(what, "show") == 0 && o.d.nwords == 2) return one_session(&o, o.d.words[1], false);
    if (strcmp(what, "kill") == 0 && o.d.nwords == 2) return one_session(&o, o.d.words[1], true);
    return usage(stderr);
}

int ctl_status(int argc, char **argv) {
    struct options o;
    json_t *answer, *value;
    const char *key;
    if (!options(argc, argv, &o) || o.d.url != NULL) return usage(stderr);
    o.d.socket = door_socket(o.d.socket);
    if (o.d.help) return usage(stdout);
    if (o.d.nwords != 0) return usage(stderr);
    int rc = door_ask(o.d.socket, "/status", NULL, NULL, &answer);
    if (rc != DOOR_OK) return rc;
    if (o.d.json)
        door_print_json(answer);
    else
        json_object_foreach(answer, key, value) {
            char *s = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
            door_field(key, s != NULL ? s : json_string_value(value));
            free(s);
        }
    json_decref(answer);
    return rc;
}
