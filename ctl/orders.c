#include "config.h"

#include "ctl/orders.h"

#include "ctl/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool options(int argc, char **argv, struct door_options *o) {
    bool ok = door_options(argc, argv, false, o);
    o->socket = door_socket(o->socket);
    return ok;
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

/* One POST; body is taken over. */
static int post(const struct door_options *o, const char *path, json_t *body) {
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
        door_line(door_text(answer, "message"));
    }
    json_decref(answer);
    return rc;
}

/* --- blocks --- */

static int block(int argc, char **argv, bool lift) {
    struct door_options o;
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
    door_field(door_text(b, "what"), door_text(b, "value"));
    door_field("why", door_text(b, "reason"));
    door_field("by", door_text(b, "by"));
    door_field("since", door_text(b, "since"));
    door_field("until", door_text(b, "until"));
    door_field("order", door_text(b, "id"));
    door_field("status", door_text(b, "status"));
}

static void print_grant(const json_t *g) {
    const json_t *asks = json_object_get(g, "asks"), *approvers = json_object_get(g, "approvers");
    door_field("grant", door_text(g, "id"));
    door_field("to", door_text(g, "principal"));
    door_field("database", door_text(g, "database"));
    door_field("scope", door_text(g, "scope"));
    for (size_t i = 0; i < json_array_size(asks); i++) door_field("rule", door_text(json_array_get(asks, i), "rule"));
    for (size_t i = 0; i < json_array_size(approvers); i++) door_field("approved by", json_string_value(json_array_get(approvers, i)));
    door_field("since", door_text(g, "since"));
    door_field("until", door_text(g, "until"));
    door_field("request", door_text(g, "request"));
    door_field("status", door_text(g, "status"));
    if (door_text(g, "sql")[0] != '\0') door_sql(door_text(g, "sql"));
}

static int list(const struct door_options *o, const char *what, const char *none, void (*print)(const json_t *)) {
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
    struct door_options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    if (o.nwords > 1 || (o.nwords == 1 && strcmp(o.words[0], "list") != 0)) return usage(stderr);
    return list(&o, "blocks", "Nobody is blocked.", print_block);
}

int ctl_grants(int argc, char **argv) {
    struct door_options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    if (o.nwords == 2 && strcmp(o.words[0], "revoke") == 0)
        return post(&o, "/grants/revoke", json_pack("{s:s, s:s*}", "id", o.words[1], "reason", o.reason));
    if (o.nwords > 1 || (o.nwords == 1 && strcmp(o.words[0], "list") != 0)) return usage(stderr);
    return list(&o, "grants", "No grant counts.", print_grant);
}
