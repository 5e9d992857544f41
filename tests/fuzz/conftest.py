"""Prints, at the end, what was counted: a number that nobody sees is no number."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the counts of every target and engine."""
    counted = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "fuzzed"
    ]
    if counted:
        terminalreporter.section("inputs that were tried")
    for line in counted:
        terminalreporter.write_line(str(line))
