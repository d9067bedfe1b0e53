"""The app of drv_django.py and drv_my_django.py."""
import os

SCHEMA, _, NAME = os.environ["GH_T_PREFIX"].rpartition(".")
MYSQL = SCHEMA == ""


def table(name):
    """In PostgreSQL in a schema: Django quotes what is not quoted already, and so it is told of one."""
    return NAME + name if MYSQL else f'"{SCHEMA}"."{NAME}{name}"'
