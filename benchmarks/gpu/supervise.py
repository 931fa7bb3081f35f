# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs cases in a process of their own, and goes on behind one that dies or hangs: a fault in a kernel ends every later
call of its process. Needs no torch."""

import json
import queue
import subprocess
import tempfile
import threading
import time

SILENCE_SECONDS = 90  # Longer than a start of torch, or a case, takes.
MAX_STARTS = 25


def _lines(stream, into):
    for line in stream:
        into.put(line)
    into.put(None)


class _Child:
    def __init__(self, command, names, environment):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment, text=True
        )
        self.process.stdin.write(json.dumps(names))
        self.process.stdin.close()
        self.events = queue.Queue()
        self.reader = threading.Thread(target=_lines, args=(self.process.stdout, self.events), daemon=True)
        self.reader.start()

    def read(self, silence, deadline):
        """Its events; then, as the last one, how it ended: "" for well."""
        with self.errors, self.process.stdout:
            yield from self._read(silence, deadline)
            self.reader.join()

    def _read(self, silence, deadline):
        while True:
            left = deadline - time.monotonic()
            try:
                line = self.events.get(timeout=max(0, min(silence, left)))
            except queue.Empty:
                self.process.kill()
                self.process.wait()
                yield {"event": "death", "why": "out of time" if left < silence else f"nothing heard for {silence} s: {self.tail()}"}
                return
            if line is None:
                status = self.process.wait()
                yield {"event": "death", "why": f"exit status {status}: {self.tail()}" if status else ""}
                return
            try:
                yield json.loads(line)
            except ValueError:
                pass  # What a library prints.

    def tail(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")[-1500:]


def run(command, names, environment, deadline, silence=SILENCE_SECONDS):
    """deadline: as time.monotonic() has it -> {"device": ..., "cases": {name: {"runs", "rows", "failures", ...}}, "starts", "seconds"}."""
    result, left, begin = {"cases": {}, "starts": 0}, list(names), time.monotonic()
    while left and result["starts"] < MAX_STARTS and time.monotonic() < deadline:
        result["starts"] += 1
        current, before = None, len(left)
        for event in _Child(command, left, environment).read(silence, deadline):
            if event["event"] == "device":
                result["device"] = event["device"]
            elif event["event"] == "start":
                current = event["case"]
            elif event["event"] == "done":
                result["cases"][event["case"]] = event["result"]
                left.remove(event["case"])
                current = None
            elif event["event"] == "death" and event["why"]:
                result.setdefault("deaths", []).append({"case": current, "why": event["why"]})
                if current:
                    result["cases"][current] = {"runs": 0, "rows": 0, "failures": [f"the process ended: {event['why']}"]}
                    left.remove(current)
        if len(left) == before:
            break  # It cannot even start: the reason is in "deaths".
    for name in left:
        why = result.get("deaths", [{"why": "out of time"}])[-1]["why"]
        result["cases"][name] = {"runs": 0, "rows": 0, "failures": [f"not run; the last process ended: {why}"]}
    result["seconds"] = round(time.monotonic() - begin, 1)
    return result
