#include "config.h"

#include "ctl/orders.h"

#include "ctl/door.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *socket, *token_file, *reason;
    long long seconds;
    bool json, all, help;
    const char *words[3];
    int nwords;
};

static bool options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = {{"socket", required_argument, NULL, 's'}, {"token-file", required_argument, NULL, 't'},
                                          {"reason", required_argument, NULL, 'r'}, {"for", required_argument, NULL, 'f'},
                                          {"json", no_argument, NULL, 'j'},         {"all", no_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    *o = (struct options){0};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        switch (c) {
        case 's': o->socket = optarg; break;
        case 't': o->token_file = optarg; break;
        case 'r': o->reason = optarg; break;
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
    o->socket = door_socket(o->socket);
    return true;
}

static int usage(FILE *to) {
    fputs("usage: gatehousectl block principal|session|address|database NAME --reason TEXT [--for TIME] [--token-file FILE] [--json]\n"
          "       gatehousectl unblock principal|session|address|database NAME [--reason TEXT] [--token-file FILE] [--json]\n"
          "       gatehousectl blocks [list] [--all] [--json]\n"
          "       gatehousectl grants [list] [--all] [--json]\n"
          "       gatehousectl grants revoke ID [--reason TEXT] [--token-file FILE] [--json]\n"
          "\n"
          "All take --socket PATH, the daemon's admin door; else GATEHOUSE_ADMIN names it, else it is " DOOR_DEFAULT ".\n"
          "TIME is 30s, 15m, 2h or 1d. FILE holds a token; - is standard input.\n"
          "\n"
          "Exit status: 0 done, 1 the daemon cannot be reached or failed, 2 wrong usage, 3 not yours to do, 4 there is no such block or "
          "grant,\n"
          "5 there are too many.\n",
          to);
    return to == stderr ? DOOR_USAGE : DOOR_OK;
}

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static void field(const char *name, const char *value) {
    if (value[0] == '\0') return;
    printf("%-12s ", name);
    door_print(value, true);
    putchar('\n');
}

/* One POST; body is taken over. */
static int post(const struct options *o, const char *path, json_t *body) {
    json_t *answer;
    char *token = o->token_file != NULL ? door_token(o->token_file) : NULL;
    if (body == NULL) fputs("gatehousectl: a text of the request is not UTF-8\n", stderr);
    bool ok = body != NULL && (o->token_file == NULL || token != NULL);
    int rc = ok ? door_ask(o->socket, path, body, token, &answer) : DOOR_USAGE;
    door_token_free(token);
    json_decref(body);
    if (rc != DOOR_OK) return rc;
    if (o->json)
        door_print_json(answer);
    else {
        door_print(text(answer, "message"), true);
        putchar('\n');
    }
    json_decref(answer);
    return rc;
}

/* --- blocks --- */

static int block(int argc, char **argv, bool lift) {
    struct options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    if (o.nwords != 2 || (!lift && o.reason == NULL) || (lift && o.seconds != 0)) return usage(stderr);
    json_t *body = json_pack("{s:s, s:s, s:s*}", "what", o.words[0], "value", o.words[1], "reason", o.reason);
    if (body != NULL && o.seconds != 0) json_object_set_new(body, "for", json_integer(o.seconds));
    return post(&o, lift ? "/blocks/lift" : "/blocks", body);
}

int ctl_block(int argc, char **argv) { return block(argc, argv, false); }
int ctl_unblock(int argc, char **argv) { return block(argc, argv, true); }

static void print_block(const json_t *b) {
    printf("%-12s ", text(b, "what"));
    door_print(text(b, "value"), true);
    putchar('\n');
    field("why", text(b, "reason"));
    field("by", text(b, "by"));
    field("since", text(b, "since"));
    field("until", text(b, "until"));
    field("order", text(b, "id"));
    field("status", text(b, "status"));
}

static void print_grant(const json_t *g) {
    const json_t *asks = json_object_get(g, "asks"), *approvers = json_object_get(g, "approvers");
    field("grant", text(g, "id"));
    field("to", text(g, "principal"));
    field("database", text(g, "database"));
    field("scope", text(g, "scope"));
    for (size_t i = 0; i < json_array_size(asks); i++) field("rule", text(json_array_get(asks, i), "rule"));
    for (size_t i = 0; i < json_array_size(approvers); i++) field("approved by", json_string_value(json_array_get(approvers, i)));
    field("since", text(g, "since"));
    field("until", text(g, "until"));
    field("request", text(g, "request"));
    field("status", text(g, "status"));
    field("sql", text(g, "sql"));
}

static int list(const struct options *o, const char *what, const char *none, void (*print)(const json_t *)) {
    char path[64];
    json_t *answer;
    snprintf(path, sizeof path, "/%s%s", what, o->all ? "?all=1" : "");
    int rc = door_ask(o->socket, path, NULL, NULL, &answer);
    if (rc != DOOR_OK) return rc;
    const json_t *all = json_object_get(answer, what);
    if (o->json)
        door_print_json(all);
    else if (json_array_size(all) == 0)
        puts(none);
    for (size_t i = 0; !o->json && i < json_array_size(all); i++) {
        if (i > 0) putchar('\n');
        print(json_array_get(all, i));
    }
    json_decref(answer);
    return rc;
}

int ctl_blocks(int argc, char **argv) {
    struct options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    if (o.nwords > 1 || (o.nwords == 1 && strcmp(o.words[0], "list") != 0)) return usage(stderr);
    return list(&o, "blocks", "Nobody is blocked.", print_block);
}

int ctl_grants(int argc, char **argv) {
    struct options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    if (o.nwords == 2 && strcmp(o.words[0], "revoke") == 0)
        return post(&o, "/grants/revoke", json_pack("{s:s, s:s*}", "id", o.words[1], "reason", o.reason));
    if (o.nwords > 1 || (o.nwords == 1 && strcmp(o.words[0], "list") != 0)) return usage(stderr);
    return list(&o, "grants", "No grant counts.", print_grant);
}
