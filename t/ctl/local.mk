check_PROGRAMS += t/ctl/test_fold
t_ctl_test_fold_SOURCES = \
	ctl/fold.c \
	t/ctl/test_fold.c
t_ctl_test_fold_LDADD = $(T_LIBS)
check_PROGRAMS += t/ctl/test_token
t_ctl_test_token_SOURCES = \
	ctl/key.c \
	ctl/token.c \
	ctl/words.c \
	t/ctl/test_token.c
t_ctl_test_token_LDADD = $(T_LIBS) $(JWT_LIBS)
check_PROGRAMS += t/ctl/test_words
t_ctl_test_words_SOURCES = \
	ctl/words.c \
	t/ctl/test_words.c
t_ctl_test_words_LDADD = $(T_LIBS)
