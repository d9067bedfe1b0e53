"""The app of drv_django.py."""
import os

SCHEMA, NAME = os.environ["GH_T_PREFIX"].split(".")


def table(name):
    """Django quotes what is not quoted already: this is how it is told a schema."""
    return f'"{SCHEMA}"."{NAME}{name}"'
