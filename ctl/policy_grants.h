#ifndef GH_CTL_POLICY_GRANTS_H
#define GH_CTL_POLICY_GRANTS_H

/* "policy grants --sql": the role that a gate needs in the database. argv[0] is the command's name. The exit status. */
int ctl_policy_grants(int argc, char **argv);

#endif
