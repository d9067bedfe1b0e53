EXTRA_DIST += \
	t/corpus/clusters.py \
	t/corpus/orm/conftest.py \
	t/corpus/orm/describe.sql \
	t/corpus/orm/django_work.py \
	t/corpus/orm/setup.cfg \
	t/corpus/orm/sqlalchemy_work.py \
	t/corpus/orm/test_suite.py \
	t/corpus/policy.yaml \
	t/corpus/report.py \
	t/corpus/run.py \
	t/corpus/source.py \
	t/corpus/tee.py \
	t/corpus/works.py
