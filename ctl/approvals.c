#include "config.h"

#include "ctl/approvals.h"

#include "ctl/door.h"
#include "ctl/request.h"
#include "ctl/watch.h"
#include "ctl/words.h"

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

static const char *const forms[] = {
    "gatehousectl approvals [list] [--all] [--json]",
    "gatehousectl approvals show ID [--json]",
    "gatehousectl approvals watch [--token-file FILE] [--json]",
    "gatehousectl approve ID --token-file FILE [--reason TEXT] [--for TIME [--scope statement|kind|rule]] [--json]",
    "gatehousectl deny ID --token-file FILE --reason TEXT [--json]",
    "gatehousectl sessions [list] [--json]",
    "gatehousectl sessions show ID [--json]",
    "gatehousectl sessions kill ID [--token-file FILE]",
    "gatehousectl status [--json]",
    NULL,
};

static const struct door_commands commands = {
    forms, "FILE holds the approver's token; - is standard input. TIME is 30s, 15m, 2h or 1d.\n"
           "approvals, approve and deny also take --url https://NAME[:PORT] (else GATEHOUSE_URL), the approvers' page, and --ca-file FILE "
           "(else\n"
           "GATEHOUSE_CA); then each needs --token-file.\n"
           "\n"
           "Exit status: 0 done (the decision took), 1 the daemon cannot be reached or failed, 2 wrong usage, 3 not yours to decide,\n"
           "4 there is no such request or session, 5 nothing is left to decide.\n"};

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

static void print_request_line(void *arg, enum request_line kind, const char *name, const char *text) {
    (void)arg;
    if (kind == REQUEST_FIELD)
        door_field(name, text);
    else if (kind == REQUEST_WARNING)
        door_field("warning", text);
    else if (kind == REQUEST_SQL) {
        putchar('\n');
        door_sql(text);
    } else
        puts(text);
}

static void print_request(const json_t *o, bool whole) {
    if (!request_lines(o, whole, print_request_line, NULL)) puts("(Memory is out: some lines are missing.)");
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
        print_request(json_array_get(all, i), false);
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
        print_request(one, true);
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
                print_request(one, false);
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
    static const char *const names[] = {"list", "show", "watch", NULL};
    struct options o;
    if (!options(argc, argv, &o)) return door_usage(&commands, "approvals");
    if (o.d.help) return door_help(&commands, "approvals");
    const char *what = o.d.nwords == 0 ? names[0] : o.d.words[0];
    bool is_list = strcmp(what, names[0]) == 0, is_show = strcmp(what, names[1]) == 0;
    if (!is_list && !is_show && strcmp(what, names[2]) != 0) {
        words_unknown("approvals", "command", what, names);
        return door_usage(&commands, "approvals");
    }
    if (is_show && o.d.nwords < 2) return door_missing(&commands, "approvals", "approvals show", "the request's ID");
    if (o.d.nwords > (is_show ? 2 : 1)) return door_too_many(&commands, "approvals", o.d.words[is_show ? 2 : 1]);
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
    const char *command = deny ? "deny" : "approve";
    if (!options(argc, argv, &o)) return door_usage(&commands, command);
    if (o.d.help) return door_help(&commands, command);
    if (o.d.nwords < 1) return door_missing(&commands, command, command, "the request's ID");
    if (o.d.nwords > 1) return door_too_many(&commands, command, o.d.words[1]);
    if (o.d.token_file == NULL) return door_missing(&commands, command, command, "--token-file FILE, with your token,");
    if (deny && o.d.reason == NULL) return door_missing(&commands, command, command, "--reason TEXT, which who asked is told,");
    if (o.d.scope != NULL && o.d.seconds == 0)
        return door_missing(&commands, command, command, "--for TIME, without which there is no --scope,");
    if (deny && o.d.seconds != 0) {
        fputs("gatehousectl deny: --for is for approve alone\n", stderr);
        return door_usage(&commands, command);
    }
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
        door_line(door_text(answer, "message"));
    }
    json_decref(answer);
    return rc;
}

int ctl_approve(int argc, char **argv) { return decide(argc, argv, "approve"); }
int ctl_deny(int argc, char **argv) { return decide(argc, argv, "deny"); }

/* --- sessions --- */

static void print_session(const json_t *o) {
    const char *application = door_text(o, "application_name");
    char *line = NULL;
    if (asprintf(&line, "%s  %s  %s  since %s  %s, %lld statements, %lld refused%s%s", door_text(o, "id"), door_text(o, "principal"),
                 door_text(o, "database"), door_text(o, "started"), door_text(o, "state"),
                 (long long)json_integer_value(json_object_get(o, "statements")),
                 (long long)json_integer_value(json_object_get(o, "refused")), application[0] != '\0' ? "  " : "", application) < 0)
        return;
    door_line(line);
    free(line);
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

static bool no_url(const char *command, const struct options *o) {
    if (o->d.url == NULL) return true;
    fprintf(stderr, "gatehousectl %s: it is not to be had at a URL, at the daemon's admin door alone: --socket\n", command);
    return false;
}

int ctl_sessions(int argc, char **argv) {
    static const char *const names[] = {"list", "show", "kill", NULL};
    struct options o;
    if (!options(argc, argv, &o)) return door_usage(&commands, "sessions");
    if (o.d.help) return door_help(&commands, "sessions");
    if (!no_url("sessions", &o)) return door_usage(&commands, "sessions");
    o.d.socket = door_socket(o.d.socket);
    const char *what = o.d.nwords == 0 ? names[0] : o.d.words[0];
    bool is_list = strcmp(what, names[0]) == 0, kill = strcmp(what, names[2]) == 0;
    if (!is_list && !kill && strcmp(what, names[1]) != 0) {
        words_unknown("sessions", "command", what, names);
        return door_usage(&commands, "sessions");
    }
    if (!is_list && o.d.nwords < 2)
        return door_missing(&commands, "sessions", kill ? "sessions kill" : "sessions show",
                            "the session's ID, as \"gatehousectl sessions\" lists it,");
    if (o.d.nwords > (is_list ? 1 : 2)) return door_too_many(&commands, "sessions", o.d.words[is_list ? 1 : 2]);
    return is_list ? list_sessions(&o) : one_session(&o, o.d.words[1], kill);
}

int ctl_status(int argc, char **argv) {
    struct options o;
    json_t *answer, *value;
    const char *key;
    if (!options(argc, argv, &o)) return door_usage(&commands, "status");
    if (o.d.help) return door_help(&commands, "status");
    if (!no_url("status", &o)) return door_usage(&commands, "status");
    o.d.socket = door_socket(o.d.socket);
    if (o.d.nwords != 0) return door_too_many(&commands, "status", o.d.words[0]);
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
