/* "policy test": statements with what is expected of the policy. */
#ifndef GH_CTL_POLICY_TEST_H
#define GH_CTL_POLICY_TEST_H

/* argv[0] is "test". The exit status of the program. */
int ctl_policy_test(int argc, char **argv);

#endif
