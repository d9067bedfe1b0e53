#include "config.h"

#include "ctl/approvals.h"
#include "ctl/audit.h"
#include "ctl/catalog.h"
#include "ctl/doctor.h"
#include "ctl/orders.h"
#include "ctl/policy.h"
#include "ctl/token.h"
#include "ctl/whoami.h"
#include "ctl/words.h"
#include "policy/text.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"policy", ctl_policy, "check a policy; explain what it says to a statement"},
    {"catalog", ctl_catalog, "print what a database's catalog says, for \"policy ... --catalog\""},
    {"approvals", ctl_approvals, "list, show or watch the requests that wait for a decision"},
    {"approve", ctl_approve, "agree to a request, with your token"},
    {"deny", ctl_deny, "refuse it"},
    {"audit", ctl_audit, "follow, search, show, export or verify the record"},
    {"grants", ctl_grants, "list or revoke what was approved for some time"},
    {"block", ctl_block, "shut out a principal, a session, an address or a database, on every node"},
    {"unblock", ctl_unblock, "let it in again"},
    {"blocks", ctl_blocks, "list what is blocked"},
    {"sessions", ctl_sessions, "list, show or end sessions"},
    {"status", ctl_status, "what the daemon says of itself"},
    {"doctor", ctl_doctor, "look at everything that Gatehouse needs, and say what to do"},
    {"whoami", ctl_whoami, "say who a token is, or why it is refused"},
    {"token", ctl_token, "make a token to try Gatehouse with"},
    {"jwks", ctl_jwks, "write the public keys that verify such tokens"},
    {"keygen", ctl_keygen, "make a key that signs such tokens"},
};

static void usage(FILE *to) {
    fputs("usage: gatehousectl COMMAND [ARGUMENTS]\n       gatehousectl --help | --version\n\ncommands:\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].about);
    fputs("\nSee gatehousectl(1).\n", to);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("gatehousectl " PACKAGE_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    const char *names[sizeof commands / sizeof *commands + 1] = {NULL};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) names[i] = commands[i].name;
    words_unknown("", "command", argv[1], names);
    if (pol_nearest(argv[1], names) == NULL) usage(stderr);
    return 2;
}
