"""The NVIDIA GPUs of this machine, MIG instances included, and which of them are meant."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from search.errors import InputError

_QUERY = "--query-gpu=index,uuid,memory.total,mig.mode.current,name"
_GPU_LINE = re.compile(r"GPU (?P<index>\d+): .*\(UUID: (?P<uuid>[^)]+)\)")
_MIG_LINE = re.compile(
    r"\s+MIG (?P<profile>\S+)\s+Device\s+(?P<index>\d+): \(UUID: (?P<uuid>[^)]+)\)"
)
_MIG_MEMORY = re.compile(r"(\d+)gb")
_WAIT_S = 30


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one."""

    index: str
    """nvidia-smi's number; "0:2" for MIG instance 2 of GPU 0."""
    uuid: str
    name: str
    memory_mb: float | None
    """None where the driver does not tell, as for memory shared with the CPU."""

    def __str__(self) -> str:
        return f"{self.index} ({self.name}, {self.uuid})"


def installed_gpus() -> list[Gpu]:
    """What nvidia-smi lists; nothing where it is missing, hangs or finds no driver."""
    table = _ask(_QUERY, "--format=csv,noheader,nounits")
    return read_gpus(table, _ask("-L") if "Enabled" in table else "")


def read_gpus(table: str, listing: str) -> list[Gpu]:
    """The GPUs of `table` (answer to the query above), those in MIG mode replaced by their
    instances.

    Instances are told by `listing` only (`nvidia-smi -L`); a GPU in MIG mode without any can't
    compute.
    """
    instances = _read_instances(listing)
    gpus: list[Gpu] = []
    for line in table.splitlines():
        fields = [part.strip() for part in line.split(",", 4)]
        if len(fields) < 5:
            continue
        index, uuid, memory, mig, name = fields
        if mig == "Enabled":
            gpus += [_instance(index, name, *instance) for instance in instances.get(uuid, [])]
        else:
            gpus.append(Gpu(index, uuid, name, float(memory) if memory.isdigit() else None))
    return gpus


def visible_gpus(gpus: Sequence[Gpu], variable: str | None) -> list[Gpu]:
    """Those of `gpus` that CUDA_VISIBLE_DEVICES = `variable` shows, in its order; all for None.

    As CUDA does: a unique beginning of a UUID will do, the first unknown id hides all that follow,
    and a repeated one hides everything. An index counts as nvidia-smi does; that of a GPU in MIG
    mode means all its instances.
    """
    if variable is None:
        return list(gpus)
    visible: list[Gpu] = []
    for part in (p.strip() for p in variable.split(",")):
        meant = _meant(gpus, part)
        if not meant:
            break
        if any(g in visible for g in meant):
            return []
        visible += meant
    return visible


def choose_gpus(gpus: Sequence[Gpu], visible: Sequence[Gpu], text: str) -> list[Gpu]:
    """The GPUs of a list like "0,2" or "GPU-8932f937,MIG-ab", out of `visible` ones.

    Raises InputError with every id of it that is unknown, repeated or hidden.
    """
    chosen: list[Gpu] = []
    problems: list[str] = []
    for part in (p.strip() for p in text.split(",")):
        meant = _meant(visible, part)
        if any(g in chosen for g in meant):
            problems.append(
                f"--gpus {text}: {part} is named twice; name each GPU once (--trials-per-gpu packs"
                " one)"
            )
        elif meant:
            chosen += meant
        elif _meant(gpus, part):
            problems.append(
                f"--gpus {text}: {part} is hidden by CUDA_VISIBLE_DEVICES; {_there_are(visible)}"
            )
        else:
            problems.append(
                f"--gpus {text}: {part or 'an empty name'} is no GPU here; {_there_are(visible)}"
            )
    if problems:
        raise InputError(problems)
    return chosen


def _there_are(gpus: Sequence[Gpu]) -> str:
    if not gpus:
        return "nvidia-smi finds none that may be used; take --gpus none for the CPU"
    return f"there are {', '.join(map(str, gpus))}"


def _meant(gpus: Sequence[Gpu], text: str) -> list[Gpu]:
    """The GPU that `text` names by index or UUID; several only for one in MIG mode."""
    if re.fullmatch(r"\d+(:\d+)?", text):
        return [g for g in gpus if g.index == text or g.index.startswith(f"{text}:")]
    if not text.startswith(("GPU-", "MIG-")):
        return []
    begin = [g for g in gpus if g.uuid.lower().startswith(text.lower())]
    return begin if len(begin) == 1 else []


def _read_instances(listing: str) -> dict[str, list[tuple[str, str, str]]]:
    """(number, profile, UUID) of every MIG instance, by the UUID of its GPU."""
    lines = listing.splitlines()
    starts = [i for i, line in enumerate(lines) if _GPU_LINE.match(line)]
    instances: dict[str, list[tuple[str, str, str]]] = {}
    for begin, end in pairwise([*starts, len(lines)]):
        gpu = _GPU_LINE.match(lines[begin])
        matches = [_MIG_LINE.match(line) for line in lines[begin + 1 : end]]
        if gpu:
            instances[gpu["uuid"]] = [(m["index"], m["profile"], m["uuid"]) for m in matches if m]
    return instances


def _instance(gpu: str, name: str, index: str, profile: str, uuid: str) -> Gpu:
    # A profile's name gives its memory, slightly rounded; nvidia-smi tells it nowhere that is meant
    # for programs.
    memory = _MIG_MEMORY.search(profile)
    return Gpu(
        f"{gpu}:{index}", uuid, f"{name} MIG {profile}", float(memory[1]) * 1000 if memory else None
    )


def _ask(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603
            [program, *arguments], capture_output=True, text=True, check=False, timeout=_WAIT_S
        )
    except subprocess.TimeoutExpired:
        return ""
    return answer.stdout if answer.returncode == 0 else ""
