import pytest
from scenes import ball_views


@pytest.fixture(scope="session")
def ball():
    """Eight views around a ball on a table, and where they show it."""
    return ball_views(8)
