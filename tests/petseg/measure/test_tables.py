"""Text in columns."""

from petseg.measure.tables import aligned


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    table = aligned([("model", "MB"), ("a", "3.25"), ("prompt", "")], right=(1,))
    assert table.splitlines() == ["model     MB", "a       3.25", "prompt"]
