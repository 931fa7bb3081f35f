# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where the time of a call over many devices goes, for who asks: each phase's begin and end on the host, and on the streams of
its device. Nobody waits for a device to write them down."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import torch


class Moment(NamedTuple):
    host: float
    event: Any  # None on the CPU, where the host's time is all there is.


class Recorder:
    def __init__(self, device: Any) -> None:
        self.device = device
        self.spans: List[Tuple[str, Moment, Moment]] = []
        # Transfers end on a stream that does nothing but wait for them.
        self.watch = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.first = self.moment()

    def moment(self) -> Moment:
        event = None
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
        return Moment(time.perf_counter(), event)

    def awaited(self, name: str, begin: Moment, works: List[Any]) -> None:
        if self.watch is not None:
            with torch.cuda.stream(self.watch):
                for work in works:
                    work.wait()
                self.spans.append((name, begin, self.moment()))
        for work in works:
            work.wait()
        if self.watch is None:  # A message of gloo's may be waited for once.
            self.spans.append((name, begin, self.moment()))

    def told(self) -> List[Dict[str, Any]]:
        """In milliseconds from the first moment on. On a GPU, when it has done everything."""

        def since(x: Moment) -> Dict[str, float]:
            device = {} if x.event is None else {"device": round(self.first.event.elapsed_time(x.event), 4)}
            return {"host": round((x.host - self.first.host) * 1e3, 4), **device}

        return [dict(phase=name, begin=since(begin), end=since(end)) for name, begin, end in self.spans]


_recorder: Optional[Recorder] = None


@contextlib.contextmanager
def recorded(device: Any) -> Iterator[Recorder]:
    """Around calls whose phases are asked for."""
    global _recorder
    _recorder = made = Recorder(device)
    try:
        yield made
    finally:
        _recorder = None


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Around what is done, or launched."""
    recorder = _recorder
    begin = recorder.moment() if recorder is not None else None
    yield
    if recorder is not None and begin is not None:
        recorder.spans.append((name, begin, recorder.moment()))


def moment() -> Optional[Moment]:
    return _recorder.moment() if _recorder is not None else None


def awaited(name: str, begin: Optional[Moment], works: List[Any]) -> None:
    """Waits for a transfer that was posted at `begin`."""
    if _recorder is not None and begin is not None:
        _recorder.awaited(name, begin, works)
        return
    for work in works:
        work.wait()
