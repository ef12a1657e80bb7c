"""One process under the supervisor."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Program"]


@dataclass(frozen=True, slots=True)
class Program:
    """What the supervisor must know to run a part or a service.

    Parameters
    ----------
    name : str
        Its name for ``start``, ``stop``, ``logs``.
    command : tuple of str
        The command line, unquoted.
    folder : Path
        Where it runs.
    priority : int
        Lower starts first and stops last.
    stop_signal : str
        How it is asked to end.
    stop_seconds : int
        How long it may take before it is killed.
    user : str, optional
        Who runs it, where the stack is root's.
    port : int
        Where it listens; 0 = nowhere.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    priority: int
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    user: str | None = None
    port: int = 0

    def section(self, logs: Path) -> str:
        """Return the program's section of supervisord's configuration.

        Examples
        --------
        >>> program = Program("demo", ("a b", "100%"), Path("/tmp"), priority=1)
        >>> print(program.section(Path("/logs")).splitlines()[1])
        command='a b' 100%%
        """
        lines = [
            f"[program:{self.name}]",
            f"command={_escape(shlex.join(self.command))}",
            f"directory={_escape(str(self.folder))}",
            f"priority={self.priority}",
            "autostart=false",
            "autorestart=true",
            # Up for a second counts as started; then it is restarted for ever. What
            # does not get there is given up after a few attempts, with its log.
            "startsecs=1",
            "startretries=3",
            f"stopsignal={self.stop_signal}",
            f"stopwaitsecs={self.stop_seconds}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_escape(str(logs / f'{self.name}.log'))}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
        ]
        if self.user:
            lines.append(f"user={self.user}")
        return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("%", "%%")
