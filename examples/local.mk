EXTRA_DIST += \
	examples/gatehouse.service \
	examples/lib/stack.sh \
	examples/lib/tour.sh \
	examples/quickstart \
	examples/shop/gatehouse.yaml \
	examples/shop/policy.yaml \
	examples/shop/shop.sql
