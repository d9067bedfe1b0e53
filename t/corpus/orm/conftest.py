# SQLAlchemy's own compliance suite for dialects, which its package brings along: this file and setup.cfg are what its README.dialects.rst asks for.
from sqlalchemy.dialects import registry  # noqa: F401
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: F401,F403
