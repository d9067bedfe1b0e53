bin_PROGRAMS += gatehousectl
gatehousectl_SOURCES = \
	ctl/main.c
gatehousectl_LDADD = libghpolicy.a libghfilters.a $(PG_QUERY_LIBS) $(YAML_LIBS) $(JWT_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) -lm
