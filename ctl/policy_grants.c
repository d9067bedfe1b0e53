#include "ctl/policy_grants.h"

#include "ctl/columns.h"
#include "policy/grants_sql.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_DONE = 0, EXIT_USAGE = 2 };
#define MAX_GROUPS 64

struct options {
    const char *policy, *catalog, *database, *role;
    const char *groups[MAX_GROUPS];
    size_t ngroups;
    bool sql, help;
};

static int usage(FILE *to) {
    fputs("usage: gatehousectl policy grants --sql --policy FILE --catalog FILE [--database NAME] [--role NAME] [--as GROUP[,GROUP...]]\n"
          "\n"
          "Prints SQL that makes the role which gatehouse uses in the database, and gives it what the policy's rules can reach: columns "
          "that somebody\n"
          "sees or that a mask or row filter reads, and no others; and what keyed hashes need. A superuser runs it. --catalog is what "
          "\"gatehousectl\n"
          "catalog\" printed. --role is the role's name, gatehouse by default. --as: only for identities of these groups, each by itself, "
          "where\n"
          "gatehouse.yaml gives them credentials of their own.\n"
          "\n"
          "Exit status: 0 printed, 2 wrong usage or a mistake in a file.\n",
          to);
    return to == stderr ? EXIT_USAGE : EXIT_DONE;
}

static bool read_options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = {{"sql", no_argument, NULL, 'S'},           {"policy", required_argument, NULL, 'p'},
                                          {"catalog", required_argument, NULL, 'c'}, {"database", required_argument, NULL, 'd'},
                                          {"role", required_argument, NULL, 'r'},    {"as", required_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    *o = (struct options){.role = "gatehouse"};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        char *save = NULL;
        switch (c) {
        case 'S': o->sql = true; break;
        case 'p': o->policy = optarg; break;
        case 'c': o->catalog = optarg; break;
        case 'd': o->database = optarg; break;
        case 'r': o->role = optarg; break;
        case 'h': o->help = true; return true;
        case 'a':
            for (char *w = strtok_r(optarg, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
                if (o->ngroups == MAX_GROUPS) return false;
                o->groups[o->ngroups++] = w;
            }
            break;
        default: return false;
        }
    }
    return o->sql && o->policy != NULL && o->catalog != NULL && o->role[0] != '\0' && strlen(o->role) < 64 && argc == optind;
}

static int print(const struct options *o, const struct pol_policy *policy, struct pol_catalog *catalog) {
    struct buf b = BUF_INIT(64u << 20);
    struct pol_grants_sql g = {.policy = policy,
                               .catalog = catalog,
                               .database = o->database != NULL ? o->database : pol_catalog_database(catalog),
                               .role = o->role,
                               .groups = o->groups,
                               .ngroups = o->ngroups};
    int status = EXIT_USAGE;
    if (!pol_policy_has_database(policy, g.database))
        fprintf(stderr, "gatehousectl policy: %s does not list the database \"%s\"\n", o->policy, g.database);
    else if (!pol_grants_sql(&g, &b))
        fputs("gatehousectl policy: out of memory\n", stderr);
    else if (fwrite(buf_at(&b), 1, buf_used(&b), stdout) == buf_used(&b) && fflush(stdout) == 0)
        status = EXIT_DONE;
    buf_free(&b);
    return status;
}

int ctl_policy_grants(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    struct pol_policy *policy = ctl_policy_file(o.policy);
    if (policy == NULL) return EXIT_USAGE;
    struct pol_catalog *catalog = ctl_catalog_file(o.catalog);
    int status = catalog != NULL ? print(&o, policy, catalog) : EXIT_USAGE;
    pol_catalog_unref(catalog);
    pol_policy_unref(policy);
    return status;
}
