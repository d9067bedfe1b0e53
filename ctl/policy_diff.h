#ifndef GH_CTL_POLICY_DIFF_H
#define GH_CTL_POLICY_DIFF_H

/* "policy diff": recorded statements that another policy judges otherwise. argv[0] is the command's name. The exit status. */
int ctl_policy_diff(int argc, char **argv);

#endif
