"""Reads the log of a training and says what is wrong with it, and what to change."""

from srgan_cli.diagnose.engine import diagnose_run, examine
from srgan_cli.diagnose.readers import NothingYetError, parse_mapping, read_run
from srgan_cli.diagnose.report import Finding, NotChecked, Report
from srgan_cli.diagnose.report_json import to_json
from srgan_cli.diagnose.text import report_text, summary_line
from srgan_cli.diagnose.watch import Watch

__all__ = [
    "Finding",
    "NotChecked",
    "NothingYetError",
    "Report",
    "Watch",
    "diagnose_run",
    "examine",
    "parse_mapping",
    "read_run",
    "report_text",
    "summary_line",
    "to_json",
]
