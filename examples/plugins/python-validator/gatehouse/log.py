"""Standard error as the broker reads it: one JSON object a line."""

import datetime
import json
import logging
import sys

LEVELS = {"trace": 5, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_names = {5: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error", 50: "error"}

# What every LogRecord has; anything else came by logging's extra.
_own = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Formatter(logging.Formatter):
    """Writes @level, @message, @timestamp and @module; extra={...} become attributes."""

    def format(self, record):
        at = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line = {
            "@level": _names[max(n for n in _names if n <= max(5, record.levelno))],
            "@message": record.getMessage(),
            "@timestamp": at.isoformat(timespec="microseconds"),
            "@module": record.name,
        }
        line.update((k, v) for k, v in vars(record).items() if k not in _own)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def to_stderr(name):
    """Sends everything that is logged to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    # Nobody reads it any more when the broker is gone, which is no reason to fail.
    handler.handleError = lambda record: None
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    set_level("info")
    return logging.getLogger(name)


def set_level(name):
    """Takes the log level of Init."""
    logging.getLogger().setLevel(LEVELS.get(name, logging.INFO))
