EXTRA_DIST += \
	doc/mysql-language.md \
	t/mysql/corpus.py \
	t/mysql/differ.py \
	t/mysql/facts.py \
	t/mysql/lexer.py \
	t/mysql/rewrite.py \
	t/mysql/rewrite_cases.py \
	t/mysql/run.py \
	t/mysql/server.py \
	t/mysql/testfiles.py \
	t/mysql/words.py
