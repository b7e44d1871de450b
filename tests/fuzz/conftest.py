"""The minute of fuzzing is begun by the first test of this folder and looked at by the last of all."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.name == "test_a_minute_of_coverage_guided_fuzzing")
