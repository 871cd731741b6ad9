"""What a failed adb call means, in adb's words and in ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import AdbError, CommandFailed, ConnectionLost, DeviceOffline, DeviceUnauthorized, NoSpace

# State that `adb devices` shows → why such a phone cannot be used and what to do; None when it can.
STATE_PROBLEMS: dict[str, str | None] = {
    "device": None,
    "offline": "does not answer: plug it in again, or run `adb reconnect offline`",
    "unauthorized": "does not trust this computer: unlock it and accept the question on its screen",
    "authorizing": "is being asked to trust this computer: unlock it and accept the question on its screen",
    "connecting": "is still connecting: try again in a moment",
    "no permissions": "may not be opened by this user: `apt install android-sdk-platform-tools-common`",
}


@dataclass(frozen=True)
class Finished:
    """An adb process that ended; line ends in what it printed are `\\n`."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


def adb_error(done: Finished, serial: str | None, server: str | None) -> AdbError:
    """The typed error for an adb process that failed, by adb's own words."""
    lines = [line.strip() for line in f"{done.stderr}\n{done.stdout}".splitlines()]
    own = [
        line for line in lines if re.match(r"(adb|error|\* (cannot|failed)|cannot|failed|unable)(?! [VDIWEF] )", line)
    ]
    said = " / ".join(dict.fromkeys(own or list(filter(None, lines))[-1:]))[-400:]
    said = printable(said)
    phone = f"Phone {serial}"
    kind: type[AdbError] = ConnectionLost
    message = (
        f"The connection{to_phone(serial)} was lost before a result came (adb: {said or 'nothing'}). Run it again."
    )
    for pattern, matched, explained in (
        ("cannot connect to (daemon|server)|failed to check server|start (the )?(daemon|server)", AdbError,
         f"No adb server answers{f' at {server}' if server else ''} (adb: {said}). Start it or correct the address."),
        ("No space left", NoSpace, f"{phone} has no space left. Run `blazeport android clean` or free its storage."),
        ("unauthorized|authorizing|failed to authenticate", DeviceUnauthorized,
         f"{phone} does not trust this computer. Unlock it and accept the question on its screen."),
        ("no permissions|insufficient permissions", DeviceUnauthorized, f"{phone} {STATE_PROBLEMS['no permissions']}."),
        ("device .*not found|no devices|device offline|still connecting|device unavailable", DeviceOffline,
         f"{phone} is not attached or does not answer (adb: {said}). Check its cable and `adb devices`."),
    ):  # fmt: skip
        if re.search(pattern, said, re.IGNORECASE):
            kind, message = matched, explained
            break
    return kind(
        message,
        command=done.command,
        returncode=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
        serial=serial,
    )


def command_failed(done: Finished, serial: str) -> AdbError:
    """The typed error for a command that ended on the phone with another code than 0."""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    full = any("No space left on device" in line for line in said)
    last = printable(said[-1][:400]) if said else "nothing"
    return (NoSpace if full else CommandFailed)(
        f"A command on {serial} returned {done.returncode} and said: {last}",
        command=done.command,
        returncode=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
        serial=serial,
    )


def printable(text: str) -> str:
    """A phone's words without what would move the cursor or colour a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def to_phone(serial: str | None) -> str:
    """` to SERIAL` for a message; empty for a call to the server."""
    return f" to {serial}" if serial else ""
