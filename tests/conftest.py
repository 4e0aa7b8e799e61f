"""Fixtures for every part of the tests, and the parts' summary at the end of a run."""

from tests.support.parts import (  # noqa: F401
    pytest_addoption,
    pytest_collectreport,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
)
from tests.support.places import pytest_configure  # noqa: F401
from tests.support.stack import (  # noqa: F401
    kafka,
    kafka_program,
    own_kafka,
    own_redis,
    stack_settings,
    topic_prefix,
    valkey,
    valkey_server,
    watchdog,
)
