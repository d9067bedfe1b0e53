check_PROGRAMS += t/ctl/test_token
t_ctl_test_token_SOURCES = \
	ctl/key.c \
	ctl/token.c \
	t/ctl/test_token.c
t_ctl_test_token_LDADD = $(T_LIBS) $(JWT_LIBS)
