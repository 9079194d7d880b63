"""Somebody at a terminal: reads what commands print, and types passwords and codes.

Started as `counterfoil` would be, in the folder where a page is run. What the person remembers
lies in a file there: the password, and recovery codes, since no code of the app works twice within
the half minute that such a page takes.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from pyotp.totp import TOTP

PASSWORD = "a lighthouse keeper counts gulls"
SECRET = re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])")
RECOVERY_CODE = re.compile(r"\b[0-9A-Z]{5}-[0-9A-Z]{5}\b")
MEMORY = Path("memory.json")


def main() -> None:
    words = sys.argv[1:]
    who = words[words.index("--save" if "--save" in words else "--as") + 1]
    with subprocess.Popen(
        ["counterfoil", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdin
        assert command.stdout
        if words[0] == "accept-invitation":
            type_in(command.stdin, SECRET.findall(Path("told").read_text())[-1], PASSWORD)
        elif words[0] == "sign-in":
            type_in(command.stdin, PASSWORD, a_code_of(who))
        else:
            type_in(command.stdin, a_code_of(who))
        for line in command.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith("otpauth://"):
                secret = parse_qs(urlsplit(line).query)["secret"][0]
                type_in(command.stdin, TOTP(secret).now())
            if codes := RECOVERY_CODE.findall(line):
                remember({**memory(), who: codes})
    sys.exit(command.returncode)


def type_in(keyboard: IO[str], *lines: str) -> None:
    keyboard.writelines(f"{line}\n" for line in lines)
    keyboard.flush()


def a_code_of(who: str) -> str:
    """Take the next recovery code; each works once."""
    known = memory()
    code = known[who].pop()
    remember(known)
    return code


def memory() -> dict[str, Any]:
    return json.loads(MEMORY.read_text()) if MEMORY.exists() else {}


def remember(known: dict[str, Any]) -> None:
    MEMORY.write_text(json.dumps(known))


if __name__ == "__main__":
    main()
